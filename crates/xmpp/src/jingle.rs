//! Jingle: media sessions between a focus and a client (XEP-0166, 0167, 0176, 0293, 0294, 0320, 0338, 0339, 0343).
//!
//! Here: the types with their XML form both ways, and the small readers that Colibri2 shares, as it carries the same
//! elements. Not here: Jitsi's own children of `jingle` (`jitsi-protocol`), the state of a session (`focus`).
//!
//! Reading looks at local names below `description` and `transport`, as clients build these with and without
//! declarations. What is not known is ignored, but direct children of `jingle` and `content`, which are kept.

mod content;
mod error;
mod payload;
pub mod read;
mod session;
mod source;
mod transport;

pub use content::{Content, Creator, RtpDescription, RtpMedia, Senders};
pub use error::InvalidElement;
pub use payload::{HeaderExtension, PayloadTypeDescription, RtcpFeedback};
pub use session::{Action, Jingle, Reason, unknown_session};
pub use source::{GroupSemantics, Source, SsrcGroup};
pub use transport::{Candidate, DtlsSetup, Fingerprint, IceTransport, SctpMap};
