//! A load at work: the participants of all rooms, joined at a bridge, and traffic to it or to the ideal loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use benches::load::process::Usage;
use benches::statistics::percentile;
use dtls::DtlsContext;
use jitsi_protocol::bridge_channel::{
    AddReceiver, ClientMessage, ReceiverVideoConstraints, RelayMessage, ServerHello, VideoConstraints,
};
use jitsi_protocol::colibri2::{ConferenceModified, ConferenceModify};
use srtp::SrtpSender;
use xmpp::Element;

use crate::generator::{Generator, Sent};
use crate::keys;
use crate::participant::{Participant, Seen};
use crate::process::Server;
use crate::sender::{Sender, Target};
use crate::signaling::{self, TransportFeedback};
use crate::traffic::{Members, Scenario};
use benches::batch::ReceiveBatch;

/// The sink looks at its sockets this often. It is not woken by packets, so that a server does not pay for waking it; the
/// kernel notes when each arrives.
const TICK: Duration = Duration::from_millis(2);
/// Silence after which everything that was sent has arrived, and how long it is waited for.
const QUIET: Duration = Duration::from_millis(100);
const MAX_DRAIN: Duration = Duration::from_secs(10);
/// For ICE and DTLS of all participants; under valgrind a handshake takes long.
const PATIENCE: Duration = Duration::from_secs(300);
/// Handshakes that run at once: more would time out behind each other.
const MAX_JOINING: usize = 32;

/// Participants and servers.
pub(crate) struct Call {
    scenario: Scenario,
    feedback: TransportFeedback,
    context: Arc<DtlsContext>,
    pub(crate) bridge: Server,
    pub(crate) ideal: Option<Server>,
    participants: Vec<Participant>,
    /// Participants that came in the place of others.
    newcomers: usize,
    generator: Option<Generator>,
    batch: ReceiveBatch,
    seen: Seen,
}

/// What a play gave.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) usage: Usage,
    pub(crate) duration: Duration,
    /// Packets that went to the server.
    pub(crate) sent: u64,
    /// Packets that all receivers together should have got, and got.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    /// The receiver that got the smallest part, 0 to 1.
    pub(crate) worst_receiver: f64,
    /// Packets beyond those that were sent of a stream.
    pub(crate) surplus: u64,
    pub(crate) seen: Seen,
    /// Microseconds at 50 %, 99 % and 99.9 % of the decrypted packets.
    pub(crate) latency_us: [f64; 3],
    pub(crate) resident_bytes: u64,
    pub(crate) worst_delay: Duration,
    /// Messages and system calls of the ideal loop.
    pub(crate) ideal_sends: Option<[u64; 3]>,
}

impl Played {
    /// Microseconds of CPU for a delivered packet.
    pub(crate) fn cost_us(&self) -> f64 {
        self.usage.total.as_secs_f64() * 1e6 / self.delivered.max(1) as f64
    }

    pub(crate) fn delivered_part(&self) -> f64 {
        self.delivered as f64 / self.expected.max(1) as f64
    }

    /// Part of one core that the server used.
    pub(crate) fn load(&self) -> f64 {
        self.usage.total.as_secs_f64() / self.duration.as_secs_f64()
    }
}

impl Call {
    /// An empty call at a bridge that runs.
    pub(crate) fn new(scenario: Scenario, feedback: TransportFeedback, bridge: Server) -> anyhow::Result<Self> {
        Ok(Self {
            scenario,
            feedback,
            context: Arc::new(DtlsContext::new()?),
            bridge,
            ideal: None,
            participants: Vec::new(),
            newcomers: 0,
            generator: None,
            batch: ReceiveBatch::new(),
            seen: Seen::default(),
        })
    }

    /// All join and wait until they are connected.
    pub(crate) fn join_all(&mut self) -> anyhow::Result<()> {
        while self.participants.len() < self.scenario.total() {
            let until = self.scenario.total().min(self.participants.len() + MAX_JOINING);
            while self.participants.len() < until {
                let index = self.participants.len();
                let participant = self.join(self.scenario.room_of(index), index)?;
                self.participants.push(participant);
                self.poll()?;
            }
            self.wait_connected()?;
        }
        match self.scenario.members {
            Members::Endpoints => self.participants.iter_mut().try_for_each(subscribe)?,
            Members::Relays => {
                let scenario = self.scenario;
                self.participants.iter_mut().try_for_each(|participant| subscribe_relay(participant, &scenario))?;
            }
        }
        self.idle(QUIET)
    }

    /// The last `count` participants of the only room go, and as many new ones come at once, with everything that a join
    /// takes.
    pub(crate) fn replace_last(&mut self, count: usize) -> anyhow::Result<()> {
        let staying = self.participants.len().saturating_sub(count);
        for participant in self.participants.split_off(staying) {
            let request = signaling::expire(0, participant.index)?;
            colibri(&mut self.bridge, &request)?;
        }
        for _ in 0..count {
            self.newcomers += 1;
            let participant = self.join(0, self.scenario.total() + self.newcomers)?;
            self.participants.push(participant);
        }
        self.wait_connected()?;
        for participant in self.participants.iter_mut().skip(staying) {
            subscribe(participant)?;
        }
        Ok(())
    }

