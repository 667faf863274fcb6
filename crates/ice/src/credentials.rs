//! Short-term credentials of an agent and the generation that an ICE restart counts up (RFC 8445 §5.3, §9).

use std::fmt;

use crate::IceError;

/// A user fragment and a password (RFC 8445 §5.3). `Debug` shows the fragment only.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    ufrag: String,
    pwd: String,
}

impl IceCredentials {
    /// Bytes of randomness that [`Self::from_random`] takes.
    pub const RANDOM_LEN: usize = 24;

    /// Credentials of this side in the shape of the Jitsi Videobridge: base 32, lower case letters and digits, no
    /// colon. 64 bits make the ufrag (13 characters), which also is the key for finding the endpoint, and 128 bits the
    /// password (26 characters). `random` must come from a cryptographic generator.
    pub fn from_random(random: &[u8; Self::RANDOM_LEN]) -> Self {
        let (ufrag, pwd) = random.split_at(8);
        Self { ufrag: base32(ufrag), pwd: base32(pwd) }
    }

    /// Credentials as the peer signalled them.
    ///
    /// # Errors
    /// [`IceError::InvalidCredentials`] if length or characters break RFC 8839 §5.4: 4..=256 ice-chars for the ufrag,
    /// 22..=256 for the password.
    pub fn from_signaling(ufrag: &str, pwd: &str) -> Result<Self, IceError> {
        let is_valid = |value: &str, min: usize| {
            (min..=256).contains(&value.len())
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        };
        if !is_valid(ufrag, 4) {
            return Err(IceError::InvalidCredentials { field: "ufrag" });
        }
        if !is_valid(pwd, 22) {
            return Err(IceError::InvalidCredentials { field: "pwd" });
        }
        Ok(Self { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
    }

    /// The user fragment, also in clear on the wire.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password: to the signalling and nowhere else, never into a log.
    pub fn pwd(&self) -> &str {
        &self.pwd
    }

    pub(crate) fn to_is(&self) -> is::IceCreds {
        is::IceCreds { ufrag: self.ufrag.clone(), pass: self.pwd.clone() }
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Which set of credentials: 0 for the first, one more with each ICE restart; `ice-generation` in Jitsi's transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Base 32 in the alphabet of RFC 4648 §7, in lower case and without padding; the last character holds the odd bits.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: [char; 32] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l',
        'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    ];
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut window, mut bits) = (0u32, 0u32);
    for byte in bytes {
        window = window << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(window >> bits & 31) as usize]);
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(window << (5 - bits) & 31) as usize]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_credentials_have_the_shape_of_the_videobridge() {
        for seed in 0..=255 {
            let credentials = IceCredentials::from_random(&std::array::from_fn(|i| seed ^ (i as u8).wrapping_mul(37)));
            assert_eq!((credentials.ufrag().len(), credentials.pwd().len()), (13, 26));
            let text = format!("{}{}", credentials.ufrag(), credentials.pwd());
            assert!(text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()), "{text}");
            assert!(IceCredentials::from_signaling(credentials.ufrag(), credentials.pwd()).is_ok());
        }
    }

    #[test]
    fn every_random_bit_reaches_the_credentials() {
        let base = IceCredentials::from_random(&[0; 24]);
        for bit in 0..24 * 8 {
            let mut random = [0; 24];
            random[bit / 8] = 1 << (bit % 8);
            assert_ne!(IceCredentials::from_random(&random), base, "bit {bit}");
        }
    }

    #[test]
    fn signalled_credentials_outside_of_the_grammar_are_refused() {
        let pwd = "a".repeat(22);
        assert!(IceCredentials::from_signaling("abc", &pwd).is_err(), "short ufrag");
        assert!(IceCredentials::from_signaling(&"a".repeat(257), &pwd).is_err(), "long ufrag");
        assert!(IceCredentials::from_signaling("ab:cd", &pwd).is_err(), "colon");
        assert!(IceCredentials::from_signaling("abcd", "short").is_err(), "short password");
        assert!(IceCredentials::from_signaling("Ab+/", &pwd).is_ok());
    }

    #[test]
    fn debug_hides_the_password() {
        let credentials = IceCredentials::from_signaling("abcd", "secretsecretsecretsecret").unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
