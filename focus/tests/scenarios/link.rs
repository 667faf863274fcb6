//! The stream of the focus, what anyone may ask of it, and requests by HTTP.

use focus::{Health, HttpRequestId, Input};
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{BREWERY, ROOM, World};

fn http(world: &mut World, id: u64) {
    let request = ConferenceRequest::new(ROOM.parse().unwrap());
    world.input(Input::HttpConferenceRequest { id: HttpRequestId(id), request });
}

#[test]
fn answers_by_http_as_by_iq() {
    let mut world = World::new();
    http(&mut world, 7);
    let (id, response) = world.http.pop().unwrap();
    assert_eq!(id, HttpRequestId(7));
    assert!(response.unwrap().ready);
}

#[test]
fn without_a_stream_clients_ask_again() {
    let mut world = World::new();
    world.input(Input::LinkDown);
    http(&mut world, 1);
    assert!(!world.http.pop().unwrap().1.unwrap().ready);
    assert_eq!(world.focus.health(world.now), Health::NoStream);
}

#[test]
fn a_lost_stream_ends_conferences_and_answers_who_waits() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.room_manner = crate::world::RoomManner::Silent;
    let other = ConferenceRequest::new("other@muc.meet.jitsi".parse().unwrap());
    world.input(Input::HttpConferenceRequest { id: HttpRequestId(2), request: other });
    world.log.clear();
    world.input(Input::LinkDown);
    assert!(!world.http.pop().unwrap().1.unwrap().ready);
    assert!(world.log.is_empty(), "nothing can be sent");
    assert_eq!(world.deadline(), None);

    world.room_manner = crate::world::RoomManner::Welcoming;
    world.clients.clear();
    world.link_up();
    assert!(world.request().unwrap().unwrap().ready);
    world.join("cccc3333");
    world.join("dddd4444");
    assert!(world.client("cccc3333").has_offer(), "bridges were found again");
}

#[test]
fn shows_that_it_is_available_before_anything_else() {
    let mut world = World::new();
    world.log.clear();
    world.link_up();
    let first = &world.log[0];
    assert_eq!((first.name(), first.attr("to"), first.attr("type")), ("presence", None, None));
}

#[test]
fn a_stream_that_comes_twice_starts_over() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.link_up();
    let brewery = format!("{BREWERY}/focus");
    assert_eq!(world.log.iter().filter(|stanza| stanza.attr("to") == Some(&brewery)).count(), 1);
}

#[test]
fn says_what_it_is_and_that_it_lives() {
    let mut world = World::new();
    let ask = |world: &mut World, payload| world.ask_at_once("u@meet.jitsi/r", payload);
    ask(&mut world, Element::new("ping", ns::PING)).unwrap();
    let disco = ask(&mut world, Element::new("query", ns::DISCO_INFO)).unwrap().to_string();
    assert!(disco.contains("https://jitsi.org/meet/jicofo/terminate-restart"));
    let version = ask(&mut world, Element::new("query", ns::VERSION)).unwrap();
    assert!(version.child("query", ns::VERSION).unwrap().child("version", ns::VERSION).is_some());
}

#[test]
fn refuses_what_it_does_not_know() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    for from in ["u@meet.jitsi/r".to_owned(), format!("{ROOM}/aaaa1111")] {
        let error = world.ask_at_once(&from, Element::new("dance", "urn:dance")).unwrap_err();
        assert_eq!(error.condition, Condition::ServiceUnavailable);
    }
    let logout = Element::new("logout", ns::FOCUS).with_attr("session-id", "x");
    let error = world.ask_at_once("u@meet.jitsi/r", logout).unwrap_err();
    assert_eq!(error.condition, Condition::NotAcceptable);
    assert!(error.extensions.iter().any(|child| child.name() == "session-invalid"));
    let empty: Element =
        "<iq xmlns='jabber:client' type='get' id='e' from='u@meet.jitsi/r' to='focus@auth.meet.jitsi/focus'/>"
            .parse()
            .unwrap();
    world.stanza(empty);
    assert_eq!(StanzaError::of_stanza(&world.answer_to("e").unwrap()).condition, Condition::BadRequest);
}

#[test]
fn stanzas_without_sense_do_no_harm() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    for nonsense in [
        "<presence xmlns='jabber:client'/>",
        "<presence xmlns='jabber:client' from='@'/>",
        "<presence xmlns='jabber:client' from='demo@muc.meet.jitsi'/>",
        "<presence xmlns='jabber:client' from='demo@muc.meet.jitsi/focus' type='error'/>",
        "<presence xmlns='jabber:client' from='jvbbrewery@internal-muc.meet.jitsi/x' type='subscribe'/>",
        "<presence xmlns='jabber:client' from='jvbbrewery@internal-muc.meet.jitsi/x'/>",
        "<iq xmlns='jabber:client' type='result' id='f1' from='nobody@x/y'/>",
        "<iq xmlns='jabber:client' type='error'/>",
        "<iq xmlns='jabber:client' type='surprise' id='1' from='a@b/c'/>",
        "<iq xmlns='jabber:client' type='set' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<message xmlns='jabber:client' from='demo@muc.meet.jitsi'><body>hello</body></message>",
        "<weather xmlns='urn:sunny'/>",
    ] {
        world.stanza(nonsense.parse().unwrap());
    }
    world.join("cccc3333");
    world.accept("cccc3333").unwrap();
}

#[test]
fn health_is_about_stream_and_bridges() {
    let mut world = World::new();
    assert_eq!(world.focus.health(world.now), Health::NoBridge);
    world.add_bridge("jvb-1");
    assert_eq!(world.focus.health(world.now), Health::Healthy);
}

#[test]
fn the_brewery_is_joined_until_it_answers() {
    let mut world = World::new();
    let brewery = format!("{BREWERY}/focus");
    let joins = |world: &World| world.log.iter().filter(|stanza| stanza.attr("to") == Some(&brewery)).count();
    assert_eq!(joins(&world), 1);
    let mut refusal = crate::world::presence_of(&brewery, "none", "none", "x@y/z");
    refusal.set_attr("type", "error");
    world.stanza(refusal);
    world.seconds(4);
    assert_eq!(joins(&world), 1);
    world.seconds(1);
    assert_eq!(joins(&world), 2);
    world.seconds(60);
    assert_eq!(joins(&world), 2, "joined");
}
