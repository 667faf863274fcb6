//! The bytes of the packets that participants send, before encryption.
//!
//! Every payload ends in the time at which the packet left, so that the sink can tell how long it was on its way.

use model::{ExtSeqNum, PayloadType, RtpTimestamp, Ssrc, TwccSeq};
use rtp::{AudioLevel, BufferTooSmall, ExtensionId, OutgoingExtensions, OutgoingHeader};

use crate::traffic::Kind;

pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 100;
pub(crate) const RTX: u8 = 96;
/// Identifiers of header extensions, as the focus offers them.
pub(crate) const AUDIO_LEVEL_ID: u8 = 1;
pub(crate) const TWCC_ID: u8 = 5;
/// Streams to the ideal loop have the top bit of their SSRC set: the keys are those of the streams to the bridge, and no
/// number may come twice under a key.
pub(crate) const IDEAL_SSRC_BIT: u32 = 0x8000_0000;
/// SSRCs begin here; each participant has [`SSRCS_PER_PARTICIPANT`].
const FIRST_SSRC: u32 = 0x0010_0000;
const SSRCS_PER_PARTICIPANT: u32 = 4;
/// Bytes of the time at the end of a payload.
const TIME_LEN: usize = 8;
/// Lines of the picture that key frames tell.
const PICTURE_HEIGHT: u16 = 720;

/// The SSRC of a participant's stream.
pub(crate) fn ssrc_of(participant: usize, kind: Kind) -> Ssrc {
    let at = match kind {
        Kind::Audio => 0,
        Kind::Video => 1,
    };
    Ssrc(FIRST_SSRC + participant as u32 * SSRCS_PER_PARTICIPANT + at)
}

/// The SSRC of retransmissions of a participant's video.
pub(crate) fn rtx_ssrc_of(participant: usize) -> Ssrc {
    Ssrc(ssrc_of(participant, Kind::Video).0 + 1)
}

/// Whose stream it is, to either server; `None` for retransmissions and strangers.
pub(crate) fn stream_of(ssrc: Ssrc) -> Option<(usize, Kind)> {
    let at = (ssrc.0 & !IDEAL_SSRC_BIT).checked_sub(FIRST_SSRC)?;
    let kind = match at % SSRCS_PER_PARTICIPANT {
        0 => Kind::Audio,
        1 => Kind::Video,
        _ => return None,
    };
    Some((usize::try_from(at / SSRCS_PER_PARTICIPANT).ok()?, kind))
}

/// What a header needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) marker: bool,
    /// `None` where transport-wide feedback was not negotiated.
    pub(crate) twcc: Option<TwccSeq>,
}

/// Writes the header of a packet of Opus or VP8; answers its length.
pub(crate) fn write_header(kind: Kind, numbers: &Numbers, dest: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let id = |id| ExtensionId::try_from(id).ok();
    let (number, audio_level) = match kind {
        Kind::Audio => (OPUS, id(AUDIO_LEVEL_ID).map(|id| (id, AudioLevel { voice_activity: true, level: 40 }))),
        Kind::Video => (VP8, None),
    };
    let header = OutgoingHeader {
        marker: numbers.marker,
        payload_type: PayloadType::from_low_bits(number),
        seq: numbers.seq.wire(),
        timestamp: numbers.timestamp,
        ssrc: numbers.ssrc,
        extensions: OutgoingExtensions {
            audio_level,
            transport_seq: id(TWCC_ID).zip(numbers.twcc),
            ..OutgoingExtensions::default()
        },
    };
    header.write_to(dest).map(|written| written.len)
}

/// One frame of VP8 with temporal layers as L1T3 (RFC 7741).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vp8Frame {
    pub(crate) picture_id: u16,
    pub(crate) tl0_pic_idx: u8,
    pub(crate) temporal_layer: u8,
    pub(crate) is_key: bool,
}

impl Vp8Frame {
    /// Writes descriptor and payload header over the start of a packet's payload.
    pub(crate) fn write_over(&self, payload: &mut [u8], is_first: bool) {
        let [high, low] = (self.picture_id & 0x7fff).to_be_bytes();
        // X; S of the first packet; I, L, T; a picture id of 15 bits.
        let descriptor =
            [0x80 | u8::from(is_first) << 4, 0xe0, 0x80 | high, low, self.tl0_pic_idx, self.temporal_layer << 6];
        put(payload, 0, &descriptor);
        if is_first && self.is_key {
            put(payload, 6, &[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
            put(payload, 12, &(PICTURE_HEIGHT / 9 * 16).to_le_bytes());
            put(payload, 14, &PICTURE_HEIGHT.to_le_bytes());
        } else if is_first {
            put(payload, 6, &[0x11, 0, 0]);
        }
    }
}

/// Writes the time, in nanoseconds of the wall clock, over the end of a payload.
pub(crate) fn write_time(payload: &mut [u8], nanoseconds: u64) {
    if let Some(place) = payload.last_chunk_mut::<TIME_LEN>() {
        *place = nanoseconds.to_be_bytes();
    }
}

/// The time at the end of a plain packet.
pub(crate) fn read_time(packet: &[u8]) -> Option<u64> {
    packet.last_chunk::<TIME_LEN>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn put(payload: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = payload.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codecs::Vp8Descriptor;
    use rtp::RtpView;

    #[test]
    fn ssrcs_tell_the_stream_of_either_server() {
        for kind in [Kind::Audio, Kind::Video] {
            let ssrc = ssrc_of(77, kind);
            assert_eq!(stream_of(ssrc), Some((77, kind)));
            assert_eq!(stream_of(Ssrc(ssrc.0 | IDEAL_SSRC_BIT)), Some((77, kind)));
        }
        assert_eq!(stream_of(rtx_ssrc_of(77)), None);
        assert_eq!(stream_of(Ssrc(1)), None);
    }

    #[test]
    fn frames_begin_with_a_valid_descriptor_and_end_with_the_time() {
        for is_key in [true, false] {
            let frame = Vp8Frame { picture_id: 0x1234, tl0_pic_idx: 7, temporal_layer: 2, is_key };
            let mut payload = vec![0x5a; 400];
            frame.write_over(&mut payload, true);
            write_time(&mut payload, 42);
            let descriptor = Vp8Descriptor::parse(&payload).unwrap();
            assert!(descriptor.is_frame_start());
            assert_eq!(descriptor.is_key_frame_start, is_key);
            assert_eq!(descriptor.resolution.map(|resolution| resolution.height), is_key.then_some(720));
            assert_eq!(read_time(&payload), Some(42));
        }
    }

    #[test]
    fn headers_carry_level_and_transport_number() {
        let numbers = Numbers {
            ssrc: Ssrc(1),
            seq: ExtSeqNum(65_537),
            timestamp: RtpTimestamp(9),
            marker: true,
            twcc: Some(TwccSeq(5)),
        };
        let mut bytes = [0; 64];
        for (kind, elements) in [(Kind::Audio, 2), (Kind::Video, 1)] {
            let len = write_header(kind, &numbers, &mut bytes).unwrap();
            let view = RtpView::parse(&bytes[..len]).unwrap();
            assert_eq!((view.seq().0, view.header_len()), (1, len));
            assert_eq!(view.extensions().count(), elements);
        }
    }
}
