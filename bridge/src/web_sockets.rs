//! Bridge channels over WebSocket: who may open one, and what becomes of it.
//!
//! Here: sans-IO; ids and what goes to them. Not here: the sockets (`shell`), what is said (`conference`).

use std::time::Instant;

use model::EndpointId;

use crate::channel::{ChannelTransport, WebSocketId};
use crate::connection::Member;
use crate::videobridge::{EndpointKey, Videobridge};

/// Which bridge channel a WebSocket is for, as its URL says.
#[derive(Clone, Debug)]
pub(crate) struct ChannelAddress {
    /// The conference's name in URLs.
    pub(crate) conference: String,
    /// Endpoint id.
    pub(crate) endpoint: String,
    /// Secret.
    pub(crate) pwd: String,
}

/// A WebSocket that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelRefusal {
    /// Unknown conference or endpoint, or a wrong secret; which, is nobody's business.
    Forbidden,
}

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
    /// Lets a client's WebSocket in; one that the endpoint had before is closed.
    ///
    /// # Errors
    /// [`ChannelRefusal`] when the address does not name an endpoint and its secret.
    pub(crate) fn open_web_socket(
        &mut self,
        address: &ChannelAddress,
        now: Instant,
    ) -> Result<WebSocketId, ChannelRefusal> {
        let key = self.authenticate(address).ok_or(ChannelRefusal::Forbidden)?;
        self.last_web_socket += 1;
        let id = WebSocketId(self.last_web_socket);
        self.web_sockets.insert(id, key.into());
        let replaced = self.endpoint_mut(key).and_then(|endpoint| endpoint.connection.channel.open_web_socket(id));
        if let Some(id) = replaced {
            self.close_web_socket(id, 1000, "replaced");
        }
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            conference.greet(key.endpoint, &mut context);
        }
        self.settle(now);
        Ok(id)
    }

    fn authenticate(&self, address: &ChannelAddress) -> Option<EndpointKey> {
        let conference = *self.by_channel_name.get(&address.conference)?;
        let state = self.conferences.get(conference)?;
        let endpoint = *state.by_id.get(&address.endpoint.parse::<EndpointId>().ok()?)?;
        let pwd = &state.endpoints.get(endpoint)?.connection.web_socket_pwd;
        constant_time_eq(pwd.as_bytes(), address.pwd.as_bytes()).then_some(EndpointKey { conference, endpoint })
    }

    /// A text from a client's WebSocket.
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

    /// A client's WebSocket is gone. If it has a data channel too, that takes over.
    pub(crate) fn handle_web_socket_closed(&mut self, id: WebSocketId, now: Instant) {
        let Some(key) = self.web_sockets.remove(&id) else { return };
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            let closed = ChannelTransport::WebSocket(id);
            match key.member {
                Member::Endpoint(key) => conference.handle_channel_closed(key, closed, &mut context),
                Member::Relay(key) => conference.handle_relay_channel_closed(key, closed, &mut context),
            }
        }
        self.settle(now);
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
