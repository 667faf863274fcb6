//! Elements to text.
//!
//! Stock Jitsi clients compare literal `xmlns` attributes (`getAttribute('xmlns')`), so an element whose namespace
//! matters declares it even where XML would let it inherit. Only plain stanza children (`jabber:client`, or that of
//! components) and what stands inside SASL elements inherit, as the clients expect of those.

use std::fmt::{self, Write};

use crate::{Element, Node, ns};

/// Namespaces whose elements need no declaration below a parent of the same namespace.
const INHERITED: [&str; 3] = [ns::CLIENT, ns::COMPONENT_ACCEPT, ns::SASL];

impl Element {
    /// Writes the element as XML text.
    ///
    /// # Errors
    /// Only what `out` itself answers.
    pub fn write_to(&self, out: &mut impl Write) -> fmt::Result {
        self.write_below(None, out)
    }

    fn write_below(&self, parent_ns: Option<&str>, out: &mut impl Write) -> fmt::Result {
        let is_stream_element = self.ns() == ns::STREAMS;
        let prefix = if is_stream_element { "stream:" } else { "" };
        write!(out, "<{prefix}{}", self.name())?;
        if is_stream_element {
            write!(out, " xmlns:stream='{}'", ns::STREAMS)?;
        } else if parent_ns != Some(self.ns()) || !INHERITED.contains(&self.ns()) {
            out.write_str(" xmlns='")?;
            escape_attr(self.ns(), out)?;
            out.write_char('\'')?;
        }
        for (name, value) in self.attrs() {
            write!(out, " {name}='")?;
            escape_attr(value, out)?;
            out.write_char('\'')?;
        }
        if self.nodes().is_empty() {
            return out.write_str("/>");
        }
        out.write_char('>')?;
        for node in self.nodes() {
            match node {
                Node::Text(text) => escape(text, out)?,
                // The prefix `stream` leaves the default namespace alone: children have to declare their own.
                Node::Element(child) => child.write_below((!is_stream_element).then_some(self.ns()), out)?,
            }
        }
        write!(out, "</{prefix}{}>", self.name())
    }
}

/// As [`escape`], and with tabs and line feeds as references: a parser turns plain ones into spaces (XML 1.0 §3.3.3).
pub(crate) fn escape_attr(value: &str, out: &mut impl Write) -> fmt::Result {
    for part in value.split_inclusive(['\t', '\n']) {
        let rest = part.trim_end_matches(['\t', '\n']);
        escape(rest, out)?;
        if rest.len() < part.len() {
            out.write_str(if part.ends_with('\t') { "&#9;" } else { "&#10;" })?;
        }
    }
    Ok(())
}

/// Writes `text` with the five predefined entities (XML 1.0 §4.6). Characters that XML cannot carry are left out.
fn escape(text: &str, out: &mut impl Write) -> fmt::Result {
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        let replacement = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '\'' => "&apos;",
            '"' => "&quot;",
            '\r' => "&#13;",
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => continue,
            // XML 1.0 §2.2 Char: no control characters but tab, line feed and carriage return, no non-characters.
            _ => "",
        };
        out.write_str(text.get(plain_from..at).unwrap_or_default())?;
        out.write_str(replacement)?;
        plain_from = at + c.len_utf8();
    }
    out.write_str(text.get(plain_from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declares_the_namespace_of_each_child_but_of_plain_stanza_children() {
        let iq = Element::new("iq", ns::CLIENT).with_attr("type", "set").with_child(
            Element::new("jingle", ns::JINGLE).with_child(Element::new("content", ns::JINGLE).with_attr("name", "a'b")),
        );
        assert_eq!(
            iq.to_string(),
            "<iq xmlns='jabber:client' type='set'><jingle xmlns='urn:xmpp:jingle:1'>\
             <content xmlns='urn:xmpp:jingle:1' name='a&apos;b'/></jingle></iq>"
        );
        let message =
            Element::new("message", ns::CLIENT).with_child(Element::new("body", ns::CLIENT).with_text("1 < 2"));
        assert_eq!(message.to_string(), "<message xmlns='jabber:client'><body>1 &lt; 2</body></message>");
    }

    #[test]
    fn sasl_failure_has_the_form_that_the_stock_client_matches() {
        let failure = Element::new("failure", ns::SASL)
            .with_child(Element::new("not-allowed", ns::SASL))
            .with_child(Element::new("text", ns::SASL).with_text("token required"));
        assert!(failure.to_string().ends_with("<not-allowed/><text>token required</text></failure>"));
    }

    #[test]
    fn stream_features_carry_the_prefix_and_children_their_own_namespace() {
        let features = Element::new("features", ns::STREAMS).with_child(Element::new("bind", ns::BIND));
        assert_eq!(
            features.to_string(),
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
        );
    }

    #[test]
    fn white_space_in_an_attribute_comes_back_as_it_was() {
        let element = Element::new("a", ns::CLIENT).with_attr("b", "1\n\t2\r\n");
        assert_eq!(element.to_string(), "<a xmlns='jabber:client' b='1&#10;&#9;2&#13;&#10;'/>");
        assert_eq!(Element::parse(&element.to_string()).unwrap(), element);
    }

    #[test]
    fn leaves_out_characters_that_xml_cannot_carry() {
        let body = Element::new("body", ns::CLIENT).with_text("a\u{0}b\u{ffff}c\r");
        assert_eq!(body.to_string(), "<body xmlns='jabber:client'>abc&#13;</body>");
    }
}
