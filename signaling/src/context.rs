//! What routing and rooms need while they handle one stanza: the time, chance, settings, and where answers go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rand::Rng as _;
use rand::rngs::StdRng;
use xmpp::{Element, Jid, SharedStanza, StanzaError, iq_error};

use crate::client::Client;
use crate::muc::RoomEvent;
use crate::{Metrics, Settings};

/// The time of an input, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timeouts.
    pub instant: Instant,
    /// For what people read: milliseconds since 1970 (UTC).
    pub unix_ms: u64,
}

/// A stanza on its way to a bound session.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) to: Jid,
    pub(crate) stanza: Arc<SharedStanza>,
}

/// Passed down the call tree of one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    pub(crate) metrics: &'a Metrics,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) outbox: &'a mut VecDeque<Delivery>,
    /// What happened in rooms and was not acted on yet.
    pub(crate) room_events: &'a mut VecDeque<RoomEvent>,
}

/// Who sent a stanza.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    /// The full JID.
    pub(crate) jid: &'a Jid,
    /// Whether it is a service account.
    pub(crate) is_service: bool,
    /// The host that its client reached this server at, where the answer depends on it.
    pub(crate) host: Option<&'a str>,
    /// What its session brought along.
    pub(crate) client: &'a Arc<Client>,
}

impl Context<'_> {
    /// Sends a stanza to a session, addressed to its full JID.
    pub(crate) fn send(&mut self, to: &Jid, stanza: Element) {
        self.outbox.push_back(Delivery { to: to.clone(), stanza: Arc::new(SharedStanza::new(stanza)) });
    }

    /// Sends a stanza that others get too, or got, addressed to the session's full JID.
    pub(crate) fn send_shared(&mut self, to: &Jid, stanza: &Arc<SharedStanza>) {
        self.outbox.push_back(Delivery { to: to.clone(), stanza: Arc::clone(stanza) });
    }

    /// Sends one stanza to many sessions, each time addressed to the full JID. It is written once.
    pub(crate) fn send_to_all<'j>(&mut self, receivers: impl IntoIterator<Item = &'j Jid>, stanza: Element) {
        let stanza = Arc::new(SharedStanza::new(stanza));
        let deliveries = receivers.into_iter().map(|to| Delivery { to: to.clone(), stanza: Arc::clone(&stanza) });
        self.outbox.extend(deliveries);
    }

    /// Answers a stanza of `sender` with an error. Errors and results are never answered (RFC 6120 §8.2.3, §8.3.1).
    pub(crate) fn refuse(&mut self, sender: &Jid, stanza: &Element, error: &StanzaError) {
        if !matches!(stanza.attr("type"), Some("error" | "result")) {
            self.send(sender, iq_error(stanza, error));
        }
    }

    /// Answers an IQ of `sender`.
    pub(crate) fn answer(&mut self, sender: &Jid, request: &Element, result: Result<Element, StanzaError>) {
        match result {
            Ok(answer) => self.send(sender, answer),
            Err(error) => self.refuse(sender, request, &error),
        }
    }

    /// A fresh id that nobody can guess.
    pub(crate) fn random_uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random::<u128>().to_be_bytes()).into_uuid().hyphenated().to_string()
    }
}
