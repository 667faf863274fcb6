//! `teranga-focus`: the conference focus as a binary of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use auth::{AuthTypes, Moderators};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser};
use focus::{
    AuthenticationSettings, AuthorityType, ConferenceFlags, Focus, Settings, VisitorNodeFlags, VisitorPlacementFlags,
};
use net::{Link, LinkSettings, ServerTrust};
use prometheus::Registry;

/// Leads conferences: rooms, sessions with clients, choice of bridges.
#[derive(Debug, Parser)]
#[command(name = "teranga-focus", version, about)]
struct Options {
    /// XMPP server, ws://host:port/xmpp-websocket
    #[arg(long, env = "TERANGA_XMPP_URL", default_value = "ws://127.0.0.1:5280/xmpp-websocket", value_name = "URL")]
    xmpp: String,
    /// XMPP domain; rooms and services have the usual names below it.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    domain: String,
    /// Password of the account focus@auth.DOMAIN.
    #[arg(long, env = "TERANGA_SERVICE_SECRET", hide_env_values = true, value_name = "SECRET")]
    service_secret: String,
    /// Take any certificate of the XMPP server; for private networks only.
    #[arg(long, env = "TERANGA_XMPP_INSECURE")]
    xmpp_insecure: bool,
    /// Where to serve /conference-request/v1 and /about, in plain http: TLS is up to what stands in front.
    #[arg(long, env = "TERANGA_HTTP", default_value = "127.0.0.1:8888", value_name = "IP:PORT")]
    http: SocketAddr,
    /// Serve /metrics, /stats, /debug, /rtcstats, /move-endpoints and /pin here, in plain http; keep it private.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// Name of the room at internal-muc.DOMAIN in which Jibris announce themselves, usually jibribrewery.
    #[arg(long, env = "JIBRI_BREWERY_MUC", value_name = "NAME")]
    jibri_brewery: Option<String>,
    /// The same for Jibris that make calls over SIP.
    #[arg(long, env = "JIBRI_SIP_BREWERY_MUC", value_name = "NAME")]
    jibri_sip_brewery: Option<String>,
    /// Name of the room at internal-muc.DOMAIN in which Jigasis announce themselves, usually jigasibrewery.
    #[arg(long, env = "JIGASI_BREWERY_MUC", value_name = "NAME")]
    jigasi_brewery: Option<String>,
    /// It takes a login to open a room; others wait until one who logged in has come.
    #[arg(long, env = "ENABLE_AUTH", value_parser = BoolishValueParser::new())]
    enable_auth: bool,
    /// How people log in, one way or several, separated by commas: internal, ldap, jwt.
    #[arg(long, env = "AUTH_TYPE", default_value = "internal", value_name = "TYPES")]
    auth_type: AuthTypes,
    /// The same, for this service alone.
    #[arg(long, env = "JICOFO_AUTH_TYPE", value_name = "TYPES")]
    jicofo_auth_type: Option<AuthTypes>,
    /// Domain whose users have logged in [default: the XMPP domain].
    #[arg(long, env = "TERANGA_LOGIN_DOMAIN", value_name = "DOMAIN")]
    login_domain: Option<String>,
    /// How long a login with a password serves without being used.
    #[arg(long, env = "JICOFO_AUTH_LIFETIME", default_value = "24 hours", value_parser = humantime::parse_duration, value_name = "TIME")]
    auth_lifetime: Duration,
    /// Whether a login serves for further meetings, too; else it ends with the one that it opened.
    #[arg(long, env = "ENABLE_AUTO_LOGIN", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_auto_login: bool,
    /// Who becomes moderator: the first who comes, everybody who logged in, whom a token names, or nobody [default: the
    /// first, or everybody who logged in where it takes a login].
    #[arg(long, env = "TERANGA_MODERATORS", value_name = "first|authenticated|token|none")]
    moderators: Option<Moderators>,
    /// Whether who logged in owns the rooms that he joins, and without --enable-auth the first one in the room.
    #[arg(long, env = "ENABLE_AUTO_OWNER", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    enable_auto_owner: bool,
    #[command(flatten)]
    conferences: ConferenceFlags,
    #[command(flatten)]
    visitors: VisitorPlacementFlags,
    #[command(flatten)]
    nodes: VisitorNodeFlags,
    /// What is logged: a level, or module=level pairs separated by commas.
    #[arg(long, env = "TERANGA_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    web::exit("teranga-focus", run(web::options()).await.map_err(Into::into))
}

