//! Headers to one receiver, laid out once: of the packets of a call only the numbers differ.

use model::{PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};

use crate::extension::{AudioLevel, ExtensionId};
use crate::header::FIXED_HEADER_LEN;
use crate::outgoing::{OutgoingExtensions, OutgoingHeader};
use crate::view::RtpView;

/// Longest header that a template lays out: the elements of [`TemplateExtensions`] in the two-byte form take 15 bytes.
pub const MAX_TEMPLATE_LEN: usize = FIXED_HEADER_LEN + 4 + 16;
/// Longest mid that a template has a place for.
pub const MAX_TEMPLATE_MID_LEN: usize = 3;

/// Which extensions the packets have, and their identifiers in the receiver's session.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateExtensions {
    /// Audio level (RFC 6464).
    pub audio_level: Option<ExtensionId>,
    /// Video orientation (3GPP TS 26.114 §7.4.5).
    pub video_orientation: Option<ExtensionId>,
    /// Transport-wide sequence number.
    pub transport_seq: Option<ExtensionId>,
    /// A mid of so many bytes, [`MAX_TEMPLATE_MID_LEN`] at most (RFC 8843 §15).
    pub mid: Option<(ExtensionId, u8)>,
}

/// What differs from packet to packet. A value without a place in the template is left out.
#[derive(Clone, Copy, Debug)]
pub struct TemplateFields {
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
    /// As the packet's sender gave it.
    pub audio_level: Option<AudioLevel>,
    /// As the packet's sender gave it.
    pub video_orientation: Option<u8>,
    /// The transport-wide number.
    pub transport_seq: TwccSeq,
    /// The mid in its first bytes, as many as the template has.
    pub mid: [u8; MAX_TEMPLATE_MID_LEN],
}

/// An RTP header with places for the numbers, all of which are zero.
///
/// In words, into which numbers are shifted: a processor that writes single bytes and reads them at once as a word waits until
/// they have left it, and with them everything written before, such as all of the packet before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTemplate {
    /// The fixed header and the four bytes behind it.
    fixed: [u64; 2],
    /// Elements of the extension.
    elements: u128,
    len: u8,
    /// Bits behind the values in `elements`; [`NO_PLACE`] where there is no place for one.
    audio_level: u8,
    video_orientation: u8,
    transport_seq: u8,
    mid: u8,
    mid_len: u8,
}

/// As many bits as there are: what is shifted there is gone.
const NO_PLACE: u8 = u128::BITS as u8;

impl Default for HeaderTemplate {
    /// A header without extensions.
    fn default() -> Self {
        Self::new(&TemplateExtensions::default())
    }
}

impl HeaderTemplate {
    /// Lays out a header.
    #[must_use]
    pub fn new(extensions: &TemplateExtensions) -> Self {
        let TemplateExtensions { audio_level, video_orientation, transport_seq, mid } = *extensions;
        let mid_len = mid.map_or(0, |(_, len)| len.min(MAX_TEMPLATE_MID_LEN as u8));
        let any_mid = "\0\0\0".get(..usize::from(mid_len)).unwrap_or_default();
        let header = OutgoingHeader {
            marker: false,
            payload_type: PayloadType::from_low_bits(0),
            seq: SeqNum(0),
            timestamp: RtpTimestamp(0),
            ssrc: Ssrc(0),
            extensions: OutgoingExtensions {
                audio_level: audio_level.map(|id| (id, AudioLevel::from_byte(0))),
                video_orientation: video_orientation.map(|id| (id, 0)),
                transport_seq: transport_seq.map(|id| (id, TwccSeq(0))),
                mid: mid.map(|(id, _)| (id, any_mid)),
                ..OutgoingExtensions::default()
            },
        };
        let mut bytes = [0; MAX_TEMPLATE_LEN];
        // The buffer takes all four extensions in either form.
        let len = header.write_to(&mut bytes).map_or(FIXED_HEADER_LEN, |written| written.len);
        let view = RtpView::parse(bytes.get(..len).unwrap_or_default()).ok();
        let place = |id: Option<ExtensionId>, value_len: u8| {
            let element = view.as_ref().zip(id).and_then(|(view, id)| view.extension(id));
            let end = element.map(|element| element.offset + usize::from(value_len));
            let behind = end.and_then(|end| MAX_TEMPLATE_LEN.checked_sub(end));
            behind.map_or(NO_PLACE, |bytes| bytes as u8 * u8::BITS as u8)
        };
        let [w0, w1, w2, w3] = to_words(bytes);
        Self {
            fixed: [w0, w1],
            elements: u128::from(w2) << u64::BITS | u128::from(w3),
            len: len as u8,
            audio_level: place(audio_level, 1),
            video_orientation: place(video_orientation, 1),
            transport_seq: place(transport_seq, 2),
            mid: place(mid.map(|(id, _)| id), mid_len),
            mid_len,
        }
    }

