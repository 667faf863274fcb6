//! What an operator says about HTTP for other systems (`ApiSettings`) on the command line or in the environment.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;

use auth::{KeySet, TokenRules, VerifyingKey};

use crate::{ApiSettings, SigningKeys, StatisticsAccess, TokenIssuer, TokenKeys};

/// To be flattened into the options of a binary. Everything is off unless said otherwise.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiFlags {
    /// Who is told what rooms there are and who is in them, at /room-size, /room, /sessions and /room-census; nobody when
    /// left out.
    #[arg(long, env = "TERANGA_API_STATISTICS", value_name = "WHO")]
    pub api_statistics: Option<StatisticsFlag>,
    /// Everybody who asks gets credentials for TURN, at /turn-credentials.
    #[arg(long, env = "TERANGA_API_TURN_CREDENTIALS", value_parser = BoolishValueParser::new())]
    pub api_turn_credentials: bool,
    /// Secret of tokens (HS256) that users show at /room-info, and of those that --api-statistics token-holders wants.
    #[arg(
        long,
        env = "TERANGA_API_LOGIN_SECRET",
        hide_env_values = true,
        requires = "api_login_issuer",
        value_name = "SECRET"
    )]
    pub api_login_secret: Option<String>,
    /// File with the public key in PEM of such tokens (RS256), by the name that they call it by; may be repeated.
    #[arg(
        long,
        env = "TERANGA_API_LOGIN_KEYS",
        value_delimiter = ',',
        requires = "api_login_issuer",
        conflicts_with = "api_login_secret",
        value_name = "KID=FILE"
    )]
    pub api_login_key: Vec<KeyFlag>,
    /// Issuer of such tokens that is believed, * is any; may be repeated.
    #[arg(long, env = "TERANGA_API_LOGIN_ISSUERS", value_delimiter = ',', value_name = "ISSUER")]
    pub api_login_issuer: Vec<String>,
    /// Audience that such tokens are for, * is any; may be repeated.
    #[arg(
        long,
        env = "TERANGA_API_LOGIN_AUDIENCES",
        value_delimiter = ',',
        default_value = "*",
        value_name = "AUDIENCE"
    )]
    pub api_login_audience: Vec<String>,
    /// Secret of tokens (HS256) that other systems show at /end-meeting, /kick-participant, /send-system-chat-message,
    /// /invite-jigasi and /token.
    #[arg(
        long,
        env = "TERANGA_API_SYSTEM_SECRET",
        hide_env_values = true,
        requires = "api_system_issuer",
        value_name = "SECRET"
    )]
    pub api_system_secret: Option<String>,
    /// File with the public key in PEM of such tokens (RS256), by the name that they call it by; may be repeated.
    #[arg(
        long,
        env = "TERANGA_API_SYSTEM_KEYS",
        value_delimiter = ',',
        requires = "api_system_issuer",
        conflicts_with = "api_system_secret",
        value_name = "KID=FILE"
    )]
    pub api_system_key: Vec<KeyFlag>,
    /// Issuer of such tokens that is believed, * is any; may be repeated.
    #[arg(long, env = "TERANGA_API_SYSTEM_ISSUERS", value_delimiter = ',', value_name = "ISSUER")]
    pub api_system_issuer: Vec<String>,
    /// Audience that such tokens are for, * is any; may be repeated.
    #[arg(
        long,
        env = "TERANGA_API_SYSTEM_AUDIENCES",
        value_delimiter = ',',
        default_value = "*",
        value_name = "AUDIENCE"
    )]
    pub api_system_audience: Vec<String>,
    /// Systems that show such a token get tokens of users at /token, signed with JWT_APP_SECRET.
    #[arg(long, env = "TERANGA_API_TOKENS", value_parser = BoolishValueParser::new())]
    pub api_tokens: bool,
}

/// Who is told about rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatisticsFlag {
    /// Whoever asks.
    Everybody,
    /// Who has a token for the room.
    TokenHolders,
}

/// `KID=FILE` of a public key.
#[derive(Clone, Debug)]
pub struct KeyFlag {
    pub(crate) id: String,
    pub(crate) key: VerifyingKey,
}

impl FromStr for KeyFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, pem) = named_file(text)?;
        let key = VerifyingKey::from_pem(&pem).map_err(|error| format!("the key {id} {error}"))?;
        Ok(Self { id: id.to_owned(), key })
    }
}

