//! What attackers send to the media port, by the requirements of OWASP ASVS 5.0, chapter V17 (WebRTC): each test has the
//! number of its requirement. In all of them the media of others flows on meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use model::FiveTuple;

use super::forged_check;
use super::world::World;
use crate::counters::DropReason;
use crate::transport::test_peer::bridge_address;

/// Lets the attack go on beside the conference, and checks that the others saw and heard each other all the time.
fn survive(world: &mut World, rounds: usize, mut attack: impl FnMut(&mut World, usize)) {
    for round in 0..rounds {
        attack(world, round);
        world.run(20);
    }
    for (receiver, sender) in [(1, 2), (2, 1)] {
        let (audio, video) = (world.clients[sender].microphone.ssrc, world.clients[sender].video_ssrc());
        for ssrc in [audio, video] {
            let stream = world.clients[receiver].stream(ssrc);
            assert!(world.now - stream.last_at < Duration::from_millis(200), "{ssrc} goes on");
        }
        world.clients[receiver].stream(audio).check_audio();
        world.clients[receiver].stream(video).check_video();
    }
}

fn rtp(ssrc: u32, seq: u64) -> Vec<u8> {
    let mut packet = vec![0x80, super::camera::OPUS];
    packet.extend((seq as u16).to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([7; 80]);
    packet
}

fn from_client(world: &World, index: usize) -> FiveTuple {
    FiveTuple::udp(bridge_address(), world.clients[index].external)
}

/// Bytes that the bridge sends to an address while `attack` runs.
fn bytes_sent_to(world: &mut World, address: SocketAddr, attack: impl FnOnce(&mut World)) -> usize {
    world.flush();
    attack(world);
    let sent = world.bridge.take_sent(world.now);
    sent.iter().filter(|(path, _)| path.remote == address).map(|(_, datagram)| datagram.len()).sum()
}

#[test]
fn asvs_17_2_3_srtp_authentication_is_checked() {
    let mut world = World::connected(21, 3);
    let before = world.dropped(DropReason::SrtpAuthentication);
    let ssrc = world.clients[0].microphone.ssrc;
    world.clients[0].is_live = false;
    world.run(200);
    let heard = world.clients[1].stream(ssrc).packets.len();
    survive(&mut world, 50, |world, round| {
        // The address and stream of the first client, without its keys.
        let path = from_client(world, 0);
        world.bridge.handle_datagram(path, &rtp(ssrc, 60_000 + round as u64), world.now);
        // And its address with the protected packet of another one.
        let seq = world.clients[1].microphone.next_seq;
        let stolen = world.clients[1].peer.protect_rtp(&rtp(ssrc, seq), seq);
        world.bridge.handle_datagram(path, &stolen, world.now);
        // SRTCP that claims not to be encrypted (RFC 3711 §3.4, E = 0): a forged request for a key frame.
        let mut pli = vec![0x81, 206, 0, 2];
        pli.extend(ssrc.to_be_bytes());
        pli.extend(ssrc.to_be_bytes());
        pli.extend([0; 20]);
        world.bridge.handle_datagram(path, &pli, world.now);
    });
    assert!(world.dropped(DropReason::SrtpAuthentication) >= before + 150);
    assert_eq!(world.clients[1].stream(ssrc).packets.len(), heard, "nothing of it was forwarded");
}

#[test]
fn asvs_17_2_4_malformed_srtp_is_survived() {
    let mut world = World::connected(22, 3);
    survive(&mut world, 100, |world, _| {
        let path = from_client(world, 0);
        for _ in 0..50 {
            let len = world.random.below(1500) as usize;
            let mut datagram: Vec<u8> = (0..len).map(|_| world.random.below(256) as u8).collect();
            if let Some(first) = datagram.first_mut() {
                *first = 128 + *first % 64;
            }
            world.bridge.handle_datagram(path, &datagram, world.now);
        }
    });
    assert!(world.dropped(DropReason::Malformed) > 0 && world.dropped(DropReason::SrtpAuthentication) > 0);
}

#[test]
fn asvs_17_2_5_srtp_floods_are_survived() {
    let mut world = World::connected(23, 3);
    let path = from_client(&world, 0);
    // Every packet names another stream: nothing is remembered of what does not authenticate.
    survive(&mut world, 50, |world, round| {
        for at in 0..400 {
            world.bridge.handle_datagram(path, &rtp((round * 400 + at) as u32, 1), world.now);
        }
    });
    assert!(world.dropped(DropReason::SrtpAuthentication) >= 20_000);
    // One packet again and again.
    let ssrc = world.clients[0].microphone.ssrc;
    let seq = world.clients[0].microphone.next_seq + 5;
    let packet = world.clients[0].peer.protect_rtp(&rtp(ssrc, seq), seq);
    let replays = world.dropped(DropReason::SrtpReplay);
    survive(&mut world, 50, |world, _| {
        for _ in 0..400 {
            world.bridge.handle_datagram(path, &packet, world.now);
        }
    });
    assert!(world.dropped(DropReason::SrtpReplay) >= replays + 19_000);
    // Media from where nobody is.
    let strangers = world.dropped(DropReason::UnknownPeer);
    survive(&mut world, 20, |world, round| {
        for at in 0..400 {
            let stranger = SocketAddr::from(([203, 0, 113, round as u8], 1024 + at));
            world.bridge.handle_datagram(FiveTuple::udp(bridge_address(), stranger), &packet, world.now);
        }
    });
    assert_eq!(world.dropped(DropReason::UnknownPeer), strangers + 8000);
}

#[test]
fn asvs_17_2_6_client_hello_race_is_resisted() {
    let mut world = World::new(24);
    world.join();
    world.join();
    world.join();
    // A handshake from wherever an attacker is, before the client has begun its own, and all the time after.
    let mut hello = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1];
    hello.resize(113, 0);
    let attacker = SocketAddr::from(([203, 0, 113, 66], 666));
    let answered = bytes_sent_to(&mut world, attacker, |world| {
        for _ in 0..300 {
            world.bridge.handle_datagram(FiveTuple::udp(bridge_address(), attacker), &hello, world.now);
        }
    });
    assert_eq!(answered, 0, "DTLS is answered only where ICE has been");
    for _ in 0..100 {
        world.bridge.handle_datagram(FiveTuple::udp(bridge_address(), attacker), &hello, world.now);
        // Forged source: the address of the client, which ICE has not validated at first.
        let path = from_client(&world, 0);
        if world.now - world.start < Duration::from_millis(40) {
            world.bridge.handle_datagram(path, &hello, world.now);
        }
        world.run(10);
    }
    survive(&mut world, 50, |_, _| {});
    assert!(world.clients[0].peer.has_keys(), "the client's own handshake went through");
}

