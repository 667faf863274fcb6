//! Who may unmute himself (`mod_av_moderation_component`, client.md §6.2). The focus enforces what is said here.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xmpp::{Element, Jid, StanzaError};

use super::{json, metadata, unhandled};
use crate::audit::{self, Act};
use crate::context::Context;
use crate::muc::{Departed, Occupant, Room};

/// Occupants that may unmute themselves, in one room and medium: as many as there may be moderators and more.
const MAX_WHITELIST: usize = 1000;

/// A medium that can be moderated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Medium {
    Audio,
    Video,
    Desktop,
}

impl Medium {
    const ALL: [Self; 3] = [Self::Audio, Self::Video, Self::Desktop];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Desktop => "desktop",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|medium| medium.as_str() == name)
    }
}

/// Which media are moderated in a room.
#[derive(Debug, Default)]
pub(crate) struct AvModeration(BTreeMap<Medium, Moderated>);

/// A moderated medium.
#[derive(Debug)]
struct Moderated {
    /// Occupant address of who switched it on.
    actor: String,
    /// Nicks of those who may unmute themselves.
    whitelist: Vec<String>,
    /// Whether newcomers started muted before.
    started_muted: Option<bool>,
}

impl AvModeration {
    /// The lists of all moderated media, as occupant addresses; empty ones are left out.
    fn whitelists(&self, room: &Room) -> Value {
        let lists = self.0.iter().filter(|(_, moderated)| !moderated.whitelist.is_empty());
        let lists = lists.map(|(medium, moderated)| {
            let jids = moderated.whitelist.iter().map(|nick| Value::from(room.occupant_jid(nick))).collect();
            (medium.as_str().to_owned(), Value::Array(jids))
        });
        Value::Object(lists.collect())
    }
}

/// Takes a command of a moderator.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    command: &Element,
) -> Result<(), StanzaError> {
    let medium = command.attr("mediaType").and_then(Medium::from_name).ok_or_else(unhandled)?;
    if !room.occupant(nick).is_some_and(Occupant::is_moderator) {
        return Err(unhandled());
    }
    let by = room.occupant(nick).map(|occupant| occupant.jid.clone());
    let note = |room: &Room, event, on: &str| {
        audit::moderated(&room.jid, Act { event, rule: "moderator", by: by.as_ref(), on: Some(on) });
    };
    if let Some(enable) = command.attr("enable") {
        note(room, if enable == "true" { "av_moderation_on" } else { "av_moderation_off" }, medium.as_str());
        if enable == "true" {
            enable_for(context, room, nick, medium)
        } else {
            disable_for(context, room, nick, medium)
        }
        return Ok(());
    }
    let (target, is_approval) = match (command.attr("jidToWhitelist"), command.attr("jidToBlacklist")) {
        (Some(target), _) => (target, true),
        (None, Some(target)) => (target, false),
        (None, None) => return Err(unhandled()),
    };
    let target = nick_of(room, target).ok_or_else(unhandled)?;
    let is_moderated = room.state.av_moderation.0.contains_key(&medium);
    if let Some(occupant) = room.occupant(&target).filter(|_| is_moderated) {
        note(room, if is_approval { "unmute_allowed" } else { "unmute_denied" }, occupant.jid.as_str());
    }
    match (is_moderated, is_approval) {
        (true, true) => approve(context, room, &target, medium),
        (true, false) => reject(context, room, &target, medium),
        // Without moderation it is an invitation to unmute.
        (false, true) => {
            let from = room.occupant_jid(nick);
            let json = json!({
                "type": "av_moderation", "room": room.jid.as_str(), "approved": true,
                "mediaType": medium.as_str(), "from": from,
            });
            send_to(context, room.occupant(&target), &json);
            Ok(())
        }
        (false, false) => Err(unhandled()),
    }
}

fn nick_of(room: &Room, occupant: &str) -> Option<String> {
    let jid = occupant.parse::<Jid>().ok().filter(|jid| jid.bare_str() == room.jid.as_str())?;
    room.occupant(jid.resource()?).map(|occupant| occupant.nick.clone())
}

fn enable_for(context: &mut Context<'_>, room: &mut Room, nick: &str, medium: Medium) {
    if room.state.av_moderation.0.contains_key(&medium) {
        return;
    }
    let moderators = room.participants().filter(|occupant| occupant.is_moderator());
    let whitelist = moderators.map(|occupant| occupant.nick.clone()).take(MAX_WHITELIST).collect();
    let actor = room.occupant_jid(nick);
    let started_muted = room.state.metadata.get("startMuted").and_then(|policy| policy[medium.as_str()].as_bool());
    room.state.av_moderation.0.insert(medium, Moderated { actor, whitelist, started_muted });
    tell_switched(context, room, room.occupant_jid(nick), medium, true);
    tell_moderators(context, room, medium, false);
    metadata::change(context, room, |metadata| metadata.set_flag("startMuted", medium.as_str(), Some(true)));
}

