//! How a user name gets into a filter, a DN or a search base: saslauthd's tokens, each value escaped for the place where it
//! goes (RFC 4515 §3 for filters, RFC 4514 §2.4 for DNs), so that no name can say more than a name.

use std::fmt::Write as _;

/// The tokens that saslauthd knows (LDAP_SASLAUTHD, `ldap_filter`), with a user's values.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `%u`: what the user typed.
    pub user: &'a str,
    /// `%s`: the service, `xmpp`.
    pub service: &'a str,
    /// `%r`: the realm, which is the XMPP domain; also `%d` for a user name without a domain.
    pub realm: &'a str,
    /// `%D`: the DN of the user's entry, in group checks.
    pub dn: Option<&'a str>,
}

/// A filter, DN or search base with tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// What a pattern becomes for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion(pub String);

/// Where a value goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Filter,
    Dn,
}

impl Subject<'_> {
    /// `%U`: the user name up to the last `@`.
    fn local(&self) -> &str {
        self.user.rsplit_once('@').map_or(self.user, |(local, _)| local)
    }

    /// `%d`: the user name after the last `@`; without one the realm.
    fn domain(&self) -> &str {
        match self.user.rsplit_once('@') {
            Some((_, domain)) if !domain.is_empty() => domain,
            Some(_) | None => self.realm,
        }
    }

    /// `%1` … `%9`: the labels of `%d` from the right.
    fn label(&self, number: usize) -> &str {
        self.domain().rsplit('.').nth(number.saturating_sub(1)).unwrap_or_default()
    }
}

impl Pattern {
    /// A pattern; which kind it is, its use decides.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter (RFC 4515) for a user, within parentheses whether the pattern has them or not.
    #[must_use]
    pub fn filter(&self, subject: &Subject<'_>) -> Expansion {
        Expansion(parenthesized(&self.expand(subject, Place::Filter)))
    }

    /// The DN (RFC 4514) for a user.
    #[must_use]
    pub fn dn(&self, subject: &Subject<'_>) -> Expansion {
        Expansion(self.expand(subject, Place::Dn))
    }

    /// The name to bind as without a search (`fastbind`): a DN, or, where the pattern is none, a name of Active Directory's
    /// such as `%u@corp.example`. There no character has a way to be escaped, so a user name that would need it has none.
    #[must_use]
    pub fn bind_name(&self, subject: &Subject<'_>) -> Option<Expansion> {
        let escaped = self.expand(subject, Place::Dn);
        if self.0.contains('=') || escaped == self.expand_with(subject, |value, out| out.push_str(value)) {
            Some(Expansion(escaped))
        } else {
            None
        }
    }

    fn expand(&self, subject: &Subject<'_>, place: Place) -> String {
        self.expand_with(subject, |value, out| match place {
            Place::Filter => escape_filter(value, out),
            Place::Dn => escape_dn(value, out),
        })
    }

    fn expand_with(&self, subject: &Subject<'_>, escape: impl Fn(&str, &mut String)) -> String {
        let mut out = String::with_capacity(self.0.len() + subject.user.len());
        let mut chars = self.0.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let value = match chars.next() {
                Some('%') | None => {
                    out.push('%');
                    continue;
                }
                Some('u') => subject.user,
                Some('U') => subject.local(),
                Some('d') => subject.domain(),
                Some('s') => subject.service,
                Some('r') => subject.realm,
                // A DN is a value in a filter; where a DN is wanted it is one already.
                Some('D') => {
                    let dn = subject.dn.unwrap_or_default();
                    if self.0.trim() == "%D" {
                        out.push_str(dn)
                    } else {
                        escape(dn, &mut out)
                    }
                    continue;
                }
                Some(digit @ '1'..='9') => subject.label(digit.to_digit(10).unwrap_or_default() as usize),
                // Unknown tokens stand for themselves.
                Some(other) => {
                    out.push('%');
                    out.push(other);
                    continue;
                }
            };
            escape(value, &mut out);
        }
        out
    }
}

/// A filter with its outer parentheses, which guides write or leave out.
#[must_use]
pub fn parenthesized(filter: &str) -> String {
    let filter = filter.trim();
    if filter.starts_with('(') { filter.to_owned() } else { format!("({filter})") }
}

/// RFC 4515 §3: `* ( ) \` and NUL as a backslash and two hexadecimal digits.
fn escape_filter(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '*' | '(' | ')' | '\\' | '\0' => push_hex(c, out),
            other => out.push(other),
        }
    }
}

/// RFC 4514 §2.4; every space and `#` too, which need it at the ends only: where the value stands in the DN is not known here.
fn escape_dn(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '=' | '\\' | '\0' => push_hex(c, out),
            ' ' | '#' if at == 0 || at == last => push_hex(c, out),
            other => out.push(other),
        }
    }
}

