//! The service over real sockets, with coturn's client as the other side.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::Command;

use super::*;
use crate::stun::{Class, MessageBuilder, Method, TransactionId};
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

/// Runs coturn's client: `-W` lets it make time-limited credentials. Fails unless every message came back.
async fn uclient(port: u16, peer: SocketAddr, flags: &[&str]) {
    let mut command = Command::new("turnutils_uclient");
    command.args(["-u", "alice", "-W", SECRET, "-n", "10", "-m", "2", "-c"]).args(flags);
    command.args(["-e", &peer.ip().to_string(), "-r", &peer.port().to_string(), "-p", &port.to_string(), "127.0.0.1"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{flags:?}\n{text}");
    assert!(text.contains("tot_send_msgs=20, tot_recv_msgs=20"), "{flags:?}\n{text}");
}

async fn start(peer: BridgeAddress) -> (Handle, u16) {
    let turn = Turn::start(settings(peer), &Registry::new()).unwrap();
    let port = turn.port().unwrap();
    (turn, port)
}

#[tokio::test]
async fn coturns_client_relays_over_udp_by_channels_and_by_indications() {
    let peer = echo().await;
    let (_turn, port) = start(BridgeAddress::direct(peer)).await;
    // Each takes ten seconds, most of which it sleeps.
    let run = |flags| uclient(port, peer, flags);
    tokio::join!(run(&[]), run(&["-s"]), run(&["-g"]));
}

#[tokio::test]
async fn coturns_client_relays_over_tcp() {
    let peer = echo().await;
    let (_turn, port) = start(BridgeAddress::direct(peer)).await;
    tokio::join!(uclient(port, peer, &["-t"]), uclient(port, peer, &["-t", "-s"]));
}

/// coturn's client picks TLS versions at random, old ones among them: here it speaks TCP to a tunnel of TLS.
#[tokio::test]
async fn coturns_client_relays_over_tls_that_another_ends() {
    let peer = echo().await;
    let (turn, _) = start(BridgeAddress::direct(peer)).await;
    let (acceptor, connector) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            let local = stream.local_addr().unwrap();
            turn.adopt(acceptor.accept(stream).await.unwrap(), Vec::new(), local, remote);
        }
    });
    let tunnel = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tunnel.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tunnel.accept().await {
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut tls = connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
            // How the tunnel ends is of no interest.
            tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut stream, &mut tls).await) });
        }
    });
    tokio::join!(uclient(port, peer, &["-t"]), uclient(port, peer, &["-t", "-s"]));
}

fn tls() -> (tokio_rustls::TlsAcceptor, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

/// Clients know the bridge by its public address, which only the NAT has; the relay reaches it inside.
#[tokio::test]
async fn coturns_client_reaches_a_bridge_behind_nat_at_its_public_address() {
    let local = echo().await;
    let advertised = SocketAddr::from(([203, 0, 113, 7], local.port()));
    let (_turn, port) = start(BridgeAddress { advertised, local }).await;
    uclient(port, advertised, &[]).await;
}

#[tokio::test]
async fn a_stream_with_another_protocol_is_closed() {
    let peer = echo().await;
    let (_turn, port) = start(BridgeAddress::direct(peer)).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"\x80\0\0\0").await.unwrap();
    let mut byte = [0; 1];
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut byte)).await.expect("it ends");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

/// A client that sends and never reads: what is for it is dropped, and others go on.
#[tokio::test]
async fn a_stream_that_does_not_read_holds_nobody_up() {
    let peer = echo().await;
    let registry = Registry::new();
    let turn = Turn::start(settings(BridgeAddress::direct(peer)), &registry).unwrap();
    let (near, far) = tokio::io::duplex(1024);
    let remote = SocketAddr::from(([198, 51, 100, 7], 5000));
    turn.adopt(far, Vec::new(), SocketAddr::from(([127, 0, 0, 1], 443)), remote);
    let (mut reader, mut writer) = tokio::io::split(near);
    // Binding requests over a stream are all answered; nobody reads the answers.
    let request = MessageBuilder::new(Class::Request, Method::Binding, TransactionId([1; 12])).finish(false);
    let flood = async {
        loop {
            writer.write_all(&request.repeat(100)).await.unwrap();
        }
    };
    let others = async {
        uclient(turn.port().unwrap(), peer, &[]).await;
        uclient(turn.port().unwrap(), peer, &["-t"]).await;
    };
    tokio::select! {
        () = flood => {}
        () = others => {}
    }
    let families = registry.gather();
    let dropped = families.iter().find(|family| family.name() == "teranga_turn_dropped_total").unwrap();
    let is_full = |metric: &&prometheus::proto::Metric| {
        metric.get_label().iter().any(|label| label.value() == "stream_queue_full")
    };
    let count = dropped.get_metric().iter().find(is_full).map_or(0.0, |metric| metric.get_counter().get_value());
    assert!(count > 0.0, "nothing was dropped");
    // What did get through is whole.
    let mut answer = [0; 32];
    reader.read_exact(&mut answer).await.unwrap();
    assert!(crate::stun::Message::parse(&answer).is_ok());
}
