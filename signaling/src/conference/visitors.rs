//! Visitors of large conferences (`mod_visitors`, `mod_visitors_component`, signaling.md §8): where a conference is shown, and what goes
//! from it to the rooms of visitors and back. Who comes in is in `promotions.rs`.
//!
//! All nodes are rooms of this process. What goes between them and the conference is what servers say to each other in stock:
//! `connect`, `update` and `disconnect`, presences and messages one way, `promotion-request`, `transcription-languages` and messages
//! the other.

use std::collections::BTreeSet;
use std::time::Duration;

use jitsi_protocol::visitors::{VnodeCommand, VnodeRequest};
use serde_json::{Value, json};
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::Conferences;
use super::timers::RoomTimer;
use crate::VisitorNode;
use crate::conference_components::{ComponentKind, file_sharing, json, metadata, polls, unhandled};
use crate::context::{Context, Sender};
use crate::muc::{Departed, Happening, Occupant, Room, ended};

/// How long a room lives on without visitors, as in stock: they may come back.
const WITHOUT_VISITORS: Duration = Duration::from_secs(15);
/// How long wishes of visitors for languages are collected.
const LANGUAGES_DEBOUNCE: Duration = Duration::from_millis(500);
/// Why visitors are sent away with the end of the conference, in stock's words.
const CONFERENCE_ENDED: &str = "Conference ended.";

impl Conferences {
    /// Takes a request to the component for visitors: of the focus, about the nodes of a conference.
    pub(super) fn handle_visitors_component(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let is_get = match stanza.attr("type") {
            Some("get") => true,
            Some("set") => false,
            Some(_) | None => return Ok(()),
        };
        let element = stanza.child("visitors", ns::VISITORS).ok_or_else(unhandled)?;
        if !is_get || !context.settings.hosts.is_focus(sender.jid) {
            // What nodes say to a conference stays in this process: whoever says it over a stream is none.
            context.metrics.count_dropped("forged_visitors_request");
            return Err(StanzaError::new(Condition::Forbidden));
        }
        let hosts = &context.settings.hosts;
        let request = VnodeRequest::from_element(element).map_err(|_| StanzaError::new(Condition::BadRequest))?;
        let main = hosts.outer_form(&request.room).unwrap_or(request.room);
        for command in &request.commands {
            let (VnodeCommand::Connect(name) | VnodeCommand::Disconnect(name)) = command;
            let node = hosts.node_named(name).ok_or(StanzaError::new(Condition::ItemNotFound))?;
            match command {
                VnodeCommand::Connect(_) => self.connect_node(context, &main, node)?,
                // It may be gone already, with all its visitors.
                VnodeCommand::Disconnect(_) => self.disconnect_node(context, &main, node),
            }
        }
        context.send(sender.jid, iq_result(stanza));
        Ok(())
    }

    /// Shows a conference at a node, in the room that the focus made there.
    fn connect_node(
        &mut self,
        context: &mut Context<'_>,
        main_jid: &Jid,
        node: &VisitorNode,
    ) -> Result<(), StanzaError> {
        let not_found = || StanzaError::new(Condition::ItemNotFound);
        let main = self.main.room_mut(main_jid).ok_or_else(not_found)?;
        if main.state.visitors.is_shown_at(&node.name) {
            return Ok(());
        }
        let room_jid = context.settings.hosts.visitor_room(node, main_jid).ok_or_else(not_found)?;
        let room = self.visitor_rooms.room_mut(&room_jid).ok_or_else(not_found)?;
        tracing::info!(room = %main_jid, node = node.name, "shown to visitors");
        main.state.visitors.add_room(&node.name, room_jid.clone());
        room.update_from(main);
        let mut departed: Vec<Jid> =
            main.occupants().filter_map(|occupant| show(context, main, room, occupant)).collect();
        departed.extend(room.connect(context, main));
        self.visitor_rooms.after_departure(context, &room_jid, &departed);
        Ok(())
    }

    fn disconnect_node(&mut self, context: &mut Context<'_>, main_jid: &Jid, node: &VisitorNode) {
        if let Some(room_jid) = context.settings.hosts.visitor_room(node, main_jid) {
            self.end_visitor_room(context, &room_jid, CONFERENCE_ENDED);
        }
    }

    fn end_visitor_room(&mut self, context: &mut Context<'_>, room_jid: &Jid, reason: &str) {
        self.visitor_rooms.destroy(context, room_jid, &ended(reason));
    }

