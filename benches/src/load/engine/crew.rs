//! A thread with its participants.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::client::{self, Departure};
use super::socket::Batches;
use super::timeline::AWAY;
use super::{LEAVING_TIME, SAMPLE_INTERVAL, Shared};
use crate::load::measure::{Gauges, Measurements, Phase};
use crate::load::participant::{Failure, Outbox};

/// What a thread measured since its last report.
pub(super) struct CrewReport {
    pub(super) measurements: Measurements,
    pub(super) gauges: Gauges,
    /// The thread ends.
    pub(super) is_last: bool,
}

/// A thread of the load generator.
pub(super) struct Crew {
    shared: Arc<Shared>,
    members: Vec<usize>,
    phase: watch::Receiver<Phase>,
    reports: mpsc::UnboundedSender<CrewReport>,
}

/// What the participants of a thread share.
pub(super) struct Berth {
    pub(super) shared: Arc<Shared>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) state: RefCell<BerthState>,
    /// When the first participant saw that the steady part had begun.
    steady_since: Cell<Option<Instant>>,
}

/// Its changing part; never borrowed over a pause.
pub(super) struct BerthState {
    pub(super) measurements: Measurements,
    pub(super) gauges: Gauges,
    pub(super) batches: Batches,
    pub(super) outbox: Outbox,
}

impl Crew {
    /// Rooms are dealt out whole where there are enough of them.
    pub(super) fn new(
        shared: Arc<Shared>,
        thread: usize,
        threads: usize,
        phase: watch::Receiver<Phase>,
        reports: mpsc::UnboundedSender<CrewReport>,
    ) -> Self {
        let rooms = shared.scenario.rooms;
        let total = shared.scenario.total_participants();
        let members = (0..total).filter(|index| {
            let key = if rooms >= threads { shared.timeline.place(*index).0 } else { *index };
            key % threads == thread
        });
        Self { members: members.collect(), shared, phase, reports }
    }

    /// Runs until all have left.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        local.block_on(&runtime, self.serve());
        Ok(())
    }

    async fn serve(mut self) {
        let berth = Rc::new(Berth {
            shared: Arc::clone(&self.shared),
            phase: self.phase.clone(),
            steady_since: Cell::new(None),
            state: RefCell::new(BerthState {
                measurements: Measurements::default(),
                gauges: Gauges::default(),
                batches: Batches::new(),
                outbox: Outbox::default(),
            }),
        });
        let mut tasks = JoinSet::new();
        for index in &self.members {
            tasks.spawn_local(take_part(Rc::clone(&berth), *index));
        }
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.report(&berth, false),
                changed = self.phase.changed() => {
                    if changed.is_err() || *self.phase.borrow() == Phase::Leaving {
                        break;
                    }
                }
            }
        }
        let leaving = async { while tasks.join_next().await.is_some() {} };
        // Who does not get away in time is dropped with its sockets.
        drop(tokio::time::timeout(LEAVING_TIME, leaving).await);
        self.report(&berth, true);
    }

    fn report(&self, berth: &Berth, is_last: bool) {
        let mut state = berth.state.borrow_mut();
        let measurements = std::mem::take(&mut state.measurements);
        let report = CrewReport { measurements, gauges: state.gauges, is_last };
        // Nobody listens when the run broke off.
        drop(self.reports.send(report));
    }
}

/// A participant's part in the run: it joins when it is its turn, and leaves and comes back as the scenario has it.
async fn take_part(berth: Rc<Berth>, index: usize) {
    let mut phase = berth.phase.clone();
    let timeline = &berth.shared.timeline;
    if !wait_until(&mut phase, berth.shared.start + timeline.join(index)).await {
        return;
    }
    let mut visit = 0;
    let mut next_leave = None;
    loop {
        berth.with(|state| {
            state.gauges.joining += 1;
            state.measurements.record_join_started();
        });
        let departure = client::visit(&berth, index, visit, &mut next_leave).await;
        match departure {
            Ok(Departure::Over) => return,
            Ok(Departure::Away) => {
                if !wait_until(&mut phase, Instant::now() + AWAY).await {
                    return;
                }
                visit += 1;
            }
            Err(failure) => {
                berth.fail(&failure);
                return;
            }
        }
    }
}

/// Answers whether the time came before the run is over.
async fn wait_until(phase: &mut watch::Receiver<Phase>, at: Instant) -> bool {
    tokio::select! {
        () = sleep_until(at.into()) => true,
        _ = phase.wait_for(|phase| *phase == Phase::Leaving) => false,
    }
}

impl Berth {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut BerthState) -> T) -> T {
        work(&mut self.state.borrow_mut())
    }

    /// When the steady part began; to be asked during it only.
    pub(super) fn steady_since(&self, now: Instant) -> Instant {
        let since = self.steady_since.get().unwrap_or(now);
        self.steady_since.set(Some(since));
        since
    }

    fn fail(&self, failure: &Failure) {
        self.with(|state| {
            state.measurements.record_failure(failure.cause, &failure.detail);
            state.gauges.failed += 1;
        });
    }
}
