//! What every binary does around its services: waiting for the stop, and the private listener for operators.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::BindError;

/// Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Completes at Ctrl-C or at a service manager's stop.
///
/// # Errors
/// What the system answers when signals cannot be waited for.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends a binary: an error and its causes go to standard error as one line, and make the exit code non-zero.
pub fn exit(program: &str, result: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut line = format!("{program}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{line}");
    ExitCode::FAILURE
}

/// Binds a listener for plain http. `purpose` names the flag that sets its address, such as `http`.
///
/// # Errors
/// [`BindError`] when the address cannot be had.
pub async fn listen(purpose: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|cause| BindError::new(purpose, address, format!("choose another address with --{purpose}"), cause))
}

/// Serves plain http until `stop` completes; open connections are then abandoned.
///
/// # Errors
/// What the listener answered when it stopped by itself.
pub async fn serve_http(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) -> io::Result<()> {
    // Stanzas and bridge-channel messages are small and wait for each other: Nagle's algorithm would hold them back.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    tokio::select! {
        served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).into_future() => served,
        () = stop => Ok(()),
    }
}

/// `/about/health` of a service that is well as long as it answers.
pub fn always_healthy() -> Router {
    Router::new().route("/about/health", get(|| std::future::ready("OK\n")))
}

/// Serves `/metrics` with the text that `metrics` gives, and what a service adds in `routes`, `/about/health` among it, in
/// plain http on an address of their own.
///
/// # Errors
/// [`BindError`] when the address cannot be had.
pub async fn serve_admin(
    address: SocketAddr,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    routes: Router,
) -> Result<(), BindError> {
    let listener = listen("admin", address).await?;
    let router = Router::new()
        .route("/metrics", get(move || std::future::ready(([(CONTENT_TYPE, METRICS_TYPE)], metrics()))))
        .merge(routes);
    tokio::spawn(async move {
        if let Err(error) = serve_http(listener, router, std::future::pending()).await {
            tracing::error!(%error, "the admin listener stopped");
        }
    });
    Ok(())
}
