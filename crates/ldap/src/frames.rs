//! LDAP messages as bytes (RFC 4511 §5.1): where one ends, and whether it is small, shallow and of the right shape. What a
//! server sends passes here before `ldap3` sees it, which trusts lengths, recurses as deep as it is told, and panics where the
//! shape is wrong.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Largest message that is taken: an entry with the few attributes that are asked for, even one that lists certificates.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Deepest nesting: an entry has message, operation, attribute list, attribute, values and value; controls add two.
const MAX_DEPTH: u8 = 12;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const CONTROLS: u8 = 0xa0;
/// Active Directory puts the name of an unsolicited notification behind the operation.
const RESPONSE_NAME: u8 = 0x8a;
const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;
const APPLICATION: u8 = 0x40;

/// The request for StartTLS (RFC 4511 §4.14.1) as message 1.
pub(crate) const START_TLS_REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// An extended response (RFC 4511 §4.12).
const EXTENDED_RESPONSE: u8 = 0x78;
const ENUMERATED: u8 = 0x0a;

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads one message and not a byte more, so that nothing of it can pass for what TLS protects. `None` at the end.
pub(crate) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; 2];
    match stream.read_exact(&mut message).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [tag, first] = [message.first(), message.get(1)].map(|byte| byte.copied().unwrap_or_default());
    if tag != SEQUENCE {
        return Err(bad("no LDAP message"));
    }
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return Err(bad("no definite length"));
        }
        let mut length = vec![0; count];
        stream.read_exact(&mut length).await?;
        message.extend_from_slice(&length);
    }
    let (_, length, _) = header(&message)?;
    if length > MAX_MESSAGE_BYTES {
        return Err(bad("a message that is too long"));
    }
    let start = message.len();
    message.resize(start + length, 0);
    stream.read_exact(message.get_mut(start..).unwrap_or_default()).await?;
    check(&message)?;
    Ok(Some(message))
}

/// The result code of the answer to [`START_TLS_REQUEST`].
pub(crate) fn start_tls_result(message: &[u8]) -> io::Result<u32> {
    let wrong = || bad("no answer to StartTLS");
    let mut parts = Elements(element(message)?.1);
    let [id, response] = [parts.next().ok_or_else(wrong)??, parts.next().ok_or_else(wrong)??];
    if id != (INTEGER, &[1]) || response.0 != EXTENDED_RESPONSE {
        return Err(wrong());
    }
    match Elements(response.1).next().ok_or_else(wrong)?? {
        (ENUMERATED, [code]) => Ok(u32::from(*code)),
        _ => Err(wrong()),
    }
}

/// Message id, operation and controls, all of definite length, nested no deeper than the limit.
fn check(message: &[u8]) -> io::Result<()> {
    let (tag, content, rest) = element_with_rest(message)?;
    if tag != SEQUENCE || !rest.is_empty() {
        return Err(bad("no LDAP message"));
    }
    let mut parts = Elements(content);
    match parts.next().transpose()? {
        Some((INTEGER, id)) if (1..=4).contains(&id.len()) => {}
        _ => return Err(bad("a message without an id")),
    }
    match parts.next().transpose()? {
        Some((tag, _)) if tag & CLASS == APPLICATION => {}
        _ => return Err(bad("a message without an operation")),
    }
    match parts.next().transpose()? {
        None | Some((CONTROLS | RESPONSE_NAME, _)) => {}
        Some(_) => return Err(bad("a message with something else behind it")),
    }
    if parts.next().is_some() {
        return Err(bad("a message with something else behind it"));
    }
    check_depth(content, 1)
}

fn check_depth(content: &[u8], depth: u8) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(bad("a message that is nested too deeply"));
    }
    for part in Elements(content) {
        let (tag, content) = part?;
        if tag & CONSTRUCTED != 0 {
            check_depth(content, depth + 1)?;
        }
    }
    Ok(())
}

/// The elements that lie one behind the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = io::Result<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = element_with_rest(self.0);
        self.0 = read.as_ref().map_or(&[], |(_, _, rest)| rest);
        Some(read.map(|(tag, content, _)| (tag, content)))
    }
}

fn element(bytes: &[u8]) -> io::Result<(u8, &[u8])> {
    element_with_rest(bytes).map(|(tag, content, _)| (tag, content))
}

fn element_with_rest(bytes: &[u8]) -> io::Result<(u8, &[u8], &[u8])> {
    let (tag, length, header) = header(bytes)?;
    let body = bytes.get(header..).unwrap_or_default();
    body.split_at_checked(length)
        .map(|(content, rest)| (tag, content, rest))
        .ok_or_else(|| bad("an element that is cut off"))
}

/// Tag, length of the content, length of the header (X.690 §8.1).
fn header(bytes: &[u8]) -> io::Result<(u8, usize, usize)> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>().ok_or_else(|| bad("an element that is cut off"))?;
    if tag & 0x1f == 0x1f {
        return Err(bad("a tag of several bytes"));
    }
    if first & 0x80 == 0 {
        return Ok((tag, usize::from(first), 2));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(bad("no definite length"));
    }
    let length = rest.get(..count).ok_or_else(|| bad("an element that is cut off"))?;
    let length = length.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
    Ok((tag, length, 2 + count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bind response that says yes.
    const BIND_OK: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

    #[expect(clippy::unwrap_in_result, reason = "a runtime is no part of what is read")]
    fn read(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_message(&mut bytes))
    }

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], length.as_slice(), content].concat()
    }

    #[test]
    fn a_message_is_read_whole_and_no_further() {
        let mut bytes = [BIND_OK, b"more"].concat();
        assert_eq!(read(&bytes).unwrap().unwrap(), BIND_OK);
        bytes.truncate(5);
        assert!(read(&bytes).is_err());
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn a_message_that_lies_is_refused() {
        let nested = (0..40).fold(Vec::new(), |inner, _| wrapped(0x30, &inner));
        let deep = wrapped(0x30, &[b"\x02\x01\x01".as_slice(), &wrapped(0x64, &nested)].concat());
        for bytes in [
            b"HTTP/1.1 400 Bad Request".as_slice(),
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x80\x02\x01\x01\x00\x00",
            b"\x30\x00",
            b"\x30\x03\x02\x01\x01",
            b"\x30\x02\x61\x00",
            b"\x30\x07\x02\x01\x01\x61\x05\x0a\x01",
            b"\x30\x07\x02\x01\x01\x04\x00\x04\x00",
            b"\x30\x05\x02\x00\x61\x01\x00",
            &deep,
        ] {
            assert!(read(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn the_answer_to_start_tls_has_a_code() {
        assert_eq!(START_TLS_REQUEST.len(), 31);
        check(START_TLS_REQUEST).unwrap();
        let answer = |code| [b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01".as_slice(), &[code], b"\x04\x00\x04\x00"].concat();
        assert_eq!(start_tls_result(&answer(0)).unwrap(), 0);
        assert_eq!(start_tls_result(&answer(2)).unwrap(), 2);
        assert!(start_tls_result(BIND_OK).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&wrapped(0x30, &bytes));
            let _ = start_tls_result(&bytes);
        }
    }
}
