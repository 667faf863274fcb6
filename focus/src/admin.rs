//! What operators ask of a running focus: figures, states, moves and pins (focus.md §12; `jicofo: Application.kt`).
//!
//! Here: pure answers as JSON. Not here: HTTP (`shell`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use model::EndpointId;
use serde_json::{Map, Value, json};
use xmpp::Jid;

use crate::conference::{Conference, MoveReason};
use crate::focus::{Focus, Health, gauge_value};
use crate::metrics::Metrics;

/// Sizes of conferences that `/stats` tells apart; larger ones count as the last.
const CONFERENCE_SIZES: usize = 22;
/// How long a conference may be pinned at most: pins are for tests of a version, not for ever.
const MAX_PIN: Duration = Duration::from_secs(366 * 24 * 3600);

/// One thing that an operator asks.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminRequest {
    /// `/stats`.
    Stats,
    /// `/debug`: everything, conferences by size only unless `full`.
    Debug {
        /// With the state of each conference.
        full: bool,
    },
    /// `/debug/conferences`: the rooms.
    Conferences,
    /// `/debug/conferences-full`.
    ConferencesFull,
    /// `/debug/conference/ROOM`.
    Conference {
        /// Bare JID of the room.
        room: String,
    },
    /// `/rtcstats`: states by meeting id, of conferences that allow it.
    RtcStats,
    /// `/move-endpoints/move-endpoint`.
    MoveEndpoint {
        /// Bare JID of the room.
        conference: String,
        /// Endpoint id.
        endpoint: String,
        /// Moved only if it is there.
        bridge: Option<String>,
    },
    /// `/move-endpoints/move-endpoints`: so many, if the bridge has so many; of a conference that can have one bridge only, all
    /// or none.
    MoveEndpoints {
        /// Occupant JID or nick in the brewery.
        bridge: String,
        /// Only those of this conference.
        conference: Option<String>,
        /// How many.
        count: usize,
    },
    /// `/move-endpoints/move-fraction`.
    MoveFraction {
        /// Occupant JID or nick in the brewery.
        bridge: String,
        /// Of all endpoints of the bridge, 0 to 1.
        fraction: f64,
    },
    /// `GET /pin`.
    Pins,
    /// `POST /pin`.
    Pin {
        /// Bare JID of the room.
        conference: String,
        /// The version of bridges that it has to use.
        version: String,
        /// For how long.
        minutes: u64,
    },
    /// `POST /pin/remove`.
    Unpin {
        /// Bare JID of the room.
        conference: String,
    },
}

/// Why an operator gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No such bridge.
    #[error("Bridge not found")]
    BridgeNotFound,
    /// No such conference.
    #[error("Conference not found")]
    ConferenceNotFound,
    /// The name of a room is none.
    #[error("Invalid conference ID")]
    InvalidConference,
    /// There are too many pins, or it is too long.
    #[error("Cannot pin so long or so many")]
    CannotPin,
    /// The fraction is none.
    #[error("The fraction is from 0 to 1")]
    InvalidFraction,
}

