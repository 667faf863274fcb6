use super::*;
use crate::load::report::example;

/// To one part in a hundred, which is what histograms tell apart.
fn assert_near(summary: &Summary, name: &str, expected: f64) {
    let value = summary.value(name).unwrap_or_else(|| panic!("{name} has no value"));
    assert!((value / expected - 1.0).abs() < 0.01, "{name} = {value}, not {expected}");
}

#[test]
fn joins_are_those_of_the_whole_run() {
    let summary = Summary::of(&example::run());
    for (name, expected) in [("participants", 20.0), ("joins", 20.0), ("failed", 1.0), ("failed_part", 1.0 / 21.0)] {
        assert_near(&summary, name, expected);
    }
    assert_near(&summary, "join_p50", 0.3);
    assert_near(&summary, "join_p95", 0.5);
    assert_near(&summary, "ice_p50", 0.03);
    assert_near(&summary, "first_video_max", 0.05);
}

#[test]
fn quality_is_that_of_the_steady_part() {
    let summary = Summary::of(&example::run());
    assert_eq!(summary.steady_time(), Duration::from_secs(60));
    assert_near(&summary, "loss", 0.01);
    assert_near(&summary, "camera_loss", 80.0 / 6400.0);
    assert_eq!(summary.value("audio_loss"), Some(0.0));
    assert_near(&summary, "unrecoverable", 0.001);
    assert_near(&summary, "duplicated", 0.0005);
    assert_near(&summary, "reordered", 0.002);
    assert_near(&summary, "undecodable", 10.0 / 2600.0);
    assert_near(&summary, "camera_latency_p99", 0.099);
    assert_near(&summary, "latency_max", 0.1);
    // Ten freezes of 0.3 s in twenty minutes of all participants.
    assert_near(&summary, "freezes", 0.5);
    assert_near(&summary, "freeze_time", 3.0 / 1200.0);
    assert_near(&summary, "key_frame_requests", 6.0);
    assert_near(&summary, "layer_match", 0.9);
    assert_near(&summary, "layer_below", 0.1);
    assert_near(&summary, "send_bitrate", 8e6);
    assert_near(&summary, "receive_bitrate", 64e6);
    assert_near(&summary, "receive_packets", 8000.0);
    assert_near(&summary, "audio_packets", 1600.0);
    assert_near(&summary, "camera_packets", 6400.0);
}

#[test]
fn cpu_is_that_of_all_servers_for_each_packet_received() {
    let summary = Summary::of(&example::run());
    // Four seconds of half a core, for twenty joins.
    assert_near(&summary, "cpu_per_join", 0.1);
    assert_near(&summary, "cpu", 0.5);
    assert_near(&summary, "cpu_user", 0.125);
    assert_near(&summary, "cpu_system", 0.375);
    assert_near(&summary, "cpu_ns_per_packet", 62_500.0);
    assert_near(&summary, "packets_per_core", 16_000.0);
    assert_near(&summary, "memory", 200e6);
    assert_near(&summary, "memory_per_participant", 10e6);
    assert_near(&summary, "context_switches", 2000.0);
    assert_near(&summary, "load_cpu", 0.25);
    assert_near(&summary, "load_cpu_ns_per_packet", 31_250.0);
    assert_eq!(summary.value("syscalls"), None);
    let jvb = &summary.servers()[0];
    assert_eq!((jvb.name.as_str(), jvb.threads, jvb.read_write_calls), ("jvb", 12, Some(50.0)));
    assert!((jvb.cpu_per_packet.unwrap() - 50e-6).abs() < 1e-9);
}

#[test]
fn of_a_run_cut_short_there_is_what_was_measured() {
    let summary = Summary::of(&example::cut_short());
    assert_eq!((summary.value("joins"), summary.value("failed")), (Some(15.0), Some(1.0)));
    assert_near(&summary, "join_p50", 0.3);
    for name in ["latency_p50", "loss", "freezes", "send_bitrate", "cpu", "load_cpu"] {
        assert_eq!(summary.value(name), None, "{name}");
    }
}

#[test]
fn a_server_that_could_not_be_measured_leaves_no_sum() {
    let mut record = example::run();
    record.servers[1].points.clear();
    let summary = Summary::of(&record);
    assert_eq!((summary.value("cpu"), summary.servers().len()), (None, 1));
}

#[test]
fn all_runs_have_the_same_metrics_each_once() {
    let names = |summary: &Summary| summary.metrics().iter().map(|metric| metric.name.clone()).collect::<Vec<_>>();
    let known = names(&Summary::without_values());
    assert_eq!(names(&Summary::of(&example::run())), known);
    assert_eq!(names(&Summary::of(&example::empty())), known);
    let mut sorted = known.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), known.len());
    let is_plain =
        |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    assert!(known.iter().all(is_plain));
    assert!(Summary::of(&example::empty()).metrics().iter().all(|metric| metric.value.is_none()));
}
