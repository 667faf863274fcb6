//! Who may unmute himself, as the AV moderation component says (focus.md §9): the focus mutes those who may not, refuses
//! their wish to unmute, and has the bridge drop what they send all the same.

use std::collections::BTreeSet;

use jitsi_protocol::colibri2::ForceMute;
use jitsi_protocol::mute::{Mute, MuteMedia};
use model::EndpointId;
use serde_json::Value;
use xmpp::Jid;

use super::Conference;
use super::participant::Participant;
use crate::context::{ConferencePurpose, Context};
use crate::settings::Settings;

/// Which media are moderated.
#[derive(Debug, Default)]
pub(super) struct AvModeration {
    audio: Option<BTreeSet<String>>,
    video: Option<BTreeSet<String>>,
    desktop: Option<BTreeSet<String>>,
}

impl AvModeration {
    /// The nicks of those who may unmute themselves; `None` when everybody may.
    fn whitelist(&self, media: MuteMedia) -> Option<&BTreeSet<String>> {
        match media {
            MuteMedia::Audio => self.audio.as_ref(),
            MuteMedia::Video => self.video.as_ref(),
            MuteMedia::Desktop => self.desktop.as_ref(),
        }
    }

    fn whitelist_mut(&mut self, media: MuteMedia) -> &mut Option<BTreeSet<String>> {
        match media {
            MuteMedia::Audio => &mut self.audio,
            MuteMedia::Video => &mut self.video,
            MuteMedia::Desktop => &mut self.desktop,
        }
    }

    /// Whether a participant may unmute himself. Moderators may.
    pub(super) fn permits(&self, participant: &Participant, media: MuteMedia) -> bool {
        let is_listed = |whitelist: &BTreeSet<String>| whitelist.contains(participant.endpoint.as_str());
        participant.member.has_moderator_rights() || self.whitelist(media).is_none_or(is_listed)
    }

    /// What the bridge is to drop. Camera and screen share are one to it.
    pub(super) fn force_mute(&self, participant: &Participant, settings: &Settings) -> ForceMute {
        if participant.cannot_be_muted(settings) {
            return ForceMute::default();
        }
        ForceMute {
            audio: !self.permits(participant, MuteMedia::Audio),
            video: !self.permits(participant, MuteMedia::Video) && !self.permits(participant, MuteMedia::Desktop),
        }
    }
}

impl Conference {
    /// Takes a message of the component: moderation begins or ends, or the list of those who may unmute changes.
    pub(crate) fn on_av_moderation(&mut self, news: &Value, context: &mut Context<'_>) {
        let Some(media) = news["mediaType"].as_str().and_then(media_of) else {
            return context.metrics.dropped("moderation without a medium");
        };
        let before = self.muted_by_moderation(media, context.settings);
        if let Some(is_on) = news["enabled"].as_bool() {
            let whitelist = self.av_moderation.whitelist_mut(media);
            if is_on == whitelist.is_some() {
                return;
            }
            *whitelist = is_on.then(BTreeSet::new);
        } else if let Some(lists) = news["whitelists"].as_object() {
            let Some(whitelist) = self.av_moderation.whitelist_mut(media) else { return };
            let list = lists.get(news["mediaType"].as_str().unwrap_or_default()).and_then(Value::as_array);
            let nicks = list.into_iter().flatten().filter_map(|jid| nick_of(jid.as_str()?));
            *whitelist = nicks.take(context.settings.limits.participants).collect();
        } else {
            return context.metrics.dropped("moderation of unknown kind");
        }
        let actor = news["actor"].as_str().and_then(|actor| actor.parse::<Jid>().ok());
        for endpoint in self.muted_by_moderation(media, context.settings).difference(&before) {
            if actor.as_ref().and_then(Jid::resource) != Some(endpoint.as_str()) {
                self.tell_muted(endpoint, media, actor.clone(), context);
            }
        }
        self.update_force_mutes(context);
    }

    fn muted_by_moderation(&self, media: MuteMedia, settings: &Settings) -> BTreeSet<EndpointId> {
        let muted = self.participants.values().filter(|participant| {
            !self.av_moderation.permits(participant, media) && !participant.cannot_be_muted(settings)
        });
        muted.map(|participant| participant.endpoint.clone()).collect()
    }

    fn tell_muted(&self, endpoint: &EndpointId, media: MuteMedia, actor: Option<Jid>, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get(endpoint) else { return };
        let jid = participant.member.occupant.clone();
        let mute = Mute { media, jid: jid.clone(), actor: actor.or_else(|| Some(self.occupant.clone())), muted: true };
        let purpose = ConferencePurpose::Notify { endpoint: endpoint.clone(), news: "mute" };
        self.request(&jid, "set", mute.to_element(), purpose, context);
    }

    /// Tells bridges what changed of what they are to drop.
    pub(super) fn update_force_mutes(&mut self, context: &mut Context<'_>) {
        let changed: Vec<(EndpointId, ForceMute)> = self
            .participants
            .values()
            .filter(|participant| participant.session.allocation().is_some())
            .map(|participant| (participant, self.av_moderation.force_mute(participant, context.settings)))
            .filter(|(participant, force_mute)| participant.force_mute != *force_mute)
            .map(|(participant, force_mute)| (participant.endpoint.clone(), force_mute))
            .collect();
        for (endpoint, force_mute) in changed {
            self.update_endpoint(&endpoint, |modify| modify.force_mute = Some(force_mute), context);
            if let Some(participant) = self.participants.get_mut(&endpoint) {
                participant.force_mute = force_mute;
            }
        }
    }
}

fn media_of(name: &str) -> Option<MuteMedia> {
    match name {
        "audio" => Some(MuteMedia::Audio),
        "video" => Some(MuteMedia::Video),
        "desktop" => Some(MuteMedia::Desktop),
        _ => None,
    }
}

fn nick_of(occupant: &str) -> Option<String> {
    occupant.parse::<Jid>().ok()?.resource().map(str::to_owned)
}
