//! A link over WebSocket (RFC 7395): logs in as a service account, pumps stanzas, comes up again by itself.
//!
//! Here: the client's side of the stream. Not here: the in-process link (`link.rs`), the server's side (`signaling`).

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use xmpp::sasl::PlainCredentials;
use xmpp::{Element, Jid, bind, framing, iq_result, ns, ping};

use crate::link_tls::{ServerTrust, client_config};
use crate::{Link, LinkEvent};

/// First pause before another try; it doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// From the first packet to the bound resource.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which the server is asked for a sign of life, and how long it may take to give one.
const PROBE_AFTER: Duration = Duration::from_secs(15);
/// How long a frame may take to get into the socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest frame from the server: as long as stock lets services send.
const MAX_FRAME_BYTES: usize = 10 * 1024 * 1024;
/// Id of the link's own pings; their answers are not for the service.
const PING_ID: &str = "link-ping";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whether this is the URL of a WebSocket (RFC 6455 §3).
#[must_use]
pub fn is_web_socket_url(text: &str) -> bool {
    ["ws://", "wss://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Where the WebSocket of an XMPP server is that is named by its host, or by that URL itself.
#[must_use]
pub fn xmpp_url(server: &str) -> String {
    if is_web_socket_url(server) { server.to_owned() } else { format!("ws://{server}:5280/xmpp-websocket") }
}

/// How to reach the server and who the service is.
#[derive(Clone)]
pub struct LinkSettings {
    /// Where the server's WebSocket is, as `wss://meet.example/xmpp-websocket`.
    pub url: String,
    /// The domain of the service accounts, as `auth.meet.example`.
    pub domain: String,
    /// The account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The resource to bind. Two links with the same account and resource throw each other out.
    pub resource: String,
    /// Which certificates are accepted with `wss`.
    pub trust: ServerTrust,
}

impl std::fmt::Debug for LinkSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, domain, username, resource, trust, password: _ } = self;
        f.debug_struct("LinkSettings")
            .field("url", url)
            .field("domain", domain)
            .field("username", username)
            .field("resource", resource)
            .field("trust", trust)
            .finish_non_exhaustive()
    }
}

/// Why a stream did not come up or went down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The WebSocket failed.
    #[error("websocket failed")]
    WebSocket(#[source] tungstenite::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The password has characters that HTTP cannot carry.
    #[error("name and password do not fit into a header")]
    Credentials,
    /// The server takes too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The server closed the stream.
    #[error("the server closed the stream")]
    Closed,
    /// The server does not take the name and password.
    #[error("the server refuses the login: {condition}")]
    LoginRefused {
        /// The SASL condition.
        condition: String,
    },
    /// The server ended the stream with an error (RFC 6120 §4.9).
    #[error("stream error: {condition}")]
    StreamError {
        /// The condition.
        condition: String,
    },
    /// The server does not follow the protocol.
    #[error("unexpected frame while {expecting}")]
    UnexpectedFrame {
        /// What was expected.
        expecting: &'static str,
    },
}

impl From<tungstenite::Error> for LinkError {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(error)
    }
}

impl Link {
    /// A link over WebSocket, kept up by a task on the current tokio runtime until the link is dropped. What is sent
    /// while it is down is lost, as is what was on its way.
    #[must_use]
    pub fn connect(settings: LinkSettings) -> Link {
        let (link, outgoing, events) = Link::over_network();
        tokio::spawn(keep_up(settings, outgoing, events));
        link
    }
}

/// Connects again and again. Ends when the service drops its link.
async fn keep_up(settings: LinkSettings, mut outgoing: mpsc::Receiver<Element>, events: mpsc::Sender<LinkEvent>) {
    let mut pause = FIRST_PAUSE;
    while !events.is_closed() {
        let login = timeout(LOGIN_TIMEOUT, log_in(&settings)).await;
        let outcome = match login.unwrap_or(Err(LinkError::Timeout(LOGIN_TIMEOUT))) {
            Ok((socket, jid)) => {
                pause = FIRST_PAUSE;
                tracing::info!(%jid, url = settings.url, "link is up");
                while outgoing.try_recv().is_ok() {}
                if events.send(LinkEvent::Up { jid }).await.is_err() {
                    return;
                }
                let outcome = Stream::new(socket).pump(&mut outgoing, &events).await;
                if events.send(LinkEvent::Down).await.is_err() {
                    return;
                }
                outcome
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, url = settings.url, retry_in = ?pause, "link is down");
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = events.closed() => return,
        }
        pause = next_pause(pause);
    }
}

