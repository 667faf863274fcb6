//! The wire of a script that is run over real WebSockets: clients connect to a listener on loopback with what their page says in
//! the URL, tokens signed, and services within the process.
//!
//! Time is real here, so that only scripts run so in which none passes. What is not sent has to be told from what is still on its
//! way: after each step everybody asks for a sign of life, twice, and the server answers in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::serve::{Listener, ListenerExt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use net::{Link, LinkEvent};
use prometheus::Registry;
use serde_json::{Value, json};
use signaling::{ConnectionId, Handle, Settings, Signaling};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use xmpp::Element;

use super::Received;

/// A frame that is on its way on loopback takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ids of questions for signs of life.
const BARRIER: &str = "barrier-";

pub(super) struct Sockets {
    runtime: Runtime,
    handle: Handle,
    address: SocketAddr,
    peers: BTreeMap<ConnectionId, Peer>,
    barriers: u64,
}

enum Peer {
    Client { socket: Box<WebSocketStream<MaybeTlsStream<TcpStream>>>, is_bound: bool },
    Service(Link),
}

impl Sockets {
    pub(super) fn start(mut settings: Settings) -> Self {
        // Who says nothing for a while on a busy machine is not asked for signs of life by the server.
        settings.timeouts.probe_after = Duration::from_secs(3600);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, address) = runtime.block_on(async {
            let handle = Signaling::start(settings, &Registry::new()).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // Frames are small, and each is waited for.
            let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
            let address = listener.local_addr().unwrap();
            let router = handle.router().into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, router).await });
            (handle, address)
        });
        Self { runtime, handle, address, peers: BTreeMap::new(), barriers: 0 }
    }

    pub(super) fn attach(&mut self, connection: ConnectionId, account: &str) {
        let link = self.runtime.block_on(async {
            let mut link = self.handle.attach_service(account).unwrap();
            assert!(matches!(link.recv().await, Some(LinkEvent::Up { .. })));
            link
        });
        self.peers.insert(connection, Peer::Service(link));
    }

    /// Opens a WebSocket, with these parameters in its URL.
    pub(super) fn connect(&mut self, connection: ConnectionId, query: &[(&str, Option<String>)]) {
        let mut url = format!("ws://{}/xmpp-websocket?", self.address);
        for (name, value) in query {
            if let Some(value) = value {
                url.push_str(&format!("{name}={value}&"));
            }
        }
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        request.headers_mut().insert("Host", "here.example".parse().unwrap());
        let (socket, _) = self.runtime.block_on(connect_async_with_config(request, None, true)).unwrap();
        self.peers.insert(connection, Peer::Client { socket: Box::new(socket), is_bound: false });
    }

    /// From now on its signs of life are asked for.
    pub(super) fn note_bound(&mut self, connection: ConnectionId) {
        if let Some(Peer::Client { is_bound, .. }) = self.peers.get_mut(&connection) {
            *is_bound = true;
        }
    }

    pub(super) fn send(&mut self, connection: ConnectionId, frame: &Element) {
        let peer = self.peers.get_mut(&connection).unwrap();
        self.runtime.block_on(async {
            match peer {
                Peer::Client { socket, .. } => socket.send(Message::text(frame.to_string())).await.unwrap(),
                Peer::Service(link) => assert!(link.send(frame.clone()).await),
            }
        });
    }

    /// The next frame; the end of the connection is one as well.
    pub(super) fn receive(&mut self, connection: ConnectionId) -> Received {
        let peer = self.peers.get_mut(&connection).unwrap();
        let frame = async {
            match peer {
                Peer::Client { socket, .. } => match socket.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str().starts_with("<close ") => Received::CloseFrame,
                    Some(Ok(Message::Text(text))) => Received::Text(text.as_str().to_owned()),
                    Some(Ok(_)) | Some(Err(_)) | None => Received::Cut,
                },
                Peer::Service(link) => match link.recv().await {
                    Some(LinkEvent::Stanza(stanza)) => Received::Text(stanza.to_string()),
                    Some(LinkEvent::Up { .. } | LinkEvent::Down) | None => Received::Cut,
                },
            }
        };
        self.runtime.block_on(async { timeout(PATIENCE, frame).await }).expect("a frame comes")
    }

    /// What everybody received of all that was said so far.
    pub(super) fn settle(&mut self) -> Vec<(ConnectionId, Received)> {
        let mut received = Vec::new();
        for _ in 0..2 {
            let bound = self.peers.iter().filter(|(_, peer)| match peer {
                Peer::Client { is_bound, .. } => *is_bound,
                Peer::Service(_) => true,
            });
            for connection in bound.map(|(connection, _)| *connection).collect::<Vec<_>>() {
                self.barriers += 1;
                let id = format!("{BARRIER}{}", self.barriers);
                let ping = format!("<iq xmlns='jabber:client' type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
                self.send(connection, &ping.parse().unwrap());
                loop {
                    match self.receive(connection) {
                        Received::Text(text) if text.contains(&format!("id='{id}'")) => break,
                        other @ Received::Text(_) => received.push((connection, other)),
                        end @ (Received::CloseFrame | Received::Cut | Received::StartTls) => {
                            received.push((connection, end));
                            self.peers.remove(&connection);
                            break;
                        }
                    }
                }
            }
        }
        received
    }
}

/// A token with these claims, signed with the secret of the scripts, or with another.
pub(super) fn signed(claims: &Value, is_right: bool) -> String {
    let mut payload = json!({ "iss": "app", "aud": "stock" });
    payload.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, if is_right { b"hush" } else { b"other" });
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}
