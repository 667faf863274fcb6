//! Seeds of SCTP in the form of the `sctp` target, how, length, chunks (RFC 9260 §3), and of DCEP (RFC 8832 §5).

use crate::{Seed, seed};

/// Everything that waits arrives.
const TURN: [u8; 2] = [0, 0];
const LOSE_OF_CLIENT: [u8; 2] = [2, 0];
const REPEAT_OF_CLIENT: [u8; 2] = [4, 0];
const SERVER_WAITS: [u8; 2] = [6 | 7 << 5, 0];
const CLIENT_WAITS: [u8; 2] = [7 | 7 << 5, 0];
const SERVER_CLOSES: [u8; 2] = [14, 0];
/// To the server in the name of the client, and the other way round.
const TO_SERVER: u8 = 8;
const TO_CLIENT: u8 = 9;
const BEHIND_TO_SERVER: u8 = 12;

fn inject(how: u8, chunks: &[u8]) -> Vec<u8> {
    [&[how, chunks.len() as u8], chunks].concat()
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let len = (value.len() + 4) as u16;
    let mut chunk = [&[kind, flags], len.to_be_bytes().as_slice(), value].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// DATA: TSN, stream, number in the stream, payload protocol, payload.
fn data(flags: u8, tsn: u32, stream: u16, ppid: u32, payload: &[u8]) -> Vec<u8> {
    let value = [&tsn.to_be_bytes(), stream.to_be_bytes().as_slice(), &[0, 0], &ppid.to_be_bytes(), payload].concat();
    chunk(0, flags, &value)
}

fn opened(then: Vec<u8>) -> Vec<u8> {
    [TURN.repeat(5), then, TURN.repeat(2)].concat()
}

pub(crate) fn sctp() -> Vec<Seed> {
    let init = chunk(
        1,
        0,
        &[0, 0, 0, 7, 0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0xc0, 0, 0, 4, 0x80, 8, 0, 6, 130, 192],
    );
    let sack = chunk(3, 0, &[0, 0, 0, 9, 0, 2, 0, 0, 0, 1, 0, 1, 0, 2, 0, 3, 0, 0, 0, 9]);
    let reset = chunk(130, 0, &[0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    let forward = chunk(192, 0, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
    vec![
        seed("channel-opens", opened(vec![])),
        seed("init-lost", [LOSE_OF_CLIENT.to_vec(), CLIENT_WAITS.to_vec(), TURN.repeat(5)].concat()),
        seed("each-twice", [REPEAT_OF_CLIENT.to_vec(), TURN.to_vec()].concat().repeat(5)),
        seed("second-init", opened(inject(TO_SERVER, &init))),
        seed("init-first", inject(TO_SERVER, &init)),
        seed("data-text", opened(inject(TO_SERVER, &data(3, 1, 0, 51, b"{}")))),
        seed(
            "data-in-fragments",
            opened(inject(TO_SERVER, &[data(2, 1, 0, 51, b"{"), data(1, 2, 0, 51, b"}")].concat())),
        ),
        seed(
            "data-on-many-streams",
            opened((0..16).flat_map(|s| inject(TO_SERVER, &data(3, s, s as u16 * 999, 51, b"x"))).collect()),
        ),
        seed("data-without-payload", opened(inject(TO_SERVER, &data(3, 1, 0, 51, b"")))),
        seed(
            "dcep-open",
            opened(inject(TO_SERVER, &data(3, 1, 2, 50, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'a', b'b']))),
        ),
        seed("sack-with-gaps", opened(inject(TO_SERVER, &sack))),
        seed("sack-to-client", opened(inject(TO_CLIENT, &sack))),
        seed(
            "sack-counts-lie",
            opened(inject(TO_CLIENT, &chunk(3, 0, &[0, 0, 0, 9, 0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff]))),
        ),
        seed("reset-stream", opened(inject(TO_SERVER, &reset))),
        seed("forward-tsn", opened(inject(TO_SERVER, &forward))),
        seed("heartbeat", opened(inject(TO_SERVER, &chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4])))),
        seed("abort", opened(inject(TO_SERVER, &chunk(6, 0, &[0, 12, 0, 8, 1, 2, 3, 4])))),
        seed(
            "shutdown",
            opened([inject(TO_SERVER, &chunk(7, 0, &[0, 0, 0, 1])), inject(TO_SERVER, &chunk(14, 0, &[]))].concat()),
        ),
        seed("cookie-echo-of-garbage", inject(TO_SERVER, &chunk(10, 0, &[1, 2, 3, 4]))),
        seed("error-chunk", opened(inject(TO_CLIENT, &chunk(9, 0, &[0, 3, 0, 8, 0, 0, 0, 1])))),
        seed("unknown-chunk-to-report", opened(inject(TO_SERVER, &chunk(0xc5, 0, &[1, 2])))),
        seed("chunk-behind-honest-ones", [TURN.to_vec(), inject(BEHIND_TO_SERVER, &sack), TURN.repeat(4)].concat()),
        seed("chunk-length-lies", opened(inject(TO_SERVER, &[0, 3, 0xff, 0xff, 1]))),
        seed("chunk-of-length-0", opened(inject(TO_SERVER, &[0, 3, 0, 0]))),
        seed("server-closes", opened([SERVER_CLOSES.to_vec(), SERVER_WAITS.repeat(4)].concat())),
        seed("packet-too-short", [0, 0, 0, 0]),
    ]
}

fn open(kind: u8, label: &[u8], protocol: &[u8]) -> Vec<u8> {
    let lengths = [(label.len() as u16).to_be_bytes(), (protocol.len() as u16).to_be_bytes()].concat();
    [&[3, kind, 1, 0, 0, 0, 0, 0], lengths.as_slice(), label, protocol].concat()
}

pub(crate) fn dcep() -> Vec<Seed> {
    vec![
        seed("ack", [2]),
        seed("ack-with-more", [2, 0]),
        seed("open-of-jitsi", open(0, b"JVB data channel", b"http://jitsi.org/protocols/colibri")),
        seed("open-unordered", open(0x82, b"", b"")),
        seed("open-of-unknown-type", open(0x40, b"a", b"b")),
        seed("open-label-not-utf8", open(0, &[0xff, 0xfe], b"")),
        seed("open-label-too-long", open(0, &[b'a'; 3000], b"")),
        seed("open-lengths-lie", [3, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1]),
        seed("open-truncated", [3, 0, 0, 0]),
        seed("unknown-message", [9]),
    ]
}
