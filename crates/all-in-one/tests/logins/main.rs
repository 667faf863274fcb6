//! Who gets in, by the environment of docker-jitsi-meet and nothing else: real servers, real directories, clients over WebSocket.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test ends where its helpers fail")]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod operator;
mod server;
#[path = "../../../ldap/tests/slapd/mod.rs"]
mod slapd;
mod tokens;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use client::Client;
use server::{Server, stderr, stdout, teranga};
use slapd::{BASE, SERVICE_DN, SERVICE_PASSWORD, Slapd};

/// The lines of S0-31, and more.
fn ldap_env<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let lines = [
        ("ENABLE_AUTH", "1"),
        ("AUTH_TYPE", "ldap"),
        ("LDAP_AUTH_METHOD", "bind"),
        ("LDAP_URL", url),
        ("LDAP_BINDDN", SERVICE_DN),
        ("LDAP_BASE", BASE),
        ("LDAP_BINDPW", SERVICE_PASSWORD),
    ];
    [lines.as_slice(), more].concat()
}

#[test]
fn s0_31_s0_44_and_s4_33_the_lines_of_the_guide_let_users_of_the_directory_in_and_nobody_else() {
    let slapd = Slapd::plain();
    let url = slapd.url();
    let server = Server::start(&ldap_env(&url, &[]));
    let mut bob = Client::log_in(&server.http, "bob", "planted-bob").map_err(|e| panic!("{e}")).unwrap();
    let response = bob.ask(None).unwrap();
    assert_eq!(response.identity.as_deref(), Some("bob@meet.jitsi"));
    assert_eq!(response.properties.get("authentication").map(String::as_str), Some("true"));
    for (name, password) in [("bob", "planted-bo"), ("oumar", "planted-oumar"), ("nobody", "x"), ("*", "planted-bob")] {
        let refused = Client::log_in(&server.http, name, password).err();
        assert_eq!(refused.as_deref(), Some("not-authorized"), "{name}");
    }
    // An empty password is never sent to the directory.
    assert!(Client::log_in(&server.http, "bob", "").is_err());
    let stranger = Client::open(&server.http, "meet.jitsi").unwrap();
    assert!(stranger.offered.contains("PLAIN") && !stranger.offered.contains("ANONYMOUS"), "{}", stranger.offered);
    assert!(Client::open(&server.http, "guest.meet.jitsi").is_none());
    let config = server.get("/config.js");
    assert!(config.contains("authdomain") && !config.contains("anonymousdomain"), "{config}");
}

