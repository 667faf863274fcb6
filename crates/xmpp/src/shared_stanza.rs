//! One stanza for many receivers: it is written once, and only `to` differs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::Element;
use crate::write::escape_attr;

/// A stanza without `to`. The first receiver's connection writes it, all others use that text.
#[derive(Debug)]
pub struct SharedStanza {
    element: Element,
    byte_len: usize,
    text: OnceLock<Text>,
}

#[derive(Debug)]
struct Text {
    text: String,
    /// Where an attribute may be put in.
    attr_at: usize,
}

impl SharedStanza {
    /// Takes a stanza; its `to` is dropped.
    #[must_use]
    pub fn new(mut element: Element) -> Self {
        element.remove_attr("to");
        let byte_len = element.byte_len();
        Self { element, byte_len, text: OnceLock::new() }
    }

    /// The stanza, without `to`.
    #[must_use]
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// What it takes in memory, and about what it takes as text: see [`Element::byte_len`].
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.byte_len
    }

    fn text(&self) -> &Text {
        self.text.get_or_init(|| {
            let text = self.element.to_string();
            // The first attribute is the declaration of the namespace, whose value has no quote in it.
            let attr_at = text.match_indices('\'').nth(1).map_or(text.len(), |(at, quote)| at + quote.len());
            Text { text, attr_at }
        })
    }
}

/// A shared stanza on its way to one receiver.
#[derive(Clone, Debug)]
pub struct AddressedStanza {
    stanza: Arc<SharedStanza>,
    to: Arc<str>,
}

impl AddressedStanza {
    /// The stanza with a receiver.
    #[must_use]
    pub fn new(stanza: Arc<SharedStanza>, to: Arc<str>) -> Self {
        Self { stanza, to }
    }

    /// See [`SharedStanza::byte_len`].
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.stanza.byte_len + self.to.len()
    }

    /// The stanza as text, in one piece of memory.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.stanza.text().text.len() + self.to.len() + ADDRESS_BYTES);
        // Writing to a string cannot fail.
        let _ = self.write_to(&mut text);
        text
    }

    fn write_to(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let Text { text, attr_at } = self.stanza.text();
        let (head, tail) = text.split_at_checked(*attr_at).unwrap_or((text, ""));
        out.write_str(head)?;
        out.write_str(" to='")?;
        escape_attr(&self.to, out)?;
        out.write_char('\'')?;
        out.write_str(tail)
    }

    /// The stanza as one of its own, for who does not need it as text.
    #[must_use]
    pub fn to_element(&self) -> Element {
        self.stanza.element.clone().with_attr("to", &*self.to)
    }
}

impl fmt::Display for AddressedStanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

/// What an address takes besides its text.
const ADDRESS_BYTES: usize = " to=''".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_receiver_gets_the_stanza_with_its_own_address() {
        let presence: Element =
            "<presence xmlns='jabber:client' from='r@m/n' to='old'><x xmlns='u' a='b'>t</x></presence>"
                .parse()
                .unwrap();
        let shared = Arc::new(SharedStanza::new(presence.clone()));
        for to in ["a@b/c", "a@b/it's <me> & you"] {
            let addressed = AddressedStanza::new(Arc::clone(&shared), to.into());
            let read: Element = addressed.to_string().parse().unwrap();
            assert_eq!(addressed.to_text(), addressed.to_string());
            let expected: Element = presence.clone().with_attr("to", to).to_string().parse().unwrap();
            assert_eq!(read, expected);
            assert_eq!(addressed.to_element().attr("to"), Some(to));
        }
    }

    #[test]
    fn an_empty_stanza_takes_an_address_too() {
        let shared = Arc::new(SharedStanza::new(Element::new("presence", crate::ns::CLIENT)));
        assert_eq!(
            AddressedStanza::new(shared, "a@b".into()).to_string(),
            "<presence xmlns='jabber:client' to='a@b'/>"
        );
    }
}
