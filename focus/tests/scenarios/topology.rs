//! Bridges of visitors as leaves behind those of participants: which are linked in which mesh, what each is told, and how the
//! tree grows together again when one of its bridges is lost.

use std::collections::BTreeMap;

use focus::{AdminRequest, SelectionStrategy, Settings, TopologyStrategy, VisitorNode, VisitorSettings};
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::jingle::Action;

use crate::cascade::{cascade_with, home};
use crate::world::{FakeClient, ROOM, ROOM_V1, World, relay_stats};

/// Participants and visitors on bridges of their own, another one for each while there are others.
pub(crate) fn with_tree(settings: &mut Settings) {
    settings.selection.participant_strategy = SelectionStrategy::SplitBridge;
    settings.selection.visitor_strategy = SelectionStrategy::SplitBridge;
    settings.selection.topology = TopologyStrategy::Visitor;
    let nodes = vec![VisitorNode::at_main_server("v1", "meet.jitsi")];
    settings.visitors = Some(VisitorSettings::new("meet.jitsi", nodes).unwrap());
}

fn tree(bridges: &[&str]) -> World {
    let mut world = cascade_with(SelectionStrategy::Visitor, &[], with_tree);
    for bridge in bridges {
        add(&mut world, bridge);
    }
    world
}

/// A bridge in the region of its first letters, so that the order of choice is that of the names.
fn add(world: &mut World, nick: &str) {
    let number: f64 = f64::from(nick.bytes().last().unwrap());
    let region = nick.split('-').next().unwrap();
    world.add_bridge_with(nick, BridgeStats { stress_level: Some(number / 1000.0), ..relay_stats(nick, region) });
}

pub(crate) fn send_visitor(world: &mut World, nick: &str) {
    let mut request = ConferenceRequest::new(ROOM.parse().unwrap());
    request.properties.insert("visitors-version".to_owned(), "1".to_owned());
    request.properties.insert("visitor".to_owned(), "true".to_owned());
    let _ = world.request_with(request);
    world.join_as(FakeClient::visitor(nick, ROOM_V1));
}

fn join(world: &mut World, nick: &str) {
    world.join(nick);
    if world.client(nick).has_offer() {
        world.accept(nick).unwrap();
    }
}

fn watch(world: &mut World, nick: &str) {
    send_visitor(world, nick);
    world.watch(nick).unwrap();
}

/// The links that there are, as `mesh: one-other`.
fn links(world: &World) -> Vec<String> {
    let mut links = Vec::new();
    for (nick, bridge) in &world.bridges {
        for meeting in bridge.meetings.values() {
            for (other, link) in &meeting.relays {
                let other = other.trim_start_matches("relay-");
                if nick.as_str() < other {
                    links.push(format!("{}: {nick} {other}", link.mesh));
                }
            }
        }
    }
    links.sort();
    links
}

/// Three take part on three bridges, two watch on two more.
fn call() -> World {
    let mut world = tree(&["eu-1", "eu-2", "us-3"]);
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.accept("aaaa1111").unwrap();
    world.accept("bbbb2222").unwrap();
    join(&mut world, "cccc3333");
    assert_eq!(["aaaa1111", "bbbb2222", "cccc3333"].map(|nick| home(&world, nick)), ["eu-1", "eu-2", "us-3"]);
    for (nick, bridge) in [("dddd4444", "us-4"), ("eeee5555", "us-5")] {
        add(&mut world, bridge);
        watch(&mut world, nick);
        assert_eq!(home(&world, nick), bridge);
        world.check_mesh(bridge);
    }
    world
}

