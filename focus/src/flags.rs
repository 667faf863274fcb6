//! What an operator says about conferences, under the names of docker-jitsi-meet.

mod bridges;
mod connects;
mod visitors;

pub use bridges::{BridgeChoiceFlags, RegionGroups};
pub use connects::ConnectFlags;
pub use visitors::{NodeServer, VisitorNodeFlags, VisitorPlacementFlags};

use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use model::PayloadType;

use crate::offer::{HeaderExtensionKind, VideoCodecKind};
use crate::settings::Settings;

/// The usual number of redundant audio (`codec.audio.opus.red.pt`).
const RED_PAYLOAD_TYPE: PayloadType = PayloadType::from_low_bits(112);

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
pub struct ConferenceFlags {
    /// Whether AV1 is offered.
    #[arg(long, env = "ENABLE_CODEC_AV1", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub codec_av1: bool,
    /// Whether VP8 is offered.
    #[arg(long, env = "ENABLE_CODEC_VP8", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub codec_vp8: bool,
    /// Whether H.264 is offered.
    #[arg(long, env = "ENABLE_CODEC_H264", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub codec_h264: bool,
    /// Whether VP9 is offered.
    #[arg(long, env = "ENABLE_CODEC_VP9", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub codec_vp9: bool,
    /// Whether redundant audio (RFC 2198) is offered.
    #[arg(long, env = "ENABLE_CODEC_OPUS_RED", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub codec_opus_red: bool,
    /// Whether senders of video tell bridges how large their layers are and what these are to take.
    #[arg(long, env = "ENABLE_VLA", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub enable_vla: bool,
    /// Whether bridges give clients that can do with it a few streams of their own, in place of one for each source.
    #[arg(long, env = "JICOFO_CONF_SSRC_REWRITING", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub ssrc_rewriting: bool,
    /// Whether receivers are told of one stream only where a sender sends several sizes.
    #[arg(long, env = "JICOFO_CONF_STRIP_SIMULCAST", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub strip_simulcast: bool,
    /// How many may be heard at one time.
    #[arg(long, env = "JICOFO_CONF_MAX_AUDIO_SENDERS", value_name = "NUMBER")]
    pub max_audio_senders: Option<usize>,
    /// How many may be seen at one time.
    #[arg(long, env = "JICOFO_CONF_MAX_VIDEO_SENDERS", value_name = "NUMBER")]
    pub max_video_senders: Option<usize>,
    /// Which bridges they get.
    #[command(flatten)]
    pub bridges: BridgeChoiceFlags,
    /// Who writes down or translates what is said.
    #[command(flatten)]
    pub connects: ConnectFlags,
}

impl ConferenceFlags {
    /// Puts what was said into settings.
    pub fn apply(&self, settings: &mut Settings) {
        settings.codecs.video.retain(|codec| match codec.kind {
            VideoCodecKind::Av1 => self.codec_av1,
            VideoCodecKind::Vp8 => self.codec_vp8,
            VideoCodecKind::H264 => self.codec_h264,
            VideoCodecKind::Vp9 => self.codec_vp9,
        });
        if let Some(opus) = &mut settings.codecs.opus {
            opus.red_payload_type = self.codec_opus_red.then_some(RED_PAYLOAD_TYPE);
        }
        if self.enable_vla {
            settings.codecs.header_extensions.push(HeaderExtensionKind::VideoLayersAllocation.into());
        }
        settings.use_ssrc_rewriting = self.ssrc_rewriting;
        settings.strip_simulcast = self.strip_simulcast;
        let limits = &mut settings.limits;
        limits.audio_senders = self.max_audio_senders.unwrap_or(limits.audio_senders);
        limits.video_senders = self.max_video_senders.unwrap_or(limits.video_senders);
        self.bridges.apply(settings);
        self.connects.apply(settings);
    }
}

