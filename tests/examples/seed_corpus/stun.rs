//! Seeds of STUN: whole datagrams after RFC 8489 §5, and scripts in the form of the `stun` target: how, from, length, over
//! TCP how the stream is read, attributes. The target adds header, USERNAME, integrity and fingerprint unless `how` says
//! not to, and the frame of RFC 4571.

use crate::{Seed, seed};

const REQUEST: u8 = 0;
const SUCCESS: u8 = 1;
const ERROR: u8 = 2;
const UNSIGNED: u8 = 8;
const TCP: u8 = 32;
const SECOND_LATER: u8 = 2 << 6;
const LONG_LATER: u8 = 3 << 6;

const BYTE_BY_BYTE: u8 = 1;
const WITHOUT_FRAME: u8 = 4;
const CLOSED_AFTER: u8 = 8;
const TWICE: u8 = 16;

const PRIORITY: [u8; 8] = [0, 0x24, 0, 4, 0x6e, 0, 0x1e, 0xff];
const USE_CANDIDATE: [u8; 4] = [0, 0x25, 0, 0];
const ICE_CONTROLLING: [u8; 12] = [0x80, 0x2a, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2];
const ICE_CONTROLLED: [u8; 12] = [0x80, 0x29, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2];
/// 127.0.0.1:5000, each under the magic cookie.
const XOR_MAPPED: [u8; 12] = [0, 0x20, 0, 8, 0, 1, 0x32, 0x9a, 0x5e, 0x12, 0xa4, 0x43];
const ROLE_CONFLICT: [u8; 8] = [0, 9, 0, 4, 0, 0, 4, 87];

fn step(how: u8, from: u8, attributes: &[&[u8]]) -> Vec<u8> {
    let attributes = attributes.concat();
    [&[how, from, attributes.len() as u8], attributes.as_slice()].concat()
}

fn tcp_step(how: u8, from: u8, reads: u8, attributes: &[&[u8]]) -> Vec<u8> {
    let attributes = attributes.concat();
    [&[how | TCP, from, attributes.len() as u8, reads], attributes.as_slice()].concat()
}

fn datagram(kind: u16, len: u16, attributes: &[u8]) -> Vec<u8> {
    let [k0, k1] = kind.to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    [&[k0, k1, l0, l1, 0x21, 0x12, 0xa4, 0x42], [7; 12].as_slice(), attributes].concat()
}

pub(crate) fn stun() -> Vec<Seed> {
    let username: &[u8] = &[0, 6, 0, 10, b'a', b'b', b'c', b'd', b'1', b':', b'X', b'y', b'7', b'a', 0, 0];
    let check = step(REQUEST, 0, &[&PRIORITY, &ICE_CONTROLLED]);
    let answer = step(SUCCESS | SECOND_LATER, 0, &[&XOR_MAPPED]);
    let connected = [check.clone(), answer.clone(), answer.clone()].concat();
    let tcp_check = |reads| tcp_step(REQUEST, 0, reads, &[&PRIORITY, &ICE_CONTROLLED]);
    let tcp_answer = |reads| tcp_step(SUCCESS | SECOND_LATER, 0, reads, &[&XOR_MAPPED]);
    let tcp_connected = [tcp_check(0), tcp_answer(BYTE_BY_BYTE), tcp_answer(0)].concat();
    vec![
        seed("request-with-username", datagram(1, username.len() as u16, username)),
        seed("request-without-attributes", datagram(1, 0, &[])),
        seed("length-beyond-datagram", datagram(1, 0xffff, username)),
        seed("attribute-beyond-message", datagram(1, 4, &[0, 6, 0xff, 0xfc])),
        seed("indication", datagram(0x11, 0, &[])),
        seed("script-check-and-answer", connected.clone()),
        seed(
            "script-silence-after-connecting",
            [connected.clone(), step(UNSIGNED | LONG_LATER, 0, &[]).repeat(3)].concat(),
        ),
        seed("script-nominated-by-peer", step(REQUEST, 0, &[&PRIORITY, &USE_CANDIDATE, &ICE_CONTROLLING])),
        seed("script-role-conflict", [check.clone(), step(ERROR, 0, &[&ROLE_CONFLICT])].concat()),
        seed("script-many-addresses", (0..=255).flat_map(|from| step(REQUEST, from, &[&PRIORITY])).collect::<Vec<_>>()),
        seed("script-answer-from-elsewhere", [check, step(SUCCESS, 9, &[&XOR_MAPPED])].concat()),
        seed("script-attribute-length-lies", step(REQUEST, 0, &[&[0, 0x24, 0xff, 0xff, 1, 2, 3, 4]])),
        seed("script-tcp-cut-and-run-together", [tcp_check(BYTE_BY_BYTE), tcp_answer(TWICE)].concat()),
        seed(
            "script-tcp-closed-and-reopened",
            [tcp_connected.clone(), tcp_check(CLOSED_AFTER), tcp_connected.clone()].concat(),
        ),
        seed("script-tcp-and-udp", [tcp_connected.clone(), connected, tcp_check(CLOSED_AFTER)].concat()),
        seed("script-tcp-frame-too-long", [tcp_connected, tcp_step(REQUEST, 0, WITHOUT_FRAME, &[&[0xff; 9]])].concat()),
        seed("script-tcp-first-frame-no-check", tcp_step(SUCCESS, 0, 0, &[&XOR_MAPPED])),
        seed(
            "script-tcp-many-addresses",
            (0..=255).flat_map(|from| tcp_step(REQUEST, from, CLOSED_AFTER, &[&PRIORITY])).collect::<Vec<_>>(),
        ),
        seed("script-unsigned", step(REQUEST | UNSIGNED, 0, &[&PRIORITY])),
    ]
}
