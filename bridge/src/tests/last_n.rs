//! Limits of how many videos receivers get.

use super::world::World;

/// Videos that each client is told it gets.
fn forwarded(world: &World) -> Vec<usize> {
    let endpoints = (0..world.clients.len()).filter_map(|client| world.endpoint(client));
    endpoints.map(|endpoint| endpoint.forwarded.as_ref().map_or(0, Vec::len)).collect()
}

#[test]
fn receivers_get_fewer_videos_while_a_conference_is_large() {
    let mut world = World::connected_with(5, 3, |settings| {
        settings.last_n.any = Some(3);
        settings.last_n.by_size = [(4, 1)].into();
    });
    world.run(1000);
    assert_eq!(forwarded(&world), [2; 3]);
    let fourth = world.join();
    world.run(3000);
    assert_eq!(forwarded(&world), [1; 4]);
    // Packets between each two of the first three.
    let sent = |world: &World| {
        let pairs = (0..3).flat_map(|to| (0..3).filter(move |from| *from != to).map(move |from| (from, to)));
        let packets = pairs.map(|(from, to)| world.clients[to].stream(world.clients[from].video_ssrc()).packets.len());
        packets.collect::<Vec<_>>()
    };
    let before = sent(&world);
    world.run(1000);
    let flowing = sent(&world).iter().zip(before).filter(|(now, before)| *now > before).count();
    assert!((2..=3).contains(&flowing), "{flowing}");
    world.expire(fourth);
    world.run(1000);
    assert_eq!(forwarded(&world), [2; 3]);
}
