//! What may be wrong with a Jingle or Colibri2 element.

use crate::{Condition, StanzaError};

/// Why an element cannot be read. `Display` is fit for the text of a stanza error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidElement {
    /// The element is another one than was expected.
    #[error("expected <{expected}/>")]
    UnexpectedElement {
        /// The element that should stand here.
        expected: &'static str,
    },
    /// A child element is missing.
    #[error("missing <{element}/>")]
    MissingElement {
        /// The missing child.
        element: &'static str,
    },
    /// An attribute is missing.
    #[error("missing attribute '{attribute}' of <{element}/>")]
    MissingAttribute {
        /// Local name of the element.
        element: String,
        /// The missing attribute.
        attribute: &'static str,
    },
    /// An attribute has a value that it may not have.
    #[error("invalid attribute '{attribute}' of <{element}/>: {value:?}")]
    InvalidAttribute {
        /// Local name of the element.
        element: String,
        /// The attribute.
        attribute: &'static str,
        /// The start of what stands there.
        value: String,
    },
    /// Not in 1..2^32; the text is the one that Jicofo gives.
    #[error("Invalid SSRC: {0}.")]
    InvalidSsrc(String),
    /// More of something than anyone needs.
    #[error("more than {limit} <{element}/> elements")]
    TooMany {
        /// Local name of what is too many.
        element: &'static str,
        /// How many may be.
        limit: usize,
    },
    /// `jingle` without `action`; the text is the one that Jicofo gives.
    #[error("Missing 'action'")]
    MissingAction,
    /// An action that Jingle does not define, or none of those that Jitsi uses.
    #[error("unsupported action '{0}'")]
    UnsupportedAction(String),
}

impl InvalidElement {
    /// The stanza error that answers an IQ with such an element.
    #[must_use]
    pub fn to_stanza_error(&self) -> StanzaError {
        let condition = match self {
            Self::UnsupportedAction(_) => Condition::FeatureNotImplemented,
            Self::UnexpectedElement { .. }
            | Self::MissingElement { .. }
            | Self::MissingAttribute { .. }
            | Self::InvalidAttribute { .. }
            | Self::InvalidSsrc(_)
            | Self::TooMany { .. }
            | Self::MissingAction => Condition::BadRequest,
        };
        StanzaError::new(condition).with_text(self.to_string())
    }
}
