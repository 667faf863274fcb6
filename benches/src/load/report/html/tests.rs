use super::*;
use crate::load::measure::FailureCause;
use crate::load::report::{RunRecord, example};

fn page(record: &RunRecord, expectations: &[&str]) -> String {
    let expectations: Vec<_> = expectations.iter().map(|text| text.parse().unwrap()).collect();
    let mut out = Vec::new();
    html(&Report::new(record, &expectations), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn has_the_figures_of_the_run() {
    let page = page(&example::run(), &["loss<0.1%", "join_p95<2s"]);
    assert!(page.contains("<span>Packet loss</span><b>1 %</b><small>0.100 % lost for good</small>"), "{page}");
    assert!(page.contains("<td>Lost packets</td><td>0</td><td>4,800</td><td>4,800</td><td>1 %</td>"), "{page}");
    assert!(page.contains("<p class=\"banner bad\">1 of 2 expectations are not met.</p>"), "{page}");
    assert!(
        page.contains("<td class=\"bad\">failed</td>") && page.contains("<td class=\"good\">passed</td>"),
        "{page}"
    );
    assert!(page.contains("2026-11-28 22:33:46 UTC · 1:05 in all, 1:00 steady"), "{page}");
    assert_eq!(page.matches("<figure>").count(), 8);
    assert!(!page.contains("NaN") && !page.contains("Partial report"), "{page}");
}

#[test]
fn needs_nothing_else_and_runs_nothing() {
    let page = page(&example::run(), &[]);
    for word in ["<script", "<link", "<img", "src=", "@import", "url(", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn texts_from_elsewhere_are_no_markup() {
    let hostile = "\"><script>alert('x')</script>";
    let mut record = example::run();
    record.target = hostile.to_owned();
    record.scenario = serde_json::json!({ hostile: hostile });
    record.machine.cpu_model = hostile.to_owned();
    record.servers[0].name = hostile.to_owned();
    record.servers[0].ended.push(crate::load::process::EndedProcess {
        pid: 1,
        name: hostile.to_owned(),
        at: std::time::Duration::ZERO,
    });
    record.ended = super::super::EndCause::Failed(hostile.to_owned());
    record.samples[0].measurements.record_failure(FailureCause::Tls, hostile);
    let page = page(&record, &[]);
    assert!(!page.contains("<script") && !page.contains("\">&lt;/"), "{page}");
    // Title, heading, banner, failure, ended process, table, key of plots and their strips, machine, scenario.
    assert!(page.matches("&lt;script&gt;").count() > 10);
}

#[test]
fn a_partial_report_says_so_and_has_what_there_is() {
    let page = page(&example::cut_short(), &["loss<1%"]);
    assert!(page.contains("<p class=\"banner warn\">Partial report: cut short: the server is gone."), "{page}");
    assert!(page.contains("Process 7 (java, of jvb) ended at 0:03."), "{page}");
    assert!(page.contains("<td class=\"bad\">no data</td>"), "{page}");
    assert!(page.contains("<td>Join, whole</td><td>15</td>"), "{page}");
    assert!(
        page.contains("aria-label=\"Participants\"") && !page.contains("aria-label=\"Forwarding latency\""),
        "{page}"
    );
}

#[test]
fn of_nothing_there_is_a_page_too() {
    let page = page(&example::empty(), &[]);
    assert!(page.contains("Nothing was measured.") && page.ends_with("</html>\n"), "{page}");
    assert!(!page.contains("<figure>"));
}

#[test]
fn all_that_is_opened_is_closed() {
    for record in [example::run(), example::cut_short(), example::empty()] {
        let page = page(&record, &["cpu<1"]);
        for name in ["section", "table", "figure", "svg", "div", "ul", "li", "main", "tr", "td", "title", "details"] {
            let opened = page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
            assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
        }
    }
}
