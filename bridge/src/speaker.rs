//! Who speaks: dominant speaker identification from the audio levels that senders put into their packets
//! (RFC 6464), after I. Volfin and I. Cohen, "Dominant speaker identification for multipoint videoconferencing"
//! (2012), with the parameters that Jitsi's bridge uses.
//!
//! Here: scores and the decision. Not here: where levels come from (`conference`), what is told to clients (`channel`).

use std::time::{Duration, Instant};

use model::EndpointId;

/// Length of the immediate, medium and long windows in units of the one below.
const IMMEDIATE_SUBBANDS: usize = 13;
const MEDIUM_BLOCK: usize = 5;
const LONG_BLOCK: usize = 10;
/// Levels that are remembered: one long window.
const HISTORY: usize = MEDIUM_BLOCK * LONG_BLOCK;
/// Loudness in one sub-band: 127 levels in 13 parts, rounded up.
const SUBBAND_WIDTH: u8 = 10;
/// A block counts as active when more of its parts than this are.
const MEDIUM_THRESHOLD: u8 = 7;
const LONG_THRESHOLD: u8 = 4;
/// Exponential parameters of the three windows' speech models.
const IMMEDIATE_LAMBDA: f64 = 0.78;
const MEDIUM_LAMBDA: f64 = 24.0;
const LONG_LAMBDA: f64 = 47.0;
/// How much more active a challenger must be, as a logarithm of the scores' ratio, in each window.
const IMMEDIATE_MARGIN: f64 = 3.0;
const MEDIUM_MARGIN: f64 = 2.0;
const LONG_MARGIN: f64 = 0.0;
/// Scores below are noise.
const MIN_SCORE: f64 = 1e-10;

const DECISION_INTERVAL: Duration = Duration::from_millis(300);
/// A speaker without a level for this long is silent (muted, or discontinuous transmission).
const LEVEL_IDLE: Duration = Duration::from_millis(40);
/// The quietest level of such a window is taken as the room's noise.
const MIN_LEVEL_WINDOW: Duration = Duration::from_secs(15);
/// Speakers before the dominant one that clients are told.
const RECENT_SPEAKERS: usize = 10;

/// The speakers of one conference.
#[derive(Debug, Default)]
pub(crate) struct SpeakerDetector {
    speakers: Vec<Speaker>,
    dominant: Option<EndpointId>,
    /// All who were dominant before and are still there, the latest first.
    earlier: Vec<EndpointId>,
    next_decision: Option<Instant>,
}

#[derive(Debug)]
struct Speaker {
    id: EndpointId,
    /// Loudness above the noise, 0..=127, newest first.
    levels: [u8; HISTORY],
    noise: NoiseFloor,
    last_level: Instant,
}

impl SpeakerDetector {
    /// Takes an audio level of a packet: 0 is the loudest, 127 silence (RFC 6464 §3). Answers how loud it was above the noise
    /// of its microphone, up to 127.
    pub(crate) fn handle_level(&mut self, id: &EndpointId, minus_dbov: u8, now: Instant) -> u8 {
        let loudness = 127_u8.saturating_sub(minus_dbov);
        self.next_decision.get_or_insert(now + DECISION_INTERVAL);
        let at = self.speakers.iter().position(|speaker| speaker.id == *id).unwrap_or_else(|| {
            self.speakers.push(Speaker::new(id.clone(), now));
            self.speakers.len() - 1
        });
        self.speakers.get_mut(at).map_or(0, |speaker| speaker.push(loudness, now))
    }

    /// Forgets an endpoint that left. Answers whether the dominant speaker changed by it.
    pub(crate) fn remove(&mut self, id: &EndpointId) -> bool {
        self.speakers.retain(|speaker| speaker.id != *id);
        self.earlier.retain(|earlier| earlier != id);
        let was_dominant = self.dominant.as_ref() == Some(id);
        if was_dominant {
            self.dominant = None;
        }
        if self.speakers.is_empty() {
            self.next_decision = None;
        }
        was_dominant
    }

