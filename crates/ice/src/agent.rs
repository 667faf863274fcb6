//! [`IceAgent`]: the generations of an endpoint's ICE, which pair carries the traffic, and whether the peer still
//! consents to it (RFC 8445 §8 and §9, RFC 7675).
//!
//! ```text
//!             first pair nominated          silent 10 s            silent 25 s
//!  Checking ───────────────────────► Connected ───────► Disconnected ───────► Failed
//!                                      │ ▲   ◄── heard ──────┘                  │
//!                      connection closed│ ├───────── a validated pair speaks ────┤
//!                                      ▼ │        15 s without another           │
//!                                      Closed ───────────────────────────────────┘
//! ```
//! A restart runs beside all this: the old generation keeps the traffic until the new one has a pair
//! (make before break), and answers checks for a few seconds more.
//!
//! Consent is any authenticated message of the peer on the pair, its own checks as well as answers to ours, where RFC 7675
//! §5.1 has answers only. COMPAT: Chromium 144 at times leaves checks of ours without answer (algesten/str0m#846). No pair
//! carries traffic before a check of ours to it was answered.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{FiveTuple, PeerAddress};

use crate::session::{Identity, Session};
use crate::{
    CheckResponder, Generation, IceCredentials, IceError, LocalCandidate, RemoteCandidate, Settled, StunDemux,
    StunRefusal,
};

/// Who nominates (RFC 8445 §6.1.1). A bridge is controlling towards clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    /// Nominates.
    Controlling,
    /// Follows.
    Controlled,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From where, to where.
    pub pair: FiveTuple,
    /// A STUN message.
    pub payload: Vec<u8>,
}

/// A turn in the life of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Traffic can flow on this pair: for the first time, after [`Event::Disconnected`] or after [`Event::Failed`].
    Connected(FiveTuple),
    /// Traffic moves to another pair.
    PairChanged(FiveTuple),
    /// Nothing authenticated was heard on the pair for [`IceAgent::DISCONNECTED_AFTER`]: keep sending. Or it was a TCP
    /// connection that is closed, with no other pair alive: [`IceAgent::selected_pair`] is `None` until there is one.
    Disconnected,
    /// Nothing was heard for [`IceAgent::CONSENT_TIMEOUT`]: stop sending (RFC 7675 §5.1). The agent goes on listening.
    Failed,
    /// The new generation has a pair and carries the traffic from here on.
    RestartCompleted(Generation),
    /// The new generation found no pair within [`IceAgent::RESTART_TIMEOUT`] and is gone; the old one stays.
    RestartTimedOut(Generation),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Note this.
    Event(Event),
    /// Nothing more until this instant or the next input.
    Timeout(Instant),
}

/// What was refused, since the agent exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IceCounters {
    /// Datagrams that are not STUN messages of use.
    pub malformed: u64,
    /// Messages with a wrong ufrag, password or transaction.
    pub not_accepted: u64,
    /// Messages over a protocol or an address family without a candidate of this side.
    pub no_candidate: u64,
    /// Check lists started over because the peer used too many addresses.
    pub check_list_rebuilt: u64,
}

/// A full ICE agent for one peer and one component, over UDP and passive TCP.
///
/// Call [`Self::poll_output`] after every other call that takes `&mut self`, until it answers [`Output::Timeout`].
pub struct IceAgent {
    identity: Arc<Identity>,
    active: Session,
    next: Option<Timed>,
    previous: Option<Timed>,
    state: State,
    /// What the active generation nominated last; traffic may be on another pair while this one is silent.
    nominated: Option<FiveTuple>,
    last_now: Instant,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    counters: IceCounters,
}

/// A generation beside the active one, and until when it is there.
struct Timed {
    session: Session,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Checking,
    Connected { pair: FiveTuple, heard: Instant },
    Disconnected { pair: FiveTuple, heard: Instant },
    Closed { since: Instant },
    Failed,
}

impl IceAgent {
    /// Browsers call a connection disconnected after a few seconds of silence; three checks in a row are lost by then.
    pub const DISCONNECTED_AFTER: Duration = Duration::from_secs(10);

