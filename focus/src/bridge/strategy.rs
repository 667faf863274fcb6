//! Which of the bridges that may be chosen a strategy chooses (focus.md §8.3; `jicofo: BridgeSelectionStrategy.kt`).

use std::time::Instant;

use xmpp::Jid;

use super::Bridge;
use crate::settings::{BridgeSettings, SelectionSettings, SelectionStrategy};

/// A bridge that a conference has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConferenceBridge {
    pub(crate) jid: Jid,
    /// Its name among bridges, as it was when it got the conference.
    pub(crate) relay_id: Option<String>,
    /// Endpoints of the conference on it.
    pub(crate) participants: usize,
    /// Those of them that came of late, where that is limited.
    pub(crate) recent: usize,
    /// Whether it was chosen for visitors.
    pub(crate) for_visitors: bool,
}

impl ConferenceBridge {
    /// Whether others may be linked with it: it has the name still that it had, and relays.
    pub(super) fn is_linkable(&self, bridge: &Bridge) -> bool {
        self.relay_id.is_some() && self.relay_id.as_deref() == bridge.relay_id()
    }
}

/// Among what a strategy chooses.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) selection: &'a SelectionSettings,
    pub(super) settings: &'a BridgeSettings,
    /// The least loaded first.
    pub(super) candidates: &'a [&'a Bridge],
    /// Those that the conference has, and that work, in the order in which it got them.
    pub(super) used: &'a [(&'a Bridge, &'a ConferenceBridge)],
    /// Where the endpoint is.
    pub(super) region: Option<&'a str>,
    pub(super) is_visitor: bool,
    pub(super) now: Instant,
}

