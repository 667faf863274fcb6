//! Key derivation: AES in counter mode under the master key (RFC 3711 §4.3, RFC 6188 §2 for 256 bits), at a key
//! derivation rate of zero.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};

use crate::error::SrtpError;
use crate::keys::MasterKey;

/// What is derived (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    RtpEncryption = 0x00,
    RtpAuthentication = 0x01,
    RtpSalt = 0x02,
    RtcpEncryption = 0x03,
    RtcpAuthentication = 0x04,
    RtcpSalt = 0x05,
}

/// Fills `out` with the key of `label`.
pub(crate) fn derive(master: &MasterKey, label: Label, out: &mut [u8]) -> Result<(), SrtpError> {
    let algorithm = if master.key().len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, master.key()).map_err(|_| SrtpError::Key)?;
    let key = EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)?;
    // x = (label || index/rate) XOR salt, then 16 zero bits to count blocks in (RFC 3711 §4.3.1, §4.3.3). With a rate
    // of zero the 48 bits behind the label are zero, so that only byte 7 differs from the salt.
    let mut iv = [0; 16];
    for (byte, salt) in iv.iter_mut().zip(master.wide_salt()) {
        *byte = *salt;
    }
    iv[7] ^= label as u8;
    out.fill(0);
    key.less_safe_encrypt(out, EncryptionContext::Iv128((&iv).into())).map_err(|_| SrtpError::Key)?;
    Ok(())
}

/// [`derive()`] into an array.
pub(crate) fn derive_array<const N: usize>(master: &MasterKey, label: Label) -> Result<[u8; N], SrtpError> {
    let mut out = [0; N];
    derive(master, label, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ProtectionProfile;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn derives_the_keys_of_the_rfc() {
        let master = MasterKey::new(
            ProtectionProfile::Aes128CmHmacSha1_80,
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        let encryption: [u8; 16] = derive_array(&master, Label::RtpEncryption).unwrap();
        let salt: [u8; 14] = derive_array(&master, Label::RtpSalt).unwrap();
        let authentication: [u8; 94] = derive_array(&master, Label::RtpAuthentication).unwrap();
        assert_eq!(encryption.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            authentication.to_vec(),
            hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF722709863\
                 71C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2")
        );
    }

    #[test]
    fn labels_give_keys_that_differ() {
        let master = MasterKey::new(ProtectionProfile::AeadAes256Gcm, &[7; 32], &[9; 12]).unwrap();
        let labels = [
            Label::RtpEncryption,
            Label::RtpAuthentication,
            Label::RtpSalt,
            Label::RtcpEncryption,
            Label::RtcpAuthentication,
            Label::RtcpSalt,
        ];
        let mut keys: Vec<[u8; 32]> = labels.map(|label| derive_array(&master, label).unwrap()).into();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), labels.len());
    }
}
