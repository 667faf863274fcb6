//! What an operator may set. Binaries fill it; the names of jicofo's keys stand beside each field.

use std::time::Duration;

use model::tenant_of;
use xmpp::{InvalidJid, Jid};

use crate::authentication::AuthenticationSettings;

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
    /// The room in which bridges announce themselves (`bridge.brewery-jid`).
    pub brewery: Jid,
    /// Nick in every room; clients count on `focus`.
    pub nick: String,
    /// Whether the first participant becomes owner (`conference.enable-auto-owner`).
    pub enable_auto_owner: bool,
    /// Participants that make a conference start (`conference.min-participants`).
    pub min_participants: usize,
    /// Whether receivers see only one SSRC of a simulcast group (`conference.strip-simulcast`).
    pub strip_simulcast: bool,
    /// Whether clients that can read it get sources in JSON (`conference.use-json-encoded-sources`).
    pub use_json_encoded_sources: bool,
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
    /// What is offered.
    pub codecs: CodecSettings,
    /// Who may open rooms; `None` for everybody (`authentication`).
    pub authentication: Option<AuthenticationSettings>,
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
    /// Time between health checks of a bridge (`bridge.health-checks.interval`).
    pub health_check: Duration,
}

/// Bounds of what peers can make the focus keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Conferences at a time.
    pub conferences: usize,
    /// Participants of one conference.
    pub participants: usize,
    /// SSRCs of one participant (`conference.max-ssrcs-per-user`).
    pub ssrcs_per_user: usize,
    /// SSRC groups of one participant (`conference.max-ssrc-groups-per-user`).
    pub ssrc_groups_per_user: usize,
    /// Requests for a restart (`conference.restart-request-rate-limits`).
    pub restart_requests: RateLimitSettings,
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

/// How bridges are judged (`bridge.*`).
#[derive(Clone, Copy, Debug)]
pub struct BridgeSettings {
    /// A bridge with this load or more is overloaded (`stress-threshold`).
    pub stress_threshold: f64,
    /// What an endpoint adds to the load until a bridge says otherwise (`average-participant-stress`).
    pub average_participant_stress: f64,
    /// How long a new endpoint is not yet in the load that a bridge reports (`participant-rampup-interval`).
    pub participant_rampup: Duration,
    /// How long a failure is remembered (`failure-reset-threshold`).
    pub failure_reset: Duration,
}

/// Which codecs and header extensions are offered (`codec.*`).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration file")]
pub struct CodecSettings {
    /// AV1 (`codec.video.av1.enabled`).
    pub av1: bool,
    /// VP8 (`codec.video.vp8.enabled`).
    pub vp8: bool,
    /// H.264 (`codec.video.h264.enabled`).
    pub h264: bool,
    /// VP9 (`codec.video.vp9.enabled`).
    pub vp9: bool,
    /// Redundant Opus (`codec.audio.opus.red.enabled`).
    pub opus_red: bool,
    /// Telephone events (`codec.audio.telephone-event.enabled`).
    pub telephone_event: bool,
    /// Absolute send time (`codec.rtp-extensions.abs-send-time.enabled`).
    pub abs_send_time: bool,
    /// Media stream identification (`codec.rtp-extensions.mid.enabled`).
    pub mid: bool,
    /// AV1 dependency descriptor (`codec.rtp-extensions.av1-dependency-descriptor.enabled`).
    pub av1_dependency_descriptor: bool,
}

impl Settings {
    /// Whether rooms of this domain may be requested.
    pub(crate) fn has_rooms_at(&self, domain: &str) -> bool {
        self.room_domains.iter().any(|service| service == domain || tenant_of(service, domain).is_some())
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
            brewery: Jid::new(Some("jvbbrewery"), &format!("internal-muc.{domain}"), None)?,
            nick: "focus".to_owned(),
            enable_auto_owner: true,
            min_participants: 2,
            strip_simulcast: true,
            use_json_encoded_sources: true,
            enable_ice_restart: true,
            sctp: true,
            timers: Timers::default(),
            limits: Limits::default(),
            bridge: BridgeSettings::default(),
            codecs: CodecSettings::default(),
            authentication: None,
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
            health_check: Duration::from_secs(10),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            conferences: 20_000,
            participants: 1_000,
            ssrcs_per_user: 20,
            ssrc_groups_per_user: 20,
            restart_requests: RateLimitSettings {
                min_interval: Duration::from_secs(5),
                max_requests: 5,
                interval: Duration::from_secs(60),
            },
        }
    }
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            stress_threshold: 0.8,
            average_participant_stress: 0.01,
            participant_rampup: Duration::from_secs(20),
            failure_reset: Duration::from_secs(60),
        }
    }
}

impl Default for CodecSettings {
    fn default() -> Self {
        Self {
            av1: false,
            vp8: true,
            h264: false,
            vp9: false,
            opus_red: false,
            telephone_event: false,
            abs_send_time: true,
            mid: false,
            av1_dependency_descriptor: false,
        }
    }
}
