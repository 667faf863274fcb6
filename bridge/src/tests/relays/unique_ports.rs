//! Several conferences over the same two bridges: each link has a port of its own on the side that starts it.

use std::io;

use xmpp::Condition;

use super::{Cascade, create_request, relay_id};
use crate::connection::Reached;
use crate::counters::DropReason;
use crate::transport::test_peer::bridge_address;
use crate::unique_ports::UniquePorts;

const MEETINGS: [&str; 3] = ["meeting-a", "meeting-b", "meeting-c"];

/// Two bridges with a client each in every one of the meetings. In every other one it is the second bridge that starts the link.
fn cascade(seed: u64) -> Cascade {
    let mut cascade = Cascade::new(seed, &[0, 0]);
    for (at, meeting) in MEETINGS.into_iter().enumerate() {
        for world in &mut cascade.worlds {
            world.meeting = meeting;
            world.join();
        }
        let (from, to) = if at % 2 == 0 { (0, 1) } else { (1, 0) };
        cascade.join(from, to, "0");
    }
    cascade
}

#[test]
fn conferences_over_the_same_two_bridges_do_not_mix() {
    for seed in 200..203 {
        let mut cascade = cascade(seed);
        cascade.run(3000);
        cascade.check_connected();
        assert_eq!(cascade.worlds.iter().map(|world| world.bridge.unique_ports()).collect::<Vec<_>>(), [2, 1]);
        for at in 0..MEETINGS.len() {
            for (here, there) in [(0, 1), (1, 0)] {
                let (to, from) = (cascade.client(here, at), cascade.client(there, at));
                to.stream(from.microphone.ssrc).check_audio();
                assert!(!to.stream(from.video_ssrc()).check_video().is_empty());
                assert_eq!(to.incoming.len(), 2, "nothing of other conferences");
            }
        }
        for world in &cascade.worlds {
            for reason in [DropReason::UnknownPeer, DropReason::SrtpAuthentication, DropReason::UnknownSsrc] {
                assert_eq!(world.dropped(reason), 0, "{reason:?}");
            }
        }
    }
}

#[test]
fn the_end_of_a_link_closes_its_port_and_no_other_link() {
    let mut cascade = cascade(210);
    cascade.run(2000);
    cascade.check_connected();
    cascade.worlds.iter_mut().for_each(|world| world.meeting = MEETINGS[0]);
    cascade.part(0, 1);
    assert_eq!(cascade.worlds[0].bridge.unique_ports(), 1);
    let heard = |cascade: &Cascade, at: usize| {
        cascade.client(1, at).stream(cascade.client(0, at).microphone.ssrc).packets.len()
    };
    cascade.run(200);
    let before: Vec<usize> = (0..3).map(|at| heard(&cascade, at)).collect();
    cascade.run(1000);
    let grown: Vec<usize> = (0..3).map(|at| heard(&cascade, at) - before[at]).collect();
    assert_eq!(grown, [0, 50, 50]);
    // Joined again it has another port, and nobody there is taken for the one before.
    cascade.join(0, 1, "0");
    cascade.run(2000);
    assert!(heard(&cascade, 0) > before[0] + 40);
    for world in &mut cascade.worlds {
        let all: Vec<usize> = world.bridge.conferences.iter().map(|(key, _)| key).collect();
        all.into_iter().for_each(|key| world.bridge.remove_conference(key, world.now));
        world.flush();
        assert_eq!((world.bridge.unique_ports(), world.bridge.unique_ports.len()), (0, 0));
    }
}

#[test]
fn a_link_that_gets_no_port_is_refused_and_others_are_not() {
    let mut cascade = Cascade::new(220, &[1]);
    let opener = || Err(io::Error::other("too many open files"));
    cascade.worlds[0].bridge.unique_ports = UniquePorts::new(Box::new(opener));
    let error = cascade.modify(0, create_request(1, "0", true)).unwrap_err();
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert!(error.text.contains("too many open files"), "{}", error.text);
    cascade.modify(0, create_request(2, "0", false)).unwrap();
    let (_, conference) = cascade.worlds[0].bridge.conferences.iter().next().unwrap();
    assert_eq!(conference.relay_by_id.keys().collect::<Vec<_>>(), [&relay_id(2)]);
}

#[test]
fn nobody_else_is_taken_at_a_port_of_ones_own() {
    let mut cascade = cascade(230);
    cascade.run(2000);
    cascade.check_connected();
    let world = &mut cascade.worlds[0];
    let (_, conference) = world.bridge.conferences.iter().next().unwrap();
    let (_, relay) = conference.relays.iter().next().unwrap();
    let path = relay.connection.path.unwrap();
    assert!(relay.connection.reached == Reached::Dtls && path.local.port() != bridge_address().port());
    // A client's own requests and media, sent to the link's port.
    let client = &mut world.clients[0];
    let (external, peer) = (client.external, &mut client.peer);
    peer.ice.restart(world.now, ice::IceCredentials::from_random(&[9; 24])).unwrap();
    let _ = peer.drain(world.now);
    let before = world.dropped(DropReason::NotAccepted) + world.dropped(DropReason::UnknownPeer);
    let sent = std::mem::take(&mut world.clients[0].peer.outgoing);
    world.clients[0].handle_tick(2000, world.now);
    let sent: Vec<_> = sent.into_iter().chain(std::mem::take(&mut world.clients[0].peer.outgoing)).collect();
    assert!(!sent.is_empty());
    for datagram in &sent {
        world.bridge.handle_datagram(model::FiveTuple::udp(path.local, external), datagram, world.now);
    }
    let after = world.dropped(DropReason::NotAccepted) + world.dropped(DropReason::UnknownPeer);
    assert_eq!(after - before, sent.len() as u64);
}
