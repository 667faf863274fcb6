//! A capture as a pcapng file, piece by piece, to be read by Wireshark while it grows.

use std::time::{Duration, Instant};

use model::{FiveTuple, TransportProtocol};

use super::headers::{Headers, MAX_PAYLOAD_LEN};
use super::pcapng::{self, Packet};
use super::{Content, Direction, MAX_TRACE_BYTES, Record, Records};

/// Room that the last blocks need.
const END_BYTES: usize = 128;
/// Media over TCP has an interface of its own: its datagrams are shown as if they came over UDP.
const INTERFACES: [TransportProtocol; 2] = [TransportProtocol::Udp, TransportProtocol::Tcp];

/// Whether there was room for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// The trace is as long as it may be.
    Full,
}

/// One trace that is being written.
#[derive(Debug)]
pub(crate) struct Trace {
    began: Instant,
    /// Wall time then, since 1970 began.
    wall_time: Duration,
    bytes: u64,
    max_bytes: u64,
    /// By interface.
    counts: [Counts; INTERFACES.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    written: u64,
    /// Lost ones that a packet told of.
    lost: u64,
}

impl Trace {
    /// Begins a trace of `endpoint` at `now`, which is `wall_time` since 1970 began: appends what comes before packets.
    pub(crate) fn begin(
        endpoint: &str,
        content: Content,
        wall_time: Duration,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Self {
        let start = out.len();
        let media = match content {
            Content::Protected => "as on the wire",
            Content::Plain => "RTP and RTCP decrypted",
        };
        let application = concat!("Teranga ", env!("CARGO_PKG_VERSION"));
        pcapng::write_section_header(out, application, &format!("Endpoint {endpoint}, {media}"));
        for protocol in INTERFACES {
            let way = match protocol {
                TransportProtocol::Udp => "Media over UDP",
                TransportProtocol::Tcp => "Media over TCP (RFC 4571), each frame shown as a UDP datagram",
            };
            pcapng::write_interface(out, protocol.as_str(), &format!("{way}; {media}"));
        }
        let bytes = (out.len() - start) as u64;
        Self { began: now, wall_time, bytes, max_bytes: MAX_TRACE_BYTES, counts: Default::default() }
    }

    /// Appends a datagram. `records` is where it came from, and knows how many did not.
    pub(crate) fn write(&mut self, record: &Record, records: &Records, out: &mut Vec<u8>) -> Written {
        let start = out.len();
        let FiveTuple { protocol, local, remote } = record.path;
        let (from, to) = match record.direction {
            Direction::Inbound => (remote, local),
            Direction::Outbound => (local, remote),
        };
        let headers = Headers::new(from, to, &record.datagram);
        let lost = records.lost(protocol);
        let interface = interface(protocol);
        let unix_ns = self.unix_ns(record.at);
        let Some(counts) = self.counts.get_mut(interface) else { return Written::Full };
        let datagram = record.datagram.as_slice();
        pcapng::write_packet(
            out,
            &Packet {
                interface: interface as u32,
                unix_ns,
                direction: record.direction,
                parts: [headers.as_bytes(), datagram.get(..MAX_PAYLOAD_LEN).unwrap_or(datagram)],
                original_len: headers.as_bytes().len() + datagram.len(),
                lost: lost - counts.lost,
                comment: record.note,
            },
        );
        let len = (out.len() - start) as u64;
        if self.bytes + len + END_BYTES as u64 > self.max_bytes {
            out.truncate(start);
            return Written::Full;
        }
        self.bytes += len;
        *counts = Counts { written: counts.written + 1, lost };
        Written::Yes
    }

    /// Appends what comes behind packets.
    pub(crate) fn end(&self, records: &Records, now: Instant, out: &mut Vec<u8>) {
        for (protocol, counts) in INTERFACES.iter().zip(&self.counts) {
            let lost = records.lost(*protocol);
            let received = counts.written + lost;
            let interface = interface(*protocol) as u32;
            pcapng::write_statistics(out, interface, self.unix_ns(now), received, lost);
        }
    }

    /// Wall time of an instant. That of the beginning counts, so that a clock that is set meanwhile tears nothing apart.
    fn unix_ns(&self, at: Instant) -> u64 {
        let time = match at.checked_duration_since(self.began) {
            Some(later) => self.wall_time.saturating_add(later),
            None => self.wall_time.saturating_sub(self.began.saturating_duration_since(at)),
        };
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A trace that is full earlier.
    #[cfg(test)]
    pub(super) const fn limited(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }
}

/// The number of an interface: its place in [`INTERFACES`].
const fn interface(protocol: TransportProtocol) -> usize {
    match protocol {
        TransportProtocol::Udp => 0,
        TransportProtocol::Tcp => 1,
    }
}
