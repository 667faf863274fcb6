//! [`DtlsEngine`] over the `dimpl` crate, and what stands against its weaknesses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client_hello::{ClientHelloReader, VersionChoice};
use crate::engine::{DtlsEngine, EngineOutput};
use crate::fragments::{MessageReader, Record};
use crate::record_numbers::PlaintextNumbers;
use crate::{DtlsContext, DtlsError, DtlsRole, DtlsVersion, SrtpProfile};

/// One connection.
pub(crate) struct DimplEngine {
    stage: Stage,
    handshake: Handshake,
    numbers: PlaintextNumbers,
    last_now: Instant,
    scratch: Vec<u8>,
}

enum Stage {
    /// A server before its first ClientHello.
    AwaitHello {
        context: Arc<DtlsContext>,
        reader: ClientHelloReader,
    },
    Running(Box<dimpl::Dtls>),
}

enum Handshake {
    Running(MessageReader),
    Done {
        /// COMPAT: a client that sends its last flight again did not hear the end of ours (RFC 6347 §4.2.4: it is sent
        /// again). dimpl 0.9 notices that by the ClientKeyExchange only, which may be the part that is lost; so it is
        /// shown this one for any part of a handshake.
        client_key_exchange: Option<Vec<u8>>,
    },
}

impl DimplEngine {
    pub(crate) fn new(now: Instant, context: &Arc<DtlsContext>, role: DtlsRole) -> Self {
        let stage = match role {
            DtlsRole::Server => {
                Stage::AwaitHello { context: Arc::clone(context), reader: ClientHelloReader::default() }
            }
            DtlsRole::Client => {
                let mut dtls = dimpl::Dtls::new_auto(Arc::clone(&context.config), context.certificate.clone(), now);
                dtls.set_active(true);
                Stage::Running(Box::new(dtls))
            }
        };
        Self {
            stage,
            handshake: Handshake::Running(MessageReader::default()),
            numbers: PlaintextNumbers::default(),
            last_now: now,
            scratch: vec![0; SCRATCH_LEN],
        }
    }

    fn handle_records(&mut self, datagram: &[u8]) -> Result<(), DtlsError> {
        let Stage::Running(dtls) = &mut self.stage else { return Ok(()) };
        match dtls.handle_timeout(self.last_now).and_then(|()| dtls.handle_packet(datagram)) {
            Ok(()) => Ok(()),
            // A client that has not yet heard of its server meets garbage: the library stays usable, so do we.
            Err(dimpl::Error::UnexpectedMessage(dimpl::UnexpectedMessageError::UnrecognizedAutoServerResponse)) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl DtlsEngine for DimplEngine {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        self.last_now = self.last_now.max(now);
        let Stage::AwaitHello { context, reader } = &mut self.stage else {
            let datagrams = match &mut self.handshake {
                Handshake::Running(messages) => messages.handle_datagram(datagram),
                Handshake::Done { client_key_exchange: Some(message) }
                    if Record::split(datagram).is_some_and(|(record, _)| record.is_handshake()) =>
                {
                    vec![message.clone(), datagram.to_vec()]
                }
                Handshake::Done { .. } => return self.handle_records(datagram),
            };
            return datagrams.iter().try_for_each(|datagram| self.handle_records(datagram));
        };
        let Some((version, datagrams)) = reader.handle_datagram(datagram) else { return Ok(()) };
        let (config, certificate) = (Arc::clone(&context.config), context.certificate.clone());
        self.stage = Stage::Running(Box::new(match version {
            VersionChoice::Auto => dimpl::Dtls::new_auto(config, certificate, self.last_now),
            VersionChoice::Dtls12 => dimpl::Dtls::new_12(config, certificate, self.last_now),
        }));
        datagrams.iter().try_for_each(|datagram| self.handle_records(datagram))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.last_now = self.last_now.max(now);
        match &mut self.stage {
            Stage::AwaitHello { .. } => Ok(()),
            Stage::Running(dtls) => dtls.handle_timeout(self.last_now).map_err(DtlsError::from),
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        let Stage::Running(dtls) = &mut self.stage else { return Err(DtlsError::NotConnected) };
        dtls.send_application_data(data)?;
        Ok(())
    }

    fn close(&mut self) {
        if let Stage::Running(dtls) = &mut self.stage {
            // Nothing more is expected from the connection, so neither is its error.
            let _ = dtls.close();
        }
    }

    fn poll_output(&mut self) -> EngineOutput<'_> {
        let Stage::Running(dtls) = &mut self.stage else { return EngineOutput::Timeout(self.last_now + IDLE) };
        // Which output comes is told first and the bytes are borrowed after, so that the buffer can grow in between.
        let said = loop {
            match dtls.poll_output(&mut self.scratch) {
                dimpl::Output::BufferTooSmall { needed } => self.scratch.resize(needed, 0),
                dimpl::Output::Packet(packet) => break Said::Transmit(packet.len()),
                dimpl::Output::PeerCert(der) => break Said::Certificate(der.len()),
                dimpl::Output::ApplicationData(data) => break Said::Data(data.len()),
                dimpl::Output::Timeout(at) => return EngineOutput::Timeout(at.max(self.last_now + MIN_TIMER)),
                dimpl::Output::Connected => {
                    if let Handshake::Running(messages) = &mut self.handshake {
                        let client_key_exchange = std::mem::take(messages).into_client_key_exchange();
                        self.handshake = Handshake::Done { client_key_exchange };
                    }
                    return EngineOutput::Established;
                }
                dimpl::Output::CloseNotify => return EngineOutput::Closed,
                dimpl::Output::KeyingMaterial(material, profile) => {
                    let profile = match profile {
                        dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
                        dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
                        dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
                        // Without keys the connection is refused once it is established.
                        _ => continue,
                    };
                    return EngineOutput::Keys(profile, material.to_vec());
                }
                _ => {}
            }
        };
        match said {
            Said::Transmit(len) => {
                let packet = self.scratch.get_mut(..len).unwrap_or_default();
                self.numbers.handle_datagram(packet);
                EngineOutput::Transmit(packet)
            }
            Said::Certificate(len) => EngineOutput::Certificate(self.scratch.get(..len).unwrap_or_default()),
            Said::Data(len) => EngineOutput::Data(self.scratch.get(..len).unwrap_or_default()),
        }
    }

    fn version(&self) -> Option<DtlsVersion> {
        let Stage::Running(dtls) = &self.stage else { return None };
        match dtls.protocol_version()? {
            dimpl::ProtocolVersion::DTLS1_2 => Some(DtlsVersion::Dtls12),
            dimpl::ProtocolVersion::DTLS1_3 => Some(DtlsVersion::Dtls13),
            _ => None,
        }
    }
}

/// Bytes at the start of the scratch buffer.
enum Said {
    Transmit(usize),
    Certificate(usize),
    Data(usize),
}

/// A record of 1 500 bytes fits; the library says so when it needs more.
const SCRATCH_LEN: usize = 2_048;

/// COMPAT: dimpl 0.9 answers a gap in a DTLS 1.3 flight with an ACK that is due at once, and after it with another one,
/// until the gap is filled: a caller that obeys spins and floods the peer. No timer of ours is due sooner than this.
const MIN_TIMER: Duration = Duration::from_millis(25);

/// When nothing is due.
const IDLE: Duration = Duration::from_secs(60);