impl Focus {
    /// Does what an operator asks. Call [`Focus::poll_output`] afterwards, as after any input.
    ///
    /// # Errors
    /// [`AdminError`] when there is nothing of that name.
    pub fn handle_admin(
        &mut self,
        request: &AdminRequest,
        now: Instant,
        wall_clock: SystemTime,
    ) -> Result<Value, AdminError> {
        let answer = match request {
            AdminRequest::Stats => self.stats(now),
            AdminRequest::Debug { full } => self.debug(*full, now),
            AdminRequest::Conferences => self.conferences.keys().map(Jid::as_str).collect(),
            AdminRequest::ConferencesFull => self.conferences_full(now),
            AdminRequest::Conference { room } => {
                let conference = self.conferences.get(&room_of(room)?);
                conference.map_or_else(|| json!({}), |conference| conference.debug_state(now))
            }
            AdminRequest::RtcStats => self.rtcstats(now),
            AdminRequest::MoveEndpoint { conference, endpoint, bridge } => {
                self.move_endpoint(conference, endpoint, bridge.as_deref(), now)?
            }
            AdminRequest::MoveEndpoints { bridge, conference, count } => {
                self.move_endpoints(bridge, conference.as_deref(), *count, now)?
            }
            AdminRequest::MoveFraction { bridge, fraction } => self.move_fraction(bridge, *fraction, now)?,
            AdminRequest::Pins => self.list_pins(now),
            AdminRequest::Pin { conference, version, minutes } => {
                let lasting = Duration::from_secs(minutes.saturating_mul(60));
                let room = room_of(conference)?;
                if lasting > MAX_PIN || !self.pins.pin(room, version.clone(), lasting, (now, wall_clock)) {
                    return Err(AdminError::CannotPin);
                }
                Value::Null
            }
            AdminRequest::Unpin { conference } => {
                self.pins.remove(&room_of(conference)?);
                Value::Null
            }
        };
        self.on_time(now);
        Ok(answer)
    }

    /// Brings those figures up to date that follow from the state of all conferences and bridges.
    pub fn refresh_metrics(&self, now: Instant) {
        let metrics = &self.metrics;
        let sizes = || self.conferences.values().map(|conference| conference.participant_count().max(1));
        let bridges = || self.selector.iter();
        let has_visitors = |conference: &&Conference| conference.visitor_count() > 0;
        metrics.conferences_with_visitors.set(gauge_value(self.conferences.values().filter(has_visitors).count()));
        metrics.largest_conference.set(gauge_value(sizes().max().unwrap_or(0)));
        metrics.participants_pairs.set(gauge_value(sizes().map(|size| size * size).sum()));
        metrics.bridges_operational.set(gauge_value(bridges().filter(|bridge| bridge.is_operational(now)).count()));
        metrics
            .bridges_in_shutdown
            .set(gauge_value(bridges().filter(|bridge| bridge.is_in_graceful_shutdown()).count()));
        let versions: BTreeSet<Option<String>> = bridges().map(|bridge| bridge.full_version()).collect();
        metrics.bridge_versions.set(gauge_value(versions.len()));
        for bridge in bridges() {
            let name = [bridge.jid.resource().unwrap_or_default()];
            let endpoints = gauge_value(self.endpoints_on(&bridge.jid));
            metrics.bridge_endpoints.with_label_values(&name).set(endpoints);
            metrics.bridge_failing_ice.with_label_values(&name).set(i64::from(bridge.is_failing_ice(now)));
        }
        metrics.healthy.set(i64::from(self.health(now) == Health::Healthy));
    }

