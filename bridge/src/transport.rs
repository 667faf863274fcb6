//! The way to one client: ICE, DTLS-SRTP and the data channel over one address pair of the media port.
//!
//! ```text
//! datagram ─► first byte (RFC 7983) ─► STUN: ICE agent ─► selected pair
//!                                   ├► DTLS, from a validated address ─► keys, SCTP ─► bridge channel
//!                                   └► SRTP and SRTCP ─► plain packet, in place
//! ```
//! Here: how the protocols feed each other. Not here: the protocols (`ice`, `dtls`, `srtp`, `sctp`), what packets mean.
//!
//! A panic inside a library is contained: the endpoint has failed then, and nobody else notices.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use dtls::{DtlsContext, DtlsRole, DtlsTransport, KeyingMaterial, SrtpProfile};
use ice::{
    CandidateKind, DatagramKind, Generation, IceAgent, IceCredentials, IceError, IceRole, LocalAddress, LocalCandidate,
    RemoteCandidate, SelectedPair,
};
use jitsi_protocol::colibri2::{Candidate, DtlsSetup, Fingerprint, IceTransport};
use model::ExtSeqNum;
use net::SendQueue;
use rand::Rng;
use rtp::RtpParts;
use sctp::{DataChannel, SctpRole};
use srtp::{MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};

/// Whether a data channel is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SctpMode {
    /// The bridge channel is a WebSocket, or there is none.
    None,
    /// The client opens one.
    Server,
}

/// What a datagram turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// An RTP packet of `len` bytes stands decrypted where the datagram was.
    Rtp { len: usize, seq: ExtSeqNum },
    /// An RTCP compound of `len` bytes does.
    Rtcp { len: usize },
    /// It was for ICE, DTLS or SCTP: poll for what follows from it.
    Handled,
    /// It was nothing that this endpoint's peer would send.
    Dropped,
}

/// A turn in the life of the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The client can be reached there.
    IceConnected { remote: SocketAddr },
    /// Media can flow.
    DtlsConnected { profile: ProtectionProfile },
    /// The client opened its data channel.
    ChannelOpen,
    /// A message on it.
    ChannelText(String),
    /// It is closed.
    ChannelClosed,
    /// The endpoint cannot be reached any more; it has to be made anew.
    Failed(Failure),
}

/// Why a transport is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// DTLS said so.
    Dtls(String),
    /// The peer ended DTLS.
    Closed,
    /// A library panicked on what the peer sent.
    Panic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtls(reason) => write!(f, "DTLS: {reason}"),
            Self::Closed => f.write_str("the peer ended DTLS"),
            Self::Panic => f.write_str("a protocol library panicked"),
        }
    }
}

