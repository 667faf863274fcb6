//! What a participant is to its server, by the place that the scenario gives it.

use super::Berth;
use crate::load::measure::{FailureCause, MediaKind};
use crate::load::participant::{Failure, JanusSettings, LiveKitSettings, Purpose, SignalingSettings, Wishes};
use crate::load::scenario::Scenario;

pub(super) fn signaling_settings(
    berth: &Berth,
    room: &str,
    index: usize,
    place: usize,
) -> Result<SignalingSettings, Failure> {
    let (target, scenario) = (&berth.shared.target, &berth.shared.scenario);
    let address = format!("{room}@{}", target.muc);
    let room = address.parse().map_err(|_| Failure::new(FailureCause::Local, format!("{address} is no room")))?;
    let kinds = kinds_of(scenario, place);
    let source_info = kinds.iter().map(|kind| match kind {
        MediaKind::Audio => r#""{nick}-a0":{"muted":false}"#,
        MediaKind::Camera => r#""{nick}-v0":{"muted":false}"#,
        MediaKind::Screen => r#""{nick}-v1":{"muted":false,"videoType":"desktop"}"#,
    });
    let source_info = format!("{{{}}}", source_info.collect::<Vec<_>>().join(","));
    Ok(SignalingSettings {
        domain: target.login.as_ref().map_or_else(|| target.domain.clone(), |login| login.domain.clone()),
        focus: target.focus.clone(),
        room,
        account: target.login.as_ref().map(|login| (login.username.clone(), login.password.clone())),
        token: target.token.clone(),
        display_name: format!("Load {index}"),
        nick_of_account: nick_of(index),
        purpose: if scenario.signaling_only { Purpose::Attend } else { Purpose::Meet },
        ssrc_rewriting: scenario.ssrc_rewriting,
        region: scenario.region.clone(),
        source_info,
    })
}

pub(super) fn janus_settings(berth: &Berth, room: usize, index: usize, place: usize) -> JanusSettings {
    let scenario = &berth.shared.scenario;
    JanusSettings {
        // Rooms of another run may have another codec.
        room: berth.shared.run + room as u64,
        participants: scenario.participants,
        nick: nick_of(index),
        sends: !kinds_of(scenario, place).is_empty(),
        codec: scenario.codec,
        wishes: Wishes::new(scenario),
    }
}

pub(super) fn livekit_settings(berth: &Berth, index: usize, place: usize) -> LiveKitSettings {
    let scenario = &berth.shared.scenario;
    LiveKitSettings {
        nick: nick_of(index),
        sends: !kinds_of(scenario, place).is_empty(),
        height: scenario.height,
        wishes: Wishes::new(scenario),
    }
}

/// Of who gets no name from the server.
pub(super) fn nick_of(index: usize) -> String {
    format!("{index:08x}")
}

/// What the participant of that place sends.
pub(super) fn kinds_of(scenario: &Scenario, place: usize) -> Vec<MediaKind> {
    let kinds = [
        (scenario.has_microphone(place), MediaKind::Audio),
        (scenario.has_camera(place), MediaKind::Camera),
        (scenario.has_screen(place), MediaKind::Screen),
    ];
    kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect()
}
