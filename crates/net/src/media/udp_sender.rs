//! Sends a queue over one UDP socket: 64 messages a system call, runs of equal datagrams as one message.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use model::TransportProtocol;

use super::ancillary::Name;
use super::send_queue::{Message, SendQueue};
use super::sys::{self, BATCH, Outgoing};

/// Messages in a row that a full socket buffer may refuse before the rest of the queue is dropped: one may be a chance
/// moment, and each try is a system call.
const FULL_BUFFER_TRIES: usize = 4;

/// What became of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// Datagrams that the kernel took, and those that a TCP connection took or keeps.
    pub sent: usize,
    /// Datagrams that were dropped: a buffer was full, or the address cannot be reached.
    pub refused: usize,
    /// Messages that the kernel took: runs of datagrams over UDP, writes over TCP.
    pub messages: usize,
    /// System calls.
    pub calls: usize,
}

/// The sending half of UDP sockets of one family.
#[derive(Debug)]
pub(super) struct UdpSender {
    batch: Box<[Outgoing; BATCH]>,
    singles: Box<[Outgoing; BATCH]>,
    waiting: usize,
    full_in_a_row: usize,
    /// What the sockets are bound to.
    local: IpAddr,
    gso: bool,
}

impl UdpSender {
    /// For sockets that are bound to `local`; `gso` says whether the kernel cuts messages into datagrams (`UDP_SEGMENT`).
    pub(super) fn new(local: IpAddr, gso: bool) -> Self {
        let batch = || Box::new([Outgoing::default(); BATCH]);
        Self { batch: batch(), singles: batch(), waiting: 0, full_in_a_row: 0, local, gso }
    }

    /// Sends what goes over UDP. The queue is not cleared.
    pub(super) fn send(&mut self, socket: &impl AsFd, queue: &SendQueue, outcome: &mut SendOutcome) {
        self.send_messages(socket, queue.slab(), queue.messages(), outcome);
    }

    /// The same for some messages of a queue, whose bytes are in `slab`.
    pub(super) fn send_messages(
        &mut self,
        socket: &impl AsFd,
        slab: &[u8],
        messages: &[Message],
        outcome: &mut SendOutcome,
    ) {
        let socket = socket.as_fd();
        self.full_in_a_row = 0;
        for message in messages.iter().filter(|message| message.path.protocol == TransportProtocol::Udp) {
            let step = if self.gso { message.len } else { message.segment };
            let mut at = 0;
            while at < message.len {
                let len = step.min(message.len - at);
                self.add(message, at, len);
                at += len;
                if self.waiting == BATCH {
                    self.flush(socket, slab, outcome);
                }
            }
        }
        self.flush(socket, slab, outcome);
    }

    fn add(&mut self, message: &Message, at: usize, len: usize) {
        let Some(outgoing) = self.batch.get_mut(self.waiting) else { return };
        outgoing.start = message.start + at;
        outgoing.len = len;
        outgoing.segment = message.segment;
        outgoing.datagrams = len.div_ceil(message.segment.max(1));
        outgoing.name = Name::new(message.path.remote, self.local.is_ipv6());
        outgoing.control.clear();
        // A socket with one address has no choice, and to be told would cost the kernel an allocation.
        let source = message.path.local.ip();
        if !source.is_unspecified() && source != self.local {
            outgoing.control.push_source(source);
        }
        if outgoing.datagrams > 1 {
            outgoing.control.push_segment_size(message.segment as u16);
        }
        self.waiting += 1;
    }

    fn flush(&mut self, socket: BorrowedFd<'_>, slab: &[u8], outcome: &mut SendOutcome) {
        let mut at = 0;
        while let Some(waiting) = self.batch.get(at..self.waiting).filter(|waiting| !waiting.is_empty()) {
            if self.full_in_a_row >= FULL_BUFFER_TRIES {
                outcome.refused += waiting.iter().map(|message| message.datagrams).sum::<usize>();
                break;
            }
            outcome.calls += 1;
            match sys::send_batch(socket, slab, waiting) {
                Ok(sent) => {
                    self.full_in_a_row = 0;
                    outcome.messages += sent;
                    outcome.sent += waiting.iter().take(sent).map(|message| message.datagrams).sum::<usize>();
                    at += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.on_refused(socket, slab, at, &error, outcome);
                    at += 1;
                }
            }
        }
        self.waiting = 0;
    }

