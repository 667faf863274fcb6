//! The addresses that are served, and what stands behind each.

use model::tenant_of;
use xmpp::{InvalidJid, Jid};

use crate::conference_components::{ComponentHosts, ComponentKind};
use crate::muc::MucKind;
use crate::visitor_hosts::{VisitorHosts, room_at};

/// The addresses of a deployment (signaling.md §1). Each can be set; [`Hosts::of`] derives the usual ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Domain of the clients.
    pub domain: Jid,
    /// Domain of guests, where clients have to log in at theirs (`anonymousdomain`); `None` for none.
    pub guest: Option<Jid>,
    /// Domain of the service accounts.
    pub auth: Jid,
    /// Domain of recorders and transcribers, whom clients do not show.
    pub hidden: Jid,
    /// Rooms of conferences. Those of a tenant are at `PREFIX.TENANT.BASE` for a service at `PREFIX.BASE`.
    pub muc: Jid,
    /// Rooms of services, such as the brewery of the bridges.
    pub internal_muc: Jid,
    /// Where clients address the focus.
    pub focus: Jid,
    /// The account that is the focus, by bare JID.
    pub focus_user: Jid,
    /// Waiting rooms in front of conferences; `None` for no lobbies.
    pub lobby: Option<Jid>,
    /// Breakout rooms, and where they are asked for; `None` for none.
    pub breakout: Option<Jid>,
    /// Where clients address what conferences offer besides media and chat.
    pub components: ComponentHosts,
    /// Where visitors of large conferences are; `None` for none.
    pub visitors: Option<VisitorHosts>,
}

/// What stands behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The server itself, by one of its domains.
    Server,
    /// A user of this server.
    Account,
    /// The focus, as clients address it.
    FocusProxy,
    /// Conference rooms and their service.
    Muc,
    /// Waiting rooms and their service.
    Lobby,
    /// Breakout rooms and their service.
    Breakout,
    /// What conferences offer besides media and chat.
    Component(ComponentKind),
    /// Rooms of services.
    InternalMuc,
    /// Rooms of visitors and their service.
    VisitorRooms,
    /// What a visitor node offers its visitors.
    NodeComponent(ComponentKind),
    /// Another server, and this one speaks to none.
    Foreign,
}

/// A domain that streams can be opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VirtualHost {
    /// For clients, who need neither an account nor a token unless the settings say so.
    Clients,
    /// For clients without either, where others need one.
    Guests,
    /// For service accounts.
    Services,
    /// For recorders and transcribers.
    Hidden,
    /// For the visitors of one node, by its place among the nodes.
    Node(u16),
}

impl Hosts {
    /// The usual addresses below a domain.
    ///
    /// # Errors
    /// [`InvalidJid`] when `domain` is not a domain.
    pub fn of(domain: &str) -> Result<Self, InvalidJid> {
        let below = |label: &str| Jid::new(None, &format!("{label}.{domain}"), None);
        Ok(Self {
            domain: Jid::new(None, domain, None)?,
            guest: None,
            auth: below("auth")?,
            hidden: below("hidden")?,
            muc: below("muc")?,
            internal_muc: below("internal-muc")?,
            focus: below("focus")?,
            focus_user: Jid::new(Some("focus"), &format!("auth.{domain}"), None)?,
            lobby: Some(below("lobby")?),
            breakout: Some(below("breakout")?),
            components: ComponentHosts::of(domain)?,
            visitors: None,
        })
    }

    /// Where a stanza to this address goes.
    pub(crate) fn destination(&self, to: &Jid) -> Destination {
        let domain = to.domain();
        if domain == self.muc.domain() || self.tenant_of(domain).is_some() {
            Destination::Muc
        } else if self.node_of_rooms(domain).is_some() {
            Destination::VisitorRooms
        } else if let Some(component) = self.nodes().find_map(|node| node.components.kind_of(domain)) {
            Destination::NodeComponent(component)
        } else if self.is_virtual_host(to) {
            if to.local().is_none() { Destination::Server } else { Destination::Account }
        } else if domain == self.focus.domain() {
            Destination::FocusProxy
        } else if domain == self.internal_muc.domain() {
            Destination::InternalMuc
        } else if is_at(self.lobby.as_ref(), to) {
            Destination::Lobby
        } else if is_at(self.breakout.as_ref(), to) {
            Destination::Breakout
        } else if is_at(self.visitors_component(), to) {
            Destination::Component(ComponentKind::Visitors)
        } else if let Some(component) = self.components.kind_of(domain) {
            Destination::Component(component)
        } else {
            Destination::Foreign
        }
    }

