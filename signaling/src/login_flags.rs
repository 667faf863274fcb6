//! What an operator says about who may log in, on the command line or in the environment, under the names of docker-jitsi-meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::accounts::Store;
use clap::{ArgAction, ValueEnum};
use ldap::{Directory, InvalidOption, Options};
use xmpp::{InvalidJid, Jid};

use crate::{Backends, ClientLogin, Settings};

/// Longest password file that is read.
const MAX_PASSWORD_FILE_BYTES: usize = 4096;

/// To be flattened into the options of a binary.
#[derive(Clone, Debug, clap::Args)]
pub struct LoginFlags {
    /// Opening a room takes a login.
    #[arg(long, env = "ENABLE_AUTH", num_args = 0..=1, default_missing_value = "1", default_value = "0", action = ArgAction::Set, value_parser = switch, value_name = "0|1")]
    pub enable_auth: bool,
    /// With --enable-auth: people without a login may join rooms that are open, and wait for those that are not.
    #[arg(long, env = "ENABLE_GUESTS", num_args = 0..=1, default_missing_value = "1", default_value = "0", action = ArgAction::Set, value_parser = switch, value_name = "0|1")]
    pub enable_guests: bool,
    /// With --enable-auth: how people log in; may be repeated. internal: accounts of this server ('teranga user add'); ldap: whom a
    /// directory knows; jwt: tokens.
    #[arg(long, env = "AUTH_TYPE", value_delimiter = ',', default_value = "internal", value_name = "TYPE")]
    pub auth_type: Vec<AuthType>,
    /// XMPP domain of guests [default: guest.DOMAIN].
    #[arg(long, env = "XMPP_GUEST_DOMAIN", value_name = "DOMAIN")]
    pub guest_domain: Option<String>,
    /// How long a login serves without being used.
    #[arg(long, env = "JICOFO_AUTH_LIFETIME", default_value = "24 hours", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub auth_lifetime: Duration,
    /// Whether who logged in moderates every room that he joins, and without logins the first one in the room.
    #[arg(long, env = "ENABLE_AUTO_OWNER", default_value = "1", action = ArgAction::Set, value_parser = switch, value_name = "0|1")]
    pub enable_auto_owner: bool,
    /// File of the accounts of this server [default: accounts.sqlite in the state directory].
    #[arg(long, env = "TERANGA_ACCOUNTS", value_name = "FILE")]
    pub accounts_file: Option<PathBuf>,
    /// The directory.
    #[command(flatten)]
    pub ldap: LdapFlags,
}

/// How people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthType {
    /// With accounts of this server.
    Internal,
    /// With those of a directory.
    Ldap,
    /// With tokens.
    Jwt,
}

