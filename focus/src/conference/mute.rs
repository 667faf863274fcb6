//! Moderators mute others (focus.md §9).

use jitsi_protocol::mute::Mute;
use model::EndpointId;
use xmpp::{Condition, Element, Jid, StanzaError};

use super::Conference;
use super::participant::Participant;
use crate::context::{ConferencePurpose, Context};
use crate::settings::Settings;

impl Conference {
    pub(super) fn on_mute(&mut self, from: &Jid, iq: &Element, payload: &Element, context: &mut Context<'_>) {
        let answer = Mute::from_element(payload)
            .map_err(|error| error.to_stanza_error())
            .and_then(|mute| Ok((self.permit(from, &mute, context.settings)?, mute)));
        let (target, mute) = match answer {
            Ok(permitted) => permitted,
            Err(error) => return context.answer(iq, Err(error)),
        };
        context.answer(iq, Ok(()));
        if mute.jid == *from {
            return;
        }
        // The client never answers this: it changes its presence.
        let mute = Mute { actor: Some(from.clone()), ..mute };
        let purpose = ConferencePurpose::Notify { endpoint: target, news: "mute" };
        self.request(&mute.jid, "set", mute.to_element(), purpose, context);
    }

    /// Who is muted, if the requester may do that.
    fn permit(&self, from: &Jid, mute: &Mute, settings: &Settings) -> Result<EndpointId, StanzaError> {
        let not_here = || StanzaError::new(Condition::InternalServerError).with_text("not a participant");
        let requester = self.participant_at(from).ok_or_else(not_here)?;
        let target = self.participant_at(&mute.jid).ok_or_else(not_here)?;
        let is_self = requester.endpoint == target.endpoint;
        let is_allowed = match mute.muted {
            true => is_self || requester.member.has_moderator_rights(),
            false => is_self && self.av_moderation.permits(requester, mute.media),
        };
        if !is_allowed || target.cannot_be_muted(settings) {
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        Ok(target.endpoint.clone())
    }

    pub(super) fn participant_at(&self, occupant: &Jid) -> Option<&Participant> {
        let endpoint: EndpointId = occupant.resource()?.parse().ok()?;
        self.participants.get(&endpoint).filter(|participant| participant.member.occupant == *occupant)
    }
}
