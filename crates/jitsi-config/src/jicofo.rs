//! The keys of `jicofo.conf` (focus.md §13; `reference.conf` of jicofo).

use std::collections::BTreeMap;

use hocon::{Config, HoconValue};

use crate::Import;
use crate::jvb::socket_address;
use crate::rules::{Rule, always, none, part, scalar, sets};
use crate::values::{duration, flag, groups, local_part, most, number, share, switch, text};

const FIXED: &str = "cannot be set";
const ONE_SERVER: &str = "the focus has one XMPP server, reached by WebSocket (TERANGA_XMPP_URL)";
const UNSUPPORTED: &str = "is not supported";

pub(crate) const RULES: &[Rule] = &[
    sets("jicofo.codec.video.av1.enabled", "ENABLE_CODEC_AV1", flag),
    sets("jicofo.codec.video.vp8.enabled", "ENABLE_CODEC_VP8", flag),
    sets("jicofo.codec.video.vp9.enabled", "ENABLE_CODEC_VP9", flag),
    sets("jicofo.codec.video.h264.enabled", "ENABLE_CODEC_H264", flag),
    sets("jicofo.codec.audio.opus.red.enabled", "ENABLE_CODEC_OPUS_RED", flag),
    always("jicofo.codec.audio.opus.enabled", "true"),
    always("jicofo.codec.audio.telephone-event.enabled", "true"),
    always("jicofo.codec.extmap-allow-mixed", "true"),
    sets("jicofo.codec.rtp-extensions.video-layers-allocation.enabled", "ENABLE_VLA", flag),
    none("jicofo.codec.*.*.*", FIXED),
    none("jicofo.codec.*.*.*.*", FIXED),
    sets("jicofo.conference.max-audio-senders", "JICOFO_CONF_MAX_AUDIO_SENDERS", number),
    sets("jicofo.conference.max-video-senders", "JICOFO_CONF_MAX_VIDEO_SENDERS", number),
    sets("jicofo.conference.strip-simulcast", "JICOFO_CONF_STRIP_SIMULCAST", flag),
    sets("jicofo.conference.use-ssrc-rewriting", "JICOFO_CONF_SSRC_REWRITING", flag),
    sets("jicofo.conference.enable-auto-owner", "ENABLE_AUTO_OWNER", flag),
    always("jicofo.conference.use-json-encoded-sources", "true"),
    always("jicofo.conference.enable-ice-restart", "true"),
    none("jicofo.conference.*", FIXED),
    none("jicofo.conference.*.*", FIXED),
    part("jicofo.bridge.brewery-jid"),
    sets("jicofo.bridge.selection-strategy", "OCTO_BRIDGE_SELECTION_STRATEGY", text),
    sets("jicofo.bridge.participant-selection-strategy", "TERANGA_PARTICIPANT_SELECTION_STRATEGY", text),
    sets("jicofo.bridge.visitor-selection-strategy", "TERANGA_VISITOR_SELECTION_STRATEGY", text),
    sets("jicofo.bridge.topology-strategy", "TERANGA_TOPOLOGY_STRATEGY", text),
    sets("jicofo.bridge.region-groups", "JICOFO_BRIDGE_REGION_GROUPS", groups),
    sets("jicofo.bridge.max-bridge-participants", "MAX_BRIDGE_PARTICIPANTS", most),
    sets("jicofo.bridge.max-bridge-participants-per-interval", "TERANGA_MAX_BRIDGE_PARTICIPANTS_PER_INTERVAL", most),
    sets("jicofo.bridge.max-bridge-participants-interval", "TERANGA_MAX_BRIDGE_PARTICIPANTS_INTERVAL", duration),
    sets("jicofo.bridge.average-participant-stress", "BRIDGE_AVG_PARTICIPANT_STRESS", share),
    sets("jicofo.bridge.stress-threshold", "BRIDGE_STRESS_THRESHOLD", share),
    sets("jicofo.bridge.participant-rampup-interval", "TERANGA_PARTICIPANT_RAMPUP", duration),
    sets("jicofo.bridge.failure-reset-threshold", "TERANGA_BRIDGE_FAILURE_RESET", duration),
    sets("jicofo.bridge.health-checks.enabled", "JICOFO_ENABLE_BRIDGE_HEALTH_CHECKS", flag),
    sets("jicofo.bridge.health-checks.interval", "TERANGA_BRIDGE_HEALTH_INTERVAL", duration),
    sets("jicofo.bridge.health-checks.use-presence", "JICOFO_HEALTH_CHECKS_USE_PRESENCE", flag),
    sets("jicofo.bridge.health-checks.presence-timeout", "TERANGA_BRIDGE_PRESENCE_TIMEOUT", duration),
    none("jicofo.bridge.health-checks.retry-delay", "is always half the interval"),
    sets("jicofo.bridge.ice-failure-detection.enabled", "JICOFO_ENABLE_ICE_FAILURE_DETECTION", flag),
    sets("jicofo.bridge.ice-failure-detection.interval", "JICOFO_ICE_FAILURE_INTERVAL", duration),
    sets("jicofo.bridge.ice-failure-detection.min-endpoints", "JICOFO_ICE_FAILURE_MIN_ENDPOINTS", number),
    sets("jicofo.bridge.ice-failure-detection.threshold", "JICOFO_ICE_FAILURE_THRESHOLD", share),
    sets("jicofo.bridge.ice-failure-detection.timeout", "TERANGA_ICE_FAILURE_TIMEOUT", duration),
    sets("jicofo.bridge.load-redistribution.enabled", "JICOFO_ENABLE_LOAD_REDISTRIBUTION", flag),
    sets("jicofo.bridge.load-redistribution.interval", "TERANGA_LOAD_REDISTRIBUTION_INTERVAL", duration),
    sets("jicofo.bridge.load-redistribution.stress-threshold", "TERANGA_LOAD_REDISTRIBUTION_THRESHOLD", share),
    sets("jicofo.bridge.load-redistribution.timeout", "TERANGA_LOAD_REDISTRIBUTION_TIMEOUT", duration),
    sets("jicofo.bridge.load-redistribution.endpoints", "TERANGA_LOAD_REDISTRIBUTION_ENDPOINTS", number),
    none("jicofo.bridge.*", FIXED),
    none("jicofo.bridge.*.*", FIXED),
    sets("jicofo.jibri.brewery-jid", "JIBRI_BREWERY_MUC", local_part),
    none("jicofo.jibri.*", FIXED),
    sets("jicofo.jibri-sip.brewery-jid", "JIBRI_SIP_BREWERY_MUC", local_part),
    sets("jicofo.jigasi.brewery-jid", "JIGASI_BREWERY_MUC", local_part),
    none("jicofo.jigasi.*", FIXED),
    sets("jicofo.local-region", "JICOFO_OCTO_REGION", text),
    part("jicofo.authentication.enabled"),
    part("jicofo.authentication.type"),
    part("jicofo.authentication.login-url"),
    sets("jicofo.authentication.enable-auto-login", "ENABLE_AUTO_LOGIN", flag),
    sets("jicofo.authentication.authentication-lifetime", "JICOFO_AUTH_LIFETIME", text),
    none("jicofo.authentication.*", FIXED),
    part("jicofo.rest.host"),
    part("jicofo.rest.port"),
    always("jicofo.rest.enabled", "true"),
    none("jicofo.rest.*.enabled", "what changes something is at TERANGA_ADMIN, which is off until it is set"),
    none("jicofo.rest.*", FIXED),
    none("jicofo.health.*", FIXED),
    none("jicofo.metrics.*", FIXED),
    always("jicofo.sctp.enabled", "true"),
    sets("jicofo.octo.enabled", "ENABLE_OCTO", flag),
    sets("jicofo.octo.allow-mixed-versions", "TERANGA_ALLOW_MIXED_VERSIONS", flag),
    sets("jicofo.octo.sctp-datachannels", "TERANGA_RELAY_SCTP", flag),
    none("jicofo.octo.*", UNSUPPORTED),
    sets("jicofo.transcription.url-template", "TERANGA_TRANSCRIPTION_URL_TEMPLATE", text),
    part("jicofo.transcription.http-headers.*"),
    sets("jicofo.transcription.ping.enabled", "TERANGA_TRANSCRIPTION_PING", flag),
    sets("jicofo.transcription.ping.interval", "TERANGA_TRANSCRIPTION_PING_INTERVAL", duration),
    sets("jicofo.transcription.ping.timeout", "TERANGA_TRANSCRIPTION_PING_TIMEOUT", duration),
    sets("jicofo.translation.url-template", "JICOFO_TRANSLATION_URL_TEMPLATE", text),
    part("jicofo.translation.http-headers.*"),
    sets("jicofo.translation.mode", "TERANGA_TRANSLATION_MODE", text),
    sets("jicofo.translation.max-languages-per-connect", "TERANGA_TRANSLATION_MAX_LANGUAGES", number),
    sets("jicofo.translation.ping.enabled", "TERANGA_TRANSLATION_PING", flag),
    sets("jicofo.translation.ping.interval", "TERANGA_TRANSLATION_PING_INTERVAL", duration),
    sets("jicofo.translation.ping.timeout", "TERANGA_TRANSLATION_PING_TIMEOUT", duration),
    none("jicofo.tracing.*", UNSUPPORTED),
    sets("jicofo.visitors.enabled", "ENABLE_VISITORS", flag),
    sets("jicofo.visitors.max-participants", "VISITORS_MAX_PARTICIPANTS", number),
    sets("jicofo.visitors.max-visitors-per-node", "VISITORS_MAX_VISITORS_PER_NODE", number),
    sets("jicofo.visitors.notification-interval", "TERANGA_VISITORS_NOTIFICATION_INTERVAL", duration),
    sets("jicofo.visitors.vnode-join-latency-interval", "TERANGA_VISITORS_JOIN_LATENCY", duration),
    sets("jicofo.visitors.require-muc-config-flag", "JICOFO_VISITORS_REQUIRE_MUC_CONFIG", flag),
    sets("jicofo.visitors.enable-live-room", "TERANGA_VISITORS_LIVE_ROOM", flag),
    always("jicofo.visitors.auto-enable-broadcast", "true"),
    none("jicofo.visitors.*", UNSUPPORTED),
    sets("jicofo.xmpp.client.xmpp-domain", "TERANGA_DOMAIN", text),
    sets("jicofo.xmpp.client.password", "TERANGA_SERVICE_SECRET", text),
    sets("jicofo.xmpp.client.disable-certificate-verification", "TERANGA_XMPP_INSECURE", switch),
    always("jicofo.xmpp.client.enabled", "true"),
    always("jicofo.xmpp.client.username", "focus"),
    always("jicofo.xmpp.client.resource", "focus"),
    part("jicofo.xmpp.client.domain"),
    part("jicofo.xmpp.client.conference-muc-jid"),
    part("jicofo.xmpp.client.client-proxy"),
    none("jicofo.xmpp.client.*", ONE_SERVER),
    always("jicofo.xmpp.service.enabled", "false"),
    none("jicofo.xmpp.service.*", ONE_SERVER),
    part("jicofo.xmpp.visitors"),
    none("jicofo.xmpp.trusted-domains", FIXED),
    none("jicofo.xmpp.*", FIXED),
];

