//! Header extension elements in the one-byte and two-byte forms (RFC 8285 §4.2, §4.3), and the extensions that the
//! bridge knows by URI.

use std::num::NonZeroU8;

/// Local identifier of a header extension in a session, 1..=255 (RFC 8285 §5); above 14 only in the two-byte form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionId(NonZeroU8);

/// 0 is padding and no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header extension id {0} is not in 1..=255")]
pub struct ExtensionIdOutOfRange(pub u8);

impl ExtensionId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Whether the one-byte form can carry it: 15 is reserved there.
    pub(crate) const fn fits_one_byte_form(self) -> bool {
        self.get() <= 14
    }
}

impl TryFrom<u8> for ExtensionId {
    type Error = ExtensionIdOutOfRange;

    fn try_from(value: u8) -> Result<Self, ExtensionIdOutOfRange> {
        NonZeroU8::new(value).map(Self).ok_or(ExtensionIdOutOfRange(value))
    }
}

/// Header extensions that the bridge reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionKind {
    /// Client-to-mixer audio level (RFC 6464).
    AudioLevel,
    /// Departure time on the sender's clock.
    AbsSendTime,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
    TransportWideCc,
    /// Which m-line (RFC 8843 §15).
    Mid,
    /// Coordination of video orientation (3GPP TS 26.114 §7.4.5).
    VideoOrientation,
    /// Which frames a frame refers to, and in which decode targets it is (AOM "RTP Payload Format For AV1", appendix A).
    DependencyDescriptor,
    /// Which layers a sender sends, how large they are and what they are to take ([`VideoLayersAllocation`]).
    ///
    /// [`VideoLayersAllocation`]: crate::VideoLayersAllocation
    VideoLayersAllocation,
}

impl ExtensionKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AudioLevel,
        Self::AbsSendTime,
        Self::TransportWideCc,
        Self::Mid,
        Self::VideoOrientation,
        Self::DependencyDescriptor,
        Self::VideoLayersAllocation,
    ];

    /// The URI that signaling negotiates it by.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportWideCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoLayersAllocation => "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        }
    }

    /// The kind behind a URI, none if the bridge does not know it.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// The identifiers that a session gives to the extensions the bridge knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [Option<ExtensionId>; ExtensionKind::ALL.len()],
}

impl ExtensionMap {
    /// Gives `kind` an identifier, or takes it away.
    pub fn set(&mut self, kind: ExtensionKind, id: Option<ExtensionId>) {
        if let Some(slot) = self.ids.get_mut(kind as usize) {
            *slot = id;
        }
    }

    /// The identifier of `kind`, if it was negotiated.
    #[must_use]
    pub fn id(&self, kind: ExtensionKind) -> Option<ExtensionId> {
        self.ids.get(kind as usize).copied().flatten()
    }
}

/// Audio level of one packet (RFC 6464 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioLevel {
    /// Whether the encoder believes that this is voice; a hint only.
    pub voice_activity: bool,
    /// Level in -dBov, 0 (loudest) to 127 (silence).
    pub level: u8,
}

impl AudioLevel {
    /// The level of digital silence.
    pub const SILENCE: u8 = 127;

    /// From the byte of the extension.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self { voice_activity: byte & 0x80 != 0, level: byte & 0x7f }
    }

    /// The byte of the extension.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        (self.voice_activity as u8) << 7 | self.level & 0x7f
    }
}

/// How the elements of an extension block are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionForm {
    /// Profile 0xBEDE (RFC 8285 §4.2).
    OneByte,
    /// Profile 0x1000..=0x100F (RFC 8285 §4.3).
    TwoByte,
    /// Anything else: no elements.
    Foreign,
}

impl ExtensionForm {
    pub(crate) const fn from_profile(profile: u16) -> Self {
        match profile {
            0xbede => Self::OneByte,
            0x1000..=0x100f => Self::TwoByte,
            _ => Self::Foreign,
        }
    }
}

/// Where the extension block of a packet lies, behind its profile and length words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtensionBlock {
    pub(crate) form: ExtensionForm,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// One element of a header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionElement<'a> {
    /// Its identifier.
    pub id: ExtensionId,
    /// Where `data` starts, in bytes from the start of the packet, for patching in place.
    pub offset: usize,
    /// Its value, 1..=16 bytes in the one-byte form, 0..=255 in the two-byte form.
    pub data: &'a [u8],
}

/// Walks the elements of a packet's extension block in wire order. Stops at the first element that does not fit.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    form: ExtensionForm,
    /// What is left of the block.
    rest: &'a [u8],
    /// Where `rest` starts in the packet.
    offset: usize,
}

