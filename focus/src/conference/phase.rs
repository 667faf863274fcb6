//! The life cycle of a conference.
//!
//! requested → joining → idle → active → single → drained → stopped, see the table in the tests.

use std::time::Instant;

use crate::settings::Timers;

/// Where a conference is in its life. Data lives in the phase that needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Entering the room; has to be done by then.
    Joining { step: JoinStep, until: Instant },
    /// In the room, with too few participants for media; stops when nobody came by then.
    Idle { empty_until: Option<Instant> },
    /// Participants have media.
    Active,
    /// Fewer than needed are left; media ends then.
    Single { until: Instant },
    /// Media ended, the room is kept.
    Drained,
    /// Over; about to be forgotten.
    Stopped,
}

/// What the focus waits for while it enters a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinStep {
    /// Its own presence.
    Presence,
    /// The form of the room's configuration.
    ConfigForm,
    /// The confirmation of the room's configuration.
    ConfigSubmit,
    /// What all in the room agree on, for so long as it is worth waiting for.
    Metadata,
}

/// What has to be done after a transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PhaseEffect {
    None,
    /// The room is joined, without its metadata.
    Open,
    /// Invite whoever has no session.
    Invite,
    /// End all sessions, keep the room.
    Drain,
    /// End the conference.
    Stop(&'static str),
}

/// How the last participant left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    ForGood,
    /// To another room of the same meeting.
    SwitchingRoom,
    /// Somebody who asked for the conference just now was told that it is there, and is on his way.
    OthersExpected,
    /// However it was: others are in breakout rooms of this room, and may come back.
    BreakoutsRemain,
}

impl Phase {
    pub(super) const fn joining(until: Instant) -> Self {
        Self::Joining { step: JoinStep::Presence, until }
    }

    pub(super) const fn is_joining(&self) -> bool {
        matches!(self, Self::Joining { .. })
    }

    pub(super) const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    /// The room is joined; its members are counted next.
    pub(super) fn on_joined(&mut self, now: Instant, timers: &Timers) {
        *self = Self::Idle { empty_until: Some(now + timers.initial) };
    }

    /// Another client asks for the conference: it gets the full time to enter the room.
    pub(super) fn on_request(&mut self, now: Instant, timers: &Timers) {
        if let Self::Idle { empty_until: Some(until) } = self {
            *until = now + timers.initial;
        }
    }

    /// The number of participants changed.
    pub(super) fn on_members(
        &mut self,
        count: usize,
        minimum: usize,
        leaving: Leaving,
        now: Instant,
        timers: &Timers,
    ) -> PhaseEffect {
        match self {
            Self::Joining { .. } | Self::Stopped => PhaseEffect::None,
            Self::Idle { empty_until: Some(_) } if count == 0 => PhaseEffect::None,
            Self::Idle { .. } | Self::Active | Self::Single { .. } | Self::Drained if count == 0 => {
                let empty_until = match leaving {
                    Leaving::ForGood => return PhaseEffect::Stop("the last participant left"),
                    Leaving::SwitchingRoom | Leaving::OthersExpected => Some(now + timers.initial),
                    Leaving::BreakoutsRemain => None,
                };
                *self = Self::Idle { empty_until };
                PhaseEffect::Drain
            }
            Self::Idle { .. } | Self::Active | Self::Single { .. } | Self::Drained if count >= minimum => {
                *self = Self::Active;
                PhaseEffect::Invite
            }
            Self::Idle { empty_until } => {
                *empty_until = None;
                PhaseEffect::None
            }
            Self::Active => {
                *self = Self::Single { until: now + timers.single_participant };
                PhaseEffect::None
            }
            Self::Single { .. } | Self::Drained => PhaseEffect::None,
        }
    }

    /// The empty room is kept for as long as it takes.
    pub(super) fn wait_without_end(&mut self) {
        if let Self::Idle { empty_until } = self {
            *empty_until = None;
        }
    }

