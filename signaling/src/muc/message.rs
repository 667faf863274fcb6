//! Messages in a room (XEP-0045 §7.4–7.5, §8.1): to everybody, to one occupant, and the subject.

use xmpp::muc::Role;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::history::delay;
use super::room::Room;
use crate::context::{Context, Sender};

/// The subject, which clients show as the title of the meeting.
#[derive(Debug)]
pub(super) struct Subject {
    /// The message that set it, as the room sent it.
    message: Element,
    set_ms: u64,
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
        let Some((from_nick, role)) = self.occupant_of(sender.jid).map(|from| (from.nick.clone(), from.role)) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::NotAcceptable));
            return;
        };
        let kind = stanza.attr("type").unwrap_or("normal").to_owned();
        match (nick, kind.as_str()) {
            (None, "groupchat") => self.handle_groupchat(context, sender, &from_nick, role, stanza),
            (None, "error") => context.metrics.count_dropped("message_error_to_room"),
            (Some(nick), "chat" | "normal" | "error") => self.relay_private(context, sender, &from_nick, nick, stanza),
            _ => context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::BadRequest)),
        }
    }

    fn handle_groupchat(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        from_nick: &str,
        role: Role,
        stanza: Element,
    ) {
        let has_body = stanza.child("body", ns::CLIENT).is_some();
        // XEP-0045 §8.1: a subject without a body is a change of subject, with one it is a message like others.
        let is_subject = stanza.child("subject", ns::CLIENT).is_some() && !has_body;
        let is_allowed = match role {
            Role::Moderator => true,
            Role::Participant => !is_subject || self.config.is_subject_open,
            Role::Visitor | Role::None => false,
        };
        if !is_allowed {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::Forbidden));
            return;
        }
        let message = self.as_sent(context, from_nick, stanza);
        self.broadcast(context, &message);
        if is_subject {
            self.subject = Some(Subject { message, set_ms: context.now.unix_ms });
        } else if has_body {
            self.history.push(&self.jid, &message, context.now.unix_ms, context.settings.limits.history);
        }
    }

    /// A message as the room sends it to everybody: with an id to refer to, without what others could be fooled by.
    fn as_sent(&self, context: &mut Context<'_>, from_nick: &str, mut message: Element) -> Element {
        let stable_id = context.random_uuid();
        // The name shown comes from presence, where it can be checked (muc_meeting_id strips it as well). XEP-0359 §3.1:
        // ids in the room's name are the room's to give.
        let room = self.jid.as_str();
        message.retain_children(|child| match child.ns() {
            ns::NICK => false,
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
        &self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        from_nick: &str,
        to_nick: &str,
        mut stanza: Element,
    ) {
        let Some(to) = self.occupants.get(to_nick) else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ItemNotFound));
            return;
        };
        // XEP-0045 §7.5: the mark tells a private message of the room from one of the same sender outside.
        stanza.retain_children(|child| child.ns() != ns::MUC_USER);
        name_replies(&mut stanza);
        stanza.set_attr("from", self.occupant_jid(from_nick));
        if stanza.attr("id").is_none_or(str::is_empty) {
            stanza.set_attr("id", context.random_uuid());
        }
        context.send(&to.jid, stanza.with_child(Element::new("x", ns::MUC_USER)));
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
