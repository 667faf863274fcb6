//! Reading a message (RFC 8489 §5, §14).

use super::attribute::{AttributeType, xor_address};
use super::integrity::{IntegrityAlgorithm, IntegrityKey};
use std::net::SocketAddr;

/// What all messages of this version have at offset 4 (RFC 8489 §5).
pub(crate) const MAGIC_COOKIE: u32 = 0x2112_a442;
/// Bytes before the attributes.
pub(crate) const HEADER_BYTES: usize = 20;
/// FINGERPRINT is the checksum with this over it (RFC 8489 §14.7).
pub(crate) const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// Names a request and its answer: 96 bits that the client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransactionId(pub(crate) [u8; 12]);

/// Class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// Method of a message (RFC 8489 §18.2, RFC 8656 §17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Binding,
    Allocate,
    Refresh,
    Send,
    Data,
    CreatePermission,
    ChannelBind,
    /// Any other, such as those of TURN with TCP to the peer (RFC 6062).
    Unknown(u16),
}

impl Method {
    pub(crate) const fn to_bits(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Unknown(bits) => bits,
        }
    }

    const fn from_bits(bits: u16) -> Self {
        match bits {
            0x001 => Self::Binding,
            0x003 => Self::Allocate,
            0x004 => Self::Refresh,
            0x006 => Self::Send,
            0x007 => Self::Data,
            0x008 => Self::CreatePermission,
            0x009 => Self::ChannelBind,
            other => Self::Unknown(other),
        }
    }

    /// The name as a label of metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Allocate => "allocate",
            Self::Refresh => "refresh",
            Self::Send => "send",
            Self::Data => "data",
            Self::CreatePermission => "create_permission",
            Self::ChannelBind => "channel_bind",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// The first 16 bits of the header: class bits C1 and C0 stand between those of the method.
pub(crate) const fn type_bits(class: Class, method: Method) -> u16 {
    let method = method.to_bits();
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    (method & 0x000f) | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | class
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// No header, or one without the magic cookie.
    #[error("no STUN header")]
    Header,
    /// The length is not that of the bytes, or no multiple of four.
    #[error("the length field is not that of the message")]
    Length,
    /// An attribute reaches beyond the message.
    #[error("an attribute reaches beyond the message")]
    Attribute,
    /// FINGERPRINT is not the checksum of the message.
    #[error("the fingerprint does not match")]
    Fingerprint,
}

/// A message whose attributes all lie within it, and whose FINGERPRINT, if it has one, is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    pub(crate) class: Class,
    pub(crate) method: Method,
    pub(crate) transaction: TransactionId,
    /// Attributes that count: those after integrity do not (RFC 8489 §14.5).
    attributes: &'a [u8],
    /// Where MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 begin, counted from the header.
    integrity: Option<usize>,
    integrity_sha256: Option<usize>,
    pub(crate) has_fingerprint: bool,
}

impl<'a> Message<'a> {
    /// Reads one message that fills `bytes`.
    ///
    /// # Errors
    /// [`ParseError`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, attributes) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(ParseError::Header)?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *header;
        let kind = u16::from_be_bytes([t0, t1]);
        if kind & 0xc000 != 0 || u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
            return Err(ParseError::Header);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if length != attributes.len() || !length.is_multiple_of(4) {
            return Err(ParseError::Length);
        }
        let class = match kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        let method = Method::from_bits((kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2);
        let mut message = Self {
            bytes,
            class,
            method,
            transaction: TransactionId(transaction),
            attributes,
            integrity: None,
            integrity_sha256: None,
            has_fingerprint: false,
        };
        message.check_attributes(attributes)?;
        Ok(message)
    }

    /// Sees that each attribute lies within the message, and finds those at its end.
    fn check_attributes(&mut self, all: &'a [u8]) -> Result<(), ParseError> {
        let mut rest = all;
        while !rest.is_empty() {
            let at = all.len() - rest.len();
            let (kind, value, after) = split_attribute(rest).ok_or(ParseError::Attribute)?;
            let is_protected = self.integrity.is_some() || self.integrity_sha256.is_some();
            match kind {
                AttributeType::MESSAGE_INTEGRITY if !is_protected => self.integrity = Some(HEADER_BYTES + at),
                AttributeType::MESSAGE_INTEGRITY_SHA256 if self.integrity_sha256.is_none() => {
                    self.integrity_sha256 = Some(HEADER_BYTES + at);
                }
                AttributeType::FINGERPRINT => {
                    let is_last = after.is_empty();
                    let sum = value.try_into().map(u32::from_be_bytes).map_err(|_| ParseError::Fingerprint)?;
                    if !is_last || sum != fingerprint(self.bytes.get(..HEADER_BYTES + at).unwrap_or_default()) {
                        return Err(ParseError::Fingerprint);
                    }
                    self.has_fingerprint = true;
                }
                _ => {}
            }
            if !is_protected && (self.integrity.is_some() || self.integrity_sha256.is_some()) {
                self.attributes = all.get(..at).unwrap_or_default();
            }
            rest = after;
        }
        Ok(())
    }

