//! Everything at once: random events, after each of which everybody has to know what everybody sends.

use std::collections::BTreeSet;

use focus::{Input, SelectionStrategy};
use jitsi_protocol::bridge_session::BridgeSession;
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{ColibriError, Reason};
use model::{MediaType, Ssrc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use xmpp::jingle::{Action, GroupSemantics, SsrcGroup};
use xmpp::{Condition, Element, ns};

use crate::world::{ALL_FEATURES, FakeClient, Manner, World};

const NICKS: [&str; 6] = ["aaaa1111", "bbbb2222", "cccc3333", "12345678", "eeee5555", "ffff6666"];
const STREAM_BREAKS: &str = "the stream breaks";
const BRIDGES: [&str; 3] = ["jvb-1", "jvb-2", "jvb-3"];

#[test]
fn everybody_knows_what_everybody_sends() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        // Every other time bridges share the conference.
        let mut world = World::with_settings(|settings| {
            settings.selection.cascading = seed % 2 == 1;
            settings.selection.strategy = SelectionStrategy::SplitBridge;
        });
        world.add_relay_bridge("jvb-1", "eu");
        let mut has_stream_broken = false;
        for step in 0..200 {
            let event = happen(&mut world, &mut random);
            has_stream_broken |= event == STREAM_BREAKS;
            check(&world, &format!("seed {seed}, step {step}: {event}"));
        }
        for nick in NICKS {
            if world.clients.contains_key(nick) {
                world.leave(nick);
            }
        }
        world.seconds(120);
        for bridge in world.bridges.values().filter(|bridge| !bridge.was_refusing && !has_stream_broken) {
            assert!(bridge.meetings.is_empty(), "seed {seed} leaves {:?}", bridge.meetings);
            assert!(bridge.violations.is_empty(), "seed {seed}: {:?}", bridge.violations);
        }
        assert_eq!(world.focus.metrics().conferences.get(), 0, "seed {seed}");
        assert_eq!(world.focus.metrics().participants_current.get(), 0, "seed {seed}");
    }
}

/// Lets something happen and answers what.
fn happen(world: &mut World, random: &mut StdRng) -> String {
    let nick = *NICKS.choose(random).unwrap();
    let bridge = *BRIDGES.choose(random).unwrap();
    let event = random.random_range(0..100);
    let is_here = world.clients.contains_key(nick);
    let has_session = is_here && world.client(nick).has_offer();
    match event {
        0..=24 if !is_here => {
            world.request();
            let features = if random.random_bool(0.7) { &ALL_FEATURES[..] } else { &ALL_FEATURES[..2] };
            world.join_as(FakeClient::with_features(nick, features));
            format!("{nick} joins")
        }
        0..=7 => {
            world.leave(nick);
            format!("{nick} leaves")
        }
        8..=49 if has_session => {
            let accepted = world.accept(nick).is_ok();
            format!("{nick} accepts: {accepted}")
        }
        50..=64 if has_session => share(world, nick, random.random_bool(0.5)),
        65..=69 if has_session => {
            let restart = random.random_bool(0.7);
            let client = world.client(nick);
            let mut message = client.message(Action::SessionTerminate);
            let id = Some(client.bridge_session());
            message.extensions.push(BridgeSession { id, restart, ..BridgeSession::default() }.to_element());
            // The answer may bring a new session with it.
            let before = (std::mem::take(&mut client.known), std::mem::take(&mut client.sent));
            // Who wants too many has ended the session all the same.
            let refused = world.jingle(nick, &message).err().map(|error| error.condition);
            let ended = refused.is_none_or(|condition| condition == Condition::ResourceConstraint);
            if !ended {
                let client = world.client(nick);
                (client.known, client.sent) = before;
            }
            format!("{nick} terminates, restart {restart}: {ended}")
        }
        70..=72 if has_session => {
            let client = world.client(nick);
            let mut message = client.message(Action::SessionInfo);
            let id = Some(client.bridge_session());
            message.extensions.push(Element::new("ice-state", ns::FOCUS).with_text("failed"));
            message.extensions.push(BridgeSession { id, ..BridgeSession::default() }.to_element());
            let taken = world.jingle(nick, &message).is_ok();
            format!("{nick} reports ICE failure: {taken}")
        }
        73..=79 if world.bridges.contains_key(bridge) => {
            world.bridge(bridge).manner = match random.random_range(0..6) {
                0 => Manner::Silent,
                1 => Manner::Refusing(ColibriError::new(Condition::InternalServerError, None, "")),
                2 => {
                    let reason = Some(Reason::ConferenceAlreadyExists);
                    Manner::Refusing(ColibriError::new(Condition::Conflict, reason, ""))
                }
                3 => {
                    let mut lost = ColibriError::new(Condition::ItemNotFound, Some(Reason::UnknownEndpoint), "");
                    lost.endpoint = nick.parse().ok();
                    Manner::RefusingUpdates(lost)
                }
                _ => Manner::Fine,
            };
            format!("{bridge} becomes {:?}", world.bridge(bridge).manner)
        }
        80..=82 if world.bridges.contains_key(bridge) => {
            world.remove_bridge(bridge);
            format!("{bridge} leaves")
        }
        80..=87 if !world.bridges.contains_key(bridge) => {
            world.add_relay_bridge(bridge, "eu");
            format!("{bridge} comes")
        }
        88 if world.bridges.contains_key(bridge) => {
            let down = BridgeStats { shutting_down: Some(true), ..BridgeStats::default() };
            world.bridge_says(bridge, down);
            format!("{bridge} shuts down")
        }
        89 => {
            world.input(Input::LinkDown);
            world.link_up();
            // Clients whose focus leaves reload the page.
            world.clients.clear();
            STREAM_BREAKS.to_owned()
        }
        90..=99 => {
            let seconds = random.random_range(1..30);
            world.seconds(seconds);
            format!("{seconds} seconds pass")
        }
        _ => "nothing".to_owned(),
    }
}

/// Starts or stops sharing a screen.
fn share(world: &mut World, nick: &str, start: bool) -> String {
    let number = NICKS.iter().position(|known| *known == nick).unwrap() as u32;
    let ssrcs = [3_000_000_000 + number * 10, 3_000_000_001 + number * 10];
    let group = SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: ssrcs.map(Ssrc).to_vec() };
    let client = world.client(nick);
    let mut message = client.message(if start { Action::SourceAdd } else { Action::SourceRemove });
    message.contents = vec![client.content(MediaType::Video, "v1", &ssrcs, vec![group])];
    let before = client.sent.clone();
    if start {
        client.sent.extend(ssrcs);
    } else {
        client.sent.retain(|ssrc| !ssrcs.contains(ssrc));
    }
    let taken = world.jingle(nick, &message).is_ok();
    if !taken {
        world.client(nick).sent = before;
    }
    format!("{nick} shares {start}: {taken}")
}

/// Who accepted a session knows the sources of all others who did, and nothing else.
fn check(world: &World, what: &str) {
    for client in world.clients.values().filter(|client| !client.sent.is_empty()) {
        let others = world.clients.values().filter(|other| other.nick != client.nick);
        let sent: BTreeSet<String> =
            others.flat_map(|other| other.sent.iter().map(|ssrc| format!("{}:{ssrc}", other.nick))).collect();
        assert_eq!(client.known, sent, "{} after {what}", client.nick);
    }
}
