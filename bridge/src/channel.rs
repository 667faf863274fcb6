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
