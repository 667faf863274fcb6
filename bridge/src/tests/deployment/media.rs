//! Everybody sends: who gets what, and what crosses which link.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Deployment;
use super::network::{Crossings, Party, party_at};
use super::participant::{Participant, TICK, sender_of};
use crate::counters::DropReason;
use crate::ssrc_slots::MAX_SLOTS;

/// Key frames are asked for over two bridges, layers come and are found, senders learn what is wanted.
const WARM_UP_TICKS: u32 = 9;
/// What is looked at.
const TICKS: u32 = 3;
/// All that is under way arrives within this time.
const ARRIVAL: Duration = Duration::from_millis(120);

/// Taller layers than anyone wants go on over a link for so long, if there is no key frame of a lower one (`shard::link`).
const LINGER: Duration = Duration::from_secs(2);

/// What is expected of one video for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    /// Nothing that it wants is sent.
    None,
    /// This encoding, and no other.
    Of(usize),
}

impl Deployment {
    pub(super) fn check_media(&mut self, when: &str) {
        for session in self.participants.values_mut().filter_map(|known| known.session.as_mut()) {
            session.received.clear();
        }
        let drops = self.drops();
        self.send_for(WARM_UP_TICKS);
        (self.sent, self.crossings) = (Some(Vec::new()), Some(Crossings::default()));
        self.send_for(TICKS);
        let since = self.now - TICK * TICKS - ARRIVAL;
        let (sent, crossings) = (self.sent.take().unwrap_or_default(), self.crossings.take().unwrap_or_default());
        let mut by_stream: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (ssrc, seq) in sent {
            by_stream.entry(ssrc).or_default().insert(seq);
        }
        self.check_constraints(when);
        let tallest = self.check_receivers(&by_stream, since, when);
        self.check_links(&by_stream, &tallest, &crossings, since - LINGER, when);
        assert_eq!(drops, self.drops(), "{when}: packets came twice, or of nobody who is known");
    }

    fn send_for(&mut self, ticks: u32) {
        self.set_live(true);
        self.run(TICK * ticks);
        self.set_live(false);
        self.run(ARRIVAL);
    }

    /// Packets that bridges have no use for, by reasons that a loop or a leak would have.
    fn drops(&self) -> [u64; 3] {
        let reasons = [DropReason::Duplicate, DropReason::UnknownSsrc, DropReason::NotAnnounced];
        reasons.map(|reason| {
            self.nodes.values().map(|node| node.bridge.counted(|counters| counters.dropped(reason))).sum()
        })
    }

    /// Those with whom a participant is in a conference.
    fn others(&self, number: usize) -> impl Iterator<Item = &Participant> {
        let all = self.participants.values().filter(|other| other.session.is_some());
        all.filter(move |other| other.room == self.room_of[number] && other.number != number)
    }

    /// Each receiver is told that it gets what it chose, and each sender the tallest that anyone gets.
    fn check_constraints(&self, when: &str) {
        let mut most: BTreeMap<&str, u32> = BTreeMap::new();
        for receiver in self.participants.values() {
            let Some(session) = &receiver.session else { continue };
            let wishes = &receiver.wishes;
            let videos = self.others(receiver.number).flat_map(|other| &other.cameras);
            let wanted: BTreeSet<&str> =
                videos.map(|video| video.name.as_str()).filter(|name| wishes.height(name) > 0).collect();
            let forwarded = session.forwarded.clone().unwrap_or_default();
            let last_n = usize::try_from(wishes.last_n).unwrap_or(usize::MAX);
            let limit = if receiver.is_rewriting { last_n.min(MAX_SLOTS) } else { last_n };
            let what = format!("{when}: what {} gets: {forwarded:?} of {wanted:?}", receiver.number);
            assert_eq!(forwarded.len(), wanted.len().min(limit), "{what}");
            assert!(forwarded.iter().all(|name| wanted.contains(name.as_str())), "{what}");
            let mut chosen = wishes.selected.iter().filter(|name| wanted.contains(name.as_str())).take(limit);
            assert!(chosen.all(|name| forwarded.contains(name)), "{what}, who chose {:?}", wishes.selected);
            for name in wanted.into_iter().filter(|name| forwarded.contains(*name)) {
                let known = most.entry(name).or_default();
                *known = (*known).max(wishes.height(name));
            }
        }
        for sender in self.participants.values() {
            let Some(session) = &sender.session else { continue };
            for camera in &sender.cameras {
                let most = most.get(camera.name.as_str()).copied().unwrap_or(0);
                let told = session.allowed.get(&camera.name).copied();
                assert_eq!(told, Some(i32::try_from(most).unwrap_or(-1)), "{when}: what is wanted of {}", camera.name);
            }
        }
    }

