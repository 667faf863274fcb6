//! Conferences over several bridges: who is where, how bridges are linked, and what each is told of the others.

use std::collections::BTreeSet;

use focus::{AdminRequest, SelectionStrategy, Settings};
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{ColibriError, ForceMute, Reason};
use model::MediaType;
use serde_json::json;
use xmpp::jingle::Action;
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{BREWERY_2, FakeClient, Manner, ROOM, World, relay_stats};

/// A requested room and bridges that relay to each other, each in a region of its own name.
pub(crate) fn cascade_with(strategy: SelectionStrategy, bridges: &[&str], change: impl FnOnce(&mut Settings)) -> World {
    let mut world = World::with_settings(|settings| {
        settings.selection.strategy = strategy;
        settings.selection.cascading = true;
        change(settings);
    });
    for bridge in bridges {
        world.add_relay_bridge(bridge, bridge);
    }
    world.request();
    world
}

/// One more of the conference on each bridge in turn: `a` on the first of `bridges`, and so on.
pub(crate) fn call(bridges: &[&str], nicks: &[&str]) -> World {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, bridges, |_| {});
    for nick in nicks {
        world.join(nick);
    }
    for nick in nicks {
        world.accept(nick).unwrap();
    }
    world.check_mesh("the call began");
    world
}

/// On which bridge an endpoint is.
pub(crate) fn home(world: &World, nick: &str) -> String {
    let has =
        |bridge: &crate::world::FakeBridge| bridge.meetings.values().any(|known| known.endpoints.contains_key(nick));
    let homes: Vec<&String> = world.bridges.iter().filter(|(_, bridge)| has(bridge)).map(|(nick, _)| nick).collect();
    assert_eq!(homes.len(), 1, "{nick} is on {homes:?}");
    homes.into_iter().cloned().collect()
}

fn clear(world: &mut World) {
    world.bridges.values_mut().for_each(|bridge| bridge.requests.clear());
    world.clients.values_mut().for_each(|client| client.told.retain(|told| told.action == Action::SessionInitiate));
}

#[test]
fn two_bridges_are_linked_and_told_of_each_others_endpoints() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    assert_eq!(home(&world, "aaaa1111"), "jvb-1");
    assert_eq!(home(&world, "bbbb2222"), "jvb-2");
    assert!(world.room_presence().to_string().contains("key='bridge-count' value='2'"));
    let first = world.bridge("jvb-1").relay_story();
    assert_eq!(first, ["+relay-jvb-2", "relay-jvb-2~", "relay-jvb-2:+bbbb2222"]);
    let second = world.bridge("jvb-2").relay_story();
    assert_eq!(second, ["+relay-jvb-1", "relay-jvb-1~", "relay-jvb-1:+aaaa1111", "relay-jvb-1:+cccc3333"]);
    // The one that was there first begins; the fingerprints say who is which side of DTLS (see the world's books).
    let create = world.bridge("jvb-1").requests.iter().flat_map(|request| &request.relays).next().cloned().unwrap();
    let transport = create.transport.unwrap();
    assert!(transport.ice_controlling && transport.use_unique_port);
    assert_eq!(transport.sctp.unwrap().role.as_deref(), Some("client"));
    assert_eq!(create.media.len(), 2);
    let known: BTreeSet<u32> =
        world.bridge("jvb-1").meetings.values().next().unwrap().relays["relay-jvb-2"].endpoints["bbbb2222"].clone();
    assert_eq!(known, world.client("bbbb2222").sent);
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.leave(nick);
    }
    assert!(world.bridges.values().all(|bridge| bridge.meetings.is_empty()));
    assert!(world.bridges.values().all(|bridge| bridge.violations.is_empty()));
}

