//! Streams over WebSocket (RFC 7395): the HTTP routes, and one task a connection between frames and elements.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use xmpp::{Element, framing};

use super::Handle;
use super::core_task::Command;
use super::throttle::Throttle;
use crate::login;
use crate::{BadFrame, ConnectionEnd, ConnectionId, Frame, Input, Origin};

/// The registered subprotocol (RFC 7395 §3.1).
const SUBPROTOCOL: &str = "xmpp";
/// How long a frame may take to get into the socket. A live client reads within a round trip.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the other side may take to confirm the end of the WebSocket (RFC 6455 §7.1.1).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// No name of the DNS is longer (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// WebSocket status of an orderly end (RFC 6455 §7.4.1).
const STATUS_NORMAL: u16 = 1000;
/// WebSocket status of a page that goes away (RFC 6455 §7.4.1).
const STATUS_GOING_AWAY: u16 = 1001;

/// What clients and reverse proxies put into the query (client.md §1.2).
#[derive(Debug, Default, Deserialize)]
struct OriginQuery {
    room: Option<String>,
    prefix: Option<String>,
    previd: Option<String>,
    token: Option<String>,
    customusername: Option<String>,
}

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/xmpp-websocket", any(upgrade))
        .route("/{tenant}/xmpp-websocket", any(upgrade))
        .with_state(handle)
}

async fn upgrade(
    State(handle): State<Handle>,
    tenant: Option<Path<String>>,
    query: Result<Query<OriginQuery>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) if headers.contains_key(header::UPGRADE) => return rejection.into_response(),
        Err(_) => return keep_alive(),
    };
    let Query(query) = query.unwrap_or_default();
    let origin = Origin {
        claims: None,
        room: query.room,
        tenant: query.prefix.or(tenant.map(|Path(tenant)| tenant)),
        previous: query.previd,
        token: query.token,
        custom_username: query.customusername,
        host: host_of(&uri, &headers),
    };
    let limits = &handle.shared.settings.limits;
    let is_service = is_service(&handle, &headers);
    let frame_bytes = if is_service { limits.service_frame_bytes } else { limits.client_frame_bytes };
    upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(frame_bytes)
        .max_frame_size(frame_bytes)
        .on_upgrade(move |socket| serve(handle, socket, origin, is_service))
}

/// The host that the client used, from `Host` (HTTP/1.1) or `:authority` (HTTP/2); `None` for what cannot be one.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().map(|authority| authority.as_str());
    let text = authority.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))?;
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let is_plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'));
    (is_plain && !host.is_empty() && host.len() <= MAX_HOST_BYTES).then(|| host.to_owned())
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

async fn serve(handle: Handle, socket: WebSocket, origin: Origin, is_service: bool) {
    let connection = handle.next_connection();
    let limits = &handle.shared.settings.limits;
    let (frames, queue) = mpsc::channel(if is_service { limits.service_queue } else { limits.client_queue });
    if !handle.command(Command::Connect { connection, origin, frames }).await {
        return;
    }
    let throttle = (!is_service)
        .then(|| Throttle::new(limits.client_bytes_per_second, limits.client_burst_bytes, Instant::now().into_std()));
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
    queue: mpsc::Receiver<Frame>,
}

struct Reader {
    stream: SplitStream<WebSocket>,
    /// `None` for services.
    throttle: Option<Throttle>,
    resume_at: Instant,
    /// Inside a frame that is too large: nothing after its head can be made sense of.
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
        loop {
            tokio::select! {
                frame = self.queue.recv() => match frame {
                    Some(frame) => if self.write(frame).await.is_err() {
                        return Some(ConnectionEnd::Lost);
                    },
                    None => {
                        self.close().await;
                        return None;
                    }
                },
                received = self.reader.next() => match received {
                    Received::Frame(frame) => {
                        let input = Input::Frame { connection: self.connection, frame };
                        if !self.handle.command(Command::Input(input)).await {
                            self.close().await;
                            return None;
                        }
                    }
                    Received::End(end) => return Some(end),
                },
            }
        }
    }

    /// Writes the frame and all that wait behind it, then flushes once.
    async fn write(&mut self, first: Frame) -> Result<(), WriteFailed> {
        let mut next = Some(first);
        while let Some(frame) = next {
            let text = match frame {
                Frame::Element(element) => to_text(&element),
                Frame::Close => framing::CLOSE.to_owned(),
            };
            timeout(WRITE_TIMEOUT, self.sink.feed(Message::text(text))).await??;
            next = self.queue.try_recv().ok();
        }
        timeout(WRITE_TIMEOUT, self.sink.flush()).await??;
        Ok(())
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

fn to_text(element: &Arc<Element>) -> String {
    element.to_string()
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
                Some(Err(error)) if is_too_large(&error) => {
                    self.is_lost = true;
                    return Received::Frame(Err(BadFrame::TooLarge));
                }
                Some(Err(_)) | None => return Received::End(ConnectionEnd::Lost),
            };
            if let Some(throttle) = &mut self.throttle {
                let now = Instant::now();
                self.resume_at = now + throttle.take(text.len(), now.into_std());
            }
            return Received::Frame(Element::parse(text.as_str()).map_err(|error| {
                tracing::debug!(%error, "frame is no element");
                BadFrame::NotWellFormed
            }));
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let error = error.source().and_then(<dyn Error>::downcast_ref);
    matches!(error, Some(tungstenite::Error::Capacity(_)))
}
