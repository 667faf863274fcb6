//! Sends the clusters that were asked for: how much is due at which time.

use model::DataSize;

use crate::probe::{Probe, ProbeCluster, ProbeClusterId};
use crate::time::{TimeDelta, Timestamp};

/// Clusters that wait; the oldest goes when another comes.
const MAX_WAITING: usize = 5;

/// A cluster that waited so long for media is not what the controller wants any more.
const TIMEOUT: TimeDelta = TimeDelta::from_secs(5);

/// A cluster that lasts longer is of media alone.
const MAX_DURATION: TimeDelta = TimeDelta::from_ms(100);

/// A burst that is so late spoils the rate of its cluster.
const MAX_DELAY: TimeDelta = TimeDelta::from_ms(20);

/// Media packets of this size start a cluster: where only audio flows nothing is gained by it.
pub(crate) const MIN_MEDIA_PACKET: DataSize = DataSize::from_bytes(200);

#[derive(Clone, Copy, Debug)]
struct Sending {
    cluster: ProbeCluster,
    requested: Timestamp,
    started: Option<Timestamp>,
    bursts: u8,
    /// Bytes that were asked for, and those that were sent.
    due: DataSize,
    sent: DataSize,
}

impl Sending {
    fn is_over(&self) -> bool {
        self.bursts >= ProbeCluster::MIN_PACKETS && self.due.max(self.sent) >= self.cluster.min_size()
    }

    /// When the next burst keeps the rate; none before the first, which any time is good for.
    fn next_burst(&self) -> Option<Timestamp> {
        self.started.map(|started| started + self.due.max(self.sent).at(self.cluster.bitrate).into())
    }
}

/// libwebrtc's `BitrateProber`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prober {
    /// Since when media flow that bursts may be mixed with.
    active_since: Option<Timestamp>,
    /// At most [`MAX_WAITING`]. Elsewhere, as mostly there are none, and each packet has a look.
    clusters: Vec<Sending>,
}

impl Prober {
    /// Asks for a cluster, to be sent with the media that follow.
    pub(crate) fn add(&mut self, cluster: ProbeCluster, now: Timestamp) {
        self.clusters.retain(|waiting| now - waiting.requested <= TIMEOUT);
        if self.clusters.len() >= MAX_WAITING {
            self.clusters.remove(0);
        }
        self.clusters.push(Sending {
            cluster,
            requested: now,
            started: None,
            bursts: 0,
            due: DataSize::ZERO,
            sent: DataSize::ZERO,
        });
    }

    /// Begins with what was asked for, as no media will follow.
    pub(crate) fn start(&mut self, now: Timestamp) {
        if !self.clusters.is_empty() {
            self.active_since.get_or_insert(now);
        }
    }

    /// Notes a packet that leaves. Answers the cluster that it counts into: media start a cluster and are part of it, as
    /// they share its rate.
    pub(crate) fn handle_sent(
        &mut self,
        size: DataSize,
        probe: Option<ProbeClusterId>,
        now: Timestamp,
    ) -> Option<ProbeClusterId> {
        let is_media = probe.is_none();
        if is_media && self.active_since.is_none() {
            let burst = self.clusters.first()?.cluster.burst_size();
            if size < MIN_MEDIA_PACKET.min(burst) {
                return None;
            }
            self.clusters.retain(|waiting| now - waiting.requested <= TIMEOUT);
            self.active_since = Some(now);
        }
        let Some(first) = self.clusters.first_mut() else {
            self.active_since = None;
            return probe;
        };
        let id = first.cluster.id;
        if !is_media && probe != Some(id) {
            return probe;
        }
        first.started.get_or_insert(now);
        first.sent = first.sent + size;
        // Media that take up more than the cluster's rate leave no room for bursts; they end it all the same.
        let is_overdue = first.started.is_some_and(|started| now - started > MAX_DURATION);
        if first.is_over() || is_overdue && first.sent >= first.cluster.min_size() {
            self.drop_first();
        }
        Some(id)
    }

    /// Whether nothing is asked for, so that a packet of media changes nothing.
    pub(crate) const fn is_idle(&self) -> bool {
        self.active_since.is_none() && self.clusters.is_empty()
    }

    /// Whether bursts are to come.
    pub(crate) const fn is_active(&self) -> bool {
        self.active_since.is_some()
    }

    /// When a burst is due; may lie in the past.
    pub(crate) fn next_burst(&self) -> Option<Timestamp> {
        let active_since = self.active_since?;
        self.clusters.first().map(|first| first.next_burst().unwrap_or(active_since))
    }

