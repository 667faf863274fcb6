//! The directory as a whole: its servers in order, as many logins at a time as it may have.

#![allow(clippy::disallowed_methods, reason = "this is the shell: it reads the clock")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::connection::{Connection, Policy};
use crate::login::{Attempt, Outcome};
use crate::tls::{self, UnusableFile};
use crate::{Error, Password, Pattern, Refusal, ServerUrl, Settings, StartTls, Subject, VerifyPeer};

/// Logins that run at a time, each with a connection of its own: a directory has hundreds, and one that takes seconds for
/// each still serves a lecture hall.
pub const MAX_CONCURRENT: usize = 64;
/// Logins that wait for one of those places; more are refused at once.
const MAX_WAITING: usize = 1024;
/// How long a server that did not answer is asked last.
const SET_BACK: Duration = Duration::from_secs(30);
/// What a server may send for one login: a few entries without attributes.
const LOGIN_BYTES: usize = 4 * 1024 * 1024;
/// What a server may send for a listing.
const LISTING_BYTES: usize = 256 * 1024 * 1024;
/// Servers that one login is sent on to.
const MAX_HOPS: usize = 4;
/// Longest user name: that of the local part of a JID (RFC 7622 §3.3.1).
const MAX_NAME_BYTES: usize = 1023;
/// Longest password that is sent on.
const MAX_PASSWORD_BYTES: usize = 4096;

/// A directory that users log in against. Clones are the same.
#[derive(Clone, Debug)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    tls: Arc<ClientConfig>,
    turns: Semaphore,
    waiting: AtomicUsize,
    /// Until when each server is asked last.
    set_back: Mutex<Vec<Option<Instant>>>,
}

/// What a directory has of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The distinguished name.
    pub dn: String,
    /// Values by attribute.
    pub attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Directory {
    /// A directory; no server is asked anything yet.
    ///
    /// # Errors
    /// A file with certificates or a key that does not serve.
    pub fn new(settings: Settings) -> Result<Self, UnusableFile> {
        let tls = tls::client_config(&settings.tls)?;
        let uses_tls = settings.start_tls == StartTls::Required || settings.servers.iter().any(|server| server.is_tls);
        if uses_tls && settings.tls.verify == VerifyPeer::Off {
            tracing::warn!(
                "LDAP servers need no valid certificate: whoever is in between reads passwords (set LDAP_TLS_CHECK_PEER=1)"
            );
        }
        if settings.servers.iter().any(|server| !server.is_tls) && settings.start_tls == StartTls::Off {
            tracing::warn!("passwords go to the LDAP servers in the clear (use ldaps:// or LDAP_START_TLS=1)");
        }
        let set_back = Mutex::new(vec![None; settings.servers.len()]);
        let inner =
            Inner { settings, tls, turns: Semaphore::new(MAX_CONCURRENT), waiting: AtomicUsize::new(0), set_back };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Whether this is the password of the user; answers the DN of his entry. `realm` is the XMPP domain. Dropped, it stops.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not; all others say that nobody knows.
    pub async fn authenticate(&self, user: &str, password: &Password, realm: &str) -> Result<String, Error> {
        let secret = password.expose();
        if secret.is_empty() {
            return Err(Error::Refused(Refusal::EmptyPassword));
        }
        if user.is_empty() || user.len() > MAX_NAME_BYTES || user.contains('\0') {
            return Err(Error::Refused(Refusal::BadName));
        }
        if secret.len() > MAX_PASSWORD_BYTES || secret.contains('\0') {
            return Err(Error::Refused(Refusal::InvalidCredentials { code: 0 }));
        }
        let inner = Arc::clone(&self.inner);
        let (user, password, realm) = (user.to_owned(), password.clone(), realm.to_owned());
        self.contained(LOGIN_BYTES, move |policy| async move { inner.login(&user, &password, &realm, &policy).await })
            .await
    }

    /// The entries that could log in, up to a number.
    ///
    /// # Errors
    /// As [`Directory::authenticate`], except for refusals.
    pub async fn list(&self, max: usize) -> Result<Vec<Entry>, Error> {
        let inner = Arc::clone(&self.inner);
        self.contained(LISTING_BYTES, move |policy| async move {
            let mut last = None;
            for (_, server) in inner.in_order() {
                let listing = async {
                    let mut connection = Connection::open(&server, &policy).await?;
                    connection.bind_service(&inner.settings.service).await?;
                    connection.list(&inner.settings, inner.settings.filter.of_anybody(), max).await
                };
                match listing.await {
                    Err(error) if error.is_of_server() => last = Some(error),
                    end => return end,
                }
            }
            Err(last.unwrap_or(Error::Busy))
        })
        .await
    }

    /// Runs in a task of its own: should `ldap3` panic on what a server says, it is the end of that login only.
    async fn contained<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        max_bytes: usize,
        run: impl FnOnce(Policy) -> F,
    ) -> Result<T, Error> {
        let Inner { settings, tls, turns, waiting, .. } = &*self.inner;
        let _turn = {
            let _waits = Waits::begin(waiting).ok_or(Error::Busy)?;
            let patience = settings.timeout.saturating_mul(2);
            tokio::time::timeout(patience, turns.acquire()).await.ok().and_then(Result::ok).ok_or(Error::Busy)?
        };
        let policy =
            Policy { start_tls: settings.start_tls, tls: Arc::clone(tls), timeout: settings.timeout, max_bytes };
        let mut task = JoinSet::new();
        task.spawn(run(policy));
        match task.join_next().await {
            Some(Ok(end)) => end,
            Some(Err(_)) | None => {
                Err(Error::Misbehaved { server: "ldap".to_owned(), what: "an answer that cannot be read".to_owned() })
            }
        }
    }
}

