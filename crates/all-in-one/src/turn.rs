//! TURN within the process: which bridge it reaches, and what clients are told of it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use bridge::MediaAddress;
use model::TransportProtocol;
use prometheus::Registry;
use tokio::sync::watch;
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

/// Starts the TURN server, whose relays reach the bridge at the addresses of `bridge`, now and as they change; `None` when
/// it is switched off. Call inside a tokio runtime.
pub(crate) fn start(
    options: &Options,
    host: &Host<'_>,
    mut bridge: watch::Receiver<Vec<MediaAddress>>,
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
    settings.peers = peers(&bridge.borrow_and_update(), &options.turn_allow, host.interfaces);
    match turn::Turn::start(settings, registry) {
        Ok(handle) => {
            tokio::spawn(follow(bridge, handle.clone(), options.turn_allow.clone(), host.interfaces.to_vec()));
            Ok(Some(handle))
        }
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
}

/// Tells the TURN server where the bridge is reached whenever that changes, until the bridge is gone.
async fn follow(
    mut bridge: watch::Receiver<Vec<MediaAddress>>,
    turn: turn::Handle,
    networks: Vec<turn::Network>,
    mut interfaces: Vec<IpAddr>,
) {
    while bridge.changed().await.is_ok() {
        match net::host_addresses() {
            Ok(addresses) => interfaces = addresses,
            Err(error) => tracing::debug!(%error, "cannot read this host's addresses"),
        }
        let peers = peers(&bridge.borrow_and_update(), &networks, &interfaces);
        turn.set_peers(peers).await;
    }
}

/// Whom relays may talk to: the bridge where clients are told that it is, and the networks that an operator named. Nothing
/// else of this host, which has `interfaces`.
fn peers(bridge: &[MediaAddress], networks: &[turn::Network], interfaces: &[IpAddr]) -> PeerPolicy {
    // A relay speaks UDP to the bridge.
    let over_udp = bridge.iter().filter(|address| address.protocol == TransportProtocol::Udp);
    let bridges = over_udp.map(|&MediaAddress { advertised, local, .. }| BridgeAddress { advertised, local });
    let advertised = bridge.iter().map(|address| address.advertised.ip());
    PeerPolicy::bridges(bridges)
        .with_networks(networks.iter().copied())
        .with_own_addresses(interfaces.iter().copied().chain(advertised))
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
    use std::net::UdpSocket;
    use std::process::Command;

    use super::*;

    /// An address of the bridge, behind a NAT or not.
    fn bridge_at(protocol: TransportProtocol, advertised: &str, local: &str) -> MediaAddress {
        MediaAddress { protocol, advertised: advertised.parse().unwrap(), local: local.parse().unwrap() }
    }

    #[test]
    fn relays_reach_the_bridge_over_udp_and_nothing_else_of_this_host() {
        let interfaces = ["10.0.0.5".parse().unwrap()];
        let networks = ["198.51.100.0/24".parse().unwrap()];
        let bridge = [
            bridge_at(TransportProtocol::Udp, "203.0.113.7:20000", "10.0.0.5:10000"),
            bridge_at(TransportProtocol::Tcp, "203.0.113.8:443", "10.0.0.5:4443"),
        ];
        let [advertised, local] = [bridge[0].advertised, bridge[0].local];
        let expected = PeerPolicy::bridges([BridgeAddress { advertised, local }])
            .with_networks(networks)
            .with_own_addresses(["10.0.0.5", "203.0.113.7", "203.0.113.8"].map(|ip| ip.parse().unwrap()));
        assert_eq!(peers(&bridge, &networks, &interfaces), expected);
    }

    /// The bridge learns its public address after the start, as from a STUN server; a relay reaches it there from then on.
    #[tokio::test]
    async fn relays_reach_the_bridge_at_an_address_that_it_learned_later() {
        let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = echo.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, source)) = echo.recv_from(&mut buffer) {
                let _ = echo.send_to(&buffer[..len], source);
            }
        });
        let mut settings = turn::Settings::new(SharedSecret::new("north").unwrap());
        settings.listen = Some("127.0.0.1:0".parse().unwrap());
        settings.relay_addresses = vec!["127.0.0.1".parse().unwrap()];
        let turn = turn::Turn::start(settings, &Registry::new()).unwrap();
        let port = turn.port().unwrap();
        let (publisher, bridge) = watch::channel(Vec::new());
        // coturn's client first binds a channel to the port above, to see what happens.
        let learned = [local.port(), local.port() + 1].map(|port| MediaAddress {
            protocol: TransportProtocol::Udp,
            advertised: ([203, 0, 113, 7], port).into(),
            local: ([127, 0, 0, 1], port).into(),
        });
        publisher.send_replace(learned.to_vec());
        drop(publisher);
        follow(bridge, turn, Vec::new(), Vec::new()).await;
        let output = tokio::task::spawn_blocking(move || {
            let arguments =
                format!("-u alice -W north -n 10 -m 2 -c -e 203.0.113.7 -r {} -p {port} 127.0.0.1", local.port());
            Command::new("timeout").arg("60").arg("turnutils_uclient").args(arguments.split(' ')).output().unwrap()
        });
        let text = String::from_utf8(output.await.unwrap().stdout).unwrap();
        assert!(text.contains("tot_send_msgs=20, tot_recv_msgs=20"), "{text}");
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
