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

/// An RTP header with places for the numbers.
#[derive(Clone, Copy, Debug)]
pub struct HeaderTemplate {
    bytes: [u8; MAX_TEMPLATE_LEN],
    len: u8,
    /// Places of the values; 0, which is none of an extension, where there is none.
    audio_level_at: u8,
    video_orientation_at: u8,
    transport_seq_at: u8,
    mid_at: u8,
    mid_len: u8,
}

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
        let any_mid = "000".get(..usize::from(mid_len)).unwrap_or_default();
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
        let place = |id: Option<ExtensionId>| {
            let element = view.as_ref().zip(id).and_then(|(view, id)| view.extension(id));
            element.map_or(0, |element| element.offset as u8)
        };
        let [audio_level_at, video_orientation_at, transport_seq_at, mid_at] =
            [audio_level, video_orientation, transport_seq, mid.map(|(id, _)| id)].map(place);
        Self { bytes, len: len as u8, audio_level_at, video_orientation_at, transport_seq_at, mid_at, mid_len }
    }

    /// Bytes of the header.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The header of a packet, in the first [`len`](Self::len) bytes.
    #[must_use]
    pub fn fill(&self, fields: &TemplateFields) -> [u8; MAX_TEMPLATE_LEN] {
        let mut bytes = self.bytes;
        let [_, second, seq_0, seq_1, time_0, time_1, time_2, time_3, ssrc_0, ssrc_1, ssrc_2, ssrc_3, extensions @ ..] =
            &mut bytes;
        *second = u8::from(fields.marker) << 7 | fields.payload_type.get();
        [*seq_0, *seq_1] = fields.seq.0.to_be_bytes();
        [*time_0, *time_1, *time_2, *time_3] = fields.timestamp.0.to_be_bytes();
        [*ssrc_0, *ssrc_1, *ssrc_2, *ssrc_3] = fields.ssrc.0.to_be_bytes();
        let mut put = |at: u8, value: &[u8]| {
            let at = usize::from(at).checked_sub(FIXED_HEADER_LEN);
            if let Some(place) = at.and_then(|at| extensions.get_mut(at..at + value.len())) {
                place.copy_from_slice(value);
            }
        };
        if let Some(level) = fields.audio_level {
            put(self.audio_level_at, &[level.to_byte()]);
        }
        if let Some(orientation) = fields.video_orientation {
            put(self.video_orientation_at, &[orientation]);
        }
        put(self.transport_seq_at, &fields.transport_seq.0.to_be_bytes());
        if self.mid_len > 0 {
            put(self.mid_at, fields.mid.get(..usize::from(self.mid_len)).unwrap_or_default());
        }
        bytes
    }
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
            mid: *b"v12",
        };
        let mids = [None, Some("v1"), Some("v12")];
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
