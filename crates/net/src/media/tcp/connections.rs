//! The TCP connections of one shard, served in turns so that none delays another or UDP.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};
use model::{FiveTuple, TransportProtocol};
use slab::Slab;

use super::acceptor::AcceptedTcp;
use super::connection::{ReadState, TcpCloseReason, TcpConnection};
use crate::media::send_queue::SendQueue;
use crate::media::udp_sender::SendOutcome;

/// Bytes that one connection is read in one turn: a dozen datagrams, as of one UDP peer in a busy batch.
const READ_BYTES: usize = 16 << 10;
/// Connections that are read in one turn; with the above half a megabyte, below a millisecond of work.
const READS_PER_TURN: usize = 32;
/// How often stalled and unconfirmed connections are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedTcp {
    /// Its two ends.
    pub path: FiveTuple,
    /// Why.
    pub reason: TcpCloseReason,
}

/// What the TCP connections of one shard did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Frames that came in.
    pub frames_received: u64,
    /// Frames that were written or wait to be.
    pub frames_sent: u64,
    /// Frames for a connection that is not here.
    pub refused_unknown: u64,
    /// Frames that were too much for a slow reader, or no frame's length.
    pub refused_backlog: u64,
    /// Connections that could not be taken: another one of the same remote address is here, or the system refused.
    pub refused_connections: u64,
    /// Closed by the peer.
    pub closed_by_peer: u64,
    /// Broken by the network or the system.
    pub closed_broken: u64,
    /// Closed for a frame that was too long.
    pub closed_bad_frame: u64,
    /// Closed because ICE found no valid check in time.
    pub closed_unconfirmed: u64,
    /// Closed because they took nothing for too long.
    pub closed_stalled: u64,
}

/// The TCP connections of one shard.
pub(in crate::media) struct TcpConnections {
    registry: Registry,
    first_token: usize,
    connections: Slab<Entry>,
    by_remote: HashMap<SocketAddr, usize>,
    /// Those that may have something to read, each once.
    ready: VecDeque<usize>,
    /// Those that got frames in this flush.
    touched: Vec<usize>,
    space: Box<[u8]>,
    /// The owner takes them every turn.
    closed: VecDeque<ClosedTcp>,
    counters: TcpCounters,
    next_check: Option<Instant>,
}

struct Entry {
    connection: TcpConnection,
    is_ready: bool,
    is_touched: bool,
}

