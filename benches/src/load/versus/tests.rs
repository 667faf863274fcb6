use super::*;
use crate::load::process::ProcessSeries;
use crate::load::report::{MachineInfo, RunRecord, example};

/// A run whose server takes `cores` in all.
fn run(cores: f64) -> Summary {
    let mut record: RunRecord = example::run();
    record.servers.truncate(1);
    let ProcessSeries { points, .. } = &mut record.servers[0];
    points.iter_mut().for_each(|point| point.cpu = std::time::Duration::from_secs_f64(cores));
    Summary::of(&record)
}

/// CPU of B to A: 0.5, 0.6 and 0.8.
fn versus() -> Versus {
    let mut versus = Versus::new("Java <stack>", "ours | B", example::run().machine);
    versus.push(run(1.0), run(0.5));
    versus.push(run(2.0), run(1.2));
    versus.push(run(0.5), run(0.4));
    versus
}

fn text(write: impl Fn(&Versus, &mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&versus(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn compared(versus: &Versus, name: &str) -> Compared {
    versus.compared().into_iter().find(|compared| compared.metric.name == name).unwrap()
}

#[test]
fn ratios_are_those_of_the_pairs_and_not_of_the_medians() {
    let cpu = compared(&versus(), "cpu");
    assert_eq!(cpu.medians, [Some(1.0), Some(0.5)]);
    let ratio = cpu.ratio.unwrap();
    for (value, expected) in [(ratio.median, 0.6), (ratio.least, 0.5), (ratio.most, 0.8)] {
        assert!((value - expected).abs() < 1e-9, "{ratio:?}");
    }
    assert_eq!((cpu.pairs, cpu.reading()), (3, Reading::Better));
}

#[test]
fn what_all_pairs_say_depends_on_which_way_is_up() {
    let versus = versus();
    // More packets a core are better; equal loss is neither.
    assert_eq!(compared(&versus, "packets_per_core").reading(), Reading::Better);
    assert_eq!(compared(&versus, "loss").reading(), Reading::Open);
    let mut other = Versus::new("a", "b", MachineInfo::default());
    other.push(run(1.0), run(2.0));
    assert_eq!(compared(&other, "cpu").reading(), Reading::Open, "one pair says nothing");
    other.push(run(1.0), run(1.1));
    assert_eq!(compared(&other, "cpu").reading(), Reading::Worse);
    other.push(run(1.0), run(0.9));
    assert_eq!(compared(&other, "cpu").reading(), Reading::Open);
}

#[test]
fn there_is_no_ratio_to_nothing() {
    let mut versus = versus();
    // No audio was lost, so that nothing can be said of its ratio.
    let loss = compared(&versus, "audio_loss");
    assert_eq!((loss.medians, loss.ratio, loss.pairs), ([Some(0.0), Some(0.0)], None, 0));
    // A run without data of the server: its pair does not count.
    versus.push(run(1.0), Summary::of(&example::cut_short()));
    assert_eq!(compared(&versus, "cpu").pairs, 3);
    assert!(Versus::new("a", "b", MachineInfo::default()).compared().is_empty());
}

#[test]
fn tables_have_medians_ratio_and_range() {
    let terminal = text(Versus::terminal);
    assert!(terminal.starts_with("A = Java <stack>\nB = ours | B\n"), "{terminal}");
    let line = terminal.lines().find(|line| line.starts_with("  Server CPU  ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["Server", "CPU", "1", "cores", "0.500", "cores", "0.60", "0.50–0.80", "3", "better"]);
    let markdown = text(Versus::markdown);
    assert!(markdown.starts_with("| | A: Java <stack> | B: ours \\| B | B / A | range |\n"), "{markdown}");
    assert!(markdown.contains("\n| Server CPU | 1 cores | 0.500 cores | 0.60 | 0.50–0.80 |\n"), "{markdown}");
    for text in [&terminal, &markdown] {
        assert!(text.contains("\n3 pairs, A and B in turn, "), "{text}");
        assert!(text.contains(&format!("Load generator on: {}.\n", example::run().machine)), "{text}");
    }
}

#[test]
fn json_has_the_same() {
    let value: Value = serde_json::from_str(&text(Versus::json)).unwrap();
    assert_eq!((&value["version"], &value["pairs"], &value["a"]), (&json!(1), &json!(3), &json!("Java <stack>")));
    let cpu = value["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "cpu").unwrap();
    assert_eq!((&cpu["a"], &cpu["b"], &cpu["unit"]), (&json!(1.0), &json!(0.5), &json!("cores")));
    assert!((cpu["ratio"]["max"].as_f64().unwrap() - 0.8).abs() < 1e-9, "{cpu}");
    assert_eq!(cpu["reading"], "better");
    assert_eq!(value["machine"]["cpus"], json!(example::run().machine.cpus));
}

#[test]
fn the_page_is_whole_and_escaped() {
    let page = text(Versus::html);
    assert!(page.contains("<h1>ours | B beside Java &lt;stack&gt;</h1>") && !page.contains("<stack>"), "{page}");
    assert!(page.contains("<td>Server CPU</td><td>1 cores</td><td>0.500 cores</td><td>0.60</td>"), "{page}");
    assert!(page.contains("curve range c3") && !page.contains("NaN") && !page.contains("<script"), "{page}");
    assert!(page.ends_with("</html>\n"));
    let mut out = Vec::new();
    Versus::new("a", "b", MachineInfo::default()).html(&mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("No pair was completed."));
}
