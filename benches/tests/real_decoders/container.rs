//! Frames into the files that ffmpeg reads.

use benches::load::media::{Height, VideoCodec};

use crate::Received;

/// A file of the kind of the codec's clips.
pub(crate) fn video(codec: VideoCodec, height: Height, frames: &[Received]) -> Vec<u8> {
    match codec {
        VideoCodec::Vp8 => ivf(b"VP80", height, frames),
        VideoCodec::Vp9 => ivf(b"VP90", height, frames),
        VideoCodec::Av1 => ivf(b"AV01", height, frames),
        VideoCodec::H264 => frames.iter().flat_map(|frame| frame.bytes.clone()).collect(),
    }
}

pub(crate) fn ivf<'a>(name: &[u8; 4], height: Height, frames: impl IntoIterator<Item = &'a Received>) -> Vec<u8> {
    let frames: Vec<_> = frames.into_iter().collect();
    let mut file = [b"DKIF\0\0\x20\0", name.as_slice()].concat();
    file.extend(height.width().to_le_bytes());
    file.extend(height.lines().to_le_bytes());
    for field in [30, 1, frames.len() as u32, 0] {
        file.extend(field.to_le_bytes());
    }
    for (time, frame) in (0_u64..).zip(frames) {
        file.extend((frame.bytes.len() as u32).to_le_bytes());
        file.extend(time.to_le_bytes());
        file.extend_from_slice(&frame.bytes);
    }
    file
}

/// Ogg with the pre-skip of the clip (RFC 7845 §5.1), a packet a page.
pub(crate) fn opus(packets: &[Received]) -> Vec<u8> {
    let head = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\0\0\0\0\0\0\0\0";
    let mut file = page(2, 0, 0, head);
    file.extend(page(0, 0, 1, tags));
    for (sequence, packet) in (2_u32..).zip(packets) {
        let is_last = sequence as usize == packets.len() + 1;
        file.extend(page(if is_last { 4 } else { 0 }, u64::from(sequence - 1) * 960, sequence, &packet.bytes));
    }
    file
}

/// RFC 3533 §6: a page with one packet.
fn page(flags: u8, granule: u64, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = [b"OggS\0".as_slice(), &[flags], &granule.to_le_bytes(), &[1, 0, 0, 0]].concat();
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    let lacing = [vec![255; packet.len() / 255], vec![(packet.len() % 255) as u8]].concat();
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend_from_slice(packet);
    let sum = page.iter().fold(0_u32, |sum, byte| {
        (0..8)
            .fold(sum ^ u32::from(*byte) << 24, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}
