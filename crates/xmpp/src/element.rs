//! A stanza as a tree of elements.

use std::borrow::Cow;
use std::fmt;

/// An XML element with its namespace resolved (RFC 6120 §11): no prefixes, no declarations among the attributes.
///
/// `xml:lang` is kept as the attribute `xml:lang`, those of XEP-0206 as `xmpp:…`, whatever the prefix was; attributes of
/// other namespaces do not exist in XMPP and are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Cow<'static, str>,
    attrs: Vec<(Cow<'static, str>, String)>,
    children: Vec<Node>,
}

/// What stands between an element's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

impl Element {
    /// An element without attributes and children.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ns: ns.into(), attrs: Vec::new(), children: Vec::new() }
    }

    /// Adds an attribute; for chained building.
    #[must_use]
    pub fn with_attr(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Adds an attribute when there is a value; for chained building.
    #[must_use]
    pub fn with_opt_attr(self, name: impl Into<Cow<'static, str>>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with_attr(name, value),
            None => self,
        }
    }

    /// Adds a child element; for chained building.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    /// Adds child elements in order; for chained building.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Adds character data; for chained building.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }

    /// Sets an attribute, replacing one of that name.
    pub fn set_attr(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attrs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.attrs.push((name, value)),
        }
    }

    /// Removes an attribute and answers the value that it had.
    pub fn remove_attr(&mut self, name: &str) -> Option<String> {
        let at = self.attrs.iter().position(|(known, _)| known == name)?;
        Some(self.attrs.remove(at).1)
    }

    pub(crate) fn set_ns(&mut self, ns: impl Into<Cow<'static, str>>) {
        self.ns = ns.into();
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.children
    }

    /// Adds a child element at the end.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// Adds character data at the end, joined to text that stands there already.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.children.last_mut() {
            Some(Node::Text(last)) => last.push_str(&text),
            Some(Node::Element(_)) | None => self.children.push(Node::Text(text)),
        }
    }

    /// Keeps the child elements for which `keep` answers true; text stays.
    pub fn retain_children(&mut self, mut keep: impl FnMut(&Element) -> bool) {
        self.children.retain(|node| match node {
            Node::Element(child) => keep(child),
            Node::Text(_) => true,
        });
    }

    /// The local name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace; empty for none.
    #[must_use]
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// Whether this is the element `name` of namespace `ns`.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All attributes in document order.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attrs.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Everything between the tags, in document order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.children
    }

    /// The child elements in document order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The child elements in document order, taken out of their parent.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.children.into_iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The child elements in document order, to be changed in place.
    pub fn children_mut(&mut self) -> impl Iterator<Item = &mut Element> {
        self.children.iter_mut().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The first child element `name` of namespace `ns`.
    #[must_use]
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The first child element `name` of whatever namespace: Jitsi's clients look at local names only in presence.
    #[must_use]
    pub fn child_named(&self, name: &str) -> Option<&Element> {
        self.children().find(|child| child.name() == name)
    }

    /// All child elements `name` of namespace `ns`.
    pub fn children_named<'a>(&'a self, name: &'a str, ns: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children().filter(move |child| child.is(name, ns))
    }

    /// Bytes of all names, namespaces, values and texts: what the element takes in memory, and about what it takes as
    /// text.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        let attrs: usize = self.attrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let children = self.children.iter().map(|node| match node {
            Node::Element(child) => child.byte_len(),
            Node::Text(text) => text.len(),
        });
        self.name.len() + self.ns.len() + attrs + children.sum::<usize>()
    }

    /// The character data directly below this element, joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }
}

impl fmt::Display for Element {
    /// The XML text, see `write.rs` for where namespaces are declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_covers_everything_that_is_kept() {
        let element: Element = "<a xmlns='ns' b='cd'>text<e xmlns='ns'/></a>".parse().unwrap();
        assert_eq!(element.byte_len(), "a".len() + "ns".len() + "bcd".len() + "text".len() + "e".len() + "ns".len());
    }
}
