//! Logins against real servers, and against some that are none.

#![allow(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod slapd;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use ldap::{Directory, Error, Options, Password, Refusal};
use slapd::{Authority, BASE, SERVICE_DN, SERVICE_PASSWORD, Setup, Slapd, free_port};

/// saslauthd's options, those for a service account among them.
fn options(servers: &str, more: &[(&str, &str)]) -> Options {
    let mut options = Options::default();
    options.set("ldap_servers", servers);
    options.set("ldap_search_base", BASE);
    options.set("ldap_bind_dn", SERVICE_DN);
    options.set("ldap_bind_pw", SERVICE_PASSWORD);
    for (name, value) in more {
        options.set(name, value);
    }
    options
}

fn directory(servers: &str, more: &[(&str, &str)]) -> Directory {
    Directory::new(options(servers, more).settings().unwrap().0).unwrap()
}

async fn login(directory: &Directory, user: &str, password: &str) -> Result<String, Error> {
    directory.authenticate(user, &Password::new(password), "meet.jitsi").await
}

fn is_refused(result: &Result<String, Error>, why: fn(Refusal) -> bool) -> bool {
    matches!(result, Err(Error::Refused(refusal)) if why(*refusal))
}

const BOB: &str = "uid=bob,ou=people,dc=example,dc=sn";

#[tokio::test]
async fn s0_26_and_s4_35_servers_are_tried_in_order() {
    let slapd = Slapd::plain();
    let directory = directory(&format!("ldap://127.0.0.1:{} {}", free_port(), slapd.url()), &[]);
    for _ in 0..2 {
        assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
    }
    let nobody = self::directory("ldap://no-such-host.invalid", &[]);
    assert!(matches!(login(&nobody, "bob", "planted-bob").await, Err(Error::UnknownHost { .. })));
}

#[tokio::test]
async fn s0_27_the_service_account_searches_and_the_user_binds() {
    let slapd = Slapd::plain();
    assert_eq!(login(&directory(&slapd.url(), &[]), "bob", "planted-bob").await.unwrap(), BOB);
    let log = slapd.log();
    let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("{what} is not in {log}"));
    let service = at(&format!("BIND dn=\"{SERVICE_DN}\" method=128"));
    // s0_33: the filter as the server sees it.
    let search = at("filter=\"(uid=bob)\"");
    let user = at(&format!("BIND dn=\"{BOB}\" method=128"));
    assert!(service < search && search < user, "{log}");
    assert!(!log.contains("planted"), "{log}");
}

#[tokio::test]
async fn s0_28_and_s4_37_without_a_bind_dn_the_search_is_anonymous() {
    let slapd = Slapd::plain();
    let directory = directory(&slapd.url(), &[("ldap_bind_dn", ""), ("ldap_bind_pw", "")]);
    assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
    assert!(slapd.log().contains("BIND dn=\"\" method=128"), "{}", slapd.log());
}

#[tokio::test]
async fn s0_29_who_is_outside_the_base_is_refused_like_a_bad_password() {
    let slapd = Slapd::plain();
    let directory = directory(&slapd.url(), &[]);
    let outside = login(&directory, "oumar", "planted-oumar").await;
    let wrong = login(&directory, "bob", "planted-oumar").await;
    assert!(is_refused(&outside, |why| why == Refusal::NoSuchUser), "{outside:?}");
    assert!(is_refused(&wrong, |why| matches!(why, Refusal::InvalidCredentials { code: 49 })), "{wrong:?}");
    assert_eq!(outside.unwrap_err().to_string(), wrong.unwrap_err().to_string());
    let twin = login(&directory, "twin", "planted-twin").await;
    assert!(is_refused(&twin, |why| why == Refusal::Ambiguous), "{twin:?}");
    let empty = login(&directory, "bob", "").await;
    assert!(is_refused(&empty, |why| why == Refusal::EmptyPassword), "{empty:?}");
}

#[tokio::test]
async fn s0_33_a_login_of_filter_syntax_matches_nobody() {
    let slapd = Slapd::plain();
    let directory = directory(&slapd.url(), &[]);
    for user in ["*)(uid=*", "b*", "bob)(|(uid=*", "bob\\2a", "*"] {
        let result = login(&directory, user, "planted-bob").await;
        assert!(is_refused(&result, |why| why == Refusal::NoSuchUser), "{user}: {result:?}");
    }
}

