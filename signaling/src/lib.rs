//! Signaling: XMPP over WebSocket for Jitsi's clients and services. It stands where stock has Prosody.
//!
//! Here: sessions, routing and rooms as a sans-IO core ([`Server`]), and a shell of tasks and sockets around it
//! ([`shell`]). Not here: the elements of XMPP (`xmpp`), conferences (`focus`), media (`bridge`).
//!
//! The way of a stanza: `shell::websocket` parses the frame → [`Server`] finds its stream (`stream`, `handshake`) →
//! `router` finds where it goes → `domain`, `client_proxy` or `muc` answer or pass it on → `server` queues it for the
//! receiving session (`acks`) → `shell::websocket` writes it.

pub mod shell;

mod acks;
mod api;
mod claims;
mod client;
mod client_proxy;
mod conference;
mod conference_components;
mod conference_settings;
mod context;
mod domain;
mod external_services;
mod handshake;
mod hosts;
mod jwt;
mod login;
mod metrics;
mod muc;
mod rates;
mod router;
mod server;
mod session;
mod settings;
mod short_lived_tokens;
mod stream;
mod timers;

pub use api::{ApiError, ApiRequest, ApiSettings, Kicked, StatisticsAccess};
pub use claims::{Claims, Features, TokenUser};
pub use conference_components::ComponentHosts;
pub use conference_settings::{AllOwners, ConferenceSettings, LobbySettings};
pub use context::Now;
pub use external_services::{ExternalServices, IceServer, IceServerKind, InvalidIceServer, TurnCredentials};
pub use hosts::Hosts;
pub use jwt::{PublicKey, SigningKeys, TokenKeys, TokenRefused};
pub use metrics::Metrics;
pub use rates::StanzaRates;
pub use server::{BadFrame, ConnectionEnd, ConnectionId, Frame, Input, Output, Server};
pub use session::Origin;
pub use settings::{Limits, Secret, Settings, Timeouts};
pub use shell::{Handle, Signaling};
pub use short_lived_tokens::ShortLivedTokens;
