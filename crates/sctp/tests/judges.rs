//! Our end against the SCTP of others, as client and as server of the association, over a network that loses, doubles,
//! reorders and damages packets.
#![allow(clippy::unwrap_used, reason = "a test, its helpers included")]

mod peer;

use std::time::{Duration, Instant};

use peer::{DcSctp, Delivery, Heard, Peer, RtcSctp, ppid};
use sctp::{ChannelType, DataChannel, DcepMessage, DcepOpen, Event, Output, SctpCounters, SctpRole};
use sim::{Conditions, Network};

/// A foreign end, made at this instant.
type NewPeer = fn(Instant) -> Box<dyn Peer>;

const JUDGES: [(&str, NewPeer); 2] = [("dcsctp", DcSctp::boxed), ("rtc-sctp", RtcSctp::boxed)];
const ROLES: [SctpRole; 2] = [SctpRole::Client, SctpRole::Server];

/// A path across a continent.
const PATH: Conditions = Conditions::clean(Duration::from_millis(20)).with_jitter(Duration::from_millis(5));

/// Loss as on a bad wireless link.
const LOSSY: Conditions = PATH.with_loss(10);

/// All that a path can do.
const BAD: Conditions = Conditions {
    duplicate_percent: 5,
    reorder_percent: 10,
    held_back_by: Duration::from_millis(60),
    corrupt_percent: 3,
    ..LOSSY
};

const SEEDS: u64 = 10;
const LABEL: &str = "JVB data channel";
const PROTOCOL: &str = "http://jitsi.org/protocols/colibri";

/// Runs `test` with each judge and in each role.
fn with_all(conditions: Conditions, seed: u64, test: impl Fn(&mut World)) {
    for (name, peer) in JUDGES {
        for role in ROLES {
            let mut world = World::new(format!("{name}, we are {role:?}, seed {seed}"), peer, role, conditions, seed);
            test(&mut world);
        }
    }
}

#[test]
fn messages_of_all_lengths_pass_both_ways_in_order() {
    for (conditions, seeds) in [(PATH, 1), (LOSSY, SEEDS), (BAD, SEEDS)] {
        for seed in 0..seeds {
            with_all(conditions, seed, |world| {
                world.open();
                let messages = messages();
                for message in &messages {
                    world.say(message);
                    world.ours.send_text(message).unwrap();
                }
                world.run_until("all messages", |world| {
                    world.texts().len() == messages.len() && world.heard_texts().len() == messages.len()
                });
                assert!(world.texts() == messages, "{}: others or in other order", world.name);
                assert!(world.heard_texts() == messages, "{}: others or in other order", world.name);
                let SctpCounters { rejected_channels, malformed_dcep, malformed_text, ignored_messages, .. } =
                    world.ours.counters();
                assert_eq!((rejected_channels, malformed_dcep, malformed_text, ignored_messages), (0, 0, 0, 0));
            });
        }
    }
}

#[test]
fn largest_message_passes_both_ways() {
    for conditions in [PATH, LOSSY] {
        with_all(conditions, 1, |world| {
            world.open();
            let message = "x".repeat(DataChannel::MAX_MESSAGE_LEN);
            world.say(&message);
            world.ours.send_text(&message).unwrap();
            world.run_until("the message", |world| !world.texts().is_empty() && !world.heard_texts().is_empty());
            assert!(world.texts() == [message.clone()] && world.heard_texts() == [message], "{}", world.name);
        });
    }
}

#[test]
fn unordered_messages_all_arrive() {
    for seed in 0..SEEDS {
        with_all(BAD, seed, |world| {
            world.open();
            let mut messages = messages();
            messages.retain(|message| !message.is_empty());
            for message in &messages {
                world.peer.send(world.now, world.stream, ppid::STRING, message.as_bytes(), Delivery::Unordered);
            }
            world.run_until("all messages", |world| world.texts().len() == messages.len());
            let mut texts = world.texts();
            texts.sort_unstable();
            messages.sort_unstable();
            assert!(texts == messages, "{}", world.name);
        });
    }
}

