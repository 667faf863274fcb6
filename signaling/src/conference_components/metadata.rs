//! What all in a room agree on, as JSON by key: who starts muted, who may write, what is recorded
//! (`mod_room_metadata_component`, client.md §6.7).

use serde_json::{Map, Value, json};
use xmpp::{Element, StanzaError, ns};

use super::{audio_translation, json, unhandled};
use crate::context::Context;
use crate::external_services::Asker;
use crate::muc::{Happening, MucKind, Occupant, Room};

/// All of one room in bytes: everything goes to everybody at each change, and to each who comes.
const MAX_BYTES: usize = 16 * 1024;
/// Keys that clients do not write: what the server says itself, or an operator.
const RESERVED: [&str; 15] = [
    "allownersEnabled",
    "asyncTranscription",
    "audioTranslationAvailable",
    "audioTranslationRequests",
    "conferencePresetsServiceEnabled",
    "dialinEnabled",
    "lobbyEnabled",
    "moderators",
    "participants",
    "participantsSoftLimit",
    "services",
    "transcriberType",
    "transcription",
    "type",
    "visitorsEnabled",
];

/// The metadata of a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata(Map<String, Value>);

/// A value would make the metadata too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Metadata {
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Whether a flag within a value is true.
    pub(crate) fn is_set(&self, key: &str, flag: &str) -> bool {
        self.0.get(key).is_some_and(|value| value[flag] == true)
    }

    /// Whether visitors may see the conference: unless it is said that they may not yet.
    pub(crate) fn is_live(&self) -> bool {
        self.0.get("visitors").is_none_or(|visitors| visitors["live"] != false)
    }

    /// Sets a value; answers whether it is another than before.
    pub(crate) fn set(&mut self, key: &str, value: Value) -> Result<bool, TooLarge> {
        if self.0.get(key) == Some(&value) {
            return Ok(false);
        }
        let former = self.0.insert(key.to_owned(), value);
        if Value::Object(self.0.clone()).to_string().len() <= MAX_BYTES {
            return Ok(true);
        }
        match former {
            Some(former) => drop(self.0.insert(key.to_owned(), former)),
            None => drop(self.0.remove(key)),
        }
        Err(TooLarge)
    }

    /// Sets a flag that is a value of its own; answers whether that changes anything.
    pub(crate) fn set_top_flag(&mut self, key: &str, is_set: bool) -> bool {
        self.set(key, Value::Bool(is_set)).unwrap_or(false)
    }

    /// Sets fields within a value; answers whether that changes anything. What does not fit is left out.
    pub(crate) fn set_within<'f>(&mut self, key: &str, fields: impl IntoIterator<Item = (&'f str, Value)>) -> bool {
        let mut object = self.0.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        object.extend(fields.into_iter().map(|(field, value)| (field.to_owned(), value)));
        self.set(key, Value::Object(object)).unwrap_or(false)
    }

    /// Sets a flag within a value, or takes it out; answers whether that changes anything.
    pub(crate) fn set_flag(&mut self, key: &str, flag: &str, is_set: Option<bool>) -> bool {
        let mut object = self.0.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        match is_set {
            Some(is_set) => drop(object.insert(flag.to_owned(), Value::Bool(is_set))),
            None => drop(object.remove(flag)),
        }
        // Flags are few and short: where one does not fit, clients have filled the room's metadata to the brim.
        self.set(key, Value::Object(object)).unwrap_or(false)
    }
}

