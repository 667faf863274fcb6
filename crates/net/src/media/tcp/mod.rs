//! Media over TCP: ICE-TCP passive candidates (RFC 6544) with the framing of RFC 4571.
//!
//! The way of a connection: `acceptor` lets it in within the limits of `admission`, `opening` reads its first frame, the
//! owner finds the shard of its peer, and there `connections` reads and writes it, framed by `framing`.

mod acceptor;
mod admission;
mod connection;
mod connections;
mod framing;
mod opening;

pub use acceptor::{AcceptedTcp, IceTcpCounters, IceTcpHandle, TcpAcceptor, TcpBindError};
pub use admission::IceTcpLimits;
pub use connection::{TcpCloseReason, TcpConnection};
pub(super) use connections::TcpConnections;
pub use connections::{ClosedTcp, TcpCounters};
pub use framing::{FRAME_HEADER_BYTES, FrameDecoder, FrameTooLong, MAX_FRAME_BYTES, first_frame, frame_header};
pub use opening::{FirstBytes, NotIce, Opening, OpeningStep};

#[cfg(test)]
mod acceptor_tests;
#[cfg(test)]
mod tests;
