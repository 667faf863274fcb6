//! Exporters with real WebSockets: what a server gets of a call, and servers that misbehave.

mod tls;

use std::sync::atomic::{AtomicBool, Ordering};

use jitsi_protocol::colibri2::{Connect, ConnectPing, ConnectType, HttpHeader, Source};
use model::{MediaType, Ssrc};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;
use crate::ExporterSettings;
use crate::tests::{microphone_media, microphone_packet};

const SSRC: u32 = 4711;

/// Who connects, how often, and with which headers.
struct Server {
    listener: TcpListener,
}

impl Server {
    async fn start() -> Self {
        Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap() }
    }

    fn connect(&self) -> Connect {
        let url = format!("ws://{}/record/m?token=x", self.listener.local_addr().unwrap());
        let header = |name: &str, value: &str| HttpHeader { name: name.to_owned(), value: value.to_owned() };
        Connect {
            create: true,
            http_headers: vec![header("Authorization", "Bearer key"), header("Host", "forged")],
            ..Connect::new("transcriber".to_owned(), url, ConnectType::Transcriber)
        }
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap().0
    }

    async fn accept_web_socket(&self) -> Peer<TcpStream> {
        Peer::over(self.accept().await).await
    }
}

/// The server's end of a WebSocket.
struct Peer<S> {
    socket: WebSocketStream<S>,
    request: Request,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn over(stream: S) -> Self {
        let mut request = None;
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let note = |asked: &Request, answer: Response| {
            request = Some(asked.clone());
            Ok(answer)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
        Self { socket, request: request.unwrap() }
    }

    /// The next event, or the code with which the bridge closed.
    async fn event(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn event_named(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await.unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

fn quick(settings: &mut Settings) {
    settings.exporters = ExporterSettings {
        base_delay: Duration::from_millis(20),
        max_delay: Duration::from_millis(50),
        ..ExporterSettings::default()
    };
    settings.region = Some("here".to_owned());
}

fn of_connects(connects: Vec<Connect>) -> ConferenceModify {
    ConferenceModify { connects: Some(connects), ..ConferenceModify::new("m".parse().unwrap()) }
}

/// Somebody who speaks for as long as this is there, and hears what the data channel says.
struct Speaker {
    is_over: SetWhenDropped,
    thread: tokio::task::JoinHandle<Vec<String>>,
}

/// So that a test that fails ends.
struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Speaker {
    async fn join(running: &mut Running) -> Self {
        let mut request = create(0, true);
        request.endpoints[0].media = microphone_media();
        let answer = running.ask(&request).await;
        let source = MediaSource {
            media_type: MediaType::Audio,
            id: "00000000-a0".parse().unwrap(),
            synthetic: false,
            sources: vec![Source::new(Ssrc(SSRC))],
            groups: Vec::new(),
        };
        let mut client = LoopbackClient::introduce(running, &answer, Some(vec![source])).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = tokio::task::spawn_blocking({
            let is_over = Arc::clone(&is_over);
            move || {
                let mut seq = 0;
                while !is_over.load(Ordering::Relaxed) {
                    if client.peer.has_keys() {
                        let packet = microphone_packet(SSRC, seq);
                        let protected = client.peer.protect_rtp(&packet, seq);
                        client.peer.outgoing.push(protected);
                        seq += 1;
                    }
                    client.step(Duration::from_millis(10));
                }
                client.peer.texts
            }
        });
        Self { is_over: SetWhenDropped(is_over), thread }
    }

    async fn leave(self) -> Vec<String> {
        drop(self.is_over);
        self.thread.await.unwrap()
    }
}

#[tokio::test]
async fn a_transcriber_gets_what_is_said_and_clients_what_it_writes() {
    let mut running = Running::with_settings(quick);
    let speaker = Speaker::join(&mut running).await;
    let server = Server::start().await;
    let connect = Connect {
        exports: vec!["00000000-a0".parse().unwrap()],
        ping: Some(ConnectPing { interval: Duration::from_millis(100), timeout: Duration::from_secs(10) }),
        ..server.connect()
    };
    running.ask(&of_connects(vec![connect.clone()])).await;
    let mut peer = server.accept_web_socket().await;
    assert_eq!(peer.request.uri().to_string(), "/record/m?token=x");
    assert_eq!(peer.request.headers()["authorization"], "Bearer key");
    assert_ne!(peer.request.headers()["host"], "forged");
    let sources = peer.event().await.unwrap();
    assert_eq!(sources, json!({ "event": "sources", "exports": ["00000000-a0"], "requests": [] }));
    let info = peer.event().await.unwrap();
    assert_eq!((&info["event"], &info["application"]), (&json!("info"), &json!("jitsi-videobridge")));
    assert_eq!(info["region"], "here");
    let start = peer.event_named("start").await;
    assert_eq!(start["start"]["mediaFormat"]["encoding"], "opus");
    for _ in 0..20 {
        let media = peer.event_named("media").await;
        assert_eq!(media["media"]["tag"], "00000000-a0");
    }
    let ping = peer.event_named("ping").await;
    peer.say(&json!({ "event": "pong", "id": ping["id"] }).to_string()).await;
    for text in ["no JSON", r#"{"event":"dance"}"#, r#"{"event":"start","start":{"tag":"x"}}"#] {
        peer.say(text).await;
    }
    peer.say(r#"{"event":"transcription-result","transcript":[{"text":"hello"}]}"#).await;
    // What it says is in order, so what comes behind it was taken after it.
    running.ask(&of_connects(vec![Connect { create: false, exports: Vec::new(), ..connect.clone() }])).await;
    assert_eq!(peer.event_named("sources").await, json!({ "event": "sources", "exports": [], "requests": [] }));
    peer.event_named("ping").await;
    running.ask(&of_connects(vec![Connect { create: false, expire: true, ..connect }])).await;
    peer.event_named("session-end").await;
    assert_eq!(peer.event().await, Err(Some(1001)));
    let texts = speaker.leave().await;
    let result = texts.iter().find(|text| text.contains("transcription-result"));
    let result: Value = serde_json::from_str(result.unwrap()).unwrap();
    assert_eq!(
        (&result["from"], &result["msgPayload"]["transcript"][0]["text"]),
        (&json!("transcriber"), &json!("hello"))
    );
}

#[tokio::test]
async fn a_server_that_refuses_breaks_off_or_does_not_answer_is_tried_again() {
    let mut running = Running::with_settings(quick);
    let speaker = Speaker::join(&mut running).await;
    let server = Server::start().await;
    let connect = Connect {
        ping: Some(ConnectPing { interval: Duration::from_millis(300), timeout: Duration::from_secs(1) }),
        ..server.connect()
    };
    running.ask(&of_connects(vec![connect])).await;
    // It refuses to speak, then answers nonsense, then closes for an error of its own.
    drop(server.accept().await);
    let mut stream = server.accept().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 503 Busy\r\n\r\n").await.unwrap();
    drop(stream);
    let mut peer = server.accept_web_socket().await;
    peer.event_named("media").await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1011.into(), reason: "".into() };
    peer.socket.close(Some(frame)).await.unwrap();
    // It leaves pings without an answer.
    let mut peer = server.accept_web_socket().await;
    let end = loop {
        if let Err(end) = peer.event().await {
            break end;
        }
    };
    assert_eq!(end, Some(1000));
    // It breaks the rules of WebSockets.
    let mut peer = server.accept_web_socket().await;
    tokio::io::AsyncWriteExt::write_all(peer.socket.get_mut(), &[0xff; 64]).await.unwrap();
    // And does well at last: it begins with all again.
    let mut peer = server.accept_web_socket().await;
    assert_eq!(peer.event().await.unwrap()["event"], "info");
    assert_eq!(peer.event_named("start").await["sequenceNumber"], "1");
    peer.event_named("media").await;
    speaker.leave().await;
}

#[tokio::test]
async fn a_server_that_reads_nothing_holds_up_nobody() {
    let mut running = Running::with_settings(quick);
    let speaker = Speaker::join(&mut running).await;
    let server = Server::start().await;
    running.ask(&of_connects(vec![server.connect()])).await;
    let hung = server.accept_web_socket().await;
    let other = Server::start().await;
    let connect = Connect { id: Some("recorder".to_owned()), ..other.connect() };
    running.ask(&of_connects(vec![connect])).await;
    let mut peer = other.accept_web_socket().await;
    for _ in 0..50 {
        peer.event_named("media").await;
    }
    // Nor does the end of the conference wait for it.
    let end = ConferenceModify { expire: true, ..ConferenceModify::new("m".parse().unwrap()) };
    running.ask(&end).await;
    peer.event_named("session-end").await;
    drop(hung);
    speaker.leave().await;
}

#[tokio::test]
async fn tries_are_given_up_where_an_operator_says_so() {
    let mut running = Running::with_settings(|settings| {
        quick(settings);
        settings.exporters.max_reconnect_attempts = Some(2);
    });
    let server = Server::start().await;
    let answer = running.ask(&create(0, true)).await;
    assert_eq!(answer.endpoints.len(), 1);
    running.ask(&of_connects(vec![server.connect()])).await;
    for _ in 0..3 {
        drop(server.accept().await);
    }
    let another = timeout(Duration::from_millis(500), server.listener.accept()).await;
    assert!(another.is_err(), "the third try was the last one");
}
