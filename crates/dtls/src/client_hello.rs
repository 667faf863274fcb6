//! Waiting for a complete ClientHello before a server exists (RFC 6347 §4.2.2, RFC 9147 §5.5, RFC 5764 §4.1.1).
//!
//! Two reasons. Until it has a ClientHello, the library counts every datagram as a part of one and gives up after a
//! few; here anything else is dropped. And as DTLS 1.3 server it takes the client's first SRTP profile, as 1.2 server
//! its own order with AES-GCM first; the version is chosen so that AES-GCM is used whenever the client knows it, which
//! costs a bridge a fifth of AES-CM with HMAC-SHA1. Not here: anything past the ClientHello.

use crate::fragments::{Fragment, Message, Record};

/// What to start once the ClientHello is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionChoice {
    /// The best version that both know.
    Auto,
    /// DTLS 1.2, although the client also knows 1.3.
    Dtls12,
}

/// Collects the fragments of a ClientHello and the datagrams that carry them.
#[derive(Debug, Default)]
pub(crate) struct ClientHelloReader {
    message: Message,
    datagrams: Vec<Vec<u8>>,
}

impl ClientHelloReader {
    /// Takes a datagram. When the ClientHello is complete: which version to start, and all datagrams to give it, in
    /// order of arrival. A datagram without a part of a ClientHello is dropped.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8]) -> Option<(VersionChoice, Vec<Vec<u8>>)> {
        let mut is_part = false;
        let mut records = datagram;
        while let Some((record, rest)) = Record::split(records) {
            let Some(body) = record.plaintext_handshake() else { break };
            if let Some((fragment, _)) = Fragment::parse(body).filter(|(fragment, _)| is_client_hello(fragment)) {
                self.add(&fragment);
                is_part = true;
            }
            records = rest;
        }
        if !is_part || self.datagrams.iter().any(|known| known == datagram) {
            return None;
        }
        if self.datagrams.len() >= MAX_DATAGRAMS {
            *self = Self::default();
            return None;
        }
        self.datagrams.push(datagram.to_vec());
        if !self.message.is_complete() {
            return None;
        }
        let choice = choose_version(self.message.bytes());
        Some((choice, std::mem::take(self).datagrams))
    }

    fn add(&mut self, fragment: &Fragment<'_>) {
        if self.message.bytes().len() != fragment.message_len {
            *self = Self { message: Message::with_len(fragment.message_len), ..Self::default() };
        }
        self.message.add(fragment.offset, fragment.body);
    }
}

/// The first message of a handshake, so its message_seq is 0.
fn is_client_hello(fragment: &Fragment<'_>) -> bool {
    fragment.kind == CLIENT_HELLO
        && fragment.message_seq == 0
        && fragment.message_len <= MAX_MESSAGE_LEN
        && !fragment.body.is_empty()
}

fn choose_version(client_hello: &[u8]) -> VersionChoice {
    let offer = Offer::parse(client_hello).unwrap_or_default();
    let knows_gcm = offer.profiles.iter().any(|profile| is_gcm(*profile));
    // The first that the library knows, which is the one it would take as a 1.3 server.
    let first = offer.profiles.iter().find(|profile| is_gcm(**profile) || **profile == AES128_CM_SHA1_80);
    if offer.knows_12 && knows_gcm && first.is_some_and(|profile| !is_gcm(*profile)) {
        VersionChoice::Dtls12
    } else {
        VersionChoice::Auto
    }
}

/// The two extensions that decide.
#[derive(Debug, Default)]
struct Offer {
    profiles: Vec<u16>,
    /// DTLS 1.2 is among `supported_versions`; without that extension there is nothing to choose.
    knows_12: bool,
}

impl Offer {
    fn parse(client_hello: &[u8]) -> Option<Self> {
        // client_version and random.
        let rest = client_hello.get(34..)?;
        let (_session_id, rest) = split_u8_vector(rest)?;
        let (_cookie, rest) = split_u8_vector(rest)?;
        let (_cipher_suites, rest) = split_u16_vector(rest)?;
        let (_compression, rest) = split_u8_vector(rest)?;
        let (mut extensions, _) = split_u16_vector(rest)?;
        let mut offer = Self::default();
        while let Some((&[t0, t1], rest)) = extensions.split_first_chunk::<2>() {
            let (data, rest) = split_u16_vector(rest)?;
            match u16::from_be_bytes([t0, t1]) {
                USE_SRTP => {
                    let (profiles, _mki) = split_u16_vector(data)?;
                    offer.profiles = u16s(profiles).collect();
                }
                SUPPORTED_VERSIONS => {
                    let (versions, _) = split_u8_vector(data)?;
                    offer.knows_12 = u16s(versions).any(|version| version == DTLS_12);
                }
                _ => {}
            }
            extensions = rest;
        }
        Some(offer)
    }
}

fn is_gcm(profile: u16) -> bool {
    matches!(profile, AEAD_AES_128_GCM | AEAD_AES_256_GCM)
}

