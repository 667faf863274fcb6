//! Threads, tasks, sockets and clock of the bridge; all decisions are in the modules beside.
//!
//! One thread for each shard owns a media socket; it takes no lock and no async call. One thread owns the [`Videobridge`],
//! control. A tokio task stands in the brewery and turns Colibri2 requests into commands for that thread; a route does
//! the same for bridge channels over WebSocket.
#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod brewery_task;
mod command;
mod control_thread;
mod shard_thread;
mod web_socket;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::any;
use net::{Link, MediaBindError, MediaSocket};
use prometheus::Registry;

use crate::Settings;
use crate::brewery::Brewery;
use crate::metrics::Metrics;
use crate::shard::Shard;
use crate::shard::message::ShardId;
use crate::videobridge::Videobridge;
use command::MediaHandle;
use shard_thread::{ControlInbox, ShardQueues};

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    media: MediaHandle,
    server_id: Arc<str>,
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
        let host_addresses = match settings.media_address.ip() {
            ip if ip.is_unspecified() => net::host_addresses().map_err(StartError::Addresses)?,
            ip => vec![ip],
        };
        let metrics = Metrics::new(registry, 1)?;
        let counters = metrics.shards.clone();
        let brewery = Brewery::new(settings.clone())?;
        let server_id = Arc::from(settings.server_id.as_str());
        let videobridge = Videobridge::new(settings, &host_addresses, metrics)?;
        let (control_link, inbox) = ControlInbox::new();
        let (wakers, mut handles) = (vec![socket.waker()], Vec::new());
        let queues: Vec<_> = wakers.iter().map(|_| ShardQueues::new()).collect();
        let links = || queues.iter().zip(&wakers).map(|(queues, waker)| queues.link(waker.clone())).collect();
        let all_links: Vec<Vec<_>> = queues.iter().map(|_| links()).collect();
        for ((((queues, links), counters), waker), id) in
            queues.into_iter().zip(all_links).zip(counters).zip(wakers).zip(0..)
        {
            handles.push(queues.handle(waker));
            let shard = Shard::new(ShardId(id), counters, Instant::now());
            shard_thread::spawn(socket, shard, ShardId(id), queues, links, control_link.clone())
                .map_err(StartError::Thread)?;
            break;
        }
        let media = control_thread::spawn(videobridge, handles, inbox).map_err(StartError::Thread)?;
        tokio::spawn(brewery_task::run(brewery, link, media.clone()));
        Ok(Self { media, server_id })
    }

    /// The route of bridge channels over WebSocket.
    pub fn router(&self) -> Router {
        let state = web_socket::RouteState { media: self.media.clone(), server_id: self.server_id.clone() };
        Router::new()
            .route("/colibri-ws/{server_id}/{conference}/{endpoint}", any(web_socket::upgrade))
            .with_state(state)
    }
}

#[cfg(test)]
mod tests;
