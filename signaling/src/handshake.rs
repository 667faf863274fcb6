//! What the frames of a stream do before its resource is bound, and stream management after it.
//!
//! RFC 7395 (opening, closing), RFC 6120 §5 (TLS), §6 (SASL) and §7 (binding), XEP-0198. Which frame is which is in `stream.rs`.

use rand::Rng as _;
use xmpp::sasl::{Mechanism, SaslCondition};
use xmpp::sm::StreamManagement;
use xmpp::stream::StreamCondition;
use xmpp::{Condition, Element, Jid, bind, framing, iq_error, sasl, sm, stream};

use crate::ShownToken;
use crate::accounts::{Asks, PasswordCheck, Verdict};
use crate::acks::{Acks, QueueLimits};
use crate::context::Now;
use crate::domain;
use crate::external_services::Asker;
use crate::hosts::VirtualHost;
use crate::login::{self, LoginRefused};
use crate::outside::{self, CallAnswer, CallFailed, Decision};
use crate::scram::{ScramKind, ScramStart};
use crate::server::{BadFrame, ConnectionId, Frame, LookUp, Output, Server, TimerKey};
use crate::session::{Attachment, SessionEnd};
use crate::stream::{
    Carrier, ChannelBinding, Exchange, Identity, LoginKind, MAX_LOGIN_FAILURES, Request, StreamState, Tls,
};

/// Where a login stands after a message of the client.
enum Login {
    /// The server has something to say, and waits for the answer.
    Challenge(String, Exchange),
    /// The password of an account is to be checked.
    Check(PasswordCheck),
    /// An account is to be looked up.
    LookUp(Box<ScramStart>),
    /// It is over, with a last message of the mechanism.
    Done(Identity, Option<String>),
}

impl Server {
    pub(crate) fn on_frame(&mut self, now: Now, connection: ConnectionId, frame: Result<Element, BadFrame>) {
        let Some(stream) = self.streams.get_mut(&connection) else {
            self.metrics.count_dropped("connection_gone");
            return;
        };
        stream.last_heard = now.instant;
        let frame = match frame {
            Ok(frame) => frame,
            Err(bad) => {
                let (condition, reason) = match bad {
                    BadFrame::NotWellFormed => (StreamCondition::NotWellFormed, "not_well_formed"),
                    BadFrame::TooLarge => (StreamCondition::PolicyViolation, "frame_too_large"),
                    BadFrame::Restricted => (StreamCondition::RestrictedXml, "restricted_xml"),
                    BadFrame::InvalidNamespace => (StreamCondition::InvalidNamespace, "invalid_namespace"),
                    BadFrame::UnsupportedVersion => (StreamCondition::UnsupportedVersion, "unsupported_version"),
                };
                self.metrics.count_dropped(reason);
                self.fail_stream(now, connection, condition, None);
                return;
            }
        };
        match stream.request(frame) {
            Request::Open { to } => self.on_open(now, connection, to.as_deref()),
            Request::Restart { identity, to } => self.on_restart(now, connection, identity, to.as_deref()),
            Request::StartTls => {
                self.outputs.push_back(Output::Send { connection, frame: Frame::StartTls });
                self.set_state(connection, StreamState::AwaitTls);
            }
            Request::Authenticate { host, failures, mechanism, initial_response } => {
                let outcome = self.authenticate(now, connection, host, &mechanism, &initial_response);
                self.on_login(now, connection, host, failures, outcome);
            }
            Request::Respond { host, failures, exchange, response } => {
                let outcome = self.respond(now, connection, host, exchange, &response);
                self.on_login(now, connection, host, failures, outcome);
            }
            Request::Handshake { domain, stream_id, digest } => {
                self.on_component_handshake(now, connection, domain, &stream_id, &digest);
            }
            Request::Abort { host, failures } => {
                self.on_login(now, connection, host, failures, Err(SaslCondition::Aborted.into()));
            }
            Request::Bind { identity, resource, iq } => self.on_bind(now, connection, identity, resource, &iq),
            Request::Resume { identity, previd, h } => self.on_resume(now, connection, &identity, &previd, h),
            Request::Enable { jid, resume } => self.on_enable(connection, &jid, resume),
            Request::HandledCount { jid } => self.on_count_request(connection, &jid),
            Request::Ack { jid, h } => self.on_ack(now, connection, &jid, h),
            Request::Stanza { jid, stanza } => self.on_stanza(now, &jid, stanza),
            Request::ComponentStanza { domain, stanza } => {
                self.on_component_stanza(now, connection, &domain, stanza);
            }
            Request::UntimelyManagement => self.refuse_management(connection, Condition::UnexpectedRequest),
            Request::Ignore => self.metrics.count_dropped("meaningless"),
            Request::Close => self.close_stream(now, connection, SessionEnd::Closed),
            Request::Violation { what } => {
                tracing::debug!(?connection, what, "stream closed");
                self.metrics.count_dropped("violation");
                self.on_violation(now, connection);
            }
        }
    }

