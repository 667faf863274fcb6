//! What control and shards say to each other. Control decides, shards forward; all of it goes over bounded queues.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bwe::Demand;
use ice::CheckResponder;
use jitsi_protocol::colibri2::ForceMute;
use model::{Bitrate, EndpointId, FiveTuple, PayloadType, PeerAddress, Ssrc};
use rand::rngs::StdRng;
use rtp::rtcp::SenderInfo;

use super::audio::Audibility;
use super::bitrates::LayerReport;
use super::layers::Wanted;
use super::packet::SharedSlot;
use super::srtp_session::SrtpSession;
use crate::audio::AudioSettings;
use crate::capture::Tap;
use crate::export::InjectedAudio;
use crate::export::tap::SourceTaps;
use crate::keys::{PeerKey, SourceId};
use crate::negotiated::{LayerSsrcs, Negotiated, Sources};
use crate::ssrc_slots::SlotNames;
use crate::unique_ports::OpenedPort;

/// One of the bridge's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardId(pub(crate) u8);

/// Most shards; as many as a [`ShardSet`] has places.
pub(crate) const MAX_SHARDS: usize = 64;

/// Some of the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) const fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard.0;
    }

    pub(crate) const fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << shard.0);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let shard = (left != 0).then_some(ShardId(left.trailing_zeros() as u8));
            left &= left.wrapping_sub(1);
            shard
        })
    }
}

/// Where the media of an address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) peer: PeerKey,
    pub(crate) home: ShardId,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerKind {
    /// A client.
    Endpoint,
    /// Another bridge, with the streams of all who are behind it: it gets each stream of a source under its own SSRC.
    Relay,
}

/// An endpoint or a relay, to its home shard.
#[derive(Debug)]
pub(crate) struct NewPeer {
    pub(crate) peer: PeerKey,
    pub(crate) kind: PeerKind,
    /// The bridge's SSRC, under which it reports to the endpoint.
    pub(crate) feedback_ssrc: Ssrc,
    /// Where the numbers of its streams begin.
    pub(crate) random: StdRng,
}

/// The streams of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceStreams {
    Audio {
        ssrc: Ssrc,
    },
    /// Simulcast encodings, lowest first; `signaled` are the SSRCs under which receivers know the source.
    Video {
        signaled: LayerSsrcs,
        encodings: Vec<LayerSsrcs>,
    },
}

impl SourceStreams {
    /// Of several encodings the lowest.
    pub(super) fn first_ssrc(&self) -> Option<Ssrc> {
        match self {
            Self::Audio { ssrc } => Some(*ssrc),
            Self::Video { encodings, .. } => encodings.first().map(|encoding| encoding.primary),
        }
    }
}

/// A source, to all shards.
#[derive(Clone, Debug)]
pub(crate) struct NewSource {
    pub(crate) source: SourceId,
    pub(crate) owner: Route,
    /// One CNAME for all streams of an endpoint: receivers play them in step (RFC 3550 §6.5.1).
    pub(crate) cname: EndpointId,
    pub(crate) streams: SourceStreams,
}

/// A packet of a source that nobody sends.
#[derive(Debug)]
pub(crate) struct NewInjected {
    pub(crate) source: SourceId,
    pub(crate) ssrc: Ssrc,
    pub(crate) payload_type: PayloadType,
    pub(crate) audio: InjectedAudio,
}

