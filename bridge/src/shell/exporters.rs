//! The WebSockets of exporters: audio of conferences out, results and translated audio back (bridge.md §8).

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use jitsi_protocol::colibri2::ConnectPing;
use jitsi_protocol::media_json::{BridgeEvent, InboundMedia, Mark, PeerEvent};
use model::SourceName;
use net::ServerTrust;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use super::command::{Command, MediaHandle};
use crate::ExporterSettings;
use crate::export::serializer::MediaJsonSerializer;
use crate::export::tap::AudioQueue;
use crate::export::{ExporterEvent, ExporterId, ExporterSources, InjectedAudio, NewExporter};
use crate::metrics::ExporterMetrics;
use crate::rate_limit::{Rate, RateLimit};

/// Exporters that may wait to begin: a bridge begins a few for each conference at once.
pub(super) const MAX_WAITING_STARTS: usize = 1024;
/// From the first packet to the open socket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The other end reads nothing for so long: it hangs, and is tried again.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Copies of packets are looked for this often rather than announced by shards, which have better to do than to wake a task.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The other end is pinged this often, and given up when nothing at all came for the idle timeout.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest message of the other end: a result with several wordings in some languages has a few kilobytes.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// What one translator sends for a large conference in several languages, 50 packets a second each.
const AUDIO_RATE: Rate = Rate { burst: 10_000, per_second: 10_000 };
/// Results that are still changing come several times a second for each who speaks.
const RESULT_RATE: Rate = Rate { burst: 500, per_second: 200 };
/// Largest number of buffered bytes before the socket is flushed.
const FULL_CHUNK_BYTES: usize = 64 << 10;

/// An exporter that begins, and the way to tell it of other sources; it ends when that is dropped.
#[derive(Debug)]
pub(super) struct StartRequest {
    pub(super) exporter: Box<NewExporter>,
    pub(super) sources: watch::Receiver<ExporterSources>,
}

/// What all exporters have in common.
#[derive(Clone, Debug)]
pub(super) struct ExporterEnvironment {
    pub(super) media: MediaHandle,
    pub(super) settings: ExporterSettings,
    pub(super) metrics: ExporterMetrics,
    /// Told to the other end.
    pub(super) version: Arc<str>,
    pub(super) region: Option<Arc<str>>,
}

/// Runs what begins, each in a task of its own, until the bridge is gone.
pub(super) async fn run(mut starts: mpsc::Receiver<StartRequest>, environment: ExporterEnvironment) {
    let mut connector = None;
    let mut exporters = JoinSet::new();
    while let Some(StartRequest { exporter, sources }) = starts.recv().await {
        while exporters.try_join_next().is_some() {}
        // The host's certificates are read when they are needed first.
        let connector = match connector.clone() {
            Some(connector) => connector,
            None => match net::client_config(ServerTrust::System) {
                Ok(config) => connector.insert(Arc::new(config)).clone(),
                Err(error) => {
                    tracing::error!(%error, "cannot set up TLS to recorders and transcribers");
                    continue;
                }
            },
        };
        let environment = environment.clone();
        environment.metrics.starts.inc();
        exporters.spawn(Exporter::new(*exporter, sources, environment).run(Connector::Rustls(connector)));
    }
}

/// Why a WebSocket is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The exporter is to end.
    Stopped,
    /// The other end is gone, or given up.
    Lost,
}

#[derive(Debug, thiserror::Error)]
enum ExporterError {
    #[error("no answer within {CONNECT_TIMEOUT:?}")]
    ConnectTimeout,
    #[error("nothing was read within {SEND_TIMEOUT:?}")]
    SendTimeout,
    #[error(transparent)]
    WebSocket(#[from] tungstenite::Error),
}

struct Exporter {
    id: ExporterId,
    /// Without what may be secret in it.
    host: String,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    ping: Option<ConnectPing>,
    queue: AudioQueue,
    sources: watch::Receiver<ExporterSources>,
    environment: ExporterEnvironment,
    audio_rate: RateLimit,
    result_rate: RateLimit,
}

impl Exporter {
    fn new(new: NewExporter, sources: watch::Receiver<ExporterSources>, environment: ExporterEnvironment) -> Self {
        let NewExporter { id, connect, queue } = new;
        let headers = connect.http_headers.iter().filter_map(|header| {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok().filter(|name| !is_of_handshake(name));
            let value = HeaderValue::from_str(&header.value).ok();
            if name.is_none() || value.is_none() {
                tracing::warn!(header = header.name, "a header of a connect cannot be sent");
            }
            let mut value = value?;
            value.set_sensitive(true);
            Some((name?, value))
        });
        Self {
            id,
            host: connect.url.split('/').nth(2).unwrap_or_default().to_owned(),
            headers: headers.collect(),
            url: connect.url,
            ping: connect.ping,
            queue,
            sources,
            environment,
            audio_rate: RateLimit::default(),
            result_rate: RateLimit::default(),
        }
    }

