//! Tasks, sockets and the clock around the core: one task owns the [`Server`], one a connection parses and writes XML.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod api;
mod backends;
mod bosh;
mod calls;
mod core_task;
mod frame_queue;
mod health;
mod http_client;
mod http_get;
mod keys;
mod link;
mod origin;
mod stream_text;
mod tcp;
mod throttle;
mod tls;
mod websocket;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use axum::response::Response;
use ldap::Directory;
use net::Link;
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};
use xmpp::{InvalidJid, Jid};

pub use backends::Backends;
pub use tcp::StartTls;

use crate::arrivals::{Arrival, Arrivals};
use crate::{Carrier, ConnectionId, Metrics, Now, Origin, Secret, Server, Settings, ShownToken};
use backends::LoginTasks;
use bosh::BoshSessions;
use calls::CallTasks;
use core_task::Command;
use frame_queue::QueueLimits;
use keys::TokenJudge;
use origin::OriginRequest;
use throttle::Throttle;

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
    /// When the registry has metrics of signaling already, or there is no TLS to reach other servers by.
    pub fn start(settings: Settings, registry: &Registry) -> Result<Handle, StartError> {
        Self::start_with(settings, Backends::default(), registry)
    }

    /// The same, with others who know accounts.
    ///
    /// # Errors
    /// When the registry has metrics of signaling already, or there is no TLS to fetch keys by.
    pub fn start_with(settings: Settings, backends: Backends, registry: &Registry) -> Result<Handle, StartError> {
        let judge = settings.client_login.tokens().cloned().map(TokenJudge::new).transpose()?;
        let metrics = Metrics::new();
        metrics.register(registry)?;
        let (commands, inbox) = mpsc::channel(COMMAND_QUEUE);
        let server = Server::new(settings.clone(), rand::random(), metrics.clone());
        let logins = LoginTasks::new(backends, commands.downgrade());
        let calls = CallTasks::new(&settings.outside, &metrics, commands.downgrade())?;
        tokio::spawn(core_task::run(server, settings.limits.clone(), inbox, logins, calls));
        let shared = Shared {
            settings,
            metrics,
            commands,
            next_connection: AtomicU64::new(0),
            bosh: BoshSessions::default(),
            judge,
            arrivals: Mutex::default(),
        };
        Ok(Handle { shared: Arc::new(shared) })
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The registry has metrics of signaling already.
    #[error("metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The cryptography library has none of the usual versions of TLS.
    #[error("there is no TLS to reach other servers by")]
    Tls(#[from] rustls::Error),
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
    /// Judges tokens, where they mean something.
    judge: Option<Arc<TokenJudge>>,
    arrivals: Mutex<Arrivals>,
}

/// A connection that counts for its address as long as this lives.
#[derive(Debug)]
struct Visit {
    handle: Handle,
    /// Whose it is, when it counts.
    address: Option<IpAddr>,
    /// At how many bytes a second it is read, and until when.
    slowed: Option<(u32, Instant)>,
}

impl Visit {
    /// Slows down a connection that came too fast.
    fn slow(&self, throttle: &mut Throttle) {
        if let Some((bytes_per_second, until)) = self.slowed {
            throttle.slow(bytes_per_second, until);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.handle.arrivals().on_departure(address, Instant::now());
        }
    }
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

    /// Has logins that begin from now on asked of this directory.
    pub async fn replace_directory(&self, directory: Directory) {
        self.command(Command::Directory(directory)).await;
    }

    /// Where a request comes from, with the token that it shows judged. That may take as long as a key server does.
    async fn origin(&self, request: OriginRequest, carrier: Carrier) -> Origin {
        let token = match &self.shared.judge {
            Some(judge) => judge.judge(request.token()).await,
            None => ShownToken::None,
        };
        let asks = self.settings().outside.access.is_some();
        let bearer = request.token().filter(|_| asks).and_then(|token| Secret::new(format!("Bearer {token}")));
        Origin { token, bearer, ..request.origin(self.settings(), carrier) }
    }

    fn client_queue(&self) -> QueueLimits {
        let limits = &self.settings().limits;
        QueueLimits { frames: limits.client_queue, bytes: limits.client_queue_bytes }
    }

    fn service_queue(&self) -> QueueLimits {
        let limits = &self.settings().limits;
        QueueLimits { frames: limits.service_queue, bytes: limits.service_queue_bytes }
    }

    /// Counts a new connection; `None` when its address has too many.
    fn visit(&self, address: Option<IpAddr>) -> Option<Visit> {
        let uncounted = Visit { handle: self.clone(), address: None, slowed: None };
        let Some(address) = address else { return Some(uncounted) };
        let arrival = self.arrivals().on_arrival(&self.settings().limits.addresses, address, Instant::now());
        let counted = |slowed| Visit { handle: self.clone(), address: Some(address), slowed };
        match arrival {
            Arrival::Uncounted => Some(uncounted),
            Arrival::Counted => Some(counted(None)),
            Arrival::Slowed { bytes_per_second, until } => {
                self.shared.metrics.count_dropped("login_rate");
                Some(counted(Some((bytes_per_second, until))))
            }
            Arrival::Refused => {
                self.shared.metrics.count_dropped("too_many_connections_of_address");
                None
            }
        }
    }

    /// The table is whole after each change, so a panic elsewhere cannot have left it broken.
    fn arrivals(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
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
