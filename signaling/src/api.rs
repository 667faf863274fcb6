//! What other systems ask of rooms over HTTP (signaling.md §7): requests as values, and what the core does about them.
//!
//! Not here: paths, statuses and who may ask (`shell/api.rs`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xmpp::muc::Destroy;
use xmpp::{Element, Jid, ns};

use crate::conference::TERMINATED;
use crate::conference_components::json;
use crate::context::Now;
use crate::external_services::Asker;
use crate::muc::{Occupant, Room};
use crate::server::Server;
use crate::{Secret, TokenIssuer, TokenKeys};

/// Passcodes that are tried in one room and minute: people mistype, and four digits are soon guessed.
const MAX_PASSCODES_A_MINUTE: u32 = 10;
/// The room in which gateways to telephones wait for calls.
const JIGASI_BREWERY: &str = "jigasibrewery";

/// What is served over HTTP, and to whom. Nothing by default, as in stock.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// Who is told what rooms there are and who is in them: `/room-size`, `/room`, `/sessions`, `/room-census`.
    pub statistics: Option<StatisticsAccess>,
    /// Whether everybody who asks gets credentials for TURN: `/turn-credentials`.
    pub turn_credentials: bool,
    /// Keys of tokens that users log in with: `/room-info`, and rooms' sizes where a token is wanted.
    pub login_keys: Option<TokenKeys>,
    /// Keys of tokens that other systems show: `/end-meeting`, `/kick-participant`, `/send-system-chat-message`,
    /// `/invite-jigasi`, `/token`.
    pub system_keys: Option<TokenKeys>,
    /// Who gives out tokens of users to such systems: `/token`.
    pub tokens: Option<TokenIssuer>,
}

/// Who is told about rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsAccess {
    /// Whoever asks.
    Everybody,
    /// Who has a token for the room (`enable_roomsize_token_verification`).
    TokenHolders,
}

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the requests in signaling.md §7")]
pub enum ApiRequest {
    /// How many are in a room.
    Size { room: Jid },
    /// Who is in a room.
    Occupants { room: Jid },
    /// How many sessions there are.
    Sessions,
    /// All rooms.
    Census,
    /// Credentials for TURN, for a client that reached this server at `host`.
    TurnCredentials { host: Option<String> },
    /// What it takes to enter a room.
    Info { room: Jid },
    /// Whether this is the passcode of a room.
    CheckPasscode { room: Jid, passcode: Secret },
    /// End a meeting; silently, clients come back at once.
    EndMeeting { room: Jid, silently: bool },
    /// Send somebody out of a room.
    Kick { room: Jid, whom: Kicked },
    /// Say something to some in a room, in the name of the system.
    SystemChat { room: Jid, receivers: Vec<Jid>, message: String, display_name: Option<String> },
    /// Have a telephone called into a room.
    InviteJigasi { room: Jid, phone: String },
}

/// Whom to send out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kicked {
    /// The participant of that endpoint id.
    Participant(String),
    /// The telephone of that number.
    Number(String),
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// There is no such room, participant or gateway.
    NotFound,
    /// It was tried too often.
    TooOften,
}

