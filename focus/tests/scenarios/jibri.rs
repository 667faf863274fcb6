//! Recordings, streams and calls over SIP.

use std::time::Duration;

use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{ROOM, ServiceManner, World};

const BREWERY: &str = "jibribrewery@internal-muc.meet.jitsi";
const SIP_BREWERY: &str = "sipbrewery@internal-muc.meet.jitsi";

fn says(busy: &'static str) -> Element {
    let status =
        |name: &'static str, namespace, value: &'static str| Element::new(name, namespace).with_attr("status", value);
    Element::new("jibri-status", ns::JIBRI).with_child(status("busy-status", ns::JIBRI, busy)).with_child(status(
        "health-status",
        "http://jitsi.org/protocol/health",
        "healthy",
    ))
}

fn jibri(nick: &str) -> String {
    format!("{BREWERY}/{nick}")
}

/// A call whose first participant is moderator, with recorders that behave like this.
fn call(recorders: &[(&str, ServiceManner)]) -> World {
    let mut world = World::with_settings(|settings| {
        settings.jibri.brewery = Some(BREWERY.parse().unwrap());
        settings.jibri.sip_brewery = Some(SIP_BREWERY.parse().unwrap());
    });
    world.add_bridge("jvb-1");
    world.request();
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
    }
    for (nick, manner) in recorders {
        world.add_service(&jibri(nick), *manner, says("idle"));
    }
    world
}

