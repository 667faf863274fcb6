//! A bridge with its sockets, threads and tasks, on the loopback interface: what the parts beside cannot show.

mod admin;
mod captures;
mod exporters;
mod relays;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use jitsi_protocol::colibri2::{
    ConferenceModified, ConferenceModify, EndpointModify, MediaSource, Sctp, TransportRequest,
};
use model::{EndpointId, TransportProtocol};
use net::{LinkEvent, LinkPeer};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use xmpp::{Element, Jid, ns};

use super::*;
use crate::transport::test_peer::{TestPeer, bridge_address};

const FOCUS: &str = "jvbbrewery@internal-muc.meet.jitsi/focus";
/// Anything on the loopback interface comes long before.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bridge and the server's end of its link.
struct Running {
    bridge: Bridge,
    server: LinkPeer,
    registry: Registry,
    requests: usize,
}

impl Running {
    fn start() -> Self {
        Self::with_settings(|_| {})
    }

    fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let jid = Jid::new(Some("jvb"), "auth.meet.jitsi", Some("x")).unwrap();
        let (link, server) = Link::in_process(jid);
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        settings.media_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        settings.media_tcp_port = Some(0);
        settings.web_socket_base = Some("wss://public.example".to_owned());
        change(&mut settings);
        let registry = Registry::new();
        let bridge = Bridge::start(settings, link, &registry).unwrap();
        Self { bridge, server, registry, requests: 0 }
    }

    /// What a scrape sees.
    fn metrics(&self) -> String {
        observability::render_metrics(&self.registry)
    }

    /// The next stanza of the bridge that is no presence.
    async fn stanza(&mut self) -> Element {
        loop {
            let stanza = timeout(PATIENCE, self.server.from_service.recv()).await.unwrap().unwrap();
            if stanza.name() != "presence" {
                return stanza;
            }
        }
    }

    async fn send(&mut self, request: &ConferenceModify) -> String {
        self.requests += 1;
        let id = format!("q{}", self.requests);
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "get")
            .with_attr("id", id.as_str())
            .with_attr("from", FOCUS)
            .with_child(request.to_element());
        self.server.to_service.send(LinkEvent::Stanza(iq)).await.unwrap();
        id
    }

    async fn ask(&mut self, request: &ConferenceModify) -> ConferenceModified {
        let id = self.send(request).await;
        let answer = self.stanza().await;
        assert_eq!((answer.attr("id"), answer.attr("type")), (Some(id.as_str()), Some("result")));
        ConferenceModified::from_element(answer.children().next().unwrap()).unwrap()
    }

    /// Serves the bridge's routes, those for operators too; answers where.
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.bridge.router().merge(self.bridge.admin_router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

fn create(n: usize, is_first: bool) -> ConferenceModify {
    let id: EndpointId = format!("{n:08x}").parse().unwrap();
    let transport = TransportRequest {
        ice_controlling: true,
        use_unique_port: false,
        ice_restart: false,
        ice: None,
        sctp: Some(Sctp::default()),
    };
    let endpoint = EndpointModify {
        create: true,
        capabilities: vec!["source-names".to_owned()],
        transport: Some(transport),
        ..EndpointModify::new(id)
    };
    ConferenceModify { create: is_first, endpoints: vec![endpoint], ..ConferenceModify::new("m".parse().unwrap()) }
}

#[tokio::test]
async fn announces_itself_and_answers_many_requests_in_order() {
    let mut running = Running::start();
    let presence = timeout(PATIENCE, running.server.from_service.recv()).await.unwrap().unwrap();
    assert_eq!(presence.name(), "presence");
    // Each request but the first needs what the one before did: create, expire, create again, …
    let mut ids = Vec::new();
    ids.push(running.send(&create(0, true)).await);
    for _ in 0..200 {
        ids.push(running.send(&create(1, false)).await);
        let expiry = EndpointModify { expire: true, ..EndpointModify::new("00000001".parse().unwrap()) };
        let request = ConferenceModify { endpoints: vec![expiry], ..ConferenceModify::new("m".parse().unwrap()) };
        ids.push(running.send(&request).await);
    }
    let mut answered = Vec::new();
    for _ in &ids {
        let answer = running.stanza().await;
        assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
        answered.push(answer.attr("id").unwrap().to_owned());
    }
    answered.sort();
    ids.sort();
    assert_eq!(answered, ids);
}

/// A client on a socket of its own, of the endpoint of `answer`, which is the first one of [`create`].
struct LoopbackClient {
    peer: TestPeer,
    socket: UdpSocket,
    media: SocketAddr,
}

impl LoopbackClient {
    /// Tells the bridge of it, with what it sends.
    async fn introduce(running: &mut Running, answer: &ConferenceModified, sources: Option<Vec<MediaSource>>) -> Self {
        let mut ice = answer.endpoints[0].transport.clone().unwrap().ice.unwrap();
        let protocols: Vec<_> = ice.candidates.iter().map(|candidate| candidate.protocol.as_str()).collect();
        assert_eq!(protocols, ["udp", "tcp"]);
        let candidate = ice.candidates.swap_remove(0);
        let media: SocketAddr = SocketAddr::new(candidate.ip.parse().unwrap(), candidate.port);
        assert!(media.ip().is_loopback());
        ice.candidates.clear();

        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut peer = TestPeer::new(socket.local_addr().unwrap(), 7, Instant::now());
        // The peer thinks of the bridge as of the tests' one: datagrams are carried between that and the real one here.
        ice.candidates.push(xmpp::jingle::Candidate {
            ip: bridge_address().ip().to_string(),
            port: bridge_address().port(),
            ..candidate
        });
        peer.take_description(&ice, Instant::now());
        let transport = TransportRequest {
            ice_controlling: true,
            use_unique_port: false,
            ice_restart: false,
            ice: Some(peer.description()),
            sctp: None,
        };
        let id = answer.endpoints[0].id.clone();
        let endpoint = EndpointModify { transport: Some(transport), sources, ..EndpointModify::new(id) };
        let request = ConferenceModify { endpoints: vec![endpoint], ..ConferenceModify::new("m".parse().unwrap()) };
        running.ask(&request).await;
        Self { peer, socket, media }
    }

    /// Carries datagrams both ways for a moment, at most `wait`.
    fn step(&mut self, wait: Duration) {
        let now = Instant::now();
        let deadline = self.peer.drain(now);
        for datagram in std::mem::take(&mut self.peer.outgoing) {
            self.socket.send_to(&datagram, self.media).unwrap();
        }
        let wait = deadline.saturating_duration_since(now).clamp(Duration::from_millis(1), wait);
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let mut buffer = [0; 2048];
        if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            assert_eq!(from, self.media);
            self.peer.handle_datagram(Instant::now(), buffer[..len].to_vec());
        }
        self.peer.handle_timeout(Instant::now());
    }
}