    /// Bytes of the header.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The header of a packet, in the first [`len`](Self::len) bytes.
    #[must_use]
    #[inline]
    pub fn fill(&self, fields: &TemplateFields) -> [u8; MAX_TEMPLATE_LEN] {
        let [w0, w1] = self.fixed;
        let second = u8::from(fields.marker) << 7 | fields.payload_type.get();
        let numbers = u64::from(second) << 48 | u64::from(fields.seq.0) << 32 | u64::from(fields.timestamp.0);
        let put = |behind: u8, value: u32| u128::from(value).checked_shl(behind.into()).unwrap_or(0);
        let mut elements = self.elements | put(self.transport_seq, fields.transport_seq.0.into());
        if let Some(level) = fields.audio_level {
            elements |= put(self.audio_level, level.to_byte().into());
        }
        if let Some(orientation) = fields.video_orientation {
            elements |= put(self.video_orientation, orientation.into());
        }
        if self.mid_len > 0 {
            let [a, b, c] = fields.mid;
            let left_over = (MAX_TEMPLATE_MID_LEN as u32).saturating_sub(self.mid_len.into()) * u8::BITS;
            elements |= put(self.mid, u32::from_be_bytes([0, a, b, c]) >> left_over);
        }
        let [high, low] = [(elements >> u64::BITS) as u64, elements as u64];
        to_bytes([w0 | numbers, w1 | u64::from(fields.ssrc.0) << 32, high, low])
    }
}

const WORDS: usize = MAX_TEMPLATE_LEN / size_of::<u64>();

fn to_words(bytes: [u8; MAX_TEMPLATE_LEN]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

fn to_bytes(words: [u64; WORDS]) -> [u8; MAX_TEMPLATE_LEN] {
    let mut bytes = [0; MAX_TEMPLATE_LEN];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_writer_of_headers_writes() {
        let ids = [None, Some(3), Some(14), Some(200)].map(|id| id.map(|id| ExtensionId::try_from(id).unwrap()));
        let fields = TemplateFields {
            marker: true,
            payload_type: PayloadType::try_from(100).unwrap(),
            seq: SeqNum(0xfffe),
            timestamp: RtpTimestamp(90_001),
            ssrc: Ssrc(0xdead_beef),
            audio_level: Some(AudioLevel { voice_activity: true, level: 30 }),
            video_orientation: Some(2),
            transport_seq: TwccSeq(0x1234),
            mid: *b"q9z",
        };
        let mids = [None, Some("q9"), Some("q9z")];
        let mut compared = 0;
        for (audio_level, mid) in ids.into_iter().flat_map(|id| mids.map(|mid| (id, mid))) {
            let mid = mid.map(|mid| (ExtensionId::try_from(9).unwrap(), mid));
            for video_orientation in ids {
                for transport_seq in ids {
                    let all: Vec<_> = [audio_level, video_orientation, transport_seq].into_iter().flatten().collect();
                    if all.iter().enumerate().any(|(at, id)| all[..at].contains(id)) {
                        continue;
                    }
                    let template = HeaderTemplate::new(&TemplateExtensions {
                        audio_level,
                        video_orientation,
                        transport_seq,
                        mid: mid.map(|(id, mid)| (id, mid.len() as u8)),
                    });
                    let header = OutgoingHeader {
                        marker: fields.marker,
                        payload_type: fields.payload_type,
                        seq: fields.seq,
                        timestamp: fields.timestamp,
                        ssrc: fields.ssrc,
                        extensions: OutgoingExtensions {
                            audio_level: audio_level.zip(fields.audio_level),
                            video_orientation: video_orientation.zip(fields.video_orientation),
                            transport_seq: transport_seq.map(|id| (id, fields.transport_seq)),
                            mid,
                            ..OutgoingExtensions::default()
                        },
                    };
                    let mut written = [0; MAX_TEMPLATE_LEN];
                    let len = header.write_to(&mut written).unwrap().len;
                    assert_eq!(template.len(), len);
                    assert_eq!(template.fill(&fields)[..len], written[..len]);
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 3 * 34);
    }
}
