//! How one endpoint comes to have a path and keys: ICE, then DTLS over the pair that ICE found, and SCTP inside of DTLS
//! (RFC 8445, 5764, 8831; demultiplexed by RFC 7983).
//!
//! Here: [`EndpointTransport`], sans-IO, which keeps these protocols together and a broken peer away from the others.
//! Not here: which datagram is whose and the timers of an endpoint's life (`videobridge`), media with the keys (`shard`).
//!
//! ```text
//!  datagram ─┬─ STUN ──► ice ─── pair
//!            └─ DTLS ──► dtls ─┬─ keys ─► SrtpSession
//!                   (from addresses   └─ data ─► sctp ─► ChannelText
//!                    that ICE validated)
//! ```

mod description;
mod event;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::{DtlsContext, DtlsRole, DtlsTransport};
use ice::{
    CheckResponder, DatagramKind, Generation, IceAgent, IceCredentials, IceRole, LocalAddress, LocalCandidate, Settled,
};
use model::{FiveTuple, PeerAddress};
use rand::RngCore;
use sctp::{DataChannel, SctpError, SctpRole};
use xmpp::jingle::{DtlsSetup, IceTransport};

use self::description::RemoteDescription;
pub(crate) use self::event::{Event, Failure, Received, SctpMode, TransportError};
use crate::shard::srtp_session::SrtpSession;

/// The transport of one endpoint.
///
/// After each other call: [`Self::poll_event`] until it answers `None`, so [`Self::poll_transmit`], then
/// [`Self::handle_timeout`] at [`Self::next_timeout`].
pub(crate) struct EndpointTransport {
    ice: IceAgent,
    dtls_context: Arc<DtlsContext>,
    dtls: Option<DtlsTransport>,
    remote: RemoteDescription,
    /// Keys of DTLS that wait to be taken.
    session: Option<SrtpSession>,
    sctp_mode: SctpMode,
    sctp: Option<DataChannel>,
    /// DTLS from addresses that ICE has heard from but not yet validated.
    early_dtls: Vec<(FiveTuple, Vec<u8>)>,
    /// Where DTLS last came from, for answers before a pair is selected.
    dtls_pair: Option<FiveTuple>,
    outgoing: VecDeque<(FiveTuple, Vec<u8>)>,
    events: VecDeque<Event>,
    deadlines: Deadlines,
    /// An ICE restart that the peer has not answered yet.
    unanswered_restart: Option<Generation>,
    /// Something was put in since [`Self::advance`].
    has_news: bool,
    is_over: bool,
}

/// When each protocol has something to do.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    ice: Instant,
    dtls: Option<Instant>,
    sctp: Option<Instant>,
}

impl Deadlines {
    fn next(&self) -> Instant {
        [self.dtls, self.sctp].into_iter().flatten().fold(self.ice, Instant::min)
    }
}

impl EndpointTransport {
    /// A transport with new credentials that waits for the peer's description.
    ///
    /// # Errors
    /// [`TransportError::Ice`] when a local address cannot be used, a matter of the bridge's configuration.
    pub(crate) fn new(
        addresses: &[LocalAddress],
        dtls_context: Arc<DtlsContext>,
        ice_role: IceRole,
        sctp_mode: SctpMode,
        now: Instant,
    ) -> Result<Self, TransportError> {
        let candidates = LocalCandidate::gather(addresses).map_err(TransportError::Ice)?;
        let tie_breaker = rand::rng().next_u64();
        let ice =
            IceAgent::new(now, random_credentials(), candidates, ice_role, tie_breaker).map_err(TransportError::Ice)?;
        let mut transport = Self {
            ice,
            dtls_context,
            dtls: None,
            remote: RemoteDescription::default(),
            session: None,
            sctp_mode,
            sctp: None,
            early_dtls: Vec::new(),
            dtls_pair: None,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            unanswered_restart: None,
            deadlines: Deadlines { ice: now, dtls: None, sctp: None },
            has_news: false,
            is_over: false,
        };
        transport.advance(now);
        Ok(transport)
    }

    /// What the peer is told: credentials and generation of ICE, candidates, fingerprint, setup.
    pub(crate) fn local_transport(&self) -> IceTransport {
        description::local_transport(&self.ice, &self.dtls_context, self.dtls_role())
    }

