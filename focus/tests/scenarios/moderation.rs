//! Who may mute whom.

use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{FakeClient, ROOM, World};

fn mute(world: &mut World, from: &str, target: &str, value: &str) -> Result<(), StanzaError> {
    let mute = Element::new("mute", ns::MUTE_AUDIO).with_attr("jid", format!("{ROOM}/{target}")).with_text(value);
    world.ask_at_once(&format!("{ROOM}/{from}"), mute).map(|_| ())
}

/// The first is moderator.
fn call() -> World {
    let world = World::in_call(&["aaaa1111", "bbbb2222", "cccc3333"]);
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi"]);
    world
}

#[test]
fn a_moderator_mutes_others() {
    let mut world = call();
    mute(&mut world, "aaaa1111", "bbbb2222", "true").unwrap();
    let told = world.client("bbbb2222").mutes.last().unwrap().clone();
    assert_eq!((told.attr("actor"), told.text().as_str()), (Some("demo@muc.meet.jitsi/aaaa1111"), "true"));
    assert!(told.is("mute", ns::MUTE_AUDIO));
    world.seconds(60);
    assert_eq!(world.client("bbbb2222").mutes.len(), 1, "clients never answer");
}

#[test]
fn others_may_mute_only_themselves() {
    let mut world = call();
    let not_allowed = |answer: Result<(), StanzaError>| answer.unwrap_err().condition == Condition::NotAllowed;
    assert!(not_allowed(mute(&mut world, "bbbb2222", "cccc3333", "true")));
    assert!(not_allowed(mute(&mut world, "aaaa1111", "cccc3333", "false")), "nobody is unmuted by others");
    for value in ["true", "false"] {
        mute(&mut world, "bbbb2222", "bbbb2222", value).unwrap();
    }
    assert!(world.client("bbbb2222").mutes.is_empty(), "it knows already");
}

#[test]
fn every_kind_of_media_may_be_muted() {
    let mut world = call();
    for namespace in [ns::MUTE_VIDEO, ns::MUTE_DESKTOP] {
        let mute = Element::new("mute", namespace).with_attr("jid", format!("{ROOM}/bbbb2222")).with_text("true");
        world.ask_at_once(&format!("{ROOM}/aaaa1111"), mute).unwrap();
        assert_eq!(world.client("bbbb2222").mutes.last().unwrap().ns(), namespace);
    }
}

#[test]
fn mutes_without_sense_are_refused() {
    let mut world = call();
    let condition = |answer: Result<(), StanzaError>| answer.unwrap_err().condition;
    assert_eq!(condition(mute(&mut world, "aaaa1111", "nobody", "true")), Condition::InternalServerError);
    assert_eq!(condition(mute(&mut world, "stranger", "aaaa1111", "true")), Condition::InternalServerError);
    assert_eq!(condition(mute(&mut world, "aaaa1111", "bbbb2222", "perhaps")), Condition::BadRequest);
    let without_target = Element::new("mute", ns::MUTE_AUDIO).with_text("true");
    let error = world.ask_at_once(&format!("{ROOM}/aaaa1111"), without_target).unwrap_err();
    assert_eq!(error.condition, Condition::BadRequest);
    let elsewhere = Element::new("mute", ns::MUTE_AUDIO).with_attr("jid", "x@muc.meet.jitsi/b").with_text("true");
    let error = world.ask_at_once("x@muc.meet.jitsi/a", elsewhere).unwrap_err();
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[test]
fn visitors_are_not_muted() {
    let mut world = call();
    world.join_as(FakeClient { role: "visitor", ..FakeClient::new("dddd4444") });
    let error = mute(&mut world, "aaaa1111", "dddd4444", "true").unwrap_err();
    assert_eq!(error.condition, Condition::NotAllowed);
}
