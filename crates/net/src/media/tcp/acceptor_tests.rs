//! The acceptor over loopback.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::FiveTuple;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;

use super::opening::tests::{ANSWER, HELLO, REQUEST, framed, is_request};
use super::{AcceptedTcp, IceTcpHandle, IceTcpLimits, TcpAcceptor};

struct Server {
    port: u16,
    handle: IceTcpHandle,
    accepted: UnboundedReceiver<AcceptedTcp>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    fn start(limits: IceTcpLimits) -> Self {
        let (sender, accepted) = unbounded_channel();
        let handle = IceTcpHandle::new(limits, is_request, move |connection| {
            let _ = sender.send(connection);
        });
        let acceptor = TcpAcceptor::bind("127.0.0.1:0".parse().unwrap(), handle.clone()).unwrap();
        let port = acceptor.port().unwrap();
        Self { port, handle, accepted, task: tokio::spawn(acceptor.run()).abort_handle() }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    async fn accepted(&mut self) -> AcceptedTcp {
        let accepted = tokio::time::timeout(Duration::from_secs(5), self.accepted.recv()).await;
        accepted.expect("a connection was handed on").unwrap()
    }

    /// Waits until a counter has `value`.
    async fn counted(&self, counter: impl Fn(&super::IceTcpCounters) -> &AtomicU64, value: u64) {
        let reached = async {
            while counter(self.handle.counters()).load(Ordering::Relaxed) != value {
                tokio::task::yield_now().await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(5), reached).await;
        assert!(result.is_ok(), "{:?}", self.handle);
    }
}

/// Whether the server closed the connection.
async fn is_closed(mut client: TcpStream) -> bool {
    let end = tokio::time::timeout(Duration::from_secs(5), client.read(&mut [0; 8])).await;
    matches!(end, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn a_connection_that_begins_with_a_request_is_handed_on() {
    let mut server = Server::start(IceTcpLimits::default());
    let mut client = server.connect().await;
    let bytes = [framed(REQUEST), framed(b"more")].concat();
    client.write_all(&bytes).await.unwrap();
    let accepted = server.accepted().await;
    assert_eq!(accepted.path(), FiveTuple::tcp(client.peer_addr().unwrap(), client.local_addr().unwrap()));
    assert_eq!(accepted.bytes(), bytes);
    assert_eq!(accepted.first_frame(), REQUEST);
    assert_eq!(server.handle.open_connections(), (1, 0));
    drop(accepted);
    assert_eq!(server.handle.open_connections(), (0, 0));
    assert!(is_closed(client).await);
}

#[tokio::test]
async fn the_pseudo_handshake_is_answered() {
    let mut server = Server::start(IceTcpLimits::default());
    let mut client = server.connect().await;
    client.write_all(HELLO).await.unwrap();
    let mut answer = vec![0; ANSWER.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ANSWER);
    client.write_all(&framed(REQUEST)).await.unwrap();
    assert_eq!(server.accepted().await.bytes(), framed(REQUEST));
}

#[tokio::test]
async fn a_connection_of_a_shared_port_is_adopted_with_what_was_read() {
    let mut server = Server::start(IceTcpLimits::default());
    let shared = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(shared.local_addr().unwrap()).await.unwrap();
    let bytes = framed(REQUEST);
    client.write_all(&bytes[..5]).await.unwrap();
    let (mut stream, _) = shared.accept().await.unwrap();
    let mut first = vec![0; 5];
    stream.read_exact(&mut first).await.unwrap();
    server.handle.adopt(stream, first);
    client.write_all(&bytes[5..]).await.unwrap();
    let accepted = server.accepted().await;
    assert_eq!((accepted.path().local, accepted.bytes()), (shared.local_addr().unwrap(), &bytes[..]));
}

#[tokio::test]
async fn what_does_not_speak_ice_is_closed_and_counted() {
    let server = Server::start(IceTcpLimits::default());
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), framed(&[0; 40])] {
        let mut client = server.connect().await;
        client.write_all(&bytes).await.unwrap();
        assert!(is_closed(client).await);
    }
    server.counted(|counters| &counters.not_ice, 2).await;
    drop(server.connect().await);
    server.counted(|counters| &counters.closed, 1).await;
    assert_eq!(server.handle.open_connections(), (0, 0));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_in_time() {
    let server = Server::start(IceTcpLimits { opening_time: Duration::from_millis(1), ..IceTcpLimits::default() });
    let client = server.connect().await;
    assert!(is_closed(client).await);
    server.counted(|counters| &counters.timed_out, 1).await;
}

#[tokio::test]
async fn a_flood_of_half_open_connections_is_bounded_and_does_not_stop_a_good_one() {
    let limits = IceTcpLimits { half_open: 40, half_open_per_address: 20, ..IceTcpLimits::default() };
    let mut server = Server::start(limits);
    let mut flood = Vec::new();
    for index in 0..200 {
        let mut client = server.connect().await;
        if index % 2 == 0 {
            // Some say half of something.
            let _ = client.write_all(&framed(REQUEST)[..9]).await;
        }
        flood.push(client);
    }
    server.counted(|counters| &counters.crowded_out, 180).await;
    assert_eq!(server.handle.open_connections(), (20, 20));
    let mut good = server.connect().await;
    good.write_all(&framed(REQUEST)).await.unwrap();
    let accepted = server.accepted().await;
    assert_eq!(accepted.path().remote, good.local_addr().unwrap());
    assert_eq!(server.handle.open_connections(), (20, 19));
    drop(flood);
    server.counted(|counters| &counters.closed, 19).await;
    assert_eq!(server.handle.open_connections(), (1, 0));
}

#[tokio::test]
async fn open_connections_are_limited() {
    let limits = IceTcpLimits { connections: 3, ..IceTcpLimits::default() };
    let mut server = Server::start(limits);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write_all(&framed(REQUEST)).await.unwrap();
        held.push((server.accepted().await, client));
    }
    assert!(is_closed(server.connect().await).await);
    server.counted(|counters| &counters.refused_full, 1).await;
    held.pop();
    let mut client = server.connect().await;
    client.write_all(&framed(REQUEST)).await.unwrap();
    server.accepted().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Server::start(IceTcpLimits::default());
    let address = ([127, 0, 0, 1], server.port).into();
    let error = TcpAcceptor::bind(address, server.handle.clone()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on media TCP {address}"));
}
