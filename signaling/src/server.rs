//! The server: told what connections bring and what time it is, answers what to send (sans-IO).
//!
//! Here: inputs and outputs, the tables of connections and sessions, timers. What a frame does is in `handshake.rs`
//! (before a resource is bound and stream management) and `router.rs` (stanzas).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use xmpp::sm::StreamManagement;
use xmpp::stream::{StreamCondition, stream_error};
use xmpp::{AddressedStanza, Element, Jid, ParseError, ns, ping};

use ::accounts::Credentials;

use crate::accounts::{Accounts, PasswordCheck, StoredHashes, Verdict};
use crate::client::Client;
use crate::client_proxy::ClientProxy;
use crate::conference::Conferences;
use crate::context::{Context, Delivery, Now};
use crate::failed_logins::FailedLogins;
use crate::muc::{Muc, MucKind, RoomEvent};
use crate::outside::{Call, CallAnswer, CallFailed, CallId};
use crate::session::{Attachment, Origin, Session, SessionEnd};
use crate::stream::{Carrier, ChannelBinding, LoginKind, Stream, StreamState};
use crate::timers::Timers;
use crate::{Metrics, Settings};

/// Names a connection between its start and its end. Given by the shell, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What happens to the server.
#[derive(Debug)]
pub enum Input {
    /// A connection is open.
    Connected {
        /// The new connection.
        connection: ConnectionId,
        /// Where it comes from, and what its URL said.
        origin: Origin,
    },
    /// TLS is in place on a TCP connection.
    TlsEstablished {
        /// Which one.
        connection: ConnectionId,
        /// What logins can be bound to.
        bindings: Vec<ChannelBinding>,
    },
    /// The answer to [`Output::CheckPassword`].
    PasswordChecked {
        /// Who waits for it.
        connection: ConnectionId,
        /// Whether it is the password.
        verdict: Verdict,
    },
    /// The answer to [`Output::LookUpAccount`].
    AccountLookedUp {
        /// Who waits for it.
        connection: ConnectionId,
        /// What there is.
        found: LookUp,
    },
    /// The file of accounts has accounts at these domains; told at the start and when that changes.
    StoredAccounts(BTreeMap<String, StoredHashes>),
    /// These accounts are no more, by bare JID.
    AccountsRevoked(BTreeSet<Jid>),
    /// The end of a call whose answer somebody waits for ([`Output::Call`]).
    CallEnded {
        /// Which one.
        call: CallId,
        /// What the server answered.
        end: Result<CallAnswer, CallFailed>,
    },
    /// The end of a call that asked whether somebody gets in ([`Output::Call`]).
    AccessDecided {
        /// Who waits for it.
        connection: ConnectionId,
        /// What the server answered.
        end: Result<CallAnswer, CallFailed>,
    },
    /// A service within the process takes its place; it is bound at once.
    ServiceAttached {
        /// The new connection.
        connection: ConnectionId,
        /// The full JID to bind.
        jid: Jid,
    },
    /// A frame arrived.
    Frame {
        /// The connection it came on.
        connection: ConnectionId,
        /// Its element, or why there is none.
        frame: Result<Element, BadFrame>,
    },
    /// The client of a connection said that it is going to be silent (XEP-0124 §10): it is not asked for a sign of life
    /// before.
    Paused {
        /// Which one.
        connection: ConnectionId,
        /// Until when.
        until: Instant,
    },
    /// A connection is gone.
    Disconnected {
        /// Which one.
        connection: ConnectionId,
        /// How it ended.
        end: ConnectionEnd,
    },
    /// The instant of the last [`Output::Timeout`] has come.
    Timeout,
    /// The service stops: all streams are to be closed.
    Shutdown,
}

/// What the file of accounts has of a name.
#[derive(Clone, Debug)]
pub enum LookUp {
    /// An account.
    Found(Credentials),
    /// None.
    NoSuchAccount,
    /// It could not be read.
    Unavailable,
}

/// A frame that is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// Not XML of XMPP's kind, or binary.
    NotWellFormed,
    /// Longer than the limit, or nested too deeply.
    TooLarge,
    /// XML, but not of XMPP's kind: comments, instructions, declarations, entities (RFC 6120 §11.1).
    Restricted,
    /// The header of another protocol (RFC 6120 §4.8.1).
    InvalidNamespace,
    /// The header of a stream before XMPP 1.0 (RFC 6120 §4.7.5).
    UnsupportedVersion,
}

