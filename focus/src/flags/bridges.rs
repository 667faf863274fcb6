//! What an operator says about bridges, under the names of docker-jitsi-meet where it has one.

use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use xmpp::Jid;

use super::parse_time;
use crate::settings::{SelectionStrategy, Settings, TopologyStrategy, region_groups};

/// Which bridges conferences get, and when they change them.
#[derive(Clone, Debug, clap::Args)]
pub struct BridgeChoiceFlags {
    /// Whether a conference may have several bridges, which relay to each other; by --bridge-selection-strategy it does.
    #[arg(long, env = "ENABLE_OCTO", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub enable_octo: bool,
    /// How bridges are chosen: SingleBridgeSelectionStrategy, RegionBasedBridgeSelectionStrategy,
    /// IntraRegionBridgeSelectionStrategy, SplitBridgeSelectionStrategy or VisitorSelectionStrategy.
    #[arg(
        long,
        env = "OCTO_BRIDGE_SELECTION_STRATEGY",
        default_value = "SingleBridgeSelectionStrategy",
        value_name = "NAME"
    )]
    pub bridge_selection_strategy: SelectionStrategy,
    /// With VisitorSelectionStrategy, how bridges are chosen for participants.
    #[arg(
        long,
        env = "TERANGA_PARTICIPANT_SELECTION_STRATEGY",
        default_value = "RegionBasedBridgeSelectionStrategy",
        value_name = "NAME"
    )]
    pub participant_selection_strategy: SelectionStrategy,
    /// With VisitorSelectionStrategy, how bridges are chosen for visitors.
    #[arg(
        long,
        env = "TERANGA_VISITOR_SELECTION_STRATEGY",
        default_value = "RegionBasedBridgeSelectionStrategy",
        value_name = "NAME"
    )]
    pub visitor_selection_strategy: SelectionStrategy,
    /// How the bridges of a conference are linked: SingleMeshTopologyStrategy, each with each other, or
    /// VisitorTopologyStrategy, those of visitors as a tree behind those of participants.
    #[arg(long, env = "TERANGA_TOPOLOGY_STRATEGY", default_value = "SingleMeshTopologyStrategy", value_name = "NAME")]
    pub topology_strategy: TopologyStrategy,
    /// Regions that are near each other, in brackets: ["eu-west","eu-north"],["us-east"]
    #[arg(long, env = "JICOFO_BRIDGE_REGION_GROUPS", value_name = "GROUPS", value_parser = parse_groups)]
    pub bridge_region_groups: Option<RegionGroups>,
    /// Region of the focus, for participants who say none and where none of their bridges is near.
    #[arg(long, env = "JICOFO_OCTO_REGION", value_name = "REGION")]
    pub local_region: Option<String>,
    /// Whether bridges of different versions may share a conference.
    #[arg(long, env = "TERANGA_ALLOW_MIXED_VERSIONS", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub allow_mixed_versions: bool,
    /// Whether bridges talk to each other over data channels rather than WebSockets.
    #[arg(long, env = "TERANGA_RELAY_SCTP", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub relay_sctp: bool,
    /// More rooms in which bridges announce themselves, beside jvbbrewery@internal-muc.DOMAIN, separated by commas.
    #[arg(long, env = "TERANGA_MORE_BREWERIES", value_delimiter = ',', value_name = "ROOM@DOMAIN")]
    pub more_breweries: Vec<Jid>,
    /// A bridge with so many endpoints of a conference gets no more of that one while there are others; 0 for no limit.
    #[arg(long, env = "MAX_BRIDGE_PARTICIPANTS", default_value_t = 80, value_name = "NUMBER")]
    pub max_bridge_participants: usize,
    /// The same for endpoints that the conference added within --max-bridge-participants-interval; 0 for no limit.
    #[arg(long, env = "TERANGA_MAX_BRIDGE_PARTICIPANTS_PER_INTERVAL", default_value_t = 0, value_name = "NUMBER")]
    pub max_bridge_participants_per_interval: usize,
    /// The time that --max-bridge-participants-per-interval is about.
    #[arg(long, env = "TERANGA_MAX_BRIDGE_PARTICIPANTS_INTERVAL", default_value = "1m", value_parser = parse_time, value_name = "TIME")]
    pub max_bridge_participants_interval: Duration,
    /// What an endpoint adds to the load of a bridge until the bridge says otherwise.
    #[arg(long, env = "BRIDGE_AVG_PARTICIPANT_STRESS", default_value_t = 0.01, value_parser = parse_share, value_name = "LOAD")]
    pub bridge_average_participant_stress: f64,
    /// From which load on a bridge is overloaded.
    #[arg(long, env = "BRIDGE_STRESS_THRESHOLD", default_value_t = 0.8, value_parser = parse_share, value_name = "LOAD")]
    pub bridge_stress_threshold: f64,
    /// How long a new endpoint is not yet in the load that a bridge reports.
    #[arg(long, env = "TERANGA_PARTICIPANT_RAMPUP", default_value = "20s", value_parser = parse_time, value_name = "TIME")]
    pub participant_rampup: Duration,
    /// How long a failure of a bridge is remembered.
    #[arg(long, env = "TERANGA_BRIDGE_FAILURE_RESET", default_value = "1m", value_parser = parse_time, value_name = "TIME")]
    pub bridge_failure_reset: Duration,
    /// Whether bridges are asked how they are.
    #[arg(long, env = "JICOFO_ENABLE_BRIDGE_HEALTH_CHECKS", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub bridge_health_checks: bool,
    /// How often.
    #[arg(long, env = "TERANGA_BRIDGE_HEALTH_INTERVAL", default_value = "10s", value_parser = parse_time, value_name = "TIME")]
    pub bridge_health_interval: Duration,
    /// Whether they are believed rather than asked.
    #[arg(long, env = "JICOFO_HEALTH_CHECKS_USE_PRESENCE", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub bridge_health_by_presence: bool,
    /// How long a bridge may be silent that is believed.
    #[arg(long, env = "TERANGA_BRIDGE_PRESENCE_TIMEOUT", default_value = "45s", value_parser = parse_time, value_name = "TIME")]
    pub bridge_presence_timeout: Duration,
    /// Whether a bridge on which ICE fails often gets no more endpoints while there are others.
    #[arg(long, env = "JICOFO_ENABLE_ICE_FAILURE_DETECTION", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub ice_failure_detection: bool,
    /// How long a failure of ICE counts.
    #[arg(long, env = "JICOFO_ICE_FAILURE_INTERVAL", default_value = "2m", value_parser = parse_time, value_name = "TIME")]
    pub ice_failure_interval: Duration,
    /// Bridges with fewer endpoints are not judged by them.
    #[arg(long, env = "JICOFO_ICE_FAILURE_MIN_ENDPOINTS", default_value_t = 30, value_name = "NUMBER")]
    pub ice_failure_min_endpoints: usize,
    /// The share of endpoints on which ICE may fail.
    #[arg(long, env = "JICOFO_ICE_FAILURE_THRESHOLD", default_value_t = 0.1, value_parser = parse_share, value_name = "SHARE")]
    pub ice_failure_threshold: f64,
    /// How long a bridge counts as one on which ICE fails.
    #[arg(long, env = "TERANGA_ICE_FAILURE_TIMEOUT", default_value = "10m", value_parser = parse_time, value_name = "TIME")]
    pub ice_failure_timeout: Duration,
    /// Whether bridges with too much load give endpoints to others.
    #[arg(long, env = "JICOFO_ENABLE_LOAD_REDISTRIBUTION", default_value_t = false, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub load_redistribution: bool,
    /// How often loads are looked at.
    #[arg(long, env = "TERANGA_LOAD_REDISTRIBUTION_INTERVAL", default_value = "1m", value_parser = parse_time, value_name = "TIME")]
    pub load_redistribution_interval: Duration,
    /// From which load on a bridge gives endpoints away.
    #[arg(long, env = "TERANGA_LOAD_REDISTRIBUTION_THRESHOLD", default_value_t = 0.9, value_parser = parse_share, value_name = "LOAD")]
    pub load_redistribution_threshold: f64,
    /// How long it then keeps what it has.
    #[arg(long, env = "TERANGA_LOAD_REDISTRIBUTION_TIMEOUT", default_value = "3m", value_parser = parse_time, value_name = "TIME")]
    pub load_redistribution_timeout: Duration,
    /// How many it gives away at a time.
    #[arg(long, env = "TERANGA_LOAD_REDISTRIBUTION_ENDPOINTS", default_value_t = 10, value_name = "NUMBER")]
    pub load_redistribution_endpoints: usize,
    /// Whether endpoints leave a bridge that drains; else it only gets no more.
    #[arg(long, env = "TERANGA_DRAIN_MOVES", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub drain_moves: bool,
}

