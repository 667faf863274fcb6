//! Every subscriber of a source gets numbers without a gap or a double across 65535→0, whatever is lost, late, skipped
//! or switched on the way, and a NACK for any of them leads back to the packet of the source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use codecs::{PictureFields, Vp8Descriptor};
use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use proptest::collection::vec;
use proptest::prelude::*;
use streams::{Incoming, LastSent, PictureRewriter, SentLog, SequenceRewriter};

/// Most places that a packet is overtaken by.
const MAX_DELAY: u64 = 40;

/// What happens to a packet between its source and the bridge, and what a subscriber makes of it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Arrives { later_by: u64, what: Step },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Forward,
    /// Left out, as a temporal layer that the subscriber does not get.
    Skip,
    /// The subscriber goes over to this source, with this packet.
    Switch,
    /// The stream is taken away and comes back under the same SSRC, with this packet.
    ComeBack,
}

/// One subscriber, and what must be true of what it was sent.
struct Subscriber {
    rewriter: SequenceRewriter,
    log: SentLog<(Ssrc, u64)>,
    /// Our number to the source's packet.
    sent: BTreeMap<u64, Incoming>,
    /// Start of the segment: the source's number and ours.
    start: (Incoming, u64),
    /// Our first numbers of all segments.
    starts: BTreeSet<u64>,
    skipped: BTreeSet<u64>,
    /// As a receiver extends what it reads off the wire.
    receiver_highest: ExtSeqNum,
}

impl Subscriber {
    fn new(first: SeqNum, packet: Incoming, now: Instant) -> Self {
        let mut rewriter = SequenceRewriter::new(90_000, first, RtpTimestamp(0));
        let ours = rewriter.switch_to(&packet, now).seq;
        let mut subscriber = Self {
            rewriter,
            log: SentLog::default(),
            sent: BTreeMap::new(),
            start: (packet, ours.0),
            starts: BTreeSet::from([ours.0]),
            skipped: BTreeSet::new(),
            receiver_highest: ours,
        };
        subscriber.send(ours, packet);
        subscriber
    }

    fn handle(&mut self, packet: Incoming, step: Step, now: Instant) {
        match step {
            Step::Forward => {
                let Some(rewritten) = self.rewriter.rewrite(&packet, now) else { return };
                if packet.source == self.start.0.source && packet.seq >= self.start.0.seq {
                    let range = self.start.0.seq.0..packet.seq.0;
                    let skipped = self.skipped.range(range.clone()).count() as u64;
                    assert_eq!(rewritten.seq.0, self.start.1 + (range.end - range.start) - skipped);
                }
                self.send(rewritten.seq, packet);
            }
            Step::Skip => {
                if self.rewriter.skip(packet.source, packet.seq) {
                    self.skipped.insert(packet.seq.0);
                }
            }
            Step::Switch => {
                let highest = self.rewriter.highest_seq();
                let rewritten = self.rewriter.switch_to(&packet, now);
                assert_eq!(highest.map(|highest| highest.0 + 1), Some(rewritten.seq.0));
                self.start_segment(packet, rewritten.seq);
            }
            Step::ComeBack => {
                let last: Option<LastSent> = self.rewriter.last_sent();
                let last = last.expect("something was sent");
                self.rewriter = SequenceRewriter::continuing(90_000, last);
                let rewritten = self.rewriter.switch_to(&packet, now);
                assert_eq!(rewritten.seq.0, last.seq.0 + 1);
                self.start_segment(packet, rewritten.seq);
            }
        }
    }

    fn start_segment(&mut self, packet: Incoming, ours: ExtSeqNum) {
        self.start = (packet, ours.0);
        self.starts.insert(ours.0);
        self.skipped.clear();
        self.send(ours, packet);
    }

    fn send(&mut self, ours: ExtSeqNum, packet: Incoming) {
        assert_eq!(self.sent.insert(ours.0, packet), None, "number {ours:?} was given twice");
        self.log.insert(ours, (packet.source, ours.0.wrapping_sub(packet.seq.0)));
        let extended = ExtSeqNum::extend(ours.wire(), Some(self.receiver_highest));
        assert_eq!(extended, ours, "the receiver takes it for another");
        self.receiver_highest = self.receiver_highest.max(extended);
    }

