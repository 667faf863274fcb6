//! Redundant audio (RFC 2198): a packet repeats those before it in front of its own block, so that the loss of one is no
//! gap.
//!
//! Blocks have times but no sequence numbers. As browsers and Jitsi's bridge do, the block that stands `n` places before the
//! primary one is taken for the packet whose number is `n` less.

use model::PayloadType;

use crate::error::RedError;

/// Redundant blocks that are told apart, the ones next to the primary; more than two packets lost in a row are heard anyway.
pub const MAX_REDUNDANT_BLOCKS: usize = 2;
/// Bytes of a redundant block that a header can tell of (10 bits).
pub const MAX_REDUNDANT_BLOCK_LEN: usize = 0x3ff;
/// How much older than the primary block a redundant one can be, in units of the clock (14 bits).
pub const MAX_TIMESTAMP_OFFSET: u32 = 0x3fff;
/// Bytes of all headers of a payload with [`MAX_REDUNDANT_BLOCKS`].
pub const MAX_HEADERS_LEN: usize = MAX_REDUNDANT_BLOCKS * REDUNDANT_HEADER_LEN + PRIMARY_HEADER_LEN;

const REDUNDANT_HEADER_LEN: usize = 4;
const PRIMARY_HEADER_LEN: usize = 1;
/// Another header follows.
const FOLLOWED: u8 = 0x80;

/// A block that repeats an earlier packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedundantBlock {
    /// Where its bytes begin in the payload.
    pub start: u16,
    /// How many there are. 0 where nothing of the packet can be had back.
    pub len: u16,
    /// How much older than the primary block it is, in units of the clock.
    pub timestamp_offset: u16,
}

/// Where the blocks of a payload lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedPayload {
    /// Where the primary block begins, which goes on to the end of the payload.
    pub primary_start: u16,
    /// What it is.
    pub primary_type: PayloadType,
    /// The packet before, and the one before that; blocks of other types than the primary are none.
    pub redundant: [Option<RedundantBlock>; MAX_REDUNDANT_BLOCKS],
}

impl RedPayload {
    /// Reads the headers of a payload.
    ///
    /// # Errors
    /// [`RedError`] where the payload ends inside its headers or blocks, or has no primary block.
    pub fn parse(payload: &[u8]) -> Result<Self, RedError> {
        // Headers of the last redundant blocks, the last one first, with the lengths of all.
        let mut headers: [Option<(PayloadType, RedundantBlock)>; MAX_REDUNDANT_BLOCKS] = [None; _];
        let mut blocks_len = 0;
        let mut rest = payload;
        let primary_type = loop {
            let (first, after) = rest.split_first().ok_or(RedError::NoPrimary)?;
            let payload_type = PayloadType::from_low_bits(*first);
            if first & FOLLOWED == 0 {
                rest = after;
                break payload_type;
            }
            let ([a, b, c], after) = after.split_first_chunk().ok_or(RedError::NoPrimary)?;
            let timestamp_offset = u16::from(*a) << 6 | u16::from(b >> 2);
            let len = u16::from(b & 3) << 8 | u16::from(*c);
            headers.rotate_right(1);
            if let Some(newest) = headers.first_mut() {
                *newest = Some((payload_type, RedundantBlock { start: 0, len, timestamp_offset }));
            }
            blocks_len += usize::from(len);
            rest = after;
        };
        let primary_start = payload.len() - rest.len() + blocks_len;
        if primary_start > payload.len() {
            return Err(RedError::Truncated);
        }
        let primary_start = u16::try_from(primary_start).map_err(|_| RedError::Truncated)?;
        let mut end = primary_start;
        let redundant = headers.map(|header| {
            let (payload_type, block) = header?;
            end -= block.len;
            let is_of_use = payload_type == primary_type && block.len > 0;
            is_of_use.then_some(RedundantBlock { start: end, ..block })
        });
        Ok(Self { primary_start, primary_type, redundant })
    }
}

/// A block for [`write_headers`]: how much older than the primary one, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    timestamp_offset: u16,
    len: u16,
}

impl BlockHeader {
    /// `None` where a header has no room for such a block.
    #[must_use]
    pub fn new(timestamp_offset: u32, len: usize) -> Option<Self> {
        if timestamp_offset > MAX_TIMESTAMP_OFFSET || len > MAX_REDUNDANT_BLOCK_LEN {
            return None;
        }
        Some(Self { timestamp_offset: timestamp_offset as u16, len: len as u16 })
    }
}

