//! What a bridge knows of its conferences, and the rules that it keeps (bridge.md §1.4).

use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModify, Connect, DtlsSetup, EndpointModify, MediaSource, Reason, RelayModify,
    TransportRequest,
};
use xmpp::Condition;

use super::World;

/// A conference on a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meeting {
    /// SSRCs by endpoint.
    pub(crate) endpoints: BTreeMap<String, BTreeSet<u32>>,
    pub(crate) relays: BTreeMap<String, RelayBooks>,
    /// WebSockets that it has open, by their ids.
    pub(crate) connects: BTreeMap<String, Connect>,
}

/// A link to another bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RelayBooks {
    pub(crate) is_controlling: bool,
    pub(crate) mesh: String,
    /// The username fragment of the other bridge, once it is told.
    pub(crate) remote: Option<String>,
    /// SSRCs by endpoint of the other bridge.
    pub(crate) endpoints: BTreeMap<String, BTreeSet<u32>>,
}

fn refuse(condition: Condition, text: &str) -> ColibriError {
    ColibriError::new(condition, Some(Reason::Unspecified), text)
}

fn bad(text: &str) -> ColibriError {
    refuse(Condition::BadRequest, text)
}

fn ssrcs(sources: &[MediaSource]) -> BTreeSet<u32> {
    sources.iter().flat_map(|media| media.sources.iter().map(|source| source.ssrc.0)).collect()
}

impl Meeting {
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.relays.is_empty()
    }

    /// Whether an endpoint is known, be it here or behind another bridge: they share their names.
    fn knows(&self, endpoint: &str) -> bool {
        self.endpoints.contains_key(endpoint)
            || self.relays.values().any(|relay| relay.endpoints.contains_key(endpoint))
    }

    pub(crate) fn modify(&mut self, request: &ConferenceModify, own_id: Option<&str>) -> Result<(), ColibriError> {
        let is_simple = |endpoint: &EndpointModify| {
            !endpoint.create && endpoint.media.is_empty() && endpoint.transport.is_none() && endpoint.sources.is_none()
        };
        let not_implemented = |text| Err(refuse(Condition::FeatureNotImplemented, text));
        if !request.endpoints.is_empty() && !request.relays.is_empty() {
            return not_implemented("endpoints and relays at once");
        }
        if request.endpoints.len() > 1 && !request.endpoints.iter().all(is_simple) {
            return not_implemented("several endpoints at once");
        }
        if request.relays.len() > 1 {
            return not_implemented("several relays at once");
        }
        request.endpoints.iter().try_for_each(|endpoint| self.modify_endpoint(endpoint))?;
        self.modify_connects(request.connects.as_deref().unwrap_or_default())?;
        request.relays.iter().try_for_each(|relay| self.modify_relay(relay, own_id))
    }

    fn modify_endpoint(&mut self, endpoint: &EndpointModify) -> Result<(), ColibriError> {
        let id = endpoint.id.to_string();
        if endpoint.create {
            if self.knows(&id) {
                return Err(refuse(Condition::Conflict, "the endpoint exists"));
            }
            if endpoint.transport.is_none() || !endpoint.capabilities.contains(&"source-names".to_owned()) {
                return Err(bad("no transport, or no source names"));
            }
            self.endpoints.insert(id.clone(), BTreeSet::new());
        }
        if endpoint.expire {
            return self.endpoints.remove(&id).map(|_| ()).ok_or_else(|| bad("the endpoint to expire does not exist"));
        }
        let Some(known) = self.endpoints.get_mut(&id) else {
            let mut error = ColibriError::new(Condition::ItemNotFound, Some(Reason::UnknownEndpoint), "");
            error.endpoint = Some(endpoint.id.clone());
            return Err(error);
        };
        if let Some(sources) = &endpoint.sources {
            *known = ssrcs(sources);
        }
        Ok(())
    }

    fn modify_connects(&mut self, connects: &[Connect]) -> Result<(), ColibriError> {
        for gone in connects.iter().filter(|connect| connect.expire) {
            let gone = gone.id.as_deref().and_then(|id| self.connects.remove(id));
            gone.ok_or_else(|| bad("the connect to expire does not exist"))?;
        }
        for connect in connects.iter().filter(|connect| !connect.expire) {
            let id = connect.id.clone().ok_or_else(|| bad("a connect without id"))?;
            match (self.connects.get(&id), connect.create) {
                (Some(_), true) => return Err(bad("the connect exists")),
                (None, false) => return Err(bad("the connect does not exist")),
                (Some(known), false) if (&known.url, &known.http_headers) != (&connect.url, &connect.http_headers) => {
                    return Err(refuse(Condition::FeatureNotImplemented, "a connect cannot go elsewhere"));
                }
                (Some(_), false) | (None, true) => {}
            }
            self.connects.insert(id, Connect { create: false, ..connect.clone() });
        }
        Ok(())
    }

    fn modify_relay(&mut self, relay: &RelayModify, own_id: Option<&str>) -> Result<(), ColibriError> {
        if own_id.is_none() {
            return Err(refuse(Condition::FeatureNotImplemented, "this bridge does not relay"));
        }
        if own_id == Some(&relay.id) {
            return Err(bad("a relay to itself"));
        }
        if relay.create {
            if self.relays.contains_key(&relay.id) {
                return Err(refuse(Condition::Conflict, "the relay exists"));
            }
            let transport = relay.transport.as_ref().ok_or_else(|| bad("a new relay without a transport"))?;
            let mesh = relay.mesh_id.clone().ok_or_else(|| bad("no mesh"))?;
            let books = RelayBooks { is_controlling: transport.ice_controlling, mesh, ..RelayBooks::default() };
            books.check_creation(relay, transport)?;
            self.relays.insert(relay.id.clone(), books);
        } else if relay.expire {
            return self.relays.remove(&relay.id).map(|_| ()).ok_or_else(|| bad("the relay to expire does not exist"));
        }
        for endpoint in &relay.endpoints {
            let id = endpoint.id.to_string();
            if endpoint.create && self.knows(&id) {
                return Err(refuse(Condition::Conflict, "the endpoint exists"));
            }
            let known = self.relays.get_mut(&relay.id).ok_or_else(|| bad("unknown relay"))?;
            known.modify_endpoint(endpoint)?;
        }
        let known = self.relays.get_mut(&relay.id).ok_or_else(|| bad("unknown relay"))?;
        known.take_transport(relay)
    }
}