fn push_hex(c: char, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\{:02x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(user: &str) -> Subject<'_> {
        Subject { user, service: "xmpp", realm: "meet.jitsi", dn: None }
    }

    fn filter(pattern: &str, user: &str) -> String {
        Pattern::new(pattern).filter(&subject(user)).0
    }

    #[test]
    fn s4_39_tokens_are_expanded_as_by_saslauthd() {
        for (pattern, user, expected) in [
            ("uid=%u", "bob", "(uid=bob)"),
            ("(uid=%u)", "bob@corp.example.sn", "(uid=bob@corp.example.sn)"),
            ("uid=%U", "bob@corp.example.sn", "(uid=bob)"),
            ("uid=%U", "bob", "(uid=bob)"),
            ("dc=%d", "bob@corp.example.sn", "(dc=corp.example.sn)"),
            ("dc=%d", "bob", "(dc=meet.jitsi)"),
            ("(&(a=%1)(b=%2)(c=%3)(d=%9))", "bob@corp.example.sn", "(&(a=sn)(b=example)(c=corp)(d=))"),
            ("(&(s=%s)(r=%r))", "bob", "(&(s=xmpp)(r=meet.jitsi))"),
            ("p=100%%", "bob", "(p=100%)"),
            ("p=%x%", "bob", "(p=%x%)"),
            ("(sAMAccountName=%u)", "ndeye", "(sAMAccountName=ndeye)"),
            ("uid=%U", "a@b@c", "(uid=a@b)"),
            ("dc=%d", "bob@", "(dc=meet.jitsi)"),
        ] {
            assert_eq!(filter(pattern, user), expected, "{pattern} for {user}");
        }
    }

    #[test]
    fn s0_33_a_name_of_filter_syntax_is_a_name() {
        assert_eq!(filter("uid=%u", "*)(uid=*"), "(uid=\\2a\\29\\28uid=\\2a)");
        assert_eq!(filter("uid=%u", "a\\b\0"), "(uid=a\\5cb\\00)");
        assert_eq!(filter("uid=%u", "%U"), "(uid=%U)", "what was put in is not expanded again");
    }

    #[test]
    fn s0_34_outer_parentheses_may_be_left_out() {
        for (pattern, expected) in [
            ("uid=%u", "(uid=bob)"),
            ("(uid=%u)", "(uid=bob)"),
            (" (uid=%u) ", "(uid=bob)"),
            ("(&(objectClass=person)(uid=%u))", "(&(objectClass=person)(uid=bob))"),
            ("&(objectClass=person)(uid=%u)", "(&(objectClass=person)(uid=bob))"),
        ] {
            assert_eq!(filter(pattern, "bob"), expected, "{pattern}");
        }
    }

    #[test]
    fn a_name_of_dn_syntax_is_a_name() {
        let dn = |user| Pattern::new("uid=%u,ou=people").dn(&subject(user)).0;
        assert_eq!(dn("bob"), "uid=bob,ou=people");
        assert_eq!(dn("bob,ou=admins"), "uid=bob\\2cou\\3dadmins,ou=people");
        assert_eq!(dn("#a+b "), "uid=\\23a\\2bb\\20,ou=people");
    }

    #[test]
    fn a_bind_name_that_is_no_dn_takes_plain_names_only() {
        let name = |user| Pattern::new("%u@corp.example").bind_name(&subject(user)).map(|name| name.0);
        assert_eq!(name("ndeye.diop").as_deref(), Some("ndeye.diop@corp.example"));
        assert_eq!(name("cn=admin,dc=x"), None);
    }

    #[test]
    fn the_dn_in_a_group_filter_is_a_value() {
        let subject = Subject { dn: Some("cn=A (b),dc=x"), ..subject("a") };
        assert_eq!(Pattern::new("member=%D").filter(&subject).0, "(member=cn=A \\28b\\29,dc=x)");
        assert_eq!(Pattern::new("%D").dn(&subject).0, "cn=A (b),dc=x");
    }

    proptest! {
        /// Whatever the name, the filter has the parentheses and stars of the pattern, and the name comes back out of it.
        #[test]
        fn no_name_changes_the_filter(user in "\\PC*|[*()\\\\\\x00=,&|!a]{0,12}") {
            let expanded = filter("(&(objectClass=person)(uid=%u))", &user);
            let value = expanded.strip_prefix("(&(objectClass=person)(uid=").and_then(|rest| rest.strip_suffix("))")).unwrap();
            prop_assert!(!value.contains(['*', '(', ')', '\0']));
            prop_assert_eq!(unescape(value), user);
        }

        /// Whatever the name, the DN has the parts of the pattern, and the name comes back out of it.
        #[test]
        fn no_name_changes_the_dn(user in "\\PC*|[,+=;<>#\" \\\\\\x00a]{0,12}") {
            let expanded = Pattern::new("uid=%u,ou=people").dn(&subject(&user)).0;
            let value = expanded.strip_prefix("uid=").and_then(|rest| rest.strip_suffix(",ou=people")).unwrap();
            prop_assert!(!value.contains([',', '+', ';', '"', '<', '>', '=']));
            prop_assert!(!value.starts_with([' ', '#']) && !value.ends_with(' '));
            prop_assert_eq!(unescape(value), user);
        }
    }

    fn unescape(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'\\' {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}
