//! What signaling said of an endpoint: its payload types, header extensions and sources.
//!
//! Here: Colibri2's lists turned into tables that the packet path reads. Not here: packets.

use bwe::FeedbackKind;
use jitsi_protocol::colibri2::{GroupSemantics, Media, MediaSource};
use model::{MediaType, PayloadType, SourceName, Ssrc, VideoType};
use rtp::{ExtensionId, ExtensionKind, ExtensionMap};

use crate::keys::SourceId;
use crate::shard::message::SourceStreams;

/// Sources of one endpoint that are kept; the focus allows 20 SSRCs of a client, two to a source at least, and adds one for
/// each language that somebody is translated into.
pub(crate) const MAX_SOURCES: usize = 128;
/// Simulcast encodings, or spatial layers, of one source.
pub(crate) const MAX_LAYERS: usize = 4;

/// What a payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// RFC 7587.
    Opus,
    /// Redundant audio (RFC 2198) with Opus in it.
    Red,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// AOM "RTP Payload Format For AV1".
    Av1,
    /// RFC 6184.
    H264,
    /// Retransmissions of another payload type (RFC 4588).
    Rtx(PayloadType),
    /// Not looked into but for its dependency descriptor.
    Other(MediaType),
}

/// Payload types and header extensions of one endpoint. Colibri2 adds to them and never takes away.
#[derive(Clone, Debug)]
pub(crate) struct Negotiated {
    codecs: [Option<Codec>; 128],
    pub(crate) extensions: ExtensionMap,
    /// Under which redundant audio is taken.
    pub(crate) red: Option<PayloadType>,
    /// `transport-cc` was negotiated, and packets carry transport-wide numbers.
    pub(crate) has_transport_cc: bool,
    has_remb: bool,
}

impl Default for Negotiated {
    fn default() -> Self {
        Self {
            codecs: [None; 128],
            extensions: ExtensionMap::default(),
            red: None,
            has_transport_cc: false,
            has_remb: false,
        }
    }
}

impl Negotiated {
    pub(crate) fn codec(&self, payload_type: PayloadType) -> Option<Codec> {
        self.codecs.get(usize::from(payload_type.get())).copied().flatten()
    }

    /// The payload type under which packets of `payload_type` are repeated.
    pub(crate) fn rtx_of(&self, payload_type: PayloadType) -> Option<PayloadType> {
        let at = self.codecs.iter().position(|codec| *codec == Some(Codec::Rtx(payload_type)))?;
        PayloadType::try_from(u8::try_from(at).ok()?).ok()
    }

    /// The extension in which packets to this endpoint carry transport-wide numbers.
    pub(crate) fn transport_seq_id(&self) -> Option<ExtensionId> {
        self.extensions.id(ExtensionKind::TransportWideCc).filter(|_| self.has_transport_cc)
    }

    /// How the endpoint tells what its path carries. REMB is of use only where packets carry times that it can go by.
    pub(crate) fn bandwidth_feedback(&self) -> Option<FeedbackKind> {
        match self.transport_seq_id() {
            Some(_) => Some(FeedbackKind::TransportWide),
            None => self.has_remb.then_some(FeedbackKind::Remb),
        }
    }

    /// Whether the endpoint is told in REMB what its path to the bridge carries, as clients of before 2017 want it.
    pub(crate) fn takes_remb(&self) -> bool {
        self.has_remb && !self.has_transport_cc && self.extensions.id(ExtensionKind::AbsSendTime).is_some()
    }

    /// The same, but for REMB.
    pub(crate) fn without_remb(self) -> Self {
        Self { has_remb: false, ..self }
    }

    /// The same, but that nobody tells what the path carries.
    pub(crate) fn without_bandwidth_feedback(self) -> Self {
        Self { has_transport_cc: false, has_remb: false, ..self }
    }

    /// The same, but that what is lost comes again as it was.
    pub(crate) fn without_rtx(mut self) -> Self {
        for codec in &mut self.codecs {
            codec.take_if(|codec| matches!(codec, Codec::Rtx(_)));
        }
        self
    }

