//! Attribute types and the encoding of addresses (RFC 8489 §14, RFC 8656 §18).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::message::{MAGIC_COOKIE, TransactionId};

/// Type of an attribute; those below 0x8000 have to be understood (RFC 8489 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AttributeType(pub(crate) u16);

impl AttributeType {
    pub(crate) const USERNAME: Self = Self(0x0006);
    pub(crate) const MESSAGE_INTEGRITY: Self = Self(0x0008);
    pub(crate) const ERROR_CODE: Self = Self(0x0009);
    pub(crate) const UNKNOWN_ATTRIBUTES: Self = Self(0x000a);
    pub(crate) const CHANNEL_NUMBER: Self = Self(0x000c);
    pub(crate) const LIFETIME: Self = Self(0x000d);
    pub(crate) const XOR_PEER_ADDRESS: Self = Self(0x0012);
    pub(crate) const DATA: Self = Self(0x0013);
    pub(crate) const REALM: Self = Self(0x0014);
    pub(crate) const NONCE: Self = Self(0x0015);
    pub(crate) const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    pub(crate) const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    pub(crate) const EVEN_PORT: Self = Self(0x0018);
    pub(crate) const REQUESTED_TRANSPORT: Self = Self(0x0019);
    pub(crate) const DONT_FRAGMENT: Self = Self(0x001a);
    pub(crate) const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001c);
    pub(crate) const PASSWORD_ALGORITHM: Self = Self(0x001d);
    pub(crate) const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    pub(crate) const RESERVATION_TOKEN: Self = Self(0x0022);
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    pub(crate) const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    pub(crate) const FINGERPRINT: Self = Self(0x8028);

    /// Whether a message with this attribute cannot be acted on by one who does not know it.
    pub(crate) const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// Address family, as in the attributes (RFC 8489 §14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// From the first byte of REQUESTED-ADDRESS-FAMILY and its like; the value has four bytes (RFC 8656 §18.6).
    pub(crate) fn from_attribute(value: &[u8]) -> Option<Self> {
        match value {
            [0x01, _, _, _] => Some(Self::Ipv4),
            [0x02, _, _, _] => Some(Self::Ipv6),
            _ => None,
        }
    }

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Ipv4 => 0x01,
            Self::Ipv6 => 0x02,
        }
    }
}

/// An address hidden from NATs that rewrite addresses they find (RFC 8489 §14.2).
pub(crate) mod xor_address {
    use super::{Family, IpAddr, Ipv4Addr, Ipv6Addr, MAGIC_COOKIE, SocketAddr, TransactionId};

    /// Reads the value of XOR-MAPPED-ADDRESS and its like; `None` when it is none.
    pub(crate) fn parse(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
        let (&[_, family, port_high, port_low], address) = value.split_first_chunk()?;
        let port = u16::from_be_bytes([port_high, port_low]) ^ PORT_MASK;
        let mask = mask(transaction);
        let ip = match family {
            0x01 => {
                let bytes: [u8; 4] = address.try_into().ok()?;
                IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(bytes) ^ MAGIC_COOKIE))
            }
            0x02 => {
                let bytes: [u8; 16] = address.try_into().ok()?;
                IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(bytes) ^ mask))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Appends the value to `out`.
    pub(crate) fn write(out: &mut Vec<u8>, address: SocketAddr, transaction: TransactionId) {
        out.extend([0, Family::of(address.ip()).to_byte()]);
        out.extend((address.port() ^ PORT_MASK).to_be_bytes());
        match address.ip() {
            IpAddr::V4(v4) => out.extend((v4.to_bits() ^ MAGIC_COOKIE).to_be_bytes()),
            IpAddr::V6(v6) => out.extend((v6.to_bits() ^ mask(transaction)).to_be_bytes()),
        }
    }

    /// The upper half of the magic cookie.
    const PORT_MASK: u16 = 0x2112;

    fn mask(transaction: TransactionId) -> u128 {
        let mut bytes = [0; 16];
        let (cookie, rest) = bytes.split_at_mut(4);
        cookie.copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        rest.copy_from_slice(&transaction.0);
        u128::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.2 and §2.3.
    const TRANSACTION: TransactionId =
        TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

    #[test]
    fn addresses_of_the_test_vectors() {
        let v4 = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let v6 = [
            0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2,
            0xb9, 0xd9,
        ];
        for (value, text) in [(&v4[..], "192.0.2.1:32853"), (&v6[..], "[2001:db8:1234:5678:11:2233:4455:6677]:32853")] {
            let address = xor_address::parse(value, TRANSACTION).unwrap();
            assert_eq!(address.to_string(), text);
            let mut written = Vec::new();
            xor_address::write(&mut written, address, TRANSACTION);
            assert_eq!(written, value);
        }
    }

    #[test]
    fn other_lengths_and_families_are_no_address() {
        for value in [&[][..], &[0, 1, 0, 0, 1, 2, 3], &[0, 2, 0, 0, 1, 2, 3, 4], &[0, 3, 0, 0, 1, 2, 3, 4]] {
            assert_eq!(xor_address::parse(value, TRANSACTION), None, "{value:?}");
        }
    }
}
