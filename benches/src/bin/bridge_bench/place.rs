//! Where everything runs: servers on one side of the machine, participants on the other.

use clap::Args;

use crate::process::{Server, pin, prefer};
use crate::signaling::TransportFeedback;

/// CPUs and threads.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Threads of the bridge for media.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) media_threads: usize,
    /// CPUs of the bridge and of the ideal loop.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "CPU")]
    pub(crate) server_cpus: Vec<usize>,
    /// CPUs of generator and sink.
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "CPU")]
    pub(crate) client_cpus: Vec<usize>,
    /// Senders do not number their packets for transport-wide feedback.
    #[arg(long)]
    pub(crate) no_transport_feedback: bool,
}

impl Place {
    /// For the harness, before it starts anything.
    pub(crate) fn take_client_side(&self) -> anyhow::Result<()> {
        prefer();
        pin(&self.client_cpus)
    }

    /// Starts a bridge, behind `wrapper` if there is one.
    pub(crate) fn start_bridge(&self, wrapper: &[String]) -> anyhow::Result<Server> {
        Server::start(wrapper, &["serve".to_owned(), format!("--media-threads={}", self.media_threads), self.cpus()])
    }

    pub(crate) fn start_ideal(&self, wrapper: &[String]) -> anyhow::Result<Server> {
        Server::start(wrapper, &["ideal".to_owned(), self.cpus()])
    }

    pub(crate) const fn feedback(&self) -> TransportFeedback {
        if self.no_transport_feedback { TransportFeedback::Off } else { TransportFeedback::On }
    }

    fn cpus(&self) -> String {
        format!("--cpus={}", self.server_cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
    }
}
