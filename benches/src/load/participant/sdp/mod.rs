//! Session descriptions as SDP, for servers that speak it instead of Jingle (RFC 8866, 8829, 8839, 8843, 5576).
//!
//! An m-line is held in the types of its Jingle counterpart; all share the transport of the first. Here: what is offered and
//! answered. Reading and writing: `parse`, `write`.

mod parse;
mod write;

use model::{MediaType, PayloadType, SourceName, Ssrc};
use rtp::ExtensionKind;
use xmpp::jingle::{
    GroupSemantics, HeaderExtension, IceTransport, PayloadTypeDescription, RtcpFeedback, RtpDescription, RtpMedia,
};

pub use self::parse::SdpError;
pub(super) use self::parse::parse_candidate;
use super::LocalSource;
use super::negotiated::{REPAIRED_RTP_STREAM_ID, RTP_STREAM_ID};
use crate::load::measure::MediaKind;
use crate::load::media::VideoCodec;

/// One side's description of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// ICE and DTLS, of the bundle.
    pub transport: IceTransport,
    /// It only answers checks (RFC 8445 §2.5).
    pub is_ice_lite: bool,
    /// RTCP may go without a report in front (RFC 5506).
    pub takes_reduced_size: bool,
    /// M-lines in order.
    pub sections: Vec<Section>,
}

/// An m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Names it within the bundle.
    pub mid: String,
    /// Its port is 0: it is refused, or no longer used.
    pub is_rejected: bool,
    /// Who sends, as its author sees it.
    pub direction: Direction,
    /// Stream and track (RFC 8830), where it is said of all its SSRCs.
    pub msid: Option<String>,
    /// Names of the encodings that its author sends (RFC 8853); read of ours only.
    pub rids: &'static [&'static str],
    /// Name of a source of ours; it does not stand in the text.
    pub name: Option<SourceName>,
    /// Codecs, header extensions and sources.
    pub description: RtpDescription,
}

/// Who sends media of an m-line (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the author of the description sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

impl Section {
    /// The SSRC of its media and that of its retransmissions.
    #[must_use]
    pub fn stream(&self) -> Option<(Ssrc, Option<Ssrc>)> {
        let pair = self.description.groups.iter().find(|group| group.semantics == GroupSemantics::Fid);
        let media = match pair {
            Some(pair) => *pair.ssrcs.first()?,
            None => self.description.sources.first()?.ssrc,
        };
        Some((media, pair.and_then(|pair| pair.ssrcs.get(1).copied())))
    }
}

impl SessionDescription {
    /// Offers to send sources, each on an m-line of its own.
    #[must_use]
    pub fn offer(transport: IceTransport, sources: &[LocalSource], codec: VideoCodec) -> Self {
        let section = |(at, source): (usize, &LocalSource)| {
            let mut description = match source.kind {
                MediaKind::Audio => offered_audio(),
                MediaKind::Camera | MediaKind::Screen => offered_video(codec),
            };
            source.describe(&mut description);
            let msid = description.sources.first().and_then(|source| source.msid.clone());
            if !source.rids.is_empty() {
                description.sources.clear();
                description.groups.clear();
                let ids = [(5, RTP_STREAM_ID), (6, REPAIRED_RTP_STREAM_ID)];
                let named = ids.map(|(id, uri)| HeaderExtension { id, uri: uri.to_owned() });
                description.header_extensions.extend(named);
                description.header_extensions.extend(extensions(&[(4, ExtensionKind::Mid)]));
            }
            Section {
                mid: at.to_string(),
                is_rejected: false,
                direction: Direction::SendOnly,
                msid,
                rids: source.rids,
                name: Some(source.name.clone()),
                description,
            }
        };
        Self {
            transport,
            is_ice_lite: false,
            takes_reduced_size: true,
            sections: sources.iter().enumerate().map(section).collect(),
        }
    }

