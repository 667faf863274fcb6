//! Binds the media port: one UDP socket a shard, all on the same port.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::capabilities::{MediaCapabilities, Without, families};
use super::shard::MediaShard;
use super::steering::Steering;
use super::sys;
use super::unique_ports::UniquePortOpener;

/// Kernel buffers: 8 MB is 60 ms of a saturated 1 Gbit/s link, so that a pause of a thread loses nothing.
pub(super) const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// The media port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on media UDP {address}")]
pub struct MediaBindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The media port, bound: a shard for each data thread.
pub struct MediaShards {
    /// The shards, in the order of their threads.
    pub shards: Vec<MediaShard>,
    /// What the host lets them do.
    pub capabilities: MediaCapabilities,
    /// Brings peers to their homes; `None` where there is one shard, or the kernel has no such thing.
    pub steering: Option<Steering>,
    /// The UDP port.
    pub port: u16,
    /// Opens more ports on the same address.
    pub unique_ports: UniquePortOpener,
}

impl MediaShards {
    /// Binds `address` for `shards` threads (at least one). Port 0 takes a free one. An unspecified IPv6 address takes
    /// IPv4 too, and IPv4 alone on a host without IPv6. Tries what the kernel can, and does without what it cannot or
    /// what `without` says.
    ///
    /// # Errors
    /// [`MediaBindError`] when the port cannot be had: also when another process of this program has it.
    pub fn bind(address: SocketAddr, shards: usize, without: Without) -> Result<Self, MediaBindError> {
        let mut capabilities = MediaCapabilities::probe(without);
        let wants_ipv6 = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let attempt = match () {
            () if wants_ipv6 && without.ipv6 => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            () => Self::try_bind(address, shards, without, &mut capabilities),
        };
        let (address, attempt) = match attempt {
            Err(error) if wants_ipv6 && is_without_ipv6(&error) => {
                capabilities.ipv6 = false;
                let address = SocketAddr::from(([0, 0, 0, 0], address.port()));
                (address, Self::try_bind(address, shards, without, &mut capabilities))
            }
            attempt => (address, attempt),
        };
        let (shards, steering) = attempt.map_err(|source| MediaBindError { address, source })?;
        // What cannot be asked is not called missing.
        if wants_ipv6 && let Ok(own) = crate::interface_addresses() {
            let (has_ipv4, has_ipv6) = families(&own.into_iter().map(|address| address.ip).collect::<Vec<_>>());
            capabilities.ipv4 = has_ipv4;
            capabilities.ipv6 &= has_ipv6;
        }
        let port = shards.first().map_or(0, MediaShard::port);
        let unique_ports = UniquePortOpener::new(address.ip());
        Ok(Self { shards, capabilities, steering, port, unique_ports })
    }

    fn try_bind(
        address: SocketAddr,
        shards: usize,
        without: Without,
        capabilities: &mut MediaCapabilities,
    ) -> io::Result<(Vec<MediaShard>, Option<Steering>)> {
        let shards = shards.max(1);
        let group = if capabilities.reuseport { bind_group(address, shards)? } else { vec![bind_one(address)?] };
        for socket in &group {
            set_options(socket);
        }
        let (receive_buffer, send_buffer) = group.first().map_or((0, 0), buffers);
        capabilities.receive_buffer = receive_buffer;
        capabilities.send_buffer = send_buffer;
        let mut made = Vec::with_capacity(shards);
        for index in 0..shards {
            made.push(match group.get(index) {
                Some(socket) => MediaShard::new(index, socket.try_clone()?, true, capabilities)?,
                None => {
                    let shared = group.first().ok_or(io::ErrorKind::NotFound)?;
                    MediaShard::new(index, shared.try_clone()?, false, capabilities)?
                }
            });
        }
        let is_steerable = group.len() == shards && !without.steering;
        let steering = group.first().filter(|_| is_steerable).and_then(|first| Steering::new(first, shards));
        capabilities.steered = steering.is_some() || shards == 1;
        Ok((made, steering))
    }
}

/// Sockets that share a port, among which the kernel spreads what comes in.
///
/// Every socket that is bound with `SO_REUSEPORT` would join those of another process of the same user. So the first
/// one is bound without: it fails when the port is in use in any way. Only then it opens the group to the others.
pub(super) fn bind_group(address: SocketAddr, sockets: usize) -> io::Result<Vec<UdpSocket>> {
    let first = bind_one(address)?;
    SockRef::from(&first).set_reuse_port(true)?;
    let address = SocketAddr::new(address.ip(), first.local_addr()?.port());
    let mut group = vec![first];
    for _ in 1..sockets {
        let socket = new_socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        group.push(socket.into());
    }
    Ok(group)
}

