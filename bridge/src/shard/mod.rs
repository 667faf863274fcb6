//! One shard of the data plane: forwards media for the endpoints that have their home here, and takes no lock and, once
//! warm, no memory on the way of a packet.
//!
//! Here: what a datagram is and whose, the round of a batch from the first packet to the last one sent, timers. Not here: the
//! way of a packet into its slot (`intake`), STUN and DTLS (`handshakes`), what control has a shard do (`commands`), the thread,
//! its sockets and its queues (`shell`), decisions about conferences (control: `videobridge`).
//!
//! ```text
//!  datagram ─┬─ media ─► route ─┬─► home here: decrypt, parse ─┬─► receivers here ─► order, seal ─► send queue
//!            │                  └─► ring to its home           └─► ring to shards with other receivers
//!            └─ STUN, DTLS ─► rate limit ─┬─► checks with nothing to decide: answered
//!                                         └─► control
//! ```

pub(crate) mod audio;
pub(crate) mod bandwidth;
pub(crate) mod bitrates;
mod capture;
mod commands;
mod dependencies;
mod describe;
mod early;
mod egress;
mod fill;
mod handshakes;
mod in_order;
mod inject;
mod intake;
pub(crate) mod layers;
mod link;
pub(crate) mod message;
pub(crate) mod packet;
mod peer;
#[cfg(feature = "planted-faults")]
pub(crate) mod planted_faults;
mod receive;
mod repairs;
mod rewrite;
mod round;
mod rtcp;
mod selection;
mod send;
mod sent_ssrcs;
mod source;
pub(crate) mod srtp_session;
mod wheel;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice::DatagramKind;
use model::{FiveTuple, PeerAddress, Ssrc};
use net::SendQueue;

use self::capture::Captured;
use self::egress::HeaderTemplates;
use self::message::{Level, LinkTraffic, Route, ShardEvent, ShardId, ShardMessage};
use self::packet::{SharedSlot, SlotPool, StreamRole};
use self::peer::{Peer, ReportDue};
use self::round::Round;
use self::source::{KeyFrame, Source};
use self::wheel::{Due, TimerWheel};
use crate::audio::AudioSettings;
use crate::counters::{Counters, DropReason};
use crate::keys::{KeyMap, PeerKey};
use crate::rate_limit::RateLimit;

/// What was heard, and all that control needs to know some time, is told to it this often: each time wakes its thread. Levels
/// have the time at which they were heard, and the dominant speaker is looked for every 300 ms.
const HEARD_INTERVAL: Duration = Duration::from_millis(100);
const HEARD_SLACK: Duration = Duration::from_millis(20);
/// The same of somebody who begins to speak: where there are more microphones than slots, it needs one.
const BEGINS_INTERVAL: Duration = Duration::from_millis(30);
/// The same where nobody hears a speaker until control knows that he speaks.
const LOUDEST_INTERVAL: Duration = Duration::from_millis(10);
/// Memory of what is too old is looked for this often.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// The send queue is emptied when it holds this much: it stays in the cache of its core.
const FULL_QUEUE_BYTES: usize = 64 << 10;

/// A round visits all receivers of its packets, of whom little is left in the caches where they are many: what stands at a place
/// that is known is fetched this many receivers before it is needed, and nearer to them what such places lead to.
const FAR_AHEAD: usize = 4;
const NEAR_AHEAD: usize = 1;

/// A packet that is held until the end of the round.
#[derive(Debug)]
struct Held {
    slot: SharedSlot,
    origin: Origin,
}

/// Whose pool a slot goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Here,
    Elsewhere,
}

/// All state of one shard.
#[derive(Debug)]
pub(crate) struct Shard {
    id: ShardId,
    routes: HashMap<PeerAddress, Route, ahash::RandomState>,
    /// The same of unique ports, by their number.
    unique_routes: HashMap<(u16, PeerAddress), Route, ahash::RandomState>,
    ufrags: HashMap<Arc<str>, PeerKey, ahash::RandomState>,
    handshakes: KeyMap<RateLimit>,
    strangers: RateLimit,
    peers: KeyMap<Box<Peer>>,
    sources: KeyMap<Source>,
    pool: SlotPool,
    held: Vec<Held>,
    /// What is to be sent at the end of this round.
    round: Round,
    /// Receivers that are reached over TCP, which may read slowly.
    tcp_receivers: Vec<(PeerKey, SocketAddr)>,
    timers: TimerWheel<PeerKey>,
    /// Scratch for timers that are due.
    due: Vec<PeerKey>,
    levels: Vec<Level>,
    active: Vec<(PeerKey, Option<Duration>)>,
    tell_heard: Option<Due>,
    housekeeping: Option<Instant>,
    out: SendQueue,
    messages: Vec<(ShardId, ShardMessage)>,
    events: Vec<ShardEvent>,
    /// What may wait until control hears of something anyway.
    unhurried: Vec<ShardEvent>,
    captured: Captured,
    /// Those that were laid out last.
    headers: Arc<HeaderTemplates>,
    audio: AudioSettings,
    counters: Arc<Counters>,
    #[cfg(feature = "planted-faults")]
    faults: planted_faults::Faults,
}

