//! A login on a connection: bind, search, bind as the entry, group (RFC 4511 §4.2, §4.5, §4.10).

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{DerefAliases, LdapResult, SearchEntry, SearchOptions};

use crate::connection::Connection;
use crate::{
    AuthMethod, Deref, Entry, Error, Expansion, GroupCheck, GroupMatch, Referrals, Refusal, Scope, ServerUrl,
    ServiceIdentity, Settings, Subject, password_hash,
};

/// Entries that a search for one user asks for: one more than may fit.
const USER_ENTRIES: usize = 2;
/// Other servers that one answer may name.
const MAX_REFERRALS: usize = 4;
/// Entries of one page (RFC 2696); Active Directory gives no more than 1000.
const PAGE: i32 = 500;

// RFC 4511 §4.1.9.
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const COMPARE_TRUE: u32 = 6;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// What became of a login on one server.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The user is in; the DN of the entry.
    In(String),
    /// Another server knows.
    Elsewhere(Vec<Referral>),
}

/// Where a search goes on.
#[derive(Debug)]
pub(crate) struct Referral {
    pub(crate) server: ServerUrl,
    pub(crate) base: String,
}

/// A user's name and password, and where a referral said to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) password: &'a crate::Password,
    pub(crate) base: Option<&'a str>,
}

impl Connection {
    pub(crate) async fn login(&mut self, settings: &Settings, attempt: Attempt<'_>) -> Result<Outcome, Error> {
        let password = attempt.password.expose();
        match settings.method {
            AuthMethod::Fastbind => {
                let name = settings.filter.bind_name(&attempt.subject).ok_or(Error::Refused(Refusal::BadName))?;
                self.bind_user(&name.0, password).await?;
                self.check_group(settings, &attempt, &name.0).await?;
                Ok(Outcome::In(name.0))
            }
            AuthMethod::Bind | AuthMethod::Custom => {
                self.bind_service(&settings.service).await?;
                let wants_password = settings.method == AuthMethod::Custom;
                let attribute = if wants_password { settings.password_attribute.as_str() } else { "1.1" };
                let entry = match self.find(settings, &attempt, attribute).await? {
                    Found::Entry(entry) => entry,
                    Found::Elsewhere(referrals) => return Ok(Outcome::Elsewhere(referrals)),
                };
                // Before the bind as the user, who may not be let look at groups.
                self.check_group(settings, &attempt, &entry.dn).await?;
                if wants_password {
                    compare(&entry, attribute, password)?;
                } else {
                    self.bind_user(&entry.dn, password).await?;
                }
                Ok(Outcome::In(entry.dn))
            }
        }
    }

    /// Binds as ourselves.
    pub(crate) async fn bind_service(&mut self, identity: &ServiceIdentity) -> Result<(), Error> {
        let (dn, password) = match identity {
            ServiceIdentity::Anonymous => ("", ""),
            ServiceIdentity::Account { dn, password } => (dn.as_str(), password.expose()),
        };
        match self.bind(dn, password).await?.rc {
            SUCCESS => Ok(()),
            code @ (BUSY | UNAVAILABLE) => Err(Error::Unavailable { server: self.server.to_string(), code }),
            code => Err(Error::ServiceBindRefused { server: self.server.to_string(), code }),
        }
    }

    /// Binds as the user. An empty password never gets here: servers would take it for no user at all (RFC 4513 §5.1.2).
    async fn bind_user(&mut self, name: &str, password: &str) -> Result<(), Error> {
        if password.is_empty() || name.is_empty() {
            return Err(Error::Refused(Refusal::EmptyPassword));
        }
        match self.bind(name, password).await?.rc {
            SUCCESS => Ok(()),
            code @ (BUSY | UNAVAILABLE) => Err(Error::Unavailable { server: self.server.to_string(), code }),
            code => Err(Error::Refused(Refusal::InvalidCredentials { code })),
        }
    }

    async fn bind(&mut self, name: &str, password: &str) -> Result<LdapResult, Error> {
        let bound = self.request().simple_bind(name, password).await;
        bound.map_err(|error| self.error(&error))
    }

