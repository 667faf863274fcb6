//! Streams over WebSocket (RFC 7395): the HTTP routes, and one task a connection between frames and elements.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use xmpp::stream::{StreamCondition, stream_error};
use xmpp::{Element, framing};

use super::core_task::Command;
use super::frame_queue::{FrameReceiver, frame_queue};
use super::origin::OriginRequest;
use super::throttle::Throttle;
use super::{Handle, SLOW_READER, Visit};
use crate::login;
use crate::{BadFrame, Carrier, ConnectionEnd, ConnectionId, Frame, Input};

/// The registered subprotocol (RFC 7395 §3.1).
const SUBPROTOCOL: &str = "xmpp";
/// Read from a socket at once: most frames are shorter. The library keeps the buffer for as long as the socket is open, and
/// clears all of it before each read.
const READ_BUFFER_BYTES: usize = 4096;
/// How long a frame may take to get into the socket. A live client reads within a round trip.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other side may take to confirm the end of the WebSocket (RFC 6455 §7.1.1).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// WebSocket status of an orderly end (RFC 6455 §7.4.1).
const STATUS_NORMAL: u16 = 1000;
/// WebSocket status of a page that goes away (RFC 6455 §7.4.1).
const STATUS_GOING_AWAY: u16 = 1001;

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/xmpp-websocket", any(upgrade))
        .route("/{tenant}/xmpp-websocket", any(upgrade))
        .with_state(handle)
}

async fn upgrade(
    State(handle): State<Handle>,
    request: OriginRequest,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) if headers.contains_key(header::UPGRADE) => return rejection.into_response(),
        Err(_) => return keep_alive(),
    };
    let limits = &handle.shared.settings.limits;
    let is_service = is_service(&handle, &headers);
    let Some(visit) = handle.visit(request.client_address(handle.settings()).filter(|_| !is_service)) else {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    };
    let frame_bytes = if is_service { limits.service_frame_bytes } else { limits.client_frame_bytes };
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(frame_bytes)
        .max_frame_size(frame_bytes)
        .on_upgrade(move |socket| serve(handle, socket, request, visit, is_service))
}

/// The stock client fetches the WebSocket's URL from time to time to keep load balancers aware of it (client.md §2.7).
fn keep_alive() -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-store")];
    (headers, "OK").into_response()
}

/// Whether the request brings a service account's name and password (RFC 7617): such a connection may send the large
/// stanzas of a focus before its stream has logged in. Nothing else follows from it.
fn is_service(handle: &Handle, headers: &HeaderMap) -> bool {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    basic.is_some_and(|credentials| login::is_service_basic(&handle.shared.settings, credentials))
}

async fn serve(handle: Handle, socket: WebSocket, request: OriginRequest, visit: Visit, is_service: bool) {
    // Before the core hears of the connection: what the client says meanwhile waits in the socket.
    let origin = handle.origin(request, Carrier::WebSocket).await;
    let connection = handle.next_connection();
    let limits = &handle.shared.settings.limits;
    let (frames, queue) = frame_queue(if is_service { handle.service_queue() } else { handle.client_queue() });
    if !handle.command(Command::Connect { connection, origin, frames }).await {
        return;
    }
    let mut throttle = (!is_service)
        .then(|| Throttle::new(limits.client_bytes_per_second, limits.client_burst_bytes, Instant::now().into_std()));
    if let Some(throttle) = &mut throttle {
        visit.slow(throttle);
    }
    let (sink, stream) = socket.split();
    let reader = Reader { stream, throttle, resume_at: Instant::now(), is_lost: false };
    let mut socket = Connection { handle, connection, sink, reader, queue };
    if let Some(end) = socket.run().await {
        socket.handle.command(Command::Input(Input::Disconnected { connection, end })).await;
    }
}

/// One WebSocket between the core and its client.
struct Connection {
    handle: Handle,
    connection: ConnectionId,
    sink: SplitSink<WebSocket, Message>,
    reader: Reader,
    queue: FrameReceiver,
}

struct Reader {
    stream: SplitStream<WebSocket>,
    /// `None` for services.
    throttle: Option<Throttle>,
    resume_at: Instant,
    /// Behind a frame that is too large or no text: nothing after its head can be made sense of.
    is_lost: bool,
}

/// What was read.
enum Received {
    Frame(Result<Element, BadFrame>),
    End(ConnectionEnd),
}

impl Connection {
    /// Answers how the connection ended, unless the core ended it.
    async fn run(&mut self) -> Option<ConnectionEnd> {
        let overfull = self.queue.overfull();
        tokio::pin!(overfull);
        loop {
            tokio::select! {
                () = &mut overfull => {
                    self.refuse_slow_reader().await;
                    return None;
                }
                frame = self.queue.recv() => match frame {
                    Some(frame) => {
                        let is_written = tokio::select! {
                            written = self.write(frame) => written.is_ok(),
                            () = &mut overfull => {
                                self.refuse_slow_reader().await;
                                return None;
                            }
                        };
                        if !is_written {
                            return self.hear_out().await;
                        }
                    }
                    None => {
                        self.close().await;
                        return None;
                    }
                },
                received = self.reader.next() => match received {
                    Received::Frame(frame) => {
                        if !self.tell_core(frame).await {
                            self.close().await;
                            return None;
                        }
                    }
                    Received::End(end) => return Some(end),
                },
            }
        }
    }

