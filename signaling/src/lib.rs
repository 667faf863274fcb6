//! Signaling: XMPP for Jitsi's clients and services, over WebSocket, BOSH and TCP. It stands where stock has Prosody.
//!
//! Here: sessions, routing and rooms as a sans-IO core ([`Server`]), and a shell of tasks and sockets around it
//! ([`shell`]). Not here: the elements of XMPP (`xmpp`), conferences (`focus`), media (`bridge`).
//!
//! The way of a stanza: `shell::websocket`, `shell::tcp` or `shell::bosh` parses the frame → [`Server`] finds its stream
//! (`stream`, `handshake`) → `router` finds where it goes → `domain`, `client_proxy` or `muc` answer or pass it on →
//! `server` queues it for the receiving session (`acks`) → the shell of that session's connection writes it.

pub mod shell;

mod accounts;
mod acks;
mod api;
mod api_flags;
mod arrivals;
mod audit;
mod auth_flags;
mod bosh;
mod client;
mod client_proxy;
mod components;
mod conference;
mod conference_components;
mod conference_settings;
mod context;
mod domain;
mod external_services;
mod failed_logins;
#[cfg(test)]
mod flag_tests;
mod flags;
mod handshake;
mod hosts;
mod jwt;
mod key_cache;
mod ldap_flags;
mod limit_flags;
mod login;
mod metrics;
mod muc;
mod outside;
mod outside_flags;
mod rates;
mod room_flags;
mod router;
mod scram;
mod server;
mod session;
mod settings;
mod short_lived_tokens;
mod stream;
mod timers;
mod token_flags;
mod token_issuer;
mod user_names;
mod visitor_flags;
mod visitor_hosts;
mod visitor_settings;
mod window;

pub use accounts::{PasswordCheck, StoredHashes, Verdict};
pub use api::{ApiError, ApiRequest, ApiSettings, Kicked, StatisticsAccess};
pub use api_flags::{ApiFlags, KeyFlag, StatisticsFlag};
pub use arrivals::{AddressLimits, LoginRate};
pub use auth::{Algorithm, AuthType, Claims, Features, Moderators, TokenRefused, TokenRules, TokenUser, VerifyingKey};
pub use auth_flags::{AuthFlags, InvalidAuthFlags};
pub use conference_components::ComponentHosts;
pub use conference_settings::{AllOwners, ConferenceSettings, LobbySettings};
pub use context::Now;
pub use external_services::{ExternalServices, IceServer, IceServerKind, InvalidIceServer, TurnCredentials};
pub use flags::{AccountFlags, ComponentFlag, XmppFlags, XmppTls};
pub use hosts::Hosts;
pub use jwt::{KeySource, ShownToken, SigningKeys, TokenKeys, TokenSettings};
pub use ldap_flags::{InvalidLdapFlags, LdapFlags};
pub use limit_flags::{ByteRate, LimitFlags};
pub use metrics::Metrics;
pub use outside::{
    AccessSettings, AnswerTo, Call, CallAnswer, CallFailed, CallId, EventSettings, OutsideServer, OutsideSettings,
    Patience, QueueSettings, ReservationSettings, WhenSilent,
};
pub use outside_flags::{InvalidOutsideFlags, OutsideFlags};
pub use rates::StanzaRates;
pub use room_flags::{LobbyFlags, OwnerFlags, RoomFlags};
pub use server::{BadFrame, ConnectionEnd, ConnectionId, Frame, Input, LookUp, Output, Server};
pub use session::Origin;
pub use settings::{Account, AccountSource, ClientLogin, Component, Deployment, Limits, Secret, Settings, Timeouts};
pub use shell::{Backends, Handle, Signaling, StartError, StartTls};
pub use short_lived_tokens::ShortLivedTokens;
pub use stream::{Carrier, ChannelBinding, Tls};
pub use token_flags::{InvalidTokenFlags, PatternFlag, TokenFlags};
pub use token_issuer::{IssuedToken, TokenIssuer, TokenRequest};
pub use visitor_flags::{InvalidVisitorFlags, VisitorFlags};
pub use visitor_hosts::{VisitorHosts, VisitorNode};
pub use visitor_settings::VisitorSettings;
