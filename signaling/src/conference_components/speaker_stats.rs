//! Who spoke for how long, and how faces looked (`mod_speakerstats_component`, client.md §6.5). Clients count for
//! themselves; who comes late is told the sums.

use std::collections::VecDeque;

use indexmap::IndexMap;
use serde_json::{Value, json};
use xmpp::{Element, StanzaError};

use super::{json, unhandled};
use crate::context::Context;
use crate::muc::{Departed, Room, display_name_in};

/// Speakers that are remembered in one room, present or not. The earliest who left goes first.
const MAX_SPEAKERS: usize = 1000;
/// Expressions that are remembered of one face (`faceLandmarks_history_size`).
const MAX_LANDMARKS: usize = 20;
/// Longest name of an expression, in bytes: those that clients know have 9.
const MAX_EXPRESSION_BYTES: usize = 32;

/// Who spoke in a room, by nick.
#[derive(Debug, Default)]
pub(crate) struct SpeakerStats {
    speakers: IndexMap<String, Speaker>,
    dominant: Option<String>,
}

#[derive(Debug, Default)]
struct Speaker {
    /// The name at the end; who is still there shows it himself.
    name: Option<String>,
    has_left: bool,
    spoke_ms: u64,
    /// Since when he speaks, in milliseconds since 1970.
    speaks_since: Option<u64>,
    landmarks: VecDeque<Value>,
}

impl Speaker {
    fn spoke_ms(&self, now_ms: u64) -> u64 {
        self.spoke_ms + self.speaks_since.map_or(0, |since| now_ms.saturating_sub(since))
    }

    fn stop(&mut self, now_ms: u64) {
        self.spoke_ms = self.spoke_ms(now_ms);
        self.speaks_since = None;
    }
}

impl SpeakerStats {
    fn on_joined(&mut self, nick: &str) {
        if self.speakers.len() >= MAX_SPEAKERS {
            let oldest = self.speakers.values().position(|speaker| speaker.has_left);
            let Some(oldest) = oldest else { return };
            self.speakers.shift_remove_index(oldest);
        }
        self.speakers.entry(nick.to_owned()).or_default().has_left = false;
    }

    /// Somebody says that he is the one who speaks, or that it is silent while he is.
    fn set_dominant(&mut self, nick: &str, is_silent: bool, now_ms: u64) {
        if let Some(former) = self.dominant.as_ref().and_then(|former| self.speakers.get_mut(former)) {
            former.stop(now_ms);
        }
        self.dominant = Some(nick.to_owned());
        if let Some(speaker) = self.speakers.get_mut(nick).filter(|_| !is_silent) {
            speaker.speaks_since = Some(now_ms);
        }
    }

    fn on_left(&mut self, nick: &str, name: Option<String>, now_ms: u64) {
        if let Some(speaker) = self.speakers.get_mut(nick) {
            speaker.stop(now_ms);
            speaker.has_left = true;
            speaker.name = name;
        }
    }

    /// For how many milliseconds somebody was the one who spoke.
    pub(crate) fn spoke_ms(&self, nick: &str, now_ms: u64) -> u64 {
        self.speakers.get(nick).map_or(0, |speaker| speaker.spoke_ms(now_ms))
    }

    fn add_landmark(&mut self, nick: &str, landmark: Value) {
        if let Some(speaker) = self.speakers.get_mut(nick) {
            if speaker.landmarks.len() >= MAX_LANDMARKS {
                speaker.landmarks.pop_front();
            }
            speaker.landmarks.push_back(landmark);
        }
    }

    /// What a newcomer cannot know: who spoke, and who is gone.
    fn to_json(&self, now_ms: u64) -> Option<Value> {
        let users = self
            .speakers
            .iter()
            .filter(|(_, speaker)| speaker.has_left || speaker.spoke_ms(now_ms) > 0 || !speaker.landmarks.is_empty());
        let users: serde_json::Map<String, Value> = users
            .map(|(nick, speaker)| {
                let mut json = json!({
                    "totalDominantSpeakerTime": speaker.spoke_ms(now_ms), "faceLandmarks": speaker.landmarks,
                });
                if let Some(name) = &speaker.name {
                    json["displayName"] = Value::from(name.as_str());
                }
                (nick.clone(), json)
            })
            .collect();
        (!users.is_empty()).then(|| json!({"type": "speakerstats", "users": users}))
    }
}

/// Takes a command of an occupant: `speakerstats` or `faceLandmarks`.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    command: &Element,
) -> Result<(), StanzaError> {
    let stats = &mut room.state.speaker_stats;
    match command.name() {
        "speakerstats" => {
            stats.set_dominant(nick, command.attr("silence") == Some("true"), context.now.unix_ms);
            Ok(())
        }
        "faceLandmarks" => {
            let number = |name: &str| command.attr(name).and_then(|value| value.parse::<f64>().ok());
            let expression = command.attr("faceExpression").filter(|word| word.len() <= MAX_EXPRESSION_BYTES);
            let (Some(expression), Some(timestamp), Some(duration)) =
                (expression, number("timestamp"), number("duration"))
            else {
                return Err(unhandled());
            };
            let landmark = json!({"faceExpression": expression, "timestamp": timestamp, "duration": duration});
            stats.add_landmark(nick, landmark);
            Ok(())
        }
        _ => Err(unhandled()),
    }
}

/// Tells who comes what was before.
pub(crate) fn greet(context: &mut Context<'_>, room: &mut Room, nick: &str) {
    let Some(occupant) = room.occupant(nick).filter(|occupant| !occupant.is_service) else { return };
    let jid = occupant.jid.clone();
    let stats = room.state.speaker_stats.to_json(context.now.unix_ms);
    room.state.speaker_stats.on_joined(nick);
    if let (Some(from), Some(json)) = (&context.settings.hosts.components.speaker_stats, stats) {
        context.send(&jid, json::message(from, &json));
    }
}

pub(crate) fn on_left(context: &Context<'_>, room: &mut Room, departed: &Departed) {
    let name = display_name_in(&departed.presence);
    room.state.speaker_stats.on_left(&departed.nick, name, context.now.unix_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_for_one_at_a_time_and_not_in_silence() {
        let mut stats = SpeakerStats::default();
        stats.on_joined("ann");
        stats.on_joined("bob");
        assert_eq!(stats.to_json(0), None);
        stats.set_dominant("ann", false, 1000);
        stats.set_dominant("bob", false, 4000);
        stats.set_dominant("bob", true, 5000);
        stats.on_left("bob", Some("Bob".to_owned()), 9000);
        let users = &stats.to_json(10_000).unwrap()["users"];
        assert_eq!(users["ann"], json!({"totalDominantSpeakerTime": 3000, "faceLandmarks": []}));
        assert_eq!(users["bob"], json!({"totalDominantSpeakerTime": 1000, "faceLandmarks": [], "displayName": "Bob"}));
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let mut stats = SpeakerStats::default();
        for n in 0..2 * MAX_SPEAKERS {
            stats.on_joined(&n.to_string());
            stats.on_left(&n.to_string(), None, 0);
        }
        assert_eq!(stats.speakers.len(), MAX_SPEAKERS);
        stats.on_joined("ann");
        for n in 0..2 * MAX_LANDMARKS {
            stats.add_landmark("ann", json!(n));
        }
        assert_eq!(stats.speakers["ann"].landmarks.len(), MAX_LANDMARKS);
    }
}
