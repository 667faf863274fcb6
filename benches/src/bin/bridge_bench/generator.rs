//! The thread that sends: every sender at its own pace, at random phases to each other, frames as bursts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, Sender as ChannelSender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::sender::{Scratch, Sender, Target};
use crate::traffic::{Kind, Scenario};

/// Clocks of senders differ by up to this part, so that their phases drift through each other as those of real ones do.
const CLOCK_ERROR: f64 = 0.000_5;

/// What was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Packets of audio and video by participant.
    pub(crate) packets: Vec<[u64; 2]>,
    /// The longest time that a packet left too late: if it is long, the generator has too little of a core.
    pub(crate) worst_delay: Duration,
}

struct Play {
    target: Target,
    duration: Duration,
}

/// The generator, from outside.
pub(crate) struct Generator {
    plays: Option<ChannelSender<Play>>,
    sent: Receiver<anyhow::Result<Sent>>,
    thread: Option<JoinHandle<()>>,
}

impl Generator {
    /// Starts the thread; it sends nothing yet.
    pub(crate) fn start(scenario: Scenario, senders: Vec<Sender>) -> anyhow::Result<Self> {
        let (plays, to_play) = channel::<Play>();
        let (to_caller, sent) = channel();
        let thread = std::thread::Builder::new().name("generator".to_owned()).spawn(move || {
            let mut paced = Paced::new(scenario, senders);
            for play in to_play {
                if to_caller.send(paced.play(&play)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { plays: Some(plays), sent, thread: Some(thread) })
    }

    /// Begins to send. [`Self::poll`] tells when it is over.
    pub(crate) fn play(&self, target: Target, duration: Duration) -> anyhow::Result<()> {
        let plays = self.plays.as_ref().context("the generator has ended")?;
        plays.send(Play { target, duration }).map_err(|_| anyhow!("the generator has ended"))
    }

    /// What was sent, when all is sent.
    pub(crate) fn poll(&self) -> anyhow::Result<Option<Sent>> {
        match self.sent.try_recv() {
            Ok(sent) => sent.map(Some),
            Err(std::sync::mpsc::TryRecvError::Empty) => Ok(None),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => Err(anyhow!("the generator has ended")),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.plays = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One microphone or camera.
struct Source {
    sender: usize,
    kind: Kind,
    interval: Duration,
}

struct Paced {
    scenario: Scenario,
    senders: Vec<Sender>,
    sources: Vec<Source>,
    /// Media time at which each source is due, which stands still between plays.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    played: Duration,
    scratch: Scratch,
}

impl Paced {
    fn new(scenario: Scenario, senders: Vec<Sender>) -> Self {
        let mut random = SmallRng::from_os_rng();
        let mut sources = Vec::new();
        let mut due = BinaryHeap::new();
        for (at, sender) in senders.iter().enumerate() {
            let kinds =
                [(Kind::Audio, scenario.sends_audio(sender.index)), (Kind::Video, scenario.sends_video(sender.index))];
            for (kind, _) in kinds.into_iter().filter(|(_, sends)| *sends) {
                let error = random.random_range(-CLOCK_ERROR..CLOCK_ERROR);
                let interval = scenario.interval(kind).mul_f64(1.0 + error);
                due.push(Reverse((interval.mul_f64(random.random_range(0.0..1.0)), sources.len())));
                sources.push(Source { sender: at, kind, interval });
            }
        }
        Self { scenario, senders, sources, due, played: Duration::ZERO, scratch: Scratch::new(random) }
    }

    fn play(&mut self, play: &Play) -> anyhow::Result<Sent> {
        let start = Instant::now();
        let end = self.played + play.duration;
        let mut worst_delay = Duration::ZERO;
        while let Some(Reverse((at, index))) = self.due.peek().copied()
            && at < end
        {
            let due = start + at.saturating_sub(self.played);
            let mut now = Instant::now();
            if now < due {
                std::thread::sleep(due - now);
                now = Instant::now();
            }
            worst_delay = worst_delay.max(now.saturating_duration_since(due));
            self.due.pop();
            let source = self.sources.get(index).context("a source")?;
            self.due.push(Reverse((at + source.interval, index)));
            let sender = self.senders.get_mut(source.sender).context("a sender")?;
            sender.send(&self.scenario, source.kind, play.target, &mut self.scratch, now)?;
        }
        self.played = end;
        let mut packets = vec![[0; 2]; self.scenario.total()];
        for sender in &mut self.senders {
            *packets.get_mut(sender.index).context("a participant")? = sender.take_sent();
        }
        Ok(Sent { packets, worst_delay })
    }
}
