//! What an operator says about logins, tokens and moderators on the command line or in the environment. Where
//! docker-jitsi-meet has a name for it, that is the name here, with the same meaning; an empty value there means unset, here
//! too.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use auth::{Algorithm, Moderators, PatternLanguage, TokenRules, VerifyingKey};
use axum::http::Uri;
use clap::{ArgAction, ValueEnum};
use xmpp::{InvalidJid, Jid};

use crate::api_flags::{KeyFlag, named_keys};
use crate::jwt::{KeySource, SigningKeys, TokenSettings};
use crate::{AllOwners, Settings};

/// How long a meeting goes on after its last owner left where `token_owner_party` is asked for without saying so.
const WITHOUT_OWNER_FOR: Duration = Duration::from_secs(600);

/// To be flattened into the options of a binary. Everybody comes in and the first is moderator unless said otherwise.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct AuthFlags {
    /// It takes a login to open a room.
    #[arg(long, env = "ENABLE_AUTH", value_parser = switch)]
    pub enable_auth: bool,
    /// Guests may join, at a domain of their own, once somebody has opened the room.
    #[arg(long, env = "ENABLE_GUESTS", value_parser = switch)]
    pub enable_guests: bool,
    /// How people log in where it takes a login.
    #[arg(long, env = "AUTH_TYPE", default_value = "internal", value_name = "TYPE", value_parser = auth_type)]
    pub auth_type: AuthType,
    /// The same, for this service alone.
    #[arg(long, env = "PROSODY_AUTH_TYPE", value_name = "TYPE", value_parser = auth_type)]
    pub prosody_auth_type: Option<AuthType>,
    /// Domain of guests [default: guest below the XMPP domain].
    #[arg(long, env = "XMPP_GUEST_DOMAIN", value_name = "DOMAIN")]
    pub guest_domain: Option<String>,
    /// Who becomes moderator: the first who comes, everybody who logged in, whom a token names, or nobody [default: the
    /// first, or everybody who logged in where it takes a login].
    #[arg(long, env = "TERANGA_MODERATORS", value_name = "WHO")]
    pub moderators: Option<ModeratorsFlag>,
    /// Whether anybody becomes moderator without being named by a token.
    #[arg(long, env = "ENABLE_AUTO_OWNER", default_value = "true", action = ArgAction::Set, value_name = "BOOL", value_parser = auto_owner)]
    pub enable_auto_owner: AutoOwner,
    /// Wrong passwords and tokens that one address may try in a minute; 0 for no limit.
    #[arg(long, env = "TERANGA_FAILED_LOGINS", default_value_t = 20, value_name = "NUMBER")]
    pub failed_logins: u32,
    /// Module of Prosody whose rules are wanted: token_affiliation, token_moderation, token_owner_party, token_no_wildcard,
    /// token_lobby_bypass, token_lobby_autostart, lobby_autostart, muc_wait_for_host, muc_allowners; may be repeated.
    #[arg(long, env = "XMPP_MUC_MODULES", value_delimiter = ',', value_name = "MODULE")]
    pub muc_module: Vec<String>,
    /// Name of the application: the issuer of tokens that is believed unless others are named.
    #[arg(long, env = "JWT_APP_ID", value_name = "NAME")]
    pub jwt_app_id: Option<String>,
    /// Secret that tokens are signed with.
    #[arg(long, env = "JWT_APP_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_app_secret: Option<String>,
    /// Issuer of tokens that is believed, * is any; may be repeated.
    #[arg(long, env = "JWT_ACCEPTED_ISSUERS", value_delimiter = ',', value_name = "ISSUER")]
    pub jwt_accepted_issuer: Vec<String>,
    /// Audience that tokens are for, * is any; may be repeated [default: *].
    #[arg(long, env = "JWT_ACCEPTED_AUDIENCES", value_delimiter = ',', value_name = "AUDIENCE")]
    pub jwt_accepted_audience: Vec<String>,
    /// URL below which there is a public key in PEM for each name of one, as SHA256-OF-THE-NAME.pem.
    #[arg(long, env = "JWT_ASAP_KEYSERVER", value_name = "URL")]
    pub jwt_asap_keyserver: Option<String>,
    /// URL of a list of public keys: a JSON web key set, or PEM by name.
    #[arg(long, env = "JWT_CACHE_KEYS_URL", value_name = "URL")]
    pub jwt_cache_keys_url: Option<String>,
    /// File with a public key in PEM that tokens are signed with, by the name that they call it by; may be repeated.
    #[arg(long, env = "JWT_PUBLIC_KEYS", value_delimiter = ',', value_name = "KID=FILE")]
    pub jwt_public_key: Vec<KeyFlag>,
    /// Algorithm that tokens are signed by: HS256, HS384, HS512, RS256 to RS512, PS256 to PS512, ES256, ES384, EdDSA; may
    /// be repeated [default: HS256 with a secret, RS256 with public keys].
    #[arg(long, env = "JWT_SIGN_TYPE", value_delimiter = ',', value_name = "ALGORITHM")]
    pub jwt_sign_type: Vec<String>,
    /// Who has no token may log in as a guest.
    #[arg(long, env = "JWT_ALLOW_EMPTY", value_parser = switch)]
    pub jwt_allow_empty: bool,
    /// Module of Prosody that checks tokens at the login: token.
    #[arg(long, env = "JWT_AUTH_TYPE", default_value = "token", value_name = "MODULE")]
    pub jwt_auth_type: String,
    /// Module of Prosody that checks tokens at rooms: token_verification.
    #[arg(long, env = "JWT_TOKEN_AUTH_MODULE", default_value = "token_verification", value_name = "MODULE")]
    pub jwt_token_auth_module: String,
    /// A token is for the rooms of its tenant only.
    #[arg(long, env = "JWT_ENABLE_DOMAIN_VERIFICATION", value_parser = switch)]
    pub token_tenants: bool,
    /// Whether a token has to say for which room it is.
    #[arg(long, env = "JWT_REQUIRE_ROOM", default_value = "true", action = ArgAction::Set, value_name = "BOOL", value_parser = switch)]
    pub jwt_require_room: bool,
    /// Tokens have to say when they end.
    #[arg(long, env = "JWT_REQUIRE_EXPIRY", value_parser = switch)]
    pub jwt_require_expiry: bool,
    /// Seconds by which the clocks of issuers may be off.
    #[arg(long, env = "JWT_LEEWAY", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=3600))]
    pub jwt_leeway: u32,
    /// What room claims are written in that say they are patterns.
    #[arg(long, env = "JWT_ROOM_PATTERNS", default_value = "lua", value_name = "LANGUAGE")]
    pub jwt_room_patterns: PatternFlag,
    /// URL of a page that gives out tokens, with {room} for the room; clients are sent there.
    #[arg(long, env = "TOKEN_AUTH_URL", value_name = "URL")]
    pub token_auth_url: Option<String>,
    /// Whether clients are told where those log in who open rooms for guests.
    #[arg(long, env = "ENABLE_AUTH_DOMAIN", default_value = "true", action = ArgAction::Set, value_name = "BOOL", value_parser = switch)]
    pub enable_auth_domain: bool,
}