fn split_u8_vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn split_u16_vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn u16s(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_12: u16 = 0xfefd;
const AES128_CM_SHA1_80: u16 = 0x0001;
const AEAD_AES_128_GCM: u16 = 0x0007;
const AEAD_AES_256_GCM: u16 = 0x0008;

/// With a post-quantum key share a browser's is about 1 700 bytes.
const MAX_MESSAGE_LEN: usize = 8_192;

/// Datagrams of one ClientHello: two in practice, and their retransmissions in other cuts.
const MAX_DATAGRAMS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragments::HANDSHAKE;

    /// A ClientHello that offers `profiles` and `versions`, without its handshake header.
    fn hello(profiles: &[u16], versions: &[u16]) -> Vec<u8> {
        let list = |values: &[u16]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>();
        let (profiles, versions) = (list(profiles), list(versions));
        let mut extensions = vec![0, 23, 0, 0];
        extensions.extend([0, 14, 0, profiles.len() as u8 + 3, 0, profiles.len() as u8]);
        extensions.extend(&profiles);
        extensions.push(0);
        if !versions.is_empty() {
            extensions.extend([0, 43, 0, versions.len() as u8 + 1, versions.len() as u8]);
            extensions.extend(&versions);
        }
        let mut hello = vec![0xfe, 0xfd];
        hello.extend([9; 32]);
        hello.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8]);
        hello.extend(extensions);
        hello
    }

    fn record(message: &[u8], from: usize, to: usize) -> Vec<u8> {
        let u24 = |n: usize| (n as u32).to_be_bytes()[1..].to_vec();
        let mut body = vec![CLIENT_HELLO];
        body.extend(u24(message.len()));
        body.extend([0, 0]);
        body.extend(u24(from));
        body.extend(u24(to - from));
        body.extend(&message[from..to]);
        let mut record = vec![HANDSHAKE, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    #[test]
    fn version_is_chosen_so_that_gcm_is_used() {
        let choice = |profiles: &[u16], versions: &[u16]| choose_version(&hello(profiles, versions));
        let both = &[0xfefc, DTLS_12];
        assert_eq!(choice(&[8, 7, 1], both), VersionChoice::Auto);
        assert_eq!(choice(&[7, 1], both), VersionChoice::Auto);
        assert_eq!(choice(&[1, 8, 7], both), VersionChoice::Dtls12);
        assert_eq!(choice(&[2, 1, 7], both), VersionChoice::Dtls12);
        assert_eq!(choice(&[2, 7, 1], both), VersionChoice::Auto, "the library does not know profile 2");
        assert_eq!(choice(&[1], both), VersionChoice::Auto, "nothing to gain");
        assert_eq!(choice(&[1, 7], &[0xfefc]), VersionChoice::Auto, "a client that knows 1.3 only");
        assert_eq!(choice(&[1, 7], &[]), VersionChoice::Auto, "1.2 anyway");
    }

    #[test]
    fn fragments_in_any_order_make_the_message() {
        let message = hello(&[1, 7], &[0xfefc, DTLS_12]);
        let end = message.len();
        for cuts in
            [vec![(0, end)], vec![(0, 40), (40, end)], vec![(40, end), (0, 40)], vec![(50, end), (0, 30), (20, 55)]]
        {
            let mut reader = ClientHelloReader::default();
            let datagrams: Vec<_> = cuts.iter().map(|(from, to)| record(&message, *from, *to)).collect();
            let (last, others) = datagrams.split_last().unwrap();
            for datagram in others {
                assert_eq!(reader.handle_datagram(datagram), None);
                assert_eq!(reader.handle_datagram(datagram), None, "a duplicate");
            }
            assert_eq!(reader.handle_datagram(last), Some((VersionChoice::Dtls12, datagrams.clone())), "{cuts:?}");
        }
    }

    #[test]
    fn several_fragments_in_one_datagram_count() {
        let message = hello(&[8], &[]);
        let datagram = [record(&message, 0, 10), record(&message, 10, message.len())].concat();
        let complete = ClientHelloReader::default().handle_datagram(&datagram);
        assert_eq!(complete, Some((VersionChoice::Auto, vec![datagram])));
    }

    #[test]
    fn a_new_hello_replaces_an_unfinished_one() {
        let (old, new) = (hello(&[1], &[]), hello(&[8, 7, 1], &[DTLS_12]));
        let mut reader = ClientHelloReader::default();
        assert_eq!(reader.handle_datagram(&record(&old, 0, 20)), None);
        let whole = record(&new, 0, new.len());
        assert_eq!(reader.handle_datagram(&whole), Some((VersionChoice::Auto, vec![whole.clone()])));
    }

    #[test]
    fn garbage_is_dropped_and_bounded() {
        let message = hello(&[8], &[]);
        let good = record(&message, 0, message.len());
        let mut reader = ClientHelloReader::default();
        for len in 0..good.len() {
            assert_eq!(reader.handle_datagram(&good[..len]), None);
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                let _ = reader.handle_datagram(&changed);
            }
        }
        let big = vec![7; MAX_MESSAGE_LEN + 1];
        assert_eq!(reader.handle_datagram(&record(&big, 0, 100)), None);
        let mut reader = ClientHelloReader::default();
        for from in 0..1_000 {
            assert_eq!(reader.handle_datagram(&record(&big[1..], from, from + 1)), None);
            assert!(reader.datagrams.len() <= MAX_DATAGRAMS);
        }
        assert!(reader.handle_datagram(&good).is_some());
    }
}
