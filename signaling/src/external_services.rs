//! STUN and TURN servers that clients are told of (XEP-0215), with credentials made for each who asks.
//!
//! Credentials are time-limited (draft-uberti-behave-turn-rest-00): the user name is `expiry:name`, the password the
//! base64 of its HMAC-SHA1 under a secret that the TURN server shares. Nothing is kept of them here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use xmpp::extdisco::{self, ExternalService};
use xmpp::{Condition, Element, Jid, StanzaError, datetime};

use crate::{Now, Secret};

/// What clients are told, and what TURN servers trust.
#[derive(Clone, Debug, Default)]
pub struct ExternalServices {
    /// The servers.
    pub servers: Vec<IceServer>,
    /// What makes credentials for TURN; without it clients are told of STUN only.
    pub turn: Option<TurnCredentials>,
}

/// A STUN or TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// What it is.
    pub kind: IceServerKind,
    /// Host name or address, IPv6 in brackets. `None`: the host that the client reached this server at.
    pub host: Option<String>,
    /// Port number.
    pub port: u16,
}

/// Kind of a server, with its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceServerKind {
    /// STUN over UDP.
    Stun,
    /// TURN over UDP.
    TurnUdp,
    /// TURN over TCP.
    TurnTcp,
    /// TURN over TLS.
    Turns,
}

impl IceServerKind {
    /// Type and transport, as in the element.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Stun => ("stun", "udp"),
            Self::TurnUdp => ("turn", "udp"),
            Self::TurnTcp => ("turn", "tcp"),
            Self::Turns => ("turns", "tcp"),
        }
    }
}

/// A text that is no URI of a STUN or TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidIceServer(String);

impl fmt::Display for InvalidIceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not of the form stun:host:port, turn:host:port?transport=udp or turns:host:port", self.0)
    }
}

impl std::error::Error for InvalidIceServer {}

impl FromStr for IceServer {
    type Err = InvalidIceServer;

    /// Reads a URI (RFC 7064, RFC 7065), whose port may be left out: 3478, or 5349 with TLS.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidIceServer(text.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(invalid)?;
        let (authority, transport) = rest.split_once("?transport=").map_or((rest, None), |(a, t)| (a, Some(t)));
        let (kind, default_port) = match (scheme, transport) {
            ("stun", None) => (IceServerKind::Stun, 3478),
            ("turn", None | Some("udp")) => (IceServerKind::TurnUdp, 3478),
            ("turn", Some("tcp")) => (IceServerKind::TurnTcp, 3478),
            ("turns", None | Some("tcp")) => (IceServerKind::Turns, 5349),
            _ => return Err(invalid()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| invalid())?),
            Some(_) | None => (authority, default_port),
        };
        let is_host = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
        if !is_host || port == 0 {
            return Err(invalid());
        }
        Ok(Self { kind, host: Some(host.to_owned()), port })
    }
}

/// How credentials are made.
#[derive(Clone, Debug)]
pub struct TurnCredentials {
    /// Shared with the TURN servers.
    pub secret: Secret,
    /// How long they serve. A relay that was made in time lives on.
    pub lifetime: Duration,
}

impl TurnCredentials {
    /// Stock's time (`turncredentials` of Prosody): a client keeps what it got when it joined, for ICE restarts later.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(86_400);
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) jid: &'a Jid,
    /// The host that its client reached this server at.
    pub(crate) host: Option<&'a str>,
}

impl ExternalServices {
    /// The `services` element for one client; `kind` limits the list to one type.
    pub(crate) fn services(&self, now: Now, asker: Asker<'_>, kind: Option<&str>) -> Element {
        extdisco::services(&self.of(now, asker), kind)
    }

    /// The `credentials` element that a request of such asks for (XEP-0215 §3.3).
    pub(crate) fn credentials(&self, now: Now, asker: Asker<'_>, request: &Element) -> Result<Element, StanzaError> {
        let wanted = request.children().next().ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
        let is_wanted = |service: &ExternalService| {
            let port = service.port.to_string();
            wanted.attr("type") == Some(service.kind.as_str())
                && wanted.attr("host") == Some(service.host.as_str())
                && wanted.attr("port").is_none_or(|wanted| wanted == port)
                && service.username.is_some()
        };
        let found: Vec<_> = self.of(now, asker).into_iter().filter(is_wanted).collect();
        if found.is_empty() {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        Ok(extdisco::credentials(&found))
    }

    /// The same as metadata of a room tells it (client.md §3).
    pub(crate) fn to_json(&self, now: Now, asker: Asker<'_>) -> Value {
        let services = self.of(now, asker).into_iter().map(|service| {
            let mut json = json!({
                "type": service.kind, "host": service.host, "port": service.port.to_string(),
                "transport": service.transport,
            });
            if let (Some(username), Some(password)) = (service.username, service.password) {
                json["username"] = Value::from(username);
                json["password"] = Value::from(password);
                json["expires"] = Value::from(service.expires);
                json["restricted"] = Value::from("1");
            }
            json
        });
        services.collect()
    }

    fn of(&self, now: Now, asker: Asker<'_>) -> Vec<ExternalService> {
        let made = self.turn.as_ref().map(|turn| turn.make(now, asker.jid));
        let service = |server: &IceServer| {
            let (kind, transport) = server.kind.words();
            let needs_credentials = server.kind != IceServerKind::Stun;
            let made = made.as_ref().filter(|_| needs_credentials);
            if needs_credentials && made.is_none() {
                return None;
            }
            Some(ExternalService {
                kind: kind.to_owned(),
                host: server.host.as_deref().or(asker.host)?.to_owned(),
                port: server.port,
                transport: transport.to_owned(),
                username: made.map(|made| made.username.clone()),
                password: made.map(|made| made.password.clone()),
                expires: made.map(|made| made.expires.clone()),
            })
        };
        self.servers.iter().filter_map(service).collect()
    }
}

struct Made {
    username: String,
    password: String,
    expires: String,
}

impl TurnCredentials {
    fn make(&self, now: Now, jid: &Jid) -> Made {
        let expires_s = now.unix_ms / 1000 + self.lifetime.as_secs();
        // The same for all requests of one session, so that the server can count what it holds, and meaningless to
        // those who see it on the wire.
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        let tag = hmac::sign(&key, jid.as_str().as_bytes());
        let name: String = tag.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let username = format!("{expires_s}:{name}");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.expose().as_bytes());
        let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        Made { username, password, expires: datetime::format_utc(expires_s * 1000) }
    }
}

