//! Packets that no peer sends: audio that comes in over a WebSocket, such as a translation.

use std::time::Instant;

use model::{ExtSeqNum, RtpTimestamp, SeqNum};

use super::Shard;
use super::message::NewInjected;
use super::packet::{Descriptor, SharedSlot, StreamRole};
use crate::counters::DropReason;

impl Shard {
    /// Sends a packet of a source that nobody sends to those who want it.
    pub(super) fn inject(&mut self, injected: &NewInjected, now: Instant) {
        let Some(source) = self.sources.get_mut(injected.source) else { return };
        let seq = ExtSeqNum::extend(SeqNum(injected.audio.seq), source.highest_injected);
        let is_newest = source.highest_injected.is_none_or(|highest| seq > highest);
        let payload = injected.audio.payload.as_slice();
        let mut slot = self.pool.take();
        let room = SharedSlot::get_mut(&mut slot).and_then(|slot| slot.bytes_mut().get_mut(..payload.len()));
        let (Some(room), Ok(payload_len)) = (room, u16::try_from(payload.len())) else {
            self.pool.give(slot);
            return self.counters.count(DropReason::TooLong);
        };
        room.copy_from_slice(payload);
        if is_newest {
            source.highest_injected = Some(seq);
        }
        let (role, timestamp) = (StreamRole::Audio { source: injected.source }, RtpTimestamp(injected.audio.timestamp));
        let plain = Descriptor::plain(role, injected.ssrc, seq, timestamp, injected.payload_type);
        let descriptor = Descriptor { is_newest, payload_len, ..plain };
        if let Some(slot) = SharedSlot::get_mut(&mut slot) {
            slot.set_descriptor(descriptor, None);
        }
        self.publish(slot, now);
    }
}