    /// Whether nobody is expected any more at a certain time.
    pub(super) const fn waits_without_end(&self) -> bool {
        matches!(self, Self::Idle { empty_until: None })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Joining { until, .. } | Self::Single { until } => Some(*until),
            Self::Idle { empty_until } => *empty_until,
            Self::Active | Self::Drained | Self::Stopped => None,
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> PhaseEffect {
        if self.deadline().is_none_or(|at| at > now) {
            return PhaseEffect::None;
        }
        match self {
            Self::Joining { step: JoinStep::Metadata, .. } => PhaseEffect::Open,
            Self::Joining { .. } => PhaseEffect::Stop("the room did not let the focus in"),
            Self::Idle { .. } => PhaseEffect::Stop("nobody came"),
            Self::Single { .. } => {
                *self = Self::Drained;
                PhaseEffect::Drain
            }
            Self::Active | Self::Drained | Self::Stopped => PhaseEffect::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Every transition by the number of participants, with two needed: phase before, count, phase after, effect.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn follows_the_table() {
        use Phase::{Active, Drained, Idle, Single, Stopped};
        let timers = Timers::default();
        let now = Instant::now();
        let (initial, single) = (now + timers.initial, now + timers.single_participant);
        let fresh = Idle { empty_until: Some(now) };
        let idle = Idle { empty_until: None };
        let alone = Single { until: single };
        let joining = Phase::joining(now);
        let stop = || PhaseEffect::Stop("the last participant left");
        let table = [
            (joining.clone(), 3, joining.clone(), PhaseEffect::None),
            (fresh.clone(), 0, fresh.clone(), PhaseEffect::None),
            (fresh.clone(), 1, idle.clone(), PhaseEffect::None),
            (fresh, 2, Active, PhaseEffect::Invite),
            (idle.clone(), 0, idle.clone(), stop()),
            (idle.clone(), 1, idle.clone(), PhaseEffect::None),
            (idle, 2, Active, PhaseEffect::Invite),
            (Active, 0, Active, stop()),
            (Active, 1, alone.clone(), PhaseEffect::None),
            (Active, 3, Active, PhaseEffect::Invite),
            (alone.clone(), 0, alone.clone(), stop()),
            (alone.clone(), 1, alone.clone(), PhaseEffect::None),
            (alone, 2, Active, PhaseEffect::Invite),
            (Drained, 0, Drained, stop()),
            (Drained, 1, Drained, PhaseEffect::None),
            (Drained, 2, Active, PhaseEffect::Invite),
            (Stopped, 2, Stopped, PhaseEffect::None),
        ];
        for (before, count, after, effect) in table {
            let mut phase = before.clone();
            let did = phase.on_members(count, 2, Leaving::ForGood, now, &timers);
            assert_eq!((&phase, did), (&after, effect), "{before:?} with {count}");
        }
        for leaving in [Leaving::SwitchingRoom, Leaving::OthersExpected] {
            let mut left = Active;
            let did = left.on_members(0, 2, leaving, now, &timers);
            assert_eq!((left, did), (Idle { empty_until: Some(initial) }, PhaseEffect::Drain));
        }
        let mut left = Active;
        let did = left.on_members(0, 2, Leaving::BreakoutsRemain, now, &timers);
        assert_eq!((&left, did), (&Idle { empty_until: None }, PhaseEffect::Drain));
        assert!(left.waits_without_end());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn time_ends_a_phase() {
        let timers = Timers::default();
        let now = Instant::now();
        let late = now + Duration::from_secs(60);
        for (mut phase, after, effect) in [
            (Phase::joining(now), Phase::joining(now), PhaseEffect::Stop("the room did not let the focus in")),
            (
                Phase::Joining { step: JoinStep::Metadata, until: now },
                Phase::Joining { step: JoinStep::Metadata, until: now },
                PhaseEffect::Open,
            ),
            (
                Phase::Idle { empty_until: Some(now) },
                Phase::Idle { empty_until: Some(now) },
                PhaseEffect::Stop("nobody came"),
            ),
            (Phase::Single { until: now }, Phase::Drained, PhaseEffect::Drain),
            (Phase::Single { until: late }, Phase::Single { until: late }, PhaseEffect::None),
            (Phase::Active, Phase::Active, PhaseEffect::None),
        ] {
            assert_eq!(phase.on_timeout(now), effect);
            assert_eq!(phase, after);
        }
        let mut idle = Phase::Idle { empty_until: Some(now) };
        idle.on_request(late, &timers);
        assert_eq!(idle.deadline(), Some(late + timers.initial));
    }
}
