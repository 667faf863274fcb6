//! What all three kinds of stanzas share: replies and errors (RFC 6120 §8).

use crate::{Element, ns};

/// What a sender may do about an error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Authenticate and try again.
    Auth,
    /// Do not try again.
    Cancel,
    /// Change the request and try again.
    Modify,
    /// Wait and try again.
    Wait,
}

/// The defined conditions of stanza errors that the project uses (RFC 6120 §8.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 6120 §8.3.3")]
pub enum Condition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    Gone,
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RecipientUnavailable,
    RegistrationRequired,
    RemoteServerNotFound,
    RemoteServerTimeout,
    ResourceConstraint,
    ServiceUnavailable,
    UndefinedCondition,
    UnexpectedRequest,
}

impl Condition {
    /// The element name, and the error type that RFC 6120 §8.3.3 gives the condition.
    const TABLE: [(Condition, &'static str, ErrorType); 20] = [
        (Self::BadRequest, "bad-request", ErrorType::Modify),
        (Self::Conflict, "conflict", ErrorType::Cancel),
        (Self::FeatureNotImplemented, "feature-not-implemented", ErrorType::Cancel),
        (Self::Forbidden, "forbidden", ErrorType::Auth),
        (Self::Gone, "gone", ErrorType::Cancel),
        (Self::InternalServerError, "internal-server-error", ErrorType::Cancel),
        (Self::ItemNotFound, "item-not-found", ErrorType::Cancel),
        (Self::JidMalformed, "jid-malformed", ErrorType::Modify),
        (Self::NotAcceptable, "not-acceptable", ErrorType::Modify),
        (Self::NotAllowed, "not-allowed", ErrorType::Cancel),
        (Self::NotAuthorized, "not-authorized", ErrorType::Auth),
        (Self::PolicyViolation, "policy-violation", ErrorType::Modify),
        (Self::RecipientUnavailable, "recipient-unavailable", ErrorType::Wait),
        (Self::RegistrationRequired, "registration-required", ErrorType::Auth),
        (Self::RemoteServerNotFound, "remote-server-not-found", ErrorType::Cancel),
        (Self::RemoteServerTimeout, "remote-server-timeout", ErrorType::Wait),
        (Self::ResourceConstraint, "resource-constraint", ErrorType::Wait),
        (Self::ServiceUnavailable, "service-unavailable", ErrorType::Cancel),
        (Self::UndefinedCondition, "undefined-condition", ErrorType::Cancel),
        (Self::UnexpectedRequest, "unexpected-request", ErrorType::Wait),
    ];

    fn row(self) -> (&'static str, ErrorType) {
        Self::TABLE
            .iter()
            .find(|(condition, ..)| *condition == self)
            .map_or(("undefined-condition", ErrorType::Cancel), |&(_, name, kind)| (name, kind))
    }

    /// The element name of the condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The condition of that element name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known, _)| *known == name).map(|&(condition, ..)| condition)
    }
}

impl ErrorType {
    /// The value of the `type` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

/// The `error` child of a stanza of type `error` (RFC 6120 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What went wrong.
    pub condition: Condition,
    /// What the sender may do; `None` for what RFC 6120 gives the condition.
    pub error_type: Option<ErrorType>,
    /// Words for a reader.
    pub text: Option<String>,
    /// Application-specific conditions (RFC 6120 §8.3.4) and other direct children of the error.
    pub extensions: Vec<Element>,
}

impl StanzaError {
    /// An error with no more than its condition.
    #[must_use]
    pub const fn new(condition: Condition) -> Self {
        Self { condition, error_type: None, text: None, extensions: Vec::new() }
    }

    /// Adds words for a reader.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets another error type than the condition's usual one.
    #[must_use]
    pub fn with_type(mut self, error_type: ErrorType) -> Self {
        self.error_type = Some(error_type);
        self
    }

    /// Adds an application-specific child.
    #[must_use]
    pub fn with_extension(mut self, extension: Element) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The `error` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let (name, usual_type) = self.condition.row();
        let mut error = Element::new("error", ns::CLIENT)
            .with_attr("type", self.error_type.unwrap_or(usual_type).as_str())
            .with_child(Element::new(name, ns::XMPP_STANZAS));
        if let Some(text) = &self.text {
            error.push(Element::new("text", ns::XMPP_STANZAS).with_text(text.as_str()));
        }
        error.with_children(self.extensions.iter().cloned())
    }

    /// Reads the error of a stanza; a missing or unknown condition reads as `service-unavailable`.
    #[must_use]
    pub fn of_stanza(stanza: &Element) -> Self {
        let Some(error) = stanza.child("error", ns::CLIENT) else { return Self::new(Condition::ServiceUnavailable) };
        let mut read = Self::new(Condition::ServiceUnavailable);
        for child in error.children() {
            match child.ns() {
                ns::XMPP_STANZAS if child.name() == "text" => read.text = Some(child.text()),
                ns::XMPP_STANZAS => read.condition = Condition::from_name(child.name()).unwrap_or(read.condition),
                _ => read.extensions.push(child.clone()),
            }
        }
        read
    }
}

/// The empty result of an IQ request, addressed back (RFC 6120 §8.2.3).
#[must_use]
pub fn iq_result(request: &Element) -> Element {
    reply(request, "result")
}

/// The error answer to an IQ, message or presence, addressed back (RFC 6120 §8.3.1).
#[must_use]
pub fn iq_error(request: &Element, error: &StanzaError) -> Element {
    reply(request, "error").with_child(error.to_element())
}

fn reply(request: &Element, reply_type: &str) -> Element {
    Element::new(request.name().to_owned(), ns::CLIENT)
        .with_attr("type", reply_type)
        .with_opt_attr("id", request.attr("id"))
        .with_opt_attr("from", request.attr("to"))
        .with_opt_attr("to", request.attr("from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_goes_back_to_the_sender_and_reads_the_same() {
        let request: Element = "<iq xmlns='jabber:client' type='get' id='1' from='a@b/c' to='d'/>".parse().unwrap();
        let error = StanzaError::new(Condition::ItemNotFound).with_text("no such room");
        let answer = iq_error(&request, &error);
        assert_eq!((answer.attr("to"), answer.attr("from"), answer.attr("id")), (Some("a@b/c"), Some("d"), Some("1")));
        assert_eq!(StanzaError::of_stanza(&answer), error);
    }

    #[test]
    fn every_condition_has_its_row() {
        for (condition, name, _) in Condition::TABLE {
            assert_eq!(Condition::from_name(name), Some(condition));
            assert_eq!(condition.as_str(), name);
        }
    }
}
