//! The flags of media, written once: they have the same names in every binary that runs a bridge.
//!
//! Not here: what they do (`settings`, `addresses`). The library itself reads neither flags nor the environment.

use std::net::{IpAddr, SocketAddr};

use crate::Settings;
use crate::addresses::{AddressFilter, AddressMapping, AddressSettings, Cloud, PrivateAddresses, StunServer};

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
}

impl MediaFlags {
    /// Takes the flags into `settings`, for a bridge that listens on `address`.
    pub fn apply(&self, settings: &mut Settings, address: IpAddr) {
        settings.media_address = SocketAddr::new(address, self.media_port);
        settings.media_tcp_port = Some(self.media_tcp_port).filter(|port| *port != 0);
        settings.media_threads = self.media_threads;
        settings.addresses = AddressSettings {
            mappings: self.media_address.clone(),
            allow: self.media_allow.clone(),
            deny: self.media_deny.clone(),
            private: self.media_private,
            stun_servers: self.media_stun_server.clone(),
            cloud: self.media_cloud,
        };
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
    }

    #[test]
    fn flags_and_lists_arrive_in_the_settings() {
        let words = "--media-port 20000 --media-tcp-port 0 --media-threads 2 --media-address 203.0.113.7,203.0.113.8:443/tcp \
                     --media-address 10.0.0.5=203.0.113.9 --media-allow eth*,10.0.0.0/8 --media-deny docker0 \
                     --media-private fallback --media-stun-server stun.example.org --media-cloud gcp";
        let settings = settings(words).unwrap();
        assert_eq!(settings.media_address.port(), 20_000);
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
            ("--media-cloud abacus", "aws, gcp, azure"),
            ("--media-private maybe", "always, fallback, never"),
        ] {
            let error = settings(words).unwrap_err();
            assert!(error.contains(hint), "{words}: {error}");
        }
    }
}
