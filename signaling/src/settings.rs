//! What an operator decides about signaling. Binaries fill it from files and the environment.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use xmpp::{InvalidJid, Jid};

use crate::{
    AddressLimits, ApiSettings, ConferenceSettings, ExternalServices, Hosts, OutsideSettings, ShortLivedTokens,
    StanzaRates, TokenSettings, VisitorSettings,
};

/// Settings of the signaling service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses that are served.
    pub hosts: Hosts,
    /// Password of all service accounts; `None` closes the domain of the service accounts to network connections.
    pub service_secret: Option<Secret>,
    /// Names that may log in at the domain of the service accounts.
    pub service_accounts: Vec<String>,
    /// Accounts with passwords of their own, at any of the domains.
    pub accounts: Vec<Account>,
    /// Who may log in at the domain of the clients.
    pub client_login: ClientLogin,
    /// Components that may connect (XEP-0114).
    pub components: Vec<Component>,
    /// Which part of a larger deployment this is.
    pub deployment: Deployment,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<model::Network>,
    /// STUN and TURN servers to tell clients of.
    pub external_services: ExternalServices,
    /// Tokens for services beside conferences; `None` for none.
    pub short_lived_tokens: Option<ShortLivedTokens>,
    /// Whether a client is told the domain's services before its bind result, which saves it a round trip.
    pub push_disco: bool,
    /// Rules of conference rooms.
    pub conference: ConferenceSettings,
    /// Rules of visitors, where there are nodes for them ([`Hosts::visitors`]).
    pub visitors: VisitorSettings,
    /// Servers of others that are asked or told what happens in rooms.
    pub outside: OutsideSettings,
    /// What is served over HTTP besides XMPP.
    pub api: ApiSettings,
    /// Limits on what clients can make grow.
    pub limits: Limits,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Settings {
    /// Settings for a deployment whose addresses are the usual ones below its domain.
    ///
    /// # Errors
    /// When `domain` is not a domain.
    pub fn for_domain(domain: &str) -> Result<Self, InvalidJid> {
        Hosts::of(domain).map(Self::new)
    }

    /// Settings for a deployment with these addresses, with the defaults of everything else.
    #[must_use]
    pub fn new(hosts: Hosts) -> Self {
        Self {
            hosts,
            service_secret: None,
            service_accounts: vec!["focus".to_owned(), "jvb".to_owned()],
            accounts: Vec::new(),
            client_login: ClientLogin::default(),
            components: Vec::new(),
            deployment: Deployment::default(),
            trusted_proxies: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            external_services: ExternalServices::default(),
            short_lived_tokens: None,
            push_disco: false,
            conference: ConferenceSettings::default(),
            visitors: VisitorSettings::default(),
            outside: OutsideSettings::default(),
            api: ApiSettings::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(Hosts::default())
    }
}

/// Who may log in at the domain of the clients (`AUTH_TYPE`), besides accounts that the settings name.
#[derive(Clone, Debug, Default)]
pub enum ClientLogin {
    /// Everybody, without an account (`ENABLE_AUTH=0`).
    #[default]
    Anonymous,
    /// Who shows a token.
    Tokens(TokenSettings),
    /// Who has an account.
    Passwords(AccountSource),
    /// Who has either.
    TokensOrPasswords(TokenSettings, AccountSource),
}

/// Who knows the accounts of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountSource {
    /// The file of accounts of this server (`internal`).
    Store,
    /// A directory (`ldap`).
    Directory,
}

impl ClientLogin {
    /// Whether a login may come without a password: as a guest, or with a token.
    pub(crate) const fn takes_no_password(&self) -> bool {
        !matches!(self, Self::Passwords(_))
    }

    /// Tokens that clients log in with; `None` when tokens mean nothing.
    pub(crate) const fn tokens(&self) -> Option<&TokenSettings> {
        match self {
            Self::Tokens(tokens) | Self::TokensOrPasswords(tokens, _) => Some(tokens),
            Self::Anonymous | Self::Passwords(_) => None,
        }
    }

    /// Who knows the accounts of clients; `None` when they have none.
    pub(crate) const fn accounts(&self) -> Option<AccountSource> {
        match self {
            Self::Passwords(source) | Self::TokensOrPasswords(_, source) => Some(*source),
            Self::Anonymous | Self::Tokens(_) => None,
        }
    }
}

/// Somebody who logs in with a password.
#[derive(Clone, Debug)]
pub struct Account {
    /// The bare JID.
    pub jid: Jid,
    /// The password.
    pub password: Secret,
}