/// A time, in seconds where it has no unit, as docker-jitsi-meet has them; timers that always run need more than none.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if time.is_zero() { Err("is no time at all".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::settings::SelectionStrategy;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        flags: ConferenceFlags,
    }

    fn settings(words: &str) -> Settings {
        let mut settings = Settings::new("meet.jitsi").unwrap();
        Options::try_parse_from(words.split_whitespace()).unwrap().flags.apply(&mut settings);
        settings
    }

    #[test]
    fn nothing_said_leaves_the_defaults_of_jicofo() {
        let (said, default) = (settings("x"), Settings::new("meet.jitsi").unwrap());
        assert_eq!(said.codecs.video, default.codecs.video);
        assert_eq!(said.codecs.opus, default.codecs.opus);
        assert_eq!(said.limits.audio_senders, default.limits.audio_senders);
        assert!(said.use_ssrc_rewriting && said.strip_simulcast);
        let text = |settings: &Settings| {
            format!(
                "{:?} {:?} {:?} {:?}",
                settings.bridge, settings.selection, settings.redistribution, settings.timers
            )
        };
        assert_eq!(text(&said), text(&default));
        assert_eq!(said.more_breweries, default.more_breweries);
        let services = |settings: &Settings| format!("{:?} {:?}", settings.transcription, settings.translation);
        assert_eq!(services(&said), services(&default));
    }

    #[test]
    fn bridges_are_chosen_as_is_said() {
        let said = settings(
            "x --enable-octo 1 --bridge-selection-strategy RegionBasedBridgeSelectionStrategy --local-region eu \
             --bridge-region-groups [eu,uk],[us] --max-bridge-participants 0 --ice-failure-detection yes \
             --ice-failure-interval 60 --load-redistribution 1 --drain-moves 0 --bridge-health-by-presence 1 \
             --more-breweries jvb2@internal-muc.meet.jitsi",
        );
        let selection = &said.selection;
        assert_eq!((selection.cascading, selection.strategy), (true, SelectionStrategy::RegionBased));
        assert_eq!(selection.region_groups, [vec!["eu", "uk"], vec!["us"]]);
        assert_eq!(selection.local_region.as_deref(), Some("eu"));
        assert_eq!(said.bridge.max_participants, None);
        assert!(said.bridge.ice_failure_detection.is_enabled && said.redistribution.is_enabled);
        assert_eq!(said.bridge.ice_failure_detection.interval, Duration::from_secs(60));
        assert!(!said.redistribution.drains);
        assert_eq!(said.timers.health_by_presence, Some(Duration::from_secs(45)));
        assert_eq!(said.more_breweries.len(), 1);
        for bad in [
            "x --bridge-selection-strategy Best",
            "x --bridge-region-groups eu,uk",
            "x --bridge-stress-threshold -1",
            "x --load-redistribution-interval 0",
            "x --more-breweries @",
        ] {
            assert!(Options::try_parse_from(bad.split_whitespace()).is_err(), "{bad}");
        }
    }

    #[test]
    fn services_are_those_that_are_named() {
        let said = settings(
            "x --transcription-url-template wss://scribe/{{MEETING_ID}} --transcription-headers A=b,C=d=e \
             --transcription-ping no --translation-url-template ws://tr/{{MEETING_ID}} --translation-mode single-bridge \
             --translation-ping-timeout 1 --translation-max-languages 2 --translation-cf-access-client-id i \
             --translation-cf-access-client-secret s",
        );
        let headers = |service: &crate::settings::ConnectSettings| {
            let pairs = service.http_headers.iter().map(|header| format!("{}={}", header.name, header.value));
            pairs.collect::<Vec<_>>()
        };
        assert_eq!(headers(&said.transcription), ["A=b", "C=d=e"]);
        assert_eq!(said.transcription.ping, None);
        let translation = &said.translation;
        assert_eq!(headers(&translation.connect), ["CF-Access-Client-Id=i", "CF-Access-Client-Secret=s"]);
        assert_eq!(translation.connect.ping.unwrap().timeout, Duration::from_secs(1));
        assert_eq!(
            (translation.mode, translation.max_languages_per_connect),
            (crate::TranslationMode::SingleBridge, 2)
        );
        for bad in [
            "x --transcription-url-template https://scribe/{{MEETING_ID}}",
            "x --transcription-url-template wss://scribe/all",
            "x --transcription-headers A",
            "x --translation-mode many",
            "x --translation-max-languages 0",
        ] {
            assert!(Options::try_parse_from(bad.split_whitespace()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_said_is_done() {
        let said = settings(
            "x --codec-av1 false --codec-h264 0 --codec-opus-red 1 --ssrc-rewriting no --strip-simulcast off \
             --max-audio-senders 30 --max-video-senders 20",
        );
        let kinds: Vec<_> = said.codecs.video.iter().map(|codec| codec.kind).collect();
        assert_eq!(kinds, [VideoCodecKind::Vp8, VideoCodecKind::Vp9]);
        assert_eq!(said.codecs.opus.unwrap().red_payload_type, Some(RED_PAYLOAD_TYPE));
        assert!(!said.use_ssrc_rewriting && !said.strip_simulcast);
        assert_eq!((said.limits.audio_senders, said.limits.video_senders), (30, 20));
    }
}
