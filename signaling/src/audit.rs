//! The journal of logins: who came in, who did not, and by which rule. One line each under the target `audit`, so that it
//! can be kept apart (`--log warn,audit=info`); addresses stand in it, as a journal without them is of little use.
//! Passwords, tokens and keys never do.
//!
//! Beside it, what follows from refusals: an address that fails too often is not listened to for a while.

use std::sync::Arc;

use auth::TokenRefused;
use xmpp::Jid;
use xmpp::sasl::{Mechanism, SaslCondition};

use crate::context::{Context, Now};
use crate::login::LoginRefused;
use crate::server::{ConnectionId, Server};
use crate::stream::Identity;
use crate::{Origin, ShownToken};

/// What who is not listened to is told.
const TOO_MANY_FAILURES: &str = "too many failed logins";

impl Server {
    /// Somebody is in.
    pub(crate) fn audit_login(&self, connection: ConnectionId, identity: &Identity) {
        let Some(Origin { token, address, room, tenant, .. }) = self.origin_of(connection) else { return };
        let jid = &identity.bare;
        let is_anonymous = self.settings.hosts.is_client(jid) && !self.accounts.has(jid);
        let (rule, user) = match token {
            ShownToken::Verified(claims) if is_anonymous => ("token", claims.user.id.as_deref()),
            ShownToken::None | ShownToken::Verified(_) | ShownToken::Refused(_) if is_anonymous => ("guest", None),
            ShownToken::None | ShownToken::Verified(_) | ShownToken::Refused(_) => ("password", jid.local()),
        };
        let (room, tenant) = (room.as_deref(), tenant.as_deref());
        tracing::info!(target: "audit", event = "login", rule, %jid, user, room, tenant, ?address);
    }

    /// Whether the other end may try: whoever failed too often waits. A token needs no such protection, as nothing can be
    /// guessed, and colleagues behind one address have good ones.
    pub(crate) fn check_failures(
        &self,
        now: Now,
        connection: ConnectionId,
        mechanism: Mechanism,
    ) -> Result<(), LoginRefused> {
        let is_blocked = match (&self.failed_logins, self.origin_of(connection).and_then(|origin| origin.address)) {
            (Some(failed), Some(address)) => failed.is_blocked(address, now.instant),
            (Some(_) | None, _) => false,
        };
        if !is_blocked || mechanism == Mechanism::Anonymous {
            return Ok(());
        }
        Err(LoginRefused { condition: SaslCondition::TemporaryAuthFailure, text: Some(TOO_MANY_FAILURES.to_owned()) })
    }

    /// Somebody is not in.
    pub(crate) fn note_failure(
        &mut self,
        now: Now,
        connection: ConnectionId,
        condition: SaslCondition,
        text: Option<&str>,
    ) {
        let Some(Origin { token, address, room, tenant, .. }) = self.origin_of(connection) else { return };
        let address = *address;
        let is_by_token = text.is_some() && condition != SaslCondition::TemporaryAuthFailure;
        let (rule, is_guess) = match token {
            ShownToken::Refused(refused) if is_by_token => (refused.rule(), is_guess(*refused)),
            ShownToken::None if is_by_token => (TokenRefused::Missing.rule(), false),
            ShownToken::None | ShownToken::Verified(_) | ShownToken::Refused(_) => {
                (condition.as_str(), condition == SaslCondition::NotAuthorized)
            }
        };
        let (room, tenant) = (room.as_deref(), tenant.as_deref());
        tracing::info!(target: "audit", event = "login_refused", rule, room, tenant, ?address);
        if let (Some(failed), Some(address), true) = (&mut self.failed_logins, address, is_guess) {
            failed.on_failure(address, now.instant);
        }
    }

    /// A client came back with another token, as it does when the old one runs out (`mod_auth_token`). What the new one
    /// says counts from now on, unless it is not for the rooms that the client is in.
    pub(crate) fn refresh_claims(&mut self, now: Now, jid: &Jid, token: ShownToken) {
        let ShownToken::Verified(claims) = token else { return };
        let Some(session) = self.sessions.get(jid) else { return };
        if jid.domain() != self.settings.hosts.domain.domain() || session.client.claims.as_ref() == Some(&claims) {
            return;
        }
        let client = Arc::new(session.client.with_claims(claims));
        let (mut context, conferences, ..) = self.context(now);
        let is_for_rooms = conferences.refresh_client(&mut context, jid, &client);
        tracing::info!(target: "audit", event = "token_refreshed", %jid, is_for_rooms);
        if let Some(session) = self.sessions.get_mut(jid).filter(|_| is_for_rooms) {
            session.client = client;
        }
    }

    fn origin_of(&self, connection: ConnectionId) -> Option<&Origin> {
        self.streams.get(&connection).map(|stream| &stream.origin)
    }
}

/// A join that a room refused.
pub(crate) fn join_refused(context: &Context<'_>, jid: &Jid, room: Option<&str>, rule: &str, text: Option<&str>) {
    tracing::info!(target: "audit", event = "join_refused", rule, %jid, room, text, unix_ms = context.now.unix_ms);
}

/// Whether a refused token may have been made up. One that has run out, or is for something else, was given by somebody.
fn is_guess(refused: TokenRefused) -> bool {
    matches!(
        refused,
        TokenRefused::InvalidToken
            | TokenRefused::InvalidHeader
            | TokenRefused::InvalidBody
            | TokenRefused::KeyIdOfSecret
            | TokenRefused::WrongAlgorithm
            | TokenRefused::InvalidSignature
    )
}
