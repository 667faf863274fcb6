//! One TCP connection of a peer: frames in, frames out, and what its socket did not take yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use model::FiveTuple;

use super::acceptor::AcceptedTcp;
use super::admission::Place;
use super::framing::{FrameDecoder, FrameTooLong, frame_header};

/// Bytes that wait for a slow reader: 0.8 s of 2.5 Mbit/s. More would be too late to be of use; the owner drops video
/// long before ([`MediaShard::tcp_backlog`](crate::media::MediaShard::tcp_backlog)).
pub(super) const MAX_BACKLOG_BYTES: usize = 256 << 10;
/// A long flush is written in pieces, so that the limit above counts only what the socket does not take.
const WRITE_BYTES: usize = 64 << 10;
/// Space that an idle connection keeps for its next flush.
const KEPT_BYTES: usize = 16 << 10;
/// A connection on which ICE has not seen a valid check by then is closed: a check's own time-out is 39.5 s over TCP
/// (RFC 8489 §6.2.2), but clients pair and check within a few seconds.
const CONFIRMATION_TIME: Duration = Duration::from_secs(15);
/// A connection that takes nothing for so long while something waits: its peer is gone, or as good as gone.
const STALL_TIME: Duration = Duration::from_secs(10);

/// Why a connection was closed from this side or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpCloseReason {
    /// The peer closed it.
    ByPeer,
    /// The network or the system broke it.
    Broken(io::ErrorKind),
    /// The peer sent a frame that is too long.
    BadFrame(FrameTooLong),
    /// ICE found no valid check on it in time.
    Unconfirmed,
    /// It took nothing for too long.
    Stalled,
}

/// A TCP connection of a peer, which may move from shard to shard.
#[derive(Debug)]
pub struct TcpConnection {
    stream: mio::net::TcpStream,
    path: FiveTuple,
    decoder: FrameDecoder,
    /// What was read before this connection came to a shard.
    early: Vec<u8>,
    backlog: VecDeque<u8>,
    since: Instant,
    is_confirmed: bool,
    /// The peer has closed its half: read until its end, since no further event will come.
    is_read_closed: bool,
    /// Bytes that the socket took in all, by which a stall is seen.
    taken: u64,
    stall: Option<Stall>,
    /// Counts this connection until it is dropped.
    _place: Place,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Instant,
    taken: u64,
}

/// Whether a connection has more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    Drained,
    More,
}

impl TcpConnection {
    pub(super) fn new(accepted: AcceptedTcp, now: Instant) -> Self {
        Self {
            path: accepted.path(),
            stream: mio::net::TcpStream::from_std(accepted.stream),
            decoder: FrameDecoder::default(),
            early: accepted.bytes,
            backlog: VecDeque::new(),
            since: now,
            is_confirmed: false,
            is_read_closed: false,
            taken: 0,
            stall: None,
            _place: accepted.place,
        }
    }

    /// The two ends of the connection.
    #[must_use]
    pub const fn path(&self) -> FiveTuple {
        self.path
    }

    /// Bytes that wait for the socket.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    pub(super) const fn confirm(&mut self) {
        self.is_confirmed = true;
    }

    pub(super) const fn on_read_closed(&mut self) {
        self.is_read_closed = true;
    }

    /// Reads once, `space` at most, and hands on the frames that are whole.
    pub(super) fn read(
        &mut self,
        space: &mut [u8],
        mut handle: impl FnMut(FiveTuple, &mut [u8]),
    ) -> Result<ReadState, TcpCloseReason> {
        let path = self.path;
        if !self.early.is_empty() {
            let mut early = std::mem::take(&mut self.early);
            self.decoder.decode(&mut early, |frame| handle(path, frame)).map_err(TcpCloseReason::BadFrame)?;
            return Ok(ReadState::More);
        }
        match self.stream.read(space) {
            Ok(0) => Err(TcpCloseReason::ByPeer),
            Ok(len) => {
                let filled_space = len == space.len();
                let read = space.get_mut(..len).unwrap_or_default();
                self.decoder.decode(read, |frame| handle(path, frame)).map_err(TcpCloseReason::BadFrame)?;
                // epoll(7): of a stream, a read that is not filled has emptied it, but for its end.
                Ok(if filled_space || self.is_read_closed { ReadState::More } else { ReadState::Drained })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(ReadState::Drained),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(ReadState::More),
            Err(error) => Err(TcpCloseReason::Broken(error.kind())),
        }
    }

    /// Queues a frame. Answers false when too much waits already.
    pub(super) fn push_frame(&mut self, data: &[u8]) -> Result<bool, TcpCloseReason> {
        let Some(header) = frame_header(data.len()) else { return Ok(false) };
        if self.backlog.len() >= WRITE_BYTES {
            self.write()?;
        }
        if self.backlog.len() + header.len() + data.len() > MAX_BACKLOG_BYTES {
            return Ok(false);
        }
        self.backlog.extend(&header);
        self.backlog.extend(data);
        Ok(true)
    }

    /// Writes what the socket takes. Answers how many system calls it took.
    pub(super) fn write(&mut self) -> Result<usize, TcpCloseReason> {
        let mut calls = 0;
        while !self.backlog.is_empty() {
            let (first, second) = self.backlog.as_slices();
            calls += 1;
            match self.stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(written) => {
                    self.backlog.drain(..written);
                    self.taken += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(calls),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TcpCloseReason::Broken(error.kind())),
            }
        }
        if self.backlog.capacity() > KEPT_BYTES {
            self.backlog.shrink_to(KEPT_BYTES);
        }
        Ok(calls)
    }

    /// Whether its time is over.
    pub(super) fn check(&mut self, now: Instant) -> Option<TcpCloseReason> {
        if !self.is_confirmed && now.saturating_duration_since(self.since) >= CONFIRMATION_TIME {
            return Some(TcpCloseReason::Unconfirmed);
        }
        self.stall = match self.stall {
            _ if self.backlog.is_empty() => None,
            Some(stall) if stall.taken == self.taken => Some(stall),
            Some(_) | None => Some(Stall { since: now, taken: self.taken }),
        };
        let stalled_for = self.stall.map(|stall| now.saturating_duration_since(stall.since));
        stalled_for.filter(|time| *time >= STALL_TIME).map(|_| TcpCloseReason::Stalled)
    }
}
