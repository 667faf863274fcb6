//! What one participant was told of the others' sources, and what it has yet to be told.

use std::collections::BTreeMap;

use model::{EndpointId, MediaType};

use super::{EndpointSourceSet, ValidatingConferenceSourceMap};
use crate::features::Features;

/// Changes of one flush, removals to be told before additions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceChange {
    pub(crate) removed: BTreeMap<EndpointId, EndpointSourceSet>,
    pub(crate) added: BTreeMap<EndpointId, EndpointSourceSet>,
}

/// Keeps, for each owner whose sources changed since they were last told, what they were then. Everything else was told
/// as it is now.
#[derive(Debug, Default)]
pub(crate) struct SourceSignaling {
    untold: BTreeMap<EndpointId, EndpointSourceSet>,
}

impl SourceSignaling {
    /// The sources of an owner are about to change, or have just changed, from `before`.
    pub(crate) fn on_change(&mut self, owner: &EndpointId, before: &EndpointSourceSet) {
        if !self.untold.contains_key(owner) {
            self.untold.insert(owner.clone(), before.clone());
        }
    }

    /// An owner left the room: clients drop its sources by themselves.
    pub(crate) fn forget(&mut self, owner: &EndpointId) {
        self.untold.remove(owner);
    }

    /// Everything as it is now is told with an offer.
    pub(crate) fn reset(&mut self) {
        self.untold.clear();
    }

    /// What has to be told; counts as told from now on. What came and went meanwhile cancels out.
    pub(crate) fn update(
        &mut self,
        now: &ValidatingConferenceSourceMap,
        filter: impl Fn(&EndpointSourceSet) -> EndpointSourceSet,
    ) -> SourceChange {
        let mut change = SourceChange::default();
        for (owner, before) in std::mem::take(&mut self.untold) {
            let before = filter(&before);
            let after = now.get(&owner).map(&filter).unwrap_or_default();
            let (removed, added) = (before.minus(&after), after.minus(&before));
            if !removed.is_empty() {
                change.removed.insert(owner.clone(), removed);
            }
            if !added.is_empty() {
                change.added.insert(owner, added);
            }
        }
        change
    }
}

/// What a receiver with these features sees of an endpoint's sources.
pub(crate) fn visible_to(features: Features, strip_simulcast: bool, set: &EndpointSourceSet) -> EndpointSourceSet {
    let set = set.of_media(|media_type| match media_type {
        MediaType::Audio => features.audio,
        MediaType::Video => features.video,
    });
    if strip_simulcast { set.without_simulcast() } else { set }
}

#[cfg(test)]
mod tests {
    use model::Ssrc;
    use xmpp::jingle::Source;

    use super::super::{EndpointSource, SourceLimits};
    use super::*;

    fn id(text: &str) -> EndpointId {
        text.parse().unwrap()
    }

    fn set(ssrcs: &[u32]) -> EndpointSourceSet {
        let source = |&ssrc: &u32| EndpointSource { media_type: MediaType::Audio, source: Source::new(Ssrc(ssrc)) };
        EndpointSourceSet { sources: ssrcs.iter().map(source).collect(), groups: Vec::new() }
    }

    #[test]
    fn tells_the_difference_since_the_last_time() {
        let mut map = ValidatingConferenceSourceMap::new(SourceLimits { ssrcs: 20, groups: 20 });
        let mut signaling = SourceSignaling::default();
        map.try_to_add(&id("a"), set(&[1, 2])).unwrap();
        signaling.on_change(&id("a"), &set(&[]));
        map.try_to_remove(&id("a"), &set(&[1])).unwrap();
        signaling.on_change(&id("a"), &set(&[1, 2]));
        let change = signaling.update(&map, Clone::clone);
        assert_eq!(change.added, BTreeMap::from([(id("a"), set(&[2]))]));
        assert!(change.removed.is_empty(), "what came and went was never told");
        assert_eq!(signaling.update(&map, Clone::clone), SourceChange::default());
    }

    #[test]
    fn replaced_sources_are_removed_and_added() {
        let mut map = ValidatingConferenceSourceMap::new(SourceLimits { ssrcs: 20, groups: 20 });
        let mut signaling = SourceSignaling::default();
        map.try_to_add(&id("a"), set(&[2])).unwrap();
        signaling.on_change(&id("a"), &set(&[1]));
        let change = signaling.update(&map, Clone::clone);
        assert_eq!(change.removed, BTreeMap::from([(id("a"), set(&[1]))]));
        assert_eq!(change.added, BTreeMap::from([(id("a"), set(&[2]))]));
    }

    #[test]
    fn the_sources_of_who_left_are_not_told() {
        let map = ValidatingConferenceSourceMap::new(SourceLimits { ssrcs: 20, groups: 20 });
        let mut signaling = SourceSignaling::default();
        signaling.on_change(&id("a"), &set(&[1]));
        signaling.forget(&id("a"));
        assert_eq!(signaling.update(&map, Clone::clone), SourceChange::default());
    }
}