/// Keys that mean something together.
pub(crate) fn combine(config: &Config, import: &mut Import) {
    let host = config.get_string_option("jicofo.rest.host");
    let port = config.get_i64_option("jicofo.rest.port");
    if host.is_some() || port.is_some() {
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        import.set("TERANGA_HTTP", socket_address(&host, port.unwrap_or(8888)));
    }
    http_headers(config, import, "transcription", "TERANGA_TRANSCRIPTION_HEADERS");
    http_headers(config, import, "translation", "TERANGA_TRANSLATION_HEADERS");
    authentication(config, import);
    visitor_nodes(config, import);
    let Some(domain) = config.get_string_option("jicofo.xmpp.client.xmpp-domain") else { return };
    // Names that follow from the domain here.
    for (key, usual) in [
        ("jicofo.bridge.brewery-jid", vec![format!("jvbbrewery@internal-muc.{domain}")]),
        ("jicofo.xmpp.client.domain", vec![format!("auth.{domain}")]),
        ("jicofo.xmpp.client.conference-muc-jid", vec![format!("muc.{domain}"), format!("conference.{domain}")]),
        ("jicofo.xmpp.client.client-proxy", vec![format!("focus.{domain}")]),
    ] {
        let value = config.get_string_option(key).filter(|value| !value.is_empty());
        if let (Some(value), Some(first)) = (value, usual.first())
            && !usual.contains(&value)
        {
            import.without_effect.push((key.to_owned(), format!("is always {first}")));
        }
    }
}

