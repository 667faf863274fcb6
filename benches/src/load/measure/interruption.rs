//! Who was missing, and for how long.

use std::time::Duration;

use model::{EndpointId, SourceName};

use super::MediaKind;
use crate::load::media::MediaTime;

/// Interruptions that are kept: what comes behind them is no news.
pub(super) const MAX_INTERRUPTIONS: usize = 1_000;

/// A stretch in which a participant could play nothing of a source that it had played before: a freeze, but one that goes on
/// over changes of its sessions and those of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// What the source shows.
    pub kind: MediaKind,
    /// Its name.
    pub source: SourceName,
    /// Who missed it.
    pub receiver: EndpointId,
    /// When there was something to play again, or the participant left.
    pub ended: MediaTime,
    /// From what it played last until then.
    pub lasted: Duration,
}
