//! Links between the bridges of a conference, and over each what a bridge is told of the endpoints behind it (focus.md §8.5,
//! bridge.md §1.5; `jicofo: Colibri2Session.kt`). Which bridges are linked is in `topology`.
//!
//! ```text
//! the first bridge            focus                 the one that joins
//!        │◄── relay create ─────┤                          │
//!        │    controlling, own port, SCTP client           │
//!        │                      ├─────── relay create ────►│
//!        │                      │  controlled, SCTP server │
//!        ├── transport ────────►│                          │
//!        │                      ├─ transport, setup passive►│
//!        │                      │◄──────────── transport ──┤
//!        │◄ transport, active ──┤                          │
//!        │◄═════════════════ ICE, DTLS, SCTP ═════════════►│
//! ```
//!
//! Both requests follow that for the first endpoint of the new bridge at once: a bridge answers in order.

use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, DtlsSetup, EndpointModify, IceTransport, RelayModify, Sctp,
    TransportRequest,
};
use model::EndpointId;
use xmpp::{Condition, Jid, StanzaError, ns};

use super::colibri::Farewell;
use super::participant::Session;
use super::topology::Way;
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::offer;

/// What a bridge was told of another one.
#[derive(Debug)]
pub(super) struct Relay {
    /// The other bridge's name among bridges.
    pub(super) id: String,
    pub(super) role: RelayRole,
    /// What comes over a link of a mesh goes over none of its others.
    pub(super) mesh: u32,
    /// Endpoints of the other bridge, and of those behind it, of which this one was told.
    pub(super) endpoints: BTreeSet<EndpointId>,
    /// Whether it was told the other one's transport.
    pub(super) is_connected: bool,
}

/// Which side of a link a bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayRole {
    /// Controls ICE, on a port of its own, and opens the channel; the server of DTLS.
    Initiator,
    /// Takes what comes at the port for all.
    Responder,
}

impl RelayRole {
    fn transport(self, with_sctp: bool) -> TransportRequest {
        let is_initiator = self == Self::Initiator;
        let sctp_role = if is_initiator { "client" } else { "server" };
        TransportRequest {
            ice_controlling: is_initiator,
            use_unique_port: is_initiator,
            sctp: with_sctp.then(|| Sctp { role: Some(sctp_role.to_owned()), port: None }),
            ..TransportRequest::default()
        }
    }

    /// What a bridge in this role is told of the transport of the other one. Bridges leave it open which side of DTLS they
    /// are; and one of them only opens a WebSocket.
    fn transport_of_other(self, mut ice: IceTransport, with_sctp: bool) -> IceTransport {
        let setup = if self == Self::Initiator { DtlsSetup::Active } else { DtlsSetup::Passive };
        for fingerprint in &mut ice.fingerprints {
            fingerprint.setup = Some(setup);
        }
        if with_sctp || self == Self::Responder {
            ice.web_sockets.clear();
        }
        ice
    }
}

/// What bridges are told of endpoints behind their links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayedChange {
    Gone,
    New,
}

/// Whether a bridge that knows an endpoint has to be told of its sources again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sources {
    AsTold,
    Changed,
}

impl Conference {
    /// Tells a bridge of a link to another one.
    pub(super) fn create_relay(&mut self, at: &Jid, to: &Jid, mesh: u32, role: RelayRole, context: &mut Context<'_>) {
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let Some((own, other)) = self.colibri.get(at).zip(self.colibri.get(to)) else { return };
        let Some(id) = other.relay_id.clone() else { return };
        let behind = self.ways_from(to, Some(mesh)).into_iter().map(|way| way.at);
        let homes = std::iter::once(to.clone()).chain(behind);
        let endpoints: Vec<EndpointId> = homes.flat_map(|home| self.relayed_of(&home, at)).collect();
        let mut modify = RelayModify::new(id.clone());
        modify.create = true;
        modify.mesh_id = Some(mesh.to_string());
        modify.media = offer::relay_media(&context.settings.codecs);
        modify.transport = Some(role.transport(context.settings.selection.relay_sctp));
        modify.endpoints = endpoints.iter().map(|endpoint| self.relayed_endpoint(endpoint, true)).collect();
        let purpose = ConferencePurpose::CreateRelay {
            at: at.clone(),
            session: own.id.clone(),
            to: to.clone(),
            to_session: other.id.clone(),
        };
        let modify = ConferenceModify { relays: vec![modify], ..ConferenceModify::new(meeting_id) };
        self.request(at, "get", modify.to_element(), purpose, context);
        if let Some(session) = self.colibri.get_mut(at) {
            let relay = Relay { id, role, mesh, endpoints: endpoints.into_iter().collect(), is_connected: false };
            session.relays.insert(to.clone(), relay);
        }
    }

