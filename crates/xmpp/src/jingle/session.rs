//! `jingle`: one message of a session (XEP-0166 §7).

use super::{Content, InvalidElement, read};
use crate::{Condition, Element, StanzaError, ns};

/// Contents of one message: clients put one a changed m-line into `source-add`.
const MAX_CONTENTS: usize = 256;
/// Members of a BUNDLE group, as many as contents.
const MAX_GROUP_CONTENTS: usize = MAX_CONTENTS;
/// Longest session id in bytes: those of Jitsi have some ten.
const MAX_SID_BYTES: usize = 128;

/// A message of a Jingle session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jingle {
    /// What the message does.
    pub action: Action,
    /// The session, chosen by its initiator.
    pub sid: String,
    /// Full JID of who started the session, as the clients of Jitsi echo it.
    pub initiator: Option<String>,
    /// Full JID of who answered.
    pub responder: Option<String>,
    /// Media concerned.
    pub contents: Vec<Content>,
    /// Names of contents in one BUNDLE group (XEP-0338, RFC 8843); empty for no group.
    pub bundle: Vec<String>,
    /// Why a session ends.
    pub reason: Option<Reason>,
    /// Other children, such as Jitsi's `bridge-session` and `json-message`.
    pub extensions: Vec<Element>,
}

impl Jingle {
    /// A message without contents.
    #[must_use]
    pub fn new(action: Action, sid: impl Into<String>) -> Self {
        Self {
            action,
            sid: sid.into(),
            initiator: None,
            responder: None,
            contents: Vec::new(),
            bundle: Vec::new(),
            reason: None,
            extensions: Vec::new(),
        }
    }

    /// Reads a `jingle` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without an action or session, on an unsupported action or a bad content.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        if !element.is("jingle", ns::JINGLE) {
            return Err(InvalidElement::UnexpectedElement { expected: "jingle" });
        }
        let action = element.attr("action").ok_or(InvalidElement::MissingAction)?;
        let action = Action::from_name(action)
            .ok_or_else(|| InvalidElement::UnsupportedAction(action.chars().take(64).collect()))?;
        let sid = read::required(element, "sid")?;
        if sid.is_empty() || sid.len() > MAX_SID_BYTES {
            return Err(read::invalid(element, "sid", sid));
        }
        let mut jingle = Self::new(action, sid);
        jingle.initiator = element.attr("initiator").map(str::to_owned);
        jingle.responder = element.attr("responder").map(str::to_owned);
        jingle.contents = read::list(element, "content", MAX_CONTENTS, Content::from_element)?;
        for child in element.children() {
            match (child.name(), child.ns()) {
                ("content", _) => {}
                ("group", ns::JINGLE_GROUPING) if child.attr("semantics") == Some("BUNDLE") => {
                    jingle.bundle = read::list(child, "content", MAX_GROUP_CONTENTS, |content| {
                        read::required(content, "name").map(str::to_owned)
                    })?;
                }
                ("reason", ns::JINGLE) => jingle.reason = Some(Reason::from_element(child)),
                _ => jingle.extensions.push(child.clone()),
            }
        }
        Ok(jingle)
    }

    /// The `jingle` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("jingle", ns::JINGLE)
            .with_attr("action", self.action.as_str())
            .with_opt_attr("initiator", self.initiator.as_deref())
            .with_opt_attr("responder", self.responder.as_deref())
            .with_attr("sid", self.sid.as_str())
            .with_children(self.reason.as_ref().map(Reason::to_element))
            .with_children(self.contents.iter().map(Content::to_element));
        if !self.bundle.is_empty() {
            let content = |name: &String| Element::new("content", ns::JINGLE_GROUPING).with_attr("name", name.as_str());
            let group = Element::new("group", ns::JINGLE_GROUPING).with_attr("semantics", "BUNDLE");
            element.push(group.with_children(self.bundle.iter().map(content)));
        }
        element.with_children(self.extensions.iter().cloned())
    }

    /// The first other child of that name and namespace.
    #[must_use]
    pub fn extension(&self, name: &str, ns: &str) -> Option<&Element> {
        self.extensions.iter().find(|child| child.is(name, ns))
    }
}

/// What a message of a session does (XEP-0166 §7.2; `source-add` and `source-remove` are Jitsi's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of XEP-0166 §7.2")]
pub enum Action {
    ContentModify,
    SessionAccept,
    SessionInfo,
    SessionInitiate,
    SessionTerminate,
    SourceAdd,
    SourceRemove,
    TransportAccept,
    TransportInfo,
    TransportReject,
    TransportReplace,
}

impl Action {
    const TABLE: [(Action, &'static str); 11] = [
        (Self::ContentModify, "content-modify"),
        (Self::SessionAccept, "session-accept"),
        (Self::SessionInfo, "session-info"),
        (Self::SessionInitiate, "session-initiate"),
        (Self::SessionTerminate, "session-terminate"),
        (Self::SourceAdd, "source-add"),
        (Self::SourceRemove, "source-remove"),
        (Self::TransportAccept, "transport-accept"),
        (Self::TransportInfo, "transport-info"),
        (Self::TransportReject, "transport-reject"),
        (Self::TransportReplace, "transport-replace"),
    ];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(action, _)| *action == self).map_or("", |&(_, name)| name)
    }

    /// The action of that name. `addsource` and `removesource` are what old clients say.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "addsource" => Some(Self::SourceAdd),
            "removesource" => Some(Self::SourceRemove),
            _ => Self::TABLE.iter().find(|(_, known)| *known == name).map(|&(action, _)| action),
        }
    }
}

