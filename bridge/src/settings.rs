//! What an operator may set about a bridge.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use xmpp::Jid;

use crate::addresses::AddressSettings;
use crate::audio::AudioSettings;
use crate::last_n::LastNSettings;
use crate::shutdown::ShutdownSettings;

/// The longest [`Settings::media_hold`]: more would be felt in a conversation.
pub(crate) const MAX_MEDIA_HOLD: Duration = Duration::from_millis(1);

/// What of the private HTTP interface is on besides what only tells figures and states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestSettings {
    /// Colibri2 over HTTP, `/colibri/v2/conferences`: whoever reaches it rules conferences as a focus does. Default: no.
    pub colibri: bool,
    /// `/colibri/shutdown`. Default: no.
    pub shutdown: bool,
}

/// Which rate of a layer counts where both are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerRates {
    /// What was measured.
    #[default]
    Measured,
    /// What its sender says that it is to take (JVB's `use-vla-target-bitrate`).
    Targets,
}

/// How WebSockets to recorders, transcribers and translators are opened again (JVB's `videobridge.exporter`).
#[derive(Clone, Copy, Debug)]
pub struct ExporterSettings {
    /// Tries to open one again before it is given up (`max-reconnect-attempts`). Default: no limit.
    pub max_reconnect_attempts: Option<u32>,
    /// Pause before the second try; the first one is at once, and each further pause twice as long (`base-delay`).
    /// Default: 1 s.
    pub base_delay: Duration,
    /// The longest pause (`max-delay`). Default: 30 s.
    pub max_delay: Duration,
    /// One that was open for so long begins to count tries anew (`stable-connection-threshold`). Default: 30 s.
    pub stable_connection_threshold: Duration,
}

impl Default for ExporterSettings {
    fn default() -> Self {
        let (base_delay, max_delay) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { max_reconnect_attempts: None, base_delay, max_delay, stable_connection_threshold: max_delay }
    }
}

impl ExporterSettings {
    /// The pause before a try, of which the first one has the number 1. `None`: there is no such try.
    pub(crate) fn pause(&self, attempt: u32) -> Option<Duration> {
        if self.max_reconnect_attempts.is_some_and(|most| attempt > most) {
            return None;
        }
        let Some(doublings) = attempt.checked_sub(2) else { return Some(Duration::ZERO) };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Some(self.base_delay.saturating_mul(factor).min(self.max_delay))
    }
}

