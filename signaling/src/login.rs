//! Who may log in where (RFC 6120 §6): everybody as a guest at the clients' domain, accounts at theirs. How passwords are
//! checked is in `accounts.rs` and `scram.rs`.

use auth::TokenRefused;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xmpp::sasl::{Mechanism, PlainCredentials, SaslCondition, ScramHash};
use xmpp::{InvalidJid, Jid};

use crate::accounts::{Accounts, PasswordCheck};
use crate::hosts::VirtualHost;
use crate::stream::{Carrier, ChannelBinding, Tls};
use crate::{Settings, ShownToken};

/// A refused login: the condition, and words that the client shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoginRefused {
    pub(crate) condition: SaslCondition,
    pub(crate) text: Option<String>,
}

impl From<SaslCondition> for LoginRefused {
    fn from(condition: SaslCondition) -> Self {
        Self { condition, text: None }
    }
}

/// The mechanisms of a virtual host on a carrier, the strongest first. Empty: nobody may log in.
pub(crate) fn mechanisms(
    settings: &Settings,
    accounts: &Accounts,
    host: VirtualHost,
    carrier: Carrier,
    bindings: &[ChannelBinding],
) -> Vec<Mechanism> {
    let has_accounts = accounts.has_any_at(settings.hosts.domain_of(host));
    let may_send_passwords = match carrier {
        Carrier::Tcp(Tls::Required) => return Vec::new(),
        // A password in the clear is for everybody to read; SCRAM serves without TLS, too.
        Carrier::Tcp(Tls::Offered) => false,
        Carrier::Tcp(Tls::Absent | Tls::Established)
        | Carrier::WebSocket
        | Carrier::Bosh
        | Carrier::Component
        | Carrier::InProcess => true,
    };
    let is_offered = |mechanism: &Mechanism| match mechanism {
        Mechanism::Anonymous => match host {
            VirtualHost::Clients => settings.anonymous_login,
            VirtualHost::Guests => true,
            VirtualHost::Services | VirtualHost::Hidden => false,
        },
        Mechanism::Plain => has_accounts && may_send_passwords,
        Mechanism::Scram { is_bound, .. } => has_accounts && (!is_bound || !bindings.is_empty()),
    };
    Mechanism::ALL.into_iter().filter(is_offered).collect()
}

/// The bare JID of a guest. The first eight characters of the UUID become the client's nick and endpoint id.
pub(crate) fn guest_jid(domain: &Jid, random: u128) -> Result<Jid, InvalidJid> {
    let node = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
    Jid::new(Some(&node.hyphenated().to_string()), domain.domain(), None)
}

/// Whether the token that a client showed lets it in without a password (`mod_auth_token`). Clients show the text.
pub(crate) fn check_token(settings: &Settings, host: VirtualHost, token: &ShownToken) -> Result<(), LoginRefused> {
    let Some(tokens) = settings.tokens.as_ref().filter(|_| host == VirtualHost::Clients) else { return Ok(()) };
    let refused = match token {
        ShownToken::Verified(_) => return Ok(()),
        ShownToken::None if tokens.allow_empty => return Ok(()),
        ShownToken::None => TokenRefused::Missing,
        ShownToken::Refused(refused) => *refused,
    };
    let lacks_claim = matches!(refused, TokenRefused::NoRoom | TokenRefused::NoTenant);
    let condition = if lacks_claim { SaslCondition::NotAuthorized } else { SaslCondition::NotAllowed };
    Err(LoginRefused { condition, text: Some(refused.to_string()) })
}

/// What a PLAIN message asks to be checked, at a virtual host's domain.
pub(crate) fn plain_check(
    accounts: &Accounts,
    domain: &Jid,
    message: &str,
) -> Result<(Jid, PasswordCheck), LoginRefused> {
    let credentials = PlainCredentials::parse(message)?;
    let jid = Jid::new(Some(&credentials.authcid), domain.domain(), None).map_err(|_| SaslCondition::NotAuthorized)?;
    // RFC 4616 §2: acting as another is refused, naming oneself is not.
    if credentials.authzid.is_some_and(|authzid| authzid.parse() != Ok(jid.clone())) {
        return Err(SaslCondition::InvalidAuthzid.into());
    }
    let login = accounts.keys(&jid, ScramHash::Sha256);
    Ok((jid, PasswordCheck { login, password: credentials.password }))
}

/// Whether HTTP credentials (RFC 7617 §2) are those of a service account.
pub(crate) fn is_service_basic(settings: &Settings, credentials: &str) -> bool {
    let decoded = STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .is_some_and(|(name, password)| is_service_password(settings, name, password))
}

fn is_service_password(settings: &Settings, name: &str, password: &str) -> bool {
    let Some(secret) = &settings.service_secret else { return false };
    verify_slices_are_equal(password.as_bytes(), secret.expose().as_bytes()).is_ok()
        && settings.service_accounts.iter().any(|account| account == name)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::Secret;

    fn settings() -> Settings {
        Settings { service_secret: Secret::new("s3cret"), ..Settings::default() }
    }

    fn accounts(settings: &Settings) -> Accounts {
        Accounts::of(settings, &mut StdRng::from_seed([1; 32]))
    }

    fn login(authcid: &str, password: &str, authzid: Option<&str>) -> Result<Jid, LoginRefused> {
        let settings = settings();
        let credentials = PlainCredentials {
            authzid: authzid.map(str::to_owned),
            authcid: authcid.to_owned(),
            password: password.to_owned(),
        };
        let (jid, check) = plain_check(&accounts(&settings), &settings.hosts.auth, &credentials.to_auth().text())?;
        if check.run() { Ok(jid) } else { Err(SaslCondition::NotAuthorized.into()) }
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

    fn offered(settings: &Settings, host: VirtualHost, carrier: Carrier, bindings: &[ChannelBinding]) -> String {
        let mechanisms = mechanisms(settings, &accounts(settings), host, carrier, bindings);
        mechanisms.iter().map(|mechanism| mechanism.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_offered_depends_on_host_and_carrier() {
        let with_secret = settings();
        let offered = |host, carrier, bindings: &[ChannelBinding]| offered(&with_secret, host, carrier, bindings);
        let binding = [ChannelBinding { name: "tls-exporter", data: vec![1] }];
        let (clients, services) = (VirtualHost::Clients, VirtualHost::Services);
        assert_eq!(offered(clients, Carrier::WebSocket, &[]), "ANONYMOUS");
        assert_eq!(offered(clients, Carrier::Tcp(Tls::Established), &binding), "ANONYMOUS");
        assert_eq!(offered(services, Carrier::WebSocket, &[]), "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
        assert_eq!(offered(services, Carrier::Tcp(Tls::Required), &[]), "");
        assert_eq!(offered(services, Carrier::Tcp(Tls::Offered), &[]), "SCRAM-SHA-256 SCRAM-SHA-1");
        assert_eq!(
            offered(services, Carrier::Tcp(Tls::Established), &binding),
            "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"
        );
        assert_eq!(offered(VirtualHost::Hidden, Carrier::WebSocket, &[]), "", "nobody has an account there");
    }

    #[test]
    fn without_a_secret_no_service_logs_in() {
        assert_eq!(offered(&Settings::default(), VirtualHost::Services, Carrier::WebSocket, &[]), "");
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
        let jid = guest_jid(&Settings::default().hosts.domain, 0xABCD_EF01_u128 << 96).unwrap();
        assert_eq!(jid.local().unwrap().get(..9), Some("abcdef01-"));
        assert_eq!(jid.local().unwrap().len(), 36);
    }
}