    /// The kernel refused the message at `at`: the others go on.
    fn on_refused(
        &mut self,
        socket: BorrowedFd<'_>,
        slab: &[u8],
        at: usize,
        error: &io::Error,
        outcome: &mut SendOutcome,
    ) {
        let Some(message) = self.batch.get(at).copied() else { return };
        tracing::trace!(%error, datagrams = message.datagrams, "the kernel refused to send");
        let is_full = error.kind() == io::ErrorKind::WouldBlock;
        self.full_in_a_row = if is_full { self.full_in_a_row + 1 } else { 0 };
        let may_be_gso = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE));
        if message.datagrams < 2 || !may_be_gso {
            outcome.refused += message.datagrams;
            return;
        }
        if error.raw_os_error() == Some(libc::EIO) && self.gso {
            // udp(7): the device has no checksum offload, which cutting needs. It will not grow one.
            tracing::warn!("media goes on without UDP GSO: the network device cannot do it");
            self.gso = false;
        }
        self.send_singly(socket, slab, message, outcome);
    }

    /// Sends the datagrams of a message that the kernel did not take whole.
    fn send_singly(&mut self, socket: BorrowedFd<'_>, slab: &[u8], message: Outgoing, outcome: &mut SendOutcome) {
        let segment = message.segment.max(1);
        let count = message.datagrams.min(BATCH);
        for (index, single) in self.singles.iter_mut().take(count).enumerate() {
            *single = message;
            single.start += index * segment;
            single.len = segment.min(message.len.saturating_sub(index * segment));
            single.datagrams = 1;
            single.control.pop_segment_size();
        }
        let mut at = 0;
        while let Some(waiting) = self.singles.get(at..count).filter(|waiting| !waiting.is_empty()) {
            outcome.calls += 1;
            match sys::send_batch(socket, slab, waiting) {
                Ok(sent) => {
                    outcome.messages += sent;
                    outcome.sent += sent;
                    at += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The address itself is wrong, or the buffer is full: the others would fare no better.
                Err(error)
                    if error.raw_os_error() == Some(libc::EINVAL) || error.kind() == io::ErrorKind::WouldBlock =>
                {
                    outcome.refused += waiting.len();
                    return;
                }
                Err(_) => {
                    outcome.refused += 1;
                    at += 1;
                }
            }
        }
    }

    /// Whether messages are still cut by the kernel.
    pub(super) const fn uses_gso(&self) -> bool {
        self.gso
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
    use std::time::Duration;

    use model::FiveTuple;

    use super::*;

    #[test]
    fn a_device_that_cannot_cut_messages_ends_gso_and_loses_nothing() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let path = FiveTuple::udp(SocketAddr::from(([0, 0, 0, 0], 0)), receiver.local_addr().unwrap());
        let mut queue = SendQueue::default();
        for len in [100, 100, 7] {
            queue.push(path, &vec![len as u8; len]);
        }
        let mut sender = UdpSender::new(Ipv4Addr::LOCALHOST.into(), true);
        sender.add(&queue.messages()[0], 0, 207);
        let mut outcome = SendOutcome::default();
        let error = io::Error::from_raw_os_error(libc::EIO);
        sender.on_refused(socket.as_fd(), queue.slab(), 0, &error, &mut outcome);
        assert_eq!((outcome.sent, outcome.refused), (3, 0));
        assert!(!sender.uses_gso());
        for len in [100, 100, 7] {
            let mut bytes = [0; 256];
            assert_eq!(receiver.recv(&mut bytes).unwrap(), len);
            assert_eq!(bytes[..len], vec![len as u8; len]);
        }
    }

    #[test]
    fn a_full_socket_buffer_drops_the_rest_after_a_few_tries() {
        let (socket, _peer) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let path = FiveTuple::udp(SocketAddr::from(([0, 0, 0, 0], 0)), SocketAddr::from(([127, 0, 0, 1], 9)));
        let mut queue = SendQueue::default();
        for _ in 0..1000 {
            queue.push(path, &[0; 10]);
        }
        let mut sender = UdpSender::new(Ipv4Addr::LOCALHOST.into(), false);
        for at in 0..FULL_BUFFER_TRIES {
            sender.add(&queue.messages()[0], at * 10, 10);
            let full = io::Error::from(io::ErrorKind::WouldBlock);
            sender.on_refused(socket.as_fd(), queue.slab(), at, &full, &mut SendOutcome::default());
        }
        let mut outcome = SendOutcome::default();
        sender.flush(socket.as_fd(), queue.slab(), &mut outcome);
        assert_eq!((outcome.sent, outcome.refused, outcome.calls), (0, FULL_BUFFER_TRIES, 0));
    }
}
