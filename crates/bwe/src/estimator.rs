//! [`BandwidthEstimator`]: what is sent and acknowledged goes through all estimators, and probes come out
//! (libwebrtc's `GoogCcNetworkController` and `TransportFeedbackAdapter`).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use model::{Bitrate, DataSize, TwccSeq, prefetch};
use rtp::rtcp::TwccFeedback;

use crate::alr::AlrDetector;
use crate::arrival_clock::{ArrivalClock, arrival_delta};
use crate::delay_based::{DelayBasedBwe, DelayBasedUpdate, ReceivedPacket, Throughput};
use crate::loss_based::LossBasedState;
use crate::missing::Missing;
use crate::probe::{Probe, ProbeCluster, ProbeClusterId};
use crate::probe_controller::{Clusters, LimitedBy, ProbeController};
use crate::probe_rate::{ProbeRateEstimator, ProbeResult};
use crate::prober::{MIN_MEDIA_PACKET, Prober};
use crate::reported::Reported;
use crate::send_side::{LineState, SendSideBwe};
use crate::sent_packets::{Lookup, SentPacket, SentPackets};
use crate::standing_queue::{QueueReport, StandingQueue};
use crate::throughput::ThroughputEstimator;
use crate::time::{TimeDelta, Timestamp};
use crate::trendline::BandwidthUsage;

/// A probe that finds far less than what got through lately is not believed further down than this part of it.
const PROBE_DROP: f64 = 0.85;

/// With so much of inherent loss, a probe that lost packets is no measure of the line.
const MIN_LOSS_OF_PROBES: f64 = 0.01;

/// What got through in the quarter of a second of an excess of loss is a rough measure. Where it is not much less than the
/// average of a second, that is the better one.
const ROUGH: f64 = 0.85;

/// Size of a packet of video, and the least rate at which it is thought to take its time.
const PACKET: DataSize = DataSize::from_bytes(1200);
const MIN_PACKET_RATE: Bitrate = Bitrate::from_kbps(30);

/// Packets that are noted before the rest is told of them. A bridge has an estimator for each receiver, and every packet visits
/// all of them: what a packet is noted in is near the processor then, or a line away, and the rest is not.
const MAX_NOTED: usize = 7;
/// How long they may be: not as long as it takes their times to go round.
const MAX_NOTED_FOR: TimeDelta = TimeDelta::from_secs(10);

/// What a receiver sends feedback with, as was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FeedbackKind {
    /// Transport-wide feedback: the sender estimates (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    #[default]
    TransportWide,
    /// REMB: the receiver estimates and tells (draft-alvestrand-rmcat-remb-03). Clients of before 2017.
    Remb,
}

/// Bounds of an estimate. The defaults are those of jitsi-videobridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Estimate before anything is known.
    pub initial: Bitrate,
    /// The estimate never falls below.
    pub min: Bitrate,
    /// The estimate never grows beyond.
    pub max: Bitrate,
    /// What the receiver sends.
    pub feedback: FeedbackKind,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial: Bitrate::from_kbps(2500),
            min: Bitrate::from_kbps(30),
            max: Bitrate::from_kbps(20_000),
            feedback: FeedbackKind::TransportWide,
        }
    }
}

/// What an estimator knows, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// See [`BandwidthEstimator::estimate`].
    pub estimate: Bitrate,
    /// See [`BandwidthEstimator::loss`].
    pub loss: f64,
    /// Part of what is sent that the line loses at whatever rate, as far as that is known.
    pub inherent_loss: f64,
    /// What reaches the receiver, none with too little feedback.
    pub throughput: Option<Bitrate>,
    /// The rate that delays allow; zero before the first feedback.
    pub delay_based: Bitrate,
    /// What delays say.
    pub usage: BandwidthUsage,
    /// What loss says.
    pub loss_state: LossBasedState,
    /// Whether less is sent than could be.
    pub is_application_limited: bool,
    /// Events since the start.
    pub counters: Counters,
}

/// Events since the start of an estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Feedbacks taken.
    pub feedbacks: u64,
    /// Feedbacks dropped: of the kind that was not negotiated, or about what was sent long ago.
    pub dropped_feedbacks: u64,
    /// Statuses that said nothing new, or were about packets that were not sent or are not remembered.
    pub ignored_statuses: u64,
    /// Probe clusters asked for.
    pub probe_clusters: u64,
    /// Times that a probe cluster found a rate.
    pub probe_results: u64,
}

