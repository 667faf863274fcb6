//! When to probe, and at which rate.

use arrayvec::ArrayVec;
use model::Bitrate;

use crate::estimator::Demand;
use crate::probe::{ProbeCluster, ProbeClusterId};
use crate::time::{TimeDelta, Timestamp};

/// What a probe found out is waited for no longer.
const MAX_WAIT: TimeDelta = TimeDelta::from_secs(1);

/// A receiver who says nothing of what reaches him for so long, though he once said that he would, may never do so: nothing is
/// to be found out before he does.
const MAX_SILENCE: TimeDelta = TimeDelta::from_secs(3);

/// The first two probes, in terms of the start rate.
const FIRST_SCALE: f64 = 3.0;
const SECOND_SCALE: f64 = 6.0;

/// Where a probe finds so much of what it tried, another follows at this multiple of what was found.
const FURTHER_THRESHOLD: f64 = 0.7;
const FURTHER_SCALE: f64 = 2.0;

/// While less is sent than could be, a probe each so often, at this multiple of the estimate.
const ALR_INTERVAL: TimeDelta = TimeDelta::from_secs(5);
const ALR_SCALE: f64 = 2.0;

/// While something that is wanted does not fit at all, a probe each so often, at this multiple of the estimate; more often where
/// nothing does. What is sent then says little of the line, and growth of some kilobits a second takes a quarter of a minute
/// to the lowest layer of video. A probe takes a hundredth of that time.
const STARVED_INTERVAL: TimeDelta = TimeDelta::from_secs(4);
const ALL_STARVED_INTERVAL: TimeDelta = TimeDelta::from_ms(1500);
const STARVED_SCALE: f64 = 2.0;

/// When the line turns out wider than thought, a probe at this multiple of the estimate, but not more often than this.
const OUTGROWN_SCALE: f64 = 2.0;
const OUTGROWN_INTERVAL: TimeDelta = TimeDelta::from_secs(5);

/// When more is wanted, probes at these multiples of it, but no more than so much of the estimate.
const DEMAND_SCALES: [f64; 2] = [1.0, 2.0];
const DEMAND_OF_ESTIMATE: f64 = 2.0;

/// No probe beyond so much of what is wanted.
const MAX_OF_DEMAND: f64 = 2.0;

/// An estimate that fell below this part of itself fell by a large step. When the path is well again within the
/// timeout, a probe tries this part of the rate before.
const LARGE_DROP: f64 = 0.66;
const DROP_TIMEOUT: TimeDelta = TimeDelta::from_secs(5);
const AFTER_DROP_SCALE: f64 = 0.85;

/// That is worth it only where it can find more than this less.
const UNCERTAINTY: f64 = 0.05;

/// ALR that ended just now still counts as the reason of a drop.
const ALR_ENDED_TIMEOUT: TimeDelta = TimeDelta::from_secs(3);

/// Between two probes after drops.
const MIN_DROP_PROBE_INTERVAL: TimeDelta = TimeDelta::from_secs(5);

/// What holds the estimate down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum LimitedBy {
    /// Growth is on its way.
    #[default]
    Growth,
    /// Queues fill, or empty still.
    Delay,
    /// Feedback is late.
    RoundTrip,
    Loss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet.
    Init,
    /// A probe is under way, and another will follow when it finds more than this.
    WaitingForResult {
        since: Timestamp,
        probe_further_above: Bitrate,
    },
    Complete,
}

/// Clusters to send, one behind the other.
pub(crate) type Clusters = ArrayVec<ProbeCluster, 2>;

/// libwebrtc's `ProbeController`, but for three things: this one does not probe where the estimate meets the demand, as an
/// encoder may want more the next moment and a bridge knows what its streams can need; it does where some of them do not
/// fit, as an encoder makes do with less and the layers of a bridge do not; and it does not go on while nobody answers.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct ProbeController {
    state: State,
    /// Since when media flow without a word of the receiver's.
    unanswered_since: Option<Timestamp>,
    max: Bitrate,
    estimate: Bitrate,
    limited_by: LimitedBy,
    /// What is wanted; none where nobody said.
    demand: Option<Bitrate>,
    /// Since when something of it does not fit at all, or when that was last a reason to probe, and how often it is.
    starved: Option<(Timestamp, TimeDelta)>,
    alr_since: Option<Timestamp>,
    alr_ended: Option<Timestamp>,
    last_probed: Option<Timestamp>,
    last_large_drop: Option<LargeDrop>,
    last_drop_probe: Option<Timestamp>,
    next_id: ProbeClusterId,
}

