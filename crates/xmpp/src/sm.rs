//! Stream management (XEP-0198 1.6): acknowledgement and resumption of streams.
//!
//! Here: the elements. Not here: counting and queues (`signaling`).

use crate::{Condition, Element, ns};

/// An element of stream management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamManagement {
    /// The client wants acknowledgements, and perhaps resumption (§3).
    Enable {
        /// Whether the stream shall be resumable.
        resume: bool,
    },
    /// The server agrees (§3).
    Enabled {
        /// The id to resume with, when resumption is possible.
        id: Option<String>,
        /// How long the server keeps a lost stream, in seconds.
        max_s: Option<u64>,
    },
    /// Asks for an acknowledgement (§4).
    Request,
    /// Says how many stanzas were handled, modulo 2³² (§4).
    Ack {
        /// The count.
        h: u32,
    },
    /// The client takes a lost stream up again (§5).
    Resume {
        /// The id of the lost stream.
        previd: String,
        /// How many of the server's stanzas the client handled.
        h: u32,
    },
    /// The server agrees (§5).
    Resumed {
        /// The id of the resumed stream.
        previd: String,
        /// How many of the client's stanzas the server handled.
        h: u32,
    },
    /// Neither enabled nor resumed (§3, §5).
    Failed {
        /// Why.
        condition: Condition,
        /// How many stanzas of the stream that cannot be resumed were handled, when that is known.
        h: Option<u32>,
    },
}

/// The stream feature.
#[must_use]
pub fn feature() -> Element {
    Element::new("sm", ns::SM)
}

impl StreamManagement {
    /// Reads an element of namespace [`ns::SM`]; `None` when it is none of them or lacks what it must have.
    #[must_use]
    pub fn parse(element: &Element) -> Option<Self> {
        if element.ns() != ns::SM {
            return None;
        }
        let h = || element.attr("h").and_then(|h| h.trim().parse().ok());
        let previd = || element.attr("previd").map(str::to_owned);
        // xs:boolean has two spellings of true.
        let is_true = |name| matches!(element.attr(name), Some("true" | "1"));
        match element.name() {
            "enable" => Some(Self::Enable { resume: is_true("resume") }),
            "enabled" => Some(Self::Enabled {
                id: element.attr("id").filter(|_| is_true("resume")).map(str::to_owned),
                max_s: element.attr("max").and_then(|max| max.parse().ok()),
            }),
            "r" => Some(Self::Request),
            "a" => Some(Self::Ack { h: h()? }),
            "resume" => Some(Self::Resume { previd: previd()?, h: h()? }),
            "resumed" => Some(Self::Resumed { previd: previd()?, h: h()? }),
            "failed" => Some(Self::Failed {
                condition: element
                    .children()
                    .find_map(|child| Condition::from_name(child.name()))
                    .unwrap_or(Condition::UnexpectedRequest),
                h: h(),
            }),
            _ => None,
        }
    }

    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Self::Enable { resume } => Element::new("enable", ns::SM).with_opt_attr("resume", resume.then_some("true")),
            Self::Enabled { id, max_s } => Element::new("enabled", ns::SM)
                .with_opt_attr("id", id.as_deref())
                .with_opt_attr("resume", id.as_ref().map(|_| "true"))
                .with_opt_attr("max", max_s.map(|max| max.to_string())),
            Self::Request => Element::new("r", ns::SM),
            Self::Ack { h } => Element::new("a", ns::SM).with_attr("h", h.to_string()),
            Self::Resume { previd, h } => {
                Element::new("resume", ns::SM).with_attr("h", h.to_string()).with_attr("previd", previd.as_str())
            }
            Self::Resumed { previd, h } => {
                Element::new("resumed", ns::SM).with_attr("h", h.to_string()).with_attr("previd", previd.as_str())
            }
            Self::Failed { condition, h } => Element::new("failed", ns::SM)
                .with_opt_attr("h", h.map(|h| h.to_string()))
                .with_child(Element::new(condition.as_str(), ns::XMPP_STANZAS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_reads_as_written() {
        for element in [
            StreamManagement::Enable { resume: true },
            StreamManagement::Enable { resume: false },
            StreamManagement::Enabled { id: Some("a1".to_owned()), max_s: Some(60) },
            StreamManagement::Enabled { id: None, max_s: None },
            StreamManagement::Request,
            StreamManagement::Ack { h: u32::MAX },
            StreamManagement::Resume { previd: "a1".to_owned(), h: 3 },
            StreamManagement::Resumed { previd: "a1".to_owned(), h: 4 },
            StreamManagement::Failed { condition: Condition::ItemNotFound, h: Some(2) },
        ] {
            assert_eq!(StreamManagement::parse(&element.to_element()), Some(element));
        }
    }

    #[test]
    fn an_ack_without_a_count_is_none() {
        for bad in ["<a xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='-1'/>", "<a xmlns='x' h='1'/>"] {
            assert_eq!(StreamManagement::parse(&bad.parse().unwrap()), None, "{bad}");
        }
    }
}
