//! `/health`, for what watches over the service on this host (signaling.md §2).

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Handle;
use super::core_task::Command;
use super::origin::OriginRequest;

/// A core that does not get round to answering within this time is not well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn router(handle: Handle) -> Router {
    Router::new().route("/health", get(health)).with_state(handle)
}

/// 200 while the core answers, 503 when it does not. Only programs of this host are told.
async fn health(State(handle): State<Handle>, origin: OriginRequest) -> impl IntoResponse {
    if !origin.is_local() {
        return (StatusCode::FORBIDDEN, "only for this host\n");
    }
    let (answer, is_answered) = oneshot::channel();
    let answered =
        timeout(ANSWER_TIMEOUT, async { handle.command(Command::Health(answer)).await && is_answered.await.is_ok() });
    match answered.await {
        Ok(true) => (StatusCode::OK, "OK\n"),
        Ok(false) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "signaling does not answer\n"),
    }
}