    fn on_violation(&mut self, now: Now, connection: ConnectionId) {
        let Some(stream) = self.streams.get(&connection) else { return };
        let condition = match stream.bound_jid() {
            None => StreamCondition::NotAuthorized,
            Some(_) => StreamCondition::UnsupportedStanzaType,
        };
        self.fail_stream(now, connection, condition, None);
    }

    /// Opens the server's side and answers the id of the stream.
    pub(crate) fn send_open(&mut self, connection: ConnectionId, from: &str) -> String {
        let id = format!("{:032x}", self.rng.random::<u128>());
        self.send_frame(connection, framing::server_open(from, &id));
        id
    }

    fn on_open(&mut self, now: Now, connection: ConnectionId, to: Option<&str>) {
        let Some(stream) = self.streams.get(&connection) else { return };
        let (carrier, bindings) = (stream.carrier, stream.bindings.clone());
        if carrier == Carrier::Component {
            return self.on_component_open(now, connection, to);
        }
        let host = to.and_then(|to| to.parse().ok()).and_then(|to: Jid| self.settings.hosts.virtual_host(&to));
        let needs_tls = carrier == Carrier::Tcp(Tls::Required);
        let mechanisms = |host| login::mechanisms(&self.settings, &self.accounts, host, carrier, &bindings);
        let offered = host.map(mechanisms).unwrap_or_default();
        let Some(host) = host.filter(|_| needs_tls || !offered.is_empty()) else {
            self.metrics.count_dropped("unknown_host");
            let condition = to.map_or(StreamCondition::ImproperAddressing, |_| StreamCondition::HostUnknown);
            self.fail_stream(now, connection, condition, None);
            return;
        };
        let domain = self.settings.hosts.domain_of(host).as_str().to_owned();
        self.send_open(connection, &domain);
        let tls = match carrier {
            Carrier::Tcp(Tls::Required) => Some(stream::starttls(true)),
            Carrier::Tcp(Tls::Offered) => Some(stream::starttls(false)),
            Carrier::Tcp(Tls::Absent | Tls::Established)
            | Carrier::WebSocket
            | Carrier::Bosh
            | Carrier::Component
            | Carrier::InProcess => None,
        };
        let is_bound = offered.iter().any(|mechanism| matches!(mechanism, Mechanism::Scram { is_bound: true, .. }));
        let types = is_bound.then(|| sasl::channel_bindings(bindings.iter().map(|binding| binding.name)));
        let mechanisms = (!offered.is_empty()).then(|| sasl::mechanisms(&offered));
        self.send_frame(connection, stream::features(tls.into_iter().chain(mechanisms).chain(types)));
        self.set_state(connection, StreamState::Authenticating { host, failures: 0 });
    }

    pub(crate) fn on_tls_established(&mut self, connection: ConnectionId, bindings: Vec<ChannelBinding>) {
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        stream.carrier = Carrier::Tcp(Tls::Established);
        stream.bindings = bindings;
        stream.state = StreamState::AwaitOpen;
    }

    fn authenticate(
        &mut self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        mechanism: &str,
        initial_response: &str,
    ) -> Result<Login, LoginRefused> {
        let Some(stream) = self.streams.get(&connection) else { return Err(SaslCondition::Aborted.into()) };
        let offered = login::mechanisms(&self.settings, &self.accounts, host, stream.carrier, &stream.bindings);
        let mechanism = Mechanism::from_name(mechanism)
            .filter(|mechanism| offered.contains(mechanism))
            .ok_or(SaslCondition::InvalidMechanism)?;
        if initial_response.trim().is_empty() && mechanism != Mechanism::Anonymous {
            // RFC 6120 §6.3.10: an empty challenge asks for the message that the client left out.
            return Ok(Login::Challenge(String::new(), Exchange::First(mechanism)));
        }
        self.first_message(now, connection, host, mechanism, initial_response)
    }

