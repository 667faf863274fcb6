//! The bytes beside a datagram in the kernel's socket interface: its address, and its control messages (cmsg(3), ip(7),
//! ipv6(7), udp(7)).
//!
//! Here: encoding and decoding, without a pointer. Not here: the calls that carry them (`sys`).

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `sockaddr_in6`, the longer one of the two address forms.
const NAME_BYTES: usize = 28;
const NAME_BYTES_V4: usize = 16;
/// Enough for both kinds of packet information, which a dual-stack socket may give together, and a segment size.
const CONTROL_BYTES: usize = 128;
/// `struct cmsghdr` of the kernel: a `size_t` and two `int`.
const CONTROL_HEADER_BYTES: usize = size_of::<usize>() + 8;

/// An address as the kernel has it: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES],
    len: u8,
}

impl Name {
    /// The address for a socket of one family: a dual-stack socket wants IPv4 in its mapped form (RFC 4291 §2.5.5.2).
    pub(super) fn new(address: SocketAddr, is_ipv6_socket: bool) -> Self {
        match address {
            SocketAddr::V4(v4) if is_ipv6_socket => {
                Self::v6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            SocketAddr::V4(v4) => Self::v4(v4),
            SocketAddr::V6(v6) => Self::v6(v6),
        }
    }

    fn v4(address: SocketAddrV4) -> Self {
        let mut bytes = [0; NAME_BYTES];
        put(&mut bytes, 0, &(libc::AF_INET as u16).to_ne_bytes());
        put(&mut bytes, 2, &address.port().to_be_bytes());
        put(&mut bytes, 4, &address.ip().octets());
        Self { bytes, len: NAME_BYTES_V4 as u8 }
    }

    fn v6(address: SocketAddrV6) -> Self {
        let mut bytes = [0; NAME_BYTES];
        put(&mut bytes, 0, &(libc::AF_INET6 as u16).to_ne_bytes());
        put(&mut bytes, 2, &address.port().to_be_bytes());
        put(&mut bytes, 4, &address.flowinfo().to_be_bytes());
        put(&mut bytes, 8, &address.ip().octets());
        put(&mut bytes, 24, &address.scope_id().to_ne_bytes());
        Self { bytes, len: NAME_BYTES as u8 }
    }

    /// The address, IPv4 as such; the scope stays with link-local addresses, which cannot be reached without it.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let bytes = self.bytes();
        let family = c_int::from(u16::from_ne_bytes(take(bytes, 0)?));
        let port = u16::from_be_bytes(take(bytes, 2)?);
        match family {
            libc::AF_INET => Some(SocketAddr::new(Ipv4Addr::from(take::<4>(bytes, 4)?).into(), port)),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(take::<16>(bytes, 8)?);
                if ip.is_unicast_link_local() {
                    return Some(SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(take(bytes, 24)?)).into());
                }
                Some(SocketAddr::new(ip.to_canonical(), port))
            }
            _ => None,
        }
    }

    /// The bytes that are in use.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// All the space, for the kernel to write to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// How much of the space the kernel used.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(NAME_BYTES) as u8;
    }
}

/// A list of control messages.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Control {
    bytes: [u8; CONTROL_BYTES],
    len: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { bytes: [0; CONTROL_BYTES], len: 0 }
    }
}

