//! What a datagram on the media port is, by its first bytes (RFC 7983 §7, RFC 5761 §4).

/// Kinds of datagrams that share one 5-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// First byte 0..=3.
    Stun,
    /// First byte 20..=63.
    Dtls,
    /// First byte 64..=79: TURN channel data, which never reaches a bridge legitimately.
    TurnChannel,
    /// First byte 128..=191, second byte outside 192..=223.
    Rtp,
    /// First byte 128..=191, second byte 192..=223.
    Rtcp,
    /// None of them, or empty.
    Unknown,
}

impl PacketKind {
    /// Looks at the first two bytes only; the packet may still be malformed.
    #[must_use]
    pub const fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [64..=79, ..] => Self::TurnChannel,
            // RFC 5761 §4: RTP payload types 64..=95 are not used beside RTCP, so that these values of the second byte,
            // marker included, are RTCP packet types.
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, _, ..] => Self::Rtp,
            [..] => Self::Unknown,
        }
    }
}

/// Whether the datagram is RTP or SRTP by its first bytes.
#[must_use]
pub const fn is_rtp(datagram: &[u8]) -> bool {
    matches!(PacketKind::of(datagram), PacketKind::Rtp)
}

/// Whether the datagram is RTCP or SRTCP by its first bytes.
#[must_use]
pub const fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(PacketKind::of(datagram), PacketKind::Rtcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_kinds_apart_by_the_ranges_of_rfc_7983() {
        let kinds = [
            (0, PacketKind::Stun),
            (3, PacketKind::Stun),
            (4, PacketKind::Unknown),
            (16, PacketKind::Unknown),
            (20, PacketKind::Dtls),
            (63, PacketKind::Dtls),
            (64, PacketKind::TurnChannel),
            (79, PacketKind::TurnChannel),
            (80, PacketKind::Unknown),
            (127, PacketKind::Unknown),
            (128, PacketKind::Rtp),
            (191, PacketKind::Rtp),
            (192, PacketKind::Unknown),
        ];
        for (first, kind) in kinds {
            assert_eq!(PacketKind::of(&[first, 0]), kind, "{first}");
        }
        assert_eq!(PacketKind::of(&[]), PacketKind::Unknown);
        assert_eq!(PacketKind::of(&[0x80]), PacketKind::Unknown);
    }

    #[test]
    fn rtcp_types_are_rtcp_and_marked_media_is_not() {
        for packet_type in [200, 201, 202, 203, 204, 205, 206, 207] {
            assert!(is_rtcp(&[0x81, packet_type]));
        }
        // VP8 as payload type 100 with the marker, Opus as 111.
        for second in [0xe4, 0x64, 111, 111 | 0x80] {
            assert!(is_rtp(&[0x90, second]));
        }
    }
}
