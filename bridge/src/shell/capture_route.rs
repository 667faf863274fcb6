//! Packet traces for operators, on the admin listener: `GET /debug/capture/ENDPOINT?seconds=30&plain=1&conference=ID`.
//!
//! The answer is a pcapng file that grows while the endpoint is captured; it ends with the capture, and the capture with
//! it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use crossbeam_channel::TryRecvError;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};

use super::command::{Command, MediaHandle};
use crate::capture::control::{CaptureId, CaptureRefusal, CaptureRequest};
use crate::capture::trace::{Trace, Written};
use crate::capture::{Content, MAX_CAPTURES, MAX_DURATION, Records};

/// Length of a capture that names none.
const DEFAULT_DURATION: Duration = Duration::from_secs(30);
/// Copies are looked for this often rather than announced by shards, which have better to do than to wake a task.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A piece of the trace is handed to the connection when it has this much.
const FULL_CHUNK_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct RouteState {
    media: MediaHandle,
    last_capture: Arc<AtomicU64>,
    /// One for each trace that is being read: a capture whose time is over may still have much to be read.
    readers: Arc<Semaphore>,
}

impl RouteState {
    pub(super) fn new(media: MediaHandle) -> Self {
        Self { media, last_capture: Arc::default(), readers: Arc::new(Semaphore::new(MAX_CAPTURES)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    seconds: Option<String>,
    plain: Option<String>,
    conference: Option<String>,
}

impl Parameters {
    fn duration(&self) -> Result<Duration, String> {
        let Some(text) = &self.seconds else { return Ok(DEFAULT_DURATION) };
        let max = MAX_DURATION.as_secs();
        match text.parse() {
            Ok(seconds) if (1..=max).contains(&seconds) => Ok(Duration::from_secs(seconds)),
            Ok(_) | Err(_) => Err(format!("seconds = {text:?} is not in 1..={max}")),
        }
    }

    fn content(&self) -> Result<Content, String> {
        match self.plain.as_deref() {
            None | Some("0" | "false") => Ok(Content::Protected),
            Some("1" | "true") => Ok(Content::Plain),
            Some(other) => Err(format!("plain = {other:?} is neither 0 nor 1")),
        }
    }

    fn into_request(self, endpoint: String) -> Result<CaptureRequest, String> {
        let (content, duration) = (self.content()?, self.duration()?);
        Ok(CaptureRequest { endpoint, conference: self.conference, content, duration })
    }
}

pub(super) async fn capture(
    State(state): State<RouteState>,
    Path(endpoint): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Response {
    let request = match parameters {
        Ok(Query(parameters)) => parameters.into_request(endpoint),
        Err(rejection) => Err(rejection.body_text()),
    };
    let request = match request {
        Ok(request) => request,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, &reason),
    };
    let Ok(reader) = Arc::clone(&state.readers).try_acquire_owned() else {
        return refusal(status(&CaptureRefusal::TooMany), &CaptureRefusal::TooMany.to_string());
    };
    let (name, content) = (request.endpoint.clone(), request.content);
    let id = CaptureId(state.last_capture.fetch_add(1, Ordering::Relaxed));
    // From here on the capture ends with this request, whichever step that got to.
    let ends = EndsWhenDropped { media: state.media.clone(), id };
    let started = state.media.ask(|reply| Command::StartCapture { id, request: Box::new(request), reply }).await;
    let records = match started {
        Ok(Ok(records)) => records,
        Ok(Err(reason)) => return refusal(status(&reason), &reason.to_string()),
        Err(error) => return refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let mut begun = Vec::new();
    let wall_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let trace = Trace::begin(&name, content, wall_time, Instant::now(), &mut begun);
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader { records, trace, begun, looks, state: ReaderState::Reading, _ends: ends, _reader: reader };
    // The id is one that the bridge knows, and needs no quotes.
    let headers = [
        (CONTENT_TYPE, "application/x-pcapng".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.pcapng\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(stream::unfold(reader, Reader::next_chunk))).into_response()
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    (status, format!("{reason}\n")).into_response()
}

const fn status(refusal: &CaptureRefusal) -> StatusCode {
    match refusal {
        CaptureRefusal::PlainNotAllowed => StatusCode::FORBIDDEN,
        CaptureRefusal::UnknownEndpoint => StatusCode::NOT_FOUND,
        CaptureRefusal::Ambiguous(_) | CaptureRefusal::Running => StatusCode::CONFLICT,
        CaptureRefusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// Has the capture ended; it may have ended before, or never begun.
struct EndsWhenDropped {
    media: MediaHandle,
    id: CaptureId,
}

impl Drop for EndsWhenDropped {
    fn drop(&mut self) {
        if let Err(error) = self.media.send(Command::EndCapture { id: self.id }) {
            tracing::debug!(%error, "the end of a capture is not told");
        }
    }
}

/// Turns copies into the file.
struct Reader {
    records: Records,
    trace: Trace,
    /// What comes before the first packet.
    begun: Vec<u8>,
    looks: Interval,
    state: ReaderState,
    _ends: EndsWhenDropped,
    _reader: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderState {
    Reading,
    Over,
}

impl Reader {
    async fn next_chunk(mut self) -> Option<(Result<Vec<u8>, Infallible>, Self)> {
        if self.state == ReaderState::Over {
            return None;
        }
        let mut chunk = std::mem::take(&mut self.begun);
        loop {
            self.fill(&mut chunk);
            if !chunk.is_empty() {
                return Some((Ok(chunk), self));
            }
            self.looks.tick().await;
        }
    }

    /// Appends what there is, up to a full chunk.
    fn fill(&mut self, chunk: &mut Vec<u8>) {
        while chunk.len() < FULL_CHUNK_BYTES {
            match self.records.try_recv() {
                Ok(record) if self.trace.write(&record, &self.records, chunk) == Written::Yes => {}
                Err(TryRecvError::Empty) => return,
                Ok(_) | Err(TryRecvError::Disconnected) => {
                    self.trace.end(&self.records, Instant::now(), chunk);
                    self.state = ReaderState::Over;
                    return;
                }
            }
        }
    }
}
