//! Streams over TCP as text (RFC 6120 §4, XEP-0114 §4): the core knows the opening and the end of a stream as the frames
//! of a WebSocket, and stanzas in the namespace of clients.

use std::fmt::Write;

use xmpp::{Element, framing, ns};

use crate::{BadFrame, Frame};

/// Whose stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Of a client.
    Client,
    /// Of a component.
    Component,
}

impl Dialect {
    /// The end of a stream.
    pub(super) const CLOSE: &str = "</stream:stream>";

    /// The opening frame that stands for a header.
    pub(super) fn open_of(self, header: &Element) -> Result<Element, BadFrame> {
        if !header.is("stream", ns::STREAMS) {
            return Err(BadFrame::InvalidNamespace);
        }
        let major = header.attr("version").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        if self == Self::Client && major.is_none_or(|major| major < 1) {
            return Err(BadFrame::UnsupportedVersion);
        }
        Ok(Element::new("open", ns::FRAMING).with_opt_attr("to", header.attr("to")).with_attr("version", "1.0"))
    }

    /// The closing frame that stands for the end of a stream.
    pub(super) fn close_frame() -> Element {
        Element::new("close", ns::FRAMING)
    }

    /// An element as the core knows it.
    pub(super) fn read(self, mut element: Element) -> Element {
        if self == Self::Component {
            element.change_ns(ns::COMPONENT_ACCEPT, ns::CLIENT);
        }
        element
    }

    /// Adds the text of a frame.
    pub(super) fn write(self, frame: &Frame, text: &mut String) {
        match frame {
            Frame::Element(element) if framing::is_open(element) => self.write_header(element, text),
            Frame::Element(element) => write_text(element, text),
            Frame::Stanza(stanza) if self == Self::Component => {
                let mut stanza = stanza.to_element();
                stanza.change_ns(ns::CLIENT, ns::COMPONENT_ACCEPT);
                write_text(&stanza, text);
            }
            Frame::Stanza(stanza) => write_text(stanza, text),
            Frame::StartTls => write_text(&Element::new("proceed", ns::TLS), text),
            Frame::Trust => {}
            Frame::Close => text.push_str(Self::CLOSE),
        }
    }

    fn write_header(self, open: &Element, text: &mut String) {
        let content = match self {
            Self::Client => ns::CLIENT,
            Self::Component => ns::COMPONENT_ACCEPT,
        };
        let mut header = Element::new("stream", ns::STREAMS).with_attr("xmlns", content);
        for (name, value) in open.attrs().filter(|(name, _)| self == Self::Client || matches!(*name, "from" | "id")) {
            header.set_attr(name.to_owned(), value);
        }
        // It is the only element that is opened and not closed.
        let header = header.to_string();
        let _ = write!(text, "<?xml version='1.0'?>{}>", header.strip_suffix("/>").unwrap_or(&header));
    }
}

/// Writing to a string cannot fail.
fn write_text(item: &impl std::fmt::Display, text: &mut String) {
    let _ = write!(text, "{item}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xmpp::{AddressedStanza, SharedStanza};

    use super::*;

    fn written(dialect: Dialect, frame: Frame) -> String {
        let mut text = String::new();
        dialect.write(&frame, &mut text);
        text
    }

    #[test]
    fn the_header_is_open_and_names_the_content() {
        let open = || Frame::Element(Arc::new(framing::server_open("meet.example", "s1")));
        assert_eq!(
            written(Dialect::Client, open()),
            "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' \
             from='meet.example' id='s1' version='1.0' xml:lang='en'>"
        );
        assert_eq!(
            written(Dialect::Component, open()),
            "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
             xmlns='jabber:component:accept' from='meet.example' id='s1'>"
        );
    }

    #[test]
    fn a_component_reads_and_writes_its_own_namespace() {
        let message = "<message xmlns='jabber:client' to='a@gate/r'><body>b</body></message>";
        let shared = Arc::new(SharedStanza::new(message.parse().unwrap()));
        let stanza = Frame::Stanza(AddressedStanza::new(shared, "a@gate/r".into()));
        assert_eq!(written(Dialect::Client, stanza.clone()), message);
        let of_component = written(Dialect::Component, stanza);
        assert_eq!(of_component, "<message xmlns='jabber:component:accept' to='a@gate/r'><body>b</body></message>");
        assert_eq!(Dialect::Component.read(of_component.parse().unwrap()).to_string(), message);
    }

    #[test]
    fn headers_of_other_protocols_and_old_versions_are_told_apart() {
        let open = |dialect: Dialect, text: &str| dialect.open_of(&text.parse().unwrap());
        let client = "<s:stream xmlns:s='http://etherx.jabber.org/streams' to='d' version='1.0'/>";
        assert_eq!(open(Dialect::Client, client).unwrap().attr("to"), Some("d"));
        let old = "<s:stream xmlns:s='http://etherx.jabber.org/streams' to='d'/>";
        assert_eq!(open(Dialect::Client, old), Err(BadFrame::UnsupportedVersion));
        assert!(open(Dialect::Component, old).is_ok());
        assert_eq!(open(Dialect::Client, "<stream to='d' version='1.0'/>"), Err(BadFrame::InvalidNamespace));
    }
}
