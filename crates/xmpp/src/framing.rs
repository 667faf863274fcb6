//! WebSocket framing (RFC 7395 §3): how a stream opens and closes when each frame is one element.

use crate::{Element, ns};

/// The closing frame as text.
///
/// COMPAT: Jitsi's Strophe fork (v1.5-jitsi) compares an incoming frame with exactly this text, double quotes and the
/// space before `/>` included; any other spelling of the same XML is not seen as the end of the stream.
pub const CLOSE: &str = "<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" />";

/// The server's opening frame (RFC 7395 §3.4).
#[must_use]
pub fn server_open(from: &str, stream_id: &str) -> Element {
    Element::new("open", ns::FRAMING)
        .with_attr("from", from)
        .with_attr("id", stream_id)
        .with_attr("version", "1.0")
        .with_attr("xml:lang", "en")
}

/// A client's opening frame.
#[must_use]
pub fn client_open(to: &str) -> Element {
    Element::new("open", ns::FRAMING).with_attr("to", to).with_attr("version", "1.0")
}

/// Whether the frame opens a stream.
#[must_use]
pub fn is_open(frame: &Element) -> bool {
    frame.is("open", ns::FRAMING)
}

/// Whether the frame closes the stream (RFC 7395 §3.6).
#[must_use]
pub fn is_close(frame: &Element) -> bool {
    frame.is("close", ns::FRAMING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_frame_starts_with_the_literal_that_clients_look_for() {
        assert_eq!(
            server_open("meet.example", "s1").to_string(),
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='meet.example' id='s1' version='1.0' xml:lang='en'/>"
        );
    }

    #[test]
    fn closing_frame_is_a_close_element() {
        assert!(is_close(&CLOSE.parse().unwrap()));
        assert!(is_open(&client_open("meet.example")));
    }
}
