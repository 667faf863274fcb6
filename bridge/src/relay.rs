//! Another bridge of a conference, and the endpoints behind it (bridge.md §5).
//!
//! Here: their own state. Not here: what is sent to whom and said over the channel (`conference::relays`), what a focus asks
//! (`colibri::relays`), media (`shard::link`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bwe::Demand;
use jitsi_protocol::bridge_channel::ServerHello;
use model::{Bitrate, EndpointId, SourceName};

use crate::connection::Connection;
use crate::constraints::MaxHeight;
use crate::dial::Dial;
use crate::export::AudioFormats;
use crate::keys::{KeyMap, SourceId};
use crate::negotiated::{Negotiated, Sources, VideoSource};
use crate::rate_limit::{Rate, RateLimit};
use crate::shard::bitrates::LayerReport;
use crate::shard::layers::{LayerCap, Wanted};
use crate::subscriptions::Subscriptions;

/// Relays of one conference: bridges of a deployment.
pub(crate) const MAX_RELAYS: usize = 128;
/// Endpoints behind all relays of one conference; as many as a focus could tell of in ten requests of the longest kind.
pub(crate) const MAX_RELAYED_ENDPOINTS: usize = 10_240;
/// Sources whose height another bridge may tell, known ones and such as are announced later.
const MAX_WANTED_SOURCES: usize = 4 * MAX_RELAYED_ENDPOINTS;
/// Messages of another bridge: what a thousand endpoints behind it say at once, and then their statistics.
const RELAY_MESSAGE_RATE: Rate = Rate { burst: 4000, per_second: 2000 };
/// The other bridge says first of all what it is; one that says nothing for so long after there are keys is an original one.
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
/// Stands in the version of `ServerHello` that bridges like this one tell each other.
const CAPABILITY: &str = "teranga-relay/1";

/// What the other bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// It has not said anything yet, and gets no video until it does, or until this time.
    Silent { until: Option<Instant> },
    /// An original one: it gets all layers of everything.
    Jvb,
    /// One like this: it gets what somebody behind it wants.
    Teranga,
}

/// Whose a source is, by places in the conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// An endpoint of this bridge.
    Local(usize),
    /// An endpoint behind a relay.
    Relayed(usize),
}

/// The link to another bridge.
pub(crate) struct Relay {
    /// The `relay_id` of the other bridge.
    pub(crate) id: String,
    /// Its place in the conference.
    pub(crate) key: usize,
    /// What came over a relay goes to relays of other meshes only.
    pub(crate) mesh: Option<String>,
    pub(crate) connection: Connection,
    pub(crate) negotiated: Negotiated,
    /// The formats of audio among it, in full.
    pub(crate) audio_formats: AudioFormats,
    pub(crate) far: Far,
    /// The WebSocket that this bridge opens to the other one, if it is to.
    pub(crate) dial: Option<Dial>,
    /// What the link carries of video, once the other bridge has told.
    pub(crate) bandwidth: Option<Bitrate>,
    /// The estimate that `caps` were made of.
    pub(crate) divided: Bitrate,
    /// Since when more is held over it than it carries.
    pub(crate) short_since: Option<Instant>,
    /// What the data plane was told is sent over it, and would be if there were room.
    pub(crate) demand: Option<Demand>,
    /// The highest layers that fit of the videos that are wanted, `None` where not even the lowest one; of others all.
    pub(crate) caps: BTreeMap<SourceId, Option<LayerCap>>,
    /// The heights that those behind it want.
    wants: BTreeMap<SourceName, MaxHeight>,
    pub(crate) subscriptions: Subscriptions,
    /// Whose the sources are that come over it, by places of relayed endpoints.
    pub(crate) owners: KeyMap<usize>,
    message_rate: RateLimit,
}

impl Relay {
    pub(crate) fn new(id: String, key: usize, mesh: Option<String>, connection: Connection) -> Self {
        Self {
            id,
            key,
            mesh,
            connection,
            negotiated: Negotiated::default(),
            audio_formats: AudioFormats::default(),
            far: Far::Silent { until: None },
            dial: None,
            bandwidth: None,
            divided: Bitrate::ZERO,
            short_since: None,
            demand: None,
            caps: BTreeMap::new(),
            wants: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            owners: KeyMap::default(),
            message_rate: RateLimit::default(),
        }
    }

