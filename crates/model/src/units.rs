//! Units and kinds of media.

use std::fmt;
use std::str::FromStr;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// A rate in bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// The rate in bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0 / 1000)
    }
}

/// The two kinds of RTP media in a Jitsi conference (Colibri2 `media@type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaType {
    /// Opus, RED, telephone events.
    Audio,
    /// Cameras and screen shares.
    Video,
}

impl MediaType {
    /// `audio` or `video`, as in Jingle and Colibri2.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a video source shows (`videoType` of Jitsi's source signaling and of `SourceVideoTypeMessage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum VideoType {
    /// A camera.
    #[default]
    Camera,
    /// A screen share at few frames a second.
    Desktop,
    /// A screen share at a video's frame rate.
    DesktopHighFps,
    /// The source is there but sends nothing, by the sender's setting.
    Disabled,
    /// The source is muted.
    None,
}

/// A `videoType` that no Jitsi client sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("video type {0:?} is not known")]
pub struct UnknownVideoType(String);

impl VideoType {
    /// The spelling that clients use; bridges take it in any case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Desktop => "desktop",
            Self::DesktopHighFps => "desktop_high_fps",
            Self::Disabled => "disabled",
            Self::None => "none",
        }
    }
}

impl FromStr for VideoType {
    type Err = UnknownVideoType;

    fn from_str(value: &str) -> Result<Self, UnknownVideoType> {
        [Self::Camera, Self::Desktop, Self::DesktopHighFps, Self::Disabled, Self::None]
            .into_iter()
            .find(|video_type| video_type.as_str().eq_ignore_ascii_case(value))
            .ok_or_else(|| UnknownVideoType(value.chars().take(32).collect()))
    }
}
