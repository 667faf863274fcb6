//! `conference-modify` and its children.

use model::{ConferenceId, EndpointId, MediaType};
use xmpp::jingle::{HeaderExtension, IceTransport, InvalidElement, PayloadTypeDescription, read};
use xmpp::{Element, Jid, ns};

use super::{Connect, MediaSource, Sctp, connects, connects_element, media_sources, media_type_of, sources_element};

/// Endpoints of one request: a focus expires or mutes all of a bridge's part of a conference at once.
const MAX_ENDPOINTS: usize = 1024;
/// Relays of one request: a focus ends those to all other bridges at once.
const MAX_RELAYS: usize = 128;
/// Capabilities of one endpoint: the bridge knows four.
const MAX_CAPABILITIES: usize = 32;
/// Media of one endpoint: audio and video, each perhaps in parts.
const MAX_MEDIA: usize = 8;

/// `conference-modify`: what a focus asks of a bridge for one conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceModify {
    /// `meeting-id`.
    pub meeting_id: ConferenceId,
    /// Bare JID of the room, given at creation.
    pub name: Option<String>,
    /// The conference must not exist yet.
    pub create: bool,
    /// End the conference after the children are handled.
    pub expire: bool,
    /// The bridge may send statistics to an rtcstats server.
    pub rtcstats_enabled: bool,
    /// Endpoints to create, change or expire.
    pub endpoints: Vec<EndpointModify>,
    /// Other bridges to share the conference with.
    pub relays: Vec<RelayModify>,
    /// Who else gets the audio of the conference: what changes. An empty list means something to those of before ids only.
    pub connects: Option<Vec<Connect>>,
}

impl ConferenceModify {
    /// A request that changes nothing yet.
    #[must_use]
    pub const fn new(meeting_id: ConferenceId) -> Self {
        Self {
            meeting_id,
            name: None,
            create: false,
            expire: false,
            rtcstats_enabled: true,
            endpoints: Vec::new(),
            relays: Vec::new(),
            connects: None,
        }
    }

    /// Reads a `conference-modify` element.
    ///
    /// # Errors
    /// [`InvalidElement`], to be answered with `bad-request`.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        if !element.is("conference-modify", ns::COLIBRI2) {
            return Err(InvalidElement::UnexpectedElement { expected: "conference-modify" });
        }
        Ok(Self {
            meeting_id: read::required_parsed(element, "meeting-id")?,
            name: element.attr("name").map(|name| room(element, name)).transpose()?,
            create: read::flag(element, "create")?,
            expire: read::flag(element, "expire")?,
            rtcstats_enabled: element.attr("rtcstats-enabled").is_none() || read::flag(element, "rtcstats-enabled")?,
            endpoints: read::list(element, "endpoint", MAX_ENDPOINTS, EndpointModify::from_element)?,
            relays: read::list(element, "relay", MAX_RELAYS, RelayModify::from_element)?,
            connects: element.child_named("connects").map(connects).transpose()?,
        })
    }

    /// The `conference-modify` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("conference-modify", ns::COLIBRI2)
            .with_attr("meeting-id", self.meeting_id.as_str())
            .with_opt_attr("name", self.name.as_deref())
            .with_opt_attr("create", self.create.then_some("true"))
            .with_opt_attr("expire", self.expire.then_some("true"))
            .with_opt_attr("rtcstats-enabled", (!self.rtcstats_enabled).then_some("false"))
            .with_children(self.endpoints.iter().map(EndpointModify::to_element))
            .with_children(self.relays.iter().map(RelayModify::to_element))
            .with_children(self.connects.as_deref().map(connects_element))
    }
}

/// The name of a conference has to be the bare JID of a room.
fn room(element: &Element, name: &str) -> Result<String, InvalidElement> {
    let is_room = name.parse().is_ok_and(|jid: Jid| jid.is_bare() && jid.local().is_some());
    if is_room { Ok(name.to_owned()) } else { Err(read::invalid(element, "name", name)) }
}