/// Connects a client to the endpoint of `answer`, as the first one of [`create`]. Answers what it was told over its data
/// channel.
async fn connect(running: &mut Running, answer: &ConferenceModified) -> Vec<String> {
    let mut client = LoopbackClient::introduce(running, answer, None).await;
    let texts = tokio::task::spawn_blocking(move || {
        let give_up_at = Instant::now() + PATIENCE;
        while client.peer.texts.is_empty() {
            let peer = &client.peer;
            assert!(Instant::now() < give_up_at, "keys: {}, channel: {}", peer.has_keys(), peer.is_channel_open());
            client.step(Duration::from_millis(50));
        }
        client.peer.texts
    });
    texts.await.unwrap()
}

#[tokio::test]
async fn a_client_connects_through_a_real_socket() {
    let mut running = Running::start();
    let answer = running.ask(&create(0, true)).await;
    let texts = connect(&mut running, &answer).await;
    assert!(texts[0].contains("ServerHello"), "{texts:?}");
}

#[tokio::test]
async fn tells_where_media_is_reached_as_stun_servers_show_it() {
    let stun = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = stun.local_addr().unwrap().to_string();
    let running = Running::with_settings(|settings| {
        settings.media_tcp_port = None;
        settings.addresses.stun_servers = vec![server.parse().unwrap()];
    });
    let mut addresses = running.bridge.addresses();
    let local = addresses.borrow_and_update()[0].local;
    let reached_at = |advertised| MediaAddress { protocol: TransportProtocol::Udp, advertised, local };
    assert_eq!(*addresses.borrow(), [reached_at(local)]);

    let mut request = [0; 64];
    let (len, media) = timeout(PATIENCE, stun.recv_from(&mut request)).await.unwrap().unwrap();
    assert_eq!((len, media), (20, local));
    // XOR-MAPPED-ADDRESS of 203.0.113.7:20000.
    let mapped = [0, 0x20, 0, 8, 0, 1, 0x6f, 0x32, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42];
    let answer = [&[1, 1, 0, mapped.len() as u8], &request[4..20], &mapped].concat();
    stun.send_to(&answer, media).await.unwrap();
    timeout(PATIENCE, addresses.changed()).await.unwrap().unwrap();
    assert_eq!(*addresses.borrow(), [reached_at(local), reached_at("203.0.113.7:20000".parse().unwrap())]);
}

