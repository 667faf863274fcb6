//! The accounts that the settings name, those of services above all, and what a login is checked with. All other accounts are in a
//! file or a directory, which the shell asks (`backends.rs`).

use std::collections::{BTreeMap, HashMap};

use ::accounts::{Credentials, ITERATIONS, SALT_BYTES, ScramKeys};
use aws_lc_rs::hmac;
use rand::Rng;
use xmpp::Jid;
use xmpp::sasl::ScramHash;

use crate::Settings;

/// Who may log in, by bare JID.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_jid: HashMap<Jid, Credentials>,
    /// Makes up salts for names that have no account, always the same for a name: nobody learns which names exist.
    decoy: hmac::Key,
    /// Domains with accounts in the file, and which hashes all accounts of each can be checked with.
    stored: BTreeMap<String, StoredHashes>,
}

/// With which hashes all accounts of a domain in the file of accounts can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredHashes {
    /// All.
    All,
    /// SHA-1 only: some accounts came hashed from elsewhere.
    Sha1,
}

impl Accounts {
    /// The accounts of the settings: those that are named, and the service accounts with the service secret.
    pub(crate) fn of(settings: &Settings, rng: &mut impl Rng) -> Self {
        let mut accounts = Self {
            by_jid: HashMap::new(),
            decoy: hmac::Key::new(hmac::HMAC_SHA256, &rng.random::<[u8; 32]>()),
            stored: BTreeMap::new(),
        };
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

    /// What is known of the file of accounts.
    pub(crate) fn set_stored(&mut self, stored: BTreeMap<String, StoredHashes>) {
        self.stored = stored;
    }

    /// Which hashes the file's accounts of a domain can be checked with; `None` where it has no accounts.
    pub(crate) fn stored_at(&self, domain: &Jid) -> Option<StoredHashes> {
        self.stored.get(domain.domain()).copied()
    }

    /// What a login under this name is checked with, if the settings name it.
    pub(crate) fn named(&self, jid: &Jid, hash: ScramHash) -> Option<Login> {
        let keys = self.by_jid.get(jid)?.keys(hash)?.clone();
        Some(Login { jid: Some(jid.clone()), keys })
    }

    /// What a login under this name is checked with, given what the file of accounts has of it. Without an account, or keys of this
    /// hash, that is something no password fits.
    pub(crate) fn login(&self, jid: &Jid, hash: ScramHash, found: Option<&Credentials>) -> Login {
        if let Some(keys) = found.and_then(|credentials| credentials.keys(hash)) {
            return Login { jid: Some(jid.clone()), keys: keys.clone() };
        }
        let salt = hmac::sign(&self.decoy, jid.as_str().as_bytes());
        let salt = salt.as_ref().iter().copied().take(SALT_BYTES).collect();
        let keys = ScramKeys { hash, salt, iterations: ITERATIONS, stored_key: Vec::new(), server_key: Vec::new() };
        Login { jid: None, keys }
    }

    /// What the password of a login is checked with.
    pub(crate) fn source(&self, jid: &Jid, asks: Asks) -> PasswordSource {
        match (self.named(jid, ScramHash::Sha256), asks) {
            (Some(login), _) => PasswordSource::Known(login),
            (None, Asks::Nobody) => PasswordSource::Known(self.login(jid, ScramHash::Sha256, None)),
            (None, Asks::Store) => PasswordSource::Store { unknown: self.login(jid, ScramHash::Sha256, None) },
            (None, Asks::Directory) => PasswordSource::Directory,
        }
    }
}

/// A login that is being checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// The account; `None` when there is none, which is not told before the end.
    pub(crate) jid: Option<Jid>,
    pub(crate) keys: ScramKeys,
}

/// Who knows the accounts of a virtual host that the settings do not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nobody,
    Store,
    Directory,
}

/// A password to be checked, which takes so long that it is not done on the core's way: [`crate::Output::CheckPassword`].
pub struct PasswordCheck {
    /// The account.
    pub(crate) jid: Jid,
    /// The name as the user means it: what a directory knows.
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) source: PasswordSource,
}

/// What a password is checked with.
#[derive(Debug)]
pub(crate) enum PasswordSource {
    /// The keys are here.
    Known(Login),
    /// The file of accounts has them, or else it shall take as long as if it had.
    Store { unknown: Login },
    /// A directory is asked.
    Directory,
}

/// What is known of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that of the account.
    Right,
    /// It is not.
    Wrong,
    /// Nobody can say now.
    Unavailable,
}

impl PasswordCheck {
    /// Whether the password is that of the account, where that takes nobody else to tell.
    #[must_use]
    pub fn run(&self) -> Verdict {
        match &self.source {
            PasswordSource::Known(login) => login.verdict(&self.password),
            PasswordSource::Store { .. } | PasswordSource::Directory => Verdict::Unavailable,
        }
    }
}

impl Login {
    /// Without an account it takes as long.
    pub(crate) fn verdict(&self, password: &str) -> Verdict {
        if self.keys.fits(password) && self.jid.is_some() { Verdict::Right } else { Verdict::Wrong }
    }
}

impl std::fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordCheck").field("jid", &self.jid).finish_non_exhaustive()
    }
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
        let jid: Jid = name.parse().unwrap();
        let source = accounts().source(&jid, Asks::Nobody);
        PasswordCheck { name: String::new(), jid, password: password.to_owned(), source }.run() == Verdict::Right
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
        let keys = |name: &str| {
            let jid = name.parse().unwrap();
            accounts.named(&jid, ScramHash::Sha1).unwrap_or_else(|| accounts.login(&jid, ScramHash::Sha1, None)).keys
        };
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
