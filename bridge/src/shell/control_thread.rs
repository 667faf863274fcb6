//! The thread that decides: Colibri2, ICE, DTLS, bridge channels. It never touches media, and what it does for one endpoint
//! takes up nobody's media.

use std::collections::HashMap;
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, TryRecvError};
use model::TransportProtocol;
use net::Steering;
use tokio::sync::{mpsc, watch};

use super::command::{Command, MAX_WAITING_COMMANDS, MediaHandle, ToClient};
use super::exporters::StartRequest;
use super::queue::queue;
use super::relay_web_sockets::DialRequest;
use super::shard_thread::{ControlInbox, ShardGone, ShardHandle};
use super::web_socket::MAX_WAITING_MESSAGES;
use crate::addresses::MediaAddress;
use crate::capture::control::CaptureEnd;
use crate::channel::WebSocketId;
use crate::export::{ExporterId, ExporterOutput, ExporterSources};
use crate::shard::message::ShardCommand;
use crate::shutdown::Readiness;
use crate::videobridge::Videobridge;
use crate::web_sockets::ChannelOutput;

/// Inputs of one kind taken before the other kind gets its turn.
const MAX_INPUTS: usize = 64;
/// The kernel is told at most this often where peers have their homes; until then their packets take a hop.
const STEERING_INTERVAL: Duration = Duration::from_millis(50);
/// Timers are looked at no more often: those of a thousand endpoints would each wake this thread and a media thread.
const TIMER_INTERVAL: Duration = Duration::from_millis(5);
/// Longest sleep; a wake-up that got lost costs this much.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Who opens WebSockets of this bridge to others.
pub(super) struct Outward {
    /// To other bridges.
    pub(super) dials: mpsc::Sender<DialRequest>,
    /// To recorders, transcribers and translators.
    pub(super) exporters: mpsc::Sender<StartRequest>,
}

/// Starts the thread. It ends when the last [`MediaHandle`] is dropped, and the shards with it.
pub(super) fn spawn(
    videobridge: Videobridge,
    shards: Vec<ShardHandle>,
    steering: Option<Steering>,
    inbox: ControlInbox,
    addresses: watch::Sender<Vec<MediaAddress>>,
    readiness: watch::Sender<Readiness>,
    outward: Outward,
) -> io::Result<MediaHandle> {
    let (commands, receiver) = queue(MAX_WAITING_COMMANDS);
    let thread = ControlThread {
        videobridge,
        shards,
        steering,
        next_steering: None,
        timers_from: Instant::now(),
        inbox,
        addresses,
        readiness,
        outward,
        commands: receiver,
        web_sockets: HashMap::new(),
        exporters: HashMap::new(),
    };
    let thread = thread::Builder::new().name("control".to_owned()).spawn(move || thread.run())?;
    Ok(MediaHandle::new(commands, thread.thread().clone()))
}

struct ControlThread {
    videobridge: Videobridge,
    shards: Vec<ShardHandle>,
    steering: Option<Steering>,
    /// When the kernel may be told the next time where peers have their homes.
    next_steering: Option<Instant>,
    /// When timers are looked at again.
    timers_from: Instant,
    inbox: ControlInbox,
    /// Who wants to know where media is reached.
    addresses: watch::Sender<Vec<MediaAddress>>,
    /// Who wants to know whether the bridge drains or ends.
    readiness: watch::Sender<Readiness>,
    outward: Outward,
    commands: Receiver<Command>,
    web_sockets: HashMap<WebSocketId, mpsc::Sender<ToClient>>,
    exporters: HashMap<ExporterId, watch::Sender<ExporterSources>>,
}

