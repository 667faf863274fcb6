//! The thread of one shard: receive, think, send; and the queues between it and the others.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use model::FiveTuple;
use net::media::TcpConnection;
use net::media::tcp::AcceptedTcp;
use net::{MediaShard, ReceivedBatch, Waker};

use super::queue::{QueueSender, queue};
use crate::counters::{Counters, DropReason};
use crate::settings::MAX_MEDIA_HOLD;
use crate::shard::Shard;
use crate::shard::message::{ConnectionAction, ShardCommand, ShardEvent, ShardId, ShardMessage};
use crate::shard::packet::SharedSlot;
use crate::unique_ports::OpenedPort;

/// Commands that may wait for one shard. Control waits when it is full: a shard takes them in every turn.
const MAX_COMMANDS: usize = 16 * 1024;
/// Packets of other shards that may wait for one shard: what a core forwards in some ten milliseconds. What does not fit
/// is lost, as in a full socket buffer.
const MAX_MESSAGES: usize = 8192;
/// STUN, DTLS and news that may wait for control.
const MAX_EVENTS: usize = 16 * 1024;
/// TCP connections that may wait for one shard.
const MAX_CONNECTIONS: usize = 1024;
/// Commands, connections and messages taken in one turn.
const MAX_COMMANDS_A_TURN: usize = 256;
const MAX_CONNECTIONS_A_TURN: usize = 16;
const MAX_MESSAGES_A_TURN: usize = 64;
/// Unique ports that get their turn in one turn of the thread, a batch each.
const MAX_UNIQUE_PORTS_A_TURN: usize = 16;
/// Fewest slots that are offered to the kernel in one turn; twice what came in the last one are, where that is more.
const MIN_OFFERED_SLOTS: usize = 8;
/// Where [`ShardThread::receive`] takes datagrams from; known when it is compiled, as the way of a packet is.
const MEDIA_PORT: u8 = 0;
const UNIQUE_PORT: u8 = 1;
/// Control looks this often whether a shard has taken commands of a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Pause after an error of the socket itself, so that a broken one does not turn the thread into a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The queues of one shard.
struct ShardQueues {
    commands: (QueueSender<ShardCommand>, Receiver<ShardCommand>),
    messages: (Sender<ShardMessage>, Receiver<ShardMessage>),
    connections: (QueueSender<Connection>, Receiver<Connection>),
}

/// A TCP connection that a shard is to have.
enum Connection {
    New(AcceptedTcp),
    Moved(TcpConnection),
}

impl ShardQueues {
    fn new() -> Self {
        Self { commands: queue(MAX_COMMANDS), messages: bounded(MAX_MESSAGES), connections: queue(MAX_CONNECTIONS) }
    }

    /// Control's way to the shard.
    fn handle(&self, waker: Waker) -> ShardHandle {
        ShardHandle { commands: self.commands.0.clone(), waker: WakesWhenDropped(waker), has_sent: false }
    }

    /// Other shards' way to it.
    fn link(&self, waker: Waker) -> ShardLink {
        ShardLink { messages: self.messages.0.clone(), connections: self.connections.0.clone(), waker, has_sent: false }
    }
}

/// Control's way to one shard.
pub(super) struct ShardHandle {
    // Goes first: the thread that is woken finds the sender gone.
    commands: QueueSender<ShardCommand>,
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
    pub(super) fn send_command(&mut self, mut command: ShardCommand) -> Result<(), ShardGone> {
        self.has_sent = true;
        loop {
            command = match self.commands.try_send(command) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(ShardGone),
                Err(TrySendError::Full(command)) => command,
            };
            self.waker.0.wake();
            thread::sleep(FULL_PAUSE);
        }
    }

    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.has_sent) {
            self.waker.0.wake();
        }
    }
}

/// The acceptors' way to the shards: each gets the next connection.
pub(super) struct ConnectionLinks {
    links: Vec<(QueueSender<Connection>, Waker)>,
    next: AtomicUsize,
}

impl ConnectionLinks {
    /// Gives a connection to a shard. One that cannot take it closes it.
    pub(super) fn deliver(&self, accepted: AcceptedTcp) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some((link, waker)) = next.checked_rem(self.links.len()).and_then(|at| self.links.get(at))
            && link.try_send(Connection::New(accepted)).is_ok()
        {
            waker.wake();
        }
    }
}

