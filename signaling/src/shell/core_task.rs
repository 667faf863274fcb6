//! The task that owns the core: feeds it inputs and the time, hands frames to the connections' queues.

use std::collections::HashMap;
use std::time::Instant;

use ldap::Directory;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use xmpp::Jid;

use super::backends::LoginTasks;
use super::calls::CallTasks;
use super::frame_queue::{FrameSender, Refused};
use crate::{ApiError, ApiRequest, ConnectionEnd, ConnectionId, Input, Limits, Origin, Output, Server};

/// What connections and the handle ask of the core.
#[derive(Debug)]
pub(super) enum Command {
    /// A connection is open; frames for it go here until the sender is dropped.
    Connect { connection: ConnectionId, origin: Origin, frames: FrameSender },
    /// A service within the process; frames for it go here until the sender is dropped.
    Attach { connection: ConnectionId, jid: Jid, frames: FrameSender },
    /// Something came on a connection, or it ended.
    Input(Input),
    /// Another system asks something over HTTP.
    Request { request: ApiRequest, reply: oneshot::Sender<Result<Value, ApiError>> },
    /// Logins are to be asked of this directory.
    Directory(Directory),
    /// Whether the core still runs: it answers.
    Health(oneshot::Sender<()>),
    /// Close everything and end.
    Stop(oneshot::Sender<()>),
}

/// What the core's outputs go to.
#[derive(Debug)]
struct Outlets {
    /// Queues of frames by connection.
    queues: HashMap<ConnectionId, FrameSender>,
    logins: LoginTasks,
    /// Who calls other servers, where any are called.
    calls: Option<CallTasks>,
}

/// Runs the core until it is told to stop or nobody is left to tell.
pub(super) async fn run(
    mut server: Server,
    limits: Limits,
    mut inbox: mpsc::Receiver<Command>,
    logins: LoginTasks,
    calls: Option<CallTasks>,
) {
    tracing::debug!(sessions = limits.sessions, rooms = limits.rooms, "signaling core runs");
    let mut outlets = Outlets { queues: HashMap::new(), logins, calls };
    loop {
        let timeout = outlets.drain(&mut server);
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Connect { connection, origin, frames }) => {
                    outlets.queues.insert(connection, frames);
                    server.handle_input(super::now(), Input::Connected { connection, origin });
                }
                Some(Command::Attach { connection, jid, frames }) => {
                    outlets.queues.insert(connection, frames);
                    server.handle_input(super::now(), Input::ServiceAttached { connection, jid });
                }
                Some(Command::Input(input)) => {
                    if let Input::Disconnected { connection, .. } = &input {
                        outlets.queues.remove(connection);
                    }
                    server.handle_input(super::now(), input);
                }
                Some(Command::Request { request, reply }) => {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(server.handle_request(super::now(), request));
                }
                Some(Command::Directory(directory)) => outlets.logins.replace_directory(directory),
                Some(Command::Health(answer)) => {
                    // Who asked may have stopped waiting.
                    let _ = answer.send(());
                }
                Some(Command::Stop(done)) => {
                    // First of all: who loses its queue next can see that it is for good.
                    inbox.close();
                    server.handle_input(super::now(), Input::Shutdown);
                    outlets.drain(&mut server);
                    if let Some(calls) = outlets.calls.take() {
                        // Connections write meanwhile what they were told.
                        calls.finish().await;
                    }
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

impl Outlets {
    /// Carries out what the core wants and answers when it wants to be woken.
    fn drain(&mut self, server: &mut Server) -> Option<Instant> {
        loop {
            match server.poll_output() {
                Output::Send { connection, frame } => {
                    match self.queues.get(&connection).map(|queue| queue.try_send(frame)) {
                        None | Some(Ok(())) => {}
                        // The connection says itself how it ended, behind all that it read: a farewell may be among that.
                        Some(Err(Refused::Closed)) => drop(self.queues.remove(&connection)),
                        Some(Err(Refused::Full)) => {
                            self.queues.remove(&connection);
                            let end = ConnectionEnd::QueueFull;
                            server.handle_input(super::now(), Input::Disconnected { connection, end });
                        }
                    }
                }
                Output::CheckPassword { connection, check } => self.logins.check_password(connection, check),
                Output::LookUpAccount { connection, jid } => self.logins.look_up(connection, jid),
                Output::Call(call) => {
                    if let Some(calls) = &self.calls {
                        calls.start(call);
                    }
                }
                // The connection writes what is queued, then closes.
                Output::Close { connection } => drop(self.queues.remove(&connection)),
                Output::Timeout(timeout) => return timeout,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use xmpp::sm::StreamManagement;
    use xmpp::{Element, bind, framing, ns};

    use super::super::backends::Backends;
    use super::super::frame_queue::{QueueLimits, frame_queue};
    use super::*;
    use crate::{Carrier, Frame, Metrics, Settings};

    const CONNECTION: ConnectionId = ConnectionId(1);

    fn frame(element: Element) -> Command {
        Command::Input(Input::Frame { connection: CONNECTION, frame: Ok(element) })
    }

    /// Its connection has read all that the client said and is gone before the core comes to it; and something is to be sent to
    /// the client meanwhile.
    #[tokio::test]
    async fn a_farewell_counts_although_nobody_takes_frames_any_more() {
        let (settings, metrics) = (Settings::for_domain("meet.jitsi").unwrap(), Metrics::new());
        let limits = settings.limits.clone();
        let server = Server::new(settings, [1; 32], metrics.clone());
        let (commands, inbox) = mpsc::channel(16);
        let logins = LoginTasks::new(Backends::default(), commands.downgrade());
        let core = tokio::spawn(run(server, limits, inbox, logins, None));
        let (frames, mut queue) = frame_queue(QueueLimits { frames: 100, bytes: 100_000 });
        let origin = Origin { carrier: Carrier::WebSocket, ..Origin::default() };
        commands.send(Command::Connect { connection: CONNECTION, origin, frames }).await.unwrap();
        let open = framing::client_open("meet.jitsi");
        let login = Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS");
        let enable = StreamManagement::Enable { resume: true }.to_element();
        for element in [open.clone(), login, open, bind::request("b", None), enable] {
            commands.send(frame(element)).await.unwrap();
        }
        loop {
            let Some(Frame::Element(element)) = queue.recv().await else { continue };
            if matches!(StreamManagement::parse(&element), Some(StreamManagement::Enabled { .. })) {
                break;
            }
        }

        // The core's task does not run before this one waits.
        commands.try_send(frame(StreamManagement::Request.to_element())).unwrap();
        commands.try_send(frame(framing::CLOSE.parse().unwrap())).unwrap();
        let lost = Input::Disconnected { connection: CONNECTION, end: ConnectionEnd::Lost };
        commands.try_send(Command::Input(lost)).unwrap();
        drop((queue, commands));
        core.await.unwrap();
        assert_eq!((metrics.sessions.get(), metrics.hibernating_sessions.get()), (0, 0));
        assert_eq!(metrics.sessions_ended.with_label_values(&["closed"]).get(), 1);
    }
}