    /// Takes the first message of a mechanism.
    fn first_message(
        &mut self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        mechanism: Mechanism,
        message: &str,
    ) -> Result<Login, LoginRefused> {
        let domain = &self.settings.hosts.domain_of(host).clone();
        let asks = login::asks(&self.settings, &self.accounts, host);
        let Some(stream) = self.streams.get(&connection) else { return Err(SaslCondition::Aborted.into()) };
        match mechanism {
            Mechanism::Anonymous => {
                login::check_token(&self.settings, host, &stream.origin.token)?;
                // A client that lost its session keeps its name, which is its identity in the rooms.
                let previous = stream.origin.previous.as_deref();
                let former = previous
                    .and_then(|previous| self.resumable.get(previous))
                    .filter(|former| former.domain() == domain.domain())
                    // The name of an account takes its password.
                    .filter(|former| self.sessions.get(former).is_some_and(|session| !session.client.has_account))
                    .cloned();
                let promised = former.is_none().then(|| self.promised_name(connection, domain)).flatten();
                let bare = match (&former, promised) {
                    (Some(former), _) => former.to_bare(),
                    (None, Some(promised)) => promised,
                    (None, None) => {
                        login::guest_jid(domain, self.rng.random()).map_err(|_| SaslCondition::NotAuthorized)?
                    }
                };
                Ok(Login::Done(Identity { bare, login: LoginKind::Anonymous, former }, None))
            }
            Mechanism::Plain => {
                let check = login::plain_check(&self.accounts, domain, asks, message)?;
                self.check_failures(now, connection, host, &check.jid)?;
                Ok(Login::Check(check))
            }
            Mechanism::Scram { hash, is_bound } => {
                let message = sasl::message_of(message)?.unwrap_or_default();
                let nonce = format!("{:032x}", self.rng.random::<u128>());
                let kind = ScramKind { hash, is_bound, offers_binding: !stream.bindings.is_empty() };
                let start = ScramStart::parse(&message, &nonce, kind, &stream.bindings, domain)?;
                self.check_failures(now, connection, host, &start.jid)?;
                let login = match (self.accounts.named(&start.jid, hash), asks) {
                    (Some(login), _) => login,
                    (None, Asks::Store) => return Ok(Login::LookUp(Box::new(start))),
                    (None, Asks::Nobody | Asks::Directory) => self.accounts.login(&start.jid, hash, None),
                };
                let (exchange, answer) = start.answer(login);
                Ok(Login::Challenge(answer, Exchange::Scram(Box::new(exchange))))
            }
        }
    }

    /// The bare JID under which somebody may come who was a visitor before (`customusername`). It serves once: everybody in the
    /// conference sees it then.
    fn promised_name(&mut self, connection: ConnectionId, domain: &Jid) -> Option<Jid> {
        let hosts = &self.settings.hosts;
        let origin = &self.streams.get(&connection)?.origin;
        let name =
            origin.custom_username.as_deref().filter(|_| hosts.is_client(domain) && hosts.node_of(domain).is_none())?;
        let room = hosts.room(origin.room.as_deref()?, origin.tenant.as_deref()).ok()?;
        let jid = Jid::new(Some(name), domain.domain(), None).ok()?;
        self.muc.room_mut(&room)?.state.visitors.take_promised(name).then_some(jid)
    }

    fn respond(
        &mut self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        exchange: Exchange,
        response: &str,
    ) -> Result<Login, LoginRefused> {
        match exchange {
            Exchange::First(mechanism) => self.first_message(now, connection, host, mechanism, response),
            Exchange::Scram(exchange) => {
                let message = sasl::message_of(response)?.unwrap_or_default();
                let claimed = exchange.claimed().clone();
                self.check_failures(now, connection, host, &claimed)?;
                match exchange.finish(&message) {
                    Ok((bare, end)) => Ok(Login::Done(Identity::of_account(bare), Some(end))),
                    Err(SaslCondition::NotAuthorized) => Err(LoginRefused::WrongPassword(claimed)),
                    Err(condition) => Err(condition.into()),
                }
            }
        }
    }

    /// Whether a password may be tried on an account. Asked before it is looked at, and again before anything is said of it: who
    /// tries many at a time learns no more than who tries one after the other.
    fn check_failures(
        &self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        account: &Jid,
    ) -> Result<(), LoginRefused> {
        let address = self.streams.get(&connection).and_then(|stream| stream.origin.address);
        self.failed_logins.check_address(now.instant, address)?;
        match host {
            VirtualHost::Clients => self.failed_logins.check_account(now.instant, account),
            // Whoever knows their names could keep services out, and their passwords are not for people to remember.
            VirtualHost::Guests | VirtualHost::Services | VirtualHost::Hidden | VirtualHost::Node(_) => Ok(()),
        }
    }