impl RelayBooks {
    fn check_creation(&self, relay: &RelayModify, transport: &TransportRequest) -> Result<(), ColibriError> {
        let role = transport.sctp.as_ref().map(|sctp| sctp.role.as_deref());
        let expected = if self.is_controlling { Some("client") } else { Some("server") };
        if role.is_some_and(|role| role != expected) || transport.use_unique_port != self.is_controlling {
            return Err(bad("roles that do not go together"));
        }
        let kinds: Vec<&str> = relay.media.iter().map(|media| media.media_type.as_str()).collect();
        if kinds != ["audio", "video"] || relay.media.iter().any(|media| media.payload_types.is_empty()) {
            return Err(bad("no media"));
        }
        if transport.ice.is_some() {
            return Err(bad("a transport too early"));
        }
        Ok(())
    }

    fn modify_endpoint(&mut self, endpoint: &EndpointModify) -> Result<(), ColibriError> {
        let id = endpoint.id.to_string();
        if endpoint.transport.is_some() || !endpoint.media.is_empty() || !endpoint.capabilities.is_empty() {
            return Err(bad("an endpoint of another bridge has sources only"));
        }
        if endpoint.expire {
            return self.endpoints.remove(&id).map(|_| ()).ok_or_else(|| bad("the endpoint to expire does not exist"));
        }
        if endpoint.create {
            self.endpoints.insert(id.clone(), BTreeSet::new());
        }
        let known = self.endpoints.get_mut(&id).ok_or_else(|| bad("unknown endpoint of a relay"))?;
        if let Some(sources) = &endpoint.sources {
            *known = ssrcs(sources);
        }
        Ok(())
    }

