//! Checks that are answered away from the agent.

use aws_lc_rs::hmac;
use is::stun::{Class, Method, StunMessage, TransId};

use super::*;
use crate::{CheckResponder, Settled};

/// A connected world, and the responder of its pair.
fn settled(seed: u64) -> (World, CheckResponder) {
    let mut world = World::new(seed);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let responder = world.bridge.responder(world.now).unwrap();
    (world, responder)
}

/// What the bridge's agent says to `check`.
fn agents_answer(world: &mut World, check: &[u8]) -> Option<Vec<u8>> {
    let (now, pair) = (world.now, world.pair());
    let _ = world.bridge.handle_datagram(now, pair, check);
    std::iter::from_fn(|| match world.bridge.poll_output() {
        Output::Transmit(Transmit { payload, .. }) => Some(payload),
        Output::Event(_) | Output::Timeout(_) => None,
    })
    .find(|payload| !StunMessage::parse(payload).unwrap().is_binding_request())
}

/// What a client may say of itself in a check.
#[derive(Clone, Copy)]
enum Claim {
    Controlled,
    Controlling,
    Nominates,
}

/// A check under `username` that is signed with `pwd`.
fn check(username: &str, pwd: &str, claim: Claim) -> Vec<u8> {
    check_of(username, pwd, claim, 7)
}

fn check_of(username: &str, pwd: &str, claim: Claim, tie_breaker: u64) -> Vec<u8> {
    let (is_controlling, nominates) = (matches!(claim, Claim::Controlling), matches!(claim, Claim::Nominates));
    let check = StunMessage::binding_request(username, TransId::new(), is_controlling, tie_breaker, 1 << 30, nominates);
    let mut bytes = vec![0; 200];
    let sign = |key: &[u8], parts: &[&[u8]]| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        hmac::sign(&key, &parts.concat()).as_ref().try_into().unwrap()
    };
    let len = check.to_bytes(Some(pwd.as_bytes()), &mut bytes, sign).unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn answer_is_the_agents_to_the_byte() {
    let (mut world, responder) = settled(1);
    let pair = world.pair();
    let request = world.last_request_to_bridge.clone();
    let answer = responder.answer(&pair, &request).unwrap();
    assert_eq!(agents_answer(&mut world, &request), Some(answer.clone()));
    let parsed = StunMessage::parse(&answer).unwrap();
    assert_eq!((parsed.method(), parsed.class()), (Method::Binding, Class::Success));
    assert_eq!(parsed.mapped_address(), Some(client_address()));
    assert!(answer.len() <= request.len(), "amplifies {} to {}", request.len(), answer.len());
}