fn ask(world: &mut World, nick: &str, attributes: &[(&'static str, &str)]) -> Option<Element> {
    let request = attributes
        .iter()
        .fold(Element::new("jibri", ns::JIBRI), |request, (name, value)| request.with_attr(*name, *value));
    world.ask(&format!("{ROOM}/{nick}"), request)
}

fn error(answer: Option<Element>) -> (Condition, String) {
    let error = StanzaError::of_stanza(&answer.expect("an answer"));
    (error.condition, error.text.unwrap_or_default())
}

const RECORD: [(&str, &str); 3] = [("action", "start"), ("recording_mode", "file"), ("app_data", "{}")];

/// Starts a recording and answers its id.
fn record(world: &mut World) -> String {
    let answer = ask(world, "aaaa1111", &RECORD).unwrap();
    assert_eq!(answer.attr("type"), Some("result"));
    answer.child("jibri", ns::JIBRI).unwrap().attr("session_id").unwrap().to_owned()
}

fn news(world: &mut World, nick: &str, attributes: &[(&'static str, &str)]) {
    let news =
        attributes.iter().fold(Element::new("jibri", ns::JIBRI), |news, (name, value)| news.with_attr(*name, *value));
    assert_eq!(world.ask(&jibri(nick), news).unwrap().attr("type"), Some("result"));
}

/// What the room is told of its recording: status, initiator and failure.
fn told(world: &World) -> (String, Option<String>, Option<String>) {
    let state = world.room_presence().child("jibri-recording-status", ns::JIBRI).expect("a recording").clone();
    let text = |name| state.attr(name).map(str::to_owned);
    (text("status").unwrap(), text("initiator"), text("failure_reason"))
}

#[test]
fn a_recording_begins_and_ends_as_a_moderator_wants() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    let session = record(&mut world);
    let asked = world.service(&jibri("jibri-1")).asked.first().unwrap().clone();
    for (name, value) in [("action", "start"), ("room", ROOM), ("recording_mode", "file"), ("app_data", "{}")] {
        assert_eq!(asked.attr(name), Some(value), "{name}");
    }
    assert_eq!((asked.attr("session_id"), asked.attr("status")), (Some(session.as_str()), None));
    assert_eq!(told(&world).0, "pending");
    news(&mut world, "jibri-1", &[("status", "on"), ("session_id", &session)]);
    let moderator = format!("{ROOM}/aaaa1111");
    assert_eq!(told(&world), ("on".to_owned(), Some(moderator.clone()), None));
    world.seconds(200);
    assert_eq!(told(&world).0, "on", "only who is pending can be late");
    let stopped = ask(&mut world, "aaaa1111", &[("action", "stop"), ("session_id", &session)]).unwrap();
    assert_eq!(stopped.attr("type"), Some("result"));
    assert_eq!(told(&world), ("off".to_owned(), Some(moderator), None));
    assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start", "stop"]);
    assert_eq!(error(ask(&mut world, "aaaa1111", &[("action", "stop")])).0, Condition::ItemNotFound);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_words_of_jicofo() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    let bad = |world: &mut World, request: &[(&'static str, &str)]| error(ask(world, "aaaa1111", request));
    let start = ("action", "start");
    assert_eq!(bad(&mut world, &[start]), (Condition::BadRequest, "Stream ID is empty or undefined".to_owned()));
    let both = [start, ("recording_mode", "file"), ("streamid", "k")];
    let text = "Stream ID is provided for a FILE recording.";
    assert_eq!(bad(&mut world, &both), (Condition::BadRequest, text.to_owned()));
    assert_eq!(bad(&mut world, &[("action", "dance")]).0, Condition::BadRequest);
    assert_eq!(bad(&mut world, &[("action", "stop")]), (Condition::ItemNotFound, "Unknown session".to_owned()));
    record(&mut world);
    let text = "Recording or live streaming is already enabled";
    assert_eq!(bad(&mut world, &RECORD), (Condition::UnexpectedRequest, text.to_owned()));
    let stream = [start, ("recording_mode", "stream"), ("streamid", "k")];
    assert_eq!(bad(&mut world, &stream).0, Condition::UnexpectedRequest, "one of the two at a time");
}

#[test]
fn only_moderators_may_record() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    assert_eq!(error(ask(&mut world, "bbbb2222", &RECORD)).0, Condition::NotAllowed);
    assert_eq!(error(ask(&mut world, "nobody", &RECORD)).0, Condition::Forbidden);
    let mut world = World::with_settings(|settings| {
        settings.jibri.brewery = Some(BREWERY.parse().unwrap());
        settings.enable_moderator_checks = false;
    });
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.add_service(&jibri("jibri-1"), ServiceManner::Pending, says("idle"));
    assert_eq!(ask(&mut world, "bbbb2222", &RECORD).unwrap().attr("type"), Some("result"));
}

#[test]
fn without_a_recorder_the_client_hears_why() {
    let mut world = call(&[]);
    let answer = error(ask(&mut world, "aaaa1111", &RECORD));
    assert_eq!(answer, (Condition::ServiceUnavailable, "no Jibris available".to_owned()));
    world.add_service(&jibri("jibri-1"), ServiceManner::Pending, says("busy"));
    let answer = error(ask(&mut world, "aaaa1111", &RECORD));
    assert_eq!(answer, (Condition::ResourceConstraint, "all Jibris are busy".to_owned()));
    assert!(world.room_presence().child("jibri-recording-status", ns::JIBRI).is_none());
}

#[test]
fn one_that_cannot_is_replaced_by_another() {
    for manner in [ServiceManner::Busy, ServiceManner::Refusing, ServiceManner::Calling] {
        let mut world = call(&[("jibri-1", manner), ("jibri-2", ServiceManner::Pending)]);
        record(&mut world);
        assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start"], "{manner:?}");
        assert_eq!(world.service(&jibri("jibri-2")).actions(), ["start"], "{manner:?}");
        assert_eq!(told(&world).0, "pending");
    }
}

#[test]
fn one_that_is_silent_is_told_to_stop_and_replaced() {
    let mut world = call(&[("jibri-1", ServiceManner::Silent), ("jibri-2", ServiceManner::Pending)]);
    assert!(ask(&mut world, "aaaa1111", &RECORD).is_none(), "not answered yet");
    world.seconds(15);
    assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start", "stop"]);
    assert_eq!(told(&world).0, "pending");
    let answers = world
        .log
        .iter()
        .filter(|stanza| stanza.attr("type") == Some("result") && stanza.child("jibri", ns::JIBRI).is_some());
    assert_eq!(answers.count(), 1, "the client hears of the second");
}

#[test]
fn when_all_fail_the_client_hears_it_once() {
    let mut world = call(&[("jibri-1", ServiceManner::Refusing), ("jibri-2", ServiceManner::Refusing)]);
    assert_eq!(error(ask(&mut world, "aaaa1111", &RECORD)).0, Condition::ResourceConstraint);
    assert!(world.room_presence().child("jibri-recording-status", ns::JIBRI).is_none());
    let mut world = World::with_settings(|settings| {
        settings.jibri.brewery = Some(BREWERY.parse().unwrap());
        settings.jibri.retries = Some(0);
    });
    world.request();
    world.join("aaaa1111");
    world.add_service(&jibri("jibri-1"), ServiceManner::Refusing, says("idle"));
    world.add_service(&jibri("jibri-2"), ServiceManner::Pending, says("idle"));
    assert_eq!(error(ask(&mut world, "aaaa1111", &RECORD)).0, Condition::InternalServerError);
}

#[test]
fn one_that_does_not_begin_in_time_is_replaced() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending), ("jibri-2", ServiceManner::Pending)]);
    let session = record(&mut world);
    world.seconds(90);
    assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start", "stop"]);
    assert_eq!(world.service(&jibri("jibri-2")).actions(), ["start"]);
    news(&mut world, "jibri-2", &[("status", "on"), ("session_id", &session)]);
    assert_eq!(told(&world).0, "on");
}

