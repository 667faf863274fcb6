//! Bridges: what they say of themselves in the brewery, and which one a conference gets.
//!
//! Here: load, order and choice. Not here: what is said to a bridge (`conference::colibri`).

mod health;
mod selector;
mod strategy;

pub(crate) use health::{BridgeHealth, HealthChecks};
pub(crate) use selector::{BridgeChange, BridgeSelector, BridgeWanted};
pub(crate) use strategy::ConferenceBridge;

use std::collections::VecDeque;
use std::time::Instant;

use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::Jid;

use crate::settings::BridgeSettings;

/// Endpoints that are counted as new at a time: far more than one bridge gets in the ramp-up interval.
const MAX_RECENT_ENDPOINTS: usize = 4096;

/// By how much a bridge counts as overloaded on which ICE fails.
const FAILING_ICE_EXCESS: f64 = 0.01;
/// Reports of failing ICE that are counted at a time: far more than a bridge may have before it counts as failing.
const MAX_RESTART_REPORTS: usize = 4096;

/// One bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    /// Occupant JID in the brewery.
    pub(crate) jid: Jid,
    settings: BridgeSettings,
    stress_level: f64,
    average_participant_stress: f64,
    is_draining: bool,
    is_in_graceful_shutdown: bool,
    is_shutting_down: bool,
    region: Option<String>,
    relay_id: Option<String>,
    version: Option<String>,
    release: Option<String>,
    has_sctp: bool,
    has_relays: bool,
    is_healthy: bool,
    failed_at: Option<Instant>,
    /// When endpoints were added that the reported load may not show yet.
    recent_endpoints: VecDeque<Instant>,
    /// When endpoints reported that ICE failed, or wanted another session.
    restart_reports: VecDeque<Instant>,
    /// When so many had done so last that ICE counts as failing.
    ice_failed_at: Option<Instant>,
}

impl Bridge {
    /// A bridge that said nothing yet: it counts as draining until it does.
    pub(crate) fn new(jid: Jid, settings: BridgeSettings) -> Self {
        Self {
            jid,
            settings,
            stress_level: 0.0,
            average_participant_stress: settings.average_participant_stress,
            is_draining: true,
            is_in_graceful_shutdown: false,
            is_shutting_down: false,
            region: None,
            relay_id: None,
            version: None,
            release: None,
            has_sctp: true,
            has_relays: true,
            is_healthy: true,
            failed_at: None,
            recent_endpoints: VecDeque::new(),
            restart_reports: VecDeque::new(),
            ice_failed_at: None,
        }
    }

    /// Takes over what the bridge says; what it does not say stays. Graceful and final shutdown are never taken back.
    pub(crate) fn update(&mut self, stats: &BridgeStats) {
        if let Some(stress_level) = stats.stress_level {
            self.stress_level = stress_level;
        }
        if let Some(stress) = stats.average_participant_stress {
            self.average_participant_stress = stress;
        }
        if let Some(drain) = stats.drain {
            self.is_draining = drain;
        }
        if let Some(healthy) = stats.healthy {
            self.is_healthy = healthy;
        }
        self.is_in_graceful_shutdown |= stats.graceful_shutdown.unwrap_or(false);
        self.is_shutting_down |= stats.shutting_down.unwrap_or(false);
        for (known, said) in [
            (&mut self.region, &stats.region),
            (&mut self.relay_id, &stats.relay_id),
            (&mut self.version, &stats.version),
            (&mut self.release, &stats.release),
        ] {
            if said.is_some() {
                known.clone_from(said);
            }
        }
    }

    pub(crate) fn endpoint_added(&mut self, now: Instant) {
        let ramp_up = self.settings.participant_rampup;
        self.recent_endpoints.retain(|&at| now.saturating_duration_since(at) < ramp_up);
        if self.recent_endpoints.len() < MAX_RECENT_ENDPOINTS {
            self.recent_endpoints.push_back(now);
        }
    }

