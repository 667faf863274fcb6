//! The addresses of visitor nodes (signaling.md §8). A node is a domain with rooms of its own, in which visitors see a conference
//! without being in it; here all nodes are in this process. Stock names them so that clients find them by the node's name alone:
//! `v1.DOMAIN`, with rooms at `muc.v1.DOMAIN`.

use jitsi_protocol::visitors::node_names;
use model::tenant_of;
use xmpp::{InvalidJid, Jid};

use crate::Hosts;
use crate::conference_components::ComponentHosts;
use crate::hosts::is_at;

/// Where visitors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorHosts {
    /// Where the focus asks for nodes, and whom moderators hear of visitors from.
    pub component: Jid,
    /// The nodes.
    pub nodes: Vec<VisitorNode>,
}

/// A domain for visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorNode {
    /// What the focus and clients call it.
    pub name: String,
    /// The domain that its visitors log in at.
    pub domain: Jid,
    /// Its rooms. Those of a tenant are at `PREFIX.TENANT.BASE`, as those of conferences.
    pub muc: Jid,
    /// What it offers them besides: polls, files and what all in a room agree on, as the conference has it.
    pub components: ComponentHosts,
}

impl VisitorHosts {
    /// Nodes `v1`, `v2` and so on below a domain, for conferences at `hosts`. The domain of their rooms begins as that of
    /// conferences: clients put one domain for the other.
    ///
    /// # Errors
    /// [`InvalidJid`] when the names are too long for domains.
    pub fn of(hosts: &Hosts, count: u16, base: &str) -> Result<Self, InvalidJid> {
        let prefix = hosts.muc.domain().split('.').next().unwrap_or_default();
        let node = |name: String| {
            let domain = format!("{name}.{base}");
            let below = |label: &str, main: Option<&Jid>| {
                main.map(|_| Jid::new(None, &format!("{label}.{domain}"), None)).transpose()
            };
            Ok(VisitorNode {
                domain: Jid::new(None, &domain, None)?,
                muc: Jid::new(None, &format!("{prefix}.{domain}"), None)?,
                components: ComponentHosts {
                    metadata: below("metadata", hosts.components.metadata.as_ref())?,
                    polls: below("polls", hosts.components.polls.as_ref())?,
                    file_sharing: below("filesharing", hosts.components.file_sharing.as_ref())?,
                    ..ComponentHosts::default()
                },
                name,
            })
        };
        Ok(Self {
            component: Jid::new(None, &format!("visitors.{}", hosts.domain.domain()), None)?,
            nodes: node_names(count).map(node).collect::<Result<_, InvalidJid>>()?,
        })
    }
}

impl Hosts {
    /// The component for visitors, if there are any.
    pub(crate) fn visitors_component(&self) -> Option<&Jid> {
        self.visitors.as_ref().map(|visitors| &visitors.component)
    }

    /// All visitor nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &VisitorNode> {
        self.visitors.iter().flat_map(|visitors| &visitors.nodes)
    }

    /// The node of that name.
    pub(crate) fn node_named(&self, name: &str) -> Option<&VisitorNode> {
        self.nodes().find(|node| node.name == name)
    }

    /// The node that a visitor is at, or that is meant by its domain.
    pub(crate) fn node_of(&self, jid: &Jid) -> Option<&VisitorNode> {
        self.nodes().find(|node| is_at(Some(&node.domain), jid))
    }

    /// The node whose rooms are at this domain.
    pub(crate) fn node_of_rooms(&self, domain: &str) -> Option<&VisitorNode> {
        self.nodes().find(|node| node.muc.domain() == domain || tenant_of(node.muc.domain(), domain).is_some())
    }

    /// The room of a node that shows a conference.
    pub(crate) fn visitor_room(&self, node: &VisitorNode, main: &Jid) -> Option<Jid> {
        room_at(&node.muc, main.local()?, self.tenant_of(main.domain())).ok()
    }

    /// The conference that a room of a node shows.
    pub(crate) fn main_of_visitor_room(&self, room: &Jid) -> Option<Jid> {
        let node = self.node_of_rooms(room.domain())?;
        self.room(room.local()?, tenant_of(node.muc.domain(), room.domain())).ok()
    }

    /// What is offered at the rooms of a domain: that of a node, or that of conferences.
    pub(crate) fn components_at(&self, room: &Jid) -> &ComponentHosts {
        self.node_of_rooms(room.domain()).map_or(&self.components, |node| &node.components)
    }
}