#[test]
fn a_failure_is_tried_again_only_if_the_recorder_says_so() {
    for (retry, status) in [("true", "pending"), ("false", "off")] {
        let mut world = call(&[("jibri-1", ServiceManner::Pending), ("jibri-2", ServiceManner::Pending)]);
        let session = record(&mut world);
        let failure =
            [("status", "off"), ("failure_reason", "error"), ("should_retry", retry), ("session_id", &session)];
        news(&mut world, "jibri-1", &failure);
        assert_eq!(told(&world).0, status, "should_retry={retry}");
        assert_eq!(told(&world).2.is_some(), retry == "false");
    }
}

#[test]
fn a_recorder_that_leaves_is_replaced_or_the_room_is_told() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending), ("jibri-2", ServiceManner::Pending)]);
    let session = record(&mut world);
    news(&mut world, "jibri-1", &[("status", "on"), ("session_id", &session)]);
    world.remove_service(&jibri("jibri-1"));
    assert_eq!(told(&world).0, "pending");
    world.remove_service(&jibri("jibri-2"));
    assert_eq!((told(&world).0, told(&world).2), ("off".to_owned(), Some("error".to_owned())));
    assert_eq!(error(ask(&mut world, "aaaa1111", &RECORD)).0, Condition::ServiceUnavailable);
}

#[test]
fn a_recorder_that_ends_by_itself_is_off() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    let session = record(&mut world);
    news(&mut world, "jibri-1", &[("status", "on"), ("session_id", &session)]);
    news(&mut world, "jibri-1", &[("status", "off"), ("session_id", &session)]);
    assert_eq!((told(&world).0, told(&world).2), ("off".to_owned(), None));
    let stranger = Element::new("jibri", ns::JIBRI).with_attr("status", "on").with_attr("session_id", session);
    assert_eq!(error(world.ask(&jibri("jibri-1"), stranger)).0, Condition::ItemNotFound, "it has no session any more");
}

#[test]
fn several_calls_over_sip_beside_a_recording() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    record(&mut world);
    for (nick, address) in [("sip-1", "sip:x@y"), ("sip-2", "sip:z@y")] {
        world.add_service(&format!("{SIP_BREWERY}/{nick}"), ServiceManner::Pending, says("idle"));
        let call = [("action", "start"), ("sipaddress", address), ("displayname", "Room")];
        assert_eq!(ask(&mut world, "aaaa1111", &call).unwrap().attr("type"), Some("result"));
        let asked = world.service(&format!("{SIP_BREWERY}/{nick}")).asked.first().unwrap().clone();
        assert_eq!((asked.attr("sipaddress"), asked.attr("displayname")), (Some(address), Some("Room")));
    }
    let states = |world: &World| -> Vec<(String, String)> {
        let presence = world.room_presence();
        let calls = presence.children_named("jibri-sip-call-state", ns::JIBRI_CALL_STATE);
        let text = |call: &Element, name| call.attr(name).unwrap().to_owned();
        calls.map(|call| (text(call, "sipaddress"), text(call, "state"))).collect()
    };
    let state = |address: &str, state: &str| (address.to_owned(), state.to_owned());
    assert_eq!(states(&world), [state("sip:x@y", "pending"), state("sip:z@y", "pending")]);
    ask(&mut world, "aaaa1111", &[("action", "stop"), ("sipaddress", "sip:x@y")]);
    assert_eq!(states(&world), [state("sip:z@y", "pending"), state("sip:x@y", "off")]);
    assert_eq!(told(&world).0, "pending", "the recording goes on");
}

#[test]
fn recorders_stop_with_the_conference() {
    let mut world = call(&[("jibri-1", ServiceManner::Pending)]);
    record(&mut world);
    for nick in ["aaaa1111", "bbbb2222"] {
        world.leave(nick);
    }
    assert!(world.has_left_room());
    assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start", "stop"]);
    world.advance(Duration::from_secs(200));
    assert_eq!(world.service(&jibri("jibri-1")).actions(), ["start", "stop"]);
}
