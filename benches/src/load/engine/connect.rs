//! WebSockets and one HTTP request, with a cause for each way in which they fail.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::HOST;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::load::measure::FailureCause;
use crate::load::participant::Failure;

/// How long a connection with TLS and upgrade may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest frame of a server: presence of a thousand people comes one by one, an offer of a large room in one.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// Read from a socket at once: most frames are shorter. The library keeps the buffer for as long as the socket is open, and
/// clears all of it before each read.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Longest `config.js`: that of stock has 70 kB.
const MAX_CONFIG_BYTES: usize = 4 << 20;

/// A WebSocket to a server.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket.
pub(super) async fn open_web_socket(
    url: &str,
    protocol: Option<&'static str>,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Socket, Failure> {
    let opening = async {
        let refused = |detail: String| Failure::new(FailureCause::WebSocketRefused, detail);
        let mut request = url.into_client_request().map_err(|error| refused(format!("{url}: {error}")))?;
        if let Some(protocol) = protocol {
            request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        let stream = open_tcp(request.uri()).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let place = place_of(request.uri());
        let connector = Some(Connector::Rustls(tls));
        let opened = client_async_tls_with_config(request, stream, Some(config), connector).await;
        opened.map(|(socket, _)| socket).map_err(|error| failure_of(&error, &place))
    };
    timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| Err(too_late(url)))
}

/// Where a WebSocket goes.
pub(super) fn peer_address(socket: &Socket) -> Option<SocketAddr> {
    match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream.peer_addr().ok(),
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0.peer_addr().ok(),
        _ => None,
    }
}

/// Fetches `config.js` of a deployment.
///
/// # Errors
/// Nobody is there, or answers something else.
pub async fn fetch_config(origin: &str, insecure: bool) -> Result<String, Failure> {
    let url = format!("{}/config.js", origin.trim_end_matches('/'));
    let fetching = async {
        let refused = |detail: String| Failure::new(FailureCause::WebSocketRefused, detail);
        let uri: Uri = url.parse().map_err(|error| refused(format!("{url} is no address: {error}")))?;
        let stream = open_tcp(&uri).await?;
        if uri.scheme_str() == Some("http") {
            return request_config(stream, &uri).await;
        }
        let trust = net::ServerTrust::of_flag(insecure);
        let tls = net::client_config(trust).map_err(|error| Failure::new(FailureCause::Local, error.to_string()))?;
        let name = host_of(&uri).to_owned();
        let name = ServerName::try_from(name).map_err(|error| refused(format!("{url}: {error}")))?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| tls_failure(&error, &place_of(&uri)))?;
        request_config(stream, &uri).await
    };
    timeout(CONNECT_TIMEOUT, fetching).await.unwrap_or_else(|_| Err(too_late(&url)))
}

async fn request_config(stream: impl AsyncRead + AsyncWrite + Unpin, uri: &Uri) -> Result<String, Failure> {
    let failed = |detail: String| Failure::new(FailureCause::WebSocketRefused, format!("{uri}: {detail}"));
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(uri.path()).header(HOST, authority).body(Body::empty());
    let request = request.map_err(|error| failed(error.to_string()))?;
    let response = web::exchange(stream, request, MAX_CONFIG_BYTES).await.map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(format!("answered {status}; say --domain, --muc and --websocket if there is no such file")));
    }
    String::from_utf8(response.into_body().to_vec()).map_err(|error| failed(error.to_string()))
}

async fn open_tcp(uri: &Uri) -> Result<TcpStream, Failure> {
    let is_plain = matches!(uri.scheme_str(), Some("http" | "ws"));
    let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    let host = host_of(uri);
    let place = place_of(uri);
    let addresses: Vec<_> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(Failure::new(FailureCause::NameLookup, format!("{host}: {error}"))),
    };
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| tcp_failure(&error, &place))?;
    stream.set_nodelay(true).map_err(|error| tcp_failure(&error, &place))?;
    Ok(stream)
}

/// Without the brackets of IPv6.
fn host_of(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Host and port; the query may have a token in it.
fn place_of(uri: &Uri) -> String {
    format!(
        "{}://{}{}",
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map_or("", |host| host.as_str()),
        uri.path()
    )
}

fn too_late(url: &str) -> Failure {
    let place = url.split('?').next().unwrap_or(url);
    Failure::new(FailureCause::ConnectTimeout, format!("{place} does not answer in {CONNECT_TIMEOUT:?}"))
}

fn tcp_failure(error: &io::Error, place: &str) -> Failure {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut, UnexpectedEof};
    let kind = error.kind();
    let cause = if kind == ConnectionRefused {
        FailureCause::ConnectionRefused
    } else if matches!(kind, TimedOut | HostUnreachable | NetworkUnreachable) {
        FailureCause::ConnectTimeout
    } else {
        FailureCause::ConnectionLost
    };
    // rustls explains at length what a peer is that is simply gone.
    let what = if kind == UnexpectedEof { "the connection broke".to_owned() } else { error.to_string() };
    Failure::new(cause, format!("{place}: {what}"))
}

fn tls_failure(error: &io::Error, place: &str) -> Failure {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls { Failure::new(FailureCause::Tls, format!("{place}: {error}")) } else { tcp_failure(error, place) }
}

/// Why a WebSocket did not come up, or went down.
pub(super) fn failure_of(error: &tungstenite::Error, place: &str) -> Failure {
    use tungstenite::Error;
    let cause = match error {
        Error::Io(io) => return tls_failure(io, place),
        Error::Tls(_) => FailureCause::Tls,
        Error::Http(response) => {
            let detail = format!("{place}: answered {}", response.status());
            return Failure::new(FailureCause::WebSocketRefused, detail);
        }
        Error::HttpFormat(_) | Error::Url(_) => FailureCause::WebSocketRefused,
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => FailureCause::ConnectionLost,
        Error::Protocol(_) => FailureCause::WebSocketRefused,
        Error::Capacity(_) | Error::WriteBufferFull(_) | Error::Utf8(_) | Error::AttackAttempt => {
            FailureCause::ConnectionLost
        }
    };
    Failure::new(cause, format!("{place}: {error}"))
}
