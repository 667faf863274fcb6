//! The first bytes of an ICE-TCP connection: an optional pseudo handshake, then a frame with a STUN Binding request.
//!
//! A passive ICE-TCP candidate is an open port (RFC 6544 §3), so whoever connects has to show at once that it speaks
//! ICE. Candidates of protocol `ssltcp` begin like TLS, for firewalls that let nothing else pass: libjingle's clients
//! send one fixed hello and get one fixed hello back, and all after that is plain. Here: reading that, without I/O.

use super::framing::first_frame;

/// What libjingle's clients send first: a CLIENT-HELLO of SSL 2.0 for TLS 1.0 with 15 cipher kinds and a fixed challenge.
const CLIENT_HELLO: [u8; 72] = *b"\x80\x46\x01\x03\x01\x00\x2d\x00\x00\x00\x10\
    \x01\x00\x80\x03\x00\x80\x07\x00\xc0\x06\x00\x40\x02\x00\x80\x04\x00\x80\x00\x00\x04\x00\xfe\xff\x00\x00\x0a\
    \x00\xfe\xfe\x00\x00\x09\x00\x00\x64\x00\x00\x62\x00\x00\x03\x00\x00\x06\
    \x1f\x17\x0c\xa6\x2f\x00\x78\xfc\x46\x55\x2e\xb1\x83\x39\xf1\xea";

/// What they wait for: a ServerHello of TLS 1.0 with a fixed random and session, RSA with RC4 and MD5.
const SERVER_HELLO: [u8; 79] = *b"\x16\x03\x01\x00\x4a\x02\x00\x00\x46\x03\x01\
    \x42\x85\x45\xa7\x27\xa9\x5d\xa0\xb3\xc5\xe7\x53\xda\x48\x2b\x3f\xc6\x5a\xca\x89\xc1\x58\x52\xa1\x78\x3c\x5b\x17\
    \x46\x00\x85\x3f\x20\
    \x0e\xd3\x06\x72\x5b\x5b\x1b\x5f\x15\xac\x13\xf9\x88\x53\x9d\x9b\xe8\x3d\x7b\x0c\x30\x32\x6e\x38\x4d\xa2\x75\x57\
    \x41\x6c\x34\x5c\x00\x04\x00";

/// Shortest STUN message: its header (RFC 8489 §5).
const MIN_STUN_BYTES: u16 = 20;
/// Longest first frame. Checks carry a user name of up to 513 bytes and a few attributes, far below an MTU.
const MAX_FIRST_FRAME_BYTES: u16 = 1500;

/// What the first bytes of a connection are, on a port that ICE-TCP shares with other protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// ICE-TCP: a frame that may be a STUN message, or the pseudo handshake.
    IceTcp,
    /// Something else: TLS, HTTP, TURN.
    Other,
    /// Too few to tell.
    Undecided,
}

impl FirstBytes {
    /// Looks at the first bytes, of which two suffice. TLS begins with 0x16, HTTP with a letter, and STUN without a
    /// frame, as TURN has it, with a message type that would be a length below that of a STUN header.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let is_hello = bytes.iter().zip(&CLIENT_HELLO).take(2).all(|(byte, expected)| byte == expected);
        match bytes.first_chunk().map(|len| u16::from_be_bytes(*len)) {
            None if bytes.is_empty() => Self::Undecided,
            None => {
                let may_be_frame = bytes.first().is_some_and(|byte| *byte <= MAX_FIRST_FRAME_BYTES.to_be_bytes()[0]);
                if is_hello || may_be_frame { Self::Undecided } else { Self::Other }
            }
            Some(len) if is_hello || (MIN_STUN_BYTES..=MAX_FIRST_FRAME_BYTES).contains(&len) => Self::IceTcp,
            Some(_) => Self::Other,
        }
    }
}

/// What to do next with a connection that opens.
#[derive(Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// Read more.
    Read,
    /// Send this, then ask again.
    Write(&'static [u8]),
    /// It speaks ICE. All bytes from the first frame on.
    Open(Vec<u8>),
}

/// The connection does not speak ICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a STUN Binding request")]
pub struct NotIce;

/// A connection whose first frame has not come yet.
#[derive(Debug)]
pub struct Opening {
    bytes: Vec<u8>,
    is_binding_request: fn(&[u8]) -> bool,
    has_greeted: bool,
}

impl Opening {
    /// `is_binding_request` tells from its syntax whether a frame is a STUN Binding request with a user name.
    #[must_use]
    pub fn new(is_binding_request: fn(&[u8]) -> bool) -> Self {
        Self { bytes: Vec::new(), is_binding_request, has_greeted: false }
    }

