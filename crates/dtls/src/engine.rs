//! What a connection needs of a DTLS library.
//!
//! An engine speaks the protocol and says what it sees. It does not judge: [`crate::DtlsTransport`] compares the
//! certificate with the signalling, and lets neither keys nor data out before.

use std::time::Instant;

use crate::{DtlsError, DtlsVersion, SrtpProfile};

/// What an engine has to say.
#[derive(Debug)]
pub enum EngineOutput<'a> {
    /// Send these records to the peer, as one datagram.
    Transmit(&'a [u8]),
    /// The peer's certificate in DER.
    Certificate(&'a [u8]),
    /// What `EXTRACTOR-dtls_srtp` gave: client key, server key, client salt, server salt (RFC 5764 §4.2).
    Keys(SrtpProfile, Vec<u8>),
    /// The handshake is complete. Certificate and keys came before, or do not come.
    Established,
    /// A decrypted record.
    Data(&'a [u8]),
    /// The peer's close_notify.
    Closed,
    /// Nothing more until this instant or the next input.
    Timeout(Instant),
}

/// One connection of a DTLS library, client or server (RFC 6347, RFC 9147) with `use_srtp` (RFC 5764).
///
/// After every call that takes `&mut self`, [`Self::poll_output`] is called until it answers
/// [`EngineOutput::Timeout`]. An error means that the connection is over.
pub trait DtlsEngine: Send {
    /// Takes a datagram of the peer. A client has its ClientHello ready before.
    ///
    /// # Errors
    /// The connection is over. What anybody could have sent, such as garbage, is ignored and no error.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError>;

    /// Lets time pass: retransmissions, and the limit for the handshake.
    ///
    /// # Errors
    /// The connection is over; [`DtlsError::TimedOut`] when the handshake took too long.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;

    /// Encrypts one record of application data.
    ///
    /// # Errors
    /// [`DtlsError::NotConnected`] before the handshake is complete, else the connection is over.
    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError>;

    /// Has a close_notify sent, if there is a connection to say goodbye to.
    fn close(&mut self);

    /// The next thing to say.
    fn poll_output(&mut self) -> EngineOutput<'_>;

    /// The version, once it is negotiated.
    fn version(&self) -> Option<DtlsVersion>;
}
