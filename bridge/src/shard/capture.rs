//! Where a shard copies what passes of an endpoint that is captured. Without a capture, nothing here costs a datagram more
//! than a look whether there is one.
//!
//! STUN and DTLS of an endpoint may come to any shard, so each knows who is captured; media is copied at its home, where
//! it can be had decrypted.

use std::time::Instant;

use model::FiveTuple;
use rtp::RtpParts;
use srtp::SrtpError;

use super::Shard;
use super::peer::Peer;
use super::srtp_session::{SrtpSession, Unprotected};
use crate::capture::{Content, Direction, Tap};
use crate::counters::DropReason;
use crate::keys::PeerKey;

/// Who is captured: a handful at most ([`crate::capture::MAX_CAPTURES`]).
#[derive(Debug, Default)]
pub(super) struct Captured(Vec<(PeerKey, Tap)>);

impl Captured {
    pub(super) fn get(&self, peer: PeerKey) -> Option<&Tap> {
        self.0.iter().find(|(captured, _)| *captured == peer).map(|(_, tap)| tap)
    }

    /// STUN or DTLS of an endpoint passes.
    pub(super) fn note(
        &self,
        direction: Direction,
        peer: Option<PeerKey>,
        path: &FiveTuple,
        datagram: &[u8],
        now: Instant,
    ) {
        if let Some(tap) = peer.filter(|_| !self.0.is_empty()).and_then(|peer| self.get(peer)) {
            tap.record(direction, path, &[datagram], None, now);
        }
    }

    /// The path of media that goes to its home from here, if that will ask for it.
    pub(super) fn path(&self, peer: PeerKey, path: &FiveTuple) -> Option<Box<FiveTuple>> {
        self.get(peer).map(|_| Box::new(*path))
    }
}

impl Shard {
    /// Begins or ends a capture ([`ShardCommand::Capture`](super::message::ShardCommand::Capture)).
    pub(super) fn set_capture(&mut self, peer: PeerKey, tap: Option<Tap>) {
        self.captured.0.retain(|(captured, _)| *captured != peer);
        if let Some(state) = self.peers.get_mut(peer) {
            state.tap = tap.clone().map(Box::new);
        }
        self.captured.0.extend(tap.map(|tap| (peer, tap)));
    }
}

impl Peer {
    /// Replay window, authentication, decryption in place.
    pub(super) fn unprotect(
        &mut self,
        datagram: &mut [u8],
        path: Option<&FiveTuple>,
        now: Instant,
    ) -> Result<Unprotected, DropReason> {
        let Self { srtp, tap, .. } = self;
        match (tap, path) {
            (Some(tap), Some(path)) => tap.unprotect(srtp.as_deref_mut(), datagram, path, now),
            (Some(_) | None, _) => unprotect(srtp.as_deref_mut(), datagram),
        }
    }
}

fn unprotect(srtp: Option<&mut SrtpSession>, datagram: &mut [u8]) -> Result<Unprotected, DropReason> {
    srtp.ok_or(DropReason::NoKeys)?.unprotect(datagram).map_err(|error| drop_reason(&error))
}

impl Tap {
    /// As [`Peer::unprotect`], with a copy.
    fn unprotect(
        &self,
        srtp: Option<&mut SrtpSession>,
        datagram: &mut [u8],
        path: &FiveTuple,
        now: Instant,
    ) -> Result<Unprotected, DropReason> {
        match self.content {
            Content::Protected => {
                self.record(Direction::Inbound, path, &[datagram], None, now);
                unprotect(srtp, datagram)
            }
            Content::Plain => {
                let protected = datagram.to_vec();
                let outcome = unprotect(srtp, datagram);
                let (recorded, note) = match outcome {
                    Ok(Unprotected::Rtp(plain)) => (datagram.get(..plain.len).unwrap_or_default(), None),
                    Ok(Unprotected::Rtcp { len }) => (datagram.get(..len).unwrap_or_default(), None),
                    Err(reason) => (protected.as_slice(), Some(why_not_decrypted(reason))),
                };
                self.record(Direction::Inbound, path, &[recorded], note, now);
                outcome
            }
        }
    }

    /// An RTP packet leaves.
    pub(super) fn note_rtp(&self, path: &FiveTuple, plain: &RtpParts<'_>, protected: &[u8], now: Instant) {
        match self.content {
            Content::Protected => self.record(Direction::Outbound, path, &[protected], None, now),
            Content::Plain => {
                let RtpParts { header, prefix, payload } = plain;
                self.record(Direction::Outbound, path, &[header, prefix, payload], None, now);
            }
        }
    }

    /// An RTCP compound leaves.
    pub(super) fn note_rtcp(&self, path: &FiveTuple, plain: &[u8], protected: &[u8], now: Instant) {
        let recorded = match self.content {
            Content::Protected => protected,
            Content::Plain => plain,
        };
        self.record(Direction::Outbound, path, &[recorded], None, now);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what else can be wrong before a packet is decrypted")]
const fn why_not_decrypted(reason: DropReason) -> &'static str {
    match reason {
        DropReason::NoKeys => "not decrypted: there are no keys",
        DropReason::SrtpReplay => "not decrypted: a replay, or too old",
        DropReason::SrtpAuthentication => "not decrypted: does not authenticate",
        _ => "not decrypted: malformed",
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the errors of a receiver; the enum is open")]
fn drop_reason(error: &SrtpError) -> DropReason {
    match error {
        SrtpError::Replayed | SrtpError::TooOld => DropReason::SrtpReplay,
        SrtpError::AuthenticationFailed | SrtpError::UnencryptedRtcp => DropReason::SrtpAuthentication,
        _ => DropReason::Malformed,
    }
}
