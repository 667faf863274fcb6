//! MESSAGE-INTEGRITY and the keys of long-term credentials (RFC 8489 §9.2.2, §14.5, §14.6).

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest as _, Md5};

use super::message::HEADER_BYTES;

/// How a message is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegrityAlgorithm {
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256, possibly cut to no less than 16 bytes.
    Sha256,
}

/// How a password becomes a key (RFC 8489 §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordAlgorithm {
    /// The one of all clients before RFC 8489, and of those that name none.
    Md5,
    Sha256,
}

impl PasswordAlgorithm {
    /// Reads PASSWORD-ALGORITHM; `None` for one that is unknown or has parameters, which neither of the two has.
    pub(crate) fn from_attribute(value: &[u8]) -> Option<Self> {
        match value {
            [0x00, 0x01, 0x00, 0x00] => Some(Self::Md5),
            [0x00, 0x02, 0x00, 0x00] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// Key of long-term credentials. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IntegrityKey(Vec<u8>);

impl IntegrityKey {
    /// Hash of `username:realm:password` (RFC 8489 §9.2.2).
    pub(crate) fn long_term(username: &str, realm: &str, password: &str, algorithm: PasswordAlgorithm) -> Self {
        let text = format!("{username}:{realm}:{password}");
        Self(match algorithm {
            PasswordAlgorithm::Md5 => Md5::digest(text.as_bytes()).to_vec(),
            PasswordAlgorithm::Sha256 => digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec(),
        })
    }

    /// Tag of a message whose bytes up to the integrity attribute are `before`.
    pub(crate) fn sign(&self, algorithm: IntegrityAlgorithm, before: &[u8]) -> hmac::Tag {
        let length = match algorithm {
            IntegrityAlgorithm::Sha1 => SHA1_BYTES,
            IntegrityAlgorithm::Sha256 => SHA256_BYTES,
        };
        self.tag(algorithm, before, length)
    }

    /// Whether `tag` is that of a message whose bytes up to the integrity attribute are `before`.
    pub(crate) fn verify(&self, algorithm: IntegrityAlgorithm, before: &[u8], tag: &[u8]) -> bool {
        let is_length = match algorithm {
            IntegrityAlgorithm::Sha1 => tag.len() == SHA1_BYTES,
            // RFC 8489 §14.6: a multiple of four, 16 at least.
            IntegrityAlgorithm::Sha256 => (16..=SHA256_BYTES).contains(&tag.len()) && tag.len().is_multiple_of(4),
        };
        let expected = self.tag(algorithm, before, tag.len());
        is_length
            && expected
                .as_ref()
                .get(..tag.len())
                .is_some_and(|expected| constant_time::verify_slices_are_equal(expected, tag).is_ok())
    }

    /// The header that is signed counts the integrity attribute and nothing behind it.
    fn tag(&self, algorithm: IntegrityAlgorithm, before: &[u8], tag_bytes: usize) -> hmac::Tag {
        let algorithm = match algorithm {
            IntegrityAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            IntegrityAlgorithm::Sha256 => hmac::HMAC_SHA256,
        };
        let length = before.len().saturating_sub(HEADER_BYTES) + 4 + tag_bytes;
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, &self.0));
        context.update(before.get(..2).unwrap_or_default());
        context.update(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        context.update(before.get(4..).unwrap_or_default());
        context.sign()
    }
}

impl std::fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntegrityKey(…)")
    }
}

const SHA1_BYTES: usize = 20;
const SHA256_BYTES: usize = 32;