#[test]
fn s0_45_to_s0_47_s1_23_s4_30_s4_32_and_s4_63_guests_wait_for_a_host_and_users_moderate() {
    let slapd = Slapd::plain();
    let url = slapd.url();
    let server =
        Server::start(&ldap_env(&url, &[("ENABLE_GUESTS", "1"), ("LDAP_FILTER", "(|(uid=%u)(sAMAccountName=%u))")]));
    assert!(server.get("/config.js").contains("\"anonymousdomain\": \"guest.meet.jitsi\""));
    let mut guest = Client::guest(&server.http, "guest.meet.jitsi");
    assert_eq!(guest.ask(None).unwrap_err(), "not-authorized");
    assert!(server.rooms().is_empty(), "no room is created");
    let mut bob = Client::log_in(&server.http, "bob", "planted-bob").map_err(|e| panic!("{e}")).unwrap();
    bob.ask(None).unwrap();
    let bob_in_room = bob.join();
    // s0_06
    assert_eq!(server.rooms(), ["demo@muc.meet.jitsi 1"]);
    bob.wait_for_role(&bob_in_room, "moderator");
    // s0_46: the guest asks again by itself, and is in.
    assert_eq!(guest.ask(None).unwrap().session_id, None);
    let guest_in_room = guest.join();
    let mut ndeye = Client::log_in(&server.http, "ndeye", "planted-ndeye").map_err(|e| panic!("{e}")).unwrap();
    ndeye.ask(None).unwrap();
    let ndeye_in_room = ndeye.join();
    ndeye.wait_for_role(&ndeye_in_room, "moderator");
    bob.wait_for_role(&guest_in_room, "participant");
    for (client, occupant) in [(&mut ndeye, &ndeye_in_room), (&mut guest, &guest_in_room), (&mut bob, &bob_in_room)] {
        client.leave(occupant);
    }
    while !server.rooms().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_guest_becomes_a_host_by_the_dialog_of_the_stock_client() {
    let server = Server::start(&[("ENABLE_AUTH", "1"), ("ENABLE_GUESTS", "1")]);
    let added = server.command("prosodyctl", &["register", "alice", "meet.jitsi", "planted-alice"], "");
    assert!(added.status.success(), "{}", stderr(&added));
    let mut guest = Client::guest(&server.http, "guest.meet.jitsi");
    assert_eq!(guest.ask(None).unwrap_err(), "not-authorized");
    // The dialog logs in on a second stream, takes the session from there, and asks again on the first.
    let mut second = Client::log_in(&server.http, "alice", "planted-alice").map_err(|e| panic!("{e}")).unwrap();
    let session = second.ask(None).unwrap().session_id.unwrap();
    drop(second);
    assert_eq!(guest.ask(Some(&session)).unwrap().identity.as_deref(), Some("alice@meet.jitsi"));
    let in_room = guest.join();
    guest.wait_for_role(&in_room, "moderator");
    assert_eq!(guest.ask(Some("made-up")).unwrap_err(), "not-acceptable");
}

#[test]
fn s1_20_and_s1_25_to_s1_29_accounts_change_under_a_running_server() {
    let mut server = Server::start(&[("ENABLE_AUTH", "1"), ("AUTH_TYPE", "internal")]);
    let http = &server.http.clone();
    assert!(Client::log_in(http, "bob", "planted-1").is_err());
    let config = ["--config", "/config/prosody.cfg.lua"];
    // s4_34: the words of the handbook, with the password asked for twice.
    let added = server.command(
        "prosodyctl",
        &[&config[..], &["register", "bob@meet.jitsi"]].concat(),
        "planted-1\nplanted-1\n",
    );
    assert!(added.status.success(), "{}", stderr(&added));
    let mut bob = Client::log_in(http, "bob", "planted-1").map_err(|e| panic!("{e}")).unwrap();
    bob.ask(None).unwrap();
    let twice = server.command("prosodyctl", &["register", "bob", "meet.jitsi", "planted-2"], "");
    assert!(!twice.status.success() && stderr(&twice).contains("exists already"), "{}", stderr(&twice));
    assert!(stderr(&twice).contains("history"), "a password in the arguments is warned of: {}", stderr(&twice));
    let listed = server.command("prosodyctl", &["mod_listusers"], "");
    assert_eq!((stdout(&listed), listed.status.code()), ("bob@meet.jitsi\n", Some(0)));
    let listed = server.command("teranga", &["user", "list"], "");
    assert_eq!(stdout(&listed), "bob@meet.jitsi\n");
    assert!(server.command("prosodyctl", &["passwd", "bob"], "planted-3\nplanted-3\n").status.success());
    assert!(!server.command("prosodyctl", &["passwd", "bob"], "planted-4\nplanted-5\n").status.success());
    assert_eq!(Client::log_in(http, "bob", "planted-1").err().as_deref(), Some("not-authorized"));
    assert!(Client::log_in(http, "bob", "planted-3").is_ok());
    let status = server.command("prosodyctl", &["status"], "");
    assert!(status.status.success() && stdout(&status).contains("running with PID"), "{}", stdout(&status));
    assert!(server.command("prosodyctl", &["check"], "").status.success());
    assert!(server.command("prosodyctl", &["deluser", "bob@meet.jitsi"], "").status.success());
    assert!(bob.is_closed_by_server());
    assert!(Client::log_in(http, "bob", "planted-3").is_err());
    assert!(!server.command("prosodyctl", &["deluser", "bob@meet.jitsi"], "").status.success());
    server.kill();
    assert!(!server.command("prosodyctl", &["status"], "").status.success());
}

#[test]
fn s1_31_accounts_go_from_server_to_server() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |dir: &tempfile::TempDir| dir.path().to_str().unwrap().to_owned();
    let file = one.path().join("export.json");
    let run = |dir: &tempfile::TempDir, words: &[&str], input: &str| {
        teranga(&[&["user"][..], words].concat(), &[("TERANGA_STATE_DIR", &at(dir))], input)
    };
    assert!(run(&one, &["add", "alice"], "planted-alice\n").status.success());
    assert!(run(&one, &["export", file.to_str().unwrap()], "").status.success());
    let prosody = other.path().join("prosody/meet%2ejitsi/accounts");
    std::fs::create_dir_all(&prosody).unwrap();
    std::fs::write(prosody.join("bob.dat"), "return { [\"password\"] = \"planted-bob\"; };").unwrap();
    let imported = run(&other, &["import", file.to_str().unwrap()], "");
    assert_eq!(stdout(&imported), "1 accounts imported\n", "{}", stderr(&imported));
    let imported = run(&other, &["import", other.path().join("prosody").to_str().unwrap()], "");
    assert_eq!(stdout(&imported), "1 accounts imported\n", "{}", stderr(&imported));
    assert_eq!(stdout(&run(&other, &["list"], "")), "alice@meet.jitsi\nbob@meet.jitsi\n");
    for (name, password, expected) in
        [("alice", "planted-alice", true), ("bob", "planted-bob", true), ("bob", "planted-alice", false)]
    {
        let state = at(&other);
        let test = teranga(&["auth", "test", "-u", name], &[("TERANGA_STATE_DIR", &state)], &format!("{password}\n"));
        assert_eq!(test.status.success(), expected, "{name}: {}", stderr(&test));
    }
}

