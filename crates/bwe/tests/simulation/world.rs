//! [`World`]: what runs in a simulation.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use bwe::{BandwidthEstimator, Demand, Pace, Pacer, PacerSettings, ProbeClusterId, QueueState, Settings, Statistics};
use model::{Bitrate, DataSize, Ssrc, TwccSeq};
use rtp::rtcp::{Compound, RtcpPacket};
use sim::{Bottleneck, Conditions, Delivery, Network, Random};
use streams::TwccReceiver;

/// Largest packet, headers included.
const PACKET: usize = 1200;

/// Time between two frames.
const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);

/// Opus packets.
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_PACKET: usize = 120;

/// Third byte of a datagram that has a transport-wide number before it.
const TRACKED: u8 = 1;

/// Time between two round trips that are measured.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two samples of the estimate.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Time at the rate of the line that its queue holds, if nobody says another.
const QUEUE_TIME: Duration = Duration::from_millis(300);

/// How long and how often a scene takes more than its layer did before.
const SWELL: Duration = Duration::from_secs(3);
const SWELL_INTERVAL: Duration = Duration::from_secs(10);

/// Layers of a simulcast, in bits a second.
const LAYERS: [u64; 4] = [0, 200_000, 700_000, 2_500_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Bridge,
    Client(usize),
}

/// How the bridge fills the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// By an encoder that follows it.
    Continuous,
    /// By the highest layer that fits, and padding.
    Layered,
}

/// One receiver, with what the bridge has for it.
#[derive(Debug)]
pub(crate) struct Client {
    demand: Bitrate,
    sender: Sender,
    has_audio: bool,
    /// Streams of audio of which no feedback tells.
    untracked_audio: usize,
    joins: Duration,
    variation_percent: u64,
    swell_percent: u64,
}

impl Client {
    pub(crate) fn wanting(demand: Bitrate) -> Self {
        Self {
            demand,
            sender: Sender::Continuous,
            has_audio: false,
            untracked_audio: 0,
            joins: Duration::ZERO,
            variation_percent: 10,
            swell_percent: 0,
        }
    }

    pub(crate) fn sent_by(self, sender: Sender) -> Self {
        Self { sender, ..self }
    }

    /// Frames are up to so much larger or smaller than the estimate says.
    pub(crate) fn with_variation(self, variation_percent: u64) -> Self {
        Self { variation_percent, ..self }
    }

    /// Frames are larger by so much, whatever the estimate says, each time for [`SWELL`].
    pub(crate) fn with_swells(self, swell_percent: u64) -> Self {
        Self { swell_percent, ..self }
    }

    pub(crate) fn with_audio(self) -> Self {
        Self { has_audio: true, ..self }
    }

    /// As [`with_audio`](Self::with_audio), but so many streams, and nothing is told of them.
    pub(crate) fn with_untracked_audio(self, untracked_audio: usize) -> Self {
        Self { untracked_audio, ..self }
    }

    pub(crate) fn joining_after(self, joins: Duration) -> Self {
        Self { joins, ..self }
    }
}

struct Running {
    start: Instant,
    index: usize,
    client: Client,
    estimator: BandwidthEstimator,
    pacer: Pacer,
    queue: VecDeque<usize>,
    next_frame: Instant,
    next_audio: Instant,
    next_report: Instant,
    receiver: TwccReceiver,
    /// (time since the start, estimate).
    estimates: Vec<(Duration, Bitrate)>,
    /// (time since the start, bytes) of what arrived.
    arrived: Vec<(Duration, usize)>,
}

pub(crate) struct World {
    start: Instant,
    now: Instant,
    network: Network<Side>,
    random: Random,
    queue_time: Duration,
    base_rtt: Duration,
    clients: Vec<Running>,
    next_sample: Instant,
    /// (time since the start, time that a packet waits in front of the line).
    queues: Vec<(Duration, Duration)>,
}

impl World {
    /// A line of `rate` from the bridge to all clients.
    pub(crate) fn new(conditions: Conditions, seed: u64, rate: Bitrate) -> Self {
        let start = sim::start();
        let mut network = Network::new(conditions, seed);
        let line = Bottleneck::new(rate.bps(), queue_bytes(rate, QUEUE_TIME));
        network.set_bottleneck(line, |from, _| *from == Side::Bridge);
        Self {
            start,
            now: start,
            network,
            random: Random::new(seed ^ 0x5eed),
            queue_time: QUEUE_TIME,
            base_rtt: conditions.latency * 2,
            clients: Vec::new(),
            next_sample: start,
            queues: Vec::new(),
        }
    }

    /// The same with room for another time in front of the line.
    pub(crate) fn with_queue(mut self, queue_time: Duration, rate: Bitrate) -> Self {
        self.queue_time = queue_time;
        self.set_rate(rate);
        self
    }

