//! A participant: a member of the room and its session.

use std::collections::VecDeque;
use std::time::Instant;

use jitsi_protocol::colibri2::ForceMute;
use model::EndpointId;
use xmpp::Jid;

use super::moves::Move;
use crate::features::Features;
use crate::muc::{Member, Role, Services};
use crate::rate_limit::RateLimit;
use crate::settings::{Limits, RateLimitSettings, Settings};
use crate::source::SourceSignaling;

/// Ended sessions that are remembered, to tell a late message from one that never was right.
const MAX_ENDED_SIDS: usize = 8;

/// A member of the room, as the focus deals with it.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) endpoint: EndpointId,
    pub(super) member: Member,
    /// Known once the client, or the memory of its kind, answered.
    pub(super) features: Option<Features>,
    pub(super) session: Session,
    /// Whether it is in a room of visitors, and only watches.
    pub(super) is_visitor: bool,
    /// Another bridge that it changes to.
    pub(super) moving: Option<Move>,
    /// Whether it was ever offered a session since it joined.
    pub(super) was_invited: bool,
    /// What its bridge was told to drop.
    pub(super) force_mute: ForceMute,
    /// When it came.
    pub(super) joined_at: Instant,
    pub(super) signaling: SourceSignaling,
    /// Requests of the client for a new session.
    pub(super) restarts: RateLimit,
    /// Requests of the client for new ICE credentials.
    pub(super) ice_restarts: RateLimit,
    /// New sessions after failures of bridges.
    pub(super) reinvites: RateLimit,
    ended_sids: VecDeque<String>,
}

/// The session with a client, and its endpoint on a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// None; an invitation is due when the conference is active and a bridge is there.
    None,
    /// The client's features are asked for; the invitation follows.
    Discovering,
    /// A bridge is asked for an endpoint.
    Allocating { attempt: u64, bridge: Jid, with_data: bool },
    /// The offer is sent.
    Offered { sid: String, allocation: Allocation },
    /// The client accepted.
    Active { sid: String, allocation: Allocation },
    /// Over for good: the client left the session or refused it, or the bridge refused the client.
    Ended,
}

/// An endpoint on a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allocation {
    pub(super) bridge: Jid,
    /// Tells this allocation from earlier ones.
    pub(super) attempt: u64,
    /// The newest ICE generation that the client was told.
    pub(super) ice_generation: Option<u32>,
}

impl Participant {
    pub(super) fn new(endpoint: EndpointId, member: Member, limits: &Limits, now: Instant) -> Self {
        // Enough for a few bridges that fail one after the other, too few to keep a broken deployment busy.
        let reinvites = RateLimitSettings { min_interval: std::time::Duration::ZERO, ..limits.restart_requests };
        Self {
            endpoint,
            member,
            features: None,
            session: Session::None,
            is_visitor: false,
            moving: None,
            was_invited: false,
            force_mute: ForceMute::default(),
            joined_at: now,
            signaling: SourceSignaling::default(),
            restarts: RateLimit::new(limits.restart_requests),
            ice_restarts: RateLimit::new(limits.restart_requests),
            reinvites: RateLimit::new(reinvites),
            ended_sids: VecDeque::new(),
        }
    }

    /// Features, or those that count until they are known.
    pub(super) fn features(&self) -> Features {
        self.features.unwrap_or_default()
    }

    /// What kind of service it is, if any.
    pub(super) fn services(&self, settings: &Settings) -> Services {
        self.member.services(&settings.trusted_domains)
    }

    /// Whether it cannot be muted by others: recorders send nothing, old gateways cannot unmute again, and visitors are never
    /// heard.
    pub(super) fn cannot_be_muted(&self, settings: &Settings) -> bool {
        let services = self.services(settings);
        services.jibri || services.jigasi && !self.features().audio_mute || self.member.role == Role::Visitor
    }

    /// Whether it gets a session: who is mute in the main room gets none.
    pub(super) fn may_be_invited(&self) -> bool {
        self.is_visitor || self.member.role != Role::Visitor
    }

    /// Replaces the session, remembers its id, and answers what it was.
    pub(super) fn end_session(&mut self, next: Session) -> Session {
        let ended = std::mem::replace(&mut self.session, next);
        if let Some(sid) = ended.sid() {
            if self.ended_sids.len() >= MAX_ENDED_SIDS {
                self.ended_sids.pop_front();
            }
            self.ended_sids.push_back(sid.to_owned());
        }
        ended
    }

    pub(super) fn had_session(&self, sid: &str) -> bool {
        self.ended_sids.iter().any(|ended| ended == sid)
    }
}

impl Session {
    /// The Jingle session's id, once there is one.
    pub(super) fn sid(&self) -> Option<&str> {
        match self {
            Self::Offered { sid, .. } | Self::Active { sid, .. } => Some(sid),
            Self::None | Self::Discovering | Self::Allocating { .. } | Self::Ended => None,
        }
    }

    /// The endpoint on a bridge, once there is one.
    pub(super) fn allocation(&self) -> Option<&Allocation> {
        match self {
            Self::Offered { allocation, .. } | Self::Active { allocation, .. } => Some(allocation),
            Self::None | Self::Discovering | Self::Allocating { .. } | Self::Ended => None,
        }
    }

    /// The bridge that has, or is asked for, the endpoint.
    pub(super) fn bridge(&self) -> Option<&Jid> {
        match self {
            Self::Allocating { bridge, .. } => Some(bridge),
            Self::Offered { allocation, .. } | Self::Active { allocation, .. } => Some(&allocation.bridge),
            Self::None | Self::Discovering | Self::Ended => None,
        }
    }

    /// Whether what others send is told to the client, now or when it accepts.
    pub(super) fn is_told_sources(&self) -> bool {
        self.sid().is_some()
    }
}
