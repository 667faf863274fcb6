//! The sources of one endpoint.

use std::collections::BTreeSet;

use model::{MediaType, Ssrc};
use xmpp::jingle::{GroupSemantics, Source, SsrcGroup};

/// A source with the medium that it was signaled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointSource {
    pub(crate) media_type: MediaType,
    pub(crate) source: Source,
}

/// The sources and groups of one endpoint, in the order of signaling. A handful each: searched, not hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointSourceSet {
    pub(crate) sources: Vec<EndpointSource>,
    pub(crate) groups: Vec<(MediaType, SsrcGroup)>,
}

impl EndpointSourceSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.groups.is_empty()
    }

    pub(crate) fn get(&self, ssrc: Ssrc) -> Option<&EndpointSource> {
        self.sources.iter().find(|known| known.source.ssrc == ssrc)
    }

    pub(crate) fn contains(&self, ssrc: Ssrc) -> bool {
        self.get(ssrc).is_some()
    }

    /// What is here and not in `other`: sources by SSRC, groups by value.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self {
            sources: self.sources.iter().filter(|known| !other.contains(known.source.ssrc)).cloned().collect(),
            groups: self.groups.iter().filter(|group| !other.groups.contains(group)).cloned().collect(),
        }
    }

    /// What a receiver sees that takes only these kinds of media.
    pub(crate) fn of_media(&self, takes: impl Fn(MediaType) -> bool) -> Self {
        Self {
            sources: self.sources.iter().filter(|known| takes(known.media_type)).cloned().collect(),
            groups: self.groups.iter().filter(|(media_type, _)| takes(*media_type)).cloned().collect(),
        }
    }

    /// What a receiver sees of simulcast: the first SSRC of each group and its retransmissions. The bridge sends every
    /// layer under these.
    pub(crate) fn without_simulcast(&self) -> Self {
        let mut hidden = BTreeSet::new();
        for (_, group) in self.groups.iter().filter(|(_, group)| group.semantics == GroupSemantics::Sim) {
            hidden.extend(group.ssrcs.iter().skip(1).copied());
        }
        for (_, group) in self.groups.iter().filter(|(_, group)| group.semantics == GroupSemantics::Fid) {
            if group.ssrcs.first().is_some_and(|primary| hidden.contains(primary)) {
                hidden.extend(group.ssrcs.iter().skip(1).copied());
            }
        }
        let is_visible = |group: &SsrcGroup| {
            group.semantics != GroupSemantics::Sim && !group.ssrcs.iter().any(|ssrc| hidden.contains(ssrc))
        };
        Self {
            sources: self.sources.iter().filter(|known| !hidden.contains(&known.source.ssrc)).cloned().collect(),
            groups: self.groups.iter().filter(|(_, group)| is_visible(group)).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ssrcs: &[u32], groups: &[(GroupSemantics, &[u32])]) -> EndpointSourceSet {
        let source = |&ssrc: &u32| EndpointSource { media_type: MediaType::Video, source: Source::new(Ssrc(ssrc)) };
        let group = |&(semantics, ssrcs): &(GroupSemantics, &[u32])| {
            (MediaType::Video, SsrcGroup { semantics, ssrcs: ssrcs.iter().copied().map(Ssrc).collect() })
        };
        EndpointSourceSet { sources: ssrcs.iter().map(source).collect(), groups: groups.iter().map(group).collect() }
    }

    #[test]
    fn shows_the_first_layer_with_its_retransmissions_only() {
        use GroupSemantics::{Fid, Sim};
        let sent = set(
            &[1, 2, 3, 11, 12, 13, 7, 17],
            &[(Sim, &[1, 2, 3]), (Fid, &[1, 11]), (Fid, &[2, 12]), (Fid, &[3, 13]), (Fid, &[7, 17])],
        );
        assert_eq!(sent.without_simulcast(), set(&[1, 11, 7, 17], &[(Fid, &[1, 11]), (Fid, &[7, 17])]));
    }

    #[test]
    fn the_difference_is_by_ssrc_and_by_group() {
        use GroupSemantics::Fid;
        let (before, after) = (set(&[1, 2], &[(Fid, &[1, 2])]), set(&[2, 3], &[]));
        assert_eq!(after.minus(&before), set(&[3], &[]));
        assert_eq!(before.minus(&after), set(&[1], &[(Fid, &[1, 2])]));
        assert!(before.minus(&before).is_empty());
    }
}
