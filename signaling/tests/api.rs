//! HTTP for other systems (signaling.md §7): what each path answers, and to whom. The paths and statuses are those of stock's
//! `mod_muc_size`, `mod_muc_census`, `mod_turncredentials_http`, `mod_muc_password_check`, `mod_muc_end_meeting`,
//! `mod_muc_kick_participant`, `mod_muc_system_chat_message` and `mod_muc_jigasi_invite`.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use net::{Link, LinkEvent};
use prometheus::Registry;
use serde_json::{Value, json};
use signaling::{
    Algorithm, Handle, IceServer, IceServerKind, Secret, Settings, Signaling, SigningKeys, StatisticsAccess,
    TokenIssuer, TokenKeys, TokenRules, TurnCredentials, VerifyingKey,
};
use tower::ServiceExt as _;
use xmpp::{Element, ns};

const ROOM: &str = "demo@muc.meet.jitsi";

fn keys(secret: &str) -> TokenKeys {
    let rules = TokenRules {
        algorithms: vec![Algorithm::HS256],
        issuers: vec!["app".to_owned()],
        audiences: vec!["*".to_owned()],
        leeway: Duration::ZERO,
        requires_expiry: true,
        requires_room: false,
        requires_tenant: false,
    };
    let key = VerifyingKey::shared(secret.as_bytes()).unwrap();
    TokenKeys { keys: SigningKeys::One(Arc::new(key)), rules }
}

fn token(secret: &str, room: &str) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = json!({"iss": "app", "aud": "jitsi", "exp": 4_000_000_000_u64, "room": room});
    let signed = format!("{}.{}", encode(json!({"alg": "HS256", "typ": "JWT"})), encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
}

fn start(change: impl FnOnce(&mut Settings)) -> Handle {
    let mut settings = Settings::default();
    settings.api.statistics = Some(StatisticsAccess::Everybody);
    settings.api.login_keys = Some(keys("login"));
    settings.api.system_keys = Some(keys("system"));
    change(&mut settings);
    Signaling::start(settings, &Registry::new()).unwrap()
}

fn issuer() -> TokenIssuer {
    TokenIssuer {
        issuer: "app".to_owned(),
        audience: None,
        secret: Secret::new("login").unwrap(),
        algorithm: Algorithm::HS256,
        public_url: Some("https://meet.example".to_owned()),
    }
}

/// Asks, with the token of whoever shows one.
async fn ask(handle: &Handle, method: &str, path: &str, token: Option<&str>, body: Value) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = handle.router().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

async fn get(handle: &Handle, path: &str) -> (StatusCode, String) {
    ask(handle, "GET", path, None, Value::Null).await
}

/// An account in the room, under its own name.
async fn enter(handle: &Handle, account: &str, room: &str, extra: Option<Element>) -> Link {
    let mut link = handle.attach_service(account).unwrap();
    assert!(matches!(link.recv().await, Some(LinkEvent::Up { .. })));
    let join = Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("{room}/{account}"))
        .with_child(Element::new("x", ns::MUC));
    link.send(join.with_children(extra)).await;
    let own = format!("{room}/{account}");
    receive(&mut link, |stanza| stanza.name() == "presence" && stanza.attr("from") == Some(&own)).await;
    link
}

