//! All sources of a conference, and the rules for adding to them (`jicofo: ValidatingConferenceSourceMap.kt`).

use std::collections::{BTreeMap, HashMap};

use model::{EndpointId, MediaType, SourceName, Ssrc};
use xmpp::jingle::{GroupSemantics, SsrcGroup};

use super::EndpointSourceSet;

/// How much one participant may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceLimits {
    pub(crate) ssrcs: usize,
    pub(crate) groups: usize,
}

/// A rule that a change breaks. The texts are those of Jicofo, as clients and operators know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValidationFailed {
    #[error("SSRC limit ({0}) exceeded.")]
    SsrcLimitExceeded(usize),
    #[error("ssrc-group limit ({0}) exceeded.")]
    SsrcGroupLimitExceeded(usize),
    #[error("SSRC is already used: {0}.")]
    SsrcAlreadyUsed(Ssrc),
    #[error("MSID is already used: {0}.")]
    MsidConflict(String),
    #[error("Required source parameter 'msid' is not present.")]
    RequiredParameterMissing,
    #[error("SsrcGroup contains sources with different MSIDs: {0}.")]
    GroupMsidMismatch(String),
    #[error("An SSRC group contains an SSRC, which hasn't been signaled as a source: {0}.")]
    GroupContainsUnknownSource(String),
    #[error("Invalid FID group: {0}.")]
    InvalidFidGroup(String),
    #[error("Source name does not belong to the endpoint: {0}.")]
    ForeignSourceName(SourceName),
    #[error("Source does not exist or is not owned by endpoint (ssrc={0}).")]
    SourceDoesNotExist(Ssrc),
    #[error("Source group does not exist")]
    SourceGroupDoesNotExist,
}

/// The sources of every endpoint of a conference.
#[derive(Debug)]
pub(crate) struct ValidatingConferenceSourceMap {
    limits: SourceLimits,
    by_endpoint: BTreeMap<EndpointId, EndpointSourceSet>,
    ssrc_owners: HashMap<Ssrc, EndpointId>,
    msid_owners: HashMap<String, EndpointId>,
}

impl ValidatingConferenceSourceMap {
    pub(crate) fn new(limits: SourceLimits) -> Self {
        Self { limits, by_endpoint: BTreeMap::new(), ssrc_owners: HashMap::new(), msid_owners: HashMap::new() }
    }

    pub(crate) fn get(&self, endpoint: &EndpointId) -> Option<&EndpointSourceSet> {
        self.by_endpoint.get(endpoint)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&EndpointId, &EndpointSourceSet)> {
        self.by_endpoint.iter()
    }

    /// Whether an SSRC is somebody's.
    pub(crate) fn has_ssrc(&self, ssrc: Ssrc) -> bool {
        self.ssrc_owners.contains_key(&ssrc)
    }

    /// Adds sources if all of them may be added, and answers what is new. Nothing changes on failure.
    pub(crate) fn try_to_add(
        &mut self,
        owner: &EndpointId,
        wanted: EndpointSourceSet,
    ) -> Result<EndpointSourceSet, ValidationFailed> {
        let before = self.by_endpoint.get(owner).cloned().unwrap_or_default();
        let mut after = before.clone();
        for new in wanted.sources {
            if self.ssrc_owners.contains_key(&new.source.ssrc) || after.contains(new.source.ssrc) {
                return Err(ValidationFailed::SsrcAlreadyUsed(new.source.ssrc));
            }
            if after.sources.len() >= self.limits.ssrcs {
                return Err(ValidationFailed::SsrcLimitExceeded(self.limits.ssrcs));
            }
            if let Some(msid) = &new.source.msid
                && self.msid_owners.get(msid).is_some_and(|known| known != owner)
            {
                return Err(ValidationFailed::MsidConflict(msid.clone()));
            }
            if let Some(name) = new.source.name.as_ref().filter(|name| !belongs_to(name, owner)) {
                return Err(ValidationFailed::ForeignSourceName(name.clone()));
            }
            after.sources.push(new);
        }
        for new in wanted.groups {
            if new.1.ssrcs.is_empty() || after.groups.contains(&new) {
                continue;
            }
            if after.groups.len() >= self.limits.groups {
                return Err(ValidationFailed::SsrcGroupLimitExceeded(self.limits.groups));
            }
            after.groups.push(new);
        }
        check_groups(&after)?;
        let added = after.minus(&before);
        self.ssrc_owners.extend(added.sources.iter().map(|new| (new.source.ssrc, owner.clone())));
        self.store(owner, after);
        Ok(added)
    }

