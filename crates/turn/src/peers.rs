//! Whom a relay may talk to, and how a peer is reached that is on this host behind its public address.

use std::net::{IpAddr, SocketAddr};

use model::Network;

use crate::reserved::is_reserved;

/// A bridge that relays may reach: the address and port that clients are told, and where it is reached from this host.
/// They differ behind a one-to-one NAT, which need not turn around what is sent to the public address from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeAddress {
    /// What clients are told, and what they see data come from.
    pub advertised: SocketAddr,
    /// Where a relay sends, and where the bridge's datagrams come from.
    pub local: SocketAddr,
}

impl BridgeAddress {
    /// A bridge that is reached at the address that clients are told.
    #[must_use]
    pub const fn direct(address: SocketAddr) -> Self {
        Self { advertised: address, local: address }
    }
}

/// Why a peer is refused; the label of the counter, and never told to the client, who could map the network with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not of the public Internet.
    Reserved,
    /// This server itself: its relays, its ports, other programs of the host.
    Own,
    /// Not in the list.
    NotListed,
}

impl Refusal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "peer_reserved",
            Self::Own => "peer_own_address",
            Self::NotListed => "peer_not_listed",
        }
    }
}

/// Whom relays may talk to: bridges by address and port, other networks where an operator said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    bridges: Vec<BridgeAddress>,
    networks: Vec<Network>,
    own: Vec<IpAddr>,
}

impl PeerPolicy {
    /// Only these bridges.
    #[must_use]
    pub fn bridges(bridges: impl IntoIterator<Item = BridgeAddress>) -> Self {
        Self { bridges: bridges.into_iter().collect(), ..Self::default() }
    }

    /// Further networks, on all ports. Reserved ranges within them stay closed, but for addresses that are named one by
    /// one, as `10.0.0.7`.
    #[must_use]
    pub fn with_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.networks.extend(networks);
        self
    }

    /// The addresses of this host, public ones of its NAT among them: no network opens these, so that a relay reaches
    /// neither another relay nor another program here.
    #[must_use]
    pub fn with_own_addresses(mut self, own: impl IntoIterator<Item = IpAddr>) -> Self {
        self.own.extend(own);
        self
    }

    /// Whether a permission for an address may be given; permissions have no port (RFC 8656 §9).
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.bridges.iter().any(|bridge| bridge.advertised.ip() == address) {
            return Ok(());
        }
        self.check_network(address)
    }

    /// Whether the networks open an address that is no bridge's.
    fn check_network(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.own.contains(&address) || self.bridges.iter().any(|bridge| bridge.local.ip() == address) {
            return Err(Refusal::Own);
        }
        if is_reserved(address) && !self.is_named(address) {
            return Err(Refusal::Reserved);
        }
        let is_listed = self.networks.iter().any(|network| network.contains(address));
        if is_listed { Ok(()) } else { Err(Refusal::NotListed) }
    }

    fn is_named(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.is_single() && network.contains(address))
    }

    /// Where to send what is for `peer`.
    pub(crate) fn route(&self, peer: SocketAddr) -> Result<SocketAddr, Refusal> {
        match self.bridges.iter().find(|bridge| bridge.advertised == peer) {
            Some(bridge) => Ok(bridge.local),
            None => self.check_network(peer.ip()).map(|()| peer),
        }
    }

    /// The addresses under which clients may know the sender of what came from `source`; the first is the usual one.
    pub(crate) fn names_of(&self, source: SocketAddr) -> impl Iterator<Item = SocketAddr> + use<'_> {
        let aliases = self.bridges.iter().filter(move |bridge| bridge.local == source).map(|bridge| bridge.advertised);
        let is_alias = self.bridges.iter().any(|bridge| bridge.local == source);
        let itself = (!is_alias && self.route(source).is_ok()).then_some(source);
        aliases.chain(itself)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn behind_nat() -> PeerPolicy {
        let bridge = BridgeAddress { advertised: at("203.0.113.7:10000"), local: at("10.0.0.5:10000") };
        PeerPolicy::bridges([bridge])
            .with_own_addresses(["10.0.0.5", "203.0.113.7", "8.8.4.4"].map(|ip| ip.parse().unwrap()))
    }

    #[test]
    fn only_the_bridges_port_is_reached() {
        let policy = PeerPolicy::bridges([BridgeAddress::direct(at("10.0.0.5:10000"))]);
        assert_eq!(policy.route(at("10.0.0.5:10000")), Ok(at("10.0.0.5:10000")));
        assert_eq!(policy.route(at("10.0.0.5:22")), Err(Refusal::Own));
        assert_eq!(policy.route(at("10.0.0.6:10000")), Err(Refusal::Reserved));
        assert_eq!(policy.route(at("8.8.8.8:10000")), Err(Refusal::NotListed));
    }

    #[test]
    fn a_bridge_behind_nat_is_reached_inside_and_seen_outside() {
        let policy = behind_nat();
        assert_eq!(policy.route(at("203.0.113.7:10000")), Ok(at("10.0.0.5:10000")));
        assert_eq!(policy.names_of(at("10.0.0.5:10000")).collect::<Vec<_>>(), [at("203.0.113.7:10000")]);
        assert_eq!(policy.check_address("10.0.0.5".parse().unwrap()), Err(Refusal::Own), "known by its other name");
        assert_eq!(policy.names_of(at("10.0.0.5:22")).next(), None);
    }

    #[test]
    fn a_network_does_not_open_the_other_ports_of_a_bridge_in_a_reserved_range() {
        let policy =
            PeerPolicy::bridges([BridgeAddress { advertised: at("10.0.0.6:10000"), local: at("10.0.0.6:10000") }])
                .with_networks(["0.0.0.0/0".parse().unwrap()]);
        assert!(policy.route(at("10.0.0.6:10000")).is_ok());
        assert!(policy.route(at("10.0.0.6:22")).is_err());
    }

    #[test]
    fn a_network_opens_neither_reserved_nor_own_addresses() {
        let policy = behind_nat().with_networks(["0.0.0.0/0", "::/0"].map(|text| text.parse().unwrap()));
        assert_eq!(policy.route(at("8.8.8.8:53")), Ok(at("8.8.8.8:53")));
        assert_eq!(policy.route(at("8.8.4.4:53")), Err(Refusal::Own));
        assert_eq!(policy.route(at("203.0.113.7:22")), Err(Refusal::Own));
        for reserved in ["127.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[::ffff:8.8.8.8]:80", "192.168.0.1:53"] {
            assert_eq!(policy.route(at(reserved)), Err(Refusal::Reserved), "{reserved}");
        }
    }

    #[test]
    fn a_reserved_address_is_reached_when_it_is_named() {
        let networks = ["192.168.0.0/16", "192.168.7.7", "fd00::7/128"].map(|text| text.parse().unwrap());
        let policy = PeerPolicy::default().with_networks(networks);
        assert!(policy.route(at("192.168.7.7:10000")).is_ok());
        assert!(policy.route(at("[fd00::7]:10000")).is_ok());
        assert_eq!(policy.route(at("192.168.7.8:10000")), Err(Refusal::Reserved));
    }

    #[test]
    fn a_text_that_is_no_network_is_named() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "host", "10.0.0.0/-1"] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