/// 64 bits tell any number of sessions apart.
const NAME_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn now() -> Now {
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        Now { instant: Instant::now(), unix_ms: 1_787_400_000_123 }
    }

    fn services() -> ExternalServices {
        let server = |kind, host: Option<&str>, port| IceServer { kind, host: host.map(str::to_owned), port };
        ExternalServices {
            servers: vec![
                server(IceServerKind::Stun, None, 3478),
                server(IceServerKind::TurnUdp, Some("turn.example"), 3478),
                server(IceServerKind::Turns, None, 443),
            ],
            turn: Some(TurnCredentials { secret: Secret::new("north").unwrap(), lifetime: Duration::from_secs(600) }),
        }
    }

    fn alice() -> Jid {
        "alice@guest.example/x".parse().unwrap()
    }

    #[test]
    fn each_client_gets_its_own_credentials_that_expire() {
        let jid = alice();
        let asker = Asker { jid: &jid, host: Some("meet.example") };
        let all = services().of(now(), asker);
        let words: Vec<_> = all.iter().map(|service| (service.kind.as_str(), service.host.as_str())).collect();
        assert_eq!(words, [("stun", "meet.example"), ("turn", "turn.example"), ("turns", "meet.example")]);
        assert_eq!(all[0].username, None);
        let username = all[1].username.as_deref().unwrap();
        assert!(username.starts_with("1787400600:") && !username.contains("alice"), "{username}");
        assert_eq!(all[1].expires.as_deref(), Some("2026-08-22T12:10:00.000Z"));
        let bob: Jid = "bob@guest.example/x".parse().unwrap();
        let other = services().of(now(), Asker { jid: &bob, host: None });
        assert_ne!(other[0].username, all[1].username);
        assert_eq!(other.len(), 1, "where the client came from is not known");
    }

    #[test]
    fn servers_read_as_uris() {
        for (text, kind, host, port) in [
            ("stun:turn.example", IceServerKind::Stun, "turn.example", 3478),
            ("turn:turn.example:80?transport=tcp", IceServerKind::TurnTcp, "turn.example", 80),
            ("turn:192.0.2.1", IceServerKind::TurnUdp, "192.0.2.1", 3478),
            ("turns:[2001:db8::1]:443?transport=tcp", IceServerKind::Turns, "[2001:db8::1]", 443),
            ("turns:[2001:db8::1]", IceServerKind::Turns, "[2001:db8::1]", 5349),
        ] {
            assert_eq!(text.parse(), Ok(IceServer { kind, host: Some(host.to_owned()), port }), "{text}");
        }
        for text in ["", "turn", "turn:", "turn:a b", "turn:a:0", "turn:a:99999", "turns:a?transport=udp", "http:a"] {
            assert!(text.parse::<IceServer>().unwrap_err().to_string().contains(&format!("{text:?}")), "{text}");
        }
    }

    #[test]
    fn without_a_secret_there_is_no_turn() {
        let jid = alice();
        let services = ExternalServices { turn: None, ..services() };
        let all = services.of(now(), Asker { jid: &jid, host: Some("meet.example") });
        assert_eq!(all.iter().map(|service| service.kind.as_str()).collect::<Vec<_>>(), ["stun"]);
    }

    #[test]
    fn credentials_of_one_service_are_given_on_request() {
        let jid = alice();
        let asker = Asker { jid: &jid, host: Some("meet.example") };
        let ask = |kind: &str, host: &str| {
            let service = Element::new("service", xmpp::ns::EXTDISCO).with_attr("type", kind).with_attr("host", host);
            services().credentials(now(), asker, &Element::new("credentials", xmpp::ns::EXTDISCO).with_child(service))
        };
        let answer = ask("turns", "meet.example").unwrap();
        assert_eq!(answer.name(), "credentials");
        let services: Vec<_> = answer.children().map(|service| service.attr("port")).collect();
        assert_eq!(services, [Some("443")]);
        assert!(ask("stun", "meet.example").is_err() && ask("turn", "other.example").is_err());
    }
}