    /// Takes all that a server offers to send, in the codecs that we know.
    #[must_use]
    pub fn answer(&self, transport: IceTransport) -> Self {
        let sections = self.sections.iter().map(|offered| {
            let direction = if offered.direction.sends() { Direction::RecvOnly } else { Direction::Inactive };
            let payload_types = &offered.description.payload_types;
            let is_known = |codec: &&PayloadTypeDescription| {
                let is = |name: &str| codec.name.eq_ignore_ascii_case(name);
                is("opus") || VideoCodec::ALL.iter().any(|known| is(known.as_str()))
            };
            let media: Vec<_> = payload_types.iter().filter(is_known).cloned().collect();
            let rtx = payload_types.iter().filter(|codec| media.iter().any(|media| repeats(codec, media.id)));
            let payload_types = media.iter().chain(rtx).cloned().collect();
            let description = RtpDescription {
                payload_types,
                header_extensions: offered.description.header_extensions.clone(),
                ..RtpDescription::new(offered.description.media)
            };
            Section {
                mid: offered.mid.clone(),
                is_rejected: offered.is_rejected,
                direction,
                msid: None,
                rids: &[],
                name: None,
                description,
            }
        });
        Self {
            transport,
            is_ice_lite: false,
            takes_reduced_size: self.takes_reduced_size,
            sections: sections.collect(),
        }
    }

    /// M-lines of media that is sent by the author.
    pub fn sending(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.is_rejected && section.direction.sends())
    }

    /// Descriptions of m-lines that are in use.
    pub fn descriptions(&self) -> impl Iterator<Item = &RtpDescription> {
        self.sections.iter().filter(|section| !section.is_rejected).map(|section| &section.description)
    }
}

/// Whether `codec` is for retransmissions of `media`.
fn repeats(codec: &PayloadTypeDescription, media: PayloadType) -> bool {
    codec.name.eq_ignore_ascii_case("rtx")
        && codec.parameters.iter().any(|(name, value)| name == "apt" && *value == media.get().to_string())
}

fn offered_audio() -> RtpDescription {
    let opus = PayloadTypeDescription {
        id: PayloadType::from_low_bits(111),
        name: "opus".to_owned(),
        clock_rate: 48_000,
        channels: Some(2),
        parameters: vec![("minptime".to_owned(), "10".to_owned()), ("useinbandfec".to_owned(), "1".to_owned())],
        feedback: feedback(&[("transport-cc", None)]),
    };
    RtpDescription {
        payload_types: vec![opus],
        header_extensions: extensions(&[
            (1, ExtensionKind::AudioLevel),
            (2, ExtensionKind::AbsSendTime),
            (3, ExtensionKind::TransportWideCc),
        ]),
        ..RtpDescription::new(RtpMedia::Rtp(MediaType::Audio))
    }
}

fn offered_video(codec: VideoCodec) -> RtpDescription {
    // The numbers that Chromium gives them.
    let (media, rtx, parameters): (u8, u8, &[(&str, &str)]) = match codec {
        VideoCodec::Vp8 => (96, 97, &[]),
        VideoCodec::Vp9 => (98, 99, &[("profile-id", "0")]),
        VideoCodec::Av1 => (45, 46, &[]),
        VideoCodec::H264 => {
            (102, 103, &[("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f")])
        }
    };
    let describe = |id: u8, name: &str, parameters: Vec<(String, String)>, feedback| PayloadTypeDescription {
        id: PayloadType::from_low_bits(id),
        name: name.to_owned(),
        clock_rate: 90_000,
        channels: None,
        parameters,
        feedback,
    };
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let wanted = feedback(&[("transport-cc", None), ("ccm", Some("fir")), ("nack", None), ("nack", Some("pli"))]);
    RtpDescription {
        payload_types: vec![
            describe(media, &codec.as_str().to_ascii_uppercase(), parameters, wanted),
            describe(rtx, "rtx", vec![("apt".to_owned(), media.to_string())], Vec::new()),
        ],
        header_extensions: extensions(&[(2, ExtensionKind::AbsSendTime), (3, ExtensionKind::TransportWideCc)]),
        ..RtpDescription::new(RtpMedia::Rtp(MediaType::Video))
    }
}

fn feedback(kinds: &[(&str, Option<&str>)]) -> Vec<RtcpFeedback> {
    let feedback = |(kind, subtype): &(&str, Option<&str>)| RtcpFeedback {
        feedback_type: (*kind).to_owned(),
        subtype: subtype.map(str::to_owned),
    };
    kinds.iter().map(feedback).collect()
}

fn extensions(kinds: &[(u8, ExtensionKind)]) -> Vec<HeaderExtension> {
    kinds.iter().map(|(id, kind)| HeaderExtension { id: *id, uri: kind.uri().to_owned() }).collect()
}

#[cfg(test)]
pub(super) mod tests;
