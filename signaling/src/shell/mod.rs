//! Tasks, sockets and the clock around the core: one task owns the [`Server`], one a connection parses and writes XML.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod api;
mod backends;
mod bosh;
mod core_task;
mod frame_queue;
mod health;
mod link;
mod origin;
mod stream_text;
mod tcp;
mod throttle;
mod tls;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use axum::response::Response;
use net::Link;
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};
use xmpp::{InvalidJid, Jid};

pub use backends::Backends;
pub use tcp::StartTls;

use crate::{ConnectionId, Metrics, Now, Server, Settings};
use backends::LoginTasks;
use bosh::BoshSessions;
use core_task::Command;
use frame_queue::QueueLimits;

/// Inputs that wait for the core. Connections wait with reading while it is full, so that the core is never outrun.
const COMMAND_QUEUE: usize = 1024;

/// What a client is told whose queue is full.
const SLOW_READER: &str = "does not read what it is sent";

/// The signaling service.
#[derive(Debug)]
pub struct Signaling;

impl Signaling {
    /// Starts the service on the current tokio runtime. It serves what [`Handle::router`] is mounted on and what
    /// [`Handle::attach_service`] attaches.
    ///
    /// # Errors
    /// When the registry has metrics of signaling already.
    pub fn start(settings: Settings, registry: &Registry) -> Result<Handle, prometheus::Error> {
        Self::start_with(settings, Backends::default(), registry)
    }

    /// The same, with others who know accounts.
    ///
    /// # Errors
    /// When the registry has metrics of signaling already.
    pub fn start_with(
        settings: Settings,
        backends: Backends,
        registry: &Registry,
    ) -> Result<Handle, prometheus::Error> {
        let metrics = Metrics::new();
        metrics.register(registry)?;
        let (commands, inbox) = mpsc::channel(COMMAND_QUEUE);
        let server = Server::new(settings.clone(), rand::random(), metrics.clone());
        let logins = LoginTasks::new(backends, commands.downgrade());
        tokio::spawn(core_task::run(server, settings.limits.clone(), inbox, logins));
        let shared =
            Shared { settings, metrics, commands, next_connection: AtomicU64::new(0), bosh: BoshSessions::default() };
        Ok(Handle { shared: Arc::new(shared) })
    }
}

/// A running signaling service. Clones are the same service.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    metrics: Metrics,
    commands: mpsc::Sender<Command>,
    next_connection: AtomicU64,
    bosh: BoshSessions,
}

impl Handle {
    /// Gives a service within this process its XMPP stream, without a login: bound at the domain of the service accounts
    /// with the account's name as resource. Two at a time of one account throw each other out.
    ///
    /// # Errors
    /// When the account is no local part of a JID.
    pub fn attach_service(&self, account: &str) -> Result<Link, InvalidJid> {
        let jid = Jid::new(Some(account), self.settings().hosts.auth.as_str(), Some(account))?;
        let (link, peer) = Link::in_process(jid);
        tokio::spawn(link::run(self.clone(), peer));
        Ok(link)
    }

    /// The routes to be merged into the web server's: `/xmpp-websocket` and `/http-bind`, the same below a tenant, and
    /// `/health`.
    pub fn router(&self) -> axum::Router {
        websocket::router(self.clone())
            .merge(bosh::router(self.clone()))
            .merge(health::router(self.clone()))
            .merge(api::router(self.clone()))
    }

    /// Names the shard in all answers of a web server, where there is one: clients look for `x-jitsi-shard` in those of
    /// BOSH and of their keep-alive (client.md §1.4).
    pub fn name_shard(&self, router: axum::Router) -> axum::Router {
        let shard = self.settings().deployment.shard.as_deref().and_then(|shard| HeaderValue::from_str(shard).ok());
        let Some(shard) = shard else { return router };
        router.layer(axum::middleware::map_response(move |mut response: Response| {
            response.headers_mut().insert("x-jitsi-shard", shard.clone());
            std::future::ready(response)
        }))
    }

    /// What this service counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Closes all streams and ends the core. Answers once every connection was told so; safe to call twice.
    pub async fn stop(&self) {
        let (done, is_done) = oneshot::channel();
        if self.shared.commands.send(Command::Stop(done)).await.is_ok() {
            // An error says that the core is gone already, which is what was asked for.
            drop(is_done.await);
        }
    }

    fn client_queue(&self) -> QueueLimits {
        let limits = &self.settings().limits;
        QueueLimits { frames: limits.client_queue, bytes: limits.client_queue_bytes }
    }

    fn service_queue(&self) -> QueueLimits {
        let limits = &self.settings().limits;
        QueueLimits { frames: limits.service_queue, bytes: limits.service_queue_bytes }
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.shared.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands a command to the core; answers whether the core still runs.
    async fn command(&self, command: Command) -> bool {
        self.shared.commands.send(command).await.is_ok()
    }
}

/// Both clocks, read together.
fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}
