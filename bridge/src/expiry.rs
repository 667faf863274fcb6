//! What is looked at now and then: endpoints that fell silent, conferences without endpoints, load (bridge.md §1.8).

use std::time::{Duration, Instant};

use crate::videobridge::{EndpointKey, TimerKey, Videobridge};

/// Expired conferences and endpoints are looked for this often.
pub(crate) const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(10);
/// An endpoint that never connected goes after this time, one that fell silent after the other.
const FIRST_ACTIVITY_TIMEOUT: Duration = Duration::from_secs(120);
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// A conference without endpoints goes after this time.
const EMPTY_CONFERENCE_TIMEOUT: Duration = Duration::from_secs(20);

impl Videobridge {
    /// Takes videos away from everybody where media threads are too busy, and gives them back.
    pub(crate) fn follow_load(&mut self, now: Instant) {
        let Some(reducer) = &mut self.reducer else { return };
        let Some(load) = self.media_time.load_since_last(&self.metrics.shards, now) else { return };
        let endpoints = self.conferences.iter().flat_map(|(_, conference)| &conference.endpoints);
        let forwarded = endpoints.map(|(_, endpoint)| endpoint.forwarded.as_ref().map_or(0, Vec::len)).max();
        let Some(last_n) = reducer.handle_load(load, forwarded.unwrap_or(0), now) else { return };
        tracing::info!(load, ?last_n, "load of media threads changes how many videos receivers get");
        self.limits.by_load = last_n;
        let conferences: Vec<usize> = self.conferences.iter().map(|(key, _)| key).collect();
        for key in conferences {
            if let Some((conference, mut context)) = self.conference(key, now) {
                conference.limit_by_load(last_n, &mut context);
            }
            self.settle(now);
        }
    }

    pub(crate) fn expire_inactive(&mut self, now: Instant) {
        let since = |at: Instant| now.saturating_duration_since(at);
        let mut endpoints = Vec::new();
        let mut conferences = Vec::new();
        for (conference, state) in &self.conferences {
            let inactive = state.endpoints.iter().filter(|(_, endpoint)| match endpoint.connection.last_activity {
                Some(at) => since(at) > INACTIVITY_TIMEOUT,
                None => since(endpoint.connection.created_at) > FIRST_ACTIVITY_TIMEOUT,
            });
            endpoints.extend(inactive.map(|(endpoint, _)| EndpointKey { conference, endpoint }));
            // One that joins meshes is of use without endpoints of its own.
            let is_of_use = !state.endpoints.is_empty() || state.mesh_count() > 1;
            if !is_of_use && since(state.created_at) > EMPTY_CONFERENCE_TIMEOUT {
                conferences.push(conference);
            }
        }
        for key in endpoints {
            if let Some(endpoint) = self.endpoint_mut(key) {
                tracing::info!(endpoint = %endpoint.id, "endpoint expired: nothing came from it");
            }
            self.remove_endpoint(key, now);
        }
        self.settle(now);
        for key in conferences {
            self.remove_conference(key, now);
        }
        if !self.conferences.is_empty() {
            self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        }
    }
}
