//! Requests to the focus for recorders and telephones, which not everybody may make (`mod_filter_iq_jibri`,
//! `mod_filter_iq_rayo`, `mod_jibri_session`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xmpp::{Condition, Element, ErrorType, Jid, StanzaError, ns};

use crate::context::{Context, Sender};
use crate::muc::{Occupant, Room};
use crate::window::Window;
use auth::Claims;

/// Starts and stops of recorders in one room and minute, as in stock.
const MAX_RECORDER_REQUESTS_A_MINUTE: u32 = 3;
/// The same of one address, in all rooms.
const MAX_RECORDER_REQUESTS_OF_AN_ADDRESS: u32 = 9;
/// Addresses that are remembered for that. Beyond it nobody is refused whom the limit of the room lets pass.
const MAX_ADDRESSES: usize = 10_000;
/// What is counted is counted for so long.
const MINUTE: Duration = Duration::from_secs(60);
/// Between two requests for a transcriber in one room.
const TRANSCRIBER_PAUSE: Duration = Duration::from_secs(10);
/// Whom a call for a transcriber goes to.
const TRANSCRIBER: &str = "jitsi_meet_transcribe";
/// Headers of a call that clients may set; others speak for the server.
const CLIENT_HEADERS: [&str; 2] = ["JvbRoomName", "JvbRoomPassword"];
const INITIATOR_USER: &str = "X-outbound-call-initiator-user";
const INITIATOR_GROUP: &str = "X-outbound-call-initiator-group";

/// Requests for recorders by the address that they come from, whichever room they are for (`mod_filter_iq_jibri`).
#[derive(Debug, Default)]
pub(crate) struct RecorderRequests(BTreeMap<IpAddr, Window>);

impl RecorderRequests {
    /// Counts a request of a client, if it is one for a recorder.
    ///
    /// # Errors
    /// When its address has asked too often.
    pub(crate) fn check(&mut self, now: Instant, sender: Sender<'_>, request: &Element) -> Result<(), StanzaError> {
        let is_request = request.attr("type") == Some("set")
            && request.child("jibri", ns::JIBRI).is_some_and(|jibri| is_start_or_stop(&action_of(jibri)));
        let Some(address) = sender.client.address.filter(|_| is_request && !sender.is_service) else { return Ok(()) };
        if self.0.len() >= MAX_ADDRESSES {
            self.0.retain(|_, window| window.is_running(MINUTE, now));
        }
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            return Ok(());
        }
        if self.0.entry(address).or_default().count(MINUTE, now) > MAX_RECORDER_REQUESTS_OF_AN_ADDRESS {
            return Err(too_often());
        }
        Ok(())
    }
}

fn action_of(jibri: &Element) -> String {
    jibri.attr("action").unwrap_or_default().to_ascii_lowercase()
}

fn is_start_or_stop(action: &str) -> bool {
    matches!(action, "start" | "stop")
}

fn too_often() -> StanzaError {
    StanzaError::new(Condition::PolicyViolation).with_type(ErrorType::Wait)
}

/// When recorders and transcribers of a room were last asked for.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    recorders: Window,
    transcriber: Option<Instant>,
}

