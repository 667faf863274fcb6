//! What participants count: an engine thread owns [`Measurements`], hands them over each second and starts anew.
//!
//! Here: counters, histograms, and their sum over threads and seconds. Not here: when something counts as lost or late
//! (participant, frame reader), and what is made of it (`report`).
//!
//! Times are kept in microseconds to two significant digits; sum and maximum are exact. What a server can make grow (texts,
//! pairs of layers) is bounded.

mod failure;
mod histogram;
mod interruption;
mod layers;
mod media;
mod sample;
mod stage;

pub use failure::{Failure, FailureCause, Failures};
pub use histogram::TimeHistogram;
pub use interruption::Interruption;
pub use layers::{LayerPair, Layers};
pub use media::{MediaCounts, MediaKind};
pub use sample::{Gauges, Phase, Sample};
pub use stage::Stage;

use std::time::Duration;

use self::interruption::MAX_INTERRUPTIONS;

/// Counts of some participants over some time. Cheap to record into; nothing is allocated before the first value comes.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    stages: [TimeHistogram; Stage::ALL.len()],
    joins_started: u64,
    joined: u64,
    left: u64,
    failures: Failures,
    kinds: [OfKind; MediaKind::ALL.len()],
    layers: Layers,
    interruptions: Vec<Interruption>,
}

#[derive(Clone, Debug, Default)]
struct OfKind {
    counts: MediaCounts,
    latency: TimeHistogram,
    jitter: TimeHistogram,
    freezes: TimeHistogram,
}

