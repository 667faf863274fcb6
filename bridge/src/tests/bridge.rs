//! Control and shards of a bridge without their threads: what they say to each other arrives at once and in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use ice::CandidateTransport;
use model::FiveTuple;
use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Settings;
use crate::addresses::{MediaAddresses, MediaPort};
use crate::counters::{Counters, DropReason};
use crate::metrics::Metrics;
use crate::shard::Shard;
use crate::shard::message::{ShardCommand, ShardEvent, ShardId};
use crate::shard::packet::SharedSlot;
use crate::transport::test_peer::{bridge_address, simulated_dtls_context};
use crate::unique_ports::OpenedPort;
use crate::videobridge::Videobridge;

/// Unique ports are those from here on.
pub(super) const FIRST_UNIQUE_PORT: u16 = 50_000;

/// A whole bridge. What is not here is control's.
pub(super) struct Bridge {
    control: Videobridge,
    shards: Vec<Shard>,
    /// What was sent and not taken yet.
    sent: Vec<(FiveTuple, Vec<u8>)>,
    /// Unique ports that are open, and at which shard.
    unique_ports: HashMap<u16, ShardId>,
    /// Checks that control was told of, and datagrams that it had itself.
    pub(super) checks_answered: usize,
    pub(super) datagrams_to_control: usize,
    /// Bytes that wait for TCP connections.
    pub(super) backlogs: HashMap<SocketAddr, usize>,
}

impl Bridge {
    pub(super) fn new(settings: Settings, shards: usize, seed: u64, now: Instant) -> Self {
        Self::at(bridge_address(), settings, shards, seed, now)
    }

    /// As [`new`](Self::new), somewhere else.
    pub(super) fn at(address: SocketAddr, settings: Settings, shards: usize, seed: u64, now: Instant) -> Self {
        let metrics = Metrics::new(&Registry::new(), shards).unwrap();
        let host = net::InterfaceAddress { interface: "eth0".to_owned(), ip: address.ip() };
        let port = |transport| MediaPort { transport, port: address.port() };
        let ports = vec![port(CandidateTransport::Udp), port(CandidateTransport::TCP_PASSIVE)];
        let addresses = MediaAddresses::new(settings.addresses.clone(), vec![host], ports).unwrap();
        let shards: Vec<Shard> = metrics
            .shards
            .iter()
            .zip(0..)
            .map(|(counters, id)| Shard::new(ShardId(id), counters.clone(), now))
            .collect();
        let mut next_port = FIRST_UNIQUE_PORT;
        let opener = move || {
            let number = next_port;
            next_port += 1;
            Ok(OpenedPort { number, socket: None })
        };
        let random = StdRng::seed_from_u64(seed);
        let control = Videobridge::new(settings, addresses, metrics, simulated_dtls_context(), random);
        Self {
            shards,
            control: control.with_unique_ports(Box::new(opener)),
            sent: Vec::new(),
            unique_ports: HashMap::new(),
            checks_answered: 0,
            datagrams_to_control: 0,
            backlogs: HashMap::new(),
        }
    }

    /// A datagram comes in, on the shard that has the port or, at the media port, the one that the kernel picks by its path.
    pub(super) fn handle_datagram(&mut self, path: FiveTuple, datagram: &[u8], now: Instant) {
        let is_unique = path.local.port() >= FIRST_UNIQUE_PORT;
        let at = if is_unique {
            let Some(home) = self.unique_ports.get(&path.local.port()) else { return };
            usize::from(home.0)
        } else {
            let remote = path.remote;
            let picked = usize::from(remote.port()) + remote.to_string().bytes().map(usize::from).sum::<usize>();
            picked % self.shards.len()
        };
        let shard = &mut self.shards[at];
        let mut slot = shard.take_slot();
        let Some(room) = SharedSlot::get_mut(&mut slot).unwrap().bytes_mut().get_mut(..datagram.len()) else {
            return shard.counters().count(DropReason::TooLong);
        };
        room.copy_from_slice(datagram);
        if is_unique {
            shard.handle_unique_datagram(path, slot, datagram.len(), now);
        } else {
            shard.handle_datagram(path, slot, datagram.len(), now);
        }
        self.settle(now);
    }

    /// A TCP connection closes, at the shard that has it.
    pub(super) fn handle_connection_closed(&mut self, path: FiveTuple, at: ShardId, now: Instant) {
        self.shards[usize::from(at.0)].handle_connection_closed(path);
        self.settle(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.control.handle_timeout(now);
        for shard in &mut self.shards {
            shard.handle_timeout(now);
        }
        self.settle(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let shards = self.shards.iter().filter_map(Shard::poll_timeout);
        shards.chain(self.control.poll_timeout()).min()
    }

    /// What was sent since the last time.
    pub(super) fn take_sent(&mut self, now: Instant) -> Vec<(FiveTuple, Vec<u8>)> {
        self.settle(now);
        std::mem::take(&mut self.sent)
    }

    /// The sum of a number over all threads.
    pub(super) fn counted(&self, number: impl Fn(&Counters) -> u64) -> u64 {
        self.control.metrics.sum(number)
    }

    /// Unique ports that are open.
    pub(super) fn unique_ports(&self) -> usize {
        self.unique_ports.len()
    }

    /// The shard with this number.
    pub(super) fn shard(&self, id: ShardId) -> &Shard {
        &self.shards[usize::from(id.0)]
    }

    /// What control and shards have of conferences, by what it is: nothing, when there are none.
    pub(super) fn left_behind(&self) -> Vec<(&'static str, usize)> {
        let ports = [("unique ports", self.unique_ports.len())];
        self.shards.iter().flat_map(Shard::left_behind).chain(self.control.left_behind()).chain(ports).collect()
    }

    /// Carries everything that one thread has for another one, until all are quiet.
    fn settle(&mut self, now: Instant) {
        let Self { control, shards, sent, unique_ports, checks_answered, datagrams_to_control, backlogs } = self;
        let mut take = |queue: &mut net::SendQueue| {
            sent.extend(queue.iter().map(|(path, datagram)| (path, datagram.to_vec())));
            queue.clear();
        };
        loop {
            let mut is_quiet = true;
            while let Some((to, command)) = control.poll_command() {
                if let ShardCommand::OpenPort(port) = &command {
                    unique_ports.insert(port.number, to);
                }
                if let ShardCommand::ClosePort { number } = &command {
                    assert_eq!(unique_ports.remove(number), Some(to));
                }
                shards[usize::from(to.0)].handle_command(command, now);
                is_quiet = false;
            }
            for at in 0..shards.len() {
                for (to, message) in std::mem::take(shards[at].messages()) {
                    shards[usize::from(to.0)].handle_message(message, now);
                    is_quiet = false;
                }
                for event in std::mem::take(shards[at].events()) {
                    *checks_answered += usize::from(matches!(event, ShardEvent::CheckAnswered { .. }));
                    *datagrams_to_control += usize::from(matches!(event, ShardEvent::Datagram { .. }));
                    control.handle_event(event, now);
                    is_quiet = false;
                }
            }
            if is_quiet {
                break;
            }
        }
        for shard in shards {
            shard.flush(now, &mut take);
            shard.observe_backlogs(|remote| backlogs.get(&remote).copied().unwrap_or_default());
        }
    }
}

impl Deref for Bridge {
    type Target = Videobridge;

    fn deref(&self) -> &Videobridge {
        &self.control
    }
}

impl DerefMut for Bridge {
    fn deref_mut(&mut self) -> &mut Videobridge {
        &mut self.control
    }
}
