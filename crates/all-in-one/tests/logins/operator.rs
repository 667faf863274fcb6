//! What an operator asks of the configuration: what is in force and who says so, whether it can be, and to read it again.

use crate::client::Client;
use crate::ldap_env;
use crate::server::{Server, stderr, stdout, teranga};
use crate::slapd::{BASE, SERVICE_DN, SERVICE_PASSWORD, Slapd, free_port};

#[test]
fn s0_32_and_s4_12_settings_are_shown_with_their_origin_and_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("saslauthd.conf");
    std::fs::write(&conf, "# groups\nldap_group_dn: cn=hosts,dc=example,dc=sn\n").unwrap();
    std::fs::write(dir.path().join("teranga.env"), "# the file wins\nLDAP_FILTER=(uid=%u)\nMAX_PARTICIPANTS=7\n")
        .unwrap();
    let more = [
        ("TERANGA_STATE_DIR", dir.path().to_str().unwrap()),
        ("TERANGA_SASLAUTHD_CONF", conf.to_str().unwrap()),
        ("LDAP_FILTER", "(cn=%u)"),
        ("JWT_APP_SECRET", "planted-jwt"),
    ];
    let env = ldap_env("ldap://ldap.example.sn", &more);
    let shown = teranga(&["config", "show", "--effective"], &env, "");
    assert!(shown.status.success(), "{}", stderr(&shown));
    let file = dir.path().join("teranga.env");
    for line in [
        "AUTH_TYPE=ldap  # environment".to_owned(),
        "LDAP_BINDPW=********  # environment".to_owned(),
        "JWT_APP_SECRET=********  # environment".to_owned(),
        format!("MAX_PARTICIPANTS=7  # {}:3", file.display()),
        format!("LDAP_FILTER=(uid=%u)  # {}:2", file.display()),
        "TERANGA_HTTPS_PORT=8443  # default".to_owned(),
        "ldap_servers: ldap://ldap.example.sn  # LDAP_URL".to_owned(),
        format!("ldap_search_base: {BASE}  # LDAP_BASE"),
        format!("ldap_bind_dn: {SERVICE_DN}  # LDAP_BINDDN"),
        "ldap_bind_pw: ********  # LDAP_BINDPW".to_owned(),
        "ldap_filter: (uid=%u)  # LDAP_FILTER".to_owned(),
        "ldap_version: 3  # default".to_owned(),
        "ldap_auth_method: bind  # LDAP_AUTH_METHOD".to_owned(),
        format!("ldap_group_dn: cn=hosts,dc=example,dc=sn  # {}:2", conf.display()),
    ] {
        assert!(stdout(&shown).lines().any(|shown| shown == line), "{line} is not in {}", stdout(&shown));
    }
    let brief = teranga(&["config", "show"], &env, "");
    assert!(!stdout(&brief).contains("# default"), "{}", stdout(&brief));
}

#[test]
fn s0_28_and_s0_35_what_cannot_be_or_is_unwise_is_said_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let check = |env: &[(&str, &str)], file: &str| {
        std::fs::write(dir.path().join("teranga.env"), file).unwrap();
        let env = [env, &[("TERANGA_STATE_DIR", dir.path().to_str().unwrap())]].concat();
        let checked = teranga(&["config", "check"], &env, "");
        (checked.status.success(), format!("{}{}", stdout(&checked), stderr(&checked)))
    };
    let ldap = |more: &[(&'static str, &'static str)]| ldap_env("ldaps://127.0.0.1", more);
    let place = |line: usize| format!("{}:{line}: ", dir.path().join("teranga.env").display());
    let table = [
        (Vec::new(), "", true, "would start".to_owned()),
        (ldap(&[("LDAP_VERSION", "2")]), "", false, "ldap_version 2 is historic".to_owned()),
        (ldap(&[("LDAP_BINDDN", "")]), "", true, "anonymous".to_owned()),
        (ldap(&[]), "", true, "LDAP_TLS_CHECK_PEER=1".to_owned()),
        (ldap_env("ldap://127.0.0.1", &[]), "", true, "in the clear".to_owned()),
        // s4_42
        (ldap(&[("LDAP_USE_TLS", "1")]), "", true, "LDAP_USE_TLS has no effect".to_owned()),
        (
            ldap(&[("LDAP_TLS_CHECK_PEER", "1"), ("LDAP_TLS_CACERT_FILE", "/nowhere.pem")]),
            "",
            false,
            "/nowhere.pem".to_owned(),
        ),
        (Vec::new(), "TERANGA_LOBBY_AUTOSTART=1\n", false, "nobody walks past".to_owned()),
        (Vec::new(), "# x\nENABLE_AUHT=1\n", true, format!("{}ENABLE_AUHT has no effect", place(2))),
        (Vec::new(), "\nAUTH_TYPE=kerberos\n", false, format!("{}AUTH_TYPE: ", place(2))),
        (Vec::new(), "JWT_APP_SECRET=planted\n", true, "everybody can read it".to_owned()),
        (vec![("TERANGA_COMPONENTS", "planted")], "", false, "the variable TERANGA_COMPONENTS: ".to_owned()),
        (Vec::new(), "AUTH_TYPE\n", false, format!("{}is not of the form", place(1))),
    ];
    for (env, file, starts, said) in table {
        let (is_ok, text) = check(&env, file);
        assert!(is_ok == starts && text.contains(&said), "{file}: {said} is not in {text}");
    }
}

#[test]
fn s0_40_s0_41_and_s0_39_the_directory_is_another_one_after_a_reload_and_nobody_is_interrupted() {
    let slapd = Slapd::plain();
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("saslauthd.conf");
    let write = |server: &str| {
        let text = format!(
            "ldap_servers: {server}\nldap_search_base: {BASE}\nldap_bind_dn: {SERVICE_DN}\nldap_bind_pw: {SERVICE_PASSWORD}\n"
        );
        std::fs::write(&conf, text).unwrap();
    };
    write(&format!("ldap://127.0.0.1:{}", free_port()));
    let file = format!("ENABLE_AUTH=1\nENABLE_GUESTS=1\nAUTH_TYPE=ldap\nTERANGA_SASLAUTHD_CONF={}\n", conf.display());
    let server = Server::start_with_file(&[], &file);
    let mut guest = Client::guest(&server.http, "guest.meet.jitsi");
    let refused = Client::log_in(&server.http, "bob", "planted-bob").err();
    assert_eq!(refused.as_deref(), Some("temporary-auth-failure"));
    write(&slapd.url());
    let reloaded = server.command("teranga", &["reload"], "");
    assert_eq!(stdout(&reloaded), "the directory: in force\n", "{}", stderr(&reloaded));
    let mut bob = Client::log_in(&server.http, "bob", "planted-bob").map_err(|e| panic!("{e}")).unwrap();
    bob.ask(None).unwrap();
    bob.join();
    // The stream from before goes on.
    guest.ask(None).unwrap();
    guest.join();
    // What is wrong changes nothing.
    std::fs::write(&conf, "ldap_version: 2\n").unwrap();
    let refused = server.command("teranga", &["reload"], "");
    assert!(!refused.status.success() && stderr(&refused).contains("stays as it is"), "{}", stderr(&refused));
    assert!(Client::log_in(&server.http, "bob", "planted-bob").is_ok());
}

#[test]
fn commands_say_where_they_looked_for_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("TERANGA_STATE_DIR", dir.path().to_str().unwrap())];
    for words in [["room", "list"].as_slice(), &["reload"]] {
        let failed = teranga(words, &env, "");
        assert!(!failed.status.success() && stderr(&failed).contains("--state-dir"), "{}", stderr(&failed));
    }
}
