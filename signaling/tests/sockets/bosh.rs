//! Streams over HTTP requests, as old mobile clients use them.

use signaling::Settings;
use xmpp::bosh::Body;
use xmpp::{Element, bind, ns};

use crate::client::Served;

/// A client, one connection a request.
pub(crate) struct Bosh<'a> {
    served: &'a Served,
    sid: String,
    rid: u64,
}

impl Served {
    pub(crate) async fn post(&self, body: &str) -> (String, Element) {
        let len = body.len();
        let request = format!(
            "POST /http-bind?room=demo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        let answer = self.http(&request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.parse().unwrap_or_else(|error| panic!("{error}: {answer}")))
    }
}

impl<'a> Bosh<'a> {
    async fn start(served: &'a Served) -> (Self, Element) {
        let body = "<body rid='100' to='meet.jitsi' wait='60' hold='1' ver='1.6' xmpp:version='1.0' \
                    xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'/>";
        let (head, answer) = served.post(body).await;
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
        assert!(head.contains("content-type: text/xml; charset=utf-8"), "{head}");
        let sid = answer.attr("sid").unwrap().to_owned();
        (Self { served, sid, rid: 100 }, answer)
    }

    fn body(&mut self, attrs: &str, payload: &str) -> String {
        self.rid += 1;
        format!(
            "<body rid='{}' sid='{}' {attrs} xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'>\
             {payload}</body>",
            self.rid, self.sid
        )
    }

    pub(crate) async fn send(&mut self, attrs: &str, payload: &str) -> Element {
        let body = self.body(attrs, payload);
        self.served.post(&body).await.1
    }

    /// A guest that is bound, and its address.
    pub(crate) async fn guest(served: &'a Served) -> (Self, String) {
        let (mut bosh, answer) = Self::start(served).await;
        let features = answer.child("features", ns::STREAMS).unwrap();
        assert!(features.child("mechanisms", ns::SASL).is_some());
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
        assert!(bosh.send("", auth).await.child("success", ns::SASL).is_some());
        let restarted = bosh.send("xmpp:restart='true' to='meet.jitsi'", "").await;
        let features = restarted.child("features", ns::STREAMS).unwrap();
        assert!(features.child("bind", ns::BIND).is_some() && features.child("sm", ns::SM).is_none(), "{features}");
        let bound = bosh.send("", &bind::request("b", None).to_string()).await;
        let jid = bind::bound_jid(bound.child("iq", ns::CLIENT).unwrap()).unwrap().unwrap().to_string();
        (bosh, jid)
    }
}

const PING: &str = "<iq xmlns='jabber:client' type='get' id='p' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>";

#[tokio::test]
async fn a_guest_logs_in_and_is_answered_over_requests() {
    let served = Served::start(Settings::default()).await;
    let (mut bosh, jid) = Bosh::guest(&served).await;
    assert!(jid.contains("@meet.jitsi/"));
    let answer = bosh.send("", PING).await;
    assert_eq!(answer.child("iq", ns::CLIENT).and_then(|iq| iq.attr("type")), Some("result"), "{answer}");
    let over = bosh.send("type='terminate'", "<presence xmlns='jabber:client' type='unavailable'/>").await;
    assert_eq!(over.attr("type"), Some("terminate"));
    let after = bosh.send("", "").await;
    assert_eq!(after.attr("condition"), Some("item-not-found"));
    assert_eq!(served.handle.metrics().sessions.get(), 0);
}

#[tokio::test]
async fn a_held_request_is_answered_when_something_is_said() {
    let served = Served::start(Settings::default()).await;
    let (mut bosh, jid) = Bosh::guest(&served).await;
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    let body = bosh.body("", "");
    let held = async { served.post(&body).await.1 };
    let said = focus.send(format!("<message xmlns='jabber:client' to='{jid}' id='m1'/>").parse().unwrap());
    let (answer, _) = tokio::join!(held, said);
    assert_eq!(answer.child("message", ns::CLIENT).and_then(|message| message.attr("id")), Some("m1"), "{answer}");
    // The client did not get it, and asks again.
    assert_eq!(served.post(&body).await.1, answer);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_words_of_bosh() {
    let served = Served::start(Settings::default()).await;
    let empty = Body::default().to_string();
    for bad in [
        "",
        "no xml",
        "<body xmlns='urn:x' rid='1'/>",
        &empty,
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'><!-- --></body>",
    ] {
        assert_eq!(served.post(bad).await.1.attr("condition"), Some("bad-request"), "{bad}");
    }
    let body = |attrs: &str| format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='1' {attrs}/>");
    assert_eq!(served.post(&body("sid='unknown'")).await.1.attr("condition"), Some("item-not-found"));
    assert_eq!(served.post(&body("to='other.example'")).await.1.attr("condition"), Some("host-unknown"));
    assert_eq!(served.post(&body("")).await.1.attr("condition"), Some("improper-addressing"));
    let (mut bosh, _) = Bosh::start(&served).await;
    let early = bosh.send("", PING).await;
    assert_eq!(early.attr("condition"), Some("remote-stream-error"), "{early}");
    assert!(
        early
            .child("error", ns::STREAMS)
            .is_some_and(|error| error.child("not-authorized", ns::XMPP_STREAMS).is_some())
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let served = Served::start(Settings::default()).await;
    let request = "POST /acme/http-bind HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10000000\r\n\r\n";
    let answer = served.http(request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn other_origins_may_ask() {
    let served = Served::start(Settings::default()).await;
    let answer = served.http("OPTIONS /http-bind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("access-control-allow-methods: GET, POST, OPTIONS"), "{answer}");
}

#[tokio::test]
async fn health_is_told_to_programs_of_this_host_only() {
    let served = Served::start(Settings::default()).await;
    let get = |head: &str| format!("GET /health HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n\r\n");
    assert!(served.http(&get("")).await.starts_with("HTTP/1.1 200 "));
    assert!(served.http(&get("X-Forwarded-For: 198.51.100.1\r\n")).await.starts_with("HTTP/1.1 403 "));
    served.handle.stop().await;
    assert!(served.http(&get("")).await.starts_with("HTTP/1.1 503 "));
}
