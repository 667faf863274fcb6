//! What one feedback says, for the estimators to go through.

use model::DataSize;

use crate::delay_based::ReceivedPacket;
use crate::time::{TimeDelta, Timestamp};

/// Packets for which memory is kept.
const KEPT: usize = 256;

/// A packet that no feedback spoke about, though the one about later packets is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unheard {
    pub(crate) sent: Timestamp,
    pub(crate) size: DataSize,
}

/// The news of a feedback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reported {
    /// What arrived; in order of arrival after [`Self::sort`].
    pub(crate) received: Vec<ReceivedPacket>,
    /// What the feedback before, which was lost, spoke about.
    pub(crate) unheard: Vec<Unheard>,
    received_bytes: u64,
    lost_bytes: u64,
}

impl Reported {
    pub(crate) fn on_received(&mut self, packet: ReceivedPacket) {
        self.received_bytes += packet.size.bytes();
        self.received.push(packet);
    }

    pub(crate) const fn on_lost(&mut self, size: DataSize) {
        self.lost_bytes += size.bytes();
    }

    pub(crate) fn sort(&mut self) {
        if !self.received.is_sorted_by_key(|packet| packet.arrived) {
            self.received.sort_unstable_by_key(|packet| (packet.arrived, packet.sent));
        }
    }

    /// Forgets all, but for the memory of an ordinary feedback.
    pub(crate) fn clear(&mut self) {
        self.received.clear();
        self.received.shrink_to(KEPT);
        self.unheard.clear();
        self.unheard.shrink_to(KEPT);
        self.received_bytes = 0;
        self.lost_bytes = 0;
    }

    pub(crate) const fn has_loss(&self) -> bool {
        self.lost_bytes > 0
    }

    /// Part of the bytes that arrived, 0 to 1.
    pub(crate) fn arrived_part(&self) -> f64 {
        self.received_bytes as f64 / (self.received_bytes + self.lost_bytes).max(1) as f64
    }

    /// The shortest round trip, less the time for which the reporter waited with its feedback. Nothing where nothing
    /// arrived.
    pub(crate) fn propagation_rtt(&self, now: Timestamp) -> TimeDelta {
        let newest = self.received.last().map_or(now, |last| last.arrived);
        let rtts = self.received.iter().map(|packet| now - packet.sent - (newest - packet.arrived));
        rtts.min().unwrap_or_default()
    }

    /// The shortest time that a packet took, by two clocks: only differences have a meaning.
    pub(crate) fn shortest_delay(&self) -> TimeDelta {
        self.received.iter().map(|packet| packet.arrived - packet.sent).min().unwrap_or_default()
    }
}
