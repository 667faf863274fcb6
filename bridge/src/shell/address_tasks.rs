//! Tasks that find out about addresses and tell the media thread: the interfaces of this host, the names of STUN servers,
//! a cloud's metadata service. None of them keeps the bridge from starting or running.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cloud_metadata;
use super::command::{Command, MediaHandle};
use crate::addresses::{AddressNews, AddressSettings, Cloud, StunServer, reachable_at};

/// Addresses come and go with leases and cables.
const HOST_EVERY: Duration = Duration::from_secs(60);
/// Names of STUN servers move to other addresses now and then.
const RESOLVE_EVERY: Duration = Duration::from_secs(600);
/// An administrator may give a running machine another public address.
const CLOUD_EVERY: Duration = Duration::from_secs(300);
/// What did not work at boot often works a little later.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Starts them; they end with `tasks`.
pub(super) fn spawn(tasks: &mut JoinSet<()>, bound: IpAddr, settings: &AddressSettings, media: &MediaHandle) {
    if bound.is_unspecified() {
        tasks.spawn(watch_host(bound, media.clone()));
    }
    for server in settings.stun_servers.iter().cloned() {
        tasks.spawn(watch_stun_server(server, media.clone()));
    }
    if let Some(cloud) = settings.cloud {
        tasks.spawn(watch_cloud(cloud_metadata::SERVICE, cloud, media.clone()));
    }
}

async fn watch_host(bound: IpAddr, media: MediaHandle) {
    let mut before = None;
    loop {
        match net::interface_addresses() {
            Ok(host) => {
                let host = reachable_at(bound, host);
                if before.as_ref() != Some(&host) {
                    tell(&media, AddressNews::Host(host.clone()));
                }
                before = Some(host);
            }
            Err(error) => tracing::debug!(%error, "cannot read this host's addresses"),
        }
        sleep(HOST_EVERY).await;
    }
}

async fn watch_stun_server(server: StunServer, media: MediaHandle) {
    let mut is_failing = false;
    loop {
        match tokio::net::lookup_host((server.host(), server.port())).await {
            Ok(addresses) => {
                is_failing = false;
                let addresses = addresses.collect();
                tell(&media, AddressNews::StunServer { server: server.clone(), addresses });
                sleep(RESOLVE_EVERY).await;
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%server, %error, "cannot resolve the STUN server (see --media-stun-server)");
                }
                is_failing = true;
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn watch_cloud(service: SocketAddr, cloud: Cloud, media: MediaHandle) {
    let mut is_failing = false;
    loop {
        match cloud_metadata::ask(service, cloud).await {
            Ok(learned) => {
                is_failing = false;
                tell(&media, AddressNews::Cloud { name: cloud.to_string(), learned });
                sleep(CLOUD_EVERY).await;
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%cloud, %error, "the cloud's metadata service does not help (is --media-cloud right?)");
                }
                is_failing = true;
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

fn tell(media: &MediaHandle, news: AddressNews) {
    if let Err(error) = media.send(Command::AddressNews(news)) {
        tracing::debug!(%error, "news about addresses are lost");
    }
}
