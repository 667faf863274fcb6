//! New sessions at the client's request, and new ICE credentials within one.

use jitsi_protocol::bridge_session::BridgeSession;
use xmpp::jingle::{Action, IceTransport, Jingle};
use xmpp::{Condition, Element, ns};

use crate::world::{World, bridge_transport};

fn terminate_with_restart(world: &mut World, nick: &str) -> Jingle {
    let client = world.client(nick);
    let session = BridgeSession { id: Some(client.bridge_session()), restart: true, ..BridgeSession::default() };
    let mut message = client.message(Action::SessionTerminate);
    message.extensions.push(session.to_element());
    message
}

fn ice_restart(world: &mut World, nick: &str) -> Jingle {
    let client = world.client(nick);
    let session = BridgeSession { id: Some(client.bridge_session()), ice_restart: true, ..BridgeSession::default() };
    let mut message = client.message(Action::SessionInfo);
    message.extensions.push(session.to_element());
    message
}

fn new_credentials(generation: Option<u32>) -> IceTransport {
    IceTransport { ice_generation: generation, ..bridge_transport("aaaa1111") }
}

#[test]
fn a_client_that_wants_a_new_session_gets_one() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let old = world.client("aaaa1111").offer().sid.clone();
    world.client("bbbb2222").told.clear();
    let message = terminate_with_restart(&mut world, "aaaa1111");
    world.jingle("aaaa1111", &message).unwrap();
    assert_ne!(world.client("aaaa1111").offer().sid, old, "the same id would be refused");
    let story = world.bridge("jvb-1").story();
    assert_eq!(story.get(story.len() - 2..).unwrap(), ["-aaaa1111", "+aaaa1111"]);
    world.accept("aaaa1111").unwrap();
    assert_eq!(world.client("bbbb2222").take_actions(), ["source-remove", "source-add"]);
}

#[test]
fn new_sessions_are_limited_in_rate() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    for gap in [0, 5, 5, 5, 5] {
        world.seconds(gap);
        let message = terminate_with_restart(&mut world, "aaaa1111");
        world.jingle("aaaa1111", &message).unwrap();
    }
    world.seconds(5);
    let message = terminate_with_restart(&mut world, "aaaa1111");
    let error = world.jingle("aaaa1111", &message).unwrap_err();
    assert_eq!((error.condition, error.text.as_deref()), (Condition::ResourceConstraint, Some("rate-limited")));
    assert_eq!(
        world.jingle("aaaa1111", &message).unwrap_err().condition,
        Condition::Gone,
        "the session ended all the same"
    );
    let sid = message.sid;
    world.seconds(10);
    assert_ne!(world.client("aaaa1111").offer().sid, sid, "invited again, but not at once");
    world.seconds(60);
    let message = terminate_with_restart(&mut world, "aaaa1111");
    world.jingle("aaaa1111", &message).unwrap();
    let message = terminate_with_restart(&mut world, "aaaa1111");
    assert_eq!(world.jingle("aaaa1111", &message).unwrap_err().condition, Condition::ResourceConstraint, "too soon");
}

#[test]
fn a_restart_is_about_the_current_session_on_the_bridge() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    for id in [Some("another".to_owned()), None] {
        let session = BridgeSession { id, restart: true, ..BridgeSession::default() };
        let mut message = world.client("aaaa1111").message(Action::SessionTerminate);
        message.extensions.push(session.to_element());
        assert_eq!(world.jingle("aaaa1111", &message).unwrap_err().condition, Condition::ItemNotFound);
    }
}

#[test]
fn ice_restarts_in_place() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.bridge("jvb-1").ice_restart = Some(new_credentials(Some(1)));
    let message = ice_restart(&mut world, "aaaa1111");
    world.jingle("aaaa1111", &message).unwrap();
    let asked = world.bridge("jvb-1").last_of("aaaa1111").transport.clone().unwrap();
    assert!(asked.ice_restart && asked.ice_controlling);
    let told = world.client("aaaa1111").told.last().unwrap().clone();
    assert_eq!(told.action, Action::TransportInfo);
    let content = told.contents.first().unwrap();
    assert_eq!((content.name.as_str(), content.transport.as_ref()), ("audio", Some(&new_credentials(Some(1)))));

    let mut answer = world.client("aaaa1111").message(Action::TransportInfo);
    answer.contents.push(content.clone());
    world.jingle("aaaa1111", &answer).unwrap();
    let update = world.bridge("jvb-1").last_of("aaaa1111").transport.clone().unwrap();
    assert_eq!(update.ice.unwrap().ice_generation, Some(1));
}

#[test]
fn old_and_needless_credentials_are_not_passed_on() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let told_after = |world: &mut World, generation| {
        world.seconds(6);
        world.bridge("jvb-1").ice_restart = Some(new_credentials(generation));
        let message = ice_restart(world, "aaaa1111");
        let before = world.client("aaaa1111").told.len();
        world.jingle("aaaa1111", &message).unwrap();
        world.client("aaaa1111").told.len() - before
    };
    assert_eq!(told_after(&mut world, None), 0, "the bridge had not used the old ones");
    assert_eq!(told_after(&mut world, Some(2)), 1);
    assert_eq!(told_after(&mut world, Some(2)), 0);
    assert_eq!(told_after(&mut world, Some(3)), 1);
}

#[test]
fn a_bridge_that_cannot_restart_ice_leads_to_a_new_session() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let message = ice_restart(&mut world, "aaaa1111");
    world.client("aaaa1111").told.clear();
    world.jingle("aaaa1111", &message).unwrap();
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-terminate", "session-initiate"]);
}

#[test]
fn ice_restarts_have_a_limit_of_their_own_and_a_switch() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.bridge("jvb-1").ice_restart = Some(new_credentials(Some(1)));
    let message = ice_restart(&mut world, "aaaa1111");
    world.jingle("aaaa1111", &message).unwrap();
    assert_eq!(world.jingle("aaaa1111", &message).unwrap_err().condition, Condition::ResourceConstraint);
    let new_session = terminate_with_restart(&mut world, "aaaa1111");
    world.jingle("aaaa1111", &new_session).unwrap();

    let mut world = World::with_settings(|settings| settings.enable_ice_restart = false);
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    let message = ice_restart(&mut world, "aaaa1111");
    let error = world.jingle("aaaa1111", &message).unwrap_err();
    assert_eq!(error.condition, Condition::FeatureNotImplemented);
    assert_eq!(error.text.as_deref(), Some("in-place ICE restart is disabled"));
}

#[test]
fn a_report_of_failed_ice_leads_to_a_new_session_if_it_is_current() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let told_after = |world: &mut World, state: &str, id: &str| {
        let client = world.client("aaaa1111");
        let mut message = client.message(Action::SessionInfo);
        message.extensions.push(Element::new("ice-state", ns::FOCUS).with_text(state));
        message.extensions.push(BridgeSession { id: Some(id.to_owned()), ..BridgeSession::default() }.to_element());
        let before = client.told.len();
        world.jingle("aaaa1111", &message).unwrap();
        world.client("aaaa1111").told.len() - before
    };
    let current = world.client("aaaa1111").bridge_session();
    assert_eq!(told_after(&mut world, "failed", "stale"), 0);
    assert_eq!(told_after(&mut world, "connected", &current), 0);
    assert_eq!(told_after(&mut world, "failed", &current), 2);
}
