//! `content` of a session and its RTP description (XEP-0166 §7.3, XEP-0167 §6).

use model::MediaType;

use super::{HeaderExtension, IceTransport, InvalidElement, PayloadTypeDescription, Source, SsrcGroup, read};
use crate::{Element, ns};

/// Children of a description that have a field of their own.
const KNOWN_CHILDREN: [&str; 6] =
    ["payload-type", "rtp-hdrext", "extmap-allow-mixed", "rtcp-mux", "source", "ssrc-group"];

/// `content`: one medium of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Who put the content into the session.
    pub creator: Creator,
    /// `audio`, `video` or `data` by Jitsi's convention.
    pub name: String,
    /// Who sends; missing means both.
    pub senders: Option<Senders>,
    /// Codecs and sources; a data content may have none.
    pub description: Option<RtpDescription>,
    /// The transport.
    pub transport: Option<IceTransport>,
    /// Other children, such as Jitsi's `initial-last-n`.
    pub extensions: Vec<Element>,
}

impl Content {
    /// An empty content of the session's initiator.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            creator: Creator::Initiator,
            name: name.into(),
            senders: None,
            description: None,
            transport: None,
            extensions: Vec::new(),
        }
    }

    /// Reads a `content` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without a name, or on a bad description or transport.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let name = read::required(element, "name")?;
        let mut content = Self::new(name);
        content.creator = match element.attr("creator") {
            Some("responder") => Creator::Responder,
            _ => Creator::Initiator,
        };
        content.senders = read::optional_parsed(element, "senders")?;
        for child in element.children() {
            match (child.name(), child.ns()) {
                ("description", ns::JINGLE_RTP) => {
                    content.description = Some(RtpDescription::from_element(child, name)?);
                }
                ("transport", ns::JINGLE_ICE_UDP) => content.transport = Some(IceTransport::from_element(child)?),
                _ => content.extensions.push(child.clone()),
            }
        }
        Ok(content)
    }

    /// The `content` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let creator = match self.creator {
            Creator::Initiator => "initiator",
            Creator::Responder => "responder",
        };
        Element::new("content", ns::JINGLE)
            .with_attr("creator", creator)
            .with_attr("name", self.name.as_str())
            .with_opt_attr("senders", self.senders.map(Senders::as_str))
            .with_children(self.description.as_ref().map(RtpDescription::to_element))
            .with_children(self.transport.as_ref().map(IceTransport::to_element))
            .with_children(self.extensions.iter().cloned())
    }
}

/// Who put a content into the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creator {
    /// The one who started the session.
    Initiator,
    /// The other.
    Responder,
}

/// Who sends media of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of XEP-0166 §7.3")]
pub enum Senders {
    Both,
    Initiator,
    None,
    Responder,
}

impl Senders {
    /// The value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Initiator => "initiator",
            Self::None => "none",
            Self::Responder => "responder",
        }
    }
}

impl std::str::FromStr for Senders {
    type Err = InvalidElement;

    fn from_str(value: &str) -> Result<Self, InvalidElement> {
        [Self::Both, Self::Initiator, Self::None, Self::Responder]
            .into_iter()
            .find(|known| known.as_str() == value)
            .ok_or_else(|| InvalidElement::InvalidAttribute {
                element: "content".to_owned(),
                attribute: "senders",
                value: value.chars().take(64).collect(),
            })
    }
}

/// `description` of an RTP session (XEP-0167).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpDescription {
    /// What is described.
    pub media: RtpMedia,
    /// Longest packet in milliseconds.
    pub max_ptime: Option<u32>,
    /// Codecs by payload type.
    pub payload_types: Vec<PayloadTypeDescription>,
    /// Header extensions by id (RFC 8285).
    pub header_extensions: Vec<HeaderExtension>,
    /// One- and two-byte extension headers may be mixed (RFC 8285 §4.1.2).
    pub extmap_allow_mixed: bool,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// SSRCs.
    pub sources: Vec<Source>,
    /// How they belong together.
    pub groups: Vec<SsrcGroup>,
    /// Other children.
    pub extensions: Vec<Element>,
}

impl RtpDescription {
    /// A description without codecs and sources.
    #[must_use]
    pub const fn new(media: RtpMedia) -> Self {
        Self {
            media,
            max_ptime: None,
            payload_types: Vec::new(),
            header_extensions: Vec::new(),
            extmap_allow_mixed: false,
            rtcp_mux: false,
            sources: Vec::new(),
            groups: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// Reads a `description` element; without `media` the content's name counts.
    ///
    /// # Errors
    /// [`InvalidElement`] on an unknown medium, bad children, or too many of them.
    pub fn from_element(element: &Element, content_name: &str) -> Result<Self, InvalidElement> {
        let media = element.attr("media").unwrap_or(content_name);
        Ok(Self {
            media: RtpMedia::from_name(media).ok_or_else(|| read::invalid(element, "media", media))?,
            max_ptime: read::optional_parsed(element, "maxptime")?,
            payload_types: read::payload_types(element)?,
            header_extensions: read::header_extensions(element)?,
            extmap_allow_mixed: element.child_named("extmap-allow-mixed").is_some(),
            rtcp_mux: element.child_named("rtcp-mux").is_some(),
            sources: read::sources(element)?,
            groups: read::groups(element)?,
            extensions: element.children().filter(|child| !KNOWN_CHILDREN.contains(&child.name())).cloned().collect(),
        })
    }

    /// The `description` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("description", ns::JINGLE_RTP)
            .with_attr("media", self.media.as_str())
            .with_opt_attr("maxptime", self.max_ptime.map(|ms| ms.to_string()))
            .with_children(self.payload_types.iter().map(PayloadTypeDescription::to_element))
            .with_children(self.header_extensions.iter().map(HeaderExtension::to_element));
        if self.extmap_allow_mixed {
            element.push(Element::new("extmap-allow-mixed", ns::JINGLE_RTP_HDREXT));
        }
        if self.rtcp_mux {
            element.push(Element::new("rtcp-mux", ns::JINGLE_RTP));
        }
        element
            .with_children(self.sources.iter().map(Source::to_element))
            .with_children(self.groups.iter().map(SsrcGroup::to_element))
            .with_children(self.extensions.iter().cloned())
    }
}

/// What a description describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpMedia {
    /// Audio or video over RTP.
    Rtp(MediaType),
    /// The data channel.
    Application,
}

impl RtpMedia {
    /// `audio`, `video` or `application`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtp(media_type) => media_type.as_str(),
            Self::Application => "application",
        }
    }

    /// The medium of that name; `data` is a content's name for `application`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "audio" => Some(Self::Rtp(MediaType::Audio)),
            "video" => Some(Self::Rtp(MediaType::Video)),
            "application" | "data" => Some(Self::Application),
            _ => None,
        }
    }

    /// Audio or video.
    #[must_use]
    pub const fn media_type(self) -> Option<MediaType> {
        match self {
            Self::Rtp(media_type) => Some(media_type),
            Self::Application => None,
        }
    }
}