fn next_pause(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// Opens a stream, logs in and binds the resource.
async fn log_in(settings: &LinkSettings) -> Result<(Socket, Jid), LinkError> {
    let connector = Connector::Rustls(Arc::new(client_config(settings.trust).map_err(LinkError::Tls)?));
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_FRAME_BYTES)).max_frame_size(Some(MAX_FRAME_BYTES));
    let (mut socket, _) =
        connect_async_tls_with_config(upgrade_request(settings)?, Some(config), true, Some(connector)).await?;

    open(&mut socket, &settings.domain).await?;
    let credentials =
        PlainCredentials { authzid: None, authcid: settings.username.clone(), password: settings.password.clone() };
    write(&mut socket, &credentials.to_auth()).await?;
    let answer = read(&mut socket).await?;
    if answer.is("failure", ns::SASL) {
        let condition = answer.children().next().map_or("", Element::name).to_owned();
        return Err(LinkError::LoginRefused { condition });
    }
    expect(&answer, "success", ns::SASL, "logging in")?;

    open(&mut socket, &settings.domain).await?;
    write(&mut socket, &bind::request("bind", Some(&settings.resource))).await?;
    let jid = loop {
        let answer = read(&mut socket).await?;
        // A server may tell about itself before it answers.
        if answer.is("iq", ns::CLIENT) {
            break bind::bound_jid(&answer);
        }
    };
    match jid {
        Some(Ok(jid)) => Ok((socket, jid)),
        Some(Err(_)) | None => Err(LinkError::UnexpectedFrame { expecting: "binding a resource" }),
    }
}

/// The WebSocket's upgrade request. It carries name and password as well, for the server to allow large frames at once.
fn upgrade_request(settings: &LinkSettings) -> Result<Request<()>, LinkError> {
    let mut request = settings.url.as_str().into_client_request()?;
    let credentials = STANDARD.encode(format!("{}:{}", settings.username, settings.password));
    let mut authorization =
        HeaderValue::try_from(format!("Basic {credentials}")).map_err(|_| LinkError::Credentials)?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, authorization);
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("xmpp"));
    Ok(request)
}

/// Opens the stream, or opens it anew after the login, and takes the server's features.
async fn open(socket: &mut Socket, domain: &str) -> Result<(), LinkError> {
    write(socket, &framing::client_open(domain)).await?;
    expect(&read(socket).await?, "open", ns::FRAMING, "opening a stream")?;
    expect(&read(socket).await?, "features", ns::STREAMS, "waiting for features")
}

fn expect(frame: &Element, name: &str, ns: &str, expecting: &'static str) -> Result<(), LinkError> {
    if frame.is(name, ns) { Ok(()) } else { Err(LinkError::UnexpectedFrame { expecting }) }
}

async fn write(socket: &mut Socket, frame: &Element) -> Result<(), LinkError> {
    let sending = socket.send(Message::text(frame.to_string()));
    timeout(WRITE_TIMEOUT, sending).await.map_err(|_| LinkError::Timeout(WRITE_TIMEOUT))??;
    Ok(())
}

/// The next frame; stream errors and the end of the stream are errors.
async fn read(socket: &mut Socket) -> Result<Element, LinkError> {
    loop {
        match socket.next().await {
            Some(message) => {
                if let Some(frame) = frame_of(message?)? {
                    return Ok(frame);
                }
            }
            None => return Err(LinkError::Closed),
        }
    }
}

/// The element of a message; `None` for what WebSocket itself deals with.
fn frame_of(message: Message) -> Result<Option<Element>, LinkError> {
    let text = match message {
        Message::Text(text) => text,
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
        Message::Close(_) => return Err(LinkError::Closed),
        Message::Binary(_) => return Err(LinkError::UnexpectedFrame { expecting: "reading text" }),
    };
    let frame = Element::parse(text.as_str())
        .map_err(|_| LinkError::UnexpectedFrame { expecting: "reading well-formed stanzas" })?;
    if framing::is_close(&frame) {
        return Err(LinkError::Closed);
    }
    if frame.is("error", ns::STREAMS) {
        let condition = frame.children().next().map_or("", Element::name).to_owned();
        return Err(LinkError::StreamError { condition });
    }
    Ok(Some(frame))
}

/// A bound stream.
struct Stream {
    socket: Socket,
    last_heard: Instant,
    probed: Option<Instant>,
}

