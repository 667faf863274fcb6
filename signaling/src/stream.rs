//! A stream from its opening to the bound resource (RFC 6120 §4–§7, RFC 7395): which frame means what in which state.
//!
//! Here: one connection's state and its transitions, as values. Not here: what they do to sessions (`server.rs`),
//! passwords (`login.rs`), what a bound session's stanzas do (`router.rs`).
//!
//! ```text
//!  client                                   server
//!  1. <open to=DOMAIN>                      <open>, <features: mechanisms>      AwaitOpen → Authenticating
//!  2. <auth mechanism=…>                    <success> | <failure>               Authenticating → AwaitRestart
//!  3. <open to=DOMAIN>                      <open>, <features: bind, sm>        AwaitRestart → Binding
//!  4. <iq><bind>  | <resume previd h>       result | <resumed>, missed stanzas  Binding → Bound
//!  5. <enable>                              <enabled>                           Bound
//!  6. stanzas, <r>, <a>                                                         Bound
//! ```

use std::time::Instant;

use xmpp::sm::StreamManagement;
use xmpp::{Element, Jid, bind, framing, ns};

use crate::Origin;
use crate::hosts::VirtualHost;

/// Failed logins on one stream before it is closed.
pub(crate) const MAX_LOGIN_FAILURES: u8 = 3;

/// One connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) state: StreamState,
    pub(crate) origin: Origin,
    pub(crate) carrier: Carrier,
    /// When the last frame came.
    pub(crate) last_heard: Instant,
    /// When the other side was last asked for a sign of life.
    pub(crate) probed: Option<Instant>,
}

/// What carries the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A WebSocket.
    WebSocket,
    /// A channel within the process, which cannot get lost.
    InProcess,
}

/// How far a stream has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    AwaitOpen,
    Authenticating { host: VirtualHost, failures: u8 },
    AwaitRestart { identity: Identity },
    Binding { identity: Identity },
    Bound { jid: Jid },
}

/// Who authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) bare: Jid,
    /// The session that the client named as its former one; it ends when the client binds instead of resuming it.
    pub(crate) former: Option<Jid>,
}

/// What a frame asks for, given the state of its stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Open {
        to: Option<String>,
    },
    Restart {
        identity: Identity,
        to: Option<String>,
    },
    Authenticate {
        host: VirtualHost,
        failures: u8,
        mechanism: String,
        initial_response: String,
    },
    Abort {
        host: VirtualHost,
        failures: u8,
    },
    Bind {
        identity: Identity,
        resource: Option<String>,
        iq: Element,
    },
    Resume {
        identity: Identity,
        previd: String,
        h: u32,
    },
    Enable {
        jid: Jid,
        resume: bool,
    },
    HandledCount {
        jid: Jid,
    },
    Ack {
        jid: Jid,
        h: u32,
    },
    Stanza {
        jid: Jid,
        stanza: Element,
    },
    /// Stream management that has no place here; it is refused and the stream goes on.
    UntimelyManagement,
    /// Of no meaning here, harmless: dropped.
    Ignore,
    Close,
    /// Breaks the rules of the stream; `what` says how, for the log.
    Violation {
        what: &'static str,
    },
}

impl Stream {
    pub(crate) fn new(origin: Origin, carrier: Carrier, now: Instant) -> Self {
        Self { state: StreamState::AwaitOpen, origin, carrier, last_heard: now, probed: None }
    }

    /// The address that the stream is bound to.
    pub(crate) fn bound_jid(&self) -> Option<&Jid> {
        match &self.state {
            StreamState::Bound { jid } => Some(jid),
            StreamState::AwaitOpen
            | StreamState::Authenticating { .. }
            | StreamState::AwaitRestart { .. }
            | StreamState::Binding { .. } => None,
        }
    }

    /// What the frame means in this state.
    pub(crate) fn request(&self, frame: Element) -> Request {
        if framing::is_close(&frame) {
            return Request::Close;
        }
        match &self.state {
            StreamState::AwaitOpen if framing::is_open(&frame) => Request::Open { to: to_of(&frame) },
            StreamState::AwaitOpen => Request::Violation { what: "first frame is not an opening" },
            StreamState::Authenticating { host, failures } => match (frame.name(), frame.ns()) {
                ("auth", ns::SASL) => Request::Authenticate {
                    host: *host,
                    failures: *failures,
                    mechanism: frame.attr("mechanism").unwrap_or_default().to_owned(),
                    initial_response: frame.text(),
                },
                ("abort" | "response", ns::SASL) => Request::Abort { host: *host, failures: *failures },
                _ => Request::Violation { what: "not authenticated" },
            },
            StreamState::AwaitRestart { identity } if framing::is_open(&frame) => {
                Request::Restart { identity: identity.clone(), to: to_of(&frame) }
            }
            StreamState::AwaitRestart { .. } => Request::Violation { what: "no restart after authentication" },
            StreamState::Binding { identity } => match StreamManagement::parse(&frame) {
                Some(StreamManagement::Resume { previd, h }) => {
                    Request::Resume { identity: identity.clone(), previd, h }
                }
                Some(_) => Request::UntimelyManagement,
                None => match bind::requested_resource(&frame) {
                    Some(resource) => Request::Bind { identity: identity.clone(), resource, iq: frame },
                    None => Request::Violation { what: "stanza before a resource is bound" },
                },
            },
            StreamState::Bound { jid } => {
                let jid = jid.clone();
                match StreamManagement::parse(&frame) {
                    Some(StreamManagement::Enable { resume }) => Request::Enable { jid, resume },
                    Some(StreamManagement::Request) => Request::HandledCount { jid },
                    Some(StreamManagement::Ack { h }) => Request::Ack { jid, h },
                    Some(StreamManagement::Resume { .. }) => Request::UntimelyManagement,
                    Some(
                        StreamManagement::Enabled { .. }
                        | StreamManagement::Resumed { .. }
                        | StreamManagement::Failed { .. },
                    ) => Request::Ignore,
                    None if is_stanza(&frame) => Request::Stanza { jid, stanza: frame },
                    None => Request::Violation { what: "neither a stanza nor stream management" },
                }
            }
        }
    }
}

