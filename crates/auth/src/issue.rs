//! Tokens that an operator gives out (RFC 7519, signed by a shared secret): what `token.rs` believes and `claims.rs` reads.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::claims::TokenUser;

/// What a new token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// Who gives it out (`iss`).
    pub issuer: String,
    /// Whom it is for (`aud`).
    pub audience: String,
    /// The room that it opens, as in its JID, or `*` for all.
    pub room: String,
    /// The tenant that it is for, or `*`.
    pub tenant: String,
    /// Who it is.
    pub user: TokenUser,
    /// The group of the user.
    pub group: Option<String>,
    /// Whether the user moderates: said in all the ways that modules of Prosody look for.
    pub is_moderator: bool,
    /// What the user may do; empty to leave it to the role.
    pub features: Vec<(String, bool)>,
    /// From when on it is good, in seconds since 1970.
    pub not_before: Option<u64>,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
}

/// No token comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotIssued {
    /// The secret is empty.
    #[error("the secret is empty")]
    NoSecret,
    /// The algorithm is for keys that this server does not have.
    #[error("tokens are given out by HS256, HS384 and HS512 only")]
    Algorithm,
}

impl NewToken {
    /// The token, signed.
    ///
    /// # Errors
    /// Without a secret, or with an algorithm that does without.
    pub fn sign(&self, algorithm: Algorithm, secret: &[u8]) -> Result<String, NotIssued> {
        let key = EncodingKey::from_secret(secret).map_err(|_| NotIssued::NoSecret)?;
        jsonwebtoken::encode(&Header::new(algorithm), &self.payload(), &key).map_err(|_| NotIssued::Algorithm)
    }

    fn payload(&self) -> Value {
        let mut user = Map::new();
        let facts = [
            ("id", &self.user.id),
            ("name", &self.user.name),
            ("email", &self.user.email),
            ("avatar", &self.user.avatar),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                user.insert(name.to_owned(), json!(value));
            }
        }
        let affiliation = if self.is_moderator { "owner" } else { "member" };
        user.insert("affiliation".to_owned(), json!(affiliation));
        user.insert("moderator".to_owned(), json!(self.is_moderator));
        let mut context = Map::from_iter([("user".to_owned(), Value::Object(user))]);
        if let Some(group) = &self.group {
            context.insert("group".to_owned(), json!(group));
        }
        if !self.features.is_empty() {
            let features: Map<String, Value> =
                self.features.iter().map(|(name, allowed)| (name.clone(), json!(allowed))).collect();
            context.insert("features".to_owned(), Value::Object(features));
        }
        let mut payload = json!({
            "iss": self.issuer, "aud": self.audience, "room": self.room, "sub": self.tenant,
            "exp": self.expires, "moderator": self.is_moderator, "context": context,
        });
        if let Some(not_before) = self.not_before {
            payload["nbf"] = json!(not_before);
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Claims, Token, TokenRefused, TokenRules, VerifyingKey};

    const NOW: u64 = 1_800_000_000;

    fn token() -> NewToken {
        NewToken {
            issuer: "app".to_owned(),
            audience: "app".to_owned(),
            room: "demo".to_owned(),
            tenant: "*".to_owned(),
            expires: NOW + 7200,
            ..NewToken::default()
        }
    }

    #[expect(clippy::unwrap_in_result, reason = "the secret of a test is one")]
    fn read(token: &str, secret: &[u8], now: u64) -> Result<Claims, TokenRefused> {
        let rules = TokenRules {
            algorithms: vec![Algorithm::HS256],
            issuers: vec!["app".to_owned()],
            audiences: vec!["app".to_owned()],
            leeway: Duration::ZERO,
            requires_expiry: true,
            requires_room: true,
            requires_tenant: true,
        };
        let key = VerifyingKey::shared(secret).unwrap();
        let payload = rules.verify(&key, Token::parse(token)?, now)?;
        Ok(Claims::of_payload(&Value::Object(payload)))
    }

    #[test]
    fn s2_41_what_is_given_out_is_believed_and_says_the_same() {
        let given = NewToken {
            user: TokenUser {
                name: Some("Awa".to_owned()),
                email: Some("awa@x.sn".to_owned()),
                ..TokenUser::default()
            },
            group: Some("staff".to_owned()),
            is_moderator: true,
            features: vec![("recording".to_owned(), true), ("livestreaming".to_owned(), false)],
            ..token()
        };
        let signed = given.sign(Algorithm::HS256, b"hush").unwrap();
        let claims = read(&signed, b"hush", NOW).unwrap();
        assert_eq!((claims.room.as_deref(), claims.tenant.as_deref()), (Some("demo"), Some("*")));
        assert_eq!((claims.user, claims.group), (given.user, given.group));
        assert!(claims.is_owner);
        let features = claims.features.unwrap();
        assert!(features.allow("recording") && features.deny("livestreaming"));
        assert!(read(&signed, b"other", NOW).is_err());
    }

    #[test]
    fn s2_60_and_s2_61_every_token_has_an_affiliation_and_an_end() {
        let guest = NewToken { not_before: Some(NOW + 60), ..token() };
        assert_eq!(guest.payload()["context"]["user"]["affiliation"], "member");
        let signed = guest.sign(Algorithm::HS256, b"hush").unwrap();
        assert!(!read(&signed, b"hush", NOW + 60).unwrap().is_owner);
        assert!(read(&signed, b"hush", NOW).is_err() && read(&signed, b"hush", NOW + 7200).is_err());
    }

    #[test]
    fn without_a_secret_nothing_is_given_out() {
        assert_eq!(token().sign(Algorithm::HS256, b""), Err(NotIssued::NoSecret));
        assert_eq!(token().sign(Algorithm::RS256, b"hush"), Err(NotIssued::Algorithm));
    }
}
