//! Bridges that come, go and fail.

use std::time::Duration;

use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{ColibriError, Reason};
use xmpp::{Condition, StanzaError, ns};

use crate::world::{Manner, World};

fn refusing(condition: Condition, reason: Option<Reason>) -> Manner {
    Manner::Refusing(ColibriError::new(condition, reason, "no"))
}

/// Two participants, neither invited yet, and what happens when the only bridge behaves like this.
fn invited_by(manner: Manner) -> World {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.bridge("jvb-1").manner = manner;
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    world
}

fn has_offers(world: &World) -> bool {
    world.clients.values().all(|client| client.has_offer())
}

fn says_no_bridge(world: &World) -> bool {
    world.room_presence().child("bridgeNotAvailable", ns::FOCUS).is_some()
}

#[test]
fn without_a_bridge_the_room_is_told_and_a_new_one_is_used_at_once() {
    let mut world = World::new();
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(says_no_bridge(&world) && !has_offers(&world));
    world.add_bridge("jvb-1");
    assert!(has_offers(&world) && !says_no_bridge(&world));
    assert!(world.room_presence().to_string().contains("key='bridge-count' value='1'"));
}

#[test]
fn a_bridge_that_says_nothing_of_itself_is_a_last_resort() {
    let mut world = World::new();
    world.add_bridge_with("jvb-1", BridgeStats::default());
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(has_offers(&world), "better than none");
}

#[test]
fn a_bridge_that_leaves_moves_everybody() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.add_bridge("jvb-2");
    let old = world.client("aaaa1111").bridge_session();
    world.clients.values_mut().for_each(|client| client.told.clear());
    world.remove_bridge("jvb-1");
    for nick in ["aaaa1111", "bbbb2222"] {
        let terminated = world.client(nick).told.iter().find_map(|told| told.reason.clone()).unwrap();
        assert_eq!((terminated.condition.as_str(), terminated.text.as_deref()), ("success", Some("moving")));
        world.accept(nick).unwrap();
    }
    assert_ne!(world.client("aaaa1111").bridge_session(), old);
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222", "aaaa1111", "bbbb2222"]);
    let told = world.client("aaaa1111").take_actions();
    assert_eq!(told, ["session-terminate", "session-initiate", "source-add"]);
}

#[test]
fn a_bridge_that_shuts_down_moves_everybody() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.add_bridge("jvb-2");
    let down = BridgeStats { shutting_down: Some(true), ..BridgeStats::default() };
    world.bridge_says("jvb-1", down);
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222"]);
}

#[test]
fn a_bridge_in_graceful_shutdown_keeps_what_it_has() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.add_bridge("jvb-2");
    let closing = BridgeStats { graceful_shutdown: Some(true), ..BridgeStats::default() };
    world.bridge_says("jvb-1", closing);
    world.join("cccc3333");
    assert!(world.bridge("jvb-2").requests.is_empty());
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("+cccc3333"));
}

#[test]
fn a_silent_bridge_is_left_and_tried_again_when_forgotten() {
    let mut world = invited_by(Manner::Silent);
    world.seconds(14);
    world.add_bridge("jvb-2");
    assert!(!has_offers(&world));
    world.seconds(1);
    assert!(has_offers(&world));
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222"]);

    let mut world = invited_by(Manner::Silent);
    world.seconds(15);
    assert!(says_no_bridge(&world));
    world.bridge("jvb-1").manner = Manner::Fine;
    world.seconds(59);
    assert!(!has_offers(&world));
    world.seconds(1);
    assert!(has_offers(&world), "a failure is remembered for a minute");
}

#[test]
fn a_bad_request_is_not_repeated() {
    let mut world = invited_by(refusing(Condition::BadRequest, Some(Reason::Unspecified)));
    world.add_bridge("jvb-2");
    world.seconds(300);
    assert!(!has_offers(&world));
    assert_eq!(world.bridge("jvb-1").requests.len(), 2, "one for each, no more");
    assert!(world.bridge("jvb-2").requests.is_empty(), "another bridge would refuse it too");
}

#[test]
fn an_occupant_that_is_gone_is_asked_rarely_and_serves_when_it_is_back() {
    let mut world = invited_by(refusing(Condition::ItemNotFound, None));
    world.seconds(300);
    let tried = world.bridge("jvb-1").requests.len();
    assert!((3..30).contains(&tried), "{tried}");
    world.bridge("jvb-1").manner = Manner::Fine;
    world.seconds(60);
    assert!(has_offers(&world));
}

