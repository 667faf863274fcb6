//! SSRC rewriting: the few SSRCs under which one receiver gets all sources, and which source each of them carries now
//! (bridge.md §3.7, client.md §7.11).
//!
//! Here: the slots and who gives way to whom. Not here: which sources a receiver gets (`allocation`), how numbers go on
//! when a slot changes hands (`shard::sent_ssrcs`).

use std::collections::BTreeSet;

use model::Mid;
use rtp::MAX_TEMPLATE_MID_LEN;

use crate::keys::SourceId;
use crate::negotiated::LayerSsrcs;

/// Slots of each kind of media (JVB's `ssrc-limit`): as many sources as a client decodes or plays at once.
pub(crate) const MAX_SLOTS: usize = 50;

/// What stands for a source at one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotNames {
    pub(crate) ssrcs: LayerSsrcs,
    /// Goes with each packet where the receiver tells its streams apart by it.
    pub(crate) mid: Option<SlotMid>,
}

/// The mid of a slot: `a0`, `v12`. It stays with the slot whatever source that serves, as SSRCs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotMid {
    bytes: [u8; MAX_TEMPLATE_MID_LEN],
    len: u8,
}

impl SlotMid {
    fn new(prefix: u8, at: usize) -> Self {
        // Below MAX_SLOTS: two digits at most.
        let (tens, ones) = (b'0' + (at / 10 % 10) as u8, b'0' + (at % 10) as u8);
        if at < 10 { Self { bytes: [prefix, ones, 0], len: 2 } } else { Self { bytes: [prefix, tens, ones], len: 3 } }
    }

    /// The mid, and what its length leaves over.
    pub(crate) const fn bytes(self) -> [u8; MAX_TEMPLATE_MID_LEN] {
        self.bytes
    }

    pub(crate) const fn len(self) -> u8 {
        self.len
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// As clients are told it.
    pub(crate) fn to_mid(self) -> Option<Mid> {
        self.as_str().parse().ok()
    }
}

/// How a receiver tells its streams apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemuxBy {
    Ssrc,
    /// By the extension `sdes:mid` (Colibri2's capability `rtp-mid-demux`).
    Mid,
}

/// The slots of one receiver.
#[derive(Clone, Debug)]
pub(crate) struct SsrcSlots {
    pub(crate) audio: Slots,
    pub(crate) video: Slots,
}

impl SsrcSlots {
    pub(crate) fn new(demux_by: DemuxBy) -> Self {
        let slots = |prefix| Slots { mid_prefix: (demux_by == DemuxBy::Mid).then_some(prefix), ..Slots::default() };
        Self { audio: slots(b'a'), video: slots(b'v') }
    }

    /// Frees the slots of sources that are gone.
    pub(crate) fn retain(&mut self, known: &BTreeSet<SourceId>) {
        self.audio.retain(known);
        self.video.retain(known);
    }
}

/// Those of one kind of media.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    mid_prefix: Option<u8>,
    /// Counts the times that sources were chosen.
    round: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    names: SlotNames,
    source: Option<SourceId>,
    /// When its source was last one of those chosen.
    last_round: u64,
}

/// A slot that changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) source: SourceId,
    pub(crate) names: SlotNames,
    /// Whose the slot was.
    pub(crate) before: Option<SourceId>,
}

impl Slots {
    /// Gives each of the `chosen` sources a slot, the most important first, and answers which slots change hands. Sources that
    /// have one keep it; who was not chosen for the longest time gives way. Of more than [`MAX_SLOTS`] the last get none.
    /// `new_ssrcs` makes up those of a new slot.
    pub(crate) fn choose(
        &mut self,
        chosen: impl Iterator<Item = SourceId>,
        mut new_ssrcs: impl FnMut() -> LayerSsrcs,
    ) -> Vec<Change> {
        self.round += 1;
        let mut without = Vec::new();
        for source in chosen.take(MAX_SLOTS) {
            match self.slots.iter_mut().find(|slot| slot.source == Some(source)) {
                Some(slot) => slot.last_round = self.round,
                None => without.push(source),
            }
        }
        let round = self.round;
        let mut changes = Vec::with_capacity(without.len());
        for source in without {
            let free = self.slots.iter().position(|slot| slot.source.is_none());
            let at = match free {
                None if self.slots.len() < MAX_SLOTS => {
                    let at = self.slots.len();
                    let mid = self.mid_prefix.map(|prefix| SlotMid::new(prefix, at));
                    let names = SlotNames { ssrcs: new_ssrcs(), mid };
                    self.slots.push(Slot { names, source: None, last_round: 0 });
                    at
                }
                Some(at) => at,
                None => {
                    let idle = self.slots.iter().enumerate().filter(|(_, slot)| slot.last_round < round);
                    let Some((at, _)) = idle.min_by_key(|(_, slot)| slot.last_round) else { break };
                    at
                }
            };
            let Some(slot) = self.slots.get_mut(at) else { break };
            changes.push(Change { source, names: slot.names, before: slot.source });
            *slot = Slot { source: Some(source), last_round: round, ..*slot };
        }
        changes
    }

