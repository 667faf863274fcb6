//! Two ends in virtual time, and a library's association as a peer that breaks the rules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::packet::crc32c;

#[test]
fn channel_opens_and_text_passes_both_ways() {
    let mut world = World::new(1);
    world.open();
    world.client.send_text("{\"colibriClass\":\"ClientHello\"}").unwrap();
    world.client.send_text("").unwrap();
    world.server.send_text("{\"colibriClass\":\"ServerHello\"}").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events, [jitsi_channel(), text("{\"colibriClass\":\"ClientHello\"}"), text("")]);
    assert_eq!(world.client_events, [jitsi_channel(), text("{\"colibriClass\":\"ServerHello\"}")]);
    assert_eq!(world.server.counters(), SctpCounters::default());
}

#[test]
fn nothing_is_sent_before_the_channel_is_open() {
    let mut world = World::new(2);
    assert_eq!(world.server.send_text("x"), Err(SctpError::NotOpen));
    world.run(Duration::from_secs(1));
    assert!(!world.server.is_open());
    assert_eq!(world.server.send_text("x"), Err(SctpError::NotOpen));
    assert_eq!(world.server_events, []);
}

#[test]
fn messages_arrive_in_order_through_loss() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.loss_percent = 10;
        world.client.open_channel(LABEL, PROTOCOL).unwrap();
        world.run(Duration::from_secs(20));
        for i in 0..50 {
            world.client.send_text(&format!("to the bridge {i} {}", "x".repeat(i * 40))).unwrap();
            world.server.send_text(&format!("to the client {i}")).unwrap();
        }
        world.run(Duration::from_secs(120));
        let expected = |name: &str, fill: usize| -> Vec<Event> {
            (0..50)
                .map(|i| text(&format!("{name} {i}{}{}", if fill > 0 { " " } else { "" }, "x".repeat(i * fill))))
                .collect()
        };
        assert_eq!(world.server_events[1..], expected("to the bridge", 40), "seed {seed}");
        assert_eq!(world.client_events[1..], expected("to the client", 0), "seed {seed}");
    }
}

#[test]
fn largest_message_passes_and_one_byte_more_is_refused() {
    let mut world = World::new(3);
    world.open();
    let big = "é".repeat(DataChannel::MAX_MESSAGE_LEN / 2);
    world.client.send_text(&big).unwrap();
    world.run(Duration::from_secs(20));
    assert_eq!(world.server_events.last(), Some(&text(&big)));
    let error = world.client.send_text(&format!("{big}x")).unwrap_err();
    assert_eq!(error, SctpError::MessageTooLong { len: 262_145, limit: 262_144 });
}

#[test]
fn queue_to_a_peer_that_does_not_read_is_bounded() {
    let mut world = World::new(4);
    world.open();
    world.loss_percent = 100;
    let message = "x".repeat(60_000);
    let sent = (0..100).take_while(|_| world.server.send_text(&message).is_ok()).count();
    assert_eq!(sent, MAX_QUEUED_LEN / message.len());
    assert_eq!(world.server.send_text(&message), Err(SctpError::QueueFull));
}

#[test]
fn retransmitted_init_keeps_one_association() {
    let mut world = World::new(5);
    let now = world.now;
    let Output::Transmit(init) = world.client.poll_output() else { panic!("no INIT") };
    for _ in 0..5 {
        world.server.handle_datagram(now, &init);
    }
    world.server.handle_datagram(now, &init);
    world.open();
    world.server.handle_datagram(world.now, &init);
    world.client.send_text("still one").unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(world.server_events.last(), Some(&text("still one")));
}

#[test]
fn open_that_overtakes_the_cookie_ack_is_answered_after_it() {
    let mut world = World::new(12);
    let now = world.now;
    world.server.open_channel(LABEL, PROTOCOL).unwrap();
    for _ in 0..2 {
        packets(&mut world.client).iter().for_each(|packet| world.server.handle_datagram(now, packet));
        let answers = packets(&mut world.server);
        let is_last = answers.len() > 1;
        if is_last {
            assert_eq!((answers[0][12], answers[1][12]), (COOKIE_ACK, DATA));
        }
        answers.iter().rev().for_each(|packet| world.client.handle_datagram(now, packet));
    }
    world.run(Duration::from_secs(1));
    assert!(world.client.is_open() && world.server.is_open());
    assert_eq!((world.client_events, world.server_events), (vec![jitsi_channel()], vec![jitsi_channel()]));
}

