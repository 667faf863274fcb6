//! How often logins may fail, by address and by account: enough for people who mistype, too few for a machine that guesses.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use auth::{FailureThrottle, network_of};
use xmpp::Jid;

use crate::login::LoginRefused;

/// Within which failures of an address are counted.
const ADDRESS_WINDOW: Duration = Duration::from_secs(60);
/// Failures on one account, from wherever, within [`ACCOUNT_WINDOW`]: a day of guessing tries 2880 passwords.
const PER_ACCOUNT: u32 = 10;
const ACCOUNT_WINDOW: Duration = Duration::from_secs(300);

/// Failed logins of late.
#[derive(Debug)]
pub(crate) struct FailedLogins {
    /// By address or network; `None` where they may fail without end.
    by_address: Option<FailureThrottle<IpAddr>>,
    /// By bare JID, whether there is such an account or not.
    by_account: FailureThrottle<String>,
}

impl FailedLogins {
    /// So many failures may come from an address.
    pub(crate) fn new(per_address: Option<u32>) -> Self {
        Self {
            by_address: per_address.map(|failures| FailureThrottle::new(failures, ADDRESS_WINDOW)),
            by_account: FailureThrottle::new(PER_ACCOUNT, ACCOUNT_WINDOW),
        }
    }

    /// Whether an address may try.
    ///
    /// # Errors
    /// When it failed too often.
    pub(crate) fn check_address(&self, now: Instant, address: Option<IpAddr>) -> Result<(), LoginRefused> {
        let is_blocked = |(failed, address): (&FailureThrottle<IpAddr>, IpAddr)| failed.is_blocked(&address, now);
        let is_over = self.by_address.as_ref().zip(address.map(network_of)).is_some_and(is_blocked);
        if is_over { Err(LoginRefused::TooManyFailures(None)) } else { Ok(()) }
    }

    /// Whether a password may be tried on an account.
    ///
    /// # Errors
    /// When too many were wrong.
    pub(crate) fn check_account(&self, now: Instant, account: &Jid) -> Result<(), LoginRefused> {
        let is_over = self.by_account.is_blocked(account.bare_str(), now);
        if is_over { Err(LoginRefused::TooManyFailures(Some(account.to_bare()))) } else { Ok(()) }
    }

    /// A login failed; `account` is whose password was wrong, where that counts.
    pub(crate) fn on_failure(&mut self, now: Instant, address: Option<IpAddr>, account: Option<&Jid>) {
        if let Some((failed, address)) = self.by_address.as_mut().zip(address) {
            failed.on_failure(network_of(address), now);
        }
        if let Some(account) = account {
            self.by_account.on_failure(account.bare_str().to_owned(), now);
        }
    }

    /// Who logs in may mistype anew.
    pub(crate) fn on_success(&mut self, account: &Jid) {
        self.by_account.on_success(account.bare_str());
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
        let mut failed = FailedLogins::new(None);
        for n in 0..PER_ACCOUNT {
            assert!(failed.check_account(now, &jid("bob")).is_ok(), "{n}");
            failed.on_failure(now, None, Some(&jid("bob")));
        }
        let refused = failed.check_account(now, &jid("bob")).unwrap_err();
        assert_eq!(refused, LoginRefused::TooManyFailures(Some(jid("bob"))));
        assert!(failed.check_account(now, &jid("alice")).is_ok());
        assert!(failed.check_account(now + ACCOUNT_WINDOW, &jid("bob")).is_ok());
    }

    #[test]
    fn an_address_that_guesses_names_is_refused_and_its_whole_network() {
        let now = Instant::now();
        let mut failed = FailedLogins::new(Some(20));
        let at = |address: &str| Some(address.parse().unwrap());
        for n in 0..20 {
            failed.on_failure(now, at(&format!("2001:db8::{n:x}")), None);
        }
        assert!(failed.check_address(now, at("2001:db8::ffff:1")).is_err());
        assert!(failed.check_address(now, at("2001:db8:0:1::1")).is_ok());
        assert!(failed.check_address(now, None).is_ok());
    }

    #[test]
    fn a_login_makes_up_for_typing_errors() {
        let now = Instant::now();
        let mut failed = FailedLogins::new(None);
        for _ in 0..3 * PER_ACCOUNT {
            failed.on_failure(now, None, Some(&jid("bob")));
            failed.on_success(&jid("bob"));
        }
        assert!(failed.check_account(now, &jid("bob")).is_ok());
    }

    #[test]
    fn addresses_may_fail_without_end_where_the_operator_says_so() {
        let now = Instant::now();
        let mut failed = FailedLogins::new(None);
        for _ in 0..1000 {
            failed.on_failure(now, Some([192, 0, 2, 1].into()), None);
        }
        assert!(failed.check_address(now, Some([192, 0, 2, 1].into())).is_ok());
    }
}