#[test]
fn changes_of_sources_are_told_everywhere_and_force_mutes_at_home() {
    let mut world = call(&["jvb-1", "jvb-2", "jvb-3"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    clear(&mut world);
    let mut add = world.client("bbbb2222").message(Action::SourceAdd);
    add.contents = vec![world.client("bbbb2222").content(MediaType::Video, "v1", &[77], vec![])];
    world.client("bbbb2222").sent.insert(77);
    world.jingle("bbbb2222", &add).unwrap();
    world.check_mesh("a source was added");
    for other in ["jvb-1", "jvb-3"] {
        assert_eq!(world.bridge(other).relay_story(), ["relay-jvb-2:bbbb2222"], "{other}");
    }
    add.action = Action::SourceRemove;
    world.client("bbbb2222").sent.remove(&77);
    world.jingle("bbbb2222", &add).unwrap();
    world.check_mesh("and removed");

    clear(&mut world);
    let moderation = Element::new("json-message", ns::JITMEET).with_text(
        json!({ "type": "av_moderation", "room": ROOM, "enabled": true, "mediaType": "audio", "actor": format!("{ROOM}/aaaa1111") })
            .to_string(),
    );
    let message = Element::new("message", ns::CLIENT).with_attr("from", "avmoderation.meet.jitsi");
    world.stanza(message.with_child(moderation));
    let muted = Some(ForceMute { audio: true, video: false });
    assert_eq!(world.bridge("jvb-2").last_of("bbbb2222").force_mute, muted);
    assert_eq!(world.bridge("jvb-3").last_of("cccc3333").force_mute, muted);
    assert!(world.bridges.values().all(|bridge| bridge.relay_story().is_empty()), "no affair of other bridges");

    clear(&mut world);
    world.leave("bbbb2222");
    for other in ["jvb-1", "jvb-3"] {
        assert_eq!(world.bridge(other).relay_story(), ["-relay-jvb-2"], "with its last endpoint a bridge is out");
    }
    world.check_mesh("the only one on a bridge left");
    world.join("dddd4444");
    world.accept("dddd4444").unwrap();
    assert_eq!(home(&world, "dddd4444"), "jvb-2", "the next one brings it back");
    world.join("eeee5555");
    world.accept("eeee5555").unwrap();
    world.check_mesh("two more came");
    let shared = home(&world, "eeee5555");
    clear(&mut world);
    world.leave("eeee5555");
    world.check_mesh("one of two on a bridge left");
    let others = world.bridges.iter().filter(|(nick, _)| **nick != shared);
    let told = others.map(|(_, bridge)| bridge.relay_story()).collect::<Vec<_>>();
    assert_eq!(told, vec![vec![format!("relay-{shared}:-eeee5555")]; 2]);
}

#[test]
fn who_loses_his_voice_later_is_still_known_everywhere() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    world.client("bbbb2222").role = "visitor";
    let presence = world.client("bbbb2222").presence();
    world.stanza(presence);
    let mut add = world.client("bbbb2222").message(Action::SourceAdd);
    add.contents = vec![world.client("bbbb2222").content(MediaType::Video, "v1", &[77], vec![])];
    world.client("bbbb2222").sent.insert(77);
    world.jingle("bbbb2222", &add).unwrap();
    world.check_mesh("a role changed");
    let one = AdminRequest::MoveEndpoint { conference: ROOM.to_owned(), endpoint: "bbbb2222".to_owned(), bridge: None };
    world.admin(&one).unwrap();
    assert_eq!(world.bridge("jvb-1").last_of("bbbb2222").muc_role, None, "it still sends");
}

#[test]
fn a_bridge_that_joins_late_is_linked_with_all_and_told_of_all() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    clear(&mut world);
    world.add_relay_bridge("jvb-3", "jvb-3");
    assert!(world.bridge("jvb-3").requests.is_empty(), "nobody moves for it");
    world.join("dddd4444");
    world.check_mesh("one is invited to a new bridge");
    assert_eq!(world.bridge("jvb-3").story(), ["create", "+dddd4444"]);
    let story = world.bridge("jvb-3").relay_story();
    let created: BTreeSet<_> = story.iter().filter(|step| step.starts_with('+')).map(String::as_str).collect();
    assert_eq!(created, BTreeSet::from(["+relay-jvb-1:+aaaa1111,+cccc3333", "+relay-jvb-2:+bbbb2222"]));
    world.accept("dddd4444").unwrap();
    world.check_mesh("and accepted");
    assert!(world.room_presence().to_string().contains("key='bridge-count' value='3'"));
    let others_heard =
        |nick: &str| world.clients[nick].told.iter().filter(|told| told.action == Action::SourceAdd).count();
    assert_eq!(["aaaa1111", "bbbb2222", "cccc3333"].map(others_heard), [1, 1, 1]);
}

