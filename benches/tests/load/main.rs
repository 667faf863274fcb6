//! `teranga-load` against servers that work, that have a fault, and that are not there: what it says, and its exit code.
#![allow(clippy::disallowed_methods, reason = "whole programs run in real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::server::{Outcome, Server};

/// Four in a room, all sending: twelve streams of each kind, some thousand packets a second.
const FOUR: [&str; 6] = ["--participants", "4", "--duration", "8s", "--join-rate", "4"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FOUR[..], more].concat()
}

#[test]
fn an_honest_bridge_passes() {
    let server = Server::start(&[]);
    let expectations = ["--expect", "loss<0.1%", "--expect", "layer_match>95%", "--expect", "failed<1"];
    let outcome = server.run(&with(&expectations));
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.report["ended"], "completed");
    assert_eq!(outcome.metric("joins"), 4.0);
    assert_eq!(outcome.metric("nacks_sent"), 0.0);
    // What everybody is to get: 3 others, 50 packets of audio and 30 frames of video a second.
    let steady = outcome.report["steady"].as_f64().unwrap();
    let frames = outcome.metric("frames") * steady;
    let expected = 4.0 * 3.0 * (50.0 + 30.0) * steady;
    assert!((0.9..1.1).contains(&(frames / expected)), "{frames} of {expected} frames");
    for stage in ["websocket", "login", "conference_request", "room", "jingle", "ice", "dtls", "bridge_channel", "join"]
    {
        assert!(outcome.metric(&format!("{stage}_p50")) > 0.0, "{stage}");
    }
    assert!(outcome.metric("first_video_p50") > 0.0);
    assert!(outcome.metric("cpu_ns_per_packet") > 0.0 && outcome.metric("memory") > 1e6);
    assert!(outcome.stdout.contains("Join by stage"), "{}", outcome.stdout);
}

#[test]
fn a_bridge_that_drops_one_packet_in_a_hundred_is_found_out() {
    let server = Server::start(&["--planted-fault", "drop=1%"]);
    let outcome = server.run(&with(&["--expect", "loss<0.1%"]));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("loss<0.1%"), "{}", outcome.stderr);
    let loss = outcome.metric("loss");
    assert!((0.005..0.02).contains(&loss), "{loss}");
    // Video is asked for again; audio is not.
    assert!(outcome.metric("nacks_sent") > 0.0);
    assert!(outcome.metric("unrecoverable") < loss * 0.9);
    assert!(outcome.report["steady_media"]["camera"]["recovered_packets"].as_u64().unwrap() > 0);
}

#[test]
fn a_bridge_that_keeps_packets_for_50_ms_is_found_out() {
    let server = Server::start(&["--planted-fault", "delay=50ms"]);
    let outcome = server.run(&with(&["--expect", "latency_p50<50ms"]));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert!(outcome.metric("latency_p50") >= 0.050);
    assert_eq!(outcome.metric("loss"), 0.0);
}

#[test]
fn a_bridge_that_forwards_another_layer_is_found_out() {
    let server = Server::start(&["--planted-fault", "layer=lowest"]);
    let outcome = server.run(&with(&["--tile-height", "720", "--expect", "layer_match>95%"]));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert!(outcome.metric("layer_below") > 0.95);
    assert_eq!(outcome.metric("loss"), 0.0);
}

#[test]
fn faults_of_the_line_are_those_that_were_asked_for() {
    let server = Server::start(&[]);
    let line = ["--receive-loss", "5%", "--receive-delay", "30ms", "--send-delay", "20ms", "--receive-reorder", "2%"];
    let outcome = server.run(&with(&line));
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    let (loss, latency) = (outcome.metric("loss"), outcome.metric("latency_p50"));
    assert!((0.03..0.08).contains(&loss), "{loss}");
    assert!(latency >= 0.050, "{latency}");
    // Whose next packet comes in 15 ms or less can be overtaken: the packets of one frame.
    assert!(outcome.metric("reordered") > 0.002, "{}", outcome.metric("reordered"));
    // Repairs reach most of what was lost of video.
    let camera = &outcome.report["steady_media"]["camera"];
    let (recovered, lost) = (camera["recovered_packets"].as_f64().unwrap(), camera["lost_packets"].as_f64().unwrap());
    assert!(recovered > 0.8 * lost, "{recovered} of {lost}");
}

