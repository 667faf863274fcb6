use std::io::Write;

use super::*;

#[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
fn of(program: Program, name: &str, text: &str) -> Result<Import, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    import(program, &path)
}

fn settings(import: &Import) -> Vec<String> {
    import.settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn reason<'a>(import: &'a Import, key: &str) -> &'a str {
    let found = import.without_effect.iter().find(|(known, _)| known == key);
    found.unwrap_or_else(|| panic!("{key} in {:?}", import.without_effect)).1.as_str()
}

/// Composed after what docker-jitsi-meet writes.
const JVB: &str = r#"
videobridge {
    cc { trust-bwe = true, jvb-last-n = 20, use-vla-target-bitrate = true }
    ice { udp { port = 10001 }, advertise-private-candidates = false }
    apis {
        xmpp-client { configs {
            shard0 {
                HOSTNAME = "xmpp.meet.jitsi", PORT = "5222", DOMAIN = "auth.meet.example", USERNAME = "jvb"
                PASSWORD = "it's $ecret", MUC_JIDS = "jvbbrewery@internal-muc.meet.example", MUC_NICKNAME = "jvb-7"
                DISABLE_CERTIFICATE_VERIFICATION = true
            }
            shard1 { HOSTNAME = "other" }
        } }
        rest { enabled = true }
    }
    rest { shutdown { enabled = false } }
    sctp { enabled = true, use-usrsctp = false }
    http-servers { private { host = 0.0.0.0 }, public { port = 9090 } }
    websockets { enabled = true, domain = "jvb7.example.org:443", tls = true, server-id = "jvb-7" }
    load-management { reducer-enabled = true, conference-last-n-limits { 20 = 20, 50 = 10 } }
    loudest { route-loudest-only = true }
    shutdown { graceful-shutdown-max-duration = 90 minutes, shutting-down-delay = 5s }
    relay { enabled = true, region = "eu", relay-id = "10.0.0.7" }
    health { require-valid-address = false }
    surprise = 1
}
ice4j { harvest {
    allowed-interfaces = [eth0], blocked-addresses = ["10.0.0.0/8"]
    mapping {
        stun { addresses = ["stun.example.org:443", "stun2.example.org:443"] }
        static-mappings = [
            { local-address = "10.0.0.5", public-address = "203.0.113.7", name = "ip-0" },
            { local-address = "10.0.0.5", public-address = "203.0.113.8", local-port = 10000, public-port = 20000 },
        ]
    }
} }
jmt { audio { red { policy = STRIP, distance = ONE } }, srtp { factory-class = "x" } }
"#;

#[test]
fn a_bridge_is_told_what_its_configuration_says() {
    let import = of(Program::Jvb, "jvb.conf", JVB).unwrap();
    assert_eq!(
        settings(&import),
        [
            "COLIBRI_REST_ENABLED=true",
            "ENABLE_VLA=true",
            "JVB_OCTO_RELAY_ID=10.0.0.7",
            "TERANGA_ADMIN=0.0.0.0:8080",
            "TERANGA_AUDIO_LOUDEST=3",
            "TERANGA_AUDIO_RED=strip",
            "TERANGA_AUDIO_RED_DISTANCE=1",
            "TERANGA_BRIDGE_NAME=jvb-7",
            "TERANGA_DOMAIN=meet.example",
            "TERANGA_GRACEFUL_SHUTDOWN_MAX=5400000ms",
            "TERANGA_HTTP=0.0.0.0:9090",
            "TERANGA_LAST_N=20",
            "TERANGA_LAST_N_BY_LOAD=true",
            "TERANGA_LAST_N_BY_SIZE=20=20,50=10",
            "TERANGA_MEDIA_ADDRESS=10.0.0.5=203.0.113.7,10.0.0.5=203.0.113.8:20000",
            "TERANGA_MEDIA_ALLOW=eth0",
            "TERANGA_MEDIA_DENY=10.0.0.0/8",
            "TERANGA_MEDIA_PORT=10001",
            "TERANGA_MEDIA_PRIVATE=never",
            "TERANGA_MEDIA_STUN_SERVER=stun.example.org:443,stun2.example.org:443",
            "TERANGA_PUBLIC_WS_URL=wss://jvb7.example.org:443",
            "TERANGA_REGION=eu",
            "TERANGA_SERVICE_SECRET=it's $ecret",
            "TERANGA_SHUTTING_DOWN_DELAY=5000ms",
        ]
    );
    for (key, says) in [
        ("videobridge.surprise", "not known"),
        ("videobridge.cc.trust-bwe", "cannot be set"),
        ("videobridge.apis.xmpp-client.configs.shard0.HOSTNAME", "TERANGA_XMPP_URL"),
        ("videobridge.apis.xmpp-client.configs.shard1", "one XMPP server"),
        ("jmt.srtp.factory-class", "Java"),
    ] {
        assert!(reason(&import, key).contains(says), "{key}: {}", reason(&import, key));
    }
    let told: Vec<&str> = import.without_effect.iter().map(|(key, _)| key.as_str()).collect();
    assert!(!told.iter().any(|key| key.contains("sctp.enabled") || key.contains("MUC_JIDS")), "{told:?}");
    assert!(!format!("{:?}", import.without_effect).contains("ecret"), "secrets are not repeated");
}