/// What is sent, and what would be if the line carried it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The rate of what is sent.
    pub sent: Bitrate,
    /// What all that is wanted would take.
    pub ideal: Bitrate,
    /// Something that is wanted is not sent at all, as not even its lowest layer fits.
    pub is_starved: bool,
}

/// Estimates what the path to one receiver carries, out of its feedback.
///
/// Told what is sent and what comes back; asked for the estimate at any time. After each `handle_*` call,
/// [`Self::poll_probe`] and [`Self::poll_timeout`] may have changed. Memory: some kilobytes, bounded; once warm nothing
/// is allocated.
///
/// What each packet needs stands first, as a bridge has an estimator for each receiver and every packet visits them all.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct BandwidthEstimator {
    /// When the last packet left, for us and as an `Instant`: the packets of a batch leave at once.
    last_sent: (Instant, Timestamp),
    epoch: Instant,
    /// The next transport-wide number, without wrap.
    next: u64,
    /// What was sent of which no feedback tells.
    untracked: DataSize,
    /// Packets that left and that the rest was not told of yet.
    noted: ArrayVec<Noted, MAX_NOTED>,
    /// Nothing waits for the next packet, so that it may be noted only.
    may_be_noted: bool,
    sent: SentPackets,
    alr: AlrDetector,
    prober: Prober,
    /// The probes of the start are still to come, with the first media.
    awaits_media: bool,
    settings: Settings,
    send_side: SendSideBwe,
    probe_controller: ProbeController,
    arrival_clock: ArrivalClock,
    throughput: ThroughputEstimator,
    probe_rates: ProbeRateEstimator,
    delay_based: DelayBasedBwe,
    standing_queue: StandingQueue,
    is_queue_long: bool,
    demand: Demand,
    was_application_limited: bool,
    /// The last estimate of which all that goes by it was told, and when.
    told: Option<(Timestamp, Bitrate)>,
    counters: Counters,
    /// What one feedback says, and of that what is missing; kept for their memory.
    reported: Reported,
    missing: Missing,
}

/// A packet that left.
#[derive(Clone, Copy, Debug)]
struct Noted {
    /// Low 32 bits of the time.
    sent_micros: u32,
    size: u16,
}

impl BandwidthEstimator {
    /// An estimator for a transport over which nothing was sent yet.
    #[must_use]
    pub fn new(now: Instant, settings: Settings) -> Self {
        let max = settings.max.max(settings.min);
        let settings = Settings { max, initial: settings.initial.clamp(settings.min, max), ..settings };
        let Settings { initial, min, .. } = settings;
        let sent = SentPackets::new();
        Self {
            epoch: now,
            next: sent.next(),
            noted: ArrayVec::new_const(),
            may_be_noted: false,
            last_sent: (now, Timestamp::ZERO),
            settings,
            sent,
            awaits_media: true,
            arrival_clock: ArrivalClock::default(),
            throughput: ThroughputEstimator::new(),
            probe_rates: ProbeRateEstimator::default(),
            delay_based: DelayBasedBwe::starting_at(initial, min),
            standing_queue: StandingQueue::default(),
            is_queue_long: false,
            send_side: SendSideBwe::new(initial, min, max),
            alr: AlrDetector::new(initial),
            probe_controller: ProbeController::new(initial, max),
            prober: Prober::default(),
            untracked: DataSize::ZERO,
            demand: Demand::default(),
            was_application_limited: false,
            told: None,
            counters: Counters::default(),
            reported: Reported::new(),
            missing: Missing::default(),
        }
    }

    /// Brings near what [`handle_sent`](Self::handle_sent) needs of most packets.
    #[inline(always)]
    pub fn prefetch_sent(&self) {
        prefetch(self, std::mem::offset_of!(Self, sent));
    }

