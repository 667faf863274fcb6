//! `/debug`, `/stats` and the lists of conferences: states of what is there, after JVB's `getDebugState`.
//!
//! Conferences go by their meeting id. Addresses of clients are not told.

use std::time::{Instant, SystemTime};

use model::SourceName;
use serde_json::{Map, Value, json};

use super::AdminError;
use crate::audio::AUDIO_PAUSE;
use crate::channel::ChannelTransport;
use crate::conference::Conference;
use crate::connection::{Connection, Reached};
use crate::endpoint::Endpoint;
use crate::relay::{Far, Relay};
use crate::videobridge::Videobridge;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Who is where.
    Short,
    /// Everything.
    Full,
}

impl Videobridge {
    pub(super) fn debug(&self, detail: Detail, now: Instant, wall_clock: SystemTime) -> Value {
        let conferences = self
            .conferences
            .iter()
            .map(|(_, conference)| (conference.id.to_string(), conference_state(conference, None, detail, now)));
        self.debug_of(conferences.collect(), wall_clock)
    }

    pub(super) fn debug_conference(
        &self,
        meeting: &str,
        endpoint: Option<&str>,
        detail: Detail,
        now: Instant,
        wall_clock: SystemTime,
    ) -> Value {
        // JVB's answer where there is none such.
        let state = self.conference_state(meeting, endpoint, detail, now).unwrap_or_else(|_| json!("null"));
        self.debug_of(std::iter::once((meeting.to_owned(), state)).collect(), wall_clock)
    }

    fn debug_of(&self, conferences: Map<String, Value>, wall_clock: SystemTime) -> Value {
        let since = wall_clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let health = self.health();
        json!({
            "shutdown_state": self.readiness().shutdown.as_str(),
            "drain": self.drain,
            "time": u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            "load_management": { "state": {
                "stress": self.metrics.stress.get(),
                "reducer_enabled": self.reducer.is_some(),
                "last_n": self.limits.by_load,
            } },
            "conferences": conferences,
            "health": {
                "success": health.is_ok(),
                "hardFailure": health.is_err(),
                "responseCode": null,
                "message": health.err(),
            },
        })
    }

    /// States of the conferences that a statistics server may see.
    pub(super) fn rtcstats(&self, now: Instant) -> Value {
        let allowed = self.conferences.iter().filter(|(_, conference)| conference.rtcstats_enabled);
        let states = allowed
            .map(|(_, conference)| (conference.id.to_string(), conference_state(conference, None, Detail::Full, now)));
        json!({ "conferences": states.collect::<Map<String, Value>>() })
    }

    pub(super) fn list_conferences(&self) -> Value {
        let conferences = self.conferences.iter().map(|(_, conference)| {
            json!({
                "meeting-id": conference.id.as_str(),
                "name": conference.name,
                "endpoints": conference.by_id.keys().map(|id| json!({ "id": id.as_str() })).collect::<Vec<_>>(),
            })
        });
        conferences.collect()
    }

    pub(super) fn conference_state(
        &self,
        meeting: &str,
        endpoint: Option<&str>,
        detail: Detail,
        now: Instant,
    ) -> Result<Value, AdminError> {
        Ok(conference_state(self.conference_of(meeting)?, endpoint, detail, now))
    }

    pub(super) fn speakers_of(&self, meeting: &str) -> Result<Value, AdminError> {
        Ok(speakers(self.conference_of(meeting)?))
    }

    pub(super) fn conference_of(&self, meeting: &str) -> Result<&Conference, AdminError> {
        let meeting = meeting.parse().map_err(|_| AdminError::UnknownConference)?;
        let known = self.by_meeting.get(&meeting).and_then(|key| self.conferences.get(*key));
        known.ok_or(AdminError::UnknownConference)
    }
}

fn speakers(conference: &Conference) -> Value {
    let recent = conference.speakers.recent().iter().map(|id| id.as_str());
    json!({
        "dominant_endpoint": conference.speakers.dominant().map(|id| id.as_str()),
        "recent_speakers": recent.collect::<Vec<_>>(),
    })
}

/// Without what may be secret in URLs.
fn exporters(conference: &Conference) -> Value {
    let names = |names: &[SourceName]| names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let exporters = conference.exporters.connects().map(|(id, connect)| {
        json!({
            "tag": id,
            "url": connect.url.split('?').next(),
            "type": connect.connect_type.as_str(),
            "exports": names(&connect.exports),
            "requests": names(&connect.requests),
        })
    });
    let exporters: Vec<Value> = exporters.collect();
    json!({ "started": !exporters.is_empty(), "exporters": exporters })
}