    pub(crate) fn add(&mut self, client: Client) {
        let settings = Settings::default();
        let estimator = BandwidthEstimator::new(self.start, settings);
        let joins = self.start + client.joins;
        self.clients.push(Running {
            start: self.start,
            index: self.clients.len(),
            client,
            estimator,
            pacer: Pacer::new(self.start, settings.initial, PacerSettings::default()),
            queue: VecDeque::new(),
            next_frame: joins,
            next_audio: joins,
            next_report: joins,
            receiver: TwccReceiver::new(self.start),
            estimates: Vec::new(),
            arrived: Vec::new(),
        });
    }

    pub(crate) fn set_rate(&mut self, rate: Bitrate) {
        let queue = queue_bytes(rate, self.queue_time);
        self.network.bottleneck_mut().expect("there is a line").set_rate(rate.bps(), queue);
    }

    /// The only client moves to another path, and the bridge notices when it hears of it.
    pub(crate) fn move_to(&mut self, conditions: Conditions, rate: Bitrate) {
        self.network.set_conditions(conditions);
        self.base_rtt = conditions.latency * 2;
        self.set_rate(rate);
        self.clients[0].estimator.on_path_change();
    }

    /// Loss and the like on the path are others from now on; it stays the same path.
    pub(crate) fn set_conditions(&mut self, conditions: Conditions) {
        self.network.set_conditions(conditions);
    }

    pub(crate) fn set_demand(&mut self, client: usize, demand: Bitrate) {
        self.clients[client].client.demand = demand;
    }

    pub(crate) fn statistics(&self, client: usize) -> Statistics {
        self.clients[client].estimator.statistics()
    }

    pub(crate) fn dropped(&mut self) -> u64 {
        self.network.bottleneck_mut().expect("there is a line").dropped()
    }

    /// Samples of the estimate within a time since the start.
    pub(crate) fn estimates(&self, client: usize, within: Range<Duration>) -> Vec<(Duration, Bitrate)> {
        self.clients[client].estimates.iter().filter(|(at, _)| within.contains(at)).copied().collect()
    }

    /// Part of the samples within a time since the start in which the queue was longer.
    pub(crate) fn queued_beyond(&self, limit: Duration, within: Range<Duration>) -> f64 {
        let samples = self.queues.iter().filter(|(at, _)| within.contains(at));
        let long = samples.clone().filter(|(_, queue)| *queue > limit).count();
        long as f64 / samples.count() as f64
    }

    /// What arrived within a time since the start.
    pub(crate) fn throughput(&self, client: usize, within: Range<Duration>) -> Bitrate {
        let arrived = self.clients[client].arrived.iter().filter(|(at, _)| within.contains(at));
        DataSize::from_bytes(arrived.map(|(_, len)| *len as u64).sum()).per(within.end - within.start)
    }

    /// Runs on for a time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.deliver();
            for client in &mut self.clients {
                client.act(self.now, self.base_rtt, &mut self.network, &mut self.random);
            }
            if self.next_sample <= self.now {
                self.next_sample = self.now + SAMPLE_INTERVAL;
                let queue = self.network.bottleneck_mut().expect("there is a line").delay(self.now);
                self.queues.push((self.now - self.start, queue));
                for client in &mut self.clients {
                    client.estimates.push((self.now - self.start, client.estimator.estimate()));
                }
            }
            self.now = self.next_event().min(end).max(self.now + Duration::from_micros(1));
        }
    }

    fn next_event(&mut self) -> Instant {
        let now = self.now;
        let clients = self.clients.iter_mut().filter_map(|client| client.next_event(now));
        let events = clients.chain(self.network.next_arrival());
        events.min().unwrap_or(self.next_sample).min(self.next_sample)
    }

    fn deliver(&mut self) {
        while let Some(Delivery { to, from, datagram }) = self.network.receive(self.now) {
            match (to, from) {
                (Side::Client(index), _) => {
                    let client = &mut self.clients[index];
                    client.arrived.push((self.now - self.start, datagram.len()));
                    if datagram[2] == TRACKED {
                        let seq = TwccSeq(u16::from_be_bytes([datagram[0], datagram[1]]));
                        client.receiver.handle_packet(seq, self.now);
                    }
                }
                (Side::Bridge, Side::Client(index)) => {
                    let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&datagram).next() else {
                        panic!("no feedback")
                    };
                    self.clients[index].estimator.handle_feedback(self.now, &feedback);
                }
                (Side::Bridge, Side::Bridge) => {}
            }
        }
    }
}

