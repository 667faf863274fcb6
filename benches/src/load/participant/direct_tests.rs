//! What one participant sends, another receives, without a server between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::EndpointId;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rtp::NtpTime;
use rtp::rtcp::{Compound, RtcpPacket};
use srtp::{DtlsRole, ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};

use super::offer::tests::offer;
use super::receiving::{Depth, Receiving};
use super::sending::Sending;
use super::{LocalSource, Negotiated, Offer, Outbox, Playout, RemoteSource, SendingSettings, SourceChange, Wishes};
use crate::load::measure::{Measurements, MediaCounts, MediaKind};
use crate::load::media::{
    Activity, Content, Height, Layering, Library, MediaClock, MediaTime, SenderNumber, SourceKind, SourceSettings,
    VideoCodec,
};
use crate::load::scenario::Scenario;

const STEP: Duration = Duration::from_millis(5);

struct World {
    now: Instant,
    negotiated: Negotiated,
    sending: Sending,
    receiving: Receiving,
    srtp: (SrtpSender, SrtpReceiver),
    out: Outbox,
    sent: Measurements,
    received: Measurements,
    packets: u64,
}

impl World {
    /// A microphone and a camera of one size, to somebody who looks into them as deep as that.
    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn new(depth: Depth) -> Self {
        let now = Instant::now();
        let clock = MediaClock::new(now, MediaTime(0));
        let negotiated = Offer::read(offer()).unwrap().negotiated;
        let endpoint: EndpointId = "abcd1234".parse().unwrap();
        let mut random = SmallRng::seed_from_u64(1);
        let library = Arc::new(Library::new().unwrap());
        let camera = SourceKind::Camera { codec: VideoCodec::Vp8, height: Height::H180, layering: Layering::Simulcast };
        let settings: Vec<_> = [(MediaKind::Audio, SourceKind::Microphone), (MediaKind::Camera, camera)]
            .into_iter()
            .map(|(kind, source)| SendingSettings {
                local: LocalSource::new(kind, &endpoint, 1, &mut random).unwrap(),
                source: SourceSettings {
                    kind: source,
                    content: Content::Clip,
                    sender: SenderNumber(7),
                    seed: 1,
                    clock,
                    library: Arc::clone(&library),
                },
            })
            .collect();
        let remotes = settings.iter().map(|settings| RemoteSource {
            ssrc: settings.local.ssrcs[0],
            rtx: settings.local.rtx.first().copied(),
            kind: settings.local.kind,
            name: settings.local.name.clone(),
            owner: endpoint.clone(),
        });
        let added = remotes.collect();
        let mut sending = Sending::new(settings, &negotiated, now, &mut random).unwrap();
        sending.set_activity(Activity::Speaking);
        let wishes = Wishes::new(&Scenario { height: Height::H180, ..Scenario::default() });
        let mut receiving =
            Receiving::new(depth, clock, &negotiated, Playout::new(endpoint.clone(), &wishes, clock), now);
        let mut received = Measurements::default();
        receiving.change_sources(SourceChange { added, removed: Vec::new() }, &wishes, now, &mut received);
        let profile = ProtectionProfile::AeadAes128Gcm;
        let material = vec![7; profile.keying_material_len()];
        let keys = |role| SessionKeys::from_dtls_export(profile, &material, role).unwrap();
        let srtp = (
            SrtpSender::new(&keys(DtlsRole::Client).outbound).unwrap(),
            SrtpReceiver::new(&keys(DtlsRole::Server).inbound).unwrap(),
        );
        let (out, sent) = (Outbox::default(), Measurements::default());
        Self { now, negotiated, sending, receiving, srtp, out, sent, received, packets: 0 }
    }

