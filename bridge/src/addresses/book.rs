//! [`AddressBook`]: from the addresses of the host, the settings and what was learned to what clients are told.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ice::{CandidateTransport, LocalAddress};
use model::TransportProtocol;
use net::InterfaceAddress;

use super::filter::{is_container_interface, is_link_local_or_none, is_private};
use super::{AddressSettings, PrivateAddresses};

/// A port on which media is received, on all addresses of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MediaPort {
    pub(crate) transport: CandidateTransport,
    pub(crate) port: u16,
}

/// A public address that someone outside has told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LearnedAddress {
    /// The address of this host behind it, if that is known too.
    pub(crate) local: Option<IpAddr>,
    pub(crate) public: IpAddr,
    /// The port under which the UDP port is seen; `None`: all ports are seen under their own numbers.
    pub(crate) udp_port: Option<u16>,
}

/// Why the settings do not fit this host. Each displays as one line with the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A mapping of an address that this host does not have.
    #[error("--media-address {mapping}: {local} is no address of this host (it has {own})")]
    NotOurs {
        /// The mapping.
        mapping: String,
        /// Its local address.
        local: IpAddr,
        /// The addresses of this host.
        own: String,
    },
    /// A mapping that is about none of the media ports.
    #[error("--media-address {mapping} is about none of the media ports, {ports} (see --media-port, --media-tcp-port)")]
    NoSuchPort {
        /// The mapping.
        mapping: String,
        /// The media ports.
        ports: String,
    },
    /// The lists leave no address.
    #[error("no address of this host is left for media: it has {own} (see --media-allow and --media-deny)")]
    NothingLeft {
        /// The addresses of this host.
        own: String,
    },
}

/// What is known about the addresses of a bridge.
#[derive(Clone, Debug)]
pub(crate) struct AddressBook {
    settings: AddressSettings,
    ports: Vec<MediaPort>,
    host: Vec<InterfaceAddress>,
    /// By who told: the name of a server or of a cloud.
    learned: BTreeMap<String, Vec<LearnedAddress>>,
}

impl AddressBook {
    /// A book of the addresses in `host`, of [`reachable_at`], and of `ports`, the preferred first.
    ///
    /// # Errors
    /// [`AddressError`] when settings and host do not fit.
    pub(crate) fn new(
        settings: AddressSettings,
        host: Vec<InterfaceAddress>,
        ports: Vec<MediaPort>,
    ) -> Result<Self, AddressError> {
        let book = Self { settings, ports, host, learned: BTreeMap::new() };
        for mapping in &book.settings.mappings {
            if let Some(local) = mapping.local.filter(|local| !book.is_own(*local)) {
                return Err(AddressError::NotOurs { mapping: mapping.to_string(), local, own: book.own() });
            }
            if !book.ports.iter().any(|port| mapping.public_of(port.transport, port.port).is_some()) {
                let ports: Vec<_> = book.ports.iter().map(MediaPort::name).collect();
                return Err(AddressError::NoSuchPort { mapping: mapping.to_string(), ports: ports.join(" and ") });
            }
        }
        if book.settings.mappings.is_empty() && book.allowed().is_empty() {
            return Err(AddressError::NothingLeft { own: book.own() });
        }
        Ok(book)
    }

    /// Takes the addresses that the host has now.
    pub(crate) fn set_host(&mut self, host: Vec<InterfaceAddress>) {
        self.host = host;
    }

    /// Takes all that `source` knows now, instead of what it knew before.
    pub(crate) fn set_learned(&mut self, source: &str, learned: Vec<LearnedAddress>) {
        self.learned.insert(source.to_owned(), learned);
    }

    /// The addresses to offer candidates of, without doubles, at most [`MAX_LOCAL_ADDRESSES`].
    pub(crate) fn local_addresses(&self) -> Vec<LocalAddress> {
        let mut addresses: Vec<LocalAddress> = Vec::new();
        let mut add = |address: LocalAddress| {
            if addresses.len() < MAX_LOCAL_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        };
        for port in &self.ports {
            for mapping in &self.settings.mappings {
                if let Some(public) = mapping.public_of(port.transport, port.port) {
                    add(self.mapped(*port, mapping.local, public));
                }
            }
            for ip in self.allowed().into_iter().filter(|_| self.settings.mappings.is_empty()) {
                add(port.at(ip));
            }
            for learned in self.learned.values().flatten() {
                if let Some(public) = self.public_of(*learned, *port) {
                    add(self.mapped(*port, learned.local.filter(|local| self.is_own(*local)), public));
                }
            }
        }
        self.hide_private(&mut addresses);
        addresses
    }

    fn hide_private(&self, addresses: &mut [LocalAddress]) {
        let is_public = |address: &LocalAddress| address.public.is_some() || !is_private(address.host.ip());
        let is_told = match self.settings.private {
            PrivateAddresses::Always => true,
            PrivateAddresses::Fallback => !addresses.iter().any(is_public),
            PrivateAddresses::Never => false,
        };
        for address in addresses.iter_mut().filter(|address| is_private(address.host.ip())) {
            address.is_host_told = is_told;
        }
    }

