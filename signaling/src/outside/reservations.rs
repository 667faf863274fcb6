//! Reservations (`mod_reservations`, signaling.md §7.1): whether a room may open, for how long, and how, is another server's
//! to say. Who asks the focus for a conference waits for that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Method, Uri};
use serde_json::Value;
use xmpp::{Condition, Element, Jid, StanzaError, datetime, ns};

use super::call::{AnswerTo, Call, CallAnswer, CallFailed, CallId, message_of};
use super::settings::{ReservationSettings, encode};
use crate::client::Client;
use crate::context::{Context, Sender};
use crate::timers::Timers;

/// Requests that wait for one room, as many as joins that wait for the focus.
const MAX_WAITING: usize = 500;
/// Rooms that one client waits for. The stock client asks for one.
const MAX_ROOMS_OF_A_CLIENT: usize = 3;
/// Rooms that are asked for at one time.
const MAX_ASKED: usize = 1000;
/// How long a refusal is remembered, so that clients that try again do not have the server asked anew.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Longest password, in bytes, as of those that owners set.
const MAX_PASSWORD_BYTES: usize = 1024;
/// Longest id of a reservation, in bytes.
const MAX_ID_BYTES: usize = 256;

/// What is known of rooms that open by reservation.
#[derive(Debug)]
pub(crate) struct Reservations {
    by_room: BTreeMap<Jid, Reservation>,
    /// Which room a question is about.
    questions: BTreeMap<CallId, Jid>,
    next_call: u64,
    /// When rooms are to be forgotten.
    timers: Timers<Jid>,
}

/// How it stands with a room.
#[derive(Debug)]
enum Reservation {
    /// The server has not said yet.
    Asked(Vec<Waiter>),
    /// It may open.
    Granted(Grant),
    /// It may not.
    Refused(Refusal),
}

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// The full JID.
    pub(crate) jid: Jid,
    pub(crate) client: Arc<Client>,
    /// The focus, as he addressed it.
    pub(crate) to: Jid,
    pub(crate) request: Element,
}

/// What the server says of a room that may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    id: String,
    /// Until when, in milliseconds since 1970.
    ends_ms: u64,
    pub(crate) max_occupants: Option<usize>,
    pub(crate) has_lobby: bool,
    pub(crate) password: Option<String>,
    /// Whether the room was opened as it says.
    is_applied: bool,
}

/// What the server is asked. Without an address there is none that could be asked.
struct Question {
    method: Method,
    uri: Option<Uri>,
    body: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    code: u16,
    text: String,
}

impl Default for Reservations {
    fn default() -> Self {
        Self { by_room: BTreeMap::new(), questions: BTreeMap::new(), next_call: 0, timers: Timers::new() }
    }
}

impl Reservations {
    /// Whether a request for a conference may go on, or waits, or is refused right here. The room is none yet.
    pub(crate) fn check(
        &mut self,
        context: &mut Context<'_>,
        settings: &ReservationSettings,
        room: &Jid,
        waiter: Waiter,
        calls: &mut VecDeque<Call>,
    ) -> Option<Waiter> {
        let asked = self.by_room.values().filter_map(|reservation| match reservation {
            Reservation::Asked(waiting) => Some(waiting),
            Reservation::Granted(_) | Reservation::Refused(_) => None,
        });
        let (asked, of_client) = asked.fold((0, 0), |(asked, of_client), waiting| {
            (asked + 1, of_client + usize::from(waiting.iter().any(|other| other.jid == waiter.jid)))
        });
        let known = self.by_room.len();
        match self.by_room.get_mut(room) {
            Some(Reservation::Granted(_)) => return Some(waiter),
            Some(Reservation::Refused(refusal)) => refusal.tell(context, &waiter),
            Some(Reservation::Asked(waiting)) if waiting.len() < MAX_WAITING => waiting.push(waiter),
            Some(Reservation::Asked(_)) => refuse_busy(context, &waiter),
            None if asked >= MAX_ASKED
                || of_client >= MAX_ROOMS_OF_A_CLIENT
                || known >= context.settings.limits.rooms =>
            {
                refuse_busy(context, &waiter);
            }
            None => {
                let (owner, name) = (waiter.jid.to_bare(), room.local().unwrap_or_default());
                let form = [
                    ("name", name),
                    ("start_time", &datetime::format_utc(context.now.unix_ms)),
                    ("mail_owner", owner.as_str()),
                ];
                let body = form.map(|(name, value)| format!("{name}={}", encode(value))).join("&");
                tracing::debug!(%room, "asked whether the room may open");
                self.by_room.insert(room.clone(), Reservation::Asked(vec![waiter]));
                let uri = settings.server.below("conference");
                self.ask(context, settings, room, Question { method: Method::POST, uri, body }, calls);
            }
        }
        None
    }