    /// `/stats`, with the names that monitoring knows.
    fn stats(&self, now: Instant) -> Value {
        self.refresh_metrics(now);
        let metrics = &self.metrics;
        let mut sizes = [0_usize; CONFERENCE_SIZES];
        for conference in self.conferences.values() {
            let size = conference.participant_count().clamp(1, CONFERENCE_SIZES - 1);
            if let Some(count) = sizes.get_mut(size) {
                *count += 1;
            }
        }
        let participants: usize = self.conferences.values().map(|known| known.participant_count().max(1)).sum();
        let health = self.health(now);
        let [sip, ending, transcribers] = self.jigasis.counts();
        json!({
            "total_participants": metrics.participants.get(),
            "total_conferences_created": metrics.conferences_created.get(),
            "conferences": self.conferences.len(),
            "conferences_with_visitors": metrics.conferences_with_visitors.get(),
            "participants": participants,
            "visitors": metrics.visitors_current.get(),
            "largest_conference": metrics.largest_conference.get(),
            "conference_sizes": sizes.to_vec(),
            "endpoint_pairs": metrics.participants_pairs.get(),
            "bridge_failures": {
                "participants_moved": metrics.participants_moved.get(),
                "bridges_removed": metrics.bridges_removed.get(),
            },
            "participant_notifications": {
                "ice_failed": metrics.participants_ice_failed.get(),
                "request_restart": metrics.participants_restart_requested.get(),
            },
            "bridge_selector": {
                "bridge_count": self.selector.len(),
                "operational_bridge_count": metrics.bridges_operational.get(),
                "in_shutdown_bridge_count": metrics.bridges_in_shutdown.get(),
                "lost_bridges": metrics.bridges_lost.get(),
                "bridge_version_count": metrics.bridge_versions.get(),
            },
            "jibri": {
                "total_sip_call_failures": metrics.jibri_sip_failures.get(),
                "total_live_streaming_failures": metrics.jibri_live_streaming_failures.get(),
                "total_recording_failures": metrics.jibri_recording_failures.get(),
                "live_streaming_active": metrics.jibri_live_streaming_active.get(),
                "recording_active": metrics.jibri_recording_active.get(),
                "sip_call_active": metrics.jibri_sip_active.get(),
            },
            "jibri_detector": { "count": self.jibris.len(), "available": self.jibris.available() },
            "sip_jibri_detector": { "count": self.sip_jibris.len(), "available": self.sip_jibris.available() },
            "jigasi_detector": {
                "sip_count": sip,
                "sip_in_graceful_shutdown_count": ending,
                "transcriber_count": transcribers,
            },
            "jigasi": {
                "rejected_requests": metrics.jigasi_rejected_requests.get(),
                "accepted_requests": metrics.jigasi_accepted_requests.get(),
                "instance_errors": metrics.jigasi_instance_errors.get(),
                "instance_timeout": metrics.jigasi_instance_timeouts.get(),
            },
            "jingle": {
                "sent": Metrics::jingle_counts(&metrics.jingle_sent),
                "received": Metrics::jingle_counts(&metrics.jingle_received),
            },
            "version": env!("CARGO_PKG_VERSION"),
            "healthy": health == Health::Healthy,
            "health": { "success": health == Health::Healthy, "message": health_text(health) },
        })
    }

    fn debug(&self, full: bool, now: Instant) -> Value {
        let conferences = if full {
            self.conferences_full(now)
        } else {
            let count =
                |(room, conference): (&Jid, &Conference)| (room.to_string(), json!(conference.participant_count()));
            self.conferences.iter().map(count).collect::<Map<String, Value>>().into()
        };
        let bridges: Map<String, Value> = self
            .selector
            .iter()
            .map(|bridge| {
                let state = json!({
                    "conferences": self.conferences.values().filter(|known| known.uses_bridge(&bridge.jid)).count(),
                    "corrected-stress": bridge.corrected_stress(now),
                    "drain": bridge.is_draining(),
                    "endpoints": self.endpoints_on(&bridge.jid),
                    "endpoint-restart-requests": bridge.restart_reports(now),
                    "failing-ice": bridge.is_failing_ice(now),
                    "graceful-shutdown": bridge.is_in_graceful_shutdown(),
                    "has-sctp": bridge.has_sctp(),
                    "healthy": bridge.is_healthy(),
                    "operational": bridge.is_operational(now),
                    "overloaded": bridge.is_overloaded(now),
                    "region": bridge.region(),
                    "relay-id": bridge.relay_id(),
                    "release": bridge.release(),
                    "shutting-down": bridge.is_shutting_down(),
                    "stress": bridge.stress_level(),
                    "version": bridge.version(),
                });
                (bridge.jid.to_string(), state)
            })
            .collect();
        let selection = &self.settings.selection;
        json!({
            "focus_manager": conferences,
            "bridge_selector": {
                "strategy": selection.strategy.class_name(),
                "cascading": selection.cascading,
                "bridge": bridges,
            },
            "jibri_detector": { "count": self.jibris.len(), "available": self.jibris.available() },
            "sip_jibri_detector": { "count": self.sip_jibris.len(), "available": self.sip_jibris.available() },
            "caps_cache": self.caps.len(),
            "connected": self.link.is_some(),
            "visitor_nodes": self.debug_nodes(),
        })
    }

