//! Datagrams on their way out, back to back in one buffer, already joined to the messages that the kernel takes whole.
//!
//! Here: the queue. Not here: sending it (`udp_sender`, `tcp`).

use model::{FiveTuple, TransportProtocol};

/// Bytes that may wait: 3,400 full datagrams, which is as much as the kernel's own buffer would take.
const MAX_BYTES: usize = 4 << 20;
/// Datagrams that may wait, so that many small ones are bounded too.
const MAX_DATAGRAMS: usize = 16_384;
/// Datagrams of one message: `UDP_MAX_SEGMENTS` of Linux before 6.9; later kernels take 128.
pub(super) const MAX_SEGMENTS: usize = super::sys::BATCH;
/// Bytes of one message: an IPv4 packet has at most 65,535 with its headers.
const MAX_MESSAGE_BYTES: usize = 60_000;
/// First size of the buffer: a hundred datagrams.
const FIRST_BYTES: usize = 128 << 10;

/// Datagrams on their way out. The buffer is kept from batch to batch.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// Always at its full length, so that no byte is zeroed again; `used` of it hold datagrams.
    bytes: Vec<u8>,
    used: usize,
    messages: Vec<Message>,
    datagrams: usize,
    tcp_datagrams: usize,
    refused: u64,
}

/// Datagrams that go the same way in pieces of one length, but for a shorter last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) path: FiveTuple,
    /// First byte in the buffer.
    pub(super) start: usize,
    /// Bytes of all its datagrams.
    pub(super) len: usize,
    /// Bytes of each datagram.
    pub(super) segment: usize,
    pub(super) datagrams: usize,
}

impl Message {
    /// Whether a datagram of its path can join it.
    const fn has_room_for(&self, len: usize) -> bool {
        let is_whole = self.len == self.segment * self.datagrams;
        is_whole && len <= self.segment && self.datagrams < MAX_SEGMENTS && self.len + len <= MAX_MESSAGE_BYTES
    }
}

/// The end of a queue, for datagrams to one peer: paths are not compared for each of them.
#[derive(Debug)]
pub struct Lane<'a> {
    queue: &'a mut SendQueue,
    path: FiveTuple,
    /// The last message goes the same way.
    continues: bool,
}

impl Lane<'_> {
    /// Where they go.
    #[must_use]
    pub const fn path(&self) -> &FiveTuple {
        &self.path
    }

    /// Adds a datagram. `write` gets `capacity` bytes of space, which hold whatever was there before, and answers how many it
    /// used; at `None` nothing is added. Answers whether a datagram was added; a queue that is full counts what it
    /// refused ([`SendQueue::take_refused`]).
    pub fn push_with(&mut self, capacity: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Self { queue, path, continues } = self;
        let start = queue.used;
        if !queue.has_space(start + capacity) {
            queue.refused += 1;
            return false;
        }
        let Some(space) = queue.bytes.get_mut(start..start + capacity) else { return false };
        let len = write(space).map_or(0, |len| len.min(capacity));
        if len == 0 {
            return false;
        }
        queue.used += len;
        queue.datagrams += 1;
        queue.tcp_datagrams += usize::from(path.protocol == TransportProtocol::Tcp);
        match queue.messages.last_mut() {
            Some(last) if *continues && last.has_room_for(len) => {
                last.len += len;
                last.datagrams += 1;
            }
            Some(_) | None => {
                queue.messages.push(Message { path: *path, start, len, segment: len, datagrams: 1 });
                *continues = true;
            }
        }
        true
    }
}

