//! Bounded queues in which only what waits takes memory. A bounded channel of crossbeam has, and writes to, all its places from
//! the start: megabytes for each core of a bridge that does nothing.
//!
//! Not for packets: a queue that grows asks for memory, by the dozen of places.

use crossbeam_channel::{Receiver, SendError, Sender, TrySendError, unbounded};

/// The way into a queue.
#[derive(Debug)]
pub(super) struct QueueSender<T> {
    sender: Sender<T>,
    limit: usize,
}

/// A queue in which `limit` may wait, and one more for each other thread that sends at the same moment.
pub(super) fn queue<T>(limit: usize) -> (QueueSender<T>, Receiver<T>) {
    let (sender, receiver) = unbounded();
    (QueueSender { sender, limit }, receiver)
}

impl<T> QueueSender<T> {
    /// # Errors
    /// The queue is full, or nobody takes anything from it any more.
    pub(super) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.sender.len() >= self.limit {
            return Err(TrySendError::Full(value));
        }
        self.sender.send(value).map_err(|SendError(value)| TrySendError::Disconnected(value))
    }
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_something_is_taken() {
        let (sender, receiver) = queue(2);
        assert_eq!((sender.try_send(1), sender.clone().try_send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!((receiver.try_recv(), sender.try_send(4), receiver.try_recv()), (Ok(1), Ok(()), Ok(2)));
        drop(receiver);
        assert_eq!(sender.try_send(5), Err(TrySendError::Disconnected(5)));
    }
}
