//! A room in which visitors see a conference (`mod_fmuc`, signaling.md §8): who is in the conference is shown here as an occupant, and
//! is none; visitors are occupants, and are shown to the focus only.
//!
//! Here: who is shown and who comes in. Not here: what visitors say (`visitor_words.rs`), and what is told from a conference to its
//! visitors and back (`conference/visitors.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use xmpp::muc::{Affiliation, Destroy, MucUser, Role, status};
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::entry::password_in;
use super::event::{Departed, Happening};
use super::kind::MucKind;
use super::message::Subject;
use super::occupant::Occupant;
use super::presence::{Cause, shown_to};
use super::room::Room;
use super::shown::Shown;
use super::visitor_words::as_told_at;
use crate::Settings;
use crate::conference_settings::is_listed;
use crate::context::{Context, Sender};
use crate::window::Window;

/// The child of a presence by which a visitor asks to come in: when he raised his hand, in milliseconds since 1970.
const RAISED_HAND: &str = "jitsi_participant_raisedHand";
/// Whether he wants to read what is said, and in which language.
const WANTS_TRANSCRIPTION: &str = "jitsi_participant_requestingTranscription";
const LANGUAGE: &str = "jitsi_participant_translation_language";
/// Stock's `transcriptions_default_language`.
const DEFAULT_LANGUAGE: &str = "en";
/// Longest name of a language, in bytes: `zh-Hant-TW` has 10.
const MAX_LANGUAGE_BYTES: usize = 20;
/// How often one visitor may raise his hand in [`HAND_WINDOW`]: each time every moderator is told.
const MAX_HANDS: u32 = 5;
const HAND_WINDOW: Duration = Duration::from_secs(60);
/// A moderator answers visitors who asked to come in.
pub(crate) const RESPOND: &str = "promotion-response";
/// A moderator makes a visitor of somebody.
pub(crate) const DEMOTE: &str = "demote-request";
/// What a room of visitors knows of its conference and of its visitors. Empty in all other rooms.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// Who is in the conference, by nick, in the order of arrival.
    participants: IndexMap<String, Mirrored>,
    /// Whether all of it is here, so that visitors may come.
    pub(super) is_connected: bool,
    /// Whether there is a lobby in front of the conference.
    has_lobby: bool,
    /// Which state of the conference's history is here.
    history_version: u64,
    /// Visitors who raised a hand of late, by nick.
    hands: BTreeMap<String, Hand>,
    /// Languages that visitors want to read, by nick.
    languages: BTreeMap<String, String>,
}

/// Somebody in the conference, as visitors are shown him.
#[derive(Debug)]
struct Mirrored {
    occupant: Occupant,
    affiliation: Affiliation,
}

#[derive(Debug, Default)]
struct Hand {
    is_up: bool,
    raised: Window,
}

impl Room {
    /// Takes over how it stands with the conference: who comes is let in by that, and told of it. What stock has in `connect` and
    /// `update`.
    pub(crate) fn update_from(&mut self, main: &Room) {
        self.main_room = Some(main.jid.clone());
        self.config.password.clone_from(&main.config.password);
        self.config.meeting_id.clone_from(&main.config.meeting_id);
        self.started_ms = main.started_ms;
        self.mirror.has_lobby = main.lobby.is_some();
        self.state.metadata = main.state.metadata.clone();
        if self.mirror.history_version != main.history.version() {
            self.mirror.history_version = main.history.version();
            self.history = main.history.retold(|message| as_told_at(&self.jid, &main.jid, message));
        }
    }

    /// Everybody in the conference is shown here: visitors come in from now on. Answers who was turned away on the way.
    pub(crate) fn connect(&mut self, context: &mut Context<'_>, main: &Room) -> Vec<Jid> {
        self.subject = main.subject.as_ref().map(|subject| Subject {
            message: as_told_at(&self.jid, &main.jid, &subject.message),
            set_ms: subject.set_ms,
        });
        self.mirror.is_connected = true;
        if self.has_focus() { self.release_held(context) } else { Vec::new() }
    }

    /// Whether anybody of the conference is shown.
    pub(crate) fn has_mirrored(&self) -> bool {
        !self.mirror.participants.is_empty()
    }

    /// The visitors in the room.
    pub(crate) fn visitors(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants().filter(|occupant| !occupant.is_service)
    }

