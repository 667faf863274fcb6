//! Checks that the shards answer, and those that control has to decide about. The seeds make one shard: what comes in elsewhere
//! than at the home of its endpoint is always passed on.

use super::forged_check;
use super::world::World;
use crate::counters::DropReason;

/// Checks that shards answered and datagrams that control had in so many milliseconds.
fn counted(world: &mut World, ms: u64) -> (usize, usize) {
    let before = (world.bridge.checks_answered, world.bridge.datagrams_to_control);
    world.run(ms);
    (world.bridge.checks_answered - before.0, world.bridge.datagrams_to_control - before.1)
}

fn is_reached(world: &World, index: usize) -> bool {
    world.endpoint(index).unwrap().connection.path.is_some()
}

#[test]
fn checks_of_settled_pairs_are_answered_where_they_come_in() {
    let mut world = World::connected(21, 3);
    world.run(10_000);
    let (answered, passed) = counted(&mut world, 60_000);
    // Each client checks every 3 s; control has nothing but the answers to its own.
    assert!((57..=63).contains(&answered), "{answered} of 60");
    assert!((57..=63).contains(&passed), "{passed}, 60 of them answers");
    assert!((0..3).all(|index| is_reached(&world, index)));
    let ssrc = world.clients[0].microphone.ssrc;
    world.clients[1].stream(ssrc).check_audio();
}

#[test]
fn a_restart_is_controls_and_what_follows_it_is_answered_again() {
    let mut world = World::connected(24, 2);
    world.run(10_000);
    world.restart_ice(0, 1);
    world.run(5_000);
    assert_eq!(world.endpoint(0).unwrap().connection.transport.settled().map(|settled| settled.generation.0), Some(1));
    world.run(5_000);
    let (answered, _) = counted(&mut world, 30_000);
    assert!((18..=22).contains(&answered), "{answered} of 20");
    assert!(is_reached(&world, 0));
}

#[test]
fn a_client_that_leaves_checks_without_answer_stays() {
    let mut world = World::connected(27, 2);
    world.run(5_000);
    // Chromium 144 does so at times.
    world.loses = Some(|_, to, datagram| to.ip().to_string().ends_with(".1") && datagram.starts_with(&[1, 1]));
    let (answered, _) = counted(&mut world, 120_000);
    assert!(answered > 40, "{answered}");
    assert!((0..2).all(|index| is_reached(&world, index)));
}

#[test]
fn consent_ends_where_only_forged_checks_come_from_a_peers_address() {
    let mut world = World::connected(24, 2);
    world.run(5_000);
    let path = world.endpoint(0).unwrap().connection.path.unwrap();
    let ufrag = &world.endpoint(0).unwrap().connection.ufrags[0];
    let check = forged_check(&format!("{ufrag}:x"));
    let refused = world.dropped(DropReason::NotAccepted);
    world.loses = Some(|from, _, datagram| from.ip().to_string().ends_with(".10") && datagram[0] < 2);
    for _ in 0..40 {
        world.run(1_000);
        world.bridge.handle_datagram(path, &check, world.now);
    }
    assert!(!is_reached(&world, 0), "it does not consent");
    assert_eq!(world.dropped(DropReason::NotAccepted) - refused, 40);
    assert!(is_reached(&world, 1));
}
