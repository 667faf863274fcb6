//! Whether the bridge takes conferences, and when it ends: JVB's drain mode and `ShutdownManager` (bridge.md §1.8).
//!
//! ```text
//! Running ──graceful──► GracefulShutdown ──few endpoints, or the time is over──► ShuttingDown ──delay──► Over
//!    └──────────────────────── at once ─────────────────────────────────────────────▲
//! ```
//!
//! In graceful shutdown new conferences are refused, those that are there go on and may grow. While the bridge shuts down
//! the focus moves everybody away. Drain is apart from it: the focus avoids the bridge, which refuses nothing.

use std::time::{Duration, Instant};

use crate::videobridge::{TimerKey, Videobridge};

/// How a bridge ends that is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Graceful shutdown goes over into shutting down after this time at the latest. Default: 24 h.
    pub max_duration: Duration,
    /// It does so at once with at most so many endpoints. Default: 0.
    pub min_participants: usize,
    /// Time for the focus to move endpoints away before the end. Default: one minute.
    pub delay: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { max_duration: Duration::from_secs(24 * 3600), min_participants: 0, delay: Duration::from_secs(60) }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// End when the conferences have.
    Graceful,
    /// End as soon as endpoints can be moved.
    Immediate,
}

/// Where the bridge is on the way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ShutdownState {
    #[default]
    Running,
    GracefulShutdown {
        until: Instant,
    },
    ShuttingDown {
        until: Instant,
    },
    Over,
}

impl ShutdownState {
    /// JVB's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::GracefulShutdown { .. } => "GRACEFUL_SHUTDOWN",
            Self::ShuttingDown { .. } | Self::Over => "SHUTTING_DOWN",
        }
    }
}

/// What the focus is told of the bridge's readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The bridge is to be used as the last resort only.
    pub(crate) drain: bool,
    pub(crate) shutdown: ShutdownState,
}

impl Readiness {
    /// No new conferences, whichever way it ends (JVB tells both states of a shutdown apart).
    pub(crate) const fn is_graceful(self) -> bool {
        matches!(self.shutdown, ShutdownState::GracefulShutdown { .. })
    }

    pub(crate) const fn is_shutting_down(self) -> bool {
        matches!(self.shutdown, ShutdownState::ShuttingDown { .. } | ShutdownState::Over)
    }

    /// Whether new conferences are refused.
    pub(crate) const fn is_ending(self) -> bool {
        self.is_graceful() || self.is_shutting_down()
    }
}

/// The way of one bridge to its end.
#[derive(Debug)]
pub(crate) struct ShutdownManager {
    settings: ShutdownSettings,
    state: ShutdownState,
}

impl ShutdownManager {
    pub(crate) const fn new(settings: ShutdownSettings) -> Self {
        Self { settings, state: ShutdownState::Running }
    }

    /// Takes a request to end. What was asked for before stands, unless this is sooner.
    pub(crate) fn begin(&mut self, shutdown: Shutdown, now: Instant) {
        match (shutdown, self.state) {
            (Shutdown::Graceful, ShutdownState::Running) => {
                tracing::info!(max = ?self.settings.max_duration, "graceful shutdown: no new conferences");
                self.state = ShutdownState::GracefulShutdown { until: later(now, self.settings.max_duration) };
            }
            (Shutdown::Immediate, ShutdownState::Running | ShutdownState::GracefulShutdown { .. }) => {
                self.shut_down(now);
            }
            (
                Shutdown::Graceful | Shutdown::Immediate,
                ShutdownState::GracefulShutdown { .. } | ShutdownState::ShuttingDown { .. } | ShutdownState::Over,
            ) => {}
        }
    }

    /// There are so many endpoints.
    pub(crate) fn handle_endpoints(&mut self, endpoints: usize, now: Instant) {
        let is_graceful = matches!(self.state, ShutdownState::GracefulShutdown { .. });
        if is_graceful && endpoints <= self.settings.min_participants {
            self.shut_down(now);
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            ShutdownState::GracefulShutdown { until } if until <= now => self.shut_down(now),
            ShutdownState::ShuttingDown { until } if until <= now => {
                tracing::info!("the bridge ends");
                self.state = ShutdownState::Over;
            }
            ShutdownState::Running
            | ShutdownState::GracefulShutdown { .. }
            | ShutdownState::ShuttingDown { .. }
            | ShutdownState::Over => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            ShutdownState::GracefulShutdown { until } | ShutdownState::ShuttingDown { until } => Some(until),
            ShutdownState::Running | ShutdownState::Over => None,
        }
    }