    /// Keeps a WebSocket open until the exporter is to end.
    async fn run(mut self, connector: Connector) {
        let mut attempt = 0;
        loop {
            let mut opened_at = None;
            match self.connect_and_serve(connector.clone(), &mut opened_at).await {
                Ok(End::Stopped) => return,
                Ok(End::Lost) => tracing::info!(host = self.host, "the WebSocket of an exporter closed"),
                Err(error) => {
                    tracing::warn!(host = self.host, %error, "the WebSocket of an exporter failed");
                    self.environment.metrics.web_socket_failures.inc();
                }
            }
            self.queue.close();
            let settings = self.environment.settings;
            if opened_at.is_some_and(|at: Instant| at.elapsed() > settings.stable_connection_threshold) {
                attempt = 0;
            }
            attempt += 1;
            let Some(pause) = settings.pause(attempt) else {
                return tracing::warn!(host = self.host, attempt, "an exporter is given up");
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = ended(&mut self.sources) => return,
            }
        }
    }

    async fn connect_and_serve(
        &mut self,
        connector: Connector,
        opened_at: &mut Option<Instant>,
    ) -> Result<End, ExporterError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let connecting = connect_async_tls_with_config(self.request()?, Some(config), true, Some(connector));
        let (socket, _) = tokio::select! {
            connected = timeout(CONNECT_TIMEOUT, connecting) => connected.map_err(|_| ExporterError::ConnectTimeout)??,
            () = ended(&mut self.sources) => return Ok(End::Stopped),
        };
        let now = Instant::now();
        *opened_at = Some(now);
        tracing::info!(host = self.host, "the WebSocket of an exporter is open");
        self.queue.open(now);
        let (sink, stream) = socket.split();
        self.serve(Outbound { sink }, stream, MediaJsonSerializer::new(now)).await
    }

    fn request(&self) -> Result<Request, tungstenite::Error> {
        let mut request = self.url.as_str().into_client_request()?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }

    /// Carries events both ways.
    async fn serve<S: Sink<Message, Error = tungstenite::Error> + Unpin>(
        &mut self,
        mut outbound: Outbound<S>,
        mut stream: impl Stream<Item = tungstenite::Result<Message>> + Unpin,
        mut serializer: MediaJsonSerializer,
    ) -> Result<End, ExporterError> {
        self.greet(&mut outbound).await?;
        let mut looks = interval(LOOK_INTERVAL);
        let mut pings = interval(PING_INTERVAL);
        let mut asks = interval(self.ping.map_or(PING_INTERVAL, |ping| ping.interval.max(LOOK_INTERVAL)));
        // The first answer of an interval is at once.
        asks.reset();
        let mut last_ask = 0;
        let mut answer_due: Option<tokio::time::Instant> = None;
        let mut idle_at = tokio::time::Instant::now() + IDLE_TIMEOUT;
        loop {
            tokio::select! {
                message = stream.next() => {
                    idle_at = tokio::time::Instant::now() + IDLE_TIMEOUT;
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            if self.handle_text(&text) == Some(last_ask) {
                                answer_due = None;
                            }
                        }
                        Some(Ok(Message::Close(frame))) => {
                            if frame.is_some_and(|frame| u16::from(frame.code) == INTERNAL_ERROR) {
                                self.environment.metrics.web_socket_internal_errors.inc();
                            }
                            // The library answers it with the next write.
                            let _ = outbound.flush().await;
                            return Ok(End::Lost);
                        }
                        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Err(error)) => return Err(error.into()),
                        None => return Ok(End::Lost),
                    }
                }
                _ = looks.tick() => self.send_audio(&mut serializer, &mut outbound).await?,
                changed = self.sources.changed() => {
                    if changed.is_err() {
                        let last_words = BridgeEvent::SessionEnd.to_json();
                        outbound.feed(Message::text(last_words)).await?;
                        outbound.close(GOING_AWAY, "closing").await?;
                        return Ok(End::Stopped);
                    }
                    let sources = self.sources_event();
                    outbound.feed(Message::text(sources)).await?;
                    outbound.flush().await?;
                }
                _ = asks.tick(), if self.ping.is_some() => {
                    last_ask += 1;
                    let timeout = self.ping.map_or(IDLE_TIMEOUT, |ping| ping.timeout);
                    answer_due.get_or_insert(tokio::time::Instant::now() + timeout);
                    outbound.feed(Message::text(BridgeEvent::Ping { id: last_ask }.to_json())).await?;
                    outbound.flush().await?;
                }
                () = sleep_until(answer_due.unwrap_or(idle_at)), if answer_due.is_some() => {
                    tracing::warn!(host = self.host, "no answer to a ping of an exporter");
                    outbound.close(NORMAL, "Ping timeout").await?;
                    return Ok(End::Lost);
                }
                _ = pings.tick() => {
                    outbound.feed(Message::Ping(Vec::new().into())).await?;
                    outbound.flush().await?;
                }
                () = sleep_until(idle_at) => return Ok(End::Lost),
            }
        }
    }

    /// What is said first.
    async fn greet<S: Sink<Message, Error = tungstenite::Error> + Unpin>(
        &mut self,
        outbound: &mut Outbound<S>,
    ) -> Result<(), ExporterError> {
        let has_names = {
            let sources = self.sources.borrow();
            !sources.exports.is_empty() || !sources.requests.is_empty()
        };
        if has_names {
            let sources = self.sources_event();
            outbound.feed(Message::text(sources)).await?;
        }
        let ExporterEnvironment { version, region, .. } = &self.environment;
        let info = BridgeEvent::Info { application: APPLICATION, version, region: region.as_deref() };
        outbound.feed(Message::text(info.to_json())).await?;
        outbound.flush().await
    }

    fn sources_event(&mut self) -> String {
        let sources = self.sources.borrow_and_update();
        let (exports, requests) = (texts(&sources.exports), texts(&sources.requests));
        BridgeEvent::Sources { exports, requests }.to_json()
    }

    /// Sends the packets that wait.
    async fn send_audio<S: Sink<Message, Error = tungstenite::Error> + Unpin>(
        &mut self,
        serializer: &mut MediaJsonSerializer,
        outbound: &mut Outbound<S>,
    ) -> Result<(), ExporterError> {
        let metrics = &self.environment.metrics;
        metrics.packets_lost.inc_by(self.queue.take_lost());
        let (mut texts, mut bytes, mut has_sent) = (Vec::new(), 0, false);
        while let Some(packet) = self.queue.take() {
            serializer.write(&packet, |text| texts.push(text));
            self.queue.give_back(packet);
            metrics.packets_sent.inc_by(u64::from(!texts.is_empty()));
            for text in texts.drain(..) {
                bytes += text.len();
                outbound.feed(Message::text(text)).await?;
            }
            has_sent = true;
            if bytes >= FULL_CHUNK_BYTES {
                bytes = 0;
                outbound.flush().await?;
            }
        }
        self.queue.grow(Instant::now());
        if has_sent { outbound.flush().await } else { Ok(()) }
    }

    /// Takes what the other end says. Answers the number of a ping that it answers.
    fn handle_text(&mut self, text: &str) -> Option<u32> {
        let metrics = &self.environment.metrics;
        let event = match PeerEvent::parse(text) {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(host = self.host, %error, "an exporter does not understand a message");
                metrics.parse_failures.inc();
                return None;
            }
        };
        match event {
            PeerEvent::Pong { id } => return Some(id),
            PeerEvent::TranscriptionResult(result) => {
                metrics.transcripts_received.inc();
                self.pass_on(ExporterEvent::TranscriptionResult(result));
            }
            PeerEvent::Media { media } => {
                metrics.media_events_received.inc();
                match audio_of(&media) {
                    Some(event) => self.pass_on(event),
                    None => metrics.parse_failures.inc(),
                }
            }
            PeerEvent::Start { start } => self.handle_mark(&start, true),
            PeerEvent::Stop { stop } => self.handle_mark(&stop, false),
            PeerEvent::Info(info) => {
                metrics.info_received.inc();
                tracing::info!(host = self.host, info = %serde_json::Value::Object(info), "the other end of an exporter");
            }
            PeerEvent::Ping { .. } => metrics.other_messages_received.inc(),
        }
        None
    }

    fn handle_mark(&mut self, mark: &Mark, sending: bool) {
        let metrics = &self.environment.metrics;
        let Some(timestamp) = mark.timestamp else { return metrics.other_messages_received.inc() };
        metrics.sending_changes_received.inc();
        match mark.tag.parse() {
            // RTP times are what clients compare it with.
            Ok(source) => self.pass_on(ExporterEvent::Sending { source, sending, timestamp: timestamp as u32 }),
            Err(_) => metrics.parse_failures.inc(),
        }
    }

    /// Gives control what concerns the conference, unless it is too much.
    fn pass_on(&mut self, event: ExporterEvent) {
        let now = Instant::now();
        let is_admitted = match &event {
            ExporterEvent::Audio { .. } => self.audio_rate.admit(AUDIO_RATE, now),
            ExporterEvent::TranscriptionResult(_) | ExporterEvent::Sending { .. } => {
                self.result_rate.admit(RESULT_RATE, now)
            }
        };
        let command = Command::ExporterEvent { id: self.id, event };
        if !is_admitted || self.environment.media.send(command).is_err() {
            self.environment.metrics.messages_dropped.inc();
        }
    }
}

