//! Breakout rooms beside a conference (`mod_muc_breakout_rooms`, client.md §6.3): who makes, renames and closes them, and
//! what everybody is told of them. Who moves between them is in `moves.rs`.

use std::time::Duration;

use serde_json::{Map, Value, json};
use xmpp::disco::DiscoInfo;
use xmpp::muc::Destroy;
use xmpp::{Element, Jid, StanzaError, iq_result, ns};

use super::Conferences;
use super::timers::RoomTimer;
use crate::conference_components::{json, unhandled};
use crate::context::{Context, Sender};
use crate::muc::Room;

/// The node under which clients ask what can be done with breakout rooms.
const NODE: &str = "breakout_rooms";
const RENAME: &str = "http://jitsi.org/protocol/breakout_rooms#rename";
/// Between two updates to everybody.
const UPDATE_PAUSE: Duration = Duration::from_millis(300);
impl Conferences {
    /// Takes a stanza to the service of breakout rooms itself: commands, and questions about what it can do.
    pub(super) fn handle_breakout_service(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        stanza: &Element,
    ) {
        if stanza.name() == "message" {
            if stanza.attr("type") != Some("error")
                && let Err(error) = self.handle_breakout_command(context, sender, stanza)
            {
                context.refuse(sender.jid, stanza, &error);
            }
            return;
        }
        let query = stanza.child("query", ns::DISCO_INFO).filter(|query| query.attr("node") == Some(NODE));
        if query.is_none() || stanza.attr("type") != Some("get") {
            return self.breakouts.handle(context, sender, to, stanza.clone());
        }
        let info = DiscoInfo { node: Some(NODE.to_owned()), ..DiscoInfo::default() }
            .with_identity("component", NODE, Some(to.as_str()))
            .with_features([ns::DISCO_INFO, RENAME]);
        context.send(sender.jid, iq_result(stanza).with_child(info.to_element()));
    }

    fn handle_breakout_command(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let main_jid = sender.client.room_jid(&context.settings.hosts).ok_or_else(unhandled)?;
        let command = stanza.child_named("breakout_rooms").ok_or_else(unhandled)?;
        let (_, occupant) = self.place_of(&main_jid, sender.jid).ok_or_else(unhandled)?;
        if !occupant.is_moderator() {
            return Err(unhandled());
        }
        let jid = |name: &str| command.attr(name).and_then(|jid| jid.parse::<Jid>().ok()).ok_or_else(unhandled);
        let name = command.attr("subject");
        match command.attr("type") {
            Some("features/breakout-rooms/add") => self.add_breakout(context, &main_jid, name),
            Some("features/breakout-rooms/remove") => {
                self.remove_breakout(context, &main_jid, &jid("breakoutRoomJid")?)
            }
            Some("features/breakout-rooms/rename") => {
                self.rename_breakout(context, &main_jid, &jid("breakoutRoomJid")?, name)
            }
            Some("features/breakout-rooms/move-to-room") => {
                self.send_to_room(context, &main_jid, &jid("participantJid")?, &jid("roomJid")?)
            }
            Some(_) | None => Err(unhandled()),
        }
    }

    fn add_breakout(
        &mut self,
        context: &mut Context<'_>,
        main_jid: &Jid,
        name: Option<&str>,
    ) -> Result<(), StanzaError> {
        let host = context.settings.hosts.breakout.as_ref().map(Jid::domain).ok_or_else(unhandled)?;
        // Nobody can guess the address: those who learn it may go there.
        let breakout = Jid::new(Some(&context.random_uuid()), host, None).map_err(|_| unhandled())?;
        let room = self.main.room_mut(main_jid).ok_or_else(unhandled)?;
        room.state.breakouts.add(breakout.clone(), name)?;
        self.split.mains.insert(breakout, main_jid.clone());
        self.schedule_update(context, main_jid);
        Ok(())
    }

    fn remove_breakout(
        &mut self,
        context: &mut Context<'_>,
        main_jid: &Jid,
        breakout: &Jid,
    ) -> Result<(), StanzaError> {
        let room = self.main.room_mut(main_jid).ok_or_else(unhandled)?;
        if !room.state.breakouts.remove(breakout) {
            return Err(unhandled());
        }
        self.split.mains.swap_remove(breakout);
        let alternate = Some(main_jid.as_str().to_owned());
        let reason = Some("Breakout room removed.".to_owned());
        self.breakouts.destroy(context, breakout, &Destroy { alternate, reason });
        self.schedule_update(context, main_jid);
        Ok(())
    }

