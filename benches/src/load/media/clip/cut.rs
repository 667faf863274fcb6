//! Frames into the constant parts of their packets, codec by codec.

use bytes::{BufMut, Bytes, BytesMut};
use codecs::{ObuHeader, ObuType};

use super::{ClipError, ClipFrame, annex_b};
use crate::load::media::frame::MAX_PIECE_LEN;
use crate::load::media::packetize::{AV1_TRAILER_LEAD, put_leb128};
use crate::load::media::trailer::TRAILER_LEN;
use crate::load::media::{Codec, VideoCodec};

/// Bytes in front of each unit of an aggregate (RFC 6184 §5.7.1).
const STAP_LEN: usize = 2;
/// Indicator and header of a fragment (RFC 6184 §5.8).
const FU_LEN: usize = 2;

/// Whether a frame begins a sequence.
pub(super) fn is_key_frame(codec: Codec, frame: &Bytes) -> bool {
    match codec {
        Codec::Opus => true,
        // RFC 6386 §9.1.
        Codec::Video(VideoCodec::Vp8) => frame.first().is_some_and(|first| first & 1 == 0),
        // VP9 bitstream specification §6.2: marker, profile 0, shown anew, key frame.
        Codec::Video(VideoCodec::Vp9) => frame.first().is_some_and(|first| first & 0xfc == 0x80),
        Codec::Video(VideoCodec::Av1) => {
            obus(frame).is_ok_and(|obus| obus.first().is_some_and(|obu| obu_type(obu) == Some(ObuType::SequenceHeader)))
        }
        Codec::Video(VideoCodec::H264) => {
            annex_b::nal_units(frame).last().and_then(|unit| unit.first().copied()).is_some_and(|head| head & 0x1f == 5)
        }
    }
}

/// Cuts a frame.
pub(super) fn cut(codec: Codec, frame: &Bytes) -> Result<ClipFrame, ClipError> {
    let pieces = match codec {
        Codec::Opus => return opus(frame),
        Codec::Video(VideoCodec::Vp8 | VideoCodec::Vp9) => about_equal(frame).collect(),
        Codec::Video(VideoCodec::Av1) => av1(frame)?,
        Codec::Video(VideoCodec::H264) => h264(frame),
    };
    Ok(ClipFrame { pieces: Vec::into(pieces), len: frame.len(), toc: 0 })
}

/// Only packets of one frame (RFC 6716 §3.2.2, code 0) can be given padding by another first byte.
fn opus(packet: &Bytes) -> Result<ClipFrame, ClipError> {
    let toc = packet.first().copied().unwrap_or_default();
    if toc & 3 != 0 || packet.len() < 2 {
        return Err(ClipError::Frame("an Opus packet is not of code 0"));
    }
    Ok(ClipFrame { pieces: vec![packet.slice(1..)].into(), len: packet.len(), toc })
}

/// As few pieces as possible, of which the larger come last.
fn about_equal(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let count = bytes.len().div_ceil(MAX_PIECE_LEN).max(1);
    let mut left = bytes.clone();
    (0..count).map(move |at| left.split_to(left.len() / (count - at)))
}

/// Units that fit together go into aggregates, larger ones into fragments (RFC 6184 §5.7.1, §5.8). The trailer counts as the
/// end of the last unit.
fn h264(access_unit: &Bytes) -> Vec<Bytes> {
    let units = annex_b::nal_units(access_unit);
    let mut pieces = Vec::new();
    let mut together: Vec<Bytes> = Vec::new();
    let aggregate_len = |units: &[Bytes]| 1 + units.iter().map(|unit| STAP_LEN + unit.len()).sum::<usize>();
    let count = units.len();
    for (at, unit) in units.into_iter().enumerate() {
        let is_last = at + 1 == count;
        if aggregate_len(&together) + STAP_LEN + unit.len() <= MAX_PIECE_LEN {
            together.push(unit);
        } else {
            pieces.extend(aggregate(&together, false));
            together.clear();
            if unit.len() <= MAX_PIECE_LEN {
                together.push(unit);
            } else {
                pieces.extend(fragments(&unit));
            }
        }
        if is_last {
            pieces.extend(aggregate(&together, true));
        }
    }
    pieces
}

/// One unit alone, several in a STAP-A, nothing of none.
fn aggregate(units: &[Bytes], has_trailer: bool) -> Option<Bytes> {
    if let [single] = units {
        return Some(single.clone());
    }
    // RFC 6184 §5.7: the highest NRI of all.
    let nri = units.iter().filter_map(|unit| unit.first()).map(|head| head & 0x60).max()?;
    let mut piece = BytesMut::from(&[nri | 24][..]);
    for (at, unit) in units.iter().enumerate() {
        let with_trailer = has_trailer && at + 1 == units.len();
        piece.put_u16((unit.len() + if with_trailer { TRAILER_LEN } else { 0 }) as u16);
        piece.put_slice(unit);
    }
    Some(piece.freeze())
}

