//! What control does about exporters: it begins and ends them, has shards copy what they get, and passes on what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jitsi_protocol::bridge_channel::{BridgeMessage, EndpointMessage, RelayMessage, SyntheticSourceSendingChangeEvent};
use jitsi_protocol::colibri2::{ColibriError, Connect};
use model::{PayloadType, SourceName};
use serde_json::{Map, Value};

use super::rules::Change;
use super::tap::{SourceTaps, audio_tap};
use super::{
    AudioFormats, ExportedSource, Exporter, ExporterEvent, ExporterId, ExporterOutput, ExporterSources, InjectedAudio,
    NewExporter,
};
use crate::conference::{Conference, Context};
use crate::negotiated::AudioSource;
use crate::relay::Owner;
use crate::shard::message::{NewInjected, Route, ShardCommand};
use crate::videobridge::Videobridge;

/// Whom clients take results for that are from nobody in the room.
const TRANSCRIBER: &str = "transcriber";

impl Videobridge {
    /// Whether the connects of a request are as they should be, in a conference that may not be there yet.
    ///
    /// # Errors
    /// [`ColibriError`] as JVB's.
    pub(crate) fn check_connects(
        &self,
        conference: Option<usize>,
        connects: Option<&[Connect]>,
    ) -> Result<ConnectChanges, ColibriError> {
        let Some(connects) = connects else { return Ok(ConnectChanges::default()) };
        let known = conference.and_then(|conference| self.conferences.get(conference));
        let changes = match known {
            Some(conference) => conference.exporters.changes(connects)?,
            None => super::Exporters::default().changes(connects)?,
        };
        Ok(ConnectChanges(changes))
    }

    /// Does what [`check_connects`](Self::check_connects) found right.
    pub(crate) fn change_connects(&mut self, conference: usize, changes: ConnectChanges) {
        for change in changes.0 {
            let Some(state) = self.conferences.get_mut(conference) else { return };
            match change {
                Change::Expire { id } => match state.exporters.running.remove(&id) {
                    Some(exporter) => {
                        tracing::info!(meeting = %state.id, connect = id, "exporter ends");
                        self.stop_exporter(exporter.id);
                    }
                    None => tracing::warn!(meeting = %state.id, connect = id, "no such exporter to end"),
                },
                Change::Create { id, connect } => {
                    tracing::info!(
                        meeting = %state.id, connect = id, kind = connect.connect_type.as_str(), "exporter begins"
                    );
                    self.last_exporter += 1;
                    let exporter = ExporterId(self.last_exporter);
                    let (tap, queue) = audio_tap();
                    state.exporters.running.insert(id, Exporter { id: exporter, connect: connect.clone(), tap });
                    self.exporters.insert(exporter, conference);
                    let new = Box::new(NewExporter { id: exporter, connect, queue });
                    self.exporter_outputs.push_back(ExporterOutput::Start(new));
                }
                Change::Update { id, connect } => {
                    let Some(exporter) = state.exporters.running.get_mut(&id) else { continue };
                    let (before, sources) = (ExporterSources::of(&exporter.connect), ExporterSources::of(&connect));
                    exporter.connect = connect;
                    if before != sources {
                        let id = exporter.id;
                        self.exporter_outputs.push_back(ExporterOutput::Sources { id, sources });
                    }
                }
            }
        }
    }

    fn stop_exporter(&mut self, id: ExporterId) {
        self.exporters.remove(&id);
        self.exporter_outputs.push_back(ExporterOutput::Stop { id });
    }

    /// Ends the exporters of a conference that is over.
    pub(crate) fn stop_exporters(&mut self, conference: &Conference) {
        for exporter in conference.exporters.running.values() {
            self.stop_exporter(exporter.id);
        }
    }

    /// What becomes of exporters, next.
    pub(crate) fn poll_exporter_output(&mut self) -> Option<ExporterOutput> {
        self.exporter_outputs.pop_front()
    }

    /// The other end of an exporter says something.
    pub(crate) fn handle_exporter_event(&mut self, id: ExporterId, event: ExporterEvent, now: Instant) {
        let Some(&conference) = self.exporters.get(&id) else { return };
        let Some((conference, mut context)) = self.conference(conference, now) else { return };
        match event {
            ExporterEvent::TranscriptionResult(result) => conference.tell_result(result, &mut context),
            ExporterEvent::Audio { source, audio } => conference.inject(&source, audio, &mut context),
            ExporterEvent::Sending { source, sending, timestamp } => {
                if conference.synthetic(&source).is_none() {
                    return tracing::debug!(%source, "a source that is not known begins or ends to be sent");
                }
                let event = SyntheticSourceSendingChangeEvent { source_name: source, sending, timestamp };
                let text = BridgeMessage::SyntheticSourceSendingChangeEvent(event.clone()).to_json();
                let message = RelayMessage::SyntheticSourceSendingChangeEvent(event);
                conference.tell_everybody(&text, &message, &mut context);
            }
        }
        self.settle(now);
    }
}

/// What a request changes about connects.
#[derive(Debug, Default)]
pub(crate) struct ConnectChanges(Vec<Change>);

