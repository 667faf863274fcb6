//! Threads, tasks, sockets and clock of the bridge; all decisions are in the modules beside.
//!
//! One thread for each shard owns a media socket; it takes no lock and no async call. One thread owns the [`Videobridge`],
//! control. A tokio task for each brewery stands there and turns Colibri2 requests into commands for that thread; a route does
//! the same for bridge channels over WebSocket.
#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod address_tasks;
mod admin_routes;
mod brewery_task;
mod capture_route;
mod cloud_metadata;
mod command;
mod control_thread;
mod exporters;
mod muc_clients;
mod queue;
mod relay_web_sockets;
mod shard_thread;
mod web_socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::routing::{any, get};
use ice::{CandidateTransport, StunDemux};
use net::media::tcp::{IceTcpLimits, TcpBindError};
use net::media::{IceTcpHandle, TcpAcceptor};
use net::{Link, MediaBindError, MediaShards};
use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::addresses::{AddressError, MediaAddress, MediaAddresses, MediaPort, reachable_at};
use crate::metrics::Metrics;
use crate::shard::message::MAX_SHARDS;
use crate::shutdown::{Readiness, ShutdownState};
use crate::unique_ports::OpenedPort;
use crate::videobridge::Videobridge;
use crate::{RestSettings, Settings};
use command::MediaHandle;
use control_thread::Outward;
use exporters::{ExporterEnvironment, MAX_WAITING_STARTS};
use muc_clients::MucClients;
use relay_web_sockets::MAX_WAITING_DIALS;
use shard_thread::ControlInbox;

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    media: MediaHandle,
    muc_clients: MucClients,
    server_id: Arc<str>,
    ice_tcp: IceTcpHandle,
    addresses: watch::Receiver<Vec<MediaAddress>>,
    captures: capture_route::RouteState,
    rest: RestSettings,
    readiness: watch::Receiver<Readiness>,
    missing: Vec<String>,
    /// Ended when the bridge is dropped.
    _tasks: JoinSet<()>,
}

