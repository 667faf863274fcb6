//! STUN and DTLS that come in: control has them, within limits, but for checks about which there is nothing to decide.
//!
//! Those checks come every few seconds from every endpoint there is. Answered here, they wake nobody, and an answer is not later
//! than the media beside it however much control has to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use ice::StunDemux;
use model::FiveTuple;

use super::Shard;
use super::message::{Route, ShardEvent};
use crate::capture::Direction;
use crate::counters::DropReason;
use crate::keys::PeerKey;
use crate::rate_limit::{Rate, RateLimit};

/// STUN and DTLS of one endpoint that are looked at: connectivity checks of all its candidate pairs at first, later keep-alives
/// and what its data channel carries.
const HANDSHAKE_RATE: Rate = Rate { burst: 2000, per_second: 1000 };
/// As much from addresses that no endpoint is known at: what overtakes the command that makes one known.
const STRANGER_RATE: Rate = Rate { burst: 200, per_second: 100 };

impl Shard {
    /// STUN from an address that is `route`'s, if it is anybody's.
    pub(super) fn handle_stun(&mut self, route: Option<Route>, path: FiveTuple, datagram: &[u8], now: Instant) {
        match StunDemux::parse(datagram) {
            Some(StunDemux::BindingRequest { local_ufrag }) => match self.ufrags.get(local_ufrag).copied() {
                Some(peer) => self.handle_check(peer, path, datagram, now),
                None => self.counters.count(DropReason::UnknownPeer),
            },
            Some(StunDemux::BindingResponse) => {
                let peer = route.map(|route| route.peer);
                if self.admit(peer, &path, datagram, now) {
                    // Of a pair that is settled it says that the peer is there, which control need not know at once.
                    if peer.is_some_and(|peer| self.is_settled(peer, &path)) {
                        self.tell_later(self.passed_on(path, datagram), now);
                    } else {
                        self.events.push(self.passed_on(path, datagram));
                    }
                }
            }
            None => self.counters.count(DropReason::UnknownProtocol),
        }
    }

    pub(super) fn handle_dtls(&mut self, route: Option<Route>, path: FiveTuple, datagram: &[u8], now: Instant) {
        if self.admit(route.map(|route| route.peer), &path, datagram, now) {
            self.events.push(self.passed_on(path, datagram));
        }
    }

    /// A check that names `key`'s ufrag.
    fn handle_check(&mut self, key: PeerKey, path: FiveTuple, datagram: &[u8], now: Instant) {
        if !self.admit(Some(key), &path, datagram, now) {
            return;
        }
        let mut responder = self.peers.get_mut(key).and_then(|peer| peer.responder.as_mut());
        // A panic of the library has to be that peer's end and nobody else's: control contains it.
        let answer = catch_unwind(AssertUnwindSafe(|| responder.as_ref()?.answer(&path, datagram)));
        let Ok(Some(answer)) = answer else {
            return self.events.push(self.passed_on(path, datagram));
        };
        let is_shown = responder.as_mut().is_some_and(|responder| responder.is_agents_turn(now));
        self.captured.note(Direction::Outbound, Some(key), &path, &answer, now);
        self.out.push(path, &answer);
        let check = is_shown.then(|| datagram.into());
        self.tell_later(ShardEvent::CheckAnswered { peer: key, path, at: now, check }, now);
    }

    /// What control is told of a datagram that it is to look at itself.
    fn passed_on(&self, path: FiveTuple, datagram: &[u8]) -> ShardEvent {
        ShardEvent::Datagram { path, datagram: datagram.to_vec(), at: self.id }
    }

    fn tell_later(&mut self, event: ShardEvent, now: Instant) {
        self.unhurried.push(event);
        self.tell_unhurried(now);
    }

    fn is_settled(&self, key: PeerKey, path: &FiveTuple) -> bool {
        let responder = self.peers.get(key).and_then(|peer| peer.responder.as_ref());
        responder.is_some_and(|responder| responder.pair() == path)
    }

    /// Whether a datagram is looked at; otherwise it is counted.
    fn admit(&mut self, peer: Option<PeerKey>, path: &FiveTuple, datagram: &[u8], now: Instant) -> bool {
        self.captured.note(Direction::Inbound, peer, path, datagram, now);
        let is_admitted = match peer {
            Some(peer) => {
                if self.handshakes.get(peer).is_none() {
                    self.handshakes.insert(peer, RateLimit::default());
                }
                self.handshakes.get_mut(peer).is_some_and(|limit| limit.admit(HANDSHAKE_RATE, now))
            }
            None => self.strangers.admit(STRANGER_RATE, now),
        };
        if !is_admitted {
            self.counters.count(if peer.is_some() { DropReason::HandshakeRate } else { DropReason::UnknownPeer });
        }
        is_admitted
    }
}
