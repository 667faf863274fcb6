//! What a participant wants to see: the constraints that it tells the bridge, and what it should get of each source
//! (client.md §8.2).

use std::collections::BTreeMap;

use jitsi_protocol::bridge_channel::{ReceiverVideoConstraints, VideoConstraints};
use model::{EndpointId, SourceName};

use crate::load::measure::MediaKind;
use crate::load::media::Height;
use crate::load::scenario::{Scenario, View};

/// Lines asked for of those beside the stage.
const THUMBNAIL_LINES: u16 = 180;
/// More lines than any camera of ours or screen has.
const FULL_LINES: u16 = 2160;
/// Lines of a shared screen (`media`).
const SCREEN_LINES: u16 = 1080;

/// What a participant wants to see.
#[derive(Clone, Debug)]
pub struct Wishes {
    view: View,
    tile_lines: u16,
    stage_lines: u16,
    last_n: i32,
    camera: Height,
    on_stage: Option<EndpointId>,
}

impl Wishes {
    /// Those of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            view: scenario.view,
            tile_lines: scenario.tile_lines(),
            stage_lines: scenario.stage_height,
            last_n: scenario.last_n,
            camera: scenario.height,
            on_stage: None,
        }
    }

    /// Takes who speaks; answers whether something else is wanted now.
    pub fn set_speaker(&mut self, speaker: &EndpointId) -> bool {
        let is_new = self.view == View::Stage && self.on_stage.as_ref() != Some(speaker);
        if is_new {
            self.on_stage = Some(speaker.clone());
        }
        is_new
    }

    /// Whether it matters who speaks.
    #[must_use]
    pub fn follows_speaker(&self) -> bool {
        self.view == View::Stage
    }

    /// The message to the bridge.
    #[must_use]
    pub fn message(&self) -> ReceiverVideoConstraints {
        let constraint = |lines: u16| VideoConstraints { max_height: i32::from(lines), max_frame_rate: None };
        let (default, stage) = match self.view {
            View::Tile => (self.tile_lines, None),
            View::Stage => (THUMBNAIL_LINES, self.stage_source()),
            View::Full => (FULL_LINES, None),
        };
        let stage: Vec<SourceName> = stage.into_iter().collect();
        ReceiverVideoConstraints {
            last_n: Some(self.last_n),
            selected_sources: Some(Vec::new()),
            constraints: Some(
                stage.iter().map(|name| (name.clone(), constraint(self.stage_lines))).collect::<BTreeMap<_, _>>(),
            ),
            on_stage_sources: Some(stage),
            default_constraints: Some(constraint(default)),
            assumed_bandwidth_bps: None,
        }
    }

    /// Whether every video is wanted, however many there are.
    #[must_use]
    pub const fn wants_all(&self) -> bool {
        self.last_n < 0
    }

    /// Lines asked for of a source.
    #[must_use]
    pub fn asked(&self, name: &SourceName) -> u16 {
        match self.view {
            View::Tile => self.tile_lines,
            View::Stage if self.stage_source().as_ref() == Some(name) => self.stage_lines,
            View::Stage => THUMBNAIL_LINES,
            View::Full => FULL_LINES,
        }
    }

    /// The best picture that a source has within what is asked; its smallest one where all are larger.
    #[must_use]
    pub fn best(&self, name: &SourceName, kind: MediaKind) -> u16 {
        let asked = self.asked(name);
        match kind {
            MediaKind::Audio => 0,
            MediaKind::Screen => SCREEN_LINES,
            MediaKind::Camera => {
                let sent = Height::ALL.into_iter().filter(|height| *height <= self.camera).map(Height::lines);
                sent.filter(|lines| *lines <= asked).max().unwrap_or(Height::H180.lines())
            }
        }
    }

    fn stage_source(&self) -> Option<SourceName> {
        self.on_stage.as_ref().and_then(|speaker| format!("{speaker}-v0").parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SourceName {
        text.parse().unwrap()
    }

    #[test]
    fn tiles_are_all_alike() {
        let wishes = Wishes::new(&Scenario { participants: 5, last_n: 20, ..Scenario::default() });
        let message = wishes.message();
        assert_eq!(message.default_constraints.unwrap().max_height, 360);
        assert_eq!((message.last_n, message.constraints), (Some(20), Some(BTreeMap::new())));
        assert_eq!(wishes.best(&name("a-v0"), MediaKind::Camera), 360);
        assert_eq!(wishes.best(&name("a-v1"), MediaKind::Screen), 1080);
    }

    #[test]
    fn the_speaker_is_large_on_stage() {
        let mut wishes = Wishes::new(&Scenario { view: View::Stage, ..Scenario::default() });
        let speaker: EndpointId = "ab".parse().unwrap();
        assert!(wishes.set_speaker(&speaker));
        assert!(!wishes.set_speaker(&speaker));
        let message = wishes.message();
        assert_eq!(message.on_stage_sources, Some(vec![name("ab-v0")]));
        assert_eq!(message.constraints.unwrap()[&name("ab-v0")].max_height, 720);
        assert_eq!(
            (wishes.best(&name("ab-v0"), MediaKind::Camera), wishes.best(&name("cd-v0"), MediaKind::Camera)),
            (720, 180)
        );
    }

    #[test]
    fn nobody_gets_more_lines_than_are_sent() {
        let wishes = Wishes::new(&Scenario { view: View::Full, height: Height::H360, ..Scenario::default() });
        assert_eq!(wishes.best(&name("a-v0"), MediaKind::Camera), 360);
        let small = Wishes::new(&Scenario { tile_height: Some(90), ..Scenario::default() });
        assert_eq!(small.best(&name("a-v0"), MediaKind::Camera), 180);
    }
}
