//! What visitors say, and what is said to them (`mod_fmuc`): to all, to one, and the few requests that pass between them and those in
//! the conference.

use xmpp::{Condition, Element, ErrorType, Jid, StanzaError, ns};

use super::message::{Subject, is_transcript};
use super::moderation::Amendment;
use super::occupant::Occupant;
use super::room::Room;
use crate::conference_components::json;
use crate::context::{Context, Sender};

/// The name of a visitor who gives none.
const NAMELESS: &str = "anonymous";

/// What becomes of a message of a visitor, or of a participant to a visitor.
pub(crate) struct PrivateMessage {
    pub(crate) to: Jid,
    pub(crate) message: Element,
    /// Nick of the participant who writes; `None` for a visitor.
    pub(crate) by: Option<String>,
}

impl Room {
    /// What a visitor says to all, as it is passed on: with his name, since he is shown to nobody, and without a sender.
    ///
    /// # Errors
    /// When he may not say it: visitors write, react, and change what they wrote.
    pub(crate) fn words_of_visitor(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Element,
    ) -> Result<Element, StanzaError> {
        let json = json::of_message(stanza);
        let amendment = Amendment::of(stanza, json.as_ref());
        let has_body = stanza.child("body", ns::CLIENT).is_some();
        let is_known = match &amendment {
            Some(Amendment::Correct { .. } | Amendment::Retract { .. }) => true,
            Some(Amendment::Moderate { .. }) => false,
            None => (has_body || stanza.child("reactions", ns::REACTIONS).is_some()) && !is_transcript(json.as_ref()),
        };
        if !is_known {
            context.metrics.count_dropped("visitor_message");
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if has_body {
            self.count_message(context)?;
        }
        let mut message = self.named_message(context, sender, stanza)?;
        // JSON is how the web app tells what happened; of visitors it takes an edit only.
        message.retain_children(|child| child.name() != "json-message" || amendment.is_some());
        Ok(message)
    }

    /// A message of a visitor with his name and an id, and without a sender.
    fn named_message(
        &self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Element,
    ) -> Result<Element, StanzaError> {
        let Some(occupant) = self.occupant_of(sender.jid) else {
            return Err(StanzaError::new(Condition::NotAcceptable));
        };
        let name = occupant.display_name().unwrap_or_else(|| NAMELESS.to_owned());
        let mut message = stanza.clone();
        message.remove_attr("from");
        message.remove_attr("to");
        message.retain_children(|child| {
            !matches!(child.ns(), ns::NICK | ns::DISPLAY_NAME | ns::STANZA_ID | ns::DELAY | ns::MUC_USER | ns::ADDRESS)
        });
        if message.attr("id").is_none_or(str::is_empty) {
            message.set_attr("id", context.random_uuid());
        }
        Ok(message
            .with_child(Element::new("nick", ns::NICK).with_text(name.as_str()))
            .with_child(Element::new("display-name", ns::DISPLAY_NAME).with_attr("source", "visitor").with_text(name)))
    }

    /// In the conference itself: a visitor says something to all. He is no occupant, so it is the room that says it. Answers the
    /// message as it was sent.
    ///
    /// # Errors
    /// When it is not for visitors to say it here.
    pub(crate) fn take_words_of_visitor(
        &mut self,
        context: &mut Context<'_>,
        author: &str,
        message: Element,
    ) -> Result<Element, StanzaError> {
        let has_body = message.child("body", ns::CLIENT).is_some();
        if has_body && self.state.metadata.is_set("permissions", "groupChatRestricted") {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Sending group messages not allowed"));
        }
        let amendment = Amendment::of(&message, json::of_message(&message).as_ref());
        if let Some(amendment) = &amendment {
            self.amend(context, author, amendment)?;
        }
        let stable_id = Element::new("stanza-id", ns::STANZA_ID)
            .with_attr("by", self.jid.as_str())
            .with_attr("id", context.random_uuid());
        let message = message.with_attr("from", self.jid.as_str()).with_child(stable_id);
        self.broadcast(context, &message);
        if has_body && amendment.is_none() {
            self.remember(context, author, message.clone());
        }
        Ok(message)
    }

    /// Tells visitors what was said in the conference. `author` is one of them, who is shown to himself under his own address.
    pub(crate) fn tell_visitors(
        &mut self,
        context: &mut Context<'_>,
        main: &Jid,
        said: &Element,
        author: Option<&str>,
    ) {
        let mut message = as_told_at(&self.jid, main, said);
        if let Some(author) = author {
            message.set_attr("from", author);
        }
        context.send_to_all(self.visitors().map(|visitor| &visitor.jid), message);
    }

    /// The title of the meeting is another.
    pub(crate) fn retitle(&mut self, context: &mut Context<'_>, main: &Jid, message: &Element) {
        self.subject = Some(Subject { message: as_told_at(&self.jid, main, message), set_ms: context.now.unix_ms });
    }

    /// A message from one to one: between a visitor and somebody in the conference, in either direction (`muc-private-message` of
    /// `mod_fmuc`).
    ///
    /// # Errors
    /// When it goes to nobody, or to another visitor.
    pub(crate) fn private_message(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to_nick: &str,
        stanza: &Element,
    ) -> Result<PrivateMessage, StanzaError> {
        let visitor = self.occupants.get(to_nick).map(|visitor| visitor.jid.clone());
        if let Some(by) = self.mirrored_of(sender.jid).map(|by| by.nick.clone()) {
            let to = visitor.ok_or(StanzaError::new(Condition::ItemNotFound))?;
            let mut message = stanza.clone();
            message.retain_children(|child| !matches!(child.ns(), ns::MUC_USER | ns::DISPLAY_NAME | ns::ADDRESS));
            message.set_attr("from", self.occupant_jid(&by));
            if message.attr("id").is_none_or(str::is_empty) {
                message.set_attr("id", context.random_uuid());
            }
            let message = message.with_child(Element::new("x", ns::MUC_USER));
            return Ok(PrivateMessage { to, message, by: Some(by) });
        }
        let Some(from) = self.occupant_of(sender.jid).map(|from| self.occupant_jid(&from.nick)) else {
            return Err(StanzaError::new(Condition::NotAcceptable));
        };
        if visitor.is_some() {
            let text = "Private messaging between visitors is disabled on visitor nodes";
            return Err(StanzaError::new(Condition::Forbidden).with_type(ErrorType::Auth).with_text(text));
        }
        let to = self.mirrored(to_nick).map(|occupant| occupant.jid.clone());
        let to = to.ok_or(StanzaError::new(Condition::ItemNotFound))?;
        if stanza.child("body", ns::CLIENT).is_none() {
            context.metrics.count_dropped("visitor_message");
            return Err(StanzaError::new(Condition::Forbidden));
        }
        self.count_message(context)?;
        let mut message = self.named_message(context, sender, stanza)?;
        message.retain_children(|child| child.name() != "json-message");
        let main = self.main_room.as_ref().ok_or(StanzaError::new(Condition::ItemNotFound))?;
        // Whoever answers writes to that address.
        let origin = Element::new("address", ns::ADDRESS).with_attr("type", "ofrom").with_attr("jid", from);
        let message = message
            .with_attr("from", main.as_str())
            .with_child(Element::new("addresses", ns::ADDRESS).with_child(origin))
            .with_child(Element::new("x", ns::MUC_USER));
        Ok(PrivateMessage { to, message, by: None })
    }

    /// Passes a request to somebody in the conference, or his answer, on. Visitors may ask what others' clients can do, and nothing
    /// else; answers whether this was anything of the kind.
    ///
    /// # Errors
    /// When a visitor asks for something else.
    pub(crate) fn relay_mirrored_iq(
        &self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        nick: &str,
        stanza: &Element,
    ) -> Result<bool, StanzaError> {
        let is_answer = matches!(stanza.attr("type"), Some("result" | "error"));
        let (from, to) = match (self.mirrored_of(sender.jid), self.mirrored(nick)) {
            (Some(from), _) => {
                let visitor = self.occupants.get(nick).filter(|visitor| !visitor.is_service);
                let visitor = visitor.filter(|_| is_answer).ok_or(StanzaError::new(Condition::ItemNotFound))?;
                (&from.nick, &visitor.jid)
            }
            (None, Some(to)) => {
                let Some(from) = self.occupant_of(sender.jid) else {
                    return Err(StanzaError::new(Condition::NotAcceptable));
                };
                if stanza.child("query", ns::DISCO_INFO).is_none() || stanza.attr("type") != Some("get") {
                    return Err(StanzaError::new(Condition::ServiceUnavailable));
                }
                (&from.nick, &to.jid)
            }
            (None, None) => {
                let is_between_visitors =
                    |from: &Occupant, to: &Occupant| !from.is_service && !to.is_service && from.nick != to.nick;
                let pair = self.occupant_of(sender.jid).zip(self.occupants.get(nick));
                if pair.is_some_and(|(from, to)| is_between_visitors(from, to)) {
                    // They do not know of each other.
                    return Err(StanzaError::new(Condition::ItemNotFound));
                }
                return Ok(false);
            }
        };
        let mut stanza = stanza.clone();
        stanza.set_attr("from", self.occupant_jid(from));
        context.send(to, stanza);
        Ok(true)
    }
}

/// What was said in a conference as it is told in a room of visitors: addresses of the conference are those of the room.
pub(super) fn as_told_at(room: &Jid, main: &Jid, said: &Element) -> Element {
    let told = |address: &str| {
        let rest = address.strip_prefix(main.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{room}{rest}"))
    };
    let mut message = said.clone();
    if let Some(from) = message.attr("from").and_then(told) {
        message.set_attr("from", from);
    }
    for child in message.children_mut() {
        for name in ["from", "to", "by"] {
            if let Some(address) = child.attr(name).and_then(told) {
                child.set_attr(name, address);
            }
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_has_the_addresses_of_the_room_it_is_told_in() {
        let (room, main) = ("r@muc.v1.d".parse().unwrap(), "r@muc.d".parse().unwrap());
        let said = "<message xmlns='jabber:client' type='groupchat' from='r@muc.d/n' id='1'><body>r@muc.d</body>\
                    <stanza-id xmlns='urn:xmpp:sid:0' by='r@muc.d' id='2'/><reply xmlns='urn:xmpp:reply:0' to='r@muc.d/m'/>\
                    <delay xmlns='urn:xmpp:delay' from='r@muc.dx'/></message>";
        assert_eq!(
            as_told_at(&room, &main, &said.parse().unwrap()).to_string(),
            "<message xmlns='jabber:client' from='r@muc.v1.d/n' id='1' type='groupchat'><body>r@muc.d</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='r@muc.v1.d' id='2'/>\
             <reply xmlns='urn:xmpp:reply:0' to='r@muc.v1.d/m'/><delay xmlns='urn:xmpp:delay' from='r@muc.dx'/></message>"
        );
    }
}
