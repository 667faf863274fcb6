//! Receives from one UDP socket: up to 64 datagrams a system call, straight into the caller's buffers.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use model::FiveTuple;

use super::sys::{self, BATCH, Incoming};

/// A datagram that was received: what its buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The way that it came; addresses of IPv4 in that form, on a dual-stack socket too.
    pub path: FiveTuple,
    /// Bytes in the buffer.
    pub len: usize,
    /// Whether it was longer than the buffer: the rest is lost.
    pub truncated: bool,
}

/// What one call received: entry for entry what the caller's buffers hold.
#[derive(Debug)]
pub struct ReceivedBatch {
    incoming: Box<[Incoming; BATCH]>,
    datagrams: Vec<Received>,
}

impl Default for ReceivedBatch {
    fn default() -> Self {
        Self { incoming: Box::new([Incoming::default(); BATCH]), datagrams: Vec::with_capacity(BATCH) }
    }
}

impl ReceivedBatch {
    /// Datagrams that one call receives at most; more buffers are left as they are.
    pub const CAPACITY: usize = BATCH;

    /// The datagrams, in the order of the buffers.
    #[must_use]
    pub fn datagrams(&self) -> &[Received] {
        &self.datagrams
    }

    pub(super) fn clear(&mut self) {
        self.datagrams.clear();
    }

    /// One `recvmmsg`. Answers how many datagrams came; fewer than there are buffers means that no more waits.
    pub(super) fn receive(
        &mut self,
        socket: &impl AsFd,
        port: u16,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        self.datagrams.clear();
        let received = sys::receive_batch(socket.as_fd(), buffers, &mut self.incoming)?;
        for incoming in self.incoming.iter().take(received) {
            let local = SocketAddr::new(incoming.control.destination().unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port);
            // A UDP socket always tells who sent; an address of port 0 can be neither answered nor known.
            let remote = incoming.name.address().unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0));
            self.datagrams.push(Received {
                path: FiveTuple::udp(local, remote),
                len: incoming.len,
                truncated: incoming.truncated,
            });
        }
        Ok(received)
    }
}