#[tokio::test]
async fn s0_34_filters_work_with_and_without_parentheses() {
    let slapd = Slapd::plain();
    for filter in ["uid=%u", "(uid=%u)", "(&(objectClass=person)(uid=%u))", "(mail=%U@example.sn)"] {
        let directory = directory(&slapd.url(), &[("ldap_filter", filter)]);
        assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB, "{filter}");
    }
    let broken = directory(&slapd.url(), &[("ldap_filter", "(&(uid=%u)")]);
    assert!(matches!(login(&broken, "bob", "planted-bob").await, Err(Error::BadFilter { .. })));
}

#[tokio::test]
async fn s0_36_and_s4_40_fastbind_takes_the_filter_as_a_dn() {
    let slapd = Slapd::plain();
    let template = [("ldap_auth_method", "fastbind"), ("ldap_filter", "uid=%u,ou=people,dc=example,dc=sn")];
    let directory = directory(&slapd.url(), &template);
    assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
    assert!(!slapd.log().contains("SRCH"), "{}", slapd.log());
    assert!(is_refused(&login(&directory, "bob", "x").await, |_| true));
    let injected = login(&directory, "oumar,ou=elsewhere,dc=example,dc=sn?", "planted-oumar").await;
    assert!(is_refused(&injected, |_| true), "{injected:?}");
}

#[tokio::test]
async fn s0_36_custom_compares_the_password_attribute() {
    let slapd = Slapd::plain();
    let directory = directory(&slapd.url(), &[("ldap_auth_method", "custom")]);
    assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
    assert!(is_refused(&login(&directory, "bob", "planted-bo").await, |_| true));
    let anonymous =
        self::directory(&slapd.url(), &[("ldap_auth_method", "custom"), ("ldap_bind_dn", ""), ("ldap_bind_pw", "")]);
    let unreadable = login(&anonymous, "bob", "planted-bob").await;
    assert!(is_refused(&unreadable, |why| why == Refusal::NoUsablePassword), "{unreadable:?}");
}

#[tokio::test]
async fn s0_37_and_s4_45_ldaps_needs_the_right_authority_and_name() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let slapd = Slapd::start(&Setup { authority: Some((&ours, &["127.0.0.1"])), ..Setup::default() });
    let (ca, other) = (ours.write(slapd.dir.path()), foreign.write(slapd.dir.path()));
    let with = |ca: &std::path::Path| {
        directory(&slapd.tls_url(), &[("ldap_tls_check_peer", "yes"), ("ldap_tls_cacert_file", ca.to_str().unwrap())])
    };
    assert_eq!(login(&with(&ca), "bob", "planted-bob").await.unwrap(), BOB);
    let refused = login(&with(&other), "bob", "planted-bob").await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
    // s4_44: 0 takes any certificate.
    assert_eq!(login(&directory(&slapd.tls_url(), &[]), "bob", "planted-bob").await.unwrap(), BOB);
    // s4_46: a directory of authorities.
    let dir = slapd.dir.path().to_str().unwrap();
    let by_dir = directory(&slapd.tls_url(), &[("ldap_tls_check_peer", "yes"), ("ldap_tls_cacert_dir", dir)]);
    assert_eq!(login(&by_dir, "bob", "planted-bob").await.unwrap(), BOB);
}

#[tokio::test]
async fn s4_44_a_certificate_of_another_name_is_refused() {
    let ours = Authority::new("ours");
    let slapd = Slapd::start(&Setup { authority: Some((&ours, &["ldap.example.sn"])), ..Setup::default() });
    let ca = ours.write(slapd.dir.path());
    let more = [("ldap_tls_check_peer", "1"), ("ldap_tls_cacert_file", ca.to_str().unwrap())];
    let refused = login(&directory(&slapd.tls_url(), &more), "bob", "planted-bob").await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
}