    fn ask(
        &mut self,
        context: &mut Context<'_>,
        settings: &ReservationSettings,
        room: &Jid,
        Question { method, uri, body }: Question,
        calls: &mut VecDeque<Call>,
    ) {
        let Some(uri) = uri else { return self.refuse(context, room, Refusal::unreachable()) };
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.questions.insert(call, room.clone());
        calls.push_back(Call {
            answer_to: AnswerTo::Question(call),
            server: Arc::clone(&settings.server),
            method,
            uri,
            content_type: (!body.is_empty()).then_some("application/x-www-form-urlencoded"),
            headers: Vec::new(),
            body,
        });
    }

    /// Takes the end of a question. Answers whose requests go on to the focus.
    pub(crate) fn on_call_ended(
        &mut self,
        context: &mut Context<'_>,
        call: CallId,
        end: Result<CallAnswer, CallFailed>,
        calls: &mut VecDeque<Call>,
    ) -> Vec<Waiter> {
        let Some(room) = self.questions.remove(&call) else { return Vec::new() };
        let all = context.settings;
        let Some(settings) = &all.outside.reservations else { return Vec::new() };
        let answer = match end {
            Ok(answer) => answer,
            Err(failed) => {
                self.refuse(context, &room, Refusal::of(failed));
                return Vec::new();
            }
        };
        match answer.status {
            200 | 201 => match Grant::parse(&answer.body, room.local().unwrap_or_default()) {
                Some(grant) => return self.grant(context, &room, grant.within(settings)),
                None => self.refuse(context, &room, Refusal::invalid(500)),
            },
            409 => match conflict_of(&answer.body) {
                Some(id) => {
                    let uri = settings.server.below(&format!("conference/{}", encode(&id)));
                    self.ask(
                        context,
                        settings,
                        &room,
                        Question { method: Method::GET, uri, body: String::new() },
                        calls,
                    );
                }
                None => self.refuse(context, &room, Refusal::invalid(409)),
            },
            code => {
                let refusal = Refusal { code, text: text_of(&answer.body) };
                self.refuse(context, &room, refusal);
            }
        }
        Vec::new()
    }

    fn grant(&mut self, context: &mut Context<'_>, room: &Jid, grant: Grant) -> Vec<Waiter> {
        let Some(left_ms) = grant.ends_ms.checked_sub(context.now.unix_ms).filter(|left| *left > 0) else {
            self.refuse(context, room, Refusal { code: 419, text: "Reservation expired".to_owned() });
            return Vec::new();
        };
        tracing::info!(%room, id = grant.id, seconds = left_ms / 1000, "reservation found");
        self.timers.set(room.clone(), context.now.instant + Duration::from_millis(left_ms));
        match self.by_room.insert(room.clone(), Reservation::Granted(grant)) {
            Some(Reservation::Asked(waiting)) => waiting,
            Some(Reservation::Granted(_) | Reservation::Refused(_)) | None => Vec::new(),
        }
    }

    fn refuse(&mut self, context: &mut Context<'_>, room: &Jid, refusal: Refusal) {
        tracing::info!(%room, code = refusal.code, text = refusal.text, "room may not open");
        context.metrics.count_dropped("reservation_refused");
        self.timers.set(room.clone(), context.now.instant + REFUSED_FOR);
        let former = self.by_room.insert(room.clone(), Reservation::Refused(refusal.clone()));
        if let Some(Reservation::Asked(waiting)) = former {
            waiting.iter().for_each(|waiter| refusal.tell(context, waiter));
        }
    }