#[test]
fn asvs_17_2_8_fingerprint_is_checked_against_signalling() {
    let mut world = World::connected(25, 3);
    // Another certificate than the one that was signaled.
    let id = world.clients[0].id.clone();
    world.expire(0);
    let mut description = world.clients[0].peer.description();
    for fingerprint in &mut description.fingerprints {
        fingerprint.value = fingerprint.value.replace(|c: char| c.is_ascii_digit(), "0").replace(['A', 'B'], "C");
    }
    world.clients[0] = super::client::Client::new(0, world.now);
    world.clients[0].id = id;
    world.allocate(0, false);
    let mut own = world.clients[0].peer.description();
    own.fingerprints = description.fingerprints;
    world.announce_as(0, own);
    survive(&mut world, 100, |_, _| {});
    assert!(world.endpoint(0).is_none(), "the endpoint ended with its handshake");
}

#[test]
fn stun_without_the_password_gets_no_answer() {
    let mut world = World::connected(26, 3);
    let ufrag = world.endpoint(0).unwrap().connection.ufrags[0].clone();
    let victim = SocketAddr::from(([203, 0, 113, 77], 53));
    let path = FiveTuple::udp(bridge_address(), victim);
    let (known, unknown) = (forged_check(&format!("{ufrag}:x")), forged_check("nobody:x"));
    let mut answered = 0;
    let accepted = world.dropped(DropReason::NotAccepted);
    survive(&mut world, 50, |world, _| {
        answered += bytes_sent_to(world, victim, |world| {
            for _ in 0..200 {
                world.bridge.handle_datagram(path, &known, world.now);
                world.bridge.handle_datagram(path, &unknown, world.now);
            }
        });
    });
    assert_eq!(answered, 0, "nothing is amplified");
    let passed = world.dropped(DropReason::NotAccepted) - accepted;
    assert!(passed <= 3100, "{passed} of 10000 took up control's time");
    assert!(world.dropped(DropReason::HandshakeRate) >= 6900);
}
