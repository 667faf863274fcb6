//! What a connection carries, told by the first bytes that its client sends.
//!
//! All of these have the client speak first: TLS, ICE over TCP (RFC 4571 frames around STUN, RFC 6544 §10.1), the same
//! behind libjingle's `ssltcp` greeting, and STUN or TURN over TCP (RFC 8656 §3.1).

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstBytes {
    /// Too few to tell.
    NeedMore,
    /// A TLS record with a handshake message (RFC 8446 §5.1).
    Tls,
    /// ICE over TCP, with or without `ssltcp` greeting.
    IceTcp,
    /// STUN or TURN.
    Turn,
    /// HTTP within TLS; in the clear it belongs to the other port.
    Http,
    /// Nothing that is spoken here.
    Unknown,
}

/// What all STUN messages have at offset 4 (RFC 8489 §5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Message type of a Binding request (RFC 8489 §18.2): the first that a client sends in ICE.
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// Start of the SSLv2 ClientHello that libjingle sends to pass as TLS: length 70, message type 1, version 3.1.
const SSLTCP_HELLO: [u8; 5] = [0x80, 0x46, 0x01, 0x03, 0x01];
/// A Binding request in a frame is at least a header, and fits a path's MTU.
const FRAME_BYTES: std::ops::RangeInclusive<u16> = 20..=1500;

impl FirstBytes {
    /// Of a connection in the clear.
    pub(crate) fn of_connection(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::NeedMore,
            [0x16, 0x03, ..] => Self::Tls,
            [0x16] => Self::NeedMore,
            [first, ..] if *first == SSLTCP_HELLO[0] => Self::if_prefix(bytes, &SSLTCP_HELLO, Self::IceTcp),
            [first, ..] if first >> 6 == 0 => Self::of_stun(bytes),
            _ => Self::Unknown,
        }
    }

    /// Of what TLS protects, where the client did not name its protocol: browsers do not for TURN.
    pub(crate) fn of_plaintext(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::NeedMore,
            // Methods of HTTP/1.1 and the preface of HTTP/2 are letters.
            [first, ..] if first >> 6 != 0 => Self::Http,
            _ => Self::if_at(bytes, 4, &MAGIC_COOKIE, Self::Turn),
        }
    }

    /// STUN as it is, or in a frame: either has the magic cookie, at another place.
    fn of_stun(bytes: &[u8]) -> Self {
        let plain = Self::if_at(bytes, 4, &MAGIC_COOKIE, Self::Turn);
        if plain != Self::Unknown {
            return plain;
        }
        let Some((&length, message)) = bytes.split_first_chunk::<2>() else { return Self::NeedMore };
        if !FRAME_BYTES.contains(&u16::from_be_bytes(length)) {
            return Self::Unknown;
        }
        let request = Self::if_prefix(message, &BINDING_REQUEST, Self::IceTcp);
        if request == Self::IceTcp { Self::if_at(message, 4, &MAGIC_COOKIE, Self::IceTcp) } else { request }
    }

    fn if_prefix(bytes: &[u8], wanted: &[u8], then: Self) -> Self {
        Self::if_at(bytes, 0, wanted, then)
    }

    /// `then` when `wanted` stands at `offset`; more is needed while it may come yet.
    fn if_at(bytes: &[u8], offset: usize, wanted: &[u8], then: Self) -> Self {
        let there = bytes.get(offset..).unwrap_or_default();
        if there.starts_with(wanted) {
            then
        } else if wanted.starts_with(there) {
            Self::NeedMore
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN_ALLOCATE: [u8; 10] = [0x00, 0x03, 0x00, 0x08, 0x21, 0x12, 0xa4, 0x42, 7, 7];
    const FRAMED_BINDING: [u8; 12] = [0x00, 0x5c, 0x00, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 7, 7];

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        for (bytes, kind) in [
            (&[0x16, 0x03, 0x01, 0x02, 0x00][..], FirstBytes::Tls),
            (&TURN_ALLOCATE, FirstBytes::Turn),
            (&FRAMED_BINDING, FirstBytes::IceTcp),
            (&[0x80, 0x46, 0x01, 0x03, 0x01, 0x00], FirstBytes::IceTcp),
            (b"GET / HTTP/1.1", FirstBytes::Unknown),
            (b"SSH-2.0-OpenSSH", FirstBytes::Unknown),
            (&[0x80, 0x47, 0x01, 0x03, 0x01], FirstBytes::Unknown),
            (&[0x16, 0xfe, 0xff, 0, 0, 0, 0, 0], FirstBytes::Unknown),
            (&[0x00; 16], FirstBytes::Unknown),
            // A frame of another message than a Binding request, and one that is too long.
            (&[0x00, 0x5c, 0x00, 0x03, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42], FirstBytes::Unknown),
            (&[0x3f, 0xff, 0x00, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42], FirstBytes::Unknown),
        ] {
            assert_eq!(FirstBytes::of_connection(bytes), kind, "{bytes:x?}");
        }
    }

    #[test]
    fn too_few_bytes_decide_nothing() {
        for whole in [&TURN_ALLOCATE[..8], &FRAMED_BINDING[..10], &[0x16, 0x03], &SSLTCP_HELLO] {
            for len in 0..whole.len() {
                assert_eq!(FirstBytes::of_connection(&whole[..len]), FirstBytes::NeedMore, "{:x?}", &whole[..len]);
            }
            assert_ne!(FirstBytes::of_connection(whole), FirstBytes::NeedMore, "{whole:x?}");
        }
    }

    #[test]
    fn within_tls_turn_is_told_from_http() {
        assert_eq!(FirstBytes::of_plaintext(b"G"), FirstBytes::Http);
        assert_eq!(FirstBytes::of_plaintext(b"PRI * HTTP/2.0"), FirstBytes::Http);
        assert_eq!(FirstBytes::of_plaintext(&TURN_ALLOCATE[..7]), FirstBytes::NeedMore);
        assert_eq!(FirstBytes::of_plaintext(&TURN_ALLOCATE), FirstBytes::Turn);
        assert_eq!(FirstBytes::of_plaintext(&[0; 8]), FirstBytes::Unknown);
    }

    #[test]
    fn ten_bytes_always_decide() {
        for first in 0..=u8::MAX {
            for second in [0x00, 0x01, 0x03, 0x46, 0x5c, 0xff] {
                let mut bytes = [0; 10];
                bytes[..2].copy_from_slice(&[first, second]);
                assert_ne!(FirstBytes::of_connection(&bytes), FirstBytes::NeedMore, "{bytes:x?}");
                assert_ne!(FirstBytes::of_plaintext(&bytes), FirstBytes::NeedMore, "{bytes:x?}");
            }
        }
    }
}