/// Takes a command of an occupant: `{"key": …, "data": …}`.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    command: &Element,
) -> Result<(), StanzaError> {
    let Ok(json) = serde_json::from_str::<Value>(&command.text()) else { return Err(unhandled()) };
    let (Some(key), Some(data)) = (json["key"].as_str(), json.get("data").filter(|data| !data.is_null())) else {
        return Err(unhandled());
    };
    let Some(from) = room.occupant(nick).filter(|_| !RESERVED.contains(&key)) else { return Err(unhandled()) };
    let data = admissible(context, room, from, key, data).ok_or_else(unhandled)?;
    match room.state.metadata.set(key, data) {
        Ok(true) => {
            tracing::debug!(room = %room.jid, key, "metadata changed");
            broadcast(context, room);
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(TooLarge) => {
            context.metrics.count_dropped("metadata_too_large");
            Err(StanzaError::new(xmpp::Condition::ResourceConstraint))
        }
    }
}

/// The value that an occupant may set; `None` when he may not.
fn admissible(context: &Context<'_>, room: &Room, from: &Occupant, key: &str, data: &Value) -> Option<Value> {
    match key {
        audio_translation::METADATA_KEY => {
            let is_on = matches!(&data["enabled"], Value::Bool(true)) || data["enabled"] == "true";
            room.allows(context.settings, from, "live-translation").then(|| json!({"enabled": is_on}))
        }
        // Whoever may transcribe switches that on, be he a moderator or not, and nothing else by it.
        "recording" if room.features_of(from).is_some() => {
            if !room.allows(context.settings, from, "transcription") {
                return None;
            }
            let mut recording = room.state.metadata.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
            for flag in ["isTranscribingEnabled", "isRecordingRequested"] {
                if let Some(is_on) = data[flag].as_bool() {
                    recording.insert(flag.to_owned(), Value::Bool(is_on));
                }
            }
            Some(Value::Object(recording))
        }
        _ => from.is_moderator().then(|| data.clone()),
    }
}

/// A moderator's presence with the start-muted policy, as clients said it before there was metadata.
pub(crate) fn on_presence(context: &mut Context<'_>, room: &mut Room, nick: &str) {
    let Some(from) = room.occupant(nick).filter(|from| from.is_moderator()) else { return };
    let Some(policy) = from.presence().child("startmuted", ns::START_MUTED) else { return };
    let flags = ["audio", "video"].map(|media| (media, policy.attr(media) == Some("true")));
    change(context, room, |metadata| {
        let mut is_changed = false;
        for (media, is_muted) in flags {
            if metadata.is_set("startMuted", media) != is_muted {
                is_changed |= metadata.set_flag("startMuted", media, Some(is_muted));
            }
        }
        is_changed
    });
}

/// Changes something, and tells everybody if that made a difference.
pub(crate) fn change(context: &mut Context<'_>, room: &mut Room, change: impl FnOnce(&mut Metadata) -> bool) {
    if change(&mut room.state.metadata) {
        broadcast(context, room);
    }
}

/// Tells everybody.
pub(crate) fn broadcast(context: &mut Context<'_>, room: &Room) {
    let (services, clients): (Vec<_>, Vec<_>) = room.occupants().partition(|occupant| occupant.is_service);
    for receivers in [services, clients] {
        let Some(first) = receivers.first() else { continue };
        if let Some(message) = message(context, room, first, None) {
            context.send_to_all(receivers.into_iter().map(|receiver| &receiver.jid), message);
        }
    }
    if room.state.visitors.is_active() {
        room.emit(context, Happening::MetadataChanged);
    }
}

/// Tells who comes, before he knows that he is in, with the TURN servers that he may use.
pub(crate) fn greet(context: &mut Context<'_>, room: &Room, nick: &str) {
    let Some(occupant) = room.occupant(nick) else { return };
    let asker = Asker { jid: &occupant.jid, host: occupant.client.host.as_deref() };
    let services = (!occupant.is_service).then(|| context.settings.external_services.to_json(context.now, asker));
    if let Some(message) = message(context, room, occupant, services) {
        context.send(&occupant.jid, message);
    }
}

/// What an occupant is told: the same for all services, and for all others. `None` where nobody is.
fn message(context: &Context<'_>, room: &Room, to: &Occupant, services: Option<Value>) -> Option<Element> {
    let from = context.settings.hosts.components_at(&room.jid).metadata.as_ref().filter(|_| room.kind.has_media())?;
    let mut metadata = room.state.metadata.0.clone();
    if room.kind == MucKind::Conference && context.settings.hosts.visitors.is_some() {
        // The focus sends nobody to visitors without it, where it is told to look (`always_visitors_enabled`).
        metadata.insert("visitorsEnabled".to_owned(), Value::Bool(true));
    }
    if room.kind == MucKind::Conference && context.settings.conference.async_transcription {
        metadata.insert("asyncTranscription".to_owned(), Value::Bool(true));
    }
    if let Some(services) = services.filter(|services| *services != json!([])) {
        metadata.insert("services".to_owned(), services);
    }
    if to.is_service {
        // The focus alone is told who wants to hear whom: it has it translated.
        metadata.insert("moderators".to_owned(), json!([]));
        if let Some(requests) = room.state.translations.published() {
            metadata.insert("audioTranslationRequests".to_owned(), requests.clone());
        }
    }
    let mut element = json::element(&json!({"type": "room_metadata", "metadata": metadata}));
    element.set_attr("room", room.jid.as_str());
    Some(Element::new("message", ns::CLIENT).with_attr("from", from.as_str()).with_child(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_value_counts_and_all_together_have_a_limit() {
        let mut metadata = Metadata::default();
        assert_eq!(metadata.set("a", json!({"x": 1})), Ok(true));
        assert_eq!(metadata.set("a", json!({"x": 1})), Ok(false));
        let large = json!("x".repeat(MAX_BYTES - 10));
        assert_eq!(metadata.set("b", large.clone()), Err(TooLarge));
        assert_eq!(metadata.set("a", large), Ok(true), "what it replaces does not count");
        assert_eq!(metadata.set("a", json!("x".repeat(MAX_BYTES))), Err(TooLarge));
        assert_eq!(metadata.get("b"), None);
        assert_eq!(metadata.get("a").and_then(Value::as_str).map(str::len), Some(MAX_BYTES - 10));
    }

    #[test]
    fn a_flag_leaves_the_others_of_its_value_alone() {
        let mut metadata = Metadata::default();
        assert!(metadata.set_flag("startMuted", "audio", Some(true)));
        assert!(metadata.set_flag("startMuted", "video", Some(false)));
        assert!(!metadata.set_flag("startMuted", "audio", Some(true)));
        assert!(metadata.is_set("startMuted", "audio") && !metadata.is_set("startMuted", "video"));
        assert!(metadata.set_flag("startMuted", "audio", None));
        assert_eq!(metadata.get("startMuted"), Some(&json!({"video": false})));
    }
}
