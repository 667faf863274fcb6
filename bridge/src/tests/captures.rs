//! Packet traces: all that one endpoint sent and was sent, nothing of others, and no longer than was asked for.

use std::time::Duration;

use ice::DatagramKind;
use jitsi_protocol::colibri2::ConferenceModify;
use model::{FiveTuple, TransportProtocol};
use rtp::RtpView;
use rtp::rtcp::Compound;

use super::camera::origin;
use super::world::{World, create_request};
use crate::capture::control::{CaptureEnd, CaptureId, CaptureRefusal, CaptureRequest};
use crate::capture::tests::read_with_tshark;
use crate::capture::trace::Trace;
use crate::capture::{Content, Direction, MAX_CAPTURES, MAX_DURATION, Record, Records};
use crate::transport::test_peer::bridge_address;

/// A world for each number of shards.
const SEEDS: [u64; 3] = [30, 31, 32];

fn request(world: &World, index: usize, content: Content) -> CaptureRequest {
    let endpoint = world.clients[index].id.to_string();
    CaptureRequest { endpoint, conference: None, content, duration: Duration::from_secs(2) }
}

fn start(world: &mut World, id: u64, index: usize, content: Content) -> Result<Records, CaptureRefusal> {
    let request = request(world, index, content);
    let started = world.bridge.start_capture(CaptureId(id), &request, world.now);
    world.flush();
    started
}

fn allowing(seed: u64, count: usize) -> World {
    let mut world = World::with_settings(seed, |settings| settings.allow_plain_captures = true);
    for _ in 0..count {
        world.join();
    }
    world.run(1000);
    world
}

fn take(records: &Records) -> Vec<Record> {
    std::iter::from_fn(|| records.try_recv().ok()).collect()
}

fn is_over(records: &Records) -> bool {
    records.try_recv().is_err_and(|error| error.is_disconnected())
}

/// What passed between a client and the bridge, in the form of a trace.
fn passed(world: &World, index: usize) -> Vec<(Direction, Vec<u8>)> {
    let client = world.clients[index].external;
    let seen = world.passed.iter().filter_map(|(from, to, datagram)| {
        let direction = match (*from == client, *to == client) {
            (true, false) => Direction::Inbound,
            (false, true) => Direction::Outbound,
            (true, true) | (false, false) => return None,
        };
        Some((direction, datagram.clone()))
    });
    seen.collect()
}

fn sorted(mut datagrams: Vec<(Direction, Vec<u8>)>) -> Vec<(bool, Vec<u8>)> {
    let mut all: Vec<_> = datagrams.drain(..).map(|(way, bytes)| (way == Direction::Inbound, bytes)).collect();
    all.sort();
    all
}

#[test]
fn a_protected_capture_has_every_datagram_of_its_endpoint_and_none_of_others() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        // From the first check on: ICE, DTLS, the data channel, and media before and after there are keys.
        for _ in 0..5 {
            world.join();
        }
        let captured = (seed % 5) as usize;
        let records = start(&mut world, 1, captured, Content::Protected).unwrap();
        world.is_watched = true;
        world.run(1900);
        let taken = take(&records);
        let path = FiveTuple::udp(bridge_address(), world.clients[captured].external);
        assert!(taken.iter().all(|record| record.path == path && record.note.is_none()));
        assert!(taken.iter().all(|record| record.at >= world.start && record.at <= world.now));
        for kind in [DatagramKind::Stun, DatagramKind::Dtls, DatagramKind::Media] {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let is_there =
                    |record: &Record| record.direction == direction && DatagramKind::of(&record.datagram) == kind;
                assert!(taken.iter().any(is_there), "{kind:?} {direction:?}");
            }
        }
        let taken: Vec<_> = taken.into_iter().map(|record| (record.direction, record.datagram)).collect();
        assert!(taken.len() > 300, "{}", taken.len());
        assert_eq!(sorted(taken), sorted(passed(&world, captured)), "seed {seed}");
    }
}

