//! What is run: how many rooms and participants, what they send and want to see, over which lines, for how long.
//!
//! A scenario comes from a TOML file and the command line, which has the last word; both have the same names.

mod options;
mod target;
mod values;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::media::{Height, VideoCodec};

pub use options::{ScenarioError, ScenarioOptions};
pub use target::{Login, SignalingKind, Target, TargetOptions};
pub use values::{Fraction, InvalidFraction};

/// Participants of one process: each has two sockets, and a system gives a process about a million at most.
pub const MAX_PARTICIPANTS: usize = 100_000;

/// What is run. The defaults make a small meeting with cameras.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// Rooms.
    pub rooms: usize,
    /// Participants of each room.
    pub participants: usize,
    /// Participants come into the room and stay, no more: no conference request, no session, no media.
    pub signaling_only: bool,
    /// How many in each room have a microphone; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_senders: Option<usize>,
    /// How many in each room have a camera; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_senders: Option<usize>,
    /// How many in each room share a screen, beside the camera.
    pub screens: usize,
    /// Codec of cameras and screens.
    pub codec: VideoCodec,
    /// Largest picture of a camera.
    pub height: Height,
    /// Send cameras as layers of one stream (VP9, AV1) instead of simulcast.
    pub svc: bool,
    /// Send bytes without meaning behind valid descriptors, key frames only where asked for, instead of clips.
    pub synthetic: bool,
    /// The next participant of a room speaks after so long; zero for the same one all the time.
    #[serde(with = "humantime_serde")]
    pub speaker_rotation: Duration,
    /// What participants look at.
    pub view: View,
    /// Lines asked for of each picture in tile view; by the number of participants if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile_height: Option<u16>,
    /// Lines asked for of the speaker in stage view.
    pub stage_height: u16,
    /// Most videos at once; -1 for all.
    pub last_n: i32,
    /// Participants that join a second; zero for all at once.
    pub join_rate: f64,
    /// Participants a second that leave and come back, one after another.
    pub churn: f64,
    /// From when all have joined to the end.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// What happens to what participants send.
    pub send: Impairment,
    /// What happens to what participants receive.
    pub receive: Impairment,
    /// How the bridge channel is opened.
    pub bridge_channel: ChannelKind,
    /// Tell the focus that SSRCs may be rewritten, as the stock web app does.
    pub ssrc_rewriting: bool,
    /// Region of the participants, by which a focus chooses their bridges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How many participants decrypt and decode all that they receive, spread over the rooms; all if absent. The others
    /// count packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoders: Option<usize>,
    /// Threads of the load generator.
    pub threads: usize,
    /// Room names begin with this.
    pub room_prefix: String,
    /// The same seed makes the same media and the same losses.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            rooms: 1,
            participants: 3,
            signaling_only: false,
            audio_senders: None,
            video_senders: None,
            screens: 0,
            codec: VideoCodec::Vp8,
            height: Height::H720,
            svc: false,
            synthetic: false,
            speaker_rotation: Duration::from_secs(5),
            view: View::Tile,
            tile_height: None,
            stage_height: 720,
            last_n: -1,
            join_rate: 10.0,
            churn: 0.0,
            duration: Duration::from_secs(60),
            send: Impairment::default(),
            receive: Impairment::default(),
            bridge_channel: ChannelKind::Auto,
            ssrc_rewriting: false,
            region: None,
            decoders: None,
            threads: 1,
            room_prefix: "load".to_owned(),
            seed: 1,
        }
    }
}

impl Scenario {
    /// All participants of all rooms.
    #[must_use]
    pub const fn total_participants(&self) -> usize {
        self.rooms.saturating_mul(self.participants)
    }

    /// Whether the participant of that place in its room has a microphone.
    #[must_use]
    pub fn has_microphone(&self, place: usize) -> bool {
        place < self.audio_senders.unwrap_or(self.participants)
    }

    /// Whether the participant of that place in its room has a camera.
    #[must_use]
    pub fn has_camera(&self, place: usize) -> bool {
        place < self.video_senders.unwrap_or(self.participants)
    }

    /// Whether the participant of that place in its room shares its screen: the last ones do, who speak last.
    #[must_use]
    pub const fn has_screen(&self, place: usize) -> bool {
        place + self.screens >= self.participants
    }

    /// Lines asked for of each picture in tile view. Stock clients ask for less the more tiles there are.
    #[must_use]
    pub fn tile_lines(&self) -> u16 {
        self.tile_height.unwrap_or(match self.participants {
            0..=2 => 720,
            3..=5 => 360,
            _ => 180,
        })
    }

    /// Whether this participant decrypts and decodes: they are spread evenly.
    #[must_use]
    pub fn is_decoder(&self, index: usize) -> bool {
        let (total, decoders) = (self.total_participants(), self.decoders.unwrap_or(usize::MAX));
        decoders >= total || index * decoders / total != (index + 1) * decoders / total
    }
}

/// What participants look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// All alike.
    Tile,
    /// The speaker large, the others as thumbnails.
    Stage,
    /// Everything at its best.
    Full,
}

/// How the bridge channel is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// As stock clients: a data channel where one is offered, else a WebSocket.
    Auto,
    /// A data channel; it is a failure if none is offered.
    Sctp,
    /// A WebSocket; it is a failure if none is offered.
    Websocket,
}

/// What happens to the packets of a participant on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Impairment {
    /// Packets that are lost.
    pub loss: Fraction,
    /// How much later all come.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// How much more some of them take, each by chance; order is kept.
    #[serde(with = "humantime_serde")]
    pub jitter: Duration,
    /// Packets that are overtaken by those of the next [`Self::OVERTAKEN_BY`].
    pub reorder: Fraction,
}

impl Impairment {
    /// How much later a packet comes that is overtaken.
    pub const OVERTAKEN_BY: Duration = Duration::from_millis(15);

    /// Whether nothing happens.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_are_spread_and_as_many_as_asked_for() {
        for decoders in [0, 1, 3, 10, 40] {
            let scenario = Scenario { rooms: 10, participants: 4, decoders: Some(decoders), ..Scenario::default() };
            let chosen: Vec<_> = (0..40).filter(|index| scenario.is_decoder(*index)).collect();
            assert_eq!(chosen.len(), decoders);
            let rooms: std::collections::BTreeSet<_> = chosen.iter().map(|index| index / 4).collect();
            assert_eq!(rooms.len(), decoders.min(10));
        }
    }

    #[test]
    fn the_last_places_share_a_screen() {
        let scenario = Scenario { participants: 5, screens: 2, ..Scenario::default() };
        let screens: Vec<_> = (0..5).filter(|place| scenario.has_screen(*place)).collect();
        assert_eq!(screens, [3, 4]);
    }
}
