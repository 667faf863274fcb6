//! One shard of media I/O: its UDP socket, and the wait for everything that it serves.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use model::{FiveTuple, TransportProtocol};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::affinity::pin_current_thread;
use super::capabilities::MediaCapabilities;
use super::send_queue::{Message, SendQueue};
use super::tcp::{AcceptedTcp, ClosedTcp, TcpConnection, TcpConnections, TcpCounters};
use super::udp_receiver::ReceivedBatch;
use super::udp_sender::{SendOutcome, UdpSender};
use super::unique_ports::{UniquePort, UniquePorts};
use super::waker::Waker;

const WAKE_TOKEN: Token = Token(0);
/// Tokens from here on are those of unique ports, one for each number that a port may have.
const FIRST_PORT_TOKEN: usize = 1;
/// Tokens from here on are those of TCP connections.
const FIRST_TCP_TOKEN: usize = FIRST_PORT_TOKEN + u16::MAX as usize + 1;
/// Events of one wait; what does not fit comes at the next one.
const EVENTS: usize = 256;

/// One shard of media I/O. It belongs to one thread; others reach it by its [`Waker`].
pub struct MediaShard {
    index: usize,
    socket: UdpSocket,
    local: SocketAddr,
    receives: bool,
    can_pin: bool,
    /// A datagram may wait: the socket said so, and was not found empty since.
    readable: bool,
    /// Everything that is waited for but the UDP socket of the media port.
    poll: Poll,
    events: Events,
    waker: Waker,
    sender: UdpSender,
    unique_ports: UniquePorts,
    tcp: TcpConnections,
}

