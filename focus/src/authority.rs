//! Who may open a conference: with an authority, users of the domain at which people log in, whose server has seen who they
//! are (jicofo's `authentication`, focus.md §4). Whoever else comes waits until one of them was there.
//!
//! Not here: logins (`signaling`).

use xmpp::{Condition, Jid, StanzaError};

use crate::request::Requester;

/// The authority (`authentication.type`, `authentication.login-url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Whose users have logged in.
    pub login_domain: String,
    /// Whether they did so with tokens (type `JWT`), so that clients have nothing to ask for.
    pub is_external: bool,
}

impl Authority {
    /// Whether a conference may be opened.
    ///
    /// # Errors
    /// What the client waits on: it asks again every few seconds, and shows that it waits for the host.
    pub(crate) fn check(&self, requester: &Requester) -> Result<(), StanzaError> {
        let is_known = requester.client().is_some_and(|client| client.domain() == self.login_domain);
        if is_known {
            return Ok(());
        }
        Err(StanzaError::new(Condition::NotAuthorized).with_text("not authorized user domain"))
    }
}

/// The client that an IQ comes from. The proxy in front writes it into the resource of its own address.
pub(crate) fn client_behind(from: &Jid) -> Option<Jid> {
    match from.local() {
        Some(_) => Some(from.clone()),
        None => from.resource()?.parse().ok().filter(|client: &Jid| client.local().is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_logged_in_opens_a_conference() {
        let authority = Authority { login_domain: "meet.example".to_owned(), is_external: true };
        let check = |from: &str| {
            let iq = format!("<iq xmlns='jabber:client' type='set' id='1' from='{from}'/>");
            authority.check(&Requester::of_iq(&iq.parse().unwrap()))
        };
        assert_eq!(check("focus.meet.example/u@meet.example/r"), Ok(()));
        assert_eq!(check("u@meet.example/r"), Ok(()));
        for other in [
            "focus.meet.example/u@guest.meet.example/r",
            "u@guest.meet.example/r",
            "meet.example",
            "focus.meet.example/x",
        ] {
            assert_eq!(check(other).unwrap_err().condition, Condition::NotAuthorized, "{other}");
        }
        let by_http = Requester::Http(crate::focus::HttpRequestId(1));
        assert!(authority.check(&by_http).is_err(), "nobody has seen who that is");
    }
}
