//! The bridge as an XMPP entity: it stands in the brewery room, tells its load, and takes orders from the focus there
//! (bridge.md §1.1–1.2).
//!
//! Here: presence, which requests are taken from whom, and their answers. Not here: what a Colibri2 request does
//! (`bridge`), how stanzas travel (`shell`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jitsi_protocol::colibri2::{ColibriError, ConferenceModified, ConferenceModify};
use xmpp::{Condition, Element, Jid, StanzaError, iq_error, iq_result, ns};

use crate::Settings;
use crate::load::{Load, announcement};
use crate::shutdown::Readiness;

/// Presence is repeated this often, as JVB's is.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);
/// A join that the room did not answer, or refused, is tried again after this time.
const JOIN_RETRY: Duration = Duration::from_secs(2);

/// What it calls itself.
pub(crate) const NAME: &str = "Teranga bridge";

/// Features that a focus looks for (bridge.md §1.1 item 5).
const FEATURES: [&str; 4] = [ns::HEALTHCHECK, ns::JINGLE_DTLS, ns::JINGLE_ICE_UDP, ns::VERSION];

/// What goes into the brewery.
#[derive(Debug)]
pub(crate) enum Input {
    /// The stream is bound.
    LinkUp,
    /// The stream is gone.
    LinkDown,
    /// A stanza came in.
    Stanza(Element),
    /// The bridge answered the request of that number.
    Answer(Request, Result<ConferenceModified, ColibriError>),
    /// The load was measured.
    Load(Load),
    /// Somebody wants the bridge to be avoided, or to end: the focus is told at once.
    Readiness(Readiness),
}

/// A Colibri2 request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Request(Element);

/// What the brewery wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this stanza.
    Send(Element),
    /// Ask the bridge, and bring back the answer as [`Input::Answer`].
    Colibri(Request, ConferenceModify),
    /// Nothing until then.
    Timeout(Instant),
}

/// Presence and request handling of one bridge in its brewery.
#[derive(Debug)]
pub(crate) struct Brewery {
    settings: Settings,
    occupant: Jid,
    load: Load,
    readiness: Readiness,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Offline,
    Joining { retry_at: Instant },
    Joined { presence_at: Instant },
}

impl Brewery {
    /// A bridge that is not connected yet.
    ///
    /// # Errors
    /// [`xmpp::InvalidJid`] when the nick is none.
    pub(crate) fn new(settings: Settings) -> Result<Self, xmpp::InvalidJid> {
        let occupant = settings.brewery.with_resource(&settings.nick)?;
        let readiness = Readiness { drain: settings.initial_drain, ..Readiness::default() };
        let outputs = VecDeque::new();
        Ok(Self { settings, occupant, load: Load::IDLE, readiness, state: State::Offline, outputs })
    }

