//! Conferences: their rooms, the lobbies in front of them and the breakout rooms beside them, and what components make
//! of what happens there.
//!
//! Here: the four MUC services, and who acts on which event. One module an idea: `commands` (to components), `lobbies`,
//! `breakouts`, `moves`, `visitors` and `promotions`, `outside` (servers of others), `timers`. Not here: what happens within one room (`muc`), what components keep
//! (`conference_components`).

mod breakouts;
mod commands;
mod lobbies;
mod moves;
mod outside;
mod promotions;
mod timers;
mod visitors;

use std::collections::BTreeSet;
use std::sync::Arc;

use xmpp::muc::Destroy;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use crate::audit::{self, Act};
use crate::client::Client;
use crate::conference_components::calls::RecorderRequests;
use crate::conference_components::{self as components, audio_translation};
use crate::context::{Context, Sender};
use crate::muc::{Departed, Happening, Muc, MucKind, Room, RoomEvent};
use crate::outside::Outside;
use crate::timers::Timers;
pub(crate) use commands::TERMINATED;
use lobbies::Denied;
use moves::BreakoutRooms;
use timers::RoomTimer;

/// The conferences of a deployment.
#[derive(Debug)]
pub(crate) struct Conferences {
    main: Muc,
    lobbies: Muc,
    breakouts: Muc,
    /// Rooms of visitors, at all nodes.
    visitor_rooms: Muc,
    /// Which breakout room belongs to which conference, and who is on the way between them.
    split: BreakoutRooms,
    recorder_requests: RecorderRequests,
    denied: Denied,
    outside: Outside,
    timers: Timers<RoomTimer>,
}

impl Conferences {
    pub(crate) fn new() -> Self {
        Self {
            main: Muc::new(MucKind::Conference),
            lobbies: Muc::new(MucKind::Lobby),
            breakouts: Muc::new(MucKind::Breakout),
            visitor_rooms: Muc::new(MucKind::Visitors),
            split: BreakoutRooms::default(),
            recorder_requests: RecorderRequests::default(),
            denied: Denied::default(),
            outside: Outside::default(),
            timers: Timers::new(),
        }
    }

    /// Takes a stanza to a service of rooms, a room or an occupant.
    pub(crate) fn handle(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element) {
        match (context.settings.hosts.rooms_at(to), to.local()) {
            (MucKind::Lobby, None) => self.handle_lobby_service(context, sender, to, &stanza),
            (MucKind::Lobby, Some(_)) => self.handle_lobby(context, sender, to, stanza),
            (MucKind::Breakout, None) => self.handle_breakout_service(context, sender, to, &stanza),
            (MucKind::Breakout, Some(_)) => self.handle_breakout_room(context, sender, to, stanza),
            (MucKind::Visitors, None) => self.visitor_rooms.handle(context, sender, to, stanza),
            (MucKind::Visitors, Some(_)) => self.handle_visitor_room(context, sender, to, stanza),
            (MucKind::Conference | MucKind::Internal, _) => self.handle_main(context, sender, to, stanza),
        }
        self.settle(context);
    }

    fn handle_main(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element) {
        let refusal = if stanza.name() == "presence" && stanza.attr("type").is_none() {
            self.check_move(sender, &to.to_bare(), &to.to_bare(), to.resource().unwrap_or_default())
                .and_then(|()| self.check_reserved(context, &to.to_bare()))
        } else if stanza.name() == "iq" {
            self.check_outgoing_calls(context, sender, &stanza)
                .and_then(|()| self.recorder_requests.check(context.now.instant, sender, &stanza))
        } else {
            Ok(())
        };
        match refusal {
            Ok(()) => self.main.handle(context, sender, to, stanza),
            Err(error) => context.refuse(sender.jid, &stanza, &error),
        }
    }

    /// A request of the focus on its way to a recorder: it is told which meeting it records.
    pub(crate) fn describe_recording(&mut self, context: &Context<'_>, sender: Sender<'_>, request: &mut Element) {
        let room = components::calls::recorded_room(request).filter(|_| context.settings.hosts.is_focus(sender.jid));
        let Some(room_jid) = room else { return };
        let Some(room) = self.muc_of(context, &room_jid).room(&room_jid) else { return };
        for jibri in request.children_mut().filter(|child| child.is("jibri", ns::JIBRI)) {
            components::calls::name_meeting(jibri, &room.config.meeting_id);
        }
    }

