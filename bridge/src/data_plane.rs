//! The shards as control sees them: who has its home where, which shards a source has to reach, and commands on their way.
//!
//! Here: names and placement. Not here: what shards do (`shard`), who wants what (`allocation`).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bwe::Demand;
use jitsi_protocol::colibri2::MediaSource;
use model::{EndpointId, FiveTuple, PeerAddress, Ssrc, TransportProtocol};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::capture::Tap;
use crate::connection::{Member, MemberKey};
use crate::keys::{KeyAllocator, KeyMap, PeerKey, SourceId};
use crate::negotiated::Sources;
use crate::shard::layers::Wanted;
use crate::shard::message::{
    ConnectionAction, NewPeer, NewSource, PeerKind, Route, ShardCommand, ShardId, ShardSet, SourceStreams,
};
use crate::ssrc_slots::SlotNames;

/// Endpoints of a conference that share one shard before it spreads: a small conference takes no hops.
const SMALL_CONFERENCE: usize = 3;

/// Control's end of the data plane.
#[derive(Debug)]
pub(crate) struct DataPlane {
    /// Endpoints that have their home on each shard.
    homes: Vec<usize>,
    commands: VecDeque<(ShardId, ShardCommand)>,
    peer_keys: KeyAllocator,
    source_keys: KeyAllocator,
    peers: KeyMap<MemberKey>,
    reach: KeyMap<Reach>,
    /// Where TCP connections are; as many as the shards have open.
    connections: HashMap<SocketAddr, ShardId>,
    /// Of SSRCs, and of the numbers that streams begin at.
    random: StdRng,
}

/// Where a source is wanted.
#[derive(Debug)]
struct Reach {
    /// `None` for a source that comes in anywhere.
    owner_home: Option<ShardId>,
    /// Receivers on each shard that want it.
    wanted: Vec<u32>,
    shards: ShardSet,
}

impl DataPlane {
    /// `shards` is 1 to [`MAX_SHARDS`](crate::shard::message::MAX_SHARDS).
    pub(crate) fn new(shards: usize, random: StdRng) -> Self {
        Self {
            homes: vec![0; shards],
            commands: VecDeque::new(),
            peer_keys: KeyAllocator::default(),
            source_keys: KeyAllocator::default(),
            peers: KeyMap::default(),
            reach: KeyMap::default(),
            connections: HashMap::new(),
            random,
        }
    }

    /// Nine or ten digits: the stock client matches group members by substring (client.md §7.3).
    pub(crate) fn random_ssrc(&mut self) -> Ssrc {
        Ssrc(self.random.random_range(1_000_000_000..=u32::MAX))
    }

    /// The next command, and for whom. Those for one shard keep their order.
    pub(crate) fn poll_command(&mut self) -> Option<(ShardId, ShardCommand)> {
        self.commands.pop_front()
    }

    /// Whom a shard speaks of.
    pub(crate) fn member(&self, peer: PeerKey) -> Option<MemberKey> {
        self.peers.get(peer).copied()
    }

