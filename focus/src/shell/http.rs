//! HTTP of the focus (focus.md §3.2, §12).

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jitsi_protocol::conference_request::{ConferenceRequest, MAX_BODY_BYTES};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use xmpp::Condition;

use super::Command;
use crate::Health;
use crate::admin::health_text;

/// How long a client waits for its answer: entering a room may take three answers of the XMPP server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

type Commands = mpsc::Sender<Command>;

pub(super) fn router(commands: Commands) -> Router {
    Router::new()
        .route("/conference-request/v1", post(conference_request).options(preflight))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(commands.clone())
        .merge(about(commands))
}

/// What the focus says of itself.
pub(super) fn about(commands: Commands) -> Router {
    Router::new().route("/about/health", get(health)).route("/about/version", get(version)).with_state(commands)
}

async fn conference_request(State(commands): State<Commands>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = ask(&commands, &headers, &body).await.unwrap_or_else(|(status, text)| (status, text).into_response());
    (CORS.map(|(name, value)| (name, HeaderValue::from_static(value))), answer).into_response()
}

/// Asks the focus; the error is a status and its text.
async fn ask(commands: &Commands, headers: &HeaderMap, body: &[u8]) -> Result<Response, (StatusCode, String)> {
    let bad_request = |text: String| (StatusCode::BAD_REQUEST, format!("Bad request: {text}"));
    let body = std::str::from_utf8(body).map_err(|_| bad_request("not UTF-8".to_owned()))?;
    let mut request = ConferenceRequest::from_json(body).map_err(|error| bad_request(error.to_string()))?;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    request.token = authorization.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);

    let unavailable = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    let (answer, answered) = oneshot::channel();
    let command = Command::Conference { request, answer };
    commands.try_send(command).map_err(|_| unavailable("the focus takes no requests"))?;
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
    match answered {
        Ok(Ok(Ok(response))) => Ok(([(header::CONTENT_TYPE, "application/json")], response.to_json()).into_response()),
        Ok(Ok(Err(error))) if matches!(error.condition, Condition::NotAuthorized) => {
            Err((StatusCode::FORBIDDEN, "not authorized".to_owned()))
        }
        Ok(Ok(Err(error))) if matches!(error.condition, Condition::NotAcceptable) => {
            Err(bad_request("invalid-session".to_owned()))
        }
        Ok(Ok(Err(error))) => Err(bad_request(error.text.unwrap_or_else(|| error.condition.as_str().to_owned()))),
        Ok(Err(_)) => Err(unavailable("the focus is gone")),
        Err(_) => Err(unavailable("the focus did not answer in time")),
    }
}

async fn preflight() -> Response {
    (CORS.map(|(name, value)| (name, HeaderValue::from_static(value))), StatusCode::OK).into_response()
}

async fn health(State(commands): State<Commands>) -> Response {
    let (answer, answered) = oneshot::channel();
    if commands.try_send(Command::Health { answer }).is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the focus does not run").into_response();
    }
    match answered.await {
        Ok(Health::Healthy) => (StatusCode::OK, "OK").into_response(),
        Ok(bad @ (Health::NoBridge | Health::NoStream)) => {
            let status = if bad == Health::NoBridge {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            (status, health_text(bad).unwrap_or_default()).into_response()
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the focus does not run").into_response(),
    }
}

async fn version() -> Response {
    let os = std::env::consts::OS;
    axum::Json(json!({ "name": "Teranga focus", "version": env!("CARGO_PKG_VERSION"), "os": os })).into_response()
}

/// Clients may be served from another origin. Nothing here depends on cookies.
const CORS: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
];