#[test]
fn other_refusals_lead_to_another_bridge() {
    for (condition, reason) in [
        (Condition::InternalServerError, None),
        (Condition::ItemNotFound, None),
        (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented)),
        (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)),
    ] {
        let mut world = World::new();
        let busy = BridgeStats { drain: Some(false), stress_level: Some(0.5), ..BridgeStats::default() };
        world.add_bridge("jvb-1");
        world.add_bridge_with("jvb-2", busy);
        world.bridge("jvb-1").manner = refusing(condition, reason);
        world.request();
        world.join("aaaa1111");
        world.join("bbbb2222");
        assert!(has_offers(&world), "{condition:?}");
        assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222"], "{condition:?}");
    }
}

#[test]
fn a_conference_that_exists_already_is_made_anew() {
    let mut world = invited_by(refusing(Condition::Conflict, Some(Reason::ConferenceAlreadyExists)));
    let tried = world.bridge("jvb-1").requests.len();
    assert!(tried < 60, "not without end: {tried}");
    assert!(world.bridge("jvb-1").story().contains(&"expire".to_owned()), "what is stale is removed first");
    world.bridge("jvb-1").manner = Manner::Fine;
    world.seconds(60);
    assert!(has_offers(&world));
}

#[test]
fn an_answer_without_transport_or_data_channel_is_of_no_use() {
    for manner in [Manner::WithoutTransport, Manner::WithoutSctp, Manner::Babbling] {
        let mut world = invited_by(manner.clone());
        world.seconds(300);
        assert!(!has_offers(&world), "{manner:?}");
        let story = world.bridge("jvb-1").story();
        assert!(story.len() <= 6, "not repeated: {story:?}");
    }
}

#[test]
fn an_endpoint_that_the_bridge_lost_is_invited_again() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let mut lost = ColibriError::new(Condition::ItemNotFound, Some(Reason::UnknownEndpoint), "");
    lost.endpoint = Some("aaaa1111".parse().unwrap());
    world.bridge("jvb-1").manner = Manner::RefusingUpdates(lost);
    world.clients.values_mut().for_each(|client| client.told.truncate(1));
    let mut info = world.client("aaaa1111").message(xmpp::jingle::Action::TransportInfo);
    info.contents = world.client("aaaa1111").session_accept().contents;
    world.jingle("aaaa1111", &info).unwrap();
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-initiate", "session-terminate", "session-initiate"]);
    assert_eq!(world.client("bbbb2222").take_actions(), ["session-initiate", "source-remove"]);
}

#[test]
fn a_refused_update_moves_everybody_and_a_lost_answer_nobody() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.bridge("jvb-1").manner = Manner::Silent;
    let mut info = world.client("aaaa1111").message(xmpp::jingle::Action::TransportInfo);
    info.contents = world.client("aaaa1111").session_accept().contents;
    world.clients.values_mut().for_each(|client| client.told.clear());
    world.jingle("aaaa1111", &info).unwrap();
    world.seconds(20);
    assert!(world.clients.values().all(|client| client.told.is_empty()));
    let error = ColibriError::new(Condition::ItemNotFound, Some(Reason::ConferenceNotFound), "");
    world.bridge("jvb-1").manner = Manner::RefusingUpdates(error);
    world.jingle("aaaa1111", &info).unwrap();
    assert!(has_offers(&world), "both have a new session");
}

#[test]
fn losing_the_brewery_moves_nobody_to_nowhere_and_it_is_joined_again() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let mut gone = crate::world::presence_of(
        &format!("{}/focus", crate::world::BREWERY),
        "none",
        "none",
        "focus@auth.meet.jitsi/focus",
    );
    gone.set_attr("type", "unavailable");
    world.stanza(gone);
    assert!(says_no_bridge(&world));
    world.clients.values_mut().for_each(|client| client.told.clear());
    world.seconds(5);
    assert!(has_offers(&world), "the bridge is found again after the next join");
}

