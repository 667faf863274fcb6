//! How many may be heard and seen at a time (`max-audio-senders`, `max-video-senders`; focus.md §6.4).

use jitsi_protocol::bridge_session::StartMuted;
use model::MediaType;
use xmpp::{Condition, StanzaError};

use super::Conference;
use crate::settings::Settings;
use crate::source::EndpointSourceSet;

impl Conference {
    /// Somebody came, left, or began or ended to send.
    pub(super) fn count_senders(&mut self, settings: &Settings) {
        let speakers = || self.participants.values().filter(|participant| !participant.is_visitor);
        let members = || speakers().map(|participant| &participant.member);
        let audio = members().filter(|member| !member.muted.audio).count();
        let video = members().filter(|member| !member.muted.video).count();
        self.limits_reached =
            StartMuted { audio: audio >= settings.limits.audio_senders, video: video >= settings.limits.video_senders };
    }

    /// What clients are told, so that they offer nobody to unmute: nothing until a limit was reached once.
    pub(super) fn sender_limits(&mut self) -> Vec<(String, String)> {
        let reached =
            [("audio-limit-reached", self.limits_reached.audio), ("video-limit-reached", self.limits_reached.video)];
        let told = [&mut self.limits_told.audio, &mut self.limits_told.video];
        let properties = reached.into_iter().zip(told).filter_map(|((name, is_reached), was_told)| {
            *was_told |= is_reached;
            was_told.then(|| (name.to_owned(), is_reached.to_string()))
        });
        properties.collect()
    }

    /// Whether one more may begin to send.
    pub(super) fn check_sender_limits(&self, added: &EndpointSourceSet) -> Result<(), StanzaError> {
        let has = |media_type| added.sources.iter().any(|source| source.media_type == media_type);
        let audio = self.limits_reached.audio && has(MediaType::Audio);
        let video = self.limits_reached.video && has(MediaType::Video);
        if !audio && !video {
            return Ok(());
        }
        let kinds = [("audio", audio), ("video", video)].map(|(kind, is_refused)| if is_refused { kind } else { "" });
        let text = format!("Sender count exceeded for: {}", kinds.join(" ").trim());
        Err(StanzaError::new(Condition::ResourceConstraint).with_text(text))
    }
}
