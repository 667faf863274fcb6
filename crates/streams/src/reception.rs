//! What a receiver knows of a stream that comes in: counts, loss, jitter (RFC 3550 §6.4.1, appendices A.3 and A.8),
//! and which packets it has.

use std::time::Instant;

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rtp::rtcp::ReportBlock;
use rtp::{CompactNtp, NtpTime};

use crate::jitter::InterarrivalJitter;

/// How far back duplicates are recognised. A repair comes within a second; video has up to 1 000 packets in it.
const SEEN_WINDOW: u64 = 2048;

const WORDS: usize = (SEEN_WINDOW / 64) as usize;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// On its own stream.
    Direct,
    /// Inside an RTX packet. It says nothing of loss and jitter on the path, and is not counted for reports.
    Retransmission,
}

/// What a packet is to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first with its number.
    New,
    /// Its number came before.
    Duplicate,
    /// Its number is older than what is remembered.
    TooOld,
}

/// Reception state of one SSRC.
#[derive(Clone, Debug)]
pub struct ReceptionRegister {
    ssrc: Ssrc,
    numbers: Option<Numbers>,
    /// Packets that came on the stream itself, each once.
    received: u64,
    jitter: InterarrivalJitter,
    last_sender_report: Option<(CompactNtp, Instant)>,
    expected_at_last_report: u64,
    received_at_last_report: u64,
}

#[derive(Clone, Debug)]
struct Numbers {
    first: ExtSeqNum,
    highest: ExtSeqNum,
    /// Bit of a number: its place modulo the window.
    seen: [u64; WORDS],
}

impl ReceptionRegister {
    /// A stream that nothing came of yet. `clock_rate_hz` is that of its codec: 90 000 for video, 48 000 for Opus.
    #[must_use]
    pub const fn new(ssrc: Ssrc, clock_rate_hz: u32) -> Self {
        Self {
            ssrc,
            numbers: None,
            received: 0,
            jitter: InterarrivalJitter::new(clock_rate_hz),
            last_sender_report: None,
            expected_at_last_report: 0,
            received_at_last_report: 0,
        }
    }

    /// Notes a packet. What is not [`Arrival::New`] changes nothing and should be dropped.
    pub fn handle_packet(&mut self, seq: ExtSeqNum, timestamp: RtpTimestamp, via: Via, now: Instant) -> Arrival {
        let numbers = self.numbers.get_or_insert_with(|| Numbers::starting_at(seq));
        let is_newest = seq > numbers.highest || self.received == 0;
        match numbers.note(seq) {
            Arrival::New => {}
            known @ (Arrival::Duplicate | Arrival::TooOld) => return known,
        }
        if via == Via::Direct {
            self.received += 1;
            // A packet that was overtaken would count the time it waited for a repair or another path as jitter.
            if is_newest {
                self.jitter.handle_packet(timestamp, now);
            }
        }
        Arrival::New
    }

    /// Notes a sender report of this stream, which the next report blocks refer to.
    pub fn handle_sender_report(&mut self, ntp: NtpTime, now: Instant) {
        self.last_sender_report = Some((ntp.compact(), now));
    }

    /// The block for the next report, and the start of the next interval of its fraction lost. None before the first
    /// packet.
    pub fn next_report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let numbers = self.numbers.as_ref()?;
        let highest = numbers.highest;
        let expected = highest.0 - numbers.first.0 + 1;
        // RFC 3550 A.3. Late packets of an earlier interval can make the loss of this one negative: none.
        let expected_now = expected.saturating_sub(self.expected_at_last_report);
        let received_now = self.received.saturating_sub(self.received_at_last_report);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now << 8).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        self.expected_at_last_report = expected;
        self.received_at_last_report = self.received;
        let (last_sr, delay_since_last_sr) = match self.last_sender_report {
            Some((ntp, at)) => (Some(ntp), now.saturating_duration_since(at)),
            None => (None, std::time::Duration::ZERO),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: i32::try_from(expected.saturating_sub(self.received)).unwrap_or(i32::MAX),
            highest_seq: highest.0 as u32,
            jitter: self.jitter.clock_units(),
            last_sr,
            delay_since_last_sr,
        })
    }

    /// Extends a number that came without its roll-over, such as the original sequence number of an RTX packet.
    #[must_use]
    pub fn extend(&self, seq: SeqNum) -> ExtSeqNum {
        ExtSeqNum::extend(seq, self.highest())
    }

    /// The highest number that came.
    #[must_use]
    pub fn highest(&self) -> Option<ExtSeqNum> {
        self.numbers.as_ref().map(|numbers| numbers.highest)
    }

    /// Packets that came on the stream itself, each once.
    #[must_use]
    pub const fn received_packets(&self) -> u64 {
        self.received
    }

    /// The stream.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }
}

impl Numbers {
    const fn starting_at(seq: ExtSeqNum) -> Self {
        Self { first: seq, highest: seq, seen: [0; WORDS] }
    }

