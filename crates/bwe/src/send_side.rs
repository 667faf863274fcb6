//! The target rate: the least of what delays, loss, the receiver and the round trip allow (libwebrtc's
//! `SendSideBandwidthEstimation`).

use model::{Bitrate, DataSize};

use crate::inherent_loss::InherentLoss;
use crate::loss_based::{LossBasedBwe, LossBasedState, Observation};
use crate::time::{TimeDelta, Timestamp};

/// Loss in reports below which the rate grows, and above which it falls (draft-ietf-rmcat-gcc-02 §6).
const LOW_LOSS: f64 = 0.02;
const HIGH_LOSS: f64 = 0.1;

/// Growth a second with little loss, and what is added so that the lowest rates grow, too.
const GROWTH: f64 = 1.08;
const GROWTH_EXTRA: Bitrate = Bitrate::from_kbps(1);
const GROWTH_INTERVAL: TimeDelta = TimeDelta::from_secs(1);

/// Between two reductions, besides a round trip.
const REDUCTION_INTERVAL: TimeDelta = TimeDelta::from_ms(300);

/// Packets that a loss is told of at least.
const MIN_REPORTED_PACKETS: u64 = 20;

/// How long the estimates of delay and receiver are trusted upwards without question.
const START_PHASE: TimeDelta = TimeDelta::from_secs(2);

/// Without a report for so long, loss is not known: reports come each second or so, some get lost.
const REPORT_TIMEOUT: TimeDelta = TimeDelta::from_secs(6);

/// Feedback that is so late, or that stays away so long while packets leave, cuts the rate by this part each interval in which
/// any left: a pause says nothing of the line. libwebrtc, whose encoders hardly pause, goes on to cut in one.
const RTT_LIMIT: TimeDelta = TimeDelta::from_secs(3);
const RTT_BACK_OFF: f64 = 0.8;
const RTT_BACK_OFF_INTERVAL: TimeDelta = TimeDelta::from_secs(1);

/// Loss by receiver reports.
#[derive(Clone, Copy, Debug, Default)]
struct ReportedLoss {
    /// Of reports that were too small to be told.
    lost: u64,
    expected: u64,
    /// 0 to 1.
    loss: f64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Whether the rate was reduced for `loss` already.
    is_heeded: bool,
}

/// What the rate grows from within [`GROWTH_INTERVAL`].
#[derive(Clone, Copy, Debug)]
struct GrowthBase {
    since: Timestamp,
    rate: Bitrate,
}

/// What else is known about the line when a feedback was gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineState {
    /// Less is sent than could be.
    pub(crate) is_in_alr: bool,
    /// Packets wait in front of it.
    pub(crate) is_queueing: bool,
    /// What it was found to carry.
    pub(crate) capacity: Option<Bitrate>,
}

#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct SendSideBwe {
    last_sent: Option<Timestamp>,
    /// The first packet since the last feedback or the last pause (with the next, libwebrtc's `RttBasedBackoff`).
    unanswered_since: Option<Timestamp>,
    /// What the last feedback says of the round trip.
    propagation_rtt: TimeDelta,
    min: Bitrate,
    max: Bitrate,
    target: Bitrate,
    delay_based: Bitrate,
    receiver_limit: Bitrate,
    loss_based: LossBasedBwe,
    inherent_loss: InherentLoss,
    reported: ReportedLoss,
    growth_base: Option<GrowthBase>,
    last_reduction: Option<Timestamp>,
    rtt: TimeDelta,
}

impl SendSideBwe {
    pub(crate) fn new(start: Bitrate, min: Bitrate, max: Bitrate) -> Self {
        Self {
            min,
            max,
            target: start.min(max),
            delay_based: Bitrate::MAX,
            receiver_limit: Bitrate::MAX,
            loss_based: LossBasedBwe::new(min, max),
            inherent_loss: InherentLoss::default(),
            reported: ReportedLoss::default(),
            growth_base: None,
            last_reduction: None,
            rtt: TimeDelta::ZERO,
            last_sent: None,
            unanswered_since: None,
            propagation_rtt: TimeDelta::ZERO,
        }
    }

