//! The sockets: the XMPP link of a service, the media socket, the addresses of this host.
//!
//! Here: I/O that services share. Not here: what is sent over it. For shells and binaries only.

mod addresses;
mod link;
mod media_socket;

pub use addresses::host_addresses;
pub use link::{Link, LinkEvent, LinkPeer};
pub use media_socket::{MediaBindError, MediaSocket, MediaSocketEvents, ReceivedDatagram, SendQueue, Waker};
