//! HTTP for operators (focus.md §12).

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use web::bad_request;

use super::Command;
use crate::{AdminError, AdminRequest};

type Commands = mpsc::Sender<Command>;
type Params<T> = Result<Query<T>, QueryRejection>;

/// What `/move-endpoints/…` is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Move {
    conference: Option<String>,
    endpoint: Option<String>,
    bridge: Option<String>,
    num_endpoints: Option<usize>,
    fraction: Option<f64>,
}

#[derive(Deserialize)]
struct Debug {
    full: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pin {
    conference_id: String,
    jvb_version: String,
    duration_minutes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unpin {
    conference_id: String,
}

pub(super) fn router(commands: Commands) -> Router {
    let simple = |request: AdminRequest| {
        get(move |State(commands): State<Commands>| async move { ask(&commands, request).await })
    };
    Router::new()
        .route("/stats", simple(AdminRequest::Stats))
        .route("/rtcstats", simple(AdminRequest::RtcStats))
        .route("/debug", get(debug))
        .route("/debug/conferences", simple(AdminRequest::Conferences))
        .route("/debug/conferences-full", simple(AdminRequest::ConferencesFull))
        .route("/debug/conference/{room}", get(conference))
        .route("/move-endpoints/move-endpoint", get(move_endpoint))
        .route("/move-endpoints/move-endpoints", get(move_endpoints))
        .route("/move-endpoints/move-fraction", get(move_fraction))
        .route("/pin", simple(AdminRequest::Pins).post(pin))
        .route("/pin/remove", post(unpin))
        .with_state(commands)
}

async fn ask(commands: &Commands, request: AdminRequest) -> Response {
    let (answer, answered) = oneshot::channel();
    if commands.send(Command::Admin { request, answer }).await.is_err() {
        return web::refusal(StatusCode::SERVICE_UNAVAILABLE, "the focus does not run");
    }
    match answered.await {
        Ok(Ok(answer)) => web::json_answer(answer),
        Ok(Err(error)) => {
            let status = match error {
                AdminError::BridgeNotFound | AdminError::ConferenceNotFound => StatusCode::NOT_FOUND,
                AdminError::InvalidConference | AdminError::CannotPin | AdminError::InvalidFraction => {
                    StatusCode::BAD_REQUEST
                }
            };
            web::refusal(status, error)
        }
        Err(_) => web::refusal(StatusCode::SERVICE_UNAVAILABLE, "the focus is gone"),
    }
}

async fn debug(State(commands): State<Commands>, params: Params<Debug>) -> Response {
    match params {
        Ok(Query(debug)) => ask(&commands, AdminRequest::Debug { full: debug.full.unwrap_or(false) }).await,
        Err(error) => bad_request(error),
    }
}

async fn conference(State(commands): State<Commands>, Path(room): Path<String>) -> Response {
    ask(&commands, AdminRequest::Conference { room }).await
}

async fn move_endpoint(State(commands): State<Commands>, params: Params<Move>) -> Response {
    let Query(wanted) = match params {
        Ok(wanted) => wanted,
        Err(error) => return bad_request(error),
    };
    let Some(conference) = wanted.conference else { return bad_request("Missing parameter: conference") };
    let Some(endpoint) = wanted.endpoint else { return bad_request("Missing parameter: endpoint") };
    ask(&commands, AdminRequest::MoveEndpoint { conference, endpoint, bridge: wanted.bridge }).await
}

async fn move_endpoints(State(commands): State<Commands>, params: Params<Move>) -> Response {
    let Query(wanted) = match params {
        Ok(wanted) => wanted,
        Err(error) => return bad_request(error),
    };
    let Some(bridge) = wanted.bridge else { return bad_request("Missing parameter: bridge") };
    let count = wanted.num_endpoints.unwrap_or(1);
    ask(&commands, AdminRequest::MoveEndpoints { bridge, conference: wanted.conference, count }).await
}

async fn move_fraction(State(commands): State<Commands>, params: Params<Move>) -> Response {
    let Query(wanted) = match params {
        Ok(wanted) => wanted,
        Err(error) => return bad_request(error),
    };
    let Some(bridge) = wanted.bridge else { return bad_request("Missing parameter: bridge") };
    ask(&commands, AdminRequest::MoveFraction { bridge, fraction: wanted.fraction.unwrap_or(0.1) }).await
}

async fn pin(State(commands): State<Commands>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(pin) => {
            let Pin { conference_id: conference, jvb_version: version, duration_minutes: minutes } = pin;
            ask(&commands, AdminRequest::Pin { conference, version, minutes }).await
        }
        Err(error) => bad_request(error),
    }
}

async fn unpin(State(commands): State<Commands>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(Unpin { conference_id: conference }) => ask(&commands, AdminRequest::Unpin { conference }).await,
        Err(error) => bad_request(error),
    }
}
