//! One participant as control sees it: its transport, what it may and wants to have.
//!
//! Here: an endpoint's own state. Not here: its media (`shard`), what concerns several endpoints (`conference`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bwe::Demand;
use jitsi_protocol::colibri2::ForceMute;
use model::{Bitrate, EndpointId, FiveTuple, PeerAddress, SourceName};

use crate::channel::{Channel, MESSAGE_RATE};
use crate::constraints::{AudioSubscription, Constraints, MaxHeight};
use crate::keys::SourceId;
use crate::negotiated::{Negotiated, Sources};
use crate::rate_limit::RateLimit;
use crate::shard::audio::Audibility;
use crate::shard::bitrates::LayerReport;
use crate::shard::layers::{LayerCap, Wanted};
use crate::shard::message::Route;
use crate::ssrc_slots::SsrcSlots;
use crate::transport::EndpointTransport;

/// How far the transport of an endpoint ever came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reached {
    #[default]
    Nothing,
    /// A pair of ICE.
    Ice,
    /// Keys, so that media can flow.
    Dtls,
}

/// Everything about one endpoint but its media.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    /// Its place in the conference.
    pub(crate) key: usize,
    /// Name in statistics.
    pub(crate) stats_id: Option<String>,
    /// Watches only: it may have no sources.
    pub(crate) is_visitor: bool,
    /// Its name and home in the data plane.
    pub(crate) route: Route,
    pub(crate) transport: EndpointTransport,
    pub(crate) reached: Reached,
    /// The path that its home shard sends on.
    pub(crate) path: Option<FiveTuple>,
    pub(crate) negotiated: Negotiated,
    pub(crate) sources: Sources,
    pub(crate) force_mute: ForceMute,
    pub(crate) constraints: Constraints,
    pub(crate) audio: AudioSubscription,
    /// Whether it is heard, where only the loudest are.
    pub(crate) audibility: Audibility,
    pub(crate) channel: Channel,
    message_rate: RateLimit,
    /// Lets the client open a WebSocket for its bridge channel; for the endpoint's life.
    pub(crate) web_socket_pwd: String,
    /// The videos that it gets, with the height that it wants of each.
    pub(crate) heights: BTreeMap<SourceId, MaxHeight>,
    /// With rewritten SSRCs: those that stand for sources.
    pub(crate) slots: Option<Box<SsrcSlots>>,
    /// What the data plane was told that it wants, or wants no longer, by source.
    pub(crate) subscriptions: Vec<(SourceId, Wanted)>,
    /// The highest layers that its bandwidth allows of the videos that it gets, `None` where not even the lowest one; of
    /// others all.
    pub(crate) caps: BTreeMap<SourceId, Option<LayerCap>>,
    /// What its path carries of video, once it has told.
    pub(crate) bandwidth: Option<Bitrate>,
    /// The estimate that `caps` were made of.
    pub(crate) divided: Bitrate,
    /// What the data plane was told is sent to it, and would be if there were room.
    pub(crate) demand: Option<Demand>,
    /// Layers of its own videos, as they come.
    pub(crate) layers: BTreeMap<SourceId, LayerReport>,
    /// What the client was last told is forwarded to it.
    pub(crate) forwarded: Option<Vec<SourceName>>,
    /// What the client was last told is wanted of its sources.
    pub(crate) sender_constraints: BTreeMap<SourceName, MaxHeight>,
    /// When it last sent audio whose level can be told.
    pub(crate) last_audio: Option<Instant>,
    pub(crate) created_at: Instant,
    pub(crate) last_activity: Option<Instant>,
    /// The round trip to it, once its shard has told.
    pub(crate) rtt: Option<Duration>,
    /// Addresses that packets of this endpoint come from, for the demultiplexer to forget.
    pub(crate) remotes: Vec<PeerAddress>,
    pub(crate) ufrags: Vec<String>,
}

impl Endpoint {
    pub(crate) fn new(
        id: EndpointId,
        key: usize,
        route: Route,
        transport: EndpointTransport,
        web_socket_pwd: String,
        now: Instant,
    ) -> Self {
        Self {
            id,
            key,
            stats_id: None,
            is_visitor: false,
            route,
            transport,
            reached: Reached::default(),
            path: None,
            negotiated: Negotiated::default(),
            sources: Sources::default(),
            force_mute: ForceMute::default(),
            constraints: Constraints::default(),
            audio: AudioSubscription::default(),
            audibility: Audibility::default(),
            channel: Channel::default(),
            message_rate: RateLimit::default(),
            web_socket_pwd,
            heights: BTreeMap::new(),
            slots: None,
            last_audio: None,
            subscriptions: Vec::new(),
            caps: BTreeMap::new(),
            bandwidth: None,
            divided: Bitrate::ZERO,
            demand: None,
            layers: BTreeMap::new(),
            forwarded: None,
            sender_constraints: BTreeMap::new(),
            created_at: now,
            last_activity: None,
            rtt: None,
            remotes: Vec::new(),
            ufrags: Vec::new(),
        }
    }

    /// Whether the endpoint sends a video source.
    pub(crate) fn has_video(&self, source: SourceId) -> bool {
        self.sources.video.iter().any(|video| video.id == source)
    }

    /// Whether it sends video now, as far as its layers tell.
    pub(crate) fn is_sending_video(&self) -> bool {
        !self.force_mute.video && self.layers.values().any(|report| report.layers.iter().any(Option::is_some))
    }

    /// Whether it sent audio within the last `pause`.
    pub(crate) fn is_sending_audio(&self, pause: Duration, now: Instant) -> bool {
        self.last_audio.is_some_and(|at| now.saturating_duration_since(at) < pause)
    }

    /// Whether one more message of the client may pass now.
    pub(crate) fn admit_message(&mut self, now: Instant) -> bool {
        self.message_rate.admit(MESSAGE_RATE, now)
    }
}
