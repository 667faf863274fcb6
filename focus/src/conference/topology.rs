//! How the bridges of a conference are linked, so that what one sends reaches each of the others once (focus.md §8.5;
//! `jicofo: Cascade.kt, VisitorTopologyStrategy.kt`).
//!
//! Bridges of one mesh are linked each with each other, and pass nothing on from one link of a mesh to another one of it; a
//! bridge of several meshes passes on between them. All meshes together are a tree: between two bridges there is one way.
//!
//! ```text
//!            core, mesh 0                      visitors
//!     P1 ═══ P2           P: of participants   V1: mesh 1, by P1
//!      ║  ╲  ║                                 V2: mesh 2, by V1
//!     P3 ═══ P4                                V3: mesh 3, by P4
//! ```

use std::collections::BTreeSet;

use xmpp::Jid;

use super::Conference;
use super::colibri::ColibriSession;
use super::relays::{RelayRole, RelayedChange};
use crate::context::Context;
use crate::settings::TopologyStrategy;

/// How a bridge is reached from another one.
pub(super) struct Way {
    pub(super) at: Jid,
    /// The last one before it.
    pub(super) via: Jid,
    /// The mesh of the link between these two.
    mesh: u32,
    hops: usize,
}

/// The mesh of bridges for participants, and of all where there is only one.
const CORE_MESH: u32 = 0;

impl Conference {
    /// Links a new bridge of the conference with others.
    pub(super) fn connect_relays(&mut self, new: &Jid, context: &mut Context<'_>) {
        if !context.settings.selection.cascading {
            return;
        }
        let is_single = context.settings.selection.topology == TopologyStrategy::SingleMesh;
        let Some(session) = self.colibri.get(new) else { return };
        let others: Vec<Jid> =
            self.colibri.keys().filter(|other| self.may_link(new, other, context)).cloned().collect();
        if is_single {
            return others.iter().for_each(|other| self.link(other, new, CORE_MESH, context));
        }
        if session.for_visitors {
            let Some(best) = self.nearest(new, &others, context) else { return };
            let mesh = self.next_mesh();
            return self.link(&best, new, mesh, context);
        }
        let in_core = |other: &&Jid| {
            let has_link = |session: &ColibriSession| session.relays.values().any(|relay| relay.mesh == CORE_MESH);
            self.colibri.get(*other).is_some_and(has_link)
        };
        let mut core: Vec<Jid> = others.iter().filter(in_core).cloned().collect();
        if core.is_empty() {
            // The second bridge, or the second one of the core.
            core.extend(others.iter().find(|other| !self.is_for_visitors(other)).or(others.first()).cloned());
        }
        for other in core {
            self.link(&other, new, CORE_MESH, context);
        }
    }

    /// A bridge is gone that was a way between others: those that it leaves alone are linked with the rest again.
    pub(super) fn repair_topology(&mut self, context: &mut Context<'_>) {
        let selection = &context.settings.selection;
        if !selection.cascading || selection.topology == TopologyStrategy::SingleMesh {
            return;
        }
        let mut parts = self.parts();
        let has_core = |part: &BTreeSet<Jid>| part.iter().any(|bridge| !self.is_for_visitors(bridge));
        let at = parts.iter().position(has_core).unwrap_or_default();
        // Before they are behind another link.
        self.update_relayed(RelayedChange::Gone, context);
        // The last bridge may be the one that is gone.
        let rest = if parts.is_empty() { BTreeSet::new() } else { parts.remove(at) };
        for part in parts {
            // Bridges of two versions have no links while a conference moves from one to the other.
            let find = |from: &Jid| {
                let linkable: Vec<Jid> =
                    rest.iter().filter(|other| self.may_link(from, other, context)).cloned().collect();
                self.nearest(from, &linkable, context)
            };
            let Some((from, to)) = part.iter().find_map(|from| Some((from.clone(), find(from)?))) else { continue };
            let mesh = self.next_mesh();
            self.link(&to, &from, mesh, context);
        }
        self.update_relayed(RelayedChange::New, context);
    }

