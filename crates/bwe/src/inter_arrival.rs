//! Groups of packets that left together, and how much further apart they arrived than they left.

use crate::time::{TimeDelta, Timestamp};

/// Packets that leave within this of the first of a group belong to it.
const GROUP_LENGTH: TimeDelta = TimeDelta::from_ms(5);

/// A packet that arrives this close behind another, and faster than it was sent, was held up with it.
const BURST_GAP: TimeDelta = TimeDelta::from_ms(5);

/// Longest burst, from its first arrival on.
const MAX_BURST: TimeDelta = TimeDelta::from_ms(100);

/// So much further apart by the reporter's clock than by ours: its clock jumped.
const CLOCK_JUMP: TimeDelta = TimeDelta::from_secs(3);

/// After so many groups in a row that arrived before their predecessor, the clock went back.
const MAX_REORDERED_GROUPS: u8 = 3;

/// Two groups compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupDeltas {
    /// Between the last packets sent.
    pub(crate) sent: TimeDelta,
    /// Between the last packets arrived.
    pub(crate) arrived: TimeDelta,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Timestamp,
    last_sent: Timestamp,
    first_arrived: Timestamp,
    last_arrived: Timestamp,
    /// When we took the feedback about its last packet.
    reported: Timestamp,
}

/// Builds groups out of packets in order of arrival (libwebrtc's `InterArrivalDelta`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InterArrival {
    previous: Option<Group>,
    current: Option<Group>,
    reordered_groups: u8,
}

impl InterArrival {
    /// Takes a packet. Answers the deltas of the last two complete groups when this one opens another.
    pub(crate) fn handle_packet(
        &mut self,
        sent: Timestamp,
        arrived: Timestamp,
        reported: Timestamp,
    ) -> Option<GroupDeltas> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(sent, arrived, reported));
            return None;
        };
        if sent < current.first_sent {
            // Overtaken by its own group.
            return None;
        }
        if current.takes(sent, arrived) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrived = arrived;
            current.reported = reported;
            return None;
        }
        let complete = *current;
        let deltas = match self.previous {
            None => None,
            Some(previous) => Some(self.compare(previous, complete)?),
        };
        self.previous = Some(complete);
        self.current = Some(Group::of(sent, arrived, reported));
        deltas
    }

    /// None where the two say nothing; then the current group stays open.
    fn compare(&mut self, previous: Group, complete: Group) -> Option<GroupDeltas> {
        let arrived = complete.last_arrived - previous.last_arrived;
        if arrived - (complete.reported - previous.reported) >= CLOCK_JUMP {
            *self = Self::default();
            return None;
        }
        if arrived < TimeDelta::ZERO {
            self.reordered_groups += 1;
            if self.reordered_groups >= MAX_REORDERED_GROUPS {
                *self = Self::default();
            }
            return None;
        }
        self.reordered_groups = 0;
        Some(GroupDeltas { sent: complete.last_sent - previous.last_sent, arrived })
    }
}

impl Group {
    const fn of(sent: Timestamp, arrived: Timestamp, reported: Timestamp) -> Self {
        Self { first_sent: sent, last_sent: sent, first_arrived: arrived, last_arrived: arrived, reported }
    }

    fn takes(&self, sent: Timestamp, arrived: Timestamp) -> bool {
        sent - self.first_sent <= GROUP_LENGTH || self.is_burst_with(sent, arrived)
    }

    fn is_burst_with(&self, sent: Timestamp, arrived: Timestamp) -> bool {
        let arrival_gap = arrived - self.last_arrived;
        let send_gap = sent - self.last_sent;
        send_gap == TimeDelta::ZERO
            || arrival_gap < send_gap && arrival_gap <= BURST_GAP && arrived - self.first_arrived < MAX_BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::ZERO + TimeDelta::from_ms(ms)
    }

    /// Answers the deltas in ms that each packet of (sent, arrived) gave.
    fn deltas(packets: &[(i64, i64)]) -> Vec<Option<(i64, i64)>> {
        let mut groups = InterArrival::default();
        packets
            .iter()
            .map(|&(sent, arrived)| {
                let deltas = groups.handle_packet(at(sent), at(arrived), at(arrived))?;
                Some((deltas.sent.micros() / 1000, deltas.arrived.micros() / 1000))
            })
            .collect()
    }

    #[test]
    fn packets_of_five_milliseconds_are_one_group() {
        let packets = [(0, 50), (5, 55), (20, 72), (22, 73), (40, 95), (60, 115)];
        assert_eq!(deltas(&packets), [None, None, None, None, Some((17, 18)), Some((18, 22))]);
    }

    #[test]
    fn a_burst_of_what_was_held_up_is_one_group() {
        let packets = [(0, 50), (20, 140), (40, 142), (60, 145), (80, 160), (100, 180)];
        assert_eq!(deltas(&packets), [None, None, None, None, Some((60, 95)), Some((20, 15))]);
    }

    #[test]
    fn a_clock_that_jumps_starts_anew() {
        let mut groups = InterArrival::default();
        for (sent, arrived) in [(0, 0), (20, 20), (40, 10_000)] {
            groups.handle_packet(at(sent), at(arrived), at(sent));
        }
        assert_eq!(groups.handle_packet(at(60), at(10_020), at(60)), None);
        assert!(groups.previous.is_none() && groups.current.is_none());
    }

    #[test]
    fn a_clock_that_goes_back_starts_anew() {
        let mut groups = InterArrival::default();
        for (sent, arrived) in [(0, 5000), (20, 5020), (40, 100)] {
            groups.handle_packet(at(sent), at(arrived), at(sent));
        }
        for i in 0..3 {
            assert!(groups.current.is_some());
            assert_eq!(groups.handle_packet(at(60 + i * 20), at(120 + i * 20), at(60)), None);
        }
        assert!(groups.current.is_none());
    }
}
