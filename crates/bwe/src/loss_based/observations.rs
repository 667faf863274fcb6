//! What was sent and lost in the last seconds, and how likely a channel makes it.

use model::{Bitrate, DataSize};

use crate::time::{TimeDelta, Timestamp};

/// Weight of an observation in terms of the next newer one.
const AGING: f64 = 0.9;

/// Weight of each observation, the latest first.
const WEIGHTS: [f64; Observations::MAX] = {
    let mut weights = [1.0; Observations::MAX];
    let mut i = 1;
    while i < Observations::MAX {
        weights[i] = weights[i - 1] * AGING;
        i += 1;
    }
    weights
};

/// Lost packets that an observation names, so that one that comes late after all is taken back. A quarter of a second
/// of 20 Mbit/s has 520 packets.
const MAX_LOST: usize = 512;

/// Newton's method for the inherent loss: one step of this length.
const NEWTON_STEP: f64 = 0.75;

/// Bounds of inherent loss: the more bandwidth is thought to be there, the less loss is thought to be inherent.
const MIN_INHERENT_LOSS: f64 = 1e-3;
const MAX_INHERENT_LOSS_OFFSET: f64 = 0.05;
const MAX_INHERENT_LOSS_BALANCE: Bitrate = Bitrate::from_kbps(100);

/// Reward of bandwidth, a kbit/s and in its logarithm.
const BANDWIDTH_REWARD: f64 = 0.0002;
const LOG_BANDWIDTH_REWARD: f64 = 0.02;

/// How sharply the reward changes its sign around the preferred loss.
const REWARD_SMOOTHING: f64 = 0.002;

/// A rate of sending that is so much of the median is a burst, whose loss is no spike.
const BURST_OF_MEDIAN: f64 = 2.0;

/// A channel as this module thinks of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Channel {
    /// Beyond it everything is lost.
    pub(super) bandwidth: Bitrate,
    /// Part of the rest that is lost all the same.
    pub(super) inherent_loss: f64,
}

impl Channel {
    fn loss_at(self, sending_rate: Bitrate) -> f64 {
        let mut loss = self.inherent_loss.clamp(0.0, 1.0);
        if sending_rate > self.bandwidth {
            let excess = sending_rate.saturating_sub(self.bandwidth).bps() as f64 / sending_rate.bps() as f64;
            loss += (1.0 - loss) * excess;
        }
        loss.clamp(1e-6, 1.0 - 1e-6)
    }

    /// Within the bounds of inherent loss, `known` of which is certain.
    fn feasible(self, known: f64) -> Self {
        let balance = MAX_INHERENT_LOSS_BALANCE.bps() as f64 / self.bandwidth.bps().max(1) as f64;
        let highest = (known + MAX_INHERENT_LOSS_OFFSET + balance).min(1.0);
        Self { inherent_loss: self.inherent_loss.max(MIN_INHERENT_LOSS).max(known).min(highest), ..self }
    }
}

/// Of a loss, and of what is left.
struct Logarithms {
    loss: f64,
    of_loss: f64,
    of_rest: f64,
}

impl Logarithms {
    fn of(loss: f64) -> Self {
        Self { loss, of_loss: loss.ln(), of_rest: (1.0 - loss).ln() }
    }
}

/// Reward of bandwidth at the loss of these days: a penalty where too much is lost.
pub(super) struct Preference {
    scale: f64,
}

impl Preference {
    pub(super) fn new(loss: f64, threshold: f64) -> Self {
        Self { scale: (threshold - loss) / (REWARD_SMOOTHING + (threshold - loss).abs()) }
    }

    fn reward(&self, bandwidth: Bitrate) -> f64 {
        let kbps = bandwidth.bps() as f64 / 1000.0;
        self.scale * (BANDWIDTH_REWARD * kbps + LOG_BANDWIDTH_REWARD * kbps.ln_1p())
    }
}

/// What was sent in a quarter of a second, and lost of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    pub(crate) sending_rate: Bitrate,
    pub(crate) packets: u32,
    pub(crate) sent_kilobytes: f64,
    pub(crate) lost_kilobytes: f64,
}

impl Observation {
    const EMPTY: Self = Self { sending_rate: Bitrate::ZERO, packets: 0, sent_kilobytes: 0.0, lost_kilobytes: 0.0 };
}