impl MediaShard {
    pub(super) fn new(
        index: usize,
        socket: UdpSocket,
        receives: bool,
        capabilities: &MediaCapabilities,
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let poll = Poll::new()?;
        let unique_ports = UniquePorts::new(poll.registry().try_clone()?, FIRST_PORT_TOKEN);
        let tcp = TcpConnections::new(poll.registry().try_clone()?, FIRST_TCP_TOKEN);
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
            sender: UdpSender::new(local.ip(), capabilities.gso),
            unique_ports,
            tcp,
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
        let stays_awake = has_work() || self.readable || self.unique_ports.ready() > 0 || self.tcp.is_ready();
        if stays_awake {
            self.waker.rise();
        }
        // A socket that is known to have datagrams is read before it is asked again.
        let has_others =
            if self.readable { Ok(true) } else { self.sleep(if stays_awake { Some(Duration::ZERO) } else { timeout }) };
        self.waker.rise();
        if !has_others? {
            return Ok(());
        }
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            match event.token() {
                WAKE_TOKEN => {}
                Token(token) if token < FIRST_TCP_TOKEN => self.unique_ports.on_event(event.token()),
                Token(_) => self.tcp.on_event(event),
            }
        }
        Ok(())
    }

    /// Sleeps until a datagram waits, anything else happened or `timeout` passes. Answers whether something else did.
    ///
    /// The socket of the media port does not stand in the set of `poll`, as it would be watched there all the time: then the
    /// kernel looks for a sleeper each time that one of its messages has left, and finds one whom that does not wake. Here it
    /// is watched while the thread sleeps, when nothing leaves.
    fn sleep(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        // Rounded up to milliseconds, so that timers that end at nearly the same time cost one wake-up.
        let timeout = timeout.map(|timeout| Duration::from_millis(timeout.as_nanos().div_ceil(1_000_000) as u64));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut watched = [PollFd::new(self.poll.registry(), PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        let watched = watched.get_mut(..1 + usize::from(self.receives)).unwrap_or_default();
        match rustix::event::poll(watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Errors are for those who read.
        let mut has_event = watched.iter().map(|watched| !watched.revents().is_empty());
        let has_others = has_event.next().unwrap_or_default();
        self.readable = has_event.next().unwrap_or_default();
        Ok(has_others)
    }

    /// Whether a datagram may wait, as [`wait`](Self::wait) found out.
    #[must_use]
    pub const fn has_datagrams(&self) -> bool {
        self.readable
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
                // A batch that was not filled has emptied it.
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

    /// As [`receive`](Self::receive), from the unique port whose turn it is.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_unique(
        &mut self,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut ReceivedBatch,
    ) -> io::Result<usize> {
        self.unique_ports.receive(buffers, received)
    }

    /// Takes a port of one peer's own. What has its number as local port leaves from there.
    ///
    /// # Errors
    /// What the system says.
    pub fn add_unique_port(&mut self, port: UniquePort) -> io::Result<()> {
        self.unique_ports.add(port)
    }

    /// Closes a unique port.
    pub fn close_unique_port(&mut self, number: u16) {
        self.unique_ports.close(number);
    }

    /// Unique ports at which a datagram may wait.
    #[must_use]
    pub fn ready_unique_ports(&self) -> usize {
        self.unique_ports.ready()
    }

    /// One turn of reading the TCP connections: hands their frames to `handle`, with the way that they came, free to be
    /// changed in place. Each connection gets a bounded share; what is left keeps [`wait`](Self::wait) from waiting.
    /// Answers how many frames came.
    pub fn receive_tcp(&mut self, handle: impl FnMut(FiveTuple, &mut [u8])) -> usize {
        self.tcp.receive(handle)
    }

    /// Sends everything in `queue` and empties it. What the kernel refuses is dropped and counted: its buffer was full,
    /// or a peer's address cannot be reached. Either loses packets, as the network may too. A datagram leaves from its local
    /// port, which is the media port, 0 for that too, or a unique port that is here. One for a path over TCP goes to the
    /// connection of that remote address; where there is none here, it is refused.
    pub fn send(&mut self, queue: &mut SendQueue) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        if queue.tcp_datagrams() < queue.len() {
            if self.unique_ports.is_empty() {
                self.sender.send(&self.socket, queue, &mut outcome);
            } else {
                self.send_by_port(queue, &mut outcome);
            }
        }
        if queue.tcp_datagrams() > 0 {
            self.tcp.send(queue, &mut outcome);
        }
        queue.clear();
        outcome
    }

    /// Sends each run of messages from the port that is their local one.
    fn send_by_port(&mut self, queue: &SendQueue, outcome: &mut SendOutcome) {
        let Self { sender, socket, local, unique_ports, .. } = self;
        let local_port = |message: &Message| message.path.local.port();
        for run in queue.messages().chunk_by(|a, b| local_port(a) == local_port(b)) {
            let port = run.first().map_or(0, local_port);
            let socket =
                if port == 0 || port == local.port() { Some(socket.as_fd()) } else { unique_ports.socket(port) };
            match socket {
                Some(socket) => sender.send_messages(&socket, queue.slab(), run, outcome),
                None => {
                    let over_udp = run.iter().filter(|message| message.path.protocol == TransportProtocol::Udp);
                    outcome.refused += over_udp.map(|message| message.datagrams).sum::<usize>();
                }
            }
        }
    }

    /// Takes a TCP connection. It has to be confirmed within 15 s. Answers false, and closes it, where a connection of
    /// the same remote address is here.
    pub fn add_tcp(&mut self, accepted: AcceptedTcp, now: Instant) -> bool {
        self.tcp.add(accepted, now)
    }

    /// ICE found a valid check on the connection of `remote`, which may stay. Answers whether it is here.
    pub fn confirm_tcp(&mut self, remote: SocketAddr) -> bool {
        self.tcp.confirm(remote)
    }

    /// Closes the connection of `remote`, which is not reported. Answers whether it was here.
    pub fn close_tcp(&mut self, remote: SocketAddr) -> bool {
        self.tcp.take(remote).is_some()
    }

    /// Takes the connection of `remote` out, for another shard: with all that was read and not handed on, and all that
    /// was not sent.
    pub fn take_tcp(&mut self, remote: SocketAddr) -> Option<TcpConnection> {
        self.tcp.take(remote)
    }

    /// Puts in a connection of another shard. Answers as [`add_tcp`](Self::add_tcp).
    pub fn insert_tcp(&mut self, connection: TcpConnection, now: Instant) -> bool {
        self.tcp.insert(connection, now)
    }

    /// Bytes that wait for the socket of `remote`, besides up to 32 KB in the kernel; 256 KB is the most.
    #[must_use]
    pub fn tcp_backlog(&self, remote: SocketAddr) -> usize {
        self.tcp.backlog(remote)
    }

    /// The next connection that was closed by its peer, by a fault or by time. Call until it answers `None`, after
    /// [`wait`](Self::wait), [`receive_tcp`](Self::receive_tcp), [`send`](Self::send) and
    /// [`handle_tcp_timeout`](Self::handle_tcp_timeout).
    pub fn poll_tcp_closed(&mut self) -> Option<ClosedTcp> {
        self.tcp.poll_closed()
    }

    /// When [`handle_tcp_timeout`](Self::handle_tcp_timeout) is due; `None` while there is no connection.
    #[must_use]
    pub const fn poll_tcp_timeout(&self) -> Option<Instant> {
        self.tcp.poll_timeout()
    }

    /// Closes connections that were not confirmed in time or take nothing. Does nothing before it is due.
    pub fn handle_tcp_timeout(&mut self, now: Instant) {
        self.tcp.handle_timeout(now);
    }

    /// What the TCP connections did.
    #[must_use]
    pub const fn tcp_counters(&self) -> &TcpCounters {
        self.tcp.counters()
    }

    /// TCP connections that are here.
    #[must_use]
    pub fn tcp_connections(&self) -> usize {
        self.tcp.len()
    }

    /// Makes the kernel refuse to cut messages, as it does for a device without checksum offload.
    #[cfg(test)]
    pub(super) fn break_gso(&self) {
        super::sys::set_option(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    }

    /// A sender for another thread, which shares this shard's UDP socket.
    ///
    /// # Errors
    /// What the system answers, such as no more file descriptors.
    pub fn media_sender(&self) -> io::Result<MediaSender> {
        let socket = UdpSocket::from(self.socket.as_fd().try_clone_to_owned()?);
        Ok(MediaSender { socket, sender: UdpSender::new(self.local.ip(), self.sender.uses_gso()) })
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
pub(super) fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::Interrupted
    )
}
