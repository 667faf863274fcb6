//! A whole deployment in virtual time: the focus, many bridges and their participants, with everything that a network, an
//! operator and people do to them. Focus and bridges are the real cores: Colibri2 over stanzas, ICE, DTLS, SCTP and SRTP on
//! every link, real shards in between. The XMPP server and the participants are scripts.
//!
//! From time to time everything heals and comes to rest. Then the books of the focus and of all bridges have to agree
//! ([`books`]), and everybody sends: each packet has to reach everybody who wants it once, and cross each link once or, where
//! nobody behind it wants it, not at all ([`media`]). At the end everybody leaves, and nothing may be left behind.
//!
//! `TERANGA_SEED=17` runs one seed only, `TERANGA_SEEDS=20000` more than those of every test run. What was done is printed for
//! each that fails.

mod books;
mod happenings;
mod media;
mod network;
mod node;
mod participant;
mod rooms;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use focus::{Focus, Input, Output, SelectionStrategy, Settings};
use model::FiveTuple;
use sim::Random;
use xmpp::Element;
use xmpp::jingle::Jingle;

use self::network::{Crossings, Faults, Party, latency, party_at};
use self::node::Node;
use self::participant::{Participant, TICK};
use self::rooms::{FOCUS_JID, Server};
use crate::brewery;

/// Inputs that may come at one instant; more, and time stands still.
const MAX_STEPS_AT_ONCE: usize = 200_000;

/// How large a deployment is, and how much happens to it.
struct Size {
    /// At first; some more may come.
    bridges: usize,
    rooms: usize,
    participants: usize,
    /// Of one conference on one bridge; with more a conference gets another one.
    per_bridge: usize,
    strategies: &'static [SelectionStrategy],
    /// What happens between two times of rest.
    happenings: usize,
    rests: usize,
}

/// Who wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    Focus,
    Brewery(usize),
    Bridge(usize),
    Participant(usize),
}

/// What arrives somewhere.
#[derive(Debug)]
enum Arrival {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A stanza reaches the XMPP server.
    AtServer(Party, Element),
    /// A stanza of the server reaches whom it is for.
    Stanza(Party, Element),
    Later(Later),
}

/// What somebody does after a while.
#[derive(Debug)]
enum Later {
    Accept {
        participant: usize,
        sid: String,
    },
    /// The server finds out that a bridge is gone.
    MissBridge(usize),
    /// The stream of a bridge is up.
    BringUp(usize),
    /// The server finds out that a participant is gone.
    MissParticipant(usize),
}

/// Everything.
struct Deployment {
    seed: u64,
    size: Size,
    start: Instant,
    now: Instant,
    random: Random,
    focus: Focus,
    nodes: BTreeMap<usize, Node>,
    next_node: usize,
    participants: BTreeMap<usize, Participant>,
    /// In which room each participant is, or was.
    room_of: Vec<String>,
    server: Server,
    faults: Faults,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    last_arrival: u64,
    timers: BTreeSet<(Instant, Actor)>,
    due: BTreeMap<Actor, Instant>,
    /// What crosses links, while that is noted.
    crossings: Option<Crossings>,
    /// What participants send, while that is noted: stream and number.
    sent: Option<Vec<(u32, u64)>>,
    log: Vec<String>,
    figures: Figures,
}

/// What a run amounted to.
#[derive(Debug, Default)]
struct Figures {
    /// Most bridges of one conference, and links of all of them, at a time of rest.
    bridges_of_one: usize,
    links: usize,
    /// Packets that were looked for, and found, where they were wanted.
    delivered: usize,
    /// The longest time until books agreed.
    longest_rest: Duration,
    /// Participants that ever joined, Colibri2 requests that bridges took, and what they refused, by how often.
    joined: usize,
    requests: usize,
    refusals: BTreeMap<String, usize>,
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let at = self.now.saturating_duration_since(self.start);
            eprintln!("seed {}, {at:?} after the start:\n  {}", self.seed, self.log.join("\n  "));
        }
    }
}

