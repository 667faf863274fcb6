//! What one client holds: its relay, permissions and channels (RFC 8656 §5, §9, §12).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::RelayId;
use super::ports::Parity;
use super::reply::Replier;
use crate::Limits;
use crate::channel_data::ChannelNumber;
use crate::quota::TokenBucket;
use crate::settings::{CHANNEL_LIFETIME, PERMISSION_LIFETIME};
use crate::stun::TransactionId;

/// An allocation of one client.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) relay: RelayId,
    /// The relay's address.
    pub(super) relayed: SocketAddr,
    /// The user name that made it; no other may use it.
    pub(super) username: String,
    /// The part of that name which the quota counts by.
    pub(super) name: String,
    /// The request that made it: a repetition of it gets the same answer (RFC 8656 §7.2).
    pub(super) transaction: TransactionId,
    pub(super) expires: Instant,
    pub(super) state: State,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
    /// The peer that the client sent to last.
    last_peer: Option<SocketAddr>,
    bandwidth: TokenBucket,
}

/// Whether the relay has its socket.
#[derive(Debug)]
pub(super) enum State {
    /// Asked for: the client waits for its answer.
    Opening {
        reply: Replier,
        /// Ports tried in vain.
        attempts: u8,
        parity: Parity,
        /// A second family was asked for, which is not to be had.
        refuses_additional: bool,
    },
    Open,
}

#[derive(Clone, Copy, Debug)]
struct Permission {
    address: IpAddr,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    number: ChannelNumber,
    peer: SocketAddr,
    expires: Instant,
}

/// Why a permission or a channel cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number stands for another peer, or the peer has another number (RFC 8656 §12.2).
    Mismatch,
    /// Above the limit.
    TooMany,
}

impl Allocation {
    pub(super) fn new(
        now: Instant,
        relay: RelayId,
        relayed: SocketAddr,
        made_by: MadeBy,
        state: State,
        limits: &Limits,
    ) -> Self {
        Self {
            relay,
            relayed,
            username: made_by.username,
            name: made_by.name,
            transaction: made_by.transaction,
            expires: made_by.expires,
            state,
            permissions: Vec::new(),
            channels: Vec::new(),
            last_peer: None,
            bandwidth: TokenBucket::full(now, limits.bytes_per_second.unwrap_or_default()),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) fn has_permission(&self, now: Instant, address: IpAddr) -> bool {
        self.permissions.iter().any(|permission| permission.address == address && permission.expires > now)
    }

    /// Installs or refreshes permissions, all or none.
    pub(super) fn permit(&mut self, now: Instant, addresses: &[IpAddr], limit: usize) -> Result<(), BindError> {
        self.permissions.retain(|permission| permission.expires > now);
        let is_new = |address: &&IpAddr| !self.permissions.iter().any(|known| known.address == **address);
        let mut new: Vec<IpAddr> = addresses.iter().filter(is_new).copied().collect();
        new.sort_unstable();
        new.dedup();
        if self.permissions.len() + new.len() > limit {
            return Err(BindError::TooMany);
        }
        let expires = now + PERMISSION_LIFETIME;
        for permission in self.permissions.iter_mut().filter(|known| addresses.contains(&known.address)) {
            permission.expires = expires;
        }
        self.permissions.extend(new.into_iter().map(|address| Permission { address, expires }));
        Ok(())
    }

    /// Binds or refreshes a channel, and the permission that goes with it (RFC 8656 §12.2).
    pub(super) fn bind(
        &mut self,
        now: Instant,
        number: ChannelNumber,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Result<(), BindError> {
        self.channels.retain(|channel| channel.expires > now);
        let known = self.channels.iter_mut().find(|channel| channel.number == number || channel.peer == peer);
        let is_new = match known {
            Some(channel) if channel.number != number || channel.peer != peer => return Err(BindError::Mismatch),
            Some(_) => false,
            None => true,
        };
        if is_new && self.channels.len() >= limits.channels {
            return Err(BindError::TooMany);
        }
        self.permit(now, &[peer.ip()], limits.permissions)?;
        let expires = now + CHANNEL_LIFETIME;
        self.channels.retain(|channel| channel.number != number);
        self.channels.push(Channel { number, peer, expires });
        Ok(())
    }

    /// The peer of a channel. The permission is another matter: it has to be refreshed twice as often.
    pub(super) fn peer_of(&self, now: Instant, number: ChannelNumber) -> Option<SocketAddr> {
        self.channels
            .iter()
            .find(|channel| channel.number == number && channel.expires > now)
            .map(|channel| channel.peer)
    }

    pub(super) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<ChannelNumber> {
        self.channels.iter().find(|channel| channel.peer == peer && channel.expires > now).map(|channel| channel.number)
    }

    pub(super) fn note_sent(&mut self, peer: SocketAddr) {
        self.last_peer = Some(peer);
    }

    /// The name under which the client knows the sender of a datagram, among those it could have: the one it sent to
    /// last, or else one that it may hear from.
    pub(super) fn name_of(&self, now: Instant, names: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
        let mut chosen = None;
        for name in names.filter(|name| self.has_permission(now, name.ip())) {
            if Some(name) == self.last_peer {
                return Some(name);
            }
            chosen = chosen.or(Some(name));
        }
        chosen
    }

    /// Whether so much may be relayed now.
    pub(super) fn has_bandwidth(&mut self, now: Instant, bytes: usize, per_second: Option<u32>) -> bool {
        let Some(per_second) = per_second else { return true };
        self.bandwidth.take(now, u32::try_from(bytes).unwrap_or(u32::MAX), per_second, per_second)
    }
}

/// Who asked for an allocation, and until when.
#[derive(Debug)]
pub(super) struct MadeBy {
    pub(super) username: String,
    pub(super) name: String,
    pub(super) transaction: TransactionId,
    pub(super) expires: Instant,
}
