//! An endpoint's transport and a client made of the same protocol crates in their other roles, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use dtls::{DtlsError, HashFunction};
use ice::StunDemux;
use model::ExtSeqNum;
use rtp::RtpParts;
use srtp::ProtectionProfile;
use xmpp::jingle;

use super::test_peer::{Random, TestPeer, bridge_address};
use super::*;
use crate::shard::srtp_session::Unprotected;

#[test]
fn media_and_channel_pass_both_ways() {
    let mut world = World::new(1);
    world.exchange();
    world.run(Duration::from_secs(2));
    world.check_media_and_channel();
    let profile = ProtectionProfile::AeadAes256Gcm;
    assert_eq!(
        world.events[..3],
        [
            Event::IceConnected { path: FiveTuple::udp(bridge_address(), client_address()) },
            Event::DtlsConnected { profile },
            Event::ChannelOpen
        ]
    );
    assert!(world.connected_at.unwrap() - world.start < Duration::from_millis(400));
}

#[test]
fn everything_connects_through_loss_whatever_the_seed() {
    for seed in 0..25 {
        let mut world = World::new(seed);
        world.loss_percent = 10;
        world.exchange();
        world.run(Duration::from_secs(25));
        assert!(world.is_connected(), "seed {seed}: {:?}", world.events);
        assert!(world.events.contains(&Event::ChannelOpen), "seed {seed}: {:?}", world.events);
        world.transport.send_channel_text("through loss");
        world.client.channel_mut().send_text("through loss").unwrap();
        world.run(Duration::from_secs(20));
        assert!(world.events.contains(&Event::ChannelText("through loss".into())), "seed {seed}");
        assert_eq!(world.client.texts, ["through loss"], "seed {seed}");
        world.loss_percent = 0;
        world.check_media_and_channel();
    }
}

#[test]
fn client_hello_that_overtakes_the_answer_to_our_check_is_kept() {
    let mut world = World::new(2);
    world.exchange();
    world.holds_responses = true;
    world.run(Duration::from_millis(150));
    assert!(world.client.dtls.is_some(), "the client's own check was answered");
    assert!(world.transport.is_known(PeerAddress::udp(client_address())), "its answers have to find the way here");
    assert!(!world.transport.is_validated(PeerAddress::udp(client_address())));
    assert!(world.transport.dtls.is_none(), "no handshake with an address that may be forged");
    assert!(!world.transport.early_dtls.is_empty());
    world.holds_responses = false;
    world.loses_hello = true;
    world.run(Duration::from_secs(2));
    assert!(world.is_connected(), "{:?}", world.events);
}

#[test]
fn dtls_of_strangers_is_dropped() {
    let mut world = World::new(3);
    world.exchange();
    world.run(Duration::from_secs(2));
    let stranger: SocketAddr = "203.0.113.9:9".parse().unwrap();
    for first in [20, 22, 23, 63] {
        let received =
            world.transport.handle_datagram(world.now, FiveTuple::udp(bridge_address(), stranger), &[first; 60]);
        assert_eq!(received, Received::Dropped);
    }
    let mut fresh = World::new(4);
    let received =
        fresh.transport.handle_datagram(fresh.now, FiveTuple::udp(bridge_address(), client_address()), &[22; 60]);
    assert_eq!(received, Received::Dropped);
    assert!(fresh.transport.early_dtls.is_empty());
}

#[test]
fn keys_wait_for_the_fingerprint() {
    let mut world = World::new(5);
    let mut ice_only = world.client.description();
    let fingerprints = std::mem::take(&mut ice_only.fingerprints);
    world.client.take_description(&world.transport.local_transport(), world.now);
    world.transport.set_remote(&ice_only, world.now).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(world.events, [Event::IceConnected { path: FiveTuple::udp(bridge_address(), client_address()) }]);
    assert!(!world.is_connected());
    let late = IceTransport { fingerprints, ..IceTransport::default() };
    world.transport.set_remote(&late, world.now).unwrap();
    world.run(Duration::from_secs(2));
    world.check_media_and_channel();
}

