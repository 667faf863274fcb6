//! Logins with tokens, by the lines that docker-jitsi-meet's README has for them.

use auth::{Algorithm, NewToken, TokenUser};

use crate::client::Client;
use crate::server::{Server, stderr, teranga};

const SECRET: &str = "planted-secret-that-is-long-enough";

/// The lines of the README, and more.
pub(crate) fn jwt_env<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let lines =
        [("ENABLE_AUTH", "1"), ("AUTH_TYPE", "jwt"), ("JWT_APP_ID", "my_jitsi_app_id"), ("JWT_APP_SECRET", SECRET)];
    [lines.as_slice(), more].concat()
}

/// The sample payload of the README, in its time.
fn sample() -> NewToken {
    NewToken {
        issuer: "my_jitsi_app_id".to_owned(),
        audience: "my_web_client".to_owned(),
        room: "*".to_owned(),
        tenant: "meet.jitsi".to_owned(),
        user: TokenUser {
            id: Some("abcd:a1b2c3-d4e5f6-0abc1-23de-abcdef01fedcba".to_owned()),
            name: Some("John Doe".to_owned()),
            email: Some("jdoe@example.com".to_owned()),
            avatar: Some("https://gravatar.com/avatar/abc123".to_owned()),
        },
        expires: 4_000_000_000,
        ..NewToken::default()
    }
}

/// A token with that payload.
pub(crate) fn sample_token() -> String {
    signed(&sample())
}

fn signed(token: &NewToken) -> String {
    token.sign(Algorithm::HS256, SECRET.as_bytes()).unwrap()
}

fn refusal(server: &Server, token: Option<&str>) -> String {
    Client::with_token(&server.http, token).err().unwrap()
}

#[test]
fn s4_47_s4_48_s2_43_and_s2_47_a_token_of_the_application_lets_in_and_nothing_else_does() {
    let server = Server::start(&jwt_env(&[]));
    let mut john = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
    assert!(john.ask(None).unwrap().ready);
    let other_issuer = signed(&NewToken { issuer: "other".to_owned(), ..sample() });
    assert_eq!(refusal(&server, Some(&other_issuer)), "invalid 'iss' claim");
    let other_key = sample().sign(Algorithm::HS256, b"another secret that is long enough").unwrap();
    assert_eq!(refusal(&server, Some(&other_key)), "Invalid signature");
    let other_algorithm = sample().sign(Algorithm::HS512, SECRET.as_bytes()).unwrap();
    assert_eq!(refusal(&server, Some(&other_algorithm)), "Invalid or incorrect alg");
    let (header, rest) = other_key.split_once('.').unwrap();
    assert_eq!(refusal(&server, Some(&format!("{header}.e30.{rest}"))), "Invalid token");
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", rest.split('.').next().unwrap());
    assert_eq!(refusal(&server, Some(&unsigned)), "Invalid or incorrect alg");
    let late = signed(&NewToken { expires: 1, ..sample() });
    assert!(refusal(&server, Some(&late)).starts_with("Not acceptable by exp"));
    // s2_61: a slot that is still to come.
    let early = signed(&NewToken { not_before: Some(3_999_999_000), ..sample() });
    assert_eq!(refusal(&server, Some(&early)), "Not acceptable by nbf");
    assert_eq!(refusal(&server, None), "token required");
    // Each with a reason of its own in the journal.
    let log = server.log();
    for rule in ["iss", "signature", "alg", "malformed", "exp", "nbf", "token_required"] {
        assert!(log.contains(&format!("event=\"login_refused\" rule=\"{rule}\"")), "{rule}");
    }
    let of_other_room = signed(&NewToken { room: "other".to_owned(), ..sample() });
    let mut stranger = Client::with_token(&server.http, Some(&of_other_room)).unwrap();
    stranger.ask(None).unwrap();
    // s2_49
    assert_eq!(stranger.is_refused_by("demo@muc.meet.jitsi"), "Room does not match the room from token");
}

