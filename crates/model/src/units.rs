//! Units and kinds of media.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// No limit.
    pub const MAX: Self = Self(u64::MAX);

    /// A rate in bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// A rate in units of 1000 bits per second.
    #[must_use]
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1000))
    }

    /// The rate in bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// `factor` times the rate, to the nearest bit per second; 0 for negative factors, [`Self::MAX`] where it is more.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        // A cast of floating point saturates.
        Self((self.0 as f64 * factor).round() as u64)
    }

    /// The sum, at most [`Self::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least [`Self::ZERO`].
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// What the rate carries in a time, whole bytes.
    #[must_use]
    pub const fn over(self, time: Duration) -> DataSize {
        let bit_micros = (self.0 as u128).saturating_mul(time.as_micros());
        DataSize(saturating_u64(bit_micros / 8_000_000))
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0 / 1000)
    }
}

/// An amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct DataSize(u64);

impl DataSize {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The difference, at least [`Self::ZERO`].
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The rate that carries this in a time; times below a microsecond are taken for one.
    #[must_use]
    pub fn per(self, time: Duration) -> Bitrate {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        Bitrate(self.0.saturating_mul(8_000_000) / micros)
    }

    /// The time that this takes at a rate; at no rate, as if it were one bit per second.
    #[must_use]
    pub const fn at(self, rate: Bitrate) -> Duration {
        let bit_micros = self.0 as u128 * 8_000_000;
        let rate = if rate.0 == 0 { 1 } else { rate.0 };
        Duration::from_micros(saturating_u64(bit_micros / rate as u128))
    }
}

impl Add for DataSize {
    type Output = Self;

    /// Saturates.
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

const fn saturating_u64(value: u128) -> u64 {
    if value > u64::MAX as u128 { u64::MAX } else { value as u64 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_sizes_and_times_fit_each_other() {
        let rate = Bitrate::from_kbps(2400);
        let size = rate.over(Duration::from_millis(10));
        assert_eq!(size, DataSize::from_bytes(3000));
        assert_eq!(size.per(Duration::from_millis(10)), rate);
        assert_eq!(size.at(rate), Duration::from_millis(10));
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(Bitrate::MAX.scaled(2.0), Bitrate::MAX);
        assert_eq!(Bitrate::from_bps(10).scaled(-1.0), Bitrate::ZERO);
        assert_eq!(Bitrate::MAX.saturating_add(Bitrate::MAX), Bitrate::MAX);
        assert_eq!(Bitrate::MAX.over(Duration::MAX).bytes(), u64::MAX);
        let all = DataSize::from_bytes(u64::MAX);
        assert_eq!(all + all, all);
        assert_eq!(all.per(Duration::ZERO), Bitrate::MAX);
        assert_eq!(all.at(Bitrate::ZERO), Duration::from_micros(u64::MAX));
    }
}
