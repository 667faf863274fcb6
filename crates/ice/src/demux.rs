//! What a datagram is and whom it is for, before anything in it can be trusted (RFC 7983, RFC 8489 §5, RFC 8445 §7.2.2).
//!
//! Not here: integrity and everything after it (`agent`).

use crate::stun::{BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, StunFrame, USERNAME};

/// What the first byte of a datagram says it is (RFC 7983 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramKind {
    /// 0..=3: a STUN message.
    Stun,
    /// 20..=63: a DTLS record.
    Dtls,
    /// 128..=191: RTP or RTCP, protected.
    Media,
    /// Empty, or a first byte that no protocol of ours uses: ZRTP, TURN channels, anything else.
    Unknown,
}

impl DatagramKind {
    /// Looks at the first byte only. Cannot fail.
    #[inline]
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            Some(128..=191) => Self::Media,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// The little of a STUN message that routing needs. Nothing of it is authenticated: a forged message looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunDemux<'a> {
    /// A Binding request with a USERNAME: `local_ufrag` is the part before the first colon, ours (RFC 8445 §7.2.2).
    BindingRequest {
        /// The ufrag of the agent that the sender believes to reach.
        local_ufrag: &'a str,
    },
    /// A Binding success or error response: belongs to whoever sent the request, known by the remote address.
    BindingResponse,
}

impl<'a> StunDemux<'a> {
    /// The ufrag of a Binding request, by which a datagram finds its agent whatever address it came from. `None` for
    /// anything else: a response is for the agent that knows its address.
    pub fn local_ufrag(datagram: &'a [u8]) -> Option<&'a str> {
        match Self::parse(datagram)? {
            Self::BindingRequest { local_ufrag } => Some(local_ufrag),
            Self::BindingResponse => None,
        }
    }

    /// Checks header, magic cookie and lengths, then walks the attributes up to USERNAME. `None`: not a STUN message
    /// that an ICE agent could use (RFC 8489 §5, §14). Costs no allocation and no cryptography.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut frame = StunFrame::parse(datagram)?;
        match frame.message_type {
            BINDING_REQUEST => {}
            BINDING_SUCCESS | BINDING_ERROR => return Some(Self::BindingResponse),
            _ => return None,
        }
        let (_, username) = frame.attributes.find(|(attribute, _)| *attribute == USERNAME)?;
        let (local_ufrag, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
        (!local_ufrag.is_empty()).then_some(Self::BindingRequest { local_ufrag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::MAGIC_COOKIE;

    /// A STUN message of `message_type` with `attributes` of (type, value), padded, nothing signed.
    fn message(message_type: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = message_type.to_be_bytes().to_vec();
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.extend_from_slice(&MAGIC_COOKIE);
        message.extend_from_slice(&[7; 12]);
        message.extend_from_slice(&body);
        message
    }

    #[test]
    fn first_byte_decides_the_kind() {
        let kind = |byte: u8| DatagramKind::of(&[byte, 0, 0]);
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0..=3 => DatagramKind::Stun,
                20..=63 => DatagramKind::Dtls,
                128..=191 => DatagramKind::Media,
                4..=19 | 64..=127 | 192..=255 => DatagramKind::Unknown,
            };
            assert_eq!(kind(byte), expected, "first byte {byte}");
        }
        assert_eq!(DatagramKind::of(&[]), DatagramKind::Unknown);
    }

    #[test]
    fn ufrag_before_the_colon_is_ours() {
        let request = message(BINDING_REQUEST, &[(0x0024, &[0; 4]), (USERNAME, b"abcd1:Xy/+")]);
        assert_eq!(StunDemux::parse(&request), Some(StunDemux::BindingRequest { local_ufrag: "abcd1" }));
    }

    #[test]
    fn attributes_before_username_are_skipped_with_their_padding() {
        let request = message(BINDING_REQUEST, &[(0x8022, b"abc"), (0xc057, &[0; 4]), (USERNAME, b"u:v")]);
        assert_eq!(StunDemux::parse(&request), Some(StunDemux::BindingRequest { local_ufrag: "u" }));
    }

    #[test]
    fn responses_are_told_from_requests() {
        assert_eq!(StunDemux::parse(&message(BINDING_SUCCESS, &[])), Some(StunDemux::BindingResponse));
        assert_eq!(StunDemux::parse(&message(BINDING_ERROR, &[])), Some(StunDemux::BindingResponse));
    }

    #[test]
    fn requests_without_a_usable_username_are_refused() {
        for attributes in
            [&[][..], &[(USERNAME, b"no colon" as &[u8])], &[(USERNAME, b":remote")], &[(USERNAME, b"\xff\xfe:r")]]
        {
            assert_eq!(StunDemux::parse(&message(BINDING_REQUEST, attributes)), None, "{attributes:?}");
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        let good = message(BINDING_REQUEST, &[(USERNAME, b"abcd:efgh")]);
        for len in 0..good.len() {
            assert_eq!(StunDemux::parse(&good[..len]), None, "cut to {len}");
        }
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(StunDemux::parse(&trailing), None);
        let mut cookie = good.clone();
        cookie[4] ^= 1;
        assert_eq!(StunDemux::parse(&cookie), None);
        let mut attribute_len = good.clone();
        attribute_len[22] = 0xff;
        assert_eq!(StunDemux::parse(&attribute_len), None);
        assert_eq!(StunDemux::parse(&message(0x0011, &[(USERNAME, b"a:b")])), None, "an indication");
        assert_eq!(StunDemux::parse(&message(0x0003, &[(USERNAME, b"a:b")])), None, "TURN allocate");
    }
}