#[test]
fn s0_42_auth_test_answers_like_testsaslauthd() {
    let slapd = Slapd::plain();
    let url = slapd.url();
    let env = ldap_env(&url, &[]);
    let good = teranga(&["auth", "test", "-u", "bob"], &env, "planted-bob\n");
    assert_eq!((stdout(&good), good.status.code()), ("0: OK \"Success.\"\n", Some(0)), "{}", stderr(&good));
    for (user, password) in [("bob", "planted-alice\n"), ("nobody", "planted-bob\n"), ("bob", "\n")] {
        let bad = teranga(&["auth", "test", "-u", user], &env, password);
        assert_eq!((stdout(&bad), bad.status.code()), ("0: NO \"authentication failed\"\n", Some(1)), "{user}");
        assert!(!stderr(&bad).contains("planted"), "{}", stderr(&bad));
    }
    let dir = tempfile::tempdir().unwrap();
    let named = dir.path().join("testsaslauthd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_teranga"), &named).unwrap();
    let mut command = std::process::Command::new(named);
    let shown = command.args(["-u", "bob", "-p", "planted-bob", "-s", "xmpp"]).envs(env).output().unwrap();
    assert_eq!((stdout(&shown), shown.status.code()), ("0: OK \"Success.\"\n", Some(0)), "{}", stderr(&shown));
    // s0_43
    assert!(stderr(&shown).contains("history") && !stderr(&shown).contains("planted"), "{}", stderr(&shown));
}

#[test]
fn s0_30_ldap_search_counts_users_and_tells_four_faults_apart() {
    let slapd = Slapd::plain();
    let url = slapd.url();
    let found = teranga(&["ldap", "search"], &ldap_env(&url, &[]), "");
    assert!(stdout(&found).ends_with(&format!("4 users under {BASE}\n")), "{}{}", stdout(&found), stderr(&found));
    assert!(stdout(&found).contains("uid=bob,"), "{}", stdout(&found));
    let as_tls = url.replace("ldap:", "ldaps:");
    let faults = [
        (ldap_env(&url, &[("LDAP_BASE", "ou=nobody,dc=example,dc=sn")]), 3),
        (ldap_env(&url, &[("LDAP_BINDPW", "planted-wrong")]), 4),
        (ldap_env("ldap://no-such-host.invalid", &[]), 5),
        (ldap_env(&as_tls, &[]), 6),
    ];
    let mut said = Vec::new();
    for (env, code) in faults {
        let failed = teranga(&["ldap", "search"], &env, "");
        assert_eq!(failed.status.code(), Some(code), "{}", stderr(&failed));
        assert!(!stderr(&failed).contains("planted"), "{}", stderr(&failed));
        said.push(stderr(&failed).to_owned());
    }
    said.dedup();
    assert_eq!(said.len(), 4, "{said:?}");
}

#[test]
fn a_directory_that_is_slow_keeps_nobody_else_waiting() {
    let slapd = Slapd::plain();
    let slow = SlowDirectory::of(&slapd);
    let file = tempfile::NamedTempFile::new().unwrap();
    // However slow this machine is.
    std::fs::write(file.path(), "ldap_timeout: 25\n").unwrap();
    let conf = file.path().to_str().unwrap();
    let more = [("AUTH_TYPE", "jwt,ldap"), ("ENABLE_GUESTS", "1"), ("TERANGA_SASLAUTHD_CONF", conf)];
    let server = Server::start(&tokens::jwt_env(&[ldap_env(&slow.url, &more), more.to_vec()].concat()));
    let mut waiting: Vec<Client> = (0..50).map(|_| Client::open(&server.http, "meet.jitsi").unwrap()).collect();
    for client in &mut waiting {
        client.send_plain("bob", "planted-bob");
    }
    // The directory has been asked and says nothing yet; all these come in meanwhile.
    slow.wait_until_asked();
    for _ in 0..5 {
        let mut holder = Client::with_token(&server.http, Some(&tokens::sample_token())).unwrap();
        holder.ask(None).unwrap();
        let in_room = holder.join();
        holder.leave(&in_room);
        Client::guest(&server.http, "guest.meet.jitsi");
    }
    slow.answer();
    for client in waiting {
        assert!(client.finish().is_ok());
    }
}

/// A directory whose answers wait until they are let go.
struct SlowDirectory {
    url: String,
    /// Whether it was asked, and whether it answers.
    state: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

impl SlowDirectory {
    fn of(slapd: &Slapd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let state: Arc<(Mutex<(bool, bool)>, Condvar)> = Arc::default();
        let (shared, port) = (Arc::clone(&state), slapd.port);
        std::thread::spawn(move || {
            for asker in listener.incoming() {
                let (mut asker, mut directory) = (asker.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let (mut to_asker, mut from_directory) = (asker.try_clone().unwrap(), directory.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut asker, &mut directory));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut answer = [0; 4096];
                    while let Ok(length @ 1..) = from_directory.read(&mut answer) {
                        let (state, changed) = &*shared;
                        let mut state = state.lock().unwrap();
                        state.0 = true;
                        changed.notify_all();
                        drop(changed.wait_while(state, |(_, answers)| !*answers).unwrap());
                        let _ = to_asker.write_all(&answer[..length]);
                    }
                });
            }
        });
        Self { url, state }
    }

    fn wait_until_asked(&self) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |(is_asked, _)| !*is_asked).unwrap());
    }

    fn answer(&self) {
        let (state, changed) = &*self.state;
        state.lock().unwrap().1 = true;
        changed.notify_all();
    }
}
