//! Streams over TCP (RFC 6120 §3–§5): listeners of clients and of components (XEP-0114), and one task a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use xmpp::stream::{StreamCondition, stream_error};
use xmpp::{Element, StreamItem, StreamParser, ns};

use super::core_task::Command;
use super::frame_queue::{FrameReceiver, frame_queue};
use super::stream_text::Dialect;
use super::throttle::Throttle;
use super::tls::{TlsHost, with_bindings};
use super::{Handle, SLOW_READER};
use crate::{BadFrame, Carrier, ConnectionEnd, ConnectionId, Frame, Input, Origin, Tls};

/// How long bytes may take to get into the socket. A live client reads within a round trip.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other side may take to end its stream when this one has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failure to accept, such as too many open files: it does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Text that is put together before it is written.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// TLS on the port of clients (RFC 6120 §5).
#[derive(Clone, Debug)]
pub enum StartTls {
    /// Nothing is taken before TLS.
    Required(Arc<ServerConfig>),
    /// TLS is there for those who want it; without it no password may be sent.
    Offered(Arc<ServerConfig>),
    /// No TLS: the operator says that the network is private.
    Absent,
}

/// What a listener serves.
#[derive(Clone, Debug)]
struct Service {
    carrier: Carrier,
    tls: Option<TlsHost>,
}

impl Handle {
    /// Serves clients and services that log in (RFC 6120) on a listener, until the core ends.
    pub fn serve_tcp(&self, listener: TcpListener, tls: StartTls) {
        let (tls, config) = match tls {
            StartTls::Required(config) => (Tls::Required, Some(config)),
            StartTls::Offered(config) => (Tls::Offered, Some(config)),
            StartTls::Absent => (Tls::Absent, None),
        };
        let service = Service { carrier: Carrier::Tcp(tls), tls: config.map(|config| TlsHost::new(&config)) };
        tokio::spawn(accept(self.clone(), listener, service));
    }

    /// Serves components (XEP-0114) on a listener, until the core ends. There is no TLS: it is for private networks.
    pub fn serve_components(&self, listener: TcpListener) {
        tokio::spawn(accept(self.clone(), listener, Service { carrier: Carrier::Component, tls: None }));
    }
}