#[test]
fn bridges_of_visitors_hang_on_one_near_by_and_the_others_are_a_mesh() {
    let mut world = call();
    let expected = ["0: eu-1 eu-2", "0: eu-1 us-3", "0: eu-2 us-3", "1: us-3 us-4", "2: us-3 us-5"];
    assert_eq!(links(&world), expected, "nearer to the core before less loaded");
    let known = |world: &World, at: &str, via: &str| {
        let meeting = world.bridges[at].meetings.values().next().unwrap();
        meeting.relays[&format!("relay-{via}")].endpoints.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(known(&world, "us-4", "us-3"), ["aaaa1111", "bbbb2222", "cccc3333"], "all who send are behind it");
    assert!(known(&world, "us-3", "us-4").is_empty(), "nobody is told of visitors");
    assert_eq!(known(&world, "eu-1", "us-3"), ["cccc3333"]);
    let state = world.admin(&AdminRequest::Conference { room: ROOM.to_owned() }).unwrap();
    let sessions = state["colibri_sessions"].as_array().unwrap();
    let visitors = sessions.iter().filter(|session| session["visitor"] == true);
    assert_eq!(
        visitors.map(|session| session["relay_id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["relay-us-4", "relay-us-5"]
    );
    // Sources that come later are told along the tree.
    let mut add = world.client("aaaa1111").message(Action::SourceAdd);
    add.contents = vec![world.client("aaaa1111").content(model::MediaType::Video, "v1", &[77], vec![])];
    world.client("aaaa1111").sent.insert(77);
    world.jingle("aaaa1111", &add).unwrap();
    world.check_mesh("a source was added");
}

#[test]
fn one_with_room_is_taken_before_one_near_by_that_is_overloaded() {
    let mut world = call();
    for bridge in ["us-3", "us-4", "us-5"] {
        world.bridge_says(bridge, BridgeStats { stress_level: Some(0.95), ..relay_stats(bridge, "us") });
    }
    add(&mut world, "us-6");
    watch(&mut world, "ffff6666");
    assert!(links(&world).contains(&"3: eu-1 us-6".to_owned()), "{:?}", links(&world));
    for bridge in ["eu-1", "eu-2", "us-6"] {
        let region = bridge.split('-').next().unwrap();
        world.bridge_says(bridge, BridgeStats { stress_level: Some(0.9), ..relay_stats(bridge, region) });
    }
    add(&mut world, "us-7");
    watch(&mut world, "abab7777");
    assert!(links(&world).contains(&"4: us-3 us-7".to_owned()), "near by at least: {:?}", links(&world));
    world.check_mesh("all are overloaded");
}

#[test]
fn visitors_hang_on_the_core_again_when_their_way_to_it_is_lost() {
    let mut world = call();
    world.remove_bridge("us-3");
    // Whoever was on it goes to another one; nobody else gets another session.
    world.accept("cccc3333").unwrap();
    world.check_mesh("the middle was lost");
    let left = links(&world);
    assert!(left.contains(&"0: eu-1 eu-2".to_owned()) && left.len() == 3, "{left:?}");
    let sessions =
        |nick: &str| world.clients[nick].told.iter().filter(|told| told.action == Action::SessionInitiate).count();
    assert_eq!(["aaaa1111", "bbbb2222", "dddd4444", "eeee5555"].map(sessions), [1, 1, 1, 1]);

    // A tree of visitors: the second hangs on the first, which is lost.
    let mut world = tree(&["eu-1", "eu-2"]);
    world.join("aaaa1111");
    join(&mut world, "bbbb2222");
    world.accept("aaaa1111").unwrap();
    for (nick, bridge) in [("cccc3333", "us-3"), ("dddd4444", "us-4"), ("eeee5555", "us-5")] {
        add(&mut world, bridge);
        watch(&mut world, nick);
    }
    assert_eq!(links(&world), ["0: eu-1 eu-2", "1: eu-1 us-3", "2: us-3 us-4", "3: us-3 us-5"]);
    world.check_mesh("a tree of visitors");
    world.bridge("us-4").requests.clear();
    world.remove_bridge("us-3");
    world.watch("cccc3333").unwrap();
    assert_eq!(world.bridge("us-4").relay_story()[..2], ["-relay-us-3", "+relay-eu-1:+aaaa1111,+bbbb2222"]);
    world.check_mesh("the root of the tree was lost");
    world.leave("bbbb2222");
    world.check_mesh("a leaf of the core left");
    world.leave("aaaa1111");
    assert!(world.bridges.values().all(|bridge| bridge.meetings.is_empty() && bridge.violations.is_empty()));
}

#[test]
fn a_conference_may_begin_with_a_visitor() {
    let mut world = tree(&["eu-1", "eu-2", "eu-3"]);
    send_visitor(&mut world, "cccc3333");
    world.join("aaaa1111");
    assert_eq!(home(&world, "cccc3333"), "eu-1");
    world.watch("cccc3333").unwrap();
    world.accept("aaaa1111").unwrap();
    world.check_mesh("one of each");
    assert_eq!(links(&world), ["0: eu-1 eu-2"]);
    join(&mut world, "bbbb2222");
    world.check_mesh("a second one takes part");
    assert_eq!(links(&world).len(), 3);
}

#[test]
fn where_bridges_are_few_both_kinds_share_them() {
    let mut world = tree(&["eu-1", "eu-2"]);
    world.join("aaaa1111");
    join(&mut world, "bbbb2222");
    world.accept("aaaa1111").unwrap();
    watch(&mut world, "cccc3333");
    assert_eq!(home(&world, "cccc3333"), "eu-1", "there is none for visitors alone");
    world.check_mesh("a visitor on a bridge of participants");
    add(&mut world, "us-3");
    watch(&mut world, "dddd4444");
    assert_eq!(home(&world, "dddd4444"), "us-3");
    // All other bridges leave: participants come to the one of visitors, and are relayed from there.
    world.remove_bridge("eu-2");
    let moved: BTreeMap<&str, String> =
        ["aaaa1111", "bbbb2222"].into_iter().map(|nick| (nick, home(&world, nick))).collect();
    world.accept("bbbb2222").unwrap();
    world.check_mesh(&format!("{moved:?}"));
    world.remove_bridge("eu-1");
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        // Not all of them were there.
        let _ = if nick == "cccc3333" { world.watch(nick) } else { world.accept(nick) };
    }
    world.check_mesh("one bridge for all");
}