impl From<&ParseError> for BadFrame {
    fn from(error: &ParseError) -> Self {
        let condition = error.condition();
        if condition == StreamCondition::RestrictedXml {
            Self::Restricted
        } else if condition == StreamCondition::PolicyViolation {
            Self::TooLarge
        } else {
            Self::NotWellFormed
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The page is gone (WebSocket status 1001, RFC 6455 §7.4.1): nobody is left who could resume the session.
    GoingAway,
    /// Any other way; the client may come back.
    Lost,
    /// The other side did not read what it was sent.
    QueueFull,
}

/// What the server wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a frame.
    Send {
        /// On this connection.
        connection: ConnectionId,
        /// The frame.
        frame: Frame,
    },
    /// Run the check where it is in nobody's way, and tell the result by [`Input::PasswordChecked`].
    CheckPassword {
        /// Who waits for it.
        connection: ConnectionId,
        /// What to run.
        check: PasswordCheck,
    },
    /// Look an account up in the file, and tell what there is by [`Input::AccountLookedUp`].
    LookUpAccount {
        /// Who waits for it.
        connection: ConnectionId,
        /// The bare JID.
        jid: Jid,
    },
    /// Call another server, where that is in nobody's way.
    Call(Call),
    /// End a connection after what was sent on it. The server has forgotten it already.
    Close {
        /// Which one.
        connection: ConnectionId,
    },
    /// Nothing to do until this instant, or until input when there is none.
    Timeout(Option<Instant>),
}

/// A frame to send.
#[derive(Clone, Debug)]
pub enum Frame {
    /// An element of the stream that is no stanza.
    Element(Arc<Element>),
    /// A stanza; shared with other receivers and with the queue of what is not acknowledged.
    Stanza(AddressedStanza),
    /// The element `proceed`, after which TLS begins (RFC 6120 §5.4.3.3).
    StartTls,
    /// Nothing to be sent: a service logged in, which may send larger stanzas than clients and as fast as it likes.
    Trust,
    /// The closing frame, whose text is fixed ([`xmpp::framing::CLOSE`]).
    Close,
}

impl Frame {
    /// About how many bytes it takes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Element(element) => element.byte_len(),
            Self::Stanza(stanza) => stanza.byte_len(),
            Self::StartTls | Self::Trust | Self::Close => 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// Handshake, probe or answer to a probe.
    Connection(ConnectionId),
    /// End of hibernation.
    Session(Jid),
}

/// The signaling server. Feed [`Server::handle_input`], then call [`Server::poll_output`] until it answers
/// [`Output::Timeout`].
#[derive(Debug)]
pub struct Server {
    pub(crate) settings: Settings,
    pub(crate) accounts: Accounts,
    pub(crate) failed_logins: FailedLogins,
    pub(crate) metrics: Metrics,
    pub(crate) rng: StdRng,
    pub(crate) streams: BTreeMap<ConnectionId, Stream>,
    pub(crate) sessions: HashMap<Jid, Session>,
    /// Resumption ids (XEP-0198) to sessions.
    pub(crate) resumable: HashMap<String, Jid>,
    pub(crate) timers: Timers<TimerKey>,
    pub(crate) outbox: VecDeque<Delivery>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) room_events: VecDeque<RoomEvent>,
    pub(crate) muc: Conferences,
    pub(crate) internal_muc: Muc,
    pub(crate) proxy: ClientProxy,
}