    /// What holds of a room that may open.
    pub(crate) fn grant_of(&self, room: &Jid) -> Option<&Grant> {
        match self.by_room.get(room)? {
            Reservation::Granted(grant) => Some(grant),
            Reservation::Asked(_) | Reservation::Refused(_) => None,
        }
    }

    /// What is to be done with a room that came into being by reservation, once.
    pub(crate) fn grant_to_apply(&mut self, room: &Jid) -> Option<Grant> {
        match self.by_room.get_mut(room)? {
            Reservation::Granted(grant) if !grant.is_applied => {
                grant.is_applied = true;
                Some(grant.clone())
            }
            Reservation::Granted(_) | Reservation::Asked(_) | Reservation::Refused(_) => None,
        }
    }

    /// When there is something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Forgets what has served its time; answers a room whose time is over.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Jid> {
        while let Some(room) = self.timers.pop_due(now) {
            if let Some(Reservation::Granted(_)) = self.by_room.remove(&room) {
                return Some(room);
            }
        }
        None
    }

    /// A room ended before its time: it is no longer taken.
    pub(crate) fn on_ended(&mut self, context: &Context<'_>, room: &Jid, calls: &mut VecDeque<Call>) {
        let Some(settings) = &context.settings.outside.reservations else { return };
        if self.grant_of(room).is_none() {
            return;
        }
        self.timers.clear(room);
        let Some(Reservation::Granted(grant)) = self.by_room.remove(room) else { return };
        let Some(uri) = settings.server.below(&format!("conference/{}", encode(&grant.id))) else { return };
        calls.push_back(Call {
            answer_to: AnswerTo::Nobody { room: room.clone() },
            server: Arc::clone(&settings.server),
            method: Method::DELETE,
            uri,
            content_type: None,
            headers: Vec::new(),
            body: String::new(),
        });
    }

    /// Somebody is gone, and waits no longer.
    pub(crate) fn on_session_end(&mut self, jid: &Jid) {
        for reservation in self.by_room.values_mut() {
            if let Reservation::Asked(waiting) = reservation {
                waiting.retain(|waiter| waiter.jid != *jid);
            }
        }
    }

    pub(crate) fn remembered(&self) -> usize {
        self.by_room.len() + self.questions.len()
    }
}

impl Waiter {
    pub(crate) fn new(sender: Sender<'_>, to: &Jid, request: Element) -> Self {
        Self { jid: sender.jid.clone(), client: Arc::clone(sender.client), to: to.clone(), request }
    }
}

impl Grant {
    /// Reads the answer of a server; `None` when it lacks something, or is about another room.
    fn parse(body: &[u8], room: &str) -> Option<Self> {
        let json: Value = serde_json::from_slice(body).ok()?;
        let is_of_room = json["name"].as_str().is_some_and(|name| name.to_lowercase() == room.to_lowercase());
        let (id, duration_s) = (id_of(&json["id"])?, number_of(&json["duration"])?);
        if !is_of_room || json["mail_owner"].is_null() || !(0.0..=1e9).contains(&duration_s) {
            return None;
        }
        let starts_ms = time_of(json["start_time"].as_str()?)?;
        let password = json["password"].as_str().filter(|password| !password.is_empty());
        if password.is_some_and(|password| password.len() > MAX_PASSWORD_BYTES) {
            return None;
        }
        let lasts_ms = u64::try_from(Duration::from_secs_f64(duration_s).as_millis()).ok()?;
        let max_occupants = number_of(&json["max_occupants"]).filter(|max| (1.0..=1e6).contains(max));
        Some(Self {
            id,
            ends_ms: starts_ms.checked_add(lasts_ms)?,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within 1 and a million"
            )]
            max_occupants: max_occupants.map(|max| max as usize),
            has_lobby: json["lobby"] == true,
            password: password.map(str::to_owned),
            is_applied: false,
        })
    }

    /// Without what the server is not to decide.
    fn within(self, settings: &ReservationSettings) -> Self {
        Self {
            max_occupants: self.max_occupants.filter(|_| settings.max_occupants),
            has_lobby: self.has_lobby && settings.lobby,
            password: self.password.filter(|_| settings.password),
            ..self
        }
    }
}

impl Refusal {
    fn of(failed: CallFailed) -> Self {
        match failed {
            CallFailed::TimedOut => Self { code: 500, text: "Reservation lookup timed out".to_owned() },
            CallFailed::Unreachable => Self::unreachable(),
        }
    }