impl ControlThread {
    fn run(mut self) {
        self.inbox.register_current_thread();
        loop {
            let now = Instant::now();
            let events = self.take_events(now);
            let commands = self.take_commands(now);
            if commands == Taken::SendersGone {
                return;
            }
            if self.next_timeout().is_some_and(|at| at <= now) {
                self.videobridge.handle_timeout(now);
                self.timers_from = now + TIMER_INTERVAL;
            }
            if let Some(addresses) = self.videobridge.take_changed_addresses() {
                self.addresses.send_replace(addresses);
            }
            let readiness = self.videobridge.readiness();
            self.readiness.send_if_modified(|told| std::mem::replace(told, readiness) != readiness);
            if self.flush(now).is_err() {
                return tracing::error!("a media thread is gone: the bridge takes no more requests");
            }
            let steering = self.steer(now);
            if events == Taken::All && commands == Taken::All {
                let next = [self.next_timeout(), steering].into_iter().flatten().min();
                let wait = next.map(|at| at.saturating_duration_since(now));
                // Whoever sends something unparks this thread, before or after it parks.
                thread::park_timeout(wait.unwrap_or(MAX_SLEEP).min(MAX_SLEEP));
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.videobridge.poll_timeout().map(|at| at.max(self.timers_from))
    }

    fn take_events(&mut self, now: Instant) -> Taken {
        for _ in 0..MAX_INPUTS {
            match self.inbox.try_recv() {
                Some(event) => self.videobridge.handle_event(event, now),
                None => return Taken::All,
            }
        }
        Taken::Some
    }

    fn take_commands(&mut self, now: Instant) -> Taken {
        for _ in 0..MAX_INPUTS {
            match self.commands.try_recv() {
                Ok(command) => self.handle_command(command, now),
                Err(TryRecvError::Empty) => return Taken::All,
                Err(TryRecvError::Disconnected) => return Taken::SendersGone,
            }
        }
        Taken::Some
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
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
            Command::WebSocketOpened { id } => self.videobridge.handle_web_socket_opened(id, now),
            Command::WebSocketText { id, text } => self.videobridge.handle_web_socket_text(id, &text, now),
            Command::WebSocketClosed { id } => self.close_web_socket(id, now),
            Command::AddressNews(news) => self.videobridge.handle_address_news(news, now),
            Command::ExporterEvent { id, event } => self.videobridge.handle_exporter_event(id, event, now),
            Command::Load { reply } => {
                let _ = reply.send(self.videobridge.measure(now));
            }
            Command::Admin { request, reply } => {
                let _ = reply.send(self.videobridge.handle_admin(&request, now, SystemTime::now()));
            }
            Command::StartCapture { id, request, reply } => {
                let _ = reply.send(self.videobridge.start_capture(id, &request, now));
            }
            Command::EndCapture { id } => self.videobridge.end_capture(id, CaptureEnd::Reader),
        }
    }

    /// Hands out what the bridge decided: texts to WebSockets, commands to shards.
    fn flush(&mut self, now: Instant) -> Result<(), ShardGone> {
        while let Some(output) = self.videobridge.poll_channel_output() {
            let (id, to_client) = match output {
                ChannelOutput::Text { id, text } => (id, ToClient::Text(text)),
                ChannelOutput::Close { id, code, reason } => (id, ToClient::Close { code, reason }),
                ChannelOutput::Dial { id, url } => {
                    self.dial(id, url, now);
                    continue;
                }
            };
            let is_close = matches!(to_client, ToClient::Close { .. });
            let delivered = self.web_sockets.get(&id).is_none_or(|sender| sender.try_send(to_client).is_ok());
            if !delivered || is_close {
                // A client that does not read its messages loses its channel; it opens a new one and is told all again.
                self.close_web_socket(id, now);
            }
        }
        while let Some(output) = self.videobridge.poll_exporter_output() {
            self.handle_exporter_output(output);
        }
        while let Some((to, command)) = self.videobridge.poll_command() {
            if let (ShardCommand::Path { path: Some(path), .. }, Some(steering)) = (&command, &mut self.steering)
                && path.protocol == TransportProtocol::Udp
                && self.videobridge.unique_ports.of(*path).is_none()
            {
                steering.steer(path.remote, usize::from(to.0));
            }
            if let Some(shard) = self.shards.get_mut(usize::from(to.0)) {
                shard.send_command(command)?;
            }
        }
        self.shards.iter_mut().for_each(ShardHandle::wake);
        Ok(())
    }

    /// Tells the kernel where new peers have their homes. Answers when there is more to tell.
    fn steer(&mut self, now: Instant) -> Option<Instant> {
        let steering = self.steering.as_mut().filter(|steering| steering.is_changed())?;
        if let Some(next) = self.next_steering.filter(|next| *next > now) {
            return Some(next);
        }
        self.next_steering = Some(now + STEERING_INTERVAL);
        if let Err(error) = steering.apply() {
            tracing::debug!(%error, "the kernel does not bring peers to their homes");
        }
        None
    }

    /// Has a WebSocket to another bridge opened; the task of it tells what becomes of that.
    fn dial(&mut self, id: WebSocketId, url: String, now: Instant) {
        let (to_peer, from_bridge) = mpsc::channel(MAX_WAITING_MESSAGES);
        self.web_sockets.insert(id, to_peer);
        if self.outward.dials.try_send(DialRequest { id, url, from_bridge }).is_err() {
            self.close_web_socket(id, now);
        }
    }

    fn handle_exporter_output(&mut self, output: ExporterOutput) {
        match output {
            ExporterOutput::Start(exporter) => {
                let id = exporter.id;
                let (told, sources) = watch::channel(exporter.sources());
                if self.outward.exporters.try_send(StartRequest { exporter, sources }).is_ok() {
                    self.exporters.insert(id, told);
                } else {
                    tracing::error!("too many exporters begin at once: one does not");
                }
            }
            ExporterOutput::Sources { id, sources } => {
                if let Some(told) = self.exporters.get(&id) {
                    told.send_replace(sources);
                }
            }
            ExporterOutput::Stop { id } => drop(self.exporters.remove(&id)),
        }
    }

    fn close_web_socket(&mut self, id: WebSocketId, now: Instant) {
        self.web_sockets.remove(&id);
        self.videobridge.handle_web_socket_closed(id, now);
    }
}

/// How much of what was waiting was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    Some,
    SendersGone,
}
