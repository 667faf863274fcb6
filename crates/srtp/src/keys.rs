//! Master keys, and how a DTLS handshake yields those of both directions (RFC 5764 §4.2).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::SrtpError;
use crate::profile::ProtectionProfile;

/// Longest master key, of AES-256.
const MAX_KEY_LEN: usize = 32;

/// Salts are at most 112 bits, which is also the width that key derivation works with (RFC 3711 §4.3.1).
pub(crate) const SALT_WIDTH: usize = 14;

/// Which side of the DTLS handshake we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We sent the ClientHello (`setup:active`).
    Client,
    /// The peer did.
    Server,
}

/// Master key and master salt of one direction. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    #[zeroize(skip)]
    profile: ProtectionProfile,
    key: [u8; MAX_KEY_LEN],
    salt: [u8; SALT_WIDTH],
}

impl MasterKey {
    /// From a key and a salt of exactly the lengths of the profile.
    pub fn new(profile: ProtectionProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let (need, have) = (profile.key_len() + profile.salt_len(), key.len() + salt.len());
        let mut master = Self { profile, key: [0; MAX_KEY_LEN], salt: [0; SALT_WIDTH] };
        let places = (master.key.get_mut(..profile.key_len()), master.salt.get_mut(..profile.salt_len()));
        match places {
            (Some(key_place), Some(salt_place)) if key_place.len() == key.len() && salt_place.len() == salt.len() => {
                key_place.copy_from_slice(key);
                // RFC 7714 §11: a 96-bit salt stands at the left of the 112 bits, with zeros behind.
                salt_place.copy_from_slice(salt);
                Ok(master)
            }
            (Some(_) | None, Some(_) | None) => Err(SrtpError::KeyingMaterialLength { need, have }),
        }
    }

    /// What the key is for.
    #[must_use]
    pub const fn profile(&self) -> ProtectionProfile {
        self.profile
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.key.get(..self.profile.key_len()).unwrap_or_default()
    }

    /// The salt in the width of key derivation.
    pub(crate) const fn wide_salt(&self) -> &[u8; SALT_WIDTH] {
        &self.salt
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The master keys of both directions.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// For what we send.
    pub outbound: MasterKey,
    /// For what we receive.
    pub inbound: MasterKey,
}

impl SessionKeys {
    /// Splits the output of the exporter `EXTRACTOR-dtls_srtp`: client key, server key, client salt, server salt
    /// (RFC 5764 §4.2). `keying_material` has exactly [`ProtectionProfile::keying_material_len`] bytes.
    pub fn from_dtls_export(
        profile: ProtectionProfile,
        keying_material: &[u8],
        role: DtlsRole,
    ) -> Result<Self, SrtpError> {
        let wrong_length =
            SrtpError::KeyingMaterialLength { need: profile.keying_material_len(), have: keying_material.len() };
        if keying_material.len() != profile.keying_material_len() {
            return Err(wrong_length);
        }
        let (client_key, rest) = keying_material.split_at_checked(profile.key_len()).ok_or(wrong_length)?;
        let (server_key, rest) = rest.split_at_checked(profile.key_len()).ok_or(wrong_length)?;
        let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len()).ok_or(wrong_length)?;
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, server_salt)?;
        Ok(match role {
            DtlsRole::Client => Self { outbound: client, inbound: server },
            DtlsRole::Server => Self { outbound: server, inbound: client },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_the_export_in_the_order_of_the_rfc() {
        let profile = ProtectionProfile::AeadAes128Gcm;
        let export: Vec<u8> = (0..56).collect();
        let ours = SessionKeys::from_dtls_export(profile, &export, DtlsRole::Server).unwrap();
        assert_eq!(ours.inbound.key(), &export[..16]);
        assert_eq!(ours.outbound.key(), &export[16..32]);
        assert_eq!(ours.inbound.wide_salt()[..12], export[32..44]);
        assert_eq!(ours.outbound.wide_salt()[..12], export[44..56]);
        assert_eq!(ours.outbound.wide_salt()[12..], [0, 0]);
        let theirs = SessionKeys::from_dtls_export(profile, &export, DtlsRole::Client).unwrap();
        assert_eq!(theirs.outbound.key(), ours.inbound.key());
    }

    #[test]
    fn refuses_other_lengths() {
        for profile in [ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80] {
            let need = profile.keying_material_len();
            for have in [0, need - 1, need + 1] {
                let error = SessionKeys::from_dtls_export(profile, &vec![0; have], DtlsRole::Client).unwrap_err();
                assert_eq!(error, SrtpError::KeyingMaterialLength { need, have });
            }
        }
        assert!(MasterKey::new(ProtectionProfile::AeadAes128Gcm, &[0; 14], &[0; 14]).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let key = MasterKey::new(ProtectionProfile::AeadAes128Gcm, &[0xab; 16], &[0xcd; 12]).unwrap();
        assert_eq!(format!("{key:?}"), "MasterKey { profile: AeadAes128Gcm, .. }");
    }
}
