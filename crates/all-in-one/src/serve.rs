//! `teranga serve`: starts the services, joins them, and stops them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use auth::Moderators;
use prometheus::Registry;
use web::EnvFile;

use crate::banner::Banner;
use crate::cli::{self, Command, LogFormat, Options};
use crate::control;
use crate::state::State;

/// After a stop is asked for, everything that has not ended by then is abandoned.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// Threads of the control plane; media has its own.
const CONTROL_THREADS: usize = 2;

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let format = match options.log_format {
        LogFormat::Text => observability::LogFormat::Text,
        LogFormat::Json => observability::LogFormat::Json,
    };
    observability::init_logging(&options.log, format).context("cannot set --log")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(serve(options));
    runtime.shutdown_timeout(STOP_TIMEOUT);
    result
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let state = State::open(options.state_dir.as_deref())?;
    let _running = state.mark_running();
    let host_addresses = net::host_addresses().context("cannot read this host's addresses")?;
    let tls = state.certificate(&certificate_names(&host_addresses))?;
    let address = bindable_address(options.address);
    let listeners =
        web::bind(SocketAddr::new(address, options.http_port), SocketAddr::new(address, options.https_port))?;

    let registry = Registry::new();
    let secret = state.turn_secret()?;
    let shared_secret = turn::SharedSecret::new(secret.clone()).context("the TURN secret is empty")?;
    let Services { signaling: mut signaling_settings, focus: focus_settings, bridge: bridge_settings } =
        Services::of(options)?;
    let backends = options.auth.backends(state.accounts_file().as_deref()).context("cannot set up logins")?;
    if options.turn_port != 0
        && let Some(secret) = signaling::Secret::new(secret)
    {
        signaling_settings.external_services = crate::turn::announced(options, secret);
    }
    let client_config = web::ClientConfig {
        anonymous_domain: signaling_settings.hosts.guest.as_ref().map(ToString::to_string),
        auth_domain: options.auth.auth_domain(&signaling_settings),
        token_auth_url: options.auth.token_auth_url().map(str::to_owned),
        domain: options.domain.clone(),
        muc_domain: signaling_settings.hosts.muc.to_string(),
        focus: signaling_settings.hosts.focus.to_string(),
        visitors_domain: options.visitors.other_domain(&options.domain),
        live_rooms: options.visitors.enable_visitors && options.visitor_placement.visitors_live_room,
        public_url: options.public_url.clone(),
    };

    let signaling = signaling::Signaling::start_with(signaling_settings, backends, &registry)?;
    options.xmpp.serve(&signaling, address, || anyhow::Ok(Arc::new(tls.clone()))).await?;
    if let Some(socket) = state.control_socket() {
        let started_with = cli::env_file(&std::env::args_os().collect::<Vec<_>>()).unwrap_or_default();
        let reload = Reload { signaling: signaling.clone(), started_with };
        if let Err(error) = control::serve(&socket, signaling.clone(), reload) {
            tracing::warn!(%error, socket = %socket.display(), "'teranga reload' and 'teranga room list' do not reach this server");
        }
    }
    let bridge = bridge::Bridge::start(bridge_settings, signaling.attach_service("jvb")?, &registry)?;
    let host = crate::turn::Host { address, interfaces: &host_addresses };
    let turn = crate::turn::start(options, &host, bridge.addresses(), shared_secret, &registry)?;
    let mut focus = focus::Focus::start(focus_settings, signaling.attach_service("focus")?)?;
    let missing: Vec<String> = bridge.missing().iter().cloned().chain(state.missing()).collect();
    observability::tell_missing(&missing);

    focus.metrics().register(&registry).context("cannot register metrics")?;

    let router = web::router(client_config).merge(signaling.router()).merge(focus.router()).merge(bridge.router());
    let router = signaling.name_shard(router);
    let ice_tcp = bridge.ice_tcp();
    let shared = web::SharedPort {
        ice_tcp: Some(Arc::new(move |stream, already_read| ice_tcp.adopt(stream, already_read))),
        turn: turn.map(crate::turn::stream_handler),
        turn_name: options.turn_name.clone(),
        ..web::SharedPort::default()
    };
    shared.metrics.register(&registry).context("cannot register metrics")?;
    if let Some(admin) = options.admin {
        // Both services have states to show: those of the focus are below /focus.
        let routes = bridge.admin_router().nest("/focus", focus.admin_router());
        web::serve_admin(admin, move || observability::render_metrics(&registry), routes).await?;
    }
    let media_addresses = match (options.media.media_address.as_slice(), address.is_unspecified()) {
        ([], true) => host_addresses,
        ([], false) => vec![address],
        (given, _) => given.iter().map(|mapping| mapping.public).collect(),
    };
    let banner = Banner {
        address,
        https_port: options.https_port,
        http_port: options.http_port,
        media_port: options.media.media_port,
        turn_port: options.turn_port,
        public_url: options.public_url.as_deref(),
        media_addresses: &media_addresses,
        state: &state,
        has_client: web::has_client(),
    };
    // Before the banner, which says that Ctrl-C stops it: whoever reads that may press it at once.
    let stop = web::stop_signal().context("cannot wait for Ctrl-C")?;
    say(&banner.text());
    let shut_down = bridge.shut_down();
    let stop = async {
        // Without its only bridge the server is of no use.
        tokio::select! {
            () = stop => {}
            () = shut_down => {}
        }
        // Clients hear that the server goes, before their connections do; the focus need not hear of its own end.
        focus.stop();
        focus.ended().await;
        signaling.stop().await;
    };
    web::serve(listeners, tls, router, shared, stop).await.context("the web server stopped")?;
    say("Stopped.");
    Ok(())
}

