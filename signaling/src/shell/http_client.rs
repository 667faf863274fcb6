//! One request to another server, by HTTP or HTTPS: no redirects, and an answer of so many bytes. How long it may take is the
//! caller's to say.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Response, Uri, header, request, uri::Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use web::ExchangeError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the address is neither http nor https")]
    Address,
    #[error("cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("cannot be asked")]
    Request(#[from] axum::http::Error),
}

/// Sends a request, whose method and headers are set, to an address.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn send(
    uri: &Uri,
    tls: &Arc<ClientConfig>,
    request: request::Builder,
    body: Body,
    max_bytes: usize,
) -> Result<Response<Bytes>, SendError> {
    let host = uri.host().ok_or(SendError::Address)?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
    if !is_secure && uri.scheme() != Some(&Scheme::HTTP) {
        return Err(SendError::Address);
    }
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((name, port)).await.map_err(SendError::Connect)?;
    if !is_secure {
        return exchange(stream, uri, request, body, max_bytes).await;
    }
    let name = ServerName::try_from(name.to_owned()).map_err(|_| SendError::Address)?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(SendError::Connect)?;
    exchange(stream, uri, request, body, max_bytes).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    uri: &Uri,
    request: request::Builder,
    body: Body,
    max_bytes: usize,
) -> Result<Response<Bytes>, SendError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // Whoever writes a name and a password into the URL does not mean them as the host.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let request = request
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("teranga/", env!("CARGO_PKG_VERSION")))
        .body(body)?;
    Ok(web::exchange(stream, request, max_bytes).await?)
}
