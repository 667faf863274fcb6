//! The http and https listeners.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue};
use axum::response::IntoResponse;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;

use crate::shared_port::{SharedPort, SharedPortAcceptor};

/// Set by the https listener on each request, whatever the client sent: tells routes that TLS ended here.
pub(crate) const TLS_MARK: &str = "x-teranga-tls";

/// A client that has not sent its request's head by then is let go (slow loris).
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// An address that cannot be listened on. Displays as one line with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{}", explain_port(&format!("cannot listen on {purpose} TCP {address}"), cause, remedy))]
pub struct BindError {
    purpose: &'static str,
    address: SocketAddr,
    remedy: String,
    // Not named `source`: it is part of the line already.
    cause: io::Error,
}

impl BindError {
    pub(crate) fn new(purpose: &'static str, address: SocketAddr, remedy: String, cause: io::Error) -> Self {
        Self { purpose, address, remedy, cause }
    }
}

/// One line about an address that cannot be listened on: `what` and where, why, and the next step.
#[must_use]
pub fn explain_port(what: &str, why: &io::Error, remedy: &str) -> String {
    if why.kind() == io::ErrorKind::AddrInUse {
        format!("{what}: the port is in use (stop the other program, or {remedy})")
    } else if why.kind() == io::ErrorKind::PermissionDenied {
        format!("{what}: not permitted below port 1024 without CAP_NET_BIND_SERVICE ({remedy})")
    } else {
        format!("{what}: {why} ({remedy})")
    }
}

/// Listening sockets, bound before anything is served so that a port in use is told at once.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    https: TcpListener,
}

#[cfg(test)]
impl Listeners {
    pub(crate) fn of(http: TcpListener, https: TcpListener) -> Self {
        Self { http, https }
    }
}

/// Binds both listeners.
///
/// # Errors
/// [`BindError`] for the first address that cannot be had.
pub fn bind(http: SocketAddr, https: SocketAddr) -> Result<Listeners, BindError> {
    let listen = |purpose, address| {
        let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        bound.map_err(|cause| {
            BindError::new(purpose, address, format!("choose another port with --{purpose}-port"), cause)
        })
    };
    Ok(Listeners { https: listen("https", https)?, http: listen("http", http)? })
}

/// Serves `router` on both listeners until `stop` completes; open connections are then closed at once. `shared` gets
/// what comes to the https port beside https.
///
/// # Errors
/// What the sockets answered when they stopped by themselves.
pub async fn serve(
    listeners: Listeners,
    tls: ServerConfig,
    router: Router,
    shared: SharedPort,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let plain = router.clone().layer(axum::middleware::map_request(unmark));
    let secure = router.layer(axum::middleware::map_request(mark));
    let (http_handle, https_handle) = (Handle::new(), Handle::new());
    let mut http = axum_server::from_tcp(listeners.http)?.acceptor(NoDelayAcceptor::new()).handle(http_handle.clone());
    let acceptor = SharedPortAcceptor::new(shared, tls);
    let mut https = axum_server::from_tcp(listeners.https)?.acceptor(acceptor).handle(https_handle.clone());
    for builder in [http.http_builder(), https.http_builder()] {
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
    }
    let served = async {
        tokio::try_join!(
            http.serve(plain.into_make_service_with_connect_info::<SocketAddr>()),
            https.serve(secure.into_make_service_with_connect_info::<SocketAddr>())
        )
    };
    tokio::select! {
        result = served => result.map(|((), ())| ()),
        () = stop => {
            http_handle.shutdown();
            https_handle.shutdown();
            Ok(())
        }
    }
}

async fn mark<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    request.headers_mut().insert(TLS_MARK, HeaderValue::from_static("1"));
    request
}

async fn unmark<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    request.headers_mut().remove(TLS_MARK);
    request
}

/// The stock client's keep-alive (client.md §2.7).
pub(crate) async fn unlock() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")], "OK")
}
