//! What an operator decides about TURN.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{PeerPolicy, SharedSecret};

/// Settings of a TURN server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// UDP and TCP address of the server's own port; `None` leaves it to the streams that others hand over.
    pub listen: Option<SocketAddr>,
    /// Ports besides that one on which clients reach the server: no relay sends there.
    pub shared_ports: Vec<u16>,
    /// Realm of the credentials. Strangers are told it, in an answer that may be no longer than what they sent: with at most
    /// four bytes browsers have to ask twice.
    pub realm: String,
    /// Shared with the one who issues credentials.
    pub secret: SharedSecret,
    /// Addresses of this host that relays are bound to: the first of each family is used.
    pub relay_addresses: Vec<IpAddr>,
    /// Ports of relays (RFC 8656 §7.2 suggests these).
    pub relay_ports: RangeInclusive<u16>,
    /// Whom relays may talk to.
    pub peers: PeerPolicy,
    /// Limits on what clients can make grow.
    pub limits: Limits,
}

impl Settings {
    /// Settings with the defaults of everything else: relays to nobody, on ports 49152–65535.
    #[must_use]
    pub fn new(secret: SharedSecret) -> Self {
        Self {
            listen: None,
            shared_ports: Vec::new(),
            realm: "turn".to_owned(),
            secret,
            relay_addresses: Vec::new(),
            relay_ports: 49_152..=65_535,
            peers: PeerPolicy::default(),
            limits: Limits::default(),
        }
    }
}

/// Limits on what clients can make grow. What is over a limit is refused and counted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Allocations at one time, each a socket.
    pub allocations: usize,
    /// Allocations of one user name: a browser makes one for each of its interfaces, families and server URLs.
    pub allocations_per_user: usize,
    /// Allocations of one client address (IPv6: of a /64). Behind it may be an office, or a carrier's NAT.
    pub allocations_per_address: usize,
    /// Permissions of one allocation: a client needs one for each address of its bridge.
    pub permissions: usize,
    /// Channels of one allocation, likewise.
    pub channels: usize,
    /// Bytes a second that one allocation relays for long, both ways together; `None` for no limit.
    pub bytes_per_second: Option<u32>,
    /// Streams at one time, those without an allocation among them.
    pub streams: usize,
    /// Streams of one client address.
    pub streams_per_address: usize,
    /// Answers a second to one client address before it showed credentials, over UDP, where addresses can be forged.
    pub unauthenticated_per_second: u32,
    /// How many of those may come at once: an office that joins a meeting.
    pub unauthenticated_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 4096,
            allocations_per_user: 24,
            allocations_per_address: 512,
            permissions: 32,
            channels: 32,
            bytes_per_second: None,
            streams: 4096,
            streams_per_address: 512,
            unauthenticated_per_second: 32,
            unauthenticated_burst: 256,
        }
    }
}

/// How long an allocation lives after it was made or refreshed, unless the client asks for more (RFC 8656 §3.2).
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// More than this is not granted (RFC 8656 §7.2).
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a permission serves (RFC 8656 §9).
pub(crate) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// How long a channel serves (RFC 8656 §12).
pub(crate) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// A stream that has had no allocation for this long is closed: setting one up takes a few round trips.
pub(crate) const STREAM_WITHOUT_ALLOCATION: Duration = Duration::from_secs(20);
