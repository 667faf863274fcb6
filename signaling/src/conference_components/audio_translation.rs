//! Who wants to hear whom in which language (`mod_audio_translation_component`, signaling.md §6.9). The focus is told all
//! wishes together, each speaker who listens to his translation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use xmpp::{Condition, Element, StanzaError, ns};

use super::{metadata, unhandled};
use crate::context::Context;
use crate::muc::{Departed, Room};

/// The key of metadata whose `enabled` switches it on and off.
pub(super) const METADATA_KEY: &str = "audioTranslation";
/// Longest name of a language, in letters.
const MAX_LANGUAGE_CHARS: usize = 20;
/// How long wishes are collected before they are passed on.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(500);

/// The wishes in a room.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    /// Listener to speaker to language, by nick.
    wishes: BTreeMap<String, BTreeMap<String, String>>,
    /// All wishes as the focus knows them.
    published: Option<Value>,
    /// The listeners that each speaker was told.
    told: BTreeMap<String, BTreeSet<String>>,
    /// Whether they are on or were when they were last passed on.
    was_enabled: bool,
}

impl Translations {
    /// All wishes as the focus knows them; `None` when nobody wants anything.
    pub(super) fn published(&self) -> Option<&Value> {
        self.published.as_ref()
    }

    /// The languages in which each speaker is wanted.
    fn by_speaker(&self) -> Option<Value> {
        let mut languages: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (speaker, language) in self.wishes.values().flatten() {
            languages.entry(speaker).or_default().insert(language);
        }
        let json: Map<String, Value> =
            languages.into_iter().map(|(speaker, languages)| (speaker.to_owned(), json!(languages))).collect();
        (!json.is_empty()).then_some(Value::Object(json))
    }

    fn listeners(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut listeners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (listener, wishes) in &self.wishes {
            for speaker in wishes.keys() {
                listeners.entry(speaker.clone()).or_default().insert(listener.clone());
            }
        }
        listeners
    }

    fn forget(&mut self, nick: &str) -> bool {
        let had_wishes = self.wishes.remove(nick).is_some();
        let was_wanted = self.wishes.values_mut().filter_map(|wishes| wishes.remove(nick)).count() > 0;
        self.wishes.retain(|_, wishes| !wishes.is_empty());
        had_wishes || was_wanted
    }
}

/// Takes the wishes of an occupant, all or none. Answers whether there is something to pass on.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    command: &Element,
) -> Result<bool, StanzaError> {
    if !is_enabled(room) {
        context.metrics.count_dropped("translation_is_off");
        return Ok(false);
    }
    let from = room.occupant(nick).ok_or_else(unhandled)?;
    if room.denies(from, "live-translation-subscribe") {
        return Err(StanzaError::new(Condition::Forbidden));
    }
    let delta = serde_json::from_str::<Map<String, Value>>(&command.text());
    let delta = delta.map_err(|_| StanzaError::new(Condition::BadRequest))?;
    let mut wishes = room.state.translations.wishes.get(nick).cloned().unwrap_or_default();
    for (speaker, language) in &delta {
        let language = language.as_str().filter(|language| is_language(language) && is_endpoint_id(speaker));
        match language {
            None => return Err(StanzaError::new(Condition::BadRequest)),
            Some("") => drop(wishes.remove(speaker)),
            Some(_) if room.occupant(speaker).is_none() => return Err(StanzaError::new(Condition::ItemNotFound)),
            Some(language) => drop(wishes.insert(speaker.clone(), language.to_owned())),
        }
    }
    if wishes.len() > context.settings.conference.translations {
        return Err(StanzaError::new(Condition::PolicyViolation).with_type(xmpp::ErrorType::Cancel));
    }
    let translations = &mut room.state.translations;
    if wishes.is_empty() {
        translations.wishes.remove(nick);
    } else {
        translations.wishes.insert(nick.to_owned(), wishes);
    }
    Ok(true)
}

/// Unless the room says otherwise, it is on.
fn is_enabled(room: &Room) -> bool {
    room.state.metadata.get(METADATA_KEY).is_none_or(|value| value["enabled"] != false)
}

fn is_language(text: &str) -> bool {
    text.len() <= MAX_LANGUAGE_CHARS && text.chars().all(|c| c.is_ascii_alphabetic())
}

fn is_endpoint_id(text: &str) -> bool {
    text.len() == 8 && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Who left wants nothing and is not wanted. Answers whether there is something to pass on.
pub(crate) fn on_left(room: &mut Room, departed: &Departed) -> bool {
    room.state.translations.told.remove(&departed.nick);
    room.state.translations.forget(&departed.nick)
}

/// Whether the room was switched on or off since wishes were last passed on.
pub(crate) fn is_switched(room: &Room) -> bool {
    let translations = &room.state.translations;
    !translations.wishes.is_empty() && translations.was_enabled != is_enabled(room)
}

/// Passes the wishes on, as far as they changed.
pub(crate) fn publish(context: &mut Context<'_>, room: &mut Room) {
    let is_enabled = is_enabled(room);
    let translations = &mut room.state.translations;
    translations.was_enabled = is_enabled;
    let wanted = translations.by_speaker().filter(|_| is_enabled);
    let is_changed = translations.published != wanted;
    translations.published = wanted;
    let listeners = if is_enabled { translations.listeners() } else { BTreeMap::new() };
    let told = std::mem::replace(&mut translations.told, listeners.clone());
    if is_changed {
        metadata::broadcast(context, room);
    }
    let Some(from) = &context.settings.hosts.components.audio_translation else { return };
    let speakers: BTreeSet<&String> = told.keys().chain(listeners.keys()).collect();
    for speaker in speakers.into_iter().filter(|speaker| told.get(*speaker) != listeners.get(*speaker)) {
        let Some(occupant) = room.occupant(speaker) else { continue };
        let list = json!(listeners.get(speaker).cloned().unwrap_or_default()).to_string();
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", from.as_str())
            .with_child(Element::new("translation-listeners", ns::JITMEET).with_text(list));
        context.send(&occupant.jid, message);
    }
}
