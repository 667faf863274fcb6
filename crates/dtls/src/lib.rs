//! DTLS-SRTP for one peer: handshake, fingerprint check, key export (RFC 5763, RFC 5764), DTLS 1.2 and 1.3.
//!
//! Here: the process's certificate, [`DtlsTransport`], a sans-IO connection around the `dimpl` crate, and the rule that
//! nothing leaves a connection before the peer's certificate matches what the signalling said. This is the only crate
//! that knows the DTLS library. Not here: SRTP itself (`srtp`), which addresses may speak DTLS (`bridge`).

mod client_hello;
mod context;
mod error;
mod fingerprint;
mod transport;

pub use context::DtlsContext;
pub use error::DtlsError;
pub use fingerprint::{Fingerprint, HashFunction};
pub use transport::{DtlsRole, DtlsTransport, DtlsVersion, Event, KeyingMaterial, Output, SrtpProfile};
