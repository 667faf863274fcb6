//! `teranga bridges`: what the focus knows of its bridges, as a table.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use clap::Args;
use serde_json::Value;

/// How long the focus may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer: some hundred bytes a bridge and a conference.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Where the focus answers: within `teranga serve`, and as a binary of its own.
const PATHS: [&str; 2] = ["/focus/debug", "/debug"];
/// Longest text of a bridge in the table.
const MAX_TEXT_CHARS: usize = 40;

const HEADER: [&str; 8] = ["BRIDGE", "REGION", "VERSION", "RELAY ID", "LOAD", "CONFERENCES", "ENDPOINTS", "STATE"];
/// Which columns are numbers.
const IS_NUMBER: [bool; 8] = [false, false, false, false, true, true, true, false];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The --admin address of `teranga serve` or `teranga-focus`.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    admin: SocketAddr,
    /// Print what the focus says as it is, in JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let bridges = runtime.block_on(ask(options.admin))?;
    let text = if options.json { format!("{bridges:#}\n") } else { table(&bridges) };
    crate::serve::say(text.trim_end());
    Ok(())
}

/// The bridges as the focus describes them, by occupant JID.
async fn ask(admin: SocketAddr) -> anyhow::Result<Value> {
    for path in PATHS {
        let answer = tokio::time::timeout(TIMEOUT, get(admin, path)).await;
        let answer = answer.with_context(|| format!("{admin} does not answer"))??;
        if answer.status() == StatusCode::NOT_FOUND {
            continue;
        }
        let debug: Option<Value> = serde_json::from_slice(answer.body()).ok();
        if let Some(bridges) = debug.and_then(|debug| debug.pointer("/bridge_selector/bridge").cloned()) {
            return Ok(bridges);
        }
    }
    bail!("no focus is at {admin} (is that the --admin of `teranga serve` or `teranga-focus`?)")
}

async fn get(admin: SocketAddr, path: &str) -> anyhow::Result<Response<Bytes>> {
    let stream = tokio::net::TcpStream::connect(admin).await.with_context(|| format!("cannot reach {admin}"))?;
    let request = Request::get(path).header("host", admin.to_string()).body(Body::empty());
    let request = request.context("cannot ask")?;
    web::exchange(stream, request, MAX_ANSWER_BYTES)
        .await
        .with_context(|| format!("{admin} does not answer as a focus"))
}

fn table(bridges: &Value) -> String {
    let bridges = bridges.as_object();
    let mut rows: Vec<[String; 8]> = bridges.into_iter().flatten().map(|(jid, bridge)| row(jid, bridge)).collect();
    rows.sort();
    let count = rows.len();
    rows.insert(0, HEADER.map(str::to_owned));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).zip(IS_NUMBER).map(|((cell, width), is_number)| {
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    if count == 0 { "No bridge is in the brewery.\n".to_owned() } else { text }
}

fn row(jid: &str, bridge: &Value) -> [String; 8] {
    let version = match (text(&bridge["version"]), text(&bridge["release"])) {
        (version, release) if release == "-" => version,
        (version, release) => format!("{version}-{release}"),
    };
    [
        printable(jid.rsplit_once('/').map_or(jid, |(_, nick)| nick)),
        text(&bridge["region"]),
        version,
        text(&bridge["relay-id"]),
        bridge["corrected-stress"].as_f64().map_or_else(|| "-".to_owned(), |stress| format!("{stress:.2}")),
        bridge["conferences"].to_string(),
        bridge["endpoints"].to_string(),
        state(bridge),
    ]
}

/// Everything that keeps endpoints away, the worst first.
fn state(bridge: &Value) -> String {
    let is = |name: &str| bridge[name] == true;
    let states = [
        (is("shutting-down"), "shuts down"),
        (!is("operational"), "failed"),
        (!is("healthy"), "unhealthy"),
        (is("graceful-shutdown"), "ends with its conferences"),
        (is("drain"), "drains"),
        (is("failing-ice"), "ICE fails"),
        (is("overloaded"), "overloaded"),
    ];
    let states: Vec<&str> = states.into_iter().filter_map(|(holds, name)| holds.then_some(name)).collect();
    if states.is_empty() { "ok".to_owned() } else { states.join(", ") }
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), printable)
}

/// What bridges say of themselves goes to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bridges_are_a_table() {
        let bridge = |drain: bool, relay: Option<&str>| {
            json!({ "region": "eu", "version": "2.3", "release": "7", "relay-id": relay, "corrected-stress": 0.127,
                    "conferences": 2, "endpoints": 31, "operational": true, "healthy": true, "drain": drain,
                    "overloaded": drain })
        };
        let bridges = json!({ "b@m/two\u{1b}": bridge(true, None), "b@m/one": bridge(false, Some("10.0.0.1:4096")) });
        let expected = "\
            BRIDGE  REGION  VERSION  RELAY ID       LOAD  CONFERENCES  ENDPOINTS  STATE\n\
            one     eu      2.3-7    10.0.0.1:4096  0.13            2         31  ok\n\
            two?    eu      2.3-7    -              0.13            2         31  drains, overloaded\n";
        assert_eq!(table(&bridges), expected);
        assert_eq!(table(&json!({})), "No bridge is in the brewery.\n");
    }

    #[test]
    fn a_focus_is_found_where_it_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let admin = listener.local_addr().unwrap();
            let debug = || async { axum::Json(json!({ "bridge_selector": { "bridge": { "b@m/one": {} } } })) };
            let router = axum::Router::new().route("/debug", axum::routing::get(debug));
            tokio::spawn(web::serve_http(listener, router, std::future::pending()));
            assert_eq!(ask(admin).await.unwrap(), json!({ "b@m/one": {} }));
        });
    }
}
