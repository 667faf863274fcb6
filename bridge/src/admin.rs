//! What operators ask of a running bridge: figures, states, drain and shutdown (bridge.md §1.7).
//!
//! Here: pure answers as JSON. Not here: HTTP (`shell`), what is counted (`metrics`), how it ends (`shutdown`).

mod debug;
mod stats;

use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use crate::shutdown::Shutdown;
use crate::videobridge::Videobridge;
use debug::Detail;

/// One thing that an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminRequest {
    /// `/about/health`.
    Health,
    /// `/about/version`.
    Version,
    /// `/colibri/stats`.
    Stats,
    /// `GET /colibri/v2/conferences`.
    Conferences,
    /// `GET /colibri/v2/conferences/MEETING`.
    Conference { meeting: String },
    /// Whether there is a conference, before `PATCH /colibri/v2/conferences/MEETING` changes it.
    Known { meeting: String },
    /// `GET /colibri/v2/conferences/MEETING/dominant-speaker-identification`.
    Speakers { meeting: String },
    /// `/debug`.
    Debug { full: bool },
    /// `/debug/MEETING`, with all endpoints or one.
    DebugConference { meeting: String, endpoint: Option<String>, full: bool },
    /// `/stats`: states of conferences that allow it, for a statistics server.
    RtcStats,
    /// `GET /colibri/drain`.
    Drain,
    /// `POST /colibri/drain/…`.
    SetDrain(bool),
    /// `POST /colibri/shutdown`.
    Shutdown(Shutdown),
}

/// Why an operator gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdminError {
    /// No such conference.
    #[error("no such conference")]
    UnknownConference,
    /// The bridge cannot do its work.
    #[error("{0}")]
    Unhealthy(&'static str),
}

impl Videobridge {
    /// Does what an operator asks.
    ///
    /// # Errors
    /// [`AdminError`].
    pub(crate) fn handle_admin(
        &mut self,
        request: &AdminRequest,
        now: Instant,
        wall_clock: SystemTime,
    ) -> Result<Value, AdminError> {
        Ok(match request {
            AdminRequest::Health => {
                self.health().map_err(AdminError::Unhealthy)?;
                Value::Null
            }
            AdminRequest::Version => {
                let os = std::env::consts::OS;
                json!({ "name": crate::brewery::NAME, "version": self.settings.version, "os": os })
            }
            AdminRequest::Stats => self.stats(wall_clock),
            AdminRequest::Conferences => self.list_conferences(),
            AdminRequest::Conference { meeting } => self.conference_state(meeting, None, Detail::Full, now)?,
            AdminRequest::Known { meeting } => self.conference_of(meeting).map(|_| Value::Null)?,
            AdminRequest::Speakers { meeting } => self.speakers_of(meeting)?,
            AdminRequest::Debug { full } => {
                let detail = if *full { Detail::Full } else { Detail::Short };
                self.debug(detail, now, wall_clock)
            }
            AdminRequest::DebugConference { meeting, endpoint, full } => {
                let detail = if *full { Detail::Full } else { Detail::Short };
                self.debug_conference(meeting, endpoint.as_deref(), detail, now, wall_clock)
            }
            AdminRequest::RtcStats => self.rtcstats(now),
            AdminRequest::Drain => json!({ "drain": self.drain }),
            AdminRequest::SetDrain(drain) => {
                self.set_drain(*drain);
                Value::Null
            }
            AdminRequest::Shutdown(shutdown) => {
                self.begin_shutdown(*shutdown, now);
                Value::Null
            }
        })
    }
}
