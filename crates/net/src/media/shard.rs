//! One shard of media I/O: its UDP socket, and the wait for everything that it serves.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::affinity::pin_current_thread;
use super::capabilities::MediaCapabilities;
use super::send_queue::SendQueue;
use super::udp_receiver::ReceivedBatch;
use super::udp_sender::{SendOutcome, UdpSender};
use super::waker::Waker;

const SOCKET_TOKEN: Token = Token(0);
const WAKE_TOKEN: Token = Token(1);
/// Events of one wait; what does not fit comes at the next one.
const EVENTS: usize = 256;

/// One shard of media I/O. It belongs to one thread; others reach it by its [`Waker`].
pub struct MediaShard {
    index: usize,
    socket: mio::net::UdpSocket,
    local: SocketAddr,
    receives: bool,
    can_pin: bool,
    /// A datagram may wait: the socket said so, and was not found empty since.
    readable: bool,
    poll: Poll,
    events: Events,
    waker: Waker,
    sender: UdpSender,
}

impl MediaShard {
    pub(super) fn new(
        index: usize,
        socket: UdpSocket,
        receives: bool,
        capabilities: &MediaCapabilities,
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let poll = Poll::new()?;
        if receives {
            poll.registry().register(&mut socket, SOCKET_TOKEN, Interest::READABLE)?;
        }
        let waker = Waker::new(mio::Waker::new(poll.registry(), WAKE_TOKEN)?);
        Ok(Self {
            index,
            socket,
            local,
            receives,
            can_pin: capabilities.pinned,
            readable: receives,
            poll,
            events: Events::with_capacity(EVENTS),
            waker,
            sender: UdpSender::new(local.is_ipv6(), capabilities.gso),
        })
    }

    /// Waits until something can be read or written, [`Waker::wake`] is called or `timeout` passes. Does not wait when
    /// `has_work` says that other threads left work, or while something that was there before has not been read.
    ///
    /// `has_work` is asked after the shard announced its sleep, so that no wake-up between a look into the queues and
    /// the sleep is lost. It has to look into every queue whose writers call [`Waker::wake`].
    ///
    /// # Errors
    /// What the system answers; an interrupted wait is not an error.
    pub fn wait(&mut self, timeout: Option<Duration>, has_work: impl FnOnce() -> bool) -> io::Result<()> {
        self.waker.fall_asleep();
        let timeout = if has_work() || self.readable { Some(Duration::ZERO) } else { timeout };
        let result = self.poll.poll(&mut self.events, timeout);
        self.waker.rise();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            self.readable |= event.token() == SOCKET_TOKEN;
        }
        Ok(())
    }

    /// Receives waiting datagrams into `buffers`, one each, with one system call; describes them in `received`. Takes
    /// up to [`ReceivedBatch::CAPACITY`]. Answers how many; 0 when none waits, which costs no system call.
    ///
    /// # Errors
    /// What the system answers, but for `WouldBlock` and for ICMP errors of earlier sends, which concern one peer.
    pub fn receive(&mut self, buffers: &mut [IoSliceMut<'_>], received: &mut ReceivedBatch) -> io::Result<usize> {
        if !self.readable {
            received.clear();
            return Ok(0);
        }
        let room = buffers.len().min(ReceivedBatch::CAPACITY);
        match received.receive(&self.socket, self.local.port(), buffers) {
            Ok(count) => {
                // The readiness of the socket is edge-triggered: only an empty one tells of the next datagram.
                self.readable = count == room;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(error) if is_of_one_peer(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends everything in `queue` and empties it. What the kernel refuses is dropped and counted: its buffer was full,
    /// or a peer's address cannot be reached. Either loses packets, as the network may too.
    pub fn send(&mut self, queue: &mut SendQueue) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        self.sender.send(&self.socket, queue, &mut outcome);
        outcome.refused += queue.tcp_datagrams();
        queue.clear();
        outcome
    }

    /// Makes the kernel refuse to cut messages, as it does for a device without checksum offload.
    #[cfg(test)]
    pub(super) fn break_gso(&self) {
        use std::os::fd::AsFd;
        super::sys::set_option(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    }

    /// A sender for another thread, which shares this shard's UDP socket.
    ///
    /// # Errors
    /// What the system answers, such as no more file descriptors.
    pub fn media_sender(&self) -> io::Result<MediaSender> {
        use std::os::fd::AsFd;
        let socket = UdpSocket::from(self.socket.as_fd().try_clone_to_owned()?);
        Ok(MediaSender { socket, sender: UdpSender::new(self.local.is_ipv6(), self.sender.uses_gso()) })
    }

    /// Lets the current thread, which is to be the shard's, run on the shard's CPU only. Answers whether it does.
    pub fn pin_current_thread(&self) -> bool {
        self.can_pin && pin_current_thread(self.index)
    }

    /// A handle that ends [`wait`](Self::wait) from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The number of this shard, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The UDP port, the same for all shards.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.local.port()
    }

    /// Whether the kernel still cuts messages into datagrams for this shard: a network device may turn out not to.
    #[must_use]
    pub const fn uses_gso(&self) -> bool {
        self.sender.uses_gso()
    }

    /// Whether datagrams arrive at this shard. Where the kernel does not spread them, the first receives for all.
    #[must_use]
    pub const fn receives(&self) -> bool {
        self.receives
    }
}

/// Sends from the media port in another thread than a shard's, over UDP only.
pub struct MediaSender {
    socket: UdpSocket,
    sender: UdpSender,
}

impl MediaSender {
    /// Sends everything in `queue` and empties it; datagrams for TCP are refused.
    pub fn send(&mut self, queue: &mut SendQueue) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        self.sender.send(&self.socket, queue, &mut outcome);
        outcome.refused += queue.tcp_datagrams();
        queue.clear();
        outcome
    }
}

/// An ICMP error that came back for an earlier datagram.
fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::Interrupted
    )
}
