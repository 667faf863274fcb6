//! Names and units that media and signaling share.
//!
//! Here: identifiers of endpoints, conferences and sources, RTP numbers, bit rates and sizes, the path of a datagram,
//! ranges of addresses, domains of tenants. Not here: packets (`rtp`),
//! stanzas (`xmpp`), the messages that carry these values (`jitsi-protocol`).

mod id;
mod network;
mod path;
mod prefetch;
mod rtp_numbers;
mod tenant;
mod units;

pub use id::{ConferenceId, EndpointId, InvalidId, Mid, SourceName};
pub use network::{InvalidNetwork, Network, is_within};
pub use path::{FiveTuple, PeerAddress, TransportProtocol};
pub use prefetch::{prefetch, prefetch_behind};
pub use rtp_numbers::{ExtSeqNum, PayloadType, PayloadTypeOutOfRange, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
pub use tenant::tenant_of;
pub use units::{Bitrate, DataSize, MediaType, UnknownVideoType, VideoType};
