//! Time-limited credentials (draft-uberti-behave-turn-rest-00): whoever shares the secret issues them, nobody keeps them.
//!
//! The user name is `expiry:name`, the expiry in seconds since 1970; the password is the base64 of HMAC-SHA1 over it.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the server and the issuer of credentials share. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(String);

impl SharedSecret {
    /// Wraps a secret; `None` when it is empty, which would let everybody in.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Option<Self> {
        let secret = secret.into();
        (!secret.is_empty()).then_some(Self(secret))
    }

    /// The password of a user name. Any text has one: that the name has not expired is another question.
    #[must_use]
    pub fn password_of(&self, username: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.as_bytes());
        STANDARD.encode(hmac::sign(&key, username.as_bytes()))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

/// A user name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Username<'a> {
    /// Seconds since 1970 after which nothing new is granted.
    pub(crate) expires: u64,
    /// Whose it is: the quota counts by this. A bare `expiry` is a name for all who share it.
    pub(crate) name: &'a str,
}

impl<'a> Username<'a> {
    /// Takes `expiry:name` or `expiry` apart; `None` for any other text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (expires, name) = text.split_once(':').unwrap_or((text, text));
        let is_number = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires = is_number.then(|| expires.parse().ok())??;
        Some(Self { expires, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_that_of_other_implementations() {
        // printf 1792000000:alice | openssl dgst -sha1 -hmac north -binary | base64
        let secret = SharedSecret::new("north").unwrap();
        assert_eq!(secret.password_of("1792000000:alice"), "TLKnCKlF1lxwvMdX7Oa+V7vhysc=");
        assert_eq!(SharedSecret::new(""), None);
        assert_eq!(format!("{secret:?}"), "SharedSecret(…)");
    }

    #[test]
    fn a_user_name_has_an_expiry() {
        assert_eq!(Username::parse("17:al:ice"), Some(Username { expires: 17, name: "al:ice" }));
        assert_eq!(Username::parse("17"), Some(Username { expires: 17, name: "17" }));
        for other in ["", ":alice", "alice", "+17:alice", "-1:a", "99999999999999999999:a", "1 :a"] {
            assert_eq!(Username::parse(other), None, "{other}");
        }
    }
}
