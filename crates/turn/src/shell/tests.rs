//! The service over real sockets, with coturn's client as the other side.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::process::Command;

use super::*;
use crate::{BridgeAddress, PeerPolicy, SharedSecret};

const SECRET: &str = "north";

/// A peer that sends back what it gets.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, source)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..len], source).await.unwrap();
        }
    });
    address
}

fn settings(peer: BridgeAddress) -> Settings {
    let mut settings = Settings::new(SharedSecret::new(SECRET).unwrap());
    settings.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    settings.relay_addresses = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    // coturn's client first binds a channel to the port above, to see what happens.
    let above = BridgeAddress {
        advertised: SocketAddr::new(peer.advertised.ip(), peer.advertised.port() + 1),
        local: SocketAddr::new(peer.local.ip(), peer.local.port() + 1),
    };
    settings.peers = PeerPolicy::bridges([peer, above]);
    settings
}

/// Runs coturn's client: `-W` lets it make time-limited credentials. Answers whether it lost nothing, and what it said.
async fn uclient(port: u16, peer: SocketAddr, flags: &[&str]) -> (bool, String) {
    let mut command = Command::new("turnutils_uclient");
    command.args(["-u", "alice", "-W", SECRET, "-n", "20", "-m", "2", "-c"]).args(flags);
    command.args(["-e", &peer.ip().to_string(), "-r", &peer.port().to_string(), "-p", &port.to_string(), "127.0.0.1"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("it ends").unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let is_complete = text.contains("tot_send_msgs=40, tot_recv_msgs=40") || text.contains("total lost packets 0 (0.0");
    (output.status.success() && is_complete, text)
}

#[tokio::test]
async fn coturns_client_relays_over_udp_by_channels_and_by_indications() {
    let peer = echo().await;
    let turn = Turn::start(settings(BridgeAddress::direct(peer)), &Registry::new()).unwrap();
    let port = turn.port().unwrap();
    for flags in [&[][..], &["-s"], &["-g"]] {
        let (is_complete, text) = uclient(port, peer, flags).await;
        assert!(is_complete, "{flags:?}\n{text}");
    }
}

#[tokio::test]
async fn coturns_client_relays_over_tcp() {
    let peer = echo().await;
    let turn = Turn::start(settings(BridgeAddress::direct(peer)), &Registry::new()).unwrap();
    for flags in [&["-t"][..], &["-t", "-s"]] {
        let (is_complete, text) = uclient(turn.port().unwrap(), peer, flags).await;
        assert!(is_complete, "{flags:?}\n{text}");
    }
}
