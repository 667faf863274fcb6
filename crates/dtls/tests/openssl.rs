//! Our server against `openssl s_client` over loopback: a foreign judge of handshake, profile choice and key export.
//! Skipped where no `openssl` is installed.
#![allow(clippy::unwrap_used, reason = "a test, its helpers included")]

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::{
    DtlsContext, DtlsRole, DtlsTransport, DtlsVersion, Event, Fingerprint, KeyingMaterial, Output, SrtpProfile,
};

#[test]
fn openssl_agrees_on_profile_and_keys() {
    let Some(identity) = Identity::new() else { return };
    for (offer, profile, name) in [
        ("SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80", SrtpProfile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM"),
        ("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", SrtpProfile::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM"),
        ("SRTP_AES128_CM_SHA1_80", SrtpProfile::Aes128CmSha1_80, "SRTP_AES128_CM_SHA1_80"),
    ] {
        let session = Session::run(&identity, offer, profile);
        assert_eq!(session.keys.profile, profile, "{offer}");
        assert_eq!(session.version, Some(DtlsVersion::Dtls12));
        assert_eq!(session.data, b"hello from openssl\n", "{offer}");
        let hex: String = session.keys.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(session.stdout.contains(&hex), "{offer}: another export in\n{}", session.stdout);
        assert!(session.stdout.contains(&format!("profile={name}")), "{offer}:\n{}", session.stdout);
        assert!(session.stdout.contains("hello from the bridge"), "{offer}:\n{}", session.stdout);
    }
}

/// A certificate for the client, made by openssl itself.
struct Identity {
    directory: tempfile::TempDir,
    fingerprint: Fingerprint,
}

impl Identity {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=client", "-keyout", "key.pem", "-out", "cert.pem"])
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
        let (_, fingerprint) = text.trim().split_once('=')?;
        Some(Self { fingerprint: Fingerprint::parse("sha-256", fingerprint).unwrap(), directory })
    }
}

struct Session {
    keys: KeyingMaterial,
    version: Option<DtlsVersion>,
    data: Vec<u8>,
    stdout: String,
}

impl Session {
    fn run(identity: &Identity, offer: &str, profile: SrtpProfile) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (key, salt) = profile.key_and_salt_len();
        let export_len = (2 * (key + salt)).to_string();
        let port = socket.local_addr().unwrap().port();
        let mut client = s_client(identity.directory.path(), port, offer, &export_len);
        let (keys, version, data) = serve(&socket, identity, &mut client);
        drop(client.stdin.take());
        // With its input at the end it says goodbye and leaves by itself.
        let mut stdout = String::new();
        client.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        client.wait().unwrap();
        Self { keys, version, data, stdout }
    }
}

fn s_client(directory: &Path, port: u16, offer: &str, export_len: &str) -> Child {
    Command::new("openssl")
        .args([
            "s_client",
            "-dtls1_2",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-cert",
            "cert.pem",
            "-key",
            "key.pem",
        ])
        .args(["-use_srtp", offer, "-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", export_len])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Serves until a line came in and one went out.
fn serve(
    socket: &UdpSocket,
    identity: &Identity,
    client: &mut Child,
) -> (KeyingMaterial, Option<DtlsVersion>, Vec<u8>) {
    let context = Arc::new(DtlsContext::new().unwrap());
    let mut server = DtlsTransport::new(now(), &context, DtlsRole::Server).unwrap();
    server.set_remote_fingerprints(std::slice::from_ref(&identity.fingerprint)).unwrap();
    let gives_up = now() + Duration::from_secs(20);
    let mut remote = None;
    let mut keys = None;
    loop {
        let deadline = loop {
            match server.poll_output() {
                Output::Transmit(datagram) => drop(socket.send_to(&datagram, remote.unwrap()).unwrap()),
                Output::Event(Event::Connected(material)) => {
                    keys = Some(material);
                    client.stdin.as_mut().unwrap().write_all(b"hello from openssl\n").unwrap();
                    server.send(b"hello from the bridge\n").unwrap();
                }
                Output::Event(Event::Data(data)) => return (keys.unwrap(), server.version(), data),
                Output::Event(Event::Closed) => panic!("openssl left"),
                Output::Timeout(at) => break at,
            }
        };
        assert!(now() < gives_up, "no data after 20 s");
        let wait = deadline.min(gives_up).saturating_duration_since(now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).unwrap();
        let mut datagram = [0; 2_048];
        if let Ok((len, from)) = socket.recv_from(&mut datagram) {
            remote = Some(from);
            server.handle_datagram(now(), &datagram[..len]).unwrap();
        }
        server.handle_timeout(now()).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the peer is another process, in real time")]
fn now() -> Instant {
    Instant::now()
}
