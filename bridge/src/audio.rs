//! What an operator may set about audio.
//!
//! Here: redundancy, silence, and how many are heard at once. Not here: what is done about it (`shard::audio`, `loudest`).

use std::time::{Duration, Instant};

/// Who sent no audio for so long had stopped.
pub(crate) const AUDIO_PAUSE: Duration = Duration::from_secs(2);

/// Whether somebody who was heard `before`, if ever, begins to be heard `now`.
pub(crate) fn speech_begins(before: Option<Instant>, now: Instant) -> bool {
    before.is_none_or(|before| now.saturating_duration_since(before) >= AUDIO_PAUSE)
}

/// Settings of audio. The default is that of Jitsi's bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSettings {
    /// What becomes of redundant audio (RFC 2198).
    pub redundancy: Redundancy,
    /// Packets of silence, of level 127 (RFC 6464 §3), that are forwarded in a row; what follows is left out until there is
    /// something to hear. `None`: all. Default: 4.
    pub silence: Option<u8>,
    /// With it only those who are loudest are forwarded. Default: none, so that all are.
    pub loudest: Option<LoudestSettings>,
}

impl Default for AudioSettings {
    fn default() -> Self {
        Self { redundancy: Redundancy::Keep, silence: Some(4), loudest: None }
    }
}

/// What becomes of redundant audio on the way to those who negotiated it. Others get none in any case, and what their sender's
/// packets repeat of lost ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redundancy {
    /// Goes on as it came (`NOOP` of Jitsi's bridge).
    #[default]
    Keep,
    /// Is taken away (`STRIP`).
    Strip,
    /// Is added where the sender has none (`PROTECT_ALL`). What is encrypted end to end cannot be read by its receiver then.
    Add(AddedRedundancy),
}

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedRedundancy {
    /// How many earlier packets each packet repeats.
    pub distance: RedundancyDistance,
    /// Which packets are worth it.
    pub repeated: Repeated,
}

/// How many earlier packets a packet repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedundancyDistance {
    /// The one before.
    One,
    /// The two before.
    Two,
}

/// Which packets are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Those in which their sender found a voice (RFC 6464 §3, V).
    Speech,
    /// All.
    Everything,
}

/// Who counts as loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoudestSettings {
    /// Endpoints that are forwarded at once; beside the dominant speaker, where that is none of them.
    pub count: usize,
    /// Who has sent nothing for so long makes room for others.
    pub expire_after: Duration,
    /// How much of the loudness is that of the newest packet, in percent.
    pub newest_percent: u8,
}

impl LoudestSettings {
    /// As Jitsi's bridge has it, but for the count, of which three is its default.
    #[must_use]
    pub const fn of(count: usize) -> Self {
        Self { count, expire_after: Duration::from_millis(150), newest_percent: 50 }
    }
}
