//! All bridges, and which of them may be chosen.

use std::time::Instant;

use indexmap::IndexMap;
use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::Jid;

use super::Bridge;
use super::strategy::{Choice, ConferenceBridge};
use crate::settings::{BridgeSettings, SelectionSettings};

/// Bridges of one brewery: the largest deployments have some hundreds.
const MAX_BRIDGES: usize = 4096;

/// Bridges of one conference: each two of them have a link, and each tells the others of its endpoints. Bridges take 128 links.
const MAX_CONFERENCE_BRIDGES: usize = 64;

/// What a presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BridgeChange {
    /// Nothing that anyone waits for.
    None,
    /// A bridge may be chosen now that could not before.
    Available,
    /// A bridge drains now that did not before.
    Draining,
    /// The bridge goes away now.
    ShuttingDown,
}

/// For what a bridge is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BridgeWanted<'a> {
    /// The bridges that the conference has.
    pub(crate) used: &'a [ConferenceBridge],
    /// Where the endpoint is.
    pub(crate) region: Option<&'a str>,
    /// Whether the endpoint only watches.
    pub(crate) is_visitor: bool,
    /// The version to which the conference is pinned: that of its first bridge.
    pub(crate) version: Option<&'a str>,
    /// The bridge from which the endpoint or the conference moves: taken only when there is no other.
    pub(crate) avoid: Option<&'a Jid>,
    /// A bridge refused one more link: the conference stays on those that it has.
    pub(crate) no_more: bool,
}

/// All bridges, and which one an endpoint of a conference gets.
#[derive(Debug)]
pub(crate) struct BridgeSelector {
    settings: BridgeSettings,
    selection: SelectionSettings,
    bridges: IndexMap<Jid, Bridge>,
}

impl BridgeSelector {
    pub(crate) fn new(settings: BridgeSettings, selection: SelectionSettings) -> Self {
        Self { settings, selection, bridges: IndexMap::new() }
    }

    /// A bridge said something of itself.
    pub(crate) fn update(&mut self, jid: &Jid, stats: &BridgeStats) -> BridgeChange {
        if !self.bridges.contains_key(jid) {
            if self.bridges.len() >= MAX_BRIDGES {
                tracing::warn!(bridge = %jid, "bridge ignored, there are {MAX_BRIDGES} already");
                return BridgeChange::None;
            }
            let region = stats.region.as_deref().unwrap_or("-");
            tracing::info!(bridge = %jid, version = stats.version.as_deref().unwrap_or("-"), region, "bridge added");
            self.bridges.insert(jid.clone(), Bridge::new(jid.clone(), self.settings));
        }
        let Some(bridge) = self.bridges.get_mut(jid) else { return BridgeChange::None };
        let could_be_chosen = !bridge.is_draining();
        let was_shutting_down = bridge.is_shutting_down();
        bridge.update(stats);
        if bridge.is_shutting_down() {
            return if was_shutting_down { BridgeChange::None } else { BridgeChange::ShuttingDown };
        }
        match (could_be_chosen, !bridge.is_draining()) {
            (false, true) => BridgeChange::Available,
            (true, false) => BridgeChange::Draining,
            (true, true) | (false, false) => BridgeChange::None,
        }
    }

    /// A bridge left. Answers whether it was known.
    pub(crate) fn remove(&mut self, jid: &Jid) -> bool {
        let was_known = self.bridges.shift_remove(jid).is_some();
        if was_known {
            tracing::info!(bridge = %jid, "bridge removed");
        }
        was_known
    }

    /// All bridges left.
    pub(crate) fn clear(&mut self) {
        self.bridges.clear();
    }

    /// All bridges of one room left. Answers which there were.
    pub(crate) fn clear_room(&mut self, room: &str) -> Vec<Jid> {
        let gone = self.bridges.keys().filter(|jid| jid.bare_str() == room).cloned().collect();
        self.bridges.retain(|jid, _| jid.bare_str() != room);
        gone
    }

    pub(crate) fn len(&self) -> usize {
        self.bridges.len()
    }

    pub(crate) fn get_mut(&mut self, jid: &Jid) -> Option<&mut Bridge> {
        self.bridges.get_mut(jid)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bridge> {
        self.bridges.values()
    }

    /// The bridge of that occupant JID, or of that nick in the brewery.
    pub(crate) fn find(&self, name: &str) -> Option<&Bridge> {
        let is_meant = |bridge: &&Bridge| bridge.jid.as_str() == name || bridge.jid.resource() == Some(name);
        self.bridges.values().find(is_meant)
    }

    pub(crate) fn get(&self, jid: &Jid) -> Option<&Bridge> {
        self.bridges.get(jid)
    }

    /// Whether there is a bridge that could take more.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        self.bridges.values().any(|bridge| !bridge.is_overloaded(now))
    }

