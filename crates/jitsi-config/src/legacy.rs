//! The names of `sip-communicator.properties`, as the newer ones (focus.md §13, bridge.md §7.3).

use hocon::Config;

use crate::Program;

/// Older and newer names, and how the value reads.
type Name = (&'static str, &'static str, Reads);

#[derive(Clone, Copy)]
enum Reads {
    /// As it is.
    Same,
    /// `true` as `false`, and the other way round.
    Negated,
    /// A list, divided by this.
    List(char),
    /// So many seconds.
    Seconds,
}

const JVB: &[Name] = &[
    ("org.jitsi.videobridge.SINGLE_PORT_HARVESTER_PORT", "videobridge.ice.udp.port", Reads::Same),
    ("org.jitsi.videobridge.REGION", "videobridge.relay.region", Reads::Same),
    ("org.jitsi.videobridge.ENABLE_REST_SHUTDOWN", "videobridge.rest.shutdown.enabled", Reads::Same),
    ("org.jitsi.videobridge.rest.private.jetty.host", "videobridge.http-servers.private.host", Reads::Same),
    ("org.jitsi.videobridge.rest.private.jetty.port", "videobridge.http-servers.private.port", Reads::Same),
    ("org.jitsi.videobridge.rest.jetty.host", "videobridge.http-servers.public.host", Reads::Same),
    ("org.jitsi.videobridge.rest.jetty.port", "videobridge.http-servers.public.port", Reads::Same),
    ("org.jitsi.videobridge.rest.COLIBRI_WS_DOMAIN", "videobridge.websockets.domain", Reads::Same),
    ("org.jitsi.videobridge.rest.COLIBRI_WS_TLS", "videobridge.websockets.tls", Reads::Same),
    ("org.jitsi.videobridge.rest.COLIBRI_WS_SERVER_ID", "videobridge.websockets.server-id", Reads::Same),
    ("org.jitsi.videobridge.rest.COLIBRI_WS_DISABLE", "videobridge.websockets.enabled", Reads::Negated),
    ("org.ice4j.ice.harvest.DISABLE_AWS_HARVESTER", "ice4j.harvest.mapping.aws.enabled", Reads::Negated),
    ("org.ice4j.ice.harvest.FORCE_AWS_HARVESTER", "ice4j.harvest.mapping.aws.force", Reads::Same),
    (
        "org.ice4j.ice.harvest.STUN_MAPPING_HARVESTER_ADDRESSES",
        "ice4j.harvest.mapping.stun.addresses",
        Reads::List(','),
    ),
    ("org.ice4j.ice.harvest.ALLOWED_INTERFACES", "ice4j.harvest.allowed-interfaces", Reads::List(';')),
    ("org.ice4j.ice.harvest.BLOCKED_INTERFACES", "ice4j.harvest.blocked-interfaces", Reads::List(';')),
    ("org.ice4j.ice.harvest.ALLOWED_ADDRESSES", "ice4j.harvest.allowed-addresses", Reads::List(';')),
    ("org.ice4j.ice.harvest.BLOCKED_ADDRESSES", "ice4j.harvest.blocked-addresses", Reads::List(';')),
    ("org.ice4j.ipv6.DISABLED", "ice4j.harvest.use-ipv6", Reads::Negated),
];

const JICOFO: &[Name] = &[
    ("org.jitsi.jicofo.BRIDGE_MUC", "jicofo.bridge.brewery-jid", Reads::Same),
    ("org.jitsi.jicofo.jibri.BREWERY", "jicofo.jibri.brewery-jid", Reads::Same),
    ("org.jitsi.jicofo.jibri.SIP_BREWERY", "jicofo.jibri-sip.brewery-jid", Reads::Same),
    ("org.jitsi.jicofo.jibri.PENDING_TIMEOUT", "jicofo.jibri.pending-timeout", Reads::Seconds),
    ("org.jitsi.jicofo.NUM_JIBRI_RETRIES", "jicofo.jibri.num-retries", Reads::Same),
    ("org.jitsi.jicofo.jigasi.BREWERY", "jicofo.jigasi.brewery-jid", Reads::Same),
    ("org.jitsi.jicofo.auth.URL", "jicofo.authentication.login-url", Reads::Same),
    ("org.jitsi.jicofo.auth.DISABLE_AUTOLOGIN", "jicofo.authentication.enable-auto-login", Reads::Negated),
    ("org.jitsi.jicofo.auth.AUTH_LIFETIME", "jicofo.authentication.authentication-lifetime", Reads::Same),
    ("org.jitsi.jicofo.DISABLE_AUTO_OWNER", "jicofo.conference.enable-auto-owner", Reads::Negated),
    ("org.jitsi.jicofo.MAX_SSRC_PER_USER", "jicofo.conference.max-ssrcs-per-user", Reads::Same),
    ("org.jitsi.jicofo.SINGLE_PARTICIPANT_TIMEOUT", "jicofo.conference.single-participant-timeout", Reads::Same),
    ("org.jitsi.focus.IDLE_TIMEOUT", "jicofo.conference.initial-timeout", Reads::Same),
    ("org.jitsi.jicofo.HEALTH_CHECK_INTERVAL", "jicofo.health.interval", Reads::Same),
    (
        "org.jitsi.jicofo.BridgeSelector.MAX_PARTICIPANTS_PER_BRIDGE",
        "jicofo.bridge.max-bridge-participants",
        Reads::Same,
    ),
    ("org.jitsi.jicofo.BridgeSelector.BRIDGE_SELECTION_STRATEGY", "jicofo.bridge.selection-strategy", Reads::Same),
    ("org.jitsi.jicofo.BridgeSelector.LOCAL_REGION", "jicofo.local-region", Reads::Same),
    ("org.jitsi.jicofo.HOSTNAME", "jicofo.xmpp.client.hostname", Reads::Same),
    ("org.jitsi.jicofo.XMPP_PORT", "jicofo.xmpp.client.port", Reads::Same),
    ("org.jitsi.jicofo.XMPP_DOMAIN", "jicofo.xmpp.client.xmpp-domain", Reads::Same),
    ("org.jitsi.jicofo.FOCUS_USER_DOMAIN", "jicofo.xmpp.client.domain", Reads::Same),
    ("org.jitsi.jicofo.FOCUS_USER_NAME", "jicofo.xmpp.client.username", Reads::Same),
    ("org.jitsi.jicofo.FOCUS_USER_PASSWORD", "jicofo.xmpp.client.password", Reads::Same),
    ("org.jitsi.jicofo.ALWAYS_TRUST_MODE_ENABLED", "jicofo.xmpp.client.disable-certificate-verification", Reads::Same),
];

