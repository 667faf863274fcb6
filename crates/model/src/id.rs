//! Identifiers given by peers, checked once on the way in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest identifier that is accepted, in bytes: far above what any Jitsi client sends, small enough to store.
const MAX_ID_LEN: usize = 128;

/// An identifier that is empty, too long, or has a character outside its alphabet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is empty, longer than {MAX_ID_LEN} bytes or has a character that it may not have")]
pub struct InvalidId {
    kind: &'static str,
    value: String,
}

fn check(kind: &'static str, value: &str, is_allowed: impl Fn(char) -> bool) -> Result<Arc<str>, InvalidId> {
    if value.is_empty() || value.len() > MAX_ID_LEN || !value.chars().all(is_allowed) {
        let value = value.chars().take(MAX_ID_LEN).collect();
        return Err(InvalidId { kind, value });
    }
    Ok(Arc::from(value))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                check($kind, value, $allowed).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

identifier!(
    /// One participant at the bridge: the resource of its occupant JID, 8 hex digits by convention of the clients.
    EndpointId, "endpoint id", is_word
);
identifier!(
    /// One conference on all bridges: Colibri2's `meeting-id`, a UUID by convention of the focus.
    ConferenceId, "meeting id", is_word
);
identifier!(
    /// A source by the name that signaling gives it, `<endpoint id>-<a|v><index>`, such as `abcd1234-v0`.
    SourceName, "source name", is_word
);
identifier!(
    /// Media stream identification tag (RFC 8843 §9, RFC 5888): which m-line a packet belongs to.
    Mid, "mid", |c: char| c.is_ascii_graphic()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_jitsi_sends() {
        assert_eq!(EndpointId::from_str("abcd1234").unwrap().as_str(), "abcd1234");
        assert_eq!(SourceName::from_str("abcd1234-v0").unwrap().to_string(), "abcd1234-v0");
        assert_eq!(ConferenceId::from_str("6f0e1f5c-0a65-4a3e-9a36-111111111111").unwrap().as_str().len(), 36);
    }

    #[test]
    fn refuses_empty_long_and_foreign_characters() {
        for bad in ["", "a b", "a/b", "é", &"x".repeat(MAX_ID_LEN + 1)] {
            assert!(EndpointId::from_str(bad).is_err(), "{bad:?}");
        }
    }
}
