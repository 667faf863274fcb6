//! What a probe cluster found out.

use arrayvec::ArrayVec;
use model::{Bitrate, DataSize};

use crate::delay_based::ReceivedPacket;
use crate::probe::ProbeClusterId;
use crate::time::{TimeDelta, Timestamp};

/// Clusters whose packets may be under way at once; the controller asks for two a second at most.
const MAX_CLUSTERS: usize = 8;

/// So much of a cluster is to arrive, in packets and in bytes.
const MIN_RECEIVED: f64 = 0.8;

/// A cluster takes no longer, sent or received.
const MAX_INTERVAL: TimeDelta = TimeDelta::from_secs(1);

/// Packets do not arrive so much faster than they were sent.
const MAX_RATIO: f64 = 2.0;

/// A line that takes less of what was sent is full ...
const MIN_UNSATURATED_RATIO: f64 = 0.9;

/// ... and so much of it is to be used.
const TARGET_UTILIZATION: f64 = 0.95;

/// What a cluster found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeResult {
    /// What can be sent.
    pub(crate) rate: Bitrate,
    /// What the line carried, where that was less than the cluster tried.
    pub(crate) capacity: Option<Bitrate>,
    /// Packets of the cluster were lost.
    pub(crate) has_loss: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    id: ProbeClusterId,
    min_packets: f64,
    min_bytes: f64,
    arrivals: Option<Arrivals>,
    has_loss: bool,
}

#[derive(Clone, Copy, Debug)]
struct Arrivals {
    packets: u32,
    size: DataSize,
    first_sent: Timestamp,
    last_sent: Timestamp,
    last_sent_size: DataSize,
    first_arrived: Timestamp,
    first_arrived_size: DataSize,
    last_arrived: Timestamp,
}

/// The rate of each cluster as it was sent and as it arrived (libwebrtc's `ProbeBitrateEstimator`).
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeRateEstimator {
    /// The latest last.
    clusters: ArrayVec<Cluster, MAX_CLUSTERS>,
}

impl ProbeRateEstimator {
    /// Packets of this cluster will be sent.
    pub(crate) fn expect(&mut self, id: ProbeClusterId, min_packets: u8, min_size: DataSize) {
        self.clusters.retain(|cluster| cluster.id != id);
        if self.clusters.is_full() {
            self.clusters.remove(0);
        }
        self.clusters.push(Cluster {
            id,
            min_packets: f64::from(min_packets) * MIN_RECEIVED,
            min_bytes: min_size.bytes() as f64 * MIN_RECEIVED,
            arrivals: None,
            has_loss: false,
        });
    }

    /// A packet of a cluster did not arrive.
    pub(crate) fn handle_lost(&mut self, id: ProbeClusterId) {
        if let Some(cluster) = self.clusters.iter_mut().find(|cluster| cluster.id == id) {
            cluster.has_loss = true;
        }
    }

    /// Takes a packet, if it is one of a cluster. Answers what the cluster found out so far.
    pub(crate) fn handle_packet(&mut self, packet: &ReceivedPacket) -> Option<ProbeResult> {
        let id = packet.probe?;
        let cluster = self.clusters.iter_mut().find(|cluster| cluster.id == id)?;
        let arrivals = match cluster.arrivals {
            Some(before) if packet.arrived - before.last_arrived <= MAX_INTERVAL => before.with(packet),
            Some(_) | None => Arrivals::of(packet),
        };
        cluster.arrivals = Some(arrivals);
        let is_complete =
            f64::from(arrivals.packets) >= cluster.min_packets && arrivals.size.bytes() as f64 >= cluster.min_bytes;
        if is_complete { arrivals.result(cluster.has_loss) } else { None }
    }
}

impl Arrivals {
    const fn of(packet: &ReceivedPacket) -> Self {
        Self {
            packets: 1,
            size: packet.size,
            first_sent: packet.sent,
            last_sent: packet.sent,
            last_sent_size: packet.size,
            first_arrived: packet.arrived,
            first_arrived_size: packet.size,
            last_arrived: packet.arrived,
        }
    }

