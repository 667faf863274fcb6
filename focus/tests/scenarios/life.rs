//! Life and end of a conference, and who owns its room.

use auth::Moderators;
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::Element;

use crate::world::{FakeClient, ROOM, World, presence_of};

#[test]
fn an_empty_room_is_left_after_the_initial_time() {
    let mut world = World::new();
    world.request();
    world.seconds(14);
    assert!(!world.has_left_room());
    world.request();
    world.seconds(14);
    assert!(!world.has_left_room(), "another request starts the time again");
    world.seconds(1);
    assert!(world.has_left_room());
    assert_eq!(world.deadline(), None, "nothing is left to do");
}

#[test]
fn somebody_who_waits_alone_is_not_left() {
    let mut world = World::new();
    world.request();
    world.join("aaaa1111");
    world.seconds(3600);
    assert!(!world.has_left_room());
}

#[test]
fn who_stays_behind_keeps_its_session_for_a_while() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.client("aaaa1111").told.clear();
    world.leave("bbbb2222");
    world.seconds(19);
    assert!(world.client("aaaa1111").told.is_empty(), "clients learn from the room who left");
    world.seconds(1);
    let told = world.client("aaaa1111").told.last().unwrap().clone();
    let reason = told.reason.unwrap();
    assert_eq!((reason.condition.as_str(), reason.text.as_deref()), ("expired", Some("Idle session timeout")));
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("expire"));
    assert!(!world.has_left_room(), "the room is kept");

    world.join("cccc3333");
    world.accept("aaaa1111").unwrap();
    world.accept("cccc3333").unwrap();
    let story = world.bridge("jvb-1").story();
    assert_eq!(story.get(6..9).unwrap(), ["expire", "create", "+aaaa1111"]);
}

#[test]
fn a_second_participant_in_time_saves_the_session() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.client("aaaa1111").told.clear();
    world.leave("bbbb2222");
    world.seconds(19);
    world.join("cccc3333");
    world.accept("cccc3333").unwrap();
    world.seconds(60);
    assert_eq!(world.client("aaaa1111").take_actions(), ["source-add"]);
}

#[test]
fn who_was_told_to_come_finds_the_conference_though_the_last_one_left_meanwhile() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    assert!(world.request().unwrap().unwrap().ready);
    world.leave("aaaa1111");
    assert!(!world.has_left_room());
    world.join("bbbb2222");
    world.request();
    world.join("cccc3333");
    assert!(world.clients["bbbb2222"].has_offer() && world.clients["cccc3333"].has_offer());

    // Who does not come is not waited for for long.
    world.request();
    world.leave("bbbb2222");
    world.leave("cccc3333");
    world.seconds(14);
    assert!(!world.has_left_room());
    world.seconds(2);
    assert!(world.has_left_room());
}

#[test]
fn who_leaves_is_expired_and_the_last_one_ends_everything() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.leave("bbbb2222");
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("-bbbb2222"));
    world.leave("aaaa1111");
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("expire"));
    assert!(world.has_left_room());
}

#[test]
fn who_switches_to_another_room_is_waited_for() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.leave("bbbb2222");
    world.leave_saying("aaaa1111", Some("switch_room"));
    assert!(!world.has_left_room());
    world.seconds(15);
    assert!(world.has_left_room());
}

#[test]
fn a_member_that_left_during_its_invitation_is_expired() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.bridge("jvb-1").manner = crate::world::Manner::Silent;
    world.join("cccc3333");
    world.leave("cccc3333");
    let story = world.bridge("jvb-1").story();
    assert_eq!(story.last().map(String::as_str), Some("-cccc3333"));
}

#[test]
fn the_first_participant_becomes_owner_and_the_next_after_it() {
    let mut world = World::new();
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi"]);
    world.leave("aaaa1111");
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi", "bbbb2222-real@meet.jitsi"]);
}

#[test]
fn nobody_is_made_owner_where_somebody_is() {
    let mut world = World::new();
    world.request();
    world.join_as(FakeClient { affiliation: "owner", ..FakeClient::new("aaaa1111") });
    world.join("bbbb2222");
    assert!(world.owners.is_empty());
    world.join_as(FakeClient { affiliation: "none", ..FakeClient::new("aaaa1111") });
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi"], "the last owner lost the right");
}

#[test]
fn a_grant_counts_before_the_room_shows_it() {
    let mut world = World::new();
    world.grants_show = false;
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert_eq!(world.owners.len(), 1);
}

#[test]
fn owners_are_not_elected_when_turned_off() {
    let mut world = World::with_settings(|settings| settings.moderators = Moderators::None);
    world.request();
    world.join("aaaa1111");
    assert!(world.owners.is_empty());
}

#[test]
fn losing_its_rights_ends_the_conference() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.stanza(presence_of(&format!("{ROOM}/focus"), "none", "participant", "focus@auth.meet.jitsi/focus"));
    assert!(world.has_left_room());
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("expire"));
}

#[test]
fn a_destroyed_room_ends_the_conference() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let mut gone = presence_of(&format!("{ROOM}/focus"), "none", "none", "focus@auth.meet.jitsi/focus");
    gone.set_attr("type", "unavailable");
    world.stanza(gone);
    assert!(!world.has_left_room(), "there is nothing to leave");
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("expire"));
    world.clients.clear();
    assert!(world.request().unwrap().unwrap().ready, "and may be asked for again");
}

#[test]
fn visitors_are_neither_counted_nor_invited() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join_as(FakeClient { role: "visitor", ..FakeClient::new("bbbb2222") });
    assert!(!world.client("aaaa1111").has_offer());
    world.join("cccc3333");
    assert!(world.client("cccc3333").has_offer() && !world.client("bbbb2222").has_offer());
    let heard = FakeClient { role: "participant", ..FakeClient::new("bbbb2222") };
    world.join_as(heard);
    assert!(world.client("bbbb2222").has_offer(), "a visitor that may speak now is invited");
}

#[test]
fn members_beyond_the_limit_and_with_impossible_names_are_ignored() {
    let mut world = World::with_settings(|settings| settings.limits.participants = 2);
    world.add_bridge("jvb-1");
    world.request();
    for nick in ["no spaces", "jvb", "aaaa1111", "bbbb2222", "cccc3333"] {
        world.join(nick);
    }
    let invited: Vec<String> =
        world.clients.values().filter(|client| client.has_offer()).map(|client| client.nick.clone()).collect();
    assert_eq!(invited, ["aaaa1111", "bbbb2222"]);
}

#[test]
fn members_without_the_rooms_item_are_ignored() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    let bare: Element = format!("<presence xmlns='jabber:client' from='{ROOM}/bbbb2222'/>").parse().unwrap();
    world.stanza(bare);
    assert!(!world.client("aaaa1111").has_offer());
}

#[test]
fn conferences_do_not_disturb_each_other() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let other = ConferenceRequest::new("other@muc.meet.jitsi".parse().unwrap());
    assert!(world.request_with(other).unwrap().unwrap().ready);
    world.seconds(15);
    let left: Vec<&str> = world
        .log
        .iter()
        .filter(|stanza| stanza.name() == "presence" && stanza.attr("type") == Some("unavailable"))
        .filter_map(|stanza| stanza.attr("to"))
        .collect();
    assert_eq!(left, ["other@muc.meet.jitsi/focus"]);
}