    async fn find(&mut self, settings: &Settings, attempt: &Attempt<'_>, attribute: &str) -> Result<Found, Error> {
        let base = attempt.base.map_or_else(|| settings.base.dn(&attempt.subject).0, str::to_owned);
        let query = Query { base: &base, scope: settings.scope, filter: settings.filter.filter(&attempt.subject) };
        let (mut entries, result) = self.search(settings, &query, &[attribute], USER_ENTRIES).await?;
        match (entries.pop(), result.rc) {
            (Some(_), _) if !entries.is_empty() => Err(Error::Refused(Refusal::Ambiguous)),
            (_, SIZE_LIMIT_EXCEEDED) => Err(Error::Refused(Refusal::Ambiguous)),
            (Some(entry), SUCCESS) => Ok(Found::Entry(entry)),
            (None, SUCCESS | REFERRAL) => {
                let referrals: Vec<Referral> =
                    result.refs.iter().filter_map(|url| referral(url, &base)).take(MAX_REFERRALS).collect();
                if settings.referrals == Referrals::Ignored || referrals.is_empty() {
                    return Err(Error::Refused(Refusal::NoSuchUser));
                }
                Ok(Found::Elsewhere(referrals))
            }
            (_, NO_SUCH_OBJECT) => Err(Error::NoSuchBase { server: self.server.to_string(), base }),
            (_, code @ (BUSY | UNAVAILABLE)) => Err(Error::Unavailable { server: self.server.to_string(), code }),
            (_, code) => Err(Error::SearchFailed { server: self.server.to_string(), code }),
        }
    }

    /// All entries of a filter, page by page, up to a number.
    pub(crate) async fn list(
        &mut self,
        settings: &Settings,
        filter: Expansion,
        max: usize,
    ) -> Result<Vec<Entry>, Error> {
        let base = settings.base.as_str();
        let query = Query { base, scope: settings.scope, filter };
        let (entries, result) = self.search(settings, &query, &["1.1"], max).await?;
        match result.rc {
            SUCCESS | SIZE_LIMIT_EXCEEDED | REFERRAL => Ok(entries),
            NO_SUCH_OBJECT => Err(Error::NoSuchBase { server: self.server.to_string(), base: base.to_owned() }),
            code => Err(Error::SearchFailed { server: self.server.to_string(), code }),
        }
    }

