//! Who logged in: the authentication authorities of types XMPP and JWT (focus.md §4). Users of the login domain are who they say; a
//! guest becomes one of them by the id of a session that such a user got on the same machine.
//!
//! Here: sessions and who is bound to them, and what that means for a conference request. Not here: passwords (`signaling`), and
//! who owns a room (`conference::members`).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use auth::AuthTypes;
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

/// Sessions at a time; beyond, the one that was used longest ago is forgotten.
const MAX_SESSIONS: usize = 50_000;
/// Streams bound to one session: a browser has a tab for each.
const MAX_BOUND: usize = 16;
/// How often old sessions are looked for, as in Jicofo.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
/// Longest machine id that is kept; clients send a UUID or a hash.
const MAX_MACHINE_UID_BYTES: usize = 256;

/// Who may open rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationSettings {
    /// The domain whose users do (`authentication.login-url`).
    pub login_domain: String,
    /// How those log in (`authentication.type`).
    pub authority_type: AuthorityType,
    /// Whether a session serves for further conferences, too (`authentication.enable-auto-login`). Those of tokens never do.
    pub auto_login: bool,
}

/// How users of the login domain log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityType {
    /// `XMPP`: with a password, for which their clients have a dialog.
    Xmpp {
        /// How long a session serves without being used (`authentication.authentication-lifetime`).
        lifetime: Duration,
    },
    /// `JWT`: with a token of somebody else, which they come with. A session ends with the conference that it opened.
    Jwt,
}

impl AuthorityType {
    /// Jicofo's default for passwords.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// What Jicofo has for tokens.
    const JWT_LIFETIME: Duration = Duration::from_secs(60);

    /// The type for these ways to log in: clients ask for a password where one serves.
    #[must_use]
    pub fn of(auth_types: &AuthTypes, lifetime: Duration) -> Self {
        if auth_types.take_passwords() { Self::Xmpp { lifetime } } else { Self::Jwt }
    }

    const fn lifetime(self) -> Duration {
        match self {
            Self::Xmpp { lifetime } => lifetime,
            Self::Jwt => Self::JWT_LIFETIME,
        }
    }
}

/// The authority; without settings everybody may open rooms.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    settings: Option<AuthenticationSettings>,
    /// By id.
    sessions: BTreeMap<String, Session>,
    /// Streams of guests that showed the id of a session.
    bound: BTreeMap<Jid, String>,
    /// When old sessions were looked for last.
    expired: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    identity: Jid,
    /// The conference that it was made for.
    room: Jid,
    machine_uid: String,
    last_used: Instant,
    bound: VecDeque<Jid>,
}

/// A session as its client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) session_id: String,
    /// The bare JID.
    pub(crate) identity: String,
}

