//! What an operator may set. Binaries fill it; the names of jicofo's keys stand beside each field.

mod bridges;
mod connects;
mod visitors;

use std::collections::BTreeMap;
use std::time::Duration;

use auth::Moderators;
use model::tenant_of;
use xmpp::{InvalidJid, Jid};

use crate::authentication::AuthenticationSettings;
use crate::offer::CodecSettings;
pub use bridges::{
    BridgeSettings, IceFailureDetection, LoadRedistribution, SelectionSettings, SelectionStrategy, TopologyStrategy,
    UnknownStrategy, UnknownTopology, region_groups,
};
pub use connects::{ConnectSettings, TranslationMode, TranslationSettings, UnknownMode};
pub use visitors::{NodeAccess, VisitorNode, VisitorSettings};

/// Everything that the focus needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The XMPP domain that clients use (`xmpp.client.xmpp-domain`).
    pub domain: String,
    /// Domains whose rooms may be requested: the MUC component, and that of breakout rooms if there is one. Tenants have
    /// theirs below: `muc.TENANT.DOMAIN`.
    pub room_domains: Vec<String>,
    /// The domain of breakout rooms, which have no owners of their own.
    pub breakout_domain: Option<String>,
    /// The domain of recorders and transcribers, who own nothing.
    pub hidden_domain: Option<String>,
    /// The component that says who may unmute himself.
    pub av_moderation: Option<Jid>,
    /// The component that says what all in a room agree on.
    pub room_metadata: Option<Jid>,
    /// Domains whose accounts may say that they are recorders, gateways or transcribers (`xmpp.trusted-domains`).
    pub trusted_domains: Vec<String>,
    /// The room in which bridges announce themselves (`bridge.brewery-jid`).
    pub brewery: Jid,
    /// More such rooms.
    pub more_breweries: Vec<Jid>,
    /// Recorders.
    pub jibri: JibriSettings,
    /// The room in which gateways to telephones and transcribers announce themselves (`jigasi.brewery-jid`).
    pub jigasi_brewery: Option<Jid>,
    /// Whether bridges tell gateways their private addresses (`jigasi.use-private-address-connectivity`).
    pub jigasi_private_addresses: bool,
    /// Who writes down what is said (`transcription`).
    pub transcription: ConnectSettings,
    /// Who translates it (`translation`).
    pub translation: TranslationSettings,
    /// Nick in every room; clients count on `focus`.
    pub nick: String,
    /// Who may open conferences; `None` for everybody (`authentication`).
    pub authentication: Option<AuthenticationSettings>,
    /// Whom the focus makes owner: the first, or, with an authority, everybody who logged in (`conference.enable-auto-owner`).
    pub moderators: Moderators,
    /// Whether only moderators may have recorders and telephones called (`conference.enable-moderator-checks`).
    pub enable_moderator_checks: bool,
    /// Participants that make a conference start (`conference.min-participants`).
    pub min_participants: usize,
    /// Whether receivers see only one SSRC of a simulcast group (`conference.strip-simulcast`).
    pub strip_simulcast: bool,
    /// Whether clients that can take sources from their bridge, under SSRCs of the bridge, do
    /// (`conference.use-ssrc-rewriting`).
    pub use_ssrc_rewriting: bool,
    /// Whether such clients tell streams apart by mid if they can (`conference.use-rtp-mid-demux`).
    pub use_rtp_mid_demux: bool,
    /// Whether clients that can read it get sources in JSON (`conference.use-json-encoded-sources`).
    pub use_json_encoded_sources: bool,
    /// How long changes of sources are collected before clients are told, by the number of participants from which that
    /// holds (`conference.source-signaling-delays`).
    pub source_signaling_delays: BTreeMap<usize, Duration>,
    /// Whether ICE may restart within a session (`conference.enable-ice-restart`).
    pub enable_ice_restart: bool,
    /// Whether clients that can are offered a data channel (`sctp.enabled`).
    pub sctp: bool,
    /// Waiting times.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// How bridges are chosen.
    pub bridge: BridgeSettings,
    /// Where things are.
    pub selection: SelectionSettings,
    /// Whether and how load moves from one bridge to another.
    pub redistribution: LoadRedistribution,
    /// What is offered.
    pub codecs: CodecSettings,
    /// Where and when clients only watch; `None` where they never do (`visitors.enabled`).
    pub visitors: Option<VisitorSettings>,
}

/// Waiting times.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// How long a room may stay empty after it was requested (`conference.initial-timeout`).
    pub initial: Duration,
    /// How long a single participant keeps its session (`conference.single-participant-timeout`).
    pub single_participant: Duration,
    /// How long an answer to an IQ may take (`xmpp.client.reply-timeout`).
    pub reply: Duration,
    /// How long to wait between attempts to join the brewery.
    pub brewery_retry: Duration,
    /// Time between health checks of a bridge (`bridge.health-checks.interval`); `None` where they are off
    /// (`bridge.health-checks.enabled`).
    pub health_check: Option<Duration>,
    /// Set, bridges are not asked but believed: one that says that it is not well, or nothing for so long, has failed
    /// (`bridge.health-checks.use-presence`, `presence-timeout`).
    pub health_by_presence: Option<Duration>,
}

