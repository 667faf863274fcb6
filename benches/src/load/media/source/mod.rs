//! One microphone, camera or screen of a participant.

mod encoding;
mod library;
mod plan;
mod rhythm;
mod synthetic;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rtp::AudioLevel;
use serde::{Deserialize, Serialize};

use super::{Frame, MediaClock, SenderNumber, VideoCodec};
use encoding::{Capture, Encoding};

pub use library::Library;

/// libwebrtc sends an Opus packet every 20 ms.
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// A camera gives 30 frames a second.
const CAMERA_INTERVAL: Duration = Duration::from_nanos(33_333_333);
/// Jitsi's clients capture screens with 5 frames a second.
const SCREEN_INTERVAL: Duration = Duration::from_millis(200);
/// A source that was not asked for so long drops what it would have captured, as a camera does.
const MAX_LAG: Duration = Duration::from_millis(100);

/// Largest picture of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(try_from = "u16", into = "u16")]
pub enum Height {
    /// 320x180.
    #[value(name = "180")]
    H180,
    /// 640x360.
    #[value(name = "360")]
    H360,
    /// 1280x720.
    #[value(name = "720")]
    H720,
}

impl TryFrom<u16> for Height {
    type Error = String;

    fn try_from(lines: u16) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|height| height.lines() == lines);
        known.ok_or_else(|| format!("no camera here has {lines} lines; 180, 360 and 720 can be"))
    }
}

impl From<Height> for u16 {
    fn from(height: Height) -> Self {
        height.lines()
    }
}

impl Height {
    /// All, the smallest first.
    pub const ALL: [Self; 3] = [Self::H180, Self::H360, Self::H720];

    /// Lines.
    #[must_use]
    pub const fn lines(self) -> u16 {
        match self {
            Self::H180 => 180,
            Self::H360 => 360,
            Self::H720 => 720,
        }
    }

    /// Pixels of a line.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.lines() / 9 * 16
    }
}

/// How a camera sends several sizes of picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layering {
    /// An encoding, and so an SSRC, for each size.
    Simulcast,
    /// Layers of one stream: VP9 and AV1 only, others fall back to simulcast.
    Svc,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Opus.
    Microphone,
    /// A camera of 30 frames a second.
    Camera {
        /// Its codec.
        codec: VideoCodec,
        /// Its largest picture. Smaller ones are sent beside it.
        height: Height,
        /// How they are sent.
        layering: Layering,
    },
    /// A shared screen: one large picture, few frames a second, large key frames.
    Screen {
        /// Its codec.
        codec: VideoCodec,
    },
}

/// What the frames of a source consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Encoded media of a clip, where there is one for the kind; else synthetic. A clip begins anew at its key frame, every
    /// two seconds and where one is asked for.
    Clip,
    /// Valid descriptors in front of bytes without meaning, in the sizes of a real call. Key frames only where asked for.
    Synthetic,
}

/// How a source is made.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// What it is.
    pub kind: SourceKind,
    /// What its frames consist of.
    pub content: Content,
    /// Who sends, for the trailers.
    pub sender: SenderNumber,
    /// Makes sizes, first numbers and the moment of capture within the interval; the same seed gives the same media.
    pub seed: u64,
    /// The clock of the trailers.
    pub clock: MediaClock,
    /// Bytes of all sources.
    pub library: Arc<Library>,
}

/// Whether a source sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It sends; a microphone has a voice in it.
    Speaking,
    /// It sends; a microphone has silence in it.
    Silent,
    /// It sends nothing.
    Muted,
}

/// One source of media, sans-IO: ask [`Self::poll_timeout`] when to call [`Self::handle_timeout`], then take frames from
/// [`Self::poll_frame`].
#[derive(Debug)]
pub struct Source {
    interval: Duration,
    next_capture: Instant,
    clock: MediaClock,
    random: SmallRng,
    activity: Activity,
    is_audio: bool,
    encodings: Vec<Encoding>,
    library: Arc<Library>,
    frames: VecDeque<Frame>,
    skipped: u64,
}

impl Source {
    /// A source that begins within one interval from `now`, active, with a key frame of each encoding.
    #[must_use]
    pub fn new(now: Instant, settings: &SourceSettings) -> Self {
        let mut random = SmallRng::seed_from_u64(settings.seed);
        let interval = match settings.kind {
            SourceKind::Microphone => AUDIO_INTERVAL,
            SourceKind::Camera { .. } => CAMERA_INTERVAL,
            SourceKind::Screen { .. } => SCREEN_INTERVAL,
        };
        let encodings = (0..)
            .zip(plan::encodings_of(settings))
            .map(|(index, plan)| Encoding::new(index, plan, settings.sender, settings.clock.time(now), &mut random))
            .collect();
        Self {
            interval,
            next_capture: now + interval.mul_f64(random.random()),
            clock: settings.clock,
            activity: Activity::Silent,
            is_audio: settings.kind == SourceKind::Microphone,
            encodings,
            library: Arc::clone(&settings.library),
            frames: VecDeque::new(),
            skipped: 0,
            random,
        }
    }

    /// When the next frame is captured; `None` while nothing is sent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_sending().then_some(self.next_capture)
    }

    /// Captures what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.next_capture <= now {
            let at = self.next_capture;
            self.next_capture += self.interval;
            if !self.is_sending() {
                self.next_capture = self.next_capture.max(now);
            } else if now.saturating_duration_since(at) > MAX_LAG {
                self.skipped += 1;
            } else {
                self.capture(at);
            }
        }
    }

    /// The next frame that was captured. Frames of one capture come with the smallest encoding first.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// The next frame of this encoding is a key frame: of what `PLI` and `FIR` for its SSRC ask.
    pub fn request_key_frame(&mut self, encoding: u8) {
        if let Some(encoding) = self.encodings.get_mut(usize::from(encoding)) {
            encoding.request_key_frame();
        }
    }

    /// Obeys `SenderSourceConstraints`: encodings and spatial layers higher than `max_height` lines stay away, `Some(0)`
    /// sends none, `None` all. An encoding that comes back begins with a key frame.
    pub fn set_max_height(&mut self, max_height: Option<u16>) {
        for encoding in &mut self.encodings {
            encoding.set_max_height(max_height);
        }
    }

    /// Mutes, unmutes, speaks or is silent. Video that comes back begins with a key frame.
    pub fn set_activity(&mut self, activity: Activity) {
        if self.activity == Activity::Muted && activity != Activity::Muted {
            self.encodings.iter_mut().for_each(Encoding::request_key_frame);
        }
        self.activity = activity;
    }

    /// How many streams it sends, each with an SSRC of its own.
    #[must_use]
    pub const fn encodings(&self) -> usize {
        self.encodings.len()
    }

    /// Captures that were dropped because the source was asked too late: the generator is overloaded.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn is_sending(&self) -> bool {
        self.activity != Activity::Muted && self.encodings.iter().any(Encoding::is_active)
    }

    fn capture(&mut self, at: Instant) {
        let capture = Capture {
            captured: self.clock.time(at),
            audio_level: self.is_audio.then_some(match self.activity {
                Activity::Speaking => AudioLevel { voice_activity: true, level: self.random.random_range(20..45) },
                Activity::Silent | Activity::Muted => AudioLevel { voice_activity: false, level: 100 },
            }),
        };
        for encoding in &mut self.encodings {
            encoding.capture(capture, &self.library, &mut self.random, &mut self.frames);
        }
    }
}
