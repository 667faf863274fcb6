//! How many TCP connections there may be, in all and from one address.
//!
//! A connection is half-open until its first frame shows that it speaks ICE. Where half-open ones reach their limit, the
//! oldest gives way to the newest: an honest client needs one or two round trips, so a flood of idle connections
//! delays nobody, whether it comes from many addresses or from the client's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Half-open connections in all: a few KB each.
const MAX_HALF_OPEN: usize = 1024;
/// Half-open connections of one address: a company behind one NAT that joins one meeting at once.
const MAX_HALF_OPEN_PER_ADDRESS: usize = 128;
/// Connections in all: several full bridges of participants, and an eighth of the file descriptors that the service's
/// systemd unit asks for.
const MAX_CONNECTIONS: usize = 8192;
/// Connections of one address: the largest conference, all of it behind one NAT.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 1024;
/// Time for the first frame. TCP's first retransmissions come after 1, 3 and 7 seconds (RFC 6298 §5).
const OPENING_TIME: Duration = Duration::from_secs(10);

/// Limits of ICE-TCP; the default is what a service uses.
#[derive(Clone, Copy, Debug)]
pub struct IceTcpLimits {
    /// Half-open connections in all.
    pub half_open: usize,
    /// Half-open connections of one address.
    pub half_open_per_address: usize,
    /// Connections in all, half-open ones included.
    pub connections: usize,
    /// Connections of one address, half-open ones included.
    pub connections_per_address: usize,
    /// Time for the first frame.
    pub opening_time: Duration,
}

impl Default for IceTcpLimits {
    fn default() -> Self {
        Self {
            half_open: MAX_HALF_OPEN,
            half_open_per_address: MAX_HALF_OPEN_PER_ADDRESS,
            connections: MAX_CONNECTIONS,
            connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            opening_time: OPENING_TIME,
        }
    }
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many in all.
    InAll,
    /// There are too many from this address.
    FromAddress,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Admission {
    limits: IceTcpLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    connections: usize,
    /// In the order of arrival. Dropping the sender ends the connection's task.
    half_open: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
    half_open_by_address: BTreeSet<(IpAddr, u64)>,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    half_open: usize,
    all: usize,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    id: u64,
    address: IpAddr,
    is_open: bool,
}

impl Admission {
    pub(super) fn new(limits: IceTcpLimits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    /// Gives a half-open connection its place, and a receiver that ends when it is crowded out by a newer one.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<(Place, oneshot::Receiver<()>), Full> {
        let address = subscriber_of(ip);
        let mut table = self.lock();
        let count = table.by_address.get(&address).copied().unwrap_or_default();
        let is_full_of_address =
            count.half_open >= self.limits.half_open_per_address || count.all >= self.limits.connections_per_address;
        if is_full_of_address && !table.crowd_out_of(address) {
            return Err(Full::FromAddress);
        }
        let is_full = table.half_open.len() >= self.limits.half_open || table.connections >= self.limits.connections;
        if is_full && !table.crowd_out() {
            return Err(Full::InAll);
        }
        let id = table.next;
        table.next += 1;
        table.connections += 1;
        let (sender, receiver) = oneshot::channel();
        table.half_open.insert(id, (address, sender));
        table.half_open_by_address.insert((address, id));
        let count = table.by_address.entry(address).or_default();
        count.half_open += 1;
        count.all += 1;
        drop(table);
        Ok((Place { admission: Arc::clone(self), id, address, is_open: false }, receiver))
    }

    /// Connections and how many of them are half-open.
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        (table.connections, table.half_open.len())
    }

    pub(super) const fn limits(&self) -> &IceTcpLimits {
        &self.limits
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; the counts would be right even then.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the oldest half-open connection; false when there is none.
    fn crowd_out(&mut self) -> bool {
        let oldest = self.half_open.first_key_value().map(|(id, (address, _))| (*id, *address));
        oldest.is_some_and(|(id, address)| self.forget_half_open(id, address))
    }

    fn crowd_out_of(&mut self, address: IpAddr) -> bool {
        let oldest = self.half_open_by_address.range((address, 0)..=(address, u64::MAX)).next().map(|(_, id)| *id);
        oldest.is_some_and(|id| self.forget_half_open(id, address))
    }

    fn forget_half_open(&mut self, id: u64, address: IpAddr) -> bool {
        let was_there = self.end_half_open(id, address);
        if was_there {
            self.forget_connection(address);
        }
        was_there
    }

    fn end_half_open(&mut self, id: u64, address: IpAddr) -> bool {
        let was_there = self.half_open.remove(&id).is_some();
        if was_there {
            self.half_open_by_address.remove(&(address, id));
            if let Some(count) = self.by_address.get_mut(&address) {
                count.half_open -= 1;
            }
        }
        was_there
    }

    fn forget_connection(&mut self, address: IpAddr) {
        self.connections -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            count.all -= 1;
            if count.all == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Place {
    /// The connection speaks ICE: it is not half-open any more. False when it was crowded out before.
    pub(super) fn open(&mut self) -> bool {
        self.is_open = self.admission.lock().end_half_open(self.id, self.address);
        self.is_open
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.admission.lock();
        if self.is_open {
            table.forget_connection(self.address);
        } else {
            // One that was crowded out is gone already.
            table.forget_half_open(self.id, self.address);
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, since a subscriber has all the others to himself.
fn subscriber_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: IceTcpLimits = IceTcpLimits {
        half_open: 4,
        half_open_per_address: 2,
        connections: 6,
        connections_per_address: 3,
        opening_time: OPENING_TIME,
    };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_oldest_half_open_connection_of_an_address_gives_way() {
        let admission = Admission::new(SMALL);
        let mut places: Vec<_> = (0..3).map(|_| admission.enter(ip(1)).unwrap()).collect();
        assert!(!places[0].0.open(), "crowded out");
        assert_eq!(places[0].1.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(places[1].0.open() && places[2].0.open());
        assert_eq!(admission.counts(), (2, 0));
        places.clear();
        assert_eq!(admission.counts(), (0, 0));
        assert!(admission.lock().by_address.is_empty());
    }

    #[test]
    fn the_oldest_half_open_connection_of_all_gives_way() {
        let admission = Admission::new(SMALL);
        let mut places: Vec<_> = (0..5).map(|last| admission.enter(ip(last)).unwrap().0).collect();
        assert_eq!(admission.counts(), (4, 4));
        assert!(!places[0].open());
        assert!(places[4].open());
    }

    #[test]
    fn open_connections_never_give_way() {
        let admission = Admission::new(SMALL);
        let open = |address| admission.enter(address).map(|(mut place, _)| (place.open(), place));
        let of_one: Vec<_> = (0..3).map(|_| open(ip(1)).unwrap()).collect();
        assert_eq!(open(ip(1)).unwrap_err(), Full::FromAddress);
        let of_others: Vec<_> = (2..5).map(|last| open(ip(last)).unwrap()).collect();
        assert_eq!(open(ip(9)).unwrap_err(), Full::InAll);
        assert!(of_one.iter().chain(&of_others).all(|(is_open, _)| *is_open));
        drop(of_one);
        assert!(open(ip(1)).is_ok());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let of = |text: &str| subscriber_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), ip(1));
    }
}