    /// RFC 7675 §5.1 allows at most 30 s.
    pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(25);

    /// How long after the connection in use was closed another pair may come up: as long as a silent pair is given
    /// after it counts as disconnected.
    pub const RECONNECT_TIMEOUT: Duration = Duration::from_secs(15);

    /// The videobridge's limit for a restart.
    pub const RESTART_TIMEOUT: Duration = Duration::from_secs(20);

    /// How long the generation before a restart answers checks: packets of the old pair are still on their way.
    pub const TRANSITION_WINDOW: Duration = Duration::from_secs(3);

    /// An agent in generation 0. `local` and `tie_breaker` are random; `candidates` of [`LocalCandidate::gather`].
    ///
    /// # Errors
    /// [`IceError::UnusableAddress`] for a candidate that nobody could reach.
    pub fn new(
        now: Instant,
        local: IceCredentials,
        candidates: Vec<LocalCandidate>,
        role: IceRole,
        tie_breaker: u64,
    ) -> Result<Self, IceError> {
        let identity = Arc::new(Identity { candidates, role, tie_breaker });
        let active = Session::new(now, Generation::default(), local, Arc::clone(&identity))?;
        Ok(Self {
            identity,
            active,
            next: None,
            previous: None,
            state: State::Checking,
            nominated: None,
            last_now: now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            counters: IceCounters::default(),
        })
    }

    /// Takes the peer's credentials for a generation and begins to answer and to check. Checks that came earlier are
    /// answered now. The same credentials again are fine.
    ///
    /// # Errors
    /// [`IceError::UnknownGeneration`], or [`IceError::CredentialsChanged`] without a restart.
    pub fn set_remote_credentials(
        &mut self,
        now: Instant,
        generation: Generation,
        remote: IceCredentials,
    ) -> Result<(), IceError> {
        self.session_mut(generation)?.set_remote(now, remote)?;
        self.advance(now);
        Ok(())
    }

    /// Adds a candidate that the peer signalled for a generation. None is needed: checks of the peer reveal where it is.
    ///
    /// # Errors
    /// [`IceError::UnknownGeneration`], [`IceError::UnusableAddress`], [`IceError::TooManyRemoteCandidates`].
    pub fn add_remote_candidate(
        &mut self,
        now: Instant,
        generation: Generation,
        candidate: &RemoteCandidate,
    ) -> Result<(), IceError> {
        self.session_mut(generation)?.add_remote_candidate(now, candidate)?;
        self.advance(now);
        Ok(())
    }

    /// Begins an ICE restart with new credentials and answers its generation (RFC 8445 §9). A restart that is under way
    /// is given up for this one. DTLS and media stay where they are until [`Event::RestartCompleted`].
    ///
    /// # Errors
    /// None that an agent which exists can meet: its candidates were accepted before.
    pub fn restart(&mut self, now: Instant, local: IceCredentials) -> Result<Generation, IceError> {
        let newest = self.next.as_ref().map_or(self.active.generation(), |next| next.session.generation());
        let session = Session::new(now, newest.next(), local, Arc::clone(&self.identity))?;
        let generation = session.generation();
        self.next = Some(Timed { session, until: now + Self::RESTART_TIMEOUT });
        self.advance(now);
        Ok(generation)
    }