impl Deployment {
    fn new(seed: u64, size: Size) -> Self {
        let now = sim::start();
        let mut random = Random::new(seed);
        let strategy = size.strategies[random.below(size.strategies.len() as u64) as usize];
        let mut settings = Settings::new("meet.jitsi").unwrap();
        settings.selection.cascading = true;
        settings.selection.strategy = strategy;
        settings.bridge.max_participants = Some(size.per_bridge);
        settings.redistribution.is_enabled = random.percent(50);
        let mut focus_seed = [0; 32];
        focus_seed[..8].copy_from_slice(&seed.to_le_bytes());
        let focus = Focus::new(settings, focus_seed).unwrap();
        let mut deployment = Self {
            seed,
            start: now,
            now,
            random,
            focus,
            nodes: BTreeMap::new(),
            next_node: 0,
            participants: BTreeMap::new(),
            room_of: Vec::new(),
            server: Server::default(),
            faults: Faults::default(),
            arrivals: BTreeMap::new(),
            last_arrival: 0,
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            crossings: None,
            sent: None,
            log: vec![format!("{strategy:?}")],
            figures: Figures::default(),
            size,
        };
        deployment.focus.handle_input(Input::LinkUp { jid: FOCUS_JID.parse().unwrap() }, now);
        deployment.after_focus();
        deployment
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let (mut steps, mut at) = (0, self.now);
        loop {
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let timer = self.timers.first().map(|(at, _)| *at);
            let Some(next) = arrival.into_iter().chain(timer).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            steps = if self.now == at { steps + 1 } else { 0 };
            at = self.now;
            assert!(steps < MAX_STEPS_AT_ONCE, "time stands still: {:?}", self.timers.first());
            if arrival == Some(next)
                && let Some((_, arrival)) = self.arrivals.pop_first()
            {
                self.handle_arrival(arrival);
            } else if let Some((_, actor)) = self.timers.pop_first() {
                self.due.remove(&actor);
                self.wake(actor);
            }
        }
        self.now = end;
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn arrive(&mut self, at: Instant, arrival: Arrival) {
        self.last_arrival += 1;
        self.arrivals.insert((at, self.last_arrival), arrival);
    }

    fn later(&mut self, ms: u64, what: Later) {
        self.arrive(self.now + Duration::from_millis(ms), Arrival::Later(what));
    }

    fn set_timer(&mut self, actor: Actor, at: Option<Instant>) {
        if self.due.get(&actor).copied() == at {
            return;
        }
        if let Some(before) = self.due.remove(&actor) {
            self.timers.remove(&(before, actor));
        }
        if let Some(at) = at {
            self.due.insert(actor, at);
            self.timers.insert((at, actor));
        }
    }

    fn wake(&mut self, actor: Actor) {
        let now = self.now;
        match actor {
            Actor::Focus => {
                self.focus.handle_input(Input::Timeout, now);
                self.after_focus();
            }
            Actor::Brewery(number) => {
                let Some(node) = self.nodes.get_mut(&number) else { return };
                let stanzas = node.handle_timeout(now);
                self.after_node(number, stanzas);
            }
            Actor::Bridge(number) => {
                let Some(node) = self.nodes.get_mut(&number) else { return };
                node.bridge.handle_timeout(now);
                self.after_node(number, Vec::new());
            }
            Actor::Participant(number) => {
                let ms = now.saturating_duration_since(self.start).as_millis() as u64;
                let Some(participant) = self.participants.get_mut(&number) else { return };
                let sent = participant.handle_timeout(ms, now);
                if let Some(all) = &mut self.sent {
                    all.extend(sent);
                }
                self.after_participant(number);
            }
        }
    }

    fn handle_arrival(&mut self, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Datagram { from, to, bytes } => match party_at(to) {
                Party::Node(number) => {
                    let Some(node) = self.nodes.get_mut(&number) else { return };
                    node.bridge.handle_datagram(FiveTuple::udp(to, from), &bytes, now);
                    self.after_node(number, Vec::new());
                }
                Party::Participant(number) => {
                    let Some(participant) = self.participants.get_mut(&number) else { return };
                    participant.handle_datagram(to, bytes, now);
                    self.after_participant(number);
                }
                Party::Focus => {}
            },
            Arrival::AtServer(from, stanza) => {
                let is_there = match from {
                    Party::Participant(number) => self.participants.contains_key(&number),
                    Party::Focus | Party::Node(_) => true,
                };
                if is_there {
                    self.route(from, stanza);
                }
            }
            Arrival::Stanza(Party::Focus, stanza) => {
                self.focus.handle_input(Input::Stanza(stanza), now);
                self.after_focus();
            }
            Arrival::Stanza(Party::Node(number), stanza) => {
                let Some(node) = self.nodes.get_mut(&number).filter(|node| node.is_online) else { return };
                let stanzas = node.handle_input(brewery::Input::Stanza(stanza), now);
                self.after_node(number, stanzas);
            }
            Arrival::Stanza(Party::Participant(number), stanza) => {
                if !matches!(stanza.attr("type"), Some("get" | "set")) {
                    return;
                }
                let Some(participant) = self.participants.get_mut(&number) else { return };
                let (answer, offer) = participant.handle_iq(&stanza, now);
                self.send_stanza(Party::Participant(number), answer);
                if let Some(sid) = offer {
                    // Some take their time.
                    let ms =
                        if self.random.percent(90) { 50 + self.random.below(500) } else { self.random.below(8000) };
                    self.later(ms, Later::Accept { participant: number, sid });
                }
                self.after_participant(number);
            }
            Arrival::Later(what) => self.do_later(what),
        }
    }

