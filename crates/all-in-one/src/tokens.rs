//! `teranga token`: links that let somebody into a room, signed with the secret that the server checks tokens by.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use auth::{Algorithm, TokenUser};
use clap::{Args, Subcommand};
use signaling::{Secret, TokenIssuer, TokenRequest};

use crate::cli::parse_public_url;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a link that opens a room, or without --public-url the token for it.
    Create(CreateFlags),
}

#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    /// The room that it opens; * for every one.
    #[arg(long, value_name = "NAME")]
    room: String,
    /// The name that others see.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The mail address of the user.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The id of the user where he comes from.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The group of the user.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The user moderates the room.
    #[arg(long)]
    moderator: bool,
    /// What the user may do or, with =false, may not, whatever his role: recording, livestreaming, outbound-call, …; may be repeated.
    #[arg(long, value_name = "NAME[=false]", value_parser = feature)]
    feature: Vec<(String, bool)>,
    /// Tenant of the room, which stands before it in the link.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How long it is good.
    #[arg(long, default_value = "1 day", value_parser = humantime::parse_duration, value_name = "TIME")]
    exp: Duration,
    /// In how long it begins to be good.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    nbf: Option<Duration>,
    /// Who gives it out: the server has to believe this issuer.
    #[arg(long, env = "JWT_APP_ID", value_name = "NAME")]
    app_id: String,
    /// Secret that it is signed with.
    #[arg(long, env = "JWT_APP_SECRET", hide_env_values = true, value_name = "SECRET")]
    app_secret: String,
    /// Whom it is for, where the server takes some audiences only [default: the issuer].
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Algorithm that it is signed by: HS256, HS384, HS512.
    #[arg(long, default_value = "HS256", value_name = "ALGORITHM")]
    algorithm: Algorithm,
    /// URL under which clients reach the server, https://host:port.
    #[arg(long, env = "TERANGA_PUBLIC_URL", value_name = "URL", value_parser = parse_public_url)]
    public_url: Option<String>,
}

fn feature(text: &str) -> Result<(String, bool), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, "true"));
    let allowed = value.parse().map_err(|_| format!("{value} is neither true nor false"))?;
    if name.is_empty() { Err("it has no name".to_owned()) } else { Ok((name.to_owned(), allowed)) }
}

pub(crate) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Create(flags) = command;
    let line = create(flags, now()?)?;
    writeln!(std::io::stdout(), "{line}").context("cannot write the token")
}

#[expect(clippy::disallowed_methods, reason = "a command line reads the clock")]
fn now() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(since.as_secs())
}

/// The link, or the token alone. `unix_s` is now.
fn create(flags: &CreateFlags, unix_s: u64) -> anyhow::Result<String> {
    let issuer = TokenIssuer {
        issuer: flags.app_id.clone(),
        audience: None,
        secret: Secret::new(flags.app_secret.as_str()).context("the secret is empty")?,
        algorithm: flags.algorithm,
        public_url: flags.public_url.clone(),
    };
    let request = TokenRequest {
        room: flags.room.clone(),
        tenant: flags.tenant.clone(),
        user: TokenUser { id: flags.id.clone(), name: flags.user.clone(), email: flags.email.clone(), avatar: None },
        group: flags.group.clone(),
        is_moderator: flags.moderator,
        features: flags.feature.clone(),
        audience: flags.audience.clone(),
        lasts: flags.exp,
        begins_in: flags.nbf,
    };
    let issued = issuer.give_out(&request, unix_s).context("cannot sign the token")?;
    Ok(issued.url.unwrap_or(issued.token))
}

#[cfg(test)]
mod tests {
    use auth::{Claims, Token, TokenRules, VerifyingKey};
    use clap::Parser;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        flags: CreateFlags,
    }

    fn line(words: &str) -> anyhow::Result<String> {
        let words = ["x", "--app-id", "app", "--app-secret", "planted"].into_iter().chain(words.split(' '));
        create(&Words::try_parse_from(words)?.flags, NOW)
    }

    #[expect(clippy::unwrap_in_result, reason = "the secret of a test is one")]
    fn claims(token: &str, now: u64) -> Result<Claims, auth::TokenRefused> {
        let rules = TokenRules {
            algorithms: vec![Algorithm::HS256],
            issuers: vec!["app".to_owned()],
            audiences: vec!["app".to_owned()],
            leeway: Duration::ZERO,
            requires_expiry: true,
            requires_room: true,
            requires_tenant: false,
        };
        let payload = rules.verify(&VerifyingKey::shared(b"planted").unwrap(), Token::parse(token)?, now)?;
        Ok(Claims::of_payload(&payload.into()))
    }

    #[test]
    fn s2_41_a_link_opens_the_room_as_moderator_for_its_time() {
        let link = line("--room Réunion --user Awa --moderator --exp 2h --public-url https://meet.example").unwrap();
        let token = link.strip_prefix("https://meet.example/R%C3%A9union?jwt=").unwrap();
        let said = claims(token, NOW + 7199).unwrap();
        assert_eq!((said.room.as_deref(), said.user.name.as_deref()), (Some("r%c3%a9union"), Some("Awa")));
        assert!(said.is_owner && claims(token, NOW + 7200).is_err());
    }

    #[test]
    fn a_token_may_begin_later_and_be_for_a_tenant_and_for_some_things_only() {
        let link = line("--room r --nbf 10m --exp 1h --tenant acme --feature recording=false --public-url https://a.b");
        let link = link.unwrap();
        let token = link.strip_prefix("https://a.b/acme/r?jwt=").unwrap();
        assert!(claims(token, NOW + 599).is_err());
        let said = claims(token, NOW + 600 + 3599).unwrap();
        assert!(!said.is_owner && said.features.unwrap().deny("recording"));
        assert_eq!(said.tenant.as_deref(), Some("acme"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(line("--room r --feature =true").is_err() && line("--room r --feature a=maybe").is_err());
        assert!(line("--room r --exp soon").is_err() && line("--room r --algorithm RS256").is_err());
        assert!(line("--user awa").is_err());
        assert!(claims(&line("--room *").unwrap(), NOW).unwrap().room.as_deref() == Some("*"));
    }
}
