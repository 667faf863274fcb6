//! Asking a STUN server how a socket is seen from outside (RFC 8489 §6, §7 and §12.1), for a bridge behind a NAT.
//!
//! Here: one request with its retransmissions, and what the answer says. Not here: which servers, how often (`bridge`).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::stun::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, HEADER_LEN, MAGIC_COOKIE, StunFrame, TransactionId,
    XOR_MAPPED_ADDRESS,
};

/// One Binding transaction with a STUN server over UDP. The request has to leave from the socket whose address is asked
/// for, and the answer comes back there.
#[derive(Clone, Debug)]
pub struct StunAddressQuery {
    server: SocketAddr,
    transaction: TransactionId,
    started: Instant,
    sent: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryOutput {
    /// Send this to [`StunAddressQuery::server`] now.
    Transmit([u8; 20]),
    /// Nothing before this instant.
    Timeout(Instant),
    /// No answer will come any more; the query is over.
    TimedOut,
}

/// What a datagram was to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// No answer to this query: someone else's datagram, or a forged one.
    NotMine,
    /// The address and port that the server sees; the query is over.
    Mapped(SocketAddr),
    /// The server refuses, or its answer says nothing of use; the query is over.
    Refused,
}

impl StunAddressQuery {
    /// Random bytes that [`Self::new`] takes.
    pub const RANDOM_LEN: usize = 12;

    /// A query that is due at once. `random` must come from a cryptographic generator: it is all that tells an answer
    /// from a forgery.
    pub fn new(now: Instant, server: SocketAddr, random: [u8; Self::RANDOM_LEN]) -> Self {
        Self { server, transaction: random, started: now, sent: 0 }
    }

    /// Whom it asks.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// The next thing to do at `now`. Call until it is no [`QueryOutput::Transmit`].
    pub fn poll_output(&mut self, now: Instant) -> QueryOutput {
        let due = self.started + due_after(self.sent);
        if now < due {
            return QueryOutput::Timeout(due);
        }
        if self.sent >= MAX_REQUESTS {
            return QueryOutput::TimedOut;
        }
        self.sent += 1;
        QueryOutput::Transmit(self.request())
    }

    /// Looks at a datagram that came to the socket. Whatever it is, it cannot do harm: an answer counts only from the
    /// server and with the right transaction.
    pub fn handle_datagram(&self, from: SocketAddr, datagram: &[u8]) -> QueryAnswer {
        let Some(frame) = StunFrame::parse(datagram) else { return QueryAnswer::NotMine };
        if from != self.server || frame.transaction != self.transaction || self.sent == 0 {
            return QueryAnswer::NotMine;
        }
        match frame.message_type {
            BINDING_SUCCESS => {
                let mut mapped = frame.attributes.filter(|(attribute, _)| *attribute == XOR_MAPPED_ADDRESS);
                let mapped = mapped.next().and_then(|(_, value)| xor_address(value, self.transaction));
                mapped.filter(|address| address.port() != 0).map_or(QueryAnswer::Refused, QueryAnswer::Mapped)
            }
            BINDING_ERROR => QueryAnswer::Refused,
            _ => QueryAnswer::NotMine,
        }
    }

    fn request(&self) -> [u8; HEADER_LEN] {
        let [t0, t1] = BINDING_REQUEST.to_be_bytes();
        let [c0, c1, c2, c3] = MAGIC_COOKIE;
        let mut request = [0; HEADER_LEN];
        let (head, transaction) = request.split_at_mut(HEADER_LEN - self.transaction.len());
        head.copy_from_slice(&[t0, t1, 0, 0, c0, c1, c2, c3]);
        transaction.copy_from_slice(&self.transaction);
        request
    }
}

/// When, counted from the start, request number `sent` (from 0) is due, and after the last one the end (RFC 8489 §6.2.1).
fn due_after(sent: u32) -> Duration {
    let doubled = |times: u32| INITIAL_RTO * (2u32.saturating_pow(times) - 1);
    if sent < MAX_REQUESTS { doubled(sent) } else { doubled(MAX_REQUESTS - 1) + INITIAL_RTO * WAITS_AFTER_LAST }
}

