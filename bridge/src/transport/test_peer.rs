//! The transport of a client, made of the same protocol crates as ours in their other roles, for tests in virtual time.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::OnceLock;

use model::ExtSeqNum;
use rtp::RtpParts;
use srtp::{ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};

use super::*;

/// A browser, as far as its transport goes.
pub(crate) struct TestPeer {
    /// The address that it sees itself at.
    pub(crate) address: SocketAddr,
    /// Where its bridge is.
    pub(crate) bridge: SocketAddr,
    pub(crate) ice: IceAgent,
    context: Arc<DtlsContext>,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) dtls: Option<DtlsTransport>,
    channel: Option<DataChannel>,
    srtp: Option<(SrtpSender, SrtpReceiver)>,
    /// The bridge's key of media, for who reads what it sent beside this.
    pub(crate) inbound: Option<srtp::MasterKey>,
    remote_fingerprints: Vec<dtls::Fingerprint>,
    pub(crate) outgoing: Vec<Vec<u8>>,
    /// What arrived, plain, with numbers without wrap.
    pub(crate) rtp: Vec<(u64, Vec<u8>)>,
    pub(crate) rtcp: Vec<Vec<u8>>,
    pub(crate) texts: Vec<String>,
    /// Media that was taken, to tell a copy that the network made from a number that the bridge gave twice.
    taken: HashSet<u64>,
}

