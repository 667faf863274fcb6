//! Text to elements, in the restricted XML of XMPP (RFC 6120 §11.1): no DTD, entities, comments or instructions.

use std::str::FromStr;

use rxml::{Event, Parse, Parser, WithOptions};

use crate::Element;
use crate::ns;
use crate::stream::StreamCondition;

/// Elements may nest this deep. Real stanzas stay below ten; the bound keeps recursion over a tree safe.
const MAX_DEPTH: usize = 32;
/// Longest name or attribute value in bytes: a JWT in an attribute is the longest that real clients send.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Most elements and texts in one stanza: a session-accept with every source has a few hundred.
const MAX_NODES: usize = 16 * 1024;

/// Most attributes of one element: a candidate has a dozen. They are kept in a list, which each new one searches.
const MAX_ATTRIBUTES: usize = 128;

/// Why a text is not one XMPP element.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not well-formed, or with a construct that XMPP forbids.
    #[error("not well-formed XML of XMPP's restricted kind")]
    Xml(#[source] rxml::Error),
    /// The text ends inside the element.
    #[error("XML ends inside an element")]
    Truncated,
    /// Something follows the element.
    #[error("text after the end of the element")]
    TrailingData,
    /// Elements nest too deeply.
    #[error("elements nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Before and between the elements of a stream, only white space may stand (RFC 6120 §4.6.1).
    #[error("text between elements")]
    TextBetweenStanzas,
    /// Too many elements or attributes.
    #[error(
        "more than {MAX_NODES} elements, attributes and texts in a stanza, or {MAX_ATTRIBUTES} attributes in one element"
    )]
    TooLarge,
}

impl FromStr for Element {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Element::parse(text)
    }
}

impl ParseError {
    /// The error to end a stream with (RFC 6120 §4.9.3, §11.1).
    #[must_use]
    pub fn condition(&self) -> StreamCondition {
        match self {
            Self::Xml(rxml::Error::RestrictedXml(_) | rxml::Error::UndeclaredEntity) => StreamCondition::RestrictedXml,
            Self::Xml(_) | Self::Truncated | Self::TrailingData | Self::TextBetweenStanzas => {
                StreamCondition::NotWellFormed
            }
            Self::TooDeep | Self::TooLarge => StreamCondition::PolicyViolation,
        }
    }
}

impl Element {
    /// Parses one element: the whole of a WebSocket frame (RFC 7395 §3.3.3).
    ///
    /// # Errors
    /// [`ParseError`] when the text is not exactly one element within the limits.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = restricted_parser();
        let mut rest = text.as_bytes();
        let mut tree = TreeBuilder::default();
        loop {
            let event = match parser.parse(&mut rest, true) {
                Ok(Some(event)) => event,
                Ok(None) | Err(rxml::error::EndOrError::NeedMoreData) => return Err(ParseError::Truncated),
                Err(rxml::error::EndOrError::Error(error)) => return Err(of_xml(text.as_bytes(), rest, error)),
            };
            if let Some(element) = tree.take(event)? {
                let is_all = rest.iter().all(u8::is_ascii_whitespace);
                return if is_all { Ok(element) } else { Err(ParseError::TrailingData) };
            }
        }
    }
}

/// A parser of XMPP's kind of XML, with the limit on names and values.
pub(crate) fn restricted_parser() -> Parser {
    Parser::with_options(rxml::Options { max_token_length: MAX_TOKEN_BYTES, ..rxml::Options::default() })
}

/// The parser's error. It tells a document type declaration from other nonsense no more than by where it stopped.
pub(crate) fn of_xml(input: &[u8], rest: &[u8], error: rxml::Error) -> ParseError {
    let read = input.get(..input.len() - rest.len()).unwrap_or_default();
    let last = read.get(read.len().saturating_sub(b"<!E".len())..).unwrap_or_default();
    let is_declaration = last.windows(2).any(|pair| pair == b"<!");
    ParseError::Xml(if is_declaration { rxml::Error::RestrictedXml("document type declaration") } else { error })
}

/// Makes an element of a parser's events, within the limits.
#[derive(Debug, Default)]
pub(crate) struct TreeBuilder {
    /// Elements whose end has not come yet, the outermost first.
    open: Vec<Element>,
    /// Elements, attributes and texts so far.
    nodes: usize,
}

impl TreeBuilder {
    /// Whether no element is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The outermost of the open elements, as far as it is known.
    pub(crate) fn into_outermost(self) -> Option<Element> {
        self.open.into_iter().next()
    }