/// What the three services are told.
pub(crate) struct Services {
    pub(crate) signaling: signaling::Settings,
    pub(crate) focus: focus::Settings,
    pub(crate) bridge: bridge::Settings,
}

impl Services {
    /// As the options have it. Reads the files that they name, and opens nothing.
    pub(crate) fn of(options: &Options) -> anyhow::Result<Self> {
        let mut signaling_settings = signaling::Settings::for_domain(&options.domain).context("cannot use --domain")?;
        signaling_settings.service_secret = options.service_secret.as_deref().and_then(signaling::Secret::new);
        options.xmpp.apply(&mut signaling_settings).context("cannot use the name of an account")?;
        options.rooms.apply(&mut signaling_settings).context("cannot set up rooms")?;
        options.auth.apply(&mut signaling_settings).context("cannot set up logins")?;
        options.visitors.apply(&mut signaling_settings).context("cannot set up visitors")?;
        signaling_settings.api = options.api.to_settings(options.auth.token_issuer(options.public_url.as_deref()));
        let mut bridge_settings = bridge::Settings::for_domain(&options.domain).context("cannot use --domain")?;
        // The bridge finds out by itself, and tells, that there is no IPv6.
        options.media.apply(&mut bridge_settings, options.address);
        options.bridge.apply(&mut bridge_settings, net::host_name().as_deref());
        bridge_settings.region.clone_from(&signaling_settings.deployment.region);
        bridge_settings.shared_tcp_port = Some(options.https_port);
        bridge_settings.allow_plain_captures = options.allow_plain_captures;
        bridge_settings.web_socket_base = options.public_url.as_deref().map(|url| url.replacen("http", "ws", 1));
        let mut focus_settings = focus::Settings::new(&options.domain).context("cannot use --domain")?;
        options.conferences.apply(&mut focus_settings);
        // Who names a service that writes down what is said wants it used.
        signaling_settings.conference.async_transcription |= focus_settings.transcription.url_template.is_some();
        if focus_settings.selection.local_region.is_none() {
            focus_settings.selection.local_region.clone_from(&signaling_settings.deployment.region);
        }
        if let Some(hosts) = &signaling_settings.hosts.visitors {
            let node = |node: &signaling::VisitorNode| focus::VisitorNode {
                name: node.name.clone(),
                domain: node.domain.domain().to_owned(),
                access: focus::NodeAccess::MainLink,
            };
            let (nodes, most) = (hosts.nodes.iter().map(node).collect(), signaling_settings.visitors.per_node);
            focus_settings.visitors = Some(options.visitor_placement.to_settings(&options.domain, nodes, most)?);
        }
        // Recorders and gateways that may log in are looked for where they announce themselves in stock.
        if options.xmpp.accounts.jibri_password.is_some() {
            focus_settings.jibri.brewery = Some(focus_settings.brewery_of_service("jibribrewery")?);
        }
        if options.xmpp.accounts.jigasi_password.is_some() {
            focus_settings.jigasi_brewery = Some(focus_settings.brewery_of_service("jigasibrewery")?);
        }
        let authority_type =
            options.auth.login_types().map(|types| focus::AuthorityType::of(types, options.auth_lifetime));
        focus_settings.moderators = options.auth.moderators();
        if authority_type == Some(focus::AuthorityType::Jwt) && focus_settings.moderators == Moderators::Authenticated {
            // Signaling makes them owners as they come: it has seen who showed a token, and who showed none.
            focus_settings.moderators = Moderators::Token;
        }
        focus_settings.authentication = authority_type.map(|authority_type| focus::AuthenticationSettings {
            login_domain: options.domain.clone(),
            authority_type,
            auto_login: options.enable_auto_login,
        });
        Ok(Self { signaling: signaling_settings, focus: focus_settings, bridge: bridge_settings })
    }
}

