//! STUN, from the first byte of a datagram or of a TCP connection to the state of an ICE agent (`ice`, `net`).
//!
//! Arbitrary bytes stop at the first integrity check, so the input is also read as a script of messages that this
//! target completes: with header, USERNAME, and the MESSAGE-INTEGRITY of someone who knows the passwords. Some go over
//! TCP, in frames that are cut, run together, lie or end the connection as the script says.

mod connections;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use ice::{
    DatagramKind, Event, Generation, IceAgent, IceCredentials, IceRole, LocalAddress, LocalCandidate, Output, StunDemux,
};
use model::{FiveTuple, TransportProtocol};
use net::media::tcp::frame_header;

use connections::Connections;

/// Datagrams and a stream as they are, then scripts of messages from a peer that knows the passwords, against agents of both roles.
pub fn stun(data: &[u8]) {
    let _ = DatagramKind::of(data);
    let _ = StunDemux::parse(data);
    for role in [IceRole::Controlling, IceRole::Controlled] {
        let mut peer = Peer::new(role);
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        peer.deliver(remote, data);
        peer.deliver_stream(remote, data);
        peer.close(remote);
        peer.play(data);
    }
}

struct Peer {
    agent: IceAgent,
    connections: Connections,
    now: Instant,
    /// Transaction of the agent's last check.
    last_transaction: [u8; 12],
    /// What it sent since the last datagram.
    said: Vec<Vec<u8>>,
}