    /// What goes to it of a video.
    pub(crate) fn wanted(&self, video: &VideoSource) -> Wanted {
        match self.far {
            Far::Silent { .. } => Wanted::NOTHING,
            Far::Jvb => Wanted::up_to(MaxHeight::UNLIMITED),
            Far::Teranga => match self.caps.get(&video.id).copied().unwrap_or(Some(LayerCap::UNLIMITED)) {
                Some(cap) => Wanted { max_height: self.demand(&video.name), cap },
                None => Wanted::NOTHING,
            },
        }
    }

    /// Payload types and extensions of the link. Bridges like this one tell each other what reaches them; with an original one, as
    /// it has it, packets have no transport-wide numbers, and it takes lost ones only as they were.
    pub(crate) fn negotiated_with_far(&self) -> Negotiated {
        match self.far {
            Far::Teranga => self.negotiated.clone().without_remb(),
            Far::Silent { .. } | Far::Jvb => self.negotiated.clone().without_bandwidth_feedback().without_rtx(),
        }
    }

    /// The tallest picture that anyone behind it wants of a video.
    pub(crate) fn demand(&self, video: &SourceName) -> MaxHeight {
        self.wants.get(video).copied().unwrap_or(MaxHeight::NOTHING)
    }

    /// Notes what those behind it want of a video. Answers whether that is new; one name too many is not taken.
    pub(crate) fn set_demand(&mut self, video: SourceName, height: MaxHeight) -> bool {
        if self.wants.len() >= MAX_WANTED_SOURCES && !self.wants.contains_key(&video) {
            return false;
        }
        self.wants.insert(video, height) != Some(height)
    }

    /// Forgets what was wanted of a source that is gone.
    pub(crate) fn forget_demand(&mut self, video: &SourceName) {
        self.wants.remove(video);
    }

    /// Whether one more message of the other bridge may pass now.
    pub(crate) fn admit_message(&mut self, now: Instant) -> bool {
        self.message_rate.admit(RELAY_MESSAGE_RATE, now)
    }

    /// Keys are there: the other bridge can say what it is.
    pub(crate) fn expect_hello(&mut self, now: Instant) {
        if let Far::Silent { until } = &mut self.far {
            until.get_or_insert(now + HELLO_TIMEOUT);
        }
    }

    /// When it is taken for an original bridge.
    pub(crate) const fn hello_due(&self) -> Option<Instant> {
        match self.far {
            Far::Silent { until } => until,
            Far::Jvb | Far::Teranga => None,
        }
    }
}

/// What this bridge tells others of itself.
pub(crate) fn hello(version: &str) -> ServerHello {
    ServerHello { version: Some(format!("{version} {CAPABILITY}")) }
}

/// What a hello says of who sent it.
pub(crate) fn far_of(hello: &ServerHello) -> Far {
    let words = hello.version.as_deref().unwrap_or_default();
    if words.split(' ').any(|word| word == CAPABILITY) { Far::Teranga } else { Far::Jvb }
}

/// An endpoint behind a relay.
pub(crate) struct RelayedEndpoint {
    pub(crate) id: EndpointId,
    /// The place of the relay that it is behind.
    pub(crate) relay: usize,
    /// Name in statistics.
    pub(crate) stats_id: Option<String>,
    pub(crate) sources: Sources,
    /// Layers of its videos, as they come.
    pub(crate) layers: BTreeMap<SourceId, LayerReport>,
    /// What its bridge was last told is wanted of its sources.
    pub(crate) asked: BTreeMap<SourceName, MaxHeight>,
    pub(crate) last_audio: Option<Instant>,
    /// Whether its bridge still hears of it.
    pub(crate) is_active: bool,
}

impl RelayedEndpoint {
    pub(crate) fn new(id: EndpointId, relay: usize) -> Self {
        Self {
            id,
            relay,
            stats_id: None,
            sources: Sources::default(),
            layers: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_audio: None,
            is_active: true,
        }
    }

    /// Whether anything comes of it: video now, as far as its layers tell, or audio within the last `pause`.
    pub(crate) fn is_sending(&self, pause: Duration, now: Instant) -> bool {
        let is_heard = self.last_audio.is_some_and(|at| now.saturating_duration_since(at) < pause);
        is_heard || self.layers.values().any(|report| report.layers.iter().any(Option::is_some))
    }
}