    /// Whether this is at a domain that streams can be opened to.
    fn is_virtual_host(&self, jid: &Jid) -> bool {
        let hosts = [Some(&self.domain), self.guest.as_ref(), Some(&self.auth), Some(&self.hidden)];
        hosts.into_iter().any(|host| is_at(host, jid)) || self.node_of(jid).is_some()
    }

    /// Whether this is a client, guest, visitor or neither, by its address.
    pub(crate) fn is_client(&self, jid: &Jid) -> bool {
        is_at(Some(&self.domain), jid) || is_at(self.guest.as_ref(), jid) || self.node_of(jid).is_some()
    }

    /// Whether tokens mean something at the domain of this address.
    pub(crate) fn honours_tokens(&self, jid: &Jid) -> bool {
        is_at(Some(&self.domain), jid) || self.node_of(jid).is_some()
    }

    /// The tenant in the domain of a tenant's rooms: `acme` of `muc.acme.meet.example` (signaling.md §5.2). The rooms of a
    /// visitor node look like those of a tenant of its name, and are none.
    pub(crate) fn tenant_of<'a>(&self, domain: &'a str) -> Option<&'a str> {
        tenant_of(self.muc.domain(), domain).filter(|_| self.nodes().all(|node| node.muc.domain() != domain))
    }

    /// The room of a page: as clients address it, with the tenant in the domain.
    pub(crate) fn room(&self, name: &str, tenant: Option<&str>) -> Result<Jid, InvalidJid> {
        room_at(&self.muc, name, tenant.filter(|tenant| !tenant.is_empty()))
    }

    /// The kind of rooms at an address, which is one of rooms that clients use.
    pub(crate) fn rooms_at(&self, jid: &Jid) -> MucKind {
        if is_at(self.lobby.as_ref(), jid) {
            MucKind::Lobby
        } else if is_at(self.breakout.as_ref(), jid) {
            MucKind::Breakout
        } else if self.node_of_rooms(jid.domain()).is_some() {
            MucKind::Visitors
        } else {
            MucKind::Conference
        }
    }

    /// Where people wait for a room, if anywhere. Rooms of tenants share one lobby service, as in stock.
    pub(crate) fn lobby_of(&self, room: &Jid) -> Option<Jid> {
        let (host, name) = (self.lobby.as_ref()?, room.local()?);
        let local = match self.tenant_of(room.domain()) {
            Some(tenant) => format!("[{tenant}]{name}"),
            None => name.to_owned(),
        };
        Jid::new(Some(&local), host.domain(), None).ok()
    }

    /// The address under which a room is kept, for stock's inner form of it: `[acme]room@muc.meet.example` is
    /// `room@muc.acme.meet.example`. `None` for all other addresses.
    pub(crate) fn outer_form(&self, to: &Jid) -> Option<Jid> {
        let (tenant, name) = to.local()?.strip_prefix('[')?.split_once(']')?;
        if to.domain() != self.muc.domain() || tenant.is_empty() || tenant.contains('.') {
            return None;
        }
        let room = self.room(name, Some(tenant)).ok()?;
        match to.resource() {
            Some(nick) => room.with_resource(nick).ok(),
            None => Some(room),
        }
    }

    /// The virtual host of the domain that a stream is opened to.
    pub(crate) fn virtual_host(&self, to: &Jid) -> Option<VirtualHost> {
        if *to == self.domain {
            Some(VirtualHost::Clients)
        } else if self.guest.as_ref() == Some(to) {
            Some(VirtualHost::Guests)
        } else if *to == self.auth {
            Some(VirtualHost::Services)
        } else if *to == self.hidden {
            Some(VirtualHost::Hidden)
        } else {
            let at = self.nodes().position(|node| node.domain == *to)?;
            u16::try_from(at).ok().map(VirtualHost::Node)
        }
    }

    /// The domain of a virtual host.
    pub(crate) fn domain_of(&self, host: VirtualHost) -> &Jid {
        match host {
            VirtualHost::Clients => &self.domain,
            // It is a host only where there is such a domain.
            VirtualHost::Guests => self.guest.as_ref().unwrap_or(&self.domain),
            VirtualHost::Services => &self.auth,
            VirtualHost::Hidden => &self.hidden,
            VirtualHost::Node(at) => self.nodes().nth(at.into()).map_or(&self.domain, |node| &node.domain),
        }
    }

    /// Whether this is a service account. They create rooms, own them, and pass their locks.
    pub(crate) fn is_service(&self, jid: &Jid) -> bool {
        jid.local().is_some() && jid.domain() == self.auth.domain()
    }

    /// Whether this is a recorder or a transcriber, by its real address.
    pub(crate) fn is_hidden(&self, jid: &Jid) -> bool {
        is_at(Some(&self.hidden), jid)
    }

    /// Whether this is the focus.
    pub(crate) fn is_focus(&self, jid: &Jid) -> bool {
        jid.bare_str() == self.focus_user.as_str()
    }
}

