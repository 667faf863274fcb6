//! The addresses of this host.

use std::io;
use std::net::IpAddr;

/// An address of this host and the interface that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// Name of the interface, such as `eth0`.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
}

/// The name of this host; `None` where it is none that can be shown.
#[must_use]
pub fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// All addresses of this host's interfaces, loopback and link-local ones included: IPv4 first, then by number.
///
/// # Errors
/// What the system answers when it is asked for its interfaces.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut all: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| InterfaceAddress { ip: interface.ip(), interface: interface.name })
        .collect();
    all.sort_unstable_by(|a, b| (a.ip, &a.interface).cmp(&(b.ip, &b.interface)));
    all.dedup_by(|a, b| a.ip == b.ip);
    Ok(all)
}

/// The addresses of this host's interfaces that a peer can reach: no loopback and no link-local ones, unless there is
/// nothing else (a host without a network, where peers are on the same machine).
///
/// # Errors
/// What the system answers when it is asked for its interfaces.
pub fn host_addresses() -> io::Result<Vec<IpAddr>> {
    let all: Vec<IpAddr> = interface_addresses()?.into_iter().map(|address| address.ip).collect();
    let mut reachable: Vec<IpAddr> = all.iter().copied().filter(is_reachable).collect();
    if reachable.is_empty() {
        reachable = all.into_iter().filter(IpAddr::is_loopback).collect();
    }
    Ok(reachable)
}

fn is_reachable(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_always_has_an_address() {
        assert!(!host_addresses().unwrap().is_empty());
        let all = interface_addresses().unwrap();
        assert!(all.iter().any(|address| address.ip.is_loopback() && !address.interface.is_empty()));
    }

    #[test]
    fn loopback_and_link_local_addresses_reach_nobody_else() {
        for address in ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "0.0.0.0"] {
            assert!(!is_reachable(&address.parse().unwrap()), "{address}");
        }
        assert!(is_reachable(&"203.0.113.7".parse().unwrap()));
    }
}
