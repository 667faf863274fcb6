//! Loss, ends and hostile input on links.

use std::collections::HashMap;

use jitsi_protocol::colibri2::RelayModify;

use super::{Cascade, is_rtp, relay_id};
use crate::connection::Reached;
use crate::counters::DropReason;
use crate::tests::camera::RTX_OFFSET;
use crate::tests::world::{Link, Path, other_bridge_address};

#[test]
fn loss_between_bridges_is_repaired_there() {
    let mut cascade = Cascade::meshed(60, &[1, 1]);
    cascade.run(500);
    let lossy = Path { loss_percent: 10, ..Path::default() };
    for (bridge, other) in [(0, 1), (1, 0)] {
        let link = Link { up: lossy, down: Path::default() };
        cascade.worlds[bridge].links.insert(other_bridge_address(other), link);
    }
    cascade.run(4000);
    cascade.worlds.iter_mut().for_each(|world| world.links.clear());
    cascade.run(300);
    cascade.quiet();
    let video = cascade.video((1, 0), (0, 0));
    assert!(video.packets.len() > 150);
    let repeated = |bridge: usize| cascade.worlds[bridge].bridge.counted(|counters| counters.retransmissions.get());
    let rtts = (cascade.relay(0, 1).connection.rtt, cascade.relay(1, 0).connection.rtt);
    assert!(
        video.missing().len() <= 1,
        "missing: {:?}, {}, repeated {} {}, {rtts:?}",
        video.missing(),
        cascade.drops(),
        repeated(0),
        repeated(1)
    );
    let repeated = cascade.worlds[0].bridge.counted(|counters| counters.retransmissions.get());
    assert!(repeated > 20, "{repeated} retransmissions over the link");
    assert_eq!(cascade.client(0, 0).nacked, 0, "the client sent everything once");
    let [received, sent, lost] = cascade.worlds[0].bridge.metrics.links.counted(&relay_id(1));
    assert!(received > 300 && sent > 300, "{received} {sent}");
    assert!((sent / 40..sent / 8).contains(&lost), "{lost} of {sent}, of which some came when nothing was lost");
    assert!(cascade.relay(0, 1).connection.rtt.is_some_and(|rtt| (30..60).contains(&rtt.as_millis())));
}

/// Which takes no retransmissions of another form over a link, nor sends any. Under one number there are the same bytes.
#[test]
fn loss_between_original_bridges_is_repaired_by_the_same_packets() {
    let mut cascade = Cascade::meshed(66, &[1, 1]);
    for bridge in 0..2 {
        cascade.take_other_for_original(bridge);
    }
    cascade.run(1000);
    let lossy = Path { loss_percent: 10, ..Path::default() };
    let link = Link { up: lossy, down: Path::default() };
    cascade.worlds[1].links.insert(other_bridge_address(0), link);
    cascade.passed.clear();
    cascade.run(4000);
    let passed = std::mem::take(&mut cascade.passed);
    cascade.worlds[1].links.clear();
    cascade.run(300);
    cascade.quiet();
    let video = cascade.video((1, 0), (0, 0));
    assert!(video.missing().len() <= 1, "missing: {:?}, {}", video.missing(), cascade.drops());
    let rtx: Vec<_> = cascade.client(0, 0).cameras[0].layers.iter().map(|layer| layer.ssrc + RTX_OFFSET).collect();
    let (mut sent, mut repeated) = (HashMap::new(), 0);
    for (_, _, datagram) in passed.iter().filter(|(from, _, datagram)| *from == 0 && is_rtp(datagram)) {
        let packet = rtp::RtpView::parse(datagram).unwrap();
        assert!(!rtx.contains(&packet.ssrc().0));
        if let Some(before) = sent.insert((packet.ssrc(), packet.seq()), datagram) {
            assert_eq!(before, datagram);
            repeated += 1;
        }
    }
    assert!(repeated > 20, "{repeated} packets went again over the link");
}

