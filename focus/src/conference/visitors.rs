//! Visitors of a conference: the rooms in which they are, on nodes of their own, and who is sent there (focus.md §10).
//!
//! ```text
//! a client        focus                 node                     component
//!    ├─ request ───►│                      │                          │
//!    │              ├─ presence ──────────►│                          │
//!    │              │◄── own presence ─────┤                          │
//!    │              ├─ configuration ─────►│                          │
//!    │              │◄──────────── result ─┤                          │
//!    │              ├─ connect-vnode ──────┼─────────────────────────►│
//!    │◄─ vnode ─────┤                      │                          │
//!    ├─ enters the room ──────────────────►│                          │
//! ```
//!
//! Here: those rooms. Not here: who has to watch (`policy`) and where (`placing`), what all rooms are told of visitors
//! (`figures`), sessions with visitors, which are those of participants but for sources (`invite`, `jingle`).

mod figures;
mod placing;
mod policy;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use jitsi_protocol::focus_presence;
use jitsi_protocol::visitors::{VnodeCommand, VnodeRequest};
use model::EndpointId;
use serde_json::{Map, Value, json};
use xmpp::{Element, Jid};

use super::participant::Participant;
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::muc::{self, Member, Role};
use crate::request::Requester;
use crate::settings::VisitorSettings;
use figures::{Preferences, RateLimitedCount};
pub(crate) use policy::Asking;
use policy::RoomPolicy;

/// How long a node is left alone whose room could not be entered, or threw the focus out.
const NODE_RECOVERY: Duration = Duration::from_secs(60);

/// What a conference knows of its visitors.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    policy: RoomPolicy,
    /// By the name of the node.
    rooms: IndexMap<String, VisitorRoom>,
    count: RateLimitedCount,
    codecs: Preferences,
}

/// The room of a conference on one node.
#[derive(Debug)]
struct VisitorRoom {
    /// The focus there.
    occupant: Jid,
    state: RoomState,
    visitors: usize,
    /// When clients were sent there that have not come yet.
    invited: VecDeque<Instant>,
    /// What the room was told last.
    published: Option<Element>,
}