#[test]
fn a_focus_is_told_what_its_configuration_says() {
    let import = of(
        Program::Jicofo,
        "jicofo.conf",
        r#"
        jicofo {
            codec { video { av1.enabled = false, vp8 { pt = 100 } }, audio { opus { red.enabled = true } }
                rtp-extensions { video-layers-allocation { enabled = true } } }
            conference { max-video-senders = 30, strip-simulcast = false, initial-timeout = 15 s, enable-auto-owner = true }
            bridge { brewery-jid = "jvbbrewery@internal-muc.meet.example", selection-strategy = RegionBasedBridgeSelectionStrategy }
            jibri { brewery-jid = "jibribrewery@internal-muc.meet.example", pending-timeout = 90 seconds }
            rest { port = 8899 }
            xmpp { client {
                enabled = true, hostname = "xmpp", xmpp-domain = "meet.example", domain = "login.meet.example"
                username = "focus", password = "hush", conference-muc-jid = "muc.meet.example"
                disable-certificate-verification = false
            } }
            visitors { enabled = true, max-participants = 30, enable-live-room = true, notification-interval = 5 seconds
                auto-enable-broadcast = false }
        }
        other.program = 1
        "#,
    )
    .unwrap();
    assert_eq!(
        settings(&import),
        [
            "ENABLE_AUTO_OWNER=true",
            "ENABLE_CODEC_AV1=false",
            "ENABLE_CODEC_OPUS_RED=true",
            "ENABLE_VISITORS=true",
            "ENABLE_VLA=true",
            "JIBRI_BREWERY_MUC=jibribrewery",
            "JICOFO_CONF_MAX_VIDEO_SENDERS=30",
            "JICOFO_CONF_STRIP_SIMULCAST=false",
            "OCTO_BRIDGE_SELECTION_STRATEGY=RegionBasedBridgeSelectionStrategy",
            "TERANGA_DOMAIN=meet.example",
            "TERANGA_HTTP=127.0.0.1:8899",
            "TERANGA_SERVICE_SECRET=hush",
            "TERANGA_VISITORS_LIVE_ROOM=true",
            "TERANGA_VISITORS_NOTIFICATION_INTERVAL=5000ms",
            "VISITORS_MAX_PARTICIPANTS=30",
        ]
    );
    for (key, says) in [
        ("jicofo.visitors.auto-enable-broadcast", "always true"),
        ("jicofo.xmpp.client.domain", "is always auth.meet.example"),
        ("jicofo.xmpp.client.hostname", "WebSocket"),
        ("other.program", "not known"),
    ] {
        assert!(reason(&import, key).contains(says), "{key}: {}", reason(&import, key));
    }
    assert!(!import.without_effect.iter().any(|(key, _)| key.ends_with("brewery-jid")));
}

