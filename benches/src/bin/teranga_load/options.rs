//! The command line.

use std::path::PathBuf;

use benches::load::expect::Expectation;
use benches::load::process::ProcessQuery;
use benches::load::scenario::{ScenarioOptions, SignalingKind, TargetOptions};
use clap::{Args, Parser};

/// Loads a Jitsi-compatible deployment with simulated participants and reports what they felt.
///
/// Every participant is a real client: XMPP over WebSocket, conference request, Jingle, ICE over UDP, DTLS-SRTP, bridge
/// channel, and media with RTX, NACK, PLI and transport-wide feedback. Exit code: 0 when all expectations are met, 1 when not,
/// 2 when there was no run.
#[derive(Parser, Debug)]
#[command(name = "teranga-load", version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: TargetOptions,
    #[command(flatten)]
    pub(crate) scenario: ScenarioOptions,
    #[command(flatten)]
    pub(crate) report: ReportOptions,
    /// Compare with this deployment: both in turn, A B A B …; its domains come from its config.js.
    #[arg(long = "vs", value_name = "URL", help_heading = "Comparison")]
    pub(crate) versus: Option<String>,
    /// What the other deployment speaks.
    #[arg(long, default_value = "jitsi", help_heading = "Comparison", requires = "versus")]
    pub(crate) vs_signaling: SignalingKind,
    /// PID or name of a server process of the other deployment; can be given again.
    #[arg(long, value_name = "PID|NAME", help_heading = "Comparison", requires = "versus")]
    pub(crate) vs_server: Vec<ProcessQuery>,
    /// What tables call the first deployment (default: its URL).
    #[arg(long, value_name = "TEXT", help_heading = "Comparison", requires = "versus")]
    pub(crate) name: Option<String>,
    /// What they call the other one (default: its URL).
    #[arg(long, value_name = "TEXT", help_heading = "Comparison", requires = "versus")]
    pub(crate) vs_name: Option<String>,
    /// Pairs of runs (default: 3).
    #[arg(long, default_value_t = 3, help_heading = "Comparison", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) pairs: u16,
    /// Run each once before the first pair and forget it: a JVM is slow until it is warm.
    #[arg(long, help_heading = "Comparison", requires = "versus")]
    pub(crate) warm_up: bool,
    /// Write the comparison as a table in Markdown.
    #[arg(long, value_name = "FILE", help_heading = "Comparison", requires = "versus")]
    pub(crate) markdown: Option<PathBuf>,
}

/// What is measured of the server, and where the report goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Report")]
pub(crate) struct ReportOptions {
    /// PID or name of a server process on this host, for CPU and memory; can be given again.
    #[arg(long, value_name = "PID|NAME")]
    pub(crate) server: Vec<ProcessQuery>,
    /// Count system calls of the server processes too; makes each a little slower.
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// What has to hold, as 'loss<0.1%' or 'join_p95<2s'; can be given again.
    #[arg(long, value_name = "METRIC<LIMIT")]
    pub(crate) expect: Vec<Expectation>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as one page.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show nothing while it runs.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
