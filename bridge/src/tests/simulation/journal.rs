//! What became of what a client sent: the truth about loss on the way to the bridge.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use super::super::camera::{OPUS, Plain, origin};
use super::super::encoder::Truth;

/// A stream and a number in it.
pub(super) type Origin = (u32, u64);

/// A packet that a client sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::tests) struct Sent {
    /// Encoding and number of its frame; none of audio.
    pub(in crate::tests) frame: Option<(u8, u32)>,
    pub(in crate::tests) at: Instant,
    /// When the bridge had it, first or repeated.
    pub(in crate::tests) arrived: Option<Instant>,
}

/// All that one client sent.
pub(in crate::tests) struct Journal {
    pub(in crate::tests) now: Instant,
    pub(in crate::tests) sent: BTreeMap<Origin, Sent>,
    /// Hashes of datagrams that are under way.
    under_way: HashMap<u64, Origin>,
    /// The bridge takes nothing of it any more.
    pub(in crate::tests) has_left: bool,
}

impl Journal {
    pub(in crate::tests) fn new(now: Instant) -> Self {
        Self { now, sent: BTreeMap::new(), under_way: HashMap::new(), has_left: false }
    }

    /// A packet leaves, as `datagram`.
    pub(in crate::tests) fn handle_sent(&mut self, packet: &Plain, datagram: &[u8]) {
        let origin = origin(&packet.payload);
        self.under_way.insert(hash(datagram), origin);
        let frame = (packet.payload_type != OPUS).then(|| Truth::of(&packet.payload));
        let frame = frame.map(|truth| (truth.encoding, truth.frame));
        self.sent.entry(origin).or_insert(Sent { frame, at: self.now, arrived: None });
    }

    /// A datagram of the client reaches the bridge.
    pub(in crate::tests) fn handle_arrival(&mut self, datagram: &[u8], now: Instant) {
        if self.has_left {
            return;
        }
        let origin = self.under_way.get(&hash(datagram));
        if let Some(sent) = origin.and_then(|origin| self.sent.get_mut(origin)) {
            sent.arrived.get_or_insert(now);
        }
    }
}

fn hash(datagram: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    datagram.hash(&mut hasher);
    hasher.finish()
}