fn conference_state(conference: &Conference, only: Option<&str>, detail: Detail, now: Instant) -> Value {
    let endpoints = conference.endpoints.iter().map(|(_, endpoint)| endpoint);
    let endpoints = endpoints.filter(|endpoint| only.is_none_or(|id| endpoint.id.as_str() == id));
    let endpoints: Map<String, Value> = endpoints
        .map(|endpoint| {
            let state = match detail {
                Detail::Short => json!(endpoint.stats_id),
                Detail::Full => endpoint_state(conference, endpoint, now),
            };
            (endpoint.id.to_string(), state)
        })
        .collect();
    let relays = conference.relays.iter().map(|(_, relay)| relay).filter(|_| only.is_none());
    let relays: Map<String, Value> = relays
        .map(|relay| {
            let state = match detail {
                Detail::Short => json!(relay.mesh),
                Detail::Full => relay_state(conference, relay, now),
            };
            (relay.id.clone(), state)
        })
        .collect();
    let mut state = json!({
        "id": conference.id.as_str(),
        "meeting_id": conference.id.as_str(),
        "name": conference.name,
        // Not in snake case: those who read statistics know it so.
        "rtcstatsEnabled": conference.rtcstats_enabled,
        "endpoints": endpoints,
        "relays": relays,
    });
    if let (Detail::Full, Some(state)) = (detail, state.as_object_mut()) {
        state.insert("age_ms".to_owned(), age(conference.created_at, now));
        state.insert("speech_activity".to_owned(), speakers(conference));
        state.insert("exporter".to_owned(), exporters(conference));
    }
    state
}

/// How far a connection came, and what carries its channel.
fn connection_state(connection: &Connection) -> (&'static str, Option<&'static str>) {
    let transport = match connection.reached {
        Reached::Nothing => "connecting",
        Reached::Ice => "ice_connected",
        Reached::Dtls => "connected",
    };
    let channel = match connection.channel.active() {
        ChannelTransport::None => None,
        ChannelTransport::DataChannel => Some("data_channel"),
        ChannelTransport::WebSocket(_) => Some("web_socket"),
    };
    (transport, channel)
}

fn relay_state(conference: &Conference, relay: &Relay, now: Instant) -> Value {
    let (transport, channel) = connection_state(&relay.connection);
    let behind = conference.relayed.iter().filter(|(_, endpoint)| endpoint.relay == relay.key);
    json!({
        "mesh_id": relay.mesh,
        "age_ms": age(relay.connection.created_at, now),
        "last_activity_ms": relay.connection.last_activity.map(|at| age(at, now)),
        "transport": transport,
        "message_transport": channel,
        "kind": match relay.far {
            Far::Silent { .. } => "unknown",
            Far::Jvb => "jvb",
            Far::Teranga => "teranga",
        },
        "rtt_ms": relay.connection.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        "endpoints": behind.map(|(_, endpoint)| endpoint.id.as_str()).collect::<Vec<_>>(),
    })
}

fn endpoint_state(conference: &Conference, endpoint: &Endpoint, now: Instant) -> Value {
    let (transport, channel) = connection_state(&endpoint.connection);
    let sources = endpoint.sources.video.iter().map(|video| video.name.as_str());
    let sources = sources.chain(endpoint.sources.audio.iter().map(|audio| audio.name.as_str()));
    let forwarded = endpoint.forwarded.iter().flatten().map(|name| name.as_str());
    let suspended = endpoint.caps.values().filter(|cap| cap.is_none()).count();
    json!({
        "statsId": endpoint.stats_id,
        "visitor": endpoint.is_visitor,
        "age_ms": age(endpoint.connection.created_at, now),
        "last_activity_ms": endpoint.connection.last_activity.map(|at| age(at, now)),
        "active": !conference.connectivity.is_inactive(&endpoint.id),
        "transport": transport,
        "protocol": endpoint.connection.path.map(|path| format!("{:?}", path.protocol).to_ascii_lowercase()),
        "message_transport": channel,
        "rtt_ms": endpoint.connection.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        "estimated_bandwidth_bps": endpoint.bandwidth.map(|bandwidth| bandwidth.bps()),
        "sending_audio": endpoint.is_sending_audio(AUDIO_PAUSE, now),
        "sending_video": endpoint.is_sending_video(),
        "force_mute": { "audio": endpoint.force_mute.audio, "video": endpoint.force_mute.video },
        "ssrc_rewriting": endpoint.slots.is_some(),
        "sources": sources.collect::<Vec<_>>(),
        "forwarded_sources": forwarded.collect::<Vec<_>>(),
        "suspended_sources": suspended,
    })
}

fn age(since: Instant, now: Instant) -> Value {
    json!(u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX))
}