    /// The path is another one from here on: what was learnt of the old one is forgotten, and the probes of the start follow.
    /// The estimate starts where it was, but not above [`Settings::initial`] (libwebrtc's `OnNetworkRouteChange` with
    /// `SafeResetOnRouteChange`).
    pub fn on_path_change(&mut self) {
        let Settings { initial, min, max, .. } = self.settings;
        let start = initial.min(self.estimate());
        self.catch_up();
        // Nothing is learnt from what feedback says of the old path any more.
        self.sent.forget_all();
        self.throughput = ThroughputEstimator::new();
        self.probe_rates = ProbeRateEstimator::default();
        self.delay_based = DelayBasedBwe::starting_at(start, min);
        self.standing_queue = StandingQueue::default();
        self.is_queue_long = false;
        self.send_side = SendSideBwe::new(start, min, max);
        self.alr = AlrDetector::new(start);
        self.was_application_limited = false;
        self.awaits_media = true;
        self.probe_controller.restart(start);
        self.prober = Prober::default();
        self.may_be_noted = false;
    }

    /// A packet leaves now, `size` bytes with all headers that the path carries; `probe` where [`Self::poll_probe`] asked
    /// for it. Answers its transport-wide number. A packet that does not leave after all counts as lost.
    #[inline]
    pub fn handle_sent(&mut self, now: Instant, size: DataSize, probe: Option<ProbeClusterId>) -> TwccSeq {
        if self.last_sent.0 != now {
            let at = self.at(now);
            // The low bits of a time say which it is as long as the others are near.
            if at - self.last_sent.1 > MAX_NOTED_FOR {
                self.catch_up();
            }
            self.last_sent = (now, at);
        }
        if !self.may_be_noted || probe.is_some() {
            return self.handle_sent_now(size, probe);
        }
        if self.noted.is_full() {
            self.catch_up();
        }
        let size = u16::try_from(size.bytes()).unwrap_or(u16::MAX);
        self.noted.push(Noted { sent_micros: self.last_sent.1.micros() as u32, size });
        self.next += 1;
        TwccSeq((self.next - 1) as u16)
    }

    /// A packet leaves that may be part of a probe, or may begin one.
    #[inline(never)]
    fn handle_sent_now(&mut self, size: DataSize, probe: Option<ProbeClusterId>) -> TwccSeq {
        self.catch_up();
        let (_, now) = self.last_sent;
        let probe = match self.settings.feedback {
            FeedbackKind::Remb => None,
            FeedbackKind::TransportWide => {
                if self.awaits_media && size >= MIN_MEDIA_PACKET {
                    self.awaits_media = false;
                    let clusters = self.probe_controller.start(now);
                    self.send_probes(&clusters, now);
                }
                let probe = self.prober.handle_sent(size, probe, now);
                if let Some(cluster) = probe {
                    self.probe_rates.handle_sent(cluster, self.untracked, now);
                }
                self.may_be_noted = !self.awaits_media && self.prober.is_idle();
                probe
            }
        };
        let seq = self.note_sent(now, size, probe);
        self.next = self.sent.next();
        seq
    }

    /// Tells the rest of the packets that were only noted.
    fn catch_up(&mut self) {
        let (_, last) = self.last_sent;
        for Noted { sent_micros, size } in std::mem::take(&mut self.noted) {
            let age = (last.micros() as u32).wrapping_sub(sent_micros).cast_signed();
            let at = Timestamp::from_micros(last.micros() - i64::from(age));
            self.note_sent(at, DataSize::from_bytes(size.into()), None);
        }
    }

    fn note_sent(&mut self, now: Timestamp, size: DataSize, probe: Option<ProbeClusterId>) -> TwccSeq {
        if self.settings.feedback == FeedbackKind::TransportWide {
            self.send_side.handle_sent(now);
        }
        self.alr.handle_sent(size, now);
        self.sent.push(now, size, probe)
    }

    /// A packet leaves that has no transport-wide number, as audio often has none: probes leave it its part of the line.
    pub const fn handle_untracked(&mut self, size: DataSize) {
        self.untracked = DataSize::from_bytes(self.untracked.bytes().wrapping_add(size.bytes()));
    }

