//! Endpoints that change their bridge while the conference goes on.

use std::time::Duration;

use focus::{AdminRequest, SelectionStrategy, Settings};
use jitsi_protocol::bridge_session::BridgeSession;
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{ColibriError, Reason};
use serde_json::json;
use xmpp::Condition;
use xmpp::jingle::Action;

use crate::cascade::{call, cascade_with, home};
use crate::world::{Manner, ROOM, World, relay_stats};

fn move_one(nick: &str) -> AdminRequest {
    AdminRequest::MoveEndpoint { conference: ROOM.to_owned(), endpoint: nick.to_owned(), bridge: None }
}

fn draining(nick: &str) -> BridgeStats {
    BridgeStats { drain: Some(true), ..relay_stats(nick, nick) }
}

/// Three on two bridges, `aaaa1111` and `cccc3333` on the first, and a third bridge to move to.
fn three_on_two() -> World {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    world.add_relay_bridge("jvb-3", "jvb-3");
    world.clients.values_mut().for_each(|client| client.told.retain(|told| told.action == Action::SessionInitiate));
    world.log.clear();
    world
}

/// Where in the log something stands.
fn position(world: &World, words: &[&str]) -> usize {
    let is_it = |text: &String| words.iter().all(|word| text.contains(word));
    let found = world.log.iter().map(ToString::to_string).position(|text| is_it(&text));
    found.unwrap_or_else(|| panic!("nothing with {words:?}"))
}

#[test]
fn one_endpoint_moves_and_its_session_ends_only_when_the_next_can_begin() {
    let mut world = three_on_two();
    assert_eq!(world.admin(&move_one("cccc3333")), Ok(json!({ "movedEndpoints": 1, "conferences": 1 })));
    assert_eq!(home(&world, "cccc3333"), "jvb-3");
    assert_eq!(world.client("cccc3333").take_actions(), ["session-initiate", "session-terminate", "session-initiate"]);
    let made = position(&world, &["/jvb-3'", "create='true' id='cccc3333'"]);
    let ended = position(&world, &["session-terminate"]);
    let broken = position(&world, &["/jvb-1'", "expire='true' id='cccc3333'"]);
    assert!(made < ended && ended < broken, "{made} {ended} {broken}");
    world.check_mesh("one was invited elsewhere");
    let others = world.client("aaaa1111").take_actions();
    assert_eq!(others, ["session-initiate", "source-remove"]);
}

#[test]
fn who_moves_is_not_known_twice_to_the_bridge_that_it_moves_to() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"]);
    world.admin(&move_one("cccc3333")).unwrap();
    world.clients.get_mut("cccc3333").unwrap().told.drain(..1);
    world.accept("cccc3333").unwrap();
    assert_eq!(home(&world, "cccc3333"), "jvb-2");
    world.check_mesh("one moved to a bridge of the conference");
    world.admin(&move_one("aaaa1111")).unwrap();
    world.client("aaaa1111").told.drain(..1);
    world.accept("aaaa1111").unwrap();
    world.check_mesh("the last one left a bridge");
    assert!(world.bridge("jvb-1").meetings.is_empty(), "which is out with it");
}

#[test]
fn so_many_move_as_are_wanted() {
    let mut world = call(&["jvb-1", "jvb-2"], &["a1", "b1", "c1", "d1", "e1", "f1"]);
    let some = |count| AdminRequest::MoveEndpoints { bridge: "jvb-1".to_owned(), conference: None, count };
    assert_eq!(world.admin(&some(2)), Ok(json!({ "movedEndpoints": 2, "conferences": 1 })));
    for nick in ["a1", "c1"] {
        world.accept(nick).unwrap();
    }
    world.check_mesh("two moved");
    assert_eq!(home(&world, "e1"), "jvb-1");
    let half = AdminRequest::MoveFraction { bridge: "jvb-2".to_owned(), fraction: 0.6 };
    assert_eq!(world.admin(&half), Ok(json!({ "movedEndpoints": 3, "conferences": 1 })));
    for nick in ["b1", "d1", "f1", "a1", "c1"] {
        if world.client(nick).sent.is_empty() {
            world.accept(nick).unwrap();
        }
    }
    world.check_mesh("three moved back");
}

