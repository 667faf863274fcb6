//! Exporters over TLS. The host's certificate store is that of a process, so the test has one of its own.

use std::process::Command;
use std::{env, fs};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{AlertDescription, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;

const NAME: &str = "shell::tests::exporters::tls::audio_goes_over_tls_to_servers_that_the_host_trusts_and_to_no_others";
/// Where the certificate store is of the process that was started for the test; unlike `SSL_CERT_FILE`, nobody else sets it.
const STORE: &str = "TERANGA_TEST_CERTIFICATE_STORE";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server at `localhost`, whatever its certificate says.
struct TlsServer {
    server: Server,
    acceptor: TlsAcceptor,
}

impl TlsServer {
    async fn start(authority: &Authority, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Self { server: Server::start().await, acceptor: Arc::new(config).into() }
    }

    fn connect(&self, id: &str) -> Connect {
        let connect = self.server.connect();
        let url = connect.url.replace("ws://127.0.0.1", "wss://localhost");
        Connect { id: Some(id.to_owned()), url, ..connect }
    }

    async fn accept_web_socket(&self) -> Peer<tokio_rustls::server::TlsStream<TcpStream>> {
        Peer::over(self.acceptor.accept(self.server.accept().await).await.unwrap()).await
    }

    /// Why the bridge, before it says anything else, wants nothing to do with the server.
    async fn refusal(&self) -> AlertDescription {
        let error = self.acceptor.accept(self.server.accept().await).await.unwrap_err();
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("{error}"),
        }
    }
}

#[test]
fn audio_goes_over_tls_to_servers_that_the_host_trusts_and_to_no_others() {
    if let Some(store) = env::var_os(STORE) {
        let trusted = authority("trusted");
        fs::write(store, trusted.pem()).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(talk_over_tls(&trusted));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("authorities.pem");
    let test = Command::new(env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(STORE, &store)
        .env("SSL_CERT_FILE", &store)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&test.stderr));
}

async fn talk_over_tls(trusted: &Authority) {
    let mut running = Running::with_settings(|settings| {
        quick(settings);
        settings.exporters.max_reconnect_attempts = Some(2);
    });
    let speaker = Speaker::join(&mut running).await;
    let friend = TlsServer::start(trusted, "localhost").await;
    let stranger = TlsServer::start(&authority("unknown"), "localhost").await;
    let impostor = TlsServer::start(trusted, "elsewhere.example").await;
    let connects = [("friend", &friend), ("stranger", &stranger), ("impostor", &impostor)];
    running.ask(&of_connects(connects.map(|(id, server)| server.connect(id)).to_vec())).await;
    let mut peer = friend.accept_web_socket().await;
    assert_eq!(peer.request.headers()["authorization"], "Bearer key");
    let first = peer.event_named("media").await;

    for _ in 0..3 {
        assert_eq!(stranger.refusal().await, AlertDescription::UnknownCA);
        assert_eq!(impostor.refusal().await, AlertDescription::BadCertificate);
    }
    let counted = async {
        while !running.metrics().contains("\njitsi_jvb_exporter_websocket_failures_total 6\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
    for server in [&stranger, &impostor] {
        let another = timeout(Duration::from_millis(500), server.server.listener.accept()).await;
        assert!(another.is_err(), "the third try was the last one");
    }

    let number = |event: &Value| event["sequenceNumber"].as_str().unwrap().parse::<u64>().unwrap();
    let mut expected = number(&first);
    for _ in 0..50 {
        expected += 1;
        assert_eq!(number(&peer.event_named("media").await), expected, "nothing is lost for the others' sake");
    }
    assert!(running.metrics().contains("\nteranga_bridge_exporter_packets_lost_total 0\n"));
    speaker.leave().await;
}
