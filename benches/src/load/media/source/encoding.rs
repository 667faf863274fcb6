//! One encoding of a source: one RTP stream with its numbers, and the spatial layers in it.

use std::collections::VecDeque;
use std::sync::Arc;

use codecs::Resolution;
use model::RtpTimestamp;
use rand::Rng;
use rand::rngs::SmallRng;
use rtp::AudioLevel;

use super::rhythm::Beat;
use super::synthetic::{FrameSizes, audio_bytes};
use super::{Height, Library};
use crate::load::media::clip::{Clip, ClipFrame};
use crate::load::media::frame::{Frame, Pieces};
use crate::load::media::packetize::{
    Av1Content, Av1Frame, Descriptor, H264Frame, OPUS_OVERHEAD, Phase, ScalableStructure, Vp8Frame, Vp9Frame,
};
use crate::load::media::{Codec, Layer, MediaTime, SenderNumber, VideoCodec};

/// Config 15, hybrid full band in 20 ms, one channel (RFC 6716 §3.1): what libwebrtc makes of speech.
const OPUS_TOC: u8 = 0x78;

/// Timestamps, picture ids and frame numbers start so near to their wrap that each run has it, instead of one in many: after
/// at most so many seconds or pictures.
const WRAP_WITHIN_SECONDS: u32 = 10;
const WRAP_WITHIN_PICTURES: u64 = 300;

/// What all encodings of a capture share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    pub(super) captured: MediaTime,
    pub(super) audio_level: Option<AudioLevel>,
}

/// What the frames of an encoding consist of.
#[derive(Debug)]
enum Media {
    Clip {
        clip: Arc<Clip>,
        /// The next frame.
        at: usize,
    },
    Synthetic,
}

/// A spatial layer of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpatialLayer {
    pub(super) resolution: Resolution,
    pub(super) sizes: FrameSizes,
}

impl SpatialLayer {
    pub(super) fn camera(height: Height, temporal_layers: usize) -> Self {
        let resolution = Resolution { width: height.width(), height: height.lines() };
        Self { resolution, sizes: FrameSizes::camera(height, temporal_layers) }
    }

    pub(super) const fn screen(temporal_layers: usize) -> Self {
        let resolution = Resolution { width: 1920, height: 1080 };
        Self { resolution, sizes: FrameSizes::screen(temporal_layers) }
    }
}

/// How an encoding is made.
#[derive(Debug)]
pub(super) struct EncodingPlan {
    pub(super) codec: Codec,
    /// The smallest first; none for audio.
    pub(super) layers: Vec<SpatialLayer>,
    /// Temporal layers, frame by frame; not empty.
    pub(super) rhythm: &'static [Beat],
    pub(super) clip: Option<Arc<Clip>>,
}

#[derive(Debug)]
pub(super) struct Encoding {
    index: u8,
    codec: Codec,
    sender: SenderNumber,
    timestamp_offset: u32,
    layers: Vec<SpatialLayer>,
    /// How many of the layers are sent, from the smallest on.
    active_layers: usize,
    is_active: bool,
    rhythm: &'static [Beat],
    media: Media,
    /// Of VP9 and AV1, for the layers that are sent.
    structure: Option<Arc<ScalableStructure>>,
    key_frame_wanted: bool,
    pictures_since_key: usize,
    picture_id: u64,
    frame_number: u64,
    tl0_pic_idx: u8,
}

