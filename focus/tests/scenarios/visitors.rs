//! Visitors: who is sent to a node, the rooms there, sessions that only receive, and nodes that are lost.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use focus::{AdminRequest, Input, NodeAccess, Settings, VisitorNode, VisitorSettings};
use jitsi_protocol::bridge_session::BridgeSession;
use jitsi_protocol::colibri2::MucRole;
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use jitsi_protocol::mute::{Mute, MuteMedia};
use serde_json::{Value, json};
use xmpp::jingle::Action;
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{FakeClient, ROOM, ROOM_V1, RoomManner, World, presence_of};

const ROOM_V2: &str = "demo@muc.v2.meet.jitsi";

/// A world with a bridge and nodes, of which those in `other_servers` have links of their own, which are up.
fn world_with(nodes: &[&str], other_servers: &[&str], change: impl FnOnce(&mut VisitorSettings)) -> World {
    world_changed(nodes, other_servers, |settings| change(settings.visitors.as_mut().unwrap()))
}

fn world_changed(nodes: &[&str], other_servers: &[&str], change: impl FnOnce(&mut Settings)) -> World {
    let node = |name: &&str| {
        let access = if other_servers.contains(name) { NodeAccess::OwnLink } else { NodeAccess::MainLink };
        VisitorNode { access, ..VisitorNode::at_main_server(name, "meet.jitsi") }
    };
    let mut world = World::with_settings(|settings| {
        let nodes = nodes.iter().map(node).collect();
        settings.visitors = Some(VisitorSettings::new("meet.jitsi", nodes).unwrap());
        change(settings);
    });
    world.add_bridge("jvb-1");
    for node in other_servers {
        node_up(&mut world, node);
    }
    world
}

fn node_up(world: &mut World, node: &str) {
    world.node_links.insert(node.to_owned());
    let jid = format!("focus@auth.{node}.meet.jitsi/focus").parse().unwrap();
    world.input(Input::NodeUp { node: node.to_owned(), jid });
}

fn node_down(world: &mut World, node: &str) {
    world.node_links.remove(node);
    world.input(Input::NodeDown { node: node.to_owned() });
}

/// A client that can be sent to a node, with what else it says.
fn asking(properties: &[(&str, &str)]) -> ConferenceRequest {
    let mut request = ConferenceRequest::new(ROOM.parse().unwrap());
    let known = [("visitors-version", "1")];
    for (name, value) in known.iter().chain(properties) {
        request.properties.insert((*name).to_owned(), (*value).to_owned());
    }
    request
}

fn ask(world: &mut World, properties: &[(&str, &str)]) -> ConferenceResponse {
    world.request_with(asking(properties)).expect("an answer at once").unwrap()
}

/// A client wants to watch.
fn ask_to_watch(world: &mut World) -> ConferenceResponse {
    ask(world, &[("visitor", "true")])
}

/// Two take part, `visitors` watch on the node `v1`, and all have accepted.
fn with_visitors(visitors: &[&str]) -> World {
    let mut world = world_with(&["v1"], &[], |_| {});
    world.request();
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
        // The second one begins it.
    }
    for nick in ["aaaa1111", "bbbb2222"] {
        world.accept(nick).unwrap();
    }
    for nick in visitors {
        assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
        world.join_as(FakeClient::visitor(nick, ROOM_V1));
        world.watch(nick).unwrap();
    }
    world
}

fn metadata(world: &mut World, metadata: &Value) {
    let json = json!({ "type": "room_metadata", "metadata": metadata }).to_string();
    let json = Element::new("json-message", ns::JITMEET).with_attr("room", ROOM).with_text(json);
    world.stanza(Element::new("message", ns::CLIENT).with_attr("from", "metadata.meet.jitsi").with_child(json));
}

/// What the component was asked, in order.
fn told_component(world: &World) -> Vec<String> {
    let requests = world.log.iter().filter(|stanza| stanza.attr("to") == Some("visitors.meet.jitsi"));
    let of_request = |iq: &Element| {
        assert_eq!((iq.name(), iq.attr("type")), ("iq", Some("get")));
        let visitors = iq.child("visitors", ns::VISITORS).unwrap();
        assert_eq!(visitors.attr("room"), Some(ROOM));
        let commands = visitors.children().map(|child| format!("{} {}", child.name(), child.attr("vnode").unwrap()));
        commands.collect::<Vec<_>>()
    };
    requests.flat_map(of_request).collect()
}

