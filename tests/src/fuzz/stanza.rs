//! What stanzas mean: each reader of `xmpp` and `jitsi-protocol` that takes an element of a peer.

use std::fmt::Debug;

use jitsi_protocol::bridge_session::{self, BridgeSession};
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{ConferenceModified, ConferenceModify};
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use jitsi_protocol::mute::Mute;
use jitsi_protocol::source_json::CompactSources;
use jitsi_protocol::visitors::VnodeRequest;
use xmpp::data_forms::DataForm;
use xmpp::disco::DiscoInfo;
use xmpp::jingle::{IceTransport, Jingle, Source, SsrcGroup};
use xmpp::muc::{AdminItem, MucUser};
use xmpp::sasl::PlainCredentials;
use xmpp::sm::StreamManagement;
use xmpp::{Element, Jid, StanzaError, bind, iq_error, ping};

/// Every reader on every element of one stanza. What has a type that can be written comes back as it was.
pub fn stanza(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(stanza) = Element::parse(text) else { return };
    whole(&stanza);
    let mut open = vec![&stanza];
    while let Some(element) = open.pop() {
        each(element);
        open.extend(element.children());
    }
}

/// Readers that look for their element in a stanza.
fn whole(stanza: &Element) {
    let error = StanzaError::of_stanza(stanza);
    let answer = iq_error(stanza, &error);
    assert_eq!(StanzaError::of_stanza(&answer), error);
    let _ = (bind::requested_resource(stanza), bind::bound_jid(stanza), ping::is_ping(stanza));
    let _ = (DiscoInfo::of_stanza(stanza), MucUser::of_presence(stanza), DataForm::of(stanza));
    for address in ["to", "from"].into_iter().filter_map(|name| stanza.attr(name)) {
        if let Ok(jid) = address.parse::<Jid>() {
            comes_back(&jid, |jid| jid.to_string().parse());
        }
    }
}

/// Readers of an element.
fn each(element: &Element) {
    if let Ok(jingle) = Jingle::from_element(element) {
        let _ = (BridgeSession::of_jingle(&jingle), bridge_session::reports_ice_failure(&jingle));
        jingle.contents.iter().for_each(|content| drop(bridge_session::initial_last_n(content)));
        comes_back(&jingle, |jingle| Jingle::from_element(&jingle.to_element()));
    }
    if let Ok(source) = Source::from_element(element) {
        comes_back(&source, |source| Source::from_element(&source.to_element()));
    }
    if let Ok(group) = SsrcGroup::from_element(element) {
        comes_back(&group, |group| SsrcGroup::from_element(&group.to_element()));
    }
    if let Ok(transport) = IceTransport::from_element(element) {
        comes_back(&transport, |transport| IceTransport::from_element(&transport.to_element()));
    }
    if let Ok(modify) = ConferenceModify::from_element(element) {
        comes_back(&modify, |modify| ConferenceModify::from_element(&modify.to_element()));
    }
    if let Ok(modified) = ConferenceModified::from_element(element) {
        comes_back(&modified, |modified| ConferenceModified::from_element(&modified.to_element()));
    }
    if let Ok(request) = ConferenceRequest::from_element(element) {
        comes_back(&request, |request| ConferenceRequest::from_element(&request.to_element()));
    }
    if let Ok(response) = ConferenceResponse::from_element(element) {
        comes_back(&response, |response| ConferenceResponse::from_element(&response.to_element()));
    }
    if let Ok(mute) = Mute::from_element(element) {
        comes_back(&mute, |mute| Mute::from_element(&mute.to_element()));
    }
    if let Ok(request) = VnodeRequest::from_element(element) {
        comes_back(&request, |request| VnodeRequest::from_element(&request.to_element()));
    }
    let _ = BridgeStats::from_element(element);
    if let Some(sm) = StreamManagement::parse(element) {
        comes_back(&sm, |sm| StreamManagement::parse(&sm.to_element()).ok_or("nothing"));
    }
    if let Some(item) = AdminItem::parse(element) {
        comes_back(&item, |item| AdminItem::parse(&item.to_element()).ok_or("nothing"));
    }
    let text = element.text();
    if let Ok(credentials) = PlainCredentials::parse(&text) {
        comes_back(&credentials, |credentials| PlainCredentials::parse(&credentials.to_auth().text()));
    }
    if let Ok(sources) = CompactSources::from_json(&text) {
        comes_back(&sources, |sources| CompactSources::from_json(&sources.to_json()));
    }
}

pub(super) fn comes_back<T: PartialEq + Debug, E: Debug>(value: &T, again: impl FnOnce(&T) -> Result<T, E>) {
    match again(value) {
        Ok(read) => assert_eq!(&read, value),
        Err(error) => panic!("wrote what does not read ({error:?}): {value:?}"),
    }
}
