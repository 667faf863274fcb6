//! A service to talk to, and clients that speak to it word by word.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use prometheus::Registry;
use rustls::pki_types::ServerName;
use signaling::{Handle, Settings, Signaling, StartTls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use xmpp::sasl::PlainCredentials;
use xmpp::{Element, StreamItem, StreamParser, bind, framing, ns};

/// A signaling service on loopback ports.
pub(crate) struct Served {
    pub(crate) handle: Handle,
    pub(crate) http: SocketAddr,
    /// TLS is required.
    pub(crate) tcp: SocketAddr,
    /// There is no TLS.
    pub(crate) plain_tcp: SocketAddr,
    pub(crate) components: SocketAddr,
}

impl Served {
    pub(crate) async fn start(settings: Settings) -> Self {
        let handle = Signaling::start(settings, &Registry::new()).unwrap();
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (http, tcp, plain_tcp, components) =
            (listen().await.unwrap(), listen().await.unwrap(), listen().await.unwrap(), listen().await.unwrap());
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let served = Self {
            http: address(&http),
            tcp: address(&tcp),
            plain_tcp: address(&plain_tcp),
            components: address(&components),
            handle: handle.clone(),
        };
        let certificate = web::create_certificate(&["localhost".to_owned()]).unwrap();
        handle.serve_tcp(tcp, StartTls::Required(Arc::new(certificate)));
        handle.serve_tcp(plain_tcp, StartTls::Absent);
        handle.serve_components(components);
        let router = handle.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(http, router).await });
        served
    }

    /// A guest over TCP without TLS.
    pub(crate) async fn guest(&self) -> Tcp<TcpStream> {
        let mut guest = Tcp::connect(self.plain_tcp).await;
        guest.open("meet.jitsi").await;
        guest.log_in(&"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap()).await;
        guest.bind("meet.jitsi").await;
        guest
    }

    /// A service over TLS.
    pub(crate) async fn service(&self, name: &str, password: &str) -> Tcp<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut service = Tcp::connect(self.tcp).await.start_tls("auth.meet.jitsi").await;
        service.open("auth.meet.jitsi").await;
        let credentials = PlainCredentials { authzid: None, authcid: name.to_owned(), password: password.to_owned() };
        service.log_in(&credentials.to_auth()).await;
        service
    }

    /// The answer to an HTTP request, head and body.
    pub(crate) async fn http(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(self.http).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// A stream over TCP, as far as its bytes go.
pub(crate) struct Tcp<S> {
    pub(crate) socket: S,
    parser: StreamParser,
    unread: Vec<u8>,
    pub(crate) jid: String,
}

impl Tcp<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Tcp::over(TcpStream::connect(address).await.unwrap())
    }

    /// Opens a stream and has TLS started on it.
    pub(crate) async fn start_tls(mut self, domain: &str) -> Tcp<tokio_rustls::client::TlsStream<TcpStream>> {
        let features = self.open(domain).await;
        let starttls = features.child("starttls", ns::TLS).unwrap();
        assert!(starttls.child("required", ns::TLS).is_some());
        assert!(features.child("mechanisms", ns::SASL).is_none(), "no login before TLS");
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
        assert!(self.receive().await.is("proceed", ns::TLS));
        Tcp::over(tls(self.socket).await)
    }
}

/// The client's side of TLS, which trusts anybody.
pub(crate) async fn tls(socket: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config = net::client_config(net::ServerTrust::Anything).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tcp<S> {
    pub(crate) fn over(socket: S) -> Self {
        Self { socket, parser: StreamParser::new(usize::MAX), unread: Vec::new(), jid: String::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// The next item; `None` at the end of the connection.
    pub(crate) async fn item(&mut self) -> Option<StreamItem> {
        loop {
            let mut rest = self.unread.as_slice();
            let item = self.parser.parse(&mut rest).unwrap();
            self.unread = rest.to_vec();
            if item.is_some() {
                return item;
            }
            let mut chunk = [0; 4096];
            let len = self.socket.read(&mut chunk).await.unwrap_or(0);
            if len == 0 {
                return None;
            }
            self.unread.extend_from_slice(&chunk[..len]);
        }
    }

    pub(crate) async fn receive(&mut self) -> Element {
        match self.item().await {
            Some(StreamItem::Element(element)) => element,
            other => panic!("no element but {other:?}"),
        }
    }

    pub(crate) async fn header(&mut self) -> Element {
        match self.item().await {
            Some(StreamItem::Open(header)) => header,
            other => panic!("no header but {other:?}"),
        }
    }

    /// Opens a stream and answers its features.
    pub(crate) async fn open(&mut self, domain: &str) -> Element {
        self.parser.restart();
        self.unread.clear();
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        ))
        .await;
        let header = self.header().await;
        assert_eq!((header.attr("from"), header.attr("version")), (Some(domain), Some("1.0")));
        self.receive().await
    }

    pub(crate) async fn log_in(&mut self, auth: &Element) {
        self.send(&auth.to_string()).await;
        let answer = self.receive().await;
        assert!(answer.is("success", ns::SASL), "{answer}");
    }

    /// Starts the stream anew after the login and binds a resource.
    pub(crate) async fn bind(&mut self, domain: &str) {
        self.open(domain).await;
        self.send(&bind::request("b", None).to_string()).await;
        self.jid = bind::bound_jid(&self.receive().await).unwrap().unwrap().to_string();
    }

    /// Asks the domain for a sign of life and waits for the answer; what comes before it is dropped.
    pub(crate) async fn ping(&mut self) {
        self.send("<iq xmlns='jabber:client' type='get' id='p' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await;
        loop {
            let answer = self.receive().await;
            if answer.is("iq", ns::CLIENT) && answer.attr("id") == Some("p") {
                assert_eq!(answer.attr("type"), Some("result"));
                return;
            }
        }
    }

    /// Waits for the stream error of this name and the end of stream and connection.
    pub(crate) async fn expect_error(&mut self, condition: &str) {
        let mut error = self.item().await;
        while matches!(&error, Some(StreamItem::Open(_))) {
            error = self.item().await;
        }
        let Some(StreamItem::Element(error)) = error else { panic!("no {condition} but {error:?}") };
        assert!(error.is("error", ns::STREAMS), "{error}");
        assert!(error.child(condition, ns::XMPP_STREAMS).is_some(), "{condition}: {error}");
        assert_eq!(self.item().await, Some(StreamItem::Close));
        assert_eq!(self.item().await, None);
    }
}

/// A stream over WebSocket.
pub(crate) struct Ws {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) jid: String,
}

impl Ws {
    /// A WebSocket on which nothing was said yet.
    pub(crate) async fn connect(served: &Served) -> Self {
        let mut request = format!("ws://{}/xmpp-websocket", served.http).into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Self { socket, jid: String::new() }
    }

    /// A guest that is bound.
    pub(crate) async fn guest(served: &Served) -> Self {
        let mut ws = Self::connect(served).await;
        let open = framing::client_open("meet.jitsi").to_string();
        ws.send(&open).await;
        ws.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>").await;
        ws.send(&open).await;
        ws.send(&bind::request("b", None).to_string()).await;
        ws.jid = loop {
            if let Some(jid) = bind::bound_jid(&ws.receive().await) {
                break jid.unwrap().to_string();
            }
        };
        ws
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Element {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().parse().unwrap(),
            other => panic!("no text but {other:?}"),
        }
    }
}