#[derive(Clone, Copy, Debug)]
struct LargeDrop {
    at: Timestamp,
    from: Bitrate,
}

impl ProbeController {
    pub(crate) const fn new(start: Bitrate, max: Bitrate) -> Self {
        Self {
            state: State::Init,
            unanswered_since: None,
            max,
            estimate: start,
            limited_by: LimitedBy::Growth,
            demand: None,
            starved: None,
            alr_since: None,
            alr_ended: None,
            last_probed: None,
            last_large_drop: None,
            last_drop_probe: None,
            next_id: ProbeClusterId::FIRST,
        }
    }

    /// As new, at another rate; what is wanted stays.
    pub(crate) const fn restart(&mut self, start: Bitrate) {
        let Self { demand, starved, next_id, max, .. } = *self;
        *self = Self { demand, starved, next_id, ..Self::new(start, max) };
    }

    /// Media flow for the first time: the exponential probing of the start begins.
    pub(crate) fn start(&mut self, now: Timestamp) -> Clusters {
        self.state = State::Complete;
        self.unanswered_since = Some(now);
        self.probe([self.estimate.scaled(FIRST_SCALE), self.estimate.scaled(SECOND_SCALE)], Further::Yes, now)
    }

    /// The receiver tells what reached him.
    pub(crate) const fn on_feedback(&mut self) {
        self.unanswered_since = None;
    }

    /// Somebody wants something else.
    pub(crate) fn set_demand(&mut self, demand: Demand, now: Timestamp) -> Clusters {
        let Demand { sent, ideal: demand, is_starved } = demand;
        let since = self.starved.map_or(now, |(since, _)| since);
        let interval = if sent == Bitrate::ZERO { ALL_STARVED_INTERVAL } else { STARVED_INTERVAL };
        self.starved = is_starved.then_some((since, interval));
        let is_changed = self.demand.replace(demand) != Some(demand);
        let is_reason = is_changed
            && self.state == State::Complete
            && self.alr_since.is_some()
            && self.estimate < self.max.min(demand);
        if !is_reason {
            return Clusters::new();
        }
        let limit = self.estimate.scaled(DEMAND_OF_ESTIMATE);
        let [first, second] = DEMAND_SCALES.map(|scale| demand.scaled(scale));
        if limit <= first {
            self.probe([limit], Further::Yes, now)
        } else if limit < second {
            self.probe([first, limit], Further::Yes, now)
        } else {
            self.probe([first, second], Further::No, now)
        }
    }

    /// Since when the sender is application-limited, if it is.
    pub(crate) const fn set_alr(&mut self, since: Option<Timestamp>) {
        self.alr_since = since;
    }

    pub(crate) const fn on_alr_ended(&mut self, now: Timestamp) {
        self.alr_ended = Some(now);
    }

    /// Takes an estimate, which may be what a probe found out.
    pub(crate) fn set_estimate(&mut self, estimate: Bitrate, limited_by: LimitedBy, now: Timestamp) -> Clusters {
        self.limited_by = limited_by;
        if estimate < self.estimate.scaled(LARGE_DROP) {
            self.last_large_drop = Some(LargeDrop { at: now, from: self.estimate });
        }
        self.estimate = estimate;
        match self.state {
            State::WaitingForResult { probe_further_above, .. } if estimate > probe_further_above => {
                self.probe([estimate.scaled(FURTHER_SCALE)], Further::Yes, now)
            }
            State::Init | State::WaitingForResult { .. } | State::Complete => Clusters::new(),
        }
    }

    /// The path is well again after an overuse: was the drop worth it?
    pub(crate) fn on_recovered(&mut self, now: Timestamp) -> Clusters {
        let was_limited_by_sender =
            self.alr_since.is_some() || self.alr_ended.is_some_and(|ended| now - ended < ALR_ENDED_TIMEOUT);
        let Some(drop) = self.last_large_drop.filter(|drop| now - drop.at < DROP_TIMEOUT) else {
            return Clusters::new();
        };
        let rate = drop.from.scaled(AFTER_DROP_SCALE);
        let is_worth_it = was_limited_by_sender
            && self.state == State::Complete
            && rate.scaled(1.0 - UNCERTAINTY) > self.estimate
            && self.last_drop_probe.is_none_or(|last| now - last > MIN_DROP_PROBE_INTERVAL);
        if !is_worth_it {
            return Clusters::new();
        }
        self.last_drop_probe = Some(now);
        self.probe([rate], Further::No, now)
    }