/// The room of that name at a service, with the tenant in the domain.
pub(crate) fn room_at(muc: &Jid, name: &str, tenant: Option<&str>) -> Result<Jid, InvalidJid> {
    match (tenant, muc.domain().split_once('.')) {
        (Some(tenant), Some((prefix, base))) => Jid::new(Some(name), &format!("{prefix}.{tenant}.{base}"), None),
        (Some(_), None) | (None, _) => Jid::new(Some(name), muc.domain(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Destination;
    use crate::hosts::VirtualHost;
    use crate::muc::MucKind;

    fn hosts() -> Hosts {
        let mut hosts = Hosts::of("meet.example").unwrap();
        hosts.visitors = Some(VisitorHosts::of(&hosts, 2, "meet.example").unwrap());
        hosts
    }

    #[test]
    fn a_node_is_no_tenant_and_its_tenants_are_those_of_conferences() {
        let hosts = hosts();
        let jid = |text: &str| text.parse::<Jid>().unwrap();
        assert_eq!(hosts.destination(&jid("demo@muc.v1.meet.example/n")), Destination::VisitorRooms);
        assert_eq!(hosts.destination(&jid("demo@muc.acme.v2.meet.example")), Destination::VisitorRooms);
        assert_eq!(hosts.destination(&jid("demo@muc.v3.meet.example")), Destination::Muc, "a tenant of that name");
        assert_eq!(hosts.destination(&jid("v1.meet.example")), Destination::Server);
        assert_eq!(
            hosts.destination(&jid("polls.v1.meet.example")),
            Destination::NodeComponent(crate::conference_components::ComponentKind::Polls)
        );
        assert_eq!(hosts.virtual_host(&jid("v2.meet.example")), Some(VirtualHost::Node(1)));
        assert_eq!(hosts.domain_of(VirtualHost::Node(1)).as_str(), "v2.meet.example");
        assert_eq!(hosts.rooms_at(&jid("demo@muc.v1.meet.example")), MucKind::Visitors);
    }

    #[test]
    fn a_room_of_a_node_stands_for_one_conference() {
        let hosts = hosts();
        let node = hosts.node_named("v2").unwrap();
        for (main, visitors) in [
            ("demo@muc.meet.example", "demo@muc.v2.meet.example"),
            ("demo@muc.acme.meet.example", "demo@muc.acme.v2.meet.example"),
        ] {
            let main = main.parse().unwrap();
            let room = hosts.visitor_room(node, &main).unwrap();
            assert_eq!(room.as_str(), visitors);
            assert_eq!(hosts.main_of_visitor_room(&room), Some(main));
        }
        assert_eq!(hosts.main_of_visitor_room(&"demo@muc.meet.example".parse().unwrap()), None);
    }

    #[test]
    fn nodes_may_be_below_another_domain() {
        let mut hosts = Hosts::of("meet.example").unwrap();
        hosts.visitors = Some(VisitorHosts::of(&hosts, 1, "meet.jitsi").unwrap());
        let node = hosts.node_named("v1").unwrap();
        let room = hosts.visitor_room(node, &"demo@muc.meet.example".parse().unwrap()).unwrap();
        assert_eq!(room.as_str(), "demo@muc.v1.meet.jitsi");
        assert_eq!(hosts.main_of_visitor_room(&room).unwrap().as_str(), "demo@muc.meet.example");
        assert_eq!(hosts.visitors.as_ref().unwrap().component.as_str(), "visitors.meet.example");
    }
}
