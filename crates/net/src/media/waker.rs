//! Ends a shard's wait from another thread, at the price of one atomic read when the shard is awake.
//!
//! A shard that sleeps and a thread that gives it work must not miss each other. Both do two things in opposite order:
//!
//! ```text
//! the shard, in `MediaShard::wait`            another thread
//!   1. sleeping = true                          1. put work into a queue
//!   2. fence                                    2. fence                       (both in `Waker::wake`)
//!   3. look into the queues                     3. read `sleeping`
//!   4. sleep only when they are empty           4. when true: make it false, write to the eventfd
//! ```
//!
//! The fences are sequentially consistent, so at least one of the two reads (3.) sees what the other side wrote (1.):
//! either the shard finds the work, or the other thread finds the shard asleep. A write to the eventfd that comes late
//! ends the next wait at once, which costs a turn and is otherwise harmless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes the thread of one shard.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sleeping: AtomicBool,
    eventfd: mio::Waker,
}

impl Waker {
    pub(super) fn new(eventfd: mio::Waker) -> Self {
        Self(Arc::new(Inner { sleeping: AtomicBool::new(false), eventfd }))
    }

    /// Ends the wait of the shard, if it waits. Call after the work is where the shard looks for it. Cannot fail in a
    /// way that matters: the shard wakes at its next timer at the latest.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.0.sleeping.load(Ordering::Relaxed)
            && self.0.sleeping.swap(false, Ordering::Relaxed)
            && let Err(error) = self.0.eventfd.wake()
        {
            tracing::debug!(%error, "cannot wake a media shard");
        }
    }

    /// Announces the sleep. The caller looks into its queues after this and before it sleeps.
    pub(super) fn fall_asleep(&self) {
        self.0.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(super) fn rise(&self) {
        self.0.sleeping.store(false, Ordering::Relaxed);
    }
}