    /// Removes sources by SSRC if the endpoint has all of them, with the groups that lose a member, and answers what is
    /// gone. Nothing changes on failure.
    pub(crate) fn try_to_remove(
        &mut self,
        owner: &EndpointId,
        unwanted: &EndpointSourceSet,
    ) -> Result<EndpointSourceSet, ValidationFailed> {
        let before = self.by_endpoint.get(owner).cloned().unwrap_or_default();
        let mut after = before.clone();
        for gone in &unwanted.sources {
            let ssrc = gone.source.ssrc;
            if !before.contains(ssrc) {
                return Err(ValidationFailed::SourceDoesNotExist(ssrc));
            }
            after.sources.retain(|known| known.source.ssrc != ssrc);
        }
        for gone in unwanted.groups.iter().filter(|(_, group)| !group.ssrcs.is_empty()) {
            if !before.groups.contains(gone) {
                return Err(ValidationFailed::SourceGroupDoesNotExist);
            }
            after.groups.retain(|known| known != gone);
        }
        let sources = std::mem::take(&mut after.sources);
        let is_left = |ssrc: &Ssrc| sources.iter().any(|known| known.source.ssrc == *ssrc);
        after.groups.retain(|(_, group)| group.ssrcs.iter().all(is_left));
        after.sources = sources;
        let removed = before.minus(&after);
        self.forget(&removed);
        self.store(owner, after);
        Ok(removed)
    }

    /// Forgets an endpoint and answers what it had.
    pub(crate) fn remove_endpoint(&mut self, owner: &EndpointId) -> Option<EndpointSourceSet> {
        let removed = self.by_endpoint.remove(owner)?;
        self.forget(&removed);
        self.msid_owners.retain(|_, known| known != owner);
        Some(removed)
    }

    fn forget(&mut self, removed: &EndpointSourceSet) {
        for gone in &removed.sources {
            self.ssrc_owners.remove(&gone.source.ssrc);
        }
    }

    fn store(&mut self, owner: &EndpointId, after: EndpointSourceSet) {
        self.msid_owners.retain(|_, known| known != owner);
        let msids = after.sources.iter().filter_map(|known| known.source.msid.clone());
        self.msid_owners.extend(msids.map(|msid| (msid, owner.clone())));
        if after.is_empty() {
            self.by_endpoint.remove(owner);
        } else {
            self.by_endpoint.insert(owner.clone(), after);
        }
    }
}

/// Clients name a source `<endpoint id>-<kind and index>`; a name of somebody else would redirect what is said of it.
fn belongs_to(name: &SourceName, owner: &EndpointId) -> bool {
    name.as_str().strip_prefix(owner.as_str()).is_some_and(|rest| rest.starts_with('-'))
}

/// The rules for groups, over everything that an endpoint would have.
fn check_groups(set: &EndpointSourceSet) -> Result<(), ValidationFailed> {
    // Which group set an msid belongs to, by medium: sources of one group set are joined by their groups.
    let mut msid_of_set: BTreeMap<(MediaType, &str), Ssrc> = BTreeMap::new();
    for (media_type, group) in &set.groups {
        let members: Option<Vec<_>> =
            group.ssrcs.iter().map(|&ssrc| set.get(ssrc).filter(|known| known.media_type == *media_type)).collect();
        let Some(members) = members else {
            return Err(ValidationFailed::GroupContainsUnknownSource(text(group)));
        };
        if group.semantics == GroupSemantics::Fid && group.ssrcs.len() != 2 {
            return Err(ValidationFailed::InvalidFidGroup(text(group)));
        }
        let msids: Option<Vec<&str>> = members.iter().map(|known| known.source.msid.as_deref()).collect();
        let Some(msids) = msids else { return Err(ValidationFailed::RequiredParameterMissing) };
        let Some((first, rest)) = msids.split_first() else { continue };
        if rest.iter().any(|msid| msid != first) {
            return Err(ValidationFailed::GroupMsidMismatch(text(group)));
        }
        let root = root_of(set, *media_type, group);
        if *msid_of_set.entry((*media_type, first)).or_insert(root) != root {
            return Err(ValidationFailed::MsidConflict((*first).to_owned()));
        }
    }
    // A source outside of every group stands for itself.
    for alone in &set.sources {
        let ssrc = alone.source.ssrc;
        let is_grouped = set.groups.iter().any(|(_, group)| group.ssrcs.contains(&ssrc));
        if is_grouped {
            continue;
        }
        if let Some(msid) = &alone.source.msid
            && *msid_of_set.entry((alone.media_type, msid)).or_insert(ssrc) != ssrc
        {
            return Err(ValidationFailed::MsidConflict(msid.clone()));
        }
    }
    Ok(())
}