#[test]
fn a_move_that_a_bridge_refuses_leaves_everybody_where_they_are() {
    for (condition, reason) in [
        (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)),
        (Condition::InternalServerError, None),
        (Condition::BadRequest, None),
    ] {
        let mut world = three_on_two();
        world.bridge("jvb-3").manner = Manner::Refusing(ColibriError::new(condition, reason, ""));
        world.admin(&move_one("cccc3333")).unwrap();
        assert_eq!(world.client("cccc3333").take_actions(), ["session-initiate"], "{condition:?}");
        world.check_mesh("nobody moved");
        assert_eq!(home(&world, "cccc3333"), "jvb-1");
    }
    // The same with a bridge that knew the endpoint as one of another bridge.
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    world.bridge("jvb-2").manner = Manner::WithoutTransport;
    world.admin(&move_one("cccc3333")).unwrap();
    world.check_mesh("the other bridge gave nothing");
    assert_eq!(home(&world, "cccc3333"), "jvb-1");
    // And a conference that has one bridge only.
    for manner in [Manner::WithoutTransport, Manner::Refusing(ColibriError::new(Condition::BadRequest, None, ""))] {
        let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
        world.add_bridge("jvb-2");
        world.bridge("jvb-2").manner = manner;
        world.admin(&move_one("bbbb2222")).unwrap();
        assert_eq!(["aaaa1111", "bbbb2222"].map(|nick| home(&world, nick)), ["jvb-1", "jvb-1"]);
        assert!(world.clients.values().all(|client| client.told.iter().all(|told| told.reason.is_none())));
    }
}

#[test]
fn the_focus_does_not_try_the_same_move_without_end() {
    let mut world = call(&["jvb-1"], &["aaaa1111", "bbbb2222"]);
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.bridge("jvb-2").manner = Manner::Refusing(ColibriError::new(Condition::BadRequest, None, ""));
    world.bridge_says("jvb-1", draining("jvb-1"));
    world.seconds(60);
    let tried = world.bridge("jvb-2").story().iter().filter(|step| step.starts_with('+')).count();
    assert!((2..=12).contains(&tried), "{tried}");
    world.check_mesh("nobody moved");
}

/// A move to a bridge that does not answer yet.
fn moving() -> World {
    let mut world = three_on_two();
    world.bridge("jvb-3").manner = Manner::Silent;
    world.admin(&move_one("cccc3333")).unwrap();
    let state = world.admin(&AdminRequest::Conference { room: ROOM.to_owned() }).unwrap();
    assert!(state["participants"]["cccc3333"]["moving_to"].as_str().unwrap().ends_with("jvb-3"));
    assert_eq!(world.client("cccc3333").told.len(), 1, "its session goes on");
    world
}

#[test]
fn what_happens_during_a_move_ends_well() {
    // The bridge never answers.
    let mut world = moving();
    world.seconds(15);
    assert!(world.bridge("jvb-3").meetings.is_empty(), "it is told to forget");
    world.check_mesh("no answer");
    assert_eq!(home(&world, "cccc3333"), "jvb-1");

    // The client leaves, or ends its session, or wants another one.
    let mut world = moving();
    world.leave("cccc3333");
    assert!(world.bridge("jvb-3").meetings.is_empty());
    world.check_mesh("the client left");
    for restart in [true, false] {
        let mut world = moving();
        world.bridge("jvb-3").manner = Manner::Fine;
        let client = world.client("cccc3333");
        let id = Some(client.bridge_session());
        let mut message = client.message(Action::SessionTerminate);
        message.extensions.push(BridgeSession { id, restart, ..BridgeSession::default() }.to_element());
        world.client("cccc3333").sent.clear();
        world.jingle("cccc3333", &message).unwrap();
        world.check_mesh("the client ended its session");
    }

    // The bridge that it moves to goes away, or the one that it leaves.
    let mut world = moving();
    world.remove_bridge("jvb-3");
    world.check_mesh("the next bridge is gone");
    assert_eq!(home(&world, "cccc3333"), "jvb-1");
    let mut world = moving();
    world.remove_bridge("jvb-1");
    assert_eq!(world.client("cccc3333").take_actions(), ["session-initiate", "session-terminate"]);
    world.seconds(15);
    world.accept("cccc3333").unwrap();
    world.accept("aaaa1111").unwrap();
    world.check_mesh("the old bridge is gone, and the next one does not answer");
}

#[test]
fn a_bridge_that_drains_is_emptied_a_few_at_a_time() {
    let nicks: Vec<String> = (10..34).map(|number| format!("aaaa00{number}")).collect();
    let nicks: Vec<&str> = nicks.iter().map(String::as_str).collect();
    let mut world = call(&["jvb-1"], &nicks);
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.bridge_says("jvb-1", draining("jvb-1"));
    let mut left = Vec::new();
    for _ in 0..4 {
        for nick in &nicks {
            if world.client(nick).sent.is_empty() {
                world.accept(nick).unwrap();
            }
        }
        world.check_mesh("some moved");
        left.push(world.bridge("jvb-1").meetings.values().map(|known| known.endpoints.len()).sum::<usize>());
        world.seconds(1);
    }
    assert_eq!(left, [14, 4, 0, 0]);
    assert!(world.clients.values().all(|client| client.has_offer()));
}

