//! The command line and the TOML file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{ChannelKind, Fraction, MAX_PARTICIPANTS, Scenario, View};
use crate::load::media::{Height, VideoCodec};

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is not TOML.
    #[error("{0} is not TOML")]
    Toml(PathBuf, #[source] Box<toml::de::Error>),
    /// A name or value that a scenario does not have.
    #[error("no such scenario")]
    Invalid(#[source] Box<toml::de::Error>),
    /// The options do not fit each other.
    #[error("{0}")]
    Impossible(String),
}

/// What can be said of a scenario; what is not said is as in the file, or else as the defaults are.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[command(next_help_heading = "Scenario")]
#[serde(rename_all = "kebab-case")]
pub struct ScenarioOptions {
    /// TOML file with any of the options below, by the same names. `[send]` and `[receive]` are tables of `loss`, `delay`,
    /// `jitter` and `reorder`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    scenario: Option<PathBuf>,
    /// Rooms (default: 1).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<usize>,
    /// Participants of each room (default: 3).
    #[arg(long, short)]
    #[serde(skip_serializing_if = "Option::is_none")]
    participants: Option<usize>,
    /// Only come into the rooms and stay: no conference request, no media. Servers that let nobody open rooms but services
    /// need an opener.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    signaling_only: bool,
    /// How many in each room have a microphone (default: all).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_senders: Option<usize>,
    /// How many in each room have a camera (default: all); 0 for a meeting of voices.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    video_senders: Option<usize>,
    /// How many in each room share a screen beside the camera (default: 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    screens: Option<usize>,
    /// Codec of cameras and screens (default: vp8).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<VideoCodec>,
    /// Lines of the largest picture of a camera (default: 720).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
    /// Send cameras as layers of one stream (vp9, av1) instead of simulcast.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    svc: bool,
    /// Send bytes without meaning behind valid descriptors, key frames only where asked for, instead of clips.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    synthetic: bool,
    /// The next participant of a room speaks after so long (default: 5s); 0s for the same one all the time.
    #[arg(long, value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    speaker_rotation: Option<Duration>,
    /// What participants look at (default: tile).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
    /// Lines asked for of each picture in tile view (default: 720 for two, 360 to five, 180 above).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tile_height: Option<u16>,
    /// Lines asked for of the speaker in stage view (default: 720).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_height: Option<u16>,
    /// Most videos at once (default: -1: all).
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_n: Option<i32>,
    /// Participants that join a second (default: 10); 0 for all at once.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    join_rate: Option<f64>,
    /// Participants a second that leave and come back (default: 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    churn: Option<f64>,
    /// From when all have joined to the end (default: 60s).
    #[arg(long, short, value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    duration: Option<Duration>,
    #[command(flatten)]
    #[serde(skip)]
    impairment: ImpairmentOptions,
    /// How the bridge channel is opened (default: auto: a data channel where one is offered).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_channel: Option<ChannelKind>,
    /// Tell the focus that SSRCs may be rewritten, as the stock web app does.
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    ssrc_rewriting: bool,
    /// Region of the participants, by which a focus chooses their bridges, as `deploymentInfo.userRegion` of a stock config.js
    /// says it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// How many participants decrypt and decode all that they receive (default: all); the others count packets.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    decoders: Option<usize>,
    /// Threads of the load generator (default: 1).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    /// Room names begin with this (default: load).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    room_prefix: Option<String>,
    /// The same seed makes the same media and the same losses (default: 1).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// What happens to packets on the way.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Lines of the participants")]
struct ImpairmentOptions {
    /// Packets of participants that are lost on the way to the server, as 1%.
    #[arg(long)]
    send_loss: Option<Fraction>,
    /// How much later they come, as 50ms.
    #[arg(long, value_parser = humantime::parse_duration)]
    send_delay: Option<Duration>,
    /// How much more some take.
    #[arg(long, value_parser = humantime::parse_duration)]
    send_jitter: Option<Duration>,
    /// How many are overtaken.
    #[arg(long)]
    send_reorder: Option<Fraction>,
    /// The same from the server to participants.
    #[arg(long)]
    receive_loss: Option<Fraction>,
    /// How much later they come.
    #[arg(long, value_parser = humantime::parse_duration)]
    receive_delay: Option<Duration>,
    /// How much more some take.
    #[arg(long, value_parser = humantime::parse_duration)]
    receive_jitter: Option<Duration>,
    /// How many are overtaken.
    #[arg(long)]
    receive_reorder: Option<Fraction>,
}

impl ScenarioOptions {
    /// The scenario: defaults, the file over them, the command line over both.
    ///
    /// # Errors
    /// [`ScenarioError`], which names the file, or the option that cannot be.
    pub fn resolve(&self) -> Result<Scenario, ScenarioError> {
        let mut table = match &self.scenario {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        let said = toml::Table::try_from(self).map_err(|error| ScenarioError::Impossible(error.to_string()))?;
        table.extend(said);
        let mut scenario = Scenario::deserialize(table).map_err(|error| ScenarioError::Invalid(Box::new(error)))?;
        self.impairment.apply_to(&mut scenario);
        check(&scenario)?;
        Ok(scenario)
    }
}

impl ImpairmentOptions {
    fn apply_to(&self, scenario: &mut Scenario) {
        fn apply<T: Copy>(said: Option<T>, value: &mut T) {
            *value = said.unwrap_or(*value);
        }
        apply(self.send_loss, &mut scenario.send.loss);
        apply(self.send_delay, &mut scenario.send.delay);
        apply(self.send_jitter, &mut scenario.send.jitter);
        apply(self.send_reorder, &mut scenario.send.reorder);
        apply(self.receive_loss, &mut scenario.receive.loss);
        apply(self.receive_delay, &mut scenario.receive.delay);
        apply(self.receive_jitter, &mut scenario.receive.jitter);
        apply(self.receive_reorder, &mut scenario.receive.reorder);
    }
}

fn read(path: &Path) -> Result<toml::Table, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Read(path.to_owned(), error))?;
    text.parse().map_err(|error| ScenarioError::Toml(path.to_owned(), Box::new(error)))
}

fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let refuse = |text: String| Err(ScenarioError::Impossible(text));
    let total = scenario.total_participants();
    if total == 0 || total > MAX_PARTICIPANTS {
        return refuse(format!(
            "{} rooms of {} are {total} participants; 1 to {MAX_PARTICIPANTS} can be",
            scenario.rooms, scenario.participants
        ));
    }
    if scenario.threads == 0 || scenario.threads > 256 {
        return refuse(format!("{} threads; 1 to 256 can be", scenario.threads));
    }
    for (name, rate) in [("join-rate", scenario.join_rate), ("churn", scenario.churn)] {
        if !(0.0..=100_000.0).contains(&rate) {
            return refuse(format!("{name} = {rate} is not a number of participants a second"));
        }
    }
    if scenario.svc && !matches!(scenario.codec, VideoCodec::Vp9 | VideoCodec::Av1) {
        return refuse(format!("svc takes codec vp9 or av1, not {}", scenario.codec.as_str()));
    }
    if scenario.duration.is_zero() {
        return refuse("duration is zero".to_owned());
    }
    let name = &scenario.room_prefix;
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return refuse(format!("room-prefix {name:?} has other characters than letters, digits and -"));
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        scenario: ScenarioOptions,
    }

    fn resolve(arguments: &[&str]) -> Result<Scenario, ScenarioError> {
        Cli::parse_from([&["load"], arguments].concat()).scenario.resolve()
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(resolve(&[]).unwrap(), Scenario::default());
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "rooms = 20\nparticipants = 5\nduration = '90s'\ncodec = 'vp9'\nheight = 360\n[receive]\nloss = '2%'\n\
                    delay = '40ms'\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let scenario = resolve(&["--scenario", path, "--rooms", "2", "--receive-loss", "0.5%", "--svc"]).unwrap();
        assert_eq!((scenario.rooms, scenario.participants), (2, 5));
        assert_eq!((scenario.codec, scenario.height, scenario.svc), (VideoCodec::Vp9, Height::H360, true));
        assert_eq!(scenario.duration, Duration::from_secs(90));
        assert_eq!(scenario.receive.loss, "0.5%".parse().unwrap());
        assert_eq!(scenario.receive.delay, Duration::from_millis(40));
        assert_eq!(scenario.send, crate::load::scenario::Impairment::default());
    }

    #[test]
    fn a_scenario_comes_back_from_its_file_form() {
        let scenario =
            resolve(&["--rooms", "3", "--audio-senders", "1", "--send-loss", "3%", "--view", "stage"]).unwrap();
        let text = toml::to_string(&scenario).unwrap();
        assert_eq!(toml::from_str::<Scenario>(&text).unwrap(), scenario, "{text}");
    }

    #[test]
    fn mistakes_are_named() {
        let said = |arguments: &[&str]| {
            let error = resolve(arguments).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        };
        assert!(said(&["--rooms", "0"]).contains("0 rooms of 3 are 0 participants"));
        assert!(said(&["--rooms", "99999", "--participants", "999999"]).contains("1 to 100000"));
        assert!(said(&["--svc"]).contains("not vp8"));
        assert!(said(&["--churn", "NaN"]).contains("churn"));
        assert!(said(&["--duration", "0s"]).contains("duration is zero"));
        assert!(said(&["--room-prefix", "a b"]).contains("room-prefix"));
        assert!(said(&["--scenario", "/does/not/exist.toml"]).contains("cannot read /does/not/exist.toml"));
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, expected) in
            [("rooms = ", "is not TOML"), ("roms = 3", "unknown field `roms`"), ("rooms = 'x'", "invalid type")]
        {
            std::fs::write(file.path(), text).unwrap();
            let said = said(&["--scenario", file.path().to_str().unwrap()]);
            assert!(said.contains(expected), "{said}");
        }
    }
}