    /// Takes a datagram whose first byte says STUN. `path` is the way that it came.
    ///
    /// # Errors
    /// The reason for which it was dropped; it is counted and changes nothing.
    pub fn handle_datagram(&mut self, now: Instant, path: FiveTuple, datagram: &[u8]) -> Result<(), StunRefusal> {
        let result = match StunDemux::parse(datagram) {
            None => Err(StunRefusal::Malformed),
            Some(_) if path.remote.port() == 0 => Err(StunRefusal::Malformed),
            Some(StunDemux::BindingRequest { local_ufrag }) => {
                let session = self.sessions_mut().find(|s| s.local_credentials().ufrag() == local_ufrag);
                session.map_or(Err(StunRefusal::NotAccepted), |s| s.handle_stun(now, path, datagram))
            }
            // A transaction belongs to one generation; the others do not know it.
            Some(StunDemux::BindingResponse) => self
                .sessions_mut()
                .map(|session| session.handle_stun(now, path, datagram))
                .find(|result| *result != Err(StunRefusal::NotAccepted))
                .unwrap_or(Err(StunRefusal::NotAccepted)),
        };
        match result {
            Ok(()) => {}
            Err(StunRefusal::Malformed) => self.counters.malformed += 1,
            Err(StunRefusal::NotAccepted | StunRefusal::TooManyAddresses) => self.counters.not_accepted += 1,
            Err(StunRefusal::NoCandidate) => self.counters.no_candidate += 1,
        }
        self.advance(now);
        result
    }

    /// Takes note that a TCP connection is closed, by whichever side. If it carried the traffic, another pair does from
    /// now on; without one, [`Event::Disconnected`] follows, and [`Event::Failed`] after [`Self::RECONNECT_TIMEOUT`].
    pub fn handle_path_closed(&mut self, now: Instant, path: FiveTuple) {
        for session in self.sessions_mut() {
            session.handle_path_closed(now, path);
        }
        self.nominated.take_if(|nominated| *nominated == path);
        if self.selected_pair() == Some(path) {
            if let Some(pair) = self.active.best_validated(now, RECENT) {
                self.on_pair(now, pair);
            } else {
                if matches!(self.state, State::Connected { .. }) {
                    self.events.push_back(Event::Disconnected);
                }
                self.state = State::Closed { since: now };
            }
        }
        self.advance(now);
    }

    /// Lets time pass: checks, keep-alives, consent, the end of generations.
    pub fn handle_timeout(&mut self, now: Instant) {
        for session in self.sessions_mut() {
            session.handle_timeout(now);
        }
        self.advance(now);
    }

    /// The next thing to do. After [`Output::Timeout`] nothing is left until then or until the next input.
    pub fn poll_output(&mut self) -> Output {
        if let Some(transmit) = self.transmits.pop_front() {
            return Output::Transmit(transmit);
        }
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        Output::Timeout(self.next_deadline())
    }

    /// The pair that carries traffic; `None` before the first, while the connection in use is closed, and after
    /// [`Event::Failed`].
    pub fn selected_pair(&self) -> Option<FiveTuple> {
        match self.state {
            State::Connected { pair, .. } | State::Disconnected { pair, .. } => Some(pair),
            State::Checking | State::Closed { .. } | State::Failed => None,
        }
    }

    /// Whether a check of ours to `remote` was answered, so that it is no forged source address.
    pub fn is_validated(&self, remote: PeerAddress) -> bool {
        self.selected_pair().is_some_and(|pair| pair.peer() == remote)
            || self.sessions().any(|session| session.is_validated(remote))
    }

    /// Whether an authenticated STUN message came from `remote`; weaker than [`Self::is_validated`], and earlier.
    pub fn is_known(&self, remote: PeerAddress) -> bool {
        self.sessions().any(|session| session.is_known(remote))
    }

    /// Addresses that authenticated STUN messages came from. Checks that came before the peer's credentials count from
    /// [`Self::set_remote_credentials`] on.
    pub fn known(&self) -> impl Iterator<Item = PeerAddress> {
        self.sessions().flat_map(Session::known)
    }

    /// Credentials of the newest generation, for the signalling.
    pub fn local_credentials(&self) -> &IceCredentials {
        self.newest().local_credentials()
    }

    /// The newest generation: 0, or of the last restart.
    pub fn generation(&self) -> Generation {
        self.newest().generation()
    }