/// The directory, with saslauthd's meaning of each option.
#[derive(Clone, Debug, clap::Args)]
pub struct LdapFlags {
    /// LDAP servers, ldap://HOST[:PORT] or ldaps://HOST[:PORT], separated by spaces and tried in this order.
    #[arg(long, env = "LDAP_URL", value_name = "URLS")]
    pub ldap_url: Option<String>,
    /// Where users are searched.
    #[arg(long, env = "LDAP_BASE", value_name = "DN")]
    pub ldap_base: Option<String>,
    /// Whom searches are made as; without it they are anonymous.
    #[arg(long, env = "LDAP_BINDDN", value_name = "DN")]
    pub ldap_binddn: Option<String>,
    /// Its password.
    #[arg(long, env = "LDAP_BINDPW", hide_env_values = true, value_name = "PASSWORD")]
    pub ldap_bindpw: Option<String>,
    /// File with its password, on the first line.
    #[arg(long, env = "LDAP_BINDPW_FILE", value_name = "FILE")]
    pub ldap_bindpw_file: Option<PathBuf>,
    /// Finds a user: %u is the name, %U and %d its parts before and after @, %1 to %9 the labels of the domain from the right, %s xmpp,
    /// %r the XMPP domain [default: uid=%u].
    #[arg(long, env = "LDAP_FILTER", value_name = "FILTER")]
    pub ldap_filter: Option<String>,
    /// bind: search, then bind as the entry; fastbind: the filter is the DN; custom: compare with userPassword [default: bind].
    #[arg(long, env = "LDAP_AUTH_METHOD", value_name = "METHOD")]
    pub ldap_auth_method: Option<String>,
    /// Only 3 is spoken.
    #[arg(long, env = "LDAP_VERSION", value_name = "NUMBER")]
    pub ldap_version: Option<String>,
    /// Of no effect: ldaps:// and --ldap-start-tls say where there is TLS, and the options of TLS are used wherever there is.
    #[arg(long, env = "LDAP_USE_TLS", value_name = "0|1")]
    pub ldap_use_tls: Option<String>,
    /// Which cipher suites may be used, in the words of GnuTLS: SECURE256, SECURE128.
    #[arg(long, env = "LDAP_TLS_CIPHERS", value_name = "WORDS")]
    pub ldap_tls_ciphers: Option<String>,
    /// Servers have to show a certificate of a trusted authority for their name.
    #[arg(long, env = "LDAP_TLS_CHECK_PEER", value_name = "0|1")]
    pub ldap_tls_check_peer: Option<String>,
    /// File of trusted authorities, in PEM; without it and a directory, those of the system.
    #[arg(long, env = "LDAP_TLS_CACERT_FILE", value_name = "FILE")]
    pub ldap_tls_cacert_file: Option<String>,
    /// Directory of files of trusted authorities.
    #[arg(long, env = "LDAP_TLS_CACERT_DIR", value_name = "DIR")]
    pub ldap_tls_cacert_dir: Option<String>,
    /// Our own certificate, in PEM, for servers that ask for one.
    #[arg(long, env = "LDAP_TLS_CERT_FILE", value_name = "FILE")]
    pub ldap_tls_cert_file: Option<String>,
    /// Its key.
    #[arg(long, env = "LDAP_TLS_KEY_FILE", value_name = "FILE")]
    pub ldap_tls_key_file: Option<String>,
    /// ldap:// becomes TLS before anything is said.
    #[arg(long, env = "LDAP_START_TLS", value_name = "0|1")]
    pub ldap_start_tls: Option<String>,
    /// File of options of saslauthd (saslauthd.conf), such as those of groups, scope, timeout and referrals; the options here come
    /// before those of the file.
    #[arg(long, env = "TERANGA_SASLAUTHD_CONF", value_name = "FILE")]
    pub saslauthd_conf: Option<PathBuf>,
}

/// What cannot be done of what an operator says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginFlagsError {
    /// The domain of guests is none.
    #[error("cannot use --guest-domain")]
    GuestDomain(#[from] InvalidJid),
    /// Two ways that exclude each other.
    #[error("AUTH_TYPE has internal and ldap, of which a server can have one")]
    TwoDirectories,
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An option of the directory; the names are those of saslauthd.
    #[error("cannot use the options of LDAP")]
    Ldap(#[from] InvalidOption),
    /// A file of certificates or a key.
    #[error("cannot use the options of LDAP")]
    LdapTls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file of accounts.
    #[error("cannot use the accounts of this server")]
    Accounts(#[from] ::accounts::Error),
}

/// As docker-jitsi-meet has switches, with nothing for off.
fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err("is neither 0 nor 1".to_owned()),
    }
}

impl LoginFlags {
    /// Whether people log in with a password.
    #[must_use]
    pub fn takes_passwords(&self) -> bool {
        self.enable_auth && self.auth_type.iter().any(|auth_type| *auth_type != AuthType::Jwt)
    }

