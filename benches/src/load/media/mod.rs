//! Media of the participants: what cameras, microphones and screens send, and what comes of it at the receivers.
//!
//! Sending: a [`Source`] gives [`Frame`]s, a frame gives [`Packet`]s, and a packet writes its payload into the buffer that
//! leaves. Receiving: a [`FrameReader`] for each stream tells which frames a client could decode and when it would freeze.
//! A [`Trailer`] in the payload, which decoders ignore, carries the time of capture and of departure across the server.
//!
//! Not here: RTP headers and sequence numbers, pacing, retransmission (the engine), what is made of the events (`measure`).

mod clip;
mod clock;
mod frame;
mod frame_cut;
mod frame_reader;
mod packetize;
mod source;
pub mod trailer;

use serde::{Deserialize, Serialize};

pub use clip::ClipError;
pub use clock::{MediaClock, MediaTime};
pub use frame::{DescriptorBytes, Frame, MAX_PAYLOAD_LEN, Packet, ShortBytes};
pub use frame_cut::FrameCut;
pub use frame_reader::{
    DecodableFrame, Expected, FREEZE_AFTER, FrameReader, Freeze, ReaderEvent, ReaderSettings, ReceivedPacket,
    UndecodableCause,
};
pub use source::{Activity, Content, Height, Layering, Library, Source, SourceKind, SourceSettings};
pub use trailer::{SenderNumber, Trailer};

/// A video codec by its RTP payload format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// AOM "RTP Payload Format For AV1".
    Av1,
    /// RFC 6184, packetization mode 1.
    H264,
}

impl VideoCodec {
    /// All, as stock clients of 2026 prefer them.
    pub const ALL: [Self; 4] = [Self::Av1, Self::Vp9, Self::Vp8, Self::H264];

    /// The encoding name of SDP and Jingle, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::H264 => "h264",
        }
    }
}

/// What a stream is encoded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// Any video codec.
    Video(VideoCodec),
}

impl Codec {
    /// Units of the RTP timestamp a second.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Video(_) => 90_000,
        }
    }
}

/// Which of the layers that a source sends a packet belongs to. Audio is all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Layer {
    /// Encoding of a simulcast, in the order of its SSRCs: 0 is the smallest picture. At most 3.
    pub encoding: u8,
    /// Spatial layer of scalable video, at most 3.
    pub spatial: u8,
    /// Temporal layer, at most 7.
    pub temporal: u8,
}