fn to_of(frame: &Element) -> Option<String> {
    frame.attr("to").map(str::to_owned)
}

fn is_stanza(frame: &Element) -> bool {
    frame.ns() == ns::CLIENT && matches!(frame.name(), "iq" | "message" | "presence")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn state(name: &str) -> StreamState {
        let identity = Identity { bare: "n@d".parse().unwrap(), former: None };
        match name {
            "AwaitOpen" => StreamState::AwaitOpen,
            "Authenticating" => StreamState::Authenticating { host: VirtualHost::Clients, failures: 0 },
            "AwaitRestart" => StreamState::AwaitRestart { identity },
            "Binding" => StreamState::Binding { identity },
            _ => StreamState::Bound { jid: "n@d/r".parse().unwrap() },
        }
    }

    /// All transitions: for each state, what each kind of frame asks for.
    #[test]
    fn transitions() {
        let frames = [
            ("open", "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='d' version='1.0'/>"),
            ("close", "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
            ("auth", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"),
            ("abort", "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            (
                "bind",
                "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            ),
            ("resume", "<resume xmlns='urn:xmpp:sm:3' previd='p' h='1'/>"),
            ("enable", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
            ("r", "<r xmlns='urn:xmpp:sm:3'/>"),
            ("a", "<a xmlns='urn:xmpp:sm:3' h='1'/>"),
            ("enabled", "<enabled xmlns='urn:xmpp:sm:3'/>"),
            ("message", "<message xmlns='jabber:client'/>"),
            ("other", "<message xmlns='jabber:server'/>"),
        ];
        let mut table = String::new();
        for from in ["AwaitOpen", "Authenticating", "AwaitRestart", "Binding", "Bound"] {
            for (name, text) in frames {
                let stream =
                    Stream { state: state(from), ..Stream::new(Origin::default(), Carrier::WebSocket, Instant::now()) };
                let request = format!("{:?}", stream.request(text.parse().unwrap()));
                let request = request.split([' ', '{']).next().unwrap();
                table += &format!("{from} {name} {request}\n");
            }
        }
        let expected = "\
            AwaitOpen open Open\nAwaitOpen close Close\nAwaitOpen auth Violation\nAwaitOpen abort Violation\n\
            AwaitOpen bind Violation\nAwaitOpen resume Violation\nAwaitOpen enable Violation\nAwaitOpen r Violation\n\
            AwaitOpen a Violation\nAwaitOpen enabled Violation\nAwaitOpen message Violation\n\
            AwaitOpen other Violation\n\
            Authenticating open Violation\nAuthenticating close Close\nAuthenticating auth Authenticate\n\
            Authenticating abort Abort\nAuthenticating bind Violation\nAuthenticating resume Violation\n\
            Authenticating enable Violation\nAuthenticating r Violation\nAuthenticating a Violation\n\
            Authenticating enabled Violation\nAuthenticating message Violation\nAuthenticating other Violation\n\
            AwaitRestart open Restart\nAwaitRestart close Close\nAwaitRestart auth Violation\n\
            AwaitRestart abort Violation\nAwaitRestart bind Violation\nAwaitRestart resume Violation\n\
            AwaitRestart enable Violation\nAwaitRestart r Violation\nAwaitRestart a Violation\n\
            AwaitRestart enabled Violation\nAwaitRestart message Violation\nAwaitRestart other Violation\n\
            Binding open Violation\nBinding close Close\nBinding auth Violation\nBinding abort Violation\n\
            Binding bind Bind\nBinding resume Resume\nBinding enable UntimelyManagement\n\
            Binding r UntimelyManagement\nBinding a UntimelyManagement\nBinding enabled UntimelyManagement\n\
            Binding message Violation\nBinding other Violation\n\
            Bound open Violation\nBound close Close\nBound auth Violation\nBound abort Violation\nBound bind Stanza\n\
            Bound resume UntimelyManagement\nBound enable Enable\nBound r HandledCount\nBound a Ack\n\
            Bound enabled Ignore\nBound message Stanza\nBound other Violation\n";
        assert_eq!(table, expected);
    }
}
