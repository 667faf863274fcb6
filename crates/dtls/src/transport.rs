//! [`DtlsTransport`]: one connection, from the first record to the end, and what it withholds.
//!
//! ```text
//!  Handshaking ── handshake done ──► Unverified ── fingerprint matches ──► Connected ──► Closed
//!       │                                │ differs                            │ close_notify, close()
//!       └───────────────► Closed ◄───────┘                                    ▼
//! ```
//! Keys and data stay inside until `Connected` (RFC 5763 §5: media may come before the fingerprint did, and must not
//! be used before it is checked).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dimpl_engine::DimplEngine;
use crate::engine::{DtlsEngine, EngineOutput};
use crate::{DtlsContext, DtlsError, Fingerprint};

/// Who sends the ClientHello: `setup=active` is the client (RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// This side begins.
    Client,
    /// This side waits.
    Server,
}

/// The negotiated version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsVersion {
    /// RFC 6347.
    Dtls12,
    /// RFC 9147.
    Dtls13,
}

/// SRTP protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, 0x0001.
    Aes128CmSha1_80,
    /// `SRTP_AEAD_AES_128_GCM`, 0x0007.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`, 0x0008.
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// Bytes of one master key and of one master salt.
    pub fn key_and_salt_len(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1_80 => (16, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }
}

/// What the exporter `EXTRACTOR-dtls_srtp` gave: client key, server key, client salt, server salt (RFC 5764 §4.2).
/// `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyingMaterial {
    /// Length and meaning of `bytes`.
    pub profile: SrtpProfile,
    /// Which of the two keys is for sending: a client sends with the client key.
    pub role: DtlsRole,
    /// Twice [`SrtpProfile::key_and_salt_len`] together.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for KeyingMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyingMaterial").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// A turn in the life of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Handshake done and certificate checked: keys for SRTP. Comes once, before any data.
    Connected(KeyingMaterial),
    /// A decrypted record.
    Data(Vec<u8>),
    /// The peer said goodbye.
    Closed,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram to the peer.
    Transmit(Vec<u8>),
    /// Note this.
    Event(Event),
    /// Nothing more until this instant or the next input.
    Timeout(Instant),
}

/// One DTLS connection.
///
/// Call [`Self::poll_output`] after every other call that takes `&mut self`, until it answers [`Output::Timeout`]. An
/// error from any call means that the connection is over: drop it.
pub struct DtlsTransport {
    engine: Box<dyn DtlsEngine>,
    role: DtlsRole,
    state: State,
    expected: Vec<Fingerprint>,
    certificate: Option<Vec<u8>>,
    outputs: VecDeque<Output>,
    deadline: Instant,
}

enum State {
    Handshaking {
        keys: Option<KeyingMaterial>,
        data: Vec<Vec<u8>>,
    },
    /// Handshake done, fingerprint not yet signalled.
    Unverified {
        keys: KeyingMaterial,
        data: Vec<Vec<u8>>,
    },
    Connected,
    Closed,
}

impl DtlsTransport {
    /// A connection that has not begun. As client it sends its ClientHello with the first [`Self::poll_output`].
    ///
    /// # Errors
    /// [`DtlsError::Protocol`] if the library cannot start.
    pub fn new(now: Instant, context: &Arc<DtlsContext>, role: DtlsRole) -> Result<Self, DtlsError> {
        Self::with_engine(now, Box::new(DimplEngine::new(now, context, role)), role)
    }

    /// The same over another library.
    ///
    /// # Errors
    /// What the engine says.
    pub fn with_engine(now: Instant, engine: Box<dyn DtlsEngine>, role: DtlsRole) -> Result<Self, DtlsError> {
        let mut transport = Self {
            engine,
            role,
            state: State::Handshaking { keys: None, data: Vec::new() },
            expected: Vec::new(),
            certificate: None,
            outputs: VecDeque::new(),
            deadline: now,
        };
        transport.handle_timeout(now)?;
        Ok(transport)
    }

    /// Says which certificates the signalling promised. May come before, during or after the handshake; a later call
    /// replaces the list as long as the connection is not established.
    ///
    /// # Errors
    /// [`DtlsError::NoFingerprint`] for an empty list, [`DtlsError::FingerprintMismatch`] if the peer has already shown
    /// another certificate.
    pub fn set_remote_fingerprints(&mut self, fingerprints: &[Fingerprint]) -> Result<(), DtlsError> {
        if fingerprints.is_empty() {
            return Err(DtlsError::NoFingerprint);
        }
        if !matches!(self.state, State::Handshaking { .. } | State::Unverified { .. }) {
            return Ok(());
        }
        self.expected = fingerprints.to_vec();
        self.release()
    }

