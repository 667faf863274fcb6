//! Jibri: a client asks the focus for a recording, a stream or a call over SIP, the focus asks a recorder, and the recorder
//! tells how it goes (`http://jitsi.org/protocol/jibri`).

use xmpp::{Element, Jid, ns};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin.
    Start,
    /// End.
    Stop,
}

/// How a session of a recorder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The recorder is about to begin.
    Pending,
    /// It records.
    On,
    /// It does not.
    Off,
}

impl Status {
    /// The value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::On => "on",
            Self::Off => "off",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::On, Self::Off].into_iter().find(|status| status.as_str().eq_ignore_ascii_case(name))
    }
}

/// Why a session is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The recorder does something else.
    Busy,
    /// Anything else.
    Error,
}

impl FailureReason {
    /// The value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Error => "error",
        }
    }
}

/// Where a recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// Into a file.
    File,
    /// To a streaming service.
    Stream,
}

impl RecordingMode {
    /// The value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stream => "stream",
        }
    }
}

/// The `jibri` element, in all its uses. What does not read as what it should be counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jibri {
    /// What is asked for.
    pub action: Option<Action>,
    /// How it goes; from recorders.
    pub status: Option<Status>,
    /// Why it is off.
    pub failure_reason: Option<FailureReason>,
    /// Whether another recorder may do better.
    pub should_retry: Option<bool>,
    /// File or stream.
    pub recording_mode: Option<RecordingMode>,
    /// Names the session, chosen by the focus.
    pub session_id: Option<String>,
    /// What is recorded; to recorders.
    pub room: Option<Jid>,
    /// The key of a stream.
    pub stream_id: Option<String>,
    /// Where the stream can be seen.
    pub you_tube_broadcast_id: Option<String>,
    /// Who is called.
    pub sip_address: Option<String>,
    /// What the call shows as name.
    pub display_name: Option<String>,
    /// JSON that passes through the focus.
    pub app_data: Option<String>,
    /// Whether the recorder may send statistics.
    pub rtcstats_enabled: Option<bool>,
}

impl Jibri {
    /// Reads a `jibri` element.
    #[must_use]
    pub fn from_element(element: &Element) -> Self {
        let text = |name| element.attr(name).filter(|value| !value.trim().is_empty()).map(str::to_owned);
        let lower = |name| element.attr(name).map(str::to_ascii_lowercase);
        let flag = |name| element.attr(name).and_then(|value: &str| value.to_ascii_lowercase().parse().ok());
        Self {
            action: match lower("action").as_deref() {
                Some("start") => Some(Action::Start),
                Some("stop") => Some(Action::Stop),
                _ => None,
            },
            status: element.attr("status").and_then(Status::from_name),
            failure_reason: match lower("failure_reason").as_deref() {
                Some("busy") => Some(FailureReason::Busy),
                Some("error") => Some(FailureReason::Error),
                _ => None,
            },
            should_retry: flag("should_retry"),
            recording_mode: match lower("recording_mode").as_deref() {
                Some("file") => Some(RecordingMode::File),
                Some("stream") => Some(RecordingMode::Stream),
                _ => None,
            },
            session_id: text("session_id"),
            room: element.attr("room").and_then(|room| room.parse().ok()),
            stream_id: text("streamid"),
            you_tube_broadcast_id: text("you_tube_broadcast_id"),
            sip_address: text("sipaddress"),
            display_name: text("displayname"),
            app_data: text("app_data"),
            rtcstats_enabled: flag("rtcstats_enabled"),
        }
    }

    /// The `jibri` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let action = self.action.map(|action| match action {
            Action::Start => "start",
            Action::Stop => "stop",
        });
        let flag = |value: Option<bool>| value.map(|value| value.to_string());
        Element::new("jibri", ns::JIBRI)
            .with_opt_attr("action", action)
            .with_opt_attr("status", self.status.map(Status::as_str))
            .with_opt_attr("failure_reason", self.failure_reason.map(FailureReason::as_str))
            .with_opt_attr("should_retry", flag(self.should_retry))
            .with_opt_attr("recording_mode", self.recording_mode.map(RecordingMode::as_str))
            .with_opt_attr("session_id", self.session_id.as_deref())
            .with_opt_attr("room", self.room.as_ref())
            .with_opt_attr("streamid", self.stream_id.as_deref())
            .with_opt_attr("you_tube_broadcast_id", self.you_tube_broadcast_id.as_deref())
            .with_opt_attr("sipaddress", self.sip_address.as_deref())
            .with_opt_attr("displayname", self.display_name.as_deref())
            .with_opt_attr("app_data", self.app_data.as_deref())
            .with_opt_attr("rtcstats_enabled", flag(self.rtcstats_enabled))
    }
}

