//! Candidates of both sides, one component, UDP and TCP (RFC 8445 §5.1, RFC 6544 §4). Priorities over UDP as the Jitsi
//! Videobridge signals them, over TCP in the order of libwebrtc: below all of UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::TransportProtocol;

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

    /// RFC 8445 §5.1.2.2 for UDP. For TCP lower than any of UDP but a relay, so that UDP is used where both work.
    fn type_preference(self, transport: CandidateTransport) -> u32 {
        match (self, transport.protocol()) {
            (Self::Host, TransportProtocol::Udp) => 126,
            (Self::ServerReflexive, TransportProtocol::Udp) => 100,
            (Self::Host, TransportProtocol::Tcp) => 90,
            (Self::ServerReflexive, TransportProtocol::Tcp) => 80,
            (Self::Relayed, _) => 0,
        }
    }
}

/// What carries the datagrams of a candidate: `transport` of RFC 8839 §5.1 together with `tcptype` of RFC 6544 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateTransport {
    /// One datagram each.
    Udp,
    /// A connection with each datagram behind its length (RFC 4571).
    Tcp(TcpType),
    /// As passive TCP, behind the pseudo TLS handshake of libwebrtc that some proxies want to see. No RFC has it.
    SslTcp,
}

/// Who opens the connection of a TCP candidate (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// The owner of the candidate does; the port signalled is 9 and means nothing.
    Active,
    /// The other side does.
    Passive,
    /// Both do at once.
    SimultaneousOpen,
}

impl CandidateTransport {
    /// Passive TCP, the only kind that a bridge offers.
    pub const TCP_PASSIVE: Self = Self::Tcp(TcpType::Passive);

    /// Reads the words of Jingle and SDP, in any case of letters. A TCP candidate without a type is of the time before
    /// RFC 6544, and passive. `None`: unknown words.
    pub fn parse(protocol: &str, tcp_type: Option<&str>) -> Option<Self> {
        let is = |word: &str| protocol.eq_ignore_ascii_case(word);
        if is("udp") {
            Some(Self::Udp)
        } else if is("ssltcp") {
            Some(Self::SslTcp)
        } else if is("tcp") {
            tcp_type.map_or(Some(TcpType::Passive), TcpType::parse).map(Self::Tcp)
        } else {
            None
        }
    }

    /// The word for `protocol` in Jingle: `udp`, `tcp`, `ssltcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp(_) => "tcp",
            Self::SslTcp => "ssltcp",
        }
    }

    /// Who opens the connection; `None` for UDP.
    pub fn tcp_type(self) -> Option<TcpType> {
        match self {
            Self::Udp => None,
            Self::Tcp(tcp_type) => Some(tcp_type),
            Self::SslTcp => Some(TcpType::Passive),
        }
    }

    /// The protocol of the paths from and to such a candidate.
    pub fn protocol(self) -> TransportProtocol {
        match self {
            Self::Udp => TransportProtocol::Udp,
            Self::Tcp(_) | Self::SslTcp => TransportProtocol::Tcp,
        }
    }
}

impl TcpType {
    const ALL: [Self; 3] = [Self::Active, Self::Passive, Self::SimultaneousOpen];

    /// The word for `tcptype` in Jingle and SDP: `active`, `passive`, `so`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }

    /// Reads the word of Jingle and SDP. `None`: unknown.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tcp_type| tcp_type.as_str().eq_ignore_ascii_case(word))
    }
}

/// An address that the bridge receives on, and one at which a NAT in front shows it, if there is one. An address that
/// is shown at several is given several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// What is received there.
    pub transport: CandidateTransport,
    /// The address of the socket; never unspecified.
    pub host: SocketAddr,
    /// The mapped address, of the same family. Its port may be another.
    pub public: Option<SocketAddr>,
    /// Whether peers are told `host` too, or only `public`.
    pub is_host_told: bool,
}

impl LocalAddress {
    /// A UDP address without a NAT in front of it.
    pub fn host(host: SocketAddr) -> Self {
        Self { transport: CandidateTransport::Udp, host, public: None, is_host_told: true }
    }