fn property(presence: &Element, key: &str) -> Option<String> {
    let properties = presence.child("conference-properties", ns::FOCUS).unwrap();
    let found = properties.children().find(|property| property.attr("key") == Some(key));
    found.and_then(|property| property.attr("value")).map(str::to_owned)
}

fn refused(result: Result<impl std::fmt::Debug, StanzaError>) -> (Condition, String) {
    let error = result.unwrap_err();
    (error.condition, error.text.unwrap_or_default())
}

#[test]
fn without_visitors_nobody_is_sent_away() {
    let mut world = World::new();
    let answer = ask_to_watch(&mut world);
    assert!(answer.ready && answer.vnode.is_none());
    assert_eq!(answer.properties["visitors-supported"], "false");
    world.join("aaaa1111");
    assert_eq!(property(world.room_presence(), "visitors-enabled"), None);
}

#[test]
fn who_wants_to_watch_is_sent_to_a_node_whose_room_is_entered_and_connected() {
    let mut world = world_with(&["v1"], &[], |_| {});
    let answer = ask_to_watch(&mut world);
    assert!(answer.ready);
    assert_eq!(answer.vnode.as_deref(), Some("v1"));
    assert_eq!(answer.focus_jid.unwrap().as_str(), "focus@auth.meet.jitsi");
    assert_eq!(answer.properties["visitors-supported"], "true");
    let sent = |wanted: &str| world.log.iter().position(|stanza| stanza.to_string().contains(wanted)).unwrap();
    let enters = sent("<presence xmlns='jabber:client' to='demo@muc.v1.meet.jitsi/focus'");
    let configures = world.log.iter().position(|stanza| stanza.attr("to") == Some(ROOM_V1)).unwrap();
    let answers = sent("ready='true'");
    assert!(enters < configures && configures < sent("connect-vnode") && sent("connect-vnode") < answers);
    assert_eq!(told_component(&world), ["connect-vnode v1"]);
    assert_eq!(property(world.room_presence(), "visitors-enabled").as_deref(), Some("true"));
    assert_eq!(property(world.presence_in(ROOM_V1), "visitors-enabled").as_deref(), Some("true"));
    assert!(!world.presence_in(ROOM_V1).to_string().contains("etherpad"), "what is of use in the main room only");

    assert_eq!(ask(&mut world, &[]).vnode.as_deref(), Some("v1"), "visitors are there: newcomers are visitors too");
    assert_eq!(told_component(&world).len(), 1, "the room is entered once");
    let old = ConferenceRequest::new(ROOM.parse().unwrap());
    assert_eq!(world.request_with(old).unwrap().unwrap().vnode, None, "but those that cannot follow");
    let node_room = ConferenceRequest::new(ROOM_V1.parse().unwrap());
    assert_eq!(refused(world.request_with(node_room).unwrap()).0, Condition::BadRequest, "no conference of its own");
}

#[test]
fn who_comes_to_a_full_room_watches() {
    let mut world = world_with(&["v1"], &[], |settings| settings.max_participants = 2);
    assert_eq!(ask(&mut world, &[]).vnode, None);
    world.join("aaaa1111");
    world.join_as(FakeClient {
        real_jid: "jibri@hidden.meet.jitsi/r".to_owned(),
        services: vec!["http://jitsi.org/protocol/jibri"],
        ..FakeClient::new("jibri111")
    });
    assert_eq!(ask(&mut world, &[]).vnode, None, "recorders do not count");
    world.join("bbbb2222");
    assert_eq!(ask(&mut world, &[]).vnode.as_deref(), Some("v1"));

    metadata(&mut world, &json!({ "participantsSoftLimit": 9, "moderators": ["ann"], "participants": ["staff"] }));
    assert_eq!(ask(&mut world, &[]).vnode.as_deref(), Some("v1"), "it has visitors, and is for some only");
    for claims in [json!({ "user": { "id": "ann" } }), json!({ "user": {}, "group": "staff" })] {
        let [header, payload] = [json!({ "alg": "none" }), json!({ "context": claims })]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let mut listed = asking(&[]);
        listed.token = Some(format!("{header}.{payload}.c2ln"));
        assert_eq!(world.request_with(listed.clone()).unwrap().unwrap().vnode, None, "{claims} is listed");
        listed.properties.insert("visitor".to_owned(), "true".to_owned());
        assert_eq!(
            world.request_with(listed).unwrap().unwrap().vnode.as_deref(),
            Some("v1"),
            "unless it wants to watch"
        );
    }
}

