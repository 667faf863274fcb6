//! Two targets in turn: A B A B …

use anyhow::{Context, bail};
use benches::load::engine;
use benches::load::report::{EndCause, MachineInfo, Report, RunRecord, Summary};
use benches::load::scenario::{Scenario, Target, TargetOptions};
use benches::load::versus::Versus;
use tokio::sync::watch;

use crate::options::Options;
use crate::run::{print, record, stop_on_signal, write_file};

/// Runs pairs and prints their ratios; answers whether all expectations are met by both.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let scenario = options.scenario.resolve()?;
    let a = engine::find_target(&options.target)?;
    let url = options.versus.clone().context("no second target")?;
    let b = TargetOptions {
        url,
        signaling: options.vs_signaling,
        domain: None,
        muc: None,
        focus: None,
        websocket: None,
        token: options.target.token.clone(),
        username: options.target.username.clone(),
        password: options.target.password.clone(),
        opener: options.target.opener.clone(),
        opener_password: options.target.opener_password.clone(),
        api_key: options.target.api_key.clone(),
        api_secret: options.target.api_secret.clone(),
        insecure: options.target.insecure,
    };
    let b = engine::find_target(&b)?;
    let stop = stop_on_signal()?;
    let turns = Turns { options, scenario: &scenario, targets: [&a, &b], stop: &stop };
    if options.warm_up {
        for side in [Side::A, Side::B] {
            turns.take(side, "warming up")?;
        }
    }
    let name = |said: &Option<String>, target: &Target| said.clone().unwrap_or_else(|| target.url.clone());
    let (name_a, name_b) = (name(&options.name, &a), name(&options.vs_name, &b));
    let mut versus = Versus::new(name_a, name_b, MachineInfo::of_this_host());
    let mut passed = true;
    for pair in 1..=options.pairs {
        let label = format!("pair {pair} of {}", options.pairs);
        let first = turns.take(Side::A, &label)?;
        let second = turns.take(Side::B, &label)?;
        if *stop.borrow() {
            break;
        }
        for record in [&first, &second] {
            passed &= Report::new(record, &options.report.expect).is_passed();
        }
        versus.push(Summary::of(&first), Summary::of(&second));
    }
    if versus.pairs() == 0 {
        bail!("stopped before the first pair was complete");
    }
    write_file(options.report.json.as_deref(), |out| versus.json(out))?;
    write_file(options.report.html.as_deref(), |out| versus.html(out))?;
    write_file(options.markdown.as_deref(), |out| versus.markdown(out))?;
    print(|out| versus.terminal(out))?;
    Ok(passed)
}

#[derive(Clone, Copy)]
enum Side {
    A,
    B,
}

struct Turns<'a> {
    options: &'a Options,
    scenario: &'a Scenario,
    targets: [&'a Target; 2],
    stop: &'a watch::Receiver<bool>,
}

impl Turns<'_> {
    fn take(&self, side: Side, label: &str) -> anyhow::Result<RunRecord> {
        let [a, b] = self.targets;
        let (target, servers) = match side {
            Side::A => (a, &self.options.report.server),
            Side::B => (b, &self.options.vs_server),
        };
        eprintln!("{label}: {}", target.url);
        let record = record(self.scenario, target, &self.options.report, servers, self.stop)?;
        match &record.ended {
            EndCause::Failed(reason) => bail!("{}: {reason}", target.url),
            EndCause::Completed | EndCause::Interrupted => Ok(record),
        }
    }
}
