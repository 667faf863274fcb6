//! `teranga-signaling`: the signaling service as a binary of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use clap::Parser;
use prometheus::Registry;
use signaling::{Secret, Settings, Signaling};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// XMPP over WebSocket for Jitsi's clients, focus and bridges.
#[derive(Debug, Parser)]
#[command(name = "teranga-signaling", version, about)]
struct Options {
    /// Where to serve /xmpp-websocket, in plain http: TLS is up to what stands in front.
    #[arg(long, env = "TERANGA_HTTP", default_value = "127.0.0.1:5280", value_name = "IP:PORT")]
    http: SocketAddr,
    /// XMPP domain; rooms and services have the usual names below it.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    domain: String,
    /// Password of focus and bridges; without it they cannot log in.
    #[arg(long, env = "TERANGA_SERVICE_SECRET", hide_env_values = true, value_name = "SECRET")]
    service_secret: Option<String>,
    /// Participants of a room; no limit when left out.
    #[arg(long, env = "TERANGA_MAX_OCCUPANTS", value_name = "NUMBER")]
    max_occupants: Option<usize>,
    /// Serve /metrics and /about/health here, in plain http; keep it private.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// What is logged: a level, or module=level pairs separated by commas.
    #[arg(long, env = "TERANGA_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("teranga-signaling: {}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    observability::init_logging(&options.log, observability::LogFormat::Text).context("cannot set --log")?;
    let mut settings = Settings::for_domain(&options.domain).context("cannot use --domain")?;
    settings.service_secret = options.service_secret.and_then(Secret::new);
    settings.limits.occupants = options.max_occupants;
    if settings.service_secret.is_none() {
        tracing::warn!("no service secret: neither focus nor bridges can log in (set TERANGA_SERVICE_SECRET)");
    }

    let registry = Registry::new();
    let listener = listen(options.http, "--http").await?;
    let signaling = Signaling::start(settings, &registry).context("cannot register metrics")?;
    if let Some(admin) = options.admin {
        let admin = listen(admin, "--admin").await?;
        tokio::spawn(async move { axum::serve(admin, admin_router(registry)).await });
    }
    tracing::info!(http = %options.http, domain = options.domain, "signaling serves");
    let stop = stop_signal().context("cannot wait for Ctrl-C")?;
    let to_stop = signaling.clone();
    axum::serve(listener, signaling.router())
        .with_graceful_shutdown(async move {
            stop.await;
            // Streams do not end by themselves; the server waits for them.
            to_stop.stop().await;
        })
        .await
        .context("the http server stopped")
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on TCP {address} (choose another address with {flag})"))
}

fn admin_router(registry: Registry) -> Router {
    Router::new()
        .route("/metrics", get(move || std::future::ready(observability::render_metrics(&registry))))
        .route("/about/health", get(|| std::future::ready("OK\n")))
}

/// Completes at Ctrl-C or at a service manager's stop.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
