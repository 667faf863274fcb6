//! Codecs: parameters and feedback are those of Jicofo (focus.md §5.2), which ones and under which numbers an operator says.
//!
//! Bridges forward payload types unchanged, so everybody in a conference is offered the same numbers.

use model::{MediaType, PayloadType};
use xmpp::jingle::{PayloadTypeDescription, RtcpFeedback};

use super::CodecSettings;
use super::header_extensions::HeaderExtensionKind;
use crate::features::Features;

/// A codec for video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodecKind {
    /// AOM "RTP Payload Format For AV1".
    Av1,
    /// RFC 7741.
    Vp8,
    /// RFC 6184.
    H264,
    /// RFC 9628.
    Vp9,
}

/// How a codec for video is offered (`codec.video.NAME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoCodec {
    /// Which.
    pub kind: VideoCodecKind,
    /// `pt`.
    pub payload_type: PayloadType,
    /// `rtx-pt`; `None` offers no retransmissions.
    pub rtx_payload_type: Option<PayloadType>,
    /// Whether clients without transport-wide feedback may tell what they receive by REMB (`enable-remb`).
    pub remb: bool,
}

/// How Opus is offered (`codec.audio.opus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// `pt`.
    pub payload_type: PayloadType,
    /// Shortest packet, in milliseconds (`minptime`).
    pub min_ptime_ms: u8,
    /// Whether packets may repeat the one before in low quality (`use-inband-fec`).
    pub in_band_fec: bool,
    /// Redundant audio (RFC 2198) with Opus in it (`red.enabled`, `red.pt`).
    pub red_payload_type: Option<PayloadType>,
}

impl VideoCodecKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Vp9 => "VP9",
        }
    }

    const fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // One parameter with everything in its value.
            Self::H264 => &[("profile-level-id", "42e01f;level-asymmetry-allowed=1;packetization-mode=1;")],
            Self::Av1 | Self::Vp8 | Self::Vp9 => &[],
        }
    }

    /// Whether the retransmissions list feedback too.
    const fn rtx_has_feedback(self) -> bool {
        match self {
            Self::H264 => false,
            Self::Av1 | Self::Vp8 | Self::Vp9 => true,
        }
    }
}

impl VideoCodec {
    /// Jicofo's defaults for a codec.
    #[must_use]
    pub const fn new(kind: VideoCodecKind) -> Self {
        let (payload_type, rtx) = match kind {
            VideoCodecKind::Av1 => (41, 42),
            VideoCodecKind::Vp8 => (100, 96),
            VideoCodecKind::H264 => (107, 99),
            VideoCodecKind::Vp9 => (101, 97),
        };
        Self {
            kind,
            payload_type: PayloadType::from_low_bits(payload_type),
            rtx_payload_type: Some(PayloadType::from_low_bits(rtx)),
            remb: true,
        }
    }
}

impl Default for OpusSettings {
    fn default() -> Self {
        Self {
            payload_type: PayloadType::from_low_bits(111),
            min_ptime_ms: 10,
            in_band_fec: true,
            red_payload_type: None,
        }
    }
}

/// The payload types for a client with these features.
pub(super) fn payload_types(
    settings: &CodecSettings,
    features: Features,
    media_type: MediaType,
) -> Vec<PayloadTypeDescription> {
    match media_type {
        MediaType::Audio => audio(settings, features),
        MediaType::Video => video(settings, features),
    }
}

fn audio(settings: &CodecSettings, features: Features) -> Vec<PayloadTypeDescription> {
    let mut list = Vec::new();
    if let Some(opus) = settings.opus {
        let red = opus.red_payload_type.filter(|_| features.opus_red);
        if let Some(red) = red {
            // RFC 2198: two generations of Opus in a packet. Before Opus, so that it is what clients send.
            let opus = opus.payload_type;
            list.push(describe(red, "red", 48_000, Some(2), &[("", &format!("{opus}/{opus}"))]));
        }
        let min_ptime = opus.min_ptime_ms.to_string();
        let mut parameters = vec![("minptime", min_ptime.as_str())];
        // In-band redundancy has no use beside RED.
        if opus.in_band_fec && red.is_none() {
            parameters.push(("useinbandfec", "1"));
        }
        let mut description = describe(opus.payload_type, "opus", 48_000, Some(2), &parameters);
        if has_transport_cc(settings, features) {
            description.feedback.push(feedback("transport-cc", None));
        }
        list.push(description);
    }
    if let Some(telephone_event) = settings.telephone_event {
        list.push(describe(telephone_event, "telephone-event", 8_000, None, &[]));
    }
    list
}

fn video(settings: &CodecSettings, features: Features) -> Vec<PayloadTypeDescription> {
    let loss = [feedback("ccm", Some("fir")), feedback("nack", None), feedback("nack", Some("pli"))];
    let mut list: Vec<PayloadTypeDescription> = settings
        .video
        .iter()
        .map(|codec| {
            let kind = codec.kind;
            let mut description = describe(codec.payload_type, kind.name(), 90_000, None, kind.parameters());
            description.feedback.extend(loss.iter().cloned());
            if has_transport_cc(settings, features) {
                description.feedback.push(feedback("transport-cc", None));
            } else if codec.remb && features.remb {
                description.feedback.push(feedback("goog-remb", None));
            }
            description
        })
        .collect();
    if features.rtx {
        list.extend(settings.video.iter().filter_map(|codec| {
            let apt = codec.payload_type.to_string();
            let mut description = describe(codec.rtx_payload_type?, "rtx", 90_000, None, &[("apt", &apt)]);
            if codec.kind.rtx_has_feedback() {
                description.feedback.extend(loss.iter().cloned());
            }
            Some(description)
        }));
    }
    list
}

