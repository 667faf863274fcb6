//! What a receiver wants to see, and which of the conference's videos that gives it.
//!
//! Here: the client's constraints and last-N over the sources in order of importance. Not here: bandwidth, and which
//! simulcast layer fulfils a height (`layers`).

use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::bridge_channel::{ReceiverAudioSubscription, ReceiverVideoConstraints, VideoConstraints};
use model::SourceName;

use crate::negotiated::AudioSource;

/// Sources that one client may name in its constraints.
const MAX_NAMED_SOURCES: usize = 2000;
/// Applies to sources that a client does not name, from its first message on (JVB's `default-max-height-px`).
const DEFAULT_MAX_HEIGHT: MaxHeight = MaxHeight(180);

/// The tallest picture that a receiver can use, in lines; 0 for none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MaxHeight(pub(crate) u32);

impl MaxHeight {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const UNLIMITED: Self = Self(u32::MAX);

    /// Negative on the wire means no limit.
    pub(crate) fn of_wire(constraints: VideoConstraints) -> Self {
        u32::try_from(constraints.max_height).map_or(Self::UNLIMITED, Self)
    }

    /// The value of a `SenderSourceConstraints` message: -1 for no limit.
    pub(crate) fn to_wire(self) -> i32 {
        i32::try_from(self.0).unwrap_or(-1)
    }
}

/// Places in a list of sources, the most important first.
type Ranks = BTreeMap<SourceName, usize>;

/// The video constraints of one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Constraints {
    last_n: Option<usize>,
    on_stage: Ranks,
    selected: Ranks,
    default: MaxHeight,
    by_source: BTreeMap<SourceName, MaxHeight>,
    is_initial: bool,
}

impl Default for Constraints {
    /// A client without a bridge channel cannot say what it wants: it gets everything.
    fn default() -> Self {
        Self {
            last_n: None,
            on_stage: Ranks::new(),
            selected: Ranks::new(),
            default: MaxHeight::UNLIMITED,
            by_source: BTreeMap::new(),
            is_initial: true,
        }
    }
}

impl Constraints {
    /// Takes a client's message; what it does not mention stays as it was.
    pub(crate) fn update(&mut self, message: ReceiverVideoConstraints) {
        if self.is_initial {
            self.is_initial = false;
            self.default = DEFAULT_MAX_HEIGHT;
        }
        if let Some(last_n) = message.last_n {
            self.set_last_n(last_n);
        }
        if let Some(on_stage) = message.on_stage_sources {
            self.on_stage = ranks(on_stage);
        }
        if let Some(selected) = message.selected_sources {
            self.selected = ranks(selected);
        }
        if let Some(default) = message.default_constraints {
            self.default = MaxHeight::of_wire(default);
        }
        if let Some(by_source) = message.constraints {
            self.by_source = by_source
                .into_iter()
                .take(MAX_NAMED_SOURCES)
                .map(|(name, constraints)| (name, MaxHeight::of_wire(constraints)))
                .collect();
        }
    }

    /// Negative means no limit (Colibri2 `initial-last-n`, `LastNChangedEvent`).
    pub(crate) fn set_last_n(&mut self, last_n: i32) {
        self.last_n = usize::try_from(last_n).ok();
    }

    /// The videos that the receiver gets, most important first, by their place in `available`, with the height that it
    /// wants of each.
    ///
    /// `available` lists the videos of the others that are being sent, in order of speech activity. Those on stage
    /// come first, then the selected ones, then the rest; last-N counts those that are wanted at all
    /// (bridge.md §4.2 items 1–3).
    pub(crate) fn select(&self, available: &[&SourceName]) -> Vec<(usize, MaxHeight)> {
        let rank = |name: &SourceName| match (self.on_stage.get(name), self.selected.get(name)) {
            (Some(at), _) => (0, *at),
            (None, Some(at)) => (1, *at),
            (None, None) => (2, 0),
        };
        let wanted = available.iter().enumerate().map(|(at, name)| (rank(name), at, self.max_height(name)));
        let mut wanted: Vec<_> = wanted.filter(|(.., max_height)| *max_height != MaxHeight::NOTHING).collect();
        wanted.sort_by_key(|(rank, ..)| *rank);
        wanted.truncate(self.last_n.unwrap_or(usize::MAX));
        wanted.into_iter().map(|(_, at, max_height)| (at, max_height)).collect()
    }

    /// Whether the receiver shows the source large.
    pub(crate) fn is_on_stage(&self, name: &SourceName) -> bool {
        self.on_stage.contains_key(name)
    }

    /// Whether it shows the source large, or has chosen it.
    pub(crate) fn is_on_stage_or_selected(&self, name: &SourceName) -> bool {
        self.is_on_stage(name) || self.selected.contains_key(name)
    }

    /// The sources that it shows large.
    pub(crate) fn on_stage(&self) -> impl Iterator<Item = &SourceName> {
        self.on_stage.keys()
    }

