//! The thread that owns the media socket: receive, think, send.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use net::{MediaSocket, MediaSocketEvents};
use tokio::sync::mpsc;

use super::command::{Command, MAX_WAITING_COMMANDS, MediaHandle, ToClient};
use crate::channel::WebSocketId;
use crate::videobridge::Videobridge;
use crate::web_sockets::ChannelOutput;

/// Batches taken from the socket before timers and commands get their turn.
const MAX_BATCHES: usize = 16;
/// Commands taken before the socket gets its turn.
const MAX_COMMANDS: usize = 64;
/// Pause after an error of the socket itself, so that a broken one does not turn the thread into a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Starts the thread. It ends when the last [`MediaHandle`] is dropped.
pub(super) fn spawn(socket: MediaSocket, videobridge: Videobridge) -> io::Result<MediaHandle> {
    let (commands, receiver) = sync_channel(MAX_WAITING_COMMANDS);
    let handle = MediaHandle::new(commands, socket.waker());
    let thread = MediaThread { socket, videobridge, commands: receiver, web_sockets: HashMap::new() };
    std::thread::Builder::new().name("media".to_owned()).spawn(move || thread.run())?;
    Ok(handle)
}

struct MediaThread {
    socket: MediaSocket,
    videobridge: Videobridge,
    commands: Receiver<Command>,
    web_sockets: HashMap<WebSocketId, mpsc::Sender<ToClient>>,
}

impl MediaThread {
    fn run(mut self) {
        let mut events = MediaSocketEvents::with_capacity(8);
        loop {
            let wait = self.videobridge.poll_timeout().map(|at| at.saturating_duration_since(Instant::now()));
            if let Err(error) = self.socket.wait(&mut events, wait) {
                tracing::error!(%error, "cannot wait for media");
                std::thread::sleep(ERROR_PAUSE);
            }
            self.receive();
            if self.take_commands() == Commands::AllHandlesGone {
                return;
            }
            let now = Instant::now();
            if self.videobridge.poll_timeout().is_some_and(|at| at <= now) {
                self.videobridge.handle_timeout(now);
                self.flush();
            }
        }
    }

    fn receive(&mut self) {
        for _ in 0..MAX_BATCHES {
            let now = Instant::now();
            let videobridge = &mut self.videobridge;
            match self.socket.receive(|datagram| videobridge.handle_datagram(datagram, now)) {
                Ok(0) => return,
                Ok(_) => self.flush(),
                Err(error) => {
                    tracing::error!(%error, "cannot receive media");
                    std::thread::sleep(ERROR_PAUSE);
                    return;
                }
            }
        }
        // The socket's readiness is edge-triggered: what is left has to wake this thread again.
        self.socket.waker().wake();
    }

    fn take_commands(&mut self) -> Commands {
        for _ in 0..MAX_COMMANDS {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(command),
                Err(TryRecvError::Empty) => {
                    return Commands::Done;
                }
                Err(TryRecvError::Disconnected) => return Commands::AllHandlesGone,
            }
        }
        self.socket.waker().wake();
        Commands::Done
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Colibri { request, reply } => {
                let _ = reply.send(self.videobridge.handle_colibri(*request, now));
            }
            Command::OpenWebSocket { address, to_client, reply } => {
                let opened = self.videobridge.open_web_socket(&address, now);
                if let Ok(id) = opened {
                    self.web_sockets.insert(id, to_client);
                }
                // The client may have given up on its request meanwhile: then nobody will say that the socket closed.
                if let (Err(_), Ok(id)) = (reply.send(opened), opened) {
                    self.close_web_socket(id, now);
                }
            }
            Command::WebSocketText { id, text } => self.videobridge.handle_web_socket_text(id, &text, now),
            Command::WebSocketClosed { id } => self.close_web_socket(id, now),
            Command::Load { reply } => {
                let _ = reply.send(self.videobridge.load());
            }
            Command::AddressNews(news) => self.videobridge.handle_address_news(news, now),
        }
        self.videobridge.handle_timeout(now);
        self.flush();
    }

    /// Sends what the bridge made: datagrams, and texts to WebSockets.
    fn flush(&mut self) {
        while let Some(output) = self.videobridge.poll_channel_output() {
            let (id, to_client) = match output {
                ChannelOutput::Text { id, text } => (id, ToClient::Text(text)),
                ChannelOutput::Close { id, code, reason } => (id, ToClient::Close { code, reason }),
            };
            let is_close = matches!(to_client, ToClient::Close { .. });
            let delivered = self.web_sockets.get(&id).is_none_or(|sender| sender.try_send(to_client).is_ok());
            if !delivered || is_close {
                // A client that does not read its messages loses its channel; it opens a new one and is told all again.
                self.close_web_socket(id, Instant::now());
            }
        }
        // Last: a data channel that takes over from a closed WebSocket has something to send.
        let refused = self.socket.send(self.videobridge.transmits());
        self.videobridge.count_refused_sends(refused);
    }

    fn close_web_socket(&mut self, id: WebSocketId, now: Instant) {
        self.web_sockets.remove(&id);
        self.videobridge.handle_web_socket_closed(id, now);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commands {
    Done,
    AllHandlesGone,
}