    /// Puts what was said into settings.
    ///
    /// # Errors
    /// For a domain of guests that is none, and for types that exclude each other.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), LoginFlagsError> {
        if !self.enable_auth {
            return Ok(());
        }
        let (internal, ldap) = (self.has(AuthType::Internal), self.has(AuthType::Ldap));
        settings.client_login = match (internal, ldap) {
            (true, true) => return Err(LoginFlagsError::TwoDirectories),
            (true, false) => ClientLogin::Internal,
            (false, true) => ClientLogin::Directory,
            (false, false) => ClientLogin::Anonymous,
        };
        if self.enable_guests {
            let domain = match self.guest_domain.as_deref().filter(|domain| !domain.is_empty()) {
                Some(domain) => domain.to_owned(),
                None => format!("guest.{}", settings.hosts.domain.domain()),
            };
            settings.hosts.guest = Some(Jid::new(None, &domain, None)?);
        }
        Ok(())
    }

    fn has(&self, auth_type: AuthType) -> bool {
        self.auth_type.contains(&auth_type)
    }

    /// Opens what knows accounts. `accounts` is where the file is unless the operator says otherwise; `None` for in memory.
    ///
    /// # Errors
    /// For a file or an option that does not serve.
    pub fn backends(&self, accounts: Option<&Path>) -> Result<Backends, LoginFlagsError> {
        let path = self.accounts_file.as_deref().or(accounts);
        let store = path.map_or_else(Store::in_memory, Store::open)?;
        let wants_directory = self.enable_auth && self.has(AuthType::Ldap);
        let directory = wants_directory.then(|| self.ldap.directory()).transpose()?;
        Ok(Backends { store: Some(Arc::new(store)), directory })
    }
}

impl LdapFlags {
    /// Whether anything is said of a directory.
    #[must_use]
    pub fn names_a_server(&self) -> bool {
        self.ldap_url.as_deref().is_some_and(|url| !url.is_empty()) || self.saslauthd_conf.is_some()
    }

    /// The directory.
    ///
    /// # Errors
    /// For a file or an option that does not serve.
    pub fn directory(&self) -> Result<Directory, LoginFlagsError> {
        let (settings, without_effect) = self.options()?.settings()?;
        for words in without_effect {
            tracing::warn!("{words}");
        }
        if settings.service == ldap::ServiceIdentity::Anonymous && settings.method != ldap::AuthMethod::Fastbind {
            tracing::warn!(
                "searches in the directory are anonymous: it tells everybody who its users are (set LDAP_BINDDN)"
            );
        }
        Directory::new(settings).map_err(|error| LoginFlagsError::LdapTls(Box::new(error)))
    }

    /// The options as saslauthd knows them.
    ///
    /// # Errors
    /// For a file that cannot be read.
    pub fn options(&self) -> Result<Options, LoginFlagsError> {
        let mut options = match &self.saslauthd_conf {
            Some(path) => Options::parse(&read(path)?)?,
            None => Options::default(),
        };
        let password = match &self.ldap_bindpw_file {
            Some(path) => {
                let text = read(path)?;
                let first = text.lines().next().unwrap_or_default();
                Some(first.get(..MAX_PASSWORD_FILE_BYTES).unwrap_or(first).to_owned())
            }
            None => self.ldap_bindpw.clone(),
        };
        let given = [
            ("ldap_servers", &self.ldap_url),
            ("ldap_search_base", &self.ldap_base),
            ("ldap_bind_dn", &self.ldap_binddn),
            ("ldap_bind_pw", &password),
            ("ldap_filter", &self.ldap_filter),
            ("ldap_auth_method", &self.ldap_auth_method),
            ("ldap_version", &self.ldap_version),
            ("ldap_tls_ciphers", &self.ldap_tls_ciphers),
            ("ldap_tls_check_peer", &self.ldap_tls_check_peer),
            ("ldap_tls_cacert_file", &self.ldap_tls_cacert_file),
            ("ldap_tls_cacert_dir", &self.ldap_tls_cacert_dir),
            ("ldap_tls_cert", &self.ldap_tls_cert_file),
            ("ldap_tls_key", &self.ldap_tls_key_file),
            ("ldap_start_tls", &self.ldap_start_tls),
        ];
        for (name, value) in given {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                options.set(name, value);
            }
        }
        Ok(options)
    }
}