    /// Takes a transport-wide feedback. What it says of numbers that were not given out is ignored.
    pub fn handle_feedback(&mut self, now: Instant, feedback: &TwccFeedback<'_>) {
        self.catch_up();
        let now = self.at(now);
        let mut arrived = self.arrival_clock.base(feedback.header.reference_time, now);
        if self.settings.feedback != FeedbackKind::TransportWide || self.sent.is_stale(feedback.header.base_seq) {
            self.counters.dropped_feedbacks += 1;
            return;
        }
        self.counters.feedbacks += 1;
        self.probe_controller.on_feedback();
        self.reported.unheard.extend(self.sent.unheard_before(feedback.header.base_seq));
        for (seq, delta) in feedback.statuses() {
            if let Some(delta) = delta {
                arrived = arrived + arrival_delta(delta);
            }
            if delta.is_some() {
                self.on_missing();
            }
            let packet = match self.sent.handle_status(seq, delta.is_some()) {
                Lookup::News(packet) => packet,
                Lookup::Nothing => {
                    self.counters.ignored_statuses += 1;
                    continue;
                }
                Lookup::NotSentYet => {
                    self.counters.ignored_statuses += 1;
                    break;
                }
            };
            let SentPacket { number, sent, size, probe } = packet;
            if delta.is_some() {
                self.send_side.on_received(number, sent, size);
                self.reported.on_received(ReceivedPacket { sent, arrived, size, probe });
            } else {
                self.missing.push(packet);
                if let Some(cluster) = probe {
                    self.probe_rates.handle_lost(cluster);
                }
            }
        }
        self.on_missing();
        self.sent.forget_oldest();
        self.sent.shrink_idle();
        self.on_feedback(now);
        self.reported.clear();
    }

