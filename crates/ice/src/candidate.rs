//! Candidates of both sides, one component, UDP (RFC 8445 §5.1). Priorities as the Jitsi Videobridge signals them.

use std::net::SocketAddr;

use crate::IceError;

/// Candidate type (RFC 8445 §4); the peer-reflexive kind is found by checks and never signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An address of a local interface.
    Host,
    /// The address that a NAT shows for a host candidate.
    ServerReflexive,
    /// An address on a TURN server.
    Relayed,
}

impl CandidateKind {
    /// The word in Jingle and SDP: `host`, `srflx`, `relay`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::Relayed => "relay",
        }
    }

    /// Reads the word of Jingle and SDP. `None`: not a kind that a peer signals; `prflx` is one of them.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Host, Self::ServerReflexive, Self::Relayed].into_iter().find(|kind| kind.as_str() == word)
    }

    /// RFC 8445 §5.1.2.2.
    fn type_preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }
}

/// An address that the bridge receives on, and the address at which a NAT in front shows it, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address of the socket; never unspecified.
    pub host: SocketAddr,
    /// The mapped address, of the same family.
    pub public: Option<SocketAddr>,
}

impl LocalAddress {
    /// An address without a NAT in front of it.
    pub fn host(host: SocketAddr) -> Self {
        Self { host, public: None }
    }
}

/// A candidate of this side as it goes to the signalling: component 1, protocol udp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCandidate {
    /// Equal for candidates of the same kind and base (RFC 8445 §5.1.1.3); a small integer.
    pub foundation: u32,
    /// Host or server-reflexive.
    pub kind: CandidateKind,
    /// Where the peer should send to.
    pub address: SocketAddr,
    /// The host address behind `address`; the same for a host candidate. `rel-addr` and `rel-port` in Jingle.
    pub base: SocketAddr,
    /// RFC 8445 §5.1.2.1; 2130706431 for the first host candidate, 1694498815 for the first server-reflexive one.
    pub priority: u32,
}

impl LocalCandidate {
    /// The candidates of `addresses`: all host ones, then the mapped ones, each kind in the order given.
    ///
    /// # Errors
    /// [`IceError::UnusableAddress`] for an unspecified, multicast or link-local IPv4 address, a port 0, or a mapping
    /// between families: the configuration is wrong.
    pub fn gather(addresses: &[LocalAddress]) -> Result<Vec<Self>, IceError> {
        let mut candidates = Vec::with_capacity(addresses.len());
        for LocalAddress { host, .. } in addresses {
            Self::push(&mut candidates, CandidateKind::Host, *host, *host)?;
        }
        for LocalAddress { host, public } in addresses {
            if let Some(public) = public.filter(|public| public != host) {
                Self::push(&mut candidates, CandidateKind::ServerReflexive, public, *host)?;
            }
        }
        Ok(candidates)
    }

    fn push(to: &mut Vec<Self>, kind: CandidateKind, address: SocketAddr, base: SocketAddr) -> Result<(), IceError> {
        if !is_usable(address) || address.is_ipv4() != base.is_ipv4() {
            return Err(IceError::UnusableAddress { address });
        }
        if to.iter().any(|known| known.address == address) {
            return Ok(());
        }
        let of_same_kind = to.iter().filter(|known| known.kind == kind).count();
        let local_preference = 65_535u32.saturating_sub(u32::try_from(of_same_kind).unwrap_or(u32::MAX));
        let foundation = u32::try_from(to.len()).unwrap_or(u32::MAX).saturating_add(1);
        to.push(Self { foundation, kind, address, base, priority: priority(kind, local_preference) });
        Ok(())
    }

    pub(crate) fn to_is(&self) -> Result<is::Candidate, IceError> {
        let candidate = match self.kind {
            CandidateKind::Host => is::Candidate::host(self.address, is::Protocol::Udp),
            CandidateKind::ServerReflexive => {
                is::Candidate::server_reflexive(self.address, self.base, is::Protocol::Udp)
            }
            CandidateKind::Relayed => return Err(IceError::UnusableAddress { address: self.address }),
        };
        candidate.map_err(|_| IceError::UnusableAddress { address: self.address })
    }
}

