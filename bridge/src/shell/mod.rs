//! Threads, tasks, sockets and clock of the bridge; all decisions are in the modules beside.
//!
//! One thread owns the media socket and the [`Videobridge`]; it takes no lock and no
//! async call. A tokio task stands in the brewery and turns Colibri2 requests into commands for that thread; a route
//! does the same for bridge channels over WebSocket.
#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod address_tasks;
mod brewery_task;
mod cloud_metadata;
mod command;
mod media_thread;
mod web_socket;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use ice::CandidateTransport;
use net::{Link, MediaBindError, MediaSocket};
use prometheus::Registry;
use tokio::task::JoinSet;

use crate::Settings;
use crate::addresses::{AddressError, MediaAddresses, MediaPort, reachable_at};
use crate::brewery::Brewery;
use crate::metrics::Metrics;
use crate::videobridge::Videobridge;
use command::MediaHandle;

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    media: MediaHandle,
    server_id: Arc<str>,
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
        let socket = MediaSocket::bind(settings.media_address).map_err(StartError::Media)?;
        settings.media_address.set_port(socket.port());
        let bound = settings.media_address.ip();
        let host = reachable_at(bound, net::interface_addresses().map_err(StartError::Addresses)?);
        let address_settings = settings.addresses.clone();
        let addresses = MediaAddresses::new(address_settings.clone(), host, media_ports(&settings))?;
        let metrics = Metrics::new(registry)?;
        let brewery = Brewery::new(settings.clone())?;
        let server_id = Arc::from(settings.server_id.as_str());
        let videobridge = Videobridge::new(settings, addresses, metrics)?;
        let media = media_thread::spawn(socket, videobridge).map_err(StartError::Thread)?;
        tokio::spawn(brewery_task::run(brewery, link, media.clone()));
        let mut tasks = JoinSet::new();
        address_tasks::spawn(&mut tasks, bound, &address_settings, &media);
        Ok(Self { media, server_id, _tasks: tasks })
    }

    /// The route of bridge channels over WebSocket.
    pub fn router(&self) -> Router {
        let state = web_socket::RouteState { media: self.media.clone(), server_id: self.server_id.clone() };
        Router::new()
            .route("/colibri-ws/{server_id}/{conference}/{endpoint}", any(web_socket::upgrade))
            .with_state(state)
    }
}

/// The ports to offer candidates on, the preferred first.
fn media_ports(settings: &Settings) -> Vec<MediaPort> {
    let udp = MediaPort { transport: CandidateTransport::Udp, port: settings.media_address.port() };
    let tcp = settings.media_tcp_port.filter(|port| *port != 0);
    let tcp = tcp.map(|port| MediaPort { transport: CandidateTransport::TCP_PASSIVE, port });
    std::iter::once(udp).chain(tcp).collect()
}

#[cfg(test)]
mod tests;
