//! Made-up runs for tests: the figures are round, so that sums can be told by heart.

use std::time::{Duration, SystemTime};

use super::{EndCause, MachineInfo, RunRecord};
use crate::load::measure::{FailureCause, Gauges, Interruption, Measurements, MediaKind, Phase, Sample, Stage};
use crate::load::media::MediaTime;
use crate::load::process::{EndedProcess, ProcessPoint, ProcessSeries, Switches};

/// When the runs began, since 1970.
const STARTED: Duration = Duration::from_secs(1_795_905_226);

/// Nothing was measured.
pub(crate) fn empty() -> RunRecord {
    RunRecord {
        scenario: serde_json::json!({"rooms": 1, "participants": 20}),
        target: "https://meet.example.org".to_owned(),
        started: SystemTime::UNIX_EPOCH + STARTED,
        samples: Vec::new(),
        servers: Vec::new(),
        machine: MachineInfo {
            cpu_model: "Example CPU".to_owned(),
            cpus: 2,
            memory_bytes: 8_000_000_000,
            kernel: "Linux 6.18".to_owned(),
        },
        ended: EndCause::Completed,
    }
}

/// 21 participants of whom one fails: four seconds of joins, sixty steady, one of leaving.
pub(crate) fn run() -> RunRecord {
    let mut record = empty();
    for second in 1..=65 {
        let phase = match second {
            1..=4 => Phase::Joining,
            5..=64 => Phase::Steady,
            _ => Phase::Leaving,
        };
        record.samples.push(sample(second, phase));
    }
    record.servers = vec![server("jvb", 65, 0.4), server("prosody", 65, 0.1)];
    record
}

/// As [`run`], stopped while participants came.
pub(crate) fn cut_short() -> RunRecord {
    let mut record = run();
    record.samples.truncate(3);
    record.servers.iter_mut().for_each(|series| series.points.truncate(3));
    record.servers[0].ended.push(EndedProcess { pid: 7, name: "java".to_owned(), at: Duration::from_secs(3) });
    record.ended = EndCause::Failed("the server is gone".to_owned());
    record
}

/// Load that a server got from 20 participants: 1000 packets a second sent, 8000 received, 1 in 100 lost, latencies of 1 to
/// 100 ms; in the first seconds five joins each, of 100, 200, … 500 ms.
fn sample(second: u64, phase: Phase) -> Sample {
    let mut measurements = Measurements::default();
    match phase {
        Phase::Joining => join(&mut measurements, second),
        Phase::Steady => flow(&mut measurements, second),
        Phase::Leaving => (0..20).for_each(|_| measurements.record_left()),
    }
    let gauges = match phase {
        Phase::Joining => Gauges { joining: 20 - second * 5, joined: second * 5, failed: 1 },
        Phase::Steady => Gauges { joining: 0, joined: 20, failed: 1 },
        Phase::Leaving => Gauges { joining: 0, joined: 0, failed: 1 },
    };
    Sample { at: Duration::from_secs(second), phase, measurements, gauges, load_cpu: Duration::from_millis(250) }
}

fn join(measurements: &mut Measurements, second: u64) {
    for number in 1..=5 {
        measurements.record_join_started();
        for stage in Stage::ALL {
            let part = if stage == Stage::Join { 1 } else { 10 };
            measurements.record_stage(stage, Duration::from_millis(number * 100 / part));
        }
        measurements.record_joined();
    }
    if second == 1 {
        measurements.record_join_started();
        measurements.record_failure(FailureCause::Ice, "no pair answered in 15 s <script>alert(1)</script>");
    }
}

fn flow(measurements: &mut Measurements, second: u64) {
    let audio = measurements.media(MediaKind::Audio);
    audio.sent_packets = 200;
    audio.sent_bytes = 100_000;
    audio.expected_packets = 1600;
    audio.received_packets = 1600;
    audio.received_bytes = 800_000;
    audio.frames = 1600;
    let camera = measurements.media(MediaKind::Camera);
    camera.sent_packets = 800;
    camera.sent_bytes = 900_000;
    camera.expected_packets = 6400;
    camera.received_packets = 6400;
    camera.received_bytes = 7_200_000;
    camera.lost_packets = 80;
    camera.recovered_packets = 72;
    camera.unrecoverable_packets = 8;
    camera.duplicated_packets = 4;
    camera.reordered_packets = 16;
    camera.frames = 990;
    camera.undecodable_reference = 10;
    camera.key_frame_requests_received = 2;
    camera.nacks_sent = 40;
    for number in 1..=100 {
        measurements.record_latency(MediaKind::Camera, Duration::from_millis(number));
        measurements.record_latency(MediaKind::Audio, Duration::from_micros(number * 10 + second % 7));
    }
    measurements.record_jitter(MediaKind::Audio, Duration::from_millis(2));
    measurements.record_jitter(MediaKind::Camera, Duration::from_millis(5 + second % 3));
    if second == 7 {
        measurements.record_interruption(Interruption {
            kind: MediaKind::Camera,
            source: "ab12cd34-v0".parse().unwrap(),
            receiver: "ef567890".parse().unwrap(),
            ended: MediaTime((STARTED + Duration::from_secs(second)).as_micros() as u64),
            lasted: Duration::from_millis(300),
        });
    }
    if second.is_multiple_of(6) {
        measurements.record_freeze(MediaKind::Camera, Duration::from_millis(300));
    }
    (0..9).for_each(|_| measurements.record_layer(720, 720, 720));
    measurements.record_layer(720, 720, 360);
}

/// 100 MB, three quarters of the time in the kernel.
fn server(name: &str, seconds: u64, cores: f64) -> ProcessSeries {
    let points = (1..=seconds).map(|second| ProcessPoint {
        at: Duration::from_secs(second),
        interval: Duration::from_secs(1),
        cpu: Duration::from_secs_f64(cores),
        user: Duration::from_secs_f64(cores / 4.0),
        system: Duration::from_secs_f64(cores * 3.0 / 4.0),
        resident_bytes: 100_000_000,
        switches: Switches { voluntary: 900, involuntary: 100 },
        read_write_calls: Some(50),
        syscalls: None,
        processes: 1,
        threads: 12,
    });
    ProcessSeries { name: name.to_owned(), points: points.collect(), ended: Vec::new() }
}
