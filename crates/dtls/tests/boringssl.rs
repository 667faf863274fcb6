//! Both roles against BoringSSL, a foreign judge of DTLS 1.3 (RFC 9147) and again of 1.2: version, profile, export, both
//! certificates, data, and any datagram of it lost, late or doubled. All in virtual time: a seed repeats its run, but for
//! keys and random numbers.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test, its helpers included")]

mod boring;

use std::sync::Arc;
use std::time::Duration;

use ::boring::ssl::SslVersion;
use boring::{BoringPeer, Identity, Offer};
use dtls::{
    DtlsContext, DtlsError, DtlsRole, DtlsTransport, DtlsVersion, Event, Fingerprint, HashFunction, KeyingMaterial,
    Output, SrtpProfile,
};
use sim::{Conditions, Network};

const ROLES: [DtlsRole; 2] = [DtlsRole::Client, DtlsRole::Server];
const ONLY_13: (SslVersion, SslVersion) = (SslVersion::DTLS1_3, SslVersion::DTLS1_3);
const ONLY_12: (SslVersion, SslVersion) = (SslVersion::DTLS1_2, SslVersion::DTLS1_2);
const BOTH: (SslVersion, SslVersion) = (SslVersion::DTLS1_2, SslVersion::DTLS1_3);

const PATH: Conditions = Conditions::clean(Duration::from_millis(20)).with_jitter(Duration::from_millis(10));

#[test]
fn both_agree_on_version_profile_keys_and_certificates() {
    let world = World::new();
    for role in ROLES {
        for (versions, version) in [(ONLY_13, DtlsVersion::Dtls13), (ONLY_12, DtlsVersion::Dtls12)] {
            for (profiles, profile) in [
                ("SRTP_AEAD_AES_128_GCM", SrtpProfile::AeadAes128Gcm),
                ("SRTP_AEAD_AES_256_GCM", SrtpProfile::AeadAes256Gcm),
                ("SRTP_AES128_CM_SHA1_80", SrtpProfile::Aes128CmSha1_80),
            ] {
                let took = world.converse(role, Offer { versions, profiles }, PATH, 0).unwrap();
                assert_eq!((took.version, took.profile), (version, profile), "{role:?}");
            }
        }
    }
}

/// Nothing waits for a timer: three flights of 20 ms in 1.3 (RFC 9147 §5.1), four in 1.2 (RFC 6347 §4.2.4).
#[test]
fn a_clean_path_costs_no_more_than_its_flights() {
    let world = World::new();
    for role in ROLES {
        for (versions, flights) in [(ONLY_13, 3), (ONLY_12, 4)] {
            let offer = Offer { versions, profiles: "SRTP_AEAD_AES_128_GCM" };
            let clean = Conditions::clean(Duration::from_millis(20));
            let took = world.converse(role, offer, clean, 0).unwrap();
            assert_eq!(took.connected_after, clean.latency * flights, "{role:?} {:?}", took.version);
        }
    }
}

/// The table of the crate's README.
#[test]
fn a_server_takes_the_version_that_leaves_aes_gcm() {
    let world = World::new();
    let take = |profiles| {
        let took = world.converse(DtlsRole::Server, Offer { versions: BOTH, profiles }, PATH, 0).unwrap();
        (took.version, took.profile)
    };
    let gcm_first = take("SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80");
    assert_eq!(gcm_first, (DtlsVersion::Dtls13, SrtpProfile::AeadAes128Gcm));
    let as_chromium = take("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM");
    assert_eq!(as_chromium, (DtlsVersion::Dtls12, SrtpProfile::AeadAes256Gcm));
}

#[test]
fn a_client_takes_1_3_from_a_server_that_has_both() {
    let offer = Offer { versions: BOTH, profiles: "SRTP_AEAD_AES_128_GCM" };
    assert_eq!(World::new().converse(DtlsRole::Client, offer, PATH, 0).unwrap().version, DtlsVersion::Dtls13);
}

#[test]
fn another_certificate_than_signalled_ends_the_connection_in_1_3() {
    let world = World { signalled: Fingerprint::of_certificate(HashFunction::Sha256, b"another"), ..World::new() };
    for role in ROLES {
        let offer = Offer { versions: ONLY_13, profiles: "SRTP_AEAD_AES_128_GCM" };
        let error = world.converse(role, offer, PATH, 0).err().unwrap();
        assert!(error.contains(&DtlsError::FingerprintMismatch.to_string()), "{error}");
    }
}

#[test]
fn lost_fragments_only_cost_time_in_1_3() {
    assert_all_connect(ONLY_13);
}

#[test]
fn lost_fragments_only_cost_time_in_1_2() {
    assert_all_connect(ONLY_12);
}

fn assert_all_connect(versions: (SslVersion, SslVersion)) {
    let world = World::new();
    let offer = Offer { versions, profiles: "SRTP_AEAD_AES_128_GCM" };
    for role in ROLES {
        for loss in [0, 10, 20, 30] {
            let conditions = Conditions {
                duplicate_percent: 10,
                reorder_percent: 10,
                held_back_by: Duration::from_millis(40),
                ..PATH.with_loss(loss)
            };
            let mut times: Vec<_> = (0..SEEDS)
                .map(|seed| match world.converse(role, offer, conditions, seed) {
                    Ok(took) => took.connected_after,
                    Err(error) => panic!("{role:?} at {loss} % loss with seed {seed}: {error}"),
                })
                .collect();
            times.sort();
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            eprintln!("{role:?}, {loss} % loss: connected after {median:.1?} (median), {slowest:.1?} (slowest)");
            assert!(median < Duration::from_secs(2), "{role:?} at {loss} % loss: {median:?}");
        }
    }
}

