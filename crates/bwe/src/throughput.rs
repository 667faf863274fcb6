//! What reaches the receiver, out of what it acknowledges.

use std::collections::VecDeque;

use model::{Bitrate, DataSize};

use crate::delay_based::ReceivedPacket;
use crate::reported::Unheard;
use crate::time::{TimeDelta, Timestamp};

/// Fewer packets give no throughput.
const REQUIRED_PACKETS: usize = 10;

/// The window has at least so many packets, and those of the last [`MIN_WINDOW`] ...
const WINDOW_PACKETS: usize = 20;

/// ... but not more than these ...
const MAX_WINDOW_PACKETS: usize = 500;

const MIN_WINDOW: TimeDelta = TimeDelta::from_secs(1);

/// ... and none that is older, which would count a pause in.
const MAX_WINDOW: TimeDelta = TimeDelta::from_secs(5);

/// A packet that arrived so long before its predecessor in the feedback: the reporter's clock went back.
const MAX_REORDERING: TimeDelta = TimeDelta::from_secs(1);

/// Spans shorter than this are taken for it.
const SHORTEST_SPAN: TimeDelta = TimeDelta::from_ms(1);

#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    sent: Timestamp,
    arrived: Timestamp,
    size: DataSize,
}

/// The lower of the rates at which a window of packets was sent and arrived, without the largest gap between arrivals:
/// a path that paused and then delivered all at once was not slower for it (libwebrtc's `RobustThroughputEstimator`).
#[derive(Clone, Debug)]
pub(crate) struct ThroughputEstimator {
    /// In order of arrival.
    window: VecDeque<Acknowledged>,
    /// Newest time of sending among those that left the window.
    left_until: Timestamp,
    min_window: TimeDelta,
}

impl ThroughputEstimator {
    pub(crate) const fn new() -> Self {
        Self { window: VecDeque::new(), left_until: Timestamp::MIN, min_window: MIN_WINDOW }
    }

    /// Takes what a feedback says arrived, in order of arrival.
    pub(crate) fn update(&mut self, received: &[ReceivedPacket]) {
        for packet in received {
            self.insert(Acknowledged { sent: packet.sent, arrived: packet.arrived, size: packet.size });
        }
        while let Some(first) = self.window.front().copied()
            && self.is_outside(first)
        {
            self.left_until = self.left_until.max(first.sent);
            self.window.pop_front();
        }
    }

    /// Takes what a lost feedback spoke about: of it, as large a part arrived as of what follows, evenly until `arrived`.
    /// Without it, each feedback that is lost would look like a tenth of a second of nothing.
    pub(crate) fn fill_gap(&mut self, arrived: Timestamp, unheard: &[Unheard], arrived_part: f64) {
        let Some(last) = self.window.back() else { return };
        let step = (arrived - last.arrived).scaled(1.0 / (unheard.len() + 1) as f64);
        let mut arrived = last.arrived;
        for packet in unheard {
            arrived = arrived + step;
            let size = DataSize::from_bytes((packet.size.bytes() as f64 * arrived_part) as u64);
            self.insert(Acknowledged { sent: packet.sent, arrived, size });
        }
    }

    /// None with too little in the window.
    pub(crate) fn throughput(&self) -> Option<Bitrate> {
        let (first, last) = (self.window.front()?, self.window.back()?);
        if self.window.len() < REQUIRED_PACKETS {
            return None;
        }
        // Once a feedback for up to 500 packets: what costs is this loop.
        let (mut largest_gap, mut second_gap) = (TimeDelta::ZERO, TimeDelta::ZERO);
        let mut received_size = DataSize::ZERO;
        let mut sending = Sending::NOTHING;
        let mut previous = first.arrived;
        for packet in &self.window {
            let gap = packet.arrived - previous;
            previous = packet.arrived;
            second_gap = second_gap.max(gap.min(largest_gap));
            largest_gap = largest_gap.max(gap);
            received_size = received_size + packet.size;
            // One that was sent before what left the window would stretch the time of sending.
            if packet.sent >= self.left_until {
                sending.add(packet);
            }
        }
        // Times of arrival are those of last bytes: the first packet's size lies before them.
        let received_size = received_size.saturating_sub(first.size);
        let span = last.arrived - first.arrived - largest_gap + second_gap;
        let received = received_size.per(span.max(SHORTEST_SPAN).to_duration());
        if sending.packets < REQUIRED_PACKETS {
            return Some(received);
        }
        Some(received.min(sending.rate()))
    }

    /// What arrived lately, over as few packets as say something. In front of a full line packets arrive at its pace, so
    /// that this is a measure then, and only then.
    pub(crate) fn latest(&self) -> Option<Bitrate> {
        let start = self.window.len().saturating_sub(WINDOW_PACKETS);
        let mut packets = self.window.range(start..);
        let first = packets.next()?;
        let last = self.window.back()?;
        if packets.len() + 1 < REQUIRED_PACKETS {
            return None;
        }
        let size = packets.fold(DataSize::ZERO, |size, packet| size + packet.size);
        Some(size.per((last.arrived - first.arrived).max(SHORTEST_SPAN).to_duration()))
    }

    /// Keeps the window in order of arrival.
    fn insert(&mut self, packet: Acknowledged) {
        let newest = self.window.back().map_or(packet.arrived, |last| last.arrived);
        if newest - packet.arrived > MAX_REORDERING {
            self.window.clear();
            self.left_until = Timestamp::MIN;
        }
        let place = if newest <= packet.arrived {
            self.window.len()
        } else {
            self.window.partition_point(|before| before.arrived <= packet.arrived)
        };
        self.window.insert(place, packet);
    }

    fn is_outside(&self, first: Acknowledged) -> bool {
        let span = self.window.back().map_or(TimeDelta::ZERO, |last| last.arrived - first.arrived);
        self.window.len() > MAX_WINDOW_PACKETS
            || span > MAX_WINDOW
            || self.window.len() > WINDOW_PACKETS && span > self.min_window
    }
}

/// The sender's view of a window.
struct Sending {
    packets: usize,
    size: DataSize,
    first: Timestamp,
    last: Timestamp,
    last_size: DataSize,
}

impl Sending {
    const NOTHING: Self = Self {
        packets: 0,
        size: DataSize::ZERO,
        first: Timestamp::MAX,
        last: Timestamp::MIN,
        last_size: DataSize::ZERO,
    };

    fn add(&mut self, packet: &Acknowledged) {
        self.packets += 1;
        self.size = self.size + packet.size;
        self.first = self.first.min(packet.sent);
        if packet.sent > self.last {
            self.last = packet.sent;
            self.last_size = packet.size;
        }
    }

    /// Of some packets.
    fn rate(&self) -> Bitrate {
        // Times of sending are those of first bytes: the last packet's size lies behind them.
        let span = (self.last - self.first).max(SHORTEST_SPAN);
        self.size.saturating_sub(self.last_size).per(span.to_duration())
    }
}

#[cfg(test)]
#[path = "throughput/tests.rs"]
mod tests;
