//! What clients send: VP8 simulcast with valid descriptors, other codecs in layers, and Opus with audio levels.

use std::collections::BTreeMap;

use rtp::AudioLevel;

use super::encoder::{Encoder, Made, Scheme};

/// A packet before it has extensions of its transport.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) ssrc: u32,
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) payload: Vec<u8>,
    pub(super) level: Option<AudioLevel>,
    pub(super) dependency_descriptor: Option<Vec<u8>>,
    pub(super) allocation: Option<Vec<u8>>,
}

pub(super) const OPUS: u8 = 111;
pub(super) const VP8: u8 = 100;
pub(super) const RTX: u8 = 96;
/// Payload types of video, each with that of its retransmissions and its name.
pub(super) const VIDEO: [(u8, u8, &str); 4] =
    [(VP8, RTX, "VP8"), (101, 97, "VP9"), (102, 98, "AV1"), (103, 99, "H264")];
/// SSRCs of retransmissions lie this far above those that they repeat.
pub(super) const RTX_OFFSET: u32 = 50;
/// Packets that a sender can repeat.
const MAX_SENT: usize = 1000;

/// A source of VP8 with one or more layers.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) name: String,
    pub(super) layers: Vec<Layer>,
    pub(super) is_on: bool,
    frames: u32,
}

/// One simulcast layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) ssrc: u32,
    pub(super) height: u16,
    pub(super) is_on: bool,
    pub(super) wants_key_frame: bool,
    pub(super) key_frames: usize,
    /// Packets of a frame.
    pub(super) packets: usize,
    /// Packets of a key frame for each of another frame.
    pub(super) key_frame_packets: usize,
    /// Bytes of picture in each packet, beside what the tests look at.
    pub(super) picture_len: usize,
    pub(super) next_seq: u64,
    next_rtx_seq: u64,
    pub(super) next_picture: u16,
    tl0: u8,
    clock_offset: u32,
    sent: BTreeMap<u64, Plain>,
    /// Makes the frames of any codec but plain VP8.
    encoder: Option<Encoder>,
}

impl Camera {
    /// `ssrc` is that of the lowest layer; the others follow it.
    pub(super) fn new(name: String, ssrc: u32, heights: &[u16]) -> Self {
        let layers = (ssrc..).zip(heights).zip(1..).map(|((ssrc, height), packets)| Layer {
            ssrc,
            height: *height,
            is_on: true,
            wants_key_frame: true,
            key_frames: 0,
            packets,
            key_frame_packets: 1,
            picture_len: 0,
            next_seq: u64::from(ssrc % 977) * 31,
            next_rtx_seq: u64::from(ssrc % 331),
            next_picture: (ssrc % 32_768) as u16,
            tl0: ssrc as u8,
            clock_offset: ssrc.wrapping_mul(2_654_435_761),
            sent: BTreeMap::new(),
            encoder: None,
        });
        Self { name, layers: layers.collect(), is_on: true, frames: 0 }
    }

    /// As [`new`](Self::new), of a scheme: the heights of the spatial layers of each encoding.
    pub(super) fn of_scheme(name: String, ssrc: u32, scheme: Scheme, encodings: &[&[u16]]) -> Self {
        let tops: Vec<u16> = encodings.iter().map(|heights| heights[heights.len() - 1]).collect();
        let mut camera = Self::new(name, ssrc, &tops);
        camera.encode(scheme, encodings, 0);
        camera
    }

    /// Encodes otherwise from the next frame on, under the same SSRCs; those that are not used any more stop. `first`
    /// numbers the first encoding.
    pub(super) fn encode(&mut self, scheme: Scheme, encodings: &[&[u16]], first: u8) {
        for layer in &mut self.layers {
            layer.is_on = false;
        }
        for ((layer, heights), encoding) in self.layers.iter_mut().zip(encodings).zip(first..) {
            let encoder = Encoder::new(scheme, encoding, heights);
            layer.encoder = Some(match &layer.encoder {
                Some(before) => encoder.following(before),
                None => encoder,
            });
            (layer.is_on, layer.wants_key_frame) = (true, true);
        }
    }

    /// The packets of the next frame of all layers.
    pub(super) fn next_frame(&mut self, ms: u64) -> Vec<Plain> {
        if !self.is_on {
            return Vec::new();
        }
        self.frames += 1;
        let frame = self.frames;
        let layers = self.layers.iter_mut().filter(|layer| layer.is_on);
        layers.flat_map(|layer| layer.next_frame(frame, ms)).collect()
    }

    pub(super) fn layer_mut(&mut self, ssrc: u32) -> Option<&mut Layer> {
        self.layers.iter_mut().find(|layer| layer.ssrc == ssrc)
    }
}

