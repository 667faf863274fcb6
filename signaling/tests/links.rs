//! A service sees the same through a WebSocket as within the process.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use futures_util::FutureExt;
use net::{Link, LinkEvent, LinkSettings, ServerTrust};
use prometheus::Registry;
use signaling::{Handle, Secret, Settings, Signaling};
use tokio::net::TcpListener;
use xmpp::{Element, ns};

async fn serve() -> (Handle, LinkSettings) {
    let settings = Settings { service_secret: Secret::new("s3cret"), ..Settings::default() };
    let handle = Signaling::start(settings, &Registry::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/xmpp-websocket", listener.local_addr().unwrap());
    let router = handle.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let link = LinkSettings {
        url,
        domain: "auth.meet.jitsi".to_owned(),
        username: "jvb".to_owned(),
        password: "s3cret".to_owned(),
        resource: "jvb".to_owned(),
        trust: ServerTrust::System,
    };
    (handle, link)
}

/// Sends a stanza to the brewery, and answers all events until the one that ends the step.
async fn step(link: &mut Link, stanza: Option<&str>, is_last: impl Fn(&str) -> bool) -> Vec<String> {
    if let Some(stanza) = stanza {
        assert!(link.send(stanza.parse().unwrap()).await);
    }
    let mut seen = Vec::new();
    loop {
        let event = match link.recv().await.unwrap() {
            LinkEvent::Up { jid } => format!("up {jid}"),
            LinkEvent::Stanza(mut stanza) => {
                // Ids that the server makes differ from run to run.
                stanza.retain_children(|child| child.ns() != ns::STANZA_ID);
                // The order of attributes means nothing, and reading sorts them.
                stanza.to_string().parse::<Element>().unwrap().to_string()
            }
            LinkEvent::Down => "down".to_owned(),
        };
        let is_over = is_last(&event);
        seen.push(event);
        if is_over {
            return seen;
        }
    }
}

/// The life of a bridge, seen by itself: up, into the brewery, a statistic, a request to the focus and its answer.
async fn events_of_bridge(handle: &Handle, mut bridge: Link) -> Vec<String> {
    let mut seen = step(&mut bridge, None, |event| event.starts_with("up ")).await;
    let mut focus = handle.attach_service("focus").unwrap();
    step(&mut focus, None, |event| event.starts_with("up ")).await;
    let join = "<presence xmlns='jabber:client' to='jvbbrewery@internal-muc.meet.jitsi/focus'>\
                <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    step(&mut focus, Some(join), |event| event.contains("<subject")).await;
    let join = "<presence xmlns='jabber:client' to='jvbbrewery@internal-muc.meet.jitsi/jvb-1.example'>\
                <x xmlns='http://jabber.org/protocol/muc'/>\
                <stats xmlns='http://jitsi.org/protocol/colibri'/></presence>";
    seen.extend(step(&mut bridge, Some(join), |event| event.contains("<subject")).await);
    step(&mut focus, None, |event| event.contains("jvb-1.example")).await;
    let ask = "<iq xmlns='jabber:client' type='get' id='1' to='jvbbrewery@internal-muc.meet.jitsi/jvb-1.example'>\
               <healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/></iq>";
    focus.send(ask.parse().unwrap()).await;
    seen.extend(step(&mut bridge, None, |event| event.contains("healthcheck")).await);
    let answer = "<iq xmlns='jabber:client' type='result' id='1' to='jvbbrewery@internal-muc.meet.jitsi/focus'/>";
    bridge.send(answer.parse().unwrap()).await;
    seen.extend(step(&mut focus, None, |event| event.contains("result")).await);
    drop(bridge);
    seen.extend(step(&mut focus, None, |event| event.contains("unavailable")).await);
    seen
}

#[tokio::test]
async fn a_bridge_lives_the_same_in_process_and_over_a_websocket() {
    let (handle, settings) = serve().await;
    let in_process = handle.attach_service("jvb").unwrap();
    let in_process = events_of_bridge(&handle, in_process).await;
    let over_network = events_of_bridge(&handle, Link::connect(settings)).await;
    assert_eq!(in_process, over_network);
    assert_eq!(in_process.first().unwrap(), "up jvb@auth.meet.jitsi/jvb");
}

#[tokio::test]
async fn a_link_with_a_wrong_password_stays_down() {
    let (handle, settings) = serve().await;
    let mut link = Link::connect(LinkSettings { password: "guess".to_owned(), ..settings });
    let refused = handle.metrics().auth_failures.with_label_values(&["not-authorized"]);
    while refused.get() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(link.recv().now_or_never().is_none());
}

#[tokio::test]
async fn a_link_comes_up_again_after_the_server_closed_it() {
    let (handle, settings) = serve().await;
    let mut link = Link::connect(settings);
    step(&mut link, None, |event| event.starts_with("up ")).await;
    // Another one of the same address throws it out.
    let usurper = handle.attach_service("jvb").unwrap();
    assert_eq!(step(&mut link, None, |event| event == "down").await, ["down"]);
    assert_eq!(step(&mut link, None, |event| event.starts_with("up ")).await, ["up jvb@auth.meet.jitsi/jvb"]);
    drop(usurper);
}

#[tokio::test]
async fn a_large_stanza_of_a_service_passes() {
    let (handle, settings) = serve().await;
    let mut bridge = Link::connect(settings);
    step(&mut bridge, None, |event| event.starts_with("up ")).await;
    let mut focus = handle.attach_service("focus").unwrap();
    step(&mut focus, None, |event| event.starts_with("up ")).await;
    let body = Element::new("body", ns::CLIENT).with_text("x".repeat(1_000_000));
    let message = Element::new("message", ns::CLIENT).with_attr("to", "focus@auth.meet.jitsi/focus").with_child(body);
    bridge.send(message).await;
    let seen = step(&mut focus, None, |_| true).await;
    assert!(seen.first().unwrap().len() > 1_000_000);
}

#[tokio::test]
async fn a_link_over_tls_trusts_whom_it_is_told_to() {
    let (handle, settings) = serve().await;
    let state = tempfile::tempdir().unwrap();
    let tls = web::load_or_create_certificate(state.path(), &["localhost".to_owned()]).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("wss://localhost:{}/xmpp-websocket", listener.local_addr().unwrap().port());
    let tls = axum_server::tls_rustls::RustlsConfig::from_config(tls.into());
    let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
    tokio::spawn(server.serve(handle.router().into_make_service()));
    let settings = LinkSettings { url, ..settings };

    let mut careful = Link::connect(settings.clone());
    let mut trusting = Link::connect(LinkSettings { trust: ServerTrust::Anything, ..settings });
    step(&mut trusting, None, |event| event.starts_with("up ")).await;
    // Its certificate is its own: nobody vouches for it.
    assert!(careful.recv().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_service_in_the_process_comes_back_after_it_was_detached() {
    let handle = Signaling::start(Settings::default(), &Registry::new()).unwrap();
    let mut first = handle.attach_service("jvb").unwrap();
    step(&mut first, None, |event| event.starts_with("up ")).await;
    let ping = "<iq xmlns='jabber:client' type='get' id='1' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>";
    step(&mut first, Some(ping), |event| event.contains("result")).await;
    let second = handle.attach_service("jvb").unwrap();
    let seen = step(&mut first, None, |event| event.starts_with("up ")).await;
    assert_eq!(seen, ["down", "up jvb@auth.meet.jitsi/jvb"]);
    step(&mut first, Some(ping), |event| event.contains("result")).await;

    drop(second);
    handle.stop().await;
    assert!(matches!(first.recv().await, Some(LinkEvent::Down)));
    assert!(first.recv().await.is_none(), "the stream is gone for good with its server");
}
