//! Packets in a row that did not arrive.
//!
//! A line that is given too much goes on to carry what it can, so that some packets arrive among those that it loses. Where none
//! does for a while, the line was interrupted: what was sent meanwhile says nothing of what it carries, nor of what it loses when
//! it is there. libwebrtc takes such packets for lost ones and leaves the worst quarter of a second out of its average, which is
//! enough for short interruptions only.

use crate::sent_packets::SentPacket;
use crate::time::TimeDelta;

/// The narrowest line to estimate for, of 30 kbit/s, carries a packet of 1200 bytes in this time.
const INTERRUPTION: TimeDelta = TimeDelta::from_ms(320);

/// Packets for which memory is kept.
const KEPT: usize = 256;

/// Packets between two that arrived, in order of number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing {
    /// At most as many as are remembered of what was sent.
    packets: Vec<SentPacket>,
}

impl Missing {
    pub(crate) fn push(&mut self, packet: SentPacket) {
        self.packets.push(packet);
    }

    /// The next packet arrived, or there is no news of it. Answers those before it that the line lost: none where it was interrupted.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = SentPacket> {
        if let (Some(first), Some(last)) = (self.packets.first(), self.packets.last())
            && last.sent - first.sent >= INTERRUPTION
        {
            self.packets.clear();
            self.packets.shrink_to(KEPT);
        }
        self.packets.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use model::DataSize;

    use super::*;
    use crate::time::Timestamp;

    /// Answers how many of the packets, sent at these times in ms, the line lost.
    fn lost(sent_ms: impl IntoIterator<Item = i64>) -> usize {
        let mut missing = Missing::default();
        for (number, ms) in (0..).zip(sent_ms) {
            let sent = Timestamp::ZERO + TimeDelta::from_ms(ms);
            missing.push(SentPacket { number, sent, size: DataSize::from_bytes(1000), probe: None });
        }
        missing.end().count()
    }

    #[test]
    fn what_is_sent_into_an_interruption_is_not_lost_by_the_line() {
        assert_eq!(lost([0, 100, 200, 319]), 4);
        assert_eq!(lost([0, 100, 200, 320]), 0);
        assert_eq!(lost(0..10_000), 0);
        assert_eq!(lost([0]), 1);
        assert_eq!(lost([]), 0);
    }
}