#[test]
fn lobbies_breakout_rooms_and_rooms_without_the_flag_have_no_visitors() {
    for said in [json!({ "lobbyEnabled": true }), json!({ "visitorsEnabled": false })] {
        let mut world = world_with(&["v1"], &[], |_| {});
        ask(&mut world, &[]);
        world.join("aaaa1111");
        metadata(&mut world, &said);
        assert_eq!(ask_to_watch(&mut world).vnode, None, "{said}");
    }
    let mut world = world_with(&["v1"], &[], |settings| settings.requires_room_flag = true);
    let answer = ask_to_watch(&mut world);
    assert_eq!((answer.vnode, answer.properties["visitors-supported"].as_str()), (None, "false"));
    metadata(&mut world, &json!({ "visitorsEnabled": true }));
    let answer = ask_to_watch(&mut world);
    assert_eq!(answer.vnode.as_deref(), Some("v1"));
    assert_eq!(answer.properties["visitors-supported"], "true");

    let mut world = world_with(&["v1"], &[], |_| {});
    world.main_room = Some("main@muc.meet.jitsi".to_owned());
    assert_eq!(ask_to_watch(&mut world).vnode, None);
}

#[test]
fn who_watches_waits_for_a_room_that_is_not_live() {
    let mut world = world_with(&["v1"], &[], |settings| settings.live_rooms = true);
    let answer = ask_to_watch(&mut world);
    assert!(!answer.ready);
    assert_eq!(answer.properties["live"], "false");
    assert!(!world.log.iter().any(|stanza| stanza.attr("to") == Some(&format!("{ROOM}/focus"))), "no room is opened");
    assert!(ask(&mut world, &[]).ready, "who takes part opens it");
    world.join("aaaa1111");
    metadata(&mut world, &json!({ "participants": ["ann"] }));
    let answer = ask(&mut world, &[]);
    assert_eq!((answer.ready, answer.properties["live"].as_str()), (false, "false"), "it may watch only");
    assert_eq!(answer.properties["visitors-supported"], "true");
    metadata(&mut world, &json!({ "visitors": { "live": true } }));
    let answer = ask_to_watch(&mut world);
    assert_eq!((answer.ready, answer.vnode.as_deref()), (true, Some("v1")));
}

#[test]
fn a_room_may_say_first_what_it_is_before_anybody_is_placed() {
    let mut world = world_with(&["v1"], &[], |_| {});
    world.presets = true;
    assert_eq!(world.request_with(asking(&[])), None);
    metadata(&mut world, &json!({ "participants": [] }));
    let answer = world.answer_to("q1").unwrap();
    let answer = ConferenceResponse::from_element(answer.child("conference", ns::FOCUS).unwrap()).unwrap();
    assert_eq!(answer.vnode.as_deref(), Some("v1"));
    assert_eq!(property(world.room_presence(), "visitors-enabled").as_deref(), Some("true"));

    let mut world = world_with(&["v1"], &[], |_| {});
    world.presets = true;
    assert_eq!(world.request_with(asking(&[])), None);
    world.seconds(9);
    assert_eq!(world.answer_to("q1"), None);
    world.seconds(1);
    assert!(world.answer_to("q1").unwrap().to_string().contains("ready='true'"), "but not without end");
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.client("aaaa1111").has_offer());
}