    /// What there is of the account of a login with SCRAM.
    pub(crate) fn on_account_looked_up(&mut self, now: Now, connection: ConnectionId, found: &LookUp) {
        let Some(StreamState::LookingUp { host, failures, start }) =
            self.streams.get(&connection).map(|stream| &stream.state)
        else {
            return;
        };
        let (host, failures, start) = (*host, *failures, start.clone());
        let credentials = match found {
            LookUp::Found(credentials) => Some(credentials),
            LookUp::NoSuchAccount => None,
            LookUp::Unavailable => {
                self.on_login(now, connection, host, failures, Err(SaslCondition::TemporaryAuthFailure.into()));
                return;
            }
        };
        let login = self.accounts.login(&start.jid, start.hash, credentials);
        let (exchange, answer) = start.answer(login);
        let outcome = Ok(Login::Challenge(answer, Exchange::Scram(Box::new(exchange))));
        self.on_login(now, connection, host, failures, outcome);
    }

    pub(crate) fn on_password_checked(&mut self, now: Now, connection: ConnectionId, verdict: Verdict) {
        let Some(StreamState::Checking { host, failures, account }) =
            self.streams.get(&connection).map(|stream| &stream.state)
        else {
            return;
        };
        let (host, failures, account) = (*host, *failures, account.clone());
        let outcome = match (self.check_failures(now, connection, host, &account), verdict) {
            (Err(refused), _) => Err(refused),
            (Ok(()), Verdict::Right) => Ok(Login::Done(Identity::of_account(account), None)),
            (Ok(()), Verdict::Wrong) => Err(LoginRefused::WrongPassword(account)),
            (Ok(()), Verdict::Unavailable) => Err(SaslCondition::TemporaryAuthFailure.into()),
        };
        self.on_login(now, connection, host, failures, outcome);
    }

    /// Another server said who gets in.
    pub(crate) fn on_access_decided(
        &mut self,
        now: Now,
        connection: ConnectionId,
        end: Result<CallAnswer, CallFailed>,
    ) {
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        let Some(access) = &self.settings.outside.access else { return };
        let StreamState::Deciding { host, failures, identity, message } = &stream.state else { return };
        let (host, failures) = (*host, *failures);
        match outside::decide(access, end) {
            Decision::Admit(claims) => {
                let (identity, message) = (identity.clone(), message.clone());
                if let Some(claims) = claims {
                    stream.origin.token = ShownToken::Verified(claims);
                }
                self.admit(connection, identity, message);
            }
            Decision::Refuse(text) => {
                self.on_login(now, connection, host, failures, Err(LoginRefused::Access(text)));
            }
        }
    }

    /// Whether somebody else has to say first that this login may come in; it is asked then.
    fn is_decided_outside(&mut self, connection: ConnectionId, host: VirtualHost, identity: &Identity) -> bool {
        let Some(access) = &self.settings.outside.access else { return false };
        let is_for_people = matches!(host, VirtualHost::Clients | VirtualHost::Guests | VirtualHost::Node(_));
        let Some(stream) = self.streams.get(&connection).filter(|_| is_for_people) else { return false };
        let Some(call) = outside::question(access, connection, &stream.origin, identity) else { return false };
        self.outputs.push_back(Output::Call(call));
        true
    }

    fn admit(&mut self, connection: ConnectionId, identity: Identity, message: Option<String>) {
        self.note_login(connection, &identity);
        if self.settings.hosts.is_service(&identity.bare) {
            self.outputs.push_back(Output::Send { connection, frame: Frame::Trust });
        }
        self.send_frame(connection, message.map_or_else(sasl::success, |message| sasl::success_with(&message)));
        self.set_state(connection, StreamState::AwaitRestart { identity });
    }