    /// Asks for each number that the log can still have.
    fn check_log(&self) {
        let newest = *self.sent.last_key_value().expect("something was sent").0;
        let first = self.log.first().expect("something was sent").0;
        for seq in first.max(newest.saturating_sub(511))..=newest {
            let found = self.log.find(ExtSeqNum(seq).wire()).map(|(ours, (source, distance))| {
                assert_eq!(ours.0, seq);
                (source, ours.0.wrapping_sub(distance))
            });
            match self.sent.get(&seq) {
                Some(sent) => assert_eq!(found, Some((sent.source, sent.seq.0))),
                // Open for a late packet, it may lead to that before it comes: to none that has another number of the segment.
                None => {
                    let start = self.starts.range(..=seq).next_back().expect("a first segment");
                    let end = self.starts.range(seq..).next().unwrap_or(&u64::MAX);
                    let mut of_segment = self.sent.range(start..end).map(|(_, sent)| Some((sent.source, sent.seq.0)));
                    assert!(of_segment.all(|sent| sent != found), "{seq} leads to a packet of another number");
                }
            }
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    let step = prop_oneof![
        60 => Just(Step::Forward),
        20 => Just(Step::Skip),
        1 => Just(Step::Switch),
        1 => Just(Step::ComeBack),
    ];
    let arrives = (prop_oneof![5 => Just(0), 1 => 0..MAX_DELAY], step);
    prop_oneof![
        1 => Just(Fate::Lost),
        9 => arrives.prop_map(|(later_by, what)| Fate::Arrives { later_by, what }),
    ]
}

/// Packets of a source in the order in which they arrive, with what is done with each.
fn arrivals(source: Ssrc, first: u64, fates: &[Fate]) -> Vec<(u64, Incoming, Step)> {
    let mut arrivals: Vec<_> = (first..)
        .zip(fates)
        .filter_map(|(seq, fate)| match fate {
            Fate::Lost => None,
            Fate::Arrives { later_by, what } => {
                let packet = Incoming { source, seq: ExtSeqNum(seq), timestamp: RtpTimestamp(seq as u32 * 3000) };
                Some((seq - first + later_by, packet, *what))
            }
        })
        .collect();
    arrivals.sort_by_key(|(at, packet, _)| (*at, packet.seq));
    arrivals
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; the test only adds to it")]
fn start() -> Instant {
    Instant::now()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn numbers_go_on_for_every_subscriber(
        first_of in [65_000_u64..65_536, 65_000_u64..65_536],
        first_sent in [0..=u16::MAX, 0x7e00..=0x7fff_u16, 0xfe00..=0xffff_u16],
        fates in vec([fate(), fate()], 100..1500),
        of_subscriber in vec([any::<bool>(), any::<bool>(), any::<bool>()], 1500),
    ) {
        let now = start();
        let [first_a, first_b] = first_of;
        let (a, b): (Vec<_>, Vec<_>) = fates.iter().map(|[a, b]| (*a, *b)).unzip();
        let mut all = arrivals(Ssrc(0xa), first_a, &a);
        all.extend(arrivals(Ssrc(0xb), first_b, &b));
        all.sort_by_key(|(at, packet, _)| (*at, packet.source));
        let begin = Incoming { source: Ssrc(0xa), seq: ExtSeqNum(first_a - 1), timestamp: RtpTimestamp(0) };
        let mut subscribers = first_sent.map(|first| Subscriber::new(SeqNum(first), begin, now));
        for (count, (_, packet, step)) in all.into_iter().enumerate() {
            for (which, subscriber) in subscribers.iter_mut().enumerate() {
                // Layers and switches are each subscriber's own.
                let is_own = of_subscriber[count % of_subscriber.len()][which];
                subscriber.handle(packet, if is_own { step } else { Step::Forward }, now);
            }
        }
        for subscriber in subscribers {
            subscriber.check_log();
        }
    }

    #[test]
    fn pictures_go_on_across_their_wrap(
        first in 0x7f00_u16..0x8000,
        frames in vec((any::<bool>(), prop_oneof![9 => Just(false), 1 => Just(true)]), 1..700),
    ) {
        let source = Ssrc(0xa);
        let mut rewriter = PictureRewriter::default();
        let mut ours = rewriter.switch_to(source, &frame(first, FrameKind::Key)).picture_id;
        for (i, (is_skipped, is_switch)) in (1_u16..).zip(frames) {
            let id = first.wrapping_add(i) & 0x7fff;
            if is_switch {
                let switched = rewriter.switch_to(source, &frame(id, FrameKind::Key));
                prop_assert_eq!(switched.picture_id, (ours + 1) & 0x7fff);
                ours = switched.picture_id;
            } else if is_skipped {
                prop_assert!(rewriter.skip_frame(source, &frame(id, FrameKind::Delta)));
            } else {
                let rewritten = rewriter.rewrite(source, &frame(id, FrameKind::Delta));
                prop_assert_eq!(rewritten.map(|numbers| numbers.picture_id), Some((ours + 1) & 0x7fff));
                ours = (ours + 1) & 0x7fff;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum FrameKind {
    Key,
    Delta,
}

/// RFC 7741 §4.2: X, S; I, L, T; a picture id of 15 bits.
fn frame(picture_id: u16, kind: FrameKind) -> PictureFields {
    let [high, low] = (picture_id | 0x8000).to_be_bytes();
    let payload_header = match kind {
        FrameKind::Key => 0x50,
        FrameKind::Delta => 0x51,
    };
    Vp8Descriptor::parse(&[0x90, 0xe0, high, low, 0, 0x20, payload_header]).expect("a descriptor").picture()
}