#[test]
fn a_focus_finds_visitor_nodes_where_its_configuration_says() {
    let import = of(
        Program::Jicofo,
        "jicofo.conf",
        r#"
        jicofo.xmpp.visitors {
            v0 { hostname = "a.example", port = 52220, conference-service = "muc.v0.meet.example", domain = "auth.meet.example"
                 xmpp-domain = "v0.meet.example", password = "hush", disable-certificate-verification = true }
            east { enabled = true, hostname = "b.example", conference-service = "muc.east.meet.example", username = focus
                   domain = "login.meet.example" }
            west { hostname = "c.example", xmpp-domain = "other.example", domain = "auth.meet.example" }
            none { domain = "x" }
            off { enabled = false, hostname = "d.example" }
        }
        "#,
    )
    .unwrap();
    assert_eq!(
        settings(&import),
        [
            "VISITORS_XMPP_AUTH_DOMAIN=auth.meet.example",
            "VISITORS_XMPP_DOMAIN=meet.example",
            "VISITORS_XMPP_SERVER=v0=a.example,east=b.example,west=c.example",
        ]
    );
    for (key, says) in [
        ("jicofo.xmpp.visitors.v0.port", "WebSocket"),
        ("jicofo.xmpp.visitors.v0.password", "TERANGA_SERVICE_SECRET"),
        ("jicofo.xmpp.visitors.v0.disable-certificate-verification", "cannot be set"),
        ("jicofo.xmpp.visitors.east.domain", "is auth.meet.example for all nodes"),
        ("jicofo.xmpp.visitors.west.xmpp-domain", "does not begin with the name"),
        ("jicofo.xmpp.visitors.none.hostname", "is missing"),
    ] {
        assert!(reason(&import, key).contains(says), "{key}: {}", reason(&import, key));
    }
    assert_eq!(import.without_effect.len(), 6, "{:?}", import.without_effect);
}

#[test]
fn services_that_bridges_connect_to_are_named() {
    let import = of(
        Program::Jicofo,
        "jicofo.conf",
        r#"
        jicofo {
            transcription {
                url-template = "wss://{{REGION}}.example.com/recorder/{{MEETING_ID}}"
                http-headers { "Authorization" = "Bearer key", "X-Two" = "a,b" }
                ping { enabled = true, interval = 10 seconds, timeout = 3 seconds }
            }
            translation {
                url-template = "wss://example.com/{{MEETING_ID}}", mode = single-bridge, max-languages-per-connect = 3
                ping.enabled = false
            }
        }
        "#,
    )
    .unwrap();
    assert_eq!(
        settings(&import),
        [
            "JICOFO_TRANSLATION_URL_TEMPLATE=wss://example.com/{{MEETING_ID}}",
            "TERANGA_TRANSCRIPTION_HEADERS=Authorization=Bearer key",
            "TERANGA_TRANSCRIPTION_PING=true",
            "TERANGA_TRANSCRIPTION_PING_INTERVAL=10000ms",
            "TERANGA_TRANSCRIPTION_PING_TIMEOUT=3000ms",
            "TERANGA_TRANSCRIPTION_URL_TEMPLATE=wss://{{REGION}}.example.com/recorder/{{MEETING_ID}}",
            "TERANGA_TRANSLATION_MAX_LANGUAGES=3",
            "TERANGA_TRANSLATION_MODE=single-bridge",
            "TERANGA_TRANSLATION_PING=false",
        ]
    );
    assert!(reason(&import, "jicofo.transcription.http-headers.X-Two").contains("comma"));
    assert_eq!(import.without_effect.len(), 1);
}

