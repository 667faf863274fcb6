//! How many may be heard and seen, and services that are no people.

use xmpp::jingle::Action;
use xmpp::{Condition, Element, StanzaError, ns};

use crate::world::{FakeClient, ROOM, World};

fn sending(nick: &str, audio: bool) -> FakeClient {
    let info = format!(r#"{{"{nick}-a0":{{"muted":{}}},"{nick}-v0":{{"muted":true}}}}"#, !audio);
    FakeClient { source_info: Some(info), ..FakeClient::new(nick) }
}

fn says(world: &World, property: &str) -> Option<String> {
    let properties = world.room_presence().child("conference-properties", ns::FOCUS).unwrap();
    let mut all = properties.children_named("property", ns::FOCUS);
    all.find(|known| known.attr("key") == Some(property)).map(|known| known.attr("value").unwrap().to_owned())
}

/// A call of two in which one may be heard.
fn call() -> World {
    let mut world = World::with_settings(|settings| settings.limits.audio_senders = 1);
    world.add_bridge("jvb-1");
    world.request();
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join_as(sending(nick, false));
    }
    for nick in ["aaaa1111", "bbbb2222"] {
        let mut accept = world.client(nick).session_accept();
        accept.contents.iter_mut().filter_map(|content| content.description.as_mut()).for_each(|description| {
            description.sources.clear();
            description.groups.clear();
        });
        world.jingle(nick, &accept).unwrap();
    }
    world
}

fn says_that_it_sends(world: &mut World, nick: &str, audio: bool) {
    world.client(nick).source_info = sending(nick, audio).source_info;
    let presence = world.client(nick).presence();
    world.stanza(presence);
}

fn add_sources(world: &mut World, nick: &str) -> Result<(), StanzaError> {
    let mut add = world.client(nick).message(Action::SourceAdd);
    add.contents = world.client(nick).contents();
    world.jingle(nick, &add)
}

#[test]
fn who_unmutes_beyond_the_limit_is_refused_until_another_mutes() {
    let mut world = call();
    assert_eq!(says(&world, "audio-limit-reached"), None, "nothing to say yet");
    add_sources(&mut world, "aaaa1111").unwrap();
    says_that_it_sends(&mut world, "aaaa1111", true);
    assert_eq!(says(&world, "audio-limit-reached").as_deref(), Some("true"));
    assert_eq!(says(&world, "video-limit-reached"), None);
    let error = add_sources(&mut world, "bbbb2222").unwrap_err();
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert_eq!(error.text.as_deref(), Some("Sender count exceeded for: audio"));
    says_that_it_sends(&mut world, "aaaa1111", false);
    assert_eq!(says(&world, "audio-limit-reached").as_deref(), Some("false"));
    add_sources(&mut world, "bbbb2222").unwrap();
}

#[test]
fn who_leaves_makes_room_for_another() {
    let mut world = call();
    says_that_it_sends(&mut world, "aaaa1111", true);
    world.join("cccc3333");
    world.leave("aaaa1111");
    assert_eq!(says(&world, "audio-limit-reached").as_deref(), Some("false"));
}

#[test]
fn who_comes_when_too_many_are_there_starts_muted() {
    let mut world = call();
    let muted = world.client("bbbb2222").offer().extension("startmuted", ns::START_MUTED).unwrap().to_string();
    assert!(muted.contains("audio='true'") && muted.contains("video='false'"), "{muted}");
}

fn recorder(nick: &str, real_jid: &str) -> FakeClient {
    let services = vec!["http://jitsi.org/protocol/jibri"];
    FakeClient { real_jid: real_jid.to_owned(), services, ..FakeClient::new(nick) }
}

#[test]
fn a_recorder_is_no_owner_and_is_not_muted() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join_as(recorder("rrrr1111", "recorder@hidden.meet.jitsi/r"));
    world.join("aaaa1111");
    assert_eq!(world.owners, ["aaaa1111-real@meet.jitsi"]);
    let mute = Element::new("mute", ns::MUTE_AUDIO).with_attr("jid", format!("{ROOM}/rrrr1111")).with_text("true");
    let error = world.ask_at_once(&format!("{ROOM}/aaaa1111"), mute).unwrap_err();
    assert_eq!(error.condition, Condition::NotAllowed);
    let endpoint = world.bridge("jvb-1").last_of("rrrr1111").clone();
    assert_eq!(endpoint.capabilities, ["source-names", "private-address-connectivity"]);
    let endpoint = world.bridge("jvb-1").last_of("aaaa1111").clone();
    assert_eq!(endpoint.capabilities, ["source-names"]);
}

#[test]
fn nobody_becomes_a_recorder_by_saying_so() {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join_as(recorder("rrrr1111", "guest@meet.jitsi/r"));
    world.join("aaaa1111");
    assert_eq!(world.owners, ["guest@meet.jitsi"]);
    assert_eq!(world.bridge("jvb-1").last_of("rrrr1111").capabilities, ["source-names"]);
}
