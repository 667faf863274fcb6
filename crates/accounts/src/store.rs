//! The file with the accounts: SQLite in WAL mode, so that a command can change it under a running server, which sees the
//! change at the next login.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use xmpp::Jid;
use xmpp::sasl::ScramHash;

use crate::{Credentials, ScramKeys};

/// How long a command waits while another writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Accounts that a file takes: a directory serves better beyond.
const MAX_ACCOUNTS: i64 = 1_000_000;
/// Deletions that are remembered for running servers to see, who look every few seconds.
const KEPT_REVOCATIONS: i64 = 10_000;
/// What `PRAGMA user_version` says of [`SCHEMA`].
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE account (
        jid TEXT PRIMARY KEY NOT NULL,
        domain TEXT NOT NULL,
        sha1_salt BLOB, sha1_iterations INTEGER, sha1_stored_key BLOB, sha1_server_key BLOB,
        sha256_salt BLOB, sha256_iterations INTEGER, sha256_stored_key BLOB, sha256_server_key BLOB
    ) WITHOUT ROWID;
    CREATE INDEX account_domain ON account (domain);
    CREATE TABLE revocation (number INTEGER PRIMARY KEY AUTOINCREMENT, jid TEXT NOT NULL);
    PRAGMA user_version = 1;";

/// The accounts of a deployment.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

/// Why the accounts cannot be had or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the accounts in {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is of a later version of this program.
    #[error("the accounts are of a later version ({found}, this is {SCHEMA_VERSION})")]
    LaterVersion {
        /// The version of the file.
        found: i64,
    },
    /// SQLite fails.
    #[error("cannot use the accounts")]
    Database(#[from] rusqlite::Error),
    /// There is such an account already.
    #[error("{0} exists already")]
    Exists(Jid),
    /// There is no such account.
    #[error("there is no account {0}")]
    NoSuchAccount(Jid),
    /// The file is full.
    #[error("there are {MAX_ACCOUNTS} accounts already")]
    TooMany,
}

/// What was deleted since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Where the next look starts.
    pub last: i64,
    /// Accounts that were deleted, by bare JID; some may be there again.
    pub jids: Vec<Jid>,
}

