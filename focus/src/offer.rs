//! What a client is offered: codecs, header extensions, contents (`jicofo: JingleOfferFactory`).

mod codecs;
mod header_extensions;

pub use codecs::{OpusSettings, VideoCodec, VideoCodecKind};
pub use header_extensions::{HeaderExtensionKind, OfferedHeaderExtension};

use jitsi_protocol::colibri2::Media;
use model::{MediaType, PayloadType};
use xmpp::jingle::{Content, IceTransport, RtpDescription, RtpMedia, SctpMap, Senders};

use crate::features::Features;

/// Which codecs and header extensions are offered (`codec.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecSettings {
    /// For video, in the order of the offer, which is no preference: clients choose by themselves.
    pub video: Vec<VideoCodec>,
    /// For audio.
    pub opus: Option<OpusSettings>,
    /// Keys of a telephone (RFC 4733; `codec.audio.telephone-event`).
    pub telephone_event: Option<PayloadType>,
    /// In the order of the offer.
    pub header_extensions: Vec<OfferedHeaderExtension>,
    /// Whether header extensions of both lengths may be mixed (RFC 8285 §4.1.2; `codec.extmap-allow-mixed`).
    pub extmap_allow_mixed: bool,
}

impl CodecSettings {
    /// Whether a header extension is offered to those who can use it.
    #[must_use]
    pub fn offers(&self, kind: HeaderExtensionKind) -> bool {
        self.header_extensions.iter().any(|offered| offered.kind == kind)
    }
}

impl Default for CodecSettings {
    fn default() -> Self {
        use VideoCodecKind::{Av1, H264, Vp8, Vp9};
        Self {
            video: [Av1, Vp8, H264, Vp9].map(VideoCodec::new).to_vec(),
            opus: Some(OpusSettings::default()),
            telephone_event: Some(PayloadType::from_low_bits(126)),
            header_extensions: header_extensions::defaults(),
            extmap_allow_mixed: true,
        }
    }
}

/// The contents of an offer to a client with these features, without transports and sources.
pub(crate) fn contents(settings: &CodecSettings, features: Features, with_data: bool) -> Vec<Content> {
    let media = |media_type| {
        let mut description = RtpDescription::new(RtpMedia::Rtp(media_type));
        description.max_ptime = (media_type == MediaType::Audio).then_some(60);
        description.payload_types = codecs::payload_types(settings, features, media_type);
        description.header_extensions = header_extensions::header_extensions(settings, features, media_type);
        description.extmap_allow_mixed = settings.extmap_allow_mixed;
        description.rtcp_mux = true;
        Content { senders: Some(Senders::Both), description: Some(description), ..Content::new(media_type.as_str()) }
    };
    let mut contents = Vec::new();
    if features.audio {
        contents.push(media(MediaType::Audio));
    }
    if features.video {
        contents.push(media(MediaType::Video));
    }
    if with_data {
        let description = RtpDescription::new(RtpMedia::Application);
        contents.push(Content { senders: Some(Senders::Both), description: Some(description), ..Content::new("data") });
    }
    contents
}

/// What the bridge has to know of an offer.
pub(crate) fn colibri_media(contents: &[Content]) -> Vec<Media> {
    let media = |description: &RtpDescription| {
        Some(Media {
            media_type: description.media.media_type()?,
            payload_types: description.payload_types.clone(),
            header_extensions: description.header_extensions.clone(),
            extmap_allow_mixed: description.extmap_allow_mixed,
        })
    };
    contents.iter().filter_map(|content| content.description.as_ref()).filter_map(media).collect()
}

/// What bridges have to know of a conference whose streams they pass on to each other: everything that any client was offered.
pub(crate) fn relay_media(settings: &CodecSettings) -> Vec<Media> {
    colibri_media(&contents(settings, Features::ALL, false))
}

/// Puts the bridge's transport into every content, as all of them are bundled (RFC 8843).
pub(crate) fn set_transport(contents: &mut [Content], transport: &IceTransport, sctp_port: Option<u16>) {
    for content in contents {
        let is_data = content.name == "data";
        content.transport = Some(IceTransport {
            rtcp_mux: true,
            sctp_map: sctp_port.filter(|_| is_data).map(SctpMap::data_channel),
            ..transport.clone()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_only_what_the_client_can() {
        let settings = CodecSettings::default();
        let names = |features, with_data| -> Vec<String> {
            contents(&settings, features, with_data).into_iter().map(|content| content.name).collect()
        };
        assert_eq!(names(Features::default(), true), ["audio", "video", "data"]);
        assert_eq!(names(Features { video: false, ..Features::default() }, false), ["audio"]);
        assert!(names(Features { audio: false, video: false, ..Features::default() }, false).is_empty());
    }

    #[test]
    fn every_content_has_the_transport_and_data_the_map() {
        let mut offer = contents(&CodecSettings::default(), Features::default(), true);
        set_transport(&mut offer, &IceTransport { ufrag: Some("u".to_owned()), ..IceTransport::default() }, Some(5000));
        let transport = |name: &str| {
            let content = offer.iter().find(|content| content.name == name).unwrap();
            content.transport.clone().unwrap()
        };
        assert!(transport("audio").rtcp_mux);
        assert_eq!(transport("video").sctp_map, None);
        assert_eq!(transport("data").sctp_map, Some(SctpMap::data_channel(5000)));
        assert_eq!(colibri_media(&offer).len(), 2);
    }
}