/// Headers for a service that bridges connect to.
fn http_headers(config: &Config, import: &mut Import, service: &str, variable: &'static str) {
    let key = format!("jicofo.{service}.http-headers");
    let mut headers = Vec::new();
    for (name, value) in config.get(&key).and_then(HoconValue::as_object).into_iter().flatten() {
        match scalar(value) {
            Some(text) if !text.contains(',') => headers.push(format!("{name}={text}")),
            Some(_) | None => {
                let reason = "has a comma, or is no text".to_owned();
                import.without_effect.push((format!("{key}.{name}"), reason));
            }
        }
    }
    if !headers.is_empty() {
        import.set(variable, headers.join(","));
    }
}

/// Who logs in, by type and domain. The older `auth.URL` has both in one, as `XMPP:domain` or `EXT_JWT:domain`.
fn authentication(config: &Config, import: &mut Import) {
    let url = config.get_string_option("jicofo.authentication.login-url").filter(|url| !url.is_empty());
    let older = url.as_deref().and_then(|url| url.split_once(':'));
    let is_on = config.get_bool("jicofo.authentication.enabled").unwrap_or(older.is_some());
    let named = config.get_string_option("jicofo.authentication.type");
    let Some(kind) = named.as_deref().or(older.map(|(kind, _)| kind)).filter(|_| is_on) else { return };
    let auth_type = match kind {
        "XMPP" => "internal",
        "JWT" | "EXT_JWT" => "jwt",
        _ => {
            let reason = "no login of that type is known here".to_owned();
            import.without_effect.push(("jicofo.authentication.type".to_owned(), reason));
            return;
        }
    };
    import.set("ENABLE_AUTH", "1".to_owned());
    import.set("AUTH_TYPE", auth_type.to_owned());
    let domain = older.map(|(_, domain)| domain).or(url.as_deref());
    let usual = config.get_string_option("jicofo.xmpp.client.xmpp-domain");
    if let Some(domain) = domain.filter(|domain| usual.as_deref() != Some(domain)) {
        import.set("TERANGA_LOGIN_DOMAIN", domain.to_owned());
    }
}

