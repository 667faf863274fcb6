//! As much of DER (X.690) as finds the key in a public key or a certificate. Reads what others wrote without recursion.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version of a certificate, `[0] EXPLICIT` (RFC 5280 §4.1).
const CERTIFICATE_VERSION: u8 = 0xA0;

/// What names the algorithm of a key, and the key itself (RFC 5280 §4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeyInfo<'a> {
    /// The content of the algorithm's identifier.
    pub(crate) algorithm: &'a [u8],
    /// The content of the bit string.
    pub(crate) key: &'a [u8],
}

impl<'a> PublicKeyInfo<'a> {
    /// Reads a `SubjectPublicKeyInfo`.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let (info, _) = read(der, SEQUENCE)?;
        let (algorithm, rest) = read(info, SEQUENCE)?;
        let (algorithm, _) = read(algorithm, OBJECT_IDENTIFIER)?;
        let (bits, _) = read(rest, BIT_STRING)?;
        // The first octet counts unused bits: keys are whole octets.
        let key = bits.strip_prefix(&[0])?;
        Some(Self { algorithm, key })
    }

    /// Finds it in an X.509 certificate (RFC 5280 §4.1). Whoever holds the certificate is believed, not who signed it.
    pub(crate) fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let (certificate, _) = read(der, SEQUENCE)?;
        let (mut rest, _) = read(certificate, SEQUENCE)?;
        if let Some((_, after)) = read(rest, CERTIFICATE_VERSION) {
            rest = after;
        }
        // Serial number, signature, issuer, validity, subject.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            (_, rest) = read(rest, tag)?;
        }
        Self::read(rest)
    }
}

/// Bytes of the modulus of an `RSAPublicKey` (RFC 8017 §A.1.1).
pub(crate) fn rsa_modulus_len(der: &[u8]) -> Option<usize> {
    let (key, _) = read(der, SEQUENCE)?;
    let (modulus, _) = read(key, INTEGER)?;
    Some(modulus.strip_prefix(&[0]).unwrap_or(modulus).len())
}

/// The content of the value at the front when it has this tag, and what follows it.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (len, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        // Nothing that is looked at here has 64 kB.
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_identifier_and_bits() {
        let info = [0x30, 0x0B, 0x30, 0x04, 0x06, 0x02, 0x2B, 0x65, 0x03, 0x03, 0x00, 0xAA, 0xBB];
        let expected = PublicKeyInfo { algorithm: &[0x2B, 0x65], key: &[0xAA, 0xBB] };
        assert_eq!(PublicKeyInfo::read(&info), Some(expected));
        for len in 0..info.len() {
            assert_eq!(PublicKeyInfo::read(&info[..len]), None, "cut at {len}");
        }
    }

    #[test]
    fn lengths_have_three_forms() {
        assert_eq!(read(&[0x02, 0x81, 0x01, 7, 8], INTEGER), Some((&[7][..], &[8][..])));
        assert_eq!(read(&[0x02, 0x82, 0x00, 0x01, 7], INTEGER), Some((&[7][..], &[][..])));
        assert_eq!(read(&[0x02, 0x84, 0, 0, 0, 1, 7], INTEGER), None);
        assert_eq!(read(&[0x02, 0x80, 7], INTEGER), None);
    }
}
