//! Which addresses clients are told.

use std::net::{IpAddr, SocketAddr};

use ice::LocalAddress;

/// The host's addresses and, where an operator named public ones, how they map (bridge.md §2.1, static mappings).
///
/// An advertised address that is the host's own is used as it is. Any other is the public side of a NAT, and maps to
/// the host's first address of its family.
pub(crate) fn local_addresses(host: &[IpAddr], advertised: &[IpAddr], port: u16) -> Vec<LocalAddress> {
    let socket = |ip: IpAddr| SocketAddr::new(ip, port);
    if advertised.is_empty() {
        return host.iter().map(|ip| LocalAddress::host(socket(*ip))).collect();
    }
    let mapped = advertised.iter().map(|ip| {
        let behind_nat = host.iter().find(|own| own.is_ipv4() == ip.is_ipv4());
        match behind_nat {
            Some(own) if !host.contains(ip) && !ip.is_loopback() => {
                LocalAddress { public: Some(socket(*ip)), ..LocalAddress::host(socket(*own)) }
            }
            Some(_) | None => LocalAddress::host(socket(*ip)),
        }
    });
    mapped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn own_addresses_are_told_as_they_are() {
        let host = ips(&["10.0.0.5", "fd00::5"]);
        let told: Vec<_> = local_addresses(&host, &[], 10_000).iter().map(|address| address.host.ip()).collect();
        assert_eq!(told, host);
        let told = local_addresses(&host, &ips(&["127.0.0.1"]), 10_000);
        assert_eq!(told.first().map(|address| (address.host.ip().is_loopback(), address.public)), Some((true, None)));
    }

    #[test]
    fn a_public_address_maps_to_the_hosts_of_its_family() {
        let told = local_addresses(&ips(&["fd00::5", "10.0.0.5"]), &ips(&["203.0.113.7"]), 10_000);
        let told: Vec<_> =
            told.iter().map(|address| (address.host.to_string(), address.public.map(|ip| ip.to_string()))).collect();
        assert_eq!(told, [("10.0.0.5:10000".to_owned(), Some("203.0.113.7:10000".to_owned()))]);
    }
}