impl Shard {
    pub(crate) fn new(id: ShardId, counters: Arc<Counters>, now: Instant) -> Self {
        Self {
            id,
            routes: HashMap::default(),
            unique_routes: HashMap::default(),
            ufrags: HashMap::default(),
            handshakes: KeyMap::default(),
            strangers: RateLimit::default(),
            peers: KeyMap::default(),
            sources: KeyMap::default(),
            pool: SlotPool::default(),
            held: Vec::new(),
            round: Round::default(),
            tcp_receivers: Vec::new(),
            timers: TimerWheel::new(now),
            due: Vec::new(),
            levels: Vec::new(),
            active: Vec::new(),
            tell_heard: None,
            housekeeping: None,
            out: SendQueue::default(),
            messages: Vec::new(),
            events: Vec::new(),
            unhurried: Vec::new(),
            captured: Captured::default(),
            headers: Arc::default(),
            audio: AudioSettings::default(),
            counters,
            #[cfg(feature = "planted-faults")]
            faults: planted_faults::Faults::new(id),
        }
    }

    /// Room for a datagram.
    pub(crate) fn take_slot(&mut self) -> SharedSlot {
        self.pool.take()
    }

    /// A datagram came in on one of the media ports: the first `len` bytes of the slot.
    pub(crate) fn handle_datagram(&mut self, path: FiveTuple, slot: SharedSlot, len: usize, now: Instant) {
        self.handle_datagram_of(|shard| shard.routes.get(&path.peer()).copied(), path, slot, len, now);
    }

    /// A datagram came in on a unique port.
    pub(crate) fn handle_unique_datagram(&mut self, path: FiveTuple, slot: SharedSlot, len: usize, now: Instant) {
        let at = (path.local.port(), path.peer());
        self.handle_datagram_of(|shard| shard.unique_routes.get(&at).copied(), path, slot, len, now);
    }

    /// A datagram came in; `route` finds whose address it came from, if that is known.
    fn handle_datagram_of(
        &mut self,
        route: impl Fn(&Self) -> Option<Route>,
        path: FiveTuple,
        slot: SharedSlot,
        len: usize,
        now: Instant,
    ) {
        self.counters.packets_received.add(1);
        self.counters.bytes_received.add(len as u64);
        let Some(datagram) = slot.bytes().get(..len) else { return };
        // What is it (RFC 7983)?
        match DatagramKind::of(datagram) {
            DatagramKind::Media => {
                // It is only taken from an address that ICE knows, and goes to the home of whose that is.
                match route(self) {
                    None => self.counters.count(DropReason::UnknownPeer),
                    Some(Route { peer, home }) if home == self.id => {
                        return self.handle_media(peer, slot, len, Some(&path), now);
                    }
                    Some(Route { peer, home }) => {
                        self.counters.hops.add(1);
                        let (from, path) = (self.id, self.captured.path(peer, &path));
                        return self.messages.push((home, ShardMessage::Datagram { peer, slot, len, from, path }));
                    }
                }
            }
            DatagramKind::Stun => self.handle_stun(route(self), path, datagram, now),
            DatagramKind::Dtls => self.handle_dtls(route(self), path, datagram, now),
            DatagramKind::Unknown => self.counters.count(DropReason::UnknownProtocol),
        }
        self.pool.give(slot);
    }

    /// Gives a described packet to every shard that has receivers of its source.
    fn publish(&mut self, slot: SharedSlot, now: Instant) {
        let source = slot.descriptor().map(|descriptor| descriptor.role.source());
        if let Some(source) = source.and_then(|source| self.sources.get(source)) {
            for shard in source.reach.iter().filter(|shard| *shard != self.id) {
                self.messages.push((shard, ShardMessage::Packet(slot.clone())));
            }
            if let Some(exports) = &source.exports {
                exports.copy(&slot, now);
            }
        }
        self.deliver(slot, Origin::Here, now);
    }

