//! Whole conferences under a network that a seed decides: all codecs, loss and bursts, disorder, long ways, lines that narrow,
//! clients that come and go, change what they want and how they encode. At the end the network heals.
//!
//! Here: what is done ([`plan`]), what was sent ([`journal`], [`tap`]) and shown ([`player`]), and what has to be true of it
//! ([`checks`]). `TERANGA_SEED=17` runs one seed only; `TERANGA_SEEDS=20000` runs more than those of every test run. What was
//! done is printed for each that fails.

mod checks;
mod journal;
mod plan;
mod player;
mod tap;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jitsi_protocol::bridge_channel::ClientMessage;
use sim::Bottleneck;
use streams::TwccReceiver;

pub(super) use journal::Journal;
use plan::{Event, MAX_CLIENTS, Newcomer, Plan, TURNS};
pub(super) use player::Player;
pub(super) use tap::Tap;

use super::client::{Client, constraints};
use super::encoder::{Encodings, Scheme};
use super::world::{Link, Path, World};

const SEEDS: u64 = 1000;
/// Seeds that show a defect of the bridge. Whoever mends one strikes it out here: one that passes fails the test too.
const KNOWN_DEFECTS: [u64; 0] = [];
const TURN_MS: u64 = 500;
/// Until all who are there at the start are connected.
const CONNECT_MS: u64 = 500;
/// From the end of all disturbance on, in which everything has to come right.
const RECOVERY_MS: u64 = 6000;
/// Behind it, in which nothing may go wrong.
const CALM_MS: u64 = 1000;

/// An encoding of a camera, by the number in its packets.
#[derive(Clone, Copy, Debug)]
struct Encoding {
    sender: usize,
    scheme: Scheme,
    heights: &'static [u16],
}

/// What a receiver wanted from some time on.
#[derive(Clone, Copy, Debug)]
struct Wish {
    at: Instant,
    others: i32,
    one: usize,
    height: i32,
}

