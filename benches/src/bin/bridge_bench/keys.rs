//! Keys of media on their way from the harness to the ideal loop: profile number and keying material in hexadecimal.

use anyhow::Context;
use dtls::{KeyingMaterial, SrtpProfile};
use srtp::ProtectionProfile;

/// The profile in the words of `srtp`.
pub(crate) const fn profile(keys: &KeyingMaterial) -> ProtectionProfile {
    match keys.profile {
        SrtpProfile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

pub(crate) fn to_text(keys: &KeyingMaterial) -> String {
    let material: String = keys.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{material}", profile(keys).wire())
}

pub(crate) fn parse(text: &str) -> anyhow::Result<(ProtectionProfile, Vec<u8>)> {
    let (profile, material) = text.split_once(':').context("no colon")?;
    let profile = ProtectionProfile::from_wire(profile.parse()?).context("unknown profile")?;
    let digits: Vec<u8> = material
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .context("no hexadecimal digit")?;
    Ok((profile, digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtls::DtlsRole;

    #[test]
    fn keys_come_out_as_they_went_in() {
        let bytes: Vec<u8> = (0..88).collect();
        let keys = KeyingMaterial { profile: SrtpProfile::AeadAes256Gcm, role: DtlsRole::Client, bytes };
        assert_eq!(parse(&to_text(&keys)).unwrap(), (ProtectionProfile::AeadAes256Gcm, keys.bytes));
        assert!(parse("8").is_err());
    }
}
