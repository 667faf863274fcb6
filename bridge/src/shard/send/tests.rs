//! Streams of all codecs to one receiver, packet by packet: what it gets can be decoded, whatever is lost, late or wanted.

use std::collections::BTreeSet;

use codecs::Vp8Descriptor;
use model::TwccSeq;
use proptest::prelude::*;
use rtp::{
    ExtensionId, MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN, MAX_OUTGOING_HEADER_LEN, NtpTime, OutgoingExtensions,
    OutgoingHeader, RtpView,
};

use super::*;
use crate::constraints::MaxHeight;
use crate::keys::{KeyAllocator, SourceId};
use crate::negotiated::Codec;
use crate::shard::describe::{Arrived, FrameReader};
use crate::shard::layers::{LayerActivity, LayerCap};
use crate::shard::packet::FrameLayer;
use crate::tests::encoder::{Encoder, Made, Scheme, Truth};
use crate::tests::judge::{Received, check};

const ENCODINGS: [Ssrc; 3] = [Ssrc(0xa), Ssrc(0xb), Ssrc(0xc)];
const DESCRIPTOR_ID: u8 = 11;

#[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
fn start() -> Instant {
    Instant::now()
}

fn stream() -> SendStream {
    let ssrcs = LayerSsrcs { primary: Ssrc(1), rtx: Some(Ssrc(2)) };
    let (seq, rtx_seq, timestamp) = (SeqNum(0x7ff0), SeqNum(9), RtpTimestamp(u32::MAX - 9000));
    SendStream::video(ssrcs, FirstNumbers { earlier: None, earlier_rtx: None, seq, rtx_seq, timestamp })
}

#[test]
fn what_follows_the_last_packet_needs_two_cache_lines() {
    assert!(std::mem::offset_of!(SendStream, synced) <= 128, "{}", std::mem::offset_of!(SendStream, synced));
}

/// One encoding on its way to the bridge.
struct Sender {
    encoder: Encoder,
    scheme: Scheme,
    encoding: u8,
    next_seq: u64,
    reader: FrameReader,
    structures: Vec<std::sync::Arc<Dependencies>>,
    highest: Option<u64>,
}

/// A packet that a sender made.
#[derive(Clone)]
struct Sent {
    seq: u64,
    timestamp: u32,
    made: Made,
}

impl Sender {
    fn new(scheme: Scheme, encoding: u8, heights: &[u16]) -> Self {
        Self {
            encoder: Encoder::new(scheme, encoding, heights),
            scheme,
            encoding,
            next_seq: 65_500 + u64::from(encoding) * 9,
            reader: FrameReader::default(),
            structures: Vec::new(),
            highest: None,
        }
    }

    fn next_picture(&mut self, is_key: bool, ms: u64) -> Vec<Sent> {
        let made = self.encoder.next_picture(is_key);
        let timestamp = (ms * 90) as u32 ^ u32::from(self.encoding) << 30;
        let sent = (self.next_seq..).zip(made).map(|(seq, made)| Sent { seq, timestamp, made });
        let sent: Vec<_> = sent.collect();
        self.next_seq += sent.len() as u64;
        sent
    }

    /// The packet as the home of its sender describes it.
    fn describe(&mut self, sent: &Sent, activity: &mut LayerActivity, source: SourceId, now: Instant) -> Descriptor {
        let id = |id: u8| ExtensionId::try_from(id).unwrap();
        let payload_type = PayloadType::try_from(self.scheme.payload_type()).unwrap();
        let header = OutgoingHeader {
            marker: sent.made.marker,
            payload_type,
            seq: SeqNum(sent.seq as u16),
            timestamp: RtpTimestamp(sent.timestamp),
            ssrc: ENCODINGS[usize::from(self.encoding)],
            extensions: OutgoingExtensions {
                transport_seq: Some((id(5), TwccSeq(1))),
                dependency_descriptor: sent
                    .made
                    .dependency_descriptor
                    .as_deref()
                    .map(|bytes| (id(DESCRIPTOR_ID), bytes)),
                ..OutgoingExtensions::default()
            },
        };
        let mut bytes = vec![0; MAX_OUTGOING_HEADER_LEN + MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN];
        let len = header.write_to(&mut bytes).unwrap().len;
        bytes.truncate(len);
        bytes.extend(&sent.made.payload);
        let view = RtpView::parse(&bytes).unwrap();
        let is_newest = self.highest.is_none_or(|highest| sent.seq > highest);
        self.highest = self.highest.max(Some(sent.seq));
        let codec = match self.scheme {
            Scheme::Vp8 => Codec::Vp8,
            Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible => Codec::Vp9,
            Scheme::Av1Svc | Scheme::Av1KSvc => Codec::Av1,
            Scheme::H264 => Codec::H264,
        };
        let dependency_descriptor = view.extension(id(DESCRIPTOR_ID));
        let arrived = Arrived { view: &view, start: 0, codec, is_newest, dependency_descriptor, now };
        let described = self.reader.read(&arrived, self.encoding, Some(activity)).unwrap();
        self.structures.extend(described.structure);
        activity.handle_packet(self.encoding, described.frame.spatial, sent.made.marker, now);
        let role = StreamRole::Video { source, encoding: self.encoding };
        Descriptor {
            marker: view.marker(),
            is_newest,
            frame: described.frame,
            payload_start: view.header_len() as u16,
            payload_len: sent.made.payload.len() as u16,
            layers: activity.active(now),
            numbers: described.numbers,
            ..Descriptor::plain(role, view.ssrc(), ExtSeqNum(sent.seq), view.timestamp(), payload_type)
        }
    }
}