#[test]
fn endpoints_go_to_their_region_and_no_bridge_gets_too_many() {
    let limits = |settings: &mut Settings| settings.bridge.max_participants = Some(2);
    let mut world = cascade_with(SelectionStrategy::RegionBased, &["eu", "us"], limits);
    world.add_relay_bridge("eu-2", "eu");
    for (nick, region) in
        [("aaaa1111", "eu"), ("bbbb2222", "us"), ("cccc3333", "eu"), ("dddd4444", "eu"), ("eeee5555", "mars")]
    {
        world.join_from(nick, region);
    }
    for nick in ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444", "eeee5555"] {
        world.accept(nick).unwrap();
        world.check_mesh(nick);
    }
    let homes = ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"].map(|nick| home(&world, nick));
    assert_eq!(homes[1], "us");
    assert_eq!(homes[0], homes[2], "both in the first one of their region");
    assert!(homes[0].starts_with("eu") && homes[3].starts_with("eu") && homes[3] != homes[0], "{homes:?}");
    let session = world.client("bbbb2222").offer().extension("bridge-session", ns::FOCUS).cloned().unwrap();
    assert_eq!(session.attr("region"), Some("us"));
}

#[test]
fn without_cascading_or_relay_ids_a_conference_has_one_bridge() {
    let off = |settings: &mut Settings| settings.selection.cascading = false;
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2"], off);
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.bridge("jvb-2").requests.is_empty());

    let mut world = cascade_with(SelectionStrategy::SplitBridge, &[], |_| {});
    let nameless = BridgeStats { relay_id: None, ..relay_stats("x", "x") };
    world.add_bridge_with("jvb-1", nameless.clone());
    world.add_bridge_with("jvb-2", BridgeStats { stress_level: Some(0.5), ..nameless });
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.bridge("jvb-2").requests.is_empty());

    let mut world = cascade_with(SelectionStrategy::SingleBridge, &["jvb-1", "jvb-2"], |_| {});
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.bridge("jvb-2").requests.is_empty());
}

#[test]
fn bridges_without_data_channels_open_one_web_socket() {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2"], |settings| {
        settings.selection.relay_sctp = false;
    });
    world.join("aaaa1111");
    world.join("bbbb2222");
    let told = |world: &mut World, bridge: &str| {
        let relays = world.bridge(bridge).requests.iter().flat_map(|request| &request.relays);
        let transports: Vec<_> = relays.filter_map(|relay| relay.transport.clone()).collect();
        assert!(transports.iter().all(|transport| transport.sctp.is_none()));
        transports
            .into_iter()
            .filter_map(|transport| transport.ice)
            .map(|ice| ice.web_sockets.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut world, "jvb-1"), [1]);
    assert_eq!(told(&mut world, "jvb-2"), [0]);
}