    /// Puts a packet on the way to its source's receivers here.
    fn deliver(&mut self, slot: SharedSlot, origin: Origin, now: Instant) {
        let at = self.held.len() as u32;
        if let Some(descriptor) = slot.descriptor()
            && let Some(source) = self.sources.get_mut(descriptor.role.source())
        {
            if let Some(structure) = slot.structure() {
                source.take_structure(descriptor.ssrc, structure);
            }
            let key_frame = source.forward(descriptor, at, now, &mut self.peers, &mut self.round);
            if let StreamRole::Video { encoding, .. } = descriptor.role {
                // The slot is kept once for all receivers; each receiver's log knows how to number it again.
                drop(source.keep(encoding, descriptor.seq, slot.clone(), now));
            }
            if key_frame == KeyFrame::Needed && source.is_key_frame_request_due(descriptor.ssrc, now) {
                source.note_key_frame_request(descriptor.ssrc, now);
                let owner = source.new.owner;
                self.request_key_frame(owner, descriptor.ssrc, now);
            }
        }
        self.held.push(Held { slot, origin });
    }

    /// Somebody here needs a key frame of one of `owner`'s streams.
    fn request_key_frame(&mut self, owner: Route, ssrc: Ssrc, now: Instant) {
        if owner.home != self.id {
            return self.messages.push((owner.home, ShardMessage::KeyFrameRequest { owner: owner.peer, ssrc }));
        }
        if let Some(peer) = self.peers.get_mut(owner.peer) {
            peer.request_key_frame(ssrc, now, &self.counters, &mut self.out);
        }
    }

    /// Another shard says something.
    pub(crate) fn handle_message(&mut self, message: ShardMessage, now: Instant) {
        match message {
            ShardMessage::Datagram { peer, slot, len, from, path } => {
                let empty = self.pool.take();
                self.messages.push((from, ShardMessage::EmptySlot(empty)));
                self.handle_media(peer, slot, len, path.as_deref(), now);
            }
            ShardMessage::Packet(slot) => self.deliver(slot, Origin::Elsewhere, now),
            ShardMessage::SenderReport { source, info } => self.forward_sender_report(source, &info, now),
            ShardMessage::KeyFrameRequest { owner, ssrc } => {
                self.request_key_frame(Route { peer: owner, home: self.id }, ssrc, now);
            }
            ShardMessage::EmptySlot(slot) => self.pool.give(slot),
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take_due(now, &mut due);
        for key in due.drain(..) {
            let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.timer.is_some_and(|at| at <= now)) else {
                continue;
            };
            peer.timer = None;
            let report_due = peer.send_feedback(now, &mut self.out);
            if report_due == ReportDue::Yes {
                peer.receive.measure_layers(now);
                while let Some((source, report)) = peer.receive.poll_layers(now) {
                    self.unhurried.push(ShardEvent::Layers { owner: key, source, report });
                }
                if std::mem::take(&mut peer.is_active) {
                    self.active.push((key, peer.rtt));
                }
                for source in peer.sent.sources() {
                    if let Some(source) = self.sources.get_mut(source) {
                        source.free_expired_to(key, now);
                    }
                }
                if let Some(link) = &mut peer.link {
                    link.early.free_expired(now, &mut self.pool, &self.counters);
                    let traffic = std::mem::take(&mut link.traffic);
                    if traffic != LinkTraffic::default() {
                        self.unhurried.push(ShardEvent::LinkTraffic { peer: key, traffic });
                    }
                }
                self.tell_reports(key, now);
            }
            self.handle_bandwidth_timeout(key, report_due, now);
            self.schedule(key);
        }
        self.due = due;
        self.tell_unhurried(now);
        if self.tell_heard.is_some_and(|due| due.from <= now) {
            self.tell_heard = None;
            let (levels, active) = (std::mem::take(&mut self.levels), std::mem::take(&mut self.active));
            self.events.push(ShardEvent::Heard { levels, active });
        }
        if self.housekeeping.is_some_and(|at| at <= now) {
            for source in self.sources.values_mut() {
                source.free_expired(now);
                self.counters.audio_recovered.add(source.take_recovered());
            }
            self.pool.trim();
            self.housekeeping = Some(now + HOUSEKEEPING_INTERVAL).filter(|_| !self.sources.is_empty());
        }
    }

