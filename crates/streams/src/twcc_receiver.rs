//! Which packets of a transport arrived and when, and the feedback about them
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use model::{Ssrc, TwccSeq};
use rtp::rtcp::{ArrivalDelta, TWCC_DELTA_UNIT, TWCC_REFERENCE_UNIT, TwccFeedbackHeader, write_twcc_feedback};

use crate::rtx_cache::shrink_idle;

/// Time between two feedbacks, as JVB has it.
pub const TWCC_FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);

/// Most numbers between the oldest that is remembered and the newest. A jump beyond is a new start of the sender; one
/// feedback packet can always cross a gap of this size.
const MAX_WINDOW: u64 = 2048;

/// How long a reported packet is remembered, so that one that was overtaken can still be reported together with its
/// neighbours.
const HISTORY: Duration = Duration::from_millis(500);

/// Most bytes of one feedback packet, below any path's MTU with SRTCP and IPv6 around it.
const MAX_FEEDBACK_LEN: usize = 1100;

/// Bytes in front of the chunks.
const FEEDBACK_HEADER_LEN: usize = 20;

/// Ticks of [`TWCC_DELTA_UNIT`] in a [`TWCC_REFERENCE_UNIT`].
const TICKS_PER_REFERENCE: u32 = (TWCC_REFERENCE_UNIT.as_micros() / TWCC_DELTA_UNIT.as_micros()) as u32;

/// When a packet arrived: ticks of [`TWCC_DELTA_UNIT`] since the epoch, going round in twelve days just as the 24 bits
/// of a reference time do. Never 0, for which the tick behind stands, so that the window has four bytes a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tick(NonZeroU32);

impl Tick {
    /// Signed ticks from `earlier` to `self`.
    const fn since(self, earlier: u32) -> i32 {
        self.0.get().wrapping_sub(earlier) as i32
    }
}

/// Arrivals on one transport.
#[derive(Clone, Debug)]
pub struct TwccReceiver {
    /// Where ticks count from.
    epoch: Instant,
    /// Arrival of number `start` and those above; none for what did not arrive. The last is one that did.
    window: VecDeque<Option<Tick>>,
    /// Extended number of the first of the window.
    start: u64,
    /// Numbers below are forgotten.
    floor: u64,
    /// The first number that the next feedback speaks about.
    next_report: u64,
    due: Instant,
    feedback_count: u8,
    /// Kept for its allocation.
    statuses: Vec<Option<ArrivalDelta>>,
}

