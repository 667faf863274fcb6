//! JSON in messages, as components, rooms and clients exchange it (signaling.md §6).

use serde_json::Value;
use xmpp::{Element, Jid, ns};

/// A message of a component. The receiver is added when it is sent.
pub(crate) fn message(from: &Jid, json: &Value) -> Element {
    Element::new("message", ns::CLIENT).with_attr("from", from.as_str()).with_child(element(json))
}

/// The element that carries JSON.
pub(crate) fn element(json: &Value) -> Element {
    Element::new("json-message", ns::JITMEET).with_text(json.to_string())
}

/// The JSON in a message; `None` when there is none.
pub(crate) fn of_message(message: &Element) -> Option<Value> {
    serde_json::from_str(&text_of_message(message)?).ok()
}

/// The JSON in a message, not parsed yet.
pub(crate) fn text_of_message(message: &Element) -> Option<String> {
    let element = message.child("json-message", ns::JITMEET).or_else(|| message.child("json-message", ns::CLIENT))?;
    Some(element.text())
}
