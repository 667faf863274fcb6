//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, appended to a buffer.
//!
//! Here: the four blocks that a live trace needs, with their options. Not here: what is in them (`trace`).

use super::Direction;

/// Packets begin with an IPv4 or IPv6 header (LINKTYPE_RAW).
const LINKTYPE_RAW: u16 = 101;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Ten to the minus ninth seconds.
const NANOSECONDS: u8 = 9;

/// What a packet block tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    /// Nanoseconds since 1970 began.
    pub(super) unix_ns: u64,
    pub(super) direction: Direction,
    /// The packet is what these are together.
    pub(super) parts: [&'a [u8]; 2],
    /// Bytes that it had before it was cut.
    pub(super) original_len: usize,
    /// Packets of the interface that were lost since its last one.
    pub(super) lost: u64,
    pub(super) comment: Option<&'a str>,
}

/// Begins a file.
pub(super) fn write_section_header(out: &mut Vec<u8>, application: &str, comment: &str) {
    write_block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // How long the section gets is not known.
        out.extend(u64::MAX.to_le_bytes());
        write_option(out, SHB_USERAPPL, application.as_bytes());
        write_option(out, OPT_COMMENT, comment.as_bytes());
        write_option(out, OPT_END, &[]);
    });
}

/// Describes the next interface; they are numbered from 0.
pub(super) fn write_interface(out: &mut Vec<u8>, name: &str, description: &str) {
    write_block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(LINKTYPE_RAW.to_le_bytes());
        out.extend([0, 0]);
        // No limit to the length of packets.
        out.extend(0_u32.to_le_bytes());
        write_option(out, IF_NAME, name.as_bytes());
        write_option(out, IF_DESCRIPTION, description.as_bytes());
        write_option(out, IF_TSRESOL, &[NANOSECONDS]);
        write_option(out, OPT_END, &[]);
    });
}

/// One packet.
pub(super) fn write_packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    write_block(out, ENHANCED_PACKET, |out| {
        out.extend(packet.interface.to_le_bytes());
        write_time(out, packet.unix_ns);
        let captured: usize = packet.parts.iter().map(|part| part.len()).sum();
        out.extend((captured as u32).to_le_bytes());
        out.extend((packet.original_len as u32).to_le_bytes());
        packet.parts.iter().for_each(|part| out.extend(*part));
        pad(out, captured);
        let direction: u32 = match packet.direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        write_option(out, EPB_FLAGS, &direction.to_le_bytes());
        if packet.lost > 0 {
            write_option(out, EPB_DROPCOUNT, &packet.lost.to_le_bytes());
        }
        if let Some(comment) = packet.comment {
            write_option(out, OPT_COMMENT, comment.as_bytes());
        }
        write_option(out, OPT_END, &[]);
    });
}

/// What an interface got, and what was lost of it, in all.
pub(super) fn write_statistics(out: &mut Vec<u8>, interface: u32, unix_ns: u64, received: u64, lost: u64) {
    write_block(out, INTERFACE_STATISTICS, |out| {
        out.extend(interface.to_le_bytes());
        write_time(out, unix_ns);
        write_option(out, ISB_IFRECV, &received.to_le_bytes());
        write_option(out, ISB_IFDROP, &lost.to_le_bytes());
        write_option(out, OPT_END, &[]);
    });
}

/// The length stands on both sides of a block.
fn write_block(out: &mut Vec<u8>, block_type: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(block_type.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let len = (out.len() - start + 4) as u32;
    out.extend(len.to_le_bytes());
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

fn write_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out, value.len());
}

fn write_time(out: &mut Vec<u8>, unix_ns: u64) {
    // The high half first, in whichever byte order.
    out.extend(((unix_ns >> 32) as u32).to_le_bytes());
    out.extend((unix_ns as u32).to_le_bytes());
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.resize(out.len() + len.next_multiple_of(4) - len, 0);
}
