//! The keys of `jvb.conf` (bridge.md §7.3; `reference.conf` of jitsi-videobridge).

use hocon::{Config, HoconValue};

use crate::Import;
use crate::rules::{Rule, always, none, part, scalar, segment, sets};
use crate::values::{duration, flag, limit, list, negated, number, switch, text, texts};

const HERE: &str = "this bridge finds it out by itself";
const JAVA: &str = "is of the Java program";
const ONE_SERVER: &str = "a bridge has one XMPP server, reached by WebSocket (TERANGA_XMPP_URL)";
const FIXED: &str = "cannot be set";

pub(crate) const RULES: &[Rule] = &[
    sets("videobridge.ice.udp.port", "TERANGA_MEDIA_PORT", number),
    sets("videobridge.ice.advertise-private-candidates", "TERANGA_MEDIA_PRIVATE", private_addresses),
    none("videobridge.ice.ufrag-prefix", HERE),
    none("videobridge.ice.keep-alive-strategy", FIXED),
    none("videobridge.ice.nomination-strategy", FIXED),
    always("videobridge.ice.resolve-remote-candidates", "false"),
    always("videobridge.ice.restart.enabled", "true"),
    none("videobridge.ice.tcp.*", "see TERANGA_MEDIA_TCP_PORT: media over TCP is on"),
    sets("ice4j.harvest.mapping.static-mappings", "TERANGA_MEDIA_ADDRESS", static_mappings),
    sets("ice4j.harvest.mapping.stun.addresses", "TERANGA_MEDIA_STUN_SERVER", list),
    part("ice4j.harvest.mapping.stun.enabled"),
    part("ice4j.harvest.mapping.aws.enabled"),
    part("ice4j.harvest.mapping.aws.force"),
    part("ice4j.harvest.allowed-interfaces"),
    part("ice4j.harvest.allowed-addresses"),
    part("ice4j.harvest.blocked-interfaces"),
    part("ice4j.harvest.blocked-addresses"),
    sets("ice4j.harvest.use-ipv6", "TERANGA_MEDIA_WITHOUT", without_ipv6),
    sets("videobridge.apis.rest.enabled", "COLIBRI_REST_ENABLED", switch),
    sets("videobridge.rest.shutdown.enabled", "SHUTDOWN_REST_ENABLED", switch),
    always("videobridge.rest.debug.enabled", "true"),
    always("videobridge.rest.drain.enabled", "true"),
    always("videobridge.rest.health.enabled", "true"),
    always("videobridge.rest.prometheus.enabled", "true"),
    always("videobridge.rest.rtcstats.enabled", "true"),
    always("videobridge.rest.version.enabled", "true"),
    part("videobridge.http-servers.private.host"),
    part("videobridge.http-servers.private.port"),
    part("videobridge.http-servers.public.host"),
    part("videobridge.http-servers.public.port"),
    none("videobridge.http-servers.*.tls-port", "TLS is up to what stands in front"),
    none("videobridge.http-servers.*.key-store-path", "TLS is up to what stands in front"),
    none("videobridge.http-servers.*.key-store-password", "TLS is up to what stands in front"),
    always("videobridge.http-servers.*.send-server-version", "false"),
    part("videobridge.websockets.enabled"),
    part("videobridge.websockets.domain"),
    part("videobridge.websockets.domains"),
    part("videobridge.websockets.tls"),
    none("videobridge.websockets.server-id", "the name of the bridge stands in the path (TERANGA_BRIDGE_NAME)"),
    none("videobridge.websockets.*", FIXED),
    part("videobridge.apis.xmpp-client.configs"),
    none("videobridge.apis.xmpp-client.*", FIXED),
    none("videobridge.apis.xmpp-client.stats-filter.*", "the presence has what a focus reads"),
    sets("videobridge.relay.region", "TERANGA_REGION", text),
    part("videobridge.relay.enabled"),
    sets("videobridge.relay.relay-id", "JVB_OCTO_RELAY_ID", relay_id),
    none("videobridge.octo.*", "is videobridge.relay since 2022"),
    sets("videobridge.cc.jvb-last-n", "TERANGA_LAST_N", limit),
    sets("videobridge.cc.use-vla-target-bitrate", "ENABLE_VLA", flag),
    none("videobridge.cc.*", FIXED),
    sets("videobridge.load-management.reducer-enabled", "TERANGA_LAST_N_BY_LOAD", switch),
    sets("videobridge.load-management.conference-last-n-limits", "TERANGA_LAST_N_BY_SIZE", last_n_by_size),
    none("videobridge.load-management.*", HERE),
    none("videobridge.load-management.load-measurements", HERE),
    none("videobridge.load-management.load-reducers", HERE),
    part("videobridge.loudest.route-loudest-only"),
    part("videobridge.loudest.num-loudest"),
    always("videobridge.loudest.always-route-dominant", "true"),
    none("videobridge.loudest.*", FIXED),
    sets("videobridge.shutdown.graceful-shutdown-max-duration", "TERANGA_GRACEFUL_SHUTDOWN_MAX", duration),
    sets(
        "videobridge.shutdown.graceful-shutdown-min-participants",
        "TERANGA_GRACEFUL_SHUTDOWN_MIN_PARTICIPANTS",
        number,
    ),
    sets("videobridge.shutdown.shutting-down-delay", "TERANGA_SHUTTING_DOWN_DELAY", duration),
    sets("videobridge.initial-drain-mode", "TERANGA_BRIDGE_DRAIN", switch),
    sets("videobridge.version.release", "TERANGA_BRIDGE_RELEASE", text),
    always("videobridge.version.announce", "true"),
    always("videobridge.sctp.enabled", "true"),
    none("videobridge.sctp.*", FIXED),
    always("videobridge.redact-remote-addresses", "true"),
    none("videobridge.health.*", FIXED),
    none("videobridge.entity-expiration.*", FIXED),
    none("videobridge.ep-connection-status.*", FIXED),
    none("videobridge.speech-activity.*", FIXED),
    none("videobridge.ssrc-limit.*", FIXED),
    none("videobridge.cryptex.*", "is not supported"),
    sets("videobridge.exporter.max-reconnect-attempts", "TERANGA_EXPORTER_MAX_RECONNECTS", number),
    sets("videobridge.exporter.base-delay", "TERANGA_EXPORTER_BASE_DELAY", duration),
    sets("videobridge.exporter.max-delay", "TERANGA_EXPORTER_MAX_DELAY", duration),
    sets("videobridge.exporter.stable-connection-threshold", "TERANGA_EXPORTER_STABLE_AFTER", duration),
    none("videobridge.tracing.*", "is not supported"),
    none("videobridge.transport.send.queue-size", FIXED),
    none("videobridge.stats.*", FIXED),
    none("videobridge.stats.*.*", FIXED),
    none("videobridge.connection-stats.*", FIXED),
    none("videobridge.stats-filter-threshold", FIXED),
    sets("jmt.audio.level.discard-silence", "TERANGA_AUDIO_KEEP_SILENCE", negated),
    none("jmt.audio.level.*", FIXED),
    sets("jmt.audio.red.policy", "TERANGA_AUDIO_RED", red_policy),
    sets("jmt.audio.red.distance", "TERANGA_AUDIO_RED_DISTANCE", red_distance),
    sets("jmt.audio.red.vad-only", "TERANGA_AUDIO_RED_ALL", negated),
    none("jmt.bwe.estimator.*", FIXED),
    none("jmt.*", JAVA),
    none("jmt.*.*", JAVA),
    none("jmt.*.*.*", JAVA),
    none("jmt.*.*.*.*", JAVA),
    none("ice4j.*", FIXED),
    none("ice4j.*.*", FIXED),
    none("ice4j.*.*.*", FIXED),
];

