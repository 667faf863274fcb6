//! `conference-modified` and its children.

use model::EndpointId;
use xmpp::jingle::{IceTransport, InvalidElement, read};
use xmpp::{Element, ns};

use super::{MediaSource, Sctp, media_sources, sources_element};

/// Endpoints of one answer, as many as a request may have.
const MAX_ENDPOINTS: usize = 1024;
/// Relays of one answer, as many as a request may have.
const MAX_RELAYS: usize = 128;

/// `conference-modified`: the bridge's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceModified {
    /// One for each endpoint of the request.
    pub endpoints: Vec<EndpointModified>,
    /// One for each relay of the request.
    pub relays: Vec<RelayModified>,
    /// The bridge's own feedback sources, on creation.
    pub sources: Option<Vec<MediaSource>>,
}

impl ConferenceModified {
    /// Reads a `conference-modified` element.
    ///
    /// # Errors
    /// [`InvalidElement`] when the answer cannot be understood.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        if !element.is("conference-modified", ns::COLIBRI2) {
            return Err(InvalidElement::UnexpectedElement { expected: "conference-modified" });
        }
        Ok(Self {
            endpoints: read::list(element, "endpoint", MAX_ENDPOINTS, EndpointModified::from_element)?,
            relays: read::list(element, "relay", MAX_RELAYS, RelayModified::from_element)?,
            sources: element.child_named("sources").map(media_sources).transpose()?,
        })
    }

    /// The `conference-modified` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference-modified", ns::COLIBRI2)
            .with_children(self.endpoints.iter().map(EndpointModified::to_element))
            .with_children(self.relays.iter().map(RelayModified::to_element))
            .with_children(self.sources.as_deref().map(sources_element))
    }
}

/// One `endpoint` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointModified {
    /// The endpoint's id.
    pub id: EndpointId,
    /// The endpoint was expired.
    pub expire: bool,
    /// The bridge's transport, on creation and ICE restart.
    pub transport: Option<TransportModified>,
}

impl EndpointModified {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            id: read::required_parsed(element, "id")?,
            expire: read::flag(element, "expire")?,
            transport: element.child_named("transport").map(TransportModified::from_element).transpose()?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("endpoint", ns::COLIBRI2)
            .with_attr("id", self.id.as_str())
            .with_opt_attr("expire", self.expire.then_some("true"))
            .with_children(self.transport.as_ref().map(TransportModified::to_element))
    }
}

/// One `relay` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayModified {
    /// The other bridge.
    pub id: String,
    /// The relay was expired.
    pub expire: bool,
    /// The bridge's transport, on creation.
    pub transport: Option<TransportModified>,
}

impl RelayModified {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            id: read::required(element, "id")?.to_owned(),
            expire: read::flag(element, "expire")?,
            transport: element.child_named("transport").map(TransportModified::from_element).transpose()?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("relay", ns::COLIBRI2)
            .with_attr("id", self.id.as_str())
            .with_opt_attr("expire", self.expire.then_some("true"))
            .with_children(self.transport.as_ref().map(TransportModified::to_element))
    }
}

/// `transport` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportModified {
    /// The bridge's ICE and DTLS parameters.
    pub ice: Option<IceTransport>,
    /// The bridge's SCTP parameters, when a data channel was asked for.
    pub sctp: Option<Sctp>,
}

impl TransportModified {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            ice: element.child("transport", ns::JINGLE_ICE_UDP).map(IceTransport::from_element).transpose()?,
            sctp: element.child_named("sctp").map(Sctp::from_element).transpose()?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("transport", ns::COLIBRI2)
            .with_children(self.ice.as_ref().map(IceTransport::to_element))
            .with_children(self.sctp.as_ref().map(Sctp::to_element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_answer_to_a_creation_and_writes_it_again() {
        let text = "<conference-modified xmlns='jitsi:colibri2'><endpoint id='a1b2c3d4'><transport>\
            <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='9c3a' pwd='5v0q'><rtcp-mux/>\
            <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AB:CD</fingerprint>\
            <web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://jvb7/colibri-ws/a/b/c?pwd=k'/>\
            <candidate component='1' foundation='1' generation='0' id='c1' ip='10.0.0.7' network='0' port='10000' \
            priority='2130706431' protocol='udp' type='host'/></transport><sctp role='server' port='5000'/>\
            </transport></endpoint><endpoint id='gone' expire='true'/><relay id='R2'><transport>\
            <sctp role='server' port='5000'/></transport></relay><relay id='R3' expire='true'/><sources>\
            <media-source type='audio' id='jvb-a0'>\
            <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='3141592653' name='jvb-a0'/></media-source></sources>\
            </conference-modified>";
        let answer = ConferenceModified::from_element(&text.parse().unwrap()).unwrap();
        let transport = answer.endpoints.first().unwrap().transport.as_ref().unwrap();
        let ice = transport.ice.as_ref().unwrap();
        assert!(ice.rtcp_mux);
        assert_eq!((ice.candidates.len(), ice.web_sockets.len(), ice.fingerprints.len()), (1, 1, 1));
        assert_eq!(transport.sctp, Some(Sctp { role: Some("server".to_owned()), port: Some(5000) }));
        assert!(answer.endpoints.last().unwrap().expire);
        let relays: Vec<_> = answer.relays.iter().map(|relay| (relay.id.as_str(), relay.expire)).collect();
        assert_eq!(relays, [("R2", false), ("R3", true)]);
        let again: Element = answer.to_element().to_string().parse().unwrap();
        assert_eq!(ConferenceModified::from_element(&again), Ok(answer));
    }

    #[test]
    fn refuses_other_elements() {
        assert!(ConferenceModified::from_element(&"<conference-modified/>".parse().unwrap()).is_err());
    }
}
