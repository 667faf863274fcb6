//! What the kernel and the container let media do, found by trying at start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use model::FiveTuple;

use super::affinity;
use super::bind::{SOCKET_BUFFER_BYTES, bind_group};
use super::send_queue::SendQueue;
use super::udp_sender::{SendOutcome, UdpSender};

/// Loopback answers within microseconds; a machine that is busy starting up may take longer.
const PROBE_WAIT: Duration = Duration::from_millis(300);
/// Sources of the balance probe: that all hash to one of two sockets by chance has odds of 2⁻³¹.
const PROBE_SOURCES: usize = 32;

/// What media can use on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaCapabilities {
    /// The kernel cuts one message into many datagrams (`UDP_SEGMENT`).
    pub gso: bool,
    /// The kernel spreads the datagrams of one port over the sockets of all shards (`SO_REUSEPORT`).
    pub reuseport: bool,
    /// The datagrams of a peer come to the shard where it has its home; with one shard they do anyway.
    pub steered: bool,
    /// Threads can be pinned to CPUs.
    pub pinned: bool,
    /// CPUs that this process may use; with one there is nothing to pin.
    pub cpus: usize,
    /// Peers reach the host over IPv4, or it was not asked for.
    pub ipv4: bool,
    /// The host has IPv6, or it was not asked for.
    pub ipv6: bool,
    /// Bytes of the kernel's buffer for each receiving socket.
    pub receive_buffer: usize,
    /// Bytes of the kernel's buffer for each sending socket.
    pub send_buffer: usize,
}

/// What to do without although the kernel has it: for tests, and to find out which feature a fault comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// No segmentation by the kernel.
    pub gso: bool,
    /// One socket receives for all shards.
    pub reuseport: bool,
    /// Each socket receives what the kernel's own hash gives it.
    pub steering: bool,
    /// No pinned threads.
    pub pinning: bool,
    /// IPv4 alone.
    pub ipv6: bool,
}

impl MediaCapabilities {
    /// What is missing, each in words for an operator.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.gso {
            missing.push("UDP GSO (kernel)".to_owned());
        }
        if !self.reuseport {
            missing.push("SO_REUSEPORT balance (kernel; one thread receives for all)".to_owned());
        } else if !self.steered {
            missing.push("SO_REUSEPORT steering (kernel; threads pass packets on)".to_owned());
        }
        if !self.pinned && self.cpus > 1 {
            missing.push("CPU pinning (not permitted)".to_owned());
        }
        if !self.ipv4 {
            missing.push("IPv4 (no address)".to_owned());
        }
        if !self.ipv6 {
            missing.push("IPv6 (host)".to_owned());
        }
        for (bytes, name, key) in [(self.receive_buffer, "receive", "rmem_max"), (self.send_buffer, "send", "wmem_max")]
        {
            if bytes < SOCKET_BUFFER_BYTES {
                let (wanted, got) = (SOCKET_BUFFER_BYTES >> 10, bytes >> 10);
                missing.push(format!("{wanted} KB {name} buffers (net.core.{key} gives {got} KB)"));
            }
        }
        missing
    }

    /// Tries what does not depend on the media port; the rest is filled in by binding.
    pub(super) fn probe(without: Without) -> Self {
        let (cpus, may_pin) = affinity::cpus_and_permission();
        Self {
            gso: !without.gso && probed("UDP GSO", has_gso()),
            reuseport: !without.reuseport && probed("SO_REUSEPORT", balances()),
            steered: true,
            pinned: !without.pinning && may_pin && cpus > 1,
            cpus,
            ipv4: true,
            ipv6: true,
            receive_buffer: 0,
            send_buffer: 0,
        }
    }
}

/// Whether a host with these addresses is reached over IPv4, and whether it has IPv6. Every host has 127.0.0.1, and `::1`
/// unless IPv6 is switched off; one without a network is reached by itself only.
pub(super) fn families(addresses: &[IpAddr]) -> (bool, bool) {
    let is_alone = addresses.iter().all(IpAddr::is_loopback);
    let has_ipv4 = addresses.iter().any(|ip| ip.is_ipv4() && (is_alone || !ip.is_loopback()));
    (has_ipv4, addresses.iter().any(IpAddr::is_ipv6))
}

