//! The UDP socket that clients send to, which answers from the address that each of them used.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use model::FiveTuple;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::core_task::Command;
use crate::Metrics;

/// Longest datagram that is relayed: media and DTLS stay below 1500 bytes.
pub(super) const MAX_DATAGRAM_BYTES: usize = 2048;
/// Kernel buffers: 1 MB is 80 ms of 100 Mbit/s, so that a pause of the task loses nothing.
const SOCKET_BUFFER_BYTES: usize = 1 << 20;
/// A message of the kernel's receive offload has at most this many bytes.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Messages of one system call.
const BATCH: usize = 8;

/// A bound socket.
#[derive(Debug)]
pub(super) struct UdpListener {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
}

impl UdpListener {
    /// Binds an address; an unspecified IPv6 address takes IPv4 too.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // The kernel caps these at net.core.{r,w}mem_max: less is slower under load, not wrong.
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES)?;
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER_BYTES)?;
        let socket = UdpSocket::from_std(socket.into())?;
        let address = socket.local_addr()?;
        Ok(Self { socket, state, address })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sends a datagram; answers whether the kernel took it.
    pub(super) fn send(&self, path: FiveTuple, contents: &[u8]) -> bool {
        let destination = match path.remote.ip() {
            IpAddr::V4(v4) if self.address.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), path.remote.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => path.remote,
        };
        let src_ip = Some(path.local.ip()).filter(|ip| !ip.is_unspecified());
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        self.socket
            .try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.socket), &transmit))
            .is_ok()
    }

    /// Waits for datagrams and hands each to `handle`.
    async fn receive(&self, messages: &mut [u8], mut handle: impl FnMut(FiveTuple, &[u8])) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BATCH];
        let received = self
            .socket
            .async_io(Interest::READABLE, || {
                let mut slices = messages.chunks_mut(MESSAGE_BYTES).map(IoSliceMut::new);
                let mut batch: [IoSliceMut<'_>; BATCH] =
                    std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                self.state.recv(UdpSockRef::from(&self.socket), &mut batch, &mut metas)
            })
            .await?;
        for (meta, message) in metas.iter().zip(messages.chunks(MESSAGE_BYTES)).take(received) {
            let unspecified = IpAddr::from(Ipv6Addr::UNSPECIFIED);
            let local = SocketAddr::new(meta.dst_ip.map_or(unspecified, |ip| ip.to_canonical()), self.port());
            let path = FiveTuple::udp(local, super::canonical(meta.addr));
            // The kernel joins datagrams of one sender that have the same length, but for a shorter last one.
            for datagram in message.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                handle(path, datagram);
            }
        }
        Ok(())
    }
}

/// Reads for the core until that is gone.
pub(super) async fn read(listener: Arc<UdpListener>, commands: mpsc::Sender<Command>, metrics: Metrics) {
    let mut messages = vec![0; MESSAGE_BYTES * BATCH];
    while !commands.is_closed() {
        let received = listener.receive(&mut messages, |path, datagram| {
            if datagram.len() > MAX_DATAGRAM_BYTES {
                return metrics.count_dropped("too_long");
            }
            if commands.try_send(Command::Datagram { path, bytes: datagram.to_vec() }).is_err() {
                metrics.count_dropped("queue_full");
            }
        });
        if let Err(error) = received.await {
            // An ICMP error that came back for an earlier datagram: that client is gone.
            tracing::trace!(%error, "turn socket");
        }
    }
}