    /// Takes what a request says of one kind of media.
    pub(crate) fn add(&mut self, media: &Media) {
        for description in &media.payload_types {
            let codec = match description.name.to_ascii_lowercase().as_str() {
                "opus" => Codec::Opus,
                "vp8" => Codec::Vp8,
                "vp9" => Codec::Vp9,
                "av1" => Codec::Av1,
                "h264" => Codec::H264,
                "rtx" => {
                    let repeated = description.parameters.iter().find(|(name, _)| name == "apt");
                    let repeated = repeated.and_then(|(_, value)| value.parse::<u8>().ok());
                    match repeated.and_then(|number| PayloadType::try_from(number).ok()) {
                        Some(repeated) => Codec::Rtx(repeated),
                        None => continue,
                    }
                }
                // Error correction of video would look like a codec that changes with each packet. No browser sends it unasked.
                "red" | "ulpfec" | "flexfec-03" if media.media_type == MediaType::Video => continue,
                "red" => {
                    self.red = Some(description.id);
                    Codec::Red
                }
                _ => Codec::Other(media.media_type),
            };
            if let Some(slot) = self.codecs.get_mut(usize::from(description.id.get())) {
                *slot = Some(codec);
            }
            let has = |kind| description.feedback.iter().any(|feedback| feedback.feedback_type == kind);
            self.has_transport_cc |= has("transport-cc");
            self.has_remb |= has("goog-remb");
        }
        for extension in &media.header_extensions {
            if let (Some(kind), Ok(id)) = (ExtensionKind::from_uri(&extension.uri), ExtensionId::try_from(extension.id))
            {
                self.extensions.set(kind, Some(id));
            }
        }
    }
}

/// One audio source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AudioSource {
    pub(crate) id: SourceId,
    pub(crate) name: SourceName,
    pub(crate) ssrc: Ssrc,
    /// Nobody sends it: it is put in by a bridge.
    pub(crate) synthetic: bool,
}

/// One video source with its simulcast encodings, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VideoSource {
    pub(crate) id: SourceId,
    pub(crate) name: SourceName,
    pub(crate) video_type: VideoType,
    pub(crate) encodings: Vec<LayerSsrcs>,
}

/// The SSRCs of one simulcast encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerSsrcs {
    pub(crate) primary: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
}

impl VideoSource {
    /// The client shows something else. Answers whether that is new.
    pub(crate) fn set_type(&mut self, video_type: VideoType) -> bool {
        std::mem::replace(&mut self.video_type, video_type) != video_type
    }

    /// The SSRCs under which receivers know the source, whichever layer is forwarded: those of the lowest layer, as
    /// the focus signals them (focus.md §6.2, `strip-simulcast`).
    pub(crate) fn signaled(&self) -> Option<LayerSsrcs> {
        self.encodings.first().copied()
    }
}

/// The sources of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) audio: Vec<AudioSource>,
    pub(crate) video: Vec<VideoSource>,
}

impl Sources {
    /// All sources.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SourceId> {
        self.audio.iter().map(|audio| audio.id).chain(self.video.iter().map(|video| video.id))
    }

    /// Whether a video source is among them.
    pub(crate) fn has_video(&self, source: SourceId) -> bool {
        self.video.iter().any(|video| video.id == source)
    }

    /// All sources with their streams.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (SourceId, SourceStreams)> {
        let audio = self.audio.iter().map(|audio| (audio.id, SourceStreams::Audio { ssrc: audio.ssrc }));
        let video = self.video.iter().filter_map(|video| {
            Some((video.id, SourceStreams::Video { signaled: video.signaled()?, encodings: video.encodings.clone() }))
        });
        audio.chain(video)
    }

    /// Reads the full list of a request. Sources without an SSRC, and those above the limits, are left out. A source
    /// that is the same as in `known` keeps its id; others get theirs from `next_id`.
    pub(crate) fn of_request(list: &[MediaSource], known: &Self, mut next_id: impl FnMut() -> SourceId) -> Self {
        let mut sources = Self::default();
        for source in list.iter().take(MAX_SOURCES) {
            match source.media_type {
                MediaType::Audio => {
                    let Some(ssrc) = source.sources.first().map(|first| first.ssrc) else { continue };
                    let is_same = |audio: &&AudioSource| {
                        (&audio.name, audio.ssrc, audio.synthetic) == (&source.id, ssrc, source.synthetic)
                    };
                    let same = known.audio.iter().find(is_same);
                    let id = same.map_or_else(&mut next_id, |audio| audio.id);
                    sources.audio.push(AudioSource { id, name: source.id.clone(), ssrc, synthetic: source.synthetic });
                }
                MediaType::Video => {
                    let encodings = encodings(source);
                    if encodings.is_empty() {
                        continue;
                    }
                    let same = known.video.iter().find(|video| video.name == source.id && video.encodings == encodings);
                    let id = same.map_or_else(&mut next_id, |video| video.id);
                    let signaled = source.sources.iter().find_map(|ssrc| ssrc.video_type);
                    // What the client said over the bridge channel is newer than what signaling repeats.
                    let video_type = same.map_or_else(|| signaled.unwrap_or_default(), |video| video.video_type);
                    sources.video.push(VideoSource { id, name: source.id.clone(), video_type, encodings });
                }
            }
        }
        sources
    }
}

