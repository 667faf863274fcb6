//! What an operator says about logins and moderators on the command line or in the environment. Where docker-jitsi-meet has a
//! name for it, that is the name here, with the same meaning.
//!
//! Here: who may log in, and who moderates. Options of tokens are in `token_flags.rs`, those of a directory in `ldap_flags.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::accounts::Store;
use auth::{AuthType, AuthTypes, Moderators};
use clap::ArgAction;
use clap::builder::BoolishValueParser;
use ldap::Directory;
use xmpp::{InvalidJid, Jid};

use crate::ldap_flags::InvalidLdapFlags;
use crate::{
    AccountSource, AllOwners, Backends, ClientLogin, InvalidTokenFlags, LdapFlags, Settings, TokenFlags, TokenIssuer,
};

/// How long a meeting goes on after its last owner left where `token_owner_party` is asked for without saying so.
const WITHOUT_OWNER_FOR: Duration = Duration::from_secs(600);

/// To be flattened into the options of a binary. Everybody comes in and the first is moderator unless said otherwise.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct AuthFlags {
    /// It takes a login to open a room.
    #[arg(long, env = "ENABLE_AUTH", value_parser = BoolishValueParser::new())]
    pub enable_auth: bool,
    /// With --enable-auth: people without a login may join rooms that are open, at a domain of their own, and wait for those that
    /// are not.
    #[arg(long, env = "ENABLE_GUESTS", value_parser = BoolishValueParser::new())]
    pub enable_guests: bool,
    /// With --enable-auth: how people log in, one way or several, separated by commas. internal: accounts of this server ('teranga
    /// user add'); ldap: whom a directory knows; jwt: tokens.
    #[arg(long, env = "AUTH_TYPE", default_value = "internal", value_name = "TYPES")]
    pub auth_type: AuthTypes,
    /// The same, for this service alone.
    #[arg(long, env = "PROSODY_AUTH_TYPE", value_name = "TYPES")]
    pub prosody_auth_type: Option<AuthTypes>,
    /// Domain of guests [default: guest below the XMPP domain].
    #[arg(long, env = "XMPP_GUEST_DOMAIN", value_name = "DOMAIN")]
    pub guest_domain: Option<String>,
    /// Who becomes moderator: the first who comes, everybody who logged in, whom a token names, or nobody [default: the
    /// first, or everybody who logged in where it takes a login].
    #[arg(long, env = "TERANGA_MODERATORS", value_name = "first|authenticated|token|none")]
    pub moderators: Option<Moderators>,
    /// Whether anybody becomes moderator without being named by a token.
    #[arg(long, env = "ENABLE_AUTO_OWNER", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub enable_auto_owner: bool,
    /// Wrong passwords and tokens that one address may try in a minute; 0 for no limit.
    #[arg(long, env = "TERANGA_FAILED_LOGINS", default_value_t = 20, value_name = "NUMBER")]
    pub failed_logins: u32,
    /// File of the accounts of this server [default: accounts.sqlite in the state directory].
    #[arg(long, env = "TERANGA_ACCOUNTS", value_name = "FILE")]
    pub accounts_file: Option<PathBuf>,
    /// Module of Prosody whose rules are wanted: token_affiliation, token_moderation, token_owner_party, token_no_wildcard,
    /// token_lobby_bypass, token_lobby_autostart, token_lobby_ondemand, token_security_ondemand, lobby_autostart,
    /// secure_domain_lobby_bypass, owner_restricted, muc_wait_for_host, muc_allowners; may be repeated.
    #[arg(long, env = "XMPP_MUC_MODULES", value_delimiter = ',', value_name = "MODULE")]
    pub muc_module: Vec<String>,
    /// URL of a page that gives out tokens, with {room} for the room; clients are sent there.
    #[arg(long, env = "TOKEN_AUTH_URL", value_name = "URL")]
    pub token_auth_url: Option<String>,
    /// Whether clients are told where those log in who open rooms for guests.
    #[arg(long, env = "ENABLE_AUTH_DOMAIN", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub enable_auth_domain: bool,
    /// Tokens.
    #[command(flatten)]
    pub tokens: TokenFlags,
    /// The directory.
    #[command(flatten)]
    pub ldap: LdapFlags,
}

