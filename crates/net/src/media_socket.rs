//! The one UDP socket of the bridge: receives in batches, sends with segmentation offload where the kernel has it.
//!
//! Here: the socket and the wait for it. Not here: what a datagram means (`ice`, `bridge`). The system calls
//! themselves are quinn-udp's: `recvmmsg`, UDP GRO and GSO, and the local address of each datagram.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::media::MediaBindError;
use model::FiveTuple;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Kernel buffers: 4 MB is 30 ms of a saturated 1 Gbit/s link, so that a pause of the thread loses nothing.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// A message of the kernel's receive offload has at most this many bytes; larger ones are cut by the kernel.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Longest run of datagrams in one send: the kernel takes 64 KB or 64 segments at once.
const MAX_RUN_BYTES: usize = 60_000;

const SOCKET_TOKEN: mio::Token = mio::Token(0);
const WAKE_TOKEN: mio::Token = mio::Token(1);

/// A datagram as it came in.
#[derive(Debug)]
pub struct ReceivedDatagram<'a> {
    /// The way that it came.
    pub path: FiveTuple,
    /// Its bytes, free to be changed in place.
    pub data: &'a mut [u8],
}

/// Wakes the thread that waits for a socket.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Ends the wait now. Cannot fail in a way that matters: the thread wakes at its next timer at the latest.
    pub fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::debug!(%error, "cannot wake the media thread");
        }
    }
}

/// The media socket and the wait for it.
pub struct MediaSocket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    poll: mio::Poll,
    waker: Waker,
    port: u16,
    messages: Vec<u8>,
}

/// Scratch for [`MediaSocket::wait`].
pub type MediaSocketEvents = mio::Events;

impl MediaSocket {
    /// Binds `address`; an unspecified IPv6 address takes IPv4 too, and IPv4 alone on a host without IPv6.
    ///
    /// # Errors
    /// [`MediaBindError`] when the port cannot be had.
    pub fn bind(address: SocketAddr) -> Result<Self, MediaBindError> {
        match Self::try_bind(address) {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && is_without_ipv6(&error) => {
                let address = SocketAddr::from(([0, 0, 0, 0], address.port()));
                Self::try_bind(address).map_err(|source| MediaBindError { address, source })
            }
            result => result.map_err(|source| MediaBindError { address, source }),
        }
    }

    fn try_bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // The kernel caps these at net.core.{r,w}mem_max: less is slower under load, not wrong.
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES)?;
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES)?;
        let mut socket = mio::net::UdpSocket::from_std(socket.into());
        let port = socket.local_addr()?.port();
        let poll = mio::Poll::new()?;
        poll.registry().register(&mut socket, SOCKET_TOKEN, mio::Interest::READABLE)?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKE_TOKEN)?));
        Ok(Self { socket, state, poll, waker, port, messages: vec![0; MESSAGE_BYTES * BATCH_SIZE] })
    }

    /// The port that is bound.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A handle that ends [`wait`](Self::wait) from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits until a datagram is there, [`Waker::wake`] is called or `timeout` passes.
    ///
    /// # Errors
    /// What the system answers; an interrupted wait is not an error.
    pub fn wait(&mut self, events: &mut MediaSocketEvents, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Hands one batch of waiting datagrams to `handle`. Answers how many there were; 0 when none waits.
    ///
    /// # Errors
    /// What the system answers, but for `WouldBlock` and for ICMP errors of earlier sends, which concern one peer.
    pub fn receive(&mut self, mut handle: impl FnMut(ReceivedDatagram<'_>)) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = {
            let mut slices = self.messages.chunks_mut(MESSAGE_BYTES).map(IoSliceMut::new);
            let mut batch: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            match self.socket.try_io(|| self.state.recv(UdpSockRef::from(&self.socket), &mut batch, &mut metas)) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if is_of_one_peer(&error) => return Ok(1),
                Err(error) => return Err(error),
            }
        };
        let mut count = 0;
        for (meta, message) in metas.iter().zip(self.messages.chunks_mut(MESSAGE_BYTES)).take(received) {
            let local =
                SocketAddr::new(meta.dst_ip.map_or(Ipv6Addr::UNSPECIFIED.into(), |ip| ip.to_canonical()), self.port);
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let Some(bytes) = message.get_mut(..meta.len) else { continue };
            // The kernel joins datagrams of one sender that have the same length, but for a shorter last one.
            for data in bytes.chunks_mut(meta.stride.max(1)) {
                count += 1;
                handle(ReceivedDatagram { path: FiveTuple::udp(local, remote), data });
            }
        }
        Ok(count)
    }

    /// Sends everything in `queue` and empties it. Answers how many datagrams the kernel refused: its buffer was full,
    /// or a peer's address cannot be reached. Either loses packets, as the network may too.
    pub fn send(&self, queue: &mut SendQueue) -> usize {
        let is_ipv6_socket = self.socket.local_addr().is_ok_and(|address| address.is_ipv6());
        let mut refused = 0;
        let mut at = 0;
        while let Some(first) = queue.entries.get(at) {
            let run = queue.run_at(at, self.state.max_gso_segments());
            let Some(contents) = queue.bytes.get(first.start..first.start + run.bytes) else { break };
            let transmit = Transmit {
                destination: if is_ipv6_socket { to_mapped(first.path.remote) } else { first.path.remote },
                ecn: None,
                contents,
                segment_size: (run.datagrams > 1).then_some(first.len),
                src_ip: Some(first.path.local.ip()).filter(|ip| !ip.is_unspecified()),
            };
            if let Err(error) = self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                tracing::trace!(%error, datagrams = run.datagrams, "the kernel refused to send");
                refused += run.datagrams;
            }
            at += run.datagrams;
        }
        queue.clear();
        refused
    }
}

