//! Who is in the rooms of a scenario, who sends what, and how large the packets are: those of a real call.
//!
//! Here: shapes and sizes, pure. Not here: bytes of a packet (`packets`), when they leave (`generator`).

use std::time::Duration;

use benches::load::media::FrameCut;
use rand::Rng;

/// libwebrtc sends an Opus packet every 20 ms.
pub(crate) const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// 30 frames a second.
pub(crate) const VIDEO_INTERVAL: Duration = Duration::from_micros(33_333);
/// Payload of an Opus packet at 24–50 kbit/s, in bytes.
const AUDIO_BYTES: std::ops::RangeInclusive<usize> = 60..=130;
/// A frame between key frames at 0.7–2.2 Mbit/s, in bytes.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 3_000..=9_000;
/// A frame of a small picture, as a participant sends when nobody looks at it large: 180 lines at about 150 kbit/s.
const SMALL_FRAME_BYTES: std::ops::RangeInclusive<usize> = 300..=1_000;
/// A key frame is several times as large as the frames between.
const KEY_FRAME_FACTOR: usize = 4;
/// Most bytes of a frame in one packet: what libwebrtc leaves of its 1200 bytes behind headers and extensions.
const MAX_VIDEO_PAYLOAD: usize = 1_100;

/// How large the video of a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Picture {
    /// 720 lines.
    Full,
    /// 180 lines.
    Small,
}

/// What participants are to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Members {
    /// Clients of its own.
    Endpoints,
    /// Each is another bridge with one client, in a mesh of its own, so that what it sends goes on to all others.
    Relays,
}

/// A load: `rooms` conferences of the same shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) rooms: usize,
    /// In each room. The first of them are senders.
    pub(crate) participants: usize,
    pub(crate) audio_senders: usize,
    pub(crate) video_senders: usize,
    pub(crate) picture: Picture,
    pub(crate) members: Members,
    /// 1 for the rates of a real call; a smaller number slows all senders down.
    pub(crate) rate: f64,
}

impl Scenario {
    const fn new(name: &'static str, rooms: usize, participants: usize, audio: usize, video: usize) -> Self {
        Self {
            name,
            rooms,
            participants,
            audio_senders: audio,
            video_senders: video,
            picture: Picture::Full,
            members: Members::Endpoints,
            rate: 1.0,
        }
    }

    /// The scenarios of `make bench`. Rooms are so many that the bridge has a third to two thirds of a core to do.
    pub(crate) const ALL: [Self; 5] = [
        Self::new("meeting16", 2, 16, 16, 16),
        Self::new("meeting32", 1, 32, 32, 32),
        Self::new("one-to-100", 4, 101, 1, 1),
        Self::new("audio50", 1, 50, 50, 0),
        Self::new("many-small", 64, 3, 3, 3),
    ];

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name == name)
    }

    /// Participants of all rooms.
    pub(crate) const fn total(&self) -> usize {
        self.rooms * self.participants
    }

    pub(crate) const fn room_of(&self, participant: usize) -> usize {
        participant / self.participants
    }

    pub(crate) const fn sends_audio(&self, participant: usize) -> bool {
        participant % self.participants < self.audio_senders
    }

    pub(crate) const fn sends_video(&self, participant: usize) -> bool {
        participant % self.participants < self.video_senders
    }

    /// Time from one packet or frame of a sender to the next.
    pub(crate) fn interval(&self, of: Kind) -> Duration {
        let interval = match of {
            Kind::Audio => AUDIO_INTERVAL,
            Kind::Video => VIDEO_INTERVAL,
        };
        interval.div_f64(self.rate)
    }

    /// Bytes of the next frame.
    pub(crate) fn frame_bytes(&self, is_key: bool, random: &mut impl Rng) -> usize {
        let bytes = match self.picture {
            Picture::Full => random.random_range(FRAME_BYTES),
            Picture::Small => random.random_range(SMALL_FRAME_BYTES),
        };
        if is_key { bytes * KEY_FRAME_FACTOR } else { bytes }
    }
}

/// Kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Opus.
    Audio,
    /// VP8.
    Video,
}

/// Bytes of the next Opus payload.
pub(crate) fn audio_bytes(random: &mut impl Rng) -> usize {
    random.random_range(AUDIO_BYTES)
}

/// Payload lengths of the packets of a frame.
pub(crate) fn cut_frame(bytes: usize) -> impl Iterator<Item = usize> {
    let cut = FrameCut::new(bytes, MAX_VIDEO_PAYLOAD);
    (0..cut.pieces()).filter_map(move |at| cut.range(at)).map(|piece| piece.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    #[test]
    fn a_frame_is_cut_about_equally_with_the_larger_packets_last() {
        assert_eq!(cut_frame(3_301).collect::<Vec<_>>(), [825, 825, 825, 826]);
        assert_eq!(cut_frame(3_300).collect::<Vec<_>>(), [1_100; 3]);
        assert_eq!(cut_frame(500).collect::<Vec<_>>(), [500]);
        for bytes in 1..20_000 {
            let sizes: Vec<_> = cut_frame(bytes).collect();
            assert_eq!(sizes.iter().sum::<usize>(), bytes);
            assert!(sizes.is_sorted() && sizes.iter().all(|size| *size <= MAX_VIDEO_PAYLOAD));
            assert!(sizes.last().unwrap() - sizes[0] <= 1);
        }
    }

    #[test]
    fn a_participant_sends_about_as_many_packets_as_in_a_real_call() {
        let scenario = Scenario::by_name("meeting16").unwrap();
        let mut random = SmallRng::seed_from_u64(1);
        let packets: usize = (0..3_000).map(|_| cut_frame(scenario.frame_bytes(false, &mut random)).count()).sum();
        // 6 kB on average in packets of at most 1.1 kB.
        let a_frame = packets as f64 / 3_000.0;
        assert!((5.7..6.2).contains(&a_frame), "{a_frame}");
        assert!((0..1_000).map(|_| audio_bytes(&mut random)).all(|bytes| AUDIO_BYTES.contains(&bytes)));
    }

    #[test]
    fn the_first_of_each_room_send() {
        let scenario = Scenario::by_name("one-to-100").unwrap();
        assert_eq!(scenario.total(), 404);
        let senders: Vec<_> = (0..scenario.total()).filter(|&participant| scenario.sends_video(participant)).collect();
        assert_eq!(senders, [0, 101, 202, 303]);
        assert_eq!(scenario.room_of(203), 2);
    }
}
