//! Many datagrams in one system call, for all ends of the benches: `recvmmsg` into fixed slots, `sendmmsg` of runs.
//!
//! Addresses are IPv4: `bridge-bench` is on the loopback interface, and the sockets of the load generator are connected.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, recvmmsg, sendmmsg, setsockopt,
    sockopt,
};
use nix::sys::time::TimeSpec;

/// Datagrams taken at once.
pub const BATCH: usize = 64;
/// Largest datagram that is taken whole.
const SLOT_BYTES: usize = 2_048;
/// Messages handed to the kernel at once; it takes 1024.
const MAX_MESSAGES: usize = 512;
/// Kernel buffer of every socket; capped at net.core.{r,w}mem_max where that is lower.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Whether to wait for the first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until one is there.
    ForOne,
    /// What is there now.
    Never,
}

/// Gives a socket large buffers and, for the sink, has the kernel note when each datagram arrives.
pub fn prepare(socket: &(impl AsRawFd + AsFd)) -> anyhow::Result<()> {
    setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    Ok(())
}

/// Has the kernel note when each datagram arrives.
pub fn stamp_arrivals(socket: &(impl AsRawFd + AsFd)) -> anyhow::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// A datagram as it came.
pub struct Datagram<'a> {
    /// Its place in the batch.
    pub slot: usize,
    /// Its sender; unspecified where that has no IPv4 address.
    pub from: SocketAddrV4,
    /// Since the epoch, by the kernel; zero where it does not stamp.
    pub arrival: Duration,
    /// Its bytes.
    pub data: &'a mut [u8],
}

/// Slots for [`BATCH`] datagrams.
pub struct ReceiveBatch {
    headers: MultiHeaders<SockaddrIn>,
    slots: Vec<u8>,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBatch {
    /// Empty slots.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec))),
            slots: vec![0; BATCH * SLOT_BYTES],
        }
    }

    /// Hands the datagrams of one system call to `handle`; answers how many there were.
    pub fn receive(
        &mut self,
        socket: &(impl AsRawFd + AsFd),
        wait: Wait,
        mut handle: impl FnMut(Datagram<'_>),
    ) -> Result<usize, Errno> {
        let mut notes = [(0, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Duration::ZERO); BATCH];
        let mut count = 0;
        {
            let mut slots = self.slots.chunks_mut(SLOT_BYTES);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
            let flags = match wait {
                Wait::ForOne => MsgFlags::MSG_WAITFORONE,
                Wait::Never => MsgFlags::MSG_DONTWAIT,
            };
            let received = match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
                Ok(received) => received,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
                Err(error) => return Err(error),
            };
            for (note, message) in notes.iter_mut().zip(received) {
                let from = message.address.map_or(note.1, SocketAddrV4::from);
                *note = (message.bytes, from, arrival(&message));
                count += 1;
            }
        }
        let slots = notes.into_iter().zip(self.slots.chunks_mut(SLOT_BYTES)).take(count).enumerate();
        for (slot, ((len, from, arrival), bytes)) in slots {
            handle(Datagram { slot, from, arrival, data: bytes.get_mut(..len).unwrap_or_default() });
        }
        Ok(count)
    }

    /// The first `len` bytes of a slot, as the last [`Self::receive`] left them.
    pub fn bytes(&self, slot: usize, len: usize) -> &[u8] {
        let start = slot * SLOT_BYTES;
        self.slots.get(start..start + len.min(SLOT_BYTES)).unwrap_or_default()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "control messages of all kinds; the enum is open")]
fn arrival(message: &RecvMsg<'_, '_, SockaddrIn>) -> Duration {
    let stamp = message.cmsgs().into_iter().flatten().find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
        _ => None,
    });
    stamp.map_or(Duration::ZERO, Duration::from)
}

/// Datagrams of one length, but for a shorter last one, to one place: one message to the kernel (UDP GSO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where to.
    pub to: SocketAddrV4,
    /// Offset in the slab.
    pub start: usize,
    /// Of all of them.
    pub bytes: usize,
    /// Length of each datagram.
    pub segment: u16,
    /// Datagrams.
    pub count: u16,
}

impl Run {
    /// The kernel takes 64 kB at once, headers included.
    const MAX_BYTES: usize = 65_000;
    /// Of old kernels; newer ones take 128 segments.
    const MAX_SEGMENTS: u16 = 64;

    /// Takes a datagram that lies right behind the run into it, if the kernel can cut it off again.
    pub const fn try_extend(&mut self, len: usize) -> bool {
        let is_whole = self.bytes == self.segment as usize * self.count as usize;
        let fits = len <= self.segment as usize
            && is_whole
            && self.bytes + len <= Self::MAX_BYTES
            && self.count < Self::MAX_SEGMENTS;
        if fits {
            self.bytes += len;
            self.count += 1;
        }
        fits
    }
}

/// What the kernel was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounts {
    /// System calls.
    pub calls: u64,
    /// Messages handed over.
    pub messages: u64,
}

