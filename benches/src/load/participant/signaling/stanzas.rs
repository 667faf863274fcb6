//! What a stock client says: conference request, presence, features.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::{Element, ns};

use super::SignalingSettings;

/// Id of the conference request.
pub(super) const CONFERENCE_ID: &str = "conference";
/// What lib-jitsi-meet calls itself (XEP-0115).
const CAPS_NODE: &str = "https://jitsi.org/jitsi-meet";
const SSRC_REWRITING: &str = "http://jitsi.org/ssrc-rewriting-1";
/// Features of a stock client that change what it is offered (client.md §5.8), sorted.
const FEATURES: [&str; 12] = [
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/receive-multiple-video-streams",
    "http://jitsi.org/source-name",
    "http://jitsi.org/tcc",
    "urn:ietf:rfc:4588",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:xmpp:jingle:transports:ice-udp:1",
];
/// Codecs that a stock client can receive, by preference (client.md §5.2).
const CODECS: &str = "av1,vp9,vp8,h264";

fn all_features(ssrc_rewriting: bool) -> Vec<&'static str> {
    let mut features = FEATURES.to_vec();
    features.extend(ssrc_rewriting.then_some(SSRC_REWRITING));
    features.sort_unstable();
    features
}

/// The answer to disco#info.
pub(super) fn features(ssrc_rewriting: bool) -> Element {
    let feature = |var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
    let identity = Element::new("identity", ns::DISCO_INFO).with_attr("category", "client").with_attr("type", "web");
    Element::new("query", ns::DISCO_INFO)
        .with_child(identity)
        .with_children(all_features(ssrc_rewriting).into_iter().map(feature))
}

/// The verification string of these features (XEP-0115 §5.1).
fn caps_version(ssrc_rewriting: bool) -> String {
    let mut text = "client/web//<".to_owned();
    for feature in all_features(ssrc_rewriting) {
        text.push_str(feature);
        text.push('<');
    }
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Asks the focus to come into the room.
pub(super) fn conference_request(settings: &SignalingSettings) -> Element {
    let mut request = ConferenceRequest::new(settings.room.clone());
    request.machine_uid = Some(format!("load-{}", settings.nick_of_account));
    request.token = settings.token.clone();
    request.properties.insert("rtcstatsEnabled".to_owned(), "false".to_owned());
    Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", CONFERENCE_ID)
        .with_attr("to", settings.focus.as_str())
        .with_child(request.to_element())
}

/// The presence in the room; each has the whole set of extensions (client.md §5.2).
pub(super) fn presence(settings: &SignalingSettings, nick: &str, is_join: bool) -> Element {
    let text = |name: &'static str, text: &str| Element::new(name, ns::CLIENT).with_text(text);
    let caps = Element::new("c", ns::CAPS)
        .with_attr("hash", "sha-1")
        .with_attr("node", CAPS_NODE)
        .with_attr("ver", caps_version(settings.ssrc_rewriting));
    let source_info = if is_join { "{}".to_owned() } else { settings.source_info.replace("{nick}", nick) };
    Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("{}/{nick}", settings.room))
        .with_children(is_join.then(|| Element::new("x", ns::MUC)))
        .with_child(text("stats-id", "teranga-load"))
        .with_child(caps)
        .with_child(text("SourceInfo", &source_info))
        .with_child(text("jitsi_participant_codecList", CODECS))
        .with_children(settings.region.as_deref().map(|region| text("jitsi_participant_region", region)))
        .with_child(Element::new("nick", ns::NICK).with_text(settings.display_name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_features_is_sorted_as_the_hash_needs_it() {
        assert!(FEATURES.is_sorted());
        for rewriting in [false, true] {
            let told: Vec<_> = features(rewriting)
                .children_named("feature", ns::DISCO_INFO)
                .filter_map(|feature| feature.attr("var").map(str::to_owned))
                .collect();
            assert!(told.is_sorted());
            assert_eq!(told.iter().any(|feature| feature == SSRC_REWRITING), rewriting);
        }
        assert_ne!(caps_version(true), caps_version(false));
        assert_eq!(caps_version(true).len(), 28);
    }
}