fn fragments(unit: &Bytes) -> Vec<Bytes> {
    let (head, body) = (unit.first().copied().unwrap_or_default(), unit.slice(1..));
    let count = body.len().div_ceil(MAX_PIECE_LEN - FU_LEN);
    let mut left = body;
    (0..count)
        .map(|at| {
            let part = left.split_to(left.len() / (count - at));
            let (start, end) = (u8::from(at == 0) << 7, u8::from(at + 1 == count) << 6);
            [&[head & 0x60 | 28, start | end | head & 0x1f], &part[..]].concat().into()
        })
        .collect()
}

/// The elements of each packet, at least one; the last packet leaves room for an element with the trailer (AOM RTP payload
/// format §4.4).
fn av1(temporal_unit: &Bytes) -> Result<Vec<Bytes>, ClipError> {
    let obus = obus(temporal_unit)?;
    let starts_sequence = obus.first().is_some_and(|obu| obu_type(obu) == Some(ObuType::SequenceHeader));
    let total: usize = obus.iter().map(Bytes::len).sum();
    let count = total.div_ceil(MAX_PIECE_LEN - 16).max(1);
    let room = total.div_ceil(count);
    let mut packets: Vec<Vec<Bytes>> = vec![Vec::new()];
    let mut free = room;
    // Whether the first element of each packet goes on what the one before ended with.
    let mut continues = vec![false];
    for obu in obus {
        let (mut left, mut is_piece) = (obu, false);
        while !left.is_empty() {
            if free == 0 {
                packets.push(Vec::new());
                continues.push(is_piece);
                free = room;
            }
            let part = left.split_to(left.len().min(free));
            free -= part.len();
            is_piece = true;
            packets.last_mut().into_iter().for_each(|elements| elements.push(part.clone()));
        }
    }
    let goes_on = continues.iter().skip(1).copied().chain([false]);
    let last = packets.len() - 1;
    Ok(packets
        .iter()
        .zip(continues.iter().zip(goes_on))
        .enumerate()
        .map(|(at, (elements, (continues, goes_on)))| {
            let flags = Av1Flags { continues: *continues, goes_on, starts_sequence: at == 0 && starts_sequence };
            av1_packet(elements, flags, at == last)
        })
        .collect())
}

struct Av1Flags {
    continues: bool,
    goes_on: bool,
    starts_sequence: bool,
}

fn av1_packet(elements: &[Bytes], flags: Av1Flags, has_trailer: bool) -> Bytes {
    let count = elements.len() + usize::from(has_trailer);
    // W counts up to three elements, of which the last has no length.
    let counted = if count <= 3 { count } else { 0 };
    let mut packet = BytesMut::new();
    packet.put_u8(
        u8::from(flags.continues) << 7
            | u8::from(flags.goes_on) << 6
            | (counted as u8) << 4
            | u8::from(flags.starts_sequence) << 3,
    );
    for (at, element) in elements.iter().enumerate() {
        if at + 1 != counted {
            put_leb128(&mut packet, element.len());
        }
        packet.put_slice(element);
    }
    if has_trailer && counted == 0 {
        put_leb128(&mut packet, AV1_TRAILER_LEAD.len() + TRAILER_LEN);
    }
    packet.freeze()
}

fn obu_type(obu: &[u8]) -> Option<ObuType> {
    ObuHeader::parse(obu).map(|header| header.obu_type)
}

/// The OBUs of a temporal unit without their sizes and without temporal delimiters, as they go over RTP.
fn obus(temporal_unit: &Bytes) -> Result<Vec<Bytes>, ClipError> {
    const ERROR: ClipError = ClipError::Frame("an OBU of AV1 ends too early or has no size");
    let mut obus = Vec::new();
    let mut left = temporal_unit.clone();
    while !left.is_empty() {
        let header = ObuHeader::parse(&left).filter(|header| header.has_size).ok_or(ERROR)?;
        let mut size = 0;
        let mut size_len = 0;
        for byte in left.iter().skip(header.len()).take(4) {
            size |= usize::from(byte & 0x7f) << (7 * size_len);
            size_len += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let start = header.len() + size_len;
        if start + size > left.len() {
            return Err(ERROR);
        }
        let obu = left.split_to(start + size);
        if header.obu_type != ObuType::TemporalDelimiter {
            // The header without `obu_has_size_field`, then what is behind the size.
            let mut plain = BytesMut::from(obu.get(..header.len()).unwrap_or_default());
            plain.iter_mut().take(1).for_each(|first| *first &= !0x02);
            plain.extend_from_slice(obu.get(start..).unwrap_or_default());
            obus.push(plain.freeze());
        }
    }
    Ok(obus)
}
