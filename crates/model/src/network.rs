//! Ranges of IP addresses, as operators write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, as `198.51.100.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 198.51.100.0/24")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether it is one address: such a one was meant, even where it is reserved.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.prefix == bits_of(self.address)
    }

    /// Whether the address is in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let [own, other] = [own, other].map(|ip| u128::from(ip.to_bits()) << 96);
                is_within(other, own, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => is_within(other.to_bits(), own.to_bits(), self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

const fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix = prefix.map_or(Ok(bits_of(address)), |prefix| prefix.parse().map_err(|_| invalid()))?;
        if prefix > bits_of(address) {
            return Err(invalid());
        }
        Ok(Self { address, prefix })
    }
}

impl From<Ipv4Addr> for Network {
    /// One address.
    fn from(address: Ipv4Addr) -> Self {
        Self { address: address.into(), prefix: bits_of(address.into()) }
    }
}

impl From<Ipv6Addr> for Network {
    /// One address.
    fn from(address: Ipv6Addr) -> Self {
        Self { address: address.into(), prefix: bits_of(address.into()) }
    }
}

/// Whether the upper `prefix` bits are the same.
#[must_use]
pub const fn is_within(address: u128, network: u128, prefix: u8) -> bool {
    prefix == 0 || (address ^ network) >> (128 - prefix as u32) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_addresses_that_begin_like_it() {
        let holds =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(holds("198.51.100.0/24", "198.51.100.7"));
        assert!(!holds("198.51.100.0/24", "198.51.101.7"));
        assert!(holds("0.0.0.0/0", "203.0.113.1"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(Network::from(Ipv6Addr::LOCALHOST).is_single());
        for bad in ["", "192.0.2.0/33", "192.0.2/24", "::/129", "host", "192.0.2.1/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
