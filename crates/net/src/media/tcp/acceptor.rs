//! Accepts ICE-TCP connections (RFC 6544 §5, passive candidates) and hands those that speak ICE to the owner of media.
//!
//! Here: the listening socket, and the first frame of each connection in a task of its own. Not here: what the request
//! says (`ice`), and everything after it (`connections`).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::FiveTuple;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::admission::{Admission, Full, IceTcpLimits, Place};
use super::opening::{Opening, OpeningStep};
use crate::media::bind::is_without_ipv6;
use crate::media::sys;

/// Connections that the kernel completes before they are accepted.
const LISTEN_BACKLOG: i32 = 1024;
/// Pause after an error of the listening socket, such as no more file descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of one read while a connection opens.
const OPENING_READ_BYTES: usize = 2048;
/// Bytes that the kernel holds of a connection beyond what is on the way (tcp(7), `TCP_NOTSENT_LOWAT`). What it holds is
/// late and can no longer be dropped; 32 KB keep 2.5 Mbit/s busy for 100 ms, a turn of the loop many times over.
const UNSENT_BYTES_IN_KERNEL: i32 = 32 << 10;

/// The media TCP port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on media TCP {address}")]
pub struct TcpBindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A connection whose first frame is a STUN Binding request, for a shard to take
/// ([`MediaShard::add_tcp`](crate::media::MediaShard::add_tcp)).
#[derive(Debug)]
pub struct AcceptedTcp {
    pub(super) stream: std::net::TcpStream,
    path: FiveTuple,
    pub(super) bytes: Vec<u8>,
    pub(super) place: Place,
}

impl AcceptedTcp {
    /// The two ends of the connection.
    #[must_use]
    pub const fn path(&self) -> FiveTuple {
        self.path
    }

    #[cfg(test)]
    pub(super) fn for_test(stream: std::net::TcpStream, bytes: Vec<u8>) -> Self {
        stream.set_nonblocking(true).unwrap();
        limit_unsent(&stream).unwrap();
        let path = FiveTuple::tcp(stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let (mut place, _) = Admission::new(IceTcpLimits::default()).enter(path.remote.ip()).unwrap();
        assert!(place.open());
        Self { stream, path, bytes, place }
    }

    /// What was read so far, from the length of the first frame on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first frame: the STUN Binding request, from which the owner finds whose connection it is.
    #[must_use]
    pub fn first_frame(&self) -> &[u8] {
        super::framing::first_frame(&self.bytes).ok().flatten().unwrap_or_default()
    }
}

/// What became of connections, for `/metrics`.
#[derive(Debug, Default)]
pub struct IceTcpCounters {
    /// Connections that came, over the own port and the shared one.
    pub connections: AtomicU64,
    /// Those that spoke ICE and were handed on.
    pub opened: AtomicU64,
    /// Refused: too many connections in all.
    pub refused_full: AtomicU64,
    /// Refused: too many connections from one address.
    pub refused_full_address: AtomicU64,
    /// Half-open ones that gave way to newer ones.
    pub crowded_out: AtomicU64,
    /// No first frame in time.
    pub timed_out: AtomicU64,
    /// The first bytes were no STUN Binding request.
    pub not_ice: AtomicU64,
    /// Closed or broken before the first frame.
    pub closed: AtomicU64,
}

/// Where ICE-TCP connections go, whoever accepts them. Cheap to clone.
#[derive(Clone)]
pub struct IceTcpHandle(Arc<Shared>);

struct Shared {
    is_binding_request: fn(&[u8]) -> bool,
    deliver: Box<dyn Fn(AcceptedTcp) + Send + Sync>,
    admission: Arc<Admission>,
    counters: IceTcpCounters,
}

impl fmt::Debug for IceTcpHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceTcpHandle").field("counters", &self.0.counters).finish_non_exhaustive()
    }
}

