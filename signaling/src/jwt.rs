//! JSON web tokens (RFC 7519) as Jitsi's services sign them (signaling.md §3.2): HS256 with a shared secret, RS256 with a
//! key that the header names.
//!
//! Pure: a token, keys and the time make a payload or a refusal. Not here: where keys come from, what claims mean.

use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::Secret;

/// Longest token that is looked at, in bytes: those of stock's services have 1–2 kB.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What tokens are checked with.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// The keys.
    pub keys: SigningKeys,
    /// Issuers that are believed; `*` is any.
    pub issuers: Vec<String>,
    /// Audiences that a token may be for; `*` is any.
    pub audiences: Vec<String>,
}

/// Keys of whoever signs tokens.
#[derive(Clone, Debug)]
pub enum SigningKeys {
    /// HS256 with this secret.
    Shared(Secret),
    /// RS256 with one of these.
    Public(Vec<PublicKey>),
}

/// An RSA key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The name that tokens call it by (`kid`).
    pub id: String,
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads the PEM of a public key; `None` for anything else.
    #[must_use]
    pub fn from_pem(id: impl Into<String>, pem: &str) -> Option<Self> {
        let der = pem_body(pem, "PUBLIC KEY").or_else(|| pem_body(pem, "RSA PUBLIC KEY"))?;
        Some(Self { id: id.into(), der })
    }
}

/// What is between the lines that mark a kind of thing in PEM (RFC 7468).
pub(crate) fn pem_body(pem: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// Not three parts of base64 with JSON in the first two, or too long.
    Malformed,
    /// Signed by another method than the keys are for, or with a key that is not known.
    WrongKey,
    /// The signature is not that of the key.
    InvalidSignature,
    /// Not valid yet, or not any more.
    NotNow,
    /// Of an issuer or for an audience that is not on the list.
    WrongParty,
}

impl TokenKeys {
    /// The payload of a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &str, unix_ms: u64) -> Result<Value, TokenRefused> {
        let (signed, signature) =
            token.rsplit_once('.').filter(|_| token.len() <= MAX_TOKEN_BYTES).ok_or(TokenRefused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenRefused::Malformed)?;
        let (header, payload) = (decode_json(header)?, decode_json(payload)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenRefused::Malformed)?;
        self.check_signature(&header, signed.as_bytes(), &signature)?;
        check_time(&payload, unix_ms / 1000)?;
        // Several audiences in one token are not supported by stock either.
        let is_on = |list: &[String], claim: &Value| {
            let claim = claim.as_str();
            claim.is_some_and(|claim| list.iter().any(|entry| entry == "*" || entry == claim))
        };
        if !is_on(&self.issuers, &payload["iss"]) || !is_on(&self.audiences, &payload["aud"]) {
            return Err(TokenRefused::WrongParty);
        }
        Ok(payload)
    }

    fn check_signature(&self, header: &Value, signed: &[u8], signature: &[u8]) -> Result<(), TokenRefused> {
        match (&self.keys, header["alg"].as_str()) {
            (SigningKeys::Shared(secret), Some("HS256")) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                hmac::verify(&key, signed, signature).map_err(|_| TokenRefused::InvalidSignature)
            }
            (SigningKeys::Public(keys), Some("RS256")) => {
                let key = keys.iter().find(|key| header["kid"] == key.id.as_str()).ok_or(TokenRefused::WrongKey)?;
                let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &key.der);
                key.verify(signed, signature).map_err(|_| TokenRefused::InvalidSignature)
            }
            (SigningKeys::Shared(_) | SigningKeys::Public(_), _) => Err(TokenRefused::WrongKey),
        }
    }
}

fn decode_json(part: &str) -> Result<Value, TokenRefused> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenRefused::Malformed)
}

/// RFC 7519 §4.1.4–4.1.5. A token that does not say when it ends is none to be believed for ever.
fn check_time(payload: &Value, unix_s: u64) -> Result<(), TokenRefused> {
    let seconds = |claim: &Value| claim.as_f64().map(|seconds| seconds.max(0.0) as u64);
    let is_over = seconds(&payload["exp"]).is_none_or(|end| unix_s >= end);
    let start = payload.get("nbf");
    let is_early = start.is_some_and(|start| seconds(start).is_none_or(|start| unix_s < start));
    if is_over || is_early { Err(TokenRefused::NotNow) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::KeyPair as _;
    use serde_json::json;

    use super::*;

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn hs256(payload: &Value, secret: &str) -> String {
        let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn keys(keys: SigningKeys) -> TokenKeys {
        TokenKeys { keys, issuers: vec!["app".to_owned()], audiences: vec!["*".to_owned()] }
    }

    fn shared() -> TokenKeys {
        keys(SigningKeys::Shared(Secret::new("hush").unwrap()))
    }

    #[test]
    fn a_token_is_believed_in_its_time_and_by_its_signature() {
        let payload = json!({"iss": "app", "aud": "x", "exp": 2000, "nbf": 1000, "room": "demo"});
        let verify = |payload: &Value, secret, at_s: u64| shared().verify(&hs256(payload, secret), at_s * 1000);
        assert_eq!(verify(&payload, "hush", 1500), Ok(payload.clone()));
        assert_eq!(verify(&payload, "other", 1500), Err(TokenRefused::InvalidSignature));
        assert_eq!(verify(&payload, "hush", 999), Err(TokenRefused::NotNow));
        assert_eq!(verify(&payload, "hush", 2000), Err(TokenRefused::NotNow));
        assert_eq!(verify(&json!({"iss": "app", "aud": "x"}), "hush", 1), Err(TokenRefused::NotNow));
        assert_eq!(verify(&json!({"iss": "other", "aud": "x", "exp": 9}), "hush", 1), Err(TokenRefused::WrongParty));
        assert_eq!(verify(&json!({"iss": "app", "exp": 9}), "hush", 1), Err(TokenRefused::WrongParty));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["", "a", "a.b.c", "..", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
            assert_eq!(shared().verify(token, 0), Err(TokenRefused::Malformed), "{token:.20}");
        }
        let none = format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&json!({"iss": "app", "exp": 9})));
        assert_eq!(shared().verify(&none, 0), Err(TokenRefused::WrongKey));
    }

    #[test]
    fn a_public_key_is_chosen_by_its_name() {
        let pair = signature::RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pem = format!(
            "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
            STANDARD.encode(pair.public_key().as_ref())
        );
        let public = keys(SigningKeys::Public(vec![PublicKey::from_pem("one", &pem).unwrap()]));
        let sign = |kid: &str| {
            let header = encode(&json!({"alg": "RS256", "kid": kid}));
            let signed = format!("{header}.{}", encode(&json!({"iss": "app", "aud": "x", "exp": 9})));
            let mut tag = vec![0; pair.public_modulus_len()];
            pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut tag).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
        };
        assert!(public.verify(&sign("one"), 0).is_ok());
        assert_eq!(public.verify(&sign("two"), 0), Err(TokenRefused::WrongKey));
        // The public key is no secret: it makes no HS256 token.
        let forged = hs256(&json!({"iss": "app", "aud": "x", "exp": 9}), &pem);
        assert_eq!(public.verify(&forged, 0), Err(TokenRefused::WrongKey));
        assert_eq!(PublicKey::from_pem("x", "no pem"), None);
    }
}