#[test]
fn another_certificate_than_signalled_is_the_end() {
    let other = dtls::Fingerprint::of_certificate(HashFunction::Sha256, b"somebody else");
    let wrong =
        jingle::Fingerprint { hash: "sha-256".into(), value: other.to_string(), setup: Some(DtlsSetup::Active) };

    let mut early = World::new(6);
    early.client_fingerprint = Some(wrong.clone());
    early.exchange();
    early.run(Duration::from_secs(2));
    assert_eq!(early.events.last(), Some(&Event::Failed(Failure::Dtls(DtlsError::FingerprintMismatch))));
    assert!(!early.is_connected());

    let mut late = World::new(7);
    let ice_only = IceTransport { fingerprints: Vec::new(), ..late.client.description() };
    late.client.take_description(&late.transport.local_transport(), late.now);
    late.transport.set_remote(&ice_only, late.now).unwrap();
    late.run(Duration::from_secs(2));
    let description = IceTransport { fingerprints: vec![wrong], ..IceTransport::default() };
    assert_eq!(late.transport.set_remote(&description, late.now), Ok(()));
    late.run(Duration::from_secs(1));
    assert_eq!(late.events.last(), Some(&Event::Failed(Failure::Dtls(DtlsError::FingerprintMismatch))));
    assert!(!late.events.iter().any(|event| matches!(event, Event::DtlsConnected { .. })));
    let received =
        late.transport.handle_datagram(late.now, FiveTuple::udp(bridge_address(), client_address()), &[22; 60]);
    assert_eq!(received, Received::Dropped);
}

#[test]
fn bridge_is_dtls_client_of_a_passive_peer() {
    let mut world = World::new(8);
    assert_eq!(setup_of(&world.transport.local_transport()), DtlsSetup::ActPass);
    world.client.dtls_role = DtlsRole::Server;
    world.exchange();
    assert_eq!(setup_of(&world.transport.local_transport()), DtlsSetup::Active);
    world.run(Duration::from_secs(2));
    world.check_media_and_channel();

    let mut usual = World::new(9);
    usual.exchange();
    assert_eq!(setup_of(&usual.transport.local_transport()), DtlsSetup::Passive);
}

#[test]
fn ice_restart_leaves_media_alone() {
    let mut world = World::new(10);
    world.exchange();
    world.run(Duration::from_secs(2));
    let before = world.transport.local_transport();
    let restarted = world.transport.restart_ice(world.now).unwrap();
    assert_eq!((before.ice_generation, restarted.ice_generation), (None, Some(1)));
    assert_ne!(before.ufrag, restarted.ufrag);
    assert_eq!(restarted.ufrag.as_deref(), Some(world.transport.local_ufrag()));
    assert_eq!(world.transport.restart_ice(world.now), Ok(restarted.clone()), "asked twice, it is one restart");
    assert_eq!(before.fingerprints[0].value, restarted.fingerprints[0].value);
    world.run(Duration::from_secs(1));
    world.check_media_and_channel();

    let generation = world.client.ice.restart(world.now, IceCredentials::from_random(&[77; 24])).unwrap();
    assert_eq!(generation, Generation(1));
    world.client.take_description(&restarted, world.now);
    world.transport.set_remote(&world.client.description(), world.now).unwrap();
    world.run(Duration::from_secs(5));
    world.check_media_and_channel();
    assert_eq!(world.transport.ice.local_ufrags().count(), 1, "the old generation is gone");
    let stale = IceTransport { ice_generation: None, ..world.client.description() };
    assert_eq!(world.transport.set_remote(&stale, world.now), Ok(()));
}

#[test]
fn goodbye_stops_sending_without_a_failure() {
    let mut world = World::new(11);
    world.exchange();
    world.run(Duration::from_secs(2));
    world.client.dtls.as_mut().unwrap().close();
    world.run(Duration::from_secs(1));
    assert!(world.events.ends_with(&[Event::DtlsClosed, Event::ChannelClosed]), "{:?}", world.events);
    assert!(!world.is_connected());
    assert!(!world.send_rtp_to_client(1));
}

