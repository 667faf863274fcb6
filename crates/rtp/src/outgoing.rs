//! Headers of the packets that we send: our own numbers and a small fixed set of extensions, written into the
//! caller's buffer.

use model::{PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};

use crate::error::BufferTooSmall;
use crate::extension::{AudioLevel, ExtensionId};
use crate::header::FIXED_HEADER_LEN;
use crate::time::AbsSendTime;

/// A buffer of this size takes any [`OutgoingHeader`] without dependency descriptor and layers allocation: fixed header, profile word, and the
/// extensions in the two-byte form with the longest mid that is written.
pub const MAX_OUTGOING_HEADER_LEN: usize = FIXED_HEADER_LEN + 4 + 16 + 4 + MAX_MID_LEN;

/// What a dependency descriptor may add to [`MAX_OUTGOING_HEADER_LEN`], and a video layers allocation as much again: its head
/// and the longest element (RFC 8285 §4.3).
pub const MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN: usize = 2 + MAX_ELEMENT_LEN;

/// RFC 8285 §4.3: the length is one byte.
const MAX_ELEMENT_LEN: usize = 255;

/// Longest mid that is written. `model::Mid` takes no longer one.
const MAX_MID_LEN: usize = 128;

/// An RTP header to be written.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingHeader<'a> {
    /// The marker bit.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// Our sequence number.
    pub seq: SeqNum,
    /// Our media time.
    pub timestamp: RtpTimestamp,
    /// Our stream.
    pub ssrc: Ssrc,
    /// What goes into the header extension.
    pub extensions: OutgoingExtensions<'a>,
}

/// The extensions of an outgoing packet, each with the identifier of the receiver's session. None set: no extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutgoingExtensions<'a> {
    /// Audio level of the packet as its sender gave it.
    pub audio_level: Option<(ExtensionId, AudioLevel)>,
    /// Video orientation byte as its sender gave it.
    pub video_orientation: Option<(ExtensionId, u8)>,
    /// Departure time.
    pub abs_send_time: Option<(ExtensionId, AbsSendTime)>,
    /// Transport-wide sequence number.
    pub transport_seq: Option<(ExtensionId, TwccSeq)>,
    /// The mid of the receiver's m-line, at most 128 bytes.
    pub mid: Option<(ExtensionId, &'a str)>,
    /// Dependency descriptor of the frame (AOM "RTP Payload Format For AV1", appendix A), at most 255 bytes.
    pub dependency_descriptor: Option<(ExtensionId, &'a [u8])>,
    /// Video layers allocation as the packet's sender gave it, at most 255 bytes.
    pub layers_allocation: Option<(ExtensionId, &'a [u8])>,
}

/// What was written, and where the fields lie that are known only when the packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenHeader {
    /// Bytes of the header.
    pub len: usize,
    /// Offset of the three bytes of abs-send-time.
    pub abs_send_time_offset: Option<usize>,
    /// Offset of the two bytes of the transport-wide sequence number.
    pub transport_seq_offset: Option<usize>,
}

impl OutgoingHeader<'_> {
    /// Writes the header to the start of `dest`. The one-byte form is used where every element fits it.
    pub fn write_to(&self, dest: &mut [u8]) -> Result<WrittenHeader, BufferTooSmall> {
        let have = dest.len();
        let mut out = Cursor { dest, at: 0, need: 0 };
        let layout = self.extensions.layout();
        out.put(&[
            0x80 | if layout.is_some() { 0x10 } else { 0 },
            u8::from(self.marker) << 7 | self.payload_type.get(),
        ]);
        out.put(&self.seq.0.to_be_bytes());
        out.put(&self.timestamp.0.to_be_bytes());
        out.put(&self.ssrc.0.to_be_bytes());
        let (mut abs_send_time_offset, mut transport_seq_offset) = (None, None);
        if let Some(layout) = layout {
            out.put(&(if layout.two_byte { 0x1000_u16 } else { 0xbede }).to_be_bytes());
            out.put(&(layout.len.div_ceil(4) as u16).to_be_bytes());
            let extensions = &self.extensions;
            if let Some((id, level)) = extensions.audio_level {
                out.put_element(&layout, id, &[level.to_byte()]);
            }
            if let Some((id, orientation)) = extensions.video_orientation {
                out.put_element(&layout, id, &[orientation]);
            }
            if let Some((id, time)) = extensions.abs_send_time {
                abs_send_time_offset = Some(out.put_element(&layout, id, &time.to_bytes()));
            }
            if let Some((id, seq)) = extensions.transport_seq {
                transport_seq_offset = Some(out.put_element(&layout, id, &seq.0.to_be_bytes()));
            }
            if let Some((id, mid)) = extensions.mid_to_write() {
                out.put_element(&layout, id, mid);
            }
            for (id, value) in extensions.described() {
                out.put_element(&layout, id, value);
            }
            let padding = layout.len.next_multiple_of(4) - layout.len;
            out.put([0; 3].get(..padding).unwrap_or_default());
        }
        if out.need > have {
            return Err(BufferTooSmall { need: out.need, have });
        }
        Ok(WrittenHeader { len: out.at, abs_send_time_offset, transport_seq_offset })
    }
}

