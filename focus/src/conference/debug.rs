//! What an operator may see of a conference.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use xmpp::Jid;

use super::Conference;
use super::colibri::ColibriSession;
use super::participant::{Participant, Session};
use super::phase::Phase;
use super::relays::RelayRole;

impl Conference {
    /// How long it has been there.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began_at)
    }

    pub(crate) fn is_rtcstats_enabled(&self) -> bool {
        self.rtcstats_enabled
    }

    /// The bridge of an endpoint.
    pub(crate) fn bridge_of(&self, endpoint: &str) -> Option<Jid> {
        let participant = self.participants.values().find(|known| known.endpoint.as_str() == endpoint)?;
        participant.session.bridge().cloned()
    }

    /// The state as JSON, in Jicofo's words; what is asked and sent by clients is left out, as is who they are.
    pub(crate) fn debug_state(&self, now: Instant) -> Value {
        let participants: Map<String, Value> = self
            .participants
            .values()
            .map(|participant| (participant.endpoint.to_string(), self.debug_participant(participant)))
            .collect();
        let sessions = self.colibri.iter().map(|(bridge, session)| {
            json!({ "id": session.id, "bridge": bridge.as_str(), "region": session.region, "relay_id": session.relay_id,
                    "visitor": session.for_visitors,
                    "endpoints": session.endpoints.len(), "relays": debug_relays(session) })
        });
        let [recording, streaming, calls] = self.jibri.active();
        json!({
            "name": self.room.as_str(),
            "meeting_id": self.meeting_id.as_ref().map(|id| id.as_str()),
            "phase": phase_name(&self.phase),
            "age_seconds": self.age(now).as_secs(),
            "rtcstats_enabled": self.rtcstats_enabled,
            "bridge_missing": self.is_bridge_missing,
            "moved_from": self.moved_from.as_ref().map(Jid::as_str),
            "audio_limit_reached": self.limits_reached.audio,
            "video_limit_reached": self.limits_reached.video,
            "visitor_count": self.visitor_count(),
            "visitors": self.visitors.debug_state(),
            "participants": participants,
            "colibri_sessions": sessions.collect::<Vec<_>>(),
            "jibri": { "recording": recording, "live_streaming": streaming, "sip_calls": calls },
        })
    }

    fn debug_participant(&self, participant: &Participant) -> Value {
        let member = &participant.member;
        let sources = self.sources.get(&participant.endpoint).map_or(0, |set| set.sources.len());
        json!({
            "session": session_name(&participant.session),
            "sid": participant.session.sid(),
            "bridge": participant.session.bridge().map(Jid::as_str),
            "moving_to": participant.moving.as_ref().map(|moving| moving.bridge.as_str()),
            "visitor": participant.is_visitor,
            "role": format!("{:?}", member.role).to_lowercase(),
            "region": member.region,
            "audio_muted": member.muted.audio,
            "video_muted": member.muted.video,
            "sources": sources,
            "ssrc_rewriting": participant.features().ssrc_rewriting,
        })
    }
}

/// What a bridge was told of the others, by their names among bridges.
fn debug_relays(session: &ColibriSession) -> Map<String, Value> {
    let relays = session.relays.values().map(|relay| {
        let is_initiator = relay.role == RelayRole::Initiator;
        let state = json!({ "ice_controlling": is_initiator, "use_unique_port": is_initiator,
            "dtls_setup": if is_initiator { "active" } else { "passive" },
            "connected": relay.is_connected, "mesh_id": relay.mesh.to_string(), "endpoints": relay.endpoints.len() });
        (relay.id.clone(), state)
    });
    relays.collect()
}

const fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Joining { .. } => "joining",
        Phase::Idle { .. } => "idle",
        Phase::Active => "active",
        Phase::Single { .. } => "single",
        Phase::Drained => "drained",
        Phase::Stopped => "stopped",
    }
}

const fn session_name(session: &Session) -> &'static str {
    match session {
        Session::None => "none",
        Session::Discovering => "discovering",
        Session::Allocating { .. } => "allocating",
        Session::Offered { .. } => "offered",
        Session::Active { .. } => "active",
        Session::Ended => "ended",
    }
}