#[test]
fn messages_given_up_by_the_peer_do_not_hold_up_others() {
    for seed in 0..SEEDS {
        with_all(LOSSY, seed, |world| {
            world.open();
            let sent: Vec<String> = (0..60).map(|i| format!("{i} {}", "x".repeat(2_000))).collect();
            for message in &sent {
                world.peer.send(world.now, world.stream, ppid::STRING, message.as_bytes(), Delivery::Once);
            }
            world.say("the last");
            world.run_until("the last", |world| world.texts().last().is_some_and(|text| text == "the last"));
            let texts = world.texts();
            let (_, arrived) = texts.split_last().unwrap();
            let mut rest = sent.iter();
            assert!(
                arrived.iter().all(|text| rest.any(|sent| sent == text)),
                "{}: broken or in other order",
                world.name
            );
            assert!(arrived.len() < sent.len(), "{}: nothing was lost", world.name);
        });
    }
}

#[test]
fn each_kind_of_channel_is_acknowledged_and_answered_reliably() {
    let kinds = [
        ChannelType::Reliable,
        ChannelType::ReliableUnordered,
        ChannelType::PartialReliableRexmit,
        ChannelType::PartialReliableRexmitUnordered,
        ChannelType::PartialReliableTimed,
        ChannelType::PartialReliableTimedUnordered,
    ];
    for (seed, channel_type) in (0..).zip(kinds) {
        with_all(LOSSY, seed, |world| {
            world.connect();
            world.send_open(channel_type, LABEL);
            // RFC 8832 §6: who opens may send at once.
            world.say("right behind the OPEN");
            world.run_until("the channel", |world| !world.texts().is_empty());
            assert_eq!(world.events[0], opened(LABEL), "{}", world.name);
            world.ours.send_text("answer").unwrap();
            world.run_until("the answer", |world| !world.heard_texts().is_empty());
            let ack = Heard::Message { stream: world.stream, ppid: ppid::DCEP, bytes: vec![2] };
            assert_eq!(world.heard.iter().filter(|heard| **heard == ack).count(), 1, "{}", world.name);
        });
    }
}

#[test]
fn our_open_is_what_the_rfc_says() {
    with_all(LOSSY, 3, |world| {
        world.connect();
        world.ours.open_channel(LABEL, PROTOCOL).unwrap();
        world.run_until("the OPEN", |world| world.heard.len() > 1);
        // RFC 8832 §5.1: type, channel type, priority, reliability parameter, both lengths, label, protocol.
        let mut open = vec![3, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 34];
        open.extend_from_slice(LABEL.as_bytes());
        open.extend_from_slice(PROTOCOL.as_bytes());
        let stream = world.our_stream();
        assert_eq!(world.heard[1], Heard::Message { stream, ppid: ppid::DCEP, bytes: open }, "{}", world.name);
        assert!(!world.ours.is_open());
        world.peer.send(world.now, stream, ppid::DCEP, &[2], Delivery::Ordered);
        world.run_until("the channel", |world| world.ours.is_open());
        world.ours.send_text("after the ACK").unwrap();
        world.run_until("the text", |world| !world.heard_texts().is_empty());
    });
}

#[test]
fn further_channel_is_reset_and_the_first_goes_on() {
    with_all(LOSSY, 4, |world| {
        world.open();
        let (first, second) = (world.stream, world.stream + 2);
        world.stream = second;
        world.send_open(ChannelType::Reliable, "another");
        world.run_until("the reset", |world| world.heard.contains(&Heard::Reset(second)));
        world.stream = first;
        world.say("on the first");
        world.run_until("the text", |world| !world.texts().is_empty());
        assert_eq!(world.ours.counters().rejected_channels, 1, "{}", world.name);
        assert_eq!(world.events, [opened(LABEL), Event::Text("on the first".into())], "{}", world.name);
    });
}

