//! The thread of one shard: receive, think, send; and the queues between it and the others.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use net::{MediaSocket, MediaSocketEvents, Waker};

use crate::counters::DropReason;
use crate::shard::Shard;
use crate::shard::message::{ShardCommand, ShardEvent, ShardId, ShardMessage};

/// Commands that may wait for one shard. Control waits when it is full: a shard takes them in every turn.
const MAX_COMMANDS: usize = 16 * 1024;
/// Packets of other shards that may wait for one shard: what a core forwards in some ten milliseconds. What does not fit
/// is lost, as in a full socket buffer.
const MAX_MESSAGES: usize = 8192;
/// STUN, DTLS and news that may wait for control.
const MAX_EVENTS: usize = 16 * 1024;
/// Commands and messages taken in one turn.
const MAX_COMMANDS_A_TURN: usize = 256;
const MAX_MESSAGES_A_TURN: usize = 64;
/// Pause after an error of the socket itself, so that a broken one does not turn the thread into a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The queues of one shard.
pub(super) struct ShardQueues {
    commands: (SyncSender<ShardCommand>, Receiver<ShardCommand>),
    messages: (SyncSender<ShardMessage>, Receiver<ShardMessage>),
}

impl ShardQueues {
    pub(super) fn new() -> Self {
        Self { commands: sync_channel(MAX_COMMANDS), messages: sync_channel(MAX_MESSAGES) }
    }

    /// Control's way to the shard.
    pub(super) fn handle(&self, waker: Waker) -> ShardHandle {
        ShardHandle { commands: self.commands.0.clone(), waker: WakesWhenDropped(waker), has_sent: false }
    }

    /// Other shards' way to it.
    pub(super) fn link(&self, waker: Waker) -> ShardLink {
        ShardLink { messages: self.messages.0.clone(), waker, has_sent: false }
    }
}

/// Control's way to one shard.
pub(super) struct ShardHandle {
    // Goes first: the thread that is woken finds the sender gone.
    commands: SyncSender<ShardCommand>,
    waker: WakesWhenDropped,
    has_sent: bool,
}

struct WakesWhenDropped(Waker);

impl Drop for WakesWhenDropped {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The thread of a shard is gone, which nothing that a peer sends can bring about.
#[derive(Debug, thiserror::Error)]
#[error("a media thread is gone")]
pub(super) struct ShardGone;

impl ShardHandle {
    /// Queues a command; [`wake`](Self::wake) lets the shard see it.
    ///
    /// # Errors
    /// [`ShardGone`].
    pub(super) fn send_command(&mut self, command: ShardCommand) -> Result<(), ShardGone> {
        self.has_sent = true;
        let command = match self.commands.try_send(command) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(ShardGone),
            Err(TrySendError::Full(command)) => command,
        };
        self.waker.0.wake();
        self.commands.send(command).map_err(|_| ShardGone)
    }

    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.has_sent) {
            self.waker.0.wake();
        }
    }
}

/// One shard's way to another.
pub(super) struct ShardLink {
    messages: SyncSender<ShardMessage>,
    waker: Waker,
    has_sent: bool,
}

/// Shards' way to control.
#[derive(Clone)]
pub(super) struct ControlLink {
    events: SyncSender<ShardEvent>,
    thread: Arc<OnceLock<Thread>>,
}

/// What shards tell control.
pub(super) struct ControlInbox {
    events: Receiver<ShardEvent>,
    thread: Arc<OnceLock<Thread>>,
}

impl ControlInbox {
    pub(super) fn new() -> (ControlLink, Self) {
        let (sender, events) = sync_channel(MAX_EVENTS);
        let thread = Arc::new(OnceLock::new());
        (ControlLink { events: sender, thread: Arc::clone(&thread) }, Self { events, thread })
    }

    /// Names the thread that is unparked when something comes.
    pub(super) fn register_current_thread(&self) {
        let _ = self.thread.set(thread::current());
    }

    pub(super) fn try_recv(&self) -> Option<ShardEvent> {
        self.events.try_recv().ok()
    }
}

