//! `teranga serve` as an operator meets it: it starts with nothing, stops at Ctrl-C, and says in one line why it does
//! not start.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{free_ports, get, on_ports};

fn teranga(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teranga"));
    command.arg("serve").args(["--address", "127.0.0.1"]).args(flags).env_remove("TERANGA_STATE_DIR");
    command
}

/// One test at a time: a port that one found free is not taken by the server of another before it is used.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_with(ports: &[String; 4], state_dir: &std::path::Path, flags: &[&str]) -> Command {
    let mut command = teranga(&on_ports(ports));
    command.arg("--state-dir").arg(state_dir).args(flags);
    command
}

fn failure(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success(), "{}", String::from_utf8_lossy(&stdout));
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn interrupt(child: &mut Child) -> String {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    rest
}

#[test]
fn serves_without_configuration_and_stops_at_ctrl_c() {
    let _turn = alone();
    let (ports, state) = (free_ports(), tempfile::tempdir().unwrap());
    let mut command = start_with(&ports, state.path(), &[]);
    // As docker compose passes on what an .env leaves out.
    for unset in
        ["ENABLE_LOBBY", "MAX_PARTICIPANTS", "AUTH_TYPE", "JWT_APP_SECRET", "ENABLE_CODEC_VP8", "JVB_AUTH_PASSWORD"]
    {
        command.env(unset, "");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut banner = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap());
    while !banner.contains("Ctrl-C") {
        assert!(reader.read_line(&mut banner).unwrap() > 0, "ended early: {banner}");
    }
    for port in &ports {
        assert!(banner.contains(port.as_str()), "{port} is not in:\n{banner}");
    }
    let config = get(&ports[1], "/config.js");
    assert!(config.contains("ws://meet.example/xmpp-websocket"), "{config}");
    assert!(get(&ports[1], "/xmpp-websocket").starts_with("HTTP/1.1 200"));
    assert!(get(&ports[1], "/no/such/path").starts_with("HTTP/1.1 404"));
    assert!(interrupt(&mut child).contains("Stopped."));
    assert!(state.path().join("tls-key.pem").exists());
}

#[test]
fn has_its_heap_in_huge_pages_unless_the_operator_wants_none() {
    let _turn = alone();
    let has_them = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .is_ok_and(|mode| !mode.contains("[never]"));
    for (settings, expected) in [
        (None, has_them),
        (Some(("TERANGA_HUGE_PAGES", "0")), false),
        (Some(("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")), false),
    ] {
        let (ports, state) = (free_ports(), tempfile::tempdir().unwrap());
        let mut command = start_with(&ports, state.path(), &[]);
        command.env_remove("GLIBC_TUNABLES").envs(settings);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut banner).unwrap();
        let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
        let found = String::from_utf8_lossy(&environment).contains("glibc.malloc.hugetlb=1");
        interrupt(&mut child);
        assert_eq!(found, expected, "{settings:?}");
    }
}

#[test]
fn serves_on_when_nobody_reads_what_it_prints() {
    let _turn = alone();
    let (ports, state) = (free_ports(), tempfile::tempdir().unwrap());
    let mut child = start_with(&ports, state.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    // It writes the banner when it listens already.
    while TcpStream::connect(format!("127.0.0.1:{}", ports[1])).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(get(&ports[1], "/config.js").starts_with("HTTP/1.1 200"));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let _turn = alone();
    let state = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let taken = TcpListener::bind(format!("127.0.0.1:{}", ports[0])).unwrap();
    let text = failure(start_with(&ports, state.path(), &[]));
    let address = taken.local_addr().unwrap().to_string();
    assert!(text.contains(&address) && text.contains("in use") && text.contains("--https-port"), "{text}");
    drop(taken);
    let taken = UdpSocket::bind(format!("127.0.0.1:{}", ports[2])).unwrap();
    let text = failure(start_with(&ports, state.path(), &[]));
    let address = taken.local_addr().unwrap().to_string();
    assert!(text.contains(&address) && text.contains("in use") && text.contains("--media-port"), "{text}");
    drop(taken);
    let taken = UdpSocket::bind(format!("127.0.0.1:{}", ports[3])).unwrap();
    let text = failure(start_with(&ports, state.path(), &[]));
    let address = taken.local_addr().unwrap().to_string();
    assert!(text.contains(&address) && text.contains("in use") && text.contains("--turn-port"), "{text}");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let _turn = alone();
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = failure(start_with(&free_ports(), &file.join("below"), &[]));
    assert!(text.contains("below") && text.contains("--state-dir"), "{text}");
}

#[test]
fn a_bad_flag_or_filter_is_named() {
    let _turn = alone();
    let state = tempfile::tempdir().unwrap();
    assert!(failure(start_with(&free_ports(), state.path(), &["--frobnicate"])).contains("--frobnicate"));
    assert!(failure(start_with(&free_ports(), state.path(), &["--log", "bridge=loud"])).contains("bridge=loud"));
    assert!(failure(start_with(&free_ports(), state.path(), &["--domain", "a b"])).contains("--domain"));
}
