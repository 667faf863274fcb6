//! Codecs as a table: numbers, parameters and feedback are those of Jicofo (focus.md §5.2).
//!
//! Bridges forward payload types unchanged, so everybody in a conference is offered the same numbers.

use model::{MediaType, PayloadType};
use xmpp::jingle::{PayloadTypeDescription, RtcpFeedback};

use crate::features::Features;
use crate::settings::CodecSettings;

struct VideoCodec {
    name: &'static str,
    payload_type: u8,
    rtx_payload_type: u8,
    parameters: &'static [(&'static str, &'static str)],
    /// Whether the retransmissions list feedback too.
    rtx_has_feedback: bool,
    is_enabled: fn(&CodecSettings) -> bool,
}

/// In the order of the offer, which is no preference: clients choose by themselves.
const VIDEO_CODECS: [VideoCodec; 4] = [
    VideoCodec {
        name: "AV1",
        payload_type: 41,
        rtx_payload_type: 42,
        parameters: &[],
        rtx_has_feedback: true,
        is_enabled: |settings| settings.av1,
    },
    VideoCodec {
        name: "VP8",
        payload_type: 100,
        rtx_payload_type: 96,
        parameters: &[],
        rtx_has_feedback: true,
        is_enabled: |settings| settings.vp8,
    },
    VideoCodec {
        name: "H264",
        payload_type: 107,
        rtx_payload_type: 99,
        // One parameter with everything in its value.
        parameters: &[("profile-level-id", "42e01f;level-asymmetry-allowed=1;packetization-mode=1;")],
        rtx_has_feedback: false,
        is_enabled: |settings| settings.h264,
    },
    VideoCodec {
        name: "VP9",
        payload_type: 101,
        rtx_payload_type: 97,
        parameters: &[],
        rtx_has_feedback: true,
        is_enabled: |settings| settings.vp9,
    },
];

const OPUS: u8 = 111;
const RED: u8 = 112;
const TELEPHONE_EVENT: u8 = 126;

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
    let with_red = settings.opus_red && features.opus_red;
    let mut list = Vec::new();
    if with_red {
        // RFC 2198: two generations of Opus in a packet.
        list.push(describe(RED, "red", 48_000, Some(2), &[("", "111/111")]));
    }
    // In-band redundancy has no use beside RED.
    let parameters: &[_] = if with_red { &[("minptime", "10")] } else { &[("minptime", "10"), ("useinbandfec", "1")] };
    let mut opus = describe(OPUS, "opus", 48_000, Some(2), parameters);
    if features.tcc {
        opus.feedback.push(feedback("transport-cc", None));
    }
    list.push(opus);
    if settings.telephone_event {
        list.push(describe(TELEPHONE_EVENT, "telephone-event", 8_000, None, &[]));
    }
    list
}

fn video(settings: &CodecSettings, features: Features) -> Vec<PayloadTypeDescription> {
    let enabled = || VIDEO_CODECS.iter().filter(|codec| (codec.is_enabled)(settings));
    let loss = [feedback("ccm", Some("fir")), feedback("nack", None), feedback("nack", Some("pli"))];
    let mut list: Vec<PayloadTypeDescription> = enabled()
        .map(|codec| {
            let mut description = describe(codec.payload_type, codec.name, 90_000, None, codec.parameters);
            description.feedback.extend(loss.iter().cloned());
            if features.tcc {
                description.feedback.push(feedback("transport-cc", None));
            } else if features.remb {
                description.feedback.push(feedback("goog-remb", None));
            }
            description
        })
        .collect();
    if features.rtx {
        list.extend(enabled().map(|codec| {
            let apt = codec.payload_type.to_string();
            let mut description = describe(codec.rtx_payload_type, "rtx", 90_000, None, &[("apt", &apt)]);
            if codec.rtx_has_feedback {
                description.feedback.extend(loss.iter().cloned());
            }
            description
        }));
    }
    list
}

fn describe(
    payload_type: u8,
    name: &str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &[(&str, &str)],
) -> PayloadTypeDescription {
    PayloadTypeDescription {
        id: PayloadType::from_low_bits(payload_type),
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

    fn everything() -> (CodecSettings, Features) {
        let settings = CodecSettings {
            av1: true,
            h264: true,
            vp9: true,
            opus_red: true,
            telephone_event: true,
            ..CodecSettings::default()
        };
        let features = Features { rtx: true, tcc: true, remb: true, opus_red: true, ..Features::default() };
        (settings, features)
    }

    #[test]
    fn offers_what_the_bridge_forwards_by_default() {
        let settings = CodecSettings::default();
        let features = Features { rtx: true, ..Features::default() };
        assert_eq!(numbers(&payload_types(&settings, features, MediaType::Audio)), [111]);
        assert_eq!(numbers(&payload_types(&settings, features, MediaType::Video)), [100, 96]);
        assert_eq!(numbers(&payload_types(&settings, Features::default(), MediaType::Video)), [100]);
    }

    #[test]
    fn lists_everything_in_the_order_of_jicofo() {
        let (settings, features) = everything();
        assert_eq!(numbers(&payload_types(&settings, features, MediaType::Audio)), [112, 111, 126]);
        let video = payload_types(&settings, features, MediaType::Video);
        assert_eq!(numbers(&video), [41, 100, 107, 101, 42, 96, 99, 97]);
        let feedback: Vec<usize> = video.iter().map(|description| description.feedback.len()).collect();
        assert_eq!(feedback, [4, 4, 4, 4, 3, 3, 0, 3]);
    }

    #[test]
    fn remb_stands_in_for_transport_cc() {
        let feedback_of = |features| {
            let list = payload_types(&CodecSettings::default(), features, MediaType::Video);
            list.first().unwrap().feedback.last().unwrap().feedback_type.clone()
        };
        assert_eq!(feedback_of(Features { tcc: true, remb: true, ..Features::default() }), "transport-cc");
        assert_eq!(feedback_of(Features { remb: true, ..Features::default() }), "goog-remb");
        assert_eq!(feedback_of(Features::default()), "nack");
    }

    #[test]
    fn red_takes_the_place_of_in_band_redundancy() {
        let (settings, features) = everything();
        let opus = |features| {
            let list = payload_types(&settings, features, MediaType::Audio);
            list.iter().find(|description| description.name == "opus").unwrap().parameters.len()
        };
        assert_eq!((opus(features), opus(Features { opus_red: false, ..features })), (1, 2));
    }
}
