//! What happens in one simulation, as its seed has it.

use std::time::Duration;

use sim::Random;

use super::super::encoder::{CAMERAS, Encodings};
use super::super::world::{Link, Path};

/// Turns of half a second in which something may happen.
pub(super) const TURNS: usize = 6;
pub(super) const MAX_CLIENTS: usize = 4;

/// Bits a second of a line without limit, then too few, then enough for most.
const LINE_STEPS: [u64; 3] = [5_000_000, 300_000, 3_000_000];

/// A client from its join on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) camera: Encodings,
    pub(super) latency_up: Duration,
    pub(super) latency_down: Duration,
    /// Whether it tells the bridge what arrives when, so that the bridge estimates its bandwidth.
    pub(super) has_feedback: bool,
    /// Bytes of picture in each packet.
    pub(super) picture_len: usize,
}

/// Something that happens to one of those who are there, by its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Loss, disorder and copies on both ways. Latencies stay.
    Link(Link),
    /// It wants others no taller than this, and one of them, by its place, no taller than that.
    Wants {
        others: i32,
        one: usize,
        height: i32,
    },
    /// Its line has this rate from now on.
    Line {
        bits_per_second: u64,
    },
    Camera {
        is_on: bool,
    },
    /// One of its encodings stops or goes on.
    Encoding {
        at: usize,
        is_on: bool,
    },
    Codec(Encodings),
    /// It speaks, or falls silent.
    Level {
        level: u8,
    },
    Join(Newcomer),
    Leave,
}

/// Where events come from.
pub(super) struct Plan {
    random: Random,
    /// Where on its steps the line of the first client is.
    line_step: usize,
}

impl Plan {
    pub(super) const fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), line_step: 0 }
    }

    /// Whether clients get SSRCs of the bridge.
    pub(super) const fn has_ssrc_rewriting(&mut self) -> bool {
        self.random.percent(50)
    }

    /// Clients that are there from the start.
    pub(super) const fn first_clients(&mut self) -> usize {
        2 + self.random.below(2) as usize
    }

    pub(super) fn newcomer(&mut self) -> Newcomer {
        // Both ways of two clients are one round trip: of 50 to 500 ms.
        let latency = |random: &mut Random| Duration::from_millis(12 + random.below(114));
        let lens = [0, 300, 900];
        Newcomer {
            camera: self.camera(),
            latency_up: latency(&mut self.random),
            latency_down: latency(&mut self.random),
            has_feedback: self.random.percent(60),
            picture_len: lens[self.random.below(lens.len() as u64) as usize],
        }
    }

    /// What happens in a turn among `clients`, each with the place of the client.
    pub(super) fn next_turn(&mut self, turn: usize, clients: &[usize]) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        // Three steps through the time.
        if (turn * LINE_STEPS.len()).is_multiple_of(TURNS) || turn * LINE_STEPS.len() / TURNS >= self.line_step {
            let bits_per_second = LINE_STEPS[self.line_step.min(LINE_STEPS.len() - 1)];
            self.line_step += 1;
            events.push((clients[0], Event::Line { bits_per_second }));
        }
        for _ in 0..1 + self.random.below(3) {
            let client = clients[self.random.below(clients.len() as u64) as usize];
            events.push((client, self.event(clients.len())));
        }
        events
    }

    fn event(&mut self, clients: usize) -> Event {
        match self.random.below(100) {
            0..30 => Event::Link(Link { up: self.path(), down: self.path() }),
            30..60 => {
                let heights = [-1, 0, 90, 180, 360, 720];
                let mut height = || heights[self.random.below(heights.len() as u64) as usize];
                let (others, height) = (height(), height());
                Event::Wants { others, one: self.random.below(clients as u64) as usize, height }
            }
            60..68 => Event::Camera { is_on: self.random.percent(70) },
            68..76 => Event::Encoding { at: self.random.below(3) as usize, is_on: self.random.percent(60) },
            76..84 => Event::Codec(self.camera()),
            84..90 => Event::Level { level: if self.random.percent(50) { 20 } else { 127 } },
            90..96 => Event::Join(self.newcomer()),
            _ => Event::Leave,
        }
    }

    fn path(&mut self) -> Path {
        let random = &mut self.random;
        let is_clean = random.percent(30);
        Path {
            latency: Duration::ZERO,
            jitter: Duration::from_millis(random.below(40)),
            loss_percent: if is_clean { 0 } else { random.below(21) },
            burst: 1 + random.below(6),
            duplicate_percent: random.below(5),
        }
    }

    fn camera(&mut self) -> Encodings {
        CAMERAS[self.random.below(CAMERAS.len() as u64) as usize]
    }
}