    fn retain(&mut self, known: &BTreeSet<SourceId>) {
        for slot in &mut self.slots {
            slot.source = slot.source.filter(|source| known.contains(source));
        }
    }

    /// Whether the source has a slot.
    pub(crate) fn has(&self, source: SourceId) -> bool {
        self.slots.iter().any(|slot| slot.source == Some(source))
    }

    /// All sources that have one.
    pub(crate) fn mapped(&self) -> impl Iterator<Item = (SourceId, SlotNames)> {
        self.slots.iter().filter_map(|slot| Some((slot.source?, slot.names)))
    }
}

#[cfg(test)]
mod tests {
    use model::Ssrc;

    use super::*;
    use crate::keys::KeyAllocator;

    fn sources(count: usize) -> Vec<SourceId> {
        let mut keys = KeyAllocator::default();
        (0..count).map(|_| SourceId(keys.allocate())).collect()
    }

    struct Numbers(u32);

    impl Numbers {
        fn next(&mut self) -> LayerSsrcs {
            self.0 += 2;
            LayerSsrcs { primary: Ssrc(self.0), rtx: Some(Ssrc(self.0 + 1)) }
        }
    }

    #[test]
    fn sources_keep_their_slots_and_new_ones_get_their_own() {
        let (sources, mut numbers, mut slots) = (sources(3), Numbers(0), Slots::default());
        let first = slots.choose(sources[..2].iter().copied(), || numbers.next());
        let told: Vec<_> =
            first.iter().map(|change| (change.source, change.names.ssrcs.primary.0, change.before)).collect();
        assert_eq!(told, [(sources[0], 2, None), (sources[1], 4, None)]);
        assert_eq!(slots.choose(sources[..2].iter().rev().copied(), || numbers.next()), []);
        let third = slots.choose(sources.iter().copied(), || numbers.next());
        assert_eq!((third.len(), third[0].names.ssrcs.primary), (1, Ssrc(6)));
        assert_eq!(slots.mapped().count(), 3);
    }

    #[test]
    fn a_mid_stays_with_its_slot() {
        let (sources, mut numbers) = (sources(MAX_SLOTS + 1), Numbers(0));
        let mut slots = SsrcSlots::new(DemuxBy::Mid);
        let mids = |slots: &Slots| -> Vec<String> {
            let mids = slots.mapped().map(|(_, names)| names.mid.unwrap().to_mid().unwrap());
            mids.map(|mid| mid.as_str().to_owned()).collect()
        };
        slots.audio.choose(sources[..2].iter().copied(), || numbers.next());
        assert_eq!(mids(&slots.audio), ["a0", "a1"]);
        slots.video.choose(sources.iter().copied(), || numbers.next());
        let all: Vec<_> = (0..MAX_SLOTS).map(|at| format!("v{at}")).collect();
        assert_eq!(mids(&slots.video), all);
        let changes = slots.video.choose(sources[1..].iter().copied(), || numbers.next());
        assert_eq!(
            changes.iter().map(|change| change.names.mid.unwrap().as_str().to_owned()).collect::<Vec<_>>(),
            ["v0"]
        );
        let mut without = SsrcSlots::new(DemuxBy::Ssrc);
        let changes = without.video.choose(sources.iter().copied().take(1), || numbers.next());
        assert_eq!(changes[0].names.mid, None);
    }

    #[test]
    fn a_slot_whose_source_is_gone_serves_the_next() {
        let (sources, mut numbers, mut slots) = (sources(2), Numbers(0), Slots::default());
        slots.choose(sources[..1].iter().copied(), || numbers.next());
        slots.retain(&BTreeSet::new());
        let next = slots.choose(sources[1..].iter().copied(), || numbers.next());
        assert_eq!((next[0].names.ssrcs.primary, next[0].before), (Ssrc(2), None));
    }

    #[test]
    fn who_was_not_chosen_for_the_longest_time_gives_way() {
        let (sources, mut numbers, mut slots) = (sources(MAX_SLOTS + 2), Numbers(0), Slots::default());
        let (all, last) = sources.split_at(MAX_SLOTS);
        slots.choose(all.iter().copied(), || numbers.next());
        slots.choose(all[1..].iter().copied(), || numbers.next());
        slots.choose(all[2..].iter().copied(), || numbers.next());
        let changes = slots.choose(all[2..].iter().chain(last).copied(), || numbers.next());
        assert_eq!(changes.iter().map(|change| change.before).collect::<Vec<_>>(), [Some(all[0]), Some(all[1])]);
        assert_eq!(numbers.0, 2 * MAX_SLOTS as u32, "and no slot is made beyond the limit");
        // Nobody gives way to one more than there are slots for.
        assert_eq!(slots.choose(sources[2..].iter().chain(&all[..1]).copied(), || numbers.next()), []);
        assert!(!slots.has(all[0]) && slots.has(last[1]));
    }
}
