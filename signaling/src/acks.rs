//! What a session with stream management remembers (XEP-0198 §4–§5): counts both ways and what is not acknowledged.

use std::collections::VecDeque;

use xmpp::AddressedStanza;

/// Unacknowledged stanzas after which the client is asked for its count, as stock servers do.
const REQUEST_AFTER: usize = 5;

/// Counts and queue of one session. Counts are modulo 2³².
#[derive(Debug)]
pub(crate) struct Acks {
    /// The id to resume with, when the client wanted resumption.
    resume_id: Option<String>,
    /// Stanzas of the client that were handled.
    handled: u32,
    /// Stanzas to the client that it said it handled.
    acknowledged: u32,
    /// Stanzas to the client after those, oldest first.
    unacknowledged: VecDeque<AddressedStanza>,
    /// Bytes in those.
    bytes: usize,
    /// A request for the client's count is on its way.
    is_requested: bool,
    limits: QueueLimits,
}

/// How much may be unacknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    pub(crate) stanzas: usize,
    pub(crate) bytes: usize,
}

/// More stanzas are unacknowledged than are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// The client says that it handled more stanzas than it was sent (XEP-0198 §4), or fewer than before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HandledCountWrong {
    pub(crate) claimed: u32,
    pub(crate) sent: u32,
}

impl Acks {
    pub(crate) fn new(resume_id: Option<String>, limits: QueueLimits) -> Self {
        Self {
            resume_id,
            handled: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            bytes: 0,
            is_requested: false,
            limits,
        }
    }

    pub(crate) fn resume_id(&self) -> Option<&str> {
        self.resume_id.as_deref()
    }

    /// Stanzas of the client that were handled: the `h` to tell it.
    pub(crate) fn handled(&self) -> u32 {
        self.handled
    }

    /// Counts a stanza of the client.
    pub(crate) fn on_received(&mut self) {
        self.handled = self.handled.wrapping_add(1);
    }

    /// Remembers a stanza to the client until it is acknowledged.
    pub(crate) fn on_sent(&mut self, stanza: AddressedStanza) -> Result<(), QueueFull> {
        let bytes = self.bytes + stanza.byte_len();
        if self.unacknowledged.len() >= self.limits.stanzas || bytes > self.limits.bytes {
            return Err(QueueFull);
        }
        self.bytes = bytes;
        self.unacknowledged.push_back(stanza);
        Ok(())
    }

    /// Whether to ask for the client's count now; it is asked once until it answers.
    pub(crate) fn should_request(&mut self) -> bool {
        let should = !self.is_requested && self.unacknowledged.len() >= REQUEST_AFTER;
        self.is_requested |= should;
        should
    }

    /// Forgets what the client handled.
    pub(crate) fn on_ack(&mut self, h: u32) -> Result<(), HandledCountWrong> {
        let newly = h.wrapping_sub(self.acknowledged) as usize;
        if newly > self.unacknowledged.len() {
            let waiting = u32::try_from(self.unacknowledged.len()).unwrap_or(u32::MAX);
            return Err(HandledCountWrong { claimed: h, sent: self.acknowledged.wrapping_add(waiting) });
        }
        self.bytes -= self.unacknowledged.drain(..newly).map(|stanza| stanza.byte_len()).sum::<usize>();
        self.acknowledged = h;
        self.is_requested = false;
        Ok(())
    }

    /// Takes the session up again on a new stream: answers what the client has missed, oldest first.
    pub(crate) fn on_resume(&mut self, h: u32) -> Result<Vec<AddressedStanza>, HandledCountWrong> {
        self.on_ack(h)?;
        Ok(self.unacknowledged.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xmpp::{Element, SharedStanza};

    use super::*;

    fn to_a_client(element: Element) -> AddressedStanza {
        AddressedStanza::new(Arc::new(SharedStanza::new(element)), "a@b/c".into())
    }

    fn stanza(id: u32) -> AddressedStanza {
        to_a_client(Element::new("message", xmpp::ns::CLIENT).with_attr("id", id.to_string()))
    }

    const LIMITS: QueueLimits = QueueLimits { stanzas: 10, bytes: 10_000 };

    fn with_sent(count: u32) -> Acks {
        let mut acks = Acks::new(Some("id".to_owned()), LIMITS);
        for id in 0..count {
            acks.on_sent(stanza(id)).unwrap();
        }
        acks
    }

    #[test]
    fn asks_for_the_count_once_after_five_stanzas() {
        let mut acks = with_sent(4);
        assert!(!acks.should_request());
        acks.on_sent(stanza(4)).unwrap();
        assert!(acks.should_request());
        assert!(!acks.should_request());
        acks.on_ack(0).unwrap();
        assert!(acks.should_request(), "the answer covered nothing");
    }

    #[test]
    fn redelivers_exactly_what_the_client_missed() {
        let mut acks = with_sent(4);
        acks.on_ack(1).unwrap();
        let missed = acks.on_resume(3).unwrap();
        assert_eq!(
            missed.iter().map(|missed| missed.to_element().attr("id").unwrap().to_owned()).collect::<Vec<_>>(),
            ["3"]
        );
        assert_eq!(acks.on_resume(3).unwrap().len(), 1, "a second loss redelivers again");
    }

    #[test]
    fn a_count_above_what_was_sent_or_below_the_last_is_wrong() {
        let mut acks = with_sent(2);
        assert_eq!(acks.on_ack(3), Err(HandledCountWrong { claimed: 3, sent: 2 }));
        acks.on_ack(2).unwrap();
        assert!(acks.on_ack(1).is_err());
    }

    #[test]
    fn counts_roll_over() {
        let mut acks = Acks::new(None, LIMITS);
        acks.acknowledged = u32::MAX;
        acks.handled = u32::MAX;
        acks.on_received();
        assert_eq!(acks.handled(), 0);
        acks.on_sent(stanza(0)).unwrap();
        acks.on_sent(stanza(1)).unwrap();
        acks.on_ack(1).unwrap();
        assert_eq!(acks.on_resume(1).unwrap().len(), 0);
    }

    #[test]
    fn the_queue_is_bounded_in_stanzas_and_bytes() {
        let mut acks = with_sent(10);
        assert_eq!(acks.on_sent(stanza(10)), Err(QueueFull));
        acks.on_ack(10).unwrap();
        let large = || to_a_client(Element::new("message", xmpp::ns::CLIENT).with_text("x".repeat(6000)));
        acks.on_sent(large()).unwrap();
        assert_eq!(acks.on_sent(large()), Err(QueueFull));
        acks.on_ack(11).unwrap();
        acks.on_sent(large()).unwrap();
    }
}
