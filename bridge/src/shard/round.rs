//! What a round is to send: to whom, and the packets to each in the order in which they came.
//!
//! The packets to all stand in one place that each round uses again. It stays in the caches, where a list of each receiver's own
//! would not: there are as many as receivers, and a round visits all of them.

use std::num::NonZeroU32;

use super::egress::Pending;
use crate::keys::PeerKey;

/// The packets of a round, by receiver.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Receivers that are sent something.
    receivers: Vec<PeerKey>,
    packets: Vec<Queued>,
    /// Scratch for the packets to one receiver, and for their order.
    pub(super) of_one: Vec<Pending>,
    pub(super) order: Vec<usize>,
}

/// A packet, and the one behind it to the same receiver.
#[derive(Debug)]
struct Queued {
    pending: Pending,
    next: Option<Place>,
}

/// What a receiver is sent in a round: the first packet and the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: Place,
    last: Place,
}

/// One more than the index among the packets.
#[derive(Clone, Copy, Debug)]
struct Place(NonZeroU32);

impl Place {
    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Round {
    /// Puts a packet behind all others to `receiver`, whose queue it is.
    #[inline]
    pub(super) fn push(&mut self, receiver: PeerKey, queue: &mut Option<Queue>, pending: Pending) {
        self.packets.push(Queued { pending, next: None });
        let Some(place) = u32::try_from(self.packets.len()).ok().and_then(NonZeroU32::new).map(Place) else { return };
        match queue {
            Some(queue) => {
                if let Some(last) = self.packets.get_mut(queue.last.index()) {
                    last.next = Some(place);
                }
                queue.last = place;
            }
            None => {
                *queue = Some(Queue { first: place, last: place });
                self.receivers.push(receiver);
            }
        }
    }

    /// The packets of a queue.
    #[inline]
    pub(super) fn packets_of(&self, queue: Queue) -> impl Iterator<Item = &Pending> {
        let mut next = Some(queue.first);
        std::iter::from_fn(move || {
            let queued = self.packets.get(next?.index())?;
            next = queued.next;
            Some(&queued.pending)
        })
    }

    /// Copies the packets of a queue to [`of_one`](Self::of_one).
    pub(super) fn gather(&mut self, queue: Queue) {
        let mut of_one = std::mem::take(&mut self.of_one);
        of_one.clear();
        of_one.extend(self.packets_of(queue).copied());
        self.of_one = of_one;
    }

    /// Takes the receivers out, each of which then takes its queue; to be given back with [`end`](Self::end).
    pub(super) fn take_receivers(&mut self) -> Vec<PeerKey> {
        std::mem::take(&mut self.receivers)
    }

    /// Ends the round. What is in a queue still is gone.
    pub(super) fn end(&mut self, mut receivers: Vec<PeerKey>) {
        receivers.clear();
        self.receivers = receivers;
        self.packets.clear();
    }

    #[cfg(test)]
    pub(super) const fn receiver_count(&self) -> usize {
        self.receivers.len()
    }
}

#[cfg(test)]
mod tests {
    use model::{ExtSeqNum, RtpTimestamp, Ssrc};

    use super::*;
    use crate::keys::KeyAllocator;
    use crate::shard::rewrite::Rewrite;

    fn pending(held: u32) -> Pending {
        Pending::new(held, Ssrc(1), ExtSeqNum(u64::from(held)), RtpTimestamp(0), Rewrite::default())
    }

    #[test]
    fn each_receiver_gets_its_own_packets_in_order_round_after_round() {
        let mut names = KeyAllocator::default();
        let keys = [PeerKey(names.allocate()), PeerKey(names.allocate())];
        let mut round = Round::default();
        for _ in 0..3 {
            let mut queues = [None; 2];
            for held in 0..20 {
                let to = (held % 3 != 0) as usize;
                round.push(keys[to], &mut queues[to], pending(held));
            }
            let receivers = round.take_receivers();
            assert_eq!(receivers, keys);
            for to in [0, 1] {
                round.gather(queues[to].take().unwrap());
                let held: Vec<_> = round.of_one.iter().map(|pending| pending.held).collect();
                assert_eq!(held, (0..20).filter(|held| (held % 3 != 0) as usize == to).collect::<Vec<_>>());
            }
            round.end(receivers);
            assert_eq!(round.receiver_count(), 0);
        }
    }

    #[test]
    fn a_queue_is_no_larger_than_its_places() {
        assert_eq!(size_of::<Option<Queue>>(), 8);
    }
}
