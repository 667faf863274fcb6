//! Tokens against rules and keys: nothing is believed that the settings do not say.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::sync::LazyLock;
use std::time::Duration;

use auth::{
    Algorithm, InvalidKey, KeySet, MAX_TOKEN_BYTES, Token, TokenRefused, TokenRules, VerifyingKey, asap_file_name,
};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_assert_ne, prop_oneof, proptest};
use serde_json::{Value, json};

const NOW_S: u64 = 1_790_000_000;
const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Everything that signs.
struct Signers {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers {
    rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
    p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
    ed25519: Ed25519KeyPair::generate().unwrap(),
});

const SECRET: &[u8] = b"hush, this is long enough";

fn sign(algorithm: Algorithm, signed: &[u8], secret: &[u8]) -> Vec<u8> {
    let mac = |kind| hmac::sign(&hmac::Key::new(kind, secret), signed).as_ref().to_vec();
    let rsa = |encoding: &'static dyn signature::RsaEncoding| {
        let mut tag = vec![0; SIGNERS.rsa.public_modulus_len()];
        SIGNERS.rsa.sign(encoding, &SystemRandom::new(), signed, &mut tag).unwrap();
        tag
    };
    match algorithm {
        Algorithm::HS256 => mac(hmac::HMAC_SHA256),
        Algorithm::HS384 => mac(hmac::HMAC_SHA384),
        Algorithm::HS512 => mac(hmac::HMAC_SHA512),
        Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
        Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
        Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
        Algorithm::ES256 => SIGNERS.p256.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec(),
        Algorithm::ES384 => SIGNERS.p384.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec(),
        Algorithm::EdDSA => SIGNERS.ed25519.sign(signed).as_ref().to_vec(),
        other => panic!("no {other:?} here"),
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

/// The public key in PEM that belongs to an algorithm.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of algorithms is open-ended")]
fn public_pem(algorithm: Algorithm) -> String {
    let der = |key: PublicKeyX509Der<'_>| pem("PUBLIC KEY", key.as_ref());
    match algorithm {
        Algorithm::ES256 => der(SIGNERS.p256.public_key().as_der().unwrap()),
        Algorithm::ES384 => der(SIGNERS.p384.public_key().as_der().unwrap()),
        Algorithm::EdDSA => der(SIGNERS.ed25519.public_key().as_der().unwrap()),
        _ => der(SIGNERS.rsa.public_key().as_der().unwrap()),
    }
}

fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn key_of(algorithm: Algorithm) -> VerifyingKey {
    if is_symmetric(algorithm) {
        VerifyingKey::shared(SECRET).unwrap()
    } else {
        VerifyingKey::from_pem(&public_pem(algorithm)).unwrap()
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

fn token_with(header: &Value, payload: &Value, algorithm: Algorithm, secret: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let tag = sign(algorithm, signed.as_bytes(), secret);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn token(algorithm: Algorithm, payload: &Value) -> String {
    token_with(&json!({"alg": name(algorithm), "typ": "JWT", "kid": "k"}), payload, algorithm, SECRET)
}

fn payload() -> Value {
    json!({"iss": "app", "aud": "jitsi", "room": "demo", "exp": NOW_S + 60})
}

fn rules(algorithms: &[Algorithm]) -> TokenRules {
    TokenRules {
        algorithms: algorithms.to_vec(),
        issuers: vec!["app".to_owned()],
        audiences: vec!["*".to_owned()],
        leeway: Duration::ZERO,
        requires_expiry: false,
        requires_room: true,
        requires_tenant: false,
    }
}

fn verify(rules: &TokenRules, key: &VerifyingKey, token: &str) -> Result<Value, TokenRefused> {
    Token::parse(token).and_then(|token| rules.verify(key, token, NOW_S)).map(Value::Object)
}

/// The verdict of HS256 on a payload.
fn verdict(payload: &Value) -> Result<Value, TokenRefused> {
    verify(&rules(&[Algorithm::HS256]), &key_of(Algorithm::HS256), &token(Algorithm::HS256, payload))
}

#[test]
fn each_algorithm_is_taken_where_it_is_on_the_list_with_a_key_of_its_kind_only() {
    for algorithm in ALL {
        let token = token(algorithm, &payload());
        for key_algorithm in ALL {
            let key = key_of(key_algorithm);
            let is_of_kind = key.serves(algorithm);
            let expected = if is_of_kind { Ok(payload()) } else { Err(TokenRefused::WrongAlgorithm) };
            assert_eq!(verify(&rules(&ALL), &key, &token), expected, "{algorithm:?} with a key of {key_algorithm:?}");
            let others: Vec<_> = ALL.into_iter().filter(|other| *other != algorithm).collect();
            assert_eq!(verify(&rules(&others), &key, &token), Err(TokenRefused::WrongAlgorithm), "{algorithm:?}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    for public in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let pem = public_pem(public);
        let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), &der] {
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k"});
            let forged = token_with(&header, &payload(), Algorithm::HS256, secret);
            assert_eq!(verify(&rules(&ALL), &key_of(public), &forged), Err(TokenRefused::WrongAlgorithm));
            assert_eq!(Token::parse(&forged).unwrap().key_id(), Err(TokenRefused::KeyIdOfSecret));
        }
    }
}

#[test]
fn no_signature_is_no_algorithm() {
    let key = key_of(Algorithm::HS256);
    for alg in [json!("none"), json!("None"), json!("NONE"), json!(""), json!(null), json!(["HS256"]), json!("hs256")] {
        let signed = format!("{}.{}", encode(&json!({"alg": alg, "typ": "JWT"})), encode(&payload()));
        for token in [format!("{signed}."), format!("{signed}.AAAA")] {
            assert_eq!(verify(&rules(&ALL), &key, &token), Err(TokenRefused::WrongAlgorithm), "{alg}");
        }
    }
    let header = json!({"typ": "JWT"});
    let without = token_with(&header, &payload(), Algorithm::HS256, SECRET);
    assert_eq!(verify(&rules(&ALL), &key, &without), Err(TokenRefused::NoAlgorithm));
    let unsigned = token(Algorithm::HS256, &payload());
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(verify(&rules(&ALL), &key, &format!("{signed}.")), Err(TokenRefused::InvalidSignature));
}

#[test]
fn what_is_no_token_is_told_apart() {
    let encoded = encode(&json!({}));
    let table = [
        ("", TokenRefused::InvalidToken),
        ("a", TokenRefused::InvalidToken),
        ("a.b", TokenRefused::InvalidToken),
        ("..", TokenRefused::InvalidToken),
        ("a.b.c.d", TokenRefused::InvalidToken),
        ("a.b.c", TokenRefused::InvalidHeader),
    ];
    for (text, expected) in table {
        assert_eq!(Token::parse(text).map(|_| ()), Err(expected), "{text}");
    }
    assert_eq!(Token::parse(&format!("{encoded}.?.x")).map(|_| ()), Err(TokenRefused::InvalidBody));
    assert_eq!(Token::parse(&format!("{encoded}=.{encoded}.x")).map(|_| ()), Err(TokenRefused::InvalidHeader));
    let list = encode(&json!([1]));
    assert_eq!(Token::parse(&format!("{encoded}.{list}.x")).map(|_| ()), Err(TokenRefused::InvalidBody));
    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(Token::parse(&long).map(|_| ()), Err(TokenRefused::InvalidToken));
}

#[test]
fn a_claim_that_stands_twice_is_none() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    for twice in [
        r#"{"iss":"app","aud":"x","room":"a","room":"b"}"#,
        r#"{"iss":"app","aud":"x","room":"a","context":{"user":{"moderator":false,"moderator":true}}}"#,
    ] {
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(twice));
        let tag = URL_SAFE_NO_PAD.encode(sign(Algorithm::HS256, signed.as_bytes(), SECRET));
        let verdict = verify(&rules(&ALL), &key_of(Algorithm::HS256), &format!("{signed}.{tag}"));
        assert_eq!(verdict, Err(TokenRefused::InvalidBody));
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT","alg":"none"}"#);
    let token = format!("{header}.{}.", encode(&payload()));
    assert_eq!(Token::parse(&token).map(|_| ()), Err(TokenRefused::InvalidHeader));
}

#[test]
fn a_header_says_what_it_is_and_wants_nothing_unknown() {
    let key = key_of(Algorithm::HS256);
    for header in [
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "typ": "JWE"}),
        json!({"alg": "HS256", "typ": "JWT", "crit": ["b64"], "b64": false}),
    ] {
        let token = token_with(&header, &payload(), Algorithm::HS256, SECRET);
        assert_eq!(verify(&rules(&ALL), &key, &token), Err(TokenRefused::InvalidType), "{header}");
    }
}

#[test]
fn a_key_is_named_by_a_string_of_some_length() {
    let key_id = |header: Value| {
        let token = format!("{}.{}.x", encode(&header), encode(&json!({})));
        Token::parse(&token).and_then(|token| token.key_id().map(str::to_owned))
    };
    assert_eq!(key_id(json!({"alg": "RS256", "kid": "a"})).as_deref(), Ok("a"));
    assert_eq!(key_id(json!({"alg": "RS256"})), Err(TokenRefused::NoKeyId));
    assert_eq!(key_id(json!({"kid": "a"})), Err(TokenRefused::NoAlgorithm));
    assert_eq!(key_id(json!({"alg": "HS512", "kid": "a"})), Err(TokenRefused::KeyIdOfSecret));
    assert_eq!(key_id(json!({"alg": "RS256", "kid": 1})), Err(TokenRefused::UnknownKey));
    assert_eq!(key_id(json!({"alg": "RS256", "kid": "x".repeat(300)})), Err(TokenRefused::UnknownKey));
}

#[test]
fn time_has_edges() {
    let table = [
        (json!(NOW_S + 1), Ok(())),
        (json!(NOW_S), Err(TokenRefused::Expired { ago_s: 0 })),
        (json!(NOW_S - 7), Err(TokenRefused::Expired { ago_s: 7 })),
        (json!(NOW_S as f64 + 0.5), Ok(())),
        (json!(-1), Err(TokenRefused::Expired { ago_s: NOW_S + 1 })),
        (json!(1e300), Ok(())),
        (json!(-1e300), Err(TokenRefused::Expired { ago_s: u64::MAX })),
        (json!("1790000060"), Err(TokenRefused::ExpiryNoNumber)),
        (json!(null), Err(TokenRefused::ExpiryNoNumber)),
    ];
    for (exp, expected) in table {
        let mut claims = payload();
        claims["exp"] = exp.clone();
        assert_eq!(verdict(&claims).map(|_| ()), expected, "exp {exp}");
    }
    let table = [
        (json!(NOW_S), Ok(())),
        (json!(NOW_S + 1), Err(TokenRefused::NotYet)),
        (json!(1e300), Err(TokenRefused::NotYet)),
        (json!([]), Err(TokenRefused::NotBeforeNoNumber)),
    ];
    for (nbf, expected) in table {
        let mut claims = payload();
        claims["nbf"] = nbf.clone();
        assert_eq!(verdict(&claims).map(|_| ()), expected, "nbf {nbf}");
    }
}

#[test]
fn clocks_may_be_off_by_the_leeway() {
    let rules = TokenRules { leeway: Duration::from_secs(10), ..rules(&[Algorithm::HS256]) };
    let verdict = |exp: u64, nbf: u64| {
        let mut claims = payload();
        (claims["exp"], claims["nbf"]) = (json!(exp), json!(nbf));
        verify(&rules, &key_of(Algorithm::HS256), &token(Algorithm::HS256, &claims)).map(|_| ())
    };
    assert_eq!(verdict(NOW_S - 9, NOW_S + 10), Ok(()));
    assert_eq!(verdict(NOW_S - 10, NOW_S), Err(TokenRefused::Expired { ago_s: 10 }));
    assert_eq!(verdict(NOW_S, NOW_S + 11), Err(TokenRefused::NotYet));
}

#[test]
fn what_a_token_has_to_say_depends_on_the_rules() {
    let without = |claim: &str| {
        let mut claims = payload();
        claims.as_object_mut().unwrap().remove(claim);
        claims
    };
    assert_eq!(verdict(&without("exp")), Ok(without("exp")), "as in stock");
    let key = key_of(Algorithm::HS256);
    let token = |claims: &Value| token(Algorithm::HS256, claims);
    let strict = TokenRules { requires_expiry: true, requires_tenant: true, ..rules(&ALL) };
    assert_eq!(verify(&strict, &key, &token(&without("exp"))), Err(TokenRefused::NoExpiry));
    assert_eq!(verify(&strict, &key, &token(&payload())), Err(TokenRefused::NoTenant));
    assert_eq!(verdict(&without("room")), Err(TokenRefused::NoRoom));
    assert_eq!(verdict(&without("iss")), Err(TokenRefused::NoIssuer));
    assert_eq!(verdict(&without("aud")), Err(TokenRefused::NoAudience));
}

#[test]
fn parties_are_on_the_list() {
    let rules = TokenRules { audiences: vec!["jitsi".to_owned(), "chat".to_owned()], ..rules(&[Algorithm::HS256]) };
    let verdict = |iss: Value, aud: Value| {
        let mut claims = payload();
        (claims["iss"], claims["aud"]) = (iss, aud);
        verify(&rules, &key_of(Algorithm::HS256), &token(Algorithm::HS256, &claims)).map(|_| ())
    };
    assert_eq!(verdict(json!("app"), json!("chat")), Ok(()));
    assert_eq!(verdict(json!("app"), json!(["other", "jitsi"])), Ok(()));
    for aud in [json!("other"), json!([]), json!(["other"]), json!({"jitsi": 1}), json!(null), json!([["jitsi"]])] {
        assert_eq!(verdict(json!("app"), aud.clone()), Err(TokenRefused::WrongAudience), "{aud}");
    }
    for iss in [json!("other"), json!(["app"]), json!(null), json!("*"), json!("APP")] {
        assert_eq!(verdict(iss.clone(), json!("chat")), Err(TokenRefused::WrongIssuer), "{iss}");
    }
}

#[test]
fn keys_are_read_in_every_form_that_issuers_publish() {
    let certificate = rcgen::generate_simple_self_signed(vec!["issuer.example".to_owned()]).unwrap();
    assert!(VerifyingKey::from_pem(&certificate.cert.pem()).unwrap().serves(Algorithm::ES256));
    let pkcs1 = pem("RSA PUBLIC KEY", SIGNERS.rsa.public_key().as_ref());
    let key = VerifyingKey::from_pem(&pkcs1).unwrap();
    assert!(verify(&rules(&ALL), &key, &token(Algorithm::RS256, &payload())).is_ok());
    for (text, expected) in [
        ("", InvalidKey::NotPem),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", InvalidKey::NotPem),
        ("-----BEGIN PUBLIC KEY-----\n%\n-----END PUBLIC KEY-----", InvalidKey::NotPem),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", InvalidKey::NotPem),
    ] {
        assert_eq!(VerifyingKey::from_pem(text).map(|_| ()), Err(expected), "{text}");
    }
    let weak = pem("RSA PUBLIC KEY", &[&[0x30, 0x81, 0x84, 0x02, 0x81, 0x81, 0][..], &[1; 128]].concat());
    assert_eq!(VerifyingKey::from_pem(&weak).map(|_| ()), Err(InvalidKey::RsaSize));
    assert_eq!(VerifyingKey::shared(b"").map(|_| ()), Err(InvalidKey::Empty));
    assert!(!format!("{:?}", VerifyingKey::shared(SECRET).unwrap()).contains("hush"));
}

#[test]
fn a_key_set_has_keys_of_all_kinds_and_leaves_the_others_out() {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let rsa: rsa::PublicKey = rsa::PublicKey::from_der(SIGNERS.rsa.public_key().as_ref()).unwrap();
    let point = SIGNERS.p256.public_key().as_ref();
    let document = json!({"keys": [
        {"kid": "rsa", "kty": "RSA", "use": "sig", "alg": "RS256",
         "n": b64(rsa.modulus().big_endian_without_leading_zero()), "e": b64(rsa.exponent().big_endian_without_leading_zero())},
        {"kid": "ec", "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])},
        {"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": b64(SIGNERS.ed25519.public_key().as_ref())},
        {"kid": "secret", "kty": "oct", "k": b64(SECRET)},
        {"kid": "for encryption", "kty": "EC", "use": "enc", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])},
        {"kid": "confused", "kty": "RSA", "alg": "HS256", "n": b64(&[255; 256]), "e": "AQAB"},
        {"kid": "weak", "kty": "RSA", "n": b64(&[255; 64]), "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])},
        7,
    ]});
    let keys = KeySet::from_json(document.to_string().as_bytes()).unwrap();
    assert_eq!(keys.names().collect::<Vec<_>>(), ["ec", "ed", "rsa"]);
    for (name, algorithm) in [("rsa", Algorithm::RS256), ("ec", Algorithm::ES256), ("ed", Algorithm::EdDSA)] {
        let key = keys.get(name).unwrap();
        assert!(verify(&rules(&ALL), key, &token(algorithm, &payload())).is_ok(), "{name}");
    }
    let key = keys.get("rsa").unwrap();
    let other = token(Algorithm::PS256, &payload());
    assert_eq!(verify(&rules(&ALL), key, &other), Err(TokenRefused::WrongAlgorithm), "it is for RS256");
    let by_name = json!({"a": public_pem(Algorithm::RS256), "b": "no key"});
    let keys = KeySet::from_json(by_name.to_string().as_bytes()).unwrap();
    assert_eq!(keys.names().collect::<Vec<_>>(), ["a"]);
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    (0..ALL.len()).prop_map(|index| ALL[index])
}

/// Payloads, most of them wrong in some way.
fn any_payload() -> impl Strategy<Value = Value> {
    let claim = || {
        prop_oneof![
            Just(json!("app")),
            Just(json!("jitsi")),
            Just(json!("*")),
            Just(json!(null)),
            Just(json!(["jitsi", "app"])),
            any::<i64>().prop_map(|number| json!(number)),
            (NOW_S - 2..NOW_S + 3).prop_map(|number| json!(number)),
            ".{0,6}".prop_map(|text| json!(text)),
        ]
    };
    proptest::collection::btree_map("iss|aud|exp|nbf|room|sub", claim(), 0..6).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn nothing_is_taken_outside_the_settings(
        said in algorithm(),
        signed_by in algorithm(),
        listed in proptest::collection::vec(algorithm(), 0..4),
        checked_with in algorithm(),
        claims in any_payload(),
    ) {
        let header = json!({"alg": name(said), "typ": "JWT"});
        let token = token_with(&header, &claims, signed_by, SECRET);
        let rules = rules(&listed);
        if verify(&rules, &key_of(checked_with), &token).is_ok() {
            prop_assert_eq!(said, signed_by);
            prop_assert!(listed.contains(&said));
            prop_assert_eq!(is_symmetric(said), is_symmetric(checked_with));
            prop_assert_eq!(&claims["iss"], "app");
            prop_assert!(claims.get("room").is_some() && claims.get("aud").is_some());
            let time = |name: &str, default: f64| claims.get(name).map_or(Some(default), Value::as_f64);
            prop_assert!(time("exp", f64::MAX).unwrap() > NOW_S as f64 && time("nbf", 0.0).unwrap() <= NOW_S as f64);
        }
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_refused(at in 0..10_000_usize, bit in 0..6_u32, algorithm in algorithm()) {
        let token = token(algorithm, &payload());
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_ne!(&changed, &token);
        prop_assert!(verify(&rules(&ALL), &key_of(algorithm), &changed).is_err());
    }

    #[test]
    fn no_text_makes_it_fail(text in "[A-Za-z0-9._=-]{0,200}", raw in ".{0,50}") {
        prop_assert!(verify(&rules(&ALL), &key_of(Algorithm::HS256), &text).is_err());
        prop_assert!(verify(&rules(&ALL), &key_of(Algorithm::HS256), &raw).is_err());
        let _ = VerifyingKey::from_pem(&raw);
        let _ = KeySet::from_json(raw.as_bytes());
    }

    #[test]
    fn no_public_key_makes_it_fail(der in proptest::collection::vec(any::<u8>(), 0..80)) {
        for kind in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
            let _ = VerifyingKey::from_pem(&pem(kind, &der));
        }
    }

    #[test]
    fn no_name_of_a_key_leads_anywhere_but_to_its_own_file(kid in ".{0,60}|(\\.\\./|%2e|/|\\\\|\0|[?#]){0,20}", other in ".{0,20}") {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
        let token = format!("{}.{}.x", encode(&header), encode(&payload()));
        let token = Token::parse(&token).unwrap();
        let named = token.key_id().unwrap();
        prop_assert_eq!(named, kid.as_str());
        let file = asap_file_name(named);
        prop_assert_eq!(file.len(), 68);
        prop_assert!(file.strip_suffix(".pem").unwrap().chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)));
        prop_assert_eq!(asap_file_name(&other) == file, other == kid);
    }

    #[test]
    fn huge_claims_are_refused_before_they_are_read(count in 700..2000_usize) {
        let mut claims = payload();
        claims["context"]["features"] = (0..count).map(|index| (format!("feature-{index}"), json!(true))).collect();
        let token = token(Algorithm::HS256, &claims);
        prop_assert!(token.len() > MAX_TOKEN_BYTES);
        prop_assert_eq!(verify(&rules(&ALL), &key_of(Algorithm::HS256), &token), Err(TokenRefused::InvalidToken));
    }
}
