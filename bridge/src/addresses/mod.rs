//! Which addresses clients are told (bridge.md §2.1): those of this host that an operator allows, those that an operator
//! maps to them, and those learned from STUN servers and from a cloud's metadata service.
//!
//! Here: settings, the policy as a pure function of them ([`AddressBook`]), the two learners without their I/O, and what
//! joins them ([`MediaAddresses`]). Not here: interfaces of the host (`net`), sockets and timers (`shell`), candidates and
//! priorities (`ice`).

use std::net::SocketAddr;

use model::TransportProtocol;

mod book;
mod cloud;
mod filter;
mod mapping;
mod media_addresses;
mod stun;

pub use book::AddressError;
pub(crate) use book::{AddressBook, LearnedAddress, MediaPort, reachable_at, with_hosts_told};
pub use cloud::Cloud;
pub(crate) use cloud::{CloudQuery, MetadataError, MetadataRequest};
pub use filter::{AddressFilter, InvalidFilter};
pub use mapping::{AddressMapping, InvalidMapping};
pub(crate) use media_addresses::{AddressNews, AddressOutput, MediaAddresses};
pub use stun::{InvalidStunServer, StunServer};

/// What an operator may set about the addresses that clients are told. The default tells all of this host's.
#[derive(Clone, Debug, Default)]
pub struct AddressSettings {
    /// Public addresses of this host, or a choice of its own; clients are told these instead of all. Default: none.
    pub mappings: Vec<AddressMapping>,
    /// Interfaces and networks of this host that may be told; empty: all but those of containers. Default: empty.
    pub allow: Vec<AddressFilter>,
    /// Interfaces and networks of this host that are never told, also if allowed. Default: none.
    pub deny: Vec<AddressFilter>,
    /// Whether clients are told private addresses. Default: always.
    pub private: PrivateAddresses,
    /// Servers that are asked how a NAT shows the media port. Default: none.
    pub stun_servers: Vec<StunServer>,
    /// The cloud whose metadata service is asked for the public address. Default: none.
    pub cloud: Option<Cloud>,
}

/// An address at which clients are told to reach media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaAddress {
    /// What media comes over.
    pub protocol: TransportProtocol,
    /// What clients are told: an address of this host, or the one at which a NAT shows it.
    pub advertised: SocketAddr,
    /// Where this host receives what is sent there.
    pub local: SocketAddr,
}

/// Whether clients are told addresses that only work inside a network (RFC 1918, RFC 6598, RFC 4193).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PrivateAddresses {
    /// Yes: clients in the same network go the short way, the videobridge's default.
    #[default]
    Always,
    /// Only while no public one is known.
    Fallback,
    /// No, but to clients that have the capability `private-address-connectivity`, and to other bridges.
    Never,
}
