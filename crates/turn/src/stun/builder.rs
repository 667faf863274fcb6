//! Writing a message.

use std::net::SocketAddr;

use super::attribute::{AttributeType, xor_address};
use super::integrity::{IntegrityAlgorithm, IntegrityKey};
use super::message::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId, fingerprint, type_bits};

/// A message that is being written, attribute by attribute.
#[derive(Clone, Debug)]
pub(crate) struct MessageBuilder {
    bytes: Vec<u8>,
    transaction: TransactionId,
}

impl MessageBuilder {
    pub(crate) fn new(class: Class, method: Method, transaction: TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend(type_bits(class, method).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(transaction.0);
        Self { bytes, transaction }
    }

    /// Adds an attribute with its padding. A value of 64 kB and above would not fit, and is left out.
    pub(crate) fn attribute(mut self, kind: AttributeType, value: &[u8]) -> Self {
        let Ok(length) = u16::try_from(value.len()) else { return self };
        self.bytes.extend(kind.0.to_be_bytes());
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an address (RFC 8489 §14.2).
    pub(crate) fn address(self, kind: AttributeType, address: SocketAddr) -> Self {
        let mut value = Vec::with_capacity(20);
        xor_address::write(&mut value, address, self.transaction);
        self.attribute(kind, &value)
    }

    /// Adds ERROR-CODE (RFC 8489 §14.8). The reason is for people; strangers get none, to keep what they are sent short.
    pub(crate) fn error_code(self, code: u16, reason: &str) -> Self {
        let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or_default());
        let mut value = vec![0, 0, class, number];
        value.extend(reason.as_bytes());
        self.attribute(AttributeType::ERROR_CODE, &value)
    }

    /// The message without integrity.
    pub(crate) fn finish(mut self, with_fingerprint: bool) -> Vec<u8> {
        if with_fingerprint {
            self.set_length(8);
            let sum = fingerprint(&self.bytes);
            self = self.attribute(AttributeType::FINGERPRINT, &sum.to_be_bytes());
        }
        self.set_length(0);
        self.bytes
    }

    /// The message with integrity, and a fingerprint after it where one is wanted.
    pub(crate) fn finish_signed(
        self,
        key: &IntegrityKey,
        algorithm: IntegrityAlgorithm,
        with_fingerprint: bool,
    ) -> Vec<u8> {
        let tag = key.sign(algorithm, &self.bytes);
        let kind = match algorithm {
            IntegrityAlgorithm::Sha1 => AttributeType::MESSAGE_INTEGRITY,
            IntegrityAlgorithm::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
        };
        self.attribute(kind, tag.as_ref()).finish(with_fingerprint)
    }

    /// Lets the header count the attributes so far and `more` bytes that will follow.
    fn set_length(&mut self, more: usize) {
        let length = u16::try_from(self.bytes.len().saturating_sub(HEADER_BYTES) + more).unwrap_or(u16::MAX);
        if let Some(field) = self.bytes.get_mut(2..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// Most answers fit; a Data indication grows beyond.
const USUAL_BYTES: usize = 160;
