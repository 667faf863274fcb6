//! Errors of this crate. One from [`crate::DtlsTransport`] means that the connection is over.

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DtlsError {
    /// A signalled fingerprint does not parse.
    #[error("fingerprint is not a known hash and its bytes in hexadecimal")]
    InvalidFingerprint,
    /// No fingerprint was signalled where one is needed.
    #[error("no fingerprint in the peer's description")]
    NoFingerprint,
    /// The peer's certificate is not the signalled one: somebody sits between, or signalling and media disagree.
    #[error("certificate of the peer does not match its signalled fingerprint")]
    FingerprintMismatch,
    /// The peer finished a handshake without a certificate, which cannot be checked then.
    #[error("peer showed no certificate")]
    NoCertificate,
    /// The handshake ended without an SRTP profile that both sides know.
    #[error("no common SRTP profile")]
    NoSrtpProfile,
    /// The handshake or the connection broke; the text is the library's.
    #[error("DTLS failed: {0}")]
    Protocol(String),
    /// The handshake did not finish in time.
    #[error("DTLS handshake timed out")]
    TimedOut,
    /// More came before the fingerprint did than is kept.
    #[error("peer sent more than {limit} messages before its fingerprint was signalled")]
    TooMuchEarlyData {
        /// The limit.
        limit: usize,
    },
    /// Data for a connection that is not established, or no longer.
    #[error("DTLS is not connected")]
    NotConnected,
    /// This process could not make its certificate or configuration.
    #[error("DTLS set-up failed: {0}")]
    Setup(String),
}

impl From<dimpl::Error> for DtlsError {
    fn from(error: dimpl::Error) -> Self {
        if matches!(error, dimpl::Error::Timeout(_)) { Self::TimedOut } else { Self::Protocol(error.to_string()) }
    }
}
