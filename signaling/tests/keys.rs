//! Logins with tokens whose keys other servers publish: a key server of ASAP's kind, a JSON web key set, one that hangs and
//! some that lie. The servers are real; the client speaks BOSH to the routes.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auth::KeySet;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use prometheus::Registry;
use serde_json::{Value, json};
use signaling::{
    AccessSettings, Algorithm, ClientLogin, Handle, KeySource, OutsideServer, OutsideSettings, Patience, Settings,
    Signaling, SigningKeys, TokenRules, TokenSettings, VerifyingKey, WhenSilent,
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// The hash of the name `one`.
const FILE_OF_ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed.pem";

/// Serves `router` on loopback until the test ends; answers the address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn rules() -> TokenRules {
    TokenRules {
        algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        issuers: vec!["app".to_owned()],
        audiences: vec!["*".to_owned()],
        leeway: Duration::ZERO,
        requires_expiry: false,
        requires_room: true,
        requires_tenant: false,
    }
}

fn start(source: impl Fn(Uri) -> KeySource, url: &str, allow_empty: bool) -> Handle {
    let tokens = TokenSettings { source: source(url.parse().unwrap()), rules: rules(), allow_empty };
    let client_login = ClientLogin::Tokens(tokens);
    Signaling::start(Settings { client_login, ..Settings::default() }, &Registry::new()).unwrap()
}