    /// The conference is over, and so is what visitors see of it.
    pub(super) fn end_visitor_rooms_of(&mut self, context: &mut Context<'_>, main: &Jid) {
        let rooms = context.settings.hosts.nodes().filter_map(|node| context.settings.hosts.visitor_room(node, main));
        for room in rooms.collect::<Vec<_>>() {
            self.end_visitor_room(context, &room, CONFERENCE_ENDED);
        }
    }

    /// A room of visitors is over. The focus may have another made.
    pub(super) fn on_visitor_room_ended(&mut self, context: &mut Context<'_>, room_jid: &Jid) {
        let Some(main) = self.main_of_visitors(context, room_jid) else { return };
        main.state.visitors.remove_room(room_jid);
    }

    /// The rooms of visitors that show a conference.
    fn shown_in(&self, main: &Jid) -> Vec<Jid> {
        self.main.room(main).into_iter().flat_map(|main| main.state.visitors.rooms().cloned()).collect()
    }

    /// The conference that a room of visitors shows.
    pub(super) fn main_of_visitors(&mut self, context: &Context<'_>, room_jid: &Jid) -> Option<&mut Room> {
        self.main.room_mut(&context.settings.hosts.main_of_visitor_room(room_jid)?)
    }

    /// Takes a stanza to a room of visitors or to somebody in it.
    pub(super) fn handle_visitor_room(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        stanza: Element,
    ) {
        let room_jid = to.to_bare();
        let handled = match (stanza.name(), stanza.attr("type"), to.resource()) {
            ("presence", None, _) => {
                if let Some(main) = context.settings.hosts.main_of_visitor_room(&room_jid)
                    && let (Some(main), Some(room)) = (self.main.room(&main), self.visitor_rooms.room_mut(&room_jid))
                    && !room.is_occupant(sender.jid)
                {
                    room.update_from(main);
                }
                Ok(false)
            }
            ("message", Some("groupchat"), None) if !sender.is_service => {
                self.on_words_of_visitor(context, sender, &room_jid, &stanza).map(|()| true)
            }
            ("message", Some("chat"), Some(nick)) if !sender.is_service => {
                self.on_private_message(context, sender, &room_jid, nick, &stanza).map(|()| true)
            }
            ("iq", _, Some(nick)) => match self.visitor_rooms.room(&room_jid) {
                Some(room) => room.relay_mirrored_iq(context, sender, nick, &stanza),
                None => Ok(false),
            },
            _ => Ok(false),
        };
        match handled {
            Ok(true) => {}
            Ok(false) => self.visitor_rooms.handle(context, sender, to, stanza),
            Err(error) => context.refuse(sender.jid, &stanza, &error),
        }
    }

    /// A visitor says something to all: to the conference, and to visitors here and at other nodes.
    fn on_words_of_visitor(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        room_jid: &Jid,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let not_found = || StanzaError::new(Condition::ItemNotFound);
        let main_jid = context.settings.hosts.main_of_visitor_room(room_jid).ok_or_else(not_found)?;
        let room = self.visitor_rooms.room_mut(room_jid).ok_or_else(not_found)?;
        let author = room.occupant_of(sender.jid).map(|occupant| room.occupant_jid(&occupant.nick));
        let author = author.ok_or(StanzaError::new(Condition::NotAcceptable))?;
        let message = room.words_of_visitor(context, sender, stanza)?;
        let main = self.main.room_mut(&main_jid).ok_or_else(not_found)?;
        let said = main.take_words_of_visitor(context, &author, message)?;
        for other_jid in self.shown_in(&main_jid) {
            if let Some(other) = self.visitor_rooms.room_mut(&other_jid) {
                let author = Some(author.as_str()).filter(|_| other_jid == *room_jid);
                other.tell_visitors(context, &main_jid, &said, author);
            }
        }
        Ok(())
    }

    fn on_private_message(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        room_jid: &Jid,
        nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        let not_found = || StanzaError::new(Condition::ItemNotFound);
        let main_jid = context.settings.hosts.main_of_visitor_room(room_jid).ok_or_else(not_found)?;
        let main = self.main.room(&main_jid).ok_or_else(not_found)?;
        let room = self.visitor_rooms.room_mut(room_jid).ok_or_else(not_found)?;
        let private = room.private_message(context, sender, nick, stanza)?;
        let is_restricted = main.state.metadata.is_set("permissions", "privateChatRestricted");
        let by = private.by.as_deref().and_then(|by| main.occupant(by));
        if is_restricted && !by.is_some_and(|by| main.allows(context.settings, by, "send-private-message")) {
            let error = StanzaError::new(Condition::NotAllowed);
            return Err(error.with_text("Sending private messages not allowed"));
        }
        context.send(&private.to, private.message);
        Ok(())
    }