/// The SSRC that stands for a group set: the first of the simulcast group that the group hangs on, or its own first.
fn root_of(set: &EndpointSourceSet, media_type: MediaType, group: &SsrcGroup) -> Ssrc {
    let own = group.ssrcs.first().copied().unwrap_or(Ssrc(0));
    let simulcast = set.groups.iter().find(|(known_type, known)| {
        *known_type == media_type && known.semantics == GroupSemantics::Sim && known.ssrcs.contains(&own)
    });
    simulcast.and_then(|(_, simulcast)| simulcast.ssrcs.first().copied()).unwrap_or(own)
}

fn text(group: &SsrcGroup) -> String {
    let ssrcs: Vec<String> = group.ssrcs.iter().map(Ssrc::to_string).collect();
    format!("[{}]", ssrcs.join(", "))
}

#[cfg(test)]
mod tests {
    use xmpp::jingle::Source;

    use super::super::EndpointSource;
    use super::*;

    fn map() -> ValidatingConferenceSourceMap {
        ValidatingConferenceSourceMap::new(SourceLimits { ssrcs: 20, groups: 20 })
    }

    fn id(text: &str) -> EndpointId {
        text.parse().unwrap()
    }

    fn video(sources: &[(u32, &str)], groups: &[(GroupSemantics, &[u32])]) -> EndpointSourceSet {
        of_media(MediaType::Video, sources, groups)
    }

    fn of_media(
        media_type: MediaType,
        sources: &[(u32, &str)],
        groups: &[(GroupSemantics, &[u32])],
    ) -> EndpointSourceSet {
        let source = |&(ssrc, msid): &(u32, &str)| {
            let mut source = Source::new(Ssrc(ssrc));
            source.msid = (!msid.is_empty()).then(|| msid.to_owned());
            EndpointSource { media_type, source }
        };
        let group = |&(semantics, ssrcs): &(GroupSemantics, &[u32])| {
            (media_type, SsrcGroup { semantics, ssrcs: ssrcs.iter().copied().map(Ssrc).collect() })
        };
        EndpointSourceSet { sources: sources.iter().map(source).collect(), groups: groups.iter().map(group).collect() }
    }

    /// What a browser sends: three layers, each with retransmissions, under one msid.
    fn simulcast() -> EndpointSourceSet {
        use GroupSemantics::{Fid, Sim};
        let sources: Vec<(u32, &str)> = [1, 2, 3, 11, 12, 13].map(|ssrc| (ssrc, "s t")).to_vec();
        video(&sources, &[(Sim, &[1, 2, 3]), (Fid, &[1, 11]), (Fid, &[2, 12]), (Fid, &[3, 13])])
    }

    fn refused(set: EndpointSourceSet) -> String {
        let mut map = map();
        let error = map.try_to_add(&id("a"), set).unwrap_err().to_string();
        assert!(map.get(&id("a")).is_none(), "nothing is applied");
        error
    }

    #[test]
    fn takes_what_a_browser_sends_once() {
        let mut map = map();
        assert_eq!(map.try_to_add(&id("a"), simulcast()), Ok(simulcast()));
        let audio = of_media(MediaType::Audio, &[(5, "s t")], &[]);
        assert_eq!(map.try_to_add(&id("a"), audio.clone()), Ok(audio), "audio and video may share an msid");
        assert_eq!(map.try_to_add(&id("b"), simulcast()), Err(ValidationFailed::SsrcAlreadyUsed(Ssrc(1))));
        assert_eq!(map.try_to_add(&id("a"), simulcast()), Err(ValidationFailed::SsrcAlreadyUsed(Ssrc(1))));
    }