impl Conference {
    /// Has shards copy audio to those who are to get it, and no other.
    pub(crate) fn tap_exported(&mut self, context: &mut Context<'_>) {
        if self.exporters.is_empty() {
            return;
        }
        let mut wanted = BTreeMap::new();
        for (owner, id, sources) in self.all_sources() {
            let Some((route, formats, diarize)) = self.described(owner) else { continue };
            for audio in sources.audio.iter().filter(|audio| !audio.synthetic) {
                let exporters = self.exporters.running.values().filter(|exporter| {
                    let Connect { audio: takes_audio, exports, .. } = &exporter.connect;
                    *takes_audio && (exports.is_empty() || exports.contains(&audio.name))
                });
                let taps: Vec<_> = exporters.map(|exporter| (exporter.id, exporter.tap.clone())).collect();
                let (name, endpoint, formats) = (audio.name.clone(), id.clone(), formats.clone());
                let source = ExportedSource { id: audio.id, name, endpoint, diarize, formats };
                wanted.insert(audio.id, (route, source, taps));
            }
        }
        self.exporters.tapped.retain(|source, _| wanted.contains_key(source));
        for (id, (route, source, taps)) in wanted {
            let ids: Vec<ExporterId> = taps.iter().map(|(exporter, _)| *exporter).collect();
            let told = self.exporters.tapped.get(&id);
            if told.map_or(ids.is_empty(), |(told, to)| **told == source && *to == ids) {
                continue;
            }
            let source = Arc::new(source);
            let exported = (!ids.is_empty()).then(|| {
                let taps = taps.into_iter().map(|(_, tap)| tap).collect();
                Box::new(SourceTaps { source: Arc::clone(&source), taps })
            });
            if ids.is_empty() {
                self.exporters.tapped.remove(&id);
            } else {
                self.exporters.tapped.insert(id, (source, ids));
            }
            context.data_plane.send(route.home, ShardCommand::Export { source: id, taps: exported });
        }
    }

    /// Where the packets of an owner come in, in which formats, and whether its voices are to be told apart.
    fn described(&self, owner: Owner) -> Option<(Route, &AudioFormats, bool)> {
        match owner {
            Owner::Local(key) => {
                let endpoint = self.endpoints.get(key)?;
                Some((endpoint.connection.route, &endpoint.audio_formats, endpoint.diarize))
            }
            Owner::Relayed(key) => {
                let relay = self.relays.get(self.relayed.get(key)?.relay)?;
                Some((relay.connection.route, &relay.audio_formats, false))
            }
        }
    }

    /// The source of that name that nobody sends, and its owner.
    fn synthetic(&self, name: &SourceName) -> Option<(Owner, &AudioSource)> {
        self.all_sources().find_map(|(owner, _, sources)| {
            let found = sources.audio.iter().find(|audio| audio.synthetic && audio.name == *name)?;
            Some((owner, found))
        })
    }

    /// Puts in a packet of a source that nobody sends.
    fn inject(&self, name: &SourceName, audio: InjectedAudio, context: &mut Context<'_>) {
        let Some((owner, source)) = self.synthetic(name) else {
            return tracing::debug!(source = %name, "audio of a source that is not known");
        };
        let (Some((Route { home, .. }, ..)), Some(payload_type)) = (self.described(owner), self.opus()) else { return };
        let new = NewInjected { source: source.id, ssrc: source.ssrc, payload_type, audio };
        context.data_plane.send(home, ShardCommand::Inject(Box::new(new)));
    }

    /// The payload type of Opus, which is the same for all.
    fn opus(&self) -> Option<PayloadType> {
        let endpoints = self.endpoints.iter().map(|(_, endpoint)| &endpoint.audio_formats);
        let relays = self.relays.iter().map(|(_, relay)| &relay.audio_formats);
        let mut formats = endpoints.chain(relays).flat_map(|formats| formats.iter());
        formats.find(|(_, format)| format.name.eq_ignore_ascii_case("opus")).map(|(payload_type, _)| *payload_type)
    }

    /// What a transcriber wrote goes to all clients.
    fn tell_result(&mut self, mut result: Map<String, Value>, context: &mut Context<'_>) {
        result.insert("event".to_owned(), "transcription-result".into());
        let fields = Map::from_iter([("msgPayload".to_owned(), Value::Object(result))]);
        let message = EndpointMessage { to: String::new(), from: TRANSCRIBER.parse().ok(), fields };
        let text = BridgeMessage::EndpointMessage(message.clone()).to_json();
        self.tell_everybody(&text, &RelayMessage::EndpointMessage(message), context);
    }

    /// Sources that nobody sends come over any relay: audio is put in on whichever bridge has the connect.
    pub(crate) fn synthetic_not_behind(&self, relay: usize) -> Vec<AudioSource> {
        let is_behind = |owner| match owner {
            Owner::Local(_) => false,
            Owner::Relayed(key) => self.relayed.get(key).is_some_and(|endpoint| endpoint.relay == relay),
        };
        let others = self.all_sources().filter(|(owner, ..)| !is_behind(*owner));
        others.flat_map(|(.., sources)| sources.audio.iter().filter(|audio| audio.synthetic)).cloned().collect()
    }
}

/// The formats of audio that a request adds to those that are known.
pub(crate) fn add_formats(formats: &mut AudioFormats, media: &[jitsi_protocol::colibri2::Media]) {
    let audio = media.iter().filter(|media| media.media_type == model::MediaType::Audio);
    Arc::make_mut(formats)
        .extend(audio.flat_map(|media| &media.payload_types).map(|format| (format.id, format.clone())));
}

/// Whether any of these is a source that nobody sends.
pub(crate) fn has_synthetic(sources: &crate::negotiated::Sources) -> bool {
    sources.audio.iter().any(|audio| audio.synthetic)
}
