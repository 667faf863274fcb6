//! Streams over HTTP requests (XEP-0124, XEP-0206): the routes, the table of sessions, and one task a session.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use xmpp::Element;
use xmpp::bosh::{Body, BodyRequest, TerminalCondition};

use super::core_task::Command;
use super::frame_queue::{FrameReceiver, frame_queue};
use super::origin::OriginRequest;
use super::throttle::Throttle;
use super::{Handle, Visit};
use crate::bosh::{BoshOutput, BoshSession, Ticket};
use crate::{Carrier, ConnectionEnd, ConnectionId, Input};

/// Stanzas of the largest size that fit into one request: clients put together what they have to say.
const STANZAS_PER_BODY: usize = 4;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that wait for a session's task. A session refuses what is out of its window, which is smaller.
const REQUEST_QUEUE: usize = 8;
/// How long browsers may remember what is allowed, in seconds.
const CORS_MAX_AGE: &str = "86400";

/// The sessions, by their id.
#[derive(Debug, Default)]
pub(super) struct BoshSessions(Mutex<HashMap<String, mpsc::Sender<Exchange>>>);

/// A request, and where its answer goes.
#[derive(Debug)]
struct Exchange {
    request: BodyRequest,
    bytes: usize,
    answer: oneshot::Sender<String>,
}

pub(super) fn router(handle: Handle) -> Router {
    let routes = || post(exchange).options(preflight).get(explain);
    Router::new().route("/http-bind", routes()).route("/{tenant}/http-bind", routes()).with_state(handle)
}

/// Other origins may ask, such as mobile apps and pages that embed a meeting.
const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Authorization"),
    (header::ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE),
];

async fn preflight() -> impl IntoResponse {
    CORS
}

/// What a person sees who opens the address.
async fn explain() -> impl IntoResponse {
    (CORS, "XMPP over BOSH (XEP-0124) is served here.")
}

async fn exchange(State(handle): State<Handle>, origin: OriginRequest, body: axum::body::Body) -> Response {
    let body = match read_body(&handle, body).await {
        Ok(body) => body,
        Err(status) => return (status, CORS).into_response(),
    };
    let request = str::from_utf8(&body).ok().and_then(|text| Element::parse(text).ok()).and_then(BodyRequest::read);
    let Some(request) = request else {
        handle.shared.metrics.count_dropped("bosh_bad_request");
        return answer(Body::terminate(Some(TerminalCondition::BadRequest)).to_string());
    };
    let (sender, receiver) = oneshot::channel();
    let taken = match &request.sid {
        Some(sid) => match handle.shared.bosh.get(sid) {
            Some(session) => session.send(Exchange { bytes: body.len(), request, answer: sender }).await.is_ok(),
            None => false,
        },
        None => match handle.visit(origin.client_address(handle.settings())) {
            Some(visit) => start(&handle, origin, request, sender, visit).await,
            None => return answer(Body::terminate(Some(TerminalCondition::PolicyViolation)).to_string()),
        },
    };
    let answered = if taken { receiver.await.ok() } else { None };
    answer(answered.unwrap_or_else(|| {
        handle.shared.metrics.count_dropped("bosh_unknown_session");
        Body::terminate(Some(TerminalCondition::ItemNotFound)).to_string()
    }))
}

/// Reads a body that may be so large and take so long.
async fn read_body(handle: &Handle, body: axum::body::Body) -> Result<Bytes, StatusCode> {
    let limit = handle.settings().limits.client_frame_bytes.saturating_mul(STANZAS_PER_BODY);
    let refuse = |reason, status| {
        handle.shared.metrics.count_dropped(reason);
        Err(status)
    };
    if axum::body::HttpBody::size_hint(&body).lower() > limit as u64 {
        return refuse("bosh_body_too_large", StatusCode::PAYLOAD_TOO_LARGE);
    }
    match timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => refuse("bosh_body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => refuse("bosh_body_too_slow", StatusCode::REQUEST_TIMEOUT),
    }
}