#[test]
fn nobody_leaves_a_draining_bridge_for_another_or_where_settings_say_so() {
    let mut world = call(&["jvb-1"], &["aaaa1111", "bbbb2222"]);
    world.add_bridge_with("jvb-2", draining("jvb-2"));
    world.bridge_says("jvb-1", draining("jvb-1"));
    world.seconds(60);
    assert!(world.bridge("jvb-2").requests.is_empty());
    world.bridge_says("jvb-2", relay_stats("jvb-2", "jvb-2"));
    assert!(world.bridge("jvb-1").meetings.is_empty(), "at once when there is one");

    let keeps = |settings: &mut Settings| settings.redistribution.drains = false;
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1"], keeps);
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.bridge_says("jvb-1", draining("jvb-1"));
    world.seconds(60);
    assert!(world.bridge("jvb-2").requests.is_empty());
}

#[test]
fn without_cascading_a_conference_leaves_a_draining_bridge_as_a_whole() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.add_bridge("jvb-2");
    let stats = BridgeStats { drain: Some(true), ..BridgeStats::default() };
    world.bridge("jvb-2").manner = Manner::Silent;
    world.bridge_says("jvb-1", stats);
    world.join("cccc3333");
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222", "+cccc3333"], "newcomers too");
    let told = |world: &mut World| world.client("aaaa1111").told.iter().filter(|told| told.reason.is_some()).count();
    assert_eq!(told(&mut world), 0, "all goes on until the bridge answers");
    // It does not: everybody stays, and who came is with them.
    world.seconds(15);
    assert_eq!(told(&mut world), 0);
    assert_eq!(home(&world, "cccc3333"), "jvb-1");
    world.bridge("jvb-2").manner = Manner::Fine;
    world.seconds(70);
    assert_eq!(home(&world, "aaaa1111"), "jvb-2", "it works again");
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.accept(nick).unwrap();
    }
    assert!(world.bridge("jvb-1").meetings.is_empty());
    assert!(world.bridges.values().all(|bridge| bridge.violations.is_empty()));
}

#[test]
fn a_conference_goes_from_one_version_of_bridges_to_the_next_as_a_whole() {
    let mut world = call(&["jvb-1"], &["aaaa1111", "bbbb2222"]);
    let next = BridgeStats { version: Some("2".to_owned()), ..relay_stats("jvb-2", "jvb-2") };
    world.add_bridge_with("jvb-2", next);
    world.join("cccc3333");
    world.accept("cccc3333").unwrap();
    assert_eq!(home(&world, "cccc3333"), "jvb-1", "versions do not mix");
    world.bridge_says("jvb-1", draining("jvb-1"));
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        assert_eq!(home(&world, nick), "jvb-2");
        world.accept(nick).unwrap();
    }
    world.check_mesh("bridges were upgraded");
    assert!(world.bridge("jvb-1").relay_story().is_empty(), "and are not linked on the way");
    world.bridge_says("jvb-1", relay_stats("jvb-1", "jvb-1"));
    world.join("dddd4444");
    world.accept("dddd4444").unwrap();
    assert_eq!(home(&world, "dddd4444"), "jvb-2", "the older one is none of this conference any more");
    world.check_mesh("one more came");
}

#[test]
fn a_bridge_with_too_much_load_gives_some_away_and_rests() {
    let nicks: Vec<String> = (10..30).map(|number| format!("aaaa00{number}")).collect();
    let spread = |settings: &mut Settings| {
        settings.redistribution.is_enabled = true;
        settings.redistribution.endpoints = 4;
    };
    let mut world = cascade_with(SelectionStrategy::RegionBased, &["jvb-1"], spread);
    for nick in &nicks {
        world.join(nick);
    }
    let accept = |world: &mut World| {
        for nick in &nicks {
            if world.client(nick).sent.is_empty() {
                world.accept(nick).unwrap();
            }
        }
    };
    accept(&mut world);
    let on =
        |world: &mut World| world.bridge("jvb-1").meetings.values().map(|known| known.endpoints.len()).sum::<usize>();
    let loaded = BridgeStats { stress_level: Some(0.95), ..relay_stats("jvb-1", "jvb-1") };
    world.bridge_says("jvb-1", loaded);
    world.seconds(60);
    assert_eq!(on(&mut world), 20, "there is no other");
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.seconds(60);
    accept(&mut world);
    assert_eq!(on(&mut world), 16);
    world.seconds(120);
    assert_eq!(on(&mut world), 16, "it rests");
    world.advance(Duration::from_secs(120));
    accept(&mut world);
    assert_eq!(on(&mut world), 12);
    world.check_mesh("load was spread");
    assert_eq!(world.focus.metrics().load_redistributor_endpoints_moved.get(), 8);
}
