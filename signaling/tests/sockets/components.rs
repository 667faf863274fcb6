//! External components (XEP-0114).

use std::time::Duration;

use signaling::{Component, Secret, Settings};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use xmpp::{Element, component, ns};

use crate::client::{Served, Tcp};

fn with_gate() -> Settings {
    let mut settings = Settings::default();
    let secret = Secret::new("s3cret").unwrap();
    settings.components.push(Component { domain: "gate.meet.jitsi".parse().unwrap(), secret });
    settings
}

async fn connect(served: &Served, domain: &str, secret: &str) -> Tcp<TcpStream> {
    let mut gate = Tcp::connect(served.components).await;
    gate.send(&format!(
        "<stream:stream to='{domain}' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>"
    ))
    .await;
    let id = gate.header().await.attr("id").unwrap().to_owned();
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{id}{secret}").as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    gate.send(&component::handshake(&digest).to_string()).await;
    gate
}

#[tokio::test]
async fn a_component_speaks_for_its_domain_and_hears_what_is_sent_to_it() {
    let served = Served::start(with_gate()).await;
    let mut gate = connect(&served, "gate.meet.jitsi", "s3cret").await;
    assert_eq!(gate.receive().await, component::accepted());
    let mut guest = served.guest().await;
    let guest_jid = guest.jid.clone();
    guest.send("<message xmlns='jabber:client' to='anybody@gate.meet.jitsi/r'><body>hi</body></message>").await;
    let heard = gate.receive().await;
    assert!(heard.is("message", ns::COMPONENT_ACCEPT), "{heard}");
    assert_eq!((heard.attr("from"), heard.attr("to")), (Some(guest_jid.as_str()), Some("anybody@gate.meet.jitsi/r")));
    assert_eq!(heard.child("body", ns::COMPONENT_ACCEPT).map(Element::text).as_deref(), Some("hi"));

    // A request of its own is answered at the address that it came from.
    gate.send("<iq from='sip@gate.meet.jitsi' to='meet.jitsi' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    let answer = gate.receive().await;
    assert_eq!((answer.attr("type"), answer.attr("to")), (Some("result"), Some("sip@gate.meet.jitsi")));
}

#[tokio::test]
async fn a_component_is_in_rooms_under_its_addresses_and_leaves_all_with_its_connection() {
    let served = Served::start(with_gate()).await;
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    let join = |nick: &str, from: &str| {
        format!(
            "<presence from='{from}' to='demo@muc.meet.jitsi/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
    };
    let own = join("focus", "").replace("<presence", "<presence xmlns='jabber:client'");
    focus.send(own.parse().unwrap()).await;
    focus.recv().await.unwrap();
    let mut gate = connect(&served, "gate.meet.jitsi", "s3cret").await;
    assert_eq!(gate.receive().await, component::accepted());
    for nick in ["sip1", "sip2"] {
        gate.send(&join(nick, &format!("{nick}@gate.meet.jitsi/call"))).await;
        while gate.receive().await.attr("from") != Some(&format!("demo@muc.meet.jitsi/{nick}")) {}
    }
    drop(gate);
    let mut gone = Vec::new();
    while gone.len() < 2 {
        if let Some(net::LinkEvent::Stanza(stanza)) = focus.recv().await
            && stanza.attr("type") == Some("unavailable")
        {
            gone.push(stanza.attr("from").unwrap().to_owned());
        }
    }
    gone.sort();
    assert_eq!(gone, ["demo@muc.meet.jitsi/sip1", "demo@muc.meet.jitsi/sip2"]);
}

#[tokio::test]
async fn a_component_cannot_speak_for_others() {
    let served = Served::start(with_gate()).await;
    for from in ["from='focus@auth.meet.jitsi'", "", "from='x@gate.meet.jitsi.evil'"] {
        let mut gate = connect(&served, "gate.meet.jitsi", "s3cret").await;
        gate.receive().await;
        gate.send(&format!("<message {from} to='demo@muc.meet.jitsi'/>")).await;
        gate.expect_error("invalid-from").await;
    }
}

#[tokio::test]
async fn a_bad_stanza_of_a_component_ends_its_stream_and_no_other() {
    let served = Served::start(with_gate()).await;
    let mut neighbour = served.guest().await;
    for (stanza, condition) in [
        (format!("<message from='a@gate.meet.jitsi'>{}", "<a>".repeat(100)), "policy-violation"),
        (format!("<message a='{}'/>", "x".repeat(20_000)), "restricted-xml"),
        ("<message>&lol;</message>".to_owned(), "restricted-xml"),
        ("<message><!-- c --></message>".to_owned(), "restricted-xml"),
        ("<message><a></b></message>".to_owned(), "not-well-formed"),
    ] {
        let mut gate = connect(&served, "gate.meet.jitsi", "s3cret").await;
        gate.receive().await;
        gate.send(&stanza).await;
        gate.expect_error(condition).await;
        neighbour.ping().await;
    }
}

#[tokio::test]
async fn a_component_needs_its_name_and_its_secret() {
    let served = Served::start(with_gate()).await;
    connect(&served, "gate.meet.jitsi", "guess").await.expect_error("not-authorized").await;
    let mut unknown = Tcp::connect(served.components).await;
    unknown
        .send("<stream:stream to='meet.jitsi' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>")
        .await;
    unknown.expect_error("host-unknown").await;
}

#[tokio::test]
async fn a_component_that_stops_halfway_or_writes_no_text_is_closed() {
    let mut settings = with_gate();
    settings.timeouts.handshake = Duration::from_millis(300);
    let served = Served::start(settings).await;
    let mut silent = Tcp::connect(served.components).await;
    silent
        .send("<stream:stream to='gate.meet.jitsi' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>")
        .await;
    silent.expect_error("connection-timeout").await;

    let served = Served::start(with_gate()).await;
    let mut gate = connect(&served, "gate.meet.jitsi", "s3cret").await;
    gate.receive().await;
    gate.socket.write_all(b"<message from='a@gate.meet.jitsi'><body>\xff\xfe</body></message>").await.unwrap();
    gate.expect_error("not-well-formed").await;
}
