//! Faults that are planted on purpose: whoever measures a bridge can see whether the measurement detects them.
//!
//! Here: their names on the command line, and what they do to a shard. Not here: anything of an ordinary build, which is
//! without the feature `planted-faults` and has none of this.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ice::DatagramKind;
use model::FiveTuple;
use net::SendQueue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::layers::Wanted;
use super::message::{ShardCommand, ShardId};
use crate::constraints::MaxHeight;
use crate::counters::{Counters, DropReason};
use crate::data_plane::DataPlane;

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Datagrams that one shard delays at once: 50 ms of 600,000 packets a second. What does not fit is lost.
const MAX_DELAYED: usize = 1 << 15;

/// What a bridge does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlantedFault {
    /// RTP to receivers is lost with this probability, retransmissions too, when it has its numbers: a receiver sees gaps.
    Drop {
        /// Above 0, at most 1.
        probability: f64,
    },
    /// RTP and RTCP leave this much later, in order; STUN and DTLS at once.
    Delay(Duration),
    /// Receivers get another simulcast layer than they asked for, and nobody is told.
    Layer(WrongLayer),
}

/// The layer that everybody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongLayer {
    /// The smallest one that is sent.
    Lowest,
    /// The tallest one that is sent.
    Highest,
}

/// The text names no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fault such as drop=1%, delay=50ms (at most 1000ms), layer=lowest or layer=highest")]
pub struct InvalidFault;

impl FromStr for PlantedFault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        match text.split_once('=').ok_or(InvalidFault)? {
            ("drop", percent) => {
                let percent: f64 =
                    percent.strip_suffix('%').and_then(|number| number.parse().ok()).ok_or(InvalidFault)?;
                let is_share = percent > 0.0 && percent <= 100.0;
                is_share.then_some(Self::Drop { probability: percent / 100.0 }).ok_or(InvalidFault)
            }
            ("delay", time) => {
                let ms = time.strip_suffix("ms").and_then(|number| number.parse().ok()).ok_or(InvalidFault)?;
                let delay = Duration::from_millis(ms);
                (delay > Duration::ZERO && delay <= MAX_DELAY).then_some(Self::Delay(delay)).ok_or(InvalidFault)
            }
            ("layer", "lowest") => Ok(Self::Layer(WrongLayer::Lowest)),
            ("layer", "highest") => Ok(Self::Layer(WrongLayer::Highest)),
            _ => Err(InvalidFault),
        }
    }
}

/// Has all shards of a new bridge do what is wrong.
pub(crate) fn plant(fault: Option<PlantedFault>, mut data_plane: DataPlane) -> DataPlane {
    if let Some(fault) = fault {
        tracing::warn!(?fault, "a fault is planted: this bridge is for tests of measurements only");
        data_plane.send_to_all(|| ShardCommand::PlantFault(fault));
    }
    data_plane
}

/// What one shard does wrong.
#[derive(Debug)]
pub(super) struct Faults {
    fault: Option<PlantedFault>,
    random: StdRng,
    /// What leaves later: when, to whom, the datagram; the oldest first.
    delayed: VecDeque<(Instant, FiveTuple, Vec<u8>)>,
    /// Scratch for what goes through.
    taken: SendQueue,
}

impl Faults {
    pub(super) fn new(shard: ShardId) -> Self {
        let random = StdRng::seed_from_u64(shard.0.into());
        Self { fault: None, random, delayed: VecDeque::new(), taken: SendQueue::default() }
    }

    pub(super) const fn plant(&mut self, fault: PlantedFault) {
        self.fault = Some(fault);
    }

    /// The height that selects the layer of a receiver that wants `max_height`.
    pub(super) fn falsify(&self, wanted: Wanted) -> Wanted {
        match self.fault {
            Some(PlantedFault::Layer(layer)) if !wanted.is_nothing() => match layer {
                WrongLayer::Lowest => Wanted::up_to(MaxHeight(1)),
                WrongLayer::Highest => Wanted::up_to(MaxHeight::UNLIMITED),
            },
            Some(PlantedFault::Layer(_) | PlantedFault::Drop { .. } | PlantedFault::Delay(_)) | None => wanted,
        }
    }

    /// Takes away from a queue that is about to be sent what is lost or has to wait, and adds what has waited.
    pub(super) fn handle_queue(&mut self, queue: &mut SendQueue, counters: &Counters, now: Instant) {
        let Self { fault, random, delayed, taken } = self;
        match *fault {
            None | Some(PlantedFault::Layer(_)) => return,
            Some(PlantedFault::Drop { probability }) => {
                std::mem::swap(queue, taken);
                for (path, datagram) in taken.iter() {
                    let is_rtp = is_media(datagram) && !rtp::is_rtcp(datagram);
                    if !(is_rtp && random.random_bool(probability)) {
                        queue.push(path, datagram);
                    }
                }
            }
            Some(PlantedFault::Delay(delay)) => {
                std::mem::swap(queue, taken);
                for (path, datagram) in taken.iter() {
                    if !is_media(datagram) {
                        queue.push(path, datagram);
                    } else if delayed.len() < MAX_DELAYED {
                        delayed.push_back((now + delay, path, datagram.to_vec()));
                    } else {
                        counters.count(DropReason::QueueFull);
                    }
                }
            }
        }
        taken.clear();
        while let Some((_, path, datagram)) = delayed.pop_front_if(|(due, ..)| *due <= now) {
            queue.push(path, &datagram);
        }
    }

    /// When something has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.delayed.front().map(|(due, ..)| *due)
    }
}

fn is_media(datagram: &[u8]) -> bool {
    DatagramKind::of(datagram) == DatagramKind::Media
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_one_spelling() {
        let parsed = |text: &str| text.parse::<PlantedFault>();
        assert_eq!(parsed("drop=1%"), Ok(PlantedFault::Drop { probability: 0.01 }));
        assert_eq!(parsed("drop=0.5%"), Ok(PlantedFault::Drop { probability: 0.005 }));
        assert_eq!(parsed("delay=50ms"), Ok(PlantedFault::Delay(Duration::from_millis(50))));
        assert_eq!(parsed("layer=lowest"), Ok(PlantedFault::Layer(WrongLayer::Lowest)));
        assert_eq!(parsed("layer=highest"), Ok(PlantedFault::Layer(WrongLayer::Highest)));
        for text in [
            "",
            "drop",
            "drop=",
            "drop=1",
            "drop=0%",
            "drop=101%",
            "drop=-1%",
            "drop=nan%",
            "delay=50",
            "delay=0ms",
            "delay=1001ms",
            "delay=-1ms",
            "layer=",
            "layer=2",
            "loss=1%",
        ] {
            assert_eq!(parsed(text), Err(InvalidFault), "{text}");
        }
    }
}
