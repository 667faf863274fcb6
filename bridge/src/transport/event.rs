//! What goes in and comes out of a transport besides packets.

use dtls::DtlsError;
use ice::IceError;
use model::FiveTuple;
use sctp::SctpError;
use srtp::{ProtectionProfile, SrtpError};

/// Whether the endpoint may open a data channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SctpMode {
    /// It may not: nothing that DTLS carries is looked at.
    None,
    /// The bridge waits for the association of the endpoint.
    Server,
    /// The bridge starts the association and opens the channel, as the SCTP client of a relay.
    Client,
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// STUN or DTLS, taken. [`poll_event`](super::EndpointTransport::poll_event) may have something now.
    Handled,
    /// Not taken, and nothing to poll for.
    Dropped,
}

/// A turn in the life of the transport.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// ICE has a pair: for the first time, after silence, or another one.
    IceConnected {
        /// The pair.
        path: FiveTuple,
    },
    /// Keys are there ([`take_session`](super::EndpointTransport::take_session)) and the certificate is the signalled one:
    /// media can flow.
    DtlsConnected {
        /// How it is protected.
        profile: ProtectionProfile,
    },
    /// The peer ended DTLS: nothing may be sent to it any more.
    DtlsClosed,
    /// The endpoint opened its data channel.
    ChannelOpen,
    /// A text on the data channel.
    ChannelText(String),
    /// The data channel is closed. The endpoint may open another one, unless DTLS ended too.
    ChannelClosed,
    /// It is over; nothing comes out of the transport from here on. Comes once, and last.
    Failed(Failure),
}

/// Why a transport is over. Silence is none of the reasons: a peer may come back, and the endpoint's timers decide.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Handshake or connection.
    #[error("DTLS: {0}")]
    Dtls(#[source] DtlsError),
    /// The association cannot start.
    #[error("SCTP: {0}")]
    Sctp(#[source] SctpError),
    /// The keys of DTLS cannot be used.
    #[error("SRTP: {0}")]
    Srtp(#[source] SrtpError),
    /// A protocol library panicked on what this peer sent; other endpoints are not touched.
    #[error("a protocol library panicked")]
    Panicked,
}

/// A request of the focus that cannot be met.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    /// Credentials, candidates or addresses.
    #[error("ICE: {0}")]
    Ice(#[source] IceError),
    /// Fingerprints.
    #[error("DTLS: {0}")]
    Dtls(#[source] DtlsError),
}
