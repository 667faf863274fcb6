//! Payloads back to frames, as a receiver does it; not for hostile input.

use benches::load::media::{Codec, VideoCodec};
use codecs::{Av1Payload, Vp8Descriptor, Vp9Descriptor};

/// A payload and what its header would say.
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) marker: bool,
    pub(crate) is_last: bool,
    pub(crate) dependency_descriptor: Option<Vec<u8>>,
}

/// Puts one frame together, as its decoder takes it.
pub(crate) struct Depacketizer {
    codec: Codec,
    frame: Vec<u8>,
    /// An OBU or NAL unit that goes on in the next packet.
    unit: Vec<u8>,
}

impl Depacketizer {
    pub(crate) fn new(codec: Codec) -> Self {
        // AV1 bitstream specification §7.5: a temporal unit begins with a delimiter.
        let frame = if codec == Codec::Video(VideoCodec::Av1) { vec![0x12, 0] } else { Vec::new() };
        Self { codec, frame, unit: Vec::new() }
    }

    pub(crate) fn push(&mut self, payload: &[u8]) {
        match self.codec {
            Codec::Opus => self.frame.extend_from_slice(payload),
            Codec::Video(VideoCodec::Vp8) => {
                let len = Vp8Descriptor::parse(payload).unwrap().len();
                self.frame.extend_from_slice(&payload[len..]);
            }
            Codec::Video(VideoCodec::Vp9) => {
                let len = Vp9Descriptor::parse(payload).unwrap().len();
                self.frame.extend_from_slice(&payload[len..]);
            }
            Codec::Video(VideoCodec::Av1) => self.push_av1(payload),
            Codec::Video(VideoCodec::H264) => self.push_h264(payload),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        assert!(self.unit.is_empty(), "the last packet ends inside a unit");
        self.frame
    }

    fn push_av1(&mut self, payload: &[u8]) {
        for element in Av1Payload::parse(payload).unwrap().elements() {
            let element = element.unwrap();
            assert_eq!(element.continues_obu, !self.unit.is_empty());
            self.unit.extend_from_slice(element.bytes);
            if !element.goes_on {
                let obu = std::mem::take(&mut self.unit);
                // With `obu_has_size_field` and size, which the headers of these OBUs are one byte in front of.
                assert_eq!(obu[0] & 0x06, 0);
                self.frame.push(obu[0] | 0x02);
                let mut size = obu.len() - 1;
                while size >= 0x80 {
                    self.frame.push(0x80 | size as u8);
                    size >>= 7;
                }
                self.frame.push(size as u8);
                self.frame.extend_from_slice(&obu[1..]);
            }
        }
    }

    fn push_h264(&mut self, payload: &[u8]) {
        match payload[0] & 0x1f {
            24 => {
                let mut left = &payload[1..];
                while let [high, low, rest @ ..] = left {
                    let (unit, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                    self.push_nal_unit(unit);
                    left = rest;
                }
            }
            28 => {
                let (indicator, head) = (payload[0], payload[1]);
                if head & 0x80 != 0 {
                    assert!(self.unit.is_empty());
                    self.unit.push(indicator & 0xe0 | head & 0x1f);
                }
                self.unit.extend_from_slice(&payload[2..]);
                if head & 0x40 != 0 {
                    let unit = std::mem::take(&mut self.unit);
                    self.push_nal_unit(&unit);
                }
            }
            _ => self.push_nal_unit(payload),
        }
    }

    fn push_nal_unit(&mut self, unit: &[u8]) {
        self.frame.extend_from_slice(&[0, 0, 0, 1]);
        self.frame.extend_from_slice(unit);
    }
}
