//! The way to one peer of a conference, be it a client or another bridge: its transport, its bridge channel, and how the
//! demultiplexer finds it.
//!
//! Here: what endpoints and relays have in common. Not here: what goes over it (`endpoint`, `relay`), ICE and DTLS
//! (`transport`).

use std::time::{Duration, Instant};

use ice::Settled;
use model::{FiveTuple, PeerAddress};

use crate::channel::Channel;
use crate::shard::message::Route;
use crate::transport::EndpointTransport;

/// How far a transport ever came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reached {
    #[default]
    Nothing,
    /// A pair of ICE.
    Ice,
    /// Keys, so that media can flow.
    Dtls,
}

/// Names whoever has a connection in the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberKey {
    pub(crate) conference: usize,
    pub(crate) member: Member,
}

/// Whoever has a connection in a conference, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Member {
    Endpoint(usize),
    Relay(usize),
}

/// The connection of one member.
pub(crate) struct Connection {
    /// Its name and home in the data plane.
    pub(crate) route: Route,
    /// The number of the port that only this peer reaches, if it has one.
    pub(crate) unique_port: Option<u16>,
    pub(crate) transport: EndpointTransport,
    pub(crate) reached: Reached,
    /// The path that its home shard sends on.
    pub(crate) path: Option<FiveTuple>,
    /// Whose checks its home shard answers.
    pub(crate) settled: Option<Settled>,
    pub(crate) channel: Channel,
    /// Lets the peer open a WebSocket for its bridge channel; for the connection's life.
    pub(crate) web_socket_pwd: String,
    pub(crate) created_at: Instant,
    pub(crate) last_activity: Option<Instant>,
    /// The round trip, once its shard has told.
    pub(crate) rtt: Option<Duration>,
    /// Addresses that packets of this peer come from, for the demultiplexer to forget.
    pub(crate) remotes: Vec<PeerAddress>,
    pub(crate) ufrags: Vec<String>,
}

impl Connection {
    pub(crate) fn new(route: Route, transport: EndpointTransport, web_socket_pwd: String, now: Instant) -> Self {
        Self {
            ufrags: vec![transport.local_ufrag().to_owned()],
            route,
            unique_port: None,
            transport,
            reached: Reached::default(),
            path: None,
            settled: None,
            channel: Channel::default(),
            web_socket_pwd,
            created_at: now,
            last_activity: None,
            rtt: None,
            remotes: Vec::new(),
        }
    }
}
