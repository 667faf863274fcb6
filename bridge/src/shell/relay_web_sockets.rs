//! WebSockets that this bridge opens to others: the active side of `/colibri-relay-ws/` (bridge.md §2.6).

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, future};
use jitsi_protocol::bridge_channel::MAX_MESSAGE_BYTES;
use net::ServerTrust;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use super::command::{Command, MediaHandle, ToClient};
use super::web_socket::{Incoming, Outgoing, close, pump};
use crate::channel::WebSocketId;

/// From the first packet to the open socket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Sockets that may wait to be opened; a bridge has some for each conference, and those that do not fit are tried again.
pub(super) const MAX_WAITING_DIALS: usize = 1024;

/// A socket to open.
#[derive(Debug)]
pub(super) struct DialRequest {
    pub(super) id: WebSocketId,
    /// With its secret.
    pub(super) url: String,
    pub(super) from_bridge: mpsc::Receiver<ToClient>,
}

/// Opens what is asked for, each in a task of its own, until the bridge is gone.
pub(super) async fn run(mut requests: mpsc::Receiver<DialRequest>, media: MediaHandle, trust: ServerTrust) {
    let mut connector = None;
    let mut sockets = JoinSet::new();
    while let Some(DialRequest { id, url, from_bridge }) = requests.recv().await {
        while sockets.try_join_next().is_some() {}
        // The host's certificates are read when they are needed first.
        let connector = match connector.clone() {
            Some(connector) => connector,
            None => match net::client_config(trust) {
                Ok(config) => connector.insert(Arc::new(config)).clone(),
                Err(error) => {
                    tracing::error!(%error, "cannot set up TLS to other bridges");
                    close(&media, id);
                    continue;
                }
            },
        };
        let media = media.clone();
        sockets.spawn(async move {
            if let Err(error) = serve(id, &url, from_bridge, &media, Connector::Rustls(connector)).await {
                let host = url.split('/').nth(2).unwrap_or_default();
                tracing::warn!(%error, host, "cannot open a WebSocket to another bridge");
            }
            close(&media, id);
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("no answer within {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    WebSocket(#[from] tungstenite::Error),
}

async fn serve(
    id: WebSocketId,
    url: &str,
    mut from_bridge: mpsc::Receiver<ToClient>,
    media: &MediaHandle,
    connector: Connector,
) -> Result<(), DialError> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connecting = connect_async_tls_with_config(url, Some(config), true, Some(connector));
    let (socket, _) = tokio::select! {
        connected = timeout(CONNECT_TIMEOUT, connecting) => connected.map_err(|_| DialError::Timeout)??,
        // Nothing else is sent before it is open: the relay is gone.
        _ = from_bridge.recv() => return Ok(()),
    };
    if media.send(Command::WebSocketOpened { id }).is_err() {
        return Ok(());
    }
    let (sink, stream) = socket.split();
    let stream = stream.map(|message| match message {
        Ok(Message::Text(text)) => Incoming::Text(text.as_str().to_owned()),
        Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Other,
        Ok(Message::Close(_)) | Err(_) => Incoming::End,
    });
    let sink = sink.with(|outgoing| {
        future::ready(Ok::<_, tungstenite::Error>(match outgoing {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Ping => Message::Ping(Vec::new().into()),
            Outgoing::Close { code, reason } => {
                Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
            }
        }))
    });
    pump(stream, sink, from_bridge, media, id).await;
    Ok(())
}
