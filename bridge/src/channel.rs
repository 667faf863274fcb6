//! The bridge channel of one endpoint: which transport carries it, and how much a client may say.
//!
//! Here: the choice between data channel and WebSocket, the rate limit. Not here: what messages mean (`conference`).

use crate::rate_limit::Rate;

/// Identifies a WebSocket of the bridge channel for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WebSocketId(pub(crate) u64);

/// Messages that a client may send. Constraints change at most some times a second; a broadcast goes to everybody, so that
/// this bounds what one client can make others receive.
pub(crate) const MESSAGE_RATE: Rate = Rate { burst: 100, per_second: 20 };

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
