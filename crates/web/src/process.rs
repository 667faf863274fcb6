//! What every binary does around its services: waiting for the stop, and the private listener for operators.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::BindError;

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

/// Serves `/metrics` with the text that `metrics` gives, and `/about/health`, in plain http on an address of their own.
///
/// # Errors
/// [`BindError`] when the address cannot be had.
pub async fn serve_admin(
    address: SocketAddr,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Result<(), BindError> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| BindError { purpose: "admin", address, source })?;
    let router = Router::new()
        .route("/metrics", get(move || std::future::ready(metrics())))
        .route("/about/health", get(|| std::future::ready("OK\n")));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin listener stopped");
        }
    });
    Ok(())
}
