//! Certificate fingerprints as the signalling carries them (RFC 8122 §5, XEP-0320).

use std::fmt;

use aws_lc_rs::digest;

use crate::DtlsError;

/// Hash of a fingerprint, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashFunction {
    /// `sha-1`, taken only from a peer that offers nothing better; the videobridge does the same.
    Sha1,
    /// `sha-256`, what browsers and this crate send.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl HashFunction {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in signalling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A hash over a certificate in DER.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashFunction,
    value: Vec<u8>,
}

impl Fingerprint {
    /// Reads `hash` (`sha-256`, in any case) and `text` (`AB:CD:…`, in any case, as many bytes as the hash has).
    ///
    /// # Errors
    /// [`DtlsError::InvalidFingerprint`].
    pub fn parse(hash: &str, text: &str) -> Result<Self, DtlsError> {
        let hash = HashFunction::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(hash));
        let hash = hash.ok_or(DtlsError::InvalidFingerprint)?;
        let mut value = Vec::with_capacity(hash.algorithm().output_len());
        for byte in text.split(':') {
            let [high, low] = byte.as_bytes() else { return Err(DtlsError::InvalidFingerprint) };
            let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) else {
                return Err(DtlsError::InvalidFingerprint);
            };
            value.push(u8::try_from(high << 4 | low).map_err(|_| DtlsError::InvalidFingerprint)?);
            if value.len() > hash.algorithm().output_len() {
                return Err(DtlsError::InvalidFingerprint);
            }
        }
        if value.len() != hash.algorithm().output_len() {
            return Err(DtlsError::InvalidFingerprint);
        }
        Ok(Self { hash, value })
    }

    /// The fingerprint of a certificate.
    pub fn of_certificate(hash: HashFunction, der: &[u8]) -> Self {
        Self { hash, value: digest::digest(hash.algorithm(), der).as_ref().to_vec() }
    }

    /// Which hash.
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The strongest hash that `fingerprints` offer decides: the certificate must match one of that hash
    /// (RFC 8122 §5 allows several certificates). False for an empty list.
    pub(crate) fn strongest_matches(fingerprints: &[Self], certificate: &[u8]) -> bool {
        let Some(strongest) = fingerprints.iter().map(|f| f.hash).max() else { return false };
        fingerprints.contains(&Self::of_certificate(strongest, certificate))
    }
}

/// `AB:CD:…`, the text form in signalling.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.hash.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_survives_a_round_trip_in_any_case() {
        for hash in HashFunction::ALL {
            let fingerprint = Fingerprint::of_certificate(hash, b"certificate");
            let text = fingerprint.to_string();
            assert_eq!(Fingerprint::parse(hash.as_str(), &text), Ok(fingerprint.clone()));
            assert_eq!(Fingerprint::parse(&hash.as_str().to_uppercase(), &text.to_lowercase()), Ok(fingerprint));
        }
    }

    #[test]
    fn broken_text_is_refused() {
        let good = Fingerprint::of_certificate(HashFunction::Sha256, b"x").to_string();
        let bad =
            ["", ":", "AB", &good[3..], &format!("{good}:00"), &good.replace(':', ""), &good.replacen('A', "G", 9)];
        for text in bad.iter().filter(|text| **text != good) {
            assert_eq!(Fingerprint::parse("sha-256", text), Err(DtlsError::InvalidFingerprint), "{text}");
        }
        assert_eq!(Fingerprint::parse("md5", &good), Err(DtlsError::InvalidFingerprint));
        assert_eq!(Fingerprint::parse("sha-1", &good), Err(DtlsError::InvalidFingerprint));
        assert_eq!(
            Fingerprint::parse("sha-256", &good.replacen(&good[..2], "é", 1)),
            Err(DtlsError::InvalidFingerprint)
        );
    }

    #[test]
    fn strongest_offered_hash_decides() {
        let of = Fingerprint::of_certificate;
        let (good, bad) = (b"certificate", b"another one");
        let matches = |list: &[Fingerprint]| Fingerprint::strongest_matches(list, good);
        assert!(matches(&[of(HashFunction::Sha256, good)]));
        assert!(matches(&[of(HashFunction::Sha1, good)]));
        assert!(matches(&[of(HashFunction::Sha256, bad), of(HashFunction::Sha256, good)]));
        assert!(!matches(&[of(HashFunction::Sha256, good), of(HashFunction::Sha512, bad)]));
        assert!(matches(&[of(HashFunction::Sha1, bad), of(HashFunction::Sha384, good)]));
        assert!(!matches(&[]));
    }
}