/// What happens in a test.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// All encodings send a picture. Of its packets, as many as bits are set are lost, or come one picture later.
    Picture {
        lost: u32,
        late: u32,
    },
    Wants {
        height: u32,
        layer: u8,
        temporal: u8,
    },
    Pause,
    /// A key frame that nobody asked for.
    KeyFrame {
        encoding: usize,
    },
}

fn event(has_loss: bool) -> impl Strategy<Value = Event> {
    let bits = move || match has_loss {
        true => prop_oneof![4 => Just(0_u32), 1 => any::<u32>().prop_map(|bits| bits & bits >> 7 & bits >> 11)].boxed(),
        false => Just(0).boxed(),
    };
    let wants = (prop::sample::select(vec![90_u32, 180, 360, 720, 2000]), 0_u8..4, 0_u8..4)
        .prop_map(|(height, layer, temporal)| Event::Wants { height, layer, temporal });
    prop_oneof![
        40 => (bits(), bits()).prop_map(|(lost, late)| Event::Picture { lost, late }),
        3 => wants,
        1 => Just(Event::Pause),
        1 => (0_usize..3).prop_map(|encoding| Event::KeyFrame { encoding }),
    ]
}

/// What one receiver got of a source.
struct Outcome {
    received: Vec<Received>,
    lost: BTreeSet<(u8, u32)>,
    lost_packets: usize,
    /// What was wanted when each picture began, by its time at the receiver.
    wanted: Vec<(u64, Wanted)>,
    arrived_ms: Vec<(u64, u64)>,
}

/// Runs a source through a stream. Key frames come a round trip after they are asked for.
fn run(schemes: &[(Scheme, &[u16])], events: &[Event]) -> Outcome {
    let origin = start();
    let source = SourceId(KeyAllocator::default().allocate());
    let mut senders: Vec<_> =
        (0..).zip(schemes).map(|(encoding, (scheme, heights))| Sender::new(*scheme, encoding, heights)).collect();
    let mut activity = LayerActivity::default();
    let mut wanted = Wanted::up_to(MaxHeight::UNLIMITED);
    let mut stream = stream();
    let mut key_frames = vec![None; senders.len()];
    let mut late: Vec<(usize, Sent)> = Vec::new();
    let mut outcome = Outcome {
        received: Vec::new(),
        lost: BTreeSet::new(),
        lost_packets: 0,
        wanted: Vec::new(),
        arrived_ms: Vec::new(),
    };
    let mut ms = 0;
    for event in events {
        match *event {
            Event::Wants { height, layer, temporal } => {
                wanted = Wanted { max_height: MaxHeight(height), cap: LayerCap { layer, temporal } };
            }
            Event::Pause => stream.pause(),
            Event::KeyFrame { encoding } => {
                if let Some(key_frame) = key_frames.get_mut(encoding) {
                    *key_frame = Some(ms);
                }
            }
            Event::Picture { lost, late: is_late } => {
                ms += 33;
                let now = origin + Duration::from_millis(ms);
                outcome.wanted.push((ms, wanted));
                let mut arriving = Vec::new();
                let overtaken = std::mem::take(&mut late);
                for (at, sender) in senders.iter_mut().enumerate() {
                    let is_key = key_frames[at].take_if(|asked| *asked + 60 <= ms).is_some();
                    for (bit, sent) in sender.next_picture(is_key, ms).into_iter().enumerate() {
                        let truth = Truth::of(&sent.made.payload);
                        let bit = 1_u32.rotate_left((bit + 5 * at) as u32);
                        if lost & bit != 0 {
                            outcome.lost.insert((truth.encoding, truth.frame));
                            outcome.lost_packets += 1;
                        } else if is_late & bit != 0 {
                            // Some parts of it may never be sent.
                            outcome.lost.insert((truth.encoding, truth.frame));
                            outcome.lost_packets += 1;
                            late.push((at, sent));
                        } else {
                            arriving.push((at, sent));
                        }
                    }
                }
                arriving.extend(overtaken);
                for (at, sent) in arriving {
                    let packet = senders[at].describe(&sent, &mut activity, source, now);
                    let id = packet.dependency().map_or(0, |fields| fields.structure);
                    let dependencies = senders[at].structures.iter().rev().take(2).find(|known| known.id == id);
                    let of_source = OfSource {
                        encodings: &ENCODINGS[..schemes.len()],
                        dependencies: dependencies.map(|known| &**known),
                    };
                    match stream.handle_packet(&packet, of_source, wanted, now) {
                        Decision::Drop => {}
                        Decision::NeedKeyFrame => drop(key_frames[at].get_or_insert(ms)),
                        Decision::Forward { numbers, rewrite, key_frame } => {
                            if key_frame == KeyFrame::Needed {
                                key_frames[at].get_or_insert(ms);
                            }
                            outcome.arrived_ms.push((numbers.seq.0, ms));
                            outcome.received.push(receive(&packet, &sent, numbers, rewrite));
                        }
                    }
                }
            }
        }
    }
    let numbers: BTreeSet<_> = outcome.received.iter().map(|packet| packet.seq).collect();
    assert_eq!(numbers.len(), outcome.received.len(), "a number was given twice");
    for packet in &outcome.received {
        let found = stream.find_sent(ExtSeqNum(packet.seq).wire());
        assert!(found.is_none_or(|(seq, _)| seq.0 == packet.seq));
    }
    outcome.received.sort_by_key(|packet| packet.seq);
    outcome
}

