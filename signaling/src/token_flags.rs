//! What an operator says about tokens on the command line or in the environment, under the names of docker-jitsi-meet.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use auth::{Algorithm, PatternLanguage, TokenRules, VerifyingKey};
use axum::http::Uri;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, ValueEnum};

use crate::api_flags::{KeyFlag, named_keys};
use crate::jwt::{KeySource, SigningKeys, TokenSettings};
use crate::{Secret, Settings, TokenIssuer};

/// Tokens.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct TokenFlags {
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
    #[arg(long, env = "JWT_ALLOW_EMPTY", value_parser = BoolishValueParser::new())]
    pub jwt_allow_empty: bool,
    /// Module of Prosody that checks tokens at the login: token.
    #[arg(long, env = "JWT_AUTH_TYPE", default_value = "token", value_name = "MODULE")]
    pub jwt_auth_type: String,
    /// Module of Prosody that checks tokens at rooms: token_verification.
    #[arg(long, env = "JWT_TOKEN_AUTH_MODULE", default_value = "token_verification", value_name = "MODULE")]
    pub jwt_token_auth_module: String,
    /// A token is for the rooms of its tenant only.
    #[arg(long, env = "JWT_ENABLE_DOMAIN_VERIFICATION", value_parser = BoolishValueParser::new())]
    pub token_tenants: bool,
    /// Whether a token has to say for which room it is.
    #[arg(long, env = "JWT_REQUIRE_ROOM", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub jwt_require_room: bool,
    /// Tokens have to say when they end.
    #[arg(long, env = "JWT_REQUIRE_EXPIRY", value_parser = BoolishValueParser::new())]
    pub jwt_require_expiry: bool,
    /// Seconds by which the clocks of issuers may be off.
    #[arg(long, env = "JWT_LEEWAY", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=3600))]
    pub jwt_leeway: u32,
    /// What room claims are written in that say they are patterns.
    #[arg(long, env = "JWT_ROOM_PATTERNS", default_value = "lua", value_name = "LANGUAGE")]
    pub jwt_room_patterns: PatternFlag,
}

/// What room claims are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PatternFlag {
    /// Lua patterns, as in stock.
    Lua,
    /// Regular expressions.
    Regex,
}

/// Why flags about tokens do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTokenFlags {
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
}

impl TokenFlags {
    /// Puts what was said about rooms into settings.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        let rules = &mut settings.conference.token_rooms;
        rules.checks_tenant = self.token_tenants;
        rules.requires_room = self.jwt_require_room;
        rules.patterns = match self.jwt_room_patterns {
            PatternFlag::Lua => PatternLanguage::Lua,
            PatternFlag::Regex => PatternLanguage::Regex,
        };
    }

    /// How clients log in with tokens.
    ///
    /// # Errors
    /// What does not go together.
    pub fn tokens(&self) -> Result<TokenSettings, InvalidTokenFlags> {
        for (name, known) in [(&self.jwt_auth_type, "token"), (&self.jwt_token_auth_module, "token_verification")] {
            if name != known {
                return Err(InvalidTokenFlags::Module(name.clone()));
            }
        }
        let secret = self.jwt_app_secret.as_deref().and_then(|secret| VerifyingKey::shared(secret.as_bytes()).ok());
        let defaults = TokenRules::stock_algorithms(None);
        // Stock's order: a key server before a secret.
        let (source, defaults) = if let Some(url) = &self.jwt_cache_keys_url {
            (KeySource::KeySetAt(http_url(url)?), defaults)
        } else if let Some(url) = &self.jwt_asap_keyserver {
            (KeySource::KeyServer(http_url(url)?), defaults)
        } else if !self.jwt_public_key.is_empty() {
            (KeySource::Given(SigningKeys::Named(named_keys(&self.jwt_public_key))), defaults)
        } else {
            let secret = secret.ok_or(InvalidTokenFlags::NoKeys)?;
            let defaults = TokenRules::stock_algorithms(Some(&secret));
            (KeySource::Given(SigningKeys::One(Arc::new(secret))), defaults)
        };
        let issuers = list(&self.jwt_accepted_issuer).unwrap_or_else(|| self.jwt_app_id.iter().cloned().collect());
        if issuers.is_empty() {
            return Err(InvalidTokenFlags::NoIssuer);
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

    /// What tokens can be given out as, where they are checked by a secret.
    pub(crate) fn issuer(&self, public_url: Option<&str>) -> Option<TokenIssuer> {
        let TokenSettings { source: KeySource::Given(SigningKeys::One(_)), rules, .. } = self.tokens().ok()? else {
            return None;
        };
        let believes = |name: &str| rules.issuers.iter().any(|issuer| issuer == name || issuer == "*");
        let app_id = self.jwt_app_id.clone().filter(|app_id| believes(app_id));
        Some(TokenIssuer {
            issuer: app_id.or_else(|| rules.issuers.first().cloned().filter(|name| name != "*"))?,
            audience: rules.audiences.first().cloned().filter(|name| name != "*"),
            secret: Secret::new(self.jwt_app_secret.as_deref()?)?,
            algorithm: rules.algorithms.first().copied()?,
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
        })
    }

    /// The algorithms that are taken. All have to be for the kind of keys that there are.
    fn algorithms(&self, defaults: Vec<Algorithm>) -> Result<Vec<Algorithm>, InvalidTokenFlags> {
        let Some(names) = list(&self.jwt_sign_type) else { return Ok(defaults) };
        let is_symmetric =
            |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let wants_secret = defaults.iter().any(is_symmetric);
        let read = |name: String| match name.parse::<Algorithm>() {
            Ok(algorithm) if is_symmetric(&algorithm) == wants_secret => Ok(algorithm),
            Ok(_) => Err(InvalidTokenFlags::AlgorithmOfOtherKeys(name)),
            Err(_) => Err(InvalidTokenFlags::Algorithm(name)),
        };
        names.into_iter().map(read).collect()
    }
}

/// What a list says besides empty entries; `None` for nothing.
fn list(values: &[String]) -> Option<Vec<String>> {
    let said = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).map(str::to_owned);
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then_some(said)
}