    /// A TCP address without a NAT in front of it, at which peers may connect.
    pub fn tcp(host: SocketAddr) -> Self {
        Self { transport: CandidateTransport::TCP_PASSIVE, ..Self::host(host) }
    }
}

/// A candidate of this side: component 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCandidate {
    /// Equal for candidates of the same kind, base and transport (RFC 8445 §5.1.1.3); a small integer.
    pub foundation: u32,
    /// UDP, or a form of passive TCP.
    pub transport: CandidateTransport,
    /// Host or server-reflexive.
    pub kind: CandidateKind,
    /// Where the peer should send to.
    pub address: SocketAddr,
    /// The host address behind `address`; the same for a host candidate.
    pub base: SocketAddr,
    /// RFC 8445 §5.1.2.1 and RFC 6544 §4.2; 2130706431 for the first host candidate over UDP, 1694498815 for the first
    /// server-reflexive one. All over TCP are lower than all over UDP.
    pub priority: u32,
    /// Whether peers are told this candidate. One that they are not told is still a base for the others.
    pub is_told: bool,
    /// `rel-addr` and `rel-port` of a server-reflexive candidate: its base, or 0.0.0.0 and 9 if that is not told.
    pub related: Option<SocketAddr>,
}

impl LocalCandidate {
    /// The candidates of `addresses`: over UDP all host ones, then the mapped ones, each kind in the order given; then
    /// the same over TCP.
    ///
    /// # Errors
    /// [`IceError::UnusableAddress`] for an unspecified, multicast or link-local IPv4 address, a port 0, a mapping
    /// between families, or a transport that is no UDP and not passive: the configuration is wrong.
    pub fn gather(addresses: &[LocalAddress]) -> Result<Vec<Self>, IceError> {
        let mut candidates = Vec::with_capacity(addresses.len());
        for protocol in [TransportProtocol::Udp, TransportProtocol::Tcp] {
            let of_protocol = || addresses.iter().filter(|address| address.transport.protocol() == protocol);
            for address in of_protocol() {
                Self::push(&mut candidates, address, CandidateKind::Host, address.host)?;
            }
            for address in of_protocol() {
                if let Some(public) = address.public.filter(|public| *public != address.host) {
                    Self::push(&mut candidates, address, CandidateKind::ServerReflexive, public)?;
                }
            }
        }
        Ok(candidates)
    }

    fn push(to: &mut Vec<Self>, of: &LocalAddress, kind: CandidateKind, address: SocketAddr) -> Result<(), IceError> {
        let LocalAddress { transport, host: base, is_host_told, .. } = *of;
        let is_offered = matches!(transport.tcp_type(), None | Some(TcpType::Passive));
        if !is_offered || !is_usable(address) || address.is_ipv4() != base.is_ipv4() {
            return Err(IceError::UnusableAddress { address });
        }
        let is_host = kind == CandidateKind::Host;
        let is_told = !is_host || is_host_told;
        let mut of_transport = to.iter_mut().filter(|known| known.transport == transport);
        if let Some(known) = of_transport.find(|known| known.address == address) {
            known.is_told |= is_told;
            return Ok(());
        }
        let same_kind = to.iter().filter(|k| (k.protocol(), k.kind) == (transport.protocol(), kind)).count();
        let priority = kind.type_preference(transport) << 24 | local_preference(transport, kind, same_kind) << 8 | 255;
        let foundation = u32::try_from(to.len()).unwrap_or(u32::MAX).saturating_add(1);
        let related = (!is_host).then_some(if is_host_told { base } else { hidden_base(base) });
        to.push(Self { foundation, transport, kind, address, base, priority, is_told, related });
        Ok(())
    }

    pub(crate) fn protocol(&self) -> TransportProtocol {
        self.transport.protocol()
    }

    pub(crate) fn to_is(&self) -> Result<is::Candidate, IceError> {
        let protocol = to_is_protocol(self.protocol());
        let candidate = match self.kind {
            CandidateKind::Host => is::Candidate::host(self.address, protocol),
            CandidateKind::ServerReflexive => is::Candidate::server_reflexive(self.address, self.base, protocol),
            CandidateKind::Relayed => return Err(IceError::UnusableAddress { address: self.address }),
        };
        candidate.map_err(|_| IceError::UnusableAddress { address: self.address })
    }
}

