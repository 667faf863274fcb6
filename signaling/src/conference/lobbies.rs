//! Waiting rooms in front of conferences (`mod_muc_lobby_rooms`, client.md §6.1): they come and go with what their
//! conference says, and the conference is told who was let in or not.

use std::net::IpAddr;
use std::time::Duration;

use auth::{FailureThrottle, network_of};
use serde_json::json;
use xmpp::disco::DiscoInfo;
use xmpp::muc::Destroy;
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::Conferences;
use crate::audit::{self, Act};
use crate::conference_components::{json, metadata};
use crate::context::{Context, Sender};
use crate::muc::{Departed, Room};

/// How often somebody may be denied within [`DENIED_WINDOW`] before he has to wait with asking again.
const DENIALS: u32 = 3;
const DENIED_WINDOW: Duration = Duration::from_secs(60);
/// What he is told then.
const ASKED_TOO_OFTEN: &str = "You asked to be let in too often";

/// Who was denied of late, by lobby and by address, or by user where that is not known: who is sent away is not to keep moderators
/// busy by asking again and again.
#[derive(Debug)]
pub(super) struct Denied(FailureThrottle<(Jid, String)>);

impl Default for Denied {
    fn default() -> Self {
        Self(FailureThrottle::new(DENIALS, DENIED_WINDOW))
    }
}

impl Denied {
    fn key(lobby: &Jid, who: &Jid, address: Option<IpAddr>) -> (Jid, String) {
        (lobby.to_bare(), address.map_or_else(|| who.bare_str().to_owned(), |address| network_of(address).to_string()))
    }
}

/// The node under which clients ask the lobby service about their own room.
const NODE: &str = "lobbyrooms";
const DISPLAY_NAME_REQUIRED: &str = "http://jitsi.org/protocol/lobbyrooms#displayname_required";

impl Conferences {
    /// Takes a stanza to the lobby service itself.
    pub(super) fn handle_lobby_service(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        stanza: &Element,
    ) {
        let query = stanza.child("query", ns::DISCO_INFO).filter(|query| query.attr("node") == Some(NODE));
        if query.is_none() || stanza.name() != "iq" || stanza.attr("type") != Some("get") {
            return self.lobbies.handle(context, sender, to, stanza.clone());
        }
        let room = sender.client.room_jid(&context.settings.hosts).and_then(|room| self.main.room(&room));
        let has_lobby = room.is_some_and(|room| room.lobby.is_some());
        let mut info = DiscoInfo { node: Some(NODE.to_owned()), ..DiscoInfo::default() }
            .with_identity("component", NODE, Some(to.as_str()))
            .with_features([ns::DISCO_INFO]);
        if has_lobby && context.settings.conference.lobby.requires_name {
            info = info.with_features([DISPLAY_NAME_REQUIRED]);
        }
        context.send(sender.jid, iq_result(stanza).with_child(info.to_element()));
    }

    /// Takes a stanza to a lobby, or to somebody in one.
    pub(super) fn handle_lobby(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element) {
        let is_join = stanza.name() == "presence" && stanza.attr("type").is_none();
        let key = Denied::key(to, sender.jid, sender.client.address);
        if is_join && self.denied.0.is_blocked(&key, context.now.instant) {
            context.metrics.count_dropped("lobby_denied");
            let error = StanzaError::new(Condition::NotAllowed).with_text(ASKED_TOO_OFTEN);
            return context.refuse(sender.jid, &stanza, &error);
        }
        self.lobbies.handle(context, sender, to, stanza);
    }

    /// A conference has a lobby from now on.
    pub(super) fn open_lobby(&mut self, context: &mut Context<'_>, room_jid: &Jid, by: Option<&Jid>) {
        let Some(room) = self.main.room_mut(room_jid) else { return };
        let Some(lobby) = room.lobby.as_ref().map(|lobby| lobby.jid.clone()) else { return };
        self.lobbies.open(context, &lobby).inherit(room);
        note_switch(room_jid, by, "lobby_on");
        if let Some(by) = by {
            notify(context, room, by, &json!({"type": "lobby-notify", "event": "LOBBY-ENABLED", "value": true}));
        }
        metadata::change(context, room, |metadata| metadata.set_top_flag("lobbyEnabled", true));
    }

