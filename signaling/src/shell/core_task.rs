//! The task that owns the core: feeds it inputs and the time, hands frames to the connections' queues.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use xmpp::Jid;

use crate::{ApiError, ApiRequest, ConnectionEnd, ConnectionId, Frame, Input, Limits, Origin, Output, Server};

/// What connections and the handle ask of the core.
#[derive(Debug)]
pub(super) enum Command {
    /// A WebSocket is open; frames for it go here until the sender is dropped.
    Connect { connection: ConnectionId, origin: Origin, frames: mpsc::Sender<Frame> },
    /// A service within the process; frames for it go here until the sender is dropped.
    Attach { connection: ConnectionId, jid: Jid, frames: mpsc::Sender<Frame> },
    /// Something came on a connection, or it ended.
    Input(Input),
    /// Another system asks something over HTTP.
    Request { request: ApiRequest, reply: oneshot::Sender<Result<Value, ApiError>> },
    /// Close everything and end.
    Stop(oneshot::Sender<()>),
}

/// Queues of frames by connection.
#[derive(Debug, Default)]
struct Queues(HashMap<ConnectionId, mpsc::Sender<Frame>>);

/// Runs the core until it is told to stop or nobody is left to tell.
pub(super) async fn run(mut server: Server, limits: Limits, mut inbox: mpsc::Receiver<Command>) {
    tracing::debug!(sessions = limits.sessions, rooms = limits.rooms, "signaling core runs");
    let mut queues = Queues::default();
    loop {
        let timeout = queues.drain(&mut server);
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Connect { connection, origin, frames }) => {
                    queues.0.insert(connection, frames);
                    server.handle_input(super::now(), Input::Connected { connection, origin });
                }
                Some(Command::Attach { connection, jid, frames }) => {
                    queues.0.insert(connection, frames);
                    server.handle_input(super::now(), Input::ServiceAttached { connection, jid });
                }
                Some(Command::Input(input)) => {
                    if let Input::Disconnected { connection, .. } = &input {
                        queues.0.remove(connection);
                    }
                    server.handle_input(super::now(), input);
                }
                Some(Command::Request { request, reply }) => {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(server.handle_request(super::now(), request));
                }
                Some(Command::Stop(done)) => {
                    // First of all: who loses its queue next can see that it is for good.
                    inbox.close();
                    server.handle_input(super::now(), Input::Shutdown);
                    queues.drain(&mut server);
                    // The caller may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
                None => return,
            },
            () = sleep_until(timeout) => server.handle_input(super::now(), Input::Timeout),
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

impl Queues {
    /// Carries out what the core wants and answers when it wants to be woken.
    fn drain(&mut self, server: &mut Server) -> Option<Instant> {
        loop {
            match server.poll_output() {
                Output::Send { connection, frame } => {
                    let Some(queue) = self.0.get(&connection) else { continue };
                    let end = match queue.try_send(frame) {
                        Ok(()) => continue,
                        Err(TrySendError::Full(_)) => ConnectionEnd::QueueFull,
                        Err(TrySendError::Closed(_)) => ConnectionEnd::Lost,
                    };
                    self.0.remove(&connection);
                    server.handle_input(super::now(), Input::Disconnected { connection, end });
                }
                // The connection writes what is queued, then closes.
                Output::Close { connection } => drop(self.0.remove(&connection)),
                Output::Timeout(timeout) => return timeout,
            }
        }
    }
}
