//! Messages of clients that are out of place, and how they are answered.

use xmpp::jingle::{Action, Jingle};
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{FakeClient, Manner, ROOM, World};

fn refused(answer: Result<(), StanzaError>) -> (Condition, String) {
    let error = answer.unwrap_err();
    (error.condition, error.text.unwrap_or_default())
}

fn expect(condition: Condition, text: &str) -> (Condition, String) {
    (condition, text.to_owned())
}

#[test]
fn a_session_that_never_was_is_unknown() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let message = Jingle::new(Action::SourceAdd, "nonsense");
    let error = world.jingle("aaaa1111", &message).unwrap_err();
    assert_eq!(error.condition, Condition::BadRequest);
    assert!(error.extensions.iter().any(|child| child.is("unknown-session", ns::JINGLE_ERRORS)));
}

#[test]
fn an_ended_session_is_gone() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let terminate = world.client("aaaa1111").message(Action::SessionTerminate);
    let accept = world.client("aaaa1111").session_accept();
    world.jingle("aaaa1111", &terminate).unwrap();
    assert_eq!(refused(world.jingle("aaaa1111", &terminate)), expect(Condition::Gone, "session ended"));
    assert_eq!(refused(world.jingle("aaaa1111", &accept)), expect(Condition::Gone, "session ended"));
}

#[test]
fn a_replaced_session_cannot_be_accepted() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    let late = world.client("aaaa1111").session_accept();
    world.add_bridge("jvb-2");
    world.remove_bridge("jvb-1");
    assert_eq!(refused(world.jingle("aaaa1111", &late)), expect(Condition::Gone, "session has been replaced"));
    world.accept("aaaa1111").unwrap();
}

#[test]
fn a_session_is_accepted_once() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    assert_eq!(world.accept("aaaa1111").unwrap_err().condition, Condition::UnexpectedRequest);
}

#[test]
fn sources_come_after_the_acceptance() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    for action in [Action::SourceAdd, Action::SourceRemove] {
        let mut message = world.client("aaaa1111").message(action);
        message.contents = world.client("aaaa1111").contents();
        assert_eq!(world.jingle("aaaa1111", &message).unwrap_err().condition, Condition::UnexpectedRequest);
    }
}

#[test]
fn an_acceptance_needs_a_transport() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    let mut accept = world.client("aaaa1111").session_accept();
    for content in &mut accept.contents {
        content.transport = None;
    }
    assert_eq!(refused(world.jingle("aaaa1111", &accept)), expect(Condition::BadRequest, "missing transport"));
    let info = world.client("aaaa1111").message(Action::TransportInfo);
    assert_eq!(refused(world.jingle("aaaa1111", &info)), expect(Condition::BadRequest, "missing transport"));
}

#[test]
fn unsupported_and_missing_actions_are_told_apart() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let occupant = world.client("aaaa1111").occupant();
    for action in ["security-info", "content-modify", "transport-replace", "session-initiate", "transport-accept"] {
        let sid = world.client("aaaa1111").offer().sid.clone();
        let message = Element::new("jingle", ns::JINGLE).with_attr("action", action).with_attr("sid", sid);
        let error = world.ask_at_once(&occupant, message).unwrap_err();
        assert_eq!(error.condition, Condition::FeatureNotImplemented, "{action}");
    }
    let nothing = Element::new("jingle", ns::JINGLE).with_attr("sid", "s");
    let error = world.ask_at_once(&occupant, nothing).unwrap_err();
    assert_eq!((error.condition, error.text.as_deref()), (Condition::BadRequest, Some("Missing 'action'")));
}

#[test]
fn strangers_have_no_session() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let message = world.client("aaaa1111").message(Action::SessionInfo).to_element();
    let error = world.ask_at_once(&format!("{ROOM}/cccc3333"), message.clone()).unwrap_err();
    assert_eq!(error.condition, Condition::ItemNotFound);
    let other = world.ask_at_once(&format!("{ROOM}/bbbb2222"), message.clone()).unwrap_err();
    assert_eq!(other.condition, Condition::BadRequest, "the session of somebody else");
    let error = world.ask_at_once("elsewhere@muc.meet.jitsi/aaaa1111", message).unwrap_err();
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[test]
fn candidates_and_transport_rejections_are_taken() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let mut info = world.client("aaaa1111").message(Action::TransportInfo);
    info.contents = world.client("aaaa1111").session_accept().contents;
    world.jingle("aaaa1111", &info).unwrap();
    let update = world.bridge("jvb-1").last_of("aaaa1111").clone();
    assert_eq!(update.transport.unwrap().ice.unwrap().ufrag.as_deref(), Some("cufrag"));
    assert_eq!(update.sources, None, "the sources stay");
    let reject = world.client("aaaa1111").message(Action::TransportReject);
    world.jingle("aaaa1111", &reject).unwrap();
}

#[test]
fn a_client_that_ends_its_session_stays_uninvited() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.client("bbbb2222").told.clear();
    let terminate = world.client("aaaa1111").message(Action::SessionTerminate);
    world.jingle("aaaa1111", &terminate).unwrap();
    assert_eq!(world.client("bbbb2222").take_actions(), ["source-remove"]);
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("-aaaa1111"));
    world.client("aaaa1111").told.clear();
    world.join("cccc3333");
    assert!(world.client("cccc3333").has_offer() && world.client("aaaa1111").told.is_empty());
}

#[test]
fn a_refused_offer_ends_the_session() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let refusal = StanzaError::new(Condition::ServiceUnavailable).with_text("no camera, no microphone");
    world.join_as(FakeClient { refuses_offers: Some(refusal), ..FakeClient::new("cccc3333") });
    assert_eq!(world.bridge("jvb-1").story().last().map(String::as_str), Some("-cccc3333"));
    assert_eq!(refused(world.accept("cccc3333")), expect(Condition::Gone, "session ended"));
}

#[test]
fn an_unanswered_offer_counts_as_taken() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.join_as(FakeClient { is_silent: true, ..FakeClient::new("cccc3333") });
    world.seconds(60);
    world.accept("cccc3333").unwrap();
}

#[test]
fn the_answer_comes_before_what_follows() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    world.bridge("jvb-1").manner = Manner::Silent;
    world.log.clear();
    world.accept("aaaa1111").unwrap();
    let kinds: Vec<&str> = world.log.iter().filter_map(|stanza| stanza.attr("type")).collect();
    assert_eq!(kinds.first(), Some(&"result"), "clients wait ten seconds at most");
}

#[test]
fn last_n_of_an_acceptance_goes_to_the_bridge() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join("aaaa1111");
    world.join("bbbb2222");
    let mut accept = world.client("aaaa1111").session_accept();
    let last_n = Element::new("initial-last-n", ns::COLIBRI2).with_attr("value", "20");
    accept.contents.last_mut().unwrap().extensions.push(last_n);
    world.jingle("aaaa1111", &accept).unwrap();
    assert_eq!(world.bridge("jvb-1").last_of("aaaa1111").initial_last_n, Some(20));
}
