//! Children of the focus's presence in a room.

use std::collections::BTreeMap;

use xmpp::{Element, ns};

/// `conference-properties`: facts of the conference for all clients, always sent as the whole set.
#[must_use]
pub fn conference_properties(properties: &BTreeMap<String, String>) -> Element {
    Element::new("conference-properties", ns::FOCUS).with_children(properties.iter().map(|(key, value)| {
        Element::new("property", ns::FOCUS).with_attr("key", key.as_str()).with_attr("value", value.as_str())
    }))
}

/// `versions`: which software runs the conference.
#[must_use]
pub fn versions(focus: &str) -> Element {
    Element::new("versions", ns::JITMEET)
        .with_child(Element::new("component", ns::JITMEET).with_attr("name", "focus").with_text(focus))
}

/// `etherpad`: the name of the room's shared document.
#[must_use]
pub fn etherpad(name: &str) -> Element {
    Element::new("etherpad", ns::ETHERPAD).with_text(name)
}

/// `bridgeNotAvailable`: no bridge can take the conference now.
#[must_use]
pub fn bridge_not_available() -> Element {
    Element::new("bridgeNotAvailable", ns::FOCUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_properties_by_key() {
        let properties = BTreeMap::from([("bridge-count".to_owned(), "1".to_owned())]);
        assert_eq!(
            conference_properties(&properties).to_string(),
            "<conference-properties xmlns='http://jitsi.org/protocol/focus'>\
             <property xmlns='http://jitsi.org/protocol/focus' key='bridge-count' value='1'/></conference-properties>"
        );
        assert!(versions("1").to_string().contains("name='focus'>1<"));
        assert_eq!(bridge_not_available().name(), "bridgeNotAvailable");
    }
}
