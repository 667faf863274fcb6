//! SASL negotiation (RFC 6120 §6) with the mechanisms ANONYMOUS (RFC 4505), PLAIN (RFC 4616) and those of SCRAM, whose
//! messages are in `scram.rs`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Element, ns};

/// Longest user name or password that is looked at, in bytes (RFC 4616 §2 allows at least 255).
const MAX_CREDENTIAL_BYTES: usize = 1024;

/// A password as both sides of a login have to put it, however it was typed (SASLprep, RFC 4013): compatible characters as one,
/// in one composition. What may not stand in a password is left as it came; it fits no other then.
#[must_use]
pub fn prepared(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Whoever comes gets a name (RFC 4505).
    Anonymous,
    /// User name and password (RFC 4616).
    Plain,
    /// The password is not sent (RFC 5802, RFC 7677).
    Scram {
        /// The hash that is used.
        hash: ScramHash,
        /// Whether both sides show that they share the TLS connection (`-PLUS`).
        is_bound: bool,
    },
}

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
}

impl Mechanism {
    /// All, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::Scram { hash: ScramHash::Sha256, is_bound: true },
        Self::Scram { hash: ScramHash::Sha1, is_bound: true },
        Self::Scram { hash: ScramHash::Sha256, is_bound: false },
        Self::Scram { hash: ScramHash::Sha1, is_bound: false },
        Self::Plain,
        Self::Anonymous,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::Plain => "PLAIN",
            Self::Scram { hash: ScramHash::Sha1, is_bound: false } => "SCRAM-SHA-1",
            Self::Scram { hash: ScramHash::Sha1, is_bound: true } => "SCRAM-SHA-1-PLUS",
            Self::Scram { hash: ScramHash::Sha256, is_bound: false } => "SCRAM-SHA-256",
            Self::Scram { hash: ScramHash::Sha256, is_bound: true } => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of that registered name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str() == name)
    }
}

/// The stream feature that offers mechanisms.
#[must_use]
pub fn mechanisms(offered: &[Mechanism]) -> Element {
    Element::new("mechanisms", ns::SASL).with_children(
        offered.iter().map(|mechanism| Element::new("mechanism", ns::SASL).with_text(mechanism.as_str())),
    )
}

/// The stream feature that names the channel bindings a server can check (XEP-0440).
#[must_use]
pub fn channel_bindings<'a>(types: impl IntoIterator<Item = &'a str>) -> Element {
    let binding = |name: &str| Element::new("channel-binding", ns::CHANNEL_BINDING).with_attr("type", name);
    Element::new("sasl-channel-binding", ns::CHANNEL_BINDING).with_children(types.into_iter().map(binding))
}

/// The end of a negotiation that succeeded.
#[must_use]
pub fn success() -> Element {
    Element::new("success", ns::SASL)
}

/// The end of a negotiation that succeeded, with the server's last message.
#[must_use]
pub fn success_with(message: &str) -> Element {
    success().with_text(STANDARD.encode(message))
}

/// A message of the server within a negotiation; an empty one asks for the client's first.
#[must_use]
pub fn challenge(message: &str) -> Element {
    let challenge = Element::new("challenge", ns::SASL);
    if message.is_empty() { challenge } else { challenge.with_text(STANDARD.encode(message)) }
}

/// The message in an `auth` or `response` element; `None` when there is none, which is not the same as an empty one,
/// written `=` (RFC 6120 §6.4.2).
///
/// # Errors
/// When it is not base64.
pub fn message_of(text: &str) -> Result<Option<Vec<u8>>, SaslCondition> {
    match text.trim() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        base64 => STANDARD.decode(base64).map(Some).map_err(|_| SaslCondition::IncorrectEncoding),
    }
}

/// Why authentication failed (RFC 6120 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6120 §6.5")]
pub enum SaslCondition {
    Aborted,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    NotAllowed,
    NotAuthorized,
    TemporaryAuthFailure,
}

