//! RTP header extensions as a table: identifiers are those of Jicofo (focus.md §5.3).

use model::MediaType;
use xmpp::jingle::HeaderExtension;

use crate::features::Features;
use crate::settings::CodecSettings;

struct Extension {
    id: u8,
    uri: &'static str,
    audio: bool,
    video: bool,
    is_enabled: fn(&CodecSettings, Features) -> bool,
}

const EXTENSIONS: [Extension; 5] = [
    Extension {
        id: 1,
        uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        audio: true,
        video: false,
        is_enabled: |_, _| true,
    },
    Extension {
        id: 3,
        uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        audio: false,
        video: true,
        is_enabled: |settings, _| settings.abs_send_time,
    },
    Extension {
        id: 5,
        uri: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        audio: true,
        video: true,
        is_enabled: |_, features| features.tcc,
    },
    Extension {
        id: 10,
        uri: "urn:ietf:params:rtp-hdrext:sdes:mid",
        audio: true,
        video: true,
        is_enabled: |settings, _| settings.mid,
    },
    Extension {
        id: 11,
        uri: "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        audio: false,
        video: true,
        is_enabled: |settings, _| settings.av1_dependency_descriptor,
    },
];

/// The header extensions for a client with these features.
pub(super) fn header_extensions(
    settings: &CodecSettings,
    features: Features,
    media_type: MediaType,
) -> Vec<HeaderExtension> {
    let is_of_medium = |extension: &&Extension| match media_type {
        MediaType::Audio => extension.audio,
        MediaType::Video => extension.video,
    };
    EXTENSIONS
        .iter()
        .filter(is_of_medium)
        .filter(|extension| (extension.is_enabled)(settings, features))
        .map(|extension| HeaderExtension { id: extension.id, uri: extension.uri.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_settings_and_features() {
        let ids = |settings: CodecSettings, features, media_type| -> Vec<u8> {
            header_extensions(&settings, features, media_type).iter().map(|extension| extension.id).collect()
        };
        let tcc = Features { tcc: true, ..Features::default() };
        let defaults = CodecSettings::default();
        assert_eq!(ids(defaults, tcc, MediaType::Audio), [1, 5]);
        assert_eq!(ids(defaults, tcc, MediaType::Video), [3, 5]);
        assert_eq!(ids(defaults, Features::default(), MediaType::Video), [3]);
        let all = CodecSettings { mid: true, av1_dependency_descriptor: true, ..defaults };
        assert_eq!(ids(all, tcc, MediaType::Video), [3, 5, 10, 11]);
    }
}