impl BridgeChoiceFlags {
    /// Puts what was said into settings.
    pub(super) fn apply(&self, settings: &mut Settings) {
        let selection = &mut settings.selection;
        selection.cascading = self.enable_octo;
        selection.strategy = self.bridge_selection_strategy;
        selection.participant_strategy = self.participant_selection_strategy;
        selection.visitor_strategy = self.visitor_selection_strategy;
        selection.topology = self.topology_strategy;
        selection.region_groups = self.bridge_region_groups.clone().unwrap_or_default().0;
        selection.local_region.clone_from(&self.local_region);
        selection.allow_mixed_versions = self.allow_mixed_versions;
        selection.relay_sctp = self.relay_sctp;
        settings.more_breweries.clone_from(&self.more_breweries);
        let bridge = &mut settings.bridge;
        let limit = |number: usize| Some(number).filter(|number| *number > 0);
        bridge.max_participants = limit(self.max_bridge_participants);
        bridge.max_participants_per_interval = limit(self.max_bridge_participants_per_interval);
        bridge.participants_interval = self.max_bridge_participants_interval;
        bridge.average_participant_stress = self.bridge_average_participant_stress;
        bridge.stress_threshold = self.bridge_stress_threshold;
        bridge.participant_rampup = self.participant_rampup;
        bridge.failure_reset = self.bridge_failure_reset;
        let ice = &mut bridge.ice_failure_detection;
        ice.is_enabled = self.ice_failure_detection;
        ice.interval = self.ice_failure_interval;
        ice.min_endpoints = self.ice_failure_min_endpoints;
        ice.threshold = self.ice_failure_threshold;
        ice.timeout = self.ice_failure_timeout;
        let redistribution = &mut settings.redistribution;
        redistribution.is_enabled = self.load_redistribution;
        redistribution.interval = self.load_redistribution_interval;
        redistribution.stress_threshold = self.load_redistribution_threshold;
        redistribution.timeout = self.load_redistribution_timeout;
        redistribution.endpoints = self.load_redistribution_endpoints;
        redistribution.drains = self.drain_moves;
        let timers = &mut settings.timers;
        timers.health_check = self.bridge_health_checks.then_some(self.bridge_health_interval);
        let by_presence = self.bridge_health_checks && self.bridge_health_by_presence;
        timers.health_by_presence = by_presence.then_some(self.bridge_presence_timeout);
    }
}

/// Groups of regions, as an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionGroups(Vec<Vec<String>>);

fn parse_groups(text: &str) -> Result<RegionGroups, &'static str> {
    region_groups(text).map(RegionGroups).ok_or("is not of the form [\"region\",\"region\"],[\"region\"]")
}

fn parse_share(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|share: &f64| share.is_finite() && *share >= 0.0).ok_or("is no number from 0")
}
