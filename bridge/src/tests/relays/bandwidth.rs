//! Narrow links: bridges of one kind find out what a link carries, and leave out top layers first.

use std::net::SocketAddr;
use std::time::Duration;

use sim::Bottleneck;

use super::{Cascade, Channels};
use crate::relay::Far;
use crate::tests::bridge::FIRST_UNIQUE_PORT;
use crate::tests::seeds;
use crate::transport::test_peer::bridge_address;

/// Bytes of picture in each packet of a camera: its three layers take 200, 400 and 600 kbit/s.
const PICTURE_LEN: usize = 900;
const SENDERS: usize = 3;

/// One client at the first bridge, which starts the link, and senders at the other.
fn cascade(seed: u64) -> Cascade {
    let mut cascade = Cascade::new(seed, &[1, SENDERS]);
    for client in &mut cascade.worlds[1].clients {
        for layer in client.cameras.iter_mut().flat_map(|camera| &mut camera.layers) {
            layer.picture_len = PICTURE_LEN;
        }
    }
    cascade.join(0, 1, "0");
    cascade
}

/// Where the first bridge takes what comes over the link, and nothing else.
fn link_end() -> SocketAddr {
    SocketAddr::new(bridge_address().ip(), FIRST_UNIQUE_PORT)
}

/// Lets the link carry so much, with half a second of queue.
fn narrow(cascade: &mut Cascade, kbps: u64) {
    let line = Bottleneck::new(kbps * 1000, 1000 * kbps as usize / 8 / 2);
    cascade.worlds[0].lines.insert(link_end(), line);
}

fn line(cascade: &Cascade) -> &Bottleneck {
    &cascade.worlds[0].lines[&link_end()]
}

/// How many senders' layer of each size crosses the link within a second and a half.
fn crossing(cascade: &mut Cascade) -> [usize; 3] {
    cascade.passed.clear();
    cascade.run(1500);
    let passed = cascade.take_passed(1, 0);
    [0, 1, 2].map(|layer| {
        let senders = &cascade.worlds[1].clients;
        let ssrcs = senders.iter().map(|client| client.cameras[0].layers[layer].ssrc);
        ssrcs.filter(|ssrc| passed.get(ssrc).is_some_and(|packets| *packets > 20)).count()
    })
}

/// Leaves what the change of a line did to what was under way out of what is checked.
fn forget(cascade: &mut Cascade) {
    cascade.worlds[0].clients[0].incoming.values_mut().for_each(super::Incoming::forget);
}

#[test]
fn a_link_gets_the_layers_that_it_carries_and_all_audio() {
    for (seed, kbps) in [(400, 1100), (401, 1800)] {
        let mut cascade = cascade(seed);
        narrow(&mut cascade, kbps);
        cascade.run(15_000);
        assert_eq!(cascade.relay(1, 0).far, Far::Teranga);
        forget(&mut cascade);
        let dropped = line(&cascade).dropped();
        let (mut worst, now) = (Duration::ZERO, cascade.now());
        while cascade.now() < now + Duration::from_secs(8) {
            cascade.run(100);
            worst = worst.max(line(&cascade).delay(cascade.now()));
        }
        assert!(worst < Duration::from_millis(250), "{kbps} kbit/s: {worst:?} behind");
        assert!(line(&cascade).dropped() - dropped < 10, "{kbps} kbit/s");
        let crossing = crossing(&mut cascade);
        assert_eq!(crossing[0], SENDERS, "{kbps} kbit/s: {crossing:?}, everybody's lowest layer");
        assert!(crossing[2] < SENDERS && crossing[2] <= crossing[1], "{kbps} kbit/s: {crossing:?}, top layers first");
        for sender in 0..SENDERS {
            cascade.video((0, 0), (1, sender)).check_video();
            let ssrc = cascade.client(1, sender).microphone.ssrc;
            cascade.client(0, 0).stream(ssrc).check_audio();
        }
    }
}

#[test]
fn layers_follow_the_link_down_and_up() {
    let mut cascade = cascade(402);
    narrow(&mut cascade, 10_000);
    cascade.run(4000);
    assert_eq!(crossing(&mut cascade), [SENDERS; 3]);
    narrow(&mut cascade, 1200);
    cascade.run(12_000);
    let delay = line(&cascade).delay(cascade.now());
    assert!(delay < Duration::from_millis(150), "what stood in the queue has left: {delay:?}");
    let narrowed = crossing(&mut cascade);
    assert!(narrowed[0] == SENDERS && narrowed[2] == 0, "{narrowed:?}");
    let demand = cascade.relay(1, 0).demand.unwrap();
    assert!(demand.sent < demand.ideal);
    narrow(&mut cascade, 10_000);
    // What was under way is overtaken by what comes behind it.
    cascade.run(2000);
    forget(&mut cascade);
    cascade.run(16_000);
    assert_eq!(crossing(&mut cascade), [SENDERS; 3]);
    for sender in 0..SENDERS {
        cascade.video((0, 0), (1, sender)).check_video();
    }
}

/// What stood in the queue comes up to half a second behind what was sent after it.
#[test]
fn what_is_overtaken_when_a_link_widens_is_not_lost() {
    seeds::run(6, &[], |seed| {
        let mut cascade = cascade(404 + seed);
        narrow(&mut cascade, 1200);
        cascade.run(12_000);
        forget(&mut cascade);
        narrow(&mut cascade, 10_000);
        cascade.run(4000);
        for sender in 0..SENDERS {
            cascade.video((0, 0), (1, sender)).check_video();
        }
    });
}

#[test]
fn an_original_bridge_gets_packets_without_numbers_and_is_not_held_back() {
    let mut cascade = cascade(403);
    // One that does not say what it is: no channel opens.
    cascade.part(0, 1);
    cascade.channels = Channels::WebSockets;
    cascade.refuses_sockets = true;
    cascade.join(0, 1, "0");
    cascade.run(6000);
    let relay = cascade.relay(1, 0);
    assert_eq!((relay.far, relay.bandwidth), (Far::Jvb, None));
    assert!(!relay.negotiated_with_far().has_transport_cc && relay.negotiated.has_transport_cc);
    assert_eq!(crossing(&mut cascade), [SENDERS; 3]);
}