/// Settings of one bridge. [`Settings::for_domain`] serves a single host without any configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where media is received. Default: UDP port 10000 on all addresses, IPv6 and IPv4.
    pub media_address: SocketAddr,
    /// Which addresses clients are told. Default: all addresses of this host.
    pub addresses: AddressSettings,
    /// TCP port on the same addresses, for clients whose network blocks UDP (RFC 6544); 0 lets the system choose one,
    /// `None` is no media over TCP. Default: 4443.
    pub media_tcp_port: Option<u16>,
    /// UDP ports from which this bridge starts links to others, one for each link that a focus wants so
    /// (`use-unique-port`). Default: any that are free.
    pub link_ports: Option<RangeInclusive<u16>>,
    /// A TCP port of another listener that hands connections with media over
    /// ([`Bridge::ice_tcp`](crate::Bridge::ice_tcp)), such as the one of https. Default: none.
    pub shared_tcp_port: Option<u16>,
    /// Threads that forward media. `None`, the default: one for each CPU that the process may use.
    pub media_threads: Option<usize>,
    /// How long a media thread that was idle lets packets gather before it takes them, at most 1 ms: longer runs of
    /// datagrams cost less each, and all wait. Default: 0, no waiting.
    pub media_hold: Duration,
    /// What media does without although the kernel has it; to find faults. Default: nothing.
    pub media_without: net::Without,
    /// Redundancy, silence, and how many are heard at once. Default: as Jitsi's bridge.
    pub audio: AudioSettings,
    /// How many videos a receiver gets at most. Default: as many as it asks for.
    pub last_n: LastNSettings,
    /// Which rates bandwidth is divided by, where senders tell what their layers are to take. Default: measured ones.
    pub layer_rates: LayerRates,
    /// What this bridge does wrong on purpose. Default: nothing.
    #[cfg(feature = "planted-faults")]
    pub planted_fault: Option<crate::PlantedFault>,
    /// `wss://host[:port]` under which clients reach `/colibri-ws/` of this bridge, and other bridges `/colibri-relay-ws/`. `None`:
    /// only data channels, and WebSockets that this bridge opens.
    pub web_socket_base: Option<String>,
    /// Names this bridge in the path of its WebSocket URLs, so that a proxy can tell bridges apart. Default:
    /// `default-id`, as JVB's.
    pub server_id: String,
    /// The room in which bridges announce themselves to the focus.
    pub brewery: Jid,
    /// Nick in the brewery; one for each bridge.
    pub nick: String,
    /// Region told to the focus.
    pub region: Option<String>,
    /// Names this bridge to others that share conferences with it, and lets a focus have it do so; unlike that of any other
    /// bridge. `None`: it shares none.
    pub relay_id: Option<String>,
    /// Which certificates of other bridges are accepted where relays talk over WebSockets. Default: those that the host trusts.
    pub relay_trust: net::ServerTrust,
    /// Version told to the focus, which has bridges of one version only in a conference. Default: that of this program.
    pub version: String,
    /// Tells builds of one version apart.
    pub release: Option<String>,
    /// Whether the bridge starts in drain mode, so that it gets conferences only when told otherwise. Default: no.
    pub initial_drain: bool,
    /// How it ends when it is asked to.
    pub shutdown: ShutdownSettings,
    /// What operators may do over HTTP.
    pub rest: RestSettings,
    /// Whether an operator may have RTP and RTCP of an endpoint decrypted in a packet trace. Whoever reaches the admin
    /// listener can listen to conferences then. Default: no.
    pub allow_plain_captures: bool,
    /// How WebSockets to recorders, transcribers and translators are opened again.
    pub exporters: ExporterSettings,
    /// Most conferences at once; more are refused. Default: 10000.
    pub max_conferences: usize,
    /// Most endpoints in one conference; more are refused. Default: 1000.
    pub max_endpoints_per_conference: usize,
}

impl Settings {
    /// Defaults for a bridge of the XMPP domain `domain`, such as `meet.jitsi`.
    ///
    /// # Errors
    /// [`xmpp::InvalidJid`] when `domain` is none.
    pub fn for_domain(domain: &str) -> Result<Self, xmpp::InvalidJid> {
        Ok(Self {
            media_address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 10_000)),
            addresses: AddressSettings::default(),
            media_tcp_port: Some(4443),
            link_ports: None,
            shared_tcp_port: None,
            media_threads: None,
            media_hold: Duration::ZERO,
            media_without: net::Without::default(),
            audio: AudioSettings::default(),
            last_n: LastNSettings::default(),
            layer_rates: LayerRates::default(),
            #[cfg(feature = "planted-faults")]
            planted_fault: None,
            web_socket_base: None,
            server_id: "default-id".to_owned(),
            brewery: Jid::new(Some("jvbbrewery"), &format!("internal-muc.{domain}"), None)?,
            nick: "teranga".to_owned(),
            region: None,
            relay_id: None,
            relay_trust: net::ServerTrust::System,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            release: None,
            initial_drain: false,
            shutdown: ShutdownSettings::default(),
            rest: RestSettings::default(),
            allow_plain_captures: false,
            exporters: ExporterSettings::default(),
            max_conferences: 10_000,
            max_endpoints_per_conference: 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_exporters_double_up_to_the_longest() {
        let settings = ExporterSettings { max_reconnect_attempts: Some(100), ..ExporterSettings::default() };
        let pauses: Vec<_> = (1..=8).map(|attempt| settings.pause(attempt).unwrap().as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(settings.pause(100), Some(Duration::from_secs(30)));
        assert_eq!(settings.pause(101), None);
    }
}