impl<'a> Choice<'a> {
    pub(super) fn choose(&self, strategy: SelectionStrategy) -> Option<&'a Bridge> {
        match strategy {
            SelectionStrategy::SingleBridge => self.single_bridge(),
            SelectionStrategy::RegionBased => self.region_based(),
            SelectionStrategy::IntraRegion => self.intra_region(),
            SelectionStrategy::SplitBridge => self.split_bridge(),
            SelectionStrategy::Visitor => self.by_kind(),
        }
    }

    fn single_bridge(&self) -> Option<&'a Bridge> {
        let (region, first) = (self.region, self.used.first());
        self.first(|bridge| first.is_some_and(|(used, _)| used.jid == bridge.jid))
            .or_else(|| self.first(|bridge| is_in_region(bridge, region)))
            .or_else(|| self.first(|_| true))
    }

    fn split_bridge(&self) -> Option<&'a Bridge> {
        let is_candidate = |bridge: &Bridge| self.candidates.iter().any(|candidate| candidate.jid == bridge.jid);
        self.first(|bridge| !self.is_used(bridge)).or_else(|| {
            let used = self.used.iter().filter(|(bridge, _)| is_candidate(bridge));
            used.min_by_key(|(_, known)| known.participants).map(|(bridge, _)| *bridge)
        })
    }

    fn intra_region(&self) -> Option<&'a Bridge> {
        let Some((first, _)) = self.used.first() else {
            return self
                .first(|bridge| is_in_region(bridge, self.region) && self.has_room(bridge))
                .or_else(|| self.first(|_| true));
        };
        let is_near = |bridge: &Bridge| bridge.region() == first.region();
        self.first(|bridge| is_near(bridge) && self.is_used(bridge) && self.has_room(bridge))
            .or_else(|| self.first(|bridge| is_near(bridge) && self.has_room(bridge)))
            .or_else(|| self.first(|bridge| is_near(bridge) && self.is_used(bridge)))
            // Jicofo gives up here. Somebody far away is better off than somebody without media.
            .or_else(|| self.first(|_| true))
    }

    fn region_based(&self) -> Option<&'a Bridge> {
        let local = self.selection.local_region.as_deref();
        let region = self.region.or(local);
        let group = self.selection.group_of(region);
        // Of the first two who meet one is usually near the focus: it asked for the conference.
        let is_first_near = self.used.is_empty() && local.is_some_and(|local| group.contains(&local));
        let is_served = self.candidates.iter().any(|bridge| is_in(bridge, &group));
        let region = if is_first_near || !is_served { local.or(region) } else { region };
        let group = self.selection.group_of(region);
        self.first(|bridge| is_in_region(bridge, region) && self.is_used(bridge) && self.has_room(bridge))
            .or_else(|| self.first(|bridge| is_in(bridge, &group) && self.is_used(bridge) && self.has_room(bridge)))
            .or_else(|| self.first(|bridge| is_in_region(bridge, region) && self.has_room(bridge)))
            .or_else(|| self.first(|bridge| is_in(bridge, &group) && self.has_room(bridge)))
            .or_else(|| self.first(|bridge| self.is_used(bridge) && self.has_room(bridge)))
            // Jicofo takes the least loaded here, though it may be full.
            .or_else(|| self.first(|bridge| self.has_room(bridge)))
            .or_else(|| self.first(|bridge| !bridge.is_overloaded(self.now)))
            .or_else(|| self.first(|bridge| self.is_used(bridge) && !self.is_full(bridge)))
            .or_else(|| self.first(|_| true))
    }

    /// Bridges that the conference has for the other kind are taken only where there are no others.
    fn by_kind(&self) -> Option<&'a Bridge> {
        let selection = self.selection;
        let strategy = if self.is_visitor { selection.visitor_strategy } else { selection.participant_strategy };
        // One that is told to ask itself again would do so without end.
        let strategy = if strategy == SelectionStrategy::Visitor { SelectionStrategy::RegionBased } else { strategy };
        let is_of_kind = |known: &ConferenceBridge| known.for_visitors == self.is_visitor;
        let used: Vec<_> = self.used.iter().copied().filter(|(_, known)| is_of_kind(known)).collect();
        let is_free = |bridge: &&Bridge| self.use_of(bridge).is_none_or(is_of_kind);
        let candidates: Vec<_> = self.candidates.iter().copied().filter(is_free).collect();
        let of_kind = Choice { candidates: &candidates, used: &used, ..*self };
        let chosen = of_kind.choose(strategy).map(|bridge| bridge.jid.clone());
        match chosen {
            Some(jid) => self.first(|bridge| bridge.jid == jid),
            None => self.choose(strategy),
        }
    }

    fn first(&self, is_wanted: impl Fn(&Bridge) -> bool) -> Option<&'a Bridge> {
        self.candidates.iter().copied().find(|bridge| is_wanted(bridge))
    }

    fn use_of(&self, bridge: &Bridge) -> Option<&'a ConferenceBridge> {
        self.used.iter().find(|(used, _)| used.jid == bridge.jid).map(|(_, known)| *known)
    }

    fn is_used(&self, bridge: &Bridge) -> bool {
        self.use_of(bridge).is_some()
    }

    /// Whether the conference has as many endpoints there as it may.
    fn is_full(&self, bridge: &Bridge) -> bool {
        let most = self.settings.max_participants;
        self.use_of(bridge).is_some_and(|known| most.is_some_and(|most| known.participants >= most))
    }

    /// Whether the conference sends endpoints there faster than the bridge can say what they cost.
    fn is_rushed(&self, bridge: &Bridge) -> bool {
        let most = self.settings.max_participants_per_interval;
        self.use_of(bridge).is_some_and(|known| most.is_some_and(|most| known.recent >= most))
    }

    fn has_room(&self, bridge: &Bridge) -> bool {
        !bridge.is_overloaded(self.now) && !self.is_full(bridge) && !self.is_rushed(bridge)
    }
}

fn is_in_region(bridge: &Bridge, region: Option<&str>) -> bool {
    region.is_some() && bridge.region() == region
}

fn is_in(bridge: &Bridge, group: &[&str]) -> bool {
    bridge.region().is_some_and(|own| group.contains(&own))
}
