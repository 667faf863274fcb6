//! The process is killed and started again: services and clients come back by themselves, and the meeting goes on.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use net::{Link, LinkEvent, LinkSettings, ServerTrust};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use xmpp::sm::StreamManagement;
use xmpp::{Element, bind, framing, ns};

const ROOM: &str = "demo@muc.meet.jitsi";
/// A process starts, and a link tries again, within this.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start(address: SocketAddr) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teranga-signaling"));
    command.args(["--http", &address.to_string(), "--log", "error"]).env("TERANGA_SERVICE_SECRET", "s3cret");
    let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let answering = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, answering).await.unwrap();
    child
}

fn join(nick: &str) -> Element {
    let text = format!(
        "<presence xmlns='jabber:client' to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    text.parse().unwrap()
}

/// A focus that goes into the room whenever its link comes up: in place of one that a client asks for the conference.
async fn keep_room(mut focus: Link) {
    while let Some(event) = focus.recv().await {
        if matches!(event, LinkEvent::Up { .. }) {
            focus.send(join("focus")).await;
        }
    }
}

/// A stock client, as far as it concerns losing its server.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    jid: String,
    resume_id: String,
}

impl Client {
    /// Takes up a former session if it can, else begins anew, as the stock client does (client.md §2.8).
    async fn connect(address: SocketAddr, previous: Option<&str>) -> Option<Self> {
        let query = previous.map(|id| format!("&previd={id}")).unwrap_or_default();
        let mut request = format!("ws://{address}/xmpp-websocket?room=demo{query}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        let (socket, _) = connect_async(request).await.ok()?;
        let mut client = Self { socket, jid: String::new(), resume_id: String::new() };
        client.send(&framing::client_open("meet.jitsi")).await;
        client.send(&"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap()).await;
        client.send(&framing::client_open("meet.jitsi")).await;
        if let Some(previous) = previous {
            let resume = StreamManagement::Resume { previd: previous.to_owned(), h: 0 };
            client.send(&resume.to_element()).await;
            let answer = client.receive_in(ns::SM).await;
            assert_eq!(answer.name(), "failed", "nothing is left of the session");
        }
        client.send(&bind::request("b", None)).await;
        client.jid = bind::bound_jid(&client.receive_named("iq").await).unwrap().unwrap().to_string();
        client.send(&StreamManagement::Enable { resume: true }.to_element()).await;
        client.resume_id = client.receive_in(ns::SM).await.attr("id").unwrap().to_owned();
        Some(client)
    }

    async fn send(&mut self, element: &Element) {
        self.socket.send(Message::text(element.to_string())).await.unwrap();
    }

    /// `None` once the connection is gone.
    async fn receive(&mut self) -> Option<Element> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().parse().unwrap()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn receive_that(&mut self, is_it: impl Fn(&Element) -> bool) -> Element {
        loop {
            let element = self.receive().await.unwrap();
            if is_it(&element) {
                return element;
            }
        }
    }

    async fn receive_named(&mut self, name: &str) -> Element {
        self.receive_that(|element| element.name() == name).await
    }

    async fn receive_in(&mut self, namespace: &str) -> Element {
        self.receive_that(|element| element.ns() == namespace && !element.is("r", ns::SM)).await
    }

    /// Comes into the room; while the focus is not back yet, again and again, as the stock client does with its conference
    /// request.
    async fn enter(&mut self) {
        let nick: String = self.jid.chars().take(8).collect();
        let own = format!("{ROOM}/{nick}");
        loop {
            self.send(&join(&nick)).await;
            let answer = self.receive_that(|element| element.attr("from") == Some(&own)).await;
            if answer.attr("type") != Some("error") {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn reconnect(address: SocketAddr, previous: &str) -> Client {
    let trying = async {
        loop {
            if let Some(client) = Client::connect(address, Some(previous)).await {
                return client;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, trying).await.unwrap()
}

#[tokio::test]
async fn the_meeting_goes_on_after_the_server_was_killed_and_started_again() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut server = start(address).await;
    let focus = Link::connect(LinkSettings {
        url: format!("ws://{address}/xmpp-websocket"),
        domain: "auth.meet.jitsi".to_owned(),
        username: "focus".to_owned(),
        password: "s3cret".to_owned(),
        resource: "focus".to_owned(),
        trust: ServerTrust::System,
    });
    let focus = tokio::spawn(keep_room(focus));
    let mut alice = Client::connect(address, None).await.unwrap();
    let mut bob = Client::connect(address, None).await.unwrap();
    timeout(PATIENCE, async { tokio::join!(alice.enter(), bob.enter()) }).await.unwrap();

    server.kill().await.unwrap();
    while alice.receive().await.is_some() {}
    while bob.receive().await.is_some() {}
    let _server = start(address).await;
    let (mut alice, mut bob) = (reconnect(address, &alice.resume_id).await, reconnect(address, &bob.resume_id).await);
    timeout(PATIENCE, async { tokio::join!(alice.enter(), bob.enter()) }).await.unwrap();

    let chat = format!("<message xmlns='jabber:client' type='groupchat' to='{ROOM}'><body>still here</body></message>");
    bob.send(&chat.parse().unwrap()).await;
    let heard = alice.receive_that(|element| element.child("body", ns::CLIENT).is_some());
    assert_eq!(timeout(PATIENCE, heard).await.unwrap().child("body", ns::CLIENT).unwrap().text(), "still here");
    focus.abort();
}