    pub(crate) const fn state(&self) -> ShutdownState {
        self.state
    }

    fn shut_down(&mut self, now: Instant) {
        tracing::info!(delay = ?self.settings.delay, "shutting down: endpoints are to be moved away");
        self.state = ShutdownState::ShuttingDown { until: later(now, self.settings.delay) };
    }
}

/// A time that an operator sets may be longer than a clock can tell.
fn later(now: Instant, time: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    now + time.min(FOR_EVER)
}

impl Videobridge {
    /// What the focus is told of the bridge's readiness.
    pub(crate) const fn readiness(&self) -> Readiness {
        Readiness { drain: self.drain, shutdown: self.shutdown.state() }
    }

    /// An operator wants new conferences elsewhere, or no longer so.
    pub(crate) fn set_drain(&mut self, drain: bool) {
        tracing::info!(drain, "drain mode is set");
        self.drain = drain;
        self.metrics.drain_mode.set(i64::from(drain));
    }

    /// An operator wants the bridge to end.
    pub(crate) fn begin_shutdown(&mut self, shutdown: Shutdown, now: Instant) {
        self.shutdown.begin(shutdown, now);
        self.follow_shutdown(now);
    }

    /// Takes note of who left, and of the time.
    pub(crate) fn follow_shutdown(&mut self, now: Instant) {
        self.shutdown.handle_endpoints(self.endpoint_count(), now);
        self.shutdown.handle_timeout(now);
        let readiness = self.readiness();
        self.metrics.graceful_shutdown.set(i64::from(readiness.is_graceful()));
        self.metrics.shutting_down.set(i64::from(readiness.is_shutting_down()));
        match self.shutdown.poll_timeout() {
            Some(at) => self.timers.set(TimerKey::Shutdown, at),
            None => self.timers.remove(TimerKey::Shutdown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> (ShutdownManager, Instant) {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let now = Instant::now();
        let settings = ShutdownSettings { max_duration: HOUR, min_participants: 2, delay: Duration::from_secs(60) };
        (ShutdownManager::new(settings), now)
    }

    #[test]
    fn a_graceful_shutdown_waits_for_people_to_leave() {
        let (mut shutdown, now) = start();
        shutdown.handle_endpoints(0, now);
        assert_eq!((shutdown.state(), shutdown.poll_timeout()), (ShutdownState::Running, None));
        shutdown.begin(Shutdown::Graceful, now);
        shutdown.handle_endpoints(3, now);
        assert_eq!(shutdown.state().as_str(), "GRACEFUL_SHUTDOWN");
        let left = now + HOUR / 2;
        shutdown.handle_endpoints(2, left);
        let until = left + Duration::from_secs(60);
        assert_eq!(shutdown.state(), ShutdownState::ShuttingDown { until });
        shutdown.handle_endpoints(0, until);
        shutdown.handle_timeout(until);
        assert_eq!((shutdown.state(), shutdown.poll_timeout()), (ShutdownState::Over, None));
    }

    #[test]
    fn a_graceful_shutdown_does_not_wait_for_ever() {
        let (mut shutdown, now) = start();
        shutdown.begin(Shutdown::Graceful, now);
        // Once more changes nothing.
        shutdown.begin(Shutdown::Graceful, now + HOUR / 2);
        assert_eq!(shutdown.poll_timeout(), Some(now + HOUR));
        shutdown.handle_timeout(now + HOUR);
        assert_eq!(shutdown.state().as_str(), "SHUTTING_DOWN");
    }

    #[test]
    fn an_immediate_shutdown_leaves_time_to_move_people() {
        let (mut shutdown, now) = start();
        shutdown.begin(Shutdown::Graceful, now);
        shutdown.begin(Shutdown::Immediate, now);
        let until = now + Duration::from_secs(60);
        assert_eq!(shutdown.state(), ShutdownState::ShuttingDown { until });
        shutdown.begin(Shutdown::Immediate, now + Duration::from_secs(30));
        shutdown.begin(Shutdown::Graceful, now + Duration::from_secs(30));
        assert_eq!(shutdown.poll_timeout(), Some(until), "it is not put off");
    }

    #[test]
    fn a_time_beyond_every_clock_is_taken() {
        let (_, now) = start();
        let settings = ShutdownSettings { max_duration: Duration::MAX, ..ShutdownSettings::default() };
        let mut shutdown = ShutdownManager::new(settings);
        shutdown.begin(Shutdown::Graceful, now);
        assert!(shutdown.poll_timeout().is_some());
    }
}
