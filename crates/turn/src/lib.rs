//! A TURN server (RFC 8656 over RFC 8489) for clients that reach the bridge in no other way, with STUN binding beside.
//!
//! Here: [`Server`], which is sans-IO, its codec of STUN and ChannelData, and a shell with sockets on tokio. Relays are
//! UDP, clients come over UDP, TCP, or TLS that others have ended. Not here: who issues credentials (`signaling`), the
//! https port that clients share (`web`), ICE (`ice`). For shells and binaries only.
//!
//! **Invariant:** a relay reaches the bridges that it was told and nothing else, unless an operator named it.

mod channel_data;
mod credentials;
mod framing;
mod metrics;
mod nonce;
mod peers;
mod quota;
mod reserved;
mod server;
mod settings;
mod shell;
mod stun;

pub use credentials::SharedSecret;
pub use framing::{FramingError, StreamDecoder};
pub use metrics::Metrics;
pub use model::{InvalidNetwork, Network};
pub use peers::{BridgeAddress, PeerPolicy};
pub use server::{Input, Now, Output, RelayError, RelayId, Server};
pub use settings::{Limits, Settings};
pub use shell::{Handle, StartError, Turn};
pub use stun::ParseError;
