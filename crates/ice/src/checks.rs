//! Which check went where, so that an answer counts only from there (RFC 8445 §7.2.5.2.1).
//!
//! The check list of `is` knows transactions but not the protocol that they went over, and neither does its answer to
//! "is this address validated". Here a transaction is bound to the peer's address and protocol.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::PeerAddress;

use crate::stun::{BINDING_REQUEST, StunFrame, TransactionId};

/// The checks of one generation that may still be answered.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    transaction: TransactionId,
    to: PeerAddress,
    at: Instant,
}

impl Checks {
    /// Notes a STUN message that leaves now, if it is a request.
    pub(crate) fn note_sent(&mut self, now: Instant, datagram: &[u8], to: PeerAddress) {
        let Some(StunFrame { message_type: BINDING_REQUEST, transaction, .. }) = StunFrame::parse(datagram) else {
            return;
        };
        while self.sent.front().is_some_and(|sent| now.saturating_duration_since(sent.at) > ANSWERED_WITHIN) {
            self.sent.pop_front();
        }
        if self.sent.len() >= MAX_CHECKS {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { transaction, to, at: now });
    }

    /// Whether a response is the first one to a check that went to `from`.
    pub(crate) fn is_asked(&self, response: &[u8], from: PeerAddress) -> bool {
        self.position(response, from).is_some()
    }

    /// Forgets the check that `response` has answered.
    pub(crate) fn on_answered(&mut self, response: &[u8], from: PeerAddress) {
        if let Some(index) = self.position(response, from) {
            self.sent.remove(index);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
    }

    fn position(&self, response: &[u8], from: PeerAddress) -> Option<usize> {
        let StunFrame { transaction, .. } = StunFrame::parse(response)?;
        // The latest first: an answer is rarely late.
        self.sent.iter().rposition(|sent| sent.transaction == transaction && sent.to == from)
    }
}

/// An answer that takes longer says nothing about the path as it is now.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What a check list that sends every 20 ms (`TIMING_ADVANCE`) sends in the time above.
const MAX_CHECKS: usize = 512;

#[cfg(test)]
mod tests {
    use model::TransportProtocol;

    use crate::stun::MAGIC_COOKIE;

    use super::*;

    fn message(message_type: u16, transaction: u16) -> Vec<u8> {
        let mut message = vec![0; 20];
        message[4..8].copy_from_slice(&MAGIC_COOKIE);
        message[..2].copy_from_slice(&message_type.to_be_bytes());
        message[18..].copy_from_slice(&transaction.to_be_bytes());
        message
    }

    fn peer() -> PeerAddress {
        PeerAddress::udp("198.51.100.2:40000".parse().unwrap())
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn answer_counts_once_and_only_from_where_the_check_went() {
        let mut checks = Checks::default();
        checks.note_sent(start(), &message(BINDING_REQUEST, 7), peer());
        let answer = message(0x0101, 7);
        assert!(!checks.is_asked(&answer, PeerAddress { protocol: TransportProtocol::Tcp, ..peer() }));
        assert!(!checks.is_asked(&answer, PeerAddress::udp("198.51.100.2:40001".parse().unwrap())));
        assert!(!checks.is_asked(&message(0x0101, 8), peer()));
        assert!(checks.is_asked(&answer, peer()));
        checks.on_answered(&answer, peer());
        assert!(!checks.is_asked(&answer, peer()), "replayed");
    }

    #[test]
    fn answers_of_ours_are_no_checks() {
        let mut checks = Checks::default();
        checks.note_sent(start(), &message(0x0101, 7), peer());
        checks.note_sent(start(), &[0, 1, 0, 0], peer());
        assert!(checks.sent.is_empty());
    }

    #[test]
    fn old_and_surplus_checks_are_forgotten() {
        let mut checks = Checks::default();
        for transaction in 0..2_000 {
            checks.note_sent(start(), &message(BINDING_REQUEST, transaction), peer());
        }
        assert_eq!(checks.sent.len(), MAX_CHECKS);
        assert!(checks.is_asked(&message(0x0101, 1_999), peer()));
        checks.note_sent(start() + Duration::from_secs(60), &message(BINDING_REQUEST, 3_000), peer());
        assert_eq!(checks.sent.len(), 1);
    }
}