#[test]
fn s4_49_s4_50_and_s4_52_issuers_and_audiences_are_lists_and_empty_tokens_may_be_allowed() {
    let lines = [
        ("JWT_ACCEPTED_ISSUERS", "my_web_client,my_app_client"),
        ("JWT_ACCEPTED_AUDIENCES", "my_server1,my_server2"),
        ("JWT_ALLOW_EMPTY", "1"),
    ];
    let server = Server::start(&jwt_env(&lines));
    let of = |issuer: &str, audience: &str| {
        signed(&NewToken { issuer: issuer.to_owned(), audience: audience.to_owned(), ..sample() })
    };
    for issuer in ["my_web_client", "my_app_client"] {
        for audience in ["my_server1", "my_server2"] {
            assert!(Client::with_token(&server.http, Some(&of(issuer, audience))).is_ok(), "{issuer} {audience}");
        }
    }
    assert_eq!(refusal(&server, Some(&of("my_jitsi_app_id", "my_server1"))), "invalid 'iss' claim");
    assert_eq!(refusal(&server, Some(&of("my_web_client", "my_web_client"))), "invalid 'aud' claim");
    let mut host = Client::with_token(&server.http, Some(&of("my_web_client", "my_server1"))).unwrap();
    host.ask(None).unwrap();
    let in_room = host.join();
    host.wait_for_role(&in_room, "moderator");
    let mut guest = Client::with_token(&server.http, None).unwrap();
    guest.ask(None).unwrap();
    let guest_in_room = guest.join();
    host.wait_for_role(&guest_in_room, "participant");
}

#[test]
fn s4_55_name_picture_and_mail_of_the_sample_payload_are_shown_to_others() {
    let server = Server::start(&jwt_env(&[]));
    let mut first = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
    first.ask(None).unwrap();
    first.join();
    let mut second = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
    second.ask(None).unwrap();
    let occupant = second.join();
    let shown = first.sees(&occupant).to_string();
    for said in ["John Doe", "https://gravatar.com/avatar/abc123", "jdoe@example.com", "abcd:a1b2c3"] {
        assert!(shown.contains(said), "{said} is not in {shown}");
    }
}

#[test]
fn s2_50_s2_51_and_s2_56_tokens_say_who_moderates() {
    for more in [[("ENABLE_AUTO_OWNER", "0")], [("XMPP_MUC_MODULES", "token_moderation")]] {
        let server = Server::start(&jwt_env(&more));
        let mut participant = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
        participant.ask(None).unwrap();
        let first = participant.join();
        participant.wait_for_role(&first, "participant");
        let moderator = signed(&NewToken { is_moderator: true, ..sample() });
        let mut moderator = Client::with_token(&server.http, Some(&moderator)).unwrap();
        moderator.ask(None).unwrap();
        let second = moderator.join();
        // The first presence of him says so.
        let shown = participant.sees(&second).to_string();
        assert!(shown.contains("affiliation='owner'") && shown.contains("role='moderator'"), "{shown}");
        moderator.wait_for_role(&first, "participant");
    }
}

#[test]
fn s4_65_and_s2_52_modules_of_prosody_are_known_by_name() {
    let modules = "token_affiliation,token_owner_party,muc_max_occupants";
    let server = Server::start(&jwt_env(&[
        ("XMPP_MUC_MODULES", modules),
        ("MAX_PARTICIPANTS", "2"),
        ("ENABLE_AUTO_OWNER", "0"),
    ]));
    let mut guest = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
    guest.ask(None).unwrap();
    guest.is_refused_by("demo@muc.meet.jitsi");
    let owner = signed(&NewToken { is_moderator: true, ..sample() });
    let mut owner = Client::with_token(&server.http, Some(&owner)).unwrap();
    owner.ask(None).unwrap();
    owner.join();
    guest.join();
    // s2_54: so many and no more.
    let mut third = Client::with_token(&server.http, Some(&signed(&sample()))).unwrap();
    third.is_refused_by("demo@muc.meet.jitsi");
}

#[test]
fn s4_48_and_s4_31_a_server_without_a_key_or_with_an_unknown_way_to_log_in_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |env: &[(&str, &str)]| {
        let env = [env, &[("TERANGA_STATE_DIR", dir.path().to_str().unwrap())]].concat();
        let output = teranga(&["serve", "--address", "127.0.0.1", "--https-port", "0", "--http-port", "0"], &env, "");
        assert!(!output.status.success());
        let said = stderr(&output).to_owned();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let without = [("ENABLE_AUTH", "1"), ("AUTH_TYPE", "jwt"), ("JWT_APP_ID", "app"), ("JWT_APP_SECRET", "")];
    assert!(failed(&without).contains("JWT_APP_SECRET, JWT_ASAP_KEYSERVER"));
    let unknown = failed(&[("ENABLE_AUTH", "1"), ("AUTH_TYPE", "kerberos")]);
    assert!(unknown.contains("the variable AUTH_TYPE") && unknown.contains("internal, jwt, ldap"), "{unknown}");
}