/// Headers for messages to be sent.
pub struct SendBatch {
    headers: MultiHeaders<SockaddrIn>,
    /// Without a place for the segment length.
    plain: MultiHeaders<SockaddrIn>,
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBatch {
    /// Headers for a full batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(MAX_MESSAGES, Some(nix::cmsg_space!(u16))),
            plain: MultiHeaders::preallocate(MAX_MESSAGES, None),
        }
    }

    /// Sends at most [`BATCH`] datagrams of any length to one place, without segmentation by the kernel: they arrive as
    /// they would from a network. Answers how many left.
    pub fn send_each(
        &mut self,
        socket: &(impl AsRawFd + AsFd),
        to: SocketAddrV4,
        datagrams: &[[IoSlice<'_>; 1]],
    ) -> Result<usize, Errno> {
        self.send_plain(socket, Some(SockaddrIn::from(to)), datagrams)
    }

    /// The same from a connected socket.
    ///
    /// # Errors
    /// What the system says; `EAGAIN` when the socket takes no more.
    pub fn send_connected(
        &mut self,
        socket: &(impl AsRawFd + AsFd),
        datagrams: &[[IoSlice<'_>; 1]],
    ) -> Result<usize, Errno> {
        self.send_plain(socket, None, datagrams)
    }

    fn send_plain(
        &mut self,
        socket: &(impl AsRawFd + AsFd),
        to: Option<SockaddrIn>,
        datagrams: &[[IoSlice<'_>; 1]],
    ) -> Result<usize, Errno> {
        let to = [to; BATCH];
        let control: [ControlMessage<'_>; 0] = [];
        match sendmmsg(socket.as_raw_fd(), &mut self.plain, datagrams, to, control, MsgFlags::empty()) {
            Ok(results) => Ok(results.count()),
            Err(Errno::EINTR | Errno::ECONNREFUSED) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends all runs, which lie in `slab`. A call of nix has one segment length for all its messages, so that runs are
    /// sorted by it; within a length they keep their order.
    pub fn send(
        &mut self,
        socket: &(impl AsRawFd + AsFd),
        slab: &[u8],
        runs: &mut [Run],
        counts: &mut SendCounts,
    ) -> Result<(), Errno> {
        // A datagram alone goes without a segment length: the kernel has a shorter way for it.
        let key = |run: &Run| if run.count > 1 { run.segment } else { 0 };
        runs.sort_by_key(key);
        for runs in runs.chunk_by(|a, b| key(a) == key(b)).flat_map(|runs| runs.chunks(MAX_MESSAGES)) {
            let segment = runs.first().map_or(0, key);
            let slices: Vec<[IoSlice<'_>; 1]> = runs
                .iter()
                .map(|run| [IoSlice::new(slab.get(run.start..run.start + run.bytes).unwrap_or_default())])
                .collect();
            let addresses: Vec<Option<SockaddrIn>> = runs.iter().map(|run| Some(run.to.into())).collect();
            let control = [ControlMessage::UdpGsoSegments(&segment)];
            let (headers, control) =
                if segment > 0 { (&mut self.headers, &control[..]) } else { (&mut self.plain, &[][..]) };
            let mut sent = 0;
            while sent < slices.len() {
                let (rest, to) = (slices.get(sent..).unwrap_or_default(), addresses.get(sent..).unwrap_or_default());
                counts.calls += 1;
                match sendmmsg(socket.as_raw_fd(), headers, rest, to, control, MsgFlags::empty()) {
                    Ok(results) => sent += results.count().max(1),
                    Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
                    Err(error) => return Err(error),
                }
            }
            counts.messages += slices.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    fn socket() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("an IPv4 socket") };
        (socket, address)
    }

    #[test]
    fn a_run_takes_equal_lengths_and_one_shorter_last() {
        let mut run = Run { to: socket().1, start: 0, bytes: 100, segment: 100, count: 1 };
        assert!(run.try_extend(100));
        assert!(!run.try_extend(101));
        assert!(run.try_extend(40));
        assert!(!run.try_extend(40));
        assert_eq!((run.bytes, run.count), (240, 3));
    }

    #[test]
    fn runs_arrive_as_the_datagrams_that_they_are_made_of() {
        let (sender, from) = socket();
        let receivers = [socket(), socket()];
        stamp_arrivals(&receivers[0].0).unwrap();
        let slab: Vec<u8> = (0..250).collect();
        let run = |to: usize, start, bytes, segment, count| Run { to: receivers[to].1, start, bytes, segment, count };
        let mut runs = [run(0, 0, 240, 100, 3), run(1, 240, 10, 10, 1), run(1, 0, 200, 100, 2)];
        let mut counts = SendCounts::default();
        SendBatch::new().send(&sender, &slab, &mut runs, &mut counts).unwrap();
        assert_eq!(counts, SendCounts { calls: 2, messages: 3 });
        let mut batch = ReceiveBatch::new();
        let mut lengths = [Vec::new(), Vec::new()];
        for (at, (receiver, _)) in receivers.iter().enumerate() {
            while lengths[at].len() < 3 {
                batch
                    .receive(receiver, Wait::ForOne, |datagram| {
                        assert_eq!(datagram.from, from);
                        assert_eq!(datagram.arrival.is_zero(), at == 1);
                        lengths[at].push((datagram.data.len(), datagram.data[0]));
                    })
                    .unwrap();
            }
        }
        assert_eq!(lengths, [vec![(100, 0), (100, 100), (40, 200)], vec![(10, 240), (100, 0), (100, 100)]]);
    }
}