/// What came of a conversation.
#[derive(Debug)]
struct Took {
    version: DtlsVersion,
    profile: SrtpProfile,
    connected_after: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Theirs,
}

/// Both certificates, and what our side is told of theirs.
struct World {
    context: Arc<DtlsContext>,
    identity: Identity,
    signalled: Fingerprint,
}

impl World {
    fn new() -> Self {
        let identity = Identity::new();
        let der = identity.certificate.to_der().unwrap();
        let signalled = Fingerprint::of_certificate(HashFunction::Sha256, &der);
        Self { context: Arc::new(DtlsContext::with_handshake_timeout(PATIENCE).unwrap()), identity, signalled }
    }

    /// Until each heard the other, or why not. All that both sides must agree on is compared.
    fn converse(&self, role: DtlsRole, offer: Offer, conditions: Conditions, seed: u64) -> Result<Took, String> {
        let start = sim::start();
        let mut network = Network::new(conditions, seed);
        let mut ours = DtlsTransport::new(start, &self.context, role).unwrap();
        ours.set_remote_fingerprints(std::slice::from_ref(&self.signalled)).unwrap();
        let their_role = if role == DtlsRole::Client { DtlsRole::Server } else { DtlsRole::Client };
        let mut theirs = BoringPeer::new(their_role, &self.identity, offer);
        let mut now = start;
        let (mut keys, mut heard, mut was_heard, mut connected_after) = (None, None, None, None);
        let mut speaks_at = start;
        theirs.handle_timeout(Duration::ZERO)?;
        loop {
            let deadline = loop {
                match ours.poll_output() {
                    Output::Transmit(datagram) => network.send(now, Side::Ours, Side::Theirs, datagram),
                    Output::Event(Event::Connected(material)) => keys = Some(material),
                    Output::Event(Event::Data(data)) => heard = Some(data),
                    Output::Event(Event::Closed) => return Err("BoringSSL left".into()),
                    Output::Timeout(at) => break at,
                }
            };
            while let Some(datagram) = theirs.poll_transmit() {
                network.send(now, Side::Theirs, Side::Ours, datagram);
            }
            if let (Some(keys), true) = (&keys, theirs.is_connected()) {
                connected_after = connected_after.or(Some(now - start));
                if heard.is_some() && was_heard.is_some() {
                    assert_eq!((heard.as_deref(), was_heard.as_deref()), (Some(THEIR_HELLO), Some(OUR_HELLO)));
                    let version = self.compare(&ours, &theirs, keys);
                    let connected_after = connected_after.unwrap_or_default();
                    return Ok(Took { version, profile: keys.profile, connected_after });
                }
                if now >= speaks_at {
                    speaks_at = now + Duration::from_millis(100);
                    ours.send(OUR_HELLO).map_err(|error| error.to_string())?;
                    theirs.send(now - start, THEIR_HELLO);
                    continue;
                }
            }
            let timeout = theirs.timeout(now - start).map(|left| now + left);
            let speaks = connected_after.map(|_| speaks_at);
            let next = [Some(deadline), timeout, network.next_arrival(), speaks].into_iter().flatten().min();
            now = next.unwrap_or(deadline).max(now);
            if now > start + GIVES_UP_AFTER {
                return Err(format!(
                    "{GIVES_UP_AFTER:?} passed: {ours:?}, BoringSSL {}",
                    theirs.ssl().state_string_long()
                ));
            }
            ours.handle_timeout(now).map_err(|error| error.to_string())?;
            theirs.handle_timeout(now - start)?;
            while let Some(delivery) = network.receive(now) {
                match delivery.to {
                    Side::Ours => ours.handle_datagram(now, &delivery.datagram).map_err(|error| error.to_string())?,
                    Side::Theirs => {
                        let data = theirs.handle_datagram(now - start, delivery.datagram)?;
                        was_heard = data.or(was_heard);
                    }
                }
            }
        }
    }

    fn compare(&self, ours: &DtlsTransport, theirs: &BoringPeer, keys: &KeyingMaterial) -> DtlsVersion {
        let version = ours.version().unwrap();
        let expected = if version == DtlsVersion::Dtls13 { SslVersion::DTLS1_3 } else { SslVersion::DTLS1_2 };
        assert_eq!(theirs.ssl().version2(), Some(expected));
        let name = match keys.profile {
            SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_SHA1_80",
            SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        };
        assert_eq!(theirs.ssl().selected_srtp_profile().unwrap().name(), name);
        let (key, salt) = keys.profile.key_and_salt_len();
        assert_eq!(keys.bytes, theirs.export(2 * (key + salt)));
        let shown = theirs.ssl().peer_certificate().unwrap();
        let shown = Fingerprint::of_certificate(HashFunction::Sha256, &shown.to_der().unwrap());
        assert_eq!(shown, *self.context.fingerprint());
        version
    }
}

const OUR_HELLO: &[u8] = b"hello from the bridge";
const THEIR_HELLO: &[u8] = b"hello from BoringSSL";

/// Conversations for each role and loss.
const SEEDS: u64 = 36;

/// Limit of our handshake. BoringSSL doubles its timer from 0.4 s as ours does from 0.25 s, so that the sixth loss in a row
/// costs more than all before it.
const PATIENCE: Duration = Duration::from_secs(100);

/// And of what comes behind it.
const GIVES_UP_AFTER: Duration = Duration::from_secs(120);