/// What control has a shard do.
#[derive(Debug)]
pub(crate) enum ShardCommand {
    /// To the home shard.
    AddPeer(Box<NewPeer>),
    /// To the home shard; with everything that the endpoint is subscribed to.
    RemovePeer { peer: PeerKey, subscriptions: Vec<SourceId> },
    /// To the home shard: payload types and extensions, all of them.
    Negotiate { peer: PeerKey, negotiated: Box<Negotiated> },
    /// To the home shard: what the endpoint sends, all of it.
    Receive { peer: PeerKey, sources: Box<Sources> },
    /// To the home shard: DTLS is through, or over.
    Keys { peer: PeerKey, session: Option<Box<SrtpSession>> },
    /// To the home shard: where to send to.
    Path { peer: PeerKey, path: Option<FiveTuple> },
    /// To the home shard: who answers the endpoint's checks there; `None`, control does.
    Responder { peer: PeerKey, responder: Option<Box<CheckResponder>> },
    /// STUN or DTLS on its way out to an endpoint.
    Transmit { peer: Option<PeerKey>, path: FiveTuple, datagram: Vec<u8> },
    /// To the shard that has a TCP connection; its thread does it.
    Connection { remote: SocketAddr, action: ConnectionAction },
    /// To all: the owner's home drops what it sends, and receivers go on without a gap.
    ForceMute { owner: PeerKey, force_mute: ForceMute, muted: Arc<[SourceId]> },
    /// To the owner's home: it is among the loudest, or no longer.
    Loudness { owner: PeerKey, audibility: Audibility },
    /// To the owner's home: receivers are about to need a key frame of one of its streams.
    RequestKeyFrame { owner: PeerKey, ssrc: Ssrc },
    /// To all: whose media it is that comes from an address, to the unique port of that number or else to the media ports.
    Route { remote: PeerAddress, port: Option<u16>, to: Option<Route> },
    /// To the home shard of who has it, before anything is sent from there; its thread takes it.
    OpenPort(OpenedPort),
    /// To the same shard; its thread does it.
    ClosePort { number: u16 },
    /// To all: STUN requests that name this ufrag are an endpoint's.
    Ufrag { ufrag: Arc<str>, peer: Option<PeerKey> },
    /// To all.
    AddSource(Arc<NewSource>),
    /// To all.
    RemoveSource { source: SourceId },
    /// To the owner's home: the shards on which somebody wants the source. Of one that nobody sends to all: it comes in anywhere.
    Reach { source: SourceId, shards: ShardSet },
    /// To the receiver's home: what it gets, and what it would get if its path carried that.
    Demand { peer: PeerKey, demand: Demand },
    /// To the receiver's home: what it is to get of the source.
    Subscribe { peer: PeerKey, source: SourceId, wanted: Wanted },
    /// To the home shard of a receiver with rewritten SSRCs: those under which it gets the source from now on; `None`, behind
    /// a `Subscribe` for nothing: they may be another one's.
    Rename { peer: PeerKey, source: SourceId, names: Option<SlotNames> },
    /// To all: what passes of an endpoint is copied, or no longer.
    Capture { peer: PeerKey, tap: Option<Tap> },
    /// To the owner's home: whom the source is copied to, outside of the conference.
    Export { source: SourceId, taps: Option<Box<SourceTaps>> },
    /// To the owner's home: a packet that came in over a WebSocket.
    Inject(Box<NewInjected>),
    /// To all, before anything else.
    Audio(AudioSettings),
    /// To all, before anything else.
    #[cfg(feature = "planted-faults")]
    PlantFault(super::planted_faults::PlantedFault),
}

/// What becomes of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionAction {
    /// ICE found a valid check on it: it stays.
    Confirm,
    /// It moves to the home of its peer.
    MoveTo(ShardId),
    /// Its peer is gone.
    Close,
}

/// What a shard says to another one.
#[derive(Debug)]
pub(crate) enum ShardMessage {
    /// Media that the kernel gave to another shard than its sender's home: `len` bytes of the slot. The path is there for a
    /// capture only.
    Datagram { peer: PeerKey, slot: SharedSlot, len: usize, from: ShardId, path: Option<Box<FiveTuple>> },
    /// A packet for those of its source's receivers that have their home there.
    Packet(SharedSlot),
    /// A sender report of a source for its receivers.
    SenderReport { source: SourceId, info: SenderInfo },
    /// Somebody there needs a key frame.
    KeyFrameRequest { owner: PeerKey, ssrc: Ssrc },
    /// A slot in return for one that came.
    EmptySlot(SharedSlot),
}

/// An audio level: 0 is the loudest, 127 silence (RFC 6464 §3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) peer: PeerKey,
    /// Whose it is, of those behind a relay.
    pub(crate) source: SourceId,
    pub(crate) minus_dbov: u8,
    pub(crate) at: Instant,
}

/// What passed over a link to another bridge: packets of RTP, their bytes as on the wire, and those that it reports as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTraffic {
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) packets_lost: u64,
}

/// What a shard says to control.
#[derive(Debug)]
pub(crate) enum ShardEvent {
    /// STUN or DTLS, as it came to this shard.
    Datagram { path: FiveTuple, datagram: Vec<u8>, at: ShardId },
    /// A check was answered as control would have; one that control is to see is there.
    CheckAnswered { peer: PeerKey, path: FiveTuple, at: Instant, check: Option<Box<[u8]>> },
    /// A TCP connection closed.
    ConnectionClosed { path: FiveTuple },
    /// What was heard since the last time: levels, and endpoints that sent any media, with the round trip to each.
    Heard { levels: Vec<Level>, active: Vec<(PeerKey, Option<Duration>)> },
    /// Layers of a source came, went or were measured: at most once a second but for the first two.
    Layers { owner: PeerKey, source: SourceId, report: Box<LayerReport> },
    /// What passed over a link since the last time, about once a second.
    LinkTraffic { peer: PeerKey, traffic: LinkTraffic },
    /// The path to an endpoint or another bridge carries more or less video than before.
    Bandwidth { receiver: PeerKey, estimate: Bitrate },
}
