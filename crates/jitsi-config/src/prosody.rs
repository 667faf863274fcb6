//! The options of `prosody.cfg.lua` and of the files that Jitsi's packages put beside it (signaling.md §3, §11).

use crate::Import;
use crate::lua::{self, Assignment, Section, Value};

/// Modules of rooms whose rules are here (`XMPP_MUC_MODULES`).
const MUC_MODULES: [&str; 14] = [
    "lobby_autostart",
    "lobby_rooms",
    "muc_allowners",
    "muc_wait_for_host",
    "owner_restricted",
    "secure_domain_lobby_bypass",
    "token_affiliation",
    "token_lobby_autostart",
    "token_lobby_bypass",
    "token_lobby_ondemand",
    "token_moderation",
    "token_no_wildcard",
    "token_owner_party",
    "token_security_ondemand",
];

/// Options that are said once, whatever section they are in, with the variable of the same meaning.
const PLAIN: [(&str, &str); 17] = [
    ("app_id", "JWT_APP_ID"),
    ("app_secret", "JWT_APP_SECRET"),
    ("allow_empty_token", "JWT_ALLOW_EMPTY"),
    ("asap_key_server", "JWT_ASAP_KEYSERVER"),
    ("cache_keys_url", "JWT_CACHE_KEYS_URL"),
    ("signature_algorithm", "JWT_SIGN_TYPE"),
    ("enable_domain_verification", "JWT_ENABLE_DOMAIN_VERIFICATION"),
    ("asap_require_room_claim", "JWT_REQUIRE_ROOM"),
    ("asap_accepted_issuers", "JWT_ACCEPTED_ISSUERS"),
    ("asap_accepted_audiences", "JWT_ACCEPTED_AUDIENCES"),
    ("muc_max_occupants", "MAX_PARTICIPANTS"),
    ("party_check_timeout", "TERANGA_WITHOUT_OWNER_FOR"),
    ("muc_lobby_whitelist", "TERANGA_LOBBY_WHITELIST"),
    ("muc_access_whitelist", "TERANGA_ACCESS_WHITELIST"),
    ("auto_allow_visitor_promotion", "TERANGA_AUTO_ALLOW_VISITORS"),
    ("visitors_auto_promoted_with_token", "TERANGA_AUTO_PROMOTE_TOKENS"),
    ("visitors_ignore_list", "TERANGA_VISITORS_IGNORE_LIST"),
];

/// What `token_owner_party` has for `party_check_timeout` unless it is said.
const PARTY_CHECK_TIMEOUT_S: &str = "60";

/// Names of hosts that are no host of people.
const SERVICE_HOSTS: [&str; 4] = ["auth.", "hidden.", "recorder.", "guest."];

pub(crate) fn import(text: &str) -> Import {
    let configuration = lua::read(text);
    let mut import = Import::default();
    let domain = configuration.sections.iter().find_map(|section| match section {
        Section::Host(name) if !SERVICE_HOSTS.iter().any(|prefix| name.starts_with(prefix)) => Some(name.as_str()),
        Section::Global | Section::Host(_) | Section::Component { .. } => None,
    });
    if let Some(domain) = domain {
        import.set("TERANGA_DOMAIN", domain.to_owned());
    }
    for assignment in &configuration.assignments {
        apply(assignment, domain.unwrap_or_default(), &mut import);
    }
    visitors(&configuration.sections, &mut import);
    let waits_for_owner = import.settings.iter().any(|(name, value)| {
        *name == "XMPP_MUC_MODULES" && value.split(',').any(|module| module == "token_owner_party")
    });
    if waits_for_owner && !import.settings.iter().any(|(name, _)| *name == "TERANGA_WITHOUT_OWNER_FOR") {
        import.set("TERANGA_WITHOUT_OWNER_FOR", PARTY_CHECK_TIMEOUT_S.to_owned());
    }
    // What is said first counts: rooms of conferences come before those of lobbies.
    import.settings.sort_by_key(|(name, _)| *name);
    import.settings.dedup_by_key(|(name, _)| *name);
    for line in configuration.unread {
        import.without_effect.push((format!("line {line}"), "is more than an assignment, and is not run".to_owned()));
    }
    import
}