impl Running {
    fn act(&mut self, now: Instant, base_rtt: Duration, network: &mut Network<Side>, random: &mut Random) {
        if self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.estimator.handle_timeout(now);
        }
        self.pacer.set_estimate(now, self.estimator.estimate());
        while self.has_audio() && self.next_audio <= now {
            self.next_audio += AUDIO_INTERVAL;
            if self.client.has_audio {
                self.send(now, AUDIO_PACKET, None, network);
            }
            for _ in 0..self.client.untracked_audio {
                self.estimator.handle_untracked(DataSize::from_bytes(AUDIO_PACKET as u64));
                network.send(now, Side::Bridge, Side::Client(self.index), vec![0; AUDIO_PACKET]);
            }
        }
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            let queueing = network.bottleneck_mut().map_or(Duration::ZERO, |line| line.delay(now));
            self.estimator.handle_rtt(base_rtt + queueing);
        }
        while self.next_frame <= now {
            // Cameras do not beat in time with each other.
            let jitter = Duration::from_micros(random.below(6000));
            self.next_frame += FRAME_INTERVAL - Duration::from_millis(3) + jitter;
            self.queue_frame(now, random);
        }
        while !self.queue.is_empty() && self.pacer.poll(now, self.queue_state()) == Pace::Now {
            let len = self.queue.pop_front().unwrap_or_default();
            self.send(now, len, None, network);
        }
        while let Some(probe) = self.estimator.poll_probe(now) {
            let mut left = probe.size.bytes() as usize;
            while left > 0 {
                let len = left.clamp(300, PACKET);
                self.send(now, len, Some(probe.cluster), network);
                left = left.saturating_sub(len);
            }
        }
        let mut feedback = Vec::new();
        while self.receiver.poll_feedback(Ssrc(1), Ssrc(2), now, &mut feedback) {
            network.send(now, Side::Client(self.index), Side::Bridge, std::mem::take(&mut feedback));
        }
    }

    /// A frame of what fits the estimate, in equal packets, somewhat larger or smaller than the last.
    fn queue_frame(&mut self, now: Instant, random: &mut Random) {
        let estimate = self.estimator.estimate();
        let sent = match self.client.sender {
            Sender::Continuous => estimate.min(self.client.demand),
            Sender::Layered => {
                let fitting = LAYERS.map(Bitrate::from_bps).into_iter().rfind(|layer| *layer <= estimate);
                fitting.unwrap_or_default().min(self.client.demand)
            }
        };
        let (ideal, is_starved) = (self.client.demand, sent == Bitrate::ZERO);
        self.estimator.set_demand(now, Demand { sent, ideal, is_starved });
        // An encoder does not look at what is queued, but it drops frames rather than wait for half a second.
        if self.queue.iter().sum::<usize>() as u64 > estimate.over(Duration::from_millis(500)).bytes() {
            return;
        }
        let most = self.client.variation_percent * 2 + 1;
        let variation = 1.0 + (random.below(most) as f64 - (most / 2) as f64) / 100.0;
        let is_swelling =
            (now - self.start).as_nanos() % SWELL_INTERVAL.as_nanos() >= (SWELL_INTERVAL - SWELL).as_nanos();
        let swell = if is_swelling { 1.0 + self.client.swell_percent as f64 / 100.0 } else { 1.0 };
        let frame = sent.over(FRAME_INTERVAL).bytes() as f64 * variation * swell;
        let padding = self.estimator.padding().over(FRAME_INTERVAL).bytes() as f64;
        for bytes in [frame as usize, padding as usize].into_iter().filter(|bytes| *bytes > 0) {
            let packets = bytes.div_ceil(PACKET);
            self.queue.extend(std::iter::repeat_n((bytes / packets).max(40), packets));
        }
    }

    fn send(&mut self, now: Instant, len: usize, probe: Option<ProbeClusterId>, network: &mut Network<Side>) {
        let size = DataSize::from_bytes(len as u64);
        let seq = self.estimator.handle_sent(now, size, probe);
        self.pacer.handle_sent(now, size);
        let mut datagram = vec![0; len];
        datagram[..2].copy_from_slice(&seq.0.to_be_bytes());
        datagram[2] = TRACKED;
        network.send(now, Side::Bridge, Side::Client(self.index), datagram);
    }

    fn has_audio(&self) -> bool {
        self.client.has_audio || self.client.untracked_audio > 0
    }

    fn queue_state(&self) -> QueueState {
        QueueState { size: DataSize::from_bytes(self.queue.iter().sum::<usize>() as u64), average_wait: Duration::ZERO }
    }

    fn next_event(&mut self, now: Instant) -> Option<Instant> {
        let paced = match self.pacer.poll(now, self.queue_state()) {
            Pace::At(then) if !self.queue.is_empty() => Some(then),
            Pace::At(_) | Pace::Now => None,
        };
        let audio = self.has_audio().then_some(self.next_audio);
        [Some(self.next_frame), audio, paced, self.estimator.poll_timeout(), self.receiver.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}

fn queue_bytes(rate: Bitrate, time: Duration) -> usize {
    rate.over(time).bytes() as usize
}
