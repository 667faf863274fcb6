//! The https port as clients of each protocol meet it.

use std::net::{Ipv4Addr, TcpListener as StdListener};

use axum::Router;
use axum::routing::get;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::*;

const STUN_REQUEST: [u8; 20] = [0x00, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// What the handlers got.
#[derive(Debug)]
enum Taken {
    Turn { bytes: Vec<u8>, remote: SocketAddr },
    IceTcp { bytes: Vec<u8> },
}

struct Port {
    address: SocketAddr,
    connector: ClientConfig,
    taken: mpsc::UnboundedReceiver<Taken>,
    metrics: PortMetrics,
}

/// A port that serves a page, and notes what TURN and ICE get. TURN answers with what it was sent.
async fn start(is_shared: bool) -> Port {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "turn.localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let mut server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = client.with_root_certificates(roots).with_no_client_auth();

    let (sender, taken) = mpsc::unbounded_channel();
    let metrics = PortMetrics::default();
    let mut shared = SharedPort { metrics: metrics.clone(), ..SharedPort::default() };
    if is_shared {
        let turn = sender.clone();
        shared.turn = Some(Arc::new(move |TurnStream { mut stream, already_read, remote, .. }| {
            let turn = turn.clone();
            tokio::spawn(async move {
                let mut bytes = already_read;
                while bytes.len() < STUN_REQUEST.len() {
                    assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
                }
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
                turn.send(Taken::Turn { bytes, remote }).unwrap();
            });
        }));
        shared.ice_tcp = Some(Arc::new(move |_stream, bytes| sender.send(Taken::IceTcp { bytes }).unwrap()));
        shared.turn_name = Some("turn.localhost".to_owned());
    }
    let http = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let https = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = https.local_addr().unwrap();
    let router = Router::new().route("/", get(|| async { "page" }));
    let listeners = crate::server::Listeners::of(http, https);
    tokio::spawn(async move { crate::serve(listeners, server, router, shared, std::future::pending()).await.unwrap() });
    Port { address, connector, taken, metrics }
}

impl Port {
    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self, name: &'static str, alpn: &[&[u8]]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut config = self.connector.clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(ServerName::try_from(name).unwrap(), self.tcp().await).await.unwrap()
    }

    async fn next(&mut self) -> Taken {
        timeout(Duration::from_secs(10), self.taken.recv()).await.expect("somebody got it").unwrap()
    }

    fn refused(&self, reason: &str) -> u64 {
        self.metrics.refused.with_label_values(&[reason]).get()
    }
}

async fn ask_page(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Reads until the end, which a reset is too.
async fn is_closed(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 1];
    matches!(timeout(Duration::from_secs(10), stream.read(&mut byte)).await.expect("it ends"), Ok(0) | Err(_))
}

#[tokio::test]
async fn https_is_served_whether_the_client_names_it_or_not() {
    for is_shared in [false, true] {
        let port = start(is_shared).await;
        for alpn in [&[][..], &[b"http/1.1".as_slice()]] {
            let mut stream = port.tls("localhost", alpn).await;
            let answer = ask_page(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("page"), "{answer}");
        }
        let mut stream = port.tls("localhost", &[b"h2"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "the server's SETTINGS frame");
    }
}

#[tokio::test]
async fn turn_over_tls_is_known_by_alpn_by_name_and_by_its_first_bytes() {
    let mut port = start(true).await;
    for (name, alpn) in [("localhost", &[ALPN_TURN][..]), ("turn.localhost", &[]), ("localhost", &[])] {
        let mut stream = port.tls(name, alpn).await;
        // In pieces, as a slow network delivers it.
        let (first, second) = STUN_REQUEST.split_at(3);
        stream.write_all(first).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(second).await.unwrap();
        let mut answer = [0; 20];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, STUN_REQUEST);
        let Taken::Turn { bytes, remote } = port.next().await else { panic!("not TURN") };
        assert_eq!((bytes, remote), (STUN_REQUEST.to_vec(), stream.get_ref().0.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn turn_and_ice_over_tcp_get_their_streams_with_what_was_read() {
    let mut port = start(true).await;
    let mut stream = port.tcp().await;
    stream.write_all(&STUN_REQUEST).await.unwrap();
    let Taken::Turn { bytes, .. } = port.next().await else { panic!("not TURN") };
    assert_eq!(bytes, STUN_REQUEST);

    let framed = [&[0, 20, 0, 1][..], &STUN_REQUEST[2..]].concat();
    for sent in [framed, vec![0x80, 0x46, 0x01, 0x03, 0x01, 0x00, 0x2d]] {
        let mut stream = port.tcp().await;
        stream.write_all(&sent).await.unwrap();
        let Taken::IceTcp { bytes } = port.next().await else { panic!("not ICE") };
        assert_eq!(bytes, sent);
    }
}

#[tokio::test]
async fn what_is_nothing_is_closed_and_counted() {
    let port = start(true).await;
    let mut stream = port.tcp().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut stream).await);
    assert_eq!(port.refused("unknown_protocol"), 1);
    let mut stream = port.tls("localhost", &[]).await;
    stream.write_all(&[0; 32]).await.unwrap();
    assert!(is_closed(&mut stream).await);
    assert_eq!(port.refused("unknown_protocol_in_tls"), 1);

    let closed = start(false).await;
    let mut stream = closed.tcp().await;
    stream.write_all(&STUN_REQUEST).await.unwrap();
    assert!(is_closed(&mut stream).await);
    assert_eq!(closed.refused("turn_off"), 1);
}

/// Half-open connections: a crowd that says nothing takes no places of others, and is let go.
#[tokio::test]
async fn silent_connections_are_limited_for_each_address() {
    let port = start(true).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(port.tcp().await);
    }
    let mut refused = silent.pop().unwrap();
    assert!(is_closed(&mut refused).await);
    assert!(port.refused("too_many_half_open_of_address") >= 1);
    drop(silent);
    // The places come back, at the latest when their connections are seen to be gone.
    for _ in 0..1000 {
        let mut stream = port.tcp().await;
        stream.write_all(&STUN_REQUEST).await.unwrap();
        let mut answer = [0; 20];
        if stream.read_exact(&mut answer).await.is_ok() {
            return;
        }
    }
    panic!("the port stays closed");
}
