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

/// Sends tracing events to standard error. `filter` is a level, or `module=level` pairs separated by commas.
///
/// Call once, first thing in a binary; a second call changes nothing.
///
/// # Errors
/// [`InvalidFilter`] when `filter` does not parse.
pub fn init_logging(filter: &str, format: LogFormat) -> Result<(), InvalidFilter> {
    let env_filter =
        EnvFilter::try_new(filter).map_err(|source| InvalidFilter { filter: filter.to_owned(), source })?;
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
