//! What an operator says about a directory on the command line or in the environment, under the names of docker-jitsi-meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ldap::{Directory, InvalidOption, Options};

/// Longest password file that is read.
const MAX_PASSWORD_FILE_BYTES: usize = 4096;

/// The directory, with saslauthd's meaning of each option.
#[derive(Clone, Debug, clap::Args)]
pub struct LdapFlags {
    /// LDAP servers, ldap:// or ldaps:// with HOST or HOST:PORT, separated by spaces and tried in this order.
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

/// Why flags about a directory do not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLdapFlags {
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
    Option(#[from] InvalidOption),
    /// A file of certificates or a key.
    #[error("cannot use the certificates or the key of LDAP")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
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
    pub fn directory(&self) -> Result<Directory, InvalidLdapFlags> {
        let (settings, without_effect) = self.options()?.settings()?;
        for words in without_effect {
            tracing::warn!("{words}");
        }
        if settings.service == ldap::ServiceIdentity::Anonymous && settings.method != ldap::AuthMethod::Fastbind {
            tracing::warn!(
                "searches in the directory are anonymous: it tells everybody who its users are (set LDAP_BINDDN)"
            );
        }
        Directory::new(settings).map_err(|error| InvalidLdapFlags::Tls(Box::new(error)))
    }

    /// The options as saslauthd knows them, with their values and where those come from. The password is among them.
    ///
    /// # Errors
    /// For a file or an option that does not serve.
    pub fn shown(&self) -> Result<Vec<(String, String, String)>, InvalidLdapFlags> {
        let options = self.options()?;
        let password = self.password()?;
        let given = self.given(&password);
        let conf =
            self.saslauthd_conf.as_deref().map(|path| Ok::<_, InvalidLdapFlags>((path, read(path)?))).transpose()?;
        let origin = |name: &str| {
            let variable =
                given.iter().find(|(known, _, value)| *known == name && value.is_some_and(|value| !value.is_empty()));
            if let Some((_, variable, _)) = variable {
                return (*variable).to_owned();
            }
            let line = conf.as_ref().and_then(|(path, text)| {
                let is_it = |line: &str| line.split_once(':').is_some_and(|(known, _)| known.trim() == name);
                Some(format!("{}:{}", path.display(), text.lines().position(is_it)? + 1))
            });
            line.unwrap_or_else(|| "default".to_owned())
        };
        let defaults = [("ldap_filter", "uid=%u"), ("ldap_version", "3"), ("ldap_auth_method", "bind")];
        let mut values: BTreeMap<&str, &str> = defaults.into();
        values.extend(options.iter());
        Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned(), origin(name))).collect())
    }

    fn password(&self) -> Result<Option<String>, InvalidLdapFlags> {
        let Some(path) = &self.ldap_bindpw_file else { return Ok(self.ldap_bindpw.clone()) };
        let text = read(path)?;
        let first = text.lines().next().unwrap_or_default();
        Ok(Some(first.get(..MAX_PASSWORD_FILE_BYTES).unwrap_or(first).to_owned()))
    }

    /// saslauthd's options that have a variable, with that and its value.
    fn given<'a>(&'a self, password: &'a Option<String>) -> [(&'static str, &'static str, Option<&'a str>); 14] {
        let password_from = if self.ldap_bindpw_file.is_some() { "LDAP_BINDPW_FILE" } else { "LDAP_BINDPW" };
        [
            ("ldap_servers", "LDAP_URL", &self.ldap_url),
            ("ldap_search_base", "LDAP_BASE", &self.ldap_base),
            ("ldap_bind_dn", "LDAP_BINDDN", &self.ldap_binddn),
            ("ldap_bind_pw", password_from, password),
            ("ldap_filter", "LDAP_FILTER", &self.ldap_filter),
            ("ldap_auth_method", "LDAP_AUTH_METHOD", &self.ldap_auth_method),
            ("ldap_version", "LDAP_VERSION", &self.ldap_version),
            ("ldap_tls_ciphers", "LDAP_TLS_CIPHERS", &self.ldap_tls_ciphers),
            ("ldap_tls_check_peer", "LDAP_TLS_CHECK_PEER", &self.ldap_tls_check_peer),
            ("ldap_tls_cacert_file", "LDAP_TLS_CACERT_FILE", &self.ldap_tls_cacert_file),
            ("ldap_tls_cacert_dir", "LDAP_TLS_CACERT_DIR", &self.ldap_tls_cacert_dir),
            ("ldap_tls_cert", "LDAP_TLS_CERT_FILE", &self.ldap_tls_cert_file),
            ("ldap_tls_key", "LDAP_TLS_KEY_FILE", &self.ldap_tls_key_file),
            ("ldap_start_tls", "LDAP_START_TLS", &self.ldap_start_tls),
        ]
        .map(|(name, variable, value)| (name, variable, value.as_deref()))
    }

    /// The options as saslauthd knows them.
    ///
    /// # Errors
    /// For a file that cannot be read.
    pub fn options(&self) -> Result<Options, InvalidLdapFlags> {
        let mut options = match &self.saslauthd_conf {
            Some(path) => Options::parse(&read(path)?)?,
            None => Options::default(),
        };
        let password = self.password()?;
        for (name, _, value) in self.given(&password) {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                options.set(name, value);
            }
        }
        Ok(options)
    }
}

fn read(path: &Path) -> Result<String, InvalidLdapFlags> {
    std::fs::read_to_string(path).map_err(|source| InvalidLdapFlags::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type TestOptions = crate::flag_tests::Options<LdapFlags>;

    fn parse(words: &[&str]) -> Result<LdapFlags, String> {
        let words = ["x"].iter().chain(words);
        TestOptions::try_parse_from(words).map(|options| options.flags).map_err(|error| error.to_string())
    }

    #[test]
    fn s0_31_the_lines_of_the_guide_are_options_of_saslauthd() {
        let flags = parse(&[
            "--ldap-auth-method=bind",
            "--ldap-url=ldap://ldap.example.sn",
            "--ldap-binddn=cn=ro,dc=sn",
            "--ldap-base=ou=people,dc=sn",
            "--ldap-bindpw=hush",
            "--ldap-filter=",
        ])
        .unwrap();
        let (settings, _) = flags.options().unwrap().settings().unwrap();
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
        let (settings, _) = flags.options().unwrap().settings().unwrap();
        assert_eq!(settings.scope, ldap::Scope::OneLevel);
        assert_eq!(settings.servers[0].to_string(), "ldap://b:389", "the environment comes first");
        assert!(
            matches!(settings.service, ldap::ServiceIdentity::Account { password, .. } if password.expose() == "hush")
        );
    }
}