    /// Both sides of a link, the older bridge first.
    fn link(&mut self, old: &Jid, new: &Jid, mesh: u32, context: &mut Context<'_>) {
        self.create_relay(old, new, mesh, RelayRole::Initiator, context);
        self.create_relay(new, old, mesh, RelayRole::Responder, context);
    }

    fn next_mesh(&mut self) -> u32 {
        self.meshes = self.meshes.wrapping_add(1);
        self.meshes
    }

    fn is_for_visitors(&self, bridge: &Jid) -> bool {
        self.colibri.get(bridge).is_some_and(|session| session.for_visitors)
    }

    /// Whether two bridges can be linked: they have different names among bridges, and the same version but where versions
    /// may be mixed.
    pub(super) fn may_link(&self, one: &Jid, other: &Jid, context: &Context<'_>) -> bool {
        let Some((first, second)) = self.colibri.get(one).zip(self.colibri.get(other)) else { return false };
        let differ = first.version.as_ref().zip(second.version.as_ref()).is_some_and(|(first, second)| first != second);
        one != other
            && first.relay_id.is_some()
            && second.relay_id.is_some()
            && (!differ || context.settings.selection.allow_mixed_versions)
    }

    /// The bridge on which another one hangs best: one with room in its region, else one with room, else one in its region;
    /// among them the one with the fewest links to the core, then the least loaded.
    fn nearest(&self, new: &Jid, others: &[Jid], context: &Context<'_>) -> Option<Jid> {
        let region = self.colibri.get(new).and_then(|session| session.region.as_deref());
        let rank = |other: &Jid| {
            let bridge = context.selector.get(other);
            let is_overloaded = bridge.is_none_or(|bridge| bridge.is_overloaded(context.now));
            let is_near = self.colibri.get(other).and_then(|session| session.region.as_deref()) == region;
            let class = match (is_overloaded, is_near) {
                (false, true) => 0,
                (false, false) => 1,
                (true, true) => 2,
                (true, false) => 3,
            };
            let stress = bridge.map_or(f64::MAX, |bridge| bridge.corrected_stress(context.now));
            (class, self.distance_to_core(other), stress)
        };
        let ranked = others.iter().map(|other| (rank(other), other));
        let compare = |(a, _): &((u8, usize, f64), &Jid), (b, _): &((u8, usize, f64), &Jid)| {
            (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
        };
        ranked.min_by(compare).map(|(_, other)| other.clone())
    }

    /// Links between a bridge and the nearest one of participants.
    fn distance_to_core(&self, bridge: &Jid) -> usize {
        if !self.is_for_visitors(bridge) {
            return 0;
        }
        let ways = self.ways_from(bridge, None);
        ways.iter().find(|way| !self.is_for_visitors(&way.at)).map_or(usize::MAX, |way| way.hops)
    }

    /// The bridges that are linked with each other in some way.
    fn parts(&self) -> Vec<BTreeSet<Jid>> {
        let mut parts: Vec<BTreeSet<Jid>> = Vec::new();
        for bridge in self.colibri.keys() {
            if !parts.iter().any(|part| part.contains(bridge)) {
                let reached = self.ways_from(bridge, None).into_iter().map(|way| way.at);
                parts.push(reached.chain([bridge.clone()]).collect());
            }
        }
        parts
    }

    /// Each bridge that is reached from one, those nearby first. What came over a link goes on over those of other meshes only.
    pub(super) fn ways_from(&self, home: &Jid, came_by: Option<u32>) -> Vec<Way> {
        let mut seen = BTreeSet::from([home.clone()]);
        let mut ways: Vec<Way> = Vec::new();
        let mut next = Some((home.clone(), came_by, 0));
        let mut done = 0;
        while let Some((via, came_by, hops)) = next {
            let relays = self.colibri.get(&via).map(|session| &session.relays);
            for (at, relay) in relays.into_iter().flatten().filter(|(_, relay)| Some(relay.mesh) != came_by) {
                if seen.insert(at.clone()) {
                    ways.push(Way { at: at.clone(), via: via.clone(), mesh: relay.mesh, hops: hops + 1 });
                }
            }
            next = ways.get(done).map(|way| (way.at.clone(), Some(way.mesh), way.hops));
            done += 1;
        }
        ways
    }
}