#[test]
fn a_focus_chooses_bridges_as_its_configuration_says() {
    let import = of(
        Program::Jicofo,
        "jicofo.conf",
        r#"
        jicofo {
            bridge {
                max-bridge-participants = -1, stress-threshold = 0.7, participant-rampup-interval = 30 seconds
                region-groups = [["eu-west", "eu-north"], ["us"]], topology-strategy = VisitorTopologyStrategy
                health-checks { enabled = true, use-presence = true, retry-delay = 1 second }
                ice-failure-detection { enabled = true, threshold = 0.2 }
                load-redistribution { enabled = true, endpoints = 5 }
            }
            local-region = eu-west
            octo { enabled = true, allow-mixed-versions = true, sctp-datachannels = false }
        }
        "#,
    )
    .unwrap();
    assert_eq!(
        settings(&import),
        [
            "BRIDGE_STRESS_THRESHOLD=0.7",
            "ENABLE_OCTO=true",
            "JICOFO_BRIDGE_REGION_GROUPS=[eu-west,eu-north],[us]",
            "JICOFO_ENABLE_BRIDGE_HEALTH_CHECKS=true",
            "JICOFO_ENABLE_ICE_FAILURE_DETECTION=true",
            "JICOFO_ENABLE_LOAD_REDISTRIBUTION=true",
            "JICOFO_HEALTH_CHECKS_USE_PRESENCE=true",
            "JICOFO_ICE_FAILURE_THRESHOLD=0.2",
            "JICOFO_OCTO_REGION=eu-west",
            "MAX_BRIDGE_PARTICIPANTS=0",
            "TERANGA_ALLOW_MIXED_VERSIONS=true",
            "TERANGA_LOAD_REDISTRIBUTION_ENDPOINTS=5",
            "TERANGA_PARTICIPANT_RAMPUP=30000ms",
            "TERANGA_RELAY_SCTP=false",
            "TERANGA_TOPOLOGY_STRATEGY=VisitorTopologyStrategy",
        ]
    );
    let without: Vec<&str> = import.without_effect.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(without, ["jicofo.bridge.health-checks.retry-delay"]);
}

#[test]
fn files_that_are_included_and_variables_are_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("custom.conf"), "videobridge.ice.udp.port = 20000").unwrap();
    let path = dir.path().join("jvb.conf");
    std::fs::write(&path, "port = 10\nvideobridge.ice.udp.port = ${port}\ninclude \"custom.conf\"").unwrap();
    let import = import(Program::Jvb, &path).unwrap();
    assert_eq!(settings(&import), ["TERANGA_MEDIA_PORT=20000"]);
}

#[test]
fn older_names_mean_the_same() {
    let import = of(
        Program::Jvb,
        "sip-communicator.properties",
        "# A comment\n\
         org.jitsi.videobridge.SINGLE_PORT_HARVESTER_PORT=10001\n\
         org.ice4j.ice.harvest.NAT_HARVESTER_LOCAL_ADDRESS=10.0.0.5\n\
         org.ice4j.ice.harvest.NAT_HARVESTER_PUBLIC_ADDRESS: 203.0.113.7\n\
         org.ice4j.ice.harvest.STUN_MAPPING_HARVESTER_ADDRESSES=stun.example.org:443,stun2.example.org\n\
         org.ice4j.ice.harvest.DISABLE_AWS_HARVESTER=true\n\
         org.ice4j.ice.harvest.BLOCKED_INTERFACES=docker0;br-1\n\
         org.jitsi.videobridge.xmpp.user.shard.DOMAIN=auth.meet.example\n\
         org.jitsi.videobridge.xmpp.user.shard.PASSWORD=\\u0068ush\n\
         org.jitsi.videobridge.ENABLE_REST_SHUTDOWN=true\n\
         org.jitsi.videobridge.rest.COLIBRI_WS_DOMAIN=jvb.example\n\
         org.jitsi.videobridge.STATISTICS_TRANSPORT=muc\n",
    )
    .unwrap();
    assert_eq!(
        settings(&import),
        [
            "SHUTDOWN_REST_ENABLED=true",
            "TERANGA_DOMAIN=meet.example",
            "TERANGA_MEDIA_ADDRESS=10.0.0.5=203.0.113.7",
            "TERANGA_MEDIA_DENY=docker0,br-1",
            "TERANGA_MEDIA_PORT=10001",
            "TERANGA_MEDIA_STUN_SERVER=stun.example.org:443,stun2.example.org",
            "TERANGA_PUBLIC_WS_URL=wss://jvb.example",
            "TERANGA_SERVICE_SECRET=hush",
        ]
    );
    assert!(reason(&import, "org.jitsi.videobridge.STATISTICS_TRANSPORT").contains("not known"));
    let text = "org.jitsi.jicofo.BRIDGE_MUC=JvbBrewery@internal.auth.meet.example\n\
                org.jitsi.jicofo.XMPP_DOMAIN=meet.example\norg.jitsi.jicofo.jibri.BREWERY=jibris@internal-muc.meet.example\n";
    let import = of(Program::Jicofo, "sip-communicator.properties", text).unwrap();
    assert_eq!(settings(&import), ["JIBRI_BREWERY_MUC=jibris", "TERANGA_DOMAIN=meet.example"]);
    assert!(reason(&import, "jicofo.bridge.brewery-jid").contains("jvbbrewery@internal-muc.meet.example"));
}