    /// Shows somebody of the conference as it stands with him. Answers the visitor who had taken his name.
    pub(crate) fn mirror(
        &mut self,
        context: &mut Context<'_>,
        occupant: &Occupant,
        affiliation: Affiliation,
    ) -> Option<Jid> {
        let nick = occupant.nick.as_str();
        let former = self.mirror.participants.get(nick);
        if former.is_some_and(|former| former.affiliation == affiliation && former.occupant.is_shown_like(occupant)) {
            return None;
        }
        let squatter = self.occupants.contains_key(nick);
        let cause = Cause { status: Some(status::KICKED), ..Cause::default() };
        let departed = squatter.then(|| self.expel(context, nick, &cause)).flatten();
        let mut occupant = occupant.mirrored();
        let user = occupant.muc_user(affiliation);
        let shown = Shown::new(self.presence_of(&occupant, &user), affiliation, occupant.role);
        for viewer in self.occupants().filter(|viewer| !viewer.is_focus()) {
            context.send_shared(&viewer.jid, shown_to(context.settings, viewer, &occupant, &shown));
        }
        occupant.shown = Some(shown);
        self.mirror.participants.insert(occupant.nick.clone(), Mirrored { occupant, affiliation });
        departed
    }

    /// Somebody left the conference.
    pub(crate) fn unmirror(&mut self, context: &mut Context<'_>, departed: &Departed) {
        let former = self.mirror.participants.get(&departed.nick);
        // Somebody else may have come under that nick already.
        if former.is_none_or(|former| former.occupant.jid != departed.jid) {
            return;
        }
        let Some(Mirrored { occupant, affiliation }) = self.mirror.participants.shift_remove(&departed.nick) else {
            return;
        };
        let user = MucUser { role: Role::None, ..occupant.muc_user(affiliation) };
        let goodbye = Element::new("presence", ns::CLIENT)
            .with_attr("type", "unavailable")
            .with_attr("from", self.occupant_jid(&occupant.nick))
            .with_child(user.to_element());
        context.send_to_all(self.occupants().filter(|viewer| !viewer.is_focus()).map(|viewer| &viewer.jid), goodbye);
    }

    /// Tells who comes who is in the conference.
    pub(super) fn send_mirrored(&self, context: &mut Context<'_>, viewer: &Occupant) {
        if viewer.is_focus() {
            return;
        }
        for Mirrored { occupant, .. } in self.mirror.participants.values() {
            if let Some(shown) = &occupant.shown {
                context.send_shared(&viewer.jid, shown_to(context.settings, viewer, occupant, shown));
            }
        }
    }

    /// Somebody in the conference, by nick.
    pub(super) fn mirrored(&self, nick: &str) -> Option<&Occupant> {
        self.mirror.participants.get(nick).map(|mirrored| &mirrored.occupant)
    }

    /// Somebody in the conference, by real address.
    pub(super) fn mirrored_of(&self, jid: &Jid) -> Option<&Occupant> {
        let mut mirrored = self.mirror.participants.values().map(|mirrored| &mirrored.occupant);
        mirrored.find(|occupant| occupant.jid == *jid)
    }

