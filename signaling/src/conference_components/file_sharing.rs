//! Files that were shared in a room (`mod_filesharing_component`, client.md §6.9): what there is, not what is in it.

use indexmap::IndexMap;
use serde_json::{Value, json};
use xmpp::muc::Affiliation;
use xmpp::{Condition, Element, StanzaError};

use super::{ComponentKind, json, unhandled};
use crate::context::Context;
use crate::muc::Room;

/// Files of one room.
const MAX_FILES: usize = 100;
/// What is said of one file, in bytes. With [`MAX_FILES`] a newcomer is told at most 200 kB.
const MAX_FILE_BYTES: usize = 2 * 1024;

/// The files of a room, by id.
#[derive(Debug, Default)]
pub(crate) struct SharedFiles(IndexMap<String, Value>);

/// Takes a command of an occupant: `add` with JSON, or `remove`.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    command: &Element,
) -> Result<(), StanzaError> {
    let Some(from) = room.occupant(nick) else { return Err(unhandled()) };
    let may_share = match room.features_of(from) {
        Some(features) => features.allow("file-upload"),
        None => room.affiliation_of(&from.jid, from.is_service) == Affiliation::Owner,
    };
    if !may_share {
        return Err(StanzaError::new(Condition::Forbidden));
    }
    match command.attr("type") {
        Some("add") => {
            let text = command.text();
            let mut file = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object).ok_or_else(unhandled)?;
            let id = file["fileId"].as_str().ok_or_else(unhandled)?.to_owned();
            let is_new = !room.state.files.0.contains_key(&id);
            if text.len() > MAX_FILE_BYTES || (is_new && room.state.files.0.len() >= MAX_FILES) {
                return Err(StanzaError::new(Condition::ResourceConstraint));
            }
            // Whoever sends it is who shared it, whatever it says.
            file["authorParticipantId"] = Value::from(nick);
            file["authorParticipantJid"] = Value::from(from.jid.as_str());
            file["authorParticipantName"] = Value::from(from.display_name().unwrap_or_else(|| "anonymous".to_owned()));
            file["conferenceFullName"] = Value::from(room.jid.as_str());
            room.state.files.0.insert(id, file.clone());
            tell_others(context, room, nick, &json!({"type": "file-sharing", "event": "add", "file": file}));
        }
        Some("remove") => {
            let id = command.attr("fileId").ok_or_else(unhandled)?;
            if room.state.files.0.shift_remove(id).is_some() {
                tell_others(context, room, nick, &json!({"type": "file-sharing", "event": "remove", "fileId": id}));
            }
        }
        Some(_) | None => return Err(unhandled()),
    }
    Ok(())
}

/// Tells who comes which files there are.
pub(crate) fn greet(context: &mut Context<'_>, room: &Room, nick: &str) {
    let Some(component) = &context.settings.hosts.components.file_sharing else { return };
    let Some(occupant) = room.occupant(nick).filter(|occupant| !occupant.is_service) else { return };
    if let Some(json) = list(room) {
        context.send(&occupant.jid, json::message(component, &json));
    }
}

/// All files of a room; `None` where there are none.
pub(crate) fn list(room: &Room) -> Option<Value> {
    let files: serde_json::Map<String, Value> = room.state.files.0.clone().into_iter().collect();
    (!files.is_empty()).then(|| json!({"type": "file-sharing", "event": "list", "files": files}))
}

fn tell_others(context: &mut Context<'_>, room: &Room, nick: &str, json: &Value) {
    let Some(component) = &context.settings.hosts.components.file_sharing else { return };
    let others = room.occupants().filter(|other| !other.is_service && other.nick != nick);
    context.send_to_all(others.map(|other| &other.jid), json::message(component, json));
    super::tell_visitors(context, room, ComponentKind::FileSharing, json);
}