    fn on_login(
        &mut self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        failures: u8,
        outcome: Result<Login, LoginRefused>,
    ) {
        match outcome {
            Ok(Login::Challenge(message, exchange)) => {
                self.send_frame(connection, sasl::challenge(&message));
                self.set_state(connection, StreamState::Challenged { host, failures, exchange });
            }
            Ok(Login::LookUp(start)) => {
                self.outputs.push_back(Output::LookUpAccount { connection, jid: start.jid.clone() });
                self.set_state(connection, StreamState::LookingUp { host, failures, start });
            }
            Ok(Login::Check(check)) => {
                let account = check.jid.clone();
                self.outputs.push_back(Output::CheckPassword { connection, check });
                self.set_state(connection, StreamState::Checking { host, failures, account });
            }
            Ok(Login::Done(identity, message)) if self.is_decided_outside(connection, host, &identity) => {
                self.set_state(connection, StreamState::Deciding { host, failures, identity, message });
            }
            Ok(Login::Done(identity, message)) => self.admit(connection, identity, message),
            Err(refused) => {
                self.note_failure(now, connection, host, &refused);
                let condition = refused.condition();
                self.metrics.auth_failures.with_label_values(&[condition.as_str()]).inc();
                self.send_frame(connection, sasl::failure(condition, refused.text().as_deref()));
                // RFC 6120 §6.4.5: the stream stays open for another try, a few times.
                let failures = failures + 1;
                if failures < MAX_LOGIN_FAILURES {
                    self.set_state(connection, StreamState::Authenticating { host, failures });
                } else {
                    self.fail_stream(now, connection, StreamCondition::PolicyViolation, None);
                }
            }
        }
    }

    fn on_restart(&mut self, now: Now, connection: ConnectionId, identity: Identity, to: Option<&str>) {
        let domain = identity.bare.domain().to_owned();
        self.send_open(connection, &domain);
        if to.is_some_and(|to| !to.eq_ignore_ascii_case(&domain)) {
            self.fail_stream(now, connection, StreamCondition::HostUnknown, None);
            return;
        }
        // BOSH has its own acknowledgements, and nothing to resume a session with.
        let carrier = self.streams.get(&connection).map(|stream| stream.carrier);
        let management = (carrier != Some(Carrier::Bosh)).then(sm::feature);
        self.send_frame(connection, stream::features([bind::feature()].into_iter().chain(management)));
        self.set_state(connection, StreamState::Binding { identity });
    }

    fn on_bind(
        &mut self,
        now: Now,
        connection: ConnectionId,
        identity: Identity,
        resource: Option<String>,
        iq: &Element,
    ) {
        let resource = resource.unwrap_or_else(|| format!("{:016x}", self.rng.random::<u64>()));
        let Ok(jid) = identity.bare.with_resource(&resource) else {
            self.send_frame(connection, iq_error(iq, &xmpp::StanzaError::new(Condition::BadRequest)));
            return;
        };
        // The client that binds has given its former session up; a client that takes a bound resource replaces it
        // (RFC 6120 §7.7.2.2).
        for ended in identity.former.iter().chain([&jid]) {
            self.end_session(now, ended, SessionEnd::Replaced);
        }
        if self.sessions.len() >= self.settings.limits.sessions {
            self.metrics.count_dropped("too_many_sessions");
            self.fail_stream(now, connection, StreamCondition::ResourceConstraint, None);
            return;
        }
        if self.settings.push_disco && !self.settings.hosts.is_service(&jid) {
            // Handled by the client only before its bind result.
            let host = self.streams.get(&connection).and_then(|stream| stream.origin.host.as_deref());
            let pushed = domain::pushed_disco(&self.settings, now, Asker { jid: &jid, host });
            self.send_frame(connection, pushed);
        }
        if self.settings.hosts.is_service(&jid) {
            tracing::info!(%jid, "service connected");
        }
        self.send_frame(connection, bind::result(iq, &jid));
        self.start_session(now, connection, jid.clone(), identity.login);
        self.set_bound(now, connection, jid);
    }

