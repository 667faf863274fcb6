//! RTP header extensions: which, and under which ids, an operator says; the defaults are those of Jicofo (focus.md §5.3).

use model::MediaType;
use xmpp::jingle::HeaderExtension;

use super::CodecSettings;
use crate::features::Features;

/// A header extension (`codec.rtp-extensions.NAME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderExtensionKind {
    /// Client-to-mixer audio level (RFC 6464; `audio-level`).
    AudioLevel,
    /// Transmission time offset (RFC 5450; `tof`).
    TransmissionOffset,
    /// Departure time (`abs-send-time`).
    AbsSendTime,
    /// Name of an encoding (RFC 8852; `rid`).
    RtpStreamId,
    /// Transport-wide sequence numbers (`tcc`).
    TransportWideCc,
    /// Camera or screen (`video-content-type`).
    VideoContentType,
    /// Where frames begin and end (`framemarking`).
    FrameMarking,
    /// Which m-line (RFC 9143; `mid`).
    Mid,
    /// Which frames a frame refers to (`av1-dependency-descriptor`).
    DependencyDescriptor,
    /// Bitrates and sizes of all layers (`video-layers-allocation`).
    VideoLayersAllocation,
}

/// A header extension with the id under which it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferedHeaderExtension {
    /// Which.
    pub kind: HeaderExtensionKind,
    /// `id`: 1 to 14 fit into one-byte headers (RFC 8285 §4.2).
    pub id: u8,
}

impl From<HeaderExtensionKind> for OfferedHeaderExtension {
    /// Under Jicofo's id.
    fn from(kind: HeaderExtensionKind) -> Self {
        Self { kind, id: kind.default_id() }
    }
}

impl HeaderExtensionKind {
    /// All of them, by Jicofo's ids.
    pub const ALL: [Self; 10] = [
        Self::AudioLevel,
        Self::TransmissionOffset,
        Self::AbsSendTime,
        Self::RtpStreamId,
        Self::TransportWideCc,
        Self::VideoContentType,
        Self::FrameMarking,
        Self::Mid,
        Self::DependencyDescriptor,
        Self::VideoLayersAllocation,
    ];

    /// Its name in SDP.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransmissionOffset => "urn:ietf:params:rtp-hdrext:toffset",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::RtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::TransportWideCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::VideoContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::FrameMarking => "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoLayersAllocation => "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        }
    }

    /// Jicofo's id.
    #[must_use]
    pub const fn default_id(self) -> u8 {
        match self {
            Self::AudioLevel => 1,
            Self::TransmissionOffset => 2,
            Self::AbsSendTime => 3,
            Self::RtpStreamId => 4,
            Self::TransportWideCc => 5,
            Self::VideoContentType => 7,
            Self::FrameMarking => 9,
            Self::Mid => 10,
            Self::DependencyDescriptor => 11,
            Self::VideoLayersAllocation => 12,
        }
    }

    /// Whether Jicofo offers it unless told otherwise.
    const fn is_on_by_default(self) -> bool {
        match self {
            Self::AudioLevel | Self::AbsSendTime | Self::TransportWideCc | Self::Mid | Self::DependencyDescriptor => {
                true
            }
            Self::TransmissionOffset
            | Self::RtpStreamId
            | Self::VideoContentType
            | Self::FrameMarking
            | Self::VideoLayersAllocation => false,
        }
    }

    const fn is_for(self, media_type: MediaType) -> bool {
        match (self, media_type) {
            (Self::AudioLevel, MediaType::Audio) | (Self::Mid | Self::TransportWideCc, _) => true,
            (Self::AudioLevel, MediaType::Video) => false,
            (
                Self::TransmissionOffset
                | Self::AbsSendTime
                | Self::RtpStreamId
                | Self::VideoContentType
                | Self::FrameMarking
                | Self::DependencyDescriptor
                | Self::VideoLayersAllocation,
                media_type,
            ) => matches!(media_type, MediaType::Video),
        }
    }
}

/// What Jicofo offers.
pub(super) fn defaults() -> Vec<OfferedHeaderExtension> {
    let on = HeaderExtensionKind::ALL.into_iter().filter(|kind| kind.is_on_by_default());
    on.map(OfferedHeaderExtension::from).collect()
}

/// The header extensions for a client with these features.
pub(super) fn header_extensions(
    settings: &CodecSettings,
    features: Features,
    media_type: MediaType,
) -> Vec<HeaderExtension> {
    settings
        .header_extensions
        .iter()
        .filter(|offered| offered.kind.is_for(media_type))
        .filter(|offered| offered.kind != HeaderExtensionKind::TransportWideCc || features.tcc)
        .map(|offered| HeaderExtension { id: offered.id, uri: offered.kind.uri().to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(settings: &CodecSettings, features: Features, media_type: MediaType) -> Vec<u8> {
        header_extensions(settings, features, media_type).iter().map(|extension| extension.id).collect()
    }

    #[test]
    fn depends_on_medium_and_features() {
        let tcc = Features { tcc: true, ..Features::default() };
        let defaults = CodecSettings::default();
        assert_eq!(ids(&defaults, tcc, MediaType::Audio), [1, 5, 10]);
        assert_eq!(ids(&defaults, tcc, MediaType::Video), [3, 5, 10, 11]);
        assert_eq!(ids(&defaults, Features::default(), MediaType::Video), [3, 10, 11]);
    }

    #[test]
    fn settings_choose_extensions_and_their_ids() {
        let all = HeaderExtensionKind::ALL.map(|kind| OfferedHeaderExtension { kind, id: kind.default_id() + 1 });
        let settings = CodecSettings { header_extensions: all.to_vec(), ..CodecSettings::default() };
        assert_eq!(ids(&settings, Features::default(), MediaType::Audio), [2, 11]);
        assert_eq!(ids(&settings, Features::default(), MediaType::Video), [3, 4, 5, 8, 10, 11, 12, 13]);
        let none = CodecSettings { header_extensions: Vec::new(), ..CodecSettings::default() };
        assert!(ids(&none, Features::default(), MediaType::Video).is_empty());
    }
}
