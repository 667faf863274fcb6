//! Input that nobody means well with, where HTTP carries it: what is no frame, no end, no text.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use signaling::Settings;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use xmpp::ns;

use crate::bosh::Bosh;
use crate::client::{Served, Ws};

fn impatient() -> Settings {
    let mut settings = Settings::default();
    settings.timeouts.handshake = Duration::from_millis(300);
    settings
}

#[tokio::test]
async fn text_that_is_no_utf8_ends_the_stream_with_an_error() {
    let served = Served::start(Settings::default()).await;
    let mut neighbour = served.guest().await;
    let mut attacker = Ws::guest(&served).await;
    let bytes = b"<message xmlns='jabber:client'><body>\xff\xfe</body></message>".to_vec();
    attacker.socket.send(Message::Frame(Frame::message(bytes, OpCode::Data(Data::Text), true))).await.unwrap();
    let error = attacker.receive().await;
    assert!(error.child("not-well-formed", ns::XMPP_STREAMS).is_some(), "{error}");
    neighbour.ping().await;
}

#[tokio::test]
async fn a_websocket_that_says_nothing_or_half_a_frame_is_closed() {
    let served = Served::start(impatient()).await;
    for half in [false, true] {
        let mut attacker = Ws::connect(&served).await;
        if half {
            let first = Frame::message("<open", OpCode::Data(Data::Text), false);
            attacker.socket.send(Message::Frame(first)).await.unwrap();
        }
        assert!(attacker.receive().await.name() == "open", "the server's own header comes before an error");
        let error = attacker.receive().await;
        assert!(error.child("connection-timeout", ns::XMPP_STREAMS).is_some(), "{error}");
        while let Some(Ok(_)) = attacker.socket.next().await {}
    }
}

#[tokio::test]
async fn what_is_no_body_ends_its_request_and_no_session() {
    let served = Served::start(Settings::default()).await;
    let mut neighbour = served.guest().await;
    let (mut bosh, _) = Bosh::guest(&served).await;
    let wrong = [
        "<message xmlns='jabber:client'><!-- c --></message>".to_owned(),
        "<message xmlns='jabber:client'><?php?></message>".to_owned(),
        "<message xmlns='jabber:client'>&lol;</message>".to_owned(),
        "<message xmlns='jabber:client'><a></b></message>".to_owned(),
        format!("<message xmlns='jabber:client' a='{}'/>", "x".repeat(20_000)),
        format!("<message xmlns='jabber:client'>{}{}</message>", "<a>".repeat(100), "</a>".repeat(100)),
        format!("<message xmlns='jabber:client'>{}</message>", "<a/>".repeat(40_000)),
    ];
    for payload in wrong {
        let body = format!("<body rid='1' sid='s' xmlns='http://jabber.org/protocol/httpbind'>{payload}</body>");
        let answer = served.post(&body).await.1;
        let shown: String = payload.chars().take(80).collect();
        assert_eq!(answer.attr("condition"), Some("bad-request"), "{shown}");
        neighbour.ping().await;
    }
    let entities = "<!DOCTYPE b [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><body rid='1' xmlns='http://jabber.org/protocol/httpbind'>&b;</body>";
    assert_eq!(served.post(entities).await.1.attr("condition"), Some("bad-request"));
    // Whoever guesses at a session by a body that is none does it no harm.
    let answer = bosh.send("", "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert!(answer.child("iq", ns::CLIENT).is_some(), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_no_utf8_or_never_ends_is_refused() {
    let served = Served::start(Settings::default()).await;
    let mut socket = tokio::net::TcpStream::connect(served.http).await.unwrap();
    let body = b"<body rid='1' xmlns='http://jabber.org/protocol/httpbind'>\xff</body>";
    let head =
        format!("POST /http-bind HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
    assert!(answer.contains("bad-request"), "{answer}");
    // Chunks without an end: once they are too many, nobody reads on.
    let mut socket = tokio::net::TcpStream::connect(served.http).await.unwrap();
    socket.write_all(b"POST /http-bind HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..5 {
        if socket.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut socket, &mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_session_over_http_that_does_not_log_in_is_ended() {
    let served = Served::start(impatient()).await;
    let start = "<body rid='1' to='meet.jitsi' hold='1' xmlns='http://jabber.org/protocol/httpbind'/>";
    let sid = served.post(start).await.1.attr("sid").unwrap().to_owned();
    let held = format!("<body rid='2' sid='{sid}' xmlns='http://jabber.org/protocol/httpbind'/>");
    let answer = served.post(&held).await.1;
    assert_eq!(answer.attr("type"), Some("terminate"), "{answer}");
    let error = answer.child("error", ns::STREAMS).unwrap();
    assert!(error.child("connection-timeout", ns::XMPP_STREAMS).is_some(), "{answer}");
    assert_eq!(served.handle.metrics().connections.get(), 0);
}