    /// Whether somebody may come as a visitor (`muc-occupant-pre-join` of `mod_fmuc`).
    pub(super) fn check_visitor(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        join: &Element,
    ) -> Result<(), StanzaError> {
        let hosts = &context.settings.hosts;
        let node = hosts.node_of_rooms(self.jid.domain());
        if node.is_none() || node != hosts.node_of(sender.jid) {
            // Whoever is at another domain is in the conference, or nowhere.
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        self.check_token(context, sender)?;
        if self.visitors().count() >= context.settings.visitors.per_node {
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        if self.mirror.has_lobby {
            let error = StanzaError::new(Condition::NotAllowed).with_text("Visitors not allowed while lobby is on!");
            return Err(error.with_extension(Element::new("no-visitors-lobby", ns::VISITORS)));
        }
        self.check_password(context, sender, password_in(join).as_deref())
    }

    /// Whether somebody may come into a conference that has visitors (`mod_visitors_component`): whoever is new is one of them, unless
    /// he was let in.
    pub(super) fn check_promotion(&self, context: &Context<'_>, sender: Sender<'_>) -> Result<(), StanzaError> {
        let (hosts, rules) = (&context.settings.hosts, &context.settings.visitors);
        let is_exempt = hosts.is_hidden(sender.jid) || is_listed(&rules.ignore_list, sender.jid);
        if self.kind != MucKind::Conference || hosts.visitors.is_none() || is_exempt {
            return Ok(());
        }
        let is_live = self.state.metadata.is_live();
        let is_open = rules.auto_allow || (is_live && self.state.metadata.is_set("visitors", "autoPromote"));
        let is_visitor = hosts.node_of(sender.jid).is_some();
        if is_open && !is_visitor {
            return Ok(());
        }
        let refused = |text: &str, element: &'static str| {
            let error = StanzaError::new(Condition::NotAllowed).with_text(text);
            Err(error.with_extension(Element::new(element, ns::VISITORS)))
        };
        if self.state.visitors.is_active() || is_visitor {
            if !is_visitor && sender.jid.local().is_some_and(|name| self.state.visitors.is_admitted(name)) {
                return Ok(());
            }
            return refused("Visitor needs to be allowed by a moderator", "promotion-not-allowed");
        }
        if !sender.client.claims.as_deref().is_some_and(|claims| claims.is_visitor) {
            return Ok(());
        }
        if is_live {
            return refused("Visitor tried to join the main room without approval", "no-main-participants");
        }
        refused("Tried to join the main (not live or without main participants) room", "not-live-room")
    }

    /// Something was said in the conference: visitors hear it, if there are any.
    pub(super) fn tell_nodes(&self, context: &mut Context<'_>, message: &Element, is_subject: bool) {
        if self.state.visitors.is_active() {
            self.emit(context, Happening::Said { message: message.clone(), is_subject });
        }
    }

    /// Takes what somebody in the conference says about visitors; nobody else hears it. Of those who are no moderators it is dropped,
    /// as in stock.
    pub(super) fn handle_visitors_command(
        &mut self,
        context: &mut Context<'_>,
        nick: &str,
        command: Value,
    ) -> Result<(), StanzaError> {
        if !self.occupant(nick).is_some_and(Occupant::is_moderator) {
            context.metrics.count_dropped("forged_visitors_command");
            return Ok(());
        }
        if command["action"] == DEMOTE && command["actor"] != nick {
            return Err(StanzaError::new(Condition::BadRequest));
        }
        self.emit(context, Happening::VisitorsCommand { by: nick.to_owned(), command });
        Ok(())
    }

    /// What a visitor's presence says of his hand, when that is another than before: whether it is up.
    pub(crate) fn note_hand(&mut self, context: &Context<'_>, nick: &str) -> Option<bool> {
        let occupant = self.occupant(nick).filter(|occupant| occupant.role == Role::Visitor)?;
        let raised = occupant.presence().child_named(RAISED_HAND).map(Element::text);
        let is_up = raised.and_then(|since| since.trim().parse::<f64>().ok()).is_some_and(|since| since > 0.0);
        if !is_up {
            let hand = self.mirror.hands.get_mut(nick).filter(|hand| hand.is_up)?;
            hand.is_up = false;
            return Some(false);
        }
        let hand = self.mirror.hands.entry(nick.to_owned()).or_default();
        if hand.is_up {
            return None;
        }
        if hand.raised.count(HAND_WINDOW, context.now.instant) > MAX_HANDS {
            context.metrics.count_dropped("visitor_hand_rate");
            return None;
        }
        hand.is_up = true;
        Some(true)
    }

    /// What a visitor wants to read; answers whether that is another than before.
    pub(crate) fn note_language(&mut self, nick: &str) -> bool {
        let Some(occupant) = self.occupant(nick).filter(|occupant| occupant.role == Role::Visitor) else {
            return false;
        };
        let text = |name: &str| occupant.presence().child_named(name).map(Element::text);
        let is_wanted = text(WANTS_TRANSCRIPTION).as_deref() == Some("true");
        let language = text(LANGUAGE).filter(|language| is_language(language));
        let language = is_wanted.then(|| language.unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned()));
        match language {
            Some(language) => self.mirror.languages.insert(nick.to_owned(), language.clone()) != Some(language),
            None => self.mirror.languages.remove(nick).is_some(),
        }
    }

    /// A visitor left; answers whether he wanted to read something. His hand is down.
    pub(crate) fn forget_visitor(&mut self, nick: &str) -> bool {
        self.mirror.hands.remove(nick);
        self.mirror.languages.remove(nick).is_some()
    }

    /// How many visitors want to read what is said, and in which languages.
    pub(crate) fn wanted_languages(&self) -> (usize, BTreeSet<&str>) {
        (self.mirror.languages.len(), self.mirror.languages.values().map(String::as_str).collect())
    }
}

/// What a moderator says about visitors, where there are any.
pub(super) fn command_of<'a>(settings: &Settings, kind: MucKind, json: Option<&'a Value>) -> Option<&'a Value> {
    let json = json.filter(|json| json["type"] == "visitors")?;
    let is_known = matches!(json["action"].as_str(), Some(RESPOND | DEMOTE));
    (is_known && kind == MucKind::Conference && settings.hosts.visitors.is_some()).then_some(json)
}

/// How a room of visitors ends.
pub(crate) fn ended(reason: &str) -> Destroy {
    Destroy { alternate: None, reason: Some(reason.to_owned()) }
}

fn is_language(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LANGUAGE_BYTES && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_short_words() {
        assert!(is_language("en") && is_language("zh-Hant-TW"));
        assert!(!is_language("") && !is_language("en,de") && !is_language(&"x".repeat(MAX_LANGUAGE_BYTES + 1)));
    }
}
