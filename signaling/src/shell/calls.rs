//! Calls to servers of others: what waits for an answer is asked at once, what is told of one room is told in order. Each has
//! its time and its tries; none is in the way of the core, or of what another room waits for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use rustls::ClientConfig;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use xmpp::Jid;

use super::core_task::Command;
use super::http_client::send;
use crate::{AnswerTo, Call, CallAnswer, CallFailed, Input, Metrics, OutsideSettings};

/// Questions at one time. Each is a connection, and a server that hangs holds it for its whole time.
const MAX_QUESTIONS: usize = 256;
/// What is told is told side by side in so many lanes, each room in one.
const LANES: usize = 8;
/// What waits in one lane, to be told in its turn. Beyond it a server does not keep up and misses what it cannot take.
const MAX_WAITING: usize = 1024;
/// How long a stop waits for what is still to be told.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// Longest answer, in bytes: a reservation has some hundred.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Makes the calls of a core.
#[derive(Debug)]
pub(super) struct CallTasks {
    /// For the answers. Weak: they alone do not keep the core running.
    commands: mpsc::WeakSender<Command>,
    metrics: Metrics,
    tls: Arc<ClientConfig>,
    turns: Arc<Semaphore>,
    lanes: Vec<Lane>,
}

/// A task that makes one call after the other, until nobody gives it any more.
#[derive(Debug)]
struct Lane {
    waiting: mpsc::Sender<Call>,
    task: JoinHandle<()>,
}

impl CallTasks {
    /// What calls the servers of these settings; `None` where there are none.
    ///
    /// # Errors
    /// The cryptography library has none of the usual versions of TLS.
    pub(super) fn new(
        settings: &OutsideSettings,
        metrics: &Metrics,
        commands: mpsc::WeakSender<Command>,
    ) -> Result<Option<Self>, rustls::Error> {
        let OutsideSettings { access, reservations, events, jibri_queue, visitors_queue } = settings;
        let queues = [jibri_queue, visitors_queue];
        if access.is_none() && reservations.is_none() && events.is_none() && queues.iter().all(|queue| queue.is_none())
        {
            return Ok(None);
        }
        let tls = Arc::new(net::client_config(net::ServerTrust::System)?);
        let lanes = (0..LANES).map(|_| spawn_lane(Arc::clone(&tls), metrics.clone())).collect();
        let turns = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Ok(Some(Self { commands, metrics: metrics.clone(), tls, turns, lanes }))
    }

    /// Makes a call.
    pub(super) fn start(&self, call: Call) {
        match &call.answer_to {
            AnswerTo::Question(id) => {
                let call_id = *id;
                self.ask(call, move |end| Input::CallEnded { call: call_id, end });
            }
            AnswerTo::Login(connection) => {
                let connection = *connection;
                self.ask(call, move |end| Input::AccessDecided { connection, end });
            }
            AnswerTo::Nobody { room } => {
                let Some(lane) = self.lanes.get(lane_of(room)) else { return };
                if lane.waiting.try_send(call).is_err() {
                    self.metrics.count_dropped("untold_event");
                }
            }
        }
    }

    /// Nothing more is to be told: waits until everything was, for a while.
    pub(super) async fn finish(self) {
        let told_all = async {
            for Lane { waiting, task } in self.lanes {
                drop(waiting);
                // A lane that failed has said so.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(FINISH_WITHIN, told_all).await.is_err() {
            tracing::warn!("not everything could be told before the end");
        }
    }

    fn ask(&self, call: Call, ended: impl FnOnce(Result<CallAnswer, CallFailed>) -> Input + Send + 'static) {
        let (commands, tls, metrics) = (self.commands.clone(), Arc::clone(&self.tls), self.metrics.clone());
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        tokio::spawn(async move {
            let end = if turn.is_ok() {
                perform(&call, &tls).await
            } else {
                metrics.count_dropped("too_many_calls");
                Err(CallFailed::Unreachable)
            };
            drop(turn);
            if let Some(commands) = commands.upgrade() {
                // An error says that the core is gone, and who waited with it.
                let _ = commands.send(Command::Input(ended(end))).await;
            }
        });
    }
}

fn lane_of(room: &Jid) -> usize {
    room.as_str().bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % LANES
}

fn spawn_lane(tls: Arc<ClientConfig>, metrics: Metrics) -> Lane {
    let (waiting, mut calls) = mpsc::channel::<Call>(MAX_WAITING);
    let task = tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            match perform(&call, &tls).await {
                Ok(answer) if (200..300).contains(&answer.status) => {}
                Ok(answer) => {
                    let (host, path) = (call.uri.host(), call.uri.path());
                    tracing::warn!(server = host, path, status = answer.status, "server does not want to be told");
                    metrics.count_dropped("refused_event");
                }
                Err(_) => metrics.count_dropped("untold_event"),
            }
        }
    });
    Lane { waiting, task }
}

/// Makes a call, again and again if need be.
async fn perform(call: &Call, tls: &Arc<ClientConfig>) -> Result<CallAnswer, CallFailed> {
    let patience = call.server.patience;
    let server = call.uri.host().unwrap_or_default();
    let mut retries = patience.retries;
    loop {
        let end = match tokio::time::timeout(patience.timeout, try_once(call, tls)).await {
            Err(_) => {
                tracing::warn!(server, "server does not answer in time");
                return Err(CallFailed::TimedOut);
            }
            Ok(Ok(answer)) if answer.status < 500 => return Ok(answer),
            Ok(Ok(answer)) => {
                tracing::warn!(server, status = answer.status, retries, "server is in trouble");
                Ok(answer)
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(server, %error, cause, retries, "server cannot be called");
                Err(CallFailed::Unreachable)
            }
        };
        if retries == 0 {
            return end;
        }
        retries -= 1;
        tokio::time::sleep(patience.pause).await;
    }
}

async fn try_once(call: &Call, tls: &Arc<ClientConfig>) -> Result<CallAnswer, super::http_client::SendError> {
    let mut request = Request::builder().method(call.method.clone()).header(header::ACCEPT, "application/json");
    if let Some(content_type) = call.content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value.expose());
    }
    for (name, value) in &call.server.headers {
        request = request.header(name, value);
    }
    let answer = send(&call.uri, tls, request, Body::from(call.body.clone()), MAX_ANSWER_BYTES).await?;
    Ok(CallAnswer { status: answer.status().as_u16(), body: answer.into_body().to_vec() })
}
