//! Which bridges conferences get, and when they change them.

use std::str::FromStr;
use std::time::Duration;

/// How the bridges of a conference are chosen (`bridge.selection-strategy`). But for the first, all of them use more than one
/// bridge where cascading is on; else a conference stays on the one that its first endpoint got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionStrategy {
    /// The least loaded in the endpoint's region, else the least loaded; then always that one
    /// (`SingleBridgeSelectionStrategy`).
    #[default]
    SingleBridge,
    /// One that is not overloaded in the region, else in its group, else anywhere, those that the conference has before others;
    /// who comes from elsewhere in the group of the focus, or from where no bridge is, gets one near the focus
    /// (`RegionBasedBridgeSelectionStrategy`).
    RegionBased,
    /// One that is not overloaded in the region, else the least loaded; then others in the region of the first
    /// (`IntraRegionBridgeSelectionStrategy`).
    IntraRegion,
    /// One that the conference does not have, else the one with the fewest of its endpoints: for tests
    /// (`SplitBridgeSelectionStrategy`).
    SplitBridge,
    /// Visitors and participants have bridges of their own, each by a strategy of their own (`VisitorSelectionStrategy`).
    Visitor,
}

impl SelectionStrategy {
    const ALL: [(Self, &'static str); 5] = [
        (Self::SingleBridge, "SingleBridge"),
        (Self::RegionBased, "RegionBasedBridge"),
        (Self::IntraRegion, "IntraRegionBridge"),
        (Self::SplitBridge, "SplitBridge"),
        (Self::Visitor, "Visitor"),
    ];

    /// The name of jicofo's class.
    #[must_use]
    pub fn class_name(self) -> String {
        let name = Self::ALL.iter().find(|(known, _)| *known == self).map_or("SingleBridge", |&(_, name)| name);
        format!("{name}SelectionStrategy")
    }
}

/// A name that is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is none of SingleBridgeSelectionStrategy, RegionBasedBridgeSelectionStrategy, IntraRegionBridgeSelectionStrategy, \
     SplitBridgeSelectionStrategy, VisitorSelectionStrategy"
)]
pub struct UnknownStrategy;

impl FromStr for SelectionStrategy {
    type Err = UnknownStrategy;

    /// Reads the name of jicofo's class, with or without its package.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.rsplit('.').next().unwrap_or(text);
        let known = Self::ALL.iter().find(|(known, _)| known.class_name() == name);
        known.map(|&(strategy, _)| strategy).ok_or(UnknownStrategy)
    }
}

/// How the bridges of a conference are linked (`bridge.topology-strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopologyStrategy {
    /// Each with each other.
    #[default]
    SingleMesh,
    /// Those of participants each with each other; those of visitors hang on one of these, or on each other, as a tree.
    Visitor,
}

/// A name that is no topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither SingleMeshTopologyStrategy nor VisitorTopologyStrategy")]
pub struct UnknownTopology;

impl FromStr for TopologyStrategy {
    type Err = UnknownTopology;

    /// Reads the name of jicofo's class, with or without its package.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit('.').next().unwrap_or(text) {
            "SingleMeshTopologyStrategy" => Ok(Self::SingleMesh),
            "VisitorTopologyStrategy" => Ok(Self::Visitor),
            _ => Err(UnknownTopology),
        }
    }
}

/// Where things are, and who goes where.
#[derive(Clone, Debug)]
pub struct SelectionSettings {
    /// How bridges are chosen.
    pub strategy: SelectionStrategy,
    /// With [`SelectionStrategy::Visitor`], for participants (`bridge.participant-selection-strategy`).
    pub participant_strategy: SelectionStrategy,
    /// With [`SelectionStrategy::Visitor`], for visitors (`bridge.visitor-selection-strategy`).
    pub visitor_strategy: SelectionStrategy,
    /// How they are linked (`bridge.topology-strategy`).
    pub topology: TopologyStrategy,
    /// Whether a conference may have several bridges, which relay to each other (`octo.enabled`).
    pub cascading: bool,
    /// Whether they may be of different versions (`octo.allow-mixed-versions`).
    pub allow_mixed_versions: bool,
    /// Whether they talk to each other over data channels rather than WebSockets (`octo.sctp-datachannels`).
    pub relay_sctp: bool,
    /// Regions that are near each other (`bridge.region-groups`).
    pub region_groups: Vec<Vec<String>>,
    /// Where the focus is (`local-region`).
    pub local_region: Option<String>,
}

impl Default for SelectionSettings {
    fn default() -> Self {
        Self {
            strategy: SelectionStrategy::default(),
            participant_strategy: SelectionStrategy::RegionBased,
            visitor_strategy: SelectionStrategy::RegionBased,
            topology: TopologyStrategy::default(),
            cascading: false,
            allow_mixed_versions: false,
            relay_sctp: true,
            region_groups: Vec::new(),
            local_region: None,
        }
    }
}

impl SelectionSettings {
    /// The regions near one, itself included.
    pub(crate) fn group_of<'a>(&'a self, region: Option<&'a str>) -> Vec<&'a str> {
        let Some(region) = region else { return Vec::new() };
        let mut groups = self.region_groups.iter().filter(|group| group.iter().any(|known| known == region));
        groups.next().map_or_else(|| vec![region], |group| group.iter().map(String::as_str).collect())
    }

    /// Whether a conference may get more bridges than one.
    pub(crate) fn uses_several(&self) -> bool {
        self.cascading && self.strategy != SelectionStrategy::SingleBridge
    }
}

