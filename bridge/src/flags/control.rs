//! How operators and the focus see the bridge: what it says of itself, what may be asked of it, how it ends.

use std::time::Duration;

use crate::settings::{ExporterSettings, RestSettings, Settings};
use crate::shutdown::ShutdownSettings;

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Bridge control")]
pub struct ControlFlags {
    /// Take Colibri2 over HTTP at /colibri/v2/conferences of --admin: whoever reaches it rules conferences as a focus does.
    #[arg(long, env = "COLIBRI_REST_ENABLED", value_parser = clap::builder::BoolishValueParser::new())]
    pub colibri_rest: bool,
    /// Take shutdowns over HTTP at /colibri/shutdown of --admin.
    #[arg(long, env = "SHUTDOWN_REST_ENABLED", value_parser = clap::builder::BoolishValueParser::new())]
    pub shutdown_rest: bool,
    /// Start in drain mode: the focus uses other bridges until /colibri/drain/disable of --admin.
    #[arg(long, env = "TERANGA_BRIDGE_DRAIN", value_parser = clap::builder::BoolishValueParser::new())]
    pub bridge_drain: bool,
    /// Longest time that a graceful shutdown waits for conferences to end.
    #[arg(long, env = "TERANGA_GRACEFUL_SHUTDOWN_MAX", default_value = "24h", value_name = "TIME", value_parser = parse_time)]
    pub graceful_shutdown_max: Duration,
    /// With at most so many participants a graceful shutdown waits no longer.
    #[arg(long, env = "TERANGA_GRACEFUL_SHUTDOWN_MIN_PARTICIPANTS", default_value_t = 0, value_name = "NUMBER")]
    pub graceful_shutdown_min_participants: usize,
    /// Time that the focus has to move participants to other bridges before this one ends.
    #[arg(long, env = "TERANGA_SHUTTING_DOWN_DELAY", default_value = "1m", value_name = "TIME", value_parser = parse_time)]
    pub shutting_down_delay: Duration,
    /// Other bridges, which share conferences with this one, know it by that name: no other bridge may have it [default: the name
    /// of the bridge or of the host].
    #[arg(long, env = "JVB_OCTO_RELAY_ID", value_name = "NAME")]
    pub relay_id: Option<String>,
    /// Take any certificate of other bridges where the focus has them talk over WebSockets; for private networks only.
    #[arg(long, env = "TERANGA_RELAY_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub relay_insecure: bool,
    /// Tries to open a WebSocket to a transcriber or translator again before it is given up [default: no limit].
    #[arg(long, env = "TERANGA_EXPORTER_MAX_RECONNECTS", value_name = "NUMBER")]
    pub exporter_max_reconnects: Option<u32>,
    /// Pause before the second such try; the first one is at once, and each further pause is twice as long.
    #[arg(long, env = "TERANGA_EXPORTER_BASE_DELAY", default_value = "1s", value_name = "TIME", value_parser = parse_time)]
    pub exporter_base_delay: Duration,
    /// The longest of these pauses.
    #[arg(long, env = "TERANGA_EXPORTER_MAX_DELAY", default_value = "30s", value_name = "TIME", value_parser = parse_time)]
    pub exporter_max_delay: Duration,
    /// Tries are counted anew for a WebSocket that was open for so long.
    #[arg(long, env = "TERANGA_EXPORTER_STABLE_AFTER", default_value = "30s", value_name = "TIME", value_parser = parse_time)]
    pub exporter_stable_after: Duration,
    /// Version told to the focus, which has bridges of one version only in a conference [default: that of this program].
    #[arg(long, env = "TERANGA_BRIDGE_VERSION", value_name = "VERSION")]
    pub bridge_version: Option<String>,
    /// Told to the focus beside the version, to tell builds apart.
    #[arg(long, env = "TERANGA_BRIDGE_RELEASE", value_name = "RELEASE")]
    pub bridge_release: Option<String>,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "not a time with its unit, such as 90s, 5m or 24h".to_owned())
}

impl ControlFlags {
    /// Takes the flags into `settings`, of a bridge that others know by `name` unless a flag says another.
    pub fn apply(&self, settings: &mut Settings, name: Option<&str>) {
        settings.rest = RestSettings { colibri: self.colibri_rest, shutdown: self.shutdown_rest };
        settings.initial_drain = self.bridge_drain;
        settings.shutdown = ShutdownSettings {
            max_duration: self.graceful_shutdown_max,
            min_participants: self.graceful_shutdown_min_participants,
            delay: self.shutting_down_delay,
        };
        settings.exporters = ExporterSettings {
            max_reconnect_attempts: self.exporter_max_reconnects,
            base_delay: self.exporter_base_delay,
            max_delay: self.exporter_max_delay,
            stable_connection_threshold: self.exporter_stable_after,
        };
        if let Some(version) = &self.bridge_version {
            settings.version.clone_from(version);
        }
        settings.release.clone_from(&self.bridge_release);
        settings.relay_trust = net::ServerTrust::of_flag(self.relay_insecure);
        settings.relay_id = self.relay_id.as_deref().filter(|id| !id.is_empty()).or(name).map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        control: ControlFlags,
    }

    #[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
    fn settings(words: &str) -> Result<Settings, String> {
        let options = Options::try_parse_from(std::iter::once("x").chain(words.split_whitespace()))
            .map_err(|error| error.to_string())?;
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        options.control.apply(&mut settings, Some("host"));
        Ok(settings)
    }

    #[test]
    fn what_changes_a_running_bridge_is_off_until_it_is_asked_for() {
        let defaults = settings("").unwrap();
        assert_eq!((defaults.rest, defaults.shutdown), (RestSettings::default(), ShutdownSettings::default()));
        assert!(!defaults.initial_drain && defaults.release.is_none());
        assert_eq!(defaults.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(defaults.relay_id.as_deref(), Some("host"));
        assert_eq!(settings("--relay-id eu-1").unwrap().relay_id.as_deref(), Some("eu-1"));
        let both = settings("--colibri-rest --shutdown-rest --bridge-drain").unwrap();
        assert_eq!((both.rest, both.initial_drain), (RestSettings { colibri: true, shutdown: true }, true));
    }

    #[test]
    fn shutdown_and_version_are_set_by_their_flags() {
        let words = "--graceful-shutdown-max 90m --graceful-shutdown-min-participants 3 --shutting-down-delay 5s \
                     --bridge-version 2.3.7 --bridge-release b42";
        let settings = settings(words).unwrap();
        let [max_duration, delay] = [90 * 60, 5].map(Duration::from_secs);
        assert_eq!(settings.shutdown, ShutdownSettings { max_duration, min_participants: 3, delay });
        assert_eq!((settings.version.as_str(), settings.release.as_deref()), ("2.3.7", Some("b42")));
    }

    #[test]
    fn a_time_without_a_unit_is_told_with_a_good_one() {
        assert!(settings("--shutting-down-delay 60").unwrap_err().contains("such as 90s"));
    }
}