    fn unreachable() -> Self {
        Self { code: 500, text: "Could not contact reservation server".to_owned() }
    }

    fn invalid(code: u16) -> Self {
        Self { code, text: "Invalid response from reservation server".to_owned() }
    }

    fn tell(&self, context: &mut Context<'_>, waiter: &Waiter) {
        let code = Element::new("reservation-error", ns::FOCUS).with_attr("error-code", self.code.to_string());
        let error = StanzaError::new(Condition::ServiceUnavailable).with_text(self.text.as_str()).with_extension(code);
        context.refuse(&waiter.jid, &waiter.request, &error);
    }
}

fn refuse_busy(context: &mut Context<'_>, waiter: &Waiter) {
    context.metrics.count_dropped("too_many_reservations");
    context.refuse(&waiter.jid, &waiter.request, &StanzaError::new(Condition::ResourceConstraint));
}

/// The id of a reservation that there is already.
fn conflict_of(body: &[u8]) -> Option<String> {
    id_of(&serde_json::from_slice::<Value>(body).ok()?["conflict_id"])
}

/// What the server says of a refusal.
fn text_of(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    json.as_ref().and_then(message_of).unwrap_or_else(|| "Rejected by reservation server".to_owned())
}

/// An id is a number or a text.
fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty() && text.len() <= MAX_ID_BYTES),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number, or the text of one, as Lua has it.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time with a zone, `Z` or `+01:00`, or without one, which is UTC; in milliseconds since 1970.
fn time_of(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let (time, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    let utc_ms = datetime::parse_utc(&format!("{date}T{time}Z"))?;
    let ahead = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(offset), _) => Some((offset, true)),
        (None, Some(offset)) => Some((offset, false)),
        (None, None) => None,
    };
    let Some((offset, is_ahead)) = ahead else { return Some(utc_ms) };
    let digits: String = offset.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<u64>().ok()? };
    let offset_ms = (hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes)?).checked_mul(60_000)?;
    if is_ahead { utc_ms.checked_sub(offset_ms) } else { utc_ms.checked_add(offset_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id": 364, "name": "Demo", "mail_owner": "a@b", "start_time": "2048-04-20T17:55:12.000Z",
        "duration": "900", "max_occupants": 20, "lobby": true, "password": "pw"}"#;

    #[test]
    fn an_answer_is_about_the_room_and_whole_or_none() {
        let grant = Grant::parse(BODY.as_bytes(), "demo").unwrap();
        assert_eq!((grant.id.as_str(), grant.max_occupants, grant.has_lobby), ("364", Some(20), true));
        assert_eq!(grant.ends_ms, datetime::parse_utc("2048-04-20T18:10:12.000Z").unwrap());
        assert_eq!(grant.password.as_deref(), Some("pw"));
        assert_eq!(Grant::parse(BODY.as_bytes(), "other"), None);
        for (part, instead) in [
            ("364", "null"),
            ("\"a@b\"", "null"),
            ("2048", "soon"),
            ("\"900\"", "\"long\""),
            ("\"900\"", "-1"),
            ("\"900\"", "1e300"),
        ] {
            assert_eq!(Grant::parse(BODY.replace(part, instead).as_bytes(), "demo"), None, "{instead}");
        }
        for other in ["", "[]", "{", "\u{0}", "{\"id\": {}}"] {
            assert_eq!(Grant::parse(other.as_bytes(), "demo"), None, "{other}");
        }
    }

    #[test]
    fn a_time_may_have_a_zone() {
        let noon = datetime::parse_utc("2026-08-22T12:00:00Z");
        for text in [
            "2026-08-22T12:00:00Z",
            "2026-08-22T12:00:00.000",
            "2026-08-22T14:00:00+02:00",
            "2026-08-22T06:30:00-0530",
            "2026-08-22T13:00:00+01",
        ] {
            assert_eq!(time_of(text), noon, "{text}");
        }
        for bad in
            ["", "T", "2026-08-22", "2026-08-22T12:00:00+x", "2026-08-22T12:00:00+1", "1970-01-01T00:00:00+01:00"]
        {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }
}
