//! Input that nobody means well with, over every transport: a defined error for who sends it, nothing for the others.

use std::time::Duration;

use futures_util::SinkExt;
use signaling::Settings;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use xmpp::ns;

use crate::client::{Served, Tcp, Ws};

/// What a bound client sends, and the error that it gets.
fn bad_stanzas() -> Vec<(String, &'static str)> {
    let deep = |count| format!("<message xmlns='jabber:client'>{}", "<a>".repeat(count));
    vec![
        (format!("<message xmlns='jabber:client'><body>{}</body></message>", "x".repeat(70_000)), "policy-violation"),
        (format!("<message xmlns='jabber:client' a='{}'/>", "x".repeat(20_000)), "restricted-xml"),
        (deep(100), "policy-violation"),
        (format!("<message xmlns='jabber:client'>{}</message>", "<a/>".repeat(17_000)), "policy-violation"),
        ("<message xmlns='jabber:client'><!-- c --></message>".to_owned(), "restricted-xml"),
        ("<message xmlns='jabber:client'><?php?></message>".to_owned(), "restricted-xml"),
        ("<message xmlns='jabber:client'>&lol;</message>".to_owned(), "restricted-xml"),
        ("<message xmlns='jabber:client'><a></b></message>".to_owned(), "not-well-formed"),
        ("<message xmlns='jabber:client' a='1' a='2'/>".to_owned(), "not-well-formed"),
        ("<u:message xmlns='jabber:client'/>".to_owned(), "not-well-formed"),
        ("<message xmlns='jabber:server'/>".to_owned(), "unsupported-stanza-type"),
        (
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".to_owned(),
            "unsupported-stanza-type",
        ),
    ]
}

#[tokio::test]
async fn a_bad_stanza_over_tcp_ends_its_stream_and_no_other() {
    let served = Served::start(Settings::default()).await;
    let mut neighbour = served.guest().await;
    for (stanza, condition) in bad_stanzas() {
        let mut attacker = served.guest().await;
        // The server may stop reading before it has all of it.
        let _ = attacker.socket.write_all(stanza.as_bytes()).await;
        attacker.expect_error(condition).await;
        neighbour.ping().await;
    }
    let mut attacker = served.guest().await;
    attacker.socket.write_all(b"<message><body>\xff\xfe</body></message>").await.unwrap();
    attacker.expect_error("not-well-formed").await;
    neighbour.ping().await;
}

#[tokio::test]
async fn a_bad_stanza_over_websocket_ends_its_stream_and_no_other() {
    let served = Served::start(Settings::default()).await;
    let mut neighbour = served.guest().await;
    for (stanza, condition) in bad_stanzas() {
        let mut attacker = Ws::guest(&served).await;
        attacker.socket.send(Message::text(stanza.clone())).await.unwrap();
        let error = attacker.receive().await;
        assert!(error.child(condition, ns::XMPP_STREAMS).is_some(), "{condition}: {error}");
        neighbour.ping().await;
    }
}

#[tokio::test]
async fn a_bad_header_is_answered_with_a_header_and_an_error() {
    let served = Served::start(Settings::default()).await;
    for (header, condition) in [
        (
            "<stream:stream to='meet.jitsi' version='1.0' xmlns='jabber:client' xmlns:stream='urn:wrong'>",
            "invalid-namespace",
        ),
        (
            "<stream:stream to='meet.jitsi' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            "unsupported-version",
        ),
        (
            "<stream:stream to='other' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            "host-unknown",
        ),
        (
            "<stream:stream version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            "improper-addressing",
        ),
        ("<!DOCTYPE a [<!ENTITY b 'cccc'>]>", "restricted-xml"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("\u{16}\u{3}\u{1}", "not-well-formed"),
    ] {
        let mut attacker = Tcp::connect(served.plain_tcp).await;
        attacker.send(header).await;
        attacker.header().await;
        attacker.expect_error(condition).await;
    }
}

#[tokio::test]
async fn a_stream_that_stops_halfway_is_closed() {
    let mut settings = Settings::default();
    settings.timeouts.handshake = Duration::from_millis(300);
    let served = Served::start(settings).await;
    for unfinished in ["", "<stream:stream to='meet.jitsi'", "<?xml version='1.0'"] {
        let mut attacker = Tcp::connect(served.plain_tcp).await;
        attacker.send(unfinished).await;
        attacker.header().await;
        attacker.expect_error("connection-timeout").await;
    }
    // Within TLS that never comes about, there is nobody to tell.
    let mut attacker = Tcp::connect(served.tcp).await;
    attacker.open("meet.jitsi").await;
    attacker.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    assert!(attacker.receive().await.is("proceed", ns::TLS));
}

#[tokio::test]
async fn a_client_that_trickles_bytes_of_a_stanza_without_end_is_lost() {
    let mut settings = Settings::default();
    settings.timeouts.probe_after = Duration::from_millis(500);
    settings.timeouts.probe_answer = Duration::from_millis(500);
    let served = Served::start(settings).await;
    let mut attacker = served.guest().await;
    attacker.send("<message xmlns='jabber:client'><body>").await;
    let trickling = async {
        while attacker.socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    timeout(Duration::from_secs(20), trickling).await.unwrap();
    assert_eq!(served.handle.metrics().sessions.get(), 0);
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let served = Served::start(Settings::default()).await;
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    let mut guest = served.guest().await;
    let jid = guest.jid.clone();
    guest
        .send("<iq from='focus@auth.meet.jitsi/focus' to='focus.meet.jitsi' type='set' id='1'><conference xmlns='http://jitsi.org/protocol/focus'/></iq>")
        .await;
    let Some(net::LinkEvent::Stanza(request)) = focus.recv().await else { panic!("no stanza") };
    assert_eq!(request.attr("from"), Some(format!("focus.meet.jitsi/{jid}").as_str()));
}

#[tokio::test]
async fn a_flood_is_read_no_faster_than_allowed_and_delays_nobody() {
    let served = Served::start(Settings::default()).await;
    let (mut flooder, mut neighbour) = (served.guest().await, served.guest().await);
    let stanza = "<message xmlns='jabber:client' to='nobody@muc.meet.jitsi' type='groupchat'><body>b</body></message>";
    // 20 MB: two buffers of the kernel and the burst do not hold it, and at the rate allowed it takes 20 minutes.
    let flood = stanza.repeat(200_000);
    let flooding = timeout(Duration::from_secs(3), flooder.socket.write_all(flood.as_bytes()));
    let pinging = async {
        for _ in 0..20 {
            neighbour.ping().await;
        }
    };
    let (flooded, ()) = tokio::join!(flooding, pinging);
    assert!(flooded.is_err(), "all of the flood was read");
    let received = served.handle.metrics().stanzas_received.with_label_values(&["message"]).get();
    assert!(received < 10_000, "{received} stanzas were handled");
}
