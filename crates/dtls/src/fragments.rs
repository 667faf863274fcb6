//! Whole handshake messages out of plaintext fragments (RFC 6347 §4.2.3), before the library sees them.
//!
//! COMPAT: as DTLS 1.2 engine, dimpl 0.9 takes a fragment for a duplicate if another one began at the same offset, and
//! cannot join fragments that overlap, which the RFC demands. OpenSSL cuts a flight anew when it retransmits it (the
//! first time, messages fill the datagrams; later each begins its own), so one lost datagram ended the handshake.
//! Here messages are put together in whatever cuts they come, and go on whole. Encrypted records pass: those of 1.2 are
//! one short message, and as 1.3 engine dimpl joins overlaps itself.

use std::collections::BTreeMap;

/// Handshake type, length, message_seq, fragment offset and length (RFC 6347 §4.2.2).
const HANDSHAKE_HEADER_LEN: usize = 12;

/// A record's type, version, epoch, sequence number and length (RFC 6347 §4.1).
const RECORD_HEADER_LEN: usize = 13;

pub(crate) const HANDSHAKE: u8 = 22;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Longest message: a certificate chain with room to spare. Browsers send single certificates below 1 KB.
const MAX_MESSAGE_LEN: usize = 16_384;

/// Messages of one side of a handshake, numbered from 0: eight at most, with a cookie exchange.
const MAX_MESSAGES: u16 = 12;

/// Bytes of all messages together.
const MAX_TOTAL_LEN: usize = 32_768;

/// Parts of a message that do not touch each other: with datagrams of 256 bytes, every second lost of the longest.
const MAX_PARTS: usize = 32;

/// A fragment of a handshake message in a plaintext record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: u8,
    pub(crate) message_seq: u16,
    pub(crate) message_len: usize,
    pub(crate) offset: usize,
    pub(crate) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The next fragment of the body of a record, and what follows it.
    pub(crate) fn parse(record_body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2], rest) =
            record_body.split_first_chunk::<HANDSHAKE_HEADER_LEN>()?;
        let (message_len, offset, len) = (u24([l0, l1, l2]), u24([o0, o1, o2]), u24([f0, f1, f2]));
        if offset.checked_add(len)? > message_len {
            return None;
        }
        let (body, rest) = rest.split_at_checked(len)?;
        Some((Self { kind, message_seq: u16::from_be_bytes([s0, s1]), message_len, offset, body }, rest))
    }
}

/// A record with a length of its own, which all have but encrypted ones of 1.3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: &'a [u8; RECORD_HEADER_LEN],
    pub(crate) body: &'a [u8],
    /// Header and body.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The next record of a datagram, and what follows it.
    pub(crate) fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = datagram.split_first_chunk::<RECORD_HEADER_LEN>()?;
        let &[_, major, _, _, _, _, _, _, _, _, _, l0, l1] = header;
        if major != 0xfe {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let (body, rest) = rest.split_at_checked(len)?;
        let (bytes, _) = datagram.split_at_checked(RECORD_HEADER_LEN + len)?;
        Some((Self { header, body, bytes }, rest))
    }

    pub(crate) fn is_handshake(&self) -> bool {
        self.header.first() == Some(&HANDSHAKE)
    }

    fn is_plaintext(&self) -> bool {
        let &[_, _, _, e0, e1, ..] = self.header;
        [e0, e1] == [0, 0]
    }

    /// The body of a handshake record in plaintext.
    pub(crate) fn plaintext_handshake(&self) -> Option<&'a [u8]> {
        (self.is_handshake() && self.is_plaintext()).then_some(self.body)
    }
}

/// A message in parts.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    /// Parts of `bytes` that are there: disjoint, sorted, never touching.
    present: Vec<(usize, usize)>,
}

