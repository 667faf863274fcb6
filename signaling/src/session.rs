//! A bound resource, with a connection or waiting for one (RFC 6120 §7, XEP-0198 §5).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use xmpp::{AddressedStanza, Jid};

use crate::acks::Acks;
use crate::client::Client;
use crate::rates::Sent;
use crate::{Carrier, ConnectionId, Secret, ShownToken};

/// Where a connection comes from and what the client told in its URL; the stock client names its room and its former
/// session there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What carries the stream.
    pub carrier: Carrier,
    /// The client's address, as the nearest proxy that is trusted says.
    pub address: Option<IpAddr>,
    /// The region of the proxy that it came through (`x_proxy_region`).
    pub region: Option<String>,
    /// The room that the page is about (`room`).
    pub room: Option<String>,
    /// The tenant (`prefix`).
    pub tenant: Option<String>,
    /// The id of the session to take up again (`previd`).
    pub previous: Option<String>,
    /// The token that it showed (`token`), judged already.
    pub token: ShownToken,
    /// The token itself, where another server is to be shown it.
    pub bearer: Option<Secret>,
    /// The wanted local part (`customusername`).
    pub custom_username: Option<String>,
    /// The host that the client reached the server at, without a port; IPv6 addresses in brackets.
    pub host: Option<String>,
}

/// A bound resource.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) jid: Jid,
    pub(crate) client: Arc<Client>,
    /// Where its stanzas go.
    pub(crate) attachment: Attachment,
    /// What the client sent lately.
    pub(crate) sent: Sent,
    /// Stream management, once enabled.
    pub(crate) acks: Option<Acks>,
}

/// Whether a session has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    Attached(ConnectionId),
    /// The connection is lost; the session ends at this time unless its client resumes it.
    Hibernating {
        until: Instant,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The client closed its stream, or its page went away.
    Closed,
    /// The connection broke and nothing allowed to resume the session.
    Lost,
    /// Nobody resumed the session in time.
    HibernationOver,
    /// Another stream took the resource, or its client began anew.
    Replaced,
    /// The client did not read or not acknowledge what it was sent.
    QueueFull,
    /// The client broke the rules of the stream.
    Misbehaved,
    /// The account was deleted.
    Revoked,
    /// The server stops.
    Shutdown,
}

impl SessionEnd {
    /// The value of the metric's label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::HibernationOver => "hibernation_over",
            Self::Replaced => "replaced",
            Self::QueueFull => "queue_full",
            Self::Misbehaved => "misbehaved",
            Self::Revoked => "revoked",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Session {
    pub(crate) fn new(jid: Jid, client: Arc<Client>, connection: ConnectionId) -> Self {
        Self { jid, client, attachment: Attachment::Attached(connection), sent: Sent::default(), acks: None }
    }

    /// The connection, unless it is lost.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.attachment {
            Attachment::Attached(connection) => Some(connection),
            Attachment::Hibernating { .. } => None,
        }
    }

    /// The id to resume this session with.
    pub(crate) fn resume_id(&self) -> Option<&str> {
        self.acks.as_ref().and_then(Acks::resume_id)
    }

    /// Remembers a stanza until the client acknowledges it.
    ///
    /// # Errors
    /// When the client leaves too many unacknowledged.
    pub(crate) fn remember(&mut self, stanza: &AddressedStanza) -> Result<(), crate::acks::QueueFull> {
        match &mut self.acks {
            Some(acks) => acks.on_sent(stanza.clone()),
            None => Ok(()),
        }
    }
}