fn read(path: &Path) -> Result<String, LoginFlagsError> {
    std::fs::read_to_string(path).map_err(|source| LoginFlagsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct TestOptions {
        #[command(flatten)]
        flags: LoginFlags,
    }

    fn parse(words: &[&str]) -> Result<LoginFlags, String> {
        let words = ["x"].iter().chain(words);
        TestOptions::try_parse_from(words).map(|options| options.flags).map_err(|error| error.to_string())
    }

    fn settings(words: &[&str]) -> Settings {
        let mut settings = Settings::default();
        parse(words).unwrap().apply(&mut settings).unwrap();
        settings
    }

    #[test]
    fn s4_29_without_auth_everybody_comes_in() {
        for words in [[].as_slice(), &["--enable-auth", "0"], &["--enable-auth", "", "--enable-guests=1"]] {
            let settings = settings(words);
            assert_eq!((settings.client_login, settings.hosts.guest), (ClientLogin::Anonymous, None), "{words:?}");
        }
    }

    #[test]
    fn s4_30_guests_have_a_domain_when_both_are_on() {
        let on = settings(&["--enable-auth", "1", "--enable-guests", "1"]);
        assert_eq!(on.client_login, ClientLogin::Internal);
        assert_eq!(on.hosts.guest.unwrap().as_str(), "guest.meet.jitsi");
        assert_eq!(settings(&["--enable-auth"]).hosts.guest, None);
        let named = settings(&["--enable-auth", "--enable-guests", "--guest-domain", "visitor.meet.jitsi"]);
        assert_eq!(named.hosts.guest.unwrap().as_str(), "visitor.meet.jitsi");
    }

    #[test]
    fn s4_31_each_type_starts_and_an_unknown_one_is_refused_with_the_list() {
        for (auth_type, login) in [
            ("internal", ClientLogin::Internal),
            ("ldap", ClientLogin::Directory),
            ("jwt", ClientLogin::Anonymous),
            ("jwt,ldap", ClientLogin::Directory),
        ] {
            assert_eq!(settings(&["--enable-auth", "1", "--auth-type", auth_type]).client_login, login, "{auth_type}");
        }
        let refused = parse(&["--auth-type", "kerberos"]).unwrap_err();
        assert!(refused.contains("internal, ldap, jwt"), "{refused}");
        let both = parse(&["--enable-auth", "1", "--auth-type", "internal,ldap"]).unwrap();
        assert!(both.apply(&mut Settings::default()).is_err());
    }

    #[test]
    fn s0_31_the_lines_of_the_guide_are_options_of_saslauthd() {
        let flags = parse(&[
            "--enable-auth=1",
            "--auth-type=ldap",
            "--ldap-auth-method=bind",
            "--ldap-url=ldap://ldap.example.sn",
            "--ldap-binddn=cn=ro,dc=sn",
            "--ldap-base=ou=people,dc=sn",
            "--ldap-bindpw=hush",
            "--ldap-filter=",
        ])
        .unwrap();
        let (settings, _) = flags.ldap.options().unwrap().settings().unwrap();
        assert_eq!(settings.filter.as_str(), "uid=%u");
        assert_eq!(settings.base.as_str(), "ou=people,dc=sn");
        assert!(matches!(settings.service, ldap::ServiceIdentity::Account { dn, .. } if dn == "cn=ro,dc=sn"));
    }

    #[test]
    fn s4_38_the_password_may_be_in_a_file_and_s0_39_the_rest_in_saslauthd_conf() {
        let dir = tempfile::tempdir().unwrap();
        let (password, conf) = (dir.path().join("pw"), dir.path().join("saslauthd.conf"));
        std::fs::write(&password, "hush\n").unwrap();
        std::fs::write(&conf, "ldap_servers: ldap://a\nldap_scope: one\nldap_bind_dn: cn=a\n").unwrap();
        let words = ["--ldap-bindpw-file", password.to_str().unwrap(), "--saslauthd-conf", conf.to_str().unwrap()];
        let flags = parse(&[words.as_slice(), &["--ldap-url", "ldap://b"]].concat()).unwrap();
        let (settings, _) = flags.ldap.options().unwrap().settings().unwrap();
        assert_eq!(settings.scope, ldap::Scope::OneLevel);
        assert_eq!(settings.servers[0].to_string(), "ldap://b:389", "the environment comes first");
        assert!(
            matches!(settings.service, ldap::ServiceIdentity::Account { password, .. } if password.expose() == "hush")
        );
    }
}
