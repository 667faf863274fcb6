//! Bridge channels over WebSocket: `/colibri-ws/SERVER/CONFERENCE/ENDPOINT?pwd=…` of clients (client.md §8.1, bridge.md §2.6), and
//! `/colibri-relay-ws/SERVER/CONFERENCE/RELAY?pwd=…` of other bridges.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{Sink, SinkExt, Stream, StreamExt, future};
use jitsi_protocol::bridge_channel::MAX_MESSAGE_BYTES;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::{Command, MediaHandle, ToClient};
use crate::channel::WebSocketId;
use crate::web_sockets::{ChannelAddress, ChannelMember, ChannelRefusal};

/// Read from a socket at once: most frames are shorter. The library keeps the buffer for as long as the socket is open, and
/// clears all of it before each read.
const READ_BUFFER_BYTES: usize = 4096;
/// Messages that may wait for a client that reads slowly; above, its channel is closed and it opens a new one.
pub(super) const MAX_WAITING_MESSAGES: usize = 256;
/// The bridge pings this often, and gives up on a client that sent nothing at all for the idle timeout.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct RouteState {
    pub(super) media: MediaHandle,
    pub(super) server_id: Arc<str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    pwd: String,
}

/// A client comes.
pub(super) async fn upgrade(
    State(state): State<RouteState>,
    Path((server_id, conference, endpoint)): Path<(String, String, String)>,
    Query(Parameters { pwd }): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let address = ChannelAddress { conference, member: ChannelMember::Endpoint(endpoint), pwd };
    admit(state, &server_id, address, upgrade).await
}

/// Another bridge comes, which was told the URL as the active side of a relay.
pub(super) async fn upgrade_relay(
    State(state): State<RouteState>,
    Path((server_id, conference, relay)): Path<(String, String, String)>,
    Query(Parameters { pwd }): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let address = ChannelAddress { conference, member: ChannelMember::Relay(relay), pwd };
    admit(state, &server_id, address, upgrade).await
}

async fn admit(state: RouteState, server_id: &str, address: ChannelAddress, upgrade: WebSocketUpgrade) -> Response {
    if server_id != &*state.server_id {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (to_client, from_bridge) = mpsc::channel(MAX_WAITING_MESSAGES);
    let opened = state.media.ask(|reply| Command::OpenWebSocket { address, to_client, reply }).await;
    let id = match opened {
        Ok(Ok(id)) => id,
        Ok(Err(ChannelRefusal::Forbidden)) => return StatusCode::FORBIDDEN.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let media = state.media.clone();
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_failed_upgrade({
            let media = media.clone();
            move |error| {
                tracing::debug!(%error, "a bridge channel did not open");
                close(&media, id);
            }
        })
        .on_upgrade(move |socket| async move {
            pump_client(socket, from_bridge, &media, id).await;
            close(&media, id);
        })
}

pub(super) fn close(media: &MediaHandle, id: WebSocketId) {
    if let Err(error) = media.send(Command::WebSocketClosed { id }) {
        tracing::debug!(%error, "a closed bridge channel is not told");
    }
}

/// A client's socket, in the words of [`pump`].
async fn pump_client(socket: WebSocket, from_bridge: mpsc::Receiver<ToClient>, media: &MediaHandle, id: WebSocketId) {
    let (sink, stream) = socket.split();
    let stream = stream.map(|message| match message {
        Ok(Message::Text(text)) => Incoming::Text(text.as_str().to_owned()),
        // Binary frames have no meaning here (client.md §8.1); pings are answered by the library.
        Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => Incoming::Other,
        Ok(Message::Close(_)) | Err(_) => Incoming::End,
    });
    let sink = sink.with(|outgoing| {
        future::ready(Ok::<_, axum::Error>(match outgoing {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Ping => Message::Ping(Vec::new().into()),
            Outgoing::Close { code, reason } => Message::Close(Some(CloseFrame { code, reason: reason.into() })),
        }))
    });
    pump(stream, sink, from_bridge, media, id).await;
}

/// What comes in over a WebSocket, whichever library has it.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(String),
    /// A sign of life.
    Other,
    End,
}

/// What goes out over it.
#[derive(Debug)]
pub(super) enum Outgoing {
    Text(String),
    Ping,
    Close { code: u16, reason: &'static str },
}

/// Carries texts both ways until the socket ends or the bridge closes it.
pub(super) async fn pump(
    mut stream: impl Stream<Item = Incoming> + Unpin,
    mut sink: impl Sink<Outgoing> + Unpin,
    mut from_bridge: mpsc::Receiver<ToClient>,
    media: &MediaHandle,
    id: WebSocketId,
) {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let mut idle_at = Instant::now() + IDLE_TIMEOUT;
    loop {
        let outgoing = tokio::select! {
            incoming = stream.next() => {
                idle_at = Instant::now() + IDLE_TIMEOUT;
                match incoming {
                    Some(Incoming::Text(text)) => {
                        if media.send(Command::WebSocketText { id, text }).is_err() {
                            return;
                        }
                        continue;
                    }
                    Some(Incoming::Other) => continue,
                    Some(Incoming::End) | None => return,
                }
            }
            () = tokio::time::sleep_until(idle_at) => return,
            message = from_bridge.recv() => match message {
                Some(ToClient::Text(text)) => Outgoing::Text(text),
                Some(ToClient::Close { code, reason }) => {
                    let _ = sink.send(Outgoing::Close { code, reason }).await;
                    return;
                }
                None => return,
            },
            _ = ping.tick() => Outgoing::Ping,
        };
        if sink.send(outgoing).await.is_err() {
            return;
        }
    }
}