pub(super) fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = new_socket(address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sets what makes media faster or replies leave from the right address. A kernel that lacks one still carries media.
pub(super) fn set_options(socket: &UdpSocket) {
    let is_ipv6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    // The options of IPv4 apply to the IPv4 traffic of a dual-stack socket too.
    let mut options = vec![
        (libc::IPPROTO_IP, libc::IP_PKTINFO, 1, "IP_PKTINFO"),
        // Never fragment, and do not let forged ICMP lower the MTU of a path; media datagrams are small enough.
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"),
    ];
    if is_ipv6 {
        options.extend([
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"),
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"),
        ]);
    }
    for (level, name, value, text) in options {
        if let Err(error) = sys::set_option(socket.as_fd(), level, name, value) {
            tracing::debug!(%error, option = text, "cannot set a socket option");
        }
    }
    for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        let bytes = SOCKET_BUFFER_BYTES as i32;
        // The first goes beyond net.core.{r,w}mem_max and needs CAP_NET_ADMIN; the second takes what they give.
        let result = sys::set_option(socket.as_fd(), libc::SOL_SOCKET, forced, bytes)
            .or_else(|_| sys::set_option(socket.as_fd(), libc::SOL_SOCKET, plain, bytes));
        if let Err(error) = result {
            tracing::debug!(%error, "cannot enlarge a socket buffer");
        }
    }
}

/// Bytes of the receive and send buffers. The kernel answers twice what one asks for, the half being its own overhead
/// (socket(7)).
fn buffers(socket: &UdpSocket) -> (usize, usize) {
    let socket = SockRef::from(socket);
    (socket.recv_buffer_size().unwrap_or(0) / 2, socket.send_buffer_size().unwrap_or(0) / 2)
}

pub(super) fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn all_shards_have_one_port() {
        let media = MediaShards::bind(loopback(0), 4, Without::default()).unwrap();
        assert!(media.port > 0);
        assert!(media.shards.iter().all(|shard| shard.port() == media.port));
        assert_eq!(media.shards.len(), 4);
        assert!(
            media.shards.iter().all(|shard| shard.receives() == media.capabilities.reuseport || shard.index() == 0)
        );
    }

    #[test]
    fn a_port_of_other_shards_is_taken() {
        let media = MediaShards::bind(loopback(0), 2, Without::default()).unwrap();
        for without in [Without::default(), Without { reuseport: true, ..Without::default() }] {
            let error = MediaShards::bind(loopback(media.port), 2, without).err().unwrap();
            assert_eq!(error.to_string(), format!("cannot listen on media UDP {}", loopback(media.port)));
            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn a_port_of_a_plain_socket_is_taken() {
        let taken = UdpSocket::bind(loopback(0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = MediaShards::bind(address, 2, Without::default()).err().unwrap();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn without_reuseport_the_first_shard_receives_for_all() {
        let without = Without { reuseport: true, ..Without::default() };
        let media = MediaShards::bind(loopback(0), 3, without).unwrap();
        assert_eq!(media.shards.iter().map(MediaShard::receives).collect::<Vec<_>>(), [true, false, false]);
        assert!(media.shards.iter().all(|shard| shard.port() == media.port));
        assert!(media.capabilities.missing().iter().any(|missing| missing.starts_with("SO_REUSEPORT balance")));
    }

    #[test]
    fn without_steering_the_shards_still_share_the_port() {
        let without = Without { steering: true, ..Without::default() };
        let media = MediaShards::bind(loopback(0), 2, without).unwrap();
        assert!(media.steering.is_none() && !media.capabilities.steered);
        let steered = MediaShards::bind(loopback(0), 2, Without::default()).unwrap();
        assert_eq!(steered.capabilities.steered, steered.steering.is_some());
        assert!(
            MediaShards::bind(loopback(0), 1, without).unwrap().capabilities.steered,
            "one shard is everybody's home"
        );
    }

    #[test]
    fn without_ipv6_an_unspecified_address_means_ipv4() {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let media = MediaShards::bind(address, 1, Without { ipv6: true, ..Without::default() }).unwrap();
        assert!(!media.capabilities.ipv6);
        assert!(media.port > 0);
    }
}