impl TwccReceiver {
    /// A transport that nothing arrived on yet. `now` becomes the zero of its clock.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            window: VecDeque::new(),
            start: 0,
            floor: 0,
            next_report: 0,
            due: now,
            feedback_count: 0,
            statuses: Vec::new(),
        }
    }

    /// Notes a packet. Duplicates and packets that are too old change nothing.
    pub fn handle_packet(&mut self, seq: TwccSeq, now: Instant) {
        let tick = self.tick(now);
        let Some(newest) = self.newest() else {
            // One cycle up, so that a packet from before the first does not fall below zero.
            self.restart(u64::from(seq.0) + (1 << 16), tick);
            self.due = now + TWCC_FEEDBACK_INTERVAL;
            return;
        };
        let step = i64::from(seq.0.wrapping_sub(newest as u16) as i16);
        let Some(number) = newest.checked_add_signed(step) else { return };
        if number > newest {
            if number - newest > MAX_WINDOW {
                self.restart(number, tick);
                return;
            }
            self.window.resize(self.window.len() + (number - newest - 1) as usize, None);
            self.window.push_back(Some(tick));
            while self.window.len() as u64 > MAX_WINDOW {
                self.forget_oldest();
            }
            return;
        }
        if number < self.start {
            if number < self.floor || newest - number >= MAX_WINDOW {
                return;
            }
            for _ in number..self.start {
                self.window.push_front(None);
            }
            self.start = number;
        }
        match self.window.get_mut((number - self.start) as usize) {
            Some(slot @ None) => *slot = Some(tick),
            Some(Some(_)) | None => return,
        }
        self.next_report = self.next_report.min(number);
    }

    /// When a feedback is due. None while there is nothing to report.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.has_unreported().then_some(self.due)
    }

    /// Appends one feedback packet to `out` if one is due. To be called until it answers false: packets that do not fit
    /// one feedback go into the next. `media_ssrc` is any stream of the transport.
    pub fn poll_feedback(&mut self, sender_ssrc: Ssrc, media_ssrc: Ssrc, now: Instant, out: &mut Vec<u8>) -> bool {
        if now < self.due || !self.has_unreported() {
            return false;
        }
        let base = self.next_report;
        let Some((reference, end)) = self.collect_statuses(base) else { return false };
        let header = TwccFeedbackHeader {
            sender_ssrc,
            media_ssrc,
            base_seq: TwccSeq(base as u16),
            reference_time: reference as i32,
            feedback_count: self.feedback_count,
        };
        write_twcc_feedback(out, &header, &self.statuses);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next_report = end;
        if !self.has_unreported() {
            self.due = now + TWCC_FEEDBACK_INTERVAL;
        }
        self.forget_reported(now);
        true
    }

    /// Fills `statuses` from number `base` on. Answers the reference time and the number after the last status.
    fn collect_statuses(&mut self, base: u64) -> Option<(u32, u64)> {
        self.statuses.clear();
        let arrivals = self.window.range((base - self.start) as usize..);
        let first = arrivals.clone().flatten().next()?;
        let reference = first.0.get() / TICKS_PER_REFERENCE;
        let mut last = reference * TICKS_PER_REFERENCE;
        let mut received = 0;
        for arrival in arrivals {
            // At worst two bits and two bytes for each packet that arrived.
            let chunks_len = 2 * (self.statuses.len() + 1).div_ceil(7);
            if FEEDBACK_HEADER_LEN + chunks_len + 2 * (received + 1) > MAX_FEEDBACK_LEN {
                break;
            }
            let Some(tick) = arrival else {
                self.statuses.push(None);
                continue;
            };
            // More than eight seconds after its neighbour: the next feedback has a reference time of its own.
            let Ok(delta) = i16::try_from(tick.since(last)) else { break };
            self.statuses.push(Some(ArrivalDelta(delta)));
            last = tick.0.get();
            received += 1;
        }
        Some((reference, base + self.statuses.len() as u64))
    }

    fn restart(&mut self, number: u64, tick: Tick) {
        self.window.clear();
        self.window.push_back(Some(tick));
        // After a jump nothing from before it is reported any more.
        self.floor = if self.start == 0 { 0 } else { number };
        self.start = number;
        self.next_report = number;
    }

    fn forget_reported(&mut self, now: Instant) {
        let history = (HISTORY.as_micros() / TWCC_DELTA_UNIT.as_micros()) as i32;
        let now = self.tick(now);
        // The newest stays: numbers are extended by it.
        while self.window.len() > 1
            && self.start < self.next_report
            && self.window.front().is_some_and(|arrival| arrival.is_none_or(|tick| now.since(tick.0.get()) > history))
        {
            self.forget_oldest();
        }
        shrink_idle(&mut self.window);
    }

    fn forget_oldest(&mut self) {
        self.window.pop_front();
        self.start += 1;
        self.floor = self.start;
        self.next_report = self.next_report.max(self.start);
    }

    fn newest(&self) -> Option<u64> {
        Some(self.start + (self.window.len() as u64).checked_sub(1)?)
    }

    fn has_unreported(&self) -> bool {
        self.newest().is_some_and(|newest| newest >= self.next_report)
    }

    fn tick(&self, now: Instant) -> Tick {
        let ticks = now.saturating_duration_since(self.epoch).as_micros() / TWCC_DELTA_UNIT.as_micros();
        Tick(NonZeroU32::new(ticks as u32).unwrap_or(NonZeroU32::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};
    use rtp::rtcp::{Compound, RtcpPacket};

    /// Plays all feedbacks that are due and answers (number, arrival in ms since the start) of each status.
    fn feedback(receiver: &mut TwccReceiver, now: Instant) -> Vec<Vec<(u16, Option<u64>)>> {
        let mut packets = Vec::new();
        let mut out = Vec::new();
        while receiver.poll_feedback(Ssrc(1), Ssrc(2), now, &mut out) {
            assert!(out.len() <= MAX_FEEDBACK_LEN + 4, "{}", out.len());
            let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&out).next() else {
                panic!("no feedback")
            };
            assert_eq!(usize::from(feedback.header.feedback_count), packets.len() % 256);
            let mut tick = i64::from(feedback.header.reference_time) * i64::from(TICKS_PER_REFERENCE);
            let statuses = feedback.statuses().map(|(seq, delta)| {
                let arrival = delta.map(|delta| {
                    tick += i64::from(delta.0);
                    tick as u64 / 4
                });
                (seq.0, arrival)
            });
            packets.push(statuses.collect());
            out.clear();
        }
        receiver.feedback_count = 0;
        packets
    }

    #[test]
    fn reports_arrivals_and_losses_every_interval() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        assert_eq!(receiver.next_timeout(), None);
        for (seq, at) in [(65_534, 70), (65_535, 75), (1, 90), (0, 95)] {
            receiver.handle_packet(TwccSeq(seq), start + ms(at));
        }
        receiver.handle_packet(TwccSeq(3), start + ms(100));
        assert_eq!(receiver.next_timeout(), Some(start + ms(170)));
        assert!(feedback(&mut receiver, start + ms(169)).is_empty());
        assert_eq!(
            feedback(&mut receiver, start + ms(170)),
            [[(65_534, Some(70)), (65_535, Some(75)), (0, Some(95)), (1, Some(90)), (2, None), (3, Some(100))]]
        );
        assert_eq!(receiver.next_timeout(), None);
        receiver.handle_packet(TwccSeq(4), start + ms(180));
        assert_eq!(receiver.next_timeout(), Some(start + ms(270)));
        assert_eq!(feedback(&mut receiver, start + ms(270)), [[(4, Some(180))]]);
    }

    #[test]
    fn a_late_packet_is_reported_with_its_neighbours() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        for seq in [10, 12] {
            receiver.handle_packet(TwccSeq(seq), start);
        }
        assert_eq!(feedback(&mut receiver, start + ms(100)).len(), 1);
        receiver.handle_packet(TwccSeq(11), start + ms(110));
        assert_eq!(feedback(&mut receiver, start + ms(200)), [[(11, Some(110)), (12, Some(0))]]);
    }

    #[test]
    fn duplicates_and_forgotten_numbers_change_nothing() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        for seq in [10, 11, 11] {
            receiver.handle_packet(TwccSeq(seq), start);
        }
        feedback(&mut receiver, start + ms(100));
        receiver.handle_packet(TwccSeq(10), start + ms(110));
        assert_eq!(receiver.next_timeout(), None);
        receiver.handle_packet(TwccSeq(20), start + ms(1000));
        feedback(&mut receiver, start + ms(1000));
        receiver.handle_packet(TwccSeq(9), start + ms(1001));
        assert_eq!(receiver.next_timeout(), None);
    }

    #[test]
    fn a_packet_overtaken_by_the_very_first_counts() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        receiver.handle_packet(TwccSeq(0), start);
        receiver.handle_packet(TwccSeq(65_534), start + ms(1));
        assert_eq!(feedback(&mut receiver, start + ms(100)), [[(65_534, Some(1)), (65_535, None), (0, Some(0))]]);
    }

    #[test]
    fn many_packets_take_as_many_feedbacks_as_they_need() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        for seq in 0..1500_u16 {
            if seq % 3 != 0 {
                receiver.handle_packet(TwccSeq(seq), start + ms(u64::from(seq) * 70 % 5000));
            }
        }
        let packets = feedback(&mut receiver, start + ms(6000));
        assert!(packets.len() > 1);
        let statuses: Vec<_> = packets.into_iter().flatten().collect();
        assert!(statuses.iter().map(|(seq, _)| *seq).eq(1..1500));
        assert!(
            statuses.iter().all(|(seq, arrival)| { *arrival == (seq % 3 != 0).then_some(u64::from(*seq) * 70 % 5000) })
        );
    }

    #[test]
    fn a_pause_beyond_the_reach_of_a_delta_starts_another_feedback() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        receiver.handle_packet(TwccSeq(1), start);
        receiver.handle_packet(TwccSeq(2), start + ms(20_000));
        assert_eq!(feedback(&mut receiver, start + ms(20_000)), [vec![(1, Some(0))], vec![(2, Some(20_000))]]);
    }

    #[test]
    fn a_jump_starts_anew_and_the_window_has_a_limit() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        receiver.handle_packet(TwccSeq(0), start);
        receiver.handle_packet(TwccSeq(10_000), start);
        assert_eq!(feedback(&mut receiver, start + ms(100)), [[(10_000, Some(0))]]);
        receiver.handle_packet(TwccSeq(9_999), start);
        assert_eq!(receiver.next_timeout(), None);
        for i in 1..200_000_u32 {
            receiver.handle_packet(TwccSeq((10_000 + i * 7) as u16), start + ms(u64::from(i)));
            assert!(receiver.window.len() as u64 <= MAX_WINDOW);
        }
    }

    #[test]
    fn arrivals_are_told_apart_across_the_round_of_the_clock() {
        let start = start();
        let mut receiver = TwccReceiver::new(start);
        // 2^32 ticks of a quarter of a millisecond.
        let round = ms(1 << 30);
        receiver.handle_packet(TwccSeq(1), start + round - ms(2));
        receiver.handle_packet(TwccSeq(2), start + round + ms(3));
        let mut out = Vec::new();
        assert!(receiver.poll_feedback(Ssrc(1), Ssrc(2), start + round + ms(100), &mut out));
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&out).next() else {
            panic!("no feedback")
        };
        assert_eq!(feedback.header.reference_time & 0xff_ffff, 0xff_ffff);
        let deltas: Vec<_> = feedback.statuses().map(|(_, delta)| delta.map(|delta| delta.0)).collect();
        assert_eq!(deltas, [Some(256 - 8), Some(20)]);
        receiver.handle_packet(TwccSeq(3), start + round + ms(700));
        assert!(receiver.poll_feedback(Ssrc(1), Ssrc(2), start + round + ms(700), &mut out));
        assert_eq!(receiver.window.len(), 1);
    }

    #[test]
    fn a_second_of_packets_costs_four_bytes_each() {
        assert_eq!(size_of::<Option<Tick>>(), 4);
    }
}
