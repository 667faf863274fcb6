//! What the path to one receiver carries, what goes out beside media to find that out, and what waits so that media do not
//! come in bursts.
//!
//! Here: the estimator and its surroundings: sizes on the wire, padding, the queue in front of the
//! pacer, what control is told. Not here: the estimation (`bwe`), which packets fill a probe (`source`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bwe::{BandwidthEstimator, Demand, FeedbackKind, Pace, Pacer, PacerSettings, ProbeClusterId, QueueState, Settings};
use model::{Bitrate, DataSize, FiveTuple, TransportProtocol, TwccSeq, prefetch};
use rtp::rtcp::{ReceiverEstimatedMaxBitrate, TwccFeedback};

use super::Held;
use super::egress::Pending;
use super::packet::SharedSlot;
use super::wheel::Due;
use crate::keys::SourceId;

/// A bandwidth that rose above this part of another one is worth a new decision (JVB's `bwe-change-threshold`), or one that
/// fell below the other part: what does not fit any more stands in a queue.
const MIN_RISE: f64 = 1.15;
const MIN_FALL: f64 = 0.95;
/// Padding is sent this often, while any is.
const PADDING_INTERVAL: Duration = Duration::from_millis(10);
/// Padding that one interval may make up for earlier ones, and media for which no padding is sent later, in time at the
/// estimate.
const MAX_PADDING_DEBT: Duration = Duration::from_millis(40);
const MAX_PADDING_CREDIT: Duration = Duration::from_millis(500);
/// Bytes around an RTP packet: SRTP's tag (AES-GCM), UDP, and IP in its two versions.
const SRTP_TAG: u16 = 16;
const UDP: u16 = 8;
const IPV4: u16 = 20;
const IPV6: u16 = 40;
/// RFC 4571's frame and TCP's header, shared by the packets of a segment.
const TCP: u16 = 22;

/// No packet is to wait longer: where more comes, it leaves faster than the path is thought to carry.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// Time at the pace, which is two and a half times the estimate, whose packets may leave at once: an ordinary frame, of 50 ms
/// of the path, is not taken apart.
const BURST: Duration = Duration::from_millis(20);
/// How much later an estimate without news may be looked at.
const ESTIMATE_SLACK: Duration = Duration::from_millis(50);
/// Packets that wait at most; beyond, none does.
const MAX_WAITING: usize = 1024;

/// Whether `now` is so much more or less than `before` that it matters at once.
pub(crate) fn is_other_bandwidth(before: Bitrate, now: Bitrate) -> bool {
    now > before.scaled(MIN_RISE) || now < before.scaled(MIN_FALL)
}

/// Whether two paths are likely to share no line. Another port alone is another binding of the same NAT, or another
/// candidate of the same interface (libwebrtc compares networks: `IsRelevantRouteChange`).
fn is_other_line(before: &FiveTuple, now: &FiveTuple) -> bool {
    before.protocol != now.protocol || before.remote.ip() != now.remote.ip() || before.local.ip() != now.local.ip()
}

/// Packets beside media that are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) size: DataSize,
    pub(crate) probe: Option<ProbeClusterId>,
}

/// A packet that waits for its time.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) slot: SharedSlot,
    pub(crate) pending: Pending,
    since: Instant,
}

/// Bandwidth to one receiver. What each packet needs stands first and together.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Bandwidth {
    /// When the first packet that waits may leave.
    release_at: Option<Instant>,
    /// Bytes sent since padding was last looked at.
    sent_bytes: u64,
    /// Bytes around each packet.
    overhead: u16,
    kind: FeedbackKind,
    /// The receiver has sent feedback. One that does not is not held back: there is nothing to go by.
    is_answered: bool,
    estimator: BandwidthEstimator,
    pacer: Pacer,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// The last path that was known.
    path: Option<FiveTuple>,
    /// What control was told.
    told: Option<Bitrate>,
    /// When padding was last looked at, and the bytes that are to be made up for.
    padded_at: Option<Instant>,
    padding_debt: i64,
    /// The source whose packets filled the last probe.
    pub(crate) filler: Option<SourceId>,
}

