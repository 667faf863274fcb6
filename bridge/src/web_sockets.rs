//! Bridge channels over WebSocket: who may open one, and what becomes of it.
//!
//! Here: sans-IO; ids and what goes to them. Not here: the sockets (`shell`), what is said (`conference`).

use std::time::Instant;

use model::EndpointId;

use crate::channel::{ChannelTransport, WebSocketId};
use crate::connection::{Member, MemberKey};
use crate::dial::Dial;
use crate::relay::Relay;
use crate::videobridge::Videobridge;

/// Which bridge channel a WebSocket is for, as its URL says.
#[derive(Clone, Debug)]
pub(crate) struct ChannelAddress {
    /// The conference's name in URLs.
    pub(crate) conference: String,
    pub(crate) member: ChannelMember,
    /// Secret.
    pub(crate) pwd: String,
}

/// Whose channel it is.
#[derive(Clone, Debug)]
pub(crate) enum ChannelMember {
    /// By endpoint id.
    Endpoint(String),
    /// By the `relay_id` of the other bridge.
    Relay(String),
}

/// A WebSocket that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelRefusal {
    /// Unknown conference, endpoint or relay, or a wrong secret; which, is nobody's business.
    Forbidden,
}

/// A URL of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL of a relay's WebSocket begins with ws:// or wss://")]
pub(crate) struct NotAWebSocket;

/// What goes to WebSockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelOutput {
    /// Send this text.
    Text {
        /// To this one.
        id: WebSocketId,
        /// The message.
        text: String,
    },
    /// Open one to another bridge.
    Dial {
        /// As this one.
        id: WebSocketId,
        /// Where it is, with a secret.
        url: String,
    },
    /// Close it.
    Close {
        /// This one.
        id: WebSocketId,
        /// Status code (RFC 6455 §7.4).
        code: u16,
        /// Words beside it.
        reason: &'static str,
    },
}

impl Videobridge {
    /// Lets a WebSocket of a client or another bridge in; one that it had before is closed.
    ///
    /// # Errors
    /// [`ChannelRefusal`] when the address does not name an endpoint or relay and its secret.
    pub(crate) fn open_web_socket(
        &mut self,
        address: &ChannelAddress,
        now: Instant,
    ) -> Result<WebSocketId, ChannelRefusal> {
        let key = self.authenticate(address).ok_or(ChannelRefusal::Forbidden)?;
        let id = self.new_web_socket(key);
        self.use_web_socket(key, id, now);
        Ok(id)
    }

    fn new_web_socket(&mut self, key: MemberKey) -> WebSocketId {
        self.last_web_socket += 1;
        let id = WebSocketId(self.last_web_socket);
        self.web_sockets.insert(id, key);
        id
    }

