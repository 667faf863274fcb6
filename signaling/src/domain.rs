//! What the server itself answers: discovery (XEP-0030), ping (XEP-0199), external services (XEP-0215).

use xmpp::disco::DiscoInfo;
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use crate::conference_components as components;
use crate::context::{Context, Now, Sender};
use crate::external_services::Asker;
use crate::{Deployment, Settings};

const FEATURES: [&str; 4] = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::EXTDISCO];

/// Takes a stanza to the server or to the sender's own account.
pub(crate) fn handle(context: &mut Context<'_>, sender: Sender<'_>, stanza: &Element) {
    match (stanza.name(), stanza.attr("type")) {
        ("iq", Some("get")) => {
            let answer = answer_to(context.settings, context.now, Asker { jid: sender.jid, host: sender.host }, stanza);
            context.answer(sender.jid, stanza, answer);
        }
        ("iq", Some("result" | "error")) => {
            // The answer to a probe, most of all; that it came is all there is to know.
        }
        ("presence", _) => context.metrics.count_dropped("presence_to_server"),
        _ => context.refuse(sender.jid, stanza, &StanzaError::new(Condition::ServiceUnavailable)),
    }
}

/// Whether this asks for services outside; the answer depends on where the sender's client came from.
pub(crate) fn asks_for_services(stanza: &Element) -> bool {
    stanza.children().next().is_some_and(|payload| payload.ns() == ns::EXTDISCO)
}

fn answer_to(settings: &Settings, now: Now, asker: Asker<'_>, request: &Element) -> Result<Element, StanzaError> {
    let payload = request.children().next().ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
    let answer = match (payload.name(), payload.ns()) {
        ("ping", ns::PING) => return Ok(iq_result(request)),
        ("query", ns::DISCO_INFO) if payload.attr("node").is_none() => {
            let to = request.attr("to").and_then(|to| to.parse::<Jid>().ok());
            disco_info(settings, to.as_ref().unwrap_or(asker.jid)).to_element()
        }
        ("query", ns::DISCO_ITEMS) if payload.attr("node").is_none() => disco_items(settings),
        // Nobody has contacts here. Smack, in Jicofo and the bridges, complains at every presence without one.
        ("query", ns::ROSTER) => Element::new("query", ns::ROSTER),
        ("query", ns::DISCO_INFO | ns::DISCO_ITEMS) => return Err(StanzaError::new(Condition::ItemNotFound)),
        ("services", ns::EXTDISCO) => settings.external_services.services(now, asker, payload.attr("type")),
        ("credentials", ns::EXTDISCO) => settings.external_services.credentials(now, asker, payload)?,
        _ => return Err(StanzaError::new(Condition::ServiceUnavailable)),
    };
    Ok(iq_result(request).with_child(answer))
}

/// Identities of type other than `im` name components, which clients use as soon as they find them, and the shard. Every domain
/// describes the clients', but for those of visitors, which have components of their own.
fn disco_info(settings: &Settings, at: &Jid) -> DiscoInfo {
    let Deployment { shard, region, release } = &settings.deployment;
    let info = DiscoInfo::default().with_identity("server", "im", Some("Teranga"));
    let info = [("shard", shard), ("region", region), ("release", release)]
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, name.as_deref()?)))
        .fold(info, |info, (kind, name)| info.with_identity("server", kind, Some(name)));
    let components = components::identities(&settings.hosts, at);
    let info = components.fold(info, |info, (kind, host)| info.with_identity("component", kind, Some(host.as_str())));
    info.with_features(FEATURES)
}

fn disco_items(settings: &Settings) -> Element {
    let item = |jid: &Jid| Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid.as_str());
    let components = settings.components.iter().map(|component| &component.domain);
    Element::new("query", ns::DISCO_ITEMS)
        .with_children([&settings.hosts.muc, &settings.hosts.focus].into_iter().chain(components).map(item))
}

/// What a client would ask for next, told before its bind result: the domain's discovery and external services, as
/// stock's `mod_jiconop` does.
pub(crate) fn pushed_disco(settings: &Settings, now: Now, asker: Asker<'_>) -> Element {
    let is_outside = settings.conference.services_for_occupants;
    Element::new("message", ns::CLIENT)
        .with_attr("from", settings.hosts.domain.as_str())
        .with_attr("to", asker.jid.as_str())
        .with_child(disco_info(settings, asker.jid).to_element())
        .with_children((!is_outside).then(|| settings.external_services.services(now, asker, None)))
}
