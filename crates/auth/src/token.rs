//! JSON web tokens (RFC 7519) in the compact form (RFC 7515 §3.1), checked as Jitsi's Prosody plugins check them
//! (`luajwtjitsi.lib.lua`, `token/util.lib.lua`): the same order, the same words, more algorithms.
//!
//! Pure: a token, a key, rules and the time make a payload or a refusal. Which algorithms count is for the rules to say; the
//! token only names one of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::claims::Claims;
use crate::json;
use crate::key::{VerifyingKey, is_symmetric};

/// Longest token that is looked at, in bytes: those of Jitsi's services have 1–2 kB, and clients put them into URLs.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Longest name of a key, in bytes: a fingerprint or a path of some words.
const MAX_KEY_ID_BYTES: usize = 256;

/// A token of which nothing is believed yet.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    header: Map<String, Value>,
    payload: Map<String, Value>,
    /// Header and payload as they were signed.
    signed: &'a str,
    signature: &'a str,
}

/// What tokens are checked by.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// Issuers that are believed; `*` is any.
    pub issuers: Vec<String>,
    /// Audiences that a token may be for; `*` is any.
    pub audiences: Vec<String>,
    /// How far the clocks of issuers may be off.
    pub leeway: Duration,
    /// Whether a token has to say when it ends. Stock does not ask for it.
    pub requires_expiry: bool,
    /// Whether a token has to say for which room it is (`asap_require_room_claim`).
    pub requires_room: bool,
    /// Whether a token has to say for which tenant it is (`enable_domain_verification`).
    pub requires_tenant: bool,
}

/// Why a token is refused. `Display` is what stock says, where stock refuses it, and what clients show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the words say it")]
pub enum TokenRefused {
    #[error("token required")]
    Missing,
    #[error("Invalid token")]
    InvalidToken,
    #[error("Invalid header")]
    InvalidHeader,
    #[error("Invalid body")]
    InvalidBody,
    #[error("'alg' claim is missing")]
    NoAlgorithm,
    #[error("'kid' claim is missing")]
    NoKeyId,
    #[error("'kid' claim only support with RS family")]
    KeyIdOfSecret,
    #[error("could not obtain public key")]
    UnknownKey,
    #[error("Invalid typ")]
    InvalidType,
    #[error("Invalid or incorrect alg")]
    WrongAlgorithm,
    #[error("Invalid signature")]
    InvalidSignature,
    #[error("exp must be number")]
    ExpiryNoNumber,
    #[error("nbf must be number")]
    NotBeforeNoNumber,
    #[error("'exp' claim is missing")]
    NoExpiry,
    #[error("Not acceptable by exp ({ago_s} sec since expired)")]
    Expired { ago_s: u64 },
    #[error("Not acceptable by nbf")]
    NotYet,
    #[error("'iss' claim is missing")]
    NoIssuer,
    #[error("invalid 'iss' claim")]
    WrongIssuer,
    #[error("'aud' claim is missing")]
    NoAudience,
    #[error("invalid 'aud' claim")]
    WrongAudience,
    #[error("room claim is missing")]
    NoRoom,
    #[error("sub claim is missing")]
    NoTenant,
}

impl TokenRefused {
    /// A word for logs and metrics, one for each way to be refused.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Missing => "token_required",
            Self::InvalidToken => "malformed",
            Self::InvalidHeader => "malformed_header",
            Self::InvalidBody => "malformed_payload",
            Self::NoAlgorithm => "no_alg",
            Self::NoKeyId => "no_kid",
            Self::KeyIdOfSecret => "symmetric_alg_with_public_keys",
            Self::UnknownKey => "unknown_kid",
            Self::InvalidType => "typ",
            Self::WrongAlgorithm => "alg",
            Self::InvalidSignature => "signature",
            Self::ExpiryNoNumber => "malformed_exp",
            Self::NotBeforeNoNumber => "malformed_nbf",
            Self::NoExpiry => "no_exp",
            Self::Expired { .. } => "exp",
            Self::NotYet => "nbf",
            Self::NoIssuer => "no_iss",
            Self::WrongIssuer => "iss",
            Self::NoAudience => "no_aud",
            Self::WrongAudience => "aud",
            Self::NoRoom => "no_room",
            Self::NoTenant => "no_sub",
        }
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it is too long, not three parts, or the first two are no objects of JSON with each key once.
    pub fn parse(token: &'a str) -> Result<Self, TokenRefused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefused::InvalidToken);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefused::InvalidToken)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefused::InvalidToken)?;
        if payload.contains('.') || header.is_empty() || payload.is_empty() {
            return Err(TokenRefused::InvalidToken);
        }
        let decode = |part: &str| json::parse_object(&URL_SAFE_NO_PAD.decode(part).ok()?);
        Ok(Self {
            header: decode(header).ok_or(TokenRefused::InvalidHeader)?,
            payload: decode(payload).ok_or(TokenRefused::InvalidBody)?,
            signed,
            signature,
        })
    }

    /// What it says, whoever wrote it: for what its bearer could just as well ask for without a token.
    #[must_use]
    pub fn unverified_claims(self) -> Claims {
        Claims::of_payload(&Value::Object(self.payload))
    }

    /// The name of the public key that it says it was signed with.
    ///
    /// # Errors
    /// When it says none, one of an absurd length, or that it was signed with a secret.
    pub fn key_id(&self) -> Result<&str, TokenRefused> {
        let algorithm = self.header.get("alg").ok_or(TokenRefused::NoAlgorithm)?;
        let key_id = self.header.get("kid").ok_or(TokenRefused::NoKeyId)?;
        if algorithm.as_str().is_none_or(|name| name.parse().is_ok_and(is_symmetric)) {
            return Err(TokenRefused::KeyIdOfSecret);
        }
        key_id.as_str().filter(|id| id.len() <= MAX_KEY_ID_BYTES).ok_or(TokenRefused::UnknownKey)
    }
}

