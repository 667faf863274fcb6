//! Who may mute whom.

use jitsi_protocol::colibri2::ForceMute;
use serde_json::json;
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

const AV_MODERATION: &str = "avmoderation.meet.jitsi";

fn says(world: &mut World, from: &str, json: &serde_json::Value) {
    let element = Element::new("json-message", ns::JITMEET).with_attr("room", ROOM).with_text(json.to_string());
    world.stanza(Element::new("message", ns::CLIENT).with_attr("from", from).with_child(element));
}

fn moderate(world: &mut World, from: &str, is_on: bool) {
    let actor = format!("{ROOM}/aaaa1111");
    let json = json!({"type": "av_moderation", "room": ROOM, "enabled": is_on, "mediaType": "audio", "actor": actor});
    says(world, from, &json);
}

fn whitelist(world: &mut World, nicks: &[&str]) {
    let jids: Vec<String> = nicks.iter().map(|nick| format!("{ROOM}/{nick}")).collect();
    let lists = if jids.is_empty() { json!({}) } else { json!({"audio": jids}) };
    says(
        world,
        AV_MODERATION,
        &json!({"type": "av_moderation", "room": ROOM, "mediaType": "audio", "whitelists": lists}),
    );
}

/// What the bridge was told last to drop of an endpoint.
fn force_mute(world: &mut World, nick: &str) -> Option<ForceMute> {
    let endpoints = world.bridge("jvb-1").requests.iter().flat_map(|request| &request.endpoints);
    endpoints.filter(|endpoint| endpoint.id.as_str() == nick).filter_map(|endpoint| endpoint.force_mute).next_back()
}

#[test]
fn moderation_mutes_all_but_moderators_and_lets_approved_ones_unmute() {
    let mut world = call();
    moderate(&mut world, AV_MODERATION, true);
    assert!(world.client("aaaa1111").mutes.is_empty());
    let told = world.client("bbbb2222").mutes.pop().unwrap();
    assert_eq!((told.attr("actor"), told.text().as_str()), (Some("demo@muc.meet.jitsi/aaaa1111"), "true"));
    assert_eq!(force_mute(&mut world, "bbbb2222"), Some(ForceMute { audio: true, video: false }));
    assert_eq!(force_mute(&mut world, "aaaa1111"), None);
    assert_eq!(
        mute(&mut world, "bbbb2222", "bbbb2222", "false").unwrap_err().condition,
        Condition::NotAllowed,
        "he may not unmute himself"
    );
    mute(&mut world, "aaaa1111", "aaaa1111", "false").unwrap();
    whitelist(&mut world, &["aaaa1111", "bbbb2222"]);
    assert_eq!(force_mute(&mut world, "bbbb2222"), Some(ForceMute::default()));
    mute(&mut world, "bbbb2222", "bbbb2222", "false").unwrap();
    assert_eq!(force_mute(&mut world, "cccc3333"), Some(ForceMute { audio: true, video: false }));
    // Taken back, it is as before.
    whitelist(&mut world, &[]);
    assert_eq!(world.client("bbbb2222").mutes.len(), 1);
    assert_eq!(force_mute(&mut world, "bbbb2222"), Some(ForceMute { audio: true, video: false }));
    moderate(&mut world, AV_MODERATION, false);
    assert_eq!(force_mute(&mut world, "cccc3333"), Some(ForceMute::default()));
    mute(&mut world, "cccc3333", "cccc3333", "false").unwrap();
}

#[test]
fn who_comes_while_moderation_is_on_is_not_heard() {
    let mut world = call();
    moderate(&mut world, AV_MODERATION, true);
    world.join("dddd4444");
    assert_eq!(force_mute(&mut world, "dddd4444"), Some(ForceMute { audio: true, video: false }));
    // As a moderator he would be.
    let mut presence = FakeClient { role: "moderator", affiliation: "owner", ..FakeClient::new("dddd4444") }.presence();
    presence.set_attr("id", "again");
    world.stanza(presence);
    assert_eq!(force_mute(&mut world, "dddd4444"), Some(ForceMute::default()));
}

#[test]
fn only_the_component_moderates() {
    let mut world = call();
    for from in
        ["demo@muc.meet.jitsi/bbbb2222", "demo@muc.meet.jitsi", "avmoderation.meet.jitsi/x", "metadata.meet.jitsi"]
    {
        moderate(&mut world, from, true);
    }
    says(&mut world, AV_MODERATION, &json!({"room": ROOM, "enabled": true, "mediaType": "smell"}));
    says(&mut world, AV_MODERATION, &json!("nonsense"));
    assert!(world.client("bbbb2222").mutes.is_empty());
    mute(&mut world, "bbbb2222", "bbbb2222", "false").unwrap();
}

#[test]
fn who_comes_starts_muted_when_the_room_agreed_on_it() {
    let mut world = call();
    says(
        &mut world,
        "metadata.meet.jitsi",
        &json!({"type": "room_metadata", "metadata": {"startMuted": {"audio": true}}}),
    );
    world.join("dddd4444");
    let offer = world.client("dddd4444").told.last().unwrap().clone();
    let policy = offer.extensions.iter().find(|extension| extension.is("startmuted", ns::START_MUTED)).unwrap();
    assert_eq!((policy.attr("audio"), policy.attr("video")), (Some("true"), Some("false")));
}

#[test]
fn neither_recorders_nor_people_in_breakout_rooms_are_made_owners() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join_as(FakeClient { real_jid: "recorder@hidden.meet.jitsi/r".to_owned(), ..FakeClient::new("aaaa1111") });
    assert!(world.owners.is_empty());
    world.join("bbbb2222");
    assert_eq!(world.owners, ["bbbb2222-real@meet.jitsi"]);
    let mut world = World::with_settings(|settings| settings.breakout_domain = Some("muc.meet.jitsi".to_owned()));
    world.request();
    world.join("aaaa1111");
    assert!(world.owners.is_empty());
}
