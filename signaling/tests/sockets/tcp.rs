//! Logging in over TCP, with TLS and without.

use signaling::{Account, Secret, Settings};
use tokio::io::AsyncReadExt;
use xmpp::{StreamItem, ns};

use crate::client::{Served, Tcp, tls};

fn with_jvb() -> Settings {
    let mut settings = Settings::default();
    let jid = "jvb@auth.meet.jitsi".parse().unwrap();
    settings.accounts.push(Account { jid, password: Secret::new("pw").unwrap() });
    settings
}

#[tokio::test]
async fn a_service_logs_in_over_tls_and_reaches_the_brewery() {
    let served = Served::start(with_jvb()).await;
    let mut jvb = served.service("jvb", "pw").await;
    jvb.bind("auth.meet.jitsi").await;
    assert!(jvb.jid.starts_with("jvb@auth.meet.jitsi/"));
    jvb.send(
        "<presence xmlns='jabber:client' to='jvbbrewery@internal-muc.meet.jitsi/1'>\
         <x xmlns='http://jabber.org/protocol/muc'/></presence>",
    )
    .await;
    let own = jvb.receive().await;
    assert_eq!(own.attr("from"), Some("jvbbrewery@internal-muc.meet.jitsi/1"), "{own}");
    // Larger than a client may send, and as one whose password was right it may.
    let large = "x".repeat(200_000);
    jvb.send(&format!(
        "<iq xmlns='jabber:client' type='get' id='large' to='auth.meet.jitsi'><q xmlns='u'>{large}</q></iq>"
    ))
    .await;
    while jvb.receive().await.attr("id") != Some("large") {}
    jvb.send("</stream:stream>").await;
    while let Some(item) = jvb.item().await {
        assert!(!matches!(&item, StreamItem::Element(element) if element.is("error", ns::STREAMS)), "{item:?}");
    }
}

#[tokio::test]
async fn logins_over_tls_can_be_bound_to_it() {
    let served = Served::start(with_jvb()).await;
    let mut jvb = Tcp::connect(served.tcp).await.start_tls("auth.meet.jitsi").await;
    let features = jvb.open("auth.meet.jitsi").await;
    let names: Vec<String> =
        features.child("mechanisms", ns::SASL).unwrap().children().map(|mechanism| mechanism.text()).collect();
    assert_eq!(names, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    let bindings = features.child("sasl-channel-binding", ns::CHANNEL_BINDING).unwrap();
    let types: Vec<&str> = bindings.children().filter_map(|binding| binding.attr("type")).collect();
    assert_eq!(types, ["tls-exporter", "tls-server-end-point"]);
}

#[tokio::test]
async fn without_tls_where_it_is_required_nothing_is_taken() {
    let served = Served::start(with_jvb()).await;
    let mut jvb = Tcp::connect(served.tcp).await;
    jvb.open("auth.meet.jitsi").await;
    jvb.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp2YgBwdw==</auth>").await;
    jvb.expect_error("not-authorized").await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_three_times() {
    let served = Served::start(with_jvb()).await;
    let mut jvb = Tcp::connect(served.tcp).await.start_tls("auth.meet.jitsi").await;
    jvb.open("auth.meet.jitsi").await;
    for _ in 0..3 {
        jvb.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp2YgBndWVzcw==</auth>").await;
        let failure = jvb.receive().await;
        assert!(failure.is("failure", ns::SASL) && failure.child("not-authorized", ns::SASL).is_some(), "{failure}");
    }
    jvb.expect_error("policy-violation").await;
}

#[tokio::test]
async fn what_was_sent_in_the_clear_behind_starttls_is_not_taken_for_the_clients() {
    let served = Served::start(with_jvb()).await;
    let mut victim = Tcp::connect(served.tcp).await;
    victim.open("auth.meet.jitsi").await;
    // As somebody in between would: a stream of his own, to be read as the first thing after TLS (CVE-2011-0411).
    victim
        .send(
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
             <stream:stream to='forged.example' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
        )
        .await;
    assert!(victim.receive().await.is("proceed", ns::TLS));
    let mut victim = Tcp::over(tls(victim.socket).await);
    let features = victim.open("auth.meet.jitsi").await;
    assert!(features.child("mechanisms", ns::SASL).is_some(), "{features}");
}

#[tokio::test]
async fn a_guest_comes_over_tcp_where_there_is_a_host_for_guests() {
    let served = Served::start(Settings::default()).await;
    let mut guest = served.guest().await;
    assert!(guest.jid.contains("@meet.jitsi/"));
    guest.ping().await;
}

#[tokio::test]
async fn a_lost_connection_is_resumed_on_another() {
    let served = Served::start(with_jvb()).await;
    let mut jvb = served.service("jvb", "pw").await;
    jvb.bind("auth.meet.jitsi").await;
    let jid = jvb.jid.clone();
    jvb.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let enabled = jvb.receive().await;
    let id = enabled.attr("id").unwrap().to_owned();
    assert_eq!(enabled.attr("max"), Some("15"));
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    // Two stanzas are on their way when the connection is gone; the client saw one.
    for number in [1, 2] {
        let message = format!("<message xmlns='jabber:client' to='{jid}' id='m{number}'/>");
        focus.send(message.parse().unwrap()).await;
    }
    assert_eq!(jvb.receive().await.attr("id"), Some("m1"));
    drop(jvb);
    let mut again = served.service("jvb", "pw").await;
    again.open("auth.meet.jitsi").await;
    again.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='1'/>")).await;
    assert_eq!(again.receive().await.attr("previd"), Some(id.as_str()));
    assert_eq!(again.receive().await.attr("id"), Some("m2"));
}

#[tokio::test]
async fn a_stop_tells_streams_over_tcp() {
    let served = Served::start(Settings::default()).await;
    let mut guest = served.guest().await;
    served.handle.stop().await;
    guest.expect_error("system-shutdown").await;
    let mut rest = Vec::new();
    assert_eq!(guest.socket.read_to_end(&mut rest).await.unwrap(), 0);
}