    /// An open WebSocket carries a member's channel from now on.
    fn use_web_socket(&mut self, key: MemberKey, id: WebSocketId, now: Instant) {
        let replaced = self.connection_mut(key).and_then(|connection| connection.channel.open_web_socket(id));
        if let Some(id) = replaced {
            self.close_web_socket(id, 1000, "replaced");
        }
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            match key.member {
                Member::Endpoint(key) => conference.greet(key, &mut context),
                Member::Relay(key) => conference.greet_relay(key, &mut context),
            }
        }
        self.settle(now);
    }

    fn authenticate(&self, address: &ChannelAddress) -> Option<MemberKey> {
        let conference = *self.by_channel_name.get(&address.conference)?;
        let state = self.conferences.get(conference)?;
        let (member, connection) = match &address.member {
            ChannelMember::Endpoint(id) => {
                let key = *state.by_id.get(&id.parse::<EndpointId>().ok()?)?;
                (Member::Endpoint(key), &state.endpoints.get(key)?.connection)
            }
            ChannelMember::Relay(id) => {
                let key = *state.relay_by_id.get(id)?;
                (Member::Relay(key), &state.relays.get(key)?.connection)
            }
        };
        let is_right = constant_time_eq(connection.web_socket_pwd.as_bytes(), address.pwd.as_bytes());
        is_right.then_some(MemberKey { conference, member })
    }

    /// The focus tells where the other bridge of a relay waits for a WebSocket. Told again, nothing changes.
    ///
    /// # Errors
    /// [`NotAWebSocket`] for another kind of URL.
    pub(crate) fn set_relay_url(&mut self, key: MemberKey, url: &str, now: Instant) -> Result<(), NotAWebSocket> {
        let Member::Relay(relay) = key.member else { return Ok(()) };
        let state = self.conferences.get_mut(key.conference);
        let Some(relay) = state.and_then(|state| state.relays.get_mut(relay)) else { return Ok(()) };
        if relay.dial.as_ref().is_some_and(|dial| dial.url() == url) {
            return Ok(());
        }
        let before = relay.dial.replace(Dial::new(url, now).ok_or(NotAWebSocket)?);
        let before = before.as_ref().and_then(Dial::socket);
        if let Some(id) = before {
            self.close_web_socket(id, 1000, "replaced");
        }
        self.dial_relays(key.conference, now);
        Ok(())
    }

    /// Opens the WebSockets to other bridges that are due.
    pub(crate) fn dial_relays(&mut self, conference: usize, now: Instant) {
        let Some(state) = self.conferences.get_mut(conference) else { return };
        let is_due = |relay: &Relay| relay.dial.as_ref().and_then(Dial::due).is_some_and(|due| due <= now);
        let due: Vec<usize> = state.relays.iter().filter(|(_, relay)| is_due(relay)).map(|(key, _)| key).collect();
        for place in due {
            let id = self.new_web_socket(MemberKey { conference, member: Member::Relay(place) });
            let relay = self.conferences.get_mut(conference).and_then(|state| state.relays.get_mut(place));
            let Some(dial) = relay.and_then(|relay| relay.dial.as_mut()) else { continue };
            dial.begin(id);
            let url = dial.url().to_owned();
            self.channel_outputs.push_back(ChannelOutput::Dial { id, url });
        }
    }

    /// Whether a WebSocket leads to another bridge.
    #[cfg(test)]
    pub(crate) fn is_relay_socket(&self, id: WebSocketId) -> bool {
        self.web_sockets.get(&id).is_some_and(|key| matches!(key.member, Member::Relay(_)))
    }

    fn dial_mut(&mut self, key: MemberKey) -> Option<&mut Dial> {
        let Member::Relay(relay) = key.member else { return None };
        self.conferences.get_mut(key.conference)?.relays.get_mut(relay)?.dial.as_mut()
    }

    /// A WebSocket to another bridge is open.
    pub(crate) fn handle_web_socket_opened(&mut self, id: WebSocketId, now: Instant) {
        let Some(&key) = self.web_sockets.get(&id) else { return };
        if self.dial_mut(key).is_some_and(|dial| dial.handle_open(id)) {
            self.use_web_socket(key, id, now);
        }
    }

    /// A text from a WebSocket.
    pub(crate) fn handle_web_socket_text(&mut self, id: WebSocketId, text: &str, now: Instant) {
        let Some(&key) = self.web_sockets.get(&id) else { return };
        self.metrics.web_socket_received.inc();
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            match key.member {
                Member::Endpoint(key) => conference.handle_channel_text(key, text, &mut context),
                Member::Relay(key) => conference.handle_relay_text(key, text, &mut context),
            }
        }
        self.settle(now);
    }

    /// A WebSocket is gone. If there is a data channel too, that takes over; to another bridge it is tried again.
    pub(crate) fn handle_web_socket_closed(&mut self, id: WebSocketId, now: Instant) {
        let Some(key) = self.web_sockets.remove(&id) else { return };
        if let Some(dial) = self.dial_mut(key) {
            dial.handle_closed(id, now);
        }
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            let closed = ChannelTransport::WebSocket(id);
            match key.member {
                Member::Endpoint(key) => conference.handle_channel_closed(key, closed, &mut context),
                Member::Relay(key) => conference.handle_relay_channel_closed(key, closed, &mut context),
            }
        }
        self.settle(now);
        self.schedule_conference(key.conference);
    }

    /// Nothing from this WebSocket is heard any more, and it is closed.
    pub(crate) fn close_web_socket(&mut self, id: WebSocketId, code: u16, reason: &'static str) {
        self.web_sockets.remove(&id);
        self.channel_outputs.push_back(ChannelOutput::Close { id, code, reason });
    }
}

/// Compares without telling by its time where the difference is.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_only_byte_by_byte() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
    }
}
