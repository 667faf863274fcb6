//! Timers of endpoints and conferences; what is left when they are gone.

use super::world::World;

#[test]
fn an_endpoint_that_never_connects_goes_after_two_minutes() {
    let mut world = World::connected(1, 1);
    let index = world.clients.len();
    world.join();
    world.loses = Some(|from, _, _| from.ip().to_string().ends_with(".11"));
    world.run(118_000);
    assert!(world.endpoint(index).is_some());
    world.run(15_000);
    assert!(world.endpoint(index).is_none());
    assert!(world.endpoint(0).is_some());
}

#[test]
fn an_endpoint_that_falls_silent_goes_after_a_minute_and_others_are_told() {
    let mut world = World::connected(2, 2);
    world.run(5000);
    world.loses = Some(|from, _, _| from.ip().to_string().ends_with(".11"));
    world.run(58_000);
    assert!(world.endpoint(1).is_some());
    world.run(15_000);
    assert!(world.endpoint(1).is_none());
    let last = world.clients[0].peer.texts.iter().rev().find(|text| text.contains("ForwardedSources")).unwrap();
    assert!(last.contains("[]"), "{last}");
}

#[test]
fn a_muted_and_lonely_participant_stays() {
    let mut world = World::connected(3, 1);
    world.clients[0].is_live = false;
    world.run(300_000);
    assert!(world.endpoint(0).is_some(), "its consent checks are activity");
}

#[test]
fn a_conference_whose_endpoints_all_went_silent_goes_too() {
    let mut world = World::connected(4, 3);
    world.loses = Some(|_, _, _| true);
    world.run(120_000);
    assert_eq!((world.bridge.conferences.len(), world.bridge.endpoint_count()), (0, 0));
    assert_eq!(world.bridge.metrics.endpoints.get(), 0);
    assert_eq!(world.bridge.metrics.conferences.get(), 0);
    assert_eq!(world.bridge.poll_timeout(), None);
}

#[test]
fn one_who_leaves_and_comes_back_under_the_same_id_is_a_new_endpoint() {
    let mut world = World::connected(5, 2);
    world.run(1000);
    let ssrc = world.clients[0].video_ssrc();
    for round in 0..3 {
        world.expire(0);
        world.run(500);
        let mut back = super::client::Client::new(0, world.now);
        // A browser that loads the page again has new SSRCs; the ones of its camera may still be the same.
        back.peer = crate::transport::test_peer::TestPeer::new(back.peer.address, 100 + round, world.now);
        world.clients[0] = back;
        world.allocate(0, false);
        world.announce(0);
        world.run(3000);
    }
    let video = world.clients[1].stream(ssrc);
    assert_eq!(video.missing(), [0; 0]);
    assert!(video.packets.len() > 500, "{}", video.packets.len());
}

#[test]
fn broadcasts_in_a_large_conference_reach_everyone() {
    let mut world = World::connected(6, 40);
    world.clients.iter_mut().for_each(|client| client.cameras[0].is_on = false);
    let now = world.clients.iter().map(|client| client.peer.texts.len()).collect::<Vec<_>>();
    world.clients[0].send_text(&jitsi_protocol::bridge_channel::ClientMessage::EndpointMessage(
        jitsi_protocol::bridge_channel::EndpointMessage {
            to: String::new(),
            from: None,
            fields: serde_json::Map::new(),
        },
    ));
    world.run(200);
    let heard = world.clients.iter().zip(now).filter(|(client, before)| client.peer.texts.len() > *before).count();
    assert_eq!(heard, 39);
}

#[test]
fn a_client_that_checks_before_its_answer_is_here_connects_at_once() {
    let mut world = World::new(7);
    let client = super::client::Client::new(0, world.now);
    world.clients.push(client);
    world.allocate(0, true);
    world.run(100);
    world.announce(0);
    // Two round trips of ICE and two of DTLS; a check that has to be repeated waits for a quarter of a second.
    world.run(200);
    assert!(world.clients[0].peer.has_keys());
}
