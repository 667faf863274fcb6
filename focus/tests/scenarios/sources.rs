//! Sources come and go during a call.

use std::collections::BTreeSet;

use model::MediaType;
use xmpp::Condition;
use xmpp::jingle::{Action, GroupSemantics, Jingle, SsrcGroup};

use crate::world::{FakeClient, World};

fn desktop(world: &mut World, nick: &str, action: Action) -> Jingle {
    let client = world.client(nick);
    let mut message = client.message(action);
    let fid = SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![model::Ssrc(7001), model::Ssrc(7002)] };
    message.contents = vec![client.content(MediaType::Video, "v1", &[7001, 7002], vec![fid])];
    message
}

#[test]
fn a_shared_screen_comes_and_goes_for_the_others() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222", "cccc3333"]);
    let add = desktop(&mut world, "aaaa1111", Action::SourceAdd);
    world.jingle("aaaa1111", &add).unwrap();
    let expected = BTreeSet::from(["aaaa1111:7001".to_owned(), "aaaa1111:7002".to_owned()]);
    for nick in ["bbbb2222", "cccc3333"] {
        let told = world.client(nick).told.last().unwrap().clone();
        assert_eq!((told.action, FakeClient::sources_in(&told)), (Action::SourceAdd, expected.clone()));
    }
    let sources = world.bridge("jvb-1").last_of("aaaa1111").sources.clone().unwrap();
    let names: Vec<&str> = sources.iter().map(|source| source.id.as_str()).collect();
    assert_eq!(names, ["aaaa1111-a0", "aaaa1111-v0", "aaaa1111-v1"], "a bridge gets the full list");

    let remove = desktop(&mut world, "aaaa1111", Action::SourceRemove);
    world.jingle("aaaa1111", &remove).unwrap();
    let told = world.client("bbbb2222").told.last().unwrap().clone();
    assert_eq!((told.action, FakeClient::sources_in(&told)), (Action::SourceRemove, expected));
    assert_eq!(world.bridge("jvb-1").last_of("aaaa1111").sources.as_ref().unwrap().len(), 2);
}

#[test]
fn changes_before_the_acceptance_are_told_with_it() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.join("cccc3333");
    let add = desktop(&mut world, "aaaa1111", Action::SourceAdd);
    world.jingle("aaaa1111", &add).unwrap();
    world.leave("bbbb2222");
    assert_eq!(world.client("cccc3333").told.len(), 1);
    world.accept("cccc3333").unwrap();
    let told = world.client("cccc3333").told.last().unwrap().clone();
    let expected = BTreeSet::from(["aaaa1111:7001".to_owned(), "aaaa1111:7002".to_owned()]);
    assert_eq!((told.action, FakeClient::sources_in(&told)), (Action::SourceAdd, expected));
}

#[test]
fn simulcast_layers_are_hidden_from_receivers_but_not_from_the_bridge() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let client = world.client("aaaa1111");
    let ssrcs = [8001, 8002, 8003, 8011, 8012, 8013];
    let group =
        |semantics, ssrcs: &[u32]| SsrcGroup { semantics, ssrcs: ssrcs.iter().copied().map(model::Ssrc).collect() };
    let groups = vec![
        group(GroupSemantics::Sim, &[8001, 8002, 8003]),
        group(GroupSemantics::Fid, &[8001, 8011]),
        group(GroupSemantics::Fid, &[8002, 8012]),
        group(GroupSemantics::Fid, &[8003, 8013]),
    ];
    let mut add = client.message(Action::SourceAdd);
    add.contents = vec![client.content(MediaType::Video, "v1", &ssrcs, groups)];
    world.jingle("aaaa1111", &add).unwrap();
    let told = FakeClient::sources_in(world.client("bbbb2222").told.last().unwrap());
    assert_eq!(told, BTreeSet::from(["aaaa1111:8001".to_owned(), "aaaa1111:8011".to_owned()]));
    let sources = world.bridge("jvb-1").last_of("aaaa1111").sources.clone().unwrap();
    let screen = sources.iter().find(|source| source.id.as_str() == "aaaa1111-v1").unwrap();
    assert_eq!((screen.sources.len(), screen.groups.len()), (6, 4));
}

#[test]
fn refused_sources_change_nothing() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let others = world.client("bbbb2222").audio_ssrc();
    let requests = world.bridge("jvb-1").requests.len();
    world.client("bbbb2222").told.clear();
    let mut add = world.client("aaaa1111").message(Action::SourceAdd);
    add.contents = vec![world.client("aaaa1111").content(MediaType::Audio, "a1", &[others], vec![])];
    let error = world.jingle("aaaa1111", &add).unwrap_err();
    assert_eq!(error.condition, Condition::BadRequest);
    assert_eq!(error.text, Some(format!("SSRC is already used: {others}.")));
    let mut remove = world.client("aaaa1111").message(Action::SourceRemove);
    remove.contents = add.contents.clone();
    let error = world.jingle("aaaa1111", &remove).unwrap_err();
    assert_eq!(error.text, Some(format!("Source does not exist or is not owned by endpoint (ssrc={others}).")));
    assert_eq!(world.bridge("jvb-1").requests.len(), requests);
    assert!(world.client("bbbb2222").told.is_empty());
}

#[test]
fn an_acceptance_with_bad_sources_may_be_repeated() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    world.join("cccc3333");
    let taken = world.client("aaaa1111").audio_ssrc();
    let mut accept = world.client("cccc3333").session_accept();
    accept.contents.push(world.client("cccc3333").content(MediaType::Audio, "a1", &[taken], vec![]));
    assert_eq!(world.jingle("cccc3333", &accept).unwrap_err().condition, Condition::BadRequest);
    world.accept("cccc3333").unwrap();
}

#[test]
fn an_empty_addition_is_taken_and_ignored() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222"]);
    let requests = world.bridge("jvb-1").requests.len();
    let add = world.client("aaaa1111").message(Action::SourceAdd);
    world.jingle("aaaa1111", &add).unwrap();
    assert_eq!(world.bridge("jvb-1").requests.len(), requests);
}

#[test]
fn a_nick_that_comes_back_starts_with_nothing() {
    let mut world = World::in_call(&["aaaa1111", "bbbb2222", "cccc3333"]);
    world.leave("aaaa1111");
    world.client("bbbb2222").told.clear();
    world.join("aaaa1111");
    world.accept("aaaa1111").unwrap();
    assert_eq!(world.client("bbbb2222").take_actions(), ["source-add"]);
}

#[test]
fn large_conferences_are_told_of_changes_together() {
    let mut world = World::with_settings(|settings| {
        settings.source_signaling_delays = [(3, std::time::Duration::from_millis(500))].into();
    });
    world.add_bridge("jvb-1");
    world.request();
    for nick in ["aaaa1111", "bbbb2222"] {
        world.join(nick);
    }
    for nick in ["aaaa1111", "bbbb2222"] {
        world.accept(nick).unwrap();
    }
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-initiate", "source-add"], "a small one at once");
    for nick in ["cccc3333", "dddd4444"] {
        world.join(nick);
        world.accept(nick).unwrap();
    }
    assert!(world.client("aaaa1111").take_actions().is_empty());
    world.advance(std::time::Duration::from_millis(500));
    assert_eq!(world.client("aaaa1111").take_actions(), ["source-add"]);
    assert_eq!(world.client("aaaa1111").known.len(), 9, "of three others");
}
