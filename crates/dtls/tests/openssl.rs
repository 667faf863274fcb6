//! Our server against `openssl s_client` and our client against `openssl s_server` over loopback: a foreign judge of
//! handshake, profile choice and key export in DTLS 1.2. Skipped where no `openssl` is installed.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test, its helpers included")]

mod link;

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dtls::{DtlsContext, DtlsRole, DtlsVersion, Fingerprint, SrtpProfile};
use link::{Conversation, HELLO, Outcome, PATH, PATIENCE, Peer, assert_all_succeed};
use sim::Conditions;

const ROLES: [DtlsRole; 2] = [DtlsRole::Client, DtlsRole::Server];

#[test]
fn openssl_agrees_on_profile_and_keys() {
    let Some(world) = World::new() else { return };
    for role in ROLES {
        for (offer, profile, name) in [
            ("SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80", SrtpProfile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM"),
            ("SRTP_AEAD_AES_256_GCM", SrtpProfile::AeadAes256Gcm, "SRTP_AEAD_AES_256_GCM"),
            ("SRTP_AES128_CM_SHA1_80", SrtpProfile::Aes128CmSha1_80, "SRTP_AES128_CM_SHA1_80"),
        ] {
            let outcome = world.converse(role, offer, profile, PATH, 0).unwrap();
            outcome.check(role, profile);
            assert!(outcome.stdout.contains(&format!("profile={name}")), "{offer}:\n{}", outcome.stdout);
        }
    }
}

#[test]
fn our_server_prefers_aes_gcm_to_the_order_of_the_client() {
    let Some(world) = World::new() else { return };
    let offer = "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM";
    let outcome = world.converse(DtlsRole::Server, offer, SrtpProfile::AeadAes128Gcm, PATH, 0).unwrap();
    outcome.check(DtlsRole::Server, SrtpProfile::AeadAes128Gcm);
}

/// Openssl sends a flight again after 1, 3, 7, 15 and 31 s and answers none of our retransmissions, so that this takes
/// its time.
#[test]
fn lost_fragments_only_cost_time() {
    let Some(world) = World::new() else { return };
    let runs = ROLES.into_iter().flat_map(|role| {
        [10, 20, 30].into_iter().flat_map(move |loss| (0..6).map(move |seed| Run { role, loss_percent: loss, seed }))
    });
    assert_all_succeed(&runs.collect::<Vec<_>>(), |run| {
        let lossy = PATH.with_loss(run.loss_percent);
        world.converse(run.role, "SRTP_AEAD_AES_128_GCM", SrtpProfile::AeadAes128Gcm, lossy, run.seed)
    });
}

#[derive(Debug)]
struct Run {
    role: DtlsRole,
    loss_percent: u8,
    seed: u64,
}

/// A certificate for the peer, made by openssl itself, and one for us.
struct World {
    directory: tempfile::TempDir,
    fingerprint: Fingerprint,
    context: Arc<DtlsContext>,
}

impl World {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=peer", "-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(directory.path())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("no usable openssl, nothing tested");
            return None;
        }
        let output = Command::new("openssl")
            .args(["x509", "-in", "cert.pem", "-noout", "-fingerprint", "-sha256"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (_, fingerprint) = text.trim().split_once('=').unwrap();
        let fingerprint = Fingerprint::parse("sha-256", fingerprint).unwrap();
        Some(Self { directory, fingerprint, context: Arc::new(DtlsContext::with_handshake_timeout(PATIENCE).unwrap()) })
    }

    /// `offer` is openssl's. Its datagrams are small, so that flights come in several.
    fn converse(
        &self,
        role: DtlsRole,
        offer: &str,
        profile: SrtpProfile,
        conditions: Conditions,
        seed: u64,
    ) -> Result<Outcome, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (key, salt) = profile.key_and_salt_len();
        let mut command = Command::new("openssl");
        match role {
            DtlsRole::Server => {
                command.args(["s_client", "-connect", &socket.local_addr().unwrap().to_string()]);
            }
            DtlsRole::Client => {
                command.args(["s_server", "-accept", "127.0.0.1:0", "-Verify", "1"]);
            }
        }
        command
            .args(["-dtls1_2", "-timeout", "-mtu", "400", "-cert", "cert.pem", "-key", "key.pem", "-use_srtp", offer])
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", &(2 * (key + salt)).to_string()])
            .current_dir(self.directory.path());
        let mut peer = Peer::spawn(&mut command);
        let remote = match role {
            DtlsRole::Server => None,
            DtlsRole::Client => Some(peer.wait_for("ACCEPT").parse().unwrap()),
        };
        let conversation = Conversation {
            socket: &socket,
            role,
            fingerprint: &self.fingerprint,
            remote,
            conditions,
            seed,
            prompt: "hello from openssl\n",
        };
        conversation.run(&self.context, &mut peer)
    }
}

impl Outcome {
    fn check(&self, role: DtlsRole, profile: SrtpProfile) {
        assert_eq!((self.keys.role, self.keys.profile), (role, profile));
        assert_eq!(self.version, Some(DtlsVersion::Dtls12));
        assert_eq!(self.data, b"hello from openssl\n");
        let hex: String = self.keys.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(self.stdout.contains(&hex), "another export in\n{}", self.stdout);
        assert!(self.stdout.contains(HELLO));
    }
}
