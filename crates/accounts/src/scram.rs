//! Keys of SCRAM (RFC 5802 §3, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use rand::Rng;
use xmpp::sasl::{ScramHash, prepared};

/// Rounds of PBKDF2 for new accounts, as RFC 7677 §4 asks for at least.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
/// Most rounds of an account that comes from elsewhere: half a second for each check of its password.
pub const MAX_ITERATIONS: u32 = 1_000_000;
/// Bytes of salt for new accounts.
pub const SALT_BYTES: usize = 16;
/// Most bytes of salt of an account that comes from elsewhere.
const MAX_SALT_BYTES: usize = 1024;

/// What an account is checked with, for each hash; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    sha1: Option<ScramKeys>,
    sha256: Option<ScramKeys>,
}

/// Salt, rounds and keys of one hash (RFC 5802 §3). Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The hash.
    pub hash: ScramHash,
    /// The salt.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: NonZeroU32,
    /// Checks the client's proof.
    pub stored_key: Vec<u8>,
    /// Signs what the server says.
    pub server_key: Vec<u8>,
}

impl Credentials {
    /// The keys of a password, for both hashes, with new salts.
    pub fn of_password(password: &str, rng: &mut impl Rng) -> Self {
        let mut keys =
            |hash| Some(ScramKeys::of_password(hash, password, rng.random::<[u8; SALT_BYTES]>().into(), ITERATIONS));
        Self { sha1: keys(ScramHash::Sha1), sha256: keys(ScramHash::Sha256) }
    }

    /// Keys that were made elsewhere; `None` without any.
    #[must_use]
    pub fn of_keys(sha1: Option<ScramKeys>, sha256: Option<ScramKeys>) -> Option<Self> {
        (sha1.is_some() || sha256.is_some()).then_some(Self { sha1, sha256 })
    }

    /// The keys for a hash. Accounts that came hashed from elsewhere may lack some.
    #[must_use]
    pub fn keys(&self, hash: ScramHash) -> Option<&ScramKeys> {
        match hash {
            ScramHash::Sha1 => self.sha1.as_ref(),
            ScramHash::Sha256 => self.sha256.as_ref(),
        }
    }

    /// The keys of the strongest hash that there are.
    #[must_use]
    pub fn strongest(&self) -> Option<&ScramKeys> {
        self.sha256.as_ref().or(self.sha1.as_ref())
    }

    /// Whether this is the password.
    #[must_use]
    pub fn fits(&self, password: &str) -> bool {
        self.strongest().is_some_and(|keys| keys.fits(password))
    }
}

impl ScramKeys {
    /// RFC 5802 §3: `SaltedPassword` of the prepared password, and from it the two keys. Takes a millisecond or so.
    #[must_use]
    pub fn of_password(hash: ScramHash, password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let algorithm = match hash {
            ScramHash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; digest_of(hash).output_len()];
        pbkdf2::derive(algorithm, iterations, &salt, prepared(password).as_bytes(), &mut salted);
        let client_key = sign(hash, &salted, b"Client Key");
        let stored_key = digest::digest(digest_of(hash), &client_key).as_ref().to_vec();
        let server_key = sign(hash, &salted, b"Server Key");
        Self { hash, salt, iterations, stored_key, server_key }
    }

    /// Keys that were made elsewhere; `None` where lengths or rounds are not those of such keys.
    #[must_use]
    pub fn of_parts(
        hash: ScramHash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Option<Self> {
        let length = digest_of(hash).output_len();
        let iterations = NonZeroU32::new(iterations).filter(|rounds| rounds.get() <= MAX_ITERATIONS)?;
        let fits =
            (1..=MAX_SALT_BYTES).contains(&salt.len()) && stored_key.len() == length && server_key.len() == length;
        fits.then_some(Self { hash, salt, iterations, stored_key, server_key })
    }

    /// Whether this is the password.
    #[must_use]
    pub fn fits(&self, password: &str) -> bool {
        let given = Self::of_password(self.hash, password, self.salt.clone(), self.iterations);
        verify_slices_are_equal(&given.stored_key, &self.stored_key).is_ok()
    }
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// The digest of a hash.
#[must_use]
pub fn digest_of(hash: ScramHash) -> &'static digest::Algorithm {
    match hash {
        ScramHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ScramHash::Sha256 => &digest::SHA256,
    }
}

/// HMAC under a key.
#[must_use]
pub fn sign(hash: ScramHash, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        ScramHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        ScramHash::Sha256 => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_password_fits_its_own_keys_only() {
        let credentials = Credentials::of_password("pencil", &mut StdRng::from_seed([1; 32]));
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let keys = credentials.keys(hash).unwrap();
            assert!(keys.fits("pencil") && !keys.fits("Pencil") && !keys.fits(""));
        }
        assert!(credentials.fits("pen\u{ad}cil"), "a password is the same however it was typed (SASLprep)");
        assert!(!format!("{credentials:?}").contains("pencil"));
    }

    #[test]
    fn keys_of_elsewhere_have_to_have_the_right_lengths() {
        let keys = |salt: usize, iterations, stored: usize| {
            ScramKeys::of_parts(ScramHash::Sha1, vec![0; salt], iterations, vec![0; stored], vec![0; 20])
        };
        assert!(keys(36, 10_000, 20).is_some());
        for (salt, iterations, stored) in
            [(0, 4096, 20), (2000, 4096, 20), (16, 0, 20), (16, u32::MAX, 20), (16, 4096, 32)]
        {
            assert!(keys(salt, iterations, stored).is_none(), "{salt} {iterations} {stored}");
        }
    }
}
