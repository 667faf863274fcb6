//! Which addresses of this host media is offered on, by interface and by network.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use net::InterfaceAddress;

/// An interface, or a network: `eth0`, `wg*`, `10.0.0.5`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressFilter {
    /// The interface of this name; all whose names begin with it if a `*` ends it.
    Interface(String),
    /// The addresses that begin with the same `prefix` bits as `ip`.
    Network {
        /// An address of the network.
        ip: IpAddr,
        /// 0..=32 for IPv4, 0..=128 for IPv6.
        prefix: u8,
    },
}

/// A text that is neither an interface nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an interface, an address or a network, such as eth0, wg*, 10.0.0.5 or 10.0.0.0/8")]
pub struct InvalidFilter;

impl AddressFilter {
    pub(super) fn matches(&self, address: &InterfaceAddress) -> bool {
        match self {
            Self::Interface(name) => name
                .strip_suffix('*')
                .map_or_else(|| address.interface == *name, |beginning| address.interface.starts_with(beginning)),
            Self::Network { ip, prefix } => has_prefix(address.ip, *ip, *prefix),
        }
    }
}

impl FromStr for AddressFilter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        if let Some((ip, prefix)) = text.split_once('/') {
            let ip: IpAddr = ip.parse().map_err(|_| InvalidFilter)?;
            let prefix: u8 = prefix.parse().map_err(|_| InvalidFilter)?;
            return if prefix <= bits(ip) { Ok(Self::Network { ip, prefix }) } else { Err(InvalidFilter) };
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Network { ip, prefix: bits(ip) });
        }
        // Names that Linux gives interfaces have at most 15 bytes; here it is enough to catch what is none at all, such
        // as a mistyped address.
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'+'));
        let has_letter = text == "*" || name.bytes().any(|b| b.is_ascii_alphabetic());
        if is_name && has_letter { Ok(Self::Interface(text.to_owned())) } else { Err(InvalidFilter) }
    }
}

/// An interface that joins containers or virtual machines to this host, and is no way to it from outside: Docker's
/// default bridge and its networks, Podman's, libvirt's, LXC's and those of Kubernetes' network plugins, and the host's
/// ends of their cables. A bridge made by an administrator (`br0`, `br-lan`) is none of these.
///
/// ice4j has no such rule; its operators block these interfaces by hand.
pub(super) fn is_container_interface(name: &str) -> bool {
    let is_docker_network = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    name.strip_prefix("br-").is_some_and(is_docker_network)
        || ["docker0", "docker_gwbridge"].contains(&name)
        || ["veth", "virbr", "podman", "lxcbr", "lxdbr", "cni", "flannel", "cali"].iter().any(|p| name.starts_with(p))
}

/// For use inside a network only: RFC 1918, RFC 6598 (carrier-grade NAT), and RFC 4193 in IPv6.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || has_prefix(ip.into(), IpAddr::from([100, 64, 0, 0]), 10),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Can be reached from this machine or its cable only, or is no address of one host at all.
pub(super) fn is_link_local_or_none(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_link_local || ip.is_unspecified() || ip.is_multicast()
}

fn has_prefix(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |a: u128, b: u128, bits: u32| (a ^ b).checked_shr(bits - u32::from(prefix)).unwrap_or(0) == 0;
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => same(ip.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => same(ip.to_bits(), network.to_bits(), Ipv6Addr::BITS),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

const fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, interface: &str, ip: &str) -> bool {
        let address = InterfaceAddress { interface: interface.to_owned(), ip: ip.parse().unwrap() };
        filter.parse::<AddressFilter>().unwrap().matches(&address)
    }

    #[test]
    fn interfaces_are_named_in_full_or_by_their_beginning() {
        assert!(matches("eth0", "eth0", "10.0.0.5"));
        assert!(!matches("eth0", "eth01", "10.0.0.5"));
        assert!(matches("eth*", "eth01", "10.0.0.5"));
        assert!(matches("*", "wg0", "10.0.0.5"));
        assert!(matches("eth0.100", "eth0.100", "10.0.0.5"));
    }

    #[test]
    fn networks_match_by_their_prefix() {
        for (network, ip, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.128/25", "10.0.0.127", false),
            ("10.0.0.128/25", "10.0.0.200", true),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.4", false),
        ] {
            assert_eq!(matches(network, "eth0", ip), expected, "{network} {ip}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "2001:db8::/129", "10.0.0.0/x", "eth0/24", "eth 0", "300.1.1.1", "-"]
        {
            assert_eq!(text.parse::<AddressFilter>(), Err(InvalidFilter), "{text}");
        }
    }

    #[test]
    fn interfaces_of_containers_are_told_from_bridges_of_an_administrator() {
        for name in ["docker0", "br-0123456789ab", "veth12ab34c", "virbr0", "podman0", "cni0", "cali1234"] {
            assert!(is_container_interface(name), "{name}");
        }
        for name in ["eth0", "br0", "br-lan", "vmbr0", "bridge0", "enp3s0", "wg0", "ens18", "docker"] {
            assert!(!is_container_interface(name), "{name}");
        }
    }

    #[test]
    fn private_networks_are_those_of_the_rfcs() {
        for ip in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.127.255.1", "fd00::1"] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["100.128.0.1", "172.32.0.1", "203.0.113.7", "2001:db8::1", "127.0.0.1"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }
}
