//! What tests of a running `teranga` need.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

/// Ports that were free a moment ago: https, http, media, TURN.
pub(crate) fn free_ports() -> [String; 4] {
    let tcp = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [https, http, turn] = tcp.each_ref().map(|listener| listener.local_addr().unwrap().port().to_string());
    [https, http, udp.local_addr().unwrap().port().to_string(), turn]
}

/// The flags that say so.
pub(crate) fn on_ports([https, http, media, turn]: &[String; 4]) -> [&str; 8] {
    ["--https-port", https, "--http-port", http, "--media-port", media, "--turn-port", turn]
}

/// The answer of this http port, whole.
pub(crate) fn get(port: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: meet.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
