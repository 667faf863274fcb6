//! Why participants are not there, or no longer.

use std::collections::BTreeMap;
use std::fmt;

/// Longest example text, in characters: it may come from a server.
const MAX_EXAMPLE_CHARS: usize = 300;

/// Why a participant is not there, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureCause {
    /// The host name of the target has no address.
    NameLookup,
    /// The port is closed.
    ConnectionRefused,
    /// No answer to the TCP handshake.
    ConnectTimeout,
    /// The TLS handshake failed: certificate, name or version.
    Tls,
    /// The HTTP upgrade was answered with something other than 101.
    WebSocketRefused,
    /// The WebSocket is open but does not speak XMPP (RFC 7395), or what other servers speak.
    NotXmpp,
    /// SASL failed.
    Authentication,
    /// The conference request was refused or not answered.
    ConferenceRequest,
    /// The MUC refused the join.
    RoomRefused,
    /// No session-initiate came.
    NoOffer,
    /// A session-initiate came that a client cannot accept.
    InvalidOffer,
    /// No candidate pair works, or consent was lost (RFC 7675).
    Ice,
    /// The DTLS handshake failed.
    Dtls,
    /// Connected, but media that others send did not arrive.
    NoMedia,
    /// The server closed the XMPP connection or is gone.
    ConnectionLost,
    /// The focus ended the session.
    SessionTerminated,
    /// This machine has no more files, ports or memory.
    Local,
}

impl FailureCause {
    /// Name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NameLookup => "name_lookup",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::WebSocketRefused => "websocket_refused",
            Self::NotXmpp => "not_xmpp",
            Self::Authentication => "authentication",
            Self::ConferenceRequest => "conference_request",
            Self::RoomRefused => "room_refused",
            Self::NoOffer => "no_offer",
            Self::InvalidOffer => "invalid_offer",
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::NoMedia => "no_media",
            Self::ConnectionLost => "connection_lost",
            Self::SessionTerminated => "session_terminated",
            Self::Local => "local",
        }
    }
}

/// A sentence for an operator, with the next step.
impl fmt::Display for FailureCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NameLookup => "the host name of the target has no address (is the URL right?)",
            Self::ConnectionRefused => "nothing listens at the port of the target (is the web server up?)",
            Self::ConnectTimeout => "the target does not answer TCP (is a firewall in between?)",
            Self::Tls => {
                "the TLS handshake failed (is the certificate valid for this name, and its issuer trusted here?)"
            }
            Self::WebSocketRefused => {
                "the web server refused the WebSocket (is /xmpp-websocket proxied to the XMPP server?)"
            }
            Self::NotXmpp => "the WebSocket does not speak XMPP, or what --signaling says (is the path right?)",
            Self::Authentication => "the XMPP server refused the login (are domain, user and password or token right?)",
            Self::ConferenceRequest => {
                "the focus did not grant the conference (is it connected, and a bridge with it?)"
            }
            Self::RoomRefused => "the room refused the participant (is there a password, a lobby or a limit?)",
            Self::NoOffer => "the focus sent no session-initiate (does it see a bridge that is up?)",
            Self::InvalidOffer => "the session-initiate is not one that a client can accept (see the example)",
            Self::Ice => {
                "no ICE candidate pair works (is the UDP port of the bridge open, and its public address right?)"
            }
            Self::Dtls => "the DTLS handshake with the bridge failed (see the example and the log of the bridge)",
            Self::NoMedia => "media that others send did not arrive (see the log of the bridge)",
            Self::ConnectionLost => {
                "the server closed the XMPP connection (see its log: restarted, or out of memory or files?)"
            }
            Self::SessionTerminated => "the focus ended the session (see its log: bridge lost, or ICE failed?)",
            Self::Local => "this machine ran out of a resource (raise `ulimit -n`, or spread the load over hosts)",
        })
    }
}

/// Failures of one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How many participants.
    pub count: u64,
    /// What the first one saw. Empty where there was nothing to say.
    pub example: String,
}

/// Failures by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<FailureCause, Failure>);

impl Failures {
    pub(super) fn record(&mut self, cause: FailureCause, example: &str) {
        self.add(cause, 1, example);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (cause, failure) in &other.0 {
            self.add(*cause, failure.count, &failure.example);
        }
    }

    fn add(&mut self, cause: FailureCause, count: u64, example: &str) {
        let failure = self.0.entry(cause).or_insert_with(|| Failure { count: 0, example: String::new() });
        failure.count += count;
        if failure.example.is_empty() {
            failure.example = example.chars().take(MAX_EXAMPLE_CHARS).collect();
        }
    }

    /// How many participants failed, of whatever cause.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().map(|failure| failure.count).sum()
    }

    /// In the order of the causes.
    pub fn iter(&self) -> impl Iterator<Item = (FailureCause, &Failure)> {
        self.0.iter().map(|(cause, failure)| (*cause, failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_example_and_counts_all() {
        let mut failures = Failures::default();
        failures.record(FailureCause::Ice, "");
        failures.record(FailureCause::Ice, "no pair answered in 15 s");
        failures.record(FailureCause::Ice, "other");
        failures.record(FailureCause::Authentication, "not-authorized");
        let seen: Vec<_> = failures.iter().map(|(cause, failure)| (cause, failure.count, &*failure.example)).collect();
        assert_eq!(
            seen,
            [(FailureCause::Authentication, 1, "not-authorized"), (FailureCause::Ice, 3, "no pair answered in 15 s")]
        );
        assert_eq!(failures.total(), 4);
    }

    #[test]
    fn an_example_is_cut_between_characters() {
        let mut failures = Failures::default();
        failures.record(FailureCause::Tls, &"é".repeat(1000));
        assert_eq!(failures.iter().next().map(|(_, failure)| failure.example.chars().count()), Some(300));
    }
}
