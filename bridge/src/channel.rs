//! The bridge channel of one endpoint: which transport carries it, and how much a client may say.
//!
//! Here: the choice between data channel and WebSocket, the rate limit. Not here: what messages mean (`conference`).

use std::time::Instant;

/// Identifies a WebSocket of the bridge channel for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WebSocketId(pub(crate) u64);

/// Messages that a client may send at once, and a second in the long run. Constraints change at most some times a
/// second; a broadcast goes to everybody, so that this bounds what one client can make others receive.
const MESSAGE_BURST: f64 = 100.0;
const MESSAGES_PER_SECOND: f64 = 20.0;

/// What carries an endpoint's bridge channel: what opened last (bridge.md §2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChannelTransport {
    /// Not open yet, or closed.
    #[default]
    None,
    /// SCTP over the endpoint's own DTLS.
    DataChannel,
    /// A WebSocket.
    WebSocket(WebSocketId),
}

/// The transports of one endpoint's bridge channel. Both may be open; messages come in on either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channel {
    active: ChannelTransport,
    has_data_channel: bool,
    web_socket: Option<WebSocketId>,
}

impl Channel {
    /// What messages to the client go over: what opened last.
    pub(crate) const fn active(self) -> ChannelTransport {
        self.active
    }

    pub(crate) const fn web_socket(self) -> Option<WebSocketId> {
        self.web_socket
    }

    pub(crate) fn open_data_channel(&mut self) {
        self.has_data_channel = true;
        self.active = ChannelTransport::DataChannel;
    }

    /// Answers the WebSocket that this one replaces.
    pub(crate) fn open_web_socket(&mut self, id: WebSocketId) -> Option<WebSocketId> {
        self.active = ChannelTransport::WebSocket(id);
        self.web_socket.replace(id)
    }

    /// A transport is gone. Answers whether another one takes over.
    pub(crate) fn close(&mut self, transport: ChannelTransport) -> bool {
        match transport {
            ChannelTransport::None => return false,
            ChannelTransport::DataChannel => self.has_data_channel = false,
            ChannelTransport::WebSocket(id) => self.web_socket = self.web_socket.filter(|open| *open != id),
        }
        if self.active != transport {
            return false;
        }
        self.active = match self.web_socket {
            Some(id) => ChannelTransport::WebSocket(id),
            None if self.has_data_channel => ChannelTransport::DataChannel,
            None => ChannelTransport::None,
        };
        self.active != ChannelTransport::None
    }
}

/// Lets through a burst, then a steady rate.
#[derive(Debug)]
pub(crate) struct MessageRate {
    tokens: f64,
    updated: Option<Instant>,
}

impl Default for MessageRate {
    fn default() -> Self {
        Self { tokens: MESSAGE_BURST, updated: None }
    }
}

impl MessageRate {
    /// Whether one more message may pass now.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if let Some(updated) = self.updated.replace(now) {
            let refill = now.saturating_duration_since(updated).as_secs_f64() * MESSAGES_PER_SECOND;
            self.tokens = (self.tokens + refill).min(MESSAGE_BURST);
        }
        let is_admitted = self.tokens >= 1.0;
        if is_admitted {
            self.tokens -= 1.0;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_steady_rate() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let mut now = Instant::now();
        let mut rate = MessageRate::default();
        let burst = (0..1000).filter(|_| rate.admit(now)).count();
        assert_eq!(burst, 100);
        now += Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| rate.admit(now)).count(), 20);
    }
}