#[test]
fn visitors_receive_and_send_nothing() {
    let mut world = with_visitors(&["cccc3333"]);
    assert_eq!(world.bridge("jvb-1").last_of("cccc3333").muc_role, None, "said at its creation only");
    let requests = world.bridge("jvb-1").requests.iter().flat_map(|request| &request.endpoints);
    let roles: Vec<_> =
        requests.filter(|known| known.create).map(|known| (known.id.to_string(), known.muc_role)).collect();
    let role = |nick: &str| roles.iter().find(|(id, _)| id == nick).unwrap().1;
    assert_eq!((role("cccc3333"), role("aaaa1111")), (Some(MucRole::Visitor), None));
    let known = world.client("cccc3333").known.clone();
    assert_eq!(known.len(), 6, "sources of both who take part: {known:?}");
    assert!(!world.client("aaaa1111").known.iter().any(|source| source.starts_with("cccc3333")));

    // It hears of changes.
    let mut add = world.client("aaaa1111").message(Action::SourceAdd);
    add.contents = vec![world.client("aaaa1111").content(model::MediaType::Video, "v1", &[77], vec![])];
    world.client("aaaa1111").sent.insert(77);
    world.jingle("aaaa1111", &add).unwrap();
    assert!(world.client("cccc3333").known.contains("aaaa1111:77"));

    let mut add = world.client("cccc3333").message(Action::SourceAdd);
    let nothing = (Condition::Forbidden, "add-source not allowed for visitors".to_owned());
    assert_eq!(refused(world.jingle("cccc3333", &add)), nothing, "not even none");
    add.contents = world.client("cccc3333").contents();
    assert_eq!(refused(world.jingle("cccc3333", &add)), nothing);
    let mut remove = world.client("cccc3333").message(Action::SourceRemove);
    remove.contents = world.client("cccc3333").contents();
    assert_eq!(refused(world.jingle("cccc3333", &remove)).0, Condition::BadRequest);

    world.join_as(FakeClient::visitor("dddd4444", ROOM_V1));
    assert_eq!(
        refused(world.accept("dddd4444")),
        (Condition::Forbidden, "sources not allowed for visitors".to_owned())
    );
    world.watch("dddd4444").unwrap();
    world.check_mesh("visitors came");
}

#[test]
fn a_visitor_may_have_another_session_or_other_credentials() {
    let mut world = with_visitors(&["cccc3333"]);
    let id = Some(world.client("cccc3333").bridge_session());
    let mut message = world.client("cccc3333").message(Action::SessionTerminate);
    message.extensions.push(BridgeSession { id, restart: true, ..BridgeSession::default() }.to_element());
    world.jingle("cccc3333", &message).unwrap();
    world.watch("cccc3333").unwrap();
    let created = world.bridge("jvb-1").story().iter().filter(|step| *step == "+cccc3333").count();
    assert_eq!(created, 2);
    assert_eq!(world.client("cccc3333").known.len(), 6);
}

#[test]
fn a_visitor_is_a_reason_to_begin_but_none_to_go_on() {
    let mut world = world_with(&["v1"], &[], |_| {});
    ask_to_watch(&mut world);
    world.join_as(FakeClient::visitor("cccc3333", ROOM_V1));
    assert!(!world.client("cccc3333").has_offer(), "nobody is there to be seen");
    world.join("aaaa1111");
    assert!(world.client("cccc3333").has_offer() && world.client("aaaa1111").has_offer());
    world.accept("aaaa1111").unwrap();
    world.watch("cccc3333").unwrap();
    world.seconds(60);
    assert_eq!(world.client("cccc3333").take_actions().last(), Some(&"source-add"), "two are enough");
    world.log.clear();
    world.leave("aaaa1111");
    assert!(world.has_left_room() && world.has_left(ROOM_V1));
    assert_eq!(told_component(&world), ["disconnect-vnode v1"]);
    let left = |to: &str| world.log.iter().position(|stanza| stanza.attr("to").is_some_and(|at| at.starts_with(to)));
    assert!(left("visitors.meet.jitsi") < left(ROOM_V1), "nodes are disconnected first");
    assert!(world.bridge("jvb-1").meetings.is_empty());
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
}

#[test]
fn the_last_visitor_leaves_a_single_participant_behind() {
    let mut world = with_visitors(&["cccc3333"]);
    world.leave("bbbb2222");
    world.seconds(30);
    assert!(!world.client("aaaa1111").take_actions().contains(&"session-terminate"));
    world.leave("cccc3333");
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("-cccc3333"));
    world.seconds(20);
    assert_eq!(world.client("aaaa1111").take_actions().last(), Some(&"session-terminate"));
}

