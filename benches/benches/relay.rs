//! What does a packet through a TURN relay cost? `relay_core`: user space alone, by way and by size. `relay_service`: CPU
//! time of the thread that runs it all over loopback, sockets included. Each way once by ChannelData, which browsers use
//! for media, and once by Send and Data indications.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real time")]
#![allow(clippy::wildcard_enum_match_arm, reason = "an output that is not expected fails the benchmark")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use md5::{Digest as _, Md5};
use model::FiveTuple;
use prometheus::Registry;
use tokio::runtime::Runtime;
use turn::{BridgeAddress, Input, Metrics, Now, Output, PeerPolicy, RelayId, Server, Settings, SharedSecret, Turn};

/// A full video packet and one of Opus, encrypted.
const PAYLOADS: [usize; 2] = [1200, 120];
/// Packets on their way at one time: what a socket buffer holds, with room.
const BURST: u64 = 32;
/// In 2126.
const USERNAME: &str = "4922899200:bench";
const SECRET: &str = "north";
const CHANNEL: u16 = 0x4000;

const ALLOCATE: u16 = 0x003;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;
const SEND_INDICATION: u16 = 0x016;

const USERNAME_ATTRIBUTE: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;

/// How a client's packets are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Channel,
    Indication,
}

impl Framing {
    const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Indication => "indication",
        }
    }

    /// Each with each size of a packet.
    fn with_payloads() -> impl Iterator<Item = (Self, usize)> {
        [Self::Channel, Self::Indication].into_iter().flat_map(|framing| PAYLOADS.map(|len| (framing, len)))
    }

    /// A packet as the client sends it.
    fn frame(self, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Channel => [&CHANNEL.to_be_bytes()[..], &(payload.len() as u16).to_be_bytes(), payload].concat(),
            Self::Indication => Stun::new(SEND_INDICATION).with_peer(peer).with(DATA, payload).0,
        }
    }
}

/// A STUN message of a client.
struct Stun(Vec<u8>);

impl Stun {
    fn new(kind: u16) -> Self {
        Self([&kind.to_be_bytes()[..], &[0, 0, 0x21, 0x12, 0xa4, 0x42], &[7; 12]].concat())
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.with_length(0)
    }

    /// With the address of an IPv4 peer.
    fn with_peer(self, peer: SocketAddr) -> Self {
        let SocketAddr::V4(peer) = peer else { panic!("this speaks IPv4 only") };
        let (port, ip) = (peer.port() ^ 0x2112, peer.ip().to_bits() ^ 0x2112_a442);
        self.with(XOR_PEER_ADDRESS, &[&[0, 1], &port.to_be_bytes()[..], &ip.to_be_bytes()].concat())
    }

    /// With long-term credentials for the realm and the nonce of `challenge`.
    fn signed(self, challenge: &[u8]) -> Self {
        let (realm, nonce) = (attribute(challenge, REALM), attribute(challenge, NONCE));
        let password = SharedSecret::new(SECRET).unwrap().password_of(USERNAME);
        let key = Md5::digest([USERNAME.as_bytes(), b":", realm, b":", password.as_bytes()].concat());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
        let message = self.with(USERNAME_ATTRIBUTE, USERNAME.as_bytes()).with(REALM, realm).with(NONCE, nonce);
        // RFC 8489 §14.5: the length that is signed counts the tag.
        let message = message.with_length(24);
        let tag = hmac::sign(&key, &message.0);
        message.with(MESSAGE_INTEGRITY, tag.as_ref())
    }