/// One `endpoint` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointModify {
    /// The endpoint's id.
    pub id: EndpointId,
    /// The endpoint must not exist yet.
    pub create: bool,
    /// The endpoint ends.
    pub expire: bool,
    /// Name in statistics.
    pub stats_id: Option<String>,
    /// Role in the room.
    pub muc_role: Option<MucRole>,
    /// `capability@name` of each: `source-names`, `ssrc-rewriting`, …
    pub capabilities: Vec<String>,
    /// Payload types and header extensions by kind of media, added to what the endpoint has.
    pub media: Vec<Media>,
    /// Transport to create or to complete.
    pub transport: Option<TransportRequest>,
    /// The full list of the endpoint's sources; `None` leaves them as they are.
    pub sources: Option<Vec<MediaSource>>,
    /// Media that the bridge shall drop on receipt.
    pub force_mute: Option<ForceMute>,
    /// Last-N until the client says otherwise.
    pub initial_last_n: Option<i32>,
    /// Whether a transcriber is to tell voices apart that share the microphone.
    pub diarize: bool,
}

impl EndpointModify {
    /// A request that changes nothing yet.
    #[must_use]
    pub const fn new(id: EndpointId) -> Self {
        Self {
            id,
            create: false,
            expire: false,
            stats_id: None,
            muc_role: None,
            capabilities: Vec::new(),
            media: Vec::new(),
            transport: None,
            sources: None,
            force_mute: None,
            initial_last_n: None,
            diarize: false,
        }
    }

    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let last_n = element.child_named("initial-last-n");
        Ok(Self {
            id: read::required_parsed(element, "id")?,
            create: read::flag(element, "create")?,
            expire: read::flag(element, "expire")?,
            stats_id: element.attr("stats-id").map(str::to_owned),
            muc_role: element.attr("muc-role").and_then(MucRole::from_name),
            capabilities: read::list(element, "capability", MAX_CAPABILITIES, |capability| {
                read::required(capability, "name").map(str::to_owned)
            })?,
            media: read::list(element, "media", MAX_MEDIA, Media::from_element)?,
            transport: element.child_named("transport").map(TransportRequest::from_element).transpose()?,
            sources: element.child_named("sources").map(media_sources).transpose()?,
            force_mute: element.child_named("force-mute").map(ForceMute::from_element).transpose()?,
            initial_last_n: last_n.map(|last_n| read::required_parsed(last_n, "value")).transpose()?,
            diarize: read::flag(element, "diarize")?,
        })
    }

    fn to_element(&self) -> Element {
        let capability = |name: &String| Element::new("capability", ns::COLIBRI2).with_attr("name", name.as_str());
        let last_n =
            self.initial_last_n.map(|n| Element::new("initial-last-n", ns::COLIBRI2).with_attr("value", n.to_string()));
        Element::new("endpoint", ns::COLIBRI2)
            .with_attr("id", self.id.as_str())
            .with_opt_attr("create", self.create.then_some("true"))
            .with_opt_attr("expire", self.expire.then_some("true"))
            .with_opt_attr("stats-id", self.stats_id.as_deref())
            .with_opt_attr("muc-role", self.muc_role.map(MucRole::as_str))
            .with_opt_attr("diarize", self.diarize.then_some("true"))
            .with_children(self.capabilities.iter().map(capability))
            .with_children(self.force_mute.map(ForceMute::to_element))
            .with_children(self.media.iter().map(Media::to_element))
            .with_children(self.transport.as_ref().map(TransportRequest::to_element))
            .with_children(self.sources.as_deref().map(sources_element))
            .with_children(last_n)
    }
}

/// One `relay` of a request: the link to another bridge of the conference, and who is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayModify {
    /// The other bridge, by the `relay_id` of its presence.
    pub id: String,
    /// The relay must not exist yet.
    pub create: bool,
    /// The relay ends.
    pub expire: bool,
    /// What came over a relay goes to relays of other meshes only.
    pub mesh_id: Option<String>,
    /// Payload types and header extensions of the conference by kind of media.
    pub media: Vec<Media>,
    /// Transport to create or to complete.
    pub transport: Option<TransportRequest>,
    /// Endpoints of the other bridge to create, change or expire. They have an id, a name in statistics and sources.
    pub endpoints: Vec<EndpointModify>,
}

