//! Sources and their groups (XEP-0339), with the attributes that Jitsi added.

use model::{SourceName, Ssrc, VideoType};

use super::{InvalidElement, read};
use crate::{Element, ns};

/// Members of one SSRC group: three simulcast layers are usual, jicofo's limit of SSRCs a user is 20.
const MAX_GROUP_MEMBERS: usize = 32;
/// Longest msid in bytes: two identifiers of up to 64 characters each (RFC 8830 §2), with room for longer ones. It is
/// told to everybody in a conference.
const MAX_MSID_BYTES: usize = 512;

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
    /// Jitsi's `ssrc-info`: the endpoint that sends it, told by the focus to clients only.
    pub owner: Option<String>,
}

impl Source {
    /// A source of which only the SSRC is known.
    #[must_use]
    pub const fn new(ssrc: Ssrc) -> Self {
        Self { ssrc, name: None, video_type: None, msid: None, owner: None }
    }

    /// Reads a `source` element.
    ///
    /// # Errors
    /// [`InvalidElement`] on a bad SSRC or a name that is none. An unknown video type reads as none.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let mut source = Self::new(read::ssrc(element)?);
        source.name = read::optional_parsed(element, "name")?;
        source.video_type = element.attr("videoType").and_then(|value| value.parse().ok());
        for child in element.children() {
            match (child.name(), child.attr("name")) {
                ("parameter", Some("msid")) => {
                    let msid = read::required(child, "value")?;
                    if msid.len() > MAX_MSID_BYTES {
                        return Err(read::invalid(child, "value", msid));
                    }
                    source.msid = Some(msid.to_owned());
                }
                ("ssrc-info", _) => source.owner = child.attr("owner").map(str::to_owned),
                _ => {}
            }
        }
        Ok(source)
    }

    /// The `source` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("source", ns::JINGLE_SSMA)
            .with_attr("ssrc", self.ssrc.to_string())
            .with_opt_attr("name", self.name.as_ref().map(SourceName::as_str))
            .with_opt_attr("videoType", self.video_type.map(VideoType::as_str));
        if let Some(msid) = &self.msid {
            let parameter = Element::new("parameter", ns::JINGLE_SSMA).with_attr("name", "msid");
            element.push(parameter.with_attr("value", msid.as_str()));
        }
        if let Some(owner) = &self.owner {
            element.push(Element::new("ssrc-info", ns::JITMEET).with_attr("owner", owner.as_str()));
        }
        element
    }
}

/// `ssrc-group` of XEP-0339 (RFC 5576 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SsrcGroup {
    /// What the group means.
    pub semantics: GroupSemantics,
    /// Members in order.
    pub ssrcs: Vec<Ssrc>,
}

impl SsrcGroup {
    /// Reads an `ssrc-group` element.
    ///
    /// # Errors
    /// [`InvalidElement`] on unknown semantics, a bad SSRC or too many members.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            semantics: read::required_parsed(element, "semantics")?,
            ssrcs: read::list(element, "source", MAX_GROUP_MEMBERS, read::ssrc)?,
        })
    }

    /// The `ssrc-group` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let member = |ssrc: &Ssrc| Element::new("source", ns::JINGLE_SSMA).with_attr("ssrc", ssrc.to_string());
        Element::new("ssrc-group", ns::JINGLE_SSMA)
            .with_attr("semantics", self.semantics.as_str())
            .with_children(self.ssrcs.iter().map(member))
    }
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

impl GroupSemantics {
    /// The name in SDP and XML.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fid => "FID",
            Self::Sim => "SIM",
            Self::FecFr => "FEC-FR",
        }
    }
}

impl std::str::FromStr for GroupSemantics {
    type Err = InvalidElement;

    fn from_str(value: &str) -> Result<Self, InvalidElement> {
        [Self::Fid, Self::Sim, Self::FecFr].into_iter().find(|known| known.as_str().eq_ignore_ascii_case(value)).ok_or(
            InvalidElement::InvalidAttribute {
                element: "ssrc-group".to_owned(),
                attribute: "semantics",
                value: value.chars().take(64).collect(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let text = "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='4294967295' name='ab12cd34-v1' \
                    videoType='desktop'><parameter xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' name='msid' \
                    value='s t'/><ssrc-info xmlns='http://jitsi.org/jitmeet' owner='ab12cd34'/></source>";
        let source = Source::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!((source.video_type, source.owner.as_deref()), (Some(VideoType::Desktop), Some("ab12cd34")));
        assert_eq!(source.to_element().to_string(), text);
    }

    #[test]
    fn reads_group_members_without_a_namespace_of_their_own() {
        let text = "<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='SIM'><source xmlns='' ssrc='1'/>\
                    <source ssrc='2'/></ssrc-group>";
        let group = SsrcGroup::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!(group, SsrcGroup { semantics: GroupSemantics::Sim, ssrcs: vec![Ssrc(1), Ssrc(2)] });
    }

    #[test]
    fn refuses_an_msid_of_unreasonable_length() {
        let msid = "x".repeat(MAX_MSID_BYTES + 1);
        let text = format!("<source ssrc='1'><parameter name='msid' value='{msid}'/></source>");
        assert!(Source::from_element(&text.parse().unwrap()).is_err());
    }

    #[test]
    fn refuses_ssrcs_outside_of_their_range_with_the_text_of_jicofo() {
        for bad in ["0", "4294967296", "-1", "x"] {
            let element = Element::new("source", ns::JINGLE_SSMA).with_attr("ssrc", bad);
            let error = Source::from_element(&element).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid SSRC: {bad}."));
        }
    }
}
