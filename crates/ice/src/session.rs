//! One generation of an agent: the check list of the `is` crate behind the limits that it does not have itself.
//!
//! `is` keeps every address that an authenticated message ever came from, and every mapped address that a response ever
//! named. Here both are counted, and past the limit the check list is built anew: addresses still in use come back with
//! their next message, forgotten ones do not.
//!
//! Over TCP this side is passive (RFC 6544 §6.2): it checks connections that the peer has opened, and never signalled
//! addresses. An address is always one of a protocol: the same port may be open over both.
//!
//! Not here: which generation carries the traffic (`agent`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket, TransId};

use model::{FiveTuple, PeerAddress, TransportProtocol};

use crate::agent::IceRole;
use crate::candidate::{local_preference, to_is_protocol};
use crate::checks::Checks;
use crate::relayed::relayed_priority;
use crate::{
    CandidateKind, CandidateTransport, CheckResponder, Generation, IceCredentials, IceError, LocalCandidate,
    RemoteCandidate, Settled, StunRefusal,
};

/// What never changes in the life of an agent, shared by its generations.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) candidates: Vec<LocalCandidate>,
    pub(crate) role: IceRole,
    pub(crate) tie_breaker: u64,
}

/// An address of the peer that proved to know the password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// `local` is the address that the datagram arrived at, which is where answers leave; it may be no candidate.
    pub(crate) pair: FiveTuple,
    pub(crate) last_heard: Instant,
    /// Whether a check of ours to it was answered (RFC 8445 §7.2.5.3), and it has not been silent for long since.
    pub(crate) is_validated: bool,
}

impl Peer {
    /// Whether it is validated and was heard within `recent`.
    pub(crate) fn speaks(&self, now: Instant, recent: Duration) -> bool {
        self.is_validated && now.saturating_duration_since(self.last_heard) < recent
    }
}

pub(crate) struct Session {
    generation: Generation,
    identity: Arc<Identity>,
    local: IceCredentials,
    remote: Option<IceCredentials>,
    agent: is::IceAgent,
    signalled: Vec<is::Candidate>,
    checks: Checks,
    peers: Vec<Peer>,
    /// Where connections came from that are closed: `is` no longer listens to these addresses.
    closed: Vec<SocketAddr>,
    early: Vec<EarlyRequest>,
    /// The transaction of a check that was answered elsewhere, whose answer `is` has ready too.
    answered: Option<TransId>,
    rebuilt: u64,
}

