//! Rooms that are opened by who logged in.

use std::time::Duration;

use auth::Moderators;
use focus::{AuthenticationSettings, AuthorityType};
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{ROOM, World};

fn world(login_domain: &str) -> World {
    world_with(login_domain, AuthorityType::Xmpp { lifetime: AuthorityType::DEFAULT_LIFETIME })
}

fn world_with(login_domain: &str, authority_type: AuthorityType) -> World {
    let mut world = World::with_settings(|settings| {
        settings.authentication =
            Some(AuthenticationSettings { login_domain: login_domain.to_owned(), authority_type, auto_login: true });
        settings.moderators = Moderators::Authenticated;
    });
    world.add_bridge("jvb-1");
    world
}

fn ask(world: &mut World, client: &str, session_id: Option<&str>) -> Result<ConferenceResponse, StanzaError> {
    let mut request = ConferenceRequest::new(ROOM.parse().unwrap());
    request.machine_uid = Some("machine".to_owned());
    request.session_id = session_id.map(str::to_owned);
    let answer = world.ask_at_once(&format!("focus.meet.jitsi/{client}"), request.to_element())?;
    Ok(ConferenceResponse::from_element(answer.child("conference", ns::FOCUS).unwrap()).unwrap())
}

#[test]
fn s0_45_a_guest_opens_no_room_and_joins_an_open_one() {
    let mut world = world("meet.jitsi");
    let refused = ask(&mut world, "g@guest.meet.jitsi/1", None).unwrap_err();
    assert_eq!(
        (refused.condition, refused.text.as_deref()),
        (Condition::NotAuthorized, Some("not authorized user domain"))
    );
    assert!(!world.log.iter().any(|stanza| stanza.attr("to").is_some_and(|to| to.starts_with(ROOM))), "no room");
    let host = ask(&mut world, "alice@meet.jitsi/1", None).unwrap();
    assert_eq!(host.identity.as_deref(), Some("alice@meet.jitsi"));
    assert_eq!(host.properties.get("authentication").map(String::as_str), Some("true"));
    assert_eq!(host.properties.get("externalAuth").map(String::as_str), Some("false"));
    let guest = ask(&mut world, "g@guest.meet.jitsi/1", None).unwrap();
    assert!(guest.ready && guest.session_id.is_none());
}

#[test]
fn s0_47_everybody_who_logged_in_moderates() {
    let mut world = world("meet.jitsi");
    ask(&mut world, "alice@meet.jitsi/1", None).unwrap();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi", "bbbb2222-real@meet.jitsi"]);
}

#[test]
fn a_guest_in_the_room_is_made_owner_by_logging_in_and_nobody_else_is() {
    let mut world = world("login.jitsi");
    let session = ask(&mut world, "alice@login.jitsi/1", None).unwrap().session_id.unwrap();
    world.join("aaaa1111");
    world.join("bbbb2222");
    assert!(world.owners.is_empty());
    let real = world.client("bbbb2222").real_jid.clone();
    ask(&mut world, &real, Some(&session)).unwrap();
    assert_eq!(world.owners, ["bbbb2222-real@meet.jitsi"]);
}

#[test]
fn who_logs_out_or_stays_away_has_no_session() {
    let mut world = world("meet.jitsi");
    let session = ask(&mut world, "alice@meet.jitsi/1", None).unwrap().session_id.unwrap();
    let logout = Element::new("logout", ns::FOCUS).with_attr("session-id", session.as_str());
    world.ask_at_once("focus.meet.jitsi/g@guest.meet.jitsi/1", logout.clone()).unwrap();
    let again = world.ask_at_once("focus.meet.jitsi/g@guest.meet.jitsi/1", logout).unwrap_err();
    assert_eq!(again.condition, Condition::NotAcceptable);
    let session = ask(&mut world, "alice@meet.jitsi/1", None).unwrap().session_id.unwrap();
    world.now += AuthorityType::DEFAULT_LIFETIME + Duration::from_secs(20);
    world.seconds(1);
    let refused = ask(&mut world, "g@guest.meet.jitsi/1", Some(&session)).unwrap_err();
    assert_eq!(refused.condition, Condition::NotAcceptable);
}

#[test]
fn where_to_log_in_is_told() {
    let mut world = world("meet.jitsi");
    let request = Element::new("login-url", ns::FOCUS).with_attr("room", ROOM).with_attr("machine-uid", "machine");
    let answer = world.ask_at_once("focus.meet.jitsi/g@guest.meet.jitsi/1", request).unwrap();
    let url = answer.child("login-url", ns::FOCUS).unwrap().attr("url").unwrap().to_owned();
    assert_eq!(url, "./demo?login=true");
    let unnamed = Element::new("login-url", ns::FOCUS).with_attr("room", ROOM);
    let refused = world.ask_at_once("focus.meet.jitsi/g@guest.meet.jitsi/1", unnamed).unwrap_err();
    assert_eq!(refused.condition, Condition::BadRequest);
}

#[test]
fn where_people_log_in_with_tokens_clients_have_nothing_to_ask_for() {
    let mut world = world_with("meet.jitsi", AuthorityType::Jwt);
    assert_eq!(ask(&mut world, "g@guest.meet.jitsi/1", None).unwrap_err().condition, Condition::NotAuthorized);
    let host = ask(&mut world, "u@meet.jitsi/1", None).unwrap();
    assert_eq!(host.properties.get("externalAuth").map(String::as_str), Some("true"));
    let request = Element::new("login-url", ns::FOCUS).with_attr("room", ROOM).with_attr("machine-uid", "machine");
    let answer = world.ask_at_once("focus.meet.jitsi/g@guest.meet.jitsi/1", request).unwrap();
    assert_eq!(answer.child("login-url", ns::FOCUS).unwrap().attr("url"), None);
}
