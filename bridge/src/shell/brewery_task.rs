//! The task that joins brewery, XMPP link and media thread.

use std::time::{Duration, Instant};

use net::{Link, LinkEvent};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::command::{Command, MediaHandle};
use crate::brewery::{Brewery, Input, Output, Request};
use crate::load::Load;
use crate::metrics::BreweryMetrics;
use crate::shutdown::Readiness;
use jitsi_protocol::colibri2::{ColibriError, ConferenceModified};

/// The load is measured this often, just before presence tells it.
const LOAD_INTERVAL: Duration = Duration::from_secs(5);
/// Requests in work at once; the focus waits for each, so that more are never useful.
const MAX_REQUESTS: usize = 4096;

/// What one brewery adds to the figures of all, for as long as there is a task for it.
struct Standing {
    metrics: BreweryMetrics,
    is_connected: bool,
    is_joined: bool,
}

impl Standing {
    fn new(metrics: BreweryMetrics) -> Self {
        metrics.muc_clients_configured.inc();
        metrics.mucs_configured.inc();
        Self { metrics, is_connected: false, is_joined: false }
    }

    fn set_connected(&mut self, is_connected: bool) {
        self.metrics.muc_clients_connected.add(i64::from(is_connected) - i64::from(self.is_connected));
        self.is_connected = is_connected;
    }

    fn set_joined(&mut self, is_joined: bool) {
        self.metrics.mucs_joined.add(i64::from(is_joined) - i64::from(self.is_joined));
        self.is_joined = is_joined;
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.set_connected(false);
        self.set_joined(false);
        self.metrics.muc_clients_configured.dec();
        self.metrics.mucs_configured.dec();
    }
}

pub(super) async fn run(
    mut brewery: Brewery,
    mut link: Link,
    media: MediaHandle,
    mut readiness: watch::Receiver<Readiness>,
    metrics: BreweryMetrics,
) {
    let mut standing = Standing::new(metrics.clone());
    let mut answers: JoinSet<(Request, Result<ConferenceModified, ColibriError>)> = JoinSet::new();
    let mut load_timer = tokio::time::interval(LOAD_INTERVAL);
    loop {
        standing.set_joined(brewery.is_joined());
        let mut timeout = None;
        while let Some(output) = brewery.poll_output() {
            match output {
                Output::Send(stanza) => {
                    link.send(stanza).await;
                }
                Output::Colibri(request, modify) => {
                    let answer = media.colibri(modify);
                    answers.spawn(async move { (request, answer.await) });
                }
                Output::Timeout(at) => {
                    timeout = Some(at);
                    break;
                }
            }
        }
        let until_timeout = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = link.recv(), if answers.len() < MAX_REQUESTS => match event {
                Some(LinkEvent::Up { .. }) => {
                    standing.set_connected(true);
                    brewery.handle_input(Input::LinkUp, Instant::now());
                }
                Some(LinkEvent::Down) => {
                    standing.set_connected(false);
                    metrics.xmpp_disconnects.inc();
                    brewery.handle_input(Input::LinkDown, Instant::now());
                }
                Some(LinkEvent::Stanza(stanza)) => brewery.handle_input(Input::Stanza(stanza), Instant::now()),
                None => return,
            },
            Some(answered) = answers.join_next() => match answered {
                Ok((request, answer)) => brewery.handle_input(Input::Answer(request, answer), Instant::now()),
                // The runtime ends, and this task with it.
                Err(error) if error.is_cancelled() => return,
                Err(error) => tracing::error!(%error, "a Colibri2 request was abandoned"),
            },
            _ = load_timer.tick() => match media.ask(|reply| Command::Load { reply }).await {
                Ok(load) => brewery.handle_input(Input::Load(load), Instant::now()),
                Err(error) => {
                    tracing::error!(%error, "the bridge is unhealthy");
                    brewery.handle_input(Input::Load(Load::UNKNOWN), Instant::now());
                }
            },
            Ok(()) = readiness.changed() => {
                let readiness = *readiness.borrow_and_update();
                brewery.handle_input(Input::Readiness(readiness), Instant::now());
            }
            () = until_timeout => brewery.handle_timeout(Instant::now()),
        }
    }
}