/// The keys of one XMPP connection have its id before their name.
const JVB_XMPP: &str = "org.jitsi.videobridge.xmpp.user.";
/// Two keys that are one mapping.
const NAT_LOCAL: &str = "org.ice4j.ice.harvest.NAT_HARVESTER_LOCAL_ADDRESS";
const NAT_PUBLIC: &str = "org.ice4j.ice.harvest.NAT_HARVESTER_PUBLIC_ADDRESS";

/// What has a newer name, under it; and what has none, with a reason.
pub(crate) fn modernize(program: Program, text: &str) -> Result<(Config, Vec<(String, String)>), String> {
    let properties = pairs(text)?;
    let value = |name: &str| properties.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let names = if program == Program::Jvb { JVB } else { JICOFO };
    let mut modern = String::new();
    let mut unknown = Vec::new();
    for (name, text) in &properties {
        let known = names.iter().find(|(older, ..)| older == name);
        if let Some((_, newer, reads)) = known {
            modern.push_str(&format!("{newer} = {}\n", read(*reads, text)));
        } else if let (Program::Jvb, Some(rest)) = (program, name.strip_prefix(JVB_XMPP)) {
            let (id, key) = rest.split_once('.').unwrap_or(("default", rest));
            modern.push_str(&format!(
                "videobridge.apis.xmpp-client.configs.{}.{} = {}\n",
                quoted(id),
                quoted(key),
                quoted(text)
            ));
        } else if program == Program::Jvb && (name == NAT_LOCAL || name == NAT_PUBLIC) {
            if value(NAT_LOCAL).is_none() || value(NAT_PUBLIC).is_none() {
                unknown.push((name.clone(), "needs the other address of the mapping".to_owned()));
            }
        } else {
            unknown.push((name.clone(), "is not known".to_owned()));
        }
    }
    if let (Program::Jvb, Some(local), Some(public)) = (program, value(NAT_LOCAL), value(NAT_PUBLIC)) {
        let (local, public) = (quoted(local), quoted(public));
        modern.push_str(&format!(
            "ice4j.harvest.mapping.static-mappings = [{{ local-address = {local}, public-address = {public} }}]\n"
        ));
    }
    let domain = value("org.jitsi.videobridge.rest.COLIBRI_WS_DOMAIN");
    if domain.is_some() && value("org.jitsi.videobridge.rest.COLIBRI_WS_DISABLE").is_none() {
        modern.push_str("videobridge.websockets.enabled = true\n");
    }
    let config = hocon::parse(&modern).map_err(|error| error.to_string())?;
    Ok((config, unknown))
}

fn read(reads: Reads, text: &str) -> String {
    match reads {
        Reads::Same => quoted(text),
        Reads::Negated => (!text.trim().eq_ignore_ascii_case("true")).to_string(),
        Reads::Seconds => quoted(&format!("{}s", text.trim())),
        Reads::List(divider) => {
            let items: Vec<String> =
                text.split(divider).map(str::trim).filter(|item| !item.is_empty()).map(quoted).collect();
            format!("[{}]", items.join(","))
        }
    }
}

/// A text of JSON, which is one of HOCON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if u32::from(c) < 0x20 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Names and values in their order.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let config = hocon::adapters::properties::parse(text, None).map_err(|error| error.to_string())?;
    let mut pairs = Vec::new();
    for name in config.keys() {
        if let Some(value) = config.get(&crate::rules::segment(name)) {
            flatten(name.to_owned(), value, &mut pairs);
        }
    }
    Ok(pairs)
}

fn flatten(name: String, value: &hocon::HoconValue, into: &mut Vec<(String, String)>) {
    if let Some(members) = value.as_object() {
        for (part, value) in members {
            flatten(format!("{name}.{part}"), value, into);
        }
    } else if let Some(text) = crate::rules::scalar(value) {
        into.push((name, text));
    }
}