impl Server {
    /// A server without connections. `seed` feeds all identifiers, which have to be unguessable.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32], metrics: Metrics) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            accounts: Accounts::of(&settings, &mut rng),
            failed_logins: FailedLogins::new(settings.limits.failed_logins),
            muc: Conferences::new(),
            internal_muc: Muc::new(MucKind::Internal),
            room_events: VecDeque::new(),
            settings,
            metrics,
            rng,
            streams: BTreeMap::new(),
            sessions: HashMap::new(),
            resumable: HashMap::new(),
            timers: Timers::new(),
            outbox: VecDeque::new(),
            outputs: VecDeque::new(),
            proxy: ClientProxy::default(),
        }
    }

    /// Takes an input.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::Connected { connection, origin } => self.on_connected(now, connection, origin),
            Input::ServiceAttached { connection, jid } => self.on_service_attached(now, connection, jid),
            Input::TlsEstablished { connection, bindings } => self.on_tls_established(connection, bindings),
            Input::PasswordChecked { connection, verdict } => self.on_password_checked(now, connection, verdict),
            Input::AccountLookedUp { connection, found } => self.on_account_looked_up(now, connection, &found),
            Input::StoredAccounts(stored) => self.accounts.set_stored(stored),
            Input::AccountsRevoked(jids) => self.on_accounts_revoked(now, &jids),
            Input::AccessDecided { connection, end } => self.on_access_decided(now, connection, end),
            Input::CallEnded { call, end } => self.on_call_ended(now, call, end),
            Input::Frame { connection, frame } => self.on_frame(now, connection, frame),
            Input::Paused { connection, until } => {
                if let Some(stream) = self.streams.get_mut(&connection) {
                    stream.last_heard = stream.last_heard.max(until);
                }
            }
            Input::Disconnected { connection, end } => self.on_disconnected(now, connection, end),
            Input::Timeout => {}
            Input::Shutdown => self.on_shutdown(now),
        }
        while let Some(key) = self.timers.pop_due(now.instant) {
            match key {
                TimerKey::Connection(connection) => self.on_connection_timer(now, connection),
                TimerKey::Session(jid) => self.end_session(now, &jid, SessionEnd::HibernationOver),
            }
        }
        let (mut context, muc, ..) = self.context(now);
        muc.handle_timeout(&mut context);
        self.flush_outbox(now);
        self.update_gauges();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        let next = self.outputs.pop_front().or_else(|| self.muc.poll_call().map(Output::Call));
        next.unwrap_or_else(|| Output::Timeout(self.timers.next().into_iter().chain(self.muc.next_timeout()).min()))
    }

    /// How many things the server remembers of connections, past or present: 0 once everybody is gone. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.streams.len()
            + self.sessions.len()
            + self.resumable.len()
            + self.outbox.len()
            + self.muc.remembered()
            + self.internal_muc.remembered()
            + self.proxy.remembered()
    }

    pub(crate) fn context(&mut self, now: Now) -> (Context<'_>, &mut Conferences, &mut Muc, &mut ClientProxy) {
        let context = Context {
            now,
            settings: &self.settings,
            metrics: &self.metrics,
            rng: &mut self.rng,
            outbox: &mut self.outbox,
            room_events: &mut self.room_events,
        };
        (context, &mut self.muc, &mut self.internal_muc, &mut self.proxy)
    }

    fn on_connected(&mut self, now: Now, connection: ConnectionId, origin: Origin) {
        if self.streams.len() >= self.settings.limits.connections {
            self.metrics.count_dropped("too_many_connections");
            self.outputs.push_back(Output::Close { connection });
            return;
        }
        let carrier = origin.carrier;
        tracing::debug!(?connection, ?carrier, address = ?origin.address, "connected");
        self.streams.insert(connection, Stream::new(origin, carrier, now.instant));
        self.timers.set(TimerKey::Connection(connection), now.instant + self.settings.timeouts.handshake);
    }

    fn on_service_attached(&mut self, now: Now, connection: ConnectionId, jid: Jid) {
        let mut stream = Stream::new(Origin::default(), Carrier::InProcess, now.instant);
        self.end_session(now, &jid, SessionEnd::Replaced);
        tracing::info!(%jid, "service attached");
        stream.state = StreamState::Bound { jid: jid.clone() };
        self.streams.insert(connection, stream);
        self.start_session(now, connection, jid, LoginKind::Account);
    }

    pub(crate) fn start_session(&mut self, now: Now, connection: ConnectionId, jid: Jid, login: LoginKind) {
        let (context, _, _, proxy) = self.context(now);
        proxy.on_session_start(&context, &jid);
        let origin = self.streams.get(&connection).map(|stream| &stream.origin);
        let mut client = origin.map(|origin| Client::of(origin, &jid, &self.settings.hosts)).unwrap_or_default();
        client.has_account = login == LoginKind::Account && jid.domain() == self.settings.hosts.domain.domain();
        self.sessions.insert(jid.clone(), Session::new(jid, Arc::new(client), connection));
    }

    fn on_accounts_revoked(&mut self, now: Now, jids: &BTreeSet<Jid>) {
        let mut ended: Vec<Jid> = self.sessions.keys().filter(|jid| jids.contains(&jid.to_bare())).cloned().collect();
        ended.sort();
        for jid in ended {
            tracing::info!(target: "audit", event = "session_ended", rule = "account_deleted", %jid);
            self.end_session(now, &jid, SessionEnd::Revoked);
        }
    }

    fn on_disconnected(&mut self, now: Now, connection: ConnectionId, end: ConnectionEnd) {
        match end {
            ConnectionEnd::Lost => self.lose_connection(now, connection, now.instant),
            ConnectionEnd::GoingAway => self.drop_connection(now, connection, SessionEnd::Closed),
            ConnectionEnd::QueueFull => self.drop_connection(now, connection, SessionEnd::QueueFull),
        }
    }

    /// Forgets a connection that broke at `since`; its session waits for the client if it can be resumed.
    fn lose_connection(&mut self, now: Now, connection: ConnectionId, since: Instant) {
        let Some(stream) = self.forget_stream(connection) else { return };
        let Some(jid) = stream.bound_jid() else { return };
        let until = since + self.hibernation(jid);
        match self.sessions.get_mut(jid) {
            Some(session) if session.resume_id().is_some() && until > now.instant => {
                tracing::debug!(%jid, "connection lost, session waits to be resumed");
                session.attachment = Attachment::Hibernating { until };
                self.metrics.hibernating_sessions.inc();
                self.timers.set(TimerKey::Session(jid.clone()), until);
            }
            Some(_) | None => self.end_session(now, jid, SessionEnd::Lost),
        }
    }

    /// How long a session waits for its client.
    pub(crate) fn hibernation(&self, jid: &Jid) -> Duration {
        let timeouts = &self.settings.timeouts;
        if self.settings.hosts.is_service(jid) { timeouts.service_hibernation } else { timeouts.hibernation }
    }

    /// Forgets a connection and ends its session.
    fn drop_connection(&mut self, now: Now, connection: ConnectionId, end: SessionEnd) {
        let Some(stream) = self.forget_stream(connection) else { return };
        if let Some(jid) = stream.bound_jid() {
            self.end_session(now, jid, end);
        }
    }

    pub(crate) fn forget_stream(&mut self, connection: ConnectionId) -> Option<Stream> {
        self.timers.clear(&TimerKey::Connection(connection));
        self.streams.remove(&connection)
    }

    fn on_connection_timer(&mut self, now: Now, connection: ConnectionId) {
        let timeouts = &self.settings.timeouts;
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        let StreamState::Bound { jid } = &stream.state else {
            self.fail_stream(now, connection, StreamCondition::ConnectionTimeout, None);
            return;
        };
        if let Some(probed) = stream.probed.filter(|probed| stream.last_heard < *probed) {
            // The timer was set to the end of the wait when the question went out.
            tracing::debug!(%jid, "no sign of life");
            self.outputs.push_back(Output::Close { connection });
            self.lose_connection(now, connection, probed);
            return;
        }
        let probe_at = stream.last_heard + timeouts.probe_after;
        if now.instant < probe_at {
            self.timers.set(TimerKey::Connection(connection), probe_at);
            return;
        }
        stream.probed = Some(now.instant);
        let jid = jid.clone();
        self.timers.set(TimerKey::Connection(connection), now.instant + timeouts.probe_answer);
        self.probe(now, connection, &jid);
    }

    /// Asks for a sign of life: a count where the client keeps one, else a ping.
    fn probe(&mut self, now: Now, connection: ConnectionId, jid: &Jid) {
        if self.sessions.get(jid).is_some_and(|session| session.acks.is_some()) {
            self.send_frame(connection, StreamManagement::Request.to_element());
            return;
        }
        let (mut context, ..) = self.context(now);
        let id = context.random_uuid();
        let ping = Element::new("iq", ns::CLIENT)
            .with_attr("type", "get")
            .with_attr("id", id)
            .with_attr("from", context.settings.hosts.domain.as_str())
            .with_child(ping::ping());
        context.send(jid, ping);
    }

    fn on_shutdown(&mut self, now: Now) {
        let (context, muc, ..) = self.context(now);
        muc.on_shutdown(&context);
        for (connection, stream) in std::mem::take(&mut self.streams) {
            if stream.carrier != Carrier::InProcess {
                self.send_frame(connection, stream_error(StreamCondition::SystemShutdown, None));
                self.outputs.push_back(Output::Send { connection, frame: Frame::Close });
            }
            self.outputs.push_back(Output::Close { connection });
        }
        let ended = u64::try_from(self.sessions.len()).unwrap_or(u64::MAX);
        self.metrics.sessions_ended.with_label_values(&[SessionEnd::Shutdown.as_str()]).inc_by(ended);
        self.sessions.clear();
        self.resumable.clear();
        self.timers = Timers::new();
        self.metrics.hibernating_sessions.set(0);
    }

    /// Ends a stream for good with an error (RFC 6120 §4.9), and its session with it.
    pub(crate) fn fail_stream(
        &mut self,
        now: Now,
        connection: ConnectionId,
        condition: StreamCondition,
        text: Option<&str>,
    ) {
        if self.streams.get(&connection).is_some_and(|stream| stream.state == StreamState::AwaitOpen) {
            // RFC 6120 §4.9.1.1: an error comes after the server's own opening.
            let domain = self.settings.hosts.domain.as_str().to_owned();
            self.send_open(connection, &domain);
        }
        self.send_frame(connection, stream_error(condition, text));
        self.close_stream(now, connection, SessionEnd::Misbehaved);
    }

    /// Ends a stream for good, and its session with it.
    pub(crate) fn close_stream(&mut self, now: Now, connection: ConnectionId, end: SessionEnd) {
        self.outputs.push_back(Output::Send { connection, frame: Frame::Close });
        self.outputs.push_back(Output::Close { connection });
        self.drop_connection(now, connection, end);
    }

    /// Ends a session: closes its connection if it has one, and leaves its rooms.
    pub(crate) fn end_session(&mut self, now: Now, jid: &Jid, end: SessionEnd) {
        let Some(session) = self.sessions.remove(jid) else { return };
        tracing::debug!(%jid, reason = end.as_str(), "session ended");
        self.metrics.sessions_ended.with_label_values(&[end.as_str()]).inc();
        self.timers.clear(&TimerKey::Session(jid.clone()));
        if let Some(id) = session.resume_id() {
            self.resumable.remove(id);
        }
        match session.attachment {
            Attachment::Attached(connection) => {
                if let Some(stream) = self.forget_stream(connection) {
                    if stream.carrier != Carrier::InProcess {
                        let condition = match end {
                            SessionEnd::Replaced => StreamCondition::Conflict,
                            SessionEnd::QueueFull => StreamCondition::ResourceConstraint,
                            SessionEnd::Revoked => StreamCondition::NotAuthorized,
                            SessionEnd::Closed
                            | SessionEnd::Lost
                            | SessionEnd::HibernationOver
                            | SessionEnd::Misbehaved
                            | SessionEnd::Shutdown => StreamCondition::UndefinedCondition,
                        };
                        self.send_frame(connection, stream_error(condition, None));
                        self.outputs.push_back(Output::Send { connection, frame: Frame::Close });
                    }
                    self.outputs.push_back(Output::Close { connection });
                }
            }
            Attachment::Hibernating { .. } => self.metrics.hibernating_sessions.dec(),
        }
        let (mut context, muc, internal_muc, proxy) = self.context(now);
        // A component leaves the rooms under all addresses of its domain.
        let users = if jid.local().is_none() { muc.visitors_of(jid.domain()) } else { BTreeSet::new() };
        for user in &users {
            muc.on_session_end(&mut context, user);
        }
        muc.on_session_end(&mut context, jid);
        internal_muc.on_session_end(&mut context, jid);
        proxy.on_session_end(&mut context, jid);
    }

    /// Sends what waits in the outbox. Overfull sessions end on the way, which may add to it.
    pub(crate) fn flush_outbox(&mut self, now: Now) {
        while let Some(Delivery { to, stanza }) = self.outbox.pop_front() {
            let Some(receiver) = self.receiver_of(&to) else {
                self.metrics.count_dropped("receiver_gone");
                continue;
            };
            let Some(session) = self.sessions.get_mut(&receiver) else { continue };
            let stanza = AddressedStanza::new(stanza, to.to_shared());
            if session.remember(&stanza).is_err() {
                self.end_session(now, &receiver, SessionEnd::QueueFull);
                continue;
            }
            let Some(connection) = session.connection() else { continue };
            let asks_for_count = session.acks.as_mut().is_some_and(crate::acks::Acks::should_request);
            self.metrics.stanzas_sent.inc();
            self.outputs.push_back(Output::Send { connection, frame: Frame::Stanza(stanza) });
            if asks_for_count {
                self.send_frame(connection, StreamManagement::Request.to_element());
            }
        }
    }

    /// The session that gets what is sent to this address: its own, or that of the component whose domain it is in.
    pub(crate) fn receiver_of(&self, to: &Jid) -> Option<Jid> {
        if self.sessions.contains_key(to) {
            return Some(to.clone());
        }
        let component = self.settings.components.iter().find(|component| component.domain.domain() == to.domain())?;
        self.sessions.contains_key(&component.domain).then(|| component.domain.clone())
    }

    /// Sends an element that is not a stanza.
    pub(crate) fn send_frame(&mut self, connection: ConnectionId, element: Element) {
        self.outputs.push_back(Output::Send { connection, frame: Frame::Element(Arc::new(element)) });
    }

    fn update_gauges(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.connections.set(gauge(self.streams.len()));
        self.metrics.sessions.set(gauge(self.sessions.len()));
    }
}
