//! What tasks ask of the control thread.

use std::thread::Thread;

use crossbeam_channel::TrySendError;
use jitsi_protocol::colibri2::{ColibriError, ConferenceModified, ConferenceModify};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use xmpp::Condition;

use super::queue::QueueSender;
use crate::addresses::AddressNews;
use crate::admin::{AdminError, AdminRequest};
use crate::capture::Records;
use crate::capture::control::{CaptureId, CaptureRefusal, CaptureRequest};
use crate::channel::WebSocketId;
use crate::export::{ExporterEvent, ExporterId};
use crate::load::Load;
use crate::web_sockets::{ChannelAddress, ChannelRefusal};

/// Commands that may wait: far above what a burst of joins makes; a full queue means that the thread hangs.
pub(super) const MAX_WAITING_COMMANDS: usize = 8192;

/// A command to the control thread. An answer that nobody waits for any more is dropped.
#[derive(Debug)]
pub(super) enum Command {
    Colibri {
        request: Box<ConferenceModify>,
        reply: oneshot::Sender<Result<ConferenceModified, ColibriError>>,
    },
    OpenWebSocket {
        address: ChannelAddress,
        to_client: mpsc::Sender<ToClient>,
        reply: oneshot::Sender<Result<WebSocketId, ChannelRefusal>>,
    },
    /// One that this bridge opens to another one.
    WebSocketOpened {
        id: WebSocketId,
    },
    WebSocketText {
        id: WebSocketId,
        text: String,
    },
    WebSocketClosed {
        id: WebSocketId,
    },
    /// The other end of an exporter says something.
    ExporterEvent {
        id: ExporterId,
        event: ExporterEvent,
    },
    Load {
        reply: oneshot::Sender<Load>,
    },
    Admin {
        request: AdminRequest,
        reply: oneshot::Sender<Result<Value, AdminError>>,
    },
    AddressNews(AddressNews),
    StartCapture {
        id: CaptureId,
        request: Box<CaptureRequest>,
        reply: oneshot::Sender<Result<Records, CaptureRefusal>>,
    },
    /// To be sent for every capture that was asked for.
    EndCapture {
        id: CaptureId,
    },
}

/// What goes to a client over its WebSocket.
#[derive(Debug)]
pub(super) enum ToClient {
    Text(String),
    Close { code: u16, reason: &'static str },
}

/// The way to the control thread. It ends when the last handle is gone.
#[derive(Clone, Debug)]
pub(super) struct MediaHandle {
    // Goes first: the thread that is woken finds the sender gone.
    commands: QueueSender<Command>,
    thread: UnparksWhenDropped,
}

#[derive(Clone, Debug)]
struct UnparksWhenDropped(Thread);

impl Drop for UnparksWhenDropped {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

/// The control thread is gone or does not keep up.
#[derive(Debug, thiserror::Error)]
#[error("the control thread does not answer")]
pub(super) struct MediaThreadUnavailable;

impl MediaHandle {
    pub(super) const fn new(commands: QueueSender<Command>, thread: Thread) -> Self {
        Self { commands, thread: UnparksWhenDropped(thread) }
    }

    pub(super) fn send(&self, command: Command) -> Result<(), MediaThreadUnavailable> {
        match self.commands.try_send(command) {
            Ok(()) => {
                self.thread.0.unpark();
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(MediaThreadUnavailable),
        }
    }

    /// Sends a command that is made with the sender of its answer, now: commands are handled in the order of calls.
    /// Answers how to wait for the answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> impl Future<Output = Result<T, MediaThreadUnavailable>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(command(reply));
        async move {
            sent?;
            answer.await.map_err(|_| MediaThreadUnavailable)
        }
    }

    /// As [`ask`](Self::ask), for a Colibri2 request.
    pub(super) fn colibri(
        &self,
        request: ConferenceModify,
    ) -> impl Future<Output = Result<ConferenceModified, ColibriError>> + Send + 'static {
        let answer = self.ask(|reply| Command::Colibri { request: Box::new(request), reply });
        async move {
            let unavailable = |error: MediaThreadUnavailable| {
                Err(ColibriError::new(Condition::InternalServerError, None, error.to_string()))
            };
            answer.await.unwrap_or_else(unavailable)
        }
    }
}
