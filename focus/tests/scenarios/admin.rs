//! What operators ask of a running focus.

use focus::{AdminError, AdminRequest};
use jitsi_protocol::bridge_stats::BridgeStats;
use serde_json::{Value, json};
use xmpp::ns;

use crate::world::{ROOM, World};

fn room() -> String {
    ROOM.to_owned()
}

fn of_version(version: &str, stress_level: f64) -> BridgeStats {
    BridgeStats {
        drain: Some(false),
        stress_level: Some(stress_level),
        version: Some(version.to_owned()),
        ..BridgeStats::default()
    }
}

/// On which bridge an endpoint is.
fn bridge_of(world: &mut World, nick: &str) -> String {
    let state = world.admin(&AdminRequest::Conference { room: room() }).unwrap();
    let bridge = state["participants"][nick]["bridge"].as_str().unwrap_or_default().to_owned();
    bridge.rsplit('/').next().unwrap_or_default().to_owned()
}

#[test]
fn counts_for_monitoring_under_the_names_of_jicofo() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let stats = world.admin(&AdminRequest::Stats).unwrap();
    for (pointer, value) in [
        ("/conferences", json!(1)),
        ("/participants", json!(2)),
        ("/total_participants", json!(2)),
        ("/total_conferences_created", json!(1)),
        ("/largest_conference", json!(2)),
        ("/endpoint_pairs", json!(4)),
        ("/conference_sizes/2", json!(1)),
        ("/bridge_selector/bridge_count", json!(1)),
        ("/bridge_selector/operational_bridge_count", json!(1)),
        ("/bridge_failures/participants_moved", json!(0)),
        ("/jingle/sent/session-initiate", json!(2)),
        ("/jingle/received/session-accept", json!(2)),
        ("/healthy", json!(true)),
    ] {
        assert_eq!(stats.pointer(pointer), Some(&value), "{pointer}");
    }
    world.remove_bridge("jvb-1");
    let stats = world.admin(&AdminRequest::Stats).unwrap();
    assert_eq!(stats.pointer("/bridge_selector/lost_bridges"), Some(&json!(1)));
    assert_eq!(stats.pointer("/bridge_failures/participants_moved"), Some(&json!(2)));
    assert_eq!(stats.pointer("/health/message"), Some(&json!("No operational bridges available")));
}

#[test]
fn shows_the_state_of_conferences_and_bridges() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    assert_eq!(world.admin(&AdminRequest::Conferences), Ok(json!([ROOM])));
    let brief = world.admin(&AdminRequest::Debug { full: false }).unwrap();
    assert_eq!(brief["focus_manager"][ROOM], json!(2));
    let bridges = brief["bridge_selector"]["bridge"].as_object().unwrap();
    let state = bridges.values().next().unwrap();
    assert_eq!((&state["endpoints"], &state["operational"], &state["region"]), (&json!(2), &json!(true), &json!("eu")));
    let full = world.admin(&AdminRequest::Debug { full: true }).unwrap();
    assert_eq!(full["focus_manager"], world.admin(&AdminRequest::ConferencesFull).unwrap());
    let state = world.admin(&AdminRequest::Conference { room: room() }).unwrap();
    assert_eq!((&state["phase"], &state["participants"]["aaaa1111"]["session"]), (&json!("active"), &json!("active")));
    let other = AdminRequest::Conference { room: "other@muc.meet.jitsi".to_owned() };
    assert_eq!(world.admin(&other), Ok(json!({})));
    let bad = AdminRequest::Conference { room: "not a room".to_owned() };
    assert_eq!(world.admin(&bad), Err(AdminError::InvalidConference));
    assert!(!full.to_string().contains("real@"), "who they are is nobody's business");
}

#[test]
fn rtcstats_see_only_conferences_that_allow_it() {
    let mut world = World::new();
    world.request();
    assert_eq!(world.admin(&AdminRequest::RtcStats), Ok(json!({})));
    let mut world = World::new();
    world.meeting_id = Some("meeting".to_owned());
    let mut request = jitsi_protocol::conference_request::ConferenceRequest::new(ROOM.parse().unwrap());
    request.properties.insert("rtcstatsEnabled".to_owned(), "true".to_owned());
    world.request_with(request);
    assert!(world.admin(&AdminRequest::RtcStats).unwrap()["meeting"].is_object());
}

