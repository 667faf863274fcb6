//! The IP and UDP headers in front of a datagram, which the kernel takes off and puts on: made again for a trace (RFC 791,
//! RFC 8200, RFC 768).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const UDP_HEADER_LEN: usize = 8;
/// Longest payload whose length the headers of both families can tell.
pub(super) const MAX_PAYLOAD_LEN: usize = u16::MAX as usize - IPV4_HEADER_LEN - UDP_HEADER_LEN;
const PROTOCOL_UDP: u8 = 17;
/// Linux's default; what it really was, the kernel does not tell.
const HOP_LIMIT: u8 = 64;

/// The headers of one datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    bytes: [u8; IPV6_HEADER_LEN + UDP_HEADER_LEN],
    len: usize,
}

impl Headers {
    /// Headers of `payload`, of which at most [`MAX_PAYLOAD_LEN`] bytes count.
    pub(super) fn new(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Self {
        let payload = payload.get(..MAX_PAYLOAD_LEN).unwrap_or(payload);
        let udp_len = (UDP_HEADER_LEN + payload.len()) as u16;
        let mut headers = Self { bytes: [0; IPV6_HEADER_LEN + UDP_HEADER_LEN], len: 0 };
        let mut udp_sum = Sum::default();
        match one_family(from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let len = (IPV4_HEADER_LEN as u16 + udp_len).to_be_bytes();
                let mut fixed = [0x45, 0, len[0], len[1], 0, 0, 0x40, 0, HOP_LIMIT, PROTOCOL_UDP, 0, 0];
                let addresses = [from.octets(), to.octets()].concat();
                let mut sum = Sum::default();
                sum.add(&fixed);
                sum.add(&addresses);
                [fixed[10], fixed[11]] = sum.finish().to_be_bytes();
                headers.push(&fixed);
                headers.push(&addresses);
                udp_sum.add(&addresses);
            }
            (from, to) => {
                let addresses = [to_v6(from).octets(), to_v6(to).octets()].concat();
                let len = udp_len.to_be_bytes();
                headers.push(&[0x60, 0, 0, 0, len[0], len[1], PROTOCOL_UDP, HOP_LIMIT]);
                headers.push(&addresses);
                udp_sum.add(&addresses);
            }
        }
        // The pseudo header has the same sum in both families.
        udp_sum.add(&[0, PROTOCOL_UDP]);
        udp_sum.add(&udp_len.to_be_bytes());
        let mut udp = Vec::with_capacity(UDP_HEADER_LEN);
        for field in [from.port(), to.port(), udp_len] {
            udp.extend(field.to_be_bytes());
        }
        udp_sum.add(&udp);
        udp_sum.add(payload);
        // Zero would mean that there is no checksum.
        let checksum = match udp_sum.finish() {
            0 => u16::MAX,
            checksum => checksum,
        };
        udp.extend(checksum.to_be_bytes());
        headers.push(&udp);
        headers
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// A dual-stack socket that is bound to all addresses has an IPv6 one for itself, and mapped ones for its IPv4 peers.
fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match (from.to_canonical(), to.to_canonical()) {
        (IpAddr::V6(from), to @ IpAddr::V4(_)) if from.is_unspecified() => (unspecified, to),
        (from @ IpAddr::V4(_), IpAddr::V6(to)) if to.is_unspecified() => (from, unspecified),
        pair => pair,
    }
}

const fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The Internet checksum (RFC 1071). All pieces but the last one have an even length.
#[derive(Clone, Copy, Debug, Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.0 += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
        self.0 += rest.first().map_or(0, |last| u64::from(*last) << 8);
    }

    const fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        Headers::new(from.parse().unwrap(), to.parse().unwrap(), payload).as_bytes().to_vec()
    }

    #[test]
    fn a_receiver_finds_the_checksums_right() {
        // What a receiver does: with the checksum in it, the sum is all ones (RFC 1071 §1).
        let v4 = headers("192.0.2.1:10000", "198.51.100.7:40000", b"odd");
        let mut sum = Sum::default();
        sum.add(&v4[..IPV4_HEADER_LEN]);
        assert_eq!(sum.finish(), 0);
        let mut sum = Sum::default();
        sum.add(&v4[12..20]);
        sum.add(&[0, 17, 0, 11]);
        sum.add(&v4[20..]);
        sum.add(b"odd");
        assert_eq!(sum.finish(), 0);
        assert_eq!(v4[2..4], 31_u16.to_be_bytes());
    }

    #[test]
    fn both_ends_are_of_one_family() {
        assert_eq!(headers("[::]:1", "198.51.100.7:2", b"")[..20][12..], [0, 0, 0, 0, 198, 51, 100, 7]);
        assert_eq!(headers("[::ffff:192.0.2.1]:1", "198.51.100.7:2", b"").len(), 28);
        assert_eq!(headers("198.51.100.7:2", "[::]:1", b"").len(), 28);
        assert_eq!(headers("[2001:db8::1]:1", "[2001:db8::2]:2", b"").len(), 48);
        assert_eq!(headers("[2001:db8::1]:1", "198.51.100.7:2", b"")[24..40][10..], [255, 255, 198, 51, 100, 7]);
    }

    #[test]
    fn a_length_that_no_header_can_tell_is_cut() {
        let v4 = headers("192.0.2.1:1", "192.0.2.2:2", &[0; 70_000]);
        assert_eq!(v4[2..4], [0xff, 0xff]);
    }

    #[test]
    fn a_checksum_is_never_the_one_that_means_none() {
        // A payload that makes the sum of everything else come out as zero.
        let plain = headers("0.0.0.0:1", "0.0.0.0:1", &[0, 0]);
        let zero = headers("0.0.0.0:1", "0.0.0.0:1", &plain[26..28]);
        assert_eq!(zero[26..28], [0xff, 0xff]);
    }
}
