//! Who nominates: towards clients the bridge, towards another bridge one of the two, as the signalling says.

use super::*;

/// Another bridge, which by the brewery's word has the other role.
fn relay(seed: u64, role: IceRole) -> World {
    World::with(seed, role, &[LocalAddress::host(bridge_address())], &[PeerAddress::udp(client_address())])
}

#[test]
fn controlled_agent_follows_the_nomination_of_the_other_bridge() {
    for seed in 0..20 {
        let mut world = relay(seed, IceRole::Controlled);
        world.network.loss_percent = 20;
        world.exchange_credentials();
        world.run(Duration::from_secs(20));
        assert_eq!(world.events.first(), Some(&Event::Connected(world.pair())), "seed {seed}");
        assert!(world.client.state().is_connected(), "seed {seed}");
    }
}

#[test]
fn controlled_agent_without_a_nomination_does_not_connect() {
    let mut world = relay(1, IceRole::Controlled);
    world.client.set_controlling(false);
    world.client.set_control_tie_breaker(0);
    world.exchange_credentials();
    // Both controlled: the role conflict makes one of them controlling, and only then there is a pair.
    world.run(Duration::from_millis(30));
    assert_eq!(world.events, []);
    assert!(!world.bridge.is_validated(world.pair().peer()) || world.bridge.selected_pair().is_none());
    world.run(Duration::from_secs(5));
    assert_eq!(world.events, [Event::Connected(world.pair())]);
}

#[test]
fn role_conflict_ends_with_a_connection_for_either_tie_breaker_and_role() {
    for role in [IceRole::Controlling, IceRole::Controlled] {
        for tie_breaker in [0, u64::MAX] {
            let mut world = relay(9, role);
            world.client.set_controlling(role == IceRole::Controlling);
            world.client.set_control_tie_breaker(tie_breaker);
            world.exchange_credentials();
            world.run(Duration::from_secs(5));
            assert_eq!(world.events, [Event::Connected(world.pair())], "{role:?}, tie-breaker {tie_breaker}");
            assert!(world.client.state().is_connected());
        }
    }
}

#[test]
fn restart_between_bridges_keeps_the_old_pair_until_the_new_one_works() {
    for role in [IceRole::Controlling, IceRole::Controlled] {
        let mut world = relay(6, role);
        world.exchange_credentials();
        world.run(Duration::from_secs(5));
        let generation = world.bridge.restart(world.now, IceCredentials::from_random(&[9; 24])).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
        world.client_credentials = IceCredentials::from_random(&[10; 24]);
        world.client.ice_restart(world.client_credentials.to_is(), true);
        world.client.set_remote_credentials(world.bridge.local_credentials().to_is());
        world.tell_client_the_candidates();
        world.bridge.set_remote_credentials(world.now, generation, world.client_credentials()).unwrap();
        world.run(Duration::from_secs(10));
        let expected = [Event::Connected(world.pair()), Event::RestartCompleted(generation)];
        assert_eq!(world.events, expected, "{role:?}");
    }
}