#[test]
fn whatever_is_to_be_decided_is_left_to_the_agent() {
    let (world, responder) = settled(2);
    let pair = world.pair();
    let local = world.bridge.local_credentials();
    let username = format!("{}:{}", local.ufrag(), world.client_credentials.ufrag());
    let good = check(&username, local.pwd(), Claim::Controlled);
    assert!(responder.answer(&pair, &good).is_some());
    let elsewhere = FiveTuple::udp(bridge_address(), "198.51.100.9:1".parse().unwrap());
    assert_eq!(responder.answer(&elsewhere, &good), None, "another path");
    let over_tcp = FiveTuple { protocol: model::TransportProtocol::Tcp, ..pair };
    assert_eq!(responder.answer(&over_tcp, &good), None, "another protocol");
    for (what, datagram) in [
        ("a forged one", check(&username, "not the password of the bridge", Claim::Controlled)),
        ("of another generation", check("other:ufrag", local.pwd(), Claim::Controlled)),
        ("a nomination", check(&username, local.pwd(), Claim::Nominates)),
        ("a role conflict", check(&username, local.pwd(), Claim::Controlling)),
    ] {
        assert_eq!(responder.answer(&pair, &datagram), None, "{what}");
    }
    for len in 0..good.len() {
        assert_eq!(responder.answer(&pair, &good[..len]), None, "cut to {len}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        // The fingerprint is no part of what is authentic.
        let is_fingerprint = at >= good.len() - 8;
        assert!(is_fingerprint || responder.answer(&pair, &bad).is_none(), "byte {at}");
    }
}

#[test]
fn there_is_none_while_there_is_something_to_decide() {
    let mut world = World::new(3);
    assert!(world.bridge.responder(world.now).is_none(), "no pair");
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let (pair, generation, role) = (world.pair(), Generation(0), IceRole::Controlling);
    assert_eq!(world.bridge.settled(), Some(Settled { pair, generation, role }));
    world.network.blackout = true;
    world.run(Duration::from_secs(12));
    assert!(world.bridge.responder(world.now).is_none(), "a silent pair");
    world.network.blackout = false;
    world.run(Duration::from_secs(5));
    assert!(world.bridge.responder(world.now).is_some());
    world.bridge.restart(world.now, IceCredentials::from_random(&[9; 24])).unwrap();
    assert!(world.bridge.responder(world.now).is_none(), "a restart");
}

#[test]
fn all_checks_are_answered_away_and_the_agent_is_shown_one_now_and_then() {
    let (mut world, _) = settled(4);
    let (answered, shown) = (world.answered, world.shown);
    world.run(Duration::from_secs(60));
    // The client's `is` sends one every 3 s, of which every third is shown.
    let (answered, shown) = (world.answered - answered, world.shown - shown);
    assert!((19..=21).contains(&answered), "{answered} of 20");
    assert!((5..=8).contains(&shown), "{shown} of 20");
    assert_eq!(world.events, [Event::Connected(world.pair())]);
}

#[test]
fn what_the_agent_is_shown_it_does_not_answer_again() {
    let (mut world, _) = settled(7);
    let (now, pair) = (world.now, world.pair());
    let request = world.last_request_to_bridge.clone();
    let said = |world: &mut World| {
        let outputs = std::iter::from_fn(|| match world.bridge.poll_output() {
            Output::Transmit(transmit) => Some(transmit.payload),
            Output::Event(_) | Output::Timeout(_) => None,
        });
        outputs.filter(|payload| !StunMessage::parse(payload).unwrap().is_binding_request()).count()
    };
    world.bridge.note_answered(now, pair, Some(&request));
    world.bridge.handle_timeout(now);
    assert_eq!(said(&mut world), 0);
    assert!(agents_answer(&mut world, &request).is_some(), "one that comes again is not answered elsewhere");
    for forged in [&request[..20], &[0; 40], &[]] {
        world.bridge.note_answered(now, pair, Some(forged));
    }
    world.bridge.handle_timeout(now);
    assert_eq!(said(&mut world), 0);
}

#[test]
fn peer_that_leaves_checks_without_answer_stays_as_long_as_its_own_are_answered_away() {
    let (mut world, _) = settled(5);
    world.network.are_answers_lost = true;
    world.run(Duration::from_secs(120));
    assert_eq!(world.events, [Event::Connected(world.pair())], "at {:?}", world.event_times);
    assert!(world.answered > 20, "{}", world.answered);
}

#[test]
fn a_role_that_a_conflict_changed_is_the_responders_too() {
    let (mut world, before) = settled(6);
    let (now, pair) = (world.now, world.pair());
    let local = world.bridge.local_credentials();
    let username = format!("{}:{}", local.ufrag(), world.client_credentials.ufrag());
    let conflicting = check_of(&username, local.pwd(), Claim::Controlling, u64::MAX);
    let plain = check(&username, local.pwd(), Claim::Controlled);
    assert_eq!(before.answer(&pair, &conflicting), None);
    // The bridge has the lower tie-breaker and yields.
    world.bridge.handle_datagram(now, pair, &conflicting).unwrap();
    assert_eq!(world.bridge.settled().map(|settled| settled.role), Some(IceRole::Controlled));
    let after = world.bridge.responder(now).unwrap();
    assert_eq!(after.answer(&pair, &plain), None, "now this one is in conflict");
    assert!(after.answer(&pair, &conflicting).is_some());
}