fn http_url(text: &str) -> Result<Uri, InvalidTokenFlags> {
    let url = Uri::from_str(text).ok().filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    url.filter(|url| url.host().is_some_and(|host| !host.is_empty()))
        .ok_or_else(|| InvalidTokenFlags::Url(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<TokenFlags>;

    #[expect(clippy::unwrap_in_result, reason = "the words of a test are flags")]
    fn tokens(words: &str) -> Result<TokenSettings, InvalidTokenFlags> {
        let options = Options::try_parse_from(std::iter::once("x").chain(words.split_whitespace())).unwrap();
        options.flags.tokens()
    }

    const JWT: &str = "--jwt-app-id app --jwt-app-secret hush";

    #[test]
    fn tokens_are_checked_by_what_was_said() {
        let given = tokens(JWT).unwrap();
        assert!(matches!(given.source, KeySource::Given(SigningKeys::One(_))) && !given.allow_empty);
        assert_eq!((given.rules.issuers, given.rules.audiences), (vec!["app".to_owned()], vec!["*".to_owned()]));
        assert_eq!(given.rules.algorithms, [Algorithm::HS256]);
        let more = "--jwt-accepted-issuer a,b --jwt-accepted-audience c --jwt-allow-empty --jwt-sign-type HS384,HS512 \
             --token-tenants --jwt-leeway 3 --jwt-require-expiry --jwt-require-room false";
        let given = tokens(&format!("{JWT} {more}")).unwrap();
        assert_eq!((given.rules.issuers.join(" "), given.rules.audiences.join(" ")), ("a b".into(), "c".into()));
        assert_eq!(given.rules.algorithms, [Algorithm::HS384, Algorithm::HS512]);
        assert_eq!(given.rules.leeway, Duration::from_secs(3));
        assert!(given.allow_empty && given.rules.requires_tenant && given.rules.requires_expiry);
        assert!(!given.rules.requires_room);
    }

    #[test]
    fn keys_that_others_publish_come_before_the_secret() {
        let source = |words: &str| tokens(&format!("{JWT} {words}")).unwrap();
        let server = source("--jwt-asap-keyserver https://keys.example/a");
        assert!(matches!(server.source, KeySource::KeyServer(url) if url == "https://keys.example/a"));
        assert_eq!(server.rules.algorithms, [Algorithm::RS256]);
        let list = source("--jwt-cache-keys-url http://keys.example --jwt-sign-type ES256,EdDSA");
        assert!(matches!(list.source, KeySource::KeySetAt(_)));
        assert_eq!(list.rules.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert_eq!(tokens("").unwrap_err(), InvalidTokenFlags::NoKeys);
        assert_eq!(tokens("--jwt-app-secret hush").unwrap_err(), InvalidTokenFlags::NoIssuer);
        let with = |words: &str| tokens(&format!("{JWT} {words}")).unwrap_err();
        assert_eq!(with("--jwt-sign-type none"), InvalidTokenFlags::Algorithm("none".to_owned()));
        assert_eq!(with("--jwt-sign-type RS256"), InvalidTokenFlags::AlgorithmOfOtherKeys("RS256".to_owned()));
        let confused = "--jwt-asap-keyserver https://k.example --jwt-sign-type RS256,HS256";
        assert_eq!(with(confused), InvalidTokenFlags::AlgorithmOfOtherKeys("HS256".to_owned()), "a secret in public");
        for url in ["keys.example", "ftp://keys.example", "https:///x"] {
            assert_eq!(with(&format!("--jwt-asap-keyserver {url}")), InvalidTokenFlags::Url(url.to_owned()));
        }
        assert_eq!(with("--jwt-auth-type other"), InvalidTokenFlags::Module("other".to_owned()));
    }
}
