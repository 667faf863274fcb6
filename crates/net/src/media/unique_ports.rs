//! UDP ports beside the media port, each for one peer: of peers that come from one address and port, such as another bridge
//! in several conferences, only another port on this side tells which is meant (`use-unique-port` of Colibri2).
//!
//! Here: opening them, and those that one shard has. Not here: the media port (`bind`), whom a port is for (`bridge`).

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};

use mio::{Interest, Registry, Token};

use super::bind::{bind_one, set_options};
use super::shard::is_of_one_peer;
use super::udp_receiver::ReceivedBatch;

/// Ports of a range that are tried for one that is free. Each costs some microseconds, in which nothing else is decided.
const MAX_TRIES: usize = 1024;

/// A port that is open, and that no shard has yet.
#[derive(Debug)]
pub struct UniquePort {
    socket: UdpSocket,
    number: u16,
}

impl UniquePort {
    /// The number of the port.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }
}

/// Opens ports on the address of the media port, with the same options.
#[derive(Debug)]
pub struct UniquePortOpener {
    ip: IpAddr,
    /// Where they are taken from; `None`: wherever the system has one.
    range: Option<RangeInclusive<u16>>,
    /// How far into the range the next one is looked for: one that was closed is used again as late as possible.
    next: usize,
}

impl UniquePortOpener {
    pub(super) const fn new(ip: IpAddr) -> Self {
        Self { ip, range: None, next: 0 }
    }

    /// Takes ports of `range` only, if there is one.
    #[must_use]
    pub fn within(self, range: Option<RangeInclusive<u16>>) -> Self {
        Self { range, ..self }
    }

    /// Opens one.
    ///
    /// # Errors
    /// What the system says: no port of the range is free, or there are no more file descriptors.
    pub fn open(&mut self) -> io::Result<UniquePort> {
        let Some(range) = self.range.clone() else { return self.open_at(0) };
        let len = range.len();
        for _ in 0..len.min(MAX_TRIES) {
            let number = range.clone().nth(self.next % len.max(1)).unwrap_or_default();
            self.next = (self.next + 1) % len.max(1);
            match self.open_at(number) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                opened => return opened,
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no port of {}-{} is free", range.start(), range.end())))
    }

    fn open_at(&self, number: u16) -> io::Result<UniquePort> {
        let socket = bind_one(SocketAddr::new(self.ip, number))?;
        set_options(&socket);
        Ok(UniquePort { number: socket.local_addr()?.port(), socket })
    }
}

/// The unique ports of one shard. Their tokens are their numbers above a first one.
pub(super) struct UniquePorts {
    registry: Registry,
    first_token: usize,
    ports: HashMap<u16, Entry>,
    /// Those at which a datagram may wait, each once.
    ready: VecDeque<u16>,
}

struct Entry {
    socket: mio::net::UdpSocket,
    is_ready: bool,
}

impl UniquePorts {
    pub(super) fn new(registry: Registry, first_token: usize) -> Self {
        Self { registry, first_token, ports: HashMap::new(), ready: VecDeque::new() }
    }

    pub(super) fn add(&mut self, UniquePort { socket, number }: UniquePort) -> io::Result<()> {
        let mut socket = mio::net::UdpSocket::from_std(socket);
        self.registry.register(&mut socket, Token(self.first_token + usize::from(number)), Interest::READABLE)?;
        self.ports.insert(number, Entry { socket, is_ready: false });
        Ok(())
    }

    pub(super) fn close(&mut self, number: u16) {
        self.ready.retain(|ready| *ready != number);
        if let Some(mut closed) = self.ports.remove(&number)
            && let Err(error) = self.registry.deregister(&mut closed.socket)
        {
            tracing::debug!(%error, "cannot let go of a port");
        }
    }

    /// The socket that has a port.
    pub(super) fn socket(&self, number: u16) -> Option<BorrowedFd<'_>> {
        self.ports.get(&number).map(|entry| entry.socket.as_fd())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Ports at which a datagram may wait.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Something may be read where the token is of.
    pub(super) fn on_event(&mut self, token: Token) {
        let number = token.0.checked_sub(self.first_token).and_then(|number| u16::try_from(number).ok());
        if let Some(number) = number
            && let Some(entry) = self.ports.get_mut(&number)
            && !std::mem::replace(&mut entry.is_ready, true)
        {
            self.ready.push_back(number);
        }
    }

    /// One batch of the port whose turn it is; 0 also when nothing waits at any.
    pub(super) fn receive(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut ReceivedBatch,
    ) -> io::Result<usize> {
        received.clear();
        let Some(number) = self.ready.pop_front() else { return Ok(0) };
        let Some(entry) = self.ports.get_mut(&number) else { return Ok(0) };
        let room = buffers.len().min(ReceivedBatch::CAPACITY);
        let (result, may_have_more) = match received.receive(&entry.socket, number, buffers) {
            Ok(count) => (Ok(count), count == room),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (Ok(0), false),
            Err(error) if is_of_one_peer(&error) => (Ok(0), true),
            Err(error) => (Err(error), true),
        };
        entry.is_ready = may_have_more;
        if may_have_more {
            self.ready.push_back(number);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ports_come_from_their_range_until_none_is_free() {
        // Some range that is free here.
        let first = UniquePortOpener::new(Ipv4Addr::LOCALHOST.into()).open().unwrap().number().min(65_000);
        let range = first..=first + 3;
        let mut opener = UniquePortOpener::new(Ipv4Addr::LOCALHOST.into()).within(Some(range.clone()));
        let mut opened = Vec::new();
        let error = loop {
            match opener.open() {
                Ok(port) => opened.push(port),
                Err(error) => break error,
            }
        };
        assert!(!opened.is_empty() && opened.iter().all(|port| range.contains(&port.number())), "{opened:?}");
        assert_eq!(error.to_string(), format!("no port of {first}-{} is free", first + 3));
        let freed = opened.remove(0).number();
        assert_eq!(opener.open().unwrap().number(), freed);
    }
}
