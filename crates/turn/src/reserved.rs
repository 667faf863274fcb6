//! Addresses that are not of the public Internet (RFC 6890 and the registries that follow it).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::is_within;

/// Whether an address reaches this host, its neighbours or nobody, in whatever form it is written: a relay that sends
/// there opens the operator's network to strangers (OWASP ASVS 5.0, 17.1.1).
///
/// IPv6 addresses that carry an IPv4 address (mapped, compatible, 6to4, Teredo, NAT64) count as reserved altogether:
/// the same peer has an IPv4 address, which is judged by itself.
pub(crate) fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_reserved_v4(v4),
        IpAddr::V6(v6) => RESERVED_V6.iter().any(|(network, prefix)| is_within(v6.to_bits(), *network, *prefix)),
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    RESERVED_V4.iter().any(|(network, prefix)| {
        let [address, network] = [address, Ipv4Addr::from(*network)].map(|ip| u128::from(ip.to_bits()) << 96);
        is_within(address, network, *prefix)
    })
}

const RESERVED_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Carriers' NAT.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local, the metadata services of clouds among it (169.254.169.254).
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    // Relays of 6to4, which is deprecated.
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast.
    ([224, 0, 0, 0], 4),
    // For later use, broadcast among it.
    ([240, 0, 0, 0], 4),
    // Microsoft Azure's metadata and DNS.
    ([168, 63, 129, 16], 32),
];

const fn v6(segments: [u16; 8]) -> u128 {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits()
}

const RESERVED_V6: [(u128, u8); 15] = [
    // Unspecified, loopback, IPv4-compatible.
    (v6([0, 0, 0, 0, 0, 0, 0, 0]), 96),
    // IPv4-mapped.
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96),
    // IPv4-translated (RFC 2765).
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0]), 96),
    // NAT64, well-known and local.
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]), 96),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48),
    // Discard only.
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0]), 64),
    // Protocol assignments, Teredo and ORCHID among them.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20),
    // 6to4.
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0]), 16),
    // Unique local, AWS's metadata (fd00:ec2::254) among it.
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10),
    // Site-local, deprecated.
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10),
    // Multicast.
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_inner_address_is_reserved() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2001::1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_reserved(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_not() {
        for text in ["1.1.1.1", "172.15.255.255", "172.32.0.1", "100.128.0.1", "2a00:1450:4001::1", "2606:4700::1111"] {
            assert!(!is_reserved(text.parse().unwrap()), "{text}");
        }
    }
}
