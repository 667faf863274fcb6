//! The task that owns the core: feeds it inputs and the time, sends what it wants sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use model::{FiveTuple, TransportProtocol};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::relay::Relay;
use super::udp::UdpListener;
use crate::{Input, Metrics, Output, PeerPolicy, RelayId, Server};

/// Inputs of one queue that are handled before another queue has its turn.
const BATCH: usize = 64;
/// Datagrams that wait for the core: 6 MB of full-sized ones in each direction.
const DATAGRAM_QUEUE: usize = 4096;
/// Messages of streams that wait for the core. Streams wait with reading while it is full.
const STREAM_QUEUE: usize = 256;

/// What the readers of sockets tell the core.
#[derive(Debug)]
pub(super) enum Command {
    /// A datagram of a client.
    Datagram { path: FiveTuple, bytes: Vec<u8> },
    /// A stream of a client; messages for it go here until the sender is dropped.
    StreamOpened { path: FiveTuple, id: u64, frames: mpsc::Sender<Vec<u8>> },
    /// One message of a stream.
    StreamMessage { path: FiveTuple, id: u64, bytes: Vec<u8> },
    /// A stream ended, for this reason where it was not its client who ended it.
    StreamClosed { path: FiveTuple, id: u64, reason: Option<&'static str> },
    /// A datagram of a peer.
    FromPeer { relay: RelayId, source: SocketAddr, bytes: Vec<u8> },
    /// Other peers are allowed from now on.
    SetPeers(PeerPolicy),
}

/// Queues to the core, one for each kind of sender: whoever floods one leaves the others their turn.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    pub(super) clients: mpsc::Sender<Command>,
    pub(super) peers: mpsc::Sender<Command>,
    pub(super) streams: mpsc::Sender<Command>,
}

/// The other end of the queues.
#[derive(Debug)]
pub(super) struct Queues {
    clients: mpsc::Receiver<Command>,
    peers: mpsc::Receiver<Command>,
    streams: mpsc::Receiver<Command>,
}

pub(super) fn queues() -> (Inbox, Queues) {
    let (clients, from_clients) = mpsc::channel(DATAGRAM_QUEUE);
    let (peers, from_peers) = mpsc::channel(DATAGRAM_QUEUE);
    let (streams, from_streams) = mpsc::channel(STREAM_QUEUE);
    (Inbox { clients, peers, streams }, Queues { clients: from_clients, peers: from_peers, streams: from_streams })
}

/// Where outputs go.
struct Sinks {
    metrics: Metrics,
    udp: Option<Arc<UdpListener>>,
    streams: HashMap<FiveTuple, StreamSink>,
    relays: HashMap<RelayId, Relay>,
    peers: mpsc::Sender<Command>,
}

struct StreamSink {
    id: u64,
    frames: mpsc::Sender<Vec<u8>>,
}

/// Runs the core until the runtime ends.
pub(super) async fn run(
    mut server: Server,
    metrics: Metrics,
    udp: Option<Arc<UdpListener>>,
    peers: mpsc::Sender<Command>,
    mut queues: Queues,
) {
    let mut sinks = Sinks { metrics, udp, streams: HashMap::new(), relays: HashMap::new(), peers };
    loop {
        let timeout = sinks.drain(&mut server);
        let first = tokio::select! {
            Some(command) = queues.clients.recv() => Some(command),
            Some(command) = queues.peers.recv() => Some(command),
            Some(command) = queues.streams.recv() => Some(command),
            () = sleep_until(timeout) => None,
        };
        match first {
            Some(command) => sinks.handle(&mut server, command),
            None => server.handle_input(super::now(), Input::Timeout),
        }
        for queue in [&mut queues.clients, &mut queues.peers, &mut queues.streams] {
            for command in std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH) {
                sinks.handle(&mut server, command);
            }
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

impl Sinks {
    fn handle(&mut self, server: &mut Server, command: Command) {
        let now = super::now();
        match command {
            Command::Datagram { path, bytes } => server.handle_input(now, Input::FromClient { path, bytes: &bytes }),
            Command::StreamOpened { path, id, frames } => {
                if self.streams.contains_key(&path) {
                    // The end of an earlier connection between the same ports has not been told yet.
                    server.handle_input(now, Input::StreamClosed { path });
                }
                self.streams.insert(path, StreamSink { id, frames });
                server.handle_input(now, Input::StreamOpened { path });
            }
            Command::StreamMessage { path, id, bytes } if self.is_current(path, id) => {
                server.handle_input(now, Input::FromClient { path, bytes: &bytes });
            }
            Command::StreamClosed { path, id, reason } => {
                if let Some(reason) = reason {
                    self.metrics.count_dropped(reason);
                }
                if self.is_current(path, id) {
                    self.streams.remove(&path);
                    server.handle_input(now, Input::StreamClosed { path });
                }
            }
            Command::SetPeers(peers) => server.set_peers(peers),
            Command::StreamMessage { .. } => self.metrics.count_dropped("stream_closed"),
            Command::FromPeer { relay, source, bytes } => {
                server.handle_input(now, Input::FromPeer { relay, source, bytes: &bytes });
            }
        }
    }

    fn is_current(&self, path: FiveTuple, id: u64) -> bool {
        self.streams.get(&path).is_some_and(|stream| stream.id == id)
    }

    /// Carries out what the core wants and answers when it wants to be woken.
    fn drain(&mut self, server: &mut Server) -> Option<Instant> {
        loop {
            match server.poll_output() {
                Output::ToClient { path, bytes } => self.send_to_client(path, bytes),
                Output::ToPeer { relay, destination, bytes } => {
                    let is_sent = self.relays.get(&relay).is_some_and(|relay| relay.send(destination, &bytes));
                    if !is_sent {
                        self.metrics.count_dropped("relay_send");
                    }
                }
                Output::OpenRelay { relay, address } => {
                    let result = Relay::open(relay, address, self.peers.clone(), self.metrics.clone());
                    let result = result.map(|opened| drop(self.relays.insert(relay, opened)));
                    server.handle_input(super::now(), Input::RelayOpened { relay, result });
                }
                Output::CloseRelay { relay } => drop(self.relays.remove(&relay)),
                // The connection writes what is queued, then closes.
                Output::CloseStream { path } => drop(self.streams.remove(&path)),
                Output::Timeout(timeout) => return timeout,
            }
        }
    }

    fn send_to_client(&self, path: FiveTuple, bytes: Vec<u8>) {
        let dropped = match path.protocol {
            TransportProtocol::Udp => {
                let is_sent = self.udp.as_ref().is_some_and(|udp| udp.send(path, &bytes));
                (!is_sent).then_some("client_send")
            }
            TransportProtocol::Tcp => match self.streams.get(&path).map(|stream| stream.frames.try_send(bytes)) {
                Some(Ok(())) => None,
                // The client reads too slowly: what it gets late would be of no use.
                Some(Err(TrySendError::Full(_))) => Some("stream_queue_full"),
                Some(Err(TrySendError::Closed(_))) | None => Some("stream_closed"),
            },
        };
        if let Some(reason) = dropped {
            self.metrics.count_dropped(reason);
        }
    }
}
