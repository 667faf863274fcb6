//! Calls to telephones, and transcribers.

use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{FakeClient, ROOM, ServiceManner, World};

const BREWERY: &str = "jigasibrewery@internal-muc.meet.jitsi";

fn says(participants: u32, can: &str) -> Element {
    let stat =
        |name: &str, value: String| Element::new("stat", ns::COLIBRI).with_attr("name", name).with_attr("value", value);
    Element::new("stats", ns::COLIBRI)
        .with_child(stat(can, "true".to_owned()))
        .with_child(stat("participants", participants.to_string()))
}

fn jigasi(nick: &str) -> String {
    format!("{BREWERY}/{nick}")
}

/// A call with gateways that behave like this, the first preferred.
fn call(gateways: &[(&str, ServiceManner)]) -> World {
    let mut world = World::with_settings(|settings| settings.jigasi_brewery = Some(BREWERY.parse().unwrap()));
    world.add_bridge("jvb-1");
    let response = world.request().unwrap().unwrap();
    assert_eq!(response.properties.get("sipGatewayEnabled").map(String::as_str), Some("true"));
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
    }
    for ((nick, manner), participants) in gateways.iter().zip(1..) {
        world.add_service(&jigasi(nick), *manner, says(participants, "supports_sip"));
    }
    world
}

fn dial(world: &mut World, nick: &str, to: &str, room: Option<&str>) -> Option<Result<Element, StanzaError>> {
    let header =
        |room: &str| Element::new("header", ns::RAYO).with_attr("name", "JvbRoomName").with_attr("value", room);
    let dial = Element::new("dial", ns::RAYO)
        .with_attr("to", to)
        .with_attr("from", "fromnumber")
        .with_children(room.map(header));
    let answer = world.ask(&format!("{ROOM}/{nick}"), dial)?;
    Some(if answer.attr("type") == Some("error") { Err(StanzaError::of_stanza(&answer)) } else { Ok(answer) })
}

fn condition(answer: Option<Result<Element, StanzaError>>) -> Condition {
    answer.expect("an answer").unwrap_err().condition
}

#[test]
fn a_gateway_calls_and_its_answer_comes_back() {
    let mut world = call(&[("jigasi-1", ServiceManner::Calling), ("jigasi-2", ServiceManner::Calling)]);
    let answer = dial(&mut world, "aaaa1111", "+4930123", Some(ROOM)).unwrap().unwrap();
    assert_eq!(answer.child("ref", ns::RAYO).unwrap().attr("uri"), Some("xmpp:call@jigasi"));
    let asked = world.service(&jigasi("jigasi-1")).asked.first().unwrap().clone();
    assert_eq!((asked.attr("to"), asked.children().count()), (Some("+4930123"), 1));
    assert!(world.service(&jigasi("jigasi-2")).asked.is_empty(), "one calls");
}

#[test]
fn others_are_tried_when_one_cannot() {
    let mut world = call(&[("jigasi-1", ServiceManner::Refusing), ("jigasi-2", ServiceManner::Calling)]);
    assert!(dial(&mut world, "aaaa1111", "+1", None).unwrap().is_ok());
    let refusing = ServiceManner::Refusing;
    let mut world = call(&[("a", refusing), ("b", refusing), ("c", refusing), ("d", ServiceManner::Calling)]);
    assert_eq!(condition(dial(&mut world, "aaaa1111", "+1", None)), Condition::UndefinedCondition);
    assert!(world.service(&jigasi("d")).asked.is_empty(), "three tries");
}

#[test]
fn silence_is_told_as_such() {
    let mut world = call(&[("jigasi-1", ServiceManner::Silent)]);
    assert!(dial(&mut world, "aaaa1111", "+1", None).is_none());
    world.log.clear();
    world.seconds(15);
    let answers: Vec<&Element> = world.log.iter().filter(|stanza| stanza.attr("type") == Some("error")).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(StanzaError::of_stanza(answers.first().unwrap()).condition, Condition::RemoteServerTimeout);
}

#[test]
fn who_may_not_call_is_refused() {
    let mut world = call(&[("jigasi-1", ServiceManner::Calling)]);
    assert_eq!(condition(dial(&mut world, "bbbb2222", "+1", None)), Condition::Forbidden);
    assert_eq!(condition(dial(&mut world, "nobody", "+1", None)), Condition::Forbidden);
    let other = dial(&mut world, "aaaa1111", "+1", Some("other@muc.meet.jitsi"));
    assert_eq!(condition(other), Condition::Forbidden);
    let elsewhere =
        world.ask("elsewhere@muc.meet.jitsi/aaaa1111", Element::new("dial", ns::RAYO).with_attr("to", "+1"));
    assert_eq!(StanzaError::of_stanza(&elsewhere.unwrap()).condition, Condition::ItemNotFound);
    world.remove_service(&jigasi("jigasi-1"));
    assert_eq!(condition(dial(&mut world, "aaaa1111", "+1", None)), Condition::ServiceUnavailable);
}

#[test]
fn one_transcriber_is_enough() {
    let mut world = call(&[("jigasi-1", ServiceManner::Calling)]);
    let to = "jitsi_meet_transcribe";
    assert_eq!(condition(dial(&mut world, "aaaa1111", to, None)), Condition::ServiceUnavailable);
    world.add_service(&jigasi("scribe"), ServiceManner::Calling, says(0, "supports_transcription"));
    assert!(dial(&mut world, "aaaa1111", to, None).unwrap().is_ok());
    assert_eq!(world.service(&jigasi("scribe")).asked.len(), 1);
    let transcriber = FakeClient {
        real_jid: "transcriber@hidden.meet.jitsi/r".to_owned(),
        services: vec!["http://jitsi.org/protocol/transcriber"],
        ..FakeClient::new("cccc3333")
    };
    world.join_as(transcriber);
    assert_eq!(condition(dial(&mut world, "aaaa1111", to, None)), Condition::Conflict);
}
