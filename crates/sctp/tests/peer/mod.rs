//! Associations of foreign libraries behind one face.

mod dc_sctp;
mod rtc;

use std::time::Instant;

pub(crate) use dc_sctp::DcSctp;
pub(crate) use rtc::RtcSctp;

/// Payload protocol identifiers of data channels (RFC 8831 §8).
pub(crate) mod ppid {
    pub(crate) const DCEP: u32 = 50;
    pub(crate) const STRING: u32 = 51;
    pub(crate) const STRING_EMPTY: u32 = 56;
}

/// How a message is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Ordered,
    Unordered,
    /// In order, and sent once only (RFC 3758).
    Once,
}

/// What a peer notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Connected,
    Message {
        stream: u16,
        ppid: u32,
        bytes: Vec<u8>,
    },
    /// We reset our direction of this stream.
    Reset(u16),
    /// The association is over.
    Closed,
}

/// The other end of an association.
pub(crate) trait Peer {
    /// Sends INIT.
    fn connect(&mut self, now: Instant);
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn timeout(&self) -> Option<Instant>;
    /// All that is to be sent now, and all that was noticed.
    fn drain(&mut self, now: Instant) -> (Vec<Vec<u8>>, Vec<Heard>);
    fn send(&mut self, now: Instant, stream: u16, ppid: u32, bytes: &[u8], delivery: Delivery);
    /// Resets the peer's direction of the stream (RFC 6525).
    fn reset(&mut self, now: Instant, stream: u16);
    /// Sends ABORT.
    fn abort(&mut self);
    /// Sends SHUTDOWN, when all is acknowledged.
    fn shutdown(&mut self);
}
