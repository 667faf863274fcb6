//! Why bytes are not an RTP or RTCP packet. All of them mean: drop the packet and count it by [`RtpError::reason`].

/// The bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Fewer bytes than the fixed header, its contributing sources or its extension need.
    #[error("RTP packet ends inside its header")]
    Truncated,
    /// The version is not 2 (RFC 3550 §5.1).
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The padding length is 0 or reaches into the header (RFC 3550 §5.1).
    #[error("RTP padding of {0} bytes does not fit the packet")]
    Padding(u8),
}

impl RtpError {
    /// A word for the `reason` label of a counter.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "rtp_truncated",
            Self::Version(_) => "rtp_version",
            Self::Padding(_) => "rtp_padding",
        }
    }
}

/// The payload is not redundant audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedError {
    /// No header without a successor.
    #[error("redundant audio ends inside its headers")]
    NoPrimary,
    /// The redundant blocks that the headers tell of end behind the payload.
    #[error("redundant audio ends inside its blocks")]
    Truncated,
}

/// The bytes from here to the end of the compound are not RTCP. What came before stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The common header or the length that it names does not fit what is left.
    #[error("RTCP packet of type {packet_type:?} ends before its length")]
    Truncated {
        /// The packet type, where the header was whole.
        packet_type: Option<u8>,
    },
    /// The version is not 2 (RFC 3550 §6.4.1).
    #[error("RTCP version {0} is not 2")]
    Version(u8),
    /// The padding length is 0, no multiple of 4 or longer than the body (RFC 3550 §6.4.1).
    #[error("RTCP padding of {0} bytes does not fit the packet")]
    Padding(u8),
    /// The body contradicts itself or the counts of its header.
    #[error("RTCP packet of type {packet_type} is malformed: {what}")]
    Malformed {
        /// The packet type of the common header.
        packet_type: u8,
        /// Which field.
        what: &'static str,
    },
    /// More packets in one compound than any sender makes.
    #[error("RTCP compound has more than {0} packets")]
    TooManyPackets(usize),
}

impl RtcpError {
    /// A word for the `reason` label of a counter.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated { .. } => "rtcp_truncated",
            Self::Version(_) => "rtcp_version",
            Self::Padding(_) => "rtcp_padding",
            Self::Malformed { .. } => "rtcp_malformed",
            Self::TooManyPackets(_) => "rtcp_too_many_packets",
        }
    }
}

/// The caller's buffer cannot take what is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("buffer of {have} bytes is too small, {need} are needed")]
pub struct BufferTooSmall {
    /// Bytes needed.
    pub need: usize,
    /// Bytes that the buffer has.
    pub have: usize,
}
