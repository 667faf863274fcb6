//! The UDP side of shards over loopback.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use model::FiveTuple;

use super::{MediaShard, MediaShards, ReceivedBatch, SendQueue, UniquePort, Without};

/// Far above what loopback takes, so that a test ends where nothing comes.
const PATIENCE: Duration = Duration::from_secs(5);
const SLOT: usize = 2048;

fn unspecified() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn one_shard(address: SocketAddr, without: Without) -> MediaShard {
    MediaShards::bind(address, 1, without).unwrap().shards.remove(0)
}

/// Receives at least `count` datagrams: path, bytes and whether it was truncated, in the order of arrival.
fn receive(shard: &mut MediaShard, count: usize) -> Vec<(FiveTuple, Vec<u8>, bool)> {
    let mut slab = vec![0; SLOT * ReceivedBatch::CAPACITY];
    let mut batch = ReceivedBatch::default();
    let mut all = Vec::new();
    while all.len() < count {
        shard.wait(Some(PATIENCE), || false).unwrap();
        loop {
            let mut buffers: Vec<_> = slab.chunks_mut(SLOT).map(IoSliceMut::new).collect();
            let received = shard.receive(&mut buffers, &mut batch).unwrap();
            assert_eq!(batch.datagrams().len(), received);
            if received == 0 {
                break;
            }
            for (datagram, bytes) in batch.datagrams().iter().zip(&buffers) {
                all.push((datagram.path, bytes[..datagram.len].to_vec(), datagram.truncated));
            }
        }
        assert!(!all.is_empty(), "nothing arrived");
    }
    all
}

#[test]
fn datagrams_are_the_same_with_and_without_gso() {
    // Equal ones, a shorter last one, a longer one, single bytes, more than one message holds.
    let mut lengths = vec![100, 100, 100, 60, 1200, 1200, 5, 1, 1, 1500];
    lengths.extend([700; 200]);
    for gso in [true, false] {
        let mut receiver = one_shard(loopback(), Without::default());
        let mut sender = one_shard(loopback(), Without { gso: !gso, ..Without::default() });
        let to = SocketAddr::from(([127, 0, 0, 1], receiver.port()));
        let mut queue = SendQueue::default();
        for (index, len) in lengths.iter().enumerate() {
            assert!(queue.push(FiveTuple::udp(unspecified(), to), &vec![index as u8; *len]));
        }
        let outcome = sender.send(&mut queue);
        assert!(queue.is_empty());
        assert_eq!((outcome.sent, outcome.refused), (lengths.len(), 0));
        if !gso {
            assert_eq!(outcome.messages, lengths.len());
            assert_eq!(outcome.calls, lengths.len().div_ceil(64));
        } else if sender.uses_gso() {
            // 100 × 3 and 60; 1200 × 2 and 5; 1 × 2; 1500 and 700; then 700 × 64, 64, 64 and 7.
            assert_eq!((outcome.messages, outcome.calls), (8, 1));
        }
        let received = receive(&mut receiver, lengths.len());
        let from = SocketAddr::from(([127, 0, 0, 1], sender.port()));
        for (index, (path, bytes, truncated)) in received.iter().enumerate() {
            assert_eq!(*path, FiveTuple::udp(to, from));
            assert_eq!(*bytes, vec![index as u8; lengths[index]]);
            assert!(!truncated);
        }
        assert_eq!(received.len(), lengths.len());
    }
}

