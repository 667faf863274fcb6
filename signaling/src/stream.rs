//! A stream from its opening to the bound resource (RFC 6120 §4–§7, RFC 7395): which frame means what in which state.
//!
//! The states are those of a stream over WebSocket; the shell translates the header and the end of a stream over TCP or
//! BOSH into `open` and `close`, so that here all carriers look alike.
//!
//! Here: one connection's state and its transitions, as values. Not here: what they do to sessions (`server.rs`),
//! passwords (`login.rs`), what a bound session's stanzas do (`router.rs`).
//!
//! ```text
//!  client                                   server
//!  0. <open>, <starttls> (TCP only)         <open>, <features>, <proceed>       AwaitOpen → AwaitTls → AwaitOpen
//!  1. <open to=DOMAIN>                      <open>, <features: mechanisms>      AwaitOpen → Authenticating
//!  2. <auth mechanism=…>                    <success> | <failure>               Authenticating → AwaitRestart
//!     <auth mechanism=SCRAM…>, <response>   <challenge>, <success>              Authenticating → Challenged → AwaitRestart
//!     <auth mechanism=PLAIN>                (the password is checked), as 2     Authenticating → Checking → AwaitRestart
//!     <auth mechanism=SCRAM…>               (the account is looked up), as 2    Authenticating → LookingUp → Challenged
//!  3. <open to=DOMAIN>                      <open>, <features: bind, sm>        AwaitRestart → Binding
//!  4. <iq><bind>  | <resume previd h>       result | <resumed>, missed stanzas  Binding → Bound
//!  5. <enable>                              <enabled>                           Bound
//!  6. stanzas, <r>, <a>                                                         Bound
//!
//!  component (XEP-0114)
//!  1. <open to=COMPONENT>                   <open id>                           AwaitOpen → ComponentHandshake
//!  2. <handshake>                           <handshake>                         ComponentHandshake → Bound
//! ```

use std::time::Instant;

use xmpp::sasl::Mechanism;
use xmpp::sm::StreamManagement;
use xmpp::{Element, Jid, bind, component, framing, ns};

use crate::Origin;
use crate::hosts::VirtualHost;
use crate::scram::{ScramExchange, ScramStart};

/// Failed logins on one stream before it is closed.
pub(crate) const MAX_LOGIN_FAILURES: u8 = 3;

/// One connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) state: StreamState,
    pub(crate) origin: Origin,
    pub(crate) carrier: Carrier,
    /// What the client may bind its login to.
    pub(crate) bindings: Vec<ChannelBinding>,
    /// When the last frame came.
    pub(crate) last_heard: Instant,
    /// When the other side was last asked for a sign of life.
    pub(crate) probed: Option<Instant>,
}

/// What carries the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket. Whoever serves it has seen to TLS.
    #[default]
    WebSocket,
    /// HTTP requests (XEP-0206). Whoever serves them has seen to TLS.
    Bosh,
    /// A TCP connection (RFC 6120 §3).
    Tcp(Tls),
    /// A TCP connection of a component (XEP-0114).
    Component,
    /// A channel within the process, which cannot get lost.
    InProcess,
}

/// TLS on a TCP connection (RFC 6120 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Has to come before anything else.
    Required,
    /// May come.
    Offered,
    /// There is none, and passwords are sent all the same: the operator says that the network is private.
    Absent,
    /// Is in place.
    Established,
}

/// What both ends of a TLS connection know and nobody else (RFC 5056).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBinding {
    /// The registered name: `tls-exporter` (RFC 9266) or `tls-server-end-point` (RFC 5929 §4).
    pub name: &'static str,
    /// The data.
    pub data: Vec<u8>,
}

/// How far a stream has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    AwaitOpen,
    AwaitTls,
    Authenticating { host: VirtualHost, failures: u8 },
    Challenged { host: VirtualHost, failures: u8, exchange: Exchange },
    Checking { host: VirtualHost, failures: u8, account: Jid },
    LookingUp { host: VirtualHost, failures: u8, start: Box<ScramStart> },
    Deciding { host: VirtualHost, failures: u8, identity: Identity, message: Option<String> },
    ComponentHandshake { domain: Jid, stream_id: String },
    AwaitRestart { identity: Identity },
    Binding { identity: Identity },
    Bound { jid: Jid },
}