    /// Takes an input at the time `now`.
    pub(crate) fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::LinkUp => self.join(now),
            Input::LinkDown => self.state = State::Offline,
            Input::Stanza(stanza) => self.handle_stanza(&stanza, now),
            Input::Answer(Request(iq), answer) => {
                self.send(match answer {
                    Ok(modified) => iq_result(&iq).with_child(modified.to_element()),
                    Err(error) => iq_error(&iq, &error.to_stanza_error()),
                });
            }
            Input::Load(load) => self.load = load,
            Input::Readiness(readiness) => {
                self.readiness = readiness;
                if let State::Joined { .. } = self.state {
                    self.send_presence(now);
                }
            }
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Joining { retry_at } if retry_at <= now => self.join(now),
            State::Joined { presence_at } if presence_at <= now => {
                self.send_presence(now);
            }
            State::Offline | State::Joining { .. } | State::Joined { .. } => {}
        }
    }

    /// The next thing to do; after [`Output::Timeout`], or at `None` while offline, wait for input.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or(match self.state {
            State::Offline => None,
            State::Joining { retry_at: at } | State::Joined { presence_at: at } => Some(Output::Timeout(at)),
        })
    }

    fn join(&mut self, now: Instant) {
        self.send(self.presence().with_child(Element::new("x", ns::MUC)));
        self.state = State::Joining { retry_at: now + JOIN_RETRY };
    }

    fn send_presence(&mut self, now: Instant) {
        self.send(self.presence());
        self.state = State::Joined { presence_at: now + PRESENCE_INTERVAL };
    }

    fn presence(&self) -> Element {
        let stats = announcement(&self.settings, &self.load, self.readiness);
        Element::new("presence", ns::CLIENT).with_attr("to", &self.occupant).with_child(stats.to_element())
    }

    /// Whether it stands in the room.
    pub(crate) const fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined { .. })
    }

    fn send(&mut self, stanza: Element) {
        self.outputs.push_back(Output::Send(stanza));
    }

    fn handle_stanza(&mut self, stanza: &Element, now: Instant) {
        match (stanza.name(), stanza.attr("type")) {
            ("presence", kind) => self.handle_presence(stanza, kind, now),
            ("iq", Some("get" | "set")) => self.handle_request(stanza),
            // Answers to what we never ask, and messages of the room, need nothing.
            _ => {}
        }
    }

    fn handle_presence(&mut self, presence: &Element, kind: Option<&str>, now: Instant) {
        let is_own = presence.attr("from") == Some(self.occupant.as_str());
        match (is_own, kind, self.state) {
            (true, None, State::Joining { .. }) => {
                tracing::info!(brewery = %self.settings.brewery, "announced to the focus");
                self.state = State::Joined { presence_at: now + PRESENCE_INTERVAL };
            }
            (true, Some("error"), _) => {
                let error = StanzaError::of_stanza(presence);
                tracing::warn!(brewery = %self.settings.brewery, condition = error.condition.as_str(), text = error.text, "cannot join the brewery");
                self.state = State::Joining { retry_at: now + JOIN_RETRY };
            }
            (true, Some("unavailable"), State::Joined { .. }) => {
                tracing::warn!(brewery = %self.settings.brewery, "was put out of the brewery");
                self.state = State::Joining { retry_at: now + JOIN_RETRY };
            }
            (_, _, State::Offline | State::Joining { .. } | State::Joined { .. }) => {}
        }
    }

    fn handle_request(&mut self, iq: &Element) {
        let Some(payload) = iq.children().next() else {
            return self.refuse(iq, StanzaError::new(Condition::BadRequest));
        };
        let is_of_brewery = iq
            .attr("from")
            .and_then(|from| from.parse::<Jid>().ok())
            .is_some_and(|from| from.bare_str() == self.settings.brewery.as_str());
        if !is_of_brewery {
            return self.refuse(iq, StanzaError::new(Condition::Forbidden));
        }
        match (payload.name(), payload.ns()) {
            ("conference-modify", ns::COLIBRI2) => match ConferenceModify::from_element(payload) {
                Ok(request) => self.outputs.push_back(Output::Colibri(Request(iq.clone()), request)),
                Err(error) => self.refuse(iq, error.to_stanza_error()),
            },
            ("healthcheck", ns::HEALTHCHECK) if self.load.is_healthy => self.send(iq_result(iq)),
            ("healthcheck", ns::HEALTHCHECK) => self.refuse(iq, StanzaError::new(Condition::InternalServerError)),
            ("query", ns::VERSION) => {
                let part = |name, text: &str| Element::new(name, ns::VERSION).with_text(text);
                let version = Element::new("query", ns::VERSION)
                    .with_child(part("name", NAME))
                    .with_child(part("version", &self.settings.version))
                    .with_child(part("os", std::env::consts::OS));
                self.send(iq_result(iq).with_child(version));
            }
            ("query", ns::DISCO_INFO) => {
                let identity = Element::new("identity", ns::DISCO_INFO)
                    .with_attr("category", "component")
                    .with_attr("type", "generic")
                    .with_attr("name", NAME);
                let features = FEATURES.map(|var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var));
                let query = Element::new("query", ns::DISCO_INFO).with_child(identity).with_children(features);
                self.send(iq_result(iq).with_child(query));
            }
            ("ping", ns::PING) => self.send(iq_result(iq)),
            _ => self.refuse(iq, StanzaError::new(Condition::FeatureNotImplemented)),
        }
    }

    fn refuse(&mut self, iq: &Element, error: StanzaError) {
        self.send(iq_error(iq, &error));
    }
}

#[cfg(test)]
mod tests;
