//! Who may log in where (RFC 6120 §6): everybody as a guest at the clients' domain, service accounts at theirs.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xmpp::sasl::{Mechanism, PlainCredentials, SaslCondition};
use xmpp::{InvalidJid, Jid};

use crate::Settings;
use crate::hosts::VirtualHost;

/// A refused login: the condition, and words that the client shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoginRefused {
    pub(crate) condition: SaslCondition,
    pub(crate) text: Option<&'static str>,
}

impl From<SaslCondition> for LoginRefused {
    fn from(condition: SaslCondition) -> Self {
        Self { condition, text: None }
    }
}

/// The mechanisms of a virtual host. Empty: nobody may log in.
pub(crate) fn mechanisms(settings: &Settings, host: VirtualHost) -> &'static [Mechanism] {
    match host {
        VirtualHost::Clients => &[Mechanism::Anonymous],
        VirtualHost::Services if settings.service_secret.is_some() => &[Mechanism::Plain],
        VirtualHost::Services => &[],
    }
}

/// The bare JID of a guest. The first eight characters of the UUID become the client's nick and endpoint id.
pub(crate) fn guest_jid(settings: &Settings, random: u128) -> Result<Jid, InvalidJid> {
    let node = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
    Jid::new(Some(&node.hyphenated().to_string()), settings.hosts.domain.as_str(), None)
}

/// Checks the name and the password of a service account.
pub(crate) fn service_jid(settings: &Settings, initial_response: &str) -> Result<Jid, LoginRefused> {
    let credentials = PlainCredentials::parse(initial_response)?;
    let jid = check_service(settings, &credentials.authcid, &credentials.password)?;
    // RFC 4616 §2: acting as another is refused, naming oneself is not.
    match credentials.authzid {
        Some(authzid) if authzid.parse() != Ok(jid.clone()) => Err(SaslCondition::InvalidAuthzid.into()),
        Some(_) | None => Ok(jid),
    }
}

/// Whether HTTP credentials (RFC 7617 §2) are those of a service account.
pub(crate) fn is_service_basic(settings: &Settings, credentials: &str) -> bool {
    let decoded = STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .is_some_and(|(name, password)| check_service(settings, name, password).is_ok())
}

fn check_service(settings: &Settings, name: &str, password: &str) -> Result<Jid, LoginRefused> {
    let Some(secret) = &settings.service_secret else { return Err(SaslCondition::InvalidMechanism.into()) };
    let jid = Jid::new(Some(name), settings.hosts.auth.as_str(), None).map_err(|_| SaslCondition::NotAuthorized)?;
    let is_secret = verify_slices_are_equal(password.as_bytes(), secret.expose().as_bytes()).is_ok();
    let is_account = settings.service_accounts.iter().any(|account| Some(account.as_str()) == jid.local());
    if is_secret && is_account { Ok(jid) } else { Err(SaslCondition::NotAuthorized.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn login(authcid: &str, password: &str, authzid: Option<&str>) -> Result<Jid, LoginRefused> {
        let settings = Settings { service_secret: Secret::new("s3cret"), ..Settings::default() };
        let credentials = PlainCredentials {
            authzid: authzid.map(str::to_owned),
            authcid: authcid.to_owned(),
            password: password.to_owned(),
        };
        service_jid(&settings, &credentials.to_auth().text())
    }

    #[test]
    fn a_service_account_needs_its_name_and_the_secret() {
        assert_eq!(login("focus", "s3cret", None).unwrap().as_str(), "focus@auth.meet.jitsi");
        assert_eq!(login("focus", "s3cret", Some("focus@auth.meet.jitsi")).unwrap().local(), Some("focus"));
        let refused = |condition: SaslCondition| Err(LoginRefused::from(condition));
        assert_eq!(login("focus", "s3cre", None), refused(SaslCondition::NotAuthorized));
        assert_eq!(login("mallory", "s3cret", None), refused(SaslCondition::NotAuthorized));
        assert_eq!(login("a b", "s3cret", None), refused(SaslCondition::NotAuthorized));
        assert_eq!(login("jvb", "s3cret", Some("focus@auth.meet.jitsi")), refused(SaslCondition::InvalidAuthzid));
    }

    #[test]
    fn without_a_secret_no_service_logs_in() {
        let settings = Settings::default();
        assert!(mechanisms(&settings, VirtualHost::Services).is_empty());
        assert!(service_jid(&settings, "AGZvY3VzAA==").is_err());
    }

    #[test]
    fn http_credentials_are_checked_the_same_way() {
        let settings = Settings { service_secret: Secret::new("s3cret"), ..Settings::default() };
        assert!(is_service_basic(&settings, &STANDARD.encode("jvb:s3cret")));
        for bad in ["jvb:other", "jvb", "guest:s3cret", ""] {
            assert!(!is_service_basic(&settings, &STANDARD.encode(bad)), "{bad}");
        }
        assert!(!is_service_basic(&settings, "%"));
        assert!(!is_service_basic(&Settings::default(), &STANDARD.encode("jvb:")));
    }

    #[test]
    fn a_guest_is_a_lower_case_uuid() {
        let jid = guest_jid(&Settings::default(), 0xABCD_EF01_u128 << 96).unwrap();
        assert_eq!(jid.local().unwrap().get(..9), Some("abcdef01-"));
        assert_eq!(jid.local().unwrap().len(), 36);
    }
}