    /// The burst that is due now. What it asks for counts as sent, so that the next is due later even if there was
    /// nothing to send.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Probe> {
        loop {
            self.active_since?;
            let first = self.clusters.first()?;
            let delay = first.next_burst().map_or(TimeDelta::ZERO, |due| now - due);
            if delay < TimeDelta::ZERO {
                return None;
            }
            if !first.is_over() && delay <= MAX_DELAY {
                break;
            }
            self.drop_first();
        }
        let first = self.clusters.first_mut()?;
        first.started.get_or_insert(now);
        first.bursts = first.bursts.saturating_add(1);
        let size = first.cluster.burst_size();
        // Of what was sent beyond the last request, the time is over now.
        first.due = first.due.max(first.sent) + size;
        Some(Probe { cluster: first.cluster.id, bitrate: first.cluster.bitrate, size })
    }

    fn drop_first(&mut self) {
        self.clusters.remove(0);
        if self.clusters.is_empty() {
            self.active_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bitrate;

    const MEDIA: DataSize = DataSize::from_bytes(1000);

    fn at(ms: i64) -> Timestamp {
        Timestamp::ZERO + TimeDelta::from_ms(ms)
    }

    fn cluster(kbps: u64) -> ProbeCluster {
        ProbeCluster { id: ProbeClusterId::FIRST, bitrate: Bitrate::from_kbps(kbps) }
    }

    /// Polls each millisecond and sends what is due in packets of 1200 bytes. Answers when, how much was asked, and how
    /// much was sent.
    fn run(prober: &mut Prober, from_ms: i64) -> Vec<(i64, u64, u64)> {
        let mut bursts = Vec::new();
        for ms in from_ms..from_ms + 200 {
            while let Some(probe) = prober.poll(at(ms)) {
                let packets = probe.size.bytes().div_ceil(1200);
                for _ in 0..packets {
                    prober.handle_sent(DataSize::from_bytes(1200), Some(probe.cluster), at(ms));
                }
                bursts.push((ms, probe.size.bytes(), packets * 1200));
            }
        }
        bursts
    }

    #[test]
    fn a_cluster_starts_with_media_and_keeps_its_rate() {
        let mut prober = Prober::default();
        prober.add(cluster(4800), at(0));
        assert_eq!(prober.next_burst(), None);
        prober.handle_sent(DataSize::from_bytes(100), None, at(5));
        assert_eq!(prober.poll(at(5)), None);
        prober.handle_sent(MEDIA, None, at(10));
        // 1200 bytes each 2 ms are 4.8 Mbit/s; 15 ms of that are 9000 bytes, the first 1000 of which are media.
        let bursts = run(&mut prober, 10);
        assert_eq!(bursts.iter().map(|burst| burst.0).collect::<Vec<_>>(), [12, 14, 16, 18, 20, 22, 24]);
        assert!(bursts.iter().all(|burst| burst.1 == 1200));
        assert_eq!(prober.next_burst(), None);
    }

    #[test]
    fn media_that_leave_meanwhile_are_part_of_a_cluster() {
        let mut prober = Prober::default();
        prober.add(cluster(4800), at(0));
        assert_eq!(prober.handle_sent(DataSize::from_bytes(100), None, at(0)), None);
        // Three bursts' worth of media: the next burst is due later for it.
        for _ in 0..3 {
            let counted = prober.handle_sent(DataSize::from_bytes(1200), None, at(1));
            assert_eq!(counted, Some(ProbeClusterId::FIRST));
        }
        assert_eq!(prober.poll(at(6)), None);
        assert_eq!(prober.next_burst(), Some(at(7)));
    }

    #[test]
    fn media_above_its_rate_end_a_cluster() {
        let mut prober = Prober::default();
        prober.add(cluster(500), at(0));
        let counted = (0..200).filter(|ms| prober.handle_sent(MEDIA, None, at(*ms)).is_some()).count();
        assert_eq!((counted, prober.next_burst()), (102, None));
    }

    #[test]
    fn packets_larger_than_a_burst_spread_it() {
        let mut prober = Prober::default();
        prober.add(cluster(900), at(0));
        prober.handle_sent(MEDIA, None, at(0));
        // 1200 bytes at 900 kbit/s take 10.7 ms; five bursts at least.
        assert_eq!(run(&mut prober, 0).into_iter().map(|burst| burst.0).collect::<Vec<_>>(), [9, 20, 31, 41, 52]);
    }

    #[test]
    fn a_cluster_ends_though_there_is_nothing_to_send() {
        let mut prober = Prober::default();
        prober.add(cluster(4800), at(0));
        prober.handle_sent(MEDIA, None, at(0));
        let bursts = (0..100).filter(|ms| prober.poll(at(*ms)).is_some()).count();
        assert_eq!(bursts, 7);
        assert_eq!(prober.next_burst(), None);
    }

    #[test]
    fn late_bursts_end_a_cluster_and_old_clusters_do_not_start() {
        let mut prober = Prober::default();
        prober.add(cluster(4800), at(0));
        prober.handle_sent(MEDIA, None, at(0));
        assert!(prober.poll(at(2)).is_some());
        assert_eq!(prober.poll(at(30)), None);
        prober.add(cluster(4800), at(100));
        prober.handle_sent(MEDIA, None, at(5101));
        assert_eq!(prober.poll(at(5101)), None);
        assert!(prober.clusters.is_empty());
    }

    #[test]
    fn waiting_clusters_are_bounded() {
        let mut prober = Prober::default();
        for _ in 0..100 {
            prober.add(cluster(4800), at(0));
        }
        assert_eq!(prober.clusters.len(), MAX_WAITING);
    }
}
