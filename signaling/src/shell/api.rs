//! HTTP for other systems (signaling.md §7): paths, bodies, statuses, and who may ask what. What is asked is in `api.rs`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use xmpp::Jid;

use super::core_task::Command;
use super::origin::{bearer_token, host_of};
use super::{Handle, now};
use crate::api::{ApiError, ApiRequest, Kicked, StatisticsAccess};
use crate::audit;
use crate::{Secret, TokenKeys, TokenRequest};

/// Longest body, in bytes: a message to everybody in a room of 500.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The routes that are switched on.
pub(super) fn router(handle: Handle) -> Router {
    let settings = &handle.settings().api;
    let mut router = Router::new();
    if settings.statistics.is_some() {
        router = router
            .route("/room-size", get(room_size))
            .route("/room", get(room))
            .route("/sessions", get(sessions))
            .route("/room-census", get(census));
    }
    if settings.turn_credentials {
        router = router.route("/turn-credentials", get(turn_credentials));
    }
    if settings.login_keys.is_some() {
        router = router.route("/room-info", get(room_info).put(check_passcode));
    }
    if settings.system_keys.is_some() {
        router = router
            .route("/end-meeting", post(end_meeting))
            .route("/kick-participant", put(kick))
            .route("/send-system-chat-message", post(system_chat))
            .route("/invite-jigasi", post(invite_jigasi));
        if settings.tokens.is_some() {
            router = router.route("/token", post(give_out_token));
        }
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(handle)
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    room: Option<String>,
    domain: Option<String>,
    subdomain: Option<String>,
    prefix: Option<String>,
    token: Option<String>,
    conference: Option<String>,
    #[serde(rename = "silent-reconnect")]
    silent_reconnect: Option<String>,
}

type Answer = Result<Response, StatusCode>;

async fn room_size(State(handle): State<Handle>, Query(parameters): Query<Parameters>) -> Answer {
    let room = handle.counted_room(&parameters)?;
    handle.ask(ApiRequest::Size { room }).await
}

async fn room(State(handle): State<Handle>, Query(parameters): Query<Parameters>) -> Answer {
    let room = handle.counted_room(&parameters)?;
    handle.ask(ApiRequest::Occupants { room }).await
}

async fn sessions(State(handle): State<Handle>) -> Answer {
    handle.request(ApiRequest::Sessions).await.map(|count| count.to_string().into_response())
}

async fn census(State(handle): State<Handle>) -> Answer {
    handle.ask(ApiRequest::Census).await
}

async fn turn_credentials(State(handle): State<Handle>, uri: axum::http::Uri, headers: HeaderMap) -> Answer {
    handle.ask(ApiRequest::TurnCredentials { host: host_of(&uri, &headers) }).await
}

async fn room_info(State(handle): State<Handle>, Query(parameters): Query<Parameters>, headers: HeaderMap) -> Answer {
    let room = handle.room_of_token(&parameters, &headers)?;
    handle.ask(ApiRequest::Info { room }).await
}

async fn check_passcode(
    State(handle): State<Handle>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let room = handle.room_of_token(&parameters, &headers)?;
    let passcode = parse(&body)?["passcode"].as_str().and_then(Secret::new).ok_or(StatusCode::BAD_REQUEST)?;
    handle.ask(ApiRequest::CheckPasscode { room, passcode }).await
}

async fn end_meeting(State(handle): State<Handle>, Query(parameters): Query<Parameters>, headers: HeaderMap) -> Answer {
    handle.check_system(&headers, StatusCode::UNAUTHORIZED)?;
    let room = parameters.conference.as_deref().and_then(|room| room.parse().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let silently = parameters.silent_reconnect.as_deref() == Some("true");
    handle.order(ApiRequest::EndMeeting { room, silently }).await
}

async fn kick(
    State(handle): State<Handle>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    handle.check_system(&headers, StatusCode::FORBIDDEN)?;
    let room = handle.named_room(&parameters, parameters.prefix.as_deref())?;
    let body = parse(&body)?;
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let whom = match (text("participantId"), text("number")) {
        (Some(id), None) => Kicked::Participant(id),
        (None, Some(number)) => Kicked::Number(number),
        (Some(_), Some(_)) | (None, None) => return Err(StatusCode::BAD_REQUEST),
    };
    handle.order(ApiRequest::Kick { room, whom }).await
}

async fn system_chat(State(handle): State<Handle>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = parse(&body)?;
    let jid = |value: &Value| value.as_str().and_then(|jid| jid.parse::<Jid>().ok());
    let room = jid(&body["room"]).ok_or(StatusCode::BAD_REQUEST)?;
    let receivers = body["connectionJIDs"].as_array().ok_or(StatusCode::BAD_REQUEST)?;
    let receivers: Option<Vec<Jid>> = receivers.iter().map(jid).collect();
    let receivers = receivers.ok_or(StatusCode::BAD_REQUEST)?;
    let message = body["message"].as_str().map(str::to_owned).ok_or(StatusCode::BAD_REQUEST)?;
    let display_name = body["displayName"].as_str().map(str::to_owned);
    // Stock looks for the room first. It tells whether there is one only to who shows a token, here.
    handle.check_system(&headers, StatusCode::UNAUTHORIZED)?;
    handle.order(ApiRequest::SystemChat { room, receivers, message, display_name }).await
}

async fn invite_jigasi(State(handle): State<Handle>, headers: HeaderMap, body: Bytes) -> Answer {
    handle.check_system(&headers, StatusCode::UNAUTHORIZED)?;
    let body = parse(&body)?;
    let room = body["conference"].as_str().and_then(|room| room.parse().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let phone = body["phoneNo"].as_str().map(str::to_owned).ok_or(StatusCode::BAD_REQUEST)?;
    match handle.order(ApiRequest::InviteJigasi { room, phone }).await {
        Err(StatusCode::NOT_FOUND) => {
            Ok((StatusCode::NOT_FOUND, to_json(&json!({"error": "Jigasi not found"}))).into_response())
        }
        answer => answer,
    }
}

/// A link for somebody who is to come into a room. Whoever asks has a token that opens every room himself.
async fn give_out_token(State(handle): State<Handle>, headers: HeaderMap, body: Bytes) -> Answer {
    handle.check_system(&headers, StatusCode::UNAUTHORIZED)?;
    let request = TokenRequest::of_json(&parse(&body)?).ok_or(StatusCode::BAD_REQUEST)?;
    let issuer = handle.settings().api.tokens.as_ref().ok_or(StatusCode::NOT_FOUND)?;
    let issued = issuer.give_out(&request, now().unix_ms / 1000).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    if !issued.is_usable() {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    audit::token_given_out(&request, issued.expires);
    let mut answer = json!({"token": issued.token, "expires": issued.expires});
    if let Some(url) = issued.url {
        answer["url"] = Value::from(url);
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], to_json(&answer)).into_response())
}

impl Handle {
    async fn request(&self, request: ApiRequest) -> Result<Value, StatusCode> {
        let (reply, answer) = oneshot::channel();
        if !self.command(Command::Request { request, reply }).await {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ApiError::NotFound)) => Err(StatusCode::NOT_FOUND),
            Ok(Err(ApiError::TooOften)) => Err(StatusCode::TOO_MANY_REQUESTS),
            Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The rooms that are open, by address, and how many are in each; `None` when the core is gone.
    pub async fn rooms(&self) -> Option<Vec<(String, u64)>> {
        let census = self.request(ApiRequest::Census).await.ok()?;
        let rooms = census["room_census"].as_array()?.iter();
        Some(
            rooms
                .filter_map(|room| Some((room["room_name"].as_str()?.to_owned(), room["participants"].as_u64()?)))
                .collect(),
        )
    }

    /// A question, whose answer is JSON.
    async fn ask(&self, request: ApiRequest) -> Answer {
        self.request(request).await.map(|value| to_json(&value))
    }

    /// An order, which is carried out or not.
    async fn order(&self, request: ApiRequest) -> Answer {
        self.request(request).await.map(|_| StatusCode::OK.into_response())
    }

    fn named_room(&self, parameters: &Parameters, tenant: Option<&str>) -> Result<Jid, StatusCode> {
        let name = parameters.room.as_deref().ok_or(StatusCode::BAD_REQUEST)?;
        self.settings().hosts.room(name, tenant).map_err(|_| StatusCode::BAD_REQUEST)
    }

    /// The room of a question about numbers, if it may be asked.
    fn counted_room(&self, parameters: &Parameters) -> Result<Jid, StatusCode> {
        let room = self.named_room(parameters, parameters.subdomain.as_deref())?;
        if self.settings().api.statistics == Some(StatisticsAccess::TokenHolders) {
            let token = parameters.token.as_deref().ok_or(StatusCode::FORBIDDEN)?;
            self.check_login(token, &room)?;
        }
        let domain = parameters.domain.as_deref().ok_or(StatusCode::BAD_REQUEST)?;
        if domain == self.settings().hosts.domain.as_str() { Ok(room) } else { Err(StatusCode::NOT_FOUND) }
    }

    fn room_of_token(&self, parameters: &Parameters, headers: &HeaderMap) -> Result<Jid, StatusCode> {
        let room = self.named_room(parameters, parameters.prefix.as_deref())?;
        self.check_login(bearer_token(headers).ok_or(StatusCode::FORBIDDEN)?, &room)?;
        Ok(room)
    }

    /// Whether a user's token is one for the room.
    fn check_login(&self, token: &str, room: &Jid) -> Result<(), StatusCode> {
        let claims = check(self.settings().api.login_keys.as_ref(), token).ok_or(StatusCode::FORBIDDEN)?;
        let is_for_room = claims["room"]
            .as_str()
            .is_some_and(|name| name == "*" || room.local().is_some_and(|local| local == name.to_lowercase()));
        let tenant = self.settings().hosts.tenant_of(room.domain());
        let is_for_tenant = tenant.is_none_or(|tenant| claims["sub"] == "*" || claims["sub"] == tenant);
        if is_for_room && is_for_tenant { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }

    /// Whether another system shows its token.
    fn check_system(&self, headers: &HeaderMap, refusal: StatusCode) -> Result<(), StatusCode> {
        let claims = bearer_token(headers).and_then(|token| check(self.settings().api.system_keys.as_ref(), token));
        claims.map(|_| ()).ok_or(refusal)
    }
}

fn check(keys: Option<&TokenKeys>, token: &str) -> Option<Value> {
    let verified = keys?.verify(token, now().unix_ms);
    verified.map(Value::Object).inspect_err(|refusal| tracing::debug!(%refusal, "token refused")).ok()
}

fn parse(body: &[u8]) -> Result<Value, StatusCode> {
    serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)
}

fn to_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
