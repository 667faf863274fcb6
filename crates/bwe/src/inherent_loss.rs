//! Loss that a line has at whatever rate, told from loss that sending less would end.
//!
//! A radio link loses a part of everything; a queue that is full loses what is too much. Only the second is congestion, and
//! nothing in a single report tells them apart. What does is a trial: when more is lost than is known to be inherent, the
//! rate is cut below what got through, which is the answer that congestion needs anyway, and then the loss is looked at
//! again. Loss that ended was congestion. Loss that stayed as it was has nothing to do with the rate, is known from then
//! on, and no reason to send less. Loss that fell but did not end was in part congestion: the trial goes on from there.
//!
//! libwebrtc judges by the likelihood of both together (`loss_based.rs`), which takes up to a tenth of loss at a megabit
//! for inherent without a trial, and a fifth never.

use arrayvec::ArrayVec;
use model::Bitrate;

use crate::loss_based::Observation;
use crate::time::{TimeDelta, Timestamp};

/// Loss beyond what is inherent that nobody minds (draft-ietf-rmcat-gcc-02 §6: below 2 % the rate grows).
const SLACK: f64 = 0.02;

/// More is no line to confer over, and more likely a mistake of ours.
const MAX_LOSS: f64 = 0.35;

/// Observations of a quarter of a second that are looked at, nearly four seconds.
const WINDOW: usize = 15;

/// Fewer packets say nothing.
const MIN_PACKETS: f64 = 40.0;

/// A trial is over with so many packets, or after its time with fewer.
const TRIAL_PACKETS: f64 = 100.0;
const MIN_TRIAL_PACKETS: f64 = 30.0;
const TRIAL_TIME: TimeDelta = TimeDelta::from_secs(2);

/// A trial whose rate did not fall, or whose queue did not empty, for so long is none.
const TRIAL_TIMEOUT: TimeDelta = TimeDelta::from_secs(5);

/// After this the packets that are reported left after the cut, if the round trip is usual.
const CUT_TIME: TimeDelta = TimeDelta::from_ms(500);

/// Packets of one observation that say that it got worse in spite of the cut.
const MIN_WORSE_PACKETS: f64 = 10.0;

/// Below this part of what the line carries, it has room.
const ROOM: f64 = 0.97;

/// What is lost while there is room becomes known by so much each observation, 0.6 % a second: loss that is too small to
/// try for.
const CREEP: f64 = 0.0015;

/// What is left of what is known after an observation, half after a minute and a half: what was a mistake is forgotten,
/// what was none creeps back.
const DECAY: f64 = 0.998;

/// The least loss that chance is reckoned for: none among few says little.
const LEAST_FOR_CHANCE: f64 = 0.01;

/// Observations added up.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    packets: f64,
    sent_kilobytes: f64,
    lost_kilobytes: f64,
    secs: f64,
}

impl Tally {
    fn of(observation: Observation) -> Self {
        let kilobytes_per_sec = observation.sending_rate.bps() as f64 / 8000.0;
        Self {
            packets: f64::from(observation.packets),
            sent_kilobytes: observation.sent_kilobytes,
            lost_kilobytes: observation.lost_kilobytes,
            secs: observation.sent_kilobytes / kilobytes_per_sec.max(f64::MIN_POSITIVE),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            sent_kilobytes: self.sent_kilobytes + other.sent_kilobytes,
            lost_kilobytes: self.lost_kilobytes + other.lost_kilobytes,
            secs: self.secs + other.secs,
        }
    }

