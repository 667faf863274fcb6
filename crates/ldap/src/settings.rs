//! What an operator decides about a directory. The names of saslauthd's options stand beside each field.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Pattern;

/// How users are looked up and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Servers, asked in this order until one answers (`ldap_servers`).
    pub servers: Vec<ServerUrl>,
    /// Whether `ldap://` becomes TLS before anything is said (`ldap_start_tls`).
    pub start_tls: StartTls,
    /// Who is trusted, and who we are (`ldap_tls_*`).
    pub tls: TlsSettings,
    /// Whom searches are made as (`ldap_bind_dn`, `ldap_bind_pw`).
    pub service: ServiceIdentity,
    /// How a password is checked (`ldap_auth_method`).
    pub method: AuthMethod,
    /// Where searches start (`ldap_search_base`); may have tokens.
    pub base: Pattern,
    /// Finds the entry of a user (`ldap_filter`); with `fastbind` the DN itself.
    pub filter: Pattern,
    /// How deep searches go (`ldap_scope`).
    pub scope: Scope,
    /// What happens to aliases (`ldap_deref`).
    pub deref: Deref,
    /// The attribute with the password, for `custom` (`ldap_password_attr`).
    pub password_attribute: String,
    /// Who else may not log in (`ldap_group_*`).
    pub group: Option<GroupCheck>,
    /// Whether answers that name another server are followed (`ldap_referrals`).
    pub referrals: Referrals,
    /// How long to wait for each answer of a server (`ldap_timeout`).
    pub timeout: Duration,
    /// How long a server may search, which it is told (`ldap_time_limit`).
    pub time_limit: Duration,
    /// `%r` and `%d` where the user has no realm (`ldap_default_realm`).
    pub default_realm: String,
    /// `%s`.
    pub service_name: String,
}

impl Default for Settings {
    /// saslauthd's defaults.
    fn default() -> Self {
        Self {
            servers: vec![ServerUrl { host: "localhost".to_owned(), port: 389, is_tls: false }],
            start_tls: StartTls::Off,
            tls: TlsSettings::default(),
            service: ServiceIdentity::Anonymous,
            method: AuthMethod::Bind,
            base: Pattern::new(""),
            filter: Pattern::new("uid=%u"),
            scope: Scope::Subtree,
            deref: Deref::Never,
            password_attribute: "userPassword".to_owned(),
            group: None,
            referrals: Referrals::Ignored,
            timeout: Duration::from_secs(5),
            time_limit: Duration::from_secs(5),
            default_realm: String::new(),
            service_name: "xmpp".to_owned(),
        }
    }
}

/// `ldap://host[:port]` or `ldaps://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port; 389, or 636 with TLS, where the URL has none.
    pub port: u16,
    /// TLS from the first byte on.
    pub is_tls: bool,
}

impl ServerUrl {
    /// Reads a URL; a path, which saslauthd's documentation writes, may be `/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "ldap" => false,
            "ldaps" => true,
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@', ' ']) {
            return None;
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let default_port = if is_tls { 636 } else { 389 };
        let port = port.map_or(Some(default_port), |port| port.parse().ok().filter(|port| *port != 0))?;
        if host.is_empty() || host.contains(['[', ']']) {
            return None;
        }
        Some(Self { host: host.to_owned(), port, is_tls })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "ldaps" } else { "ldap" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Whether StartTLS comes before everything else on `ldap://` (RFC 4511 §4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// It does, or nothing is said at all.
    Required,
    /// It does not.
    Off,
}

/// TLS with the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether a server has to show who it is (`ldap_tls_check_peer`).
    pub verify: VerifyPeer,
    /// PEM file of trusted authorities (`ldap_tls_cacert_file`).
    pub ca_file: Option<PathBuf>,
    /// Directory of PEM files of trusted authorities (`ldap_tls_cacert_dir`). Without both, those of the system.
    pub ca_dir: Option<PathBuf>,
    /// PEM file of our own certificate (`ldap_tls_cert`).
    pub certificate: Option<PathBuf>,
    /// PEM file of its key (`ldap_tls_key`).
    pub key: Option<PathBuf>,
    /// Which cipher suites may be used, in the words of GnuTLS or OpenSSL (`ldap_tls_ciphers`).
    pub ciphers: Option<String>,
}

/// Whether the certificate of a server is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyPeer {
    /// Authority and name have to be right.
    Required,
    /// Anybody may claim to be the server: saslauthd's default.
    #[default]
    Off,
}

/// Whom searches are made as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceIdentity {
    /// Nobody: an anonymous bind (RFC 4513 §5.1.1).
    Anonymous,
    /// An account of ours.
    Account {
        /// Its DN.
        dn: String,
        /// Its password.
        password: Password,
    },
}

/// A password that does not get printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How a password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// Search for the entry, then bind as it.
    Bind,
    /// Bind as the DN that the filter becomes.
    Fastbind,
    /// Search for the entry, and compare with its password attribute here.
    Custom,
}

/// How deep a search goes (RFC 4511 §4.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything below the base, and the base.
    Subtree,
    /// The children of the base.
    OneLevel,
    /// The base.
    Base,
}

/// What happens to aliases in a search (RFC 4511 §4.5.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deref {
    /// They are entries as others.
    Never,
    /// Followed below the base.
    Searching,
    /// Followed in finding the base.
    Finding,
    /// Both.
    Always,
}

/// Which group a user has to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCheck {
    /// DN of the group (`ldap_group_dn`); may have tokens.
    pub dn: Pattern,
    /// How membership is told.
    pub matching: GroupMatch,
}

/// How membership is told (`ldap_group_match_method`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMatch {
    /// The group has the user's DN in this attribute (`ldap_group_attr`).
    Attribute(String),
    /// A search finds something.
    Filter {
        /// `ldap_group_filter`.
        filter: Pattern,
        /// `ldap_group_search_base`; the base of users where there is none.
        base: Option<Pattern>,
        /// `ldap_group_scope`.
        scope: Scope,
    },
}

/// Whether answers that name another server are followed (RFC 4511 §4.1.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrals {
    /// They say nothing.
    Ignored,
    /// The search goes on there. Never from TLS to a place without.
    Followed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s0_26_a_server_is_a_name_or_an_address() {
        for (text, expected) in [
            ("ldap://ldap.example.sn", Some("ldap://ldap.example.sn:389")),
            ("ldap://10.0.0.5:389", Some("ldap://10.0.0.5:389")),
            ("ldaps://10.1.1.2:999/", Some("ldaps://10.1.1.2:999")),
            ("LDAPS://dc1.corp.example", Some("ldaps://dc1.corp.example:636")),
            ("ldap://[2001:db8::5]", Some("ldap://[2001:db8::5]:389")),
            ("ldap://[2001:db8::5]:3890", Some("ldap://[2001:db8::5]:3890")),
            ("ldap://[x]", None),
            ("ldap://", None),
            ("ldap://a:0", None),
            ("ldap://a:99999", None),
            ("ldap://user@a", None),
            ("http://a", None),
            ("a", None),
        ] {
            assert_eq!(ServerUrl::parse(text).map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let settings = Settings {
            service: ServiceIdentity::Account { dn: "cn=a".to_owned(), password: Password::new("hush") },
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
