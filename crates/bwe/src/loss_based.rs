//! The rate that loss allows: the bandwidth that explains best what was lost when at which rate
//! (libwebrtc's `LossBasedBweV2`).
//!
//! A channel is thought to lose a part of all that it takes, and all that it takes beyond a bandwidth. Each observation
//! of a quarter of a second has a likelihood under these two; a few candidates of bandwidth compete by it, each with the
//! inherent loss that a step of Newton's method finds for it.

mod observations;

use arrayvec::ArrayVec;
use model::{Bitrate, DataSize};

use crate::time::{TimeDelta, Timestamp};
pub(crate) use observations::Observation;
use observations::{Channel, Observations};

/// Knobs that upstream has as field trials and its tests turn; what nothing turns is a constant below.
#[derive(Clone, Copy, Debug)]
struct Config {
    /// Candidates in terms of the current estimate.
    candidate_factors: [f64; 3],
    /// An increase goes at most to so much of the throughput, less so near the rate that was held.
    rampup_factor: f64,
    rampup_factor_in_hold: f64,
    rampup_hold_threshold: f64,
    /// A window of [`INCREASE_WINDOW`] allows so much of increase.
    max_increase: f64,
    /// Loss above which low bandwidths are preferred, below which high ones.
    loss_preference: f64,
    must_explain_loss_to_increase: bool,
    /// The estimate is at least so much of the throughput.
    throughput_bound: f64,
    /// Each hold lasts so much longer than the last.
    hold_growth: f64,
    /// After an increase, padding proves it for so long.
    padding_duration: TimeDelta,
    /// More than the offset is lost: the estimate is at most the balance divided by the rest.
    upper_bound_balance: Bitrate,
    upper_bound_loss_offset: f64,
    observations: usize,
    min_observations: u32,
    min_observation_time: TimeDelta,
}

impl Config {
    const DEFAULT: Self = Self {
        candidate_factors: [1.02, 1.0, 0.95],
        rampup_factor: 1.5,
        rampup_factor_in_hold: 1.2,
        rampup_hold_threshold: 1.3,
        max_increase: 1.3,
        loss_preference: 0.2,
        must_explain_loss_to_increase: true,
        throughput_bound: 1.0,
        hold_growth: 2.0,
        padding_duration: TimeDelta::from_secs(2),
        upper_bound_balance: Bitrate::from_kbps(100),
        upper_bound_loss_offset: 0.05,
        observations: Observations::MAX,
        min_observations: 3,
        min_observation_time: TimeDelta::from_ms(250),
    };
}

/// How long an increase after loss is bounded.
const INCREASE_WINDOW: TimeDelta = TimeDelta::from_ms(300);

/// The first hold, and the longest.
const INITIAL_HOLD: TimeDelta = TimeDelta::from_ms(300);
const MAX_HOLD: TimeDelta = TimeDelta::from_secs(60);

/// No window of increase is below this.
const MIN_LIMIT: Bitrate = Bitrate::from_kbps(5);

/// Inherent loss before anything was lost.
const INITIAL_INHERENT_LOSS: f64 = 0.01;

/// What the estimate is made of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LossBasedState {
    /// Loss does not limit.
    #[default]
    DelayBased,
    /// Loss limits, and the estimate falls or is held.
    Decreasing,
    /// Loss limits, and the estimate grows; padding is to prove it.
    Increasing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LossBasedEstimate {
    pub(crate) rate: Bitrate,
    pub(crate) state: LossBasedState,
}

/// Until when the estimate is not to grow beyond which rate.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Option<Timestamp>,
    next_duration: TimeDelta,
    rate: Bitrate,
}

impl Hold {
    const NONE: Self = Self { until: None, next_duration: INITIAL_HOLD, rate: Bitrate::MAX };
}

/// An increase that is not to be exceeded within [`INCREASE_WINDOW`].
#[derive(Clone, Copy, Debug)]
struct IncreaseWindow {
    since: Timestamp,
    limit: Bitrate,
}

/// The last rate that padding was to prove.
#[derive(Clone, Copy, Debug)]
struct Padding {
    since: Timestamp,
    rate: Bitrate,
}

/// Takes packets one by one, then [`Self::update`] once a feedback.
#[derive(Clone, Debug)]
pub(crate) struct LossBasedBwe {
    config: Config,
    min: Bitrate,
    max: Bitrate,
    observations: Observations,
    throughput: Option<Bitrate>,
    delay_based: Bitrate,
    /// The channel that explains best what was observed; none before the first observation.
    best: Option<Channel>,
    result: LossBasedEstimate,
    increase_window: Option<IncreaseWindow>,
    hold: Hold,
    padding: Option<Padding>,
    /// Inherent loss that was found out in another way, 0 to 1.
    known_loss: f64,
}

impl LossBasedBwe {
    pub(crate) fn new(min: Bitrate, max: Bitrate) -> Self {
        Self::with_config(Config::DEFAULT, min, max)
    }

