//! Addresses (RFC 7622).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Each part has at most 1023 bytes (RFC 7622 §3.2–3.4).
const MAX_PART_BYTES: usize = 1023;

/// A JID: `local@domain/resource`, local part and domain in lower case, compared byte by byte.
///
/// Enforced of RFC 7622: the lengths, no empty part, no spaces or control characters, and the characters that a local
/// part may not have (§3.3.1). Case is folded with Unicode's simple mapping; the full PRECIS tables are not applied,
/// as Jitsi's clients already send normalised names. Clones share the text: an address is with every stanza on its way.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Arc<str>,
    /// Where the domain begins: 0, or after the `@`.
    domain_at: usize,
    /// Where the `/` stands, or the length of the text.
    slash_at: usize,
}

/// A text that is not a JID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a JID")]
pub struct InvalidJid(String);

impl Jid {
    /// A JID of checked parts.
    ///
    /// # Errors
    /// [`InvalidJid`] when a part is empty, too long, or has a character that it may not have.
    pub fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, InvalidJid> {
        let mut text = String::with_capacity(domain.len() + 48);
        if let Some(local) = local {
            text.extend(local.chars().flat_map(char::to_lowercase));
            text.push('@');
        }
        let domain_at = text.len();
        text.extend(domain.chars().flat_map(char::to_lowercase));
        let slash_at = text.len();
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        let jid = Self { text: text.into(), domain_at, slash_at };
        if jid.has_valid_parts() { Ok(jid) } else { Err(InvalidJid(jid.text.chars().take(128).collect())) }
    }

    fn has_valid_parts(&self) -> bool {
        let fits = |part: &str| !part.is_empty() && part.len() <= MAX_PART_BYTES && !part.chars().any(char::is_control);
        let is_local = |c: char| !c.is_whitespace() && !matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@');
        let is_domain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '&' | '\'' | '/' | '<' | '>' | '@');
        self.local().is_none_or(|local| fits(local) && local.chars().all(is_local))
            && fits(self.domain())
            && self.domain().chars().all(is_domain)
            && self.resource().is_none_or(fits)
    }

    /// The part before the `@`: a user, or a room.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.text.get(..self.domain_at.checked_sub(1)?)
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.domain_at..self.slash_at).unwrap_or_default()
    }

    /// The part after the `/`: a session's resource, or an occupant's nick.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.slash_at + 1..)
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there is no resource.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.slash_at == self.text.len()
    }

    /// The address without its resource.
    #[must_use]
    pub fn to_bare(&self) -> Jid {
        if self.is_bare() {
            return self.clone();
        }
        Self { text: self.bare_str().into(), domain_at: self.domain_at, slash_at: self.slash_at }
    }

    /// The whole address, as text that is shared.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The address without its resource, as text.
    #[must_use]
    pub fn bare_str(&self) -> &str {
        self.text.get(..self.slash_at).unwrap_or_default()
    }

    /// The same bare address with another resource.
    ///
    /// # Errors
    /// [`InvalidJid`] when the resource is empty, too long or has control characters.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, InvalidJid> {
        Self::new(self.local(), self.domain(), Some(resource))
    }
}

impl FromStr for Jid {
    type Err = InvalidJid;

    /// Splits as RFC 7622 §3.2 says: the first `/` begins the resource, the first `@` before it ends the local part.
    fn from_str(text: &str) -> Result<Self, InvalidJid> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        Self::new(local, domain, resource)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<&Jid> for String {
    fn from(jid: &Jid) -> String {
        jid.as_str().to_owned()
    }
}

impl From<Jid> for String {
    fn from(jid: Jid) -> String {
        jid.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_into_parts() {
        let jid: Jid = "Demo@MUC.meet.example/abc/d@e".parse().unwrap();
        assert_eq!(jid.local(), Some("demo"));
        assert_eq!(jid.domain(), "muc.meet.example");
        assert_eq!(jid.resource(), Some("abc/d@e"));
        assert_eq!(jid.to_bare().to_string(), "demo@muc.meet.example");
        assert!(jid.to_bare().is_bare());
        let domain: Jid = "meet.example".parse().unwrap();
        assert_eq!((domain.local(), domain.resource()), (None, None));
    }

    #[test]
    fn refuses_empty_parts_and_forbidden_characters() {
        for bad in ["", "@d", "u@", "u@d/", "/r", "a b@d", "a&b@d", "a:b@d", "u@d@e", "u@d/\u{0}"] {
            assert!(bad.parse::<Jid>().is_err(), "{bad:?}");
        }
        assert!(format!("{}@d", "x".repeat(MAX_PART_BYTES + 1)).parse::<Jid>().is_err());
    }
}