    fn rename_breakout(
        &mut self,
        context: &mut Context<'_>,
        main_jid: &Jid,
        breakout: &Jid,
        name: Option<&str>,
    ) -> Result<(), StanzaError> {
        let room = self.main.room_mut(main_jid).ok_or_else(unhandled)?;
        if !room.state.breakouts.rename(breakout, name) {
            return Err(unhandled());
        }
        let name = room.state.breakouts.name_of(breakout).unwrap_or_default().to_owned();
        if let Some(room) = self.breakouts.room_mut(breakout) {
            room.set_subject(context, &name);
        }
        self.schedule_update(context, main_jid);
        Ok(())
    }

    /// Asks somebody's client to go to another room of the meeting.
    fn send_to_room(
        &mut self,
        context: &mut Context<'_>,
        main_jid: &Jid,
        participant: &Jid,
        target: &Jid,
    ) -> Result<(), StanzaError> {
        let room = self.main.room(main_jid).ok_or_else(unhandled)?;
        if target != main_jid && !room.state.breakouts.contains(target) {
            return Err(unhandled());
        }
        // Clients name the real address or the one in the room; others than participants are not written to.
        let found = self.rooms_of(main_jid).find_map(|room| {
            let by_nick = || room.occupant(participant.resource()?).filter(|_| participant.to_bare() == room.jid);
            room.occupant_of(participant).or_else(by_nick)
        });
        let to =
            found.filter(|occupant| !occupant.is_focus()).map(|occupant| occupant.jid.clone()).ok_or_else(unhandled)?;
        let event = "features/breakout-rooms/move-to-room";
        let json = json!({"type": "breakout_rooms", "event": event, "roomJid": target.as_str()});
        if let Some(from) = &context.settings.hosts.breakout {
            context.send(&to, json::message(from, &json));
        }
        Ok(())
    }

    pub(super) fn schedule_update(&mut self, context: &Context<'_>, main: &Jid) {
        self.schedule(context, RoomTimer::BreakoutUpdate(main.clone()), UPDATE_PAUSE);
    }

    /// Tells everybody in all rooms of a meeting who is where.
    pub(super) fn tell_breakouts(&mut self, context: &mut Context<'_>, main_jid: &Jid) {
        let (Some(main), Some(from)) = (self.main.room(main_jid), &context.settings.hosts.breakout) else { return };
        let mut rooms = Map::new();
        let local = main.jid.local().unwrap_or_default();
        let subject = main.subject().filter(|subject| !subject.is_empty());
        let mut json = describe(&main.jid, subject.as_deref(), Some(main));
        json["isMainRoom"] = Value::Bool(true);
        rooms.insert(local.to_owned(), json);
        for (breakout, name) in main.state.breakouts.iter() {
            let json = describe(breakout, name, self.breakouts.room(breakout));
            rooms.insert(breakout.local().unwrap_or_default().to_owned(), json);
        }
        let json = json!({
            "type": "breakout_rooms", "event": "features/breakout-rooms/update",
            "roomCounter": main.state.breakouts.counter(), "rooms": rooms,
        });
        let message = json::message(from, &json);
        let occupants = self.rooms_of(main_jid).flat_map(Room::occupants).filter(|occupant| !occupant.is_focus());
        context.send_to_all(occupants.map(|occupant| &occupant.jid), message);
    }

    /// Nobody came back: the meeting is over.
    pub(super) fn on_all_left(&mut self, context: &mut Context<'_>, main: &Jid) {
        if self.rooms_of(main).all(|room| room.participants().next().is_none()) {
            let reason = Some("All occupants left.".to_owned());
            self.end(context, main, &Destroy { alternate: None, reason }, ("all_left", None));
        }
    }

    /// A conference is over, and so are the rooms beside it.
    pub(super) fn end_breakouts_of(&mut self, context: &mut Context<'_>, main: &Jid, destroy: &Destroy) {
        let breakouts: Vec<Jid> =
            self.split.mains.iter().filter(|(_, owner)| *owner == main).map(|(breakout, _)| breakout.clone()).collect();
        for breakout in breakouts {
            self.split.mains.swap_remove(&breakout);
            self.breakouts.destroy(context, &breakout, destroy);
        }
        self.split.travellers.retain(|(room, _), _| room != main);
    }
}

fn describe(jid: &Jid, name: Option<&str>, room: Option<&Room>) -> Value {
    let participants: Map<String, Value> = room
        .into_iter()
        .flat_map(|room| room.participants().map(|occupant| (room.occupant_jid(&occupant.nick), occupant)))
        .map(|(address, occupant)| {
            let mut json = json!({"jid": occupant.jid.as_str(), "role": occupant.role.as_str()});
            if let Some(name) = occupant.display_name() {
                json["displayName"] = Value::from(name);
            }
            (address, json)
        })
        .collect();
    json!({"id": jid.local(), "jid": jid.as_str(), "name": name, "participants": participants})
}
