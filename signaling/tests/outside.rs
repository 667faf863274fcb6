//! Calls to servers of others, over real sockets: systems of reservations that answer, hang and are in trouble, and one that
//! wants to be told what happens in rooms.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::post;
use net::{Link, LinkEvent};
use prometheus::Registry;
use serde_json::{Value, json};
use signaling::{
    EventSettings, Handle, OutsideServer, OutsideSettings, Patience, ReservationSettings, Secret, Settings, Signaling,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Serves `router` on loopback until the test ends.
async fn serve(router: Router) -> Arc<OutsideServer> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let headers = vec![(HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer x"))];
    // No test waits for the end of its time.
    let patience = Patience { timeout: Duration::from_secs(60), retries: 2, pause: Duration::from_millis(1) };
    Arc::new(OutsideServer { url: url.parse().unwrap(), headers, patience })
}

fn start(outside: OutsideSettings) -> Handle {
    Signaling::start(Settings { outside, ..Settings::default() }, &Registry::new()).unwrap()
}

/// A system of reservations, by the name of the room: `slow` never answers, `flaky` does the second time, `broken` never well.
async fn reservations(tries: &Arc<AtomicUsize>) -> Handle {
    let tries = Arc::clone(tries);
    let book = move |headers: HeaderMap, body: String| {
        let name = body.strip_prefix("name=").unwrap().split('&').next().unwrap().to_owned();
        let earlier = if name == "slow" { 0 } else { tries.fetch_add(1, Ordering::Relaxed) };
        async move {
            assert_eq!(headers["authorization"], "Bearer x");
            assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
            let reservation = json!({
                "id": 1, "name": name, "mail_owner": "a", "start_time": "2048-04-20T17:55:12.000Z", "duration": 900,
            });
            match name.as_str() {
                "slow" => pending().await,
                "broken" => Err(StatusCode::BAD_GATEWAY),
                "flaky" if earlier == 0 => Err(StatusCode::SERVICE_UNAVAILABLE),
                _ => Ok(reservation.to_string()),
            }
        }
    };
    let server = serve(Router::new().route("/api/conference", post(book))).await;
    let reservations = ReservationSettings { server, max_occupants: false, lobby: false, password: false };
    start(OutsideSettings { reservations: Some(reservations), ..OutsideSettings::default() })
}

async fn attach(handle: &Handle, account: &str) -> Link {
    let mut link = handle.attach_service(account).unwrap();
    assert!(matches!(link.recv().await, Some(LinkEvent::Up { .. })));
    link
}

/// The next stanza.
async fn next(link: &mut Link) -> String {
    match link.recv().await.unwrap() {
        LinkEvent::Stanza(stanza) => stanza.to_string(),
        other @ (LinkEvent::Up { .. } | LinkEvent::Down) => panic!("{other:?}"),
    }
}

async fn ask_for(link: &Link, room: &str) {
    let request = format!(
        "<iq xmlns='jabber:client' type='set' id='{room}' to='focus.meet.jitsi'>\
         <conference xmlns='http://jitsi.org/protocol/focus' room='{room}@muc.meet.jitsi'/></iq>"
    );
    assert!(link.send(request.parse().unwrap()).await);
}

#[tokio::test]
async fn a_system_of_reservations_that_hangs_is_in_nobodys_way() {
    let handle = reservations(&Arc::default()).await;
    let (mut focus, mut asker) = (attach(&handle, "focus").await, attach(&handle, "jvb").await);
    ask_for(&asker, "slow").await;
    ask_for(&asker, "quick").await;
    let ping = "<iq xmlns='jabber:client' type='get' id='p' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>";
    assert!(asker.send(ping.parse().unwrap()).await);
    assert!(next(&mut asker).await.contains("id='p'"));
    assert!(next(&mut focus).await.contains("room='quick@muc.meet.jitsi'"));
}

#[tokio::test]
async fn a_system_of_reservations_in_trouble_is_asked_so_many_times() {
    let tries = Arc::default();
    let handle = reservations(&tries).await;
    let (mut focus, mut asker) = (attach(&handle, "focus").await, attach(&handle, "jvb").await);
    ask_for(&asker, "flaky").await;
    assert!(next(&mut focus).await.contains("room='flaky@muc.meet.jitsi'"));
    assert_eq!(tries.swap(0, Ordering::Relaxed), 2);
    ask_for(&asker, "broken").await;
    assert!(next(&mut asker).await.contains("error-code='502'"));
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_system_of_reservations_that_is_not_there_is_said_to_be_so() {
    let server = serve(Router::new()).await;
    // Nobody listens at port 1.
    let server = Arc::new(OutsideServer { url: "http://127.0.0.1:1/".parse().unwrap(), ..(*server).clone() });
    let reservations = ReservationSettings { server, max_occupants: false, lobby: false, password: false };
    let handle = start(OutsideSettings { reservations: Some(reservations), ..OutsideSettings::default() });
    let mut asker = attach(&handle, "jvb").await;
    ask_for(&asker, "any").await;
    assert!(next(&mut asker).await.contains("Could not contact reservation server"));
}

#[tokio::test]
async fn events_are_signed_and_in_order_even_when_one_has_to_be_told_again() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let tries = AtomicUsize::new(0);
    let tries = Arc::new(tries);
    let hear = move |Path(event): Path<String>, headers: HeaderMap, body: String| {
        let is_first = tries.fetch_add(1, Ordering::Relaxed) == 0;
        if !is_first {
            told.send((event, headers, body)).unwrap();
        }
        async move { if is_first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT } }
    };
    let server = serve(Router::new().route("/api/events/{*event}", post(hear))).await;
    let events = EventSettings { server, speaker_times: false, secret: Secret::new("hush") };
    let handle = start(OutsideSettings { events: Some(events), ..OutsideSettings::default() });
    let (focus, phone) = (attach(&handle, "focus").await, attach(&handle, "jigasi").await);
    let join = |nick: &str| {
        format!(
            "<presence xmlns='jabber:client' to='demo@muc.meet.jitsi/{nick}'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
    };
    assert!(focus.send(join("focus").parse().unwrap()).await);
    assert!(phone.send(join("phone").parse().unwrap()).await);
    drop(phone);
    for expected in ["room/created", "occupant/joined", "occupant/left"] {
        let (event, headers, body) = heard.recv().await.unwrap();
        assert_eq!(event, expected);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
        let tag: String = hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(headers["x-hub-signature-256"], format!("sha256={tag}"));
        assert_eq!(headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["event_name"], format!("muc-{}", expected.replace('/', "-")));
        assert_eq!(body["room_jid"], "demo@muc.meet.jitsi");
    }
    // A server that stops says so before it is gone.
    handle.stop().await;
    assert_eq!(heard.try_recv().unwrap().0, "room/destroyed");
}
