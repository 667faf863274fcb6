//! TCP connections in shards, over loopback.

#![allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use model::FiveTuple;
use socket2::{Domain, Socket, Type};

use super::connection::MAX_BACKLOG_BYTES;
use super::framing::MAX_FRAME_BYTES;
use super::opening::tests::framed;
use super::{AcceptedTcp, ClosedTcp, TcpCloseReason};
use crate::media::{MediaShard, MediaShards, ReceivedBatch, SendQueue, Without};

/// Far above what loopback takes, so that a test ends where nothing comes.
const PATIENCE: Duration = Duration::from_secs(5);
const TURNS: usize = 10_000;

struct Client {
    stream: TcpStream,
    /// The path as the shard sees it.
    path: FiveTuple,
}

impl Client {
    /// A connection of which `early` was read before it came to the shard.
    fn connect(early: &[u8]) -> (Self, AcceptedTcp) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Bound first: a port that is only chosen to connect may be that of another client, to another listener.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = AcceptedTcp::for_test(accepted, early.to_vec());
        (Self { stream, path: accepted.path() }, accepted)
    }

    fn in_shard(shard: &mut MediaShard, now: Instant) -> Self {
        let (client, accepted) = Self::connect(&[]);
        assert!(shard.add_tcp(accepted, now));
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn receive_frame(&mut self) -> Vec<u8> {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        let mut frame = vec![0; usize::from(u16::from_be_bytes(header))];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }
}

fn shards(count: usize) -> Vec<MediaShard> {
    MediaShards::bind(SocketAddr::from(([127, 0, 0, 1], 0)), count, Without::default()).unwrap().shards
}

fn shard() -> MediaShard {
    shards(1).remove(0)
}

/// Turns of the shard's loop until `count` frames came.
fn receive(shard: &mut MediaShard, count: usize) -> Vec<(FiveTuple, Vec<u8>)> {
    let mut frames = Vec::new();
    for _ in 0..TURNS {
        if frames.len() >= count {
            break;
        }
        shard.wait(Some(PATIENCE), || false).unwrap();
        shard.receive_tcp(|path, frame| frames.push((path, frame.to_vec())));
    }
    frames
}

fn closed(shard: &mut MediaShard) -> ClosedTcp {
    for _ in 0..TURNS {
        if let Some(closed) = shard.poll_tcp_closed() {
            return closed;
        }
        shard.wait(Some(PATIENCE), || false).unwrap();
        shard.receive_tcp(|_, _| {});
    }
    panic!("no connection was closed");
}

#[test]
fn frames_arrive_wherever_the_stream_is_cut() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut client = Client::in_shard(&mut shard, now);
    let bytes = [framed(b"one"), framed(b"and two"), framed(&[3; 30])].concat();
    for at in 0..=bytes.len() {
        client.send(&bytes[..at]);
        // The first part is read before the second is written, as far as loopback has delivered it.
        shard.wait(Some(Duration::ZERO), || false).unwrap();
        let mut frames = Vec::new();
        shard.receive_tcp(|path, frame| frames.push((path, frame.to_vec())));
        client.send(&bytes[at..]);
        let rest = receive(&mut shard, 3 - frames.len());
        frames.extend(rest);
        let path = client.path;
        assert_eq!(frames, [(path, b"one".to_vec()), (path, b"and two".to_vec()), (path, vec![3; 30])], "at {at}");
    }
    assert_eq!(shard.tcp_counters().frames_received, 3 * (bytes.len() as u64 + 1));
}

#[test]
fn what_was_read_before_comes_first() {
    let (mut shard, now) = (shard(), Instant::now());
    let early = [framed(b"check"), vec![0, 4, b'h']].concat();
    let (mut client, accepted) = Client::connect(&early);
    assert_eq!(accepted.first_frame(), b"check");
    assert!(shard.add_tcp(accepted, now));
    client.send(b"alf");
    let frames: Vec<_> = receive(&mut shard, 2).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(frames, [b"check".to_vec(), b"half".to_vec()]);
}

#[test]
fn a_flush_reaches_udp_and_each_connection_in_one_write() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut clients = [Client::in_shard(&mut shard, now), Client::in_shard(&mut shard, now)];
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let udp_path = FiveTuple::udp(SocketAddr::from(([0, 0, 0, 0], 0)), udp.local_addr().unwrap());
    let nobody = FiveTuple::tcp(udp_path.local, SocketAddr::from(([127, 0, 0, 1], 9)));
    let mut queue = SendQueue::default();
    for round in 0..3_u8 {
        for path in [clients[0].path, udp_path, clients[1].path, nobody] {
            queue.push(path, &[round; 10]);
        }
        queue.push(clients[0].path, &vec![round; MAX_FRAME_BYTES + 1]);
    }
    let outcome = shard.send(&mut queue);
    assert_eq!((outcome.sent, outcome.refused, outcome.messages), (9, 6, 5));
    for round in 0..3_u8 {
        for client in &mut clients {
            assert_eq!(client.receive_frame(), [round; 10]);
        }
        let mut bytes = [0; 64];
        let len = udp.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..len], [round; 10]);
    }
    assert_eq!(shard.tcp_counters().refused_unknown, 3);
    assert_eq!(shard.tcp_counters().refused_backlog, 3);
}