fn private_addresses(config: &Config, key: &str) -> Result<Option<String>, String> {
    Ok(flag(config, key)?.map(|told| if told == "true" { "always" } else { "never" }.to_owned()))
}

fn without_ipv6(config: &Config, key: &str) -> Result<Option<String>, String> {
    Ok(negated(config, key)?.map(|_| "ipv6".to_owned()))
}

/// A bridge that has a name has relays.
fn relay_id(config: &Config, key: &str) -> Result<Option<String>, String> {
    let is_enabled = config.get_bool("videobridge.relay.enabled").unwrap_or(false);
    Ok(text(config, key)?.filter(|_| is_enabled))
}

/// `LOCAL=PUBLIC[:PORT]` of each.
fn static_mappings(config: &Config, key: &str) -> Result<Option<String>, String> {
    let wrong = || "its value is not a list of local-address and public-address".to_owned();
    let items = config.get(key).and_then(HoconValue::as_array).ok_or_else(wrong)?;
    let mapping = |item: &HoconValue| {
        let member = |name: &str| item.as_object()?.get(name).and_then(scalar).filter(|text| !text.is_empty());
        let public = member("public-address")?;
        let port = member("public-port").map(|port| format!(":{port}")).unwrap_or_default();
        let public =
            if public.contains(':') && !port.is_empty() { format!("[{public}]{port}") } else { public + &port };
        Some(member("local-address").map_or_else(|| public.clone(), |local| format!("{local}={public}")))
    };
    let mappings: Vec<String> = items.iter().map(mapping).collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(Some(mappings.join(",")).filter(|joined| !joined.is_empty()))
}

