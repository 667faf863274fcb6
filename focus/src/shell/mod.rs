//! The focus at work: the task that owns it, its stream, the clock, and HTTP.
#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod admin;
mod http;
mod nodes;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use net::{Link, LinkEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xmpp::{Element, InvalidJid, StanzaError};

use serde_json::Value;

use crate::{AdminError, AdminRequest, Focus, Health, HttpRequestId, Input, Metrics, Output, Settings};

/// How often figures are brought up to date that take a look at everything.
const METRICS_INTERVAL: Duration = Duration::from_secs(10);
/// What came from visitor nodes and may wait for the focus to take it; nodes wait then.
const NODE_INPUT_CAPACITY: usize = 1024;
/// HTTP requests that may wait for the focus to take them.
const COMMAND_CAPACITY: usize = 1024;

type ConferenceAnswer = Result<ConferenceResponse, StanzaError>;

enum Command {
    Conference { request: ConferenceRequest, answer: oneshot::Sender<ConferenceAnswer> },
    Health { answer: oneshot::Sender<Health> },
    Admin { request: AdminRequest, answer: oneshot::Sender<Result<Value, AdminError>> },
}

/// A running focus. It ends when its stream is gone for good, or with [`FocusHandle::stop`].
#[derive(Debug)]
pub struct FocusHandle {
    commands: mpsc::Sender<Command>,
    metrics: Metrics,
    task: JoinHandle<()>,
}

impl Focus {
    /// Starts a focus on its stream. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`InvalidJid`] when the nick of `settings` cannot be one.
    pub fn start(settings: Settings, link: Link) -> Result<FocusHandle, InvalidJid> {
        Self::start_with_nodes(settings, link, Vec::new())
    }

    /// The same with the streams to visitor nodes that are other servers, by name.
    ///
    /// # Errors
    /// [`InvalidJid`] when the nick of `settings` cannot be one.
    pub fn start_with_nodes(
        settings: Settings,
        link: Link,
        nodes: Vec<(String, Link)>,
    ) -> Result<FocusHandle, InvalidJid> {
        let focus = Focus::new(settings, rand::random())?;
        let (commands, received) = mpsc::channel(COMMAND_CAPACITY);
        let metrics = focus.metrics().clone();
        let (inputs, from_nodes) = mpsc::channel(NODE_INPUT_CAPACITY);
        let carry = |(node, link): (String, Link)| (node.clone(), nodes::carry(node, link, inputs.clone()));
        let nodes = nodes.into_iter().map(carry).collect();
        let runner = Runner { focus, link, nodes, from_nodes, waiting: HashMap::new(), last_request: 0 };
        Ok(FocusHandle { commands, metrics, task: tokio::spawn(runner.run(received)) })
    }
}

impl FocusHandle {
    /// The HTTP side: `/conference-request/v1`, `/about/health`, `/about/version`.
    pub fn router(&self) -> axum::Router {
        http::router(self.commands.clone())
    }

    /// What operators ask: `/about`, `/stats`, `/debug`, `/rtcstats`, `/move-endpoints`, `/pin`. Not for the public.
    pub fn admin_router(&self) -> axum::Router {
        admin::router(self.commands.clone()).merge(http::about(self.commands.clone()))
    }

    /// What the focus counts, to be registered where `/metrics` is served.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until the focus ended.
    pub async fn ended(&mut self) {
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            tracing::error!(%error, "focus ended in a panic");
        }
    }

    /// Ends the focus.
    pub fn stop(&self) {
        self.task.abort();
    }
}

/// The task that owns the focus.
struct Runner {
    focus: Focus,
    link: Link,
    nodes: HashMap<String, mpsc::Sender<Element>>,
    from_nodes: mpsc::Receiver<Input>,
    waiting: HashMap<HttpRequestId, oneshot::Sender<ConferenceAnswer>>,
    last_request: u64,
}

impl Runner {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut refresh = tokio::time::interval(METRICS_INTERVAL);
        loop {
            let Some(deadline) = self.drain_outputs().await else { return };
            // Without a time to wait for this branch is never taken.
            let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into());
            let input = tokio::select! {
                event = self.link.recv() => match event {
                    Some(LinkEvent::Up { jid }) => Input::LinkUp { jid },
                    Some(LinkEvent::Stanza(stanza)) => Input::Stanza(stanza),
                    Some(LinkEvent::Down) => Input::LinkDown,
                    None => {
                        tracing::error!("stream of the focus is gone for good");
                        return;
                    }
                },
                Some(input) = self.from_nodes.recv() => input,
                Some(command) = commands.recv() => match self.on_command(command) {
                    Some(input) => input,
                    None => continue,
                },
                _ = refresh.tick() => {
                    self.focus.refresh_metrics(Instant::now());
                    continue;
                }
                () = sleep, if deadline.is_some() => Input::Timeout,
            };
            self.focus.handle_input(input, Instant::now());
        }
    }

    fn on_command(&mut self, command: Command) -> Option<Input> {
        match command {
            Command::Conference { request, answer } => {
                // Clients that went away meanwhile need no answer.
                self.waiting.retain(|_, waiting| !waiting.is_closed());
                self.last_request += 1;
                let id = HttpRequestId(self.last_request);
                self.waiting.insert(id, answer);
                Some(Input::HttpConferenceRequest { id, request })
            }
            Command::Health { answer } => {
                // The asking side may be gone, which is its own affair.
                let _ = answer.send(self.focus.health(Instant::now()));
                None
            }
            Command::Admin { request, answer } => {
                let answered = self.focus.handle_admin(&request, Instant::now(), SystemTime::now());
                // The asking side may be gone, which is its own affair.
                let _ = answer.send(answered);
                None
            }
        }
    }

    /// Does everything that the focus wants done and answers when to wake it; `None` when the stream is gone for good.
    async fn drain_outputs(&mut self) -> Option<Option<Instant>> {
        loop {
            match self.focus.poll_output() {
                Output::Send(stanza) => {
                    if !self.link.send(stanza).await {
                        tracing::error!("stream of the focus is gone for good");
                        return None;
                    }
                }
                Output::SendToNode { node, stanza } => {
                    let sent = self.nodes.get(&node).map(|outgoing| outgoing.try_send(stanza));
                    if !matches!(sent, Some(Ok(()))) {
                        self.focus.metrics().dropped("stanza for a slow visitor node");
                    }
                }
                Output::HttpResponse { id, response } => {
                    if let Some(waiting) = self.waiting.remove(&id) {
                        // The client may have gone away, which is its own affair.
                        let _ = waiting.send(response);
                    }
                }
                Output::Timeout(deadline) => return Some(deadline),
            }
        }
    }
}