/// A check of the peer that came before its credentials did (RFC 8445 §7.3).
struct EarlyRequest {
    pair: FiveTuple,
    message: Vec<u8>,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        generation: Generation,
        local: IceCredentials,
        identity: Arc<Identity>,
    ) -> Result<Self, IceError> {
        let mut agent = check_list(&identity, &local)?;
        agent.handle_timeout(now);
        Ok(Self {
            generation,
            identity,
            local,
            remote: None,
            agent,
            signalled: Vec::new(),
            checks: Checks::default(),
            peers: Vec::new(),
            closed: Vec::new(),
            early: Vec::new(),
            answered: None,
            rebuilt: 0,
        })
    }

    /// Sets the peer's credentials and answers the checks that were waiting for them.
    pub(crate) fn set_remote(&mut self, now: Instant, remote: IceCredentials) -> Result<(), IceError> {
        match &self.remote {
            Some(known) if *known == remote => return Ok(()),
            Some(_) => return Err(IceError::CredentialsChanged),
            None => {}
        }
        self.agent.set_remote_credentials(remote.to_is());
        self.remote = Some(remote);
        for EarlyRequest { pair, message } in std::mem::take(&mut self.early) {
            // One with another remote ufrag than was signalled is refused here, as it would have been when it came.
            let _ = self.handle_stun(now, pair, &message);
        }
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Takes a candidate of the peer. One over TCP is checked and left: the peer connects to this side.
    pub(crate) fn add_remote_candidate(&mut self, now: Instant, candidate: &RemoteCandidate) -> Result<(), IceError> {
        let is_udp = candidate.transport == CandidateTransport::Udp;
        let candidate = candidate.to_is()?;
        if !is_udp || self.signalled.iter().any(|known| known.addr() == candidate.addr()) {
            return Ok(());
        }
        if self.signalled.len() >= MAX_REMOTE_CANDIDATES {
            return Err(IceError::TooManyRemoteCandidates { limit: MAX_REMOTE_CANDIDATES });
        }
        self.try_candidate(candidate.clone());
        self.signalled.push(candidate);
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Takes a STUN message of this generation. An error means that nothing changed.
    pub(crate) fn handle_stun(&mut self, now: Instant, pair: FiveTuple, datagram: &[u8]) -> Result<(), StunRefusal> {
        let message = StunMessage::parse(datagram).map_err(|_| StunRefusal::Malformed)?;
        let destination = self.candidate_for(pair).ok_or(StunRefusal::NoCandidate)?;
        let remote = pair.peer();
        if message.is_binding_request() {
            if !self.agent.accepts_message(&message) {
                return Err(StunRefusal::NotAccepted);
            }
            if self.remote.is_none() {
                self.keep_early(EarlyRequest { pair, message: datagram.to_vec() });
                return Ok(());
            }
            let is_reopened = remote.protocol == TransportProtocol::Tcp && self.closed.contains(&remote.address);
            let is_full = self.peers.len() + self.closed.len() >= MAX_PEER_ADDRESSES;
            if is_reopened || is_full && !self.is_known(remote) {
                self.rebuild(now);
            }
            self.rank_relayed(remote, message.prio());
        } else {
            // RFC 8445 §7.2.5.2.1: a response counts only from the address that the request went to.
            let is_asked = self.checks.is_asked(datagram, remote);
            if !is_asked || self.remote.is_none() || !self.agent.accepts_message(&message) {
                return Err(StunRefusal::NotAccepted);
            }
            let is_full = self.agent.local_candidates().count() >= self.identity.candidates.len() + MAX_OWN_REFLEXIVE;
            if is_full && self.is_mapping_unknown(&message) {
                self.rebuild(now);
                return Err(StunRefusal::TooManyAddresses);
            }
            self.checks.on_answered(datagram, remote);
        }
        let is_validated = message.is_successful_binding_response();
        let proto = to_is_protocol(pair.protocol);
        let packet = StunPacket { proto, source: pair.remote, destination, message };
        if !self.agent.handle_packet(now, packet) {
            return Err(StunRefusal::NotAccepted);
        }
        self.note_peer(now, pair, is_validated);
        // A new pair's first check, or the nomination that a response allows, leaves at once.
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Forgets a TCP connection that is closed, so that nothing is sent to it. The peer may open another.
    pub(crate) fn handle_path_closed(&mut self, now: Instant, path: FiveTuple) {
        self.early.retain(|early| early.pair != path);
        let Some(index) = self.peers.iter().position(|peer| peer.pair == path) else { return };
        self.peers.swap_remove(index);
        let proto = to_is_protocol(path.protocol);
        let candidate = self.agent.remote_candidates().find(|c| c.proto() == proto && c.addr() == path.remote);
        if candidate.is_some_and(|candidate| self.agent.invalidate_candidate(&candidate)) {
            self.closed.push(path.remote);
        }
        self.agent.handle_timeout(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for peer in &mut self.peers {
            peer.is_validated &= now.saturating_duration_since(peer.last_heard) < VALIDATED_FOR;
        }
        self.agent.handle_timeout(now);
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<(FiveTuple, Vec<u8>)> {
        let transmit = loop {
            let transmit = self.agent.poll_transmit()?;
            if !self.is_answered(&transmit.contents) {
                break transmit;
            }
        };
        let payload = transmit.contents.to_vec();
        let path = self.pair_to(transmit.proto, transmit.source, transmit.destination);
        self.checks.note_sent(now, &payload, path.peer());
        Some((path, payload))
    }

    /// The pair that `is` now wants to be used, if that changed.
    pub(crate) fn poll_nominated(&mut self) -> Option<FiveTuple> {
        loop {
            match self.agent.poll_event()? {
                is::IceAgentEvent::NominatedSend { proto, source, destination } => {
                    return Some(self.pair_to(proto, source, destination));
                }
                is::IceAgentEvent::IceRestart(_)
                | is::IceAgentEvent::IceConnectionStateChange(_)
                | is::IceAgentEvent::DiscoveredRecv { .. } => {}
            }
        }
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn local_credentials(&self) -> &IceCredentials {
        &self.local
    }

    /// Whether a check of ours to `remote` was answered: packets to it arrive (RFC 8445 §7.2.5.3).
    pub(crate) fn is_validated(&self, remote: PeerAddress) -> bool {
        self.peer(remote).is_some_and(|peer| peer.is_validated)
    }

    /// Whether an authenticated message came from `remote`.
    pub(crate) fn is_known(&self, remote: PeerAddress) -> bool {
        self.peer(remote).is_some()
    }

    /// Addresses that authenticated messages came from.
    pub(crate) fn known(&self) -> impl Iterator<Item = PeerAddress> {
        self.peers.iter().map(|peer| peer.pair.peer())
    }

    pub(crate) fn peer(&self, remote: PeerAddress) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.pair.peer() == remote)
    }

    /// The validated address to which traffic had best go of those heard within `recent`: one over UDP rather than one
    /// over TCP, then the one heard last.
    pub(crate) fn best_validated(&self, now: Instant, recent: Duration) -> Option<FiveTuple> {
        let alive = self.peers.iter().filter(|peer| peer.speaks(now, recent));
        let best = alive.max_by_key(|peer| (peer.pair.protocol == TransportProtocol::Udp, peer.last_heard));
        best.map(|peer| peer.pair)
    }

    /// The role in this generation, as a conflict may have left it.
    pub(crate) fn role(&self) -> IceRole {
        if self.agent.controlling() { IceRole::Controlling } else { IceRole::Controlled }
    }

    /// Who answers checks away from here, once the peer's credentials are known.
    pub(crate) fn responder(&self, now: Instant, settled: Settled) -> Option<CheckResponder> {
        Some(CheckResponder::new(now, settled, &self.local, self.remote.as_ref()?))
    }

    /// Notes that the peer was heard `at` on a pair that is known.
    pub(crate) fn note_heard(&mut self, at: Instant, pair: FiveTuple) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.pair == pair) {
            peer.last_heard = peer.last_heard.max(at);
        }
    }

    /// Shows `is` a check that was answered elsewhere already.
    pub(crate) fn note_answered(&mut self, now: Instant, pair: FiveTuple, check: &[u8]) {
        let Some((message, destination)) = StunMessage::parse(check).ok().zip(self.candidate_for(pair)) else { return };
        if self.is_known(pair.peer()) && self.agent.accepts_message(&message) {
            self.answered = Some(message.trans_id());
            let proto = to_is_protocol(pair.protocol);
            self.agent.handle_packet(now, StunPacket { proto, source: pair.remote, destination, message });
        }
    }

    /// Whether what `is` would send is the answer to a check that has one.
    fn is_answered(&mut self, contents: &[u8]) -> bool {
        let answers = |transaction: &mut TransId| {
            let message = StunMessage::parse(contents);
            message.is_ok_and(|message| message.is_successful_binding_response() && message.trans_id() == *transaction)
        };
        self.answered.take_if(answers).is_some()
    }

    /// How often the check list was built anew because the peer used too many addresses.
    pub(crate) fn rebuilt(&self) -> u64 {
        self.rebuilt
    }

    /// The host candidate that a datagram came to. One may arrive at an address that is none: a wildcard socket that
    /// does not say which, or a port forwarding. It counts as if it had come to the first of its family and protocol.
    fn candidate_for(&self, pair: FiveTuple) -> Option<SocketAddr> {
        let candidates = self.identity.candidates.iter();
        let mut hosts = candidates
            .filter(|c| c.kind == CandidateKind::Host && c.protocol() == pair.protocol)
            .map(|candidate| candidate.base);
        if hosts.clone().any(|host| host == pair.local) {
            return Some(pair.local);
        }
        hosts.find(|host| host.is_ipv4() == pair.remote.is_ipv4())
    }

    fn pair_to(&self, proto: is::Protocol, candidate: SocketAddr, remote: SocketAddr) -> FiveTuple {
        let protocol = if proto == is::Protocol::Udp { TransportProtocol::Udp } else { TransportProtocol::Tcp };
        let path = FiveTuple { protocol, local: candidate, remote };
        self.peer(path.peer()).map_or(path, |peer| peer.pair)
    }

    fn is_mapping_unknown(&self, message: &StunMessage<'_>) -> bool {
        message.mapped_address().is_some_and(|mapped| !self.agent.local_candidates().any(|c| c.addr() == mapped))
    }

    fn note_peer(&mut self, now: Instant, pair: FiveTuple, is_validated: bool) {
        match self.peers.iter_mut().find(|peer| peer.pair.peer() == pair.peer()) {
            Some(peer) => *peer = Peer { pair, last_heard: now, is_validated: peer.is_validated || is_validated },
            None => self.peers.push(Peer { pair, last_heard: now, is_validated }),
        }
    }

    /// Lets an address that a first check reveals as a relay count as one, not as the peer-reflexive candidate that `is`
    /// makes of an address it does not know.
    fn rank_relayed(&mut self, remote: PeerAddress, priority: Option<u32>) {
        let is_new = remote.protocol == TransportProtocol::Udp
            && !self.is_known(remote)
            && !self.signalled.iter().any(|known| known.addr() == remote.address);
        if let Some(priority) = priority.filter(|_| is_new).and_then(relayed_priority) {
            let (transport, kind) = (CandidateTransport::Udp, CandidateKind::Relayed);
            let foundation = "relayed".to_owned();
            let relay = RemoteCandidate { foundation, transport, kind, address: remote.address, priority };
            if let Ok(relay) = relay.to_is() {
                self.try_candidate(relay);
            }
        }
    }

    /// Has a candidate over UDP checked; not where a connection came from: `is` would take the one for the other, whose address
    /// is the same, and go on with its pair when it is closed. A check from there shows it all the same.
    fn try_candidate(&mut self, candidate: is::Candidate) {
        let connection = PeerAddress { protocol: TransportProtocol::Tcp, address: candidate.addr() };
        if !self.is_known(connection) {
            self.agent.add_remote_candidate(candidate);
        }
    }

    fn keep_early(&mut self, request: EarlyRequest) {
        if let Some(same) = self.early.iter_mut().find(|early| early.pair.peer() == request.pair.peer()) {
            *same = request;
        } else if self.early.len() < MAX_EARLY_REQUESTS {
            self.early.push(request);
        }
    }

    /// Starts the check list over with the same credentials, as if no address of the peer had been seen.
    fn rebuild(&mut self, now: Instant) {
        // The same candidates were accepted when this session was made.
        let Ok(mut agent) = check_list(&self.identity, &self.local) else { return };
        if let Some(remote) = &self.remote {
            agent.set_remote_credentials(remote.to_is());
        }
        for candidate in &self.signalled {
            agent.add_remote_candidate(candidate.clone());
        }
        agent.handle_timeout(now);
        self.agent = agent;
        self.checks.clear();
        self.peers.clear();
        self.closed.clear();
        self.rebuilt += 1;
    }
}

fn check_list(identity: &Identity, local: &IceCredentials) -> Result<is::IceAgent, IceError> {
    let mut agent = is::IceAgent::new(local.to_is());
    agent.set_controlling(identity.role == IceRole::Controlling);
    agent.set_control_tie_breaker(identity.tie_breaker);
    agent.set_timing_advance(TIMING_ADVANCE);
    agent.set_max_candidate_pairs(MAX_CANDIDATE_PAIRS);
    agent.set_local_preference(|candidate: &is::Candidate, same_kind: usize| {
        let is_udp = candidate.proto() == is::Protocol::Udp;
        let transport = if is_udp { CandidateTransport::Udp } else { CandidateTransport::TCP_PASSIVE };
        local_preference(transport, CandidateKind::Host, same_kind)
    });
    for candidate in &identity.candidates {
        agent.add_local_candidate(candidate.to_is()?);
    }
    Ok(agent)
}

/// Ta of RFC 8445 §14.2, which allows down to 5 ms; the videobridge's value, which keeps joins short.
const TIMING_ADVANCE: Duration = Duration::from_millis(20);

/// RFC 8445 §6.1.2.5 proposes 100; a peer of a bridge needs a handful, and every pair costs checks.
const MAX_CANDIDATE_PAIRS: usize = 100;

/// Browsers with several interfaces and TURN servers signal about ten.
const MAX_REMOTE_CANDIDATES: usize = 32;

/// Addresses that authenticated messages came from, connections that are closed included. A browser shows one an
/// interface, NAT and protocol; a phone that roams adds one at a time.
const MAX_PEER_ADDRESSES: usize = 32;

/// Own candidates found by mapped addresses in responses: one a NAT on the way to the peer.
const MAX_OWN_REFLEXIVE: usize = 32;

/// How long an address that is silent counts as validated: as long as RFC 7675 §5.1 lets consent be. A message of the
/// peer renews it as well as an answer does. COMPAT: Chromium 144 at times leaves checks of ours without answer while its
/// own go on (algesten/str0m#846).
const VALIDATED_FOR: Duration = Duration::from_secs(30);

/// Addresses whose last check is kept until the peer's credentials arrive.
const MAX_EARLY_REQUESTS: usize = 8;
