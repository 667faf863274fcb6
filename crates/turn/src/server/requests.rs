//! Requests of a client that has an allocation: Refresh, CreatePermission, ChannelBind (RFC 8656 §8, §10, §12.2).

use std::net::{IpAddr, SocketAddr};

use model::FiveTuple;

use super::allocate::{granted_lifetime, seconds_until};
use super::allocation::BindError;
use super::authentication::Client;
use super::reply::ErrorCode;
use super::{Now, Server, TimerKey};
use crate::channel_data::ChannelNumber;
use crate::stun::{AttributeType, Family, Message};

impl Server {
    pub(super) fn on_refresh(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, client: &Client) {
        let result = self.check_owner(path, client).and_then(|relayed| {
            // RFC 8656 §8.2: a family may be named, and has to be that of the relay.
            match request.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY).map(Family::from_attribute) {
                Some(family) if family != Some(Family::of(relayed.ip())) => Err(ErrorCode::PeerAddressFamilyMismatch),
                Some(_) | None => Ok(()),
            }
        });
        if let Err(code) = result {
            return self.fail(&client.reply, code);
        }
        if request.number(AttributeType::LIFETIME) == Some(0) {
            self.remove_allocation(now, path);
            return self.succeed(&client.reply, |message| message.attribute(AttributeType::LIFETIME, &[0; 4]));
        }
        let lifetime = granted_lifetime(request);
        if let Some(allocation) = self.allocations.get_mut(&path) {
            self.timers.remove(&(allocation.expires, TimerKey::Allocation(path)));
            allocation.expires = now.instant + lifetime;
            self.timers.insert((allocation.expires, TimerKey::Allocation(path)));
        }
        let seconds = seconds_until(lifetime).to_be_bytes();
        self.succeed(&client.reply, |message| message.attribute(AttributeType::LIFETIME, &seconds));
    }

    pub(super) fn on_create_permission(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, client: &Client) {
        let result = self.check_owner(path, client).and_then(|relayed| {
            let peers = request.peers().collect::<Option<Vec<SocketAddr>>>().ok_or(ErrorCode::BadRequest)?;
            let addresses: Vec<IpAddr> = peers.iter().map(SocketAddr::ip).collect();
            if addresses.is_empty() {
                return Err(ErrorCode::BadRequest);
            }
            for address in &addresses {
                self.check_peer_address(*address, relayed)?;
            }
            let limit = self.settings.limits.permissions;
            let allocation = self.allocations.get_mut(&path).ok_or(ErrorCode::AllocationMismatch)?;
            allocation.permit(now.instant, &addresses, limit).map_err(code_of)
        });
        match result {
            Ok(()) => self.succeed(&client.reply, |message| message),
            Err(code) => self.fail(&client.reply, code),
        }
    }

    pub(super) fn on_channel_bind(&mut self, now: Now, path: FiveTuple, request: &Message<'_>, client: &Client) {
        let result = self.check_owner(path, client).and_then(|relayed| {
            let number = request
                .attribute(AttributeType::CHANNEL_NUMBER)
                .and_then(ChannelNumber::from_attribute)
                .ok_or(ErrorCode::BadRequest)?;
            let peer = request.peers().next().flatten().ok_or(ErrorCode::BadRequest)?;
            self.check_peer_address(peer.ip(), relayed)?;
            if let Err(refusal) = self.route(peer) {
                self.metrics.count_dropped(refusal.as_str());
                return Err(ErrorCode::Forbidden);
            }
            let allocation = self.allocations.get_mut(&path).ok_or(ErrorCode::AllocationMismatch)?;
            allocation.bind(now.instant, number, peer, &self.settings.limits).map_err(code_of)
        });
        match result {
            Ok(()) => self.succeed(&client.reply, |message| message),
            Err(code) => self.fail(&client.reply, code),
        }
    }

    /// The relay of the client's allocation, if it has one and made it itself.
    fn check_owner(&self, path: FiveTuple, client: &Client) -> Result<SocketAddr, ErrorCode> {
        match self.allocations.get(&path).filter(|allocation| allocation.is_open()) {
            None => Err(ErrorCode::AllocationMismatch),
            Some(allocation) if allocation.username != client.username => Err(ErrorCode::WrongCredentials),
            Some(allocation) => Ok(allocation.relayed),
        }
    }

    fn check_peer_address(&self, address: IpAddr, relayed: SocketAddr) -> Result<(), ErrorCode> {
        if Family::of(address) != Family::of(relayed.ip()) {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        self.settings.peers.check_address(address).map_err(|refusal| {
            tracing::debug!(reason = refusal.as_str(), "peer refused");
            self.metrics.count_dropped(refusal.as_str());
            ErrorCode::Forbidden
        })
    }
}

const fn code_of(error: BindError) -> ErrorCode {
    match error {
        BindError::Mismatch => ErrorCode::BadRequest,
        BindError::TooMany => ErrorCode::InsufficientCapacity,
    }
}
