//! Accounts that log in with a password, kept as what SCRAM needs to check it (RFC 5802 §3): the password itself is in
//! no account, and cannot be had from one.

use std::collections::HashMap;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use rand::Rng;
use xmpp::Jid;
use xmpp::sasl::{ScramHash, prepared};

use crate::Settings;

/// Rounds of PBKDF2 for new accounts, as RFC 7677 §4 asks for at least.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
/// Bytes of salt for new accounts.
const SALT_BYTES: usize = 16;

/// Who may log in, by bare JID.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_jid: HashMap<Jid, Credentials>,
    /// Makes up salts for names that have no account, always the same for a name: nobody learns which names exist.
    decoy: hmac::Key,
}

/// What an account is checked with, for each hash.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    sha1: ScramKeys,
    sha256: ScramKeys,
}

/// Salt, rounds and keys of one hash (RFC 5802 §3). Not printable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ScramKeys {
    pub(crate) hash: ScramHash,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: NonZeroU32,
    /// Checks the client's proof.
    pub(crate) stored_key: Vec<u8>,
    /// Signs what the server says.
    pub(crate) server_key: Vec<u8>,
}

impl Accounts {
    /// The accounts of the settings: those that are named, and the service accounts with the service secret.
    pub(crate) fn of(settings: &Settings, rng: &mut impl Rng) -> Self {
        let mut accounts =
            Self { by_jid: HashMap::new(), decoy: hmac::Key::new(hmac::HMAC_SHA256, &rng.random::<[u8; 32]>()) };
        if let Some(secret) = &settings.service_secret {
            for name in &settings.service_accounts {
                if let Ok(jid) = Jid::new(Some(name), settings.hosts.auth.domain(), None) {
                    accounts.insert(jid, Credentials::of_password(secret.expose(), rng));
                }
            }
        }
        for account in &settings.accounts {
            accounts.insert(account.jid.to_bare(), Credentials::of_password(account.password.expose(), rng));
        }
        accounts
    }

    /// Adds an account, or gives one another password.
    pub(crate) fn insert(&mut self, jid: Jid, credentials: Credentials) {
        self.by_jid.insert(jid, credentials);
    }

    /// Whether anybody can log in at a domain.
    pub(crate) fn has_any_at(&self, domain: &Jid) -> bool {
        self.by_jid.keys().any(|jid| jid.domain() == domain.domain())
    }

    /// Whether there is such an account, by bare JID.
    pub(crate) fn has(&self, jid: &Jid) -> bool {
        self.by_jid.contains_key(jid)
    }

    /// What a login under this name is checked with. Without an account that is something no password fits.
    pub(crate) fn keys(&self, jid: &Jid, hash: ScramHash) -> Login {
        if let Some(credentials) = self.by_jid.get(jid) {
            return Login { jid: Some(jid.clone()), keys: credentials.keys(hash).clone() };
        }
        let salt = hmac::sign(&self.decoy, jid.as_str().as_bytes());
        let salt = salt.as_ref().iter().copied().take(SALT_BYTES).collect();
        let keys = ScramKeys { hash, salt, iterations: ITERATIONS, stored_key: Vec::new(), server_key: Vec::new() };
        Login { jid: None, keys }
    }
}

/// A login that is being checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// The account; `None` when there is none, which is not told before the end.
    pub(crate) jid: Option<Jid>,
    pub(crate) keys: ScramKeys,
}

impl Credentials {
    pub(crate) fn of_password(password: &str, rng: &mut impl Rng) -> Self {
        let mut keys =
            |hash| ScramKeys::of_password(hash, password, rng.random::<[u8; SALT_BYTES]>().into(), ITERATIONS);
        Self { sha1: keys(ScramHash::Sha1), sha256: keys(ScramHash::Sha256) }
    }

    fn keys(&self, hash: ScramHash) -> &ScramKeys {
        match hash {
            ScramHash::Sha1 => &self.sha1,
            ScramHash::Sha256 => &self.sha256,
        }
    }
}

impl ScramKeys {
    /// RFC 5802 §3: `SaltedPassword`, and from it the two keys. Takes a millisecond or so.
    pub(crate) fn of_password(hash: ScramHash, password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
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

    /// Whether this is the password.
    fn fits(&self, password: &str) -> bool {
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

/// A password to be checked, which takes so long that it is not done on the core's way: [`crate::Output::CheckPassword`].
pub struct PasswordCheck {
    pub(crate) login: Login,
    pub(crate) password: String,
}

impl PasswordCheck {
    /// Whether the password is that of the account.
    #[must_use]
    pub fn run(&self) -> bool {
        // Without an account it takes as long.
        self.login.keys.fits(&self.password) && self.login.jid.is_some()
    }
}

impl std::fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordCheck").field("jid", &self.login.jid).finish_non_exhaustive()
    }
}

pub(crate) fn digest_of(hash: ScramHash) -> &'static digest::Algorithm {
    match hash {
        ScramHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ScramHash::Sha256 => &digest::SHA256,
    }
}

/// HMAC under a key.
pub(crate) fn sign(hash: ScramHash, key: &[u8], message: &[u8]) -> Vec<u8> {
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
    use crate::{Account, Secret};

    fn accounts() -> Accounts {
        let mut settings = Settings { service_secret: Secret::new("s3cret"), ..Settings::default() };
        settings.accounts.push(Account {
            jid: "jvb@auth.meet.jitsi".parse().unwrap(),
            password: Secret::new("bridges only").unwrap(),
        });
        Accounts::of(&settings, &mut StdRng::from_seed([1; 32]))
    }

    fn fits(name: &str, password: &str) -> bool {
        let login = accounts().keys(&name.parse().unwrap(), ScramHash::Sha256);
        PasswordCheck { login, password: password.to_owned() }.run()
    }

    #[test]
    fn an_account_of_its_own_password_does_not_take_the_service_secret() {
        assert!(fits("focus@auth.meet.jitsi", "s3cret"));
        assert!(fits("jvb@auth.meet.jitsi", "bridges only"));
        assert!(!fits("jvb@auth.meet.jitsi", "s3cret"));
        assert!(!fits("focus@auth.meet.jitsi", "s3cre"));
        assert!(!fits("focus@meet.jitsi", "s3cret"));
        assert!(!fits("nobody@auth.meet.jitsi", ""));
    }

    #[test]
    fn a_name_without_an_account_looks_like_one_with() {
        let accounts = accounts();
        let keys = |name: &str| accounts.keys(&name.parse().unwrap(), ScramHash::Sha1).keys;
        assert_eq!(keys("nobody@auth.meet.jitsi"), keys("nobody@auth.meet.jitsi"), "the same at each try");
        assert_ne!(keys("nobody@auth.meet.jitsi").salt, keys("noone@auth.meet.jitsi").salt);
        let (known, unknown) = (keys("focus@auth.meet.jitsi"), keys("nobody@auth.meet.jitsi"));
        assert_eq!((known.salt.len(), known.iterations), (unknown.salt.len(), unknown.iterations));
    }

    #[test]
    fn no_password_is_printed() {
        assert!(!format!("{:?}", accounts()).contains("s3cret"));
    }
}
