//! One stream as a client receives it, and whether a decoder could play it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use codecs::Vp8Descriptor;
use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rtp::{AudioLevel, ExtensionId, RtpView};
use streams::{NackRegister, ReceptionRegister, Via};

use super::camera::{VIDEO, origin};
use super::client::DEPENDENCY_DESCRIPTOR_ID;
use super::encoder::{Scheme, Truth};
use super::judge::{self, Findings, Received};
use super::simulation::Player;

/// A packet that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) payload: Vec<u8>,
    pub(super) dependency_descriptor: Option<Vec<u8>>,
}

/// A stream that arrives.
pub(super) struct Incoming {
    pub(super) packets: BTreeMap<u64, Arrived>,
    pub(super) levels: Vec<Option<AudioLevel>>,
    pub(super) repaired: usize,
    /// Repairs that came before what they repeat: of the newest packets.
    pub(super) repaired_early: usize,
    pub(super) nacks: NackRegister,
    pub(super) register: ReceptionRegister,
    pub(super) last_at: Instant,
    /// What could be shown of it, where the sender's packets tell the truth about their frames.
    pub(super) player: Option<Player>,
    /// The first packets are not remembered.
    is_cut: bool,
}

impl Incoming {
    pub(super) fn new(ssrc: u32, clock_rate_hz: u32, now: Instant) -> Self {
        Self {
            packets: BTreeMap::new(),
            levels: Vec::new(),
            repaired: 0,
            repaired_early: 0,
            nacks: NackRegister::default(),
            register: ReceptionRegister::new(Ssrc(ssrc), clock_rate_hz),
            last_at: now,
            player: None,
            is_cut: false,
        }
    }

    /// A packet on the stream itself.
    pub(super) fn take(&mut self, seq: u64, view: &RtpView<'_>, level: Option<AudioLevel>, now: Instant) {
        self.levels.push(level);
        self.insert(seq, view, view.payload(), view.payload_type().get(), Via::Direct, now);
    }

    /// A packet inside of RTX.
    pub(super) fn take_repair(&mut self, original: SeqNum, view: &RtpView<'_>, payload: &[u8], now: Instant) {
        let seq = ExtSeqNum::extend(original, self.register.highest()).0;
        self.repaired += 1;
        self.repaired_early += usize::from(self.register.highest().is_none_or(|highest| seq > highest.0));
        let repeated = VIDEO.iter().find(|(_, rtx, _)| *rtx == view.payload_type().get()).unwrap().0;
        self.insert(seq, view, payload, repeated, Via::Retransmission, now);
    }

    fn insert(&mut self, seq: u64, view: &RtpView<'_>, payload: &[u8], payload_type: u8, via: Via, now: Instant) {
        let descriptor = view.extension(ExtensionId::try_from(DEPENDENCY_DESCRIPTOR_ID).unwrap());
        let arrived = Arrived {
            timestamp: view.timestamp().0,
            marker: view.marker(),
            payload_type,
            payload: payload.to_vec(),
            dependency_descriptor: descriptor.map(|element| element.data.to_vec()),
        };
        self.register.handle_packet(ExtSeqNum(seq), RtpTimestamp(arrived.timestamp), via, now);
        self.nacks.handle_packet(ExtSeqNum(seq), now);
        self.last_at = now;
        if let Some(player) = &mut self.player
            && !payload.is_empty()
        {
            player.take(&Truth::of(payload), now);
        }
        if let Some(known) = self.packets.insert(seq, arrived.clone()) {
            assert_eq!(known, arrived, "a repair is the packet that it repeats");
        }
    }

    /// Numbers that are missing between the first and the last.
    pub(super) fn missing(&self) -> Vec<u64> {
        let (Some((first, _)), Some((last, _))) = (self.packets.first_key_value(), self.packets.last_key_value())
        else {
            return Vec::new();
        };
        (*first..=*last).filter(|seq| !self.packets.contains_key(seq)).collect()
    }