    /// The ufrags under which requests for this agent may arrive now: one, or two around a restart.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.sessions().map(|session| session.local_credentials().ufrag())
    }

    /// Candidates of this side, the same in every generation.
    pub fn local_candidates(&self) -> &[LocalCandidate] {
        &self.identity.candidates
    }

    /// Whose checks may be answered away from here by [`Self::responder`], which does not change with every input; `None`
    /// while there is something to decide: no pair yet, a silent one, or a restart.
    pub fn settled(&self) -> Option<Settled> {
        match self.state {
            State::Connected { pair, .. } if self.next.is_none() && self.previous.is_none() => {
                Some(Settled { pair, generation: self.active.generation(), role: self.active.role() })
            }
            State::Connected { .. }
            | State::Checking
            | State::Disconnected { .. }
            | State::Closed { .. }
            | State::Failed => None,
        }
    }

    /// Who answers checks on the pair of [`Self::settled`]. What it answers is to be told with [`Self::note_answered`].
    pub fn responder(&self, now: Instant) -> Option<CheckResponder> {
        self.active.responder(now, self.settled()?)
    }

    /// Notes that a [`CheckResponder`] answered a check that came on `pair`: the peer consents. With the `check` itself when it is
    /// the [agent's turn](CheckResponder::is_agents_turn) to see one.
    pub fn note_answered(&mut self, at: Instant, pair: FiveTuple, check: Option<&[u8]>) {
        self.active.note_heard(at, pair);
        if let Some(check) = check {
            self.active.note_answered(self.last_now.max(at), pair, check);
        }
    }

    /// What was refused so far.
    pub fn counters(&self) -> IceCounters {
        let check_list_rebuilt = self.sessions().map(Session::rebuilt).sum::<u64>() + self.counters.check_list_rebuilt;
        IceCounters { check_list_rebuilt, ..self.counters }
    }

    /// Everything that follows from input: nominations, consent, ends of generations, datagrams to send.
    fn advance(&mut self, now: Instant) {
        self.last_now = self.last_now.max(now);
        let now = self.last_now;
        while let Some(pair) = self.active.poll_nominated() {
            self.nominated = Some(pair);
            // When `is` gives a pair up, it nominates the next best of those it has not given up yet, silent or not.
            if self.active.peer(pair.peer()).is_some_and(|peer| peer.speaks(now, RECENT)) {
                self.on_pair(now, pair);
            }
        }
        self.advance_restart(now);
        self.advance_consent(now);
        let Self { active, next, previous, transmits, .. } = self;
        let others = [next, previous].into_iter().flatten().map(|timed| &mut timed.session);
        for session in std::iter::once(active).chain(others) {
            while let Some((pair, payload)) = session.poll_transmit(now) {
                transmits.push_back(Transmit { pair, payload });
            }
        }
    }

    fn advance_restart(&mut self, now: Instant) {
        let nominated = self.next.as_mut().and_then(|next| next.session.poll_nominated());
        if let (Some(pair), Some(Timed { session, .. })) = (nominated, self.next.take_if(|_| nominated.is_some())) {
            let generation = session.generation();
            let session = std::mem::replace(&mut self.active, session);
            self.forget_previous();
            self.previous = Some(Timed { session, until: now + Self::TRANSITION_WINDOW });
            self.nominated = Some(pair);
            self.on_pair(now, pair);
            self.events.push_back(Event::RestartCompleted(generation));
        }
        if let Some(Timed { session, .. }) = self.next.take_if(|next| now >= next.until) {
            self.events.push_back(Event::RestartTimedOut(session.generation()));
        }
        if self.previous.as_ref().is_some_and(|previous| now >= previous.until) {
            self.forget_previous();
        }
    }

    fn forget_previous(&mut self) {
        if let Some(Timed { session, .. }) = self.previous.take() {
            self.counters.check_list_rebuilt += session.rebuilt();
        }
    }

    fn advance_consent(&mut self, now: Instant) {
        let alive = self.active.best_validated(now, RECENT);
        let (pair, mut heard) = match (self.state, alive) {
            (State::Checking, _) => return,
            (State::Closed { .. } | State::Failed, Some(pair)) => return self.on_pair(now, pair),
            (State::Closed { since }, None) => {
                if now.duration_since(since) >= Self::RECONNECT_TIMEOUT && self.next.is_none() {
                    self.on_failed();
                }
                return;
            }
            (State::Failed, None) => return,
            (State::Connected { pair, heard } | State::Disconnected { pair, heard }, _) => (pair, heard),
        };
        if let Some(peer) = self.active.peer(pair.peer()) {
            heard = heard.max(peer.last_heard);
        }
        let silence = now.duration_since(heard);
        if silence >= FAIL_OVER_AFTER
            && let Some(other) = alive
            && other.peer() != pair.peer()
        {
            // A NAT gave the peer another address, or UDP is blocked from now on: `is` would stay with the old pair
            // until it has failed for good.
            self.on_pair(now, other);
        } else if let Some(nominated) = self.nominated
            && nominated.peer() != pair.peer()
            && let Some(peer) = self.active.peer(nominated.peer()).filter(|peer| peer.speaks(now, RECENT))
        {
            // The pair that was left as above is back before `is` gave it up, so `is` will not nominate it again.
            self.on_pair(now, peer.pair);
        } else if silence >= Self::CONSENT_TIMEOUT && self.next.is_none() {
            self.on_failed();
        } else if silence >= Self::DISCONNECTED_AFTER {
            if matches!(self.state, State::Connected { .. }) {
                self.events.push_back(Event::Disconnected);
            }
            self.state = State::Disconnected { pair, heard };
        } else {
            if matches!(self.state, State::Disconnected { .. }) {
                self.events.push_back(Event::Connected(pair));
            }
            self.state = State::Connected { pair, heard };
        }
    }

    fn on_failed(&mut self) {
        self.state = State::Failed;
        self.events.push_back(Event::Failed);
    }

    fn on_pair(&mut self, now: Instant, pair: FiveTuple) {
        match self.state {
            State::Checking | State::Closed { .. } | State::Failed | State::Disconnected { .. } => {
                self.events.push_back(Event::Connected(pair));
            }
            State::Connected { pair: old, .. } if old != pair => self.events.push_back(Event::PairChanged(pair)),
            State::Connected { .. } => {}
        }
        self.state = State::Connected { pair, heard: now };
    }

    fn next_deadline(&mut self) -> Instant {
        let consent = match self.state {
            State::Connected { heard, .. } => Some(heard + Self::DISCONNECTED_AFTER),
            State::Disconnected { heard, .. } if self.next.is_none() => Some(heard + Self::CONSENT_TIMEOUT),
            State::Closed { since } if self.next.is_none() => Some(since + Self::RECONNECT_TIMEOUT),
            State::Disconnected { .. } | State::Closed { .. } | State::Checking | State::Failed => None,
        };
        let ends = [&self.next, &self.previous].into_iter().flatten().map(|timed| timed.until).min();
        let checks = self.sessions_mut().filter_map(Session::poll_timeout).min();
        [consent, ends, checks].into_iter().flatten().min().unwrap_or(self.last_now + IDLE)
    }

    fn newest(&self) -> &Session {
        self.next.as_ref().map_or(&self.active, |next| &next.session)
    }

    fn session_mut(&mut self, generation: Generation) -> Result<&mut Session, IceError> {
        let Self { active, next, .. } = self;
        std::iter::once(active)
            .chain(next.iter_mut().map(|timed| &mut timed.session))
            .find(|session| session.generation() == generation)
            .ok_or(IceError::UnknownGeneration { generation: generation.0 })
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        let others = [&self.next, &self.previous].into_iter().flatten();
        std::iter::once(&self.active).chain(others.map(|timed| &timed.session))
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        let Self { active, next, previous, .. } = self;
        let others = [next, previous].into_iter().flatten();
        std::iter::once(active).chain(others.map(|timed| &mut timed.session))
    }
}

impl fmt::Debug for IceAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceAgent")
            .field("generation", &self.generation())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Silence on the pair in use after which another one that speaks takes over. Two keep-alives are lost by then.
const FAIL_OVER_AFTER: Duration = Duration::from_secs(6);

/// A pair speaks if it was heard this lately: more than one interval of a keep-alive, 3 s here and 2.5 s in Chrome.
const RECENT: Duration = Duration::from_secs(4);

/// When nothing is due at all.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
