//! What all connections of a process share: certificate and configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{DtlsError, Fingerprint, HashFunction};

/// A self-signed certificate (ECDSA, P-256) and the library's configuration. Make one a process: each one costs a
/// self-test of the cryptography, and the fingerprint is the same in every offer that way.
pub struct DtlsContext {
    pub(crate) config: Arc<dimpl::Config>,
    pub(crate) certificate: dimpl::DtlsCertificate,
    fingerprint: Fingerprint,
}

impl DtlsContext {
    /// Makes a new certificate, with the randomness of the cryptography library.
    ///
    /// # Errors
    /// [`DtlsError::Setup`] if the library refuses its own set-up: this process cannot serve media.
    pub fn new() -> Result<Self, DtlsError> {
        Self::with_handshake_timeout(HANDSHAKE_TIMEOUT)
    }

    /// The same for tests in virtual time: timers and the random numbers of hellos, which are public, follow `seed`, so that two
    /// runs are alike. Keys and signatures do not.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_simulation(seed: u64) -> Result<Self, DtlsError> {
        Self::build(HANDSHAKE_TIMEOUT, |config| config.dangerously_set_rng_seed(seed))
    }

    /// The same with another limit for a handshake, as for peers that are slow to send a lost flight again.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_handshake_timeout(limit: Duration) -> Result<Self, DtlsError> {
        Self::build(limit, |config| config)
    }

    fn build(
        limit: Duration,
        change: impl FnOnce(dimpl::ConfigBuilder) -> dimpl::ConfigBuilder,
    ) -> Result<Self, DtlsError> {
        let setup = |error: &dyn fmt::Display| DtlsError::Setup(error.to_string());
        let certificate = dimpl::certificate::generate_self_signed_certificate().map_err(|error| setup(&error))?;
        let config = dimpl::Config::builder()
            .mtu(MTU)
            // Only addresses that ICE validated speak DTLS, so a cookie would prove nothing and cost a round trip.
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(FLIGHT_START_RTO)
            .flight_retries(flight_retries(limit))
            .handshake_timeout(limit);
        let config = change(config).build().map_err(|error| setup(&error))?;
        let fingerprint = Fingerprint::of_certificate(HashFunction::Sha256, &certificate.certificate);
        Ok(Self { config: Arc::new(config), certificate, fingerprint })
    }

    /// The sha-256 fingerprint of the certificate, for the signalling.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl fmt::Debug for DtlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsContext").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Largest datagram that a handshake sends; what WebRTC stacks assume to pass everywhere.
const MTU: usize = 1200;

/// RFC 6347 §4.2.4.1 proposes 1 s and allows less for real-time use; a lost flight should not be heard in a join.
const FLIGHT_START_RTO: Duration = Duration::from_millis(250);

/// The videobridge's limit.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a flight is sent again, at intervals that double, so that the limit ends the handshake and not the count.
fn flight_retries(limit: Duration) -> usize {
    let intervals = std::iter::successors(Some(FLIGHT_START_RTO), |interval| Some(*interval * 2));
    intervals.take_while(|interval| *interval < limit).count()
}