impl Store {
    /// Opens the file, which is made when missing, for its owner only.
    ///
    /// # Errors
    /// When it cannot be opened or is none of ours.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        make_private(path).map_err(|error| failed(rusqlite::Error::ToSqlConversionFailure(Box::new(error))))?;
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        Self::with(connection)
    }

    /// Accounts that are gone at the end.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn in_memory() -> Result<Self, Error> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(mut connection: Connection) -> Result<Self, Error> {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => transaction.execute_batch(SCHEMA)?,
            SCHEMA_VERSION => {}
            found => return Err(Error::LaterVersion { found }),
        }
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A panic elsewhere left no half of a change: SQLite takes it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an account, by bare JID.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::TooMany`].
    pub fn add(&self, jid: &Jid, credentials: &Credentials) -> Result<(), Error> {
        let connection = self.connection();
        let count: i64 = connection.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
        if count >= MAX_ACCOUNTS {
            return Err(Error::TooMany);
        }
        match write(&connection, "INSERT OR IGNORE", jid, credentials)? {
            0 => Err(Error::Exists(jid.clone())),
            _ => Ok(()),
        }
    }

    /// Gives an account other credentials.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn change(&self, jid: &Jid, credentials: &Credentials) -> Result<(), Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if !exists(&transaction, jid)? {
            return Err(Error::NoSuchAccount(jid.clone()));
        }
        write(&transaction, "REPLACE", jid, credentials)?;
        Ok(transaction.commit()?)
    }

    /// Adds accounts, or replaces them; all or none.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn import<'a>(&self, accounts: impl IntoIterator<Item = (&'a Jid, &'a Credentials)>) -> Result<usize, Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut imported = 0;
        for (jid, credentials) in accounts {
            imported += write(&transaction, "REPLACE", jid, credentials)?;
        }
        let count: i64 = transaction.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
        if count > MAX_ACCOUNTS {
            return Err(Error::TooMany);
        }
        transaction.commit()?;
        Ok(imported)
    }

    /// Deletes an account; running servers end its sessions.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn delete(&self, jid: &Jid) -> Result<(), Error> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if transaction.execute("DELETE FROM account WHERE jid = ?1", [jid.bare_str()])? == 0 {
            return Err(Error::NoSuchAccount(jid.clone()));
        }
        transaction.execute("INSERT INTO revocation (jid) VALUES (?1)", [jid.bare_str()])?;
        transaction.execute(
            "DELETE FROM revocation WHERE number <= (SELECT max(number) FROM revocation) - ?1",
            [KEPT_REVOCATIONS],
        )?;
        Ok(transaction.commit()?)
    }

    /// What an account is checked with.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn credentials(&self, jid: &Jid) -> Result<Option<Credentials>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT * FROM account WHERE jid = ?1")?;
        Ok(statement.query_row([jid.bare_str()], credentials_of).optional()?.flatten())
    }

    /// All accounts in order, or those of a domain.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self, domain: Option<&str>) -> Result<Vec<Jid>, Error> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT jid FROM account WHERE ?1 IS NULL OR domain = ?1 ORDER BY domain, jid")?;
        let names = statement.query_map([domain], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// All accounts with what they are checked with.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn export(&self) -> Result<Vec<(Jid, Credentials)>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT * FROM account ORDER BY domain, jid")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>("jid")?, credentials_of(row)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().filter_map(|(jid, credentials)| Some((jid.parse().ok()?, credentials?))).collect())
    }

    /// Domains with accounts.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn domains(&self) -> Result<Vec<String>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT DISTINCT domain FROM account")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Domains with accounts that have no keys for SCRAM-SHA-256, which came hashed from elsewhere.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn domains_without_sha256(&self) -> Result<Vec<String>, Error> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT DISTINCT domain FROM account WHERE sha256_stored_key IS NULL")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// What was deleted behind `last`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn revoked_since(&self, last: i64) -> Result<Revocations, Error> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT number, jid FROM revocation WHERE number > ?1 ORDER BY number")?;
        let rows = statement.query_map([last], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let last = rows.last().map_or(last, |(number, _)| *number);
        Ok(Revocations { last, jids: rows.iter().filter_map(|(_, jid)| jid.parse().ok()).collect() })
    }

    /// A number that is another when another process has changed the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn data_version(&self) -> Result<i64, Error> {
        Ok(self.connection().query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }
}

/// SQLite would make the file for all to read.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn exists(connection: &Connection, jid: &Jid) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM account WHERE jid = ?1)", [jid.bare_str()], |row| row.get(0))
}

fn write(connection: &Connection, verb: &str, jid: &Jid, credentials: &Credentials) -> Result<usize, rusqlite::Error> {
    let (sha1, sha256) = (credentials.keys(ScramHash::Sha1), credentials.keys(ScramHash::Sha256));
    let sql = format!("{verb} INTO account VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    connection.prepare(&sql)?.execute(params![
        jid.bare_str(),
        jid.domain(),
        sha1.map(|keys| &keys.salt),
        sha1.map(|keys| keys.iterations.get()),
        sha1.map(|keys| &keys.stored_key),
        sha1.map(|keys| &keys.server_key),
        sha256.map(|keys| &keys.salt),
        sha256.map(|keys| keys.iterations.get()),
        sha256.map(|keys| &keys.stored_key),
        sha256.map(|keys| &keys.server_key),
    ])
}

/// `None` for a row that somebody else wrote and that has no keys.
fn credentials_of(row: &rusqlite::Row<'_>) -> Result<Option<Credentials>, rusqlite::Error> {
    let keys = |hash, first: usize| -> Result<Option<ScramKeys>, rusqlite::Error> {
        let salt: Option<Vec<u8>> = row.get(first)?;
        let iterations: Option<u32> = row.get(first + 1)?;
        let stored: Option<Vec<u8>> = row.get(first + 2)?;
        let server: Option<Vec<u8>> = row.get(first + 3)?;
        let parts = salt.zip(iterations).zip(stored.zip(server));
        Ok(parts.and_then(|((salt, rounds), (stored, server))| ScramKeys::of_parts(hash, salt, rounds, stored, server)))
    };
    Ok(Credentials::of_keys(keys(ScramHash::Sha1, 2)?, keys(ScramHash::Sha256, 6)?))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn credentials(password: &str) -> Credentials {
        Credentials::of_password(password, &mut StdRng::from_seed([7; 32]))
    }

    fn jid(text: &str) -> Jid {
        text.parse().unwrap()
    }

    #[test]
    fn s1_20_accounts_are_stored_hashed_and_the_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.sqlite");
        let store = Store::open(&path).unwrap();
        store.add(&jid("bob@meet.jitsi"), &credentials("planted-secret")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(store);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(14).any(|window| window == b"planted-secret"));
        }
        let again = Store::open(&path).unwrap();
        assert!(again.credentials(&jid("bob@meet.jitsi")).unwrap().unwrap().fits("planted-secret"));
    }

    #[test]
    fn s1_26_an_account_is_added_once() {
        let store = Store::in_memory().unwrap();
        store.add(&jid("bob@meet.jitsi"), &credentials("a")).unwrap();
        assert!(matches!(store.add(&jid("bob@meet.jitsi"), &credentials("b")), Err(Error::Exists(_))));
        assert!(store.credentials(&jid("bob@meet.jitsi")).unwrap().unwrap().fits("a"));
    }

    #[test]
    fn s1_28_a_changed_password_replaces_the_old_one() {
        let store = Store::in_memory().unwrap();
        assert!(matches!(store.change(&jid("bob@meet.jitsi"), &credentials("a")), Err(Error::NoSuchAccount(_))));
        store.add(&jid("bob@meet.jitsi"), &credentials("a")).unwrap();
        store.change(&jid("bob@meet.jitsi"), &credentials("b")).unwrap();
        let now = store.credentials(&jid("bob@meet.jitsi")).unwrap().unwrap();
        assert!(now.fits("b") && !now.fits("a"));
    }

    #[test]
    fn s1_27_a_deleted_account_is_gone_and_servers_hear_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (server, command) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        command.add(&jid("bob@meet.jitsi"), &credentials("a")).unwrap();
        let (before, seen) = (server.data_version().unwrap(), server.revoked_since(0).unwrap());
        assert_eq!(seen, Revocations::default());
        command.delete(&jid("bob@meet.jitsi")).unwrap();
        assert_ne!(server.data_version().unwrap(), before);
        let seen = server.revoked_since(seen.last).unwrap();
        assert_eq!(seen.jids, [jid("bob@meet.jitsi")]);
        assert_eq!(server.revoked_since(seen.last).unwrap().jids, []);
        assert_eq!(server.credentials(&jid("bob@meet.jitsi")).unwrap(), None);
        assert!(matches!(command.delete(&jid("bob@meet.jitsi")), Err(Error::NoSuchAccount(_))));
    }

    #[test]
    fn s1_25_the_list_is_in_order_and_by_domain() {
        let store = Store::in_memory().unwrap();
        for name in ["b@meet.jitsi", "a@meet.jitsi", "c@auth.meet.jitsi"] {
            store.add(&jid(name), &credentials("x")).unwrap();
        }
        assert_eq!(store.list(Some("meet.jitsi")).unwrap(), [jid("a@meet.jitsi"), jid("b@meet.jitsi")]);
        assert_eq!(store.list(None).unwrap().len(), 3);
    }

    #[test]
    fn accounts_without_keys_of_sha_256_are_known_by_domain() {
        let store = Store::in_memory().unwrap();
        store.add(&jid("a@one.example"), &credentials("x")).unwrap();
        assert_eq!(store.domains_without_sha256().unwrap(), Vec::<String>::new());
        let old = Credentials::of_keys(credentials("x").keys(ScramHash::Sha1).cloned(), None).unwrap();
        store.add(&jid("b@two.example"), &old).unwrap();
        assert_eq!(store.domains_without_sha256().unwrap(), ["two.example"]);
        assert_eq!(store.credentials(&jid("b@two.example")).unwrap().unwrap(), old);
    }

    #[test]
    fn a_file_of_a_later_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        drop(Store::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(&path), Err(Error::LaterVersion { found: 99 })));
        std::fs::write(&path, "no database at all, and long enough to be sure of it").unwrap();
        assert!(Store::open(&path).is_err());
    }
}
