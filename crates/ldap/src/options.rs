//! saslauthd's options by name, from its file or from the environment of docker-jitsi-meet, as [`Settings`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{
    AuthMethod, Deref, GroupCheck, GroupMatch, Password, Pattern, Referrals, Scope, ServerUrl, ServiceIdentity,
    Settings, StartTls, TlsSettings, VerifyPeer,
};

/// Longest wait that may be asked for: a client gives up before.
const MAX_TIMEOUT_S: u64 = 300;

/// Options by the name that they have in `saslauthd.conf`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
}

/// An option that says nothing that can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct InvalidOption {
    /// The name in `saslauthd.conf`.
    pub name: String,
    /// What is wrong with its value.
    pub problem: String,
}

fn invalid<T>(name: &str, problem: impl Into<String>) -> Result<T, InvalidOption> {
    Err(InvalidOption { name: name.to_owned(), problem: problem.into() })
}

impl Options {
    /// The options of a file in saslauthd's format: `name: value` on each line, `#` before a comment.
    ///
    /// # Errors
    /// A line without a colon; the error names it by number.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let mut options = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return invalid(&format!("line {}", number + 1), "is not of the form 'name: value'");
            };
            options.set(name.trim(), value.trim());
        }
        Ok(options)
    }

    /// Sets an option; an empty value is none.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.values.remove(name);
        } else {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The options that are set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What the options mean, and words on those that have no effect here.
    ///
    /// # Errors
    /// The first option that cannot be done.
    pub fn settings(&self) -> Result<(Settings, Vec<String>), InvalidOption> {
        let defaults = Settings::default();
        let servers = match self.get("ldap_servers") {
            Some(list) => servers_of(list)?,
            None => defaults.servers,
        };
        match self.get("ldap_version") {
            None | Some("3") => {}
            Some("2") => return invalid("ldap_version", "2 is historic (RFC 3494) and has no TLS; only 3 is spoken"),
            Some(other) => return invalid("ldap_version", format!("{other:?} is not 3")),
        }
        if self.is_on("ldap_use_sasl", false)? {
            return invalid("ldap_use_sasl", "is not supported: binds are simple binds, use TLS");
        }
        let password = self.get("ldap_bind_pw").or_else(|| self.get("ldap_password"));
        let service = match (self.get("ldap_bind_dn"), password) {
            (None, _) => ServiceIdentity::Anonymous,
            (Some(dn), Some(password)) => {
                ServiceIdentity::Account { dn: dn.to_owned(), password: Password::new(password) }
            }
            // RFC 4513 §5.1.2: servers take it for an anonymous bind, which nobody meant who named a DN.
            (Some(_), None) => return invalid("ldap_bind_pw", "is empty, but ldap_bind_dn is set"),
        };
        let method = self.one_of(
            "ldap_auth_method",
            &[("bind", AuthMethod::Bind), ("fastbind", AuthMethod::Fastbind), ("custom", AuthMethod::Custom)],
            AuthMethod::Bind,
        )?;
        let settings = Settings {
            servers,
            start_tls: if self.is_on("ldap_start_tls", false)? { StartTls::Required } else { StartTls::Off },
            tls: self.tls()?,
            service,
            method,
            base: Pattern::new(self.get("ldap_search_base").unwrap_or_default()),
            filter: Pattern::new(self.get("ldap_filter").unwrap_or("uid=%u")),
            scope: self.scope("ldap_scope")?,
            deref: self.one_of(
                "ldap_deref",
                &[
                    ("never", Deref::Never),
                    ("search", Deref::Searching),
                    ("find", Deref::Finding),
                    ("always", Deref::Always),
                ],
                Deref::Never,
            )?,
            password_attribute: self.get("ldap_password_attr").unwrap_or("userPassword").to_owned(),
            group: self.group()?,
            referrals: if self.is_on("ldap_referrals", false)? { Referrals::Followed } else { Referrals::Ignored },
            timeout: self.seconds("ldap_timeout")?,
            time_limit: self.seconds("ldap_time_limit")?,
            default_realm: self
                .get("ldap_default_realm")
                .or_else(|| self.get("ldap_default_domain"))
                .unwrap_or_default()
                .to_owned(),
            service_name: defaults.service_name,
        };
        if !settings.filter.as_str().contains(['%']) {
            return invalid("ldap_filter", "has no token such as %u, so that it would be the same for all users");
        }
        Ok((settings, self.without_effect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn tls(&self) -> Result<TlsSettings, InvalidOption> {
        let path = |name: &str| self.get(name).map(PathBuf::from);
        let (certificate, key) = (path("ldap_tls_cert"), path("ldap_tls_key"));
        if certificate.is_some() != key.is_some() {
            return invalid("ldap_tls_cert", "and ldap_tls_key go together");
        }
        Ok(TlsSettings {
            verify: if self.is_on("ldap_tls_check_peer", false)? { VerifyPeer::Required } else { VerifyPeer::Off },
            ca_file: path("ldap_tls_cacert_file"),
            ca_dir: path("ldap_tls_cacert_dir"),
            certificate,
            key,
            ciphers: self.get("ldap_tls_ciphers").map(str::to_owned),
        })
    }

    fn group(&self) -> Result<Option<GroupCheck>, InvalidOption> {
        let by_filter = self.one_of("ldap_group_match_method", &[("attr", false), ("filter", true)], false)?;
        let scope = self.scope("ldap_group_scope")?;
        let Some(dn) = self.get("ldap_group_dn") else { return Ok(None) };
        let matching = if by_filter {
            let Some(filter) = self.get("ldap_group_filter") else {
                return invalid("ldap_group_filter", "is missing, and ldap_group_match_method is filter");
            };
            let base = self.get("ldap_group_search_base").map(Pattern::new);
            GroupMatch::Filter { filter: Pattern::new(filter), base, scope }
        } else {
            GroupMatch::Attribute(self.get("ldap_group_attr").unwrap_or("uniqueMember").to_owned())
        };
        Ok(Some(GroupCheck { dn: Pattern::new(dn), matching }))
    }

    fn scope(&self, name: &str) -> Result<Scope, InvalidOption> {
        let values = [("sub", Scope::Subtree), ("one", Scope::OneLevel), ("base", Scope::Base)];
        self.one_of(name, &values, Scope::Subtree)
    }

    fn seconds(&self, name: &str) -> Result<Duration, InvalidOption> {
        match self.get(name).map(str::parse::<u64>) {
            None => Ok(Duration::from_secs(5)),
            Some(Ok(seconds @ 1..=MAX_TIMEOUT_S)) => Ok(Duration::from_secs(seconds)),
            Some(_) => invalid(name, format!("is no number of seconds in 1..={MAX_TIMEOUT_S}")),
        }
    }

    fn is_on(&self, name: &str, default: bool) -> Result<bool, InvalidOption> {
        let words = [("yes", true), ("true", true), ("on", true), ("1", true), ("t", true)];
        let no = [("no", false), ("false", false), ("off", false), ("0", false), ("f", false)];
        self.one_of(name, &[words, no].concat(), default)
    }

    fn one_of<T: Copy>(&self, name: &str, values: &[(&str, T)], default: T) -> Result<T, InvalidOption> {
        let Some(given) = self.get(name) else { return Ok(default) };
        match values.iter().find(|(word, _)| word.eq_ignore_ascii_case(given)) {
            Some((_, value)) => Ok(*value),
            None => {
                let words: Vec<&str> = values.iter().map(|(word, _)| *word).collect();
                invalid(name, format!("{given:?} is none of {}", words.join(", ")))
            }
        }
    }

    /// Options that change nothing, for an operator to know.
    fn without_effect(&self) -> Vec<String> {
        const KNOWN: [&str; 31] = [
            "ldap_servers",
            "ldap_version",
            "ldap_use_sasl",
            "ldap_bind_dn",
            "ldap_bind_pw",
            "ldap_password",
            "ldap_auth_method",
            "ldap_start_tls",
            "ldap_search_base",
            "ldap_filter",
            "ldap_scope",
            "ldap_deref",
            "ldap_password_attr",
            "ldap_referrals",
            "ldap_timeout",
            "ldap_time_limit",
            "ldap_default_realm",
            "ldap_default_domain",
            "ldap_tls_check_peer",
            "ldap_tls_cacert_file",
            "ldap_tls_cacert_dir",
            "ldap_tls_cert",
            "ldap_tls_key",
            "ldap_tls_ciphers",
            "ldap_group_dn",
            "ldap_group_attr",
            "ldap_group_filter",
            "ldap_group_match_method",
            "ldap_group_scope",
            "ldap_group_search_base",
            "ldap_restart",
        ];
        let unknown = self.values.keys().filter(|name| !KNOWN.contains(&name.as_str()));
        unknown.map(|name| format!("{name} has no effect here")).collect()
    }
}

fn servers_of(list: &str) -> Result<Vec<ServerUrl>, InvalidOption> {
    let words = list.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let read = |word: &str| {
        ServerUrl::parse(word).map_or_else(
            || {
                invalid(
                    "ldap_servers",
                    format!("{word:?} is not of the form ldap://HOST[:PORT] or ldaps://HOST[:PORT]"),
                )
            },
            Ok,
        )
    };
    let servers: Vec<ServerUrl> = words.map(read).collect::<Result<_, _>>()?;
    if servers.is_empty() { invalid("ldap_servers", "names no server") } else { Ok(servers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        Options::parse(text)
            .and_then(|options| options.settings())
            .map(|(settings, _)| settings)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn s0_32_the_keys_of_todays_template_are_read() {
        let settings = settings(
            "ldap_servers: ldap://a ldaps://b:1636\nldap_search_base: dc=x\nldap_bind_dn: cn=ro,dc=x\nldap_bind_pw: p:w\n\
             ldap_filter: (uid=%u)\nldap_version: 3\nldap_auth_method: fastbind\nldap_tls_check_peer: yes\n\
             ldap_tls_cacert_file: /ca.pem\nldap_start_tls: yes\n# comment\n\n",
        )
        .unwrap();
        let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["ldap://a:389", "ldaps://b:1636"]);
        assert_eq!(settings.method, AuthMethod::Fastbind);
        assert_eq!(settings.start_tls, StartTls::Required);
        assert_eq!(settings.tls.verify, VerifyPeer::Required);
        let ServiceIdentity::Account { dn, password } = settings.service else { panic!("anonymous") };
        assert_eq!((dn.as_str(), password.expose()), ("cn=ro,dc=x", "p:w"));
    }

    #[test]
    fn s0_36_the_default_method_is_bind_and_s0_33_the_default_filter_is_uid() {
        let settings = settings("").unwrap();
        assert_eq!((settings.method, settings.filter.as_str()), (AuthMethod::Bind, "uid=%u"));
        assert_eq!(settings.service, ServiceIdentity::Anonymous);
    }

    #[test]
    fn s0_35_and_s4_41_version_2_is_refused_with_the_reason() {
        assert!(settings("ldap_version: 3").is_ok());
        let refused = settings("ldap_version: 2").unwrap_err();
        assert!(refused.contains("only 3"), "{refused}");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (text, name) in [
            ("ldap_servers: http://a", "ldap_servers"),
            ("ldap_servers: ,", "ldap_servers"),
            ("ldap_auth_method: kerberos", "ldap_auth_method"),
            ("ldap_bind_dn: cn=a", "ldap_bind_pw"),
            ("ldap_use_sasl: yes", "ldap_use_sasl"),
            ("ldap_filter: objectClass=person", "ldap_filter"),
            ("ldap_timeout: 0", "ldap_timeout"),
            ("ldap_timeout: soon", "ldap_timeout"),
            ("ldap_tls_cert: /a", "ldap_tls_cert"),
            ("ldap_group_dn: cn=g\nldap_group_match_method: filter", "ldap_group_filter"),
            ("ldap_start_tls: perhaps", "ldap_start_tls"),
            ("nonsense", "line 1"),
        ] {
            let refused = settings(text).unwrap_err();
            assert!(refused.starts_with(name), "{text}: {refused}");
        }
    }

    #[test]
    fn s0_39_group_scope_timeout_and_referrals_are_read_and_the_rest_is_listed() {
        let options = Options::parse(
            "ldap_group_dn: cn=g,dc=x\nldap_scope: one\nldap_timeout: 9\nldap_referrals: yes\nldap_mech: PLAIN\n",
        )
        .unwrap();
        let (settings, without_effect) = options.settings().unwrap();
        assert_eq!(settings.group.unwrap().matching, GroupMatch::Attribute("uniqueMember".to_owned()));
        assert_eq!((settings.scope, settings.referrals), (Scope::OneLevel, Referrals::Followed));
        assert_eq!(settings.timeout, Duration::from_secs(9));
        assert_eq!(without_effect, ["ldap_mech has no effect here"]);
    }
}
