//! TURN, from the first byte of a message to the relay (`turn`).
//!
//! Arbitrary bytes stop at the first integrity check, so the input is also read as a script of messages of a client that
//! has credentials, of datagrams of peers, and of time that passes. Whatever the script says, no datagram may leave for
//! anybody but the bridge, and no stranger may be sent more than it takes to ask for credentials.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use model::FiveTuple;
use turn::{
    BridgeAddress, FramingError, Input, Metrics, Now, Output, PeerPolicy, RelayError, RelayId, Server, Settings,
    SharedSecret, StreamDecoder,
};

use super::stun::{append, set_len};

/// The bytes as a stream and as one message, then as a script over UDP and over a stream.
pub fn turn(data: &[u8]) {
    stream(data);
    for path in [FiveTuple::udp(listen(), remote()), FiveTuple::tcp(listen(), remote())] {
        let mut world = World::new(path);
        world.input(Input::FromClient { path, bytes: data });
        assert!(world.from_relays.is_empty(), "a stranger got something relayed");
        world.play(data);
        world.end();
    }
}

/// However a stream is cut, the same messages come out.
fn stream(data: &[u8]) {
    let mut whole = StreamDecoder::default();
    whole.buffer().extend_from_slice(data);
    let expected = messages(&mut whole);
    let mut pieces = StreamDecoder::default();
    let mut got = (Vec::new(), None);
    for piece in data.chunks(7) {
        pieces.buffer().extend_from_slice(piece);
        let (more, end) = messages(&mut pieces);
        got.0.extend(more);
        got.1 = end;
        if end.is_some() {
            break;
        }
    }
    assert_eq!(got, expected);
}

fn messages(decoder: &mut StreamDecoder) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let mut all = Vec::new();
    loop {
        match decoder.next_message() {
            Ok(Some(message)) => all.push(message.to_vec()),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

struct World {
    server: Server,
    metrics: Metrics,
    now: Now,
    path: FiveTuple,
    nonce: Vec<u8>,
    relays: Vec<RelayId>,
    from_relays: Vec<SocketAddr>,
}

impl World {
    fn new(path: FiveTuple) -> Self {
        #[expect(clippy::disallowed_methods, reason = "some instant to count from; it never shows in a result")]
        let now = Now { instant: Instant::now(), unix_s: 1_790_000_000 };
        let Some(secret) = SharedSecret::new(SECRET) else { unreachable!("a constant") };
        let mut settings = Settings::new(secret);
        settings.realm = REALM.to_owned();
        settings.relay_addresses = vec![Ipv4Addr::new(10, 0, 0, 5).into()];
        settings.relay_ports = 50_000..=50_003;
        settings.peers = PeerPolicy::bridges([bridge()]);
        let metrics = Metrics::new();
        let server = Server::new(now, settings, [7; 32], metrics.clone());
        let (nonce, relays, from_relays) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { server, metrics, now, path, nonce, relays, from_relays };
        world.input(Input::StreamOpened { path });
        world.input(Input::FromClient { path, bytes: &header(0x0003) });
        assert!(!world.nonce.is_empty(), "the server challenges a stranger");
        world
    }

    /// Reads the script: what, how, length, then the bytes of one step.
    fn play(&mut self, mut script: &[u8]) {
        let path = self.path;
        for _ in 0..MAX_STEPS {
            let Some((&[what, how, len], rest)) = script.split_first_chunk() else { return };
            let (bytes, rest) = rest.split_at(usize::from(len).min(rest.len()));
            script = rest;
            match what % 8 {
                0..=4 => {
                    let kind = [0x0003, 0x0004, 0x0008, 0x0009, 0x0016];
                    let kind = kind.get(usize::from(what % 8)).copied().unwrap_or_default();
                    let message = self.message(kind, how, bytes);
                    self.input(Input::FromClient { path, bytes: &message });
                }
                5 => {
                    let mut message = vec![0x40 | how & 0x0f, how >> 4, 0, len];
                    message.extend(bytes);
                    self.input(Input::FromClient { path, bytes: &message });
                }
                6 => {
                    let source = if how & 1 == 0 { bridge().local } else { remote() };
                    if let Some(relay) = self.relays.first().copied() {
                        self.input(Input::FromPeer { relay, source, bytes });
                    }
                }
                _ => {
                    let seconds = u64::from(how) * 8;
                    self.now = Now {
                        instant: self.now.instant + Duration::from_secs(seconds),
                        unix_s: self.now.unix_s + seconds,
                    };
                    self.input(Input::Timeout);
                    self.input(Input::StreamOpened { path });
                }
            }
        }
    }

    /// A message with the script's attributes, and some that make it get further.
    fn message(&self, kind: u16, how: u8, attributes: &[u8]) -> Vec<u8> {
        let mut message = header(kind);
        if how & 1 == 0 {
            append(&mut message, 0x0019, &[17, 0, 0, 0]);
            // 203.0.113.7:10000, hidden with the magic cookie.
            append(&mut message, 0x0012, &[0, 1, 0x06, 0x02, 0xea, 0x12, 0xd5, 0x45]);
        }
        if how & 2 == 0 {
            append(&mut message, 0x000c, &[0x40, how >> 4, 0, 0]);
        }
        message.extend(attributes);
        message.resize(message.len().next_multiple_of(4), 0);
        if kind != 0x0016 {
            append(&mut message, 0x0006, USERNAME.as_bytes());
            append(&mut message, 0x0014, REALM.as_bytes());
            append(&mut message, 0x0015, &self.nonce);
            set_len(&mut message, 36);
            // With PASSWORD-ALGORITHM 2 the key is a hash that needs no MD5 here.
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key().as_ref()), &message);
            append(&mut message, 0x001c, tag.as_ref());
        }
        set_len(&mut message, 0);
        message
    }

    fn input(&mut self, input: Input<'_>) {
        self.server.handle_input(self.now, input);
        for _ in 0..MAX_OUTPUTS {
            match self.server.poll_output() {
                Output::ToClient { path, bytes } => {
                    assert_eq!(path, self.path);
                    assert!(bytes.len() < 65_600);
                    if let Some(nonce) = attribute(&bytes, 0x0015) {
                        self.nonce = nonce;
                        assert!(bytes.len() <= 80, "{} bytes to a stranger", bytes.len());
                    }
                }
                Output::ToPeer { relay, destination, .. } => {
                    assert!(self.relays.contains(&relay));
                    assert_eq!(destination, bridge().local, "a relay reached another than the bridge");
                    self.from_relays.push(destination);
                }
                Output::OpenRelay { relay, address } => {
                    let is_taken = address.port() == 50_000;
                    if !is_taken {
                        self.relays.push(relay);
                    }
                    let result = if is_taken { Err(RelayError::PortInUse) } else { Ok(()) };
                    self.server.handle_input(self.now, Input::RelayOpened { relay, result });
                }
                Output::CloseRelay { relay } => self.relays.retain(|open| *open != relay),
                Output::CloseStream { .. } => {}
                Output::Timeout(_) => return,
            }
        }
        panic!("more than {MAX_OUTPUTS} outputs for one input");
    }

    /// Everything ends by time.
    fn end(mut self) {
        self.input(Input::StreamClosed { path: self.path });
        self.now.instant += Duration::from_secs(3_601);
        self.input(Input::Timeout);
        assert_eq!((self.server.remembered(), self.relays.len(), self.metrics.allocations.get()), (0, 0, 0));
    }
}

