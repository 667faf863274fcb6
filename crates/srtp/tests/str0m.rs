//! Our packets against those of `str0m`, a second implementation. Its SRTP is private: two whole `str0m::Rtc` talk to each
//! other over ICE, with keys that the test chooses in place of a DTLS handshake, and the packets between them are ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp::RtpParts;
use srtp::{DtlsRole, MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion, KeyingMaterial};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile};
use str0m::media::MediaKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

const PROFILES: [(ProtectionProfile, &dyn DtlsProvider); 3] = [
    (ProtectionProfile::AeadAes128Gcm, &KnownKeys(SrtpProfile::AEAD_AES_128_GCM)),
    (ProtectionProfile::AeadAes256Gcm, &KnownKeys(SrtpProfile::AEAD_AES_256_GCM)),
    (ProtectionProfile::Aes128CmHmacSha1_80, &KnownKeys(SrtpProfile::AES128_CM_SHA1_80)),
];

const SSRC: u32 = 0xcafe_babe;

/// Some bytes as a DTLS exporter would give them.
fn export(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 29 + 3) as u8).collect()
}

#[test]
fn both_protect_to_the_same_bytes_and_read_each_other_across_the_wrap() {
    for (profile, provider) in PROFILES {
        let mut call = Call::new(profile, provider);
        call.connect();
        let (first, count) = (65_400, 300);
        let payloads: Vec<Vec<u8>> = (0..count).map(|i| vec![i as u8; (i * 7) % 1_100 + 1]).collect();
        for (seq, payload) in (first..).zip(&payloads) {
            call.write(seq, payload);
            call.run(Duration::from_millis(20));
        }
        // Until reports went both ways.
        call.run(Duration::from_secs(5));
        let (numbers, got): (Vec<u64>, Vec<Vec<u8>>) = call.received.iter().cloned().unzip();
        assert_eq!(numbers, (first..first + count as u64).collect::<Vec<_>>(), "{profile}");
        assert_eq!(got, payloads, "{profile}");
        let [active, passive] = [&call.active.judge, &call.passive.judge];
        assert_eq!(active.rtp_packets, count, "{profile}");
        assert!(active.rtcp_packets > 1 && passive.rtcp_packets > 1, "{profile}");
    }
}

/// Two sides, and a network without delay that judges what it carries.
struct Call {
    now: Instant,
    active: Side,
    passive: Side,
    received: Vec<(u64, Vec<u8>)>,
}

struct Side {
    rtc: Rtc,
    address: SocketAddr,
    judge: Judge,
}

impl Side {
    fn new(profile: ProtectionProfile, provider: &'static dyn DtlsProvider, role: DtlsRole, now: Instant) -> Self {
        let address = match role {
            DtlsRole::Client => SocketAddr::from(([1, 1, 1, 1], 1000)),
            DtlsRole::Server => SocketAddr::from(([2, 2, 2, 2], 2000)),
        };
        Self { rtc: rtc(provider, now), address, judge: Judge::new(profile, role) }
    }
}

impl Call {
    fn new(profile: ProtectionProfile, provider: &'static dyn DtlsProvider) -> Self {
        let now = start();
        let mut active = Side::new(profile, provider, DtlsRole::Client, now);
        let mut passive = Side::new(profile, provider, DtlsRole::Server, now);
        let [own, other] = [&active, &passive].map(|side| Candidate::host(side.address, "udp").expect("a candidate"));
        let [own_secret, other_secret] =
            [&mut active, &mut passive].map(|side| side.rtc.direct_api().local_ice_credentials());
        for (side, is_active, local, remote, secret) in
            [(&mut active, true, &own, &other, other_secret), (&mut passive, false, &other, &own, own_secret)]
        {
            side.rtc.add_local_candidate(local.clone());
            side.rtc.add_remote_candidate(remote.clone());
            let mut api = side.rtc.direct_api();
            api.set_remote_ice_credentials(secret);
            api.set_ice_controlling(is_active);
            api.start_dtls(is_active).expect("the known keys always start");
            side.rtc.handle_input(Input::Timeout(now)).expect("time begins");
        }
        Self { now, active, passive, received: Vec::new() }
    }

    fn connect(&mut self) {
        self.run(Duration::from_secs(3));
        assert!(self.active.rtc.is_connected() && self.passive.rtc.is_connected());
        let mid = "aud".into();
        self.active.rtc.direct_api().declare_media(mid, MediaKind::Audio);
        self.active.rtc.direct_api().declare_stream_tx(SSRC.into(), None, mid, None);
        self.passive.rtc.direct_api().declare_media(mid, MediaKind::Audio);
        self.passive.rtc.direct_api().expect_stream_rx(SSRC.into(), None, mid, None);
    }

