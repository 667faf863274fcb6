//! One HTTP request over a stream that is there already, as a client.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::{Request, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The other side does something else.
    #[error("does not speak HTTP")]
    Http(#[from] hyper::Error),
    /// The body is longer than it may be, or breaks off.
    #[error("answers more than {max_bytes} bytes, or breaks off")]
    Body {
        /// What was allowed.
        max_bytes: usize,
        /// What happened.
        source: axum::Error,
    },
}

/// Sends a request and takes the answer with a body of `max_bytes` at most. The caller says how long that may take.
///
/// # Errors
/// Why there is no answer.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Body>,
    max_bytes: usize,
) -> Result<Response<Bytes>, ExchangeError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Body::new(body);
        let is_long = body.size_hint().lower() > max_bytes as u64;
        let body = to_bytes(body, if is_long { 0 } else { max_bytes }).await;
        let body = body.map_err(|source| ExchangeError::Body { max_bytes, source })?;
        Ok(Response::from_parts(head, body))
    };
    // The connection does its part only while it is polled; it ends by itself when the answer is there.
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