    fn with_config(config: Config, min: Bitrate, max: Bitrate) -> Self {
        Self {
            config,
            min,
            max,
            observations: Observations::new(config.observations, config.min_observation_time),
            throughput: None,
            delay_based: Bitrate::MAX,
            best: None,
            result: LossBasedEstimate { rate: Bitrate::ZERO, state: LossBasedState::DelayBased },
            increase_window: None,
            hold: Hold::NONE,
            padding: None,
            known_loss: 0.0,
        }
    }

    /// Takes inherent loss that was found out in another way: no channel has less.
    pub(crate) const fn set_known_loss(&mut self, loss: f64) {
        self.known_loss = loss;
    }

    /// The rate was cut for what was observed, which is no measure any more.
    pub(crate) const fn forget_observations(&mut self) {
        self.observations.forget();
    }

    /// What was lost has nothing to do with the rate: it does not limit (libwebrtc's `SetBandwidthEstimate`).
    pub(crate) fn release(&mut self) {
        if let Some(best) = &mut self.best
            && self.delay_based != Bitrate::MAX
        {
            best.bandwidth = best.bandwidth.max(self.delay_based);
            self.result = LossBasedEstimate { rate: self.delay_based, state: LossBasedState::DelayBased };
            self.hold = Hold::NONE;
        }
    }

    /// [`Self::loss`] beyond inherent loss that was found out in another way.
    pub(crate) fn excess_loss(&self) -> f64 {
        (self.loss() - self.known_loss).max(0.0)
    }

    /// None before enough was observed.
    pub(crate) fn estimate(&self) -> Option<LossBasedEstimate> {
        let is_ready = self.best.is_some() && self.observations.count() >= self.config.min_observations;
        is_ready.then_some(self.result)
    }

    /// Part of what was sent lately that was lost, 0 to 1, spikes left out.
    pub(crate) const fn loss(&self) -> f64 {
        self.observations.loss()
    }

    pub(crate) const fn set_throughput(&mut self, throughput: Bitrate) {
        self.throughput = Some(throughput);
    }

    /// A packet arrived, for all that is known.
    pub(crate) fn on_received(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        self.observations.on_received(number, sent, size);
    }

    /// A packet did not arrive, for all that is known.
    pub(crate) fn on_lost(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        self.observations.on_lost(number, sent, size);
    }

    /// Weighs the packets since the last observation, if they are enough for another. Answers it.
    pub(crate) fn update(&mut self, delay_based: Bitrate, is_in_alr: bool) -> Option<Observation> {
        self.delay_based = delay_based;
        let observation = self.observations.complete()?;
        let best = match self.best {
            Some(best) => best,
            None if delay_based == Bitrate::MAX => return Some(observation),
            None => {
                self.result.rate = delay_based;
                Channel { bandwidth: delay_based, inherent_loss: INITIAL_INHERENT_LOSS }
            }
        };
        let chosen = self.choose(best, is_in_alr);
        let chosen = self.bound_increase(best, chosen);
        self.settle(chosen);
        Some(observation)
    }

    /// The candidate of the greatest likelihood.
    fn choose(&self, best: Channel, is_in_alr: bool) -> Channel {
        if self.observations.are_lossless() {
            // Bandwidth is rewarded, and nothing speaks against any.
            let bandwidth = self.candidates(best, is_in_alr).into_iter().max().unwrap_or(best.bandwidth);
            return self.observations.refine(Channel { bandwidth, ..best }, self.known_loss);
        }
        let preference = observations::Preference::new(self.excess_loss(), self.config.loss_preference);
        let mut chosen = best;
        let mut highest = f64::NEG_INFINITY;
        for bandwidth in self.candidates(best, is_in_alr) {
            let candidate = self.observations.refine(Channel { bandwidth, ..best }, self.known_loss);
            let likelihood = self.observations.log_likelihood(candidate, &preference);
            if likelihood > highest {
                highest = likelihood;
                chosen = candidate;
            }
        }
        chosen
    }

    fn candidates(&self, best: Channel, is_in_alr: bool) -> ArrayVec<Bitrate, 5> {
        let limit = match self.increase_window {
            Some(window) if self.is_loss_limited() => window.limit,
            Some(_) | None => self.max,
        };
        let mut candidates: ArrayVec<Bitrate, 5> =
            self.config.candidate_factors.iter().map(|factor| best.bandwidth.scaled(*factor)).collect();
        // What a sender does not send on purpose is no measure of the line, unless padding fills it up.
        if let Some(throughput) = self.throughput
            && (!is_in_alr || self.is_padding())
        {
            candidates.push(throughput);
        }
        if self.delay_based != Bitrate::MAX && self.delay_based > best.bandwidth {
            candidates.push(self.delay_based);
        }
        for candidate in &mut candidates {
            *candidate = (*candidate).min(best.bandwidth.max(limit));
        }
        candidates
    }

