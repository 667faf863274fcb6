//! Endpoints and relays that come and go: their places in a conference and in the data plane, and the ways that lead to them.

use std::time::Instant;

use model::EndpointId;

use crate::connection::{Connection, Member, MemberKey};
use crate::dial::Dial;
use crate::endpoint::Endpoint;
use crate::relay::Relay;
use crate::shard::message::{Route, ShardCommand, ShardId};
use crate::subscriptions::Subscriptions;
use crate::transport::EndpointTransport;
use crate::unique_ports::OpenedPort;
use crate::videobridge::{EndpointKey, TimerKey, Videobridge};

impl Videobridge {
    /// Puts a new endpoint into a conference. `None`: there is no such conference.
    pub(crate) fn insert_endpoint(
        &mut self,
        conference: usize,
        id: EndpointId,
        transport: EndpointTransport,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<EndpointKey> {
        let key = EndpointKey { conference, endpoint: self.conferences.get(conference)?.endpoints.vacant_key() };
        let connection = self.connect(key.into(), transport, None, web_socket_pwd, now)?;
        let state = self.conferences.get_mut(conference)?;
        state.endpoints.insert(Endpoint::new(id.clone(), key.endpoint, connection));
        state.by_id.insert(id, key.endpoint);
        state.connectivity.handle_new_endpoint(now);
        self.metrics.endpoints.inc();
        self.metrics.endpoints_created.inc();
        self.touch(key.into());
        self.settle(now);
        self.schedule_conference(conference);
        Some(key)
    }

    /// Puts a new relay into a conference, with a port of its own if there is one. `None`: there is no such conference.
    pub(crate) fn insert_relay(
        &mut self,
        conference: usize,
        (id, mesh): (&str, Option<String>),
        transport: EndpointTransport,
        port: Option<OpenedPort>,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<MemberKey> {
        let place = self.conferences.get(conference)?.relays.vacant_key();
        let key = MemberKey { conference, member: Member::Relay(place) };
        let connection = self.connect(key, transport, port, web_socket_pwd, now)?;
        let state = self.conferences.get_mut(conference)?;
        state.relays.insert(Relay::new(id.to_owned(), place, mesh, connection));
        state.relay_by_id.insert(id.to_owned(), place);
        self.metrics.relays_created.inc();
        self.touch(key);
        self.settle(now);
        Some(key)
    }

    /// Gives a new member its place in the data plane, and makes its ufrag known.
    fn connect(
        &mut self,
        key: MemberKey,
        transport: EndpointTransport,
        port: Option<OpenedPort>,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<Connection> {
        let state = self.conferences.get(key.conference)?;
        let endpoints = state.endpoints.iter().map(|(_, endpoint)| &endpoint.connection);
        let all = endpoints.chain(state.relays.iter().map(|(_, relay)| &relay.connection));
        let homes: Vec<ShardId> = all.map(|connection| connection.route.home).collect();
        let home = self.data_plane.place(&homes);
        let peer = self.data_plane.add_peer(key, home, state.feedback_ssrcs.video);
        let ufrag = transport.local_ufrag().to_owned();
        self.data_plane.ufrag(&ufrag, Some(peer));
        self.by_ufrag.insert(ufrag, key);
        let unique_port = port.as_ref().map(|port| port.number);
        if let Some(port) = port {
            self.unique_ports.note_open(port.number);
            self.data_plane.send(home, ShardCommand::OpenPort(port));
        }
        let connection = Connection::new(Route { peer, home }, transport, web_socket_pwd, now);
        Some(Connection { unique_port, ..connection })
    }

    /// A member restarted ICE: requests name it by its new ufrag too, and by those of generations that are gone no
    /// longer.
    pub(crate) fn add_ufrag(&mut self, key: MemberKey, ufrag: String) {
        let Some(connection) = self.connection_mut(key) else { return };
        let current: Vec<String> = connection.transport.local_ufrags().map(str::to_owned).collect();
        let gone = connection.ufrags.extract_if(.., |old| !current.contains(old)).collect::<Vec<_>>();
        let peer = connection.route.peer;
        if !connection.ufrags.contains(&ufrag) {
            connection.ufrags.push(ufrag.clone());
        }
        for old in gone {
            self.by_ufrag.remove(&old);
            self.data_plane.ufrag(&old, None);
        }
        self.data_plane.ufrag(&ufrag, Some(peer));
        self.by_ufrag.insert(ufrag, key);
    }

    /// Takes an endpoint out of its conference. The others are told when things are settled.
    pub(crate) fn remove_endpoint(&mut self, key: EndpointKey, now: Instant) {
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let Some(endpoint) = conference.remove_endpoint(key.endpoint, &mut context) else { return };
        self.forget_endpoint(key, endpoint, now);
        self.schedule_conference(key.conference);
    }

    /// Ends a relay, and takes those who are behind it out of the conference.
    pub(crate) fn remove_relay(&mut self, conference: usize, relay: usize, now: Instant) {
        let Some((state, mut context)) = self.conference(conference, now) else { return };
        let Some(gone) = state.remove_relay(relay, &mut context) else { return };
        self.forget_relay(MemberKey { conference, member: Member::Relay(relay) }, gone);
        self.schedule_conference(conference);
    }

    pub(crate) fn forget_endpoint(&mut self, key: EndpointKey, endpoint: Endpoint, now: Instant) {
        self.end_capture_of(key);
        self.forget(key.into(), &endpoint.connection, endpoint.subscriptions, "endpoint closed");
        self.metrics.endpoints.dec();
        self.metrics.count_end(endpoint.connection.reached);
        self.follow_shutdown(now);
    }

    pub(crate) fn forget_relay(&mut self, key: MemberKey, relay: Relay) {
        tracing::info!(relay = relay.id, "relay ended");
        let dialed = relay.dial.as_ref().and_then(Dial::socket);
        if let Some(id) = dialed.filter(|id| relay.connection.channel.web_socket() != Some(*id)) {
            self.close_web_socket(id, 1001, "relay_closed");
        }
        self.forget(key, &relay.connection, relay.subscriptions, "relay_closed");
        self.metrics.count_relay_end(relay.connection.reached);
    }

    /// Forgets every way that leads to a member.
    fn forget(
        &mut self,
        key: MemberKey,
        connection: &Connection,
        subscriptions: Subscriptions,
        last_words: &'static str,
    ) {
        for ufrag in &connection.ufrags {
            self.by_ufrag.remove(ufrag);
            self.data_plane.ufrag(ufrag, None);
        }
        for remote in &connection.remotes {
            self.forget_remote(key, connection.unique_port, *remote);
        }
        if let Some(number) = connection.unique_port {
            self.unique_ports.close(number);
            self.data_plane.send(connection.route.home, ShardCommand::ClosePort { number });
        }
        if let Some(id) = connection.channel.web_socket() {
            self.close_web_socket(id, 1001, last_words);
        }
        self.data_plane.remove_peer(connection.route, subscriptions.into_vec());
        self.timers.remove(TimerKey::Member(key));
    }
}
