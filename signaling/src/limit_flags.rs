//! What an operator says about how much one client or one address may do, under the names of docker-jitsi-meet where it has
//! one.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use model::Network;

use crate::{LoginRate, Settings, StanzaRates};

/// Joins of a room in a second where rates are limited, as in stock (`muc_rate_limit`).
const STOCK_JOINS: NonZeroU32 = NonZeroU32::new(3).unwrap();
/// Departures likewise.
const STOCK_LEAVES: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitFlags {
    /// Bytes a second that are read from a client for long, such as 16kb/s; docker-jitsi-meet has 10kb/s.
    #[arg(long, env = "PROSODY_C2S_LIMIT", default_value = "16384b/s", value_name = "RATE")]
    pub client_rate: ByteRate,
    /// Read clients as fast as they send.
    #[arg(long, env = "PROSODY_DISABLE_C2S_LIMIT", value_parser = BoolishValueParser::new())]
    pub no_client_rate: bool,
    /// Connections that one address may have at one time; no limit when left out. An office may come from one address.
    #[arg(long, env = "TERANGA_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// Limit how fast one address connects and what one client sends (--limit-stanzas), and joins and departures of a room to
    /// 3 and 5 a second unless said otherwise.
    #[arg(long, env = "PROSODY_ENABLE_RATE_LIMITS", value_parser = BoolishValueParser::new())]
    pub limit_rates: bool,
    /// Connections of one address in a second; those beyond are slowed down.
    #[arg(long, env = "PROSODY_RATE_LIMIT_LOGIN_RATE", default_value = "3", value_name = "NUMBER")]
    pub login_rate: NonZeroU32,
    /// Bytes a second that are read from a connection that is slowed down.
    #[arg(long, env = "PROSODY_RATE_LIMIT_SESSION_RATE", default_value = "200", value_name = "BYTES")]
    pub slowed_rate: NonZeroU32,
    /// Seconds for which it is.
    #[arg(long, env = "PROSODY_RATE_LIMIT_TIMEOUT", default_value = "60", value_name = "SECONDS")]
    pub slowed_for: u32,
    /// Addresses that are remembered for this.
    #[arg(long, env = "PROSODY_RATE_LIMIT_CACHE_SIZE", default_value = "10000", value_name = "NUMBER")]
    pub login_rate_addresses: NonZeroUsize,
    /// Address or network for which limits of addresses do not hold, besides this host; may be repeated.
    #[arg(
        long,
        env = "PROSODY_RATE_LIMIT_ALLOW_RANGES",
        value_delimiter = ',',
        default_value = "10.0.0.0/8",
        value_name = "NETWORK"
    )]
    pub unlimited_network: Vec<Network>,
}

/// Bytes a second, written as Prosody does: `10kb/s` are 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(NonZeroU32);

impl FromStr for ByteRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "is not of the form 10kb/s, 1mb/s or 500b/s";
        let quantity = text.trim().to_ascii_lowercase();
        let quantity = quantity.strip_suffix("b/s").ok_or(WRONG)?.trim_end();
        let (number, unit) = match (quantity.strip_suffix('k'), quantity.strip_suffix('m')) {
            (Some(number), _) => (number, 1000_u32),
            (None, Some(number)) => (number, 1_000_000),
            (None, None) => (quantity, 1),
        };
        let number: u32 = number.trim_end().parse().map_err(|_| WRONG)?;
        let bytes = number.checked_mul(unit).and_then(NonZeroU32::new).ok_or(WRONG)?;
        Ok(Self(bytes))
    }
}

impl LimitFlags {
    /// Puts what was said into settings, after what was said about rooms.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        let limits = &mut settings.limits;
        limits.client_bytes_per_second = if self.no_client_rate { u32::MAX } else { self.client_rate.0.get() };
        limits.addresses.connections = self.max_connections_per_address.map(NonZeroUsize::get);
        limits.addresses.exempt.clone_from(&self.unlimited_network);
        let this_host: [Network; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        limits.addresses.exempt.extend(this_host);
        if !self.limit_rates {
            return;
        }
        limits.addresses.logins = Some(LoginRate {
            per_second: self.login_rate.get(),
            slowed_to: self.slowed_rate.get(),
            slowed_for: Duration::from_secs(self.slowed_for.into()),
            addresses: self.login_rate_addresses.get(),
        });
        limits.stanzas = Some(StanzaRates::STOCK);
        settings.conference.joins_per_second.get_or_insert(STOCK_JOINS);
        settings.conference.leaves_per_second.get_or_insert(STOCK_LEAVES);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<LimitFlags>;

    fn settings(words: &str) -> Settings {
        let mut settings = Settings::default();
        Options::try_parse_from(words.split_whitespace()).unwrap().flags.apply(&mut settings);
        settings
    }

    #[test]
    fn nothing_said_leaves_addresses_alone() {
        let limits = settings("x").limits;
        assert_eq!(limits.client_bytes_per_second, Settings::default().limits.client_bytes_per_second);
        assert_eq!((limits.addresses.connections, limits.addresses.logins, limits.stanzas), (None, None, None));
    }

    #[test]
    fn rates_are_limited_as_docker_does() {
        let mut limited = settings("x --limit-rates --max-connections-per-address 20 --client-rate 10kb/s");
        assert_eq!(limited.limits.client_bytes_per_second, 10_000);
        assert_eq!(limited.limits.addresses.connections, Some(20));
        assert_eq!(limited.limits.addresses.logins, Some(LoginRate::STOCK));
        assert_eq!(limited.limits.stanzas, Some(StanzaRates::STOCK));
        assert_eq!(limited.conference.joins_per_second, Some(STOCK_JOINS));
        assert_eq!(limited.limits.addresses.exempt.len(), 3);
        limited.conference.joins_per_second = NonZeroU32::new(50);
        Options::try_parse_from(["x", "--limit-rates"]).unwrap().flags.apply(&mut limited);
        assert_eq!(limited.conference.joins_per_second, NonZeroU32::new(50), "what was said holds");
        assert_eq!(settings("x --no-client-rate").limits.client_bytes_per_second, u32::MAX);
    }

    #[test]
    fn a_rate_is_written_as_prosody_does() {
        for (text, bytes) in [("10kb/s", 10_000), ("1 MB/s", 1_000_000), ("500b/s", 500)] {
            assert_eq!(text.parse::<ByteRate>().unwrap().0.get(), bytes, "{text}");
        }
        for bad in ["", "10", "kb/s", "0kb/s", "10kb", "-1b/s", "9999mb/s", "10kkb/s", "10mkb/s", "10kkb/s x"] {
            assert!(bad.parse::<ByteRate>().is_err(), "{bad}");
        }
    }
}
