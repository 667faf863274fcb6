//! Relays of a Colibri2 request: a focus joins bridges, tells each who is behind the other, and parts them
//! (bridge.md §1.4 item 16, §5.3).

use std::time::Instant;

use ice::IceRole;
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModify, Reason, RelayModified, RelayModify, Sctp, TransportModified, TransportRequest,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use xmpp::Condition;

use super::{SCTP_PORT, check_port, error};
use crate::addresses::with_hosts_told;
use crate::connection::{Member, MemberKey};
use crate::relay::MAX_RELAYS;
use crate::transport::{EndpointTransport, SctpMode};
use crate::unique_ports::at_port;
use crate::videobridge::{Videobridge, random_secret};

/// What does not stand for itself in a segment of a URL's path (RFC 3986 §3.3).
const OUTSIDE_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

impl Videobridge {
    /// Whether a bridge that does so at all may do what a request asks of relays.
    pub(super) fn check_relays(&self, request: &ConferenceModify) -> Result<(), ColibriError> {
        let refused = |text| Err(error(Condition::FeatureNotImplemented, Reason::FeatureNotImplemented, text));
        if request.relays.is_empty() {
            return Ok(());
        }
        if !request.endpoints.is_empty() {
            return refused("endpoints and relays in one request");
        }
        if self.settings.relay_id.is_none() {
            return refused("this bridge has no relays");
        }
        // A focus ends all relays of a bridge at once, which an original bridge refuses.
        if request.relays.len() > 1 && request.relays.iter().any(|relay| !relay.expire) {
            return refused("several relays in one request may only be expired");
        }
        Ok(())
    }

    pub(super) fn modify_relay(
        &mut self,
        conference: usize,
        request: &RelayModify,
        now: Instant,
    ) -> Result<RelayModified, ColibriError> {
        let known =
            self.conferences.get(conference).and_then(|conference| conference.relay_by_id.get(&request.id)).copied();
        let mut answer = RelayModified { id: request.id.clone(), expire: false, transport: None };
        if request.expire {
            if let Some(relay) = known {
                self.remove_relay(conference, relay, now);
                self.settle(now);
            }
            answer.expire = true;
            return Ok(answer);
        }
        let key = match (known, request.create) {
            (Some(_), true) => return Err(ColibriError::new(Condition::Conflict, None, "relay already exists")),
            (Some(relay), false) => MemberKey { conference, member: Member::Relay(relay) },
            // Not item-not-found, which a focus would take for something else.
            (None, false) => return Err(ColibriError::new(Condition::BadRequest, None, "unknown relay")),
            (None, true) => {
                let (key, transport) = self.create_relay(conference, request, now)?;
                answer.transport = Some(transport);
                key
            }
        };
        let Member::Relay(relay) = key.member else { return Ok(answer) };
        if let Some((state, mut context)) = self.conference(conference, now) {
            if !request.media.is_empty() {
                state.negotiate_relay(relay, &request.media, &mut context);
            }
            if !request.endpoints.is_empty() {
                state.modify_relayed(relay, &request.endpoints, &mut context);
            } else if request.create {
                state.subscribe_relays(&mut context);
            }
        }
        if let (Some(transport), false) = (&request.transport, request.create) {
            answer.transport = self.modify_transport(key, transport, now)?;
        }
        // The side that is told the URL of the other one opens the WebSocket; whoever has a data channel needs none.
        let ice = request.transport.as_ref().and_then(|transport| transport.ice.as_ref());
        if let Some(url) = ice.and_then(|ice| ice.web_sockets.first())
            && self.connection_mut(key).is_some_and(|connection| !connection.transport.has_sctp())
        {
            let set = self.set_relay_url(key, url, now);
            if let Err(error) = set {
                if request.create {
                    self.remove_relay(conference, relay, now);
                }
                return Err(ColibriError::new(Condition::BadRequest, None, error.to_string()));
            }
        }
        self.touch(key);
        self.settle(now);
        Ok(answer)
    }

