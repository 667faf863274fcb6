//! Ogg pages of one Opus stream (RFC 3533 §6, RFC 7845): as much as is needed to take the packets out. Check sums are not
//! looked at.

use bytes::{Bytes, BytesMut};

use super::ClipError;

const ERROR: ClipError = ClipError::Container("Ogg");
const PAGE_HEADER_LEN: usize = 27;
/// `OpusHead` and `OpusTags` (RFC 7845 §3).
const HEADER_PACKETS: usize = 2;

/// The audio packets of a file.
pub(super) fn packets(file: &Bytes) -> Result<Vec<Bytes>, ClipError> {
    let mut packets = Vec::new();
    let mut packet = BytesMut::new();
    let mut left = &file[..];
    while !left.is_empty() {
        let (header, rest) = left.split_at_checked(PAGE_HEADER_LEN).ok_or(ERROR)?;
        let (true, Some(&segments)) = (header.starts_with(b"OggS\0"), header.last()) else { return Err(ERROR) };
        let (lacing, mut body) = rest.split_at_checked(usize::from(segments)).ok_or(ERROR)?;
        for &len in lacing {
            let (segment, rest) = body.split_at_checked(usize::from(len)).ok_or(ERROR)?;
            packet.extend_from_slice(segment);
            // RFC 3533 §5: a segment of 255 bytes is followed by another of its packet.
            if len < u8::MAX {
                packets.push(packet.split().freeze());
            }
            body = rest;
        }
        left = body;
    }
    let has_head = packets.first().is_some_and(|head| head.starts_with(b"OpusHead"));
    if !has_head || packets.len() <= HEADER_PACKETS || !packet.is_empty() {
        return Err(ERROR);
    }
    Ok(packets.split_off(HEADER_PACKETS))
}