/// Packets since the last observation.
#[derive(Clone, Debug)]
struct Partial {
    packets: u32,
    size: DataSize,
    lost_size: DataSize,
    /// Number and size of each lost packet, by number.
    lost: Vec<(u64, DataSize)>,
    /// The later is before the earlier where there is no packet.
    first_sent: Timestamp,
    last_sent: Timestamp,
}

impl Partial {
    const fn new() -> Self {
        Self {
            packets: 0,
            size: DataSize::ZERO,
            lost_size: DataSize::ZERO,
            lost: Vec::new(),
            first_sent: Timestamp::MAX,
            last_sent: Timestamp::MIN,
        }
    }

    fn add(&mut self, sent: Timestamp, size: DataSize) {
        self.packets = self.packets.saturating_add(1);
        self.size = self.size + size;
        self.first_sent = self.first_sent.min(sent);
        self.last_sent = self.last_sent.max(sent);
    }

    fn restart(&mut self) {
        let mut lost = std::mem::take(&mut self.lost);
        // The list keeps its memory.
        lost.clear();
        *self = Self { lost, ..Self::new() };
    }
}

/// The last observations, and what will be the next.
#[derive(Clone, Debug)]
pub(super) struct Observations {
    window: [Observation; Self::MAX],
    /// Places of the window in use.
    size: usize,
    min_time: TimeDelta,
    /// Observations ever made; the latest stands at this number less one, modulo `size`.
    count: u32,
    partial: Partial,
    last_sent: Option<Timestamp>,
    loss: f64,
}

impl Observations {
    /// Observations that are remembered: nearly four seconds.
    pub(super) const MAX: usize = 15;

