//! Packet traces of one endpoint, for operators: what it sent and was sent, copied while it passes.
//!
//! Here: the copy on its way from shards to whoever writes the trace, and its limits. Beside: the trace as a file (`trace`
//! in `pcapng` blocks, with the `headers` that the kernel kept to itself), which captures run (`control`). Not here: where
//! shards copy (`shard::capture`), the HTTP route (`shell`).

pub(crate) mod control;
mod headers;
mod pcapng;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use model::{FiveTuple, TransportProtocol};

/// Captures at once, on one bridge: enough to see both sides of a call and a call beside it. Each may hold
/// [`MAX_WAITING_RECORDS`], and costs the shards a copy of each datagram.
pub(crate) const MAX_CAPTURES: usize = 4;
/// Longest capture: who forgets one does not fill a disk overnight, or have an endpoint watched for a day.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(600);
/// Longest trace: ten minutes at 3.5 Mbit/s, and what Wireshark still opens at ease.
pub(crate) const MAX_TRACE_BYTES: u64 = 256 << 20;
/// Datagrams that may wait to be written: two fifths of a second of an endpoint that is sent 20,000 a second; 12 MB.
const MAX_WAITING_RECORDS: usize = 8192;

/// What of the media a trace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Datagrams as on the wire.
    Protected,
    /// RTP and RTCP decrypted; all else as on the wire.
    Plain,
}

/// Which way a datagram went, as seen from the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// One datagram that passed.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) at: Instant,
    pub(crate) direction: Direction,
    pub(crate) path: FiveTuple,
    pub(crate) datagram: Vec<u8>,
    /// What there is to say about it.
    pub(crate) note: Option<&'static str>,
}

/// Datagrams that found the queue full, by what carried them.
#[derive(Debug, Default)]
struct Lost {
    udp: AtomicU64,
    tcp: AtomicU64,
}

impl Lost {
    const fn of(&self, protocol: TransportProtocol) -> &AtomicU64 {
        match protocol {
            TransportProtocol::Udp => &self.udp,
            TransportProtocol::Tcp => &self.tcp,
        }
    }
}

/// Where shards put copies.
#[derive(Clone, Debug)]
pub(crate) struct Tap {
    pub(crate) content: Content,
    records: Sender<Record>,
    lost: Arc<Lost>,
}

/// Where the copies come out.
#[derive(Debug)]
pub(crate) struct Records {
    records: Receiver<Record>,
    lost: Arc<Lost>,
}

impl Tap {
    /// Both ends of a capture. It is over when all copies of the tap are gone.
    pub(crate) fn new(content: Content) -> (Self, Records) {
        let (sender, receiver) = bounded(MAX_WAITING_RECORDS);
        let lost = Arc::new(Lost::default());
        (Self { content, records: sender, lost: Arc::clone(&lost) }, Records { records: receiver, lost })
    }

    /// Copies a datagram, which is in `parts`. Never waits: what finds no room is counted.
    pub(crate) fn record(
        &self,
        direction: Direction,
        path: &FiveTuple,
        parts: &[&[u8]],
        note: Option<&'static str>,
        now: Instant,
    ) {
        if self.records.is_full() {
            return self.count_lost(path.protocol);
        }
        let record = Record { at: now, direction, path: *path, datagram: parts.concat(), note };
        match self.records.try_send(record) {
            Err(TrySendError::Full(_)) => self.count_lost(path.protocol),
            // Whoever wrote the trace is gone, and control will hear of it.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }

    fn count_lost(&self, protocol: TransportProtocol) {
        // Several shards count here: an addition proper, unlike in their own counters.
        self.lost.of(protocol).fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams that found no room.
    fn lost(&self) -> u64 {
        self.lost.udp.load(Ordering::Relaxed) + self.lost.tcp.load(Ordering::Relaxed)
    }
}

impl Records {
    /// The next copy.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] when there is none now, [`TryRecvError::Disconnected`] when there will be none any more.
    pub(crate) fn try_recv(&self) -> Result<Record, TryRecvError> {
        self.records.try_recv()
    }

    /// Datagrams that found no room so far.
    pub(crate) fn lost(&self, protocol: TransportProtocol) -> u64 {
        self.lost.of(protocol).load(Ordering::Relaxed)
    }
}
