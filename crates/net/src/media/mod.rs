//! Media I/O in shards: each data thread has its own UDP socket on the one media port and its own TCP connections.
//!
//! Here: binding, waiting, receiving and sending in batches, TCP framing (RFC 4571) and acceptance (RFC 6544), and the
//! probes of what the kernel can. Not here: what a datagram means (`ice`, `bridge`), and which shard serves whom.

mod affinity;
mod ancillary;
mod bind;
mod capabilities;
mod send_queue;
mod shard;
mod steering;
mod sys;
pub mod tcp;
mod udp_receiver;
mod udp_sender;
mod unique_ports;
mod waker;

pub use affinity::pin_current_thread;
pub use bind::{MediaBindError, MediaShards};
pub use capabilities::{MediaCapabilities, Without};
pub use send_queue::{Lane, SendQueue};
pub use shard::{MediaSender, MediaShard};
pub use steering::Steering;
pub use tcp::{AcceptedTcp, ClosedTcp, IceTcpHandle, TcpAcceptor, TcpCloseReason, TcpConnection};
pub use udp_receiver::{Received, ReceivedBatch};
pub use udp_sender::SendOutcome;
pub use unique_ports::{UniquePort, UniquePortOpener};
pub use waker::Waker;

#[cfg(test)]
mod udp_tests;
