//! Threads that are not started, with real connections: what becomes of a connection between two of them.

use std::net::{IpAddr, Ipv4Addr};

use net::media::tcp::IceTcpLimits;
use net::media::{IceTcpHandle, MediaShards, TcpAcceptor, Without};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::*;

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What a client sends first, in its frame; the bridge of these tests takes anything for a check.
const FIRST_FRAME: &[u8] = b"\0\x14\0\x01\0\0\x21\x12\xa4\x42transactionA";

/// Two shards, whose queues for connections have room for `room` each, and control's end.
struct Pair {
    threads: Vec<ShardThread>,
    inbox: ControlInbox,
}

impl Pair {
    fn new(room: usize) -> Self {
        let shards = MediaShards::bind(ANY_PORT, 2, Without::default()).unwrap().shards;
        let queues: Vec<_> =
            shards.iter().map(|_| ShardQueues { connections: queue(room), ..ShardQueues::new() }).collect();
        let (control, inbox) = ControlInbox::new();
        let wakers: Vec<_> = shards.iter().map(MediaShard::waker).collect();
        let links: Vec<Vec<_>> = shards
            .iter()
            .map(|_| queues.iter().zip(&wakers).map(|(queues, waker)| queues.link(waker.clone())).collect())
            .collect();
        let threads = shards.into_iter().zip(queues).zip(links).map(|((socket, queues), links)| {
            let shard = Shard::new(ShardId(socket.index() as u8), Arc::default(), Instant::now());
            ShardThread::new(socket, Duration::ZERO, shard, queues, links, control.clone())
        });
        Self { threads: threads.collect(), inbox }
    }

    /// Has the first thread move a connection to the second, and answers how often they counted `reason`.
    fn move_connection(&mut self, accepted: AcceptedTcp, reason: DropReason) -> u64 {
        let remote = accepted.path().remote;
        assert!(self.threads[0].socket.add_tcp(accepted, Instant::now()));
        self.threads[0].handle_connection(remote, ConnectionAction::MoveTo(ShardId(1)));
        self.threads[1].take_connections(Instant::now());
        self.threads.iter_mut().for_each(ShardThread::hand_over);
        self.threads.iter_mut().for_each(ShardThread::tell_control);
        self.threads.iter_mut().map(|thread| thread.shard.counters().dropped(reason)).sum()
    }

    fn closed(&self) -> Option<FiveTuple> {
        self.inbox.try_recv().map(|event| match event {
            ShardEvent::ConnectionClosed { path } => path,
            other @ (ShardEvent::Datagram { .. }
            | ShardEvent::CheckAnswered { .. }
            | ShardEvent::Heard { .. }
            | ShardEvent::Layers { .. }
            | ShardEvent::LinkTraffic { .. }
            | ShardEvent::Bandwidth { .. }) => {
                panic!("{other:?}")
            }
        })
    }
}

/// A connection as the acceptor hands it on, and its client, which comes from `from`.
async fn connect(from: SocketAddr) -> (AcceptedTcp, TcpStream) {
    let (sender, mut accepted) = mpsc::unbounded_channel();
    let handle = IceTcpHandle::new(IceTcpLimits::default(), |_| true, move |accepted| sender.send(accepted).unwrap());
    let acceptor = TcpAcceptor::bind(ANY_PORT, handle).unwrap();
    let port = acceptor.port().unwrap();
    tokio::spawn(acceptor.run());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(from).unwrap();
    let mut client = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
    client.write_all(FIRST_FRAME).await.unwrap();
    (accepted.recv().await.unwrap(), client)
}

#[tokio::test]
async fn connection_that_does_not_fit_into_the_queue_of_its_new_shard_is_closed_for_ice_too() {
    let mut pair = Pair::new(0);
    let (accepted, _client) = connect(ANY_PORT).await;
    let path = accepted.path();
    assert_eq!(pair.move_connection(accepted, DropReason::ConnectionQueueFull), 1);
    assert_eq!((pair.closed(), pair.closed()), (Some(path), None));
    assert_eq!(pair.threads[0].socket.tcp_connections(), 0);
}

#[tokio::test]
async fn connection_that_its_new_shard_refuses_is_closed_for_ice_too() {
    let mut pair = Pair::new(8);
    let (first, _client) = connect(ANY_PORT).await;
    let remote = first.path().remote;
    assert_eq!(pair.move_connection(first, DropReason::ConnectionRefused), 0);
    assert_eq!((pair.closed(), pair.threads[1].socket.tcp_connections()), (None, 1));

    // From the same port of the client to another one of ours.
    let (second, _client) = connect(remote).await;
    let path = second.path();
    assert_eq!(pair.move_connection(second, DropReason::ConnectionRefused), 1);
    assert_eq!((pair.closed(), pair.threads[1].socket.tcp_connections()), (Some(path), 1));
}

#[test]
fn control_waits_for_a_shard_whose_queue_is_full_unless_it_is_gone() {
    let shard = MediaShards::bind(ANY_PORT, 1, Without::default()).unwrap().shards.remove(0);
    let queues = ShardQueues { commands: queue(1), ..ShardQueues::new() };
    let mut handle = queues.handle(shard.waker());
    let control = thread::spawn(move || {
        (0..).find(|number| handle.send_command(ShardCommand::ClosePort { number: *number }).is_err())
    });
    for expected in 0..100 {
        let command = queues.commands.1.recv().unwrap();
        assert!(matches!(command, ShardCommand::ClosePort { number } if number == expected), "{command:?}");
    }
    drop(queues);
    assert!(control.join().unwrap() >= Some(100));
}
