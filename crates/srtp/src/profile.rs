//! Protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2) and their lengths.

use std::fmt;

/// How packets are protected, as DTLS negotiates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtectionProfile {
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714). Preferred: five times cheaper than the SHA-1 profile.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 3711), for clients without GCM.
    Aes128CmHmacSha1_80,
}

impl ProtectionProfile {
    /// The profile behind the number of the `use_srtp` extension, none if we do not have it.
    #[must_use]
    pub const fn from_wire(number: u16) -> Option<Self> {
        match number {
            0x0001 => Some(Self::Aes128CmHmacSha1_80),
            0x0007 => Some(Self::AeadAes128Gcm),
            0x0008 => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }

    /// The number in the `use_srtp` extension.
    #[must_use]
    pub const fn wire(self) -> u16 {
        match self {
            Self::Aes128CmHmacSha1_80 => 0x0001,
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
        }
    }

    /// Bytes of a master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Bytes to ask of the DTLS exporter `EXTRACTOR-dtls_srtp`: keys and salts of both sides (RFC 5764 §4.2).
    #[must_use]
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Bytes of the authentication tag on RTP and on RTCP.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmHmacSha1_80 => 10,
        }
    }
}

impl fmt::Display for ProtectionProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::Aes128CmHmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_registry() {
        for profile in
            [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80]
        {
            assert_eq!(ProtectionProfile::from_wire(profile.wire()), Some(profile));
        }
        // NULL ciphers and the 32-bit tag are not ours.
        for number in [0, 2, 5, 6] {
            assert_eq!(ProtectionProfile::from_wire(number), None);
        }
        assert_eq!(ProtectionProfile::AeadAes128Gcm.keying_material_len(), 56);
        assert_eq!(ProtectionProfile::Aes128CmHmacSha1_80.keying_material_len(), 60);
    }
}