#[test]
fn rooms_are_told_how_many_visitors_there_are_but_not_too_often() {
    let mut world = with_visitors(&[]);
    assert_eq!(property(world.room_presence(), "visitor-count"), None, "there never was one");
    ask_to_watch(&mut world);
    world.join_as(FakeClient { codecs: Some("av1,vp9,vp8"), ..FakeClient::visitor("cccc3333", ROOM_V1) });
    let told = |world: &World| {
        let of = |room| ["visitor-count", "visitor-codecs"].map(|key| property(world.presence_in(room), key).unwrap());
        assert_eq!(of(ROOM), of(ROOM_V1));
        of(ROOM)
    };
    assert_eq!(told(&world), ["1", "av1,vp9,vp8"]);
    world.join_as(FakeClient { codecs: Some("vp9, AV1"), ..FakeClient::visitor("dddd4444", ROOM_V1) });
    world.join_as(FakeClient::visitor("eeee5555", ROOM_V1));
    assert_eq!(told(&world), ["1", "av1,vp9,vp8"], "both like two of them as much");
    world.seconds(15);
    assert_eq!(told(&world)[0], "3");
    world.client("cccc3333").codecs = Some("h264");
    let changed = world.client("cccc3333").presence();
    world.stanza(changed);
    world.leave("cccc3333");
    assert_eq!(told(&world)[1], "vp9,av1,vp8", "what it said first was taken away again");
    world.leave("dddd4444");
    world.leave("eeee5555");
    world.seconds(15);
    assert_eq!(told(&world), ["0", ""]);

    let stats = world.admin(&AdminRequest::Stats).unwrap();
    assert_eq!((&stats["visitors"], &stats["conferences_with_visitors"]), (&json!(0), &json!(0)));
}

#[test]
fn operators_see_visitors() {
    let mut world = with_visitors(&["cccc3333", "dddd4444"]);
    let stats = world.admin(&AdminRequest::Stats).unwrap();
    assert_eq!((&stats["visitors"], &stats["conferences_with_visitors"]), (&json!(2), &json!(1)));
    assert_eq!(stats["participants"], 4, "as jicofo counts");
    assert_eq!(world.focus.metrics().visitors_current.get(), 2);
    let state = world.admin(&AdminRequest::Conference { room: ROOM.to_owned() }).unwrap();
    assert_eq!(state["visitor_count"], 2);
    assert_eq!(state["visitors"]["nodes"]["v1"], json!({ "state": "joined", "visitors": 2 }));
    assert_eq!(state["participants"]["cccc3333"]["visitor"], true);
    let all = world.admin(&AdminRequest::Debug { full: false }).unwrap();
    assert_eq!(all["visitor_nodes"], json!({ "v1": true }));
}

#[test]
fn the_node_with_the_fewest_visitors_is_next_until_all_are_full() {
    let mut world = world_with(&["v1", "v2"], &[], |settings| {
        settings.max_per_node = 2;
        settings.join_latency = Duration::from_secs(60);
    });
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    let first = ask_to_watch(&mut world).vnode.unwrap();
    assert_eq!(ask_to_watch(&mut world).vnode.unwrap(), first, "who is on the way counts");
    let second = ask_to_watch(&mut world).vnode.unwrap();
    assert_ne!(second, first);
    world.seconds(60);
    assert_eq!(ask_to_watch(&mut world).vnode.unwrap(), first, "nobody came to either: the first of them");
    let room = |node: &str| format!("demo@muc.{node}.meet.jitsi");
    for nick in ["cccc3333", "dddd4444"] {
        world.join_as(FakeClient::visitor(nick, &room(&first)));
    }
    assert_eq!(ask_to_watch(&mut world).vnode.unwrap(), second);
    for nick in ["eeee5555", "ffff6666", "abab7777"] {
        world.join_as(FakeClient::visitor(nick, &room(&second)));
    }
    assert_eq!(ask_to_watch(&mut world).vnode.unwrap(), first, "the limit is soft");
    assert!(["cccc3333", "abab7777"].iter().all(|nick| world.clients[*nick].has_offer()));
    assert_eq!(told_component(&world).len(), 2);
    world.log.clear();
    world.leave("aaaa1111");
    world.leave("bbbb2222");
    let mut told = told_component(&world);
    told.sort();
    assert_eq!(told, ["disconnect-vnode v1", "disconnect-vnode v2"]);
    assert!(world.has_left(ROOM_V1) && world.has_left(ROOM_V2));
}

