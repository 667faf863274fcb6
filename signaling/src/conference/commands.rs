//! Commands to components: who sent them, which room they are about, and whose business they are (signaling.md §6).

use xmpp::muc::Destroy;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::Conferences;
use super::timers::RoomTimer;
use crate::conference_components::{
    ComponentKind, audio_translation, av_moderation, file_sharing, metadata, polls, speaker_stats, unhandled,
};
use crate::context::{Context, Sender};
use crate::muc::{MucKind, Room};

/// Why a conference ended that somebody ended for all. Clients show other words for it.
pub(crate) const TERMINATED: &str = "The meeting has been terminated";

impl Conferences {
    /// Takes a stanza to a component.
    pub(crate) fn handle_component(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        component: ComponentKind,
        stanza: &Element,
    ) {
        let handled = match (stanza.name(), stanza.attr("type")) {
            ("presence", _) => {
                context.metrics.count_dropped("presence_to_component");
                Ok(())
            }
            ("iq", _) if component == ComponentKind::JibriQueue => self.handle_jibri_queue(context, sender, stanza),
            ("iq", _) if component == ComponentKind::Visitors => {
                self.handle_visitors_component(context, sender, stanza)
            }
            ("iq", _) => Err(unhandled()),
            (_, Some("error")) => Ok(()),
            (_, _) => self.handle_command(context, sender, component, stanza),
        };
        if let Err(error) = handled {
            context.refuse(sender.jid, stanza, &error);
        }
        self.settle(context);
    }

    fn handle_command(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        component: ComponentKind,
        message: &Element,
    ) -> Result<(), StanzaError> {
        let child = |name: &str, ns: &str| message.child(name, ns).ok_or_else(unhandled);
        // The room that the page is about; the server knows it, whatever a message says.
        let own_room = || sender.client.room_jid(&context.settings.hosts).ok_or_else(unhandled);
        match component {
            ComponentKind::SpeakerStats => {
                let command = child("speakerstats", ns::JITMEET).or_else(|_| child("faceLandmarks", ns::JITMEET))?;
                let (room, nick) = self.named_room(context, sender, command)?;
                speaker_stats::handle(context, room, &nick, command)
            }
            ComponentKind::Metadata => {
                let command = child("room_metadata", ns::JITMEET)?;
                let (room, nick) = self.named_room(context, sender, command)?;
                metadata::handle(context, room, &nick, command)?;
                let room_jid = room.jid.clone();
                if audio_translation::is_switched(room) {
                    self.schedule(context, RoomTimer::Translations(room_jid.clone()), audio_translation::DEBOUNCE);
                }
                self.go_live(context, &room_jid);
                Ok(())
            }
            ComponentKind::AvModeration => {
                let command = message.child_named("av_moderation").ok_or_else(unhandled)?;
                let (room, nick) = self.main_room(sender, &own_room()?)?;
                av_moderation::handle(context, room, &nick, command)
            }
            ComponentKind::Polls => {
                let (room_jid, occupant) = self.place_of_own(sender, &own_room()?)?;
                let room = self.muc_of(context, &room_jid).room_mut(&room_jid).ok_or_else(unhandled)?;
                polls::handle(context, room, &occupant, message)
            }
            ComponentKind::FileSharing => {
                let command = child("file-sharing", ns::JITMEET)?;
                let (room, nick) = self.main_room(sender, &own_room()?)?;
                file_sharing::handle(context, room, &nick, command)
            }
            ComponentKind::AudioTranslation => {
                let command = child("audio-translation", ns::JITMEET)?;
                let room_jid = own_room()?;
                let forbidden = |_| StanzaError::new(Condition::Forbidden);
                let (room, nick) = self.main_room(sender, &room_jid).map_err(forbidden)?;
                if audio_translation::handle(context, room, &nick, command)? {
                    self.schedule(context, RoomTimer::Translations(room_jid), audio_translation::DEBOUNCE);
                }
                Ok(())
            }
            ComponentKind::EndConference => {
                message.child_named("end_conference").ok_or_else(unhandled)?;
                let room_jid = own_room()?;
                let (_, occupant) = self.place_of(&room_jid, sender.jid).ok_or_else(unhandled)?;
                if !occupant.is_moderator() {
                    return Err(unhandled());
                }
                let destroy = Destroy { alternate: None, reason: Some(TERMINATED.to_owned()) };
                self.end(context, &room_jid, &destroy, ("moderator", Some(sender.jid)));
                Ok(())
            }
            ComponentKind::JibriQueue | ComponentKind::Visitors => Err(unhandled()),
        }
    }

    /// The room that a command names, and the sender's nick in it.
    fn named_room(
        &mut self,
        context: &Context<'_>,
        sender: Sender<'_>,
        command: &Element,
    ) -> Result<(&mut Room, String), StanzaError> {
        let room_jid = command.attr("room").and_then(|room| room.parse::<Jid>().ok()).ok_or_else(unhandled)?;
        let is_meant = |room: &&mut Room| matches!(room.kind, MucKind::Conference | MucKind::Breakout);
        let room = self.muc_of(context, &room_jid).room_mut(&room_jid).filter(is_meant);
        with_nick(room, sender)
    }

    fn main_room(&mut self, sender: Sender<'_>, room_jid: &Jid) -> Result<(&mut Room, String), StanzaError> {
        with_nick(self.main.room_mut(room_jid), sender)
    }

    fn place_of_own(&self, sender: Sender<'_>, main: &Jid) -> Result<(Jid, String), StanzaError> {
        let (room_jid, occupant) = self.place_of(main, sender.jid).ok_or_else(unhandled)?;
        Ok((room_jid, occupant.nick.clone()))
    }
}

fn with_nick<'a>(room: Option<&'a mut Room>, sender: Sender<'_>) -> Result<(&'a mut Room, String), StanzaError> {
    let room = room.ok_or_else(unhandled)?;
    let nick = room.occupant_of(sender.jid).map(|occupant| occupant.nick.clone()).ok_or_else(unhandled)?;
    Ok((room, nick))
}
