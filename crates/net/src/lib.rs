//! The sockets: the XMPP link of a service, the media socket, the addresses of this host.
//!
//! Here: I/O that services share. Not here: what is sent over it. For shells and binaries only.

mod addresses;
mod link;
mod link_tls;
pub mod media;
mod web_socket_link;

pub use addresses::{InterfaceAddress, host_addresses, host_name, interface_addresses};
pub use link::{Link, LinkEvent, LinkPeer};
pub use link_tls::{AnyCertificate, ServerTrust, client_config};
pub use media::{
    Lane, MediaBindError, MediaCapabilities, MediaSender, MediaShard, MediaShards, Received, ReceivedBatch,
    SendOutcome, SendQueue, Steering, UniquePort, UniquePortOpener, Waker, Without, pin_current_thread,
};
pub use web_socket_link::{LinkError, LinkSettings, is_web_socket_url, xmpp_url};
