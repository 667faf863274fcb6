//! `teranga serve` on hosts that lack something: it starts, serves the page, carries a conference of four, and says in one
//! line what it does without.
//!
//! Each host is a network namespace of its own, so that ports are free and addresses are what the test wants; making one
//! needs root.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the other end is a process in real time")]

mod call;
mod client;
mod host;

use std::net::IpAddr;

use host::{Host, IPV4, IPV6, Network, Privileges, Storage};

/// Page, conference, and what the log says: nothing but one line with all of `missing`, or nothing at all where that is
/// empty. Where the host of the test itself lacks something, that may stand in the line too.
fn serves(host: Host, at: IpAddr, missing: &[&str]) {
    let server = host.start();
    let page = server.get(at, "/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let config = server.get_over_tls(at, "/config.js");
    assert!(config.starts_with("HTTP/1.1 200") && config.contains("xmpp-websocket"), "{config}");
    server.inside(move || call::four_hear_each_other(at));
    let log = server.stop();
    let lines: Vec<&str> = log.lines().collect();
    match (lines.as_slice(), missing) {
        ([], []) => {}
        ([line], _) => {
            assert!(line.contains("WARN") && line.contains("runs without "), "{line}");
            for missing in missing {
                assert!(line.contains(missing), "{missing} is not in: {line}");
            }
        }
        _ => panic!("not one line:\n{log}"),
    }
}

#[test]
fn a_host_that_has_all() {
    serves(Host::default(), IPV4, &[]);
    serves(Host::default(), IPV6, &[]);
}

#[test]
fn a_host_with_ipv6_only() {
    serves(Host { network: Network::Ipv6Only, ..Host::default() }, IPV6, &["IPv4 (no address)"]);
}

#[test]
fn a_host_without_ipv6() {
    serves(Host { network: Network::Ipv4Only, ..Host::default() }, IPV4, &["IPv6 (host)"]);
}

#[test]
fn a_kernel_without_gso() {
    serves(Host::with(&["--media-without", "gso"]), IPV4, &["UDP GSO (kernel)"]);
}

#[test]
fn a_kernel_that_does_not_spread_datagrams() {
    serves(Host::with(&["--media-without", "reuseport"]), IPV4, &["SO_REUSEPORT balance (kernel"]);
}

#[test]
fn a_kernel_that_does_not_steer_datagrams() {
    serves(Host::with(&["--media-without", "steering"]), IPV4, &["SO_REUSEPORT steering (kernel"]);
}

#[test]
fn a_container_that_may_not_pin_threads() {
    // On one CPU there is nothing to pin.
    let missing: &[&str] = match std::thread::available_parallelism().unwrap().get() {
        1 => &[],
        _ => &["CPU pinning (not permitted)"],
    };
    serves(Host::with(&["--media-without", "pinning"]), IPV4, missing);
}

#[test]
fn a_host_that_has_nothing_at_all() {
    let host = Host {
        network: Network::Ipv4Only,
        storage: Storage::ReadOnly,
        privileges: Privileges::Nobody,
        flags: &["--media-without", "gso,reuseport,steering,pinning,ipv6", "--media-hold", "0.5ms"],
    };
    serves(host, IPV4, &["UDP GSO", "SO_REUSEPORT balance", "IPv6 (host)", "a state directory ("]);
}

#[test]
fn a_container_without_privileges() {
    let host = Host { privileges: Privileges::Nobody, ..Host::default() };
    serves(host, IPV4, &["a state directory (neither XDG_STATE_HOME nor HOME is set; "]);
}

#[test]
fn a_container_with_a_read_only_file_system() {
    let host = Host { storage: Storage::ReadOnly, ..Host::default() };
    serves(host, IPV4, &["a state directory (", "Read-only file system"]);
}

#[test]
fn a_port_that_needs_a_privilege_is_named_to_those_without() {
    for (flags, port, flag) in [
        (&["--https-port", "443"], "443", "--https-port"),
        (&["--http-port", "80"], "80", "--http-port"),
        (&["--media-port", "500"], "500", "--media-port"),
        (&["--media-tcp-port", "443"], "443", "--media-tcp-port"),
        (&["--turn-port", "443"], "443", "--turn-port"),
    ] {
        let log = Host { privileges: Privileges::Nobody, flags, ..Host::default() }.fail();
        let is_clear =
            log.contains(&format!(":{port}: ")) && log.contains("CAP_NET_BIND_SERVICE") && log.contains(flag);
        assert!(is_clear && log.lines().count() == 1, "{log}");
    }
    // Root has it, and so has a service that is given it.
    serves(Host::with(&["--media-tcp-port", "443"]), IPV4, &[]);
}
