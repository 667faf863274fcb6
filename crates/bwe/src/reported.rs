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
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    /// What arrived; in order of arrival after [`Self::sort`].
    pub(crate) received: Vec<ReceivedPacket>,
    /// What the feedback before, which was lost, spoke about.
    pub(crate) unheard: Vec<Unheard>,
    has_probes: bool,
    is_sorted: bool,
    /// The last time of arrival, and the shortest time under way.
    newest: Timestamp,
    shortest_delay: TimeDelta,
    received_bytes: u64,
    lost_bytes: u64,
}

impl Reported {
    pub(crate) const fn new() -> Self {
        Self {
            received: Vec::new(),
            unheard: Vec::new(),
            has_probes: false,
            is_sorted: true,
            newest: Timestamp::MIN,
            shortest_delay: TimeDelta::MAX,
            received_bytes: 0,
            lost_bytes: 0,
        }
    }

    pub(crate) fn on_received(&mut self, packet: ReceivedPacket) {
        self.received_bytes += packet.size.bytes();
        self.has_probes |= packet.probe.is_some();
        self.is_sorted &= self.newest <= packet.arrived;
        self.newest = self.newest.max(packet.arrived);
        self.shortest_delay = self.shortest_delay.min(packet.arrived - packet.sent);
        self.received.push(packet);
    }

    pub(crate) const fn on_lost(&mut self, size: DataSize) {
        self.lost_bytes += size.bytes();
    }

    pub(crate) fn sort(&mut self) {
        if !self.is_sorted {
            self.received.sort_unstable_by_key(|packet| (packet.arrived, packet.sent));
        }
    }

    /// Forgets all, but for the memory of an ordinary feedback.
    pub(crate) fn clear(&mut self) {
        let (mut received, mut unheard) = (std::mem::take(&mut self.received), std::mem::take(&mut self.unheard));
        received.clear();
        received.shrink_to(KEPT);
        unheard.clear();
        unheard.shrink_to(KEPT);
        *self = Self { received, unheard, ..Self::new() };
    }

    pub(crate) const fn has_loss(&self) -> bool {
        self.lost_bytes > 0
    }

    /// Packets of probes that arrived, in order.
    pub(crate) fn probes(&self) -> impl Iterator<Item = &ReceivedPacket> {
        let received = if self.has_probes { self.received.as_slice() } else { &[] };
        received.iter().filter(|packet| packet.probe.is_some())
    }

    /// Part of the bytes that arrived, 0 to 1.
    pub(crate) fn arrived_part(&self) -> f64 {
        self.received_bytes as f64 / (self.received_bytes + self.lost_bytes).max(1) as f64
    }

    /// The shortest time that a packet took, by two clocks: only differences have a meaning.
    pub(crate) const fn shortest_delay(&self) -> TimeDelta {
        self.shortest_delay
    }

    /// The shortest round trip, less the time for which the reporter waited with its feedback.
    pub(crate) fn propagation_rtt(&self, now: Timestamp) -> TimeDelta {
        now - self.newest + self.shortest_delay
    }
}