async fn accept(handle: Handle, listener: TcpListener, service: Service) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = handle.shared.commands.closed() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                tokio::spawn(serve(handle.clone(), socket, peer, service.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(handle: Handle, socket: TcpStream, peer: SocketAddr, service: Service) {
    // A socket that is broken already shows so when it is read.
    let _ = socket.set_nodelay(true);
    let address = peer.ip().to_canonical();
    let Some(visit) = handle.visit(Some(address)) else { return };
    let connection = handle.next_connection();
    let (frames, queue) = frame_queue(handle.client_queue());
    let limits = &handle.settings().limits;
    let origin = Origin { carrier: service.carrier, address: Some(address), ..Origin::default() };
    let parser = StreamParser::new(limits.client_frame_bytes);
    let mut throttle =
        Throttle::new(limits.client_bytes_per_second, limits.client_burst_bytes, Instant::now().into_std());
    visit.slow(&mut throttle);
    if !handle.command(Command::Connect { connection, origin, frames }).await {
        return;
    }
    let dialect = if service.carrier == Carrier::Component { Dialect::Component } else { Dialect::Client };
    let mut stream = Stream {
        handle,
        connection,
        queue,
        parser,
        dialect,
        throttle: Some(throttle),
        resume_at: Instant::now(),
        reading: Reading::On,
        text: String::new(),
    };
    let end = match stream.run(socket).await {
        PhaseEnd::Over(end) => end,
        PhaseEnd::StartTls(socket) => stream.run_in_tls(socket, service.tls).await,
    };
    if let Some(end) = end {
        stream.handle.command(Command::Input(Input::Disconnected { connection, end })).await;
    }
}

/// One connection between the core and its client.
struct Stream {
    handle: Handle,
    connection: ConnectionId,
    queue: FrameReceiver,
    parser: StreamParser,
    dialect: Dialect,
    /// `None` for services.
    throttle: Option<Throttle>,
    resume_at: Instant,
    reading: Reading,
    /// What is about to be written.
    text: String,
}

/// Whether the socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    On,
    /// The client asked for TLS: what comes next is TLS or not to be trusted.
    AwaitTls,
    /// Nothing after this can be made sense of; the core is about to close the stream.
    Lost,
}

/// Why reading and writing a socket is over.
enum PhaseEnd<S> {
    /// TLS begins on it.
    StartTls(S),
    /// The connection is over, by itself or, when there is no reason, by the core.
    Over(Option<ConnectionEnd>),
}

/// What writing a batch leads to.
enum Written {
    Done,
    StartTls,
}

impl Stream {
    async fn run_in_tls(&mut self, socket: TcpStream, tls: Option<TlsHost>) -> Option<ConnectionEnd> {
        let Some(tls) = tls else { return Some(ConnectionEnd::Lost) };
        let (socket, bindings) = match with_bindings(&tls, socket).await {
            Ok(established) => established,
            Err(error) => {
                tracing::debug!(connection = ?self.connection, %error, "TLS failed");
                self.handle.shared.metrics.count_dropped("tls_failed");
                return Some(ConnectionEnd::Lost);
            }
        };
        self.parser.restart();
        self.reading = Reading::On;
        let input = Input::TlsEstablished { connection: self.connection, bindings };
        if !self.handle.command(Command::Input(input)).await {
            return None;
        }
        match self.run(socket).await {
            PhaseEnd::Over(end) => end,
            PhaseEnd::StartTls(_) => Some(ConnectionEnd::Lost),
        }
    }

    /// Passes stanzas both ways until the connection is over or TLS is to begin.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut socket: S) -> PhaseEnd<S> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let overfull = self.queue.overfull();
        tokio::pin!(overfull);
        loop {
            tokio::select! {
                () = &mut overfull => {
                    self.refuse_slow_reader(&mut socket).await;
                    return PhaseEnd::Over(None);
                }
                frame = self.queue.recv() => {
                    let Some(frame) = frame else {
                        close(&mut socket, &mut chunk).await;
                        return PhaseEnd::Over(None);
                    };
                    let written = tokio::select! {
                        written = self.write(&mut socket, frame) => written,
                        () = &mut overfull => {
                            self.refuse_slow_reader(&mut socket).await;
                            return PhaseEnd::Over(None);
                        }
                    };
                    match written {
                        Ok(Written::Done) => {}
                        Ok(Written::StartTls) => return PhaseEnd::StartTls(socket),
                        Err(_) => return PhaseEnd::Over(self.hear_out(&mut socket, &mut chunk).await),
                    }
                }
                read = read(&mut socket, &mut chunk, self.resume_at), if self.reading == Reading::On => match read {
                    Ok(0) | Err(_) => return PhaseEnd::Over(Some(ConnectionEnd::Lost)),
                    Ok(len) => if !self.take(chunk.get(..len).unwrap_or_default()).await {
                        close(&mut socket, &mut chunk).await;
                        return PhaseEnd::Over(None);
                    },
                },
            }
        }
    }

    /// Nothing reaches the other side any more. What it said before that counts: its last words may be a farewell.
    async fn hear_out<S: AsyncRead + Unpin>(&mut self, socket: &mut S, chunk: &mut [u8]) -> Option<ConnectionEnd> {
        let rest = async {
            while self.reading == Reading::On {
                match read(socket, chunk, self.resume_at).await {
                    Ok(0) | Err(_) => break,
                    Ok(len) if self.take(chunk.get(..len).unwrap_or_default()).await => {}
                    Ok(_) => return None,
                }
            }
            Some(ConnectionEnd::Lost)
        };
        timeout(CLOSE_TIMEOUT, rest).await.unwrap_or(Some(ConnectionEnd::Lost))
    }

    /// Tells the core what stands in the bytes; answers whether it still runs.
    async fn take(&mut self, mut bytes: &[u8]) -> bool {
        self.slow_down(bytes.len());
        while self.reading == Reading::On {
            let frame = match self.parser.parse(&mut bytes) {
                Ok(None) => return true,
                Ok(Some(item)) => self.frame_of(item),
                Err(error) => {
                    tracing::debug!(%error, "stream cannot be read");
                    Err(BadFrame::from(&error))
                }
            };
            self.slow_down(0);
            match &frame {
                Ok(element) if element.is("starttls", ns::TLS) => self.reading = Reading::AwaitTls,
                Ok(_) => {}
                Err(_) => self.reading = Reading::Lost,
            }
            let input = Input::Frame { connection: self.connection, frame };
            if !self.handle.command(Command::Input(input)).await {
                return false;
            }
        }
        true
    }

    fn frame_of(&self, item: StreamItem) -> Result<Element, BadFrame> {
        match item {
            StreamItem::Open(header) => self.dialect.open_of(&header),
            StreamItem::Element(element) => Ok(self.dialect.read(element)),
            StreamItem::Close => Ok(Dialect::close_frame()),
        }
    }

    fn slow_down(&mut self, bytes: usize) {
        if let Some(throttle) = &mut self.throttle {
            let now = Instant::now();
            self.resume_at = now + throttle.take(bytes, now.into_std());
        }
    }

    /// Writes the frame and those that wait behind it.
    async fn write<S: AsyncWrite + Unpin>(&mut self, socket: &mut S, first: Frame) -> io::Result<Written> {
        let mut next = Some(first);
        let mut starts_tls = false;
        while let Some(frame) = next {
            match &frame {
                Frame::Trust => self.trust(),
                Frame::StartTls => starts_tls = true,
                // The client's next byte begins a stream (RFC 6120 §6.4.6).
                Frame::Element(element) if element.is("success", ns::SASL) => self.parser.restart(),
                Frame::Element(_) | Frame::Stanza(_) | Frame::Close => {}
            }
            self.dialect.write(&frame, &mut self.text);
            if self.text.len() >= WRITE_BATCH_BYTES {
                self.flush(socket).await?;
            }
            next = if starts_tls { None } else { self.queue.try_recv() };
        }
        self.flush(socket).await?;
        Ok(if starts_tls { Written::StartTls } else { Written::Done })
    }

    async fn flush<S: AsyncWrite + Unpin>(&mut self, socket: &mut S) -> io::Result<()> {
        let writing = async {
            socket.write_all(self.text.as_bytes()).await?;
            socket.flush().await
        };
        timeout(WRITE_TIMEOUT, writing).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.text.clear();
        Ok(())
    }

    /// The other side is a service: it may send large stanzas, and as fast as it likes.
    fn trust(&mut self) {
        self.throttle = None;
        self.resume_at = Instant::now();
        self.parser.set_max_item_bytes(self.handle.settings().limits.service_frame_bytes);
        self.queue.set_limits(self.handle.service_queue());
    }

    /// Says why it ends, as far as the other side still reads; what waited for it is dropped.
    async fn refuse_slow_reader<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: &mut S) {
        let error = stream_error(StreamCondition::PolicyViolation, Some(SLOW_READER));
        let farewell = format!("{error}{}", Dialect::CLOSE);
        let farewell = async {
            socket.write_all(farewell.as_bytes()).await?;
            socket.shutdown().await
        };
        if !matches!(timeout(CLOSE_TIMEOUT, farewell).await, Ok(Ok(()))) {
            tracing::debug!(connection = ?self.connection, "a slow reader did not hear why");
        }
    }
}

/// Reads what there is, once it may be read. Dropping the future loses nothing.
async fn read<S: AsyncRead + Unpin>(socket: &mut S, chunk: &mut [u8], resume_at: Instant) -> io::Result<usize> {
    sleep_until(resume_at).await;
    socket.read(chunk).await
}

/// Ends the connection in order: the other side gets the time to read what is on its way.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, chunk: &mut [u8]) {
    let closing = async {
        socket.shutdown().await?;
        while socket.read(chunk).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    if !matches!(timeout(CLOSE_TIMEOUT, closing).await, Ok(Ok(()))) {
        tracing::trace!("connection did not close in order");
    }
}
