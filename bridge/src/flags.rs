//! The flags of a bridge, written once: they have the same names in every binary that runs a bridge.
//!
//! Not here: what they do (`settings`, `addresses`). The library itself reads neither flags nor the environment.

mod control;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::Settings;
use crate::addresses::{AddressFilter, AddressMapping, AddressSettings, Cloud, PrivateAddresses, StunServer};
use crate::audio::{
    AddedRedundancy, AudioSettings, LoudestSettings, Redundancy, RedundancyDistance as Distance, Repeated,
};
use crate::last_n::{LastNSettings, LoadReducerSettings};
use crate::settings::{LayerRates, MAX_MEDIA_HOLD};

pub use control::ControlFlags;

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Media")]
pub struct MediaFlags {
    /// UDP port of media.
    #[arg(long, env = "TERANGA_MEDIA_PORT", default_value_t = 10_000, value_name = "PORT")]
    pub media_port: u16,
    /// TCP port of media, for clients whose network blocks UDP; 0 turns it off.
    #[arg(long, env = "TERANGA_MEDIA_TCP_PORT", default_value_t = 4443, value_name = "PORT")]
    pub media_tcp_port: u16,
    /// UDP ports from which links to other bridges start, one for each link [default: any that are free].
    #[arg(long, env = "TERANGA_MEDIA_LINK_PORTS", value_name = "FROM-TO", value_parser = parse_ports)]
    pub media_link_ports: Option<RangeInclusive<u16>>,
    /// Threads that forward media [default: one for each core].
    #[arg(
        long, env = "TERANGA_MEDIA_THREADS", value_name = "NUMBER",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256)
    )]
    pub media_threads: Option<usize>,
    /// Address that clients send media to, instead of this host's own; may be repeated. Needed behind a NAT. IP for all
    /// ports, IP:PORT for a forwarded UDP port, IP:PORT/tcp for a TCP one, LOCAL_IP=IP with several addresses.
    #[arg(long, env = "TERANGA_MEDIA_ADDRESS", value_delimiter = ',', value_name = "[LOCAL=]IP[:PORT][/tcp]")]
    pub media_address: Vec<AddressMapping>,
    /// Tell clients only addresses of these interfaces and networks of this host; may be repeated [default: all but
    /// those of containers].
    #[arg(long, env = "TERANGA_MEDIA_ALLOW", value_delimiter = ',', value_name = "INTERFACE|NETWORK")]
    pub media_allow: Vec<AddressFilter>,
    /// Never tell clients addresses of these interfaces and networks of this host; may be repeated.
    #[arg(long, env = "TERANGA_MEDIA_DENY", value_delimiter = ',', value_name = "INTERFACE|NETWORK")]
    pub media_deny: Vec<AddressFilter>,
    /// Whether clients are told private addresses, such as 10.0.0.5.
    #[arg(long, env = "TERANGA_MEDIA_PRIVATE", value_enum, default_value_t, value_name = "WHEN")]
    pub media_private: PrivateAddresses,
    /// STUN server to ask for the public address of a NAT in front; may be repeated.
    #[arg(long, env = "TERANGA_MEDIA_STUN_SERVER", value_delimiter = ',', value_name = "HOST[:PORT]")]
    pub media_stun_server: Vec<StunServer>,
    /// Ask the metadata service of this cloud for the public address.
    #[arg(long, env = "TERANGA_MEDIA_CLOUD", value_enum, value_name = "CLOUD")]
    pub media_cloud: Option<Cloud>,
    /// How long an idle media thread lets packets gather before it takes them, at most 1ms: saves CPU time, and delays
    /// them all.
    #[arg(long, env = "TERANGA_MEDIA_HOLD", default_value = "0", value_name = "TIME", value_parser = parse_hold)]
    pub media_hold: Duration,
    /// Do without a feature of the host that media would use, to find out whether it causes a fault; may be repeated.
    #[arg(long, env = "TERANGA_MEDIA_WITHOUT", value_enum, value_delimiter = ',', value_name = "FEATURE")]
    pub media_without: Vec<HostFeature>,
    /// What becomes of redundant audio (RED) on the way to clients that take it.
    #[arg(long, env = "TERANGA_AUDIO_RED", value_enum, default_value_t, value_name = "WHAT")]
    pub audio_red: AudioRed,
    /// How many packets back added redundancy reaches.
    #[arg(
        long, env = "TERANGA_AUDIO_RED_DISTANCE", default_value_t = 2, value_name = "1|2",
        value_parser = clap::value_parser!(u8).range(1..=2)
    )]
    pub audio_red_distance: u8,
    /// Add redundancy for packets without speech too.
    #[arg(long, env = "TERANGA_AUDIO_RED_ALL", value_parser = clap::builder::BoolishValueParser::new())]
    pub audio_red_all: bool,
    /// Forward silent audio packets too. Without it those of a muted microphone end at the bridge.
    #[arg(long, env = "TERANGA_AUDIO_KEEP_SILENCE", value_parser = clap::builder::BoolishValueParser::new())]
    pub audio_keep_silence: bool,
    /// Forward only so many participants' audio at once, the loudest, and the dominant speaker [default: all].
    #[arg(
        long, env = "TERANGA_AUDIO_LOUDEST", value_name = "NUMBER",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000)
    )]
    pub audio_loudest: Option<usize>,
    /// Videos that a participant gets at most, whatever its client asks for [default: no limit].
    #[arg(long, env = "TERANGA_LAST_N", value_name = "NUMBER")]
    pub last_n: Option<usize>,
    /// The same for conferences with at least so many videos; may be repeated, such as 20=20,50=10.
    #[arg(long, env = "TERANGA_LAST_N_BY_SIZE", value_delimiter = ',', value_name = "VIDEOS=NUMBER", value_parser = parse_size)]
    pub last_n_by_size: Vec<(usize, usize)>,
    /// Take videos away from all participants while media threads are busy nine tenths of the time.
    #[arg(long, env = "TERANGA_LAST_N_BY_LOAD", value_parser = clap::builder::BoolishValueParser::new())]
    pub last_n_by_load: bool,
    /// Divide bandwidth by what senders say that their layers are to take, rather than by what was measured of these.
    #[arg(long, env = "ENABLE_VLA", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    pub vla_target_bitrate: bool,
    /// Do something wrong on purpose, to see whether a measurement detects it.
    #[cfg(feature = "planted-faults")]
    #[arg(long, value_name = "drop=N%|delay=Nms|layer=lowest|layer=highest")]
    pub planted_fault: Option<crate::PlantedFault>,
}