/// The way out of a WebSocket, on which nothing waits for ever.
struct Outbound<S> {
    sink: S,
}

impl<S: Sink<Message, Error = tungstenite::Error> + Unpin> Outbound<S> {
    async fn feed(&mut self, message: Message) -> Result<(), ExporterError> {
        timeout(SEND_TIMEOUT, self.sink.feed(message))
            .await
            .map_err(|_| ExporterError::SendTimeout)?
            .map_err(Into::into)
    }

    async fn flush(&mut self) -> Result<(), ExporterError> {
        timeout(SEND_TIMEOUT, self.sink.flush()).await.map_err(|_| ExporterError::SendTimeout)?.map_err(Into::into)
    }

    async fn close(&mut self, code: u16, reason: &'static str) -> Result<(), ExporterError> {
        self.feed(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await?;
        self.flush().await
    }
}

/// Status codes (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const INTERNAL_ERROR: u16 = 1011;

/// What peers know bridges by.
const APPLICATION: &str = "jitsi-videobridge";

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn texts(names: &[SourceName]) -> Vec<&str> {
    names.iter().map(SourceName::as_str).collect()
}

/// Completes when the exporter is to end.
async fn ended(sources: &mut watch::Receiver<ExporterSources>) {
    while sources.changed().await.is_ok() {}
}

/// Headers that make the request one for a WebSocket (RFC 6455 §4.1).
fn is_of_handshake(name: &HeaderName) -> bool {
    let ours =
        [header::HOST, header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION];
    ours.contains(name)
}

fn audio_of(media: &InboundMedia) -> Option<ExporterEvent> {
    let payload = STANDARD.decode(&media.payload).ok().filter(|payload| payload.len() <= MAX_AUDIO_BYTES)?;
    // RTP has the low bits of both.
    let audio = InjectedAudio { seq: media.chunk as u16, timestamp: media.timestamp as u32, payload };
    Some(ExporterEvent::Audio { source: media.tag.parse().ok()?, audio })
}

/// The longest packet of Opus (RFC 6716 §3.4: 120 ms in frames of up to 1275 bytes have more, but nobody sends these).
const MAX_AUDIO_BYTES: usize = 1275;
