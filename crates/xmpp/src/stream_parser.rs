//! A stream of bytes to elements (RFC 6120 §4): the header of the stream, its stanzas one by one, its end.
//!
//! Here: where one item ends and how large it may be. Not here: what the items mean (`signaling`).

use rxml::{Event, Parse, Parser};

use crate::parse::{ParseError, TreeBuilder, of_xml, restricted_parser};
use crate::{Element, Node};

/// What stands in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// The header: the root element with its attributes.
    Open(Element),
    /// A child of the root: a stanza, or another element of the first level.
    Element(Element),
    /// The end of the root.
    Close,
}

/// Parses one stream. After TLS or SASL a stream starts anew, and so does its parser (RFC 6120 §4.3.3).
#[derive(Debug)]
pub struct StreamParser {
    parser: Parser,
    root: Option<TreeBuilder>,
    /// Bytes since the last item.
    bytes: usize,
    max_item_bytes: usize,
    /// Whether the last item was the header, whose end may have come with it.
    is_after_header: bool,
}

impl StreamParser {
    /// A parser that takes items of so many bytes.
    #[must_use]
    pub fn new(max_item_bytes: usize) -> Self {
        Self { parser: restricted_parser(), root: None, bytes: 0, max_item_bytes, is_after_header: false }
    }

    /// Forgets everything: the next byte begins a stream.
    pub fn restart(&mut self) {
        *self = Self::new(self.max_item_bytes);
    }

    /// Changes how large an item may be.
    pub fn set_max_item_bytes(&mut self, max_item_bytes: usize) {
        self.max_item_bytes = max_item_bytes;
    }