/// What media uses where the host has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HostFeature {
    /// The kernel cuts one message into many datagrams (UDP GSO).
    Gso,
    /// The kernel spreads datagrams over the sockets of all threads (SO_REUSEPORT).
    Reuseport,
    /// The kernel gives each datagram to the thread that handles its sender.
    Steering,
    /// Threads are pinned to CPUs.
    Pinning,
    /// IPv6.
    Ipv6,
}

/// What becomes of redundant audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AudioRed {
    /// It goes on as clients send it.
    #[default]
    Keep,
    /// It is taken away, which saves bandwidth.
    Strip,
    /// It is added where clients send none. Not for conferences that are encrypted end to end.
    Add,
}

/// `0`, `250us` or `0.5ms`.
fn parse_hold(text: &str) -> Result<Duration, String> {
    let (number, unit_us) = match (text.strip_suffix("us").or_else(|| text.strip_suffix("µs")), text.strip_suffix("ms"))
    {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) if text == "0" => (text, 1.0),
        (None, None) => return Err("not a time with its unit, such as 250us or 0.5ms".to_owned()),
    };
    let number: f64 = number.trim().parse().map_err(|_| "not a time such as 250us or 0.5ms".to_owned())?;
    let hold = Duration::try_from_secs_f64(number * unit_us / 1e6).ok().filter(|hold| *hold <= MAX_MEDIA_HOLD);
    hold.ok_or_else(|| "not in 0..=1ms".to_owned())
}

/// `20000-20999`.
fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let ports = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    let ports = ports.filter(|ports: &RangeInclusive<u16>| *ports.start() > 0 && !ports.is_empty());
    ports.ok_or_else(|| "not a range of ports such as 20000-20999".to_owned())
}