#[test]
fn one_batch_goes_to_many_places_of_both_families() {
    let mut sender = one_shard(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), Without::default());
    let sinks: Vec<UdpSocket> = (0..150)
        .map(|index| if index % 2 == 0 { "127.0.0.1:0" } else { "[::1]:0" })
        .map(|address| UdpSocket::bind(address).unwrap())
        .collect();
    let mut queue = SendQueue::default();
    for (index, sink) in sinks.iter().enumerate() {
        let remote = sink.local_addr().unwrap();
        // Some with a source of our choice, some with the kernel's.
        let local = if index % 3 == 0 { SocketAddr::new(remote.ip(), sender.port()) } else { unspecified() };
        queue.push(FiveTuple::udp(local, remote), &[index as u8; 20]);
        queue.push(FiveTuple::udp(local, remote), &[index as u8; 20]);
    }
    let outcome = sender.send(&mut queue);
    assert_eq!((outcome.sent, outcome.refused), (300, 0));
    for (index, sink) in sinks.iter().enumerate() {
        sink.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..2 {
            let mut bytes = [0; 64];
            let (len, from) = sink.recv_from(&mut bytes).unwrap();
            assert_eq!(bytes[..len], [index as u8; 20]);
            assert_eq!(from, SocketAddr::new(sink.local_addr().unwrap().ip(), sender.port()));
        }
    }
}

#[test]
fn a_dual_stack_shard_tells_both_families_apart() {
    let mut shard = one_shard(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), Without::default());
    for ip in ["127.0.0.1", "::1"] {
        let peer = UdpSocket::bind((ip, 0)).unwrap();
        let local = SocketAddr::new(ip.parse().unwrap(), shard.port());
        peer.send_to(b"hello", local).unwrap();
        let received = receive(&mut shard, 1);
        assert_eq!(received[0].0, FiveTuple::udp(local, peer.local_addr().unwrap()));
    }
}

