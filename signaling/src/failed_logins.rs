//! How often logins with a password may fail, by address and by account: enough for people who mistype, too few for a machine that
//! guesses. Other ways to log in may count here, too.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use xmpp::Jid;
use xmpp::sasl::SaslCondition;

use crate::login::LoginRefused;

/// How long failures count, from the first.
const WINDOW: Duration = Duration::from_secs(300);
/// Failures from one address: a school behind one has many who mistype.
const PER_ADDRESS: u32 = 50;
/// Failures on one account, from wherever: a day of guessing tries 2880 passwords.
const PER_ACCOUNT: u32 = 10;
/// Addresses, and accounts, that are remembered; beyond, the oldest is forgotten, which helps whoever has that many.
const MAX_REMEMBERED: usize = 20_000;
/// What a client is told.
const TOO_MANY: &str = "Too many failed logins. Try again in a few minutes.";

/// Failed logins of late.
#[derive(Debug, Default)]
pub(crate) struct FailedLogins {
    by_address: IndexMap<IpAddr, Failures>,
    by_account: IndexMap<String, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    first: Instant,
}

impl FailedLogins {
    /// Whether one more try may be made.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn check(&self, now: Instant, address: Option<IpAddr>, account: &Jid) -> Result<(), LoginRefused> {
        let is_over = |failures: Option<&Failures>, limit| {
            failures.is_some_and(|failures| failures.count >= limit && failures.count_at(now))
        };
        let by_address = address.and_then(|address| self.by_address.get(&network_of(address)));
        if is_over(by_address, PER_ADDRESS) || is_over(self.by_account.get(account.bare_str()), PER_ACCOUNT) {
            tracing::info!(target: "audit", %account, rule = "too_many_failures", "login refused");
            return Err(LoginRefused { condition: SaslCondition::TemporaryAuthFailure, text: Some(TOO_MANY) });
        }
        Ok(())
    }

    /// A try failed.
    pub(crate) fn on_failure(&mut self, now: Instant, address: Option<IpAddr>, account: Option<&Jid>) {
        if let Some(address) = address {
            count(&mut self.by_address, network_of(address), now);
        }
        if let Some(account) = account {
            count(&mut self.by_account, account.bare_str().to_owned(), now);
        }
    }

    /// Who logs in may mistype anew.
    pub(crate) fn on_success(&mut self, account: &Jid) {
        self.by_account.swap_remove(account.bare_str());
    }
}

impl Failures {
    fn count_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.first) < WINDOW
    }
}

fn count<K: std::hash::Hash + Eq>(table: &mut IndexMap<K, Failures>, key: K, now: Instant) {
    if !table.contains_key(&key) && table.len() >= MAX_REMEMBERED {
        table.retain(|_, failures| failures.count_at(now));
        if table.len() >= MAX_REMEMBERED {
            table.swap_remove_index(0);
        }
    }
    let failures = table.entry(key).or_insert(Failures { count: 0, first: now });
    if !failures.count_at(now) {
        *failures = Failures { count: 0, first: now };
    }
    failures.count = failures.count.saturating_add(1);
}

/// A subscriber has a whole /64 of IPv6 to choose from (RFC 6177).
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn jid(name: &str) -> Jid {
        format!("{name}@d").parse().unwrap()
    }

    #[test]
    fn an_account_that_is_guessed_at_is_closed_for_a_while_and_others_are_not() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        for n in 0..PER_ACCOUNT {
            assert!(failed.check(now, None, &jid("bob")).is_ok(), "{n}");
            failed.on_failure(now, None, Some(&jid("bob")));
        }
        let refused = failed.check(now, None, &jid("bob")).unwrap_err();
        assert_eq!((refused.condition, refused.text), (SaslCondition::TemporaryAuthFailure, Some(TOO_MANY)));
        assert!(failed.check(now, None, &jid("alice")).is_ok());
        assert!(failed.check(now + WINDOW, None, &jid("bob")).is_ok());
    }

    #[test]
    fn an_address_that_guesses_names_is_refused_and_its_whole_network() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        let at = |address: &str| Some(address.parse().unwrap());
        for n in 0..PER_ADDRESS {
            failed.on_failure(now, at(&format!("2001:db8::{n:x}")), None);
        }
        assert!(failed.check(now, at("2001:db8::ffff:1"), &jid("bob")).is_err());
        assert!(failed.check(now, at("2001:db8:0:1::1"), &jid("bob")).is_ok());
    }

    #[test]
    fn a_login_makes_up_for_typing_errors() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        for _ in 0..3 * PER_ACCOUNT {
            failed.on_failure(now, None, Some(&jid("bob")));
            failed.on_success(&jid("bob"));
        }
        assert!(failed.check(now, None, &jid("bob")).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut failed = FailedLogins::default();
        for n in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 100 {
            failed.on_failure(now, Some(IpAddr::from(n.to_be_bytes())), Some(&jid(&n.to_string())));
        }
        assert_eq!((failed.by_address.len(), failed.by_account.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    }
}