fn disable_for(context: &mut Context<'_>, room: &mut Room, nick: &str, medium: Medium) {
    let Some(moderated) = room.state.av_moderation.0.remove(&medium) else { return };
    tell_switched(context, room, room.occupant_jid(nick), medium, false);
    metadata::change(context, room, |metadata| {
        metadata.set_flag("startMuted", medium.as_str(), moderated.started_muted)
    });
}

fn tell_switched(context: &mut Context<'_>, room: &Room, actor: String, medium: Medium, is_on: bool) {
    let json = switched(room, &actor, medium, is_on);
    send_to(context, room.occupants(), &json);
}

fn switched(room: &Room, actor: &str, medium: Medium, is_on: bool) -> Value {
    json!({
        "type": "av_moderation", "enabled": is_on, "room": room.jid.as_str(), "actor": actor,
        "mediaType": medium.as_str(),
    })
}

fn approve(context: &mut Context<'_>, room: &mut Room, target: &str, medium: Medium) -> Result<(), StanzaError> {
    let Some(moderated) = room.state.av_moderation.0.get_mut(&medium) else { return Err(unhandled()) };
    if !moderated.whitelist.iter().any(|nick| nick == target) {
        if moderated.whitelist.len() >= MAX_WHITELIST {
            return Err(StanzaError::new(xmpp::Condition::ResourceConstraint));
        }
        moderated.whitelist.push(target.to_owned());
    }
    tell_moderators(context, room, medium, false);
    tell_target(context, room, target, medium, "approved");
    Ok(())
}

fn reject(context: &mut Context<'_>, room: &mut Room, target: &str, medium: Medium) -> Result<(), StanzaError> {
    let Some(moderated) = room.state.av_moderation.0.get_mut(&medium) else { return Err(unhandled()) };
    let count = moderated.whitelist.len();
    moderated.whitelist.retain(|nick| nick != target);
    if moderated.whitelist.len() < count {
        tell_moderators(context, room, medium, true);
        tell_target(context, room, target, medium, "removed");
    }
    Ok(())
}

/// Moderators learn it from the lists.
fn tell_target(context: &mut Context<'_>, room: &Room, target: &str, medium: Medium, verdict: &str) {
    if room.occupant(target).is_some_and(|target| !target.is_moderator()) {
        let mut json = json!({"type": "av_moderation", "room": room.jid.as_str(), "mediaType": medium.as_str()});
        json[verdict] = Value::Bool(true);
        send_to(context, room.occupant(target), &json);
    }
}

fn tell_moderators(context: &mut Context<'_>, room: &Room, medium: Medium, is_removal: bool) {
    let json = lists(room, medium, is_removal);
    send_to(context, room.occupants().filter(|occupant| occupant.is_moderator()), &json);
}

fn lists(room: &Room, medium: Medium, is_removal: bool) -> Value {
    let mut json = json!({
        "type": "av_moderation", "room": room.jid.as_str(), "mediaType": medium.as_str(),
        "whitelists": room.state.av_moderation.whitelists(room),
    });
    if is_removal {
        json["removed"] = Value::Bool(true);
    }
    json
}

/// Tells who comes what is moderated.
pub(crate) fn greet(context: &mut Context<'_>, room: &Room, nick: &str) {
    for (medium, moderated) in &room.state.av_moderation.0 {
        send_to(context, room.occupant(nick), &switched(room, &moderated.actor, *medium, true));
    }
}

/// Tells a new moderator who may unmute himself.
pub(crate) fn on_moderator(context: &mut Context<'_>, room: &Room, nick: &str) {
    for medium in room.state.av_moderation.0.keys() {
        send_to(context, room.occupant(nick), &lists(room, *medium, false));
    }
}

/// Who comes under the same nick may be somebody else: the approval goes with who leaves.
pub(crate) fn on_left(context: &mut Context<'_>, room: &mut Room, departed: &Departed) {
    if departed.switches_room {
        return;
    }
    let media: Vec<Medium> = room.state.av_moderation.0.keys().copied().collect();
    for medium in media {
        // Nobody is left to be told that it was taken from him.
        let _ = reject(context, room, &departed.nick, medium);
    }
}

fn send_to<'o>(context: &mut Context<'_>, receivers: impl IntoIterator<Item = &'o Occupant>, json: &Value) {
    let Some(from) = &context.settings.hosts.components.av_moderation else { return };
    context.send_to_all(receivers.into_iter().map(|occupant| &occupant.jid), json::message(from, json));
}