    fn with(mut self, packet: &ReceivedPacket) -> Self {
        self.packets += 1;
        self.size = self.size + packet.size;
        self.first_sent = self.first_sent.min(packet.sent);
        if packet.sent > self.last_sent {
            self.last_sent = packet.sent;
            self.last_sent_size = packet.size;
        }
        if packet.arrived < self.first_arrived {
            self.first_arrived = packet.arrived;
            self.first_arrived_size = packet.size;
        }
        self.last_arrived = self.last_arrived.max(packet.arrived);
        self
    }

    /// None where the times are no measure.
    fn result(&self, has_loss: bool) -> Option<ProbeResult> {
        // The last packet sent was still to be sent then, and the first that arrived had arrived already.
        let sent = rate_over(self.size.saturating_sub(self.last_sent_size), self.last_sent - self.first_sent)?;
        let received =
            rate_over(self.size.saturating_sub(self.first_arrived_size), self.last_arrived - self.first_arrived)?;
        if received > sent.scaled(MAX_RATIO) {
            return None;
        }
        if received < sent.scaled(MIN_UNSATURATED_RATIO) {
            return Some(ProbeResult { rate: received.scaled(TARGET_UTILIZATION), capacity: Some(received), has_loss });
        }
        Some(ProbeResult { rate: sent.min(received), capacity: None, has_loss })
    }
}

fn rate_over(size: DataSize, interval: TimeDelta) -> Option<Bitrate> {
    (TimeDelta::ZERO < interval && interval <= MAX_INTERVAL).then(|| size.per(interval.to_duration()))
}

#[cfg(test)]
mod tests {
    //! The cases and figures of `ProbeBitrateEstimatorTest` (jitsi-videobridge, libwebrtc), under its names in snake
    //! case.

    use super::*;

    /// (bytes, sent at ms, arrived at ms) of each packet of a cluster.
    type Packets<'a> = &'a [(u64, i64, i64)];

    const FIRST: ProbeClusterId = ProbeClusterId::FIRST;

    fn with(min_packets: u8, min_bytes: u64) -> ProbeRateEstimator {
        let mut estimator = ProbeRateEstimator::default();
        for id in [FIRST, FIRST.next()] {
            estimator.expect(id, min_packets, DataSize::from_bytes(min_bytes));
        }
        estimator
    }

    /// Answers what the last of the packets found out, in bit/s.
    fn feed(estimator: &mut ProbeRateEstimator, id: ProbeClusterId, packets: Packets<'_>) -> Option<u64> {
        let rates = packets.iter().map(|&(size, sent, arrived)| {
            estimator.handle_packet(&ReceivedPacket {
                sent: Timestamp::ZERO + TimeDelta::from_ms(sent),
                arrived: Timestamp::ZERO + TimeDelta::from_ms(arrived),
                size: DataSize::from_bytes(size),
                probe: Some(id),
            })
        });
        rates.last().flatten().map(|result| result.rate.bps())
    }

    fn measure(packets: Packets<'_>) -> Option<u64> {
        feed(&mut with(5, 5000), FIRST, packets)
    }

    #[track_caller]
    fn assert_near(measured: Option<u64>, expected: f64) {
        assert!(measured.is_some_and(|rate| rate.abs_diff(expected as u64) <= 10), "{measured:?}, not {expected}");
    }

    #[test]
    fn one_cluster() {
        assert_near(measure(&[(1000, 0, 10), (1000, 10, 20), (1000, 20, 30), (1000, 30, 40)]), 800_000.0);
    }

    #[test]
    fn one_cluster_too_few_probes() {
        assert_eq!(measure(&[(1000, 0, 10), (1000, 10, 20), (1000, 20, 30)]), None);
    }

    #[test]
    fn one_cluster_too_few_bytes() {
        let packets = [(1000, 0, 10), (1000, 10, 20), (1000, 20, 30), (1000, 30, 40)];
        assert_eq!(feed(&mut with(5, 6000), FIRST, &packets), None);
    }

    #[test]
    fn small_cluster() {
        let packets = [(150, 0, 10), (150, 10, 20), (150, 20, 30), (150, 30, 40), (150, 40, 50), (150, 50, 60)];
        assert_near(feed(&mut with(5, 1000), FIRST, &packets), 120_000.0);
    }

