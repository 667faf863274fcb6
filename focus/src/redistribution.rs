//! Endpoints that the focus moves off a bridge to spread load, or to empty it (focus.md §8.6; `jicofo: LoadRedistributor.kt`).
//!
//! Here: when, from where and how many. Not here: how an endpoint moves (`conference::moves`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xmpp::Jid;

use crate::conference::MoveReason;
use crate::focus::Focus;
use crate::settings::LoadRedistribution;

/// How often endpoints leave a bridge that drains.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);
/// How many of them at a time: their clients all make new connections, which costs their new bridge most.
const DRAIN_ENDPOINTS: usize = 10;
/// How often it is looked whether there is a bridge for them by now.
const DRAIN_RETRY: Duration = Duration::from_secs(10);

/// When bridges are looked at.
#[derive(Debug)]
pub(crate) struct Redistribution {
    settings: LoadRedistribution,
    /// When loads are.
    loads_at: Option<Instant>,
    /// When bridges that drain are.
    drains_at: Option<Instant>,
    /// Bridges that gave something away, and until when they keep the rest.
    resting: BTreeMap<Jid, Instant>,
}

impl Redistribution {
    pub(crate) fn new(settings: LoadRedistribution) -> Self {
        Self { settings, loads_at: None, drains_at: None, resting: BTreeMap::new() }
    }

    /// The stream is up.
    pub(crate) fn start(&mut self, now: Instant) {
        self.loads_at = self.settings.is_enabled.then(|| now + self.settings.interval);
    }

    /// The stream is gone, and with it everything that could move.
    pub(crate) fn stop(&mut self) {
        (self.loads_at, self.drains_at) = (None, None);
        self.resting.clear();
    }

    /// A bridge drains, or there is one more that does not.
    pub(crate) fn look_at_drains(&mut self, now: Instant) {
        if self.settings.drains {
            self.drains_at = Some(now);
        }
    }

    /// When [`Focus::redistribute`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.loads_at.into_iter().chain(self.drains_at).min()
    }
}

impl Focus {
    /// Moves what is due.
    pub(crate) fn redistribute(&mut self, now: Instant) {
        if self.redistribution.drains_at.is_some_and(|at| at <= now) {
            self.empty_draining_bridges(now);
        }
        if self.redistribution.loads_at.is_some_and(|at| at <= now) {
            self.redistribution.loads_at = Some(now + self.redistribution.settings.interval);
            self.relieve_bridges(now);
        }
    }

    fn empty_draining_bridges(&mut self, now: Instant) {
        let draining = self.selector.iter().filter(|bridge| bridge.is_draining() && !bridge.is_shutting_down());
        let draining: Vec<Jid> = draining.map(|bridge| bridge.jid.clone()).collect();
        let (mut moved, mut is_empty) = (0, true);
        for bridge in draining {
            if self.endpoints_on(&bridge) == 0 {
                continue;
            }
            moved += self.move_off(&bridge, None, DRAIN_ENDPOINTS, MoveReason::Draining, now).0;
            is_empty = false;
        }
        let again = if moved > 0 { DRAIN_INTERVAL } else { DRAIN_RETRY };
        self.redistribution.drains_at = (!is_empty).then(|| now + again);
    }

    fn relieve_bridges(&mut self, now: Instant) {
        self.redistribution.resting.retain(|_, until| *until > now);
        if !self.selector.has_room(now) {
            tracing::warn!("no load is moved, every bridge is overloaded");
            return;
        }
        let settings = self.redistribution.settings;
        let is_due = |bridge: &&crate::bridge::Bridge| {
            bridge.corrected_stress(now) >= settings.stress_threshold
                && !self.redistribution.resting.contains_key(&bridge.jid)
        };
        let loaded: Vec<Jid> = self.selector.iter().filter(is_due).map(|bridge| bridge.jid.clone()).collect();
        for bridge in loaded {
            self.redistribution.resting.insert(bridge.clone(), now + settings.timeout);
            let (moved, _) = self.move_off(&bridge, None, settings.endpoints, MoveReason::Overloaded, now);
            tracing::info!(%bridge, moved, "load moves off a bridge");
            let name = bridge.resource().unwrap_or_default();
            self.metrics.bridge_endpoints_moved.with_label_values(&[name]).inc_by(moved as u64);
            self.metrics.load_redistributor_endpoints_moved.inc_by(moved as u64);
        }
    }

    /// Moves endpoints of one or all conferences off a bridge, first those of the conferences with the most there. Answers how
    /// many, of how many conferences.
    pub(crate) fn move_off(
        &mut self,
        bridge: &Jid,
        only: Option<&Jid>,
        count: usize,
        reason: MoveReason,
        now: Instant,
    ) -> (usize, usize) {
        let mut by_size: Vec<(usize, Jid)> = Vec::new();
        for (room, conference) in &self.conferences {
            let endpoints = conference.endpoints_on(bridge);
            if endpoints > 0 && only.is_none_or(|only| only == room) {
                by_size.push((endpoints, room.clone()));
            }
        }
        by_size.sort_by_key(|(endpoints, _)| std::cmp::Reverse(*endpoints));
        let (mut endpoints, mut conferences) = (0_usize, 0);
        for (_, room) in by_size {
            let left = count.saturating_sub(endpoints);
            if left == 0 {
                break;
            }
            self.with_conference(&room, now, |conference, context| {
                let moved = conference.move_off(bridge, left, reason, context);
                endpoints += moved;
                conferences += usize::from(moved > 0);
            });
        }
        (endpoints, conferences)
    }
}
