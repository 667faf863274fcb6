//! Visitors: who comes last to a very large conference only watches, in rooms on nodes of their own (`visitors.*`,
//! `xmpp.visitors.*`; focus.md §10).

use std::collections::BTreeMap;
use std::time::Duration;

use xmpp::{InvalidJid, Jid};

/// When clients become visitors, and where.
#[derive(Clone, Debug)]
pub struct VisitorSettings {
    /// The component that connects rooms on nodes with main rooms.
    pub component: Jid,
    /// Where visitors go.
    pub nodes: Vec<VisitorNode>,
    /// Members of the main room from which on newcomers are visitors (`max-participants`); the metadata of a room may say
    /// another number.
    pub max_participants: usize,
    /// Visitors of one conference that a node gets while there are others (`max-visitors-per-node`).
    pub max_per_node: usize,
    /// How often rooms are told how many visitors there are (`notification-interval`).
    pub notification_interval: Duration,
    /// How long a client that was sent to a node counts there before it came (`vnode-join-latency-interval`).
    pub join_latency: Duration,
    /// Whether only rooms have visitors whose metadata says so (`require-muc-config-flag`).
    pub requires_room_flag: bool,
    /// Whether visitors wait until the metadata of a room says that it is live (`enable-live-room`).
    pub live_rooms: bool,
}

/// A place for visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorNode {
    /// What clients are told (`vnode`), such as `v1`.
    pub name: String,
    /// The domain under which clients reach it: it stands in place of the main domain in addresses of rooms (`xmpp-domain`).
    pub domain: String,
    /// How the focus reaches it.
    pub access: NodeAccess,
}

/// How the focus reaches a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAccess {
    /// It is a virtual host of the server to which the focus is connected anyway.
    MainLink,
    /// It is another server, with a link of its own.
    OwnLink,
}

impl VisitorSettings {
    /// The defaults of jicofo for a domain, with the component at `visitors.DOMAIN`.
    ///
    /// # Errors
    /// [`InvalidJid`] when `domain` is not one.
    pub fn new(domain: &str, nodes: Vec<VisitorNode>) -> Result<Self, InvalidJid> {
        Ok(Self {
            component: Jid::new(None, &format!("visitors.{domain}"), None)?,
            nodes,
            max_participants: 50,
            max_per_node: 500,
            notification_interval: Duration::from_secs(15),
            join_latency: Duration::from_secs(60),
            requires_room_flag: false,
            live_rooms: false,
        })
    }

    pub(crate) fn node(&self, name: &str) -> Option<&VisitorNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether any node is another server.
    pub(crate) fn has_own_links(&self) -> bool {
        self.nodes.iter().any(|node| node.access == NodeAccess::OwnLink)
    }

    /// The node to which a domain belongs.
    pub(crate) fn node_of(&self, domain: &str) -> Option<&VisitorNode> {
        self.nodes.iter().find(|node| node.has(domain))
    }
}

impl VisitorNode {
    /// A virtual host of the main server, at `NAME.DOMAIN`.
    #[must_use]
    pub fn at_main_server(name: &str, domain: &str) -> Self {
        Self { name: name.to_owned(), domain: format!("{name}.{domain}"), access: NodeAccess::MainLink }
    }

    /// Whether a domain is the node's, or of one of its services.
    pub(crate) fn has(&self, domain: &str) -> bool {
        without_suffix(domain, &self.domain).is_some()
    }

    /// The focus's own address as clients of the node see it: that of its main stream, or that of the stream to the node; `None`
    /// while it is out of reach.
    pub(crate) fn focus_jid<'a>(&self, main: Option<&'a Jid>, links: &'a BTreeMap<String, Jid>) -> Option<&'a Jid> {
        match self.access {
            NodeAccess::MainLink => main,
            NodeAccess::OwnLink => links.get(&self.name),
        }
    }

    /// The room on this node that belongs to a main room of `main_domain`: `room@muc.DOMAIN` to `room@muc.NODE`.
    pub(crate) fn room_of(&self, main_room: &Jid, main_domain: &str) -> Option<Jid> {
        with_domain(main_room, main_domain, &self.domain)
    }

    /// The other way round.
    pub(crate) fn main_room_of(&self, room: &Jid, main_domain: &str) -> Option<Jid> {
        with_domain(room, &self.domain, main_domain)
    }
}

/// A bare address with the end of its domain replaced.
fn with_domain(room: &Jid, old: &str, new: &str) -> Option<Jid> {
    let service = without_suffix(room.domain(), old)?;
    Jid::new(room.local(), &format!("{service}{new}"), None).ok()
}

/// What stands before a domain, with its dot.
fn without_suffix<'d>(domain: &'d str, suffix: &str) -> Option<&'d str> {
    domain.strip_suffix(suffix).filter(|service| service.is_empty() || service.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_have_their_counterparts_on_a_node() {
        let node = VisitorNode::at_main_server("v1", "meet.jitsi");
        for (main, visitors) in [
            ("demo@muc.meet.jitsi", "demo@muc.v1.meet.jitsi"),
            ("demo@muc.acme.meet.jitsi", "demo@muc.acme.v1.meet.jitsi"),
            ("meet.jitsi@muc.meet.jitsi", "meet.jitsi@muc.v1.meet.jitsi"),
        ] {
            let (main, visitors): (Jid, Jid) = (main.parse().unwrap(), visitors.parse().unwrap());
            assert_eq!(node.room_of(&main, "meet.jitsi"), Some(visitors.clone()));
            assert_eq!(node.main_room_of(&visitors, "meet.jitsi"), Some(main));
        }
        let elsewhere: Jid = "demo@muc.other".parse().unwrap();
        assert_eq!(node.room_of(&elsewhere, "meet.jitsi"), None);
        assert_eq!(node.main_room_of(&elsewhere, "meet.jitsi"), None);
        assert!(node.has("v1.meet.jitsi") && node.has("muc.v1.meet.jitsi"));
        assert!(!node.has("muc.meet.jitsi") && !node.has("xv1.meet.jitsi"));
    }
}
