//! A static mapping in the words of an operator: which public address stands for what of this host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ice::CandidateTransport;
use model::TransportProtocol;

/// A public address that a NAT, a port forwarding or a proxy shows for this host:
/// `[LOCAL_IP[:PORT]=]PUBLIC_IP[:PORT][/udp|/tcp]`.
///
/// - `203.0.113.7`: all media ports, under the same numbers.
/// - `203.0.113.7:20000`: the UDP port, shown as 20000; `203.0.113.7:443/tcp` is a TCP port, shown as 443.
/// - `10.0.0.5=203.0.113.7`: as the first, for one of several local addresses.
/// - `10.0.0.5:4443=203.0.113.7:443`: the local port says which protocol.
///
/// A `#` may stand for the `:` before a port, as in the variables of Jitsi's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressMapping {
    /// The address of this host; `None`: whichever fits the family of `public` best.
    pub local: Option<IpAddr>,
    /// The media port of this host that is meant; `None`: all.
    pub local_port: Option<u16>,
    /// The address that clients are told.
    pub public: IpAddr,
    /// The port that clients are told; `None`: the local one.
    pub public_port: Option<u16>,
    /// The only protocol that is meant; `None`: all.
    pub protocol: Option<TransportProtocol>,
}

/// A text that is no mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not [LOCAL_IP[:PORT]=]PUBLIC_IP[:PORT][/tcp], such as 203.0.113.7 or 10.0.0.5=203.0.113.7:443/tcp")]
pub struct InvalidMapping;

impl AddressMapping {
    /// All media ports of this host, shown at `public` under the same numbers.
    pub fn of_all_ports(public: IpAddr) -> Self {
        Self { local: None, local_port: None, public, public_port: None, protocol: None }
    }

    /// What clients are told of a media port; `None` if the mapping is not about it.
    pub(super) fn public_of(&self, transport: CandidateTransport, port: u16) -> Option<SocketAddr> {
        // A port without its protocol is one over UDP: that is what media meant before there was TCP.
        let is_bare_port = self.public_port.is_some() && self.local_port.is_none();
        let protocol = self.protocol.or(is_bare_port.then_some(TransportProtocol::Udp));
        let is_meant = protocol.is_none_or(|protocol| protocol == transport.protocol())
            && self.local_port.is_none_or(|local_port| local_port == port);
        is_meant.then(|| SocketAddr::new(self.public, self.public_port.unwrap_or(port)))
    }
}

impl FromStr for AddressMapping {
    type Err = InvalidMapping;

    fn from_str(text: &str) -> Result<Self, InvalidMapping> {
        let (text, protocol) = match text.rsplit_once('/') {
            None => (text, None),
            Some((text, "udp")) => (text, Some(TransportProtocol::Udp)),
            Some((text, "tcp")) => (text, Some(TransportProtocol::Tcp)),
            Some(_) => return Err(InvalidMapping),
        };
        let (local, public) = match text.split_once('=') {
            None => (None, text),
            Some((local, public)) => (Some(endpoint(local)?), public),
        };
        let (public, public_port) = endpoint(public)?;
        if local.is_some_and(|(local, _)| local.is_ipv4() != public.is_ipv4()) {
            return Err(InvalidMapping);
        }
        let (local, local_port) = local.unzip();
        Ok(Self { local, local_port: local_port.flatten(), public, public_port, protocol })
    }
}

impl fmt::Display for AddressMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = |ip: IpAddr, port: Option<u16>| {
            port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string())
        };
        if let Some(local) = self.local {
            write!(f, "{}=", endpoint(local, self.local_port))?;
        }
        f.write_str(&endpoint(self.public, self.public_port))?;
        self.protocol.map_or(Ok(()), |protocol| write!(f, "/{}", protocol.as_str()))
    }
}

/// `IP`, `IP:PORT`, `[IP]:PORT` or `IP#PORT`, of an address that one peer can have.
fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), InvalidMapping> {
    let parsed = if let Ok(ip) = text.parse() {
        (ip, None)
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        (address.ip(), Some(address.port()))
    } else {
        let (ip, port) = text.split_once('#').ok_or(InvalidMapping)?;
        (ip.parse().map_err(|_| InvalidMapping)?, Some(port.parse().map_err(|_| InvalidMapping)?))
    };
    let (ip, port) = parsed;
    if ip.is_unspecified() || ip.is_multicast() || port == Some(0) {
        return Err(InvalidMapping);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: CandidateTransport = CandidateTransport::Udp;
    const TCP: CandidateTransport = CandidateTransport::TCP_PASSIVE;

    /// What clients are told of UDP 10000 and TCP 4443.
    fn told(text: &str) -> [Option<String>; 2] {
        let mapping: AddressMapping = text.parse().unwrap();
        [(UDP, 10_000), (TCP, 4443)].map(|(transport, port)| mapping.public_of(transport, port).map(|a| a.to_string()))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_address_alone_is_for_all_ports() {
        assert_eq!(told("203.0.113.7"), [some("203.0.113.7:10000"), some("203.0.113.7:4443")]);
        assert_eq!(told("2001:db8::7"), [some("[2001:db8::7]:10000"), some("[2001:db8::7]:4443")]);
        assert_eq!(told("10.0.0.5=203.0.113.7"), [some("203.0.113.7:10000"), some("203.0.113.7:4443")]);
        assert_eq!(told("203.0.113.7/tcp"), [None, some("203.0.113.7:4443")]);
    }

    #[test]
    fn each_protocol_has_a_public_port_of_its_own() {
        assert_eq!(told("203.0.113.7:20000"), [some("203.0.113.7:20000"), None]);
        assert_eq!(told("203.0.113.7:443/tcp"), [None, some("203.0.113.7:443")]);
        assert_eq!(told("[2001:db8::7]:443/tcp"), [None, some("[2001:db8::7]:443")]);
        assert_eq!(told("10.0.0.5:4443=203.0.113.7:443"), [None, some("203.0.113.7:443")]);
        assert_eq!(told("10.0.0.5:10000=203.0.113.7:443"), [some("203.0.113.7:443"), None]);
        assert_eq!(told("10.0.0.5:1234=203.0.113.7:443"), [None, None]);
    }

    #[test]
    fn port_after_a_hash_is_read_as_in_jitsis_containers() {
        assert_eq!(told("203.0.113.7#20000"), [some("203.0.113.7:20000"), None]);
        assert_eq!(told("2001:db8::7#20000"), [some("[2001:db8::7]:20000"), None]);
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for text in [
            "",
            "=",
            "example.org",
            "203.0.113",
            "203.0.113.7:",
            "203.0.113.7:0",
            "203.0.113.7:70000",
            "0.0.0.0",
            "224.0.0.1",
            "203.0.113.7/sctp",
            "203.0.113.7/24",
            "10.0.0.5=2001:db8::7",
            "10.0.0.5=203.0.113.7=1.2.3.4",
            "203.0.113.7#x",
            "10.0.0.5=",
        ] {
            assert_eq!(text.parse::<AddressMapping>(), Err(InvalidMapping), "{text}");
        }
    }

    #[test]
    fn text_of_a_mapping_is_read_as_the_same_mapping() {
        for text in ["203.0.113.7", "10.0.0.5:4443=203.0.113.7:443/tcp", "[2001:db8::1]:1=[2001:db8::7]:443"] {
            assert_eq!(text.parse::<AddressMapping>().unwrap().to_string(), text);
        }
    }
}