    /// A bridge answered a request for a link: the other one is told its transport.
    pub(super) fn on_relay_created(
        &mut self,
        (at, session): (&Jid, &str),
        (to, to_session): (&Jid, &str),
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let is_current = |bridge: &Jid, id: &str| self.colibri.get(bridge).is_some_and(|session| session.id == id);
        if !is_current(at, session) {
            return;
        }
        let IqOutcome::Answer(answer) = &outcome else { return self.on_bridge_silent(at, context) };
        if let Some(problem) = problem_of(&outcome) {
            tracing::warn!(room = %self.room, bridge = %at, other = %to, problem, "bridge refused a relay");
            let error = ColibriError::from_stanza_error(&StanzaError::of_stanza(answer));
            return self.on_relay_refused(at, (to, is_current(to, to_session)), &error, context);
        }
        if !is_current(to, to_session) {
            return;
        }
        let modified = answer.child("conference-modified", ns::COLIBRI2).map(ConferenceModified::from_element);
        let relays = modified.and_then(Result::ok).map(|modified| modified.relays).unwrap_or_default();
        let id = self.colibri.get(at).and_then(|session| Some(session.relays.get(to)?.id.clone()));
        let relay = relays.into_iter().find(|relay| Some(&relay.id) == id.as_ref());
        let ice = relay.and_then(|relay| relay.transport).and_then(|transport| transport.ice);
        let is_open = |ice: &IceTransport| {
            ice.fingerprints.iter().all(|fingerprint| fingerprint.setup == Some(DtlsSetup::ActPass))
        };
        let Some(ice) = ice.filter(is_open) else {
            tracing::warn!(room = %self.room, bridge = %at, other = %to, "bridge gave no transport for a relay");
            return self.remove_bridge(at, Farewell::Expire, context);
        };
        self.set_relay_transport(to, at, ice, context);
    }

    /// A bridge did not take a link: the conference and that bridge part.
    fn on_relay_refused(
        &mut self,
        at: &Jid,
        (to, is_there): (&Jid, bool),
        error: &ColibriError,
        context: &mut Context<'_>,
    ) {
        if let Some(session) = self.colibri.get_mut(at) {
            session.relays.shift_remove(to);
        }
        let lacks_relays = error.condition == Condition::FeatureNotImplemented;
        // Between two bridges there may be so many links only, and other conferences have them.
        let is_full = error.condition == Condition::ResourceConstraint;
        self.has_no_more_links |= is_full;
        if let Some(bridge) = context.selector.get_mut(at).filter(|_| lacks_relays) {
            // Else it would be chosen again, and refuse again.
            bridge.lacks_relays();
        }
        // One that works but for relays may keep the conference for itself, if most are there.
        let keeps = (lacks_relays || is_full) && is_there && self.endpoints_on(at) > self.endpoints_on(to);
        self.remove_bridge(if keeps { to } else { at }, Farewell::Expire, context);
    }

    fn set_relay_transport(&mut self, at: &Jid, to: &Jid, ice: IceTransport, context: &mut Context<'_>) {
        let with_sctp = context.settings.selection.relay_sctp;
        let Some(relay) = self.colibri.get_mut(at).and_then(|session| session.relays.get_mut(to)) else { return };
        relay.is_connected = true;
        let mut modify = RelayModify::new(relay.id.clone());
        let ice = Some(relay.role.transport_of_other(ice, with_sctp));
        modify.transport = Some(TransportRequest { ice, ..TransportRequest::default() });
        self.update_relay(at, modify, context);
    }

    /// The outcome of anything else that a bridge was told of another one.
    pub(super) fn on_relay_updated(&mut self, at: &Jid, session: &str, outcome: IqOutcome, context: &mut Context<'_>) {
        if self.colibri.get(at).is_some_and(|current| current.id == session) {
            self.on_bridge_updated(at, None, outcome, context);
        }
    }

    fn update_relay(&self, at: &Jid, modify: RelayModify, context: &mut Context<'_>) {
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let Some(session) = self.colibri.get(at) else { return };
        let purpose = ConferencePurpose::UpdateRelay { at: at.clone(), session: session.id.clone() };
        let modify = ConferenceModify { relays: vec![modify], ..ConferenceModify::new(meeting_id) };
        self.request(at, "get", modify.to_element(), purpose, context);
    }

    /// A bridge is no longer one of the conference: the others end their links to it.
    pub(super) fn expire_relays_to(&mut self, gone: &Jid, context: &mut Context<'_>) {
        let others: Vec<Jid> = self.colibri.keys().cloned().collect();
        for at in others {
            let relay = self.colibri.get_mut(&at).and_then(|session| session.relays.shift_remove(gone));
            if let Some(relay) = relay {
                let mut modify = RelayModify::new(relay.id);
                modify.expire = true;
                self.update_relay(&at, modify, context);
            }
        }
    }