/// `20=5`.
fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('=').and_then(|(size, most)| Some((size.parse().ok()?, most.parse().ok()?)));
    numbers.ok_or_else(|| "not two numbers such as 20=5".to_owned())
}

impl MediaFlags {
    /// Takes the flags into `settings`, for a bridge that listens on `address`.
    pub fn apply(&self, settings: &mut Settings, address: IpAddr) {
        settings.media_address = SocketAddr::new(address, self.media_port);
        settings.media_tcp_port = Some(self.media_tcp_port).filter(|port| *port != 0);
        settings.link_ports.clone_from(&self.media_link_ports);
        settings.media_threads = self.media_threads;
        settings.addresses = AddressSettings {
            mappings: self.media_address.clone(),
            allow: self.media_allow.clone(),
            deny: self.media_deny.clone(),
            private: self.media_private,
            stun_servers: self.media_stun_server.clone(),
            cloud: self.media_cloud,
        };
        settings.media_hold = self.media_hold;
        settings.audio = self.audio();
        settings.last_n = LastNSettings {
            any: self.last_n,
            by_size: self.last_n_by_size.iter().copied().collect(),
            by_load: self.last_n_by_load.then(LoadReducerSettings::default),
        };
        settings.layer_rates = if self.vla_target_bitrate { LayerRates::Targets } else { LayerRates::Measured };
        let is_without = |feature| self.media_without.contains(&feature);
        settings.media_without = net::Without {
            gso: is_without(HostFeature::Gso),
            reuseport: is_without(HostFeature::Reuseport),
            steering: is_without(HostFeature::Steering),
            pinning: is_without(HostFeature::Pinning),
            ipv6: is_without(HostFeature::Ipv6),
        };
        #[cfg(feature = "planted-faults")]
        {
            settings.planted_fault = self.planted_fault;
        }
    }

