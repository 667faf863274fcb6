//! Allocate: a relay for a client (RFC 8656 §7).

use std::net::SocketAddr;
use std::time::Duration;

use model::FiveTuple;

use super::allocation::{Allocation, MadeBy, State};
use super::authentication::Client;
use super::ports::Parity;
use super::reply::{ErrorCode, Replier, allocated};
use super::{Now, Output, RelayError, RelayId, Server, TimerKey};
use crate::quota::Subscriber;
use crate::settings::{DEFAULT_LIFETIME, MAX_LIFETIME};
use crate::stun::{AttributeType, Family, Message};

/// Protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;
/// The bit of EVEN-PORT that asks for the port above as well (RFC 8656 §18.7).
const RESERVE_NEXT: u8 = 0x80;
/// Ports that other programs have, tried before giving up: with half of the range in use, one in 256 requests fails.
const MAX_PORT_ATTEMPTS: u8 = 8;

/// What an Allocate asks for.
#[derive(Debug)]
struct Wanted {
    family: Family,
    parity: Parity,
    /// A second relay, of the other family, which this server does not give.
    has_additional: bool,
}

impl Server {
    pub(super) fn on_allocate(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, client: Client) {
        if let Some(allocation) = self.allocations.get(&path) {
            return self.on_repeated_allocate(now, allocation_facts(allocation, now), request, &client);
        }
        let wanted = match self.wanted(request) {
            Ok(wanted) => wanted,
            Err(code) => return self.fail(&client.reply, code),
        };
        let limits = &self.settings.limits;
        let subscriber = Subscriber::of(path.remote.ip());
        if self.users.count(&client.name) >= limits.allocations_per_user {
            self.metrics.count_dropped("user_quota");
            return self.fail(&client.reply, ErrorCode::AllocationQuotaReached);
        }
        if self.subscribers.count(&subscriber) >= limits.allocations_per_address {
            self.metrics.count_dropped("address_quota");
            return self.fail(&client.reply, ErrorCode::AllocationQuotaReached);
        }
        if self.allocations.len() >= limits.allocations {
            self.metrics.count_dropped("too_many_allocations");
            return self.fail(&client.reply, ErrorCode::InsufficientCapacity);
        }
        let Some(address) = self.relay_address(wanted.family) else {
            return self.fail(&client.reply, ErrorCode::AddressFamilyNotSupported);
        };
        let Some(port) = self.ports.take(&mut self.rng, wanted.parity) else {
            self.metrics.count_dropped("no_port");
            return self.fail(&client.reply, ErrorCode::InsufficientCapacity);
        };
        let relay = RelayId(self.next_relay);
        self.next_relay += 1;
        let relayed = SocketAddr::new(address, port);
        let Client { username, name, reply } = client;
        let expires = now.instant + granted_lifetime(request);
        let made_by = MadeBy { username, name: name.clone(), transaction: request.transaction, expires };
        let state =
            State::Opening { reply, attempts: 0, parity: wanted.parity, refuses_additional: wanted.has_additional };
        let allocation = Allocation::new(now.instant, relay, relayed, made_by, state, &self.settings.limits);
        self.users.take(name);
        self.subscribers.take(subscriber);
        self.relays.insert(relay, path);
        self.timers.insert((expires, TimerKey::Allocation(path)));
        self.allocations.insert(path, allocation);
        self.clear_stream_timer(path);
        self.outputs.push_back(Output::OpenRelay { relay, address: relayed });
    }

    /// RFC 8656 §7.2: the same request again gets the same answer, any other is out of place.
    fn on_repeated_allocate(&mut self, now: Now, known: Facts, request: &Message<'_>, client: &Client) {
        let is_same = known.transaction == request.transaction && known.username == client.username;
        match known.remaining {
            // Its answer is on the way.
            None if is_same => {}
            Some(remaining) if is_same => {
                let path = client.reply.path;
                self.succeed(&client.reply, |message| allocated(message, known.relayed, path.remote, remaining));
            }
            Some(_) | None => {
                tracing::trace!(now = now.unix_s, "allocation exists");
                self.fail(&client.reply, ErrorCode::AllocationMismatch);
            }
        }
    }