impl IceTcpHandle {
    /// `is_binding_request` tells from its syntax whether a frame is a STUN Binding request with USERNAME. `deliver`
    /// gets each connection whose first frame is one; it must not block. Dropping what it gets closes the connection.
    pub fn new(
        limits: IceTcpLimits,
        is_binding_request: fn(&[u8]) -> bool,
        deliver: impl Fn(AcceptedTcp) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            is_binding_request,
            deliver: Box::new(deliver),
            admission: Admission::new(limits),
            counters: IceTcpCounters::default(),
        }))
    }

    /// Takes over a connection of a port that is shared with other protocols, of which `already_read` was read
    /// ([`FirstBytes`](super::FirstBytes)). Starts a task: call it inside a tokio runtime. Refuses by closing.
    pub fn adopt(&self, stream: TcpStream, already_read: Vec<u8>) {
        let shared = Arc::clone(&self.0);
        count(&shared.counters.connections);
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return count(&shared.counters.closed);
        };
        let path = FiveTuple::tcp(canonical(local), canonical(remote));
        let (place, crowded_out) = match shared.admission.enter(remote.ip()) {
            Ok(entered) => entered,
            Err(Full::InAll) => return count(&shared.counters.refused_full),
            Err(Full::FromAddress) => return count(&shared.counters.refused_full_address),
        };
        tokio::spawn(async move {
            let opening = tokio::time::timeout(
                shared.admission.limits().opening_time,
                open(&shared, stream, path, already_read, place),
            );
            let counter = tokio::select! {
                result = opening => match result {
                    Ok(Ok(accepted)) => {
                        (shared.deliver)(accepted);
                        &shared.counters.opened
                    }
                    Ok(Err(refusal)) => refusal.counter(&shared.counters),
                    Err(_) => &shared.counters.timed_out,
                },
                _ = crowded_out => &shared.counters.crowded_out,
            };
            count(counter);
        });
    }

    /// What became of connections.
    #[must_use]
    pub fn counters(&self) -> &IceTcpCounters {
        &self.0.counters
    }

    /// Connections that are there now, and how many of them are half-open.
    #[must_use]
    pub fn open_connections(&self) -> (usize, usize) {
        self.0.admission.counts()
    }
}

#[derive(Clone, Copy, Debug)]
enum Refusal {
    NotIce,
    Closed,
    CrowdedOut,
}

impl Refusal {
    const fn counter(self, counters: &IceTcpCounters) -> &AtomicU64 {
        match self {
            Self::NotIce => &counters.not_ice,
            Self::Closed => &counters.closed,
            Self::CrowdedOut => &counters.crowded_out,
        }
    }
}

/// Reads until the first frame is there and says what the client waits for.
async fn open(
    shared: &Shared,
    mut stream: TcpStream,
    path: FiveTuple,
    already_read: Vec<u8>,
    mut place: Place,
) -> Result<AcceptedTcp, Refusal> {
    let mut opening = Opening::new(shared.is_binding_request);
    opening.handle_bytes(&already_read);
    let mut space = [0; OPENING_READ_BYTES];
    let bytes = loop {
        match opening.poll().map_err(|_| Refusal::NotIce)? {
            OpeningStep::Open(bytes) => break bytes,
            OpeningStep::Write(answer) => stream.write_all(answer).await.map_err(|_| Refusal::Closed)?,
            OpeningStep::Read => {
                let len = stream.read(&mut space).await.map_err(|_| Refusal::Closed)?;
                let read = space.get(..len).filter(|read| !read.is_empty()).ok_or(Refusal::Closed)?;
                opening.handle_bytes(read);
            }
        }
    };
    if !place.open() {
        return Err(Refusal::CrowdedOut);
    }
    stream.set_nodelay(true).map_err(|_| Refusal::Closed)?;
    let stream = stream.into_std().map_err(|_| Refusal::Closed)?;
    if let Err(error) = limit_unsent(&stream) {
        tracing::debug!(%error, "cannot limit what the kernel holds of a connection");
    }
    Ok(AcceptedTcp { stream, path, bytes, place })
}

fn limit_unsent(stream: &std::net::TcpStream) -> io::Result<()> {
    sys::set_option(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES_IN_KERNEL)
}

/// Listens for ICE-TCP connections on a port of its own.
#[derive(Debug)]
pub struct TcpAcceptor {
    listener: TcpListener,
    handle: IceTcpHandle,
}

impl TcpAcceptor {
    /// Listens on `address`; an unspecified IPv6 address takes IPv4 too, and IPv4 alone on a host without IPv6. Call it
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`TcpBindError`] when the port cannot be had.
    pub fn bind(address: SocketAddr, handle: IceTcpHandle) -> Result<Self, TcpBindError> {
        let (address, attempt) = match listen(address) {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && is_without_ipv6(&error) => {
                let address = SocketAddr::from(([0, 0, 0, 0], address.port()));
                (address, listen(address))
            }
            attempt => (address, attempt),
        };
        let listener = attempt.map_err(|source| TcpBindError { address, source })?;
        Ok(Self { listener, handle })
    }

    /// The port that is bound.
    ///
    /// # Errors
    /// What the system answers.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Accepts until it is dropped.
    pub async fn run(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.handle.adopt(stream, Vec::new()),
                // The client gave up between its handshake and now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => count(&self.handle.counters().closed),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept media over TCP (are there enough file descriptors?)");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections of before a restart, in TIME_WAIT, do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