impl RelayModify {
    /// A request that changes nothing yet.
    #[must_use]
    pub const fn new(id: String) -> Self {
        Self {
            id,
            create: false,
            expire: false,
            mesh_id: None,
            media: Vec::new(),
            transport: None,
            endpoints: Vec::new(),
        }
    }

    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let endpoints = element
            .child_named("endpoints")
            .map(|endpoints| read::list(endpoints, "endpoint", MAX_ENDPOINTS, EndpointModify::from_element));
        Ok(Self {
            id: read::required(element, "id")?.to_owned(),
            create: read::flag(element, "create")?,
            expire: read::flag(element, "expire")?,
            mesh_id: element.attr("mesh-id").map(str::to_owned),
            media: read::list(element, "media", MAX_MEDIA, Media::from_element)?,
            transport: element.child_named("transport").map(TransportRequest::from_element).transpose()?,
            endpoints: endpoints.transpose()?.unwrap_or_default(),
        })
    }

    fn to_element(&self) -> Element {
        let endpoints = (!self.endpoints.is_empty()).then(|| {
            Element::new("endpoints", ns::COLIBRI2).with_children(self.endpoints.iter().map(EndpointModify::to_element))
        });
        Element::new("relay", ns::COLIBRI2)
            .with_attr("id", self.id.as_str())
            .with_opt_attr("create", self.create.then_some("true"))
            .with_opt_attr("expire", self.expire.then_some("true"))
            .with_opt_attr("mesh-id", self.mesh_id.as_deref())
            .with_children(self.media.iter().map(Media::to_element))
            .with_children(self.transport.as_ref().map(TransportRequest::to_element))
            .with_children(endpoints)
    }
}

/// `muc-role`: what an endpoint is in its room. A bridge makes a difference for visitors only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MucRole {
    /// Owns the room.
    Owner,
    /// Moderates it.
    Moderator,
    /// Is in it.
    Participant,
    /// Watches: it has no sources.
    Visitor,
    /// Is not in it.
    None,
}

impl MucRole {
    const TABLE: [(Self, &'static str); 5] = [
        (Self::Owner, "owner"),
        (Self::Moderator, "moderator"),
        (Self::Participant, "participant"),
        (Self::Visitor, "visitor"),
        (Self::None, "none"),
    ];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(role, _)| *role == self).map_or("none", |&(_, name)| name)
    }

    /// The role of that name. One that is not known says nothing.
    fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known)| *known == name).map(|&(role, _)| role)
    }
}

/// `force-mute`: which media of an endpoint are dropped on receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForceMute {
    /// Drop audio.
    pub audio: bool,
    /// Drop video.
    pub video: bool,
}

impl ForceMute {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self { audio: read::flag(element, "audio")?, video: read::flag(element, "video")? })
    }

    fn to_element(self) -> Element {
        Element::new("force-mute", ns::COLIBRI2)
            .with_attr("audio", self.audio.to_string())
            .with_attr("video", self.video.to_string())
    }
}

/// `media`: what an endpoint negotiated for one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Audio or video.
    pub media_type: MediaType,
    /// Codecs by payload type.
    pub payload_types: Vec<PayloadTypeDescription>,
    /// Header extensions by id (RFC 8285).
    pub header_extensions: Vec<HeaderExtension>,
    /// One- and two-byte extension headers may be mixed (RFC 8285 §4.1.2).
    pub extmap_allow_mixed: bool,
}

