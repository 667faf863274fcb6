//! The https port, shared with TURN and ICE over TCP: networks that let nothing else pass let this port pass.
//!
//! Here: telling what a connection carries, TLS, and handing streams over. Not here: what TURN and ICE do with them
//! (`turn`, `net`): they come as functions, and without them the port has https only.

mod first_bytes;
mod half_open;
mod metrics;
mod rewound;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::Accept;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use first_bytes::FirstBytes;
use half_open::HalfOpen;
pub use metrics::PortMetrics;
use rewound::Rewound;

/// ALPN name of TURN over TLS (RFC 7443).
const ALPN_TURN: &[u8] = b"stun.turn";
/// It has to be clear by then what a connection carries, TLS handshake included.
const PREAMBLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough to tell protocols apart, and small for those that send more at once.
const READ_BYTES: usize = 512;

/// Takes an ICE connection over TCP, and what was read of it to see that it is one.
pub type IceTcpHandler = Arc<dyn Fn(TcpStream, Vec<u8>) + Send + Sync>;
/// Takes a TURN client's stream.
pub type TurnStreamHandler = Arc<dyn Fn(TurnStream) + Send + Sync>;

/// A stream in both directions, whatever carries it.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A TURN client's stream; TLS has ended before.
pub struct TurnStream {
    /// The rest of the stream.
    pub stream: Box<dyn ByteStream>,
    /// What was read of it before.
    pub already_read: Vec<u8>,
    /// The address of this host that the client connected to.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
}

impl fmt::Debug for TurnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnStream").field("local", &self.local).finish_non_exhaustive()
    }
}

/// Who gets what comes to the https port beside https.
#[derive(Clone, Default)]
pub struct SharedPort {
    /// ICE over TCP: RFC 4571 frames, or the `ssltcp` greeting before them. Without it such connections are closed.
    pub ice_tcp: Option<IceTcpHandler>,
    /// TURN, over TCP or TLS. Without it such connections are closed.
    pub turn: Option<TurnStreamHandler>,
    /// A server name (SNI) under which TLS is always TURN. Without one it is told by ALPN or by the first bytes.
    pub turn_name: Option<String>,
    /// What is counted.
    pub metrics: PortMetrics,
}

impl fmt::Debug for SharedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPort")
            .field("ice_tcp", &self.ice_tcp.is_some())
            .field("turn", &self.turn.is_some())
            .field("turn_name", &self.turn_name)
            .finish_non_exhaustive()
    }
}

/// An https stream.
type HttpsStream = Rewound<TlsStream<Rewound<TcpStream>>>;

/// Accepts connections of the https port: those with https go on to the web server, others to their handlers.
#[derive(Clone)]
pub(crate) struct SharedPortAcceptor {
    port: Arc<SharedPort>,
    tls: TlsAcceptor,
    half_open: HalfOpen,
}

impl SharedPortAcceptor {
    pub(crate) fn new(port: SharedPort, mut tls: ServerConfig) -> Self {
        if port.turn.is_some() {
            tls.alpn_protocols.push(ALPN_TURN.to_vec());
        }
        Self { port: Arc::new(port), tls: TlsAcceptor::from(Arc::new(tls)), half_open: HalfOpen::default() }
    }

    /// The stream, if it carries https. An error only says that there is none: whatever was wrong is counted.
    async fn accept_https(self, mut stream: TcpStream) -> io::Result<HttpsStream> {
        let addresses = Addresses { local: stream.local_addr()?, remote: stream.peer_addr()? };
        let _place = self.half_open.enter(addresses.remote.ip()).map_err(|reason| self.refuse(reason))?;
        // Stanzas and messages are small and wait for each other: Nagle's algorithm would hold them back.
        stream.set_nodelay(true)?;
        let preamble = async {
            let (kind, already_read) = read_first(&mut stream, FirstBytes::of_connection).await?;
            match kind {
                FirstBytes::Tls => self.accept_tls(Rewound::new(stream, already_read), addresses).await,
                FirstBytes::IceTcp => match &self.port.ice_tcp {
                    Some(handler) => {
                        self.port.metrics.count_connection("ice_tcp");
                        handler(stream, already_read);
                        Err(handed_over())
                    }
                    None => Err(self.refuse("ice_tcp_off")),
                },
                FirstBytes::Turn => Err(self.hand_to_turn("turn_tcp", stream, already_read, addresses)),
                FirstBytes::Http | FirstBytes::Unknown | FirstBytes::NeedMore => Err(self.refuse("unknown_protocol")),
            }
        };
        timeout(PREAMBLE_TIMEOUT, preamble).await.unwrap_or_else(|_| Err(self.refuse("preamble_timeout")))
    }

    async fn accept_tls(&self, stream: Rewound<TcpStream>, addresses: Addresses) -> io::Result<HttpsStream> {
        let mut stream = self.tls.accept(stream).await.inspect_err(|_| {
            self.port.metrics.count_refused("tls_handshake");
        })?;
        let (_, session) = stream.get_ref();
        let is_turn_name = self.port.turn_name.is_some() && session.server_name() == self.port.turn_name.as_deref();
        let (kind, already_read) = match session.alpn_protocol() {
            _ if is_turn_name => (FirstBytes::Turn, Vec::new()),
            Some(ALPN_TURN) => (FirstBytes::Turn, Vec::new()),
            Some(_) => (FirstBytes::Http, Vec::new()),
            None if self.port.turn.is_none() => (FirstBytes::Http, Vec::new()),
            // RFC 7443 has a name for it, which browsers do not send.
            None => read_first(&mut stream, FirstBytes::of_plaintext).await?,
        };
        match kind {
            FirstBytes::Http => {
                self.port.metrics.count_connection("https");
                Ok(Rewound::new(stream, already_read))
            }
            FirstBytes::Turn => Err(self.hand_to_turn("turn_tls", stream, already_read, addresses)),
            FirstBytes::Tls | FirstBytes::IceTcp | FirstBytes::Unknown | FirstBytes::NeedMore => {
                Err(self.refuse("unknown_protocol_in_tls"))
            }
        }
    }

    fn hand_to_turn(
        &self,
        kind: &'static str,
        stream: impl ByteStream + 'static,
        already_read: Vec<u8>,
        Addresses { local, remote }: Addresses,
    ) -> io::Error {
        let Some(handler) = &self.port.turn else { return self.refuse("turn_off") };
        self.port.metrics.count_connection(kind);
        handler(TurnStream { stream: Box::new(stream), already_read, local, remote });
        handed_over()
    }

    fn refuse(&self, reason: &'static str) -> io::Error {
        self.port.metrics.count_refused(reason);
        io::Error::other(reason)
    }
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    local: SocketAddr,
    remote: SocketAddr,
}

/// The web server forgets a connection that ends with an error, which is all that it has to know.
fn handed_over() -> io::Error {
    io::Error::other("handed over")
}

/// Reads until `tell` knows; answers that and what was read.
async fn read_first(
    stream: &mut (impl AsyncRead + Unpin),
    tell: impl Fn(&[u8]) -> FirstBytes,
) -> io::Result<(FirstBytes, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let kind = tell(&bytes);
        if kind != FirstBytes::NeedMore {
            return Ok((kind, bytes));
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for SharedPortAcceptor {
    type Stream = HttpsStream;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(HttpsStream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let acceptor = self.clone();
        Box::pin(async move { Ok((acceptor.accept_https(stream).await?, service)) })
    }
}