#[tokio::test]
async fn s0_37_the_client_certificate_is_shown() {
    let ours = Authority::new("ours");
    let setup =
        Setup { authority: Some((&ours, &["127.0.0.1"])), global: "TLSVerifyClient demand", ..Setup::default() };
    let slapd = Slapd::start(&setup);
    let (certificate, key) = ours.issue(&["teranga.example.sn"]);
    let at = |name: &str| slapd.dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("client.pem"), certificate).unwrap();
    std::fs::write(at("client.key"), key).unwrap();
    let more = [("ldap_tls_cert", at("client.pem")), ("ldap_tls_key", at("client.key"))];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(login(&directory(&slapd.tls_url(), &more), "bob", "planted-bob").await.unwrap(), BOB);
    assert!(login(&directory(&slapd.tls_url(), &[]), "bob", "planted-bob").await.is_err());
}

#[tokio::test]
async fn s0_38_start_tls_comes_before_the_bind() {
    let ours = Authority::new("ours");
    let slapd = Slapd::start(&Setup { authority: Some((&ours, &["127.0.0.1"])), ..Setup::default() });
    let ca = ours.write(slapd.dir.path());
    let more =
        [("ldap_start_tls", "yes"), ("ldap_tls_check_peer", "yes"), ("ldap_tls_cacert_file", ca.to_str().unwrap())];
    assert_eq!(login(&directory(&slapd.url(), &more), "bob", "planted-bob").await.unwrap(), BOB);
    let log = slapd.log();
    assert!(log.find("TLS established").unwrap() < log.find("BIND dn=").unwrap(), "{log}");
    // A server without TLS gets no password.
    let plain = Slapd::plain();
    let refused = login(&directory(&plain.url(), &more), "bob", "planted-bob").await;
    assert!(matches!(refused, Err(Error::StartTlsRefused { .. })), "{refused:?}");
    assert!(!plain.log().contains("BIND"), "{}", plain.log());
}

#[tokio::test]
async fn s1_35_active_directory_logins_work_by_account_name_and_by_upn() {
    let reference = "dn: ou=branch,ou=people,dc=example,dc=sn\nobjectClass: referral\nobjectClass: extensibleObject\n\
                     ou: branch\nref: ldap://127.0.0.1:1/ou=branch,dc=nowhere\n";
    let slapd = Slapd::start(&Setup { entries: reference, ..Setup::default() });
    for (filter, user) in [
        ("(sAMAccountName=%u)", "ndeye"),
        ("(sAMAccountName=%U)", "ndeye@corp.example.sn"),
        ("(userPrincipalName=%u)", "ndeye@corp.example.sn"),
        ("(&(objectClass=user)(userPrincipalName=%U@corp.example.sn))", "ndeye"),
    ] {
        let directory = directory(&slapd.url(), &[("ldap_filter", filter)]);
        let dn = login(&directory, user, "planted-ndeye").await.unwrap();
        assert!(dn.to_lowercase().contains("ou=people,dc=example,dc=sn"), "{dn}");
        assert!(is_refused(&login(&directory, user, "planted-bob").await, |_| true), "{filter}");
    }
    // Referrals are ignored: who is nowhere else is nobody.
    let nobody = login(&directory(&slapd.url(), &[]), "nobody", "x").await;
    assert!(is_refused(&nobody, |why| why == Refusal::NoSuchUser), "{nobody:?}");
}

#[tokio::test]
async fn referrals_are_followed_when_asked_for() {
    let there = Slapd::plain();
    let reference = format!(
        "dn: ou=branch,ou=people,dc=example,dc=sn\nobjectClass: referral\nobjectClass: extensibleObject\nou: branch\n\
         ref: {}/ou=elsewhere,dc=example,dc=sn\n",
        there.url()
    );
    let here = Slapd::start(&Setup { entries: &reference, ..Setup::default() });
    let dn = login(&directory(&here.url(), &[("ldap_referrals", "yes")]), "oumar", "planted-oumar").await.unwrap();
    assert_eq!(dn, "uid=oumar,ou=elsewhere,dc=example,dc=sn");
    let ignored = login(&directory(&here.url(), &[]), "oumar", "planted-oumar").await;
    assert!(is_refused(&ignored, |why| why == Refusal::NoSuchUser), "{ignored:?}");
}