/// Servers for visitors, each with its name, and what they have in common.
fn visitor_nodes(config: &Config, import: &mut Import) {
    let nodes = config.get("jicofo.xmpp.visitors").and_then(HoconValue::as_object);
    let mut servers = Vec::new();
    let mut common: BTreeMap<&'static str, String> = BTreeMap::new();
    for (name, node) in nodes.into_iter().flatten() {
        let key = |part: &str| format!("jicofo.xmpp.visitors.{name}.{part}");
        let mut without_effect = |part: &str, reason: String| import.without_effect.push((key(part), reason));
        let text = |part: &str| node.as_object()?.get(part).and_then(scalar).filter(|text| !text.is_empty());
        if text("enabled").as_deref() == Some("false") {
            continue;
        }
        let Some(host) = text("hostname") else {
            without_effect("hostname", "is missing".to_owned());
            continue;
        };
        servers.push(format!("{name}={host}"));
        let prefix = format!("{name}.");
        let base = text("xmpp-domain")
            .or_else(|| text("conference-service")?.split_once('.').map(|(_, rest)| rest.to_owned()));
        match base.as_deref().map(|domain| (domain, domain.strip_prefix(&prefix))) {
            Some((_, Some(base))) => set_common(&mut common, "VISITORS_XMPP_DOMAIN", base, key("xmpp-domain"), import),
            Some((domain, None)) => {
                without_effect("xmpp-domain", format!("{domain} does not begin with the name of the node"));
            }
            None => {}
        }
        let login = text("domain").unwrap_or(host);
        set_common(&mut common, "VISITORS_XMPP_AUTH_DOMAIN", &login, key("domain"), import);
        for part in node.as_object().into_iter().flat_map(|node| node.keys()) {
            let reason = match part.as_str() {
                "enabled" | "hostname" | "xmpp-domain" | "conference-service" | "domain" => continue,
                "username" if text(part).as_deref() == Some("focus") => continue,
                "port" => "nodes are reached by WebSocket, at port 5280 unless VISITORS_XMPP_SERVER has a URL",
                "password" => "is TERANGA_SERVICE_SECRET at nodes too",
                _ => FIXED,
            };
            import.without_effect.push((key(part), reason.to_owned()));
        }
    }
    if !servers.is_empty() {
        import.set("VISITORS_XMPP_SERVER", servers.join(","));
    }
    common.into_iter().for_each(|(variable, value)| import.set(variable, value));
}

/// Sets what is the same for all nodes.
fn set_common(
    common: &mut BTreeMap<&'static str, String>,
    variable: &'static str,
    value: &str,
    key: String,
    import: &mut Import,
) {
    let first = common.entry(variable).or_insert_with(|| value.to_owned());
    if first != value {
        import.without_effect.push((key, format!("is {first} for all nodes")));
    }
}