/// XOR-MAPPED-ADDRESS (RFC 8489 §14.2): family, port and address, with the cookie and the transaction over them.
fn xor_address(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let [c0, c1, c2, c3] = MAGIC_COOKIE;
    let port = u16::from_be_bytes([p0 ^ c0, p1 ^ c1]);
    let mask = [c0, c1, c2, c3].into_iter().chain(transaction);
    let mut plain = address.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    let ip = match (family, address.len()) {
        (1, 4) => IpAddr::from(<[u8; 4]>::try_from(plain.collect::<Vec<_>>()).ok()?),
        (2, 16) => {
            let mut octets = [0; 16];
            octets.fill_with(|| plain.next().unwrap_or_default());
            IpAddr::from(octets)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// RTO of RFC 8489 §6.2.1 for a peer whose round-trip time is unknown.
const INITIAL_RTO: Duration = Duration::from_millis(500);

/// Rc of RFC 8489 §6.2.1.
const MAX_REQUESTS: u32 = 7;

/// Rm of RFC 8489 §6.2.1, in RTOs.
const WAITS_AFTER_LAST: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn server() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 10], 3478))
    }

    /// A query whose first request has left, and the request.
    fn asked() -> (StunAddressQuery, Vec<u8>) {
        let now = start();
        let mut query = StunAddressQuery::new(now, server(), *b"transaction!");
        let QueryOutput::Transmit(request) = query.poll_output(now) else { panic!("nothing to send") };
        (query, request.to_vec())
    }

    /// The answer of a server to `request` that sees it come from `seen`.
    fn answer(request: &[u8], message_type: u16, seen: SocketAddr) -> Vec<u8> {
        let mut value = vec![0, if seen.is_ipv4() { 1 } else { 2 }];
        value.extend((seen.port() ^ 0x2112).to_be_bytes());
        let octets = match seen.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        value.extend(octets.iter().zip(&request[4..]).map(|(byte, mask)| byte ^ mask));
        // SOFTWARE goes before, with a length that needs padding.
        let mut body = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        body.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
        let mut message = message_type.to_be_bytes().to_vec();
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(&request[4..]);
        message.extend(body);
        message
    }

    #[test]
    fn address_that_the_server_sees_is_read() {
        let (query, request) = asked();
        for seen in ["203.0.113.7:10000", "[2001:db8::7]:40001"] {
            let seen = seen.parse().unwrap();
            let answer = answer(&request, BINDING_SUCCESS, seen);
            assert_eq!(query.handle_datagram(server(), &answer), QueryAnswer::Mapped(seen));
        }
    }

    #[test]
    fn response_of_rfc_5769_is_read() {
        // RFC 5769 §2.2: 192.0.2.1:32853, with integrity and fingerprint behind.
        let response = [
            0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
            0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
            0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91,
            0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7,
            0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
        ];
        let now = start();
        let mut query = StunAddressQuery::new(now, server(), *response[8..20].first_chunk().unwrap());
        assert!(matches!(query.poll_output(now), QueryOutput::Transmit(_)));
        let mapped = QueryAnswer::Mapped("192.0.2.1:32853".parse().unwrap());
        assert_eq!(query.handle_datagram(server(), &response), mapped);
    }

    #[test]
    fn requests_are_repeated_as_rfc_8489_says_and_end() {
        let now = start();
        let mut query = StunAddressQuery::new(now, server(), [1; 12]);
        let (mut at, mut sent) = (now, Vec::new());
        loop {
            match query.poll_output(at) {
                QueryOutput::Transmit(_) => sent.push((at - now).as_millis()),
                QueryOutput::Timeout(due) => at = due,
                QueryOutput::TimedOut => break,
            }
        }
        assert_eq!(sent, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!((at - now).as_millis(), 39_500);
    }

    #[test]
    fn forged_answers_are_not_taken() {
        let (query, request) = asked();
        let good = answer(&request, BINDING_SUCCESS, "203.0.113.7:10000".parse().unwrap());
        let elsewhere = SocketAddr::from(([192, 0, 2, 11], 3478));
        assert_eq!(query.handle_datagram(elsewhere, &good), QueryAnswer::NotMine);
        let mut other_transaction = good.clone();
        other_transaction[19] ^= 1;
        assert_eq!(query.handle_datagram(server(), &other_transaction), QueryAnswer::NotMine);
        assert_eq!(query.handle_datagram(server(), &request), QueryAnswer::NotMine, "its own request");
        let unasked = StunAddressQuery::new(start(), server(), *b"transaction!");
        assert_eq!(unasked.handle_datagram(server(), &good), QueryAnswer::NotMine);
    }

    #[test]
    fn refusal_and_useless_answers_end_the_query() {
        let (query, request) = asked();
        let seen = "203.0.113.7:10000".parse().unwrap();
        assert_eq!(query.handle_datagram(server(), &answer(&request, BINDING_ERROR, seen)), QueryAnswer::Refused);
        let portless = answer(&request, BINDING_SUCCESS, "203.0.113.7:0".parse().unwrap());
        assert_eq!(query.handle_datagram(server(), &portless), QueryAnswer::Refused);
        let mut empty = request.clone();
        empty[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        assert_eq!(query.handle_datagram(server(), &empty), QueryAnswer::Refused);
    }

    #[test]
    fn no_cut_or_flipped_answer_panics() {
        let (query, request) = asked();
        let good = answer(&request, BINDING_SUCCESS, "[2001:db8::7]:40001".parse().unwrap());
        for len in 0..good.len() {
            let _ = query.handle_datagram(server(), &good[..len]);
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = query.handle_datagram(server(), &flipped);
        }
    }
}