    /// A conference has no lobby any more: those who wait come in.
    pub(super) fn close_lobby(&mut self, context: &mut Context<'_>, room_jid: &Jid, by: Option<&Jid>, reason: &str) {
        let Some(lobby) = context.settings.hosts.lobby_of(room_jid) else { return };
        let alternate = Some(room_jid.as_str().to_owned());
        self.lobbies.destroy(context, &lobby, &Destroy { alternate, reason: Some(reason.to_owned()) });
        let Some(room) = self.main.room_mut(room_jid) else { return };
        note_switch(room_jid, by, "lobby_off");
        if let Some(by) = by {
            notify(context, room, by, &json!({"type": "lobby-notify", "event": "LOBBY-ENABLED", "value": false}));
        }
        metadata::change(context, room, |metadata| metadata.set_top_flag("lobbyEnabled", false));
    }

    /// The conference is over, so nobody will be let in.
    pub(super) fn end_lobby_of(&mut self, context: &mut Context<'_>, room_jid: &Jid) {
        if let Some(lobby) = context.settings.hosts.lobby_of(room_jid) {
            let reason = Some("Lobby room closed.".to_owned());
            self.lobbies.destroy(context, &lobby, &Destroy { alternate: None, reason });
        }
    }

    /// Somebody was let in: who sees to the lobby is told, so that nobody does it twice.
    pub(super) fn on_invited(&mut self, context: &mut Context<'_>, room_jid: &Jid, by: &Jid, invitee: &Jid) {
        let Some(room) = self.main.room(room_jid) else { return };
        let lobby = room.lobby.as_ref().and_then(|lobby| self.lobbies.room(&lobby.jid));
        let Some(waiting) = lobby.and_then(|lobby| Some((lobby, lobby.occupant_of(invitee)?))) else { return };
        let (lobby, occupant) = waiting;
        let json = access(&lobby.occupant_jid(&occupant.nick), occupant.display_name(), "LOBBY-ACCESS-GRANTED");
        notify(context, room, by, &json);
    }

    /// Who is sent out of a lobby is not let in.
    pub(super) fn on_kicked(&mut self, context: &mut Context<'_>, room_jid: &Jid, by: &Jid, occupant: &Departed) {
        let Some(lobby) = self.lobbies.room(room_jid) else { return };
        self.denied.0.on_failure(Denied::key(room_jid, &occupant.jid, occupant.address), context.now.instant);
        let json = access(
            &lobby.occupant_jid(&occupant.nick),
            crate::muc::display_name_in(&occupant.presence),
            "LOBBY-ACCESS-DENIED",
        );
        if let Some(room) = lobby.main_room.as_ref().and_then(|main| self.main.room(main)) {
            notify(context, room, by, &json);
        }
    }

    /// A room that lives on because people wait in front of it ends with the last of them.
    pub(super) fn end_if_abandoned(&mut self, context: &mut Context<'_>, room_jid: &Jid) {
        let main = self.lobbies.room(room_jid).and_then(|lobby| lobby.main_room.clone());
        let main = main.unwrap_or_else(|| room_jid.clone());
        let Some(room) = self.main.room_mut(&main).filter(|room| room.is_empty()) else { return };
        let Some(lobby) = room.lobby.as_mut().filter(|lobby| lobby.is_persistent) else { return };
        if self.lobbies.room(&lobby.jid).is_none_or(Room::is_empty) {
            lobby.is_persistent = false;
            self.main.after_departure(context, &main, &[]);
        }
    }
}

/// A lobby is switched by an owner, or by the rules of this deployment.
fn note_switch(room: &Jid, by: Option<&Jid>, event: &'static str) {
    let rule = if by.is_some() { "owner" } else { "room_rules" };
    audit::moderated(room, Act { event, rule, by, on: None });
}

fn access(occupant: &str, name: Option<String>, event: &str) -> serde_json::Value {
    let mut json = json!({"type": "lobby-notify", "event": event, "value": occupant});
    if let Some(name) = name {
        json["name"] = serde_json::Value::from(name);
    }
    json
}

/// Tells the conference what somebody in it did about the lobby. Who did it from a breakout room is not there to say so.
fn notify(context: &mut Context<'_>, room: &Room, by: &Jid, json: &serde_json::Value) {
    let Some(by) = room.occupant_of(by) else { return };
    let message = Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("from", room.occupant_jid(&by.nick))
        .with_attr("id", context.random_uuid())
        .with_child(json::element(json));
    room.broadcast(context, &message);
}
