//! What has to be read and written of SCTP packets beside the library (RFC 9260 §3, §8.5).

use bytes::Bytes;

/// Ports and verification tag, as they stand in every packet to the peer.
pub(crate) type Addressing = [u8; 8];

/// The addressing of a packet to the peer. None before the peer has named its tag.
pub(crate) fn addressing(packet: &[u8]) -> Option<Addressing> {
    packet.first_chunk().copied().filter(|addressing: &Addressing| !addressing.ends_with(&[0; 4]))
}

/// A packet that starts an association: its verification tag is 0 and its first chunk is INIT (RFC 9260 §8.5.1, §3.3.2).
pub(crate) fn is_init(packet: &[u8]) -> bool {
    packet.get(4..8) == Some(&[0; 4]) && packet.get(CHUNK_AT) == Some(&INIT)
}

/// An end that the peer tells with its own tag, because it has forgotten ours (RFC 9260 §8.5.1: B and C, the T bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReflectedEnd {
    Abort,
    ShutdownComplete,
}

impl ReflectedEnd {
    /// Whether `packet` says so to who sends with `ours`.
    pub(crate) fn parse(packet: &[u8], ours: &Addressing) -> Option<Self> {
        let has_their_tag = packet.get(4..8).is_some_and(|tag| ours.ends_with(tag));
        let &[kind, flags] = packet.get(CHUNK_AT..)?.first_chunk()?;
        match kind {
            ABORT if has_their_tag && flags & T_BIT != 0 => Some(Self::Abort),
            SHUTDOWN_COMPLETE if has_their_tag && flags & T_BIT != 0 => Some(Self::ShutdownComplete),
            _ => None,
        }
    }
}

/// An ABORT whose cause is that the user wants it (RFC 9260 §3.3.7, §3.3.10.12).
pub(crate) fn abort(to: &Addressing) -> Bytes {
    let mut packet = to.to_vec();
    packet.extend([0; 4]);
    packet.extend([ABORT, 0, 0, 8, 0, USER_INITIATED_ABORT, 0, 4]);
    let checksum = crc32c(&packet).to_le_bytes();
    for (byte, value) in packet.iter_mut().skip(to.len()).zip(checksum) {
        *byte = value;
    }
    packet.into()
}

/// CRC32c of a packet whose checksum field is zero (RFC 9260 §6.8, Appendix A). Bit by bit: for one packet a peer.
pub(crate) fn crc32c(packet: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in packet {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// Where the first chunk begins.
const CHUNK_AT: usize = 12;

/// Chunk types (RFC 9260 §3.2).
const INIT: u8 = 1;
const ABORT: u8 = 6;
const SHUTDOWN_COMPLETE: u8 = 14;

/// The tag of the packet is that of its sender.
const T_BIT: u8 = 1;

/// Cause code (RFC 9260 §3.3.10).
const USER_INITIATED_ABORT: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const TO_PEER: Addressing = [0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4];

    #[test]
    fn checksum_is_that_of_the_rfc() {
        // RFC 3720 appendix B.4, the same CRC: 32 bytes of zeros, of ones, and counting up.
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()).to_le_bytes(), [0x4e, 0x79, 0xdd, 0x46]);
    }

    #[test]
    fn reflected_ends_need_the_t_bit_and_the_tag_of_the_peer() {
        let packet =
            |tag: u8, kind: u8, flags: u8| [0x13, 0x88, 0x13, 0x88, tag, 2, 3, 4, 0, 0, 0, 0, kind, flags, 0, 4];
        assert_eq!(ReflectedEnd::parse(&packet(1, ABORT, 1), &TO_PEER), Some(ReflectedEnd::Abort));
        assert_eq!(
            ReflectedEnd::parse(&packet(1, SHUTDOWN_COMPLETE, 1), &TO_PEER),
            Some(ReflectedEnd::ShutdownComplete)
        );
        for (tag, kind, flags) in [(2, ABORT, 1), (1, ABORT, 0), (1, SHUTDOWN_COMPLETE, 0), (1, INIT, 1)] {
            assert_eq!(ReflectedEnd::parse(&packet(tag, kind, flags), &TO_PEER), None);
        }
        for len in 0..14 {
            assert_eq!(ReflectedEnd::parse(&packet(1, ABORT, 1)[..len], &TO_PEER), None);
        }
    }

    #[test]
    fn addressing_is_known_when_the_peer_has_named_its_tag() {
        let mut init = [TO_PEER, [0; 8]].concat();
        assert_eq!(addressing(&init), Some(TO_PEER));
        init[4..8].fill(0);
        assert_eq!(addressing(&init), None);
        assert_eq!(addressing(&init[..7]), None);
    }
}
