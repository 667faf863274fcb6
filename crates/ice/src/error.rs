//! Errors of this crate, and the reasons for which a STUN message is dropped.

use std::net::SocketAddr;

/// A request of the caller that cannot be met; the agent is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceError {
    /// Signalled credentials break the grammar of RFC 8839 §5.4.
    #[error("ICE {field} of the peer is not 4..=256 (ufrag) or 22..=256 (pwd) ice-chars")]
    InvalidCredentials {
        /// `ufrag` or `pwd`.
        field: &'static str,
    },
    /// A candidate's address cannot be used.
    #[error("candidate address {address} cannot be used")]
    UnusableAddress {
        /// The address.
        address: SocketAddr,
    },
    /// The peer signalled more candidates than the agent keeps.
    #[error("more than {limit} remote candidates")]
    TooManyRemoteCandidates {
        /// The limit.
        limit: usize,
    },
    /// Credentials or candidates for a generation that does not exist or no longer does.
    #[error("no ICE generation {generation}")]
    UnknownGeneration {
        /// The generation named.
        generation: u32,
    },
    /// New credentials of the peer without an ICE restart.
    #[error("peer changed its ICE credentials without a restart")]
    CredentialsChanged,
}

/// Why a STUN message was dropped. Each reason is counted in [`crate::IceCounters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StunRefusal {
    /// Not a STUN message, or one that RFC 8445 has no use for.
    Malformed,
    /// For another ufrag, or with a wrong MESSAGE-INTEGRITY, or a response to nothing that was sent.
    NotAccepted,
    /// Over a protocol or an address family that this side offered no candidate of.
    NoCandidate,
    /// The peer uses more addresses than the agent keeps.
    TooManyAddresses,
}
