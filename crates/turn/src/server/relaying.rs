//! The way of data: from a client to a peer and back (RFC 8656 §11, §12.5, §12.6).

use std::net::SocketAddr;

use model::{FiveTuple, TransportProtocol};
use rand::Rng as _;

use super::authentication::is_understood;
use super::{Now, Output, RelayId, Server};
use crate::channel_data::{self, ChannelNumber};
use crate::stun::{AttributeType, Class, Message, MessageBuilder, Method, TransactionId};

impl Server {
    /// A Send indication; whatever is wrong with one, it is dropped (RFC 8656 §11.2).
    pub(super) fn on_send(&mut self, now: Now, path: FiveTuple, indication: &Message<'_>) {
        let peer = indication.peers().next().flatten();
        let data = indication.attribute(AttributeType::DATA);
        let (Some(peer), Some(data), true) = (peer, data, is_understood(indication)) else {
            return self.metrics.count_dropped("malformed_send");
        };
        self.relay_to_peer(now, path, peer, data);
    }

    pub(super) fn on_channel_data(&mut self, now: Now, path: FiveTuple, channel: ChannelNumber, data: &[u8]) {
        let Some(allocation) = self.allocations.get(&path) else {
            return self.metrics.count_dropped("no_allocation");
        };
        match allocation.peer_of(now.instant, channel) {
            Some(peer) => self.relay_to_peer(now, path, peer, data),
            None => self.metrics.count_dropped("unbound_channel"),
        }
    }

    fn relay_to_peer(&mut self, now: Now, path: FiveTuple, peer: SocketAddr, data: &[u8]) {
        let destination = self.route(peer);
        let Some(allocation) = self.allocations.get_mut(&path).filter(|allocation| allocation.is_open()) else {
            return self.metrics.count_dropped("no_allocation");
        };
        if !allocation.has_permission(now.instant, peer.ip()) {
            return self.metrics.count_dropped("no_permission");
        }
        // A permission has no port, the bridge has one.
        let destination = match destination {
            Ok(destination) => destination,
            Err(refusal) => return self.metrics.count_dropped(refusal.as_str()),
        };
        if !allocation.has_bandwidth(now.instant, data.len(), self.settings.limits.bytes_per_second) {
            return self.metrics.count_dropped("bandwidth");
        }
        allocation.note_sent(peer);
        self.metrics.packets_to_peers.inc();
        self.metrics.bytes_to_peers.inc_by(data.len() as u64);
        let relay = allocation.relay;
        self.outputs.push_back(Output::ToPeer { relay, destination, bytes: data.to_vec() });
    }

    pub(super) fn on_peer_datagram(&mut self, now: Now, relay: RelayId, source: SocketAddr, data: &[u8]) {
        let found = self.relays.get(&relay).and_then(|path| Some((*path, self.allocations.get_mut(path)?)));
        let Some((path, allocation)) = found.filter(|(_, allocation)| allocation.is_open()) else {
            return self.metrics.count_dropped("no_allocation");
        };
        let Some(peer) = allocation.name_of(now.instant, self.settings.peers.names_of(source)) else {
            return self.metrics.count_dropped("peer_without_permission");
        };
        if !allocation.has_bandwidth(now.instant, data.len(), self.settings.limits.bytes_per_second) {
            return self.metrics.count_dropped("bandwidth");
        }
        let is_stream = path.protocol == TransportProtocol::Tcp;
        let bytes = match allocation.channel_of(now.instant, peer) {
            Some(channel) => channel_data::write(channel, data, is_stream),
            None => {
                // RFC 8489 §6.2: an indication has a transaction id too, which nobody refers to.
                let builder = MessageBuilder::new(Class::Indication, Method::Data, TransactionId(self.rng.random()));
                let builder = builder.address(AttributeType::XOR_PEER_ADDRESS, peer);
                (data.len() <= MAX_DATA_BYTES).then(|| builder.attribute(AttributeType::DATA, data).finish(false))
            }
        };
        let Some(bytes) = bytes else { return self.metrics.count_dropped("too_long") };
        self.metrics.packets_to_clients.inc();
        self.metrics.bytes_to_clients.inc_by(data.len() as u64);
        self.send_to_client(path, bytes);
    }
}

/// What fits into a Data indication beside the address, whose length fields have 16 bits.
const MAX_DATA_BYTES: usize = 65_000;
