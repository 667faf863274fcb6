//! ICE for one endpoint of the bridge: full and controlling, as Jitsi's clients expect (RFC 8445), with consent (RFC 7675),
//! over UDP and, where the peer connects, TCP (RFC 6544).
//!
//! Here: telling STUN, DTLS and media apart by the first byte (RFC 7983), finding the endpoint that a STUN request is
//! for, credentials and candidates in the shape of the Jitsi Videobridge, [`IceAgent`], a sans-IO agent around the check
//! list of the `is` crate, and [`StunAddressQuery`], which asks a server how a NAT shows this host. Not here: sockets
//! (`net`), the choice of local addresses and who owns which ufrag (`bridge`), DTLS (`dtls`).

mod address_query;
mod agent;
mod candidate;
mod checks;
mod credentials;
mod demux;
mod error;
mod relayed;
mod responder;
mod session;
mod stun;

pub use address_query::{QueryAnswer, QueryOutput, StunAddressQuery};
pub use agent::{Event, IceAgent, IceCounters, IceRole, Output, Transmit};
pub use candidate::{CandidateKind, CandidateTransport, LocalAddress, LocalCandidate, RemoteCandidate, TcpType};
pub use credentials::{Generation, IceCredentials};
pub use demux::{DatagramKind, StunDemux};
pub use error::{IceError, StunRefusal};
pub use responder::{CheckResponder, Settled};
