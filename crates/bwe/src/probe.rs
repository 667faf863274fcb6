//! What a probe is: a burst of packets at a rate that is not known to pass yet.

use std::num::NonZeroU8;

use model::{Bitrate, DataSize};

use crate::time::TimeDelta;

/// Names the packets of one probe cluster. Numbers go round; a cluster lives for some seconds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeClusterId(NonZeroU8);

impl ProbeClusterId {
    pub(crate) const FIRST: Self = Self(NonZeroU8::MIN);

    #[cfg(test)]
    pub(crate) const fn new(id: u8) -> Option<Self> {
        match NonZeroU8::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number, for logs.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU8::MIN))
    }
}

/// A part of a probe cluster that is due now: `size` bytes of retransmissions or padding, to be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What [`crate::BandwidthEstimator::handle_sent`] is to be told about each of its packets.
    pub cluster: ProbeClusterId,
    /// The rate that the cluster tries.
    pub bitrate: Bitrate,
    /// Bytes that are due, as few packets as they fit; somewhat more does not hurt.
    pub size: DataSize,
}

/// A cluster that the controller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeCluster {
    pub(crate) id: ProbeClusterId,
    pub(crate) bitrate: Bitrate,
}

impl ProbeCluster {
    /// Bursts of a cluster at least, and packets that are expected back.
    pub(crate) const MIN_PACKETS: u8 = 5;

    /// How long a cluster takes at least.
    const MIN_DURATION: TimeDelta = TimeDelta::from_ms(15);

    /// Time between two bursts.
    const BURST_INTERVAL: TimeDelta = TimeDelta::from_ms(2);

    /// What a cluster sends at least.
    pub(crate) fn min_size(self) -> DataSize {
        self.bitrate.over(Self::MIN_DURATION.to_duration())
    }

    /// What a burst has.
    pub(crate) fn burst_size(self) -> DataSize {
        self.bitrate.over(Self::BURST_INTERVAL.to_duration())
    }
}