fn has_transport_cc(settings: &CodecSettings, features: Features) -> bool {
    features.tcc && settings.offers(HeaderExtensionKind::TransportWideCc)
}

fn describe(
    id: PayloadType,
    name: &str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &[(&str, &str)],
) -> PayloadTypeDescription {
    PayloadTypeDescription {
        id,
        name: name.to_owned(),
        clock_rate,
        channels,
        parameters: parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        feedback: Vec::new(),
    }
}

fn feedback(feedback_type: &str, subtype: Option<&str>) -> RtcpFeedback {
    RtcpFeedback { feedback_type: feedback_type.to_owned(), subtype: subtype.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: &[PayloadTypeDescription]) -> Vec<u8> {
        list.iter().map(|description| description.id.get()).collect()
    }

    fn with_red() -> CodecSettings {
        let opus = OpusSettings { red_payload_type: Some(PayloadType::from_low_bits(112)), ..OpusSettings::default() };
        CodecSettings { opus: Some(opus), ..CodecSettings::default() }
    }

    fn everything() -> Features {
        Features { rtx: true, tcc: true, remb: true, opus_red: true, ..Features::default() }
    }

    #[test]
    fn offers_what_jicofo_offers_by_default() {
        let settings = CodecSettings::default();
        assert_eq!(numbers(&payload_types(&settings, everything(), MediaType::Audio)), [111, 126]);
        let video = payload_types(&settings, everything(), MediaType::Video);
        assert_eq!(numbers(&video), [41, 100, 107, 101, 42, 96, 99, 97]);
        let feedback: Vec<usize> = video.iter().map(|description| description.feedback.len()).collect();
        assert_eq!(feedback, [4, 4, 4, 4, 3, 3, 0, 3]);
        let without_rtx = payload_types(&settings, Features::default(), MediaType::Video);
        assert_eq!(numbers(&without_rtx), [41, 100, 107, 101]);
    }

    #[test]
    fn offers_what_settings_list_in_their_order() {
        let mut vp9 = VideoCodec::new(VideoCodecKind::Vp9);
        vp9.rtx_payload_type = None;
        let mut vp8 = VideoCodec::new(VideoCodecKind::Vp8);
        vp8.payload_type = PayloadType::from_low_bits(105);
        let settings = CodecSettings {
            video: vec![vp9, vp8],
            opus: Some(OpusSettings { in_band_fec: false, ..OpusSettings::default() }),
            telephone_event: None,
            ..CodecSettings::default()
        };
        let video = payload_types(&settings, everything(), MediaType::Video);
        assert_eq!(numbers(&video), [101, 105, 96]);
        assert_eq!(video.last().unwrap().parameters, [("apt".to_owned(), "105".to_owned())]);
        let audio = payload_types(&settings, everything(), MediaType::Audio);
        assert_eq!((numbers(&audio), audio.first().unwrap().parameters.len()), (vec![111], 1));
        let none = CodecSettings { opus: None, telephone_event: None, video: Vec::new(), ..settings };
        assert!(payload_types(&none, everything(), MediaType::Audio).is_empty());
        assert!(payload_types(&none, everything(), MediaType::Video).is_empty());
    }

    #[test]
    fn remb_stands_in_for_transport_cc() {
        let feedback_of = |settings: &CodecSettings, features| {
            let list = payload_types(settings, features, MediaType::Video);
            list.first().unwrap().feedback.last().unwrap().feedback_type.clone()
        };
        let settings = CodecSettings::default();
        let both = Features { tcc: true, remb: true, ..Features::default() };
        let remb = Features { remb: true, ..Features::default() };
        assert_eq!(feedback_of(&settings, both), "transport-cc");
        assert_eq!(feedback_of(&settings, remb), "goog-remb");
        assert_eq!(feedback_of(&settings, Features::default()), "nack");
        let mut without = settings.clone();
        without.header_extensions.retain(|extension| extension.kind != HeaderExtensionKind::TransportWideCc);
        assert_eq!(feedback_of(&without, both), "goog-remb");
        without.video.iter_mut().for_each(|codec| codec.remb = false);
        assert_eq!(feedback_of(&without, both), "nack");
    }

    #[test]
    fn red_takes_the_place_of_in_band_redundancy() {
        let opus = |features| {
            let list = payload_types(&with_red(), features, MediaType::Audio);
            (list.first().unwrap().id.get(), list.iter().find(|known| known.name == "opus").unwrap().parameters.len())
        };
        assert_eq!(opus(everything()), (112, 1));
        assert_eq!(opus(Features { opus_red: false, ..everything() }), (111, 2));
    }
}
