//! The UDP socket of a participant, and the batches that all participants of a thread share.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant, SystemTime};

use rtp::NtpTime;
use tokio::net::UdpSocket;

use crate::batch::{BATCH, ReceiveBatch, SendBatch, Wait, prepare, stamp_arrivals};

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    wall: Duration,
}

impl Moment {
    pub(super) fn new() -> Self {
        Self { now: Instant::now(), wall: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() }
    }

    pub(super) fn ntp(self) -> NtpTime {
        NtpTime::from_unix(self.wall)
    }

    /// When the system got a datagram; now if it does not say.
    fn arrival(self, stamp: Duration) -> Instant {
        let age = if stamp.is_zero() { Duration::ZERO } else { self.wall.saturating_sub(stamp) };
        // A clock that was set in between would make an age of hours.
        self.now - age.min(MAX_AGE)
    }
}

/// No datagram waits longer in a socket that somebody reads.
const MAX_AGE: Duration = Duration::from_secs(2);

/// What the participants of a thread share.
pub(super) struct Batches {
    receive: ReceiveBatch,
    send: SendBatch,
}

impl Batches {
    pub(super) fn new() -> Self {
        Self { receive: ReceiveBatch::new(), send: SendBatch::new() }
    }
}

/// A participant's socket.
pub(super) struct MediaSocket {
    socket: Watch,
    local: SocketAddr,
    connected_to: Option<SocketAddr>,
}

/// Who says that datagrams wait.
enum Watch {
    /// The runtime, at once.
    Runtime(UdpSocket),
    /// Nobody: the socket is looked into from time to time, which costs no event for each datagram.
    None(std::net::UdpSocket),
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Runtime(socket) => socket.as_fd(),
            Self::None(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl MediaSocket {
    /// A socket that can reach `bridge`, at the address of this host that its datagrams will have.
    pub(super) fn bind(bridge: SocketAddr) -> anyhow::Result<Self> {
        let unspecified: IpAddr = match bridge {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let probe = std::net::UdpSocket::bind((unspecified, 0))?;
        probe.connect(bridge)?;
        let socket = std::net::UdpSocket::bind((probe.local_addr()?.ip(), 0))?;
        prepare(&socket)?;
        stamp_arrivals(&socket)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        // Batches name senders over IPv4 only; over IPv6 the first candidate is the only one.
        let connected_to = bridge.is_ipv6().then_some(bridge);
        if let Some(bridge) = connected_to {
            socket.connect(bridge)?;
        }
        Ok(Self { socket: Watch::Runtime(UdpSocket::from_std(socket)?), local, connected_to })
    }

    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits for a datagram; for ever once nobody watches.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.socket {
            Watch::Runtime(socket) => socket.readable().await,
            Watch::None(_) => std::future::pending().await,
        }
    }

    /// Has nobody watch it from now on.
    pub(super) fn stop_watching(self) -> io::Result<Self> {
        let socket = match self.socket {
            Watch::Runtime(socket) => socket.into_std()?,
            Watch::None(socket) => socket,
        };
        Ok(Self { socket: Watch::None(socket), ..self })
    }

    /// Hands what waits, at most one batch, to `handle` with the time of arrival; answers whether more may wait.
    pub(super) fn receive(
        &self,
        batches: &mut Batches,
        moment: Moment,
        mut handle: impl FnMut(SocketAddr, Instant, &mut [u8]),
    ) -> io::Result<bool> {
        let fallback = self.connected_to;
        let mut receive = || {
            let received = batches.receive.receive(&self.socket, Wait::Never, |datagram| {
                let from = if datagram.from.ip().is_unspecified() { fallback } else { Some(datagram.from.into()) };
                if let Some(from) = from {
                    handle(from, moment.arrival(datagram.arrival), datagram.data);
                }
            })?;
            // Less than a batch: the readiness of the socket is used up.
            if received == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(received) }
        };
        let receiving = match &self.socket {
            Watch::Runtime(socket) => socket.try_io(tokio::io::Interest::READABLE, receive),
            Watch::None(_) => receive(),
        };
        match receiving {
            Ok(received) => Ok(received == BATCH),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends one datagram to anywhere. What the network does not take is lost.
    pub(super) fn send_to(&self, to: SocketAddr, datagram: &[u8]) {
        // Not by the runtime, to which a new socket is not writable until it has looked.
        let _ = rustix::net::sendto(&self.socket, datagram, rustix::net::SendFlags::empty(), &to);
    }

    /// Sends media to the bridge.
    pub(super) fn send<'a>(
        &mut self,
        batches: &mut Batches,
        bridge: SocketAddr,
        datagrams: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        if self.connected_to != Some(bridge) {
            rustix::net::connect(&self.socket, &bridge)?;
            self.connected_to = Some(bridge);
        }
        let mut slices: Vec<[IoSlice<'_>; 1]> = datagrams.map(|datagram| [IoSlice::new(datagram)]).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let (next, behind) = rest.split_at_mut(rest.len().min(BATCH));
            // A full socket loses, as a line does.
            match batches.send.send_connected(&self.socket, next) {
                Ok(_) | Err(nix::errno::Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            rest = behind;
        }
        Ok(())
    }
}
