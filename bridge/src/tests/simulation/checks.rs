//! What has to be true of a simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::camera::origin;
use super::super::encoder::Truth;
use super::super::judge::{self, Changes, Received};
use super::journal::Origin;
use super::tap::{Tapped, TappedStream};
use super::{CALM_MS, Simulation, TURN_MS};

/// Later than this behind its making a packet is as good as lost: whoever waited for it has asked for a key frame.
const TOO_LATE: Duration = Duration::from_millis(1000);

/// Packets about a switch that may have been lost.
const MAX_LOST_AT_SWITCH: u64 = 50;
/// Packets of a frame that the network mixed come within this time.
const DISORDER: Duration = Duration::from_millis(20);
/// A stream of which nothing is sent for this long has paused.
const PAUSE: Duration = Duration::from_millis(400);

impl Simulation {
    pub(super) fn check(&self) {
        for (receiver, client) in self.world.clients.iter().enumerate() {
            for (ssrc, stream) in &client.tap.as_ref().unwrap().streams {
                let what = format!("{receiver} is sent {ssrc}");
                let unusable = self.unusable(stream);
                if stream.is_video {
                    self.check_video(&what, stream, &unusable.values().copied().flatten().collect());
                    self.check_heights(receiver, &what, stream);
                }
                check_gaps(&what, stream, &unusable);
                self.check_times(&what, stream);
            }
        }
        for receiver in self.present.clone() {
            self.check_recovery(receiver);
        }
    }

    /// Packets that the bridge did not have in time to send them on in this stream: never, or when the receiver got nothing of
    /// the source any more. With the frame of each.
    fn unusable(&self, stream: &TappedStream) -> BTreeMap<Origin, Option<(u8, u32)>> {
        let mut unusable = BTreeMap::new();
        for journal in self.world.clients.iter().filter_map(|client| client.journal.as_ref()) {
            // When the bridge had the packets that went out: some waited then.
            let payloads = stream.packets.values().map(|tapped| &tapped.packet.payload);
            let payloads = payloads.filter(|payload| !payload.is_empty());
            let sent_on: BTreeSet<Instant> =
                payloads.filter_map(|payload| journal.sent.get(&origin(payload))?.arrived).collect();
            let begins = stream.packets.values().filter(|tapped| {
                let payload = &tapped.packet.payload;
                let truth = (stream.is_video && !payload.is_empty()).then(|| Truth::of(payload));
                truth.is_some_and(|truth| truth.is_key && truth.index == 0)
            });
            let begins: BTreeSet<(Instant, Origin)> = begins
                .filter_map(|tapped| {
                    let begin = origin(&tapped.packet.payload);
                    Some((journal.sent.get(&begin)?.arrived?, begin))
                })
                .collect();
            let is_sent_about = |(ssrc, seq): Origin, at: Instant| {
                let before = sent_on.range(at.checked_sub(PAUSE).unwrap_or(at)..=at).next();
                let is_followed = sent_on.range(at..at + PAUSE).next().is_some();
                // What comes behind a pause, which may have been short, begins anew; what is older is of no use then.
                let mut begins = begins.range((at, (0, 0))..(at + PAUSE, (0, 0)));
                let may_have_paused =
                    begins.any(|(begin, key)| *begin >= at + DISORDER || (key.0 == ssrc && key.1 > seq));
                before.is_some() && is_followed && !may_have_paused
            };
            let of_no_use = journal.sent.iter().filter(|(origin, sent)| {
                sent.arrived.is_none_or(|arrived| arrived > sent.at + TOO_LATE || !is_sent_about(**origin, arrived))
            });
            unusable.extend(of_no_use.map(|(origin, sent)| (*origin, sent.frame)));
        }
        unusable
    }

    /// Each forwarded frame is whole and decodable from what was forwarded, and time never goes back.
    fn check_video(&self, what: &str, stream: &TappedStream, lost: &BTreeSet<(u8, u32)>) {
        let packets: Vec<Received> = stream.packets.values().map(|tapped| tapped.packet.clone()).collect();
        *self.looks_at.borrow_mut() = what.to_owned();
        judge::check_by(Changes::Anyhow, &packets, lost, |encoding| self.encodings[usize::from(encoding)].scheme);
    }

