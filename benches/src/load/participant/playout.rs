//! What a participant could play of each source, over all its sessions: who is moved to another bridge goes on with the same
//! people, under other SSRCs.

use std::time::{Duration, Instant};

use ahash::RandomState;
use indexmap::IndexMap;
use model::{EndpointId, SourceName};

use super::{RemoteSource, Wishes};
use crate::load::measure::{Interruption, Measurements, MediaKind};
use crate::load::media::{FREEZE_AFTER, MediaClock};

/// A screen has five frames a second, so that a standing picture is only a freeze after several.
const SCREEN_FREEZE_AFTER: Duration = Duration::from_secs(1);
/// Sources that are followed, so that a server cannot fill our memory.
const MAX_SOURCES: usize = 4_096;

/// When something of each source could be played last.
#[derive(Debug)]
pub struct Playout {
    receiver: EndpointId,
    /// Where the bridge chooses among videos, one that does not come was not chosen.
    follows_video: bool,
    clock: MediaClock,
    played: IndexMap<SourceName, Played, RandomState>,
}

#[derive(Debug)]
struct Played {
    owner: EndpointId,
    kind: MediaKind,
    last: Instant,
}

impl Playout {
    /// Of a participant that comes.
    #[must_use]
    pub fn new(receiver: EndpointId, wishes: &Wishes, clock: MediaClock) -> Self {
        Self { receiver, follows_video: wishes.wants_all(), clock, played: IndexMap::default() }
    }

    /// Something of a source could be played.
    pub(super) fn handle_media(&mut self, source: &RemoteSource, at: Instant, measurements: &mut Measurements) {
        if source.kind != MediaKind::Audio && !self.follows_video {
            return;
        }
        if let Some(played) = self.played.get_mut(&source.name) {
            let lasted = at.saturating_duration_since(played.last);
            played.last = played.last.max(at);
            self.note(source.kind, &source.name, at, lasted, measurements);
        } else if self.played.len() < MAX_SOURCES {
            let played = Played { owner: source.owner.clone(), kind: source.kind, last: at };
            self.played.insert(source.name.clone(), played);
        }
    }

    /// Somebody left: nothing of his is missing any more.
    pub fn handle_departure(&mut self, owner: &EndpointId) {
        self.played.retain(|_, played| played.owner != *owner);
    }

    /// The participant leaves: what it lacks now does not come any more.
    pub fn finish(self, now: Instant, measurements: &mut Measurements) {
        for (name, played) in &self.played {
            self.note(played.kind, name, now, now.saturating_duration_since(played.last), measurements);
        }
    }

    fn note(
        &self,
        kind: MediaKind,
        source: &SourceName,
        ended: Instant,
        lasted: Duration,
        measurements: &mut Measurements,
    ) {
        if lasted >= freeze_after(kind) {
            let (source, receiver) = (source.clone(), self.receiver.clone());
            let ended = self.clock.time(ended);
            measurements.record_interruption(Interruption { kind, source, receiver, ended, lasted });
        }
    }
}

/// When a standing picture, or silence, is more than a late packet.
pub(super) const fn freeze_after(kind: MediaKind) -> Duration {
    match kind {
        MediaKind::Audio | MediaKind::Camera => FREEZE_AFTER,
        MediaKind::Screen => SCREEN_FREEZE_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use model::Ssrc;

    use super::*;
    use crate::load::media::MediaTime;
    use crate::load::scenario::Scenario;

    #[expect(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn source(name: &str, kind: MediaKind, ssrc: u32) -> RemoteSource {
        let (owner, _) = name.split_once('-').unwrap();
        let (name, owner) = (name.parse().unwrap(), owner.parse().unwrap());
        RemoteSource { ssrc: Ssrc(ssrc), rtx: None, kind, name, owner }
    }

    fn playout(scenario: &Scenario, start: Instant) -> Playout {
        Playout::new("ef".parse().unwrap(), &Wishes::new(scenario), MediaClock::new(start, MediaTime(0)))
    }

    fn play(playout: &mut Playout, source: &RemoteSource, times_ms: &[u64], start: Instant) -> Measurements {
        let mut measurements = Measurements::default();
        for ms in times_ms {
            playout.handle_media(source, start + Duration::from_millis(*ms), &mut measurements);
        }
        measurements
    }

    #[test]
    fn an_interruption_goes_on_until_the_source_comes_under_another_ssrc() {
        let start = start();
        let mut playout = playout(&Scenario::default(), start);
        let before = play(&mut playout, &source("ab-a0", MediaKind::Audio, 1), &[0, 20, 219], start);
        assert_eq!(before.interruptions(), []);
        let after = play(&mut playout, &source("ab-a0", MediaKind::Audio, 2), &[819, 839], start);
        let [interruption] = after.interruptions() else { panic!("{after:?}") };
        assert_eq!((interruption.source.as_str(), interruption.receiver.as_str()), ("ab-a0", "ef"));
        assert_eq!(interruption.ended, MediaTime(819_000));
        assert_eq!(interruption.lasted, Duration::from_millis(600));
    }

    #[test]
    fn who_left_is_not_missing() {
        let start = start();
        let mut playout = playout(&Scenario::default(), start);
        play(&mut playout, &source("ab-a0", MediaKind::Audio, 1), &[0], start);
        play(&mut playout, &source("cd-v0", MediaKind::Camera, 2), &[0], start);
        playout.handle_departure(&"ab".parse().unwrap());
        let mut measurements = Measurements::default();
        playout.finish(start + Duration::from_secs(1), &mut measurements);
        let missing: Vec<_> = measurements.interruptions().iter().map(|missing| missing.source.as_str()).collect();
        assert_eq!(missing, ["cd-v0"]);
    }

    #[test]
    fn a_video_that_others_were_preferred_to_is_not_missing() {
        let start = start();
        let mut playout = playout(&Scenario { last_n: 1, ..Scenario::default() }, start);
        let video = play(&mut playout, &source("ab-v0", MediaKind::Camera, 1), &[0, 5000], start);
        let audio = play(&mut playout, &source("ab-a0", MediaKind::Audio, 2), &[0, 5000], start);
        assert_eq!([video.interruptions().len(), audio.interruptions().len()], [0, 1]);
    }
}
