//! Colibri2: how a focus tells a bridge which endpoints a conference has (`jitsi:colibri2`).
//!
//! Here: the types. Their XML form is in the modules beside.

use model::{ConferenceId, EndpointId, MediaType, PayloadType, SourceName, Ssrc, VideoType};

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
    /// Endpoints to create, change or expire.
    pub endpoints: Vec<EndpointModify>,
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
            capabilities: Vec::new(),
            media: Vec::new(),
            transport: None,
            sources: None,
            force_mute: None,
            initial_last_n: None,
        }
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

/// `payload-type` of XEP-0167, with its feedback of XEP-0293.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadTypeDescription {
    /// The number in the RTP header.
    pub id: PayloadType,
    /// Encoding name, such as `opus`, `VP8`, `rtx`.
    pub name: String,
    /// RTP clock in Hz.
    pub clock_rate: u32,
    /// Audio channels.
    pub channels: Option<u8>,
    /// Format parameters; a nameless one has the empty name.
    pub parameters: Vec<(String, String)>,
    /// RTCP feedback that may be sent.
    pub feedback: Vec<RtcpFeedback>,
}

/// `rtcp-fb` of XEP-0293.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpFeedback {
    /// `nack`, `ccm`, `transport-cc`, …
    pub feedback_type: String,
    /// `pli`, `fir`, …
    pub subtype: Option<String>,
}

/// `rtp-hdrext` of XEP-0294.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderExtension {
    /// Local identifier, 1..=255.
    pub id: u8,
    /// What it means.
    pub uri: String,
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

/// `sctp` of a request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// `client` or `server`.
    pub role: Option<String>,
    /// SCTP port.
    pub port: Option<u16>,
}

/// `media-source`: everything that belongs to one named source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSource {
    /// Audio or video.
    pub media_type: MediaType,
    /// The source's name.
    pub id: SourceName,
    /// Its SSRCs.
    pub sources: Vec<Source>,
    /// How they belong together.
    pub groups: Vec<SsrcGroup>,
}

/// `source` of XEP-0339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The SSRC.
    pub ssrc: Ssrc,
    /// The name of the source that it belongs to.
    pub name: Option<SourceName>,
    /// What a video shows.
    pub video_type: Option<VideoType>,
    /// `msid`: stream and track id (RFC 8830).
    pub msid: Option<String>,
}

/// `ssrc-group` of XEP-0339 (RFC 5576 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcGroup {
    /// What the group means.
    pub semantics: GroupSemantics,
    /// Members in order.
    pub ssrcs: Vec<Ssrc>,
}

/// What an SSRC group means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupSemantics {
    /// A stream and its retransmissions (RFC 5576 §4.2).
    Fid,
    /// Simulcast layers, low to high quality.
    Sim,
    /// A stream and its forward error correction (RFC 5956).
    FecFr,
}

/// `conference-modified`: the bridge's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceModified {
    /// One for each endpoint of the request.
    pub endpoints: Vec<EndpointModified>,
    /// The bridge's own feedback sources, on creation.
    pub sources: Option<Vec<MediaSource>>,
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

/// `transport` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportModified {
    /// The bridge's ICE and DTLS parameters.
    pub ice: Option<IceTransport>,
    /// The bridge's SCTP parameters, when a data channel was asked for.
    pub sctp: Option<Sctp>,
}

/// `reason` of a Colibri2 error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bridge has no such conference.
    ConferenceNotFound,
    /// The conference exists already.
    ConferenceAlreadyExists,
    /// The bridge cannot do what was asked.
    FeatureNotImplemented,
    /// The bridge takes no new conferences.
    GracefulShutdown,
    /// The conference has no such endpoint.
    UnknownEndpoint,
    /// Anything else.
    Unspecified,
}

/// A request that the bridge refused (bridge.md §1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColibriError {
    /// The stanza error's condition.
    pub condition: xmpp::Condition,
    /// Jitsi's reason.
    pub reason: Option<Reason>,
    /// The endpoint concerned, for [`Reason::UnknownEndpoint`].
    pub endpoint: Option<EndpointId>,
    /// Words for a reader.
    pub text: String,
}
