//! Visitor nodes: which conference a room on a node belongs to, and stanzas to and from nodes that are other servers.
//!
//! Here: their streams, and what goes over which. Not here: who is sent to a node, and what happens in its rooms
//! (`conference::visitors`).

use std::time::Instant;

use serde_json::{Map, Value};
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, ns};

use crate::focus::{Focus, Output};
use crate::iq::IqOutcome;
use crate::settings::{NodeAccess, VisitorNode};

impl Focus {
    /// The room of the conference to which an address of a room belongs: itself, but for rooms on nodes.
    pub(crate) fn main_room_of(&self, occupant: &Jid) -> Jid {
        let node = self.settings.visitors.as_ref().and_then(|visitors| visitors.node_of(occupant.domain()));
        let main_room = node.and_then(|node| node.main_room_of(occupant, &self.settings.domain));
        main_room.unwrap_or_else(|| occupant.to_bare())
    }

    pub(crate) fn on_node_up(&mut self, node: String, jid: Jid) {
        tracing::info!(node, %jid, "focus is connected to a visitor node");
        // As at the main server: nobody in particular is told that the focus is there.
        let stanza = Element::new("presence", ns::CLIENT);
        self.output.push_back(Output::SendToNode { node: node.clone(), stanza });
        self.node_links.insert(node, jid);
    }

    pub(crate) fn on_node_down(&mut self, node: &str, now: Instant) {
        if self.node_links.remove(node).is_none() {
            return;
        }
        tracing::warn!(node, "focus is disconnected from a visitor node");
        // What was to be sent on the old stream must not go out on the next.
        self.output.retain(|output| !matches!(output, Output::SendToNode { node: to, .. } if to == node));
        self.with_conferences(
            |conference| conference.uses_node(node),
            now,
            |conference, context| {
                conference.on_node_down(node, context);
            },
        );
    }

    /// A node is believed about itself only, and serves nobody who asks for conferences.
    pub(crate) fn on_node_stanza(&mut self, node: &str, stanza: &Element, now: Instant) {
        let from = stanza.attr("from").and_then(|from| from.parse::<Jid>().ok());
        let known = self.settings.visitors.as_ref().and_then(|visitors| visitors.node(node));
        let is_its_own = from.as_ref().zip(known).is_some_and(|(from, node)| node.has(from.domain()));
        let Some(from) = from.filter(|_| is_its_own && self.node_links.contains_key(node)) else {
            return self.metrics.dropped("stanza of a visitor node about something else");
        };
        let is_in_conference = self.conferences.contains_key(&self.main_room_of(&from));
        match (stanza.name(), stanza.attr("type")) {
            ("presence", _) if is_in_conference => self.on_presence(stanza, now),
            ("iq", Some("result" | "error")) => match self.iqs.take_answered(stanza) {
                Some(purpose) => self.on_iq_outcome(purpose, IqOutcome::Answer(stanza.clone()), now),
                None => self.metrics.dropped("unexpected answer"),
            },
            ("iq", Some("get" | "set")) if is_in_conference && !asks_for_conference(stanza) => {
                self.on_iq_request(stanza, now);
            }
            ("iq", Some("get" | "set")) => {
                self.answer(iq_error(stanza, &StanzaError::new(Condition::ServiceUnavailable)));
            }
            // Rooms say much that is nothing to the focus.
            _ => {}
        }
    }

    /// Sends a stanza over the stream of the node where it goes to one; `None` when that is down.
    pub(crate) fn route(&self, output: Output) -> Option<Output> {
        let Output::Send(stanza) = output else { return Some(output) };
        // Mostly there is no such node, and no address needs to be read.
        let visitors = self.settings.visitors.as_ref().filter(|visitors| visitors.has_own_links());
        let Some(visitors) = visitors else { return Some(Output::Send(stanza)) };
        let to = stanza.attr("to").and_then(|to| to.parse::<Jid>().ok());
        let node = to.and_then(|to| visitors.node_of(to.domain()));
        let Some(node) = node.filter(|node| node.access == NodeAccess::OwnLink) else {
            return Some(Output::Send(stanza));
        };
        if !self.node_links.contains_key(&node.name) {
            self.metrics.dropped("stanza for a visitor node out of reach");
            return None;
        }
        Some(Output::SendToNode { node: node.name.clone(), stanza })
    }

    /// Whether each node can be reached.
    pub(crate) fn debug_nodes(&self) -> Map<String, Value> {
        let nodes = self.settings.visitors.iter().flat_map(|visitors| &visitors.nodes);
        let is_up = |node: &VisitorNode| node.focus_jid(self.link.as_ref(), &self.node_links).is_some();
        nodes.map(|node| (node.name.clone(), is_up(node).into())).collect()
    }
}

fn asks_for_conference(iq: &Element) -> bool {
    iq.children().next().is_some_and(|payload| {
        payload.ns() == ns::FOCUS && matches!(payload.name(), "conference" | "logout" | "login-url")
    })
}