    /// Bytes of the message.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The attributes that count, in order.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (AttributeType, &'a [u8])> + use<'a> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let (kind, value, after) = split_attribute(rest)?;
            rest = after;
            Some((kind, value))
        })
    }

    /// The first attribute of a type (RFC 8489 §14: further ones do not count).
    pub(crate) fn attribute(&self, wanted: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The first attribute of a type as a number of 32 bits.
    pub(crate) fn number(&self, wanted: AttributeType) -> Option<u32> {
        self.attribute(wanted)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// All XOR-PEER-ADDRESS attributes; `None` for one that is no address.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
        let transaction = self.transaction;
        self.attributes()
            .filter(|(kind, _)| *kind == AttributeType::XOR_PEER_ADDRESS)
            .map(move |(_, value)| xor_address::parse(value, transaction))
    }

    /// The algorithm of the integrity that is to be checked: the stronger where there are both.
    pub(crate) fn integrity_algorithm(&self) -> Option<IntegrityAlgorithm> {
        match (self.integrity_sha256, self.integrity) {
            (Some(_), _) => Some(IntegrityAlgorithm::Sha256),
            (None, Some(_)) => Some(IntegrityAlgorithm::Sha1),
            (None, None) => None,
        }
    }

    /// Whether someone who has `key` wrote the message (RFC 8489 §14.5, §14.6).
    pub(crate) fn is_authentic(&self, key: &IntegrityKey) -> bool {
        let Some(algorithm) = self.integrity_algorithm() else { return false };
        let at = match algorithm {
            IntegrityAlgorithm::Sha1 => self.integrity,
            IntegrityAlgorithm::Sha256 => self.integrity_sha256,
        };
        let Some((before, attribute)) = at.and_then(|at| self.bytes.split_at_checked(at)) else { return false };
        split_attribute(attribute).is_some_and(|(_, value, _)| key.verify(algorithm, before, value))
    }
}

/// Type, value and what follows after the padding.
fn split_attribute(bytes: &[u8]) -> Option<(AttributeType, &[u8], &[u8])> {
    let (&[t0, t1, l0, l1], rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let value = rest.get(..length)?;
    let after = rest.get(length.next_multiple_of(4)..)?;
    Some((AttributeType(u16::from_be_bytes([t0, t1])), value, after))
}

/// FINGERPRINT of a message whose bytes up to that attribute are `before`: its header counts the attribute already.
pub(crate) fn fingerprint(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ FINGERPRINT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{MessageBuilder, PasswordAlgorithm};

    /// RFC 5769 §2.4: a request with long-term authentication.
    const LONG_TERM: [u8; 116] = [
        0x00, 0x01, 0x00, 0x60, 0x21, 0x12, 0xa4, 0x42, 0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda,
        0x41, 0x2e, 0x00, 0x06, 0x00, 0x12, 0xe3, 0x83, 0x9e, 0xe3, 0x83, 0x88, 0xe3, 0x83, 0xaa, 0xe3, 0x83, 0x83,
        0xe3, 0x82, 0xaf, 0xe3, 0x82, 0xb9, 0x00, 0x00, 0x00, 0x15, 0x00, 0x1c, 0x66, 0x2f, 0x2f, 0x34, 0x39, 0x39,
        0x6b, 0x39, 0x35, 0x34, 0x64, 0x36, 0x4f, 0x4c, 0x33, 0x34, 0x6f, 0x4c, 0x39, 0x46, 0x53, 0x54, 0x76, 0x79,
        0x36, 0x34, 0x73, 0x41, 0x00, 0x14, 0x00, 0x0b, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72,
        0x67, 0x00, 0x00, 0x08, 0x00, 0x14, 0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71,
        0x2e, 0x85, 0xc9, 0xa2, 0x8c, 0xa8, 0x96, 0x66,
    ];

    #[test]
    fn the_test_vector_with_long_term_credentials_is_authentic() {
        let message = Message::parse(&LONG_TERM).unwrap();
        assert_eq!((message.class, message.method), (Class::Request, Method::Binding));
        let username = std::str::from_utf8(message.attribute(AttributeType::USERNAME).unwrap()).unwrap();
        assert_eq!(message.attribute(AttributeType::REALM), Some(&b"example.org"[..]));
        let key = |password| IntegrityKey::long_term(username, "example.org", password, PasswordAlgorithm::Md5);
        assert!(message.is_authentic(&key("TheMatrIX")));
        assert!(!message.is_authentic(&key("TheMatrix")));
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        for at in 0..LONG_TERM.len() - 24 {
            let mut changed = LONG_TERM;
            changed[at] ^= 1;
            let Ok(message) = Message::parse(&changed) else { continue };
            let key = IntegrityKey::long_term("マトリックス", "example.org", "TheMatrIX", PasswordAlgorithm::Md5);
            assert!(!message.is_authentic(&key), "byte {at}");
        }
    }

    #[test]
    fn what_stands_after_integrity_does_not_count() {
        let key = IntegrityKey::long_term("u", "r", "p", PasswordAlgorithm::Md5);
        let mut bytes = MessageBuilder::new(Class::Request, Method::Refresh, TransactionId([7; 12]))
            .attribute(AttributeType::USERNAME, b"u")
            .finish_signed(&key, IntegrityAlgorithm::Sha1, false);
        let smuggled = [0x00, 0x0d, 0x00, 0x04, 0, 0, 0, 9];
        bytes.extend(smuggled);
        let length = u16::try_from(bytes.len() - HEADER_BYTES).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.number(AttributeType::LIFETIME), None);
        assert!(message.is_authentic(&key));
    }

    #[test]
    fn every_cut_of_a_message_is_refused() {
        for len in 0..LONG_TERM.len() {
            assert!(Message::parse(&LONG_TERM[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_wrong_fingerprint_is_refused() {
        let mut bytes = MessageBuilder::new(Class::Request, Method::Binding, TransactionId([1; 12])).finish(true);
        assert!(Message::parse(&bytes).unwrap().has_fingerprint);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Fingerprint);
    }

    #[test]
    fn every_type_reads_as_written() {
        for bits in 0..0x1000 {
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                let method = Method::from_bits(bits);
                let bytes = MessageBuilder::new(class, method, TransactionId([0; 12])).finish(false);
                let message = Message::parse(&bytes).unwrap();
                assert_eq!((message.class, message.method), (class, method));
            }
        }
    }
}