    /// Checks what is asked for, in the order of RFC 8656 §7.2.
    fn wanted(&self, request: &Message<'_>) -> Result<Wanted, ErrorCode> {
        let transport = request.attribute(AttributeType::REQUESTED_TRANSPORT).ok_or(ErrorCode::BadRequest)?;
        match transport {
            [UDP, _, _, _] => {}
            [_, _, _, _] => return Err(ErrorCode::UnsupportedTransport),
            _ => return Err(ErrorCode::BadRequest),
        }
        let requested = request.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let additional = request.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY);
        let even_port = request.attribute(AttributeType::EVEN_PORT);
        let has_token = request.attribute(AttributeType::RESERVATION_TOKEN).is_some();
        let contradicts_token = even_port.is_some() || requested.is_some() || additional.is_some();
        if has_token && contradicts_token || additional.is_some() && (requested.is_some() || even_port.is_some()) {
            return Err(ErrorCode::BadRequest);
        }
        let parity = match even_port {
            None => Parity::Any,
            Some([flags]) if flags & RESERVE_NEXT == 0 => Parity::Even,
            // The port above served RTCP, which shares that of RTP today: none is ever reserved, and no token is known.
            Some([_]) => return Err(ErrorCode::InsufficientCapacity),
            Some(_) => return Err(ErrorCode::BadRequest),
        };
        if has_token {
            return Err(ErrorCode::InsufficientCapacity);
        }
        if let Some(value) = additional
            && Family::from_attribute(value) != Some(Family::Ipv6)
        {
            return Err(ErrorCode::BadRequest);
        }
        let family = match requested {
            Some(value) => Family::from_attribute(value).ok_or(ErrorCode::AddressFamilyNotSupported)?,
            // RFC 8656 §7.2 wants IPv4 here; on a host without it, IPv6 is what the client can use.
            None if self.relay_address(Family::Ipv4).is_none() => Family::Ipv6,
            None => Family::Ipv4,
        };
        Ok(Wanted { family, parity, has_additional: additional.is_some() })
    }

    pub(super) fn on_relay_opened(&mut self, now: Now, relay: RelayId, result: Result<(), RelayError>) {
        let Some(path) = self.relays.get(&relay).copied() else { return };
        let Some(allocation) = self.allocations.get_mut(&path) else { return };
        let State::Opening { reply, attempts, parity, refuses_additional } = &mut allocation.state else { return };
        let (parity, refuses_additional) = (*parity, *refuses_additional);
        let (reply, attempts) = (reply.clone(), *attempts + 1);
        match result {
            Ok(()) => {
                let facts =
                    (allocation.relayed, seconds_until(allocation.expires.saturating_duration_since(now.instant)));
                allocation.state = State::Open;
                self.on_allocated(&reply, facts, refuses_additional);
            }
            Err(RelayError::PortInUse) if attempts < MAX_PORT_ATTEMPTS => {
                self.metrics.count_dropped("port_in_use");
                let old = allocation.relayed.port();
                let Some(port) = self.ports.take(&mut self.rng, parity) else {
                    return self.on_no_relay(now, path, &reply);
                };
                self.ports.give_back(old);
                allocation.relayed.set_port(port);
                allocation.state = State::Opening { reply, attempts, parity, refuses_additional };
                self.outputs.push_back(Output::OpenRelay { relay, address: allocation.relayed });
            }
            Err(RelayError::PortInUse | RelayError::Unavailable) => self.on_no_relay(now, path, &reply),
        }
    }

    fn on_allocated(&mut self, reply: &Replier, (relayed, lifetime_s): (SocketAddr, u32), refuses_additional: bool) {
        tracing::debug!("allocation made");
        self.metrics.allocations.inc();
        self.metrics.allocations_made.inc();
        let client = reply.path.remote;
        self.succeed(reply, |message| {
            let message = allocated(message, relayed, client, lifetime_s);
            if !refuses_additional {
                return message;
            }
            // RFC 8656 §18.12: family, two reserved bytes, then class and number as in ERROR-CODE.
            let code = ErrorCode::AddressFamilyNotSupported.number();
            let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or_default());
            message.attribute(AttributeType::ADDRESS_ERROR_CODE, &[Family::Ipv6.to_byte(), 0, class, number])
        });
    }

    fn on_no_relay(&mut self, now: Now, path: FiveTuple, reply: &Replier) {
        self.metrics.count_dropped("no_relay_socket");
        self.remove_allocation(now, path);
        self.fail(reply, ErrorCode::InsufficientCapacity);
    }
}

/// What a repeated request has to know of the allocation that is there.
#[derive(Debug)]
struct Facts {
    transaction: crate::stun::TransactionId,
    username: String,
    relayed: SocketAddr,
    /// Seconds left; `None` while the relay opens.
    remaining: Option<u32>,
}

fn allocation_facts(allocation: &Allocation, now: Now) -> Facts {
    let remaining = seconds_until(allocation.expires.saturating_duration_since(now.instant));
    Facts {
        transaction: allocation.transaction,
        username: allocation.username.clone(),
        relayed: allocation.relayed,
        remaining: allocation.is_open().then_some(remaining),
    }
}

/// RFC 8656 §7.2: what the client asks for, between the default and the maximum.
pub(super) fn granted_lifetime(request: &Message<'_>) -> Duration {
    let asked = request.number(AttributeType::LIFETIME).map(|seconds| Duration::from_secs(seconds.into()));
    asked.unwrap_or(DEFAULT_LIFETIME).clamp(DEFAULT_LIFETIME, MAX_LIFETIME)
}

pub(super) fn seconds_until(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