/// A candidate that the peer signalled. Only UDP ones of component 1 with an IP address become one of these: a name
/// under `.local` (mDNS) is left out by the caller, checks from the peer reveal the address anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// As signalled, 1..=32 ice-chars.
    pub foundation: String,
    /// Kind as signalled.
    pub kind: CandidateKind,
    /// Where to send checks to.
    pub address: SocketAddr,
    /// As signalled, 1..=2^31 - 1.
    pub priority: u32,
}

impl RemoteCandidate {
    pub(crate) fn to_is(&self) -> Result<is::Candidate, IceError> {
        if !is_usable(self.address) || !(1..1 << 31).contains(&self.priority) {
            return Err(IceError::UnusableAddress { address: self.address });
        }
        let kind = match self.kind {
            CandidateKind::Host => is::CandidateKind::Host,
            CandidateKind::ServerReflexive => is::CandidateKind::ServerReflexive,
            CandidateKind::Relayed => is::CandidateKind::Relayed,
        };
        Ok(is::Candidate::from_parts(
            self.foundation.chars().take(32).collect(),
            1,
            is::Protocol::Udp,
            self.priority,
            self.address,
            kind,
            None,
            None,
            None,
        ))
    }
}

/// Whether packets can go there and come from there: no unspecified, multicast, broadcast or link-local IPv4 address,
/// and a port. Loopback is fine, it is how a browser reaches a bridge on the same machine.
fn is_usable(address: SocketAddr) -> bool {
    let is_unicast = match address {
        SocketAddr::V4(v4) => {
            let ip = v4.ip();
            !ip.is_link_local() && !ip.is_broadcast() && !ip.is_multicast() && !ip.is_unspecified()
        }
        SocketAddr::V6(v6) => !v6.ip().is_multicast() && !v6.ip().is_unspecified(),
    };
    is_unicast && address.port() != 0
}

/// RFC 8445 §5.1.2.1 for component 1.
fn priority(kind: CandidateKind, local_preference: u32) -> u32 {
    kind.type_preference() << 24 | local_preference << 8 | 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn priorities_are_those_of_the_videobridge() {
        let nat = LocalAddress { host: address("10.0.0.5:10000"), public: Some(address("203.0.113.7:10000")) };
        let candidates = LocalCandidate::gather(&[nat]).unwrap();
        let seen: Vec<_> = candidates.iter().map(|c| (c.foundation, c.kind.as_str(), c.address, c.priority)).collect();
        assert_eq!(
            seen,
            [(1, "host", nat.host, 2_130_706_431), (2, "srflx", address("203.0.113.7:10000"), 1_694_498_815)]
        );
        assert_eq!(candidates[1].base, nat.host);
    }

    #[test]
    fn second_address_of_a_kind_is_preferred_less() {
        let hosts = [address("10.0.0.5:10000"), address("[2001:db8::1]:10000")].map(LocalAddress::host);
        let candidates = LocalCandidate::gather(&hosts).unwrap();
        assert!(candidates[0].priority > candidates[1].priority);
        assert_ne!(candidates[0].foundation, candidates[1].foundation);
    }

    #[test]
    fn addresses_nobody_can_reach_are_a_configuration_error() {
        for host in ["0.0.0.0:10000", "224.0.0.1:10000", "169.254.1.1:10000", "10.0.0.1:0", "[::]:10000"] {
            assert!(LocalCandidate::gather(&[LocalAddress::host(address(host))]).is_err(), "{host}");
        }
        let mixed = LocalAddress { host: address("10.0.0.5:1"), public: Some(address("[2001:db8::1]:1")) };
        assert!(LocalCandidate::gather(&[mixed]).is_err());
        assert!(LocalCandidate::gather(&[LocalAddress::host(address("127.0.0.1:10000"))]).is_ok());
    }
}
