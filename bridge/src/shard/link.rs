//! One source on its way to another bridge: each of its streams under its own SSRC and, as long as nothing is left out, its
//! own numbers (bridge.md §5.2).
//!
//! Here: which encodings go. Not here: numbers and layers within one (`send`), receivers of this bridge (`source`), which
//! heights the other bridge wants (control's `relay`).

use std::time::{Duration, Instant};

use model::Ssrc;

use super::dependencies::Dependencies;
use super::layers::Wanted;
use super::message::{NewSource, SourceStreams};
use super::packet::{Descriptor, Mark, StreamRole};
use super::peer::Peer;
use super::selection::Limit;
use super::send::{Decision, FirstNumbers, SendStream, is_unreadable};
use crate::keys::PeerKey;
use crate::negotiated::LayerSsrcs;

/// An encoding that nobody behind the link wants any more goes on until there is a key frame of a lower one, as that is
/// what those who watched it wait for, or at most for this long.
const MAX_LINGER: Duration = Duration::from_secs(2);

/// A bridge that gets a source.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: PeerKey,
    wanted: Wanted,
    /// What was wanted before, and until when it goes on.
    lingers: Option<(Wanted, Instant)>,
    /// By encoding; of audio one.
    streams: Vec<LinkStream>,
}

#[derive(Debug)]
struct LinkStream {
    /// What passes of the encoding, as its last picture found it.
    limit: Option<Limit>,
    state: State,
}

/// A stream is there from its first packet on.
#[derive(Debug)]
enum State {
    NotBegun,
    /// Another source is sent under its SSRCs.
    Refused,
    Active(Box<SendStream>),
}

impl Link {
    pub(super) const fn new(peer: PeerKey) -> Self {
        Self { peer, wanted: Wanted::NOTHING, lingers: None, streams: Vec::new() }
    }

    /// Whether it gets nothing now.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_nothing()
    }

    pub(super) fn set_wanted(&mut self, wanted: Wanted, now: Instant) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        // What fits into the link may change meanwhile; a height that stays does not end the wait for a lower one.
        if wanted.max_height < before.max_height {
            self.lingers = Some((before, now + MAX_LINGER));
        } else if wanted.max_height > before.max_height {
            self.lingers = None;
        }
        if wanted.is_nothing() {
            self.lingers = None;
            self.pause();
        }
        for stream in &mut self.streams {
            if wanted.is_nothing() {
                stream.limit = None;
            }
            if matches!(stream.state, State::Refused) {
                stream.state = State::NotBegun;
            }
        }
    }

    /// What goes out misses what comes now.
    pub(super) fn pause(&mut self) {
        for stream in self.active() {
            stream.pause();
        }
    }

    /// The streams that something was sent of.
    pub(super) fn active(&mut self) -> impl DoubleEndedIterator<Item = &mut SendStream> {
        self.streams.iter_mut().filter_map(|stream| match &mut stream.state {
            State::Active(stream) => Some(&mut **stream),
            State::NotBegun | State::Refused => None,
        })
    }

    /// Decides about a packet for a connected `peer`; answers under which SSRC it goes.
    pub(super) fn handle_packet(
        &mut self,
        packet: &Descriptor,
        dependencies: Option<&Dependencies>,
        source: &NewSource,
        peer: &mut Peer,
        now: Instant,
    ) -> (Decision, Ssrc) {
        let (encoding, is_decided) = match packet.role {
            StreamRole::Audio { .. } => (0, true),
            StreamRole::Video { encoding, .. } => {
                (encoding, packet.frame.is(Mark::PictureStart) || is_unreadable(packet))
            }
        };
        let at = usize::from(encoding);
        if self.streams.len() <= at {
            self.streams.resize_with(at + 1, || LinkStream { limit: None, state: State::NotBegun });
        }
        let decided = if is_decided { Some(self.limit_of(packet, encoding, now)) } else { None };
        let Some(stream) = self.streams.get_mut(at) else { return (Decision::Drop, packet.ssrc) };
        if let Some(limit) = decided
            && std::mem::replace(&mut stream.limit, limit).is_some()
            && limit.is_none()
            && let State::Active(stream) = &mut stream.state
        {
            stream.pause();
        }
        let Some(limit) = stream.limit else { return (Decision::Drop, packet.ssrc) };
        match stream.active_mut(packet, source, peer) {
            Some(stream) => (stream.handle_own_packet(packet, limit, dependencies, now), stream.ssrcs().primary),
            None => (Decision::Drop, packet.ssrc),
        }
    }

    /// What passes of an encoding: all of it up to the tallest that is wanted, as somebody behind the link may want a small
    /// picture; of spatial layers those that the tallest needs.
    fn limit_of(&mut self, packet: &Descriptor, encoding: u8, now: Instant) -> Option<Limit> {
        let StreamRole::Video { .. } = packet.role else { return Some(Limit { spatial: 0, temporal: u8::MAX }) };
        let (settled, is_top) = limit(packet, encoding, self.wanted);
        let Some((before, until)) = self.lingers else { return settled };
        // Spatial layers can be left out at any picture.
        if now >= until || packet.layers.are_spatial() || is_top && packet.starts_key_frame() {
            self.lingers = None;
            return settled;
        }
        limit(packet, encoding, before).0
    }

    /// The stream under an SSRC, or any that something is sent of: the tallest.
    pub(super) fn stream_mut(&mut self, ssrc: Option<Ssrc>) -> Option<&mut SendStream> {
        match ssrc {
            Some(ssrc) => self.active().find(|stream| stream.ssrcs().primary == ssrc),
            None => self.active().next_back(),
        }
    }
}

impl LinkStream {
    fn active_mut(&mut self, packet: &Descriptor, source: &NewSource, peer: &mut Peer) -> Option<&mut SendStream> {
        if matches!(self.state, State::NotBegun) {
            let ssrcs = match &source.streams {
                SourceStreams::Audio { ssrc } => Some(LayerSsrcs { primary: *ssrc, rtx: None }),
                SourceStreams::Video { encodings, .. } => {
                    encodings.iter().find(|encoding| encoding.primary == packet.ssrc).copied()
                }
            };
            let first = ssrcs.and_then(|ssrcs| Some((ssrcs, peer.sent.begin(source.source, ssrcs)?)));
            self.state = first.map_or(State::Refused, |(ssrcs, first)| {
                // Its own numbers, unless some were given under its SSRC before.
                let first = FirstNumbers { seq: packet.seq.wire(), timestamp: packet.timestamp, ..first };
                State::Active(Box::new(match packet.role {
                    StreamRole::Audio { .. } => SendStream::audio(packet.ssrc, packet.ssrc, first),
                    StreamRole::Video { .. } => SendStream::video(ssrcs, first),
                }))
            });
        }
        match &mut self.state {
            State::Active(stream) => Some(stream),
            State::NotBegun | State::Refused => None,
        }
    }
}

/// What passes of an encoding where so much is wanted, and whether it is the tallest that does.
fn limit(packet: &Descriptor, encoding: u8, wanted: Wanted) -> (Option<Limit>, bool) {
    let Some(best) = packet.layers.best(wanted).filter(|_| !wanted.is_nothing()) else { return (None, false) };
    let is_top = best.encoding == encoding;
    let spatial = if packet.layers.are_spatial() { best.spatial } else { packet.layers.top(encoding) };
    let passes = is_top || !packet.layers.are_spatial() && encoding < best.encoding;
    // What lies below the tallest was made room for as a whole.
    let temporal = if is_top { wanted.cap.temporal } else { u8::MAX };
    (passes.then_some(Limit { spatial, temporal }), is_top)
}