#[test]
fn silent_peer_is_not_sent_to_after_its_consent_expired() {
    let mut world = World::new(12);
    world.exchange();
    world.run(Duration::from_secs(2));
    world.loss_percent = 100;
    world.run(Duration::from_secs(20));
    assert!(world.is_connected(), "it may come back");
    world.run(Duration::from_secs(10));
    assert!(!world.is_connected());
    assert!(!world.send_rtp_to_client(1));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Failed(_))));
}

#[test]
fn garbage_is_dropped_and_the_call_goes_on() {
    let mut world = World::new(14);
    world.exchange();
    world.run(Duration::from_secs(2));
    for round in 0..20_000 {
        let mut datagram: Vec<u8> = (0..world.random.below(120)).map(|_| world.random.below(256) as u8).collect();
        if let Some(first) = datagram.first_mut() {
            *first = [*first % 4, 20 + *first % 44, 128 + *first % 64, *first][round % 4];
        }
        world.transport.handle_datagram(world.now, FiveTuple::udp(bridge_address(), client_address()), &datagram);
    }
    world.run(Duration::from_secs(1));
    world.check_media_and_channel();
}

#[test]
fn panic_of_a_library_is_the_end_of_one_transport_only() {
    let mut world = World::new(15);
    world.exchange();
    world.run(Duration::from_secs(2));
    let answer: Option<()> = world.transport.contain(|_| panic!("as a library might, on what a peer sent"));
    assert_eq!(answer, None);
    world.run(Duration::from_secs(5));
    assert_eq!(world.events.last(), Some(&Event::Failed(Failure::Panicked)));
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Failed(_))).count(), 1);
    assert!(!world.transport.has_output());
    assert!(world.transport.next_timeout() > world.now + Duration::from_secs(60), "it is not woken again");
}

#[test]
fn without_sctp_the_data_channel_gets_no_answer() {
    let mut world = World::with_sctp(16, SctpMode::None);
    world.exchange();
    world.run(Duration::from_secs(5));
    assert!(world.is_connected());
    assert!(!world.events.contains(&Event::ChannelOpen));
    world.transport.send_channel_text("nobody hears");
    world.run(Duration::from_secs(1));
    assert_eq!(world.client.texts, [""; 0]);
}

#[test]
fn candidates_that_cannot_be_used_are_left_out() {
    let mut world = World::new(17);
    let mut description = world.client.description();
    let candidate = |ip: &str, protocol: &str, component| jingle::Candidate {
        id: "1".into(),
        component,
        foundation: "1".into(),
        generation: 0,
        ip: ip.into(),
        port: 9,
        protocol: protocol.into(),
        tcp_type: None,
        priority: 1,
        candidate_type: "host".into(),
        network: 0,
        related: None,
    };
    description.candidates = vec![
        candidate("a8b1.local", "udp", 1),
        candidate("198.51.100.2", "tcp", 1),
        candidate("198.51.100.2", "udp", 2),
        candidate("224.0.0.1", "udp", 1),
    ];
    description.candidates.extend((1..=60).map(|i| candidate(&format!("198.51.100.{i}"), "udp", 1)));
    assert_eq!(world.transport.set_remote(&description, world.now), Ok(()));
    world.client.take_description(&world.transport.local_transport(), world.now);
    world.run(Duration::from_secs(4));
    world.check_media_and_channel();
}

#[test]
fn bad_credentials_and_fingerprints_are_refused() {
    let mut world = World::new(18);
    let good = world.client.description();
    let short = IceTransport { pwd: Some("short".into()), ..good.clone() };
    assert!(matches!(world.transport.set_remote(&short, world.now), Err(TransportError::Ice(_))));
    let mut bad = good.clone();
    bad.fingerprints[0].value = "AB:CD".into();
    assert_eq!(world.transport.set_remote(&bad, world.now), Err(TransportError::Dtls(DtlsError::InvalidFingerprint)));
    world.exchange();
    world.run(Duration::from_secs(2));
    world.check_media_and_channel();
}