/// Whether a recorder says in the presence of its brewery that it is well and has nothing to do; `None` when the presence is
/// not that of a recorder.
#[must_use]
pub fn is_available(presence: &Element) -> Option<bool> {
    let status = presence.child("jibri-status", ns::JIBRI)?;
    let says = |name, word: &str| {
        let value = status.child_named(name).and_then(|child| child.attr("status"));
        value.is_some_and(|value| value.eq_ignore_ascii_case(word))
    };
    Some(says("busy-status", "idle") && says("health-status", "healthy"))
}

/// How the recording of a room stands (`jibri-recording-status`), for the presence of the focus.
#[must_use]
pub fn recording_status(
    session_id: &str,
    status: Status,
    failure_reason: Option<FailureReason>,
    mode: RecordingMode,
    initiator: Option<&Jid>,
) -> Element {
    Element::new("jibri-recording-status", ns::JIBRI)
        .with_attr("status", status.as_str())
        .with_attr("session_id", session_id)
        .with_attr("recording_mode", mode.as_str())
        .with_opt_attr("initiator", initiator)
        .with_opt_attr("failure_reason", failure_reason.map(FailureReason::as_str))
}

/// How a call over SIP stands (`jibri-sip-call-state`), for the presence of the focus.
#[must_use]
pub fn sip_call_state(
    session_id: &str,
    status: Status,
    failure_reason: Option<FailureReason>,
    sip_address: &str,
) -> Element {
    Element::new("jibri-sip-call-state", ns::JIBRI_CALL_STATE)
        .with_attr("state", status.as_str())
        .with_attr("session_id", session_id)
        .with_attr("sipaddress", sip_address)
        .with_opt_attr("failure_reason", failure_reason.map(FailureReason::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        for text in [
            "<jibri xmlns='http://jitsi.org/protocol/jibri' action='start' recording_mode='file' app_data='{}'/>",
            "<jibri xmlns='http://jitsi.org/protocol/jibri' action='start' recording_mode='stream' streamid='k' \
             you_tube_broadcast_id='b' room='demo@muc' session_id='s' rtcstats_enabled='false'/>",
            "<jibri xmlns='http://jitsi.org/protocol/jibri' action='stop' sipaddress='sip:x@y' displayname='Room'/>",
            "<jibri xmlns='http://jitsi.org/protocol/jibri' status='off' failure_reason='busy' should_retry='true'/>",
        ] {
            let element: Element = text.parse().unwrap();
            let read = Jibri::from_element(&element);
            assert_ne!(read, Jibri::default());
            assert_eq!(read.to_element().attrs().count(), element.attrs().count(), "{text}");
            assert_eq!(Jibri::from_element(&read.to_element()), read);
        }
    }

    #[test]
    fn what_it_does_not_know_counts_as_absent() {
        let bad = "<jibri xmlns='http://jitsi.org/protocol/jibri' action='dance' status='x' failure_reason='?' \
                   should_retry='perhaps' recording_mode='undefined' room='@' streamid='  '/>";
        assert_eq!(Jibri::from_element(&bad.parse().unwrap()), Jibri::default());
    }

    #[test]
    fn a_recorder_is_available_when_it_is_well_and_idle() {
        let presence = |busy, health| {
            let text = format!(
                "<presence><jibri-status xmlns='http://jitsi.org/protocol/jibri'><busy-status status='{busy}' \
                 xmlns='http://jitsi.org/protocol/jibri'/><health-status \
                 xmlns='http://jitsi.org/protocol/health' status='{health}'/></jibri-status></presence>"
            );
            is_available(&text.parse().unwrap())
        };
        assert_eq!(presence("idle", "healthy"), Some(true));
        assert_eq!(presence("busy", "healthy"), Some(false));
        assert_eq!(presence("idle", "unhealthy"), Some(false));
        assert_eq!(is_available(&"<presence/>".parse().unwrap()), None);
    }

    #[test]
    fn writes_states_for_rooms() {
        let initiator: Jid = "demo@muc/a".parse().unwrap();
        let state = recording_status("s", Status::On, None, RecordingMode::File, Some(&initiator));
        assert_eq!((state.attr("status"), state.attr("initiator")), (Some("on"), Some("demo@muc/a")));
        let state = sip_call_state("s", Status::Off, Some(FailureReason::Error), "sip:x@y");
        assert_eq!((state.attr("state"), state.attr("failure_reason")), (Some("off"), Some("error")));
    }
}
