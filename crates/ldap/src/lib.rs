//! Logins against an LDAP directory (RFC 4511), with the meaning that saslauthd gives its options: docker-jitsi-meet and
//! most guides configure Jitsi that way.
//!
//! Here: what the options mean ([`Options`], [`Settings`]), how a user name gets into a filter or a DN ([`Expansion`]), both
//! pure; and [`Directory`], which asks servers. The only crate that knows `ldap3`, which panics on some malformed answers and
//! does not limit their size or depth: answers pass `frames` first. Not here: SASL and throttling (`signaling`).
//!
//! The way of a login: `Directory::authenticate` → a place among those that may run → each server in order: `connection`
//! (DNS, TCP, TLS) → `login` (bind, search, bind as the entry, group).

mod ciphers;
mod connection;
mod directory;
mod error;
mod expand;
mod frames;
mod login;
mod options;
mod password_hash;
mod settings;
mod tls;

pub use directory::{Directory, Entry, MAX_CONCURRENT};
pub use error::{Error, Refusal};
pub use expand::{Expansion, Pattern, Subject, parenthesized};
pub use options::{InvalidOption, Options};
pub use settings::{
    AuthMethod, Deref, GroupCheck, GroupMatch, Password, Referrals, Scope, ServerUrl, ServiceIdentity, Settings,
    StartTls, TlsSettings, VerifyPeer,
};
