//! What the focus says and reads in rooms (XEP-0045).
//!
//! Here: stanzas to and from a room, and a member by its presence. Not here: what follows from them (`conference`).

use serde_json::Value;
use xmpp::{Element, Jid, ns};

use crate::features::Caps;

/// Longest text of a member that is kept, in bytes: region and statistics id are short words.
const MAX_TEXT_BYTES: usize = 256;

/// Features of a service that are looked at: Jigasi has some ten.
const MAX_SERVICE_FEATURES: usize = 64;

/// Video codecs of a client that are looked at: there are some five.
const MAX_CODECS: usize = 16;

/// A long-lived right in a room (XEP-0045 §5.2). Anything else than these reads as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affiliation {
    Owner,
    Admin,
    Other,
}

/// A right of an occupant (XEP-0045 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Moderator,
    Participant,
    /// Listens only, and is invited in rooms of visitors only.
    Visitor,
}

/// An occupant by its latest presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// `room@muc/nick`.
    pub(crate) occupant: Jid,
    /// The address behind the nick.
    pub(crate) real_jid: Option<Jid>,
    pub(crate) affiliation: Affiliation,
    pub(crate) role: Role,
    pub(crate) region: Option<String>,
    pub(crate) stats_id: Option<String>,
    pub(crate) caps: Option<Caps>,
    /// What it says that it is, which is believed of some domains only.
    pub(crate) claims: Services,
    pub(crate) muted: Muted,
    /// Whether a transcriber is to tell voices apart that share its microphone.
    pub(crate) diarize: bool,
    /// The video codecs that it can do with, the best first; `None` where it says none.
    pub(crate) codecs: Option<Vec<String>>,
}

/// Whether a member is a service rather than a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services {
    pub(crate) jibri: bool,
    pub(crate) jigasi: bool,
    pub(crate) transcriber: bool,
}

/// What a member does not send, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Muted {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

impl Member {
    /// Reads an available presence; `None` without the room's own `item`, which every occupant has.
    pub(crate) fn of_presence(occupant: &Jid, presence: &Element) -> Option<Self> {
        let item = item(presence)?;
        let text = |name| presence.child_named(name).map(Element::text).filter(|text| text.len() <= MAX_TEXT_BYTES);
        Some(Self {
            occupant: occupant.clone(),
            real_jid: item.attr("jid").and_then(|jid| jid.parse().ok()),
            affiliation: match item.attr("affiliation") {
                Some("owner") => Affiliation::Owner,
                Some("admin") => Affiliation::Admin,
                _ => Affiliation::Other,
            },
            role: match item.attr("role") {
                Some("moderator") => Role::Moderator,
                Some("participant") => Role::Participant,
                _ => Role::Visitor,
            },
            region: text("jitsi_participant_region"),
            stats_id: text("stats-id"),
            caps: Caps::of_presence(presence),
            claims: Services::of_presence(presence),
            muted: Muted::of_presence(presence),
            diarize: text("jitsi_participant_diarize").is_some_and(|text| text.eq_ignore_ascii_case("true")),
            codecs: codecs(presence),
        })
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.affiliation == Affiliation::Owner
    }

    /// What kind of service it is, if one of these domains vouches for it.
    pub(crate) fn services(&self, trusted_domains: &[String]) -> Services {
        let domain = self.real_jid.as_ref().map(Jid::domain);
        let is_trusted = domain.is_some_and(|domain| trusted_domains.iter().any(|trusted| trusted == domain));
        if is_trusted { self.claims } else { Services::default() }
    }

    pub(crate) fn has_moderator_rights(&self) -> bool {
        matches!(self.affiliation, Affiliation::Owner | Affiliation::Admin) || self.role == Role::Moderator
    }
}

impl Services {
    fn of_presence(presence: &Element) -> Self {
        let features = presence.child_named("features");
        let has = |wanted: &str| {
            features.is_some_and(|features| {
                let mut vars = features.children().take(MAX_SERVICE_FEATURES).filter_map(|feature| feature.attr("var"));
                vars.any(|var| var == wanted)
            })
        };
        Self {
            jibri: has("http://jitsi.org/protocol/jibri"),
            jigasi: has("http://jitsi.org/protocol/jigasi"),
            transcriber: has("http://jitsi.org/protocol/transcriber"),
        }
    }
}

impl Muted {
    /// Reads `SourceInfo`, or the elements from before it that gateways still send.
    fn of_presence(presence: &Element) -> Self {
        let Some(info) = presence.child_named("SourceInfo") else {
            let is_muted = |name| presence.child_named(name).is_none_or(|child| child.text().trim() != "false");
            return Self { audio: is_muted("audiomuted"), video: is_muted("videomuted") };
        };
        let sources: serde_json::Map<String, Value> = serde_json::from_str(&info.text()).unwrap_or_default();
        let is_muted = |kind: &str, letter: char| {
            let is_of_kind = |name: &str, source: &Value| match source["mediaType"].as_str() {
                Some(media_type) => media_type.eq_ignore_ascii_case(kind),
                None => name.split_once('-').is_some_and(|(_, rest)| rest.starts_with(letter)),
            };
            let is_on = |source: &Value| source["muted"] == false;
            !sources.iter().any(|(name, source)| is_of_kind(name, source) && is_on(source))
        };
        Self { audio: is_muted("audio", 'a'), video: is_muted("video", 'v') }
    }
}

fn item(presence: &Element) -> Option<&Element> {
    presence.child("x", ns::MUC_USER)?.child("item", ns::MUC_USER)
}

