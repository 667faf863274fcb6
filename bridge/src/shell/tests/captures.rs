//! Packet traces over HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::capture::MAX_CAPTURES;
use crate::capture::tests::read_with_tshark;

/// A request on its way to be answered.
struct Answer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Answer {
    async fn to(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The body of an answer to HTTP/1.0 is all that comes until the connection is closed.
        let request = format!("GET /debug/capture/{path} HTTP/1.0\r\nHost: bridge.example\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Reads until `enough` of it is there.
    async fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) {
        while !enough(&self.read) {
            let len = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.unwrap().unwrap();
            assert!(len > 0, "{:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Waits until the body has begun: the capture runs then.
    async fn begun(mut self) -> Self {
        self.read_until(|read| read.windows(4).any(|bytes| bytes == [0x0a, 0x0d, 0x0d, 0x0a])).await;
        self
    }

    /// Head and body, once it is through.
    async fn whole(mut self) -> (String, Vec<u8>) {
        timeout(PATIENCE, self.stream.read_to_end(&mut self.read)).await.unwrap().unwrap();
        let end = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        (String::from_utf8(self.read[..end].to_vec()).unwrap(), self.read[end + 4..].to_vec())
    }

    async fn refused(self) -> (u16, String) {
        let (head, body) = self.whole().await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
    }
}

async fn expire(running: &mut Running, endpoint: &str) {
    let expiry = EndpointModify { expire: true, ..EndpointModify::new(endpoint.parse().unwrap()) };
    running.ask(&ConferenceModify { endpoints: vec![expiry], ..ConferenceModify::new("m".parse().unwrap()) }).await;
}

#[tokio::test]
async fn a_trace_of_a_connecting_client_is_streamed_until_the_endpoint_goes() {
    let mut running = Running::start();
    let answer = running.ask(&create(0, true)).await;
    let address = running.serve().await;
    let mut trace = Answer::to(address, "00000000").await.begun().await;
    connect(&mut running, &answer).await;
    let begun = trace.read.len();
    trace.read_until(|read| read.len() > begun + 2000).await;
    expire(&mut running, "00000000").await;
    let (head, body) = trace.whole().await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("application/x-pcapng") && head.contains("00000000.pcapng"), "{head}");
    let media_port = answer.endpoints[0].transport.clone().unwrap().ice.unwrap().candidates[0].port.to_string();
    let fields = ["frame.packet_flags_direction", "udp.srcport", "udp.dstport", "udp.checksum.status", "udp.payload"];
    let read = read_with_tshark(&body, &[], &fields);
    for packet in &read {
        let at_bridge = if packet[0] == "0x00000001" { &packet[2] } else { &packet[1] };
        assert_eq!((at_bridge, packet[3].as_str()), (&media_port, "1"));
    }
    for direction in ["0x00000001", "0x00000002"] {
        // STUN and DTLS by their first bytes (RFC 7983 §7): tshark 4.0 does not know the records of DTLS 1.3.
        for (protocol, first_bytes) in [("STUN", 0..=3), ("DTLS", 20..=63)] {
            let first_byte = |packet: &Vec<String>| u8::from_str_radix(&packet[4][..2], 16).unwrap();
            let all = read.iter().filter(|packet| packet[0] == direction && first_bytes.contains(&first_byte(packet)));
            assert!(all.count() >= 2, "{protocol} {direction}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_captured_is_told_in_one_line() {
    let mut running = Running::start();
    running.ask(&create(0, true)).await;
    let address = running.serve().await;
    for (path, status, words) in [
        ("00000001", 404, "no such endpoint"),
        ("%20", 404, "no such endpoint"),
        ("00000000?conference=other", 404, "no such endpoint"),
        ("00000000?plain=1", 403, "--allow-plain-captures"),
        ("00000000?plain=yes", 400, "plain = \"yes\""),
        ("00000000?seconds=0", 400, "1..=600"),
        ("00000000?seconds=601", 400, "1..=600"),
        ("00000000?seconds=x", 400, "1..=600"),
        ("00000000?second=3", 400, "second"),
    ] {
        let (found, text) = Answer::to(address, path).await.refused().await;
        assert_eq!((found, text.lines().count()), (status, 1), "{path}: {text}");
        assert!(text.contains(words), "{path}: {text}");
    }
}

#[tokio::test]
async fn captures_are_limited_and_end_with_their_connection() {
    let mut running = Running::with_settings(|settings| settings.allow_plain_captures = true);
    for endpoint in 0..=MAX_CAPTURES {
        running.ask(&create(endpoint, endpoint == 0)).await;
    }
    let address = running.serve().await;
    let mut traces = Vec::new();
    for endpoint in 0..MAX_CAPTURES {
        traces.push(Answer::to(address, &format!("{endpoint:08x}?plain=1&seconds=600")).await.begun().await);
        if endpoint == 0 {
            let (status, text) = Answer::to(address, "00000000").await.refused().await;
            assert_eq!(status, 409, "{text}");
        }
    }
    let one_more = format!("{MAX_CAPTURES:08x}");
    let (status, text) = Answer::to(address, &one_more).await.refused().await;
    assert_eq!(status, 429, "{text}");
    drop(traces.pop());
    let freed = async {
        loop {
            let mut answer = Answer::to(address, &one_more).await;
            answer.read_until(|read| read.len() > 12).await;
            if answer.read.starts_with(b"HTTP/1.0 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn a_trace_ends_by_itself() {
    let mut running = Running::start();
    running.ask(&create(0, true)).await;
    let address = running.serve().await;
    let (_, body) = Answer::to(address, "00000000?seconds=1").await.whole().await;
    assert_eq!(read_with_tshark(&body, &[], &["frame.number"]).len(), 0, "nothing came");
}