/// How people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthType {
    /// With accounts of this server.
    Internal,
    /// With tokens.
    Jwt,
    /// With accounts of a directory.
    Ldap,
}

/// Who becomes moderator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeratorsFlag {
    /// The first who comes, and whom a token names.
    First,
    /// Everybody who logged in.
    Authenticated,
    /// Whom a token names.
    Token,
    /// Nobody by himself.
    None,
}

/// Whether the focus makes owners by itself. Unset, in stock, means that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoOwner(pub bool);

/// What room claims are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PatternFlag {
    /// Lua patterns, as in stock.
    Lua,
    /// Regular expressions.
    Regex,
}

/// Why flags about logins do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthFlags {
    /// Tokens are wanted, and nothing to check them with.
    #[error("AUTH_TYPE=jwt wants JWT_APP_SECRET, JWT_ASAP_KEYSERVER, JWT_CACHE_KEYS_URL or JWT_PUBLIC_KEYS")]
    NoKeys,
    /// Tokens are wanted, and nobody is believed.
    #[error("AUTH_TYPE=jwt wants JWT_APP_ID or JWT_ACCEPTED_ISSUERS")]
    NoIssuer,
    /// No address of keys.
    #[error("{0} is no URL of the form https://host/path")]
    Url(String),
    /// No algorithm, or one that is not taken.
    #[error(
        "JWT_SIGN_TYPE={0} is none of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
    )]
    Algorithm(String),
    /// Algorithms of secrets with public keys, or the other way round.
    #[error("JWT_SIGN_TYPE={0} does not go with the keys that are given")]
    AlgorithmOfOtherKeys(String),
    /// A module whose rules are not known.
    #[error("{0} is not known (token and token_verification are)")]
    Module(String),
    /// No domain.
    #[error("XMPP_GUEST_DOMAIN is no domain")]
    GuestDomain(#[source] InvalidJid),
}