/// Parameters of the peer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("ICE parameters cannot be used")]
    Ice(#[from] IceError),
    #[error("DTLS parameters cannot be used")]
    Dtls(#[from] dtls::DtlsError),
    #[error("SCTP cannot start")]
    Sctp(#[from] sctp::SctpError),
}

/// ICE, DTLS-SRTP and SCTP with one client.
pub(crate) struct EndpointTransport {
    ice: IceAgent,
    dtls_context: Arc<DtlsContext>,
    dtls: DtlsTransport,
    dtls_role: DtlsRole,
    /// Where the peer's last handshake record came from, for answers before ICE has nominated a pair.
    dtls_pair: Option<SelectedPair>,
    srtp: Option<(SrtpSender, SrtpReceiver)>,
    sctp: Option<DataChannel>,
    /// Records for DTLS and datagrams for the socket, made while another call was under way.
    datagrams: VecDeque<(SelectedPair, Vec<u8>)>,
    events: VecDeque<Event>,
    deadline: Instant,
    /// Something was put in since the last poll.
    has_output: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Failed,
}

impl EndpointTransport {
    /// A transport that waits for its client.
    pub(crate) fn new(
        addresses: &[LocalAddress],
        dtls_context: Arc<DtlsContext>,
        ice_role: IceRole,
        sctp_mode: SctpMode,
        now: Instant,
    ) -> Result<Self, TransportError> {
        let credentials = random_credentials();
        let tie_breaker = rand::rng().random();
        let ice = IceAgent::new(now, credentials, LocalCandidate::gather(addresses)?, ice_role, tie_breaker)?;
        // Clients that are offered `actpass` answer `active` (RFC 5763 §5): their hello may come before their answer.
        let dtls_role = DtlsRole::Server;
        let dtls = DtlsTransport::new(now, &dtls_context, dtls_role)?;
        let sctp = match sctp_mode {
            SctpMode::None => None,
            SctpMode::Server => Some(DataChannel::new(now, SctpRole::Server)?),
        };
        Ok(Self {
            ice,
            dtls_context,
            dtls,
            dtls_role,
            dtls_pair: None,
            srtp: None,
            sctp,
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
            deadline: now,
            has_output: true,
            state: State::Running,
        })
    }

    /// What the client has to know: credentials of the newest ICE generation, candidates, fingerprint.
    pub(crate) fn local_transport(&self) -> IceTransport {
        let credentials = self.ice.local_credentials();
        let fingerprint = self.dtls_context.fingerprint();
        IceTransport {
            ufrag: Some(credentials.ufrag().to_owned()),
            pwd: Some(credentials.pwd().to_owned()),
            ice_generation: Some(self.ice.generation().0).filter(|generation| *generation > 0),
            rtcp_mux: true,
            fingerprints: vec![Fingerprint {
                hash: fingerprint.hash().as_str().to_owned(),
                value: fingerprint.to_string(),
                setup: Some(DtlsSetup::ActPass),
            }],
            candidates: self.ice.local_candidates().iter().map(to_signaling).collect(),
            ..IceTransport::default()
        }
    }

    /// Takes what the client says of itself; parts may come one by one.
    pub(crate) fn set_remote(&mut self, remote: &IceTransport, now: Instant) -> Result<(), TransportError> {
        let generation = Generation(remote.ice_generation.unwrap_or(self.ice.generation().0));
        if let (Some(ufrag), Some(pwd)) = (&remote.ufrag, &remote.pwd) {
            let credentials = IceCredentials::from_signaling(ufrag, pwd)?;
            self.ice.set_remote_credentials(now, generation, credentials)?;
        }
        for candidate in remote.candidates.iter().filter_map(from_signaling) {
            // None is needed: one that cannot be used is no reason to refuse the client.
            if let Err(error) = self.ice.add_remote_candidate(now, generation, &candidate) {
                tracing::debug!(%error, "ignored a remote candidate");
            }
        }
        if !remote.fingerprints.is_empty() {
            let setup = remote.fingerprints.iter().find_map(|fingerprint| fingerprint.setup);
            if setup == Some(DtlsSetup::Passive) && self.dtls_role == DtlsRole::Server && self.srtp.is_none() {
                self.dtls_role = DtlsRole::Client;
                self.dtls = DtlsTransport::new(now, &self.dtls_context, DtlsRole::Client)?;
            }
            let parsed = remote.fingerprints.iter().map(|known| dtls::Fingerprint::parse(&known.hash, &known.value));
            self.dtls.set_remote_fingerprints(&parsed.collect::<Result<Vec<_>, _>>()?)?;
        }
        self.has_output = true;
        Ok(())
    }

    /// Starts a new ICE generation and answers its parameters. Media stay on the old pair until the new one is there.
    pub(crate) fn restart_ice(&mut self, now: Instant) -> Result<IceTransport, TransportError> {
        self.ice.restart(now, random_credentials())?;
        self.has_output = true;
        Ok(self.local_transport())
    }

    /// The ufrag by which requests name this endpoint now.
    pub(crate) fn local_ufrag(&self) -> &str {
        self.ice.local_credentials().ufrag()
    }

    /// Whether a check to `remote` was answered, so that it is no forged source address.
    pub(crate) fn is_validated(&self, remote: SocketAddr) -> bool {
        self.ice.is_validated(remote)
    }

    /// Whether media can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        self.srtp.is_some() && self.ice.selected_pair().is_some()
    }

    /// Whether a poll is due before the timeout.
    pub(crate) const fn has_output(&self) -> bool {
        self.has_output
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) const fn next_timeout(&self) -> Instant {
        self.deadline
    }

    /// Takes a datagram that the demultiplexer found to be this endpoint's. Media are decrypted in place.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) -> Received {
        if self.state == State::Failed {
            return Received::Dropped;
        }
        match DatagramKind::of(datagram) {
            DatagramKind::Media => self.unprotect(datagram),
            DatagramKind::Stun => self.contained(|this| match this.ice.handle_datagram(now, local, remote, datagram) {
                Ok(()) => Received::Handled,
                Err(refusal) => {
                    tracing::trace!(?refusal, "dropped a STUN message");
                    Received::Dropped
                }
            }),
            // A handshake costs signatures: it is not begun for an address that anybody can forge.
            DatagramKind::Dtls if !self.ice.is_validated(remote) => Received::Dropped,
            DatagramKind::Dtls => self.contained(|this| {
                this.dtls_pair = Some(SelectedPair { local, remote });
                match this.dtls.handle_datagram(now, datagram) {
                    Ok(()) => {}
                    Err(error) => this.fail(Failure::Dtls(error.to_string())),
                }
                Received::Handled
            }),
            DatagramKind::Unknown => Received::Dropped,
        }
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Failed || now < self.deadline {
            return;
        }
        self.contained(|this| {
            this.ice.handle_timeout(now);
            if let Err(error) = this.dtls.handle_timeout(now) {
                this.fail(Failure::Dtls(error.to_string()));
            }
            if let Some(sctp) = this.sctp.as_mut().filter(|_| this.srtp.is_some()) {
                sctp.handle_timeout(now);
            }
            Received::Handled
        });
    }

    /// Puts what is to be sent into `out` and answers the next event; at `None` everything is done until the timeout.
    pub(crate) fn poll_event(&mut self, now: Instant, out: &mut SendQueue) -> Option<Event> {
        if self.state == State::Running {
            self.contained(|this| {
                this.advance(now);
                Received::Handled
            });
        }
        self.has_output = false;
        for (pair, datagram) in self.datagrams.drain(..) {
            out.push(pair.remote, Some(pair.local.ip()), &datagram);
        }
        self.events.pop_front()
    }

    /// Encrypts an RTP packet towards the client, right into the queue. Dropped while there is no way to it.
    pub(crate) fn send_rtp(&self, parts: &RtpParts<'_>, seq: ExtSeqNum, out: &mut SendQueue) {
        let (Some((sender, _)), Some(pair)) = (&self.srtp, self.ice.selected_pair()) else { return };
        let capacity = parts.len() + MAX_RTP_OVERHEAD;
        out.push_with(pair.remote, Some(pair.local.ip()), capacity, |space| {
            let protected = sender.protect_rtp(parts, seq, space);
            protected.inspect_err(|error| tracing::debug!(%error, "cannot protect a packet")).ok()
        });
    }

    /// Encrypts an RTCP compound towards the client, right into the queue. Dropped while there is no way to it.
    pub(crate) fn send_rtcp(&mut self, compound: &[u8], out: &mut SendQueue) {
        let (Some((sender, _)), Some(pair)) = (&mut self.srtp, self.ice.selected_pair()) else { return };
        let capacity = compound.len() + MAX_RTCP_OVERHEAD;
        out.push_with(pair.remote, Some(pair.local.ip()), capacity, |space| {
            let protected = sender.protect_rtcp(compound, space);
            protected.inspect_err(|error| tracing::debug!(%error, "cannot protect a report")).ok()
        });
    }

    /// Queues a message on the data channel. One that it cannot take is dropped: the channel is told all when it opens.
    pub(crate) fn send_channel_text(&mut self, text: &str) {
        self.contained(|this| {
            if let Some(sctp) = &mut this.sctp
                && let Err(error) = sctp.send_text(text)
            {
                tracing::debug!(%error, "dropped a bridge-channel message");
            }
            this.has_output = true;
            Received::Handled
        });
    }

    fn unprotect(&mut self, datagram: &mut [u8]) -> Received {
        let Some((_, receiver)) = &mut self.srtp else { return Received::Dropped };
        if rtp::is_rtcp(datagram) {
            return receiver.unprotect_rtcp(datagram).map_or(Received::Dropped, |len| Received::Rtcp { len });
        }
        match receiver.unprotect_rtp(datagram) {
            Ok(plain) => Received::Rtp { len: plain.len, seq: plain.seq },
            Err(_) => Received::Dropped,
        }
    }

    /// Lets each protocol say what it has to, and hands it to the next, until all are silent.
    fn advance(&mut self, now: Instant) {
        let ice_deadline = loop {
            match self.ice.poll_output() {
                ice::Output::Transmit(transmit) => self.datagrams.push_back((transmit.pair, transmit.payload)),
                ice::Output::Event(event) => self.on_ice_event(event),
                ice::Output::Timeout(at) => break at,
            }
        };
        let mut deadline = ice_deadline.min(self.advance_dtls(now));
        // Before DTLS is up, SCTP has nowhere to send.
        if self.srtp.is_some() && self.state == State::Running {
            deadline = deadline.min(self.advance_sctp());
            // What SCTP said went through DTLS, which has datagrams for it now.
            deadline = deadline.min(self.advance_dtls(now));
        }
        self.deadline = deadline;
    }

    fn on_ice_event(&mut self, event: ice::Event) {
        match event {
            ice::Event::Connected(pair) | ice::Event::PairChanged(pair) => {
                self.events.push_back(Event::IceConnected { remote: pair.remote });
            }
            ice::Event::Disconnected => tracing::debug!("ICE hears nothing"),
            // The agent goes on listening; the endpoint expires by inactivity if nothing comes (`videobridge`).
            ice::Event::Failed => tracing::debug!("ICE lost consent"),
            ice::Event::RestartCompleted(generation) => tracing::debug!(%generation, "ICE restarted"),
            ice::Event::RestartTimedOut(generation) => tracing::debug!(%generation, "ICE restart timed out"),
        }
    }

    fn advance_dtls(&mut self, now: Instant) -> Instant {
        // A client's hello waits until there is somebody to send it to.
        let Some(pair) = self.ice.selected_pair().or(self.dtls_pair) else { return self.deadline_without_dtls(now) };
        loop {
            match self.dtls.poll_output() {
                dtls::Output::Transmit(datagram) => self.datagrams.push_back((pair, datagram)),
                dtls::Output::Event(dtls::Event::Connected(keys)) => self.on_dtls_connected(&keys),
                dtls::Output::Event(dtls::Event::Data(record)) => {
                    if let Some(sctp) = &mut self.sctp {
                        sctp.handle_datagram(now, &record);
                    }
                }
                dtls::Output::Event(dtls::Event::Closed) => self.fail(Failure::Closed),
                dtls::Output::Timeout(at) => return at,
            }
        }
    }

    fn deadline_without_dtls(&self, now: Instant) -> Instant {
        now + IDLE
    }

    fn on_dtls_connected(&mut self, keys: &KeyingMaterial) {
        match srtp_session(keys) {
            Ok((profile, session)) => {
                self.srtp = Some(session);
                self.events.push_back(Event::DtlsConnected { profile });
            }
            Err(error) => self.fail(Failure::Dtls(error.to_string())),
        }
    }

    fn advance_sctp(&mut self) -> Instant {
        let Some(sctp) = &mut self.sctp else { return self.deadline + IDLE };
        loop {
            let event = match sctp.poll_output() {
                sctp::Output::Transmit(packet) => {
                    if let Err(error) = self.dtls.send(&packet) {
                        self.fail(Failure::Dtls(error.to_string()));
                        return self.deadline + IDLE;
                    }
                    continue;
                }
                sctp::Output::Timeout(at) => return at,
                sctp::Output::Event(sctp::Event::ChannelOpen { label, protocol }) => {
                    tracing::debug!(label, protocol, "data channel open");
                    Event::ChannelOpen
                }
                sctp::Output::Event(sctp::Event::Text(text)) => Event::ChannelText(text),
                sctp::Output::Event(sctp::Event::ChannelClosed | sctp::Event::Closed) => Event::ChannelClosed,
            };
            self.events.push_back(event);
        }
    }

    fn fail(&mut self, reason: Failure) {
        if self.state == State::Running {
            self.state = State::Failed;
            self.events.push_back(Event::Failed(reason));
        }
    }

    /// Runs a step of the libraries. One that panics fails this endpoint, and no other.
    fn contained(&mut self, step: impl FnOnce(&mut Self) -> Received) -> Received {
        match catch_unwind(AssertUnwindSafe(|| step(self))) {
            Ok(received) => received,
            Err(_) => {
                self.fail(Failure::Panic);
                Received::Handled
            }
        }
    }
}