fn moved(endpoints: usize, conferences: usize) -> Result<Value, AdminError> {
    Ok(json!({ "movedEndpoints": endpoints, "conferences": conferences }))
}

#[test]
fn a_conference_moves_off_a_bridge_and_comes_back_by_itself_never() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let one = AdminRequest::MoveEndpoint { conference: room(), endpoint: "aaaa1111".to_owned(), bridge: None };
    assert_eq!(world.admin(&one), moved(0, 0), "there is no other bridge");
    world.add_bridge_with("jvb-2", of_version("1", 0.7));
    world.client("aaaa1111").told.clear();
    assert_eq!(world.admin(&one), moved(2, 1), "all of it: it has one bridge");
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-terminate", "session-initiate"]);
    assert_eq!(bridge_of(&mut world, "bbbb2222"), "jvb-2");
    world.join("cccc3333");
    assert_eq!(bridge_of(&mut world, "cccc3333"), "jvb-2");
    let story = world.bridge("jvb-1").story();
    assert_eq!(story.last().map(String::as_str), Some("expire"));
}

#[test]
fn so_many_endpoints_move_as_are_asked_for() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222", "cccc3333"]);
    world.add_bridge("jvb-2");
    let some = |bridge: &str, conference: Option<String>, count| AdminRequest::MoveEndpoints {
        bridge: bridge.to_owned(),
        conference,
        count,
    };
    assert_eq!(world.admin(&some("jvb-1", None, 0)), moved(0, 0));
    assert_eq!(world.admin(&some("jvb-1", None, 1)), moved(3, 1));
    assert_eq!(world.admin(&some("jvb-1", None, 1)), moved(0, 0), "nobody is left");
    assert_eq!(world.admin(&some("jvb-2", Some(room()), 3)), moved(3, 1));
    let fraction = |fraction| AdminRequest::MoveFraction { bridge: "jvb-1".to_owned(), fraction };
    assert_eq!(world.admin(&fraction(0.1)), moved(0, 0), "a tenth of three is nobody");
    assert_eq!(world.admin(&fraction(0.5)), moved(3, 1));
    assert_eq!(world.admin(&fraction(f64::NAN)), Err(AdminError::InvalidFraction));
    assert_eq!(world.admin(&some("jvb-9", None, 1)), Err(AdminError::BridgeNotFound));
    let elsewhere = Some("other@muc.meet.jitsi".to_owned());
    assert_eq!(world.admin(&some("jvb-1", elsewhere, 1)), Err(AdminError::ConferenceNotFound));
}

#[test]
fn a_pinned_conference_waits_for_its_version() {
    let mut world = World::new();
    world.add_bridge_with("old", of_version("2.3", 0.1));
    let pin = |version: &str, minutes| AdminRequest::Pin { conference: room(), version: version.to_owned(), minutes };
    assert_eq!(world.admin(&pin("2.4", 10)), Ok(Value::Null));
    let pins = world.admin(&AdminRequest::Pins).unwrap();
    let expected = json!([{ "conferenceId": ROOM, "jvbVersion": "2.4", "expiresAt": "1970-01-01T00:10:00.000Z" }]);
    assert_eq!(pins, expected);
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.room_presence().child("bridgeNotAvailable", ns::FOCUS).is_some());
    world.add_bridge_with("new", of_version("2.4", 0.9));
    assert_eq!(bridge_of(&mut world, "aaaa1111"), "new");
    assert_eq!(world.admin(&AdminRequest::Unpin { conference: room() }), Ok(Value::Null));
    assert_eq!(world.admin(&AdminRequest::Pins), Ok(json!([])));
    assert_eq!(world.admin(&pin("2.4", u64::MAX)), Err(AdminError::CannotPin));
}
