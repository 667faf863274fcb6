//! The keys of one DTLS connection at work, in both directions (RFC 5764 §4.2).

use std::fmt;

use dtls::{DtlsRole, KeyingMaterial};
use model::ExtSeqNum;
use rtp::RtpParts;
use srtp::{ProtectionProfile, SessionKeys, SrtpError, SrtpReceiver, SrtpSender, UnprotectedRtp};

/// Receiver and sender of an endpoint. What each packet to it needs stands first.
#[repr(C, align(64))]
pub(crate) struct SrtpSession {
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

/// What a packet of media was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unprotected {
    /// An RTP packet, now plain.
    Rtp(UnprotectedRtp),
    /// An RTCP compound, now plain: the first `len` bytes of the datagram.
    Rtcp { len: usize },
}

impl SrtpSession {
    pub(crate) fn new(keys: &KeyingMaterial) -> Result<Self, SrtpError> {
        let profile = match keys.profile {
            dtls::SrtpProfile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            dtls::SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            dtls::SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        };
        let role = match keys.role {
            DtlsRole::Client => srtp::DtlsRole::Client,
            DtlsRole::Server => srtp::DtlsRole::Server,
        };
        let keys = SessionKeys::from_dtls_export(profile, &keys.bytes, role)?;
        Ok(Self { receiver: SrtpReceiver::new(&keys.inbound)?, sender: SrtpSender::new(&keys.outbound)? })
    }

    pub(crate) fn profile(&self) -> ProtectionProfile {
        self.sender.profile()
    }

    /// Decrypts in place. RTP and RTCP share the port and differ in the second byte (RFC 5761 §4).
    pub(crate) fn unprotect(&mut self, packet: &mut [u8]) -> Result<Unprotected, SrtpError> {
        if rtp::is_rtcp(packet) {
            self.receiver.unprotect_rtcp(packet).map(|len| Unprotected::Rtcp { len })
        } else {
            self.receiver.unprotect_rtp(packet).map(Unprotected::Rtp)
        }
    }

    /// Brings near what [`protect_rtp`](Self::protect_rtp) needs, but for the key.
    pub(crate) fn prefetch_sender(&self) {
        self.sender.prefetch();
    }

    /// Brings near the key; to be called when [`prefetch_sender`](Self::prefetch_sender) was a while ago.
    pub(crate) fn prefetch_key(&self) {
        self.sender.prefetch_key();
    }

    /// Bytes written to `space`. `None`: the packet cannot be protected, an error of the caller.
    pub(crate) fn protect_rtp(&self, packet: &RtpParts<'_>, seq: ExtSeqNum, space: &mut [u8]) -> Option<usize> {
        self.sender.protect_rtp(packet, seq, space).inspect_err(note).ok()
    }

    /// As [`Self::protect_rtp`].
    pub(crate) fn protect_rtcp(&mut self, compound: &[u8], space: &mut [u8]) -> Option<usize> {
        self.sender.protect_rtcp(compound, space).inspect_err(note).ok()
    }
}

fn note(error: &SrtpError) {
    tracing::debug!(%error, "packet cannot be protected");
}

impl fmt::Debug for SrtpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSession").field("profile", &self.profile()).finish_non_exhaustive()
    }
}