/// A server has visitors where the component for them is loaded: that is what the focus asks, and what `mod_visitors` serves.
fn visitors(sections: &[Section], import: &mut Import) {
    let is_component =
        |section: &Section| matches!(section, Section::Component { kind, .. } if kind == "visitors_component");
    if sections.iter().any(is_component) {
        import.set("ENABLE_VISITORS", "1".to_owned());
        if !import.settings.iter().any(|(name, _)| *name == "TERANGA_AUTO_ALLOW_VISITORS") {
            // What the module has unless it is said.
            import.set("TERANGA_AUTO_ALLOW_VISITORS", "false".to_owned());
        }
    }
}

fn apply(assignment: &Assignment, domain: &str, import: &mut Import) {
    let Assignment { section, name, value, line } = assignment;
    if *value == Value::Nil {
        return;
    }
    let mut without_effect =
        |reason: &str| import.without_effect.push((format!("{name} (line {line})"), reason.to_owned()));
    let main = Section::Host(domain.to_owned());
    if let Some((_, variable)) = PLAIN.iter().find(|(option, _)| option == name) {
        match plain(value) {
            Some(value) => import.set(variable, value),
            None => without_effect("is neither a text nor a list of texts"),
        }
        return;
    }
    match (name.as_str(), section, value) {
        ("authentication", section, Value::Text(provider)) if *section == main => match provider.as_str() {
            "internal_plain" | "internal_hashed" => log_in(import, "internal"),
            "token" => log_in(import, "jwt"),
            "cyrus" => log_in(import, "ldap"),
            "anonymous" | "jitsi-anonymous" => {}
            _ => without_effect("no login of that kind is known here"),
        },
        ("authentication", Section::Host(host), Value::Text(provider)) if provider.ends_with("anonymous") => {
            import.set("ENABLE_GUESTS", "1".to_owned());
            if *host != format!("guest.{domain}") {
                import.set("XMPP_GUEST_DOMAIN", host.clone());
            }
        }
        ("modules_enabled", Section::Component { kind, .. }, Value::List(modules)) if kind == "muc" => {
            let names = modules
                .iter()
                .filter_map(|module| if let Value::Text(name) = module { Some(name.as_str()) } else { None });
            if names.clone().any(|name| name == "fmuc") {
                return without_effect("is of a visitor node, and nodes are part of the main server here");
            }
            let names = names.filter(|name| MUC_MODULES.contains(name)).collect::<Vec<_>>().join(",");
            if !names.is_empty() {
                import.set("XMPP_MUC_MODULES", names);
            }
        }
        (
            "modules_enabled" | "modules_disabled" | "component_ports" | "storage" | "ssl" | "admins" | "plugin_paths",
            ..,
        ) => {
            without_effect("has no counterpart: what Jitsi needs of it is built in");
        }
        ("always_visitors_enabled", _, Value::Flag(true)) => {}
        ("always_visitors_enabled", ..) => {
            without_effect(
                "rooms say that they have visitors; JICOFO_VISITORS_REQUIRE_MUC_CONFIG counts with others only",
            );
        }
        ("c2s_require_encryption" | "consider_bosh_secure" | "consider_websocket_secure", ..) => {
            without_effect("clients come by the TLS of the web server, which counts as secure");
        }
        ("conference_max_minutes", _, Value::Number(minutes)) if (1.0..=1e6).contains(minutes) => {
            import.set("TERANGA_LONGEST_MEETING", (minutes * 60.0).round().to_string());
        }
        ("reservations_api_prefix", _, Value::Text(url)) => {
            import.set("PROSODY_RESERVATION_ENABLED", "1".to_owned());
            import.set("PROSODY_RESERVATION_REST_BASE_URL", url.clone());
        }
        ("muc_prosody_jitsi_access_manager_url", _, Value::Text(url)) => {
            import.set("TERANGA_ACCESS_URL", url.clone());
            // The module lets everybody in of whom it hears nothing.
            import.set("TERANGA_ACCESS_WHEN_SILENT", "admit".to_owned());
        }
        _ => without_effect("is not known here"),
    }
}

fn log_in(import: &mut Import, auth_type: &str) {
    import.set("ENABLE_AUTH", "1".to_owned());
    import.set("AUTH_TYPE", auth_type.to_owned());
}

/// A value as a variable has it: lists are separated by commas.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::List(values) => values.iter().map(plain).collect::<Option<Vec<_>>>().map(|values| values.join(",")),
        Value::Nil => None,
    }
}