    /// Part of the bytes, 0 to 1.
    fn loss(self) -> f64 {
        (self.lost_kilobytes / self.sent_kilobytes.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    /// How far off the loss is by chance: two standard deviations of as many independent packets.
    fn chance(self) -> f64 {
        let loss = self.loss().max(LEAST_FOR_CHANCE);
        2.0 * (loss * (1.0 - loss) / self.packets.max(1.0)).sqrt()
    }

    fn got_through(self) -> Bitrate {
        let kbps = (self.sent_kilobytes - self.lost_kilobytes) * 8.0 / self.secs.max(f64::MIN_POSITIVE);
        Bitrate::from_kbps(1).scaled(kbps)
    }
}

/// A cut of the rate, under which loss is looked at.
#[derive(Clone, Copy, Debug)]
struct Trial {
    since: Timestamp,
    /// What the line carried then.
    carried: Bitrate,
    /// Loss before the cut, and its chance.
    before: f64,
    chance: f64,
    /// What was sent below what the line carried.
    tally: Tally,
}

/// Learns inherent loss.
#[derive(Clone, Debug, Default)]
pub(crate) struct InherentLoss {
    loss: f64,
    /// The latest last.
    window: ArrayVec<Tally, WINDOW>,
    trial: Option<Trial>,
}

impl InherentLoss {
    /// Part of what is sent that is lost at whatever rate, as far as that is known.
    pub(crate) const fn loss(&self) -> f64 {
        self.loss
    }

    /// What would have to be sent, were all that is lost inherently to get through as well.
    pub(crate) fn as_sent(&self, received: Bitrate) -> Bitrate {
        if self.loss == 0.0 { received } else { received.scaled(1.0 / (1.0 - self.loss)) }
    }

    /// Whether what was lost lately is what the line is known to lose.
    pub(crate) fn is_all(&self) -> bool {
        let recent = self.recent();
        self.trial.is_none() && recent.loss() <= self.loss + SLACK + recent.chance() / 2.0
    }

    /// Takes an observation, whether a queue stood then, and what the line is thought to carry. Answers what the line did
    /// carry if more was lost than is inherent: then the rate is to fall below.
    pub(crate) fn update(
        &mut self,
        observation: Observation,
        is_queueing: bool,
        capacity: Option<Bitrate>,
        now: Timestamp,
    ) -> Option<Bitrate> {
        let latest = Tally::of(observation);
        if self.window.is_full() {
            self.window.remove(0);
        }
        self.window.push(latest);
        let recent = self.recent();
        self.loss *= DECAY;
        if recent.packets >= MIN_PACKETS {
            self.loss = self.loss.min(recent.loss() + recent.chance());
        }
        if let Some(trial) = self.trial {
            let is_below = !is_queueing && observation.sending_rate <= trial.carried.scaled(ROOM);
            return self.go_on(trial, latest, is_below, now);
        }
        if let Some(excess) = self.excess() {
            return Some(self.start_trial(excess, now));
        }
        let has_room = capacity.is_some_and(|capacity| observation.sending_rate < capacity.scaled(ROOM));
        if has_room && !is_queueing && recent.packets >= MIN_PACKETS {
            self.loss += CREEP.min((recent.loss().min(MAX_LOSS) - self.loss).max(0.0));
        }
        None
    }

    fn go_on(&mut self, mut trial: Trial, latest: Tally, is_below: bool, now: Timestamp) -> Option<Bitrate> {
        let is_worse = latest.packets >= MIN_WORSE_PACKETS && latest.loss() - trial.before > SLACK + latest.chance();
        if is_worse && now - trial.since > CUT_TIME {
            // The line became narrower still.
            return Some(self.start_trial(latest, now));
        }
        if is_below {
            trial.tally = trial.tally.plus(latest);
        }
        let (packets, time) = (trial.tally.packets, now - trial.since);
        if packets >= TRIAL_PACKETS || time >= TRIAL_TIME && packets >= MIN_TRIAL_PACKETS {
            return self.conclude(trial, now);
        }
        self.trial = (time <= TRIAL_TIMEOUT).then_some(trial);
        if self.trial.is_none() {
            self.window.clear();
        }
        None
    }

    fn conclude(&mut self, trial: Trial, now: Timestamp) -> Option<Bitrate> {
        let (after, chance) = (trial.tally.loss(), trial.tally.chance());
        let has_fallen = after < trial.before - trial.chance - chance;
        if has_fallen && after - self.loss > SLACK + chance {
            return Some(self.start_trial(trial.tally, now));
        }
        self.trial = None;
        self.window.clear();
        if after <= trial.before + chance {
            let after = after.min(MAX_LOSS);
            let is_by_chance = (after - self.loss).abs() < chance;
            self.loss = if is_by_chance { self.loss.midpoint(after) } else { after };
        }
        None
    }

    /// Answers what the line carried.
    fn start_trial(&mut self, lossy: Tally, now: Timestamp) -> Bitrate {
        let carried = self.as_sent(lossy.got_through());
        let (before, chance) = (lossy.loss(), lossy.chance());
        self.trial = Some(Trial { since: now, carried, before, chance, tally: Tally::default() });
        carried
    }

    /// The shortest time until now that lost too much, whatever chance it was.
    fn excess(&self) -> Option<Tally> {
        let mut tally = Tally::default();
        self.window.iter().rev().find_map(|observation| {
            tally = tally.plus(*observation);
            let is_excess = tally.packets >= MIN_PACKETS && tally.loss() - self.loss > SLACK + tally.chance();
            is_excess.then_some(tally)
        })
    }

    fn recent(&self) -> Tally {
        self.window.iter().fold(Tally::default(), |sum, observation| sum.plus(*observation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET_KILOBYTES: f64 = 1.2;

    /// A line that loses a part of all, and all beyond its rate.
    struct Line {
        loss: f64,
        kbps: f64,
    }

    struct Fixture {
        inherent: InherentLoss,
        line: Line,
        kbps: f64,
        quarters: i64,
        cuts: Vec<i64>,
    }

    impl Fixture {
        fn new(loss: f64, line_kbps: f64, kbps: f64) -> Self {
            let line = Line { loss, kbps: line_kbps };
            Self { inherent: InherentLoss::default(), line, kbps, quarters: 0, cuts: Vec::new() }
        }

        /// Observes for some quarters of a second, sending 90 % of what the line carried after each cut.
        fn run(&mut self, quarters: i64) {
            for _ in 0..quarters {
                self.quarters += 1;
                let kept = (1.0 - self.line.loss) * (self.line.kbps / self.kbps).min(1.0);
                let sent_kilobytes = self.kbps / 32.0;
                let observation = Observation {
                    sending_rate: Bitrate::from_kbps(1).scaled(self.kbps),
                    packets: (sent_kilobytes / PACKET_KILOBYTES) as u32,
                    sent_kilobytes,
                    lost_kilobytes: sent_kilobytes * (1.0 - kept),
                };
                let now = Timestamp::ZERO + TimeDelta::from_ms(self.quarters * 250);
                if let Some(carried) = self.inherent.update(observation, false, None, now) {
                    self.kbps = carried.bps() as f64 * 0.9 / 1000.0;
                    self.cuts.push(self.quarters);
                }
            }
        }
    }

    #[test]
    fn loss_that_stays_after_a_cut_is_inherent() {
        let mut test = Fixture::new(0.2, 5000.0, 2000.0);
        test.run(20);
        assert_eq!(test.cuts, [1]);
        assert!((test.inherent.loss() - 0.2).abs() < 0.01, "{}", test.inherent.loss());
        assert!(test.inherent.is_all());
        let sent = test.inherent.as_sent(Bitrate::from_kbps(800));
        assert!((990_000..=1_000_000).contains(&sent.bps()), "{sent:?}");
    }

    #[test]
    fn loss_that_a_cut_ends_is_congestion() {
        let mut test = Fixture::new(0.0, 2000.0, 2500.0);
        test.run(20);
        assert_eq!((test.cuts.len(), test.inherent.loss()), (1, 0.0));
        assert!((1750.0..1850.0).contains(&test.kbps), "{}", test.kbps);
    }

    #[test]
    fn of_both_at_once_only_the_inherent_part_is_learnt() {
        let mut test = Fixture::new(0.1, 2000.0, 3000.0);
        test.run(30);
        assert!((test.inherent.loss() - 0.1).abs() < 0.01, "{}", test.inherent.loss());
        // Nine tenths of nine tenths of what got through.
        assert!((1300.0..1350.0).contains(&test.kbps), "{}", test.kbps);
    }

    #[test]
    fn a_line_that_becomes_narrower_during_a_trial_is_followed() {
        let mut test = Fixture::new(0.0, 2000.0, 2500.0);
        test.run(2);
        test.line.kbps = 300.0;
        test.run(4);
        assert!(test.kbps < 300.0, "{}", test.kbps);
        test.run(30);
        assert_eq!(test.inherent.loss(), 0.0);
    }

    #[test]
    fn loss_below_the_slack_is_not_tried_for() {
        let mut test = Fixture::new(0.02, 5000.0, 2000.0);
        test.run(100);
        assert!(test.cuts.is_empty());
        assert!(test.inherent.is_all());
    }

    #[test]
    fn what_ended_is_forgotten() {
        let mut test = Fixture::new(0.2, 5000.0, 2000.0);
        test.run(20);
        test.line.loss = 0.0;
        test.run(15);
        assert!(test.inherent.loss() < 0.02, "{}", test.inherent.loss());
    }

    #[test]
    fn while_a_queue_stands_nothing_is_learnt() {
        let mut inherent = InherentLoss::default();
        let observation = Observation {
            sending_rate: Bitrate::from_kbps(1000),
            packets: 26,
            sent_kilobytes: 31.25,
            lost_kilobytes: 6.25,
        };
        for quarter in 0..100 {
            let now = Timestamp::ZERO + TimeDelta::from_ms(quarter * 250);
            inherent.update(observation, true, Some(Bitrate::from_kbps(2000)), now);
            assert_eq!(inherent.loss(), 0.0);
        }
    }
}
