//! Bridge channels over WebSocket: `/colibri-ws/SERVER/CONFERENCE/ENDPOINT?pwd=…` (client.md §8.1, bridge.md §2.6).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use jitsi_protocol::bridge_channel::MAX_MESSAGE_BYTES;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::{Command, MediaHandle, ToClient};
use crate::channel::WebSocketId;
use crate::web_sockets::{ChannelAddress, ChannelRefusal};

/// Read from a socket at once: most frames are shorter. The library keeps the buffer for as long as the socket is open, and
/// clears all of it before each read.
const READ_BUFFER_BYTES: usize = 4096;
/// Messages that may wait for a client that reads slowly; above, its channel is closed and it opens a new one.
const MAX_WAITING_MESSAGES: usize = 256;
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

pub(super) async fn upgrade(
    State(state): State<RouteState>,
    Path((server_id, conference, endpoint)): Path<(String, String, String)>,
    Query(Parameters { pwd }): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if server_id != *state.server_id {
        return StatusCode::NOT_FOUND.into_response();
    }
    let address = ChannelAddress { conference, endpoint, pwd };
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
            pump(socket, from_bridge, &media, id).await;
            close(&media, id);
        })
}

fn close(media: &MediaHandle, id: WebSocketId) {
    if let Err(error) = media.send(Command::WebSocketClosed { id }) {
        tracing::debug!(%error, "a closed bridge channel is not told");
    }
}

async fn pump(socket: WebSocket, mut from_bridge: mpsc::Receiver<ToClient>, media: &MediaHandle, id: WebSocketId) {
    let (mut sink, mut stream) = socket.split();
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let mut idle_at = Instant::now() + IDLE_TIMEOUT;
    loop {
        let sent = tokio::select! {
            message = stream.next() => {
                idle_at = Instant::now() + IDLE_TIMEOUT;
                match message {
                    Some(Ok(Message::Text(text))) => {
                        let text = text.as_str().to_owned();
                        if media.send(Command::WebSocketText { id, text }).is_err() {
                            return;
                        }
                        continue;
                    }
                    // Binary frames have no meaning here (client.md §8.1); pings are answered by the library.
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                }
            }
            () = tokio::time::sleep_until(idle_at) => return,
            message = from_bridge.recv() => match message {
                Some(ToClient::Text(text)) => sink.send(Message::Text(text.into())).await,
                Some(ToClient::Close { code, reason }) => {
                    let frame = CloseFrame { code, reason: reason.into() };
                    let _ = sink.send(Message::Close(Some(frame))).await;
                    return;
                }
                None => return,
            },
            _ = ping.tick() => sink.send(Message::Ping(Vec::new().into())).await,
        };
        if sent.is_err() {
            return;
        }
    }
}
