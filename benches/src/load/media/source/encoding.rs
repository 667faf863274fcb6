//! One encoding of a source: one RTP stream with its numbers.

use std::collections::VecDeque;

use bytes::Bytes;
use model::RtpTimestamp;
use rand::Rng;
use rand::rngs::SmallRng;
use rtp::AudioLevel;

use super::rhythm::{Beat, L1T1, L1T3};
use super::synthetic::{FrameSizes, audio_bytes, bitrate_of};
use super::{Height, Library, SourceKind, SourceSettings};
use crate::load::media::frame::{Frame, Pieces};
use crate::load::media::packetize::{Descriptor, OPUS_OVERHEAD, Vp8Frame};
use crate::load::media::{Codec, Layer, MediaTime, SenderNumber};

/// Config 15, hybrid full band in 20 ms, one channel (RFC 6716 §3.1): what libwebrtc makes of speech.
const OPUS_TOC: u8 = 0x78;

/// What all encodings of a capture share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    pub(super) captured: MediaTime,
    pub(super) audio_level: Option<AudioLevel>,
}

#[derive(Debug)]
pub(super) struct Encoding {
    index: u8,
    codec: Codec,
    height: u16,
    sizes: FrameSizes,
    rhythm: &'static [Beat],
    sender: SenderNumber,
    timestamp_offset: u32,
    is_active: bool,
    key_frame_wanted: bool,
    since_key: usize,
    picture_id: u64,
    tl0_pic_idx: u8,
}

/// The encodings of a source, the smallest first.
pub(super) fn encodings_of(settings: &SourceSettings, random: &mut SmallRng) -> Vec<Encoding> {
    let mut encoding = |index: usize, codec, height, mean_bytes, rhythm: &'static [Beat]| Encoding {
        index: index as u8,
        codec,
        height,
        sizes: FrameSizes {
            mean_bytes,
            temporal_layers: rhythm.iter().map(|beat| beat.temporal).max().map_or(1, |top| usize::from(top) + 1),
        },
        rhythm,
        sender: settings.sender,
        timestamp_offset: random.random(),
        is_active: true,
        key_frame_wanted: true,
        since_key: 0,
        picture_id: random.random_range(0..1 << 15),
        tl0_pic_idx: random.random(),
    };
    match settings.kind {
        SourceKind::Microphone => vec![encoding(0, Codec::Opus, 0, 0, &L1T1)],
        SourceKind::Camera { codec, height, layering: _ } => Height::ALL
            .into_iter()
            .filter(|smaller| *smaller <= height)
            .enumerate()
            .map(|(index, height)| {
                let mean_bytes = bitrate_of(height).bps() as usize / 8 / 30;
                encoding(index, Codec::Video(codec), height.lines(), mean_bytes, &L1T3)
            })
            .collect(),
        SourceKind::Screen { codec } => vec![encoding(0, Codec::Video(codec), 1080, 20_000, &L1T1)],
    }
}

impl Encoding {
    pub(super) const fn request_key_frame(&mut self) {
        self.key_frame_wanted = true;
    }

    pub(super) fn set_max_height(&mut self, max_height: Option<u16>) {
        let is_active = max_height.is_none_or(|max| max > 0 && max >= self.height);
        self.key_frame_wanted |= is_active && !self.is_active;
        self.is_active = is_active;
    }

    pub(super) const fn is_active(&self) -> bool {
        self.is_active
    }

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
        let frame = match capture.audio_level {
            Some(level) => self.audio(capture, level, library, random),
            None => self.video(capture, library, random),
        };
        frames.push_back(frame);
    }

    fn audio(&self, capture: Capture, level: AudioLevel, library: &Library, random: &mut SmallRng) -> Frame {
        let len = audio_bytes(level.voice_activity, random).saturating_sub(OPUS_OVERHEAD).max(1);
        let pieces = Pieces::synthetic(library.noise(len, random));
        self.frame(capture, Layer::default(), true, Descriptor::Opus { toc: OPUS_TOC }, pieces)
    }

    fn video(&mut self, capture: Capture, library: &Library, random: &mut SmallRng) -> Frame {
        let is_key = std::mem::take(&mut self.key_frame_wanted);
        if is_key {
            self.since_key = 0;
        }
        let beat = self
            .rhythm
            .get(self.since_key % self.rhythm.len().max(1))
            .copied()
            .unwrap_or(Beat { temporal: 0, is_layer_sync: false });
        self.since_key += 1;
        self.picture_id += 1;
        if beat.temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        let layer = Layer { encoding: self.index, spatial: 0, temporal: beat.temporal };
        let bytes: Bytes = library.noise(self.sizes.next(beat.temporal, is_key, random), random);
        let descriptor = Descriptor::Vp8(Vp8Frame {
            picture_id: self.picture_id,
            tl0_pic_idx: self.tl0_pic_idx,
            is_layer_sync: beat.is_layer_sync,
            is_non_reference: false,
            synthetic_width: Some(self.height / 9 * 16),
        });
        self.frame(capture, layer, is_key, descriptor, Pieces::synthetic(bytes))
    }

    fn frame(&self, capture: Capture, layer: Layer, is_key: bool, descriptor: Descriptor, pieces: Pieces) -> Frame {
        let units = u128::from(capture.captured.0) * u128::from(self.codec.clock_rate_hz()) / 1_000_000;
        Frame {
            layer,
            height: self.height,
            is_key,
            ends_picture: true,
            timestamp: RtpTimestamp((units as u32).wrapping_add(self.timestamp_offset)),
            captured: capture.captured,
            audio_level: capture.audio_level,
            sender: self.sender,
            descriptor,
            pieces,
        }
    }
}