    /// Takes a round trip out of reports (RFC 3550 §6.4.1).
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.delay_based.set_rtt(rtt.into());
        self.send_side.set_rtt(rtt.into());
    }

    /// Takes the loss since the report before, over all streams. Only where transport-wide feedback says nothing yet, or
    /// was not negotiated, the estimate heeds it.
    pub fn handle_receiver_report_loss(&mut self, now: Instant, lost: u64, expected: u64) {
        self.catch_up();
        let now = self.at(now);
        self.send_side.handle_reported_loss(lost, expected, now);
        self.on_estimate(now);
    }

    /// Takes what an old client says that it can receive. Ignored unless REMB was negotiated.
    pub fn handle_remb(&mut self, now: Instant, bitrate: Bitrate) {
        if self.settings.feedback != FeedbackKind::Remb {
            self.counters.dropped_feedbacks += 1;
            return;
        }
        self.counters.feedbacks += 1;
        let now = self.at(now);
        self.send_side.set_receiver_limit(bitrate, now);
        self.on_estimate(now);
    }

    /// Takes what is sent now, and what would be sent if the line carried it. There are probes only while the latter is
    /// more than the estimate; without this call, as if there were no limit to it.
    pub fn set_demand(&mut self, now: Instant, demand: Demand) {
        self.catch_up();
        let now = self.at(now);
        self.demand = demand;
        self.probe_controller.set_alr(self.alr.since());
        let clusters = self.probe_controller.set_demand(demand, now);
        self.send_probes(&clusters, now);
    }

    /// The rate at which the receiver can be sent to, all packets with their headers.
    #[must_use]
    pub fn estimate(&self) -> Bitrate {
        self.send_side.target()
    }

    /// Part of what was sent in the last seconds that was lost, 0 to 1, spikes left out.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.send_side.loss()
    }

    /// The rate of padding (or retransmissions) that media are to be filled up with, so that the estimate can grow to
    /// the next layer: an estimate does not grow far beyond what is sent. Zero where the estimate meets the demand, and
    /// while a queue stands in front of the line, which padding would keep there.
    #[must_use]
    pub fn padding(&self) -> Bitrate {
        let estimate = self.estimate();
        // Where nothing is sent, nobody tells that a queue is gone: a short one is not heeded.
        let is_queueing = if self.is_silent() { self.is_queue_long } else { self.standing_queue.is_there() };
        if self.demand.ideal <= estimate || is_queueing {
            Bitrate::ZERO
        } else {
            estimate.saturating_sub(self.demand.sent)
        }
    }

    /// Whether bursts of a probe are still to come, so that [`Self::poll_timeout`] may have become sooner by a packet sent.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        !self.may_be_noted && self.prober.is_active()
    }

    /// A burst that is due now. To be asked until it answers none.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        self.catch_up();
        self.prober.poll(self.at(now))
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_probe`] has something to do; may lie in the past. None while nothing
    /// flows.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.catch_up();
        let timeouts = [self.prober.next_burst(), self.probe_controller.next_timeout(), self.send_side.next_timeout()];
        let earliest = timeouts.into_iter().flatten().min()?;
        self.epoch.checked_add((earliest - Timestamp::ZERO).to_duration())
    }

    /// To be called at [`Self::poll_timeout`]; earlier does no harm. Then [`Self::poll_probe`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.catch_up();
        let now = self.at(now);
        self.send_side.handle_timeout(now);
        // Whoever handled a report has a look at what is due as well.
        if self.told != Some((now, self.estimate())) {
            self.on_estimate(now);
        }
        let clusters = self.probe_controller.handle_timeout(now);
        self.send_probes(&clusters, now);
    }

    /// What is known, for people.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            estimate: self.estimate(),
            loss: self.loss(),
            inherent_loss: self.send_side.inherent_loss().loss(),
            throughput: self.throughput.throughput(),
            delay_based: self.delay_based.last_rate(),
            usage: self.delay_based.usage(),
            loss_state: self.send_side.loss_state(),
            is_application_limited: self.alr.since().is_some(),
            counters: self.counters,
        }
    }

    /// No more of the packets in a row are missing.
    fn on_missing(&mut self) {
        for SentPacket { number, sent, size, .. } in self.missing.end() {
            self.send_side.on_lost(number, sent, size);
            self.reported.on_lost(size);
        }
    }

    /// All statuses are told.
    fn on_feedback(&mut self, now: Timestamp) {
        let is_application_limited = self.alr.since().is_some();
        if self.was_application_limited && !is_application_limited {
            self.probe_controller.on_alr_ended(now);
        }
        self.was_application_limited = is_application_limited;
        let has_arrivals = !self.reported.received.is_empty();
        let arrivals = if has_arrivals { self.on_arrivals(now) } else { DelayBasedUpdate::default() };
        self.on_losses(now);
        self.on_estimate(now);
        if arrivals.has_recovered {
            let clusters = self.probe_controller.on_recovered(now);
            self.send_probes(&clusters, now);
        }
        if arrivals.is_capacity_unknown {
            let clusters = self.probe_controller.on_unknown_capacity(now);
            self.send_probes(&clusters, now);
        }
    }

    /// At least one packet arrived.
    fn on_arrivals(&mut self, now: Timestamp) -> DelayBasedUpdate {
        self.reported.sort();
        self.send_side.set_propagation_rtt(self.reported.propagation_rtt(now));
        if let Some(first) = self.reported.received.first()
            && !self.reported.unheard.is_empty()
        {
            self.throughput.fill_gap(first.arrived, &self.reported.unheard, self.reported.arrived_part());
        }
        self.throughput.update(&self.reported.received);
        let throughput = self.as_sent(self.throughput.throughput());
        if let Some(throughput) = throughput {
            self.send_side.set_throughput(throughput);
        }
        let probe = self.probe_result(throughput);
        // What a sender did not send yet is no fault of the line.
        let latest = if self.was_application_limited { self.as_sent(self.throughput.latest()) } else { None };
        let rates = Throughput { average: throughput, at_overuse: throughput.max(latest) };
        let mut update = self.delay_based.update(&self.reported.received, rates, probe, now);
        let queue = self.queue_report(throughput);
        if self.standing_queue.update(queue, now)
            && let Some(throughput) = throughput
        {
            let rate = self.delay_based.trigger_overuse(throughput, now);
            update = DelayBasedUpdate { rate, ..DelayBasedUpdate::default() };
        }
        self.is_queue_long = self.standing_queue.is_long(now);
        if let Some(rate) = update.rate {
            if update.by_probe {
                self.send_side.set_probed_rate(rate);
            }
            self.send_side.set_delay_based(rate);
        }
        update
    }

    /// Losses, if there were any, and what became of those before.
    fn on_losses(&mut self, now: Timestamp) {
        let line = LineState {
            is_in_alr: self.was_application_limited,
            is_queueing: self.delay_based.usage() == BandwidthUsage::Overusing || self.standing_queue.is_there(),
            capacity: self.delay_based.capacity(),
        };
        let Some(carried) = self.send_side.handle_feedback(line, now) else { return };
        let average = self.as_sent(self.throughput.throughput()).filter(|average| carried >= average.scaled(ROUGH));
        let carried = average.map_or(carried, |average| carried.max(average));
        if let Some(rate) = self.delay_based.on_excess_loss(carried, now) {
            self.send_side.set_delay_based(rate);
        }
    }

    fn queue_report(&self, throughput: Option<Bitrate>) -> QueueReport {
        let rate = throughput.unwrap_or_default().max(MIN_PACKET_RATE);
        QueueReport {
            delay: self.reported.shortest_delay(),
            packet_time: PACKET.at(rate).into(),
            loss: self.reported.has_loss().then(|| self.send_side.excess_loss()),
            is_at_capacity: throughput.is_some_and(|throughput| self.delay_based.is_at_capacity(throughput)),
        }
    }

    /// What had to be sent for so much to arrive, without congestion.
    fn as_sent(&self, arrived: Option<Bitrate>) -> Option<Bitrate> {
        arrived.map(|rate| self.send_side.inherent_loss().as_sent(rate))
    }

    fn probe_result(&mut self, throughput: Option<Bitrate>) -> Option<ProbeResult> {
        let mut latest = None;
        for packet in self.reported.probes() {
            latest = self.probe_rates.handle_packet(packet).or(latest);
        }
        let result: ProbeResult = latest?;
        self.counters.probe_results += 1;
        let is_disturbed = result.has_loss && self.send_side.inherent_loss().loss() >= MIN_LOSS_OF_PROBES;
        let result = ProbeResult {
            rate: self.send_side.inherent_loss().as_sent(result.rate),
            capacity: if is_disturbed { None } else { self.as_sent(result.capacity) },
            ..result
        };
        let least = throughput
            .map_or(Bitrate::ZERO, |throughput| self.delay_based.last_rate().min(throughput.scaled(PROBE_DROP)));
        if result.rate < least { Some(ProbeResult { rate: least, capacity: None, ..result }) } else { Some(result) }
    }

    /// Tells the estimate to whom it concerns.
    fn on_estimate(&mut self, now: Timestamp) {
        let estimate = self.estimate();
        self.told = Some((now, estimate));
        self.alr.set_estimate(estimate);
        self.probe_controller.set_alr(self.alr.since());
        let clusters = self.probe_controller.set_estimate(estimate, self.limited_by(now), now);
        self.send_probes(&clusters, now);
    }

    /// Whether nothing of what is wanted is sent. Nobody tells of queues and round trips then, either.
    fn is_silent(&self) -> bool {
        self.demand.is_starved && self.demand.sent == Bitrate::ZERO
    }

    fn limited_by(&self, now: Timestamp) -> LimitedBy {
        if self.is_silent() && self.delay_based.is_outdated(now) {
            return LimitedBy::Growth;
        }
        match (self.delay_based.usage(), self.send_side.loss_state()) {
            (BandwidthUsage::Overusing | BandwidthUsage::Underusing, _) => LimitedBy::Delay,
            (BandwidthUsage::Normal, _) if self.send_side.is_rtt_above_limit() => LimitedBy::RoundTrip,
            (BandwidthUsage::Normal, LossBasedState::DelayBased) => LimitedBy::Growth,
            (BandwidthUsage::Normal, LossBasedState::Decreasing | LossBasedState::Increasing) => LimitedBy::Loss,
        }
    }

    fn send_probes(&mut self, clusters: &Clusters, now: Timestamp) {
        for cluster in clusters {
            self.counters.probe_clusters += 1;
            self.probe_rates.expect(cluster.id, ProbeCluster::MIN_PACKETS, cluster.min_size());
            self.prober.add(*cluster, now);
        }
        if self.is_silent() {
            self.prober.start(now);
        }
        self.may_be_noted &= self.prober.is_idle();
    }

    fn at(&self, now: Instant) -> Timestamp {
        Timestamp::ZERO + TimeDelta::from(now.saturating_duration_since(self.epoch))
    }
}

#[cfg(test)]
#[path = "estimator/tests.rs"]
mod tests;