    /// An endpoint reported that ICE failed, or wants another session. `endpoints` is how many the bridge has.
    pub(crate) fn restart_requested(&mut self, endpoints: usize, now: Instant) {
        let detection = self.settings.ice_failure_detection;
        self.restart_reports.retain(|&at| now.saturating_duration_since(at) < detection.interval);
        if self.restart_reports.len() < MAX_RESTART_REPORTS {
            self.restart_reports.push_back(now);
        }
        // Both are far below 2⁵²: exact in an f64.
        let is_failing = self.restart_reports.len() as f64 > endpoints as f64 * detection.threshold;
        if detection.is_enabled && endpoints >= detection.min_endpoints && is_failing {
            if !self.is_failing_ice(now) {
                tracing::warn!(bridge = %self.jid, endpoints, reports = self.restart_reports.len(), "ICE fails on a bridge");
            }
            self.ice_failed_at = Some(now);
        }
    }

    pub(crate) fn is_failing_ice(&self, now: Instant) -> bool {
        let timeout = self.settings.ice_failure_detection.timeout;
        self.ice_failed_at.is_some_and(|at| now.saturating_duration_since(at) < timeout)
    }

    /// Endpoints that lately reported failing ICE.
    pub(crate) fn restart_reports(&self, now: Instant) -> usize {
        let interval = self.settings.ice_failure_detection.interval;
        self.restart_reports.iter().filter(|&&at| now.saturating_duration_since(at) < interval).count()
    }

    /// The version, with what tells its builds apart.
    pub(crate) fn full_version(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        Some(self.release.as_ref().map_or_else(|| version.clone(), |release| format!("{version}-{release}")))
    }

    /// The bridge failed to do its job; others are preferred until the failure is forgotten.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failed_at = Some(now);
    }

    pub(crate) fn enter_graceful_shutdown(&mut self) {
        self.is_in_graceful_shutdown = true;
    }

    /// The bridge refused a data channel: its endpoints use its WebSocket (`feature-not-implemented`, bridge.md §1.4).
    pub(crate) fn lacks_sctp(&mut self) {
        self.has_sctp = false;
    }

    /// Whether endpoints may be given data channels; true until the bridge refuses one.
    pub(crate) const fn has_sctp(&self) -> bool {
        self.has_sctp
    }

    /// The bridge refused a relay: conferences that use it use no other (`relay.enabled` of the bridge).
    pub(crate) fn lacks_relays(&mut self) {
        self.has_relays = false;
    }

    /// The reported load with what the newest endpoints will add to it.
    pub(crate) fn corrected_stress(&self, now: Instant) -> f64 {
        let ramp_up = self.settings.participant_rampup;
        let recent = self.recent_endpoints.iter().filter(|&&at| now.saturating_duration_since(at) < ramp_up).count();
        // At most MAX_RECENT_ENDPOINTS: exact in an f64.
        let stress = self.stress_level + recent as f64 * self.average_participant_stress;
        if self.is_failing_ice(now) { stress.max(self.settings.stress_threshold + FAILING_ICE_EXCESS) } else { stress }
    }

    pub(crate) fn is_overloaded(&self, now: Instant) -> bool {
        self.corrected_stress(now) >= self.settings.stress_threshold
    }

    pub(crate) fn is_operational(&self, now: Instant) -> bool {
        self.recovers_at().is_none_or(|at| at <= now)
    }

    /// When a failure will be forgotten.
    pub(crate) fn recovers_at(&self) -> Option<Instant> {
        self.failed_at.map(|at| at + self.settings.failure_reset)
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    pub(crate) const fn is_in_graceful_shutdown(&self) -> bool {
        self.is_in_graceful_shutdown
    }

    /// Whether it said that it will leave.
    pub(crate) const fn is_leaving(&self) -> bool {
        self.is_in_graceful_shutdown || self.is_shutting_down
    }

    pub(crate) const fn is_shutting_down(&self) -> bool {
        self.is_shutting_down
    }

    pub(crate) const fn stress_level(&self) -> f64 {
        self.stress_level
    }

    /// Its name among bridges; none when it cannot share a conference.
    pub(crate) fn relay_id(&self) -> Option<&str> {
        self.relay_id.as_deref().filter(|id| self.has_relays && !id.is_empty())
    }

    /// What it says of its health.
    pub(crate) const fn is_healthy(&self) -> bool {
        self.is_healthy
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }
}