/// The list of codecs, or the only one that clients from before the list name. Everybody can do with VP8.
fn codecs(presence: &Element) -> Option<Vec<String>> {
    let named = |name| presence.child_named(name).map(Element::text).filter(|text| text.len() <= MAX_TEXT_BYTES);
    let text = named("jitsi_participant_codecList").or_else(|| named("jitsi_participant_codecType"))?;
    let names = text.split(',').map(|codec| codec.trim().to_ascii_lowercase()).filter(|codec| !codec.is_empty());
    let mut codecs: Vec<String> = names.take(MAX_CODECS).collect();
    if !codecs.iter().any(|codec| codec == "vp8") {
        codecs.push("vp8".to_owned());
    }
    Some(codecs)
}

/// Whether a leaving occupant says that it moves to another room of the same meeting.
pub(crate) fn is_room_switch(presence: &Element) -> bool {
    presence.child("status", ns::CLIENT).is_some_and(|status| {
        // More may follow the first word (client.md §5.6).
        status.text().split('|').next() == Some("switch_room")
    })
}

/// The presence that enters a room (XEP-0045 §7.2).
pub(crate) fn join_presence(occupant: &Jid) -> Element {
    presence(occupant).with_child(Element::new("x", ns::MUC))
}

/// A presence in a room.
pub(crate) fn presence(occupant: &Jid) -> Element {
    Element::new("presence", ns::CLIENT).with_attr("to", occupant.as_str())
}

/// The presence that leaves a room (XEP-0045 §7.14).
pub(crate) fn leave_presence(occupant: &Jid) -> Element {
    presence(occupant).with_attr("type", "unavailable")
}

/// The request for the configuration form (XEP-0045 §10.2).
pub(crate) fn config_query() -> Element {
    Element::new("query", ns::MUC_OWNER)
}

/// The configuration that a conference needs: everybody sees the address behind a nick, as clients tell the focus and
/// each other apart by it.
pub(crate) fn config_submit() -> Element {
    let field = |var: &'static str, value: &'static str| {
        let value = Element::new("value", ns::DATA_FORMS).with_text(value);
        Element::new("field", ns::DATA_FORMS).with_attr("var", var).with_child(value)
    };
    let form = Element::new("x", ns::DATA_FORMS)
        .with_attr("type", "submit")
        .with_child(field("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"))
        .with_child(field("muc#roomconfig_whois", "anyone"));
    config_query().with_child(form)
}

/// The value of a field of the configuration form in an answer.
pub(crate) fn config_value(answer: &Element, var: &str) -> Option<String> {
    let form = answer.child("query", ns::MUC_OWNER)?.child("x", ns::DATA_FORMS)?;
    let field = form.children_named("field", ns::DATA_FORMS).find(|field| field.attr("var") == Some(var))?;
    field.child("value", ns::DATA_FORMS).map(Element::text).filter(|value| !value.is_empty())
}

/// The request that makes somebody owner (XEP-0045 §10.3).
pub(crate) fn grant_owner(real_jid: &Jid) -> Element {
    let item =
        Element::new("item", ns::MUC_ADMIN).with_attr("affiliation", "owner").with_attr("jid", real_jid.bare_str());
    Element::new("query", ns::MUC_ADMIN).with_child(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Member> {
        Member::of_presence(&"demo@muc.meet.jitsi/abcd1234".parse().unwrap(), &text.parse().unwrap())
    }

    #[test]
    fn reads_a_member_from_its_presence() {
        let member = read(
            "<presence xmlns='jabber:client'><stats-id>Karlie-9Xy</stats-id>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>\
             <jitsi_participant_region>eu</jitsi_participant_region>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='moderator' \
             jid='abcd1234-x@meet.jitsi/Xy7'/><status code='110'/></x></presence>",
        );
        let member = member.unwrap();
        assert!(member.has_moderator_rights() && !member.is_owner());
        assert_eq!((member.region.as_deref(), member.stats_id.as_deref()), (Some("eu"), Some("Karlie-9Xy")));
        assert!(member.caps.is_some() && member.codecs.is_none());
    }

    #[test]
    fn needs_the_item_of_the_room() {
        assert_eq!(read("<presence xmlns='jabber:client'/>"), None);
        let member = read(
            "<presence xmlns='jabber:client'><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>",
        );
        assert_eq!(member.unwrap().role, Role::Visitor);
    }

    #[test]
    fn reads_what_a_member_sends() {
        let muted = |children: &str| {
            let text = format!(
                "<presence xmlns='jabber:client'>{children}<x xmlns='http://jabber.org/protocol/muc#user'><item/></x>\
                 </presence>"
            );
            let muted = read(&text).unwrap().muted;
            (muted.audio, muted.video)
        };
        let info = |json: &str| muted(&format!("<SourceInfo>{json}</SourceInfo>"));
        assert_eq!(muted(""), (true, true));
        assert_eq!(muted("<audiomuted>false</audiomuted><videomuted>true</videomuted>"), (false, true));
        assert_eq!(info(r#"{"a-a0":{"muted":false},"a-v0":{"muted":true},"a-v1":{"muted":false}}"#), (false, false));
        assert_eq!(info(r#"{"x":{"muted":false,"mediaType":"VIDEO"},"a-a0":{}}"#), (true, false));
        assert_eq!(info("nonsense"), (true, true));
    }

    #[test]
    fn believes_services_of_trusted_domains_only() {
        let member = read(
            "<presence xmlns='jabber:client'><features><feature var='http://jitsi.org/protocol/jibri'/></features>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item jid='r@hidden.x/1'/></x></presence>",
        );
        let member = member.unwrap();
        assert!(member.services(&["hidden.x".to_owned()]).jibri);
        assert_eq!(member.services(&["other".to_owned()]), Services::default());
    }
}