    #[test]
    fn keeps_the_limits_of_a_participant() {
        let sources: Vec<(u32, &str)> = (1..=21).map(|ssrc| (ssrc, "")).collect();
        assert_eq!(refused(video(&sources, &[])), "SSRC limit (20) exceeded.");
        let mut map = ValidatingConferenceSourceMap::new(SourceLimits { ssrcs: 20, groups: 1 });
        let set = video(
            &[(1, "a"), (2, "a"), (3, "b"), (4, "b")],
            &[(GroupSemantics::Fid, &[1, 2]), (GroupSemantics::Fid, &[3, 4])],
        );
        let error = map.try_to_add(&id("a"), set).unwrap_err();
        assert_eq!(error.to_string(), "ssrc-group limit (1) exceeded.");
    }

    #[test]
    fn an_msid_belongs_to_one_endpoint_and_one_group_set() {
        let mut map = map();
        map.try_to_add(&id("a"), video(&[(1, "m")], &[])).unwrap();
        let taken = map.try_to_add(&id("b"), video(&[(2, "m")], &[])).unwrap_err();
        assert_eq!(taken.to_string(), "MSID is already used: m.");
        assert_eq!(refused(video(&[(1, "m"), (2, "m")], &[])), "MSID is already used: m.");
        map.try_to_remove(&id("a"), &video(&[(1, "")], &[])).unwrap();
        assert!(map.try_to_add(&id("b"), video(&[(2, "m")], &[])).is_ok());
    }

    #[test]
    fn groups_are_made_of_declared_sources_with_one_msid() {
        use GroupSemantics::Fid;
        assert_eq!(
            refused(video(&[(1, ""), (2, "")], &[(Fid, &[1, 2])])),
            "Required source parameter 'msid' is not present."
        );
        assert_eq!(
            refused(video(&[(1, "m"), (2, "n")], &[(Fid, &[1, 2])])),
            "SsrcGroup contains sources with different MSIDs: [1, 2]."
        );
        assert_eq!(
            refused(video(&[(1, "m")], &[(Fid, &[1, 2])])),
            "An SSRC group contains an SSRC, which hasn't been signaled as a source: [1, 2]."
        );
        assert_eq!(refused(video(&[(1, "m")], &[(Fid, &[1])])), "Invalid FID group: [1].");
    }

    #[test]
    fn empty_and_repeated_groups_are_ignored() {
        use GroupSemantics::Fid;
        let set = video(&[(1, "m"), (2, "m")], &[(Fid, &[]), (Fid, &[1, 2]), (Fid, &[1, 2])]);
        assert_eq!(map().try_to_add(&id("a"), set), Ok(video(&[(1, "m"), (2, "m")], &[(Fid, &[1, 2])])));
    }

    #[test]
    fn a_source_is_named_after_its_endpoint() {
        let mut set = video(&[(1, "m")], &[]);
        set.sources.first_mut().unwrap().source.name = Some("b-v0".parse().unwrap());
        assert_eq!(refused(set), "Source name does not belong to the endpoint: b-v0.");
    }

    #[test]
    fn removal_is_by_ssrc_and_takes_groups_along() {
        let mut map = map();
        map.try_to_add(&id("a"), simulcast()).unwrap();
        let unknown = map.try_to_remove(&id("a"), &video(&[(99, "")], &[])).unwrap_err();
        assert_eq!(unknown.to_string(), "Source does not exist or is not owned by endpoint (ssrc=99).");
        let foreign = map.try_to_remove(&id("b"), &video(&[(1, "")], &[])).unwrap_err();
        assert_eq!(foreign, ValidationFailed::SourceDoesNotExist(Ssrc(1)));
        let group = video(&[], &[(GroupSemantics::Fid, &[1, 12])]);
        assert_eq!(map.try_to_remove(&id("a"), &group).unwrap_err().to_string(), "Source group does not exist");
        let everything: Vec<(u32, &str)> = [1, 2, 3, 11, 12, 13].map(|ssrc| (ssrc, "")).to_vec();
        assert_eq!(map.try_to_remove(&id("a"), &video(&everything, &[])), Ok(simulcast()));
        assert_eq!(map.get(&id("a")), None);
        assert!(map.try_to_add(&id("b"), simulcast()).is_ok());
    }

    #[test]
    fn an_endpoint_leaves_nothing_behind() {
        let mut map = map();
        map.try_to_add(&id("a"), simulcast()).unwrap();
        assert_eq!(map.remove_endpoint(&id("a")), Some(simulcast()));
        assert_eq!(map.remove_endpoint(&id("a")), None);
        assert!(map.try_to_add(&id("b"), simulcast()).is_ok());
    }
}