impl Bandwidth {
    pub(crate) fn new(settings: Settings, path: Option<FiveTuple>, now: Instant) -> Self {
        let kind = settings.feedback;
        let estimator = BandwidthEstimator::new(now, settings);
        let pacing = PacerSettings { queue_time_limit: MAX_WAIT, burst: BURST };
        let mut bandwidth = Self {
            pacer: Pacer::new(now, estimator.estimate(), pacing),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            release_at: None,
            estimator,
            kind,
            is_answered: false,
            path: None,
            overhead: 0,
            told: None,
            sent_bytes: 0,
            padded_at: None,
            padding_debt: 0,
            filler: None,
        };
        bandwidth.set_path(path, now);
        bandwidth
    }

    /// Brings near what a packet that is sent needs.
    pub(crate) fn prefetch(&self) {
        prefetch(self, std::mem::offset_of!(Self, estimator));
        self.estimator.prefetch_sent();
    }

    /// Brings near what a packet to one who answers needs besides; to be called when [`prefetch`](Self::prefetch) was a while
    /// ago.
    pub(crate) fn prefetch_pacer(&self) {
        if self.is_answered {
            prefetch(&self.pacer, size_of::<Pacer>());
            prefetch(&self.waiting, size_of::<VecDeque<Waiting>>());
        }
    }

    pub(crate) const fn kind(&self) -> FeedbackKind {
        self.kind
    }

    /// The peer is reached over another path. Where that is another line, all is learnt anew.
    pub(crate) fn set_path(&mut self, path: Option<FiveTuple>, now: Instant) {
        // One that is lost leaves nothing to send over; the next may be the same again.
        let Some(path) = path else { return };
        let transport = match path.protocol {
            TransportProtocol::Udp => UDP,
            TransportProtocol::Tcp => TCP,
        };
        self.overhead = SRTP_TAG + transport + if path.remote.is_ipv4() { IPV4 } else { IPV6 };
        let before = self.path.replace(path);
        if before.is_some_and(|before| is_other_line(&before, &path)) {
            self.estimator.on_path_change();
            self.pacer.set_estimate(now, self.estimator.estimate());
        }
    }

    /// A packet leaves, `len` bytes of RTP. Answers its transport-wide number.
    pub(crate) fn handle_sent(&mut self, len: u16, probe: Option<ProbeClusterId>, now: Instant) -> TwccSeq {
        let size = self.size_of(len);
        self.sent_bytes += size.bytes();
        self.estimator.handle_sent(now, size, probe)
    }

    /// A packet without transport-wide number leaves, `len` bytes of RTP.
    pub(crate) const fn handle_untracked(&mut self, len: u16) {
        self.estimator.handle_untracked(self.size_of(len));
    }

    /// What a packet of `len` bytes of RTP takes of the path.
    const fn size_of(&self, len: u16) -> DataSize {
        DataSize::from_bytes(len as u64 + self.overhead as u64)
    }

    pub(crate) fn handle_feedback(&mut self, feedback: &TwccFeedback<'_>, now: Instant) {
        self.estimator.handle_feedback(now, feedback);
        self.pacer.set_estimate(now, self.estimator.estimate());
        self.is_answered |= self.kind == FeedbackKind::TransportWide;
    }

    pub(crate) fn handle_remb(&mut self, remb: &ReceiverEstimatedMaxBitrate<'_>, now: Instant) {
        self.estimator.handle_remb(now, remb.bitrate);
        self.pacer.set_estimate(now, self.estimator.estimate());
        self.is_answered |= self.kind == FeedbackKind::Remb;
    }

    /// What receiver reports say of one stream since the one before.
    pub(crate) fn handle_reported_loss(&mut self, lost: u64, expected: u64, now: Instant) {
        self.estimator.handle_receiver_report_loss(now, lost, expected);
    }

    pub(crate) fn handle_rtt(&mut self, rtt: Duration) {
        self.estimator.handle_rtt(rtt);
    }