#[tokio::test]
async fn s0_39_only_members_of_the_group_get_in() {
    let slapd = Slapd::plain();
    let group = ("ldap_group_dn", "cn=hosts,dc=example,dc=sn");
    let by_filter = [
        group,
        ("ldap_group_match_method", "filter"),
        ("ldap_group_search_base", "dc=example,dc=sn"),
        ("ldap_group_filter", "(&(objectClass=groupOfUniqueNames)(uniqueMember=%D))"),
    ];
    for more in [[group].as_slice(), &by_filter] {
        let directory = directory(&slapd.url(), more);
        assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
        let filter = ("ldap_filter", "(|(uid=%u)(sAMAccountName=%u))");
        let directory = self::directory(&slapd.url(), &[more, &[filter]].concat());
        let outsider = login(&directory, "ndeye", "planted-ndeye").await;
        assert!(is_refused(&outsider, |why| why == Refusal::NotInGroup), "{outsider:?}");
    }
}

#[tokio::test]
async fn s4_36_the_base_may_be_empty() {
    let setup = Setup { global: "defaultsearchbase \"dc=example,dc=sn\"", ..Setup::default() };
    let slapd = Slapd::start(&setup);
    assert_eq!(login(&directory(&slapd.url(), &[("ldap_search_base", "")]), "bob", "planted-bob").await.unwrap(), BOB);
}

#[tokio::test]
async fn s0_30_four_faults_are_four_errors_and_entries_are_counted() {
    let slapd = Slapd::plain();
    let list = async |servers: &str, more: &[(&str, &str)]| directory(servers, more).list(1000).await;
    let people = list(&slapd.url(), &[]).await.unwrap();
    assert_eq!(people.len(), 4, "{people:?}");
    let base = list(&slapd.url(), &[("ldap_search_base", "ou=nobody,dc=example,dc=sn")]).await;
    assert!(matches!(base, Err(Error::NoSuchBase { .. })), "{base:?}");
    let password = list(&slapd.url(), &[("ldap_bind_pw", "wrong")]).await;
    assert!(matches!(password, Err(Error::ServiceBindRefused { code: 49, .. })), "{password:?}");
    let name = list("ldap://no-such-host.invalid", &[]).await;
    assert!(matches!(name, Err(Error::UnknownHost { .. })), "{name:?}");
    let tls = list(&slapd.url().replace("ldap:", "ldaps:"), &[]).await;
    assert!(matches!(tls, Err(Error::Tls { .. })), "{tls:?}");
}

/// Serves each connection with what `answer` makes of the first bytes, and then says no more.
fn fake(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1024];
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let length = stream.read(&mut request).unwrap_or(0);
            let _ = stream.write_all(&answer(&request[..length]));
            kept.push(stream);
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_timeout_once_and_the_next_one_answers() {
    let slapd = Slapd::plain();
    let directory = directory(&format!("{} {}", fake(|_| Vec::new()), slapd.url()), &[("ldap_timeout", "1")]);
    assert_eq!(login(&directory, "bob", "planted-bob").await.unwrap(), BOB);
    let alone = self::directory(&fake(|_| Vec::new()), &[("ldap_timeout", "1")]);
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let alone = alone.clone();
            tokio::spawn(async move { login(&alone, "bob", "planted-bob").await })
        })
        .collect();
    for result in logins {
        let result = result.await.unwrap();
        assert!(matches!(result, Err(Error::Timeout { .. } | Error::Busy)), "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_lets_nobody_in() {
    let deep = [[0x30_u8, 0x84, 0, 0x0f, 0, 0].repeat(100_000), vec![0; 10]].concat();
    let answers: [Vec<u8>; 8] = [
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        b"\x30\x84\xff\xff\xff\xff".to_vec(),
        deep,
        // A bind response without content, with text for a code, of another message, and a search entry for a bind.
        b"\x30\x05\x02\x01\x01\x61\x00".to_vec(),
        b"\x30\x0c\x02\x01\x01\x61\x07\x04\x01\x00\x04\x00\x04\x00".to_vec(),
        b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec(),
        b"\x30\x05\x02\x01\x01\x64\x00".to_vec(),
        // A bind that succeeds, then nonsense for the search.
        b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\x30\x05\x02\x01\x02\x64\x00".to_vec(),
    ];
    for answer in answers {
        let url = fake({
            let answer = answer.clone();
            move |_| answer.clone()
        });
        let result = login(&directory(&url, &[("ldap_timeout", "1")]), "bob", "planted-bob").await;
        let start: Vec<u8> = answer.iter().copied().take(16).collect();
        assert!(matches!(result, Err(Error::Misbehaved { .. } | Error::Timeout { .. })), "{start:x?}: {result:?}");
    }
}