    /// The sources of an endpoint changed: bridges other than its own are told, for the first time if need be.
    pub(super) fn relay_sources(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let home = self.participants.get(endpoint).and_then(|known| known.session.bridge().cloned());
        if let Some(home) = home {
            self.tell_relays(endpoint, &home, Sources::Changed, context);
        }
    }

    /// An endpoint of a bridge came, left it, or is about to change to another one: those who have to know are told.
    pub(super) fn relay_presence(&mut self, endpoint: &EndpointId, home: &Jid, context: &mut Context<'_>) {
        self.tell_relays(endpoint, home, Sources::AsTold, context);
    }

    fn tell_relays(&mut self, endpoint: &EndpointId, home: &Jid, sources: Sources, context: &mut Context<'_>) {
        for Way { at, via, .. } in self.ways_from(home, None) {
            let is_relayed = self.is_relayed(endpoint, home, &at);
            let Some(relay) = self.colibri.get_mut(&at).and_then(|session| session.relays.get_mut(&via)) else {
                continue;
            };
            let was_told = relay.endpoints.contains(endpoint);
            let mut modify = RelayModify::new(relay.id.clone());
            if !is_relayed {
                if !relay.endpoints.remove(endpoint) {
                    continue;
                }
                modify.endpoints = vec![gone(endpoint)];
            } else if !was_told || sources == Sources::Changed {
                relay.endpoints.insert(endpoint.clone());
                modify.endpoints = vec![self.relayed_endpoint(endpoint, !was_told)];
            } else {
                continue;
            }
            self.update_relay(&at, modify, context);
        }
    }

    /// Tells bridges what changed of the endpoints behind their links, after the ways between bridges did. First those that
    /// are gone everywhere, then new ones anywhere: a name stands for one endpoint behind one link.
    pub(super) fn update_relayed(&mut self, change: RelayedChange, context: &mut Context<'_>) {
        let mut expected: BTreeMap<(Jid, Jid), BTreeSet<EndpointId>> = BTreeMap::new();
        for home in self.colibri.keys() {
            for Way { at, via, .. } in self.ways_from(home, None) {
                let relayed = self.relayed_of(home, &at);
                expected.entry((at, via)).or_default().extend(relayed);
            }
        }
        for ((at, via), expected) in expected {
            let relay = self.colibri.get_mut(&at).and_then(|session| session.relays.get_mut(&via));
            let Some(relay) = relay else { continue };
            let (from, to) = match change {
                RelayedChange::Gone => (&relay.endpoints, &expected),
                RelayedChange::New => (&expected, &relay.endpoints),
            };
            let changed: Vec<EndpointId> = from.difference(to).cloned().collect();
            if changed.is_empty() {
                continue;
            }
            let mut modify = RelayModify::new(relay.id.clone());
            modify.endpoints = match change {
                RelayedChange::Gone => {
                    relay.endpoints.retain(|endpoint| expected.contains(endpoint));
                    changed.iter().map(gone).collect()
                }
                RelayedChange::New => {
                    relay.endpoints.extend(changed.iter().cloned());
                    changed.iter().map(|endpoint| self.relayed_endpoint(endpoint, true)).collect()
                }
            };
            self.update_relay(&at, modify, context);
        }
    }

    /// The endpoints of a bridge of which another one is told.
    fn relayed_of(&self, home: &Jid, at: &Jid) -> Vec<EndpointId> {
        let endpoints = self.colibri.get(home).map(|session| &session.endpoints);
        endpoints.into_iter().flatten().filter(|endpoint| self.is_relayed(endpoint, home, at)).cloned().collect()
    }

    /// Whether a bridge is told of an endpoint of another one: when that accepted its session, is heard and seen, and is not
    /// about to change to this very bridge, where it is known already.
    fn is_relayed(&self, endpoint: &EndpointId, home: &Jid, at: &Jid) -> bool {
        let Some(participant) = self.participants.get(endpoint) else { return false };
        let Session::Active { allocation, .. } = &participant.session else { return false };
        let is_here = self.colibri.get(at).is_some_and(|session| session.endpoints.contains(endpoint));
        allocation.bridge == *home && !participant.is_visitor && !is_here
    }

    fn relayed_endpoint(&self, endpoint: &EndpointId, create: bool) -> EndpointModify {
        let stats_id = self.participants.get(endpoint).and_then(|known| known.member.stats_id.clone());
        let sources = Some(self.media_sources_of(endpoint));
        EndpointModify { create, stats_id, sources, ..EndpointModify::new(endpoint.clone()) }
    }
}

fn gone(endpoint: &EndpointId) -> EndpointModify {
    let mut gone = EndpointModify::new(endpoint.clone());
    gone.expire = true;
    gone
}
