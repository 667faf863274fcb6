//! Traces as another program reads them: tshark, which knows nothing of how they were written.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::FiveTuple;

use super::trace::{Trace, Written};
use super::*;

const WALL_TIME: Duration = Duration::new(1_790_000_000, 123_456_789);

/// The named fields of each packet of a trace. `options` are tshark's.
pub(crate) fn read_with_tshark(trace: &[u8], options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", "-", "-T", "fields", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    command.args(options);
    for field in fields {
        command.args(["-e", field]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tshark reads traces in the tests ('make setup-tests' installs it)");
    let mut stdin = child.stdin.take().unwrap();
    let bytes = trace.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("cut short") && !errors.contains("damaged"), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// A trace of all that waits.
fn write_all(records: &Records, began: Instant) -> Vec<u8> {
    let mut out = Vec::new();
    let mut trace = Trace::begin("abcd1234", Content::Protected, WALL_TIME, began, &mut out);
    while let Ok(record) = records.try_recv() {
        assert_eq!(trace.write(&record, records, &mut out), Written::Yes);
    }
    trace.end(records, began + Duration::from_secs(1), &mut out);
    out
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
fn some_time() -> Instant {
    Instant::now()
}

fn udp(local: &str, remote: &str) -> FiveTuple {
    FiveTuple::udp(local.parse().unwrap(), remote.parse().unwrap())
}

#[test]
fn another_parser_finds_addresses_times_directions_and_bytes() {
    let (tap, records) = Tap::new(Content::Protected);
    let now = some_time();
    let v4 = udp("192.0.2.1:10000", "198.51.100.7:40000");
    let v6 = udp("[2001:db8::1]:10000", "[2001:db8::2]:40000");
    let tcp = FiveTuple::tcp(v4.local, v4.remote);
    tap.record(Direction::Inbound, &v4, &[b"a", b"", b"bc"], None, now);
    tap.record(Direction::Outbound, &v4, &[b"defg"], Some("why not"), now + Duration::from_nanos(1_000_000_001));
    tap.record(Direction::Outbound, &v6, &[b"hijkl"], None, now);
    tap.record(Direction::Inbound, &tcp, &[b""], None, now);
    tap.record(Direction::Inbound, &v4, &[&[7; 1500]], None, now - Duration::from_nanos(789));
    let fields = [
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "frame.interface_name",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "udp.srcport",
        "udp.dstport",
        "udp.length",
        "ip.checksum.status",
        "udp.checksum.status",
        "frame.comment",
        "data.data",
    ];
    let trace = write_all(&records, now);
    let read = read_with_tshark(&trace, &["--disable-protocol", "rtp"], &fields);
    let long = "07".repeat(1500);
    // Direction 1 is in, 2 is out; checksum status 1 is good.
    let expected = [
        "1790000000.123456789|0x00000001|udp|198.51.100.7|192.0.2.1|||40000|10000|11|1|1||616263",
        "1790000001.123456790|0x00000002|udp|192.0.2.1|198.51.100.7|||10000|40000|12|1|1|why not|64656667",
        "1790000000.123456789|0x00000002|udp|||2001:db8::1|2001:db8::2|10000|40000|13||1||68696a6b6c",
        "1790000000.123456789|0x00000001|tcp|198.51.100.7|192.0.2.1|||40000|10000|8|1|1||",
        &format!("1790000000.123456000|0x00000001|udp|198.51.100.7|192.0.2.1|||40000|10000|1508|1|1||{long}"),
    ];
    let read: Vec<_> = read.iter().map(|packet| packet.join("|")).collect();
    assert_eq!(read, expected);
}

#[test]
fn what_found_no_room_is_told_in_the_trace() {
    let (tap, records) = Tap::new(Content::Protected);
    let now = some_time();
    let path = udp("192.0.2.1:10000", "198.51.100.7:40000");
    for _ in 0..MAX_WAITING_RECORDS + 7 {
        tap.record(Direction::Inbound, &path, &[b"x"], None, now);
    }
    assert_eq!((tap.lost(), records.lost(path.protocol)), (7, 7));
    let mut rest = vec![records.try_recv().unwrap()];
    tap.record(Direction::Inbound, &path, &[b"y"], None, now);
    while let Ok(record) = records.try_recv() {
        rest.push(record);
    }
    let mut out = Vec::new();
    let mut trace = Trace::begin("abcd1234", Content::Protected, WALL_TIME, now, &mut out);
    for record in &rest {
        assert_eq!(trace.write(record, &records, &mut out), Written::Yes);
    }
    trace.end(&records, now, &mut out);
    let drops = read_with_tshark(&out, &[], &["frame.drop_count"]);
    assert_eq!(drops.len(), MAX_WAITING_RECORDS + 1);
    let told: Vec<_> = drops.iter().map(|fields| fields[0].as_str()).filter(|drop| !drop.is_empty()).collect();
    assert_eq!(told, ["7"], "once");
    // The last blocks are the statistics of both interfaces: received, then dropped, in the order of their codes.
    let received = (MAX_WAITING_RECORDS as u64 + 1 + 7).to_le_bytes();
    let statistics = [&[4, 0, 8, 0], received.as_slice(), &[5, 0, 8, 0], &7_u64.to_le_bytes()].concat();
    assert!(out[out.len() - 120..].windows(statistics.len()).any(|bytes| bytes == statistics));
}

#[test]
fn a_trace_that_is_full_is_whole_and_within_its_limit() {
    let (tap, records) = Tap::new(Content::Protected);
    let now = some_time();
    let path = udp("192.0.2.1:10000", "198.51.100.7:40000");
    let mut out = Vec::new();
    let mut trace = Trace::begin("abcd1234", Content::Plain, WALL_TIME, now, &mut out).limited(4000);
    let mut written = 0;
    loop {
        tap.record(Direction::Outbound, &path, &[&[0; 1000]], None, now);
        match trace.write(&records.try_recv().unwrap(), &records, &mut out) {
            Written::Yes => written += 1,
            Written::Full => break,
        }
    }
    trace.end(&records, now, &mut out);
    assert_eq!((written, out.len() <= 4000), (3, true), "{}", out.len());
    assert_eq!(read_with_tshark(&out, &[], &["frame.number"]).len(), 3);
}

#[test]
fn a_capture_is_over_when_all_taps_are_gone() {
    let (tap, records) = Tap::new(Content::Plain);
    let other = tap.clone();
    let path = udp("192.0.2.1:10000", "198.51.100.7:40000");
    drop(tap);
    other.record(Direction::Inbound, &path, &[b"last"], None, some_time());
    drop(other);
    assert_eq!(records.try_recv().unwrap().datagram, b"last", "what was copied is not lost");
    assert!(records.try_recv().is_err_and(|error| error.is_disconnected()));
}