/// The packet as it goes out.
fn receive(packet: &Descriptor, sent: &Sent, numbers: Rewritten, rewrite: Rewrite) -> Received {
    let mut payload = if rewrite.is_filler() { Vec::new() } else { sent.made.payload.clone() };
    if let Some(prefix) = rewrite.prefix(packet, &payload) {
        let prefix = prefix.as_bytes();
        payload[..prefix.len()].copy_from_slice(prefix);
    }
    let dependency_descriptor = packet.dependency().map(|fields| {
        let mut bytes = [0; 255];
        let bytes_of = sent.made.dependency_descriptor.as_deref().unwrap();
        let len = rewrite.write_descriptor(fields, bytes_of, &mut bytes).unwrap();
        bytes[..len].to_vec()
    });
    Received {
        seq: numbers.seq.0,
        timestamp: numbers.timestamp.0,
        marker: rewrite.marker(packet),
        payload,
        dependency_descriptor,
    }
}

const SVC: &[u16] = &[180, 360, 720];

/// Each way to send a camera.
fn sources() -> Vec<Vec<(Scheme, &'static [u16])>> {
    let simulcast = |scheme| vec![(scheme, &[180][..]), (scheme, &[360][..]), (scheme, &[720][..])];
    vec![
        simulcast(Scheme::Vp8),
        vec![(Scheme::Vp8, &[720][..])],
        simulcast(Scheme::Vp9Svc),
        vec![(Scheme::Vp9Svc, SVC)],
        vec![(Scheme::Vp9KSvc, SVC)],
        vec![(Scheme::Vp9Flexible, SVC)],
        simulcast(Scheme::Av1Svc),
        vec![(Scheme::Av1Svc, SVC)],
        vec![(Scheme::Av1KSvc, SVC)],
        simulcast(Scheme::H264),
        vec![(Scheme::H264, &[180][..])],
    ]
}

fn pictures(count: usize) -> impl Iterator<Item = Event> {
    std::iter::repeat_n(Event::Picture { lost: 0, late: 0 }, count)
}