#[test]
fn a_slow_reader_is_bounded_and_delays_nobody() {
    let (mut shard, now) = (shard(), Instant::now());
    let slow = Client::in_shard(&mut shard, now);
    let mut fast = Client::in_shard(&mut shard, now);
    let mut queue = SendQueue::default();
    // 40 MB: far more than the kernel's buffers of both ends take.
    for round in 0..40_000_u32 {
        queue.push(slow.path, &[0; 1000]);
        queue.push(fast.path, &round.to_be_bytes());
        if round % 100 == 99 {
            shard.send(&mut queue);
            for round in round - 99..=round {
                assert_eq!(fast.receive_frame(), round.to_be_bytes());
            }
        }
    }
    let backlog = shard.tcp_backlog(slow.path.remote);
    assert!((MAX_BACKLOG_BYTES - 1002..=MAX_BACKLOG_BYTES).contains(&backlog), "{backlog}");
    assert_eq!(shard.tcp_backlog(fast.path.remote), 0);
    let counters = shard.tcp_counters();
    assert!(counters.refused_backlog > 0);
    assert_eq!(counters.frames_sent + counters.refused_backlog, 80_000);
}

#[test]
fn a_slow_reader_gets_whole_frames_when_it_reads_again() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut client = Client::in_shard(&mut shard, now);
    let mut queue = SendQueue::default();
    let mut sent = 0_usize;
    while shard.tcp_counters().refused_backlog == 0 {
        queue.push(client.path, &vec![sent as u8; 1 + sent % 1400]);
        sent += shard.send(&mut queue).sent;
    }
    let reader = std::thread::spawn(move || {
        for index in 0..sent {
            assert_eq!(client.receive_frame(), vec![index as u8; 1 + index % 1400]);
        }
        client
    });
    // The reader gives up where nothing comes.
    while !reader.is_finished() {
        shard.wait(Some(Duration::from_millis(1)), || false).unwrap();
        shard.receive_tcp(|_, _| {});
    }
    let client = reader.join().unwrap();
    assert_eq!(shard.tcp_backlog(client.path.remote), 0);
}

#[test]
fn a_connection_that_takes_nothing_is_closed_after_ten_seconds() {
    let (mut shard, start) = (shard(), Instant::now());
    let client = Client::in_shard(&mut shard, start);
    let idle = Client::in_shard(&mut shard, start);
    for remote in [client.path.remote, idle.path.remote] {
        assert!(shard.confirm_tcp(remote));
    }
    let mut queue = SendQueue::default();
    while shard.tcp_counters().refused_backlog == 0 {
        queue.push(client.path, &[0; 2000]);
        shard.send(&mut queue);
    }
    let mut at = start;
    for _ in 0..11 {
        assert_eq!(shard.poll_tcp_closed(), None);
        at = shard.poll_tcp_timeout().unwrap();
        shard.handle_tcp_timeout(at);
    }
    assert_eq!(at, start + Duration::from_secs(11));
    assert_eq!(shard.poll_tcp_closed(), Some(ClosedTcp { path: client.path, reason: TcpCloseReason::Stalled }));
    assert_eq!((shard.tcp_connections(), shard.tcp_counters().closed_stalled), (1, 1));
}

#[test]
fn a_connection_that_ice_does_not_confirm_is_closed() {
    let (mut shard, start) = (shard(), Instant::now());
    let unconfirmed = Client::in_shard(&mut shard, start);
    let confirmed = Client::in_shard(&mut shard, start);
    assert!(shard.confirm_tcp(confirmed.path.remote));
    assert!(!shard.confirm_tcp(SocketAddr::from(([127, 0, 0, 1], 9))));
    shard.handle_tcp_timeout(start + Duration::from_millis(14_999));
    assert_eq!(shard.poll_tcp_closed(), None);
    shard.handle_tcp_timeout(start + Duration::from_secs(30));
    let expected = ClosedTcp { path: unconfirmed.path, reason: TcpCloseReason::Unconfirmed };
    assert_eq!((shard.poll_tcp_closed(), shard.poll_tcp_closed()), (Some(expected), None));
    assert!(shard.close_tcp(confirmed.path.remote));
    assert!(!shard.close_tcp(confirmed.path.remote));
    shard.handle_tcp_timeout(start + Duration::from_secs(60));
    assert_eq!((shard.poll_tcp_timeout(), shard.poll_tcp_closed()), (None, None));
}

#[test]
fn the_last_frames_of_a_connection_come_before_its_end() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut client = Client::in_shard(&mut shard, now);
    client.send(&[framed(b"last"), framed(b"words"), vec![0, 9, 1]].concat());
    let path = client.path;
    drop(client);
    let frames: Vec<_> = receive(&mut shard, 2).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(frames, [b"last".to_vec(), b"words".to_vec()]);
    assert_eq!(closed(&mut shard), ClosedTcp { path, reason: TcpCloseReason::ByPeer });
    assert_eq!(shard.tcp_counters().closed_by_peer, 1);
}