    /// Takes a stanza to what a node offers its visitors: they vote in polls, and otherwise listen.
    pub(crate) fn handle_node_component(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        component: ComponentKind,
        to: &Jid,
        stanza: &Element,
    ) {
        let handled = match (stanza.name(), stanza.attr("type"), component) {
            ("presence", ..) => {
                context.metrics.count_dropped("presence_to_component");
                Ok(())
            }
            ("message", Some("error"), _) => Ok(()),
            ("message", _, ComponentKind::Polls) => self.on_vote_of_visitor(context, sender, to, stanza),
            _ => Err(unhandled()),
        };
        if let Err(error) = handled {
            context.refuse(sender.jid, stanza, &error);
        }
        self.settle(context);
    }

    fn on_vote_of_visitor(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        message: &Element,
    ) -> Result<(), StanzaError> {
        let hosts = &context.settings.hosts;
        let main_jid = sender.client.room_jid(hosts).ok_or_else(unhandled)?;
        let node = hosts.nodes().find(|node| node.components.kind_of(to.domain()).is_some()).ok_or_else(unhandled)?;
        let room_jid = hosts.visitor_room(node, &main_jid).ok_or_else(unhandled)?;
        let room = self.visitor_rooms.room(&room_jid).ok_or_else(unhandled)?;
        let voter = room.occupant_of(sender.jid).map(polls::Voter::of).ok_or_else(unhandled)?;
        let main = self.main.room_mut(&main_jid).ok_or_else(unhandled)?;
        polls::handle_visitor(context, main, voter, message)
    }

    /// What happened in a conference is shown to its visitors.
    pub(super) fn mirror(&mut self, context: &mut Context<'_>, main_jid: &Jid, what: &Happening) {
        for room_jid in self.shown_in(main_jid) {
            let (Some(main), Some(room)) = (self.main.room(main_jid), self.visitor_rooms.room_mut(&room_jid)) else {
                continue;
            };
            let mut departed = Vec::new();
            match what {
                Happening::Joined { nick } | Happening::PresenceUpdated { nick } | Happening::RoleChanged { nick } => {
                    let occupant = main.occupant(nick);
                    departed.extend(occupant.and_then(|occupant| show(context, main, room, occupant)));
                }
                Happening::AffiliationChanged { bare } => {
                    let occupants = main.occupants().filter(|occupant| occupant.jid.bare_str() == bare.as_str());
                    departed.extend(occupants.filter_map(|occupant| show(context, main, room, occupant)));
                }
                Happening::Left(left) => {
                    room.unmirror(context, left);
                    if !room.has_mirrored() {
                        self.end_visitor_room(context, &room_jid, CONFERENCE_ENDED);
                    }
                }
                Happening::Said { message, is_subject } => {
                    room.tell_visitors(context, main_jid, message, None);
                    if *is_subject {
                        room.retitle(context, main_jid, message);
                    }
                }
                Happening::Told { component, news } => tell_news(context, room, *component, news),
                Happening::MetadataChanged => {
                    room.state.metadata = main.state.metadata.clone();
                    metadata::broadcast(context, room);
                }
                Happening::BecameModerator { .. }
                | Happening::LobbyOpened { .. }
                | Happening::LobbyClosed { .. }
                | Happening::Kicked { .. }
                | Happening::Invited { .. }
                | Happening::VisitorsCommand { .. }
                | Happening::Paced
                | Happening::Ended { .. } => {}
            }
            self.visitor_rooms.after_departure(context, &room_jid, &departed);
        }
    }

    /// A visitor came: he is told what else there is in the conference.
    pub(super) fn on_visitor_joined(&mut self, context: &mut Context<'_>, room_jid: &Jid, nick: &str) {
        self.timers.clear(&RoomTimer::WithoutVisitors(room_jid.clone()));
        let Some(main) = context.settings.hosts.main_of_visitor_room(room_jid) else { return };
        let (Some(main), Some(room)) = (self.main.room(&main), self.visitor_rooms.room(room_jid)) else { return };
        let Some(visitor) = room.occupant(nick).filter(|visitor| !visitor.is_service) else { return };
        let components = context.settings.hosts.components_at(room_jid);
        let greetings =
            [(&components.polls, polls::old_polls(main)), (&components.file_sharing, file_sharing::list(main))];
        for (from, news) in greetings {
            if let (Some(from), Some(news)) = (from, news) {
                context.send(&visitor.jid, json::message(from, &news));
            }
        }
        self.on_visitor_changed(context, room_jid, nick);
    }