    /// Answers whether there is still a core.
    async fn tell_core(&self, frame: Result<Element, BadFrame>) -> bool {
        self.handle.command(Command::Input(Input::Frame { connection: self.connection, frame })).await
    }

    /// Nothing reaches the other side any more. What it said before that counts: its last words may be a farewell.
    async fn hear_out(&mut self) -> Option<ConnectionEnd> {
        let rest = async {
            loop {
                match self.reader.next().await {
                    Received::Frame(frame) => {
                        if !self.tell_core(frame).await {
                            return None;
                        }
                    }
                    Received::End(end) => return Some(end),
                }
            }
        };
        timeout(CLOSE_TIMEOUT, rest).await.unwrap_or(Some(ConnectionEnd::Lost))
    }

    /// Writes the frame and all that wait behind it, then flushes once.
    async fn write(&mut self, first: Frame) -> Result<(), WriteFailed> {
        let mut next = Some(first);
        while let Some(frame) = next {
            let text = match frame {
                Frame::Element(element) => element.to_string(),
                Frame::Stanza(stanza) => stanza.to_text(),
                Frame::Close => framing::CLOSE.to_owned(),
                Frame::StartTls | Frame::Trust => {
                    next = self.queue.try_recv();
                    continue;
                }
            };
            timeout(WRITE_TIMEOUT, self.sink.feed(Message::text(text))).await??;
            next = self.queue.try_recv();
        }
        timeout(WRITE_TIMEOUT, self.sink.flush()).await??;
        Ok(())
    }

    /// Says why it ends, as far as the other side still reads; what waited for it is dropped.
    async fn refuse_slow_reader(&mut self) {
        let error = stream_error(StreamCondition::PolicyViolation, Some(SLOW_READER));
        let farewell = async {
            self.sink.feed(Message::text(error.to_string())).await?;
            self.sink.send(Message::text(framing::CLOSE)).await
        };
        if !matches!(timeout(CLOSE_TIMEOUT, farewell).await, Ok(Ok(()))) {
            tracing::debug!(connection = ?self.connection, "a slow reader did not hear why");
        }
    }

    /// Closes the WebSocket in order: the other side gets the time to read what is on its way.
    async fn close(&mut self) {
        let farewell = Message::Close(Some(CloseFrame { code: STATUS_NORMAL, reason: "".into() }));
        let closing = async {
            self.sink.send(farewell).await?;
            while let Some(Ok(_)) = self.reader.stream.next().await {}
            Ok::<(), axum::Error>(())
        };
        if !matches!(timeout(CLOSE_TIMEOUT, closing).await, Ok(Ok(()))) {
            tracing::trace!(connection = ?self.connection, "websocket did not close in order");
        }
    }
}

/// The socket is broken, or takes nothing.
struct WriteFailed;

impl From<axum::Error> for WriteFailed {
    fn from(_: axum::Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for WriteFailed {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}

impl Reader {
    /// The next frame, when it may be read. Dropping the future loses nothing.
    async fn next(&mut self) -> Received {
        loop {
            if self.is_lost {
                // The core is about to close the stream.
                return std::future::pending().await;
            }
            sleep_until(self.resume_at).await;
            let text = match self.stream.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Binary(_))) => return Received::Frame(Err(BadFrame::NotWellFormed)),
                // Answered below us.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    let is_page_gone = frame.is_some_and(|frame| frame.code == STATUS_GOING_AWAY);
                    let end = if is_page_gone { ConnectionEnd::GoingAway } else { ConnectionEnd::Lost };
                    return Received::End(end);
                }
                Some(Err(error)) => match bad_frame_of(&error) {
                    Some(bad) => {
                        self.is_lost = true;
                        return Received::Frame(Err(bad));
                    }
                    None => return Received::End(ConnectionEnd::Lost),
                },
                None => return Received::End(ConnectionEnd::Lost),
            };
            if let Some(throttle) = &mut self.throttle {
                let now = Instant::now();
                self.resume_at = now + throttle.take(text.len(), now.into_std());
            }
            return Received::Frame(Element::parse(text.as_str()).map_err(|error| {
                tracing::debug!(%error, "frame is no element");
                BadFrame::from(&error)
            }));
        }
    }
}

/// What is wrong with a frame that does not get through; `None` when it is the connection that broke.
fn bad_frame_of(error: &axum::Error) -> Option<BadFrame> {
    let error: &tungstenite::Error = error.source().and_then(<dyn Error>::downcast_ref)?;
    if matches!(error, tungstenite::Error::Capacity(_)) {
        Some(BadFrame::TooLarge)
    } else {
        matches!(error, tungstenite::Error::Utf8(_)).then_some(BadFrame::NotWellFormed)
    }
}
