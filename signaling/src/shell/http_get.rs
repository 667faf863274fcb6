//! A document from another server, by HTTP or HTTPS: no redirects, so much, and within such a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, Uri, header, uri::Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use web::ExchangeError;

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
    #[error("the address is neither http nor https")]
    Address,
    #[error("cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("cannot be asked")]
    Request(#[from] axum::http::Error),
}

/// Gets a document.
///
/// # Errors
/// Why there is none.
pub(super) async fn get(uri: &Uri, tls: &Arc<ClientConfig>) -> Result<Answer, GetError> {
    timeout(TIMEOUT, connect_and_get(uri, tls)).await.map_err(|_| GetError::Timeout)?
}

async fn connect_and_get(uri: &Uri, tls: &Arc<ClientConfig>) -> Result<Answer, GetError> {
    let host = uri.host().ok_or(GetError::Address)?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
    if !is_secure && uri.scheme() != Some(&Scheme::HTTP) {
        return Err(GetError::Address);
    }
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((name, port)).await.map_err(GetError::Connect)?;
    if !is_secure {
        return ask(stream, uri).await;
    }
    let name = ServerName::try_from(name.to_owned()).map_err(|_| GetError::Address)?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(GetError::Connect)?;
    ask(stream, uri).await
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, uri: &Uri) -> Result<Answer, GetError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // Whoever writes a name and a password into the URL does not mean them as the host.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json, application/x-pem-file, */*")
        .header(header::USER_AGENT, concat!("teranga/", env!("CARGO_PKG_VERSION")))
        .body(Body::empty())?;
    let answer = web::exchange(stream, request, MAX_BYTES).await?;
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