/// Writes the headers of a payload whose redundant blocks, all of the primary one's type, are `redundant`, the oldest first.
/// Answers their length.
pub fn write_headers(payload_type: PayloadType, redundant: &[BlockHeader], dest: &mut [u8; MAX_HEADERS_LEN]) -> usize {
    let mut len = 0;
    for (header, room) in redundant.iter().zip(dest.chunks_exact_mut(REDUNDANT_HEADER_LEN)) {
        let BlockHeader { timestamp_offset, len: block_len } = *header;
        room.copy_from_slice(&[
            FOLLOWED | payload_type.get(),
            (timestamp_offset >> 6) as u8,
            (timestamp_offset << 2) as u8 | (block_len >> 8) as u8,
            block_len as u8,
        ]);
        len += REDUNDANT_HEADER_LEN;
    }
    if let Some(primary) = dest.get_mut(len) {
        *primary = payload_type.get();
        len += PRIMARY_HEADER_LEN;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: PayloadType = PayloadType::from_low_bits(111);

    fn block(start: u16, len: u16, timestamp_offset: u16) -> Option<RedundantBlock> {
        Some(RedundantBlock { start, len, timestamp_offset })
    }

    #[test]
    fn what_is_written_is_read() {
        let mut dest = [0; MAX_HEADERS_LEN];
        let headers = [BlockHeader::new(1920, 300).unwrap(), BlockHeader::new(960, 2).unwrap()];
        assert_eq!(write_headers(OPUS, &headers, &mut dest), 9);
        let mut payload = dest.to_vec();
        payload.resize(9 + 300 + 2 + 5, 0);
        let red = RedPayload::parse(&payload).unwrap();
        assert_eq!((red.primary_start, red.primary_type), (311, OPUS));
        assert_eq!(red.redundant, [block(309, 2, 960), block(9, 300, 1920)]);
        assert_eq!(write_headers(OPUS, &[], &mut dest), 1);
        assert_eq!(dest[0], 111);
    }

    /// The largest values that fit, and what does not.
    #[test]
    fn a_block_that_is_too_old_or_too_long_has_no_header() {
        assert!(BlockHeader::new(MAX_TIMESTAMP_OFFSET, MAX_REDUNDANT_BLOCK_LEN).is_some());
        assert_eq!(BlockHeader::new(MAX_TIMESTAMP_OFFSET + 1, 1), None);
        assert_eq!(BlockHeader::new(1, MAX_REDUNDANT_BLOCK_LEN + 1), None);
    }

    /// Headers and lengths of the payloads in jitsi-videobridge's `RedRtpPacketTest`, which stand whole in the fuzz corpus.
    #[test]
    fn reads_what_upstream_reads() {
        let parse = |headers: &[u8], blocks_len: usize| {
            let mut payload = headers.to_vec();
            payload.resize(headers.len() + blocks_len, 0x2f);
            RedPayload::parse(&payload)
        };
        let read = |primary_start, primary_type, redundant| {
            Ok(RedPayload { primary_start, primary_type: PayloadType::from_low_bits(primary_type), redundant })
        };
        // `redPacketBytesSingleBlock`, `redPacketBytes`, `redPacketBytesShortBlocks`, `redPacketBytesZeroLengthBlocks`.
        assert_eq!(parse(&[0x6f], 65), read(1, 111, [None; 2]));
        let two = [0xef, 0x1e, 0x00, 0x41, 0xef, 0x0f, 0x00, 0x44, 0x6f];
        assert_eq!(parse(&two, 65 + 68 + 62), read(142, 111, [block(74, 68, 960), block(9, 65, 1920)]));
        assert_eq!(parse(&[0xef, 0x0f, 0x00, 0x03, 0x6f], 6), read(8, 111, [block(5, 3, 960), None]));
        assert_eq!(parse(&[0x80, 0, 0, 0, 0], 0), read(5, 0, [None; 2]));
        // "Parsing a truncated RED packet".
        assert_eq!(parse(&[0x80, 0, 0, 0], 0), Err(RedError::NoPrimary));
        // "Parsing block headers": all bits set.
        let widest = parse(&[0x85, 0xff, 0xff, 0xff, 0x05], 0x3ff + 1);
        assert_eq!(widest, read(5 + 0x3ff, 5, [block(5, 0x3ff, 0x3fff), None]));
    }

    #[test]
    fn only_the_blocks_next_to_the_primary_one_are_told_apart() {
        let header = |len| [0xef, 0, 4, len];
        let mut payload = [header(1), header(2), header(3)].concat();
        payload.push(0x6f);
        payload.extend([1, 2, 2, 3, 3, 3, 9]);
        let red = RedPayload::parse(&payload).unwrap();
        assert_eq!(red.primary_start, 13 + 6);
        assert_eq!(red.redundant, [block(16, 3, 1), block(14, 2, 1)]);
    }

    #[test]
    fn empty_blocks_and_those_of_another_type_are_of_no_use() {
        let payload = [0xe0, 0, 4, 1, 0xef, 0, 4, 0, 0x6f, 1, 9];
        assert_eq!(RedPayload::parse(&payload).unwrap().redundant, [None, None]);
    }

    #[test]
    fn what_ends_too_early_is_refused() {
        let whole = [0xef, 0, 4, 2, 0x6f, 1, 1];
        assert!(RedPayload::parse(&whole).is_ok());
        for len in 0..whole.len() {
            let error = if len < 5 { RedError::NoPrimary } else { RedError::Truncated };
            assert_eq!(RedPayload::parse(&whole[..len]), Err(error), "{len}");
        }
        assert_eq!(RedPayload::parse(&[0xff; 1200]), Err(RedError::NoPrimary));
    }
}
