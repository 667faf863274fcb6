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

/// Packets of a run, about as many as a feedback brings.
const RUN_PACKETS: usize = 32;

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

impl From<&ReceivedPacket> for Acknowledged {
    fn from(packet: &ReceivedPacket) -> Self {
        Self { sent: packet.sent, arrived: packet.arrived, size: packet.size }
    }
}

/// The lower of the rates at which a window of packets was sent and arrived, without the largest gap between arrivals:
/// a path that paused and then delivered all at once was not slower for it (libwebrtc's `RobustThroughputEstimator`).
#[derive(Clone, Debug)]
pub(crate) struct ThroughputEstimator {
    /// In order of arrival.
    window: VecDeque<Acknowledged>,
    /// The same added up, run by run, so that a feedback costs what it brings and not what is remembered.
    runs: VecDeque<Run>,
    /// Packets were put between others: the runs are to be made anew.
    has_stale_runs: bool,
    /// Newest time of sending among those that left the window.
    left_until: Timestamp,
    min_window: TimeDelta,
}

impl ThroughputEstimator {
    pub(crate) const fn new() -> Self {
        Self {
            window: VecDeque::new(),
            runs: VecDeque::new(),
            has_stale_runs: false,
            left_until: Timestamp::MIN,
            min_window: MIN_WINDOW,
        }
    }

    /// Takes what a feedback says arrived, in order of arrival.
    pub(crate) fn update(&mut self, received: &[ReceivedPacket]) {
        let newest = self.window.back().map(|last| last.arrived);
        if received.first().map(|first| first.arrived) >= newest {
            self.append(received);
        } else {
            received.iter().for_each(|packet| self.insert(packet.into()));
        }
        let left = self.packets_outside();
        for packet in self.window.drain(..left) {
            self.left_until = self.left_until.max(packet.sent);
        }
        if self.has_stale_runs {
            self.rebuild_runs();
        } else {
            self.shorten_runs(left);
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
        let mut gaps = Gaps::NONE;
        let mut received_size = DataSize::ZERO;
        let mut sending = Sending::NOTHING;
        let mut previous = first.arrived;
        let mut start = 0;
        for run in &self.runs {
            gaps.add(run.first_arrived - previous);
            gaps.merge(run.gaps);
            previous = run.last_arrived;
            received_size = received_size + run.received_size;
            let end = start + run.packets;
            if run.sending.first >= self.left_until {
                sending.merge(&run.sending);
            } else {
                // One that was sent before what left the window would stretch the time of sending.
                let packets = self.window.range(start..end.min(self.window.len()));
                packets.filter(|packet| packet.sent >= self.left_until).for_each(|packet| sending.add(packet));
            }
            start = end;
        }
        // Times of arrival are those of last bytes: the first packet's size lies before them.
        let received_size = received_size.saturating_sub(first.size);
        let span = last.arrived - first.arrived - gaps.largest + gaps.second;
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

    /// Takes packets that arrived after all others.
    fn append(&mut self, received: &[ReceivedPacket]) {
        self.window.extend(received.iter().map(Acknowledged::from));
        let room = self.runs.back().map_or(0, |last| RUN_PACKETS.saturating_sub(last.packets));
        let (fitting, rest) = received.split_at_checked(room).unwrap_or((received, &[]));
        if let Some(last) = self.runs.back_mut() {
            fitting.iter().for_each(|packet| last.push(&packet.into()));
        }
        self.runs
            .extend(rest.chunks(RUN_PACKETS).filter_map(|packets| Run::of(packets.iter().map(Acknowledged::from))));
    }

    /// Puts a packet where it belongs in the order of arrival.
    fn insert(&mut self, packet: Acknowledged) {
        self.has_stale_runs = true;
        let newest = self.window.back().map_or(packet.arrived, |last| last.arrived);
        if newest - packet.arrived > MAX_REORDERING {
            self.window.clear();
            self.left_until = Timestamp::MIN;
        }
        if newest <= packet.arrived {
            self.window.push_back(packet);
        } else {
            let place = self.window.partition_point(|before| before.arrived <= packet.arrived);
            self.window.insert(place, packet);
        }
    }

    /// So many packets left at the front.
    fn shorten_runs(&mut self, mut left: usize) {
        while let Some(first) = self.runs.front_mut()
            && left > 0
        {
            if left < first.packets {
                let packets = self.window.iter().take(first.packets - left);
                if let Some(shortened) = Run::of(packets.copied()) {
                    *first = shortened;
                }
                return;
            }
            left -= first.packets;
            self.runs.pop_front();
        }
    }

    fn rebuild_runs(&mut self) {
        self.has_stale_runs = false;
        self.runs.clear();
        let mut packets = self.window.iter().copied();
        while let Some(run) = Run::of(packets.by_ref().take(RUN_PACKETS)) {
            self.runs.push_back(run);
        }
    }

    /// How many packets at the front are too old, or too many.
    fn packets_outside(&self) -> usize {
        let (Some(oldest), Some(newest)) = (self.window.front(), self.window.back()) else { return 0 };
        let len = self.window.len();
        let older_than = |age| {
            let is_older = |packet: &Acknowledged| newest.arrived - packet.arrived > age;
            if is_older(oldest) { self.window.partition_point(is_older) } else { 0 }
        };
        let beyond_need = older_than(self.min_window).min(len.saturating_sub(WINDOW_PACKETS));
        len.saturating_sub(MAX_WINDOW_PACKETS).max(older_than(MAX_WINDOW)).max(beyond_need)
    }
}

/// Packets that follow each other in the window.
#[derive(Clone, Copy, Debug)]
struct Run {
    packets: usize,
    received_size: DataSize,
    first_arrived: Timestamp,
    last_arrived: Timestamp,
    /// Between two of them.
    gaps: Gaps,
    sending: Sending,
}

impl Run {
    /// None of no packets.
    fn of(mut packets: impl Iterator<Item = Acknowledged>) -> Option<Self> {
        let first = packets.next()?;
        let mut run = Self {
            packets: 0,
            received_size: DataSize::ZERO,
            first_arrived: first.arrived,
            last_arrived: first.arrived,
            gaps: Gaps::NONE,
            sending: Sending::NOTHING,
        };
        run.push(&first);
        packets.for_each(|packet| run.push(&packet));
        Some(run)
    }

    fn push(&mut self, packet: &Acknowledged) {
        self.packets += 1;
        self.received_size = self.received_size + packet.size;
        self.gaps.add(packet.arrived - self.last_arrived);
        self.last_arrived = packet.arrived;
        self.sending.add(packet);
    }
}

/// The two largest times between arrivals.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    largest: TimeDelta,
    second: TimeDelta,
}

impl Gaps {
    const NONE: Self = Self { largest: TimeDelta::ZERO, second: TimeDelta::ZERO };

    fn add(&mut self, gap: TimeDelta) {
        if gap > self.second {
            self.second = gap.min(self.largest);
            self.largest = self.largest.max(gap);
        }
    }

    fn merge(&mut self, other: Self) {
        self.add(other.largest);
        self.add(other.second);
    }
}

/// The sender's view of some packets.
#[derive(Clone, Copy, Debug)]
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

    /// Takes packets that follow.
    fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.size = self.size + other.size;
        self.first = self.first.min(other.first);
        if other.last > self.last {
            self.last = other.last;
            self.last_size = other.last_size;
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
