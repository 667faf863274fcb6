//! JVB's private interface over HTTP: what is there, for whom, and what bad requests get.

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use jitsi_protocol::bridge_stats::BridgeStats;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::{RestSettings, ShutdownSettings};

pub(super) struct Client(pub(super) SocketAddr);

impl Client {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Bytes) {
        let stream = TcpStream::connect(self.0).await.unwrap();
        let answer = timeout(PATIENCE, web::exchange(stream, request, 1 << 20)).await.unwrap().unwrap();
        (answer.status(), answer.into_body())
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, body) = self.send(Request::get(path).header("host", "x").body(Body::empty()).unwrap()).await;
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    async fn with_body(&self, method: Method, path: &str, body: impl Into<String>) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("host", "x");
        let request = request.header("content-type", "application/json").body(Body::from(body.into())).unwrap();
        let (status, body) = self.send(request).await;
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    async fn post(&self, path: &str, body: impl Into<String>) -> (StatusCode, Value) {
        self.with_body(Method::POST, path, body).await
    }
}

const EVERYTHING: RestSettings = RestSettings { colibri: true, shutdown: true };

fn creation() -> Value {
    json!({ "meeting-id": "m", "name": "room@muc.meet.jitsi", "create": true, "endpoints": [{
        "id": "a1b2c3d4", "create": true, "capabilities": ["source-names"],
        "transport": { "ice-controlling": true, "sctp": {} },
    }] })
}