#[test]
fn a_plain_capture_has_media_decrypted_both_ways() {
    for seed in SEEDS {
        let mut world = allowing(seed, 5);
        world.down.loss_percent = 5;
        let records = start(&mut world, 1, 1, Content::Plain).unwrap();
        world.is_watched = true;
        world.run(1900);
        world.is_watched = false;
        world.down.loss_percent = 0;
        world.run(500);
        let taken = take(&records);
        let count = |direction| {
            let passed = passed(&world, 1).into_iter().filter(|(way, _)| *way == direction).count();
            (taken.iter().filter(|record| record.direction == direction).count(), passed)
        };
        // What came or left after the watch ended is in the trace too, until its two seconds were over.
        for (taken, passed) in [count(Direction::Inbound), count(Direction::Outbound)] {
            assert!(passed > 100 && (passed..passed * 11 / 10).contains(&taken), "{taken}, {passed}");
        }
        let (mut sent, mut received, mut compounds) = (0, 0, 0);
        for Record { direction, datagram, .. } in &taken {
            if DatagramKind::of(datagram) != DatagramKind::Media {
                continue;
            }
            if rtp::is_rtcp(datagram) {
                assert!(Compound::new(datagram).all(|packet| packet.is_ok()));
                compounds += 1;
                continue;
            }
            let view = RtpView::parse(datagram).unwrap();
            let first_sent = origin(view.payload());
            match direction {
                Direction::Inbound => {
                    assert_eq!((first_sent.0, first_sent.1 as u16), (view.ssrc().0, view.seq().0));
                    sent += 1;
                }
                Direction::Outbound => {
                    let owner = first_sent.0 / 1_000_000;
                    assert!(owner != 2 && (1..=5).contains(&owner), "from another client");
                    received += 1;
                }
            }
        }
        assert!(sent > 100 && received > 100 && compounds > 20, "{sent} {received} {compounds}");
        // And what the client saw of it is what was traced.
        let stream = world.clients[1].stream(world.clients[0].microphone.ssrc);
        let traced = taken.iter().filter_map(|record| RtpView::parse(&record.datagram).ok());
        let traced: Vec<_> = traced.filter(|view| view.ssrc().0 == world.clients[0].microphone.ssrc).collect();
        let seen = stream.packets.iter().filter(|(seq, packet)| {
            traced.iter().any(|view| view.seq().0 == **seq as u16 && view.payload() == packet.payload)
        });
        assert!(seen.count() > 80);
    }
}

#[test]
fn media_that_does_not_decrypt_is_in_a_plain_capture_as_it_came() {
    let mut world = allowing(33, 2);
    let records = start(&mut world, 1, 0, Content::Plain).unwrap();
    world.up.duplicate_percent = 100;
    world.clients[0].peer.outgoing.push([[0x80, 111].as_slice(), &[7; 60]].concat());
    world.run(200);
    let taken = take(&records);
    let noted = |word: &str| taken.iter().filter(|record| record.note.is_some_and(|note| note.contains(word))).count();
    assert_eq!(noted("authenticate"), 2);
    assert!(noted("replay") > 5);
    let forged = taken.iter().find(|record| record.note.is_some_and(|note| note.contains("authenticate"))).unwrap();
    assert!(forged.datagram.ends_with(&[7; 60]));
}

#[test]
fn tshark_reads_a_plain_capture_as_rtp() {
    let mut world = allowing(31, 3);
    let records = start(&mut world, 1, 0, Content::Plain).unwrap();
    world.run(1500);
    let mut out = Vec::new();
    let mut trace = Trace::begin("abcd1234", Content::Plain, Duration::from_secs(1_790_000_000), world.now, &mut out);
    let taken = take(&records);
    for record in &taken {
        trace.write(record, &records, &mut out);
    }
    trace.end(&records, world.now, &mut out);
    let port = format!("udp.port=={},rtp", bridge_address().port());
    let fields = ["frame.packet_flags_direction", "ip.src", "ip.dst", "udp.checksum.status", "rtp.ssrc", "rtp.p_type"];
    let read = read_with_tshark(&out, &["-d", &port], &fields);
    assert_eq!(read.len(), taken.len());
    let (bridge, client) = (bridge_address().ip().to_string(), world.clients[0].external.ip().to_string());
    for packet in &read {
        let (from, to) = if packet[0] == "0x00000001" { (&client, &bridge) } else { (&bridge, &client) };
        assert_eq!((&packet[1], &packet[2], packet[3].as_str()), (from, to, "1"));
    }
    let ssrc = format!("0x{:08x}", world.clients[1].microphone.ssrc);
    let heard = read.iter().filter(|packet| packet[4] == ssrc && packet[5] == "111").count();
    let expected = taken.iter().filter(|record| !rtp::is_rtcp(&record.datagram));
    let expected = expected.filter_map(|record| RtpView::parse(&record.datagram).ok());
    let expected = expected.filter(|view| view.ssrc().0 == world.clients[1].microphone.ssrc).count();
    assert!(heard > 50 && heard == expected, "{heard}, {expected}");
}