impl SendQueue {
    /// For datagrams to the peer at the end of `path`; an unspecified local address leaves the choice of it to the kernel.
    pub fn lane(&mut self, path: FiveTuple) -> Lane<'_> {
        let continues = self.messages.last().is_some_and(|last| last.path == path);
        Lane { queue: self, path, continues }
    }

    /// Adds one datagram for the peer at the end of `path`, as [`Lane::push_with`] does.
    pub fn push_with(
        &mut self,
        path: &FiveTuple,
        capacity: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        self.lane(*path).push_with(capacity, write)
    }

    /// Adds a datagram for the peer at the end of `path`. Answers whether it was added.
    pub fn push(&mut self, path: FiveTuple, data: &[u8]) -> bool {
        self.push_with(&path, data.len(), |space| {
            space.copy_from_slice(data);
            Some(data.len())
        })
    }

    /// Datagrams that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.datagrams
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// Bytes that wait. Sending at half a megabyte keeps the buffer in the second-level cache.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.used
    }

    /// The waiting datagrams: where to, and the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (FiveTuple, &[u8])> {
        self.messages.iter().flat_map(|message| {
            let bytes = self.bytes.get(message.start..message.start + message.len).unwrap_or_default();
            bytes.chunks(message.segment.max(1)).map(|datagram| (message.path, datagram))
        })
    }

    /// Forgets what waits; the buffer is kept.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.tcp_datagrams = 0;
        self.messages.clear();
    }

    /// How many datagrams were refused since the last call because the queue was full.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// What waits, joined to messages.
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The bytes of all messages.
    pub(super) fn slab(&self) -> &[u8] {
        &self.bytes
    }

    /// Datagrams that go over TCP.
    pub(super) const fn tcp_datagrams(&self) -> usize {
        self.tcp_datagrams
    }

    fn has_space(&mut self, needed: usize) -> bool {
        if needed > MAX_BYTES || self.datagrams >= MAX_DATAGRAMS {
            return false;
        }
        if needed > self.bytes.len() {
            let len = needed.max(self.bytes.len() * 2).clamp(FIRST_BYTES, MAX_BYTES);
            self.bytes.resize(len, 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn path(port: u16) -> FiveTuple {
        FiveTuple::udp(SocketAddr::from(([0, 0, 0, 0], 0)), SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn runs(queue: &SendQueue) -> Vec<usize> {
        queue.messages().iter().map(|message| message.datagrams).collect()
    }

    #[test]
    fn a_message_ends_at_another_place_or_length() {
        let mut queue = SendQueue::default();
        for (port, len) in [(1, 10), (1, 10), (1, 4), (1, 10), (2, 10), (2, 12)] {
            assert!(queue.push(path(port), &vec![len as u8; len]));
        }
        assert_eq!(runs(&queue), [3, 1, 1, 1]);
        let lengths: Vec<_> = queue.iter().map(|(path, data)| (path.remote.port(), data.len())).collect();
        assert_eq!(lengths, [(1, 10), (1, 10), (1, 4), (1, 10), (2, 10), (2, 12)]);
    }

    #[test]
    fn lanes_of_one_path_go_on_where_the_last_one_ended() {
        let mut queue = SendQueue::default();
        for port in [1, 1, 2, 1] {
            let mut lane = queue.lane(path(port));
            for _ in 0..2 {
                assert!(lane.push_with(10, |space| Some(space.len())));
            }
        }
        assert_eq!(runs(&queue), [4, 2, 2]);
    }

    #[test]
    fn a_message_ends_at_the_kernels_limits() {
        let mut queue = SendQueue::default();
        for _ in 0..100 {
            queue.push(path(1), &[0; 100]);
        }
        assert_eq!(runs(&queue), [64, 36]);
        queue.clear();
        for _ in 0..50 {
            queue.push(path(1), &[0; 1300]);
        }
        assert_eq!(runs(&queue), [46, 4]);
        queue.clear();
        queue.push(path(1), &[0; 64_000]);
        queue.push(path(1), &[0; 1]);
        assert_eq!(runs(&queue), [1, 1]);
    }

    #[test]
    fn a_full_queue_refuses_and_counts() {
        let mut queue = SendQueue::default();
        let mut added = 0;
        while queue.push(path(1), &[0; 1200]) {
            added += 1;
        }
        assert_eq!(added, MAX_BYTES / 1200);
        assert_eq!(queue.len(), added);
        assert!(!queue.push(path(1), &[0; 1200]));
        assert_eq!(queue.take_refused(), 2);
        assert_eq!(queue.take_refused(), 0);
        queue.clear();
        assert!(queue.push(path(1), &[0; 1200]));
        while queue.push(path(1), &[0]) {}
        assert_eq!(queue.len(), MAX_DATAGRAMS);
    }

    #[test]
    fn what_is_not_written_is_not_queued() {
        let mut queue = SendQueue::default();
        assert!(!queue.push_with(&path(1), 100, |_| None));
        assert!(!queue.push_with(&path(1), 100, |_| Some(0)));
        assert!(queue.is_empty());
        assert!(queue.push_with(&path(1), 100, |space| {
            space[..3].copy_from_slice(b"abc");
            Some(3)
        }));
        assert!(queue.push_with(&path(1), 2, |_| Some(1000)), "a length that lies is cut to the capacity");
        assert_eq!(queue.iter().map(|(_, data)| data.len()).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(queue.bytes(), 5);
        assert_eq!(queue.take_refused(), 0, "it was not full");
    }
}
