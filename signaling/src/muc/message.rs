//! Messages in a room (XEP-0045 §7.4–7.5, §8.1): to everybody, to one occupant, and the subject.

use serde_json::Value;
use xmpp::muc::Role;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::display_name;
use super::history::delay;
use super::invite::invites_of;
use super::kind::MucKind;
use super::moderation::Amendment;
use super::occupant::Occupant;
use super::room::Room;
use super::visitors;
use crate::audit::{self, Act};
use crate::conference_components::json;
use crate::context::{Context, Sender};

const LIMIT_REACHED: &str = "The message limit for the room has been reached. Messaging is now disabled.";

/// The subject, which clients show as the title of the meeting.
#[derive(Debug)]
pub(super) struct Subject {
    /// The message that set it, as the room sent it.
    pub(super) message: Element,
    pub(super) set_ms: u64,
}

impl Room {
    /// Takes a message to the room (`nick` is `None`) or to an occupant.
    pub(crate) fn handle_message(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        nick: Option<&str>,
        stanza: Element,
    ) {
        let kind = stanza.attr("type").unwrap_or("normal").to_owned();
        if let (None, "normal", Some(invites)) = (nick, kind.as_str(), invites_of(&stanza)) {
            return self.handle_invites(context, sender, &stanza, &invites);
        }
        let Some(from_nick) = self.occupant_of(sender.jid).map(|from| from.nick.clone()) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::NotAcceptable));
            return;
        };
        let handled = match (nick, kind.as_str()) {
            (None, "groupchat") => self.handle_groupchat(context, sender, &from_nick, &stanza),
            (None, "error") => {
                context.metrics.count_dropped("message_error_to_room");
                Ok(())
            }
            (Some(nick), "chat" | "normal" | "error") => self.relay_private(context, &from_nick, nick, &stanza),
            _ => Err(StanzaError::new(Condition::BadRequest)),
        };
        if let Err(error) = handled {
            context.refuse(sender.jid, &stanza, &error);
        }
    }

    fn handle_groupchat(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        from_nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let Some(from) = self.occupants.get(from_nick) else { return Ok(()) };
        let has_body = stanza.child("body", ns::CLIENT).is_some();
        // XEP-0045 §8.1: a subject without a body is a change of subject, with one it is a message like others.
        let is_subject = stanza.child("subject", ns::CLIENT).is_some() && !has_body;
        let is_allowed = match from.role {
            Role::Moderator => true,
            Role::Participant => !is_subject || self.config.is_subject_open,
            Role::Visitor | Role::None => false,
        };
        let json = json::of_message(stanza);
        if !is_allowed || is_forged_transcript(from, json.as_ref()) {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if let Some(command) = visitors::command_of(context.settings, self.kind, json.as_ref()) {
            return self.handle_visitors_command(context, from_nick, command.clone());
        }
        if has_body {
            let is_restricted = self.state.metadata.is_set("permissions", "groupChatRestricted");
            if is_restricted && !self.allows(context.settings, from, "send-groupchat") {
                let error = StanzaError::new(Condition::NotAllowed);
                return Err(error.with_text("Sending group messages not allowed"));
            }
            self.count_message(context)?;
        }
        let amendment = Amendment::of(stanza, json.as_ref());
        if let Some(amendment) = &amendment {
            self.amend(context, from_nick, amendment)?;
        }
        if let Some(Amendment::Moderate { id, reason }) = &amendment {
            let act = Act { event: "message_moderated", rule: "moderator", by: Some(sender.jid), on: Some(id) };
            audit::moderated(&self.jid, act);
            self.tell_moderated(context, from_nick, id, reason.as_deref());
            return Ok(());
        }
        let message = self.as_sent(context, from_nick, stanza.clone());
        self.broadcast_of(context, from_nick, &message);
        self.tell_nodes(context, &message, is_subject);
        if is_subject {
            tracing::debug!(room = %self.jid, by = %sender.jid, "subject set");
            self.subject = Some(Subject { message, set_ms: context.now.unix_ms });
        } else if has_body && amendment.is_none() && stanza.child("no-store", ns::HINTS).is_none() {
            self.remember(context, from_nick, message);
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, context: &Context<'_>, from_nick: &str, message: Element) {
        // Who waits in a lobby is not to read what others wrote there.
        if self.kind == MucKind::Lobby {
            return;
        }
        let author = self.occupants.get(from_nick).and_then(display_name::author);
        let message = message.with_children(author);
        self.history.push(&self.jid, &message, from_nick, context.now.unix_ms, context.settings.limits.history);
    }

    /// Counts a message against the limit of the room, whose end is announced once (`mod_muc_limit_messages`).
    pub(super) fn count_message(&mut self, context: &mut Context<'_>) -> Result<(), StanzaError> {
        let limit = match self.kind {
            MucKind::Conference => context.settings.conference.messages,
            MucKind::Visitors => context.settings.visitors.messages,
            MucKind::Lobby | MucKind::Breakout | MucKind::Internal => None,
        };
        let Some(limit) = limit else { return Ok(()) };
        if self.message_count < limit {
            self.message_count += 1;
            return Ok(());
        }
        if self.message_count == limit {
            self.message_count = limit.saturating_add(1);
            self.say(context, LIMIT_REACHED);
        }
        Err(StanzaError::new(Condition::NotAllowed).with_text(LIMIT_REACHED))
    }

    /// The room itself says something to everybody.
    fn say(&self, context: &mut Context<'_>, text: &str) {
        let message = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("id", context.random_uuid())
            .with_attr("from", self.jid.as_str())
            .with_child(Element::new("body", ns::CLIENT).with_text(text));
        self.broadcast(context, &message);
    }

    /// A message as the room sends it to everybody: with an id to refer to, without what others could be fooled by.
    fn as_sent(&self, context: &mut Context<'_>, from_nick: &str, mut message: Element) -> Element {
        let stable_id = context.random_uuid();
        // The name shown comes from presence, where it can be checked (muc_meeting_id strips it as well). XEP-0359 §3.1:
        // ids in the room's name are the room's to give.
        let room = self.jid.as_str();
        message.retain_children(|child| match child.ns() {
            ns::NICK | ns::DISPLAY_NAME => false,
            ns::STANZA_ID => child.attr("by") != Some(room),
            ns::DELAY => child.attr("from") != Some(room),
            _ => true,
        });
        name_replies(&mut message);
        message.set_attr("from", self.occupant_jid(from_nick));
        if message.attr("id").is_none_or(str::is_empty) {
            // The stock client sends no id; without one, nobody can react to the message, answer or delete it.
            message.set_attr("id", stable_id.as_str());
        }
        message.with_child(Element::new("stanza-id", ns::STANZA_ID).with_attr("by", room).with_attr("id", stable_id))
    }

    fn relay_private(
        &mut self,
        context: &mut Context<'_>,
        from_nick: &str,
        to_nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let (Some(from), Some(to)) = (self.occupants.get(from_nick), self.occupants.get(to_nick)) else {
            return Err(StanzaError::new(Condition::ItemNotFound));
        };
        if !self.hears(to, from) {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        if is_forged_transcript(from, json::of_message(stanza).as_ref()) {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        let has_body = stanza.child("body", ns::CLIENT).is_some();
        let is_restricted = self.state.metadata.is_set("permissions", "privateChatRestricted");
        if has_body && is_restricted && !self.allows(context.settings, from, "send-private-message") {
            let error = StanzaError::new(Condition::NotAllowed);
            return Err(error.with_text("Sending private messages not allowed"));
        }
        let to = to.jid.clone();
        if has_body {
            self.count_message(context)?;
        }
        // XEP-0045 §7.5: the mark tells a private message of the room from one of the same sender outside.
        let mut message = stanza.clone();
        message.retain_children(|child| !matches!(child.ns(), ns::MUC_USER | ns::DISPLAY_NAME));
        name_replies(&mut message);
        message.set_attr("from", self.occupant_jid(from_nick));
        if message.attr("id").is_none_or(str::is_empty) {
            message.set_attr("id", context.random_uuid());
        }
        context.send(&to, message.with_child(Element::new("x", ns::MUC_USER)));
        Ok(())
    }

    /// Tells a newcomer the subject; an empty one ends the join when there is none (XEP-0045 §7.2.15).
    pub(super) fn send_subject(&self, context: &mut Context<'_>, to: &Jid) {
        let message = match &self.subject {
            Some(Subject { message, set_ms }) => message.clone().with_child(delay(&self.jid, *set_ms)),
            None => Element::new("message", ns::CLIENT)
                .with_attr("type", "groupchat")
                .with_attr("from", self.jid.as_str())
                .with_child(Element::new("subject", ns::CLIENT)),
        };
        context.send(to, message);
    }

    /// The room sets its own subject.
    pub(crate) fn set_subject(&mut self, context: &mut Context<'_>, text: &str) {
        let message = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("from", self.jid.as_str())
            .with_child(Element::new("subject", ns::CLIENT).with_text(text));
        self.broadcast(context, &message);
        self.subject = Some(Subject { message, set_ms: context.now.unix_ms });
    }

    /// The title of the meeting.
    pub(crate) fn subject(&self) -> Option<String> {
        self.subject.as_ref()?.message.child("subject", ns::CLIENT).map(Element::text)
    }
}

/// Whether somebody other than a transcriber says what was spoken (`mod_muc_transcription_filter`).
fn is_forged_transcript(from: &Occupant, json: Option<&Value>) -> bool {
    !from.is_hidden && !from.is_service && is_transcript(json)
}

/// Whether it is said what was spoken.
pub(super) fn is_transcript(json: Option<&Value>) -> bool {
    json.is_some_and(|json| matches!(json["type"].as_str(), Some("transcription-result" | "translation-result")))
}

/// COMPAT: lib-jitsi-meet (August 2026) sends `reply` without its namespace, and reads it with the namespace only. A room
/// that passes it on as it came would lose what a message answers to.
fn name_replies(message: &mut Element) {
    for child in message.children_mut().filter(|child| child.is("reply", ns::CLIENT)) {
        let mut reply = Element::new("reply", ns::REPLY);
        for (name, value) in child.attrs() {
            reply.set_attr(name.to_owned(), value);
        }
        *child = reply;
    }
}