impl TestPeer {
    pub(crate) fn new(address: SocketAddr, seed: u8, now: Instant) -> Self {
        let candidates = LocalCandidate::gather(&[LocalAddress::host(address)]).unwrap();
        let credentials = IceCredentials::from_random(&[seed; 24]);
        Self {
            address,
            bridge: bridge_address(),
            ice: IceAgent::new(now, credentials, candidates, IceRole::Controlled, u64::from(seed)).unwrap(),
            context: simulated_dtls_context(),
            dtls_role: DtlsRole::Client,
            dtls: None,
            channel: None,
            srtp: None,
            inbound: None,
            remote_fingerprints: Vec::new(),
            outgoing: Vec::new(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            texts: Vec::new(),
            taken: HashSet::new(),
        }
    }

    /// Without candidates, as the bridge needs none.
    pub(crate) fn description(&self) -> IceTransport {
        let role = Some(self.dtls_role);
        IceTransport { candidates: Vec::new(), ..description::local_transport(&self.ice, &self.context, role) }
    }

    pub(crate) fn take_description(&mut self, description: &IceTransport, now: Instant) {
        description::apply_ice(&mut self.ice, description, now).unwrap();
        let mut remote = RemoteDescription::default();
        remote.update(description).unwrap();
        self.remote_fingerprints = remote.fingerprints().to_vec();
    }

    pub(crate) fn channel_mut(&mut self) -> &mut DataChannel {
        self.channel.as_mut().unwrap()
    }

    pub(crate) fn is_channel_open(&self) -> bool {
        self.channel.as_ref().is_some_and(DataChannel::is_open)
    }

    /// Whether it has the keys of media.
    pub(crate) fn has_keys(&self) -> bool {
        self.srtp.is_some()
    }

    pub(crate) fn protect_rtp(&self, packet: &[u8], seq: u64) -> Vec<u8> {
        // Extensions belong to the header, which is not encrypted.
        let header_len = rtp::RtpView::parse(packet).unwrap().header_len();
        let parts = RtpParts { header: &packet[..header_len], prefix: &[], payload: &packet[header_len..] };
        let mut protected = vec![0; packet.len() + srtp::MAX_RTP_OVERHEAD];
        let len = self.srtp.as_ref().unwrap().0.protect_rtp(&parts, ExtSeqNum(seq), &mut protected).unwrap();
        protected.truncate(len);
        protected
    }

    pub(crate) fn protect_rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let mut protected = vec![0; compound.len() + srtp::MAX_RTCP_OVERHEAD];
        let len = self.srtp.as_mut().unwrap().0.protect_rtcp(compound, &mut protected).unwrap();
        protected.truncate(len);
        protected
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, mut datagram: Vec<u8>) {
        match DatagramKind::of(&datagram) {
            DatagramKind::Stun => {
                let _ = self.ice.handle_datagram(now, FiveTuple::udp(self.address, self.bridge), &datagram);
            }
            DatagramKind::Dtls => {
                if self.dtls.is_none() && self.dtls_role == DtlsRole::Server {
                    self.start_dtls(now);
                }
                if let Some(dtls) = &mut self.dtls {
                    dtls.handle_datagram(now, &datagram).unwrap();
                }
            }
            DatagramKind::Media => {
                let mut hasher = DefaultHasher::new();
                datagram.hash(&mut hasher);
                let is_copy = !self.taken.insert(hasher.finish());
                let Some((_, receiver)) = &mut self.srtp else { return };
                let error = if rtp::is_rtcp(&datagram) {
                    let opened = receiver.unprotect_rtcp(&mut datagram);
                    opened.map(|len| self.rtcp.push(datagram[..len].to_vec())).err()
                } else {
                    let opened = receiver.unprotect_rtp(&mut datagram);
                    opened.map(|plain| self.rtp.push((plain.seq.0, datagram[..plain.len].to_vec()))).err()
                };
                // The bridge never gives a number twice, nor one that a receiver cannot extend.
                assert!(is_copy || error.is_none(), "{error:?} at {}: {:?}", self.address, datagram.get(..12));
            }
            DatagramKind::Unknown => panic!("the bridge sent {datagram:?}"),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        if let Some(dtls) = &mut self.dtls {
            let _ = dtls.handle_timeout(now);
        }
        if let Some(channel) = &mut self.channel {
            channel.handle_timeout(now);
        }
    }

    fn start_dtls(&mut self, now: Instant) {
        let mut dtls = DtlsTransport::new(now, &self.context, self.dtls_role).unwrap();
        dtls.set_remote_fingerprints(&self.remote_fingerprints).unwrap();
        self.dtls = Some(dtls);
    }

    /// Fills `outgoing` and answers when something is due.
    pub(crate) fn drain(&mut self, now: Instant) -> Instant {
        let mut deadline = loop {
            match self.ice.poll_output() {
                ice::Output::Transmit(transmit) => self.outgoing.push(transmit.payload),
                ice::Output::Event(_) => {}
                ice::Output::Timeout(at) => break at,
            }
        };
        // A browser starts as soon as its own check is answered, whatever is nominated.
        if self.dtls.is_none()
            && self.dtls_role == DtlsRole::Client
            && self.ice.is_validated(PeerAddress::udp(self.bridge))
        {
            self.start_dtls(now);
        }
        let mut has_sent = true;
        while std::mem::take(&mut has_sent) {
            while let Some(dtls) = &mut self.dtls {
                match dtls.poll_output() {
                    dtls::Output::Transmit(datagram) => self.outgoing.push(datagram),
                    dtls::Output::Event(dtls::Event::Connected(keys)) => self.on_connected(now, &keys),
                    dtls::Output::Event(dtls::Event::Data(data)) => {
                        self.channel.as_mut().unwrap().handle_datagram(now, &data);
                    }
                    dtls::Output::Event(dtls::Event::Closed) => {}
                    dtls::Output::Timeout(at) => {
                        deadline = deadline.min(at);
                        break;
                    }
                }
            }
            while let (Some(channel), Some(dtls)) = (&mut self.channel, &mut self.dtls) {
                match channel.poll_output() {
                    sctp::Output::Transmit(packet) => has_sent |= dtls.send(&packet).is_ok(),
                    sctp::Output::Event(sctp::Event::Text(text)) => self.texts.push(text),
                    sctp::Output::Event(_) => {}
                    sctp::Output::Timeout(at) => {
                        deadline = deadline.min(at);
                        break;
                    }
                }
            }
        }
        deadline
    }

    fn on_connected(&mut self, now: Instant, keys: &dtls::KeyingMaterial) {
        let role = match keys.role {
            DtlsRole::Client => srtp::DtlsRole::Client,
            DtlsRole::Server => srtp::DtlsRole::Server,
        };
        assert_eq!(keys.profile, dtls::SrtpProfile::AeadAes256Gcm);
        let keys = SessionKeys::from_dtls_export(ProtectionProfile::AeadAes256Gcm, &keys.bytes, role).unwrap();
        self.inbound = Some(keys.inbound.clone());
        self.srtp = Some((SrtpSender::new(&keys.outbound).unwrap(), SrtpReceiver::new(&keys.inbound).unwrap()));
        let mut channel = DataChannel::new(now, SctpRole::Client).unwrap();
        channel.open_channel("JVB data channel", "http://jitsi.org/protocols/colibri").unwrap();
        self.channel = Some(channel);
    }
}

/// Where bridges of tests are.
pub(crate) fn bridge_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000))
}

/// One certificate for all: making one takes longer than most tests.
pub(crate) fn simulated_dtls_context() -> Arc<DtlsContext> {
    static CONTEXT: OnceLock<Arc<DtlsContext>> = OnceLock::new();
    CONTEXT.get_or_init(|| Arc::new(DtlsContext::for_simulation(7).unwrap())).clone()
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