fn answer(body: String) -> Response {
    let type_and_cache = [(header::CONTENT_TYPE, "text/xml; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (CORS, type_and_cache, body).into_response()
}

/// Starts a session; answers whether the core still runs.
async fn start(
    handle: &Handle,
    origin: OriginRequest,
    request: BodyRequest,
    answer: oneshot::Sender<String>,
    visit: Visit,
) -> bool {
    let connection = handle.next_connection();
    let (frames, queue) = frame_queue(handle.client_queue());
    let origin = handle.origin(origin, Carrier::Bosh).await;
    if !handle.command(Command::Connect { connection, origin, frames }).await {
        return false;
    }
    let sid = format!("{:032x}", rand::random::<u128>());
    let (sender, inbox) = mpsc::channel(REQUEST_QUEUE);
    handle.shared.bosh.lock().insert(sid.clone(), sender);
    let limits = &handle.settings().limits;
    let now = Instant::now().into_std();
    let mut throttle = Throttle::new(limits.client_bytes_per_second, limits.client_burst_bytes, now);
    visit.slow(&mut throttle);
    let mut task = SessionTask {
        session: BoshSession::new(sid.clone(), Ticket(0), request, now),
        throttle,
        handle: handle.clone(),
        connection,
        inbox,
        queue,
        tickets: HashMap::from([(Ticket(0), answer)]),
        next_ticket: 1,
    };
    tokio::spawn(async move {
        task.run().await;
        task.handle.shared.bosh.lock().remove(&sid);
        drop(visit);
    });
    true
}

impl BoshSessions {
    fn get(&self, sid: &str) -> Option<mpsc::Sender<Exchange>> {
        self.lock().get(sid).cloned()
    }

    /// The table is whole after each change, so a panic elsewhere cannot have left it broken.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<Exchange>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session between the core and the requests of its client.
struct SessionTask {
    handle: Handle,
    connection: ConnectionId,
    session: BoshSession,
    throttle: Throttle,
    inbox: mpsc::Receiver<Exchange>,
    queue: FrameReceiver,
    tickets: HashMap<Ticket, oneshot::Sender<String>>,
    next_ticket: u64,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    GoesOn,
    IsOver,
}

impl SessionTask {
    async fn run(&mut self) {
        let overfull = self.queue.overfull();
        tokio::pin!(overfull);
        let (mut is_overfull, mut is_core_gone) = (false, false);
        while self.carry_out().await == Course::GoesOn {
            let now = || Instant::now().into_std();
            tokio::select! {
                exchange = self.inbox.recv() => {
                    let Some(exchange) = exchange else { return };
                    self.take(exchange).await;
                }
                frame = self.queue.recv(), if !is_core_gone && self.session.wants_frames() => match frame {
                    Some(frame) => {
                        self.session.on_frame(now(), &frame);
                        while self.session.wants_frames()
                            && let Some(frame) = self.queue.try_recv()
                        {
                            self.session.on_frame(now(), &frame);
                        }
                        self.session.on_frames_end(now());
                    }
                    None => {
                        is_core_gone = true;
                        self.session.on_core_gone(now());
                    }
                },
                () = &mut overfull, if !is_overfull => {
                    is_overfull = true;
                    self.session.on_overfull(now());
                }
                () = sleep_until(self.session.timeout().into()) => self.session.on_timeout(now()),
            }
        }
    }

    /// Takes a request, when its client may be listened to again.
    async fn take(&mut self, Exchange { request, bytes, answer }: Exchange) {
        let now = Instant::now();
        let pause = self.throttle.take(bytes, now.into_std());
        sleep_until(now + pause).await;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, answer);
        self.session.on_request(Instant::now().into_std(), ticket, request);
    }

    /// Does what the session wants done.
    async fn carry_out(&mut self) -> Course {
        while let Some(output) = self.session.poll_output() {
            match output {
                BoshOutput::Answer { ticket, body } => {
                    if let Some(answer) = self.tickets.remove(&ticket) {
                        // Who asked may be gone; the session remembers the answer for the next try.
                        let _ = answer.send(body);
                    }
                }
                BoshOutput::Frame(frame) => {
                    let input = Input::Frame { connection: self.connection, frame: Ok(frame) };
                    self.handle.command(Command::Input(input)).await;
                }
                BoshOutput::Pause { until } => {
                    self.handle.command(Command::Input(Input::Paused { connection: self.connection, until })).await;
                }
                BoshOutput::Lost => {
                    let input = Input::Disconnected { connection: self.connection, end: ConnectionEnd::Lost };
                    self.handle.command(Command::Input(input)).await;
                }
                BoshOutput::Over => return Course::IsOver,
            }
        }
        Course::GoesOn
    }
}