    /// Searches, and reads no more entries than asked for, whatever the server sends.
    async fn search(
        &mut self,
        settings: &Settings,
        query: &Query<'_>,
        attributes: &[&str],
        max: usize,
    ) -> Result<(Vec<Entry>, LdapResult), Error> {
        let mut options = SearchOptions::new()
            .deref(deref(settings.deref))
            .timelimit(i32::try_from(settings.time_limit.as_secs()).unwrap_or(i32::MAX));
        let mut adapters: Vec<Box<dyn Adapter<'_, _, _>>> = vec![Box::new(EntriesOnly::new())];
        if max > USER_ENTRIES {
            adapters.push(Box::new(PagedResults::new(PAGE)));
        } else {
            options = options.sizelimit(i32::try_from(max).unwrap_or(i32::MAX));
        }
        let attributes: Vec<String> = attributes.iter().map(|name| (*name).to_owned()).collect();
        let filter = query.filter.0.as_str();
        let request = self.request().with_search_options(options);
        let started = request.streaming_search_with(adapters, query.base, scope(query.scope), filter, attributes).await;
        let mut stream = match started {
            Ok(stream) => stream,
            Err(ldap3::LdapError::FilterParsing) => {
                return Err(Error::BadFilter { filter: settings.filter.as_str().to_owned() });
            }
            Err(error) => return Err(self.error(&error)),
        };
        let mut entries = Vec::new();
        loop {
            match stream.next().await {
                Ok(Some(entry)) => {
                    let SearchEntry { dn, attrs, bin_attrs } = SearchEntry::construct(entry);
                    let texts = attrs
                        .into_iter()
                        .map(|(name, values)| (name, values.into_iter().map(String::into_bytes).collect::<Vec<_>>()));
                    entries.push(Entry { dn, attributes: texts.chain(bin_attrs).collect() });
                    if entries.len() >= max {
                        // The rest is not read; the answer counts as whole.
                        return Ok((entries, success()));
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(self.error(&error)),
            }
        }
        let result = stream.finish().await;
        Ok((entries, result))
    }

    async fn check_group(&mut self, settings: &Settings, attempt: &Attempt<'_>, dn: &str) -> Result<(), Error> {
        let Some(GroupCheck { dn: group, matching }) = &settings.group else { return Ok(()) };
        let subject = Subject { dn: Some(dn), ..attempt.subject };
        let is_member = match matching {
            GroupMatch::Attribute(attribute) => {
                let group = group.dn(&subject).0;
                let compared = self.request().compare(&group, attribute, dn).await;
                compared.map_err(|error| self.error(&error))?.0.rc == COMPARE_TRUE
            }
            GroupMatch::Filter { filter, base, scope } => {
                let base = base.as_ref().unwrap_or(&settings.base).dn(&subject).0;
                let query = Query { base: &base, scope: *scope, filter: filter.filter(&subject) };
                let (entries, _) = self.search(settings, &query, &["1.1"], 1).await?;
                !entries.is_empty()
            }
        };
        if is_member { Ok(()) } else { Err(Error::Refused(Refusal::NotInGroup)) }
    }
}

/// What a search found.
enum Found {
    Entry(Entry),
    Elsewhere(Vec<Referral>),
}

struct Query<'a> {
    base: &'a str,
    scope: Scope,
    filter: Expansion,
}

fn compare(entry: &Entry, attribute: &str, password: &str) -> Result<(), Error> {
    let named = |name: &str| name.split(';').next().is_some_and(|name| name.eq_ignore_ascii_case(attribute));
    let values = entry.attributes.iter().filter(|(name, _)| named(name)).flat_map(|(_, values)| values);
    let answers: Vec<Option<bool>> = values.map(|value| password_hash::fits(value, password)).collect();
    if answers.contains(&Some(true)) {
        Ok(())
    } else if answers.contains(&Some(false)) {
        Err(Error::Refused(Refusal::InvalidCredentials { code: INVALID_CREDENTIALS }))
    } else {
        Err(Error::Refused(Refusal::NoUsablePassword))
    }
}

/// Reads an LDAP URL (RFC 4516) of an answer: server, and base if it has one.
fn referral(url: &str, base: &str) -> Option<Referral> {
    let after_scheme = url.find("://")? + 3;
    let path = url.get(after_scheme..)?.find('/').map(|at| at + after_scheme);
    let server = ServerUrl::parse(path.map_or(url, |path| url.get(..path).unwrap_or(url)))?;
    let dn = path.and_then(|path| url.get(path + 1..)).and_then(|rest| rest.split('?').next()).unwrap_or_default();
    let dn = percent_decoded(dn)?;
    Some(Referral { server, base: if dn.is_empty() { base.to_owned() } else { dn } })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (hex, after) = after.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn success() -> LdapResult {
    LdapResult { rc: SUCCESS, matched: String::new(), text: String::new(), refs: Vec::new(), ctrls: Vec::new() }
}

fn scope(scope: Scope) -> ldap3::Scope {
    match scope {
        Scope::Subtree => ldap3::Scope::Subtree,
        Scope::OneLevel => ldap3::Scope::OneLevel,
        Scope::Base => ldap3::Scope::Base,
    }
}

fn deref(deref: Deref) -> DerefAliases {
    match deref {
        Deref::Never => DerefAliases::Never,
        Deref::Searching => DerefAliases::Searching,
        Deref::Finding => DerefAliases::Finding,
        Deref::Always => DerefAliases::Always,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referral_is_a_server_and_maybe_a_base() {
        for (url, server, base) in [
            ("ldap://a/dc=b", "ldap://a:389", "dc=b"),
            ("ldaps://a:1636/ou=x%20y,dc=b??sub?(a=b)", "ldaps://a:1636", "ou=x y,dc=b"),
            ("ldap://a", "ldap://a:389", "dc=own"),
            ("ldap://a/", "ldap://a:389", "dc=own"),
        ] {
            let referral = referral(url, "dc=own").unwrap();
            assert_eq!((referral.server.to_string().as_str(), referral.base.as_str()), (server, base), "{url}");
        }
        for bad in ["", "http://a/", "ldap://a/%", "ldap://a/%zz", "x://", "://"] {
            assert!(referral(bad, "dc=own").is_none(), "{bad}");
        }
    }
}