    /// Has control told of what may wait, if there is any.
    fn tell_unhurried(&mut self, now: Instant) {
        if !self.active.is_empty() || !self.unhurried.is_empty() {
            self.tell_heard.get_or_insert(heard_due(self.audio, HEARD_INTERVAL, now));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.timers.next(),
            self.tell_heard.map(|due| due.until),
            self.housekeeping,
            #[cfg(feature = "planted-faults")]
            self.faults.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Ends a round: everything that was put on the way goes to `send`, which empties the queue that it is given.
    pub(crate) fn flush(&mut self, now: Instant, mut send: impl FnMut(&mut SendQueue)) {
        let receivers = self.round.take_receivers();
        for (at, &key) in receivers.iter().enumerate() {
            if let Some(far) = receivers.get(at + FAR_AHEAD).and_then(|far| self.peers.get(*far)) {
                far.prefetch_flush();
            }
            if let Some(near) = receivers.get(at + NEAR_AHEAD).and_then(|near| self.peers.get(*near)) {
                near.prefetch_behind_flush();
            }
            if let Some(peer) = self.peers.get_mut(key) {
                let before = (self.out.len(), self.out.bytes());
                peer.flush(&self.held, &mut self.round, now, &mut self.out);
                if let Some(link) = &mut peer.link {
                    let (packets, bytes) = (self.out.len() - before.0, self.out.bytes() - before.1);
                    self.counters.relay_packets_sent.add(packets as u64);
                    self.counters.relay_bytes_sent.add(bytes as u64);
                    link.traffic.packets_sent += packets as u64;
                    link.traffic.bytes_sent += bytes as u64;
                }
                // The first packets may be part of a probe that goes on at once.
                if let Some(due) = peer.bandwidth.as_mut().and_then(|bandwidth| bandwidth.timeout_after_round()) {
                    peer.wake_within(due, &mut self.timers);
                }
            }
            if self.out.bytes() >= FULL_QUEUE_BYTES {
                #[cfg(feature = "planted-faults")]
                self.faults.handle_queue(&mut self.out, &self.counters, now);
                Self::send(&self.counters, &mut self.out, &mut send);
            }
        }
        self.round.end(receivers);
        #[cfg(feature = "planted-faults")]
        self.faults.handle_queue(&mut self.out, &self.counters, now);
        if !self.out.is_empty() {
            Self::send(&self.counters, &mut self.out, &mut send);
        }
        for Held { slot, origin } in self.held.drain(..) {
            match origin {
                Origin::Here => self.pool.give(slot),
                // Its pool has it too, and takes it back when all others have let go.
                Origin::Elsewhere => drop(slot),
            }
        }
    }

    fn send(counters: &Counters, out: &mut SendQueue, send: &mut impl FnMut(&mut SendQueue)) {
        counters.packets_sent.add(out.len() as u64);
        counters.bytes_sent.add(out.bytes() as u64);
        send(out);
        out.clear();
    }

    /// Asks how many bytes wait for each receiver that is reached over TCP: one that does not read fast enough gets no
    /// video until it has caught up. To be called after a round.
    pub(crate) fn observe_backlogs(&mut self, backlog: impl Fn(SocketAddr) -> usize) {
        for (peer, remote) in &self.tcp_receivers {
            if let Some(peer) = self.peers.get_mut(*peer) {
                peer.set_backlog(backlog(*remote));
            }
        }
    }

    /// A TCP connection closed.
    pub(crate) fn handle_connection_closed(&mut self, path: FiveTuple) {
        self.events.push(ShardEvent::ConnectionClosed { path });
    }

    /// What is to be said to other shards, in order; to be taken after every call.
    pub(crate) const fn messages(&mut self) -> &mut Vec<(ShardId, ShardMessage)> {
        &mut self.messages
    }

    /// What is to be said to control, in order; to be taken after every call.
    pub(crate) fn events(&mut self) -> &mut Vec<ShardEvent> {
        if !self.events.is_empty() {
            // It is woken anyway. What came before is told before.
            self.events.splice(..0, self.unhurried.drain(..));
        }
        &mut self.events
    }

    /// What is there of conferences, by what it is.
    #[cfg(test)]
    pub(crate) fn left_behind(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("shard's routes", self.routes.len()),
            ("shard's unique routes", self.unique_routes.len()),
            ("shard's ufrags", self.ufrags.len()),
            ("shard's handshakes", self.handshakes.len()),
            ("shard's peers", self.peers.len()),
            ("shard's sources", self.sources.len()),
            ("shard's receivers over TCP", self.tcp_receivers.len()),
            ("shard's held packets", self.held.len()),
            ("shard's receivers of a round", self.round.receiver_count()),
        ]
    }

    /// The round trip to an endpoint, once known.
    #[cfg(test)]
    pub(crate) fn rtt(&self, peer: PeerKey) -> Option<Duration> {
        self.peers.get(peer)?.rtt
    }

    pub(crate) const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Wakes up when the endpoint has something to do, if that is sooner than it waits for already.
    fn schedule(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            let due = peer.next_timeout();
            peer.wake_within(due, &mut self.timers);
        }
    }

    /// The same after a packet of the endpoint's, which changes nothing else.
    fn schedule_reception(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.timer.is_none() {
            return self.schedule(key);
        }
        if let Some(due) = peer.reception_due() {
            peer.wake_within(due, &mut self.timers);
        }
    }
}

/// When control is to be told of what is heard now; in `interval` unless nobody is heard before it knows.
fn heard_due(audio: AudioSettings, interval: Duration, now: Instant) -> Due {
    match audio.loudest {
        Some(_) => Due::at(now + LOUDEST_INTERVAL),
        None => Due::within(now + interval, HEARD_SLACK),
    }
}