    fn write(&mut self, seq: u64, payload: &[u8]) {
        let mut opus = self.active.rtc.codec_config().iter();
        let opus = opus.find(|codec| codec.spec().codec == str0m::format::Codec::Opus).expect("Opus is known").pt();
        let mut api = self.active.rtc.direct_api();
        let stream = api.stream_tx(&SSRC.into()).expect("the stream is declared");
        stream.write_rtp(RtpWrite::new(opus, seq.into(), seq as u32 * 960, self.now, payload));
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        loop {
            let (mut next, mut is_idle) = (end, true);
            for is_active in [true, false] {
                let (side, peer) = if is_active {
                    (&mut self.active, &mut self.passive)
                } else {
                    (&mut self.passive, &mut self.active)
                };
                match side.rtc.poll_output().expect("nothing fails") {
                    Output::Timeout(at) => {
                        next = next.min(at);
                        continue;
                    }
                    Output::Event(Event::RtpPacket(packet)) => {
                        self.received.push((*packet.seq_no, packet.payload.to_vec()));
                    }
                    Output::Event(_) => {}
                    Output::Transmit(transmit) => {
                        let datagram = side.judge.judge(&transmit.contents);
                        let receive = Receive {
                            proto: Protocol::Udp,
                            source: side.address,
                            destination: peer.address,
                            contents: datagram.as_slice().try_into().expect("a datagram"),
                        };
                        peer.rtc.handle_input(Input::Receive(self.now, receive)).expect("it is taken");
                    }
                }
                is_idle = false;
            }
            if !is_idle {
                continue;
            }
            // A time-out in the past is one that is due.
            self.now = next.max(self.now + Duration::from_millis(1));
            for side in [&mut self.active, &mut self.passive] {
                side.rtc.handle_input(Input::Timeout(self.now)).expect("time passes");
            }
            if self.now >= end {
                return;
            }
        }
    }
}

/// Reads what one side sends and writes it again.
struct Judge {
    profile: ProtectionProfile,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    rtp_packets: usize,
    rtcp_packets: usize,
}

impl Judge {
    /// For what a side of this role sends.
    fn new(profile: ProtectionProfile, role: DtlsRole) -> Self {
        let export = export(profile.keying_material_len());
        let keys = SessionKeys::from_dtls_export(profile, &export, role).expect("the length is the profile's");
        Self {
            profile,
            sender: SrtpSender::new(&keys.outbound).expect("the key fits"),
            receiver: SrtpReceiver::new(&keys.outbound).expect("the key fits"),
            rtp_packets: 0,
            rtcp_packets: 0,
        }
    }

    /// The datagram as we would have sent it.
    fn judge(&mut self, datagram: &[u8]) -> Vec<u8> {
        let ours = match datagram {
            [128..=191, 192..=223, ..] => self.rewrite_rtcp(datagram),
            [128..=191, ..] => self.rewrite_rtp(datagram),
            _ => return datagram.to_vec(),
        };
        assert_eq!(ours, datagram, "{}", self.profile);
        ours
    }

    fn rewrite_rtp(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut plain = datagram.to_vec();
        let got = self.receiver.unprotect_rtp(&mut plain).expect("we can read it");
        let (header, payload) = plain[..got.len].split_at(got.header.header_len());
        let mut ours = vec![0; got.len + MAX_RTP_OVERHEAD];
        let parts = RtpParts { header, prefix: &[], payload };
        let len = self.sender.protect_rtp(&parts, got.seq, &mut ours).expect("there is room");
        ours.truncate(len);
        self.rtp_packets += 1;
        ours
    }

    fn rewrite_rtcp(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut plain = datagram.to_vec();
        let len = self.receiver.unprotect_rtcp(&mut plain).expect("we can read it");
        self.rtcp_packets += 1;
        let mut protect = || {
            let mut ours = vec![0; len + MAX_RTCP_OVERHEAD];
            let len = self.sender.protect_rtcp(&plain[..len], &mut ours).expect("there is room");
            ours.truncate(len);
            ours
        };
        // We count from 0; who counts from 1 is met with the second of the first packet.
        let ours = protect();
        if ours == datagram { ours } else { protect() }
    }
}

fn rtc(provider: &'static dyn DtlsProvider, now: Instant) -> Rtc {
    let crypto = CryptoProvider { dtls_provider: provider, ..str0m::crypto::from_feature_flags() };
    Rtc::builder()
        .set_crypto_provider(Arc::new(crypto))
        .set_dtls_cert(DtlsCert { certificate: vec![0; 32], private_key: vec![0; 32] })
        .set_fingerprint_verification(false)
        .set_rtp_mode(true)
        .build(now)
}

/// DTLS that is connected at once, with keys that are known beforehand.
#[derive(Debug)]
struct KnownKeys(SrtpProfile);

impl DtlsProvider for KnownKeys {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    fn new_dtls(
        &self,
        _cert: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Connected { profile: self.0, is_active: false, told: 0, now }))
    }
}

#[derive(Debug)]
struct Connected {
    profile: SrtpProfile,
    is_active: bool,
    /// Events that were polled.
    told: u8,
    now: Instant,
}

impl DtlsInstance for Connected {
    fn set_active(&mut self, active: bool) {
        self.is_active = active;
    }

    fn handle_packet(&mut self, _packet: &[u8]) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn poll_output<'a>(&mut self, _buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.told = self.told.saturating_add(1);
        match self.told {
            1 => DtlsOutput::Connected,
            2 => {
                let export = export(self.profile.keying_material_len());
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(&export), self.profile)
            }
            _ => DtlsOutput::Timeout(self.now + Duration::from_secs(3_600)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        self.is_active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        Some(ProtocolVersion::DTLS1_2)
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
fn start() -> Instant {
    Instant::now()
}