/// A candidate that the peer signalled: component 1, with an IP address. A name under `.local` (mDNS) is left out by
/// the caller; checks from the peer reveal the address anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// As signalled, 1..=32 ice-chars.
    pub foundation: String,
    /// What carries its datagrams.
    pub transport: CandidateTransport,
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
            to_is_protocol(self.transport.protocol()),
            self.priority,
            self.address,
            kind,
            None,
            None,
            None,
        ))
    }
}

pub(crate) fn to_is_protocol(protocol: TransportProtocol) -> is::Protocol {
    match protocol {
        TransportProtocol::Udp => is::Protocol::Udp,
        TransportProtocol::Tcp => is::Protocol::Tcp,
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

/// What is told instead of a base that is not: the unspecified address and the discard port, as the videobridge does.
fn hidden_base(base: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if base.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 9)
}

/// The middle 16 bits of a priority for the candidate that comes after `same_kind` others. For UDP RFC 8445 §5.1.2.1;
/// for TCP RFC 6544 §4.2: who opens the connection goes before the order, and a passive server-reflexive candidate
/// counts less than a passive host.
pub(crate) fn local_preference(transport: CandidateTransport, kind: CandidateKind, same_kind: usize) -> u32 {
    let below = |most: u32| most.saturating_sub(u32::try_from(same_kind).unwrap_or(u32::MAX));
    let Some(tcp_type) = transport.tcp_type() else { return below(65_535) };
    let direction = match (kind, tcp_type) {
        (CandidateKind::Host | CandidateKind::Relayed, TcpType::Active) => 6,
        (CandidateKind::Host | CandidateKind::Relayed, TcpType::Passive) => 4,
        (CandidateKind::Host | CandidateKind::Relayed, TcpType::SimultaneousOpen) => 2,
        (CandidateKind::ServerReflexive, TcpType::SimultaneousOpen) => 6,
        (CandidateKind::ServerReflexive, TcpType::Active) => 4,
        (CandidateKind::ServerReflexive, TcpType::Passive) => 2,
    };
    direction << 13 | below(8_191)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The address behind a NAT that shows it at `public`.
    fn mapped(transport: CandidateTransport, host: &str, public: &str) -> LocalAddress {
        LocalAddress { transport, host: address(host), public: Some(address(public)), is_host_told: true }
    }

    #[test]
    fn priorities_are_those_of_the_videobridge() {
        let nat = mapped(CandidateTransport::Udp, "10.0.0.5:10000", "203.0.113.7:10000");
        let candidates = LocalCandidate::gather(&[nat]).unwrap();
        let seen: Vec<_> = candidates.iter().map(|c| (c.foundation, c.kind.as_str(), c.address, c.priority)).collect();
        assert_eq!(
            seen,
            [(1, "host", nat.host, 2_130_706_431), (2, "srflx", address("203.0.113.7:10000"), 1_694_498_815)]
        );
        assert_eq!((candidates[1].base, candidates[1].related), (nat.host, Some(nat.host)));
    }

    #[test]
    fn second_address_of_a_kind_is_preferred_less() {
        let hosts = [address("10.0.0.5:10000"), address("[2001:db8::1]:10000")];
        for addresses in [hosts.map(LocalAddress::host), hosts.map(LocalAddress::tcp)] {
            let candidates = LocalCandidate::gather(&addresses).unwrap();
            assert!(candidates[0].priority > candidates[1].priority);
            assert_ne!(candidates[0].foundation, candidates[1].foundation);
        }
    }

    #[test]
    fn every_candidate_over_udp_goes_before_every_one_over_tcp() {
        let tcp = mapped(CandidateTransport::TCP_PASSIVE, "10.0.0.5:4443", "203.0.113.7:443");
        let udp = mapped(CandidateTransport::Udp, "10.0.0.5:10000", "203.0.113.7:10000");
        let candidates = LocalCandidate::gather(&[tcp, udp]).unwrap();
        let seen: Vec<_> =
            candidates.iter().map(|c| (c.transport.as_str(), c.kind.as_str(), c.address.to_string())).collect();
        let expected = [
            ("udp", "host", "10.0.0.5:10000"),
            ("udp", "srflx", "203.0.113.7:10000"),
            ("tcp", "host", "10.0.0.5:4443"),
            ("tcp", "srflx", "203.0.113.7:443"),
        ];
        assert_eq!(seen, expected.map(|(transport, kind, address)| (transport, kind, address.to_owned())));
        assert!(candidates.is_sorted_by(|a, b| a.priority > b.priority));
        // RFC 6544 §4.2: type preference 90, direction 4 (passive host) and the whole of the rest.
        assert_eq!(candidates[2].priority, 90 << 24 | (4 << 13 | 8_191) << 8 | 255);
    }

    #[test]
    fn one_host_may_be_shown_at_several_addresses_and_ports() {
        let addresses = ["203.0.113.7:10000", "203.0.113.7:443", "198.51.100.4:20000"]
            .map(|public| mapped(CandidateTransport::Udp, "10.0.0.5:10000", public));
        let candidates = LocalCandidate::gather(&addresses).unwrap();
        let kinds: Vec<_> = candidates.iter().map(|c| c.kind.as_str()).collect();
        assert_eq!(kinds, ["host", "srflx", "srflx", "srflx"]);
        assert_eq!(candidates.iter().map(|c| c.priority).collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn the_same_address_over_udp_and_tcp_are_two_candidates() {
        let host = address("203.0.113.7:443");
        let candidates = LocalCandidate::gather(&[LocalAddress::host(host), LocalAddress::tcp(host)]).unwrap();
        assert_eq!(candidates.len(), 2);
    }

    #[test]
    fn hidden_host_is_neither_told_nor_named_as_the_base() {
        let nat = mapped(CandidateTransport::Udp, "10.0.0.5:10000", "203.0.113.7:10000");
        let candidates = LocalCandidate::gather(&[LocalAddress { is_host_told: false, ..nat }]).unwrap();
        assert_eq!(candidates.iter().map(|c| c.is_told).collect::<Vec<_>>(), [false, true]);
        assert_eq!(candidates[1].related, Some(address("0.0.0.0:9")));
        assert_eq!(candidates[1].base, nat.host, "checks still leave from there");
    }

    #[test]
    fn addresses_nobody_can_reach_are_a_configuration_error() {
        for host in ["0.0.0.0:10000", "224.0.0.1:10000", "169.254.1.1:10000", "10.0.0.1:0", "[::]:10000"] {
            assert!(LocalCandidate::gather(&[LocalAddress::host(address(host))]).is_err(), "{host}");
        }
        assert!(LocalCandidate::gather(&[mapped(CandidateTransport::Udp, "10.0.0.5:1", "[2001:db8::1]:1")]).is_err());
        let active = LocalAddress {
            transport: CandidateTransport::Tcp(TcpType::Active),
            ..LocalAddress::host(address("10.0.0.5:1"))
        };
        assert!(LocalCandidate::gather(&[active]).is_err(), "a bridge opens no connection");
        assert!(LocalCandidate::gather(&[LocalAddress::host(address("127.0.0.1:10000"))]).is_ok());
    }

    #[test]
    fn words_of_a_transport_are_read_as_they_are_written() {
        for transport in [
            CandidateTransport::Udp,
            CandidateTransport::Tcp(TcpType::Active),
            CandidateTransport::TCP_PASSIVE,
            CandidateTransport::Tcp(TcpType::SimultaneousOpen),
            CandidateTransport::SslTcp,
        ] {
            let tcp_type = transport.tcp_type().map(TcpType::as_str);
            assert_eq!(CandidateTransport::parse(&transport.as_str().to_uppercase(), tcp_type), Some(transport));
        }
        assert_eq!(CandidateTransport::parse("tcp", None), Some(CandidateTransport::TCP_PASSIVE));
        assert_eq!(CandidateTransport::parse("tcp", Some("sideways")), None);
        assert_eq!(CandidateTransport::parse("sctp", None), None);
    }
}