#[derive(Debug)]
enum RoomState {
    /// The focus enters it; has to be done by then. Who is sent there waits.
    Joining {
        step: JoinStep,
        until: Instant,
        waiting: Vec<(Requester, Asking)>,
    },
    Joined,
    /// It could not be entered, or was lost; it may be tried again then.
    Failed {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JoinStep {
    /// Its own presence.
    Presence,
    /// The confirmation of the room's configuration.
    Configuration,
}

impl VisitorRoom {
    fn is_used(&self) -> bool {
        !matches!(self.state, RoomState::Failed { .. })
    }

    /// Visitors who are there, or on their way.
    fn load(&self, now: Instant, latency: Duration) -> usize {
        let is_under_way = |at: &&Instant| now.saturating_duration_since(**at) < latency;
        self.visitors + self.invited.iter().rev().take_while(is_under_way).count()
    }

    fn invite(&mut self, settings: &VisitorSettings, now: Instant) {
        self.invited.push_back(now);
        // More make no difference: the node is full, or as full as the others.
        while self.invited.len() > settings.max_per_node.max(1) {
            self.invited.pop_front();
        }
    }
}

impl Visitors {
    pub(super) fn is_live(&self) -> bool {
        self.policy.is_live
    }

    pub(super) fn on_metadata(&mut self, metadata: &Value) {
        self.policy.update(metadata);
    }

    /// The name of the node in whose room an occupant is.
    fn node_at(&self, occupant: &Jid) -> Option<&str> {
        let bare = occupant.bare_str();
        let known = self.rooms.iter().find(|(_, room)| room.is_used() && room.occupant.bare_str() == bare);
        known.map(|(name, _)| name.as_str())
    }

    pub(super) fn uses(&self, node: &str) -> bool {
        self.rooms.get(node).is_some_and(VisitorRoom::is_used)
    }

    pub(super) fn deadline(&self, settings: Option<&VisitorSettings>) -> Option<Instant> {
        let joining = self.rooms.values().filter_map(|room| match room.state {
            RoomState::Joining { until, .. } => Some(until),
            RoomState::Joined | RoomState::Failed { .. } => None,
        });
        let count = settings.and_then(|settings| self.count.deadline(settings.notification_interval));
        joining.chain(count).min()
    }

    /// What rooms are told of visitors.
    pub(super) fn properties(&self, settings: Option<&VisitorSettings>) -> Vec<(String, String)> {
        let is_on = settings.map(|_| ("visitors-enabled".to_owned(), "true".to_owned()));
        let count = self.count.told().map(|count| ("visitor-count".to_owned(), count.to_string()));
        let codecs = self.codecs.told().map(|codecs| ("visitor-codecs".to_owned(), codecs));
        is_on.into_iter().chain(count).chain(codecs).collect()
    }

    pub(super) fn debug_state(&self) -> Value {
        let rooms: Map<String, Value> = self
            .rooms
            .iter()
            .map(|(name, room)| {
                let state = match room.state {
                    RoomState::Joining { .. } => "joining",
                    RoomState::Joined => "joined",
                    RoomState::Failed { .. } => "failed",
                };
                (name.clone(), json!({ "state": state, "visitors": room.visitors }))
            })
            .collect();
        json!({ "live": self.policy.is_live, "codecs": self.codecs.told(), "nodes": rooms })
    }
}

impl Conference {
    /// How many only watch.
    pub(crate) fn visitor_count(&self) -> usize {
        self.visitors.rooms.values().map(|room| room.visitors).sum()
    }

    pub(crate) fn uses_node(&self, node: &str) -> bool {
        self.visitors.uses(node)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.visitors.is_live()
    }

    /// Enters the room on a node.
    fn join_node(&mut self, name: &str, context: &mut Context<'_>) {
        let Some(node) = context.settings.visitors.as_ref().and_then(|settings| settings.node(name)) else { return };
        let room = node.room_of(&self.room, &context.settings.domain);
        let Some(occupant) = room.and_then(|room| room.with_resource(&context.settings.nick).ok()) else { return };
        tracing::info!(room = %self.room, node = name, visitor_room = occupant.bare_str(), "visitor room entered");
        let versions = focus_presence::versions(env!("CARGO_PKG_VERSION"));
        context.send(muc::join_presence(&occupant).with_child(versions));
        let until = context.now + context.settings.timers.reply;
        let state = RoomState::Joining { step: JoinStep::Presence, until, waiting: Vec::new() };
        let room = VisitorRoom { occupant, state, visitors: 0, invited: VecDeque::new(), published: None };
        self.visitors.rooms.insert(name.to_owned(), room);
    }

    /// A presence of a room on a node.
    pub(super) fn on_visitor_room_presence(&mut self, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        let Some(node) = self.visitors.node_at(from).map(str::to_owned) else { return };
        let Some(room) = self.visitors.rooms.get_mut(&node) else { return };
        if room.occupant != *from {
            return self.on_visitor_presence(&node, from, presence, context);
        }
        match presence.attr("type") {
            None => {}
            Some("unavailable") => return self.on_node_lost(&node, "the focus was removed from its room", context),
            Some(_) if matches!(room.state, RoomState::Joining { .. }) => {
                return self.on_node_lost(&node, "its room refused the focus", context);
            }
            // An error that answers a later presence: the room is still there.
            Some(_) => return,
        }
        if !Member::of_presence(from, presence).is_some_and(|own| own.is_owner()) {
            return self.on_node_lost(&node, "the focus is not an owner of its room", context);
        }
        if let RoomState::Joining { step: step @ JoinStep::Presence, .. } = &mut room.state {
            *step = JoinStep::Configuration;
            let to = from.to_bare();
            let purpose = ConferencePurpose::ConfigVisitorRoom { node };
            self.request(&to, "set", muc::config_submit(), purpose, context);
        }
    }

    /// The room on a node took its configuration, or not.
    pub(super) fn on_visitor_room_configured(&mut self, node: &str, outcome: &IqOutcome, context: &mut Context<'_>) {
        let Some(room) = self.visitors.rooms.get_mut(node) else { return };
        let RoomState::Joining { step: JoinStep::Configuration, waiting, .. } = &mut room.state else { return };
        if let Some(problem) = problem_of(outcome) {
            tracing::warn!(room = %self.room, node, problem, "the visitor room refused its configuration");
            return self.on_node_lost(node, "its room cannot be configured", context);
        }
        let waiting = std::mem::take(waiting);
        room.state = RoomState::Joined;
        self.publish_to_nodes(context);
        self.tell_component(VnodeCommand::Connect, &[node.to_owned()], context);
        for (requester, _) in waiting {
            self.respond_with_node(node, requester, context);
        }
    }

    /// Somebody came to, or left, a room on a node. Members of the main room are shown there as well.
    fn on_visitor_presence(&mut self, node: &str, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        let Some(endpoint) = super::members::endpoint_of(from) else {
            return context.metrics.dropped("visitor with an impossible nick");
        };
        let is_known = self.participant_at(from).is_some();
        match presence.attr("type") {
            Some("unavailable") if is_known => self.on_visitor_left(node, &endpoint, context),
            None => {
                let member = Member::of_presence(from, presence).filter(|member| member.role == Role::Visitor);
                let Some(member) = member else { return };
                if let Some(known) = self.participants.get_mut(&endpoint).filter(|_| is_known) {
                    // What it prefers may not change, or it could not be taken out of what all prefer.
                    let codecs = known.member.codecs.take();
                    known.member = Member { codecs, ..member };
                } else if self.participants.contains_key(&endpoint) {
                    context.metrics.dropped("visitor with the nick of somebody else");
                } else {
                    self.on_visitor_joined(node, endpoint, member, context);
                }
            }
            Some(_) => {}
        }
    }

    fn on_visitor_joined(&mut self, node: &str, endpoint: EndpointId, member: Member, context: &mut Context<'_>) {
        let Some(settings) = &context.settings.visitors else { return };
        if self.visitor_count() >= context.settings.limits.visitors {
            tracing::warn!(room = %self.room, %endpoint, "visitor ignored, there are too many");
            return context.metrics.dropped("visitor beyond the limit");
        }
        tracing::info!(room = %self.room, %endpoint, node, "visitor joined");
        context.metrics.participants.inc();
        if let Some(codecs) = &member.codecs {
            self.visitors.codecs.add(codecs);
        }
        let mut participant = Participant::new(endpoint.clone(), member, &context.settings.limits, context.now);
        participant.is_visitor = true;
        self.participants.add(participant);
        if let Some(room) = self.visitors.rooms.get_mut(node) {
            room.visitors += 1;
            room.invited.pop_front();
        }
        self.visitors.count.set(self.visitor_count(), context.now, settings.notification_interval);
        self.on_member_count(super::phase::Leaving::ForGood, context);
    }

    /// A visitor is gone, or made room for a participant of the same name.
    pub(super) fn on_visitor_left(&mut self, node: &str, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(settings) = &context.settings.visitors else { return };
        let Some(gone) = self.forget_participant(endpoint, context) else { return };
        tracing::info!(room = %self.room, %endpoint, node, "visitor left");
        if let Some(codecs) = &gone.member.codecs {
            self.visitors.codecs.remove(codecs);
        }
        if let Some(room) = self.visitors.rooms.get_mut(node) {
            room.visitors = room.visitors.saturating_sub(1);
        }
        self.visitors.count.set(self.visitor_count(), context.now, settings.notification_interval);
        self.on_member_count(super::phase::Leaving::ForGood, context);
    }

    /// A member of the main room has the name of a visitor: that one has to go.
    pub(super) fn displace_visitor(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let visitor = self.participants.get(endpoint).filter(|known| known.is_visitor);
        let Some(occupant) = visitor.map(|known| known.member.occupant.clone()) else { return };
        let node = self.visitors.node_at(&occupant).unwrap_or_default().to_owned();
        context.metrics.dropped("visitor with the nick of somebody else");
        self.on_visitor_left(&node, endpoint, context);
    }

    /// A node, or its room, is out of reach: its visitors are gone, and who waits for it goes elsewhere. Clients leave by
    /// themselves when they see the focus leave, and ask again.
    pub(super) fn on_node_lost(&mut self, node: &str, reason: &'static str, context: &mut Context<'_>) {
        let Some(room) = self.visitors.rooms.get_mut(node).filter(|room| room.is_used()) else { return };
        tracing::warn!(room = %self.room, node, reason, visitors = room.visitors, "visitor node lost");
        context.metrics.visitor_nodes_lost.inc();
        let until = context.now + NODE_RECOVERY;
        let state = std::mem::replace(&mut room.state, RoomState::Failed { until });
        room.invited.clear();
        room.published = None;
        let occupant = room.occupant.clone();
        let is_there = |participant: &&Participant| {
            participant.is_visitor && participant.member.occupant.bare_str() == occupant.bare_str()
        };
        let visitors: Vec<EndpointId> =
            self.participants.values().filter(is_there).map(|known| known.endpoint.clone()).collect();
        for endpoint in visitors {
            self.on_visitor_left(node, &endpoint, context);
        }
        match state {
            RoomState::Joining { waiting, .. } => {
                // It may get in all the same, too late.
                context.send(muc::leave_presence(&occupant));
                for (requester, asking) in waiting {
                    self.place(requester, asking, context);
                }
            }
            RoomState::Joined => self.tell_component(VnodeCommand::Disconnect, &[node.to_owned()], context),
            RoomState::Failed { .. } => {}
        }
    }

    /// What is due of visitors.
    pub(super) fn on_visitor_timeout(&mut self, context: &mut Context<'_>) {
        let Some(settings) = &context.settings.visitors else { return };
        self.visitors.count.tell(context.now, settings.notification_interval);
        let is_late =
            |room: &VisitorRoom| matches!(room.state, RoomState::Joining { until, .. } if until <= context.now);
        let late = self.visitors.rooms.iter().filter(|(_, room)| is_late(room)).map(|(name, _)| name.clone());
        for node in late.collect::<Vec<_>>() {
            self.on_node_lost(&node, "its room did not let the focus in", context);
        }
    }

    /// The conference ends: nodes are disconnected, their rooms left. Who waits for one asks again.
    pub(super) fn leave_nodes(&mut self, context: &mut Context<'_>) {
        let rooms = std::mem::take(&mut self.visitors.rooms);
        let is_joined = |room: &VisitorRoom| matches!(room.state, RoomState::Joined);
        let joined: Vec<String> =
            rooms.iter().filter(|(_, room)| is_joined(room)).map(|(name, _)| name.clone()).collect();
        self.tell_component(VnodeCommand::Disconnect, &joined, context);
        for room in rooms.into_values().filter(VisitorRoom::is_used) {
            context.send(muc::leave_presence(&room.occupant));
            if let RoomState::Joining { waiting, .. } = room.state {
                self.waiting.extend(waiting);
            }
        }
    }

    fn tell_component(&self, command: fn(String) -> VnodeCommand, nodes: &[String], context: &mut Context<'_>) {
        let Some(settings) = context.settings.visitors.as_ref().filter(|_| !nodes.is_empty()) else { return };
        let commands = nodes.iter().map(|node| command(node.clone())).collect();
        let request = VnodeRequest { room: self.room.clone(), commands };
        self.request(&settings.component, "get", request.to_element(), ConferencePurpose::ConnectNodes, context);
    }

    /// Tells rooms on nodes what the main room is told, but for what is of use there only.
    pub(super) fn publish_to_nodes(&mut self, context: &mut Context<'_>) {
        if self.visitors.rooms.is_empty() {
            return;
        }
        let children = self.shared_presence(context.settings);
        for room in self.visitors.rooms.values_mut().filter(|room| matches!(room.state, RoomState::Joined)) {
            let presence = muc::presence(&room.occupant).with_children(children.iter().cloned());
            if room.published.as_ref() != Some(&presence) {
                room.published = Some(presence.clone());
                context.send(presence);
            }
        }
    }
}