/// Bounds of what peers can make the focus keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Conferences at a time.
    pub conferences: usize,
    /// Members of one main room.
    pub participants: usize,
    /// Visitors of one conference, on all its nodes.
    pub visitors: usize,
    /// SSRCs of one participant (`conference.max-ssrcs-per-user`).
    pub ssrcs_per_user: usize,
    /// SSRC groups of one participant (`conference.max-ssrc-groups-per-user`).
    pub ssrc_groups_per_user: usize,
    /// Participants that may have their microphones on (`conference.max-audio-senders`).
    pub audio_senders: usize,
    /// Participants that may show something (`conference.max-video-senders`).
    pub video_senders: usize,
    /// Requests for a restart (`conference.restart-request-rate-limits`).
    pub restart_requests: RateLimitSettings,
}

/// Recorders (`jibri.*`).
#[derive(Clone, Debug)]
pub struct JibriSettings {
    /// The room in which recorders announce themselves (`brewery-jid`).
    pub brewery: Option<Jid>,
    /// The room of those that make calls over SIP (`jibri-sip.brewery-jid`).
    pub sip_brewery: Option<Jid>,
    /// Other recorders that are tried when one fails (`num-retries`); `None` for any number.
    pub retries: Option<u32>,
    /// How long a recorder may take to begin (`pending-timeout`).
    pub pending_timeout: Duration,
    /// Whether bridges tell recorders their private addresses (`use-private-address-connectivity`).
    pub private_addresses: bool,
}

/// How often something may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitSettings {
    /// Shortest time between two.
    pub min_interval: Duration,
    /// Most in one `interval`.
    pub max_requests: usize,
    /// The time that `max_requests` is about.
    pub interval: Duration,
}

impl Settings {
    /// Whether this is a breakout room, which only owners of its conference have made.
    pub(crate) fn is_breakout(&self, room: &Jid) -> bool {
        self.breakout_domain.as_deref() == Some(room.domain())
    }

    /// Whether rooms of this domain may be requested: rooms of visitors belong to those of their main rooms.
    pub(crate) fn has_rooms_at(&self, domain: &str) -> bool {
        let is_node = self.visitors.as_ref().is_some_and(|visitors| visitors.node_of(domain).is_some());
        !is_node && self.room_domains.iter().any(|service| service == domain || tenant_of(service, domain).is_some())
    }

    /// How long changes of sources are collected in a conference of that size.
    pub(crate) fn source_signaling_delay(&self, participants: usize) -> Duration {
        self.source_signaling_delays.range(..=participants).next_back().map_or(Duration::ZERO, |(_, delay)| *delay)
    }

    /// A room beside that of the bridges, for another kind of service.
    ///
    /// # Errors
    /// [`InvalidJid`] when `name` cannot be that of a room.
    pub fn brewery_of_service(&self, name: &str) -> Result<Jid, InvalidJid> {
        Jid::new(Some(name), self.brewery.domain(), None)
    }

    /// The defaults of Jicofo for a domain, its rooms at `muc.DOMAIN` and `breakout.DOMAIN`, and what the bridge forwards.
    ///
    /// # Errors
    /// [`InvalidJid`] when `domain` is not one.
    pub fn new(domain: &str) -> Result<Self, InvalidJid> {
        let domain: Jid = domain.parse()?;
        let domain = domain.domain();
        Ok(Self {
            domain: domain.to_owned(),
            room_domains: vec![format!("muc.{domain}"), format!("breakout.{domain}")],
            breakout_domain: Some(format!("breakout.{domain}")),
            hidden_domain: Some(format!("hidden.{domain}")),
            av_moderation: Some(Jid::new(None, &format!("avmoderation.{domain}"), None)?),
            room_metadata: Some(Jid::new(None, &format!("metadata.{domain}"), None)?),
            trusted_domains: vec![format!("hidden.{domain}"), format!("auth.{domain}")],
            brewery: Jid::new(Some("jvbbrewery"), &format!("internal-muc.{domain}"), None)?,
            more_breweries: Vec::new(),
            jibri: JibriSettings::default(),
            jigasi_brewery: None,
            transcription: ConnectSettings::default(),
            translation: TranslationSettings::default(),
            jigasi_private_addresses: true,
            nick: "focus".to_owned(),
            authentication: None,
            moderators: Moderators::First,
            enable_moderator_checks: true,
            min_participants: 2,
            strip_simulcast: true,
            use_ssrc_rewriting: true,
            use_rtp_mid_demux: true,
            use_json_encoded_sources: true,
            source_signaling_delays: BTreeMap::new(),
            enable_ice_restart: true,
            sctp: true,
            timers: Timers::default(),
            limits: Limits::default(),
            bridge: BridgeSettings::default(),
            selection: SelectionSettings::default(),
            redistribution: LoadRedistribution::default(),
            codecs: CodecSettings::default(),
            visitors: None,
        })
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(15),
            single_participant: Duration::from_secs(20),
            reply: Duration::from_secs(15),
            brewery_retry: Duration::from_secs(5),
            health_check: Some(Duration::from_secs(10)),
            health_by_presence: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            conferences: 20_000,
            participants: 1_000,
            visitors: 10_000,
            ssrcs_per_user: 20,
            ssrc_groups_per_user: 20,
            audio_senders: 999_999,
            video_senders: 999_999,
            restart_requests: RateLimitSettings {
                min_interval: Duration::from_secs(5),
                max_requests: 5,
                interval: Duration::from_secs(60),
            },
        }
    }
}

impl Default for JibriSettings {
    fn default() -> Self {
        Self {
            brewery: None,
            sip_brewery: None,
            retries: Some(5),
            pending_timeout: Duration::from_secs(90),
            private_addresses: true,
        }
    }
}
