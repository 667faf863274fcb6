//! Main rooms whose people are in breakout rooms.

use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::Element;

use crate::world::{ROOM, World, presence_of};

const BREAKOUT: &str = "group@breakout.meet.jitsi";

/// A main room with two people, and a breakout room that was requested.
fn meeting() -> World {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.main_room = Some(ROOM.to_owned());
    let response = world.request_with(ConferenceRequest::new(BREAKOUT.parse().unwrap())).unwrap().unwrap();
    assert!(response.ready);
    world.main_room = None;
    world
}

fn in_breakout(nick: &str, is_there: bool) -> Element {
    let jid = format!("{nick}-real@meet.jitsi/r");
    let mut presence = presence_of(&format!("{BREAKOUT}/{nick}"), "none", "participant", &jid);
    if !is_there {
        presence.set_attr("type", "unavailable");
    }
    presence
}

#[test]
fn the_main_room_waits_for_those_who_are_in_breakout_rooms() {
    let mut world = meeting();
    world.stanza(in_breakout("aaaa1111", true));
    world.leave_saying("aaaa1111", Some("switch_room"));
    world.leave("bbbb2222");
    world.seconds(600);
    assert!(!world.has_left_room());
    world.stanza(in_breakout("aaaa1111", false));
    assert!(world.has_left_room(), "with the last breakout room the main room ends");
}

#[test]
fn who_comes_back_finds_the_main_room() {
    let mut world = meeting();
    world.stanza(in_breakout("aaaa1111", true));
    for nick in ["aaaa1111", "bbbb2222"] {
        world.leave_saying(nick, Some("switch_room"));
    }
    world.seconds(600);
    world.join("aaaa1111");
    world.stanza(in_breakout("aaaa1111", false));
    assert!(!world.has_left_room());
    world.join("bbbb2222");
    assert!(world.client("aaaa1111").has_offer() && world.client("bbbb2222").has_offer());
}

#[test]
fn nobody_becomes_owner_of_a_breakout_room() {
    let mut world = meeting();
    let owners = world.owners.clone();
    world.stanza(in_breakout("aaaa1111", true));
    assert_eq!(world.owners, owners);
}