impl TokenRules {
    /// The payload of a token, once everything about it is right.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn verify(
        &self,
        key: &VerifyingKey,
        token: Token<'_>,
        unix_s: u64,
    ) -> Result<Map<String, Value>, TokenRefused> {
        // RFC 7515 §4.1.11: an extension that has to be understood, and none is here.
        if token.header.get("typ").and_then(Value::as_str) != Some("JWT") || token.header.contains_key("crit") {
            return Err(TokenRefused::InvalidType);
        }
        let name = token.header.get("alg").ok_or(TokenRefused::NoAlgorithm)?.as_str();
        let algorithm = name
            .and_then(|name| name.parse::<Algorithm>().ok())
            .filter(|algorithm| self.algorithms.contains(algorithm) && key.serves(*algorithm))
            .ok_or(TokenRefused::WrongAlgorithm)?;
        if !key.verifies(algorithm, token.signed, token.signature) {
            return Err(TokenRefused::InvalidSignature);
        }
        let payload = token.payload;
        self.check_time(&payload, unix_s)?;
        self.check_parties(&payload)?;
        if self.requires_room && !payload.contains_key("room") {
            return Err(TokenRefused::NoRoom);
        }
        if self.requires_tenant && !payload.contains_key("sub") {
            return Err(TokenRefused::NoTenant);
        }
        Ok(payload)
    }

    /// The algorithms that stock's settings mean: HS256 for a secret, RS256 for public keys.
    #[must_use]
    pub fn stock_algorithms(key: Option<&VerifyingKey>) -> Vec<Algorithm> {
        if key.is_some_and(VerifyingKey::is_shared) { vec![Algorithm::HS256] } else { vec![Algorithm::RS256] }
    }

    /// RFC 7519 §4.1.4–4.1.5. Dates are numbers with or without a fraction.
    fn check_time(&self, payload: &Map<String, Value>, unix_s: u64) -> Result<(), TokenRefused> {
        let (now, leeway) = (unix_s as f64, self.leeway.as_secs_f64());
        let number = |name: &str, error| match payload.get(name) {
            Some(value) => value.as_f64().map(Some).ok_or(error),
            None => Ok(None),
        };
        let expiry = number("exp", TokenRefused::ExpiryNoNumber)?;
        let not_before = number("nbf", TokenRefused::NotBeforeNoNumber)?;
        match expiry {
            // The conversion of what is too large for the type ends at its largest value.
            Some(expiry) if now >= expiry + leeway => {
                return Err(TokenRefused::Expired { ago_s: (now - expiry) as u64 });
            }
            None if self.requires_expiry => return Err(TokenRefused::NoExpiry),
            Some(_) | None => {}
        }
        match not_before {
            Some(not_before) if now + leeway < not_before => Err(TokenRefused::NotYet),
            Some(_) | None => Ok(()),
        }
    }

    /// RFC 7519 §4.1.1 and §4.1.3. Stock knows one audience a token; here one of several is enough.
    fn check_parties(&self, payload: &Map<String, Value>) -> Result<(), TokenRefused> {
        let is_on = |list: &[String], claim: &str| list.iter().any(|entry| entry == "*" || entry == claim);
        let issuer = payload.get("iss").ok_or(TokenRefused::NoIssuer)?;
        if !issuer.as_str().is_some_and(|issuer| is_on(&self.issuers, issuer)) {
            return Err(TokenRefused::WrongIssuer);
        }
        let audience = payload.get("aud").ok_or(TokenRefused::NoAudience)?;
        let is_for_us = |audience: &Value| audience.as_str().is_some_and(|name| is_on(&self.audiences, name));
        let is_right = is_for_us(audience) || audience.as_array().is_some_and(|several| several.iter().any(is_for_us));
        if is_right { Ok(()) } else { Err(TokenRefused::WrongAudience) }
    }
}
