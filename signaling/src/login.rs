//! Who may log in where (RFC 6120 §6): everybody as a guest at the domain for guests, accounts at theirs. How passwords are
//! checked is in `accounts.rs` and `scram.rs`, or asked of others by the shell (`shell/backends.rs`).

use auth::TokenRefused;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xmpp::sasl::{Mechanism, PlainCredentials, SaslCondition, ScramHash};
use xmpp::{InvalidJid, Jid};

use crate::accounts::{Accounts, Asks, PasswordCheck, StoredHashes};
use crate::hosts::VirtualHost;
use crate::stream::{Carrier, ChannelBinding, Tls};
use crate::{AccountSource, Settings, ShownToken, user_names};

/// What who is not listened to is told.
const TOO_MANY_FAILURES: &str = "too many failed logins";

/// Why a login is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginRefused {
    /// By the rules of SASL.
    Sasl(SaslCondition),
    /// It is not the password of this account, or there is no such account.
    WrongPassword(Jid),
    /// The token does not let its user in.
    Token(TokenRefused),
    /// Another server does not let him in, with the words that he is told.
    Access(String),
    /// Too many logins failed before, of the address or on this account.
    TooManyFailures(Option<Jid>),
}

impl From<SaslCondition> for LoginRefused {
    fn from(condition: SaslCondition) -> Self {
        Self::Sasl(condition)
    }
}

impl LoginRefused {
    /// What the client is told.
    pub(crate) fn condition(&self) -> SaslCondition {
        match self {
            Self::Sasl(condition) => *condition,
            Self::WrongPassword(_) => SaslCondition::NotAuthorized,
            Self::Token(TokenRefused::NoRoom | TokenRefused::NoTenant) => SaslCondition::NotAuthorized,
            Self::Token(_) | Self::Access(_) => SaslCondition::NotAllowed,
            Self::TooManyFailures(_) => SaslCondition::TemporaryAuthFailure,
        }
    }

    /// Words that the client shows.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Sasl(_) | Self::WrongPassword(_) => None,
            Self::Token(refused) => Some(refused.to_string()),
            Self::Access(text) => Some(text.clone()),
            Self::TooManyFailures(_) => Some(TOO_MANY_FAILURES.to_owned()),
        }
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
    let domain = settings.hosts.domain_of(host);
    let asks = asks(settings, accounts, host);
    let has_accounts = accounts.has_any_at(domain) || asks != Asks::Nobody;
    let stored = accounts.stored_at(domain);
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
            VirtualHost::Clients => settings.client_login.takes_no_password(),
            VirtualHost::Guests => true,
            VirtualHost::Node(_) => settings.client_login.takes_no_password() || settings.hosts.guest.is_some(),
            VirtualHost::Services | VirtualHost::Hidden => false,
        },
        Mechanism::Plain => has_accounts && may_send_passwords,
        // A directory wants the password itself.
        Mechanism::Scram { .. } if asks == Asks::Directory => false,
        // A client takes the strongest that is offered, and gives up when it fails.
        Mechanism::Scram { hash: ScramHash::Sha256, .. } if stored == Some(StoredHashes::Sha1) => false,
        Mechanism::Scram { is_bound, .. } => has_accounts && (!is_bound || !bindings.is_empty()),
    };
    Mechanism::ALL.into_iter().filter(is_offered).collect()
}

/// Who knows the accounts of a virtual host that the settings do not name.
pub(crate) fn asks(settings: &Settings, accounts: &Accounts, host: VirtualHost) -> Asks {
    match host {
        VirtualHost::Clients => match settings.client_login.accounts() {
            None => Asks::Nobody,
            Some(AccountSource::Store) => Asks::Store,
            Some(AccountSource::Directory) => Asks::Directory,
        },
        VirtualHost::Guests | VirtualHost::Node(_) => Asks::Nobody,
        VirtualHost::Services | VirtualHost::Hidden => match accounts.stored_at(settings.hosts.domain_of(host)) {
            Some(_) => Asks::Store,
            None => Asks::Nobody,
        },
    }
}

/// The bare JID of a guest. The first eight characters of the UUID become the client's nick and endpoint id.
pub(crate) fn guest_jid(domain: &Jid, random: u128) -> Result<Jid, InvalidJid> {
    let node = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
    Jid::new(Some(&node.hyphenated().to_string()), domain.domain(), None)
}

/// Whether the token that a client showed lets it in without a password (`mod_auth_token`). Clients show the text.
pub(crate) fn check_token(settings: &Settings, host: VirtualHost, token: &ShownToken) -> Result<(), LoginRefused> {
    let takes_guests = match host {
        VirtualHost::Clients => false,
        // Guests of the conference are guests among its visitors.
        VirtualHost::Node(_) => settings.hosts.guest.is_some(),
        VirtualHost::Guests | VirtualHost::Services | VirtualHost::Hidden => return Ok(()),
    };
    let Some(tokens) = settings.client_login.tokens() else { return Ok(()) };
    match token {
        ShownToken::Verified(_) => Ok(()),
        ShownToken::None if tokens.allow_empty || takes_guests => Ok(()),
        ShownToken::None => Err(LoginRefused::Token(TokenRefused::Missing)),
        ShownToken::Refused(refused) => Err(LoginRefused::Token(*refused)),
    }
}