    /// Lets the header count what is there and `more` bytes.
    fn with_length(mut self, more: usize) -> Self {
        let len = self.0.len() - 20 + more;
        self.0[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        self
    }
}

/// The value of an attribute that is there.
fn attribute(message: &[u8], kind: u16) -> &[u8] {
    let mut rest = &message[20..];
    loop {
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[..2] == kind.to_be_bytes() {
            return &rest[4..4 + len];
        }
        rest = &rest[4 + len.next_multiple_of(4)..];
    }
}

/// Allocates, and permits the peer or binds a channel to it. `ask` sends a request and answers its
/// reply. Answers the relay's port.
fn set_up(framing: Framing, peer: SocketAddr, mut ask: impl FnMut(Vec<u8>) -> Vec<u8>) -> u16 {
    let allocate = || Stun::new(ALLOCATE).with(REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let challenge = ask(allocate().0);
    let mut succeed = |request: Stun| {
        let reply = ask(request.signed(&challenge).0);
        assert_eq!(reply[0], 1, "{reply:x?}");
        assert_eq!(reply[1] & 0x10, 0, "{reply:x?}");
        reply
    };
    let allocated = succeed(allocate());
    let permission = match framing {
        Framing::Channel => {
            let number = [&CHANNEL.to_be_bytes()[..], &[0, 0]].concat();
            Stun::new(CHANNEL_BIND).with(CHANNEL_NUMBER, &number)
        }
        Framing::Indication => Stun::new(CREATE_PERMISSION),
    };
    succeed(permission.with_peer(peer));
    let relayed = attribute(&allocated, XOR_RELAYED_ADDRESS);
    u16::from_be_bytes([relayed[2], relayed[3]]) ^ 0x2112
}

fn settings(peer: SocketAddr) -> Settings {
    let mut settings = Settings::new(SharedSecret::new(SECRET).unwrap());
    settings.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    settings.relay_addresses = vec![Ipv4Addr::LOCALHOST.into()];
    settings.peers = PeerPolicy::bridges([BridgeAddress::direct(peer)]);
    settings
}

/// The server without sockets, and a client with an allocation.
struct Core {
    server: Server,
    now: Now,
    path: FiveTuple,
    relay: RelayId,
}

impl Core {
    fn new(framing: Framing, peer: SocketAddr) -> Self {
        let now = Now { instant: Instant::now(), unix_s: 1_790_000_000 };
        let mut server = Server::new(now, settings(peer), [7; 32], Metrics::new());
        let path = FiveTuple::udp((Ipv4Addr::LOCALHOST, 3478).into(), SocketAddr::from(([198, 51, 100, 7], 5000)));
        let mut opened = None;
        set_up(framing, peer, |request| {
            server.handle_input(now, Input::FromClient { path, bytes: &request });
            loop {
                match server.poll_output() {
                    Output::ToClient { bytes, .. } => return bytes,
                    Output::OpenRelay { relay, .. } => {
                        opened = Some(relay);
                        server.handle_input(now, Input::RelayOpened { relay, result: Ok(()) });
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        Self { server, now, path, relay: opened.unwrap() }
    }

    fn relay(&mut self, input: Input<'_>) -> Vec<u8> {
        self.server.handle_input(self.now, input);
        match self.server.poll_output() {
            Output::ToPeer { bytes, .. } | Output::ToClient { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }
    }
}

fn core(criterion: &mut Criterion) {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000));
    let mut group = criterion.benchmark_group("relay_core");
    group.throughput(Throughput::Elements(1));
    for (framing, len) in Framing::with_payloads() {
        let mut core = Core::new(framing, peer);
        let (path, relay) = (core.path, core.relay);
        let payload = vec![0x5a; len];
        let from_client = framing.frame(peer, &payload);
        group.bench_function(BenchmarkId::new(format!("{}_to_peer", framing.name()), len), |bencher| {
            bencher.iter(|| core.relay(Input::FromClient { path, bytes: &from_client }));
        });
        group.bench_function(BenchmarkId::new(format!("{}_to_client", framing.name()), len), |bencher| {
            bencher.iter(|| core.relay(Input::FromPeer { relay, source: peer, bytes: &payload }));
        });
    }
}

/// The service on a thread of its own, a client with an allocation, and the peer.
struct Service {
    runtime: Runtime,
    client: UdpSocket,
    peer: UdpSocket,
    relayed: SocketAddr,
}

impl Service {
    fn new(framing: Framing) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        };
        let (client, peer) = (socket(), socket());
        // One worker: all of the service's CPU time is that thread's.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let peer_address = peer.local_addr().unwrap();
        let turn = runtime.block_on(async { Turn::start(settings(peer_address), &Registry::new()) }).unwrap();
        client.connect((Ipv4Addr::LOCALHOST, turn.port().unwrap())).unwrap();
        let port = set_up(framing, peer_address, |request| {
            let mut reply = [0; 2048];
            loop {
                client.send(&request).unwrap();
                if let Ok(len) = client.recv(&mut reply) {
                    return reply[..len].to_vec();
                }
            }
        });
        Self { runtime, client, peer, relayed: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// CPU time of the service's thread so far.
    fn cpu_time(&self) -> Duration {
        let read = async { fs::read_to_string("/proc/thread-self/schedstat").unwrap() };
        let text = self.runtime.block_on(self.runtime.spawn(read)).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }

    /// CPU time for `packets` that `send` sends and `receiver` gets, burst by burst; for lost ones others are sent.
    fn measure(&self, packets: u64, receiver: &UdpSocket, send: impl Fn()) -> Duration {
        let mut buffer = [0; 2048];
        let start = self.cpu_time();
        let mut received = 0;
        while received < packets {
            let burst = BURST.min(packets - received);
            (0..burst).for_each(|_| send());
            received += (0..burst).take_while(|_| receiver.recv(&mut buffer).is_ok()).count() as u64;
        }
        self.cpu_time() - start
    }
}

fn service(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay_service");
    group.sample_size(20).throughput(Throughput::Elements(1));
    for (framing, len) in Framing::with_payloads() {
        let service = Service::new(framing);
        let Service { client, peer, relayed, .. } = &service;
        let payload = vec![0x5a; len];
        let from_client = framing.frame(peer.local_addr().unwrap(), &payload);
        group.bench_function(BenchmarkId::new(format!("{}_to_peer", framing.name()), len), |bencher| {
            let send = || assert_eq!(client.send(&from_client).unwrap(), from_client.len());
            bencher.iter_custom(|packets| service.measure(packets, peer, send));
        });
        group.bench_function(BenchmarkId::new(format!("{}_to_client", framing.name()), len), |bencher| {
            let send = || assert_eq!(peer.send_to(&payload, relayed).unwrap(), len);
            bencher.iter_custom(|packets| service.measure(packets, client, send));
        });
    }
}

criterion_group!(benches, core, service);
criterion_main!(benches);