    /// The target rate within its bounds.
    pub(crate) fn target(&self) -> Bitrate {
        self.target.min(self.receiver_limit).max(self.min)
    }

    /// Loss lately, 0 to 1: by transport-wide feedback, or by reports where there is none.
    pub(crate) fn loss(&self) -> f64 {
        if self.loss_based.estimate().is_some() { self.loss_based.loss() } else { self.reported.loss }
    }

    /// What the line is known to lose at whatever rate.
    pub(crate) const fn inherent_loss(&self) -> &InherentLoss {
        &self.inherent_loss
    }

    /// Loss lately beyond that, by transport-wide feedback.
    pub(crate) fn excess_loss(&self) -> f64 {
        self.loss_based.excess_loss()
    }

    pub(crate) fn loss_state(&self) -> LossBasedState {
        self.loss_based.estimate().map_or(LossBasedState::DelayBased, |estimate| estimate.state)
    }

    /// Whether feedback is so late that the rate is cut for it.
    pub(crate) fn is_rtt_above_limit(&self) -> bool {
        let unanswered = self.unanswered_since.zip(self.last_sent).map(|(since, last)| last - since);
        unanswered.unwrap_or(TimeDelta::ZERO) + self.propagation_rtt > RTT_LIMIT
    }

    pub(crate) fn handle_sent(&mut self, now: Timestamp) {
        if self.last_sent.replace(now).is_none_or(|last| now - last > RTT_LIMIT) {
            self.unanswered_since = None;
        }
        self.unanswered_since.get_or_insert(now);
    }

    pub(crate) const fn set_propagation_rtt(&mut self, rtt: TimeDelta) {
        (self.unanswered_since, self.propagation_rtt) = (None, rtt);
    }

    pub(crate) const fn set_rtt(&mut self, rtt: TimeDelta) {
        self.rtt = rtt;
    }

    /// Takes what the receiver asks not to be exceeded (REMB).
    pub(crate) fn set_receiver_limit(&mut self, limit: Bitrate, now: Timestamp) {
        self.receiver_limit = limit;
        if self.reported.last.is_none_or(|last| now - last > REPORT_TIMEOUT) {
            // Nobody tells of loss: the receiver's word is all there is.
            self.set_target(self.target.max(limit));
        }
    }

    /// Takes a rate that a probe found, which ends what limited before.
    pub(crate) fn set_probed_rate(&mut self, rate: Bitrate) {
        self.delay_based = Bitrate::MAX;
        self.set_target(rate);
        self.growth_base = None;
    }

    pub(crate) fn set_delay_based(&mut self, rate: Bitrate) {
        self.delay_based = rate;
        self.set_target(self.target);
    }

    pub(crate) const fn set_throughput(&mut self, throughput: Bitrate) {
        self.loss_based.set_throughput(throughput);
    }

    pub(crate) fn on_received(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        self.loss_based.on_received(number, sent, size);
    }

    pub(crate) fn on_lost(&mut self, number: u64, sent: Timestamp, size: DataSize) {
        self.loss_based.on_lost(number, sent, size);
    }

    /// To be called once a feedback, after all it says was told. Answers what the line carried if it lost more than it does at
    /// whatever rate: then the rate is to fall below.
    pub(crate) fn handle_feedback(&mut self, line: LineState, now: Timestamp) -> Option<Bitrate> {
        let observation = self.loss_based.update(self.delay_based, line.is_in_alr);
        let carried = observation.and_then(|observation| self.on_observation(observation, line, now));
        self.update(now);
        carried
    }

    /// Takes the packets of a receiver report, since the one before.
    pub(crate) fn handle_reported_loss(&mut self, lost: u64, expected: u64, now: Timestamp) {
        let reported = &mut self.reported;
        reported.first.get_or_insert(now);
        reported.lost = reported.lost.saturating_add(lost);
        reported.expected = reported.expected.saturating_add(expected);
        if reported.expected < MIN_REPORTED_PACKETS {
            return;
        }
        reported.loss = (reported.lost as f64 / reported.expected as f64).min(1.0);
        reported.is_heeded = false;
        reported.lost = 0;
        reported.expected = 0;
        reported.last = Some(now);
        self.update(now);
    }

