//! Who does what when: joins, churn and speakers of a scenario, as pure functions.

use std::time::Duration;

use crate::load::scenario::Scenario;

/// How long a participant stays away that comes back.
pub(super) const AWAY: Duration = Duration::from_secs(1);

/// The plan of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    join_rate: f64,
    churn: f64,
    participants: usize,
    audio_senders: usize,
    total: usize,
    rotation: Duration,
}

impl Timeline {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            join_rate: scenario.join_rate,
            churn: scenario.churn,
            participants: scenario.participants,
            audio_senders: scenario.audio_senders.unwrap_or(scenario.participants).min(scenario.participants),
            total: scenario.total_participants(),
            rotation: scenario.speaker_rotation,
        }
    }

    /// When a participant joins, from the start of the run. Rooms fill one after the other.
    pub(super) fn join(&self, index: usize) -> Duration {
        if self.join_rate > 0.0 { Duration::from_secs_f64(index as f64 / self.join_rate) } else { Duration::ZERO }
    }

    /// When the last one does.
    pub(super) fn last_join(&self) -> Duration {
        self.join(self.total.saturating_sub(1))
    }

    /// When a participant leaves for the first time, from the start of the steady part, and how long until it does again.
    /// They go one after another, so that the rate holds at all times.
    pub(super) fn churn(&self, index: usize) -> Option<(Duration, Duration)> {
        if self.churn <= 0.0 {
            return None;
        }
        let step = 1.0 / self.churn;
        let round = (step * self.total as f64).max(2.0 * AWAY.as_secs_f64());
        Some((Duration::from_secs_f64(step * (index + 1) as f64), Duration::from_secs_f64(round)))
    }

    /// Whether the participant of that place in its room speaks, and when that may change next.
    pub(super) fn speaks(&self, place: usize, since_start: Duration) -> (bool, Option<Duration>) {
        if self.audio_senders == 0 {
            return (false, None);
        }
        if self.rotation.is_zero() {
            return (place == 0, None);
        }
        let turn = (since_start.as_nanos() / self.rotation.as_nanos()) as usize;
        (turn % self.audio_senders == place, Some(self.rotation.saturating_mul(turn as u32 + 1)))
    }

    /// The room of a participant and its place in it.
    pub(super) const fn place(&self, index: usize) -> (usize, usize) {
        (index / self.participants, index % self.participants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(change: impl FnOnce(&mut Scenario)) -> Timeline {
        let mut scenario = Scenario { rooms: 4, participants: 5, join_rate: 2.0, ..Scenario::default() };
        change(&mut scenario);
        Timeline::new(&scenario)
    }

    #[test]
    fn joins_keep_their_rate_or_come_at_once() {
        let ramp = timeline(|_| {});
        assert_eq!(ramp.join(0), Duration::ZERO);
        assert_eq!(ramp.last_join(), Duration::from_millis(9_500));
        assert_eq!((ramp.place(0), ramp.place(7)), ((0, 0), (1, 2)));
        let storm = timeline(|scenario| scenario.join_rate = 0.0);
        assert_eq!(storm.last_join(), Duration::ZERO);
    }

    #[test]
    fn one_of_each_room_speaks_at_a_time() {
        let rotating = timeline(|scenario| scenario.audio_senders = Some(3));
        for seconds in 0..60 {
            let now = Duration::from_secs(seconds);
            let speakers: Vec<_> = (0..5).filter(|place| rotating.speaks(*place, now).0).collect();
            assert_eq!(speakers, [seconds as usize / 5 % 3]);
            assert!(rotating.speaks(0, now).1.unwrap() > now);
        }
        let one = timeline(|scenario| scenario.speaker_rotation = Duration::ZERO);
        assert_eq!(one.speaks(0, Duration::from_secs(99)), (true, None));
        let silent = timeline(|scenario| scenario.audio_senders = Some(0));
        assert_eq!(silent.speaks(0, Duration::ZERO), (false, None));
    }

    #[test]
    fn churn_keeps_its_rate() {
        let churning = timeline(|scenario| scenario.churn = 0.5);
        let mut leaves: Vec<f64> = (0..20)
            .flat_map(|index| {
                let (first, round) = churning.churn(index).unwrap();
                (0..3_u32).map(move |turn| (first + round * turn).as_secs_f64())
            })
            .collect();
        leaves.sort_by(f64::total_cmp);
        assert!(leaves.windows(2).all(|pair| (pair[1] - pair[0] - 2.0).abs() < 1e-6));
        assert_eq!(timeline(|_| {}).churn(3), None);
    }
}