/// A probe that cannot run says no: what is not known to work is not used.
fn probed(feature: &str, result: io::Result<bool>) -> bool {
    result.unwrap_or_else(|error| {
        tracing::debug!(%error, feature, "cannot probe");
        false
    })
}

/// Sends a message of two segments over loopback: whether two datagrams come out.
fn has_gso() -> io::Result<bool> {
    let receiver = on_loopback(UdpSocket::bind)?;
    let sender = on_loopback(UdpSocket::bind)?;
    receiver.set_read_timeout(Some(PROBE_WAIT))?;
    let to = receiver.local_addr()?;
    let mut queue = SendQueue::default();
    for segment in [[1; 64], [2; 64]] {
        queue.push(FiveTuple::udp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), to), &segment);
    }
    let mut outcome = SendOutcome::default();
    UdpSender::new(to.ip(), true).send(&sender, &queue, &mut outcome);
    // Where the kernel refused the message, its datagrams went singly.
    if outcome.messages != 1 {
        return Ok(false);
    }
    let mut buffer = [0; 256];
    for _ in 0..2 {
        let (len, _) = receiver.recv_from(&mut buffer)?;
        if len != 64 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends from many ports to a group of two sockets: whether both get some.
fn balances() -> io::Result<bool> {
    let group = on_loopback(|address| bind_group(address, 2))?;
    let [first, second] = group.as_slice() else { return Ok(false) };
    let to = first.local_addr()?;
    // The sources stay open until the end, so that each has a port of its own.
    let sources: Vec<UdpSocket> =
        (0..PROBE_SOURCES).map(|_| UdpSocket::bind(SocketAddr::new(to.ip(), 0))).collect::<io::Result<_>>()?;
    for source in &sources {
        source.send_to(&[0], to)?;
    }
    for socket in [first, second] {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PROBE_WAIT))?;
        if socket.recv_from(&mut [0; 8]).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn on_loopback<T>(bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))
        .or_else(|_| bind(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: MediaCapabilities = MediaCapabilities {
        gso: true,
        reuseport: true,
        steered: true,
        pinned: true,
        cpus: 4,
        ipv4: true,
        ipv6: true,
        receive_buffer: SOCKET_BUFFER_BYTES,
        send_buffer: SOCKET_BUFFER_BYTES,
    };

    #[test]
    fn nothing_is_said_when_all_is_there() {
        assert_eq!(ALL.missing(), [""; 0]);
        assert_eq!(MediaCapabilities { pinned: false, cpus: 1, ..ALL }.missing(), [""; 0], "one CPU needs no pinning");
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let capabilities = MediaCapabilities { gso: false, pinned: false, receive_buffer: 212_992, ..ALL };
        assert_eq!(
            capabilities.missing(),
            [
                "UDP GSO (kernel)",
                "CPU pinning (not permitted)",
                "8192 KB receive buffers (net.core.rmem_max gives 208 KB)"
            ]
        );
        let capabilities = MediaCapabilities { reuseport: false, steered: false, ipv4: false, ipv6: false, ..ALL };
        assert_eq!(
            capabilities.missing(),
            ["SO_REUSEPORT balance (kernel; one thread receives for all)", "IPv4 (no address)", "IPv6 (host)"]
        );
    }

    #[test]
    fn families_of_a_host_are_those_that_peers_can_use() {
        for (addresses, expected) in [
            (&["127.0.0.1", "::1", "10.0.0.5"][..], (true, true)),
            (&["127.0.0.1", "10.0.0.5"], (true, false)),
            (&["127.0.0.1", "::1", "fd00::5"], (false, true)),
            (&["fd00::5"], (false, true)),
            (&["127.0.0.1", "::1"], (true, true)),
            (&["::1"], (false, true)),
        ] {
            let ips: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
            assert_eq!(families(&ips), expected, "{addresses:?}");
        }
    }

    #[test]
    fn withheld_features_are_not_found() {
        let capabilities =
            MediaCapabilities::probe(Without { gso: true, reuseport: true, pinning: true, ..Without::default() });
        assert!(!capabilities.gso && !capabilities.reuseport && !capabilities.pinned);
    }
}