    /// Control tells what is sent, and what would be if there were room.
    pub(crate) fn set_demand(&mut self, demand: Demand, now: Instant) {
        self.estimator.set_demand(now, demand);
        if self.is_padded() && self.padded_at.is_none() {
            self.begin_padding(now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.estimator.handle_timeout(now);
        self.pacer.set_estimate(now, self.estimator.estimate());
    }

    /// Whether all packets of a round may leave now, which they do then; else some have to be [held back](Self::hold_back).
    pub(super) fn has_room_for<'a>(&mut self, round: impl Iterator<Item = &'a Pending>, now: Instant) -> bool {
        if !self.is_answered {
            return true;
        }
        if !self.waiting.is_empty() {
            return false;
        }
        let all = DataSize::from_bytes(round.map(|pending| self.size_of(pending.len()).bytes()).sum());
        let has_room = all <= self.pacer.room(now);
        if has_room {
            self.pacer.handle_sent(now, all);
        }
        has_room
    }

    /// Takes what has to wait out of the packets of a round. Audio, and packets that are sent again, do not wait.
    pub(super) fn hold_back(&mut self, round: &mut Vec<Pending>, held: &[Held], now: Instant) {
        round.retain(|pending| {
            let size = self.size_of(pending.len());
            let slot = held.get(pending.held as usize).map(|held| &held.slot);
            let is_video = slot.and_then(|slot| slot.descriptor()).is_some_and(|descriptor| !descriptor.is_audio());
            let waits = is_video && pending.is_first() && self.waiting.len() < MAX_WAITING;
            if let (true, Some(slot)) = (waits, slot)
                && (!self.waiting.is_empty() || self.poll_pacer(now) != Pace::Now)
            {
                self.waiting_bytes += size.bytes();
                self.waiting.push_back(Waiting { slot: slot.clone(), pending: *pending, since: now });
                return false;
            }
            self.pacer.handle_sent(now, size);
            true
        });
        if !self.waiting.is_empty() {
            self.release_at = match self.poll_pacer(now) {
                Pace::Now => Some(now),
                Pace::At(at) => Some(at),
            };
        }
    }

    /// The next packet that waited and may leave now; to be asked until it answers none.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Waiting> {
        self.release_at = None;
        self.waiting.front()?;
        match self.poll_pacer(now) {
            Pace::Now => {
                let released = self.waiting.pop_front()?;
                let size = self.size_of(released.pending.len());
                self.waiting_bytes = self.waiting_bytes.saturating_sub(size.bytes());
                self.pacer.handle_sent(now, size);
                Some(released)
            }
            Pace::At(at) => {
                self.release_at = Some(at);
                None
            }
        }
    }

    /// How long the oldest of what waits has waited: what came later was not sent yet.
    pub(crate) fn longest_wait(&self, now: Instant) -> Duration {
        self.waiting.front().map(|waiting| now.saturating_duration_since(waiting.since)).unwrap_or_default()
    }

    fn poll_pacer(&mut self, now: Instant) -> Pace {
        let size = DataSize::from_bytes(self.waiting_bytes);
        let average_wait = self.longest_wait(now);
        self.pacer.poll(now, QueueState { size, average_wait })
    }

    /// When there is something to do, if that may be sooner for what was just sent.
    pub(crate) fn timeout_after_round(&mut self) -> Option<Due> {
        if self.release_at.is_some() || self.estimator.is_probing() { self.next_timeout() } else { None }
    }

    /// When there is something to do.
    pub(crate) fn next_timeout(&mut self) -> Option<Due> {
        let estimate = self.estimator.poll_timeout().map(|at| {
            // Bursts of a probe have their times; all else goes by seconds.
            if self.estimator.is_probing() { Due::at(at) } else { Due::within(at, ESTIMATE_SLACK) }
        });
        let padding = self.padded_at.map(|at| at + PADDING_INTERVAL);
        let packets = [padding, self.release_at].into_iter().flatten().map(Due::at);
        packets.chain(estimate).reduce(Due::sooner)
    }