    /// Streams that the packets came from, in order, each with the first number.
    pub(super) fn origins(&self) -> Vec<(u64, u32)> {
        let mut origins: Vec<(u64, u32)> = Vec::new();
        for (seq, packet) in self.packets.iter().filter(|(_, packet)| !packet.payload.is_empty()) {
            let (ssrc, _) = origin(&packet.payload);
            if origins.last().is_none_or(|(_, last)| *last != ssrc) {
                origins.push((*seq, ssrc));
            }
        }
        origins
    }

    /// Checks audio: no number missing, time that goes on.
    pub(super) fn check_audio(&self) {
        assert_eq!(self.missing().first(), None, "numbers missing");
        let mut last: Option<u32> = None;
        for packet in self.packets.values() {
            assert!(last.is_none_or(|last| is_ahead(packet.timestamp, last)), "audio time goes on");
            last = Some(packet.timestamp);
        }
    }

    /// Checks what a decoder of a scheme needs.
    pub(super) fn check_layers(&self, scheme: Scheme) -> Findings {
        let received: Vec<Received> = self
            .packets
            .iter()
            .map(|(seq, packet)| Received {
                seq: *seq,
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload: packet.payload.clone(),
                dependency_descriptor: packet.dependency_descriptor.clone(),
            })
            .collect();
        judge::check(&received, &BTreeSet::new(), |_| scheme)
    }

    /// Forgets what came so far, up to the end of a frame.
    pub(super) fn forget(&mut self) {
        let last_of_frame = self.packets.iter().rfind(|(_, packet)| packet.marker);
        // Audio has none.
        let last = last_of_frame.or_else(|| self.packets.last_key_value()).map(|(seq, _)| *seq);
        if let Some(last) = last {
            self.packets = self.packets.split_off(&(last + 1));
        }
        self.is_cut = true;
    }

    /// Checks what a VP8 decoder needs: no number missing, whole frames, picture ids and base layer numbers without a
    /// gap, time that goes on from frame to frame, and a key frame wherever the source's stream changes. Answers the
    /// heights of the key frames.
    pub(super) fn check_video(&self) -> Vec<u16> {
        assert_eq!(self.missing().first(), None, "numbers missing");
        let mut heights = Vec::new();
        let mut previous: Option<(&Arrived, Vp8Descriptor, u32)> = None;
        for (seq, packet) in self.packets.iter().filter(|(_, packet)| !packet.payload.is_empty()) {
            let vp8 = Vp8Descriptor::parse(&packet.payload).unwrap();
            let (stream, _) = origin(&packet.payload);
            let picture = vp8.picture_id.unwrap().get();
            let tl0 = vp8.tl0_pic_idx.unwrap();
            heights.extend(vp8.resolution.map(|resolution| resolution.height));
            match &previous {
                None => assert!(vp8.is_key_frame_start || self.is_cut, "starts with a key frame"),
                Some((last, last_vp8, last_stream)) if last.marker => {
                    assert!(vp8.is_frame_start(), "{seq}: a frame begins behind the last of one");
                    assert!(is_ahead(packet.timestamp, last.timestamp), "{seq}: time goes on");
                    assert_eq!(picture, (last_vp8.picture_id.unwrap().get() + 1) & 0x7fff, "{seq}: picture id");
                    let is_base = vp8.temporal_layer.unwrap().id == 0;
                    let expected = last_vp8.tl0_pic_idx.unwrap().wrapping_add(u8::from(is_base));
                    assert_eq!(tl0, expected, "{seq}: TL0PICIDX");
                    assert!(stream == *last_stream || vp8.is_key_frame_start, "{seq}: a layer starts with a key frame");
                }
                Some((last, last_vp8, last_stream)) => {
                    assert!(!vp8.is_frame_start(), "{seq}: the frame before has no end");
                    let same = (last.timestamp, last_vp8.picture_id, last_vp8.tl0_pic_idx, *last_stream);
                    assert_eq!((packet.timestamp, vp8.picture_id, vp8.tl0_pic_idx, stream), same, "{seq}");
                }
            }
            previous = Some((packet, vp8, stream));
        }
        heights
    }
}

fn is_ahead(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}
