//! One run against one target.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use benches::load::engine::{self, Ending};
use benches::load::measure::{FailureCause, Measurements};
use benches::load::process::{ProcessQuery, ServerProcesses};
use benches::load::report::live::Live;
use benches::load::report::{self, EndCause, MachineInfo, Report, RunRecord};
use benches::load::scenario::{Scenario, Target};
use tokio::sync::watch;

use crate::options::{Options, ReportOptions};

/// Runs and reports; answers whether all expectations are met.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let scenario = options.scenario.resolve()?;
    let target = engine::find_target(&options.target)?;
    let stop = stop_on_signal()?;
    let record = record(&scenario, &target, &options.report, &options.report.server, &stop)?;
    let report = Report::new(&record, &options.report.expect);
    write_file(options.report.json.as_deref(), |out| report::json(&report, out))?;
    write_file(options.report.html.as_deref(), |out| report::html(&report, out))?;
    print(|out| report::terminal(&report, out))?;
    for verdict in report.verdicts.iter().filter(|verdict| !verdict.is_passed()) {
        eprintln!("{verdict}");
    }
    Ok(report.is_passed() && !matches!(record.ended, EndCause::Failed(_)))
}

/// Runs a scenario and keeps what was measured, also when it is cut short.
pub(crate) fn record(
    scenario: &Scenario,
    target: &Target,
    options: &ReportOptions,
    servers: &[ProcessQuery],
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<RunRecord> {
    let mut processes = ServerProcesses::find(servers)?;
    if options.syscalls {
        processes.count_syscalls()?;
    }
    let mut record = RunRecord {
        scenario: serde_json::to_value(scenario).context("scenario")?,
        target: target.url.clone(),
        started: SystemTime::now(),
        samples: Vec::new(),
        servers: Vec::new(),
        machine: MachineInfo::of_this_host(),
        ended: EndCause::Completed,
    };
    let participants = scenario.total_participants() as u64;
    let joining = if scenario.join_rate > 0.0 { participants as f64 / scenario.join_rate } else { 0.0 };
    let planned = scenario.duration + Duration::from_secs_f64(joining);
    let mut live = (!options.quiet).then(|| Live::on_stderr(participants, planned));
    let mut told = Vec::new();
    let ending = engine::run(scenario, target, stop, |sample| {
        processes.sample(sample.at);
        if let Some(live) = &mut live {
            tell_failures(&sample.measurements, &mut told, live);
            live.show(&sample, processes.cores());
        }
        record.push(sample);
    })?;
    if let Some(live) = live {
        live.finish();
    }
    record.servers = processes.series().to_vec();
    record.ended = match ending {
        Ending::Complete => EndCause::Completed,
        Ending::Stopped => EndCause::Interrupted,
        Ending::NobodyLeft => EndCause::Failed(why_nobody_is_left(&record)),
    };
    Ok(record)
}

/// Tells each cause once, when it is seen first.
fn tell_failures(measurements: &Measurements, told: &mut Vec<FailureCause>, live: &mut Live) {
    for (cause, failure) in measurements.failures().iter() {
        if !told.contains(&cause) {
            told.push(cause);
            live.note(&format!("{cause}: {}", failure.example));
        }
    }
}

fn why_nobody_is_left(record: &RunRecord) -> String {
    let mut all = Measurements::default();
    for sample in &record.samples {
        all.merge(&sample.measurements);
    }
    let most = all.failures().iter().max_by_key(|(_, failure)| failure.count);
    most.map_or_else(
        || "no participant is left".to_owned(),
        |(cause, failure)| format!("no participant is left. {cause}: {}", failure.example),
    )
}

/// A watch that turns true with the first Ctrl-C or SIGTERM; the second ends the process.
pub(crate) fn stop_on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            next().await;
            sender.send_replace(true);
            next().await;
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("cannot start a thread")?;
    Ok(receiver)
}

/// Writes to stdout. A reader that has seen enough, such as `head`, is no error.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    match write(&mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the report"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file, if one is wanted.
pub(crate) fn write_file(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let writing = || {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.flush()
    };
    writing().with_context(|| format!("cannot write {}", path.display()))
}