#[test]
fn a_frame_too_long_closes_the_connection() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut client = Client::in_shard(&mut shard, now);
    client.send(&[framed(b"good"), vec![0xff, 0xff]].concat());
    assert_eq!(receive(&mut shard, 1).len(), 1);
    assert!(matches!(closed(&mut shard).reason, TcpCloseReason::BadFrame(_)));
    let mut queue = SendQueue::default();
    queue.push(client.path, b"too late");
    assert_eq!(shard.send(&mut queue).refused, 1);
}

#[test]
fn each_connection_gets_a_bounded_share_of_a_turn() {
    let (mut shard, now) = (shard(), Instant::now());
    let mut loud = Client::in_shard(&mut shard, now);
    let mut quiet: Vec<_> = (0..3).map(|_| Client::in_shard(&mut shard, now)).collect();
    let frame = framed(&[0; 998]);
    loud.send(&frame.repeat(200));
    for client in &mut quiet {
        client.send(&framed(b"hello"));
    }
    let mut turns = Vec::new();
    while turns.iter().flat_map(BTreeMap::values).sum::<usize>() < 203 {
        shard.wait(Some(PATIENCE), || false).unwrap();
        let mut frames_of: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        shard.receive_tcp(|path, _| *frames_of.entry(path.remote).or_default() += 1);
        turns.push(frames_of);
        assert!(turns.len() < TURNS);
    }
    assert!(turns.iter().flat_map(BTreeMap::values).all(|frames| *frames <= 17), "{turns:?}");
    // UDP is served between the turns, and nothing of the connections is lost.
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"hello", ("127.0.0.1", shard.port())).unwrap();
    shard.wait(Some(PATIENCE), || false).unwrap();
    let mut slot = [0; 64];
    assert_eq!(shard.receive(&mut [IoSliceMut::new(&mut slot)], &mut ReceivedBatch::default()).unwrap(), 1);
}

#[test]
fn a_move_between_shards_loses_no_frame() {
    let now = Instant::now();
    let [mut from, mut to] = <[MediaShard; 2]>::try_from(shards(2)).ok().unwrap();
    // Moved before anything is read: the early bytes move too.
    let (mut client, accepted) = Client::connect(&framed(b"early"));
    let remote = accepted.path().remote;
    assert!(from.add_tcp(accepted, now));
    client.send(&framed(b"unread"));
    assert!(to.insert_tcp(from.take_tcp(remote).unwrap(), now));
    let frames: Vec<_> = receive(&mut to, 2).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(frames, [b"early".to_vec(), b"unread".to_vec()]);
    // Moved back and forth in the middle of a frame, at every byte.
    let bytes = framed(b"cut in two");
    for at in 0..=bytes.len() {
        client.send(&bytes[..at]);
        to.wait(Some(Duration::ZERO), || false).unwrap();
        let mut got = Vec::new();
        to.receive_tcp(|_, frame| got.push(frame.to_vec()));
        assert!(from.insert_tcp(to.take_tcp(remote).unwrap(), now));
        client.send(&bytes[at..]);
        got.extend(receive(&mut from, 1 - got.len()).into_iter().map(|(_, frame)| frame));
        assert_eq!(got, [b"cut in two".to_vec()], "cut at {at}");
        std::mem::swap(&mut from, &mut to);
    }
    // Moved with a backlog: what waits follows in order.
    let mut queue = SendQueue::default();
    let mut sent = 0_u32;
    while to.tcp_counters().refused_backlog == 0 {
        queue.push(client.path, &sent.to_be_bytes().repeat(300));
        sent += to.send(&mut queue).sent as u32;
    }
    let connection = to.take_tcp(remote).unwrap();
    assert!(connection.backlog() > 0);
    assert!(from.insert_tcp(connection, now));
    assert_eq!((to.tcp_connections(), to.tcp_backlog(remote)), (0, 0));
    let reader = std::thread::spawn(move || {
        for index in 0..sent {
            assert_eq!(client.receive_frame(), index.to_be_bytes().repeat(300));
        }
    });
    // The reader gives up where nothing comes.
    while !reader.is_finished() {
        from.wait(Some(Duration::from_millis(1)), || false).unwrap();
        from.receive_tcp(|_, _| {});
    }
    reader.join().unwrap();
}

#[test]
fn a_second_connection_of_one_remote_address_is_refused() {
    let (mut shard, now) = (shard(), Instant::now());
    let client = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = client.local_addr().unwrap();
    // Two connections whose remote address is the listener's.
    let accepted = || AcceptedTcp::for_test(TcpStream::connect(address).unwrap(), vec![]);
    assert!(shard.add_tcp(accepted(), now));
    assert!(!shard.add_tcp(accepted(), now));
    assert_eq!((shard.tcp_connections(), shard.tcp_counters().refused_connections), (1, 1));
}