/// Reads the settings again, as far as they can change in a running server.
#[derive(Clone)]
pub(crate) struct Reload {
    signaling: signaling::Handle,
    /// What the file said at the start.
    started_with: EnvFile,
}

impl Reload {
    /// Answers what came of it, a line each.
    pub(crate) async fn run(&self) -> anyhow::Result<String> {
        let arguments: Vec<_> = std::env::args_os().collect();
        let wrong = |stop: cli::Stop| anyhow!("{}; everything stays as it is", stop.text);
        let file = cli::env_file(&arguments).map_err(wrong)?;
        let Command::Serve(options) = cli::parse(arguments).map_err(wrong)?.command else { bail!("nothing is served") };
        // What does not go together changes nothing either.
        Services::of(&options).context("everything stays as it is")?;
        let mut told = String::new();
        if let Some(directory) = options.auth.directory().context("everything stays as it is")? {
            self.signaling.replace_directory(directory).await;
            told.push_str("the directory: in force\n");
        }
        let names: BTreeSet<&str> = file.names().chain(self.started_with.names()).collect();
        let is_live = |name: &str| name.starts_with("LDAP_") || name == "TERANGA_SASLAUTHD_CONF";
        for name in names.into_iter().filter(|name| !is_live(name) && file.get(name) != self.started_with.get(name)) {
            told.push_str(&format!("{name}: from the next start on\n"));
        }
        Ok(told)
    }
}

/// `::` on a host without IPv6 means all IPv4 addresses.
fn bindable_address(address: IpAddr) -> IpAddr {
    let is_all_v6 = address == IpAddr::from([0_u16; 8]);
    if is_all_v6 && std::net::TcpListener::bind(SocketAddr::new(address, 0)).is_err() {
        return IpAddr::from([0, 0, 0, 0]);
    }
    address
}

fn certificate_names(addresses: &[IpAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(addresses.iter().map(ToString::to_string));
    names.sort_unstable();
    names.dedup();
    names
}

/// Writes to stdout. Whoever read it may be gone, such as `head` or a script that waited for the first lines: no reason to end.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