impl Message {
    pub(crate) fn with_len(len: usize) -> Self {
        Self { bytes: vec![0; len], present: Vec::new() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.bytes.is_empty() || self.present == [(0, self.bytes.len())]
    }

    /// Takes a part that lies within the message. One that touches no other is not taken while there are [`MAX_PARTS`].
    pub(crate) fn add(&mut self, offset: usize, body: &[u8]) {
        let end = offset + body.len();
        let Some(part) = self.bytes.get_mut(offset..end) else { return };
        part.copy_from_slice(body);
        let (mut start, mut end) = (offset, end);
        self.present.retain(|&(from, to)| {
            let is_apart = to < start || from > end;
            if !is_apart {
                (start, end) = (start.min(from), end.max(to));
            }
            is_apart
        });
        if self.present.len() >= MAX_PARTS {
            return;
        }
        let at = self.present.partition_point(|&(from, _)| from < start);
        self.present.insert(at, (start, end));
    }
}

/// Puts together what one peer sends.
#[derive(Debug, Default)]
pub(crate) struct MessageReader {
    messages: BTreeMap<u16, Message>,
    client_key_exchange: Option<Vec<u8>>,
}

impl MessageReader {
    /// Takes a datagram and answers the datagrams to give to the library instead: one for each message that is
    /// complete now, and one for all else. A message that was complete before comes again when its beginning does, so
    /// that the library notices a retransmission.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        let mut others = Vec::new();
        let mut rest = datagram;
        while let Some((record, after)) = Record::split(rest) {
            match record.plaintext_handshake() {
                Some(body) => self.handle_fragments(record.header, body, &mut whole),
                None => others.extend_from_slice(record.bytes),
            }
            rest = after;
        }
        others.extend_from_slice(rest);
        if !others.is_empty() {
            whole.push(others);
        }
        whole
    }

    /// A datagram with the ClientKeyExchange, if one came.
    pub(crate) fn into_client_key_exchange(self) -> Option<Vec<u8>> {
        self.client_key_exchange
    }

    fn handle_fragments(&mut self, record_header: &[u8; RECORD_HEADER_LEN], body: &[u8], whole: &mut Vec<Vec<u8>>) {
        let mut rest = body;
        while let Some((fragment, after)) = Fragment::parse(rest) {
            rest = after;
            let others = self.messages.iter().filter(|(number, _)| **number != fragment.message_seq);
            let others_len: usize = others.map(|(_, message)| message.bytes().len()).sum();
            if fragment.message_seq >= MAX_MESSAGES
                || fragment.message_len > MAX_MESSAGE_LEN
                || others_len + fragment.message_len > MAX_TOTAL_LEN
            {
                continue;
            }
            let is_known = self
                .messages
                .get(&fragment.message_seq)
                .is_some_and(|known| known.bytes().len() == fragment.message_len);
            if !is_known {
                self.messages.insert(fragment.message_seq, Message::with_len(fragment.message_len));
            }
            let Some(message) = self.messages.get_mut(&fragment.message_seq) else { continue };
            let was_complete = is_known && message.is_complete();
            if !was_complete {
                message.add(fragment.offset, fragment.body);
            }
            if message.is_complete() && (!was_complete || fragment.offset == 0) {
                let record = whole_record(record_header, &fragment, message.bytes());
                if fragment.kind == CLIENT_KEY_EXCHANGE {
                    self.client_key_exchange = Some(record.clone());
                }
                whole.push(record);
            }
        }
    }
}

/// A datagram with the whole message in one record.
fn whole_record(record_header: &[u8; RECORD_HEADER_LEN], fragment: &Fragment<'_>, message: &[u8]) -> Vec<u8> {
    let &[kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5, _, _] = record_header;
    let len = (HANDSHAKE_HEADER_LEN + message.len()) as u16;
    let [_, l0, l1, l2] = (message.len() as u32).to_be_bytes();
    let [m0, m1] = fragment.message_seq.to_be_bytes();
    let mut record = vec![kind, v0, v1, e0, e1, s0, s1, s2, s3, s4, s5];
    record.extend(len.to_be_bytes());
    record.extend([fragment.kind, l0, l1, l2, m0, m1, 0, 0, 0, l0, l1, l2]);
    record.extend_from_slice(message);
    record
}

