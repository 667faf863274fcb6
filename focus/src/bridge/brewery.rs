//! The room in which bridges announce themselves.

use std::time::{Duration, Instant};

use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::{Element, Jid, ns};

use crate::muc;

/// What happened in the brewery.
#[derive(Debug)]
pub(crate) enum BreweryEvent {
    /// A bridge came, or said something new.
    Stats(Jid, BridgeStats),
    /// An occupant left, who may have been a bridge.
    Left(Jid),
    /// This side is not in the room any more.
    Lost,
    /// Nothing of interest.
    None,
}

/// Membership in the brewery.
#[derive(Debug)]
pub(crate) struct Brewery {
    occupant: Jid,
    retry: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No stream.
    Offline,
    /// The join was sent, or has to be sent again, at the latest then.
    Joining {
        again_at: Instant,
    },
    Joined,
}

impl Brewery {
    pub(crate) fn new(occupant: Jid, retry: Duration) -> Self {
        Self { occupant, retry, state: State::Offline }
    }

    /// The stream is up; answers the presence that joins.
    pub(crate) fn join(&mut self, now: Instant) -> Element {
        self.state = State::Joining { again_at: now + self.retry };
        muc::join_presence(&self.occupant)
    }

    pub(crate) fn on_link_down(&mut self) {
        self.state = State::Offline;
    }

    /// Whether a stanza from this address belongs here.
    pub(crate) fn is_room_of(&self, from: &Jid) -> bool {
        from.bare_str() == self.occupant.bare_str()
    }

    pub(crate) fn on_presence(&mut self, from: &Jid, presence: &Element, now: Instant) -> BreweryEvent {
        let presence_type = presence.attr("type");
        if *from == self.occupant {
            return match presence_type {
                None => {
                    if !matches!(self.state, State::Joined) {
                        tracing::info!(brewery = from.bare_str(), "joined the brewery");
                    }
                    self.state = State::Joined;
                    BreweryEvent::None
                }
                _ => {
                    tracing::warn!(brewery = from.bare_str(), presence = ?presence_type, "not in the brewery, will retry");
                    self.state = State::Joining { again_at: now + self.retry };
                    BreweryEvent::Lost
                }
            };
        }
        match presence_type {
            None => match presence.child("stats", ns::COLIBRI).map(BridgeStats::from_element) {
                Some(Ok(stats)) => BreweryEvent::Stats(from.clone(), stats),
                Some(Err(error)) => {
                    tracing::warn!(bridge = %from, %error, "statistics of a bridge ignored");
                    BreweryEvent::None
                }
                // Another focus, or an operator.
                None => BreweryEvent::None,
            },
            Some("unavailable") => BreweryEvent::Left(from.clone()),
            Some(_) => BreweryEvent::None,
        }
    }

    /// When [`Brewery::on_timeout`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Joining { again_at } => Some(again_at),
            State::Offline | State::Joined => None,
        }
    }

    /// Answers the presence to send, when the last one was not answered in time.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> Option<Element> {
        self.deadline().filter(|&at| at <= now).map(|_| self.join(now))
    }
}
