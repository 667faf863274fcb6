//! Keys by the names that tokens call them by (`kid`): JSON web key sets (RFC 7517 §5), lists of PEM, and the names under
//! which an ASAP key server keeps them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::Value;

use crate::key::{InvalidKey, VerifyingKey};

/// Keys that are kept of one list: issuers have two or three, large identity providers some dozens.
const MAX_KEYS: usize = 256;

/// Keys by name.
#[derive(Clone, Debug, Default)]
pub struct KeySet(BTreeMap<String, Arc<VerifyingKey>>);

/// Why a document is no list of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeySet {
    /// Neither a JSON web key set nor an object of PEM by name.
    #[error("is neither a JSON web key set nor a list of keys in PEM")]
    NotAKeySet,
    /// More keys than are kept.
    #[error("has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// Not one key of a kind that is known.
    #[error("has no key that signatures can be checked with")]
    Empty,
}

impl KeySet {
    /// Reads a key set, or an object that has PEM by name as `cache_keys_url` of stock may answer. Keys of other kinds and
    /// without a name are left out, as RFC 7517 §5 asks for.
    ///
    /// # Errors
    /// Why it is none. What was known before stays better than this.
    pub fn from_json(document: &[u8]) -> Result<Self, InvalidKeySet> {
        let document: Value = serde_json::from_slice(document).map_err(|_| InvalidKeySet::NotAKeySet)?;
        let object = document.as_object().ok_or(InvalidKeySet::NotAKeySet)?;
        let named: Vec<(String, Result<VerifyingKey, InvalidKey>)> = match object.get("keys").and_then(Value::as_array)
        {
            Some(keys) if keys.len() > MAX_KEYS => return Err(InvalidKeySet::TooManyKeys),
            Some(keys) => {
                let name = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
                keys.iter().filter_map(|key| Some((name(key)?, VerifyingKey::from_jwk(key)))).collect()
            }
            None if object.len() > MAX_KEYS => return Err(InvalidKeySet::TooManyKeys),
            None => {
                let key = |pem: &Value| pem.as_str().map_or(Err(InvalidKey::NotPem), VerifyingKey::from_pem);
                object.iter().map(|(name, pem)| (name.clone(), key(pem))).collect()
            }
        };
        let keys: BTreeMap<_, _> =
            named.into_iter().filter_map(|(name, key)| Some((name, Arc::new(key.ok()?)))).collect();
        if keys.is_empty() { Err(InvalidKeySet::Empty) } else { Ok(Self(keys)) }
    }

    /// Adds a key, in the place of one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, key: VerifyingKey) {
        self.0.insert(name.into(), Arc::new(key));
    }

    /// The key of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<VerifyingKey>> {
        self.0.get(name)
    }

    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The file in which an ASAP key server has the key of that name: no name leads out of its directory.
#[must_use]
pub fn asap_file_name(key_id: &str) -> String {
    let hash = digest::digest(&digest::SHA256, key_id.as_bytes());
    let hex = hash.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // unwrap: writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("{hex}.pem")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_file_of_a_key_is_a_hash_whatever_its_name() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.pem";
        assert_eq!(asap_file_name("abc"), abc);
        for name in ["../../etc/passwd", "a/b", "%2e%2e", "x\0y", "?q=1#f", ""] {
            let file = asap_file_name(name);
            assert!(file.len() == 68 && file.chars().all(|c| c.is_ascii_hexdigit() || ".pem".contains(c)), "{file}");
        }
    }

    #[test]
    fn a_list_without_a_key_is_none() {
        let set = |document: Value| KeySet::from_json(document.to_string().as_bytes()).map(|_| ());
        assert_eq!(set(json!({"keys": []})), Err(InvalidKeySet::Empty));
        assert_eq!(set(json!({"a": "no pem", "b": 1})), Err(InvalidKeySet::Empty));
        assert_eq!(
            set(json!({"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]})),
            Err(InvalidKeySet::Empty),
            "public"
        );
        assert_eq!(set(json!({"keys": vec![json!({}); MAX_KEYS + 1]})), Err(InvalidKeySet::TooManyKeys));
        assert_eq!(set(json!([1])), Err(InvalidKeySet::NotAKeySet));
        assert_eq!(KeySet::from_json(b"<html>").map(|_| ()), Err(InvalidKeySet::NotAKeySet));
    }
}