    /// Media time goes on as the time in which the media was made.
    fn check_times(&self, what: &str, stream: &TappedStream) {
        let ticks_per_ms = if stream.is_video { 90 } else { 48 };
        let mut last: Option<(u32, u32, Instant)> = None;
        for Tapped { packet, .. } in stream.packets.values().filter(|tapped| !tapped.packet.payload.is_empty()) {
            let (ssrc, seq) = origin(&packet.payload);
            let mut journals = self.world.clients.iter().filter_map(|client| client.journal.as_ref());
            let made_at = journals.find_map(|journal| journal.sent.get(&(ssrc, seq))).unwrap().at;
            if let Some((timestamp, last_ssrc, last_at)) = last {
                let ahead_ms = f64::from(packet.timestamp.wrapping_sub(timestamp) as i32) / f64::from(ticks_per_ms);
                let made_ms = made_at.saturating_duration_since(last_at).as_secs_f64() * 1000.0
                    - last_at.saturating_duration_since(made_at).as_secs_f64() * 1000.0;
                let off_ms = (ahead_ms - made_ms).abs();
                let allowed_ms = if ssrc == last_ssrc { 1.0 } else { 300.0 };
                assert!(
                    off_ms <= allowed_ms,
                    "{what}: {ahead_ms} ms ahead, made {made_ms} ms after: {last_ssrc} {ssrc}"
                );
            }
            last = Some((packet.timestamp, ssrc, made_at));
        }
    }

    /// No layer is taller than what was asked for.
    fn check_heights(&self, receiver: usize, what: &str, stream: &TappedStream) {
        for Tapped { at, packet } in stream.packets.values().filter(|tapped| !tapped.packet.payload.is_empty()) {
            let truth = Truth::of(&packet.payload);
            let encoding = self.encodings[usize::from(truth.encoding)];
            let height = encoding.heights[usize::from(truth.spatial)];
            let asked = self.tallest_wish(receiver, encoding.sender, *at);
            // The lowest layer fulfils every wish.
            let is_lowest = height == 180 || self.with_gaps.contains(&encoding.sender);
            let is_allowed = asked < 0 || asked > 0 && is_lowest || i32::from(height) <= asked;
            assert!(
                is_allowed,
                "{what}: {height} lines of {} at {:?}, {asked} asked",
                encoding.sender,
                *at - self.world.start
            );
        }
    }

    /// The tallest that a receiver asked for within the time in which the bridge may go on with what was before.
    fn tallest_wish(&self, receiver: usize, sender: usize, at: Instant) -> i32 {
        let since = at.checked_sub(Duration::from_secs(3)).unwrap_or(self.world.start);
        let wishes = &self.wishes[receiver];
        let first = wishes.partition_point(|wish| wish.at <= since).saturating_sub(1);
        let valid = wishes[first..].iter().take_while(|wish| wish.at <= at);
        let heights = valid.map(|wish| if wish.one == sender { wish.height } else { wish.others });
        heights.map(|height| if height < 0 { i32::MAX } else { height }).max().unwrap_or(i32::MAX)
    }

    /// When the network is well again, everything is.
    fn check_recovery(&self, receiver: usize) {
        let client = &self.world.clients[receiver];
        let end = self.world.now - Duration::from_millis(TURN_MS);
        let begin = end - Duration::from_millis(CALM_MS);
        for sender in self.present.iter().copied().filter(|sender| *sender != receiver) {
            let camera = &self.world.clients[sender].cameras[0];
            if !camera.is_on || camera.layers.iter().all(|layer| !layer.is_on) {
                continue;
            }
            let players = client.incoming.values().filter_map(|incoming| incoming.player.as_ref());
            let shown = players.flat_map(|player| &player.shown).filter(|shown| {
                let encoding = self.encodings[usize::from(shown.truth.encoding)];
                encoding.sender == sender && shown.at >= begin
            });
            let mut times: Vec<Instant> = shown.map(|shown| shown.at).collect();
            times.sort();
            times.insert(0, begin);
            times.push(end);
            let longest = times.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).max().unwrap();
            assert!(longest < Duration::from_millis(400), "{receiver} sees nothing of {sender} for {longest:?}");
        }
    }
}

/// No number is missing but of packets that could not be sent on.
fn check_gaps(what: &str, stream: &TappedStream, unusable: &BTreeMap<Origin, Option<(u8, u32)>>) {
    let lost = |ssrc: u32, first: u64, last: u64| unusable.range((ssrc, first)..(ssrc, last.max(first))).count();
    let mut last: Option<(u64, Option<Origin>)> = None;
    for (seq, Tapped { packet, .. }) in &stream.packets {
        let here = (!packet.payload.is_empty()).then(|| origin(&packet.payload));
        if let Some((last_seq, before)) = last {
            let gap = (seq - last_seq - 1) as usize;
            let lost = match (before, here) {
                (Some((ssrc, before)), Some((here_ssrc, here))) if ssrc == here_ssrc => lost(ssrc, before, here),
                // Behind what was before a switch, or before what is behind it.
                _ => {
                    before.map_or(0, |(ssrc, seq)| lost(ssrc, seq, seq + MAX_LOST_AT_SWITCH))
                        + here.map_or(0, |(ssrc, seq)| lost(ssrc, seq.saturating_sub(MAX_LOST_AT_SWITCH), seq))
                }
            };
            assert!(gap <= lost, "{what}: {gap} numbers before {seq} {here:?} behind {before:?}, {lost} lost");
        }
        last = Some((*seq, here.or(last.and_then(|(_, before)| before))));
    }
}
