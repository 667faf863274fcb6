//! `teranga-signaling`: the signaling service as a binary of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use prometheus::Registry;
use signaling::{
    ApiFlags, AuthFlags, ExternalServices, IceServer, RoomFlags, Secret, Settings, Signaling, TurnCredentials,
    VisitorFlags, XmppFlags,
};

/// XMPP for Jitsi's clients, focus and bridges.
#[derive(Debug, Parser)]
#[command(name = "teranga-signaling", version, about)]
struct Options {
    /// Where to serve the web client, config.js and /xmpp-websocket, in plain http: TLS is up to what stands in front.
    #[arg(long, env = "TERANGA_HTTP", default_value = "127.0.0.1:5280", value_name = "IP:PORT")]
    http: SocketAddr,
    /// XMPP domain; rooms and services have the usual names below it.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    domain: String,
    /// Password of focus and bridges; without it they cannot log in.
    #[arg(long, env = "TERANGA_SERVICE_SECRET", hide_env_values = true, value_name = "SECRET")]
    service_secret: Option<String>,
    /// URL under which clients reach this server, https://host:port; without it config.js names the host of the request.
    #[arg(long, env = "TERANGA_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// STUN or TURN server to tell clients of, as stun:host:port, turn:host:port?transport=udp or turns:host:port; may be
    /// repeated.
    #[arg(long, env = "TERANGA_ICE_SERVERS", value_delimiter = ',', value_name = "URI")]
    ice_server: Vec<IceServer>,
    /// Secret shared with the TURN servers (coturn's static-auth-secret); without it clients are told of STUN only.
    #[arg(long, env = "TERANGA_TURN_SECRET", hide_env_values = true, value_name = "SECRET")]
    turn_secret: Option<String>,
    /// Serve /metrics and /about/health here, in plain http; keep it private.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// Directory with tls-certificate.pem and tls-key.pem for the XMPP port, made there when missing; without it a new
    /// self-signed certificate is made at each start.
    #[arg(long, env = "TERANGA_TLS_DIR", value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    #[command(flatten)]
    xmpp: XmppFlags,
    #[command(flatten)]
    rooms: RoomFlags,
    #[command(flatten)]
    visitors: VisitorFlags,
    /// Whether the focus has visitors wait until the metadata of a room says that it is live; moderators in our client can say so then.
    #[arg(long, env = "TERANGA_VISITORS_LIVE_ROOM", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    visitors_live_room: bool,
    #[command(flatten)]
    auth: AuthFlags,
    #[command(flatten)]
    api: ApiFlags,
    /// What is logged: a level, or module=level pairs separated by commas.
    #[arg(long, env = "TERANGA_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    web::exit("teranga-signaling", serve(web::options()).await.map_err(Into::into))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    observability::init_logging(&options.log, observability::LogFormat::Text).context("cannot set --log")?;
    let mut settings = Settings::for_domain(&options.domain).context("cannot use --domain")?;
    settings.service_secret = options.service_secret.and_then(Secret::new);
    options.rooms.apply(&mut settings).context("cannot set up rooms")?;
    options.auth.apply(&mut settings).context("cannot set up logins")?;
    options.visitors.apply(&mut settings).context("cannot set up visitors")?;
    settings.api = options.api.to_settings(options.auth.token_issuer(options.public_url.as_deref()));
    options.xmpp.apply(&mut settings).context("cannot use the name of an account")?;
    let backends = options.auth.backends(None).context("cannot set up logins")?;
    settings.external_services = ExternalServices {
        servers: options.ice_server,
        turn: options
            .turn_secret
            .and_then(Secret::new)
            .map(|secret| TurnCredentials { secret, lifetime: TurnCredentials::DEFAULT_LIFETIME }),
    };
    if settings.service_secret.is_none() && settings.accounts.is_empty() {
        tracing::warn!("no service secret: neither focus nor bridges can log in (set TERANGA_SERVICE_SECRET)");
    }

    let client_config = web::ClientConfig {
        anonymous_domain: settings.hosts.guest.as_ref().map(ToString::to_string),
        auth_domain: options.auth.auth_domain(&settings),
        token_auth_url: options.auth.token_auth_url().map(str::to_owned),
        domain: settings.hosts.domain.to_string(),
        muc_domain: settings.hosts.muc.to_string(),
        focus: settings.hosts.focus.to_string(),
        visitors_domain: options.visitors.other_domain(&options.domain),
        live_rooms: options.visitors.enable_visitors && options.visitors_live_room,
        public_url: options.public_url,
    };

    let registry = Registry::new();
    let listener = web::listen("http", options.http).await?;
    let signaling = Signaling::start_with(settings, backends, &registry).context("cannot start signaling")?;
    let names = [options.domain.clone(), "localhost".to_owned()];
    let tls = || {
        let certificate = match &options.tls_dir {
            Some(dir) => web::load_or_create_certificate(dir, &names),
            None => web::create_certificate(&names),
        };
        anyhow::Ok(Arc::new(certificate?))
    };
    options.xmpp.serve(&signaling, options.http.ip(), tls).await?;
    if let Some(admin) = options.admin {
        web::serve_admin(admin, move || observability::render_metrics(&registry), web::always_healthy()).await?;
    }
    let stop = web::stop_signal().context("cannot wait for Ctrl-C")?;
    tracing::info!(http = %options.http, domain = options.domain, "signaling serves");
    let router = signaling.name_shard(web::router(client_config).merge(signaling.router()));
    let stop = async {
        stop.await;
        // Clients and services hear that the server goes.
        signaling.stop().await;
    };
    web::serve_http(listener, router, stop).await.context("the http server stopped")
}
