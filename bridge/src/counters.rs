//! What one thread of the bridge counts. Each thread writes its own, so that counting costs no more than a store; a scrape
//! sums them up (`metrics`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that one thread counts up and others may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// To be called by the one thread that owns the counter: two at once would lose counts.
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// First byte of no protocol that is spoken here.
    UnknownProtocol,
    /// Longer than a datagram of ours can be.
    TooLong,
    /// No endpoint is known at the sender's address, or by the ufrag.
    UnknownPeer,
    /// STUN that its endpoint does not accept, or DTLS from where none is taken.
    NotAccepted,
    /// STUN and DTLS of one endpoint above the rate that any needs.
    HandshakeRate,
    /// The queue to another thread is full.
    QueueFull,
    /// Media before there are keys, or after they are gone.
    NoKeys,
    /// SRTP that does not authenticate.
    SrtpAuthentication,
    /// SRTP that came before, or is older than what is remembered.
    SrtpReplay,
    /// Plain or protected packets that do not parse.
    Malformed,
    /// A payload type that was not negotiated.
    UnknownPayloadType,
    /// An SSRC that was not signaled.
    UnknownSsrc,
    /// Came before, or too late.
    Duplicate,
    /// Only padding: probes.
    Padding,
    /// The endpoint was muted by a moderator.
    ForceMuted,
    /// Audio in which nothing is to be heard, behind the first packets of it.
    Silence,
    /// Audio of one who is not among the loudest, where only those are forwarded.
    NotLoudest,
    /// RTCP that does not parse.
    Rtcp,
    /// A bridge-channel message that does not parse.
    ChannelMessage,
    /// A bridge-channel message above the rate of its sender.
    ChannelMessageRate,
    /// A message of another bridge that does not parse, or is none for it to send.
    RelayMessage,
    /// A message of another bridge above the rate of one.
    RelayMessageRate,
    /// A packet of another bridge whose source was not announced in time, or for which no place was left to wait.
    NotAnnounced,
    /// A packet that a receiver asks for again, above what it may.
    RepairBudget,
    /// A key frame that a receiver asks for, above what it may.
    KeyFrameRequestRate,
    /// A TCP connection that moves to its peer's home, whose queue is full: it is closed.
    ConnectionQueueFull,
    /// A TCP connection that its peer's home cannot take, for want of memory or because it has one of that address.
    ConnectionRefused,
}

impl DropReason {
    pub(crate) const ALL: [(Self, &'static str); 27] = [
        (Self::UnknownProtocol, "unknown_protocol"),
        (Self::TooLong, "too_long"),
        (Self::UnknownPeer, "unknown_peer"),
        (Self::NotAccepted, "not_accepted"),
        (Self::HandshakeRate, "handshake_rate"),
        (Self::QueueFull, "queue_full"),
        (Self::NoKeys, "no_keys"),
        (Self::SrtpAuthentication, "srtp_authentication"),
        (Self::SrtpReplay, "srtp_replay"),
        (Self::Malformed, "malformed"),
        (Self::UnknownPayloadType, "unknown_payload_type"),
        (Self::UnknownSsrc, "unknown_ssrc"),
        (Self::Duplicate, "duplicate"),
        (Self::Padding, "padding"),
        (Self::ForceMuted, "force_muted"),
        (Self::Silence, "silence"),
        (Self::NotLoudest, "not_loudest"),
        (Self::Rtcp, "rtcp"),
        (Self::ChannelMessage, "channel_message"),
        (Self::ChannelMessageRate, "channel_message_rate"),
        (Self::RelayMessage, "relay_message"),
        (Self::RelayMessageRate, "relay_message_rate"),
        (Self::NotAnnounced, "not_announced"),
        (Self::RepairBudget, "repair_budget"),
        (Self::KeyFrameRequestRate, "key_frame_request_rate"),
        (Self::ConnectionQueueFull, "connection_queue_full"),
        (Self::ConnectionRefused, "connection_refused"),
    ];
}

/// Upper bounds of the loop-time histogram, in microseconds. Half a millisecond is heard by nobody; a packet that waits for
/// ten is late.
pub(crate) const LOOP_TIME_BOUNDS_US: [u64; 9] = [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// How long the turns of a thread's loop took, from the first packet of a batch to the last one sent.
#[derive(Debug, Default)]
pub(crate) struct LoopTime {
    /// By the first bound that is not exceeded; the last one is above all.
    buckets: [Counter; LOOP_TIME_BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl LoopTime {
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = LOOP_TIME_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.add(1);
        }
        self.sum_us.add(us);
    }

    /// Turns of at most each bound, then all of them.
    pub(crate) fn cumulative(&self) -> [u64; LOOP_TIME_BOUNDS_US.len() + 1] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.get();
            sum
        })
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// The counters of one thread, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) packets_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) packets_sent: Counter,
    pub(crate) bytes_sent: Counter,
    /// Datagrams that the kernel or a slow TCP connection did not take.
    pub(crate) sends_refused: Counter,
    pub(crate) send_messages: Counter,
    pub(crate) send_calls: Counter,
    /// Media that came to another shard than its sender's home.
    pub(crate) hops: Counter,
    pub(crate) retransmissions: Counter,
    /// Retransmissions that nobody asked for, and padding, that find out what a path carries.
    pub(crate) probe_packets: Counter,
    pub(crate) key_frames_requested: Counter,
    /// Packets of audio out of the redundancy of later ones, for receivers without it.
    pub(crate) audio_recovered: Counter,
    /// Of all packets, those from and to other bridges.
    pub(crate) relay_packets_received: Counter,
    pub(crate) relay_bytes_received: Counter,
    pub(crate) relay_packets_sent: Counter,
    pub(crate) relay_bytes_sent: Counter,
    /// Packets of other bridges that waited for their source to be announced, and went on.
    pub(crate) early_packets: Counter,
    pub(crate) loop_time: LoopTime,
    dropped: [Counter; DropReason::ALL.len()],
}

impl Counters {
    pub(crate) fn count(&self, reason: DropReason) {
        // Reasons are listed in the order of their declaration, which the tests hold.
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.add(1);
        }
    }

    /// How often `reason` was counted.
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).map_or(0, Counter::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_in_their_order() {
        for (at, (reason, _)) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }

    #[test]
    fn a_turn_counts_in_the_bucket_of_its_time() {
        let loop_time = LoopTime::default();
        for us in [1, 20, 21, 999, 1000, 50_000] {
            loop_time.observe(Duration::from_micros(us));
        }
        assert_eq!(loop_time.cumulative(), [2, 3, 3, 3, 3, 5, 5, 5, 5, 6]);
        assert_eq!(loop_time.sum_us(), 52_041);
    }
}