    #[test]
    fn large_cluster() {
        let packets: Vec<_> = (0..25).map(|i| (12_500, i, 5 + i)).collect();
        assert_near(feed(&mut with(30, 312_500), FIRST, &packets), 100_000_000.0);
    }

    #[test]
    fn fast_receive() {
        assert_near(measure(&[(1000, 0, 15), (1000, 10, 30), (1000, 20, 35), (1000, 30, 40)]), 800_000.0);
    }

    #[test]
    fn too_fast_receive() {
        assert_eq!(measure(&[(1000, 0, 19), (1000, 10, 22), (1000, 20, 25), (1000, 30, 27)]), None);
    }

    #[test]
    fn slow_receive() {
        assert_near(measure(&[(1000, 0, 10), (1000, 10, 40), (1000, 20, 70), (1000, 30, 85)]), 0.95 * 320_000.0);
    }

    #[test]
    fn burst_receive() {
        assert_eq!(measure(&[(1000, 0, 50), (1000, 10, 50), (1000, 20, 50), (1000, 30, 50)]), None);
    }

    #[test]
    fn multiple_clusters() {
        let mut estimator = with(5, 5000);
        let first = [(1000, 0, 10), (1000, 10, 20), (1000, 20, 30), (1000, 40, 60)];
        assert_near(feed(&mut estimator, FIRST, &first), 0.95 * 480_000.0);
        assert_near(feed(&mut estimator, FIRST, &[(1000, 50, 60)]), 640_000.0);
        let second = [(1000, 60, 70), (1000, 65, 77), (1000, 70, 84), (1000, 75, 90)];
        assert_near(feed(&mut estimator, FIRST.next(), &second), 0.95 * 1_200_000.0);
    }

    #[test]
    fn ignore_old_clusters() {
        let mut estimator = with(5, 5000);
        assert_eq!(feed(&mut estimator, FIRST, &[(1000, 0, 10), (1000, 10, 20), (1000, 20, 30)]), None);
        let second = [(1000, 60, 70), (1000, 65, 77), (1000, 70, 84), (1000, 75, 90)];
        assert_near(feed(&mut estimator, FIRST.next(), &second), 0.95 * 1_200_000.0);
        // Six seconds later.
        assert_eq!(feed(&mut estimator, FIRST, &[(1000, 6040, 6060)]), None);
    }

    #[test]
    fn ignore_size_last_send_packet() {
        let packets = [(1000, 0, 10), (1000, 10, 20), (1000, 20, 30), (1000, 30, 40), (1500, 40, 50)];
        assert_near(measure(&packets), 800_000.0);
    }

    #[test]
    fn ignore_size_first_receive_packet() {
        let packets = [(1500, 0, 10), (1000, 10, 20), (1000, 20, 30), (1000, 30, 40)];
        assert_near(measure(&packets), 0.95 * 800_000.0);
    }

    #[test]
    fn clusters_are_bounded_and_their_numbers_go_round() {
        let mut estimator = ProbeRateEstimator::default();
        let mut id = FIRST;
        for _ in 0..600 {
            estimator.expect(id, 5, DataSize::from_bytes(5000));
            id = id.next();
        }
        assert_eq!(estimator.clusters.len(), MAX_CLUSTERS);
        assert_eq!(feed(&mut estimator, id, &[(1000, 0, 10)]), None);
    }

    /// Ours.
    #[test]
    fn a_cluster_that_lost_packets_says_so() {
        let mut estimator = with(5, 4000);
        let packet = |ms: i64| ReceivedPacket {
            sent: Timestamp::ZERO + TimeDelta::from_ms(ms),
            arrived: Timestamp::ZERO + TimeDelta::from_ms(ms + 10),
            size: DataSize::from_bytes(1000),
            probe: Some(FIRST),
        };
        estimator.handle_lost(FIRST.next());
        let results = [0, 10, 20, 30].map(|ms| estimator.handle_packet(&packet(ms)));
        assert_eq!(results.map(|result| result.map(|result| result.has_loss)), [None, None, None, Some(false)]);
        estimator.handle_lost(FIRST);
        assert_eq!(estimator.handle_packet(&packet(40)).map(|result| result.has_loss), Some(true));
    }
}