    /// Takes what was read. The caller reads a few KB at a time, and asks [`poll`](Self::poll) after each.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What to do next.
    ///
    /// # Errors
    /// [`NotIce`], as soon as it shows.
    pub fn poll(&mut self) -> Result<OpeningStep, NotIce> {
        match FirstBytes::of(&self.bytes) {
            FirstBytes::Other => return Err(NotIce),
            FirstBytes::Undecided => return Ok(OpeningStep::Read),
            FirstBytes::IceTcp => {}
        }
        if self.bytes.first() == CLIENT_HELLO.first() {
            return self.poll_hello();
        }
        match first_frame(&self.bytes) {
            Ok(None) => Ok(OpeningStep::Read),
            Ok(Some(frame)) if (self.is_binding_request)(frame) => {
                Ok(OpeningStep::Open(std::mem::take(&mut self.bytes)))
            }
            Ok(Some(_)) | Err(_) => Err(NotIce),
        }
    }

    fn poll_hello(&mut self) -> Result<OpeningStep, NotIce> {
        let is_hello_so_far = self.bytes.iter().zip(&CLIENT_HELLO).all(|(byte, expected)| byte == expected);
        if self.has_greeted || !is_hello_so_far {
            return Err(NotIce);
        }
        if self.bytes.len() < CLIENT_HELLO.len() {
            return Ok(OpeningStep::Read);
        }
        self.has_greeted = true;
        self.bytes.drain(..CLIENT_HELLO.len());
        Ok(OpeningStep::Write(&SERVER_HELLO))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A Binding request with USERNAME `a:b` and nothing else.
    pub(crate) const REQUEST: &[u8] = b"\0\x01\0\x08\x21\x12\xa4\x42transactionA\0\x06\0\x03a:b\0";

    pub(crate) fn is_request(frame: &[u8]) -> bool {
        frame == REQUEST
    }

    pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u16).to_be_bytes(), frame].concat()
    }

    pub(crate) const HELLO: &[u8] = &CLIENT_HELLO;
    pub(crate) const ANSWER: &[u8] = &SERVER_HELLO;

    /// Feeds `bytes` in two pieces; the answers written meanwhile, and the end.
    fn open(bytes: &[u8], at: usize) -> (Vec<u8>, Result<OpeningStep, NotIce>) {
        let (mut opening, mut written) = (Opening::new(is_request), Vec::new());
        for piece in [&bytes[..at], &bytes[at..]] {
            opening.handle_bytes(piece);
            loop {
                match opening.poll() {
                    Ok(OpeningStep::Write(answer)) => written.extend_from_slice(answer),
                    Ok(OpeningStep::Read) => break,
                    end => return (written, end),
                }
            }
        }
        (written, Ok(OpeningStep::Read))
    }

    #[test]
    fn a_framed_request_opens_wherever_it_is_cut() {
        let bytes = framed(REQUEST);
        for at in 0..=bytes.len() {
            assert_eq!(open(&bytes, at), (vec![], Ok(OpeningStep::Open(bytes.clone()))), "cut at {at}");
        }
    }

    #[test]
    fn the_pseudo_handshake_is_answered_once_wherever_it_is_cut() {
        let bytes = [HELLO, &framed(REQUEST)].concat();
        for at in 0..=bytes.len() {
            assert_eq!(open(&bytes, at), (ANSWER.to_vec(), Ok(OpeningStep::Open(framed(REQUEST)))), "cut at {at}");
        }
        assert_eq!(open(&[HELLO, HELLO].concat(), 5), (ANSWER.to_vec(), Err(NotIce)));
    }

    #[test]
    fn what_comes_behind_the_request_is_kept() {
        let bytes = [framed(REQUEST), framed(b"more"), vec![0, 9, 1]].concat();
        assert_eq!(open(&bytes, bytes.len()).1, Ok(OpeningStep::Open(bytes)));
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_bytes() {
        let mut wrong_hello = HELLO.to_vec();
        wrong_hello[70] ^= 1;
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec();
        let other_frame = framed(&[1; 40]);
        for bytes in [tls, b"GET / HTTP/1.1".to_vec(), REQUEST.to_vec(), wrong_hello, other_frame, framed(b"short")] {
            for at in 0..bytes.len() {
                assert_eq!(open(&bytes, at), (vec![], Err(NotIce)), "{bytes:?} cut at {at}");
            }
        }
    }

    #[test]
    fn first_bytes_tell_ice_from_tls_http_and_turn() {
        let is = |bytes: &[u8]| FirstBytes::of(bytes);
        assert_eq!(is(&framed(REQUEST)), FirstBytes::IceTcp);
        assert_eq!(is(HELLO), FirstBytes::IceTcp);
        assert_eq!([is(b""), is(b"\0"), is(b"\x80")], [FirstBytes::Undecided; 3]);
        // TURN's Allocate request (RFC 8656 §17) without a frame; a real hello of SSL 2.0 of another length.
        for other in [&b"\x16"[..], b"\x16\x03", b"P", b"PRI * HTTP/2.0", b"\0\x03\0\x08", b"\x80\x2e", b"\xff"] {
            assert_eq!(is(other), FirstBytes::Other, "{other:?}");
        }
    }
}