#[test]
fn channel_reset_by_the_peer_closes_and_its_stream_can_be_used_again() {
    for seed in 0..SEEDS {
        with_all(LOSSY, seed, |world| {
            world.open();
            world.peer.reset(world.now, world.stream);
            let stream = world.stream;
            world.run_until("both resets", |world| {
                world.events.contains(&Event::ChannelClosed) && world.heard.contains(&Heard::Reset(stream))
            });
            assert!(!world.ours.is_open(), "{}", world.name);
            world.run_for(Duration::from_secs(5));
            world.send_open(ChannelType::Reliable, "again");
            world.say("once more");
            world.run_until("the text", |world| !world.texts().is_empty());
            world.ours.send_text("and back").unwrap();
            world.run_until("the answer", |world| !world.heard_texts().is_empty());
            let expected = [opened(LABEL), Event::ChannelClosed, opened("again"), Event::Text("once more".into())];
            assert_eq!(world.events, expected, "{}", world.name);
        });
    }
}

#[test]
fn abort_by_the_peer_ends_the_association_once() {
    with_all(PATH, 5, |world| {
        world.open();
        world.peer.abort();
        world.run_for(Duration::from_secs(30));
        assert_eq!(world.events, [opened(LABEL), Event::Closed], "{}", world.name);
        assert!(world.ours.send_text("x").is_err());
    });
}

#[test]
fn shutdown_by_the_peer_ends_the_association_once_and_after_its_last_message() {
    for seed in 0..SEEDS {
        with_all(LOSSY, seed, |world| {
            world.open();
            let last = "x".repeat(30_000);
            world.say(&last);
            world.run_until("the message", |world| !world.texts().is_empty());
            world.run_for(Duration::from_secs(5));
            world.peer.shutdown();
            world.run_until("the end", |world| world.events.contains(&Event::Closed));
            world.run_for(Duration::from_secs(30));
            assert_eq!(world.events, [opened(LABEL), Event::Text(last), Event::Closed], "{}", world.name);
        });
    }
}

#[test]
fn peer_notices_that_we_close() {
    with_all(PATH, 6, |world| {
        world.open();
        world.ours.close();
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.events.last(), Some(&Event::Closed), "{}", world.name);
        assert_eq!(world.heard.last(), Some(&Heard::Closed), "{}", world.name);
    });
}

/// Around the length of a packet, and up to what a bridge says to a client that joins a large conference.
fn messages() -> Vec<String> {
    let lengths = [1, 2, 3, 0, 1_050, 1_100, 1_101, 1_200, 2_200, 9_999, 60_000, 0, 17, 32_768, 60_000, 5];
    (0..)
        .zip(lengths)
        .map(|(i, len)| (0..len).map(|at| char::from(b' ' + ((at * 7 + i) % 90) as u8)).collect())
        .collect()
}