    /// Decides again when it is time. Answers whether the dominant speaker changed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.next_decision.is_none_or(|at| at > now) {
            return false;
        }
        self.next_decision = Some(now + DECISION_INTERVAL);
        for speaker in &mut self.speakers {
            speaker.push_silence_if_idle(now);
        }
        let Some(winner) = self.challenger() else { return false };
        self.promote(winner);
        true
    }

    fn promote(&mut self, winner: EndpointId) {
        self.earlier.retain(|earlier| *earlier != winner);
        if let Some(previous) = self.dominant.replace(winner) {
            self.earlier.insert(0, previous);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_decision
    }

    /// The dominant speaker.
    #[must_use]
    pub(crate) const fn dominant(&self) -> Option<&EndpointId> {
        self.dominant.as_ref()
    }

    /// Those who were dominant before, latest first; at most ten.
    #[must_use]
    pub(crate) fn recent(&self) -> &[EndpointId] {
        self.earlier.get(..RECENT_SPEAKERS).unwrap_or(&self.earlier)
    }

    /// The dominant speaker, and all who were that before, latest first.
    pub(crate) fn by_recency(&self) -> impl Iterator<Item = &EndpointId> {
        self.dominant.iter().chain(&self.earlier)
    }

    /// The one who takes over from the dominant speaker, if any: active enough in all three windows against the
    /// dominant one, and the most active of those in the medium window.
    fn challenger(&self) -> Option<EndpointId> {
        let dominant = self.speakers.iter().find(|speaker| Some(&speaker.id) == self.dominant.as_ref());
        let Some(dominant) = dominant else {
            // Nobody yet: the loudest who is heard at all.
            return self
                .speakers
                .iter()
                .filter(|speaker| speaker.levels.iter().any(|&level| level > 0))
                .max_by(|a, b| a.scores().medium.total_cmp(&b.scores().medium))
                .map(|speaker| speaker.id.clone());
        };
        let to_beat = dominant.scores();
        let margin = |ours: f64, theirs: f64| (ours / theirs).ln();
        self.speakers
            .iter()
            .filter(|speaker| speaker.id != dominant.id)
            .map(|speaker| (speaker, speaker.scores()))
            .filter(|(_, scores)| {
                margin(scores.immediate, to_beat.immediate) > IMMEDIATE_MARGIN
                    && margin(scores.medium, to_beat.medium) > MEDIUM_MARGIN
                    && margin(scores.long, to_beat.long) > LONG_MARGIN
            })
            .max_by(|(_, a), (_, b)| a.medium.total_cmp(&b.medium))
            .map(|(speaker, _)| speaker.id.clone())
    }
}

/// How speech-like the latest block of each window is.
#[derive(Clone, Copy, Debug)]
struct Scores {
    immediate: f64,
    medium: f64,
    long: f64,
}

impl Speaker {
    fn new(id: EndpointId, now: Instant) -> Self {
        Self { id, levels: [0; HISTORY], noise: NoiseFloor::default(), last_level: now }
    }

    fn push(&mut self, loudness: u8, now: Instant) -> u8 {
        self.last_level = now;
        let noise = self.noise.update(loudness, now);
        let heard = if loudness <= noise { 0 } else { loudness };
        self.levels.rotate_right(1);
        if let Some(newest) = self.levels.first_mut() {
            *newest = heard;
        }
        heard
    }

    fn push_silence_if_idle(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_level) >= LEVEL_IDLE {
            self.levels.rotate_right(1);
            if let Some(newest) = self.levels.first_mut() {
                *newest = 0;
            }
        }
    }

    fn scores(&self) -> Scores {
        let immediate = self.levels.map(|level| level / SUBBAND_WIDTH);
        let active_in = |block: &[u8], threshold: u8| block.iter().filter(|&&part| part > threshold).count();
        let mut medium = [0_u8; LONG_BLOCK];
        for (count, block) in medium.iter_mut().zip(immediate.chunks(MEDIUM_BLOCK)) {
            *count = active_in(block, MEDIUM_THRESHOLD) as u8;
        }
        let long = active_in(&medium, LONG_THRESHOLD);
        let newest = |counts: &[u8]| usize::from(counts.first().copied().unwrap_or(0));
        Scores {
            immediate: speech_score(newest(&immediate), IMMEDIATE_SUBBANDS, IMMEDIATE_LAMBDA),
            medium: speech_score(newest(&medium), MEDIUM_BLOCK, MEDIUM_LAMBDA),
            long: speech_score(long, LONG_BLOCK, LONG_LAMBDA),
        }
    }
}

/// Log-likelihood of speech against noise when `active` of `total` parts are active: binomial with p = 1/2 against an
/// exponential law with parameter `lambda` (Volfin and Cohen, equation 6).
fn speech_score(active: usize, total: usize, lambda: f64) -> f64 {
    let (active, total) = (active as f64, total as f64);
    let mut binomial = 0.0;
    let mut part = 0.0;
    while part < active {
        binomial += ((total - part) / (part + 1.0)).ln();
        part += 1.0;
    }
    (binomial + total * 0.5_f64.ln() - lambda.ln() + lambda * active).max(MIN_SCORE)
}

/// The quietest level of the last quarter of a minute, smoothed: what counts as silence for this microphone.
#[derive(Debug, Default)]
struct NoiseFloor {
    floor: u8,
    lowest: Option<(u8, Instant)>,
}