    /// The calls that one user may have at one time, in all rooms (`mod_filter_iq_rayo`).
    fn check_outgoing_calls(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        request: &Element,
    ) -> Result<(), StanzaError> {
        let limit = context.settings.conference.outgoing_calls.filter(|_| components::calls::is_call(request));
        let (Some(limit), Some(claims)) = (limit, sender.client.claims.as_deref()) else { return Ok(()) };
        let phones = self.main.rooms().flat_map(Room::occupants);
        if phones.filter(|occupant| components::calls::was_called_by(occupant, claims)).count() < limit {
            return Ok(());
        }
        Err(StanzaError::new(Condition::ResourceConstraint).with_type(xmpp::ErrorType::Cancel))
    }

    /// The sender is gone from every room, by presence without an address.
    pub(crate) fn leave_all(&mut self, context: &mut Context<'_>, jid: &Jid, stanza: &Element) {
        for muc in self.mucs_mut() {
            muc.leave_all(context, jid, stanza);
        }
        self.settle(context);
    }

    /// A session ended: its occupants leave, its waiting joins are forgotten.
    pub(crate) fn on_session_end(&mut self, context: &mut Context<'_>, jid: &Jid) {
        self.split.forget_traveller(&jid.to_bare());
        self.outside.reservations.on_session_end(jid);
        for muc in self.mucs_mut() {
            muc.on_session_end(context, jid);
        }
        self.settle(context);
    }

    /// A client brought other claims. Answers whether they are for the conferences that it is in, and so took their place.
    pub(crate) fn refresh_client(&mut self, context: &mut Context<'_>, jid: &Jid, client: &Arc<Client>) -> bool {
        let claims = client.claims.as_deref();
        let is_for_all = self
            .main
            .rooms()
            .chain(self.visitor_rooms.rooms())
            .filter(|room| room.is_occupant(jid))
            .all(|room| claims.is_none_or(|claims| room.check_claims(context, claims).is_ok()));
        if is_for_all {
            for muc in self.mucs_mut() {
                muc.rooms_mut().for_each(|room| room.refresh_client(jid, client));
            }
        }
        is_for_all
    }

    /// Whoever is in a room, a lobby or a breakout room under an address of this domain.
    pub(crate) fn visitors_of(&self, domain: &str) -> BTreeSet<Jid> {
        self.mucs().into_iter().flat_map(|muc| muc.visitors_of(domain)).collect()
    }

    /// Whether somebody may be told of STUN and TURN servers. Where that is for occupants only, newcomers are told with the
    /// metadata of their room.
    pub(crate) fn may_know_services(&self, context: &Context<'_>, sender: Sender<'_>) -> bool {
        let is_open = !context.settings.conference.services_for_occupants || sender.is_service;
        is_open || [&self.main, &self.breakouts, &self.visitor_rooms].iter().any(|muc| muc.is_occupied_by(sender.jid))
    }

    /// Rooms, visits and what stands between rooms, for tests.
    pub(crate) fn remembered(&self) -> usize {
        let rooms: usize = self.mucs().into_iter().map(Muc::remembered).sum();
        rooms + self.split.remembered() + self.outside.remembered()
    }

    /// All services of rooms.
    fn mucs(&self) -> [&Muc; 4] {
        [&self.main, &self.lobbies, &self.breakouts, &self.visitor_rooms]
    }

    fn mucs_mut(&mut self) -> [&mut Muc; 4] {
        [&mut self.main, &mut self.lobbies, &mut self.breakouts, &mut self.visitor_rooms]
    }

    fn muc_of(&mut self, context: &Context<'_>, room: &Jid) -> &mut Muc {
        match context.settings.hosts.rooms_at(room) {
            MucKind::Lobby => &mut self.lobbies,
            MucKind::Breakout => &mut self.breakouts,
            MucKind::Visitors => &mut self.visitor_rooms,
            MucKind::Conference | MucKind::Internal => &mut self.main,
        }
    }

    /// Acts on what happened in rooms, and on what happens by that.
    pub(crate) fn settle(&mut self, context: &mut Context<'_>) {
        while let Some(RoomEvent { room, what }) = context.room_events.pop_front() {
            self.on_event(context, &room, what);
        }
    }

