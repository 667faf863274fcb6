//! The TURN server: told what clients and peers send and what time it is, answers what to send (sans-IO).
//!
//! Here: inputs and outputs, the tables of clients, timers. Who is allowed to ask is in `authentication.rs`, what
//! requests do in `allocate.rs` and `requests.rs`, the way of data in `relaying.rs`.

mod allocate;
mod allocation;
mod authentication;
mod ports;
mod relaying;
mod reply;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use model::{FiveTuple, TransportProtocol};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::channel_data;
use crate::nonce::NonceKey;
use crate::peers::Refusal;
use crate::quota::{Holders, StrangerLimit, Subscriber};
use crate::settings::STREAM_WITHOUT_ALLOCATION;
use crate::stun::{AttributeType, Class, Family, Message, Method};
use crate::{Metrics, PeerPolicy, Settings};
use allocation::Allocation;
use ports::FreePorts;

/// The time of an input, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For credentials and nonces: seconds since 1970 (UTC).
    pub unix_s: u64,
}

/// Names a relay's socket between its opening and its end. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(u64);

/// What happens to the server.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client sent a datagram, or one message of its stream.
    FromClient {
        /// The client's path; over TCP and TLS that of the stream.
        path: FiveTuple,
        /// STUN or ChannelData.
        bytes: &'a [u8],
    },
    /// A stream to a client is open.
    StreamOpened {
        /// Its path.
        path: FiveTuple,
    },
    /// A stream to a client is gone.
    StreamClosed {
        /// Its path.
        path: FiveTuple,
    },
    /// A peer sent a datagram to a relay.
    FromPeer {
        /// The relay.
        relay: RelayId,
        /// The address it came from.
        source: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// The socket of an [`Output::OpenRelay`] is bound, or is not to be had.
    RelayOpened {
        /// Which one.
        relay: RelayId,
        /// How it went.
        result: Result<(), RelayError>,
    },
    /// The instant of the last [`Output::Timeout`] has come.
    Timeout,
}

/// Why a relay has no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayError {
    /// Another program has the port.
    PortInUse,
    /// The system has no more sockets, or not that address.
    Unavailable,
}

/// What the server wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client: one datagram, or behind what its stream carries already.
    ToClient {
        /// The client's path.
        path: FiveTuple,
        /// The message, padded for a stream.
        bytes: Vec<u8>,
    },
    /// Send a datagram from a relay.
    ToPeer {
        /// The relay.
        relay: RelayId,
        /// Where to.
        destination: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Bind a UDP socket and answer with [`Input::RelayOpened`].
    OpenRelay {
        /// The name of the new relay.
        relay: RelayId,
        /// The address to bind.
        address: SocketAddr,
    },
    /// Close a relay's socket.
    CloseRelay {
        /// Which one.
        relay: RelayId,
    },
    /// End a stream. The server has forgotten it already.
    CloseStream {
        /// Its path.
        path: FiveTuple,
    },
    /// Nothing to do until this instant, or until input when there is none.
    Timeout(Option<Instant>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    /// The allocation of this client expires.
    Allocation(FiveTuple),
    /// This stream has been without an allocation for too long.
    Stream(FiveTuple),
}

/// The TURN server. Feed [`Server::handle_input`], then call [`Server::poll_output`] until it answers
/// [`Output::Timeout`].
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    metrics: Metrics,
    rng: StdRng,
    nonces: NonceKey,
    allocations: HashMap<FiveTuple, Allocation>,
    relays: HashMap<RelayId, FiveTuple>,
    /// Streams, with the end of their patience while they have no allocation.
    streams: HashMap<FiveTuple, Option<Instant>>,
    users: Holders<String>,
    subscribers: Holders<Subscriber>,
    stream_subscribers: Holders<Subscriber>,
    strangers: StrangerLimit,
    ports: FreePorts,
    next_relay: u64,
    timers: BTreeSet<(Instant, TimerKey)>,
    outputs: VecDeque<Output>,
}