/// The name and the content of the file in `KID=FILE`.
pub(crate) fn named_file(text: &str) -> Result<(&str, String), String> {
    let (id, file) = text.split_once('=').ok_or("is not of the form KID=FILE")?;
    let content = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    Ok((id, content))
}

impl ApiFlags {
    /// The settings that were said. `issuer` is who gives out tokens, if anybody can.
    #[must_use]
    pub fn to_settings(&self, issuer: Option<TokenIssuer>) -> ApiSettings {
        ApiSettings {
            tokens: issuer.filter(|_| self.api_tokens),
            statistics: self.api_statistics.map(|who| match who {
                StatisticsFlag::Everybody => StatisticsAccess::Everybody,
                StatisticsFlag::TokenHolders => StatisticsAccess::TokenHolders,
            }),
            turn_credentials: self.api_turn_credentials,
            login_keys: token_keys(
                self.api_login_secret.as_deref(),
                &self.api_login_key,
                &self.api_login_issuer,
                &self.api_login_audience,
            ),
            system_keys: token_keys(
                self.api_system_secret.as_deref(),
                &self.api_system_key,
                &self.api_system_issuer,
                &self.api_system_audience,
            ),
        }
    }
}

fn token_keys(secret: Option<&str>, keys: &[KeyFlag], issuers: &[String], audiences: &[String]) -> Option<TokenKeys> {
    let secret = secret.and_then(|secret| VerifyingKey::shared(secret.as_bytes()).ok());
    let algorithms = TokenRules::stock_algorithms(secret.as_ref());
    let keys = match secret {
        Some(secret) => SigningKeys::One(Arc::new(secret)),
        None if keys.is_empty() => return None,
        None => SigningKeys::Named(named_keys(keys)),
    };
    let rules = TokenRules {
        algorithms,
        issuers: issuers.to_vec(),
        audiences: audiences.to_vec(),
        leeway: Duration::ZERO,
        // Such tokens open every room: none is believed for ever.
        requires_expiry: true,
        requires_room: false,
        requires_tenant: false,
    };
    Some(TokenKeys { keys, rules })
}

/// The keys of flags, by their names.
pub(crate) fn named_keys(flags: &[KeyFlag]) -> KeySet {
    let mut keys = KeySet::default();
    for KeyFlag { id, key } in flags {
        keys.insert(id.as_str(), key.clone());
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<ApiFlags>;

    fn parse(words: &str) -> Result<ApiSettings, clap::Error> {
        Options::try_parse_from(words.split_whitespace()).map(|options| options.flags.to_settings(None))
    }

    #[test]
    fn everything_is_off_unless_asked_for() {
        let settings = parse("x").unwrap();
        assert!(settings.statistics.is_none() && !settings.turn_credentials);
        assert!(settings.login_keys.is_none() && settings.system_keys.is_none());
    }

    #[test]
    fn tokens_are_checked_with_a_secret_or_with_keys_of_a_known_issuer() {
        let settings =
            parse("x --api-system-secret hush --api-system-issuer me --api-statistics token-holders").unwrap();
        assert_eq!(settings.statistics, Some(StatisticsAccess::TokenHolders));
        let keys = settings.system_keys.unwrap();
        assert!(matches!(keys.keys, SigningKeys::One(_)));
        assert_eq!((keys.rules.issuers, keys.rules.audiences), (vec!["me".to_owned()], vec!["*".to_owned()]));
        assert!(settings.login_keys.is_none());
        assert!(parse("x --api-login-secret hush").is_err(), "no issuer is believed");

        let mut file = tempfile::NamedTempFile::new().unwrap();
        let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        file.write_all(format!("-----BEGIN PUBLIC KEY-----\n{ed25519}\n-----END PUBLIC KEY-----\n").as_bytes())
            .unwrap();
        let path = file.path().display();
        let settings = parse(&format!("x --api-login-key a={path},b={path} --api-login-issuer me")).unwrap();
        let Some(TokenKeys { keys: SigningKeys::Named(keys), .. }) = settings.login_keys else { panic!("no keys") };
        assert_eq!(keys.names().collect::<Vec<_>>(), ["a", "b"]);
        for bad in ["a", "a=/nowhere"] {
            assert!(parse(&format!("x --api-login-key {bad} --api-login-issuer me")).is_err(), "{bad}");
        }
    }
}