/// `VIDEOS=NUMBER` of each.
fn last_n_by_size(config: &Config, key: &str) -> Result<Option<String>, String> {
    let wrong = || "its value is not numbers of videos by numbers of endpoints".to_owned();
    let limits = config.get(key).and_then(HoconValue::as_object).ok_or_else(wrong)?;
    let limit = |(size, last_n): (&String, &HoconValue)| {
        let size: u32 = size.parse().ok()?;
        Some((size, last_n.as_i64().filter(|last_n| *last_n >= 0)?))
    };
    let mut limits: Vec<(u32, i64)> = limits.iter().map(limit).collect::<Option<_>>().ok_or_else(wrong)?;
    limits.sort_unstable();
    let joined = limits.iter().map(|(size, last_n)| format!("{size}={last_n}")).collect::<Vec<_>>().join(",");
    Ok(Some(joined).filter(|joined| !joined.is_empty()))
}

fn red_policy(config: &Config, key: &str) -> Result<Option<String>, String> {
    match text(config, key)?.as_deref() {
        Some("NOOP") => Ok(Some("keep".to_owned())),
        Some("STRIP") => Ok(Some("strip".to_owned())),
        Some("PROTECT_ALL") => Ok(Some("add".to_owned())),
        Some(_) | None => Err("only NOOP, STRIP and PROTECT_ALL are supported".to_owned()),
    }
}

fn red_distance(config: &Config, key: &str) -> Result<Option<String>, String> {
    match text(config, key)?.as_deref() {
        Some("ONE") => Ok(Some("1".to_owned())),
        Some("TWO") => Ok(Some("2".to_owned())),
        Some(_) | None => Err("only ONE and TWO are supported".to_owned()),
    }
}

/// Keys that mean something together.
pub(crate) fn combine(config: &Config, import: &mut Import) {
    private_server(config, import);
    public_server(config, import);
    harvest(config, import);
    if config.get_bool_option("videobridge.loudest.route-loudest-only") == Some(true) {
        let number = config.get_i64_option("videobridge.loudest.num-loudest").unwrap_or(3);
        import.set("TERANGA_AUDIO_LOUDEST", number.to_string());
    }
    if let Some(configs) = config.get("videobridge.apis.xmpp-client.configs").and_then(HoconValue::as_object) {
        xmpp_clients(configs.keys(), config, import);
    }
}

fn private_server(config: &Config, import: &mut Import) {
    let host = config.get_string_option("videobridge.http-servers.private.host");
    let port = config.get_i64_option("videobridge.http-servers.private.port");
    if host.is_some() || port.is_some() {
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        import.set("TERANGA_ADMIN", socket_address(&host, port.unwrap_or(8080)));
    }
}