#[test]
fn values_of_the_wrong_kind_have_no_effect_and_are_told() {
    let text = "videobridge { ice.udp.port = many, cc.jvb-last-n = -1, apis.rest.enabled = perhaps\n\
                load-management.conference-last-n-limits { a = 1 }, version.release = [1] }\n\
                ice4j.harvest.mapping.static-mappings = [{ local-address = 10.0.0.5 }]\n\
                jmt.audio.red.policy = PROTECT_DOMINANT\nvideobridge.shutdown.shutting-down-delay = soon\n";
    let import = of(Program::Jvb, "jvb.conf", text).unwrap();
    assert_eq!(settings(&import), [""; 0]);
    for key in [
        "videobridge.ice.udp.port",
        "videobridge.apis.rest.enabled",
        "videobridge.load-management.conference-last-n-limits",
        "videobridge.version.release",
        "ice4j.harvest.mapping.static-mappings",
        "jmt.audio.red.policy",
        "videobridge.shutdown.shutting-down-delay",
    ] {
        reason(&import, key);
    }
    assert_eq!(import.without_effect.len(), 7, "{:?}", import.without_effect);
}

#[test]
fn a_file_that_is_none_is_an_error_with_its_name() {
    for (name, text) in [("jvb.conf", "videobridge {"), ("jvb.conf", "a = ${b}"), ("jvb.conf", "\u{0}")] {
        let error = of(Program::Jvb, name, text).unwrap_err();
        assert!(error.to_string().contains("jvb.conf"), "{error}");
    }
    let deep = "a{".repeat(100_000);
    assert!(of(Program::Jvb, "jvb.conf", &deep).is_err());
    for name in ["no/such.conf", "no/such.properties"] {
        assert!(import(Program::Jicofo, Path::new(name)).unwrap_err().to_string().contains(name));
    }
}

#[test]
fn variables_are_written_as_shells_and_compose_read_them() {
    for (value, text) in [
        ("10001", "10001"),
        ("", "''"),
        ("two words", "'two words'"),
        ("a#b$c", "'a#b$c'"),
        ("it's $\"x\"", "\"it's \\$\\\"x\\\"\""),
    ] {
        let import = Import { settings: vec![("NAME", value.to_owned())], ..Import::default() };
        assert_eq!(import.to_env_file(), format!("NAME={text}\n"));
    }
    let import = of(Program::Jvb, "jvb.conf", "videobridge.relay.region = \"a\\nTERANGA_DOMAIN=b\"").unwrap();
    assert_eq!(import.to_env_file(), "", "a line break begins no other variable");
    assert!(reason(&import, "TERANGA_REGION").contains("line break"));
}

#[test]
fn s2_55_s2_56_s2_57_and_s1_24_logins_of_a_focus_are_those_of_its_older_names() {
    let of = |text: &str| settings(&of(Program::Jicofo, "sip-communicator.properties", text).unwrap());
    let tokens = "org.jitsi.jicofo.XMPP_DOMAIN=meet.example\norg.jitsi.jicofo.auth.URL=EXT_JWT:meet.example\n\
                  org.jitsi.jicofo.DISABLE_AUTO_OWNER=true\norg.jitsi.jicofo.auth.DISABLE_AUTOLOGIN=true\n";
    let expected = [
        "AUTH_TYPE=jwt",
        "ENABLE_AUTH=1",
        "ENABLE_AUTO_LOGIN=false",
        "ENABLE_AUTO_OWNER=false",
        "TERANGA_DOMAIN=meet.example",
    ];
    assert_eq!(of(tokens), expected);
    let accounts = of("org.jitsi.jicofo.auth.URL=XMPP:login.example\n");
    assert_eq!(accounts, ["AUTH_TYPE=internal", "ENABLE_AUTH=1", "TERANGA_LOGIN_DOMAIN=login.example"]);
}