impl Inner {
    /// The servers as they stand in the settings, those that did not answer lately behind the others.
    fn in_order(&self) -> Vec<(usize, ServerUrl)> {
        let now = Instant::now();
        let set_back = self.set_back.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers: Vec<(usize, ServerUrl)> = self.settings.servers.iter().cloned().enumerate().collect();
        servers.sort_by_key(|(at, _)| set_back.get(*at).copied().flatten().is_some_and(|until| until > now));
        servers
    }

    fn note(&self, at: usize, until: Option<Instant>) {
        if let Some(place) = self.set_back.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
            *place = until;
        }
    }

    async fn login(&self, user: &str, password: &Password, realm: &str, policy: &Policy) -> Result<String, Error> {
        let realm = if realm.is_empty() { self.settings.default_realm.as_str() } else { realm };
        let subject = Subject { user, service: &self.settings.service_name, realm, dn: None };
        let mut last = None;
        for (at, server) in self.in_order() {
            match self.login_at(&server, Attempt { subject, password, base: None }, policy).await {
                Err(error) if error.is_of_server() => {
                    tracing::warn!(error = crate::directory::chain(&error), "LDAP server passed over");
                    self.note(at, Some(Instant::now() + SET_BACK));
                    last = Some(error);
                }
                end => {
                    self.note(at, None);
                    return end;
                }
            }
        }
        Err(last.unwrap_or(Error::Busy))
    }

    /// Logs in at a server, and where it sends us.
    async fn login_at(&self, server: &ServerUrl, attempt: Attempt<'_>, policy: &Policy) -> Result<String, Error> {
        let mut connection = Connection::open(server, policy).await?;
        let mut policy = policy.clone();
        if server.is_tls {
            // What was said under TLS is not said again without.
            policy.start_tls = StartTls::Required;
        }
        let mut to_ask = match connection.login(&self.settings, attempt).await? {
            Outcome::In(dn) => return Ok(dn),
            Outcome::Elsewhere(referrals) => referrals,
        };
        for _ in 0..MAX_HOPS {
            let Some(referral) = to_ask.pop() else { break };
            let mut connection = Connection::open(&referral.server, &policy).await?;
            let attempt = Attempt { base: Some(&referral.base), ..attempt };
            match connection.login(&self.settings, attempt).await {
                Ok(Outcome::In(dn)) => return Ok(dn),
                Ok(Outcome::Elsewhere(more)) => to_ask.extend(more),
                Err(Error::Refused(Refusal::NoSuchUser) | Error::NoSuchBase { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Refused(Refusal::NoSuchUser))
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// One of those who wait, while it lives.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Option<Self> {
        let this = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(this)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pattern {
    /// The filter with any value for each token.
    fn of_anybody(&self) -> crate::Expansion {
        let mut out = String::new();
        let mut chars = self.as_str().chars();
        while let Some(c) = chars.next() {
            match (c, chars.clone().next()) {
                ('%', Some('u' | 'U' | 'd' | 's' | 'r' | 'D' | '1'..='9')) => {
                    chars.next();
                    if !out.ends_with('*') {
                        out.push('*');
                    }
                }
                ('%', Some('%')) => {
                    chars.next();
                    out.push('%');
                }
                _ => out.push(c),
            }
        }
        crate::Expansion(crate::parenthesized(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_anybody_has_a_star_for_each_token() {
        for (pattern, filter) in
            [("uid=%u", "(uid=*)"), ("(&(a=%U@%d)(b=1%%))", "(&(a=*@*)(b=1%))"), ("uid=%u%d", "(uid=*)")]
        {
            assert_eq!(Pattern::new(pattern).of_anybody().0, filter);
        }
    }

    #[tokio::test]
    async fn an_empty_password_is_refused_before_anybody_is_asked() {
        let directory = Directory::new(Settings::default()).unwrap();
        for (user, password) in [("bob", ""), ("", "x"), ("b\0", "x"), ("bob", "a\0b")] {
            let refused = directory.authenticate(user, &Password::new(password), "meet.jitsi").await;
            assert!(matches!(refused, Err(Error::Refused(_))), "{user:?} {password:?}: {refused:?}");
        }
    }
}