impl Media {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let media_type = read::required(element, "type")?;
        Ok(Self {
            media_type: media_type_of(media_type).ok_or_else(|| read::invalid(element, "type", media_type))?,
            payload_types: read::payload_types(element)?,
            header_extensions: read::header_extensions(element)?,
            extmap_allow_mixed: element.child_named("extmap-allow-mixed").is_some(),
        })
    }

    fn to_element(&self) -> Element {
        let allow_mixed = self.extmap_allow_mixed.then(|| Element::new("extmap-allow-mixed", ns::JINGLE_RTP_HDREXT));
        Element::new("media", ns::COLIBRI2)
            .with_attr("type", self.media_type.as_str())
            .with_children(self.payload_types.iter().map(PayloadTypeDescription::to_element))
            .with_children(self.header_extensions.iter().map(HeaderExtension::to_element))
            .with_children(allow_mixed)
    }
}

/// `transport` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportRequest {
    /// The bridge takes the controlling role (RFC 8445 §6.1.1).
    pub ice_controlling: bool,
    /// A socket of its own rather than the shared port.
    pub use_unique_port: bool,
    /// New ICE credentials are wanted.
    pub ice_restart: bool,
    /// The peer's ICE and DTLS parameters, once they are known.
    pub ice: Option<IceTransport>,
    /// A data channel is wanted.
    pub sctp: Option<Sctp>,
}