#[test]
fn who_leaves_and_comes_back_is_a_new_participant() {
    let server = Server::start(&[]);
    let outcome =
        server.run(&with(&["--churn", "1", "--view", "stage", "--bridge-channel", "sctp", "--expect", "failed<1"]));
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.metric("joins") >= 8.0, "{}", outcome.metric("joins"));
    assert_eq!(outcome.metric("loss"), 0.0);
}

#[test]
fn media_of_other_kinds_can_be_decoded_too() {
    let server = Server::start(&[]);
    for media in [
        &["--synthetic", "--height", "360"][..],
        &["--screens", "1", "--video-senders", "1"],
        &["--video-senders", "0", "--decoders", "2"],
    ] {
        let outcome =
            server.run(&[&["--participants", "3", "--duration", "4s", "--expect", "failed<1"], media].concat());
        assert_eq!(outcome.code, Some(0), "{media:?}: {}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.metric("undecodable"), 0.0, "{media:?}: {}", outcome.stdout);
        assert!(outcome.metric("frames") > 0.0);
    }
}

#[test]
fn a_codec_that_is_not_offered_is_told() {
    let server = Server::start(&["--codec-h264", "false"]);
    let outcome = server.run(&with(&["--codec", "h264"]));
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.failures().contains("h264 is not offered"), "{}", outcome.failures());
}

#[test]
fn a_server_that_stops_in_mid_run_leaves_a_partial_report() {
    let mut server = Server::start(&[]);
    let home = tempfile::tempdir().unwrap();
    let (json, html) = (home.path().join("report.json"), home.path().join("report.html"));
    let mut command = server.load(&with(&["--insecure", "--json"]));
    command.arg(&json).arg("--html").arg(&html).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    sleep(Duration::from_secs(7));
    server.stop();
    let outcome = Outcome::new(child.wait_with_output().unwrap(), &json);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert_eq!((&outcome.report["ended"], &outcome.report["partial"]), (&"failed".into(), &true.into()));
    assert!(outcome.failures().contains("connection_lost"), "{}", outcome.failures());
    assert!(outcome.stdout.contains("PARTIAL REPORT"), "{}", outcome.stdout);
    assert_eq!(outcome.metric("joins"), 4.0);
    assert!(std::fs::read_to_string(html).unwrap().contains("Partial report"));
}

#[test]
fn a_wrong_password_is_told_as_one() {
    let server = Server::start(&["--service-secret", "correct horse battery staple"]);
    let outcome = server.run(&with(&["--username", "jvb@auth.meet.jitsi", "--password", "wrong"]));
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.failures().contains("authentication"), "{}", outcome.failures());
    assert!(outcome.failures().contains("not-authorized"), "{}", outcome.failures());
    assert_eq!(outcome.report["partial"], true);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told_as_one() {
    let server = Server::start(&[]);
    let output = server.load(&FOUR).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("TLS") && said.contains("UnknownIssuer"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Without any server.
fn load(arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_teranga-load")).args(arguments).output().unwrap();
    Outcome::new(output, "/nowhere".as_ref())
}

#[test]
fn a_target_that_is_not_there_is_told_in_a_line() {
    for (url, expected) in [
        ("https://127.0.0.1:9", "refused"),
        ("https://no-such-host.invalid", "has no address"),
        ("nonsense", "nonsense"),
    ] {
        let outcome = load(&[url, "--quiet"]);
        assert_eq!(outcome.code, Some(2), "{url}");
        assert!(outcome.stderr.contains(expected), "{url}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert_eq!(outcome.report, Value::Null);
    }
}

#[test]
fn options_that_cannot_be_are_told() {
    for (arguments, expected) in [
        (&["https://127.0.0.1:9", "--expect", "lass<1%"][..], "no metric is called"),
        (&["https://127.0.0.1:9", "--rooms", "0"], "0 participants"),
        (&["https://127.0.0.1:9", "--receive-loss", "200%"], "200%"),
        (&["https://127.0.0.1:9", "--username", "alice"], "--password"),
        (&["https://127.0.0.1:9", "--server", "no-such-process"], "refused"),
    ] {
        let outcome = load(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
    }
}