/// Form and length of the elements, known before the first is written.
struct Layout {
    two_byte: bool,
    len: usize,
}

impl OutgoingExtensions<'_> {
    /// A mid that is empty or too long is left out rather than cut.
    fn mid_to_write(&self) -> Option<(ExtensionId, &[u8])> {
        self.mid.map(|(id, mid)| (id, mid.as_bytes())).filter(|(_, mid)| (1..=MAX_MID_LEN).contains(&mid.len()))
    }

    /// What is said of frame and layers. What is empty or too long is left out rather than cut.
    fn described(&self) -> impl Iterator<Item = (ExtensionId, &[u8])> {
        let elements = [self.dependency_descriptor, self.layers_allocation].into_iter().flatten();
        elements.filter(|(_, bytes)| (1..=MAX_ELEMENT_LEN).contains(&bytes.len()))
    }

    fn layout(&self) -> Option<Layout> {
        let elements = [
            self.audio_level.map(|(id, _)| (id, 1)),
            self.video_orientation.map(|(id, _)| (id, 1)),
            self.abs_send_time.map(|(id, _)| (id, 3)),
            self.transport_seq.map(|(id, _)| (id, 2)),
            self.mid_to_write().map(|(id, mid)| (id, mid.len())),
        ];
        let present = || elements.into_iter().flatten().chain(self.described().map(|(id, value)| (id, value.len())));
        present().next()?;
        let two_byte = present().any(|(id, len)| !id.fits_one_byte_form() || len > 16);
        let head_len = if two_byte { 2 } else { 1 };
        Some(Layout { two_byte, len: present().map(|(_, len)| head_len + len).sum() })
    }
}

/// Writes while there is room, and counts what would be needed.
struct Cursor<'a> {
    dest: &'a mut [u8],
    at: usize,
    need: usize,
}

impl Cursor<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.need += bytes.len();
        if let Some(room) = self.dest.get_mut(self.at..self.at + bytes.len()) {
            room.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    /// The offset of the value.
    fn put_element(&mut self, layout: &Layout, id: ExtensionId, value: &[u8]) -> usize {
        // Lengths are 1..=16 in the one-byte form and at most 255 in the other, by the choice of the layout.
        if layout.two_byte {
            self.put(&[id.get(), value.len() as u8]);
        } else {
            self.put(&[id.get() << 4 | (value.len() as u8).wrapping_sub(1) & 0x0f]);
        }
        let offset = self.at;
        self.put(value);
        offset
    }
}

/// A packet to be sent, in the pieces that are at hand without copying: our header, bytes that replace or precede the
/// start of the source's payload (a rewritten VP8 descriptor, RTX's original sequence number), and the rest of it.
#[derive(Clone, Copy, Debug)]
pub struct RtpParts<'a> {
    /// RTP header with extensions.
    pub header: &'a [u8],
    /// First bytes of the payload; empty where the source's payload goes out as it came.
    pub prefix: &'a [u8],
    /// What follows.
    pub payload: &'a [u8],
}