/// One shard's way to another.
struct ShardLink {
    messages: Sender<ShardMessage>,
    connections: QueueSender<Connection>,
    waker: Waker,
    has_sent: bool,
}

/// Shards' way to control.
#[derive(Clone)]
pub(super) struct ControlLink {
    events: QueueSender<ShardEvent>,
    thread: Arc<OnceLock<Thread>>,
}

/// What shards tell control.
pub(super) struct ControlInbox {
    events: Receiver<ShardEvent>,
    thread: Arc<OnceLock<Thread>>,
}

impl ControlInbox {
    pub(super) fn new() -> (ControlLink, Self) {
        let (sender, events) = queue(MAX_EVENTS);
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

/// Starts the thread of each shard. They end when their [`ShardHandle`]s are dropped.
pub(super) fn spawn_all(
    sockets: Vec<MediaShard>,
    counters: &[Arc<Counters>],
    hold: Duration,
    control: &ControlLink,
) -> io::Result<(Vec<ShardHandle>, ConnectionLinks)> {
    let queues: Vec<_> = sockets.iter().map(|_| ShardQueues::new()).collect();
    let wakers: Vec<_> = sockets.iter().map(MediaShard::waker).collect();
    let handles = queues.iter().zip(&wakers).map(|(queues, waker)| queues.handle(waker.clone())).collect();
    let links: Vec<Vec<_>> = sockets
        .iter()
        .map(|_| queues.iter().zip(&wakers).map(|(queues, waker)| queues.link(waker.clone())).collect())
        .collect();
    let new = queues.iter().zip(&wakers).map(|(queues, waker)| (queues.connections.0.clone(), waker.clone()));
    let connections = ConnectionLinks { links: new.collect(), next: AtomicUsize::new(0) };
    for (((socket, queues), links), counters) in sockets.into_iter().zip(queues).zip(links).zip(counters) {
        spawn(socket, hold, queues, links, control.clone(), Arc::clone(counters))?;
    }
    Ok((handles, connections))
}

/// Starts the thread of one shard. `links` leads to all shards, itself included.
fn spawn(
    socket: MediaShard,
    hold: Duration,
    queues: ShardQueues,
    links: Vec<ShardLink>,
    control: ControlLink,
    counters: Arc<Counters>,
) -> io::Result<()> {
    let id = ShardId(u8::try_from(socket.index()).map_err(io::Error::other)?);
    thread::Builder::new().name(format!("media-{}", id.0)).spawn(move || {
        socket.pin_current_thread();
        let shard = Shard::new(id, counters, Instant::now());
        ShardThread::new(socket, hold, shard, queues, links, control).run();
    })?;
    Ok(())
}

struct ShardThread {
    socket: MediaShard,
    /// How long packets gather before they are taken.
    hold: Duration,
    shard: Shard,
    /// Slots that the next datagrams are received into.
    batch: Vec<SharedSlot>,
    received: ReceivedBatch,
    /// How many of them the kernel is offered.
    offered: usize,
    commands: Receiver<ShardCommand>,
    messages: Receiver<ShardMessage>,
    connections: Receiver<Connection>,
    links: Vec<ShardLink>,
    control: ControlLink,
}

impl ShardThread {
    fn new(
        socket: MediaShard,
        hold: Duration,
        mut shard: Shard,
        queues: ShardQueues,
        links: Vec<ShardLink>,
        control: ControlLink,
    ) -> Self {
        let ShardQueues { commands: (_, commands), messages: (_, messages), connections: (_, connections) } = queues;
        let batch = std::iter::repeat_with(|| shard.take_slot()).take(ReceivedBatch::CAPACITY).collect();
        let (hold, received, offered) = (hold.min(MAX_MEDIA_HOLD), ReceivedBatch::default(), MIN_OFFERED_SLOTS);
        Self { socket, hold, shard, batch, received, offered, commands, messages, connections, links, control }
    }

    fn run(mut self) {
        loop {
            let next = [self.shard.poll_timeout(), self.socket.poll_tcp_timeout()].into_iter().flatten().min();
            let wait = next.map(|at| at.saturating_duration_since(Instant::now()));
            let Self { socket, commands, messages, connections, .. } = &mut self;
            let has_work = || !commands.is_empty() || !messages.is_empty() || !connections.is_empty();
            if let Err(error) = socket.wait(wait, has_work) {
                tracing::error!(%error, "cannot wait for media");
                thread::sleep(ERROR_PAUSE);
            }
            if self.hold > Duration::ZERO && self.socket.has_datagrams() {
                thread::sleep(self.hold);
            }
            let start = Instant::now();
            // Commands first: what they make known is what comes next.
            if self.take_commands(start) == Control::Gone {
                return;
            }
            // To look costs less than to take, and mostly nothing is there.
            if !self.connections.is_empty() {
                self.take_connections(start);
            }
            if !self.messages.is_empty() {
                self.take_messages(start);
            }
            self.receive::<MEDIA_PORT>(start);
            for _ in 0..self.socket.ready_unique_ports().min(MAX_UNIQUE_PORTS_A_TURN) {
                self.receive::<UNIQUE_PORT>(start);
            }
            self.receive_tcp(start);
            self.shard.handle_timeout(start);
            while let Some(closed) = self.socket.poll_tcp_closed() {
                tracing::debug!(reason = ?closed.reason, "media over TCP closed");
                self.shard.handle_connection_closed(closed.path);
            }
            self.hand_over();
            self.flush(start);
            // Media before what is told to a thread that may run on this processor.
            self.tell_control();
            self.shard.counters().loop_time.observe(start.elapsed());
        }
    }

    fn take_commands(&mut self, now: Instant) -> Control {
        for _ in 0..MAX_COMMANDS_A_TURN {
            match self.commands.try_recv() {
                Ok(ShardCommand::Connection { remote, action }) => self.handle_connection(remote, action),
                Ok(ShardCommand::OpenPort(port)) => self.open_port(port),
                Ok(ShardCommand::ClosePort { number }) => self.socket.close_unique_port(number),
                Ok(command) => self.shard.handle_command(command, now),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Control::Gone,
            }
        }
        Control::There
    }

    fn open_port(&mut self, port: OpenedPort) {
        // What is sent from there is refused then, and ICE finds that nothing comes back.
        if let Some(socket) = port.socket
            && let Err(error) = self.socket.add_unique_port(socket)
        {
            tracing::error!(%error, "cannot wait for what comes to a port");
        }
    }

    fn handle_connection(&mut self, remote: SocketAddr, action: ConnectionAction) {
        match action {
            ConnectionAction::Confirm => {
                self.socket.confirm_tcp(remote);
            }
            ConnectionAction::Close => {
                self.socket.close_tcp(remote);
            }
            ConnectionAction::MoveTo(to) => {
                let Some(connection) = self.socket.take_tcp(remote) else { return };
                let Some(link) = self.links.get(usize::from(to.0)) else { return };
                let path = connection.path();
                match link.connections.try_send(Connection::Moved(connection)) {
                    Ok(()) => link.waker.wake(),
                    Err(_) => self.lose_connection(path, DropReason::ConnectionQueueFull),
                }
            }
        }
    }

    /// A connection that ICE knows is closed, since no shard has it.
    fn lose_connection(&mut self, path: FiveTuple, reason: DropReason) {
        tracing::debug!(?reason, "media over TCP cannot move to another thread");
        self.shard.counters().count(reason);
        self.shard.handle_connection_closed(path);
    }

    fn take_connections(&mut self, now: Instant) {
        for _ in 0..MAX_CONNECTIONS_A_TURN {
            match self.connections.try_recv() {
                Ok(Connection::New(accepted)) => {
                    self.socket.add_tcp(accepted, now);
                }
                Ok(Connection::Moved(connection)) => {
                    let path = connection.path();
                    if !self.socket.insert_tcp(connection, now) {
                        self.lose_connection(path, DropReason::ConnectionRefused);
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn take_messages(&mut self, now: Instant) {
        for _ in 0..MAX_MESSAGES_A_TURN {
            let Ok(message) = self.messages.try_recv() else { return };
            self.shard.handle_message(message, now);
        }
    }

    /// Takes one batch of datagrams of the media port or a unique port, straight into slots.
    fn receive<const PORT: u8>(&mut self, now: Instant) {
        let Self { socket, shard, batch, received, offered, .. } = self;
        let count = {
            let mut buffers: ArrayVec<IoSliceMut<'_>, { ReceivedBatch::CAPACITY }> = batch
                .iter_mut()
                .take(*offered)
                .map(|slot| IoSliceMut::new(SharedSlot::get_mut(slot).map_or(&mut [], |slot| slot.bytes_mut())))
                .collect();
            let count = match PORT {
                UNIQUE_PORT => socket.receive_unique(&mut buffers, received),
                _ => socket.receive(&mut buffers, received),
            };
            match count {
                Ok(count) => count,
                Err(error) => {
                    tracing::error!(%error, "cannot receive media");
                    return thread::sleep(ERROR_PAUSE);
                }
            }
        };
        *offered = (count * 2).clamp(MIN_OFFERED_SLOTS, ReceivedBatch::CAPACITY);
        for (datagram, slot) in received.datagrams().iter().zip(batch.iter_mut()) {
            if datagram.truncated {
                shard.counters().count(DropReason::TooLong);
                continue;
            }
            let slot = std::mem::replace(slot, shard.take_slot());
            match PORT {
                UNIQUE_PORT => shard.handle_unique_datagram(datagram.path, slot, datagram.len, now),
                _ => shard.handle_datagram(datagram.path, slot, datagram.len, now),
            }
        }
    }

    /// Takes frames of TCP connections, which are copied into slots: they do not come one by one.
    fn receive_tcp(&mut self, now: Instant) {
        let Self { socket, shard, .. } = self;
        socket.receive_tcp(|path, frame| {
            let mut slot = shard.take_slot();
            let room = SharedSlot::get_mut(&mut slot).and_then(|slot| slot.bytes_mut().get_mut(..frame.len()));
            match room {
                Some(room) => {
                    room.copy_from_slice(frame);
                    shard.handle_datagram(path, slot, frame.len(), now);
                }
                None => shard.counters().count(DropReason::TooLong),
            }
        });
        socket.handle_tcp_timeout(now);
    }

    /// Gives other shards what is theirs. Before this one seals anything, so that they work meanwhile.
    fn hand_over(&mut self) {
        let Self { shard, links, .. } = self;
        let mut refused = 0;
        for (to, message) in shard.messages().drain(..) {
            let Some(link) = links.get_mut(usize::from(to.0)) else { continue };
            // An empty slot is nothing to wake up for.
            link.has_sent |= !matches!(message, ShardMessage::EmptySlot(_));
            refused += u64::from(link.messages.try_send(message).is_err());
        }
        for link in links.iter_mut().filter(|link| link.has_sent) {
            link.has_sent = false;
            link.waker.wake();
        }
        self.count_refused(refused);
    }

    /// Gives control what is its. Behind all that leaves in this round.
    fn tell_control(&mut self) {
        let Self { shard, control, .. } = self;
        let mut refused = 0;
        let has_events = !shard.events().is_empty();
        for event in shard.events().drain(..) {
            refused += u64::from(control.events.try_send(event).is_err());
        }
        if has_events && let Some(thread) = control.thread.get() {
            thread.unpark();
        }
        self.count_refused(refused);
    }

    /// Counts what did not fit into the queue of another thread.
    fn count_refused(&self, refused: u64) {
        for _ in 0..refused {
            self.shard.counters().count(DropReason::QueueFull);
        }
    }

    fn flush(&mut self, now: Instant) {
        let Self { shard, socket, .. } = self;
        let counters = Arc::clone(shard.counters());
        shard.flush(now, |queue| {
            let outcome = socket.send(queue);
            counters.sends_refused.add(outcome.refused as u64 + queue.take_refused());
            counters.send_messages.add(outcome.messages as u64);
            counters.send_calls.add(outcome.calls as u64);
        });
        shard.observe_backlogs(|remote| socket.tcp_backlog(remote));
    }
}

/// Whether there is still somebody to tell this thread what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    There,
    Gone,
}

#[cfg(test)]
mod tests;