    fn note(&mut self, seq: ExtSeqNum) -> Arrival {
        if seq > self.highest {
            if seq.0 - self.highest.0 >= SEEN_WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest.0 + 1..seq.0 {
                    self.seen[place(skipped)] &= !bit(skipped);
                }
                self.seen[place(seq.0)] &= !bit(seq.0);
            }
            self.highest = seq;
        } else if self.highest.0 - seq.0 >= SEEN_WINDOW {
            return Arrival::TooOld;
        }
        // Packets from before the first are counted from now on.
        self.first = self.first.min(seq);
        let word = &mut self.seen[place(seq.0)];
        if *word & bit(seq.0) != 0 {
            return Arrival::Duplicate;
        }
        *word |= bit(seq.0);
        Arrival::New
    }
}

/// Below `WORDS` by the modulus.
const fn place(seq: u64) -> usize {
    (seq / 64 % WORDS as u64) as usize
}

const fn bit(seq: u64) -> u64 {
    1 << (seq % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    fn register() -> ReceptionRegister {
        ReceptionRegister::new(Ssrc(1), 90_000)
    }

    fn feed(register: &mut ReceptionRegister, seqs: impl IntoIterator<Item = u64>, at: Instant) {
        for seq in seqs {
            register.handle_packet(ExtSeqNum(seq), RtpTimestamp(0), Via::Direct, at);
        }
    }

    #[test]
    fn counts_loss_of_the_interval_and_since_the_start() {
        let (mut register, now) = (register(), start());
        assert_eq!(register.next_report_block(now), None);
        feed(&mut register, (100..200).filter(|seq| seq % 4 != 0 || *seq == 100), now);
        let block = register.next_report_block(now).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (24, 61));
        feed(&mut register, 200..300, now);
        let block = register.next_report_block(now).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (24, 0));
        assert_eq!(block.highest_seq, 299);
    }

    #[test]
    fn highest_number_counts_its_cycles() {
        let (mut register, now) = (register(), start());
        feed(&mut register, [65_534, 65_535, 65_536, 65_537], now);
        let block = register.next_report_block(now).unwrap();
        assert_eq!((block.highest_seq, block.cumulative_lost), (0x0001_0001, 0));
        assert_eq!(register.extend(SeqNum(65_535)), ExtSeqNum(65_535));
        assert_eq!(register.extend(SeqNum(5)), ExtSeqNum(0x1_0005));
    }

    #[test]
    fn duplicates_and_old_packets_are_recognised_and_not_counted() {
        let (mut register, now) = (register(), start());
        let mut note = |seq| register.handle_packet(ExtSeqNum(seq), RtpTimestamp(0), Via::Direct, now);
        assert_eq!(note(5000), Arrival::New);
        assert_eq!(note(5000), Arrival::Duplicate);
        assert_eq!(note(5003), Arrival::New);
        assert_eq!(note(5001), Arrival::New);
        assert_eq!(note(5001), Arrival::Duplicate);
        assert_eq!(note(4999), Arrival::New);
        assert_eq!(note(5003 - SEEN_WINDOW), Arrival::TooOld);
        assert_eq!(note(5000 + SEEN_WINDOW), Arrival::New);
        assert_eq!(note(5002), Arrival::New);
        assert_eq!(note(5003), Arrival::Duplicate);
        assert_eq!(note(100_000), Arrival::New);
        assert_eq!(note(99_999), Arrival::New);
        assert_eq!(register.received_packets(), 8);
    }

    #[test]
    fn a_repair_is_not_counted_as_received_on_the_path() {
        let (mut register, now) = (register(), start());
        feed(&mut register, [1, 3], now);
        assert_eq!(register.handle_packet(ExtSeqNum(2), RtpTimestamp(0), Via::Retransmission, now), Arrival::New);
        assert_eq!(register.handle_packet(ExtSeqNum(2), RtpTimestamp(0), Via::Direct, now), Arrival::Duplicate);
        assert_eq!(register.next_report_block(now).unwrap().cumulative_lost, 1);
    }

    #[test]
    fn jitter_follows_the_spread_of_arrivals() {
        let (mut register, start) = (register(), start());
        for i in 0..500_u32 {
            // 33 ms apart by the clock, every second packet 10 ms late.
            let late = if i % 2 == 0 { ms(0) } else { ms(10) };
            let at = start + ms(33) * i + late;
            register.handle_packet(ExtSeqNum(u64::from(i)), RtpTimestamp(i * 2970), Via::Direct, at);
        }
        // 10 ms are 900 units; the mean deviation settles there.
        let jitter = register.next_report_block(start).unwrap().jitter;
        assert!((880..=905).contains(&jitter), "{jitter}");
    }

    #[test]
    fn a_long_pause_is_no_jitter() {
        let (mut register, start) = (register(), start());
        register.handle_packet(ExtSeqNum(1), RtpTimestamp(0), Via::Direct, start);
        register.handle_packet(ExtSeqNum(2), RtpTimestamp(2970), Via::Direct, start + ms(60_000));
        assert_eq!(register.next_report_block(start).unwrap().jitter, 0);
    }

    #[test]
    fn refers_to_the_last_sender_report() {
        let (mut register, start) = (register(), start());
        feed(&mut register, [1], start);
        let block = register.next_report_block(start).unwrap();
        assert_eq!((block.last_sr, block.delay_since_last_sr), (None, ms(0)));
        register.handle_sender_report(NtpTime(0x1122_3344_5566_7788), start);
        let block = register.next_report_block(start + ms(250)).unwrap();
        assert_eq!((block.last_sr, block.delay_since_last_sr), (Some(CompactNtp(0x3344_5566)), ms(250)));
    }
}