#[test]
fn a_node_whose_room_cannot_be_entered_is_passed_over() {
    for manner in [RoomManner::Refusing, RoomManner::WithoutRights, RoomManner::RefusingConfiguration] {
        let mut world = world_with(&["v1"], &[], |_| {});
        world.manners.insert(ROOM_V1.to_owned(), manner);
        let answer = ask_to_watch(&mut world);
        assert!(answer.ready && answer.vnode.is_none(), "{manner:?}: there is no other, so it takes part");
        assert!(told_component(&world).is_empty() && world.has_left(ROOM_V1));
        assert_eq!(world.focus.metrics().visitor_nodes_lost.get(), 1);
        world.join("aaaa1111");
        world.manners.clear();
        assert_eq!(ask_to_watch(&mut world).vnode, None, "not again at once");
        world.seconds(60);
        assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
    }
    for manner in [RoomManner::Silent, RoomManner::WithoutConfiguration] {
        let mut world = world_with(&["v1", "v2"], &[], |_| {});
        world.join("aaaa1111");
        world.request();
        world.manners.insert(ROOM_V1.to_owned(), manner);
        world.manners.insert(ROOM_V2.to_owned(), manner);
        assert_eq!(world.request_with(asking(&[("visitor", "true")])), None);
        world.manners.clear();
        world.seconds(15);
        let answer = world.answer_to("q2").unwrap();
        let answer = ConferenceResponse::from_element(answer.child("conference", ns::FOCUS).unwrap()).unwrap();
        assert!(answer.vnode.is_some(), "{manner:?}: the other node");
    }
}

#[test]
fn who_waits_for_a_node_when_the_conference_ends_asks_again() {
    let mut world = world_with(&["v1"], &[], |_| {});
    world.request();
    world.join("aaaa1111");
    world.manners.insert(ROOM_V1.to_owned(), RoomManner::Silent);
    assert_eq!(world.request_with(asking(&[("visitor", "true")])), None);
    world.leave("aaaa1111");
    assert!(world.answer_to("q2").unwrap().to_string().contains("ready='false'"));
    assert!(world.has_left(ROOM_V1) && told_component(&world).is_empty());
}

#[test]
fn a_node_that_throws_the_focus_out_has_no_visitors_any_more() {
    let mut world = with_visitors(&["cccc3333", "dddd4444"]);
    world.log.clear();
    let mut gone = presence_of(&format!("{ROOM_V1}/focus"), "none", "none", "focus@auth.meet.jitsi/focus");
    gone.set_attr("type", "unavailable");
    world.stanza(gone);
    assert_eq!(told_component(&world), ["disconnect-vnode v1"]);
    let story = world.bridge("jvb-1").story();
    assert_eq!(story[story.len() - 2..], ["-cccc3333", "-dddd4444"]);
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
    let told = |client: &FakeClient| client.told.iter().any(|told| told.action == Action::SessionTerminate);
    assert!(!told(&world.clients["aaaa1111"]) && !told(&world.clients["cccc3333"]), "nothing can be said there");
    assert_eq!(ask(&mut world, &[]).vnode, None, "there are no visitors, and no node");
    world.seconds(60);
    assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
    assert!(
        world.bridge("jvb-1").meetings.values().all(|meeting| meeting.endpoints.len() == 4),
        "both are still there"
    );
    world.watch("cccc3333").unwrap();
    // An error that answers a presence says nothing of the room.
    let mut error = presence_of(&format!("{ROOM_V1}/focus"), "owner", "moderator", "focus@auth.meet.jitsi/focus");
    error.set_attr("type", "error");
    world.stanza(error);
    assert_eq!(world.focus.metrics().visitors_current.get(), 2);
}

#[test]
fn the_end_of_the_room_ends_rooms_of_visitors_too() {
    let mut world = with_visitors(&["cccc3333"]);
    world.log.clear();
    let mut gone = presence_of(&format!("{ROOM}/focus"), "none", "none", "focus@auth.meet.jitsi/focus");
    gone.set_attr("type", "unavailable");
    world.stanza(gone);
    assert_eq!(told_component(&world), ["disconnect-vnode v1"]);
    assert!(world.has_left(ROOM_V1) && world.bridge("jvb-1").meetings.is_empty());
}