    pub(super) fn new(size: usize, min_time: TimeDelta) -> Self {
        Self {
            window: [Observation::EMPTY; Self::MAX],
            size: size.clamp(1, Self::MAX),
            min_time,
            count: 0,
            partial: Partial::new(),
            last_sent: None,
            loss: 0.0,
        }
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Empties the window.
    pub(super) const fn forget(&mut self) {
        self.window = [Observation::EMPTY; Self::MAX];
        self.loss = 0.0;
    }

    pub(super) const fn loss(&self) -> f64 {
        self.loss
    }

    /// When the last packet of the last observation was sent.
    pub(super) fn last_sent(&self) -> Timestamp {
        self.last_sent.unwrap_or(Timestamp::ZERO)
    }

    pub(super) fn on_received(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        if !self.partial.lost.is_empty()
            && let Ok(index) = self.partial.lost.binary_search_by_key(&number, |lost| lost.0)
        {
            let (_, size) = self.partial.lost.remove(index);
            self.partial.lost_size = self.partial.lost_size.saturating_sub(size);
        }
        self.partial.add(sent, size);
    }

    pub(super) fn on_lost(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        if let Err(index) = self.partial.lost.binary_search_by_key(&number, |lost| lost.0) {
            self.partial.lost_size = self.partial.lost_size + size;
            if self.partial.lost.len() < MAX_LOST {
                self.partial.lost.insert(index, (number, size));
            }
        }
        self.partial.add(sent, size);
    }

    /// Makes an observation of the packets since the last, if they were sent over long enough a time. Answers it.
    pub(super) fn complete(&mut self) -> Option<Observation> {
        let (first, last) = (self.partial.first_sent, self.partial.last_sent);
        if last < first {
            return None;
        }
        let since = *self.last_sent.get_or_insert(first);
        let time = last - since;
        if time < self.min_time {
            return None;
        }
        self.last_sent = Some(last);
        let observation = Observation {
            sending_rate: self.partial.size.per(time.to_duration()),
            packets: self.partial.packets,
            sent_kilobytes: kilobytes(self.partial.size),
            lost_kilobytes: kilobytes(self.partial.lost_size),
        };
        if let Some(place) = self.window.get_mut(self.count as usize % self.size) {
            *place = observation;
        }
        self.count = self.count.wrapping_add(1);
        self.partial.restart();
        self.loss = self.average_loss();
        Some(observation)
    }

    /// Moves the inherent loss, `known` of which is certain, towards what makes the observations most likely.
    pub(super) fn refine(&self, channel: Channel, known: f64) -> Channel {
        let channel = channel.feasible(known);
        let (mut first, mut second) = (0.0, 0.0);
        for (observation, weight) in self.weighted() {
            let loss = channel.loss_at(observation.sending_rate);
            let lost = observation.lost_kilobytes;
            let received = observation.sent_kilobytes - lost;
            first += weight * (lost / loss - received / (1.0 - loss));
            second -= weight * (lost / (loss * loss) + received / ((1.0 - loss) * (1.0 - loss)));
        }
        if second >= 0.0 {
            // Nothing was sent.
            return channel;
        }
        Channel { inherent_loss: channel.inherent_loss - NEWTON_STEP * first / second, ..channel }.feasible(known)
    }

    /// Whether nothing was lost in any of the observations.
    pub(super) fn are_lossless(&self) -> bool {
        self.window.iter().all(|observation| observation.lost_kilobytes == 0.0)
    }

    pub(super) fn log_likelihood(&self, channel: Channel, preference: &Preference) -> f64 {
        let reward = preference.reward(channel.bandwidth);
        // A logarithm costs more than the rest, and below the bandwidth it is the same for all.
        let mut logarithms = Logarithms::of(channel.loss_at(Bitrate::ZERO));
        let terms = self.weighted().map(|(observation, weight)| {
            let loss = channel.loss_at(observation.sending_rate);
            if loss != logarithms.loss {
                logarithms = Logarithms::of(loss);
            }
            let lost = observation.lost_kilobytes;
            let received = observation.sent_kilobytes - lost;
            weight * (lost * logarithms.of_loss + received * logarithms.of_rest + reward * observation.sent_kilobytes)
        });
        terms.sum()
    }

    /// The observations, the latest first, with their weights.
    fn weighted(&self) -> impl Iterator<Item = (&Observation, f64)> {
        let known = (self.count as usize).min(self.size);
        let latest = self.count as usize % self.size;
        let window = self.window.get(..self.size).unwrap_or_default();
        let (newer, older) = window.split_at_checked(latest).unwrap_or_default();
        newer.iter().rev().chain(older.iter().rev()).zip(WEIGHTS).take(known)
    }

    /// Part of the bytes that was lost, without the observations that lost most and least.
    fn average_loss(&self) -> f64 {
        let (mut sent, mut lost) = (0.0, 0.0);
        let mut least = Extreme { loss: 1.0, ..Extreme::default() };
        let mut most = Extreme::default();
        for (observation, weight) in self.weighted() {
            let this = Extreme {
                loss: observation.lost_kilobytes / observation.sent_kilobytes.max(f64::MIN_POSITIVE),
                sent: weight * observation.sent_kilobytes,
                lost: weight * observation.lost_kilobytes,
                sending_rate: observation.sending_rate,
            };
            sent += this.sent;
            lost += this.lost;
            if this.loss > most.loss {
                most = this;
            }
            if this.loss < least.loss {
                least = this;
            }
        }
        if lost == 0.0 {
            return 0.0;
        }
        if self.count > 3 && most.sending_rate < self.median_sending_rate().scaled(BURST_OF_MEDIAN) {
            let others = sent - least.sent - most.sent;
            // In a window of two nothing is left.
            if others > 1e-6 {
                return ((lost - least.lost - most.lost) / others).clamp(0.0, 1.0);
            }
        }
        if sent > 0.0 { lost / sent } else { 0.0 }
    }

    fn median_sending_rate(&self) -> Bitrate {
        let mut rates = [Bitrate::ZERO; Self::MAX];
        let mut count = 0;
        for (place, (observation, _)) in
            rates.iter_mut().zip(self.weighted().filter(|(observation, _)| observation.sending_rate > Bitrate::ZERO))
        {
            *place = observation.sending_rate;
            count += 1;
        }
        let Some(rates) = rates.get_mut(..count) else { return Bitrate::ZERO };
        rates.sort_unstable();
        match (rates.get(count.saturating_sub(1) / 2), rates.get(count / 2)) {
            (Some(lower), Some(upper)) => Bitrate::from_bps(lower.bps().midpoint(upper.bps())),
            (None, _) | (_, None) => Bitrate::ZERO,
        }
    }
}

/// The observation that lost most or least, as it counts in the average.
#[derive(Clone, Copy, Default)]
struct Extreme {
    loss: f64,
    sent: f64,
    lost: f64,
    sending_rate: Bitrate,
}

fn kilobytes(size: DataSize) -> f64 {
    size.bytes() as f64 / 1000.0
}
