//! What a session brought along when it started: the page it is about, and what its token says.

use std::net::IpAddr;
use std::sync::Arc;

use xmpp::Jid;

use crate::claims::{Claims, Features};
use crate::{Hosts, Origin};

/// The client behind a session. It stays the same when the session is resumed.
#[derive(Debug, Default)]
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
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            room: origin.room.clone(),
            tenant: origin.tenant.clone(),
            address: origin.address,
            host: origin.host.clone(),
            region: origin.region.clone(),
            has_account: false,
            claims: origin.claims.clone(),
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

    /// Whether the user showed who he is, by a token or a password.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.claims.is_some() || self.has_account
    }
}