/// The next stanza of that kind.
async fn receive(link: &mut Link, is_it: impl Fn(&Element) -> bool) -> Element {
    let found = async {
        loop {
            match link.recv().await {
                Some(LinkEvent::Stanza(stanza)) if is_it(&stanza) => return stanza,
                Some(_) => {}
                None => panic!("the link ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.unwrap()
}

fn named(name: &str) -> Option<Element> {
    Some(Element::new("nick", ns::NICK).with_text(name))
}

#[tokio::test]
async fn nothing_is_served_unless_it_is_switched_on() {
    let handle = Signaling::start(Settings::default(), &Registry::new()).unwrap();
    for path in
        ["/room-size?room=demo&domain=meet.jitsi", "/room-census", "/sessions", "/turn-credentials", "/room-info"]
    {
        assert_eq!(get(&handle, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(&handle, "POST", "/end-meeting", None, Value::Null).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rooms_are_counted_without_the_focus() {
    let handle = start(|_| {});
    assert_eq!(get(&handle, "/room-size").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get(&handle, "/room-size?room=demo&domain=meet.jitsi").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&handle, "/room-census").await.1, json!({"room_census": []}).to_string());
    let _focus = enter(&handle, "focus", ROOM, None).await;
    let _phone = enter(&handle, "jigasi", ROOM, named("+33")).await;
    let (status, body) = get(&handle, "/room-size?room=Demo&domain=meet.jitsi").await;
    assert_eq!((status, body), (StatusCode::OK, json!({"participants": 1}).to_string()));
    assert_eq!(get(&handle, "/room-size?room=demo&domain=other").await.0, StatusCode::NOT_FOUND);
    let (_, body) = get(&handle, "/room?room=demo&domain=meet.jitsi").await;
    let expected = json!([{"jid": format!("{ROOM}/jigasi"), "email": null, "display_name": "+33"}]);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    let census: Value = serde_json::from_str(&get(&handle, "/room-census").await.1).unwrap();
    assert_eq!(
        (&census["room_census"][0]["room_name"], &census["room_census"][0]["participants"]),
        (&json!(ROOM), &json!(1))
    );
    assert_eq!(get(&handle, "/sessions").await, (StatusCode::OK, "0".to_owned()), "services are no clients");
}

#[tokio::test]
async fn sizes_can_be_for_those_with_a_token_for_the_room() {
    let handle = start(|settings| settings.api.statistics = Some(StatisticsAccess::TokenHolders));
    let _focus = enter(&handle, "focus", ROOM, None).await;
    let size =
        async |token: &str| get(&handle, &format!("/room-size?room=demo&domain=meet.jitsi&token={token}")).await.0;
    assert_eq!(size(&token("login", "demo")).await, StatusCode::OK);
    assert_eq!(size(&token("login", "*")).await, StatusCode::OK);
    assert_eq!(size(&token("login", "other")).await, StatusCode::FORBIDDEN);
    assert_eq!(size(&token("system", "demo")).await, StatusCode::FORBIDDEN);
    assert_eq!(size("").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_passcode_is_checked_a_few_times_a_minute() {
    let handle = start(|_| {});
    let mut focus = enter(&handle, "focus", ROOM, None).await;
    let form = "<iq xmlns='jabber:client' type='set' id='1' to='demo@muc.meet.jitsi'><query xmlns='http://jabber.org/protocol/muc#owner'>\
        <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
        <field var='muc#roomconfig_roomsecret'><value>1234</value></field></x></query></iq>";
    focus.send(form.parse().unwrap()).await;
    receive(&mut focus, |stanza| stanza.name() == "iq").await;
    let login = token("login", "demo");
    let (status, body) = ask(&handle, "GET", "/room-info?room=demo", Some(&login), Value::Null).await;
    let expected = json!({"conference": ROOM, "passcodeProtected": true, "lobbyEnabled": false});
    assert_eq!((status, serde_json::from_str(&body).ok()), (StatusCode::OK, Some(expected)));
    let check = async |passcode: &str| {
        ask(&handle, "PUT", "/room-info?room=demo", Some(&login), json!({"passcode": passcode})).await
    };
    assert_eq!(check("1234").await, (StatusCode::OK, json!({"valid": true}).to_string()));
    for guess in 0..9 {
        assert_eq!(check(&guess.to_string()).await, (StatusCode::OK, json!({"valid": false}).to_string()));
    }
    assert_eq!(check("1234").await.0, StatusCode::TOO_MANY_REQUESTS);
    // Another room's token, another system's token, none.
    for wrong in [Some(token("login", "other")), Some(token("system", "demo")), None] {
        let (status, _) = ask(&handle, "GET", "/room-info?room=demo", wrong.as_deref(), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let any = token("login", "*");
    assert_eq!(ask(&handle, "GET", "/room-info?room=none", Some(&any), Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&handle, "GET", "/room-info", Some(&any), Value::Null).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_system_ends_a_meeting() {
    let handle = start(|_| {});
    let mut focus = enter(&handle, "focus", ROOM, None).await;
    let end = async |query: &str, token: Option<&str>| {
        ask(&handle, "POST", &format!("/end-meeting{query}"), token, Value::Null).await.0
    };
    let (system, login) = (token("system", "*"), token("login", "*"));
    assert_eq!(end("?conference=demo@muc.meet.jitsi", Some(&login)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(end("?conference=demo@muc.meet.jitsi", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(end("", Some(&system)).await, StatusCode::BAD_REQUEST);
    assert_eq!(end("?conference=none@muc.meet.jitsi", Some(&system)).await, StatusCode::NOT_FOUND);
    assert_eq!(end("?conference=demo@muc.meet.jitsi&silent-reconnect=true", Some(&system)).await, StatusCode::OK);
    let gone = receive(&mut focus, |stanza| stanza.attr("type") == Some("unavailable")).await.to_string();
    assert!(gone.contains("<destroy xmlns='http://jabber.org/protocol/muc#user' jid='demo@muc.meet.jitsi'>"), "{gone}");
    assert!(gone.contains("The meeting has been terminated silently"), "{gone}");
}

#[tokio::test]
async fn another_system_kicks_by_id_or_number() {
    let handle = start(|_| {});
    let mut focus = enter(&handle, "focus", ROOM, None).await;
    let _phone = enter(&handle, "jigasi", ROOM, named("+33")).await;
    let kick = async |body: Value, token: Option<&str>| {
        ask(&handle, "PUT", "/kick-participant?room=demo", token, body).await.0
    };
    let system = token("system", "*");
    assert_eq!(kick(json!({"number": "+33"}), None).await, StatusCode::FORBIDDEN);
    assert_eq!(kick(json!({"number": "+33", "participantId": "jigasi"}), Some(&system)).await, StatusCode::BAD_REQUEST);
    assert_eq!(kick(json!({}), Some(&system)).await, StatusCode::BAD_REQUEST);
    assert_eq!(kick(json!({"participantId": "focus"}), Some(&system)).await, StatusCode::NOT_FOUND);
    assert_eq!(kick(json!({"number": "+44"}), Some(&system)).await, StatusCode::NOT_FOUND);
    assert_eq!(kick(json!({"number": "+33"}), Some(&system)).await, StatusCode::OK);
    let gone = receive(&mut focus, |stanza| stanza.attr("type") == Some("unavailable")).await.to_string();
    assert!(gone.contains("code='307'") && gone.contains("demo@muc.meet.jitsi/jigasi"), "{gone}");
    assert_eq!(kick(json!({"number": "+33"}), Some(&system)).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_system_speaks_to_some_in_a_room() {
    let handle = start(|_| {});
    let mut focus = enter(&handle, "focus", ROOM, None).await;
    let say =
        async |body: Value, token: Option<&str>| ask(&handle, "POST", "/send-system-chat-message", token, body).await.0;
    let (system, to) = (token("system", "*"), "focus@auth.meet.jitsi/focus");
    let body = json!({"room": ROOM, "connectionJIDs": [to, "nobody@meet.jitsi/x"], "message": "5 min", "displayName": "Clock"});
    assert_eq!(say(body.clone(), None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(say(json!({"room": ROOM, "message": "x"}), Some(&system)).await, StatusCode::BAD_REQUEST);
    let other = json!({"room": "none@muc.meet.jitsi", "connectionJIDs": [], "message": "x"});
    assert_eq!(say(other, Some(&system)).await, StatusCode::NOT_FOUND);
    assert_eq!(say(body, Some(&system)).await, StatusCode::OK);
    let message =
        receive(&mut focus, |stanza| stanza.attr("from") == Some(ROOM) && stanza.child_named("json-message").is_some())
            .await;
    let said: Value = serde_json::from_str(&message.child_named("json-message").unwrap().text()).unwrap();
    assert_eq!(said, json!({"type": "system_chat_message", "message": "5 min", "displayName": "Clock"}));
}

#[tokio::test]
async fn a_telephone_is_called_by_the_gateway_with_the_fewest_calls() {
    let handle = start(|_| {});
    let call = async |token: Option<&str>| {
        ask(&handle, "POST", "/invite-jigasi", token, json!({"conference": ROOM, "phoneNo": "+33"})).await
    };
    let system = token("system", "*");
    assert_eq!(call(None).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = call(Some(&system)).await;
    assert_eq!((status, body), (StatusCode::NOT_FOUND, json!({"error": "Jigasi not found"}).to_string()));
    let stats = |participants: &str| {
        let stat = |name: &str, value: &str| {
            Element::new("stat", ns::COLIBRI).with_attr("name", name).with_attr("value", value)
        };
        Some(Element::new("stats", ns::COLIBRI).with_child(stat("participants", participants)))
    };
    let brewery = "jigasibrewery@internal-muc.meet.jitsi";
    let _busy = enter(&handle, "jigasi1", brewery, stats("9")).await;
    let mut idle = enter(&handle, "jigasi2", brewery, stats("1")).await;
    assert_eq!(call(Some(&system)).await.0, StatusCode::OK);
    let dial = receive(&mut idle, |stanza| stanza.name() == "iq").await.to_string();
    assert!(dial.contains("to='+33'") && dial.contains("value='demo@muc.meet.jitsi'"), "{dial}");
}

#[tokio::test]
async fn turn_credentials_are_told_where_that_is_wanted() {
    let handle = start(|settings| {
        settings.api.turn_credentials = true;
        settings.external_services.servers =
            vec![IceServer { kind: IceServerKind::Turns, host: Some("turn.example".to_owned()), port: 443 }];
        settings.external_services.turn =
            Secret::new("s").map(|secret| TurnCredentials { secret, lifetime: Duration::from_secs(60) });
    });
    let services: Value = serde_json::from_str(&get(&handle, "/turn-credentials").await.1).unwrap();
    assert_eq!((&services[0]["type"], &services[0]["host"]), (&json!("turns"), &json!("turn.example")));
    assert!(services[0]["password"].is_string());
}

#[tokio::test]
async fn s2_41_another_system_gets_a_token_that_opens_its_room_for_a_while() {
    let handle = start(|settings| settings.api.tokens = Some(issuer()));
    let (user, system) = (token("login", "demo"), token("system", "*"));
    let wanted = json!({"room": "Demo", "user": {"name": "Awa"}, "moderator": true, "expires_in": 60});
    for shown in [None, Some(user.as_str())] {
        let refused = ask(&handle, "POST", "/token", shown, wanted.clone()).await;
        assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    }
    let unclear = ask(&handle, "POST", "/token", Some(&system), json!({"room": "demo", "moderater": false})).await;
    assert_eq!(unclear.0, StatusCode::BAD_REQUEST);
    let huge = json!({"room": "demo", "group": "x".repeat(8192)});
    assert_eq!(ask(&handle, "POST", "/token", Some(&system), huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, answer) = ask(&handle, "POST", "/token", Some(&system), wanted).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let given = answer["token"].as_str().unwrap();
    assert_eq!(answer["url"], format!("https://meet.example/Demo?jwt={given}"));
    let now_ms = (answer["expires"].as_u64().unwrap() - 60) * 1000;
    let payload = keys("login").verify(given, now_ms + 59_000).unwrap();
    assert_eq!((&payload["room"], &payload["context"]["user"]["name"]), (&json!("demo"), &json!("Awa")));
    assert_eq!(payload["moderator"], true);
    assert!(keys("login").verify(given, now_ms + 60_000).is_err());
    handle.stop().await;
    let without = start(|_| {});
    assert_eq!(ask(&without, "POST", "/token", Some(&system), json!({"room": "demo"})).await.0, StatusCode::NOT_FOUND);
    without.stop().await;
}
