//! What is remembered of one RTP stream, and of the packets of one transport.
//!
//! Receiving: [`ReceptionRegister`] (statistics, duplicates, report blocks), [`NackRegister`] (what to ask for again),
//! [`TwccReceiver`] (transport-wide feedback), [`RtxCache`] (packets kept for retransmission), [`GaplessSequence`] (numbers
//! without what goes to nobody).
//! Sending: [`SequenceRewriter`], [`PictureRewriter`] and [`DependencyRewriter`] (numbers that go on when the source of a
//! stream changes), [`SentLog`] (what a NACK refers to), [`SentWindow`] (what went out), [`SenderStats`] and
//! [`RttEstimator`].
//!
//! Not here: packets on the wire (`rtp`), which source or layer is forwarded to whom (`bridge`).
//! Time is an argument everywhere; nothing waits, and every list has a limit.

mod clock;
mod dependency_rewriter;
mod earlier;
mod gapless;
mod gapless_sequence;
mod jitter;
mod nack_register;
mod picture_rewriter;
mod reception;
mod rtt;
mod rtx_cache;
mod sender;
mod sent_log;
mod sent_window;
mod sequence_rewriter;
mod twcc_receiver;

pub use dependency_rewriter::{DependencyDistances, DependencyNumbers, DependencyRewriter, TemplateIds};
pub use gapless_sequence::GaplessSequence;
pub use jitter::InterarrivalJitter;
pub use nack_register::{DEFAULT_NACK_INTERVAL, MAX_MISSING, MAX_NACK_TRIES, NACK_RESET_JUMP, NackRegister};
pub use picture_rewriter::{PictureDistances, PictureNumbers, PictureRewriter};
pub use reception::{Arrival, ReceptionRegister, Via};
pub use rtt::RttEstimator;
pub use rtx_cache::{MAX_CACHED_PACKETS, RTX_CACHE_AGE, RtxCache};
pub use sender::SenderStats;
pub use sent_log::{MAX_SENT_RUNS, SentLog};
pub use sent_window::SentWindow;
pub use sequence_rewriter::{Incoming, LastSent, Rewritten, SequenceRewriter};
pub use twcc_receiver::{TWCC_FEEDBACK_INTERVAL, TwccReceiver};

#[cfg(test)]
mod test_time {
    use std::time::{Duration, Instant};

    /// Some instant that virtual time counts from.
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; tests only add to it")]
    pub(crate) fn start() -> Instant {
        Instant::now()
    }

    pub(crate) const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