#[test]
fn local_description_has_what_a_client_needs() {
    let world = World::new(19);
    let local = world.transport.local_transport();
    assert!(local.rtcp_mux);
    assert_eq!(local.candidates.len(), 1);
    let candidate = &local.candidates[0];
    assert_eq!((candidate.ip.as_str(), candidate.port, candidate.priority), ("192.0.2.1", 10_000, 2_130_706_431));
    assert_eq!((candidate.candidate_type.as_str(), candidate.protocol.as_str()), ("host", "udp"));
    let fingerprint = &local.fingerprints[0];
    assert_eq!((fingerprint.hash.as_str(), fingerprint.value.len()), ("sha-256", 95));
    assert_eq!(IceTransport::from_element(&local.to_element()), Ok(local));
}

fn setup_of(description: &IceTransport) -> DtlsSetup {
    description.fingerprints[0].setup.unwrap()
}

/// When it arrives, its number, whether at the bridge, the datagram.
type Flight = (Instant, u64, bool, Vec<u8>);

/// The transport, its client, and a network of 20 ms between them.
struct World {
    now: Instant,
    start: Instant,
    transport: EndpointTransport,
    client: TestPeer,
    client_fingerprint: Option<jingle::Fingerprint>,
    events: Vec<Event>,
    connected_at: Option<Instant>,
    session: Option<SrtpSession>,
    /// What arrived at the bridge, plain.
    rtp: Vec<(u64, Vec<u8>)>,
    rtcp: Vec<Vec<u8>>,
    network: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    random: Random,
    loss_percent: u64,
    /// STUN responses of the client do not arrive.
    holds_responses: bool,
    /// The client's DTLS does not arrive until the bridge's does.
    loses_hello: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        Self::with_sctp(seed, SctpMode::Server)
    }

    fn with_sctp(seed: u64, sctp_mode: SctpMode) -> Self {
        static CONTEXT: OnceLock<Arc<DtlsContext>> = OnceLock::new();
        let bridge_context = CONTEXT.get_or_init(|| Arc::new(DtlsContext::new().unwrap())).clone();
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let now = Instant::now();
        let addresses = [LocalAddress::host(bridge_address())];
        let transport =
            EndpointTransport::new(&addresses, bridge_context, IceRole::Controlling, sctp_mode, now).unwrap();
        Self {
            now,
            start: now,
            transport,
            client: TestPeer::new(client_address(), 7, now),
            client_fingerprint: None,
            events: Vec::new(),
            connected_at: None,
            session: None,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            network: BinaryHeap::new(),
            sent: 0,
            random: Random::new(seed),
            loss_percent: 0,
            holds_responses: false,
            loses_hello: false,
        }
    }

    fn exchange(&mut self) {
        self.client.take_description(&self.transport.local_transport(), self.now);
        let mut description = self.client.description();
        if let Some(other) = &self.client_fingerprint {
            description.fingerprints = vec![other.clone()];
        }
        self.transport.set_remote(&description, self.now).unwrap();
    }

    /// Sends RTP, RTCP and text both ways and looks at what arrives.
    fn check_media_and_channel(&mut self) {
        assert!(self.is_connected(), "{:?}", self.events);
        let first = self.sent + 100;
        for seq in first..first + 5 {
            assert!(self.send_rtp_to_client(seq));
            let packet = self.client.protect_rtp(&rtp_packet(seq), seq);
            self.send(true, packet);
        }
        let report = receiver_report();
        let mut protected = vec![0; report.len() + srtp::MAX_RTCP_OVERHEAD];
        let len = self.session.as_mut().unwrap().protect_rtcp(&report, &mut protected).unwrap();
        protected.truncate(len);
        self.send(false, protected);
        let protected = self.client.protect_rtcp(&report);
        self.send(true, protected);
        let text = format!("{{\"n\":{first}}}");
        self.transport.send_channel_text(&text);
        self.client.channel_mut().send_text(&text).unwrap();
        self.run(Duration::from_secs(2));

        let expected: Vec<_> = (first..first + 5).map(|seq| (seq, rtp_packet(seq))).collect();
        assert!(self.rtp.ends_with(&expected), "at the bridge: {} packets", self.rtp.len());
        assert!(self.client.rtp.ends_with(&expected), "at the client: {} packets", self.client.rtp.len());
        assert_eq!(self.rtcp.last(), Some(&report));
        assert_eq!(self.client.rtcp.last(), Some(&report));
        assert_eq!(self.events.last(), Some(&Event::ChannelText(text.clone())));
        assert_eq!(self.client.texts.last(), Some(&text));
    }

    /// Whether media can be sent to the client.
    fn is_connected(&self) -> bool {
        self.session.is_some() && self.transport.path().is_some()
    }

    /// Whether the packet left: there are keys and a path.
    fn send_rtp_to_client(&mut self, seq: u64) -> bool {
        let (Some(session), Some(_)) = (&self.session, self.transport.path()) else { return false };
        let packet = rtp_packet(seq);
        let parts = RtpParts { header: &packet[..12], prefix: &packet[12..20], payload: &packet[20..] };
        let mut protected = vec![0; packet.len() + srtp::MAX_RTP_OVERHEAD];
        let len = session.protect_rtp(&parts, ExtSeqNum(seq), &mut protected).unwrap();
        protected.truncate(len);
        self.send(false, protected);
        true
    }

    fn send_all(&mut self) {
        while let Some((path, datagram)) = self.transport.poll_transmit() {
            if path.remote == client_address() {
                self.send(false, datagram);
            }
        }
    }

    fn send(&mut self, to_bridge: bool, datagram: Vec<u8>) {
        let is_response = StunDemux::parse(&datagram) == Some(StunDemux::BindingResponse);
        let is_dtls = DatagramKind::of(&datagram) == DatagramKind::Dtls;
        if is_dtls && !to_bridge {
            self.loses_hello = false;
        }
        let is_held = to_bridge && (self.holds_responses && is_response || self.loses_hello && is_dtls);
        if is_held || self.random.below(100) < self.loss_percent {
            return;
        }
        self.sent += 1;
        // In order, as a path mostly is: media of this test are compared in order.
        let at = self.now + Duration::from_millis(20);
        self.network.push(Reverse((at, self.sent, to_bridge, datagram)));
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        loop {
            while let Some(event) = self.transport.poll_event(self.now) {
                if matches!(event, Event::DtlsConnected { .. }) {
                    self.connected_at = Some(self.now);
                    self.session = self.transport.take_session();
                }
                if event == Event::DtlsClosed {
                    self.session = None;
                }
                self.events.push(event);
            }
            self.send_all();
            let client = self.client.drain(self.now);
            for datagram in std::mem::take(&mut self.client.outgoing) {
                self.send(true, datagram);
            }
            let arrival = self.network.peek().map_or(end, |Reverse((at, ..))| *at);
            let next = self.transport.next_timeout().min(client).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if arrival <= next
                && let Some(Reverse((_, _, to_bridge, datagram))) = self.network.pop()
            {
                if to_bridge { self.deliver(datagram) } else { self.client.handle_datagram(next, datagram) }
            }
            self.transport.handle_timeout(next);
            if client <= next {
                self.client.handle_timeout(next);
            }
        }
    }

    fn deliver(&mut self, mut datagram: Vec<u8>) {
        if DatagramKind::of(&datagram) == DatagramKind::Media {
            // As a shard does with the keys that it was given.
            match self.session.as_mut().map(|session| session.unprotect(&mut datagram)) {
                Some(Ok(Unprotected::Rtp(plain))) => {
                    self.rtp.push((plain.seq.0 & 0xffff, datagram[..plain.len].to_vec()));
                }
                Some(Ok(Unprotected::Rtcp { len })) => self.rtcp.push(datagram[..len].to_vec()),
                Some(Err(_)) | None => {}
            }
            return;
        }
        match self.transport.handle_datagram(self.now, FiveTuple::udp(bridge_address(), client_address()), &datagram) {
            Received::Handled => {}
            Received::Dropped => assert!(!self.transport.has_output(), "nobody would poll for it"),
        }
    }
}

/// A packet of stream 0x01020304.
fn rtp_packet(seq: u64) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend((seq as u16).to_be_bytes());
    packet.extend([0, 0, 0, 9, 1, 2, 3, 4]);
    packet.extend((0..100).map(|i| i as u8 ^ seq as u8));
    packet
}

/// An empty RTCP receiver report of 0x01020304.
fn receiver_report() -> Vec<u8> {
    vec![0x80, 201, 0, 1, 1, 2, 3, 4]
}

fn client_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], 40_000))
}
