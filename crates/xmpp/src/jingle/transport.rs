//! The transport of a content: ICE (XEP-0176), DTLS (XEP-0320), SCTP (XEP-0343) and Jitsi's bridge channel.

use super::{InvalidElement, read};
use crate::{Element, ns};

/// Candidates of one side: a bridge offers a handful, a browser with many interfaces some twenty.
const MAX_CANDIDATES: usize = 64;
/// Fingerprints of one side: one is usual, RFC 8122 §5 allows one a hash function.
const MAX_FINGERPRINTS: usize = 8;
/// URLs of one bridge: one for each of its domains.
const MAX_WEB_SOCKETS: usize = 8;

/// ICE and DTLS parameters of one side (XEP-0176, XEP-0320).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceTransport {
    /// ICE user name fragment.
    pub ufrag: Option<String>,
    /// ICE password.
    pub pwd: Option<String>,
    /// Set on an ICE restart only.
    pub ice_generation: Option<u32>,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Certificate fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// Candidates.
    pub candidates: Vec<Candidate>,
    /// URLs of the bridge channel over WebSocket.
    pub web_sockets: Vec<String>,
    /// The data channel's SCTP association, in Jingle only.
    pub sctp_map: Option<SctpMap>,
}

impl IceTransport {
    /// Reads a `transport` element of ICE.
    ///
    /// # Errors
    /// [`InvalidElement`] on a bad candidate, fingerprint or generation, or too many of them.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        if !element.is("transport", ns::JINGLE_ICE_UDP) {
            return Err(InvalidElement::UnexpectedElement { expected: "transport" });
        }
        let credential = |name| element.attr(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let web_sockets = read::list(element, "web-socket", MAX_WEB_SOCKETS, |child| {
            Ok::<_, InvalidElement>(child.attr("url").map(str::to_owned))
        })?;
        Ok(Self {
            ufrag: credential("ufrag"),
            pwd: credential("pwd"),
            ice_generation: read::optional_parsed(element, "ice-generation")?,
            rtcp_mux: element.child_named("rtcp-mux").is_some(),
            fingerprints: read::list(element, "fingerprint", MAX_FINGERPRINTS, Fingerprint::from_element)?,
            candidates: read::list(element, "candidate", MAX_CANDIDATES, Candidate::from_element)?,
            web_sockets: web_sockets.into_iter().flatten().collect(),
            sctp_map: element.child_named("sctpmap").map(SctpMap::from_element).transpose()?,
        })
    }

    /// The `transport` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("transport", ns::JINGLE_ICE_UDP)
            .with_opt_attr("ufrag", self.ufrag.as_deref())
            .with_opt_attr("pwd", self.pwd.as_deref())
            .with_opt_attr("ice-generation", self.ice_generation.map(|generation| generation.to_string()));
        if self.rtcp_mux {
            element.push(Element::new("rtcp-mux", ns::JINGLE_ICE_UDP));
        }
        let web_socket = |url: &String| Element::new("web-socket", ns::COLIBRI).with_attr("url", url.as_str());
        element
            .with_children(self.fingerprints.iter().map(Fingerprint::to_element))
            .with_children(self.sctp_map.as_ref().map(SctpMap::to_element))
            .with_children(self.web_sockets.iter().map(web_socket))
            .with_children(self.candidates.iter().map(Candidate::to_element))
    }
}

/// `fingerprint` of XEP-0320 (RFC 8122).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// `sha-256`, …
    pub hash: String,
    /// Colon-separated upper-case hex.
    pub value: String,
    /// `actpass`, `active` or `passive`.
    pub setup: Option<DtlsSetup>,
}

impl Fingerprint {
    /// Reads a `fingerprint` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without a hash function or on an unknown setup.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            hash: read::required(element, "hash")?.to_ascii_lowercase(),
            value: element.text().trim().to_ascii_uppercase(),
            setup: read::optional_parsed(element, "setup")?,
        })
    }

    /// The `fingerprint` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("fingerprint", ns::JINGLE_DTLS)
            .with_attr("hash", self.hash.as_str())
            .with_opt_attr("setup", self.setup.map(DtlsSetup::as_str))
            .with_text(self.value.as_str())
    }
}

/// Who opens the DTLS handshake (RFC 4145 §4, RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsSetup {
    /// Either.
    ActPass,
    /// This side is the client.
    Active,
    /// This side is the server.
    Passive,
}

impl DtlsSetup {
    /// The word of RFC 4145 §4.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl std::str::FromStr for DtlsSetup {
    type Err = InvalidElement;

    fn from_str(value: &str) -> Result<Self, InvalidElement> {
        [Self::ActPass, Self::Active, Self::Passive].into_iter().find(|known| known.as_str() == value).ok_or_else(
            || {
                let value = value.chars().take(64).collect();
                InvalidElement::InvalidAttribute { element: "fingerprint".to_owned(), attribute: "setup", value }
            },
        )
    }
}

