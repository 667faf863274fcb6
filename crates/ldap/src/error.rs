//! Why a login is refused, or why nobody can say.

use std::io;

/// Why a directory did not answer yes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory, or a rule of ours, says no to this user.
    #[error("authentication failed")]
    Refused(Refusal),
    /// No address for the name of a server.
    #[error("cannot resolve the name of LDAP server {server}")]
    UnknownHost {
        /// Its URL.
        server: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// Nobody answers at the address.
    #[error("cannot connect to LDAP server {server}")]
    Connect {
        /// Its URL.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TLS did not come about: a certificate that is not trusted, or a server without TLS.
    #[error("TLS with LDAP server {server} failed")]
    Tls {
        /// Its URL.
        server: String,
        /// What the TLS library said.
        #[source]
        source: io::Error,
    },
    /// The server refused StartTLS (RFC 4511 §4.14).
    #[error("LDAP server {server} refused StartTLS (result code {code})")]
    StartTlsRefused {
        /// Its URL.
        server: String,
        /// LDAP result code.
        code: u32,
    },
    /// The server did not accept our own name and password.
    #[error(
        "LDAP server {server} refused the bind of the service account (result code {code}; check the bind DN and password)"
    )]
    ServiceBindRefused {
        /// Its URL.
        server: String,
        /// LDAP result code.
        code: u32,
    },
    /// The search base is not there.
    #[error("LDAP server {server} has no search base {base:?}")]
    NoSuchBase {
        /// Its URL.
        server: String,
        /// The base as asked for.
        base: String,
    },
    /// The server answered a search with an error.
    #[error("LDAP server {server} failed the search (result code {code})")]
    SearchFailed {
        /// Its URL.
        server: String,
        /// LDAP result code.
        code: u32,
    },
    /// The server said that it cannot answer now.
    #[error("LDAP server {server} is not available (result code {code})")]
    Unavailable {
        /// Its URL.
        server: String,
        /// LDAP result code.
        code: u32,
    },
    /// No answer in time.
    #[error("LDAP server {server} did not answer in time")]
    Timeout {
        /// Its URL.
        server: String,
    },
    /// The connection broke, or what came is no LDAP.
    #[error("LDAP server {server} broke the protocol or the connection: {what}")]
    Misbehaved {
        /// Its URL.
        server: String,
        /// What was wrong.
        what: String,
    },
    /// The filter is none after the user name was put in.
    #[error("the LDAP filter {filter:?} cannot be parsed")]
    BadFilter {
        /// The filter pattern.
        filter: String,
    },
    /// Too many logins wait already.
    #[error("too many logins wait for the directory")]
    Busy,
}

/// Why a user is refused. The user is not told which; the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Bind without a password would succeed for everybody (RFC 4513 §5.1.2).
    EmptyPassword,
    /// A name that cannot be looked up.
    BadName,
    /// No entry fits the filter.
    NoSuchUser,
    /// Several entries fit the filter.
    Ambiguous,
    /// The password is wrong, or the directory does not let this user in.
    InvalidCredentials {
        /// LDAP result code, or 0 where we compared ourselves.
        code: u32,
    },
    /// The entry has no password in a form that we know.
    NoUsablePassword,
    /// Not in the group.
    NotInGroup,
}

impl Refusal {
    /// A word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPassword => "empty_password",
            Self::BadName => "bad_name",
            Self::NoSuchUser => "no_such_user",
            Self::Ambiguous => "ambiguous_user",
            Self::InvalidCredentials { .. } => "invalid_credentials",
            Self::NoUsablePassword => "no_usable_password",
            Self::NotInGroup => "not_in_group",
        }
    }
}

impl Error {
    /// Whether another server may answer better.
    pub(crate) fn is_of_server(&self) -> bool {
        match self {
            Self::Refused(_) | Self::NoSuchBase { .. } | Self::BadFilter { .. } | Self::Busy => false,
            Self::UnknownHost { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::StartTlsRefused { .. }
            | Self::ServiceBindRefused { .. }
            | Self::SearchFailed { .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Misbehaved { .. } => true,
        }
    }
}