#[test]
fn members_of_the_main_room_are_shown_to_visitors_and_are_none() {
    let mut world = with_visitors(&["cccc3333"]);
    world.log.clear();
    for (nick, role) in [("aaaa1111", "participant"), ("ffff6666", "moderator")] {
        world.stanza(presence_of(&format!("{ROOM_V1}/{nick}"), "none", role, "x@v1.meet.jitsi/r"));
    }
    let mut left = presence_of(&format!("{ROOM_V1}/aaaa1111"), "none", "none", "x@v1.meet.jitsi/r");
    left.set_attr("type", "unavailable");
    world.stanza(left);
    assert!(world.log.is_empty(), "{:?}", world.log);
    assert_eq!(world.focus.metrics().participants_current.get(), 3);
    // Nobody speaks for somebody of the same name in another room.
    let message = world.client("aaaa1111").message(Action::SessionTerminate);
    let forged = world.ask_at_once(&format!("{ROOM_V1}/aaaa1111"), message.to_element());
    assert_eq!(refused(forged).0, Condition::ItemNotFound);
    // A visitor that is shown with more rights has no more of them.
    world.stanza(presence_of(&format!("{ROOM_V1}/cccc3333"), "owner", "moderator", "x@v1.meet.jitsi/r"));
    let mute =
        Mute { media: MuteMedia::Audio, jid: format!("{ROOM}/aaaa1111").parse().unwrap(), actor: None, muted: true };
    let answer = world.ask_at_once(&format!("{ROOM_V1}/cccc3333"), mute.to_element());
    assert_eq!(refused(answer).0, Condition::NotAllowed);
    let jibri = Element::new("jibri", ns::JIBRI).with_attr("action", "start").with_attr("recording_mode", "file");
    let answer = world.ask_at_once(&format!("{ROOM_V1}/cccc3333"), jibri);
    assert_eq!(refused(answer).0, Condition::ItemNotFound);
    let dial = Element::new("dial", ns::RAYO).with_attr("to", "jitsi_meet_transcribe").with_attr("from", "x");
    let answer = world.ask_at_once(&format!("{ROOM_V1}/cccc3333"), dial);
    assert_eq!(refused(answer).0, Condition::Forbidden);
}

#[test]
fn names_stand_for_one_and_members_of_the_main_room_come_first() {
    let mut world = with_visitors(&["cccc3333"]);
    world.stanza(presence_of(&format!("{ROOM_V1}/aaaa1111"), "none", "visitor", "x@v1.meet.jitsi/r"));
    assert_eq!(world.focus.metrics().visitors_current.get(), 1, "the name is taken");
    for nick in ["no spaces", "jvb"] {
        world.join_as(FakeClient::visitor(nick, ROOM_V1));
    }
    assert_eq!(world.focus.metrics().visitors_current.get(), 1);
    // Promoted, or by chance: the visitor of that name goes, and its leaving later is nothing to the member.
    let visitor = world.client("cccc3333").occupant();
    world.join("cccc3333");
    world.accept("cccc3333").unwrap();
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
    let mut left = presence_of(&visitor, "none", "none", "x@v1.meet.jitsi/r");
    left.set_attr("type", "unavailable");
    world.stanza(left);
    assert_eq!(world.focus.metrics().participants_current.get(), 3);
    assert_eq!(world.client("aaaa1111").known.iter().filter(|source| source.starts_with("cccc3333")).count(), 3);
    world.check_mesh("a visitor was promoted");
}

#[test]
fn a_promoted_visitor_sends_and_a_demoted_member_no_longer() {
    let mut world = with_visitors(&["cccc3333"]);
    world.leave("cccc3333");
    world.join("dddd4444");
    world.accept("dddd4444").unwrap();
    assert_eq!(world.client("bbbb2222").known.iter().filter(|source| source.starts_with("dddd4444")).count(), 3);
    world.leave("dddd4444");
    assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
    world.join_as(FakeClient::visitor("eeee5555", ROOM_V1));
    world.watch("eeee5555").unwrap();
    assert_eq!(world.client("bbbb2222").known.len(), 3);
    world.check_mesh("one came and went");
}

