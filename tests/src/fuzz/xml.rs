//! Stanzas, as they come in a WebSocket frame (`xmpp`).

use xmpp::Element;

/// One frame of XMPP over WebSocket: what parses is written and read back as the same element.
pub fn xml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(element) = Element::parse(text) else { return };
    let written = element.to_string();
    match Element::parse(&written) {
        Ok(again) => assert_eq!(again, element, "{written}"),
        Err(error) => panic!("wrote what does not parse ({error}): {written}"),
    }
}