/// Three on three bridges; the second one goes away in some way. Its participant gets another bridge, and nobody else hears
/// more of it than that.
fn lose_the_second(lose: impl FnOnce(&mut World)) {
    let mut world = call(&["jvb-1", "jvb-2", "jvb-3"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    clear(&mut world);
    let before = world.client("bbbb2222").bridge_session();
    lose(&mut world);
    world.accept("bbbb2222").unwrap();
    world.check_mesh("a bridge was lost");
    assert_ne!(home(&world, "bbbb2222"), "jvb-2");
    assert_ne!(world.client("bbbb2222").bridge_session(), before);
    let actions = world.client("bbbb2222").take_actions();
    assert_eq!(actions[..3], ["session-initiate", "session-terminate", "session-initiate"]);
    for (own, other) in [("jvb-1", "jvb-3"), ("jvb-3", "jvb-1")] {
        let story = world.bridge(own).relay_story();
        assert!(story.contains(&"-relay-jvb-2".to_owned()), "{story:?}");
        let touched: Vec<_> =
            story.iter().filter(|step| !step.contains("jvb-2") && !step.contains("bbbb2222")).collect();
        assert!(touched.is_empty(), "{own} and {other} go on as they were: {touched:?}");
    }
    for nick in ["aaaa1111", "cccc3333"] {
        let actions = world.client(nick).take_actions();
        assert_eq!(actions, ["session-initiate", "source-remove", "source-add"], "{nick} keeps its session");
    }
}

#[test]
fn only_those_on_a_lost_bridge_move() {
    lose_the_second(|world| world.remove_bridge("jvb-2"));
    lose_the_second(|world| {
        world.bridge_says("jvb-2", BridgeStats { shutting_down: Some(true), ..BridgeStats::default() });
    });
    lose_the_second(|world| {
        let error = ColibriError::new(Condition::InternalServerError, None, "");
        world.bridge("jvb-2").manner = Manner::Refusing(error);
        let mut info = world.client("bbbb2222").message(Action::TransportInfo);
        info.contents = world.client("bbbb2222").session_accept().contents;
        world.jingle("bbbb2222", &info).unwrap();
        // It is told to forget the conference, but does not keep books any more.
        world.bridge("jvb-2").meetings.clear();
    });
}

#[test]
fn an_unwell_bridge_is_left_by_its_participants_only() {
    let checks = |settings: &mut Settings| settings.timers.health_check = Some(std::time::Duration::from_secs(10));
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2", "jvb-3"], checks);
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.join(nick);
    }
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.accept(nick).unwrap();
    }
    world.bridge("jvb-2").health = Some(StanzaError::new(Condition::InternalServerError));
    world.seconds(10);
    world.accept("bbbb2222").unwrap();
    world.check_mesh("a bridge is not well");
    assert_ne!(home(&world, "bbbb2222"), "jvb-2");
    world.bridge("jvb-2").health = None;
    world.seconds(60);
    world.join("dddd4444");
    world.accept("dddd4444").unwrap();
    assert_eq!(home(&world, "dddd4444"), "jvb-2", "it is well again, and forgiven");
    world.check_mesh("and back");
}

#[test]
fn a_bridge_that_comes_back_with_an_old_state_is_cleaned_first() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    let old = world.bridges.get("jvb-2").unwrap().meetings.clone();
    world.remove_bridge("jvb-2");
    world.accept("bbbb2222").unwrap();
    // Its stream broke, its conferences went on.
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.bridge("jvb-2").meetings = old;
    world.join("cccc3333");
    let violations = std::mem::take(&mut world.bridge("jvb-2").violations);
    assert_eq!(violations.len(), 2, "the first requests, for an endpoint and a link, find out: {violations:?}");
    world.accept("cccc3333").unwrap();
    world.check_mesh("a bridge came back");
}

/// What happens when the second bridge answers requests for relays like this.
fn refuse_relays(manner: Manner, seconds: u64) -> World {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2"], |_| {});
    world.bridge("jvb-2").manner = manner;
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
    }
    world.seconds(seconds);
    world
}

#[test]
fn a_bridge_that_does_not_relay_gets_no_part_of_a_conference() {
    let error = ColibriError::new(Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented), "off");
    let mut world = refuse_relays(Manner::RefusingRelays(error), 1);
    assert_eq!(home(&world, "bbbb2222"), "jvb-1");
    let asked = world.bridge("jvb-2").requests.len();
    world.join("cccc3333");
    assert_eq!(world.bridge("jvb-2").requests.len(), asked, "not asked again");
    assert!(world.bridge("jvb-1").violations.is_empty());
    let linked = world.bridge("jvb-1").meetings.values().next().unwrap().relays.len();
    assert_eq!(linked, 0, "the link of the other side is ended");
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.accept(nick).unwrap();
    }
}

