//! The way of a datagram between this host and a peer.

use std::fmt;
use std::net::SocketAddr;

/// What carries datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportProtocol {
    /// One datagram each.
    Udp,
    /// One connection, each datagram behind its length (RFC 4571).
    Tcp,
}

impl TransportProtocol {
    /// The word in candidates: `udp`, `tcp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Protocol and both addresses: one path between this host and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// What carries the datagrams.
    pub protocol: TransportProtocol,
    /// The address of this host at which the peer's datagrams arrive and from which ours leave.
    pub local: SocketAddr,
    /// The address of the peer.
    pub remote: SocketAddr,
}

impl FiveTuple {
    /// A path over UDP.
    #[must_use]
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { protocol: TransportProtocol::Udp, local, remote }
    }

    /// A path over TCP.
    #[must_use]
    pub const fn tcp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { protocol: TransportProtocol::Tcp, local, remote }
    }

    /// The peer's end of the path.
    #[must_use]
    pub const fn peer(self) -> PeerAddress {
        PeerAddress { protocol: self.protocol, address: self.remote }
    }
}

/// The peer's end of a path, by which its datagrams are told from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// What carries the datagrams.
    pub protocol: TransportProtocol,
    /// Where they come from.
    pub address: SocketAddr,
}

impl PeerAddress {
    /// An address that is reached over UDP.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { protocol: TransportProtocol::Udp, address }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.protocol.as_str())
    }
}
