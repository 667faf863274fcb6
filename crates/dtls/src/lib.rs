//! DTLS-SRTP for one peer: handshake, fingerprint check, key export (RFC 5763, RFC 5764), DTLS 1.2 and 1.3.
//!
//! Here: the process's certificate, [`DtlsTransport`], a sans-IO connection, and the rule that nothing leaves it
//! before the peer's certificate matches what the signalling said. The protocol itself is a library's, behind
//! [`DtlsEngine`]: the `dimpl` crate, which nobody but this crate knows. Not here: SRTP itself (`srtp`), which addresses may speak DTLS (`bridge`).

mod client_hello;
mod context;
mod dimpl_engine;
mod engine;
mod error;
mod fingerprint;
mod fragments;
mod record_numbers;
mod transport;

pub use context::DtlsContext;
pub use engine::{DtlsEngine, EngineOutput};
pub use error::DtlsError;
pub use fingerprint::{Fingerprint, HashFunction};
pub use transport::{DtlsRole, DtlsTransport, DtlsVersion, Event, KeyingMaterial, Output, SrtpProfile};
