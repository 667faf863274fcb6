//! Where a participant stands in its join, and how long each part of it took.

use std::time::{Duration, Instant};

use super::{Client, MEDIA_TIMEOUT};
use crate::load::engine::crew::Berth;
use crate::load::measure::{FailureCause, Stage};
use crate::load::participant::{Leg, SessionTurn};

/// Where a participant stands in the gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GaugeState {
    Joining,
    Joined,
}

pub(super) struct Gauge<'a> {
    berth: &'a Berth,
    state: GaugeState,
}

impl<'a> Gauge<'a> {
    /// Of who has begun to join.
    pub(super) const fn new(berth: &'a Berth) -> Self {
        Self { berth, state: GaugeState::Joining }
    }

    pub(super) fn join(&mut self) {
        if self.state == GaugeState::Joining {
            self.state = GaugeState::Joined;
            self.berth.with(|state| {
                state.gauges.joining -= 1;
                state.gauges.joined += 1;
                state.measurements.record_joined();
            });
        }
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        let was = self.state;
        self.berth.with(|state| match was {
            GaugeState::Joining => state.gauges.joining -= 1,
            GaugeState::Joined => {
                state.gauges.joined -= 1;
                state.measurements.record_left();
            }
        });
    }
}

/// Times of a join.
pub(super) struct Stages {
    pub(super) started: Instant,
    /// End of the stage before.
    pub(super) last: Instant,
    pub(super) joined: Option<Instant>,
    pub(super) not_alone: Option<Instant>,
    pub(super) is_complete: bool,
}

impl Stages {
    pub(super) const fn new(started: Instant, now: Instant) -> Self {
        Self { started, last: now, joined: None, not_alone: None, is_complete: false }
    }

    /// From when on the focus could invite.
    pub(super) fn could_be_invited(&self, now: Instant) -> Instant {
        let joined = self.joined.unwrap_or(now);
        self.not_alone.map_or(joined, |not_alone| joined.max(not_alone))
    }
}

/// Media that is to come, by what the offer says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub(super) audio: bool,
    pub(super) video: bool,
    pub(super) by: Option<Instant>,
}

impl Client<'_> {
    pub(super) fn on_turn(&mut self, leg: Leg, turn: SessionTurn, now: Instant, gauge: &mut Gauge<'_>) {
        let Some(media) = self.leg(leg) else { return };
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let (stage, took) = match turn {
            SessionTurn::IceConnected => {
                media.connected = Some(now);
                (Stage::Ice, since(media.negotiated))
            }
            SessionTurn::DtlsConnected => {
                media.dtls = Some(now);
                (Stage::Dtls, since(media.connected))
            }
            SessionTurn::ChannelOpen => (Stage::BridgeChannel, since(media.dtls)),
            SessionTurn::FirstAudio => (Stage::FirstAudio, since(media.dtls)),
            SessionTurn::FirstVideo => (Stage::FirstVideo, since(media.dtls)),
        };
        let is_of_join = match turn {
            SessionTurn::DtlsConnected => {
                self.expected.by.get_or_insert(now + MEDIA_TIMEOUT);
                gauge.join();
                true
            }
            SessionTurn::FirstAudio => std::mem::take(&mut self.expected.audio),
            SessionTurn::FirstVideo => std::mem::take(&mut self.expected.video),
            SessionTurn::IceConnected | SessionTurn::ChannelOpen => true,
        };
        if is_of_join {
            self.record(|measurements| measurements.record_stage(stage, took));
        }
    }

    /// Ends the join when all media that was to come has come, or gives up on it.
    pub(super) fn check_expected(&mut self, now: Instant) {
        if self.media.iter().flatten().all(|media| media.dtls.is_none()) {
            return;
        }
        if !self.expected.audio && !self.expected.video {
            if !std::mem::replace(&mut self.stages.is_complete, true) {
                // Waiting alone in a room is nobody's fault.
                let alone = self.stages.joined.map_or(Duration::ZERO, |joined| {
                    self.stages.could_be_invited(now).saturating_duration_since(joined)
                });
                let took = now.saturating_duration_since(self.stages.started).saturating_sub(alone);
                self.record(|measurements| measurements.record_stage(Stage::Join, took));
            }
        } else if self.expected.by.is_some_and(|by| by <= now) {
            let what = match (self.expected.audio, self.expected.video) {
                (true, true) => "neither audio nor video",
                (true, false) => "no audio",
                (false, _) => "no video that can be decoded",
            };
            let detail = format!("{what} came in {MEDIA_TIMEOUT:?} from those who were there");
            self.record(|measurements| measurements.record_failure(FailureCause::NoMedia, &detail));
            self.expected = Expected::default();
            self.stages.is_complete = true;
        }
    }

    pub(super) fn end_stage(&mut self, stage: Stage, now: Instant) {
        let took = now.saturating_duration_since(self.stages.last);
        self.stages.last = now;
        self.record(|measurements| measurements.record_stage(stage, took));
    }

    /// The session is agreed on.
    pub(super) fn note_negotiated(&self, now: Instant) {
        self.record_since_invitable(Stage::Jingle, now);
    }

    pub(super) fn record_since_invitable(&self, stage: Stage, now: Instant) {
        let took = now.saturating_duration_since(self.stages.could_be_invited(now));
        self.record(|measurements| measurements.record_stage(stage, took));
    }
}