    /// Holds back an increase that the past speaks against.
    fn bound_increase(&self, best: Channel, mut chosen: Channel) -> Channel {
        if self.config.must_explain_loss_to_increase
            && self.loss() > chosen.inherent_loss.max(self.known_loss)
            && chosen.bandwidth > best.bandwidth
        {
            chosen.bandwidth = best.bandwidth;
        }
        if !self.is_loss_limited() {
            return chosen;
        }
        if let Some(window) = self.increase_window
            && window.since + INCREASE_WINDOW > self.now()
        {
            chosen.bandwidth = chosen.bandwidth.min(window.limit);
        }
        if let Some(throughput) = self.throughput
            && self.is_increasing(best.bandwidth, chosen.bandwidth)
        {
            let is_held =
                self.hold.rate != Bitrate::MAX && throughput < self.hold.rate.scaled(self.config.rampup_hold_threshold);
            let factor = if is_held { self.config.rampup_factor_in_hold } else { self.config.rampup_factor };
            chosen.bandwidth = best.bandwidth.max(chosen.bandwidth.min(throughput.scaled(factor)));
            if self.result.state == LossBasedState::Decreasing && chosen.bandwidth == best.bandwidth {
                // Enough for the state to change, upon which padding lifts the throughput.
                chosen.bandwidth = chosen.bandwidth.saturating_add(Bitrate::from_bps(1));
            }
        }
        chosen
    }

    /// Makes the chosen channel the best one and finds the state.
    fn settle(&mut self, chosen: Channel) {
        let lower = self.lower_bound();
        let bounded = chosen.bandwidth.min(self.upper_bound()).min(self.delay_based).max(lower);
        self.best = Some(if bounded < chosen.bandwidth {
            // Up there nothing is known.
            Channel { bandwidth: bounded, inherent_loss: 0.0 }
        } else {
            Channel { bandwidth: chosen.bandwidth.max(lower), ..chosen }
        });
        let is_limiting = bounded < self.delay_based;
        if self.result.state == LossBasedState::Decreasing
            && self.hold.until.is_some_and(|until| until > self.now())
            && is_limiting
        {
            self.hold.rate = self.hold.rate.max(lower);
            self.result.rate = self.hold.rate.min(bounded);
            return;
        }
        let is_limiting = is_limiting && bounded < self.max;
        self.result.state = if is_limiting && self.keeps_increasing(bounded) {
            if self.padding.is_none_or(|padding| bounded > padding.rate) {
                self.padding = Some(Padding { since: self.now(), rate: bounded });
            }
            LossBasedState::Increasing
        } else if is_limiting {
            if self.result.state != LossBasedState::Decreasing {
                self.start_hold(bounded);
            }
            LossBasedState::Decreasing
        } else {
            self.hold = Hold::NONE;
            LossBasedState::DelayBased
        };
        self.result.rate = bounded;
        self.renew_increase_window();
    }

    fn start_hold(&mut self, rate: Bitrate) {
        let duration = self.hold.next_duration;
        self.hold = Hold {
            until: Some(self.now() + duration),
            next_duration: duration.scaled(self.config.hold_growth).min(MAX_HOLD),
            rate,
        };
    }

    fn renew_increase_window(&mut self) {
        let is_over = self.increase_window.is_none_or(|window| window.since + INCREASE_WINDOW < self.now());
        if self.is_loss_limited() && is_over {
            let best = self.best.map_or(Bitrate::ZERO, |best| best.bandwidth);
            let limit = best.scaled(self.config.max_increase).max(MIN_LIMIT);
            self.increase_window = Some(IncreaseWindow { since: self.now(), limit });
        }
    }

    fn keeps_increasing(&self, bounded: Bitrate) -> bool {
        let may_stay = self.result.state != LossBasedState::Increasing
            || self.padding.is_none_or(|padding| {
                padding.since + self.config.padding_duration >= self.now() || padding.rate < bounded
            });
        may_stay && self.is_increasing(self.result.rate, bounded)
    }

    fn is_increasing(&self, before: Bitrate, after: Bitrate) -> bool {
        let has_grown = before < after || before == after && self.result.state == LossBasedState::Increasing;
        has_grown && self.is_loss_limited()
    }

    fn is_loss_limited(&self) -> bool {
        self.result.state != LossBasedState::DelayBased
    }

    fn is_padding(&self) -> bool {
        self.padding.is_some_and(|padding| padding.since + self.config.padding_duration >= self.now())
    }

    /// With so much loss, the estimate is what a fair share would be.
    fn upper_bound(&self) -> Bitrate {
        let excess = self.excess_loss() - self.config.upper_bound_loss_offset;
        if excess > 0.0 { self.config.upper_bound_balance.scaled(1.0 / excess) } else { self.max }
    }

    /// What got through can get through.
    fn lower_bound(&self) -> Bitrate {
        self.throughput.map_or(Bitrate::ZERO, |rate| rate.scaled(self.config.throughput_bound)).max(self.min)
    }

    /// When the last packet of the last observation was sent: the time that this module goes by.
    fn now(&self) -> Timestamp {
        self.observations.last_sent()
    }
}

#[cfg(test)]
#[path = "loss_based/tests.rs"]
mod tests;