impl Server {
    /// A server without clients. `seed` feeds ports and the key of nonces, which have to be unguessable.
    #[must_use]
    pub fn new(now: Now, settings: Settings, seed: [u8; 32], metrics: Metrics) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            nonces: NonceKey::new(&rng.random()),
            allocations: HashMap::new(),
            relays: HashMap::new(),
            streams: HashMap::new(),
            users: Holders::new(),
            subscribers: Holders::new(),
            stream_subscribers: Holders::new(),
            strangers: StrangerLimit::new(now.instant, &settings.limits),
            ports: FreePorts::new(settings.relay_ports.clone()),
            next_relay: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            settings,
            metrics,
            rng,
        }
    }

    /// Changes whom relays may talk to, as when a bridge learns its public address. Permissions stay, and open what the
    /// new policy opens.
    pub fn set_peers(&mut self, peers: PeerPolicy) {
        self.settings.peers = peers;
    }

    /// Takes an input.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::FromClient { path, bytes } => self.on_client_message(now, path, bytes),
            Input::StreamOpened { path } => self.on_stream_opened(now, path),
            Input::StreamClosed { path } => self.forget_stream(path),
            Input::FromPeer { relay, source, bytes } => self.on_peer_datagram(now, relay, source, bytes),
            Input::RelayOpened { relay, result } => self.on_relay_opened(now, relay, result),
            Input::Timeout => {}
        }
        while let Some(&(at, key)) = self.timers.first()
            && at <= now.instant
        {
            self.timers.pop_first();
            match key {
                TimerKey::Allocation(path) => self.remove_allocation(now, path),
                TimerKey::Stream(path) => {
                    self.metrics.count_dropped("stream_without_allocation");
                    self.close_stream(path);
                }
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        let next = self.timers.first().map(|(at, _)| *at);
        self.outputs.pop_front().unwrap_or(Output::Timeout(next))
    }

    /// How many things the server remembers of clients: 0 once everybody is gone. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.allocations.len() + self.relays.len() + self.streams.len() + self.timers.len() + self.ports.taken()
    }

    fn on_client_message(&mut self, now: Now, path: FiveTuple, bytes: &[u8]) {
        if path.protocol == TransportProtocol::Tcp && !self.streams.contains_key(&path) {
            // Its end was decided while the message waited.
            return self.metrics.count_dropped("stream_closed");
        }
        // RFC 8656 §12.4: the first two bits tell ChannelData from STUN.
        match bytes.first().map(|first| first >> 6) {
            Some(0b00) => match Message::parse(bytes) {
                Ok(message) => self.on_stun(now, path, &message),
                Err(_) => self.metrics.count_dropped("malformed_stun"),
            },
            Some(0b01) => match channel_data::parse(bytes) {
                Some((channel, data)) => self.on_channel_data(now, path, channel, data),
                None => self.metrics.count_dropped("malformed_channel_data"),
            },
            Some(_) | None => self.metrics.count_dropped("unknown_protocol"),
        }
    }

    fn on_stun(&mut self, now: Now, path: FiveTuple, message: &Message<'_>) {
        match (message.class, message.method) {
            (Class::Request, Method::Binding) => self.on_binding(now, path, message),
            (Class::Request, method @ (Method::Send | Method::Data | Method::Unknown(_))) => {
                // RFC 8489 §6.3: a method that is not known is dropped in silence.
                tracing::trace!(?method, "request of an unknown method");
                self.metrics.count_dropped("unknown_method");
            }
            (Class::Request, method) => {
                let Some(client) = self.authenticate(now, path, message) else { return };
                match method {
                    Method::Allocate => self.on_allocate(now, path, message, client),
                    Method::Refresh => self.on_refresh(now, path, message, &client),
                    Method::CreatePermission => self.on_create_permission(now, path, message, &client),
                    Method::ChannelBind => self.on_channel_bind(now, path, message, &client),
                    Method::Binding | Method::Send | Method::Data | Method::Unknown(_) => {}
                }
            }
            (Class::Indication, Method::Send) => self.on_send(now, path, message),
            // A client keeps its NAT open with these (RFC 8489 §6.3.2).
            (Class::Indication, Method::Binding) => {}
            (Class::Indication | Class::Success | Class::Error, _) => self.metrics.count_dropped("unexpected_class"),
        }
    }

    /// Answers where the client is seen (RFC 8489 §12). No credentials are asked, so answers are limited.
    fn on_binding(&mut self, now: Now, path: FiveTuple, message: &Message<'_>) {
        let reply = crate::stun::MessageBuilder::new(Class::Success, Method::Binding, message.transaction)
            .address(AttributeType::XOR_MAPPED_ADDRESS, path.remote)
            .finish(message.has_fingerprint);
        if self.answer_stranger(now, path, message, reply) {
            self.metrics.requests.with_label_values(&[Method::Binding.as_str()]).inc();
        }
    }

    fn on_stream_opened(&mut self, now: Now, path: FiveTuple) {
        let subscriber = Subscriber::of(path.remote.ip());
        let limits = &self.settings.limits;
        let reason = if self.streams.len() >= limits.streams {
            Some("too_many_streams")
        } else if self.stream_subscribers.count(&subscriber) >= limits.streams_per_address {
            Some("too_many_streams_of_address")
        } else if self.streams.contains_key(&path) {
            Some("stream_exists")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.metrics.count_dropped(reason);
            self.outputs.push_back(Output::CloseStream { path });
            return;
        }
        self.stream_subscribers.take(subscriber);
        self.streams.insert(path, None);
        self.metrics.streams.inc();
        self.set_stream_timer(now, path);
    }

    /// Ends a stream from this side.
    fn close_stream(&mut self, path: FiveTuple) {
        self.outputs.push_back(Output::CloseStream { path });
        self.forget_stream(path);
    }

    /// RFC 8656 §7: the end of the stream is the end of its allocation.
    fn forget_stream(&mut self, path: FiveTuple) {
        let Some(patience) = self.streams.remove(&path) else { return };
        if let Some(until) = patience {
            self.timers.remove(&(until, TimerKey::Stream(path)));
        }
        self.stream_subscribers.give_back(&Subscriber::of(path.remote.ip()));
        self.metrics.streams.dec();
        self.drop_allocation(path);
    }

    fn set_stream_timer(&mut self, now: Now, path: FiveTuple) {
        if let Some(patience) = self.streams.get_mut(&path) {
            let until = now.instant + STREAM_WITHOUT_ALLOCATION;
            *patience = Some(until);
            self.timers.insert((until, TimerKey::Stream(path)));
        }
    }

    fn clear_stream_timer(&mut self, path: FiveTuple) {
        if let Some(until) = self.streams.get_mut(&path).and_then(Option::take) {
            self.timers.remove(&(until, TimerKey::Stream(path)));
        }
    }

    /// Forgets an allocation; its stream gets some time to make another.
    fn remove_allocation(&mut self, now: Now, path: FiveTuple) {
        self.drop_allocation(path);
        self.set_stream_timer(now, path);
    }

    fn drop_allocation(&mut self, path: FiveTuple) {
        let Some(allocation) = self.allocations.remove(&path) else { return };
        tracing::debug!(relay = allocation.relay.0, "allocation ended");
        self.timers.remove(&(allocation.expires, TimerKey::Allocation(path)));
        self.relays.remove(&allocation.relay);
        self.ports.give_back(allocation.relayed.port());
        self.users.give_back(&allocation.name);
        self.subscribers.give_back(&Subscriber::of(path.remote.ip()));
        if allocation.is_open() {
            self.metrics.allocations.dec();
        }
        self.outputs.push_back(Output::CloseRelay { relay: allocation.relay });
    }

    /// Answers a request without credentials, if it may be. Over a stream nobody can forge the sender.
    fn answer_stranger(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, answer: Vec<u8>) -> bool {
        let allowed = match path.protocol {
            TransportProtocol::Tcp => Ok(()),
            TransportProtocol::Udp => self.strangers.allow(now.instant, path.remote.ip(), request.len(), answer.len()),
        };
        match allowed {
            Ok(()) => self.send_to_client(path, answer),
            Err(reason) => self.metrics.count_dropped(reason),
        }
        allowed.is_ok()
    }

    fn send_to_client(&mut self, path: FiveTuple, bytes: Vec<u8>) {
        self.outputs.push_back(Output::ToClient { path, bytes });
    }

    /// This host's address for relays of a family.
    fn relay_address(&self, family: Family) -> Option<IpAddr> {
        self.settings.relay_addresses.iter().copied().find(|ip| Family::of(*ip) == family)
    }

    /// Where to send what is for `peer`: never to this server itself, whatever the policy says.
    fn route(&self, peer: SocketAddr) -> Result<SocketAddr, Refusal> {
        let destination = self.settings.peers.route(peer)?;
        let is_here = self.settings.relay_addresses.contains(&destination.ip()) || destination.ip().is_loopback();
        let port = destination.port();
        let is_own_port = self.ports.is_taken(port)
            || self.settings.shared_ports.contains(&port)
            || self.settings.listen.is_some_and(|listen| listen.port() == port);
        if is_here && is_own_port { Err(Refusal::Own) } else { Ok(destination) }
    }
}
