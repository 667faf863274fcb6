//! Real WebSockets over loopback: the shell around the core.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use futures_util::{SinkExt, StreamExt};
use prometheus::Registry;
use signaling::{Handle, Settings, Signaling, VisitorHosts};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use xmpp::muc::MucUser;
use xmpp::{Element, Jid, bind, framing, ns};

/// A signaling service on a loopback port.
struct Served {
    handle: Handle,
    address: std::net::SocketAddr,
}

impl Served {
    async fn start(settings: Settings) -> Self {
        let handle = Signaling::start(settings, &Registry::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = handle.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { handle, address }
    }

    fn url(&self) -> String {
        format!("ws://{}/xmpp-websocket?room=demo", self.address)
    }
}

/// A stock client, as far as its stream goes.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    jid: Jid,
}

impl Client {
    async fn connect(url: &str) -> Self {
        Self::connect_to("meet.jitsi", url).await
    }

    async fn connect_to(domain: &str, url: &str) -> Self {
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        let (socket, response) = connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "xmpp");
        let mut client = Self { socket, jid: "unbound".parse().unwrap() };
        client.send(&framing::client_open(domain)).await;
        assert!(client.text().await.starts_with("<open "));
        client.receive_named("features").await;
        client.send(&"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap()).await;
        client.receive_named("success").await;
        client.send(&framing::client_open(domain)).await;
        client.receive_named("open").await;
        client.receive_named("features").await;
        client.send(&bind::request("_bind_auth_2", None)).await;
        client.jid = bind::bound_jid(&client.receive().await).unwrap().unwrap();
        client
    }

    fn nick(&self) -> String {
        self.jid.local().unwrap().chars().take(8).collect()
    }

    async fn send(&mut self, element: &Element) {
        self.socket.send(Message::text(element.to_string())).await.unwrap();
    }

    async fn text(&mut self) -> String {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("no text but {other:?}"),
        }
    }

    async fn receive(&mut self) -> Element {
        self.text().await.parse().unwrap()
    }

    async fn receive_named(&mut self, name: &str) -> Element {
        let element = self.receive().await;
        assert_eq!(element.name(), name, "{element}");
        element
    }

    async fn join(&mut self) -> Vec<Element> {
        let nick = self.nick();
        self.send(&join_presence(&nick)).await;
        let mut seen = Vec::new();
        loop {
            let presence = self.receive().await;
            if presence.attr("from") == Some("metadata.meet.jitsi") {
                continue;
            }
            let is_own = MucUser::of_presence(&presence).unwrap().has_status(110);
            seen.push(presence);
            if is_own {
                self.receive_named("message").await;
                return seen;
            }
        }
    }
}

fn join_presence(nick: &str) -> Element {
    Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("demo@muc.meet.jitsi/{nick}"))
        .with_child(Element::new("x", ns::MUC))
        .with_child(Element::new("SourceInfo", ns::CLIENT).with_text("{}"))
}

fn chat(text: &str) -> Element {
    Element::new("message", ns::CLIENT)
        .with_attr("type", "groupchat")
        .with_attr("to", "demo@muc.meet.jitsi")
        .with_child(Element::new("body", ns::CLIENT).with_text(text))
}

async fn attach_focus(handle: &Handle) -> net::Link {
    let mut focus = handle.attach_service("focus").unwrap();
    assert!(matches!(focus.recv().await, Some(net::LinkEvent::Up { .. })));
    focus.send(join_presence("focus")).await;
    assert!(matches!(focus.recv().await, Some(net::LinkEvent::Stanza(_))));
    focus
}

#[tokio::test]
async fn two_clients_join_the_room_of_the_focus_and_chat() {
    let served = Served::start(Settings::default()).await;
    let _focus = attach_focus(&served.handle).await;
    let mut alice = Client::connect(&served.url()).await;
    let seen = alice.join().await;
    assert_eq!(seen[0].attr("from"), Some("demo@muc.meet.jitsi/focus"), "the focus comes first");
    let mut bob = Client::connect(&served.url()).await;
    assert_eq!(bob.join().await.len(), 3);
    let arrival = alice.receive_named("presence").await;
    assert_eq!(MucUser::of_presence(&arrival).unwrap().jid.as_deref(), Some(bob.jid.as_str()));

    bob.send(&chat("hi")).await;
    let (to_alice, to_bob) = (alice.receive_named("message").await, bob.receive_named("message").await);
    assert_eq!(to_alice.child("body", ns::CLIENT).unwrap().text(), "hi");
    assert_eq!(to_alice.attr("id"), to_bob.attr("id"));

    bob.socket.close(None).await.unwrap();
    let departure = alice.receive_named("presence").await;
    assert_eq!(departure.attr("type"), Some("unavailable"), "without stream management a lost client leaves at once");
}