    /// The bridge for one more endpoint of a conference.
    pub(crate) fn select(&self, wanted: &BridgeWanted<'_>, now: Instant) -> Option<Jid> {
        if let Some(bridge) = self.only_choice(wanted) {
            return Some(bridge.jid.clone());
        }
        let is_usable = |bridge: &&Bridge| bridge.is_operational(now) && !bridge.is_shutting_down();
        let used: Vec<(&Bridge, &ConferenceBridge)> =
            wanted.used.iter().filter_map(|known| Some((self.bridges.get(&known.jid)?, known))).collect();
        // Relays are told apart by their ids: a bridge without one, or with that of another one, cannot join.
        let is_linkable = |bridge: &&Bridge| {
            let is_used = used.iter().any(|(other, _)| other.jid == bridge.jid);
            let is_taken = |(other, _): &(&Bridge, _)| other.jid != bridge.jid && other.relay_id() == bridge.relay_id();
            let may_join = is_used || !wanted.no_more && used.len() < MAX_CONFERENCE_BRIDGES;
            used.is_empty() || bridge.relay_id().is_some() && may_join && !used.iter().any(is_taken)
        };
        let working: Vec<_> = used.iter().copied().filter(|(bridge, _)| bridge.is_operational(now)).collect();
        // The version of a conference is that of its bridges, but for the one that all of it leaves; a pin says with which
        // one it begins.
        let staying = working.iter().find(|(bridge, _)| Some(&bridge.jid) != wanted.avoid).or(working.first());
        let version = match staying.filter(|_| !self.selection.allow_mixed_versions) {
            Some((bridge, _)) => bridge.full_version(),
            None => wanted.version.map(str::to_owned),
        };
        let has_version = |bridge: &&Bridge| version.is_none() || bridge.full_version() == version;
        let candidates = self.bridges.values().filter(is_usable).filter(has_version).filter(is_linkable).collect();
        let candidates = preferred(candidates, |bridge| Some(&bridge.jid) != wanted.avoid);
        let candidates = preferred(candidates, |bridge| !bridge.is_draining());
        let mut candidates = preferred(candidates, |bridge| !bridge.is_in_graceful_shutdown());
        candidates.sort_by(|a, b| a.corrected_stress(now).total_cmp(&b.corrected_stress(now)));
        let choice = Choice {
            selection: &self.selection,
            settings: &self.settings,
            candidates: &candidates,
            used: &working,
            region: wanted.region,
            is_visitor: wanted.is_visitor,
            now,
        };
        let chosen = choice.choose(self.selection.strategy)?;
        if chosen.is_overloaded(now) {
            tracing::warn!(bridge = %chosen.jid, stress = chosen.corrected_stress(now), "every bridge is overloaded");
        }
        Some(chosen.jid.clone())
    }

    /// The bridge of a conference that cannot have another one beside it. It is taken whether it seems to work or not: when
    /// it does not, that shows by the request, and everybody moves.
    fn only_choice(&self, wanted: &BridgeWanted<'_>) -> Option<&Bridge> {
        let used = || wanted.used.iter().filter_map(|known| self.bridges.get(&known.jid));
        let mut links = wanted.used.iter().filter_map(|known| Some(known.is_linkable(self.bridges.get(&known.jid)?)));
        if self.selection.uses_several() && links.all(|is_linkable| is_linkable) {
            return None;
        }
        let staying = || used().filter(|bridge| !bridge.is_shutting_down());
        staying().find(|bridge| Some(&bridge.jid) != wanted.avoid).or_else(|| staying().next())
    }

    /// The next time at which a failure is forgotten.
    pub(crate) fn next_recovery(&self, now: Instant) -> Option<Instant> {
        self.bridges.values().filter_map(Bridge::recovers_at).filter(|&at| at > now).min()
    }
}

/// Those for which `is_preferred` holds, or everybody when it holds for none.
fn preferred(bridges: Vec<&Bridge>, is_preferred: impl Fn(&Bridge) -> bool) -> Vec<&Bridge> {
    let chosen: Vec<&Bridge> = bridges.iter().copied().filter(|bridge| is_preferred(bridge)).collect();
    if chosen.is_empty() { bridges } else { chosen }
}

#[cfg(test)]
mod tests;