/// Starts the thread of a shard. `links` leads to all shards, itself included. It ends when its [`ShardHandle`] is dropped.
pub(super) fn spawn(
    socket: MediaSocket,
    shard: Shard,
    id: ShardId,
    queues: ShardQueues,
    links: Vec<ShardLink>,
    control: ControlLink,
) -> io::Result<()> {
    let ShardQueues { commands: (_, commands), messages: (_, messages) } = queues;
    let thread = ShardThread { socket, shard, commands, messages, links, control };
    thread::Builder::new().name(format!("media-{}", id.0)).spawn(move || thread.run())?;
    Ok(())
}

struct ShardThread {
    socket: MediaSocket,
    shard: Shard,
    commands: Receiver<ShardCommand>,
    messages: Receiver<ShardMessage>,
    links: Vec<ShardLink>,
    control: ControlLink,
}

impl ShardThread {
    fn run(mut self) {
        let mut events = MediaSocketEvents::with_capacity(8);
        let mut has_more = false;
        loop {
            let wait = if has_more {
                Some(Duration::ZERO)
            } else {
                self.shard.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()))
            };
            if let Err(error) = self.socket.wait(&mut events, wait) {
                tracing::error!(%error, "cannot wait for media");
                thread::sleep(ERROR_PAUSE);
            }
            let start = Instant::now();
            // Commands first: what they make known is what comes next.
            let commands = self.take_commands(start);
            if commands == Taken::SenderGone {
                return;
            }
            let messages = self.take_messages(start);
            let datagrams = self.receive(start);
            self.shard.handle_timeout(start);
            self.hand_over();
            self.flush();
            has_more = [commands, messages, datagrams].contains(&Taken::Some);
            self.shard.counters().loop_time.observe(start.elapsed());
        }
    }

    fn take_commands(&mut self, now: Instant) -> Taken {
        for _ in 0..MAX_COMMANDS_A_TURN {
            match self.commands.try_recv() {
                Ok(command) => self.shard.handle_command(command, now),
                Err(TryRecvError::Empty) => return Taken::All,
                Err(TryRecvError::Disconnected) => return Taken::SenderGone,
            }
        }
        Taken::Some
    }

    fn take_messages(&mut self, now: Instant) -> Taken {
        for _ in 0..MAX_MESSAGES_A_TURN {
            match self.messages.try_recv() {
                Ok(message) => self.shard.handle_message(message, now),
                Err(_) => return Taken::All,
            }
        }
        Taken::Some
    }

    fn receive(&mut self, now: Instant) -> Taken {
        let shard = &mut self.shard;
        let received = self.socket.receive(|datagram| {
            let mut slot = shard.take_slot();
            let room = Arc::get_mut(&mut slot).and_then(|slot| slot.bytes_mut().get_mut(..datagram.data.len()));
            let Some(room) = room else { return shard.counters().count(DropReason::TooLong) };
            room.copy_from_slice(datagram.data);
            shard.handle_datagram(datagram.path, slot, datagram.data.len(), now);
        });
        match received {
            Ok(0) => Taken::All,
            Ok(_) => Taken::Some,
            Err(error) => {
                tracing::error!(%error, "cannot receive media");
                thread::sleep(ERROR_PAUSE);
                Taken::All
            }
        }
    }

    /// Gives other threads what is theirs. Before this one seals anything, so that they work meanwhile.
    fn hand_over(&mut self) {
        let Self { shard, links, control, .. } = self;
        let mut refused = 0;
        for (to, message) in shard.messages().drain(..) {
            let Some(link) = links.get_mut(usize::from(to.0)) else { continue };
            link.has_sent = true;
            refused += u64::from(link.messages.try_send(message).is_err());
        }
        for link in links.iter_mut().filter(|link| link.has_sent) {
            link.has_sent = false;
            link.waker.wake();
        }
        let has_events = !shard.events().is_empty();
        for event in shard.events().drain(..) {
            refused += u64::from(control.events.try_send(event).is_err());
        }
        if has_events && let Some(thread) = control.thread.get() {
            thread.unpark();
        }
        for _ in 0..refused {
            shard.counters().count(DropReason::QueueFull);
        }
    }

    fn flush(&mut self) {
        let Self { shard, socket, .. } = self;
        let mut refused = 0;
        shard.flush(|queue| refused += socket.send(queue));
        shard.counters().sends_refused.add(refused as u64);
    }
}

/// How much of what was waiting was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    Some,
    SenderGone,
}
