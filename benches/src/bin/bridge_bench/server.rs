//! The process under test: a bridge with an in-process link, asked over stdin and stdout, one element a line.

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use bridge::{Bridge, Settings};
use net::{Link, LinkEvent, LinkPeer};
use prometheus::Registry;
use tokio::sync::mpsc;
use xmpp::{Element, Jid, ns};

const DOMAIN: &str = "meet.jitsi";
const FOCUS: &str = "jvbbrewery@internal-muc.meet.jitsi/focus";
/// Requests that wait to be read; the harness sends one at a time.
const MAX_WAITING_REQUESTS: usize = 16;

/// Serves until stdin ends. Every line of stdin is a `conference-modify`, and is answered by one line.
pub(crate) fn serve(media_threads: usize) -> anyhow::Result<()> {
    observability::init_logging("warn", observability::LogFormat::Text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let jid = Jid::new(Some("jvb"), &format!("auth.{DOMAIN}"), Some("bench"))?;
        let (link, mut focus) = Link::in_process(jid);
        let mut settings = Settings::for_domain(DOMAIN)?;
        settings.media_address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        settings.media_threads = Some(media_threads);
        settings.media_tcp_port = None;
        settings.relay_id = Some("bench".to_owned());
        let _bridge = Bridge::start(settings, link, &Registry::new())?;
        let (to_task, mut requests) = mpsc::channel(MAX_WAITING_REQUESTS);
        std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if to_task.blocking_send(line).is_err() {
                    return;
                }
            }
        })?;
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => answer(&request, &mut focus).await?,
                    None => return Ok(()),
                },
                // Presence in the brewery, which nobody reads here.
                stanza = focus.from_service.recv() => { stanza.context("the bridge is gone")?; }
            }
        }
    })
}

async fn answer(request: &str, focus: &mut LinkPeer) -> anyhow::Result<()> {
    let request: Element = request.parse().context("no element in the request")?;
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "bench")
        .with_attr("from", FOCUS)
        .with_child(request);
    focus.to_service.send(LinkEvent::Stanza(iq)).await.ok().context("the bridge is gone")?;
    let stanza = loop {
        let stanza = focus.from_service.recv().await.context("the bridge is gone")?;
        if stanza.name() == "iq" {
            break stanza;
        }
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", stanza)?;
    Ok(stdout.flush()?)
}