#[test]
fn health_checks_find_a_bridge_that_is_not_well() {
    let mut world = World::with_settings(|settings| settings.timers.health_check = Some(Duration::from_secs(10)));
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.seconds(35);
    assert_eq!(world.bridge("jvb-1").health_checks, 3);
    world.clients.values_mut().for_each(|client| client.told.clear());

    // Silence moves nobody. Who comes is not sent to another bridge, alone; that it is in vain here moves everybody.
    world.bridge("jvb-1").manner = Manner::Silent;
    world.seconds(60);
    assert!(world.clients.values().all(|client| client.told.is_empty()));
    world.add_bridge("jvb-2");
    world.join("cccc3333");
    assert!(world.bridge("jvb-2").requests.is_empty());
    world.seconds(15);
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222", "+cccc3333"]);

    // The bridge's own word moves everybody.
    world.bridge("jvb-2").health = Some(StanzaError::new(Condition::InternalServerError));
    world.add_bridge("jvb-3");
    world.seconds(10);
    assert!(world.bridge("jvb-3").story().contains(&"+cccc3333".to_owned()));
}

#[test]
fn a_bridge_without_data_channels_is_asked_for_none_from_then_on() {
    let mut world = invited_by(Manner::RefusingSctp);
    assert!(has_offers(&world), "the bridge has not failed");
    let has_data = |world: &mut World, nick: &str| {
        world.client(nick).offer().contents.iter().any(|content| content.name == "data")
    };
    assert!(!has_data(&mut world, "aaaa1111") && !has_data(&mut world, "bbbb2222"));
    for nick in ["aaaa1111", "bbbb2222"] {
        world.accept(nick).unwrap();
    }
    world.bridge("jvb-1").requests.clear();
    world.join("cccc3333");
    let story = world.bridge("jvb-1").story();
    assert_eq!(story, ["+cccc3333"], "not asked in vain again");
    assert!(!has_data(&mut world, "cccc3333"));
    assert!(world.bridge("jvb-1").violations.is_empty());
}

#[test]
fn a_conference_begins_again_on_a_bridge_only_when_that_has_ended_it() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.bridge("jvb-1").manner = Manner::RefusingSctp;
    world.bridge("jvb-1").expires_slowly = true;
    world.request();
    for nick in ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"] {
        world.join(nick);
    }
    let story = world.bridge("jvb-1").story();
    assert_eq!(story.iter().filter(|step| *step == "expire").count(), 1);
    assert_eq!(story.last().map(String::as_str), Some("expire"), "nobody is asked for before it is gone");
    world.leave("dddd4444");
    world.expire_now("jvb-1");
    let story = world.bridge("jvb-1").story();
    let again = story.iter().rposition(|step| step == "create").unwrap();
    assert_eq!(story[again..], ["create", "+aaaa1111", "+bbbb2222", "+cccc3333"]);
    assert!(world.bridge("jvb-1").violations.is_empty(), "{:?}", world.bridge("jvb-1").violations);
    assert!(has_offers(&world));

    // The same when the last one leaves and the next one comes, be the answer lost or the bridge.
    for ends_by in ["answer", "time", "bridge"] {
        let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
        world.bridge("jvb-1").expires_slowly = true;
        world.leave("bbbb2222");
        world.seconds(20);
        world.join("cccc3333");
        assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("expire"));
        match ends_by {
            "answer" => world.expire_now("jvb-1"),
            "time" => {
                world.bridge("jvb-1").expire_now();
                world.seconds(15);
            }
            _ => {
                world.remove_bridge("jvb-1");
                world.add_bridge("jvb-1");
            }
        }
        assert!(world.client("cccc3333").has_offer(), "{ends_by}");
        assert!(world.bridge("jvb-1").violations.is_empty());
    }
}

#[test]
fn a_bridge_that_comes_back_may_have_data_channels() {
    let mut world = invited_by(Manner::RefusingSctp);
    world.remove_bridge("jvb-1");
    world.add_bridge("jvb-1");
    let data = world.client("aaaa1111").offer().contents.iter().any(|content| content.name == "data");
    assert!(data);
}

#[test]
fn a_bridge_is_believed_when_it_says_that_it_is_not_well() {
    let mut world = World::with_settings(|settings| {
        settings.timers.health_by_presence = Some(Duration::from_secs(45));
    });
    let well = BridgeStats { drain: Some(false), healthy: Some(true), ..BridgeStats::default() };
    world.add_bridge_with("jvb-1", well.clone());
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.seconds(30);
    world.add_bridge_with("jvb-2", well.clone());
    world.bridge_says("jvb-1", BridgeStats { healthy: Some(false), ..well.clone() });
    assert_eq!(world.bridge("jvb-2").story(), ["create", "+aaaa1111", "+bbbb2222"]);
    assert_eq!(world.bridge("jvb-1").health_checks, 0, "it is not asked");
    world.seconds(60);
    assert!(says_no_bridge(&world), "silence counts as well");
}
