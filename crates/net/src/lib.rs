//! The sockets: the XMPP link of a service, the media socket, the addresses of this host.
//!
//! Here: I/O that services share. Not here: what is sent over it. For shells and binaries only.

mod addresses;
mod link;
mod link_tls;
mod media_socket;
mod web_socket_link;

pub use addresses::{InterfaceAddress, host_addresses, interface_addresses};
pub use link::{Link, LinkEvent, LinkPeer};
pub use link_tls::ServerTrust;
pub use media_socket::{MediaBindError, MediaSocket, MediaSocketEvents, ReceivedDatagram, SendQueue, Waker};
pub use web_socket_link::{LinkError, LinkSettings};