pub(crate) fn is_at(host: Option<&Jid>, jid: &Jid) -> bool {
    host.is_some_and(|host| host.domain() == jid.domain())
}

impl Default for Hosts {
    /// Those of docker-jitsi-meet: `meet.jitsi`.
    fn default() -> Self {
        let literal = Self::of("meet.jitsi");
        #[expect(clippy::unwrap_used, reason = "a literal that is a domain")]
        literal.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(to: &str) -> Destination {
        Hosts::of("meet.example").unwrap().destination(&to.parse().unwrap())
    }

    #[test]
    fn every_address_has_one_place() {
        assert_eq!(destination("meet.example"), Destination::Server);
        assert_eq!(destination("auth.meet.example"), Destination::Server);
        assert_eq!(destination("u@meet.example/r"), Destination::Account);
        assert_eq!(destination("focus@auth.meet.example"), Destination::Account);
        assert_eq!(destination("focus.meet.example"), Destination::FocusProxy);
        assert_eq!(destination("demo@muc.meet.example/n"), Destination::Muc);
        assert_eq!(destination("jvbbrewery@internal-muc.meet.example"), Destination::InternalMuc);
        assert_eq!(destination("demo@lobby.meet.example/n"), Destination::Lobby);
        assert_eq!(destination("breakout.meet.example"), Destination::Breakout);
        assert_eq!(destination("polls.meet.example"), Destination::Component(ComponentKind::Polls));
        assert_eq!(destination("example.org"), Destination::Foreign);
        assert_eq!(destination("recorder@hidden.meet.example"), Destination::Account);
    }

    #[test]
    fn a_tenant_has_rooms_of_its_own() {
        let hosts = Hosts::of("meet.example").unwrap();
        assert_eq!(destination("demo@muc.acme.meet.example/n"), Destination::Muc);
        for foreign in ["demo@muc..meet.example", "demo@muc.a.b.meet.example", "demo@muc.acme.other.example"] {
            let destination = foreign.parse().map(|jid| hosts.destination(&jid));
            assert!(destination.is_err() || destination == Ok(Destination::Foreign), "{foreign}");
        }
        assert_eq!(hosts.room("demo", Some("acme")).unwrap().as_str(), "demo@muc.acme.meet.example");
        assert_eq!(hosts.room("demo", Some("")).unwrap().as_str(), "demo@muc.meet.example");
        assert_eq!(hosts.room("demo", None).unwrap().as_str(), "demo@muc.meet.example");
    }

    #[test]
    fn the_inner_form_of_a_tenants_room_means_the_same_room() {
        let hosts = Hosts::of("meet.example").unwrap();
        let outer = |inner: &str| hosts.outer_form(&inner.parse().unwrap()).map(|jid| jid.to_string());
        assert_eq!(outer("[acme]demo@muc.meet.example/n").as_deref(), Some("demo@muc.acme.meet.example/n"));
        assert_eq!(outer("[acme]demo@muc.meet.example").as_deref(), Some("demo@muc.acme.meet.example"));
        for other in
            ["demo@muc.meet.example", "[acme]demo@meet.example", "[a.b]demo@muc.meet.example", "[]x@muc.meet.example"]
        {
            assert_eq!(outer(other), None, "{other}");
        }
    }

    #[test]
    fn a_tenant_has_rooms_and_lobbies_of_its_own() {
        let hosts = Hosts::of("meet.example").unwrap();
        assert_eq!(destination("demo@muc.acme.meet.example/n"), Destination::Muc);
        let lobby_of = |name, tenant| hosts.lobby_of(&hosts.room(name, tenant).unwrap()).unwrap().to_string();
        assert_eq!(lobby_of("demo", Some("acme")), "[acme]demo@lobby.meet.example");
        assert_eq!(lobby_of("demo", None), "demo@lobby.meet.example");
    }

    #[test]
    fn only_users_of_the_auth_domain_are_services() {
        let hosts = Hosts::of("meet.example").unwrap();
        assert!(hosts.is_service(&"jvb@auth.meet.example/1".parse().unwrap()));
        assert!(!hosts.is_service(&"jvb@meet.example/1".parse().unwrap()));
        assert!(!hosts.is_service(&"auth.meet.example".parse().unwrap()));
    }
}