    fn do_later(&mut self, what: Later) {
        match what {
            Later::Accept { participant, sid } => {
                let now = self.now;
                let accept = self.participants.get_mut(&participant).and_then(|known| known.accept(&sid, now));
                accept.into_iter().for_each(|accept| self.say(participant, &accept));
                self.after_participant(participant);
            }
            Later::MissBridge(number) => self.lose_stream_of(number),
            Later::BringUp(number) => self.bring_up(number),
            Later::MissParticipant(number) => self.leave_room(number),
        }
    }

    /// The stream of a bridge is up, unless it is already.
    fn bring_up(&mut self, number: usize) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number).filter(|node| !node.is_online) else { return };
        node.is_online = true;
        let stanzas = node.handle_input(brewery::Input::LinkUp, now);
        self.after_node(number, stanzas);
    }

    /// A participant sends a message of its session.
    fn say(&mut self, number: usize, jingle: &Jingle) {
        let Some(participant) = self.participants.get(&number) else { return };
        let iq = Element::new("iq", xmpp::ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", format!("j{}", self.last_arrival))
            .with_attr("from", participant.occupant())
            .with_attr("to", FOCUS_JID)
            .with_child(jingle.to_element());
        self.send_stanza(Party::Participant(number), iq);
    }

    fn after_focus(&mut self) {
        loop {
            match self.focus.poll_output() {
                Output::Send(stanza) => self.send_stanza(Party::Focus, stanza),
                // No request is made over HTTP, and there are no nodes for visitors.
                Output::HttpResponse { .. } | Output::SendToNode { .. } => {}
                Output::Timeout(at) => return self.set_timer(Actor::Focus, at),
            }
        }
    }

    fn after_node(&mut self, number: usize, stanzas: Vec<Element>) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let datagrams = node.bridge.take_sent(now);
        let readiness = node.take_readiness(now);
        let (bridge_timeout, brewery_timeout) = (node.bridge.poll_timeout(), node.brewery_timeout());
        for (path, datagram) in datagrams {
            assert_eq!(party_at(path.local), Party::Node(number));
            self.transmit(path.local, path.remote, datagram);
        }
        stanzas.into_iter().chain(readiness).for_each(|stanza| self.send_stanza(Party::Node(number), stanza));
        self.set_timer(Actor::Bridge(number), bridge_timeout);
        self.set_timer(Actor::Brewery(number), brewery_timeout);
    }

    fn after_participant(&mut self, number: usize) {
        let Self { participants, room_of, now, .. } = self;
        let now = *now;
        let Some(participant) = participants.get_mut(&number) else { return };
        let (outgoing, deadline, failure) = participant.drain(room_of, now);
        let ends = participant.session.as_ref().map(|session| (session.peer.address, session.peer.bridge));
        if let Some((from, to)) = ends {
            outgoing.into_iter().for_each(|datagram| self.transmit(from, to, datagram));
        }
        failure.into_iter().for_each(|message| self.say(number, &message));
        self.set_timer(Actor::Participant(number), Some(deadline.max(now + Duration::from_millis(1))));
    }

    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let (sender, receiver) = (party_at(from), party_at(to));
        if let (Party::Node(sender), Party::Node(receiver), Some(crossings)) = (sender, receiver, &mut self.crossings) {
            crossings.note(sender, receiver, &bytes);
        }
        if !self.faults.lose(sender, receiver, self.now) {
            let at = self.now + latency(self.seed, sender, receiver);
            self.arrive(at, Arrival::Datagram { from, to, bytes });
        }
    }

    /// Everybody who has a session sends from now on, or nobody.
    fn set_live(&mut self, is_live: bool) {
        let all: Vec<usize> = self.participants.keys().copied().collect();
        for number in all {
            let offset = Duration::from_millis(1 + number as u64 * 7 % (TICK.as_millis() as u64 - 1));
            let next_tick = is_live.then(|| self.now + offset);
            if let Some(session) = self.participants.get_mut(&number).and_then(|known| known.session.as_mut()) {
                session.next_tick = next_tick;
                self.after_participant(number);
            }
        }
    }
}

