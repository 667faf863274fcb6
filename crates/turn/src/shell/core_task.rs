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
use crate::{Input, Metrics, Output, RelayId, Server};

/// Inputs handled before their outputs' sockets are looked at again by others.
const BATCH: usize = 64;

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
}

/// Where outputs go.
struct Sinks {
    metrics: Metrics,
    udp: Option<Arc<UdpListener>>,
    streams: HashMap<FiveTuple, StreamSink>,
    relays: HashMap<RelayId, Relay>,
    commands: mpsc::Sender<Command>,
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
    commands: mpsc::Sender<Command>,
    mut inbox: mpsc::Receiver<Command>,
) {
    let mut sinks = Sinks { metrics, udp, streams: HashMap::new(), relays: HashMap::new(), commands };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let timeout = sinks.drain(&mut server);
        tokio::select! {
            count = inbox.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for command in batch.drain(..) {
                    sinks.handle(&mut server, command);
                }
            }
            () = sleep_until(timeout) => server.handle_input(super::now(), Input::Timeout),
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
                    let result = Relay::open(relay, address, self.commands.clone(), self.metrics.clone());
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