#[tokio::test]
async fn conferences_are_ruled_over_http() {
    let running = Running::with_settings(|settings| settings.rest = EVERYTHING);
    let client = Client(running.serve().await);
    let (status, answer) = client.post("/colibri/v2/conferences", creation().to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let transport = &answer["endpoints"][0]["transport"];
    assert_eq!(transport["sctp"], json!({ "role": "server", "port": 5000 }));
    assert_eq!(transport["transport"]["rtcp-mux"], true);
    assert!(transport["transport"]["candidates"][0]["port"].is_u64());
    assert_eq!(answer["sources"][0]["id"], "jvb-a0");

    let (_, listed) = client.get("/colibri/v2/conferences").await;
    assert_eq!(
        listed,
        json!([{ "meeting-id": "m", "name": "room@muc.meet.jitsi", "endpoints": [{ "id": "a1b2c3d4" }] }])
    );
    assert_eq!(client.get("/colibri/v2/conferences/m").await.1["meeting_id"], "m");
    let (_, speakers) = client.get("/colibri/v2/conferences/m/dominant-speaker-identification").await;
    assert_eq!(speakers["dominant_endpoint"], Value::Null);

    let mute = json!({ "endpoints": [{ "id": "a1b2c3d4", "force-mute": { "audio": true, "video": false } }] });
    let (status, answer) = client.with_body(Method::PATCH, "/colibri/v2/conferences/m", mute.to_string()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "endpoints": [{ "id": "a1b2c3d4" }] })));
    let (_, state) = client.get("/debug/m/a1b2c3d4").await;
    assert_eq!(state["conferences"]["m"]["endpoints"]["a1b2c3d4"]["force_mute"]["audio"], true);
    let expiry = json!({ "expire": true }).to_string();
    assert_eq!(client.with_body(Method::PATCH, "/colibri/v2/conferences/m", expiry).await.0, StatusCode::OK);
    assert_eq!(client.get("/colibri/v2/conferences").await.1, json!([]));
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let running = Running::with_settings(|settings| settings.rest = EVERYTHING);
    let client = Client(running.serve().await);
    let conferences = "/colibri/v2/conferences";
    for (method, path, body, status, says) in [
        (Method::POST, conferences, "{".to_owned(), 400, "not JSON"),
        (Method::POST, conferences, "[]".to_owned(), 400, "Expected an object"),
        (Method::POST, conferences, json!({ "meeting-id": 1 }).to_string(), 400, "Expected a string for meeting-id"),
        (Method::POST, conferences, json!({ "meeting-id": "m" }).to_string(), 400, "conference not found"),
        (Method::POST, conferences, "x".repeat(300_000), 413, "length limit"),
        (Method::PUT, conferences, "{}".to_owned(), 405, ""),
        (Method::PATCH, "/colibri/v2/conferences/m", "{}".to_owned(), 404, "no such conference"),
        (Method::PATCH, "/colibri/v2/conferences/%00%ff", "{}".to_owned(), 400, ""),
        (Method::GET, "/colibri/v2/conferences/m", String::new(), 404, "no such conference"),
        (Method::POST, "/colibri/shutdown", "{}".to_owned(), 400, "graceful-shutdown"),
        (Method::POST, "/colibri/shutdown", json!({ "graceful-shutdown": "yes" }).to_string(), 400, "boolean"),
        (Method::GET, "/colibri/shutdown", String::new(), 405, ""),
        (Method::GET, "/colibri/drain/enable", String::new(), 405, ""),
        (Method::POST, "/colibri/stats", String::new(), 405, ""),
        (Method::GET, "/debug?full=perhaps", String::new(), 400, "full"),
        (Method::GET, "/debug/features/jvb/node-stats", String::new(), 404, "no such feature"),
        (Method::POST, "/debug/features/endpoint/m/a1b2c3d4/pcap-dump/true", String::new(), 403, "/debug/capture"),
        (Method::GET, "/elsewhere", String::new(), 404, ""),
    ] {
        let (got, answer) = client.with_body(method.clone(), path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(answer.as_str().is_none_or(|text| text.contains(says)), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn web_pages_change_nothing() {
    let running = Running::with_settings(|settings| settings.rest = EVERYTHING);
    let client = Client(running.serve().await);
    let graceful = json!({ "graceful-shutdown": true }).to_string();
    // What a form of a page can send, and what its scripts can.
    let form = Request::post("/colibri/shutdown").header("content-type", "text/plain").body(graceful.into()).unwrap();
    assert_eq!(client.send(form).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let page = Request::post("/colibri/drain/enable").header("origin", "https://other.example");
    assert_eq!(client.send(page.body(Body::empty()).unwrap()).await.0, StatusCode::FORBIDDEN);
    let (_, state) = client.get("/debug").await;
    assert_eq!((&state["shutdown_state"], &state["drain"]), (&json!("RUNNING"), &json!(false)));
}

#[tokio::test]
async fn what_rules_conferences_or_the_bridge_is_off_until_it_is_asked_for() {
    let running = Running::start();
    let client = Client(running.serve().await);
    let (status, says) = client.post("/colibri/v2/conferences", creation().to_string()).await;
    assert_eq!((status, says.as_str().unwrap().contains("--colibri-rest")), (StatusCode::NOT_FOUND, true));
    let (status, says) = client.post("/colibri/shutdown", json!({ "graceful-shutdown": true }).to_string()).await;
    assert_eq!((status, says.as_str().unwrap().contains("--shutdown-rest")), (StatusCode::NOT_FOUND, true));
    // What only tells is there.
    for path in
        ["/about/health", "/about/version", "/about/stats", "/colibri/stats", "/colibri/drain", "/debug", "/stats"]
    {
        assert_eq!(client.get(path).await.0, StatusCode::OK, "{path}");
    }
    assert_eq!(client.get("/about/version").await.1["name"], "Teranga bridge");
    assert_eq!(client.get("/colibri/stats").await.1["conferences"], 0);
}

#[tokio::test]
async fn drain_and_shutdown_are_told_to_the_focus_and_end_the_bridge() {
    let mut running = Running::with_settings(|settings| {
        settings.rest = EVERYTHING;
        settings.shutdown = ShutdownSettings { delay: Duration::ZERO, ..ShutdownSettings::default() };
    });
    let client = Client(running.serve().await);
    let jid = format!("{}/teranga", "jvbbrewery@internal-muc.meet.jitsi");
    let joined = Element::new("presence", ns::CLIENT).with_attr("from", jid);
    running.server.to_service.send(LinkEvent::Stanza(joined)).await.unwrap();

    assert_eq!(client.post("/colibri/drain/enable", "").await.0, StatusCode::OK);
    assert_eq!(client.get("/colibri/drain").await.1, json!({ "drain": true }));
    running.presence_with(|stats| stats.drain == Some(true)).await;
    assert_eq!(client.post("/colibri/drain/disable", "").await.0, StatusCode::OK);
    running.presence_with(|stats| stats.drain == Some(false)).await;

    let over = tokio::spawn(running.bridge.shut_down());
    let graceful = json!({ "graceful-shutdown": true }).to_string();
    assert_eq!(client.post("/colibri/shutdown", graceful).await.0, StatusCode::OK);
    running.presence_with(|stats| stats.shutting_down == Some(true)).await;
    timeout(PATIENCE, over).await.unwrap().unwrap();
}

impl Running {
    /// Waits for a presence of which this holds.
    async fn presence_with(&mut self, holds: impl Fn(&BridgeStats) -> bool) {
        loop {
            let stanza = timeout(PATIENCE, self.server.from_service.recv()).await.unwrap().unwrap();
            let stats = stanza.child("stats", ns::COLIBRI).map(|stats| BridgeStats::from_element(stats).unwrap());
            if stats.is_some_and(|stats| holds(&stats)) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn breweries_come_and_go_while_the_bridge_runs() {
    let mut running = Running::with_settings(|settings| settings.rest = EVERYTHING);
    let client = Client(running.serve().await);
    assert_eq!(client.get("/colibri/muc-client/list").await, (StatusCode::OK, json!(["default"])));
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}/xmpp-websocket", server.local_addr().unwrap());
    let config = |id: &str, user: &str| {
        json!({ "id": id, "hostname": url, "domain": "auth.other.example", "username": user, "password": "hush",
                "muc_jids": "jvbbrewery@muc.other.example", "muc_nickname": "jvb-7" })
    };
    let add = |config: &Value| client.post("/colibri/muc-client/add", config.to_string());
    assert_eq!(add(&config("shard-2", "jvb")).await.0, StatusCode::OK);
    let (mut first, _) = timeout(PATIENCE, server.accept()).await.unwrap().unwrap();
    let mut byte = [0];
    timeout(PATIENCE, first.read_exact(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"G", "it opens a WebSocket");
    assert_eq!(client.get("/colibri/muc-client/list").await.1, json!(["default", "shard-2"]));
    assert_eq!(client.get("/colibri/stats").await.1["muc_clients_configured"], 2);

    // The same again changes nothing; another user is another connection in its place.
    assert_eq!(add(&config("shard-2", "jvb")).await.0, StatusCode::OK);
    assert_eq!(add(&config("shard-2", "other")).await.0, StatusCode::OK);
    let (_second, _) = timeout(PATIENCE, server.accept()).await.unwrap().unwrap();
    assert_eq!(client.get("/colibri/stats").await.1["muc_clients_configured"], 2);

    for (key, value) in
        [("muc_nickname", json!("")), ("muc_jids", json!("no room")), ("hostname", json!(7)), ("id", Value::Null)]
    {
        let mut wrong = config("shard-3", "jvb");
        wrong[key] = value;
        assert_eq!(add(&wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let mut many = config("shard-3", "jvb");
    many["muc_jids"] = vec!["a@b.example"; 17].join(",").into();
    assert_eq!(add(&many).await.0, StatusCode::BAD_REQUEST);
    let (status, text) = add(&config("", "jvb")).await;
    assert!(status == StatusCode::BAD_REQUEST && !text.to_string().contains("hush"));

    let remove = |body: &'static str| client.post("/colibri/muc-client/remove", body);
    assert_eq!(remove(r#"{"id":"shard-2"}"#).await.0, StatusCode::OK);
    assert_eq!(remove(r#"{"id":"shard-2"}"#).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(remove("[]").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(client.get("/colibri/muc-client/list").await.1, json!(["default"]));
    assert_eq!(remove(r#"{"id":"default"}"#).await.0, StatusCode::OK);
    while timeout(PATIENCE, running.server.from_service.recv()).await.unwrap().is_some() {}
    assert_eq!(client.get("/colibri/stats").await.1["mucs_configured"], 0);

    let plain = Client(Running::start().serve().await);
    let (status, told) = plain.get("/colibri/muc-client/list").await;
    assert!(status == StatusCode::NOT_FOUND && told.to_string().contains("--colibri-rest"), "{told}");
}