#[tokio::test]
async fn a_visitor_is_at_a_node_and_comes_in_under_the_name_that_it_was_given() {
    const NODE: &str = "demo@muc.v1.meet.jitsi";
    let mut settings = Settings::default();
    settings.hosts.visitors = Some(VisitorHosts::of(&settings.hosts, 1, "meet.jitsi").unwrap());
    let served = Served::start(settings).await;
    let focus = attach_focus(&served.handle).await;
    let mut alice = Client::connect(&served.url()).await;
    alice.join().await;
    let presence = |nick: &str, child: Element| {
        Element::new("presence", ns::CLIENT).with_attr("to", format!("{NODE}/{nick}")).with_child(child)
    };
    assert!(focus.send(presence("focus", Element::new("x", ns::MUC))).await);
    let connect = "<iq xmlns='jabber:client' type='get' id='1' to='visitors.meet.jitsi'><visitors xmlns='jitsi:visitors' \
                   room='demo@muc.meet.jitsi'><connect-vnode vnode='v1'/></visitors></iq>";
    assert!(focus.send(connect.parse().unwrap()).await);
    let mut vic = Client::connect_to("v1.meet.jitsi", &format!("{}&vnode=v1", served.url())).await;
    vic.send(&presence(&vic.nick(), Element::new("x", ns::MUC))).await;
    for from in ["focus", &alice.nick()] {
        let shown = vic.receive_named("presence").await;
        assert_eq!(shown.attr("from"), Some(format!("{NODE}/{from}").as_str()));
    }
    vic.send(&presence(&vic.nick(), Element::new("jitsi_participant_raisedHand", ns::CLIENT).with_text("1"))).await;
    let username = loop {
        let answer = vic.receive().await;
        let visitors = answer.child("visitors", ns::VISITORS);
        if let Some(response) = visitors.and_then(|visitors| visitors.child("promotion-response", ns::VISITORS)) {
            break response.attr("username").unwrap().to_owned();
        }
    };
    let mut promoted = Client::connect(&format!("{}&customusername={username}", served.url())).await;
    assert_eq!((promoted.jid.local(), promoted.jid.domain()), (Some(username.as_str()), "meet.jitsi"));
    promoted.join().await;
    let arrival = alice.receive_named("presence").await;
    assert_eq!(MucUser::of_presence(&arrival).unwrap().jid.as_deref(), Some(promoted.jid.as_str()));
}

#[tokio::test]
async fn closes_with_the_exact_text_and_an_orderly_websocket_close() {
    let served = Served::start(Settings::default()).await;
    let mut client = Client::connect(&served.url()).await;
    client.send(&framing::CLOSE.parse().unwrap()).await;
    assert_eq!(client.text().await, framing::CLOSE);
    let close = client.socket.next().await;
    assert!(matches!(close, Some(Ok(Message::Close(Some(CloseFrame { code: CloseCode::Normal, .. }))))), "{close:?}");
}

#[tokio::test]
async fn a_stop_tells_every_client_and_ends_every_stream() {
    let served = Served::start(Settings::default()).await;
    let mut client = Client::connect(&served.url()).await;
    served.handle.stop().await;
    let error = client.receive_named("error").await;
    assert!(error.child("system-shutdown", ns::XMPP_STREAMS).is_some());
    assert_eq!(client.text().await, framing::CLOSE);
    served.handle.stop().await;
}

#[tokio::test]
async fn last_words_are_heard_though_the_line_broke_before_they_were_read() {
    let mut settings = Settings::default();
    settings.limits.client_burst_bytes = 8_000;
    let served = Served::start(settings).await;
    let _focus = attach_focus(&served.handle).await;
    let (mut leaver, mut stayer) = (Client::connect(&served.url()).await, Client::connect(&served.url()).await);
    stayer.join().await;
    leaver.join().await;
    stayer.receive_named("presence").await;
    let MaybeTlsStream::Plain(stream) = leaver.socket.get_ref() else { panic!("TLS") };
    stream.set_nodelay(true).unwrap();
    stream.set_zero_linger().unwrap();
    // More than it may send at once: what stands behind it is read in half a second.
    leaver.send(&chat(&"a".repeat(16_000))).await;
    leaver.send(&chat("farewell")).await;
    drop(leaver);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "farewell") {
        let message = stayer.receive().await;
        assert_eq!(message.name(), "message", "he is gone without a farewell: {message}");
        heard.extend(message.child("body", ns::CLIENT).map(Element::text));
        if heard.len() == 1 {
            // Cannot be written to who is gone.
            stayer.send(&chat("are you there?")).await;
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_or_no_xml_ends_the_stream_with_an_error() {
    let served = Served::start(Settings::default()).await;
    let large = format!("<message xmlns='jabber:client'><body>{}</body></message>", "x".repeat(70_000));
    for (bad, condition) in [
        (Message::text(large), "policy-violation"),
        (Message::text("<message"), "not-well-formed"),
        (Message::binary(vec![0_u8; 3]), "not-well-formed"),
    ] {
        let mut client = Client::connect(&served.url()).await;
        client.socket.send(bad).await.unwrap();
        let error = client.receive_named("error").await;
        assert!(error.child(condition, ns::XMPP_STREAMS).is_some(), "{error}");
        assert_eq!(client.text().await, framing::CLOSE);
    }
}

#[tokio::test]
async fn a_plain_get_is_answered_and_a_broken_upgrade_refused() {
    let served = Served::start(Settings::default()).await;
    let get = |head: &str| {
        format!("GET /acme/xmpp-websocket?room=demo HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n\r\n")
    };
    let plain = http(&served, &get("")).await;
    assert!(plain.starts_with("HTTP/1.1 200 "), "{plain}");
    assert!(plain.contains("access-control-allow-origin: *") && plain.ends_with("OK"), "{plain}");
    let broken = http(&served, &get("Upgrade: websocket\r\n")).await;
    assert!(broken.starts_with("HTTP/1.1 4"), "{broken}");
}

async fn http(served: &Served, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let mut settings = Settings::default();
    settings.limits.connections = 1;
    let served = Served::start(settings).await;
    let _first = Client::connect(&served.url()).await;
    let (mut second, _) = connect_async(served.url()).await.unwrap();
    let end = second.next().await;
    assert!(matches!(end, Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None), "{end:?}");
}
