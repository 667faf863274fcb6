//! Rooms in which services announce themselves: bridges, recorders, gateways to telephones.
//!
//! Here: membership. Not here: what services say of themselves (`bridge`, `jibri`, `jigasi`).

use std::time::{Duration, Instant};

use xmpp::{Element, Jid};

use crate::muc;
use crate::settings::Settings;

/// Whose room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreweryKind {
    /// Bridges.
    Bridges,
    /// Recorders.
    Jibris,
    /// Recorders that make calls over SIP.
    SipJibris,
    /// Gateways to telephones, and transcribers.
    Jigasis,
}

/// What happened in a brewery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BreweryEvent {
    /// An occupant came, or says something new in its presence.
    Said(Jid),
    /// An occupant left.
    Left(Jid),
    /// This side is not in the room any more.
    Lost,
    /// Nothing of interest.
    None,
}

/// Membership in one brewery.
#[derive(Debug)]
pub(crate) struct Brewery {
    pub(crate) kind: BreweryKind,
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
    /// All breweries of `settings`, outside of them yet.
    ///
    /// # Errors
    /// [`xmpp::InvalidJid`] when the nick of `settings` cannot be one.
    pub(crate) fn all(settings: &Settings) -> Result<Vec<Self>, xmpp::InvalidJid> {
        let rooms = [
            (BreweryKind::Bridges, Some(&settings.brewery)),
            (BreweryKind::Jibris, settings.jibri.brewery.as_ref()),
            (BreweryKind::SipJibris, settings.jibri.sip_brewery.as_ref()),
            (BreweryKind::Jigasis, settings.jigasi_brewery.as_ref()),
        ];
        let more = settings.more_breweries.iter().map(|room| (BreweryKind::Bridges, Some(room)));
        let retry = settings.timers.brewery_retry;
        rooms
            .into_iter()
            .chain(more)
            .filter_map(|(kind, room)| Some((kind, room?)))
            .map(|(kind, room)| {
                Ok(Self { kind, occupant: room.with_resource(&settings.nick)?, retry, state: State::Offline })
            })
            .collect()
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
            None => BreweryEvent::Said(from.clone()),
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