async fn exchange(handle: &Handle, query: &str, body: String) -> String {
    let request = Request::post(format!("/http-bind{query}")).body(Body::from(body)).unwrap();
    let answer = handle.router().oneshot(request).await.unwrap();
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// What a login is answered: the reason of a refusal, or nothing.
async fn login(handle: &Handle, token: Option<&str>) -> Result<(), String> {
    let query = token.map(|token| format!("?token={token}")).unwrap_or_default();
    let opening = "<body rid='10' to='meet.jitsi' wait='60' hold='1' ver='1.6' xmpp:version='1.0' \
         xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'/>";
    let answer = exchange(handle, &query, opening.to_owned()).await;
    let sid = answer.split_once(" sid='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
    let body = format!("<body rid='11' sid='{sid}' xmlns='http://jabber.org/protocol/httpbind'>{auth}</body>");
    let answer = exchange(handle, "", body).await;
    if answer.contains("<success") {
        return Ok(());
    }
    let text = answer.split_once("<text>").and_then(|(_, rest)| rest.split_once("</text>"));
    Err(text.map_or(answer.clone(), |(text, _)| text.replace("&apos;", "'")))
}

fn token(algorithm: &str, kid: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = json!({"iss": "app", "aud": "jitsi", "room": "*"});
    let signed = format!("{}.{}", encode(json!({"alg": algorithm, "typ": "JWT", "kid": kid})), encode(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

fn rsa_token(pair: &RsaKeyPair, kid: &str) -> String {
    token("RS256", kid, |signed| {
        let mut tag = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut tag).unwrap();
        tag
    })
}

fn pem(pair: &RsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

/// Starts with a key at hand, and an access manager that is asked about each login.
fn start_with_access(pair: &RsaKeyPair, url: &str) -> Handle {
    let mut keys = KeySet::default();
    keys.insert("one", VerifyingKey::from_pem(&pem(pair)).unwrap());
    let source = KeySource::Given(SigningKeys::Named(keys));
    let client_login = ClientLogin::Tokens(TokenSettings { source, rules: rules(), allow_empty: true });
    let patience = Patience { timeout: Duration::from_secs(60), retries: 0, pause: Duration::ZERO };
    let server = Arc::new(OutsideServer { url: url.parse().unwrap(), headers: Vec::new(), patience });
    let access = Some(AccessSettings { server, when_silent: WhenSilent::Refuse });
    let outside = OutsideSettings { access, ..OutsideSettings::default() };
    Signaling::start(Settings { client_login, outside, ..Settings::default() }, &Registry::new()).unwrap()
}

const NO_KEY: Result<(), &str> = Err("could not obtain public key");

#[tokio::test]
async fn s4_51_a_key_server_is_asked_once_for_each_key() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let (key, asked) = (pem(&pair), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&asked);
    let file = move |Path(file): Path<String>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let key = if file == FILE_OF_ONE { Ok(key.clone()) } else { Err(StatusCode::NOT_FOUND) };
        async move { key }
    };
    let url = serve(Router::new().route("/keys/{file}", get(file))).await;
    let handle = start(KeySource::KeyServer, &format!("{url}/keys/"), false);
    let (good, unknown) = (rsa_token(&pair, "one"), rsa_token(&pair, "../one"));
    let together = tokio::join!(login(&handle, Some(&good)), login(&handle, Some(&good)), login(&handle, Some(&good)));
    assert_eq!(together, (Ok(()), Ok(()), Ok(())));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        assert_eq!(login(&handle, Some(&unknown)).await, NO_KEY.map_err(str::to_owned));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "who is not there is remembered, too");
    assert_eq!(login(&handle, None).await, Err("token required".to_owned()));
    assert_eq!(login(&handle, Some("x.y.z")).await, Err("Invalid header".to_owned()));
    handle.stop().await;
}

#[tokio::test]
async fn s2_44_and_s4_51_a_key_set_is_read_from_its_address() {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let keys =
        json!({"keys": [{"kid": "ec", "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
    let url = serve(Router::new().route("/jwks.json", get(async move || axum::Json(keys)))).await;
    let handle = start(KeySource::KeySetAt, &format!("{url}/jwks.json"), true);
    let sign = |signed: &[u8]| pair.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec();
    assert_eq!(login(&handle, Some(&token("ES256", "ec", sign))).await, Ok(()));
    assert_eq!(login(&handle, Some(&token("ES256", "other", sign))).await, NO_KEY.map_err(str::to_owned));
    let confused = login(&handle, Some(&token("RS256", "ec", sign))).await;
    assert_eq!(confused, Err("Invalid or incorrect alg".to_owned()));
    let secret = login(&handle, Some(&token("HS256", "ec", sign))).await;
    assert_eq!(secret, Err("'kid' claim only support with RS family".to_owned()));
    assert_eq!(login(&handle, None).await, Ok(()), "empty tokens are allowed");
    handle.stop().await;
}

#[tokio::test]
async fn a_key_server_that_hangs_is_in_nobody_elses_way() {
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let first = listener.accept().await.unwrap();
        reached.send(()).unwrap();
        // It takes the request, and all others, and says nothing.
        let mut kept = vec![first];
        while let Ok(next) = listener.accept().await {
            kept.push(next);
        }
    });
    let handle = start(KeySource::KeyServer, &url, true);
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let token = rsa_token(&pair, "one");
    let waiting = {
        let (handle, token) = (handle.clone(), token.clone());
        tokio::spawn(async move { login(&handle, Some(&token)).await })
    };
    is_reached.await.unwrap();
    for _ in 0..10 {
        assert_eq!(login(&handle, None).await, Ok(()));
    }
    assert!(!waiting.is_finished());
    assert_eq!(waiting.await.unwrap(), NO_KEY.map_err(str::to_owned));
    // The server is left alone for a while: nobody waits for it again.
    assert_eq!(login(&handle, Some(&rsa_token(&pair, "two"))).await, NO_KEY.map_err(str::to_owned));
    handle.stop().await;
}

#[tokio::test]
async fn a_key_server_that_lies_lets_nobody_in() {
    let (pair, other) =
        (RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let token = rsa_token(&pair, "one");
    let lies: [(axum::response::Response, &str); 6] = [
        ("<html>hello</html>".into_response(), "could not obtain public key"),
        ((StatusCode::INTERNAL_SERVER_ERROR, pem(&pair)).into_response(), "could not obtain public key"),
        (Redirect::temporary("http://127.0.0.1:1/").into_response(), "could not obtain public key"),
        (vec![b'x'; 1 << 20].into_response(), "could not obtain public key"),
        (vec![0xFF; 100].into_response(), "could not obtain public key"),
        (pem(&other).into_response(), "Invalid signature"),
    ];
    for (lie, expected) in lies {
        let lie = Arc::new(std::sync::Mutex::new(Some(lie)));
        let answer = move |_: Path<String>| {
            let lie = lie.lock().unwrap().take();
            async move { lie.ok_or(StatusCode::INTERNAL_SERVER_ERROR) }
        };
        let url = serve(Router::new().route("/{file}", get(answer))).await;
        let handle = start(KeySource::KeyServer, &url, false);
        assert_eq!(login(&handle, Some(&token)).await, Err(expected.to_owned()));
        handle.stop().await;
    }
}

#[tokio::test]
async fn an_access_manager_is_shown_the_token_and_has_the_last_word() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let good = rsa_token(&pair, "one");
    let shown = format!("Bearer {good}");
    let decide = move |Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap| {
        let access = headers.get("authorization").is_some_and(|value| *value == *shown);
        assert_eq!(query["login"], if access { "token" } else { "guest" });
        async move { axum::Json(json!({"access": access, "message": "ask at the desk"})) }
    };
    let url = serve(Router::new().route("/access", get(decide))).await;
    let handle = start_with_access(&pair, &format!("{url}/access"));
    assert_eq!(login(&handle, Some(&good)).await, Ok(()));
    assert_eq!(login(&handle, None).await, Err("ask at the desk".to_owned()));
    // A bad token is refused here; nobody is asked about it.
    let forged = rsa_token(&RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), "one");
    assert_eq!(login(&handle, Some(&forged)).await, Err("Invalid signature".to_owned()));
    handle.stop().await;
}
