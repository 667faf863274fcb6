//! Why a packet was not protected or unprotected.

use rtp::{BufferTooSmall, RtpError};

/// On the receiving side every variant means: drop the packet and count it by [`SrtpError::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The RTP header cannot be read.
    #[error("SRTP packet has no valid RTP header")]
    Header(#[source] RtpError),
    /// Fewer bytes than header, tag and index need.
    #[error("SRTP or SRTCP packet is too short")]
    TooShort,
    /// A packet with this number was taken before.
    #[error("packet was already received")]
    Replayed,
    /// The packet is older than what the replay window remembers.
    #[error("packet is older than the replay window")]
    TooOld,
    /// The tag does not match: another key, a changed packet or a forged one.
    #[error("packet does not authenticate")]
    AuthenticationFailed,
    /// The E bit of an SRTCP packet is not set. Refused: nobody we talk to sends it, and it is a way around encryption.
    #[error("SRTCP packet is not encrypted")]
    UnencryptedRtcp,
    /// The keying material is not as long as the profile needs.
    #[error("keying material has {have} bytes, {need} are needed")]
    KeyingMaterialLength {
        /// Bytes that the profile needs.
        need: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// The crypto library refused a key.
    #[error("crypto library refused the key")]
    Key,
    /// All numbers of the key are used up (RFC 3711 §9.2): 2^48 RTP packets of a stream or 2^31 RTCP packets.
    #[error("packet numbers of this key are used up")]
    NumbersExhausted,
    /// The caller's buffer cannot take the protected packet.
    #[error("buffer for the protected packet is too small")]
    Buffer(#[source] BufferTooSmall),
}

impl SrtpError {
    /// A word for the `reason` label of a counter.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Header(error) => error.reason(),
            Self::TooShort => "srtp_too_short",
            Self::Replayed => "replay",
            Self::TooOld => "replay_too_old",
            Self::AuthenticationFailed => "srtp_auth",
            Self::UnencryptedRtcp => "srtcp_unencrypted",
            Self::KeyingMaterialLength { .. } | Self::Key => "srtp_key",
            Self::NumbersExhausted => "srtp_numbers_exhausted",
            Self::Buffer(_) => "srtp_buffer",
        }
    }
}