fn u24([a, b, c]: [u8; 3]) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a part of a message of 100 bytes, numbered from 0.
    fn part(message_seq: u16, range: std::ops::Range<u8>) -> Vec<u8> {
        let body: Vec<u8> = range.clone().collect();
        let mut record = vec![HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, range.start];
        record.extend((HANDSHAKE_HEADER_LEN as u16 + body.len() as u16).to_be_bytes());
        let [m0, m1] = message_seq.to_be_bytes();
        record.extend([11, 0, 0, 100, m0, m1, 0, 0, range.start, 0, 0, body.len() as u8]);
        record.extend(body);
        record
    }

    /// Numbers of the messages that went on, after a check that they are whole.
    fn whole(datagrams: &[Vec<u8>]) -> Vec<u16> {
        let number = |datagram: &Vec<u8>| {
            let (record, rest) = Record::split(datagram).unwrap();
            let (fragment, after) = Fragment::parse(record.plaintext_handshake().unwrap()).unwrap();
            assert!(rest.is_empty() && after.is_empty());
            assert_eq!((fragment.offset, fragment.body), (0, &(0..100).collect::<Vec<u8>>()[..]));
            fragment.message_seq
        };
        datagrams.iter().map(number).collect()
    }

    #[test]
    fn a_message_cut_anew_is_put_together() {
        let mut reader = MessageReader::default();
        assert!(reader.handle_datagram(&part(4, 0..29)).is_empty());
        assert_eq!(whole(&reader.handle_datagram(&part(4, 0..100))), [4]);
        assert!(reader.handle_datagram(&part(5, 60..100)).is_empty());
        assert!(reader.handle_datagram(&part(5, 20..70)).is_empty());
        assert_eq!(whole(&reader.handle_datagram(&part(5, 0..20))), [5]);
    }

    #[test]
    fn a_retransmission_is_shown_once() {
        let mut reader = MessageReader::default();
        assert_eq!(whole(&reader.handle_datagram(&part(0, 0..100))), [0]);
        assert_eq!(whole(&reader.handle_datagram(&part(0, 0..50))), [0]);
        assert!(reader.handle_datagram(&part(0, 50..100)).is_empty());
    }

    #[test]
    fn what_is_no_plaintext_handshake_passes_unchanged() {
        let mut reader = MessageReader::default();
        let change_cipher_spec = [20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 1];
        let mut finished = vec![HANDSHAKE, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4];
        let mut datagram = part(3, 0..100);
        datagram.extend(change_cipher_spec);
        datagram.append(&mut finished.clone());
        let got = reader.handle_datagram(&datagram);
        assert_eq!(whole(&got[..1]), [3]);
        assert_eq!(got[1..], [[&change_cipher_spec[..], &finished].concat()]);
        // Encrypted records of 1.3 have another header.
        finished[0] = 0x2f;
        finished[1] = 0x12;
        assert_eq!(reader.handle_datagram(&finished), [finished]);
    }

    #[test]
    fn what_a_peer_can_make_grow_is_bounded() {
        let mut reader = MessageReader::default();
        for message_seq in 0..1_000 {
            let mut datagram = part(message_seq, 0..50);
            for len in [100, MAX_MESSAGE_LEN as u32, 0xff_ffff] {
                datagram[14..17].copy_from_slice(&len.to_be_bytes()[1..]);
                assert!(reader.handle_datagram(&datagram).is_empty());
            }
        }
        let kept: usize = reader.messages.values().map(|message| message.bytes().len()).sum();
        assert!(reader.messages.len() <= usize::from(MAX_MESSAGES), "{}", reader.messages.len());
        assert!(kept <= MAX_TOTAL_LEN, "{kept}");
    }
}