    /// Lets time pass; `is_lost` decides on each packet by its number.
    fn run(&mut self, time: Duration, is_lost: impl Fn(u64) -> bool) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let (now, wall) = (self.now, NtpTime::from_unix(Duration::from_secs(1_800_000_000)));
            self.sending.handle_timeout(now, wall, &self.srtp.0, &mut self.out, &mut self.sent).unwrap();
            self.deliver(&is_lost);
            let mut feedback = Vec::new();
            self.receiving.write_feedback(model::Ssrc(1), now, &mut feedback, &mut self.received);
            for packet in Compound::new(&feedback) {
                if let Ok(RtcpPacket::Nack(nack)) = packet {
                    let lost = nack.lost();
                    let Self { sending, srtp, out, sent, .. } = self;
                    sending.repair(nack.media_ssrc, lost, now, wall, &srtp.0, out, sent).unwrap();
                }
            }
            self.deliver(&is_lost);
        }
        self.receiving.handle_tick(self.now, &mut self.received);
    }

    fn deliver(&mut self, is_lost: &impl Fn(u64) -> bool) {
        for datagram in self.out.iter() {
            self.packets += 1;
            if !is_lost(self.packets) {
                let (mut datagram, arrived) = (datagram.to_vec(), self.now + Duration::from_millis(3));
                let Self { receiving, srtp, negotiated, received, .. } = self;
                receiving.handle_rtp(self.now, arrived, &mut datagram, &mut srtp.1, negotiated, received);
            }
        }
        self.out.clear();
    }

    fn of(&self, kind: MediaKind) -> (MediaCounts, MediaCounts) {
        (self.sent.media_counts(kind), self.received.media_counts(kind))
    }
}

#[test]
fn all_that_is_sent_is_received_and_decoded() {
    let mut world = World::new(Depth::Decode);
    world.run(Duration::from_secs(5), |_| false);
    for (kind, frames) in [(MediaKind::Audio, 245..=250), (MediaKind::Camera, 145..=150)] {
        let (sent, received) = world.of(kind);
        assert_eq!(
            (received.received_packets, received.received_bytes),
            (sent.sent_packets, sent.sent_bytes),
            "{kind}"
        );
        assert_eq!((received.expected_packets, received.lost_packets), (sent.sent_packets, 0), "{kind}");
        assert!(frames.contains(&received.frames), "{kind}: {}", received.frames);
        // Three milliseconds on the way, and those that the histogram is coarse by.
        let latency = world.received.latency(kind).percentile(0.5).unwrap();
        assert!((2_900..3_200).contains(&latency.as_micros()), "{kind}: {latency:?}");
    }
    assert_eq!(world.received.layers().matching(), world.received.layers().total());
    assert!(world.received.layers().total() > 0);
    assert!(world.received.freezes(MediaKind::Camera).count() == 0);
}

#[test]
fn lost_video_is_asked_for_and_comes_again() {
    let mut world = World::new(Depth::Decode);
    world.run(Duration::from_secs(5), |number| number % 20 == 0);
    world.run(Duration::from_secs(3), |_| false);
    let (sent, received) = world.of(MediaKind::Camera);
    assert!(received.lost_packets > 5 && received.nacks_sent > 0, "{received:?}");
    assert_eq!(received.recovered_packets, received.lost_packets, "{received:?}");
    assert!(sent.retransmitted_packets >= received.recovered_packets);
    assert_eq!(received.unrecoverable_packets, 0);
    let (_, audio) = world.of(MediaKind::Audio);
    assert!(audio.lost_packets > 5 && audio.unrecoverable_packets == audio.lost_packets, "{audio:?}");
}

#[test]
fn who_only_counts_sees_the_same_loss() {
    let mut world = World::new(Depth::Count);
    world.run(Duration::from_secs(5), |number| number % 20 == 0);
    world.run(Duration::from_secs(3), |_| false);
    let (_, received) = world.of(MediaKind::Camera);
    assert!(received.lost_packets > 5, "{received:?}");
    assert_eq!((received.recovered_packets, received.frames), (received.lost_packets, 0));
}

#[test]
fn what_comes_twice_or_is_not_from_the_bridge_is_not_received() {
    let mut world = World::new(Depth::Decode);
    world.run(Duration::from_secs(1), |_| false);
    let (_, before) = world.of(MediaKind::Audio);
    world.now += Duration::from_millis(20);
    let (now, wall) = (world.now, NtpTime::from_unix(Duration::from_secs(1_800_000_000)));
    world.sending.handle_timeout(now, wall, &world.srtp.0, &mut world.out, &mut world.sent).unwrap();
    let packets: Vec<Vec<u8>> = world.out.iter().map(<[u8]>::to_vec).collect();
    let audio = packets.iter().find(|packet| packet[1] & 0x7f == 111).unwrap();
    let mut forged = audio.clone();
    *forged.last_mut().unwrap() ^= 1;
    for mut packet in [forged, audio.clone(), audio.clone(), vec![0x80; 5], Vec::new()] {
        world.receiving.handle_rtp(now, now, &mut packet, &mut world.srtp.1, &world.negotiated, &mut world.received);
    }
    let (_, after) = world.of(MediaKind::Audio);
    assert_eq!(after.received_packets, before.received_packets + 1);
    assert_eq!(after.duplicated_packets, before.duplicated_packets + 1);
}