impl Control {
    /// Empties the list.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Asks for `source` as the address that the datagram leaves from (`IP_PKTINFO`, `IPV6_PKTINFO`; RFC 3542 §6.1).
    pub(super) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(v4) => {
                // `struct in_pktinfo`: interface 0 (any), the source, a field that sending ignores.
                let mut info = [0; 12];
                put(&mut info, 4, &v4.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(v6) => {
                // `struct in6_pktinfo`: the source, interface 0 (any).
                let mut info = [0; 20];
                put(&mut info, 0, &v6.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// Asks the kernel to cut the message into datagrams of `bytes` each (`UDP_SEGMENT`).
    pub(super) fn push_segment_size(&mut self, bytes: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
    }

    /// Takes back [`push_segment_size`](Self::push_segment_size), which was the last one added.
    pub(super) fn pop_segment_size(&mut self) {
        self.len = self.len.saturating_sub(CONTROL_HEADER_BYTES + size_of::<usize>());
    }

    fn push(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        let start = self.len;
        let end = start + CONTROL_HEADER_BYTES + data.len().next_multiple_of(size_of::<usize>());
        if end > CONTROL_BYTES {
            return;
        }
        put(&mut self.bytes, start, &(CONTROL_HEADER_BYTES + data.len()).to_ne_bytes());
        put(&mut self.bytes, start + size_of::<usize>(), &level.to_ne_bytes());
        put(&mut self.bytes, start + size_of::<usize>() + 4, &kind.to_ne_bytes());
        put(&mut self.bytes, start + CONTROL_HEADER_BYTES, data);
        self.len = end;
    }

    /// The address of ours that a received datagram was sent to, IPv4 as such.
    pub(super) fn destination(&self) -> Option<IpAddr> {
        let mut rest = self.bytes();
        loop {
            let len = usize::from_ne_bytes(take(rest, 0)?);
            let level = c_int::from_ne_bytes(take(rest, size_of::<usize>())?);
            let kind = c_int::from_ne_bytes(take(rest, size_of::<usize>() + 4)?);
            let data = rest.get(CONTROL_HEADER_BYTES..len)?;
            match (level, kind) {
                // The last field of `struct in_pktinfo`: the destination in the header of the datagram.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => return Some(Ipv4Addr::from(take::<4>(data, 8)?).into()),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    return Some(Ipv6Addr::from(take::<16>(data, 0)?).to_canonical());
                }
                _ => rest = rest.get(len.next_multiple_of(size_of::<usize>())..)?,
            }
        }
    }

    /// The bytes that are in use.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// All the space, for the kernel to write to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// How much of the space the kernel used.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(CONTROL_BYTES);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(space) = bytes.get_mut(at..at + value.len()) {
        space.copy_from_slice(value);
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_the_kernels_form() {
        for (address, is_ipv6_socket, len) in [
            ("192.0.2.1:5000", false, size_of::<libc::sockaddr_in>()),
            ("192.0.2.1:5000", true, size_of::<libc::sockaddr_in6>()),
            ("[2001:db8::1]:5000", true, size_of::<libc::sockaddr_in6>()),
            ("[fe80::1%3]:5000", true, size_of::<libc::sockaddr_in6>()),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let name = Name::new(address, is_ipv6_socket);
            assert_eq!(name.bytes().len(), len);
            assert_eq!(name.address(), Some(address));
        }
    }

    #[test]
    fn an_address_of_another_family_or_length_is_none() {
        let mut name = Name::new(SocketAddr::from(([192, 0, 2, 1], 5000)), false);
        name.set_len(6);
        assert_eq!(name.address(), None);
        assert_eq!(Name::default().address(), None);
    }

    #[test]
    fn control_messages_have_the_kernels_alignment() {
        let mut control = Control::default();
        control.push_source(Ipv6Addr::LOCALHOST.into());
        control.push_segment_size(1200);
        assert_eq!(CONTROL_HEADER_BYTES, size_of::<libc::cmsghdr>());
        // 20 bytes of packet information in 24, 2 bytes of segment size in 8.
        assert_eq!(control.bytes().len(), CONTROL_HEADER_BYTES + 24 + CONTROL_HEADER_BYTES + 8);
        assert_eq!(control.destination(), Some(Ipv6Addr::LOCALHOST.into()));
        control.pop_segment_size();
        assert_eq!(control.bytes().len(), CONTROL_HEADER_BYTES + 24);
        control.clear();
        assert_eq!(control.destination(), None);
    }

    #[test]
    fn control_messages_that_do_not_fit_are_left_out() {
        let mut control = Control::default();
        for _ in 0..10 {
            control.push_source(Ipv6Addr::LOCALHOST.into());
        }
        assert!(control.bytes().len() <= CONTROL_BYTES);
    }

    #[test]
    fn a_control_length_that_lies_ends_the_list() {
        for len in [0_usize, 3, 1000, usize::MAX] {
            let mut control = Control::default();
            control.push_segment_size(1200);
            control.space()[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(control.destination(), None);
        }
    }
}