impl SaslCondition {
    /// The element name of the condition. `not-allowed` is not of RFC 6120: stock Jitsi refuses tokens with it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::NotAllowed => "not-allowed",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// The `failure` element. The writer gives it the form whose text the stock client shows: condition and `text` without
/// attributes.
#[must_use]
pub fn failure(condition: SaslCondition, text: Option<&str>) -> Element {
    let failure = Element::new("failure", ns::SASL).with_child(Element::new(condition.as_str(), ns::SASL));
    match text {
        Some(text) => failure.with_child(Element::new("text", ns::SASL).with_text(text)),
        None => failure,
    }
}

/// What a PLAIN message carries. Not printable: it has a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainCredentials {
    /// Whom the user wants to act as; `None` for himself.
    pub authzid: Option<String>,
    /// The user name.
    pub authcid: String,
    /// The password.
    pub password: String,
}

impl PlainCredentials {
    /// Reads the base64 text of an `auth` or `response` element (RFC 4616 §2).
    ///
    /// # Errors
    /// The SASL condition to answer with.
    pub fn parse(text: &str) -> Result<Self, SaslCondition> {
        // authzid, authcid and password with two separators, four base64 characters for three bytes.
        if text.len() > (3 * MAX_CREDENTIAL_BYTES + 2) * 4 / 3 + 4 {
            return Err(SaslCondition::MalformedRequest);
        }
        let message = message_of(text)?.ok_or(SaslCondition::MalformedRequest)?;
        let message = String::from_utf8(message).map_err(|_| SaslCondition::MalformedRequest)?;
        let mut parts = message.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslCondition::MalformedRequest);
        };
        if authcid.is_empty() || password.is_empty() {
            return Err(SaslCondition::MalformedRequest);
        }
        Ok(Self {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            authcid: authcid.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The `auth` element that a client sends.
    #[must_use]
    pub fn to_auth(&self) -> Element {
        let message = format!("{}\0{}\0{}", self.authzid.as_deref().unwrap_or_default(), self.authcid, self.password);
        Element::new("auth", ns::SASL)
            .with_attr("mechanism", Mechanism::Plain.as_str())
            .with_text(STANDARD.encode(message))
    }
}

impl fmt::Debug for PlainCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainCredentials").field("authcid", &self.authcid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_credentials_read_as_they_were_written() {
        let credentials =
            PlainCredentials { authzid: None, authcid: "focus".to_owned(), password: "s3cret".to_owned() };
        let auth = credentials.to_auth();
        assert_eq!(auth.attr("mechanism"), Some("PLAIN"));
        assert_eq!(PlainCredentials::parse(&auth.text()), Ok(credentials));
    }

    #[test]
    fn a_password_is_the_same_however_it_was_typed() {
        // RFC 4013 §3: a soft hyphen is nothing, a Roman numeral is letters; composed and decomposed umlauts are one.
        for (typed, meant) in [("I\u{ad}X", "IX"), ("\u{2168}", "IX"), ("u\u{308}", "\u{fc}"), ("a\u{a0}b", "a b")] {
            assert_eq!(prepared(typed), meant);
        }
        assert_eq!(prepared("USER"), "USER", "case counts");
        assert_eq!(prepared("\u{7}"), "\u{7}", "prohibited");
    }

    #[test]
    fn every_mechanism_has_its_registered_name() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.as_str()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("DIGEST-MD5"), None);
    }

    #[test]
    fn an_empty_message_is_not_the_same_as_none() {
        assert_eq!(message_of(""), Ok(None));
        assert_eq!(message_of("="), Ok(Some(Vec::new())));
        assert_eq!(message_of("YQ=="), Ok(Some(b"a".to_vec())));
        assert_eq!(message_of("%"), Err(SaslCondition::IncorrectEncoding));
    }

    #[test]
    fn plain_credentials_of_another_shape_are_refused() {
        assert_eq!(PlainCredentials::parse("%%"), Err(SaslCondition::IncorrectEncoding));
        for bad in ["", "\0focus", "\0\0pw", "\0focus\0", "a\0b\0c\0d"] {
            assert_eq!(PlainCredentials::parse(&STANDARD.encode(bad)), Err(SaslCondition::MalformedRequest), "{bad:?}");
        }
        assert_eq!(PlainCredentials::parse(&"A".repeat(100_000)), Err(SaslCondition::MalformedRequest));
    }

    #[test]
    fn a_password_is_not_printed() {
        let credentials = PlainCredentials { authzid: None, authcid: "jvb".to_owned(), password: "hush".to_owned() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
