//! What happens in rooms, told to a server of others (`mod_event_sync_component` of the community): a room came into being or
//! ended, somebody came or left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::http::Method;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use xmpp::Jid;

use super::call::{AnswerTo, Call};
use super::is_health_check;
use super::settings::EventSettings;
use crate::Secret;
use crate::context::Context;
use crate::muc::{Departed, MucKind, Room};

/// Those who were in a room that are told at its end. Beyond it those who left first are left out: somebody who comes and
/// goes all day is somebody anew each time.
const MAX_OCCUPANTS: usize = 2000;
/// The header with the signature of the body, hex of HMAC-SHA256, as GitHub's and WebSub's hooks have it.
const SIGNATURE: &str = "x-hub-signature-256";

/// The rooms that are told about.
#[derive(Debug, Default)]
pub(crate) struct Events(BTreeMap<Jid, RoomLog>);

/// What is told of one room.
#[derive(Debug)]
struct RoomLog {
    /// What each event says of the room.
    room: Map<String, Value>,
    created_s: u64,
    /// Who is in it, by nick.
    active: IndexMap<String, Value>,
    /// Who was.
    left: VecDeque<Value>,
}

impl Events {
    pub(super) fn on_joined(&mut self, context: &Context<'_>, room: &Room, nick: &str, calls: &mut VecDeque<Call>) {
        let Some(settings) = &context.settings.outside.events else { return };
        if !room.kind.has_media() || is_health_check(&room.jid) {
            return;
        }
        let now_s = context.now.unix_ms / 1000;
        let log = self.0.entry(room.jid.clone()).or_insert_with(|| {
            let log = RoomLog::new(room, now_s);
            log.tell(settings, &room.jid, "room/created", json!({"created_at": now_s}), calls);
            log
        });
        let Some(occupant) = room.occupant(nick).filter(|occupant| !occupant.is_focus()) else { return };
        let mut told = json!({"occupant_jid": occupant.jid.as_str(), "joined_at": now_s});
        if let Some(claims) = occupant.client.claims.as_deref() {
            for (name, value) in [("name", &claims.user.name), ("id", &claims.user.id), ("email", &claims.user.email)] {
                if let Some(value) = value {
                    told[name] = Value::from(value.as_str());
                }
            }
        }
        log.active.insert(nick.to_owned(), told.clone());
        let count = log.active.len();
        log.tell(
            settings,
            &room.jid,
            "occupant/joined",
            json!({"occupant": told, "active_occupants_count": count}),
            calls,
        );
    }

    pub(super) fn on_left(
        &mut self,
        context: &Context<'_>,
        room: &Jid,
        departed: &Departed,
        calls: &mut VecDeque<Call>,
    ) {
        let Some(settings) = &context.settings.outside.events else { return };
        if let Some(log) = self.0.get_mut(room) {
            log.tell_left(settings, room, (&departed.nick, departed.spoke_ms), context.now.unix_ms / 1000, calls);
        }
    }

    /// `spoke_ms`: for how long those spoke who are sent out with the room's end, by nick.
    pub(super) fn on_ended(
        &mut self,
        context: &Context<'_>,
        room: &Jid,
        spoke_ms: &BTreeMap<String, u64>,
        calls: &mut VecDeque<Call>,
    ) {
        let Some(settings) = &context.settings.outside.events else { return };
        let Some(mut log) = self.0.remove(room) else { return };
        let now_s = context.now.unix_ms / 1000;
        // Who is sent out with the end of a room does not leave by himself.
        for nick in log.active.keys().cloned().collect::<Vec<_>>() {
            let spoke_ms = spoke_ms.get(&nick).copied().unwrap_or_default();
            log.tell_left(settings, room, (&nick, spoke_ms), now_s, calls);
        }
        let all = Value::Array(log.left.drain(..).collect());
        let what = json!({"created_at": log.created_s, "destroyed_at": now_s, "all_occupants": all});
        log.tell(settings, room, "room/destroyed", what, calls);
    }

    /// The rooms that were told of.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &Jid> {
        self.0.keys()
    }

    pub(super) fn remembered(&self) -> usize {
        self.0.len()
    }
}

impl RoomLog {
    /// Of a breakout room the main room is named.
    fn new(room: &Room, created_s: u64) -> Self {
        let is_breakout = room.kind == MucKind::Breakout;
        let named = room.main_room.as_ref().filter(|_| is_breakout).unwrap_or(&room.jid);
        let mut about = Map::new();
        about.insert("is_breakout".to_owned(), Value::Bool(is_breakout));
        about.insert("room_jid".to_owned(), Value::from(named.as_str()));
        about.insert("room_name".to_owned(), Value::from(named.local().unwrap_or_default()));
        if is_breakout {
            about.insert("breakout_room_id".to_owned(), Value::from(room.jid.local().unwrap_or_default()));
        }
        Self { room: about, created_s, active: IndexMap::new(), left: VecDeque::new() }
    }

    fn tell_left(
        &mut self,
        settings: &EventSettings,
        room: &Jid,
        (nick, spoke_ms): (&str, u64),
        now_s: u64,
        calls: &mut VecDeque<Call>,
    ) {
        let Some(mut told) = self.active.shift_remove(nick) else { return };
        told["left_at"] = Value::from(now_s);
        if settings.speaker_times {
            told["total_dominant_speaker_time"] = Value::from(spoke_ms);
        }
        if self.left.len() >= MAX_OCCUPANTS {
            self.left.pop_front();
        }
        self.left.push_back(told.clone());
        let what = json!({"occupant": told, "active_occupants_count": self.active.len()});
        self.tell(settings, room, "occupant/left", what, calls);
    }

    /// Tells an event, which is a path as well as a name.
    fn tell(&self, settings: &EventSettings, room: &Jid, path: &str, what: Value, calls: &mut VecDeque<Call>) {
        let Some(uri) = settings.server.below(&format!("events/{path}")) else { return };
        let mut payload = self.room.clone();
        payload.insert("event_name".to_owned(), Value::from(format!("muc-{}", path.replace('/', "-"))));
        if let Value::Object(what) = what {
            payload.extend(what);
        }
        let body = Value::Object(payload).to_string();
        calls.push_back(Call {
            answer_to: AnswerTo::Nobody { room: room.clone() },
            server: Arc::clone(&settings.server),
            method: Method::POST,
            uri,
            content_type: Some("application/json"),
            headers: settings.secret.iter().filter_map(|secret| Some((SIGNATURE, sign(secret, &body)?))).collect(),
            body,
        });
    }
}

fn sign(secret: &Secret, body: &str) -> Option<Secret> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::new(format!("sha256={hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_hooks_of_others_do() {
        // The example of GitHub's documentation on how to check deliveries.
        let secret = Secret::new("It's a Secret to Everybody").unwrap();
        assert_eq!(
            sign(&secret, "Hello, World!").unwrap().expose(),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
