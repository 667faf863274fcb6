//! Accounts that log in with a password, kept as what SCRAM needs to check it (RFC 5802 §3): the password itself is in no
//! account, and cannot be had from one.
//!
//! Here: keys from passwords ([`Credentials`]), the SQLite file that keeps them ([`Store`]), what came from or goes to elsewhere
//! ([`prosody`], [`exchange`]). Not here: SASL, and who asks when (`signaling`).

pub mod exchange;
pub mod prosody;
mod scram;
mod store;

pub use scram::{Credentials, ITERATIONS, MAX_ITERATIONS, SALT_BYTES, ScramKeys, digest_of, sign};
pub use store::{Error, Revocations, Store};
