//! Clients that take sources from their bridge (`http://jitsi.org/ssrc-rewriting-1`).

use std::collections::BTreeSet;

use crate::world::{FakeClient, SSRC_REWRITING, World};
use xmpp::jingle::Action;

/// A call of a client that takes sources from its bridge, and one that takes them from the focus.
fn mixed_call() -> World {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world.join_as(FakeClient::rewriting("aaaa1111"));
    world.join("bbbb2222");
    world.accept("aaaa1111").unwrap();
    world.accept("bbbb2222").unwrap();
    world
}

fn owners(sources: &BTreeSet<String>) -> BTreeSet<&str> {
    sources.iter().filter_map(|source| source.split(':').next()).collect()
}

#[test]
fn the_bridge_is_told_who_takes_sources_from_it() {
    let mut world = mixed_call();
    let capabilities = |world: &mut World, endpoint: &str| {
        let requests = &world.bridge("jvb-1").requests;
        let mut all = requests.iter().flat_map(|request| &request.endpoints);
        all.find(|known| known.create && known.id.as_str() == endpoint).unwrap().capabilities.clone()
    };
    assert_eq!(capabilities(&mut world, "aaaa1111"), ["source-names", "ssrc-rewriting"]);
    assert_eq!(capabilities(&mut world, "bbbb2222"), ["source-names"]);
    let mut with_mids = FakeClient::rewriting("cccc3333");
    with_mids.features.as_mut().unwrap().push("http://jitsi.org/rtp-mid-demux");
    world.join_as(with_mids);
    assert_eq!(capabilities(&mut world, "cccc3333"), ["source-names", "ssrc-rewriting", "rtp-mid-demux"]);
}

#[test]
fn is_told_only_the_sources_of_the_bridge() {
    let mut world = mixed_call();
    world.join("cccc3333");
    world.accept("cccc3333").unwrap();
    world.join_as(FakeClient::rewriting("dddd4444"));
    let offered = FakeClient::sources_in(world.client("dddd4444").offer());
    assert_eq!(owners(&offered), BTreeSet::from(["jvb"]));
    world.accept("dddd4444").unwrap();
    assert_eq!(world.client("dddd4444").take_actions(), ["session-initiate"]);
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-initiate"], "told of nobody who came or sends");
}

#[test]
fn its_own_sources_go_to_those_who_take_them_from_the_focus() {
    let mut world = mixed_call();
    assert_eq!(owners(&world.client("bbbb2222").known.clone()), BTreeSet::from(["aaaa1111"]));
    let mut remove = world.client("aaaa1111").message(Action::SourceRemove);
    remove.contents = world.client("aaaa1111").contents();
    world.client("bbbb2222").told.clear();
    world.jingle("aaaa1111", &remove).unwrap();
    assert_eq!(world.client("bbbb2222").take_actions(), ["source-remove"]);
}

#[test]
fn a_new_session_lists_no_sources_of_others_either() {
    let mut world = mixed_call();
    world.add_bridge("jvb-2");
    world.client("aaaa1111").told.clear();
    world.remove_bridge("jvb-1");
    assert_eq!(owners(&FakeClient::sources_in(world.client("aaaa1111").offer())), BTreeSet::from(["jvb"]));
    let again = world.bridge("jvb-2").requests.iter().flat_map(|request| request.endpoints.clone());
    let first = again.into_iter().find(|endpoint| endpoint.id.as_str() == "aaaa1111").unwrap();
    assert_eq!(first.capabilities, ["source-names", "ssrc-rewriting"]);
    world.accept("aaaa1111").unwrap();
    world.accept("bbbb2222").unwrap();
    assert_eq!(world.client("aaaa1111").take_actions(), ["session-terminate", "session-initiate"]);
}

#[test]
fn settings_turn_it_off() {
    let mut world = World::with_settings(|settings| settings.use_ssrc_rewriting = false);
    world.add_bridge("jvb-1");
    world.request();
    let mut client = FakeClient::rewriting("aaaa1111");
    client.features.as_mut().unwrap().push("http://jitsi.org/rtp-mid-demux");
    assert!(client.features.as_ref().unwrap().contains(&SSRC_REWRITING));
    world.join_as(client);
    world.join("bbbb2222");
    world.accept("bbbb2222").unwrap();
    world.accept("aaaa1111").unwrap();
    assert_eq!(
        world.bridge("jvb-1").requests.first().unwrap().endpoints.first().unwrap().capabilities,
        ["source-names"]
    );
    assert_eq!(owners(&world.client("aaaa1111").known.clone()), BTreeSet::from(["bbbb2222"]));
}

#[test]
fn mids_need_their_header_extension() {
    let mut world = World::with_settings(|settings| settings.codecs.header_extensions.clear());
    world.add_bridge("jvb-1");
    world.request();
    let mut client = FakeClient::rewriting("aaaa1111");
    client.features.as_mut().unwrap().push("http://jitsi.org/rtp-mid-demux");
    world.join_as(client);
    world.join("bbbb2222");
    let endpoint = world.bridge("jvb-1").last_of("aaaa1111").clone();
    assert_eq!(endpoint.capabilities, ["source-names", "ssrc-rewriting"]);
}