    /// A visitor shows himself anew.
    pub(super) fn on_visitor_changed(&mut self, context: &mut Context<'_>, room_jid: &Jid, nick: &str) {
        let Some(room) = self.visitor_rooms.room_mut(room_jid) else { return };
        if room.note_language(nick) {
            self.schedule_languages(context, room_jid);
        }
        self.on_hand(context, room_jid, nick);
    }

    /// A visitor is gone.
    pub(super) fn on_visitor_left(&mut self, context: &mut Context<'_>, room_jid: &Jid, departed: &Departed) {
        self.withdraw_request(context, room_jid, &departed.jid, crate::muc::display_name_in(&departed.presence));
        let Some(room) = self.visitor_rooms.room_mut(room_jid) else { return };
        let (wanted_language, is_deserted) = (room.forget_visitor(&departed.nick), room.visitors().next().is_none());
        let is_over = !room.is_empty() && !room.has_mirrored() && !departed.is_focus;
        if wanted_language {
            self.schedule_languages(context, room_jid);
        }
        if is_over {
            self.end_visitor_room(context, room_jid, CONFERENCE_ENDED);
        } else if is_deserted {
            self.schedule(context, RoomTimer::WithoutVisitors(room_jid.clone()), WITHOUT_VISITORS);
        }
    }

    /// Nobody has been in a room of visitors for a while.
    pub(super) fn on_without_visitors(&mut self, context: &mut Context<'_>, room_jid: &Jid) {
        if self.visitor_rooms.room(room_jid).is_some_and(|room| room.visitors().next().is_none()) {
            self.end_visitor_room(context, room_jid, "No visitors.");
        }
    }

    fn schedule_languages(&mut self, context: &Context<'_>, room_jid: &Jid) {
        if let Some(main) = context.settings.hosts.main_of_visitor_room(room_jid) {
            self.schedule(context, RoomTimer::VisitorLanguages(main), LANGUAGES_DEBOUNCE);
        }
    }

    /// Transcribers learn from what all in a room agree on who wants to read what is said, and in which languages.
    pub(super) fn publish_languages(&mut self, context: &mut Context<'_>, main_jid: &Jid) {
        let (mut count, mut languages) = (0, BTreeSet::new());
        for room in self.shown_in(main_jid).iter().filter_map(|room| self.visitor_rooms.room(room)) {
            let (readers, wanted) = room.wanted_languages();
            count += readers;
            languages.extend(wanted);
        }
        let languages = languages.into_iter().collect::<Vec<_>>().join(",");
        let Some(main) = self.main.room_mut(main_jid) else { return };
        let wishes = [("transcribingLanguages", json!(languages)), ("transcribingCount", json!(count))];
        metadata::change(context, main, |metadata| metadata.set_within("visitors", wishes));
    }
}

/// Whom visitors are shown: everybody but the focus, which is in their room itself, and recorders.
fn is_shown(occupant: &Occupant) -> bool {
    let is_recorder = occupant.is_hidden && occupant.jid.local().is_some_and(|name| RECORDERS.contains(&name));
    !occupant.is_focus() && !is_recorder
}

/// Accounts of recorders, as stock knows them (`is_jibri`). Others of their domain are transcribers, whose presence says that they
/// write.
const RECORDERS: [&str; 2] = ["recorder", "jibri"];

fn show(context: &mut Context<'_>, main: &Room, room: &mut Room, occupant: &Occupant) -> Option<Jid> {
    if !is_shown(occupant) {
        return None;
    }
    room.mirror(context, occupant, main.affiliation_of(&occupant.jid, occupant.is_service))
}

/// Tells visitors what a component told those in the conference, in the name of the node's.
fn tell_news(context: &mut Context<'_>, room: &Room, component: ComponentKind, news: &Value) {
    let Some(from) = context.settings.hosts.components_at(&room.jid).host_of(component) else { return };
    let mut news = news.clone();
    if let Some(named) = news.get_mut("roomJid") {
        *named = Value::from(room.jid.as_str());
    }
    context.send_to_all(room.visitors().map(|visitor| &visitor.jid), json::message(from, &news));
}