    fn create_relay(
        &mut self,
        conference: usize,
        request: &RelayModify,
        now: Instant,
    ) -> Result<(MemberKey, TransportModified), ColibriError> {
        let bad_request = |text: &str| ColibriError::new(Condition::BadRequest, None, text);
        let not_found = || error(Condition::ItemNotFound, Reason::ConferenceNotFound, "conference not found");
        let transport_request = request.transport.as_ref().ok_or_else(|| bad_request("a relay needs a transport"))?;
        let (mode, sctp) = self.channel_of(transport_request)?;
        let state = self.conferences.get(conference).ok_or_else(not_found)?;
        let channel_name = state.channel_name.clone();
        if state.relays.len() >= MAX_RELAYS {
            return Err(ColibriError::new(Condition::ResourceConstraint, None, "too many relays in the conference"));
        }
        let port = transport_request.use_unique_port.then(|| self.unique_ports.open()).transpose().map_err(|error| {
            tracing::warn!(relay = request.id, %error, "no UDP port for a link to another bridge (see --media-link-ports)");
            ColibriError::new(Condition::ResourceConstraint, None, format!("no UDP port for the link: {error}"))
        })?;
        let ice_role = if transport_request.ice_controlling { IceRole::Controlling } else { IceRole::Controlled };
        // Bridges may share a private network.
        let told = with_hosts_told(self.addresses.told());
        let addresses = port.as_ref().map_or_else(|| told.clone(), |port| at_port(&told, port.number));
        let mut transport = EndpointTransport::new(&addresses, self.dtls.clone(), ice_role, mode, now)
            .map_err(|error| ColibriError::new(Condition::InternalServerError, None, error.to_string()))?;
        let mut ice = transport.local_transport();
        let pwd = random_secret();
        if let (SctpMode::None, Some(base)) = (mode, &self.settings.web_socket_base) {
            let (server, relay) = (&self.settings.server_id, path_segment(&request.id));
            ice.web_sockets = vec![format!("{base}/colibri-relay-ws/{server}/{channel_name}/{relay}?pwd={pwd}")];
        }
        if let Some(remote) = &transport_request.ice {
            transport.set_remote(remote, now).map_err(|error| bad_request(&error.to_string()))?;
        }
        let mesh = request.mesh_id.clone();
        let key = self.insert_relay(conference, (&request.id, mesh), transport, port, pwd, now);
        tracing::info!(relay = request.id, mesh = request.mesh_id, "relay created");
        Ok((key.ok_or_else(not_found)?, TransportModified { ice: Some(ice), sctp }))
    }
}

impl Videobridge {
    /// What carries the channel: SCTP in the role that the bridge is asked to play, with the one that is left for the other bridge as
    /// the answer, or a WebSocket, which the side that starts the link opens.
    fn channel_of(&self, request: &TransportRequest) -> Result<(SctpMode, Option<Sctp>), ColibriError> {
        let Some(sctp) = &request.sctp else {
            if !request.ice_controlling && self.settings.web_socket_base.is_none() {
                let text = "other bridges cannot open a WebSocket to this one: it has no URL (see --public-ws-url)";
                return Err(error(Condition::FeatureNotImplemented, Reason::FeatureNotImplemented, text));
            }
            return Ok((SctpMode::None, None));
        };
        check_port(sctp)?;
        let (mode, other) = match sctp.role.as_deref() {
            Some("client") => (SctpMode::Client, "server"),
            Some("server") | None => (SctpMode::Server, "client"),
            Some(_) => return Err(ColibriError::new(Condition::BadRequest, None, "the SCTP role is client or server")),
        };
        Ok((mode, Some(Sctp { role: Some(other.to_owned()), port: Some(SCTP_PORT) })))
    }
}

/// A relay id as a segment of a URL's path.
fn path_segment(id: &str) -> PercentEncode<'_> {
    utf8_percent_encode(id, OUTSIDE_SEGMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_id_is_one_segment_of_a_path() {
        assert_eq!(path_segment("10.0.0.7:4096").to_string(), "10.0.0.7:4096");
        assert_eq!(path_segment("jvb 7/eu?ö").to_string(), "jvb%207%2Feu%3F%C3%B6");
    }
}
