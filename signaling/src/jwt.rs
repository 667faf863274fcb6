//! Keys of tokens, and where they come from (signaling.md §3.2). How a token is checked with a key is in `auth`.

use std::sync::Arc;

use auth::{Claims, KeySet, Token, TokenRefused, TokenRules, VerifyingKey};
use axum::http::Uri;
use serde_json::{Map, Value};

/// What tokens are checked with: keys that are at hand, and rules.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// The keys.
    pub keys: SigningKeys,
    /// The rules.
    pub rules: TokenRules,
}

/// Keys of whoever signs tokens.
#[derive(Clone, Debug)]
pub enum SigningKeys {
    /// This one, whatever tokens call it: a secret, or the key of the only issuer.
    One(Arc<VerifyingKey>),
    /// The one that the token names.
    Named(KeySet),
}

/// How clients log in with tokens.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Where the keys are.
    pub source: KeySource,
    /// What tokens are checked by.
    pub rules: TokenRules,
    /// Whether who has no token comes in as a guest (`allow_empty_token`).
    pub allow_empty: bool,
}

/// Where the keys of clients' tokens are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Here.
    Given(SigningKeys),
    /// At a server that has each under the hash of its name (`asap_key_server`).
    KeyServer(Uri),
    /// In a list, a JSON web key set or PEM by name (`cache_keys_url`).
    KeySetAt(Uri),
}

/// What a client showed when it connected, judged then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ShownToken {
    /// None, or tokens mean nothing here.
    #[default]
    None,
    /// A token that is believed.
    Verified(Arc<Claims>),
    /// A token that is not, or none that could be checked.
    Refused(TokenRefused),
}

impl SigningKeys {
    /// The key that a token is to be checked with.
    ///
    /// # Errors
    /// When the token names none that is known.
    pub fn key_of(&self, token: &Token<'_>) -> Result<&VerifyingKey, TokenRefused> {
        match self {
            Self::One(key) => Ok(key),
            Self::Named(keys) => keys.get(token.key_id()?).map(Arc::as_ref).ok_or(TokenRefused::UnknownKey),
        }
    }
}

impl TokenKeys {
    /// The payload of a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Map<String, Value>, TokenRefused> {
        let token = Token::parse(token)?;
        let key = self.keys.key_of(&token)?;
        self.rules.verify(key, token, unix_ms / 1000)
    }
}