    fn on_event(&mut self, context: &mut Context<'_>, room: &Jid, what: Happening) {
        self.tell_outside(context, room, &what);
        let kind = context.settings.hosts.rooms_at(room);
        if kind == MucKind::Conference {
            self.mirror(context, room, &what);
        }
        match what {
            Happening::Joined { nick } => self.on_joined(context, room, &nick),
            Happening::Left(departed) => self.on_left(context, room, &departed),
            Happening::PresenceUpdated { nick } if kind == MucKind::Visitors => {
                self.on_visitor_changed(context, room, &nick);
            }
            Happening::PresenceUpdated { nick } => {
                if let Some(room) = self.muc_of(context, room).room_mut(room) {
                    components::metadata::on_presence(context, room, &nick);
                }
            }
            Happening::BecameModerator { nick } => {
                self.tell_requests(context, room, &nick);
                if let Some(room) = self.muc_of(context, room).room(room) {
                    components::av_moderation::on_moderator(context, room, &nick);
                }
            }
            Happening::AffiliationChanged { bare } => {
                self.share_affiliation(context, room, &bare);
                self.watch_owners(context, room);
            }
            Happening::LobbyOpened { by } => self.open_lobby(context, room, by.as_ref()),
            Happening::LobbyClosed { by, reason } => self.close_lobby(context, room, by.as_ref(), reason),
            Happening::Kicked { by, occupant } => self.on_kicked(context, room, &by, &occupant),
            Happening::Invited { by, invitee } => self.on_invited(context, room, &by, &invitee),
            Happening::VisitorsCommand { by, command } => self.on_visitors_command(context, room, &by, &command),
            // Visitors alone hear of them.
            Happening::RoleChanged { .. }
            | Happening::Said { .. }
            | Happening::Told { .. }
            | Happening::MetadataChanged => {}
            Happening::Paced => self.schedule_turn(context, room),
            Happening::Ended { destroy, .. } => self.on_ended(context, room, &destroy),
        }
    }

    fn on_joined(&mut self, context: &mut Context<'_>, room_jid: &Jid, nick: &str) {
        if context.settings.hosts.rooms_at(room_jid) == MucKind::Visitors {
            return self.on_visitor_joined(context, room_jid, nick);
        }
        let Some(room) = self.muc_of(context, room_jid).room_mut(room_jid) else { return };
        if room.kind.has_media() {
            components::av_moderation::greet(context, room, nick);
            components::speaker_stats::greet(context, room, nick);
            components::polls::greet(context, room, nick);
            components::file_sharing::greet(context, room, nick);
        }
        let is_participant = room.occupant(nick).is_some_and(crate::muc::Occupant::is_participant);
        if is_participant {
            self.timers.clear(&RoomTimer::OnlyRecorders(room_jid.clone()));
        }
        self.on_moved_in(context, room_jid, nick, is_participant);
        self.note_promoted(context, room_jid, nick);
        self.go_live(context, room_jid);
        self.watch_owners(context, room_jid);
        if let Some(longest) = context.settings.conference.longest.filter(|_| is_participant) {
            // Counted from the first who comes: a timer that is set stays.
            self.schedule_for_main(context, room_jid, RoomTimer::Longest, longest);
        }
    }

    fn on_left(&mut self, context: &mut Context<'_>, room_jid: &Jid, departed: &Departed) {
        if context.settings.hosts.rooms_at(room_jid) == MucKind::Visitors {
            return self.on_visitor_left(context, room_jid, departed);
        }
        if let Some(main) = self.main_of(room_jid).and_then(|main| self.main.room_mut(&main)) {
            // Whoever was in any of its rooms is no visitor.
            main.state.visitors.remember(departed.jid.local().unwrap_or_default());
        }
        if let Some(room) = self.muc_of(context, room_jid).room_mut(room_jid).filter(|room| room.kind.has_media()) {
            components::speaker_stats::on_left(context, room, departed);
            components::av_moderation::on_left(context, room, departed);
            if components::audio_translation::on_left(room, departed) {
                self.schedule(context, RoomTimer::Translations(room_jid.clone()), audio_translation::DEBOUNCE);
            }
        }
        self.forget_promoted(room_jid, &departed.nick);
        self.on_moved_out(context, room_jid, departed);
        self.end_if_abandoned(context, room_jid);
        self.watch_owners(context, room_jid);
        self.watch_recorders(context, room_jid);
    }