    /// Takes an event and answers the element that it completes.
    pub(crate) fn take(&mut self, event: Event) -> Result<Option<Element>, ParseError> {
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (ns, name), attrs) => {
                self.nodes += 1 + attrs.len();
                if attrs.len() > MAX_ATTRIBUTES {
                    return Err(ParseError::TooLarge);
                }
                if self.open.len() >= MAX_DEPTH {
                    return Err(ParseError::TooDeep);
                }
                let mut element = Element::new(String::from(name), ns.as_str().to_owned());
                for ((attr_ns, attr_name), value) in attrs {
                    if attr_ns.is_none() {
                        element.set_attr(String::from(attr_name), value);
                    } else if attr_ns == *rxml::Namespace::xml() {
                        element.set_attr(format!("xml:{attr_name}"), value);
                    } else if attr_ns.as_str() == ns::XBOSH {
                        element.set_attr(format!("xmpp:{attr_name}"), value);
                    }
                }
                self.open.push(element);
            }
            Event::Text(_, text) => {
                self.nodes += 1;
                if let Some(parent) = self.open.last_mut() {
                    parent.push_text(text);
                }
            }
            Event::EndElement(_) => {
                let Some(closed) = self.open.pop() else { return Err(ParseError::Truncated) };
                match self.open.last_mut() {
                    Some(parent) => parent.push(closed),
                    None => {
                        self.nodes = 0;
                        return Ok(Some(closed));
                    }
                }
            }
        }
        if self.nodes > MAX_NODES { Err(ParseError::TooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let text = "<presence xmlns='jabber:client' to='demo@muc.meet.example/abcd1234'>\
                    <x xmlns='http://jabber.org/protocol/muc'/><SourceInfo>{&quot;a&quot;:1}</SourceInfo></presence>";
        let presence: Element = text.parse().unwrap();
        assert!(presence.child("x", ns::MUC).is_some());
        assert_eq!(presence.child_named("SourceInfo").unwrap().text(), "{\"a\":1}");
        assert_eq!(presence.to_string(), text);
    }

    #[test]
    fn resolves_prefixes_and_keeps_the_language() {
        let text = "<s:features xmlns:s='http://etherx.jabber.org/streams' xml:lang='fr'/>";
        let features: Element = text.parse().unwrap();
        assert!(features.is("features", ns::STREAMS));
        assert_eq!(features.attr("xml:lang"), Some("fr"));
    }

    #[test]
    fn refuses_what_is_not_one_restricted_element() {
        assert!(matches!(Element::parse("<a/><b/>"), Err(ParseError::TrailingData | ParseError::Xml(_))));
        for bad in
            ["<a", "plain", "<a b=c/>", "<!DOCTYPE a><a/>", "<a>&x;</a>", "<a><!-- c --></a>", "<a></b>", "<p:a/>"]
        {
            assert!(Element::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_the_stream_error_of_each_kind_of_bad_text() {
        let condition = |text: &str| Element::parse(text).unwrap_err().condition();
        assert_eq!(condition("<a><!-- c --></a>"), StreamCondition::RestrictedXml);
        assert_eq!(condition("<a><?php?></a>"), StreamCondition::RestrictedXml);
        assert_eq!(condition("<!DOCTYPE a><a/>"), StreamCondition::RestrictedXml);
        assert_eq!(condition("<a><!ENTITY b 'c'></a>"), StreamCondition::RestrictedXml);
        assert_eq!(condition("<a>&b;</a>"), StreamCondition::RestrictedXml);
        assert_eq!(condition("<a></b>"), StreamCondition::NotWellFormed);
        assert_eq!(condition(&"<a>".repeat(MAX_DEPTH + 1)), StreamCondition::PolicyViolation);
    }

    #[test]
    fn refuses_deep_and_large_stanzas() {
        let deep = format!("{}{}", "<a>".repeat(MAX_DEPTH + 1), "</a>".repeat(MAX_DEPTH + 1));
        assert!(matches!(Element::parse(&deep), Err(ParseError::TooDeep)));
        let large = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES + 1));
        assert!(matches!(Element::parse(&large), Err(ParseError::TooLarge)));
        let with_attributes = |count| {
            let attributes: String = (0..count).map(|number| format!(" a{number}=''")).collect();
            Element::parse(&format!("<a{attributes}/>"))
        };
        assert!(with_attributes(MAX_ATTRIBUTES).is_ok());
        assert!(matches!(with_attributes(MAX_ATTRIBUTES + 1), Err(ParseError::TooLarge)));
    }
}
