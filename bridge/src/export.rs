//! Audio for recorders, transcribers and translators: each `connect` of a conference is one WebSocket of an exporter
//! (bridge.md §8).
//!
//! ```text
//!  home shard of a sender ── copies ──► queue of an exporter ──► its task: MediaJSON ──► WebSocket
//!  shards ◄── translated audio ── control ◄── results, translated audio ── its task ◄──┘
//! ```
//!
//! Here: which connects a request may ask for (`rules`), what control does about them (`control`), the way of a copy from a
//! shard (`tap`), and what is said of it (`serializer`). Not here: the WebSocket (`shell::exporters`), the form of what goes
//! over it (`jitsi_protocol::media_json`).

mod control;
mod rules;
pub(crate) mod serializer;
pub(crate) mod tap;

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsi_protocol::colibri2::{Connect, PayloadTypeDescription};
use model::{EndpointId, PayloadType, SourceName};
use serde_json::{Map, Value};

use crate::keys::SourceId;
pub(crate) use control::{add_formats, has_synthetic};
use tap::{AudioQueue, AudioTap};

/// Connects of one conference: with translation, one or a few for each who speaks.
const MAX_EXPORTERS: usize = 256;

/// Names an exporter of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ExporterId(pub(crate) u64);

/// Formats of audio by payload type, as somebody negotiated them.
pub(crate) type AudioFormats = Arc<BTreeMap<PayloadType, PayloadTypeDescription>>;

/// What an exporter has to know of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportedSource {
    pub(crate) id: SourceId,
    pub(crate) name: SourceName,
    pub(crate) endpoint: EndpointId,
    pub(crate) diarize: bool,
    pub(crate) formats: AudioFormats,
}

/// The sources that a connect names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExporterSources {
    /// None named means all.
    pub(crate) exports: Vec<SourceName>,
    pub(crate) requests: Vec<SourceName>,
}

/// What becomes of exporters.
#[derive(Debug)]
pub(crate) enum ExporterOutput {
    /// One begins.
    Start(Box<NewExporter>),
    /// It is about other sources.
    Sources { id: ExporterId, sources: ExporterSources },
    /// It ends.
    Stop { id: ExporterId },
}

/// An exporter that begins.
#[derive(Debug)]
pub(crate) struct NewExporter {
    pub(crate) id: ExporterId,
    pub(crate) connect: Connect,
    /// Where copies of packets come out.
    pub(crate) queue: AudioQueue,
}

impl NewExporter {
    pub(crate) fn sources(&self) -> ExporterSources {
        ExporterSources::of(&self.connect)
    }
}

impl ExporterSources {
    fn of(connect: &Connect) -> Self {
        let sorted = |names: &[SourceName]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        Self { exports: sorted(&connect.exports), requests: sorted(&connect.requests) }
    }
}

/// What the other end of an exporter says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExporterEvent {
    /// Clients are to read it.
    TranscriptionResult(Map<String, Value>),
    /// A packet of a source that nobody sends.
    Audio { source: SourceName, audio: InjectedAudio },
    /// Such a source begins or ends at an RTP time.
    Sending { source: SourceName, sending: bool, timestamp: u32 },
}

/// A packet of Opus without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InjectedAudio {
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

/// The exporters of one conference.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    /// By the ids of connects; that of a focus of before ids is empty.
    running: BTreeMap<String, Exporter>,
    /// Which sources are copied, and to whom.
    tapped: BTreeMap<SourceId, (Arc<ExportedSource>, Vec<ExporterId>)>,
}

/// One that runs.
#[derive(Debug)]
struct Exporter {
    id: ExporterId,
    /// As it was told last.
    connect: Connect,
    tap: AudioTap,
}

impl Exporters {
    fn is_empty(&self) -> bool {
        self.running.is_empty() && self.tapped.is_empty()
    }

    /// Whether audio of that name is put in on this bridge.
    pub(crate) fn requests(&self, name: &SourceName) -> bool {
        self.running.values().any(|exporter| exporter.connect.requests.contains(name))
    }

    /// The connects that run, with their ids.
    pub(crate) fn connects(&self) -> impl Iterator<Item = (&str, &Connect)> {
        self.running.iter().map(|(id, exporter)| (id.as_str(), &exporter.connect))
    }
}
