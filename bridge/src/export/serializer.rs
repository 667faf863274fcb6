//! Copies of audio packets as MediaJSON, with what one WebSocket remembers of their streams.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jitsi_protocol::colibri2::PayloadTypeDescription;
use jitsi_protocol::media_json::{BridgeEvent, CustomParameters, Media, MediaFormat, Start};
use model::PayloadType;

use super::ExportedSource;
use super::tap::ExportedPacket;
use crate::keys::SourceId;

/// Sources that are remembered. Above, one that was quiet the longest begins anew when it goes on.
const MAX_STREAMS: usize = 4096;

/// The writer of one WebSocket.
#[derive(Debug)]
pub(crate) struct MediaJsonSerializer {
    /// The origin of all times.
    opened_at: Instant,
    sequence_number: u64,
    streams: BTreeMap<SourceId, Stream>,
    payload: String,
}

/// One source.
#[derive(Debug)]
struct Stream {
    payload_type: PayloadType,
    /// What is to be added to RTP times without roll-over.
    offset: i64,
    /// The last RTP time, without roll-over.
    timestamp: i64,
    last_at: Instant,
}

impl MediaJsonSerializer {
    pub(crate) const fn new(opened_at: Instant) -> Self {
        Self { opened_at, sequence_number: 0, streams: BTreeMap::new(), payload: String::new() }
    }

    /// Writes a packet, and before the first one of a source or a format what it is. Packets of no known format are left out.
    pub(crate) fn write(&mut self, packet: &ExportedPacket, mut text: impl FnMut(String)) {
        let Some(source) = &packet.source else { return };
        let Some(format) = source.formats.get(&packet.payload_type) else { return };
        let is_begun = self.streams.get(&source.id).is_some_and(|known| known.payload_type == packet.payload_type);
        if !is_begun {
            self.begin(packet, source, format);
            text(self.start(source, format));
        }
        let Some(stream) = self.streams.get_mut(&source.id) else { return };
        stream.last_at = packet.at;
        let step = packet.timestamp.0.wrapping_sub(stream.timestamp as u32) as i32;
        let timestamp = stream.timestamp + i64::from(step);
        stream.timestamp = timestamp;
        self.payload.clear();
        STANDARD.encode_string(packet.payload(), &mut self.payload);
        self.sequence_number += 1;
        let media = Media {
            tag: source.name.as_str(),
            chunk: packet.seq.0,
            timestamp: stream.offset + timestamp,
            payload: &self.payload,
            audio_level: packet.level.map(|level| level.level),
            vad: packet.level.map(|level| level.voice_activity),
        };
        text(BridgeEvent::Media { sequence_number: self.sequence_number, media }.to_json());
    }

    fn begin(&mut self, packet: &ExportedPacket, source: &ExportedSource, format: &PayloadTypeDescription) {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&source.id) {
            let quietest = self.streams.iter().min_by_key(|(_, stream)| stream.last_at).map(|(id, _)| *id);
            quietest.and_then(|quietest| self.streams.remove(&quietest));
        }
        let timestamp = i64::from(packet.timestamp.0);
        let since_opening = packet.at.saturating_duration_since(self.opened_at);
        let offset = in_clock(since_opening, format.clock_rate) - timestamp;
        let stream = Stream { payload_type: packet.payload_type, offset, timestamp, last_at: packet.at };
        self.streams.insert(source.id, stream);
    }

    fn start(&mut self, source: &ExportedSource, format: &PayloadTypeDescription) -> String {
        self.sequence_number += 1;
        let encoding = format.name.to_ascii_lowercase();
        let parameters = format.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let start = Start {
            tag: source.name.as_str(),
            media_format: MediaFormat {
                encoding: &encoding,
                sample_rate: format.clock_rate,
                channels: format.channels.unwrap_or(1),
                parameters: parameters.collect(),
            },
            custom_parameters: CustomParameters { endpoint_id: source.endpoint.as_str() },
            diarize: source.diarize,
        };
        BridgeEvent::Start { sequence_number: self.sequence_number, start }.to_json()
    }
}

/// A time on a clock of that many Hz.
fn in_clock(time: Duration, rate: u32) -> i64 {
    i64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(i64::MAX)
}