async fn run(options: Options) -> anyhow::Result<()> {
    observability::init_logging(&options.log, observability::LogFormat::Text).context("cannot set --log")?;
    let mut settings = Settings::new(&options.domain).context("cannot use --domain")?;
    options.conferences.apply(&mut settings);
    let brewery = |name: &Option<String>, option: &'static str| -> anyhow::Result<Option<xmpp::Jid>> {
        let jid = |name: &String| settings.brewery_of_service(name).with_context(|| format!("cannot use {option}"));
        name.as_ref().map(jid).transpose()
    };
    let jibris = brewery(&options.jibri_brewery, "--jibri-brewery")?;
    let sip_jibris = brewery(&options.jibri_sip_brewery, "--jibri-sip-brewery")?;
    let jigasis = brewery(&options.jigasi_brewery, "--jigasi-brewery")?;
    settings.jibri.brewery = jibris;
    settings.jibri.sip_brewery = sip_jibris;
    settings.jigasi_brewery = jigasis;
    let stock = Moderators::of_stock(options.enable_auth, options.enable_auto_owner);
    settings.moderators = options.moderators.unwrap_or(stock);
    settings.authentication = options.enable_auth.then(|| AuthenticationSettings {
        login_domain: options.login_domain.clone().unwrap_or_else(|| options.domain.clone()),
        authority_type: AuthorityType::of(
            options.jicofo_auth_type.as_ref().unwrap_or(&options.auth_type),
            options.auth_lifetime,
        ),
        auto_login: options.enable_auto_login,
    });
    let nodes = options.nodes.nodes(&options.domain);
    if options.nodes.enable_visitors {
        let known = nodes.iter().map(|(node, _)| node.clone()).collect();
        let visitors = options.visitors.to_settings(&options.domain, known, options.nodes.max_visitors_per_node);
        settings.visitors = Some(visitors.context("cannot use --domain")?);
    }
    let listener = web::listen("http", options.http).await?;
    let auth_domain = format!("auth.{}", settings.domain);
    let connect = |url: String, domain: &str| {
        Link::connect(LinkSettings {
            url,
            domain: domain.to_owned(),
            username: settings.nick.clone(),
            password: options.service_secret.clone(),
            resource: settings.nick.clone(),
            trust: ServerTrust::of_flag(options.xmpp_insecure),
        })
    };
    let link = connect(options.xmpp.clone(), &auth_domain);
    let node_domain = options.nodes.visitors_xmpp_auth_domain.as_deref().unwrap_or(&auth_domain);
    let servers = nodes.into_iter().filter_map(|(node, url)| Some((node.name, connect(url?, node_domain))));
    let servers = servers.collect();
    let mut focus = Focus::start_with_nodes(settings, link, servers).context("cannot start the focus")?;
    let registry = Registry::new();
    focus.metrics().register(&registry).context("cannot register metrics")?;
    if let Some(admin) = options.admin {
        web::serve_admin(admin, move || observability::render_metrics(&registry), focus.admin_router()).await?;
    }
    let stop = web::stop_signal().context("cannot wait for Ctrl-C")?;
    tracing::info!(http = %options.http, domain = options.domain, xmpp = options.xmpp, "focus serves");

    let router = focus.router();
    tokio::select! {
        served = web::serve_http(listener, router, stop) => served.context("the http server stopped"),
        () = focus.ended() => Err(anyhow!("the focus ended by itself (see the log above)")),
    }
}