/// The encodings of a video source: the members of its SIM group in order, or else its first SSRC; each with its FID
/// partner (bridge.md §1.4 item 10).
fn encodings(source: &MediaSource) -> Vec<LayerSsrcs> {
    let groups = |semantics| source.groups.iter().filter(move |group| group.semantics == semantics);
    let rtx_of = |primary| {
        groups(GroupSemantics::Fid)
            .find(|group| group.ssrcs.first() == Some(&primary))
            .and_then(|group| group.ssrcs.get(1).copied())
            .filter(|rtx| *rtx != primary)
    };
    let simulcast = groups(GroupSemantics::Sim).next().map(|group| group.ssrcs.clone());
    let primaries = simulcast.or_else(|| source.sources.first().map(|first| vec![first.ssrc])).unwrap_or_default();
    primaries.into_iter().take(MAX_LAYERS).map(|primary| LayerSsrcs { primary, rtx: rtx_of(primary) }).collect()
}

#[cfg(test)]
mod tests {
    use jitsi_protocol::colibri2::{HeaderExtension, PayloadTypeDescription, RtcpFeedback, Source, SsrcGroup};

    use super::*;

    fn payload_type(number: u8) -> PayloadType {
        PayloadType::try_from(number).unwrap()
    }

    fn description(id: u8, name: &str, parameters: &[(&str, &str)]) -> PayloadTypeDescription {
        PayloadTypeDescription {
            id: payload_type(id),
            name: name.to_owned(),
            clock_rate: 90_000,
            channels: None,
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            feedback: vec![RtcpFeedback { feedback_type: "transport-cc".to_owned(), subtype: None }],
        }
    }

    #[test]
    fn knows_codecs_their_repair_and_extensions() {
        let mut negotiated = Negotiated::default();
        negotiated.add(&Media {
            media_type: MediaType::Video,
            payload_types: vec![
                description(100, "VP8", &[]),
                description(96, "rtx", &[("apt", "100")]),
                description(97, "rtx", &[("apt", "300")]),
                description(101, "VP9", &[]),
            ],
            header_extensions: vec![
                HeaderExtension { id: 5, uri: ExtensionKind::TransportWideCc.uri().to_owned() },
                HeaderExtension { id: 7, uri: "urn:unknown".to_owned() },
            ],
            extmap_allow_mixed: true,
        });
        assert_eq!(negotiated.codec(payload_type(100)), Some(Codec::Vp8));
        assert_eq!(negotiated.codec(payload_type(96)), Some(Codec::Rtx(payload_type(100))));
        assert_eq!(negotiated.rtx_of(payload_type(100)), Some(payload_type(96)));
        assert_eq!(negotiated.codec(payload_type(97)), None);
        assert_eq!(negotiated.codec(payload_type(101)), Some(Codec::Vp9));
        assert!(negotiated.has_transport_cc);
        assert_eq!(negotiated.extensions.id(ExtensionKind::TransportWideCc).map(ExtensionId::get), Some(5));
    }

    #[test]
    fn layers_follow_the_simulcast_group_and_carry_their_repair() {
        let ssrcs = [2001, 2002, 2003, 3001, 3002, 3003].map(Ssrc);
        let group =
            |semantics, members: &[u32]| SsrcGroup { semantics, ssrcs: members.iter().copied().map(Ssrc).collect() };
        let source = MediaSource {
            media_type: MediaType::Video,
            id: "abcd1234-v0".parse().unwrap(),
            synthetic: false,
            sources: ssrcs.map(Source::new).to_vec(),
            groups: vec![
                group(GroupSemantics::Sim, &[2001, 2002, 2003]),
                group(GroupSemantics::Fid, &[2001, 3001]),
                group(GroupSemantics::Fid, &[2002, 3002]),
            ],
        };
        let mut keys = crate::keys::KeyAllocator::default();
        let mut next_id = || SourceId(keys.allocate());
        let sources = Sources::of_request(std::slice::from_ref(&source), &Sources::default(), &mut next_id);
        let encodings = &sources.video.first().unwrap().encodings;
        let numbers: Vec<_> = encodings.iter().map(|layer| (layer.primary.0, layer.rtx.map(|rtx| rtx.0))).collect();
        assert_eq!(numbers, [(2001, Some(3001)), (2002, Some(3002)), (2003, None)]);
        assert_eq!(Sources::of_request(&[source], &sources, next_id), sources, "the same source keeps its id");
    }
}