    fn take_transport(&mut self, relay: &RelayModify) -> Result<(), ColibriError> {
        let Some(ice) = relay.transport.as_ref().and_then(|transport| transport.ice.as_ref()) else { return Ok(()) };
        let setup = if self.is_controlling { DtlsSetup::Active } else { DtlsSetup::Passive };
        if ice.fingerprints.is_empty() || ice.fingerprints.iter().any(|known| known.setup != Some(setup)) {
            return Err(bad("the roles of DTLS are not the usual ones"));
        }
        if self.remote.is_some() {
            return Err(bad("a second transport for a relay"));
        }
        self.remote.clone_from(&ice.ufrag);
        Ok(())
    }
}

impl World {
    /// Checks that bridges know of a conference what they have to, and nothing else: endpoints of their own, links with roles
    /// that go together, by which each bridge is reached from each other one in one way, and behind each link, once, each
    /// endpoint there that accepted its session and sends something, with all its sources. Answers how many bridges the
    /// largest conference has.
    pub(crate) fn check_mesh(&self, what: &str) -> usize {
        let mut meetings: BTreeMap<&str, BTreeMap<&str, &Meeting>> = BTreeMap::new();
        for (nick, bridge) in &self.bridges {
            assert!(bridge.violations.is_empty(), "{nick} after {what}: {:#?}", bridge.violations);
            for (id, meeting) in &bridge.meetings {
                meetings.entry(id).or_default().insert(bridge.stats.relay_id.as_deref().unwrap_or(nick), meeting);
            }
        }
        for bridges in meetings.values() {
            let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
            for (id, meeting) in bridges {
                assert!(!meeting.endpoints.is_empty(), "{id} has nobody after {what}");
                for endpoint in meeting.endpoints.keys() {
                    let other = homes.insert(endpoint, id);
                    assert!(other.is_none(), "{endpoint} is on {id} and {other:?} after {what}");
                }
            }
            for (id, meeting) in bridges {
                let mut reached = vec![*id];
                for (other_id, link) in &meeting.relays {
                    let other =
                        bridges.get(other_id.as_str()).unwrap_or_else(|| panic!("{id} knows {other_id} after {what}"));
                    let back = &other.relays[*id];
                    assert_ne!(link.is_controlling, back.is_controlling, "{id} and {other_id} after {what}");
                    assert_eq!(link.mesh, back.mesh, "{id} and {other_id} after {what}");
                    let told = link.remote.as_deref();
                    assert_eq!(told, Some(format!("ufrag-{other_id}-{id}").as_str()), "{id} after {what}");
                    let mut behind = Vec::new();
                    collect_behind(bridges, id, other_id, &link.mesh, &mut behind);
                    let has_accepted =
                        |endpoint: &str| self.clients.get(endpoint).is_some_and(|client| !client.sent.is_empty());
                    let endpoints = behind.iter().flat_map(|behind| &bridges[behind].endpoints);
                    let sent = endpoints.filter(|(endpoint, _)| has_accepted(endpoint));
                    let expected: BTreeMap<_, _> = sent.map(|(id, ssrcs)| (id.clone(), ssrcs.clone())).collect();
                    assert_eq!(link.endpoints, expected, "what {id} knows of {behind:?} by {other_id} after {what}");
                    reached.extend(behind);
                }
                reached.sort_unstable();
                assert_eq!(reached, bridges.keys().copied().collect::<Vec<_>>(), "ways from {id} after {what}");
            }
            for (endpoint, home) in homes {
                let client = &self.clients[endpoint];
                let known = bridges.get(home).map(|meeting| &meeting.endpoints[endpoint]);
                assert_eq!(known, Some(&client.sent), "what {home} knows of {endpoint} after {what}");
            }
        }
        meetings.values().map(BTreeMap::len).max().unwrap_or(0)
    }
}

/// The bridges that are reached by a link of a mesh: what came over it goes on over links of other meshes.
fn collect_behind<'a>(
    bridges: &BTreeMap<&'a str, &'a Meeting>,
    from: &str,
    to: &'a str,
    mesh: &str,
    into: &mut Vec<&'a str>,
) {
    into.push(to);
    assert!(into.len() <= bridges.len(), "a circle from {from} by {to}: {into:?}");
    for (next, _) in bridges[to].relays.iter().filter(|(_, link)| link.mesh != mesh) {
        collect_behind(bridges, to, next, &bridges[to].relays[next].mesh, into);
    }
}