impl Stream {
    fn new(socket: Socket) -> Self {
        Self { socket, last_heard: Instant::now(), probed: None }
    }

    /// Passes stanzas both ways until the stream ends. `Ok` when the service dropped its link.
    async fn pump(
        mut self,
        outgoing: &mut mpsc::Receiver<Element>,
        events: &mpsc::Sender<LinkEvent>,
    ) -> Result<(), LinkError> {
        loop {
            let check_at = self.probed.unwrap_or(self.last_heard) + PROBE_AFTER;
            tokio::select! {
                stanza = outgoing.recv() => match stanza {
                    Some(stanza) => self.write_all(stanza, outgoing).await?,
                    None => {
                        // The service goes: the server shall not wait for its return.
                        let farewell = async {
                            self.socket.send(Message::text(framing::CLOSE)).await?;
                            self.socket.close(None).await
                        };
                        drop(timeout(LOGIN_TIMEOUT, farewell).await);
                        return Ok(());
                    }
                },
                message = self.socket.next() => {
                    let message = message.ok_or(LinkError::Closed)??;
                    self.last_heard = Instant::now();
                    self.probed = None;
                    if let Some(stanza) = frame_of(message)? {
                        self.handle(stanza, events).await?;
                    }
                },
                () = sleep_until(check_at) => self.check_life().await?,
            }
        }
    }

    /// Writes a stanza and all that wait behind it, then flushes once.
    async fn write_all(&mut self, first: Element, outgoing: &mut mpsc::Receiver<Element>) -> Result<(), LinkError> {
        let writing = async {
            let mut next = Some(first);
            while let Some(stanza) = next {
                self.socket.feed(Message::text(stanza.to_string())).await?;
                next = outgoing.try_recv().ok();
            }
            self.socket.flush().await
        };
        timeout(WRITE_TIMEOUT, writing).await.map_err(|_| LinkError::Timeout(WRITE_TIMEOUT))??;
        Ok(())
    }

    async fn handle(&mut self, stanza: Element, events: &mpsc::Sender<LinkEvent>) -> Result<(), LinkError> {
        let is_of_server = stanza.attr("from").is_none_or(|from| !from.contains(['@', '/']));
        if is_of_server && ping::is_ping(&stanza) {
            return write(&mut self.socket, &iq_result(&stanza)).await;
        }
        if stanza.attr("id") == Some(PING_ID) && is_of_server {
            return Ok(());
        }
        if stanza.ns() != ns::CLIENT {
            tracing::debug!(name = stanza.name(), "not a stanza");
            return Ok(());
        }
        // The service is gone when its events are; the loop sees that its stanzas end as well.
        drop(events.send(LinkEvent::Stanza(stanza)).await);
        Ok(())
    }

    /// Asks a silent server for a sign of life; gives up when the last question stayed without one.
    async fn check_life(&mut self) -> Result<(), LinkError> {
        if self.probed.is_some() {
            return Err(LinkError::Timeout(PROBE_AFTER));
        }
        self.probed = Some(Instant::now());
        let ping =
            Element::new("iq", ns::CLIENT).with_attr("type", "get").with_attr("id", PING_ID).with_child(ping::ping());
        write(&mut self.socket, &ping).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> LinkSettings {
        LinkSettings {
            url: "wss://meet.example/xmpp-websocket".to_owned(),
            domain: "auth.meet.example".to_owned(),
            username: "jvb".to_owned(),
            password: "hush".to_owned(),
            resource: "jvb-1".to_owned(),
            trust: ServerTrust::System,
        }
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some(next_pause(*pause)));
        assert_eq!(pauses.take(7).map(|pause| pause.as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", settings()).contains("hush"));
        assert!(!format!("{:?}", upgrade_request(&settings()).unwrap()).contains(&STANDARD.encode("jvb:hush")));
    }

    #[test]
    fn the_end_of_a_stream_is_told_from_its_stanzas() {
        let frame = |text: &str| frame_of(Message::text(text));
        assert!(matches!(frame(framing::CLOSE), Err(LinkError::Closed)));
        let error = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
                     <conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert!(matches!(frame(error), Err(LinkError::StreamError { condition }) if condition == "conflict"));
        assert!(matches!(frame("<iq"), Err(LinkError::UnexpectedFrame { .. })));
        assert!(frame("<iq xmlns='jabber:client'/>").unwrap().is_some());
        assert!(frame_of(Message::Ping(Vec::new().into())).unwrap().is_none());
    }
}
