//! The transport of a participant, made of our own protocol crates in the roles of a browser: ICE controlled, or controlling
//! where it makes the offer, DTLS client unless the other side wants to be that, SCTP client (RFC 8445, 5764, 8831).
//!
//! Here: from descriptions to keys and an open data channel, sans-IO. Not here: sockets, media.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use dtls::{DtlsContext, DtlsRole, DtlsTransport, Fingerprint, KeyingMaterial, SrtpProfile};
use ice::{
    CandidateKind, Generation, IceAgent, IceCredentials, IceRole, LocalAddress, LocalCandidate, RemoteCandidate,
};
use model::FiveTuple;
use sctp::{DataChannel, SctpRole};
use srtp::{ProtectionProfile, SessionKeys};
use xmpp::jingle::{self, DtlsSetup, IceTransport};

/// What a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// STUN or DTLS.
    pub bytes: Vec<u8>,
}

/// A browser, as far as its transport goes.
pub struct Peer {
    address: SocketAddr,
    bridge: SocketAddr,
    ice: IceAgent,
    context: Arc<DtlsContext>,
    dtls: Option<DtlsTransport>,
    role: IceRole,
    dtls_role: DtlsRole,
    channels: Channels,
    channel: Option<DataChannel>,
    fingerprints: Vec<Fingerprint>,
    keys: Option<KeyingMaterial>,
    outgoing: Vec<Datagram>,
    texts: VecDeque<String>,
    /// When [`Self::handle_timeout`] is due.
    pub deadline: Instant,
}

/// Whether there is a data channel beside media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channels {
    /// The bridge channel.
    Bridge,
    None,
}

impl Peer {
    /// A peer at `address`, in front of which there is no NAT, that a bridge invites.
    ///
    /// # Errors
    /// When `address` cannot be a candidate.
    pub fn new(address: SocketAddr, context: Arc<DtlsContext>, now: Instant) -> anyhow::Result<Self> {
        Self::with(address, IceRole::Controlled, Channels::Bridge, context, now)
    }

    /// The same, for media only.
    ///
    /// # Errors
    /// When `address` cannot be a candidate.
    pub fn for_media(
        address: SocketAddr,
        role: IceRole,
        context: Arc<DtlsContext>,
        now: Instant,
    ) -> anyhow::Result<Self> {
        Self::with(address, role, Channels::None, context, now)
    }

    fn with(
        address: SocketAddr,
        role: IceRole,
        channels: Channels,
        context: Arc<DtlsContext>,
        now: Instant,
    ) -> anyhow::Result<Self> {
        let candidates = LocalCandidate::gather(&[LocalAddress::host(address)])?;
        let credentials = IceCredentials::from_random(&rand::random());
        Ok(Self {
            address,
            bridge: address,
            ice: IceAgent::new(now, credentials, candidates, role, rand::random())?,
            context,
            dtls: None,
            role,
            dtls_role: DtlsRole::Client,
            channels,
            channel: None,
            fingerprints: Vec::new(),
            keys: None,
            outgoing: Vec::new(),
            texts: VecDeque::new(),
            deadline: now,
        })
    }

    /// Credentials and fingerprint, without candidates: checks of ours tell the bridge where we are. Who controls has made the
    /// offer, and leaves the DTLS roles to the other side (RFC 8842 §5.2).
    #[must_use]
    pub fn description(&self) -> IceTransport {
        let credentials = self.ice.local_credentials();
        let fingerprint = self.context.fingerprint();
        let setup = match self.role {
            IceRole::Controlling => DtlsSetup::ActPass,
            IceRole::Controlled => DtlsSetup::Active,
        };
        IceTransport {
            ufrag: Some(credentials.ufrag().to_owned()),
            pwd: Some(credentials.pwd().to_owned()),
            rtcp_mux: true,
            fingerprints: vec![jingle::Fingerprint {
                hash: fingerprint.hash().as_str().to_owned(),
                value: fingerprint.to_string(),
                setup: Some(setup),
            }],
            ..IceTransport::default()
        }
    }

