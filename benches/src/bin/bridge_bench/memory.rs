//! Memory of a participant: the slope of the resident size over rooms of different sizes, all connected, with media; and
//! whether it stays flat while participants come and go.

use std::process::ExitCode;
use std::time::Duration;

use benches::statistics::line;
use clap::Args;

use crate::call::Call;
use crate::place::Place;
use crate::sender::Target;
use crate::traffic::{Members, Picture, Scenario};

/// Of every room some speak and some show a small picture; everybody gets all of it.
const AUDIO_SENDERS: usize = 4;
const VIDEO_SENDERS: usize = 8;
/// Frames and packets a second, as a part of those of a full call: 500 receivers are to fit one core.
const RATE: f64 = 0.5;
/// Of a room in which participants come and go.
const ROOM: usize = 20;
/// Participants that leave and join at once. None of them sends.
const REPLACED_AT_ONCE: usize = 10;

/// Measures memory.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Participants of the rooms that are compared.
    #[arg(long, value_delimiter = ',', default_value = "20,100,500", value_name = "N")]
    participants: Vec<usize>,
    /// Seconds of media before the size is read: what is kept for retransmission is then full.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    seconds: f64,
    /// Participants that leave and are replaced.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    replaced: usize,
    /// Fails when a participant costs more, in MB.
    #[arg(long, value_name = "MB")]
    max_slope: Option<f64>,
    /// Fails when the second half of the replacements takes more, in MB.
    #[arg(long, value_name = "MB")]
    max_growth: Option<f64>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.place.take_client_side()?;
    let duration = Duration::from_secs_f64(options.seconds);
    let mut points = Vec::new();
    for participants in &options.participants {
        let mut call = start(options, *participants)?;
        let idle = megabytes(&call)?;
        let played = call.play(Target::Bridge, duration)?;
        let with_media = megabytes(&call)?;
        println!(
            "{participants:5} participants: {idle:6.1} MB connected, {with_media:6.1} MB with media \
             ({:.0} packets/s, {:.2} % arrived)",
            played.delivered as f64 / duration.as_secs_f64(),
            played.delivered_part() * 100.0
        );
        points.push((*participants as f64, with_media));
        call.finish()?;
    }
    for pair in points.windows(2) {
        if let [(few, less), (many, more)] = pair {
            println!("{few:5.0} → {many:3.0}: {:.3} MB a participant", (more - less) / (many - few));
        }
    }
    let (slope, offset) = line(&points);
    println!("slope {slope:.3} MB a participant, {offset:.1} MB without any");

    let growth = replace(options)?;
    let is_steep = options.max_slope.is_some_and(|limit| slope > limit);
    let grows = options.max_growth.is_some_and(|limit| growth > limit);
    if is_steep {
        eprintln!("failed: a participant takes {slope:.3} MB");
    }
    if grows {
        eprintln!("failed: memory grew by {growth:.1} MB");
    }
    Ok(if is_steep || grows { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Replaces participants while media flows before and after; answers what the second half took.
fn replace(options: &Options) -> anyhow::Result<f64> {
    let mut call = start(options, ROOM)?;
    let pause = Duration::from_secs(2);
    call.play(Target::Bridge, pause)?;
    let mut sizes = vec![megabytes(&call)?];
    let rounds = options.replaced.div_ceil(REPLACED_AT_ONCE);
    for round in 1..=rounds {
        call.replace_last(REPLACED_AT_ONCE)?;
        if round.is_multiple_of((rounds / 10).max(1)) {
            call.play(Target::Bridge, pause)?;
            sizes.push(megabytes(&call)?);
        }
    }
    let sizes_text: Vec<_> = sizes.iter().map(|size| format!("{size:.1}")).collect();
    println!("{} participants replaced, resident MB every tenth of them: {}", options.replaced, sizes_text.join(" "));
    call.finish()?;
    let middle = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    Ok(sizes.last().copied().unwrap_or_default() - middle)
}

fn start(options: &Options, participants: usize) -> anyhow::Result<Call> {
    let scenario = Scenario {
        name: "memory",
        rooms: 1,
        participants,
        audio_senders: AUDIO_SENDERS,
        video_senders: VIDEO_SENDERS,
        picture: Picture::Small,
        members: Members::Endpoints,
        rate: RATE,
    };
    let mut call = Call::new(scenario, options.place.feedback(), options.place.start_bridge(&[])?)?;
    call.join_all()?;
    call.start_media(None)?;
    Ok(call)
}

fn megabytes(call: &Call) -> anyhow::Result<f64> {
    Ok(call.bridge.resident_bytes()? as f64 / 1e6)
}