fn opened(label: &str) -> Event {
    Event::ChannelOpen { label: label.into(), protocol: PROTOCOL.into() }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

/// Our end, theirs and the network between.
struct World {
    name: String,
    now: Instant,
    role: SctpRole,
    ours: DataChannel,
    peer: Box<dyn Peer>,
    network: Network<Side>,
    events: Vec<Event>,
    heard: Vec<Heard>,
    /// What the peer sends on: of its own numbers, by its role (RFC 8832 §6).
    stream: u16,
}

impl World {
    fn new(name: String, peer: NewPeer, role: SctpRole, conditions: Conditions, seed: u64) -> Self {
        let now = sim::start();
        let mut peer = peer(now);
        let stream = match role {
            SctpRole::Client => 1,
            SctpRole::Server => {
                peer.connect(now);
                0
            }
        };
        Self {
            name,
            now,
            role,
            ours: DataChannel::new(now, role).unwrap(),
            peer,
            network: Network::new(conditions, seed),
            events: Vec::new(),
            heard: Vec::new(),
            stream,
        }
    }

    fn our_stream(&self) -> u16 {
        match self.role {
            SctpRole::Client => 0,
            SctpRole::Server => 1,
        }
    }

    fn connect(&mut self) {
        self.run_until("the association", |world| world.heard.contains(&Heard::Connected));
    }

    /// The peer opens a channel.
    fn open(&mut self) {
        self.connect();
        self.send_open(ChannelType::Reliable, LABEL);
        self.run_until("the channel", |world| world.heard.len() > 1);
        assert_eq!(self.events, [opened(LABEL)], "{}", self.name);
    }

    fn send_open(&mut self, channel_type: ChannelType, label: &str) {
        let open =
            DcepOpen { channel_type, reliability: 0, priority: 256, label: label.into(), protocol: PROTOCOL.into() };
        let bytes = DcepMessage::Open(open).to_bytes();
        self.peer.send(self.now, self.stream, ppid::DCEP, &bytes, Delivery::Ordered);
    }

    /// The peer says this, as data channels do (RFC 8831 §6.6).
    fn say(&mut self, text: &str) {
        match text {
            "" => self.peer.send(self.now, self.stream, ppid::STRING_EMPTY, &[0], Delivery::Ordered),
            _ => self.peer.send(self.now, self.stream, ppid::STRING, text.as_bytes(), Delivery::Ordered),
        }
    }

    /// Texts that arrived here.
    fn texts(&self) -> Vec<String> {
        let texts =
            self.events.iter().filter_map(|event| if let Event::Text(text) = event { Some(text) } else { None });
        texts.cloned().collect()
    }

    /// Texts that arrived there.
    fn heard_texts(&self) -> Vec<String> {
        let text = |heard: &Heard| match heard {
            Heard::Message { ppid: ppid::STRING, bytes, .. } => Some(String::from_utf8(bytes.clone()).unwrap()),
            Heard::Message { ppid: ppid::STRING_EMPTY, .. } => Some(String::new()),
            Heard::Message { .. } | Heard::Connected | Heard::Reset(_) | Heard::Closed => None,
        };
        self.heard.iter().filter_map(text).collect()
    }

    /// For ten minutes of virtual time at most.
    fn run_until(&mut self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(600);
        while !is_there(self) {
            assert!(self.step(end), "{}: {what} did not come; {:?}, {} heard", self.name, self.ours, self.heard.len());
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// To the next thing that happens. False where the end comes first.
    fn step(&mut self, end: Instant) -> bool {
        let our_timeout = loop {
            match self.ours.poll_output() {
                Output::Transmit(packet) => self.network.send(self.now, Side::Ours, Side::Theirs, packet.to_vec()),
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => break at,
            }
        };
        let (datagrams, heard) = self.peer.drain(self.now);
        self.heard.extend(heard);
        for datagram in datagrams {
            self.network.send(self.now, Side::Theirs, Side::Ours, datagram);
        }
        let their_timeout = self.peer.timeout();
        let next = [Some(our_timeout), their_timeout, self.network.next_arrival()].into_iter().flatten().min();
        let next = next.unwrap_or(end).max(self.now);
        if next >= end {
            self.now = end;
            return false;
        }
        // A timer that stays due after it fired must not stop the clock.
        self.now = next.max(self.now + Duration::from_micros(1));
        while let Some(delivery) = self.network.receive(self.now) {
            match delivery.to {
                Side::Ours => self.ours.handle_datagram(self.now, &delivery.datagram),
                Side::Theirs => self.peer.handle_datagram(self.now, &delivery.datagram),
            }
        }
        if our_timeout <= self.now {
            self.ours.handle_timeout(self.now);
        }
        if their_timeout.is_some_and(|at| at <= self.now) {
            self.peer.handle_timeout(self.now);
        }
        true
    }
}
