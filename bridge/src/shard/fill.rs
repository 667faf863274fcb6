//! Packets to a receiver beside its media: probes of its path, and padding up to what the path carries.
//!
//! They are retransmissions of what was sent last, which may even be of use, else nothing but padding (as libwebrtc does).
//! Here: which packets. Not here: when, and how many bytes (`bandwidth`).

use std::time::Instant;

use super::Shard;
use super::bandwidth::{Bandwidth, Fill};
use super::message::ShardEvent;
use super::peer::ReportDue;
use crate::keys::{PeerKey, SourceId};

/// Packets back from the newest that are repeated at once.
const MAX_REPEATS: u64 = 24;
/// Packets of nothing but padding at once.
const MAX_PADDING_PACKETS: usize = 64;

impl Shard {
    /// What the path to an endpoint carries, if it tells.
    pub(super) fn bandwidth_mut(&mut self, key: PeerKey) -> Option<&mut Bandwidth> {
        self.peers.get_mut(key)?.bandwidth.as_deref_mut()
    }

    /// Does what is due about the bandwidth to an endpoint: probes, padding, and what control is told.
    pub(super) fn handle_bandwidth_timeout(&mut self, key: PeerKey, report_due: ReportDue, now: Instant) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.is_connected()) else { return };
        let Some(bandwidth) = &mut peer.bandwidth else { return };
        bandwidth.handle_timeout(now);
        if let Some(estimate) = bandwidth.poll_report() {
            self.events.push(ShardEvent::Bandwidth { receiver: key, estimate });
        } else if report_due == ReportDue::Yes
            && let Some(estimate) = bandwidth.report()
        {
            self.unhurried.push(ShardEvent::Bandwidth { receiver: key, estimate });
        }
        peer.release(now, &mut self.out);
        while let Some(fill) = self.bandwidth_mut(key).and_then(|bandwidth| bandwidth.poll_fill(now)) {
            self.fill(key, fill, now);
        }
    }

    fn fill(&mut self, to: PeerKey, fill: Fill, now: Instant) {
        let Some(filler) = self.filler(to) else { return };
        let (Some(peer), Some(source)) = (self.peers.get_mut(to), self.sources.get_mut(filler)) else { return };
        let mut left = fill.size.bytes();
        for back in 0..MAX_REPEATS {
            if left == 0 {
                return;
            }
            let Some(mut repeat) = source.repeat(peer, back, now) else { continue };
            left = left.saturating_sub(repeat.packet.descriptor().map_or(0, |packet| u64::from(packet.payload_len)));
            repeat.pending.probe = fill.probe;
            repeat.put(peer, &mut self.held, &mut self.round);
            self.counters.probe_packets.add(1);
        }
        for _ in 0..MAX_PADDING_PACKETS {
            if left == 0 {
                return;
            }
            let Some((stream, seq)) = source.begin_padding(peer) else { return };
            let sent = peer.send_padding(&stream, seq, fill.probe, now, &mut self.out);
            self.counters.probe_packets.add(1);
            left = left.saturating_sub(u64::from(sent));
        }
    }

    /// A source whose retransmissions to a receiver probes can be made of: the one of the last probe, or any.
    fn filler(&mut self, to: PeerKey) -> Option<SourceId> {
        let peer = self.peers.get_mut(to)?;
        let sources = &mut self.sources;
        let mut is_of_use = |source: &SourceId| sources.get_mut(*source).is_some_and(|source| source.is_repeated(peer));
        let last = peer.bandwidth.as_ref()?.filler.filter(&mut is_of_use);
        let filler = last.or_else(|| peer.sent.sources().find(is_of_use));
        peer.bandwidth.as_mut()?.filler = filler;
        filler
    }
}