fn public_server(config: &Config, import: &mut Import) {
    const PORT: &str = "videobridge.http-servers.public.port";
    if let Some(port) = config.get_i64_option(PORT).filter(|port| *port > 0) {
        let host = config.get_string_option("videobridge.http-servers.public.host");
        import.set("TERANGA_HTTP", socket_address(&host.unwrap_or_else(|| "0.0.0.0".to_owned()), port));
    }
    if config.get_bool_option("videobridge.websockets.enabled") != Some(true) {
        return;
    }
    let domains =
        texts(config, "videobridge.websockets.domain").or_else(|| texts(config, "videobridge.websockets.domains"));
    let scheme = if config.get_bool_option("videobridge.websockets.tls") == Some(false) { "ws" } else { "wss" };
    match domains.unwrap_or_default().first() {
        Some(domain) => import.set("TERANGA_PUBLIC_WS_URL", format!("{scheme}://{domain}")),
        None => {
            import.without_effect.push(("videobridge.websockets.enabled".to_owned(), "there is no domain".to_owned()))
        }
    }
}

/// Interfaces and networks of both kinds make one list, and STUN may be switched off apart from its servers.
fn harvest(config: &Config, import: &mut Import) {
    for (keys, variable) in [
        (["ice4j.harvest.allowed-interfaces", "ice4j.harvest.allowed-addresses"], "TERANGA_MEDIA_ALLOW"),
        (["ice4j.harvest.blocked-interfaces", "ice4j.harvest.blocked-addresses"], "TERANGA_MEDIA_DENY"),
    ] {
        let all: Vec<String> = keys.iter().filter_map(|key| texts(config, key)).flatten().collect();
        if !all.is_empty() {
            import.set(variable, all.join(","));
        }
    }
    if config.get_bool_option("ice4j.harvest.mapping.stun.enabled") == Some(false) {
        import.settings.retain(|(variable, _)| *variable != "TERANGA_MEDIA_STUN_SERVER");
    }
    let is_on = |key: &str| config.get_bool_option(key) == Some(true);
    if is_on("ice4j.harvest.mapping.aws.enabled") || is_on("ice4j.harvest.mapping.aws.force") {
        import.set("TERANGA_MEDIA_CLOUD", "aws".to_owned());
    }
}

fn xmpp_clients<'a>(ids: impl Iterator<Item = &'a String>, config: &Config, import: &mut Import) {
    for (at, id) in ids.enumerate() {
        let prefix = format!("videobridge.apis.xmpp-client.configs.{}", segment(id));
        if at > 0 {
            import.without_effect.push((prefix, ONE_SERVER.to_owned()));
            continue;
        }
        let value = |name: &str| config.get(&format!("{prefix}.{name}")).and_then(scalar);
        if let Some(domain) = value("DOMAIN") {
            import.set("TERANGA_DOMAIN", domain.strip_prefix("auth.").unwrap_or(&domain).to_owned());
        }
        if let Some(password) = value("PASSWORD") {
            import.set("TERANGA_SERVICE_SECRET", password);
        }
        if let Some(nick) = value("MUC_NICKNAME") {
            import.set("TERANGA_BRIDGE_NAME", nick);
        }
        for (name, usual, reason) in [
            ("HOSTNAME", None, ONE_SERVER),
            ("PORT", None, ONE_SERVER),
            ("USERNAME", Some("jvb"), "is always jvb"),
            ("IQ_HANDLER_MODE", Some("sync"), FIXED),
            ("SECURITY_MODE", None, ONE_SERVER),
            ("DISABLE_CERTIFICATE_VERIFICATION", Some("false"), ONE_SERVER),
        ] {
            if value(name).is_some_and(|value| usual != Some(value.as_str())) {
                import.without_effect.push((format!("{prefix}.{name}"), reason.to_owned()));
            }
        }
        let rooms = value("MUC_JIDS").unwrap_or_default();
        if !rooms.is_empty() && (rooms.contains(',') || !rooms.starts_with("jvbbrewery@internal-muc.")) {
            let reason = "the brewery is jvbbrewery@internal-muc.DOMAIN";
            import.without_effect.push((format!("{prefix}.MUC_JIDS"), reason.to_owned()));
        }
    }
}

/// `HOST:PORT`, with brackets for IPv6.
pub(crate) fn socket_address(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