    /// Both requests of a join.
    fn join(&mut self, room: usize, index: usize) -> anyhow::Result<Participant> {
        let now = Instant::now();
        let mut participant = Participant::new(&self.scenario, index, Arc::clone(&self.context), now)?;
        let is_first = index < self.scenario.total() && index.is_multiple_of(self.scenario.participants);
        let create = signaling::create(&self.scenario, room, index, is_first, self.feedback)?;
        let answer = colibri(&mut self.bridge, &create)?;
        let ice = signaling::transport_of(answer).context("no transport in the answer")?;
        participant.peer.take_description(&ice, now)?;
        let update = signaling::update(&self.scenario, room, index, participant.peer.description())?;
        colibri(&mut self.bridge, &update)?;
        participant.flush(now)?;
        Ok(participant)
    }

    fn wait_connected(&mut self) -> anyhow::Result<()> {
        let give_up_at = Instant::now() + PATIENCE;
        while !self.participants.iter().all(Participant::is_connected) {
            if Instant::now() > give_up_at {
                bail!("a participant is not connected after {} s", PATIENCE.as_secs());
            }
            self.poll()?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Starts the generator; to the ideal loop as well, if there is one.
    pub(crate) fn start_media(&mut self, ideal: Option<Server>) -> anyhow::Result<()> {
        self.ideal = ideal;
        let mut ideal_address = None;
        if let Some(ideal) = &mut self.ideal {
            for (index, participant) in self.participants.iter().enumerate() {
                let room = self.scenario.room_of(index);
                let address = participant.socket.local_addr()?;
                let keys = participant.peer.keys().context("not connected")?;
                ideal.tell(&format!("{room} {address} {}", keys::to_text(keys)))?;
            }
            ideal_address = Some(ideal.ask("run")?.parse()?);
        }
        let senders = self.participants.iter().enumerate().map(|(index, participant)| {
            let srtp = SrtpSender::new(&participant.session_keys()?.outbound)?;
            let socket = Arc::clone(&participant.socket);
            let addresses = (participant.bridge()?, ideal_address);
            Ok(Sender::new(index, socket, srtp, addresses, self.feedback, Arc::clone(&participant.outgoing)))
        });
        let senders = senders.collect::<anyhow::Result<Vec<_>>>()?;
        self.generator = Some(Generator::start(self.scenario, senders)?);
        Ok(())
    }

    /// Sends for `duration` and waits until everything has arrived.
    pub(crate) fn play(&mut self, target: Target, duration: Duration) -> anyhow::Result<Played> {
        self.idle(QUIET)?;
        self.seen = Seen::default();
        for participant in &mut self.participants {
            participant.take_packets();
        }
        let sends_before = self.ideal_sends(target)?;
        let before = self.server(target)?.usage()?;
        self.generator.as_ref().context("no media yet")?.play(target, duration)?;
        let sent = loop {
            if let Some(sent) = self.generator.as_ref().context("no media yet")?.poll()? {
                break sent;
            }
            self.tick(target)?;
        };
        self.drain(target)?;
        let usage = self.server(target)?.usage()?.since(&before);
        let resident_bytes = self.server(target)?.resident_bytes()?;
        let sends = self.ideal_sends(target)?.zip(sends_before).map(|(after, before)| {
            let mut differences = after;
            for (difference, before) in differences.iter_mut().zip(before) {
                *difference -= before;
            }
            differences
        });
        Ok(self.account(usage, duration, sent, resident_bytes, sends))
    }

    /// Lets participants report and check, without media. Answers what part of one core the bridge used.
    pub(crate) fn rest(&mut self, duration: Duration) -> anyhow::Result<f64> {
        self.idle(QUIET)?;
        let (start, before) = (Instant::now(), self.server(Target::Bridge)?.usage()?);
        while start.elapsed() < duration {
            self.tick(Target::Bridge)?;
        }
        let usage = self.server(Target::Bridge)?.usage()?.since(&before);
        Ok(usage.total.as_secs_f64() / start.elapsed().as_secs_f64())
    }

    fn account(
        &mut self,
        usage: Usage,
        duration: Duration,
        sent: Sent,
        resident_bytes: u64,
        ideal_sends: Option<[u64; 3]>,
    ) -> Played {
        let mut played = Played {
            usage,
            duration,
            sent: sent.packets.iter().flatten().sum(),
            expected: 0,
            delivered: 0,
            worst_receiver: 1.0,
            surplus: 0,
            latency_us: [0.0; 3],
            seen: std::mem::take(&mut self.seen),
            resident_bytes,
            worst_delay: sent.worst_delay,
            ideal_sends,
        };
        for (receiver, participant) in self.participants.iter_mut().enumerate() {
            let room_start = receiver - receiver % self.scenario.participants;
            let (mut expected, mut delivered) = (0, 0);
            for (place, got) in participant.take_packets().into_iter().enumerate() {
                let sender = room_start + place / 2;
                let of_sender = sent.packets.get(sender).and_then(|kinds| kinds.get(place % 2)).copied().unwrap_or(0);
                let due = if sender == receiver { 0 } else { of_sender };
                expected += due;
                delivered += got.min(due);
                played.surplus += got.saturating_sub(due);
            }
            played.expected += expected;
            played.delivered += delivered;
            if expected > 0 {
                played.worst_receiver = played.worst_receiver.min(delivered as f64 / expected as f64);
            }
        }
        played.seen.latencies.sort_unstable();
        played.latency_us = [0.5, 0.99, 0.999].map(|part| {
            percentile(&played.seen.latencies, part).map_or(0.0, |nanoseconds| f64::from(nanoseconds) / 1e3)
        });
        played
    }

    /// Lets time pass without media.
    pub(crate) fn idle(&mut self, duration: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            self.poll()?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Waits until nothing arrives any more.
    fn drain(&mut self, target: Target) -> anyhow::Result<()> {
        let give_up_at = Instant::now() + MAX_DRAIN;
        let (mut received, mut quiet_since) = (0, Instant::now());
        while quiet_since.elapsed() < QUIET && Instant::now() < give_up_at {
            self.tick(target)?;
            let now_received = self.participants.iter().map(|participant| participant.received).sum();
            if received != now_received {
                (received, quiet_since) = (now_received, Instant::now());
            }
        }
        Ok(())
    }

    fn tick(&mut self, target: Target) -> anyhow::Result<()> {
        self.poll()?;
        if target == Target::Bridge {
            let now = Instant::now();
            for participant in &mut self.participants {
                participant.report_if_due(now)?;
            }
        }
        std::thread::sleep(TICK);
        Ok(())
    }

    fn poll(&mut self) -> anyhow::Result<()> {
        for participant in &mut self.participants {
            participant.poll(&mut self.batch, Instant::now(), &mut self.seen)?;
        }
        Ok(())
    }

    pub(crate) fn server(&self, target: Target) -> anyhow::Result<&Server> {
        match target {
            Target::Bridge => Ok(&self.bridge),
            Target::Ideal => self.ideal.as_ref().context("no ideal loop"),
        }
    }

    /// Packets, messages and system calls of the ideal loop so far.
    fn ideal_sends(&mut self, target: Target) -> anyhow::Result<Option<[u64; 3]>> {
        match (target, &mut self.ideal) {
            (Target::Ideal, Some(ideal)) => {
                let line = ideal.ask("counts")?;
                let counts = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
                Ok(Some(counts.try_into().map_err(|_| anyhow::anyhow!("three counts, not {line}"))?))
            }
            (Target::Ideal, None) | (Target::Bridge, _) => Ok(None),
        }
    }

    /// Ends all processes in good order.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let Self { bridge, ideal, generator, .. } = self;
        drop(generator);
        bridge.finish()?;
        ideal.map_or(Ok(()), Server::finish)
    }
}

/// Asks for everything at full height.
fn subscribe(participant: &mut Participant) -> anyhow::Result<()> {
    let constraints = ReceiverVideoConstraints {
        last_n: Some(-1),
        default_constraints: Some(VideoConstraints { max_height: 2_160, max_frame_rate: None }),
        ..ReceiverVideoConstraints::default()
    };
    participant.peer.send_text(&ClientMessage::ReceiverVideoConstraints(constraints).to_json())?;
    participant.flush(Instant::now())
}

/// Says that it is a bridge like the one that is measured, and that somebody behind it wants everything at full height.
fn subscribe_relay(participant: &mut Participant, scenario: &Scenario) -> anyhow::Result<()> {
    let hello = ServerHello { version: Some("bench teranga-relay/1".to_owned()) };
    participant.peer.send_text(&RelayMessage::ServerHello(hello).to_json())?;
    let room = scenario.room_of(participant.index);
    for sender in (0..scenario.total()).filter(|sender| scenario.room_of(*sender) == room) {
        if sender != participant.index && scenario.sends_video(sender) {
            let add = AddReceiver {
                bridge_id: signaling::relay_id(participant.index),
                source_name: signaling::video_name(sender)?,
                video_constraints: VideoConstraints { max_height: 2_160, max_frame_rate: None },
            };
            participant.peer.send_text(&RelayMessage::AddReceiver(add).to_json())?;
        }
    }
    participant.flush(Instant::now())
}

/// Asks the bridge as a focus does.
fn colibri(bridge: &mut Server, request: &ConferenceModify) -> anyhow::Result<ConferenceModified> {
    let answer: Element = bridge.ask(&request.to_element().to_string())?.parse()?;
    let modified = answer.children().next().context("an answer without content")?;
    ConferenceModified::from_element(modified).with_context(|| format!("the bridge refused: {answer}"))
}
