//! The short way of a packet that follows the one before, beside the long one.

use super::*;
use crate::shard::packet::Mark;

const ENCODINGS: [Ssrc; 2] = [Ssrc(0xa), Ssrc(0xb)];

/// What comes next of one of the layers.
#[derive(Clone, Copy, Debug)]
enum Step {
    Packet {
        layer: usize,
        payload_len: u16,
        ends_frame: bool,
        is_key: bool,
    },
    Lost {
        layer: usize,
    },
    /// A packet that was lost comes late.
    Late {
        layer: usize,
    },
    Wants(u32),
    Pause,
    /// The encoder of a layer begins anew.
    NewEncoder {
        layer: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let layer = || 0..ENCODINGS.len();
    prop_oneof![
        60 => (layer(), prop_oneof![1 => Just(0_u16), 15 => 1..1200_u16], any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(layer, payload_len, ends_frame, is_key)| Step::Packet {
                layer, payload_len, ends_frame, is_key,
            }),
        4 => layer().prop_map(|layer| Step::Lost { layer }),
        4 => layer().prop_map(|layer| Step::Late { layer }),
        1 => prop_oneof![Just(180), Just(720)].prop_map(Step::Wants),
        1 => Just(Step::Pause),
        1 => layer().prop_map(|layer| Step::NewEncoder { layer }),
    ]
}

/// A layer's encoder.
#[derive(Clone)]
struct Encoder {
    seq: u64,
    picture: u16,
    is_wide: bool,
    timestamp: u32,
    begins_frame: bool,
    lost: Vec<Descriptor>,
}

impl Encoder {
    fn next(&mut self, layer: usize, payload_len: u16, is_key: bool, source: SourceId) -> Descriptor {
        self.seq += 1;
        let first = if self.begins_frame { 0x90 } else { 0x80 };
        let id = self.picture.to_be_bytes();
        let header = if is_key && self.begins_frame { 0x50 } else { 0x51 };
        let payload = if self.is_wide {
            vec![first, 0xe0, id[0] | 0x80, id[1], id[1], 0x20, header]
        } else {
            vec![first, 0xe0, id[1] & 0x7f, id[1], 0x20, header]
        };
        let vp8 = (payload_len > 0).then(|| Vp8Descriptor::parse(&payload).unwrap());
        let frame = vp8.map(|vp8| {
            FrameLayer::new(0, 0)
                .with(Mark::FrameStart, vp8.is_frame_start())
                .with(Mark::PictureStart, vp8.is_frame_start())
                .with(Mark::KeyFrame, vp8.is_key_frame_start)
        });
        let role = StreamRole::Video { source, encoding: layer as u8 };
        let (seq, timestamp) = (ExtSeqNum(self.seq), RtpTimestamp(self.timestamp));
        Descriptor {
            frame: frame.unwrap_or_default(),
            payload_start: 12,
            payload_len,
            numbers: vp8.map_or(Numbers::None, |vp8| Numbers::Vp8(vp8.picture())),
            ..Descriptor::plain(role, ENCODINGS[layer], seq, timestamp, PayloadType::from_low_bits(100))
        }
    }

    fn end_frame(&mut self) {
        self.begins_frame = true;
        self.picture = self.picture.wrapping_add(1) & 0x7fff;
        self.timestamp = self.timestamp.wrapping_add(3000);
    }
}

fn pair(decision: Decision) -> Option<(u64, u32, Rewrite)> {
    match decision {
        Decision::Forward { numbers, rewrite, .. } => Some((numbers.seq.0, numbers.timestamp.0, rewrite)),
        Decision::Drop | Decision::NeedKeyFrame => None,
    }
}

proptest! {
    /// The short way gives each packet the numbers that the long one gives it, and never one twice.
    #[test]
    fn packets_in_order_get_the_numbers_of_the_long_way(
        steps in prop::collection::vec(step(), 1..600),
        widths in any::<[bool; 2]>(),
    ) {
        let mut now = start();
        let source = SourceId(KeyAllocator::default().allocate());
        let mut encoders = widths.map(|is_wide| Encoder {
            seq: 65_500, picture: 0x7ff0, is_wide, timestamp: 77, begins_frame: true, lost: Vec::new(),
        });
        let mut activity = LayerActivity::default();
        let mut max_height = MaxHeight(720);
        let (mut short, mut long) = (stream(), stream());
        let mut given = std::collections::BTreeSet::new();
        for step in steps {
            now += Duration::from_millis(3);
            let mut packet = match step {
                Step::Packet { layer, payload_len, ends_frame, is_key } => {
                    let encoder = &mut encoders[layer];
                    let packet = encoder.next(layer, payload_len, is_key, source);
                    encoder.begins_frame &= payload_len == 0;
                    if ends_frame {
                        encoder.end_frame();
                    }
                    activity.handle_packet(layer as u8, 0, ends_frame, now);
                    packet
                }
                Step::Lost { layer } => {
                    let lost = encoders[layer].next(layer, 500, false, source);
                    encoders[layer].lost.push(Descriptor { is_newest: false, ..lost });
                    continue;
                }
                Step::Late { layer } => match encoders[layer].lost.pop() {
                    Some(late) => late,
                    None => continue,
                },
                Step::Wants(height) => {
                    max_height = MaxHeight(height);
                    continue;
                }
                Step::Pause => {
                    short.pause();
                    long.pause();
                    continue;
                }
                Step::NewEncoder { layer } => {
                    encoders[layer].picture = encoders[layer].picture.wrapping_mul(7919) & 0x7fff;
                    encoders[layer].begins_frame = true;
                    continue;
                }
            };
            packet.layers = activity.active(now);
            long.catch_up();
            long.in_order = None;
            let of_source = OfSource { encodings: &ENCODINGS, dependencies: None };
            let wanted = Wanted::up_to(max_height);
            let decision = pair(short.handle_packet(&packet, of_source, wanted, now));
            prop_assert_eq!(decision, pair(long.handle_packet(&packet, of_source, wanted, now)));
            if let Some((seq, ..)) = decision {
                prop_assert!(given.insert(seq), "{} was given twice", seq);
            }
            if packet.seq.0 % 7 == 0 {
                let info = SenderInfo {
                    ssrc: packet.ssrc, ntp: NtpTime(1), rtp_timestamp: packet.timestamp, packet_count: 0, octet_count: 0,
                };
                prop_assert_eq!(short.sender_info(&info), long.sender_info(&info));
            }
        }
        prop_assert_eq!(short.ended(), long.ended());
        for seq in given {
            let lost = ExtSeqNum(seq).wire();
            prop_assert_eq!(short.find_sent(lost), long.find_sent(lost));
        }
    }
}