/// `reason` of a session's end (XEP-0166 §7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Local name of the condition: `success`, `expired`, `connectivity-error`, …
    pub condition: String,
    /// Words for a reader.
    pub text: Option<String>,
}

impl Reason {
    /// A reason with words.
    #[must_use]
    pub fn new(condition: impl Into<String>, text: impl Into<String>) -> Self {
        Self { condition: condition.into(), text: Some(text.into()) }
    }

    fn from_element(element: &Element) -> Self {
        let condition = element.children().find(|child| child.name() != "text");
        Self {
            condition: condition.map_or("undefined", Element::name).to_owned(),
            text: element.child_named("text").map(Element::text),
        }
    }

    /// The `reason` element; the condition stands first, where Jitsi's client looks for it.
    fn to_element(&self) -> Element {
        let text = self.text.as_ref().map(|text| Element::new("text", ns::JINGLE).with_text(text.as_str()));
        Element::new("reason", ns::JINGLE)
            .with_child(Element::new(self.condition.clone(), ns::JINGLE))
            .with_children(text)
    }
}

/// The error for a session that the receiver does not know (XEP-0166 §10).
#[must_use]
pub fn unknown_session(condition: Condition) -> StanzaError {
    StanzaError::new(condition).with_extension(Element::new("unknown-session", ns::JINGLE_ERRORS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jingle::RtpMedia;

    fn xml(text: &str) -> Element {
        text.parse().unwrap()
    }

    fn read(text: &str) -> Result<Jingle, InvalidElement> {
        Jingle::from_element(&xml(text))
    }

    #[test]
    fn reads_what_it_wrote() {
        let text = "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' initiator='f@a/f' sid='s1'>\
                    <reason xmlns='urn:xmpp:jingle:1'><expired xmlns='urn:xmpp:jingle:1'/>\
                    <text xmlns='urn:xmpp:jingle:1'>Idle session timeout</text></reason>\
                    <bridge-session xmlns='http://jitsi.org/protocol/focus' id='b1' restart='true'/></jingle>";
        let jingle = read(text).unwrap();
        assert_eq!(jingle.reason, Some(Reason::new("expired", "Idle session timeout")));
        assert_eq!(jingle.extension("bridge-session", ns::FOCUS).unwrap().attr("restart"), Some("true"));
        assert_eq!(jingle.to_element().to_string(), text);
    }

    #[test]
    fn reads_an_accept_as_the_stock_client_writes_it() {
        let jingle = read(
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' initiator='f@a/f' responder='c@d/r' sid='s1'>\
             <content creator='responder' name='audio' senders='both'>\
             <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='111' name='opus' \
             clockrate='48000' channels='2'/><source ssrc='1001' name='ab12cd34-a0' \
             xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'><parameter name='msid' value='a b'/></source><rtcp-mux/>\
             </description><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'/></content>\
             <content creator='responder' name='video' senders='both'>\
             <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/>\
             <initial-last-n xmlns='jitsi:colibri2' value='20'/></content>\
             <content creator='responder' name='data'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>\
             </content><group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/>\
             <content name='video'/><content name='data'/></group></jingle>",
        )
        .unwrap();
        assert_eq!(jingle.bundle, ["audio", "video", "data"]);
        let description = jingle.contents.first().unwrap().description.as_ref().unwrap();
        assert!(description.rtcp_mux);
        assert_eq!(description.media, RtpMedia::Rtp(model::MediaType::Audio));
        assert_eq!(description.sources.first().unwrap().msid.as_deref(), Some("a b"));
        assert_eq!(jingle.contents.get(1).unwrap().extensions.len(), 1);
        assert!(jingle.contents.get(2).unwrap().description.is_none());
    }

    #[test]
    fn says_what_is_wrong_with_the_words_of_jicofo() {
        let error = |text| read(text).unwrap_err();
        let missing = error("<jingle xmlns='urn:xmpp:jingle:1' sid='s'/>");
        assert_eq!(missing.to_string(), "Missing 'action'");
        let unsupported = error("<jingle xmlns='urn:xmpp:jingle:1' action='security-info' sid='s'/>");
        assert_eq!(unsupported.to_stanza_error().condition, Condition::FeatureNotImplemented);
        assert!(read("<jingle xmlns='urn:xmpp:jingle:1' action='session-info'/>").is_err());
        assert!(read("<content xmlns='urn:xmpp:jingle:1'/>").is_err());
    }

    #[test]
    fn names_every_action() {
        for (action, name) in Action::TABLE {
            assert_eq!((Action::from_name(name), action.as_str()), (Some(action), name));
        }
        assert_eq!(Action::from_name("addsource"), Some(Action::SourceAdd));
    }

    #[test]
    fn refuses_more_contents_than_anyone_needs() {
        let contents = "<content name='a'/>".repeat(MAX_CONTENTS + 1);
        let text = format!("<jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='s'>{contents}</jingle>");
        assert!(matches!(read(&text), Err(InvalidElement::TooMany { .. })));
    }
}