    fn on_resume(&mut self, now: Now, connection: ConnectionId, identity: &Identity, previd: &str, h: u32) {
        let session = self.resumable.get(previd).and_then(|jid| self.sessions.get_mut(jid));
        // The id alone does not do: whoever resumes has to be the same user (XEP-0198 §5).
        let Some(session) = session.filter(|session| session.jid.to_bare() == identity.bare) else {
            self.metrics.resumptions.with_label_values(&["unknown"]).inc();
            self.refuse_management(connection, Condition::ItemNotFound);
            return;
        };
        let jid = session.jid.clone();
        let attachment = session.attachment;
        let token = self.streams.get(&connection).map(|stream| stream.origin.token.clone()).unwrap_or_default();
        let resumed = session.acks.as_mut().map(|acks| (acks.handled(), acks.on_resume(h)));
        let Some((handled, Ok(missed))) = resumed else {
            self.metrics.resumptions.with_label_values(&["wrong_count"]).inc();
            self.end_session(now, &jid, SessionEnd::Misbehaved);
            self.fail_stream(now, connection, StreamCondition::UndefinedCondition, Some("wrong count of stanzas"));
            return;
        };
        session.attachment = Attachment::Attached(connection);
        match attachment {
            // The client noticed the loss first; the old connection may be half open.
            Attachment::Attached(old) => {
                if self.forget_stream(old).is_some() {
                    self.send_frame(old, stream::stream_error(StreamCondition::Conflict, None));
                    self.outputs.push_back(Output::Send { connection: old, frame: Frame::Close });
                    self.outputs.push_back(Output::Close { connection: old });
                }
            }
            Attachment::Hibernating { .. } => {
                self.metrics.hibernating_sessions.dec();
                self.timers.clear(&TimerKey::Session(jid.clone()));
            }
        }
        self.metrics.resumptions.with_label_values(&["resumed"]).inc();
        self.refresh_claims(now, &jid, token);
        tracing::debug!(%jid, missed = missed.len(), "session resumed");
        self.send_frame(connection, StreamManagement::Resumed { previd: previd.to_owned(), h: handled }.to_element());
        let has_missed = !missed.is_empty();
        for stanza in missed {
            self.metrics.stanzas_sent.inc();
            self.outputs.push_back(Output::Send { connection, frame: Frame::Stanza(stanza) });
        }
        if has_missed {
            self.send_frame(connection, StreamManagement::Request.to_element());
        }
        self.set_bound(now, connection, jid);
    }

    fn on_enable(&mut self, connection: ConnectionId, jid: &Jid, resume: bool) {
        let max = self.hibernation(jid);
        let limits = &self.settings.limits;
        let limits = QueueLimits { stanzas: limits.unacknowledged, bytes: limits.unacknowledged_bytes };
        let Some(session) = self.sessions.get_mut(jid) else { return };
        if session.acks.is_some() {
            self.refuse_management(connection, Condition::UnexpectedRequest);
            return;
        }
        // The stock client cuts the id at the first character outside [A-Za-z0-9_-].
        let id = resume.then(|| format!("{:032x}", self.rng.random::<u128>()));
        session.acks = Some(Acks::new(id.clone(), limits));
        let max_s = id.as_ref().map(|_| max.as_secs());
        if let Some(id) = &id {
            self.resumable.insert(id.clone(), jid.clone());
        }
        self.send_frame(connection, StreamManagement::Enabled { id, max_s }.to_element());
    }

    fn on_count_request(&mut self, connection: ConnectionId, jid: &Jid) {
        match self.sessions.get(jid).and_then(|session| session.acks.as_ref()) {
            Some(acks) => {
                let h = acks.handled();
                self.send_frame(connection, StreamManagement::Ack { h }.to_element());
            }
            None => self.refuse_management(connection, Condition::UnexpectedRequest),
        }
    }

    fn on_ack(&mut self, now: Now, connection: ConnectionId, jid: &Jid, h: u32) {
        let Some(acks) = self.sessions.get_mut(jid).and_then(|session| session.acks.as_mut()) else {
            self.metrics.count_dropped("ack_not_enabled");
            return;
        };
        if let Err(wrong) = acks.on_ack(h) {
            tracing::debug!(%jid, wrong.claimed, wrong.sent, "wrong count of handled stanzas");
            self.metrics.count_dropped("wrong_ack");
            let text = format!("h={} but {} stanzas were sent", wrong.claimed, wrong.sent);
            self.fail_stream(now, connection, StreamCondition::UndefinedCondition, Some(&text));
        }
    }

    fn refuse_management(&mut self, connection: ConnectionId, condition: Condition) {
        self.send_frame(connection, StreamManagement::Failed { condition, h: None }.to_element());
    }

    pub(crate) fn set_bound(&mut self, now: Now, connection: ConnectionId, jid: Jid) {
        self.set_state(connection, StreamState::Bound { jid });
        self.timers.set(TimerKey::Connection(connection), now.instant + self.settings.timeouts.probe_after);
    }

    pub(crate) fn set_state(&mut self, connection: ConnectionId, state: StreamState) {
        if let Some(stream) = self.streams.get_mut(&connection) {
            stream.state = state;
        }
    }
}