/// Why flags about logins do not go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthFlags {
    /// Two ways that exclude each other: an account is known by one of them.
    #[error("AUTH_TYPE has internal and ldap, of which a server can have one")]
    TwoDirectories,
    /// No domain.
    #[error("XMPP_GUEST_DOMAIN is no domain")]
    GuestDomain(#[source] InvalidJid),
    /// Tokens.
    #[error(transparent)]
    Tokens(#[from] InvalidTokenFlags),
    /// The directory.
    #[error(transparent)]
    Ldap(#[from] InvalidLdapFlags),
    /// The file of accounts.
    #[error("cannot use the accounts of this server")]
    Accounts(#[from] ::accounts::Error),
}

impl AuthFlags {
    /// Puts what was said into settings whose addresses and rooms are set.
    ///
    /// # Errors
    /// What does not go together.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), InvalidAuthFlags> {
        settings.client_login = self.client_login()?;
        settings.limits.failed_logins = Some(self.failed_logins).filter(|limit| *limit > 0);
        if self.enable_auth && self.enable_guests {
            let usual = format!("guest.{}", settings.hosts.domain);
            let domain = self.guest_domain.as_deref().unwrap_or(&usual);
            settings.hosts.guest = Some(Jid::new(None, domain, None).map_err(InvalidAuthFlags::GuestDomain)?);
        }
        settings.conference.moderators = self.moderators();
        self.tokens.apply(settings);
        for module in self.muc_module.iter().map(|module| module.trim()).filter(|module| !module.is_empty()) {
            apply_module(module, settings);
        }
        Ok(())
    }

    fn client_login(&self) -> Result<ClientLogin, InvalidAuthFlags> {
        let Some(types) = self.login_types() else { return Ok(ClientLogin::Anonymous) };
        let source = match (types.has(AuthType::Internal), types.has(AuthType::Ldap)) {
            (true, true) => return Err(InvalidAuthFlags::TwoDirectories),
            (true, false) => Some(AccountSource::Store),
            (false, true) => Some(AccountSource::Directory),
            (false, false) => None,
        };
        let tokens = types.has(AuthType::Jwt).then(|| self.tokens.tokens()).transpose()?;
        Ok(match (tokens, source) {
            (Some(tokens), Some(source)) => ClientLogin::TokensOrPasswords(tokens, source),
            (Some(tokens), None) => ClientLogin::Tokens(tokens),
            (None, Some(source)) => ClientLogin::Passwords(source),
            (None, None) => ClientLogin::Anonymous,
        })
    }

    /// Opens what knows accounts. `accounts` is where the file is unless the operator says otherwise; `None` for in memory.
    ///
    /// # Errors
    /// For a file or an option that does not serve.
    pub fn backends(&self, accounts: Option<&Path>) -> Result<Backends, InvalidAuthFlags> {
        let path = self.accounts_file.as_deref().or(accounts);
        let store = path.map_or_else(Store::in_memory, Store::open)?;
        Ok(Backends { store: Some(Arc::new(store)), directory: self.directory()? })
    }

    /// The directory, where logins are by one. Reads the files of its options.
    ///
    /// # Errors
    /// For a file or an option that does not serve.
    pub fn directory(&self) -> Result<Option<Directory>, InvalidAuthFlags> {
        let wants_directory = self.login_types().is_some_and(|types| types.has(AuthType::Ldap));
        Ok(wants_directory.then(|| self.ldap.directory()).transpose()?)
    }

    /// Who becomes moderator: what was said, else what stock's settings mean.
    #[must_use]
    pub fn moderators(&self) -> Moderators {
        let names = |module: &String| module.trim() == "token_moderation";
        self.moderators.unwrap_or_else(|| {
            if self.muc_module.iter().any(names) {
                Moderators::Token
            } else {
                Moderators::of_stock(self.enable_auth, self.enable_auto_owner)
            }
        })
    }

    /// How those log in who open rooms; `None` when everybody may.
    #[must_use]
    pub fn login_types(&self) -> Option<&AuthTypes> {
        self.enable_auth.then(|| self.prosody_auth_type.as_ref().unwrap_or(&self.auth_type))
    }

    /// The domain that clients are told to log in at with a password, if there is one.
    #[must_use]
    pub fn auth_domain(&self, settings: &Settings) -> Option<String> {
        let takes_passwords = self.login_types().is_some_and(|types| types.take_passwords());
        (takes_passwords && self.enable_auth_domain).then(|| settings.hosts.domain.to_string())
    }

    /// What this server can give out tokens as: it has the secret that it checks them by.
    #[must_use]
    pub fn token_issuer(&self, public_url: Option<&str>) -> Option<TokenIssuer> {
        self.login_types().filter(|types| types.has(AuthType::Jwt))?;
        self.tokens.issuer(public_url)
    }

    /// The page that gives out tokens.
    #[must_use]
    pub fn token_auth_url(&self) -> Option<&str> {
        self.token_auth_url.as_deref()
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
        "lobby_autostart" | "token_lobby_autostart" | "lobby_rooms" => rules.lobby.autostart = true,
        "token_lobby_ondemand" => rules.lobby.on_demand = true,
        "secure_domain_lobby_bypass" => rules.lobby.hosts_walk_past = true,
        "muc_wait_for_host" | "wait_for_host" => rules.wait_for_host = true,
        "muc_allowners" => {
            rules.all_owners.get_or_insert_with(AllOwners::default);
        }
        // Always there.
        "token_lobby_bypass"
        | "token_security_ondemand"
        | "token_verification"
        | "muc_max_occupants"
        | "presence_identity" => {}
        other => tracing::warn!(module = other, "no such module is built in: XMPP_MUC_MODULES does nothing for it"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<AuthFlags>;

    fn parse(words: &str) -> Result<AuthFlags, String> {
        let options = Options::try_parse_from(std::iter::once("x").chain(words.split_whitespace()));
        options.map(|options| options.flags).map_err(|error| error.to_string())
    }

    #[expect(clippy::unwrap_in_result, reason = "the words of a test are flags")]
    fn apply(words: &str) -> Result<Settings, InvalidAuthFlags> {
        let mut settings = Settings::default();
        parse(words).unwrap().apply(&mut settings).map(|()| settings)
    }

    const JWT: &str = "--enable-auth --auth-type jwt --jwt-app-id app --jwt-app-secret hush";

    #[test]
    fn who_says_nothing_has_the_defaults() {
        let settings = apply("").unwrap();
        assert!(matches!(settings.client_login, ClientLogin::Anonymous) && settings.hosts.guest.is_none());
        assert_eq!(format!("{:?}", settings.conference), format!("{:?}", crate::ConferenceSettings::default()));
        assert_eq!(settings.limits.failed_logins, Some(20));
    }

    /// ENABLE_AUTH, ENABLE_GUESTS and AUTH_TYPE in all combinations: what a login at the clients' domain takes, and a domain
    /// of guests.
    #[test]
    fn s4_29_to_s4_31_the_modes_of_stock_are_there() {
        let mode = |words: &str| {
            let settings = apply(words).unwrap();
            let login = match settings.client_login {
                ClientLogin::Anonymous => "anonymous",
                ClientLogin::Tokens(_) => "token",
                ClientLogin::Passwords(AccountSource::Store) => "account",
                ClientLogin::Passwords(AccountSource::Directory) => "directory",
                ClientLogin::TokensOrPasswords(_, AccountSource::Store) => "token, account",
                ClientLogin::TokensOrPasswords(_, AccountSource::Directory) => "token, directory",
            };
            (login, settings.hosts.guest.map(|guest| guest.to_string()))
        };
        let guest = Some("guest.meet.jitsi".to_owned());
        for words in ["", "--auth-type jwt --jwt-app-id app --jwt-app-secret hush", "--enable-guests"] {
            assert_eq!(mode(words), ("anonymous", None), "{words}");
        }
        assert_eq!(mode("--enable-auth"), ("account", None));
        assert_eq!(mode("--enable-auth --enable-guests"), ("account", guest.clone()));
        assert_eq!(mode("--enable-auth --auth-type ldap --enable-guests"), ("directory", guest.clone()));
        assert_eq!(mode(JWT), ("token", None));
        assert_eq!(mode(&format!("{JWT} --enable-guests")), ("token", guest));
        let other = Some("visitors.example".to_owned());
        assert_eq!(mode(&format!("{JWT} --enable-guests --guest-domain visitors.example")), ("token", other));
        assert_eq!(mode("--enable-auth --prosody-auth-type jwt --jwt-app-id a --jwt-app-secret b"), ("token", None));
        assert_eq!(mode(&JWT.replace("jwt ", "jwt,internal ")), ("token, account", None));
        assert_eq!(mode(&JWT.replace("jwt ", "ldap,jwt ")), ("token, directory", None));
    }

    #[test]
    fn clients_are_told_where_a_password_logs_in() {
        let told = |words: &str| parse(words).unwrap().auth_domain(&Settings::default());
        assert_eq!(told("--enable-auth").as_deref(), Some("meet.jitsi"));
        assert_eq!(told(&JWT.replace("jwt ", "jwt,ldap ")).as_deref(), Some("meet.jitsi"));
        for words in ["", JWT, "--enable-auth --enable-auth-domain 0"] {
            assert_eq!(told(words), None, "{words}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = |words: &str| apply(words).unwrap_err().to_string();
        assert!(refused("--enable-auth --auth-type internal,ldap").contains("internal and ldap"));
        assert!(refused("--enable-auth --auth-type jwt").contains("JWT_APP_SECRET"));
        assert!(refused("--enable-auth --enable-guests --guest-domain a@b").contains("XMPP_GUEST_DOMAIN"));
        let unknown = parse("--auth-type kerberos").unwrap_err();
        assert!(unknown.contains("internal, jwt, ldap"), "{unknown}");
        assert!(parse("--enable-auth ture").is_err(), "a typing error opens no server");
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
        let rules = apply("--muc-module token_lobby_ondemand,secure_domain_lobby_bypass").unwrap().conference;
        assert!(rules.lobby.on_demand && rules.lobby.hosts_walk_past && !rules.lobby.autostart);
    }
}
