//! Reads SDP. Lines that a media session has no use for are passed over.

use model::{PayloadType, Ssrc};
use xmpp::jingle::{
    Candidate, DtlsSetup, Fingerprint, HeaderExtension, IceTransport, PayloadTypeDescription, RtcpFeedback,
    RtpDescription, RtpMedia, Source, SsrcGroup,
};

use super::{Direction, Section, SessionDescription};

/// M-lines of one description: audio, camera and screen of a thousand participants.
const MAX_SECTIONS: usize = 3_000;
/// Codecs, header extensions, candidates or SSRCs of one m-line; browsers have some fifty codecs.
const MAX_ATTRIBUTES: usize = 256;

/// Why a text is no session description that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// A line that has not the form of its attribute.
    #[error("SDP line {0:?} cannot be read")]
    Line(String),
    /// More than anybody has of something.
    #[error("SDP with too many {0}")]
    TooMany(&'static str),
}

impl std::str::FromStr for SessionDescription {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut session =
            Self { transport: IceTransport { rtcp_mux: true, ..IceTransport::default() }, ..Self::default() };
        let mut setup = None;
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let invalid = || SdpError::Line(line.chars().take(120).collect());
            match line.split_once('=').ok_or_else(invalid)? {
                ("m", media) => {
                    if session.sections.len() >= MAX_SECTIONS {
                        return Err(SdpError::TooMany("m-lines"));
                    }
                    session.sections.push(section(media).ok_or_else(invalid)?);
                }
                ("a", attribute) => {
                    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                    // The bundle has one transport; where m-lines repeat it, the first counts.
                    let is_first = session.sections.len() <= 1;
                    match name {
                        "ice-lite" => session.is_ice_lite = true,
                        "rtcp-rsize" => session.takes_reduced_size = true,
                        "setup" if is_first => setup = Some(value.parse::<DtlsSetup>().map_err(|_| invalid())?),
                        "ice-ufrag" | "ice-pwd" | "fingerprint" | "candidate" if is_first => {
                            transport_attribute(&mut session.transport, name, value).ok_or_else(invalid)?;
                        }
                        _ => {
                            if let Some(section) = session.sections.last_mut() {
                                section_attribute(section, name, value).ok_or_else(invalid)?;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        for fingerprint in &mut session.transport.fingerprints {
            fingerprint.setup = setup;
        }
        let is_too_long = |section: &Section| {
            let RtpDescription { payload_types, header_extensions, sources, groups, .. } = &section.description;
            let longest = payload_types.len().max(header_extensions.len()).max(sources.len()).max(groups.len());
            longest > MAX_ATTRIBUTES
        };
        if session.sections.iter().any(is_too_long) || session.transport.candidates.len() > MAX_ATTRIBUTES {
            return Err(SdpError::TooMany("attributes"));
        }
        Ok(session)
    }
}

/// `audio 9 UDP/TLS/RTP/SAVPF 111 63`.
fn section(media: &str) -> Option<Section> {
    let mut words = media.split_ascii_whitespace();
    let kind = RtpMedia::from_name(words.next()?)?;
    let port: u16 = words.next()?.split('/').next()?.parse().ok()?;
    let mut description = RtpDescription::new(kind);
    if kind != RtpMedia::Application {
        for word in words.skip(1) {
            description.payload_types.push(PayloadTypeDescription {
                id: PayloadType::try_from(word.parse::<u8>().ok()?).ok()?,
                name: String::new(),
                clock_rate: 0,
                channels: None,
                parameters: Vec::new(),
                feedback: Vec::new(),
            });
        }
    }
    let (direction, mid) = (Direction::SendRecv, String::new());
    Some(Section { mid, is_rejected: port == 0, direction, msid: None, rids: &[], name: None, description })
}

fn transport_attribute(transport: &mut IceTransport, name: &str, value: &str) -> Option<()> {
    match name {
        "ice-ufrag" => drop(transport.ufrag.get_or_insert_with(|| value.to_owned())),
        "ice-pwd" => drop(transport.pwd.get_or_insert_with(|| value.to_owned())),
        "candidate" => transport.candidates.extend(parse_candidate(value)),
        _ => {
            let (hash, value) = value.split_once(' ')?;
            let fingerprint =
                Fingerprint { hash: hash.to_ascii_lowercase(), value: value.to_ascii_uppercase(), setup: None };
            if !transport.fingerprints.contains(&fingerprint) {
                transport.fingerprints.push(fingerprint);
            }
        }
    }
    Some(())
}

fn section_attribute(section: &mut Section, name: &str, value: &str) -> Option<()> {
    let description = &mut section.description;
    match name {
        "mid" => value.clone_into(&mut section.mid),
        "msid" => section.msid = Some(value.to_owned()),
        "rtpmap" => {
            let (codec, mapped) = of_codec(description, value)?;
            let mut parts = mapped.split('/');
            let (name, clock_rate) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let channels = parts.next().and_then(|channels| channels.parse().ok());
            if let Some(codec) = codec {
                (codec.name, codec.clock_rate, codec.channels) = (name, clock_rate, channels);
            }
        }
        "fmtp" => {
            if let (Some(codec), parameters) = of_codec(description, value)? {
                codec.parameters = parameters
                    .split(';')
                    .map(|parameter| {
                        let (name, value) = parameter.trim().split_once('=').unwrap_or((parameter.trim(), ""));
                        (name.to_owned(), value.to_owned())
                    })
                    .collect();
            }
        }
        "rtcp-fb" if !value.starts_with('*') => {
            if let (Some(codec), feedback) = of_codec(description, value)? {
                let (kind, subtype) =
                    feedback.split_once(' ').map_or((feedback, None), |(kind, sub)| (kind, Some(sub)));
                let (feedback_type, subtype) = (kind.to_owned(), subtype.map(str::to_owned));
                codec.feedback.push(RtcpFeedback { feedback_type, subtype });
            }
        }
        "extmap" => {
            let (id, rest) = value.split_once(' ')?;
            let id = id.split('/').next()?.parse().ok()?;
            let uri = rest.split(' ').next()?.to_owned();
            description.header_extensions.push(HeaderExtension { id, uri });
        }
        "ssrc" => {
            let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
            let ssrc = Ssrc(ssrc.parse().ok()?);
            if description.sources.iter().all(|known| known.ssrc != ssrc) {
                description.sources.push(Source::new(ssrc));
            }
            let source = description.sources.iter_mut().find(|known| known.ssrc == ssrc)?;
            if let Some(msid) = attribute.strip_prefix("msid:") {
                source.msid = Some(msid.to_owned());
            }
        }
        "ssrc-group" => {
            let mut words = value.split_ascii_whitespace();
            // Groups that nobody here knows are none of ours.
            if let Ok(semantics) = words.next()?.parse() {
                let ssrcs = words.map(|word| word.parse().ok().map(Ssrc)).collect::<Option<_>>()?;
                description.groups.push(SsrcGroup { semantics, ssrcs });
            }
        }
        name => {
            if let Some(direction) = Direction::ALL.into_iter().find(|direction| direction.as_str() == name) {
                section.direction = direction;
            }
        }
    }
    Some(())
}

/// The codec of `96 …`, if the m-line has it, and what follows.
fn of_codec<'a, 'b>(
    description: &'a mut RtpDescription,
    value: &'b str,
) -> Option<(Option<&'a mut PayloadTypeDescription>, &'b str)> {
    let (id, rest) = value.split_once(' ')?;
    let id: u8 = id.parse().ok()?;
    Some((description.payload_types.iter_mut().find(|codec| codec.id.get() == id), rest))
}

/// Reads `candidate:1 1 udp 2130706431 10.0.0.5 10000 typ host …`, with or without the word in front (RFC 8839 §5.1).
/// `None`: it cannot be read, or is of RTCP alone.
#[must_use]
pub(crate) fn parse_candidate(text: &str) -> Option<Candidate> {
    let mut words = text.strip_prefix("candidate:").unwrap_or(text).split_ascii_whitespace();
    let (foundation, component) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let (protocol, priority) = (words.next()?.to_ascii_lowercase(), words.next()?.parse().ok()?);
    let (ip, port) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let candidate_type = (words.next()? == "typ").then(|| words.next()).flatten()?.to_owned();
    let rest: Vec<&str> = words.collect();
    let attribute = |name: &str| rest.chunks(2).find(|pair| pair.first() == Some(&name)).and_then(|pair| pair.get(1));
    (component == 1).then(|| Candidate {
        id: String::new(),
        component,
        foundation,
        generation: 0,
        ip,
        port,
        protocol,
        tcp_type: attribute("tcptype").map(|kind| (*kind).to_owned()),
        priority,
        candidate_type,
        network: 0,
        related: None,
    })
}