/// `candidate` of XEP-0176; all values as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Identifies the candidate in its stream.
    pub id: String,
    /// 1 = RTP, and RTCP with it.
    pub component: u8,
    /// Equal for candidates of the same kind and base.
    pub foundation: String,
    /// Generation of the negotiation.
    pub generation: u32,
    /// Address, or a host name that is not resolved.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// `active`, `passive` or `so` for TCP.
    pub tcp_type: Option<String>,
    /// Priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub candidate_type: String,
    /// Network index.
    pub network: u32,
    /// Base address of a reflexive or relayed candidate.
    pub related: Option<(String, u16)>,
}

impl Candidate {
    /// Reads a `candidate` element. What only labels the candidate may be missing.
    ///
    /// # Errors
    /// [`InvalidElement`] without address, port, priority or type, or on a bad number.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let text = |name| element.attr(name).unwrap_or_default().to_owned();
        let related_port = read::optional_parsed(element, "rel-port")?.unwrap_or(0);
        Ok(Self {
            id: text("id"),
            component: read::optional_parsed(element, "component")?.unwrap_or(1),
            foundation: text("foundation"),
            generation: read::optional_parsed(element, "generation")?.unwrap_or(0),
            ip: read::required(element, "ip")?.to_owned(),
            port: read::required_parsed(element, "port")?,
            protocol: element.attr("protocol").unwrap_or("udp").to_ascii_lowercase(),
            tcp_type: element.attr("tcptype").map(str::to_owned),
            priority: read::required_parsed(element, "priority")?,
            candidate_type: read::required(element, "type")?.to_owned(),
            network: read::optional_parsed(element, "network")?.unwrap_or(0),
            related: element.attr("rel-addr").map(|address| (address.to_owned(), related_port)),
        })
    }

    /// The `candidate` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let related = self.related.as_ref();
        Element::new("candidate", ns::JINGLE_ICE_UDP)
            .with_attr("component", self.component.to_string())
            .with_attr("foundation", self.foundation.as_str())
            .with_attr("generation", self.generation.to_string())
            .with_attr("id", self.id.as_str())
            .with_attr("ip", self.ip.as_str())
            .with_attr("network", self.network.to_string())
            .with_attr("port", self.port.to_string())
            .with_attr("priority", self.priority.to_string())
            .with_attr("protocol", self.protocol.as_str())
            .with_opt_attr("tcptype", self.tcp_type.as_deref())
            .with_attr("type", self.candidate_type.as_str())
            .with_opt_attr("rel-addr", related.map(|(address, _)| address.as_str()))
            .with_opt_attr("rel-port", related.map(|(_, port)| port.to_string()))
    }
}

/// `sctpmap` of XEP-0343.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpMap {
    /// SCTP port.
    pub number: u16,
    /// `webrtc-datachannel`.
    pub protocol: String,
    /// How many streams the association may have.
    pub streams: u16,
}

impl SctpMap {
    /// The map of the bridge channel on an SCTP port.
    #[must_use]
    pub fn data_channel(number: u16) -> Self {
        Self { number, protocol: "webrtc-datachannel".to_owned(), streams: 1024 }
    }

    /// Reads an `sctpmap` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without a port or on a bad number.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            number: read::required_parsed(element, "number")?,
            protocol: element.attr("protocol").unwrap_or_default().to_owned(),
            streams: read::optional_parsed(element, "streams")?.unwrap_or(1024),
        })
    }

    /// The `sctpmap` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("sctpmap", ns::JINGLE_DTLS_SCTP)
            .with_attr("number", self.number.to_string())
            .with_attr("protocol", self.protocol.as_str())
            .with_attr("streams", self.streams.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let text = "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='abcd' pwd='secret' \
                    ice-generation='2'><rtcp-mux xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>\
                    <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AA:BB</fingerprint>\
                    <sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' \
                    protocol='webrtc-datachannel' streams='1024'/>\
                    <web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://h/colibri-ws/a?pwd=1&amp;x'/>\
                    <candidate xmlns='urn:xmpp:jingle:transports:ice-udp:1' component='1' foundation='2' \
                    generation='0' id='c2' ip='203.0.113.7' network='0' port='10000' priority='1677724415' \
                    protocol='udp' type='srflx' rel-addr='10.0.0.5' rel-port='10000'/></transport>";
        let transport = IceTransport::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!(transport.candidates.first().unwrap().related, Some(("10.0.0.5".to_owned(), 10000)));
        assert_eq!(transport.sctp_map, Some(SctpMap::data_channel(5000)));
        assert_eq!(transport.to_element().to_string(), text);
    }

    #[test]
    fn refuses_bad_and_too_many_candidates() {
        let transport = |candidates: String| -> Result<IceTransport, InvalidElement> {
            let text = format!("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>{candidates}</transport>");
            IceTransport::from_element(&text.parse().unwrap())
        };
        let good = "<candidate ip='192.0.2.1' port='1' priority='1' type='host'/>";
        assert_eq!(transport(good.repeat(MAX_CANDIDATES)).unwrap().candidates.len(), MAX_CANDIDATES);
        assert!(matches!(transport(good.repeat(MAX_CANDIDATES + 1)), Err(InvalidElement::TooMany { .. })));
        for bad in ["<candidate/>", "<candidate ip='x' port='65536' priority='1' type='host'/>"] {
            assert!(transport(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(transport("<fingerprint hash='sha-256' setup='holdconn'>AA</fingerprint>".to_owned()).is_err());
    }
}