#[test]
fn who_left_the_room_owes_no_pictures() {
    let mut world = World::new(Depth::Decode);
    world.run(Duration::from_secs(2), |_| false);
    let (wishes, owner) = (Wishes::new(&Scenario::default()), "abcd1234".parse().unwrap());
    let removed = world.receiving.ssrcs_of(&owner);
    assert_eq!(removed.len(), 2);
    world.receiving.change_sources(
        SourceChange { added: Vec::new(), removed },
        &wishes,
        world.now,
        &mut world.received,
    );
    assert_eq!(world.receiving.ssrcs_of(&owner), []);
    world.run(Duration::from_secs(2), |_| true);
    assert_eq!(world.received.freezes(MediaKind::Camera).count(), 0);
}

#[test]
fn padding_on_an_ssrc_that_nobody_told_is_acknowledged() {
    let mut world = World::new(Depth::Decode);
    let mut probes = Vec::new();
    for seq in 0..40_u16 {
        // As a videobridge probes: a retransmission payload type, padding only, one-byte extension 5.
        let mut probe = vec![0xb0, 97, 0, seq as u8, 0, 0, 0, 0, 0xc0, 0x92, 0xa1, 0x3d, 0xbe, 0xde, 0, 1, 0x51];
        probe.extend((30_000 + seq).to_be_bytes());
        probe.extend([0; 40]);
        probes.push(probe);
    }
    for probe in &mut probes {
        world.now += Duration::from_millis(5);
        let World { receiving, srtp, negotiated, received, now, .. } = &mut world;
        receiving.handle_rtp(*now, *now, probe, &mut srtp.1, negotiated, received);
    }
    let mut feedback = Vec::new();
    world.receiving.write_feedback(
        model::Ssrc(1),
        world.now + Duration::from_millis(200),
        &mut feedback,
        &mut world.received,
    );
    let arrived: Vec<u16> = Compound::new(&feedback)
        .filter_map(|packet| match packet {
            Ok(RtcpPacket::TransportFeedback(feedback)) => Some(feedback),
            _ => None,
        })
        .flat_map(|feedback| {
            feedback.statuses().filter(|(_, at)| at.is_some()).map(|(seq, _)| seq.0).collect::<Vec<_>>()
        })
        .filter(|seq| *seq >= 30_000)
        .collect();
    assert_eq!(arrived, (30_000..30_040).collect::<Vec<_>>());
}

#[test]
fn who_takes_no_reduced_size_gets_a_report_on_the_stream_in_front() {
    let mut world = World::new(Depth::Decode);
    world.run(Duration::from_secs(2), |_| false);
    let World { receiving, received, now, .. } = &mut world;
    assert_eq!(receiving.write_compounds(model::Ssrc(1), "cname", *now, received), Vec::<Vec<u8>>::new());
    for step in 0..40 {
        world.now += STEP;
        let (now, wall) = (world.now, NtpTime::from_unix(Duration::from_secs(1_800_000_000)));
        world.sending.handle_timeout(now, wall, &world.srtp.0, &mut world.out, &mut world.sent).unwrap();
        world.deliver(&|_| step < 30);
    }
    let World { receiving, received, now, .. } = &mut world;
    let compounds = receiving.write_compounds(model::Ssrc(1), "cname", *now + Duration::from_millis(200), received);
    assert_eq!(compounds.len(), 1, "video only");
    let packets: Vec<_> = Compound::new(&compounds[0]).map(Result::unwrap).collect();
    let [RtcpPacket::ReceiverReport(report), RtcpPacket::SourceDescription, RtcpPacket::Nack(nack), ..] =
        packets.as_slice()
    else {
        panic!("{packets:?}")
    };
    assert_eq!(report.report_blocks().map(|block| block.ssrc).collect::<Vec<_>>(), [nack.media_ssrc]);
}