impl TcpConnections {
    /// Registers connections under tokens from `first_token` on.
    pub(in crate::media) fn new(registry: Registry, first_token: usize) -> Self {
        Self {
            registry,
            first_token,
            connections: Slab::new(),
            by_remote: HashMap::new(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            space: vec![0; READ_BYTES].into(),
            closed: VecDeque::new(),
            counters: TcpCounters::default(),
            next_check: None,
        }
    }

    pub(in crate::media) fn add(&mut self, accepted: AcceptedTcp, now: Instant) -> bool {
        self.insert(TcpConnection::new(accepted, now), now)
    }

    pub(in crate::media) fn insert(&mut self, mut connection: TcpConnection, now: Instant) -> bool {
        let remote = connection.path().remote;
        let slot = self.connections.vacant_entry();
        let key = slot.key();
        if self.by_remote.contains_key(&remote)
            || connection.register(&self.registry, Token(self.first_token + key)).is_err()
        {
            self.counters.refused_connections += 1;
            return false;
        }
        // Whatever was read before waits in the connection, for which no event comes.
        slot.insert(Entry { connection, is_ready: true, is_touched: false });
        self.ready.push_back(key);
        self.by_remote.insert(remote, key);
        self.next_check.get_or_insert(now + CHECK_INTERVAL);
        true
    }

    /// Takes a connection out with all that it has read and not yet sent.
    pub(in crate::media) fn take(&mut self, remote: SocketAddr) -> Option<TcpConnection> {
        let key = *self.by_remote.get(&remote)?;
        self.remove(key)
    }

    fn remove(&mut self, key: usize) -> Option<TcpConnection> {
        let mut connection = self.connections.try_remove(key)?.connection;
        self.by_remote.remove(&connection.path().remote);
        self.ready.retain(|ready| *ready != key);
        if let Err(error) = connection.deregister(&self.registry) {
            tracing::debug!(%error, "cannot deregister a connection");
        }
        Some(connection)
    }

    pub(in crate::media) fn confirm(&mut self, remote: SocketAddr) -> bool {
        let connection = self.by_remote.get(&remote).and_then(|key| self.connections.get_mut(*key));
        connection.map(|entry| entry.connection.confirm()).is_some()
    }

    /// Bytes that wait for the socket; 0 where there is no such connection.
    pub(in crate::media) fn backlog(&self, remote: SocketAddr) -> usize {
        let connection = self.by_remote.get(&remote).and_then(|key| self.connections.get(*key));
        connection.map_or(0, |entry| entry.connection.backlog())
    }

    pub(in crate::media) fn on_event(&mut self, event: &Event) {
        let Some(key) = event.token().0.checked_sub(self.first_token) else { return };
        let Some(entry) = self.connections.get_mut(key) else { return };
        if event.is_read_closed() || event.is_error() {
            entry.connection.on_read_closed();
        }
        if (event.is_readable() || event.is_read_closed() || event.is_error()) && !entry.is_ready {
            entry.is_ready = true;
            self.ready.push_back(key);
        }
        if event.is_writable() && entry.connection.backlog() > 0 {
            self.write(key);
        }
    }

    /// Whether a connection may have something to read.
    pub(in crate::media) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// One turn of reading. Answers how many frames came.
    pub(in crate::media) fn receive(&mut self, mut handle: impl FnMut(FiveTuple, &mut [u8])) -> usize {
        let mut frames = 0;
        // Each once: one with more to read goes behind the others.
        for _ in 0..self.ready.len().min(READS_PER_TURN) {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(entry) = self.connections.get_mut(key) else { continue };
            entry.is_ready = false;
            let result = entry.connection.read(&mut self.space, |path, frame| {
                frames += 1;
                handle(path, frame);
            });
            match result {
                Ok(ReadState::More) => {
                    entry.is_ready = true;
                    self.ready.push_back(key);
                }
                Ok(ReadState::Drained) => {}
                Err(reason) => self.close(key, reason),
            }
        }
        self.counters.frames_received += frames as u64;
        frames
    }

    /// Sends what goes over TCP: all frames of one connection together. The queue is not cleared.
    pub(in crate::media) fn send(&mut self, queue: &SendQueue, outcome: &mut SendOutcome) {
        for message in queue.messages().iter().filter(|message| message.path.protocol == TransportProtocol::Tcp) {
            let Some(key) = self.by_remote.get(&message.path.remote).copied() else {
                self.counters.refused_unknown += message.datagrams as u64;
                outcome.refused += message.datagrams;
                continue;
            };
            let bytes = queue.slab().get(message.start..message.start + message.len).unwrap_or_default();
            for data in bytes.chunks(message.segment.max(1)) {
                let is_sent = self.push_frame(key, data);
                outcome.sent += usize::from(is_sent);
                outcome.refused += usize::from(!is_sent);
            }
        }
        while let Some(key) = self.touched.pop() {
            if let Some(entry) = self.connections.get_mut(key) {
                entry.is_touched = false;
                let calls = self.write(key);
                outcome.messages += calls;
                outcome.calls += calls;
            }
        }
    }

    fn push_frame(&mut self, key: usize, data: &[u8]) -> bool {
        let Some(entry) = self.connections.get_mut(key) else {
            self.counters.refused_unknown += 1;
            return false;
        };
        match entry.connection.push_frame(data) {
            Ok(true) => {
                self.counters.frames_sent += 1;
                if !std::mem::replace(&mut entry.is_touched, true) {
                    self.touched.push(key);
                }
                true
            }
            Ok(false) => {
                self.counters.refused_backlog += 1;
                false
            }
            Err(reason) => {
                self.close(key, reason);
                self.counters.refused_unknown += 1;
                false
            }
        }
    }

    fn write(&mut self, key: usize) -> usize {
        let Some(entry) = self.connections.get_mut(key) else { return 0 };
        entry.connection.write().unwrap_or_else(|reason| {
            self.close(key, reason);
            1
        })
    }

    fn close(&mut self, key: usize, reason: TcpCloseReason) {
        let Some(connection) = self.remove(key) else { return };
        let counters = &mut self.counters;
        *match reason {
            TcpCloseReason::ByPeer => &mut counters.closed_by_peer,
            TcpCloseReason::Broken(_) => &mut counters.closed_broken,
            TcpCloseReason::BadFrame(_) => &mut counters.closed_bad_frame,
            TcpCloseReason::Unconfirmed => &mut counters.closed_unconfirmed,
            TcpCloseReason::Stalled => &mut counters.closed_stalled,
        } += 1;
        self.closed.push_back(ClosedTcp { path: connection.path(), reason });
    }

    pub(in crate::media) fn poll_closed(&mut self) -> Option<ClosedTcp> {
        self.closed.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(in crate::media) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_check
    }

    /// Closes connections whose time is over.
    pub(in crate::media) fn handle_timeout(&mut self, now: Instant) {
        if self.next_check.is_none_or(|at| now < at) {
            return;
        }
        let over: Vec<(usize, TcpCloseReason)> = self
            .connections
            .iter_mut()
            .filter_map(|(key, entry)| entry.connection.check(now).map(|reason| (key, reason)))
            .collect();
        for (key, reason) in over {
            self.close(key, reason);
        }
        self.next_check = (!self.connections.is_empty()).then_some(now + CHECK_INTERVAL);
    }

    pub(in crate::media) const fn counters(&self) -> &TcpCounters {
        &self.counters
    }

    /// Connections that are here.
    pub(in crate::media) fn len(&self) -> usize {
        self.connections.len()
    }
}