    /// What is to be sent beside media now; to be asked until it answers none.
    pub(crate) fn poll_fill(&mut self, now: Instant) -> Option<Fill> {
        if let Some(probe) = self.estimator.poll_probe(now) {
            return Some(Fill { size: probe.size, probe: Some(probe.cluster) });
        }
        if !self.is_padded() {
            self.padded_at = None;
            return None;
        }
        let Some(padded_at) = self.padded_at else {
            self.begin_padding(now);
            return None;
        };
        let elapsed = now.saturating_duration_since(padded_at);
        if elapsed < PADDING_INTERVAL {
            return None;
        }
        // An estimate does not grow beyond what is sent: media and padding are as much as it allows.
        let bytes = |size: DataSize| i64::try_from(size.bytes()).unwrap_or(i64::MAX);
        let estimate = self.estimator.estimate();
        let (most, least) = (bytes(estimate.over(MAX_PADDING_DEBT)), -bytes(estimate.over(MAX_PADDING_CREDIT)));
        let sent = i64::try_from(std::mem::take(&mut self.sent_bytes)).unwrap_or(i64::MAX);
        let due = bytes(estimate.over(elapsed)).saturating_sub(sent);
        self.padding_debt = self.padding_debt.saturating_add(due).clamp(least, most);
        self.padded_at = Some(now);
        let size = u64::try_from(self.padding_debt).ok().filter(|size| *size > 0)?;
        Some(Fill { size: DataSize::from_bytes(size), probe: None })
    }

    const fn begin_padding(&mut self, now: Instant) {
        (self.padded_at, self.sent_bytes, self.padding_debt) = (Some(now), 0, 0);
    }

    fn is_padded(&self) -> bool {
        self.is_answered && self.estimator.padding() > Bitrate::ZERO
    }

    /// What the path carries for video, all packets with their headers, if control has to know now.
    pub(crate) fn poll_report(&mut self) -> Option<Bitrate> {
        let estimate = self.estimator.estimate();
        let is_news = match self.told {
            None => self.is_answered,
            Some(told) => is_other_bandwidth(told, estimate),
        };
        is_news.then(|| *self.told.insert(estimate))
    }

    /// As [`poll_report`](Self::poll_report), for what control is to be told now and then.
    pub(crate) fn report(&mut self) -> Option<Bitrate> {
        let estimate = self.estimator.estimate();
        if !self.is_answered || self.told == Some(estimate) {
            return None;
        }
        self.told = Some(estimate);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(remote: &str) -> FiveTuple {
        FiveTuple::udp("10.0.0.1:10000".parse().unwrap(), remote.parse().unwrap())
    }

    /// Answers the estimate, of 8 Mbit/s before, after a path and then some others.
    fn estimate_after(paths: &[Option<FiveTuple>]) -> Bitrate {
        let now = sim::start();
        let mut bandwidth = Bandwidth::new(Settings { feedback: FeedbackKind::Remb, ..Settings::default() }, None, now);
        bandwidth.set_path(Some(path("192.0.2.1:5000")), now);
        bandwidth.estimator.handle_remb(now, Bitrate::from_kbps(8000));
        paths.iter().for_each(|path| bandwidth.set_path(*path, now));
        bandwidth.estimator.estimate()
    }

    #[test]
    fn another_line_is_learnt_anew() {
        let (known, initial) = (Bitrate::from_kbps(8000), Settings::default().initial);
        let tcp = FiveTuple { protocol: TransportProtocol::Tcp, ..path("192.0.2.1:5000") };
        for (paths, expected) in [
            (vec![Some(path("192.0.2.1:5000"))], known),
            (vec![Some(path("192.0.2.1:6000"))], known),
            (vec![None, Some(path("192.0.2.1:5000"))], known),
            (vec![Some(path("198.51.100.1:5000"))], initial),
            (vec![None, Some(path("198.51.100.1:5000"))], initial),
            (vec![Some(path("[2001:db8::1]:5000"))], initial),
            (vec![Some(tcp)], initial),
        ] {
            assert_eq!(estimate_after(&paths), expected, "{paths:?}");
        }
    }
}