const PROSODY: &str = r#"
plugin_paths = { "/usr/share/jitsi-meet/prosody-plugins/" }
asap_accepted_issuers = { "jitsi", "portal" };
asap_accepted_audiences = { "*" };
VirtualHost "meet.example"
    authentication = "token";
    app_id = "portal";
    app_secret = "hush, hush";
    allow_empty_token = false;
    modules_enabled = { "bosh", "websocket" }
    main_muc = "conference.meet.example"
VirtualHost "guest.meet.example"
    authentication = "jitsi-anonymous"
    c2s_require_encryption = false
Component "conference.meet.example" "muc"
    modules_enabled = { "muc_meeting_id"; "token_verification"; "token_affiliation"; "token_owner_party" }
    muc_max_occupants = 50
    restrict_room_creation = some_function()
Component "internal.auth.meet.example" "muc"
    modules_enabled = { "ping" }
"#;

#[test]
fn s2_46_and_s1_22_a_prosody_that_takes_tokens_is_one_that_does_here() {
    let import = of(Program::Prosody, "meet.example.cfg.lua", PROSODY).unwrap();
    assert_eq!(
        settings(&import),
        [
            "AUTH_TYPE=jwt",
            "ENABLE_AUTH=1",
            "ENABLE_GUESTS=1",
            "JWT_ACCEPTED_AUDIENCES=*",
            "JWT_ACCEPTED_ISSUERS=jitsi,portal",
            "JWT_ALLOW_EMPTY=false",
            "JWT_APP_ID=portal",
            "JWT_APP_SECRET=hush, hush",
            "MAX_PARTICIPANTS=50",
            "TERANGA_DOMAIN=meet.example",
            "TERANGA_WITHOUT_OWNER_FOR=60",
            "XMPP_MUC_MODULES=token_affiliation,token_owner_party",
        ]
    );
    assert!(reason(&import, "c2s_require_encryption (line 14)").contains("TLS of the web server"));
    assert!(reason(&import, "main_muc (line 11)").contains("not known"));
    assert!(reason(&import, "line 18").contains("not run"));
    assert!(!format!("{:?}", import.without_effect).contains("hush"), "secrets are not repeated");
}

#[test]
fn s1_20_a_prosody_with_accounts_asks_for_them_here() {
    let text = PROSODY.replace("\"token\"", "\"internal_plain\"").replace("party", "other");
    let import = of(Program::Prosody, "meet.example.cfg.lua", &text).unwrap();
    let settings = settings(&import);
    assert!(settings.contains(&"AUTH_TYPE=internal".to_owned()), "{settings:?}");
    assert!(!settings.iter().any(|setting| setting.starts_with("TERANGA_WITHOUT_OWNER_FOR")), "{settings:?}");
}

#[test]
fn a_prosody_with_the_visitors_component_has_visitors_here() {
    let of = |component: &str| {
        let text = format!("VirtualHost \"meet.example\"\n modules_enabled = {{ \"visitors\" }}\n{component}");
        of(Program::Prosody, "meet.example.cfg.lua", &text).unwrap()
    };
    assert_eq!(settings(&of("")), ["TERANGA_DOMAIN=meet.example"]);
    let component = "Component \"visitors.meet.example\" \"visitors_component\"\n";
    let stock = of(component);
    assert_eq!(
        settings(&stock),
        ["ENABLE_VISITORS=1", "TERANGA_AUTO_ALLOW_VISITORS=false", "TERANGA_DOMAIN=meet.example"]
    );
    let docker = of(&format!("{component} auto_allow_visitor_promotion = true\n always_visitors_enabled = true\n"));
    assert!(settings(&docker).contains(&"TERANGA_AUTO_ALLOW_VISITORS=true".to_owned()), "{:?}", settings(&docker));
    assert!(!format!("{:?}", docker.without_effect).contains("always_visitors_enabled"));
    let node = of("Component \"muc.v0.meet.example\" \"muc\"\n modules_enabled = { \"fmuc\" }\n");
    assert!(reason(&node, "modules_enabled (line 4)").contains("part of the main server"));
}