impl Layer {
    fn next_frame(&mut self, frame: u32, ms: u64) -> Vec<Plain> {
        let is_key = std::mem::take(&mut self.wants_key_frame);
        self.key_frames += usize::from(is_key);
        if let Some(encoder) = &mut self.encoder {
            let made = encoder.next_picture(is_key);
            let payload_type = encoder.payload_type();
            return self.send(made, payload_type, ms);
        }
        // L1T3: 0 2 1 2.
        let temporal = if is_key { 0 } else { [0, 2, 1, 2][frame as usize % 4] };
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let packets = if is_key { self.packets * self.key_frame_packets } else { self.packets };
        let picture = self.next_picture;
        self.next_picture = (picture + 1) & 0x7fff;
        let timestamp = self.clock_offset.wrapping_add((ms * 90) as u32);
        let made = (0..packets).map(|at| {
            let is_first = at == 0;
            let [high, low] = picture.to_be_bytes();
            let mut payload = vec![0x80 | u8::from(is_first) << 4, 0xe0, 0x80 | high, low, self.tl0, temporal << 6];
            match (is_first, is_key) {
                (true, true) => {
                    payload.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a]);
                    payload.extend((self.height / 9 * 16).to_le_bytes());
                    payload.extend(self.height.to_le_bytes());
                }
                (true, false) => payload.extend([0x11, 0, 0]),
                (false, _) => {}
            }
            let seq = self.next_seq;
            self.next_seq += 1;
            payload.resize(payload.len() + self.picture_len, 0x5a);
            payload.extend(body(self.ssrc, seq));
            let marker = at + 1 == packets;
            plain(self.ssrc, seq, timestamp, VP8, marker, payload)
        });
        let made: Vec<_> = made.collect();
        self.remember(&made);
        made
    }

    fn send(&mut self, made: Vec<Made>, payload_type: u8, ms: u64) -> Vec<Plain> {
        let timestamp = self.timestamp(ms);
        let sent: Vec<Plain> = (self.next_seq..)
            .zip(made)
            .map(|(seq, made)| {
                let mut payload = made.payload;
                let tail = payload.split_off(payload.len() - ORIGIN_LEN);
                payload.resize(payload.len() + self.picture_len, 0x5a);
                payload.extend(tail);
                let origin = payload.len() - ORIGIN_LEN;
                payload[origin..origin + 12].copy_from_slice(&body(self.ssrc, seq)[..12]);
                let dependency_descriptor = made.dependency_descriptor;
                let packet = plain(self.ssrc, seq, timestamp, payload_type, made.marker, payload);
                Plain { dependency_descriptor, ..packet }
            })
            .collect();
        self.next_seq += sent.len() as u64;
        self.remember(&sent);
        sent
    }

    fn remember(&mut self, made: &[Plain]) {
        for packet in made {
            self.sent.insert(packet.seq, packet.clone());
            if self.sent.len() > MAX_SENT {
                self.sent.pop_first();
            }
        }
    }

    /// The packet that a NACK asks for, as RTX.
    pub(super) fn repeat(&mut self, seq: u16) -> Option<Plain> {
        let (_, original) = self.sent.iter().rev().find(|(sent, _)| **sent as u16 == seq)?;
        let (_, repeats, _) = *VIDEO.iter().find(|(video, ..)| *video == original.payload_type)?;
        let mut payload = seq.to_be_bytes().to_vec();
        payload.extend(&original.payload);
        let rtx = Plain {
            ssrc: self.ssrc + RTX_OFFSET,
            seq: self.next_rtx_seq,
            payload_type: repeats,
            payload,
            ..original.clone()
        };
        self.next_rtx_seq += 1;
        Some(rtx)
    }

    /// A packet of nothing but padding, as encoders send to probe.
    pub(super) fn padding(&mut self, ms: u64) -> Plain {
        let seq = self.next_seq;
        self.next_seq += 1;
        let timestamp = self.clock_offset.wrapping_add((ms * 90) as u32);
        plain(self.ssrc, seq, timestamp, VP8, false, Vec::new())
    }

    /// Its media time at `ms`.
    pub(super) fn timestamp(&self, ms: u64) -> u32 {
        self.clock_offset.wrapping_add((ms * 90) as u32)
    }
}

/// A source of Opus.
#[derive(Debug)]
pub(super) struct Microphone {
    pub(super) ssrc: u32,
    pub(super) is_on: bool,
    /// As RFC 6464 has it: 0 is loud, 127 silent.
    pub(super) level: u8,
    pub(super) next_seq: u64,
}

impl Microphone {
    pub(super) fn next_packet(&mut self, ms: u64) -> Option<Plain> {
        if !self.is_on {
            return None;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let level = Some(AudioLevel { voice_activity: self.level < 60, level: self.level });
        let payload = body(self.ssrc, seq);
        let timestamp = self.timestamp(ms);
        Some(Plain { level, ..plain(self.ssrc, seq, timestamp, OPUS, false, payload) })
    }

    pub(super) fn timestamp(&self, ms: u64) -> u32 {
        self.ssrc.wrapping_mul(77).wrapping_add((ms * 48) as u32)
    }
}

/// A packet without extensions.
pub(super) const fn plain(
    ssrc: u32,
    seq: u64,
    timestamp: u32,
    payload_type: u8,
    marker: bool,
    payload: Vec<u8>,
) -> Plain {
    let (level, dependency_descriptor, allocation) = (None, None, None);
    Plain { ssrc, seq, timestamp, payload_type, marker, payload, level, dependency_descriptor, allocation }
}

/// Bytes at the end of a payload that begin with where it came from.
const ORIGIN_LEN: usize = 60;

/// Tells where a payload came from, so that receivers can check that it came whole.
fn body(ssrc: u32, seq: u64) -> Vec<u8> {
    let mut body = ssrc.to_be_bytes().to_vec();
    body.extend(seq.to_be_bytes());
    body.extend([0x5a; 48]);
    body
}

/// Stream and number in which a payload was first sent.
pub(super) fn origin(payload: &[u8]) -> (u32, u64) {
    let tail = payload.len() - ORIGIN_LEN;
    let ssrc = u32::from_be_bytes(payload[tail..tail + 4].try_into().unwrap());
    (ssrc, u64::from_be_bytes(payload[tail + 4..tail + 12].try_into().unwrap()))
}