#[test]
fn a_bridge_that_does_not_relay_keeps_a_conference_of_which_it_has_most() {
    let mut world = call(&["jvb-1"], &["aaaa1111", "bbbb2222"]);
    let error = ColibriError::new(Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented), "off");
    world.bridge("jvb-1").manner = Manner::RefusingRelays(error);
    clear(&mut world);
    world.add_relay_bridge("jvb-2", "jvb-2");
    world.join("cccc3333");
    assert_eq!(world.bridge("jvb-1").story(), ["+cccc3333"]);
    assert!(world.bridge("jvb-2").meetings.is_empty(), "it was tried, and given up");
    let keep = ["aaaa1111", "bbbb2222"].map(|nick| world.client(nick).take_actions());
    assert_eq!(keep, [["session-initiate"], ["session-initiate"]]);
}

#[test]
fn a_conference_for_which_two_bridges_have_no_link_left_stays_on_one() {
    let mut world = call(&["jvb-1"], &["aaaa1111", "bbbb2222"]);
    let error = ColibriError::new(Condition::ResourceConstraint, None, "no more links");
    world.bridge("jvb-1").manner = Manner::RefusingRelays(error);
    clear(&mut world);
    world.add_relay_bridge("jvb-2", "jvb-2");
    for nick in ["cccc3333", "dddd4444"] {
        world.join(nick);
    }
    assert_eq!(world.bridge("jvb-1").story(), ["+cccc3333", "+dddd4444"]);
    let second = world.bridge("jvb-2");
    assert!(second.meetings.is_empty(), "it was tried once, and given up");
    assert_eq!(second.story().iter().filter(|step| step.starts_with('+')).count(), 1);
}

#[test]
fn a_failed_relay_costs_a_bridge_its_part_of_the_conference() {
    let internal = || ColibriError::new(Condition::InternalServerError, None, "");
    for (manner, seconds) in
        [(Manner::RefusingRelays(internal()), 30), (Manner::SilentRelays, 30), (Manner::WithoutRelayTransport, 30)]
    {
        let mut world = refuse_relays(manner.clone(), seconds);
        let story = world.bridge("jvb-2").story();
        assert!(story.len() < 30, "{manner:?}: not without end: {story:?}");
        assert!(story.contains(&"expire".to_owned()), "{manner:?}");
        world.bridge("jvb-2").manner = Manner::Fine;
        world.seconds(90);
        for nick in ["aaaa1111", "bbbb2222"] {
            assert!(world.client(nick).has_offer(), "{manner:?}");
            world.accept(nick).unwrap();
        }
        let jvb_1 = world.bridge("jvb-1");
        assert!(jvb_1.violations.is_empty(), "{manner:?}: {:?}", jvb_1.violations);
    }
}

#[test]
fn an_endpoint_that_another_bridge_lost_is_invited_again() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    let mut lost = ColibriError::new(Condition::ItemNotFound, Some(Reason::UnknownEndpoint), "");
    lost.endpoint = Some("bbbb2222".parse().unwrap());
    world.bridge("jvb-1").manner = Manner::RefusingUpdates(lost);
    clear(&mut world);
    let mut add = world.client("bbbb2222").message(Action::SourceAdd);
    add.contents = vec![world.client("bbbb2222").content(MediaType::Video, "v1", &[77], vec![])];
    world.jingle("bbbb2222", &add).unwrap();
    let actions = world.client("bbbb2222").take_actions();
    assert_eq!(actions, ["session-initiate", "session-terminate", "session-initiate"]);
    assert_eq!(world.client("aaaa1111").take_actions()[0], "session-initiate", "who was not meant keeps its session");
}

#[test]
fn a_lost_answer_about_a_relay_moves_nobody() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    clear(&mut world);
    world.bridge("jvb-1").manner = Manner::Silent;
    let mut add = world.client("bbbb2222").message(Action::SourceAdd);
    add.contents = vec![world.client("bbbb2222").content(MediaType::Video, "v1", &[77], vec![])];
    world.jingle("bbbb2222", &add).unwrap();
    world.seconds(20);
    assert!(world.clients.values_mut().all(|client| !client.take_actions().contains(&"session-terminate")));
}