/// A component that may connect (XEP-0114).
#[derive(Clone, Debug)]
pub struct Component {
    /// The domain that it serves.
    pub domain: Jid,
    /// What it shows that it knows.
    pub secret: Secret,
}

/// Which part of a larger deployment a server is; clients read it (client.md §2.4, §2.7).
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Name of the shard. Clients reload when it changes under them.
    pub shard: Option<String>,
    /// Where the server stands.
    pub region: Option<String>,
    /// What the operator calls this version of the deployment.
    pub release: Option<String>,
}

/// A password that does not get printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password; `None` when it is empty, which would let everybody in.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Option<Self> {
        let secret = secret.into();
        (!secret.is_empty()).then_some(Self(secret))
    }

    /// The password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Limits on what clients can make grow. What is over a limit is refused and counted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time, bound or not.
    pub connections: usize,
    /// Sessions at one time, those that wait for their client among them.
    pub sessions: usize,
    /// Bytes of one frame from a client.
    pub client_frame_bytes: usize,
    /// Bytes of one frame from a service account.
    pub service_frame_bytes: usize,
    /// Bytes a second that are read from a client for long; faster clients are read later, as stock does.
    pub client_bytes_per_second: u32,
    /// Bytes that a client may send at once before it is slowed down: a join with its session-accept is about 50 kB.
    pub client_burst_bytes: u32,
    /// Frames that wait for a client that does not read; more end its session.
    pub client_queue: usize,
    /// Frames that wait for a service account.
    pub service_queue: usize,
    /// Bytes in frames that wait for a client; more end its session. A room of 500 tells a newcomer 1 MB.
    pub client_queue_bytes: usize,
    /// Bytes in frames that wait for a service account.
    pub service_queue_bytes: usize,
    /// Stanzas that a client has not acknowledged; more end its session.
    pub unacknowledged: usize,
    /// Bytes in stanzas that a client has not acknowledged; more end its session. A room of 500 tells a newcomer 1 MB.
    pub unacknowledged_bytes: usize,
    /// Rooms at one time.
    pub rooms: usize,
    /// Rooms that one client may be in: a meeting, its lobby and a breakout room are three.
    pub rooms_per_session: usize,
    /// Participants of a room, the focus and other service accounts not counted; `None` for no limit.
    pub occupants: Option<usize>,
    /// Messages that a late joiner is shown.
    pub history: usize,
    /// Logins with a wrong password or token that an address may try in a minute; `None` for no limit.
    pub failed_logins: Option<u32>,
    /// Stanzas that a client may send in a second; `None` for no limit, as in stock. Services and recorders have none.
    pub stanzas: Option<StanzaRates>,
    /// What one address may do.
    pub addresses: AddressLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            sessions: 20_000,
            client_frame_bytes: 64 * 1024,
            service_frame_bytes: 10 * 1024 * 1024,
            client_bytes_per_second: 16 * 1024,
            client_burst_bytes: 512 * 1024,
            client_queue: 4096,
            service_queue: 16 * 1024,
            client_queue_bytes: 8 * 1024 * 1024,
            service_queue_bytes: 64 * 1024 * 1024,
            unacknowledged: 8192,
            unacknowledged_bytes: 4 * 1024 * 1024,
            rooms: 10_000,
            rooms_per_session: 16,
            occupants: None,
            history: 20,
            failed_logins: Some(20),
            stanzas: None,
            addresses: AddressLimits::default(),
        }
    }
}

/// How long to wait for what. With the defaults, a participant who is gone without goodbye leaves the room between 60
/// and 75 seconds later: see [`Timeouts::hibernation`].
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From the connection to the bound resource.
    pub handshake: Duration,
    /// Silence after which the other side is asked for a sign of life. Clients ping every 10 s unless they heard
    /// something, so a silent client may be well.
    pub probe_after: Duration,
    /// How long that question may stay unanswered before the connection counts as lost.
    pub probe_answer: Duration,
    /// How long a lost session waits for its client to resume it, counted from the loss: the end of the connection, or
    /// the first question that nobody answered. The stock client's third and last try comes up to 39 s after it
    /// noticed.
    pub hibernation: Duration,
    /// The same for service accounts: they come back at once or not at all, and a bridge that is gone takes no conference.
    pub service_hibernation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(30),
            probe_after: Duration::from_secs(15),
            probe_answer: Duration::from_secs(15),
            hibernation: Duration::from_secs(60),
            service_hibernation: Duration::from_secs(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_neither_empty_nor_printed() {
        assert_eq!(Secret::new(""), None);
        assert_eq!(format!("{:?}", Secret::new("hush").unwrap()), "Secret(…)");
    }
}