impl Encoding {
    pub(super) fn new(
        index: u8,
        plan: EncodingPlan,
        sender: SenderNumber,
        now: MediaTime,
        random: &mut SmallRng,
    ) -> Self {
        let first_timestamp = u32::MAX - random.random_range(0..WRAP_WITHIN_SECONDS * plan.codec.clock_rate_hz());
        let mut encoding = Self {
            index,
            codec: plan.codec,
            sender,
            timestamp_offset: first_timestamp.wrapping_sub(clock_units(now, plan.codec)),
            active_layers: plan.layers.len(),
            is_active: true,
            layers: plan.layers,
            rhythm: plan.rhythm,
            media: plan.clip.map_or(Media::Synthetic, |clip| Media::Clip { clip, at: 0 }),
            structure: None,
            key_frame_wanted: true,
            pictures_since_key: 0,
            picture_id: (1 << 15) - random.random_range(0..WRAP_WITHIN_PICTURES),
            frame_number: (1 << 16) - random.random_range(0..WRAP_WITHIN_PICTURES),
            tl0_pic_idx: random.random(),
        };
        encoding.restructure();
        encoding
    }

    pub(super) const fn request_key_frame(&mut self) {
        self.key_frame_wanted = true;
    }

    /// Layers higher than so many lines stay away; with the lowest of them all.
    pub(super) fn set_max_height(&mut self, max_height: Option<u16>) {
        let fits = |layer: &SpatialLayer| max_height.is_none_or(|max| layer.resolution.height <= max);
        let layers = self.layers.iter().take_while(|layer| fits(layer)).count();
        // Audio has no layers.
        let is_active = layers > 0 || self.layers.is_empty();
        if is_active && (!self.is_active || layers != self.active_layers) {
            self.active_layers = layers;
            self.key_frame_wanted = true;
            self.restructure();
        }
        self.is_active = is_active;
    }

    pub(super) const fn is_active(&self) -> bool {
        self.is_active
    }

    /// The frames of one capture, that of the lowest spatial layer first.
    pub(super) fn capture(
        &mut self,
        capture: Capture,
        library: &Library,
        random: &mut SmallRng,
        frames: &mut VecDeque<Frame>,
    ) {
        if !self.is_active {
            return;
        }
        match (capture.audio_level, self.codec) {
            (Some(level), _) => {
                let frame = self.audio(capture, level, library, random);
                frames.push_back(frame);
            }
            (None, Codec::Video(codec)) => self.video(codec, capture, library, random, frames),
            (None, Codec::Opus) => {}
        }
    }

    fn audio(&mut self, capture: Capture, level: AudioLevel, library: &Library, random: &mut SmallRng) -> Frame {
        let (toc, pieces) = match self.next_of_clip() {
            Some(frame) => (frame.toc, Pieces::Cut(frame.pieces)),
            None => {
                let len = audio_bytes(level.voice_activity, random).saturating_sub(OPUS_OVERHEAD).max(1);
                (OPUS_TOC, Pieces::synthetic(library.noise(len, random)))
            }
        };
        self.frame(
            capture,
            FrameOf { layer: Layer::default(), height: 0, is_key: true, ends_picture: true },
            Descriptor::Opus { toc },
            pieces,
        )
    }

    fn video(
        &mut self,
        codec: VideoCodec,
        capture: Capture,
        library: &Library,
        random: &mut SmallRng,
        frames: &mut VecDeque<Frame>,
    ) {
        let is_key = self.next_is_key();
        if is_key {
            self.pictures_since_key = 0;
        }
        let place = self.pictures_since_key % self.rhythm.len().max(1);
        let beat = self.rhythm.get(place).copied().unwrap_or_default();
        self.pictures_since_key += 1;
        self.picture_id += 1;
        if beat.temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        let phase = if is_key { Phase::Key } else { Phase::Delta(place as u8) };
        let clip_frame = self.next_of_clip();
        for spatial in 0..self.active_layers {
            let Some(SpatialLayer { resolution, sizes }) = self.layers.get(spatial).copied() else { break };
            self.frame_number += 1;
            let descriptor = self.descriptor(codec, beat, phase, resolution, clip_frame.as_ref());
            let needs_no_other = is_key && spatial == 0;
            let pieces = match (&clip_frame, &descriptor) {
                (Some(frame), _) => Pieces::Cut(Arc::clone(&frame.pieces)),
                (None, descriptor) => {
                    let noise = library.noise(sizes.next(beat.temporal, is_key, random), random);
                    let pieces = Pieces::synthetic(noise);
                    if is_key && matches!(descriptor, Descriptor::H264(_)) { pieces.with_lead() } else { pieces }
                }
            };
            let of = FrameOf {
                layer: Layer { encoding: self.index, spatial: spatial as u8, temporal: beat.temporal },
                height: resolution.height,
                is_key: needs_no_other,
                ends_picture: spatial + 1 == self.active_layers,
            };
            frames.push_back(self.frame(capture, of, descriptor, pieces));
        }
    }

