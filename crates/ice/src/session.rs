//! One generation of an agent: the check list of the `is` crate behind the limits that it does not have itself.
//!
//! `is` keeps every address that an authenticated message ever came from, and every mapped address that a response ever
//! named. Here both are counted, and past the limit the check list is built anew: addresses still in use come back with
//! their next message, forgotten ones do not. Not here: which generation carries the traffic (`agent`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};

use model::{FiveTuple, PeerAddress, TransportProtocol};

use crate::agent::IceRole;
use crate::{Generation, IceCredentials, IceError, LocalCandidate, RemoteCandidate, StunRefusal};

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
}

pub(crate) struct Session {
    generation: Generation,
    identity: Arc<Identity>,
    local: IceCredentials,
    remote: Option<IceCredentials>,
    agent: is::IceAgent,
    signalled: Vec<is::Candidate>,
    peers: Vec<Peer>,
    early: Vec<EarlyRequest>,
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
            peers: Vec::new(),
            early: Vec::new(),
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

    pub(crate) fn add_remote_candidate(&mut self, now: Instant, candidate: &RemoteCandidate) -> Result<(), IceError> {
        let candidate = candidate.to_is()?;
        if self.signalled.iter().any(|known| known.addr() == candidate.addr()) {
            return Ok(());
        }
        if self.signalled.len() >= MAX_REMOTE_CANDIDATES {
            return Err(IceError::TooManyRemoteCandidates { limit: MAX_REMOTE_CANDIDATES });
        }
        self.agent.add_remote_candidate(candidate.clone());
        self.signalled.push(candidate);
        self.agent.handle_timeout(now);
        Ok(())
    }

    /// Takes a STUN message of this generation. An error means that nothing changed.
    pub(crate) fn handle_stun(&mut self, now: Instant, pair: FiveTuple, datagram: &[u8]) -> Result<(), StunRefusal> {
        let message = StunMessage::parse(datagram).map_err(|_| StunRefusal::Malformed)?;
        let remote = pair.peer();
        if message.is_binding_request() {
            if !self.agent.accepts_message(&message) {
                return Err(StunRefusal::NotAccepted);
            }
            if self.remote.is_none() {
                self.keep_early(EarlyRequest { pair, message: datagram.to_vec() });
                return Ok(());
            }
            if !self.is_known(remote) && self.peers.len() >= MAX_PEER_ADDRESSES {
                self.rebuild(now);
            }
        } else {
            // RFC 8445 §7.2.5.2.1: a response counts only from the address that the request went to.
            let is_asked = self.is_known(remote) || self.signalled.iter().any(|c| c.addr() == remote.address);
            if !is_asked || self.remote.is_none() || !self.agent.accepts_message(&message) {
                return Err(StunRefusal::NotAccepted);
            }
            if self.is_mapping_unknown(&message) && self.agent.local_candidates().count() >= MAX_LOCAL_CANDIDATES {
                self.rebuild(now);
                return Err(StunRefusal::TooManyAddresses);
            }
        }
        let destination = self.candidate_for(pair);
        let packet = StunPacket { proto: is::Protocol::Udp, source: pair.remote, destination, message };
        if !self.agent.handle_packet(now, packet) {
            return Err(StunRefusal::NotAccepted);
        }
        self.note_peer(now, pair);
        // A new pair's first check, or the nomination that a response allows, leaves at once.
        self.agent.handle_timeout(now);
        Ok(())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(FiveTuple, Vec<u8>)> {
        let transmit = self.agent.poll_transmit()?;
        Some((self.pair_to(transmit.source, transmit.destination), transmit.contents.to_vec()))
    }

    /// The pair that `is` now wants to be used, if that changed.
    pub(crate) fn poll_nominated(&mut self) -> Option<FiveTuple> {
        loop {
            match self.agent.poll_event()? {
                is::IceAgentEvent::NominatedSend { source, destination, .. } => {
                    return Some(self.pair_to(source, destination));
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
        self.agent.has_viable_remote_candidate(remote.address)
    }

    /// Whether an authenticated message came from `remote`.
    pub(crate) fn is_known(&self, remote: PeerAddress) -> bool {
        self.peer(remote).is_some()
    }

    pub(crate) fn peer(&self, remote: PeerAddress) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.pair.peer() == remote)
    }

    /// The validated address that was heard last.
    pub(crate) fn freshest_validated(&self) -> Option<&Peer> {
        self.peers.iter().filter(|peer| self.is_validated(peer.pair.peer())).max_by_key(|peer| peer.last_heard)
    }

    pub(crate) fn round_trip_time(&self) -> Option<Duration> {
        self.agent.nominated_pair_rtt()
    }

    /// How often the check list was built anew because the peer used too many addresses.
    pub(crate) fn rebuilt(&self) -> u64 {
        self.rebuilt
    }

    /// The host candidate that a datagram came to. One may arrive at an address that is none: a wildcard socket that
    /// does not say which, or a port forwarding. It counts as if it had come to the first of its family.
    fn candidate_for(&self, pair: FiveTuple) -> SocketAddr {
        let mut hosts = self.identity.candidates.iter().filter(|c| c.address == c.base).map(|c| c.base);
        if hosts.clone().any(|host| host == pair.local) {
            return pair.local;
        }
        hosts.find(|host| host.is_ipv4() == pair.remote.is_ipv4()).unwrap_or(pair.local)
    }

    fn pair_to(&self, candidate: SocketAddr, remote: SocketAddr) -> FiveTuple {
        let path = FiveTuple { protocol: TransportProtocol::Udp, local: candidate, remote };
        self.peer(path.peer()).map_or(path, |peer| peer.pair)
    }

    fn is_mapping_unknown(&self, message: &StunMessage<'_>) -> bool {
        message.mapped_address().is_some_and(|mapped| !self.agent.local_candidates().any(|c| c.addr() == mapped))
    }

    fn note_peer(&mut self, now: Instant, pair: FiveTuple) {
        match self.peers.iter_mut().find(|peer| peer.pair.peer() == pair.peer()) {
            Some(peer) => *peer = Peer { pair, last_heard: now },
            None => self.peers.push(Peer { pair, last_heard: now }),
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
        self.peers.clear();
        self.rebuilt += 1;
    }
}

fn check_list(identity: &Identity, local: &IceCredentials) -> Result<is::IceAgent, IceError> {
    let mut agent = is::IceAgent::new(local.to_is());
    agent.set_controlling(identity.role == IceRole::Controlling);
    agent.set_control_tie_breaker(identity.tie_breaker);
    agent.set_timing_advance(TIMING_ADVANCE);
    agent.set_max_candidate_pairs(MAX_CANDIDATE_PAIRS);
    agent.set_local_preference(|_: &is::Candidate, same_kind: usize| {
        65_535u32.saturating_sub(u32::try_from(same_kind).unwrap_or(u32::MAX)).max(1)
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

/// Addresses that authenticated messages came from. A browser shows one an interface and NAT; a phone that roams adds
/// one at a time.
const MAX_PEER_ADDRESSES: usize = 32;

/// Own candidates, those found by mapped addresses in responses included.
const MAX_LOCAL_CANDIDATES: usize = 32;

/// Addresses whose last check is kept until the peer's credentials arrive.
const MAX_EARLY_REQUESTS: usize = 8;
