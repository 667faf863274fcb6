//! Our server and client against each other in virtual time.

use std::sync::OnceLock;

use sim::{Conditions, Network, Random};

use super::*;
use crate::HashFunction;

#[test]
fn both_sides_export_the_same_keys_and_exchange_data() {
    let mut world = World::new(1);
    world.trust_each_other();
    world.run(Duration::from_secs(2));
    let (client, server) = world.keys();
    assert_eq!(client.bytes, server.bytes);
    assert_eq!(client.profile, server.profile);
    assert_eq!((client.role, server.role), (DtlsRole::Client, DtlsRole::Server));
    let (key, salt) = client.profile.key_and_salt_len();
    assert_eq!(client.bytes.len(), 2 * (key + salt));
    assert_eq!(world.server.version(), Some(DtlsVersion::Dtls13));

    world.client.send(b"ping").unwrap();
    world.server.send(b"pong").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events[1..], [Event::Data(b"ping".to_vec())]);
    assert_eq!(world.client_events[1..], [Event::Data(b"pong".to_vec())]);
}

#[test]
fn handshake_survives_loss_whatever_the_seed() {
    for loss_percent in [10, 30] {
        for seed in 0..30 {
            let mut world = World::new(seed);
            world.network.set_conditions(PATH.with_loss(loss_percent));
            world.trust_each_other();
            world.run(Duration::from_secs(29));
            assert!(world.client.is_connected(), "client, seed {seed}, {loss_percent} % loss: {:?}", world.errors);
            assert!(world.server.is_connected(), "server, seed {seed}, {loss_percent} % loss: {:?}", world.errors);
            let sent = world.network.counters().sent;
            assert!(sent < 250, "{sent} datagrams, seed {seed}, {loss_percent} % loss");
        }
    }
}

#[test]
fn keys_and_data_wait_for_the_fingerprint() {
    let mut world = World::new(2);
    world.client.set_remote_fingerprints(&[world.server_context.fingerprint().clone()]).unwrap();
    world.run(Duration::from_secs(1));
    assert!(world.client.is_connected());
    world.client.send(b"early").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events, []);
    assert!(!world.server.is_connected());
    assert_eq!(world.server.send(b"too soon"), Err(DtlsError::NotConnected));

    world.server.set_remote_fingerprints(&[world.client_context.fingerprint().clone()]).unwrap();
    world.run(Duration::from_secs(1));
    assert!(matches!(world.server_events[0], Event::Connected(_)));
    assert_eq!(world.server_events[1..], [Event::Data(b"early".to_vec())]);
}

#[test]
fn wrong_fingerprint_ends_the_connection_without_keys() {
    let other = Fingerprint::of_certificate(HashFunction::Sha256, b"somebody else");
    let mut before = World::new(3);
    before.server.set_remote_fingerprints(std::slice::from_ref(&other)).unwrap();
    before.run(Duration::from_secs(2));
    assert_eq!(before.errors, [DtlsError::FingerprintMismatch]);
    assert_eq!(before.server_events, []);

    let mut after = World::new(4);
    after.run(Duration::from_secs(2));
    assert_eq!(after.server.set_remote_fingerprints(&[other]), Err(DtlsError::FingerprintMismatch));
    assert_eq!(after.server_events, []);
    assert!(!after.server.is_connected());
}

#[test]
fn data_before_the_fingerprint_is_bounded() {
    let mut world = World::new(5);
    world.client.set_remote_fingerprints(&[world.server_context.fingerprint().clone()]).unwrap();
    world.run(Duration::from_secs(1));
    for _ in 0..=MAX_EARLY_DATA {
        world.client.send(b"flood").unwrap();
        world.run(Duration::from_millis(60));
    }
    assert_eq!(world.errors, [DtlsError::TooMuchEarlyData { limit: MAX_EARLY_DATA }]);
}

#[test]
fn empty_fingerprint_list_is_refused() {
    let mut world = World::new(6);
    assert_eq!(world.server.set_remote_fingerprints(&[]), Err(DtlsError::NoFingerprint));
}

#[test]
fn silent_server_ends_in_a_timeout() {
    let mut world = World::new(7);
    world.network.set_conditions(PATH.with_loss(100));
    world.trust_each_other();
    world.run(Duration::from_secs(60));
    assert_eq!(world.errors, [DtlsError::TimedOut]);
}

