//! Freezes: stretches without a decodable frame.

use std::time::{Duration, Instant};

use super::Freeze;

#[derive(Debug)]
pub(super) struct FreezeDetector {
    freeze_after: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is expected, or nothing came yet.
    Idle,
    Flowing {
        last_frame: Instant,
    },
    Frozen {
        since: Instant,
    },
    /// No frame is expected until [`FreezeDetector::set_expected`] says so.
    Paused,
}

impl FreezeDetector {
    pub(super) const fn new(freeze_after: Duration) -> Self {
        Self { freeze_after, state: State::Idle }
    }

    /// A decodable frame came. Answers a freeze that is over.
    pub(super) fn handle_frame(&mut self, now: Instant) -> Option<Freeze> {
        let (since, next) = match self.state {
            State::Idle => (None, State::Flowing { last_frame: now }),
            // A straggler of a stream that was paused.
            State::Paused => (None, State::Paused),
            State::Flowing { last_frame } => (Some(last_frame), State::Flowing { last_frame: now.max(last_frame) }),
            State::Frozen { since } => (Some(since), State::Flowing { last_frame: now }),
        };
        self.state = next;
        since.and_then(|since| self.freeze(since, now))
    }

    /// When a freeze begins, unless a frame comes.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Flowing { last_frame } => Some(last_frame + self.freeze_after),
            State::Idle | State::Frozen { .. } | State::Paused => None,
        }
    }

    /// Answers since when it is frozen, once.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Flowing { last_frame } if now.saturating_duration_since(last_frame) >= self.freeze_after => {
                self.state = State::Frozen { since: last_frame };
                Some(last_frame)
            }
            State::Flowing { .. } | State::Idle | State::Frozen { .. } | State::Paused => None,
        }
    }

    pub(super) fn set_expected(&mut self, now: Instant, is_expected: bool) -> Option<Freeze> {
        match (self.state, is_expected) {
            (State::Paused, true) => {
                self.state = State::Idle;
                None
            }
            (State::Idle | State::Flowing { .. }, false) => {
                self.state = State::Paused;
                None
            }
            (State::Frozen { since }, false) => {
                self.state = State::Paused;
                self.freeze(since, now)
            }
            (State::Idle | State::Flowing { .. } | State::Frozen { .. }, true) | (State::Paused, false) => None,
        }
    }

    fn freeze(&self, since: Instant, now: Instant) -> Option<Freeze> {
        let lasted = now.saturating_duration_since(since);
        (lasted >= self.freeze_after).then_some(Freeze { since, lasted })
    }
}