impl NoiseFloor {
    fn update(&mut self, loudness: u8, now: Instant) -> u8 {
        match self.lowest {
            Some((lowest, since)) if now.saturating_duration_since(since) < MIN_LEVEL_WINDOW => {
                self.lowest = Some((lowest.min(loudness), since));
            }
            Some((lowest, _)) => {
                // Half way to the new floor, so that one quiet window does not make noise into speech.
                self.floor = ((u16::from(self.floor) + u16::from(lowest)) / 2) as u8;
                self.lowest = Some((loudness, now));
            }
            None => self.lowest = Some((loudness, now)),
        }
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: u8 = 20;
    const SILENT: u8 = 127;

    struct Scene {
        detector: SpeakerDetector,
        now: Instant,
        changes: Vec<EndpointId>,
    }

    impl Scene {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
            Self { detector: SpeakerDetector::default(), now: Instant::now(), changes: Vec::new() }
        }

        /// Packets of 20 ms from each speaker for `ms`.
        fn run(&mut self, ms: u64, levels: &[(&str, u8)]) {
            for _ in 0..ms / 20 {
                for (id, level) in levels {
                    self.detector.handle_level(&id.parse().unwrap(), *level, self.now);
                }
                self.now += Duration::from_millis(20);
                if self.detector.handle_timeout(self.now) {
                    self.changes.push(self.detector.dominant().unwrap().clone());
                }
            }
        }

        fn changes(&self) -> Vec<&str> {
            self.changes.iter().map(EndpointId::as_str).collect()
        }
    }

    #[test]
    fn the_one_who_speaks_is_dominant_and_stays_through_a_cough() {
        let mut scene = Scene::new();
        scene.run(2000, &[("alice", LOUD), ("bob", SILENT)]);
        scene.run(60, &[("alice", SILENT), ("bob", LOUD)]);
        scene.run(1000, &[("alice", LOUD), ("bob", SILENT)]);
        assert_eq!(scene.changes(), ["alice"]);
    }

    #[test]
    fn who_takes_the_floor_becomes_dominant_and_the_other_recent() {
        let mut scene = Scene::new();
        scene.run(2000, &[("alice", LOUD), ("bob", SILENT)]);
        scene.run(3000, &[("alice", SILENT), ("bob", LOUD)]);
        assert_eq!(scene.changes(), ["alice", "bob"]);
        assert_eq!(scene.detector.recent(), ["alice".parse().unwrap()]);
    }

    #[test]
    fn silence_elects_nobody() {
        let mut scene = Scene::new();
        scene.run(2000, &[("alice", SILENT), ("bob", SILENT)]);
        assert!(scene.changes().is_empty());
    }

    fn id(id: &str) -> EndpointId {
        id.parse().unwrap()
    }

    /// The first three.
    fn order(detector: &SpeakerDetector) -> String {
        detector.by_recency().take(3).map(EndpointId::as_str).collect()
    }

    /// jitsi-videobridge's `RecentSpeakersListTest`.
    #[test]
    fn speakers_are_listed_by_when_they_were_dominant_last() {
        let mut detector = SpeakerDetector::default();
        for (speaker, expected) in [("a", "a"), ("b", "ba"), ("a", "ab"), ("c", "cab"), ("b", "bca"), ("d", "dbc")] {
            detector.promote(id(speaker));
            assert_eq!(order(&detector), expected);
        }
        let mut detector = SpeakerDetector::default();
        for speaker in ["a", "b", "c", "d", "e"] {
            detector.promote(id(speaker));
        }
        assert_eq!(order(&detector), "edc");
        detector.remove(&id("e"));
        assert_eq!(order(&detector), "dcb", "who was pushed out comes back");
        detector.promote(id("e"));
        assert_eq!(order(&detector), "edc");
        for gone in ["e", "d", "c"] {
            detector.remove(&id(gone));
        }
        assert_eq!(order(&detector), "ba");
    }

    /// jitsi-videobridge's `SpeechActivityTest`, "Should maintain correct order when everyone has video".
    #[test]
    fn who_speaks_is_dominant_and_who_comes_back_has_not_spoken() {
        let mut detector = SpeakerDetector::default();
        for speaker in ["b", "c", "a"] {
            detector.promote(id(speaker));
            assert_eq!(detector.dominant(), Some(&id(speaker)));
        }
        assert_eq!(order(&detector), "acb");
        detector.remove(&id("a"));
        assert_eq!(order(&detector), "cb");
        for speaker in ["c", "b", "d"] {
            detector.promote(id(speaker));
        }
        assert_eq!((order(&detector).as_str(), detector.dominant()), ("dbc", Some(&id("d"))));
    }

    #[test]
    fn clients_are_told_ten_speakers_before_the_dominant_one() {
        let mut detector = SpeakerDetector::default();
        let names: Vec<_> = (10..30).map(|number| id(&number.to_string())).collect();
        names.iter().for_each(|name| detector.promote(name.clone()));
        let told: Vec<_> = names[9..19].iter().rev().cloned().collect();
        assert_eq!(detector.recent(), told);
        assert_eq!(detector.by_recency().count(), 20);
    }

    #[test]
    fn a_speaker_who_left_is_forgotten() {
        let mut scene = Scene::new();
        scene.run(1000, &[("alice", LOUD)]);
        assert!(scene.detector.remove(&"alice".parse().unwrap()));
        assert_eq!(scene.detector.dominant(), None);
        assert_eq!(scene.detector.poll_timeout(), None);
    }
}
