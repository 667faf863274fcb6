//! The web server's own part: the client's files, `config.js`, TLS and the listeners, one of which TURN and ICE share.
//!
//! Here: what nginx and the `web` container do in a stock deployment. Not here: WebSockets and requests that a service
//! answers; signaling, focus and bridge bring their own routes, and a binary merges them.

mod admin;
mod assets;
mod certificate;
mod client_config;
mod env_file;
mod exchange;
mod options;
mod process;
mod server;
mod shared_port;

pub use admin::{JsonBody, bad_request, json_answer, refusal, refuse_pages};
pub use certificate::{CertificateError, create_certificate, load_or_create_certificate};
pub use client_config::ClientConfig;
pub use env_file::{EnvFile, EnvFileError};
pub use exchange::{ExchangeError, exchange};
pub use options::{command, options, origin_of, read_options, read_options_with};
pub use process::{always_healthy, exit, listen, serve_admin, serve_http, stop_signal};
pub use server::{BindError, Listeners, bind, explain_port, serve};
pub use shared_port::{ByteStream, IceTcpHandler, PortMetrics, SharedPort, TurnStream, TurnStreamHandler};

use axum::Router;
use axum::routing::get;

/// Routes of the web client and of its configuration; everything that is not a file and looks like a room is the
/// client's page.
pub fn router(client_config: ClientConfig) -> Router {
    Router::new()
        .route("/config.js", get(client_config::serve))
        .with_state(client_config)
        .route("/_unlock", get(server::unlock))
        .fallback(get(assets::serve))
}

/// Whether the client was compiled in; without it the server still speaks XMPP and media, but has no page.
#[must_use]
pub fn has_client() -> bool {
    assets::has_index()
}