impl Peer {
    fn new(role: IceRole) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to count from; it never shows in a result")]
        let now = Instant::now();
        let candidates = LocalCandidate::gather(&[LocalAddress::host(local()), LocalAddress::tcp(local())]);
        let local = IceCredentials::from_random(&[7; IceCredentials::RANDOM_LEN]);
        let remote = IceCredentials::from_signaling(REMOTE_UFRAG, REMOTE_PWD);
        let (Ok(candidates), Ok(remote)) = (candidates, remote) else { unreachable!("both are constants") };
        let Ok(mut agent) = IceAgent::new(now, local, candidates, role, 1) else { unreachable!("usable candidates") };
        let accepted = agent.set_remote_credentials(now, Generation(0), remote);
        assert!(accepted.is_ok());
        let mut peer =
            Self { agent, connections: Connections::default(), now, last_transaction: [0; 12], said: Vec::new() };
        peer.drain();
        peer
    }

    /// Reads the script: how, from, length, then the attributes of one message. Behind the length of one that goes over
    /// TCP, a byte says how the stream is read.
    fn play(&mut self, mut script: &[u8]) {
        for _ in 0..MAX_STEPS {
            let Some((&[how, from, len], rest)) = script.split_first_chunk() else { return };
            let is_tcp = how & 32 != 0;
            let (reads, rest) = rest.split_at(usize::from(is_tcp).min(rest.len()));
            let (attributes, rest) = rest.split_at(usize::from(len).min(rest.len()));
            script = rest;
            let remote = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1 + from / 16), 5000 + u16::from(from % 16)));
            if is_tcp {
                self.write(remote, reads.first().copied().unwrap_or_default(), how, attributes);
            } else {
                let message = self.message(how, attributes);
                self.deliver(remote, &message);
            }
            self.now += Duration::from_millis(match how >> 6 {
                0 => 0,
                1 => 50,
                2 => 1_000,
                _ => 12_000,
            });
            self.agent.handle_timeout(self.now);
            self.drain();
        }
    }

    fn message(&self, how: u8, attributes: &[u8]) -> Vec<u8> {
        let (kind, password) = match how & 3 {
            0 => (0x0001_u16, self.agent.local_credentials().pwd()),
            1 => (0x0101, REMOTE_PWD),
            2 => (0x0111, REMOTE_PWD),
            _ => (0x0011, REMOTE_PWD),
        };
        let mut message = kind.to_be_bytes().to_vec();
        message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
        message.extend(self.last_transaction);
        if how & 4 == 0 {
            let username = format!("{}:{REMOTE_UFRAG}", self.agent.local_credentials().ufrag());
            append(&mut message, 0x0006, username.as_bytes());
        }
        message.extend(attributes);
        message.resize(message.len().next_multiple_of(4), 0);
        if how & 8 == 0 {
            set_len(&mut message, 24);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
            let integrity = hmac::sign(&key, &message);
            append(&mut message, 0x0008, integrity.as_ref());
        }
        if how & 16 == 0 {
            set_len(&mut message, 8);
            let crc = crc32(&message) ^ 0x5354_554e;
            append(&mut message, 0x8028, &crc.to_be_bytes());
        }
        set_len(&mut message, 0);
        message
    }

    fn deliver(&mut self, remote: SocketAddr, datagram: &[u8]) {
        self.handle(FiveTuple::udp(local(), remote), datagram);
    }

    /// The agent has a datagram; a responder in its place would have said the same.
    fn handle(&mut self, path: FiveTuple, datagram: &[u8]) {
        let responder = self.agent.responder(self.now);
        let answer = responder.and_then(|responder| responder.answer(&path, datagram));
        let taken = self.agent.handle_datagram(self.now, path, datagram);
        self.said.clear();
        self.drain();
        if let Some(answer) = answer {
            assert!(answer.len() <= datagram.len(), "amplifies");
            assert!(taken.is_ok() && self.said.contains(&answer), "{taken:?}: the agent does not answer so");
        }
    }

    /// Writes a message into the connection from `remote`, or the attributes without message or frame around them.
    fn write(&mut self, remote: SocketAddr, reads: u8, how: u8, attributes: &[u8]) {
        let stream = if reads & 4 == 0 {
            let message = self.message(how, attributes);
            let Some(header) = frame_header(message.len()) else { unreachable!("a script's message is short") };
            // Twice in one read: more than one frame may be whole.
            [&header, message.as_slice()].concat().repeat(1 + usize::from(reads >> 4 & 1))
        } else {
            attributes.to_vec()
        };
        let piece_len = match reads & 3 {
            0 => stream.len(),
            1 => 1,
            2 => 3,
            _ => stream.len() / 2,
        };
        for piece in stream.chunks(piece_len.max(1)) {
            self.deliver_stream(remote, piece);
        }
        if reads & 8 != 0 {
            self.close(remote);
        }
    }

    fn deliver_stream(&mut self, remote: SocketAddr, piece: &[u8]) {
        let (frames, goes_on) = self.connections.read(remote, piece);
        for frame in frames.iter().filter(|frame| DatagramKind::of(frame) == DatagramKind::Stun) {
            self.handle(FiveTuple::tcp(local(), remote), frame);
        }
        if !goes_on {
            self.close(remote);
        }
    }

    fn close(&mut self, remote: SocketAddr) {
        self.connections.close(remote);
        self.agent.handle_path_closed(self.now, FiveTuple::tcp(local(), remote));
        self.drain();
        assert_ne!(self.agent.selected_pair(), Some(FiveTuple::tcp(local(), remote)));
    }

    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.agent.poll_output() {
                Output::Transmit(transmit) => {
                    assert!(transmit.payload.len() <= 548, "a check that may not fit a path's MTU");
                    self.check(transmit.pair);
                    if let Some(transaction) = transmit.payload.get(8..).and_then(|rest| rest.first_chunk()) {
                        self.last_transaction = *transaction;
                    }
                    self.said.push(transmit.payload);
                }
                Output::Event(Event::Connected(pair) | Event::PairChanged(pair)) => self.check(pair),
                Output::Event(_) => {}
                Output::Timeout(_) => return,
            }
        }
        panic!("more than {MAX_OUTPUTS} outputs for one input");
    }

    /// Nothing leaves by another socket, nor over a connection that is not there.
    fn check(&self, pair: FiveTuple) {
        assert_eq!(pair.local, local());
        assert!(pair.protocol == TransportProtocol::Udp || self.connections.is_open(pair.remote), "{pair:?}");
    }
}

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000))
}

/// Adds an attribute (RFC 8489 §14).
pub(super) fn append(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Sets the header's length to the attributes so far and `more` bytes that will follow.
pub(super) fn set_len(message: &mut [u8], more: usize) {
    let len = (message.len() - 20 + more) as u16;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

/// CRC-32 of ISO 3309, as FINGERPRINT has it (RFC 8489 §14.7).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

const REMOTE_UFRAG: &str = "Xy7a";
const REMOTE_PWD: &str = "0123456789abcdefABCDEF";
/// More steps find nothing that these do not, and take long.
const MAX_STEPS: usize = 48;
/// Far above what one input of any size may cause: a check list has at most a few hundred pairs.
const MAX_OUTPUTS: usize = 10_000;
