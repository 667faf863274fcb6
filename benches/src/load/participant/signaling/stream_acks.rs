//! Counts of stream management (XEP-0198 §4), as the stock client keeps them: it asks after each five stanzas.

use xmpp::sm::StreamManagement;

const ASK_AFTER: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct StreamAcks {
    received: u32,
    sent: u32,
}

impl StreamAcks {
    /// A stanza came.
    pub(super) const fn handle_stanza(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    /// A stanza left. Answers a request to send behind it, at times.
    pub(super) fn handle_sent(&mut self) -> Option<StreamManagement> {
        self.sent = self.sent.wrapping_add(1);
        self.sent.is_multiple_of(ASK_AFTER).then_some(StreamManagement::Request)
    }

    /// What answers a request of the server.
    pub(super) const fn acknowledgement(&self) -> StreamManagement {
        StreamManagement::Ack { h: self.received }
    }

    /// Whether the server can have handled so many.
    pub(super) const fn is_possible(&self, h: u32) -> bool {
        h <= self.sent
    }
}
