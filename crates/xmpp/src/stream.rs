//! Stream features and stream errors (RFC 6120 §4.3, §4.9).

use crate::{Element, ns};

/// The conditions of stream errors that the project uses (RFC 6120 §4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6120 §4.9.3")]
pub enum StreamCondition {
    Conflict,
    ConnectionTimeout,
    HostUnknown,
    ImproperAddressing,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    ResourceConstraint,
    RestrictedXml,
    SystemShutdown,
    UndefinedCondition,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl StreamCondition {
    /// The element name of the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::InvalidFrom => "invalid-from",
            Self::InvalidNamespace => "invalid-namespace",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::ResourceConstraint => "resource-constraint",
            Self::RestrictedXml => "restricted-xml",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }
}

/// The `stream:features` element with what the server offers.
#[must_use]
pub fn features(offers: impl IntoIterator<Item = Element>) -> Element {
    Element::new("features", ns::STREAMS).with_children(offers)
}

/// The stream feature that offers TLS (RFC 6120 §5.4.1).
#[must_use]
pub fn starttls(is_required: bool) -> Element {
    let required = is_required.then(|| Element::new("required", ns::TLS));
    Element::new("starttls", ns::TLS).with_children(required)
}

/// The `stream:error` element; the stream ends after it.
#[must_use]
pub fn stream_error(condition: StreamCondition, text: Option<&str>) -> Element {
    let error = Element::new("error", ns::STREAMS).with_child(Element::new(condition.as_str(), ns::XMPP_STREAMS));
    match text {
        Some(text) => error.with_child(Element::new("text", ns::XMPP_STREAMS).with_text(text)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_a_stream_error_carry_their_namespace() {
        assert_eq!(
            stream_error(StreamCondition::HostUnknown, Some("no")).to_string(),
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no</text></stream:error>"
        );
    }
}