    /// What is there of conferences, by what it is.
    #[cfg(test)]
    pub(crate) fn left_behind(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("homes", self.homes.iter().sum()),
            ("peers", self.peers.len()),
            ("sources", self.reach.len()),
            ("connections", self.connections.len()),
        ]
    }

    /// Gives a new endpoint a home: while its conference is small, with the others of `conference_homes`, then where the
    /// fewest of them are.
    pub(crate) fn place(&self, conference_homes: &[ShardId]) -> ShardId {
        let fewest_here = |shard: ShardId| conference_homes.iter().filter(|home| **home == shard).count();
        if let Some(home) = conference_homes.last().filter(|_| conference_homes.len() < SMALL_CONFERENCE) {
            return *home;
        }
        let shards = self.homes.iter().zip(0..).map(|(endpoints, shard)| (ShardId(shard), *endpoints));
        let best = shards.min_by_key(|(shard, endpoints)| (fewest_here(*shard), *endpoints));
        best.map_or(ShardId(0), |(shard, _)| shard)
    }

    pub(crate) fn add_peer(&mut self, member: MemberKey, home: ShardId, feedback_ssrc: Ssrc) -> PeerKey {
        let peer = PeerKey(self.peer_keys.allocate());
        self.peers.insert(peer, member);
        if let Some(endpoints) = self.homes.get_mut(usize::from(home.0)) {
            *endpoints += 1;
        }
        let random = StdRng::from_rng(&mut self.random);
        let kind = match member.member {
            Member::Endpoint(_) => PeerKind::Endpoint,
            Member::Relay(_) => PeerKind::Relay,
        };
        self.send(home, ShardCommand::AddPeer(Box::new(NewPeer { peer, kind, feedback_ssrc, random })));
        peer
    }

    /// The endpoint is gone; `subscriptions` are what it wanted, or had wanted.
    pub(crate) fn remove_peer(&mut self, route: Route, subscriptions: Vec<(SourceId, Wanted)>) {
        for (source, wanted) in &subscriptions {
            self.count(route.home, *source, *wanted, Wanted::NOTHING);
        }
        let subscriptions = subscriptions.into_iter().map(|(source, _)| source).collect();
        self.send(route.home, ShardCommand::RemovePeer { peer: route.peer, subscriptions });
        self.peers.remove(route.peer);
        self.peer_keys.release(route.peer);
        if let Some(endpoints) = self.homes.get_mut(usize::from(route.home.0)) {
            *endpoints = endpoints.saturating_sub(1);
        }
    }

    fn allocate_source(&mut self) -> SourceId {
        SourceId(self.source_keys.allocate())
    }

    /// `home` is where it comes in, unless that may be anywhere.
    fn add_source(
        &mut self,
        source: SourceId,
        owner: Route,
        home: Option<ShardId>,
        cname: &EndpointId,
        streams: SourceStreams,
    ) {
        let reach = Reach { owner_home: home, wanted: vec![0; self.homes.len()], shards: ShardSet::default() };
        self.reach.insert(source, reach);
        let new = Arc::new(NewSource { source, owner, cname: cname.clone(), streams });
        self.send_to_all(|| ShardCommand::AddSource(Arc::clone(&new)));
    }

    /// Takes the full list of what an owner sends, which sent `before` until now.
    pub(crate) fn replace_sources(
        &mut self,
        before: &Sources,
        list: &[MediaSource],
        owner: Route,
        cname: &EndpointId,
    ) -> Sources {
        let sources = Sources::of_request(list, before, || self.allocate_source());
        // First what is gone: a source that comes in its place may have its SSRC, and goes on behind its numbers.
        for gone in before.ids().filter(|id| !sources.ids().any(|there| there == *id)) {
            self.remove_source(gone);
        }
        for (id, streams) in sources.streams().filter(|(id, _)| !before.ids().any(|there| there == *id)) {
            let is_synthetic = sources.audio.iter().any(|audio| audio.id == id && audio.synthetic);
            let home = (!is_synthetic).then_some(owner.home);
            self.add_source(id, owner, home, cname, streams);
        }
        sources
    }

    pub(crate) fn remove_source(&mut self, source: SourceId) {
        if self.reach.remove(source).is_some() {
            self.source_keys.release(source);
            self.send_to_all(|| ShardCommand::RemoveSource { source });
        }
    }

    /// A receiver is to get other layers of a source than before.
    pub(crate) fn subscribe(&mut self, receiver: Route, source: SourceId, before: Wanted, wanted: Wanted) {
        self.send(receiver.home, ShardCommand::Subscribe { peer: receiver.peer, source, wanted });
        self.count(receiver.home, source, before, wanted);
    }

    /// What all that a receiver gets takes, and what it would if its path carried all.
    pub(crate) fn set_demand(&mut self, receiver: Route, demand: Demand) {
        self.send(receiver.home, ShardCommand::Demand { peer: receiver.peer, demand });
    }

    /// A receiver knows a source under other SSRCs, or no more.
    pub(crate) fn rename(&mut self, receiver: Route, source: SourceId, names: Option<SlotNames>) {
        self.send(receiver.home, ShardCommand::Rename { peer: receiver.peer, source, names });
    }

    pub(crate) fn route(&mut self, remote: PeerAddress, port: Option<u16>, to: Option<Route>) {
        self.send_to_all(|| ShardCommand::Route { remote, port, to });
    }

    pub(crate) fn ufrag(&mut self, ufrag: &str, peer: Option<PeerKey>) {
        let ufrag: Arc<str> = Arc::from(ufrag);
        self.send_to_all(|| ShardCommand::Ufrag { ufrag: Arc::clone(&ufrag), peer });
    }

    /// Has STUN or DTLS of an endpoint sent: by its home, or by the shard that has the connection.
    pub(crate) fn transmit(&mut self, to: Route, path: FiveTuple, datagram: Vec<u8>) {
        let by = match path.protocol {
            TransportProtocol::Udp => to.home,
            TransportProtocol::Tcp => self.connections.get(&path.remote).copied().unwrap_or(to.home),
        };
        self.send(by, ShardCommand::Transmit { peer: Some(to.peer), path, datagram });
    }

    /// Has a question to a STUN server sent from the media port.
    pub(crate) fn transmit_to_server(&mut self, path: FiveTuple, datagram: Vec<u8>) {
        self.send(ShardId(0), ShardCommand::Transmit { peer: None, path, datagram });
    }

    /// Has what passes of an endpoint copied, or no longer: at its home and wherever its STUN and DTLS may come to.
    pub(crate) fn capture(&mut self, peer: PeerKey, tap: Option<&Tap>) {
        self.send_to_all(|| ShardCommand::Capture { peer, tap: tap.cloned() });
    }

    /// Notes at which shard a TCP connection is.
    pub(crate) fn note_connection(&mut self, path: FiveTuple, at: ShardId) {
        if path.protocol == TransportProtocol::Tcp {
            self.connections.insert(path.remote, at);
        }
    }

    /// A TCP connection is no more.
    pub(crate) fn forget_connection(&mut self, remote: SocketAddr) {
        self.connections.remove(&remote);
    }

    /// Has something done with the TCP connection of a peer, if that is reached by one.
    pub(crate) fn manage_connection(&mut self, peer: PeerAddress, action: ConnectionAction) {
        let remote = peer.address;
        if peer.protocol == TransportProtocol::Tcp
            && let Some(at) = self.connections.get(&remote).copied()
        {
            match action {
                ConnectionAction::MoveTo(to) if to == at => return,
                ConnectionAction::MoveTo(to) => drop(self.connections.insert(remote, to)),
                ConnectionAction::Close => drop(self.connections.remove(&remote)),
                ConnectionAction::Confirm => {}
            }
            self.send(at, ShardCommand::Connection { remote, action });
        }
    }

    pub(crate) fn send(&mut self, to: ShardId, command: ShardCommand) {
        self.commands.push_back((to, command));
    }

    pub(crate) fn send_to_all(&mut self, command: impl Fn() -> ShardCommand) {
        for shard in 0..self.homes.len() as u8 {
            self.commands.push_back((ShardId(shard), command()));
        }
    }

    fn count(&mut self, home: ShardId, source: SourceId, before: Wanted, after: Wanted) {
        let Some(reach) = self.reach.get_mut(source) else { return };
        let Some(wanted) = reach.wanted.get_mut(usize::from(home.0)) else { return };
        *wanted -= u32::from(!before.is_nothing()).min(*wanted);
        *wanted += u32::from(!after.is_nothing());
        let mut shards = reach.shards;
        if *wanted > 0 {
            shards.insert(home);
        } else {
            shards.remove(home);
        }
        if shards != reach.shards {
            reach.shards = shards;
            match reach.owner_home {
                Some(home) => self.send(home, ShardCommand::Reach { source, shards }),
                None => self.send_to_all(|| ShardCommand::Reach { source, shards }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::MaxHeight;

    #[test]
    fn a_small_conference_stays_together_and_a_large_one_spreads() {
        let mut plane = DataPlane::new(2, StdRng::seed_from_u64(1));
        let mut homes = Vec::new();
        for endpoint in 0..12 {
            let home = plane.place(&homes);
            plane.add_peer(MemberKey { conference: 0, member: Member::Endpoint(endpoint) }, home, Ssrc(1));
            homes.push(home);
        }
        assert_eq!(homes[..3], [homes[0]; 3]);
        assert_eq!(homes.iter().filter(|home| home.0 == 0).count(), 6);
        assert_eq!(plane.place(&[]), ShardId(0), "the next conference goes where there is most room");
    }

    #[test]
    fn a_source_reaches_the_shards_where_it_is_wanted() {
        let mut plane = DataPlane::new(2, StdRng::seed_from_u64(1));
        let owner = Route { peer: PeerKey(KeyAllocator::default().allocate()), home: ShardId(0) };
        let receiver = Route { home: ShardId(1), ..owner };
        let source = plane.allocate_source();
        plane.add_source(
            source,
            owner,
            Some(owner.home),
            &"abcd1234".parse().unwrap(),
            SourceStreams::Audio { ssrc: Ssrc(7) },
        );
        let reached = |plane: &mut DataPlane, before, after| {
            plane.subscribe(receiver, source, Wanted::up_to(before), Wanted::up_to(after));
            let commands = std::iter::from_fn(|| plane.poll_command());
            let mut told = Vec::new();
            for (to, command) in commands {
                if let ShardCommand::Reach { shards, .. } = command {
                    told.push((to, shards.iter().any(|shard| shard == ShardId(1))));
                }
            }
            told
        };
        assert_eq!(reached(&mut plane, MaxHeight::NOTHING, MaxHeight(180)), [(ShardId(0), true)]);
        assert_eq!(reached(&mut plane, MaxHeight(180), MaxHeight(720)), []);
        assert_eq!(reached(&mut plane, MaxHeight(720), MaxHeight::NOTHING), [(ShardId(0), false)]);
    }
}