#[test]
fn a_receiver_gets_what_it_asks_for_and_no_more() {
    for source in sources() {
        let layers = source.len().max(source[0].1.len());
        // From the top to the bottom and back, in height, layers and temporal layers.
        let steps = [(2000, 3, 3), (360, 3, 3), (2000, 0, 3), (2000, 3, 0), (2000, 3, 1), (180, 3, 0), (2000, 3, 3)];
        let mut events = Vec::new();
        for (height, layer, temporal) in steps {
            events.push(Event::Wants { height, layer, temporal });
            events.extend(pictures(60));
        }
        let outcome = run(&source, &events);
        let findings = check(&outcome.received, &outcome.lost, |encoding| source[usize::from(encoding)].0);
        assert_eq!(findings.missing, 0, "{source:?}");
        let ms_of = |timestamp: u32| {
            let at = outcome.received.iter().find(|packet| packet.timestamp == timestamp).unwrap().seq;
            outcome.arrived_ms.iter().find(|(seq, _)| *seq == at).unwrap().1
        };
        let height = |(encoding, spatial, _): (u8, u8, u8)| source[usize::from(encoding)].1[usize::from(spatial)];
        for (at, (max_height, layer, temporal)) in steps.into_iter().enumerate() {
            let (from, to) = (33 * 60 * at as u64, 33 * 60 * (at as u64 + 1));
            let shown: Vec<_> = findings
                .pictures
                .iter()
                .filter(|(timestamp, _)| (from + 1..=to).contains(&ms_of(*timestamp)))
                .map(|(_, layers)| *layers)
                .collect();
            // A round trip for a key frame, two groups for a temporal layer.
            let settled = &shown[shown.len() * 2 / 3..];
            let heights: Vec<u16> = match layers {
                1 => vec![source[0].1[0]],
                _ => vec![180, 360, 720],
            };
            let fitting = heights
                .iter()
                .enumerate()
                .rev()
                .find(|(at, lines)| u32::from(**lines) <= max_height && *at <= usize::from(layer));
            let expected = fitting.map_or(heights[0], |(_, lines)| *lines);
            let has_heights = source[0].0 != Scheme::H264 || layers > 1;
            for picture in settled {
                // Encodings of H.264 all say 180 lines.
                if has_heights && source[0].0 != Scheme::H264 {
                    assert_eq!(height(*picture), expected, "{source:?} step {at}: {settled:?}");
                }
                assert!(picture.2 <= temporal, "{source:?} step {at}: {settled:?}");
            }
            let top = settled.iter().map(|picture| picture.2).max();
            let offered = if source[0].0 == Scheme::H264 { 1 } else { 2 };
            assert_eq!(top, Some(temporal.min(offered)), "{source:?} step {at}: {settled:?}");
        }
    }
}

#[test]
fn spatial_layers_go_down_at_once_where_the_lower_ones_were_sent() {
    for scheme in [Scheme::Vp9Svc, Scheme::Vp9Flexible, Scheme::Av1Svc] {
        let mut events: Vec<_> = pictures(9).collect();
        events.push(Event::Wants { height: 180, layer: 3, temporal: 3 });
        events.extend(pictures(9));
        let outcome = run(&[(scheme, SVC)], &events);
        let findings = check(&outcome.received, &outcome.lost, |_| scheme);
        let spatial: Vec<_> = findings.pictures.iter().map(|(_, (_, spatial, _))| *spatial).collect();
        assert_eq!(spatial, [[2; 9], [0; 9]].concat(), "{scheme:?}");
        assert_eq!(
            outcome.received.iter().filter(|packet| Truth::of(&packet.payload).is_key).count(),
            3,
            "one key frame"
        );
    }
}

#[test]
fn key_frames_alone_carry_lower_layers_of_k_svc() {
    for scheme in [Scheme::Vp9KSvc, Scheme::Av1KSvc] {
        let outcome = run(&[(scheme, SVC)], &pictures(20).collect::<Vec<_>>());
        let sent: BTreeSet<_> = outcome
            .received
            .iter()
            .map(|packet| Truth::of(&packet.payload))
            .filter(|truth| truth.frame > 3)
            .map(|truth| truth.spatial)
            .collect();
        assert_eq!(sent, BTreeSet::from([2]), "{scheme:?}");
    }
}

#[test]
fn decode_targets_that_are_left_out_are_told_with_the_change() {
    let mut events: Vec<_> = pictures(9).collect();
    events.push(Event::Wants { height: 360, layer: 3, temporal: 1 });
    events.extend(pictures(9));
    let outcome = run(&[(Scheme::Av1Svc, SVC)], &events);
    let mut known = None;
    let mut told = BTreeSet::new();
    for packet in &outcome.received {
        let bytes = packet.dependency_descriptor.as_deref().unwrap();
        let descriptor = codecs::DependencyDescriptor::parse(bytes, known.as_ref()).unwrap();
        told.extend(descriptor.active_decode_targets);
        known = descriptor.attached_structure.map(|structure| *structure).or(known);
    }
    // Targets count temporal layers within spatial ones: 0 and 1 of the lower two are left.
    assert_eq!(told, BTreeSet::from([0b1_1111_1111, 0b00_0001_1011]));
}