/// A negotiation that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// The client began without a message.
    First(Mechanism),
    /// SCRAM's last message is to come.
    Scram(Box<ScramExchange>),
}

/// How somebody authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginKind {
    /// As an account, with its password.
    Account,
    /// Without one, under a name that the server made up: as a guest, or with a token.
    Anonymous,
}

/// Who authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) bare: Jid,
    pub(crate) login: LoginKind,
    /// The session that the client named as its former one; it ends when the client binds instead of resuming it.
    pub(crate) former: Option<Jid>,
}

impl Identity {
    /// An account whose password was right.
    pub(crate) fn of_account(bare: Jid) -> Self {
        Self { bare, login: LoginKind::Account, former: None }
    }
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
    StartTls,
    Authenticate {
        host: VirtualHost,
        failures: u8,
        mechanism: String,
        initial_response: String,
    },
    Respond {
        host: VirtualHost,
        failures: u8,
        exchange: Exchange,
        response: String,
    },
    Handshake {
        domain: Jid,
        stream_id: String,
        digest: String,
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
    ComponentStanza {
        domain: Jid,
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
        Self { state: StreamState::AwaitOpen, origin, carrier, bindings: Vec::new(), last_heard: now, probed: None }
    }

    /// The address that the stream is bound to.
    pub(crate) fn bound_jid(&self) -> Option<&Jid> {
        match &self.state {
            StreamState::Bound { jid } => Some(jid),
            StreamState::AwaitOpen
            | StreamState::AwaitTls
            | StreamState::Authenticating { .. }
            | StreamState::Challenged { .. }
            | StreamState::Checking { .. }
            | StreamState::LookingUp { .. }
            | StreamState::Deciding { .. }
            | StreamState::ComponentHandshake { .. }
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
            StreamState::AwaitTls => Request::Violation { what: "data between TLS being agreed on and its start" },
            StreamState::Checking { .. } => Request::Violation { what: "data while a password is checked" },
            StreamState::LookingUp { .. } => Request::Violation { what: "data while an account is looked up" },
            StreamState::Deciding { .. } => Request::Violation { what: "data while a login is decided" },
            StreamState::Authenticating { .. } if frame.is("starttls", ns::TLS) => match self.carrier {
                Carrier::Tcp(Tls::Required | Tls::Offered) => Request::StartTls,
                Carrier::Tcp(Tls::Absent | Tls::Established)
                | Carrier::WebSocket
                | Carrier::Bosh
                | Carrier::Component
                | Carrier::InProcess => Request::Violation { what: "no TLS to be had" },
            },
            StreamState::Authenticating { .. } if self.carrier == Carrier::Tcp(Tls::Required) => {
                Request::Violation { what: "no TLS, and it is required" }
            }
            StreamState::Challenged { host, failures, exchange } => match (frame.name(), frame.ns()) {
                ("response", ns::SASL) => Request::Respond {
                    host: *host,
                    failures: *failures,
                    exchange: exchange.clone(),
                    response: frame.text(),
                },
                ("abort", ns::SASL) => Request::Abort { host: *host, failures: *failures },
                _ => Request::Violation { what: "not authenticated" },
            },
            StreamState::ComponentHandshake { domain, stream_id } => match component::digest_of(&frame) {
                Some(digest) => Request::Handshake { domain: domain.clone(), stream_id: stream_id.clone(), digest },
                None => Request::Violation { what: "no handshake" },
            },
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
            StreamState::Bound { jid } if self.carrier == Carrier::Component => {
                if is_stanza(&frame) {
                    Request::ComponentStanza { domain: jid.clone(), stanza: frame }
                } else {
                    Request::Violation { what: "not a stanza" }
                }
            }
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
    use xmpp::sasl::ScramHash;

    use super::*;
    use crate::scram::ScramKind;

    fn state(name: &str) -> StreamState {
        let identity = Identity { bare: "n@d".parse().unwrap(), login: LoginKind::Account, former: None };
        match name {
            "AwaitOpen" => StreamState::AwaitOpen,
            "AwaitTls" => StreamState::AwaitTls,
            "Authenticating" | "NeedsTls" => StreamState::Authenticating { host: VirtualHost::Clients, failures: 0 },
            "Challenged" => StreamState::Challenged {
                host: VirtualHost::Services,
                failures: 0,
                exchange: Exchange::First(Mechanism::Plain),
            },
            "Checking" => StreamState::Checking { host: VirtualHost::Services, failures: 0, account: identity.bare },
            "LookingUp" => {
                let kind = ScramKind { hash: ScramHash::Sha256, is_bound: false, offers_binding: false };
                let start = ScramStart::parse(b"n,,n=n,r=abc", "xyz", kind, &[], &"d".parse().unwrap()).unwrap();
                StreamState::LookingUp { host: VirtualHost::Services, failures: 0, start: Box::new(start) }
            }
            "Deciding" => StreamState::Deciding { host: VirtualHost::Clients, failures: 0, identity, message: None },
            "Handshake" => StreamState::ComponentHandshake { domain: identity.bare, stream_id: String::new() },
            "AwaitRestart" => StreamState::AwaitRestart { identity },
            "Binding" => StreamState::Binding { identity },
            _ => StreamState::Bound { jid: "n@d/r".parse().unwrap() },
        }
    }

    /// All transitions: for each state, what each kind of frame asks for. What is not in the table is a violation.
    #[test]
    fn transitions() {
        let frames = [
            ("open", "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='d' version='1.0'/>"),
            ("close", "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
            ("auth", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"),
            ("abort", "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            ("response", "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            ("starttls", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            ("handshake", "<handshake xmlns='jabber:component:accept'/>"),
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
        let states = [
            ("AwaitOpen", Carrier::WebSocket),
            ("AwaitTls", Carrier::Tcp(Tls::Required)),
            ("NeedsTls", Carrier::Tcp(Tls::Required)),
            ("Authenticating", Carrier::WebSocket),
            ("Challenged", Carrier::WebSocket),
            ("Checking", Carrier::WebSocket),
            ("LookingUp", Carrier::WebSocket),
            ("Deciding", Carrier::WebSocket),
            ("AwaitRestart", Carrier::WebSocket),
            ("Binding", Carrier::WebSocket),
            ("Bound", Carrier::WebSocket),
            ("Handshake", Carrier::Component),
            ("BoundComponent", Carrier::Component),
        ];
        for (from, carrier) in states {
            for (name, text) in frames {
                let stream = Stream { state: state(from), ..Stream::new(Origin::default(), carrier, Instant::now()) };
                let request = format!("{:?}", stream.request(text.parse().unwrap()));
                let request = request.split([' ', '{']).next().unwrap();
                if request != "Violation" {
                    table += &format!("{from} {name} {request}\n");
                }
            }
        }
        let expected = "\
            AwaitOpen open Open\nAwaitOpen close Close\n\
            AwaitTls close Close\n\
            NeedsTls close Close\nNeedsTls starttls StartTls\n\
            Authenticating close Close\nAuthenticating auth Authenticate\nAuthenticating abort Abort\n\
            Authenticating response Abort\n\
            Challenged close Close\nChallenged abort Abort\nChallenged response Respond\n\
            Checking close Close\n\
            LookingUp close Close\n\
            Deciding close Close\n\
            AwaitRestart open Restart\nAwaitRestart close Close\n\
            Binding close Close\nBinding bind Bind\nBinding resume Resume\nBinding enable UntimelyManagement\n\
            Binding r UntimelyManagement\nBinding a UntimelyManagement\nBinding enabled UntimelyManagement\n\
            Bound close Close\nBound bind Stanza\nBound resume UntimelyManagement\nBound enable Enable\n\
            Bound r HandledCount\nBound a Ack\nBound enabled Ignore\nBound message Stanza\n\
            Handshake close Close\nHandshake handshake Handshake\n\
            BoundComponent close Close\nBoundComponent bind ComponentStanza\nBoundComponent message ComponentStanza\n";
        assert_eq!(table, expected);
    }
}
