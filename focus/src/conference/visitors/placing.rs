//! Where a client goes that asks for the conference: into it, to a node, or to the queue.

use jitsi_protocol::conference_request::ConferenceResponse;
use rand::Rng;
use xmpp::Jid;

use super::policy::{Facts, Place};
use super::{Asking, RoomState, VisitorRoom};
use crate::conference::participant::Participant;
use crate::conference::{Conference, MAX_WAITING_REQUESTS};
use crate::context::Context;
use crate::request::Requester;

impl Conference {
    /// Answers a client: where it finds the conference, when it can be found there.
    pub(in crate::conference) fn place(&mut self, requester: Requester, asking: Asking, context: &mut Context<'_>) {
        let mut response = self.response(context);
        let settings = context.settings.visitors.as_ref().filter(|_| response.ready);
        let permitted = settings.is_some_and(|settings| self.visitors.policy.permits(settings));
        response.properties.insert("visitors-supported".to_owned(), permitted.to_string());
        let place = settings.map_or(Place::MainRoom, |settings| {
            let facts = Facts {
                is_breakout: self.main_room.is_some() || context.settings.is_breakout(&self.room),
                members: self.main_members(context).count(),
                has_visitors: self.visitors.rooms.values().any(VisitorRoom::is_used),
            };
            self.visitors.policy.place(&asking, settings, facts)
        });
        match place {
            Place::MainRoom => self.send_to_main_room(requester, response, context),
            Place::Queue => requester.respond(Ok(response.not_live()), context),
            Place::Node => match self.choose_node(context) {
                Some(node) => self.send_to_node(&node, requester, asking, context),
                None => {
                    tracing::warn!(room = %self.room, "no visitor node can be had, the client takes part");
                    self.send_to_main_room(requester, response, context);
                }
            },
        }
    }

    fn send_to_main_room(&mut self, requester: Requester, response: ConferenceResponse, context: &mut Context<'_>) {
        if response.ready {
            self.expected.on_told(context.now, context.settings.timers.initial);
        }
        requester.respond(Ok(response), context);
    }

    /// Members of the main room that count for its limit.
    fn main_members(&self, context: &Context<'_>) -> impl Iterator<Item = &Participant> {
        self.participants.values().filter(|participant| {
            let services = participant.services(context.settings);
            !participant.is_visitor && !services.jibri && !services.transcriber
        })
    }

    /// The node with the fewest visitors of this conference while it has room, else a new one. Where all are full, the one
    /// with the fewest again: the limit is soft. Jicofo sends visitors to nodes as well that it cannot reach; here they would
    /// wait for nobody, so they take part.
    fn choose_node(&self, context: &mut Context<'_>) -> Option<String> {
        let settings = context.settings.visitors.as_ref()?;
        let used = self.visitors.rooms.iter().filter(|(_, room)| room.is_used());
        let loads = used.map(|(name, room)| (room.load(context.now, settings.join_latency), name));
        let least = loads.min_by_key(|(load, _)| *load);
        if let Some((_, name)) = least.filter(|(load, _)| *load < settings.max_per_node) {
            return Some(name.clone());
        }
        let is_new = |name: &str| match self.visitors.rooms.get(name).map(|room| &room.state) {
            None => true,
            Some(RoomState::Failed { until }) => *until <= context.now,
            Some(RoomState::Joining { .. } | RoomState::Joined) => false,
        };
        let nodes = settings.nodes.iter().filter(|node| is_new(&node.name) && context.focus_at(node).is_some());
        let nodes: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
        let chosen = (!nodes.is_empty()).then(|| context.random.random_range(0..nodes.len()));
        chosen.and_then(|at| nodes.get(at).copied()).or(least.map(|(_, name)| name.as_str())).map(str::to_owned)
    }

    fn send_to_node(&mut self, node: &str, requester: Requester, asking: Asking, context: &mut Context<'_>) {
        let Some(settings) = &context.settings.visitors else { return };
        if !self.visitors.uses(node) {
            self.join_node(node, context);
        }
        let Some(room) = self.visitors.rooms.get_mut(node) else {
            let response = self.response(context);
            return self.send_to_main_room(requester, response, context);
        };
        room.invite(settings, context.now);
        match &mut room.state {
            RoomState::Joining { waiting, .. } if waiting.len() < MAX_WAITING_REQUESTS => {
                waiting.push((requester, asking));
            }
            RoomState::Joined => self.respond_with_node(node, requester, context),
            // The client asks again.
            RoomState::Joining { .. } | RoomState::Failed { .. } => {
                let mut response = self.response(context);
                response.ready = false;
                requester.respond(Ok(response), context);
            }
        }
    }

    pub(super) fn respond_with_node(&self, node: &str, requester: Requester, context: &mut Context<'_>) {
        let mut response = self.response(context);
        let settings = context.settings.visitors.as_ref();
        response.focus_jid = settings.and_then(|settings| context.focus_at(settings.node(node)?)).map(Jid::to_bare);
        response.vnode = Some(node.to_owned());
        response.properties.insert("visitors-supported".to_owned(), "true".to_owned());
        tracing::info!(room = %self.room, node, "client becomes a visitor");
        requester.respond(Ok(response), context);
    }
}
