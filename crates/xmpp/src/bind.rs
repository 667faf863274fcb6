//! Resource binding (RFC 6120 §7).

use crate::{Element, InvalidJid, Jid, iq_result, ns};

/// The stream feature after authentication.
#[must_use]
pub fn feature() -> Element {
    Element::new("bind", ns::BIND).with_child(Element::new("required", ns::BIND))
}

/// A client's request, with a wanted resource or without.
#[must_use]
pub fn request(id: &str, resource: Option<&str>) -> Element {
    let mut bind = Element::new("bind", ns::BIND);
    if let Some(resource) = resource {
        bind.push(Element::new("resource", ns::BIND).with_text(resource));
    }
    Element::new("iq", ns::CLIENT).with_attr("type", "set").with_attr("id", id).with_child(bind)
}

/// Whether the stanza asks for a resource, and which: `Some(None)` leaves the choice to the server.
#[must_use]
pub fn requested_resource(stanza: &Element) -> Option<Option<String>> {
    if !stanza.is("iq", ns::CLIENT) || stanza.attr("type") != Some("set") {
        return None;
    }
    let bind = stanza.child("bind", ns::BIND)?;
    Some(bind.child("resource", ns::BIND).map(Element::text).filter(|resource| !resource.is_empty()))
}

/// The server's answer with the full JID. Without addresses: the stream has none before it is bound.
#[must_use]
pub fn result(request: &Element, jid: &Jid) -> Element {
    let mut result = iq_result(request);
    result.remove_attr("from");
    result.remove_attr("to");
    result.with_child(Element::new("bind", ns::BIND).with_child(Element::new("jid", ns::BIND).with_text(jid.as_str())))
}

/// The full JID in the server's answer; `None` when the answer is of another kind.
#[must_use]
pub fn bound_jid(answer: &Element) -> Option<Result<Jid, InvalidJid>> {
    Some(answer.child("bind", ns::BIND)?.child("jid", ns::BIND)?.text().parse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_and_result_read_as_written() {
        let request = request("b1", Some("focus"));
        assert_eq!(requested_resource(&request), Some(Some("focus".to_owned())));
        let jid: Jid = "focus@auth.meet.example/focus".parse().unwrap();
        let result = result(&request, &jid);
        assert_eq!(bound_jid(&result), Some(Ok(jid)));
        assert_eq!(result.attr("id"), Some("b1"));
        assert_eq!(requested_resource(&super::request("b2", None)), Some(None));
        assert_eq!(requested_resource(&result), None);
    }

    #[test]
    fn every_child_of_the_result_carries_its_namespace() {
        let result = result(&request("_bind_auth_2", None), &"n@meet.example/r".parse().unwrap());
        assert_eq!(
            result.to_string(),
            "<iq xmlns='jabber:client' type='result' id='_bind_auth_2'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid xmlns='urn:ietf:params:xml:ns:xmpp-bind'>n@meet.example/r</jid></bind></iq>"
        );
    }
}