impl TransportRequest {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            ice_controlling: read::flag(element, "ice-controlling")?,
            use_unique_port: read::flag(element, "use-unique-port")?,
            ice_restart: read::flag(element, "ice-restart")?,
            ice: element.child("transport", ns::JINGLE_ICE_UDP).map(IceTransport::from_element).transpose()?,
            sctp: element.child_named("sctp").map(Sctp::from_element).transpose()?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("transport", ns::COLIBRI2)
            .with_opt_attr("ice-controlling", self.ice_controlling.then_some("true"))
            .with_opt_attr("use-unique-port", self.use_unique_port.then_some("true"))
            .with_opt_attr("ice-restart", self.ice_restart.then_some("true"))
            .with_children(self.ice.as_ref().map(IceTransport::to_element))
            .with_children(self.sctp.as_ref().map(Sctp::to_element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colibri2::Reason;

    /// Composed after bridge.md §1.5, in the order and with the declarations that a jicofo would choose.
    const CREATE: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c' name='standup@muc.example.org' \
        create='true' rtcstats-enabled='false'><endpoint id='a1b2c3d4' create='true' stats-id='Ada-x1y' \
        muc-role='moderator'><capability name='source-names'/><capability name='new'/><media type='audio'>\
        <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'>\
        <parameter name='useinbandfec' value='1'/>\
        <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type>\
        <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' \
        uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>\
        <extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/></media><surprise/>\
        <transport ice-controlling='true'><sctp/></transport></endpoint></conference-modify>";

    const UPDATE: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c'><endpoint id='a1b2c3d4'>\
        <transport><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='Zk3T' pwd='hQ'>\
        <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>11:22</fingerprint>\
        </transport></transport><sources><media-source type='video' id='a1b2c3d4-v0'>\
        <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='2001' name='a1b2c3d4-v0' videoType='camera'/>\
        <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='3001' name='a1b2c3d4-v0'/>\
        <ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='2001'/>\
        <source ssrc='3001'/></ssrc-group></media-source></sources><initial-last-n value='5'/></endpoint>\
        </conference-modify>";

    /// As jicofo asks the initiator of a link, composed after bridge.md §1.5.
    const RELAY: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c' name='standup@muc.example.org'>\
        <relay id='R2' mesh-id='0' create='true'><media type='audio'/><media type='video'/>\
        <transport ice-controlling='true' use-unique-port='true'><sctp role='client'/></transport>\
        <endpoints><endpoint id='zz99yy88' create='true' stats-id='Bob'><sources>\
        <media-source type='audio' id='zz99yy88-a0'>\
        <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1001' name='zz99yy88-a0'/></media-source></sources>\
        </endpoint></endpoints></relay></conference-modify>";

    fn xml(text: &str) -> Element {
        text.parse().unwrap()
    }

    fn read(text: &str) -> Result<ConferenceModify, InvalidElement> {
        ConferenceModify::from_element(&xml(text))
    }

    #[test]
    fn reads_a_creation_and_ignores_what_it_does_not_know() {
        let request = read(CREATE).unwrap();
        assert!(request.create && !request.expire && !request.rtcstats_enabled);
        let endpoint = request.endpoints.first().unwrap();
        assert_eq!(endpoint.capabilities, ["source-names", "new"]);
        assert_eq!((endpoint.stats_id.as_deref(), endpoint.muc_role), (Some("Ada-x1y"), Some(MucRole::Moderator)));
        let audio = endpoint.media.first().unwrap();
        assert_eq!((audio.payload_types.len(), audio.header_extensions.len()), (1, 1));
        assert!(audio.extmap_allow_mixed);
        let transport = endpoint.transport.as_ref().unwrap();
        assert!(transport.ice_controlling && transport.ice.is_none());
        assert_eq!(transport.sctp, Some(Sctp::default()));
        assert_eq!(endpoint.sources, None);
    }

    #[test]
    fn reads_what_it_wrote() {
        for text in [CREATE, UPDATE, RELAY] {
            let request = read(text).unwrap();
            assert_eq!(read(&request.to_element().to_string()), Ok(request));
        }
        let mute = "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' expire='1'><endpoint id='a' \
                    expire='true'><force-mute audio='true' video='false'/></endpoint></conference-modify>";
        let request = read(mute).unwrap();
        assert_eq!(request.endpoints.first().unwrap().force_mute, Some(ForceMute { audio: true, video: false }));
        assert_eq!(read(&request.to_element().to_string()), Ok(request));
    }

    #[test]
    fn a_relay_has_a_transport_and_those_behind_it() {
        let relay = read(RELAY).unwrap().relays.remove(0);
        assert_eq!((relay.id.as_str(), relay.mesh_id.as_deref(), relay.create), ("R2", Some("0"), true));
        assert_eq!(relay.media.len(), 2);
        let transport = relay.transport.unwrap();
        assert!(transport.ice_controlling && transport.use_unique_port);
        assert_eq!(transport.sctp.unwrap().role.as_deref(), Some("client"));
        let behind = relay.endpoints.first().unwrap();
        assert!(behind.create && behind.sources.as_ref().is_some_and(|sources| sources.len() == 1));
    }

    #[test]
    fn an_empty_source_list_differs_from_none() {
        let with = |children| {
            let text = format!(
                "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='a'>{children}</endpoint>\
                 </conference-modify>"
            );
            read(&text).unwrap().endpoints.remove(0).sources
        };
        assert_eq!((with(""), with("<sources/>")), (None, Some(Vec::new())));
    }

    #[test]
    fn names_what_is_wrong_for_a_bad_request() {
        for (bad, text) in [
            ("<conference-modify xmlns='jitsi:colibri2'/>", "missing attribute 'meeting-id' of <conference-modify/>"),
            (
                "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' create='yes'/>",
                "invalid attribute 'create' of <conference-modify/>: \"yes\"",
            ),
            (
                "<conference-modify xmlns='jitsi:colibri2' meeting-id='m' name='muc.example.org'/>",
                "invalid attribute 'name' of <conference-modify/>: \"muc.example.org\"",
            ),
            (
                "<conference-modify xmlns='jitsi:colibri2' meeting-id='m'><endpoint id='a b'/></conference-modify>",
                "invalid attribute 'id' of <endpoint/>: \"a b\"",
            ),
            ("<conference-modified xmlns='jitsi:colibri2'/>", "expected <conference-modify/>"),
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.to_string(), text);
            let refusal = super::super::ColibriError::from(error);
            assert_eq!((refusal.condition, refusal.reason), (xmpp::Condition::BadRequest, Some(Reason::Unspecified)));
        }
        let endpoints = "<endpoint id='a'/>".repeat(MAX_ENDPOINTS + 1);
        let large = format!("<conference-modify xmlns='jitsi:colibri2' meeting-id='m'>{endpoints}</conference-modify>");
        assert!(matches!(read(&large), Err(InvalidElement::TooMany { .. })));
    }
}
