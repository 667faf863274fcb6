//! Tasks, sockets and the clock around the core: one task owns the [`Server`], others read sockets for it.
//!
//! Every queue is bounded. A full one drops datagrams, as the network may too, or makes a stream wait.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod core_task;
mod relay;
mod stream;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::FiveTuple;
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::{Metrics, Now, PeerPolicy, Server, Settings};
use core_task::{Command, Inbox};
use udp::UdpListener;

/// Ports tried when the system may choose: it chooses for UDP, and TCP has to have the same one free.
const PORT_ATTEMPTS: u8 = 16;
/// How long to wait after the system had no socket for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TURN service.
#[derive(Debug)]
pub struct Turn;

/// Why TURN does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port cannot be had.
    #[error("cannot listen on turn {protocol} {address}")]
    Bind {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The same metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

impl Turn {
    /// Binds the server's own port, if it is to have one, and starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(mut settings: Settings, registry: &Registry) -> Result<Handle, StartError> {
        let metrics = Metrics::new();
        metrics.register(registry)?;
        let bound = settings.listen.map(bind).transpose()?;
        let port = bound.as_ref().map(|(udp, _)| udp.port());
        if let (Some(listen), Some(port)) = (&mut settings.listen, port) {
            listen.set_port(port);
        }
        let (inbox, queues) = core_task::queues();
        let handle = Handle { inbox, next_stream: Arc::new(AtomicU64::new(0)), port };
        let server = Server::new(now(), settings, rand::random(), metrics.clone());
        let udp = bound.map(|(udp, tcp)| {
            let udp = Arc::new(udp);
            tokio::spawn(udp::read(Arc::clone(&udp), handle.inbox.clients.clone(), metrics.clone()));
            tokio::spawn(accept(tcp, handle.clone()));
            udp
        });
        tokio::spawn(core_task::run(server, metrics, udp, handle.inbox.peers.clone(), queues));
        Ok(handle)
    }
}

/// A running TURN service. Clones are the same service.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: Inbox,
    next_stream: Arc<AtomicU64>,
    port: Option<u16>,
}

impl Handle {
    /// The service's own port, UDP and TCP.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Changes whom relays may talk to, as when the bridge learns its public address.
    pub async fn set_peers(&self, peers: PeerPolicy) {
        // An error says that the core is gone, and its relays with it.
        drop(self.inbox.streams.send(Command::SetPeers(peers)).await);
    }

    /// Takes a client's stream over, of which `already_read` was read to see what it carries; TLS has ended before.
    pub fn adopt<S>(&self, stream: S, already_read: Vec<u8>, local: SocketAddr, remote: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let path = FiveTuple::tcp(canonical(local), canonical(remote));
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(stream::run(stream, already_read, path, id, self.inbox.streams.clone()));
    }
}

/// Both sockets of the server's own port.
fn bind(address: SocketAddr) -> Result<(UdpListener, TcpListener), StartError> {
    let failed = |protocol, address| move |source| StartError::Bind { protocol, address, source };
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let udp = UdpListener::bind(address).map_err(failed("UDP", address))?;
        let address = SocketAddr::new(address.ip(), udp.port());
        attempts -= 1;
        match bind_tcp(address) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if attempts == 0 => return Err(failed("TCP", address)(error)),
            Err(_) => {}
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes clients of the server's own TCP port.
async fn accept(listener: TcpListener, handle: Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Media is small and late data is useless.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                match stream.local_addr() {
                    Ok(local) => handle.adopt(stream, Vec::new(), local, remote),
                    Err(error) => tracing::debug!(%error, "a connection was gone at once"),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// IPv4 as such, also where a socket of IPv6 took it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Both clocks, read together.
fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_s: unix.as_secs() }
}
