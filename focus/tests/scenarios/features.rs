//! What is asked of clients before they are invited.

use crate::world::{ALL_FEATURES, FakeClient, World};

/// Hash of what `FakeClient` answers: no identities, all features.
fn caps_of_all_features() -> (String, String) {
    // Computed with another implementation: base64(sha1("feature<" in order of their bytes)).
    ("sha-1".to_owned(), "6L6D8uQi0USlwUZfUB5gO1mkYuk=".to_owned())
}

fn ready() -> World {
    let mut world = World::new();
    world.add_bridge("jvb-1");
    world.request();
    world
}

#[test]
fn a_kind_of_client_is_asked_once() {
    let mut world = ready();
    for nick in ["aaaa1111", "bbbb2222", "cccc3333"] {
        world.join_as(FakeClient { caps: Some(caps_of_all_features()), ..FakeClient::new(nick) });
    }
    // The first two are asked at the same time.
    let asked: usize = world.clients.values().map(|client| client.disco_requests).sum();
    assert!(asked <= 2, "{asked}");
    assert_eq!(world.client("cccc3333").disco_requests, 0);
    let offer = world.client("cccc3333").offer().to_element().to_string();
    assert!(offer.contains("transport-cc"), "it counts as what it is");
}

#[test]
fn a_forged_hash_fools_nobody_else() {
    let mut world = ready();
    let caps = Some(caps_of_all_features());
    world.join_as(FakeClient { caps: caps.clone(), ..FakeClient::with_features("aaaa1111", &ALL_FEATURES[..1]) });
    world.join_as(FakeClient { caps, ..FakeClient::new("bbbb2222") });
    assert_eq!(world.client("bbbb2222").disco_requests, 1);
    assert_eq!(world.client("aaaa1111").offer().contents.len(), 1);
    assert_eq!(world.client("bbbb2222").offer().contents.len(), 3);
}

#[test]
fn a_client_that_says_nothing_gets_the_least_after_a_while() {
    let mut world = ready();
    world.join("aaaa1111");
    world.join_as(FakeClient { features: None, ..FakeClient::new("bbbb2222") });
    assert!(world.client("aaaa1111").has_offer(), "the other does not wait for it");
    world.seconds(14);
    assert!(!world.client("bbbb2222").has_offer());
    world.seconds(1);
    let offer = world.client("bbbb2222").offer().clone();
    let names: Vec<&str> = offer.contents.iter().map(|content| content.name.as_str()).collect();
    assert_eq!(names, ["audio", "video", "data"]);
    let offer = offer.to_element().to_string();
    assert!(!offer.contains("transport-cc") && !offer.contains("name='rtx'"));
}

#[test]
fn a_client_without_media_is_not_invited() {
    let mut world = ready();
    world.join("aaaa1111");
    world.join_as(FakeClient::with_features("bbbb2222", &[]));
    assert!(!world.client("bbbb2222").has_offer());
    assert_eq!(world.bridge("jvb-1").story(), ["create", "+aaaa1111"]);
}