/// And no structure is taken for another, which the codec before had.
#[test]
fn dependency_descriptors_that_a_change_of_codec_overtook_can_be_read() {
    let source = SourceId(KeyAllocator::default().allocate());
    let (now, mut activity) = (start(), LayerActivity::default());
    let mut sender = Sender::new(Scheme::Av1Svc, 0, &[180, 360]);
    let key_frame = sender.next_picture(true, 0);
    let late = sender.next_picture(false, 33).remove(0);
    for sent in &key_frame {
        sender.describe(sent, &mut activity, source, now);
    }
    for (scheme, heights) in [(Scheme::H264, &[180][..]), (Scheme::Av1Svc, &[180])] {
        sender.encoder = Encoder::new(scheme, 0, heights).following(&sender.encoder);
        sender.scheme = scheme;
        for sent in sender.next_picture(true, 66) {
            sender.describe(&sent, &mut activity, source, now);
        }
        sender.scheme = Scheme::Av1Svc;
        let packet = sender.describe(&late, &mut activity, source, now);
        let fields = packet.dependency().unwrap();
        assert_eq!(fields.structure, sender.structures[0].id);
        assert!(fields.present > 0 && packet.frame.is(Mark::FrameStart));
    }
    let ids: BTreeSet<_> = sender.structures.iter().map(|structure| structure.id).collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_codec_that_changes_in_mid_stream_begins_at_its_key_frame() {
    let source = SourceId(KeyAllocator::default().allocate());
    let origin = start();
    let mut activity = LayerActivity::default();
    let mut stream = stream();
    let mut received = Vec::new();
    let mut seq = 100;
    let mut asked = 0;
    let schemes = [Scheme::Vp8, Scheme::Vp9Svc, Scheme::Av1Svc, Scheme::H264, Scheme::Vp8];
    // One reader for all: it is one stream.
    let mut sender = Sender::new(Scheme::Vp8, 0, &[180]);
    for (at, scheme) in schemes.into_iter().enumerate() {
        sender.encoder = Encoder::new(scheme, 0, &[180]);
        sender.scheme = scheme;
        sender.next_seq = seq;
        // The key frame of all but the first is lost, and comes again when it is asked for.
        for picture in 0..20 {
            let ms = (at * 20 + picture) as u64 * 33;
            let now = origin + Duration::from_millis(ms);
            for sent in sender.next_picture(picture == 8, ms) {
                if picture == 0 && at > 0 {
                    continue;
                }
                let packet = sender.describe(&sent, &mut activity, source, now);
                let id = packet.dependency().map_or(0, |fields| fields.structure);
                let dependencies = sender.structures.iter().find(|known| known.id == id).cloned();
                let of_source = OfSource { encodings: &ENCODINGS[..1], dependencies: dependencies.as_deref() };
                match stream.handle_packet(&packet, of_source, Wanted::up_to(MaxHeight::UNLIMITED), now) {
                    Decision::Forward { numbers, rewrite, .. } => {
                        assert_eq!(numbers.seq.0, received.last().map_or(0x7ff0, |last: &Received| last.seq + 1));
                        received.push(receive(&packet, &sent, numbers, rewrite));
                    }
                    Decision::NeedKeyFrame => asked += 1,
                    Decision::Drop => {}
                }
            }
        }
        seq = sender.next_seq;
    }
    assert!(asked >= 7 * 4, "a key frame is asked for while the codec cannot begin");
    let pictures: BTreeSet<_> = received.iter().map(|packet| packet.timestamp).collect();
    assert_eq!(pictures.len(), 20 + 4 * 12);
    assert!(received.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 20));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn without_loss_no_number_is_missing_and_all_can_be_decoded(
        which in 0..sources().len(),
        events in prop::collection::vec(event(false), 1..300),
    ) {
        let source = &sources()[which];
        let outcome = run(source, &events);
        let findings = check(&outcome.received, &outcome.lost, |encoding| source[usize::from(encoding)].0);
        prop_assert_eq!(findings.missing, 0);
    }

    #[test]
    fn with_loss_and_disorder_nothing_is_missing_but_what_was_lost(
        which in 0..sources().len(),
        events in prop::collection::vec(event(true), 1..300),
    ) {
        let source = &sources()[which];
        let outcome = run(source, &events);
        let findings = check(&outcome.received, &outcome.lost, |encoding| source[usize::from(encoding)].0);
        prop_assert!(findings.missing <= outcome.lost_packets, "{} > {}", findings.missing, outcome.lost_packets);
    }
}

mod described_vp8;
mod in_order;
mod real_decoders;
