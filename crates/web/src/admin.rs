//! Answers to operators: JSON, or a status with one line of text. The same words in every service.

use std::fmt::Display;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// What a service answered; nothing to say is an empty 200.
pub fn json_answer(answer: Value) -> Response {
    if answer.is_null() { StatusCode::OK.into_response() } else { Json(answer).into_response() }
}

/// A status and why.
pub fn refusal(status: StatusCode, text: impl Display) -> Response {
    (status, text.to_string()).into_response()
}

/// A request that cannot be understood.
pub fn bad_request(text: impl Display) -> Response {
    refusal(StatusCode::BAD_REQUEST, format_args!("Bad request: {text}"))
}

/// Refuses requests that pages of other sites make a browser send: a browser names the page's site, other clients do not.
/// For routes that change something.
pub async fn refuse_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return refusal(StatusCode::FORBIDDEN, "not for web pages");
    }
    next.run(request).await
}

/// The body of a request that says that it is JSON, which no form of a web page can.
#[derive(Debug)]
pub struct JsonBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = (StatusCode, String);

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if !is_json(request.headers()) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json".to_owned()));
        }
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|rejection| (rejection.status(), rejection.body_text()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
