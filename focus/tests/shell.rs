//! The running focus: its task, its stream and its HTTP side, over loopback inside one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::IntoFuture;

use focus::{Focus, FocusHandle, NodeAccess, Settings, VisitorNode, VisitorSettings};
use net::{Link, LinkEvent, LinkPeer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xmpp::{Element, ns};

const JID: &str = "focus@auth.meet.jitsi/focus";

/// A focus whose server lets it into every room.
fn start() -> FocusHandle {
    let (link, peer) = Link::in_process(JID.parse().unwrap());
    tokio::spawn(serve(peer));
    Focus::start(Settings::new("meet.jitsi").unwrap(), link).unwrap()
}

async fn serve(mut peer: LinkPeer) {
    while let Some(stanza) = peer.from_service.recv().await {
        let answer = match (stanza.name(), stanza.attr("type")) {
            ("presence", None) if stanza.attr("to").is_some() => {
                let item = Element::new("item", ns::MUC_USER)
                    .with_attr("affiliation", "owner")
                    .with_attr("role", "moderator")
                    .with_attr("jid", JID);
                Element::new("presence", ns::CLIENT)
                    .with_attr("from", stanza.attr("to").unwrap())
                    .with_child(Element::new("x", ns::MUC_USER).with_child(item))
            }
            ("iq", Some("get" | "set")) => xmpp::iq_result(&stanza),
            _ => continue,
        };
        if peer.to_service.send(LinkEvent::Stanza(answer)).await.is_err() {
            return;
        }
    }
}

/// Sends an HTTP/1.1 request over loopback; answers status, body and whether another origin may read it.
async fn ask(focus: &FocusHandle, method: &str, path: &str, body: &str) -> (u16, String, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // What the public may ask, and operators: both tell how the focus is.
    let router = if path.starts_with("/conference-request") { focus.router() } else { focus.admin_router() };
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned(), head.to_ascii_lowercase().contains("access-control-allow-origin: *"))
}

#[tokio::test]
async fn answers_conference_requests_by_http() {
    let focus = start();
    let body = r#"{"room":"demo@muc.meet.jitsi","machineUid":"9f","properties":{"startAudioMuted":9,"visitor":true}}"#;
    let (status, answer, has_cors) = ask(&focus, "POST", "/conference-request/v1?room=demo", body).await;
    assert_eq!((status, has_cors), (200, true));
    assert_eq!(
        answer,
        r#"{"room":"demo@muc.meet.jitsi","ready":true,"focusJid":"focus@auth.meet.jitsi","properties":{"authentication":"false","visitors-supported":"false"}}"#
    );
    let (status, _, has_cors) = ask(&focus, "OPTIONS", "/conference-request/v1", "").await;
    assert_eq!((status, has_cors), (200, true));
}

