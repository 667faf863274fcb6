//! What operators see of a running service: its log and its counters.
//!
//! Here: setting tracing up, the registry of metrics. Not here: the counters themselves, which live where they count.

use std::io::IsTerminal;

use prometheus::{Encoder, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For a person at a terminal.
    #[default]
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// A log filter that does not parse, such as `inof`.
#[derive(Debug, thiserror::Error)]
#[error("log filter {filter:?} is not a level or a list of module=level")]
pub struct InvalidFilter {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Protocol libraries that log, at warn and error, what a peer sends: anybody could fill the log. What they refuse is
/// counted by the crates around them.
const PEER_DRIVEN: [&str; 3] = ["dimpl", "is", "sctp_proto"];

/// Sends tracing events to standard error. `filter` is a level, or `module=level` pairs separated by commas. Protocol
/// libraries are silent unless the filter names them.
///
/// Call once, first thing in a binary; a second call changes nothing.
///
/// # Errors
/// [`InvalidFilter`] when `filter` does not parse.
pub fn init_logging(filter: &str, format: LogFormat) -> Result<(), InvalidFilter> {
    let env_filter = EnvFilter::try_new(with_silenced_libraries(filter))
        .map_err(|source| InvalidFilter { filter: filter.to_owned(), source })?;
    let is_terminal = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(env_filter).with_ansi(is_terminal).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if installed.is_err() {
        tracing::debug!("logging was set up before");
    }
    Ok(())
}

/// Tells in one line, as a warning, what a service does without on this host; nothing when nothing is missing.
pub fn tell_missing(missing: &[String]) {
    if !missing.is_empty() {
        tracing::warn!("runs without {}", missing.join(", "));
    }
}

fn with_silenced_libraries(filter: &str) -> String {
    let names = |library: &str| filter.split(',').any(|directive| directive.trim().starts_with(&format!("{library}=")));
    let silenced = PEER_DRIVEN.into_iter().filter(|library| !names(library)).map(|library| format!("{library}=off"));
    std::iter::once(filter.to_owned()).chain(silenced).collect::<Vec<_>>().join(",")
}

/// Everything in `registry` in Prometheus' text format 0.0.4. Metrics that do not encode are left out.
#[must_use]
pub fn render_metrics(registry: &Registry) -> String {
    let mut text = Vec::new();
    let families = registry.gather();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::warn!(%error, "metrics do not encode");
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_log_what_peers_send_are_silent_unless_named() {
        assert_eq!(with_silenced_libraries("info"), "info,dimpl=off,is=off,sctp_proto=off");
        assert_eq!(with_silenced_libraries("info,sctp_proto=warn"), "info,sctp_proto=warn,dimpl=off,is=off");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = init_logging("bridge=loud", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("bridge=loud"), "{error}");
    }
}
