//! The bridge channel over SCTP: one association, one data channel, text messages (RFC 8831, 8832, 9260).
//!
//! Here: [`DataChannel`], a sans-IO association around the `sctp-proto` crate with the limits of a bridge, and the Data
//! Channel Establishment Protocol. Its datagrams are DTLS application data, in and out. Not here: DTLS (`dtls`), what
//! the messages say (`jitsi-protocol`).

mod channel;
mod dcep;
mod error;
mod packet;

pub use channel::{DataChannel, Event, Output, SctpCounters, SctpRole};
pub use dcep::{ChannelType, DcepMessage, DcepOpen, parse_dcep};
pub use error::{DcepError, SctpError};
