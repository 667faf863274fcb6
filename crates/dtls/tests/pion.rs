//! Our server and client against `pion/dtls`, a foreign judge of DTLS 1.2 and 1.3 in both roles. The peer is the Go
//! program in `tests/pion`. Skipped where it cannot be built: there is no `go`, or no way to its modules.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test, its helpers included")]

mod link;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dtls::{DtlsContext, DtlsRole, DtlsVersion, Fingerprint, SrtpProfile};
use link::{Conversation, HELLO, Outcome, PATH, PATIENCE, Peer, assert_all_succeed};

#[test]
fn pion_agrees_on_version_profile_and_keys() {
    let Some(world) = World::new() else { return };
    for run in runs(&[0], 1) {
        let outcome = world.converse(&run).unwrap();
        assert_eq!((outcome.version, outcome.keys.role), (Some(run.version), run.role), "{run:?}");
        assert_eq!(outcome.keys.profile, SrtpProfile::AeadAes128Gcm);
        let hex: String = outcome.keys.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(outcome.stdout.contains(&format!("KEYS {hex}\n")), "{run:?}: another export in\n{}", outcome.stdout);
        assert!(outcome.stdout.contains(&format!("VERSION {}\nPROFILE 7\n", run.version_name())));
        assert!(outcome.stdout.contains(&format!("DATA {HELLO}")));
        assert_eq!(outcome.data, b"hello from pion");
    }
}

#[test]
fn lost_fragments_only_cost_time() {
    let Some(world) = World::new() else { return };
    assert_all_succeed(&runs(&[10, 20, 30], 6), |run| world.converse(run));
}

#[derive(Debug)]
struct Run {
    role: DtlsRole,
    version: DtlsVersion,
    loss_percent: u8,
    seed: u64,
}

impl Run {
    fn version_name(&self) -> &'static str {
        match self.version {
            DtlsVersion::Dtls12 => "1.2",
            DtlsVersion::Dtls13 => "1.3",
        }
    }
}

/// Both roles in both versions.
fn runs(loss_percents: &[u8], seeds: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
            for &loss_percent in loss_percents {
                runs.extend((0..seeds).map(|seed| Run { role, version, loss_percent, seed }));
            }
        }
    }
    runs
}

/// The peer's program, and our certificate.
struct World {
    directory: tempfile::TempDir,
    context: Arc<DtlsContext>,
}

impl World {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(directory.path().join("peer"))
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pion"))
            .stderr(Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("no peer of Go, nothing tested");
            return None;
        }
        let context = Arc::new(DtlsContext::with_handshake_timeout(PATIENCE).unwrap());
        Some(Self { directory, context })
    }

    fn converse(&self, run: &Run) -> Result<Outcome, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer_role = match run.role {
            DtlsRole::Client => "server",
            DtlsRole::Server => "client",
        };
        let mut command = Command::new(self.directory.path().join("peer"));
        command.args([peer_role, run.version_name(), &socket.local_addr().unwrap().to_string()]);
        let mut peer = Peer::spawn(&mut command);
        let fingerprint: Vec<String> = peer
            .wait_for("FINGERPRINT")
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into())
            .collect();
        let conversation = Conversation {
            socket: &socket,
            role: run.role,
            fingerprint: &Fingerprint::parse("sha-256", &fingerprint.join(":")).unwrap(),
            remote: Some(peer.wait_for("LISTEN").parse().unwrap()),
            conditions: PATH.with_loss(run.loss_percent),
            seed: run.seed,
            prompt: "",
        };
        conversation.run(&self.context, &mut peer)
    }
}