impl AuthFlags {
    /// Puts what was said into settings whose addresses and rooms are set.
    ///
    /// # Errors
    /// What does not go together.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), InvalidAuthFlags> {
        let uses_tokens = self.enable_auth && self.auth_type() == AuthType::Jwt;
        settings.anonymous_login = !self.enable_auth || uses_tokens;
        settings.limits.failed_logins = Some(self.failed_logins).filter(|limit| *limit > 0);
        if self.enable_auth && self.enable_guests {
            let usual = format!("guest.{}", settings.hosts.domain);
            let domain = said(self.guest_domain.as_deref()).unwrap_or(&usual);
            settings.hosts.guest = Some(Jid::new(None, domain, None).map_err(InvalidAuthFlags::GuestDomain)?);
        }
        let rules = &mut settings.conference;
        rules.moderators = self.moderators();
        rules.token_rooms.checks_tenant = self.token_tenants;
        rules.token_rooms.requires_room = self.jwt_require_room;
        rules.token_rooms.patterns = match self.jwt_room_patterns {
            PatternFlag::Lua => PatternLanguage::Lua,
            PatternFlag::Regex => PatternLanguage::Regex,
        };
        for module in self.muc_module.iter().map(|module| module.trim()).filter(|module| !module.is_empty()) {
            apply_module(module, settings);
        }
        settings.tokens = uses_tokens.then(|| self.tokens()).transpose()?;
        Ok(())
    }

    /// Who becomes moderator: what was said, else what stock's settings mean.
    #[must_use]
    pub fn moderators(&self) -> Moderators {
        let names = |module: &String| module.trim() == "token_moderation";
        match self.moderators {
            Some(ModeratorsFlag::First) => Moderators::First,
            Some(ModeratorsFlag::Authenticated) => Moderators::Authenticated,
            Some(ModeratorsFlag::Token) => Moderators::Token,
            Some(ModeratorsFlag::None) => Moderators::None,
            None if self.muc_module.iter().any(names) => Moderators::Token,
            None => Moderators::of_stock(self.enable_auth, self.enable_auto_owner.0),
        }
    }

    /// The domain that clients are told to log in at with a password, if there is one.
    #[must_use]
    pub fn auth_domain(&self, settings: &Settings) -> Option<String> {
        let is_told = self.enable_auth && self.enable_auth_domain && self.auth_type() != AuthType::Jwt;
        is_told.then(|| settings.hosts.domain.to_string())
    }

    /// How those log in who open rooms; `None` when everybody may.
    #[must_use]
    pub fn login_type(&self) -> Option<AuthType> {
        self.enable_auth.then(|| self.auth_type())
    }

    /// The page that gives out tokens.
    #[must_use]
    pub fn token_auth_url(&self) -> Option<&str> {
        said(self.token_auth_url.as_deref())
    }

    fn auth_type(&self) -> AuthType {
        self.prosody_auth_type.unwrap_or(self.auth_type)
    }

    fn tokens(&self) -> Result<TokenSettings, InvalidAuthFlags> {
        for (name, known) in [(&self.jwt_auth_type, "token"), (&self.jwt_token_auth_module, "token_verification")] {
            if !name.is_empty() && name != known {
                return Err(InvalidAuthFlags::Module(name.clone()));
            }
        }
        let secret =
            said(self.jwt_app_secret.as_deref()).and_then(|secret| VerifyingKey::shared(secret.as_bytes()).ok());
        let defaults = TokenRules::stock_algorithms(None);
        // Stock's order: a key server before a secret.
        let (source, defaults) = if let Some(url) = said(self.jwt_cache_keys_url.as_deref()) {
            (KeySource::KeySetAt(http_url(url)?), defaults)
        } else if let Some(url) = said(self.jwt_asap_keyserver.as_deref()) {
            (KeySource::KeyServer(http_url(url)?), defaults)
        } else if !self.jwt_public_key.is_empty() {
            (KeySource::Given(SigningKeys::Named(named_keys(&self.jwt_public_key))), defaults)
        } else {
            let secret = secret.ok_or(InvalidAuthFlags::NoKeys)?;
            let defaults = TokenRules::stock_algorithms(Some(&secret));
            (KeySource::Given(SigningKeys::One(Arc::new(secret))), defaults)
        };
        let app_id: Vec<String> = said(self.jwt_app_id.as_deref()).map(str::to_owned).into_iter().collect();
        let issuers = list(&self.jwt_accepted_issuer).unwrap_or(app_id);
        if issuers.is_empty() {
            return Err(InvalidAuthFlags::NoIssuer);
        }
        let rules = TokenRules {
            algorithms: self.algorithms(defaults)?,
            issuers,
            audiences: list(&self.jwt_accepted_audience).unwrap_or_else(|| vec!["*".to_owned()]),
            leeway: Duration::from_secs(self.jwt_leeway.into()),
            requires_expiry: self.jwt_require_expiry,
            requires_room: self.jwt_require_room,
            requires_tenant: self.token_tenants,
        };
        Ok(TokenSettings { source, rules, allow_empty: self.jwt_allow_empty })
    }

    /// The algorithms that are taken. All have to be for the kind of keys that there are.
    fn algorithms(&self, defaults: Vec<Algorithm>) -> Result<Vec<Algorithm>, InvalidAuthFlags> {
        let Some(names) = list(&self.jwt_sign_type) else { return Ok(defaults) };
        let is_symmetric =
            |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let wants_secret = defaults.iter().any(is_symmetric);
        let read = |name: String| match name.parse::<Algorithm>() {
            Ok(algorithm) if is_symmetric(&algorithm) == wants_secret => Ok(algorithm),
            Ok(_) => Err(InvalidAuthFlags::AlgorithmOfOtherKeys(name)),
            Err(_) => Err(InvalidAuthFlags::Algorithm(name)),
        };
        names.into_iter().map(read).collect()
    }
}

