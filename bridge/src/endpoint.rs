//! One participant as control sees it: its transport, what it may and wants to have.
//!
//! Here: an endpoint's own state. Not here: its media (`shard`), what concerns several endpoints (`conference`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bwe::Demand;
use jitsi_protocol::colibri2::ForceMute;
use model::{Bitrate, EndpointId, SourceName};

use crate::channel::MESSAGE_RATE;
use crate::connection::Connection;
use crate::constraints::{AudioSubscription, Constraints, MaxHeight};
use crate::export::AudioFormats;
use crate::keys::SourceId;
use crate::negotiated::{Negotiated, Sources};
use crate::rate_limit::RateLimit;
use crate::shard::audio::Audibility;
use crate::shard::bitrates::LayerReport;
use crate::shard::layers::LayerCap;
use crate::ssrc_slots::SsrcSlots;
use crate::subscriptions::Subscriptions;

/// Everything about one endpoint but its media.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    /// Its place in the conference.
    pub(crate) key: usize,
    /// Name in statistics.
    pub(crate) stats_id: Option<String>,
    /// Watches only: it may have no sources.
    pub(crate) is_visitor: bool,
    pub(crate) connection: Connection,
    pub(crate) negotiated: Negotiated,
    /// The formats of audio among it, in full.
    pub(crate) audio_formats: AudioFormats,
    /// Whether a transcriber is to tell its voices apart.
    pub(crate) diarize: bool,
    pub(crate) sources: Sources,
    pub(crate) force_mute: ForceMute,
    pub(crate) constraints: Constraints,
    pub(crate) audio: AudioSubscription,
    /// Whether it is heard, where only the loudest are.
    pub(crate) audibility: Audibility,
    message_rate: RateLimit,
    /// The videos that it gets, with the height that it wants of each.
    pub(crate) heights: BTreeMap<SourceId, MaxHeight>,
    /// With rewritten SSRCs: those that stand for sources.
    pub(crate) slots: Option<Box<SsrcSlots>>,
    pub(crate) subscriptions: Subscriptions,
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
}

impl Endpoint {
    pub(crate) fn new(id: EndpointId, key: usize, connection: Connection) -> Self {
        Self {
            id,
            key,
            stats_id: None,
            is_visitor: false,
            connection,
            negotiated: Negotiated::default(),
            audio_formats: AudioFormats::default(),
            diarize: false,
            sources: Sources::default(),
            force_mute: ForceMute::default(),
            constraints: Constraints::default(),
            audio: AudioSubscription::default(),
            audibility: Audibility::default(),
            message_rate: RateLimit::default(),
            heights: BTreeMap::new(),
            slots: None,
            last_audio: None,
            subscriptions: Subscriptions::default(),
            caps: BTreeMap::new(),
            bandwidth: None,
            divided: Bitrate::ZERO,
            demand: None,
            layers: BTreeMap::new(),
            forwarded: None,
            sender_constraints: BTreeMap::new(),
        }
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
