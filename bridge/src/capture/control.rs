//! Which captures run: who may be captured, for how long, and when it is over.

use std::time::{Duration, Instant};

use model::{ConferenceId, EndpointId};

use super::{Content, MAX_CAPTURES, Records, Tap};
use crate::keys::PeerKey;
use crate::videobridge::{EndpointKey, TimerKey, Videobridge};

/// Conferences that are named when an endpoint id is in several.
const MAX_NAMED_CONFERENCES: usize = 16;

/// Names a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CaptureId(pub(crate) u64);

/// What an operator asks for.
#[derive(Clone, Debug)]
pub(crate) struct CaptureRequest {
    /// Endpoint id.
    pub(crate) endpoint: String,
    /// Meeting id; needed where the endpoint id is in several conferences.
    pub(crate) conference: Option<String>,
    pub(crate) content: Content,
    /// At most [`MAX_DURATION`](super::MAX_DURATION).
    pub(crate) duration: Duration,
}

/// Why there is no capture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CaptureRefusal {
    #[error("plain captures are not allowed (start the bridge with --allow-plain-captures)")]
    PlainNotAllowed,
    #[error("no such endpoint here")]
    UnknownEndpoint,
    /// In these conferences, and perhaps more.
    #[error("the endpoint id is in several conferences (add conference=ID, one of {})", list(.0))]
    Ambiguous(Vec<ConferenceId>),
    #[error("the endpoint is being captured already")]
    Running,
    #[error("{MAX_CAPTURES} captures are running, no more are allowed")]
    TooMany,
}

fn list(conferences: &[ConferenceId]) -> String {
    conferences.iter().map(ConferenceId::as_str).collect::<Vec<_>>().join(", ")
}

/// Why a capture is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaptureEnd {
    /// Its time is over.
    Time,
    /// The endpoint is gone.
    Endpoint,
    /// Nobody reads it any more, or it is as long as it may be.
    Reader,
}

/// A capture that runs.
#[derive(Debug)]
pub(crate) struct Capture {
    id: CaptureId,
    endpoint: EndpointKey,
    name: EndpointId,
    peer: PeerKey,
    /// Shards have the same one.
    tap: Tap,
}

impl Videobridge {
    /// Starts a capture, which ends by itself.
    ///
    /// # Errors
    /// [`CaptureRefusal`].
    pub(crate) fn start_capture(
        &mut self,
        id: CaptureId,
        request: &CaptureRequest,
        now: Instant,
    ) -> Result<Records, CaptureRefusal> {
        if request.content == Content::Plain && !self.settings.allow_plain_captures {
            return Err(CaptureRefusal::PlainNotAllowed);
        }
        let endpoint = self.find_endpoint(request)?;
        if self.captures.iter().any(|capture| capture.endpoint == endpoint) {
            return Err(CaptureRefusal::Running);
        }
        if self.captures.len() >= MAX_CAPTURES {
            return Err(CaptureRefusal::TooMany);
        }
        let found = self.endpoint_mut(endpoint).ok_or(CaptureRefusal::UnknownEndpoint)?;
        let (name, peer) = (found.id.clone(), found.connection.route.peer);
        let (tap, records) = Tap::new(request.content);
        self.data_plane.capture(peer, Some(&tap));
        self.timers.set(TimerKey::Capture(id), now + request.duration.min(super::MAX_DURATION));
        tracing::info!(endpoint = %name, plain = request.content == Content::Plain, "capture began");
        self.captures.push(Capture { id, endpoint, name, peer, tap });
        Ok(records)
    }

    /// Ends a capture, if it runs still.
    pub(crate) fn end_capture(&mut self, id: CaptureId, end: CaptureEnd) {
        let Some(at) = self.captures.iter().position(|capture| capture.id == id) else { return };
        let Capture { name, peer, tap, .. } = self.captures.remove(at);
        self.timers.remove(TimerKey::Capture(id));
        self.data_plane.capture(peer, None);
        let (plain, lost) = (tap.content == Content::Plain, tap.lost());
        tracing::info!(endpoint = %name, plain, lost, because_of = ?end, "capture ended");
    }

    /// Ends the capture of an endpoint that goes.
    pub(crate) fn end_capture_of(&mut self, endpoint: EndpointKey) {
        let capture = self.captures.iter().find(|capture| capture.endpoint == endpoint);
        if let Some(id) = capture.map(|capture| capture.id) {
            self.end_capture(id, CaptureEnd::Endpoint);
        }
    }

    /// An endpoint id is unique in its conference only.
    fn find_endpoint(&self, request: &CaptureRequest) -> Result<EndpointKey, CaptureRefusal> {
        let name: EndpointId = request.endpoint.parse().map_err(|_| CaptureRefusal::UnknownEndpoint)?;
        let wanted = request.conference.as_deref();
        let mut found = self.conferences.iter().filter_map(|(conference, state)| {
            let endpoint = *state.by_id.get(&name)?;
            let is_wanted = wanted.is_none_or(|wanted| state.id.as_str() == wanted);
            is_wanted.then_some((EndpointKey { conference, endpoint }, &state.id))
        });
        let (first, conference) = found.next().ok_or(CaptureRefusal::UnknownEndpoint)?;
        let others: Vec<_> = found.map(|(_, conference)| conference).take(MAX_NAMED_CONFERENCES - 1).cloned().collect();
        if others.is_empty() {
            return Ok(first);
        }
        Err(CaptureRefusal::Ambiguous(std::iter::once(conference.clone()).chain(others).collect()))
    }
}
