//! `teranga-bridge`: the bridge as a binary of its own, driven by a focus over XMPP.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context;
use bridge::{Bridge, ControlFlags, MediaFlags, Settings};
use clap::Parser;
use net::{Link, LinkSettings, ServerTrust};
use prometheus::Registry;

/// Forwards the media of conferences.
#[derive(Debug, Parser)]
#[command(name = "teranga-bridge", version, about)]
struct Options {
    /// XMPP server, ws://host:port/xmpp-websocket.
    #[arg(long, env = "TERANGA_XMPP_URL", default_value = "ws://127.0.0.1:5280/xmpp-websocket", value_name = "URL")]
    xmpp: String,
    /// XMPP domain.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    domain: String,
    /// Password with which focus and bridges log in.
    #[arg(long, env = "TERANGA_SERVICE_SECRET", hide_env_values = true, value_name = "SECRET")]
    service_secret: String,
    /// Take any certificate of the XMPP server; for private networks only.
    #[arg(long, env = "TERANGA_XMPP_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    xmpp_insecure: bool,
    /// Name among the bridges of the focus, unlike that of any other [default: the name of the host].
    #[arg(long, env = "TERANGA_BRIDGE_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Region told to the focus.
    #[arg(long, env = "TERANGA_REGION", value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    media: MediaFlags,
    #[command(flatten)]
    control: ControlFlags,
    /// Where to serve /colibri-ws/ in plain http; TLS is up to what stands in front.
    #[arg(long, env = "TERANGA_HTTP", default_value = "127.0.0.1:9090", value_name = "IP:PORT")]
    http: SocketAddr,
    /// wss://host:port under which clients reach /colibri-ws/. Turns bridge channels over WebSocket on.
    #[arg(long, env = "TERANGA_PUBLIC_WS_URL", value_name = "URL")]
    public_ws_url: Option<String>,
    /// Serve /metrics, /about, /colibri and /debug here, as the private interface of a stock bridge at 127.0.0.1:8080, in plain
    /// http; keep it private.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// Lets /debug/capture of --admin write RTP and RTCP decrypted (plain=1): whoever reaches --admin can then listen to
    /// and watch every conference. Without it packet traces have media as on the wire, encrypted.
    #[arg(long, env = "TERANGA_ALLOW_PLAIN_CAPTURES", value_parser = clap::builder::BoolishValueParser::new())]
    allow_plain_captures: bool,
    /// What is logged: a level, or module=level pairs separated by commas.
    #[arg(long, env = "TERANGA_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

fn main() -> ExitCode {
    let options = web::options();
    bridge::use_huge_pages();
    web::exit("teranga-bridge", run(options).map_err(Into::into))
}

#[tokio::main]
async fn run(options: Options) -> anyhow::Result<()> {
    observability::init_logging(&options.log, observability::LogFormat::Text).context("cannot set --log")?;
    let name = options.name.or_else(net::host_name).unwrap_or_else(|| "teranga".to_owned());
    let mut settings = Settings::for_domain(&options.domain).context("cannot use --domain")?;
    options.media.apply(&mut settings, Ipv6Addr::UNSPECIFIED.into());
    options.control.apply(&mut settings, Some(&name));
    settings.web_socket_base = options.public_ws_url.map(|url| url.trim_end_matches('/').to_owned());
    settings.server_id.clone_from(&name);
    settings.nick.clone_from(&name);
    settings.region = options.region;
    settings.allow_plain_captures = options.allow_plain_captures;
    let link = Link::connect(LinkSettings {
        url: options.xmpp,
        domain: format!("auth.{}", options.domain),
        username: "jvb".to_owned(),
        password: options.service_secret,
        resource: name,
        trust: ServerTrust::of_flag(options.xmpp_insecure),
    });

    let registry = Registry::new();
    let bridge = Bridge::start(settings, link, &registry)?;
    observability::tell_missing(bridge.missing());
    let listener = web::listen("http", options.http).await?;
    if let Some(admin) = options.admin {
        web::serve_admin(admin, move || observability::render_metrics(&registry), bridge.admin_router()).await?;
    }
    let stop = web::stop_signal().context("cannot wait for Ctrl-C")?;
    tracing::info!(http = %options.http, media_port = options.media.media_port, "bridge serves");
    let shut_down = bridge.shut_down();
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = shut_down => {}
        }
    };
    web::serve_http(listener, bridge.router(), stop).await.context("the http server stopped")
}