impl Authority {
    pub(crate) fn new(settings: Option<AuthenticationSettings>) -> Self {
        Self { settings, ..Self::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// Whether people log in elsewhere, so that clients have nothing to ask for (`externalAuth`).
    pub(crate) fn is_external(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.authority_type == AuthorityType::Jwt)
    }

    /// Who asks for a conference, by full JID where that is known: a login, or nobody in particular.
    ///
    /// # Errors
    /// A session that is none, or of another user or machine.
    pub(crate) fn authenticate(
        &mut self,
        client: Option<&Jid>,
        request: &ConferenceRequest,
        new_id: impl FnOnce() -> String,
        now: Instant,
    ) -> Result<Option<Login>, StanzaError> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let is_user = client.is_some_and(|client| client.domain() == settings.login_domain && client.local().is_some());
        let machine_uid = request.machine_uid.as_deref().filter(|uid| !uid.is_empty());
        if machine_uid.is_some_and(|uid| uid.len() > MAX_MACHINE_UID_BYTES) {
            return Err(not_acceptable("machine UID mismatch or empty"));
        }
        if let Some(id) = request.session_id.as_deref().filter(|id| !id.is_empty()) {
            let Some(session) = self.sessions.get_mut(id) else { return Err(invalid_session()) };
            if is_user && client.is_some_and(|client| client.bare_str() != session.identity.as_str()) {
                return Err(invalid_session());
            }
            if machine_uid != Some(session.machine_uid.as_str()) {
                return Err(not_acceptable("machine UID mismatch or empty"));
            }
            session.last_used = now;
            let login = Login { session_id: id.to_owned(), identity: session.identity.to_string() };
            if let Some(client) = client.filter(|_| !is_user) {
                self.bind(id, client);
            }
            return Ok(Some(login));
        }
        let Some(identity) = client.filter(|_| is_user).map(Jid::to_bare) else { return Ok(None) };
        let Some(machine_uid) = machine_uid else {
            return Err(not_acceptable("Missing mandatory attribute 'machine-uid'"));
        };
        let known = self
            .sessions
            .iter_mut()
            .find(|(_, session)| session.identity == identity && session.machine_uid == machine_uid);
        if let Some((id, session)) = known {
            session.last_used = now;
            return Ok(Some(Login { session_id: id.clone(), identity: identity.to_string() }));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used).map(|(id, _)| id.clone());
            oldest.iter().for_each(|id| self.forget(id));
        }
        let id = new_id();
        let login = Login { session_id: id.clone(), identity: identity.to_string() };
        let session = Session {
            identity,
            room: request.room.clone(),
            machine_uid: machine_uid.to_owned(),
            last_used: now,
            bound: VecDeque::new(),
        };
        self.sessions.insert(id, session);
        Ok(Some(login))
    }

    fn bind(&mut self, id: &str, client: &Jid) {
        if self.bound.get(client).is_some_and(|bound| bound == id) {
            return;
        }
        if let Some(before) = self.bound.insert(client.clone(), id.to_owned())
            && let Some(session) = self.sessions.get_mut(&before)
        {
            session.bound.retain(|bound| bound != client);
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.bound.push_back(client.clone());
        if session.bound.len() > MAX_BOUND
            && let Some(oldest) = session.bound.pop_front()
        {
            self.bound.remove(&oldest);
        }
    }

    /// Whether this is a user, or a guest that showed a session of one; by full JID.
    pub(crate) fn is_authenticated(&self, client: &Jid) -> bool {
        self.settings.as_ref().is_some_and(|settings| client.domain() == settings.login_domain)
            || self.bound.contains_key(client)
    }

    /// What a client asks that wants to send its user to where he can log in (focus.md §4). For tokens the client knows better.
    ///
    /// # Errors
    /// When it names no room or no machine.
    pub(crate) fn login_url(&self, request: &Element) -> Result<Element, StanzaError> {
        let room: Option<Jid> = request.attr("room").and_then(|room| room.parse().ok());
        let Some(name) = room.as_ref().and_then(Jid::local) else {
            return Err(StanzaError::new(Condition::NotAcceptable));
        };
        if request.attr("machine-uid").unwrap_or_default().is_empty() {
            return Err(StanzaError::new(Condition::BadRequest).with_text("missing mandatory attribute 'machineUID'"));
        }
        let url = (!self.is_external()).then(|| format!("./{name}?login=true"));
        Ok(Element::new("login-url", ns::FOCUS)
            .with_opt_attr("url", url)
            .with_opt_attr("room", request.attr("room"))
            .with_opt_attr("machine-uid", request.attr("machine-uid")))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn log_out(&mut self, id: &str) -> Result<(), StanzaError> {
        if !self.sessions.contains_key(id) {
            return Err(invalid_session());
        }
        self.forget(id);
        Ok(())
    }

    fn forget(&mut self, id: &str) {
        let Some(session) = self.sessions.remove(id) else { return };
        for client in session.bound {
            self.bound.remove(&client);
        }
    }

    /// A conference is over: sessions of tokens end with theirs, as the next one takes a token again; so do others where nobody is
    /// to be logged in without having asked for it.
    pub(crate) fn on_conference_ended(&mut self, room: &Jid) {
        if !self.is_external() && self.settings.as_ref().is_none_or(|settings| settings.auto_login) {
            return;
        }
        let of_room = self.sessions.iter().filter(|(_, session)| session.room == *room);
        let over: Vec<String> = of_room.map(|(id, _)| id.clone()).collect();
        over.iter().for_each(|id| self.forget(id));
    }

    /// Forgets sessions that were not used for long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let Some(settings) = &self.settings else { return };
        if self.expired.is_some_and(|last| now.saturating_duration_since(last) < EXPIRY_INTERVAL) {
            return;
        }
        self.expired = Some(now);
        let is_over =
            |session: &Session| now.saturating_duration_since(session.last_used) >= settings.authority_type.lifetime();
        let over: Vec<String> =
            self.sessions.iter().filter(|(_, session)| is_over(session)).map(|(id, _)| id.clone()).collect();
        over.iter().for_each(|id| self.forget(id));
    }
}

