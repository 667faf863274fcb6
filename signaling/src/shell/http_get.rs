//! A document from another server: so much, and within such a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::http_client::{SendError, send};

/// From the first packet to the last byte. Who logs in waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest document. A list of 256 keys has 128 kB.
const MAX_BYTES: usize = 256 * 1024;

/// What came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long it is good, if it says so (`max-age`, RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error("does not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Gets a document.
///
/// # Errors
/// Why there is none.
pub(super) async fn get(uri: &Uri, tls: &Arc<ClientConfig>) -> Result<Answer, GetError> {
    Ok(timeout(TIMEOUT, ask(uri, tls)).await.map_err(|_| GetError::Timeout)??)
}

async fn ask(uri: &Uri, tls: &Arc<ClientConfig>) -> Result<Answer, SendError> {
    let request = Request::get("/").header(header::ACCEPT, "application/json, application/x-pem-file, */*");
    let answer = send(uri, tls, request, Body::empty(), MAX_BYTES).await?;
    Ok(Answer { status: answer.status(), max_age: max_age(answer.headers()), body: answer.into_body() })
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lists = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|list| list.to_str().ok());
    let mut words = lists.flat_map(|list| list.split(',')).map(|word| word.trim().to_ascii_lowercase());
    words.find_map(|word| match word.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        _ => word.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}