#[test]
fn peer_that_forgot_the_association_can_end_it() {
    let mut world = World::new(13);
    world.open();
    let to_peer = world.server.to_peer.unwrap();
    let mut abort = abort(&to_peer).to_vec();
    world.server.handle_datagram(world.now, &abort);
    assert!(world.server.is_open(), "the tag is not ours, and it does not say so");
    abort[13] |= 1;
    world.server.handle_datagram(world.now, &abort);
    world.server.handle_datagram(world.now, &abort);
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events, [jitsi_channel(), Event::Closed]);
}

#[test]
fn second_channel_is_reset_and_counted_and_the_first_goes_on() {
    let mut world = World::new(6);
    world.open();
    let open = DcepMessage::Open(DcepOpen {
        channel_type: ChannelType::Reliable,
        reliability: 0,
        priority: 0,
        label: "another".into(),
        protocol: String::new(),
    });
    world.raw_message(2, &open.to_bytes(), PayloadProtocolIdentifier::Dcep);
    world.run(Duration::from_secs(3));
    assert_eq!(world.server.counters().rejected_channels, 1);
    world.client.send_text("first").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events, [jitsi_channel(), text("first")]);
}

#[test]
fn broken_dcep_and_unwanted_messages_are_counted() {
    let mut world = World::new(7);
    world.run(Duration::from_secs(1));
    world.raw_message(4, &[3, 0, 0], PayloadProtocolIdentifier::Dcep);
    world.raw_message(6, &[2], PayloadProtocolIdentifier::Dcep);
    world.raw_message(8, b"text on no channel", PayloadProtocolIdentifier::String);
    world.open();
    world.raw_message(0, b"binary", PayloadProtocolIdentifier::Binary);
    world.raw_message(0, &[0xff, 0xfe], PayloadProtocolIdentifier::String);
    world.run(Duration::from_secs(3));
    let counters = world.server.counters();
    assert_eq!((counters.malformed_dcep, counters.ignored_messages, counters.malformed_text), (2, 2, 1));
    assert_eq!(world.server_events, [jitsi_channel()]);
}

#[test]
fn closed_channel_can_be_opened_again() {
    let mut world = World::new(8);
    world.open();
    world.client.reset_stream(0);
    world.client.drain();
    world.run(Duration::from_secs(3));
    assert_eq!(world.server_events, [jitsi_channel(), Event::ChannelClosed]);
    assert!(!world.server.is_open() && !world.client.is_open());
    world.client.open_channel(LABEL, PROTOCOL).unwrap();
    world.run(Duration::from_secs(3));
    assert_eq!(world.server_events.last(), Some(&jitsi_channel()));
    world.server.send_text("again").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.client_events.last(), Some(&text("again")));
}

#[test]
fn one_channel_at_a_time_on_our_side_too() {
    let mut world = World::new(9);
    world.open();
    assert_eq!(world.client.open_channel("second", ""), Err(SctpError::AlreadyOpen));
    assert_eq!(world.server.open_channel("second", ""), Err(SctpError::AlreadyOpen));
}

#[test]
fn peer_with_too_many_streams_loses_its_association() {
    let mut world = World::new(10);
    world.open();
    for id in 1..=(MAX_STREAMS as StreamId + 8) {
        world.raw_message(id * 2, b"x", PayloadProtocolIdentifier::String);
    }
    world.run(Duration::from_secs(3));
    assert_eq!(world.server_events.last(), Some(&Event::Closed));
    assert_eq!(world.server.send_text("x"), Err(SctpError::NotOpen));
}

#[test]
fn closed_association_stays_closed() {
    let mut world = World::new(11);
    world.open();
    world.client.close();
    world.run(Duration::from_secs(3));
    assert_eq!(world.client_events.last(), Some(&Event::Closed));
    assert_eq!(world.client.open_channel(LABEL, PROTOCOL), Err(SctpError::NotOpen));
    world.server.close();
    world.server.close();
    world.run(Duration::from_secs(3));
    assert_eq!(world.server_events.iter().filter(|event| **event == Event::Closed).count(), 1);
}