    /// Takes the bridge's description. Checks go to all its UDP candidates of our family.
    ///
    /// # Errors
    /// When it lacks credentials, fingerprints that can be read or such a candidate.
    pub fn take_description(&mut self, description: &IceTransport, now: Instant) -> anyhow::Result<()> {
        self.take_parameters(description, now)?;
        if self.bridge == self.address {
            return Err(anyhow!("no UDP candidate of the bridge"));
        }
        Ok(())
    }

    /// The same of a server that may tell its candidates later, or not at all.
    ///
    /// # Errors
    /// When it lacks credentials or fingerprints that can be read.
    pub fn take_parameters(&mut self, description: &IceTransport, now: Instant) -> anyhow::Result<()> {
        let (ufrag, pwd) = description.ufrag.as_ref().zip(description.pwd.as_ref()).context("no ICE credentials")?;
        let credentials = IceCredentials::from_signaling(ufrag, pwd)?;
        self.ice.set_remote_credentials(now, Generation::default(), credentials)?;
        for candidate in &description.candidates {
            self.add_candidate(candidate, now)?;
        }
        let is_client = |fingerprint: &jingle::Fingerprint| fingerprint.setup == Some(DtlsSetup::Active);
        self.dtls_role =
            if description.fingerprints.iter().any(is_client) { DtlsRole::Server } else { DtlsRole::Client };
        self.fingerprints = description
            .fingerprints
            .iter()
            .map(|fingerprint| Fingerprint::parse(&fingerprint.hash, &fingerprint.value))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Takes a candidate; one that is not of UDP, of another family or no address is passed over.
    ///
    /// # Errors
    /// When it cannot be used, or is one too many.
    pub fn add_candidate(&mut self, candidate: &jingle::Candidate, now: Instant) -> anyhow::Result<()> {
        let Ok(ip) = candidate.ip.parse() else { return Ok(()) };
        let address = SocketAddr::new(ip, candidate.port);
        if !candidate.protocol.eq_ignore_ascii_case("udp") || address.is_ipv4() != self.address.is_ipv4() {
            return Ok(());
        }
        let candidate = RemoteCandidate {
            foundation: candidate.foundation.clone(),
            transport: ice::CandidateTransport::Udp,
            kind: CandidateKind::Host,
            address,
            priority: candidate.priority,
        };
        self.ice.add_remote_candidate(now, Generation::default(), &candidate)?;
        if self.bridge == self.address {
            self.bridge = address;
        }
        Ok(())
    }

    /// Where media goes: before ICE chose a pair, the first candidate.
    #[must_use]
    pub const fn bridge(&self) -> SocketAddr {
        self.bridge
    }

    /// Whether ICE chose a pair.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.ice.selected_pair().is_some()
    }

    /// The keys of media, once the handshake is done.
    #[must_use]
    pub const fn keys(&self) -> Option<&KeyingMaterial> {
        self.keys.as_ref()
    }

    /// The same, ready for use.
    ///
    /// # Errors
    /// Keys of another length than the profile has.
    #[must_use]
    pub fn session_keys(&self) -> Option<anyhow::Result<SessionKeys>> {
        let keys = self.keys.as_ref()?;
        let profile = match keys.profile {
            SrtpProfile::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        };
        let role = match self.dtls_role {
            DtlsRole::Client => srtp::DtlsRole::Client,
            DtlsRole::Server => srtp::DtlsRole::Server,
        };
        Some(SessionKeys::from_dtls_export(profile, &keys.bytes, role).map_err(Into::into))
    }

    /// Whether texts can be sent.
    #[must_use]
    pub fn is_channel_open(&self) -> bool {
        self.channel.as_ref().is_some_and(DataChannel::is_open)
    }

    /// Sends a text on the data channel.
    ///
    /// # Errors
    /// When the channel is not open or takes no more.
    pub fn send_text(&mut self, text: &str) -> anyhow::Result<()> {
        let channel = self.channel.as_mut().ok_or_else(|| anyhow!("no data channel"))?;
        Ok(channel.send_text(text)?)
    }

    /// The next text that came on the data channel.
    pub fn poll_text(&mut self) -> Option<String> {
        self.texts.pop_front()
    }