/// Reads groups of regions as docker-jitsi-meet has them: lists in brackets, `["eu-west","eu-north"],["us"]`, quotes as one
/// likes. `None` when it is not that.
#[must_use]
pub fn region_groups(text: &str) -> Option<Vec<Vec<String>>> {
    let mut groups = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (group, after) = rest.strip_prefix('[')?.split_once(']')?;
        let regions = group.split(',').map(|region| region.trim().trim_matches(['"', '\'']).to_owned());
        let regions: Vec<String> = regions.collect();
        if regions.iter().any(|region| region.is_empty() || region.contains(['[', '"', '\''])) {
            return None;
        }
        groups.push(regions);
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
            if rest.is_empty() {
                return None;
            }
        }
    }
    Some(groups)
}

/// How bridges are judged (`bridge.*`).
#[derive(Clone, Copy, Debug)]
pub struct BridgeSettings {
    /// A bridge with this load or more is overloaded (`stress-threshold`).
    pub stress_threshold: f64,
    /// What an endpoint adds to the load until a bridge says otherwise (`average-participant-stress`).
    pub average_participant_stress: f64,
    /// How long a new endpoint is not yet in the load that a bridge reports (`participant-rampup-interval`).
    pub participant_rampup: Duration,
    /// A bridge with so many endpoints of a conference gets no more of that one while there are others; `None` for no limit
    /// (`max-bridge-participants`).
    pub max_participants: Option<usize>,
    /// The same for those that the conference added within `participants_interval`
    /// (`max-bridge-participants-per-interval`).
    pub max_participants_per_interval: Option<usize>,
    /// The time that `max_participants_per_interval` is about (`max-bridge-participants-interval`).
    pub participants_interval: Duration,
    /// How long a failure is remembered (`failure-reset-threshold`).
    pub failure_reset: Duration,
    /// Whether bridges are told from each other by how often ICE fails there.
    pub ice_failure_detection: IceFailureDetection,
}

/// A bridge on which ICE fails often counts as overloaded (`bridge.ice-failure-detection.*`).
#[derive(Clone, Copy, Debug)]
pub struct IceFailureDetection {
    /// `enabled`.
    pub is_enabled: bool,
    /// How long a report counts (`interval`).
    pub interval: Duration,
    /// Bridges with fewer endpoints are not judged (`min-endpoints`).
    pub min_endpoints: usize,
    /// The share of endpoints that may report a failure (`threshold`).
    pub threshold: f64,
    /// How long a bridge counts as failing (`timeout`).
    pub timeout: Duration,
}

/// When endpoints change their bridge without need (`bridge.load-redistribution.*`).
#[derive(Clone, Copy, Debug)]
pub struct LoadRedistribution {
    /// Whether bridges with too much load give some away (`enabled`).
    pub is_enabled: bool,
    /// How often loads are looked at (`interval`).
    pub interval: Duration,
    /// From which load on a bridge gives endpoints away (`stress-threshold`).
    pub stress_threshold: f64,
    /// How long it then keeps what it has (`timeout`).
    pub timeout: Duration,
    /// How many it gives away at a time (`endpoints`).
    pub endpoints: usize,
    /// Whether a bridge that drains gives away what it has; jicofo lets it keep that.
    pub drains: bool,
}

impl Default for LoadRedistribution {
    fn default() -> Self {
        Self {
            is_enabled: false,
            interval: Duration::from_secs(60),
            stress_threshold: 0.9,
            timeout: Duration::from_secs(180),
            endpoints: 10,
            drains: true,
        }
    }
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            stress_threshold: 0.8,
            average_participant_stress: 0.01,
            participant_rampup: Duration::from_secs(20),
            max_participants: Some(80),
            max_participants_per_interval: None,
            participants_interval: Duration::from_secs(60),
            failure_reset: Duration::from_secs(60),
            ice_failure_detection: IceFailureDetection {
                is_enabled: false,
                interval: Duration::from_secs(120),
                min_endpoints: 30,
                threshold: 0.1,
                timeout: Duration::from_secs(600),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_have_the_names_of_jicofos_classes() {
        let read = |text: &str| text.parse::<SelectionStrategy>();
        for (strategy, _) in SelectionStrategy::ALL {
            assert_eq!(read(&strategy.class_name()), Ok(strategy));
        }
        assert_eq!(
            read("org.jitsi.jicofo.bridge.IntraRegionBridgeSelectionStrategy"),
            Ok(SelectionStrategy::IntraRegion)
        );
        assert_eq!(read("RegionBased"), Err(UnknownStrategy));
        let read = |text: &str| text.parse::<TopologyStrategy>();
        assert_eq!(read("SingleMeshTopologyStrategy"), Ok(TopologyStrategy::SingleMesh));
        assert_eq!(read("org.jitsi.jicofo.bridge.VisitorTopologyStrategy"), Ok(TopologyStrategy::Visitor));
        assert_eq!(read("StarTopologyStrategy"), Err(UnknownTopology));
    }

    #[test]
    fn reads_groups_of_regions() {
        let groups = |text| region_groups(text).map(|groups| groups.iter().map(|group| group.join("+")).collect());
        let some = |groups: &[&str]| Some(groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
        assert_eq!(groups(r#"["eu-west", "eu-north"], ["us"]"#), some(&["eu-west+eu-north", "us"]));
        assert_eq!(groups("[a,b],[c]"), some(&["a+b", "c"]));
        assert_eq!(groups(""), some(&[]));
        for bad in ["a,b", "[a", "[]", "[a],", "[a][b]", "[[a]]", "[a,,b]"] {
            assert_eq!(region_groups(bad), None, "{bad}");
        }
    }
}
