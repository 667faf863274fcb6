//! The WebSockets of a participant: signaling and the bridge channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use super::Client;
use crate::load::engine::connect::{Socket, failure_of, open_web_socket};
use crate::load::measure::FailureCause;
use crate::load::participant::{Failure, Frame};

/// How long a frame may take to get into a WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

impl Client<'_> {
    pub(super) fn handle_message(&mut self, message: Option<tungstenite::Result<Message>>) -> Result<(), Failure> {
        let place = &self.berth.shared.target.websocket;
        match message {
            Some(Ok(Message::Text(text))) => self.signaling.handle_text(Instant::now(), text.as_str()),
            Some(Ok(Message::Binary(bytes))) => self.signaling.handle_binary(Instant::now(), &bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => {
                Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: the server closed the connection")))
            }
            Some(Err(error)) => {
                let Failure { detail, .. } = failure_of(&error, place);
                Err(Failure::new(FailureCause::ConnectionLost, detail))
            }
        }
    }

    /// The bridge channel. One that breaks is opened again by the next flush, as stock clients do.
    pub(super) fn handle_channel(&mut self, message: Option<tungstenite::Result<Message>>) {
        match message {
            Some(Ok(Message::Text(text))) => {
                if let [Some(media), _] = &mut self.media {
                    let now = Instant::now();
                    self.berth.with(|state| media.session.handle_text(now, text.as_str(), &mut state.measurements));
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Binary(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.channel = None,
        }
    }

    pub(super) async fn flush_signaling(&mut self) -> Result<(), Failure> {
        let mut has_fed = false;
        while let Some(frame) = self.signaling.poll_frame() {
            has_fed = true;
            let message = match frame {
                Frame::Text(text) => Message::text(text),
                Frame::Binary(bytes) => Message::binary(bytes),
            };
            write(&mut self.socket, message, Flush::Later, &self.berth.shared.target.websocket).await?;
        }
        if has_fed {
            let flushed = timeout(WRITE_TIMEOUT, self.socket.flush()).await;
            written(flushed, &self.berth.shared.target.websocket)?;
        }
        Ok(())
    }

    pub(super) async fn flush_channel(&mut self) -> Result<(), Failure> {
        let [Some(media), _] = &mut self.media else { return Ok(()) };
        let Some(url) = media.session.web_socket().map(str::to_owned) else { return Ok(()) };
        if self.channel.is_none() && media.dtls.is_some() {
            let opened = open_web_socket(&url, None, Arc::clone(&self.berth.shared.tls)).await;
            self.channel = Some(
                opened.map_err(|failure| Failure::new(failure.cause, format!("bridge channel: {}", failure.detail)))?,
            );
            media.session.handle_web_socket_open();
        }
        let Some(channel) = &mut self.channel else { return Ok(()) };
        while let Some(text) = media.session.poll_text() {
            if write(channel, Message::text(text), Flush::Now, "bridge channel").await.is_err() {
                self.channel = None;
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn say_farewell(&mut self) -> Result<(), Failure> {
        self.flush_signaling().await?;
        // A socket with unread data resets the connection when it is dropped, and the server may lose the farewell by that.
        drop(self.socket.close(None).await);
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Now,
    Later,
}

async fn write(socket: &mut Socket, message: Message, flush: Flush, place: &str) -> Result<(), Failure> {
    let writing = async {
        match flush {
            Flush::Now => socket.send(message).await,
            Flush::Later => socket.feed(message).await,
        }
    };
    written(timeout(WRITE_TIMEOUT, writing).await, place)
}

fn written(outcome: Result<tungstenite::Result<()>, tokio::time::error::Elapsed>, place: &str) -> Result<(), Failure> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: {error}"))),
        Err(_) => {
            Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: takes no data for {WRITE_TIMEOUT:?}")))
        }
    }
}