    /// A lobby and breakout rooms know the users of their conference, and the other way round.
    fn share_affiliation(&mut self, context: &mut Context<'_>, room_jid: &Jid, bare: &Jid) {
        let Some(room) = self.muc_of(context, room_jid).room(room_jid) else { return };
        let (affiliation, granted) = room.standing_of(bare);
        let relatives = match room.main_room.clone() {
            Some(main) => vec![main],
            None => {
                let lobby = room.lobby.as_ref().map(|lobby| lobby.jid.clone());
                let breakouts = room.state.breakouts.iter().map(|(breakout, _)| breakout.clone());
                lobby.into_iter().chain(breakouts).collect()
            }
        };
        for relative in relatives {
            let muc = self.muc_of(context, &relative);
            let Some(room) = muc.room_mut(&relative) else { continue };
            let departed = room.adopt(context, bare, affiliation, granted.clone());
            muc.after_departure(context, &relative, &departed);
        }
    }

    fn on_ended(&mut self, context: &mut Context<'_>, room_jid: &Jid, destroy: &Destroy) {
        for timer in RoomTimer::all_of(room_jid) {
            self.timers.clear(&timer);
        }
        let kind = context.settings.hosts.rooms_at(room_jid);
        if kind == MucKind::Visitors {
            self.on_visitor_room_ended(context, room_jid);
        }
        if kind == MucKind::Conference {
            self.end_visitor_rooms_of(context, room_jid);
            self.end_lobby_of(context, room_jid);
            self.end_breakouts_of(context, room_jid, destroy);
        }
    }

    /// Ends a conference for everybody, by the hand of somebody or by a rule alone.
    pub(crate) fn end(
        &mut self,
        context: &mut Context<'_>,
        room: &Jid,
        destroy: &Destroy,
        (rule, by): (&'static str, Option<&Jid>),
    ) {
        audit::moderated(room, Act { event: "end", rule, by, on: None });
        self.main.destroy(context, room, destroy);
    }

    pub(crate) fn room(&self, room: &Jid) -> Option<&Room> {
        self.main.room(room)
    }

    pub(crate) fn room_mut(&mut self, room: &Jid) -> Option<&mut Room> {
        self.main.room_mut(room)
    }

    /// All conferences.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.main.rooms()
    }

    /// Sends somebody out of a conference, as another system wants it.
    pub(crate) fn kick(&mut self, context: &mut Context<'_>, room_jid: &Jid, nick: &str) {
        let jid = self.main.room(room_jid).and_then(|room| room.occupant(nick)).map(|occupant| occupant.jid.as_str());
        audit::moderated(room_jid, Act { event: "kick", rule: "api", by: None, on: jid });
        let departed = self.main.room_mut(room_jid).and_then(|room| room.kick(context, nick));
        self.main.after_departure(context, room_jid, departed.as_slice());
    }

    /// A meeting without an owner in any of its rooms is ended after a while, where that is wanted.
    fn watch_owners(&mut self, context: &Context<'_>, room_jid: &Jid) {
        let Some(limit) = context.settings.conference.without_owner_for else { return };
        let Some(main) = self.main_of(room_jid) else { return };
        let (has_owner, has_guest) = (
            self.rooms_of(&main).any(Room::has_owner),
            self.rooms_of(&main).any(|room| room.participants().next().is_some()),
        );
        let timer = RoomTimer::WithoutOwner(main);
        if has_owner || !has_guest {
            self.timers.clear(&timer);
        } else {
            self.schedule(context, timer, limit);
        }
    }

    fn schedule_for_main(
        &mut self,
        context: &Context<'_>,
        room_jid: &Jid,
        timer: fn(Jid) -> RoomTimer,
        delay: std::time::Duration,
    ) {
        if let Some(main) = self.main_of(room_jid) {
            self.schedule(context, timer(main), delay);
        }
    }

    /// A room with nobody but recorders is ended after a while (`mod_muc_cleanup_backend_services`).
    fn watch_recorders(&mut self, context: &Context<'_>, room_jid: &Jid) {
        let Some(room) = self.main.room(room_jid) else { return };
        let has_recorders = room.occupants().any(|occupant| occupant.is_hidden);
        if has_recorders && room.participants().next().is_none() && !room.state.breakouts.is_active() {
            let delay = context.settings.conference.only_recorders_for;
            self.schedule(context, RoomTimer::OnlyRecorders(room_jid.clone()), delay);
        }
    }
}
