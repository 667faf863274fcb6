//! STUN messages (RFC 8489) as far as a TURN server reads and writes them.
//!
//! Here: the header, attributes as views, integrity and fingerprint. Not here: what a message does (`server`), the ICE
//! usage of STUN (`ice`). Every check of a length stands in [`Message::parse`]; nothing here logs or allocates on input.

mod attribute;
mod builder;
mod integrity;
mod message;

#[cfg(test)]
pub(crate) use attribute::xor_address;
pub(crate) use attribute::{AttributeType, Family};
pub(crate) use builder::MessageBuilder;
pub(crate) use integrity::{IntegrityAlgorithm, IntegrityKey, PasswordAlgorithm};
pub use message::ParseError;
pub(crate) use message::{Class, Message, Method, TransactionId};
