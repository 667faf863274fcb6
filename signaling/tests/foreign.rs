//! XMPP libraries of others over TCP, WebSocket, BOSH and as a component: `tests/xmpp/judge.mjs`, under Node.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use signaling::{Account, Component, Secret, Settings, Signaling, StartTls};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// Every scenario takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/xmpp");

async fn judge(scenario: &str) {
    let mut settings = Settings::default();
    let jid = "jvb@auth.meet.jitsi".parse().unwrap();
    settings.accounts.push(Account { jid, password: Secret::new("pw").unwrap() });
    let domain = "gate.meet.jitsi".parse().unwrap();
    settings.components.push(Component { domain, secret: Secret::new("s3cret").unwrap() });
    let handle = Signaling::start(settings, &Registry::new()).unwrap();
    let listen = || TcpListener::bind("127.0.0.1:0");
    let (tcp, http, components) = (listen().await.unwrap(), listen().await.unwrap(), listen().await.unwrap());
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let addresses =
        format!(r#"{{"tcp":"{}","http":"{}","components":"{}"}}"#, address(&tcp), address(&http), address(&components));
    let certificate = web::create_certificate(&["localhost".to_owned()]).unwrap();
    handle.serve_tcp(tcp, StartTls::Required(Arc::new(certificate)));
    handle.serve_components(components);
    let router = handle.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(http, router).await });

    let node = Command::new("node")
        .args(["judge.mjs", scenario, &addresses])
        .current_dir(FOLDER)
        // The certificate is self-signed.
        .env("NODE_TLS_REJECT_UNAUTHORIZED", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, node).await.expect("the library gets there").unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("passed\n"), "{said}\n{complained}");
}

#[tokio::test]
async fn xmpp_js_logs_in_over_tcp_and_resumes() {
    judge("xmpp.js-tcp").await;
}

#[tokio::test]
async fn xmpp_js_is_a_guest_over_websocket() {
    judge("xmpp.js-websocket").await;
}

#[tokio::test]
async fn strophe_is_a_guest_over_bosh() {
    judge("strophe-bosh").await;
}

#[tokio::test]
async fn strophe_is_a_component() {
    judge("strophe-component").await;
}
