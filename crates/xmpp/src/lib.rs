//! XMPP as Jitsi uses it: names, stanzas and the extensions of the XSF that several services speak.
//!
//! Here: JIDs (RFC 7622), stanzas as trees of elements, streams as text (RFC 6120), WebSocket framing (RFC 7395), one
//! module an extension. Not here: Jitsi's own extensions (`jitsi-protocol`), sockets (`net`), sessions and rooms (`signaling`).

pub mod bind;
pub mod bosh;
pub mod component;
pub mod data_forms;
pub mod datetime;
pub mod disco;
pub mod extdisco;
pub mod framing;
pub mod jingle;
pub mod muc;
pub mod ns;
pub mod ping;
pub mod sasl;
pub mod scram;
pub mod sm;
pub mod stream;

mod element;
mod jid;
mod parse;
mod shared_stanza;
mod stanza;
mod stream_parser;
mod write;

pub use element::{Element, Node};
pub use jid::{InvalidJid, Jid};
pub use parse::ParseError;
pub use shared_stanza::{AddressedStanza, SharedStanza};
pub use stanza::{Condition, ErrorType, StanzaError, iq_error, iq_result};
pub use stream_parser::{StreamItem, StreamParser};
