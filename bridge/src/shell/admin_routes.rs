//! JVB's private HTTP interface (bridge.md §1.7; `rest/root`), on the admin listener.
//!
//! What only tells is always there, as is drain; Colibri2 and shutdown are there when an operator switched them on. What
//! changes something is refused to web pages.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, patch, post};
use jitsi_protocol::colibri2::{ConferenceModify, InvalidJson};
use serde::Deserialize;
use web::{JsonBody, bad_request, refusal};

use super::command::{Command, MediaHandle};
use super::muc_clients::{MucClient, MucClientId, MucClients};
use crate::RestSettings;
use crate::admin::{AdminError, AdminRequest};
use crate::shutdown::Shutdown;

/// Longest body: a request with as many endpoints as one may have.
const MAX_BODY_BYTES: usize = 256 << 10;

type Params<T> = Result<Query<T>, QueryRejection>;

#[derive(Debug, Deserialize)]
struct Debug {
    full: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct ShutdownRequest {
    #[serde(rename = "graceful-shutdown")]
    is_graceful: bool,
}

pub(super) fn router(media: MediaHandle, muc_clients: MucClients, rest: RestSettings) -> Router {
    let tells =
        |request: AdminRequest| get(move |State(media): State<MediaHandle>| async move { ask(&media, request).await });
    let does =
        |request: AdminRequest| post(move |State(media): State<MediaHandle>| async move { ask(&media, request).await });
    let colibri = Router::new()
        .route("/colibri/v2/conferences", post(create_conference).merge(tells(AdminRequest::Conferences)))
        .route("/colibri/v2/conferences/{meeting}", patch(modify_conference).get(conference))
        .route("/colibri/v2/conferences/{meeting}/dominant-speaker-identification", get(speakers));
    let muc_clients = Router::new()
        .route("/colibri/muc-client/add", post(add_muc_client))
        .route("/colibri/muc-client/remove", post(remove_muc_client))
        .route("/colibri/muc-client/list", get(list_muc_clients))
        .with_state(muc_clients);
    let shutdown = Router::new().route("/colibri/shutdown", post(shut_down));
    let changes = Router::new()
        .merge(if rest.colibri { colibri } else { switched_off("/colibri/v2/{*path}", "--colibri-rest") })
        .merge(if rest.colibri { muc_clients } else { switched_off("/colibri/muc-client/{*path}", "--colibri-rest") })
        .merge(if rest.shutdown { shutdown } else { switched_off("/colibri/shutdown", "--shutdown-rest") })
        .route("/colibri/drain/enable", does(AdminRequest::SetDrain(true)))
        .route("/colibri/drain/disable", does(AdminRequest::SetDrain(false)))
        .layer(middleware::from_fn(web::refuse_pages))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    Router::new()
        .route("/about/health", tells(AdminRequest::Health))
        .route("/about/version", tells(AdminRequest::Version))
        .route("/about/stats", tells(AdminRequest::Stats))
        .route("/colibri/stats", tells(AdminRequest::Stats))
        .route("/colibri/drain", tells(AdminRequest::Drain))
        .route("/colibri/debug/{*path}", any(moved_debug))
        .route("/stats", tells(AdminRequest::RtcStats))
        .route("/debug", get(debug))
        .route("/debug/{conference}", get(debug_conference))
        .route("/debug/{conference}/{endpoint}", get(debug_endpoint))
        .route("/debug/features/jvb/{feature}", any(unknown_feature))
        .route("/debug/features/jvb/{feature}/{enabled}", any(unknown_feature))
        .route("/debug/stats/jvb/{feature}", any(unknown_feature))
        .route("/debug/features/endpoint/{conference}/{endpoint}/{feature}", any(endpoint_feature))
        .route("/debug/features/endpoint/{conference}/{endpoint}/{feature}/{enabled}", any(endpoint_feature))
        .merge(changes)
        .with_state(media)
}

async fn ask(media: &MediaHandle, request: AdminRequest) -> Response {
    match media.ask(|reply| Command::Admin { request, reply }).await {
        Ok(Ok(answer)) => web::json_answer(answer),
        Ok(Err(error @ AdminError::UnknownConference)) => refusal(StatusCode::NOT_FOUND, error),
        Ok(Err(error @ AdminError::Unhealthy(_))) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn switched_off(path: &str, flag: &'static str) -> Router<MediaHandle> {
    let told = move || std::future::ready(refusal(StatusCode::NOT_FOUND, format_args!("switched off (see {flag})")));
    Router::new().route(path, any(told))
}

async fn create_conference(State(media): State<MediaHandle>, JsonBody(body): JsonBody) -> Response {
    colibri(&media, ConferenceModify::from_json(&body, None)).await
}

async fn modify_conference(
    State(media): State<MediaHandle>,
    Path(meeting): Path<String>,
    JsonBody(body): JsonBody,
) -> Response {
    let request = AdminRequest::Known { meeting: meeting.clone() };
    match media.ask(|reply| Command::Admin { request, reply }).await {
        Ok(Ok(_)) => colibri(&media, ConferenceModify::from_json(&body, Some(&meeting))).await,
        Ok(Err(error)) => refusal(StatusCode::NOT_FOUND, error),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn colibri(media: &MediaHandle, request: Result<ConferenceModify, InvalidJson>) -> Response {
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            return refusal(StatusCode::BAD_REQUEST, format_args!("Failed to parse ConferenceModify JSON: {error}"));
        }
    };
    match media.colibri(request).await {
        Ok(modified) => web::json_answer(modified.to_json()),
        Err(error) => {
            let reason = error.reason.map_or("", |reason| reason.as_str());
            tracing::debug!(reason, text = error.text, "refused a request over HTTP");
            refusal(StatusCode::BAD_REQUEST, format_args!("Failed to create conference: {}", error.text))
        }
    }
}

async fn conference(State(media): State<MediaHandle>, Path(meeting): Path<String>) -> Response {
    ask(&media, AdminRequest::Conference { meeting }).await
}

async fn speakers(State(media): State<MediaHandle>, Path(meeting): Path<String>) -> Response {
    ask(&media, AdminRequest::Speakers { meeting }).await
}

async fn add_muc_client(State(clients): State<MucClients>, JsonBody(body): JsonBody) -> Response {
    let client = match serde_json::from_slice::<MucClient>(&body) {
        Ok(client) => client,
        Err(error) => return bad_request(error),
    };
    match clients.add(&client) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => bad_request(error),
    }
}

async fn remove_muc_client(State(clients): State<MucClients>, JsonBody(body): JsonBody) -> Response {
    match serde_json::from_slice(&body) {
        Ok(MucClientId { id }) if clients.remove(&id) => StatusCode::OK.into_response(),
        Ok(MucClientId { id }) => bad_request(format_args!("there is no connection {id:?}")),
        Err(error) => bad_request(error),
    }
}

async fn list_muc_clients(State(clients): State<MucClients>) -> Response {
    web::json_answer(clients.ids().into())
}

async fn shut_down(State(media): State<MediaHandle>, JsonBody(body): JsonBody) -> Response {
    match serde_json::from_slice(&body) {
        Ok(ShutdownRequest { is_graceful }) => {
            let shutdown = if is_graceful { Shutdown::Graceful } else { Shutdown::Immediate };
            ask(&media, AdminRequest::Shutdown(shutdown)).await
        }
        Err(error) => bad_request(error),
    }
}

async fn debug(State(media): State<MediaHandle>, params: Params<Debug>) -> Response {
    match params {
        Ok(Query(Debug { full })) => ask(&media, AdminRequest::Debug { full: full.unwrap_or(false) }).await,
        Err(error) => bad_request(error),
    }
}

async fn debug_conference(
    State(media): State<MediaHandle>,
    Path(meeting): Path<String>,
    params: Params<Debug>,
) -> Response {
    debug_part(&media, meeting, None, params).await
}

async fn debug_endpoint(
    State(media): State<MediaHandle>,
    Path((meeting, endpoint)): Path<(String, String)>,
    params: Params<Debug>,
) -> Response {
    debug_part(&media, meeting, Some(endpoint), params).await
}

async fn debug_part(media: &MediaHandle, meeting: String, endpoint: Option<String>, params: Params<Debug>) -> Response {
    match params {
        Ok(Query(Debug { full })) => {
            let full = full.unwrap_or(true);
            ask(media, AdminRequest::DebugConference { meeting, endpoint, full }).await
        }
        Err(error) => bad_request(error),
    }
}

/// Where it was in older bridges.
async fn moved_debug(Path(path): Path<String>) -> Redirect {
    Redirect::permanent(&format!("/debug/{path}"))
}

/// JVB's switches are of its pipeline of nodes, pools and queues.
async fn unknown_feature() -> Response {
    refusal(StatusCode::NOT_FOUND, "this bridge has no such feature (see /metrics for its queues and times)")
}

/// Packet traces are files of their own here.
async fn endpoint_feature() -> Response {
    refusal(StatusCode::FORBIDDEN, "packet traces are at /debug/capture/ENDPOINT")
}