impl Measurements {
    /// Adds what `other` counted: another thread, or a later time.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.stages.iter_mut().zip(&other.stages) {
            own.merge(other);
        }
        self.joins_started += other.joins_started;
        self.joined += other.joined;
        self.left += other.left;
        self.failures.merge(&other.failures);
        for (own, other) in self.kinds.iter_mut().zip(&other.kinds) {
            own.counts += other.counts;
            own.latency.merge(&other.latency);
            own.jitter.merge(&other.jitter);
            own.freezes.merge(&other.freezes);
        }
        self.layers.merge(&other.layers);
        other.interruptions.iter().for_each(|interruption| self.record_interruption(interruption.clone()));
    }

    /// A participant is through `stage`, which took this long.
    pub fn record_stage(&mut self, stage: Stage, took: Duration) {
        self.stages[stage as usize].record(took);
    }

    /// A participant begins to join.
    pub fn record_join_started(&mut self) {
        self.joins_started += 1;
    }

    /// A participant has all that it expects of a join.
    pub fn record_joined(&mut self) {
        self.joined += 1;
    }

    /// A participant left as it should.
    pub fn record_left(&mut self) {
        self.left += 1;
    }

    /// A participant could not join, or was thrown out. Of each cause the first `example` is kept, cut at 300 characters.
    pub fn record_failure(&mut self, cause: FailureCause, example: &str) {
        self.failures.record(cause, example);
    }

    /// Counts of media of a kind, to add to.
    pub fn media(&mut self, kind: MediaKind) -> &mut MediaCounts {
        &mut self.kinds[kind as usize].counts
    }

    /// A packet was this long under way, from its departure at the sender to its arrival at the receiver.
    pub fn record_latency(&mut self, kind: MediaKind, transit: Duration) {
        self.kinds[kind as usize].latency.record(transit);
    }

    /// Interarrival jitter of a stream (RFC 3550 §6.4.1) at some time.
    pub fn record_jitter(&mut self, kind: MediaKind, jitter: Duration) {
        self.kinds[kind as usize].jitter.record(jitter);
    }

    /// A receiver had no decodable frame for `lasted`.
    pub fn record_freeze(&mut self, kind: MediaKind, lasted: Duration) {
        self.kinds[kind as usize].freezes.record(lasted);
    }

    /// A participant can play again what it could not, or leaves without. One too many is not kept.
    pub fn record_interruption(&mut self, interruption: Interruption) {
        if self.interruptions.len() < MAX_INTERRUPTIONS {
            self.interruptions.push(interruption);
        }
    }

    /// A decodable frame of `got` lines came, where the receiver asked for at most `asked` and the sender sent at best `best`
    /// within that.
    pub fn record_layer(&mut self, asked: u16, best: u16, got: u16) {
        self.layers.record(asked, best, got);
    }

    /// How long joins were in a stage.
    #[must_use]
    pub const fn stage(&self, stage: Stage) -> &TimeHistogram {
        &self.stages[stage as usize]
    }

    /// Joins begun.
    #[must_use]
    pub const fn joins_started(&self) -> u64 {
        self.joins_started
    }

    /// Joins completed.
    #[must_use]
    pub const fn joined(&self) -> u64 {
        self.joined
    }

    /// Participants that left as they should.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Joins that failed and participants that were lost, by cause.
    #[must_use]
    pub const fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Counts of media of a kind.
    #[must_use]
    pub const fn media_counts(&self, kind: MediaKind) -> MediaCounts {
        self.kinds[kind as usize].counts
    }

    /// Counts of media of all kinds.
    #[must_use]
    pub fn all_media(&self) -> MediaCounts {
        let mut all = MediaCounts::default();
        for of_kind in &self.kinds {
            all += of_kind.counts;
        }
        all
    }

    /// One-way latency of packets of a kind.
    #[must_use]
    pub const fn latency(&self, kind: MediaKind) -> &TimeHistogram {
        &self.kinds[kind as usize].latency
    }

    /// One-way latency of all packets.
    #[must_use]
    pub fn all_latency(&self) -> TimeHistogram {
        TimeHistogram::sum(self.kinds.iter().map(|of_kind| &of_kind.latency))
    }

    /// Jitter of streams of a kind.
    #[must_use]
    pub const fn jitter(&self, kind: MediaKind) -> &TimeHistogram {
        &self.kinds[kind as usize].jitter
    }

    /// Jitter of all streams.
    #[must_use]
    pub fn all_jitter(&self) -> TimeHistogram {
        TimeHistogram::sum(self.kinds.iter().map(|of_kind| &of_kind.jitter))
    }

    /// Durations of the freezes of a kind.
    #[must_use]
    pub const fn freezes(&self, kind: MediaKind) -> &TimeHistogram {
        &self.kinds[kind as usize].freezes
    }

    /// Durations of all freezes.
    #[must_use]
    pub fn all_freezes(&self) -> TimeHistogram {
        TimeHistogram::sum(self.kinds.iter().map(|of_kind| &of_kind.freezes))
    }

    /// What participants could not play for a while, about in the order in which it came back.
    #[must_use]
    pub fn interruptions(&self) -> &[Interruption] {
        &self.interruptions
    }

    /// Layers received against those asked for.
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_seconds_add_up() {
        let mut one = Measurements::default();
        one.record_join_started();
        one.record_joined();
        one.record_stage(Stage::Ice, Duration::from_millis(10));
        one.media(MediaKind::Camera).received_packets = 7;
        one.record_latency(MediaKind::Camera, Duration::from_micros(300));
        let mut other = Measurements::default();
        other.record_join_started();
        other.record_left();
        other.record_failure(FailureCause::Ice, "no pair answered");
        other.record_stage(Stage::Ice, Duration::from_millis(30));
        other.media(MediaKind::Camera).received_packets = 5;
        other.media(MediaKind::Audio).received_packets = 1;
        other.record_latency(MediaKind::Audio, Duration::from_micros(500));
        other.record_jitter(MediaKind::Audio, Duration::from_micros(50));
        other.record_freeze(MediaKind::Camera, Duration::from_millis(250));
        other.record_layer(720, 720, 360);

        one.merge(&other);
        assert_eq!((one.joins_started(), one.joined(), one.left(), one.failures().total()), (2, 1, 1, 1));
        assert_eq!(one.stage(Stage::Ice).count(), 2);
        assert_eq!(one.stage(Stage::Ice).max(), Some(Duration::from_millis(30)));
        assert_eq!(one.media_counts(MediaKind::Camera).received_packets, 12);
        assert_eq!(one.all_media().received_packets, 13);
        assert_eq!(one.all_latency().mean(), Some(Duration::from_micros(400)));
        assert_eq!(one.all_jitter().count(), 1);
        assert_eq!(one.all_freezes().total(), Duration::from_millis(250));
        assert_eq!(one.layers().below(), 1);
    }

    #[test]
    fn taken_measurements_begin_anew() {
        let mut measurements = Measurements::default();
        measurements.record_latency(MediaKind::Audio, Duration::from_millis(1));
        let delta = std::mem::take(&mut measurements);
        assert_eq!(delta.latency(MediaKind::Audio).count(), 1);
        assert_eq!(measurements.latency(MediaKind::Audio).count(), 0);
    }
}
