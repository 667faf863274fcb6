//! External components (XEP-0114): the handshake of a service that connects to the server.

use crate::{Element, ns};

/// What the component shows that it knows the secret with: lower-case hex of a SHA-1 over stream id and secret (§3).
#[must_use]
pub fn handshake(digest: &str) -> Element {
    Element::new("handshake", ns::COMPONENT_ACCEPT).with_text(digest)
}

/// The server's agreement (§3).
#[must_use]
pub fn accepted() -> Element {
    Element::new("handshake", ns::COMPONENT_ACCEPT)
}

/// The digest in a handshake; `None` when the element is another.
#[must_use]
pub fn digest_of(element: &Element) -> Option<String> {
    (element.name() == "handshake" && matches!(element.ns(), ns::COMPONENT_ACCEPT | ns::CLIENT))
        .then(|| element.text().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_reads_as_written() {
        assert_eq!(digest_of(&handshake("ab12")), Some("ab12".to_owned()));
        assert_eq!(accepted().to_string(), "<handshake xmlns='jabber:component:accept'/>");
        assert_eq!(digest_of(&"<message xmlns='jabber:client'/>".parse().unwrap()), None);
    }
}
