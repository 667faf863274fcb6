//! Codecs, their feedback and the header extensions of a description (XEP-0167, XEP-0293, XEP-0294).

use model::PayloadType;

use super::{InvalidElement, read};
use crate::{Element, ns};

/// Format parameters of one payload type: H.264 has three, codecs of browsers never more than ten.
const MAX_PARAMETERS: usize = 32;
/// Feedback kinds of one payload type: browsers list seven.
const MAX_FEEDBACK: usize = 32;

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

impl PayloadTypeDescription {
    /// Reads a `payload-type` element.
    ///
    /// # Errors
    /// [`InvalidElement`] on a missing or bad number.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let id: u8 = read::required_parsed(element, "id")?;
        let id = PayloadType::try_from(id).map_err(|error| read::invalid(element, "id", &error.0.to_string()))?;
        Ok(Self {
            id,
            name: element.attr("name").unwrap_or_default().to_owned(),
            clock_rate: read::optional_parsed(element, "clockrate")?.unwrap_or(0),
            channels: read::optional_parsed(element, "channels")?,
            parameters: read::list(element, "parameter", MAX_PARAMETERS, |parameter| {
                let text = |name| parameter.attr(name).unwrap_or_default().to_owned();
                Ok::<_, InvalidElement>((text("name"), text("value")))
            })?,
            feedback: read::list(element, "rtcp-fb", MAX_FEEDBACK, RtcpFeedback::from_element)?,
        })
    }

    /// The `payload-type` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let parameters = self.parameters.iter().map(|(name, value)| {
            Element::new("parameter", ns::JINGLE_RTP)
                .with_opt_attr("name", (!name.is_empty()).then_some(name.as_str()))
                .with_attr("value", value.as_str())
        });
        Element::new("payload-type", ns::JINGLE_RTP)
            .with_attr("id", self.id.to_string())
            .with_attr("name", self.name.as_str())
            .with_attr("clockrate", self.clock_rate.to_string())
            .with_opt_attr("channels", self.channels.map(|channels| channels.to_string()))
            .with_children(parameters)
            .with_children(self.feedback.iter().map(RtcpFeedback::to_element))
    }
}

/// `rtcp-fb` of XEP-0293.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpFeedback {
    /// `nack`, `ccm`, `transport-cc`, …
    pub feedback_type: String,
    /// `pli`, `fir`, …
    pub subtype: Option<String>,
}

impl RtcpFeedback {
    /// Reads an `rtcp-fb` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without a type.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        Ok(Self {
            feedback_type: read::required(element, "type")?.to_owned(),
            subtype: element.attr("subtype").filter(|subtype| !subtype.is_empty()).map(str::to_owned),
        })
    }

    /// The `rtcp-fb` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("rtcp-fb", ns::JINGLE_RTCP_FB)
            .with_attr("type", self.feedback_type.as_str())
            .with_opt_attr("subtype", self.subtype.as_deref())
    }
}

/// `rtp-hdrext` of XEP-0294.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderExtension {
    /// Local identifier, 1..=255.
    pub id: u8,
    /// What it means.
    pub uri: String,
}

impl HeaderExtension {
    /// Reads an `rtp-hdrext` element.
    ///
    /// # Errors
    /// [`InvalidElement`] on a missing or bad identifier, or without a URI.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let id: u8 = read::required_parsed(element, "id")?;
        if id == 0 {
            return Err(read::invalid(element, "id", "0"));
        }
        Ok(Self { id, uri: read::required(element, "uri")?.to_owned() })
    }

    /// The `rtp-hdrext` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("rtp-hdrext", ns::JINGLE_RTP_HDREXT)
            .with_attr("id", self.id.to_string())
            .with_attr("uri", self.uri.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let text = "<payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' \
                    channels='2'><parameter xmlns='urn:xmpp:jingle:apps:rtp:1' name='minptime' value='10'/>\
                    <parameter xmlns='urn:xmpp:jingle:apps:rtp:1' value='111/111'/>\
                    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/></payload-type>";
        let read = PayloadTypeDescription::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!((read.id.get(), read.clock_rate, read.channels), (111, 48000, Some(2)));
        assert_eq!(read.parameters.last(), Some(&(String::new(), "111/111".to_owned())));
        assert_eq!(read.to_element().to_string(), text);
    }

    #[test]
    fn refuses_numbers_out_of_range() {
        for bad in ["<payload-type/>", "<payload-type id='128'/>", "<payload-type id='1' clockrate='x'/>"] {
            assert!(PayloadTypeDescription::from_element(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        for bad in ["<rtp-hdrext id='0' uri='u'/>", "<rtp-hdrext id='256' uri='u'/>", "<rtp-hdrext id='1'/>"] {
            assert!(HeaderExtension::from_element(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
