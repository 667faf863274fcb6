//! What both sides of a session agreed on for media: payload types and header extensions (XEP-0167, XEP-0294, RFC 8285).

use std::collections::BTreeMap;

use model::{MediaType, PayloadType};
use rtp::{ExtensionId, ExtensionKind, ExtensionMap};
use xmpp::jingle::RtpDescription;

use crate::load::media::{Codec, VideoCodec};

/// Names the encoding of a packet (RFC 8852 §4.1).
pub(super) const RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// Names the encoding that a packet repeats (RFC 8852 §4.2).
pub(super) const REPAIRED_RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// Payload types and header extensions of a session.
#[derive(Clone, Debug, Default)]
pub struct Negotiated {
    /// Opus.
    pub opus: Option<PayloadType>,
    /// Video codecs: of media and of its retransmission.
    pub video: BTreeMap<VideoCodec, (PayloadType, Option<PayloadType>)>,
    /// Header extensions of audio.
    pub audio_extensions: ExtensionMap,
    /// Header extensions of video.
    pub video_extensions: ExtensionMap,
    /// Of video: header extensions that name the encoding of a packet, and that of a retransmission (RFC 8852 §4).
    pub stream_ids: Option<(ExtensionId, ExtensionId)>,
}

impl Negotiated {
    /// What descriptions say; those of one medium agree on a payload type, as they share a transport (RFC 8843 §9.1).
    #[must_use]
    pub fn of<'a>(descriptions: impl IntoIterator<Item = &'a RtpDescription>) -> Self {
        let mut negotiated = Self::default();
        for description in descriptions {
            match description.media.media_type() {
                Some(MediaType::Audio) => {
                    let opus = description.payload_types.iter().find(|codec| codec.name.eq_ignore_ascii_case("opus"));
                    negotiated.opus = negotiated.opus.or(opus.map(|opus| opus.id));
                    add_extensions(&mut negotiated.audio_extensions, description);
                }
                Some(MediaType::Video) => {
                    for (codec, payload_types) in video_codecs(description) {
                        negotiated.video.entry(codec).or_insert(payload_types);
                    }
                    add_extensions(&mut negotiated.video_extensions, description);
                    let id = |uri: &str| {
                        let known = description.header_extensions.iter().find(|extension| extension.uri == uri)?;
                        ExtensionId::try_from(known.id).ok()
                    };
                    negotiated.stream_ids = negotiated.stream_ids.or(id(RTP_STREAM_ID).zip(id(REPAIRED_RTP_STREAM_ID)));
                }
                None => {}
            }
        }
        negotiated
    }

    /// What a payload type stands for; `None` for retransmissions and what we do not send.
    #[must_use]
    pub fn codec_of(&self, payload_type: PayloadType) -> Option<Codec> {
        if Some(payload_type) == self.opus {
            return Some(Codec::Opus);
        }
        let mut video = self.video.iter();
        video.find(|(_, (media, _))| *media == payload_type).map(|(codec, _)| Codec::Video(*codec))
    }

    /// What a payload type of retransmissions stands for.
    #[must_use]
    pub fn codec_of_rtx(&self, payload_type: PayloadType) -> Option<Codec> {
        let mut video = self.video.iter();
        video.find(|(_, (_, rtx))| *rtx == Some(payload_type)).map(|(codec, _)| Codec::Video(*codec))
    }
}

fn video_codecs(video: &RtpDescription) -> impl Iterator<Item = (VideoCodec, (PayloadType, Option<PayloadType>))> {
    let rtx_of = |media: PayloadType| {
        video.payload_types.iter().find(|codec| {
            let apt = codec.parameters.iter().find(|(name, _)| name == "apt");
            codec.name.eq_ignore_ascii_case("rtx") && apt.is_some_and(|(_, apt)| *apt == media.get().to_string())
        })
    };
    VideoCodec::ALL.into_iter().filter_map(move |codec| {
        let offered = video.payload_types.iter().find(|offered| offered.name.eq_ignore_ascii_case(codec.as_str()))?;
        Some((codec, (offered.id, rtx_of(offered.id).map(|rtx| rtx.id))))
    })
}

fn add_extensions(map: &mut ExtensionMap, description: &RtpDescription) {
    for extension in &description.header_extensions {
        if let (Some(kind), Ok(id)) = (ExtensionKind::from_uri(&extension.uri), ExtensionId::try_from(extension.id)) {
            map.set(kind, Some(id));
        }
    }
}