/// Checks a request of an occupant to the focus, and adds what the server knows of who asks.
///
/// # Errors
/// When he may not ask for that, or not now.
pub(crate) fn check(
    context: &Context<'_>,
    room: &mut Room,
    nick: &str,
    request: &mut Element,
) -> Result<(), StanzaError> {
    for child in request.children_mut() {
        match (child.name(), child.ns()) {
            ("jibri", ns::JIBRI) => check_jibri(context, room, nick, child)?,
            ("dial", ns::RAYO) => check_dial(context, room, nick, child)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_jibri(context: &Context<'_>, room: &mut Room, nick: &str, jibri: &mut Element) -> Result<(), StanzaError> {
    let action = action_of(jibri);
    if !is_start_or_stop(&action) {
        return Ok(());
    }
    let feature = if jibri.attr("recording_mode") == Some("file") { "recording" } else { "livestreaming" };
    let from = room.occupant(nick).filter(|from| room.allows(context.settings, from, feature));
    let Some(from) = from else { return Err(StanzaError::new(Condition::Forbidden)) };
    if let Some(claims) = from.client.claims.as_deref().filter(|_| action == "start" && feature == "recording") {
        name_initiator(jibri, claims);
    }
    if room.state.calls.recorders.count(MINUTE, context.now.instant) > MAX_RECORDER_REQUESTS_A_MINUTE {
        return Err(too_often());
    }
    Ok(())
}

/// The recorder writes beside the file who wanted it.
fn name_initiator(jibri: &mut Element, claims: &Claims) {
    describe_recording(jibri, "initiator", json!({"id": claims.user.id, "group": claims.group}));
}

/// A request of the focus to a recorder, which writes beside the file which meeting it is of (`mod_jibri_session`).
pub(crate) fn name_meeting(jibri: &mut Element, meeting_id: &str) {
    describe_recording(jibri, "conference_details", json!({"session_id": meeting_id}));
}

/// The room that such a request is about.
pub(crate) fn recorded_room(request: &Element) -> Option<Jid> {
    let jibri = request.child("jibri", ns::JIBRI).filter(|_| request.attr("type") == Some("set"))?;
    jibri.attr("room").filter(|_| action_of(jibri) == "start")?.parse().ok()
}

/// Adds something to what a recorder writes beside the file.
fn describe_recording(jibri: &mut Element, name: &str, what: Value) {
    let data = jibri.attr("app_data").and_then(|data| serde_json::from_str::<Value>(data).ok());
    let mut data = data.filter(Value::is_object).unwrap_or_else(|| json!({}));
    if !data["file_recording_metadata"].is_object() {
        data["file_recording_metadata"] = json!({});
    }
    data["file_recording_metadata"][name] = what;
    jibri.set_attr("app_data", data.to_string());
}

fn check_dial(context: &Context<'_>, room: &mut Room, nick: &str, dial: &mut Element) -> Result<(), StanzaError> {
    let is_transcription = dial.attr("to") == Some(TRANSCRIBER);
    let feature = if is_transcription { "transcription" } else { "outbound-call" };
    let header = |name: &str| {
        let mut headers = dial.children_named("header", ns::RAYO);
        headers.find(|header| header.attr("name") == Some(name)).and_then(|header| header.attr("value"))
    };
    let is_own_room = header("JvbRoomName") == Some(room.jid.as_str());
    let from = room.occupant(nick).filter(|from| is_own_room && room.allows(context.settings, from, feature));
    let Some(from) = from else { return Err(StanzaError::new(Condition::Forbidden)) };
    dial.retain_children(|child| {
        child.name() != "header" || child.attr("name").is_some_and(|name| CLIENT_HEADERS.contains(&name))
    });
    if let Some(claims) = from.client.claims.as_deref() {
        for (name, value) in [(INITIATOR_USER, &claims.user.id), (INITIATOR_GROUP, &claims.group)] {
            if let Some(value) = value {
                // They end up in SIP headers, one a line.
                let value: String = value.chars().filter(|c| !c.is_control()).collect();
                dial.push(Element::new("header", ns::RAYO).with_attr("name", name).with_attr("value", value));
            }
        }
    }
    let now = context.now.instant;
    let last = room.state.calls.transcriber.filter(|_| is_transcription);
    if last.is_some_and(|last| now.saturating_duration_since(last) < TRANSCRIBER_PAUSE) {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Cancel));
    }
    if is_transcription {
        room.state.calls.transcriber = Some(now);
    }
    Ok(())
}

/// Whether a request asks for a call out of this server.
pub(crate) fn is_call(request: &Element) -> bool {
    request.child("dial", ns::RAYO).is_some_and(|dial| dial.attr("to") != Some(TRANSCRIBER))
}

/// Whether an occupant is a telephone that a user with these claims had called.
pub(crate) fn was_called_by(occupant: &Occupant, claims: &Claims) -> bool {
    let Some(initiator) = occupant.presence().child("initiator", ns::JIGASI) else { return false };
    let header = |name: &str| {
        let found = initiator.children().find(|child| child.name() == "header" && child.attr("name") == Some(name));
        found.and_then(|header| header.attr("value"))
    };
    claims.user.id.is_some()
        && header(INITIATOR_USER) == claims.user.id.as_deref()
        && (claims.group.is_none() || header(INITIATOR_GROUP) == claims.group.as_deref())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Origin;
    use crate::client::Client;

    #[test]
    fn an_address_asks_for_recorders_nine_times_a_minute_in_all_rooms_together() {
        let origin = Origin { address: "192.0.2.1".parse().ok(), ..Origin::default() };
        let jid: xmpp::Jid = "a@d/r".parse().unwrap();
        let client = Arc::new(Client::of(&origin, &jid, &crate::Hosts::default()));
        let sender = Sender { jid: &jid, is_service: false, host: None, client: &client };
        let (mut requests, now) = (RecorderRequests::default(), Instant::now());
        let iq = |kind: &str, action: &str| {
            let jibri = Element::new("jibri", ns::JIBRI).with_attr("action", action);
            Element::new("iq", ns::CLIENT).with_attr("type", kind).with_child(jibri)
        };
        for _ in 0..9 {
            assert_eq!(requests.check(now, sender, &iq("set", "START")), Ok(()));
        }
        assert_eq!(requests.check(now, sender, &iq("set", "stop")), Err(too_often()));
        assert_eq!(requests.check(now, sender, &iq("result", "stop")), Ok(()), "no request");
        assert_eq!(requests.check(now, Sender { is_service: true, ..sender }, &iq("set", "stop")), Ok(()));
        assert_eq!(requests.check(now + MINUTE, sender, &iq("set", "start")), Ok(()));
    }
}
