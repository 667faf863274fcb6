//! What control has a shard do. Commands come in order; one that names who is gone is too late, and does nothing.

use std::sync::Arc;
use std::time::Instant;

use model::TransportProtocol;

use super::egress::HeaderTemplates;
use super::message::ShardCommand;
use super::peer::Peer;
use super::source::Source;
use super::{HOUSEKEEPING_INTERVAL, Shard};
use crate::capture::Direction;

impl Shard {
    /// Control decided something.
    pub(crate) fn handle_command(&mut self, command: ShardCommand, now: Instant) {
        match command {
            ShardCommand::AddPeer(new) => {
                let key = new.peer;
                self.peers.insert(key, Box::new(Peer::new(*new, now)));
                self.schedule(key);
            }
            ShardCommand::RemovePeer { peer, subscriptions } => {
                self.peers.remove(peer);
                self.tcp_receivers.retain(|(known, _)| *known != peer);
                for source in subscriptions {
                    if let Some(source) = self.sources.get_mut(source) {
                        source.remove_subscriber(peer);
                    }
                }
                if self.peers.is_empty() {
                    self.timers.clear();
                }
            }
            ShardCommand::Negotiate { peer, negotiated } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    let headers = HeaderTemplates::new(&negotiated);
                    if *self.headers != headers {
                        self.headers = Arc::new(headers);
                    }
                    peer.set_negotiated(*negotiated, Arc::clone(&self.headers), self.audio.redundancy, now);
                }
            }
            ShardCommand::Demand { peer, demand } => {
                if let Some(bandwidth) = self.bandwidth_mut(peer) {
                    bandwidth.set_demand(demand, now);
                }
                self.schedule(peer);
            }
            ShardCommand::Receive { peer, sources } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.receive.set_sources(&sources);
                }
                self.release_early(peer, now);
            }
            ShardCommand::Keys { peer, session } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.srtp = session;
                }
                self.schedule(peer);
            }
            ShardCommand::Path { peer, path } => {
                self.tcp_receivers.retain(|(known, _)| *known != peer);
                if let Some(path) = path.filter(|path| path.protocol == TransportProtocol::Tcp) {
                    self.tcp_receivers.push((peer, path.remote));
                }
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.set_path(path, now);
                }
                self.schedule(peer);
            }
            ShardCommand::Responder { peer, responder } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.responder = responder;
                }
            }
            ShardCommand::Transmit { peer, path, datagram } => {
                self.captured.note(Direction::Outbound, peer, &path, &datagram, now);
                self.out.push(path, &datagram);
            }
            ShardCommand::Export { source, taps } => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.exports = taps;
                }
            }
            ShardCommand::Inject(injected) => self.inject(&injected, now),
            ShardCommand::Capture { peer, tap } => self.set_capture(peer, tap),
            // The sockets are the thread's.
            ShardCommand::Connection { .. } | ShardCommand::OpenPort(_) | ShardCommand::ClosePort { .. } => {}
            ShardCommand::ForceMute { owner, force_mute, muted } => {
                if let Some(peer) = self.peers.get_mut(owner) {
                    peer.force_mute = force_mute;
                }
                for source in muted.iter() {
                    if let Some(source) = self.sources.get_mut(*source) {
                        source.pause();
                    }
                }
            }
            ShardCommand::Loudness { owner, audibility } => {
                if let Some(peer) = self.peers.get_mut(owner) {
                    peer.audibility = audibility;
                }
            }
            ShardCommand::RequestKeyFrame { owner, ssrc } => {
                if let Some(peer) = self.peers.get_mut(owner).filter(|peer| peer.is_connected()) {
                    peer.request_key_frame(ssrc, now, &self.counters, &mut self.out);
                }
            }
            ShardCommand::Route { remote, port, to } => {
                match (port, to) {
                    (None, Some(route)) => self.routes.insert(remote, route),
                    (None, None) => self.routes.remove(&remote),
                    (Some(port), Some(route)) => self.unique_routes.insert((port, remote), route),
                    (Some(port), None) => self.unique_routes.remove(&(port, remote)),
                };
            }
            ShardCommand::Ufrag { ufrag, peer } => {
                let before = match peer {
                    Some(peer) => self.ufrags.insert(ufrag, peer),
                    None => self.ufrags.remove(&ufrag),
                };
                if peer.is_none() {
                    before.map(|gone| self.handshakes.remove(gone));
                }
            }
            ShardCommand::AddSource(new) => {
                self.sources.insert(new.source, Source::new(new));
                self.housekeeping.get_or_insert(now + HOUSEKEEPING_INTERVAL);
            }
            ShardCommand::RemoveSource { source } => {
                if let Some(mut source) = self.sources.remove(source) {
                    self.counters.audio_recovered.add(source.take_recovered());
                    source.end(&mut self.peers);
                }
            }
            ShardCommand::Reach { source, shards } => {
                if let Some(source) = self.sources.get_mut(source) {
                    source.reach = shards;
                }
            }
            ShardCommand::Subscribe { peer, source, wanted } => {
                #[cfg(feature = "planted-faults")]
                let wanted = self.faults.falsify(wanted);
                let is_link = self.peers.get(peer).is_some_and(|peer| peer.link.is_some());
                match self.sources.get_mut(source) {
                    Some(source) if is_link => source.subscribe_link(peer, wanted, now),
                    Some(source) => source.subscribe(peer, wanted),
                    None => {}
                }
            }
            ShardCommand::Rename { peer, source, names } => {
                if let (Some(source), Some(peer)) = (self.sources.get_mut(source), self.peers.get_mut(peer)) {
                    source.rename(peer, names);
                }
            }
            ShardCommand::Audio(audio) => self.audio = audio,
            #[cfg(feature = "planted-faults")]
            ShardCommand::PlantFault(fault) => self.faults.plant(fault),
        }
    }
}