#[test]
fn a_capture_ends_when_its_time_is_over_and_the_call_goes_on() {
    for seed in SEEDS {
        let mut world = World::connected(seed, 4);
        let records = start(&mut world, 1, 0, Content::Protected).unwrap();
        world.run(1990);
        assert!(take(&records).len() > 100 && !is_over(&records));
        world.run(100);
        let last = take(&records).pop().unwrap();
        assert!(last.at <= world.now - Duration::from_millis(90), "nothing past its time");
        assert!(is_over(&records));
        assert!(start(&mut world, 2, 0, Content::Protected).is_ok(), "another one may begin");
        let ssrc = world.clients[1].microphone.ssrc;
        world.clients[0].stream(ssrc).check_audio();
    }
}

#[test]
fn a_capture_ends_with_its_endpoint_and_with_its_reader() {
    let mut world = World::connected(31, 3);
    let first = start(&mut world, 1, 0, Content::Protected).unwrap();
    let second = start(&mut world, 2, 1, Content::Protected).unwrap();
    world.expire(0);
    world.bridge.end_capture(CaptureId(2), CaptureEnd::Reader);
    world.run(100);
    for records in [first, second] {
        take(&records);
        assert!(is_over(&records));
    }
    assert!(world.bridge.captures.is_empty());
}

#[test]
fn captures_are_few_and_short_and_plain_only_where_allowed() {
    let mut world = World::connected(31, MAX_CAPTURES + 1);
    assert_eq!(start(&mut world, 0, 0, Content::Plain).unwrap_err(), CaptureRefusal::PlainNotAllowed);
    let stranger = CaptureRequest { endpoint: "no such id".to_owned(), ..request(&world, 0, Content::Protected) };
    let refused = world.bridge.start_capture(CaptureId(0), &stranger, world.now);
    assert_eq!(refused.unwrap_err(), CaptureRefusal::UnknownEndpoint);
    let endless = CaptureRequest { duration: Duration::MAX, ..request(&world, 0, Content::Protected) };
    let mut running = vec![world.bridge.start_capture(CaptureId(1), &endless, world.now).unwrap()];
    assert_eq!(start(&mut world, 2, 0, Content::Protected).unwrap_err(), CaptureRefusal::Running);
    for index in 1..MAX_CAPTURES {
        running.push(start(&mut world, index as u64 + 2, index, Content::Protected).unwrap());
    }
    let more = start(&mut world, 99, MAX_CAPTURES, Content::Protected);
    assert_eq!(more.unwrap_err(), CaptureRefusal::TooMany);
    world.bridge.handle_timeout(world.now + MAX_DURATION);
    assert!(world.bridge.captures.is_empty(), "ten minutes at most");
}

#[test]
fn an_endpoint_id_of_two_conferences_wants_the_conference_named() {
    let mut world = World::connected(31, 1);
    let id = world.clients[0].id.clone();
    let other = ConferenceModify {
        create: true,
        name: None,
        endpoints: vec![create_request(&id)],
        ..ConferenceModify::new("other-meeting".parse().unwrap())
    };
    world.colibri(&other).unwrap();
    let refused = start(&mut world, 1, 0, Content::Protected).unwrap_err();
    assert!(matches!(&refused, CaptureRefusal::Ambiguous(list) if list.len() == 2), "{refused:?}");
    assert!(refused.to_string().contains("conference=ID") && refused.to_string().contains("other-meeting"));
    let named = |conference: &str| CaptureRequest {
        conference: Some(conference.to_owned()),
        ..request(&world, 0, Content::Protected)
    };
    let (wrong, right) = (named("elsewhere"), named(super::world::MEETING));
    let refused = world.bridge.start_capture(CaptureId(2), &wrong, world.now);
    assert_eq!(refused.unwrap_err(), CaptureRefusal::UnknownEndpoint);
    let records = world.bridge.start_capture(CaptureId(3), &right, world.now).unwrap();
    world.run(500);
    let taken = take(&records);
    assert!(taken.len() > 10, "the one that is connected");
    assert!(taken.iter().all(|record| record.path.protocol == TransportProtocol::Udp));
}
