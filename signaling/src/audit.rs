//! The journal: who came in, who did not, who moderated what, and by which rule. One line each under the target `audit`, so that
//! it can be kept apart (`--log warn,audit=info`); addresses stand in it, as a journal without them is of little use.
//! Passwords, tokens and keys never do.
//!
//! Beside it, what follows from refusals: an address or an account of which too many fail is not listened to for a while
//! (`failed_logins.rs`).

use std::sync::Arc;

use auth::TokenRefused;
use xmpp::Jid;
use xmpp::sasl::SaslCondition;

use crate::context::{Context, Now};
use crate::hosts::VirtualHost;
use crate::login::LoginRefused;
use crate::server::{ConnectionId, Server};
use crate::stream::{Identity, LoginKind};
use crate::{Origin, ShownToken, TokenRequest};

impl Server {
    /// Somebody is in.
    pub(crate) fn note_login(&mut self, connection: ConnectionId, Identity { bare: jid, login, .. }: &Identity) {
        if *login == LoginKind::Account {
            self.failed_logins.on_success(jid);
        }
        let Some(Origin { token, address, room, tenant, .. }) = self.origin_of(connection) else { return };
        let is_guest = self.settings.hosts.guest.as_ref().is_some_and(|guest| guest.domain() == jid.domain());
        let (rule, user) = match (login, token) {
            (LoginKind::Account, _) => ("password", jid.local()),
            (LoginKind::Anonymous, ShownToken::Verified(claims)) if !is_guest => ("token", claims.user.id.as_deref()),
            (LoginKind::Anonymous, ShownToken::None | ShownToken::Verified(_) | ShownToken::Refused(_)) => {
                ("guest", None)
            }
        };
        let (room, tenant) = (room.as_deref(), tenant.as_deref());
        tracing::info!(target: "audit", event = "login", rule, %jid, user, room, tenant, ?address);
    }

    /// Somebody is not in.
    pub(crate) fn note_failure(
        &mut self,
        now: Now,
        connection: ConnectionId,
        host: VirtualHost,
        refused: &LoginRefused,
    ) {
        let Some(Origin { address, room, tenant, .. }) = self.origin_of(connection) else { return };
        let address = *address;
        let (rule, account, is_guess) = match refused {
            LoginRefused::Sasl(condition) => (condition.as_str(), None, *condition == SaslCondition::NotAuthorized),
            LoginRefused::WrongPassword(account) => ("wrong_password", Some(account), true),
            LoginRefused::Token(refused) => (refused.rule(), None, is_guess(*refused)),
            LoginRefused::Access(_) => ("access", None, false),
            LoginRefused::TooManyFailures(account) => ("too_many_failures", account.as_ref(), false),
        };
        let jid = account.map(Jid::as_str);
        let (room, tenant) = (room.as_deref(), tenant.as_deref());
        tracing::info!(target: "audit", event = "login_refused", rule, jid, room, tenant, ?address);
        if is_guess {
            let counted = account.filter(|_| host == VirtualHost::Clients);
            self.failed_logins.on_failure(now.instant, address, counted);
        }
    }

    /// A client came back with another token, as it does when the old one runs out (`mod_auth_token`). What the new one
    /// says counts from now on, unless it is not for the rooms that the client is in.
    pub(crate) fn refresh_claims(&mut self, now: Now, jid: &Jid, token: ShownToken) {
        let ShownToken::Verified(claims) = token else { return };
        let Some(session) = self.sessions.get(jid) else { return };
        if !self.settings.hosts.honours_tokens(jid) || session.client.claims.as_ref() == Some(&claims) {
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

/// What somebody did in a room by a right that he has there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act<'a> {
    /// What: `kick`, `ban`, `grant`, `end`, …
    pub(crate) event: &'static str,
    /// The right: an affiliation, a role, or a rule of the operator.
    pub(crate) rule: &'static str,
    /// Who, by real address; `None` when it was the rule alone.
    pub(crate) by: Option<&'a Jid>,
    /// To whom or what.
    pub(crate) on: Option<&'a str>,
}

/// Somebody moderated a room.
pub(crate) fn moderated(room: &Jid, Act { event, rule, by, on }: Act<'_>) {
    tracing::info!(target: "audit", event, rule, %room, by = by.map(Jid::as_str), on);
}

/// Somebody wanted to moderate a room, and may not.
pub(crate) fn act_refused(room: &Jid, by: &Jid, rule: &str) {
    tracing::info!(target: "audit", event = "act_refused", rule, %room, %by);
}

/// Another system got a token for somebody.
pub(crate) fn token_given_out(request: &TokenRequest, expires: u64) {
    let TokenRequest { room, tenant, user, is_moderator, .. } = request;
    let (user, tenant) = (user.id.as_deref(), tenant.as_deref());
    tracing::info!(target: "audit", event = "token_given_out", rule = "api", room, tenant, user, is_moderator, expires);
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
