//! SCTP packets and the messages that establish a data channel (`sctp`).
//!
//! Arbitrary bytes stop at the checksum and at the verification tag, so the input is a script of packets that this target
//! completes with both, as a peer does who is in the association and means ill.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sctp::{DataChannel, DcepMessage, Event, Output, SctpRole, parse_dcep};

use super::stanza::comes_back;

/// A message that opens a data channel or answers one.
pub fn dcep(data: &[u8]) {
    if let Ok(message) = parse_dcep(data) {
        comes_back(&message, |message: &DcepMessage| parse_dcep(&message.to_bytes()));
    }
}

/// Packets as they are, then a script of chunks into an association that an honest peer opens at the same time.
pub fn sctp(data: &[u8]) {
    let mut stranger = Side::new(SctpRole::Server);
    stranger.handle(data);
    stranger.handle(&with_checksum(data.to_vec()));

    let mut pair = Pair { client: Side::new(SctpRole::Client), server: Side::new(SctpRole::Server) };
    let is_undisturbed = data.is_empty();
    let mut script = data;
    for _ in 0..MAX_STEPS {
        let Some((&[how, len], rest)) = script.split_first_chunk() else { break };
        let (chunks, rest) = rest.split_at(usize::from(len).min(rest.len()));
        script = rest;
        pair.step(how, chunks);
    }
    pair.settle();
    if is_undisturbed {
        assert!(pair.client.channel.is_open() && pair.server.channel.is_open(), "an undisturbed channel did not open");
        assert_eq!(pair.server.texts, ["hello"]);
    }
}

struct Pair {
    client: Side,
    server: Side,
}

impl Pair {
    fn step(&mut self, how: u8, chunks: &[u8]) {
        let (attacked, other) = match how & 1 {
            0 => (&mut self.server, &mut self.client),
            _ => (&mut self.client, &mut self.server),
        };
        match how >> 1 & 7 {
            // The ordinary course of things, one turn.
            0 => self.turn(),
            1 => drop(other.outbox.pop_front()),
            2 => {
                let first = other.outbox.front().cloned();
                first.into_iter().for_each(|packet| attacked.handle(&packet));
            }
            3 => attacked.wait(Duration::from_millis(10 << (how >> 5))),
            // A packet of the other side with these chunks instead of its own.
            4 | 5 => attacked.handle(&other.packet(chunks)),
            // Or behind its own.
            6 => {
                if let Some(mut packet) = other.outbox.pop_front() {
                    packet.extend(chunks);
                    attacked.handle(&with_checksum(packet));
                }
            }
            _ => attacked.channel.close(),
        }
        self.client.drain();
        self.server.drain();
    }

    /// Everything that waits arrives.
    fn turn(&mut self) {
        for _ in 0..self.client.outbox.len() {
            let packet = self.client.outbox.pop_front();
            packet.into_iter().for_each(|packet| self.server.handle(&packet));
        }
        for _ in 0..self.server.outbox.len() {
            let packet = self.server.outbox.pop_front();
            packet.into_iter().for_each(|packet| self.client.handle(&packet));
        }
    }

    fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            if self.client.outbox.is_empty() && self.server.outbox.is_empty() {
                break;
            }
            self.turn();
        }
        let _ = self.client.channel.send_text("hello");
        self.client.drain();
        self.turn();
    }
}

/// One association and its own clock.
struct Side {
    channel: DataChannel,
    now: Instant,
    outbox: VecDeque<Vec<u8>>,
    /// Ports and verification tag of the last packet that this side sent.
    common_header: [u8; 8],
    texts: Vec<String>,
}

impl Side {
    fn new(role: SctpRole) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to count from; it never shows in a result")]
        let now = Instant::now();
        let Ok(mut channel) = DataChannel::new(now, role) else { unreachable!("nothing of it depends on input") };
        if role == SctpRole::Client {
            let wanted = channel.open_channel("JVB data channel", "http://jitsi.org/protocols/colibri");
            assert!(wanted.is_ok());
        }
        let mut side = Self { channel, now, outbox: VecDeque::new(), common_header: [0; 8], texts: Vec::new() };
        side.drain();
        side
    }

    fn handle(&mut self, packet: &[u8]) {
        self.channel.handle_datagram(self.now, packet);
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.channel.handle_timeout(self.now);
        self.drain();
    }

    /// A packet as this side would send it, with these chunks.
    fn packet(&self, chunks: &[u8]) -> Vec<u8> {
        with_checksum([self.common_header.as_slice(), &[0; 4], chunks].concat())
    }

    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.channel.poll_output() {
                Output::Transmit(packet) => {
                    if let Some(header) = packet.first_chunk() {
                        self.common_header = *header;
                    }
                    self.outbox.push_back(packet.to_vec());
                    // An attacker who is never answered makes no peer that keeps everything.
                    if self.outbox.len() > MAX_OUTBOX {
                        self.outbox.pop_front();
                    }
                }
                Output::Event(Event::Text(text)) => {
                    assert!(text.len() <= DataChannel::MAX_MESSAGE_LEN);
                    self.texts.push(text);
                }
                Output::Event(_) => {}
                Output::Timeout(at) => {
                    assert!(at > self.now, "a timer that is due before it is set");
                    return;
                }
            }
        }
        panic!("more than {MAX_OUTPUTS} outputs for one input");
    }
}

/// Puts the CRC-32C of RFC 9260 §6.8 in its place.
fn with_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    if let Some(field) = packet.get_mut(8..12) {
        field.fill(0);
    }
    let crc = !packet.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1)))
    });
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    packet
}

/// More steps find nothing that these do not, and take long.
const MAX_STEPS: usize = 48;
/// Far above what one input may cause.
const MAX_OUTPUTS: usize = 10_000;
const MAX_OUTBOX: usize = 256;
