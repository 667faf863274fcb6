//! Messages that change earlier ones: corrected by their author (XEP-0308), taken back by their author (XEP-0424) or by a
//! moderator (XEP-0425), after `mod_muc_message_moderation`.
//!
//! Here: who may, and what becomes of history. Everybody present is told by the message itself.

use serde_json::Value;
use xmpp::{Condition, Element, StanzaError, datetime, ns};

use super::occupant::Occupant;
use super::room::Room;
use crate::context::Context;

/// What a message asks to do to an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Amendment {
    /// Give it another text.
    Correct { id: String, text: String },
    /// Take it back.
    Retract { id: String },
    /// Take somebody else's back.
    Moderate { id: String, reason: Option<String> },
}

impl Amendment {
    /// What a message, with the JSON that is in it, asks for; `None` for one that stands for itself.
    pub(super) fn of(message: &Element, json: Option<&Value>) -> Option<Self> {
        let id_of = |element: &Element| element.attr("id").map(str::to_owned);
        if let Some(retract) = message.child("retract", ns::RETRACT) {
            return Some(Self::Retract { id: id_of(retract)? });
        }
        if let Some(apply_to) = message.child("apply-to", ns::FASTEN) {
            let moderated = apply_to.child("moderated", ns::MODERATE)?;
            moderated.child("retract", ns::RETRACT)?;
            let reason = moderated.child_named("reason").map(Element::text).filter(|reason| !reason.is_empty());
            return Some(Self::Moderate { id: id_of(apply_to)?, reason });
        }
        if let Some(replace) = message.child("replace", ns::CORRECT) {
            return Some(Self::Correct { id: id_of(replace)?, text: message.child("body", ns::CLIENT)?.text() });
        }
        // The stock client's own way of editing.
        let edit = json.filter(|json| json["type"] == "editChat")?;
        Some(Self::Correct { id: edit["messageId"].as_str()?.to_owned(), text: edit["message"].as_str()?.to_owned() })
    }

    fn id(&self) -> &str {
        match self {
            Self::Correct { id, .. } | Self::Retract { id } | Self::Moderate { id, .. } => id,
        }
    }
}

impl Room {
    /// Changes history as asked.
    ///
    /// # Errors
    /// When it is not for this occupant to ask.
    pub(super) fn amend(
        &mut self,
        context: &mut Context<'_>,
        nick: &str,
        amendment: &Amendment,
    ) -> Result<(), StanzaError> {
        let refused = |condition, text: &str| Err(StanzaError::new(condition).with_text(text));
        let is_moderator = self.occupants.get(nick).is_some_and(Occupant::is_moderator);
        let is_author = self.history.author_of(amendment.id()) == Some(nick);
        match amendment {
            Amendment::Correct { .. } if !is_author => {
                refused(Condition::Forbidden, "Only the author can correct a message")
            }
            Amendment::Correct { id, .. } if self.history.is_moderated(id) => {
                refused(Condition::NotAllowed, "Message has been moderated")
            }
            Amendment::Correct { id, text } => {
                self.history.correct(id, text);
                Ok(())
            }
            Amendment::Retract { .. } if !is_author && !is_moderator => {
                refused(Condition::Forbidden, "Only the author can retract a message")
            }
            Amendment::Retract { id } => {
                self.history.remove(id);
                Ok(())
            }
            Amendment::Moderate { .. } if !is_moderator => {
                refused(Condition::Forbidden, "Only moderators can moderate messages")
            }
            Amendment::Moderate { id, reason } => {
                let stamp = datetime::format_utc(context.now.unix_ms);
                let retracted = Element::new("retracted", ns::RETRACT).with_attr("stamp", stamp);
                let mark = self.moderated(nick, retracted, reason.as_deref());
                self.history.moderate(id, mark);
                Ok(())
            }
        }
    }

    /// The room's own word that a message was moderated; the request itself goes to nobody.
    pub(super) fn tell_moderated(&self, context: &mut Context<'_>, nick: &str, id: &str, reason: Option<&str>) {
        let mark = self.moderated(nick, Element::new("retract", ns::RETRACT), reason);
        let message = Element::new("message", ns::CLIENT)
            .with_attr("type", "groupchat")
            .with_attr("id", context.random_uuid())
            .with_attr("from", self.jid.as_str())
            .with_child(Element::new("apply-to", ns::FASTEN).with_attr("id", id).with_child(mark))
            .with_child(Element::new("no-store", ns::HINTS));
        self.broadcast(context, &message);
        self.tell_nodes(context, &message, false);
    }

    fn moderated(&self, nick: &str, what: Element, reason: Option<&str>) -> Element {
        let mark = Element::new("moderated", ns::MODERATE).with_attr("by", self.occupant_jid(nick)).with_child(what);
        match reason {
            Some(reason) => mark.with_child(Element::new("reason", ns::MODERATE).with_text(reason)),
            None => mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference_components::json;

    fn amendment(children: &str) -> Option<Amendment> {
        let message = format!("<message xmlns='jabber:client' type='groupchat'>{children}</message>");
        let message = message.parse().unwrap();
        Amendment::of(&message, json::of_message(&message).as_ref())
    }

    #[test]
    fn each_way_of_changing_a_message_is_known() {
        assert_eq!(
            amendment("<retract xmlns='urn:xmpp:message-retract:1' id='1'/><body>x</body>"),
            Some(Amendment::Retract { id: "1".to_owned() })
        );
        assert_eq!(
            amendment("<replace xmlns='urn:xmpp:message-correct:0' id='1'/><body>new</body>"),
            Some(Amendment::Correct { id: "1".to_owned(), text: "new".to_owned() })
        );
        assert_eq!(
            amendment(
                "<json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"editChat\",\"messageId\":\"1\",\"message\":\"new\"}</json-message>"
            ),
            Some(Amendment::Correct { id: "1".to_owned(), text: "new".to_owned() })
        );
        assert_eq!(
            amendment(
                "<apply-to xmlns='urn:xmpp:fasten:0' id='1'><moderated xmlns='urn:xmpp:message-moderate:1'>\
                 <retract xmlns='urn:xmpp:message-retract:1'/><reason>spam</reason></moderated></apply-to>"
            ),
            Some(Amendment::Moderate { id: "1".to_owned(), reason: Some("spam".to_owned()) })
        );
    }

    #[test]
    fn what_names_no_message_or_is_something_else_stands_for_itself() {
        assert_eq!(amendment("<retract xmlns='urn:xmpp:message-retract:1'/>"), None);
        assert_eq!(amendment("<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"), None);
        assert_eq!(amendment("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"), None);
        assert_eq!(amendment("<body>b</body>"), None);
    }
}
