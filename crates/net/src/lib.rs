//! The sockets: the XMPP link of a service, the media socket, the addresses of this host.
//!
//! Here: I/O that services share. Not here: what is sent over it. For shells and binaries only.

mod link;

pub use link::{Link, LinkEvent, LinkPeer};