    /// What clients are told of a port when they see the host as `public`.
    fn mapped(&self, port: MediaPort, local: Option<IpAddr>, public: SocketAddr) -> LocalAddress {
        let is_itself = self.is_own(public.ip()) || public.ip().is_loopback();
        let base = local.or_else(|| is_itself.then_some(public.ip())).or_else(|| self.behind_nat(public.is_ipv4()));
        let host = port.at(base.unwrap_or(public.ip()));
        LocalAddress { public: Some(public).filter(|public| *public != host.host), ..host }
    }

    fn public_of(&self, learned: LearnedAddress, port: MediaPort) -> Option<SocketAddr> {
        if self.is_own(learned.public) {
            return None;
        }
        let Some(udp_port) = learned.udp_port else { return Some(SocketAddr::new(learned.public, port.port)) };
        // A NAT that keeps the number of the UDP port is most often a one-to-one NAT or a forwarding made for this
        // bridge; one that changes it says nothing about TCP.
        match port.transport.protocol() {
            TransportProtocol::Udp => Some(SocketAddr::new(learned.public, udp_port)),
            TransportProtocol::Tcp => {
                let keeps = |own: &MediaPort| own.transport == CandidateTransport::Udp && own.port == udp_port;
                self.ports.iter().any(keeps).then_some(SocketAddr::new(learned.public, port.port))
            }
        }
    }

    /// The address that a NAT most likely has behind it: a private one before a public one.
    fn behind_nat(&self, is_ipv4: bool) -> Option<IpAddr> {
        let allowed = self.allowed();
        let mut of_family = allowed.iter().copied().filter(|ip| ip.is_ipv4() == is_ipv4);
        of_family.clone().find(|ip| is_private(*ip)).or_else(|| of_family.next())
    }

    /// The addresses that the lists allow. Those of containers' bridges count only if there is no other or they are
    /// allowed in so many words, loopback only if there is no other.
    fn allowed(&self) -> Vec<IpAddr> {
        let AddressSettings { allow, deny, .. } = &self.settings;
        let rank = |address: &InterfaceAddress| match address.ip.is_loopback() {
            true => 2,
            false if allow.is_empty() && is_container_interface(&address.interface) => 1,
            false => 0,
        };
        let is_allowed = |address: &&InterfaceAddress| {
            let is_in = |list: &[super::AddressFilter]| list.iter().any(|filter| filter.matches(address));
            !is_link_local_or_none(address.ip) && (allow.is_empty() || is_in(allow)) && !is_in(deny)
        };
        let allowed: Vec<_> = self.host.iter().filter(is_allowed).collect();
        let best = allowed.iter().map(|address| rank(address)).min();
        allowed.into_iter().filter(|address| Some(rank(address)) == best).map(|address| address.ip).collect()
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.host.iter().any(|address| address.ip == ip)
    }

    /// All addresses of the host, for a line of an operator.
    fn own(&self) -> String {
        let own: Vec<_> = self.host.iter().map(|address| format!("{} on {}", address.ip, address.interface)).collect();
        if own.is_empty() { "none".to_owned() } else { own.join(", ") }
    }
}

impl MediaPort {
    fn at(&self, ip: IpAddr) -> LocalAddress {
        LocalAddress { transport: self.transport, ..LocalAddress::host(SocketAddr::new(ip, self.port)) }
    }

    fn name(&self) -> String {
        format!("{} {}", self.transport.protocol().as_str().to_uppercase(), self.port)
    }
}

/// The addresses at which a socket receives that is bound to `bound`, of all that the host has.
pub(crate) fn reachable_at(bound: IpAddr, host: Vec<InterfaceAddress>) -> Vec<InterfaceAddress> {
    let is_reached = |ip: IpAddr| match bound {
        IpAddr::V6(bound) if bound.is_unspecified() => true,
        IpAddr::V4(bound) if bound.is_unspecified() => ip.is_ipv4(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip == bound,
    };
    let reached: Vec<_> = host.into_iter().filter(|address| is_reached(address.ip)).collect();
    if reached.is_empty() && !bound.is_unspecified() {
        return vec![InterfaceAddress { interface: String::new(), ip: bound }];
    }
    reached
}

/// The same addresses for a peer that is told private ones whatever the settings say: another bridge, or a client with
/// the capability `private-address-connectivity`.
pub(crate) fn with_hosts_told(addresses: &[LocalAddress]) -> Vec<LocalAddress> {
    addresses.iter().map(|address| LocalAddress { is_host_told: true, ..*address }).collect()
}

/// Each costs the peer checks and the offer a line. A host with a dozen addresses over UDP and TCP stays below.
const MAX_LOCAL_ADDRESSES: usize = 24;

#[cfg(test)]
mod tests;