#[test]
fn garbage_and_changed_packets_never_panic() {
    let mut random = Random(99);
    for seed in 0..60 {
        let mut world = World::new(seed);
        world.corrupt_percent = 30;
        world.client.open_channel(LABEL, PROTOCOL).unwrap();
        for _ in 0..50 {
            let mut packet: Vec<u8> = (0..12 + random.below(60)).map(|_| random.below(256) as u8).collect();
            if random.below(2) == 0 {
                packet[4..8].fill(0);
                packet[12..].iter_mut().take(1).for_each(|chunk| *chunk = (random.0 % 16) as u8);
            }
            fix_checksum(&mut packet);
            world.server.handle_datagram(world.now, &packet);
            world.client.handle_datagram(world.now, &packet);
        }
        world.run(Duration::from_secs(30));
    }
}

const LABEL: &str = "JVB data channel";
const PROTOCOL: &str = "http://jitsi.org/protocols/colibri";

fn jitsi_channel() -> Event {
    Event::ChannelOpen { label: LABEL.into(), protocol: PROTOCOL.into() }
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

/// When it arrives, its number, whether at the server, the packet.
type Flight = (Instant, u64, bool, Vec<u8>);

/// A client and a server, and a network of 20 ms between them.
struct World {
    now: Instant,
    client: DataChannel,
    server: DataChannel,
    client_events: Vec<Event>,
    server_events: Vec<Event>,
    network: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    random: Random,
    loss_percent: u64,
    corrupt_percent: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let now = Instant::now();
        Self {
            now,
            client: DataChannel::new(now, SctpRole::Client).unwrap(),
            server: DataChannel::new(now, SctpRole::Server).unwrap(),
            client_events: Vec::new(),
            server_events: Vec::new(),
            network: BinaryHeap::new(),
            sent: 0,
            random: Random(seed.wrapping_mul(2).wrapping_add(1)),
            loss_percent: 0,
            corrupt_percent: 0,
        }
    }

    fn open(&mut self) {
        self.client.open_channel(LABEL, PROTOCOL).unwrap();
        self.run(Duration::from_secs(2));
        assert!(self.client.is_open() && self.server.is_open());
    }

    /// Sends as a client without our limits would.
    fn raw_message(&mut self, id: StreamId, message: &[u8], kind: PayloadProtocolIdentifier) {
        let Lifecycle::Running { association, .. } = &mut self.client.association else { panic!("no association") };
        if association.stream(id).is_err() {
            association.open_stream(id, kind).unwrap();
        }
        association.stream(id).unwrap().write_with_ppi(message, kind).unwrap();
        self.client.drain();
    }

    fn send(&mut self, to_server: bool, mut packet: Vec<u8>) {
        assert!(packet.len() <= 1_160, "{} bytes", packet.len());
        if self.random.below(100) < self.loss_percent {
            return;
        }
        if self.random.below(100) < self.corrupt_percent {
            let at = self.random.below(packet.len() as u64) as usize;
            packet[at] ^= 1 << self.random.below(8);
            fix_checksum(&mut packet);
        }
        self.sent += 1;
        let at = self.now + Duration::from_millis(15 + self.random.below(10));
        self.network.push(Reverse((at, self.sent, to_server, packet)));
    }

    fn poll(&mut self, is_client: bool) -> Instant {
        loop {
            let side = if is_client { &mut self.client } else { &mut self.server };
            match side.poll_output() {
                Output::Transmit(packet) => self.send(is_client, packet.to_vec()),
                Output::Event(event) if is_client => self.client_events.push(event),
                Output::Event(event) => self.server_events.push(event),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        loop {
            let (client, server) = (self.poll(true), self.poll(false));
            let arrival = self.network.peek().map_or(end, |Reverse((at, ..))| *at);
            let next = client.min(server).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if arrival <= next
                && let Some(Reverse((_, _, to_server, packet))) = self.network.pop()
            {
                let side = if to_server { &mut self.server } else { &mut self.client };
                side.handle_datagram(next, &packet);
            }
            if client <= next {
                self.client.handle_timeout(next);
            }
            if server <= next {
                self.server.handle_timeout(next);
            }
        }
    }
}

/// What a side sends now.
fn packets(side: &mut DataChannel) -> Vec<Bytes> {
    let output = std::iter::from_fn(|| match side.poll_output() {
        Output::Transmit(packet) => Some(packet),
        Output::Event(_) | Output::Timeout(_) => None,
    });
    output.collect()
}

/// Chunk types (RFC 9260 §3.2).
const DATA: u8 = 0;
const COOKIE_ACK: u8 = 11;

fn fix_checksum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let crc = crc32c(packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