#[tokio::test]
async fn refuses_bad_requests_by_http() {
    let focus = start();
    for (body, text) in [
        ("{}", "No 'room' specified."),
        ("[", "invalid conference request"),
        (r#"{"room":"x@elsewhere.example"}"#, "No such room service."),
    ] {
        let (status, answer, has_cors) = ask(&focus, "POST", "/conference-request/v1", body).await;
        assert_eq!((status, has_cors), (400, true), "{body}");
        assert_eq!(answer, format!("Bad request: {text}"));
    }
    let long = format!(r#"{{"room":"{}"}}"#, "x".repeat(64 * 1024));
    let (status, ..) = ask(&focus, "POST", "/conference-request/v1", &long).await;
    assert_eq!(status, 413);
    assert_eq!(ask(&focus, "GET", "/conference-request/v1", "").await.0, 405);
}

#[tokio::test]
async fn says_how_it_is() {
    let mut focus = start();
    // A first request makes sure that the stream is up.
    ask(&focus, "POST", "/conference-request/v1", r#"{"room":"demo@muc.meet.jitsi"}"#).await;
    let (status, text, _) = ask(&focus, "GET", "/about/health", "").await;
    assert_eq!((status, text.as_str()), (500, "No operational bridges available"));
    let (status, text, _) = ask(&focus, "GET", "/about/version", "").await;
    assert!(status == 200 && text.contains("\"version\""));
    assert_eq!(focus.metrics().conferences_created.get(), 1);
    focus.stop();
    focus.ended().await;
    let (status, ..) = ask(&focus, "GET", "/about/health", "").await;
    assert_eq!(status, 500);
    let (status, ..) = ask(&focus, "POST", "/conference-request/v1", r#"{"room":"a@muc.meet.jitsi"}"#).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn answers_operators_by_http() {
    let focus = start();
    ask(&focus, "POST", "/conference-request/v1", r#"{"room":"demo@muc.meet.jitsi"}"#).await;
    let (status, stats, has_cors) = ask(&focus, "GET", "/stats", "").await;
    assert!(status == 200 && stats.contains(r#""conferences":1"#) && !has_cors, "{stats}");
    for path in ["/debug", "/debug?full=true", "/debug/conferences", "/debug/conferences-full", "/rtcstats", "/pin"] {
        assert_eq!(ask(&focus, "GET", path, "").await.0, 200, "{path}");
    }
    let (_, state, _) = ask(&focus, "GET", "/debug/conference/demo@muc.meet.jitsi", "").await;
    assert!(state.contains(r#""name":"demo@muc.meet.jitsi""#), "{state}");
    let pin = r#"{"conferenceId":"demo@muc.meet.jitsi","jvbVersion":"2.3","durationMinutes":5}"#;
    assert_eq!(ask(&focus, "POST", "/pin", pin).await.0, 200);
    assert!(ask(&focus, "GET", "/pin", "").await.1.contains(r#""jvbVersion":"2.3""#));
    assert_eq!(ask(&focus, "POST", "/pin/remove", r#"{"conferenceId":"demo@muc.meet.jitsi"}"#).await.0, 200);
    for (method, path, body, expected, text) in [
        ("POST", "/pin", "{}", 400, "Bad request"),
        ("POST", "/pin/remove", r#"{"conferenceId":"@"}"#, 400, "Invalid conference ID"),
        ("GET", "/debug?full=perhaps", "", 400, "Bad request"),
        ("GET", "/move-endpoints/move-endpoint?endpoint=a", "", 400, "Missing parameter: conference"),
        ("GET", "/move-endpoints/move-endpoints", "", 400, "Missing parameter: bridge"),
        ("GET", "/move-endpoints/move-endpoints?bridge=jvb", "", 404, "Bridge not found"),
        ("GET", "/move-endpoints/move-fraction?bridge=jvb&fraction=2", "", 400, "fraction"),
        (
            "GET",
            "/move-endpoints/move-endpoint?endpoint=a&conference=x@muc.meet.jitsi",
            "",
            404,
            "Conference not found",
        ),
    ] {
        let (status, answer, _) = ask(&focus, method, path, body).await;
        assert_eq!(status, expected, "{path}");
        assert!(answer.contains(text), "{path}: {answer}");
    }
}

#[tokio::test]
async fn ends_with_its_stream() {
    let (link, peer) = Link::in_process(JID.parse().unwrap());
    let mut focus = Focus::start(Settings::new("meet.jitsi").unwrap(), link).unwrap();
    drop(peer);
    focus.ended().await;
}

/// Another server that has visitors: what goes there goes over its own link, and it is out of reach when that ends.
#[tokio::test]
async fn reaches_visitor_nodes_over_links_of_their_own() {
    let node = VisitorNode { access: NodeAccess::OwnLink, ..VisitorNode::at_main_server("v1", "meet.jitsi") };
    let mut settings = Settings::new("meet.jitsi").unwrap();
    settings.visitors = Some(VisitorSettings::new("meet.jitsi", vec![node]).unwrap());
    let (link, peer) = Link::in_process(JID.parse().unwrap());
    tokio::spawn(serve(peer));
    let (node_link, node_peer) = Link::in_process("focus@auth.v1.meet.jitsi/focus".parse().unwrap());
    let node_server = tokio::spawn(serve(node_peer));
    let focus = Focus::start_with_nodes(settings, link, vec![("v1".to_owned(), node_link)]).unwrap();
    let body = r#"{"room":"demo@muc.meet.jitsi","properties":{"visitors-version":1,"visitor":true}}"#;
    let wanted = |vnode: bool| async move {
        // Links come up, and go down, in their own time.
        loop {
            let (status, answer, _) = ask(&focus, "POST", "/conference-request/v1", body).await;
            assert_eq!(status, 200, "{answer}");
            if answer.contains(r#""vnode":"v1""#) == vnode && answer.contains(r#""ready":true"#) {
                return (focus, answer);
            }
            tokio::task::yield_now().await;
        }
    };
    let (focus, answer) = wanted(true).await;
    assert!(answer.contains(r#""focusJid":"focus@auth.v1.meet.jitsi""#), "{answer}");
    assert!(answer.contains(r#""visitors-supported":"true""#), "{answer}");
    node_server.abort();
    loop {
        let (_, answer, _) = ask(&focus, "POST", "/conference-request/v1", body).await;
        if !answer.contains("vnode") {
            return;
        }
    }
}
