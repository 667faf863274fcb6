//! TURN within the process: which bridge it reaches, and what clients are told of it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use bridge::AddressMapping;
use model::TransportProtocol;
use prometheus::Registry;
use turn::{BridgeAddress, PeerPolicy, SharedSecret};

use crate::cli::Options;

/// File name in the state directory. Credentials that were given before a restart serve after it.
const SECRET_FILE: &str = "turn-secret";

/// What the TURN server has to know of this host.
pub(crate) struct Host<'a> {
    /// The address that everything listens on.
    pub(crate) address: IpAddr,
    /// The addresses of this host's interfaces.
    pub(crate) interfaces: &'a [IpAddr],
}

/// Starts the TURN server; `None` when it is switched off.
pub(crate) fn start(
    options: &Options,
    host: &Host<'_>,
    secret: SharedSecret,
    registry: &Registry,
) -> anyhow::Result<Option<turn::Handle>> {
    if options.turn_port == 0 {
        return Ok(None);
    }
    let mut settings = turn::Settings::new(secret);
    settings.listen = Some(SocketAddr::new(host.address, options.turn_port));
    settings.shared_ports = vec![options.https_port, options.http_port];
    settings.relay_addresses = host.reachable().to_vec();
    let mappings = options.media.media_address.iter();
    settings.peers = PeerPolicy::bridges(host.bridges(&options.media.media_address, options.media.media_port))
        .with_networks(options.turn_allow.iter().copied())
        .with_own_addresses(host.interfaces.iter().copied().chain(mappings.map(|mapping| mapping.public)));
    match turn::Turn::start(settings, registry) {
        Ok(handle) => Ok(Some(handle)),
        Err(turn::StartError::Bind { protocol, address, source }) => {
            let what = format!("cannot listen on turn {protocol} {address}");
            Err(anyhow!(web::explain_port(&what, &source, "choose another port with --turn-port, 0 for none")))
        }
        Err(error) => Err(error).context("cannot start TURN"),
    }
}

impl Host<'_> {
    /// The addresses at which this host is reached.
    fn reachable(&self) -> &[IpAddr] {
        if self.address.is_unspecified() { self.interfaces } else { std::slice::from_ref(&self.address) }
    }

    /// The addresses that the bridge tells its clients, and where each is reached from here: an advertised address that
    /// is none of this host's is the public side of a NAT, behind which the bridge has the first of its family.
    fn bridges(&self, advertised: &[AddressMapping], port: u16) -> Vec<BridgeAddress> {
        let own = self.reachable();
        let socket = |ip: IpAddr| SocketAddr::new(ip, port);
        // A relay speaks UDP to the bridge.
        let over_udp = advertised.iter().filter(|mapping| mapping.protocol != Some(TransportProtocol::Tcp));
        let behind = over_udp.map(|mapping| {
            let public = SocketAddr::new(mapping.public, mapping.public_port.unwrap_or(port));
            let same_family = own.iter().copied().find(|own| own.is_ipv4() == public.is_ipv4());
            match mapping.local.or(same_family) {
                Some(inside) if !own.contains(&public.ip()) && !public.ip().is_loopback() => {
                    BridgeAddress { advertised: public, local: socket(inside) }
                }
                Some(_) | None => BridgeAddress::direct(public),
            }
        });
        let behind: Vec<_> = behind.collect();
        if behind.is_empty() { own.iter().map(|ip| BridgeAddress::direct(socket(*ip))).collect() } else { behind }
    }
}

/// Hands the https port's TURN streams to the server.
pub(crate) fn stream_handler(turn: turn::Handle) -> web::TurnStreamHandler {
    Arc::new(move |web::TurnStream { stream, already_read, local, remote }| {
        turn.adopt(stream, already_read, local, remote);
    })
}

/// What clients are told (XEP-0215): the server's own port, and the https port as they see it. The host is the
/// one of the public URL, or the one that each client used.
pub(crate) fn announced(options: &Options, secret: signaling::Secret) -> signaling::ExternalServices {
    let (host, public_port) = options.public_url.as_deref().map(host_and_port).unwrap_or_default();
    let tls_port = public_port.unwrap_or(options.https_port);
    let server = |kind, port| signaling::IceServer { kind, host: host.clone(), port };
    signaling::ExternalServices {
        servers: vec![
            server(signaling::IceServerKind::Stun, options.turn_port),
            server(signaling::IceServerKind::TurnUdp, options.turn_port),
            server(signaling::IceServerKind::TurnTcp, options.turn_port),
            // Browsers refuse a self-signed certificate for TURN without asking, so the same port is told of without TLS.
            server(signaling::IceServerKind::TurnTcp, tls_port),
            server(signaling::IceServerKind::Turns, tls_port),
        ],
        turn: Some(signaling::TurnCredentials { secret, lifetime: signaling::TurnCredentials::DEFAULT_LIFETIME }),
    }
}

/// Host and port of a URL, whose form the command line has checked.
fn host_and_port(url: &str) -> (Option<String>, Option<u16>) {
    let (default, authority) = match url.strip_prefix("http://") {
        // Something in front ends TLS, at the usual port.
        Some(rest) => (443, rest),
        None => (443, url.strip_prefix("https://").unwrap_or(url)),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default)),
        Some(_) | None => (authority, default),
    };
    (Some(host.to_owned()), Some(port))
}

/// The secret of the state directory; where there is none, one is made and kept.
pub(crate) fn load_or_create_secret(state_dir: &Path) -> anyhow::Result<String> {
    let path = state_dir.join(SECRET_FILE);
    let failed = || format!("cannot use {}", path.display());
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(failed),
    }
    let text = new_secret();
    // Whole or not at all.
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished).with_context(failed)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).with_context(failed)?;
    fs::rename(&unfinished, &path).with_context(failed)?;
    Ok(text)
}

/// A secret that nobody has.
pub(crate) fn new_secret() -> String {
    let secret: [u8; 32] = rand::random();
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_public_address_is_reached_at_the_hosts_own() {
        let interfaces = ips(&["10.0.0.5", "fd00::5"]);
        let host = Host { address: "::".parse().unwrap(), interfaces: &interfaces };
        let bridges = host
            .bridges(&["203.0.113.7", "10.0.0.5"].map(|ip| AddressMapping::of_all_ports(ip.parse().unwrap())), 10_000);
        let pairs: Vec<_> = bridges.iter().map(|bridge| format!("{} {}", bridge.advertised, bridge.local)).collect();
        assert_eq!(pairs, ["203.0.113.7:10000 10.0.0.5:10000", "10.0.0.5:10000 10.0.0.5:10000"]);
        assert_eq!(host.bridges(&[], 10_000).len(), 2);
        let one = Host { address: "127.0.0.1".parse().unwrap(), interfaces: &interfaces };
        assert_eq!(one.bridges(&[], 7), [BridgeAddress::direct("127.0.0.1:7".parse().unwrap())]);
    }

    #[test]
    fn the_public_url_names_host_and_port_of_turn_over_tls() {
        for (url, host, port) in [
            ("https://meet.example", "meet.example", 443),
            ("https://meet.example:8443", "meet.example", 8443),
            ("https://[2001:db8::1]", "[2001:db8::1]", 443),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]", 8443),
            ("http://meet.example", "meet.example", 443),
        ] {
            assert_eq!(host_and_port(url), (Some(host.to_owned()), Some(port)), "{url}");
        }
    }

    #[test]
    fn the_secret_outlives_a_restart_and_is_its_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create_secret(dir.path()).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(load_or_create_secret(dir.path()).unwrap(), first);
        let mode = fs::metadata(dir.path().join(SECRET_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