/// What a PLAIN message asks to be checked, at a virtual host's domain.
pub(crate) fn plain_check(
    accounts: &Accounts,
    domain: &Jid,
    asks: Asks,
    message: &str,
) -> Result<PasswordCheck, LoginRefused> {
    let credentials = PlainCredentials::parse(message)?;
    // A directory's names may have what a JID may not: `ndeye@corp.example`.
    let name = match asks {
        Asks::Directory => user_names::unescaped(&credentials.authcid),
        Asks::Nobody | Asks::Store => credentials.authcid.clone(),
    };
    let local = if asks == Asks::Directory { user_names::escaped(&name) } else { name.clone() };
    let jid = Jid::new(Some(&local), domain.domain(), None).map_err(|_| SaslCondition::NotAuthorized)?;
    // RFC 4616 §2: acting as another is refused, naming oneself is not.
    if credentials.authzid.is_some_and(|authzid| authzid.parse() != Ok(jid.clone())) {
        return Err(SaslCondition::InvalidAuthzid.into());
    }
    let source = accounts.source(&jid, asks);
    Ok(PasswordCheck { jid, name, password: credentials.password, source })
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
    use crate::accounts::Verdict;
    use crate::{ClientLogin, Secret, VisitorHosts};

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
        let message = credentials.to_auth().text();
        let check = plain_check(&accounts(&settings), &settings.hosts.auth, Asks::Nobody, &message)?;
        if check.run() == Verdict::Right { Ok(check.jid) } else { Err(SaslCondition::NotAuthorized.into()) }
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
    fn s1_21_where_clients_need_accounts_guests_have_a_domain_of_their_own() {
        let mut settings =
            Settings { client_login: ClientLogin::Passwords(AccountSource::Store), ..Settings::default() };
        settings.hosts.guest = Some("guest.meet.jitsi".parse().unwrap());
        assert_eq!(settings.hosts.virtual_host(&"guest.meet.jitsi".parse().unwrap()), Some(VirtualHost::Guests));
        let (guests, clients) = (VirtualHost::Guests, VirtualHost::Clients);
        assert_eq!(offered(&settings, guests, Carrier::WebSocket, &[]), "ANONYMOUS");
        assert_eq!(offered(&settings, clients, Carrier::WebSocket, &[]), "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN");
        settings.client_login = ClientLogin::Passwords(AccountSource::Directory);
        assert_eq!(offered(&settings, clients, Carrier::WebSocket, &[]), "PLAIN");
        assert_eq!(offered(&settings, clients, Carrier::Tcp(Tls::Offered), &[]), "", "not in the clear");
    }

    #[test]
    fn visitors_log_in_without_a_password_where_participants_do_or_are_guests() {
        let mut settings = Settings::default();
        settings.hosts.visitors = Some(VisitorHosts::of(&settings.hosts, 1, "meet.jitsi").unwrap());
        let node = settings.hosts.virtual_host(&"v1.meet.jitsi".parse().unwrap()).unwrap();
        assert_eq!(offered(&settings, node, Carrier::WebSocket, &[]), "ANONYMOUS");
        settings.client_login = ClientLogin::Passwords(AccountSource::Store);
        assert_eq!(offered(&settings, node, Carrier::WebSocket, &[]), "", "nobody watches who could not take part");
        settings.hosts.guest = Some("guest.meet.jitsi".parse().unwrap());
        assert_eq!(offered(&settings, node, Carrier::WebSocket, &[]), "ANONYMOUS");
    }

    #[test]
    fn accounts_that_came_hashed_take_the_stronger_hash_off_the_list_of_their_domain() {
        let settings = Settings { client_login: ClientLogin::Passwords(AccountSource::Store), ..Settings::default() };
        let mut accounts = accounts(&settings);
        accounts.set_stored([("meet.jitsi".to_owned(), StoredHashes::Sha1)].into());
        let of = |host| mechanisms(&settings, &accounts, host, Carrier::WebSocket, &[]);
        assert_eq!(of(VirtualHost::Clients).iter().map(|m| m.as_str()).collect::<Vec<_>>(), ["SCRAM-SHA-1", "PLAIN"]);
        accounts.set_stored([("hidden.meet.jitsi".to_owned(), StoredHashes::All)].into());
        assert_eq!(mechanisms(&settings, &accounts, VirtualHost::Hidden, Carrier::WebSocket, &[]).len(), 3);
    }

    #[test]
    fn s1_35_a_name_of_a_directory_may_be_an_address() {
        let settings = settings();
        for authcid in ["ndeye@corp.example.sn", "ndeye\\40corp.example.sn"] {
            let credentials =
                PlainCredentials { authzid: None, authcid: authcid.to_owned(), password: "planted".to_owned() };
            let message = credentials.to_auth().text();
            let check = plain_check(&accounts(&settings), &settings.hosts.domain, Asks::Directory, &message).unwrap();
            assert_eq!(check.name, "ndeye@corp.example.sn");
            assert_eq!(check.jid.as_str(), "ndeye\\40corp.example.sn@meet.jitsi");
            assert!(!format!("{check:?}").contains("planted"));
        }
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
