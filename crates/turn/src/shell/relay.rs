//! The socket of one relay.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::core_task::Command;
use super::udp::MAX_DATAGRAM_BYTES;
use crate::{Metrics, RelayError, RelayId};

/// An open relay; closed when dropped.
#[derive(Debug)]
pub(super) struct Relay {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl Relay {
    /// Binds the relay's address and reads from it until dropped.
    pub(super) fn open(
        relay: RelayId,
        address: SocketAddr,
        commands: mpsc::Sender<Command>,
        metrics: Metrics,
    ) -> Result<Self, RelayError> {
        let socket = bind(address).map_err(|error| {
            tracing::debug!(%error, "cannot bind a relay");
            if error.kind() == io::ErrorKind::AddrInUse { RelayError::PortInUse } else { RelayError::Unavailable }
        })?;
        let socket = Arc::new(socket);
        let reader = tokio::spawn(read(relay, Arc::clone(&socket), commands, metrics));
        Ok(Self { socket, reader })
    }

    /// Sends a datagram; answers whether the kernel took it.
    pub(super) fn send(&self, destination: SocketAddr, bytes: &[u8]) -> bool {
        self.socket.try_send_to(bytes, destination).is_ok()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // A relay of one family never hears the other.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn read(relay: RelayId, socket: Arc<UdpSocket>, commands: mpsc::Sender<Command>, metrics: Metrics) {
    // One byte more than is taken shows what was cut.
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, _)) if len > MAX_DATAGRAM_BYTES => metrics.count_dropped("too_long"),
            Ok((len, source)) => {
                let bytes = buffer.get(..len).unwrap_or_default().to_vec();
                if commands.try_send(Command::FromPeer { relay, source, bytes }).is_err() {
                    metrics.count_dropped("queue_full");
                }
            }
            // An ICMP error that came back for an earlier datagram: the peer is not there now.
            Err(error) => tracing::trace!(%error, "relay"),
        }
    }
}