#[test]
fn visitors_and_lists_have_their_limits() {
    let mut world = world_changed(&["v1"], &[], |settings| {
        settings.limits.visitors = 2;
        settings.limits.participants = 2;
    });
    world.request();
    world.join("aaaa1111");
    ask_to_watch(&mut world);
    for nick in ["cccc3333", "dddd4444", "eeee5555"] {
        world.join_as(FakeClient::visitor(nick, ROOM_V1));
    }
    world.join("bbbb2222");
    let invited: Vec<&str> =
        world.clients.values().filter(|client| client.has_offer()).map(|client| client.nick.as_str()).collect();
    assert_eq!(invited, ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"], "visitors take no places of members");
}

#[test]
fn another_server_is_spoken_to_over_its_own_link() {
    let mut world = world_with(&["v1"], &["v1"], |_| {});
    let answer = ask_to_watch(&mut world);
    assert_eq!(answer.vnode.as_deref(), Some("v1"));
    assert_eq!(answer.focus_jid.unwrap().as_str(), "focus@auth.v1.meet.jitsi", "as visitors see it");
    // The world asserts that nothing of a node goes over the main link.
    world.join("aaaa1111");
    world.join_as(FakeClient::visitor("cccc3333", ROOM_V1));
    world.accept("aaaa1111").unwrap();
    world.watch("cccc3333").unwrap();
    assert_eq!(told_component(&world), ["connect-vnode v1"]);
    world.check_mesh("a visitor came");

    world.log.clear();
    node_down(&mut world, "v1");
    assert_eq!(told_component(&world), ["disconnect-vnode v1"]);
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("-cccc3333"));
    let all = world.admin(&AdminRequest::Debug { full: false }).unwrap();
    assert_eq!(all["visitor_nodes"], json!({ "v1": false }));
    assert_eq!(ask_to_watch(&mut world).vnode, None, "it cannot be reached");
    node_up(&mut world, "v1");
    assert_eq!(ask_to_watch(&mut world).vnode, None, "give it time");
    world.seconds(60);
    assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
    assert_eq!(world.focus.metrics().visitors_current.get(), 1, "who is still there is found again");
}

#[test]
fn another_server_is_believed_about_itself_only() {
    let mut world = world_with(&["v1", "v2"], &["v1"], |_| {});
    ask_to_watch(&mut world);
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.log.clear();
    let send = |world: &mut World, stanza: Element| {
        world.input(Input::NodeStanza { node: "v1".to_owned(), stanza });
    };
    let mut forged = presence_of(&format!("{ROOM}/bbbb2222"), "none", "none", "x@meet.jitsi/r");
    forged.set_attr("type", "unavailable");
    send(&mut world, forged);
    send(&mut world, presence_of(&format!("{ROOM_V2}/cccc3333"), "none", "visitor", "x@v2.meet.jitsi/r"));
    send(&mut world, Element::new("presence", ns::CLIENT));
    world.input(Input::NodeStanza { node: "v9".to_owned(), stanza: Element::new("presence", ns::CLIENT) });
    assert!(world.log.is_empty(), "{:?}", world.log);
    assert_eq!(world.focus.metrics().participants_current.get(), 2);
    // It serves no requests of people there.
    for from in ["u@v1.meet.jitsi/r", "demo@muc.v1.meet.jitsi/cccc3333"] {
        let request = asking(&[]).to_element();
        assert_eq!(refused(world.ask_at_once(from, request)).0, Condition::ServiceUnavailable);
    }
    let ping = Element::new("ping", ns::PING);
    world.ask_at_once("demo@muc.v1.meet.jitsi/cccc3333", ping).unwrap();
    send(&mut world, Element::new("message", ns::CLIENT).with_attr("from", ROOM_V1));
    let late =
        Element::new("iq", ns::CLIENT).with_attr("type", "result").with_attr("id", "x").with_attr("from", ROOM_V1);
    send(&mut world, late);
}

#[test]
fn rooms_on_other_servers_are_left_when_the_main_link_is_lost() {
    let mut world = world_with(&["v1"], &["v1"], |_| {});
    ask_to_watch(&mut world);
    world.join("aaaa1111");
    world.log.clear();
    world.input(Input::LinkDown);
    let left: Vec<_> = world.log.iter().map(|stanza| (stanza.attr("to"), stanza.attr("type"))).collect();
    assert_eq!(left, [(Some("demo@muc.v1.meet.jitsi/focus"), Some("unavailable"))]);
    world.clients.clear();
    world.link_up();
    assert_eq!(ask_to_watch(&mut world).vnode.as_deref(), Some("v1"));
    node_down(&mut world, "v1");
    world.input(Input::NodeDown { node: "v1".to_owned() });
    world.log.clear();
    world.join("aaaa1111");
    world.leave("aaaa1111");
    assert!(!world.log.iter().any(|stanza| stanza.attr("to").is_some_and(|to| to.contains("v1"))));
}