#[test]
fn a_host_with_ipv6_alone_is_served() {
    for address in ["[::1]:0", "[::]:0"] {
        let mut media = MediaShards::bind(address.parse().unwrap(), 2, Without::default()).unwrap();
        assert!(media.capabilities.ipv6);
        let peer = UdpSocket::bind("[::1]:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (local, remote) = (SocketAddr::from((Ipv6Addr::LOCALHOST, media.port)), peer.local_addr().unwrap());
        let mut queue = SendQueue::default();
        for _ in 0..3 {
            queue.push(FiveTuple::udp(local, remote), b"hello");
        }
        assert_eq!(media.shards[1].send(&mut queue).sent, 3);
        for _ in 0..3 {
            assert_eq!(peer.recv_from(&mut [0; 8]).unwrap(), (5, local));
        }
    }
}

#[test]
fn a_datagram_longer_than_its_buffer_is_marked() {
    let mut shard = one_shard(loopback(), Without::default());
    let peer = UdpSocket::bind(loopback()).unwrap();
    for len in [SLOT, SLOT + 1, 40] {
        peer.send_to(&vec![7; len], ("127.0.0.1", shard.port())).unwrap();
    }
    let received: Vec<_> = receive(&mut shard, 3).iter().map(|(_, bytes, cut)| (bytes.len(), *cut)).collect();
    assert_eq!(received, [(SLOT, false), (SLOT, true), (40, false)]);
}

#[test]
fn what_cannot_be_sent_does_not_stop_the_others() {
    for without in [Without::default(), Without { gso: true, ..Without::default() }] {
        let mut sender = one_shard(loopback(), without);
        let sink = UdpSocket::bind(loopback()).unwrap();
        sink.set_read_timeout(Some(PATIENCE)).unwrap();
        let good = FiveTuple::udp(unspecified(), sink.local_addr().unwrap());
        let port_0 = FiveTuple::udp(unspecified(), SocketAddr::from(([127, 0, 0, 1], 0)));
        let wrong_family = FiveTuple::udp(unspecified(), SocketAddr::from((Ipv6Addr::LOCALHOST, 9)));
        let not_our_source = FiveTuple::udp(SocketAddr::from(([192, 0, 2, 99], 0)), good.remote);
        let over_tcp = FiveTuple::tcp(unspecified(), good.remote);
        let mut queue = SendQueue::default();
        for path in [good, port_0, good, wrong_family, good, not_our_source, good, over_tcp, good] {
            queue.push(path, b"one");
            queue.push(path, b"two");
        }
        queue.push(good, &vec![0; 65_530]);
        let outcome = sender.send(&mut queue);
        assert_eq!((outcome.sent, outcome.refused), (10, 9));
        for _ in 0..5 {
            for text in [b"one", b"two"] {
                let mut bytes = [0; 64];
                let (len, _) = sink.recv_from(&mut bytes).unwrap();
                assert_eq!(bytes[..len], *text);
            }
        }
    }
}

#[test]
fn segments_longer_than_the_kernel_cuts_go_singly() {
    let mut sender = one_shard(loopback(), Without::default());
    let mut receiver = one_shard(loopback(), Without::default());
    let path = FiveTuple::udp(unspecified(), SocketAddr::from(([127, 0, 0, 1], receiver.port())));
    let mut queue = SendQueue::default();
    for index in 0..3 {
        queue.push(path, &[index; 3]);
    }
    // A device without checksum offload answers EIO to a message that has to be cut: as here, all goes singly.
    sender.break_gso();
    let outcome = sender.send(&mut queue);
    assert_eq!((outcome.sent, outcome.refused, outcome.messages), (3, 0, 3));
    assert_eq!(receive(&mut receiver, 3).len(), 3);
}

#[test]
fn the_kernel_spreads_peers_over_the_shards_and_each_peer_stays() {
    let mut media = MediaShards::bind(loopback(), 2, Without::default()).unwrap();
    if !media.capabilities.reuseport {
        return;
    }
    let peers: Vec<_> = (0..32).map(|_| UdpSocket::bind(loopback()).unwrap()).collect();
    for _ in 0..2 {
        for peer in &peers {
            peer.send_to(b"hello", ("127.0.0.1", media.port)).unwrap();
        }
    }
    let mut shards_of: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
    for shard in &mut media.shards {
        for (path, ..) in receive(shard, 1) {
            shards_of.entry(path.remote).or_default().push(shard.index());
        }
    }
    assert_eq!(shards_of.len(), peers.len());
    assert!(shards_of.values().all(|shards| shards.len() == 2 && shards[0] == shards[1]));
}

#[test]
fn shards_that_do_not_receive_send_from_the_same_port() {
    let without = Without { reuseport: true, ..Without::default() };
    let mut media = MediaShards::bind(loopback(), 2, without).unwrap();
    let peer = UdpSocket::bind(loopback()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sender = media.shards[1].media_sender().unwrap();
    for shard in &mut media.shards {
        let mut queue = SendQueue::default();
        queue.push(FiveTuple::udp(unspecified(), peer.local_addr().unwrap()), b"hello");
        assert_eq!(shard.send(&mut queue).sent, 1);
    }
    let mut queue = SendQueue::default();
    queue.push(FiveTuple::udp(unspecified(), peer.local_addr().unwrap()), b"hello");
    queue.push(FiveTuple::tcp(unspecified(), peer.local_addr().unwrap()), b"hello");
    let outcome = sender.send(&mut queue);
    assert_eq!((outcome.sent, outcome.refused), (1, 1));
    for _ in 0..3 {
        assert_eq!(peer.recv_from(&mut [0; 8]).unwrap().1.port(), media.port);
    }
    peer.send_to(b"hello", ("127.0.0.1", media.port)).unwrap();
    assert_eq!(receive(&mut media.shards[0], 1).len(), 1);
}

#[test]
fn work_or_unread_datagrams_keep_a_shard_from_sleeping() {
    let mut shard = one_shard(loopback(), Without::default());
    shard.wait(None, || true).unwrap();
    let peer = UdpSocket::bind(loopback()).unwrap();
    for _ in 0..3 {
        peer.send_to(b"hello", ("127.0.0.1", shard.port())).unwrap();
    }
    let (mut slot, mut batch) = (vec![0; SLOT], ReceivedBatch::default());
    for _ in 0..3 {
        // No time-out: this would hang if what was left unread did not end the wait.
        shard.wait(None, || false).unwrap();
        assert_eq!(shard.receive(&mut [IoSliceMut::new(&mut slot)], &mut batch).unwrap(), 1);
    }
    assert_eq!(shard.receive(&mut [IoSliceMut::new(&mut slot)], &mut batch).unwrap(), 0);
}

#[test]
fn no_wake_up_is_lost() {
    let mut shard = one_shard(loopback(), Without::default());
    let (work, done) = (std::sync::mpsc::sync_channel(1), std::sync::mpsc::sync_channel(1));
    let waker = shard.waker();
    let rounds = 20_000;
    let other = std::thread::spawn(move || {
        for round in 0..rounds {
            work.0.send(round).unwrap();
            waker.wake();
            assert_eq!(done.1.recv().unwrap(), round);
        }
    });
    let mut received = None;
    for round in 0..rounds {
        while received.is_none() {
            let queue = &work.1;
            let received = &mut received;
            // No time-out: a lost wake-up hangs here.
            shard
                .wait(None, || {
                    *received = queue.try_recv().ok();
                    received.is_some()
                })
                .unwrap();
            *received = received.or(queue.try_recv().ok());
        }
        assert_eq!(received.take(), Some(round));
        done.0.send(round).unwrap();
    }
    other.join().unwrap();
}

#[test]
fn what_comes_to_a_unique_port_and_leaves_from_there_is_told_apart() {
    for address in [loopback(), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))] {
        let mut media = MediaShards::bind(address, 1, Without::default()).unwrap();
        let mut shard = media.shards.remove(0);
        let ports = [(); 2].map(|()| media.unique_ports.open().unwrap());
        let numbers = ports.each_ref().map(UniquePort::number);
        assert!(numbers[0] != numbers[1] && !numbers.contains(&shard.port()));
        for port in ports {
            shard.add_unique_port(port).unwrap();
        }
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let remote = peer.local_addr().unwrap();
        let all = [shard.port(), numbers[0], numbers[1]];

        // Runs of each, one after the other, in one queue.
        let mut queue = SendQueue::default();
        for (round, port) in all.into_iter().cycle().take(6).enumerate() {
            let path = FiveTuple::udp(SocketAddr::from(([127, 0, 0, 1], port)), remote);
            assert!(queue.push(path, &[round as u8; 30]) && queue.push(path, &[round as u8; 30]));
        }
        assert_eq!(shard.send(&mut queue).sent, 12);
        let mut bytes = [0; 64];
        for datagram in 0..12 {
            let (_, from) = peer.recv_from(&mut bytes).unwrap();
            assert_eq!((usize::from(bytes[0]), from.port()), (datagram / 2, all[datagram / 2 % 3]));
        }

        for port in all {
            for _ in 0..3 {
                peer.send_to(&port.to_be_bytes(), ("127.0.0.1", port)).unwrap();
            }
        }
        let (mut slab, mut batch) = (vec![0; SLOT * 2], ReceivedBatch::default());
        let mut received = BTreeMap::<u16, usize>::new();
        while received.values().sum::<usize>() < 9 {
            shard.wait(Some(PATIENCE), || false).unwrap();
            for from_unique in [false, true] {
                // Fewer buffers than wait: what is left comes in the next turn.
                let mut buffers: Vec<_> = slab.chunks_mut(SLOT).map(IoSliceMut::new).collect();
                let count = if from_unique {
                    shard.receive_unique(&mut buffers, &mut batch)
                } else {
                    shard.receive(&mut buffers, &mut batch)
                };
                assert_eq!(batch.datagrams().len(), count.unwrap());
                for (datagram, bytes) in batch.datagrams().iter().zip(&buffers) {
                    let port = u16::from_be_bytes([bytes[0], bytes[1]]);
                    assert_eq!(datagram.path, FiveTuple::udp(SocketAddr::from(([127, 0, 0, 1], port)), remote));
                    assert_eq!(from_unique, port != shard.port());
                    *received.entry(port).or_default() += 1;
                }
            }
        }
        assert!(received.values().all(|count| *count == 3), "{received:?}");

        shard.close_unique_port(numbers[0]);
        queue.push(FiveTuple::udp(SocketAddr::from(([127, 0, 0, 1], numbers[0])), remote), b"x");
        assert_eq!(shard.send(&mut queue).refused, 1);
        UdpSocket::bind((address.ip(), numbers[0])).expect("the port is free again");
    }
}
