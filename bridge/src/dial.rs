//! The WebSocket that this bridge opens to another one as the channel of a relay, where the two have no data channel
//! (bridge.md §2.6): the focus tells one side the URL of the other.
//!
//! Here: when it is tried, and again. Not here: the socket (`shell`), what goes over it (`conference::relays`).

use std::time::{Duration, Instant};

use crate::channel::WebSocketId;

/// First pause before another try; it doubles with each that fails, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest URL that is taken; the own ones have a hundred bytes.
const MAX_URL_LEN: usize = 2048;

/// Where to, and how far it came.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    url: String,
    state: DialState,
    /// Before the next try.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialState {
    /// A try is due from then on.
    Waiting(Instant),
    Connecting(WebSocketId),
    Open(WebSocketId),
}

impl Dial {
    /// A try at once. `None`: that is no URL of a WebSocket.
    pub(crate) fn new(url: &str, now: Instant) -> Option<Self> {
        let state = DialState::Waiting(now);
        let is_usable = net::is_web_socket_url(url) && url.len() <= MAX_URL_LEN;
        is_usable.then(|| Self { url: url.to_owned(), state, pause: FIRST_PAUSE })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// When [`begin`](Self::begin) is to be called.
    pub(crate) const fn due(&self) -> Option<Instant> {
        match self.state {
            DialState::Waiting(until) => Some(until),
            DialState::Connecting(_) | DialState::Open(_) => None,
        }
    }

    /// A try goes on under this id.
    pub(crate) const fn begin(&mut self, id: WebSocketId) {
        self.state = DialState::Connecting(id);
    }

    /// The socket is open. Answers whether it is the one that was tried last.
    pub(crate) fn handle_open(&mut self, id: WebSocketId) -> bool {
        if self.state != DialState::Connecting(id) {
            return false;
        }
        (self.state, self.pause) = (DialState::Open(id), FIRST_PAUSE);
        true
    }

    /// The socket did not open, or is closed: after a pause there is another try.
    pub(crate) fn handle_closed(&mut self, id: WebSocketId, now: Instant) {
        if [DialState::Connecting(id), DialState::Open(id)].contains(&self.state) {
            self.state = DialState::Waiting(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The socket that there is, open or not.
    pub(crate) const fn socket(&self) -> Option<WebSocketId> {
        match self.state {
            DialState::Waiting(_) => None,
            DialState::Connecting(id) | DialState::Open(id) => Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_with_growing_pauses_until_one_succeeds() {
        let mut now = sim::start();
        let mut dial = Dial::new("wss://bridge.example/colibri-relay-ws/a/b/c?pwd=d", now).unwrap();
        let mut pauses = Vec::new();
        for id in (0..8).map(WebSocketId) {
            pauses.push(dial.due().unwrap().saturating_duration_since(now).as_secs());
            now = dial.due().unwrap();
            dial.begin(id);
            assert_eq!((dial.due(), dial.socket()), (None, Some(id)));
            dial.handle_closed(WebSocketId(99), now);
            assert_eq!(dial.socket(), Some(id), "that was another one");
            dial.handle_closed(id, now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        dial.begin(WebSocketId(9));
        assert!(!dial.handle_open(WebSocketId(7)) && dial.handle_open(WebSocketId(9)));
        dial.handle_closed(WebSocketId(9), now);
        assert_eq!(dial.due(), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn other_urls_are_not_taken() {
        let now = sim::start();
        assert!(Dial::new("http://bridge.example/", now).is_none());
        assert!(Dial::new(&format!("wss://{}", "x".repeat(MAX_URL_LEN)), now).is_none());
    }
}
