//! What a session brought along when it started: the page it is about, and what its token says.

use std::net::IpAddr;
use std::sync::Arc;

use xmpp::Jid;

use crate::{Hosts, Origin, ShownToken};
use auth::{Claims, Features, Standing};

/// The client behind a session. It stays the same when the session is resumed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// The room that the page is about.
    room: Option<String>,
    tenant: Option<String>,
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
    /// The host that the client reached this server at.
    pub(crate) host: Option<String>,
    /// The region of the proxy that it came through.
    pub(crate) region: Option<String>,
    /// Whether this is a user with an account, who logged in with its password. Services and recorders are none.
    pub(crate) has_account: bool,
    /// What the token says, if there is one.
    pub(crate) claims: Option<Arc<Claims>>,
}

impl Client {
    /// What a session of `jid` brought along. Only at the domains of clients and visitors tokens mean
    /// something.
    pub(crate) fn of(origin: &Origin, jid: &Jid, hosts: &Hosts) -> Self {
        Self {
            room: origin.room.clone(),
            tenant: origin.tenant.clone(),
            address: origin.address,
            host: origin.host.clone(),
            region: origin.region.clone(),
            has_account: false,
            claims: match &origin.token {
                ShownToken::Verified(claims) if hosts.honours_tokens(jid) => Some(Arc::clone(claims)),
                ShownToken::None | ShownToken::Verified(_) | ShownToken::Refused(_) => None,
            },
        }
    }

    /// The main room of the meeting that the page is about, which commands to components mean without saying so
    /// (signaling.md §2).
    pub(crate) fn room_jid(&self, hosts: &Hosts) -> Option<Jid> {
        hosts.room(self.room.as_deref()?, self.tenant.as_deref()).ok()
    }

    /// What the token allows; `None` when it does not say.
    pub(crate) fn features(&self) -> Option<&Features> {
        self.claims.as_ref()?.features.as_ref()
    }

    /// The same client with another token.
    pub(crate) fn with_claims(&self, claims: Arc<Claims>) -> Self {
        Self { claims: Some(claims), ..self.clone() }
    }

    /// What the user showed about himself.
    pub(crate) fn standing(&self) -> Standing<'_> {
        match self.claims.as_deref() {
            Some(claims) => Standing::Token(claims),
            None if self.has_account => Standing::Account,
            None => Standing::Guest,
        }
    }

    /// Whether the user showed who he is, by a token or a password.
    pub(crate) fn is_authenticated(&self) -> bool {
        !matches!(self.standing(), Standing::Guest)
    }
}