impl<'a> Extensions<'a> {
    pub(crate) fn new(packet: &'a [u8], block: Option<ExtensionBlock>) -> Self {
        let found = block.and_then(|block| Some((block, packet.get(block.start..block.start + block.len)?)));
        match found {
            Some((block, rest)) => Self { form: block.form, rest, offset: block.start },
            None => Self { form: ExtensionForm::Foreign, rest: &[], offset: 0 },
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = ExtensionElement<'a>;

    fn next(&mut self) -> Option<ExtensionElement<'a>> {
        loop {
            let (&first, after_first) = self.rest.split_first()?;
            let (id, len, head_len, body) = match self.form {
                ExtensionForm::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, 1, after_first),
                ExtensionForm::TwoByte if first != 0 => {
                    let (&len, body) = after_first.split_first()?;
                    (first, usize::from(len), 2, body)
                }
                ExtensionForm::TwoByte => (0, 0, 1, after_first),
                ExtensionForm::Foreign => return None,
            };
            let one_byte_form = self.form == ExtensionForm::OneByte;
            // A zero byte is padding in both forms.
            if first == 0 {
                self.rest = after_first;
                self.offset += 1;
                continue;
            }
            // RFC 8285 §4.2: id 0 with a length and id 15 end the walk.
            let id = ExtensionId::try_from(id).ok().filter(|id| !one_byte_form || id.fits_one_byte_form());
            let (Some(id), Some((data, rest))) = (id, body.split_at_checked(len)) else {
                self.rest = &[];
                return None;
            };
            let element = ExtensionElement { id, offset: self.offset + head_len, data };
            self.rest = rest;
            self.offset += head_len + len;
            return Some(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(form: ExtensionForm, block: &[u8]) -> Vec<(u8, usize, Vec<u8>)> {
        let mut packet = vec![0xff; 16];
        packet.extend_from_slice(block);
        Extensions::new(&packet, Some(ExtensionBlock { form, start: 16, len: block.len() }))
            .map(|element| (element.id.get(), element.offset, element.data.to_vec()))
            .collect()
    }

    #[test]
    fn walks_the_one_byte_form_over_padding() {
        let found = walk(ExtensionForm::OneByte, &[0x10, 0xaa, 0, 0, 0x52, 1, 2, 3]);
        assert_eq!(found, [(1, 17, vec![0xaa]), (5, 21, vec![1, 2, 3])]);
    }

    #[test]
    fn stops_at_id_15_at_id_0_with_a_length_and_at_an_element_that_is_cut() {
        assert_eq!(walk(ExtensionForm::OneByte, &[0x10, 0xaa, 0xf0, 1, 0x20, 2]).len(), 1);
        assert_eq!(walk(ExtensionForm::OneByte, &[0x10, 0xaa, 0x01, 0x20, 2]).len(), 1);
        assert_eq!(walk(ExtensionForm::OneByte, &[0x10, 0xaa, 0x23, 1]).len(), 1);
        assert_eq!(walk(ExtensionForm::TwoByte, &[1, 1, 0xaa, 2, 9, 0]).len(), 1);
        assert!(walk(ExtensionForm::TwoByte, &[1]).is_empty());
    }

    #[test]
    fn walks_the_two_byte_form_with_empty_elements_and_high_ids() {
        let found = walk(ExtensionForm::TwoByte, &[0, 200, 0, 15, 2, 7, 8, 0]);
        assert_eq!(found, [(200, 19, vec![]), (15, 21, vec![7, 8])]);
    }

    #[test]
    fn other_profiles_have_no_elements() {
        assert!(walk(ExtensionForm::from_profile(0x1234), &[0x10, 0xaa]).is_empty());
        assert_eq!(ExtensionForm::from_profile(0x1005), ExtensionForm::TwoByte);
        assert_eq!(ExtensionForm::from_profile(0xbede), ExtensionForm::OneByte);
    }

    #[test]
    fn audio_level_keeps_flag_and_level() {
        let level = AudioLevel::from_byte(0x85);
        assert_eq!(level, AudioLevel { voice_activity: true, level: 5 });
        assert_eq!(level.to_byte(), 0x85);
    }

    #[test]
    fn maps_uris_to_ids() {
        let mut map = ExtensionMap::default();
        let kind = ExtensionKind::from_uri("urn:ietf:params:rtp-hdrext:sdes:mid").unwrap();
        map.set(kind, ExtensionId::try_from(10).ok());
        assert_eq!(map.id(ExtensionKind::Mid).map(ExtensionId::get), Some(10));
        assert_eq!(map.id(ExtensionKind::AudioLevel), None);
        assert_eq!(ExtensionKind::from_uri("urn:example:none"), None);
        for kind in ExtensionKind::ALL {
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
        }
    }
}
