//! Frames that wait for a connection: bounded in number and bytes, so that a socket that is not read delays nobody and
//! fills no memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

use crate::Frame;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

/// The core's end.
#[derive(Debug)]
pub(super) struct FrameSender {
    frames: mpsc::UnboundedSender<Frame>,
    waiting: Arc<Waiting>,
    is_overfull: watch::Sender<bool>,
}

/// The connection's end.
#[derive(Debug)]
pub(super) struct FrameReceiver {
    frames: mpsc::UnboundedReceiver<Frame>,
    waiting: Arc<Waiting>,
    is_overfull: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    max_frames: AtomicUsize,
    max_bytes: AtomicUsize,
}

/// Why a frame does not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too much waits already; the receiver knows.
    Full,
    /// The receiver is gone.
    Closed,
}

/// Makes a queue.
pub(super) fn frame_queue(limits: QueueLimits) -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (overfull, is_overfull) = watch::channel(false);
    let waiting = Arc::new(Waiting {
        frames: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        max_frames: AtomicUsize::new(limits.frames),
        max_bytes: AtomicUsize::new(limits.bytes),
    });
    (
        FrameSender { frames: sender, waiting: Arc::clone(&waiting), is_overfull: overfull },
        FrameReceiver { frames: receiver, waiting, is_overfull },
    )
}

impl FrameSender {
    /// Puts a frame in.
    pub(super) fn try_send(&self, frame: Frame) -> Result<(), Refused> {
        let waiting = &self.waiting;
        let bytes = frame.byte_len();
        let frames = waiting.frames.fetch_add(1, Ordering::Relaxed) + 1;
        let all_bytes = waiting.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // One frame gets in whatever its size.
        let is_full = frames > waiting.max_frames.load(Ordering::Relaxed)
            || (frames > 1 && all_bytes > waiting.max_bytes.load(Ordering::Relaxed));
        if is_full {
            self.is_overfull.send_replace(true);
            return Err(Refused::Full);
        }
        self.frames.send(frame).map_err(|_| Refused::Closed)
    }
}

impl FrameReceiver {
    /// The next frame; `None` once the sender is gone and nothing is left.
    pub(super) async fn recv(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await?;
        self.take_out(&frame);
        Some(frame)
    }

    /// The next frame, if there is one already.
    pub(super) fn try_recv(&mut self) -> Option<Frame> {
        let frame = self.frames.try_recv().ok()?;
        self.take_out(&frame);
        Some(frame)
    }

    fn take_out(&self, frame: &Frame) {
        self.waiting.frames.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(frame.byte_len(), Ordering::Relaxed);
    }

    /// Changes how much may wait.
    pub(super) fn set_limits(&self, limits: QueueLimits) {
        self.waiting.max_frames.store(limits.frames, Ordering::Relaxed);
        self.waiting.max_bytes.store(limits.bytes, Ordering::Relaxed);
    }

    /// Becomes ready when a frame did not get in; the rest is of no use any more.
    pub(super) fn overfull(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut is_overfull = self.is_overfull.clone();
        async move {
            if is_overfull.wait_for(|is_overfull| *is_overfull).await.is_err() {
                // The sender is gone without one: what is left gets written.
                std::future::pending().await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xmpp::{Element, ns};

    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame::Element(Arc::new(Element::new("m", ns::CLIENT).with_text("x".repeat(bytes))))
    }

    #[tokio::test]
    async fn frames_and_bytes_are_bounded_and_the_receiver_hears_of_it() {
        let (sender, mut receiver) = frame_queue(QueueLimits { frames: 2, bytes: 1000 });
        assert_eq!(sender.try_send(frame(5000)), Ok(()), "one frame of any size");
        receiver.recv().await.unwrap();
        assert_eq!(sender.try_send(frame(400)), Ok(()));
        assert_eq!(sender.try_send(frame(400)), Ok(()));
        receiver.recv().await.unwrap();
        receiver.recv().await.unwrap();
        assert_eq!(sender.try_send(frame(500)), Ok(()));
        let overfull = receiver.overfull();
        assert_eq!(sender.try_send(frame(500)), Err(Refused::Full));
        tokio::time::timeout(Duration::from_secs(10), overfull).await.unwrap();
        let (sender, receiver) = frame_queue(QueueLimits { frames: 1, bytes: 1000 });
        assert_eq!(sender.try_send(frame(1)), Ok(()));
        assert_eq!(sender.try_send(frame(1)), Err(Refused::Full));
        drop(receiver);
        let (sender, receiver) = frame_queue(QueueLimits { frames: 1, bytes: 1000 });
        drop(receiver);
        assert_eq!(sender.try_send(frame(1)), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn what_waits_is_delivered_after_the_sender_is_gone() {
        let (sender, mut receiver) = frame_queue(QueueLimits { frames: 1, bytes: 1000 });
        receiver.set_limits(QueueLimits { frames: 3, bytes: 1000 });
        for _ in 0..3 {
            sender.try_send(frame(1)).unwrap();
        }
        drop(sender);
        assert!(receiver.recv().await.is_some() && receiver.try_recv().is_some() && receiver.recv().await.is_some());
        assert!(receiver.recv().await.is_none());
    }
}