#[test]
fn everything_ends_on_all_bridges_with_the_conference() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    world.leave("bbbb2222");
    world.seconds(30);
    assert!(world.bridges.values().all(|bridge| bridge.meetings.is_empty()), "a single participant needs none");
    world.join("cccc3333");
    for nick in ["aaaa1111", "cccc3333"] {
        world.accept(nick).unwrap();
    }
    world.check_mesh("they are two again");
}

#[test]
fn operators_see_links_between_bridges() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222"]);
    let state = world.admin(&AdminRequest::Conference { room: ROOM.to_owned() }).unwrap();
    let sessions = state["colibri_sessions"].as_array().unwrap();
    let relays: Vec<_> = sessions.iter().map(|session| session["relays"].clone()).collect();
    assert_eq!(relays[0]["relay-jvb-2"]["endpoints"], json!(1));
    assert_eq!(relays[0]["relay-jvb-2"]["dtls_setup"], json!("active"));
    assert_eq!(relays[1]["relay-jvb-1"]["connected"], json!(true));
    let debug = world.admin(&AdminRequest::Debug { full: false }).unwrap();
    assert_eq!(debug["bridge_selector"]["strategy"], json!("SplitBridgeSelectionStrategy"));
    let bridges = debug["bridge_selector"]["bridge"].as_object().unwrap();
    assert!(bridges.values().all(|bridge| bridge["conferences"] == json!(1) && bridge["endpoints"] == json!(1)));
    // What `teranga bridges` reads.
    for key in ["region", "version", "release", "relay-id", "corrected-stress", "operational", "healthy", "drain"] {
        assert!(bridges.values().all(|bridge| bridge.get(key).is_some()), "{key}");
    }
    for key in ["graceful-shutdown", "shutting-down", "failing-ice", "overloaded"] {
        assert!(bridges.values().all(|bridge| bridge[key] == json!(false)), "{key}");
    }
}

#[test]
fn bridges_of_several_breweries_are_one_pool() {
    let more = |settings: &mut Settings| settings.more_breweries = vec![BREWERY_2.parse().unwrap()];
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1"], more);
    world.add_bridge_at(BREWERY_2, "jvb-2", relay_stats("jvb-2", "x"));
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
    }
    for nick in ["aaaa1111", "bbbb2222"] {
        world.accept(nick).unwrap();
    }
    world.check_mesh("two breweries");
    assert_eq!(home(&world, "bbbb2222"), "jvb-2");
    let mut gone =
        crate::world::presence_of(&format!("{BREWERY_2}/focus"), "none", "none", "focus@auth.meet.jitsi/focus");
    gone.set_attr("type", "unavailable");
    world.stanza(gone);
    world.bridges.remove("jvb-2");
    world.accept("bbbb2222").unwrap();
    assert_eq!(home(&world, "bbbb2222"), "jvb-1", "one room is lost, the other is not");
    world.check_mesh("one brewery");
}

#[test]
fn a_restart_of_ice_fails_over_to_another_bridge_of_the_conference() {
    let mut world = call(&["jvb-1", "jvb-2"], &["aaaa1111", "bbbb2222", "cccc3333"]);
    let client: &mut FakeClient = world.client("cccc3333");
    let mut message = client.message(Action::SessionInfo);
    message.extensions.push(Element::new("ice-state", ns::FOCUS).with_text("failed"));
    let id = Some(client.bridge_session());
    let session = jitsi_protocol::bridge_session::BridgeSession { id, ..Default::default() };
    message.extensions.push(session.to_element());
    world.jingle("cccc3333", &message).unwrap();
    world.accept("cccc3333").unwrap();
    world.check_mesh("ICE failed for one");
    assert_eq!(home(&world, "cccc3333"), "jvb-1", "the one with the fewest");
}
