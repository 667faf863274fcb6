//! `media-source` and `sctp`, which requests and answers share.

use model::{MediaType, SourceName};
use xmpp::jingle::{InvalidElement, Source, SsrcGroup, read};
use xmpp::{Element, ns};

/// Named sources of one endpoint: jicofo's limit of SSRCs a user is 20.
const MAX_MEDIA_SOURCES: usize = 256;

/// `sctp` of a request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// `client` or `server`.
    pub role: Option<String>,
    /// SCTP port.
    pub port: Option<u16>,
}

impl Sctp {
    pub(super) fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self { role: element.attr("role").map(str::to_owned), port: read::optional_parsed(element, "port")? })
    }

    pub(super) fn to_element(&self) -> Element {
        Element::new("sctp", ns::COLIBRI2)
            .with_opt_attr("role", self.role.as_deref())
            .with_opt_attr("port", self.port.map(|port| port.to_string()))
    }
}

/// `media-source`: everything that belongs to one named source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSource {
    /// Audio or video.
    pub media_type: MediaType,
    /// The source's name.
    pub id: SourceName,
    /// Nobody sends it: a bridge puts in what it gets elsewhere, such as a translation.
    pub synthetic: bool,
    /// Its SSRCs.
    pub sources: Vec<Source>,
    /// How they belong together.
    pub groups: Vec<SsrcGroup>,
}

impl MediaSource {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let media_type = read::required(element, "type")?;
        Ok(Self {
            media_type: media_type_of(media_type).ok_or_else(|| read::invalid(element, "type", media_type))?,
            id: read::required_parsed(element, "id")?,
            synthetic: read::flag(element, "synthetic")?,
            sources: read::sources(element)?,
            groups: read::groups(element)?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("media-source", ns::COLIBRI2)
            .with_attr("type", self.media_type.as_str())
            .with_attr("id", self.id.as_str())
            .with_opt_attr("synthetic", self.synthetic.then_some("true"))
            .with_children(self.sources.iter().map(Source::to_element))
            .with_children(self.groups.iter().map(SsrcGroup::to_element))
    }
}

/// Reads the children of a `sources` element.
pub(super) fn media_sources(element: &Element) -> Result<Vec<MediaSource>, InvalidElement> {
    read::list(element, "media-source", MAX_MEDIA_SOURCES, MediaSource::from_element)
}

/// The `sources` element.
pub(super) fn sources_element(sources: &[MediaSource]) -> Element {
    Element::new("sources", ns::COLIBRI2).with_children(sources.iter().map(MediaSource::to_element))
}

/// The value of a `type` attribute.
pub(super) fn media_type_of(name: &str) -> Option<MediaType> {
    [MediaType::Audio, MediaType::Video].into_iter().find(|media_type| media_type.as_str() == name)
}
