//! Audio of one sender to receivers of one shard, packet by packet and encrypted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::{DtlsRole, KeyingMaterial, SrtpProfile};
use jitsi_protocol::colibri2::{HeaderExtension, Media, PayloadTypeDescription};
use model::{FiveTuple, MediaType, PayloadType, RtpTimestamp, SeqNum, Ssrc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rtp::{AudioLevel, ExtensionId, ExtensionKind, OutgoingExtensions, OutgoingHeader, RtpParts, RtpView};
use srtp::{ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};

use super::*;
use crate::audio::AudioSettings;
use crate::constraints::MaxHeight;
use crate::counters::Counters;
use crate::keys::{KeyAllocator, PeerKey, SourceId};
use crate::negotiated::{AudioSource, LayerSsrcs, Negotiated, Sources};
use crate::shard::layers::Wanted;
use crate::shard::message::{NewPeer, NewSource, PeerKind, Route, ShardCommand, ShardEvent, ShardId, SourceStreams};
use crate::shard::packet::SharedSlot;
use crate::shard::srtp_session::SrtpSession;
use crate::shard::{HEARD_INTERVAL, HEARD_SLACK, Shard};
use crate::ssrc_slots::{DemuxBy, SsrcSlots};

const OPUS: u8 = 111;
const RED: u8 = 112;
const MIC: Ssrc = Ssrc(0x1001);
const LEVEL_ID: u8 = 1;
const MID_ID: u8 = 10;
const FRAME: u32 = 960;
const LOUD: u8 = 30;
/// Behind which the sender's numbers roll over.
const FIRST_SEQ: u64 = 65_530;

/// What one client has with the bridge.
struct Client {
    key: PeerKey,
    path: FiveTuple,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    /// What came: number from the first one on, time since the first one, payload type, payload, level.
    got: Vec<Got>,
    first: Option<(u64, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    seq: u64,
    time: u32,
    payload_type: u8,
    payload: Vec<u8>,
    level: Option<u8>,
    mid: Option<String>,
}

struct Scene {
    shard: Shard,
    counters: Arc<Counters>,
    sender: Client,
    receivers: Vec<Client>,
    source: SourceId,
    now: Instant,
}

impl Scene {
    /// A sender of redundant audio, and receivers that take it or not.
    fn new(audio: AudioSettings, take_red: &[bool]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let now = Instant::now();
        let counters = Arc::new(Counters::default());
        let mut keys = KeyAllocator::default();
        let mut shard = Shard::new(ShardId(0), Arc::clone(&counters), now);
        shard.handle_command(ShardCommand::Audio(audio), now);
        let sender = Client::join(&mut shard, &mut keys, true, now);
        let receivers: Vec<_> = take_red.iter().map(|red| Client::join(&mut shard, &mut keys, *red, now)).collect();
        let source = SourceId(keys.allocate());
        let owner = Route { peer: sender.key, home: ShardId(0) };
        let streams = SourceStreams::Audio { ssrc: MIC };
        let new = NewSource { source, owner, cname: "0000a001".parse().unwrap(), streams };
        shard.handle_command(ShardCommand::AddSource(Arc::new(new)), now);
        let audio = vec![AudioSource { id: source, name: "0000a001-a0".parse().unwrap(), ssrc: MIC, synthetic: false }];
        let sources = Box::new(Sources { audio, video: Vec::new() });
        shard.handle_command(ShardCommand::Receive { peer: sender.key, sources }, now);
        for receiver in &receivers {
            let wanted = Wanted::up_to(MaxHeight::UNLIMITED);
            shard.handle_command(ShardCommand::Subscribe { peer: receiver.key, source, wanted }, now);
        }
        Self { shard, counters, sender, receivers, source, now }
    }

    /// The sender sends the packet `at`.
    fn send(&mut self, at: u64, level: u8, payload_type: u8, payload: &[u8]) {
        let header = OutgoingHeader {
            marker: false,
            payload_type: PayloadType::try_from(payload_type).unwrap(),
            seq: SeqNum((FIRST_SEQ + at) as u16),
            timestamp: RtpTimestamp(time_of(at)),
            ssrc: MIC,
            extensions: OutgoingExtensions {
                audio_level: Some((
                    ExtensionId::try_from(LEVEL_ID).unwrap(),
                    AudioLevel { voice_activity: level < 100, level },
                )),
                ..OutgoingExtensions::default()
            },
        };
        let mut bytes = [0; 100];
        let len = header.write_to(&mut bytes).unwrap().len;
        let parts = RtpParts { header: &bytes[..len], prefix: &[], payload };
        let mut slot = self.shard.take_slot();
        let room = SharedSlot::get_mut(&mut slot).unwrap().bytes_mut();
        let len = self.sender.sender.protect_rtp(&parts, ExtSeqNum(FIRST_SEQ + at), room).unwrap();
        self.shard.handle_datagram(self.sender.path, slot, len, self.now);
        self.flush();
        self.now += Duration::from_millis(20);
    }

    /// A packet of Opus.
    fn opus(&mut self, at: u64, level: u8) {
        self.send(at, level, OPUS, &block(at));
    }

    /// A packet of redundant audio with the two before.
    fn red(&mut self, at: u64, level: u8) {
        self.send(at, level, RED, &red_payload(at));
    }

    fn flush(&mut self) {
        let receivers = &mut self.receivers;
        self.shard.flush(self.now, |queue| {
            for (path, datagram) in queue.iter() {
                let receiver = receivers.iter_mut().find(|receiver| receiver.path == path).unwrap();
                if !rtp::is_rtcp(datagram) {
                    receiver.take(datagram);
                }
            }
        });
    }
}

impl Client {
    fn join(shard: &mut Shard, keys: &mut KeyAllocator, takes_red: bool, now: Instant) -> Self {
        let key = PeerKey(keys.allocate());
        let home = ShardId(0);
        let port = 2000 + keys_made(shard);
        let path = FiveTuple::udp(([10, 0, 0, 1], 10_000).into(), ([10, 0, 0, 2], port).into());
        let bytes: Vec<u8> = (0..56).map(|byte| byte ^ port as u8).collect();
        let session = |role| KeyingMaterial { profile: SrtpProfile::AeadAes128Gcm, role, bytes: bytes.clone() };
        let mut negotiated = Negotiated::default();
        let codec = |id: u8, name: &str| PayloadTypeDescription {
            id: PayloadType::try_from(id).unwrap(),
            name: name.to_owned(),
            clock_rate: 48_000,
            channels: Some(2),
            parameters: Vec::new(),
            feedback: Vec::new(),
        };
        let mut payload_types = vec![codec(OPUS, "opus")];
        payload_types.extend(takes_red.then(|| codec(RED, "red")));
        negotiated.add(&Media {
            media_type: MediaType::Audio,
            payload_types,
            header_extensions: [(LEVEL_ID, ExtensionKind::AudioLevel), (MID_ID, ExtensionKind::Mid)]
                .map(|(id, kind)| HeaderExtension { id, uri: kind.uri().to_owned() })
                .to_vec(),
            extmap_allow_mixed: true,
        });
        for command in [
            ShardCommand::AddPeer(Box::new(NewPeer {
                peer: key,
                kind: PeerKind::Endpoint,
                feedback_ssrc: Ssrc(1),
                random: StdRng::seed_from_u64(1),
            })),
            ShardCommand::Negotiate { peer: key, negotiated: Box::new(negotiated) },
            ShardCommand::Keys {
                peer: key,
                session: Some(Box::new(SrtpSession::new(&session(DtlsRole::Server)).unwrap())),
            },
            ShardCommand::Path { peer: key, path: Some(path) },
            ShardCommand::Route { remote: path.peer(), port: None, to: Some(Route { peer: key, home }) },
        ] {
            shard.handle_command(command, now);
        }
        let keys =
            SessionKeys::from_dtls_export(ProtectionProfile::AeadAes128Gcm, &bytes, srtp::DtlsRole::Client).unwrap();
        let (sender, receiver) = (SrtpSender::new(&keys.outbound).unwrap(), SrtpReceiver::new(&keys.inbound).unwrap());
        Self { key, path, sender, receiver, got: Vec::new(), first: None }
    }

    /// Decrypts a packet: a number that came before, or an older one than the window has, is refused.
    fn take(&mut self, datagram: &[u8]) {
        let mut datagram = datagram.to_vec();
        let plain = self.receiver.unprotect_rtp(&mut datagram).unwrap();
        let view = RtpView::parse(&datagram[..plain.len]).unwrap();
        let (seq, time) = *self.first.get_or_insert((plain.seq.0, view.timestamp().0));
        let extension = |id| view.extension(ExtensionId::try_from(id).unwrap());
        self.got.push(Got {
            seq: plain.seq.0 - seq,
            time: view.timestamp().0.wrapping_sub(time),
            payload_type: view.payload_type().get(),
            payload: view.payload().to_vec(),
            level: extension(LEVEL_ID).map(|level| level.data[0] & 0x7f),
            mid: extension(MID_ID).map(|mid| String::from_utf8(mid.data.to_vec()).unwrap()),
        });
    }
}

/// Peers of a shard so far, for addresses and keys of the next one.
fn keys_made(shard: &Shard) -> u16 {
    shard.routes.len() as u16
}

/// A packet of Opus that came at once.
fn opus(at: u64) -> Got {
    Got { level: Some(LOUD), ..repeated_opus(at) }
}

/// One that another packet repeated: nothing tells its level.
fn repeated_opus(at: u64) -> Got {
    Got { seq: at, time: at as u32 * FRAME, payload_type: OPUS, payload: block(at), level: None, mid: None }
}

fn time_of(at: u64) -> u32 {
    0xffff_f000_u32.wrapping_add(at as u32 * FRAME)
}

/// What Opus made of the frame `at`; frames differ in length.
fn block(at: u64) -> Vec<u8> {
    vec![at as u8; 3 + at as usize % 5]
}

/// The frame `at` behind the two before, as browsers send them.
fn red_payload(at: u64) -> Vec<u8> {
    let earlier: Vec<u64> = (at.saturating_sub(2)..at).collect();
    let mut payload = Vec::new();
    for before in &earlier {
        let (offset, len) = ((at - before) as u32 * FRAME, block(*before).len());
        payload.extend([0x80 | OPUS, (offset >> 6) as u8, (offset << 2) as u8 | (len >> 8) as u8, len as u8]);
    }
    payload.push(OPUS);
    earlier.iter().for_each(|before| payload.extend(block(*before)));
    payload.extend(block(at));
    payload
}

#[test]
fn redundancy_reaches_those_who_take_it_and_others_get_opus() {
    let mut scene = Scene::new(AudioSettings::default(), &[true, false]);
    (0..20).for_each(|at| scene.red(at, LOUD));
    let red = |at| Got { payload_type: RED, payload: red_payload(at), ..opus(at) };
    assert_eq!(scene.receivers[0].got, (0..20).map(red).collect::<Vec<_>>());
    assert_eq!(scene.receivers[1].got, (0..20).map(opus).collect::<Vec<_>>());
}

#[test]
fn what_got_lost_comes_from_the_packets_behind_it() {
    let mut scene = Scene::new(AudioSettings::default(), &[false]);
    // 3 is lost, 6 and 7 are, 10 to 12 are: too many.
    let lost = [3, 6, 7, 10, 11, 12];
    (0..20).filter(|at| !lost.contains(at)).for_each(|at| scene.red(at, LOUD));
    let expected: Vec<_> = (0..20)
        .filter(|at| *at != 10)
        .map(|at| if lost.contains(&at) { repeated_opus(at) } else { opus(at) })
        .collect();
    assert_eq!(scene.receivers[0].got, expected, "each in its place");
}

/// Two packets under one number would break the encryption.
#[test]
fn a_packet_that_was_repeated_and_then_comes_late_goes_out_once() {
    let mut scene = Scene::new(AudioSettings::default(), &[false, true]);
    [0, 1, 3, 2, 4, 6, 7, 5, 8].into_iter().for_each(|at| scene.red(at, LOUD));
    let seqs = |receiver: &Client| receiver.got.iter().map(|got| got.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&scene.receivers[0]), (0..9).collect::<Vec<_>>());
    assert_eq!(seqs(&scene.receivers[1]), [0, 1, 3, 2, 4, 6, 7, 5, 8], "as they came");
}

#[test]
fn redundancy_that_cannot_be_read_goes_to_those_who_take_it_only() {
    let mut scene = Scene::new(AudioSettings::default(), &[true, false]);
    let garbage = [&[0xff; 40][..], &[RED, 1, 2][..], &[][..]];
    for (at, payload) in (0..).zip(garbage) {
        scene.send(at, LOUD, RED, payload);
    }
    scene.red(3, LOUD);
    let got: Vec<_> = scene.receivers.iter().map(|receiver| receiver.got.len()).collect();
    assert_eq!(got, [3, 1], "and what has no payload to nobody");
    let types: Vec<_> = scene.receivers[0].got.iter().map(|got| got.payload_type).collect();
    assert_eq!(types, [RED; 3]);
}

#[test]
fn redundancy_is_taken_away_on_request() {
    let audio = AudioSettings { redundancy: crate::audio::Redundancy::Strip, ..AudioSettings::default() };
    let mut scene = Scene::new(audio, &[true]);
    (0..5).filter(|at| *at != 2).for_each(|at| scene.red(at, LOUD));
    let payload_types: Vec<_> = scene.receivers[0].got.iter().map(|got| got.payload_type).collect();
    assert_eq!(payload_types, [OPUS; 5]);
}

fn adding(distance: RedundancyDistance, repeated: Repeated) -> AudioSettings {
    let add = AddedRedundancy { distance, repeated };
    AudioSettings { redundancy: crate::audio::Redundancy::Add(add), silence: None, ..AudioSettings::default() }
}

/// What a packet repeats, by how many before it.
fn repeats(got: &Got) -> Vec<u64> {
    assert_eq!(got.payload_type, RED);
    let red = RedPayload::parse(&got.payload).unwrap();
    assert_eq!(got.payload[usize::from(red.primary_start)..], block(got.seq));
    let blocks = (1..).zip(red.redundant).filter_map(|(before, block)| Some((before, block?)));
    blocks
        .map(|(before, repeated)| {
            let bytes = usize::from(repeated.start)..usize::from(repeated.start + repeated.len);
            assert_eq!(got.payload[bytes], block(got.seq - before));
            assert_eq!(u32::from(repeated.timestamp_offset), before as u32 * FRAME);
            before
        })
        .collect()
}

#[test]
fn redundancy_is_added_on_request_and_only_where_it_is_taken() {
    for (distance, most) in [(RedundancyDistance::One, 1), (RedundancyDistance::Two, 2)] {
        let mut scene = Scene::new(adding(distance, Repeated::Everything), &[true, false]);
        // 4 is lost on the way to the bridge: nobody can repeat it, and nothing is put in its place.
        (0..10).filter(|at| *at != 4).for_each(|at| scene.opus(at, LOUD));
        let repeated: Vec<_> = scene.receivers[0].got.iter().map(|got| (got.seq, repeats(got).len())).collect();
        let expected = [(0, 0), (1, 1), (2, 2), (3, 2), (5, 0), (6, 1), (7, 2), (8, 2), (9, 2)];
        assert_eq!(repeated, expected.map(|(seq, count): (u64, usize)| (seq, count.min(most))));
        assert_eq!(scene.receivers[1].got, (0..10).filter(|at| *at != 4).map(opus).collect::<Vec<_>>());
    }
}

/// The rules of `AudioRedHandler` in jitsi-videobridge for `vad-only`.
#[test]
fn only_speech_is_repeated_but_for_what_stands_in_between() {
    let mut scene = Scene::new(adding(RedundancyDistance::Two, Repeated::Speech), &[true]);
    let is_speech = [true, true, false, false, true, false, true, true];
    for (at, speech) in (0..).zip(is_speech) {
        scene.opus(at, if speech { LOUD } else { 110 });
    }
    let repeated: Vec<_> = scene.receivers[0].got.iter().map(repeats).collect();
    let (none, one, two) = (vec![], vec![1], vec![1, 2]);
    let expected = [&none, &one, &two, &two, &none, &one, &two, &one];
    assert_eq!(repeated.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn silence_ends_behind_its_first_packets_without_a_gap() {
    let mut scene = Scene::new(AudioSettings::default(), &[false, true]);
    let is_silent = |at: u64| (3..60).contains(&at);
    for at in 0..100 {
        scene.red(at, if is_silent(at) { 127 } else { LOUD });
    }
    let heard: Vec<_> = (0..100).filter(|at| !is_silent(*at) || *at < 7).collect();
    for receiver in &scene.receivers {
        let seqs: Vec<_> = receiver.got.iter().map(|got| got.seq).collect();
        assert_eq!(seqs, (0..heard.len() as u64).collect::<Vec<_>>(), "nothing is lost, and nothing repeated twice");
        let times: Vec<_> = receiver.got.iter().map(|got| u64::from(got.time / FRAME)).collect();
        assert_eq!(times, heard);
    }
    assert_eq!(scene.counters.dropped(DropReason::Silence), 100 - heard.len() as u64);
}

/// A packet lost in front of silence is repeated by what comes behind it, however many lie between.
#[test]
fn what_was_left_out_is_not_repeated() {
    let mut scene = Scene::new(AudioSettings::default(), &[false]);
    for at in 0..20 {
        let is_lost = at == 10;
        if !is_lost {
            scene.red(at, if (4..10).contains(&at) { 127 } else { LOUD });
        }
    }
    let times: Vec<_> = scene.receivers[0].got.iter().map(|got| got.time / FRAME).collect();
    let heard: Vec<_> = (0..8).chain(10..20).collect();
    assert_eq!(times, heard);
    let seqs: Vec<_> = scene.receivers[0].got.iter().map(|got| got.seq).collect();
    assert_eq!(seqs, (0..18).collect::<Vec<_>>());
}

#[test]
fn silence_goes_on_where_it_is_wanted_or_unknown() {
    let mut scene = Scene::new(AudioSettings { silence: None, ..AudioSettings::default() }, &[false]);
    (0..20).for_each(|at| scene.opus(at, 127));
    assert_eq!(scene.receivers[0].got.len(), 20);
    let mut scene = Scene::new(AudioSettings::default(), &[false]);
    (0..20).for_each(|at| scene.opus(at, 126));
    assert_eq!(scene.receivers[0].got.len(), 20, "quiet is not silence");
}

#[test]
fn who_is_not_among_the_loudest_is_left_out_without_a_gap_but_still_measured() {
    let mut scene = Scene::new(AudioSettings::default(), &[false]);
    let owner = scene.sender.key;
    for at in 0..30 {
        if at % 10 == 0 {
            let audibility = if at == 10 { Audibility::LeftOut } else { Audibility::Forwarded };
            scene.shard.handle_command(ShardCommand::Loudness { owner, audibility }, scene.now);
        }
        scene.opus(at, LOUD);
        scene.shard.handle_timeout(scene.now);
    }
    scene.shard.handle_timeout(scene.now + HEARD_INTERVAL + HEARD_SLACK);
    let got: Vec<_> = scene.receivers[0].got.iter().map(|got| (got.seq, u64::from(got.time / FRAME))).collect();
    assert_eq!(got, (0..20).zip((0..10).chain(20..30)).collect::<Vec<_>>());
    let levels = scene.shard.events().iter().map(|event| match event {
        ShardEvent::Heard { levels, .. } => levels.len(),
        ShardEvent::Datagram { .. }
        | ShardEvent::CheckAnswered { .. }
        | ShardEvent::ConnectionClosed { .. }
        | ShardEvent::Layers { .. }
        | ShardEvent::LinkTraffic { .. }
        | ShardEvent::Bandwidth { .. } => 0,
    });
    assert_eq!(levels.sum::<usize>(), 30);
}

/// Whatever part of a packet it is that goes out.
#[test]
fn who_tells_streams_apart_by_mids_gets_that_of_the_slot_with_each_packet() {
    let mut scene = Scene::new(AudioSettings::default(), &[false, false, true]);
    let mut slots = SsrcSlots::new(DemuxBy::Mid);
    let mut keys = KeyAllocator::default();
    let others: Vec<_> = (0..11).map(|_| SourceId(keys.allocate())).collect();
    slots.audio.choose(others.into_iter(), || LayerSsrcs { primary: Ssrc(77), rtx: None });
    let names: Vec<_> = slots.audio.mapped().map(|(_, names)| names).collect();
    for (receiver, names) in [(1, names[3]), (2, names[10])] {
        let (peer, source) = (scene.receivers[receiver].key, scene.source);
        let command = ShardCommand::Rename { peer, source, names: Some(names) };
        scene.shard.handle_command(command, scene.now);
    }
    (0..10).filter(|at| *at != 5).for_each(|at| scene.red(at, LOUD));
    let mids = scene.receivers.iter().map(|receiver| {
        let mut mids: Vec<_> = receiver.got.iter().map(|got| got.mid.clone()).collect();
        mids.dedup();
        (receiver.got.len(), mids)
    });
    let told = |mid: Option<&str>| vec![mid.map(str::to_owned)];
    assert_eq!(mids.collect::<Vec<_>>(), [(10, told(None)), (10, told(Some("a3"))), (9, told(Some("a10")))]);
}