    fn audio(&self) -> AudioSettings {
        let default = AudioSettings::default();
        let redundancy = match self.audio_red {
            AudioRed::Keep => Redundancy::Keep,
            AudioRed::Strip => Redundancy::Strip,
            AudioRed::Add => Redundancy::Add(AddedRedundancy {
                distance: if self.audio_red_distance == 1 { Distance::One } else { Distance::Two },
                repeated: if self.audio_red_all { Repeated::Everything } else { Repeated::Speech },
            }),
        };
        AudioSettings {
            redundancy,
            silence: default.silence.filter(|_| !self.audio_keep_silence),
            loudest: self.audio_loudest.map(LoudestSettings::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        media: MediaFlags,
    }

    #[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
    fn settings(words: &str) -> Result<Settings, String> {
        let options = Options::try_parse_from(std::iter::once("x").chain(words.split_whitespace()))
            .map_err(|error| error.to_string())?;
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        options.media.apply(&mut settings, IpAddr::from([0, 0, 0, 0]));
        Ok(settings)
    }

    #[test]
    fn without_flags_settings_are_the_defaults() {
        let settings = settings("").unwrap();
        assert_eq!(settings.media_address, SocketAddr::from(([0, 0, 0, 0], 10_000)));
        assert_eq!((settings.media_tcp_port, settings.media_threads), (Some(4443), None));
        assert!(settings.addresses.mappings.is_empty() && settings.addresses.cloud.is_none());
        assert_eq!((settings.media_hold, settings.media_without), (Duration::ZERO, net::Without::default()));
        assert_eq!(settings.audio, AudioSettings::default());
    }

    #[test]
    fn videos_are_limited_by_flags() {
        let words = "--last-n 30 --last-n-by-size 20=20,50=10 --last-n-by-size 90=2 --last-n-by-load";
        let last_n = settings(words).unwrap().last_n;
        assert_eq!((last_n.any, last_n.by_load), (Some(30), Some(LoadReducerSettings::default())));
        assert_eq!(last_n.by_size.into_iter().collect::<Vec<_>>(), [(20, 20), (50, 10), (90, 2)]);
        assert_eq!(settings("").unwrap().last_n, LastNSettings::default());
    }

    #[test]
    fn audio_is_set_by_its_flags() {
        let audio = settings("--audio-red strip --audio-keep-silence --audio-loudest 3").unwrap().audio;
        assert_eq!((audio.redundancy, audio.silence), (Redundancy::Strip, None));
        assert_eq!(audio.loudest, Some(LoudestSettings::of(3)));
        let added = |words| settings(words).unwrap().audio.redundancy;
        let (distance, repeated) = (Distance::Two, Repeated::Speech);
        assert_eq!(added("--audio-red add"), Redundancy::Add(AddedRedundancy { distance, repeated }));
        let (distance, repeated) = (Distance::One, Repeated::Everything);
        let words = "--audio-red add --audio-red-distance 1 --audio-red-all";
        assert_eq!(added(words), Redundancy::Add(AddedRedundancy { distance, repeated }));
    }

    #[test]
    fn features_are_done_without_by_name() {
        let one = settings("--media-without gso").unwrap().media_without;
        assert_eq!(one, net::Without { gso: true, ..net::Without::default() });
        let all = settings("--media-without reuseport,steering --media-without pinning,ipv6").unwrap().media_without;
        assert_eq!(all, net::Without { gso: false, reuseport: true, steering: true, pinning: true, ipv6: true });
    }

    #[test]
    fn a_hold_has_its_unit_and_is_at_most_a_millisecond() {
        for (text, us) in [("0", 0), ("0us", 0), ("250us", 250), ("0.5ms", 500), ("1ms", 1000), ("1000us", 1000)] {
            let hold = settings(&format!("--media-hold {text}")).unwrap().media_hold;
            assert_eq!(hold, Duration::from_micros(us), "{text}");
        }
        for text in ["1", "0.5", "1s", "2ms", "1001us", "-1us", "nanms", "infms", "ms", "x"] {
            assert!(parse_hold(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_and_lists_arrive_in_the_settings() {
        let words = "--media-port 20000 --media-tcp-port 0 --media-threads 2 --media-link-ports 20001-20999 --media-address 203.0.113.7,203.0.113.8:443/tcp \
                     --media-address 10.0.0.5=203.0.113.9 --media-allow eth*,10.0.0.0/8 --media-deny docker0 \
                     --media-private fallback --media-stun-server stun.example.org --media-cloud gcp";
        let settings = settings(words).unwrap();
        assert_eq!(settings.media_address.port(), 20_000);
        assert_eq!(settings.link_ports, Some(20_001..=20_999));
        assert_eq!((settings.media_tcp_port, settings.media_threads), (None, Some(2)));
        let addresses = settings.addresses;
        let mappings: Vec<_> = addresses.mappings.iter().map(ToString::to_string).collect();
        assert_eq!(mappings, ["203.0.113.7", "203.0.113.8:443/tcp", "10.0.0.5=203.0.113.9"]);
        assert_eq!((addresses.allow.len(), addresses.deny.len()), (2, 1));
        assert_eq!((addresses.private, addresses.cloud), (PrivateAddresses::Fallback, Some(Cloud::Gcp)));
        assert_eq!(addresses.stun_servers.first().map(ToString::to_string), Some("stun.example.org:3478".to_owned()));
    }

    #[test]
    fn bad_values_say_what_a_good_one_looks_like() {
        for (words, hint) in [
            ("--media-address nowhere", "such as 203.0.113.7"),
            ("--media-allow 10.0.0.0/99", "such as eth0"),
            ("--media-stun-server a:b:c", "such as stun.example.org"),
            ("--media-threads 0", "1..=256"),
            ("--media-link-ports 20000", "such as 20000-20999"),
            ("--media-link-ports 20000-19999", "such as 20000-20999"),
            ("--media-link-ports 0-10", "such as 20000-20999"),
            ("--media-cloud abacus", "aws, gcp, azure"),
            ("--media-private maybe", "always, fallback, never"),
            ("--media-hold 1", "such as 250us"),
            ("--media-hold 2ms", "0..=1ms"),
            ("--audio-red maybe", "keep, strip, add"),
            ("--audio-red-distance 3", "1..=2"),
            ("--audio-loudest 0", "1..=1000"),
            ("--last-n-by-size 20:5", "such as 20=5"),
            ("--media-without speed", "gso, reuseport, steering, pinning, ipv6"),
        ] {
            let error = settings(words).unwrap_err();
            assert!(error.contains(hint), "{words}: {error}");
        }
    }
}