/// One conference.
struct Simulation {
    world: World,
    plan: Plan,
    encodings: Vec<Encoding>,
    /// Of each client, in order of time.
    wishes: Vec<Vec<Wish>>,
    present: Vec<usize>,
    /// Clients that stopped one of their encodings: what is sent of them may be the lowest that there is.
    with_gaps: BTreeSet<usize>,
    log: Vec<String>,
    /// Which stream is judged.
    looks_at: RefCell<String>,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.log.join("\n"), self.looks_at.borrow());
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut plan = Plan::new(seed);
        let mut world = World::new(seed);
        if plan.has_ssrc_rewriting() {
            world.capabilities.push("ssrc-rewriting");
        }
        (world.up.latency, world.down.latency) = (Duration::from_millis(5), Duration::from_millis(5));
        let mut simulation = Self {
            world,
            plan,
            encodings: Vec::new(),
            wishes: Vec::new(),
            present: Vec::new(),
            with_gaps: BTreeSet::new(),
            log: Vec::new(),
            looks_at: RefCell::default(),
        };
        let newcomers: Vec<Newcomer> =
            (0..simulation.plan.first_clients()).map(|_| simulation.plan.newcomer()).collect();
        for newcomer in &newcomers {
            simulation.join(newcomer);
        }
        simulation.world.run(CONNECT_MS);
        for (at, newcomer) in newcomers.iter().enumerate() {
            simulation.set_link(at, Link::default(), newcomer.latency_up, newcomer.latency_down);
        }
        simulation
    }

    fn run(&mut self) {
        for turn in 0..TURNS {
            for (client, event) in self.plan.next_turn(turn, &self.present) {
                self.log.push(format!("{:?}: {client}: {event:?}", self.world.now - self.world.start));
                self.happen(client, event);
            }
            self.world.run(TURN_MS);
        }
        self.log.push(format!("{:?}: calm", self.world.now - self.world.start));
        for client in self.present.clone() {
            self.happen(client, Event::Link(Link::default()));
            self.happen(client, Event::Line { bits_per_second: 20_000_000 });
            self.happen(client, Event::Wants { others: 720, one: client, height: 720 });
        }
        self.world.run(RECOVERY_MS + CALM_MS);
        // What is under way arrives.
        for client in &mut self.world.clients {
            client.is_live = false;
        }
        self.world.run(TURN_MS);
    }

    fn happen(&mut self, client: usize, event: Event) {
        if !self.present.contains(&client) {
            return;
        }
        match event {
            Event::Link(link) => {
                let before = self.world.links.get(&self.world.clients[client].external).copied().unwrap_or_default();
                self.set_link(client, link, before.up.latency, before.down.latency);
            }
            Event::Wants { others, one, height } => self.want(client, others, one, height),
            Event::Line { bits_per_second } => {
                let queue_bytes = bits_per_second as usize / 8 / 4;
                let line = self.world.lines.entry(self.world.clients[client].external);
                let line = line.or_insert_with(|| Bottleneck::new(bits_per_second, queue_bytes));
                line.set_rate(bits_per_second, queue_bytes);
            }
            Event::Camera { is_on } => self.world.clients[client].cameras[0].is_on = is_on,
            Event::Encoding { at, is_on } => {
                let encodings = self.encodings.iter().rev().find(|encoding| encoding.sender == client);
                let is_used = at == 0 || encodings.is_some_and(|encoding| encoding.heights.len() == 1);
                if !is_on {
                    self.with_gaps.insert(client);
                }
                let layer = &mut self.world.clients[client].cameras[0].layers[at];
                (layer.is_on, layer.wants_key_frame) = (is_on && is_used, true);
            }
            Event::Codec(camera) => self.encode(client, camera),
            Event::Level { level } => self.world.clients[client].microphone.level = level,
            Event::Join(newcomer) => {
                if self.present.len() < MAX_CLIENTS && self.world.clients.len() < 2 * MAX_CLIENTS {
                    let at = self.join(&newcomer);
                    self.set_link(at, Link::default(), newcomer.latency_up, newcomer.latency_down);
                }
            }
            Event::Leave => {
                if self.present.len() > 2 {
                    self.present.retain(|there| *there != client);
                    self.world.clients[client].is_live = false;
                    self.world.clients[client].journal.as_mut().unwrap().has_left = true;
                    self.world.expire(client);
                }
            }
        }
    }

    fn join(&mut self, newcomer: &Newcomer) -> usize {
        let at = self.world.clients.len();
        self.log.push(format!("{:?}: {at} joins: {newcomer:?}", self.world.now - self.world.start));
        let now = self.world.now;
        let mut client = Client::new(at, now);
        client.journal = Some(Journal::new(now));
        client.tap = Some(Tap::default());
        client.twcc = newcomer.has_feedback.then(|| TwccReceiver::new(now));
        for layer in &mut client.cameras[0].layers {
            layer.picture_len = newcomer.picture_len;
        }
        self.world.clients.push(client);
        self.wishes.push(Vec::new());
        self.encode(at, newcomer.camera);
        self.world.allocate(at, at == 0);
        self.world.announce(at);
        self.world.open_web_socket(at).unwrap();
        self.want(at, 720, at, 720);
        self.present.push(at);
        at
    }

    fn encode(&mut self, client: usize, (scheme, encodings): Encodings) {
        let first = self.encodings.len() as u8;
        self.encodings.extend(encodings.iter().map(|heights| Encoding { sender: client, scheme, heights }));
        self.world.clients[client].cameras[0].encode(scheme, encodings, first);
    }

    fn want(&mut self, client: usize, others: i32, one: usize, height: i32) {
        self.wishes[client].push(Wish { at: self.world.now, others, one, height });
        let wants: Vec<(String, i32)> = (0..self.world.clients.len())
            .map(|other| {
                let name = self.world.clients[other].cameras[0].name.clone();
                (name, if other == one { height } else { others })
            })
            .collect();
        let wants: Vec<(&str, i32)> = wants.iter().map(|(name, height)| (name.as_str(), *height)).collect();
        let ClientMessage::ReceiverVideoConstraints(mut message) = constraints(&wants) else { unreachable!() };
        message.default_constraints =
            Some(jitsi_protocol::bridge_channel::VideoConstraints { max_height: others, max_frame_rate: None });
        self.world.web_socket_text(client, &ClientMessage::ReceiverVideoConstraints(message).to_json());
    }

    fn set_link(&mut self, client: usize, link: Link, up: Duration, down: Duration) {
        let link = Link { up: Path { latency: up, ..link.up }, down: Path { latency: down, ..link.down } };
        self.world.links.insert(self.world.clients[client].external, link);
    }
}

/// Runs what the environment asks for, or all seeds, on all cores.
#[test]
fn whatever_a_network_does_each_receiver_can_decode_what_it_is_sent() {
    super::seeds::run(SEEDS, &KNOWN_DEFECTS, |seed| {
        let mut simulation = Simulation::new(seed);
        simulation.run();
        simulation.check();
    });
}
