//! Whose STUN and DTLS it is that shards pass on, and from which addresses members are reached.

use std::time::Instant;

use ice::{DatagramKind, StunDemux};
use model::{FiveTuple, PeerAddress, TransportProtocol};

use crate::connection::MemberKey;
use crate::counters::DropReason;
use crate::remote_owners::RemoteOwners;
use crate::shard::message::ConnectionAction;
use crate::transport::Received;
use crate::videobridge::Videobridge;

/// Addresses of one member that are remembered: a client has some interfaces, each behind some NAT bindings. The one
/// that was learned first makes room for one more.
const MAX_REMOTES_PER_MEMBER: usize = 64;
impl Videobridge {
    /// STUN or DTLS came in.
    pub(crate) fn handle_datagram(&mut self, path: FiveTuple, datagram: &[u8], now: Instant) {
        let port = self.unique_ports.of(path);
        // A STUN request names its endpoint; all else comes from an address that a request made known.
        let key = match DatagramKind::of(datagram) {
            DatagramKind::Stun => match StunDemux::parse(datagram) {
                Some(StunDemux::BindingRequest { local_ufrag }) => self.by_ufrag.get(local_ufrag).copied(),
                Some(StunDemux::BindingResponse) => return self.handle_binding_response(path, datagram, now),
                None => return self.metrics.count(DropReason::UnknownProtocol),
            },
            DatagramKind::Dtls => self.by_remote.get(&(port, path.peer())).and_then(RemoteOwners::first),
            DatagramKind::Media | DatagramKind::Unknown => return self.metrics.count(DropReason::UnknownProtocol),
        };
        let Some(key) = key else { return self.metrics.count(DropReason::UnknownPeer) };
        let Some(connection) = self.connection_mut(key) else { return };
        // Others have no business at a port of one's own.
        if connection.unique_port != port {
            return self.metrics.count(DropReason::NotAccepted);
        }
        match connection.transport.handle_datagram(now, path, datagram) {
            Received::Handled => self.handle_taken(key, path.peer(), now),
            Received::Dropped => self.metrics.count(DropReason::NotAccepted),
        }
    }

    /// The answer to a check belongs to whoever sent the check: of the endpoints that claim its address, one knows the
    /// transaction.
    fn handle_binding_response(&mut self, path: FiveTuple, datagram: &[u8], now: Instant) {
        if path.protocol == TransportProtocol::Udp && self.addresses.handle_datagram(now, path.remote, datagram) {
            return self.ask_stun_servers(now);
        }
        let claimants = self.by_remote.get(&(self.unique_ports.of(path), path.peer())).copied().unwrap_or_default();
        for key in claimants.iter() {
            let Some(connection) = self.connection_mut(key) else { continue };
            if connection.transport.handle_datagram(now, path, datagram) == Received::Handled {
                return self.handle_taken(key, path.peer(), now);
            }
        }
        self.metrics.count(DropReason::UnknownPeer);
    }

    /// A TCP connection closed: who was reached over it goes on over another path at once, or is sent nothing until it
    /// connects again, and nobody is taken for it who may get the same port later.
    pub(crate) fn handle_connection_closed(&mut self, path: FiveTuple, now: Instant) {
        self.data_plane.forget_connection(path.remote);
        let owners = self.by_remote.get(&(None, path.peer())).copied().unwrap_or_default();
        for key in owners.iter() {
            if let Some(connection) = self.connection_mut(key) {
                connection.transport.handle_path_closed(now, path);
                connection.remotes.retain(|remote| *remote != path.peer());
            }
            self.forget_remote(key, None, path.peer());
            self.touch(key);
        }
        self.settle(now);
    }

    /// A member took a datagram.
    fn handle_taken(&mut self, key: MemberKey, remote: PeerAddress, now: Instant) {
        if let Some(connection) = self.connection_mut(key) {
            connection.last_activity = Some(now);
        }
        self.remember_remote(key, remote);
        self.touch(key);
        self.settle(now);
    }

    /// After STUN from `remote` was taken by a member: what comes from there may be its.
    pub(crate) fn remember_remote(&mut self, key: MemberKey, remote: PeerAddress) {
        let Some(connection) = self.connection_mut(key) else { return };
        let (port, is_validated) = (connection.unique_port, connection.transport.is_validated(remote));
        let mut forgotten = None;
        if !connection.remotes.contains(&remote) {
            if !connection.transport.is_known(remote) {
                return;
            }
            if connection.remotes.len() >= MAX_REMOTES_PER_MEMBER {
                forgotten = Some(connection.remotes.remove(0));
            }
            connection.remotes.push(remote);
        }
        if let Some(forgotten) = forgotten {
            self.forget_remote(key, port, forgotten);
        }
        self.change_owners((port, remote), |owners| owners.insert(key, is_validated));
        if is_validated {
            self.data_plane.manage_connection(remote, ConnectionAction::Confirm);
        }
    }

    pub(crate) fn forget_remote(&mut self, key: MemberKey, port: Option<u16>, remote: PeerAddress) {
        self.change_owners((port, remote), |owners| owners.remove(key));
        if !self.by_remote.contains_key(&(port, remote)) {
            self.data_plane.manage_connection(remote, ConnectionAction::Close);
        }
    }

    /// Changes who claims an address; shards are told if its media is somebody else's then.
    fn change_owners(&mut self, at: (Option<u16>, PeerAddress), change: impl FnOnce(&mut RemoteOwners)) {
        let owners = self.by_remote.entry(at).or_default();
        let before = owners.first();
        change(owners);
        let after = owners.first();
        if after.is_none() {
            self.by_remote.remove(&at);
        }
        if after != before {
            let to = after.and_then(|key| self.connection_mut(key)).map(|connection| connection.route);
            self.data_plane.route(at.1, at.0, to);
        }
    }
}
