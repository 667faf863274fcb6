//! The network between bridges and participants: where everybody is, how long ways are, and which of them are cut.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Who is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Focus,
    Node(usize),
    Participant(usize),
}

/// Bridges are in 203.0.113.0/24.
pub(super) fn bridge_address(number: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number as u8 + 1], 10_000))
}

/// Participants are above 198.51.0.0, each session at a port of its own, as browsers have it.
pub(super) fn participant_address(number: usize, session: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, (number / 250) as u8, (number % 250) as u8 + 1], 40_000 + session))
}

/// Whose an address is.
pub(super) fn party_at(address: SocketAddr) -> Party {
    match address.ip() {
        IpAddr::V4(ip) => match ip.octets() {
            [203, 0, 113, last] => Party::Node(usize::from(last) - 1),
            [198, 51, high, low] => Party::Participant(usize::from(high) * 250 + usize::from(low) - 1),
            other => panic!("nobody is at {other:?}"),
        },
        IpAddr::V6(ip) => panic!("nobody is at {ip}"),
    }
}

/// What is wrong with the network.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Links between bridges that are cut, until when.
    cuts: BTreeMap<(Party, Party), Instant>,
    /// Who has no network at all, until when.
    offline: BTreeMap<Party, Instant>,
}

impl Faults {
    pub(super) fn cut(&mut self, one: Party, other: Party, until: Instant) {
        self.cuts.insert((one.min(other), one.max(other)), until);
    }

    pub(super) fn take_offline(&mut self, party: Party, until: Instant) {
        self.offline.insert(party, until);
    }

    /// Everything works again.
    pub(super) fn heal(&mut self) {
        *self = Self::default();
    }

    /// Whether a datagram is lost.
    pub(super) fn lose(&self, from: Party, to: Party, now: Instant) -> bool {
        let lasts = |until: &Instant| *until > now;
        self.cuts.get(&(from.min(to), from.max(to))).is_some_and(lasts)
            || [from, to].iter().any(|party| self.offline.get(party).is_some_and(lasts))
    }
}

/// The time that a datagram takes: always the same between two, so that none overtakes another.
pub(super) fn latency(seed: u64, from: Party, to: Party) -> Duration {
    let place = |party: Party| match party {
        Party::Focus => 0,
        Party::Node(number) => 1 + number as u64,
        Party::Participant(number) => 1000 + number as u64,
    };
    let (low, high) = (place(from.min(to)), place(from.max(to)));
    let mut random = sim::Random::new(seed ^ (low << 32 | high));
    Duration::from_millis(1 + random.below(30))
}

/// What a bridge sent to another one of media: by bridge from, to and SSRC, how often each number went.
#[derive(Debug, Default)]
pub(super) struct Crossings(pub(super) BTreeMap<(usize, usize, u32), BTreeMap<u16, usize>>);

impl Crossings {
    /// A datagram between two bridges.
    pub(super) fn note(&mut self, from: usize, to: usize, datagram: &[u8]) {
        if ice::DatagramKind::of(datagram) == ice::DatagramKind::Media && !rtp::is_rtcp(datagram) {
            let view = rtp::RtpView::parse(datagram).unwrap();
            *self.0.entry((from, to, view.ssrc().0)).or_default().entry(view.seq().0).or_default() += 1;
        }
    }
}