#[test]
fn the_end_of_a_link_leaves_the_rest_unharmed() {
    let mut cascade = Cascade::meshed(61, &[1, 1, 1]);
    cascade.run(500);
    cascade.part(0, 1);
    let audio = |bridge: usize| (bridge as u32 * super::MAX_CLIENTS as u32 + 1) * 1_000_000;
    let count = |cascade: &Cascade, to: usize, from: usize| cascade.client(to, 0).stream(audio(from)).packets.len();
    cascade.run(200);
    let before = [count(&cascade, 1, 0), count(&cascade, 2, 0), count(&cascade, 2, 1), count(&cascade, 0, 2)];
    cascade.run(1000);
    let after = [count(&cascade, 1, 0), count(&cascade, 2, 0), count(&cascade, 2, 1), count(&cascade, 0, 2)];
    let grown: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(grown, [0, 50, 50, 50]);
    for world in &cascade.worlds {
        let (_, conference) = world.bridge.conferences.iter().next().unwrap();
        assert_eq!(conference.relayed.len(), conference.relays.len());
    }
    // Joined again, all goes on behind the numbers that were given.
    cascade.join(0, 1, "0");
    cascade.run(2000);
    assert!(count(&cascade, 1, 0) > after[0] + 40);
    cascade.client(1, 0).stream(audio(0)).check_audio();
}

#[test]
fn who_leaves_behind_a_link_is_gone_here() {
    let mut cascade = Cascade::meshed(62, &[1, 2]);
    let gone = cascade.client(1, 1).id.clone();
    let expired = super::EndpointModify { expire: true, ..super::EndpointModify::new(gone.clone()) };
    cascade.modify(0, RelayModify { endpoints: vec![expired], ..RelayModify::new(relay_id(1)) }).unwrap();
    cascade.run(500);
    let (_, conference) = cascade.worlds[0].bridge.conferences.iter().next().unwrap();
    assert!(!conference.relayed_by_id.contains_key(&gone) && conference.relayed.len() == 1);
    let forwarded = conference.endpoints.iter().next().unwrap().1.forwarded.clone().unwrap();
    assert_eq!(forwarded.len(), 1);
    // Its packets, which its bridge sends on, wait for half a second each and go nowhere.
    cascade.run(2000);
    assert!(cascade.worlds[0].dropped(DropReason::NotAnnounced) > 0);
}

#[test]
fn a_link_that_fails_takes_nobody_with_it() {
    let mut cascade = Cascade::new(63, &[2, 1]);
    // Whatever there is of DTLS is spoilt: the other bridge's certificate is none that was signalled.
    cascade.join(0, 1, "0");
    let (_, conference) = cascade.worlds[0].bridge.conferences.iter().next().unwrap();
    let mut ice = conference.relays.iter().next().unwrap().1.connection.transport.local_transport();
    ice.fingerprints[0].value = ["00"; 32].join(":");
    let transport = Some(super::TransportRequest { ice: Some(ice), ..super::TransportRequest::default() });
    let transport = transport.map(|mut transport| {
        let ice = transport.ice.as_mut().unwrap();
        (ice.ufrag, ice.pwd) = (None, None);
        ice.candidates.clear();
        ice.fingerprints[0].setup = None;
        transport
    });
    cascade.modify(0, RelayModify { transport, ..RelayModify::new(relay_id(1)) }).unwrap();
    cascade.run(4000);
    assert_ne!(cascade.relay(0, 1).connection.reached, Reached::Dtls);
    let audio = cascade.client(0, 0).microphone.ssrc;
    assert!(cascade.client(0, 1).stream(audio).packets.len() > 100);
    cascade.part(0, 1);
    assert!(cascade.worlds[0].bridge.metrics.relays_dtls_failed.get() >= 1);
}

#[test]
fn rubbish_from_another_bridge_is_dropped_and_counted() {
    let mut cascade = Cascade::meshed(64, &[1, 1]);
    let world = &mut cascade.worlds[0];
    let key = world.bridge.conferences.iter().next().unwrap().1.relays.iter().next().unwrap().0;
    for text in [
        "{",
        r#"{"colibriClass":"Nonsense"}"#,
        r#"{"colibriClass":"ReceiverVideoConstraints","lastN":1}"#,
        r#"{"colibriClass":"AddReceiver","bridgeId":"x","sourceName":"a b","videoConstraints":{"maxHeight":1}}"#,
    ] {
        let (conference, mut context) = world.bridge.conference(0, world.now).unwrap();
        conference.handle_relay_text(key, text, &mut context);
    }
    assert_eq!(world.dropped(DropReason::RelayMessage), 4);
    // Names that nobody has are remembered up to a bound, and no longer than the link.
    for name in 0..10_000 {
        let text = format!(
            r#"{{"colibriClass":"AddReceiver","bridgeId":"x","sourceName":"n{name}-v0","videoConstraints":{{"maxHeight":-1}}}}"#
        );
        let (conference, mut context) = world.bridge.conference(0, world.now).unwrap();
        conference.handle_relay_text(key, &text, &mut context);
    }
    assert!(world.dropped(DropReason::RelayMessageRate) > 5000, "a flood is cut");
    cascade.run(1000);
    cascade.check_all_see_all();
}
