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
    /// What had been sent besides when its first packet left, and its last.
    others: Option<[Others; 2]>,
}

/// Bytes of which no feedback tells, up to some time.
#[derive(Clone, Copy, Debug)]
struct Others {
    at: Timestamp,
    sent: DataSize,
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
            others: None,
        });
    }

    /// A packet of a cluster leaves, when so much was sent of which no feedback tells.
    pub(crate) fn handle_sent(&mut self, id: ProbeClusterId, others: DataSize, now: Timestamp) {
        if let Some(cluster) = self.clusters.iter_mut().find(|cluster| cluster.id == id) {
            let last = Others { at: now, sent: others };
            let [first, _] = cluster.others.unwrap_or([last; 2]);
            cluster.others = Some([first, last]);
        }
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
        if is_complete { arrivals.result(cluster.others_rate(), cluster.has_loss) } else { None }
    }
}

impl Cluster {
    /// Rate of what shares the line with it, and of which no feedback tells.
    fn others_rate(&self) -> Bitrate {
        let Some([first, last]) = self.others else { return Bitrate::ZERO };
        rate_over(last.sent.saturating_sub(first.sent), last.at - first.at).unwrap_or_default()
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
    ///
    /// Packets of others stand between those of the cluster, and a full line carries of each as much as its part of what is sent:
    /// a cluster gets more through than they leave it. Where their rate is known, what they leave is, too.
    fn result(&self, others: Bitrate, has_loss: bool) -> Option<ProbeResult> {
        // The last packet sent was still to be sent then, and the first that arrived had arrived already.
        let sending = self.last_sent - self.first_sent;
        let receiving = self.last_arrived - self.first_arrived;
        let sent = rate_over(self.size.saturating_sub(self.last_sent_size), sending)?;
        let received = rate_over(self.size.saturating_sub(self.first_arrived_size), receiving)?;
        if received > sent.scaled(MAX_RATIO) {
            return None;
        }
        let carried = received.saturating_add(rate_over(others.over(sending.to_duration()), receiving)?);
        let left = carried.saturating_sub(others);
        if carried < sent.saturating_add(others).scaled(MIN_UNSATURATED_RATIO) {
            let rate = carried.scaled(TARGET_UTILIZATION).saturating_sub(others);
            return Some(ProbeResult { rate, capacity: Some(left), has_loss });
        }
        Some(ProbeResult { rate: sent.min(left), capacity: None, has_loss })
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

    /// Ours: 100 kbit/s of others besides the 200 of a cluster.
    #[test]
    fn others_keep_their_part_of_the_line() {
        for (line_kbps, expected_kbps) in [(150, 42.5), (250, 137.5), (290, 190.0), (1000, 200.0), (90, 0.0)] {
            let mut estimator = with(5, 5000);
            // 1000 bytes of the cluster, and 500 of others, each 40 ms.
            let spacing_ms = (12_000 / line_kbps).max(40);
            for at in 0..5 {
                let now = Timestamp::ZERO + TimeDelta::from_ms(40 * at);
                estimator.handle_sent(FIRST, DataSize::from_bytes(7000 + 500 * at as u64), now);
            }
            let packets: Vec<_> = (0..5).map(|at| (1000, 40 * at, 10 + spacing_ms * at)).collect();
            let measured = feed(&mut estimator, FIRST, &packets).unwrap();
            assert!(measured.abs_diff(expected_kbps as u64 * 1000) < 3000, "{line_kbps} kbit/s: {measured}");
        }
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