fn listen() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 5], 3478))
}

fn remote() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 5000))
}

fn bridge() -> BridgeAddress {
    BridgeAddress { advertised: ([203, 0, 113, 7], 10_000).into(), local: ([10, 0, 0, 5], 10_000).into() }
}

fn key() -> aws_lc_rs::digest::Digest {
    let password = SharedSecret::new(SECRET).map(|secret| secret.password_of(USERNAME)).unwrap_or_default();
    let text = format!("{USERNAME}:{REALM}:{password}");
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes())
}

/// Header of a message; an authenticated one asks for the key to be a SHA-256 hash.
fn header(kind: u16) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    message.extend([5; 12]);
    if kind != 0x0016 {
        append(&mut message, 0x001d, &[0, 2, 0, 0]);
        set_len(&mut message, 0);
    }
    message
}

/// The value of an attribute of a STUN message.
fn attribute(message: &[u8], wanted: u16) -> Option<Vec<u8>> {
    if message.first()? >> 6 != 0 {
        return None;
    }
    let mut rest = message.get(20..)?;
    loop {
        let (&[t0, t1, l0, l1], after) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([t0, t1]) == wanted {
            return after.get(..len).map(<[u8]>::to_vec);
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
}

const SECRET: &str = "north";
const REALM: &str = "turn";
const USERNAME: &str = "1999999999:alice";
/// More steps find nothing that these do not, and take long.
const MAX_STEPS: usize = 48;
/// One input has a few at most.
const MAX_OUTPUTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_as_far_as_the_bridge() {
        let mut world = World::new(FiveTuple::udp(listen(), remote()));
        world.play(include_bytes!("../../fuzz/corpus/turn/allocate_permit_send"));
        assert_eq!(world.from_relays, [bridge().local]);
        let mut world = World::new(FiveTuple::tcp(listen(), remote()));
        world.play(include_bytes!("../../fuzz/corpus/turn/allocate_bind_channel"));
        assert_eq!((world.from_relays.as_slice(), world.relays.len()), (&[bridge().local][..], 0));
    }
}
