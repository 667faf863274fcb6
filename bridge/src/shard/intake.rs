//! The way of a packet into its home shard: decrypted, parsed, and described in its slot for all who receive it.
//!
//! Here: up to where others are concerned. Not here: whose a datagram is, and where a packet goes from here (`mod`).

use std::time::Instant;

use model::FiveTuple;
use srtp::UnprotectedRtp;

use super::audio::Audibility;
use super::message::{Level, ShardEvent};
use super::packet::{SharedSlot, Slot, StreamRole};
use super::peer::Peer;
use super::srtp_session::Unprotected;
use super::wheel::Due;
use super::{BEGINS_INTERVAL, HEARD_INTERVAL, Shard, heard_due};
use crate::audio::{AudioSettings, Redundancy};
use crate::counters::{Counters, DropReason};
use crate::keys::{KeyMap, PeerKey};
use crate::negotiated::Codec;

impl Shard {
    /// Media of an endpoint that has its home here. The path is of use to a capture only.
    pub(super) fn handle_media(
        &mut self,
        key: PeerKey,
        mut slot: SharedSlot,
        len: usize,
        path: Option<&FiveTuple>,
        now: Instant,
    ) {
        match self.take_media(key, &mut slot, len, path, now) {
            Ok(Taken::Packet) => {
                self.publish(slot, now);
                return self.schedule_reception(key);
            }
            Ok(Taken::Early(packet)) => self.hold_early(key, slot, packet, now),
            Ok(Taken::Reports { len }) => {
                self.handle_rtcp(key, slot.bytes().get(..len).unwrap_or_default(), now);
                self.pool.give(slot);
            }
            Err(reason) => {
                self.counters.count(reason);
                self.pool.give(slot);
            }
        }
        self.schedule(key);
    }

    /// The steps of media up to where others are concerned. A packet is described in its slot then.
    fn take_media(
        &mut self,
        key: PeerKey,
        slot: &mut SharedSlot,
        len: usize,
        path: Option<&FiveTuple>,
        now: Instant,
    ) -> Result<Taken, DropReason> {
        let (peers, mut intake, counters) = self.intake();
        let peer = peers.get_mut(key).ok_or(DropReason::UnknownPeer)?;
        // Nobody else has the slot yet.
        let slot = SharedSlot::get_mut(slot).ok_or(DropReason::Malformed)?;
        let datagram = slot.bytes_mut().get_mut(..len).ok_or(DropReason::TooLong)?;
        // 1. Replay window, authentication, decryption in place.
        let plain = match peer.unprotect(datagram, path, now)? {
            Unprotected::Rtp(plain) => plain,
            Unprotected::Rtcp { len } => {
                peer.is_active = true;
                return Ok(Taken::Reports { len });
            }
        };
        peer.is_active = true;
        if let Some(link) = &mut peer.link {
            counters.relay_packets_received.add(1);
            counters.relay_bytes_received.add(len as u64);
            link.traffic.packets_received += 1;
            link.traffic.bytes_received += len as u64;
        }
        intake.take_packet(peer, slot, plain, now)
    }

    /// The steps of a packet that is decrypted already.
    pub(super) fn take_packet(
        &mut self,
        key: PeerKey,
        slot: &mut Slot,
        plain: UnprotectedRtp,
        now: Instant,
    ) -> Result<Taken, DropReason> {
        let (peers, mut intake, _) = self.intake();
        intake.take_packet(peers.get_mut(key).ok_or(DropReason::UnknownPeer)?, slot, plain, now)
    }

    /// All that a packet touches on its way in, taken apart.
    fn intake(&mut self) -> (&mut KeyMap<Box<Peer>>, Intake<'_>, &Counters) {
        let Self { peers, audio, levels, tell_heard, events, counters, .. } = self;
        (peers, Intake { settings: audio, levels, tell_heard, events }, counters)
    }
}

/// What a packet touches on its way in besides its peer.
struct Intake<'a> {
    settings: &'a AudioSettings,
    levels: &'a mut Vec<Level>,
    tell_heard: &'a mut Option<Due>,
    events: &'a mut Vec<ShardEvent>,
}

impl Intake<'_> {
    /// The steps of a decrypted packet up to where others are concerned.
    fn take_packet(
        &mut self,
        peer: &mut Peer,
        slot: &mut Slot,
        plain: UnprotectedRtp,
        now: Instant,
    ) -> Result<Taken, DropReason> {
        // 2. Its stream: retransmission, duplicate, what is missing; what a receiver needs of it.
        let packet = slot.bytes_mut().get_mut(..plain.len).ok_or(DropReason::Malformed)?;
        let mut descriptor = match peer.receive.handle_rtp(packet, &plain, &peer.negotiated, now) {
            // A source may be heard of over another bridge sooner than the focus tells of it.
            Err(DropReason::UnknownSsrc) if peer.link.is_some() => return Ok(Taken::Early(plain)),
            taken => taken?,
        };
        match descriptor.role {
            StreamRole::Audio { .. } if peer.force_mute.audio => return Err(DropReason::ForceMuted),
            StreamRole::Video { .. } if peer.force_mute.video => return Err(DropReason::ForceMuted),
            StreamRole::Audio { .. } | StreamRole::Video { .. } => {}
        }
        // 3. Audio that nobody misses ends here.
        if descriptor.is_audio() {
            let is_opus = peer.negotiated.codec(descriptor.payload_type) == Some(Codec::Opus);
            let audio = peer.receive.audio_mut(descriptor.ssrc).ok_or(DropReason::UnknownSsrc)?;
            if audio.is_silence(&descriptor, self.settings.silence) {
                audio.leave_out(&mut descriptor, DropReason::Silence)?;
            } else {
                if let Some(level) = descriptor.audio_level {
                    self.levels.push(Level {
                        peer: peer.key,
                        source: descriptor.role.source(),
                        minus_dbov: level.level,
                        at: now,
                    });
                    // What it needs to be heard, such as a slot, it gets then.
                    let interval = if audio.begins(now) { BEGINS_INTERVAL } else { HEARD_INTERVAL };
                    let due = heard_due(*self.settings, interval, now);
                    *self.tell_heard = self.tell_heard.filter(|told| told.until <= due.until).or(Some(due));
                }
                match peer.audibility {
                    Audibility::LeftOut if descriptor.audio_level.is_some() => {
                        audio.leave_out(&mut descriptor, DropReason::NotLoudest)?;
                    }
                    Audibility::LeftOut | Audibility::Forwarded => audio.pass(&mut descriptor)?,
                }
            }
            if let Redundancy::Add(add) = self.settings.redundancy
                && is_opus
            {
                audio.add_redundancy(&mut descriptor, slot.bytes_mut(), add);
            }
        }
        let structure = peer.receive.take_structure();
        while let Some((source, report)) = peer.receive.poll_layers(now) {
            self.events.push(ShardEvent::Layers { owner: peer.key, source, report });
        }
        slot.set_descriptor(descriptor, structure);
        Ok(Taken::Packet)
    }
}

/// What media turned out to be.
pub(super) enum Taken {
    /// A packet that is described in its slot.
    Packet,
    /// A packet that came over a link, of a source that is not known yet.
    Early(UnprotectedRtp),
    /// An RTCP compound in the first `len` bytes.
    Reports { len: usize },
}
