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

pub(super) async fn run(
    mut brewery: Brewery,
    mut link: Link,
    media: MediaHandle,
    mut readiness: watch::Receiver<Readiness>,
    metrics: BreweryMetrics,
) {
    metrics.muc_clients_configured.set(1);
    metrics.mucs_configured.set(1);
    let mut answers: JoinSet<(Request, Result<ConferenceModified, ColibriError>)> = JoinSet::new();
    let mut load_timer = tokio::time::interval(LOAD_INTERVAL);
    loop {
        metrics.mucs_joined.set(i64::from(brewery.is_joined()));
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
                    metrics.muc_clients_connected.set(1);
                    brewery.handle_input(Input::LinkUp, Instant::now());
                }
                Some(LinkEvent::Down) => {
                    metrics.muc_clients_connected.set(0);
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
