//! Ping (XEP-0199 2.0).

use crate::{Element, ns};

/// A ping as the payload of an IQ of type `get`.
#[must_use]
pub fn ping() -> Element {
    Element::new("ping", ns::PING)
}

/// Whether the stanza is a ping to answer with an empty result.
#[must_use]
pub fn is_ping(stanza: &Element) -> bool {
    stanza.is("iq", ns::CLIENT) && stanza.attr("type") == Some("get") && stanza.child("ping", ns::PING).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_is_a_ping() {
        let iq = |kind| Element::new("iq", ns::CLIENT).with_attr("type", kind).with_child(ping());
        assert!(is_ping(&iq("get")));
        assert!(!is_ping(&iq("result")));
    }
}