    /// The ufrag by which requests name this endpoint, the one of the newest ICE generation.
    pub(crate) fn local_ufrag(&self) -> &str {
        self.ice.local_credentials().ufrag()
    }

    /// All ufrags by which requests may name this endpoint.
    pub(crate) fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.local_ufrags()
    }

    /// Takes what the peer said, which may come in pieces and again. Candidates that are no UDP or IP address are left
    /// out, and so is all about a generation that is gone.
    ///
    /// # Errors
    /// [`TransportError`] when credentials or fingerprints are not usable; what was taken before stays. A fingerprint
    /// that the certificate shown does not match is no such error but the end of the transport.
    pub(crate) fn set_remote(&mut self, remote: &IceTransport, now: Instant) -> Result<(), TransportError> {
        if self.is_over {
            return Ok(());
        }
        let taken = self.contain(|transport| {
            let is_new_fingerprint = transport.remote.update(remote)?;
            description::apply_ice(&mut transport.ice, remote, now)?;
            if remote.ufrag.is_some() && remote.ice_generation == transport.unanswered_restart.map(|restart| restart.0)
            {
                transport.unanswered_restart = None;
            }
            if is_new_fingerprint && let Some(dtls) = &mut transport.dtls {
                match dtls.set_remote_fingerprints(transport.remote.fingerprints()) {
                    Ok(()) => {}
                    Err(error) => transport.fail(Failure::Dtls(error)),
                }
            }
            Ok(())
        });
        self.advance(now);
        taken.unwrap_or(Ok(()))
    }

    /// Begins an ICE restart and answers the new description. DTLS and media go on as they are. Asked again before the
    /// peer has answered, it is still the same restart (bridge.md §1.5).
    ///
    /// # Errors
    /// None that a transport which exists can meet.
    pub(crate) fn restart_ice(&mut self, now: Instant) -> Result<IceTransport, TransportError> {
        if self.unanswered_restart.is_none() {
            let restarted = self.contain(|transport| transport.ice.restart(now, random_credentials()));
            self.advance(now);
            let generation = restarted.unwrap_or(Ok(self.ice.generation())).map_err(TransportError::Ice)?;
            self.unanswered_restart = Some(generation);
        }
        Ok(self.local_transport())
    }

    /// Takes STUN or DTLS of this endpoint.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &[u8]) -> Received {
        if self.is_over {
            return Received::Dropped;
        }
        let is_taken = match DatagramKind::of(data) {
            DatagramKind::Stun => self.contain(|t| t.ice.handle_datagram(now, path, data).is_ok()),
            DatagramKind::Dtls => self.contain(|t| t.handle_dtls(now, path, data)),
            DatagramKind::Media | DatagramKind::Unknown => return Received::Dropped,
        };
        self.advance(now);
        // What ends the transport was not taken, and yet there is something to say about it.
        if is_taken == Some(true) || self.has_output() { Received::Handled } else { Received::Dropped }
    }

    /// Takes note that a TCP connection is closed: [`Self::path`] is another one from now on, or none.
    pub(crate) fn handle_path_closed(&mut self, now: Instant, path: FiveTuple) {
        if self.is_over {
            return;
        }
        self.early_dtls.retain(|(from, _)| *from != path);
        self.dtls_pair.take_if(|pair| *pair == path);
        self.contain(|transport| transport.ice.handle_path_closed(now, path));
        self.advance(now);
    }

    /// Lets time pass. Does nothing before [`Self::next_timeout`].
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_over || now < self.deadlines.next() {
            return;
        }
        self.contain(|transport| {
            if transport.deadlines.ice <= now {
                transport.ice.handle_timeout(now);
            }
            if transport.deadlines.dtls.is_some_and(|at| at <= now)
                && let Some(dtls) = &mut transport.dtls
                && let Err(error) = dtls.handle_timeout(now)
            {
                transport.fail(Failure::Dtls(error));
            }
            if transport.deadlines.sctp.is_some_and(|at| at <= now)
                && let Some(sctp) = &mut transport.sctp
            {
                sctp.handle_timeout(now);
            }
        });
        self.advance(now);
    }

    /// The next event. `None`: nothing more until the next input.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        if self.has_news {
            self.advance(now);
        }
        self.events.pop_front()
    }

    /// The next datagram to send, and where.
    pub(crate) fn poll_transmit(&mut self) -> Option<(FiveTuple, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// Whether there is something to send or to say.
    pub(crate) fn has_output(&self) -> bool {
        self.has_news || !self.outgoing.is_empty() || !self.events.is_empty()
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Instant {
        self.deadlines.next()
    }

    /// The keys of a handshake that went through ([`Event::DtlsConnected`]), once.
    pub(crate) fn take_session(&mut self) -> Option<SrtpSession> {
        self.session.take()
    }

    /// Where media may be sent to now; `None` while the peer is silent for so long that it may not (RFC 7675).
    pub(crate) fn path(&self) -> Option<FiveTuple> {
        self.ice.selected_pair()
    }

    /// Whose checks [`Self::responder`] answers; `None` while they are to come here.
    pub(crate) fn settled(&self) -> Option<Settled> {
        self.ice.settled().filter(|_| !self.is_over)
    }

    /// Who answers checks in place of this.
    pub(crate) fn responder(&self, now: Instant) -> Option<CheckResponder> {
        self.ice.responder(now).filter(|_| !self.is_over)
    }

    /// Takes note that a check on `path` was answered elsewhere; now and then of the `check` itself.
    pub(crate) fn note_answered(&mut self, at: Instant, path: FiveTuple, check: Option<&[u8]>) {
        self.contain(|transport| transport.ice.note_answered(at, path, check));
    }

    /// Whether the channel goes over it.
    pub(crate) fn has_sctp(&self) -> bool {
        self.sctp_mode != SctpMode::None
    }

    /// Sends a text on the data channel; without one, or when the endpoint does not read its own, it is dropped.
    pub(crate) fn send_channel_text(&mut self, text: &str) {
        if self.is_over {
            return;
        }
        let sent = self
            .contain(|transport| transport.sctp.as_mut().map_or(Err(SctpError::NotOpen), |sctp| sctp.send_text(text)));
        if let Some(Err(error)) = sent {
            tracing::debug!(%error, len = text.len(), "message on the data channel dropped");
        }
        self.has_news = true;
    }

    /// Whether an authenticated STUN request came from `remote`. The address may be forged: the answer to our check
    /// tells, and it comes from there too.
    pub(crate) fn is_known(&self, remote: PeerAddress) -> bool {
        self.ice.is_known(remote) || self.ice.is_validated(remote)
    }

    /// The addresses that [`Self::is_known`] is true of by their own messages.
    pub(crate) fn known(&self) -> Vec<PeerAddress> {
        self.ice.known().collect()
    }

    /// Whether a check of ours to `remote` was answered, so that it is no forged source address.
    pub(crate) fn is_validated(&self, remote: PeerAddress) -> bool {
        self.ice.is_validated(remote)
    }

    /// DTLS before and after ICE validated the address it comes from. A browser may be ready before we are: its
    /// ClientHello then overtakes the answer to our check, and is kept until that is in.
    fn handle_dtls(&mut self, now: Instant, pair: FiveTuple, datagram: &[u8]) -> bool {
        if !self.ice.is_validated(pair.peer()) {
            let is_kept = self.ice.is_known(pair.peer()) && self.early_dtls.len() < MAX_EARLY_DTLS;
            if is_kept {
                self.early_dtls.push((pair, datagram.to_vec()));
            }
            return is_kept;
        }
        self.dtls_pair = Some(pair);
        let role = self.dtls_role().unwrap_or(DtlsRole::Server);
        if self.dtls.is_none() && !self.start_dtls(now, role) {
            return false;
        }
        let Some(dtls) = &mut self.dtls else { return false };
        match dtls.handle_datagram(now, datagram) {
            Ok(()) => true,
            Err(error) => {
                self.fail(Failure::Dtls(error));
                false
            }
        }
    }

    fn start_dtls(&mut self, now: Instant, role: DtlsRole) -> bool {
        let started = DtlsTransport::new(now, &self.dtls_context, role).and_then(|mut dtls| {
            if !self.remote.fingerprints().is_empty() {
                dtls.set_remote_fingerprints(self.remote.fingerprints())?;
            }
            Ok(dtls)
        });
        match started {
            Ok(dtls) => {
                self.dtls = Some(dtls);
                true
            }
            Err(error) => {
                self.fail(Failure::Dtls(error));
                false
            }
        }
    }

    /// The role that is taken, or will be once DTLS starts: the peer's setup decides (RFC 5763 §5).
    fn dtls_role(&self) -> Option<DtlsRole> {
        self.dtls.as_ref().map(DtlsTransport::role).or_else(|| match self.remote.setup()? {
            DtlsSetup::Active => Some(DtlsRole::Server),
            DtlsSetup::Passive => Some(DtlsRole::Client),
            DtlsSetup::ActPass => None,
        })
    }

    /// Carries everything from one protocol to the next until all are quiet, and notes their deadlines.
    fn advance(&mut self, now: Instant) {
        self.has_news = false;
        if !self.is_over {
            self.contain(|transport| transport.drain(now));
        }
        if self.is_over {
            self.session = None;
            self.sctp = None;
            self.early_dtls.clear();
            // An owner that does not remove it at once is not woken for it again.
            self.deadlines = Deadlines { ice: now + OVER, dtls: None, sctp: None };
        }
    }

    fn drain(&mut self, now: Instant) {
        self.drain_ice(now);
        self.take_early_dtls(now);
        if self.dtls.is_none() && self.dtls_role() == Some(DtlsRole::Client) && self.ice.selected_pair().is_some() {
            self.start_dtls(now, DtlsRole::Client);
        }
        while !self.is_over {
            self.drain_dtls(now);
            if !self.drain_sctp() {
                break;
            }
        }
    }

    fn drain_ice(&mut self, now: Instant) {
        loop {
            match self.ice.poll_output() {
                ice::Output::Transmit(transmit) => self.outgoing.push_back((transmit.pair, transmit.payload)),
                ice::Output::Event(ice::Event::Connected(pair) | ice::Event::PairChanged(pair)) => {
                    self.events.push_back(Event::IceConnected { path: pair });
                }
                ice::Output::Event(ice::Event::Disconnected) => tracing::debug!("ICE heard nothing for a while"),
                ice::Output::Event(ice::Event::Failed) => tracing::debug!("ICE consent expired, sending nothing"),
                ice::Output::Event(ice::Event::RestartCompleted(generation)) => {
                    tracing::debug!(%generation, "ICE restarted");
                }
                ice::Output::Event(ice::Event::RestartTimedOut(generation)) => {
                    self.unanswered_restart = self.unanswered_restart.filter(|restart| *restart != generation);
                    tracing::debug!(%generation, "ICE restart timed out");
                }
                ice::Output::Timeout(at) => {
                    self.deadlines.ice = at.max(now);
                    break;
                }
            }
        }
    }

    fn take_early_dtls(&mut self, now: Instant) {
        if self.early_dtls.iter().any(|(pair, _)| self.ice.is_validated(pair.peer())) {
            for (pair, datagram) in std::mem::take(&mut self.early_dtls) {
                if !self.is_over {
                    self.handle_dtls(now, pair, &datagram);
                }
            }
        }
    }

    fn drain_dtls(&mut self, now: Instant) {
        while let Some(dtls) = &mut self.dtls {
            match dtls.poll_output() {
                dtls::Output::Transmit(datagram) => {
                    // Lost where no pair is: the flight is sent again.
                    if let Some(pair) = self.ice.selected_pair().or(self.dtls_pair) {
                        self.outgoing.push_back((pair, datagram));
                    }
                }
                dtls::Output::Event(dtls::Event::Connected(keys)) => self.on_dtls_connected(now, &keys),
                dtls::Output::Event(dtls::Event::Data(data)) => {
                    if let Some(sctp) = &mut self.sctp {
                        sctp.handle_datagram(now, &data);
                    }
                }
                dtls::Output::Event(dtls::Event::Closed) => self.on_dtls_closed(),
                dtls::Output::Timeout(at) => {
                    self.deadlines.dtls = Some(at);
                    break;
                }
            }
        }
    }

    fn on_dtls_connected(&mut self, now: Instant, keys: &dtls::KeyingMaterial) {
        match SrtpSession::new(keys) {
            Ok(session) => {
                self.events.push_back(Event::DtlsConnected { profile: session.profile() });
                self.session = Some(session);
            }
            Err(error) => return self.fail(Failure::Srtp(error)),
        }
        let role = match self.sctp_mode {
            SctpMode::None => return,
            SctpMode::Server => SctpRole::Server,
            SctpMode::Client => SctpRole::Client,
        };
        let started = DataChannel::new(now, role).and_then(|mut channel| {
            if role == SctpRole::Client {
                channel.open_channel(RELAY_CHANNEL_LABEL, RELAY_CHANNEL_PROTOCOL)?;
            }
            Ok(channel)
        });
        match started {
            Ok(channel) => self.sctp = Some(channel),
            Err(error) => self.fail(Failure::Sctp(error)),
        }
    }

    /// The peer said goodbye: nothing may be sent to it any more. The signalling, or its silence, ends the endpoint.
    fn on_dtls_closed(&mut self) {
        self.session = None;
        self.events.push_back(Event::DtlsClosed);
        self.deadlines.sctp = None;
        if self.sctp.take().is_some_and(|sctp| sctp.is_open()) {
            self.events.push_back(Event::ChannelClosed);
        }
    }

    /// Answers whether DTLS may have something to send now.
    fn drain_sctp(&mut self) -> bool {
        let mut has_sent = false;
        while let (Some(sctp), Some(dtls)) = (&mut self.sctp, &mut self.dtls) {
            match sctp.poll_output() {
                sctp::Output::Transmit(packet) => {
                    has_sent = true;
                    if let Err(error) = dtls.send(&packet) {
                        self.fail(Failure::Dtls(error));
                        return false;
                    }
                }
                sctp::Output::Event(sctp::Event::ChannelOpen { label, protocol }) => {
                    tracing::debug!(label, protocol, "data channel open");
                    self.events.push_back(Event::ChannelOpen);
                }
                sctp::Output::Event(sctp::Event::Text(text)) => self.events.push_back(Event::ChannelText(text)),
                sctp::Output::Event(sctp::Event::ChannelClosed) => self.events.push_back(Event::ChannelClosed),
                sctp::Output::Event(sctp::Event::Closed) => {
                    self.events.push_back(Event::ChannelClosed);
                    self.sctp = None;
                    self.deadlines.sctp = None;
                }
                sctp::Output::Timeout(at) => {
                    self.deadlines.sctp = Some(at);
                    break;
                }
            }
        }
        has_sent
    }

    fn fail(&mut self, failure: Failure) {
        if !self.is_over {
            self.is_over = true;
            self.events.push_back(Event::Failed(failure));
        }
    }

    /// Runs what ends in a protocol library. A panic there is this peer's end and nobody else's: `None`.
    fn contain<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Option<T> {
        // After a panic nothing of the libraries is called again but `drop`, so their state need not be whole.
        match catch_unwind(AssertUnwindSafe(|| call(self))) {
            Ok(answer) => Some(answer),
            Err(_) => {
                self.fail(Failure::Panicked);
                self.has_news = true;
                None
            }
        }
    }
}

impl fmt::Debug for EndpointTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointTransport")
            .field("ice", &self.ice)
            .field("dtls", &self.dtls)
            .field("sctp", &self.sctp)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

fn random_credentials() -> IceCredentials {
    let mut random = [0; IceCredentials::RANDOM_LEN];
    rand::rng().fill_bytes(&mut random);
    IceCredentials::from_random(&random)
}

/// A ClientHello with a post-quantum key share takes two datagrams; a browser repeats it a few times.
const MAX_EARLY_DTLS: usize = 8;

/// Label and protocol of the channel between two bridges (bridge.md §2.5).
const RELAY_CHANNEL_LABEL: &str = "default";
const RELAY_CHANNEL_PROTOCOL: &str = "http://jitsi.org/protocols/colibri";

/// The deadline of a transport that is over.
const OVER: Duration = Duration::from_secs(3_600);

#[cfg(test)]
pub(crate) mod test_peer;
#[cfg(test)]
mod tests;