    /// The next item in `input`, which is shortened by what was read; `None` when there is more to come.
    ///
    /// # Errors
    /// [`ParseError`]; nothing after it can be made sense of.
    pub fn parse(&mut self, input: &mut &[u8]) -> Result<Option<StreamItem>, ParseError> {
        if std::mem::take(&mut self.is_after_header)
            && let Ok(Some(Event::EndElement(_))) = self.parser.parse(&mut [].as_slice(), false)
        {
            // A header that closes itself: its end stands before whatever comes behind it.
            return Ok(Some(StreamItem::Close));
        }
        loop {
            if self.bytes == 0 && self.root.as_ref().is_none_or(TreeBuilder::is_empty) {
                // White space between stanzas keeps connections alive (RFC 6120 §4.6.1).
                *input = input.trim_ascii_start();
                if input.first().is_some_and(|byte| *byte != b'<') {
                    return Err(ParseError::TextBetweenStanzas);
                }
            }
            let before = *input;
            let event = self.parser.parse(input, false);
            self.bytes += before.len() - input.len();
            let is_too_large = self.bytes > self.max_item_bytes;
            let event = match event {
                Ok(Some(event)) if !is_too_large => event,
                Ok(None) => return Ok(None),
                Err(rxml::error::EndOrError::NeedMoreData) if !is_too_large => return Ok(None),
                Ok(Some(_)) | Err(rxml::error::EndOrError::NeedMoreData) => return Err(ParseError::TooLarge),
                Err(rxml::error::EndOrError::Error(error)) => return Err(of_xml(before, input, error)),
            };
            if let Some(item) = self.take(event)? {
                self.bytes = 0;
                return Ok(Some(item));
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<StreamItem>, ParseError> {
        let Some(tree) = &mut self.root else {
            let mut header = TreeBuilder::default();
            header.take(event)?;
            let Some(header) = header.into_outermost() else { return Ok(None) };
            self.root = Some(TreeBuilder::default());
            self.is_after_header = true;
            return Ok(Some(StreamItem::Open(header)));
        };
        if tree.is_empty() {
            match &event {
                Event::EndElement(_) => return Ok(Some(StreamItem::Close)),
                Event::Text(..) => return Err(ParseError::TextBetweenStanzas),
                Event::StartElement(..) | Event::XmlDeclaration(..) => {}
            }
        }
        Ok(tree.take(event)?.map(StreamItem::Element))
    }
}

impl Element {
    /// Moves the element and its children from one namespace to another; children of other namespaces stay. A stanza
    /// means the same in the namespaces of clients and components (RFC 6120 §4.8.3, XEP-0114 §4).
    pub fn change_ns(&mut self, from: &str, to: &'static str) {
        if self.ns() == from {
            self.set_ns(to);
        }
        for node in self.nodes_mut() {
            match node {
                Node::Element(child) if child.ns() == from => child.change_ns(from, to),
                Node::Element(_) | Node::Text(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ns;
    use crate::stream::StreamCondition;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream to='d' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";

    /// All items of a text that comes in pieces of `piece` bytes.
    fn items(text: &str, piece: usize) -> Result<Vec<StreamItem>, ParseError> {
        let mut parser = StreamParser::new(1000);
        let mut items = Vec::new();
        for mut piece in text.as_bytes().chunks(piece) {
            while let Some(item) = parser.parse(&mut piece)? {
                items.push(item);
            }
        }
        Ok(items)
    }

    #[test]
    fn items_are_the_same_however_the_bytes_are_cut() {
        let text =
            format!("{HEADER} <message><body>a &lt; b</body></message>\n<r xmlns='urn:xmpp:sm:3'/></stream:stream>");
        let whole = items(&text, usize::MAX).unwrap();
        assert_eq!(whole.len(), 4);
        let StreamItem::Open(header) = &whole[0] else { panic!("{whole:?}") };
        assert!(header.is("stream", ns::STREAMS));
        assert_eq!((header.attr("to"), header.attr("version")), (Some("d"), Some("1.0")));
        let StreamItem::Element(message) = &whole[1] else { panic!("{whole:?}") };
        assert_eq!(message.child("body", ns::CLIENT).unwrap().text(), "a < b");
        assert_eq!(whole[3], StreamItem::Close);
        for piece in 1..20 {
            assert_eq!(items(&text, piece).unwrap(), whole, "{piece} bytes at a time");
        }
    }

    #[test]
    fn a_header_that_closes_itself_ends_the_stream_whatever_comes_behind_it_and_however_it_is_cut() {
        for behind in ["", " ", "-<iq/>", "<iq/>", "x"] {
            let text = format!("<usence/>{behind}");
            for piece in [1, 2, 9, 10, usize::MAX] {
                let mut parser = StreamParser::new(1000);
                let mut items = Vec::new();
                'stream: for mut piece in text.as_bytes().chunks(piece) {
                    loop {
                        match parser.parse(&mut piece) {
                            Ok(Some(item)) => items.push(item),
                            Ok(None) => break,
                            Err(_) => break 'stream,
                        }
                    }
                }
                assert_eq!(
                    items,
                    [StreamItem::Open("<usence/>".parse().unwrap()), StreamItem::Close],
                    "{text} {piece}"
                );
            }
        }
    }

    #[test]
    fn an_item_has_a_limit_while_it_is_still_coming_and_the_stream_has_none() {
        let long = format!("{HEADER}{}", "<message/> ".repeat(1000));
        assert_eq!(items(&long, 7).unwrap().len(), 1001);
        let spaces = format!("{HEADER}{}<message/>", " ".repeat(5000));
        assert_eq!(items(&spaces, 7).unwrap().len(), 2);
        for unfinished in
            ["<message><body>".to_owned() + &"x".repeat(1000), format!("<message a='{}", "x".repeat(1000))]
        {
            let error = items(&format!("{HEADER}{unfinished}"), 7).unwrap_err();
            assert_eq!(error.condition(), StreamCondition::PolicyViolation, "{error}");
        }
    }

    #[test]
    fn text_between_stanzas_and_a_second_root_are_errors() {
        assert!(items(&format!("{HEADER}hello<message/>"), 100).is_err());
        assert!(items(&format!("{HEADER}</stream:stream><message/>"), 100).is_err());
        assert!(items("GET / HTTP/1.1\r\n\r\n", 100).is_err());
    }

    #[test]
    fn a_stanza_changes_its_namespace_down_to_what_is_of_another() {
        let mut stanza: Element =
            "<message xmlns='jabber:component:accept'><body/><x xmlns='u'><y xmlns='jabber:component:accept'/></x></message>"
                .parse()
                .unwrap();
        stanza.change_ns(ns::COMPONENT_ACCEPT, ns::CLIENT);
        assert_eq!(
            stanza.to_string(),
            "<message xmlns='jabber:client'><body/><x xmlns='u'><y xmlns='jabber:component:accept'/></x></message>"
        );
    }
}