/// How long a protocol without anything to do may sleep; input wakes it.
const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

fn random_credentials() -> IceCredentials {
    let mut random = [0; IceCredentials::RANDOM_LEN];
    // The thread's generator is cryptographic (ChaCha, seeded by the system).
    rand::rng().fill(&mut random);
    IceCredentials::from_random(&random)
}

fn srtp_session(keys: &KeyingMaterial) -> Result<(ProtectionProfile, (SrtpSender, SrtpReceiver)), srtp::SrtpError> {
    let profile = match keys.profile {
        SrtpProfile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let role = match keys.role {
        DtlsRole::Client => srtp::DtlsRole::Client,
        DtlsRole::Server => srtp::DtlsRole::Server,
    };
    let session = SessionKeys::from_dtls_export(profile, &keys.bytes, role)?;
    Ok((profile, (SrtpSender::new(&session.outbound)?, SrtpReceiver::new(&session.inbound)?)))
}

fn to_signaling(candidate: &LocalCandidate) -> Candidate {
    let is_host = candidate.kind == CandidateKind::Host;
    Candidate {
        id: format!("c{}", candidate.foundation),
        component: 1,
        foundation: candidate.foundation.to_string(),
        generation: 0,
        ip: candidate.address.ip().to_string(),
        port: candidate.address.port(),
        protocol: "udp".to_owned(),
        tcp_type: None,
        priority: candidate.priority,
        candidate_type: candidate.kind.as_str().to_owned(),
        network: 0,
        related: (!is_host).then(|| (candidate.base.ip().to_string(), candidate.base.port())),
    }
}

/// A candidate that can be sent to. Names (mDNS) are not looked up: the client's own checks reveal where it is.
fn from_signaling(candidate: &Candidate) -> Option<RemoteCandidate> {
    let is_usable = candidate.protocol.eq_ignore_ascii_case("udp") && candidate.component == 1;
    let ip: IpAddr = candidate.ip.parse().ok().filter(|_| is_usable)?;
    Some(RemoteCandidate {
        foundation: candidate.foundation.clone(),
        kind: CandidateKind::parse(&candidate.candidate_type)?,
        address: SocketAddr::new(ip.to_canonical(), candidate.port),
        priority: candidate.priority,
    })
}
