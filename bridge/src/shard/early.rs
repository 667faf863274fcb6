//! Packets over a link whose source is announced later than they come: the other bridge forwards at once what a client sends,
//! and the focus tells of the client by way of its own queue. They wait for a moment, so that nothing is lost of the
//! first words and the first key frame.
//!
//! Here: the wait. Not here: what becomes of a packet whose source is known (`receive`, `source`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::RtpView;
use srtp::UnprotectedRtp;

use super::Shard;
use super::intake::Taken;
use super::packet::{SharedSlot, SlotPool};
use crate::counters::{Counters, DropReason};
use crate::keys::PeerKey;
use crate::negotiated::Codec;

/// As long as a focus takes to tell all bridges of a source, and no longer than a conversation bears.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// Packets that wait at most, of one link: half a second of six participants who join at once with video of 1 Mbit/s. They
/// take as many slots, three quarters of a megabyte.
const MAX_EARLY_PACKETS: usize = 512;

/// The packets that wait on one link, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EarlyPackets(VecDeque<Early>);

#[derive(Debug)]
struct Early {
    slot: SharedSlot,
    packet: UnprotectedRtp,
    since: Instant,
}

impl EarlyPackets {
    /// Lets go of what has waited for too long.
    pub(super) fn free_expired(&mut self, now: Instant, pool: &mut SlotPool, counters: &Counters) {
        let is_over = |early: &mut Early| now.saturating_duration_since(early.since) > MAX_WAIT;
        while let Some(early) = self.0.pop_front_if(is_over) {
            counters.count(DropReason::NotAnnounced);
            pool.give(early.slot);
        }
    }
}

impl Shard {
    /// Keeps a plain packet of a source that is not known.
    pub(super) fn hold_early(&mut self, key: PeerKey, slot: SharedSlot, packet: UnprotectedRtp, now: Instant) {
        let Self { peers, pool, counters, .. } = self;
        let Some(peer) = peers.get_mut(key) else { return pool.give(slot) };
        let Some(link) = &mut peer.link else { return pool.give(slot) };
        link.early.free_expired(now, pool, counters);
        let view = RtpView::parse(slot.bytes().get(..packet.len).unwrap_or_default());
        let codec = view.ok().and_then(|view| peer.negotiated.codec(view.payload_type()));
        // What is repeated is of no use before what it repeats is known.
        let is_of_use = codec.is_some_and(|codec| !matches!(codec, Codec::Rtx(_)));
        if !is_of_use || link.early.0.len() >= MAX_EARLY_PACKETS {
            counters.count(if is_of_use { DropReason::NotAnnounced } else { DropReason::UnknownSsrc });
            return pool.give(slot);
        }
        link.early.0.push_back(Early { slot, packet, since: now });
    }

    /// Other sources are known than before: what waited for them goes on.
    pub(super) fn release_early(&mut self, key: PeerKey, now: Instant) {
        let Some(link) = self.peers.get_mut(key).and_then(|peer| peer.link.as_mut()) else { return };
        link.early.free_expired(now, &mut self.pool, &self.counters);
        for Early { mut slot, packet, since } in std::mem::take(&mut link.early.0) {
            let taken = match SharedSlot::get_mut(&mut slot) {
                Some(slot) => self.take_packet(key, slot, packet, now),
                None => Err(DropReason::Malformed),
            };
            match taken {
                Ok(Taken::Packet) => {
                    self.counters.early_packets.add(1);
                    self.publish(slot, now);
                }
                Ok(Taken::Early(packet)) => {
                    if let Some(link) = self.peers.get_mut(key).and_then(|peer| peer.link.as_mut()) {
                        link.early.0.push_back(Early { slot, packet, since });
                    }
                }
                Ok(Taken::Reports { .. }) => self.pool.give(slot),
                Err(reason) => {
                    self.counters.count(reason);
                    self.pool.give(slot);
                }
            }
        }
    }
}