    fn conferences_full(&self, now: Instant) -> Value {
        let states = self.conferences.iter().map(|(room, conference)| (room.to_string(), conference.debug_state(now)));
        states.collect::<Map<String, Value>>().into()
    }

    fn rtcstats(&self, now: Instant) -> Value {
        let allowed = self.conferences.values().filter(|conference| conference.is_rtcstats_enabled());
        let states = allowed.filter_map(|known| Some((known.meeting_id()?.to_string(), known.debug_state(now))));
        states.collect::<Map<String, Value>>().into()
    }

    fn bridge_named(&self, name: &str) -> Result<Jid, AdminError> {
        self.selector.find(name).map(|bridge| bridge.jid.clone()).ok_or(AdminError::BridgeNotFound)
    }

    fn move_endpoint(
        &mut self,
        conference: &str,
        endpoint: &str,
        bridge: Option<&str>,
        now: Instant,
    ) -> Result<Value, AdminError> {
        let room = room_of(conference)?;
        let bridge = bridge.map(|name| self.bridge_named(name)).transpose()?;
        let known = self.conferences.get(&room).ok_or(AdminError::ConferenceNotFound)?;
        let on = known.bridge_of(endpoint);
        let is_meant = on.is_some_and(|on| bridge.is_none_or(|bridge| bridge == on));
        let mut endpoints = 0;
        if let Some(endpoint) = endpoint.parse::<EndpointId>().ok().filter(|_| is_meant) {
            self.with_conference(&room, now, |conference, context| {
                endpoints = conference.move_endpoint(&endpoint, context);
            });
        }
        Ok(moved(endpoints, usize::from(endpoints > 0)))
    }

    fn move_endpoints(
        &mut self,
        bridge: &str,
        conference: Option<&str>,
        count: usize,
        now: Instant,
    ) -> Result<Value, AdminError> {
        let bridge = self.bridge_named(bridge)?;
        let only = conference.map(room_of).transpose()?;
        if only.as_ref().is_some_and(|room| !self.conferences.contains_key(room)) {
            return Err(AdminError::ConferenceNotFound);
        }
        let (endpoints, conferences) = self.move_off(&bridge, only.as_ref(), count, MoveReason::Operator, now);
        tracing::info!(%bridge, endpoints, conferences, "moved off a bridge at an operator's wish");
        Ok(moved(endpoints, conferences))
    }

    fn move_fraction(&mut self, bridge: &str, fraction: f64, now: Instant) -> Result<Value, AdminError> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(AdminError::InvalidFraction);
        }
        let total = self.endpoints_on(&self.bridge_named(bridge)?);
        // At most a bridge's endpoints: exact in an f64, and not negative.
        let count = (total as f64 * fraction).round() as usize;
        self.move_endpoints(bridge, None, count, now)
    }

    fn list_pins(&mut self, now: Instant) -> Value {
        let pins = self.pins.list(now).map(|(room, version, until)| {
            let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            let until = xmpp::datetime::format_utc(u64::try_from(until).unwrap_or(u64::MAX));
            json!({ "conferenceId": room.as_str(), "jvbVersion": version, "expiresAt": until })
        });
        pins.collect()
    }
}

fn moved(endpoints: usize, conferences: usize) -> Value {
    json!({ "movedEndpoints": endpoints, "conferences": conferences })
}

fn room_of(text: &str) -> Result<Jid, AdminError> {
    let room: Option<Jid> = text.parse().ok();
    room.filter(|room| room.is_bare() && room.local().is_some()).ok_or(AdminError::InvalidConference)
}

/// What is wrong, as `/about/health` says it.
pub(crate) const fn health_text(health: Health) -> Option<&'static str> {
    match health {
        Health::Healthy => None,
        Health::NoStream => Some("not connected to the XMPP server"),
        Health::NoBridge => Some("No operational bridges available"),
    }
}
