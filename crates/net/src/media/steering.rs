//! Brings the datagrams of a peer to the shard where it has its home, instead of where the kernel's own hash puts them.
//!
//! A classic BPF program on the sockets of the port (socket(7), `SO_ATTACH_REUSEPORT_CBPF`; needs no privilege) hashes the
//! sender's address to one of [`BUCKETS`] and has the shard of each bucket in its constants. It is attached anew when a
//! bucket changes. Two peers in one bucket may want two shards: then one of them takes a hop, as all do without this.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use super::sys;

/// Buckets of addresses. Peers of one bridge are some hundred: few share one.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 12;
/// Bits of a shard's number in the program, and buckets of one constant.
const SHARD_BITS: u32 = 4;
const PER_WORD: usize = (u32::BITS / SHARD_BITS) as usize;
const WORDS: usize = BUCKETS / PER_WORD;
/// More shards than this are not steered to.
const MAX_STEERED: usize = 1 << SHARD_BITS;
/// Knuth's multiplicative hash: the golden ratio in 32 bits.
const MULTIPLIER: u32 = 0x9e37_79b1;

/// The program on the sockets of one port.
#[derive(Debug)]
pub struct Steering {
    socket: UdpSocket,
    table: Box<[u8]>,
    is_changed: bool,
}

impl Steering {
    /// Steering for `shards` shards, of whose sockets `socket` is one. `None`: there is nothing to steer, or the kernel
    /// has no such thing.
    pub(super) fn new(socket: &UdpSocket, shards: usize) -> Option<Self> {
        if !(2..=MAX_STEERED).contains(&shards) {
            return None;
        }
        // Until a peer has a home, buckets are spread.
        let table = (0..BUCKETS).map(|bucket| (bucket % shards) as u8).collect();
        let mut steering = Self { socket: socket.try_clone().ok()?, table, is_changed: true };
        steering.apply().ok()?;
        Some(steering)
    }

    /// From now on, or from the next [`apply`](Self::apply) on, datagrams of `remote` are to come to `shard`.
    pub fn steer(&mut self, remote: SocketAddr, shard: usize) {
        let Some(place) = self.table.get_mut(bucket_of(remote)) else { return };
        if let Ok(shard) = u8::try_from(shard)
            && usize::from(shard) < MAX_STEERED
            && *place != shard
        {
            *place = shard;
            self.is_changed = true;
        }
    }

    /// Whether something changed since the last [`apply`](Self::apply).
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Puts changes into effect; costs a tenth of a millisecond in the kernel.
    ///
    /// # Errors
    /// What the kernel says; the program before stays.
    pub fn apply(&mut self) -> io::Result<()> {
        if self.is_changed {
            self.is_changed = false;
            sys::attach_reuseport_filter(self.socket.as_fd(), &program(&self.table))?;
        }
        Ok(())
    }
}

/// The bucket of an address, as the program computes it.
fn bucket_of(remote: SocketAddr) -> usize {
    let address = match remote.ip().to_canonical() {
        IpAddr::V4(ip) => u32::from(ip),
        IpAddr::V6(ip) => {
            let [.., a0, a1, a2, a3, b0, b1, b2, b3] = ip.octets();
            u32::from_be_bytes([a0, a1, a2, a3]) ^ u32::from_be_bytes([b0, b1, b2, b3])
        }
    };
    ((address ^ u32::from(remote.port())).wrapping_mul(MULTIPLIER) >> (u32::BITS - BUCKET_BITS)) as usize
}

// Instructions of classic BPF (Linux Documentation/networking/filter.rst).
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const WORD: u16 = 0x00;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const MEM: u16 = 0x60;
const MUL: u16 = 0x20;
const AND: u16 = 0x50;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const XOR: u16 = 0xa0;
const JA: u16 = 0x00;
const JEQ: u16 = 0x10;
const JGE: u16 = 0x30;
const X: u16 = 0x08;
const RET_A: u16 = 0x10;
/// Offsets from here on count from the network header (`SKF_NET_OFF`).
const NETWORK: u32 = 0xfff0_0000;

/// Scratch memory: the shift of the bucket in its word.
const SHIFT: u32 = 0;