/// The client behind an IQ: itself, or, through the proxy, whom the resource names. Only a domain can be the proxy: a client
/// chooses its own resource.
pub(crate) fn client_of(from: &Jid) -> Option<Jid> {
    if from.local().is_some() { Some(from.clone()) } else { from.resource()?.parse().ok() }
}

/// A client that may not open a room, and waits for who may.
pub(crate) fn not_authorized() -> StanzaError {
    StanzaError::new(Condition::NotAuthorized).with_text("not authorized user domain")
}

fn not_acceptable(text: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}

fn invalid_session() -> StanzaError {
    not_acceptable("invalid session").with_extension(Element::new("session-invalid", ns::FOCUS))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let settings = AuthenticationSettings {
            login_domain: "meet.jitsi".to_owned(),
            authority_type: AuthorityType::Xmpp { lifetime: AuthorityType::DEFAULT_LIFETIME },
            auto_login: true,
        };
        Authority::new(Some(settings))
    }

    #[expect(clippy::unwrap_in_result, reason = "what is unwrapped is of the test itself")]
    fn ask(
        authority: &mut Authority,
        client: &str,
        machine: Option<&str>,
        session: Option<&str>,
        now: Instant,
    ) -> Result<Option<Login>, String> {
        let mut request = ConferenceRequest::new("demo@muc.meet.jitsi".parse().unwrap());
        request.machine_uid = machine.map(str::to_owned);
        request.session_id = session.map(str::to_owned);
        let id = format!("session-of-{client}");
        let client: Jid = client.parse().unwrap();
        authority.authenticate(Some(&client), &request, || id, now).map_err(|error| error.text.unwrap_or_default())
    }

    #[test]
    fn without_an_authority_nobody_is_asked() {
        let mut authority = Authority::new(None);
        assert_eq!(ask(&mut authority, "a@meet.jitsi/1", None, None, Instant::now()), Ok(None));
        assert!(!authority.is_on() && !authority.is_authenticated(&"a@meet.jitsi/1".parse().unwrap()));
    }

    #[test]
    fn s0_46_a_guest_becomes_a_host_by_the_session_of_one_on_the_same_machine() {
        let now = Instant::now();
        let mut authority = authority();
        assert_eq!(ask(&mut authority, "g@guest.meet.jitsi/1", Some("m"), None, now), Ok(None));
        let login = ask(&mut authority, "alice@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
        assert_eq!(login.identity, "alice@meet.jitsi");
        assert_eq!(ask(&mut authority, "alice@meet.jitsi/2", Some("m"), None, now), Ok(Some(login.clone())));
        let guest = "g@guest.meet.jitsi/1";
        assert!(!authority.is_authenticated(&guest.parse().unwrap()));
        assert_eq!(ask(&mut authority, guest, Some("m"), Some(&login.session_id), now), Ok(Some(login.clone())));
        assert!(authority.is_authenticated(&guest.parse().unwrap()));
        assert!(!authority.is_authenticated(&"g@guest.meet.jitsi/2".parse().unwrap()));
        authority.log_out(&login.session_id).unwrap();
        assert!(!authority.is_authenticated(&guest.parse().unwrap()));
        assert!(authority.log_out(&login.session_id).is_err());
    }

    #[test]
    fn a_session_is_of_one_user_and_one_machine() {
        let now = Instant::now();
        let mut authority = authority();
        let login = ask(&mut authority, "alice@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
        let id = Some(login.session_id.as_str());
        let mismatch = Err("machine UID mismatch or empty".to_owned());
        assert_eq!(ask(&mut authority, "g@guest.meet.jitsi/1", Some("other"), id, now), mismatch);
        assert_eq!(ask(&mut authority, "g@guest.meet.jitsi/1", None, id, now), mismatch);
        assert_eq!(ask(&mut authority, "bob@meet.jitsi/1", Some("m"), id, now), Err("invalid session".to_owned()));
        assert_eq!(
            ask(&mut authority, "bob@meet.jitsi/1", Some("m"), Some("x"), now),
            Err("invalid session".to_owned())
        );
        let missing = Err("Missing mandatory attribute 'machine-uid'".to_owned());
        assert_eq!(ask(&mut authority, "bob@meet.jitsi/1", None, None, now), missing);
    }

    #[test]
    fn a_session_that_is_not_used_ends() {
        let now = Instant::now();
        let mut authority = authority();
        let login = ask(&mut authority, "alice@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
        let later = now + AuthorityType::DEFAULT_LIFETIME;
        authority.expire(later - EXPIRY_INTERVAL);
        assert!(authority.sessions.contains_key(&login.session_id));
        authority.expire(later);
        assert!(authority.sessions.is_empty() && authority.bound.is_empty());
    }

    #[test]
    fn a_session_of_a_token_ends_with_its_conference_or_after_a_minute() {
        let now = Instant::now();
        let settings = AuthenticationSettings {
            login_domain: "meet.jitsi".to_owned(),
            authority_type: AuthorityType::Jwt,
            auto_login: true,
        };
        let mut authority = Authority::new(Some(settings));
        let login = ask(&mut authority, "u@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
        authority.on_conference_ended(&"other@muc.meet.jitsi".parse().unwrap());
        assert!(ask(&mut authority, "g@guest.meet.jitsi/1", Some("m"), Some(&login.session_id), now).is_ok());
        authority.on_conference_ended(&"demo@muc.meet.jitsi".parse().unwrap());
        assert!(ask(&mut authority, "g@guest.meet.jitsi/1", Some("m"), Some(&login.session_id), now).is_err());
        ask(&mut authority, "u@meet.jitsi/1", Some("m"), None, now).unwrap();
        authority.expire(now + AuthorityType::JWT_LIFETIME);
        assert!(authority.sessions.is_empty() && authority.bound.is_empty());
    }

    #[test]
    fn s2_57_without_auto_login_a_session_serves_for_one_conference() {
        let now = Instant::now();
        let room = "demo@muc.meet.jitsi".parse().unwrap();
        for auto_login in [true, false] {
            let mut authority = authority();
            authority.settings.as_mut().unwrap().auto_login = auto_login;
            let login = ask(&mut authority, "alice@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
            authority.on_conference_ended(&room);
            let again = ask(&mut authority, "g@guest.meet.jitsi/1", Some("m"), Some(&login.session_id), now);
            assert_eq!(again.is_ok(), auto_login);
        }
    }

    #[test]
    fn who_has_a_password_is_asked_for_it_wherever_one_serves() {
        let lifetime = AuthorityType::DEFAULT_LIFETIME;
        let of = |types: &str| AuthorityType::of(&types.parse().unwrap(), lifetime);
        assert_eq!(["internal", "ldap", "jwt,internal"].map(of), [AuthorityType::Xmpp { lifetime }; 3]);
        assert_eq!(of("jwt"), AuthorityType::Jwt);
    }

    #[test]
    fn streams_bound_to_a_session_are_bounded() {
        let now = Instant::now();
        let mut authority = authority();
        let login = ask(&mut authority, "alice@meet.jitsi/1", Some("m"), None, now).unwrap().unwrap();
        for n in 0..3 * MAX_BOUND {
            ask(&mut authority, &format!("g{n}@guest.meet.jitsi/1"), Some("m"), Some(&login.session_id), now).unwrap();
        }
        assert_eq!(authority.bound.len(), MAX_BOUND);
    }

    #[test]
    fn nobody_is_the_proxy_but_a_domain() {
        let client = |from: &str| client_of(&from.parse().unwrap()).map(|jid| jid.to_string());
        assert_eq!(client("focus.meet.jitsi/alice@meet.jitsi/1").as_deref(), Some("alice@meet.jitsi/1"));
        assert_eq!(
            client("g@guest.meet.jitsi/alice@meet.jitsi/1").as_deref(),
            Some("g@guest.meet.jitsi/alice@meet.jitsi/1")
        );
        assert_eq!(client("focus.meet.jitsi"), None);
    }
}
