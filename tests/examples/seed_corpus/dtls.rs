//! Seeds of DTLS: first flights of a real client, and scripts in the form of the `dtls_demux` target: two bytes say what
//! happens to a datagram on the way, and where it says so a record of a stranger follows: type, version, number, length.

use std::sync::Arc;
use std::time::Instant;

use dtls::{DtlsContext, DtlsRole, DtlsTransport, Output};

use crate::{Seed, seed};

const PASS: [u8; 2] = [0, 0];
const REPEAT: [u8; 2] = [1, 0];
const DAMAGE: u8 = 2;
const CUT: u8 = 3;
const PRECEDE: [u8; 2] = [4, 0];
const FOLLOW: [u8; 2] = [5, 0];
const DROP: [u8; 2] = [3, 0];

fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    [&[content_type, 0, 9, fragment.len() as u8], fragment].concat()
}

/// The datagrams of a ClientHello as our own client sends it.
fn first_flight() -> Vec<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    let now = Instant::now();
    let mut datagrams = Vec::new();
    let transport =
        DtlsContext::new().and_then(|context| DtlsTransport::new(now, &Arc::new(context), DtlsRole::Client));
    if let Ok(mut transport) = transport {
        while let Output::Transmit(datagram) = transport.poll_output() {
            datagrams.push(datagram);
        }
    }
    datagrams
}

pub(crate) fn dtls_demux() -> Vec<Seed> {
    let flight = first_flight();
    let hello = flight.first().cloned().unwrap_or_default();
    let alert = record(21, &[2, 40]);
    let fragment_of_hello = record(22, &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0xfe, 0xfd, 1, 2]);
    let length_lies = record(22, &[1, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    vec![
        seed("client-hello", hello.clone()),
        seed("client-hello-truncated", hello.get(..hello.len() / 2).unwrap_or_default()),
        seed("all-arrives", PASS),
        seed("first-lost", DROP),
        seed("each-twice", REPEAT.repeat(8)),
        seed("each-damaged", [[DAMAGE, 40], [DAMAGE, 90], [DAMAGE, 200], [DAMAGE, 250]].concat()),
        seed("each-cut", [[CUT, 200], [CUT, 128], [CUT, 8]].concat()),
        seed("alert-of-a-stranger", [PASS.to_vec(), PRECEDE.to_vec(), alert.clone()].concat()),
        seed("alert-behind", [PASS.to_vec(), FOLLOW.to_vec(), alert].concat()),
        seed("hello-in-fragments", fragment_of_hello.repeat(3)),
        seed("lengths-lie", [PRECEDE.to_vec(), length_lies.clone(), length_lies].concat()),
        seed("change-cipher-spec", [PRECEDE.to_vec(), record(20, &[1])].concat()),
        seed("data-in-clear", [PASS.to_vec(), PASS.to_vec(), PRECEDE.to_vec(), record(23, b"hello")].concat()),
        seed("heartbeat", record(24, &[1, 0xff, 0xff])),
        seed("record-longer-than-datagram", [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1]),
    ]
}
