//! SRTP and SRTCP: protect, unprotect, key derivation, replay window (RFC 3711; RFC 7714 for AES-GCM; RFC 5764 §4.2
//! for keys out of a DTLS handshake).
//!
//! Here: the crypto of a packet and what a receiver must remember to refuse a replay. Not here: the handshake (`dtls`),
//! which stream a packet belongs to and its numbers (`rtp`, `streams`).
//!
//! A session has one [`SrtpSender`] and one [`SrtpReceiver`], with keys of their own. Neither allocates for a packet.
//! Left out of the RFCs: MKI, key derivation rates and SRTCP without encryption, none of which DTLS-SRTP in a browser
//! uses; SRTCP with the E bit cleared is refused.

mod cm;
mod error;
mod gcm;
mod kdf;
mod keys;
#[cfg(test)]
mod other_implementation;
mod profile;
mod receiver;
mod replay;
mod sender;
mod windows;

pub use error::SrtpError;
pub use keys::{DtlsRole, MasterKey, SessionKeys};
pub use profile::ProtectionProfile;
pub use receiver::{MAX_STREAMS, SrtpReceiver, UnprotectedRtp};
pub use replay::REPLAY_WINDOW_PACKETS;
pub use sender::SrtpSender;

/// Most bytes that protection adds to an RTP packet, in any profile.
pub const MAX_RTP_OVERHEAD: usize = 16;

/// Most bytes that protection adds to an RTCP packet, in any profile: tag and index word.
pub const MAX_RTCP_OVERHEAD: usize = 20;

/// The cipher of one direction. One branch a packet, always the same way.
enum Cipher {
    Gcm(gcm::GcmCipher),
    /// Boxed: its key schedules take 3.5 KB, which a session with GCM does not need.
    Cm(Box<cm::CmCipher>),
}

impl Cipher {
    fn new(key: &MasterKey) -> Result<Self, SrtpError> {
        Ok(match key.profile() {
            ProtectionProfile::AeadAes128Gcm | ProtectionProfile::AeadAes256Gcm => {
                Self::Gcm(gcm::GcmCipher::derive(key)?)
            }
            ProtectionProfile::Aes128CmHmacSha1_80 => Self::Cm(Box::new(cm::CmCipher::derive(key)?)),
        })
    }
}

/// Bytes of the RTCP header that stay clear: common header and SSRC of the first packet (RFC 3711 §3.4).
const RTCP_CLEAR_LEN: usize = 8;

/// Bytes of E bit and SRTCP index.
const SRTCP_INDEX_LEN: usize = 4;

/// The E bit of the index word: the packet is encrypted.
const SRTCP_E_BIT: u32 = 0x8000_0000;