#[tokio::test]
async fn web_sockets_are_let_in_by_their_secret_only() {
    let mut running = Running::start();
    let answer = running.ask(&create(0, true)).await;
    let url = answer.endpoints[0].transport.clone().unwrap().ice.unwrap().web_sockets[0].clone();
    let address = running.serve().await;
    let url = url.replace("wss://public.example", &format!("ws://{address}"));
    for (wrong, status) in [
        (url.replace("default-id", "other"), 404),
        (url.replace("/00000000", "/00000001"), 403),
        (url.clone() + "x", 403),
        (url.split('?').next().unwrap().to_owned(), 403),
        (format!("ws://{address}/elsewhere"), 404),
    ] {
        let refused = tokio_tungstenite::connect_async(wrong.as_str()).await.unwrap_err();
        let Error::Http(response) = refused else { panic!("{wrong}: {refused}") };
        assert_eq!(response.status(), status, "{wrong}");
    }

    let (mut first, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    let hello = timeout(PATIENCE, first.next()).await.unwrap().unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("ServerHello"));
    let (mut second, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    // The first is told that it was replaced, and heard no more; the second is answered.
    let close = loop {
        match timeout(PATIENCE, first.next()).await.unwrap().unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1000, "replaced"));
    second.send(Message::Text(r#"{"colibriClass":"ClientHello"}"#.into())).await.unwrap();
    let mut hellos = 0;
    while hellos < 2 {
        let message = timeout(PATIENCE, second.next()).await.unwrap().unwrap().unwrap();
        hellos += usize::from(message.to_text().unwrap().contains("ServerHello"));
    }
    // The endpoint ends, and so does its socket.
    let expiry = EndpointModify { expire: true, ..EndpointModify::new("00000000".parse().unwrap()) };
    running.ask(&ConferenceModify { endpoints: vec![expiry], ..ConferenceModify::new("m".parse().unwrap()) }).await;
    let close = loop {
        match timeout(PATIENCE, second.next()).await.unwrap().unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "endpoint closed"));
}

#[tokio::test]
async fn a_message_that_is_too_long_costs_the_channel() {
    let mut running = Running::start();
    let answer = running.ask(&create(0, true)).await;
    let url = answer.endpoints[0].transport.clone().unwrap().ice.unwrap().web_sockets[0].clone();
    let address = running.serve().await;
    let url = url.replace("wss://public.example", &format!("ws://{address}"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    socket.send(Message::Text("x".repeat(100_000).into())).await.unwrap();
    // What was sent to it before may still come.
    while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.unwrap() {}
    assert!(tokio_tungstenite::connect_async(url.as_str()).await.is_ok(), "it may open another");
}

#[tokio::test]
async fn the_media_port_is_free_when_the_bridge_is_gone() {
    let mut running = Running::start();
    let answer = running.ask(&create(0, true)).await;
    let port = answer.endpoints[0].transport.clone().unwrap().ice.unwrap().candidates[0].port;
    drop(running);
    let is_free = async {
        while UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_free).await.unwrap();
}