#[test]
fn goodbye_is_heard_and_nothing_is_sent_after_it() {
    let mut world = World::new(8);
    world.trust_each_other();
    world.run(Duration::from_secs(1));
    world.client.close();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events.last(), Some(&Event::Closed));
    assert_eq!(world.client.send(b"x"), Err(DtlsError::NotConnected));
    assert_eq!(world.server.send(b"x"), Err(DtlsError::NotConnected));
}

#[test]
fn garbage_neither_panics_nor_ends_the_connection() {
    let mut world = World::new(9);
    world.trust_each_other();
    let mut random = Random::new(3);
    for round in 0..2_000u32 {
        if round == 1_000 {
            world.run(Duration::from_secs(3));
            assert!(world.server.is_connected() && world.client.is_connected(), "{:?}", world.errors);
        }
        let mut datagram: Vec<u8> = (0..random.below(80)).map(|_| random.below(256) as u8).collect();
        if let Some(first) = datagram.first_mut() {
            *first = 20 + (*first % 44);
        }
        let now = world.now;
        world.server.handle_datagram(now, &datagram).unwrap();
        world.client.handle_datagram(now, &datagram).unwrap();
    }
    world.client.send(b"still here").unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.server_events.last(), Some(&Event::Data(b"still here".to_vec())));
}

#[test]
fn changed_bits_of_real_records_never_panic() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.network.set_conditions(Conditions { corrupt_percent: 20, ..PATH });
        world.trust_each_other();
        // The handshake may fail: a forged record inside of a handshake can break it, by design of the protocol.
        world.run(Duration::from_secs(20));
    }
}

/// About 20 ms, with some reordering.
const PATH: Conditions = Conditions::clean(Duration::from_millis(15)).with_jitter(Duration::from_millis(10));

/// A client and a server, and a network of 20 ms between them.
struct World {
    now: Instant,
    client_context: Arc<DtlsContext>,
    server_context: Arc<DtlsContext>,
    client: DtlsTransport,
    server: DtlsTransport,
    client_events: Vec<Event>,
    server_events: Vec<Event>,
    errors: Vec<DtlsError>,
    network: Network<DtlsRole>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = sim::start();
        static CONTEXTS: OnceLock<[Arc<DtlsContext>; 2]> = OnceLock::new();
        let contexts = CONTEXTS.get_or_init(|| [(); 2].map(|()| Arc::new(DtlsContext::new().unwrap())));
        let [client_context, server_context] = contexts.clone();
        Self {
            now,
            client: DtlsTransport::new(now, &client_context, DtlsRole::Client).unwrap(),
            server: DtlsTransport::new(now, &server_context, DtlsRole::Server).unwrap(),
            client_context,
            server_context,
            client_events: Vec::new(),
            server_events: Vec::new(),
            errors: Vec::new(),
            network: Network::new(PATH, seed),
        }
    }

    fn trust_each_other(&mut self) {
        self.client.set_remote_fingerprints(&[self.server_context.fingerprint().clone()]).unwrap();
        self.server.set_remote_fingerprints(&[self.client_context.fingerprint().clone()]).unwrap();
    }

    fn keys(&self) -> (&KeyingMaterial, &KeyingMaterial) {
        match (&self.client_events[..], &self.server_events[..]) {
            ([Event::Connected(client), ..], [Event::Connected(server), ..]) => (client, server),
            other => panic!("not connected: {other:?} {:?}", self.errors),
        }
    }

    fn send(&mut self, from: DtlsRole, datagram: Vec<u8>) {
        assert!(datagram.len() <= 1_200, "{} bytes", datagram.len());
        let to = match from {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        self.network.send(self.now, from, to, datagram);
    }

    fn poll(&mut self, role: DtlsRole) -> Instant {
        loop {
            let (side, events) = match role {
                DtlsRole::Client => (&mut self.client, &mut self.client_events),
                DtlsRole::Server => (&mut self.server, &mut self.server_events),
            };
            match side.poll_output() {
                Output::Transmit(datagram) => self.send(role, datagram),
                Output::Event(event) => events.push(event),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        loop {
            let (client, server) = (self.poll(DtlsRole::Client), self.poll(DtlsRole::Server));
            let arrival = self.network.next_arrival().unwrap_or(end);
            let next = client.min(server).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if let Some(delivery) = self.network.receive(next) {
                let side = match delivery.to {
                    DtlsRole::Client => &mut self.client,
                    DtlsRole::Server => &mut self.server,
                };
                self.errors.extend(side.handle_datagram(next, &delivery.datagram).err());
            }
            if client <= next {
                self.errors.extend(self.client.handle_timeout(next).err());
            }
            if server <= next {
                self.errors.extend(self.server.handle_timeout(next).err());
            }
        }
    }
}
