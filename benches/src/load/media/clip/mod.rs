//! Clips: short loops of encoded media, which `benches/clips/make` made and which are part of the binary.
//!
//! A clip is cut into pieces of packets once, when it is read; all sources share them. Not here: descriptors with the numbers
//! of a sender (`packetize`).

mod annex_b;
mod cut;
mod ivf;
mod ogg;

use std::sync::Arc;

use bytes::Bytes;

use super::{Codec, VideoCodec};

/// Frames of a clip are at most this long: more than a key frame of 1080p takes.
const MAX_FRAME_LEN: usize = 1 << 20;

/// A clip that cannot be read: the file was damaged, or made with another encoder than the script's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The container ends inside a header or a frame, or is not the one that its name says.
    #[error("clip is no {0} file, or ends inside a frame")]
    Container(&'static str),
    /// A frame has no bytes or too many.
    #[error("clip has a frame of {0} bytes")]
    FrameLength(usize),
    /// The first frame is no key frame, so that the loop cannot restart.
    #[error("clip does not begin with a key frame")]
    NoKeyFrame,
    /// The frame is no valid one of its codec.
    #[error("clip has a frame that is not valid: {0}")]
    Frame(&'static str),
}

/// A frame, cut into the constant parts of its packets.
#[derive(Clone, Debug)]
pub(super) struct ClipFrame {
    pub(super) pieces: Arc<[Bytes]>,
    /// Bytes of the frame as its decoder takes it.
    pub(super) len: usize,
    /// First byte of an Opus packet; 0 of others.
    pub(super) toc: u8,
}

/// A loop that begins with its only key frame.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) codec: Codec,
    /// Lines of the picture; 0 for audio.
    pub(super) height: u16,
    /// At least one.
    pub(super) frames: Vec<ClipFrame>,
}

impl Clip {
    /// Reads a file of `benches/clips`.
    pub(super) fn parse(codec: Codec, height: u16, file: &'static [u8]) -> Result<Self, ClipError> {
        let file = Bytes::from_static(file);
        let frames = match codec {
            Codec::Opus => ogg::packets(&file)?,
            Codec::Video(VideoCodec::H264) => annex_b::access_units(&file)?,
            Codec::Video(VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1) => ivf::frames(&file)?,
        };
        if let Some(len) = frames.iter().map(Bytes::len).find(|len| *len == 0 || *len > MAX_FRAME_LEN) {
            return Err(ClipError::FrameLength(len));
        }
        let starts_with_key = frames.first().is_some_and(|first| cut::is_key_frame(codec, first));
        if !starts_with_key {
            return Err(ClipError::NoKeyFrame);
        }
        let frames = frames.iter().map(|frame| cut::cut(codec, frame)).collect::<Result<_, _>>()?;
        Ok(Self { codec, height, frames })
    }
}

/// The clips, one for each codec and size.
macro_rules! clip_files {
    ($(($codec:expr, $height:literal, $file:literal)),* $(,)?) => {
        [$(($codec, $height, include_bytes!(concat!("../../../../clips/", $file)).as_slice())),*]
    };
}

const FILES: [(Codec, u16, &[u8]); 13] = clip_files![
    (Codec::Opus, 0, "opus.ogg"),
    (Codec::Video(VideoCodec::Vp8), 180, "vp8-180.ivf"),
    (Codec::Video(VideoCodec::Vp8), 360, "vp8-360.ivf"),
    (Codec::Video(VideoCodec::Vp8), 720, "vp8-720.ivf"),
    (Codec::Video(VideoCodec::Vp9), 180, "vp9-180.ivf"),
    (Codec::Video(VideoCodec::Vp9), 360, "vp9-360.ivf"),
    (Codec::Video(VideoCodec::Vp9), 720, "vp9-720.ivf"),
    (Codec::Video(VideoCodec::Av1), 180, "av1-180.ivf"),
    (Codec::Video(VideoCodec::Av1), 360, "av1-360.ivf"),
    (Codec::Video(VideoCodec::Av1), 720, "av1-720.ivf"),
    (Codec::Video(VideoCodec::H264), 180, "h264-180.h264"),
    (Codec::Video(VideoCodec::H264), 360, "h264-360.h264"),
    (Codec::Video(VideoCodec::H264), 720, "h264-720.h264"),
];

/// All clips that are part of the binary.
pub(super) fn embedded() -> Result<Vec<Arc<Clip>>, ClipError> {
    FILES.into_iter().map(|(codec, height, file)| Clip::parse(codec, height, file).map(Arc::new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_embedded_clips_are_two_seconds() {
        for clip in embedded().unwrap() {
            // The last packet of Opus holds what the encoder looks ahead.
            let expected = if clip.codec == Codec::Opus { 101 } else { 60 };
            assert_eq!(clip.frames.len(), expected, "{:?} {}", clip.codec, clip.height);
            assert!(clip.frames.iter().all(|frame| !frame.pieces.is_empty() && frame.len > 0));
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        for (codec, height, file) in FILES {
            for damaged in [&file[..0], &file[..20], &file[..file.len() / 2 + 1], &[0; 64]] {
                // Annex B has no lengths, so that a cut file only has a shorter last frame.
                let may_parse = codec == Codec::Video(VideoCodec::H264) && damaged.len() > 64;
                assert!(Clip::parse(codec, height, damaged).is_err() || may_parse, "{codec:?} {}", damaged.len());
            }
        }
    }
}