/// Why a bridge does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The media port cannot be had. Displays as one line with the next step, which is the same flag in all binaries.
    #[error("{}", web::explain_port(&.0.to_string(), &.0.source, "choose another port with --media-port"))]
    Media(MediaBindError),
    /// The TCP port cannot be had. Displays as one line with the next step.
    #[error("{}", web::explain_port(&.0.to_string(), &.0.source, "choose another port with --media-tcp-port"))]
    MediaTcp(#[from] TcpBindError),
    /// This host's addresses cannot be read.
    #[error("cannot read this host's addresses")]
    Addresses(#[source] io::Error),
    /// The settings of addresses do not fit this host.
    #[error(transparent)]
    AddressSettings(#[from] AddressError),
    /// No certificate for DTLS could be made.
    #[error("cannot make a certificate for DTLS")]
    Certificate(#[from] dtls::DtlsError),
    /// The nick is none.
    #[error("cannot announce the bridge in its brewery")]
    Nick(#[from] xmpp::InvalidJid),
    /// The same metrics are registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// The media thread cannot be started.
    #[error("cannot start the media thread")]
    Thread(#[source] io::Error),
}

impl Bridge {
    /// Binds the media port, starts the media thread and announces the bridge over `link`. Call inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(mut settings: Settings, link: Link, registry: &Registry) -> Result<Self, StartError> {
        let shards = settings.media_threads.unwrap_or_else(default_media_threads).clamp(1, MAX_SHARDS);
        let MediaShards { shards, capabilities, steering, port, unique_ports } =
            MediaShards::bind(settings.media_address, shards, settings.media_without).map_err(StartError::Media)?;
        settings.media_address.set_port(port);
        let metrics = Metrics::new(registry, shards.len())?;
        let announced = settings.clone();
        let server_id = Arc::from(settings.server_id.as_str());
        let counters = metrics.shards.clone();
        let (control, inbox) = ControlInbox::new();
        let (handles, connections) =
            shard_thread::spawn_all(shards, &counters, settings.media_hold, &control).map_err(StartError::Thread)?;
        let ice_tcp = IceTcpHandle::new(IceTcpLimits::default(), is_binding_request, move |accepted| {
            connections.deliver(accepted);
        });
        let mut tasks = JoinSet::new();
        if let Some(port) = settings.media_tcp_port {
            let acceptor = TcpAcceptor::bind(SocketAddr::new(settings.media_address.ip(), port), ice_tcp.clone())?;
            settings.media_tcp_port = Some(acceptor.port().map_err(StartError::Addresses)?);
            tasks.spawn(acceptor.run());
        }
        let bound = settings.media_address.ip();
        let host = reachable_at(bound, net::interface_addresses().map_err(StartError::Addresses)?);
        let address_settings = settings.addresses.clone();
        let addresses = MediaAddresses::new(address_settings.clone(), host, media_ports(&settings))?;
        let (publisher, advertised) = watch::channel(addresses.advertised());
        let dtls = Arc::new(dtls::DtlsContext::new()?);
        let relay_trust = settings.relay_trust;
        let (rest, brewery_metrics) = (settings.rest, metrics.brewery.clone());
        let exporter_metrics = metrics.exporters.clone();
        metrics.startup_time.set(milliseconds_since_1970());
        let (ready, readiness) = watch::channel(Readiness::default());
        let mut unique_ports = unique_ports.within(settings.link_ports.clone());
        let opener = move || {
            let socket = unique_ports.open()?;
            Ok(OpenedPort { number: socket.number(), socket: Some(socket) })
        };
        let videobridge = Videobridge::new(settings, addresses, metrics, dtls, StdRng::from_os_rng())
            .with_unique_ports(Box::new(opener));
        let (dials, dialed) = mpsc::channel(MAX_WAITING_DIALS);
        let (starts, started) = mpsc::channel(MAX_WAITING_STARTS);
        let outward = Outward { dials, exporters: starts };
        let media = control_thread::spawn(videobridge, handles, steering, inbox, publisher, ready, outward)
            .map_err(StartError::Thread)?;
        let environment = ExporterEnvironment {
            media: media.clone(),
            settings: announced.exporters,
            metrics: exporter_metrics,
            version: announced.version.as_str().into(),
            region: announced.region.as_deref().map(Arc::from),
        };
        tasks.spawn(exporters::run(started, environment));
        tasks.spawn(relay_web_sockets::run(dialed, media.clone(), relay_trust));
        let muc_clients = MucClients::start(announced, link, media.clone(), readiness.clone(), brewery_metrics)?;
        address_tasks::spawn(&mut tasks, bound, &address_settings, &media);
        let captures = capture_route::RouteState::new(media.clone());
        let missing = capabilities.missing();
        let addresses = advertised;
        Ok(Self {
            media,
            muc_clients,
            server_id,
            ice_tcp,
            addresses,
            captures,
            rest,
            readiness,
            missing,
            _tasks: tasks,
        })
    }

    /// What media runs without on this host, each in words for an operator, who is to be told in one line.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Where clients are told to reach media, the preferred first, now and as it changes: what an operator set, what the
    /// host has, and what STUN servers and the cloud told.
    #[must_use]
    pub fn addresses(&self) -> watch::Receiver<Vec<MediaAddress>> {
        self.addresses.clone()
    }

    /// Takes connections of a port that media shares with other protocols (ICE-TCP on 443).
    #[must_use]
    pub fn ice_tcp(&self) -> IceTcpHandle {
        self.ice_tcp.clone()
    }

    /// The route of bridge channels over WebSocket.
    pub fn router(&self) -> Router {
        let state = web_socket::RouteState { media: self.media.clone(), server_id: self.server_id.clone() };
        Router::new()
            .route("/colibri-ws/{server_id}/{conference}/{endpoint}", any(web_socket::upgrade))
            .route("/colibri-relay-ws/{server_id}/{conference}/{relay}", any(web_socket::upgrade_relay))
            .with_state(state)
    }

    /// Routes for operators, which are nobody else's business: JVB's private interface, and packet traces of endpoints at
    /// `/debug/capture/{endpoint}`.
    pub fn admin_router(&self) -> Router {
        Router::new()
            .route("/debug/capture/{endpoint}", get(capture_route::capture))
            .with_state(self.captures.clone())
            .merge(admin_routes::router(self.media.clone(), self.muc_clients.clone(), self.rest))
    }

    /// Completes when the bridge ended because an operator asked for it. Nothing is stopped by then: the process is to end.
    pub fn shut_down(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut readiness = self.readiness.clone();
        async move {
            let is_over = |readiness: &Readiness| readiness.shutdown == ShutdownState::Over;
            if readiness.wait_for(is_over).await.is_err() {
                // The bridge is gone, for another reason.
                std::future::pending().await
            }
        }
    }
}

fn milliseconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The ports to offer candidates on, the preferred first.
fn media_ports(settings: &Settings) -> Vec<MediaPort> {
    let udp = MediaPort { transport: CandidateTransport::Udp, port: settings.media_address.port() };
    let tcp = [settings.media_tcp_port, settings.shared_tcp_port].into_iter().flatten();
    let tcp = tcp.map(|port| MediaPort { transport: CandidateTransport::TCP_PASSIVE, port });
    std::iter::once(udp).chain(tcp).collect()
}

/// Whether the first frame of a TCP connection may be a check of a client.
fn is_binding_request(frame: &[u8]) -> bool {
    StunDemux::local_ufrag(frame).is_some()
}

/// One for each CPU that this process may use.
fn default_media_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests;