    /// Takes a datagram of ICE.
    pub fn handle_stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        // A refusal changes nothing; a handshake that does not get on is noticed by its time.
        let _ = self.ice.handle_datagram(now, FiveTuple::udp(self.address, from), datagram);
    }

    /// Takes a datagram of DTLS.
    ///
    /// # Errors
    /// When it ends the connection.
    pub fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) -> anyhow::Result<()> {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_datagram(now, datagram)?;
        }
        Ok(())
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// When DTLS waited too long.
    pub fn handle_timeout(&mut self, now: Instant) -> anyhow::Result<()> {
        self.ice.handle_timeout(now);
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now)?;
        }
        if let Some(channel) = &mut self.channel {
            channel.handle_timeout(now);
        }
        Ok(())
    }

    /// Carries everything from one protocol to the next and answers what is to be sent. Call after every other call.
    ///
    /// # Errors
    /// When a protocol does not get on: consent that is lost, a handshake that is refused, a connection that the bridge closes.
    pub fn drain(&mut self, now: Instant) -> anyhow::Result<std::vec::Drain<'_, Datagram>> {
        self.deadline = loop {
            match self.ice.poll_output() {
                ice::Output::Transmit(transmit) => {
                    self.outgoing.push(Datagram { to: transmit.pair.remote, bytes: transmit.payload });
                }
                ice::Output::Event(ice::Event::Failed) => return Err(anyhow!("ICE lost the bridge")),
                ice::Output::Event(_) => {}
                ice::Output::Timeout(at) => break at,
            }
        };
        if let Some(pair) = self.ice.selected_pair() {
            self.bridge = pair.remote;
        }
        // Who answers may have a pair before its description has come here.
        if self.dtls.is_none() && self.is_connected() && !self.fingerprints.is_empty() {
            let mut dtls = DtlsTransport::new(now, &self.context, self.dtls_role)?;
            dtls.set_remote_fingerprints(&self.fingerprints)?;
            self.dtls = Some(dtls);
        }
        while self.drain_dtls(now)? && self.drain_sctp()? {}
        Ok(self.outgoing.drain(..))
    }

    /// Answers whether SCTP may have something to say.
    fn drain_dtls(&mut self, now: Instant) -> anyhow::Result<bool> {
        while let Some(dtls) = &mut self.dtls {
            match dtls.poll_output() {
                dtls::Output::Transmit(bytes) => self.outgoing.push(Datagram { to: self.bridge, bytes }),
                dtls::Output::Event(dtls::Event::Connected(keys)) => {
                    self.keys = Some(keys);
                    if self.channels == Channels::Bridge {
                        let mut channel = DataChannel::new(now, SctpRole::Client)?;
                        channel.open_channel("JVB data channel", "http://jitsi.org/protocols/colibri")?;
                        self.channel = Some(channel);
                    }
                }
                dtls::Output::Event(dtls::Event::Data(data)) => {
                    if let Some(channel) = &mut self.channel {
                        channel.handle_datagram(now, &data);
                    }
                }
                dtls::Output::Event(dtls::Event::Closed) => return Err(anyhow!("the bridge closed DTLS")),
                dtls::Output::Timeout(at) => {
                    self.deadline = self.deadline.min(at);
                    return Ok(self.channel.is_some());
                }
            }
        }
        Ok(false)
    }

    /// Answers whether DTLS has something to send.
    fn drain_sctp(&mut self) -> anyhow::Result<bool> {
        let mut has_sent = false;
        while let (Some(channel), Some(dtls)) = (&mut self.channel, &mut self.dtls) {
            match channel.poll_output() {
                sctp::Output::Transmit(packet) => {
                    dtls.send(&packet)?;
                    has_sent = true;
                }
                sctp::Output::Event(sctp::Event::Text(text)) => {
                    // A peer that nobody asks for texts keeps the latest.
                    if self.texts.len() >= MAX_TEXTS {
                        self.texts.pop_front();
                    }
                    self.texts.push_back(text);
                }
                sctp::Output::Event(
                    sctp::Event::ChannelOpen { .. } | sctp::Event::ChannelClosed | sctp::Event::Closed,
                ) => {}
                sctp::Output::Timeout(at) => {
                    self.deadline = self.deadline.min(at);
                    break;
                }
            }
        }
        Ok(has_sent)
    }
}

/// Texts that wait to be taken.
const MAX_TEXTS: usize = 256;