    /// Takes a datagram whose first byte says DTLS.
    ///
    /// # Errors
    /// The connection is over.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        if matches!(self.state, State::Closed) {
            return Ok(());
        }
        match self.engine.handle_datagram(now, datagram) {
            Ok(()) => self.drain(),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Lets time pass: retransmissions and the limit for the handshake.
    ///
    /// # Errors
    /// The connection is over, [`DtlsError::TimedOut`] among others.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        if now < self.deadline {
            return Ok(());
        }
        if matches!(self.state, State::Closed) {
            self.deadline = now + IDLE;
            return Ok(());
        }
        match self.engine.handle_timeout(now) {
            Ok(()) => self.drain(),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Encrypts one record of application data.
    ///
    /// # Errors
    /// [`DtlsError::NotConnected`] before [`Event::Connected`] and after the end; any other means that it is over.
    pub fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        if !matches!(self.state, State::Connected) {
            return Err(DtlsError::NotConnected);
        }
        match self.engine.send(data) {
            Ok(()) => self.drain(),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Says goodbye; nothing is taken or sent after the `close_notify` that is now waiting in [`Self::poll_output`].
    pub fn close(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.engine.close();
            // Nothing more is expected from the connection, so neither is its error.
            let _ = self.drain();
        }
        self.state = State::Closed;
    }

    /// The next thing to do. After [`Output::Timeout`] nothing is left until then or until the next input.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Timeout(self.deadline))
    }

    /// The role of this side.
    pub fn role(&self) -> DtlsRole {
        self.role
    }

    /// Whether [`Event::Connected`] happened and nothing ended it.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// The version, once it is negotiated.
    pub fn version(&self) -> Option<DtlsVersion> {
        self.engine.version()
    }

    /// Takes everything that the library has to say, then lets go what may be let go.
    fn drain(&mut self) -> Result<(), DtlsError> {
        let mut is_established = false;
        loop {
            match self.engine.poll_output() {
                EngineOutput::Transmit(packet) => self.outputs.push_back(Output::Transmit(packet.to_vec())),
                EngineOutput::Timeout(at) => {
                    self.deadline = at;
                    break;
                }
                EngineOutput::Established => is_established = true,
                EngineOutput::Certificate(der) => self.certificate = Some(der.to_vec()),
                EngineOutput::Keys(profile, bytes) => {
                    if let State::Handshaking { keys, .. } = &mut self.state {
                        *keys = Some(KeyingMaterial { profile, role: self.role, bytes });
                    }
                }
                EngineOutput::Data(data) => match &mut self.state {
                    State::Connected => self.outputs.push_back(Output::Event(Event::Data(data.to_vec()))),
                    State::Handshaking { data: early, .. } | State::Unverified { data: early, .. } => {
                        if early.len() >= MAX_EARLY_DATA {
                            return Err(self.fail(DtlsError::TooMuchEarlyData { limit: MAX_EARLY_DATA }));
                        }
                        early.push(data.to_vec());
                    }
                    State::Closed => {}
                },
                EngineOutput::Closed => {
                    self.state = State::Closed;
                    self.outputs.push_back(Output::Event(Event::Closed));
                }
            }
        }
        if is_established && let State::Handshaking { keys, data } = &mut self.state {
            let data = std::mem::take(data);
            let Some(keys) = keys.take() else { return Err(self.fail(DtlsError::NoSrtpProfile)) };
            self.state = State::Unverified { keys, data };
        }
        self.release()
    }

    /// Compares certificate and fingerprint as soon as both are there, and opens the connection when they match.
    fn release(&mut self) -> Result<(), DtlsError> {
        if self.expected.is_empty() {
            return Ok(());
        }
        if let Some(certificate) = &self.certificate
            && !Fingerprint::strongest_matches(&self.expected, certificate)
        {
            return Err(self.fail(DtlsError::FingerprintMismatch));
        }
        match std::mem::replace(&mut self.state, State::Connected) {
            State::Unverified { .. } if self.certificate.is_none() => Err(self.fail(DtlsError::NoCertificate)),
            State::Unverified { keys, data } => {
                self.outputs.push_back(Output::Event(Event::Connected(keys)));
                self.outputs.extend(data.into_iter().map(|data| Output::Event(Event::Data(data))));
                Ok(())
            }
            state @ (State::Handshaking { .. } | State::Connected | State::Closed) => {
                self.state = state;
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: DtlsError) -> DtlsError {
        self.state = State::Closed;
        self.outputs.retain(|output| matches!(output, Output::Transmit(_)));
        error
    }
}

impl fmt::Debug for DtlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Handshaking { .. } => "handshaking",
            State::Unverified { .. } => "unverified",
            State::Connected => "connected",
            State::Closed => "closed",
        };
        f.debug_struct("DtlsTransport").field("role", &self.role).field("state", &state).finish_non_exhaustive()
    }
}

/// Records of application data kept until the fingerprint is there: the SCTP handshake and a few first messages.
const MAX_EARLY_DATA: usize = 64;

/// When nothing is due.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