    fn max_height(&self, name: &SourceName) -> MaxHeight {
        self.by_source.get(name).copied().unwrap_or(self.default)
    }
}

/// Of a name that is listed twice the first place counts.
fn ranks(list: Vec<SourceName>) -> Ranks {
    let mut ranks = Ranks::new();
    for (at, name) in list.into_iter().take(MAX_NAMED_SOURCES).enumerate() {
        ranks.entry(name).or_insert(at);
    }
    ranks
}

/// Which audio one receiver wants (bridge.md §4.6): exclusion wins, then inclusion, else `all`.
#[derive(Clone, Debug)]
pub(crate) struct AudioSubscription {
    all: bool,
    include: BTreeSet<SourceName>,
    exclude: BTreeSet<SourceName>,
}

impl Default for AudioSubscription {
    /// A client that does not say hears everybody.
    fn default() -> Self {
        Self { all: true, include: BTreeSet::new(), exclude: BTreeSet::new() }
    }
}

impl AudioSubscription {
    pub(crate) fn new(message: ReceiverAudioSubscription) -> Self {
        let bounded = |list: Vec<SourceName>| list.into_iter().take(MAX_NAMED_SOURCES).collect();
        Self { all: message.all, include: bounded(message.include), exclude: bounded(message.exclude) }
    }