impl RtpParts<'_> {
    /// Bytes of the plain packet.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a packet has a header and is never empty")]
    pub const fn len(&self) -> usize {
        self.header.len() + self.prefix.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::RtpView;

    fn id(id: u8) -> ExtensionId {
        ExtensionId::try_from(id).unwrap()
    }

    fn header(extensions: OutgoingExtensions<'_>) -> OutgoingHeader<'_> {
        OutgoingHeader {
            marker: true,
            payload_type: PayloadType::try_from(100).unwrap(),
            seq: SeqNum(0xfffe),
            timestamp: RtpTimestamp(90_000),
            ssrc: Ssrc(0xdead_beef),
            extensions,
        }
    }

    fn all(mid_id: u8, mid: &str) -> OutgoingExtensions<'_> {
        OutgoingExtensions {
            audio_level: Some((id(1), AudioLevel { voice_activity: true, level: 30 })),
            video_orientation: Some((id(13), 2)),
            abs_send_time: Some((id(3), AbsSendTime::from_bytes([7, 8, 9]))),
            transport_seq: Some((id(5), TwccSeq(0x1234))),
            mid: Some((id(mid_id), mid)),
            ..OutgoingExtensions::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_both_forms() {
        let long = "m".repeat(MAX_MID_LEN);
        for (mid_id, mid, two_byte) in [(10, "0", false), (15, "0", true), (10, long.as_str(), true)] {
            let mut buffer = [0xff; MAX_OUTGOING_HEADER_LEN];
            let written = header(all(mid_id, mid)).write_to(&mut buffer).unwrap();
            let view = RtpView::parse(&buffer[..written.len]).unwrap();
            assert_eq!(view.header_len(), written.len);
            assert_eq!(buffer[12] == 0x10, two_byte);
            assert!(view.marker());
            assert_eq!((view.seq(), view.ssrc()), (SeqNum(0xfffe), Ssrc(0xdead_beef)));
            assert_eq!(view.extension(id(1)).unwrap().data, [0x9e]);
            assert_eq!(view.extension(id(13)).unwrap().data, [2]);
            let time = view.extension(id(3)).unwrap();
            assert_eq!((Some(time.offset), time.data), (written.abs_send_time_offset, &[7, 8, 9][..]));
            let seq = view.extension(id(5)).unwrap();
            assert_eq!((Some(seq.offset), seq.data), (written.transport_seq_offset, &[0x12, 0x34][..]));
            assert_eq!(view.extension(id(mid_id)).unwrap().data, mid.as_bytes());
        }
    }

    #[test]
    fn no_extension_means_twelve_bytes() {
        let mut buffer = [0; 12];
        let written = header(OutgoingExtensions::default()).write_to(&mut buffer).unwrap();
        assert_eq!(written, WrittenHeader { len: 12, abs_send_time_offset: None, transport_seq_offset: None });
        assert_eq!(buffer[0], 0x80);
    }

    #[test]
    fn says_how_much_room_it_needs() {
        let mut buffer = [0; 20];
        let error = header(all(10, "video")).write_to(&mut buffer).unwrap_err();
        assert_eq!(error, BufferTooSmall { need: 36, have: 20 });
        assert!(header(all(10, "video")).write_to(&mut [0; 36]).is_ok());
    }

    #[test]
    fn a_mid_that_cannot_be_written_is_left_out() {
        let long = "m".repeat(MAX_MID_LEN + 1);
        let mut buffer = [0; MAX_OUTGOING_HEADER_LEN];
        for mid in ["", long.as_str()] {
            let extensions = OutgoingExtensions { mid: Some((id(10), mid)), ..OutgoingExtensions::default() };
            assert_eq!(header(extensions).write_to(&mut buffer).unwrap().len, 12);
        }
    }

    #[test]
    fn a_dependency_descriptor_takes_the_two_byte_form_where_it_is_long() {
        let bytes = [0x5a; 256];
        for (len, written_len, two_byte) in
            [(3, 20, false), (17, 36, true), (255, 276, true), (256, 12, false), (0, 12, false)]
        {
            let mut buffer = [0; MAX_OUTGOING_HEADER_LEN + MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN];
            let dependency_descriptor = Some((id(11), &bytes[..len]));
            let extensions = OutgoingExtensions { dependency_descriptor, ..OutgoingExtensions::default() };
            let written = header(extensions).write_to(&mut buffer).unwrap();
            assert_eq!((written.len, buffer[12] == 0x10), (written_len, two_byte));
            let view = RtpView::parse(&buffer[..written.len]).unwrap();
            let read = view.extension(id(11)).map(|element| element.data);
            assert_eq!(read, (written_len > 12).then_some(&bytes[..len]));
        }
    }
}