    fn descriptor(
        &self,
        codec: VideoCodec,
        beat: Beat,
        phase: Phase,
        resolution: Resolution,
        clip_frame: Option<&ClipFrame>,
    ) -> Descriptor {
        let (picture_id, tl0_pic_idx) = (self.picture_id, self.tl0_pic_idx);
        match (codec, &self.structure) {
            (VideoCodec::Vp9, Some(structure)) => Descriptor::Vp9(Vp9Frame {
                picture_id,
                tl0_pic_idx,
                phase,
                structure: Arc::clone(structure),
                clip_frame_len: clip_frame.map(|frame| frame.len),
            }),
            (VideoCodec::Av1, Some(structure)) => Descriptor::Av1(Av1Frame {
                frame_number: self.frame_number,
                phase,
                structure: Arc::clone(structure),
                content: if clip_frame.is_some() { Av1Content::Clip } else { Av1Content::Synthetic },
            }),
            (VideoCodec::H264, _) => {
                Descriptor::H264(if clip_frame.is_some() { H264Frame::Clip } else { H264Frame::Synthetic })
            }
            (VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1, _) => Descriptor::Vp8(Vp8Frame {
                picture_id,
                tl0_pic_idx,
                is_layer_sync: beat.is_layer_sync,
                synthetic_width: if clip_frame.is_some() { None } else { Some(resolution.width) },
            }),
        }
    }

    /// Whether the next picture begins anew: on request, and where a clip does.
    fn next_is_key(&mut self) -> bool {
        let wanted = std::mem::take(&mut self.key_frame_wanted);
        match &mut self.media {
            Media::Synthetic => wanted,
            Media::Clip { at, .. } => {
                if wanted {
                    *at = 0;
                }
                *at == 0
            }
        }
    }

    fn next_of_clip(&mut self) -> Option<ClipFrame> {
        let Media::Clip { clip, at } = &mut self.media else { return None };
        let frame = clip.frames.get(*at).cloned();
        *at = (*at + 1) % clip.frames.len().max(1);
        frame
    }

    fn restructure(&mut self) {
        if let Codec::Video(VideoCodec::Vp9 | VideoCodec::Av1) = self.codec {
            let resolutions = self.layers.iter().take(self.active_layers).map(|layer| layer.resolution).collect();
            let has_temporal_layers = self.rhythm.len() > 1;
            // Up to three layers of such sizes are always a structure.
            let before = self.structure.as_deref();
            self.structure = ScalableStructure::new(resolutions, has_temporal_layers, before).ok().map(Arc::new);
        }
    }

    fn frame(&self, capture: Capture, of: FrameOf, descriptor: Descriptor, pieces: Pieces) -> Frame {
        Frame {
            layer: of.layer,
            height: of.height,
            is_key: of.is_key,
            ends_picture: of.ends_picture,
            timestamp: RtpTimestamp(clock_units(capture.captured, self.codec).wrapping_add(self.timestamp_offset)),
            captured: capture.captured,
            audio_level: capture.audio_level,
            sender: self.sender,
            descriptor,
            pieces,
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug)]
struct FrameOf {
    layer: Layer,
    height: u16,
    is_key: bool,
    ends_picture: bool,
}

/// A time in units of the codec's clock, as many bits as a timestamp has.
fn clock_units(time: MediaTime, codec: Codec) -> u32 {
    (u128::from(time.0) * u128::from(codec.clock_rate_hz()) / 1_000_000) as u32
}
