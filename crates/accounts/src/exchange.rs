//! Accounts as JSON, to be carried from one server to another. It has what passwords are checked with, so it is as secret as
//! the file of accounts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use xmpp::Jid;
use xmpp::sasl::ScramHash;

use crate::{Credentials, ScramKeys};

/// Largest text that is read: about 200 000 accounts.
pub const MAX_BYTES: u64 = 128 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    accounts: Vec<Account>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Account {
    jid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_sha_1: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_sha_256: Option<Keys>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    salt: String,
    iterations: u32,
    stored_key: String,
    server_key: String,
}

/// Why a text is no export of accounts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not JSON of this form.
    #[error("is no export of accounts")]
    Json(#[from] serde_json::Error),
    /// Of a version that is not known here.
    #[error("has version {0}, only 1 is known")]
    Version(u32),
    /// An account that cannot be one.
    #[error("account {0:?} has a name or keys that cannot be used")]
    Account(String),
}

/// Writes accounts.
#[must_use]
pub fn to_json(accounts: &[(Jid, Credentials)]) -> String {
    let accounts = accounts.iter().map(|(jid, credentials)| Account {
        jid: jid.bare_str().to_owned(),
        scram_sha_1: credentials.keys(ScramHash::Sha1).map(Keys::of),
        scram_sha_256: credentials.keys(ScramHash::Sha256).map(Keys::of),
    });
    let document = Document { version: 1, accounts: accounts.collect() };
    // Strings and numbers always have a form in JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Reads accounts.
///
/// # Errors
/// For the first thing that is wrong; nothing is taken in part.
pub fn from_json(text: &str) -> Result<Vec<(Jid, Credentials)>, ImportError> {
    let document: Document = serde_json::from_str(text)?;
    if document.version != 1 {
        return Err(ImportError::Version(document.version));
    }
    let read = |account: Account| {
        let wrong = || ImportError::Account(account.jid.clone());
        let keys = |hash, keys: &Option<Keys>| match keys {
            Some(keys) => keys.read(hash).map(Some).ok_or_else(wrong),
            None => Ok(None),
        };
        let sha1 = keys(ScramHash::Sha1, &account.scram_sha_1)?;
        let sha256 = keys(ScramHash::Sha256, &account.scram_sha_256)?;
        let jid: Jid = account.jid.parse().map_err(|_| wrong())?;
        let credentials = Credentials::of_keys(sha1, sha256).ok_or_else(wrong)?;
        if jid.local().is_none() || !jid.is_bare() { Err(wrong()) } else { Ok((jid, credentials)) }
    };
    document.accounts.into_iter().map(read).collect()
}

impl Keys {
    fn of(keys: &ScramKeys) -> Self {
        Self {
            salt: STANDARD.encode(&keys.salt),
            iterations: keys.iterations.get(),
            stored_key: STANDARD.encode(&keys.stored_key),
            server_key: STANDARD.encode(&keys.server_key),
        }
    }

    fn read(&self, hash: ScramHash) -> Option<ScramKeys> {
        let decode = |text: &str| STANDARD.decode(text).ok();
        let (salt, stored, server) = (decode(&self.salt)?, decode(&self.stored_key)?, decode(&self.server_key)?);
        ScramKeys::of_parts(hash, salt, self.iterations, stored, server)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn s1_31_what_is_exported_can_be_imported() {
        let credentials = Credentials::of_password("pencil", &mut StdRng::from_seed([3; 32]));
        let accounts = vec![("bob@meet.jitsi".parse().unwrap(), credentials)];
        let text = to_json(&accounts);
        assert!(!text.contains("pencil"));
        assert_eq!(from_json(&text).unwrap(), accounts);
    }

    #[test]
    fn an_import_that_is_wrong_is_refused_whole() {
        let keys = r#"{"salt":"AAAA","iterations":4096,"stored-key":"AA==","server-key":"AA=="}"#;
        for text in [
            String::new(),
            r#"{"version":2,"accounts":[]}"#.to_owned(),
            r#"{"version":1,"accounts":[{"jid":"bob@a"}]}"#.to_owned(),
            r#"{"version":1,"accounts":[{"jid":"@","scram-sha-1":null}]}"#.to_owned(),
            format!(r#"{{"version":1,"accounts":[{{"jid":"bob@a","scram-sha-1":{keys}}}]}}"#),
            r#"{"version":1,"accounts":[],"more":1}"#.to_owned(),
        ] {
            assert!(from_json(&text).is_err(), "{text}");
        }
    }
}
