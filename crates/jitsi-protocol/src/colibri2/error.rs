//! Refusals: the stanza error with Jitsi's reason.

use model::EndpointId;
use xmpp::jingle::InvalidElement;
use xmpp::{Condition, Element, StanzaError, ns};

/// `reason` of a Colibri2 error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bridge has no such conference.
    ConferenceNotFound,
    /// The conference exists already.
    ConferenceAlreadyExists,
    /// The bridge cannot do what was asked.
    FeatureNotImplemented,
    /// The bridge takes no new conferences.
    GracefulShutdown,
    /// The conference has no such endpoint.
    UnknownEndpoint,
    /// Anything else.
    Unspecified,
}

impl Reason {
    const TABLE: [(Reason, &'static str); 6] = [
        (Self::ConferenceNotFound, "conference_not_found"),
        (Self::ConferenceAlreadyExists, "conference_already_exists"),
        (Self::FeatureNotImplemented, "feature_not_implemented"),
        (Self::GracefulShutdown, "graceful_shutdown"),
        (Self::UnknownEndpoint, "unknown_endpoint"),
        (Self::Unspecified, "unspecified"),
    ];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(reason, _)| *reason == self).map_or("unspecified", |&(_, name)| name)
    }

    /// The reason of that name, in any case; one that is not known counts as [`Reason::Unspecified`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = Self::TABLE.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        known.map_or(Self::Unspecified, |&(reason, _)| reason)
    }
}

/// A request that the bridge refused (bridge.md §1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColibriError {
    /// The stanza error's condition.
    pub condition: Condition,
    /// Jitsi's reason.
    pub reason: Option<Reason>,
    /// The endpoint concerned, for [`Reason::UnknownEndpoint`].
    pub endpoint: Option<EndpointId>,
    /// Words for a reader.
    pub text: String,
}

impl ColibriError {
    /// A refusal with a condition, a reason and words.
    #[must_use]
    pub fn new(condition: Condition, reason: Option<Reason>, text: impl Into<String>) -> Self {
        Self { condition, reason, endpoint: None, text: text.into() }
    }

    /// The `error` of the answering stanza.
    #[must_use]
    pub fn to_stanza_error(&self) -> StanzaError {
        let mut error = StanzaError::new(self.condition);
        if !self.text.is_empty() {
            error = error.with_text(self.text.as_str());
        }
        if let Some(reason) = self.reason {
            error = error.with_extension(Element::new("error", ns::COLIBRI2).with_attr("reason", reason.as_str()));
        }
        if let Some(endpoint) = &self.endpoint {
            error = error.with_extension(Element::new("endpoint", ns::COLIBRI2).with_attr("id", endpoint.as_str()));
        }
        error
    }

    /// Reads the error of an answer; Jitsi's children may be missing.
    #[must_use]
    pub fn from_stanza_error(error: &StanzaError) -> Self {
        let find = |name| error.extensions.iter().find(|child| child.is(name, ns::COLIBRI2));
        let details = find("error");
        // The echoed endpoint stands beside Jitsi's `error`, or inside it.
        let endpoint = find("endpoint").or_else(|| details.and_then(|details| details.child_named("endpoint")));
        Self {
            condition: error.condition,
            reason: details.and_then(|details| details.attr("reason")).map(Reason::from_name),
            endpoint: endpoint.and_then(|endpoint| endpoint.attr("id")).and_then(|id| id.parse().ok()),
            text: error.text.clone().unwrap_or_default(),
        }
    }
}

impl From<InvalidElement> for ColibriError {
    fn from(error: InvalidElement) -> Self {
        Self::new(Condition::BadRequest, Some(Reason::Unspecified), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_reason_and_endpoint_on_the_wire() {
        let mut refusal = ColibriError::new(Condition::ItemNotFound, Some(Reason::UnknownEndpoint), "no such endpoint");
        refusal.endpoint = Some("a1b2c3d4".parse().unwrap());
        let request: Element = "<iq xmlns='jabber:client' type='get' id='1' from='a@b/c' to='d@e/f'/>".parse().unwrap();
        let answer: Element = xmpp::iq_error(&request, &refusal.to_stanza_error()).to_string().parse().unwrap();
        assert_eq!(ColibriError::from_stanza_error(&StanzaError::of_stanza(&answer)), refusal);
    }

    #[test]
    fn reads_an_error_that_is_not_from_the_bridge() {
        let refusal = ColibriError::from_stanza_error(&StanzaError::new(Condition::ItemNotFound));
        assert_eq!((refusal.condition, refusal.reason, refusal.endpoint), (Condition::ItemNotFound, None, None));
    }

    #[test]
    fn names_every_reason() {
        for (reason, name) in Reason::TABLE {
            assert_eq!((Reason::from_name(name), reason.as_str()), (reason, name));
        }
        assert_eq!(Reason::from_name("new_reason"), Reason::Unspecified);
    }
}
