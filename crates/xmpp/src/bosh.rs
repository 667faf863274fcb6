//! Streams over HTTP requests (XEP-0124 1.11, XEP-0206 1.4): the `body` element around stanzas.
//!
//! Here: reading a client's body, writing the server's. Not here: sessions, waiting and windows (`signaling`).

use std::fmt;

use crate::{Element, ns};

/// What a client sends in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRequest {
    /// The session; `None` asks for a new one.
    pub sid: Option<String>,
    /// The request's number (XEP-0124 §9).
    pub rid: u64,
    /// Domain, in a request for a session or a restart.
    pub to: Option<String>,
    /// Seconds that the client is willing to wait for an answer.
    pub wait: Option<u64>,
    /// Requests that the client is willing to leave unanswered.
    pub hold: Option<u64>,
    /// Key of this request (§15).
    pub key: Option<String>,
    /// Last key of a new chain (§15).
    pub new_key: Option<String>,
    /// Seconds for which the client is going to be silent (§10).
    pub pause: Option<u64>,
    /// Whether the stream starts anew (XEP-0206 §5).
    pub is_restart: bool,
    /// Whether the session ends with this request.
    pub is_terminate: bool,
    /// Stanzas and other elements of the stream.
    pub payload: Vec<Element>,
}

/// Largest request number: it has to stay exact where numbers are floating point (XEP-0124 §9).
pub const MAX_RID: u64 = (1 << 53) - 1;

impl BodyRequest {
    /// Reads a `body` element; `None` when it is another or lacks a valid number.
    #[must_use]
    pub fn read(body: Element) -> Option<Self> {
        if !body.is("body", ns::HTTP_BIND) {
            return None;
        }
        let text = |name: &str| body.attr(name).map(str::to_owned);
        let number = |name: &str| body.attr(name).and_then(|value| value.parse().ok());
        let rid: u64 = number("rid").filter(|rid| (1..=MAX_RID).contains(rid))?;
        let is_true = |value: Option<&str>| matches!(value, Some("true" | "1"));
        Some(Self {
            sid: text("sid"),
            rid,
            to: text("to"),
            wait: number("wait"),
            hold: number("hold"),
            key: text("key"),
            new_key: text("newkey"),
            pause: number("pause"),
            is_restart: is_true(body.attr("xmpp:restart")),
            is_terminate: body.attr("type") == Some("terminate"),
            payload: body
                .into_children()
                .map(|mut child| {
                    // COMPAT: old clients leave the namespace of a stanza to the body.
                    child.change_ns(ns::HTTP_BIND, ns::CLIENT);
                    child
                })
                .collect(),
        })
    }
}

/// Why a session ended (XEP-0124 §17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of XEP-0124 §17.2")]
pub enum TerminalCondition {
    BadRequest,
    HostUnknown,
    ImproperAddressing,
    ItemNotFound,
    PolicyViolation,
    RemoteStreamError,
    SystemShutdown,
}

impl TerminalCondition {
    /// The value of the attribute `condition`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::ItemNotFound => "item-not-found",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteStreamError => "remote-stream-error",
            Self::SystemShutdown => "system-shutdown",
        }
    }
}

/// A body of the server, with payload that is text already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    element: Element,
    payload: String,
}

impl Default for Body {
    fn default() -> Self {
        Self { element: Element::new("body", ns::HTTP_BIND), payload: String::new() }
    }
}

impl Body {
    /// The end of a session, because the client said so or for a reason.
    #[must_use]
    pub fn terminate(condition: Option<TerminalCondition>) -> Self {
        let mut body = Self::default();
        body.set_attr("type", "terminate");
        if let Some(condition) = condition {
            body.set_attr("condition", condition.as_str());
        }
        body
    }

    /// Sets an attribute. Names with the prefix `xmpp:` need [`Body::declare_xbosh`].
    pub fn set_attr(&mut self, name: &'static str, value: impl Into<String>) {
        self.element.set_attr(name, value);
    }

    /// Declares the prefix of XEP-0206's attributes.
    pub fn declare_xbosh(&mut self) {
        self.element.set_attr("xmlns:xmpp", ns::XBOSH);
    }

    /// Adds an element of the stream.
    pub fn push(&mut self, element: &impl fmt::Display) {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.payload, "{element}");
    }

    /// Bytes of payload so far.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let empty = self.element.to_string();
        match empty.strip_suffix("/>") {
            Some(head) if !self.payload.is_empty() => write!(f, "{head}>{}</body>", self.payload),
            Some(_) | None => f.write_str(&empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<BodyRequest> {
        BodyRequest::read(text.parse().unwrap())
    }

    #[test]
    fn a_request_for_a_session_is_read() {
        let request = read(
            "<body rid='1573741820' to='meet.example' xml:lang='en' wait='60' hold='1' content='text/xml; charset=utf-8' \
             ver='1.6' xmpp:version='1.0' xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'/>",
        )
        .unwrap();
        assert_eq!((request.rid, request.sid), (1_573_741_820, None));
        assert_eq!((request.to.as_deref(), request.wait, request.hold), (Some("meet.example"), Some(60), Some(1)));
        assert!(!request.is_restart && !request.is_terminate);
    }

    #[test]
    fn a_restart_is_one_in_its_own_namespace_only() {
        let body = |attr: &str| {
            read(&format!(
                "<body rid='2' sid='s' {attr} xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' \
                 xmlns:other='urn:other'/>"
            ))
            .unwrap()
        };
        assert!(body("xmpp:restart='true'").is_restart);
        assert!(!body("restart='true'").is_restart);
        assert!(!body("other:restart='true'").is_restart);
    }

    #[test]
    fn a_body_without_a_number_or_of_another_name_is_none() {
        for bad in ["", "rid='0'", "rid='x'", "rid='-1'", "rid='9007199254740992'"] {
            assert_eq!(read(&format!("<body {bad} xmlns='http://jabber.org/protocol/httpbind'/>")), None, "{bad}");
        }
        assert_eq!(read("<body rid='1' xmlns='jabber:client'/>"), None);
    }

    #[test]
    fn stanzas_are_of_the_stream_even_without_a_namespace_of_their_own() {
        let request =
            read("<body rid='1' sid='s' xmlns='http://jabber.org/protocol/httpbind'><message><body/></message></body>");
        assert!(request.unwrap().payload[0].child("body", ns::CLIENT).is_some());
    }

    #[test]
    fn the_servers_body_carries_text() {
        let mut body = Body::default();
        assert_eq!(body.to_string(), "<body xmlns='http://jabber.org/protocol/httpbind'/>");
        body.set_attr("sid", "a'b");
        body.push(&"<presence/>");
        body.push(&"<message/>");
        assert_eq!(
            body.to_string(),
            "<body xmlns='http://jabber.org/protocol/httpbind' sid='a&apos;b'><presence/><message/></body>"
        );
        assert_eq!(
            Body::terminate(Some(TerminalCondition::ItemNotFound)).to_string(),
            "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='item-not-found'/>"
        );
    }
}