/// Switches on what a module of Prosody does (signaling.md §11).
fn apply_module(module: &str, settings: &mut Settings) {
    let rules = &mut settings.conference;
    match module {
        "token_affiliation" | "token_moderation" => rules.token_affiliation = true,
        "token_owner_party" => {
            rules.owners_come_first = true;
            rules.without_owner_for.get_or_insert(WITHOUT_OWNER_FOR);
        }
        "owner_restricted" => {
            rules.without_owner_for.get_or_insert(WITHOUT_OWNER_FOR);
        }
        "token_no_wildcard" => rules.token_rooms.allows_wildcard = false,
        "lobby_autostart" | "token_lobby_autostart" => rules.lobby.autostart = true,
        "muc_wait_for_host" | "wait_for_host" => rules.wait_for_host = true,
        "muc_allowners" => {
            rules.all_owners.get_or_insert_with(AllOwners::default);
        }
        // Always there.
        "token_lobby_bypass" | "token_verification" | "muc_max_occupants" | "presence_identity" => {}
        other => tracing::warn!(module = other, "no such module is built in: XMPP_MUC_MODULES does nothing for it"),
    }
}

/// A value that is not empty.
fn said(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

/// What a list says besides empty entries; `None` for nothing.
fn list(values: &[String]) -> Option<Vec<String>> {
    let said: Vec<String> = values.iter().filter_map(|value| said(Some(value)).map(str::to_owned)).collect();
    (!said.is_empty()).then_some(said)
}

fn http_url(text: &str) -> Result<Uri, InvalidAuthFlags> {
    let url = Uri::from_str(text).ok().filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    url.filter(|url| url.host().is_some_and(|host| !host.is_empty()))
        .ok_or_else(|| InvalidAuthFlags::Url(text.to_owned()))
}

/// A switch as docker-jitsi-meet reads them: what it does not know is off.
fn switch(text: &str) -> Result<bool, Infallible> {
    Ok(matches!(text.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t"))
}

fn auto_owner(text: &str) -> Result<AutoOwner, Infallible> {
    let is_unset = text.trim().is_empty();
    switch(text).map(|is_on| AutoOwner(is_on || is_unset))
}

fn auth_type(text: &str) -> Result<AuthType, String> {
    match text.trim() {
        "" => Ok(AuthType::Internal),
        name => AuthType::from_str(name, true).map_err(|_| "is none of internal, jwt, ldap".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Options {
        #[command(flatten)]
        flags: AuthFlags,
    }

    #[expect(clippy::unwrap_in_result, reason = "the words of a test are flags")]
    fn apply(words: &str) -> Result<Settings, InvalidAuthFlags> {
        let words = words.split_whitespace().map(|word| word.replace("''", ""));
        let options = Options::try_parse_from(std::iter::once("x".to_owned()).chain(words)).unwrap();
        let mut settings = Settings::default();
        options.flags.apply(&mut settings).map(|()| settings)
    }

    const JWT: &str = "--enable-auth --auth-type jwt --jwt-app-id app --jwt-app-secret hush";

    #[test]
    fn who_says_nothing_has_the_defaults() {
        let settings = apply("").unwrap();
        assert!(settings.tokens.is_none() && settings.anonymous_login && settings.hosts.guest.is_none());
        assert_eq!(format!("{:?}", settings.conference), format!("{:?}", crate::ConferenceSettings::default()));
        assert_eq!(settings.limits.failed_logins, Some(20));
    }

    #[test]
    fn values_that_are_empty_say_nothing() {
        let empty = "--jwt-app-id='' --jwt-app-secret='' --jwt-asap-keyserver='' --jwt-accepted-issuer='' \
             --jwt-sign-type='' --auth-type='' --enable-auto-owner='' --muc-module='' --guest-domain=''";
        let settings = apply(empty).unwrap();
        assert!(settings.tokens.is_none());
        assert_eq!(settings.conference.moderators, Moderators::First);
    }

    /// ENABLE_AUTH, ENABLE_GUESTS and AUTH_TYPE in all combinations: whether the clients' domain takes who has no account,
    /// whether there are tokens, and a domain of guests.
    #[test]
    fn the_modes_of_stock_are_there() {
        let mode = |words: &str| {
            let settings = apply(words).unwrap();
            (settings.anonymous_login, settings.tokens.is_some(), settings.hosts.guest.map(|guest| guest.to_string()))
        };
        let guest = Some("guest.meet.jitsi".to_owned());
        assert_eq!(
            mode("--auth-type jwt --jwt-app-id app --jwt-app-secret hush"),
            (true, false, None),
            "no ENABLE_AUTH"
        );
        assert_eq!(mode("--enable-guests"), (true, false, None), "guests of nobody");
        assert_eq!(mode("--enable-auth"), (false, false, None));
        assert_eq!(mode("--enable-auth --enable-guests"), (false, false, guest.clone()));
        assert_eq!(mode("--enable-auth --auth-type ldap --enable-guests"), (false, false, guest.clone()));
        assert_eq!(mode(JWT), (true, true, None));
        assert_eq!(mode(&format!("{JWT} --enable-guests")), (true, true, guest));
        let other = Some("visitors.example".to_owned());
        assert_eq!(mode(&format!("{JWT} --enable-guests --guest-domain visitors.example")), (true, true, other));
        assert_eq!(mode("--enable-auth --prosody-auth-type jwt --jwt-app-id a --jwt-app-secret b"), (true, true, None));
    }

    #[test]
    fn tokens_are_checked_by_what_was_said() {
        let tokens = apply(JWT).unwrap().tokens.unwrap();
        assert!(matches!(tokens.source, KeySource::Given(SigningKeys::One(_))) && !tokens.allow_empty);
        assert_eq!((tokens.rules.issuers, tokens.rules.audiences), (vec!["app".to_owned()], vec!["*".to_owned()]));
        assert_eq!(tokens.rules.algorithms, [Algorithm::HS256]);
        let more = "--jwt-accepted-issuer a,b --jwt-accepted-audience c --jwt-allow-empty --jwt-sign-type HS384,HS512 \
             --token-tenants --jwt-leeway 3 --jwt-require-expiry --jwt-require-room false";
        let tokens = apply(&format!("{JWT} {more}")).unwrap().tokens.unwrap();
        assert_eq!((tokens.rules.issuers.join(" "), tokens.rules.audiences.join(" ")), ("a b".into(), "c".into()));
        assert_eq!(tokens.rules.algorithms, [Algorithm::HS384, Algorithm::HS512]);
        assert_eq!(tokens.rules.leeway, Duration::from_secs(3));
        assert!(tokens.allow_empty && tokens.rules.requires_tenant && tokens.rules.requires_expiry);
        assert!(!tokens.rules.requires_room);
    }

    #[test]
    fn keys_that_others_publish_come_before_the_secret() {
        let source = |words: &str| apply(&format!("{JWT} {words}")).unwrap().tokens.unwrap();
        let server = source("--jwt-asap-keyserver https://keys.example/a");
        assert!(matches!(server.source, KeySource::KeyServer(url) if url == "https://keys.example/a"));
        assert_eq!(server.rules.algorithms, [Algorithm::RS256]);
        let list = source("--jwt-cache-keys-url http://keys.example --jwt-sign-type ES256,EdDSA");
        assert!(matches!(list.source, KeySource::KeySetAt(_)));
        assert_eq!(list.rules.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let jwt = "--enable-auth --auth-type jwt";
        assert_eq!(apply(jwt).unwrap_err(), InvalidAuthFlags::NoKeys);
        assert_eq!(apply(&format!("{jwt} --jwt-app-secret hush")).unwrap_err(), InvalidAuthFlags::NoIssuer);
        let with = |words: &str| apply(&format!("{JWT} {words}")).unwrap_err();
        assert_eq!(with("--jwt-sign-type none"), InvalidAuthFlags::Algorithm("none".to_owned()));
        assert_eq!(with("--jwt-sign-type RS256"), InvalidAuthFlags::AlgorithmOfOtherKeys("RS256".to_owned()));
        let confused = "--jwt-asap-keyserver https://k.example --jwt-sign-type RS256,HS256";
        assert_eq!(with(confused), InvalidAuthFlags::AlgorithmOfOtherKeys("HS256".to_owned()), "a secret in public");
        for url in ["keys.example", "ftp://keys.example", "https:///x"] {
            assert_eq!(with(&format!("--jwt-asap-keyserver {url}")), InvalidAuthFlags::Url(url.to_owned()));
        }
        assert_eq!(with("--jwt-auth-type other"), InvalidAuthFlags::Module("other".to_owned()));
        let unknown = Options::try_parse_from(["x", "--auth-type", "magic"]).unwrap_err().to_string();
        assert!(unknown.contains("internal, jwt, ldap"), "{unknown}");
    }

    #[test]
    fn moderators_are_said_or_follow_from_stock_settings() {
        let moderators = |words: &str| apply(words).unwrap().conference.moderators;
        assert_eq!(moderators("--enable-auto-owner 0"), Moderators::Token);
        assert_eq!(moderators(JWT), Moderators::Authenticated);
        assert_eq!(moderators(&format!("{JWT} --enable-auto-owner false")), Moderators::Token);
        assert_eq!(moderators(&format!("{JWT} --moderators none")), Moderators::None);
        assert_eq!(moderators("--muc-module token_moderation"), Moderators::Token);
    }

    #[test]
    fn modules_of_prosody_stand_for_rules() {
        let modules = "--muc-module token_affiliation,token_owner_party,muc_max_occupants,token_no_wildcard";
        let rules = apply(modules).unwrap().conference;
        assert!(rules.token_affiliation && rules.owners_come_first && !rules.token_rooms.allows_wildcard);
        assert_eq!(rules.without_owner_for, Some(WITHOUT_OWNER_FOR));
        let rules = apply("--muc-module lobby_autostart,muc_wait_for_host,muc_allowners,nonsense").unwrap().conference;
        assert!(rules.lobby.autostart && rules.wait_for_host && rules.all_owners.is_some());
    }
}
