//! Reports: to senders of what they sent, to receivers of what they get.

use std::collections::BTreeSet;

use super::world::{Feedback, World};

#[test]
fn senders_learn_which_packets_arrived() {
    let mut world = World::connected(1, 2);
    world.run(3000);
    let client = &world.clients[0];
    let arrived: BTreeSet<u16> = client.twcc_arrived.iter().copied().collect();
    // From the first number on, over the wrap at 65 536, up to the last feedback.
    let expected = (0..).map(|step: u16| 65_000_u16.wrapping_add(step)).take(arrived.len());
    assert!(expected.clone().all(|seq| arrived.contains(&seq)));
    assert!(arrived.len() > 600, "{}", arrived.len());
    assert_eq!(arrived.len(), client.twcc_arrived.len(), "each once");
}

#[test]
fn senders_without_transport_wide_feedback_are_told_what_their_path_carries() {
    let mut world = World::new(6);
    world.feedback = Feedback::Remb;
    world.join();
    world.join();
    world.run(15_000);
    let client = &world.clients[0];
    assert!(client.twcc_arrived.is_empty());
    assert!((5..=12).contains(&client.rembs.len()), "one a second once it is known: {:?}", client.rembs);
    assert!(client.rembs.windows(2).all(|pair| pair[0] <= pair[1]), "nothing is in the way: {:?}", client.rembs);
    let with_feedback = World::connected(7, 2);
    assert!(with_feedback.clients.iter().all(|client| client.rembs.is_empty()));
}

#[test]
fn feedback_speaks_of_what_was_lost() {
    let mut world = World::connected(2, 2);
    world.run(500);
    world.up.loss_percent = 10;
    world.run(3000);
    let client = &world.clients[0];
    let arrived: BTreeSet<u16> = client.twcc_arrived.iter().copied().collect();
    let lost = arrived.iter().filter(|seq| !arrived.contains(&seq.wrapping_add(1))).count();
    assert!(lost > 30, "{lost}");
    let audio = client.microphone.ssrc;
    let reports: Vec<_> = client.reports.iter().filter(|report| report.ssrc.0 == audio).collect();
    assert!(reports.last().unwrap().fraction_lost > 5);
    assert!(reports.last().unwrap().cumulative_lost > 5);
}

#[test]
fn receiver_reports_come_each_second_and_answer_sender_reports() {
    let mut world = World::connected(3, 2);
    world.run(10_000);
    let client = &world.clients[0];
    let of_audio: Vec<_> = client.reports.iter().filter(|report| report.ssrc.0 == client.microphone.ssrc).collect();
    assert!((9..=12).contains(&of_audio.len()), "{} reports", of_audio.len());
    assert!(of_audio.last().unwrap().last_sr.is_some());
    assert_eq!(of_audio.last().unwrap().cumulative_lost, 0);
    let streams: BTreeSet<u32> = client.reports.iter().map(|report| report.ssrc.0).collect();
    assert_eq!(streams.len(), 4, "audio and three layers");
}

#[test]
fn sender_reports_are_on_the_clock_of_the_stream_that_is_received() {
    let mut world = World::connected(4, 2);
    world.run(8000);
    let (audio, video) = (world.clients[0].microphone.ssrc, world.clients[0].video_ssrc());
    let receiver = &world.clients[1];
    for (ssrc, clock) in [(audio, 48_u64), (video, 90)] {
        let report = receiver.sender_reports.iter().rev().find(|info| info.ssrc.0 == ssrc).unwrap();
        // The sender's wall time is virtual time: what the stream says of the last packet has to fit the report.
        let report_ms = (report.ntp.0 >> 16).wrapping_mul(1000) >> 16;
        let (_, last) = receiver.stream(ssrc).packets.last_key_value().unwrap();
        let now_ms = (world.now - world.start).as_millis() as u64;
        let since = u64::from(last.timestamp.wrapping_sub(report.rtp_timestamp.0)) / clock;
        let passed = now_ms - report_ms;
        assert!(since.abs_diff(passed) <= 70, "{ssrc}: {since} ms against {passed} ms");
        assert!(report.packet_count > 100);
    }
    let cname = world.clients[0].id.as_str().as_bytes();
    let with_cname = receiver.compounds.iter().filter(|compound| compound.windows(cname.len()).any(|w| w == cname));
    assert!(with_cname.count() >= 7, "one a second of both");
}

#[test]
fn sender_reports_of_many_sources_come_together() {
    let mut world = World::connected(8, 8);
    world.run(10_000);
    let receiver = &world.clients[0];
    let told = receiver.sender_reports.len();
    assert!(told >= 7 * 2 * 8, "each source about once a second: {told}");
    let with_reports = receiver.compounds.iter().filter(|compound| compound.get(1) == Some(&200)).count();
    assert!(with_reports * 2 <= told, "{told} reports in {with_reports} compounds");
}

#[test]
fn round_trips_are_measured() {
    let mut world = World::connected(5, 2);
    world.run(10_000);
    let rtt = world.rtt(1).unwrap();
    assert!((38..=45).contains(&rtt.as_millis()), "{rtt:?}");
}

#[test]
fn round_trips_are_measured_where_many_report() {
    let mut world = World::connected(7, 12);
    world.run(5000);
    for index in 0..12 {
        let rtt = world.rtt(index).unwrap();
        assert!((38..=45).contains(&rtt.as_millis()), "{index}: {rtt:?}");
    }
}

#[test]
fn a_client_that_sends_but_does_not_answer_keeps_nobody_busy() {
    let mut world = World::connected(6, 2);
    world.run(500);
    // Nothing gets through to the first, and so its consent expires; its media still comes in, with gaps.
    world.up.loss_percent = 5;
    world.loses = Some(|_, to, _| to.ip().to_string().ends_with(".10"));
    world.wakeups = 0;
    world.run(60_000);
    assert!(world.wakeups < 10_000, "{} in a minute", world.wakeups);
    assert!(world.endpoint(0).is_some_and(|endpoint| endpoint.connection.path.is_none()));
    world.loses = None;
    world.up.loss_percent = 0;
    let reports = world.clients[0].reports.len();
    world.restart_ice(0, 1);
    world.run(20_000);
    assert!(world.endpoint(0).unwrap().connection.path.is_some(), "it comes back");
    assert!(world.clients[0].reports.len() > reports);
    let ssrc = world.clients[1].microphone.ssrc;
    assert!(world.now - world.clients[0].stream(ssrc).last_at < std::time::Duration::from_millis(100));
}