impl Server {
    /// Answers a request. [`Server::poll_output`] may have things to do afterwards.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub fn handle_request(&mut self, now: Now, request: ApiRequest) -> Result<Value, ApiError> {
        let answer = self.answer_request(now, request);
        let (mut context, conferences, ..) = self.context(now);
        conferences.settle(&mut context);
        self.flush_outbox(now);
        answer
    }

    fn answer_request(&mut self, now: Now, request: ApiRequest) -> Result<Value, ApiError> {
        let sessions = self.sessions.values().filter(|session| !self.settings.hosts.is_service(&session.jid)).count();
        let (mut context, conferences, internal, _) = self.context(now);
        let room = |room: &Jid| conferences.room(room).ok_or(ApiError::NotFound);
        match request {
            ApiRequest::Size { room: jid } => Ok(json!({"participants": room(&jid)?.participants().count()})),
            ApiRequest::Occupants { room: jid } => {
                let room = room(&jid)?;
                Ok(room.participants().map(|occupant| describe(room, occupant)).collect())
            }
            ApiRequest::Sessions => Ok(json!(sessions)),
            ApiRequest::Census => Ok(json!({"room_census": conferences.rooms().map(count).collect::<Value>()})),
            ApiRequest::TurnCredentials { host } => {
                let asker = Asker { jid: &context.settings.hosts.domain, host: host.as_deref() };
                Ok(context.settings.external_services.to_json(now, asker))
            }
            ApiRequest::Info { room: jid } => {
                let config = &room(&jid)?.config;
                Ok(json!({
                    "conference": jid.as_str(), "passcodeProtected": config.password.is_some(),
                    "lobbyEnabled": config.is_members_only,
                }))
            }
            ApiRequest::CheckPasscode { room: jid, passcode } => {
                let room = conferences.room_mut(&jid).ok_or(ApiError::NotFound)?;
                if !room.state.passcodes.is_due(now.instant) {
                    return Err(ApiError::TooOften);
                }
                let is_valid = room.config.password.as_deref() == Some(passcode.expose());
                Ok(json!({"valid": is_valid}))
            }
            ApiRequest::EndMeeting { room: jid, silently } => {
                room(&jid)?;
                let reason = if silently { format!("{TERMINATED} silently") } else { TERMINATED.to_owned() };
                let alternate = silently.then(|| jid.as_str().to_owned());
                conferences.end(&mut context, &jid, &Destroy { alternate, reason: Some(reason) }, ("api", None));
                Ok(json!({}))
            }
            ApiRequest::Kick { room: jid, whom } => {
                let nick = room(&jid)?.participants().find(|occupant| is_meant(occupant, &whom));
                let nick = nick.map(|occupant| occupant.nick.clone()).ok_or(ApiError::NotFound)?;
                conferences.kick(&mut context, &jid, &nick);
                Ok(json!({}))
            }
            ApiRequest::SystemChat { room: jid, receivers, message, display_name } => {
                let room = room(&jid)?;
                let mut json = json!({"type": "system_chat_message", "message": message});
                if let Some(name) = display_name {
                    json["displayName"] = Value::from(name);
                }
                let receivers = receivers.iter().filter(|receiver| room.is_occupant(receiver));
                context.send_to_all(receivers, json::message(&room.jid, &json));
                Ok(json!({}))
            }
            ApiRequest::InviteJigasi { room: jid, phone } => {
                let brewery = Jid::new(Some(JIGASI_BREWERY), context.settings.hosts.internal_muc.domain(), None);
                let brewery = brewery.ok().and_then(|brewery| internal.room(&brewery)).ok_or(ApiError::NotFound)?;
                let gateways = brewery.occupants().filter_map(|occupant| Some((load_of(occupant)?, occupant)));
                let (_, gateway) = gateways.min_by_key(|(load, _)| *load).ok_or(ApiError::NotFound)?;
                let dial =
                    Element::new("dial", ns::RAYO).with_attr("to", phone).with_attr("from", "fromnumber").with_child(
                        Element::new("header", ns::RAYO)
                            .with_attr("name", "JvbRoomName")
                            .with_attr("value", jid.as_str()),
                    );
                let id = context.random_uuid();
                let iq = Element::new("iq", ns::CLIENT)
                    .with_attr("type", "set")
                    .with_attr("id", id)
                    .with_attr("from", context.settings.hosts.domain.as_str());
                let to = gateway.jid.clone();
                context.send(&to, iq.with_child(dial));
                Ok(json!({}))
            }
        }
    }
}

fn describe(room: &Room, occupant: &Occupant) -> Value {
    let text = |name: &str| occupant.presence().child(name, ns::CLIENT).map(Element::text);
    json!({
        "jid": room.occupant_jid(&occupant.nick), "email": text("email"), "display_name": occupant.display_name(),
    })
}

fn count(room: &Room) -> Value {
    json!({
        "room_name": room.jid.as_str(), "participants": room.participants().count(),
        "created_time": room.started_ms, "leaked": room.is_empty() && !room.is_kept(),
    })
}

fn is_meant(occupant: &Occupant, whom: &Kicked) -> bool {
    match whom {
        Kicked::Participant(id) => occupant.nick == *id,
        // Gateways are services, and show the number as the name.
        Kicked::Number(number) => occupant.is_service && occupant.display_name().as_deref() == Some(number),
    }
}

/// Calls that a gateway has; `None` when it makes none.
fn load_of(gateway: &Occupant) -> Option<u64> {
    let stats = gateway.presence().child("stats", ns::COLIBRI)?;
    let stat = |name: &str| {
        let found = stats.children_named("stat", ns::COLIBRI).find(|stat| stat.attr("name") == Some(name));
        found.and_then(|stat| stat.attr("value"))
    };
    if stat("supports_sip") == Some("false") || stat("graceful-shutdown") == Some("true") {
        return None;
    }
    Some(stat("participants").and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// Passcodes that were tried in a room.
#[derive(Debug, Default)]
pub(crate) struct Passcodes(Option<(Instant, u32)>);

impl Passcodes {
    fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            Some((since, count)) if now.saturating_duration_since(*since) < Duration::from_secs(60) => {
                *count += 1;
                *count <= MAX_PASSCODES_A_MINUTE
            }
            Some(_) | None => {
                self.0 = Some((now, 1));
                true
            }
        }
    }
}