    /// Everybody got each packet of what they want, and no other. Answers the tallest encoding of each video that anyone on
    /// each bridge got.
    fn check_receivers(
        &mut self,
        sent: &BTreeMap<u32, BTreeSet<u64>>,
        since: Instant,
        when: &str,
    ) -> BTreeMap<(usize, String), usize> {
        let mut tallest = BTreeMap::new();
        let mut delivered = 0;
        for receiver in self.participants.values() {
            let Some(session) = &receiver.session else { continue };
            let Party::Node(bridge) = party_at(session.peer.bridge) else { continue };
            let mut got: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
            for (ssrc, seq) in &session.received {
                if sent.get(ssrc).is_some_and(|sent| sent.contains(seq)) {
                    got.entry(*ssrc).or_default().insert(*seq);
                }
            }
            let nothing = BTreeSet::new();
            let mut check = |ssrc: u32, is_wanted: bool, what: &str| {
                let sent = if is_wanted { sent.get(&ssrc) } else { None }.unwrap_or(&nothing);
                let got = got.get(&ssrc).unwrap_or(&nothing);
                assert_eq!(got, sent, "{when}: {} of {ssrc}, {what}, which bridge {bridge} sends", receiver.number);
                delivered += sent.len();
            };
            for sender in self.others(receiver.number) {
                check(sender.microphone.ssrc, true, "audio");
                for camera in &sender.cameras {
                    let is_forwarded = session.forwarded.as_ref().is_some_and(|all| all.contains(&camera.name));
                    let heights: Vec<(usize, u16)> = camera
                        .layers
                        .iter()
                        .enumerate()
                        .filter(|(_, layer)| sent.contains_key(&layer.ssrc))
                        .map(|(at, layer)| (at, layer.height))
                        .collect();
                    let wanted = receiver.wishes.height(&camera.name);
                    let picture = if is_forwarded { picture(&heights, wanted) } else { Picture::None };
                    if let Picture::Of(at) = picture {
                        let most = tallest.entry((bridge, camera.name.clone())).or_insert(at);
                        *most = at.max(*most);
                    }
                    // Its bridge chose anew while all sent, as another one spoke.
                    let is_settled = session.chosen_at < since;
                    for (at, layer) in camera.layers.iter().enumerate().filter(|_| is_settled) {
                        check(layer.ssrc, picture == Picture::Of(at), "video");
                    }
                }
            }
        }
        self.figures.delivered += delivered;
        tallest
    }

    /// Each packet crossed each link once where somebody behind it wants it, and no other; none went on from there.
    fn check_links(
        &self,
        sent: &BTreeMap<u32, BTreeSet<u64>>,
        tallest: &BTreeMap<(usize, String), usize>,
        crossings: &Crossings,
        settled_since: Instant,
        when: &str,
    ) {
        let home = |participant: &Participant| match party_at(participant.session.as_ref()?.peer.bridge) {
            Party::Node(node) => Some(node),
            Party::Focus | Party::Participant(_) => None,
        };
        let mut expected: BTreeMap<(usize, usize, u32), Expected> = BTreeMap::new();
        for sender in self.participants.values() {
            let Some(from) = home(sender) else { continue };
            let mut others: BTreeMap<usize, bool> = BTreeMap::new();
            for other in self.others(sender.number) {
                let Some(to) = home(other).filter(|to| *to != from) else { continue };
                let is_settled = other.session.as_ref().is_some_and(|session| session.chosen_at < settled_since);
                *others.entry(to).or_insert(true) &= is_settled;
            }
            for (to, is_settled) in others {
                expected.insert((from, to, sender.microphone.ssrc), Expected::All);
                for camera in &sender.cameras {
                    let most = tallest.get(&(to, camera.name.clone())).copied();
                    for (at, layer) in camera.layers.iter().enumerate() {
                        let whether = match most.map(|most| most.cmp(&at)) {
                            Some(Ordering::Equal) if is_settled => Expected::All,
                            // It goes too, as somebody may want a small picture.
                            Some(Ordering::Greater) => Expected::AnyOrNothing,
                            Some(Ordering::Equal | Ordering::Less) | None if !is_settled => Expected::AnyOrNothing,
                            Some(Ordering::Equal | Ordering::Less) | None => continue,
                        };
                        expected.insert((from, to, layer.ssrc), whether);
                    }
                }
            }
        }
        for ((from, to, ssrc), numbers) in &crossings.0 {
            let what = format!("{when}: {ssrc} of {} from bridge {from} to {to}", sender_of(*ssrc));
            assert!(expected.contains_key(&(*from, *to, *ssrc)), "{what}: nobody there wants it");
            assert!(numbers.values().all(|count| *count == 1), "{what} crosses twice: {numbers:?}");
        }
        for ((from, to, ssrc), whether) in expected {
            let count = sent.get(&ssrc).map_or(0, BTreeSet::len);
            let crossed = crossings.0.get(&(from, to, ssrc)).map_or(0, BTreeMap::len);
            let is_right = crossed == count || whether == Expected::AnyOrNothing;
            assert!(is_right, "{when}: {crossed} of {count} packets of {ssrc} from bridge {from} to {to}");
        }
    }
}

/// What has to cross a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    All,
    AnyOrNothing,
}

/// The tallest of the encodings that are sent within what is wanted, else the lowest.
fn picture(heights: &[(usize, u16)], wanted: u32) -> Picture {
    let fits = heights.iter().rev().find(|(_, height)| u32::from(*height) <= wanted);
    fits.or(heights.first()).map_or(Picture::None, |(at, _)| Picture::Of(*at))
}