/// A deployment from its begin to its end.
fn run(seed: u64, size: Size) -> Figures {
    let mut deployment = Deployment::new(seed, size);
    deployment.populate();
    deployment.rest("at the beginning");
    for round in 0..deployment.size.rests {
        for _ in 0..deployment.size.happenings {
            deployment.happen();
        }
        deployment.rest(&format!("in round {round}"));
    }
    deployment.end();
    let Figures { joined, requests, bridges_of_one, .. } = deployment.figures;
    let happened = joined + deployment.size.happenings * deployment.size.rests;
    assert!(requests < happened * (6 + 3 * bridges_of_one), "seed {seed}: a storm of {requests} requests");
    std::mem::take(&mut deployment.figures)
}

#[test]
fn whatever_happens_everybody_gets_what_they_want_once_and_nothing_leaks() {
    use SelectionStrategy::{IntraRegion, RegionBased, SplitBridge};
    let spread = AtomicUsize::new(0);
    super::seeds::run(200, &[], |seed| {
        let number = seed as usize;
        let size = Size {
            bridges: 4 + number % 5,
            rooms: 3,
            participants: 12,
            per_bridge: 2 + number / 5 % 3,
            strategies: &[SplitBridge, RegionBased, IntraRegion],
            happenings: 25,
            rests: 1,
        };
        let figures = run(seed, size);
        println!("seed {seed}: {figures:?}");
        spread.fetch_add(usize::from(figures.bridges_of_one > 2), Ordering::Relaxed);
    });
    let spread = spread.into_inner();
    println!("{spread} with conferences on three bridges or more");
}

/// As the small ones, in the size of a large deployment.
#[test]
fn fifty_bridges_carry_a_thousand_participants() {
    super::seeds::run(1, &[], |seed| {
        let size = Size {
            bridges: 50,
            rooms: 60,
            participants: 1000,
            per_bridge: 6,
            strategies: &[SelectionStrategy::RegionBased, SelectionStrategy::IntraRegion],
            happenings: 100,
            rests: 1,
        };
        let figures = run(seed, size);
        println!("seed {seed}: {figures:?}");
        assert!(figures.bridges_of_one >= 5 && figures.links >= 100, "conferences are spread: {figures:?}");
    });
}