fn instruction(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Computes the bucket, searches its word and answers its shard.
fn program(table: &[u8]) -> Vec<libc::sock_filter> {
    let mut code = vec![
        // A = address ^ port. An IPv4 header with options is hashed wrongly, which costs a hop.
        instruction(LD | BYTE | ABS, NETWORK),
        instruction(ALU | RSH, 4),
        jump(JMP | JEQ, 6, 5, 0),
        instruction(LD | HALF | ABS, NETWORK + 20),
        instruction(TAX, 0),
        instruction(LD | WORD | ABS, NETWORK + 12),
        instruction(ALU | XOR | X, 0),
        instruction(JMP | JA, 7),
        instruction(LD | HALF | ABS, NETWORK + 40),
        instruction(TAX, 0),
        instruction(LD | WORD | ABS, NETWORK + 16),
        instruction(ALU | XOR | X, 0),
        instruction(TAX, 0),
        instruction(LD | WORD | ABS, NETWORK + 20),
        instruction(ALU | XOR | X, 0),
    ];
    code.extend([
        // X = bucket.
        instruction(ALU | MUL, MULTIPLIER),
        instruction(ALU | RSH, u32::BITS - BUCKET_BITS),
        instruction(TAX, 0),
        instruction(ALU | AND, PER_WORD as u32 - 1),
        instruction(ALU | LSH, SHARD_BITS.ilog2()),
        instruction(ST, SHIFT),
        // A = word.
        instruction(TXA, 0),
        instruction(ALU | RSH, PER_WORD.ilog2()),
    ]);
    let words: Vec<u32> = table
        .chunks(PER_WORD)
        .map(|shards| shards.iter().rev().fold(0, |word, shard| word << SHARD_BITS | u32::from(*shard)))
        .collect();
    let mut to_tail = Vec::new();
    search(&mut code, &words, 0, WORDS, &mut to_tail);
    let tail = code.len();
    for at in to_tail {
        if let Some(jump) = code.get_mut(at) {
            jump.k = (tail - at - 1) as u32;
        }
    }
    code.extend([
        instruction(LDX | MEM, SHIFT),
        instruction(ALU | RSH | X, 0),
        instruction(ALU | AND, MAX_STEERED as u32 - 1),
        instruction(RET | RET_A, 0),
    ]);
    code
}

/// Appends the search for word A in `from..to`, and notes the jumps that lead to the end.
fn search(code: &mut Vec<libc::sock_filter>, words: &[u32], from: usize, to: usize, to_tail: &mut Vec<usize>) {
    if to - from <= 1 {
        code.push(instruction(LD | IMM, words.get(from).copied().unwrap_or_default()));
        to_tail.push(code.len());
        code.push(instruction(JMP | JA, 0));
        return;
    }
    let middle = from.midpoint(to);
    // Conditional jumps reach 255 instructions, this one any distance.
    code.push(jump(JMP | JGE, middle as u32, 0, 1));
    let to_right = code.len();
    code.push(instruction(JMP | JA, 0));
    search(code, words, from, middle, to_tail);
    let right = code.len();
    if let Some(jump) = code.get_mut(to_right) {
        jump.k = (right - to_right - 1) as u32;
    }
    search(code, words, middle, to, to_tail);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::bind::bind_group;

    /// Sends from many sources and checks where each arrives.
    fn check(loopback: IpAddr) {
        let group = bind_group(SocketAddr::new(loopback, 0), 3).unwrap();
        let to = group[0].local_addr().unwrap();
        let mut steering = Steering::new(&group[0], 3).unwrap();
        let sources: Vec<_> = (0..60).map(|_| UdpSocket::bind(SocketAddr::new(loopback, 0)).unwrap()).collect();
        let mut homes = std::collections::BTreeMap::new();
        for round in 0..3 {
            for (at, source) in sources.iter().enumerate() {
                let shard = (at + round) % 3;
                let address = source.local_addr().unwrap();
                steering.steer(address, shard);
                // Those that share a bucket go where the last of them goes.
                homes.insert(bucket_of(address), shard);
            }
            assert!(steering.is_changed());
            steering.apply().unwrap();
            for source in &sources {
                source.send_to(b"x", to).unwrap();
                let home = homes[&bucket_of(source.local_addr().unwrap())];
                let mut byte = [0];
                // On the loopback interface it is there when the sender returns.
                let (_, from) = group[home].recv_from(&mut byte).expect("it came to its home");
                assert_eq!(from, source.local_addr().unwrap());
            }
        }
    }

    #[test]
    fn peers_come_to_their_homes_over_ipv4() {
        check(IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn peers_come_to_their_homes_over_ipv6() {
        check("::1".parse().unwrap());
    }

    #[test]
    fn one_shard_is_not_steered_to() {
        let group = bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        assert!(Steering::new(&group[0], 1).is_none());
    }

    #[test]
    fn the_program_is_one_that_the_kernel_takes() {
        assert!(program(&vec![0; BUCKETS]).len() < 4096, "BPF_MAXINSNS");
    }
}