    /// When [`Self::handle_timeout`] has something to do, if no feedback comes before.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        if self.target <= self.min || !self.is_losing_touch() {
            return None;
        }
        self.last_reduction.map(|last| last + RTT_BACK_OFF_INTERVAL).max(self.last_sent)
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.is_losing_touch() {
            self.back_off_for_rtt(now);
        }
    }

    /// Whether feedback is late for what left since the rate was cut last.
    fn is_losing_touch(&self) -> bool {
        self.last_sent > self.last_reduction && self.is_rtt_above_limit()
    }

    fn on_observation(&mut self, observation: Observation, line: LineState, now: Timestamp) -> Option<Bitrate> {
        let carried = self.inherent_loss.update(observation, line.is_queueing, line.capacity, now);
        self.loss_based.set_known_loss(self.inherent_loss.loss());
        if carried.is_some() {
            self.loss_based.forget_observations();
        }
        if self.inherent_loss.is_all() {
            self.loss_based.release();
        }
        carried
    }

    fn update(&mut self, now: Timestamp) {
        if self.is_rtt_above_limit() {
            self.back_off_for_rtt(now);
        } else if let Some(estimate) = self.loss_based.estimate() {
            self.set_target(estimate.rate);
        } else if self.reported.loss == 0.0 && self.is_in_start_phase(now) {
            let trusted = [self.delay_based, self.receiver_limit].into_iter().filter(|rate| *rate != Bitrate::MAX);
            self.set_target(trusted.fold(self.target, Bitrate::max));
        } else if self.reported.last.is_some_and(|last| now - last < REPORT_TIMEOUT) {
            self.heed_reported_loss(now);
        }
    }

    fn back_off_for_rtt(&mut self, now: Timestamp) {
        if self.last_reduction.is_none_or(|last| now - last >= RTT_BACK_OFF_INTERVAL) {
            self.last_reduction = Some(now);
            self.set_target(self.target.scaled(RTT_BACK_OFF).max(self.min));
        }
    }

    fn heed_reported_loss(&mut self, now: Timestamp) {
        if self.reported.loss <= LOW_LOSS {
            let base = match self.growth_base {
                Some(base) if now - base.since < GROWTH_INTERVAL => base,
                Some(_) | None => GrowthBase { since: now, rate: self.target },
            };
            self.growth_base = Some(base);
            let grown = base.rate.scaled(GROWTH).saturating_add(GROWTH_EXTRA);
            self.set_target(self.target.max(grown));
        } else if self.reported.loss > HIGH_LOSS {
            let is_due = self.last_reduction.is_none_or(|last| now - last >= REDUCTION_INTERVAL + self.rtt);
            if is_due && !self.reported.is_heeded {
                self.reported.is_heeded = true;
                self.last_reduction = Some(now);
                self.growth_base = None;
                self.set_target(self.target.min(self.receiver_limit).scaled(1.0 - self.reported.loss / 2.0));
            }
        }
    }

    fn is_in_start_phase(&self, now: Timestamp) -> bool {
        self.reported.first.is_none_or(|first| now - first <= START_PHASE)
    }

    fn set_target(&mut self, rate: Bitrate) {
        self.target = rate.min(self.delay_based).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Bitrate = Bitrate::from_kbps(30);
    const MAX: Bitrate = Bitrate::from_kbps(20_000);
    const START: Bitrate = Bitrate::from_kbps(1000);

    fn at(ms: i64) -> Timestamp {
        Timestamp::ZERO + TimeDelta::from_ms(ms)
    }

    fn bwe() -> SendSideBwe {
        SendSideBwe::new(START, MIN, MAX)
    }

    #[test]
    fn the_start_phase_trusts_delays_and_receiver() {
        let mut bwe = bwe();
        bwe.set_delay_based(Bitrate::from_kbps(3000));
        bwe.handle_reported_loss(0, 100, at(0));
        assert_eq!(bwe.target(), Bitrate::from_kbps(3000));
        bwe.set_receiver_limit(Bitrate::from_kbps(500), at(10));
        assert_eq!(bwe.target(), Bitrate::from_kbps(500));
    }

    #[test]
    fn reported_loss_lowers_and_its_absence_raises_the_target() {
        let mut bwe = bwe();
        bwe.handle_reported_loss(0, 100, at(0));
        bwe.handle_reported_loss(20, 100, at(3000));
        assert_eq!(bwe.target(), Bitrate::from_kbps(900));
        // Between the thresholds nothing happens.
        bwe.handle_reported_loss(5, 100, at(4000));
        assert_eq!(bwe.target(), Bitrate::from_kbps(900));
        bwe.handle_reported_loss(0, 100, at(5000));
        assert_eq!(bwe.target(), Bitrate::from_kbps(973));
        // Not twice within a second.
        bwe.handle_reported_loss(0, 100, at(5500));
        assert_eq!(bwe.target(), Bitrate::from_kbps(973));
        bwe.handle_reported_loss(0, 100, at(6000));
        assert!(bwe.target() > Bitrate::from_kbps(1050));
    }

    #[test]
    fn small_reports_are_added_up() {
        let mut bwe = bwe();
        bwe.handle_reported_loss(0, 100, at(0));
        for i in 0..3 {
            bwe.handle_reported_loss(2, 6, at(3000 + i));
            assert_eq!(bwe.loss(), 0.0);
        }
        bwe.handle_reported_loss(2, 6, at(3010));
        assert!((bwe.loss() - 8.0 / 24.0).abs() < 1e-9);
    }

    /// Upstream: 80 % each second after three without feedback.
    #[test]
    fn feedback_that_stays_away_cuts_the_target() {
        let mut bwe = bwe();
        for ms in 0..=3000 {
            bwe.handle_sent(at(ms));
            assert!(!bwe.is_rtt_above_limit());
        }
        bwe.handle_sent(at(3001));
        let due = bwe.next_timeout().unwrap();
        assert!(due <= at(3001));
        bwe.handle_timeout(at(3001));
        assert_eq!(bwe.target(), Bitrate::from_kbps(800));
        bwe.handle_sent(at(3500));
        bwe.handle_timeout(at(3500));
        assert_eq!(bwe.target(), Bitrate::from_kbps(800));
        assert_eq!(bwe.next_timeout(), Some(at(4001)));
        bwe.handle_timeout(at(4001));
        assert_eq!(bwe.target(), Bitrate::from_kbps(640));
        bwe.handle_sent(at(4050));
        bwe.set_propagation_rtt(TimeDelta::from_ms(50));
        assert!(!bwe.is_rtt_above_limit());
        assert_eq!(bwe.next_timeout(), None);
    }

    #[test]
    fn a_pause_of_the_sender_is_not_late_feedback() {
        let mut bwe = bwe();
        bwe.handle_sent(at(0));
        bwe.set_propagation_rtt(TimeDelta::from_ms(50));
        bwe.handle_timeout(at(60_000));
        assert_eq!(bwe.target(), START);
        assert_eq!(bwe.next_timeout(), None);
        bwe.handle_sent(at(60_000));
        assert_eq!(bwe.next_timeout(), None, "nobody can have answered yet");
    }

    #[test]
    fn a_pause_after_lost_packets_cuts_no_further() {
        let mut bwe = bwe();
        (0..=40).for_each(|at_100_ms| bwe.handle_sent(at(at_100_ms * 100)));
        for seconds in 4..60 {
            bwe.handle_timeout(at(seconds * 1000));
        }
        assert_eq!(bwe.target(), Bitrate::from_kbps(800));
        assert_eq!(bwe.next_timeout(), None);
        bwe.handle_sent(at(60_000));
        assert_eq!(bwe.next_timeout(), None, "nobody can have answered yet");
        (601..=640).for_each(|at_100_ms| bwe.handle_sent(at(at_100_ms * 100)));
        bwe.handle_timeout(at(64_000));
        assert_eq!(bwe.target(), Bitrate::from_kbps(640));
    }
}