    /// Those that it includes by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &SourceName> {
        self.include.iter()
    }

    /// What nobody sends is wanted by name only.
    pub(crate) fn wants(&self, audio: &AudioSource) -> bool {
        let AudioSource { name, synthetic, .. } = audio;
        !self.exclude.contains(name) && (self.all && !synthetic || self.include.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<SourceName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn height(max_height: i32) -> VideoConstraints {
        VideoConstraints { max_height, max_frame_rate: None }
    }

    fn selected(constraints: &Constraints, available: &[&str]) -> Vec<(String, u32)> {
        let names = names(available);
        let chosen = constraints.select(&names.iter().collect::<Vec<_>>());
        chosen.into_iter().map(|(at, max_height)| (available[at].to_owned(), max_height.0)).collect()
    }

    #[test]
    fn without_a_channel_everything_is_sent() {
        let all = selected(&Constraints::default(), &["a-v0", "b-v0"]);
        assert_eq!(all, [("a-v0".to_owned(), u32::MAX), ("b-v0".to_owned(), u32::MAX)]);
    }

    #[test]
    fn stage_comes_first_and_last_n_cuts() {
        let mut constraints = Constraints::default();
        constraints.update(ReceiverVideoConstraints {
            last_n: Some(2),
            on_stage_sources: Some(names(&["c-v0"])),
            selected_sources: Some(names(&["b-v0"])),
            constraints: Some(BTreeMap::from([("c-v0".parse().unwrap(), height(720))])),
            ..ReceiverVideoConstraints::default()
        });
        let chosen = selected(&constraints, &["a-v0", "b-v0", "c-v0"]);
        assert_eq!(chosen, [("c-v0".to_owned(), 720), ("b-v0".to_owned(), 180)]);
    }

    #[test]
    fn what_is_not_wanted_takes_no_place() {
        let mut constraints = Constraints::default();
        constraints.update(ReceiverVideoConstraints {
            last_n: Some(1),
            default_constraints: Some(height(0)),
            constraints: Some(BTreeMap::from([("b-v0".parse().unwrap(), height(-1))])),
            ..ReceiverVideoConstraints::default()
        });
        assert_eq!(selected(&constraints, &["a-v0", "b-v0"]), [("b-v0".to_owned(), u32::MAX)]);
    }

    /// jitsi-videobridge's `EffectiveConstraintsTest`, without the disabled sources, which are not available.
    #[test]
    fn the_first_that_are_wanted_take_the_places() {
        let of = |last_n, default: i32, named: &[(&str, i32)]| {
            let mut constraints = Constraints::default();
            constraints.update(ReceiverVideoConstraints {
                last_n: Some(last_n),
                default_constraints: Some(height(default)),
                constraints: Some(named.iter().map(|(name, most)| (name.parse().unwrap(), height(*most))).collect()),
                ..ReceiverVideoConstraints::default()
            });
            selected(&constraints, &["s1", "s2", "s3"])
        };
        let expected =
            |list: &[(&str, u32)]| list.iter().map(|(name, height)| ((*name).to_owned(), *height)).collect::<Vec<_>>();
        for (last_n, default, named, expect) in [
            (0, 180, &[][..], &[][..]),
            (1, 180, &[], &[("s1", 180)]),
            (1, 360, &[], &[("s1", 360)]),
            (1, 0, &[], &[]),
            (1, 0, &[("s1", 720)], &[("s1", 720)]),
            (1, 0, &[("s4", 720)], &[]),
            (1, 0, &[("s2", 180)], &[("s2", 180)]),
            (1, 0, &[("s2", 180), ("s3", 180)], &[("s2", 180)]),
            (3, 180, &[], &[("s1", 180), ("s2", 180), ("s3", 180)]),
            (3, 0, &[("s6", 180), ("s2", 180), ("s3", 180)], &[("s2", 180), ("s3", 180)]),
        ] {
            assert_eq!(of(last_n, default, named), expected(expect), "lastN={last_n} {named:?}");
        }
    }

    /// `BitrateControllerTest`, "Prioritization", and "Selected sources should override the dominant speaker": the flow of a
    /// client that is none of Jitsi's.
    #[test]
    fn selected_sources_come_first_whoever_speaks() {
        let mut constraints = Constraints::default();
        let mut tell = |message| {
            constraints.update(message);
            constraints.clone()
        };
        let selection = |list: &[&str]| ReceiverVideoConstraints {
            selected_sources: Some(names(list)),
            ..ReceiverVideoConstraints::default()
        };
        let order = |constraints: &Constraints| {
            let chosen = selected(constraints, &["s6", "s5", "s4", "s3", "s2", "s1"]);
            chosen.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(order(&tell(selection(&[]))), ["s6", "s5", "s4", "s3", "s2", "s1"]);
        assert_eq!(order(&tell(selection(&["s2"]))), ["s2", "s6", "s5", "s4", "s3", "s1"]);
        assert_eq!(order(&tell(selection(&["s2", "s1", "s5"]))), ["s2", "s1", "s5", "s6", "s4", "s3"]);

        let heights = |list: &[(&str, i32)]| ReceiverVideoConstraints {
            constraints: Some(list.iter().map(|(name, most)| (name.parse().unwrap(), height(*most))).collect()),
            ..ReceiverVideoConstraints::default()
        };
        let last_n = |last_n| ReceiverVideoConstraints { last_n: Some(last_n), ..ReceiverVideoConstraints::default() };
        let gets = |constraints: &Constraints, speakers: [&str; 4]| {
            let mut chosen = selected(constraints, &speakers);
            chosen.sort();
            chosen.iter().map(|(name, height)| format!("{name} {height}")).collect::<Vec<_>>().join(", ")
        };
        let (a, b, c, d) = ("A-v0", "B-v0", "C-v0", "D-v0");
        let both = |height| heights(&[(a, height), (b, height)]);
        tell(selection(&[a, b]));
        assert_eq!(gets(&tell(both(720)), [a, b, c, d]), "A-v0 720, B-v0 720, C-v0 180, D-v0 180");
        assert_eq!(gets(&tell(last_n(2)), [a, b, c, d]), "A-v0 720, B-v0 720");
        assert_eq!(gets(&tell(last_n(2)), [b, a, c, d]), "A-v0 720, B-v0 720");
        assert_eq!(gets(&tell(both(360)), [b, a, c, d]), "A-v0 360, B-v0 360");
        assert_eq!(gets(&tell(selection(&[a, b])), [b, a, c, d]), "A-v0 360, B-v0 360");
        assert_eq!(gets(&tell(last_n(-1)), [b, a, c, d]), "A-v0 360, B-v0 360, C-v0 180, D-v0 180");
        assert_eq!(gets(&tell(last_n(2)), [d, b, a, c]), "A-v0 360, B-v0 360");
        assert_eq!(gets(&tell(last_n(2)), [c, d, a, b]), "A-v0 360, B-v0 360");
    }

    #[test]
    fn what_a_message_leaves_out_stays() {
        let mut constraints = Constraints::default();
        let default = ReceiverVideoConstraints { default_constraints: Some(height(360)), ..Default::default() };
        constraints.update(default);
        constraints.update(ReceiverVideoConstraints { last_n: Some(0), ..Default::default() });
        assert!(selected(&constraints, &["a-v0"]).is_empty());
        constraints.set_last_n(-1);
        assert_eq!(selected(&constraints, &["a-v0"]), [("a-v0".to_owned(), 360)]);
    }

    #[test]
    fn audio_follows_exclusion_then_inclusion() {
        let mut keys = crate::keys::KeyAllocator::default();
        let id = crate::keys::SourceId(keys.allocate());
        let microphone = AudioSource { id, name: "a-a0".parse().unwrap(), ssrc: model::Ssrc(1), synthetic: false };
        let subscription = |all, include: &[&str], exclude: &[&str]| {
            let (include, exclude) = (names(include), names(exclude));
            AudioSubscription::new(ReceiverAudioSubscription { all, include, exclude })
        };
        assert!(AudioSubscription::default().wants(&microphone));
        assert!(!subscription(true, &["a-a0"], &["a-a0"]).wants(&microphone));
        assert!(subscription(false, &["a-a0"], &[]).wants(&microphone));
        assert!(!subscription(false, &[], &[]).wants(&microphone));
        let translation = AudioSource { synthetic: true, ..microphone };
        assert!(!subscription(true, &[], &[]).wants(&translation));
        assert!(subscription(false, &["a-a0"], &[]).wants(&translation));
    }
}