    /// The rate grows, and nobody knows what the line carries. Growth alone would take a quarter of a minute to find
    /// three times the rate, or go far beyond the line if the thought was right.
    pub(crate) fn on_unknown_capacity(&mut self, now: Timestamp) -> Clusters {
        let is_due = self.last_probed.is_none_or(|last| now - last >= OUTGROWN_INTERVAL);
        if self.state != State::Complete || !is_due {
            return Clusters::new();
        }
        self.probe([self.estimate.scaled(OUTGROWN_SCALE)], Further::Yes, now)
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Init => None,
            State::WaitingForResult { since, .. } => Some(since + MAX_WAIT + TimeDelta::from_micros(1)),
            State::Complete => [self.next_alr_probe(), self.next_starved_probe()].into_iter().flatten().min(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) -> Clusters {
        if let State::WaitingForResult { since, .. } = self.state
            && now - since > MAX_WAIT
        {
            self.state = State::Complete;
        }
        if self.state == State::Complete && self.next_alr_probe().is_some_and(|due| now >= due) {
            return self.probe([self.estimate.scaled(ALR_SCALE)], Further::Yes, now);
        }
        if self.state == State::Complete && self.next_starved_probe().is_some_and(|due| now >= due) {
            // Once in an interval, whether it may now or not.
            self.starved = self.starved.map(|(_, interval)| (now, interval));
            return self.probe([self.estimate.scaled(STARVED_SCALE)], Further::Yes, now);
        }
        Clusters::new()
    }

    fn next_alr_probe(&self) -> Option<Timestamp> {
        let since = self.alr_since?;
        let has_room = !self.is_satisfied() && !self.is_forbidden();
        has_room
            .then(|| since.max(self.last_probed.unwrap_or(since)) + ALR_INTERVAL)
            .filter(|due| self.is_heard_at(*due))
    }

    fn next_starved_probe(&self) -> Option<Timestamp> {
        let (since, interval) = self.starved?;
        let due = (!self.is_satisfied()).then(|| since.max(self.last_probed.unwrap_or(since)) + interval);
        due.filter(|due| self.is_heard_at(*due))
    }

    /// Whether a probe at that time may be answered.
    fn is_heard_at(&self, due: Timestamp) -> bool {
        self.unanswered_since.is_none_or(|since| due - since < MAX_SILENCE)
    }

    /// Whether what is wanted is there.
    fn is_satisfied(&self) -> bool {
        self.estimate >= self.demand.unwrap_or(self.max).min(self.max)
    }

    /// Whether a probe would only make worse what holds the estimate down.
    fn is_forbidden(&self) -> bool {
        self.limited_by != LimitedBy::Growth
    }

    fn max_probe_rate(&self) -> Bitrate {
        let by_demand = self.demand.map_or(Bitrate::MAX, |demand| demand.scaled(MAX_OF_DEMAND));
        self.max.min(by_demand)
    }

    fn probe<const N: usize>(&mut self, rates: [Bitrate; N], further: Further, now: Timestamp) -> Clusters {
        if self.is_satisfied() {
            self.state = State::Complete;
            return Clusters::new();
        }
        if self.is_forbidden() {
            return Clusters::new();
        }
        let max = self.max_probe_rate();
        let mut clusters = Clusters::new();
        for rate in rates.into_iter().take(clusters.capacity()) {
            clusters.push(ProbeCluster { id: self.next_id, bitrate: rate.min(max) });
            self.next_id = self.next_id.next();
        }
        self.last_probed = Some(now);
        let highest = rates.last().copied().unwrap_or_default();
        self.state = match further {
            Further::Yes if rates.iter().all(|rate| *rate < max) => State::WaitingForResult {
                since: now,
                // Less is found than is tried.
                probe_further_above: highest.scaled(FURTHER_THRESHOLD),
            },
            Further::Yes | Further::No => State::Complete,
        };
        clusters
    }
}

/// Whether a probe that succeeds is followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Further {
    Yes,
    No,
}

#[cfg(test)]
#[path = "probe_controller/tests.rs"]
mod tests;