/// An ICMP error that came back for an earlier datagram.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(AF_NOT_SUPPORTED)
}

/// `EAFNOSUPPORT` of Linux, which `io::ErrorKind` has no name for.
const AF_NOT_SUPPORTED: i32 = 97;

fn to_mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Datagrams on their way out, back to back in one buffer that is kept from batch to batch.
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: FiveTuple,
    start: usize,
    len: usize,
}

/// Datagrams that one system call can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    datagrams: usize,
    bytes: usize,
}

impl SendQueue {
    /// Adds a datagram for the peer at the end of `path`; an unspecified local address leaves the choice of it to the
    /// kernel. `write` gets `capacity` bytes of space and answers how many
    /// it used; at `None` nothing is added.
    pub fn push_with(
        &mut self,
        path: FiveTuple,
        capacity: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let start = self.bytes.len();
        self.bytes.resize(start + capacity, 0);
        let written = self.bytes.get_mut(start..).and_then(write).map_or(0, |len| len.min(capacity));
        self.bytes.truncate(start + written);
        if written > 0 {
            self.entries.push(Entry { path, start, len: written });
        }
        written > 0
    }

    /// Adds a datagram for the peer at the end of `path`.
    pub fn push(&mut self, path: FiveTuple, data: &[u8]) {
        self.push_with(path, data.len(), |space| {
            space.copy_from_slice(data);
            Some(data.len())
        });
    }

    /// Datagrams that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The waiting datagrams: where to, and the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (FiveTuple, &[u8])> {
        self.entries
            .iter()
            .map(|entry| (entry.path, self.bytes.get(entry.start..entry.start + entry.len).unwrap_or_default()))
    }

    /// Forgets what waits; the buffer is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The longest run from `at` on that goes to one place in pieces of one length, but for a shorter last one.
    fn run_at(&self, at: usize, max_segments: usize) -> Run {
        let mut run = Run { datagrams: 0, bytes: 0 };
        let Some(first) = self.entries.get(at) else { return run };
        for entry in self.entries.iter().skip(at).take(max_segments.max(1)) {
            let is_same_way = entry.path == first.path;
            if !is_same_way || entry.len > first.len || run.bytes + entry.len > MAX_RUN_BYTES && run.datagrams > 0 {
                break;
            }
            run.datagrams += 1;
            run.bytes += entry.len;
            if entry.len < first.len {
                break;
            }
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unspecified() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    fn loopback() -> (MediaSocket, MediaSocketEvents) {
        (MediaSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(), MediaSocketEvents::with_capacity(8))
    }

    #[test]
    fn datagrams_of_many_lengths_arrive_whole() {
        let (mut receiver, mut events) = loopback();
        let (sender, _) = loopback();
        let to = SocketAddr::from(([127, 0, 0, 1], receiver.port()));
        let lengths = [100, 100, 100, 60, 1200, 1200, 5];
        let mut queue = SendQueue::default();
        for (index, len) in lengths.into_iter().enumerate() {
            queue.push(FiveTuple::udp(unspecified(), to), &vec![index as u8; len]);
        }
        assert_eq!(sender.send(&mut queue), 0);
        assert!(queue.is_empty());
        let mut received = Vec::new();
        while received.len() < lengths.len() {
            receiver.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
            assert!(!events.is_empty(), "nothing arrived within five seconds");
            while receiver
                .receive(|datagram| {
                    assert_eq!(datagram.path.local, to);
                    received.push((datagram.data.len(), datagram.data.first().copied()));
                })
                .unwrap()
                > 0
            {}
        }
        let sent: Vec<_> = lengths.into_iter().enumerate().map(|(index, len)| (len, Some(index as u8))).collect();
        assert_eq!(received, sent);
    }

    #[test]
    fn a_run_ends_at_another_place_or_length() {
        let (a, b) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let mut queue = SendQueue::default();
        for (to, len) in [(a, 10), (a, 10), (a, 4), (a, 10), (b, 10), (b, 12)] {
            queue.push(FiveTuple::udp(unspecified(), to), &vec![0; len]);
        }
        let runs: Vec<_> = [0, 3, 4, 5].into_iter().map(|at| queue.run_at(at, 64).datagrams).collect();
        assert_eq!(runs, [3, 1, 1, 1]);
        assert_eq!(queue.run_at(0, 1).datagrams, 1);
    }

    #[test]
    fn a_taken_port_is_named() {
        let (taken, _) = loopback();
        let address = SocketAddr::from(([127, 0, 0, 1], taken.port()));
        let error = MediaSocket::bind(address).err().unwrap();
        assert_eq!(error.to_string(), format!("cannot listen on media UDP {address}"));
    }

    #[test]
    fn waking_ends_a_wait() {
        let (mut socket, mut events) = loopback();
        socket.waker().wake();
        socket.wait(&mut events, None).unwrap();
    }
}
